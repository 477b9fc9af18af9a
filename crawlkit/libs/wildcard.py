"""Patterns in which ``*`` stands for any text, also for none. Pure, and no text makes one slow: no regex is built."""

from __future__ import annotations


class Wildcard:
    """Looks once from left to right, however many stars there are."""

    __slots__ = ("_first", "_last", "_middle", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        pieces = text.split("*")
        self._first, self._middle = pieces[0], [piece for piece in pieces[1:-1] if piece]
        self._last = pieces[-1] if len(pieces) > 1 else None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Wildcard) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    @property
    def plain(self) -> bool:
        """Whether there is no ``*`` in it."""
        return self._last is None

    def fits(self, text: str) -> bool:
        """Whether it is the whole text."""
        if self._last is None:
            return text == self._first
        if not text.startswith(self._first) or not text.endswith(self._last):
            return False
        place, end = len(self._first), len(text) - len(self._last)
        for piece in self._middle:
            place = text.find(piece, place, end)
            if place < 0:
                return False
            place += len(piece)
        return place <= end
