"""The projects of a server as commands see a projectdb: the methods that they use, by the JSON API."""

from __future__ import annotations

from typing import Any

from crawlkit.libs.rows import ProjectRow, SettingRow, VersionRow
from crawlkit.remote.client import Client

CHANGED = ("group", "status", "rate", "burst", "rate_set", "max_pages", "limits")  # what PATCH may change


class RemoteProjects:
    """Raises what :class:`Client` raises."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def names(self) -> list[str]:
        """The names of all projects."""
        return [item["name"] for item in self._client.items("/projects", sort="name")]

    def all(self) -> list[ProjectRow]:
        """All projects; their scripts and versions are left out, see :meth:`get`."""
        return [_row(item) for item in self._client.items("/projects", sort="name")]

    def get(self, name: str) -> ProjectRow | None:
        """A project with its newest script."""
        item = self._client.find(f"/projects/{name}")
        if item is None:
            return None
        row = _row(item)
        newest = self._client.find(f"/projects/{name}/versions/newest")
        if newest is not None:
            row.script, row.version = newest["script"], newest["version"]
            if not newest["runs"]:
                row.pin = self._client.get(f"/projects/{name}/versions/runs")["version"]
            elif newest["pinned"]:
                row.pin = row.version
        return row

    def put(self, row: ProjectRow, author: str = "", message: str = "") -> ProjectRow:
        """Saves what differs from what is there. The author is whom the token belongs to."""
        old = self.get(row.name)
        if old is None or old.script != row.script:
            body = {"script": row.script, "base": old.version if old else None, "message": message,
                    "keep_status": old is not None}  # fmt: skip
            self._client.send("PUT", f"/projects/{row.name}/script", body)
        there = self._client.get(f"/projects/{row.name}")
        said = {name: getattr(row, name) for name in CHANGED if there.get(name) != getattr(row, name)}
        if said:
            self._client.send("PATCH", f"/projects/{row.name}", said)
        if old is not None and old.pin != row.pin:
            self._client.send("PUT", f"/projects/{row.name}/pin", {"version": row.pin or None})
        saved = self.get(row.name)
        assert saved is not None
        return saved

    def versions(self, name: str) -> list[VersionRow]:
        """All saved versions, newest first, without their scripts."""
        return [
            VersionRow(name, one["version"], "", one["saved"], one["author"], one["message"])
            for one in self._client.items(f"/projects/{name}/versions")
        ]

    def script(self, name: str, version: str) -> str | None:
        """One version's script."""
        found = self._client.find(f"/projects/{name}/versions/{version}")
        return None if found is None else str(found["script"])

    def settings(self, name: str) -> dict[str, SettingRow]:
        """None: what is encrypted there stays there."""
        return {}

    def close(self) -> None:
        """Closes the connection."""
        self._client.close()


def _row(item: dict[str, Any]) -> ProjectRow:
    return ProjectRow(
        name=item["name"], group=item["group"], status=item["status"], rate=item["rate"], burst=item["burst"],
        rate_set=item["rate_set"], updatetime=item["updated"], max_pages=item.get("max_pages"),
        limits=item.get("limits"),
    )  # fmt: skip
