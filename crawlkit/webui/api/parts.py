"""What several resources share: the words of their queries, and cursors. Pure."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from crawlkit.libs.searches import Place
from crawlkit.webui.problem import Problem

T = TypeVar("T")

ProjectName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_]{1,64}$", description="The project's name.")]
Limit = Annotated[int, Meta(ge=1, le=500, description="Rows of a page.")]
Cursor = Annotated[str, Meta(max_length=8_000, pattern=r"^[A-Za-z0-9_-]*$", description="`next` of the page before.")]
UrlPart = Annotated[str, Meta(min_length=1, max_length=4_000, description="A part of the URL, or a pattern with `*`.")]
Word = Annotated[str, Meta(min_length=1, max_length=255)]
Time = Annotated[float, Meta(ge=-1e11, le=1e11, description="Unix time in seconds.")]


def cursor_of(value: object) -> str:
    """A place in a list as text that can stand in an address."""
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(value)).decode().rstrip("=")


MOST = 2**53  # no list of any kind is longer


def place_of_cursor(cursor: str | None, kind: type[T]) -> T | None:
    """The place; raises :class:`Problem` 400 for text that no list of this kind has given out."""
    if not cursor:
        return None
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        place = msgspec.msgpack.decode(raw, type=kind)
        numbers = place if isinstance(place, tuple) else (place,)
        if any(isinstance(one, int) and abs(one) > MOST for one in numbers):
            raise ValueError("out of range")
        return place
    except (msgspec.MsgspecError, binascii.Error, ValueError):
        raise Problem(400, "Invalid cursor", "take `next` of a page of the same list") from None


def task_place(cursor: str | None, by_url: bool) -> Place | None:
    """A place in a list of tasks."""
    return place_of_cursor(cursor, tuple[str, str, str] if by_url else tuple[float, str, str])  # type: ignore[return-value]
