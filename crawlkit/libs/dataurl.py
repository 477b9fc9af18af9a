"""``data:`` URLs by RFC 2397, as browsers read them (Fetch standard, "data: URL processor"). Pure."""

from __future__ import annotations

import base64
import binascii
import re
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

_SPACE = b" \t\n\f\r"
_BASE64 = re.compile(r";[ ]*base64[ ]*\Z", re.IGNORECASE)


class DataURL(NamedTuple):
    """``media_type`` is ``""`` when the URL does not name one."""

    media_type: str
    data: bytes


def parse(url: str) -> DataURL:
    """Raises :class:`ValueError` in words. The first comma ends the head, so that ``data:,a,b`` is ``a,b``."""
    if url[:5].lower() != "data:":
        raise ValueError("not a data: URL")
    head, comma, body = url[5:].partition(",")
    if not comma:
        raise ValueError("a data: URL needs a comma before its data")
    data = unquote_to_bytes(body.partition("#")[0])
    head = head.strip()
    coded = _BASE64.search(head)
    if coded:
        head = head[: coded.start()]
        data = _forgiving_base64(data)
    if head.startswith(";"):
        head = "text/plain" + head
    return DataURL(head, data)


def _forgiving_base64(data: bytes) -> bytes:
    """The Infra standard's forgiving-base64 decode: white space and missing padding are fine, all else is not."""
    data = data.translate(None, _SPACE)
    if len(data) % 4 == 0 and data.endswith(b"="):
        data = data[:-2] if data.endswith(b"==") else data[:-1]
    if len(data) % 4 == 1 or b"=" in data:
        raise ValueError("a data: URL with broken base64")
    try:
        return base64.b64decode(data + b"=" * (-len(data) % 4), validate=True)
    except binascii.Error:
        raise ValueError("a data: URL with broken base64") from None


def build(data: bytes, media_type: str = "text/plain;charset=utf-8") -> str:
    """A ``data:`` URL that :func:`parse` reads back, in base64."""
    return f"data:{quote(media_type, safe='/;=+.-')};base64,{base64.b64encode(data).decode()}"
