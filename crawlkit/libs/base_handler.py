"""What a handler script is made of: :class:`BaseHandler` and its decorators.

A handler only collects: it sends, fetches and stores nothing. Import cost matters, every worker pays it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypeVar, Unpack, overload

import msgspec

from crawlkit.libs import crawl_args, host_limits
from crawlkit.libs.bounds import CONFIG as BOUNDS
from crawlkit.libs.bounds import bounds_of
from crawlkit.libs.collector import Collector
from crawlkit.libs.crawl_args import CrawlArgs, FetchArgs
from crawlkit.libs.crawler import OUTSIDE, Callback, Crawler, TaskDict, urls_of
from crawlkit.libs.errors import DropTask, InvalidTask
from crawlkit.libs.every import crons_of, every
from crawlkit.libs.forms import Form, FormRequest
from crawlkit.libs.handler_settings import HandlerSettings
from crawlkit.libs.jsonable import NotJSON, jsonable
from crawlkit.libs.messages import ProjectInfo
from crawlkit.libs.task import taskid_of

if TYPE_CHECKING:
    from datetime import date

    from crawlkit.libs.response import Response

__all__ = ["BaseHandler", "catch_status_code_error", "config", "every", "not_send_status"]

F = TypeVar("F", bound=Callable[..., Any])


def catch_status_code_error(function: F) -> F:
    """The callback also gets responses that are errors: 304, 4xx, 5xx and 599 [H35]."""
    function._catch_status_code_error = True  # type: ignore[attr-defined]
    return function


def not_send_status(function: F) -> F:
    """Runs of the callback leave the task's status as it was; results and follow-ups still go out [H36]."""
    function._not_send_status = True  # type: ignore[attr-defined]
    return function


@overload
def config(values: Mapping[str, Any], /) -> Callable[[F], F]: ...
@overload
def config(**kwargs: Unpack[CrawlArgs]) -> Callable[[F], F]: ...
def config(values: Mapping[str, Any] | None = None, /, **kwargs: Any) -> Callable[[F], F]:
    """Arguments for every ``self.crawl`` whose callback is this method; explicit ones win [H33]."""
    both = {**(values or {}), **kwargs}
    crawl_args.check_names(both)

    def mark(function: F) -> F:
        # Nearer to the method wins when @config is stacked; a new dict, so a shared function keeps its own.
        function._config = {**both, **getattr(function, "_config", {})}  # type: ignore[attr-defined]
        return function

    return mark


