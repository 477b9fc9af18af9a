"""Fetches through a browser service over HTTP: what is asked of it [F30], and how its answer is read [F31].

Pure: builds the job and reads the reply. Sending is the fetcher's; nothing here knows which browser is behind it.
"""

from __future__ import annotations

import base64
import re
import urllib.parse
from dataclasses import replace
from typing import Any

import msgspec

from crawlkit.fetcher import browser_jar, request
from crawlkit.fetcher import url as urls
from crawlkit.fetcher.request import Plan
from crawlkit.fetcher.settings import MIB, FetcherSettings
from crawlkit.libs.auto import AUTO
from crawlkit.libs.browser_job import Reply
from crawlkit.libs.errors import FETCH_ERROR_KINDS, FetchError
from crawlkit.libs.messages import Dispatch, Fetched
from crawlkit.libs.task import Fetch

PLAIN_TYPES = frozenset({"", "http", "https", AUTO})  # auto: what is to be rendered comes as js
BROWSER_TYPES = ("browser", "js", "phantomjs", "puppeteer")
SPLASH_TYPE = "splash"
MAX_ATTACHMENT = 32 * MIB  # bytes of a screenshot or a pdf
MAX_XHR = 2 * MIB  # bytes of all captured answers: they travel with the page
MAX_XHR_REPLY = 16 * MIB  # that may come of them from a service
MAX_ANSWERS = 500  # captured ones
MAX_LINES = 100  # of the console
MAX_LINE = 1_000  # characters
ENVELOPE = 2**20  # bytes that a reply may be larger than its page

NOTHING_CAME = "the page made the browser download nothing; js_actions can click what does"
NO_SERVICE = (
    "there is no browser service: `crawlkit all`, `node` and `one` start one unless --no-browser is given, and"
    " CRAWLKIT_FETCHER_BROWSER_ENDPOINT (`crawlkit fetcher --browser-endpoint`) names another"
)
NO_SPLASH = "CRAWLKIT_FETCHER_SPLASH_ENDPOINT (`crawlkit fetcher --splash-endpoint`) names no service"
_MAGIC = ((b"\x89PNG\r\n\x1a\n", "png"), (b"\xff\xd8\xff", "jpg"), (b"%PDF-", "pdf"))
_FILE = re.compile(r"[A-Za-z0-9_-]{8,64}\Z")
_OPTIONS = ("fetch_type", "js_script", "js_run_at", "js_viewport_width", "js_viewport_height", "load_images", "save")


def is_plain(fetch: Fetch) -> bool:
    """Whether libcurl fetches this one."""
    return fetch.fetch_type is None or fetch.fetch_type in PLAIN_TYPES


def is_ours(fetch: Fetch) -> bool:
    """Whether a service of crawlkit's own is asked, which takes cookies one by one."""
    return fetch.fetch_type in BROWSER_TYPES


def wants_files(fetch: Fetch) -> bool:
    """Whether something beside the page is to be kept."""
    return fetch.browser is not None and bool(fetch.browser.screenshot or fetch.browser.pdf)


def origin_of(url: str) -> str:
    """The origin of a URL as a browser writes it: without the port that its scheme has anyway."""
    try:
        scheme, host, port = urls.parse(url).origin
    except FetchError:
        return ""
    return f"{scheme}://{host}" + ("" if {"http": 80, "https": 443}.get(scheme) == port else f":{port}")


def endpoint_of(fetch_type: str, settings: FetcherSettings) -> str:
    """Where jobs of this type go. Raises :class:`FetchError`: ``bad_request`` or, without a service, ``no_browser``."""
    if fetch_type == SPLASH_TYPE:
        endpoint, mend = settings.splash_endpoint, NO_SPLASH
    elif fetch_type in BROWSER_TYPES:
        endpoint, mend = settings.browser_endpoint, NO_SERVICE
    else:
        known = ", ".join(sorted({AUTO, "http", SPLASH_TYPE, *BROWSER_TYPES}))
        raise FetchError("bad_request", f"fetch_type {fetch_type[:50]!r} is unknown, known are {known}")
    if not endpoint:
        raise FetchError("no_browser", f"{fetch_type} is not enabled: {mend}", 501)
    return endpoint


def job_plan(
    task: Dispatch, page: Plan, endpoint: str, settings: FetcherSettings, jar: list[str] | None = None
) -> Plan:
    """The request to the service: ``page`` is what the task asks for, sent as JSON [F30]; ``jar`` its session's."""
    job = _job(task.fetch, page)
    job |= {"allow_private": settings.allow_private, "max_body": page.max_body}
    if task.fetch.browser is not None:
        job["browser"] = task.fetch.browser
    if is_ours(task.fetch):
        job.setdefault("load_images", wants_files(task.fetch))
    if task.fetch.download is not None:
        job["download"] = True
    if jar is not None:
        job |= {"session": True, "cookies": browser_jar.cookies_of(jar), "origins": browser_jar.origins_of(jar)}
    return Plan(
        url=urls.parse(endpoint if "://" in endpoint else f"http://{endpoint}"),
        method="POST",
        headers=_headers(task, page, settings),
        body=msgspec.json.encode(job),
        timeout=page.timeout,
        connect_timeout=page.connect_timeout,
        follow=False,
        max_body=2 * page.max_body + ENVELOPE + _room_for(task.fetch),
    )


