"""Shared parts: a cache that the whole session uses, small real data, real FashionMNIST."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from harness.data.prepare import PreparedDataset, prepare
from tests.support.real_data import find_real_data

LONG_FILES = (
    "browser/test_report.py",
    "faults/test_failpoints.py",
    "docs/test_examples.py",
    "executors/test_ray_executor.py",
    "api/test_estimators.py",
    "faults/test_security.py",
    "sweep/test_cluster.py",
    "inference/test_table_ensemble.py",
    "sweep/test_calibrate.py",
    "faults/test_killed.py",
    "test_compose.py",
    "inference/test_classify_images.py",
    "sweep/test_fashion_mnist.py",
    "inference/test_table_champion.py",
)
"""The files whose tests take longest. They come first, as one that comes last runs alone."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    folder = Path(__file__).parent
    places = {folder / name: place for place, name in enumerate(LONG_FILES)}
    assert all(path.is_file() for path in places), "LONG_FILES names a file that is gone"
    counts = Counter(item.path for item in items)
    items.sort(key=lambda item: (places.get(item.path, len(places)), -counts[item.path]))


@pytest.fixture(scope="session", autouse=True)
def isolated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Nothing of the user's is read or written: a cache of the session's own, no server, no data.

    Tests on real data name its folder themselves, by the `real_data` fixture.
    """
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        patch.delenv("HARNESS_DATA_DIR", raising=False)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.delenv("COLUMNS", raising=False)
        yield cache


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """As workers train: one thread's bits are promised, and small tensors are no faster on two."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with FashionMNIST; skipped by name where there is none."""
    return find_real_data("FashionMNIST/raw")


@pytest.fixture(scope="session")
def digits(isolated: Path) -> PreparedDataset:
    return prepare("digits", validation=0.2, test=0.2, split_seed=0, normalize=True)
