"""Cross-validation: the champion's learning curve in each fold, and the best trials by fold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go

from harness.analysis.fold_scores import FoldScores, read_fold_scores
from harness.metrics import IN_TARGET_UNITS, OBJECTIVE_NAMES
from harness.reports.plots.base import Plot
from harness.reports.plots.scatter import spread_coinciding
from harness.reports.plots.style import ACCENT, FAINT, INK, LEGEND_ABOVE, PERCENT, apply_layout
from harness.results import Objective
from harness.tracking.types import RunRecord

if TYPE_CHECKING:
    from harness.analysis.summary import Summary

MAX_TRIALS = 10
SPREAD = 0.15
"""The distance of folds with the same score, and their largest distance from their row."""


def build_plots(summary: Summary) -> list[Plot]:
    """Return the plots of a study with folds."""
    study, run = summary.study, summary.champion
    scored = [(each, read_fold_scores(study, each)) for each in study.rank_trials()[:MAX_TRIALS]]
    trials = [(each, scores) for each, scores in scored if scores is not None]
    if not trials:
        return []
    name = OBJECTIVE_NAMES[study.objective]
    plots = [Plot("fold-scores", f"The best trials: {name} in each fold", draw_fold_scores(trials))]
    if len(run.epochs) > 1 and all(epoch.folds for epoch in run.epochs):
        title = f"The champion's validation {name} in each fold"
        plots.insert(0, Plot("fold-curves", title, draw_fold_curves(run, study.objective)))
    return plots


def draw_fold_curves(run: RunRecord, objective: Objective) -> go.Figure:
    """Draw a thin line for each fold, and the trial's own curve above them."""
    figure = go.Figure()
    epochs = [epoch.epoch for epoch in run.epochs]
    number_format = _get_number_format(objective)
    for fold, values in enumerate(zip(*(epoch.folds for epoch in run.epochs), strict=True)):
        figure.add_trace(
            go.Scatter(
                x=epochs,
                y=values,
                mode="lines",
                line={"color": FAINT, "width": 1},
                name="each fold",
                legendgroup="folds",
                showlegend=not fold,
                hovertemplate=f"fold {fold + 1}: %{{y:{number_format}}}<extra></extra>",
            )
        )
    figure.add_trace(
        go.Scatter(
            x=epochs,
            y=[epoch.get_objective(objective) for epoch in run.epochs],
            mode="lines",
            line={"color": ACCENT, "width": 2},
            name="all folds",
            hovertemplate=f"all folds: %{{y:{number_format}}}<extra></extra>",
        )
    )
    if run.best is not None:
        line = {"color": INK, "width": 1, "dash": "dot"}
        figure.add_vline(x=run.best.epoch, line=line)
    apply_layout(figure, 300, showlegend=True, legend=LEGEND_ABOVE, margin={"t": 34})
    figure.update_xaxes(title_text="epoch (dotted: the best of all folds together)")
    if objective == "val/accuracy":
        figure.update_yaxes(tickformat=PERCENT)
    return figure


def draw_fold_scores(trials: list[tuple[RunRecord, FoldScores]]) -> go.Figure:
    """Draw a row of dots for each trial, one a fold, and their mean."""
    figure, objective = go.Figure(), trials[0][1].objective
    number_format = _get_number_format(objective)
    values = [value for _, scores in trials for value in scores.values]
    rows = [float(row) for row, (_, scores) in enumerate(trials) for _ in scores.values]
    figure.add_trace(
        go.Scatter(
            x=values,
            y=spread_coinciding(values, rows, SPREAD, SPREAD),
            customdata=[run.number for run, scores in trials for _ in scores.values],
            text=[f"fold {fold + 1}" for _, each in trials for fold in range(len(each.values))],
            mode="markers",
            marker={"color": INK, "size": 7},
            name="a fold",
            hovertemplate=f"trial %{{customdata}}, %{{text}}: %{{x:{number_format}}}"
            "<extra></extra>",
        )
    )
    figure.add_trace(
        go.Scatter(
            x=[scores.mean for _, scores in trials],
            y=list(range(len(trials))),
            customdata=[run.number for run, _ in trials],
            text=[scores.format(scores.deviation) for _, scores in trials],
            mode="markers",
            marker={
                "color": INK,
                "size": 16,
                "symbol": "line-ns",
                "line": {"width": 2, "color": INK},
            },
            name="mean of the folds",
            hovertemplate=f"trial %{{customdata}}, mean: %{{x:{number_format}}} (sd %{{text}})"
            "<extra></extra>",
        )
    )
    count, numbers = len(trials), [run.number for run, _ in trials]
    height = max(300, 110 + 22 * count)
    apply_layout(figure, height, showlegend=True, legend=LEGEND_ABOVE, margin={"t": 34})
    figure.update_layout(meta={"rows": numbers})
    figure.update_yaxes(
        tickvals=list(range(count)),
        ticktext=list(map(str, numbers)),
        range=[count - 0.5, -0.6],
        title_text="trial",
    )
    figure.update_xaxes(title_text=f"validation {OBJECTIVE_NAMES[objective]}")
    if objective == "val/accuracy":
        figure.update_xaxes(tickformat=".1%")
    return figure


def _get_number_format(objective: Objective) -> str:
    return ",.5~r" if objective in IN_TARGET_UNITS else ".4f"
