"""What Chromium's names of network errors (``net::ERR_...``) mean for a task. Pure."""

from __future__ import annotations

import re

from crawlkit.libs.errors import FetchError

_NAME = re.compile(r"net::ERR_([A-Z0-9_]+)")

#: The first that the name begins with holds.
_KINDS = (
    ("NAME_", "dns"),
    ("DNS_", "dns"),
    ("SOCKS_CONNECTION_HOST_UNREACHABLE", "connect"),
    ("SOCKS_", "proxy"),
    ("PROXY_", "proxy"),
    ("TUNNEL_", "proxy"),
    ("MANDATORY_PROXY", "proxy"),
    ("CONNECTION_TIMED_OUT", "connect_timeout"),
    ("CONNECTION_RESET", "reset"),
    ("CONNECTION_CLOSED", "reset"),
    ("CONNECTION_ABORTED", "reset"),
    ("EMPTY_RESPONSE", "reset"),
    ("INCOMPLETE_", "reset"),
    ("CONTENT_LENGTH_MISMATCH", "reset"),
    ("CONNECTION_", "connect"),
    ("ADDRESS_", "connect"),
    ("INTERNET_DISCONNECTED", "connect"),
    ("NETWORK_", "connect"),
    ("TIMED_OUT", "timeout"),
    ("CERT_", "tls"),
    ("SSL_", "tls"),
    ("BAD_SSL", "tls"),
    ("TOO_MANY_REDIRECTS", "redirects"),
    ("UNSAFE_REDIRECT", "bad_redirect"),
    ("INVALID_REDIRECT", "bad_redirect"),
    ("RESPONSE_HEADERS_TOO_BIG", "headers_too_big"),
    ("CONTENT_DECODING", "decode"),
    ("INVALID_URL", "bad_url"),
    ("UNSAFE_PORT", "bad_url"),
    ("UNKNOWN_URL_SCHEME", "bad_url"),
    ("DISALLOWED_URL_SCHEME", "bad_url"),
    ("BLOCKED_BY_LOCAL_NETWORK", "address"),
    ("INSUFFICIENT_RESOURCES", "overload"),
    ("OUT_OF_MEMORY", "overload"),
)


def named(text: str) -> str | None:
    """``CONNECTION_REFUSED`` out of a text in which ``net::ERR_CONNECTION_REFUSED`` stands."""
    found = _NAME.search(text)
    return found[1] if found else None


def error_of(name: str, url: str) -> FetchError:
    """The error of a page whose main request ended so; what is not in the list broke HTTP."""
    kind = next((kind for begin, kind in _KINDS if name.startswith(begin)), "protocol")
    return FetchError(kind, f"{name.replace('_', ' ').lower()}: {url[:500]}")
