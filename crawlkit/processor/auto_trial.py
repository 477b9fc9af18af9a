"""One run of a callback for a page of ``fetch_type="auto"``: held back until it is known whether it counts.

Pure. Of a run that does not count nothing goes out: no results, follow-ups, messages, no ``self.save``, no logs.
What a page gives in many parts is judged by the first.
"""

from __future__ import annotations

from typing import Any

import msgspec

from crawlkit.libs.auto import BROWSER, CONTROL, PLAIN, SETTLED, Auto, Known, Said, Seen
from crawlkit.libs.messages import Fetched, Follow
from crawlkit.processor.auto_judge import Findings, compare, judge, kind_of_page, values_of, volatile_in

NO_BROWSER = "no_browser"
MAY_PASS = (403, 503)  # answers that a site gives to what it takes for no browser
MAX_HELD = 1_000  # results for an own on_result that wait for the judgement

_known = msgspec.msgpack.Decoder(Known | None)


class Trial:
    """See the module. ``order`` is what the scheduler said; there is none of these for other tasks."""

    def __init__(self, order: Auto, fetched: Fetched) -> None:
        self.order = order
        self.fetched = fetched
        self.findings = Findings()
        self.values: list[Any] = []
        """Results for a handler's own ``on_result``, which is called when the run counts."""
        self.said: Said | None = None

    @property
    def holds(self) -> bool:
        """Whether what comes is held back for now."""
        return self.said is None and self.order.stage in (PLAIN, CONTROL)

    @property
    def asks(self) -> bool:
        """Whether it is decided that this run does not count."""
        return self.said is not None and self.said.asks

    @property
    def rendered(self) -> bool:
        """Whether the page is a browser's: what its document was does not say whether it will be the same again."""
        return self.order.stage == BROWSER

    def part(self, results: list[str], follows: list[Follow], messages: int) -> None:
        """What the callback gave, as it will be sent."""
        if self.order.stage == SETTLED or (self.order.stage == BROWSER and self.order.seen is None):
            return
        for text in results:
            self.findings.result_json(text)
        for follow in follows:
            self.findings.follow(follow.taskid)
        self.findings.messages += messages

    def hold(self, value: Any) -> bool:
        """Whether a result for an own ``on_result`` waits here."""
        if self.order.stage == BROWSER and self.order.seen is not None:
            self.findings.result(value)
        if not self.holds:
            return False
        self.findings.result(value)
        self.values.append(value)
        if len(self.values) >= MAX_HELD:
            self.judge("")
            return self.asks
        return True

    def judge(self, ending: str) -> Said:
        """Whether the run counts. ``ending``: a token when the callback did not end well."""
        if self.said is None:
            self.said = self._judged(ending)
            self.said.stage = self.order.stage
            self.said.callback = self.fetched.task.callback or ""
        return self.said

    def _judged(self, ending: str) -> Said:
        order = self.order
        if order.stage == PLAIN:
            return self._plain(ending)
        if order.stage == CONTROL:
            return self._control(ending)
        if order.stage == BROWSER:
            return self._browser(ending)
        return Said()

    def _plain(self, ending: str) -> Said:
        fetched = self.fetched
        if fetched.error_kind is not None or fetched.status_code == 304 or self._plain_failure(ending):
            return Said()
        seen = self.findings.seen(ending)
        content_type = next((value for name, value in fetched.headers if name.lower() == "content-type"), "")
        kind = kind_of_page(fetched.content, content_type)
        known = _known.decode(self.order.known) or Known()
        verdict = judge(self.findings, seen, kind, known, self.order.check)
        if not verdict.asks:
            return Said(kind=verdict.kind, tokens=verdict.tokens, values=values_of(seen))
        return Said(True, verdict.kind, verdict.tokens, seen, verdict.why, check=self.order.check)

    def _plain_failure(self, ending: str) -> bool:
        """Whether an error answer is the same for a browser: gone, or too many requests."""
        return ending.startswith("!http=") and self.fetched.status_code not in MAY_PASS

    def _control(self, ending: str) -> Said:
        order = self.order
        first = order.seen or Seen()
        volatile = volatile_in(first, self.findings.seen(ending))
        return Said(True, order.kind, order.tokens, first, order.why, volatile=volatile, check=order.check)

    def _browser(self, ending: str) -> Said:
        order, kind = self.order, self.fetched.error_kind
        if kind == NO_BROWSER:
            return Said(True, order.kind, order.tokens, why=order.why, absent=True)
        if order.seen is None:
            return Said()
        back = Said(True, order.kind, order.tokens, check=order.check)
        looked_enough = not order.tokens and not order.seen.ending
        if kind is not None:
            back.why = f"plain: the browser failed ({kind})"
            return back if looked_enough else Said(kind=order.kind, tokens=order.tokens)
        found = compare(order.seen, self.findings.seen(ending), order.tokens, order.volatile)
        if found.lost and not found.differs:
            back.compared, back.why = True, f"plain: the browser's page lacked {', '.join(found.lost[:3])}"
            return back
        return Said(
            kind=order.kind, tokens=order.tokens, compared=True, differs=found.differs, check=order.check
        )  # fmt: skip


def by(order: Auto, said: Said) -> str:
    """What fetched a page, and why, for its track."""
    if order.stage == PLAIN:
        return "plain"
    if said.compared and not said.differs:
        return f"{order.why}; the browser's page gave the same"
    return order.why or "plain"
