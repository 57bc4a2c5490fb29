"""How figures are quoted: an accuracy with its interval, classes, a time; labels beside texts."""

from __future__ import annotations

from collections.abc import Sequence

from harness.intervals import wilson
from harness.tracking.records import Matrix, right


def interval(confusion: Matrix) -> str:
    """` (95 %: 0.9034 to 0.9178)`, by Wilson; nothing where nothing was counted."""
    correct, n = right(confusion)
    if n == 0:
        return ""
    low, high = wilson(correct, n)
    return f" (95 %: {low:.4f} to {high:.4f})"


def percent(share: float) -> str:
    """`71.0 %`."""
    return f"{100 * share:.1f} %"


def ranked_classes(classes: Sequence[str], accuracy: Sequence[float]) -> str:
    """`Shirt 71.0 % (hardest), Coat 83.2 %, ...; on average 90.3 %`: hardest first."""
    known = sorted(
        (value, name) for name, value in zip(classes, accuracy, strict=False) if value >= 0
    )
    if not known:
        return "none was counted"
    parts = [f"{name} {percent(value)}" for value, name in known]
    mean = sum(value for value, _ in known) / len(known)
    return ", ".join([f"{parts[0]} (hardest)", *parts[1:]]) + f"; on average {percent(mean)}"


def hardest(classes: Sequence[str], accuracy: Sequence[float]) -> str:
    known = [(value, name) for name, value in zip(classes, accuracy, strict=False) if value >= 0]
    return min(known)[1] if known else "unknown"


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
