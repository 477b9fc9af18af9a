"""What was learned of the pages of one host and callback: which need a browser, told by what comparisons gave.

Pure. Kept are the last comparisons of each pattern of doubts, and everything else is worked out from these: a pattern
needs the browser when one of its last comparisons gave more than the plain page, and is fine when the last few all gave
the same. Old comparisons go with new ones, so whatever was learned is unlearned. The empty pattern, a page without any
doubt, is one like the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Raw, Struct

from crawlkit.libs.auto import HTTP_ERROR, OTHER, Known, KnownKind, is_value, name_of, pattern_of

NEEDS, FINE, OPEN = "needs", "fine", "open"

REMEMBERED, REMEMBERED_UNDOUBTED = 16, 24  # comparisons of a pattern; of pages that nothing speaks against
SURE = 2  # of them with a difference, until the pattern needs the browser; one alone may be an accident
ENOUGH = 4  # of them without a difference, until the pattern is fine
ENOUGH_UNDOUBTED = 8  # the same for pages that nothing speaks against
HOPELESS = 5  # comparisons without a difference after which a token counts for nothing, in whatever pattern
MOST_PATTERNS = 32  # of a kind
MOST_KINDS = 8
MOST_VALUES = 64  # that browsers changed, of a kind
PROVEN = 2  # times that a value was changed, until it is doubted wherever it stands
PROBES = 4  # pages of an open pattern that are compared at the same time; the others wait for them
CONTROLS = 2  # first pages that are fetched plainly twice, to see what differs by itself
MORE_CONTROLS = 6  # ... when pages without a doubt differ nevertheless
FIRST_CHECK, LAST_CHECK, SELDOMER = 12.0, 250.0, 1.6  # pages between two checks
NEARLY_ALL, NO_LONGER = 0.9, 0.75  # share of pages that need the browser, to skip the plain one; and to try it again
TRIED = 20  # pages judged before that
PLAIN_TRY = 20  # of so many pages that go straight to the browser one is tried plainly


class _Kind(Struct, omit_defaults=True):
    patterns: dict[str, list[list[str]]] = {}  # pattern -> what differed in its comparisons, newest last
    values: dict[str, int] = {}  # value -> how often a browser changed it


class Learned(Struct, omit_defaults=True):
    """See the module. Everything is kept; what is in flight is not here."""

    script: str = ""  # the version it was learned with
    kinds: dict[str, _Kind] = {}
    volatile: list[str] = []
    controls: int = 0
    need: float = 0.0  # share of pages that needed the browser, newer ones counting more
    judged: int = 0  # pages, up to TRIED
    straight: bool = False
    turns: int = 0  # pages sent straight since the last plain one
    pages: float = 0.0  # taken as they were, since the last check
    interval: float = FIRST_CHECK

    # -- what follows from it

    def decide(self, kind: str, tokens: Sequence[str]) -> str:
        """``needs``, ``fine`` or ``open``."""
        about = self.kinds.get(kind if kind in self.kinds or len(self.kinds) < MOST_KINDS else OTHER)
        if about is None:
            return OPEN
        return self._word(about, pattern_of(tokens), set(self._hopeless(about)))

    def probes(self, kind: str, tokens: Sequence[str]) -> int:
        """How many pages of an open pattern may be compared at the same time: no more than it needs to be decided."""
        about = self.kinds.get(kind)
        compared = len(about.patterns.get(pattern_of(tokens), [])) if about is not None else 0
        return min(PROBES, max(1, (ENOUGH if tokens else ENOUGH_UNDOUBTED) - compared))

    def known(self, suspects: Iterable[str] = ()) -> Known:
        """What a processor must know to judge without asking. ``suspects``: values that are to be looked into."""
        kinds = {name: self._known_kind(about, suspects) for name, about in self.kinds.items()}
        return Known(kinds, len(self.kinds) >= MOST_KINDS, self.volatile)

    def wants_control(self, kind: str) -> bool:
        """Whether the next comparison should be made with a second plain page."""
        if self.controls < CONTROLS:
            return True
        about = self.kinds.get(kind)
        return self.controls < MORE_CONTROLS and about is not None and self._own_word(about, "") == NEEDS

    def _known_kind(self, about: _Kind, suspects: Iterable[str]) -> KnownKind:
        hopeless = self._hopeless(about)
        fine = [pattern for pattern in about.patterns if self._word(about, pattern, set(hopeless)) == FINE]
        return KnownKind(fine, hopeless, sorted({*self._watched(about), *suspects}))

    def _word(self, about: _Kind, pattern: str, hopeless: set[str]) -> str:
        """A doubt that came to nothing leaves a page like those without any."""
        word = self._own_word(about, pattern)
        if word == FINE or (word == OPEN and pattern and hopeless.issuperset(pattern.split("\n"))):
            return self._own_word(about, "")
        return word

    def _own_word(self, about: _Kind, pattern: str) -> str:
        compared = about.patterns.get(pattern, [])
        watched = self._watched(about)
        own = set(pattern.split("\n"))
        counts = [any(self._speaks(one, own, watched) for one in differs) for differs in compared]
        if sum(counts) >= SURE:
            return NEEDS
        return FINE if not any(counts) and len(counts) >= (ENOUGH if pattern else ENOUGH_UNDOUBTED) else OPEN

    def _speaks(self, one: str, own: set[str], watched: set[str]) -> bool:
        """Whether a difference says something of the pattern: not one that is known by its value and doubted for it."""
        if is_value(one) and name_of(one) in self.volatile:
            return False
        return one in own or one not in watched

    def _watched(self, about: _Kind) -> set[str]:
        volatile = set(self.volatile)
        return {one for one, count in about.values.items() if count >= PROVEN and name_of(one) not in volatile}

    def _hopeless(self, about: _Kind) -> list[str]:
        tried: dict[str, int] = {}
        for pattern, compared in about.patterns.items():
            for one in pattern.split("\n") if pattern else ():
                helped = sum(one in differs for differs in compared)
                tried[one] = -(10**6) if helped else tried.get(one, 0) + len(compared)
        return sorted(one for one, count in tried.items() if count >= HOPELESS)

    # -- what becomes known

    def compared(self, kind: str, tokens: Sequence[str], differs: Sequence[str], check: bool = False) -> str:
        """The browser's page was held against the plain one; returns the kind it went under."""
        if kind not in self.kinds and len(self.kinds) >= MOST_KINDS and kind != HTTP_ERROR:
            kind = OTHER
        about = self.kinds.setdefault(kind, _Kind())
        pattern = pattern_of(tokens)
        rows = about.patterns.pop(pattern, [])
        about.patterns[pattern] = [*rows, list(differs)][
            -(REMEMBERED if pattern else REMEMBERED_UNDOUBTED) :
        ]  # at the end: the least used are first
        if pattern and not set(tokens) & set(differs):  # its doubts were for nothing: it counts as one without any
            about.patterns[""] = [*about.patterns.get("", []), list(differs)][-REMEMBERED_UNDOUBTED:]
        while len(about.patterns) > MOST_PATTERNS:
            about.patterns.pop(next(name for name in about.patterns if name))
        for one in differs:
            if is_value(one) and not one.endswith("=~"):
                about.values[one] = min(about.values.pop(one, 0) + 1, 2 * PROVEN)
        for one in tokens:  # a value that turns out right again and again is not doubted for ever
            if one in about.values and one not in differs:
                about.values[one] -= 1
                if about.values[one] <= 0:
                    del about.values[one]
        while len(about.values) > MOST_VALUES:
            about.values.pop(next(iter(about.values)))
        if check:
            self.interval = FIRST_CHECK if differs else min(self.interval * SELDOMER, LAST_CHECK)
        return kind

    def controlled(self, volatile: Sequence[str]) -> None:
        """Two plain pages were held against each other."""
        self.controls += 1
        self.volatile = sorted({*self.volatile, *volatile})[:MOST_VALUES]

    def settled(self) -> None:
        """A plain page was enough."""
        self.pages += 1

    def check_due(self) -> bool:
        """Whether the next page is to be compared in any case; then it counts as asked for."""
        if self.pages < self.interval:
            return False
        self.pages = 0
        return True

    def goes_straight(self) -> bool:
        """Whether the next page goes to the browser without a plain fetch; counts the turn."""
        if not self.straight:
            return False
        self.turns += 1
        if self.turns < PLAIN_TRY:
            return True
        self.turns = 0
        return False

    def arrived(self, kind: str, tokens: Sequence[str]) -> None:
        """A plain page came; called before anything comes of it, so that what is slow counts no less.

        It counts by what comparisons of its pattern gave, and not at all while nothing is known of its doubts.
        """
        about = self.kinds.get(kind)
        compared = about.patterns.get(pattern_of(tokens), []) if about is not None else []
        if tokens and not compared and self.decide(kind, tokens) != FINE:
            return
        needed = sum(bool(differs) for differs in compared) / max(len(compared), ENOUGH)
        self.judged = min(self.judged + 1, TRIED)
        self.need += (needed - self.need) / self.judged
        if self.judged >= TRIED and self.need >= NEARLY_ALL:
            self.straight = True
        elif self.need < NO_LONGER:
            self.straight = False


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Learned)


def dump(learned: Learned) -> str:
    """As it is stored."""
    return _encoder.encode(learned).decode()


def load(text: str) -> Learned:
    """What :func:`dump` wrote; of an unreadable text nothing is known."""
    try:
        return _decoder.decode(text)
    except msgspec.MsgspecError:
        return Learned()


def raw_known(learned: Learned, suspects: Iterable[str] = ()) -> Raw:
    """:meth:`Learned.known` as it travels."""
    return Raw(msgspec.msgpack.encode(learned.known(suspects)))
