"""The tasks of a server as commands see a taskdb: the methods that they use, by the JSON API. Secrets are masked."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from crawlkit.libs.rows import AttemptRow, Books, TaskRow
from crawlkit.libs.task import Fetch, Process, Schedule, Status
from crawlkit.remote.client import Client


class RemoteTasks:
    """Raises what :class:`Client` raises."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def get(self, project: str, taskid: str) -> TaskRow | None:
        """One task."""
        if not 0 < len(taskid) <= 64 or "/" in taskid:
            return None
        found = self._client.find(f"/tasks/{project}/{taskid}")
        if found is None:
            return None
        row = _row(found["task"])
        row.schedule = msgspec.convert(found["schedule"], Schedule)
        row.fetch = msgspec.convert(_known(found["fetch"], Fetch), Fetch, strict=False)
        row.process = msgspec.convert(found["process"], Process)
        row.save = None if found["save"] is None else json.dumps(found["save"])
        return row

    def attempts(self, project: str, taskid: str, limit: int = 20) -> list[AttemptRow]:
        """The attempts that are remembered, newest first."""
        found = self._client.find(f"/tasks/{project}/{taskid}")
        return [
            AttemptRow(
                project, taskid, one["run"], one["attempt"], one["started"], one["ended"], one["ok"], one["node"],
                one["script"], one["reason"], json.dumps(one["fetch"]), json.dumps(one["process"]),
            )
            for one in (found["attempts"] if found else [])[:limit]
        ]  # fmt: skip

    def select(
        self, project: str, status: Status | None = None, url: str | None = None, after: str | None = None,
        limit: int = 1000,
    ) -> list[TaskRow]:  # fmt: skip
        """The first tasks whose URL fits; there is no page after them. For all of them there is a stream."""
        if after is not None:
            return []
        named = None if status is None else status.name.lower()
        page = self._client.get("/tasks", project=project, status=named, url=url, limit=min(limit, 500))
        return [_row(item) for item in page["items"]]

    def books(self, project: str) -> Books:
        """How the tasks stand, as far as the scheduler says."""
        item = self._client.get(f"/projects/{project}")
        waiting, leased, done, failed = (item[name] for name in ("waiting", "leased", "done", "failed"))
        by_status = {Status.ACTIVE.value: waiting + leased, Status.SUCCESS.value: done, Status.FAILED.value: failed}
        return Books(waiting + leased + done + failed, 0, waiting + leased, leased, by_status)

    def failures(self, project: str, limit: int = 10) -> list[tuple[str, int, str]]:
        """(reason, tasks, an example's URL), the commonest first."""
        page = self._client.get("/failures", project=project, limit=limit)
        return [(one["reason"], one["tasks"], one["examples"][0]["url"] if one["examples"] else "")
                for one in page["items"]]  # fmt: skip

    def ledger(self, project: str | None = None) -> dict[tuple[str, str, str], int]:
        """Nothing: the books are with the server."""
        return {}

    def close(self) -> None:
        """Closes the connection."""
        self._client.close()


def _row(item: dict[str, Any]) -> TaskRow:
    return TaskRow(
        item["project"], item["taskid"], item["url"], status=Status[item["status"].upper()], run=item["run"],
        retried=item["retried"], results=item["results"], lastcrawltime=item["lastcrawltime"],
        updatetime=item["updatetime"],
    )  # fmt: skip


def _known(said: dict[str, Any], kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Without what a newer server says, and without a body, which is masked."""
    return {name: value for name, value in said.items() if name in kind.__struct_fields__ and name != "data"}
