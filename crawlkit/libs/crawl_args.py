"""What the arguments of ``self.crawl`` mean: plain arguments in, the parts of a task out.

Pure. No dict that came in is ever changed [H34]; what comes out shares nothing mutable with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, time
from decimal import Decimal
from typing import Any, Literal, TypedDict

from msgspec import to_builtins

from crawlkit.libs import browse_args, filenames, multipart
from crawlkit.libs.errors import InvalidTask
from crawlkit.libs.jsonable import MAX_DEPTH, NotJSON, jsonable, to_json
from crawlkit.libs.task import NO_FETCH, NO_PROCESS, NO_SCHEDULE, Fetch, Process, Schedule, convert
from crawlkit.libs.url import encode_params, has_scheme

_CURL = ("curl ", "curl\t", "curl\n", "curl\\")
Content = str | bytes | bytearray | memoryview
File = Content | tuple[str, Content] | tuple[str, Content, str] | Mapping[str, Content]
Wait = str | float | Mapping[str, Any]
RUN_AT = ("document-start", "document-end")
FETCH_TYPES = ("auto", "browser", "http", "js", "phantomjs", "puppeteer", "splash")


class FetchArgs(TypedDict, total=False):
    """The arguments of ``self.fetch`` beside the URL, in ``self.crawl`` the same [H42-H52]."""

    params: Mapping[str, Any] | Iterable[tuple[str, Any]] | str | None
    data: str | bytes | Mapping[str, Any] | list[tuple[str, Any]] | None
    files: Mapping[str, File] | list[tuple[str, File]] | None
    method: str | None
    headers: Mapping[str, str] | None
    user_agent: str | None
    cookies: Mapping[str, str] | None
    timeout: float | None
    connect_timeout: float | None
    use_gzip: bool | None
    validate_cert: bool | None
    allow_redirects: bool | None
    max_redirects: int | None
    robots_txt: bool | None
    proxy: str | bool | list[str] | None
    session: str | None
    etag: str | bool | None
    last_modified: str | bool | None
    last_modifed: str | bool | None  # as pyspider misspelt it
    max_size: int | None
    fetch_type: str | None
    js_script: str | None
    js_run_at: str | None
    js_viewport_width: int | None
    js_viewport_height: int | None
    load_images: bool | None
    wait_for: Wait | list[Wait] | None
    js_actions: list[Mapping[str, Any]] | Mapping[str, Any] | None
    block: str | list[str] | Literal[False] | None
    screenshot: bool | str | Mapping[str, Any] | None
    pdf: bool | str | Mapping[str, Any] | None
    capture_xhr: bool | str | list[str] | None
    first_headers: Mapping[str, str] | None
    locale: str | None
    timezone: str | None
    geolocation: tuple[float, float] | tuple[float, float, float] | Mapping[str, float] | None
    save: Any
    priority: int
    retries: int


class CrawlArgs(FetchArgs, total=False):
    """The arguments of ``self.crawl`` beside URL and callback [H42-H54]."""

    taskid: str | None
    process_time_limit: float | None
    exetime: float
    age: float
    itag: str | int | float | None
    auto_recrawl: bool
    force_update: bool
    cancel: bool


SCHEDULE_FIELDS = frozenset(Schedule.__struct_fields__) - {"retried", "depth", "counted"}
FETCH_FIELDS = frozenset(Fetch.__struct_fields__)
PROCESS_FIELDS = frozenset(Process.__struct_fields__)
PARTS = SCHEDULE_FIELDS | FETCH_FIELDS | PROCESS_FIELDS
KNOWN = frozenset(CrawlArgs.__annotations__) | {"callback", "download"}
KNOWN_TO_FETCH = frozenset(FetchArgs.__annotations__)
_YES_OR_NO = (
    *("use_gzip", "validate_cert", "allow_redirects", "robots_txt", "load_images"),
    *("auto_recrawl", "force_update", "cancel"),
)
_KINDS: dict[str, type] = {
    **dict.fromkeys(_YES_OR_NO, bool),
    **dict.fromkeys(
        ("priority", "retries", "max_redirects", "max_size", "js_viewport_width", "js_viewport_height"), int
    ),
    **dict.fromkeys(("timeout", "connect_timeout", "process_time_limit", "exetime", "age"), float),
}
_WORDS = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}
_NEVER_DROPPED = frozenset({"save"})
MAX_SESSION = 64  # characters of its name


def joined(weak: Mapping[str, Any], strong: Mapping[str, Any]) -> dict[str, Any]:
    """Both together, ``strong`` winning, also key by key inside dicts [H33]. Neither is changed."""
    both = dict(weak)
    for name, value in strong.items():
        below = both.get(name)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            both[name] = {**below, **value}
        else:
            both[name] = value
    return both


def check_names(names: Iterable[str], method: str = "crawl", known: frozenset[str] = KNOWN) -> None:
    """Raises :class:`TypeError` that names the arguments ``self.crawl`` (or ``method``) does not know."""
    unknown = sorted(set(names) - known)
    if unknown:
        raise TypeError(
            f"{method}() got unexpected arguments: {', '.join(_with_hint(name, known) for name in unknown)}"
        )


def _with_hint(name: str, known: frozenset[str]) -> str:
    """``name``, and the argument that was meant, if there is one much like it."""
    from difflib import get_close_matches  # rarely needed, and not free to import

    close = get_close_matches(str(name).lower(), sorted(known), 1, 0.75)
    return f"{name} (did you mean {close[0]!r}?)" if close else name


def check_fetch_type(args: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Raises :class:`InvalidTask` for what only a browser can do, when ``args`` and ``crawl_config`` ask for none."""
    if not browse_args.NAMES.isdisjoint(args):
        fetch_type = args.get("fetch_type")
        browse_args.check_fetch_type(
            [name for name in browse_args.PLACES if args.get(name)],
            config.get("fetch_type") if fetch_type is None else fetch_type,
        )


