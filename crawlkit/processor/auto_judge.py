"""Whether what a callback gave for a plain page is enough, and what a browser's page gave beside it.

Pure. Names no site: what is known of the host and callback comes with the task (:class:`Known`). A field counts by its
*mark*: nothing for an empty one, a digest for a value, a sketch of its words for a long text, so that a page that a
browser wrote down again with other spaces and quotes is the same text.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from crawlkit.libs.auto import (
    HTTP_ERROR,
    NO_SCRIPTS,
    OTHER,
    Known,
    KnownKind,
    Seen,
    pattern_of,
)

MAX_FIELDS = 64
MAX_RESULTS = 100  # results of one page that are looked at
MAX_FOLLOWS = 1_000
MAX_DEPTH = 3
MAX_NAME = 100  # bytes of a field's name
MAX_TOKENS = 12
FOLLOW_DIGITS = 8
LONG = 200  # characters from which a text is compared by its words
SKETCH = 48  # hashes of words
ALIKE = 0.8  # share of the sketch that two versions of a text have in common
LONGER = 1.1  # times the words from which one text says more than the other
MORE_LINKS = 0.05  # share of further links that is nothing
SHELL = 200  # characters of text under which a page with scripts has nothing to say
HEAD = 256 * 1024  # bytes of a page that are looked at for its scripts

FOLLOWS, RESULTS, NOTHING = "!follows", "!results", "!nothing"
_SCRIPT = re.compile(rb"<script\b([^>]*)>", re.I)
_SRC = re.compile(rb"\bsrc\s*=\s*[\"']?([^\"'\s>]+)", re.I)
_DATA_SCRIPT = re.compile(rb"\btype\s*=\s*[\"']?(?:application/(?:ld\+)?json|text/template|text/x-)", re.I)
_ACTS = re.compile(rb"<[a-z][^>]*\son(?:load|error|click|submit|focus)\s*=|http-equiv\s*=\s*[\"']?refresh", re.I)
_UNSEEN = re.compile(rb"<(script|style|template|head|noscript|svg)\b.*?</\1\s*>|<!--.*?-->|<[^>]*>", re.I | re.S)
_WORD = re.compile(r"\w+")
_TAGS = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.I | re.S)
#: What pages say until a script has filled them, as far as it is the same everywhere: worth a look, proves nothing.
_DEFAULT = re.compile(
    r"""[^\w]*(?:0+(?:[.,]0+)?|null|none|nil|undefined|nan|n/?a|tbd|tba|loading|please\ wait)[^\w]*(?:[a-z]{3})?[^\w]*
    |[-\u2010-\u2015_.\u2026?*\s]+ | .*(?:\{\{.*\}\}|\{%.*%\}|<%.*%>|\$\{.*\}|\[object\ object\]).*
    |.*\b(?:loading|please\ wait|enable\ javascript|javascript\ is\ (?:disabled|required))\b.*""",
    re.I | re.X | re.S,
)
MAX_DEFAULT = 120  # characters of such a text


def kind_of_page(content: bytes, content_type: str) -> str:
    """Which kind of page it is: by the scripts it loads. :data:`NO_SCRIPTS`: a browser would show the same."""
    head = content[:HEAD]
    if content_type and "html" not in content_type.lower():
        return NO_SCRIPTS
    sources: set[bytes] = set()
    inline = False
    for found in _SCRIPT.finditer(head):
        source = _SRC.search(found[1])
        if source is not None:
            sources.add(source[1].partition(b"?")[0].partition(b"#")[0])
        elif not _DATA_SCRIPT.search(found[1]):
            inline = True
    if not sources and not inline and not _ACTS.search(head):
        return NO_SCRIPTS
    shell = len(b" ".join(_UNSEEN.sub(b" ", head).split())) < SHELL
    return _digest(b"\n".join(sorted(sources))) + ("i" if inline else "") + ("s" if shell else "")


class Findings:
    """What a run gives, gathered as it comes."""

    def __init__(self) -> None:
        self.fields: dict[str, str] = {}
        self.follows: set[str] = set()
        self.more = False
        self.shown: dict[str, str] = {}  # beginnings of values that look like a default
        self.results = 0
        self.messages = 0
        self._values: dict[str, list[str]] = {}

    def result(self, value: Any) -> None:
        """One result, as the callback gave it or as it is read from its JSON."""
        self.results += 1
        if self.results > MAX_RESULTS:
            return
        self._add("result" if not isinstance(value, Mapping) else "", value, 0)

    def result_json(self, text: str) -> None:
        """One result as it is stored."""
        self.result(msgspec.json.decode(text) if self.results < MAX_RESULTS else None)

    def follow(self, taskid: str) -> None:
        """A follow-up."""
        if len(self.follows) < MAX_FOLLOWS:
            self.follows.add(taskid[:FOLLOW_DIGITS])
        else:
            self.more = True

    def seen(self, ending: str = "") -> Seen:
        """All of it in short."""
        fields = {name: _joined(marks) for name, marks in self._values.items()}
        if self.results > 1:
            fields[RESULTS] = str(self.results)
        return Seen(fields, sorted(self.follows), self.more, ending)

    @property
    def nothing(self) -> bool:
        """Whether nothing of use came."""
        return not self.follows and not self.messages and not any(any(marks) for marks in self._values.values())

    def _add(self, name: str, value: Any, depth: int) -> None:
        if isinstance(value, Mapping) and depth <= MAX_DEPTH and (value or not name):
            for key, inner in value.items():
                self._add(f"{name}.{key}" if name else str(key), inner, depth + 1)
            return
        if isinstance(value, list | tuple) and depth <= MAX_DEPTH and any(isinstance(one, Mapping) for one in value):
            for one in value[:MAX_RESULTS]:
                self._add(name + "[]", one, depth + 1)
            return
        name = _name(name)
        if name not in self._values and len(self._values) >= MAX_FIELDS:
            return
        self._values.setdefault(name, []).append(mark(value))
        if looks_like_a_default(value):
            self.shown.setdefault(name, str(value).strip()[:30])


def _name(name: str) -> str:
    """The name of a field as it travels and is learned: short, and one line. A page may have a say in it."""
    whole = name.encode("utf-8", "surrogatepass")
    if len(whole) <= MAX_NAME and name.isprintable():
        return name
    return f"{' '.join(whole[:MAX_NAME].decode('utf-8', 'ignore').split())}~{_digest(whole)}"


def _joined(marks: list[str]) -> str:
    """One mark for the values of a field in several results, whatever their order."""
    if len(marks) == 1:
        return marks[0]
    return _digest("\n".join(sorted(marks)).encode()) if any(marks) else ""


def mark(value: Any) -> str:
    """The mark of a value: ``""`` when it is empty."""
    if is_empty(value):
        return ""
    if isinstance(value, str):
        text = " ".join(value.split())
        if len(text) > LONG:
            return _sketch(text)
        return _digest(text.encode("utf-8", "surrogatepass"))
    try:
        return _digest(msgspec.json.encode(value, order="deterministic"))
    except (TypeError, ValueError, OverflowError, RecursionError):  # the collector will refuse it with words
        return _digest(type(value).__name__.encode())


def is_empty(value: Any) -> bool:
    """Whether a value says nothing. 0 and ``False`` do."""
    if value is None:
        return True
    if isinstance(value, str | bytes):
        return not value.strip()
    if isinstance(value, Mapping):
        return all(is_empty(one) for one in value.values())
    if isinstance(value, list | tuple | set | frozenset):
        return all(is_empty(one) for one in value)
    return False


def looks_like_a_default(value: Any) -> bool:
    """Whether a value may stand in a page until a script has filled it: ``0.00``, ``Loading...``, ``{{price}}``."""
    if isinstance(value, bool):
        return False
    if isinstance(value, int | float):
        return value == 0
    if isinstance(value, str) and 0 < len(value) <= MAX_DEFAULT:
        return _DEFAULT.fullmatch(value.strip()) is not None
    return False


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=6).hexdigest()


def _sketch(text: str) -> str:
    """``~words:hashes``: the smallest hashes of the text's words, which two versions of it have in common."""
    words = _WORD.findall(_TAGS.sub(" ", text))
    hashes = {_digest(word.lower().encode())[:8] for word in words}
    return f"~{len(words)}:" + ",".join(sorted(hashes)[:SKETCH])


