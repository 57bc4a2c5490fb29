"""Format numbers for people: percentages, intervals, accuracies by class, durations, counts."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from harness.metrics import Score
from harness.results import (
    ConfusionMatrix,
    HasScore,
    count_correct,
    count_correct_by_class,
)
from harness.stats.proportions import (
    LowestProportion,
    compute_interval,
    compute_mean_interval,
    find_lowest_proportion,
)

MAX_FILE_NAME = 55
"""Characters, of up to 4 bytes each: a file name has at most 255 bytes."""
READ_AS_ANSWER = ("no", "none", "yes")
"""Names of classes that are quoted, because a reader would take them for an answer."""
NO_HARDEST_CLASS = "no class is clearly hardest"


def format_accuracy_interval(confusion: ConfusionMatrix) -> str:
    """` (95 %: 0.9034 to 0.9178)`; empty without any example."""
    correct, n = count_correct(confusion)
    if n == 0:
        return ""
    low, high = compute_interval(correct, n)
    return f" (95 %: {low:.4f} to {high:.4f})"


def format_percent(share: float) -> str:
    """`71.0 %`."""
    return f"{100 * share:.1f} %"


def format_percent_interval(low: float, high: float) -> str:
    """`95 %: 68.1 to 73.7 %`."""
    return f"95 %: {100 * low:.1f} to {format_percent(high)}"


@dataclass(frozen=True)
class HardestClass:
    """The class with the lowest accuracy, with statistics that allow for its selection."""

    name: str
    accuracy: float
    lowest: LowestProportion

    @property
    def is_clear(self) -> bool:
        """Whether it is significantly harder than the other classes together."""
        return self.lowest.is_clear

    def describe(self) -> str:
        """`Shirt, 71.0 % (95 %: 66.6 to 75.0 %)`."""
        low, high = self.lowest.interval
        accuracy = format_percent(self.accuracy)
        name = f"'{self.name}'" if self.name.lower() in READ_AS_ANSWER else self.name
        return f"{name}, {accuracy} ({format_percent_interval(low, high)})"

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON has."""
        return {
            "hardest_class": self.name,
            "hardest_class_interval": self.lowest.interval,
            "hardest_class_p_value": self.lowest.p_value,
        }


def find_hardest_class(classes: Sequence[str], confusion: ConfusionMatrix) -> HardestClass | None:
    """Return the class with the lowest accuracy; of equal ones, the first by name.

    None without any example.
    """
    ranked = sorted(zip(classes, count_correct_by_class(confusion), strict=False))
    lowest = find_lowest_proportion([counts for _, counts in ranked])
    if lowest is None:
        return None
    name, (correct, n) = ranked[lowest.index]
    return HardestClass(name, correct / n, lowest)


def format_class_accuracies(classes: Sequence[str], confusion: ConfusionMatrix) -> str:
    """`Shirt 71.0 % (hardest, 95 %: 66.6 to 75.0 %), Coat 83.2 %; on average 77.1 % (95 %: ...)`.

    The class with the lowest accuracy is first. Only it and the mean have an interval: the report
    and the JSON have those of all classes. The first class's interval allows for its selection.
    """
    hardest = find_hardest_class(classes, confusion)
    if hardest is None:
        return "no examples"
    counts = count_correct_by_class(confusion)
    ranked = sorted(
        (correct / n, name) for name, (correct, n) in zip(classes, counts, strict=False) if n
    )
    interval = format_percent_interval(*hardest.lowest.interval)
    note = f"hardest, {interval}" if hardest.is_clear else f"{interval}; {NO_HARDEST_CLASS}"
    parts = [f"{name} {format_percent(accuracy)}" for accuracy, name in ranked]
    parts[0] += f" ({note})"
    mean = sum(accuracy for accuracy, _ in ranked) / len(ranked)
    mean_interval = format_percent_interval(*compute_mean_interval(counts))
    return f"{', '.join(parts)}; on average {format_percent(mean)} ({mean_interval})"


def score_to_dict(score: Score, classes: Sequence[str], result: HasScore) -> dict[str, Any]:
    """Return a result's score for JSON, with its interval; for a classifier by class too.

    The value is None for a class without examples, and for an AUC of one class.
    """
    objective: dict[str, Any] = {}
    if score.objective is not None:
        name = score.objective.removeprefix("val/")
        value = None if math.isnan(result.score) else result.score
        objective = {name: value, f"{name}_interval": result.score_interval}
        score = score.tested
    if score.task != "classes":
        rmse = {} if objective else {score.name.lower(): result.score}
        return {
            **rmse,
            "interval": score.compute_interval(result),
            "mae_interval": result.mae_interval,
            **objective,
        }
    correct, n = count_correct(result.confusion)
    by_class = dict(zip(classes, count_correct_by_class(result.confusion), strict=False))
    return {
        "accuracy": correct / n if n else None,
        "interval": score.compute_interval(result),
        "class_accuracy": {
            name: correct / n if n else None for name, (correct, n) in by_class.items()
        },
        "class_intervals": {
            name: compute_interval(correct, n) if n else None
            for name, (correct, n) in by_class.items()
        },
        **objective,
    }


def format_count(number: int, noun: str) -> str:
    """`1 worker`, `1,200 trials`."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def format_ordinal(number: int) -> str:
    """`1st`, `2nd`, `13th`."""
    import humanize  # here: its import takes 10 ms, and most commands print no ordinal

    return humanize.ordinal(number)


def format_times(number: int) -> str:
    """`once`, `twice`, `3 times`."""
    return {1: "once", 2: "twice"}.get(number, f"{number:,} times")


def join_numbers(numbers: Iterable[int], limit: int = 8) -> str:
    """`3, 17, 21 and 12 more`."""
    remaining = iter(numbers)
    first, more = list(itertools.islice(remaining, limit)), sum(1 for _ in remaining)
    return ", ".join(map(str, first)) + (f" and {more} more" if more else "")


def format_duration(seconds: float) -> str:
    """`47 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def format_file_name(title: str) -> str:
    """Format a title as a file name without an ending: `shapes-1-seed-3`."""
    return re.sub(r"[^\w.]+", "-", title)[:MAX_FILE_NAME].strip("-.") or "page"
