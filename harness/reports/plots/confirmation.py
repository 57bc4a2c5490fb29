"""The confirmation runs: each of the best settings' score in the search and in its new runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go

from harness.analysis.confirmation import ConfirmedSetting, rank_confirmed_settings
from harness.reports.plots.base import Plot
from harness.reports.plots.style import (
    COLOURS,
    LEGEND_ABOVE,
    NEUTRAL,
    apply_layout,
    escape_label,
    label_rows,
)

if TYPE_CHECKING:
    from harness.analysis.summary import Summary


def build_plots(summary: Summary) -> list[Plot]:
    """Return the plot of a search with confirmation runs."""
    settings = rank_confirmed_settings(summary.study)
    if not settings:
        return []
    title = f"Validation {summary.study.score.name} of every confirmation run"
    return [Plot("confirm", title, draw_confirmation(settings), wide=True)]


def draw_confirmation(settings: list[ConfirmedSetting]) -> go.Figure:
    """Draw one row per setting: its score in the search, its confirmation runs and their mean."""
    figure, score = go.Figure(), settings[0].validation.score
    value = f"%{{x:{score.plotly_hover}}}<extra></extra>"
    seeds = [(run, row) for row, each in enumerate(settings) for run in each.runs if run.best]
    figure.add_trace(
        go.Scatter(
            x=[run.best.score for run, _ in seeds if run.best],
            y=[row for _, row in seeds],
            customdata=[run.number for run, _ in seeds],
            text=[
                f"new split {run.split}" if run.split else f"seed {run.spec.seed}"
                for run, _ in seeds
            ],
            mode="markers",
            marker={"color": NEUTRAL, "size": 8, "opacity": 0.7},
            name="new split" if seeds[0][0].split else "fresh seed",
            hovertemplate="trial %{customdata}, %{text}: " + value,
        )
    )
    means = [each.validation.mean for each in settings]
    in_search = [each.trial.best.score if each.trial.best else None for each in settings]
    for name, values, symbol, colour in (
        ("mean of these", means, "line-ns", COLOURS[0]),
        ("in the search", in_search, "diamond-open", COLOURS[1]),
    ):
        figure.add_trace(
            go.Scatter(
                x=values,
                y=list(range(len(settings))),
                customdata=[each.trial.number for each in settings],
                text=[escape_label(each.trial.spec.describe()) for each in settings],
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
    apply_layout(
        figure,
        130 + 34 * len(settings),
        showlegend=True,
        legend=LEGEND_ABOVE,
        margin={"t": 34},
    )
    label_rows(figure, [str(each.trial.number) for each in settings])
    figure.update_yaxes(title_text="trial")
    figure.update_xaxes(title_text=f"validation {score.full_name}", **score.plotly_axis)
    return figure
