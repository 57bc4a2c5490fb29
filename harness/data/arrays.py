"""The cache's arrays as files: mapped, and refused where they are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from harness.errors import DataError


def mapped(path: Path, mode: Literal["r", "c"] = "r") -> npt.NDArray[Any]:
    """An array of numbers, read when it is used; "c" keeps what is written to it from the file.

    Never a pickle. Raises DataError.
    """
    try:
        array: Any = np.load(path, mmap_mode=mode, allow_pickle=False)
        if isinstance(array, np.lib.npyio.NpzFile):
            array.close()
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "uif":
            raise ValueError("it holds no array of numbers")
    except Exception as error:  # a damaged header raises anything, tokenize's errors among them
        raise DataError(
            f"the cached file {path} cannot be read ({error}); delete its folder "
            f"{path.parent.parent}, the next run makes it again"
        ) from error
    return array
