"""Follow a redirect or stop, and what may travel on: the only place that decides which secrets survive.

Pure. Methods change as in browsers (Fetch standard, HTTP-redirect fetch); across origins nothing secret goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from crawlkit.fetcher import url as urls
from crawlkit.fetcher.request import NO_COOKIES, Plan
from crawlkit.fetcher.url import DEFAULT_PORTS, Url
from crawlkit.libs.errors import FetchError
from crawlkit.libs.header_names import ABOUT_BODY, HARMLESS

STATUSES = frozenset({301, 302, 303, 307, 308})
SHOWN_HOPS, SHOWN_URL = 4, 200  # of a chain that is too long: hops at each end, and characters of each URL


def is_redirect(status: int, location: str | None) -> bool:
    """Whether this answer points elsewhere at all."""
    return location is not None and status in STATUSES


def next_plan(plan: Plan, status: int, location: str | None, followed: int) -> Plan | None:
    """The plan of the next hop, or ``None`` when this answer is the final one.

    ``followed``: redirects so far. Raises :class:`FetchError`: ``redirects`` for one too many, ``bad_redirect`` for a
    target that is not http(s), and for a request body that another origin would get (307, 308).
    """
    if location is None or not plan.follow or status not in STATUSES:
        return None
    if followed >= plan.max_redirects:
        raise FetchError("redirects", f"Maximum ({plan.max_redirects}) redirects followed")
    target = urls.join(plan.url, location)
    method, body, headers = plan.method, plan.body, plan.headers
    if _becomes_get(status, method):
        method, body = "GET", None
        headers = [pair for pair in headers if pair[0].lower() not in ABOUT_BODY]
    if target.origin != plan.url.origin:
        plan = _leave_origin(plan, target, body, status)
        headers = [_outside(pair, plan.url) for pair in headers if pair[0].lower() in HARMLESS]
    if target.authorization is not None:
        headers = [pair for pair in headers if pair[0].lower() != "authorization"]
        headers.append(("Authorization", target.authorization))
    return replace(plan, url=target, method=method, body=body, headers=headers)


def chain(history: Sequence[tuple[int, str]]) -> str:
    """The hops of a chain that was not followed to its end, for people; a long one without its middle."""
    hops = [f"{url[:SHOWN_URL]} ({status})" for status, url in history]
    if len(hops) > 2 * SHOWN_HOPS:
        hops[SHOWN_HOPS:-SHOWN_HOPS] = [f"{len(hops) - 2 * SHOWN_HOPS} more"]
    return ", ".join(hops)


def _becomes_get(status: int, method: str) -> bool:
    if status == 303:
        return method not in ("GET", "HEAD")
    return status in (301, 302) and method == "POST"


def _leave_origin(plan: Plan, target: Url, body: bytes | None, status: int) -> Plan:
    """What belongs to the origin stays there, for good: coming back later does not bring it back."""
    if body:
        raise FetchError("bad_redirect", f"a {status} to another origin would hand the request's body to it")
    cookies = plan.cookies if _is_upgrade(plan.url, target) else NO_COOKIES
    return replace(plan, cookie_header=None, cookies=cookies)


def _is_upgrade(before: Url, after: Url) -> bool:
    """http to https of the same host on the usual ports: cookies go on, as in every browser."""
    return (
        (before.scheme, after.scheme) == ("http", "https")
        and before.host == after.host
        and before.port == DEFAULT_PORTS["http"]
        and after.port == DEFAULT_PORTS["https"]
    )


def _outside(pair: tuple[str, str], left: Url) -> tuple[str, str]:
    """A Referer tells other origins no more than the origin (strict-origin-when-cross-origin)."""
    if pair[0].lower() != "referer":
        return pair
    try:
        referer = urls.parse(pair[1])
    except FetchError:
        referer = left
    port = "" if DEFAULT_PORTS[referer.scheme] == referer.port else f":{referer.port}"
    return pair[0], f"{referer.scheme}://{referer.host}{port}/"
