"""From a task to a request plan: what will go over the wire, checked and complete.

Pure: decides, sends nothing. Whatever cannot be sent is refused here, before the wire, with a FetchError.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from operator import itemgetter
from typing import Protocol

from crawlkit.fetcher import proxy as proxies
from crawlkit.fetcher import url as urls
from crawlkit.fetcher.limits import Body
from crawlkit.fetcher.settings import FetcherSettings
from crawlkit.fetcher.url import Url
from crawlkit.libs.errors import FetchError
from crawlkit.libs.messages import Dispatch
from crawlkit.libs.proxy import Proxy
from crawlkit.libs.task import Fetch

ACCEPT_ENCODING = "gzip, deflate, br, zstd"
WITH_BODY = frozenset({"POST", "PUT", "PATCH"})  # have a body, if only an empty one
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")  # RFC 9110
_UNCLEAN = re.compile("[\r\n\0]")
#: Ours to write: what a task says about them is ignored.
_FRAMING = frozenset({"content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade",
                      "proxy-connection", "expect"})  # fmt: skip
MOST_REDIRECTS = 100  # a task may not ask for more: each hop is remembered
ROBOTS_TIMEOUT = 30.0  # seconds [F10]
ROBOTS_CONNECT_TIMEOUT = 10.0
ROBOTS_BODY = 564 * 1024  # bytes, a little over what is read of it
NO_COOKIES: dict[str, str] = {}


class Sink(Protocol):
    """Where the body of an answer goes that is not to be held in memory."""

    def begin(self, url: str, status: int, headers: list[tuple[str, str]]) -> Body | None:
        """Called with the head of the last hop, before its body and perhaps twice; ``None``: into memory.

        May raise :class:`FetchError`, which ends the transfer.
        """


Choose = Callable[[Sequence[Proxy]], Proxy]


@dataclass(slots=True)
class Plan:
    """One request. ``headers`` are the task's own and the defaults, cookies and proxy credentials apart."""

    url: Url
    method: str = "GET"
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes | None = None
    cookie_header: str | None = None  # the task's Cookie header, for its origin only
    cookies: dict[str, str] = field(default_factory=dict)  # the task's cookies, for its origin only
    proxy: Proxy | None = None
    proxy_pool: tuple[Proxy, ...] = ()  # the list that proxy was chosen from
    proxy_authorization: str | None = None  # the task's Proxy-Authorization header, for a http proxy only
    timeout: float = 120  # for this request and all that follow
    connect_timeout: float = 20
    validate_cert: bool = True
    follow: bool = True
    max_redirects: int = 5
    max_body: int = 64 * 2**20
    cut: bool = False  # a body over max_body is cut off there instead of refused
    robots: bool = False
    user_agent: str = ""
    sink: Sink | None = None


NOWHERE = Url("", "", "", "", 0, None)


def template_of(fetch: Fetch, settings: FetcherSettings) -> Plan:
    """The plan of all tasks with these options, still without a URL, and without a choice among several proxies.

    Raises :class:`FetchError` of kind ``bad_request`` [H42-H52].
    """
    method = _method(fetch)
    headers, special = _headers(fetch, settings)
    cookies = fetch.cookies or NO_COOKIES
    for pair in cookies.items():
        _check_clean("cookies", pair)
    pool = _proxies(fetch, settings)
    return Plan(
        url=NOWHERE,
        method=method,
        headers=headers,
        body=fetch.data if fetch.data is not None else (b"" if method in WITH_BODY else None),
        cookie_header=special.get("cookie"),
        cookies=dict(cookies),
        proxy=pool[0] if len(pool) == 1 else None,
        proxy_pool=pool if len(pool) > 1 else (),
        proxy_authorization=special.get("proxy-authorization"),
        timeout=_seconds("timeout", fetch.timeout, settings.timeout, settings.max_timeout),
        connect_timeout=_seconds("connect_timeout", fetch.connect_timeout, settings.connect_timeout,
                                 settings.max_timeout),
        validate_cert=settings.validate_cert if fetch.validate_cert is None else fetch.validate_cert,
        follow=fetch.allow_redirects is not False,
        max_redirects=settings.max_redirects
        if fetch.max_redirects is None
        else max(0, min(fetch.max_redirects, MOST_REDIRECTS)),
        max_body=settings.max_body if fetch.max_size is None else max(0, min(fetch.max_size, settings.max_body)),
        robots=bool(fetch.robots_txt),
        user_agent=special["user-agent"],
    )  # fmt: skip


