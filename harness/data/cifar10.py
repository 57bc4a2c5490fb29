"""CIFAR-10's binary version: six files of fixed-size records, and a list of the classes.

A record is one byte for the label and 3,072 for the image: its red channel, then green, then blue,
each row by row. torchvision reads only the Python version, which is a pickle.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from harness.data.dataset_files import (
    downloading,
    find_data_folder,
    missing_file_error,
    unpacking,
)
from harness.data.types import DatasetArrays, Source
from harness.errors import DataError

Bytes = npt.NDArray[np.uint8]

FOLDER = "cifar-10-batches-bin"
"""What the archive unpacks to."""
TRAINING_FILES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_FILE = "test_batch.bin"
CLASSES_FILE = "batches.meta.txt"
FILES = (*TRAINING_FILES, TEST_FILE, CLASSES_FILE)

ARCHIVE = "cifar-10-binary.tar.gz"
URL = f"https://www.cs.toronto.edu/~kriz/{ARCHIVE}"
MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
"""Of the archive, from its web page, which has none of the files inside."""

SHAPE = (3, 32, 32)
RECORD_SIZE = 1 + 3 * 32 * 32
CLASS_COUNT = 10


def find_source(data_dir: Path | None, download: bool) -> Source:
    """Find the dataset, unpack or download it if necessary, and check its files.

    Raises DataError.
    """
    root, is_user_folder = find_data_folder(data_dir)
    folder, archive = root / FOLDER, root / ARCHIVE
    missing = [file for file in FILES if not (folder / file).is_file()]
    if missing and is_user_folder and download and archive.is_file():
        with unpacking("cifar10", archive, MD5):
            _unpack(archive)
    elif missing and (is_user_folder or not download):
        raise missing_file_error(
            "cifar10",
            folder / missing[0],
            f"{FOLDER}, CIFAR-10's binary version",
            is_user_folder,
        )
    elif missing:
        with downloading("cifar10", root, FOLDER):
            _download(root)
    return Source("cifar10", str(folder), check_files(folder), True, lambda: decode(folder))


def _download(root: Path) -> None:
    """Download the archive, check it, unpack it and delete it."""
    import pooch

    archive = Path(pooch.retrieve(URL, f"md5:{MD5}", ARCHIVE, root, progressbar=True))
    _unpack(archive)
    archive.unlink()


def _unpack(archive: Path) -> None:
    import pooch

    pooch.Untar(extract_dir=".")(str(archive), "download", None)


def check_files(folder: Path) -> str:
    """Return the digest of the files' content after checking their format. Raises DataError."""
    digest = hashlib.sha256("\n".join(_read_classes(folder / CLASSES_FILE)).encode())
    for name in (*TRAINING_FILES, TEST_FILE):
        records = _read_records(folder / name)
        digest.update(f"|{name} {len(records)}|".encode())
        digest.update(records.data)
    return digest.hexdigest()


def decode(folder: Path) -> DatasetArrays:
    """Decode the files: uint8 images [N, 3, 32, 32]. Raises DataError."""
    training = np.concatenate([_read_records(folder / name) for name in TRAINING_FILES])
    test = _split_records(_read_records(folder / TEST_FILE))
    return DatasetArrays(
        *_split_records(training), test, _read_classes(folder / CLASSES_FILE), 255.0
    )


def _split_records(records: Bytes) -> tuple[Bytes, npt.NDArray[np.int64]]:
    """Split records [N, 1 + 3072] into images [N, 3, 32, 32] and labels [N]."""
    return records[:, 1:].reshape(-1, *SHAPE), records[:, 0].astype(np.int64)


def _read_records(path: Path) -> Bytes:
    """Read records [N, 1 + 3072], the label first. Raises DataError."""
    content = _read_bytes(path)
    if not content or len(content) % RECORD_SIZE:
        raise DataError(
            f"cifar10: {path} is cut off or altered ({len(content):,} bytes, which is not a "
            f"multiple of the record size, {RECORD_SIZE:,}); delete it and get it again"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD_SIZE)
    wrong = np.flatnonzero(records[:, 0] >= CLASS_COUNT)
    if len(wrong):
        raise DataError(
            f"cifar10: {path} is altered, or of another dataset (record {wrong[0]:,} has the label "
            f"{records[wrong[0], 0]}, the last class is {CLASS_COUNT - 1}); delete it and get it "
            "again"
        )
    return records


def _read_classes(path: Path) -> tuple[str, ...]:
    """Read one name a line; the distributed file ends in an empty line. Raises DataError."""
    lines = _read_bytes(path).decode(errors="replace").splitlines()
    names = tuple(line.strip() for line in lines if line.strip())
    are_printable = all(name.isprintable() and "\ufffd" not in name for name in names)
    if len(set(names)) != CLASS_COUNT or len(names) != CLASS_COUNT or not are_printable:
        raise DataError(
            f"cifar10: {path} is cut off or altered (it names {len(set(names))} classes instead of "
            f"{CLASS_COUNT}, one a line); delete it and get it again"
        )
    return names


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"cifar10: {path} cannot be read ({error.strerror or error}); make it readable, or "
            "delete it and get it again"
        ) from None
