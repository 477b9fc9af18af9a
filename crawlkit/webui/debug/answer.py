"""What the editor is told of a step, as plain JSON. Pure: findings in, dicts out."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import msgspec

from crawlkit.fetcher.hops import Hop, Timing
from crawlkit.libs.jsonable import jsonable
from crawlkit.libs.messages import NIL, Dispatch, Fetched
from crawlkit.libs.response import Response
from crawlkit.libs.task import JSONDict
from crawlkit.webui.debug.gathered import Gathered
from crawlkit.webui.debug.settings import DebugSettings
from crawlkit.webui.debug.tasks import body_json, follow_json, message_json

MAX_FRAMES = 50
MAX_LINES = 5_000
MAX_BODY = 20_000  # characters of a captured answer
HIDDEN = "***"
_HIDES = frozenset({"authorization", "proxy-authorization"})
_TEXTUAL = re.compile(r"(?i)text/|json|xml|javascript|ecmascript|x-www-form-urlencoded|csv|yaml|html")
_FRAME = re.compile(r'File "(?P<file>[^"\n]+)", line (?P<line>\d+)(?:, in (?P<function>[^\n]+))?')
_LOGGED = re.compile(r"^\[[A-Z] \d{6} \d\d:\d\d:\d\d (?P<project>\w+):(?P<line>\d+)\] ")
_AT_LINE = re.compile(r"^line (\d+): ")
Mask = Callable[[str], str]


def error_json(
    kind: str, message: str, *, line: int | None = None, column: int | None = None, frames: Sequence[JSONDict] = ()
) -> JSONDict:
    """One error as the editor shows it."""
    return {"kind": kind, "message": message, "line": line, "column": column, "frames": list(frames)}


def frames_in(text: str, project: str) -> list[JSONDict]:
    """The script's own frames in the tracebacks of ``text``, outermost first."""
    lines = text.splitlines()
    found: list[JSONDict] = []
    for number, line in enumerate(lines):
        match = _FRAME.search(line)
        if match is None or match["file"] != f"{project}.py":
            continue
        source = lines[number + 1].strip(" |") if number + 1 < len(lines) else ""
        found.append({"line": int(match["line"]), "function": (match["function"] or "").strip(), "text": source})
    return found[-MAX_FRAMES:]


def error_of(reason: str, message: str, logs: str, project: str) -> JSONDict:
    """The error that a track tells of: its place is the script's innermost line in the last traceback."""
    at = _AT_LINE.match(message)
    traceback = logs[max(0, logs.rfind("Traceback (most recent call last)")) :]
    frames = frames_in(traceback, project)
    line = int(at[1]) if at else (frames[-1]["line"] if frames else None)
    kind = {"script_error": "script", "http_status": "http", "fetch_error": "fetch"}.get(reason, reason or "exception")
    return error_json(kind, message[at.end() :] if at else message, line=line, frames=frames)


def log_lines(text: str, project: str) -> list[JSONDict]:
    """Each line of the log, with the line of the script that it speaks of."""
    shown: list[JSONDict] = []
    for line in text.splitlines()[-MAX_LINES:]:
        frame, logged = _FRAME.search(line), _LOGGED.match(line)
        number = None
        if frame is not None and frame["file"] == f"{project}.py":
            number = int(frame["line"])
        elif logged is not None and logged["project"] == project:
            number = int(logged["line"])
        shown.append({"text": line, "line": number})
    return shown


def request_json(task: Dispatch, hops: Sequence[Hop], mask: Mask) -> JSONDict | None:
    """What was sent, as it was sent; ``None`` when nothing was."""
    if not hops:
        return None
    last = hops[-1]
    shown = [_hop_json(hop, mask) for hop in hops]
    return {
        "method": last.method,
        "url": shown[-1]["url"],
        "headers": shown[-1]["headers"],
        "body": None if not last.body else _body(last.body, mask),
        "hops": shown,
    }


def _body(data: bytes, mask: Mask) -> Any:
    body = body_json(data)
    return mask(body) if isinstance(body, str) else body


def _hop_json(hop: Hop, mask: Mask) -> JSONDict:
    return {
        "method": hop.method,
        "url": mask(hop.url),
        "headers": _headers(hop.sent(), mask),
        "status": hop.status,
        "timing": asdict(hop.timing),
        "address": hop.address,
        "http": hop.http,
    }


def _headers(headers: Sequence[tuple[str, str]], mask: Mask) -> list[list[str]]:
    """Credentials are hidden whoever put them there; the scheme is shown."""
    return [
        [name, f"{value.partition(' ')[0]} {HIDDEN}" if name.lower() in _HIDES else mask(value)]
        for name, value in headers
    ]


