"""The best settings over fresh seeds: what the search reported, what each came to again."""

from __future__ import annotations

import plotly.graph_objects as go

from harness.analysis.confirmation import ConfirmedSetting, confirmed, kept_of
from harness.analysis.summary import Summary
from harness.reports.page import Section
from harness.reports.plots.style import COLOURS, NEUTRAL, Plot, label, layout
from harness.reports.rows import Row, Table


def sections(verdict: Summary) -> list[Section]:
    """None of a grid or list, nor where nothing was confirmed."""
    found = confirmed(verdict.study)
    if not found:
        return []
    optimism = verdict.optimism
    said = [_says(verdict, found)]
    if optimism is not None:
        told = optimism.text(verdict.study.test_name)
        said.append(f"How far it flatters: {told}.")
    plot = Plot(
        "confirm", f"Validation {verdict.study.score.name}, seed by seed", figure(found), wide=True
    )
    return [
        Section(
            name="confirm",
            title="Confirmed over fresh seeds",
            says="The best of many scores was chosen for its luck too. The best settings were "
            "trained again with seeds that had no part in that choice, on the same examples.",
            template="rows",
            values={"said": said, "table": table(verdict, found)},
            plots=[plot],
        )
    ]


def table(verdict: Summary, found: list[ConfirmedSetting]) -> Table:
    kept = kept_of(verdict.study, verdict.champion)
    rows, score = [], verdict.study.score
    for each in found:
        best = each.trial.best
        model = f"seed {kept.spec.seed}" if kept.number == each.trial.number else ""
        cells = (
            f"{each.trial.number} · {each.trial.spec.describe()}",
            score.format_value(best.score) if best else "",
            str(each.validation),
            str(len(each.runs)) + (f" of {len(each.runs) + each.failed}" if each.failed else ""),
            f"{each.trial.parameters:,}",
            model,
        )
        rows.append(Row((each.trial.number,), cells))
    columns = ("trial", "in the search", "over fresh seeds", "seeds", "parameters", "model kept")
    return Table(columns, tuple(rows))


def figure(found: list[ConfirmedSetting]) -> go.Figure:
    """A row a setting: its score in the search, its fresh seeds, their mean."""
    made, rows, score = go.Figure(), range(len(found)), found[0].validation.score
    value = f"%{{x:{score.plotly_hover}}}<extra></extra>"
    seeds = [(run, row) for row, each in enumerate(found) for run in each.runs if run.best]
    made.add_trace(
        go.Scatter(
            x=[run.best.score for run, _ in seeds if run.best],
            y=[row for _, row in seeds],
            customdata=[run.number for run, _ in seeds],
            text=[f"seed {run.spec.seed}" for run, _ in seeds],
            mode="markers",
            marker={"color": NEUTRAL, "size": 8, "opacity": 0.7},
            name="a fresh seed",
            hovertemplate="trial %{customdata}, %{text}: " + value,
        )
    )
    for name, values, symbol, colour in (
        ("mean over fresh seeds", [each.validation.mean for each in found], "line-ns", COLOURS[0]),
        (
            "in the search",
            [each.trial.best.score if each.trial.best else None for each in found],
            "diamond-open",
            COLOURS[1],
        ),
    ):
        made.add_trace(
            go.Scatter(
                x=values,
                y=list(rows),
                customdata=[each.trial.number for each in found],
                text=[label(each.trial.spec.describe()) for each in found],
                mode="markers",
                marker={
                    "color": colour,
                    "size": 12,
                    "symbol": symbol,
                    "line": {"width": 2, "color": colour},
                },
                name=name,
                hovertemplate=f"trial %{{customdata}}, %{{text}}<br>{name}: {value}",
            )
        )
    legend = {"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0}
    layout(made, 130 + 34 * len(found), showlegend=True, legend=legend, margin={"t": 34})
    made.update_yaxes(
        tickvals=list(rows),
        ticktext=[str(each.trial.number) for each in found],
        range=[len(found) - 0.5, -0.5],
        title_text="trial",
    )
    made.update_xaxes(title_text=f"validation {score.full_name}", **score.plotly_axis)
    return made


def _says(verdict: Summary, found: list[ConfirmedSetting]) -> str:
    first, champion = found[0], verdict.champion
    ranked = [run.number for run in verdict.study.rank_trials()]
    place = ranked.index(champion.number) + 1 if champion.number in ranked else 0
    told = f"Trial {first.trial.number} has the best mean, {first.validation}"
    if place > 1:
        told += f"; by the search's own score it was number {place}"
    return told + "."
