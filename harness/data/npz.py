"""An `.npz` of arrays -> inputs and labels.

`x` and `y`, with `x_test` and `y_test` where it has a test part of its own; also as Keras
(`x_train`), MedMNIST (`train_images`) and others call them. Class names may stand in `classes`.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Literal

import numpy as np

from harness.data.split import MOST_CLASSES
from harness.data.types import Array, DataOptions, Decoded
from harness.errors import DataError
from harness.results import Task

INPUTS = ("x", "inputs", "images", "features", "data")
LABELS = ("y", "labels", "targets", "label", "target")
NAMES = ("classes", "class_names", "target_names")
PARTS = {"": "train", "train": "train", "val": "train", "test": "test"}
"""A validation part of its own is joined to training: the split draws it anew."""

Which = tuple[str, str]
"""("train" or "test", "inputs" or "labels")."""


def has_test(path: Path, name: str) -> bool:
    return ("test", "inputs") in _arrays(path, name)[0]


def guess(path: Path, name: str) -> Task:
    """A regression where labels are no whole numbers, or more than classes may be."""
    labels = np.concatenate(_alike(_arrays(path, name)[0]["train", "labels"], name, "labels"))
    if labels.dtype.kind == "f" and (np.isfinite(labels) & (labels != np.floor(labels))).any():
        return "regression"
    many = labels.dtype.kind in "uif" and len(np.unique(labels)) > MOST_CLASSES
    return "regression" if many else "classes"


def decode(path: Path, name: str, asked: DataOptions) -> Decoded:
    """Raises DataError for arrays that do not fit each other or hold what nobody can train on."""
    arrays, given = _arrays(path, name)
    parts = {}
    for part in ("train", "test") if ("test", "inputs") in arrays else ("train",):
        inputs, labels = (
            np.concatenate(_alike(arrays[part, kind], name, kind)) for kind in ("inputs", "labels")
        )
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = labels[:, 0]  # as Keras has CIFAR-10's
        if labels.ndim != 1 or len(labels) != len(inputs):
            raise DataError(
                f"{name}: {part} inputs are {list(inputs.shape)}, their labels "
                f"{list(labels.shape)}; it takes one label for each of the {len(inputs):,} inputs"
            )
        if not inputs.size:
            raise DataError(f"{name}: its {part} part is empty; inputs are {list(inputs.shape)}")
        parts[part] = _inputs(inputs, name), labels
    if len({inputs.shape[1:] for inputs, _ in parts.values()}) > 1:
        shapes = [list(inputs.shape[1:]) for inputs, _ in parts.values()]
        raise DataError(f"{name}: one training input is {shapes[0]}, one test input {shapes[1]}")
    if len({inputs.dtype for inputs, _ in parts.values()}) > 1:
        parts = {part: (each.astype(np.float32), y) for part, (each, y) in parts.items()}
    inputs, labels = parts["train"]
    classes: tuple[str, ...] = ()
    if asked.task == "classes":
        classes = _classes(labels, given, name)
    labelled = {
        part: (x, _numbers(y, name) if asked.task == "regression" else _indices(y, classes, name))
        for part, (x, y) in parts.items()
    }
    scale = float(inputs.max() or 1) if inputs.dtype == np.uint8 else 1.0
    return Decoded(*labelled["train"], labelled.get("test"), classes, scale, target=asked.target)


def _arrays(path: Path, name: str) -> tuple[dict[Which, list[Array]], Array | None]:
    """What the file holds, and the classes' names where it has them."""
    found: dict[Which, list[Array]] = {}
    names, reading = None, ""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            keys = list(file)
            for reading in keys:
                which = _which(reading)
                if which is not None:
                    found.setdefault(which, []).append(file[reading])
                elif reading.lower() in NAMES:
                    names = file[reading]
    except (
        OSError,
        ValueError,
        EOFError,
        TypeError,
        NotImplementedError,
        zipfile.BadZipFile,
    ) as error:
        why = " ".join(str(error).split())
        if "pickle" in why.lower():
            objects = (
                f"its array {reading} holds Python objects; write it as numbers, or by .astype(str)"
            )
            why = objects if reading else "what it begins with is no .npz's"
        if isinstance(error, TypeError):
            why = "it is a single array, an .npy"
        raise DataError(f"{name}: cannot be read as an .npz ({why}); write it again") from None
    for which in (("train", "inputs"), ("train", "labels")):
        lacking = ("test", which[1])
        if which not in found or (lacking not in found and ("test", _other(which[1])) in found):
            part = "test " if which in found else ""
            raise DataError(
                f"{name}: no array of {part}{which[1]} among {', '.join(keys) or 'none at all'}; "
                "call them x and y, and x_test and y_test for a test part"
            )
    return found, names


