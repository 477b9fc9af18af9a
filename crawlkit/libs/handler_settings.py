"""``self.settings`` of a handler: what its project was given from outside, for reading only.

Pure. Its texts and its repr never show a value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping


class HandlerSettings(Mapping[str, str]):
    """Setting names and values. A missing one raises :class:`KeyError` that says how to set it."""

    __slots__ = ("_closed", "_project", "_values")

    def __init__(
        self, project: str = "", values: Mapping[str, str] | None = None, closed: Mapping[str, str] | None = None
    ) -> None:
        """``closed``: settings that are there but cannot be read, and why."""
        self.fill(project, values or {}, closed or {})

    def fill(self, project: str, values: Mapping[str, str], closed: Mapping[str, str]) -> None:
        """For who runs the handler: the settings changed."""
        self._project, self._values, self._closed = project, dict(values), dict(closed)

    def __getitem__(self, name: str) -> str:
        try:
            return self._values[name]
        except KeyError:
            pass
        if name in self._closed:
            raise KeyError(self._closed[name])
        project = self._project or "PROJECT"
        raise KeyError(f"no setting {name!r}; set it with: crawlkit project set {project} {name}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"<settings: {', '.join(self._values) or 'none'}>"
