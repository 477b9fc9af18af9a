"""The browser service that a supervisor starts when the first page for it comes: its socket is there from the start."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from typing import Any

from crawlkit import wiring
from crawlkit.cli.base import PREFIX
from crawlkit.cli.together import child, environment
from crawlkit.settings import Settings
from crawlkit.supervisor import ChildSpec, Supervisor

NAME = "browser"
STOP_WITHIN = 4.0  # seconds


def browser_child(options: Mapping[str, Any], env: Mapping[str, str]) -> tuple[ChildSpec, dict[str, str]]:
    """The child, and the variables by which fetchers reach it. ``options``: those of ``crawlkit browser``.

    Raises :class:`UsageError` when its port is taken.
    """
    wiring.browser_settings(options)
    token = os.environ.get(wiring.BROWSER_TOKEN) or secrets.token_hex(24)
    host = str(options["host"])
    wiring.check_door(host, token)
    door, *others = wiring.listen(host, int(options["port"]), any_port=not options.get("port_given"))
    for other in others:  # localhost in its other family
        other.close()
    address = door.getsockname()
    reach = "127.0.0.1" if address[0] in ("0.0.0.0", "::") else address[0]
    where = f"[{reach}]" if ":" in reach else reach
    known = {
        f"{PREFIX}_FETCHER_BROWSER_ENDPOINT": f"http://{where}:{address[1]}/",
        wiring.BROWSER_TOKEN: token,
    }
    return child(NAME, ["browser"], {**env, **known}, door), known


class ChildOfOne:
    """The same beside `crawlkit one`, as one of its services."""

    def __init__(self, options: Mapping[str, Any], settings: Settings, *, stored: bool) -> None:
        """``stored``: whether log lines are kept."""
        env = environment(settings)
        env |= {f"{PREFIX}_LOGDB": "memory+logdb://"} if not stored else {}
        env |= {f"{PREFIX}_BROWSER_QUIET": "1"}
        spec, known = browser_child(options, env)
        url = known[f"{PREFIX}_FETCHER_BROWSER_ENDPOINT"]
        self.endpoint = url.replace("://", f"://:{known[wiring.BROWSER_TOKEN]}@")
        self._door = spec.door
        self._supervisor = Supervisor([spec], grace=STOP_WITHIN)

    async def run(self) -> None:
        try:
            await self._supervisor.run(handle_signals=False)
        finally:
            if self._door is not None:
                self._door.close()

    async def stop(self) -> None:
        self._supervisor.stop()
