"""Small helpers that handler scripts written for pyspider take from its ``utils`` and ``url``. Not for new code."""

from __future__ import annotations

import base64
import hashlib
import importlib
import mimetypes
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from crawlkit.libs import multipart
from crawlkit.libs.crawl_args import curl_args
from crawlkit.libs.response import Response
from crawlkit.libs.url import encode_params, task_url, with_params
from crawlkit.libs.url import quote_non_ascii as quote_chinese

if TYPE_CHECKING:
    import multiprocessing
    import threading

__all__ = [
    "Get",
    "ObjectDict",
    "ReadOnlyDict",
    "build_url",
    "check_port_open",
    "curl_to_arguments",
    "decode_unicode_obj",
    "decode_unicode_string",
    "encode_multipart_formdata",
    "encode_params",
    "format_date",
    "get_content_type",
    "getitem",
    "load_object",
    "md5string",
    "pretty_unicode",
    "quote_chinese",
    "rebuild_response",
    "run_in_subprocess",
    "run_in_thread",
    "text",
    "timeout",
    "unicode_dict",
    "unicode_list",
    "unicode_obj",
    "unicode_string",
    "utf8",
]

_BEGIN, _END = "[BASE64-DATA]", "[/BASE64-DATA]"  # around bytes that are no text, as pyspider's databases have them


def md5string(value: str | bytes) -> str:
    """The md5 of ``value`` in hexadecimal."""
    return hashlib.md5(utf8(value), usedforsecurity=False).hexdigest()


def utf8(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


def pretty_unicode(value: str | bytes) -> str:
    """``value`` as text, bytes read as UTF-8 where they are."""
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value


def text(value: Any, encoding: str = "utf-8") -> str:
    """``value`` as text; bytes that are wrong become U+FFFD."""
    return value.decode(encoding, "replace") if isinstance(value, bytes) else str(value)


def unicode_string(value: str | bytes) -> str:
    """``value`` as text; bytes that are not UTF-8 in base64 between two marks."""
    if isinstance(value, str):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return _BEGIN + base64.b64encode(value).decode() + _END


def decode_unicode_string(value: str) -> str | bytes:
    """Undoes :func:`unicode_string`: the bytes, where they were marked as such."""
    if value.startswith(_BEGIN) and value.endswith(_END):
        return base64.b64decode(value[len(_BEGIN) : -len(_END)])
    return value


def unicode_obj(value: Any) -> Any:
    """A copy out of dicts, lists, text, numbers and ``None``; of what is none of these, the text it prints as."""
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, str | bytes):
        return unicode_string(value)
    if isinstance(value, Mapping):
        return unicode_dict(value)
    if isinstance(value, list | tuple):
        return unicode_list(value)
    return str(value)


def unicode_dict(value: Mapping[Any, Any]) -> dict[Any, Any]:
    return {unicode_obj(key): unicode_obj(item) for key, item in value.items()}


def unicode_list(value: Iterable[Any]) -> list[Any]:
    return [unicode_obj(item) for item in value]