class BaseHandler:
    """A crawl's script: subclass it, give it ``on_start`` and callbacks.

    One instance lives as long as a worker holds the project; attributes set on ``self`` last until then [H04].
    """

    crawl_config: ClassVar[dict[str, Any]] = {}
    """Arguments for every ``self.crawl`` of the project [H10, H60, H61]."""

    retry_delay: ClassVar[Any] = {}
    """Seconds to wait by tries so far, ``''`` for the rest; a plain number for all [H11]."""

    result_key: ClassVar[str | tuple[str, ...]] = ()
    """Fields that make results of the project one when their values are equal, also across tasks and runs."""

    result_key_policy: ClassVar[str] = "replace"
    """``replace``: the newer result holds; ``keep_first``: the older; ``stop``: so too, and no link behind counts."""

    taskid_compat: bool = False
    """Whether tasks have pyspider's ids, which look only at the URL; ``# taskid_compat: yes`` in a script says so."""

    project_name: str = ""
    project: Mapping[str, Any] | None = None

    settings: Mapping[str, str] = HandlerSettings()
    """What ``crawlkit project set`` gave the project; a missing one is a :class:`KeyError` that says how to set it."""

    task: TaskDict
    response: Response
    save: dict[str, Any]
    logger: logging.Logger = logging.getLogger("handler")  # a script has one of its own name

    __env__: Mapping[str, Any] = MappingProxyType({"debugger": False})  # pyspider scripts ask it [P02]

    _crawlkit: Crawler | None = None  # the one name that scripts must leave alone

    # ---- what a script calls

    @overload
    def crawl(  # type: ignore[overload-overlap]  # text is an iterable of text too
        self, url: str | Form | FormRequest, callback: Callback = None, **kwargs: Unpack[CrawlArgs]
    ) -> TaskDict: ...
    @overload
    def crawl(self, url: Iterable[str], callback: Callback = None, **kwargs: Unpack[CrawlArgs]) -> list[TaskDict]: ...
    @overload
    def crawl(self, url: None, callback: Callback = None, **kwargs: Unpack[CrawlArgs]) -> None: ...
    def crawl(
        self, url: str | Form | FormRequest | Iterable[str] | None, callback: Callback = None, **kwargs: Any
    ) -> TaskDict | list[TaskDict] | None:
        """Asks for ``url`` to be crawled; returns the task, or a list of tasks for several URLs [H40-H56].

        A relative URL is resolved against the page at hand; ``None`` (there is no next page) is left out, and the log
        says so. A curl command, as browsers copy it, stands for its URLs with its arguments [H80], and a form of a page
        for what submitting it sends. A task may be yielded. Explicit arguments win over the callback's ``@config``, and
        that over ``crawl_config``, also key by key inside dicts.
        Raises :class:`TypeError` for an unknown argument, :class:`InvalidTask` for a wrong value,
        :class:`NotImplementedError` for an unknown callback.
        """
        crawler = self._crawlkit
        if crawler is None:
            raise RuntimeError(OUTSIDE)
        if type(url) is str:
            return crawler.crawl(url, callback, kwargs)
        if url is None:
            self.logger.info("self.crawl(None): there is no URL, so nothing is asked for", stacklevel=2)
            return None
        if isinstance(url, str):  # of a subclass: what lxml found knows its parent
            return crawler.crawl(str.__str__(url), callback, kwargs)
        if isinstance(url, Form | FormRequest):
            url, said = url.request() if isinstance(url, Form) else url
            return crawler.crawl(url, callback, crawl_args.joined(said, kwargs))
        asked: list[TaskDict] = []
        for each in urls_of(url):
            found = crawler.crawl(each, callback, kwargs)
            asked += found if isinstance(found, list) else [found]
        return asked

    def download(
        self,
        url: str | Iterable[str] | None,
        to: str = "{name}",
        callback: Callback = None,
        *,
        sha256: str | None = None,
        size: int | None = None,
        **kwargs: Unpack[CrawlArgs],
    ) -> TaskDict | list[TaskDict] | None:
        """Asks for the file at ``url``; the callback's ``response.file`` tells its path, bytes and sha256.

        ``to`` is a path below the project's files; ``{name}`` in its last part is what the server calls the file. The
        file is there only when it is whole; ``sha256`` and ``size`` (bytes) are checked when given. Other arguments
        are those of :meth:`crawl`, and so is what is raised and returned.
        """
        wish = {name: value for name, value in (("to", to), ("sha256", sha256), ("size", size)) if value is not None}
        crawl: Callable[..., TaskDict | list[TaskDict] | None] = self.crawl
        return crawl(url, callback=callback, **kwargs, download=wish)

    def send_message(self, project: str, msg: Any, url: str = "data:,on_message") -> None:
        """Gives ``msg`` (JSON-able) to a project's ``on_message``, as a task of that project [H18].

        ``url`` is what the results of ``on_message`` are filed under; it is not fetched.
        """
        if not isinstance(project, str) or not project:
            raise TypeError("send_message(): name the project that is to receive the message")
        _collector_of(self).message(project, msg, "" if url == "data:,on_message" else url)

    def crawl_sitemap(
        self,
        url: str | Iterable[str],
        callback: Callback = None,
        *,
        follow: str | None = None,
        since: str | date | None = None,
        **kwargs: Unpack[CrawlArgs],
    ) -> list[TaskDict]:
        """Asks for every page that a sitemap lists; also sitemap indexes, gzip, text, and the sitemaps of a robots.txt.

        ``follow`` is a regular expression that the pages' URLs are searched for; ``since`` (a date, a time, or ISO
        text, UTC unless said) leaves out what has not changed since. The rest goes to each page, as :meth:`crawl` takes
        it. The sitemap itself is always fetched anew. Returns the tasks of the sitemaps; raises what :meth:`crawl`
        raises, and :class:`ValueError` for a wrong ``follow`` or ``since``.
        """
        from crawlkit.libs.sitemap import wish

        if self._crawlkit is None:
            raise RuntimeError(OUTSIDE)
        said = wish(self._crawlkit.callback_name(callback), follow, since, kwargs)
        return [self._crawl_sitemap(each, said) for each in urls_of([url] if isinstance(url, str) else url)]

    def _crawl_sitemap(self, url: str, said: dict[str, Any]) -> TaskDict:
        from crawlkit.libs.sitemap import task_args

        asked: TaskDict = self.crawl(url, callback="_on_sitemap", **task_args(url, said))
        return asked

    def _on_sitemap(self, response: Response) -> None:
        from crawlkit.libs.sitemap import pages

        said = response.save
        for url, is_index in pages(response, said):
            if is_index:
                self._crawl_sitemap(url, {**said, "depth": said["depth"] + 1})
            else:
                self.crawl(url, callback=said["callback"], **said["args"])

    def fetch(self, url: str | Form | FormRequest, **kwargs: Unpack[FetchArgs]) -> Coroutine[Any, Any, Response]:
        """Awaits the answer inside an async callback: ``response = await self.fetch(url)``.

        The request goes the way of any other, with the project's rate and ``crawl_config``; meanwhile nobody waits: the
        run ends here, and when the answer is there the callback runs again from its top with all answers so far. It
        must ask for the same pages in the same order then. Several at once: ``asyncio.gather``. A status of 404 is a
        response too; :class:`HTTPError` is raised when nothing came at all, :class:`RuntimeError` outside of an async
        callback, and what :meth:`crawl` raises for its arguments.
        """
        if self._crawlkit is None:
            raise RuntimeError(OUTSIDE)
        args: Mapping[str, Any] = kwargs
        if isinstance(url, Form | FormRequest):
            url, said = url.request() if isinstance(url, Form) else url
            args = crawl_args.joined(said, args)
        return self._crawlkit.fetch(url, args)

    def drop(self, reason: str = "") -> NoReturn:
        """Ends the callback; the task is over, neither done nor failed, and counted as dropped under ``reason``.

        Follow-ups asked for before are kept, results are not. It passes an ``except Exception``.
        """
        raise DropTask(str(reason))

    def get_taskid(self, task: TaskDict) -> str:
        """The identity of ``task``; override to let URLs that differ be one task, or one URL be several [H16].

        The default is the md5 of the URL for a GET without a body, else of (URL, method, body), and for a download of
        (URL, target). With ``taskid_compat`` it is the md5 of the URL whatever the method and the body, as in pyspider.
        """
        fetch = task.get("fetch") or {}
        body = fetch.get("data")
        if self.taskid_compat and not fetch.get("download"):
            return taskid_of(task["url"])
        if fetch.get("download"):  # a page and its file are two tasks, and so are two files of one URL
            return taskid_of(task["url"], "DOWNLOAD", f"{fetch['download']['to']}\n{body or ''}".encode())
        return taskid_of(task["url"], fetch.get("method"), body.encode() if isinstance(body, str) else body)

    def is_debugger(self) -> bool:
        """Whether this is a run of the web UI's debugger [H17]."""
        return bool(self.__env__.get("debugger"))

    # ---- what a script may override

    def before_request(self, task: TaskDict) -> None:
        """Called before each fetch with the task, whose ``task["fetch"]`` it may change: to sign it, to log in.

        Runs in a worker, so each fetch takes a round more. May end the task by :meth:`drop`; no :meth:`crawl` here.
        """

    def after_response(self, response: Response) -> Response | None:
        """Called with each response before its callback, also with one that is an error.

        May return another response for the callback, raise, or call ``response.retry()`` or :meth:`drop`.
        """
        return None

    def on_message(self, project: str, msg: Any) -> Any:
        """Called with what another project sent; ``__command__`` is the command line [H19]."""

    def on_result(self, result: Any) -> None:
        """Called with each result; the default keeps what is not empty. Call it to keep a changed one [H20]."""
        if result:
            _collector_of(self).result(result)

    def on_finished(self, response: Response, task: TaskDict) -> Any:
        """Called once each time the project has nothing left to do [H22]."""

    def _on_message(self, response: Response) -> Any:
        sender, message, *_ = response.save
        return self.on_message(sender, message)

    # ---- what the scheduler asks

    def project_info(self) -> ProjectInfo:
        """What the scheduler must know of the handler [S06]; raises :class:`InvalidTask`, ``TypeError`` in words."""
        cls = type(self)
        return ProjectInfo(
            crons=crons_of(cls),
            retry_delay=_retry_delay(self.retry_delay),
            crawl_config=_crawl_config(self.crawl_config),
            has_on_finished=cls.on_finished is not BaseHandler.on_finished,
            has_on_start=callable(getattr(self, "on_start", None)),
            has_before_request=cls.before_request is not BaseHandler.before_request,
        )


