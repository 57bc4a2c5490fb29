"""Notes on a split, for people: its sizes, its validation set, and features without an effect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.data.column_types import join_names
from harness.results import Task
from harness.stats.proportions import compute_interval

SMALL = 100
"""With fewer validation examples, a note warns of what their scores cannot show."""
ADVICE = "docs/questions.md"
"""The page that says how many examples are enough."""
EXAMPLE_ACCURACY = 0.9
"""The accuracy whose interval the note shows."""


def describe_sizes(sizes: Mapping[str, int], folds: int, is_reshuffled: bool = False) -> str:
    """`1,149 train, 288 validation, 360 test`; `1,437 validation in 5 folds` with folds.

    `1,437 validation in 5 folds, drawn again for each trial` if they are reshuffled.
    """
    texts = {part: f"{size:,} {part}" for part, size in sizes.items()}
    if folds:
        texts["validation"] += f" in {folds} folds"
    if is_reshuffled:
        texts["validation"] += ", drawn again for each trial"
    return ", ".join(texts.values())


def describe_validation(name: str, own_validation: bool) -> str:
    """Describe what is done with the validation set that the data comes with."""
    if own_validation:
        return (
            f"{name}: validates on its own validation set (own_validation = true), not on a "
            "fraction of the training set"
        )
    return (
        f"{name}: its training and validation set are merged and split anew, by [data] validation; "
        "to validate on its own validation set, set [data] own_validation = true"
    )


def describe_small_validation(name: str, examples: int, task: Task) -> str:
    """Warn of a validation set that can hardly separate two trials; empty for no warning.

    For a classifier with half the width of an accuracy's interval.
    """
    if examples >= SMALL:
        return ""
    effect = "a few of them decide the score"
    if task == "classes":
        low, high = compute_interval(round(EXAMPLE_ACCURACY * examples), examples)
        accuracy = f"{100 * EXAMPLE_ACCURACY:.0f} %"
        effect = f"an accuracy near {accuracy} is ± {50 * (high - low):.0f} points"
    return f"{name}: only {examples} examples to validate: {effect} ({ADVICE})"


def describe_constant(name: str, features: Sequence[int], columns: Sequence[str]) -> list[str]:
    """Describe the features with one value alone in the training set; an empty list for none."""
    count = len(features)
    if not count:
        return []
    names = f": {join_names([columns[each] for each in features])}" if columns else ""
    noun, verb = ("feature", "has") if count == 1 else ("features", "have")
    return [
        f"{name}: {count:,} {noun} {verb} one value alone in the training set, and so no effect"
        f"{names}"
    ]
