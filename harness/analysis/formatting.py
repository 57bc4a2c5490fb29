"""Format numbers for people: percentages, intervals, accuracies by class, durations, counts."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from harness.metrics import HasScore, Score
from harness.results import (
    ConfusionMatrix,
    count_correct,
    count_correct_by_class,
)
from harness.stats.proportions import compute_interval, compute_mean_interval


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


def format_class_accuracies(classes: Sequence[str], confusion: ConfusionMatrix) -> str:
    """`Shirt 71.0 % (hardest, 95 %: 68.1 to 73.7 %), Coat 83.2 %; on average 77.1 % (95 %: ...)`.

    The hardest class is first. Only it and the mean have an interval: the report and the JSON have
    those of all classes. The hardest class's interval does not allow for its selection as the
    lowest of several.
    """
    counts = count_correct_by_class(confusion)
    ranked = sorted(
        (correct / n, name, correct, n)
        for name, (correct, n) in zip(classes, counts, strict=False)
        if n
    )
    if not ranked:
        return "no examples"
    accuracy, name, correct, n = ranked[0]
    interval = format_percent_interval(*compute_interval(correct, n))
    parts = [f"{name} {format_percent(accuracy)} (hardest, {interval})"]
    parts += [f"{name} {format_percent(accuracy)}" for accuracy, name, *_ in ranked[1:]]
    mean = sum(accuracy for accuracy, *_ in ranked) / len(ranked)
    mean_interval = format_percent_interval(*compute_mean_interval(counts))
    return f"{', '.join(parts)}; on average {format_percent(mean)} ({mean_interval})"


def find_hardest_class(classes: Sequence[str], accuracies: Sequence[float]) -> str:
    """Return the class with the lowest accuracy; classes without examples have NaN."""
    known = [(value, name) for name, value in zip(classes, accuracies, strict=False) if value >= 0]
    return min(known)[1] if known else "unknown"


def score_to_dict(score: Score, classes: Sequence[str], result: HasScore) -> dict[str, Any]:
    """Return a result's score for JSON, with its interval; for a classifier by class too.

    The value is None for a class without examples.
    """
    if score.task != "classes":
        return {score.name.lower(): result.score, "interval": score.compute_interval(result)}
    correct, n = count_correct(result.confusion)
    by_class = dict(zip(classes, count_correct_by_class(result.confusion), strict=False))
    return {
        "accuracy": correct / n if n else None,
        "interval": compute_interval(correct, n) if n else None,
        "class_accuracy": {
            name: correct / n if n else None for name, (correct, n) in by_class.items()
        },
        "class_intervals": {
            name: compute_interval(correct, n) if n else None
            for name, (correct, n) in by_class.items()
        },
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


def align_labels(lines: Sequence[tuple[str, str]]) -> str:
    """Format (label, text) pairs as lines for a terminal, the texts in one column."""
    width = max(len(label) for label, _ in lines)
    return "\n".join(f"{label:<{width}}  {text}" for label, text in lines)
