"""Read a folder of images by class, with Pillow.

    photos/cat/1.png  photos/dog/7.jpg              one folder a class; a test set is held out
    photos/train/cat/1.png  photos/test/dog/7.jpg   with a test set; with a validation set by `val`

Hidden and system folders are left out, and so are other folders beside those of the splits. The
inputs are uint8 [N, H, W] if all images are grey, else [N, 3, H, W].
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.data.image_files import (
    ORIENTATION,
    SUFFIXES,
    find_archive,
    has_image_suffix,
    is_folder_link,
    is_hidden,
    list_files,
    name_errors,
    open_file,
    quiet_pillow,
)
from harness.data.image_values import ValueRanges, decode_image, measure_ranges
from harness.data.types import Array, DatasetArrays
from harness.errors import DataError

VALIDATION_FOLDERS = ("val", "valid", "validation")
TRAINING_FOLDERS = ("train", "training", *VALIDATION_FOLDERS)
"""Folders of training images; those of validation count only with `own_validation`."""
TEST_FOLDERS = ("test", "testing")
SPLIT_FOLDERS = (*TRAINING_FOLDERS, *TEST_FOLDERS)
MAX_BYTES = 4 << 30
"""Of all decoded images together."""
LARGE_IMAGE, SUGGESTED_SIDE = 128 * 128, 64
"""Number of pixels that is too many for a fully connected network; the side suggested instead."""
ImagesByClass = dict[str, list[Path]]
"""Files by class, sorted."""


@dataclass(frozen=True)
class ImageFolder:
    """The images of a folder."""

    splits: tuple[ImagesByClass, ...]
    """The training images and, if there are any, the test images."""
    notes: tuple[str, ...]
    """What was left out, for people."""
    validation: frozenset[Path] = frozenset()
    """Those of the training images that are in a folder for validation."""

    @property
    def files(self) -> list[Path]:
        return [file for split in self.splits for files in split.values() for file in files]


def list_images(folder: Path, name: str) -> ImageFolder:
    """List the images of a folder by class. Raises DataError."""
    left_out: list[Path] = []
    subfolders = _list_folders(folder, left_out)
    parts = [each for each in subfolders if each.name.lower() in SPLIT_FOLDERS]
    others = [each for each in subfolders if each not in parts]
    names = {each.name.lower() for each in parts}
    if not names & {"train", "training"} or (others and not _are_splits(parts)):
        splits = [_group_by_class(folder, subfolders, name, left_out)]
        return ImageFolder(tuple(splits), _describe_left_out(folder, left_out))
    splits, validation = [], set()
    for split_names in (TRAINING_FOLDERS, TEST_FOLDERS):
        split: ImagesByClass = {}
        for part in sorted(parts, key=lambda part: (part.name.lower(), part.name)):
            if part.name.lower() in split_names:
                folders = _list_folders(part, left_out)
                by_class = _group_by_class(part, folders, f"{name}/{part.name}", left_out)
                for label, files in by_class.items():
                    split.setdefault(label, []).extend(files)
                    validation |= {*files} if part.name.lower() in VALIDATION_FOLDERS else set()
        splits += [dict(sorted(split.items()))] if split else []
    for label in splits[1] if len(splits) > 1 else ():
        if label not in splits[0]:
            raise DataError(
                f"{name}: class '{label}' is in the test set but not in the training set; move "
                "some of its images, or take it out"
            )
    notes = _describe_left_out(folder, left_out)
    if others:
        notes += (
            f"{name}: left out {', '.join(each.name for each in others)}, because the folders "
            f"{', '.join(each.name for each in parts)} are the splits; to read every folder as a "
            "class, rename these",
        )
    return ImageFolder(tuple(splits), notes, frozenset(validation))


def _are_splits(parts: Sequence[Path]) -> bool:
    """Whether folders with the names of splits are splits, if other folders are beside them.

    They hold folders of images, and two or more of them hold the same class.
    """
    inside = [{each.name for each in _list_folders(part, [])} for part in parts]
    files = [file for part in parts for file in part.iterdir() if has_image_suffix(file)]
    return not files and len(parts) > 1 and bool(set.intersection(*inside))


def _describe_left_out(folder: Path, left_out: Sequence[Path]) -> tuple[str, ...]:
    paths = [file.relative_to(folder) for file in left_out]
    hidden = [path for path in paths if any(map(is_hidden, path.parts))]
    links = [path for path in paths if path not in hidden and is_folder_link(folder / path)]
    others = [path for path in paths if path not in hidden and path not in links]
    notes = []
    if hidden:
        count = f"{len(hidden):,} {'images' if len(hidden) > 1 else 'image'}"
        notes.append(f"{count} in hidden or system folders, such as {hidden[0]}")
    if links:
        count = f"{len(links):,} {'links' if len(links) > 1 else 'link'}"
        notes.append(
            f"{count} to folders or to nothing, such as {links[0]}; to read the images there, "
            "copy them"
        )
    if others:
        count = f"{len(others):,} {'files' if len(others) > 1 else 'file'}"
        notes.append(f"{count} of no image format, such as {others[0]}")
    return tuple(f"{folder.name}: left out {note}" for note in notes)


def decode(folder: ImageFolder, name: str, size: tuple[int, ...]) -> DatasetArrays:
    """Read every image, resized to `size` (height, width) if it is given.

    Raises DataError if one cannot be read, or if they have different sizes.
    """
    files, splits = folder.files, folder.splits
    ranges = measure_ranges(files)
    with quiet_pillow(), ThreadPoolExecutor() as pool:
        _check_memory(
            [(size[0], size[1])] * len(files) if size else list(pool.map(_read_size, files)), name
        )
        images = list(pool.map(lambda file: _read_image(file, size, ranges), files))
    _check_sizes(files, images, name)
    if any(image.ndim == 3 for image in images):
        images = [image if image.ndim == 3 else np.stack([image] * 3) for image in images]
    inputs = np.stack(images)
    classes = tuple(splits[0])
    numbers = [classes.index(label) for split in splits for label in split for _ in split[label]]
    labels = np.array(numbers, np.int64)
    count = sum(map(len, splits[0].values()))
    test = (inputs[count:], labels[count:]) if len(splits) > 1 else None
    is_validation = np.array([file in folder.validation for file in files[:count]])
    notes = (*folder.notes, *_describe_ranges(name, ranges))
    return DatasetArrays(
        inputs[:count], labels[:count], test, classes, 255.0,
        notes=notes, values=ranges.descriptions,
        is_validation=is_validation if folder.validation else None,
    )  # fmt: skip


def _describe_ranges(name: str, ranges: ValueRanges) -> list[str]:
    notes = []
    if scales := [each for each in ranges.descriptions if not each.startswith("transparent")]:
        notes.append(
            f"{name}: images are scaled to 0 to 255 by what they hold ({', '.join(scales)}); for "
            "another scale, save them with 8 bits"
        )
    if ranges.ink[1]:
        notes.append(
            f"{name}: transparent images are laid on {ranges.background}; for another "
            "background, save them with an opaque one"
        )
    return notes


def suggest_size(folder: ImageFolder) -> tuple[tuple[int, int] | None, str]:
    """Return the height and width to resize the images to, and why.

    That is their most common shape, its longer side reduced to SUGGESTED_SIDE; None if all have the
    same size already, and a small one.
    """
    files = folder.files
    with quiet_pillow(), ThreadPoolExecutor() as pool:
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


def _list_folders(folder: Path, left_out: list[Path]) -> list[Path]:
    """Return the visible folders; links in a circle or to nothing are added to `left_out`."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder} cannot be read ({error.strerror or error})") from None
    visible = [entry for entry in entries if not is_hidden(entry.name)]
    left_out += (entry for entry in visible if is_folder_link(entry) and _leads_nowhere(entry))
    return [entry for entry in visible if entry.is_dir() and entry not in left_out]


