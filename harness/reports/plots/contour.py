"""The objective over the two most important settings: a smoothed surface, and the trials on it.

The surface is the Nadaraya-Watson estimate: at each point the mean of the complete trials,
weighted by a Gaussian of their distance. Where no trial is near, it is blank. The other settings
vary too, so a single trial may differ from the surface.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from harness.metrics import format_objective, get_sort_sign
from harness.reports.parameter_axes import ParameterAxis, build_parameter_axes
from harness.reports.plots.base import Plot
from harness.reports.plots.importance import compute_importance
from harness.reports.plots.scatter import (
    Point,
    add_points,
    compute_axis_range,
    format_objective_title,
    get_objective_format,
    list_measured_trials,
)
from harness.reports.plots.style import apply_layout, escape_label
from harness.results import Objective
from harness.tracking.types import StudyRun

if TYPE_CHECKING:
    from harness.analysis.summary import Summary

MIN_TRIALS = 20
"""With fewer trials, a surface over two settings is mostly guessed."""
CELLS = 30
"""Of a range."""
BANDWIDTH = 0.1
"""Standard deviation of the weights, as a share of a range."""
MIN_WEIGHT = 0.3
"""With a smaller sum of weights, the surface is blank. A trial at the same place has weight 1."""
MARGIN = 0.04
"""Beyond a range, as a share of it."""

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Contour:
    x_axis: ParameterAxis
    """The most important setting."""
    y_axis: ParameterAxis
    x: tuple[float, ...]
    """Positions of the surface's columns."""
    y: tuple[float, ...]
    surface: tuple[tuple[float | None, ...], ...]
    """[y][x]; None where no trial is near."""
    range: tuple[float, float]
    """The objective of the colours' ends; bad trials are outside."""
    points: tuple[Point, ...]
    """Complete and pruned trials, best first; `y` is the position on the second setting."""
    objective: Objective


def build_plots(summary: Summary) -> list[Plot]:
    """Return the plot of a search with at least MIN_TRIALS trials and two settings."""
    contour = compute_contour(summary.study)
    if contour is None:
        return []
    title = f"The two most important settings: {contour.x_axis.name} and {contour.y_axis.name}"
    return [Plot("contour", title, draw_contour(contour), wide=True)]


def compute_contour(study: StudyRun) -> Contour | None:
    """Compute the surface over the two settings with the largest importance."""
    names, objective = [name for name, _ in compute_importance(study).shares[:2]], study.objective
    sign, pairs = get_sort_sign(objective), list_measured_trials(study)
    complete = [(run.number, value) for run, value in pairs if run.state == "COMPLETE"]
    if len(names) < 2 or len(pairs) < MIN_TRIALS:
        return None
    axes = {axis.name: axis for axis in build_parameter_axes(study)}
    x_axis, y_axis = axes[names[0]], axes[names[1]]
    ranked = sorted(pairs, key=lambda pair: (sign * pair[1], pair[0].number))
    points = tuple(
        Point(
            run.number,
            round(x_axis.draw_position(run.number), 4),
            round(y_axis.draw_position(run.number), 4),
            f"{format_objective(value, objective)}; {x_axis.texts[run.number]}, "
            f"{y_axis.texts[run.number]}",
            run.state == "COMPLETE",
        )
        for run, value in ranked
    )
    pruned = [value for run, value in pairs if run.state == "PRUNED"]
    low, high = compute_axis_range([value for _, value in complete], pruned, objective)
    x, y = _list_positions(x_axis), _list_positions(y_axis)
    values = np.clip([value for _, value in complete], low, high)
    numbers = [number for number, _ in complete]
    surface = _smooth(_weigh(x_axis, x, numbers), _weigh(y_axis, y, numbers), values)
    return Contour(x_axis, y_axis, x, y, surface, (low, high), points, objective)


def draw_contour(contour: Contour) -> go.Figure:
    is_lower_better = get_sort_sign(contour.objective) > 0
    drawn = [value for row in contour.surface for value in row if value is not None]
    has_choice = contour.x_axis.spacing or contour.y_axis.spacing
    figure = go.Figure(
        # Contour lines between two choices would show values that do not exist.
        (go.Heatmap if has_choice else go.Contour)(
            x=contour.x,
            y=contour.y,
            z=contour.surface,
            zmin=min(drawn),
            zmax=max(drawn),
            colorscale="Blues",
            reversescale=not is_lower_better,
            opacity=0.75,
            colorbar={
                "title": {"text": format_objective_title(contour.objective), "side": "right"}
            },
            hovertemplate=f"about %{{z:{get_objective_format(contour.objective)}}}<extra></extra>",
        )
    )
    add_points(figure, contour.points, "%{text}")
    apply_layout(figure, 420)
    for update, axis in (
        (figure.update_xaxes, contour.x_axis),
        (figure.update_yaxes, contour.y_axis),
    ):
        margin = 0.0 if axis.spacing else MARGIN * (axis.high - axis.low)
        update(
            title_text=escape_label(axis.name),
            tickvals=[position for position, _ in axis.ticks],
            ticktext=[escape_label(text, 16) for _, text in axis.ticks],
            range=[axis.low - margin, axis.high + margin],
        )
    return figure


def _list_positions(axis: ParameterAxis) -> tuple[float, ...]:
    """Return a position for each of few values, or CELLS positions on a range."""
    if axis.spacing:
        return tuple(position for position, _ in axis.ticks)
    return tuple(round(each, 4) for each in np.linspace(axis.low, axis.high, CELLS).tolist())


def _weigh(axis: ParameterAxis, positions: Sequence[float], numbers: Sequence[int]) -> Values:
    """Return the weights of trials at positions of one axis, [positions, trials]."""
    trials = np.array([axis.positions[number] for number in numbers])
    distances = np.abs(np.array(positions)[:, None] - trials)
    if axis.spacing:
        same: Values = (distances < axis.spacing / 2).astype(np.float64)
        return same
    weights: Values = np.exp(-0.5 * np.square(distances / (BANDWIDTH * (axis.high - axis.low))))
    return weights


def _smooth(
    x_weights: Values, y_weights: Values, values: Values
) -> tuple[tuple[float | None, ...], ...]:
    """Return the weighted means [y][x] of the trials' values."""
    totals = y_weights @ x_weights.T  # [y, x]
    sums = (y_weights * values) @ x_weights.T
    rows = np.round(sums / np.maximum(totals, 1e-9), 5).tolist()
    return tuple(
        tuple(value if total >= MIN_WEIGHT else None for value, total in zip(*pair, strict=True))
        for pair in zip(rows, totals.tolist(), strict=True)
    )
