"""The page as a callback sees it. Everything that costs is worked out when it is first read, and kept.

No network: what it holds came with a :class:`~crawlkit.libs.messages.Fetched`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from http import HTTPStatus
from types import ModuleType
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar, overload

import msgspec

from crawlkit.libs import charset
from crawlkit.libs.errors import RetryTask
from crawlkit.libs.headers import Headers
from crawlkit.libs.messages import Fetched
from crawlkit.libs.url import Joiner, without_fragment

if TYPE_CHECKING:
    from lxml.html import HtmlElement
    from parsel import Selector, SelectorList

    from crawlkit.libs.document import Doc
    from crawlkit.libs.forms import Form
    from crawlkit.libs.xhr import Xhr

T = TypeVar("T")
NOTHING: dict[str, Any] = {}
_decode_json = msgspec.json.Decoder().decode


# Loaded by the first page that is looked into: who only hands pages on needs no lxml. An import statement in its place
# costs a few microseconds a page, also when all is loaded.
@cache
def _document() -> ModuleType:
    from crawlkit.libs import document

    return document


@cache
def _selector() -> ModuleType:
    from crawlkit.libs import selector

    return selector


class HTTPError(Exception):
    """A response that is not good; ``response`` holds it [H92]. ``kind`` is a fetch error's kind, or ``None``."""

    def __init__(self, message: str, response: Response | None = None) -> None:
        super().__init__(message)
        self.response = response
        self.kind = response.error_kind if response is not None else None


class _lazy(Generic[T]):
    """Worked out at the first read, then an ordinary attribute."""

    def __init__(self, work: Callable[[Any], T]) -> None:
        self.work = work
        self.name = work.__name__
        self.__doc__ = work.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> _lazy[T]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> T | _lazy[T]:
        if instance is None:
            return self
        value = instance.__dict__[self.name] = self.work(instance)
        return value


