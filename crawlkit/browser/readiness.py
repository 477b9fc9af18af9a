"""When a page counts as ready: its load event, and then a short moment in which it asks for nothing.

Pure: events come in with their time, and :meth:`Readiness.due` says how long to wait if nothing else happens.
"""

from __future__ import annotations

from crawlkit.browser.settings import BrowserSettings

#: Requests that are open for as long as the page likes, or that nobody waits for (Network.ResourceType).
ENDLESS = frozenset({"EventSource", "WebSocket", "Ping", "CSPViolationReport", "Preflight", "Prefetch", "Manifest"})
#: What a page asks for by itself, after its own markup.
_BY_SCRIPT = frozenset({"XHR", "Fetch"})


class Readiness:
    """The state of one page. Times are seconds of one clock."""

    __slots__ = ("_active", "_asked", "_dom", "_last", "_limits", "_loaded", "_pending")

    def __init__(self, limits: BrowserSettings, now: float) -> None:
        self._limits = limits
        self._pending: dict[str, float] = {}  # request id to when it began
        self._dom = False
        self._loaded: float | None = None  # when the load event came
        self._asked = False  # whether it asked for something by itself
        self._active: float = now  # since when the present wait is measured against `settle`
        self._last = now

    @property
    def loaded(self) -> bool:
        """Whether the load event of the present document has come."""
        return self._loaded is not None

    @property
    def dom(self) -> bool:
        """Whether the present document has been read to its end."""
        return self._dom

    @property
    def asked(self) -> bool:
        """Whether the page asked for something by itself: XHR, fetch, or anything at all after its load event."""
        return self._asked

    def navigates(self, now: float) -> None:
        """Another document is on its way."""
        self._loaded, self._dom, self._asked, self._last = None, False, False, now
        self._pending.clear()

    def dom_ready(self, now: float) -> None:
        self._dom, self._last = True, now

    def load(self, now: float) -> None:
        self._dom = True
        self._loaded = self._last = self._active = now

    def started(self, request: str, kind: str, now: float) -> None:
        if kind in ENDLESS:
            return
        self._pending[request] = self._last = now
        if kind in _BY_SCRIPT or (self._loaded is not None and kind != "Other"):
            self._asked = True

    def asked_for(self, now: float) -> None:
        """The page began something whose end is not heard of."""
        self._asked, self._last = True, now

    def ended(self, request: str, now: float) -> None:
        if self._pending.pop(request, None) is not None:
            self._last = now

    def touched(self, now: float) -> None:
        """Something was done to the page: what follows from it is waited for anew."""
        self._last = self._active = now

    def due(self, now: float, quiet: float | None = None) -> float:
        """Seconds until the page is ready if nothing happens till then; 0 or less: it is. ``quiet``: how long at least.

        A request that goes on and on counts for ``patience`` only, and a page that never comes to rest gets ``settle``.
        Without its load event it is taken when nothing has come or ended for ``stall`` seconds, if its markup is there.
        """
        limits = self._limits
        if self._loaded is None:
            return self._last + limits.stall - now if self._dom else limits.stall
        if quiet is None:
            quiet = limits.quiet if self._asked else limits.calm
        rest = self._last + quiet
        if self._pending:
            rest = max(rest, max(self._pending.values()) + limits.patience)
        return min(rest, self._active + max(limits.settle, quiet)) - now

    def idle(self, now: float, seconds: float) -> float:
        """Seconds until there has been no request for ``seconds``, if none begins; at least so long when one runs."""
        if self._loaded is None or self._pending:
            return seconds
        return self._last + seconds - now
