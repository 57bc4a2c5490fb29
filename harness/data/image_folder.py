"""A folder of pictures by class -> arrays, by Pillow.

    photos/cat/1.png  photos/dog/7.jpg              a folder a class; a test part is held out
    photos/train/cat/1.png  photos/test/dog/7.jpg   with a test part of its own

Where all are grey the inputs are [N, H, W], else [N, 3, H, W], uint8.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.data.types import Array, Decoded
from harness.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm", ".pbm",
)  # fmt: skip
"""What Pillow always reads."""
UNREAD = (".heic", ".heif", ".avif", ".svg", ".jxl")
"""Pictures too, which must not be missed without a word."""
TRAINING = ("train", "training", "val", "valid", "validation")
"""Folders of the training part; the validation part is drawn anew out of all."""
TEST = ("test", "testing")
MOST = 4 << 30
"""Bytes, decoded."""
LARGE, SIDE = 128 * 128, 64
"""Pixels from which on a fully connected network is ill served, and what serves it better."""
ORIENTATION = 0x0112
"""Of EXIF; 5 to 8 are turned by a quarter."""

Part = dict[str, list[Path]]
"""Files by class, sorted."""


def listed(folder: Path, name: str) -> list[Part]:
    """The training part and, where there is one, the test part. Raises DataError."""
    inside = _folders(folder)
    by_part = {each.name.lower(): each for each in inside}
    if not by_part.keys() & {"train", "training"} or by_part.keys() - {*TRAINING, *TEST}:
        return [_by_class(folder, inside, name)]
    parts: list[Part] = []
    for names in (TRAINING, TEST):
        part: Part = {}
        for each in (by_part[which] for which in names if which in by_part):
            for label, files in _by_class(each, _folders(each), f"{name}/{each.name}").items():
                part.setdefault(label, []).extend(files)
        parts += [dict(sorted(part.items()))] if part else []
    for label in parts[1] if len(parts) > 1 else ():
        if label not in parts[0]:
            raise DataError(
                f"{name}: class '{label}' stands in the test part and not in training; move some "
                "of it, or take it out"
            )
    return parts


def decode(parts: Sequence[Part], name: str, size: tuple[int, ...]) -> Decoded:
    """Read every picture, brought to `size` (height, width) where that is given.

    Raises DataError where one cannot be read, or where they are of several sizes.
    """
    files = [file for part in parts for each in part.values() for file in each]
    with ThreadPoolExecutor() as pool:
        _check_memory(
            [(size[0], size[1])] * len(files) if size else list(pool.map(_size, files)), name
        )
        read = list(pool.map(lambda file: _array(file, size), files))
    _check_sizes(files, read, name)
    colour = any(each.ndim == 3 for each in read)
    if colour:
        read = [each if each.ndim == 3 else np.stack([each] * 3) for each in read]
    inputs = np.stack(read)
    classes = tuple(parts[0])
    numbers = [classes.index(label) for part in parts for label in part for _ in part[label]]
    labels = np.array(numbers, np.int64)
    count = sum(map(len, parts[0].values()))
    test = (inputs[count:], labels[count:]) if len(parts) > 1 else None
    return Decoded(inputs[:count], labels[:count], test, classes, 255.0)


def fitting_size(parts: Sequence[Part], name: str) -> tuple[tuple[int, int] | None, str]:
    """Height and width to bring all to, and what sizes they have; None where they are of one size,
    and of a small one.

    The commonest shape, its longer side cut to SIDE.
    """
    files = [file for part in parts for each in part.values() for file in each]
    with ThreadPoolExecutor() as pool:
        sizes = list(pool.map(_size, files))
    (height, width), count = Counter(sizes).most_common(1)[0]
    if count == len(files) and height * width <= LARGE:
        return None, ""
    said = f"{count:,} of {len(files):,} have {height}x{width}"
    if count < len(files):
        odd = next(place for place, size in enumerate(sizes) if size != (height, width))
        other = f"{files[odd].parent.name}/{files[odd].name}"
        said += f", others not, such as {other} with {sizes[odd][0]}x{sizes[odd][1]}"
    share = min(1.0, SIDE / max(height, width))
    return (max(1, round(height * share)), max(1, round(width * share))), said


def _folders(folder: Path) -> list[Path]:
    try:
        inside = sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder} cannot be read ({error.strerror or error})") from None
    return [each for each in inside if each.is_dir() and not each.name.startswith(".")]


def _by_class(folder: Path, inside: Sequence[Path], name: str) -> Part:
    part = {}
    for each in inside:
        part[each.name] = files = sorted(
            file for file in each.rglob("*") if file.suffix.lower() in (*SUFFIXES, *UNREAD)
            and not file.name.startswith(".")
        )  # fmt: skip
        for file in files:
            if file.suffix.lower() in UNREAD:
                raise DataError(
                    f"{file}: {file.suffix} pictures are not read; save it as PNG or JPEG"
                )
        if not files:
            raise DataError(
                f"{name}: class '{each.name}' has no picture ({', '.join(SUFFIXES)}); put some "
                "there, or take the folder away"
            )
    if not part:
        raise DataError(
            f"{name}: a folder with no classes; put the pictures of each class into a folder of "
            f"its own, as in {name.rstrip('/')}/cat/1.png"
        )
    return part


def _check_memory(sizes: Sequence[tuple[int, int]], name: str) -> None:
    if 3 * sum(height * width for height, width in sizes) > MOST:
        height, width = max(sizes)
        raise DataError(
            f"[data] size: {name} has {len(sizes):,} pictures of up to {height}x{width}, more than "
            "memory should hold; bring them to a smaller one, such as size = [32, 32]"
        )


def _check_sizes(files: Sequence[Path], read: Sequence[Array], name: str) -> None:
    sizes = [(int(each.shape[-2]), int(each.shape[-1])) for each in read]
    counts = Counter(sizes).most_common()
    if len(counts) > 1:
        shown = ", ".join(
            f"{size[0]}x{size[1]} as {file.parent.name}/{file.name} ({count:,})"
            for size, count in counts[:3]
            for file in [files[sizes.index(size)]]
        )
        raise DataError(
            f"[data] size: {name} has pictures of {len(counts):,} sizes, height x width: {shown}; "
            f"size = {list(counts[0][0])} brings all to one, stretched where they are of another "
            "shape"
        )


def _size(file: Path) -> tuple[int, int]:
    """Height and width, by the file's head."""
    with _opened(file) as image:
        # A PNG's pixels would be read for it; few of them are turned.
        turned = image.format != "PNG" and image.getexif().get(ORIENTATION, 1) >= 5
        return image.size if turned else (image.height, image.width)


