"""One fork server and one MLflow server for all slow tests: each takes 11 to 18 s to start."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.forked_cli import ForkServer
from tests.faults.mlflow_server import MlflowServer


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    with ForkServer() as fork_server:
        yield fork_server


@pytest.fixture(scope="session")
def mlflow_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """A test that stops or kills it must start it again."""
    with MlflowServer(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(scope="session")
def mlflow_server(mlflow_process: MlflowServer) -> str:
    """The URL of the MLflow server."""
    return mlflow_process.url
