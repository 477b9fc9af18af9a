"""What ``--sink`` says, taken apart: ``FORMAT+TRANSPORT://PLACE?OPTIONS``. Pure.

Options that every sink understands: ``rows``, ``bytes`` and ``age``, of which the first one reached ends a file.
"""

from __future__ import annotations

import hashlib
import math
import os.path
import re
from urllib.parse import parse_qsl, unquote

from msgspec import Struct

from crawlkit.libs.errors import UsageError
from crawlkit.libs.url_masking import masked

FILES = ("jsonl", "csv", "parquet")  # kinds of files: without a transport the place is a folder
EXAMPLE = "parquet:///data/out or csv+s3://bucket/folder?age=10m"
_SHAPE = re.compile(r"([A-Za-z][A-Za-z0-9.-]*)(?:\+([A-Za-z][A-Za-z0-9+.-]*))?://(.*)", re.DOTALL)
_ORDINARY = re.compile(r"(\[[^\]]*\]|[^:]*)(:\d*)?")  # a host, and no account before it
_PASSWORD = re.compile(r"(^|://)([^/@:]*):[^/@]*@")
_SIZES = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}
_TIMES = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


class Limits(Struct, frozen=True):
    """When a batch ends."""

    rows: int = 100_000
    size: int = 128 * 2**20  # bytes of the results' JSON
    age: float = 60.0  # seconds since its first result was stored


class SinkURL(Struct, frozen=True):
    """A sink as somebody named it."""

    format: str  # which kind: the name of an entry point
    place: str  # a folder's path, another URL, or what the kind makes of it
    options: dict[str, str]  # those that are left for the kind
    limits: dict[str, float]  # rows, size, age: those that were said

    @property
    def shown(self) -> str:
        """For people: no password."""
        return masked(self._whole)

    @property
    def id(self) -> str:
        """The same for the same kind and place, whatever the options and the password."""
        return hashlib.sha256(_identity(self._whole).encode("utf-8", "replace")).hexdigest()

    @property
    def _whole(self) -> str:
        joint = "+" if "://" in self.place else "://"
        return f"{self.format}{joint}{self.place}"

    def limits_over(self, usual: Limits) -> Limits:
        """What was said, and ``usual`` for the rest."""
        said = self.limits
        return Limits(int(said.get("rows", usual.rows)), int(said.get("size", usual.size)), said.get("age", usual.age))

    def take(self, **usual: str) -> dict[str, str]:
        """The kind's own options, with what is usual; raises :class:`UsageError` for one that it does not have."""
        for name in self.options:
            if name not in usual:
                known = ", ".join(sorted({"rows", "bytes", "age", *usual}))
                raise UsageError(f"sink {self.shown}: it has no option {name}; there are {known}")
        return {**usual, **self.options}

    def choice(self, name: str, value: str, choices: tuple[str, ...]) -> str:
        """``value``, when it is one of them; raises :class:`UsageError`."""
        if value not in choices:
            raise UsageError(f"sink {self.shown}: {name}={value}: use one of {', '.join(choices)}")
        return value


def parse_sink(text: str) -> SinkURL:
    """Takes a URL apart; raises :class:`UsageError` in words. A relative path is one of the working directory."""
    text = text.strip()
    found = _SHAPE.fullmatch(text)
    if found is None or any(char.isspace() for char in text):
        raise UsageError(f"sink {masked(text)!r}: write it like {EXAMPLE}, a blank as %20")
    kind, transport, rest = found[1].lower(), found[2], found[3]
    place, _, query = rest.partition("?")
    if transport is not None and (kind not in FILES or transport.lower() != "file"):
        place = f"{transport}://{place}".rstrip("/") if place.strip("/") else ""
    elif place and kind in FILES:
        place = os.path.abspath(unquote(place))
    said = SinkURL(kind, place, {}, {})
    if not place:
        raise UsageError(f"sink {masked(text)}: it names no place; write it like {EXAMPLE}")
    options, limits = dict[str, str](), dict[str, float]()
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in options or name in limits or (name == "bytes" and "size" in limits):
            raise UsageError(f"sink {said.shown}: {name} is said twice")
        if name == "rows":
            limits["rows"] = _number(said, name, value, {"": 1, "k": 1_000, "m": 1_000_000}, 1)
        elif name == "bytes":
            limits["size"] = _number(said, name, value, _SIZES, 1)
        elif name == "age":
            limits["age"] = _number(said, name, value, _TIMES, 0)
        else:
            options[name] = value
    return SinkURL(kind, place, options, limits)


def parse_all(texts: tuple[str, ...] | list[str]) -> list[SinkURL]:
    """All of them; raises :class:`UsageError` when two are the same place."""
    found: dict[str, SinkURL] = {}
    for text in texts:
        url = parse_sink(text)
        if url.id in found:
            raise UsageError(f"sink {url.shown}: is named twice")
        found[url.id] = url
    return list(found.values())


def _identity(text: str) -> str:
    """What a sink is known by: without its password, and with all of its path, whatever is hidden from people."""
    begin, separator, rest = text.partition("://")
    host, slash, path = rest.partition("/")
    if "@" in host or _ORDINARY.fullmatch(host) is None:
        account, at, place = host.rpartition("@") if "@" in host else rest.rpartition("@")
        place = f"{place}{slash}{path}" if "@" in host else place
        if at and ":" in account:
            rest = f"{account.partition(':')[0]}:***@{place}"
    return _PASSWORD.sub(r"\1\2:***@", f"{begin}{separator}{rest}")


def _number(url: SinkURL, name: str, text: str, units: dict[str, int] | dict[str, float], least: float) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([a-z]?)", text.strip().lower())
    number = float(found[1]) * units[found[2]] if found is not None and found[2] in units else math.nan
    if not least <= number < 2**62:
        example = {"rows": "50k", "bytes": "64M", "age": "10m"}[name]
        raise UsageError(f"sink {url.shown}: {name}={text}: use a number with or without unit, like {example}")
    return number
