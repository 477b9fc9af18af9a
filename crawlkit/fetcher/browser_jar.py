"""What a browser keeps of a session - cookies with all their attributes, localStorage - as lines of its jar and back.

Pure. A cookie is a line of :mod:`cookie_jar`; what such a line has no field for, and storage, are lines of our own
beside them, which libcurl is never shown. All text in these is ASCII.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

from crawlkit.fetcher import cookie_jar
from crawlkit.fetcher.cookie_jar import MAX_COOKIES, OURS, Cookie

MAX_ORIGIN = 64 * 1024  # characters of one origin's localStorage as its line
MAX_STORAGE = 128 * 1024  # of all lines of storage together: they travel with every task of the session
_STORAGE = OURS + "storage"  # origin, JSON list of [name, value]
_COOKIE = OURS + "cookie"  # domain, path, name, JSON of further attributes
_SAME_SITE = ("Strict", "Lax", "None")


def cookies_of(lines: Iterable[str]) -> list[dict[str, Any]]:
    """The cookies of a jar in Playwright's form."""
    lines = list(lines)
    further = {tuple(fields[1:4]): _json(fields[4]) for fields in _ours(lines, _COOKIE, 5)}
    made = []
    for line in lines:
        cookie = cookie_jar.read(line)
        if cookie is None:
            continue
        said: dict[str, Any] = {
            "name": _text(cookie.name),
            "value": _text(cookie.value),
            "domain": _domain(cookie),
            "path": cookie.path,
            "expires": cookie.expires or -1,
            "httpOnly": cookie.http_only,
            "secure": cookie.secure,
        }
        attributes = further.get((_domain(cookie), cookie.path, cookie.name))
        if isinstance(attributes, dict):
            same_site = attributes.get("sameSite")
            if same_site in _SAME_SITE and (same_site != "None" or cookie.secure):
                said["sameSite"] = same_site
            if isinstance(attributes.get("partitionKey"), str):
                said["partitionKey"] = attributes["partitionKey"]
        made.append(said)
    return made


def origins_of(lines: Iterable[str]) -> list[dict[str, Any]]:
    """The localStorage of a jar in Playwright's form."""
    made = []
    for _, origin, text in _ours(lines, _STORAGE, 3):
        pairs = _json(text)
        if isinstance(pairs, list):
            stored = [{"name": pair[0], "value": pair[1]} for pair in pairs if _is_pair(pair)]
            made.append({"origin": origin, "localStorage": stored})
    return made


def lines_of(
    cookies: Iterable[dict[str, Any]], origins: Iterable[dict[str, Any]], before: Iterable[str], visited: str = ""
) -> tuple[list[str], list[str]]:
    """A jar of what a browser has now, and in words what there is no room for.

    Storage of origins that the browser does not speak of stays as it was ``before``, but that of ``visited``: where a
    page has been, no word of it means that nothing is stored.
    """
    before = list(before)
    made: list[str] = []
    problems: list[str] = []
    for said in list(cookies)[-MAX_COOKIES:]:
        cookie = _cookie(said)
        line = "" if cookie is None else cookie_jar.write(cookie)
        if cookie is None or cookie_jar.read(line) is None:
            problems.append(f"session: the cookie {str(said.get('name'))!r:.60} is not kept, no jar can hold it")
            continue
        made.append(line)
        further = {name: said[name] for name in ("sameSite", "partitionKey") if isinstance(said.get(name), str)}
        if further.get("sameSite") == "Lax":  # what a browser takes a cookie for that says nothing
            del further["sameSite"]
        if further:
            made.append("\t".join([_COOKIE, _domain(cookie), cookie.path, cookie.name, json.dumps(further)]))
    stored, too_much = _storage_lines(origins, before, visited)
    return made + stored, problems + too_much


def _storage_lines(origins: Iterable[dict[str, Any]], before: list[str], visited: str) -> tuple[list[str], list[str]]:
    kept = {fields[1]: "\t".join(fields) for fields in _ours(before, _STORAGE, 3)}
    kept.pop(visited, None)
    problems = []
    for said in origins:
        origin, stored = str(said.get("origin") or ""), said.get("localStorage") or []
        pairs = [[str(each.get("name")), str(each.get("value"))] for each in stored if isinstance(each, dict)]
        line = "\t".join([_STORAGE, origin, json.dumps(pairs)])
        if not origin or not origin.isascii() or "\t" in origin:
            continue
        known = kept.pop(origin, None)
        if not pairs:
            continue
        if len(line) > MAX_ORIGIN:
            problems.append(f"session: localStorage of {origin} is {len(line):,} bytes, over {MAX_ORIGIN:,}: not kept")
        elif line == known:
            kept = {origin: line, **kept}  # unchanged is older than changed
        else:
            kept[origin] = line
    lines = list(kept.values())
    while sum(map(len, lines)) > MAX_STORAGE:
        gone = lines.pop(0).split("\t")[1]
        problems.append(f"session: localStorage is over {MAX_STORAGE:,} bytes in all: that of {gone} is not kept")
    return lines, problems


def _cookie(said: dict[str, Any]) -> Cookie | None:
    domain, name, value = (said.get(key) for key in ("domain", "name", "value"))
    expires = said.get("expires")
    if not (isinstance(domain, str) and isinstance(name, str) and isinstance(value, str)):
        return None
    if isinstance(expires, bool) or not isinstance(expires, int | float) or not 0 < expires < 1e12:
        expires = 0
    return Cookie(
        domain.removeprefix(".").strip("[]"),
        domain.startswith("."),
        str(said.get("path") or "/"),
        bool(said.get("secure")),
        math.ceil(expires),
        _wire(name),
        _wire(value),
        bool(said.get("httpOnly")),
    )


def _domain(cookie: Cookie) -> str:
    host = f"[{cookie.host}]" if ":" in cookie.host else cookie.host
    return ("." if cookie.subdomains else "") + host


def _ours(lines: Iterable[str], kind: str, fields: int) -> list[list[str]]:
    parted = [line.split("\t") for line in lines if line.startswith(kind + "\t")]
    return [each for each in parted if len(each) == fields]


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(each, str) for each in value)


def _text(wire: str) -> str:
    return wire.encode("latin-1", "replace").decode("utf-8", "replace")


def _wire(text: str) -> str:
    return text.encode("utf-8", "replace").decode("latin-1")
