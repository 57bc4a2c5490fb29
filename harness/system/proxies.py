"""The HTTP proxy that environment variables set for an address."""

from __future__ import annotations

import os
import urllib.parse
from dataclasses import dataclass

from harness.errors import mask_credentials

DEFAULT_PORTS = {"http": 80, "https": 443}
DEFAULT_PORT = 1080
"""Of SOCKS, the only other kind."""


@dataclass(frozen=True)
class Proxy:
    """A proxy, and the variable that sets it."""

    address: str
    variable: str
    target: str
    """The host that is reached through it."""

    @property
    def endpoint(self) -> tuple[str, int]:
        """Host and port. Raises ValueError."""
        address = self.address if "://" in self.address else f"http://{self.address}"
        parts = urllib.parse.urlsplit(address)
        port = parts.port or DEFAULT_PORTS.get(parts.scheme, DEFAULT_PORT)
        return parts.hostname or "", port

    def describe(self) -> str:
        """Return its name for a message, without the password."""
        return f"the proxy {mask_credentials(self.address)} (${self.variable})"

    def describe_failure(self, reason: object) -> str:
        """Return that it cannot be used, and what to do."""
        return (
            f"{self.describe()} cannot be used ({reason}); correct or unset {self.variable}, or "
            f"reach {self.target} without it: add {self.target} to NO_PROXY"
        )


def find_proxy(uri: str) -> Proxy | None:
    """Return the proxy that requests to an HTTP address use, if the environment sets one."""
    if not uri.startswith(("http://", "https://")):
        return None
    from requests.utils import get_environ_proxies, select_proxy

    try:
        parts = urllib.parse.urlsplit(uri)
        address = select_proxy(uri, get_environ_proxies(uri, no_proxy=None))
    except ValueError:  # an address that no request is sent to
        return None
    if not address:
        return None
    names = (f"{parts.scheme}_proxy", "all_proxy")
    variables = [each for name in names for each in (name, name.upper())]
    set_by = [each for each in variables if os.environ.get(each) == address]
    return Proxy(address, set_by[0] if set_by else variables[1], parts.hostname or "")
