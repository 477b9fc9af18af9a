"""What a proxy is, to those who fetch by one: the fetcher and the browser service."""

from __future__ import annotations

from typing import NamedTuple

from crawlkit.libs.errors import FetchError

#: The schemes that are known, and the port of each where none is said.
PORTS = {"http": 8080, "https": 443, "socks4": 1080, "socks4a": 1080, "socks5": 1080, "socks5h": 1080}


class Proxy(NamedTuple):
    """Credentials are kept apart from the address so that they never get into a URL.

    ``trusted``: named by the operator's settings, so it may have a private address.
    """

    scheme: str
    host: str
    port: int
    username: str | None = None
    password: str | None = None
    trusted: bool = False

    @property
    def address(self) -> str:
        """Without credentials."""
        return f"{self.scheme}://{self.host}:{self.port}"


def scheme_and_port(scheme: str, port: int | None) -> tuple[str, int]:
    """Both checked, with the scheme's own port for ``None``. Raises :class:`FetchError` of kind ``bad_request``."""
    scheme = scheme.lower()
    if scheme not in PORTS:
        raise FetchError("bad_request", f"proxy: unknown scheme {scheme[:20]!r}, known are {', '.join(sorted(PORTS))}")
    if port is None:
        port = PORTS[scheme]
    if not 0 < port < 65_536:
        raise FetchError("bad_request", f"proxy: no such port: {port}")
    return scheme, port
