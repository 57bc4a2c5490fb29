"""Where a dataset comes from: found, checked, decoded once into arrays.

FashionMNIST and MNIST are downloaded and decoded by torchvision, each file held to its checksum.
CIFAR-10 is downloaded by torchvision's tools and read by `harness.data.cifar10`. The digits are
scikit-learn's own copy and need neither network nor files. A path is `harness.data.custom`'s.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from http.client import HTTPException
from pathlib import Path

import numpy as np

from harness.data import cifar10, custom
from harness.data.types import Array, DataOptions, Decoded, Source
from harness.errors import DataError, did_you_mean

DATA_DIR_VARIABLE = "HARNESS_DATA_DIR"
NEEDS_NONE = "`harness run-study quickstart` needs no files"

# md5 of the uncompressed files, as distributed; torchvision knows those of the .gz archives.
MD5 = {
    "FashionMNIST": {
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    },
    "MNIST": {
        "train-images-idx3-ubyte": "a292f7315ddd3f9689414f6ff0490591",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "51340672f30abdd69d1125e690e437d9",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
}


def find(
    name: str, data_dir: Path | None = None, download: bool = True, asked: DataOptions | None = None
) -> Source:
    """The dataset called `name`, its files verified; what is no known set's name is a path.

    Files are looked for under `data_dir`, else under $HARNESS_DATA_DIR, else in the user's cache,
    and only that last place is downloaded into. Raises DataError.
    """
    asked = asked or DataOptions()
    if name not in DATASETS and custom.is_path(name):
        return custom.find(name, root_of(data_dir)[0], asked)
    for key, value in vars(asked).items():
        if name in DATASETS and value != getattr(DataOptions(), key):
            raise DataError(f"[data] {key}: is for data of your own, not for {name}; leave it out")
    if name == "digits":
        return Source(
            "digits", "scikit-learn's bundled copy", "sklearn-digits-1", False, decode_digits
        )
    if name == "cifar10":
        return _cifar10(data_dir, download)
    if name in TORCHVISION:
        return _torchvision(name, data_dir, download)
    raise DataError(
        f"[data] name: no dataset '{name}'{did_you_mean(name, DATASETS)}; of your own data, give "
        f"the path ({custom.A_PATH})"
    )


def user_cache() -> Path:
    """$XDG_CACHE_HOME/harness, else ~/.cache/harness."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "harness"


def decode_digits() -> Decoded:
    from sklearn.datasets import load_digits

    digits = load_digits()
    names = tuple(str(name) for name in digits.target_names)
    return Decoded(
        digits.images.astype(np.uint8), digits.target.astype(np.int64), None, names, 16.0
    )


TORCHVISION = {"fashion-mnist": "FashionMNIST", "mnist": "MNIST"}
DATASETS = ("cifar10", "digits", *TORCHVISION)


def _torchvision(name: str, data_dir: Path | None, download: bool) -> Source:
    class_name = TORCHVISION[name]
    root, given = root_of(data_dir)
    holds = f"{class_name}/raw"
    raw = root / holds
    files = MD5[class_name]
    if not given and download:
        for file in files:  # of our own, cut off while they were unpacked
            if (raw / file).is_file() and _md5(name, raw / file) != files[file]:
                (raw / file).unlink()
    missing = [file for file in files if not (raw / file).is_file()]
    if missing:
        archives = [raw / f"{file}.gz" for file in missing]
        if given and download and all(archive.is_file() for archive in archives):
            known = _archive_md5s(class_name)
            for archive in archives:
                _unpack(name, archive, known[archive.name], raw)
        elif given or not download:
            raise _not_there(name, raw / missing[0], holds)
        else:
            names = [archive.name for archive in archives]
            _download(name, root, holds, lambda: _torchvision_download(class_name, raw, names))
    for file, md5 in files.items():
        found = _md5(name, raw / file)
        if found != md5:
            size = (raw / file).stat().st_size
            raise DataError(
                f"{name}: {raw / file} is cut off or altered ({size:,} bytes, md5 {found} instead "
                f"of {md5}); delete it and get it again"
            )
    digest = hashlib.sha256("".join(files.values()).encode()).hexdigest()
    return Source(name, str(raw), digest, True, lambda: _decode_torchvision(class_name, raw))


def _md5(name: str, path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "md5").hexdigest()
    except OSError as error:
        raise DataError(
            f"{name}: {path} cannot be read ({error.strerror or error}); make it readable, or "
            "delete it and get it again"
        ) from None


def _archive_md5s(class_name: str) -> dict[str, str]:
    import torchvision

    return dict(getattr(torchvision.datasets, class_name).resources)