def same(plain: str, rendered: str) -> bool:
    """Whether two marks mean the same value, as far as a mark can say."""
    if plain == rendered:
        return True
    if not (plain.startswith("~") and rendered.startswith("~")):
        return False
    (few, ours), (many, theirs) = _read_sketch(plain), _read_sketch(rendered)
    if not few or not many or max(few, many) > LONGER * min(few, many):
        return False
    smallest = sorted(ours | theirs)[:SKETCH]  # of the union: what is common among these estimates what is in all
    return sum(one in ours and one in theirs for one in smallest) >= ALIKE * len(smallest)


def _read_sketch(text: str) -> tuple[int, set[str]]:
    count, _, hashes = text[1:].partition(":")
    return int(count), set(hashes.split(",")) - {""}


def token(name: str, value: str) -> str:
    """The token for a field's mark; of a text that is compared by its words only that it is one."""
    return f"{name}={'~' if value.startswith('~') else value}"


def values_of(seen: Seen) -> list[str]:
    """The values of a page as tokens, without texts that are compared by their words."""
    fields = [(name, value) for name, value in seen.fields.items() if value and not name.startswith("!")]
    return [token(name, value) for name, value in fields if not value.startswith("~")][:MAX_TOKENS]


class Verdict(msgspec.Struct, frozen=True):
    """``tokens`` are what is doubted; with ``asks`` the scheduler is to say how it goes on."""

    asks: bool
    kind: str
    tokens: list[str]
    why: str


