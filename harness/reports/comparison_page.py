"""The page of `harness compare`: settings, curves, classes and paired tests of several trials."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from harness.analysis.formatting import format_file_name
from harness.metrics import Score
from harness.reports.page import Page, Section
from harness.reports.plots.base import Plot
from harness.reports.plots.class_accuracy import (
    ClassAccuracy,
    compute_class_accuracy,
    draw_class_accuracy,
)
from harness.reports.plots.learning_curves import build_curve_plots, compute_learning_curves
from harness.reports.plots.style import (
    COLOURS,
    LEGEND_ABOVE,
    apply_layout,
    escape_label,
    label_rows,
)
from harness.results import HasScore

if TYPE_CHECKING:
    from harness.analysis.comparison import Comparison, Side
    from harness.workspace import Workspace

Table = list[list[str]]


def build_comparison_page(comparison: Comparison) -> Page:
    """Return the page of a comparison."""
    sides = comparison.sides
    return Page(
        title=" versus ".join(side.name for side in sides),
        subtitle="; ".join(
            f"{side.letter} is {side.name}, {side.run.spec.describe()}" for side in sides
        ),
        sections=[
            _build_result_section(comparison),
            _build_settings_section(comparison),
            _build_curves_section(sides),
            *([_build_classes_section(sides)] if sides[0].study.classes else []),
        ],
        trials={side.letter: f"{side.letter} · {side.name}" for side in sides},
        selected=[side.letter for side in sides],
    )


def get_page_path(workspace: Workspace, comparison: Comparison, uri: str) -> Path:
    """Return the page's path, which is the same for the same trials in the same order."""
    names = format_file_name(" vs ".join(side.name for side in comparison.sides))
    digest = hashlib.sha256(" ".join(side.run.run_id for side in comparison.sides).encode())
    folder = workspace.report_path("compare", uri).parent
    return folder / f"{names}-{digest.hexdigest()[:8]}" / "index.html"


def _build_result_section(comparison: Comparison) -> Section:
    sides = comparison.sides
    table = [["", *(f"{side.letter} · {side.name}" for side in sides)]]
    table.append(["state", *(side.describe_state() for side in sides)])
    score = sides[0].study.score
    table.append(
        [f"validation {score.full_name}", *(_format_score(score, side.run) for side in sides)]
    )
    if score.task == "classes":
        table.append(["validation loss", *(f"{side.best_epoch.val_loss:.4f}" for side in sides)])
    else:
        table.append(
            [
                "validation MAE and R2",
                *(score.format_epoch(side.run, side.best_epoch) for side in sides),
            ]
        )
    readings = [side.reading for side in sides]
    if any(readings):
        table.append(
            [
                f"test {score.full_name}",
                *(_format_score(score, each) if each else "sealed" for each in readings),
            ]
        )
    table.append(["best epoch", *(str(side.best_epoch.epoch) for side in sides)])
    table.append(["parameters", *(f"{side.run.parameters:,}" for side in sides)])
    seconds = [sum(epoch.seconds for epoch in side.run.epochs) for side in sides]
    table.append(["seconds of training", *(f"{each:.1f}" for each in seconds)])
    paragraphs = [
        f"A and {side.letter}: {comparison.describe_test(index)}."
        for index, side in enumerate(sides[1:])
    ]
    if len(sides) > 2 and any(comparison.against_first):
        paragraphs.append("The p-values are adjusted by Holm's method.")
    paragraphs.append(
        f"A champion was chosen by its {score.name} on these same examples, so its score is "
        "optimistic (selection bias)."
    )
    return Section(
        name="result",
        title="Which is better",
        template="table",
        values={"table": table, "paragraphs": paragraphs},
    )


def _build_settings_section(comparison: Comparison) -> Section:
    head = ["", *(f"{side.letter} · {side.name}" for side in comparison.sides)]
    rows = [[name, *values] for name, values in comparison.differing.items()]
    return Section(
        name="settings",
        title="Settings that differ",
        text="" if rows else "None: the settings and the data are the same.",
        template="table",
        values={"table": [head, *rows] if rows else [], "paragraphs": []},
    )


def _build_curves_section(sides: tuple[Side, ...]) -> Section:
    curves = compute_learning_curves([(side.letter, side.run) for side in sides])
    plots = build_curve_plots(curves, key_prefix="")
    return Section(name="curves", title="Learning curves", plots=plots)


def _build_classes_section(sides: tuple[Side, ...]) -> Section:
    if len({side.study.classes for side in sides}) > 1:
        says = "The trials were trained on different classes."
        return Section(name="classes", title="Results by class", text=says)
    matrices = {f"{side.letter} · {side.name}": side.run.confusion for side in sides}
    accuracy = compute_class_accuracy(sides[0].study.classes, matrices)
    plots = [Plot("classes", "Accuracy on the validation set", draw_class_accuracy(accuracy))]
    plots.append(Plot("differences", "Difference from A, in points", draw_differences(accuracy)))
    return Section(
        name="classes",
        title="Results by class",
        text="The class on which the last trial has the lowest accuracy is first. The 95 % "
        "intervals of a trial hold for all classes together.",
        plots=plots,
    )


def draw_differences(accuracy: ClassAccuracy) -> go.Figure:
    """Draw each class's accuracy minus that of the first series."""
    figure = go.Figure()
    names = [escape_label(name, 18) for name in accuracy.names]
    first, *others = accuracy.series
    for series, colour in zip(others, COLOURS[1:], strict=False):
        figure.add_trace(
            go.Bar(
                x=[
                    None if value is None or base is None else 100 * (value - base)
                    for value, base in zip(series.accuracy, first.accuracy, strict=True)
                ],
                y=list(range(len(names))),
                orientation="h",
                name=escape_label(series.name),
                marker={"color": colour},
                text=names,
                textposition="none",
                hovertemplate="%{text}: %{x:+.2f} points",
            )
        )
    apply_layout(
        figure,
        110 + 34 * len(names),
        showlegend=True,
        legend=LEGEND_ABOVE,
        margin={"t": 34},
    )
    label_rows(figure, names)
    figure.update_xaxes(title_text="points of accuracy", zeroline=True)
    return figure


def _format_score(score: Score, scored: HasScore) -> str:
    if score.compute_interval(scored) is None:
        return "unknown"
    return score.format_value(scored.score) + score.format_interval(scored)