def decode_unicode_obj(value: Any) -> Any:
    """Undoes :func:`unicode_obj`, as far as it can be."""
    if isinstance(value, str):
        return decode_unicode_string(value)
    if isinstance(value, Mapping):
        return {decode_unicode_obj(key): decode_unicode_obj(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [decode_unicode_obj(item) for item in value]
    return value


def getitem(value: Any, key: Any = 0, default: Any = None) -> Any:
    """``value[key]``, or ``default`` when there is no such thing."""
    try:
        return value[key]
    except (LookupError, TypeError, AttributeError):
        return default


def format_date(
    date: float | datetime | None,
    gmt_offset: float = 0,
    relative: bool = True,
    shorter: bool = False,
    full_format: bool = False,
    *,
    now: datetime | None = None,
) -> str:
    """A past time in English, as ``5 minutes ago``, ``yesterday at 17:05`` or ``March 7, 2024 at 9:30``.

    ``date`` is in Unix seconds or a datetime, UTC unless it says otherwise; ``gmt_offset`` is in minutes west of UTC.
    """
    if not date:
        return "-"
    at = datetime.fromtimestamp(date, UTC) if isinstance(date, int | float) else date
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    now = now or datetime.now(UTC)
    if relative and at > now and at - now < timedelta(minutes=1):  # clocks differ
        at = now
    seconds = (now - at).total_seconds()
    if relative and not full_format and 0 <= seconds < 86_400:
        for size, name in ((3600, "hour"), (60, "minute"), (1, "second")):
            if seconds >= size * 0.8 or size == 1:
                count = max(1, round(seconds / size))
                return f"{count} {name}{'' if count == 1 else 's'} ago"
    local, today = at - timedelta(minutes=gmt_offset), now - timedelta(minutes=gmt_offset)
    days = (today.date() - local.date()).days
    time = f"{local.hour}:{local.minute:02d}"
    if seconds < 0 or full_format or days >= 334:
        day = f"{local:%B} {local.day}, {local.year}"
    elif days == 0:
        return time
    elif days == 1 and relative:
        day = "yesterday"
    else:
        day = f"{local:%A}" if days < 5 else f"{local:%B} {local.day}"
    return day if shorter else f"{day} at {time}"


class ReadOnlyDict(dict[Any, Any]):
    """A dict that refuses to be written to by ``[]``."""

    def __setitem__(self, key: Any, value: Any) -> None:
        raise TypeError("this dict is read-only")


class Get:
    """An attribute whose value is asked for at each read."""

    def __init__(self, getter: Callable[[], Any]) -> None:
        self.getter = getter

    def __get__(self, instance: object, owner: type) -> Any:
        return self.getter()


class ObjectDict(dict[str, Any]):
    """A dict whose items are attributes too."""

    def __getattr__(self, name: str) -> Any:
        try:
            value = self[name]
        except KeyError:
            raise AttributeError(name) from None
        return value.__get__(self, ObjectDict) if isinstance(value, Get) else value


def run_in_thread(function: Callable[..., Any], *args: Any, **kwargs: Any) -> threading.Thread:
    """Starts ``function`` in a thread that does not keep the process alive."""
    import threading

    thread = threading.Thread(target=function, args=args, kwargs=kwargs, daemon=True)
    thread.start()
    return thread


def run_in_subprocess(function: Callable[..., Any], *args: Any, **kwargs: Any) -> multiprocessing.Process:
    """Starts ``function`` in a process of its own, which ends with this one."""
    import multiprocessing

    process = multiprocessing.Process(target=function, args=args, kwargs=kwargs, daemon=True)
    process.start()
    return process


def load_object(name: str) -> Any:
    """What a dotted name stands for: ``package.module.thing``; raises :class:`ImportError`."""
    module, dot, thing = name.rpartition(".")
    if not dot:
        raise ImportError(f"{name!r}: name it with its module, as in package.module.thing")
    try:
        return getattr(importlib.import_module(module), thing)
    except AttributeError:
        raise ImportError(f"there is no {thing!r} in {module}") from None


def check_port_open(port: int, addr: str = "127.0.0.1") -> bool:
    """Whether somebody answers there, within 3 seconds."""
    try:
        socket.create_connection((addr, port), timeout=3).close()
    except OSError:
        return False
    return True


def build_url(url: str, params: Mapping[str, Any] | Iterable[tuple[str, Any]] | str | None = None) -> str:
    """``url`` with ``params`` in its query, in the form a task's URL has."""
    return task_url(with_params(url, params) if params else url)


def get_content_type(filename: str) -> str:
    """The media type that a file's name speaks of."""
    return mimetypes.guess_type(filename)[0] or "application/octet-stream"


def encode_multipart_formdata(fields: Mapping[str, Any], files: Mapping[str, Any]) -> tuple[str, bytes]:
    """(content type, body) of a form with files, each as ``self.crawl(files=)`` takes them."""
    body, content_type = multipart.encode(multipart.fields_of(fields), multipart.files_of(files))
    return content_type, body


@contextmanager
def timeout(seconds: float = 1, error_message: str = "Timeout") -> Iterator[None]:
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
