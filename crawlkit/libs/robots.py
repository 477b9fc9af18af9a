"""robots.txt by RFC 9309: bytes to rules, and what an answer's status means. Pure: fetches and remembers nothing."""

from __future__ import annotations

import re

from protego import Protego

MAX_SIZE = 500 * 1024  # bytes that are read; RFC 9309, 2.5
MAX_NAMED = 16_384  # bytes of rules of which a line can be named; more would cost more than the fetch it saves
_LINE = re.compile(r"\s*disallow\s*:\s*([^#]*)", re.IGNORECASE)
_PRODUCT = re.compile(r"[A-Za-z_-]+")


class Rules:
    """What one robots.txt says. ``Rules.allow_all()`` and ``Rules.refuse_all()`` stand for one that is not there."""

    __slots__ = ("_all", "_parsed", "_text", "size")

    def __init__(self, parsed: Protego | None, everything: bool = True, size: int = 0, text: str = "") -> None:
        self._parsed = parsed
        self._all = everything
        self._text = text if len(text) <= MAX_NAMED else ""
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

        ``None``: nothing forbids it, or several lines do so, or the rules are too many to look at one by one.
        """
        lines = self._text.splitlines()
        candidates = []
        for number, line in enumerate(lines):
            found = _LINE.match(line)
            if found and not Protego.parse(f"User-agent: *\nDisallow: {found[1]}").can_fetch(url, "*"):
                candidates.append(number)
        for number in candidates if len(candidates) <= 20 and not self.allows(url, user_agent) else ():
            without = Protego.parse("\n".join([*lines[:number], "Disallow:", *lines[number + 1 :]]))
            if without.can_fetch(url, product(user_agent)):
                return number + 1, lines[number].strip()
        return None

    def crawl_delay(self, user_agent: str) -> float | None:
        """Seconds, when it says so; not in the RFC but common."""
        delay = None if self._parsed is None else self._parsed.crawl_delay(product(user_agent))
        return None if delay is None else float(delay)

    @property
    def sitemaps(self) -> list[str]:
        return [] if self._parsed is None else list(self._parsed.sitemaps)


def product(user_agent: str) -> str:
    """The product token (RFC 9309, 2.2.1) of a User-Agent: ``crawlkit`` of ``crawlkit/1.0 (+http://...)``."""
    found = _PRODUCT.search(user_agent.partition("/")[0])
    return found[0] if found else "*"


def rules_of(status: int, body: bytes) -> Rules:
    """RFC 9309, 2.3.1: 2xx is read, 5xx refuses everything, all else means that there are no rules."""
    if 200 <= status < 300:
        return Rules.parse(body)
    return Rules.refuse_all() if status >= 500 else Rules.allow_all()
