"""CIFAR-10's binary version: six files of fixed records, and a list of the classes.

A record is one byte for the label and 3,072 for the picture: all of its red, then its green, then
its blue, each row by row. torchvision reads the Python version alone, which is pickled.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from harness.errors import DataError

Bytes = npt.NDArray[np.uint8]
Part = tuple[Bytes, npt.NDArray[np.int64]]
"""Inputs [N, 3, 32, 32] and labels [N]."""

FOLDER = "cifar-10-batches-bin"
"""What the archive unpacks to."""
TRAINING = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST = "test_batch.bin"
CLASSES = "batches.meta.txt"
FILES = (*TRAINING, TEST, CLASSES)

ARCHIVE = "cifar-10-binary.tar.gz"
URL = f"https://www.cs.toronto.edu/~kriz/{ARCHIVE}"
MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
"""Of the archive, as its page gives it; the page gives none of the files inside."""

SHAPE = (3, 32, 32)
RECORD = 1 + 3 * 32 * 32
COUNT = 10
"""Classes."""


def check(folder: Path) -> str:
    """The digest of the files' content, which must be what the format allows. Raises DataError."""
    digest = hashlib.sha256("\n".join(_classes(folder / CLASSES)).encode())
    for name in (*TRAINING, TEST):
        records = _records(folder / name)
        digest.update(f"|{name} {len(records)}|".encode())
        digest.update(records.data)
    return digest.hexdigest()


def read(folder: Path) -> tuple[Part, Part, tuple[str, ...]]:
    """The training part, the test part and the classes' names. Raises DataError."""
    training = np.concatenate([_records(folder / name) for name in TRAINING])
    return _part(training), _part(_records(folder / TEST)), _classes(folder / CLASSES)


def _part(records: Bytes) -> Part:
    return records[:, 1:].reshape(-1, *SHAPE), records[:, 0].astype(np.int64)


def _records(path: Path) -> Bytes:
    """[N, 1 + 3072], the label first."""
    content = _content(path)
    if not content or len(content) % RECORD:
        raise DataError(
            f"cifar10: {path} is cut off or altered ({len(content):,} bytes, which is no number of "
            f"whole records of {RECORD:,}); delete it and get it again"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD)
    wrong = np.flatnonzero(records[:, 0] >= COUNT)
    if len(wrong):
        raise DataError(
            f"cifar10: {path} is altered, or of another dataset (record {wrong[0]:,} has the label "
            f"{records[wrong[0], 0]}, the last class is {COUNT - 1}); delete it and get it again"
        )
    return records


def _classes(path: Path) -> tuple[str, ...]:
    """A name a line; the distributed file ends in an empty one."""
    lines = _content(path).decode(errors="replace").splitlines()
    names = tuple(line.strip() for line in lines if line.strip())
    are_names = all(name.isprintable() and "\ufffd" not in name for name in names)
    if len(set(names)) != COUNT or len(names) != COUNT or not are_names:
        raise DataError(
            f"cifar10: {path} is cut off or altered (it names {len(set(names))} classes instead of "
            f"{COUNT}, one a line); delete it and get it again"
        )
    return names


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"cifar10: {path} cannot be read ({error.strerror or error}); make it readable, or "
            "delete it and get it again"
        ) from None