class Response:
    """A fetched page [H90]."""

    status_code: int
    url: str
    """Where it came from in the end, after redirects."""
    orig_url: str
    time: float
    """Seconds the fetch took."""
    error: str | None
    error_kind: str | None
    """One of ``errors.FETCH_ERROR_KINDS``, when the fetch failed."""
    content: bytes
    cookies: dict[str, str]
    save: Any
    """What ``self.crawl(..., save=...)`` gave."""
    history: list[tuple[int, str]]
    """(status, URL) of each redirect followed."""
    traceback: str | None = None
    js_script_result: Any = None
    file: dict[str, Any] | None = None
    """Of a download: ``path``, ``bytes`` and ``sha256`` of the whole file."""
    _rendered: dict[str, Any] | None = None

    def __init__(
        self,
        url: str = "",
        *,
        status_code: int = 200,
        content: bytes | str = b"",
        headers: dict[str, str] | list[tuple[str, str]] | None = None,
        orig_url: str | None = None,
        cookies: dict[str, str] | None = None,
        time: float = 0.0,
        error: str | None = None,
        error_kind: str | None = None,
        save: Any = None,
        history: list[tuple[int, str]] | None = None,
        file: dict[str, Any] | None = None,
        rendered: dict[str, Any] | None = None,
    ) -> None:
        self.status_code = status_code
        self.url = url
        self.orig_url = url if orig_url is None else orig_url
        self.time = time
        self.error = error
        self.error_kind = error_kind
        self.content = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
        if isinstance(content, str):
            self._encoding = "utf-8"
        self._headers = list(headers.items()) if isinstance(headers, dict) else headers or []
        self.cookies = {} if cookies is None else cookies
        self.save = save
        self.history = [] if history is None else history
        self.file = file
        self._rendered = rendered

    @classmethod
    def of(cls, fetched: Fetched) -> Response:
        """The response in a fetcher's answer."""
        self = cls.__new__(cls)
        self.__dict__ = {
            "status_code": fetched.status_code,
            "url": fetched.url,
            "orig_url": fetched.orig_url,
            "time": fetched.time,
            "error": fetched.error,
            "error_kind": fetched.error_kind,
            "content": fetched.content,
            "_headers": fetched.headers,
            "cookies": fetched.cookies,
            "save": fetched.task.fetch.save,
            "history": fetched.history,
            "js_script_result": fetched.js_script_result,
            "file": fetched.file,
            "_rendered": fetched.rendered,
        }
        return self

    def __repr__(self) -> str:
        return f"<Response [{self.status_code}]>"

    def __bool__(self) -> bool:
        return self.ok

    # ---- good or not

    @property
    def ok(self) -> bool:
        """Whether :meth:`raise_for_status` has nothing to say [H91]."""
        return self._problem(True) is None

    def isok(self) -> bool:
        return self.ok

    def raise_for_status(self, allow_redirects: bool = True) -> None:
        """Raises :class:`HTTPError` for a failed fetch and for 4xx and 5xx; for 3xx when told to [H92].

        304 is good: the page is as it was.
        """
        problem = self._problem(allow_redirects)
        if problem is not None:
            raise HTTPError(problem, self)

    def _problem(self, allow_redirects: bool) -> str | None:
        status = self.status_code
        if status == 304:
            return None
        if self.error_kind is not None or status >= 599 or status <= 0:
            if self.error or self.error_kind or status == 599:
                return self.error or f"HTTP {status}: {self.error_kind or 'no response'}"
            return None
        if 300 <= status < 400 and not allow_redirects:
            return f"HTTP {status}: {_phrase(status, 'Redirection')}"
        if 400 <= status < 500:
            return f"HTTP {status}: {_phrase(status, 'Client Error')}"
        if 500 <= status < 600:
            return f"HTTP {status}: {_phrase(status, 'Server Error')}"
        if status >= 300:
            return None
        return self.error

    def retry(self, reason: str = "") -> NoReturn:
        """Ends the callback; the task is tried again by the rules for retries, counted under ``retry``.

        Follow-ups asked for before are kept, results are not. It passes an ``except Exception``.
        """
        raise RetryTask(str(reason))

    # ---- head

    @_lazy
    def headers(self) -> Headers:
        """Case-insensitive; ``headers.getlist`` gives repeated ones apart."""
        return Headers(self._headers)

    @_lazy
    def content_type(self) -> str:
        """The last ``Content-Type`` header, or ``""``."""
        found = ""
        for name, value in self._headers:
            if len(name) == 12 and name.lower() == "content-type":
                found = value
        return found

    # ---- body

    @property
    def encoding(self) -> str:
        """The codec of :attr:`text`, by BOM, header, declaration or the bytes themselves; may be set [H93]."""
        known = self.__dict__.get("_encoding")
        if known is None:
            known = self._encoding = charset.detect(self.content, self.content_type)
        return known

    @encoding.setter
    def encoding(self, value: str) -> None:
        self._encoding = charset.codec_name(value) or "utf-8"
        for name in ("text", "etree", "doc", "selector", "base_url", "json"):
            self.__dict__.pop(name, None)

    @_lazy
    def text(self) -> str:
        """The body as text; bytes that are wrong become U+FFFD [H94]."""
        return charset.decode(self.content, self.encoding)

    @_lazy
    def json(self) -> Any:
        """The body parsed as JSON, or ``None`` when it is not."""
        try:
            return _decode_json(self.content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
        import json  # reads NaN and other encodings than UTF-8

        try:
            return json.loads(self.text)
        except (ValueError, RecursionError):
            return None

    @_lazy
    def etree(self) -> HtmlElement:
        """The root of the document as lxml parsed it; links as they are written."""
        root: HtmlElement = _document().parse_html(self.content, self.encoding)
        return root

    @_lazy
    def doc(self) -> Doc:
        """The document as PyQuery, with absolute links, in a tree of its own."""
        from crawlkit.libs.document import Doc, make_links_absolute, parse_html

        root = parse_html(self.content, self.encoding)
        make_links_absolute(root, self._joiner_for(root))
        return Doc(root)

    @_lazy
    def selector(self) -> Selector:
        """The document as a parsel selector."""
        found: Selector = _selector().selector_of(self)
        return found

    def css(self, query: str) -> SelectorList[Any]:
        """What a CSS selector finds: ``response.css("h1::text").get()``."""
        return self.selector.css(query)

    def xpath(self, query: str, **kwargs: Any) -> SelectorList[Any]:
        """What an XPath expression finds: ``response.xpath("//a/@href").getall()``."""
        return self.selector.xpath(query, **kwargs)

    def form(self, css: str | None = None) -> Form:
        """The first form of the page, or the one that a CSS selector finds or finds something in.

        ``self.crawl(response.form("#login").fill(user="me", password="x"), callback=...)`` fills it in and submits it
        with its hidden fields. Raises :class:`ValueError` that lists the forms when there is no such one.
        """
        from crawlkit.libs.forms import find

        return find(self, css)

    # ---- what a browser brought along

    @_lazy
    def xhr(self) -> list[Xhr]:
        """The answers to XHR and fetch requests of the page that ``capture_xhr`` asked for, in their order."""
        from crawlkit.libs.xhr import xhr_of

        return [xhr_of(each) for each in (self._rendered or NOTHING).get("xhr") or ()]

    @property
    def screenshot(self) -> dict[str, Any] | None:
        """Of ``screenshot=``: ``path``, ``bytes`` and ``sha256`` of the image, among the project's files."""
        return (self._rendered or NOTHING).get("screenshot")

    @property
    def pdf(self) -> dict[str, Any] | None:
        """Of ``pdf=``: ``path``, ``bytes`` and ``sha256`` of the document, among the project's files."""
        return (self._rendered or NOTHING).get("pdf")

    @property
    def console(self) -> list[str]:
        """The first lines that a page wrote to a browser's console, and the errors that it threw."""
        return (self._rendered or NOTHING).get("console") or []

    # ---- links

    def _joiner_for(self, root: Any) -> Joiner:
        joiner = self.__dict__.get("_joiner")
        if joiner is None:
            joiner = self._joiner = Joiner(self._base_url(root))
        return joiner

    def _base_url(self, root: Any) -> str:
        href: str = _document().base_of(root)
        return (Joiner(self.url).join(href) or self.url) if href else self.url

    @_lazy
    def base_url(self) -> str:
        """What links are relative to: the ``<base>`` of the document, else :attr:`url`."""
        if "etree" not in self.__dict__ and b"<base" not in self.content and b"<BASE" not in self.content:
            return self.url
        return self._base_url(self.etree)

    def urljoin(self, reference: str) -> str:
        """``reference`` as an absolute URL, as a browser resolves it; as it is when that makes none."""
        joiner = self.__dict__.get("_joiner")
        if joiner is None:
            joiner = self._joiner = Joiner(self.base_url)
        joined: str | None = joiner.join(reference)
        return reference if joined is None else joined

    def links(self, css: str = "a[href], area[href]") -> list[str]:
        """The http(s) URLs the document links to, each once, in order, without fragments."""
        found: dict[str, None] = {}
        for element in self.css(css):
            href = element.root.get("href")
            url = self.urljoin(href.strip()) if href else ""
            if url.startswith(("http://", "https://")):
                found[without_fragment(url)] = None
        return list(found)


def _phrase(status: int, otherwise: str) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return otherwise
