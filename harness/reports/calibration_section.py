"""The section on calibration: whether the champion's probabilities can be believed."""

from __future__ import annotations

from harness.analysis.calibration_facts import (
    describe_error,
    describe_sets,
    describe_temperature,
)
from harness.analysis.summary import Summary
from harness.reports.page import Section
from harness.reports.plots.registry import build_section_plots
from harness.reports.plots.reliability import list_series
from harness.stats.calibration import CalibrationScores


def build_calibration_sections(summary: Summary) -> list[Section]:
    """Return the section; none if the calibration was not measured."""
    record = summary.calibration
    if record is None:
        return []
    sentences = [
        describe_error(summary, record),
        describe_temperature(summary, record),
        describe_sets(summary),
    ]
    folds = ""
    if summary.study.folds:
        folds = (
            "\nThe validation figures are of the folds' networks, each on the examples that it was "
            "not trained on; the test figures are of the final model."
        )
    return [
        Section(
            name="calibration",
            title="Calibration",
            text="Of predictions with probability 0.8, a calibrated model has 80 % right. The ECE "
            "is the mean distance from that over 15 bins. On few examples it is never 0, so "
            f"compare it with what chance alone gives.{folds}",
            template="table",
            values={
                "paragraphs": [f"{each[0].upper()}{each[1:]}." for each in sentences if each],
                "table": _build_table(list_series(summary)),
            },
            plots=build_section_plots("calibration", summary),
        )
    ]


def _build_table(series: list[tuple[str, CalibrationScores]]) -> list[list[str]]:
    """Return a row for each set of examples, below the names of the columns."""
    rows = [["", "examples", "ECE", "by chance up to", "Brier score", "log loss"]]
    for name, each in series:
        figures = (each.ece, each.ece_by_chance, each.brier, each.log_loss)
        rows.append([name, f"{each.examples:,}", *(f"{figure:.4f}" for figure in figures)])
    return rows