def _leads_nowhere(link: Path) -> bool:
    """Whether a link leads to nothing, or to a folder that the link is in."""
    return not link.exists() or link.parent.resolve().is_relative_to(link.resolve())


def _group_by_class(
    folder: Path, class_folders: Sequence[Path], name: str, left_out: list[Path]
) -> ImagesByClass:
    """Return the images of a folder by class; what is left out is added to `left_out`."""
    by_class = {}
    for class_folder in class_folders:
        by_class[class_folder.name], others = list_files(class_folder)
        left_out += others
        if not by_class[class_folder.name]:
            _refuse_archive(class_folder, f"{name}: class '{class_folder.name}'")
            raise DataError(
                f"{name}: class '{class_folder.name}' has no image ({', '.join(SUFFIXES)}); put "
                "some there, or delete the folder"
            )
    if not by_class:
        _refuse_archive(folder, name)
        raise DataError(
            f"{name}: a folder with no classes; put the images of each class into their own "
            f"folder, as in {name.rstrip('/')}/cat/1.png"
        )
    return by_class


def _refuse_archive(folder: Path, what: str) -> None:
    """Raise DataError if there is an archive where images should be."""
    if archive := find_archive(folder):
        raise DataError(
            f"{what} has no images, but the archive {archive.name}; unpack it there first, so that "
            "each class has a folder of images"
        )


def _check_memory(sizes: Sequence[tuple[int, int]], name: str) -> None:
    if 3 * sum(height * width for height, width in sizes) > MAX_BYTES:
        height, width = max(sizes)
        raise DataError(
            f"[data] size: {name} has {len(sizes):,} images of up to {height}x{width}, too many "
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
            f"[data] size: {name} has images of {len(counts):,} sizes, height x width: "
            f"{examples}; size = {list(counts[0][0])} resizes all to one, and stretches those of "
            "another shape"
        )


def _read_size(file: Path) -> tuple[int, int]:
    """Return height and width, from the file's header."""
    with open_file(file) as image, name_errors(file):
        # For a PNG, getexif would read the pixels; few PNGs are turned.
        is_turned = image.format != "PNG" and image.getexif().get(ORIENTATION, 1) >= 5
        return image.size if is_turned else (image.height, image.width)


def _read_image(file: Path, size: tuple[int, ...], ranges: ValueRanges) -> Array:
    """Return uint8 [H, W] if the image is grey, else [3, H, W]."""
    from PIL import Image

    with open_file(file) as original, name_errors(file):
        image = decode_image(original, ranges)
        if size:
            image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
        values = np.asarray(image)
    if values.ndim == 2:
        return values
    is_grey = bool((values == values[..., :1]).all())
    return values[..., 0] if is_grey else values.transpose(2, 0, 1)
