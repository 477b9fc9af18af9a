"""What ``crawlkit bench`` and ``crawlkit chaos`` share: a ``crawlkit all`` after the user's options, apart from what is
theirs."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import click

from crawlkit.cli.base import component_options, option, say

if TYPE_CHECKING:
    from crawlkit.cli.progress import Figures, Progress
    from crawlkit.proving.interrupts import Interrupts
    from crawlkit.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])
#: The options of components that say how they work. Others say what they may do, and where, with the user's sites.
TAKEN = {
    "scheduler": ("active_tasks", "window", "loop_limit", "lease", "partitions"),
    "fetcher": ("poolsize", "host_connections", "timeout", "max_cpu", "max_memory", "max_bandwidth", "max_inflight"),
    "processor": ("process_time_limit", "memory_limit", "workers", "keep_pages", "max_cpu", "max_memory",
                  "max_bandwidth", "max_inflight"),
}  # fmt: skip
ROLES = ("fetcher", "processor", "result_worker")


def apart_options(function: F) -> F:
    """The options of both commands; those that end in ``-num`` are for :func:`config_of`."""
    count = click.IntRange(min=1)
    for declare in (
        option("--keep", is_flag=True, help="Keep the site, the data path and the database, and say where they are."),
        option("--json", "as_json", is_flag=True, help="Print one JSON object."),
        option("--empty-database", metavar="NAME",
               help="An empty database on the server, to be left empty, where you may make none."),
        option("--result-worker-num", type=count, help="Result workers.  [default: as for all]"),
        option("--processor-num", type=count, help="Processors.  [default: as for all]"),
        option("--fetcher-num", type=count, help="Fetchers.  [default: as for all]"),
    ):  # fmt: skip
        function = declare(function)  # the last one is shown first
    return function


class Verdict(Protocol):
    """What came of it. ``kept``: what stays because of ``--keep``; ``problems``: what does not hold."""

    kept: list[str]

    @property
    def problems(self) -> Sequence[str]: ...

    def plain(self) -> dict[str, Any]: ...

    def text(self) -> str: ...


@contextmanager
def leaving(name: str, left: Sequence[str]) -> Iterator[None]:
    """Says at the end what the command could not take away: ``left``, as it is then."""
    try:
        yield
    finally:
        for words in left:
            say(f"crawlkit {name}: could not take away: {words}")


def told(verdict: Verdict, *, as_json: bool) -> int:
    """Prints it; the exit code."""
    for words in verdict.kept:
        say(f"kept: {words}")
    click.echo(json.dumps(verdict.plain()) if as_json else verdict.text())
    return 1 if verdict.problems else 0


def config_of(ctx: click.Context, numbers: Mapping[str, int | None]) -> dict[str, Any]:
    """The user's options of components, as far as they say how to work, in the shape of a config file."""
    counts = component_options(ctx, "all")
    own = {f"{role}_num": numbers[f"{role}_num"] or max(1, counts[f"{role}_num"]) for role in ROLES}
    found: dict[str, Any] = {"all": own}
    for name, taken in TAKEN.items():
        said = component_options(ctx, name, given_only=True)
        found[name] = {option: said[option] for option in taken if said.get(option) is not None}
    return found


def environment_of(settings: Settings, config: Path) -> dict[str, str]:
    """Of a ``crawlkit all`` that knows nothing of the user's but what ``settings`` and ``config`` say."""
    from crawlkit import wiring
    from crawlkit.cli.together import environment

    own = environment(settings) | {"CRAWLKIT_CONFIG": str(config), "CRAWLKIT_SCHEDULER_XMLRPC_PORT": "0"}
    if settings.message_queue is None:
        del own["CRAWLKIT_MESSAGE_QUEUE"]  # it serves its queues itself
    return wiring.user_environment() | own


@contextmanager
def own_folder(settings: Settings, name: str, interrupts: Interrupts, left: list[str], *, keep: bool) -> Iterator[Path]:
    """A new folder on the disk of the data path, or where that cannot be, among the temporary ones.

    What cannot be taken away at the end is added to ``left``.
    """
    from crawlkit.proving.grounds import remove_folder

    beside = settings.data_path.absolute().parent
    while not beside.is_dir():
        beside = beside.parent
    place = str(beside) if os.access(beside, os.W_OK | os.X_OK) else None
    folder = Path(tempfile.mkdtemp(prefix=f"{name}_", dir=place))
    try:
        yield folder
    finally:
        if not keep:
            with interrupts.held():
                remove_folder(folder, left)


class Bar:
    """Where the crawl is: a bar on a terminal, a line every ten seconds elsewhere."""

    def __init__(self, pages: int) -> None:
        from crawlkit.cli.progress import Speed, make

        self._bar: Progress | None = make(say, terminal=sys.stderr.isatty())
        self._pages, self._speed = pages, Speed()
        self._began: float | None = None

    def watch(self, done: int, failed: int, more: str = "") -> None:
        """``more``: words to be added to the line."""
        from crawlkit.cli.progress import Figures

        if self._began is None:
            self._began = time.monotonic()
        elapsed = time.monotonic() - self._began
        speed = self._speed.add(elapsed, done + failed)
        self._show(Figures(done, failed, max(0, self._pages - done - failed), speed, elapsed, more))

    def _show(self, figures: Figures) -> None:
        if self._bar is not None:
            self._bar.show(figures)

    def close(self) -> None:
        if self._bar is not None:
            with suppress(BrokenPipeError):
                self._bar.close()
            self._bar = None
