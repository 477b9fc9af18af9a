"""What a handler script is made of: :class:`BaseHandler` and its decorators.

A handler only collects: it sends, fetches and stores nothing. Import cost matters, every worker pays it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, Unpack, overload

from crawlkit.libs import crawl_args
from crawlkit.libs.collector import Collector
from crawlkit.libs.crawl_args import SCHEDULE_FIELDS, CrawlArgs
from crawlkit.libs.errors import InvalidTask
from crawlkit.libs.every import crons_of, every
from crawlkit.libs.jsonable import NotJSON, jsonable
from crawlkit.libs.messages import ProjectInfo
from crawlkit.libs.task import MAX_TASKID, MAX_URL, Task, taskid_of
from crawlkit.libs.url import Joiner, has_scheme, task_url, with_params

if TYPE_CHECKING:
    from crawlkit.libs.response import Response

__all__ = ["BaseHandler", "catch_status_code_error", "config", "every", "not_send_status"]

F = TypeVar("F", bound=Callable[..., Any])
TaskDict = dict[str, Any]
Callback = str | Callable[..., Any] | None
_MAX_PLANS = 500
_HTTP = ("http://", "https://")


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


class _Plan:
    """What ``self.crawl(url, callback=x)`` comes to when nothing else is said; made once per callback."""

    __slots__ = ("_fetch", "_process", "_schedule", "fetch", "plain", "process", "schedule", "simple")

    def __init__(self, args: Mapping[str, Any]) -> None:
        self.schedule, self.fetch, self.process = crawl_args.parts_of(args)
        self.plain = crawl_args.is_plain(self.schedule)
        self.simple = not args.get("params") and not args.get("taskid")
        fetch = self.fetch
        if fetch is not None and (fetch.data is not None or fetch.method not in (None, "GET")):
            self.simple = False
        parts = crawl_args.as_dict(self.schedule, self.fetch, self.process)
        self._schedule, self._fetch, self._process = parts["schedule"], parts["fetch"], parts["process"]

    def shown(self, project: str, taskid: str, url: str) -> TaskDict:
        """The task in pyspider's shape; its dicts are its own: who changes them changes no other task."""
        return {
            "project": project,
            "taskid": taskid,
            "url": url,
            "schedule": self._schedule.copy(),
            "fetch": self._fetch.copy(),
            "process": self._process.copy(),
        }


