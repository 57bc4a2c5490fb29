"""Read an `.npz` of arrays as inputs and labels.

The arrays are `x` and `y`, and `x_test` and `y_test` for a test set; the names that Keras
(`x_train`), MedMNIST (`train_images`) and others use work too. An array `classes` may name the
classes.
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Literal

import numpy as np

from harness.data.float32 import check_targets, describe_offsets, to_finite_float32
from harness.data.split import MAX_CLASSES
from harness.data.types import Array, DataOptions, DatasetArrays
from harness.errors import DataError
from harness.results import Task

INPUTS = ("x", "inputs", "images", "features", "data")
LABELS = ("y", "labels", "targets", "label", "target")
NAMES = ("classes", "class_names", "target_names")
PARTS = {"": "train", "train": "train", "val": "train", "test": "test"}
"""The file's words for a split. A validation set is a part of the training set."""

Key = tuple[str, str]
"""(a word of PARTS, "inputs" or "labels")."""


def list_parts(path: Path, name: str) -> set[str]:
    """Return those of "", "train", "val" and "test" that the file has. Raises DataError."""
    return {part for part, _ in _read_arrays(path, name)[0]}


def guess_task(path: Path, name: str) -> Task:
    """Guess "regression" if labels are not whole numbers, or too many for classes."""
    labels = _join(_read_arrays(path, name)[0], "train", "labels", name)
    if labels.dtype.kind == "f" and (np.isfinite(labels) & (labels != np.floor(labels))).any():
        return "regression"
    too_many = labels.dtype.kind in "uif" and len(np.unique(labels)) > MAX_CLASSES
    return "regression" if too_many else "classes"


def decode(path: Path, name: str, options: DataOptions) -> DatasetArrays:
    """Decode the file. Raises DataError for arrays that do not fit or cannot be trained on."""
    arrays, class_names = _read_arrays(path, name)
    parts, notes = {}, []
    for part in ("train", "test") if ("test", "inputs") in arrays else ("train",):
        inputs, labels = (_join(arrays, part, kind, name) for kind in ("inputs", "labels"))
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = labels[:, 0]  # as Keras has CIFAR-10's
        if labels.ndim != 1 or len(labels) != len(inputs):
            raise DataError(
                f"{name}: {part} inputs are {list(inputs.shape)}, their labels "
                f"{list(labels.shape)}; give one label for each of the {len(inputs):,} inputs"
            )
        if not inputs.size:
            raise DataError(f"{name}: its {part} set is empty; inputs are {list(inputs.shape)}")
        if part == "train":
            notes += describe_offsets(inputs, name)
        parts[part] = _to_inputs(inputs, name), labels
    if len({inputs.shape[1:] for inputs, _ in parts.values()}) > 1:
        shapes = [list(inputs.shape[1:]) for inputs, _ in parts.values()]
        raise DataError(f"{name}: one training input is {shapes[0]}, one test input {shapes[1]}")
    if len({inputs.dtype for inputs, _ in parts.values()}) > 1:
        parts = {part: (x.astype(np.float32), y) for part, (x, y) in parts.items()}
    inputs, labels = parts["train"]
    classes: tuple[str, ...] = ()
    if options.task == "classes":
        classes = _class_names(labels, class_names, name)
    labelled = {
        part: (
            x,
            _to_targets(y, name)
            if options.task == "regression"
            else _to_class_indices(y, classes, name),
        )
        for part, (x, y) in parts.items()
    }
    scale = float(inputs.max() or 1) if inputs.dtype == np.uint8 else 1.0
    return DatasetArrays(
        *labelled["train"],
        labelled.get("test"),
        classes,
        scale,
        target=options.target,
        notes=tuple(notes),
        is_validation=_mark_validation(arrays),
    )


def _unreadable_error(name: str, error: Exception, array: str) -> DataError:
    """Return the error for a file that cannot be read; `array`: the array that is being read."""
    reason, remedy = " ".join(str(error).split()) or repr(error), "write it again"
    if "pickle" in reason.lower():
        reason = "it does not begin as an .npz does"
        if array:
            reason = (
                f"its array {array} holds Python objects; write it as numbers, or by .astype(str)"
            )
    if isinstance(error, TypeError):
        reason = "it is a single array, an .npy"
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EIO):
        reason, remedy = str(error.strerror), "check its permissions and its disk"
    return DataError(f"{name}: cannot be read as an .npz ({reason}); {remedy}")


