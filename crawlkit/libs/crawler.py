"""What a call of ``self.crawl`` comes to: a follow-up with a taskid, or an error in words.

Collects only. It is called twenty times a page: what does not change from call to call is worked out once.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from crawlkit.libs import crawl_args
from crawlkit.libs.collector import Collector
from crawlkit.libs.crawl_args import SCHEDULE_FIELDS, curl_args, is_curl
from crawlkit.libs.errors import InvalidTask
from crawlkit.libs.task import MAX_TASKID, MAX_URL, Task, md5, taskid_of
from crawlkit.libs.url import Joiner, begins_with_host, has_scheme, is_plain, task_url, with_params

if TYPE_CHECKING:
    from crawlkit.libs.base_handler import BaseHandler
    from crawlkit.libs.response import Response

TaskDict = dict[str, Any]
Callback = str | Callable[..., Any] | None
NOT_AWAITABLE = (
    "self.fetch() works only inside an async callback (async def ...: await self.fetch(url));"
    " use self.crawl(url, callback=...)"
)
OUTSIDE = "this works only inside a callback, while the project runs"
_MAX_PLANS = 500
_HTTP = ("http://", "https://")
_MAYBE_CURL = frozenset("c \t\r\n")
_SHAPE = {"project", "taskid", "url", "schedule", "fetch", "process"}


class Fetches(Protocol):
    """What makes requests for a callback that waits for the answer."""

    def fetch(self, task: Task) -> Coroutine[Any, Any, Response]:
        """``task.taskid`` says which request it is."""


class _Plan:
    """What ``self.crawl(url, callback=x)`` comes to when nothing else is said; made once per callback."""

    __slots__ = ("_fetch", "_process", "_schedule", "fetch", "plain", "process", "quick", "schedule", "simple")

    def __init__(self, args: Mapping[str, Any], own_taskid: bool = False) -> None:
        """``own_taskid``: the handler leaves ``get_taskid`` as it is."""
        self.schedule, self.fetch, self.process = crawl_args.parts_of(args)
        self.plain = crawl_args.is_plain(self.schedule)
        self.simple = not args.get("params") and not args.get("taskid")
        fetch = self.fetch
        if fetch is not None and (fetch.data is not None or fetch.method not in (None, "GET") or fetch.download):
            self.simple = False
        self.quick = self.simple and own_taskid
        """Whether the URL alone makes the taskid."""
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


class Crawler:
    """Does the work of a handler's ``crawl`` for one run after the other."""

    __slots__ = (
        "_joiner",
        "_own_taskid",
        "_planned_for",
        "_plans",
        "_project",
        "collector",
        "fetches",
        "handler",
        "has_save",
        "response",
    )

    def __init__(self, handler: BaseHandler) -> None:
        """Puts itself into ``handler``."""
        from crawlkit.libs.base_handler import BaseHandler

        self.handler = handler
        self.collector: Collector | None = None
        self.response: Response | None = None
        self.fetches: Fetches | None = None
        """There is one while an async callback runs."""
        self._joiner: Joiner | None = None
        self._plans: dict[Any, _Plan] = {}
        self._planned_for: dict[str, Any] | None = None
        self._project = handler.project_name
        self.has_save = not hasattr(type(handler), "save")
        """Whether ``save`` of the handler is ours: a script may have a method of that name."""
        # Asked of the object, so that a get_taskid set in __init__ counts
        asked = getattr(handler.get_taskid, "__func__", None)
        self._own_taskid = asked is BaseHandler.get_taskid
        handler._crawlkit = self

    def begin(self, collector: Collector, response: Response, task: TaskDict, save: dict[str, Any]) -> None:
        """A callback is about to be called: what it asks for goes to ``collector`` [H13]."""
        handler = self.handler
        self.collector, self.response, self._joiner = collector, response, None
        handler.response, handler.task = response, task
        if self.has_save:
            handler.save = save
        if self._planned_for != handler.crawl_config:
            self._plans = {}
            self._planned_for = dict(handler.crawl_config)

    def end(self) -> None:
        """The callback is over."""
        self.collector = self.response = self._joiner = None
        handler = self.handler
        handler.response = handler.task = None  # type: ignore[assignment]
        if self.has_save:
            handler.save = None  # type: ignore[assignment]

    def crawl(self, url: str, callback: Callback, kwargs: dict[str, Any]) -> TaskDict | list[TaskDict]:
        """One follow-up, or those of a curl command; raises as :meth:`BaseHandler.crawl` says."""
        if not kwargs:
            quick = self._plans.get(callback)
            if quick is not None and quick.quick and is_plain(url) and len(url) <= MAX_URL:
                return self._take_plain(url, quick)
        if url[:1] in _MAYBE_CURL and is_curl(url):
            urls, said = curl_args(url)
            asked = [self._said(each, callback, crawl_args.joined(said, kwargs)) for each in urls]
            return asked if len(asked) > 1 else asked[0]
        if not kwargs:
            plan = self._plans.get(callback)
            if plan is None:
                plan = self._plan_for(callback)
            if plan.simple:
                return self._take(url, plan)
        return self._said(url, callback, kwargs)

    def _said(self, url: str, callback: Callback, kwargs: dict[str, Any]) -> TaskDict:
        """One follow-up of which something is said that is worked out anew."""
        crawl_args.check_names(kwargs)
        args = self._joined_args(callback, kwargs)
        params = args.get("params")
        return self._take(with_params(url, params) if params else url, _Plan(args), args.get("taskid"))

    def callback_name(self, callback: Callback) -> str | None:
        """The callback's name; raises :class:`NotImplementedError` when there is no such one."""
        return self._callback(callback)[0]

    def fetch(self, url: str, kwargs: Mapping[str, Any]) -> Coroutine[Any, Any, Response]:
        """A request whose answer the callback awaits; raises as ``crawl`` does."""
        if self.fetches is None:
            raise RuntimeError(NOT_AWAITABLE)
        if not isinstance(url, str):
            raise TypeError(f"fetch(): the URL is text, not {type(url).__name__}")
        crawl_args.check_names(kwargs, "fetch", crawl_args.KNOWN_TO_FETCH)
        if is_curl(url):
            urls, said = curl_args(url)
            if len(urls) > 1:
                raise TypeError("fetch(): one URL at a time; use asyncio.gather for several")
            url, kwargs = urls[0], crawl_args.joined(said, kwargs)
        if kwargs.get("params"):
            url = with_params(url, kwargs["params"])
        url = task_url(str.__str__(url)) or "/"
        if not has_scheme(url):
            url = self._resolved(url)
        if len(url) > MAX_URL:
            raise too_long(url)
        crawl_args.check_fetch_type(kwargs, self.handler.crawl_config)
        schedule, fetch, _ = crawl_args.parts_of(kwargs)
        method, body = (fetch.method, fetch.data) if fetch is not None else (None, None)
        return self.fetches.fetch(Task(self._project, taskid_of(url, method, body), url, schedule, fetch))

    def _plan_for(self, callback: Callback) -> _Plan:
        plan = _Plan(self._joined_args(callback, {}), self._own_taskid)
        if len(self._plans) < _MAX_PLANS:
            self._plans[callback] = plan
        return plan

    def _joined_args(self, callback: Callback, explicit: Mapping[str, Any]) -> dict[str, Any]:
        args: Mapping[str, Any] = explicit
        name, function = self._callback(callback)
        noted = getattr(function, "_config", None)
        if noted:
            args = crawl_args.joined(noted, explicit)
        defaults = {n: v for n, v in self.handler.crawl_config.items() if n in SCHEDULE_FIELDS}
        args = crawl_args.joined(defaults, args)
        args.pop("callback", None)
        crawl_args.check_fetch_type(args, self.handler.crawl_config)
        if name is not None:
            args["callback"] = name
        return args

    def _callback(self, callback: Callback) -> tuple[str | None, Any]:
        """The callback's name and function [H41]."""
        if callback is None:
            return None, getattr(self.handler, "__call__", None)  # noqa: B004 - looked up for its marks
        name = callback if isinstance(callback, str) else getattr(callback, "__name__", None)
        found = getattr(self.handler, name, None) if isinstance(name, str) and name else None
        if not callable(found):
            raise NotImplementedError(f"self.{name or callback!r}() not implemented!")
        return name, found

    def _take(self, url: str, plan: _Plan, taskid: str | None = None) -> TaskDict:
        collector = self.collector
        if collector is None:
            raise RuntimeError(OUTSIDE)
        url = task_url(url) or "/"
        if not url.startswith(_HTTP) and not has_scheme(url):
            url = self._resolved(url)
        if len(url) > MAX_URL:
            raise too_long(url)
        project = self._project
        if taskid is None and self._own_taskid and plan.simple:
            taskid = taskid_of(url)
            shown = plan.shown(project, taskid, url)
        else:
            shown = plan.shown(project, taskid or "", url)
            if taskid is None:
                taskid = self.handler.get_taskid(shown)
            taskid = shown["taskid"] = checked_taskid(taskid)
        collector.follow(taskid, Task(project, taskid, url, plan.schedule, plan.fetch, plan.process), plan.plain)
        return shown

    def _take_plain(self, url: str, plan: _Plan) -> TaskDict:
        """What :meth:`_take` comes to for an absolute URL in its form and a plan of which nothing is left to ask.

        Most links of most pages come here: nothing is called that can be said in place.
        """
        collector = self.collector
        if collector is None:
            raise RuntimeError(OUTSIDE)
        project = self._project
        taskid: str = md5(url.encode()).hexdigest()
        collector.follow(taskid, Task(project, taskid, url, plan.schedule, plan.fetch, plan.process), plan.plain)
        return {
            "project": project,
            "taskid": taskid,
            "url": url,
            "schedule": plan._schedule.copy(),
            "fetch": plan._fetch.copy(),
            "process": plan._process.copy(),
        }

    def _resolved(self, url: str) -> str:
        """A relative ``url`` against the page at hand; when there is none, a host's name gets ``http://``."""
        if self._joiner is None:
            self._joiner = Joiner(self.response.base_url if self.response is not None else "")
        joined = self._joiner.join(url)
        if joined is None:
            return task_url("http://" + url) if begins_with_host(url) else url
        return task_url(joined)