def file_plan(asked: Plan, name: str) -> Plan:
    """The request for a file that Chromium downloaded for the job ``asked``; raises :class:`FetchError`."""
    if not _FILE.match(name):
        raise FetchError("protocol", f"the browser service speaks of a file {name!r:.80}")
    url = urllib.parse.urljoin(asked.url.full, f"files/{name}")
    headers = [pair for pair in asked.headers if pair[0] != "Content-Type"]
    return replace(asked, url=urls.parse(url), method="GET", headers=headers, body=None)


def _room_for(fetch: Fetch) -> int:
    """Bytes of what comes beside a page."""
    browse = fetch.browser
    if browse is None:
        return 0
    files = sum(2 * MAX_ATTACHMENT for wish in (browse.screenshot, browse.pdf) if wish)
    return files + (MAX_XHR_REPLY if browse.xhr else 0)


def _headers(task: Dispatch, page: Plan, settings: FetcherSettings) -> list[tuple[str, str]]:
    headers = [("Content-Type", "application/json"), ("User-Agent", page.user_agent)]
    if settings.browser_token and task.fetch.fetch_type != SPLASH_TYPE:
        headers.append(("Authorization", f"Bearer {settings.browser_token}"))
    return headers


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
        if proxy.trusted:
            job["proxy_trusted"] = True
    job |= {name: value for name in _OPTIONS if (value := getattr(fetch, name)) is not None}
    return job


def read_reply(status: int, body: bytes) -> Reply:
    """What the service says. Raises :class:`FetchError` of kind ``protocol`` when it is no reply."""
    try:
        return msgspec.json.decode(body, type=Reply)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FetchError("protocol", f"the browser service answered {status} and no result: {error}") from None


def answer_of(task: Dispatch, page: Plan, reply: Reply, node: str) -> Fetched:
    """The task's answer out of the service's. Raises :class:`FetchError`: ``protocol``, ``too_large``."""
    content = (
        reply.content.encode("utf-8", "replace") if reply.content_base64 is None else _decoded(reply.content_base64)
    )
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
        error_kind=kind_of(reply),
        history=reply.history,
        node=node,
        size=len(content),
        content=content,
        js_script_result=reply.js_script_result,
        rendered=_rendered(reply),
    )


def kind_of(reply: Reply) -> str | None:
    """The kind of error that a service speaks of."""
    if reply.error_kind in FETCH_ERROR_KINDS:
        return reply.error_kind
    return "protocol" if reply.error and reply.status_code == 599 else None


def is_without_file(reply: Reply) -> bool:
    """Whether the reply tells by itself why there is no file: an error, or a server that answered with one."""
    return reply.file is None and (reply.status_code >= 400 or kind_of(reply) is not None)


def attachments_of(reply: Reply) -> list[tuple[str, str, bytes]]:
    """Name (``screenshot``, ``pdf``), extension and bytes of each file beside the page.

    Raises :class:`FetchError` of kind ``protocol`` for what is none of the kinds that it should be.
    """
    found = []
    for name in ("screenshot", "pdf"):
        attachment = reply.attachments.get(name)
        if attachment is None:
            continue
        content = _decoded(attachment.content_base64)
        extension = next((end for magic, end in _MAGIC if content.startswith(magic)), None)
        if extension is None or (name == "pdf") != (extension == "pdf"):
            raise FetchError("protocol", f"the {name} of the browser service is none: {content[:20]!r}")
        if len(content) > MAX_ATTACHMENT:
            raise FetchError("too_large", f"{name} of {len(content):,} bytes, over {MAX_ATTACHMENT:,}")
        found.append((name, extension, content))
    return found


def _rendered(reply: Reply) -> dict[str, Any] | None:
    """What came with the page but its files, cut to what a message may carry."""
    rendered: dict[str, Any] = {}
    room = MAX_XHR
    answers = []
    for each in reply.xhr[:MAX_ANSWERS]:
        for one in (each, {**each, "body": "", "truncated": True}):  # whole, or without its body, or not at all
            cost = sum(len(str(value).encode("utf-8", "replace")) for value in one.values())
            if cost <= room:
                room -= cost
                answers.append(one)
                break
    if answers:
        rendered["xhr"] = answers
    if reply.console:
        rendered["console"] = [line[:MAX_LINE] for line in reply.console[:MAX_LINES]]
    if reply.counts:
        rendered["counts"] = reply.counts
    return rendered or None


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text)
    except ValueError as error:
        raise FetchError("protocol", f"the browser service's answer is not right: {error}") from None
