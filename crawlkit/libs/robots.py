"""robots.txt by RFC 9309: bytes to rules, and what an answer's status means. Pure: fetches and remembers nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import unquote

from protego import Protego

from crawlkit.libs.wildcard import Wildcard

MAX_SIZE = 500 * 1024  # bytes that are read; RFC 9309, 2.5
MAX_NAMED = 16_384  # bytes of rules of which a line can be named
MAX_MATCHING = 5  # lines that may say something about a URL of which one is named
MAX_AGENTS = 10  # products that ask; names of products in the rules that may be one of them
MAX_REMEMBERED = 500  # answers to which line it is
_LINE = re.compile(r"(user-agent|allow|disallow|crawl-delay)\s*:\s*(.*)", re.IGNORECASE)
_PRODUCT = re.compile(r"[A-Za-z_-]+")


class _Line(NamedTuple):
    """One Allow or Disallow."""

    number: int  # from 1
    text: str
    rule: str  # without its comment
    agents: tuple[str, ...]  # for whom its group is, in lower case
    pattern: Wildcard  # fits whatever the line says something about, and maybe more


class Rules:
    """What one robots.txt says. ``Rules.allow_all()`` and ``Rules.refuse_all()`` stand for one that is not there."""

    __slots__ = ("_all", "_groups", "_lines", "_named", "_parsed", "_text", "size")

    def __init__(self, parsed: Protego | None, everything: bool = True, size: int = 0, text: str = "") -> None:
        self._parsed = parsed
        self._all = everything
        self._text = text if len(text) <= MAX_NAMED else ""
        self._lines: list[_Line] | None = None  # of the text, as soon as one was asked for
        self._groups: dict[str, list[_Line]] = {}  # those for one product
        self._named: dict[tuple[str, tuple[int, ...]], tuple[int, str] | None] = {}
        self.size = size  # bytes that were read: what a look at the rules may cost

    @classmethod
    def parse(cls, body: bytes) -> Rules:
        """Never raises: whatever cannot be read as a rule is not one."""
        text = body[:MAX_SIZE].decode("utf-8-sig", "replace").replace("\0", "")
        if len(body) > MAX_SIZE:
            text = text.rpartition("\n")[0]  # a rule that was cut in two would say something else
        return cls(Protego.parse(text), size=len(text), text=text)

    @classmethod
    def allow_all(cls) -> Rules:
        return cls(None, True)

    @classmethod
    def refuse_all(cls) -> Rules:
        return cls(None, False)

    def allows(self, url: str, user_agent: str) -> bool:
        """Whether the product that ``user_agent`` names may fetch ``url``."""
        if self._parsed is None:
            return self._all
        return bool(self._parsed.can_fetch(url, product(user_agent)))

    def refused_by(self, url: str, user_agent: str) -> tuple[int, str] | None:
        """The line that forbids ``url``, with its number from 1: the one without which it would be allowed.

        ``None``: nothing forbids it, or several lines do so, or nobody can say at little cost. Asked again for what
        the same lines say something about it only looks up what it found.
        """
        agent = product(user_agent)
        if not self._text or self.allows(url, user_agent):
            return None
        if self._lines is None:
            self._lines = _rules_in(self._text)
        if agent not in self._groups:
            if len(self._groups) >= MAX_AGENTS:
                self._groups.clear()
            self._groups[agent] = [line for line in self._lines if any(_may_be(one, agent) for one in line.agents)]
        path = _path(url)
        matching = tuple(line for line in self._groups[agent] if line.pattern.fits(path))
        if len(matching) > MAX_MATCHING:
            return None
        key = (agent, tuple(line.number for line in matching))
        if key not in self._named:
            if len(self._named) >= MAX_REMEMBERED:
                self._named.clear()
            self._named[key] = _deciding(matching, self._groups[agent], url, agent)
        return self._named[key]

    def crawl_delay(self, user_agent: str) -> float | None:
        """Seconds, when it says so; not in the RFC but common."""
        delay = None if self._parsed is None else self._parsed.crawl_delay(product(user_agent))
        return None if delay is None else float(delay)

    @property
    def sitemaps(self) -> list[str]:
        return [] if self._parsed is None else list(self._parsed.sitemaps)


def _rules_in(text: str) -> list[_Line]:
    """Its lines one by one. What is written oddly is left out: of that no line is named."""
    found: list[_Line] = []
    agents: list[str] = []
    open_group = False  # further agents belong to it
    for number, line in enumerate(text.splitlines(), 1):
        rule = line.partition("#")[0].strip()
        said = _LINE.fullmatch(rule)
        if said is None:
            continue
        field, value = said[1].lower(), said[2].strip()
        if field == "user-agent":
            agents = [*agents, value.lower()] if open_group else [value.lower()]
        elif field != "crawl-delay" and value and agents:
            whole = value[:-1] if value.endswith("$") else value + "*"
            found.append(_Line(number, line.strip(), rule, tuple(agents), Wildcard(unquote(whole))))
        open_group = field == "user-agent"
    return found


def _path(url: str) -> str:
    """What patterns are held against, with nothing quoted."""
    rest = url.partition("#")[0].partition("://")[2]
    place = re.search(r"[/?]", rest)
    path = unquote(rest[place.start() :]) if place is not None else "/"
    return path if path.startswith("/") else f"/{path}"


def _may_be(name: str, agent: str) -> bool:
    return name == "*" or name.replace("*", "") in agent.lower()


def _deciding(matching: Sequence[_Line], group: Sequence[_Line], url: str, agent: str) -> tuple[int, str] | None:
    """Of few lines that say something about it the one that forbids, asked of them alone."""
    names = dict.fromkeys(name for line in group for name in line.agents if _may_be(name, agent))
    if len(names) > MAX_AGENTS:
        return None

    def allowed(lines: Sequence[_Line]) -> bool:
        text = [f"User-agent: {name}\nDisallow:" for name in names]  # a group that says nothing of it may be the one
        for line in lines:
            text += [*(f"User-agent: {name}" for name in line.agents if name in names), line.rule]
        return bool(Protego.parse("\n".join(text)).can_fetch(url, agent))

    if allowed(matching):
        return None  # it is another line
    for line in matching:
        if line.rule[0] in "dD" and allowed([each for each in matching if each is not line]):
            return line.number, line.text
    return None


def product(user_agent: str) -> str:
    """The product token (RFC 9309, 2.2.1) of a User-Agent: ``crawlkit`` of ``crawlkit/1.0 (+http://...)``."""
    found = _PRODUCT.search(user_agent.partition("/")[0])
    return found[0] if found else "*"


def rules_of(status: int, body: bytes) -> Rules:
    """RFC 9309, 2.3.1: 2xx is read, 5xx refuses everything, all else means that there are no rules."""
    if 200 <= status < 300:
        return Rules.parse(body)
    return Rules.refuse_all() if status >= 500 else Rules.allow_all()
