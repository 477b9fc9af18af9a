"""Takes the values of secrets out of what a task leaves behind: logs, exceptions, tracks.

Pure: text in, text out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote, quote_plus

import msgspec

from crawlkit.libs.messages import NIL, Outcome, ProjectInfo, TrackFetch, TrackProcess, pack

SHORTEST = 6  # characters; a shorter value would turn up in words that have nothing to do with it
MASK = "***"


class Mask:
    """Replaces each value, also as it looks in a URL, in JSON and in a repr. Without values it does nothing."""

    __slots__ = ("_pattern",)

    def __init__(self, values: Iterable[str] = ()) -> None:
        forms = {form for value in values if len(value) >= SHORTEST for form in _forms(value)}
        longest_first = sorted(forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if forms else None

    def __bool__(self) -> bool:
        return self._pattern is not None

    def text(self, text: str) -> str:
        """``text`` with :data:`MASK` for every value in it."""
        return text if self._pattern is None else self._pattern.sub(MASK, text)

    def replaced(self, text: str, stand_in: Callable[[str], str]) -> str:
        """``text`` with ``stand_in(value)`` for every value in it, as it is written there."""
        return text if self._pattern is None else self._pattern.sub(lambda found: stand_in(found[0]), text)

    def outcome(self, outcome: Outcome) -> None:
        """Changes in place what ``outcome`` says of its attempt. Results, follow-ups and messages stay as they are."""
        if self._pattern is None:
            return
        if outcome.process is not None:
            self._track(outcome.process, ("logs", "exception", "result"))
        if outcome.fetch is not None:
            self._track(outcome.fetch, ("error", "redirect_url", "content"))
            headers = outcome.fetch.headers
            if headers is not None:
                outcome.fetch.headers = {name: self.text(value) for name, value in headers.items()}
            outcome.fetch.rendered = self._inside(outcome.fetch.rendered)
        if outcome.info != NIL:
            info = msgspec.msgpack.decode(outcome.info, type=ProjectInfo)
            if info.error is not None:
                info.error = self.text(info.error)
                outcome.info = pack(info)

    def _inside(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {name: self._inside(inner) for name, inner in value.items()}
        return [self._inside(inner) for inner in value] if isinstance(value, list) else value

    def _track(self, track: TrackProcess | TrackFetch, names: tuple[str, ...]) -> None:
        for name in names:
            value = getattr(track, name)
            if value is not None:
                setattr(track, name, self.text(value))


def _forms(value: str) -> set[str]:
    """How the value may be written: itself, in a URL, inside JSON, inside a repr, a line of it in a traceback."""
    forms = {value, quote(value, safe=""), quote(value), quote_plus(value), repr(value)[1:-1]}
    forms |= {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
    lines = [line for line in value.splitlines() if len(line) >= SHORTEST]
    if len(lines) > 1:  # a key over several lines: each is one
        forms.update(lines)
    return {form for form in forms if len(form) >= SHORTEST}
