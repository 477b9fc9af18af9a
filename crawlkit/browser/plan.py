"""What a job comes to: which headers and cookies go where, which language, which window. Pure.

A page loads from many hosts. What tells who we are goes to the origin that the job names, and to nobody else.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import ada_url

from crawlkit.browser.blocking import Blocking
from crawlkit.browser.settings import BrowserSettings
from crawlkit.libs.browser_job import Job
from crawlkit.libs.errors import FetchError
from crawlkit.libs.header_names import ABOUT_BODY, HARMLESS

WIDTH, HEIGHT = 1024, 768 * 3  # pixels, as pyspider's [H51]
MAX_SIDE = 10_000
REDIRECTS = frozenset({301, 302, 303, 307, 308})

#: Chromium writes these itself, from what it is told by other means or knows better.
_CHROMIUM_S = frozenset(
    {"host", "connection", "content-length", "accept-encoding", "transfer-encoding", "te", "upgrade", "keep-alive",
     "trailer", "expect", "cookie", "user-agent", "accept-language", "referer", "proxy-authorization",
     "proxy-connection", "http2-settings"}
)  # fmt: skip
#: About one request, not about who asks: they go with the page itself and not with what it loads.
_ONCE = (HARMLESS | ABOUT_BODY | {"origin"}) - {"dnt", "sec-gpc"}
_TAG = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")


@dataclass
class Plan:
    """A job, read. ``first``: headers of the page's own request; ``kept``: of all requests to ``origin``."""

    url: str
    origin: str
    method: str = "GET"
    body: bytes | None = None
    first: dict[str, str] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)
    cookies: list[dict[str, Any]] = field(default_factory=list)
    referer: str | None = None
    languages: str | None = None  # de-DE,de,en
    options: dict[str, Any] = field(default_factory=dict)  # of the browser context
    blocking: Blocking = field(default_factory=lambda: Blocking(None))
    follow: bool = True
    max_redirects: int = 5
    max_body: int = 0
    timeout: float = 120

    @property
    def plain(self) -> bool:
        """Whether Chromium would send the page's own request just so."""
        return not self.first and not self.kept and self.method == "GET" and self.body is None


def plan_of(job: Job, settings: BrowserSettings) -> Plan:
    """Raises :class:`FetchError`: ``bad_url``, ``bad_request``."""
    url, origin = _parse(job.url)
    headers = {name.lower(): value for name, value in job.headers.items()}
    first = {name: value for name, value in job.headers.items() if name.lower() not in _CHROMIUM_S}
    kept = {name: value for name, value in first.items() if name.lower() not in _ONCE}
    for name, value in (job.browser.first_headers or {}).items():
        if name.lower() == "referer":
            headers["referer"] = value
        elif name.lower() not in _CHROMIUM_S:
            first[name] = value
    browse = job.browser
    languages = languages_of(browse.locale, headers.get("accept-language"))
    body = _body(job)
    method = job.method.upper()
    if method == "POST" and body is None:
        body = b""
    if body and method == "POST" and "content-type" not in {name.lower() for name in first}:
        first["Content-Type"] = "application/x-www-form-urlencoded"
    return Plan(
        url=url,
        origin=origin,
        method=method,
        body=body,
        first=first,
        kept=kept,
        cookies=cookies_of(headers.get("cookie"), url),
        referer=headers.get("referer"),
        languages=languages,
        options=_context_options(job, headers.get("user-agent"), languages),
        blocking=Blocking(browse.block, job.load_images),
        follow=job.allow_redirects,
        max_redirects=max(0, job.max_redirects),
        max_body=max(0, job.max_body),
        timeout=max(0.1, min(job.timeout, job.request_timeout or job.timeout, settings.max_timeout)),
    )


def headers_for(plan: Plan, url: str, sent: dict[str, str], *, page: bool, body: bool) -> list[dict[str, str]] | None:
    """The headers of one request in the protocol's form; ``None``: as Chromium has them (``sent``).

    ``page``: the page's own request, or a redirect of it. ``body``: whether it still has one.
    """
    home = origin_of(url) == plan.origin
    ours = (plan.kept | plan.first if page else plan.kept) if home else (plan.first if page else {})
    if not home:
        ours = {name: value for name, value in ours.items() if name.lower() in HARMLESS}
    if not body:
        ours = {name: value for name, value in ours.items() if name.lower() not in ABOUT_BODY}
    if not ours:
        return None
    names = {name.lower() for name in ours}
    joined = {name: value for name, value in sent.items() if name.lower() not in names} | ours
    return [{"name": name, "value": value} for name, value in joined.items()]


def method_after(status: int, method: str) -> str:
    """The method of the next request after a redirect (Fetch standard, HTTP-redirect fetch)."""
    if (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST"):
        return "GET"
    return method


def origin_of(url: str) -> str:
    """Scheme, host and port of a URL as Chromium writes it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def languages_of(locale: str | None, header: str | None) -> str | None:
    """The languages in turn, as navigator.languages has them, so that script and header say the same."""
    if locale:
        short = locale.partition("-")[0]
        return locale if short == locale else f"{locale},{short}"
    if not header:
        return None
    tags = [part.partition(";")[0].strip() for part in header.split(",")]
    return ",".join(tag for tag in tags if _TAG.fullmatch(tag)) or None


def cookies_of(header: str | None, url: str) -> list[dict[str, Any]]:
    """The cookies of a ``Cookie`` header, for the URL's own host only."""
    if not header:
        return []
    parts = urlsplit(url)
    made = []
    for pair in header.split(";"):
        name, equals, value = pair.strip().partition("=")
        if name or equals:
            made.append({
                "name": name, "value": value, "domain": parts.hostname or "", "path": "/",
                "secure": parts.scheme == "https",
            })  # fmt: skip
    return made


def _parse(url: str) -> tuple[str, str]:
    try:
        parsed = ada_url.URL(url)
    except ValueError:
        raise FetchError("bad_url", f"{url[:200]!r} is not a URL") from None
    if parsed.protocol not in ("http:", "https:"):
        raise FetchError("bad_url", f"a browser fetches http and https here, not {parsed.protocol[:50]}")
    return parsed.href, parsed.origin


def _body(job: Job) -> bytes | None:
    if job.data_base64 is not None:
        try:
            return base64.b64decode(job.data_base64, validate=True)
        except binascii.Error:
            raise FetchError("bad_request", "data_base64 is not base64") from None
    return None if job.data is None else job.data.encode()


def _context_options(job: Job, user_agent: str | None, languages: str | None) -> dict[str, Any]:
    browse = job.browser
    options: dict[str, Any] = {
        "viewport": {"width": _side(job.js_viewport_width, WIDTH), "height": _side(job.js_viewport_height, HEIGHT)},
        "ignore_https_errors": not job.validate_cert,
        "accept_downloads": job.download,
        "service_workers": "block",  # nothing of them would be left for the next page
    }
    if user_agent:
        options["user_agent"] = user_agent
    if languages:
        options["locale"] = languages.partition(",")[0]
    if browse.timezone:
        options["timezone_id"] = browse.timezone
    if browse.geolocation:
        options["geolocation"] = browse.geolocation
        options["permissions"] = ["geolocation"]
    return options


def _side(pixels: int | None, default: int) -> int:
    return default if pixels is None else max(1, min(pixels, MAX_SIDE))
