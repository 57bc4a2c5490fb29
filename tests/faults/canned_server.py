"""A small server that answers every request in the same way."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HTML_PAGE = b"<html>\n<body>We will be back soon\x1b[31m</body></html>"


class CannedServer(ThreadingHTTPServer):
    """Answers by its `mode`, which may be changed at any time.

    A mode is a status ("503"), a status with MLflow's error code ("503 TEMPORARILY_UNAVAILABLE"),
    or the name of one of the handler's methods.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.mode = "200"
        self.requests = 0
        self.slow_seconds = 3.0
        """Seconds that the mode "slow" takes."""

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing when a client hangs up on the faulty server."""


class _Handler(BaseHTTPRequestHandler):
    server: CannedServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    body = b""

    def log_message(self, format: str, *arguments: Any) -> None:
        pass

    def _respond(self) -> None:
        self.server.requests += 1
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, _, code = self.server.mode.partition(" ")
        if not status.isdigit():
            getattr(self, status)()
        elif code:
            document = {"error_code": code, "message": "one line\n\n  and \x07another"}
            self._send(int(status), json.dumps(document).encode())
        else:
            self._send(int(status), HTML_PAGE)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _respond  # noqa: N815

    def _send(self, status: int, body: bytes, length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def echo(self) -> None:
        body = f"{self.command} {self.path} ".encode() + self.body
        self._send(200, body, X_Echo="yes")

    def empty(self) -> None:
        self._send(200, b"")

    def cut(self) -> None:
        self._send(200, b'{"experim', length=500)
        self._hang_up()

    def cut_chunk(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b'50\r\n{"experim')
        self._hang_up()

    def silent(self) -> None:
        self._hang_up()

    def reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def garbage(self) -> None:
        self.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        self._hang_up()

    def slow(self) -> None:
        time.sleep(self.server.slow_seconds)

    def busy(self) -> None:
        self._send(503, b"", Retry_After="60")

    def away(self) -> None:
        """Redirect, as a login page in front of the server does."""
        self._send(302, b"", Location="/login")

    def refusal(self) -> None:
        """Send JSON that is not from MLflow."""
        self._send(403, b'{"detail": "sign in first"}')


@contextmanager
def run_canned_server() -> Iterator[CannedServer]:
    with CannedServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
