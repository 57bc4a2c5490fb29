"""One nursery and one real server for all of the slow tests: each takes 11 to 18 s to start."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.forked_cli import Nursery
from tests.faults.mlflow_server import Server


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    with Nursery() as nursery:
        yield nursery


@pytest.fixture(scope="session")
def mlflow_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Whoever stops or kills it starts it again."""
    with Server(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(scope="session")
def mlflow_server(mlflow_process: Server) -> str:
    """Its URL."""
    return mlflow_process.url
