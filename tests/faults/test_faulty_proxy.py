"""The faulty proxy does what its rules say, and nothing else."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import requests

from tests.faults.canned_server import PAGE, Answers, answering
from tests.faults.faulty_proxy import Proxy

GONE = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)


@pytest.fixture(scope="module")
def server() -> Iterator[Answers]:
    with answering() as server:
        yield server


@pytest.fixture
def proxy(server: Answers, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    monkeypatch.setenv("NO_PROXY", "*")
    server.requests, server.way = 0, "200"
    with Proxy(server.server_address[1]) as proxy:
        yield proxy


def test_it_gives_on_what_it_gets(proxy: Proxy, server: Answers) -> None:
    server.way = "echo"
    with requests.Session() as session:
        for _ in range(2):  # over one connection
            answer = session.post(f"{proxy.url}/api/2.0/mlflow/runs/create?a=b", b"\x00abc")
            assert answer.content == b"POST /api/2.0/mlflow/runs/create?a=b \x00abc"
            assert answer.headers["X-Echo"] == "yes"
    pieces = (piece for piece in (b"in ", b"pieces"))
    answer = requests.put(f"{proxy.url}/file", pieces, timeout=5)
    assert answer.content == b"PUT /file in pieces"
    assert proxy.forwarded == {("POST", "runs/create"): 2, ("PUT", "/file"): 1}


def test_it_answers_in_the_servers_place_as_often_as_told(proxy: Proxy, server: Answers) -> None:
    rule = proxy.answer(503, "runs/create$", method="POST", times=2)
    got = [requests.post(f"{proxy.url}/runs/create", b"x" * 9, timeout=5) for _ in range(3)]
    assert [answer.status_code for answer in got] == [503, 503, 200]
    assert requests.get(f"{proxy.url}/runs/create", timeout=5).content == PAGE
    assert (rule.hits, server.requests) == (2, 2)


def test_a_lost_answers_work_is_done(proxy: Proxy, server: Answers) -> None:
    assert requests.post(f"{proxy.url}/create", timeout=5).status_code == 200
    proxy.lose("create", times=1, skip=1)
    assert requests.post(f"{proxy.url}/create", timeout=5).status_code == 200
    with pytest.raises(GONE):
        requests.post(f"{proxy.url}/create", timeout=5)
    assert server.requests == 3
    assert requests.post(f"{proxy.url}/create", timeout=5).status_code == 200
    assert proxy.forwarded["POST", "/create"] == 4


def test_a_delay_comes_before_the_work(proxy: Proxy, server: Answers) -> None:
    proxy.delay(60, "slow")
    with pytest.raises(requests.ReadTimeout):
        requests.get(f"{proxy.url}/slow", timeout=0.2)
    assert server.requests == 0
    assert requests.get(f"{proxy.url}/other", timeout=5).status_code == 200
    proxy.clear()
    proxy.wait_for("/slow", timeout=5)  # it goes on where its client has long hung up
    assert server.requests == 2


def test_it_refuses_and_comes_back_at_the_same_address(proxy: Proxy) -> None:
    url = proxy.url
    with requests.Session() as session:
        assert session.get(url, timeout=5).status_code == 200
        proxy.refuse()
        with pytest.raises(GONE):
            session.get(url, timeout=5)
        proxy.accept()
        assert proxy.url == url
        assert session.get(url, timeout=5).status_code == 200


def test_nothing_of_it_is_left(server: Answers) -> None:
    before = threading.active_count()
    with Proxy(server.server_address[1]) as proxy:
        proxy.delay(60)
        with pytest.raises(requests.ReadTimeout):
            requests.get(proxy.url, timeout=0.1)
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_a_server_that_is_away_shows_as_a_bad_gateway() -> None:
    with answering() as server:
        port = server.server_address[1]
    with Proxy(port) as proxy:
        assert requests.get(proxy.url, timeout=5).status_code == 502
        assert not proxy.forwarded
