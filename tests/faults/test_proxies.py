"""A proxy of the environment that does not answer, or refuses, is not blamed on the server."""

from __future__ import annotations

import pytest

from harness.errors import StoreError, Unavailable
from harness.tracking.mlflow.client import Store
from harness.workspace import _check_server
from tests.faults.canned_server import run_canned_server
from tests.faults.mlflow_server import find_free_port

SERVER = "http://mlflow.test:5000"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "all_proxy", "no_proxy"):
        for each in (name, name.upper()):
            monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("start", ["http://bob:s3cret@", "bob:s3cret@", "http://", ""])
def test_a_dead_proxy_is_named_with_its_variable(
    variable: str, start: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = find_free_port()
    monkeypatch.setenv(variable, f"{start}127.0.0.1:{port}")
    store = Store(SERVER)

    def search() -> None:
        with store.map_errors():
            store.client.search_experiments()

    for call in (search, lambda: _check_server(SERVER)):
        with pytest.raises(StoreError) as raised:
            call()
        assert isinstance(raised.value, Unavailable) or start == "bob:s3cret@"  # malformed
        text = str(raised.value)
        assert text.startswith(f"MLflow at {SERVER}: the proxy ")
        assert f"127.0.0.1:{port} (${variable}) cannot be used (" in text
        assert f"; correct or unset {variable}, or reach mlflow.test without it: " in text
        assert text.endswith("add mlflow.test to NO_PROXY")
        assert "s3cret" not in text


def test_a_server_that_only_the_proxy_reaches_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with run_canned_server() as proxy:
        proxy.mode, address = "502", f"http://{proxy.address}"
        monkeypatch.setenv("HTTP_PROXY", address)
        _check_server(SERVER)
        with pytest.raises(StoreError) as raised, Store(SERVER).map_errors():
            Store(SERVER).client.search_experiments()
    assert f": through the proxy {address} ($HTTP_PROXY): response 502" in str(raised.value)


def test_a_server_that_needs_no_proxy_is_blamed_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{find_free_port()}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = f"http://127.0.0.1:{find_free_port()}"
    with pytest.raises(Unavailable, match="no MLflow server answers at"):
        _check_server(server)
    with pytest.raises(Unavailable) as raised, Store(server).map_errors():
        Store(server).client.search_experiments()
    assert "proxy" not in str(raised.value)