class BaseHandler:
    """A crawl's script: subclass it, give it ``on_start`` and callbacks.

    One instance lives as long as a worker holds the project; attributes set on ``self`` last until then [H04].
    """

    crawl_config: ClassVar[dict[str, Any]] = {}
    """Arguments for every ``self.crawl`` of the project [H10, H60, H61]."""

    retry_delay: ClassVar[Any] = {}
    """Seconds to wait by tries so far, ``''`` for the rest; a plain number for all [H11]."""

    project_name: str = ""
    project: Mapping[str, Any] | None = None

    task: TaskDict
    response: Response
    save: dict[str, Any]
    logger: logging.Logger

    __env__: Mapping[str, Any] = MappingProxyType({"debugger": False})  # pyspider scripts ask it [P02]

    _collector: Collector | None = None
    _joiner: Joiner | None = None
    _plans: dict[Any, _Plan] = MappingProxyType({})  # type: ignore[assignment]  # one's own when a run begins
    _planned_for: dict[str, Any] | None = None
    _own_taskid: bool  # get_taskid is the default one
    _debugger = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._own_taskid = cls.get_taskid is BaseHandler.get_taskid

    # ---- what a script calls

    @overload
    def crawl(  # type: ignore[overload-overlap]  # text is an iterable of text too
        self, url: str, callback: Callback = None, **kwargs: Unpack[CrawlArgs]
    ) -> TaskDict: ...
    @overload
    def crawl(self, url: Iterable[str], callback: Callback = None, **kwargs: Unpack[CrawlArgs]) -> list[TaskDict]: ...
    @overload
    def crawl(self, url: None, callback: Callback = None, **kwargs: Unpack[CrawlArgs]) -> None: ...
    def crawl(
        self, url: str | Iterable[str] | None, callback: Callback = None, **kwargs: Any
    ) -> TaskDict | list[TaskDict] | None:
        """Asks for ``url`` to be crawled; returns the task, or a list of tasks for several URLs [H40-H56].

        A relative URL is resolved against the page at hand; ``None`` (there is no next page) is left out. Explicit
        arguments win over the callback's ``@config``, and that over ``crawl_config``, also key by key inside dicts.
        Raises :class:`TypeError` for an unknown argument, :class:`InvalidTask` for a wrong value,
        :class:`NotImplementedError` for an unknown callback.
        """
        if not kwargs and type(url) is str:
            plan = self._plans.get(callback)
            if plan is None:
                plan = self._plan_for(callback)
            if plan.simple:
                return self._take(url, plan)
        if url is None:
            return None
        if not isinstance(url, str):
            return [self.crawl(each, callback, **kwargs) for each in _urls(url)]
        return self._crawl(str.__str__(url), callback, kwargs)

    def send_message(self, project: str, msg: Any, url: str = "data:,on_message") -> None:
        """Gives ``msg`` (JSON-able) to a project's ``on_message``, as a task of that project [H18].

        ``url`` is what the results of ``on_message`` are filed under; it is not fetched.
        """
        if not isinstance(project, str) or not project:
            raise TypeError("send_message(): name the project that is to receive the message")
        self._collected().message(project, msg, "" if url == "data:,on_message" else url)

    def fetch(self, url: str, **kwargs: Any) -> Any:
        """Awaiting a response inside a callback is not supported yet; raises :class:`NotImplementedError`."""
        raise NotImplementedError("self.fetch() is not supported yet; use self.crawl(url, callback=...)")

    def get_taskid(self, task: TaskDict) -> str:
        """The identity of ``task``; override to let URLs that differ be one task, or one URL be several [H16].

        The default is the md5 of the URL for a GET without a body, else of (URL, method, body).
        """
        fetch = task.get("fetch") or {}
        body = fetch.get("data")
        return taskid_of(task["url"], fetch.get("method"), body.encode() if isinstance(body, str) else body)

    def is_debugger(self) -> bool:
        """Whether this is a run of the web UI's debugger [H17]."""
        return self._debugger

    # ---- what a script may override

    def on_message(self, project: str, msg: Any) -> Any:
        """Called with what another project sent; ``__command__`` is the command line [H19]."""

    def on_result(self, result: Any) -> None:
        """Called with each result; the default keeps what is not empty. Call it to keep a changed one [H20]."""
        if result:
            self._collected().result(result)

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
        )

    # ---- how it is done

    def _collected(self) -> Collector:
        if self._collector is None:
            raise RuntimeError("this works only inside a callback, while the project runs")
        return self._collector

    def _begin(self, collector: Collector, response: Response, task: TaskDict, save: dict[str, Any]) -> None:
        """The runner is about to call a callback."""
        self._collector = collector
        self._joiner = None
        self.response, self.task, self.save = response, task, save
        if self._planned_for != self.crawl_config:
            self._plans = {}
            self._planned_for = dict(self.crawl_config)

    def _end(self) -> None:
        self._collector = self._joiner = None
        self.response = self.task = self.save = None  # type: ignore[assignment]

    def _plan_for(self, callback: Callback) -> _Plan:
        self._collected()
        plan = _Plan(self._joined_args(callback, {}))
        if len(self._plans) < _MAX_PLANS:
            self._plans[callback] = plan
        return plan

    def _joined_args(self, callback: Callback, explicit: Mapping[str, Any]) -> dict[str, Any]:
        args: Mapping[str, Any] = explicit
        name, function = self._callback(callback)
        noted = getattr(function, "_config", None)
        if noted:
            args = crawl_args.joined(noted, explicit)
        defaults = {n: v for n, v in self.crawl_config.items() if n in SCHEDULE_FIELDS}
        args = crawl_args.joined(defaults, args)
        args.pop("callback", None)
        if name is not None:
            args["callback"] = name
        return args

    def _callback(self, callback: Callback) -> tuple[str | None, Any]:
        """The callback's name and function [H41]."""
        if callback is None:
            return None, getattr(self, "__call__", None)  # noqa: B004 - looked up for its marks
        name = callback if isinstance(callback, str) else getattr(callback, "__name__", None)
        found = getattr(self, name, None) if isinstance(name, str) and name else None
        if not callable(found):
            raise NotImplementedError(f"self.{name or callback!r}() not implemented!")
        return name, found

    def _crawl(self, url: str, callback: Callback, kwargs: dict[str, Any]) -> TaskDict:
        crawl_args.check_names(kwargs)
        args = self._joined_args(callback, kwargs)
        params = args.get("params")
        return self._take(with_params(url, params) if params else url, _Plan(args), args.get("taskid"))

    def _take(self, url: str, plan: _Plan, taskid: str | None = None) -> TaskDict:
        collector = self._collector
        if collector is None:
            collector = self._collected()
        url = task_url(url) or "/"
        if not url.startswith(_HTTP) and not has_scheme(url):
            if url.startswith("curl "):
                raise InvalidTask("url", "curl command strings are not supported yet; give the URL and its arguments")
            url = self._resolved(url)
        if len(url) > MAX_URL:
            raise InvalidTask("url", f"is {len(url):,} characters, over the limit of {MAX_URL:,}")
        project = self.project_name
        if taskid is None and self._own_taskid and plan.simple:
            taskid = taskid_of(url)
            shown = plan.shown(project, taskid, url)
        else:
            shown = plan.shown(project, taskid or "", url)
            if taskid is None:
                taskid = self.get_taskid(shown)
            taskid = shown["taskid"] = checked_taskid(taskid)
        collector.follow(taskid, Task(project, taskid, url, plan.schedule, plan.fetch, plan.process), plan.plain)
        return shown

    def _resolved(self, url: str) -> str:
        """A relative ``url`` against the page at hand; as it is when there is no page."""
        if self._joiner is None:
            self._joiner = Joiner(self.response.base_url)
        joined = self._joiner.join(url)
        return url if joined is None else task_url(joined)


BaseHandler._own_taskid = True


def _urls(urls: Iterable[str | None]) -> Iterable[str]:
    if isinstance(urls, bytes) or not isinstance(urls, Iterable):
        raise TypeError(f"crawl(): the URL is text or several of it, not {type(urls).__name__}")
    for url in urls:
        if url is None:
            continue
        if not isinstance(url, str):
            raise TypeError(f"crawl(): a URL is text, not {type(url).__name__}")
        yield url


def checked_taskid(taskid: Any) -> str:
    """``taskid`` [H53], as its md5 when it is longer than a taskid can be; raises :class:`InvalidTask`."""
    if not isinstance(taskid, str) or not taskid or "\0" in taskid:
        raise InvalidTask("taskid", f"{taskid!r:.80}: use text of 1 to {MAX_TASKID} characters")
    return str.__str__(taskid) if len(taskid) <= MAX_TASKID else taskid_of(taskid)


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
    known = crawl_args.normalised(values)
    crawl_args.parts_of(known)
    try:
        return {name: v if isinstance(v, bytes) else jsonable(v, name) for name, v in known.items()}
    except NotJSON as error:
        raise InvalidTask(f"crawl_config.{error.path}", error.problem) from None