def _collector_of(handler: BaseHandler) -> Collector:
    if handler._crawlkit is None or handler._crawlkit.collector is None:
        raise RuntimeError(OUTSIDE)
    return handler._crawlkit.collector


def _retry_delay(delays: Any) -> dict[str, float]:
    if isinstance(delays, bool) or not isinstance(delays, int | float | Mapping):
        raise TypeError(f"retry_delay: a dict of seconds by tries so far, or one number, not {delays!r}")
    table = delays if isinstance(delays, Mapping) else {"": delays}
    for tries, seconds in table.items():
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds - seconds != 0:
            raise TypeError(f"retry_delay[{tries!r}]: a number of seconds, not {seconds!r}")
        if not (tries == "" or (isinstance(tries, int | str) and str(tries).isdigit())):
            raise TypeError(f"retry_delay: {tries!r}: the key is the number of tries so far, or ''")
    return {str(tries): float(seconds) for tries, seconds in table.items()}


def _crawl_config(values: Any) -> dict[str, Any]:
    if not isinstance(values, Mapping):
        raise TypeError(f"crawl_config: a dict, not {type(values).__name__}")
    known = crawl_args.normalised({name: value for name, value in values.items() if name != "callback"})
    crawl_args.parts_of(known)
    if values.get(BOUNDS):
        known[BOUNDS] = msgspec.to_builtins(bounds_of(values))
    limits = host_limits.of_config(values)
    if limits is not None:
        host_limits.read(limits)
        known["host_limits"] = limits
    try:
        return {name: v if isinstance(v, bytes) else jsonable(v, name) for name, v in known.items()}
    except NotJSON as error:
        raise InvalidTask(f"crawl_config.{error.path}", error.problem) from None
