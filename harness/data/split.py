"""What of a dataset is kept and what is held out, as numbers of rows."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from harness.data.leakage import Grouped, copied
from harness.data.types import Array, Decoded
from harness.errors import DataError, did_you_mean

MOST_CLASSES = 256
"""Predictions are kept as one byte each."""
LONGEST_CLASS = 100
"""Letters of a class's name, which becomes a metric's."""


def checked(decoded: Decoded, name: str) -> Decoded:
    """As it is, where it can be split and trained on. Raises DataError."""
    labels, classes = decoded.labels, decoded.classes
    if labels.dtype.kind == "f":
        if labels.min() == labels.max():
            raise DataError(f"{name}: every target is {labels[0]:g}; there is nothing to predict")
        return decoded
    if len(classes) < 2:
        raise DataError(
            f"{name}: one class alone ({', '.join(classes)}) is nothing to tell apart; it takes two"
        )
    if len(classes) > MOST_CLASSES:
        raise DataError(
            f"{name}: {len(classes):,} classes, such as '{classes[0]}' and '{classes[1]}'; at most "
            f"{MOST_CLASSES} are told apart; choose some by [data] classes, or predict numbers by "
            'task = "regression"'
        )
    for number, count in enumerate(np.bincount(labels, minlength=len(classes))):
        if count < 2:
            raise DataError(
                f"{name}: class '{classes[number]}' has {'one example' if count else 'no example'} "
                "to train on, and every class needs one in training and one in validation; add "
                "some, or leave it out by [data] classes"
            )
        called = classes[number]
        if len(called) > LONGEST_CLASS or not called.isprintable() or not called.strip():
            raise DataError(
                f"{name}: a class is called {called[:LONGEST_CLASS]!r}; a name is 1 to "
                f"{LONGEST_CLASS} letters on one line"
            )
    return decoded


def split(labels: Array, fraction: float, seed: int, what: str) -> tuple[Array, Array]:
    """Sorted row numbers (rest, held out), by scikit-learn: classes in proportion; the targets of
    a regression are drawn regardless of their values."""
    from sklearn.model_selection import train_test_split

    classes = labels if labels.dtype.kind != "f" else None
    held, least = math.ceil(fraction * len(labels)), 1
    if classes is not None:
        counts = np.unique(classes, return_counts=True)[1]
        least = len(counts)
        if counts.min() < 2:
            raise DataError(
                f"{what} cannot be held out: of one class a single example is left; give more of "
                "it, or leave it out by [data] classes"
            )
    if min(held, len(labels) - held) < least:
        few = f"{held:,} of {len(labels):,} examples" if held < least else "what it leaves"
        of = "at least one example" if least == 1 else f"one of each of the {least:,} classes"
        raise DataError(
            f"{what} cannot be held out: {few} cannot hold {of}; choose another share, or give "
            "more data"
        )
    rest, held_out = train_test_split(
        np.arange(len(labels)), test_size=fraction, stratify=classes, random_state=seed
    )
    return np.sort(rest), np.sort(held_out)


def with_test(decoded: Decoded, rest: Array, held_out: Array) -> Decoded:
    """A dataset whose test part is `held_out` of its training part; its own, if any, is left out.

    Both are numbers of rows.
    """
    inputs, labels = decoded.inputs, decoded.labels
    return replace(
        decoded,
        inputs=inputs[rest],
        labels=labels[rest],
        test=(inputs[held_out], labels[held_out]),
        test_rows=digest_of(held_out),
    )


def without_copies(
    rows: Array, whole: Grouped, others: Sequence[Grouped], classes: Sequence[str]
) -> Array:
    """Those of the rows into `whole` whose examples stand in none of the other parts.

    Raises DataError where a class has none left.
    """
    kept = rows[~copied(whole[rows], *others)]
    if not len(kept):
        raise DataError(
            "[data] drop_duplicates: every training example stands in the validation or test part "
            "too; leave it out"
        )
    for number, name in enumerate(classes):
        if number not in whole.labels[kept]:
            raise DataError(
                f"[data] drop_duplicates: every training example of class '{name}' stands in the "
                "validation or test part too; leave it out, or choose other [data] classes"
            )
    return kept


def of_classes(decoded: Decoded, classes: Sequence[str], name: str) -> Decoded:
    """The examples of some classes alone, numbered as they are listed. Raises DataError."""
    if not decoded.classes:
        raise DataError(f"[data] classes: {name} is a regression's, which has none; leave it out")
    for wanted in classes:
        if wanted not in decoded.classes:
            raise DataError(
                f"[data] classes: {name} has no class '{wanted}'"
                f"{did_you_mean(wanted, decoded.classes)}"
            )
    numbers = np.full(len(decoded.classes), -1, np.int64)
    numbers[[decoded.classes.index(each) for each in classes]] = np.arange(len(classes))

    def chosen(inputs: Array, labels: Array) -> tuple[Array, Array]:
        rows = numbers[labels] >= 0
        return inputs[rows], numbers[labels[rows]]

    inputs, labels = chosen(decoded.inputs, decoded.labels)
    return replace(
        decoded,
        inputs=inputs,
        labels=labels,
        test=chosen(*decoded.test) if decoded.test else None,
        classes=tuple(classes),
    )


def digest_of(*rows: Array) -> str:
    """SHA-256 of some numbers of rows, each list's end marked."""
    digest = hashlib.sha256()
    for part in rows:
        digest.update(part.astype("<i8").tobytes() + b"|")
    return digest.hexdigest()
