"""Shared parts: a cache that the whole session uses, small real data, real FashionMNIST."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from harness.data.prepare import PreparedDataset, prepare
from tests.support.real_data import find_real_data


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
