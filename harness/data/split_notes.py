"""Notes on a split, for people: its validation set, its size, and features without an effect."""

from __future__ import annotations

from collections.abc import Sequence

from harness.data.column_types import join_names
from harness.results import Task
from harness.stats.proportions import compute_interval

SMALL = 100
"""With fewer validation examples, a note warns of what their scores cannot show."""
EXAMPLE_ACCURACY = 0.9
"""The accuracy whose interval the note shows."""


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


def describe_small_validation(
    name: str, examples: int, task: Task, own_validation: bool
) -> list[str]:
    """Warn of a validation set that can hardly separate two trials; an empty list for no warning.

    For a classifier with the smallest step of the accuracy, and half the width of its interval.
    """
    if examples >= SMALL:
        return []
    effect = "a few of them decide the score"
    if task == "classes":
        low, high = compute_interval(round(EXAMPLE_ACCURACY * examples), examples)
        effect = (
            f"each is {100 / examples:.1f} points of accuracy, and a 95 % interval near "
            f"{100 * EXAMPLE_ACCURACY:.0f} % is ± {50 * (high - low):.0f} points"
        )
    remedy = "" if own_validation else ", or validate on more of them ([data] validation),"
    return [
        f"{name}: only {examples} examples to validate: {effect}; add examples{remedy} to "
        "compare trials"
    ]


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
