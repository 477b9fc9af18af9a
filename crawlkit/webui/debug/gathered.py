"""What came of one run of a callback, part by part, in bounded memory: the first of everything, and the counts.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from crawlkit.libs.messages import Follow, Message, Outcome
from crawlkit.webui.debug.settings import DebugSettings


@dataclass
class Gathered:
    """The parts of one attempt together. ``last`` is there when the callback came to an end of its own."""

    settings: DebugSettings
    follows: list[Follow] = field(default_factory=list)
    follow_count: int = 0
    messages: list[Message] = field(default_factory=list)
    message_count: int = 0
    results: list[str] = field(default_factory=list)  # JSON texts
    result_count: int = 0
    last: Outcome | None = None
    _bytes: int = 0

    def add(self, outcome: Outcome) -> None:
        """Takes the next part."""
        limits = self.settings
        self.follow_count += len(outcome.follows)
        self.follows += outcome.follows[: max(0, limits.max_follows - len(self.follows))]
        self.message_count += len(outcome.messages)
        self.messages += outcome.messages[: max(0, limits.max_messages - len(self.messages))]
        self.result_count += len(outcome.results)
        for text in outcome.results:
            self._bytes += len(text)
            if len(self.results) >= limits.max_results or self._bytes > limits.max_result_bytes:
                break
            self.results.append(text)
        if outcome.last:
            self.last = outcome
