"""``fetch_type="auto"``: what scheduler and processor tell each other about a page that may need a browser.

Pure. The processor judges a page (``processor/auto_judge.py``), the scheduler learns (``scheduler/learned.py``).
A *token* says what may be wrong with a plain page: ``price=`` (empty), ``price=1f0c...`` (a value, by its digest),
``!error=KeyError``, ``!nothing=``. The tokens of a page together are its *pattern*; pages of a callback and host that
load the same scripts are of one *kind*.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Raw, Struct

from crawlkit.libs.task import Fetch

AUTO = "auto"

# Auto.stage
PLAIN = 0  # by plain HTTP; the processor judges whether that is enough
CONTROL = 1  # by plain HTTP once more: what differs now differs by itself
BROWSER = 2  # rendered; compared with what the plain page gave, when that is known
SETTLED = 3  # by plain HTTP, and whatever it gives is taken

NO_SCRIPTS = "-"  # the kind of pages that are the same in a browser
HTTP_ERROR = "http"  # the kind of answers that are no page
OTHER = "*"  # the kind of all that come when there are too many kinds

SAFE = (None, "GET", "HEAD")  # methods that may be sent twice
_ONLY_A_BROWSER = {"actions": "js_actions", "screenshot": "screenshot", "pdf": "pdf", "xhr": "capture_xhr"}
_NIL = Raw(b"\xc0")


class KnownKind(Struct, array_like=True):
    """What a processor must know of a kind of pages."""

    fine: list[str] = []  # patterns that a browser makes nothing of
    ignore: list[str] = []  # tokens that it never makes anything of
    watch: list[str] = []  # values that it was seen to change


class Known(Struct, array_like=True):
    """What a processor must know of a host and callback."""

    kinds: dict[str, KnownKind] = {}
    full: bool = False  # further kinds are OTHER
    volatile: list[str] = []  # fields that differ from fetch to fetch


class Seen(Struct, array_like=True):
    """What one run of a callback gave, in short."""

    fields: dict[str, str] = {}  # name -> mark of its value; "": empty
    follows: list[str] = []  # the beginnings of the taskids of its follow-ups
    more: bool = False  # there were more follow-ups than that
    ending: str = ""  # a token, when it did not end well: !error=..., !drop=, !retry=, !http=...


class Auto(Struct, array_like=True):
    """What to do with a page this time; travels in a Dispatch."""

    stage: int
    why: str = ""  # for people
    known: Raw = _NIL  # msgpack of a Known
    check: bool = False  # to be compared with the browser's, however good it looks
    kind: str = ""
    tokens: list[str] = []  # what was doubted in the plain page
    seen: Seen | None = None  # what the plain page gave
    probe: bool = False  # the scheduler waits for the comparison
    volatile: list[str] = []  # fields that are not compared


class Said(Struct, array_like=True):
    """What a processor says of it; travels in an Outcome."""

    asks: bool = False  # nothing was kept of this run: say how it goes on
    kind: str = ""
    tokens: list[str] = []
    seen: Seen | None = None
    why: str = ""
    compared: bool = False
    differs: list[str] = []  # tokens of the plain page that the browser's page contradicted
    volatile: list[str] = []  # stage CONTROL
    absent: bool = False  # there is no browser service
    check: bool = False
    stage: int = PLAIN
    callback: str = ""
    values: list[str] = []  # tokens of the values in a plain page that was enough


def first_order(fetch: Fetch) -> Auto:
    """How a page is fetched first, by what its task asks for."""
    if fetch.method not in SAFE or fetch.data is not None or fetch.download is not None:
        return Auto(SETTLED, "plain: only a GET may be sent twice")
    if fetch.js_script is not None:
        return Auto(BROWSER, "browser: js_script asks for it")
    for name, argument in _ONLY_A_BROWSER.items():
        if fetch.browser is not None and getattr(fetch.browser, name) is not None:
            return Auto(BROWSER, f"browser: {argument} asks for it")
    return Auto(PLAIN, "plain")


def pattern_of(tokens: Iterable[str]) -> str:
    """The one text for a set of tokens."""
    return "\n".join(sorted(tokens))


def name_of(token: str) -> str:
    """The field that a token is about."""
    return token.rpartition("=")[0]


def is_value(token: str) -> bool:
    """Whether a token names a value of a field, and not that it is empty or how the callback ended."""
    return not token.startswith("!") and not token.endswith("=")
