"""A faulty way to a server: forwards HTTP, and does by rule what networks and servers do wrong.

    with Proxy(server.port) as proxy:
        proxy.answer(503, "runs/create", times=2)    # in the server's place
        proxy.delay(30, "log-batch")                 # before it is forwarded
        lost = proxy.lose("runs/create", times=1)    # done by the server, but its answer gone
        use(proxy.url)
        assert lost.hits == 1 and proxy.forwarded["POST", "runs/create"] == 7

The first rule that fits a request and is not used up is taken.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import threading
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import urlsplit

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}


@dataclass
class Rule:
    """`path` is a regular expression looked for in the request's path; the first `skip` requests
    that fit are let through; `times` None is always."""

    fault: Literal["answer", "delay", "lose"]
    path: str
    method: str
    times: int | None
    skip: int
    value: float = 0
    """The status of an answer, the seconds of a delay."""
    hits: int = field(default=0, init=False)

    def takes(self, method: str, path: str) -> bool:
        used_up = self.times is not None and self.hits >= self.times
        if used_up or self.method not in ("", method) or not re.search(self.path, path):
            return False
        self.skip -= 1
        self.hits += self.skip < 0
        return self.skip < 0


class Proxy:
    """Listens on a free port of 127.0.0.1 while it is entered, and forwards to `port` there."""

    def __init__(self, port: int, token: str = "") -> None:
        """Who does not bring the `token`, where there is one, is answered 401."""
        self.upstream, self.token = port, token
        self.forwarded: Counter[tuple[str, str]] = Counter()
        """Requests that the server got, by method and path without /api/2.0/mlflow/."""
        self._rules: list[Rule] = []
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._server: _Server | None = None
        self._thread = threading.Thread()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.accept()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._closing.set()
        self.clear()
        self.refuse()

    def answer(
        self,
        status: int,
        path: str = "",
        *,
        method: str = "",
        times: int | None = None,
        skip: int = 0,
    ) -> Rule:
        """Answer with `status` and forward nothing."""
        return self._add(Rule("answer", path, method, times, skip, status))

    def delay(
        self,
        seconds: float,
        path: str = "",
        *,
        method: str = "",
        times: int | None = None,
        skip: int = 0,
    ) -> Rule:
        """Forward after so many seconds."""
        return self._add(Rule("delay", path, method, times, skip, seconds))

    def lose(
        self, path: str = "", *, method: str = "", times: int | None = None, skip: int = 0
    ) -> Rule:
        """Forward, wait for the server's answer and hang up instead of giving it on."""
        return self._add(Rule("lose", path, method, times, skip))

    def clear(self) -> None:
        """Forget all rules; delays that run end at once."""
        with self._changed:
            self._rules.clear()
            self._changed.notify_all()

    def refuse(self) -> None:
        """As if there were no server: nobody listens, connections end."""
        if self._server is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server.hang_up()
            self._server = None

    def accept(self) -> None:
        """Listen, again at the same port."""
        if self._server is None:
            self._server = _Server(self)
            self.port = self._server.server_address[1]
            serve = self._server.serve_forever
            self._thread = threading.Thread(target=serve, args=(0.05,), daemon=True)
            self._thread.start()

    def wait_for(self, path: str, times: int = 1, timeout: float = 60) -> None:
        """Until so many requests whose path ends with `path` were forwarded; fails if none come."""

        def enough() -> bool:
            return sum(n for (_, end), n in self.forwarded.items() if end.endswith(path)) >= times

        with self._changed:
            assert self._changed.wait_for(enough, timeout), f"{path}: {self.forwarded}"

    def _add(self, rule: Rule) -> Rule:
        with self._changed:
            self._rules.append(rule)
        return rule

    def _rule(self, method: str, path: str) -> Rule | None:
        with self._changed:
            return next((rule for rule in self._rules if rule.takes(method, path)), None)

    def _sleep(self, rule: Rule) -> None:
        def over() -> bool:
            return self._closing.is_set() or rule not in self._rules

        with self._changed:
            self._changed.wait_for(over, rule.value)

    def _count(self, method: str, path: str) -> None:
        with self._changed:
            name = urlsplit(path).path.removeprefix("/api/2.0/mlflow/")
            self.forwarded[method, name] += 1
            self._changed.notify_all()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, proxy: Proxy) -> None:
        super().__init__(("127.0.0.1", proxy.port), _Handler)
        self.proxy = proxy
        self.connections: set[socket.socket] = set()

    def hang_up(self) -> None:
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients of a faulty way hang up; that is nothing to print."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        self.server.connections.discard(self.connection)
        super().finish()

    def log_message(self, format: str, *arguments: Any) -> None:
        pass

    def _handle(self) -> None:
        proxy, body = self.server.proxy, self._body()
        if proxy.token and self.headers.get("Authorization") != f"Bearer {proxy.token}":
            self._give(401, {}, b"who are you?")
            return
        rule = proxy._rule(self.command, self.path)
        if rule is not None and rule.fault == "answer":
            self._give(int(rule.value), {"Content-Type": "text/html"}, b"<html>\nnot now</html>")
            return
        if rule is not None and rule.fault == "delay":
            proxy._sleep(rule)
        try:
            status, headers, answer = self._forward(body)
        except (OSError, http.client.HTTPException):
            self._give(502, {}, b"")
            return
        proxy._count(self.command, self.path)
        if rule is not None and rule.fault == "lose":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self._give(status, headers, answer)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = _handle  # noqa: N815

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _forward(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.proxy.upstream)
        with contextlib.closing(connection):
            kept = {k: v for k, v in self.headers.items() if k.lower() not in HOP_BY_HOP}
            connection.request(self.command, self.path, body, kept)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()

    def _give(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
