"""The cache's folders: there whole or not at all, each with a meta.json; refused where it is none.

Two commands may prepare the same data at once.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.errors import DataError


def once(folder: Path, write: Callable[[Path], None]) -> None:
    """Make `folder` by `write`, whole or not at all, unless it is there."""
    if folder.is_dir():
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
    except OSError as error:
        raise DataError(
            f"the cache folder {folder.parent} cannot be written ({error.strerror}); point "
            "$XDG_CACHE_HOME at one that can"
        ) from error
    try:
        write(new)
        new.rename(folder)
    except OSError as error:
        if not folder.is_dir():  # else somebody else was faster, with the same content
            raise DataError(f"cannot write {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(new, ignore_errors=True)


def slug(name: str) -> str:
    """A dataset's name or path as a folder's name."""
    return re.sub(r"[^\w.-]+", "-", Path(name).name)[:40].strip(".-") or "data"


def key(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]


def meta_of(folder: Path, keys: set[str]) -> dict[str, Any]:
    try:
        meta: dict[str, Any] = json.loads((folder / "meta.json").read_text())
        if not isinstance(meta, dict) or keys - meta.keys():
            raise ValueError(f"its meta.json does not say {', '.join(sorted(keys))}")
    except (OSError, ValueError) as error:
        raise unreadable(folder, error) from None
    return meta


def unreadable(folder: Path, why: object) -> DataError:
    return DataError(
        f"the cached data in {folder} cannot be read ({why}); delete that folder, the next run "
        "makes it again"
    )
