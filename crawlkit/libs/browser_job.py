"""What a fetcher asks of a browser service [F30], and what that answers [F31]: JSON both ways, by HTTP POST.

Pure. pyspider's names are kept, so that its phantomjs and puppeteer helpers could be asked the same; what only
crawlkit's own service knows comes after them. While a job waits in line the service sends a space now and then, from
its beginning on a line break, so that a service that hangs is told from a page that is slow; JSON does not mind.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct, field

from crawlkit.libs.browse import Browse

BEAT = 1.0  # seconds between the signs that the service lives:
WAITING = b" "  # the job waits in line
BEGUN = b"\n"  # its time runs; the first of these is sent at once
SERVER = "crawlkit-browser"  # how the Server header of a service that gives these signs begins


class Job(Struct, omit_defaults=True, kw_only=True):
    """One page to render. Unknown keys are ignored."""

    url: str
    method: str = "GET"
    headers: dict[str, str] = {}
    data: str | None = None
    data_base64: str | None = None
    use_gzip: bool = True
    timeout: float = 120.0  # seconds for everything, from when the service begins with it
    request_timeout: float | None = None  # the same, as pyspider calls it
    connect_timeout: float = 20.0
    allow_redirects: bool = True
    max_redirects: int = 5
    validate_cert: bool = True
    proxy_scheme: str = "http"
    proxy_host: str | None = None
    proxy_port: int | None = None
    proxy_username: str | None = None
    proxy_password: str | None = None
    proxy_trusted: bool = False  # named by the operator's settings, so it may have a private address
    fetch_type: str | None = None
    js_script: str | None = None
    js_run_at: str | None = None  # document-start or document-end
    js_viewport_width: int | None = None
    js_viewport_height: int | None = None
    load_images: bool | None = None
    save: Any = None

    browser: Browse = field(default_factory=Browse)
    allow_private: bool = True  # the stricter of this and the service's own holds
    max_body: int = 64 * 2**20  # bytes of the page as it came, and of the page as it is given back
    cookies: list[dict[str, Any]] = []  # of a session, in Playwright's form: name, value, domain, path, expires, ...
    origins: list[dict[str, Any]] = []  # its localStorage, likewise: origin, localStorage [{name, value}]
    session: bool = False  # whether cookies and storage are wanted back
    download: bool = False  # a file that the page or an action makes Chromium download is what is wanted


class Attachment(Struct, omit_defaults=True, kw_only=True):
    """A file beside the page that is small enough to come with it."""

    content_type: str
    content_base64: str


class Reply(Struct, omit_defaults=True, kw_only=True):
    """What a browser service answers."""

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
    save: Any = None

    error_kind: str | None = None  # one of errors.FETCH_ERROR_KINDS
    history: list[tuple[int, str]] = []  # (status, URL) of each redirect followed
    session_cookies: list[dict[str, Any]] | None = None  # of the whole context, in Playwright's form
    session_origins: list[dict[str, Any]] | None = None
    attachments: dict[str, Attachment] = {}  # screenshot, pdf
    xhr: list[dict[str, Any]] = []  # url, method, status, content_type, body (text), truncated
    console: list[str] = []  # first lines that the page wrote or threw
    file: dict[str, Any] | None = None  # a download: id (GET /files/ID of the service), url, name, bytes, content_type
    counts: dict[str, int] = {}  # requests, blocked, refused, bytes


def encode(reply: Reply) -> bytes:
    """The reply as JSON. Text that a page had a say in may hold halves of UTF-16 pairs: they become U+FFFD each."""
    try:
        return msgspec.json.encode(reply)
    except UnicodeEncodeError:
        return msgspec.json.encode(_whole(msgspec.to_builtins(reply)))


def whole_text(text: str) -> str:
    """Text that can be encoded."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return whole_text(value)
    if isinstance(value, dict):
        return {_whole(name): _whole(each) for name, each in value.items()}
    return [_whole(each) for each in value] if isinstance(value, list | tuple) else value
