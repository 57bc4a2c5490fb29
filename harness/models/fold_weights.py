"""The recorded weights of a trial with folds: those of one network for each fold, in one file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")
PREFIX = re.compile(r"fold([1-9][0-9]*)\.")


def name_in_fold(name: str, fold: int) -> str:
    """Return the name of a tensor in the file: `fold1.mean` for the first fold, number 0."""
    return f"fold{fold + 1}.{name}"


def split_folds(weights: Mapping[str, T]) -> list[dict[str, T]]:
    """Return the state dict of each fold's network; none for a network without folds.

    It also splits what is known of each tensor, such as its shape.
    """
    folds: dict[int, dict[str, T]] = {}
    for name, tensor in weights.items():
        if (match := PREFIX.match(name)) is not None:
            folds.setdefault(int(match[1]), {})[name[match.end() :]] = tensor
    return [folds[number] for number in sorted(folds)]
