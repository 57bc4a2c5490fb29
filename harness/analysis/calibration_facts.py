"""The summary's fact about calibration: whether the champion's probabilities can be believed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.analysis.calibration_record import CalibrationRecord, read_test_scores
from harness.analysis.fact import Fact
from harness.analysis.formatting import format_percent
from harness.stats.calibration import CalibrationScores
from harness.stats.conformal import COVERAGE
from harness.stats.proportions import compute_interval

if TYPE_CHECKING:
    from harness.analysis.summary import Summary


def build_calibration_fact(summary: Summary) -> Fact:
    """Return the calibration of the registered model; empty if it was not measured.

    The short form is left out if no temperature is applied, and none is needed.
    """
    record = summary.calibration
    if record is None:
        return Fact("calibration", value=None)
    is_calibrated = summary.study.is_calibrated
    lines = [describe_error(summary, record), describe_temperature(summary, record)]
    if sets := describe_sets(summary):
        lines.append(sets)
    short = ""
    if is_calibrated:
        short = "; ".join(
            filter(None, [_describe_distance(*_get_scores(summary, record)), *lines[2:]])
        )
    elif needs_scaling(record):
        short = (
            f"{_describe_distance('validation', record.plain)}; {record.scaled.ece:.4f} with: "
            "--set study.calibrated=true"
        )
    return Fact("calibration", "calibration", "\n".join(lines), short, _to_dict(summary, record))


def describe_error(summary: Summary, record: CalibrationRecord) -> str:
    """`test ECE 0.0554 (95 %: 0.0000 to 0.0771; by chance alone up to 0.0927), Brier score ...`."""
    name, scores = _get_scores(summary, record)
    low, high = scores.ece_interval
    brier_low, brier_high = scores.brier_interval
    return (
        f"{name} ECE {scores.ece:.4f} (95 %: {low:.4f} to {high:.4f}; by chance alone up to "
        f"{scores.ece_by_chance:.4f}), Brier score {scores.brier:.4f} ({brier_low:.4f} to "
        f"{brier_high:.4f})"
    )


def _describe_distance(name: str, scores: CalibrationScores) -> str:
    """Return the ECE in words: the mean distance of probabilities and right predictions."""
    return (
        f"probabilities are off by {scores.ece:.4f} on average ({name} ECE; by chance alone up to "
        f"{scores.ece_by_chance:.4f})"
    )


def _get_scores(summary: Summary, record: CalibrationRecord) -> tuple[str, CalibrationScores]:
    """Return the scores of the registered model, on the test set if it was read, and that name."""
    is_calibrated = summary.study.is_calibrated
    tested = read_test_scores(summary.reading, is_calibrated)
    if tested is not None:
        return summary.study.test_name, tested
    return "validation", record.get_scores(is_calibrated)


def describe_temperature(summary: Summary, record: CalibrationRecord) -> str:
    """Return what the temperature changes on validation, and whether it is applied."""
    plain, scaled = record.plain, record.scaled
    effect = (
        f"validation ECE {plain.ece:.4f} without it, {scaled.ece:.4f} with it; Brier score "
        f"{plain.brier:.4f} and {scaled.brier:.4f}; log loss {plain.log_loss:.4f} and "
        f"{scaled.log_loss:.4f} (cross-fitted)"
    )
    temperature = f"temperature {record.temperature:.3g}"
    if summary.study.is_calibrated:
        ensemble = "; the ensemble is not scaled" if summary.ensemble is not None else ""
        return f"scaled by {temperature}: {effect}{ensemble}"
    return f"not scaled; {temperature} would fit: {effect}"


def describe_sets(summary: Summary) -> str:
    """Return the size and the coverage of the 90 % sets on the test set; empty if unknown."""
    scores = read_test_scores(summary.reading, summary.study.is_calibrated)
    if scores is None or scores.coverage is None or scores.set_size is None:
        return ""
    low, high = compute_interval(round(scores.coverage * scores.examples), scores.examples)
    return (
        f"{100 * COVERAGE:.0f} % sets of {scores.set_size:.2f} classes cover "
        f"{format_percent(scores.coverage)} of the {summary.study.test_name} set (95 %: "
        f"{format_percent(low)} to {format_percent(high)})"
    )


def needs_scaling(record: CalibrationRecord) -> bool:
    """Whether the network's error is more than chance, and the temperature makes it smaller."""
    plain, scaled = record.plain, record.scaled
    is_better = scaled.log_loss < plain.log_loss and scaled.ece < plain.ece
    return plain.ece > plain.ece_by_chance and is_better


def _to_dict(summary: Summary, record: CalibrationRecord) -> dict[str, Any]:
    is_calibrated = summary.study.is_calibrated
    tested = read_test_scores(summary.reading, is_calibrated)
    return {
        "calibrated": is_calibrated,
        "temperature": record.temperature,
        "validation": _scores_to_dict(record.plain),
        "validation_scaled": _scores_to_dict(record.scaled),
        "test": _scores_to_dict(tested) if tested else None,
        "set_threshold": record.get_threshold(is_calibrated),
    }


def _scores_to_dict(scores: CalibrationScores) -> dict[str, Any]:
    values = scores.to_dict()
    del values["bins"]
    return values
