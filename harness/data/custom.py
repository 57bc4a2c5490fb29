"""Data of one's own: a path -> the source, its content hashed.

A folder of pictures by class, an `.npz` of arrays, a CSV or an Excel file. A relative path is
looked for in the working directory, then where the other datasets lie.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import astuple
from pathlib import Path

from harness.data.types import DataOptions, Source
from harness.errors import DataError

TABLES = (".csv", ".tsv", ".xlsx")
FILES = (".npz", *TABLES)
A_PATH = f"a path has a / in it or ends in {', '.join(FILES)}"


def is_path(name: str) -> bool:
    """Whether a dataset's name is that of a file or folder, not of a known set.

    A folder without a / in its name is one where it lies in the working directory.
    """
    spelt = "/" in name or os.sep in name or name.lower().endswith(FILES) or name.startswith("~")
    return spelt or _exists(Path(name))


def find(name: str, root: Path, asked: DataOptions) -> Source:
    """The data at the path `name`, else at `root / name`. Raises DataError."""
    path = locate(name, root)
    suffix = path.suffix.lower()
    if path.is_dir():
        return _folder(name, path, asked)
    if suffix in FILES:
        return _file(name, path, asked)
    if suffix in (".xls", ".ods", ".parquet", ".json", ".npy", ".pt", ".mat"):
        raise DataError(f"{name}: {suffix} files are not read; save it as one of {_kinds()}")
    raise DataError(f"{name}: neither a folder of pictures nor one of {_kinds()}")


def locate(name: str, root: Path) -> Path:
    """Where it lies. Raises DataError."""
    try:
        given = Path(name).expanduser()
    except RuntimeError as error:  # no such user
        raise DataError(f"[data] name: {name}: {error}") from None
    for path in (given, root / given):
        if _exists(path):
            return path.resolve()
    looked = f"{given.absolute()}" + ("" if given.is_absolute() else f" nor {root / given}")
    raise DataError(
        f"[data] name: no file or folder {looked}; a relative path begins in the working directory"
    )


def _folder(name: str, path: Path, asked: DataOptions) -> Source:
    from harness.data import image_folder

    _refuse(name, "a folder of pictures", {"target": asked.target, "ignore": asked.ignore})
    if asked.task == "regression":
        raise DataError(
            f'[data] task: {name} is a folder of pictures, which has classes; a "regression" '
            "needs numbers: a table, or an .npz"
        )
    parts = image_folder.listed(path, name)
    digest = hashlib.sha256()
    for file in (file for part in parts for files in part.values() for file in files):
        digest.update(f"{file.relative_to(path).as_posix()}|{_sha256(file)}|".encode())
    return Source(
        name,
        str(path),
        _digest(digest.hexdigest(), asked),
        len(parts) > 1,
        lambda: image_folder.decode(parts, name, asked.size),
    )


def _file(name: str, path: Path, asked: DataOptions) -> Source:
    from harness.data import npz, tabular

    digest = _digest(_sha256(path), asked)
    _refuse(name, "a file", {"size": asked.size})
    if path.suffix.lower() in TABLES:
        return Source(name, str(path), digest, False, lambda: tabular.decode(path, name, asked))
    _refuse(name, "an .npz", {"ignore": asked.ignore})
    has_test = npz.has_test(path, name)
    return Source(name, str(path), digest, has_test, lambda: npz.decode(path, name, asked))


def _refuse(name: str, what: str, keys: dict[str, object]) -> None:
    for key, value in keys.items():
        if value:
            raise DataError(f"[data] {key}: {name} is {what}, which has none; leave it out")


def _digest(content: str, asked: DataOptions) -> str:
    return hashlib.sha256(json.dumps([content, *astuple(asked)]).encode()).hexdigest()


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror or error}); make it readable"
        ) from None


def _exists(path: Path) -> bool:
    """False for a name that no file can have, too."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _kinds() -> str:
    return ", ".join(FILES)
