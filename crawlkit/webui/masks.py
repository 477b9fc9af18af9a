"""Takes secrets out of what a page shows of a task: headers, cookies, passwords in addresses and bodies [R-70]. Pure.

What stands in a task is known to whoever wrote the script; who may only look at tasks shall not read it here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from crawlkit.libs.task import Fetch
from crawlkit.libs.url_masking import masked_text

MASK = "***"
_SECRET_WORD = r"(?:passw(?:or)?d|passwd|pwd|secret|token|api[-_]?key|access[-_]?key|credential|session[-_]?id)"
_SECRET_HEADER = re.compile(
    rf"(?:proxy-)?authorization2?|cookie2?|set-cookie2?|.*(?:{_SECRET_WORD}|auth|signature).*", re.IGNORECASE
)
_WORD = re.compile(_SECRET_WORD, re.IGNORECASE)
_IN_FORM = re.compile(r"(?<![^&=\s])([^&=\s]*+)=")  # begins where a name does, so that nothing is read twice
_FORM_VALUE = re.compile(r"[^&]*+")
_IN_JSON = re.compile(r'"([^"]*+)"\s*+:\s*+')
_JSON_VALUE = re.compile(r'"(?:[^"\\]++|\\.)*+"|[^\s,}\]"]++', re.DOTALL)


def masked_url(url: str) -> str:
    """An address without the password before its host, and without what its query calls a secret."""
    return masked_text(url)


def masked_headers(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Headers, of a request or a response, without those that let somebody in."""
    return {name: MASK if _SECRET_HEADER.fullmatch(name) else value for name, value in headers.items()}


def masked_body(data: bytes) -> str:
    """A request's body as text without the passwords in it; what is no text is told by its size."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return f"({len(data)} bytes that are no text)"
    return _without_values(_without_values(text, _IN_FORM, _FORM_VALUE, MASK), _IN_JSON, _JSON_VALUE, f'"{MASK}"')


def _without_values(text: str, names: re.Pattern[str], values: re.Pattern[str], mask: str) -> str:
    """``mask`` in place of the values behind names that mean a secret, in a time that grows with the length alone."""
    kept, place = [], 0
    for found in names.finditer(text):
        if found.start() < place or not _WORD.search(found[1]):
            continue
        value = values.match(text, found.end())
        if value is not None:
            kept += [text[place : found.end()], mask]
            place = value.end()
    return "".join([*kept, text[place:]])


def masked_fetch(fetch: Fetch) -> dict[str, Any]:
    """The fetch part of a task as JSON can say it; only what was given."""
    value: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(fetch, data=None))
    if fetch.headers is not None:
        value["headers"] = masked_headers(fetch.headers)
    if fetch.cookies is not None:
        value["cookies"] = dict.fromkeys(fetch.cookies, MASK)
    if isinstance(fetch.proxy, str):
        value["proxy"] = _proxy(fetch.proxy)
    elif isinstance(fetch.proxy, list):
        value["proxy"] = [_proxy(one) for one in fetch.proxy]
    if fetch.data is not None:
        value["data"] = masked_body(fetch.data)
    if fetch.browser is not None:
        browser = value["browser"]
        if fetch.browser.first_headers:
            browser["first_headers"] = masked_headers(fetch.browser.first_headers)
        for action in browser.get("actions") or ():
            if "fill" in action:  # it may be a password, and no selector says so for certain
                action["text"] = MASK
    return value


def printed_fetch(fetch: Fetch) -> dict[str, Any]:
    """As :func:`masked_fetch`, for programs: a body in which nothing is masked stays base64, so that it can be read."""
    value = masked_fetch(fetch)
    if fetch.data is not None and MASK not in value["data"]:
        value["data"] = msgspec.to_builtins(fetch.data)
    return value


def masked_at(value: Any, path: str = "fetch") -> str | None:
    """Where in a task's fetch a mask stands in place of a value, as ``fetch.headers.Cookie``; ``None``: nowhere."""
    if isinstance(value, str):
        inside = path.startswith(("fetch.data", "fetch.proxy"))  # of these only the password is masked
        return path if value == MASK or (inside and MASK in value) else None
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return next((at for name, one in pairs if (at := masked_at(one, f"{path}.{name}")) is not None), None)


def masked_track(track: dict[str, Any]) -> dict[str, Any]:
    """What an attempt remembers of its fetch."""
    value = dict(track)
    if isinstance(value.get("headers"), dict):
        value["headers"] = masked_headers(value["headers"])
    for name in ("redirect_url", "error"):
        if isinstance(value.get(name), str):
            value[name] = masked_url(value[name])
    rendered = value.get("rendered")
    if isinstance(rendered, dict):
        value["rendered"] = masked_rendered(rendered)
    return value


def masked_rendered(rendered: dict[str, Any]) -> dict[str, Any]:
    """What a browser brought along: addresses in what a page asked for, and in what it wrote to the console."""
    value = dict(rendered)
    if isinstance(value.get("console"), list):
        value["console"] = [masked_url(str(line)) for line in value["console"]]
    if isinstance(value.get("xhr"), list):
        value["xhr"] = [{**one, "url": masked_url(str(one.get("url", "")))} for one in value["xhr"]]
    return value


def _proxy(address: str) -> str:
    """A proxy's address; ``user:password@host`` may stand without a scheme there."""
    if "://" in address or "@" not in address:
        return masked_url(address)
    return masked_url(f"http://{address}").removeprefix("http://")
