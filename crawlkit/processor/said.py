"""What a callback said, as lines for the log store: a printed line each, and a log record each.

Pure: pieces in, lines out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

PRINTED = "print"
INFO, ERROR = 20, 40  # of the module logging


class Piece(NamedTuple):
    """Something written at once. A record of ``logging`` has a level, what was printed has none."""

    text: str
    level: int  # of the module logging; 0: printed
    time: float  # Unix time
    source: str  # the logger's name and a line number


class Said(NamedTuple):
    """One line, or one record, which may hold several."""

    time: float  # Unix time
    level: int
    source: str
    text: str


def lines_of(pieces: Iterable[Piece]) -> list[Said]:
    """The lines in their order; blank ones are left out."""
    lines: list[Said] = []
    rest, since = "", 0.0
    for piece in pieces:
        if piece.level:
            if rest:
                lines.append(Said(since, INFO, PRINTED, rest))
                rest = ""
            lines.append(Said(piece.time, piece.level, piece.source, _without_head(piece)))
            continue
        since = since if rest else piece.time
        *whole, rest = (rest + piece.text).split("\n")
        for text in whole:
            lines.append(Said(since, INFO, PRINTED, text))
            since = piece.time
    lines.append(Said(since, INFO, PRINTED, rest))
    return [line._replace(text=line.text.rstrip()) for line in lines if line.text.strip()]


def _without_head(piece: Piece) -> str:
    """The text of a record without ``[I date name:line] ``: the line says that by itself."""
    head, end, text = piece.text.partition("] ")
    return text if piece.source and end and head.endswith(piece.source) else piece.text


def from_text(text: str, ok: bool, now: float) -> list[Said]:
    """A whole log of which no pieces are known: one record, an error if the callback failed."""
    text = text.strip("\n")
    return [Said(now, INFO if ok else ERROR, "", text)] if text.strip() else []
