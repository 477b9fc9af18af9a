"""How a resource says what it serves: route, role, types and words at once, for Flask, Tornado and OpenAPI alike.

Pure: declares, validates and converts; it serves nothing.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec

from crawlkit.webui.gate import VIEWER, Identity
from crawlkit.webui.problem import Problem
from crawlkit.webui.services import Services

PREFIX = "/api/v1"
PATH_PATTERNS = {  # of parameters in paths; another name takes anything without a slash
    "project": r"[A-Za-z0-9_]{1,64}",
    "taskid": r"[^/\x00-\x1f]{1,64}",
    "version": r"[0-9a-f]{32}",
    "format": r"[a-z]{1,10}",
}
ANY = r"[^/]{1,200}"

Q = TypeVar("Q")
B = TypeVar("B")


@dataclass(frozen=True)
class Request(Generic[Q, B]):
    """A request that passed: its path, query and body are of the declared types."""

    path: Mapping[str, str]
    query: Q
    body: B
    identity: Identity
    address: str = ""
    session: str = ""  # the browser's, "" without one


@dataclass(frozen=True)
class Endpoint:
    """One operation of the API."""

    method: str
    path: str  # below PREFIX, with {names}
    role: str
    query: type[msgspec.Struct] | None
    body: Any
    returns: Any
    status: int
    tag: str
    function: Callable[[Services, Request[Any, Any]], Any]
    refusals: tuple[int, ...] = ()  # statuses of its own beside the usual ones
    audit: bool = False  # an entry is written into the audit log

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def words(self) -> str:
        return inspect.getdoc(self.function) or ""


@dataclass(frozen=True)
class Streamed:
    """An answer of unknown length. ``chunks`` is iterated in a thread, as fast as the client reads."""

    content_type: str
    chunks: Iterator[bytes]
    filename: str = ""  # offered for download under this name


@dataclass(frozen=True)
class Live:
    """A view that is pushed: ``function`` gives its whole state, what changed is sent."""

    topic: str
    role: str
    query: type[msgspec.Struct] | None
    function: Callable[[Services, Any, Identity], dict[str, Any]]
    interval: float  # seconds


@dataclass
class Room:
    """What one resource serves."""

    tag: str
    endpoints: list[Endpoint] = field(default_factory=list)
    streams: list[Endpoint] = field(default_factory=list)
    lives: list[Live] = field(default_factory=list)

    def endpoint(
        self,
        method: str,
        path: str,
        *,
        role: str = VIEWER,
        query: type[msgspec.Struct] | None = None,
        body: Any = None,
        returns: Any = None,
        status: int = 200,
        refusals: tuple[int, ...] = (),
        audit: bool | None = None,
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Declares a JSON operation. ``body``/``returns``: msgspec types; ``None`` means no body, and 204.

        What changes something and takes more than a viewer is written into the audit log, unless ``audit`` is false.
        """

        def declare(function: Callable[..., Any]) -> Callable[..., Any]:
            code = 204 if returns is None else status
            noted = method != "GET" and role != VIEWER if audit is None else audit
            one = Endpoint(method, path, role, query, body, returns, code, self.tag, function, refusals, noted)
            self.endpoints.append(one)
            return function

        return declare

    def stream(
        self, path: str, *, role: str = VIEWER, query: type[msgspec.Struct] | None = None
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Declares a GET whose function returns :class:`Streamed`."""

        def declare(function: Callable[..., Any]) -> Callable[..., Any]:
            self.streams.append(Endpoint("GET", path, role, query, None, None, 200, self.tag, function))
            return function

        return declare

    def live(
        self, topic: str, *, role: str = VIEWER, query: type[msgspec.Struct] | None = None, interval: float = 1.0
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Declares a pushed view, ``GET /api/v1/live/<topic>``. Its function runs in a thread."""

        def declare(function: Callable[..., Any]) -> Callable[..., Any]:
            self.lives.append(Live(topic, role, query, function, interval))
            return function

        return declare


def pattern_of(path: str) -> re.Pattern[str]:
    """What matches ``path``, parameters as named groups."""
    parts = re.split(r"\{(\w+)\}", path)
    text = "".join(
        re.escape(part) if number % 2 == 0 else f"(?P<{part}>{PATH_PATTERNS.get(part, ANY)})"
        for number, part in enumerate(parts)
    )
    return re.compile(text + r"\Z")


def checked_query(kind: type[msgspec.Struct] | None, given: Mapping[str, list[str]]) -> Any:
    """The query as ``kind``: raises :class:`Problem` 400 that names what is wrong."""
    if kind is None:
        return None
    known = {one.encode_name: one for one in msgspec.structs.fields(kind)}
    values: dict[str, Any] = {}
    for name, said in given.items():
        if name not in known:
            raise Problem(400, "Unknown parameter", f"there is no parameter {name!r}; there are: {', '.join(known)}")
        many = "list" in str(known[name].type)
        if not many and len(said) > 1:
            raise Problem(400, "Parameter given twice", f"{name} was given {len(said)} times")
        values[name] = said if many else said[0]
    try:
        return msgspec.convert(values, kind, strict=False, str_keys=True)
    except (msgspec.ValidationError, ValueError, OverflowError) as error:
        raise Problem(400, "Invalid parameter", str(error)) from None


def checked_body(kind: Any, raw: bytes, content_type: str) -> Any:
    """The body as ``kind``: raises :class:`Problem` 400 or 415."""
    if kind is None:
        return None
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise Problem(415, "Wrong content type", "send application/json")
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise Problem(400, "Invalid body", str(error)) from None