def filled_in(template: Plan, url: Url, task: Dispatch, choose: Choose = itemgetter(0)) -> Plan:
    """The plan of one task. Raises :class:`FetchError` of kind ``bad_request``.

    ``choose`` takes one of the proxies when the task has a list of them.
    """
    headers = template.headers
    if url.authorization is not None or is_conditional(task):
        named = {name.lower() for name, _ in headers}
        headers = list(headers)
        if url.authorization is not None and "authorization" not in named:
            headers.append(("Authorization", url.authorization))
        headers += _validators(task, named)
    proxy = choose(template.proxy_pool) if template.proxy_pool else template.proxy
    return replace(template, url=url, headers=headers, proxy=proxy)


def plan_of(task: Dispatch, settings: FetcherSettings, choose: Choose = itemgetter(0)) -> Plan:
    """Raises :class:`FetchError` of kind ``bad_url`` or ``bad_request``; ``choose``: see :func:`filled_in`."""
    return filled_in(template_of(task.fetch, settings), urls.parse(task.url), task, choose)


def is_conditional(task: Dispatch) -> bool:
    """Whether it may say what the last good run saved."""
    fetch = task.fetch
    return bool(task.etag or task.last_modified or fetch.etag or fetch.last_modified)


def _method(fetch: Fetch) -> str:
    if fetch.method is None:
        return "GET" if fetch.data is None else "POST"
    method = fetch.method.upper()
    if not _TOKEN.match(method) or method == "CONNECT":
        raise FetchError("bad_request", f"method {fetch.method[:50]!r} cannot be sent")
    return method


def _headers(fetch: Fetch, settings: FetcherSettings) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """The headers to send, and by lower-case name those that decide something here."""
    if not fetch.headers and not fetch.user_agent and fetch.use_gzip is not False:
        return list(_usual_headers(settings.user_agent)), {"user-agent": settings.user_agent}
    headers: list[tuple[str, str]] = []
    special: dict[str, str] = {}
    for name, value in (fetch.headers or NO_COOKIES).items():
        if not _TOKEN.match(name):
            raise FetchError("bad_request", f"header name {name[:50]!r} cannot be sent")
        _check_clean("header " + name, (value,))
        lower = name.lower()
        special[lower] = value
        if lower not in _FRAMING and lower not in ("cookie", "proxy-authorization"):
            headers.append((name, value))
    if "user-agent" not in special:
        special["user-agent"] = fetch.user_agent or settings.user_agent
        _check_clean("user_agent", (special["user-agent"],))
        headers.append(("User-Agent", special["user-agent"]))
    if "accept-encoding" not in special and fetch.use_gzip is not False:
        headers.append(("Accept-Encoding", ACCEPT_ENCODING))
    return headers, special


@lru_cache(maxsize=8)
def _usual_headers(agent: str) -> tuple[tuple[str, str], ...]:
    """Those of a task that says nothing of headers."""
    _check_clean("user_agent", (agent,))
    return ("User-Agent", agent), ("Accept-Encoding", ACCEPT_ENCODING)


def _validators(task: Dispatch, named: Container[str]) -> Iterable[tuple[str, str]]:
    """Conditional GET [H49]. The task's own headers win; None and True mean: what the last good run saved."""
    fetch = task.fetch
    for name, wish, saved in (
        ("If-None-Match", fetch.etag, task.etag),
        ("If-Modified-Since", fetch.last_modified, task.last_modified),
    ):
        value = wish if isinstance(wish, str) else (saved if wish is not False else None)
        if value and name.lower() not in named:
            _check_clean(name, (value,))
            yield name, value


