"""Marks: what is wrong with a script, and where. Pure.

Lines count from 1. Columns count from 0 in UTF-16 units, as browsers and the Language Server Protocol count.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Collection
from typing import Literal

from msgspec import Struct

MAX_MARKS = 200
MAX_NAME = 60  # characters; a longer name is no slip of the pen
EFFORT = 400_000  # for names that are near, of one script: about a second
Severity = Literal["error", "warning"]


class Mark(Struct, frozen=True, order=True):
    """Something wrong between two places; ``code`` names the rule."""

    line: int
    column: int
    end_line: int
    end_column: int
    severity: Severity
    code: str
    message: str


class Full(Exception):
    """There are :data:`MAX_MARKS` marks: nobody reads more, so nothing more is looked for."""


class Pen:
    """Collects marks on one script; raises :class:`Full` with the last one that there is room for."""

    def __init__(self, script: str) -> None:
        self._lines = script.split("\n")
        self._marks: set[Mark] = set()
        self._effort = EFFORT

    def marks(self) -> list[Mark]:
        """In the order of the text."""
        return sorted(self._marks)

    def error(self, node: ast.AST, code: str, message: str) -> None:
        self._at(node, "error", code, message)

    def warning(self, node: ast.AST, code: str, message: str) -> None:
        self._at(node, "warning", code, message)

    def at_line(self, line: int, start: int, end: int, severity: Severity, code: str, message: str) -> None:
        """``start`` and ``end`` count characters from 0; an empty stretch becomes one character or the line's text."""
        line = min(max(line, 1), max(len(self._lines), 1))
        text = self._lines[line - 1]
        start = min(max(start, 0), len(text))
        end = min(max(end, start), len(text))
        if start == end:  # a browser shows no empty mark
            start, end = (start, start + 1) if start < len(text) else (max(len(text) - 1, 0), len(text))
        self._add(Mark(line, _units(text[:start]), line, _units(text[:end]), severity, code, message))

    def near(self, name: str, known: Collection[str]) -> str | None:
        """The known name that ``name`` was probably meant to be; none any more when many have been looked for."""
        cost = len(known) * (1 + len(name) ** 2 // 25)
        if len(name) > MAX_NAME or cost > self._effort:
            return None
        self._effort -= cost
        found = difflib.get_close_matches(name, [one for one in known if len(one) <= MAX_NAME], n=1, cutoff=0.7)
        return found[0] if found else None

    def did_you_mean(self, name: str, known: Collection[str]) -> str:
        """``"; did you mean 'callback'?"``, or nothing when no name is near."""
        meant = self.near(name, known)
        return f"; did you mean {meant!r}?" if meant else ""

    def _add(self, mark: Mark) -> None:
        self._marks.add(mark)
        if len(self._marks) >= MAX_MARKS:
            raise Full

    def _at(self, node: ast.AST, severity: Severity, code: str, message: str) -> None:
        line, column = getattr(node, "lineno", 1), getattr(node, "col_offset", 0)
        end_line = getattr(node, "end_lineno", None) or line
        end_column = getattr(node, "end_col_offset", None)
        end_column = column + 1 if end_column is None else end_column
        if end_line > line:  # a call over many lines is marked on its first
            end_line, end_column = line, len(self._line(line).encode())
        self._add(
            Mark(
                line, self._column(line, column), end_line, self._column(end_line, end_column), severity, code, message
            )
        )

    def _line(self, number: int) -> str:
        return self._lines[number - 1] if 0 < number <= len(self._lines) else ""

    def _column(self, line: int, offset: int) -> int:
        """Python's column, in bytes of UTF-8, as browsers count."""
        text = self._line(line)
        return (
            offset
            if text.isascii()
            else _units(text.encode("utf-8", "surrogatepass")[:offset].decode("utf-8", "replace"))
        )


def _units(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2
