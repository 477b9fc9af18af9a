"""One step: a task is fetched, or was before, and the callback of a script that need not be saved runs on it.

The order of a real round, with nothing stored, sent or counted: what the scheduler, the fetcher and the processor would
do is done here by their own code. Runs on the debugger's loop.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from crawlkit.fetcher.browser_client import BROWSER_TYPES, wants_files
from crawlkit.fetcher.fetch import Fetcher
from crawlkit.fetcher.hops import Hop, watching
from crawlkit.libs.auto import AUTO, BROWSER, SETTLED, Auto, first_order
from crawlkit.libs.browse import Browse
from crawlkit.libs.crawl_config import config_parts, join
from crawlkit.libs.errors import BadMessage, CrawlkitError, InvalidTask
from crawlkit.libs.messages import (
    AWAIT,
    AWAIT_CALLBACK,
    INFO,
    MAX_INLINE_BODY,
    NIL,
    PREPARE,
    RESUME,
    TASK,
    Await,
    Dispatch,
    Fetched,
    ProjectInfo,
    TrackProcess,
    encode,
)
from crawlkit.libs.task import NO_FETCH, NO_PROCESS, Fetch, JSONDict, Process, Task
from crawlkit.processor import frames, records
from crawlkit.processor.auto_trial import by
from crawlkit.processor.masking import Mask
from crawlkit.webui.debug import answer as answers
from crawlkit.webui.debug.gathered import Gathered
from crawlkit.webui.debug.json_sources import propose
from crawlkit.webui.debug.run import FETCHING, RUNNING, STARTING, Run
from crawlkit.webui.debug.tasks import Mistake, dispatch_of, read_task, task_json
from crawlkit.webui.debug.workers import DebugWorker, Died

if TYPE_CHECKING:
    from crawlkit.webui.debug.engine import Given, Tools

_INTERNAL = ("data:,on_", "data:,_on_")  # the scheduler's own tasks: nothing is fetched for them
AWAITS_AT_ONCE = 8
LOOK = 0.3  # seconds between looks at how much of a page has come
_BLOB = "page"  # what the body of a page is called that is too large for a message


class Failed(Exception):
    """The step ends here, with this error."""

    def __init__(self, error: JSONDict, logs: str = "") -> None:
        super().__init__(error["message"])
        self.error, self.logs = error, logs


@dataclass
class StepRequest:
    """What the user asked for. ``page``: fetched before; the task is not fetched then."""

    script: str
    version: str  # of the script, for messages
    task: JSONDict | str
    page: Fetched | None = None
    page_id: str | None = None
    time_limit: float = 0.0  # 0: the task's, else the debugger's
    heard: Sequence[JSONDict] = ()  # answers to what ``page`` asked its server for when it was rendered


@dataclass
class Step:
    """The course of one step. :meth:`answer` is good at any time, also after a stop."""

    tools: Tools
    run: Run
    request: StepRequest
    given: Given
    dispatch: Dispatch | None = None
    shown: JSONDict = field(default_factory=dict)
    save: JSONDict = field(default_factory=dict)
    hops: list[Hop] = field(default_factory=list)
    fetched: Fetched | None = None
    attachments: dict[str, bytes] = field(default_factory=dict)  # of a browser: screenshot, pdf
    page: str | None = None
    gathered: Gathered | None = None
    error: JSONDict | None = None
    logs: str = ""
    drop: str | None = None
    seconds: float = 0.0
    awaited: list[JSONDict] = field(default_factory=list)
    worker: DebugWorker | None = None
    auto: str = ""  # of fetch_type auto: what fetched it, and why
    heard: Sequence[JSONDict] = ()  # answers to what a rendered page asked its server for
    _records: dict[str, bytes] = field(default_factory=dict)
    _info: ProjectInfo = field(default_factory=ProjectInfo)
    _config: tuple[Fetch | None, Process | None] = (None, None)
    _loading: str = ""  # what loading the script wrote

    def __post_init__(self) -> None:
        self.mask = self.given.mask()
        self.page = self.request.page_id
        self.heard = self.request.heard

    # -- the course --------------------------------------------------------------------------------------------------

    async def course(self) -> None:
        """All of it. Errors of script, task and network are part of the answer; only a stop is raised."""
        try:
            await self._course()
        except Failed as failed:
            self.error, self.logs = failed.error, failed.logs or self.logs
        except Mistake as mistake:
            self.error = answers.error_json("task", mistake.message, line=mistake.line, column=mistake.column)
        except Died as died:
            self._died(died)
        except TimeoutError:
            self.error = answers.error_json("time_limit", f"the whole run took over {self.tools.settings.longest:g} s")
        except (CrawlkitError, InvalidTask) as error:
            self.error = answers.error_json("internal", str(error))
        finally:
            if self.worker is not None:
                self.worker.kill()

    async def _course(self) -> None:
        task, self.save = read_task(self.run.project, self.request.task, self._filled)
        self.shown = task_json(task)
        async with asyncio.timeout(self.tools.settings.longest):
            self.run.tell(STARTING, "starting the script")
            self.worker = await self.tools.workers.open(self.run.project, self._asked)
            self.worker.load(self.given.script(self.request), self.given.settings)
            await self._ask_info()
            dispatch = self.dispatch = self._dispatch(task, TASK)
            if self.request.page is not None:
                self.fetched = msgspec.structs.replace(self.request.page, task=dispatch, jar=None)
            else:
                if dispatch.fetch.fetch_type == AUTO and dispatch.url[:4].lower() == "http":
                    dispatch.auto = first_order(dispatch.fetch)
                    if dispatch.auto.stage == BROWSER:
                        dispatch.fetch = msgspec.structs.replace(dispatch.fetch, fetch_type="js")
                await self._fetch(dispatch)
            if self.fetched is not None:
                await self._callback(self.fetched)
                if self.request.page is None and dispatch.auto is not None:
                    await self._by_browser_if_it_must(dispatch)

    def _filled(self, value: Any) -> Any:
        return self.tools.stand_ins.filled(self.run.owner, value)

    async def _ask_info(self) -> None:
        """Loads the script, and asks the handler what holds for all of its tasks [S06]."""
        task = Task(self.run.project, "_on_get_info", "data:,_on_get_info", process=Process(callback="_on_get_info"))
        gathered = await self._run(Fetched(self._dispatch(task, INFO), 200, task.url, task.url, [], {}, 0.0))
        outcome = gathered.last
        process = outcome.process if outcome is not None else None
        self._loading = (process.logs if process is not None else None) or ""
        if outcome is None or not outcome.ok:
            raise self._failure(process)
        if outcome.info != NIL:
            self._info = msgspec.msgpack.decode(outcome.info, type=ProjectInfo)
        try:
            self._config = config_parts(self._info.crawl_config)
        except InvalidTask as error:
            raise Failed(answers.error_json("script", f"crawl_config: {error}")) from None

    def _dispatch(self, task: Task, kind: int) -> Dispatch:
        joined = msgspec.structs.replace(
            task,
            fetch=join(task.fetch or NO_FETCH, self._config[0]),
            process=join(task.process or NO_PROCESS, self._config[1]),
        )
        time_limit = self.request.time_limit
        return dispatch_of(joined, kind=kind, version=self.request.version, group=self.given.group, save=self.save,
                           time_limit=time_limit)  # fmt: skip

    async def _run(self, fetched: Fetched, on_part: Callable[[Gathered], None] | None = None) -> Gathered:
        assert self.worker is not None
        self._records[_BLOB] = fetched.content
        return await self.worker.run(_sendable(fetched), on_part)

    # -- fetching ----------------------------------------------------------------------------------------------------

    async def _fetch(self, dispatch: Dispatch) -> None:
        """The page, kept for the next time; without one the callback gets the error, as in a real run."""
        if not await self._prepare(dispatch):
            return
        internal = dispatch.url[:5].lower() == "data:"
        self.run.tell(RUNNING if internal else FETCHING, "" if internal else f"fetching {dispatch.url}")
        with watching() as self.hops:
            work = asyncio.create_task(self._fetch_one(dispatch))
        try:
            while not (await asyncio.wait([work], timeout=LOOK))[0]:
                self._tell_fetch(dispatch.url)
            fetched = self.fetched = work.result()
        finally:
            work.cancel()
        self.run.tell(FETCHING, "", bytes=len(fetched.content))
        if not internal and (fetched.error_kind is None or fetched.content):
            self.page = self.tools.keep(self.run.owner, fetched, self.heard)

    def _tell_fetch(self, url: str) -> None:
        """How much has come, when something has."""
        hop = self.hops[-1] if self.hops else None
        came = hop.received() if hop is not None and hop.received is not None else 0
        if came != self.run.progress["bytes"]:
            self.run.tell(FETCHING, f"fetching {url}: {came / 1024:,.0f} KiB", bytes=came)

    async def _by_browser_if_it_must(self, dispatch: Dispatch) -> None:
        """``fetch_type="auto"``: what the plain page did not give may come by the browser, as in a real crawl."""
        plain, outcome = self.fetched, self.gathered.last if self.gathered is not None else None
        said = outcome.auto if outcome is not None else None
        if plain is None or said is None or not said.asks or dispatch.auto is None:
            self.auto = "" if said is None or dispatch.auto is None else by(dispatch.auto, said)
            return
        why = f"browser: {said.why}"
        dispatch.auto = Auto(BROWSER, why, kind=said.kind, tokens=said.tokens, seen=said.seen)
        dispatch.fetch = msgspec.structs.replace(dispatch.fetch, fetch_type="js")
        self._records.clear()
        self.awaited = []
        await self._fetch(dispatch)
        if self.fetched is None:
            return
        await self._callback(self.fetched)
        outcome = self.gathered.last if self.gathered is not None else None
        said = outcome.auto if outcome is not None else None
        if said is None or not said.asks:
            self.auto = why if said is None else by(dispatch.auto, said)
            return
        # nothing of the browser's page counts: the plain one is taken
        self.auto = "plain: there is no browser service" if said.absent else said.why
        dispatch.auto = Auto(SETTLED, self.auto)
        self.fetched = msgspec.structs.replace(plain, task=dispatch)
        self.page = self.tools.keep(self.run.owner, self.fetched, self.heard)
        await self._callback(self.fetched)

    async def _prepare(self, dispatch: Dispatch) -> bool:
        """Runs ``before_request``, if there is one; whether there is anything to fetch after it."""
        if not self._info.has_before_request or dispatch.url.startswith(_INTERNAL):
            return True
        kind, dispatch.kind = dispatch.kind, PREPARE
        gathered = await self._run(Fetched(dispatch, 0, dispatch.url, dispatch.url, [], {}, 0.0))
        dispatch.kind = kind
        outcome = gathered.last
        assert outcome is not None
        if outcome.drop is not None:
            self.drop = outcome.drop
            return False
        if not outcome.ok or outcome.prepared == NIL:
            raise self._failure(outcome.process)
        dispatch.fetch = msgspec.msgpack.decode(outcome.prepared, type=Fetch)
        return True

    async def _fetch_one(self, dispatch: Dispatch) -> Fetched:
        """One request by the fetcher's own code; cookies of a named session are the user's own."""
        session = dispatch.fetch.session
        if session is not None:
            dispatch.jar = self.tools.jar(self.run.owner, self.run.project, session)
        asked = dispatch.fetch
        listens = asked.fetch_type in BROWSER_TYPES and (asked.browser is None or asked.browser.xhr is None)
        if listens:  # for what the page asks its server for: the callback is not shown it
            browse = msgspec.structs.replace(asked.browser or Browse(), xhr=["*"])
            dispatch.fetch = msgspec.structs.replace(asked, browser=browse)
        try:
            if asked.download is not None or wants_files(asked):
                fetched = await self._with_files(dispatch)
            else:
                fetched = await self.tools.fetcher.fetch(dispatch)
        finally:
            if listens:
                dispatch.fetch = asked
        if asked.fetch_type in BROWSER_TYPES and fetched.rendered is not None and dispatch.kind == TASK:
            self.heard = fetched.rendered.get("xhr") or []
            if listens:
                fetched.rendered = {name: value for name, value in fetched.rendered.items() if name != "xhr"}
        if session is not None and fetched.jar is not None:
            self.tools.set_jar(self.run.owner, self.run.project, session, fetched.jar)
        return fetched

    async def _with_files(self, dispatch: Dispatch) -> Fetched:
        """Into a folder that is gone afterwards, and not for ever; small files of a browser are kept for the answer."""
        if dispatch.fetch.download is not None:
            most, asked = self.tools.settings.max_download, dispatch.fetch.max_size
            most = most if asked is None else min(asked, most)
            dispatch.fetch = msgspec.structs.replace(dispatch.fetch, max_size=most)
        folder = await asyncio.to_thread(tempfile.mkdtemp, prefix="crawlkit-debug-")
        fetcher = Fetcher(replace(self.tools.fetcher.settings, files_path=folder), self.tools.clock, "debugger")
        try:
            fetched = await fetcher.fetch(dispatch)
            for name in ("screenshot", "pdf"):
                file = (fetched.rendered or {}).get(name)
                if file is not None and file["bytes"] <= self.tools.settings.max_attachment:
                    self.attachments[name] = await asyncio.to_thread(Path(file["path"]).read_bytes)
            return fetched
        finally:
            await fetcher.close()
            await asyncio.to_thread(shutil.rmtree, folder, True)

    # -- the callback ------------------------------------------------------------------------------------------------

    async def _callback(self, fetched: Fetched) -> None:
        """Runs it, and runs it again with what it waited for, until it is through."""
        self.run.tell(RUNNING, f"running {fetched.task.callback or '__call__'}")
        started = fetched
        while True:
            gathered = self.gathered = await self._run(started, self._count)
            outcome = gathered.last
            assert outcome is not None
            if not outcome.awaits:
                break
            if "0" not in self._records:
                self._records["0"] = _record(fetched)
            await self._answer_awaits(outcome.awaits)
            names = sorted(int(name) for name in self._records if name != _BLOB)
            task = msgspec.structs.replace(fetched.task, kind=RESUME)
            recorded = [(number, str(number) if self._records[str(number)] else "") for number in names]
            started = Fetched(task, 0, task.url, task.url, [], {}, 0.0, recorded=recorded)
            self.run.tell(RUNNING, f"running {fetched.task.callback or '__call__'}", awaits=len(self.awaited))
        process = outcome.process
        self.seconds = process.time if process is not None else 0.0
        self.logs = (process.logs if process is not None else None) or ""
        self.drop = outcome.drop

    def _count(self, gathered: Gathered) -> None:
        counts = {
            "follows": gathered.follow_count,
            "results": gathered.result_count,
            "messages": gathered.message_count,
        }
        self.run.tell(RUNNING, self.run.message, **counts)

    async def _answer_awaits(self, awaits: list[Await]) -> None:
        most = self.tools.settings.max_awaits
        if len(self.awaited) + len(awaits) > most:
            raise Failed(answers.error_json("awaits", f"a debug run answers {most} requests of self.fetch at most"))
        gate = asyncio.Semaphore(AWAITS_AT_ONCE)
        ready: list[tuple[Await, Dispatch]] = []
        for one in awaits:
            task = msgspec.msgpack.decode(one.task, type=Task)
            task.project, task.process = self.run.project, Process(callback=AWAIT_CALLBACK)
            dispatch = self._dispatch(task, AWAIT)
            self.run.tell(FETCHING, f"fetching {dispatch.url} for self.fetch")
            if await self._prepare(dispatch):
                ready.append((one, dispatch))
            else:
                self.drop = None
                self._records[str(one.number)] = b""  # nothing comes of a request that was dropped

        async def fetch(one: Await, dispatch: Dispatch) -> None:
            async with gate:
                fetched = await self._fetch_one(dispatch)
            self._records[str(one.number)] = _record(fetched)
            self.awaited.append(_awaited_json(one, fetched))

        await asyncio.gather(*(fetch(one, dispatch) for one, dispatch in ready))
        self.awaited.sort(key=lambda one: int(one["number"]))

    async def _asked(self, what: str, name: str) -> bytes | None:
        """A question of the worker."""
        if what == frames.ASK_SCRIPT:
            return await asyncio.to_thread(self.tools.script_of, name)
        if what == frames.ASK_KEEP:
            return b"0"
        return self._records.get(name)

    # -- the answer --------------------------------------------------------------------------------------------------

    def _failure(self, process: TrackProcess | None) -> Failed:
        if process is None:
            return Failed(answers.error_json("internal", "the script did not answer"))
        logs = process.logs or ""
        message = process.exception or "it failed"
        return Failed(answers.error_of(process.reason or "exception", message, logs, self.run.project), logs)

    def _died(self, died: Died) -> None:
        """The worker's own words are lost; where it was may be known."""
        where = answers.frames_in(died.where or "", self.run.project)
        line = where[0]["line"] if where else None
        self.error = answers.error_json(died.reason, died.text, line=line, frames=list(reversed(where)))
        self.logs = died.where or ""
        self.seconds = died.seconds

    def stopped(self) -> None:
        """Its user stopped it."""
        self.error = answers.error_json("stopped", "you stopped it")
        if self.worker is not None:
            self.worker.kill()

    def _json_sources(self) -> object:
        """Answers to the page's own requests that hold what the callback gave."""
        if self.gathered is None or self.dispatch is None or not self.heard:
            return []
        results = [json.loads(text) for text in self.gathered.results]
        return _masked(self.mask, propose(results, self.heard, self.dispatch.callback))

    def answer(self, now: float) -> JSONDict:
        """The JSON of what is known."""
        mask, project = self.mask.text, self.run.project
        dispatch, fetched = self.dispatch, self.fetched
        whole: JSONDict = {
            "ok": self.error is None, "error": None, "follows": [], "follow_count": 0, "messages": [],
            "message_count": 0, "results": [], "result_count": 0, "save": self.save or None, "drop": None,
            "not_modified": False,
        }  # fmt: skip
        if self.gathered is not None and dispatch is not None:
            whole |= answers.outcome_json(self.gathered, dispatch, self.save, self.logs)
        if self.error is not None:
            whole |= {"ok": False, "error": self.error}
        if self.drop is not None:
            whole["drop"] = self.drop
        logs = self.logs if not self._loading or self._loading == self.logs else self._loading + self.logs
        visible = fetched is not None and not fetched.task.url.startswith(_INTERNAL)
        whole |= {
            "task": self.shown,
            "callback": dispatch.callback if dispatch is not None else None,
            "page": self.page,
            "fetched": self.request.page is None and visible,
            "request": answers.request_json(dispatch, self.hops, mask) if dispatch is not None else None,
            "response": answers.response_json(fetched, self.hops, self.tools.settings, mask, self.attachments)
            if visible and fetched
            else None,
            "auto": mask(self.auto),
            "json_sources": self._json_sources(),
            "logs": mask(logs),
            "log_lines": answers.log_lines(mask(logs), project),
            "awaits": self.awaited,
            "time": {
                "fetch": fetched.time if fetched is not None and self.request.page is None else 0.0,
                "process": self.seconds,
                "total": now - self.run.began,
            },
        }
        self._hide_tasks(whole)
        if whole["error"] is not None:
            whole["error"]["message"] = mask(whole["error"]["message"])
        shown: JSONDict = answers.plain(whole)
        return shown

    def _hide_tasks(self, whole: JSONDict) -> None:
        """Tasks are shown to be run again: stand-ins are in the place of what is secret in them."""
        stand_ins, owner, mask = self.tools.stand_ins, self.run.owner, self.mask
        whole["task"] = stand_ins.hide_task(owner, whole["task"], mask)
        whole["follows"] = [stand_ins.hide_task(owner, follow, mask) for follow in whole["follows"]]
        whole["messages"] = stand_ins.hide(owner, whole["messages"], mask)
        whole["save"] = stand_ins.hide(owner, whole["save"], mask)


