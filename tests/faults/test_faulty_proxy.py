"""The faulty proxy follows its rules and does nothing else."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import requests

from tests.faults.canned_server import HTML_PAGE, CannedServer, run_canned_server
from tests.faults.faulty_proxy import Proxy

GONE = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)


@pytest.fixture(scope="module")
def server() -> Iterator[CannedServer]:
    with run_canned_server() as server:
        yield server


@pytest.fixture
def proxy(server: CannedServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    monkeypatch.setenv("NO_PROXY", "*")
    server.requests, server.mode = 0, "200"
    with Proxy(server.server_address[1]) as proxy:
        yield proxy


def test_requests_and_responses_are_forwarded(proxy: Proxy, server: CannedServer) -> None:
    server.mode = "echo"
    with requests.Session() as session:
        for _ in range(2):  # over one connection
            answer = session.post(f"{proxy.url}/api/2.0/mlflow/runs/create?a=b", b"\x00abc")
            assert answer.content == b"POST /api/2.0/mlflow/runs/create?a=b \x00abc"
            assert answer.headers["X-Echo"] == "yes"
    pieces = (piece for piece in (b"in ", b"pieces"))
    answer = requests.put(f"{proxy.url}/file", pieces, timeout=5)
    assert answer.content == b"PUT /file in pieces"
    assert proxy.forwarded == {("POST", "runs/create"): 2, ("PUT", "/file"): 1}


def test_it_answers_instead_of_the_server_as_often_as_configured(
    proxy: Proxy, server: CannedServer
) -> None:
    rule = proxy.answer(503, "runs/create$", method="POST", times=2)
    got = [requests.post(f"{proxy.url}/runs/create", b"x" * 9, timeout=5) for _ in range(3)]
    assert [answer.status_code for answer in got] == [503, 503, 200]
    assert requests.get(f"{proxy.url}/runs/create", timeout=5).content == HTML_PAGE
    assert (rule.hits, server.requests) == (2, 2)


def test_the_server_handles_a_request_whose_response_is_dropped(
    proxy: Proxy, server: CannedServer
) -> None:
    assert requests.post(f"{proxy.url}/create", timeout=5).status_code == 200
    proxy.drop_response("create", times=1, skip=1)
    assert requests.post(f"{proxy.url}/create", timeout=5).status_code == 200
    with pytest.raises(GONE):
        requests.post(f"{proxy.url}/create", timeout=5)
    assert server.requests == 3
    assert requests.post(f"{proxy.url}/create", timeout=5).status_code == 200
    assert proxy.forwarded["POST", "/create"] == 4


def test_a_delay_comes_before_the_request(proxy: Proxy, server: CannedServer) -> None:
    proxy.delay(60, "slow")
    with pytest.raises(requests.ReadTimeout):
        requests.get(f"{proxy.url}/slow", timeout=0.2)
    assert server.requests == 0
    assert requests.get(f"{proxy.url}/other", timeout=5).status_code == 200
    proxy.clear()
    proxy.wait_for("/slow", timeout=5)  # it continues after its client hung up
    assert server.requests == 2


def test_it_stops_listening_and_returns_at_the_same_address(proxy: Proxy) -> None:
    url = proxy.url
    with requests.Session() as session:
        assert session.get(url, timeout=5).status_code == 200
        proxy.stop_listening()
        with pytest.raises(GONE):
            session.get(url, timeout=5)
        proxy.start_listening()
        assert proxy.url == url
        assert session.get(url, timeout=5).status_code == 200


def test_no_thread_or_socket_is_left(server: CannedServer) -> None:
    before = threading.active_count()
    with Proxy(server.server_address[1]) as proxy:
        proxy.delay(60)
        with pytest.raises(requests.ReadTimeout):
            requests.get(proxy.url, timeout=0.1)
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_a_missing_server_gives_a_bad_gateway() -> None:
    with run_canned_server() as server:
        port = server.server_address[1]
    with Proxy(port) as proxy:
        assert requests.get(proxy.url, timeout=5).status_code == 502
        assert not proxy.forwarded
