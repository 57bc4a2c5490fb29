"""The cache on disk: its folder, atomic writes, and checked reads of its JSON and array files.

A cached folder appears complete or not at all, so two commands may prepare the same data at once.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from harness.errors import DataError


def user_cache() -> Path:
    """Return the user's cache folder; on Linux `$XDG_CACHE_HOME/harness` or `~/.cache/harness`."""
    from platformdirs import user_cache_path

    return user_cache_path("harness", appauthor=False)


def create_folder(folder: Path, write: Callable[[Path], None]) -> None:
    """Create `folder` unless it exists: `write` fills a temporary one, which is then renamed.

    Raises DataError if it cannot be written.
    """
    if folder.is_dir():
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
    except OSError as error:
        raise DataError(
            f"the cache folder {folder.parent} cannot be written ({error.strerror}); set "
            "$XDG_CACHE_HOME to a folder that can"
        ) from error
    try:
        write(temporary)
        temporary.rename(folder)
    except OSError as error:
        if not folder.is_dir():  # else another process was faster and wrote the same content
            raise DataError(f"cannot write {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def slugify(name: str) -> str:
    """Turn a dataset's name or path into a folder name."""
    return re.sub(r"[^\w.-]+", "-", Path(name).name)[:40].strip(".-") or "data"


def short_hash(*values: object) -> str:
    """Hash JSON values to 12 hexadecimal digits, for a folder name."""
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:12]


def read_meta(folder: Path, keys: set[str]) -> dict[str, Any]:
    """Read `folder`'s meta.json. Raises DataError if it is damaged or lacks one of `keys`."""
    try:
        meta: dict[str, Any] = json.loads((folder / "meta.json").read_text())
        if not isinstance(meta, dict) or keys - meta.keys():
            raise ValueError(f"its meta.json lacks one of {', '.join(sorted(keys))}")
    except (OSError, ValueError) as error:
        raise unreadable_error(folder, error) from None
    return meta


def map_array(path: Path, mode: Literal["r", "c"] = "r") -> npt.NDArray[Any]:
    """Memory-map a .npy file of numbers; it never loads a pickle.

    With mode "c" (copy-on-write), writes to the array do not reach the file. Raises DataError.
    """
    try:
        array: Any = np.load(path, mmap_mode=mode, allow_pickle=False)
        if isinstance(array, np.lib.npyio.NpzFile):
            array.close()
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "uif":
            raise ValueError("it is not an array of numbers")
    except Exception as error:  # a damaged header raises anything, tokenize's errors among them
        raise DataError(
            f"the cached file {path} cannot be read ({error}); delete its folder "
            f"{path.parent.parent}, the next run creates it again"
        ) from error
    return array


def unreadable_error(folder: Path, reason: object) -> DataError:
    """Return the error for a damaged cache folder."""
    return DataError(
        f"the cached data in {folder} cannot be read ({reason}); delete that folder, the next run "
        "creates it again"
    )
