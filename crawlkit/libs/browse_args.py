"""What scripts say of a rendered page - ``wait_for="#list"``, ``screenshot=True`` - made into a checked ``Browse``.

Pure. What is in the checked form already stays as it is, so a task may be checked as often as it is read.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from crawlkit.libs.browse import Browse
from crawlkit.libs.errors import InvalidTask

#: The arguments of ``self.crawl`` that only a browser understands, and where each is in :class:`Browse`.
PLACES = {
    "wait_for": "wait_for",
    "js_actions": "actions",
    "block": "block",
    "screenshot": "screenshot",
    "pdf": "pdf",
    "capture_xhr": "xhr",
    "first_headers": "first_headers",
    "locale": "locale",
    "timezone": "timezone",
    "geolocation": "geolocation",
}
NAMES = frozenset(PLACES)
PLAIN_TYPES = frozenset({None, "", "http", "https", "None"})  # of fetch_type
BLOCKED = ("images", "fonts", "media", "styles", "trackers")
WAITS = ("selector", "network_idle", "function", "seconds", "load")
WAIT_WORDS = ("networkidle", "load", "domcontentloaded")
STATES = ("visible", "attached", "hidden", "detached")
LOADS = ("load", "domcontentloaded")
ACTIONS = ("click", "fill", "press", "select", "hover", "scroll", "wait_for")
SHOWN = ("full", "page")
FORMATS = ("Letter", "Legal", "Tabloid", "Ledger", "A0", "A1", "A2", "A3", "A4", "A5", "A6")

MAX_WAITS = 20
MAX_ACTIONS = 100
MAX_PATTERNS = 200
MAX_TEXT = 20_000  # characters of a selector, a script, a text to fill in
MAX_PATTERN = 1_000
MAX_SECONDS = 600.0
QUIET = 0.5  # seconds without a request, where "networkidle" does not say how many
SCROLLS = 20  # at most, to the end of a page that grows
MAX_SCROLLS = 1_000
MAX_PIXELS = 10_000_000

_ALIASES = {
    **dict.fromkeys(("image", "img"), "images"),
    **dict.fromkeys(("style", "css", "stylesheet", "stylesheets"), "styles"),
    **dict.fromkeys(("video", "audio"), "media"),
    "font": "fonts",
    "tracker": "trackers",
}
_IDLE = frozenset({"networkidle", "network_idle", "network-idle", "networkidle0", "networkidle2"})
_FUNCTION = re.compile(r"\s*(async\s+)?(function\b|\([^()]*\)\s*=>|[A-Za-z_$][\w$]*\s*=>)")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_BARE = re.compile(r"[A-Za-z_]+\Z")  # the name of an element; no element of HTML is near to a word of ours
_LOCALE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*\Z")
_BREAKS = re.compile(r"[\r\n\0]")


def browse_of(said: Mapping[str, Any], base: Any = None) -> dict[str, Any]:
    """``Browse`` as a dict, out of arguments by their names in ``self.crawl``, joined over one that is there.

    What is said to be off (``screenshot=False``, ``block=[]``) is kept as such: it wins over a ``crawl_config``.
    Raises :class:`InvalidTask` that names the argument.
    """
    made = {} if base is None else _checked(base)
    for name, place in PLACES.items():
        if said.get(name) is not None:
            made[place] = _MAKERS[name](f"fetch.{name}", said[name])
    return made


def check(browse: Browse) -> None:
    """Raises :class:`InvalidTask` for what the types of :class:`Browse` do not say."""
    _checked({name: getattr(browse, name) for name in browse.__struct_fields__})


def _checked(base: Any) -> dict[str, Any]:
    if not isinstance(base, Mapping):
        raise InvalidTask("fetch.browser", f"is a dict, not {type(base).__name__}")
    unknown = sorted(set(map(str, base)) - set(PLACES.values()))
    if unknown:
        raise InvalidTask(f"fetch.browser.{unknown[0]}", f"is unknown; known are {', '.join(PLACES.values())}")
    names = {place: name for name, place in PLACES.items()}
    return {
        place: _MAKERS[names[place]](f"fetch.browser.{place}", value)
        for place, value in base.items()
        if value is not None
    }


def check_fetch_type(said: Collection[str], fetch_type: Any) -> None:
    """Raises :class:`InvalidTask` when an argument that only a browser understands would be lost in a plain fetch."""
    if fetch_type in PLAIN_TYPES:
        lost = [name for name in PLACES if name in said]
        if lost:
            how = "without one" if fetch_type in (None, "None") else f"as fetch_type={fetch_type!r}"
            raise InvalidTask(
                f"fetch.{lost[0]}",
                f"only a browser can do this, and the page is fetched {how}; say fetch_type='browser' with it",
            )


def check_time(browse: Mapping[str, Any], timeout: float) -> None:
    """Raises :class:`InvalidTask` when a task waits longer than its ``timeout`` lets it."""
    waits = [*(browse.get("wait_for") or ()), *(each.get("wait_for", {}) for each in browse.get("actions") or ())]
    seconds = sum(wait.get("seconds", 0.0) + wait.get("network_idle", 0.0) for wait in waits)
    if seconds >= timeout > 0:
        raise InvalidTask("fetch.wait_for", f"waits {seconds:g} seconds, and timeout={timeout:g} ends the page before")


# ---- waits and actions


def _waits(path: str, value: Any) -> list[dict[str, Any]]:
    if value in (0, ""):  # False too
        return []
    each = value if isinstance(value, list | tuple) else [value]
    if len(each) > MAX_WAITS:
        raise InvalidTask(path, f"has {len(each)} conditions, over the limit of {MAX_WAITS}")
    return [_wait(f"{path}[{n}]" if each is value else path, item) for n, item in enumerate(each)]


def _wait(path: str, value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return _wait_dict(path, value)
    if isinstance(value, str):
        text = str.__str__(value).strip()
        if text.lower() in _IDLE:
            return {"network_idle": QUIET}
        if text.lower() in LOADS:
            return {"load": text.lower()}
        if _FUNCTION.match(text):
            return {"function": _text(path, text)}
        if _is_number(text):
            value = float(text)
        else:
            return {"selector": _meant(path, _css(path, text), WAIT_WORDS), "state": "visible"}
    if isinstance(value, int | float) and not isinstance(value, bool):
        return {"seconds": _seconds(path, value)}
    raise InvalidTask(
        path,
        f"{value!r:.80}: use a CSS selector, seconds, 'networkidle', 'load', a JavaScript function such as"
        " '() => window.done', or a list of these",
    )


def _wait_dict(path: str, value: Mapping[Any, Any]) -> dict[str, Any]:
    kind = _only(path, value, WAITS)
    said = value[kind]
    if kind == "selector":
        _extra(path, value, kind, ("state",))
        return {"selector": _css(f"{path}.selector", said), "state": _word(path, value, "state", STATES, "visible")}
    _extra(path, value, kind, ())
    if kind == "network_idle":
        return {kind: QUIET if said is True else _seconds(f"{path}.{kind}", said)}
    if kind == "function":
        return {kind: _text(f"{path}.{kind}", said)}
    if kind == "seconds":
        return {kind: _seconds(f"{path}.{kind}", said)}
    return {kind: _word(path, value, "load", LOADS, "load")}


def _actions(path: str, value: Any) -> list[dict[str, Any]]:
    if value is False:
        return []
    each = value if isinstance(value, list | tuple) else [value]
    made: list[dict[str, Any]] = []
    for n, item in enumerate(each):
        made += _action(f"{path}[{n}]", item)
    if len(made) > MAX_ACTIONS:
        raise InvalidTask(path, f"has {len(made)} actions, over the limit of {MAX_ACTIONS}")
    return made


def _action(path: str, value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, Mapping):
        example = "{'click': '#more'}"
        raise InvalidTask(path, f"{value!r:.80}: an action is a dict such as {example}; there are {', '.join(ACTIONS)}")
    kind = _only(path, value, ACTIONS)
    said = value[kind]
    if kind == "wait_for":
        _extra(path, value, kind, ())
        return [{kind: wait} for wait in _waits(f"{path}.{kind}", said)]
    if kind == "scroll":
        _extra(path, value, kind, ("times",))
        return [_scroll(path, said, value.get("times"))]
    if kind == "press":
        _extra(path, value, kind, ("on",))
        pressed = {kind: _text(f"{path}.{kind}", said)}
        return [pressed if value.get("on") is None else {**pressed, "on": _css(f"{path}.on", value["on"])}]
    done = {kind: _css(f"{path}.{kind}", said)}
    beside = {"fill": "text", "select": "value"}.get(kind)
    _extra(path, value, kind, (beside,) if beside else ())
    if beside is not None:
        if value.get(beside) is None:
            raise InvalidTask(f"{path}.{beside}", f"is missing: {{{kind!r}: SELECTOR, {beside!r}: TEXT}}")
        done[beside] = _text(f"{path}.{beside}", value[beside], empty=True)
    return [done]


def _scroll(path: str, said: Any, times: Any) -> dict[str, Any]:
    to_end = said is True or said in ("end", "bottom")
    if isinstance(said, str) and not to_end and _is_number(said):
        said = float(said)
    if not to_end and (isinstance(said, bool) or not isinstance(said, int | float) or not 0 < abs(said) <= MAX_PIXELS):
        raise InvalidTask(f"{path}.scroll", f"{said!r:.80}: use 'end' or a number of pixels (up: below 0)")
    if times is None:
        times = SCROLLS if to_end else 1
    if isinstance(times, bool) or not isinstance(times, int) or not 1 <= times <= MAX_SCROLLS:
        raise InvalidTask(f"{path}.times", f"{times!r:.80}: use a whole number from 1 to {MAX_SCROLLS}")
    return {"scroll": "end" if to_end else int(said), "times": times}


# ---- what is loaded and what is brought along


def _block(path: str, value: Any) -> list[str]:
    made = []
    for at, item in _texts(path, value):
        word = _ALIASES.get(item.lower(), item.lower())
        if word not in BLOCKED and "*" not in item:
            known = ", ".join(BLOCKED)
            meant = _near(item, (*BLOCKED, *_ALIASES))
            raise InvalidTask(
                at, f"{item!r:.80}: use {known}, or a pattern of URLs with * in it: '*{item:.60}*'{meant}"
            )
        made.append(word if word in BLOCKED else item)
    return made


def _xhr(path: str, value: Any) -> list[str]:
    return ["*"] if value is True else [item for _, item in _texts(path, value)]


def _texts(path: str, value: Any) -> list[tuple[str, str]]:
    """Each text with its path; one alone stands for a list of it."""
    if value is False or value == "":
        return []
    each = [value] if isinstance(value, str) else value
    if not isinstance(each, list | tuple | set | frozenset):
        raise InvalidTask(path, f"{value!r:.80}: use a text or a list of texts")
    if len(each) > MAX_PATTERNS:
        raise InvalidTask(path, f"has {len(each)} entries, over the limit of {MAX_PATTERNS}")
    made = []
    for n, item in enumerate(sorted(each, key=str) if isinstance(each, set | frozenset) else each):
        at = path if isinstance(value, str) else f"{path}[{n}]"
        if not isinstance(item, str) or not item.strip() or len(item) > MAX_PATTERN:
            raise InvalidTask(at, f"{item!r:.80}: use a text of 1 to {MAX_PATTERN} characters")
        made.append((at, str.__str__(item).strip()))
    return made


def _options(path: str, value: Any, main: str, usual: str, words: str) -> Mapping[Any, Any]:
    """A dict as it is, empty for nothing; True is the ``usual`` value of the option ``main``, a text another one."""
    if value is False or value == "":
        return {}
    if value is True or isinstance(value, str):
        return {main: usual if value is True else value}
    if not isinstance(value, Mapping):
        raise InvalidTask(path, f"{value!r:.80}: use {words}")
    return value


def _screenshot(path: str, value: Any) -> dict[str, Any]:
    value = _options(path, value, "of", "page", "True (what the window shows), 'full' or a CSS selector")
    if not value:
        return {}
    _extra(path, value, "", ("of", "type", "quality"))
    of = value.get("of", "page")
    kind = {"jpg": "jpeg"}.get(str(value.get("type")).lower(), value.get("type") or "png")
    if kind not in ("png", "jpeg"):
        raise InvalidTask(f"{path}.type", f"{kind!r:.80}: use 'png' or 'jpeg'")
    made = {"of": of if of in SHOWN else _meant(f"{path}.of", _css(f"{path}.of", of), SHOWN), "type": kind}
    quality = value.get("quality")
    if quality is not None:
        if kind != "jpeg" or isinstance(quality, bool) or not isinstance(quality, int) or not 1 <= quality <= 100:
            raise InvalidTask(f"{path}.quality", f"{quality!r:.80}: 1 to 100, a whole number, and only for a 'jpeg'")
        made["quality"] = quality
    return made


def _pdf(path: str, value: Any) -> dict[str, Any]:
    value = _options(path, value, "format", "A4", "True, a format such as 'A4', or a dict")
    if not value:
        return {}
    _extra(path, value, "", ("format", "landscape", "background"))
    said = value.get("format", "A4")
    sheet = next((each for each in FORMATS if isinstance(said, str) and each.lower() == said.lower()), None)
    if sheet is None:
        raise InvalidTask(f"{path}.format", f"{said!r:.80}: use one of {', '.join(FORMATS)}")
    made: dict[str, Any] = {"format": sheet}
    for name, otherwise in (("landscape", False), ("background", True)):
        flag = value.get(name, otherwise)
        if not isinstance(flag, bool):
            raise InvalidTask(f"{path}.{name}", f"{flag!r:.80}: use True or False")
        made[name] = flag
    return made


# ---- how the browser looks from outside


def _headers(path: str, value: Any) -> dict[str, str]:
    if value is False:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidTask(path, f"is a dict of text, not {type(value).__name__}")
    made = {}
    for name, item in value.items():
        text = "" if item is None else str(item)
        if not isinstance(name, str) or not _HEADER.match(name):
            raise InvalidTask(path, f"{name!r:.80} is no name of a header")
        if _BREAKS.search(text):
            raise InvalidTask(f"{path}.{name}", "must not hold a line break or NUL")
        if item is not None:
            made[str.__str__(name)] = text
    return made


def _locale(path: str, value: Any) -> str:
    if value is False or value == "":
        return ""
    text = value.replace("_", "-") if isinstance(value, str) else ""
    if not _LOCALE.match(text):
        raise InvalidTask(path, f"{value!r:.80}: use a language tag such as 'de-DE'")
    return text


def _timezone(path: str, value: Any) -> str:
    if value is False or value == "":
        return ""
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError, TypeError):
        raise InvalidTask(path, f"{value!r:.80} is no time zone; use a name like 'Europe/Paris'") from None
    return str.__str__(value)


def _geolocation(path: str, value: Any) -> dict[str, float]:
    if value is False or value == {}:
        return {}
    if isinstance(value, list | tuple) and len(value) in (2, 3):
        value = dict(zip(("latitude", "longitude", "accuracy"), value, strict=False))
    if not isinstance(value, Mapping) or not {"latitude", "longitude"} <= set(value):
        raise InvalidTask(path, f"{value!r:.80}: use (latitude, longitude) or a dict of latitude, longitude, accuracy")
    _extra(path, value, "", ("latitude", "longitude", "accuracy"))
    made = {}
    for name, least, most in (("latitude", -90, 90), ("longitude", -180, 180), ("accuracy", 0, 10_000_000)):
        number = value.get(name)
        if number is None and name == "accuracy":
            continue
        if isinstance(number, bool) or not isinstance(number, int | float) or not least <= number <= most:
            raise InvalidTask(f"{path}.{name}", f"{number!r:.80}: use a number from {least} to {most:,}")
        made[name] = float(number)
    return made


# ---- the small words


def _only(path: str, value: Mapping[Any, Any], kinds: tuple[str, ...]) -> str:
    found = [kind for kind in kinds if kind in value]
    if len(found) != 1:
        problem = f"{' and '.join(found)} in one dict" if found else f"{dict(value)!r:.80}"
        raise InvalidTask(path, f"{problem}: use one of {', '.join(kinds)}")
    return found[0]


def _extra(path: str, value: Mapping[Any, Any], kind: str, beside: tuple[str, ...]) -> None:
    allowed = [name for name in (kind, *beside) if name]
    unknown = sorted(set(map(str, value)) - set(allowed))
    if unknown:
        raise InvalidTask(f"{path}.{unknown[0]:.80}", f"is unknown here; use {', '.join(allowed)}")


def _word(path: str, value: Mapping[Any, Any], name: str, words: tuple[str, ...], otherwise: str) -> str:
    word = value.get(name, otherwise)
    if word not in words:
        raise InvalidTask(f"{path}.{name}", f"{word!r:.80}: use one of {', '.join(words)}")
    return str(word)


def _css(path: str, value: Any) -> str:
    text = _text(path, value).strip()
    if text.startswith(("//", "./", "xpath=", "(/")):
        raise InvalidTask(path, f"{text!r:.80} is XPath; use a CSS selector")
    return text


def _near(text: str, words: Collection[str]) -> str:
    """``"; did you mean 'images'?"``, or nothing when no word is near."""
    near = difflib.get_close_matches(text.lower()[:40], words, n=1, cutoff=0.8)
    return f"; did you mean {near[0]!r}?" if near else ""


def _meant(path: str, selector: str, words: Collection[str]) -> str:
    """``selector``, unless it is a bare word that is nearly one of ``words``. Raises :class:`InvalidTask`."""
    near = _near(selector, words) if _BARE.match(selector) else ""
    if near:
        raise InvalidTask(path, f"{selector!r:.80} is no element of HTML{near}")
    return selector


def _text(path: str, value: Any, empty: bool = False) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool) and empty:
        value = str(value)
    if not isinstance(value, str) or not (value.strip() or empty):
        raise InvalidTask(path, f"{value!r:.80}: use a text")
    if len(value) > MAX_TEXT or "\0" in value:
        raise InvalidTask(path, f"holds a NUL or is longer than {MAX_TEXT:,} characters")
    return str.__str__(value)


def _seconds(path: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MAX_SECONDS:
        raise InvalidTask(path, f"{value!r:.80}: use a number of seconds up to {MAX_SECONDS:g}")
    return float(value)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


_MAKERS: dict[str, Callable[[str, Any], Any]] = {
    "wait_for": _waits,
    "js_actions": _actions,
    "block": _block,
    "screenshot": _screenshot,
    "pdf": _pdf,
    "capture_xhr": _xhr,
    "first_headers": _headers,
    "locale": _locale,
    "timezone": _timezone,
    "geolocation": _geolocation,
}
