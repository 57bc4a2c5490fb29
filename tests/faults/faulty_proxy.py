"""An HTTP proxy that injects the faults of networks and servers by rules.

    with Proxy(server.port) as proxy:
        proxy.answer(503, "runs/create", times=2)             # instead of the server
        proxy.delay(30, "log-batch")                          # before it is forwarded
        lost = proxy.drop_response("runs/create", times=1)    # the server did it, no answer comes
        use(proxy.url)
        assert lost.hits == 1 and proxy.forwarded["POST", "runs/create"] == 7

The first rule that matches a request and is not used up applies.
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
    """A fault and the requests it applies to.

    `path` is a regular expression to search in the request's path. The first `skip` matching
    requests are forwarded normally; `times` None is always.
    """

    fault: Literal["answer", "delay", "lose"]
    path: str
    method: str
    times: int | None
    skip: int
    value: float = 0
    """The status of an answer, or the seconds of a delay."""
    hits: int = field(default=0, init=False)

    def matches(self, method: str, path: str) -> bool:
        is_used_up = self.times is not None and self.hits >= self.times
        if is_used_up or self.method not in ("", method) or not re.search(self.path, path):
            return False
        self.skip -= 1
        self.hits += self.skip < 0
        return self.skip < 0


class Proxy:
    """A context manager: listens on a free port of 127.0.0.1 and forwards to `port` there."""

    def __init__(self, port: int, token: str = "") -> None:
        """Requests without the `token`, if there is one, are answered 401."""
        self.upstream, self.token = port, token
        self.forwarded: Counter[tuple[str, str]] = Counter()
        """How many requests were forwarded, by method and path without /api/2.0/mlflow/."""
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
        self.start_listening()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._closing.set()
        self.clear()
        self.stop_listening()

    def answer(
        self,
        status: int,
        path: str = "",
        *,
        method: str = "",
        times: int | None = None,
        skip: int = 0,
    ) -> Rule:
        """Answer with `status`, and do not forward."""
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
        """Forward after `seconds`."""
        return self._add(Rule("delay", path, method, times, skip, seconds))

    def drop_response(
        self, path: str = "", *, method: str = "", times: int | None = None, skip: int = 0
    ) -> Rule:
        """Forward, wait for the server's answer, and hang up without sending it."""
        return self._add(Rule("lose", path, method, times, skip))

    def clear(self) -> None:
        """Remove all rules; current delays end at once."""
        with self._changed:
            self._rules.clear()
            self._changed.notify_all()

    def stop_listening(self) -> None:
        """Close the port and all connections, as if there were no server."""
        if self._server is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server.hang_up()
            self._server = None

    def start_listening(self) -> None:
        """Listen, on the same port every time."""
        if self._server is None:
            self._server = _Server(self)
            self.port = self._server.server_address[1]
            serve = self._server.serve_forever
            self._thread = threading.Thread(target=serve, args=(0.05,), daemon=True)
            self._thread.start()

    def wait_for(self, path: str, times: int = 1, timeout: float = 60) -> None:
        """Wait until `times` requests whose path ends with `path` were forwarded."""

        def is_reached() -> bool:
            return sum(n for (_, end), n in self.forwarded.items() if end.endswith(path)) >= times

        with self._changed:
            assert self._changed.wait_for(is_reached, timeout), f"{path}: {self.forwarded}"

    def _add(self, rule: Rule) -> Rule:
        with self._changed:
            self._rules.append(rule)
        return rule

    def _find_rule(self, method: str, path: str) -> Rule | None:
        with self._changed:
            return next((rule for rule in self._rules if rule.matches(method, path)), None)

    def _sleep(self, rule: Rule) -> None:
        def is_over() -> bool:
            return self._closing.is_set() or rule not in self._rules

        with self._changed:
            self._changed.wait_for(is_over, rule.value)

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
        """Print nothing when a client hangs up on the faulty proxy."""


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
            self._send_response(401, {}, b"who are you?")
            return
        rule = proxy._find_rule(self.command, self.path)
        if rule is not None and rule.fault == "answer":
            headers = {"Content-Type": "text/html"}
            self._send_response(int(rule.value), headers, b"<html>\nnot now</html>")
            return
        if rule is not None and rule.fault == "delay":
            proxy._sleep(rule)
        try:
            status, headers, answer = self._forward(body)
        except (OSError, http.client.HTTPException):
            self._send_response(502, {}, b"")
            return
        proxy._count(self.command, self.path)
        if rule is not None and rule.fault == "lose":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self._send_response(status, headers, answer)

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

    def _send_response(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
