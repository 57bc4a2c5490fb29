"""Accuracy by class, hardest first: validation, and test where it was read."""

from __future__ import annotations

import math
from dataclasses import dataclass

import plotly.graph_objects as go

from harness.reports.style import COLOURS, layout
from harness.tracking.records import RunRecord, StudyRun, TestReading


@dataclass(frozen=True)
class ClassAccuracy:
    """Parallel tuples, hardest class first; `test` is empty where the test set was not read."""

    names: tuple[str, ...]
    validation: tuple[float, ...]
    test: tuple[float, ...]


def data(study: StudyRun, champion: RunRecord, reading: TestReading | None) -> ClassAccuracy:
    validation = champion.class_accuracy
    test = reading.class_accuracy if reading else ()
    ranked_by = test or validation
    order = sorted(
        (index for index, value in enumerate(ranked_by) if not math.isnan(value)),
        key=lambda index: ranked_by[index],
    )
    return ClassAccuracy(
        tuple(study.classes[index] for index in order),
        tuple(validation[index] for index in order),
        tuple(test[index] for index in order) if test else (),
    )


def figure(classes: ClassAccuracy) -> go.Figure:
    made = go.Figure()
    series = [
        ("validation", classes.validation, {"color": COLOURS[0], "symbol": "circle-open"}),
        ("test", classes.test, {"color": COLOURS[1], "symbol": "circle"}),
    ]
    for name, values, marker in series:
        if values:
            made.add_trace(
                go.Scatter(
                    x=values,
                    y=classes.names,
                    mode="markers",
                    name=name,
                    marker=marker
                    | {"size": 13 if name == "validation" else 8, "line": {"width": 2}},
                    hovertemplate="%{y}: %{x:.4f}",
                )
            )
    height = 120 + 34 * len(classes.names)
    layout(made, height, legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"})
    made.update_yaxes(autorange="reversed", automargin=True)
    made.update_xaxes(title_text="accuracy")
    return made
