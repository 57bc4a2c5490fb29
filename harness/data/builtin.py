"""The built-in datasets: one entry each in `DATASETS`. To add one, add its entry.

`find_dataset` takes the name of one of them, or the path of custom data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.data import cifar10, custom, mnist
from harness.data.dataset_files import find_data_folder
from harness.data.types import DataOptions, DatasetArrays, DigitStyle, Source
from harness.errors import DataError, did_you_mean


@dataclass(frozen=True)
class BuiltinDataset:
    """A built-in dataset: how to get it, and what `harness predict` needs to know of its images."""

    description: str
    """For documentation: what the examples are, and how many."""
    find: Callable[[Path | None, bool], Source]
    """(folder of the datasets or None, whether to download) -> its files, checked."""
    download_mib: int = 0
    """Size of its download; 0 if it comes with an installed package."""
    digit_style: DigitStyle | None = None
    """How its handwritten digits were normalized; None if they are not digits."""
    keeps_aspect: bool = False
    """Whether its images were padded to their shape, not stretched."""
    brightest: float = 255.0
    """The largest pixel value. Like `border`, for studies recorded before they had it."""
    border: float = 0.0
    """Mean brightness of the images' border, 0 to 1."""


# MD5 of the uncompressed files, by torchvision's class.
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


def _decode_digits() -> DatasetArrays:
    from sklearn.datasets import load_digits

    digits = load_digits()
    names = tuple(str(name) for name in digits.target_names)
    return DatasetArrays(
        digits.images.astype(np.uint8), digits.target.astype(np.int64), None, names, 16.0
    )


DATASETS = {
    "cifar10": BuiltinDataset(
        description="60,000 colour images of 32x32, 10 classes of animals and vehicles",
        find=cifar10.find_source,
        download_mib=163,
        keeps_aspect=True,
        border=0.5,
    ),
    "digits": BuiltinDataset(
        description="1,797 grey images of 8x8, handwritten digits; comes with scikit-learn",
        find=lambda data_dir, download: Source(
            "digits", "scikit-learn's bundled copy", "sklearn-digits-1", False, _decode_digits
        ),
        digit_style="nist",
        brightest=16.0,
    ),
    "fashion-mnist": BuiltinDataset(
        description="70,000 grey images of 28x28, 10 classes of clothing",
        find=lambda data_dir, download: mnist.find_source(
            "fashion-mnist", "FashionMNIST", MD5["FashionMNIST"], data_dir, download
        ),
        download_mib=29,
        keeps_aspect=True,
    ),
    "mnist": BuiltinDataset(
        description="70,000 grey images of 28x28, handwritten digits",
        find=lambda data_dir, download: mnist.find_source(
            "mnist", "MNIST", MD5["MNIST"], data_dir, download, classes=mnist.DIGITS
        ),
        download_mib=11,
        digit_style="mnist",
    ),
}


def find_dataset(
    name: str,
    data_dir: Path | None = None,
    download: bool = True,
    options: DataOptions | None = None,
) -> Source:
    """Find a dataset by its name in `DATASETS` or by its path, and check its files.

    Files are searched under `data_dir`, else under $HARNESS_DATA_DIR, else in the user's cache;
    missing ones are downloaded into the cache only. Raises DataError.
    """
    options = options or DataOptions()
    if name not in DATASETS:
        if custom.is_path(name):
            return custom.find_source(name, find_data_folder(data_dir)[0], options)
        known = did_you_mean(name, sorted(DATASETS))
        raise DataError(
            f"[data] name: no dataset '{name}'{known}; for custom data, give its path "
            f"({custom.PATH_RULE})"
        )
    for key, value in vars(options).items():
        if value != getattr(DataOptions(), key):
            raise DataError(f"[data] {key}: is for custom data, not for {name}; leave it out")
    return DATASETS[name].find(data_dir, download)


def get_download_size(name: str, data_dir: Path | None = None) -> int:
    """Return how many MiB a study on this dataset downloads now; 0 if its files are there.

    A folder that the user names is never downloaded to.
    """
    if name not in DATASETS or find_data_folder(data_dir)[1]:
        return 0
    try:
        DATASETS[name].find(data_dir, False)
    except DataError:
        return DATASETS[name].download_mib
    return 0
