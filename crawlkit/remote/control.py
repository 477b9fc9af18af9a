"""The scheduler behind a server as commands see a control client: the methods that they use."""

from __future__ import annotations

from typing import Any

from crawlkit.libs.errors import ServiceUnreachable
from crawlkit.remote.client import Client


class RemoteControl:
    """Raises what :class:`Client` raises."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def run(self, project: str) -> dict[str, Any]:
        """Runs on_start."""
        return dict(self._client.send("POST", f"/projects/{project}/run", {}))

    def count_action(self, project: str, action: str, reason: str | None = None) -> dict[str, Any]:
        """How many tasks an order would touch."""
        return dict(self._client.get(f"/projects/{project}/orders/{action}", reason=reason or None))

    def order(self, project: str, action: str, reason: str | None = None) -> dict[str, Any]:
        """clear, restart, retry_failed, pause or resume."""
        return dict(self._client.send("POST", f"/projects/{project}/orders/{action}", {"reason": reason or ""}))

    def drop_project(self, project: str) -> None:
        """Removes a project."""
        self._client.send("DELETE", f"/projects/{project}")

    def update_project(self) -> None:
        """The server tells its scheduler by itself. Raises :class:`ServiceUnreachable` when it has none."""
        if not self._client.get("/me")["scheduler"]:
            raise ServiceUnreachable(f"no scheduler answers the web UI at {self._client.url}")

    def summary(self) -> dict[str, Any]:
        """How the projects stand. Raises :class:`ServiceUnreachable` without a scheduler: nothing is known then."""
        self.update_project()
        return {
            "loaded": True,
            "projects": {item["name"]: item for item in self._client.items("/projects", sort="name")},
        }

    def why(self, project: str | None, url: str) -> list[dict[str, Any]]:
        """Why a URL was crawled or not; the server looks at its stores when no scheduler runs."""
        return list(self._client.get("/why", project=project, url=url)["items"])

    def hosts(self, project: str, limit: int = 100) -> list[dict[str, Any]]:
        """The hosts that a project asks and that may not be asked now."""
        return list(self._client.get(f"/projects/{project}/hosts", limit=limit)["items"])

    dashboard = summary

    def next_ticks(self, project: str, n: int = 5) -> list[tuple[float, str]]:
        """The next instants of a project's crons."""
        page = self._client.get(f"/projects/{project}/ticks", limit=n)
        return [(one["time"], one["method"]) for one in page["items"]]
