"""The confirmation runs: each of the best settings' score in the search and in its new runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go

from harness.analysis.confirmation import ConfirmedSetting, rank_confirmed_settings
from harness.reports.plots.base import Plot
from harness.reports.plots.scatter import spread_coinciding
from harness.reports.plots.style import (
    INK,
    LEGEND_ABOVE,
    apply_layout,
    escape_label,
    label_rows,
)

if TYPE_CHECKING:
    from harness.analysis.summary import Summary


SPREAD, MAX_SPREAD = 0.2, 0.2
"""The distance of runs with the same score, and their largest distance from their row."""
ABOVE = -0.32
"""The place of the search's score, above its row."""


def build_plots(summary: Summary) -> list[Plot]:
    """Return the plot of a search with confirmation runs."""
    settings = rank_confirmed_settings(summary.study)
    if not settings:
        return []
    title = f"Best settings, trained again: validation {summary.study.score.name}"
    return [Plot("confirm", title, draw_confirmation(settings), wide=True)]


def draw_confirmation(settings: list[ConfirmedSetting]) -> go.Figure:
    """Draw one row per setting: its score in the search, its confirmation runs and their mean."""
    figure, score = go.Figure(), settings[0].validation.score
    template = f"%{{x:{score.plotly_hover}}}<extra></extra>"
    seeds = [
        (run, row, run.score) for row, each in enumerate(settings) for run in each.runs if run.best
    ]
    scores = [value for _, _, value in seeds]
    figure.add_trace(
        go.Scatter(
            x=scores,
            y=spread_coinciding(scores, [row for _, row, _ in seeds], SPREAD, MAX_SPREAD),
            customdata=[run.number for run, _, _ in seeds],
            text=[
                f"new split {run.split}" if run.split else f"seed {run.spec.seed}"
                for run, _, _ in seeds
            ],
            mode="markers",
            marker={"color": INK, "size": 8},
            name="new split" if seeds[0][0].split else "fresh seed",
            hovertemplate="trial %{customdata}, %{text}: " + template,
        )
    )
    means = [each.validation.mean for each in settings]
    in_search = [each.trial.score if each.trial.best else None for each in settings]
    # Neutral colours: the others belong to the selected trials.
    for name, values, symbol, shift in (
        ("mean of these", means, "line-ns", 0.0),
        ("in the search", in_search, "diamond-open", ABOVE),
    ):
        figure.add_trace(
            go.Scatter(
                x=values,
                y=[row + shift for row in range(len(settings))],
                customdata=[each.trial.number for each in settings],
                text=[escape_label(each.trial.spec.describe()) for each in settings],
                mode="markers",
                marker={
                    "color": INK,
                    "size": 12,
                    "symbol": symbol,
                    "line": {"width": 2, "color": INK},
                },
                name=name,
                hovertemplate=f"trial %{{customdata}}, %{{text}}<br>{name}: {template}",
            )
        )
    apply_layout(
        figure,
        130 + 44 * len(settings),
        showlegend=True,
        legend=LEGEND_ABOVE,
        margin={"t": 34},
    )
    label_rows(figure, [str(each.trial.number) for each in settings])
    figure.update_layout(meta={"rows": [each.trial.number for each in settings]})
    figure.update_yaxes(title_text="trial")
    figure.update_xaxes(title_text=f"validation {score.full_name}", **score.plotly_axis)
    return figure
