"""``crawlkit submit`` and ``crawlkit send_message``: hand work to a running scheduler.

A file of a million lines goes through in batches, in flat memory; a URL counts as accepted only once it is committed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import click

from crawlkit.cli.base import command, option, say, settings_of
from crawlkit.libs.errors import InvalidTask, ServiceUnreachable, StoreUnavailable, UsageError
from crawlkit.settings import Settings

BATCH = 500
MAX_LINE = 128 * 1024  # bytes
SHOWN = 100  # refused lines shown one by one; the rest is counted
RETRY_FOR = 60.0  # seconds to wait for a scheduler that went away in the middle
RPC = "Address of a running scheduler.  [default: found in the data path]"

FETCHED = frozenset({"http", "https", "data"})  # schemes of URLs

Item = tuple[int, str]  # line number (0: from the command line), text


@dataclass
class Tally:
    """What became of the lines."""

    total: int = 0
    new: int = 0
    known: int = 0
    refused: int = 0
    shown: int = 0
    report: Callable[[str], None] = field(default=say, repr=False)

    def refuse(self, number: int, text: str, reason: str) -> None:
        self.refused += 1
        if self.shown < SHOWN:
            self.shown += 1
            place = f"line {number}: " if number else ""
            shown = text[:200].encode("utf-8", "backslashreplace").decode()
            self.report(f"{place}{shown}: refused: {reason}")
            if self.shown == SHOWN:
                self.report("further refused lines are only counted")


@command(
    name="submit",
    example="crawlkit submit quotes https://quotes.toscrape.com/page/2/\ncrawlkit submit quotes -f urls.txt",
)
@click.argument("project")
@click.argument("urls", nargs=-1)
@option("-f", "--file", "files", multiple=True, type=click.Path(path_type=Path, allow_dash=True),
        help="A file with one URL a line, or one JSON object {\"url\": ..., ...}; - is standard input.")  # fmt: skip
@option("--callback", default="index_page", show_default=True, help="The method that gets the page.")
@option("--priority", type=int, help="Higher goes first.")
@option("--age", type=float, help="Seconds a crawled page stays fresh; 0: crawl it again.")
@option("--itag", help="Crawl a known page again when this differs from its last one.")
@option("--exetime", type=float, help="Not before this Unix time.")
@option("--force-update", is_flag=True, help="Crawl again what is known.")
@option("--scheduler-rpc", metavar="URL", help=RPC)
@click.pass_context
def submit(ctx: click.Context, /, project: str, urls: tuple[str, ...], files: tuple[Path, ...], **options: Any) -> int:
    """Submit URLs to PROJECT. Exits 1 when a line was refused."""
    from crawlkit import wiring

    if not urls and not files:
        raise UsageError("nothing to submit: give URLs, or a file with -f")
    for path in files:
        if str(path) != "-" and not path.is_file() and not path.is_fifo():
            raise UsageError(f"{path}: {'is a folder' if path.is_dir() else 'No such file or directory'}")
    client = wiring.control_client(settings_of(ctx), options.pop("scheduler_rpc"))
    callback = options.pop("callback")
    schedule = {name: value for name, value in options.items() if value is not None and value is not False}
    defined = _callbacks(settings_of(ctx), project)
    tally = Tally()
    try:
        for source in (_arguments(urls), *(_lines(path) for path in files)):
            with closing(source):
                submit_all(client.submit, source, tally, project, callback, schedule, defined)
    finally:
        say(
            f"{tally.total} {'line' if tally.total == 1 else 'lines'}: {tally.new + tally.known} accepted "
            f"({tally.new} to be crawled, {tally.known} known already), {tally.refused} refused"
        )
    return 1 if tally.refused else 0


def _callbacks(settings: Settings, project: str) -> frozenset[str] | None:
    """The names of methods that the stored script has; None when that cannot be told here."""
    from crawlkit import wiring
    from crawlkit.cli.loading import callbacks_of

    try:
        with wiring.open_stores(settings, ("projectdb",)) as stores:
            row = stores.projectdb.get(project)
    except (UsageError, StoreUnavailable):  # the scheduler may be elsewhere, with its stores
        return None
    return callbacks_of(row.script) if row is not None and row.script else None


def _arguments(urls: Iterable[str]) -> Generator[Item, None, None]:
    for url in urls:
        yield 0, url


def _lines(path: Path) -> Generator[Item, None, None]:
    """Lines that say something, with their numbers."""
    if str(path) == "-":
        yield from _read(sys.stdin.buffer)
        return
    try:
        file = path.open("rb")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    with file:
        yield from _read(file)


def _read(file: BinaryIO) -> Iterator[Item]:
    number = 0
    while line := file.readline(MAX_LINE):
        number += 1
        whole = line
        while not whole.endswith(b"\n") and (whole := file.readline(MAX_LINE)):
            pass  # the rest of a line without end is not kept: what is there already is too long for a URL
        text = line.decode("utf-8-sig" if number == 1 else "utf-8", "surrogateescape").strip()
        if text and not text.startswith("#"):
            yield number, text


def submit_all(
    send: Callable[[list[dict[str, Any]]], list[dict[str, Any]]],
    items: Iterable[Item],
    tally: Tally,
    project: str,
    callback: str,
    schedule: dict[str, Any],
    defined: frozenset[str] | None = None,
) -> None:
    """Sends ``items`` in batches and writes what became of each into ``tally``."""
    iterator = iter(items)
    while batch := list(islice(iterator, BATCH)):
        tally.total += len(batch)
        tasks: list[dict[str, Any]] = []
        sent: list[Item] = []
        for number, text in batch:
            try:
                task = task_of(text, project, callback, schedule)
                if defined is not None and task["process"]["callback"] not in defined:
                    wrong = task["process"]["callback"]
                    raise InvalidTask("task.process.callback", f"the script of {project} has no method {wrong}")
                tasks.append(task)
                sent.append((number, text))
            except InvalidTask as error:
                tally.refuse(number, text, str(error))
        if not tasks:
            continue
        for (number, text), answer in zip(sent, _send(send, tasks), strict=True):
            if not answer.get("accepted"):
                tally.refuse(number, text, str(answer.get("reason") or answer.get("verdict")))
            elif answer.get("verdict") in ("new", "restart", "update", "postpone"):
                tally.new += 1
            else:
                tally.known += 1


def _send(
    send: Callable[[list[dict[str, Any]]], list[dict[str, Any]]], tasks: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """One batch. A scheduler that goes away in the middle is waited for: a batch that comes twice does no harm."""
    deadline = time.monotonic() + RETRY_FOR
    pause = 0.2
    while True:
        try:
            return send(tasks)
        except ServiceUnreachable:
            if time.monotonic() > deadline:
                raise
            time.sleep(pause)
            pause = min(pause * 2, 5.0)


def task_of(text: str, project: str, callback: str, schedule: dict[str, Any]) -> dict[str, Any]:
    """A line as a task, checked. Raises :class:`InvalidTask`."""
    from crawlkit.libs.task import task_from_dict, taskid_of
    from crawlkit.libs.url import has_scheme, task_url

    if not _is_text(text):
        raise InvalidTask("task.url", "is not UTF-8 text")
    task: dict[str, Any] = _object(text) if text.startswith("{") else {"url": text}
    url = task.get("url")
    if not isinstance(url, str) or not url:
        raise InvalidTask("task.url", "is missing")
    task["url"] = url = task_url(url)
    if not has_scheme(url):
        raise InvalidTask("task.url", "is not absolute; begin it with http:// or https://")
    if url.partition(":")[0].lower() not in FETCHED:
        raise InvalidTask("task.url", f"{url.partition(':')[0]}: cannot be fetched; use http:// or https://")
    task["project"] = project
    task["process"] = {"callback": callback, **task.get("process", {})}
    merged = {**schedule, **task.get("schedule", {})}
    if merged:
        task["schedule"] = merged
    given = task.setdefault("taskid", "-")
    checked = task_from_dict(task)
    if given == "-":
        fetch = checked.fetch
        task["taskid"] = taskid_of(url, fetch.method, fetch.data) if fetch is not None else taskid_of(url)
    return task


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


#: What a line of JSON may hold as well, since `crawlkit tasks` prints it; it says nothing about a new task.
PRINTED = frozenset(
    {"project", "status", "run", "retried", "results", "lastcrawltime", "updatetime", "reason", "exception"}
)
PARTS = ("schedule", "fetch", "process")


def _object(text: str) -> dict[str, Any]:
    """A line of JSON: ``url``, arguments of self.crawl, and whole parts as `crawlkit tasks` prints them."""
    import json

    import msgspec

    from crawlkit.libs.crawl_args import check_names, parts_of
    from crawlkit.webui.masks import masked_at

    try:
        value = json.loads(text)
    except ValueError as error:
        raise InvalidTask("task", f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvalidTask("task", "not a JSON object")
    for name in PARTS:
        if not isinstance(value.get(name, {}), dict):
            raise InvalidTask(f"task.{name}", "is not an object")
    masked = masked_at(value.get("fetch"))
    if masked is not None:
        raise InvalidTask(f"task.{masked}", "is masked, as tasks are printed; write the value itself, or leave it out")
    task = {key: value[key] for key in ("url", "taskid") if value.get(key) is not None}
    said = {key: part for key, part in value.items() if key not in PRINTED and key not in (*PARTS, *task)}
    try:
        check_names(said)
        parts = dict(zip(PARTS, map(msgspec.to_builtins, parts_of(said)), strict=True))
    except TypeError as error:
        raise InvalidTask("task", str(error).replace("crawl() got", "has")) from None
    for name in PARTS:
        merged = {**(parts[name] or {}), **value.get(name, {})}
        if merged:
            task[name] = merged
    return task


@command(name="send_message", example="crawlkit send_message quotes 'refresh now'")
@click.argument("project")
@click.argument("message")
@option("--scheduler-rpc", metavar="URL", help=RPC)
@click.pass_context
def send_message(ctx: click.Context, /, project: str, message: str, scheduler_rpc: str | None) -> None:
    """Send MESSAGE to on_message of PROJECT."""
    from crawlkit import wiring

    answer = wiring.control_client(settings_of(ctx), scheduler_rpc).send_message(project, message)
    if not answer.get("accepted"):
        raise UsageError(f"project {project}: message refused: {answer.get('reason')}")
    say(f"project {project}: message accepted")