def parts_of(args: Mapping[str, Any]) -> tuple[Schedule | None, Fetch | None, Process | None]:
    """The parts of a task out of joined arguments (``callback`` a name); raises :class:`InvalidTask`, ``TypeError``.

    A part of which nothing was said is ``None``.
    """
    values = normalised(args)
    schedule = {name: values[name] for name in values if name in SCHEDULE_FIELDS}
    fetch = {name: values[name] for name in values if name in FETCH_FIELDS}
    process = {name: values[name] for name in values if name in PROCESS_FIELDS}
    return (
        convert(schedule, Schedule, "schedule") if schedule else None,
        convert(fetch, Fetch, "fetch") if fetch else None,
        convert(process, Process, "process") if process else None,
    )


def normalised(args: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments in the types that :class:`Fetch`, :class:`Schedule` and :class:`Process` want; others are left out."""
    if args.get("files"):
        args = _with_uploads(args)
    values = {n: _exact(v) for n, v in args.items() if n in PARTS and (v is not None or n in _NEVER_DROPPED)}
    if "browser" in values or not browse_args.NAMES.isdisjoint(args):
        values["browser"] = browse_args.browse_of(args, values.get("browser"))
    if args.get("last_modifed") is not None and "last_modified" not in values:
        values["last_modified"] = args["last_modifed"]
    for name, value in values.items():
        kind = _KINDS.get(name)
        if kind is not None and type(value) is not kind:
            values[name] = _as_meant(value, kind)
    for name in ("headers", "cookies"):
        if name in values:
            values[name] = _text_dict(values[name], name)
    if "data" in values:
        _set_body(values)
    if isinstance(values.get("proxy"), list | tuple):
        values["proxy"] = [_exact(each) for each in values["proxy"]]
    session = values.get("session")
    if session is not None and (not isinstance(session, str) or not 0 < len(session) <= MAX_SESSION):
        raise InvalidTask("fetch.session", f"{session!r:.80}: a name of 1 to {MAX_SESSION} characters")
    if isinstance(values.get("method"), str):
        values["method"] = values["method"].upper()
    if "user_agent" not in values:
        for name, value in (values.get("headers") or {}).items():
            if name.lower() == "user-agent":
                values["user_agent"] = value
    fetch_type = values.get("fetch_type")
    if fetch_type == "None":  # pyspider took any text that is no browser's for plain HTTP
        del values["fetch_type"]
        fetch_type = None
    if fetch_type not in (None, "", "https", *FETCH_TYPES):
        raise InvalidTask("fetch.fetch_type", f"{fetch_type!r} is unknown; use one of {', '.join(FETCH_TYPES)}")
    if values.get("js_run_at") not in (None, "", *RUN_AT):
        raise InvalidTask("fetch.js_run_at", f"{values['js_run_at']!r:.80}: use {' or '.join(map(repr, RUN_AT))}")
    if "browser" in values and type(values.get("timeout")) in (int, float):
        browse_args.check_time(values["browser"], values["timeout"])
    if "download" in values:
        values["download"] = filenames.download_args(values["download"])
    if "save" in values:
        values["save"] = _saved(values["save"])
    return values


def _as_meant(value: Any, kind: type) -> Any:
    """``"3"``, ``3.0`` and ``"false"`` as the number or the yes or no they can only mean; all else as it is."""
    if kind is bool:
        if isinstance(value, str):
            return _WORDS.get(value.strip().lower(), value)
        return bool(value) if value in (0, 1) else value
    if isinstance(value, str):
        try:
            value = float(value) if kind is float or "." in value else int(value)
        except ValueError:
            return value
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _saved(value: Any) -> Any:
    """``save`` as it will arrive; raises :class:`InvalidTask`. Dates and decimals arrive as text, as in pyspider."""
    try:
        try:
            saved = jsonable(value, "fetch.save")
        except NotJSON:
            saved = jsonable(_dates_as_text(value, 0), "fetch.save")
        to_json(saved, "fetch.save")
    except NotJSON as error:
        raise InvalidTask(error.path, error.problem) from None
    return saved


def _dates_as_text(value: Any, depth: int) -> Any:
    if isinstance(value, date | time | Decimal):
        return str(value)
    if depth < MAX_DEPTH and type(value) is dict:
        return {key: _dates_as_text(item, depth + 1) for key, item in value.items()}
    if depth < MAX_DEPTH and type(value) in (list, tuple):
        return [_dates_as_text(item, depth + 1) for item in value]
    return value


def _exact(value: Any) -> Any:
    """A text that lxml found knows its parent; what crosses a queue is plain text."""
    return str.__str__(value) if isinstance(value, str) else value


def _text_dict(value: Any, name: str) -> dict[str, str]:
    try:
        pairs = dict(value).items()
    except (TypeError, ValueError):
        raise InvalidTask(f"fetch.{name}", f"is a dict of text, not {type(value).__name__}") from None
    return {_text(key): _text(item) for key, item in pairs if item is not None}


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _set_body(values: dict[str, Any]) -> None:
    data = values["data"]
    if isinstance(data, str | bytes | Mapping | list | tuple) and not data:
        del values["data"]
        return
    if isinstance(data, str):
        values["data"] = data.encode("utf-8", "replace")
    elif isinstance(data, Mapping | list | tuple):
        values["data"] = encode_params(data).encode()
        headers = values.get("headers") or {}
        if not any(name.lower() == "content-type" for name in headers):
            values["headers"] = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
    elif isinstance(data, bytearray | memoryview):
        values["data"] = bytes(data)
    elif not isinstance(data, bytes):
        raise InvalidTask("fetch.data", f"is text, bytes, a dict or a list of pairs, not {type(data).__name__}")
    values.setdefault("method", "POST")


def _with_uploads(args: Mapping[str, Any]) -> dict[str, Any]:
    """``args`` with ``files`` and the fields in ``data`` made into one multipart body [H44]."""
    both = dict(args)
    data = both.pop("data", None)
    if data is not None and not isinstance(data, Mapping | list | tuple):
        raise InvalidTask("fetch.data", f"is a dict of fields when there are files, not {type(data).__name__}")
    both["data"], content_type = multipart.encode(
        multipart.fields_of(data or {}), multipart.files_of(both.pop("files"))
    )
    headers = _text_dict(both.get("headers") or {}, "headers")
    both["headers"] = {n: v for n, v in headers.items() if n.lower() != "content-type"} | {"Content-Type": content_type}
    return both


def is_curl(url: str) -> bool:
    """Whether what stands for a URL is a curl command."""
    return url.lstrip().startswith(_CURL)


def curl_args(command: str) -> tuple[list[str], dict[str, Any]]:
    """URLs and arguments of a curl command [H80, H81]; raises :class:`InvalidTask` that names the wrong word."""
    from crawlkit.libs.curl_command import CurlError, parse

    try:
        request = parse(command)
    except CurlError as error:
        raise InvalidTask("url", f"curl command: {error}") from None
    said: dict[str, Any] = {
        name: value
        for name in ("method", "data", "user_agent", "proxy", "timeout", "connect_timeout", "max_redirects")
        if (value := getattr(request, name)) is not None
    }
    for name in ("allow_redirects", "validate_cert", "use_gzip"):
        if (flag := getattr(request, name)) is not None:
            said[name] = flag
    if request.headers:
        said["headers"] = request.headers
    if request.cookies:
        said["cookies"] = request.cookies
    if request.form:
        fields = [multipart.Field(name, content, filename, kind) for name, content, filename, kind in request.form]
        said["data"], content_type = multipart.encode(fields, [])
        said["headers"] = {**request.headers, "Content-Type": content_type}
    return [url if has_scheme(url) else "http://" + url for url in request.urls], said


def is_plain(schedule: Schedule | None) -> bool:
    """Whether nothing in ``schedule`` could make a known task run again."""
    if schedule is None:
        return True
    return schedule.age < 0 and schedule.itag is None and not schedule.force_update and not schedule.cancel


def as_dict(schedule: Schedule | None, fetch: Fetch | None, process: Process | None) -> dict[str, Any]:
    """The parts in pyspider's shape: three dicts with what was said."""
    parts: dict[str, Any] = {}
    for name, part, nothing in (
        ("schedule", schedule, NO_SCHEDULE),
        ("fetch", fetch, NO_FETCH),
        ("process", process, NO_PROCESS),
    ):
        if part is None:
            parts[name] = {}
            continue
        parts[name] = {
            field: getattr(part, field)
            for field in part.__struct_fields__
            if getattr(part, field) != getattr(nothing, field)
        }
    if "browser" in parts["fetch"]:
        parts["fetch"]["browser"] = to_builtins(parts["fetch"]["browser"])
    if "data" in parts["fetch"]:
        parts["fetch"]["data"] = shown_body(parts["fetch"]["data"])
    return parts


def shown_body(body: bytes) -> str | bytes:
    """A request's body as scripts see it in a task: text where it is text, as their ``get_taskid`` may join it."""
    try:
        return body.decode()
    except UnicodeDecodeError:
        return body
