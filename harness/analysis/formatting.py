"""How figures are quoted: an accuracy with its interval, classes, a time; labels beside texts."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from harness.metrics import Score, HasScore
from harness.stats.proportions import wilson, wilson_mean
from harness.tracking.types import Matrix, count_correct


def interval(confusion: Matrix) -> str:
    """` (95 %: 0.9034 to 0.9178)`, by Wilson; nothing where nothing was counted."""
    correct, n = count_correct(confusion)
    if n == 0:
        return ""
    low, high = wilson(correct, n)
    return f" (95 %: {low:.4f} to {high:.4f})"


def percent(share: float) -> str:
    """`71.0 %`."""
    return f"{100 * share:.1f} %"


def ranked_classes(classes: Sequence[str], confusion: Matrix) -> str:
    """`Shirt 71.0 % (hardest, 95 %: 68.1 to 73.7), Coat 83.2 %, ...; on average 90.3 % (...)`.

    Hardest first. Every class's interval would fill the screen: the report and JSON have them. That
    of the hardest says nothing of its being the lowest of several.
    """
    rows = [(row[index], sum(row)) for index, row in enumerate(confusion)]
    known = sorted(
        (correct / n, name, correct, n)
        for name, (correct, n) in zip(classes, rows, strict=False)
        if n
    )
    if not known:
        return "none was counted"
    value, name, correct, n = known[0]
    first = f"{name} {percent(value)} (hardest, {between(*wilson(correct, n))})"
    parts = [first, *(f"{name} {percent(value)}" for value, name, *_ in known[1:])]
    mean = sum(value for value, *_ in known) / len(known)
    return ", ".join(parts) + f"; on average {percent(mean)} ({between(*wilson_mean(rows))})"


def between(low: float, high: float) -> str:
    """`95 %: 68.1 to 73.7 %`."""
    return f"95 %: {100 * low:.1f} to {percent(high)}"


def in_json(score: Score, classes: Sequence[str], of: HasScore) -> dict[str, Any]:
    """A trial's figures, with intervals: accuracy in all and by class, or the errors in units."""
    if score.task == "classes":
        return _by_class(classes, of.confusion)
    return {score.name.lower(): of.score, "interval": score.compute_interval(of)}


def _by_class(classes: Sequence[str], confusion: Matrix) -> dict[str, Any]:
    """Accuracy, in all and by class, with Wilson's intervals; None for what was not counted."""
    correct, n = count_correct(confusion)
    rows = [(row[index], sum(row)) for index, row in enumerate(confusion)]
    by_class = dict(zip(classes, rows, strict=False))
    return {
        "accuracy": correct / n if n else None,
        "interval": wilson(correct, n) if n else None,
        "class_accuracy": {name: c / of if of else None for name, (c, of) in by_class.items()},
        "class_intervals": {
            name: wilson(c, of) if of else None for name, (c, of) in by_class.items()
        },
    }


def counted(number: int, noun: str) -> str:
    """`1 worker`, `1,200 trials`."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def ordinal(number: int) -> str:
    """`1st`, `2nd`, `13th`."""
    ends = {1: "st", 2: "nd", 3: "rd"} if number // 10 % 10 != 1 else {}
    return f"{number}{ends.get(number % 10, 'th')}"


def hardest(classes: Sequence[str], accuracy: Sequence[float]) -> str:
    known = [(value, name) for name, value in zip(classes, accuracy, strict=False) if value >= 0]
    return min(known)[1] if known else "unknown"


def listed(numbers: Iterable[int], most: int = 8) -> str:
    """`3, 17, 21 and 12 more`."""
    found = iter(numbers)
    shown, more = list(itertools.islice(found, most)), sum(1 for _ in found)
    return ", ".join(map(str, shown)) + (f" and {more} more" if more else "")


def duration(seconds: float) -> str:
    """`47 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def aligned(lines: Sequence[tuple[str, str]]) -> str:
    """(label, text) pairs for a terminal."""
    width = max(len(label) for label, _ in lines)
    return "\n".join(f"{label:<{width}}  {text}" for label, text in lines)