def is_asked(value: Any, project: str) -> bool:
    """Whether ``value`` is what ``crawl`` returned, one task or a list of them.

    Told by its shape: a type of its own would make each of the many calls dearer.
    """
    if type(value) is list:
        return bool(value) and all(type(each) is dict and is_asked(each, project) for each in value)
    return type(value) is dict and len(value) == 6 and value.keys() == _SHAPE and value["project"] == project


def too_long(url: str) -> InvalidTask:
    return InvalidTask("url", f"is {len(url):,} characters, over the limit of {MAX_URL:,}")


def urls_of(urls: Iterable[str | None]) -> Iterable[str]:
    if isinstance(urls, bytes) or not isinstance(urls, Iterable):
        raise TypeError(f"crawl(): the URL is text or several of it, not {type(urls).__name__}")
    for url in urls:
        if url is None:
            continue
        if not isinstance(url, str):
            raise TypeError(f"crawl(): a URL is text, not {type(url).__name__}")
        yield str.__str__(url)


def checked_taskid(taskid: Any) -> str:
    """``taskid`` [H53], as its md5 when it is longer than a taskid can be; raises :class:`InvalidTask`."""
    if not isinstance(taskid, str) or not taskid or "\0" in taskid:
        raise InvalidTask("taskid", f"{taskid!r:.80}: use text of 1 to {MAX_TASKID} characters")
    return str.__str__(taskid) if len(taskid) <= MAX_TASKID else taskid_of(taskid)
