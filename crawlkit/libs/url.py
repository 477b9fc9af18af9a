"""URLs: the form a task's identity is made of, and joining as browsers do.

Pure text work: no fetching, no DNS. What is sent over the wire is normalised by the fetcher, not here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

import ada_url

# Already in pyspider's form: a lower-case scheme, a plain host, a path, printable ASCII without blanks at the end.
_PLAIN = re.compile(r"https?://[A-Za-z0-9.\-]+(?::[0-9]+)?/[!-\"$->@-~]*(?:\?[!-\"$-~]+)?(?:#[!-~]+)?\Z")
is_plain = _PLAIN.match
"""Whether a URL is sure to be what :func:`task_url` would make of it; told cheaply."""
_HTTP = re.compile(r"https?:", re.IGNORECASE)
# A dotted name or an IPv4 number where a file's name would be one with an extension of the web.
_HOST_FIRST = re.compile(
    r"(?:[^\W_](?:[\w-]*\w)?\.)+(?!(?:aspx?|do|html?|js|json|jsp|php|txt|xml)(?![\w.-]))[\w-]*\w(?::[0-9]+)?(?=[/?#]|\Z)",
    re.IGNORECASE,
)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")

# A path whose segments start with neither a dot nor %2e is left alone by the WHATWG parser when it holds only these
# characters; so are these queries and fragments.
_SEGMENT = r"(?:(?!%2[eE])[A-Za-z0-9_~!$&'()*+,;=:@%\-][A-Za-z0-9_~!$&'()*+,;=:@%.\-]*)?"
_TAIL = r"(?:\?[!$-&(-;=?-~]*)?(?:#[!#-;=?-_a-~]*)?\Z"
_is_plain_path = re.compile(rf"/(?!/){_SEGMENT}(?:/{_SEGMENT})*{_TAIL}").match
_is_plain_relative = re.compile(
    r"(?!%2[eE])[A-Za-z0-9_~!$&'()*+,;=@%\-][A-Za-z0-9_~!$&'()*+,;=@%.\-]*" + rf"(?:/{_SEGMENT})*{_TAIL}"
).match
_is_plain_query = re.compile(rf"(?=\?){_TAIL}").match
_is_plain_fragment = re.compile(r"#[!#-;=?-_a-~]*\Z").match
# Of these again the plainest, told by one look at each character: where no segment starts with a dot either.
_is_plainest = re.compile(r"/?[A-Za-z0-9_\-][A-Za-z0-9_\-/.]*\Z").match
_is_plainest_path = re.compile(r"/[A-Za-z0-9_\-][A-Za-z0-9_\-/.]*\Z").match
# The last label starts with a letter, so it is no IPv4 number in disguise; without a double hyphen it is no IDNA.
_BYTE = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_LABEL = "[a-z0-9]*(?:-[a-z0-9]+)*"
_HOST = rf"(?:(?:[a-z0-9]{_LABEL}\.)*[a-z]{_LABEL}|{_BYTE}(?:\.{_BYTE}){{3}})"
_PORT = r"(?:[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]|[1-9][0-9]{0,3})"
_AUTHORITY = rf"(?:http://{_HOST}(?::(?!80/){_PORT})?|https://{_HOST}(?::(?!443/){_PORT})?)"
_is_plain_absolute = re.compile(rf"{_AUTHORITY}/{_SEGMENT}(?:/{_SEGMENT})*{_TAIL}").match
_plain_directory = re.compile(rf"({_AUTHORITY})(?:/{_SEGMENT})*/\Z").match


def task_url(url: str) -> str:
    """``url`` in pyspider's form, which a taskid is the md5 of [H40].

    Stripped; host in IDNA; an empty path is ``/``; other than ASCII is percent-encoded as UTF-8; blanks inside and the
    fragment stay. A host that IDNA refuses stays as it is: the fetcher tells what is wrong with it.
    """
    if is_plain(url):
        return url
    url = url.strip()
    if _HTTP.match(url):
        try:
            scheme, netloc, path, query, fragment = urlsplit(url)
        except ValueError:  # an unfinished [ipv6
            return quote_non_ascii(url)
        url = urlunsplit((scheme, _idna(netloc), path or "/", query, fragment))
    return url if url.isascii() else quote_non_ascii(url)


def _idna(netloc: str) -> str:
    if netloc.isascii():
        return netloc
    user, at, host = netloc.rpartition("@")
    try:
        return user + at + host.encode("idna").decode("ascii")
    except UnicodeError:
        return netloc


def quote_non_ascii(url: str) -> str:
    """Every character over 127 as the percent-encoded bytes of its UTF-8; a lone surrogate as U+FFFD."""
    if url.isascii():
        return url
    clean = url.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return "".join(chr(byte) if byte < 128 else f"%{byte:02X}" for byte in clean.encode())


def encode_params(params: Mapping[str, Any] | Iterable[tuple[str, Any]] | str | bytes) -> str:
    """A query string; a list as value repeats its key, ``None`` leaves the key out [H42]."""
    if isinstance(params, bytes):
        return params.decode()
    if isinstance(params, str):
        return params
    pairs: list[tuple[str | bytes, str | bytes]] = []
    for key, values in params.items() if isinstance(params, Mapping) else params:
        single = isinstance(values, str | bytes) or not isinstance(values, Iterable)
        for value in (values,) if single else values:
            if value is not None:
                pairs.append((key, value if isinstance(value, str | bytes) else str(value)))
    return urlencode(pairs)


def with_params(url: str, params: Mapping[str, Any] | Iterable[tuple[str, Any]] | str | bytes) -> str:
    """``url`` with ``params`` appended to its query."""
    encoded = encode_params(params)
    if not encoded:
        return url
    head, mark, fragment = url.strip().partition("#")
    joint = "&" if "?" in head else "?"
    if head.endswith(("?", "&")):
        joint = ""
    if not mark and "/" not in head.partition("://")[2] and "://" in head and "?" not in head:
        head += "/"
    return f"{head}{joint}{encoded}{mark}{fragment}"


def is_url(text: str) -> bool:
    """Whether ``text`` is an absolute URL by the standard, as it stands or with its blanks taken away."""
    return bool(ada_url.check_url(_scalar(text)))


def has_scheme(url: str) -> bool:
    """Whether ``url`` is absolute: ``http://x``, ``data:,x``; not ``x.html``, not ``//host/x``."""
    return _SCHEME.match(url) is not None