def _array(file: Path, size: tuple[int, ...]) -> Array:
    """[H, W] where it is grey, else [3, H, W], uint8."""
    from PIL import Image, ImageOps

    with _opened(file) as opened:
        try:
            image: Image.Image = ImageOps.exif_transpose(opened)
            if image.mode.startswith("I"):  # 16 bits a pixel, which Pillow would cut at 255
                image = Image.fromarray((np.asarray(image, np.uint32) >> 8).astype(np.uint8))
            if image.has_transparency_data:
                paper = Image.new("RGBA", image.size, "white")
                image = Image.alpha_composite(paper, image.convert("RGBA"))
            image = image.convert("L" if image.mode in ("1", "L", "F") else "RGB")
            if size:
                image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
            values = np.asarray(image)
        except Exception as error:  # a damaged file raises anything
            raise _unreadable(file, error) from None
    if values.ndim == 2:
        return values
    grey = bool((values == values[..., :1]).all())
    return values[..., 0] if grey else values.transpose(2, 0, 1)


def _opened(file: Path) -> Image:
    from PIL import Image

    try:
        return Image.open(file)
    except Exception as error:
        raise _unreadable(file, error) from None


def _unreadable(file: Path, error: Exception) -> DataError:
    why = " ".join(str(error).split()).replace(f" '{file}'", "") or repr(error)
    return DataError(f"{file}: no picture that can be read ({why}); mend it, or take it away")
