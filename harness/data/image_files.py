"""Find and open image files: by their content, and without hidden and system files."""

from __future__ import annotations

import math
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
"""The formats that Pillow reads without starting a program; for EPS it starts Ghostscript."""
SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm", ".pbm",
)  # fmt: skip
"""A file with such a name must be an image; other files may be one."""
UNSUPPORTED = {
    "HEIC": rb"....ftyp(heic|heix|hevc|heim|heis|mif1|msf1)",
    "AVIF": rb"....ftypavi[fs]",
    "JPEG XL": rb"\xff\x0a|\x00\x00\x00\x0cJXL ",
    "JPEG 2000": rb"\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51",
    "Photoshop": rb"8BPS",
    "EPS": rb"%!PS-Adobe-\S+ EPSF",
    "SVG": rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?(<!DOCTYPE svg[^>]*>\s*)?<svg\b",
}
"""How images begin that are refused by name, instead of being overlooked."""
UNSUPPORTED_SUFFIXES = (".heic", ".heif", ".avif", ".svg", ".jxl", ".jp2", ".psd", ".eps")
"""Names of images that are refused if their content is not a supported image either."""
ARCHIVE_SUFFIXES = (
    ".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar",
)  # fmt: skip
SYSTEM_NAMES = {
    "@eadir", "__macosx", "#recycle", "@recycle", "@__thumb", "$recycle.bin", "lost+found",
    "system volume information", "thumbs.db", "ehthumbs.db", "desktop.ini", "__pycache__",
}  # fmt: skip
"""Files and folders that systems create beside images, in lower case."""
ORIENTATION = 0x0112
"""The EXIF tag; values 5 to 8 mean a quarter turn."""
HEAD = 512
"""Bytes at the beginning of a file that show an unsupported format."""


def is_hidden(name: str) -> bool:
    """Whether a file or folder is hidden, or created by a system: `.DS_Store`, `@eaDir`."""
    return name.startswith(".") or name.lower() in SYSTEM_NAMES


def find_archive(folder: Path) -> Path | None:
    """Return the first archive in a folder, which may hold the images; None if it has none."""
    return next(filter(is_archive, sorted(folder.iterdir())), None)


def is_archive(path: Path) -> bool:
    """Whether a file's name is that of an archive."""
    return path.suffix.lower() in ARCHIVE_SUFFIXES and path.is_file()


def list_files(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the images below `folder`, sorted, and the files and folders that are left out.

    These are images in hidden or system folders, visible files that are no images, and links to
    folders, which may lead in a circle.

    Files with the suffix of an image count as images before they are opened. Raises DataError.
    """
    images: list[Path] = []
    left_out: list[Path] = []

    def stop(error: OSError) -> None:
        raise DataError(
            f"{error.filename or folder}: cannot be read ({error.strerror or error})"
        ) from None

    for root, folders, names in os.walk(folder, onerror=stop):
        inside = Path(root)
        hidden_folders = [name for name in folders if is_hidden(name)]
        folders[:] = [name for name in folders if name not in hidden_folders]
        left_out += (inside / name for name in folders if (inside / name).is_symlink())
        for name in hidden_folders:
            left_out += (file for file in (inside / name).rglob("*") if has_image_suffix(file))
        for name in names:
            if not is_hidden(name):
                (images if is_image(inside / name) else left_out).append(inside / name)
            elif has_image_suffix(inside / name):
                left_out.append(inside / name)
    return sorted(images), sorted(left_out)


def is_folder_link(path: Path) -> bool:
    """Whether a path is a link to a folder, or to nothing: a link to itself, for example."""
    return path.is_symlink() and (path.is_dir() or not path.exists())


def has_image_suffix(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES


def is_image(file: Path) -> bool:
    """Whether a file is an image, or must be one by its suffix. Raises DataError for an image of
    an unsupported format."""
    from PIL import Image

    if has_image_suffix(file):
        return True
    try:
        with file.open("rb") as stream:
            _refuse_unsupported(file, stream.read(HEAD))
            stream.seek(0)
            with quiet_pillow(), Image.open(stream, formats=FORMATS):
                return True
    except DataError:
        raise
    except Exception:  # not an image; parsers raise anything
        if (suffix := file.suffix.lower()) in UNSUPPORTED_SUFFIXES:
            raise _unsupported_error(file, suffix) from None
        return False


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Hide Pillow's warnings about odd EXIF data, palettes and the like; not for threads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def name_errors(file: Path) -> Iterator[None]:
    """Turn what a damaged image raises, which can be anything, into a DataError."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            reason = f"cannot be read ({error.strerror})"
        else:
            reason = " ".join(str(error).split()) or type(error).__name__
            reason = f"not a readable image ({reason}); repair it, or take it away"
        raise DataError(f"{file}: {reason}") from None


def open_file(file: Path) -> Image:
    """Open an image by its content; its pixels are read later. Raises DataError."""
    from PIL import Image, UnidentifiedImageError

    with name_errors(file):
        try:
            image = Image.open(file, formats=FORMATS)
        except UnidentifiedImageError:
            with file.open("rb") as stream:
                _refuse_unsupported(file, stream.read(HEAD))
            raise ValueError(f"no {', '.join(FORMATS[:3])} or other common format") from None
        except Image.DecompressionBombError:
            raise _too_large_error(file) from None
    if image.width * image.height > (Image.MAX_IMAGE_PIXELS or math.inf):
        image.close()
        raise _too_large_error(file)
    return image


def _too_large_error(file: Path) -> DataError:
    from PIL import Image

    return DataError(
        f"{file}: has more than {Image.MAX_IMAGE_PIXELS or 0:,} pixels; make it smaller"
    )


def _refuse_unsupported(file: Path, head: bytes) -> None:
    for name, pattern in UNSUPPORTED.items():
        if re.match(pattern, head, re.DOTALL):
            raise _unsupported_error(file, name)


def _unsupported_error(file: Path, what: str) -> DataError:
    return DataError(f"{file}: {what} images are not supported; save it as PNG or JPEG")
