"""Fetches through a browser service over HTTP: what is asked of it [F30], and how its answer is read [F31].

Pure: builds the job and reads the reply. Sending is the fetcher's; nothing here knows which browser is behind it.
"""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from crawlkit.fetcher import request
from crawlkit.fetcher import url as urls
from crawlkit.fetcher.request import Plan
from crawlkit.fetcher.settings import FetcherSettings
from crawlkit.libs.errors import FetchError
from crawlkit.libs.messages import Dispatch, Fetched
from crawlkit.libs.task import Fetch

PLAIN_TYPES = frozenset({"", "http", "https"})
BROWSER_TYPES = ("browser", "js", "phantomjs", "puppeteer")
SPLASH_TYPE = "splash"
GRACE = 1.0  # seconds more than the page has, for the service to say what went wrong
ENVELOPE = 2**20  # bytes that a reply may be larger than its page

_OPTIONS = ("fetch_type", "js_script", "js_run_at", "js_viewport_width", "js_viewport_height", "load_images", "save")


class Reply(msgspec.Struct, kw_only=True):
    """What a browser service answers [F31]."""

    status_code: int
    url: str = ""
    orig_url: str = ""
    content: str = ""
    content_base64: str | None = None  # where it can be told apart from text
    headers: dict[str, str | list[str]] = {}
    cookies: dict[str, str] = {}
    time: float = 0.0
    error: str | None = None
    js_script_result: Any = None


def is_plain(fetch: Fetch) -> bool:
    """Whether libcurl fetches this one."""
    return fetch.fetch_type is None or fetch.fetch_type in PLAIN_TYPES


def endpoint_of(fetch_type: str, settings: FetcherSettings) -> str:
    """Where jobs of this type go. Raises :class:`FetchError`: ``bad_request`` or, without a service, ``no_browser``."""
    if fetch_type == SPLASH_TYPE:
        endpoint, option = settings.splash_endpoint, "splash-endpoint"
    elif fetch_type in BROWSER_TYPES:
        endpoint, option = settings.browser_endpoint, "browser-endpoint"
    else:
        known = ", ".join(sorted({"http", SPLASH_TYPE, *BROWSER_TYPES}))
        raise FetchError("bad_request", f"fetch_type {fetch_type[:50]!r} is unknown, known are {known}")
    if not endpoint:
        raise FetchError("no_browser", f"{fetch_type} is not enabled: the fetcher has no --{option}", 501)
    return endpoint


def job_plan(task: Dispatch, page: Plan, endpoint: str) -> Plan:
    """The request to the service: ``page`` is what the task asks for, sent as JSON [F30]."""
    return Plan(
        url=urls.parse(endpoint if "://" in endpoint else f"http://{endpoint}"),
        method="POST",
        headers=[("Content-Type", "application/json"), ("User-Agent", page.user_agent)],
        body=msgspec.json.encode(_job(task.fetch, page)),
        timeout=page.timeout + GRACE,
        connect_timeout=page.connect_timeout,
        follow=False,
        max_body=2 * page.max_body + ENVELOPE,
    )


def _job(fetch: Fetch, page: Plan) -> dict[str, Any]:
    headers = dict(page.headers)
    cookies = request.cookie_line(page)
    if cookies is not None:
        headers["Cookie"] = cookies
    job: dict[str, Any] = {
        "url": page.url.full,
        "method": page.method,
        "headers": headers,
        "use_gzip": fetch.use_gzip is not False,
        "timeout": page.timeout,
        "request_timeout": page.timeout,
        "connect_timeout": page.connect_timeout,
        "allow_redirects": page.follow,
        "max_redirects": page.max_redirects,
        "validate_cert": page.validate_cert,
    }
    if page.body:
        try:
            job["data"] = page.body.decode()
        except UnicodeDecodeError:
            job["data_base64"] = base64.b64encode(page.body).decode()
    if page.proxy is not None:
        proxy = page.proxy
        job |= {"proxy_scheme": proxy.scheme, "proxy_host": proxy.host, "proxy_port": proxy.port}
        if proxy.username is not None:
            job |= {"proxy_username": proxy.username, "proxy_password": proxy.password}
    job |= {name: value for name in _OPTIONS if (value := getattr(fetch, name)) is not None}
    return job


def read_reply(task: Dispatch, page: Plan, status: int, body: bytes, node: str) -> Fetched:
    """The task's answer out of the service's. Raises :class:`FetchError` of kind ``protocol`` when it is not one."""
    try:
        reply = msgspec.json.decode(body, type=Reply)
        content = reply.content.encode() if reply.content_base64 is None else base64.b64decode(reply.content_base64)
    except (msgspec.DecodeError, ValueError) as error:
        raise FetchError("protocol", f"the browser service answered {status} and no result: {error}") from None
    if len(content) > page.max_body:
        raise FetchError("too_large", f"body over {page.max_body} bytes")
    headers = []
    for name, values in reply.headers.items():
        headers += [(name, value) for value in ([values] if isinstance(values, str) else values)]
    return Fetched(
        task=task,
        status_code=reply.status_code,
        url=reply.url or page.url.full,
        orig_url=task.url,
        headers=headers,
        cookies=request.sent_cookies(page) | reply.cookies,
        time=reply.time,
        error=reply.error,
        error_kind="protocol" if reply.error and reply.status_code == 599 else None,
        node=node,
        size=len(content),
        content=content,
        js_script_result=reply.js_script_result,
    )
