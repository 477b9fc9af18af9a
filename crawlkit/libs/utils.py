"""Small helpers that handler scripts written for pyspider take from its ``utils``. Not for new code."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from crawlkit.libs.crawl_args import curl_args
from crawlkit.libs.response import Response
from crawlkit.libs.url import quote_non_ascii as quote_chinese

__all__ = ["curl_to_arguments", "md5string", "pretty_unicode", "quote_chinese", "rebuild_response", "timeout", "utf8"]


def md5string(text: str | bytes) -> str:
    """The md5 of ``text`` in hexadecimal."""
    return hashlib.md5(utf8(text), usedforsecurity=False).hexdigest()


def utf8(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else str(text).encode("utf-8", "surrogatepass")


def pretty_unicode(text: str | bytes) -> str:
    """``text`` as text, bytes read as UTF-8 where they are."""
    return text.decode("utf-8", "backslashreplace") if isinstance(text, bytes) else text


@contextmanager
def timeout(seconds: float) -> Iterator[None]:
    """Does nothing: the worker stops a callback that takes longer than its ``process_time_limit``."""
    yield


def rebuild_response(result: Mapping[str, Any]) -> Response:
    """A response out of pyspider's fetch result as a dict."""
    return Response(
        result.get("url", ""),
        status_code=result.get("status_code", 599),
        content=result.get("content") or b"",
        headers=dict(result.get("headers") or {}),
        orig_url=result.get("orig_url"),
        cookies=dict(result.get("cookies") or {}),
        time=result.get("time") or 0.0,
        error=result.get("error"),
        save=result.get("save"),
    )


def curl_to_arguments(command: str) -> dict[str, Any]:
    """What ``self.crawl`` takes, out of a curl command, the URLs as ``urls``; raises :class:`InvalidTask` [H80]."""
    urls, arguments = curl_args(command)
    return {"urls": urls, **arguments}
