"""Small MNIST and FashionMNIST of their own files' format: a bright bar tells the class."""

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
Parts = dict[str, tuple[Array, Array]]
"""Images and labels by the names of MNIST's files."""


def idx(array: Array) -> bytes:
    """The format of MNIST's files."""
    head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return head + array.astype(np.uint8).tobytes()


def write(
    folder: Path, alter: Callable[[Parts], None] = lambda _: None
) -> dict[str, dict[str, str]]:
    """Both sets under `folder`; returns what to put in the place of `sources.MD5`.

    `alter` may change a set's arrays in place before they are written.
    """
    rng = np.random.default_rng(0)
    for name in builtin.MD5:
        raw = folder / name / "raw"
        raw.mkdir(parents=True)
        parts: Parts = {}
        for part, count in EXAMPLES.items():
            labels = np.arange(count) % 10
            images = rng.integers(0, 100, (count, 28, 28))
            images[np.arange(count), 2 * labels] = 255
            parts[part] = images, labels
        alter(parts)
        for part, (images, labels) in parts.items():
            (raw / f"{part}-images-idx3-ubyte").write_bytes(idx(images))
            (raw / f"{part}-labels-idx1-ubyte").write_bytes(idx(labels))
    return {
        name: {
            file: hashlib.md5((folder / name / "raw" / file).read_bytes()).hexdigest()
            for file in files
        }
        for name, files in builtin.MD5.items()
    }
