"""The files of built-in datasets: their folder, their checksums, and errors about them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path

from harness.data.cache import user_cache
from harness.errors import DataError

DATA_DIR_VARIABLE = "HARNESS_DATA_DIR"
QUICKSTART = "`harness run-study quickstart` needs no files"


def find_data_folder(data_dir: Path | None) -> tuple[Path, bool]:
    """Return the folder of all datasets, and whether the user chose it.

    It is `data_dir`, else $HARNESS_DATA_DIR, else in the user's cache. Files are downloaded into
    the cache alone. Raises DataError.
    """
    folder = data_dir if data_dir is not None else os.environ.get(DATA_DIR_VARIABLE)
    if not folder:
        return user_cache() / "datasets", False
    try:
        Path(folder).stat()
    except FileNotFoundError:
        pass  # the error about the first missing file names it
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(
            f"--data-dir or ${DATA_DIR_VARIABLE}: {folder} is not a folder ({reason})"
        ) from None
    return Path(folder), True


def compute_md5(name: str, path: Path) -> str:
    """Return the MD5 of a file of the dataset `name`. Raises DataError."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "md5").hexdigest()
    except OSError as error:
        raise DataError(
            f"{name}: {path} cannot be read ({error.strerror or error}); make it readable, or "
            "delete it and get it again"
        ) from None


def missing_file_error(name: str, path: Path, contents: str, is_user_folder: bool) -> DataError:
    """Return the error for a missing file; `contents` is what a data folder must contain."""
    if not is_user_folder:
        return DataError(
            f"{name}: the data is not downloaded yet (no file {path}); `harness run-study` "
            f"downloads it, or point --data-dir or ${DATA_DIR_VARIABLE} at a folder that holds "
            f"{contents}"
        )
    return DataError(
        f"{name}: no file {path}; point --data-dir or ${DATA_DIR_VARIABLE} at a folder that holds "
        f"{contents}, or leave both out to download; {QUICKSTART}"
    )


@contextmanager
def unpacking(name: str, archive: Path, md5: str) -> Iterator[None]:
    """Check an archive's MD5 before the block unpacks it; turn failures into DataErrors."""
    if compute_md5(name, archive) != md5:
        raise DataError(f"{name}: {archive} is cut off or altered; delete it and get it again")
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{name}: {archive} cannot be unpacked into its folder ({error.strerror or error}); "
            "unpack it by hand, or copy it to a folder that can be written"
        ) from None


@contextmanager
def downloading(name: str, root: Path, contents: str) -> Iterator[None]:
    """Turn failures of the block, which downloads into `root`, into DataErrors."""
    try:
        yield
    except (RuntimeError, OSError, ValueError, HTTPException) as error:
        reason = " ".join(str(error).split()) or repr(error)
        raise DataError(
            f"{name}: not in {root} and could not be downloaded into it ({reason}); point "
            f"--data-dir or ${DATA_DIR_VARIABLE} at a folder that holds {contents}; {QUICKSTART}"
        ) from error
