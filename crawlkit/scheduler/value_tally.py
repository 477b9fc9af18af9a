"""Finds values that come again and again in a field whose other values all differ: ``9.99`` as everybody's price.

Pure and bounded: counts by the frequent-items rule of Misra and Gries, which keeps what is frequent.
"""

from __future__ import annotations

from collections.abc import Iterable

from crawlkit.libs.auto import is_value, name_of

MOST_FIELDS = 24
MOST_VALUES = 32  # of a field
OFTEN = 4  # times
TIMES_MORE = 4  # than the next value
OTHERS = 6  # different values beside it
MOST_SUSPECTS = 16


class ValueTally:
    """The values of plain pages of one host and callback, by their tokens."""

    __slots__ = ("_fields", "_kinds", "suspects")

    def __init__(self) -> None:
        self._fields: dict[str, dict[str, int]] = {}
        self._kinds: dict[str, int] = {}  # different values met, up to OTHERS + 1
        self.suspects: set[str] = set()

    def add(self, tokens: Iterable[str]) -> bool:
        """The values of one page; whether there is a new suspect."""
        before = len(self.suspects)
        for token in tokens:
            if not is_value(token) or token.endswith("=~"):
                continue
            name = name_of(token)
            counts = self._fields.get(name)
            if counts is None:
                if len(self._fields) >= MOST_FIELDS:
                    continue
                counts = self._fields[name] = {}
            self._count(name, counts, token)
        return len(self.suspects) > before

    def _count(self, name: str, counts: dict[str, int], token: str) -> None:
        if token not in counts:
            self._kinds[name] = min(self._kinds.get(name, 0) + 1, OTHERS + 1)
            if len(counts) >= MOST_VALUES:
                for other in list(counts):
                    counts[other] -= 1
                    if not counts[other]:
                        del counts[other]
                return
        count = counts[token] = counts.get(token, 0) + 1
        if count < OFTEN or self._kinds[name] <= OTHERS or token in self.suspects:
            return
        next_one = max((n for other, n in counts.items() if other != token and other not in self.suspects), default=0)
        if count >= TIMES_MORE * next_one and len(self.suspects) < MOST_SUSPECTS:
            self.suspects.add(token)
