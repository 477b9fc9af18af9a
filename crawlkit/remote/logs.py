"""The logs of a server as commands see a logdb."""

from __future__ import annotations

from typing import Any

from crawlkit.libs.rows import LogFilter, LogLine, LogPage
from crawlkit.remote.client import PAGE, Client

LEVELS = {10: "debug", 20: "info", 30: "warning", 40: "error", 50: "critical"}


class RemoteLogs:
    """Raises what :class:`Client` raises."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def last(self) -> int:
        """The number of the newest line."""
        return int(self._client.get("/logs", limit=1)["last"])

    def search(self, wanted: LogFilter, before: int | None = None, limit: int = 100, patience: float = 0) -> LogPage:
        """Lines before a number, newest first. The server says how long it looks at once."""
        return self._page(wanted, limit, cursor=None if before is None else str(before))

    def tail(self, wanted: LogFilter, after: int, limit: int = 1000) -> LogPage:
        """Lines after a number, oldest first."""
        return self._page(wanted, limit, after=str(after))

    def _page(self, wanted: LogFilter, limit: int, **place: Any) -> LogPage:
        query = {
            "project": wanted.project, "node": wanted.node, "role": wanted.role, "task": wanted.taskid,
            "level": LEVELS.get(wanted.level), "since": wanted.since, "until": wanted.until, "text": wanted.text,
        }  # fmt: skip
        said = {name: value for name, value in query.items() if value not in ("", None)}
        page = self._client.get("/logs", limit=min(limit, PAGE), **said, **place)
        lines = [LogLine(**{name: one[name] for name in LogLine.__struct_fields__}) for one in page["items"]]
        return LogPage(lines, None if page["next"] is None else int(page["next"]), page["looked"])

    def close(self) -> None:
        """Closes the connection."""
        self._client.close()
