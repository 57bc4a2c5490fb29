"""The section on a regression's predictions: their errors, compared with simpler models."""

from __future__ import annotations

from harness.analysis.summary import Summary
from harness.reports.baselines_section import build_baselines_table, describe_baselines
from harness.reports.page import Section
from harness.reports.plots.registry import build_section_plots
from harness.reports.plots.regression import load_predictions


def build_regression_sections(summary: Summary) -> list[Section]:
    """Return the section; none if no predictions were recorded."""
    predictions = load_predictions(summary)
    if not predictions:
        return []
    return [
        Section(
            name="predicted",
            title="Predicted versus true",
            text="Each dot is an example. On the line the prediction is exact, above it too high. "
            "Residuals that fan out or curve show what the model has not learned.",
            template="table",
            values={
                "paragraphs": [
                    *(split.describe() for split in predictions),
                    *describe_baselines(summary),
                ],
                "table": build_baselines_table(summary),
            },
            plots=build_section_plots("predicted", summary),
        )
    ]
