"""Datasets in MNIST's file format: downloaded, checked and decoded by torchvision."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from http.client import HTTPException
from pathlib import Path

from harness.data.dataset_files import (
    compute_md5,
    downloading,
    find_data_folder,
    missing_file_error,
    unpacking,
)
from harness.data.types import Array, DatasetArrays, Source
from harness.errors import DataError

DIGITS = tuple("0123456789")


def find_source(
    name: str,
    class_name: str,
    md5: Mapping[str, str],
    data_dir: Path | None,
    download: bool,
    classes: tuple[str, ...] = (),
) -> Source:
    """Find the dataset that `torchvision.datasets.<class_name>` downloads, and check its files.

    Args:
        name: The dataset's name, for errors.
        md5: The MD5 of each uncompressed file; torchvision knows those of the archives.
        classes: The classes' names; torchvision's if empty.

    Raises DataError.
    """
    root, is_user_folder = find_data_folder(data_dir)
    contents = f"{class_name}/raw"
    raw = root / contents
    if not is_user_folder and download:
        for file in md5:  # delete what an interrupted run left half unpacked
            if (raw / file).is_file() and compute_md5(name, raw / file) != md5[file]:
                (raw / file).unlink()
    missing = [file for file in md5 if not (raw / file).is_file()]
    archives = [raw / f"{file}.gz" for file in missing]
    if missing and is_user_folder and download and all(map(Path.is_file, archives)):
        _unpack(name, class_name, archives)
    elif missing and (is_user_folder or not download):
        raise missing_file_error(name, raw / missing[0], contents, is_user_folder)
    elif missing:
        with downloading(name, root, contents):
            _download(class_name, raw, [archive.name for archive in archives])
    for file, expected in md5.items():
        actual = compute_md5(name, raw / file)
        if actual != expected:
            size = (raw / file).stat().st_size
            raise DataError(
                f"{name}: {raw / file} is cut off or altered ({size:,} bytes, md5 {actual} instead "
                f"of {expected}); delete it and get it again"
            )
    digest = hashlib.sha256("".join(md5.values()).encode()).hexdigest()
    return Source(name, str(raw), digest, True, lambda: _decode(class_name, raw, classes))


def _unpack(name: str, class_name: str, archives: Sequence[Path]) -> None:
    import torchvision

    known = _archive_md5s(class_name)
    for archive in archives:
        with unpacking(name, archive, known[archive.name]):
            torchvision.datasets.utils.extract_archive(str(archive), str(archive.parent))


def _download(class_name: str, raw: Path, archives: Sequence[str]) -> None:
    """Download each archive from the first mirror that has it complete, and unpack it."""
    import torchvision

    known = _archive_md5s(class_name)
    for archive in archives:
        failures = ""
        for mirror in getattr(torchvision.datasets, class_name).mirrors:
            try:
                torchvision.datasets.utils.download_and_extract_archive(
                    f"{mirror}{archive}", str(raw), filename=archive, md5=known[archive]
                )
                break
            except (RuntimeError, OSError, HTTPException) as error:
                failures += f"{mirror}{archive}: {error} "
        else:
            raise RuntimeError(failures)


def _archive_md5s(class_name: str) -> dict[str, str]:
    import torchvision

    return dict(getattr(torchvision.datasets, class_name).resources)


def _decode(class_name: str, raw: Path, classes: tuple[str, ...]) -> DatasetArrays:
    """Decode the files that were checked.

    torchvision's classes would prefer `processed/*.pt` if it exists: pickles without a checksum.
    """
    import torchvision
    from torchvision.datasets import mnist

    def read(prefix: str) -> tuple[Array, Array]:
        images = mnist.read_image_file(str(raw / f"{prefix}-images-idx3-ubyte"))
        labels = mnist.read_label_file(str(raw / f"{prefix}-labels-idx1-ubyte"))
        return images.numpy(), labels.numpy()

    names = classes or tuple(getattr(torchvision.datasets, class_name).classes)
    return DatasetArrays(*read("train"), read("t10k"), names, 255.0)
