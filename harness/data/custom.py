"""Custom data: find the folder of images or the file at a path, and hash its content.

It is a folder of images by class, an `.npz` of arrays, or a CSV, Excel, Parquet or Feather table.
A relative path begins in the working directory, else in the folder of the built-in datasets.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
from pathlib import Path

from harness.data.arrow_files import ARROW_SUFFIXES
from harness.data.image_files import is_archive
from harness.data.types import MISSING_TEXTS, DataOptions, Source
from harness.errors import DataError

TABLE_SUFFIXES = (".csv", ".tsv", ".xlsx", *ARROW_SUFFIXES)
TABLE_KEYS = (
    "sheet",
    "encoding",
    "decimal",
    "missing",
    "max_categories",
    "columns",
    "group",
    "time",
)
"""The keys of [data] that only a table has."""
FILE_SUFFIXES = (".npz", *TABLE_SUFFIXES)
PATH_RULE = f"a path has a / in it or ends in {', '.join(FILE_SUFFIXES)}"


def is_path(name: str) -> bool:
    """Whether a dataset's name is a path and not the name of a built-in dataset.

    A folder's name without a / is a path if the folder lies in the working directory.
    """
    has_path_syntax = (
        "/" in name
        or os.sep in name
        or name.lower().endswith(FILE_SUFFIXES)
        or name.startswith("~")
    )
    return has_path_syntax or _exists(Path(name))


def find_source(name: str, root: Path, options: DataOptions) -> Source:
    """Find the data at the path `name`, else at `root / name`. Raises DataError."""
    path = locate(name, root)
    return (_find_folder if path.is_dir() else _find_file)(name, path, options)


def locate(name: str, root: Path) -> Path:
    """Return the absolute path of `name`, searched in the working directory, then in `root`.

    Raises DataError, also for a file that cannot be read by its suffix.
    """
    try:
        path = Path(name).expanduser()
    except RuntimeError as error:  # no such user
        raise DataError(f"[data] name: {name}: {error}") from None
    for candidate in (path, root / path):
        if _exists(candidate):
            suffix = candidate.suffix
            if not candidate.is_dir() and suffix.lower() not in FILE_SUFFIXES:
                if is_archive(candidate):
                    raise DataError(f"{name}: is an archive; unpack it, and give what is in it")
                kind = f"{suffix} files are" if suffix else "a file without an ending is"
                raise DataError(
                    f"{name}: {kind} not supported; save it as one of {', '.join(FILE_SUFFIXES)}, "
                    "or give a folder of images"
                )
            target = candidate.resolve()  # a link's may have no ending, as in caches of downloads
            return target if target.suffix == suffix else candidate.absolute()
    searched = f"{path.absolute()}" + ("" if path.is_absolute() else f" nor {root / path}")
    raise DataError(
        f"[data] name: no file or folder {searched}"
        f"{_suggest_name(path) or '; a relative path begins in the working directory'}"
    )


def _suggest_name(path: Path) -> str:
    """`; did you mean 'wine.csv'?`, for a similar name beside `path`; else empty."""
    try:
        names = [each.name for each in path.parent.iterdir()]
    except OSError:
        return ""
    matches = difflib.get_close_matches(path.name, names, n=1)
    return f"; did you mean '{path.with_name(matches[0])}'?" if matches else ""


def is_missing(name: str, root: Path) -> bool:
    """Whether there is nothing at the path `name`, in the working directory and in `root`."""
    try:
        path = Path(name).expanduser()
    except RuntimeError:  # no such user
        return True
    return not _exists(path) and not _exists(root / path)


def _find_folder(name: str, path: Path, options: DataOptions) -> Source:
    from harness.data import image_folder

    _refuse_keys(name, "a folder of images", options, ("target", "ignore", *TABLE_KEYS))
    if options.task == "regression":
        raise DataError(
            f'[data] task: {name} is a folder of images, which has classes; a "regression" '
            "needs numbers: a table, or an .npz"
        )
    images = image_folder.list_images(path, name)
    digest = hashlib.sha256()
    for file in images.files:
        digest.update(f"{file.relative_to(path).as_posix()}|{_hash_file(file)}|".encode())
    return Source(
        name,
        str(path),
        _hash_options(digest.hexdigest(), options),
        len(images.splits) > 1,
        lambda: image_folder.decode(images, name, options.size),
        bool(images.validation),
    )


def _find_file(name: str, path: Path, options: DataOptions) -> Source:
    from harness.data import npz, tabular

    digest = _hash_options(_hash_file(path), options)
    _refuse_keys(name, "a file", options, ("size",))
    suffix = path.suffix.lower()
    if suffix in TABLE_SUFFIXES:
        if suffix in ARROW_SUFFIXES:
            _refuse_keys(name, f"a {suffix} file", options, ("sheet", "decimal", "encoding"))
        elif suffix != ".xlsx":
            _refuse_keys(name, "a text file", options, ("sheet",))
        else:
            _refuse_keys(name, "an Excel file", options, ("encoding",))
        return Source(name, str(path), digest, False, lambda: tabular.decode(path, name, options))
    _refuse_keys(name, "an .npz", options, ("ignore", *TABLE_KEYS))
    parts = npz.list_parts(path, name)
    return Source(
        name,
        str(path),
        digest,
        "test" in parts,
        lambda: npz.decode(path, name, options),
        "val" in parts,
    )


def _refuse_keys(name: str, kind: str, options: DataOptions, keys: tuple[str, ...]) -> None:
    """Raise DataError if a key of [data] is set that this kind of data does not have."""
    for key in keys:
        if getattr(options, key) != getattr(DataOptions(), key):
            raise DataError(f"[data] {key}: {name} is {kind}, which has none; leave it out")


def _hash_options(content: str, options: DataOptions) -> str:
    """Hash all options that change what is read; newer ones only if they are set."""
    first = [options.task, options.target, options.ignore, options.size]
    newer = {key: getattr(options, key) for key in ("sheet", "decimal", "encoding")}
    values: list[object] = [f"{key}={value}" for key, value in newer.items() if value]
    if options.missing != MISSING_TEXTS:
        values.append(["missing", *options.missing])
    for key in ("columns", "group", "time"):
        if value := getattr(options, key):
            values.append([key, value])
    return hashlib.sha256(json.dumps([content, *first, *values]).encode()).hexdigest()


def _hash_file(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror or error}); make it readable"
        ) from None


def _exists(path: Path) -> bool:
    """Whether the path exists; False also for a name that no file can have."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False
