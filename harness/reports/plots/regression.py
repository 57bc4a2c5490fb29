"""A regression's predictions: against what is true, how far off, beside simpler models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from harness.analysis.formatting import percent
from harness.analysis.summary import Summary
from harness.metrics import Score, HasScore, format_number
from harness.models.baselines import Baselines
from harness.reports.page import Section
from harness.reports.plots.style import COLOURS, INK, NEUTRAL, Plot, label, layout

MOST_DRAWN = 2000
"""Examples of a part, evenly chosen."""
BINS = 40
WITHIN = 0.1
"""Of the true value: how many predictions come so near is told."""

Values = npt.NDArray[Any]


@dataclass(frozen=True)
class Said:
    """The champion's predictions on one part, in the target's own units; [n] each."""

    part: str
    true: Values
    predicted: Values

    @property
    def off(self) -> Values:
        """Predicted less true."""
        return self.predicted - self.true

    def text(self) -> str:
        sizes = np.abs(self.off)
        near = np.abs(self.off) <= WITHIN * np.abs(self.true)
        worst = int(sizes.argmax())
        return (
            f"Of {len(self.true):,} {self.part} examples half are off by at most "
            f"{format_number(float(np.median(sizes)))}, 9 of 10 by at most "
            f"{format_number(float(np.quantile(sizes, 0.9)))}; {percent(float(near.mean()))} are within "
            f"{100 * WITHIN:.0f} % of what is true. The largest error: "
            f"{format_number(float(self.predicted[worst]))} for {format_number(float(self.true[worst]))}."
        )


def sections(verdict: Summary) -> list[Section]:
    """None where no predictions are on record."""
    found = data(verdict)
    if not found:
        return []
    score, target = verdict.study.score, verdict.study.score.target or "the target"
    plots = [
        Plot("predicted", f"{target}: predicted against true", against(found, target), wide=True),
        Plot("residuals", "Residuals: predicted less true", residuals(found, target)),
        Plot("errors", "How often an error of that size", histogram(found)),
    ]
    return [
        Section(
            name="predicted",
            title="Predicted against true",
            says="Each dot is an example; on the line the kept model is right, above it the "
            "prediction is too high. Residuals that fan out or bend tell what it has not learnt.",
            template="table",
            values={
                "said": [each.text() for each in found],
                "table": table(verdict, score, verdict.baselines),
            },
            plots=plots,
        )
    ]


def data(verdict: Summary) -> list[Said]:
    """By part: validation, and test where that was read."""
    return [
        Said(part, *rows.astype(np.float64))
        for part, rows in verdict.predicted.items()
        if rows.shape[1]
    ]


def table(verdict: Summary, score: Score, baselines: Baselines | None) -> list[list[str]]:
    """The champion's model and each baseline: RMSE with its interval, MAE and R2, part by part."""
    parts = {"validation": "validation"}
    if verdict.reading is not None:
        parts["test"] = verdict.study.test_name
    head = [
        f"{measure} on {name}" for name in parts.values() for measure in (score.name, "MAE, R2")
    ]
    mine: dict[str, tuple[HasScore, float, float]] = {}
    kept, reading = verdict.kept, verdict.reading
    if kept.best is not None and kept.best.val_mae is not None and kept.best.val_r2 is not None:
        mine["validation"] = kept, kept.best.val_mae, kept.best.val_r2
    if reading is not None and reading.mae is not None and reading.r2 is not None:
        mine["test"] = reading, reading.mae, reading.r2
    rows = [["this study's model", *_cells(score, parts, mine)]]
    if baselines is not None:
        last = "test" if verdict.reading is not None else "validation"
        for name in sorted(
            baselines.of_split(last), key=lambda name: baselines.of_split(last)[name].rmse
        ):
            known = {
                part: baselines.of_split(part)[name]
                for part in parts
                if name in baselines.of_split(part)
            }
            theirs: dict[str, tuple[HasScore, float, float]] = {
                part: (each, each.mae, each.r2) for part, each in known.items()
            }
            rows.append([name, *_cells(score, parts, theirs)])
    return [["", *head], *rows]