def _proxies(fetch: Fetch, settings: FetcherSettings) -> tuple[Proxy, ...]:
    """The task's own, else the fetcher's; ``""`` and ``[]`` say nothing, False says none."""
    own = fetch.proxy
    if own and own is not True:
        return tuple(map(proxies.parse, [own] if isinstance(own, str) else own))
    if own is False or not settings.proxy:
        return ()
    return (proxies.parse(settings.proxy, trusted=True),)


def _seconds(name: str, wish: float | None, default: float, most: float) -> float:
    if wish is None:
        return default
    if not math.isfinite(wish) or wish < 0:
        raise FetchError("bad_request", f"{name}: use a number of seconds")
    return min(max(wish, 0.1), most) if wish else default


def _check_clean(what: str, texts: Iterable[str]) -> None:
    for text in texts:
        if _UNCLEAN.search(text):
            raise FetchError("bad_request", f"{what}: holds a line break or a NUL")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise FetchError("bad_request", f"{what}: holds a lone surrogate") from None


def header_lines(plan: Plan) -> tuple[bytes, ...]:
    """What curl is told to send."""
    return _header_lines(tuple(plan.headers), plan.body is not None, plan.method == "POST" and bool(plan.body))


@lru_cache(maxsize=256)
def _header_lines(headers: tuple[tuple[str, str], ...], body: bool, form: bool) -> tuple[bytes, ...]:
    """``Name;`` is curl's way to say that a header is there and empty. ``form``: the default type is right."""
    lines = []
    typed = False
    for name, value in headers:
        typed = typed or name.lower() == "content-type"
        lines.append(f"{name}: {value}".encode() if value.strip() else f"{name};".encode())
    if body:
        lines.append(b"Expect:")  # no waiting for a 100
        if not typed and not form:
            lines.append(b"Content-Type:")  # curl would call anything a form
    return tuple(lines)


def cookie_line(plan: Plan) -> str | None:
    """What the Cookie header of this request says besides the jar: the header given, then the cookies given [T30]."""
    given = plan.cookie_header
    if not plan.cookies:
        return given
    pairs = [part.strip() for part in (given or "").split(";")]
    kept = [pair for pair in pairs if pair and pair.partition("=")[0].strip() not in plan.cookies]
    return "; ".join([*kept, *(f"{name}={value}" for name, value in plan.cookies.items())])


def sent_cookies(plan: Plan) -> dict[str, str]:
    """The task's own cookies as far as they were sent to the end of the way [F07]."""
    if plan.cookie_header is None:
        return dict(plan.cookies)
    pairs = (part.partition("=") for part in plan.cookie_header.split(";"))
    return {name.strip(): value.strip() for name, found, value in pairs if found} | plan.cookies


def without_cookies(plan: Plan, names: set[str]) -> Plan:
    """The same plan without the task's own cookies of these names, for the server has set or removed them."""
    if not names or (plan.cookie_header is None and not plan.cookies):
        return plan
    header = plan.cookie_header
    if header is not None:
        kept = [part.strip() for part in header.split(";") if part.partition("=")[0].strip() not in names]
        header = "; ".join(kept) or None
    cookies = {name: value for name, value in plan.cookies.items() if name not in names}
    return replace(plan, cookie_header=header, cookies=cookies)


def robots_plan(plan: Plan) -> Plan:
    """The request for the robots.txt of this plan's origin: by the same proxy, with none of the task's secrets."""
    scheme, host, port = plan.url.origin
    wire = f"{scheme}://{host}:{port}/robots.txt"
    return Plan(
        url=urls.parse(wire),
        headers=[("User-Agent", plan.user_agent), ("Accept-Encoding", ACCEPT_ENCODING)],
        proxy=plan.proxy,
        proxy_pool=plan.proxy_pool,
        timeout=ROBOTS_TIMEOUT,
        connect_timeout=ROBOTS_CONNECT_TIMEOUT,
        validate_cert=plan.validate_cert,
        max_body=ROBOTS_BODY,
        cut=True,
        user_agent=plan.user_agent,
    )


def with_timeout(plan: Plan, seconds: float) -> Plan:
    """The same plan with the time that is left."""
    return replace(plan, timeout=max(seconds, 0.001), connect_timeout=min(plan.connect_timeout, max(seconds, 0.001)))
