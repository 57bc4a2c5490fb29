"""Read a folder of images by class, with Pillow.

    photos/cat/1.png  photos/dog/7.jpg              one folder a class; a test set is held out
    photos/train/cat/1.png  photos/test/dog/7.jpg   with a test set

The inputs are uint8 [N, H, W] if all images are grey, else [N, 3, H, W].
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.data.types import Array, DatasetArrays
from harness.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm", ".pbm",
)  # fmt: skip
"""Formats that Pillow always reads."""
UNSUPPORTED_SUFFIXES = (".heic", ".heif", ".avif", ".svg", ".jxl")
"""Formats that are refused with an error, instead of being overlooked."""
TRAINING_FOLDERS = ("train", "training", "val", "valid", "validation")
"""Folders of training images; the validation set is split off anew from all of them."""
TEST_FOLDERS = ("test", "testing")
MAX_BYTES = 4 << 30
"""Of all decoded images together."""
LARGE_IMAGE, SUGGESTED_SIDE = 128 * 128, 64
"""Number of pixels that is too many for a fully connected network; the side suggested instead."""
ORIENTATION = 0x0112
"""The EXIF tag; values 5 to 8 mean a quarter turn."""

ImagesByClass = dict[str, list[Path]]
"""Files by class, sorted."""


def list_images(folder: Path, name: str) -> list[ImagesByClass]:
    """List the training images and, if there are any, the test images. Raises DataError."""
    subfolders = _list_folders(folder)
    by_name = {subfolder.name.lower(): subfolder for subfolder in subfolders}
    split_names = {*TRAINING_FOLDERS, *TEST_FOLDERS}
    if not by_name.keys() & {"train", "training"} or by_name.keys() - split_names:
        return [_group_by_class(folder, subfolders, name)]
    splits: list[ImagesByClass] = []
    for names in (TRAINING_FOLDERS, TEST_FOLDERS):
        split: ImagesByClass = {}
        for subfolder in (by_name[part] for part in names if part in by_name):
            by_class = _group_by_class(
                subfolder, _list_folders(subfolder), f"{name}/{subfolder.name}"
            )
            for label, files in by_class.items():
                split.setdefault(label, []).extend(files)
        splits += [dict(sorted(split.items()))] if split else []
    for label in splits[1] if len(splits) > 1 else ():
        if label not in splits[0]:
            raise DataError(
                f"{name}: class '{label}' is in the test set but not in the training set; move "
                "some of its pictures, or take it out"
            )
    return splits


def decode(splits: Sequence[ImagesByClass], name: str, size: tuple[int, ...]) -> DatasetArrays:
    """Read every image, resized to `size` (height, width) if it is given.

    Raises DataError if one cannot be read, or if they have different sizes.
    """
    files = _flatten(splits)
    with ThreadPoolExecutor() as pool:
        _check_memory(
            [(size[0], size[1])] * len(files) if size else list(pool.map(_read_size, files)), name
        )
        images = list(pool.map(lambda file: _read_image(file, size), files))
    _check_sizes(files, images, name)
    if any(image.ndim == 3 for image in images):
        images = [image if image.ndim == 3 else np.stack([image] * 3) for image in images]
    inputs = np.stack(images)
    classes = tuple(splits[0])
    numbers = [classes.index(label) for split in splits for label in split for _ in split[label]]
    labels = np.array(numbers, np.int64)
    count = sum(map(len, splits[0].values()))
    test = (inputs[count:], labels[count:]) if len(splits) > 1 else None
    return DatasetArrays(inputs[:count], labels[:count], test, classes, 255.0)


def suggest_size(splits: Sequence[ImagesByClass]) -> tuple[tuple[int, int] | None, str]:
    """Return the height and width to resize the images to, and why.

    That is their most common shape, its longer side reduced to SUGGESTED_SIDE; None if all have the
    same size already, and a small one.
    """
    files = _flatten(splits)
    with ThreadPoolExecutor() as pool:
        sizes = list(pool.map(_read_size, files))
    (height, width), count = Counter(sizes).most_common(1)[0]
    if count == len(files) and height * width <= LARGE_IMAGE:
        return None, ""
    reason = f"{count:,} of {len(files):,} have {height}x{width}"
    if count < len(files):
        odd = next(index for index, size in enumerate(sizes) if size != (height, width))
        example = f"{files[odd].parent.name}/{files[odd].name}"
        reason += f", others not, such as {example} with {sizes[odd][0]}x{sizes[odd][1]}"
    scale = min(1.0, SUGGESTED_SIDE / max(height, width))
    return (max(1, round(height * scale)), max(1, round(width * scale))), reason


def _flatten(splits: Sequence[ImagesByClass]) -> list[Path]:
    return [file for split in splits for files in split.values() for file in files]


def _list_folders(folder: Path) -> list[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder} cannot be read ({error.strerror or error})") from None
    return [entry for entry in entries if entry.is_dir() and not entry.name.startswith(".")]


def _group_by_class(folder: Path, class_folders: Sequence[Path], name: str) -> ImagesByClass:
    by_class = {}
    for class_folder in class_folders:
        by_class[class_folder.name] = files = sorted(
            file for file in class_folder.rglob("*")
            if file.suffix.lower() in (*SUFFIXES, *UNSUPPORTED_SUFFIXES)
            and not file.name.startswith(".")
        )  # fmt: skip
        for file in files:
            if file.suffix.lower() in UNSUPPORTED_SUFFIXES:
                raise DataError(
                    f"{file}: {file.suffix} pictures are not supported; save it as PNG or JPEG"
                )
        if not files:
            raise DataError(
                f"{name}: class '{class_folder.name}' has no picture ({', '.join(SUFFIXES)}); put "
                "some there, or delete the folder"
            )
    if not by_class:
        raise DataError(
            f"{name}: a folder with no classes; put the pictures of each class into their own "
            f"folder, as in {name.rstrip('/')}/cat/1.png"
        )
    return by_class


def _check_memory(sizes: Sequence[tuple[int, int]], name: str) -> None:
    if 3 * sum(height * width for height, width in sizes) > MAX_BYTES:
        height, width = max(sizes)
        raise DataError(
            f"[data] size: {name} has {len(sizes):,} pictures of up to {height}x{width}, too many "
            "pixels for memory; resize them, for example by size = [32, 32]"
        )


def _check_sizes(files: Sequence[Path], images: Sequence[Array], name: str) -> None:
    sizes = [(int(image.shape[-2]), int(image.shape[-1])) for image in images]
    counts = Counter(sizes).most_common()
    if len(counts) > 1:
        examples = ", ".join(
            f"{size[0]}x{size[1]} as {file.parent.name}/{file.name} ({count:,})"
            for size, count in counts[:3]
            for file in [files[sizes.index(size)]]
        )
        raise DataError(
            f"[data] size: {name} has pictures of {len(counts):,} sizes, height x width: "
            f"{examples}; size = {list(counts[0][0])} resizes all to one, and stretches those of "
            "another shape"
        )


def _read_size(file: Path) -> tuple[int, int]:
    """Return height and width, from the file's header."""
    with _open(file) as image:
        # For a PNG, getexif would read the pixels; few PNGs are turned.
        is_turned = image.format != "PNG" and image.getexif().get(ORIENTATION, 1) >= 5
        return image.size if is_turned else (image.height, image.width)


