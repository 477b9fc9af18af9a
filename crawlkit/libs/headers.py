"""HTTP headers as a handler sees them: a mapping that does not mind about case. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableMapping


class Headers(MutableMapping[str, str]):
    """Case-insensitive; repeated headers are joined by a comma, and apart in :meth:`getlist` [H90]."""

    __slots__ = ("_items",)

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._items: dict[str, tuple[str, list[str]]] = {}
        for name, value in pairs:
            self.add(name, value)

    def add(self, name: str, value: str) -> None:
        known = self._items.get(name.lower())
        if known is None:
            self._items[name.lower()] = (name, [value])
        else:
            known[1].append(value)

    def getlist(self, name: str) -> list[str]:
        """Each value of a repeated header (``Set-Cookie``)."""
        known = self._items.get(name.lower())
        return list(known[1]) if known else []

    def __getitem__(self, name: str) -> str:
        return ",".join(self._items[name.lower()][1])

    def __setitem__(self, name: str, value: str) -> None:
        self._items[name.lower()] = (name, [value])

    def __delitem__(self, name: str) -> None:
        del self._items[name.lower()]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._items

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._items.values())

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return f"Headers({dict(self)!r})"
