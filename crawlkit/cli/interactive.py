"""``crawlkit one -i``: a Python prompt beside a running crawl, from which pages are crawled one by one [C40].

The prompt lives in a thread of its own; everything it asks for is done on the crawl's loop.
"""

from __future__ import annotations

import asyncio
import code
import contextlib
import json
import threading
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from crawlkit.cli.base import say
from crawlkit.libs.errors import CrawlkitError, UsageError

if TYPE_CHECKING:
    from crawlkit.cli.crawl import Crawl

T = TypeVar("T")
FIRST = 2**31 - 2  # the priority of what somebody waits for
BANNER = """run(project=None)                      on_start, and everything that follows from it
crawl(url_or_taskid, project=None, ...)  that one page, with the arguments of self.crawl
results(project=None)                  what was found so far
quit_interactive()                     goes on without the prompt; quit_crawlkit() ends all"""


class Prompt:
    """The names at the prompt. Their methods run in the prompt's thread."""

    def __init__(self, crawl: Crawl) -> None:
        self._crawl = crawl
        self._loop = asyncio.get_running_loop()
        self._go_on = False
        self._ended = asyncio.Event()

    async def wait(self) -> bool:
        """Until the user leaves the prompt; True when the crawl is to go on without it."""
        threading.Thread(target=self._interact, name="prompt", daemon=True).start()
        await self._ended.wait()
        return self._go_on

    def _interact(self) -> None:
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401 - gives the prompt a history
        names = {
            "run": self.run,
            "crawl": self.crawl,
            "results": self.results,
            "quit_interactive": self.quit_interactive,
            "quit_crawlkit": self.quit_crawlkit,
            "quit_pyspider": self.quit_crawlkit,
        }
        try:
            code.InteractiveConsole(names).interact(BANNER, exitmsg="")
        except SystemExit:
            pass
        finally:
            self._loop.call_soon_threadsafe(self._ended.set)

    # -- at the prompt -----------------------------------------------------------------------------------------------

    def run(self, project: str | None = None) -> None:
        """Runs on_start of the project and crawls until nothing is left."""
        self._guarded(lambda: self._crawl.run_to_the_end(self._project(project)))

    def crawl(self, url: str, project: str | None = None, **kwargs: Any) -> None:
        """Crawls one page: a URL, or the taskid of a known task; without arguments as it was crawled before."""
        task = self._guarded(lambda: asyncio.to_thread(self._task, self._project(project), url, kwargs))
        if task is not None and self._guarded(lambda: self._crawl.crawl_one(task)):
            self._show(task["project"], task["taskid"])

    def results(self, project: str | None = None) -> list[Any]:
        """All results so far, decoded."""
        rows = self._crawl.stores.resultdb.since(0, 1_000_000, [self._project(project)])
        return [json.loads(row.result) for row in rows]

    def quit_interactive(self) -> None:
        """Leaves the prompt; the crawl goes on to its end."""
        self._go_on = True
        raise SystemExit

    def quit_crawlkit(self) -> None:
        """Leaves the prompt and ends the crawl."""
        raise SystemExit

    # -- helpers -----------------------------------------------------------------------------------------------------

    def _guarded(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T | None:
        """What is wrong is told at the prompt, without a traceback."""
        try:
            return asyncio.run_coroutine_threadsafe(work(), self._loop).result()
        except (CrawlkitError, TypeError) as error:
            say(f"{error}")
            return None

    def _project(self, name: str | None) -> str:
        names = self._crawl.stores.projectdb.names()
        if name is None and len(names) == 1:
            return names[0]
        if name not in names:
            raise UsageError(f"which project? there are {', '.join(names)}")
        return name

    def _task(self, project: str, url: str, kwargs: dict[str, Any]) -> dict[str, Any]:
        import msgspec

        from crawlkit.libs.crawl_args import check_names, parts_of
        from crawlkit.libs.task import taskid_of
        from crawlkit.libs.url import has_scheme, task_url, with_params

        check_names(kwargs)
        callback = kwargs.pop("callback", None)
        if callback is not None:
            kwargs["callback"] = getattr(callback, "__name__", callback)
        taskid = kwargs.pop("taskid", None)
        known = self._crawl.stores.taskdb.get(project, url)
        if known is None and has_scheme(url):
            url = task_url(with_params(url, kwargs.get("params") or ()))
            known = self._crawl.stores.taskdb.get(project, taskid or taskid_of(url))
        elif known is not None:
            url = known.url
        if known is None and not has_scheme(url):
            raise UsageError(f"{url}: neither a URL nor the taskid of a task of {project}")
        schedule, fetch, process = parts_of(kwargs)
        if known is not None and not kwargs:
            schedule, fetch, process = known.schedule, known.fetch, known.process
        task: dict[str, Any] = {"url": url, "project": project}
        for part, value in (("schedule", schedule), ("fetch", fetch), ("process", process)):
            if value is not None:
                task[part] = msgspec.to_builtins(value)
        method, data = (fetch.method, fetch.data) if fetch is not None else (None, None)
        task["taskid"] = taskid or (known.taskid if known is not None else taskid_of(url, method, data))
        task["schedule"] = {**task.get("schedule", {}), "priority": FIRST, "force_update": True, "exetime": 0}
        return task

    def _show(self, project: str, taskid: str) -> None:
        stores = self._crawl.stores
        row = stores.taskdb.get(project, taskid)
        tracks = stores.taskdb.attempts(project, taskid, 1)
        if row is None or not tracks:
            say("not crawled: " + ("it waits for its rate or a pause" if row is not None else "it is gone"))
            return
        track = tracks[0]
        fetch, process = json.loads(track.fetch), json.loads(track.process)
        ending = "ok" if track.ok else f"failed: {process.get('exception') or track.reason}"
        say(f"{fetch.get('status_code')} {row.url}: {ending}, {process.get('follows', 0)} follow-ups")
        if track.ok:
            for result in stores.resultdb.get(project, taskid):
                print(result.result)
