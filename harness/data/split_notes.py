"""Notes on a split, for people: its validation set, and features without an effect."""

from __future__ import annotations

from collections.abc import Sequence

from harness.data.column_types import join_names


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
