"""The texts of the interface: one JSON file a room and language, keys like ``tasks.none_found``."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files

LANGUAGES = ("en", "zh")
DEFAULT = "en"


@cache
def catalogue(language: str) -> dict[str, str]:
    """All texts of a language; what it lacks is English."""
    found: dict[str, str] = {} if language == DEFAULT else dict(catalogue(DEFAULT))
    for file in sorted(files(__name__).joinpath(language).iterdir(), key=lambda one: one.name):
        if file.name.endswith(".json"):
            found.update(json.loads(file.read_text(encoding="utf-8")))
    return found


def text(language: str, key: str, **values: object) -> str:
    """One text, its ``{names}`` filled in. A missing key is shown as it is."""
    found = catalogue(language).get(key, key)
    return found.format(**values) if values else found


def language_of(cookie: str, accept: str) -> str:
    """The language to answer in: the one chosen, else the browser's first that there is."""
    if cookie in LANGUAGES:
        return cookie
    for part in accept.split(","):
        name = part.split(";")[0].strip().lower().partition("-")[0]
        if name in LANGUAGES:
            return name
    return DEFAULT