def judge(findings: Findings, seen: Seen, kind: str, known: Known, check: bool) -> Verdict:
    """Whether the plain page is enough, by what is known."""
    if seen.ending.startswith("!http="):
        kind = HTTP_ERROR
    if kind == NO_SCRIPTS:
        return Verdict(False, kind, [], "")
    if kind not in known.kinds and known.full:
        kind = OTHER
    about = known.kinds.get(kind, KnownKind())
    tokens, words = doubts(findings, seen, about)
    if not check and pattern_of(tokens) in about.fine:
        return Verdict(False, kind, tokens, "")
    why = "; ".join(words[:3]) or ("to compare a page that looked enough" if check else "such pages are not known yet")
    return Verdict(True, kind, tokens, why)


def doubts(findings: Findings, seen: Seen, about: KnownKind) -> tuple[list[str], list[str]]:
    """What may be missing or wrong in a plain page, as tokens and in words."""
    found: list[tuple[str, str]] = []
    if seen.ending:
        found.append((seen.ending, _ending_in_words(seen.ending) + " on the plain page"))
    elif findings.nothing:
        found.append((NOTHING + "=", "the callback made nothing of the plain page"))
    else:
        for name, value in seen.fields.items():
            one = token(name, value)
            if not value:
                found.append((one, f"{name} was empty in the plain page"))
            elif name in findings.shown:
                found.append((one, f"{name} was {findings.shown[name]!r} in the plain page"))
            elif one in about.watch:
                found.append((one, f"{name} had a value in the plain page that browsers change"))
    found = [(one, words) for one, words in found if one not in about.ignore][:MAX_TOKENS]
    return [one for one, _ in found], [words for _, words in found]


def _ending_in_words(ending: str) -> str:
    name, _, what = ending.partition("=")
    if name == "!http":
        return f"HTTP {what}"
    return {"!drop": "the callback dropped the task", "!retry": "the callback asked for a retry"}.get(
        name, f"the callback raised {what}"
    )


class Comparison(msgspec.Struct, frozen=True):
    """``differs``: tokens of the plain page that the browser's contradicted. ``lost``: what only the plain one had."""

    differs: list[str]
    lost: list[str]


def compare(plain: Seen, rendered: Seen, tokens: Sequence[str], volatile: Iterable[str]) -> Comparison:
    """What the browser's page gave more or otherwise. ``volatile`` fields count only when one of them is empty."""
    if rendered.ending:
        better = bool(plain.ending) and rendered.ending != plain.ending and rendered.ending.startswith("!drop")
        return Comparison([plain.ending] if better else [], [] if plain.ending else ["!ending"])
    if plain.ending:
        return Comparison([plain.ending], [])
    own = set(volatile)
    differs: list[str] = []
    lost: list[str] = []
    for name in plain.fields.keys() | rendered.fields.keys():
        before, after = plain.fields.get(name, ""), rendered.fields.get(name, "")
        if before and not after:
            lost.append(name)
        elif not before and after:
            differs.append(token(name, ""))
        elif name not in own and not same(before, after):
            differs.append(token(name, before))
    if lost and not any(one in tokens or one.endswith("=") for one in differs):
        return Comparison([], sorted(lost))  # another page: a wall for browsers, say
    if _more_follows(plain, rendered, FOLLOWS in own):
        differs.append(FOLLOWS + "=")
    if differs and NOTHING + "=" in tokens:
        differs.append(NOTHING + "=")
    return Comparison(sorted(differs)[:MAX_TOKENS], sorted(lost))


def _more_follows(plain: Seen, rendered: Seen, volatile: bool) -> bool:
    ours, theirs = set(plain.follows), set(rendered.follows)
    if plain.more:
        return False
    further = len(theirs) - len(ours) - 1 if volatile else len(theirs - ours)
    return further > (0.25 if volatile else MORE_LINKS) * len(ours)


def volatile_in(first: Seen, second: Seen) -> list[str]:
    """Fields that differ between two plain fetches of the same page."""
    names = [
        name
        for name in first.fields.keys() & second.fields.keys()
        if first.fields[name] and second.fields[name] and not same(first.fields[name], second.fields[name])
    ]
    if first.follows != second.follows and not (first.ending or second.ending):
        names.append(FOLLOWS)
    return sorted(names)