def _torchvision_download(class_name: str, raw: Path, archives: Sequence[str]) -> None:
    """Each from the first mirror that has it whole."""
    import torchvision

    known = _archive_md5s(class_name)
    for archive in archives:
        failed = ""
        for mirror in getattr(torchvision.datasets, class_name).mirrors:
            try:
                torchvision.datasets.utils.download_and_extract_archive(
                    f"{mirror}{archive}", str(raw), filename=archive, md5=known[archive]
                )
                break
            except (RuntimeError, OSError, HTTPException) as error:
                failed += f"{mirror}{archive}: {error} "
        else:
            raise RuntimeError(failed)


def _decode_torchvision(class_name: str, raw: Path) -> Decoded:
    """Of the files that were checked: torchvision's classes take `processed/*.pt` in their stead
    where that is there, which are pickles that no checksum covers."""
    import torchvision
    from torchvision.datasets import mnist

    def part(prefix: str) -> tuple[Array, Array]:
        images = mnist.read_image_file(str(raw / f"{prefix}-images-idx3-ubyte"))
        labels = mnist.read_label_file(str(raw / f"{prefix}-labels-idx1-ubyte"))
        return images.numpy(), labels.numpy()

    names = getattr(torchvision.datasets, class_name).classes
    classes = tuple(names) if class_name == "FashionMNIST" else tuple("0123456789")
    return Decoded(*part("train"), part("t10k"), classes, 255.0)


def _cifar10(data_dir: Path | None, download: bool) -> Source:
    name, holds = "cifar10", cifar10.FOLDER
    root, given = root_of(data_dir)
    folder = root / holds
    missing = [file for file in cifar10.FILES if not (folder / file).is_file()]
    if missing:
        archive = root / cifar10.ARCHIVE
        if given and download and archive.is_file():
            _unpack(name, archive, cifar10.MD5, root)
        elif given or not download:
            raise _not_there(name, folder / missing[0], f"{holds}, CIFAR-10's binary version")
        else:
            _download(name, root, holds, lambda: _cifar10_download(root))
    return Source(name, str(folder), cifar10.check(folder), True, lambda: _decode_cifar10(folder))


def _cifar10_download(root: Path) -> None:
    import torchvision

    torchvision.datasets.utils.download_and_extract_archive(
        cifar10.URL, str(root), md5=cifar10.MD5, remove_finished=True
    )


def _decode_cifar10(folder: Path) -> Decoded:
    (inputs, labels), test, classes = cifar10.read(folder)
    return Decoded(inputs, labels, test, classes, 255.0)


def root_of(data_dir: Path | None) -> tuple[Path, bool]:
    """The folder to look in, and whether the user gave it: then nothing is downloaded into it."""
    given = data_dir if data_dir is not None else os.environ.get(DATA_DIR_VARIABLE)
    if not given:
        return user_cache() / "datasets", False
    try:
        Path(given).stat()
    except FileNotFoundError:
        pass  # what is missing in it is told file by file
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise DataError(
            f"--data-dir or ${DATA_DIR_VARIABLE}: {given} is no folder ({why})"
        ) from None
    return Path(given), True


def _not_there(name: str, path: Path, holds: str) -> DataError:
    return DataError(
        f"{name}: no file {path}; point --data-dir or ${DATA_DIR_VARIABLE} at a folder that holds "
        f"{holds}, or leave both out to download; {NEEDS_NONE}"
    )


def _unpack(name: str, archive: Path, md5: str, folder: Path) -> None:
    """Unpack a distributed archive, checked first, into `folder`."""
    import torchvision

    tools = torchvision.datasets.utils
    if _md5(name, archive) != md5:
        raise DataError(f"{name}: {archive} is cut off or altered; delete it and get it again")
    try:
        tools.extract_archive(str(archive), str(folder))
    except OSError as error:
        raise DataError(
            f"{name}: {archive} cannot be unpacked where it lies ({error.strerror or error}); "
            "unpack it, or copy it to a folder that can be written"
        ) from None


def _download(name: str, root: Path, holds: str, get: Callable[[], None]) -> None:
    """Have torchvision download what is not there, into the user's cache."""
    try:
        get()
    except (RuntimeError, OSError, HTTPException) as error:
        said = " ".join(str(error).split()) or repr(error)
        raise DataError(
            f"{name}: not in {root} and could not be downloaded into it ({said}); point "
            f"--data-dir or ${DATA_DIR_VARIABLE} at a folder that holds {holds}; {NEEDS_NONE}"
        ) from error
