"""What a sink is, and how one is found by the name in its URL (entry points ``crawlkit.sinks``).

A sink gets batches of results of one project. Which results are in a batch is durable before the sink sees it; that
the sink has them is durable after :meth:`Sink.write` returned. A crash in between gives the same batch once more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from crawlkit.libs import plugins
from crawlkit.libs.errors import UsageError
from crawlkit.libs.result_values import load_result
from crawlkit.libs.rows import ResultRow
from crawlkit.result.sink_url import FILES, Limits, SinkURL

GROUP = "crawlkit.sinks"


class Batch:
    """Some results of one project, in the order in which they were stored.

    ``name`` is the same whenever the same batch comes, and no other batch has it, also not one of another resultdb.
    """

    def __init__(
        self,
        project: str,
        series: str,
        fence: int,
        first: int,
        last: int,
        read: Callable[[], Iterator[ResultRow]],
        again: bool = False,
    ) -> None:
        self.project = project
        self.series = series
        self.fence = fence  # grows with each process that serves the sink
        self.first = first  # the numbers of the first and the last result: all between are in the batch or gone
        self.last = last
        self.again = again  # it may have come before
        self.count = 0  # results that the last whole pass gave
        self._read = read

    @property
    def name(self) -> str:
        return f"{self.series}-{self.first:012d}-{self.last:012d}"

    def rows(self) -> Iterator[ResultRow]:
        """The results as they are stored, streamed; may be called again."""
        count = 0
        for row in self._read():
            count += 1
            yield row
        self.count = count

    def results(self) -> list[dict[str, Any]]:
        """All at once: ``project``, ``taskid``, ``url``, ``run``, ``result`` and ``updatetime`` of each."""
        return [
            {"project": row.project, "taskid": row.taskid, "url": row.url, "run": row.run,
             "result": load_result(row.result), "updatetime": row.updatetime}
            for row in self.rows()
        ]  # fmt: skip


class Sink(Protocol):
    """Where results go beside the resultdb. One thread at a time uses it; it may block.

    A class attribute ``limits`` of type :class:`Limits` says how large a batch usually is.
    """

    def write(self, batch: Batch) -> int | None:
        """Stores a batch durably; may return how many bytes that took.

        The same batch, known by its ``name``, may come twice, also from another process: then it must replace what is
        there, or leave it, never add to it. Whatever is raised is shown, and the batch comes again later.
        """


def open_sink(url: SinkURL) -> Sink:
    """The sink of that kind; raises :class:`UsageError` in words. Connects to nothing."""
    if url.format in FILES:
        from crawlkit.result.file_sink import FileSink

        return FileSink(url)
    sink: Sink | None = plugins.connect(GROUP, url.format, url)
    if sink is None:
        raise _unknown(url)
    plugins.check(sink, ("write",), GROUP, url.format)
    return sink


def limits_of(sink: Sink, url: SinkURL) -> Limits:
    """When its batches end."""
    usual = getattr(sink, "limits", None)
    return url.limits_over(usual if isinstance(usual, Limits) else Limits())


def check_sink(url: SinkURL) -> None:
    """Raises :class:`UsageError` for one that cannot be opened here. Of somebody else's, only its name is looked up."""
    if url.format in FILES:
        open_sink(url)
    elif url.format not in plugins.names(GROUP):
        raise _unknown(url)


def _unknown(url: SinkURL) -> UsageError:
    known = ", ".join([*FILES, *plugins.names(GROUP)])
    return UsageError(
        f"sink {url.shown}: there is no sink {url.format}; there are {known}, and entry points of"
        " the group crawlkit.sinks"
    )