def _other(kind: str) -> str:
    return "labels" if kind == "inputs" else "inputs"


def _which(key: str) -> Which | None:
    """`x`, `X_train`, `test_images` and so on; None for what is neither inputs nor labels."""
    words = key.lower().split("_")
    for part in PARTS:
        if part in words:
            words.remove(part)
            break
    else:
        part = ""
    base = "_".join(words)
    kind: Literal["inputs", "labels"] | None = (
        "inputs" if base in INPUTS else "labels" if base in LABELS else None
    )
    return None if kind is None else (PARTS[part], kind)


def _alike(arrays: list[Array], name: str, kind: str) -> list[Array]:
    if any(each.ndim == 0 for each in arrays) or len({each.shape[1:] for each in arrays}) > 1:
        shapes = ", ".join(str(list(each.shape)) for each in arrays)
        raise DataError(f"{name}: its {kind} cannot be put together: {shapes}")
    return arrays


def _inputs(inputs: Array, name: str) -> Array:
    """uint8 for pictures, float32 for features; a picture's colours first."""
    if inputs.dtype.kind not in "buif":
        raise DataError(f"{name}: inputs are of type {inputs.dtype}; numbers are needed")
    if inputs.ndim == 1:
        inputs = inputs[:, None]
    if inputs.ndim == 4 and inputs.shape[1] != 3 and inputs.shape[-1] in (1, 3):
        inputs = np.moveaxis(inputs, -1, 1)
    if inputs.ndim == 4 and inputs.shape[1] == 1:
        inputs = inputs[:, 0]
    whole = inputs.dtype.kind in "bui" and inputs.ndim > 2
    if inputs.dtype == np.uint8 or (whole and inputs.min() >= 0 and inputs.max() <= 255):
        return inputs.astype(np.uint8)
    return finite(inputs, name, "an input")


def finite(values: Array, name: str, what: str, first: int = 0) -> Array:
    """As float32. Raises DataError where some are not finite, and says which is the first; rows are
    counted from `first`."""
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32) + np.float32(0)  # -0 and 0 are one value
    wrong = ~np.isfinite(narrow)
    if wrong.any():
        place = np.unravel_index(int(wrong.argmax()), wrong.shape)
        row, inside = int(place[0]) + first, list(map(int, place[1:]))
        raise DataError(
            f"{name}: {what} is {values[place]} in row {row:,}{f' at {inside}' if inside else ''} "
            f"({int(wrong.sum()):,} in all are not finite in float32); fill them, or leave those "
            "rows out"
        )
    return narrow


def _classes(labels: Array, given: Array | None, name: str) -> tuple[str, ...]:
    """Names: those that are given, else of texts themselves, else the numbers."""
    if given is not None:
        names = tuple(str(each) for each in given.ravel())
        if len(set(names)) < len(names):
            raise DataError(f"{name}: two of its {len(names)} class names are equal")
        return names
    found = np.unique(labels)
    if labels.dtype.kind in "US":
        return tuple(_text(each) for each in found)
    return tuple(str(number) for number in range(len(found)))


def _indices(labels: Array, classes: tuple[str, ...], name: str) -> Array:
    """int64 in 0..C-1."""
    if labels.dtype.kind in "US":
        known = {each: number for number, each in enumerate(classes)}
        for each in np.unique(labels):
            if _text(each) not in known:
                raise DataError(f"{name}: the label '{_text(each)}' is none of the classes")
        return np.array([known[_text(each)] for each in labels], np.int64)
    if labels.dtype.kind not in "buif":
        raise DataError(f"{name}: labels are of type {labels.dtype}; numbers or texts are needed")
    whole = np.isfinite(labels) & (labels == np.floor(labels))
    if not whole.all():
        row = int((~whole).argmax())
        raise DataError(
            f"{name}: label {labels[row]} of row {row:,} is no whole number; classes are numbered "
            '0, 1, ...; to predict numbers, give [data] task = "regression"'
        )
    outside = (labels < 0) | (labels >= len(classes))
    if outside.any():
        row = int(outside.argmax())
        raise DataError(
            f"{name}: label {int(labels[row])} of row {row:,} is outside 0..{len(classes) - 1}, as "
            f"{len(classes):,} classes are numbered; number them so "
            "(np.unique(y, return_inverse=True)[1]), or write them as texts"
        )
    return labels.astype(np.int64)


def _numbers(labels: Array, name: str) -> Array:
    if labels.dtype.kind not in "buif":
        raise DataError(
            f"{name}: labels are of type {labels.dtype}, a regression needs numbers; leave out "
            "[data] task to tell classes apart"
        )
    return finite(labels, name, "a label")


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
