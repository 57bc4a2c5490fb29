"""Small made-up MNIST and FashionMNIST in MNIST's format; a bright bar shows the class."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.data import builtin

EXAMPLES = {"train": 600, "t10k": 100}

Array = npt.NDArray[Any]
Splits = dict[str, tuple[Array, Array]]
"""Images and labels by the names of MNIST's files."""


def encode_idx(array: Array) -> bytes:
    """Encode an array in the format of MNIST's files."""
    head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return head + array.astype(np.uint8).tobytes()


def write(
    folder: Path, alter: Callable[[Splits], None] = lambda _: None
) -> dict[str, dict[str, str]]:
    """Write both datasets under `folder`; return the checksums that replace `builtin.MD5`.

    `alter` may change a dataset's arrays in place before they are written.
    """
    rng = np.random.default_rng(0)
    for name in builtin.MD5:
        raw = folder / name / "raw"
        raw.mkdir(parents=True)
        splits: Splits = {}
        for split, count in EXAMPLES.items():
            labels = np.arange(count) % 10
            images = rng.integers(0, 100, (count, 28, 28))
            images[np.arange(count), 2 * labels] = 255
            splits[split] = images, labels
        alter(splits)
        for split, (images, labels) in splits.items():
            (raw / f"{split}-images-idx3-ubyte").write_bytes(encode_idx(images))
            (raw / f"{split}-labels-idx1-ubyte").write_bytes(encode_idx(labels))
    return {
        name: {
            file: hashlib.md5((folder / name / "raw" / file).read_bytes()).hexdigest()
            for file in files
        }
        for name, files in builtin.MD5.items()
    }
