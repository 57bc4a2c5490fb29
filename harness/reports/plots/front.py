"""The front of a study with several objectives: each further one by the first, with all trials."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import plotly.graph_objects as go

from harness.analysis.front import Front, compute_front, format_value, name_objective
from harness.config.limits import COSTS
from harness.metrics import is_higher_better
from harness.reports.parameter_axes import compute_log_ticks
from harness.reports.plots.base import Plot
from harness.reports.plots.pareto import format_count
from harness.reports.plots.scatter import Point, add_points, compute_axis_range
from harness.reports.plots.style import INK, LEGEND_ABOVE, PERCENT, apply_layout
from harness.results import Cost, Objective
from harness.tracking.types import StudyRun

if TYPE_CHECKING:
    from harness.analysis.summary import Summary


def build_plots(summary: Summary) -> list[Plot]:
    """Return one plot for each further objective; none for a study with one."""
    front = compute_front(summary.study)
    if front is None:
        return []
    first = name_objective(front.objectives[0])
    return [
        Plot(
            f"front-{name.replace('/', '-')}",
            f"{first[0].upper()}{first[1:]} and {name_objective(name)}",
            _draw(summary.study, front, place),
        )
        for place, name in enumerate(front.objectives)
        if place
    ]


def _draw(study: StudyRun, front: Front, place: int) -> go.Figure:
    """Draw the first objective over another; a line joins the front of these two."""
    first, name = front.objectives[0], front.objectives[place]
    points = []
    for run in study.rank_trials():
        x, y = run.read_objective(name), run.read_objective(first)
        if x is not None and y is not None:
            text = f"{run.spec.describe()}, {_label(name, x)}, {_label(first, y)}"
            points.append(Point(run.number, x, y, text))
    figure = go.Figure()
    # With three objectives, a trial of the front may lie behind this line.
    steps = sorted((each.values[place], each.values[0]) for each in front.trials)
    figure.add_trace(
        go.Scatter(
            x=[x for x, _ in steps],
            y=[y for _, y in steps],
            mode="lines" if len(front.objectives) == 2 else "markers",
            marker={"symbol": "circle-open", "size": 13, "color": INK},
            line={"color": INK, "width": 1.5, "shape": "vh" if is_higher_better(name) else "hv"},
            name="front",
            hoverinfo="skip",
        )
    )
    add_points(figure, points, "%{text}", always={each.run.number for each in front.trials})
    apply_layout(
        figure,
        340,
        margin={"l": 58, "r": 12, "t": 30, "b": 40},
        showlegend=True,
        legend=LEGEND_ABOVE,
    )
    values = [point.x for point in points]
    is_log = name in COSTS and min(values) > 0 and max(values) > 10 * min(values)
    figure.update_xaxes(title_text=_name_axis(name))
    if is_log:
        low, high = math.log10(min(values)) - 0.1, math.log10(max(values)) + 0.1
        ticks = [10**position for position, _ in compute_log_ticks(low, high)]
        labels = [format_count(tick) for tick in ticks]
        figure.update_xaxes(type="log", tickvals=ticks, ticktext=labels)
    y_range = compute_axis_range([point.y for point in points], [], study.objective)
    figure.update_yaxes(title_text=_name_axis(first), range=list(y_range))
    figure.update_yaxes(tickformat=PERCENT if first == "val/accuracy" else None)
    return figure


def _label(name: Objective | Cost, value: float) -> str:
    text = format_value(name, value)
    return text if name in COSTS else f"{name_objective(cast(Objective, name))} {text}"


def _name_axis(name: Objective | Cost) -> str:
    return name if name in COSTS else f"validation {name_objective(name)}"