def _cells(
    score: Score, parts: dict[str, str], known: dict[str, tuple[HasScore, float, float]]
) -> list[str]:
    cells = []
    for part in parts:
        if part not in known:
            cells += ["", ""]
            continue
        of, mae, r2 = known[part]
        cells += [f"{score.format_value(of.score)}{score.format_interval(of)}", f"{format_number(mae)}, {r2:.4f}"]
    return cells


def against(found: list[Said], target: str) -> go.Figure:
    made = go.Figure()
    ends = [float(pick([pick(each.true) for each in found])) for pick in (np.min, np.max)]
    made.add_trace(
        go.Scatter(
            x=ends,
            y=ends,
            mode="lines",
            line={"color": INK, "width": 1.5, "dash": "dot"},
            name="right",
            hoverinfo="skip",
        )
    )
    for said, colour in zip(found, (NEUTRAL, COLOURS[1]), strict=False):
        _add_dots(made, said, said.true, said.predicted, colour)
    legend = {"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0}
    layout(made, 460, showlegend=True, legend=legend, margin={"t": 34})
    made.update_xaxes(title_text=f"true {label(target)}", tickformat=",.4~r")
    made.update_yaxes(title_text=f"predicted {label(target)}", tickformat=",.4~r")
    return made


def residuals(found: list[Said], target: str) -> go.Figure:
    made = go.Figure()
    for said, colour in zip(found, (NEUTRAL, COLOURS[1]), strict=False):
        _add_dots(made, said, said.predicted, said.off, colour)
    made.add_hline(y=0, line={"color": INK, "width": 1.5, "dash": "dot"})
    legend = {"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0}
    layout(made, 320, showlegend=len(found) > 1, legend=legend, margin={"t": 34})
    made.update_xaxes(title_text=f"predicted {label(target)}", tickformat=",.4~r")
    made.update_yaxes(title_text="predicted less true", tickformat=",.4~r")
    return made


def histogram(found: list[Said]) -> go.Figure:
    """Bars of equal bins for all parts, as shares of each part's examples."""
    made = go.Figure()
    edges = np.histogram_bin_edges(np.concatenate([each.off for each in found]), BINS)
    middles = (edges[:-1] + edges[1:]) / 2
    for said, colour in zip(found, (NEUTRAL, COLOURS[1]), strict=False):
        counts = np.histogram(said.off, edges)[0]
        made.add_trace(
            go.Bar(
                x=middles.tolist(),
                y=(counts / len(said.off)).tolist(),
                name=label(said.part),
                opacity=0.7,
                marker={"color": colour, "line": {"width": 0}},
                text=[
                    f"{format_number(low, high or low)} to {format_number(high, low or high)}: {count:,}"
                    for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
                ],
                textposition="none",
                hovertemplate=f"%{{text}} of {len(said.off):,} {label(said.part)} examples"
                "<extra></extra>",
            )
        )
    legend = {"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0}
    layout(made, 320, showlegend=len(found) > 1, legend=legend, margin={"t": 34})
    made.update_layout(barmode="overlay", bargap=0.05)
    made.update_xaxes(title_text="predicted less true", tickformat=",.4~r")
    made.update_yaxes(title_text="share of the part", tickformat=".0%")
    return made


def _add_dots(made: go.Figure, said: Said, x: Values, y: Values, colour: str) -> None:
    count = len(said.true)
    rows = np.unique(np.linspace(0, count - 1, min(count, MOST_DRAWN)).astype(int))
    made.add_trace(
        go.Scatter(
            x=x[rows].tolist(),
            y=y[rows].tolist(),
            text=[
                f"true {format_number(float(said.true[row]))}, predicted "
                f"{format_number(float(said.predicted[row]))}"
                for row in rows
            ],
            mode="markers",
            name=label(said.part),
            marker={"color": colour, "size": 5, "opacity": 0.65},
            hovertemplate=f"{label(said.part)} example: %{{text}}<extra></extra>",
        )
    )