def begins_with_host(url: str) -> bool:
    """Whether ``url`` looks like one whose scheme was left out: ``www.x.com/y``; not ``x.html``, not ``/x.com``."""
    return _HOST_FIRST.match(url) is not None


@lru_cache(maxsize=1024)
def _origin_of(directory: str) -> str | None:
    """The origin of a URL that ends in a slash and that the standard leaves as it is; ``None`` for any other."""
    plain = _plain_directory(directory)
    return None if plain is None else plain[1]


class Joiner:
    """Resolves references against one base as the WHATWG URL standard says; plain ones without parsing them."""

    __slots__ = ("_directory", "_document", "_origin", "_usable", "base")

    def __init__(self, base: str) -> None:
        self.base = base
        self._usable = True
        self._origin: str | None = None
        self._document: str | None = None  # the base without its fragment, once somebody asks for it
        name_at = base.rfind("/") + 1
        self._directory = base[:name_at]
        if name_at == len(base) or _is_plain_relative(base, name_at):
            self._origin = _origin_of(self._directory)
        if self._origin is None:
            self._parse(base)

    def _parse(self, base: str) -> None:
        try:
            parsed = ada_url.URL(_scalar(base))
        except ValueError:
            self._usable = False
            return
        if parsed.protocol in ("http:", "https:") and not parsed.username and not parsed.password:
            path: str = parsed.pathname
            self._origin = parsed.origin
            self._directory = parsed.origin + path[: path.rindex("/") + 1]
            self._document = parsed.href.partition("#")[0]

    def _without_fragment(self) -> str:
        if self._document is None:
            self._document = self.base.partition("#")[0]
        return self._document

    def join(self, reference: str) -> str | None:
        """The absolute URL, or ``None`` when the two make none."""
        origin = self._origin
        if origin is not None:
            if reference.startswith(origin):
                if "/." not in reference and _is_plainest_path(reference, len(origin)):
                    return reference
                if _is_plain_path(reference, len(origin)):
                    return reference
            elif _is_plainest(reference) and "/." not in reference:
                return origin + reference if reference[0] == "/" else self._directory + reference
            elif reference.startswith("/"):
                if _is_plain_path(reference):
                    return origin + reference
            elif _is_plain_relative(reference):
                return self._directory + reference
            elif _is_plain_fragment(reference):
                return self._without_fragment() + reference
            elif _is_plain_query(reference):
                return self._without_fragment().partition("?")[0] + reference
        if _is_plain_absolute(reference):
            return reference
        try:
            if not self._usable:  # then an absolute URL stands for itself
                return str(ada_url.normalize_url(_scalar(reference)))
            joined: str = ada_url.join_url(_scalar(self.base), _scalar(reference))
        except ValueError:
            return None
        return joined


def urljoin(base: str, reference: str) -> str | None:
    """``reference`` against ``base`` as a browser does; ``None`` when that is no URL."""
    return Joiner(base).join(reference)


def _scalar(text: str) -> str:
    """Lone surrogates as U+FFFD, as the standard's USVString."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def without_fragment(url: str) -> str:
    return url.partition("#")[0]
