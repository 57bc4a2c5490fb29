"""The table of `generalise.py`."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

METHODS = {
    "holdout": "one validation set",
    "confirm": "one validation set, the best 3 settings confirmed on 3 new splits",
    "ensemble": "one validation set, ensemble of up to 16 trials",
    "folds": "5 folds, champion trained again on all examples",
    "reshuffle": "the same, with other folds in each trial",
}
KIND_NAMES = {"made": "made", "mnist": "MNIST", "fashion-mnist": "FashionMNIST"}
STUDIES = ("holdout", "confirm", "folds", "reshuffle")
Z_95 = 1.96
Row = dict[str, Any]


def format_table(rows: Sequence[Row]) -> str:
    """Return the Markdown tables of the true scores and of the coverage of intervals."""
    kinds = [kind for kind in KIND_NAMES if any(row["kind"] == kind for row in rows)]
    counts = ", ".join(
        f"{sum(row['kind'] == kind for row in rows)} of {KIND_NAMES[kind]}" for kind in kinds
    )
    names = [KIND_NAMES[kind] for kind in kinds]
    lines = [
        f"{len(rows)} datasets: {counts}.",
        "",
        f"| chosen by | CPU seconds | {' | '.join(names)} | against one validation set |",
        f"|---|---|{'---|' * len(kinds)}---|",
    ]
    for method, title in METHODS.items():
        seconds = statistics.median(row[method]["seconds"] for row in rows)
        cells = [f"{seconds:.1f}"]
        for kind in kinds:
            values = [100 * row[method]["true"] for row in rows if row["kind"] == kind]
            cells.append(f"{statistics.fmean(values):.2f}")
        leads = [100 * (row[method]["true"] - row["holdout"]["true"]) for row in rows]
        cells.append(_format_lead(leads) if method != "holdout" else "")
        lines.append(f"| {title} | {' | '.join(cells)} |")
    lines += [
        "",
        "| interval | truth | covered | width, points | reported minus truth, points |",
        "|---|---|---|---|---|",
    ]
    tested = [row[method] for row in rows for method in STUDIES]
    lines.append(
        _format_coverage(
            "test accuracy, all kinds of study",
            "the model",
            tested,
            lambda each: each["test"],
        )
    )
    for method, name in (("folds", "5 folds"), ("reshuffle", "5 folds, others in each trial")):
        folds = [row[method] for row in rows]
        lines.append(
            _format_coverage(
                f"{name}, corrected for selection",
                "the model",
                folds,
                lambda each: each["corrected"],
            )
        )
        lines.append(
            _format_coverage(
                f"{name}, not corrected",
                "the model",
                folds,
                lambda each: [each["reported"], *each["interval"]],
            )
        )
    holdouts = [row["holdout"] for row in rows]
    lines.append(
        _format_coverage(
            "one validation set, not corrected",
            "the model",
            holdouts,
            lambda each: [each["reported"], *each["interval"]],
        )
    )
    return "\n".join(lines) + "\n"


def _format_lead(leads: Sequence[float]) -> str:
    """`+1.23 (+0.80 to +1.66), better on 80 of 90`: the mean with its 95 % interval."""
    mean, error = statistics.fmean(leads), statistics.stdev(leads) / math.sqrt(len(leads))
    better = sum(lead > 0 for lead in leads)
    bounds = f"{mean - Z_95 * error:+.2f} to {mean + Z_95 * error:+.2f}"
    return f"{mean:+.2f} ({bounds}), better on {better} of {len(leads)}"


def _format_coverage(
    name: str, truth: str, rows: Sequence[Row], read: Callable[[Row], Sequence[float]]
) -> str:
    """Return the row of an interval; `read` returns value, low and high of a study."""
    values = [(*read(row), row["true"]) for row in rows]
    covered = sum(low <= true <= high for _, low, high, true in values)
    width = 100 * statistics.fmean(high - low for _, low, high, _ in values)
    excess = 100 * statistics.fmean(value - true for value, _, _, true in values)
    share = f"{100 * covered / len(values):.0f} % ({covered} of {len(values)})"
    return f"| {name} | {truth} | {share} | {width:.1f} | {excess:+.2f} |"
