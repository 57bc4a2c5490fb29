"""The seal of a test set: where its files are, and its labels as masked bytes.

The folder is not beside the files that workers get, and nothing in it is an array of labels: they
are masked by a stream of bytes that is derived from a random key. `harness.test_set` writes the key
into the log before it unmasks them.

This guards against accident and habit: code that searches the cache for labels, and openings that
nobody counts. It is no vault. Whoever runs harness can also run this module, or read the dataset's
own files.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.data.cache import map_array
from harness.data.types import Array
from harness.errors import DataError

INPUTS_FILE = "inputs.npy"
MASKED_FILE = "labels.masked"
NONCE_LENGTH = 32
"""The bytes at the start of MASKED_FILE that the key is derived from."""


@dataclass(frozen=True)
class TestFiles:
    """The files of a sealed test set; only `harness.test_set.sealed.SealedTest` opens them."""

    inputs: Path
    labels: Path
    """Masked."""

    @classmethod
    def in_folder(cls, folder: Path) -> TestFiles:
        return cls(folder / INPUTS_FILE, folder / MASKED_FILE)


def choose_sealed_folder(cache: Path, decoded: str) -> Path:
    """Return the folder of the test set that belongs to the decoded data of that name."""
    return cache / "held" / hashlib.sha256(f"sealed test set|{decoded}".encode()).hexdigest()[:24]


def write_sealed(folder: Path, inputs: Array, labels: Array) -> None:
    """Write the inputs [N, ...], and the labels [N] masked by a new key.

    Version 0.1.0 kept the labels of test sets in the cache as they are. No later version reads
    those folders of decoded data, and they are removed.
    """
    for old in folder.parent.parent.glob("decoded/*/sealed-test/labels.npy"):
        shutil.rmtree(old.parents[1], ignore_errors=True)
    files, nonce, stream = TestFiles.in_folder(folder), os.urandom(NONCE_LENGTH), io.BytesIO()
    np.save(files.inputs, np.ascontiguousarray(inputs))
    np.save(stream, labels, allow_pickle=False)
    files.labels.write_bytes(nonce + _mask(stream.getvalue(), _derive_key(nonce)))


def read_key(files: TestFiles) -> str:
    """Return the key that unmasks the labels, in hexadecimal digits. Raises DataError."""
    return _derive_key(_read_masked(files)[:NONCE_LENGTH])


def unmask_labels(files: TestFiles, key: str) -> Array:
    """Return the labels [N]. Raises DataError if the file is damaged, or the key is another's."""
    content = _mask(_read_masked(files)[NONCE_LENGTH:], key)
    try:
        labels: Array = np.load(io.BytesIO(content), allow_pickle=False)
        if not isinstance(labels, np.ndarray) or labels.dtype.kind not in "if":
            raise ValueError("it does not hold labels")
        if len(labels) != len(map_array(files.inputs)):
            raise ValueError("it does not hold one label for each example")
    except (ValueError, OSError, EOFError, SyntaxError) as error:
        raise _damaged_error(files, error) from None
    return labels


def _read_masked(files: TestFiles) -> bytes:
    try:
        content = files.labels.read_bytes()
        if len(content) <= NONCE_LENGTH:
            raise ValueError("it is cut off")
    except (OSError, ValueError) as error:
        raise _damaged_error(files, error) from None
    return content


def _damaged_error(files: TestFiles, error: Exception) -> DataError:
    reason = error.strerror if isinstance(error, OSError) else error
    return DataError(
        f"the cached file {files.labels} cannot be read ({reason}); delete its folder "
        f"{files.labels.parent}, the next run creates it again"
    )


def _derive_key(nonce: bytes) -> str:
    return hashlib.blake2b(nonce, digest_size=16, person=b"harness opening").hexdigest()


def _mask(content: bytes, key: str) -> bytes:
    """Mask or unmask bytes: XOR with a stream of bytes that follows from the key."""
    stream = hashlib.shake_256(key.encode()).digest(len(content))
    return (np.frombuffer(content, np.uint8) ^ np.frombuffer(stream, np.uint8)).tobytes()
