"""URLs at the moment of the fetch: as browsers read them (WHATWG URL standard), split for the wire.

Pure. Task identity is made elsewhere and earlier; nothing here changes a taskid.
"""

from __future__ import annotations

import base64
import re
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

import ada_url

from crawlkit.libs.errors import FetchError
from crawlkit.libs.task import MAX_URL

DEFAULT_PORTS = {"http": 80, "https": 443}

# Already in WHATWG form: lower-case host that is a name or a plain dotted quad, no dot segments, no odd characters.
_PLAIN = re.compile(
    r"(https?)://((?:[a-z0-9-]+\.)*[a-z][a-z0-9-]*|127\.0\.0\.1)(?::([1-9][0-9]{0,4}))?"
    r"(/[A-Za-z0-9_~/+,;=:@!$&()*-]*"
    r"(?:\.[A-Za-z0-9_~+,;=:@!$&()*-][A-Za-z0-9_~/+,;=:@!$&()*-]*)*(?:\?[A-Za-z0-9._~/?+,;=:@!$&()*%-]*)?)"
    r"(#[A-Za-z0-9._~/?+,;=:@!$&()*%-]*)?\Z"
)


class Url(NamedTuple):
    """A URL ready to be fetched."""

    full: str  # with its fragment, without credentials; what is reported
    wire: str  # without fragment and credentials
    scheme: str
    host: str  # lower case; an IPv6 address in brackets
    port: int
    authorization: str | None  # Basic credentials that stood in the URL

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.scheme, self.host, self.port


def parse(text: str) -> Url:
    """Raises :class:`FetchError` of kind ``bad_url`` for what a browser would not fetch over http or https."""
    plain = _PLAIN.match(text)
    if plain is not None and len(text) <= MAX_URL:
        scheme, host, port, _, fragment = plain.groups()
        number = int(port) if port else DEFAULT_PORTS[scheme]
        if number < 65536 and not (port and number == DEFAULT_PORTS[scheme]) and "xn--" not in host:
            return Url(text, text[: -len(fragment)] if fragment else text, scheme, host, number, None)
    return _parse_any(text)


def _parse_any(text: str) -> Url:
    if len(text) > MAX_URL:
        raise FetchError("bad_url", f"URL longer than {MAX_URL} characters")
    try:
        parts = ada_url.URL(text)
    except (ValueError, UnicodeError):
        raise FetchError("bad_url", f"not a URL: {text[:200]!r}") from None
    scheme = parts.protocol[:-1]
    if scheme not in DEFAULT_PORTS:
        raise FetchError("bad_url", f"scheme {scheme!r} is not fetched")
    authorization = None
    if parts.username or parts.password:
        pair = unquote_to_bytes(parts.username) + b":" + unquote_to_bytes(parts.password)
        authorization = "Basic " + base64.b64encode(pair).decode()
        parts.username = ""
        parts.password = ""
    full = parts.href
    port = int(parts.port) if parts.port else DEFAULT_PORTS[scheme]
    return Url(full, full.partition("#")[0], scheme, parts.hostname, port, authorization)


def join(base: Url, location: str) -> Url:
    """A redirect's target, the fragment inherited (Fetch standard). Raises :class:`FetchError`, ``bad_redirect``."""
    if len(location) > MAX_URL:
        raise FetchError("bad_redirect", f"Location longer than {MAX_URL} characters")
    try:
        joined = ada_url.join_url(base.full, location)
        target = parse(joined)
    except (ValueError, UnicodeError):
        raise FetchError("bad_redirect", f"Location is not a URL: {location[:200]!r}") from None
    except FetchError as error:
        raise FetchError("bad_redirect", f"Location: {error}") from None
    if "#" in base.full and "#" not in target.full:
        target = target._replace(full=target.full + "#" + base.full.partition("#")[2])
    return target
