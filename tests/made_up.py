"""Small MNIST and FashionMNIST of their own files' format: a bright bar tells the class."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.data import sources

EXAMPLES = {"train": 600, "t10k": 100}


def idx(array: npt.NDArray[Any]) -> bytes:
    """The format of MNIST's files."""
    head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return head + array.astype(np.uint8).tobytes()


def write(folder: Path) -> dict[str, dict[str, str]]:
    """Both sets under `folder`; returns what to put in the place of `sources.MD5`."""
    rng = np.random.default_rng(0)
    for name in sources.MD5:
        raw = folder / name / "raw"
        raw.mkdir(parents=True)
        for part, count in EXAMPLES.items():
            labels = np.arange(count) % 10
            images = rng.integers(0, 100, (count, 28, 28))
            images[np.arange(count), 2 * labels] = 255
            (raw / f"{part}-images-idx3-ubyte").write_bytes(idx(images))
            (raw / f"{part}-labels-idx1-ubyte").write_bytes(idx(labels))
    return {
        name: {
            file: hashlib.md5((folder / name / "raw" / file).read_bytes()).hexdigest()
            for file in files
        }
        for name, files in sources.MD5.items()
    }