def response_json(
    fetched: Fetched, hops: Sequence[Hop], settings: DebugSettings, mask: Mask, attachments: Mapping[str, bytes]
) -> JSONDict:
    """The answer with its body as text or as a data URL, cut to what a browser shows at once."""
    response = Response.of(fetched)
    text, encoding, truncated, data_url = None, None, False, None
    content, content_type = fetched.content, response.content_type
    if content and content_type.lower().startswith("image/") and "svg" not in content_type.lower():
        if len(content) <= settings.max_data_url:
            kind = content_type.partition(";")[0].strip()
            data_url = f"data:{kind};base64,{base64.b64encode(content).decode()}"
    elif is_text(content, content_type):
        encoding = response.encoding
        head = content[: 4 * settings.max_text]
        whole = Response(response.url, content=head, headers=fetched.headers)
        whole.encoding = encoding
        text = whole.text[: settings.max_text]
        truncated = len(text) < len(whole.text) or len(head) < len(content)
    return {
        "status": fetched.status_code,
        "url": mask(fetched.url),
        "orig_url": mask(fetched.orig_url),
        "headers": [list(pair) for pair in fetched.headers],
        "cookies": fetched.cookies,
        "history": [[status, mask(url)] for status, url in fetched.history],
        "time": fetched.time,
        "timing": asdict(hops[-1].timing if hops else Timing()),
        "encoding": encoding,
        "content_type": content_type,
        "size": fetched.size or len(content),
        "error": None if fetched.error is None else mask(fetched.error),
        "error_kind": fetched.error_kind,
        "text": None if text is None else _clean(text),
        "truncated": truncated,
        "data_url": data_url,
        "js_script_result": fetched.js_script_result,
        "rendered": None if fetched.rendered is None else rendered_json(fetched.rendered, attachments, mask),
    }


def rendered_json(rendered: JSONDict, attachments: Mapping[str, bytes], mask: Mask) -> JSONDict:
    """What a browser brought along. ``attachments``: the files, as far as they are small enough to be shown."""
    shown: JSONDict = {"counts": rendered.get("counts") or {}}
    for name in ("screenshot", "pdf"):
        file = rendered.get(name)
        if file is not None:
            content = attachments.get(name)
            kind = "application/pdf" if name == "pdf" else _image_type(content or b"")
            url = None if not content else f"data:{kind};base64,{base64.b64encode(content).decode()}"
            shown[name] = {"bytes": file["bytes"], "sha256": file["sha256"], "data_url": url}
    shown["console"] = [mask(_clean(line)) for line in rendered.get("console") or ()]
    shown["xhr"] = [
        {
            **{name: mask(_clean(str(each.get(name) or ""))) for name in ("url", "method", "content_type")},
            "status": each.get("status"),
            "size": len(str(each.get("body") or "")),
            "body": mask(_clean(str(each.get("body") or "")[:MAX_BODY])),
            "truncated": bool(each.get("truncated")),
        }
        for each in rendered.get("xhr") or ()
    ]
    return shown


def _image_type(content: bytes) -> str:
    return "image/jpeg" if content.startswith(b"\xff\xd8\xff") else "image/png"


def is_text(content: bytes, content_type: str) -> bool:
    """Whether a body is shown as text: by its type, else by its first bytes."""
    if not content:
        return True
    if content_type:
        return bool(_TEXTUAL.search(content_type))
    return b"\0" not in content[:4096]


def outcome_json(gathered: Gathered, dispatch: Dispatch, save: JSONDict, logs: str) -> JSONDict:
    """What the callback gave."""
    last = gathered.last
    process = last.process if last is not None else None
    error = None
    if last is not None and not last.ok and process is not None:
        error = error_of(process.reason or "exception", process.exception or "it failed", logs, dispatch.project)
    if last is not None and last.save != NIL:
        save = msgspec.msgpack.decode(last.save)
    return {
        "ok": last is not None and last.ok,
        "error": error,
        "follows": [follow_json(follow) for follow in gathered.follows],
        "follow_count": gathered.follow_count,
        "messages": [message_json(dispatch.project, message) for message in gathered.messages],
        "message_count": gathered.message_count,
        "results": [json.loads(text) for text in gathered.results],
        "result_count": gathered.result_count,
        "save": save or None,
        "drop": last.drop if last is not None else None,
        "not_modified": last is not None and last.not_modified,
    }


def plain(value: Any) -> Any:
    """``value`` as JSON can say it: lone surrogates are replaced, bytes become text."""
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, bytes):
        return body_json(value)
    if isinstance(value, dict):
        return {_clean(str(name)): plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, float) and value - value != 0:
        return None
    return value if value is None or isinstance(value, bool | int | float) else jsonable(value, "answer")


def _clean(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
