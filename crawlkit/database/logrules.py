"""What holds for the logs in every backend: what a line may be, which lines are wanted, how far to look at once.

Pure: no I/O, no clock.
"""

from __future__ import annotations

import string
from collections.abc import Callable

import msgspec

from crawlkit.libs.rows import LogFilter, LogLine

MAX_TEXT = 8_000  # characters of a line
MAX_NAME = 255  # characters of node, role, project, taskid, callback and logger
MAX_URL = 2_000
SKEW = 300.0  # seconds by which the order of storing may differ from the order of time
FIRST_WINDOW = 20_000  # lines looked at before the time is looked at
MAX_TRIGRAMS = 16
_FOLD = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_CUT = "\n... {} characters are left out ...\n"


def cleaned(line: LogLine) -> LogLine:
    """The line as any store can keep it: of bounded size, without lone surrogates and NUL."""
    return msgspec.structs.replace(
        line,
        text=_clean(shortened(line.text)),
        url=_clean(line.url[:MAX_URL]),
        **{name: _clean(getattr(line, name)[:MAX_NAME]) for name in _NAMES},
    )


_NAMES = ("node", "role", "project", "taskid", "callback", "logger")


def shortened(text: str) -> str:
    """At most :data:`MAX_TEXT` characters and a word about what is missing: a beginning, and a longer end."""
    text = text.rstrip()
    if len(text) <= MAX_TEXT:
        return text
    head = MAX_TEXT // 4
    tail = MAX_TEXT - head
    return text[:head] + _CUT.format(len(text) - MAX_TEXT) + text[-tail:]


def _clean(text: str) -> str:
    if "\0" in text:
        text = text.replace("\0", "\\0")
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def fold(text: str) -> str:
    """The text with ASCII letters in lower case."""
    return text.translate(_FOLD)


def matcher(wanted: LogFilter) -> Callable[[LogLine], bool]:
    """A test for lines."""
    names = [(name, getattr(wanted, name)) for name in ("project", "node", "role", "taskid") if getattr(wanted, name)]
    text = fold(wanted.text)

    def match(line: LogLine) -> bool:
        return (
            line.level >= wanted.level
            and all(getattr(line, name) == value for name, value in names)
            and (wanted.since is None or line.time >= wanted.since)
            and (wanted.until is None or line.time <= wanted.until)
            and text in fold(line.text)
        )

    return match


def like_pattern(text: str) -> str:
    r"""A part of a text as a pattern of LIKE ... ESCAPE '\\'."""
    for special in "\\%_":
        text = text.replace(special, "\\" + special)
    return f"%{text}%"


def trigram_query(text: str) -> str:
    """What an FTS5 index of trigrams is asked for ``text``; ``""`` when it cannot help.

    Every text with that part is found, and a few others: they are to be looked at once more.
    """
    grams = [text[at : at + 3] for at in range(len(text) - 2) if "\0" not in text[at : at + 3]]
    if len(grams) > MAX_TRIGRAMS:
        step = (len(grams) - 1) / (MAX_TRIGRAMS - 1)
        grams = [grams[round(number * step)] for number in range(MAX_TRIGRAMS)]
    return " AND ".join('"{}"'.format(gram.replace('"', '""')) for gram in dict.fromkeys(grams))


def next_window(window: int, seconds: float, budget: float) -> int:
    """How many lines to look at next, after ``window`` lines took ``seconds``: a quarter of the budget's worth."""
    if seconds <= budget / 16:
        return window * 4
    return max(FIRST_WINDOW // 4, int(window * min(4.0, budget / 4 / seconds)))