def _read_image(file: Path, size: tuple[int, ...]) -> Array:
    """Return uint8 [H, W] if the image is grey, else [3, H, W]."""
    from PIL import Image, ImageOps

    with _open(file) as original:
        try:
            image: Image.Image = ImageOps.exif_transpose(original)
            if image.mode.startswith("I"):  # 16 bits a pixel, which Pillow would clip at 255
                image = Image.fromarray((np.asarray(image, np.uint32) >> 8).astype(np.uint8))
            if image.has_transparency_data:
                background = Image.new("RGBA", image.size, "white")
                image = Image.alpha_composite(background, image.convert("RGBA"))
            image = image.convert("L" if image.mode in ("1", "L", "F") else "RGB")
            if size:
                image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
            values = np.asarray(image)
        except Exception as error:  # a damaged file raises anything
            raise _unreadable_error(file, error) from None
    if values.ndim == 2:
        return values
    is_grey = bool((values == values[..., :1]).all())
    return values[..., 0] if is_grey else values.transpose(2, 0, 1)


def _open(file: Path) -> Image:
    from PIL import Image

    try:
        return Image.open(file)
    except Exception as error:
        raise _unreadable_error(file, error) from None


def _unreadable_error(file: Path, error: Exception) -> DataError:
    reason = " ".join(str(error).split()).replace(f" '{file}'", "") or repr(error)
    return DataError(f"{file}: not a readable picture ({reason}); repair it, or take it away")
