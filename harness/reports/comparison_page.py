"""The page of `harness compare`: what differs between trials, and whether it shows."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from harness.metrics import Score, HasScore
from harness.reports.page import Page, Section
from harness.reports.plots import class_accuracy, learning_curves
from harness.reports.plots.style import COLOURS, Plot, label, layout

if TYPE_CHECKING:
    from harness.analysis.comparison import Comparison, Side
    from harness.workspace import Workspace

Table = list[list[str]]


def report(comparison: Comparison) -> Page:
    """The page on a comparison; `write` or `inlined` makes the file."""
    sides = comparison.sides
    return Page(
        title=" against ".join(side.name for side in sides),
        subtitle="; ".join(
            f"{side.letter} is {side.name}, {side.run.spec.describe()}" for side in sides
        ),
        sections=[
            _result(comparison),
            _settings(comparison),
            _curves(sides),
            *([_classes(sides)] if sides[0].study.classes else []),
        ],
        trials={side.letter: f"{side.letter} · {side.name}" for side in sides},
        selected=[side.letter for side in sides],
    )


def report_path(workspace: Workspace, comparison: Comparison, uri: str) -> Path:
    """Where the page on these sides lies: the same for the same ones, in their order."""
    names = [side.name.replace("/", "-") for side in comparison.sides]
    digest = hashlib.sha256(" ".join(side.run.run_id for side in comparison.sides).encode())
    folder = workspace.report_path("compare", uri).parent
    return folder / f"{'-vs-'.join(names)[:80]}-{digest.hexdigest()[:8]}" / "index.html"


def _result(comparison: Comparison) -> Section:
    sides = comparison.sides
    table = [["", *(f"{side.letter} · {side.name}" for side in sides)]]
    table.append(["state", *(side.state for side in sides)])
    score = sides[0].study.score
    table.append([f"validation {score.full_name}", *(_score(score, side.run) for side in sides)])
    if score.task == "classes":
        table.append(["validation loss", *(f"{side.best.val_loss:.4f}" for side in sides)])
    else:
        table.append(["validation MAE and R2", *(score.format_epoch(side.best) for side in sides)])
    tested = [side.reading for side in sides]
    if any(tested):
        table.append(
            [
                f"test {score.full_name}",
                *(_score(score, each) if each else "sealed" for each in tested),
            ]
        )
    table.append(["best epoch", *(str(side.best.epoch) for side in sides)])
    table.append(["parameters", *(f"{side.run.parameters:,}" for side in sides)])
    seconds = [sum(epoch.seconds for epoch in side.run.epochs) for side in sides]
    table.append(["seconds of training", *(f"{each:.1f}" for each in seconds)])
    said = [
        f"A and {side.letter}: {comparison.verdict(index)}." for index, side in enumerate(sides[1:])
    ]
    if len(sides) > 2 and any(comparison.against_first):
        said.append("The p-values are adjusted for their number, by Holm.")
    said.append(
        f"A study's champion was chosen for its {score.name} on these very examples, which "
        "flatters it."
    )
    return Section(
        name="result",
        title="Who is better",
        template="table",
        values={"table": table, "said": said},
    )


def _settings(comparison: Comparison) -> Section:
    head = ["", *(f"{side.letter} · {side.name}" for side in comparison.sides)]
    rows = [[name, *values] for name, values in comparison.differing.items()]
    return Section(
        name="settings",
        title="Settings that differ",
        says="" if rows else "None: they are the same settings on the same data.",
        template="table",
        values={"table": [head, *rows] if rows else [], "said": []},
    )


def _curves(sides: tuple[Side, ...]) -> Section:
    drawn = learning_curves.data([(side.letter, side.run) for side in sides])
    return Section(
        name="curves", title="Learning curves", plots=learning_curves.plots(drawn, called="")
    )


def _classes(sides: tuple[Side, ...]) -> Section:
    if len({side.study.classes for side in sides}) > 1:
        says = "They were trained on different classes."
        return Section(name="classes", title="Class by class", says=says)
    matrices = {f"{side.letter} · {side.name}": side.run.confusion for side in sides}
    ranked = class_accuracy.data(sides[0].study.classes, matrices)
    plots = [Plot("classes", "Accuracy on the validation part", class_accuracy.figure(ranked))]
    plots.append(Plot("differences", "Difference to A, in points", differences(ranked)))
    return Section(
        name="classes",
        title="Class by class",
        says="The hardest class for the last one first.",
        plots=plots,
    )


def differences(found: class_accuracy.ClassAccuracy) -> go.Figure:
    """Bars of accuracy less that of the first series, by class."""
    made = go.Figure()
    names = [label(name, 18) for name in found.names]
    first, *others = found.series
    for series, colour in zip(others, COLOURS[1:], strict=False):
        made.add_trace(
            go.Bar(
                x=[
                    None if mine is None or base is None else 100 * (mine - base)
                    for mine, base in zip(series.accuracy, first.accuracy, strict=True)
                ],
                y=list(range(len(names))),
                orientation="h",
                name=label(series.name),
                marker={"color": colour},
                text=names,
                textposition="none",
                hovertemplate="%{text}: %{x:+.2f} points",
            )
        )
    legend = {"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0}
    layout(made, 110 + 34 * len(names), showlegend=True, legend=legend, margin={"t": 34})
    made.update_yaxes(
        tickvals=list(range(len(names))), ticktext=names, range=[len(names) - 0.5, -0.5]
    )
    made.update_xaxes(title_text="points of accuracy", zeroline=True)
    return made


def _score(score: Score, of: HasScore) -> str:
    if score.compute_interval(of) is None:
        return "unknown"
    return score.format_value(of.score) + score.format_interval(of)