def _masked(mask: Mask, value: object) -> object:
    """Every text in ``value`` masked."""
    if isinstance(value, str):
        return mask.text(value)
    if isinstance(value, dict):
        return {name: _masked(mask, inner) for name, inner in value.items()}
    return [_masked(mask, inner) for inner in value] if isinstance(value, list) else value


def _sendable(fetched: Fetched) -> Fetched:
    """A large body does not travel inside the message."""
    if len(fetched.content) <= MAX_INLINE_BODY:
        return fetched
    return msgspec.structs.replace(fetched, content=b"", blob=_BLOB, size=len(fetched.content))


def _record(fetched: Fetched) -> bytes:
    """What a callback that waits is given again."""
    sent = _sendable(fetched)
    try:
        return b"".join(records.pieces(encode(sent), [fetched.content] if sent.blob is not None else []))
    except BadMessage as error:
        raise Failed(answers.error_json("internal", f"{fetched.url}: {error}")) from None


def _awaited_json(one: Await, fetched: Fetched) -> JSONDict:
    line = one.where.rpartition(":")[2]
    known: dict[str, Any] = {"number": one.number, "url": fetched.url, "status": fetched.status_code,
                             "time": fetched.time, "error": fetched.error}  # fmt: skip
    return {**known, "line": int(line) if line.isdigit() else None}