def _read_arrays(path: Path, name: str) -> tuple[dict[Key, list[Array]], Array | None]:
    """Return the file's inputs and labels, and its class names if it has any. Raises DataError."""
    arrays: dict[Key, list[Array]] = {}
    names, name_in_file = None, ""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            names_in_file = list(file)
            for name_in_file in names_in_file:
                key = _parse_key(name_in_file)
                if key is not None:
                    arrays.setdefault(key, []).append(file[name_in_file])
                elif name_in_file.lower() in NAMES:
                    names = file[name_in_file]
    except Exception as error:  # a damaged zip raises anything
        raise _unreadable_error(name, error, name_in_file) from None
    for kind, other in (("inputs", "labels"), ("labels", "inputs")):
        lacks = [part for part, each in arrays if each == other and (part, kind) not in arrays]
        has_train = any(each == kind and PARTS[part] == "train" for part, each in arrays)
        if lacks or not has_train:
            part = f"{lacks[0]} " if has_train and lacks and lacks[0] else ""
            raise DataError(
                f"{name}: no array of {part}{kind} among "
                f"{', '.join(names_in_file) or 'none at all'}; name them x and y, and x_test and "
                "y_test for a test set"
            )
    return arrays, names


def _parse_key(name: str) -> Key | None:
    """Parse `x`, `X_train`, `test_images` and so on; None for neither inputs nor labels."""
    words = name.lower().split("_")
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
    return None if kind is None else (part, kind)


def _join(arrays: dict[Key, list[Array]], split: str, kind: str, name: str) -> Array:
    """Return the inputs or labels of "train" or "test", in the order in which the inputs are."""
    parts = [part for part, each in arrays if each == "inputs" and PARTS[part] == split]
    chosen = [array for part in parts for array in arrays[part, kind]]
    return np.concatenate(_check_shapes(chosen, name, kind))


def _mark_validation(arrays: dict[Key, list[Array]]) -> Array | None:
    """Return which of the joined training inputs are the validation set; None if there is none."""
    sizes = [
        (part == "val", sum(map(len, each)))
        for (part, kind), each in arrays.items()
        if kind == "inputs" and PARTS[part] == "train"
    ]
    is_validation = np.repeat([is_part for is_part, _ in sizes], [count for _, count in sizes])
    return is_validation if is_validation.any() else None


def _check_shapes(arrays: list[Array], name: str, kind: str) -> list[Array]:
    """Return the arrays if they can be concatenated. Raises DataError."""
    if any(array.ndim == 0 for array in arrays) or len({array.shape[1:] for array in arrays}) > 1:
        shapes = ", ".join(str(list(array.shape)) for array in arrays)
        raise DataError(f"{name}: its {kind} have different shapes: {shapes}")
    return arrays


def _to_inputs(inputs: Array, name: str) -> Array:
    """Convert to uint8 images, channels first, or to float32 features. Raises DataError."""
    if inputs.dtype.kind not in "buif":
        raise DataError(f"{name}: inputs are of type {inputs.dtype}; numbers are needed")
    if inputs.ndim == 1:
        inputs = inputs[:, None]
    if inputs.ndim == 4 and inputs.shape[1] != 3 and inputs.shape[-1] in (1, 3):
        inputs = np.moveaxis(inputs, -1, 1)
    if inputs.ndim == 4 and inputs.shape[1] == 1:
        inputs = inputs[:, 0]
    are_integers = inputs.dtype.kind in "bui" and inputs.ndim > 2
    if inputs.dtype == np.uint8 or (are_integers and inputs.min() >= 0 and inputs.max() <= 255):
        return inputs.astype(np.uint8)
    return to_finite_float32(inputs, name, "an input")


def _class_names(labels: Array, class_names: Array | None, name: str) -> tuple[str, ...]:
    """Return the file's class names, else the labels if they are texts, else 0, 1, ..."""
    if class_names is not None:
        names = tuple(str(each) for each in class_names.ravel())
        if len(set(names)) < len(names):
            raise DataError(f"{name}: two of its {len(names)} class names are equal")
        return names
    unique = np.unique(labels)
    if labels.dtype.kind in "US":
        return tuple(_decode_text(label) for label in unique)
    return tuple(str(number) for number in range(len(unique)))


def _to_class_indices(labels: Array, classes: tuple[str, ...], name: str) -> Array:
    """Convert labels to int64 in 0..C-1. Raises DataError."""
    if labels.dtype.kind in "US":
        indices = {label: number for number, label in enumerate(classes)}
        for label in map(_decode_text, np.unique(labels)):
            if label not in indices:
                raise DataError(f"{name}: the label '{label}' is not one of the classes")
        return np.array([indices[_decode_text(label)] for label in labels], np.int64)
    if labels.dtype.kind not in "buif":
        raise DataError(f"{name}: labels are of type {labels.dtype}; numbers or texts are needed")
    is_whole = np.isfinite(labels) & (labels == np.floor(labels))
    if not is_whole.all():
        row = int((~is_whole).argmax())
        raise DataError(
            f"{name}: label {labels[row]} of row {row:,} is not a whole number; classes are "
            'numbered 0, 1, ...; to predict numbers, set [data] task = "regression"'
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


def _to_targets(labels: Array, name: str) -> Array:
    if labels.dtype.kind not in "buif":
        raise DataError(
            f"{name}: labels are of type {labels.dtype}, a regression needs numbers; leave out "
            "[data] task for classification"
        )
    check_targets(labels, name)
    return to_finite_float32(labels, name, "a label")


def _decode_text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
