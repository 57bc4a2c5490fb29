"""What of a dataset is kept and what is held out, as numbers of rows."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from harness.data.fairness import Grouped, copied
from harness.data.sources import Array, Decoded
from harness.errors import DataError, did_you_mean


def stratified(labels: Array, fraction: float, seed: int, what: str) -> tuple[Array, Array]:
    """Sorted row numbers (rest, held out), classes in proportion, by scikit-learn."""
    from sklearn.model_selection import train_test_split

    try:
        rest, held_out = train_test_split(
            np.arange(len(labels)), test_size=fraction, stratify=labels, random_state=seed
        )
    except ValueError as error:
        raise DataError(f"{what} cannot be held out class by class: {error}") from error
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
    for number, name in enumerate(classes):
        if number not in whole.labels[kept]:
            raise DataError(
                f"[data] drop_duplicates: every training example of class '{name}' stands in the "
                "validation or test part too; leave it out, or choose other [data] classes"
            )
    return kept


def of_classes(decoded: Decoded, classes: Sequence[str], name: str) -> Decoded:
    """The examples of some classes alone, numbered as they are listed. Raises DataError."""
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
