"""What may be asked of a host: the form of ``host_limits`` in ``crawl_config`` and in the config file. Pure.

``{"rate": 2, "concurrency": 4, "*.example.org": {"rate": 0.5}}``: a key with a dict is a host or a pattern of hosts,
any other key is a limit for all hosts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from msgspec import Struct

from crawlkit.libs.errors import InvalidTask
from crawlkit.libs.wildcard import Wildcard

UNLIMITED: Final = "unlimited"
MAX_PATTERNS = 1_000  # hosts and patterns together
MAX_STARS = 100  # patterns with *: each new host is held against all of them
MAX_DELAY = 60.0  # seconds of a Crawl-delay that are followed where it only says True
_HOST = re.compile(r"[a-z0-9_.*:\[\]-]{1,260}\Z")
_DEFAULT_PORT = re.compile(r":0*(?:80|443)\Z")  # no part of a host's name, see libs.task.host_of
_LOOPBACK = re.compile(r"((?:[^:]*\.)?localhost|127\.\d+\.\d+\.\d+|\[::1\])\.?(:\d+)?\Z")


class Limits(Struct, frozen=True):
    """What holds for one host. ``None``: nothing was said."""

    rate: float | None = None  # requests per second; infinite: unlimited
    burst: float | None = None  # requests that may go out at once after a quiet time; 1 where nothing is said
    concurrency: float | None = None  # requests under way; infinite: unlimited
    autothrottle: float | None = None  # requests under way that it aims at; 0: off
    crawl_delay: float | None = None  # the most seconds of a Crawl-delay that are followed; 0: it is not followed


NOTHING: Final = Limits()
NAMES: Final = Limits.__struct_fields__
SHORT: Final = ("autothrottle", "crawl_delay")  # may stand in crawl_config itself


class HostLimits(Struct, frozen=True):
    """The limits of one project, or those of the config file."""

    general: Limits = NOTHING
    exact: dict[str, Limits] = {}  # by host, or host:port
    patterns: tuple[tuple[Wildcard, Limits], ...] = ()  # those with a *, the more exact one later

    @property
    def names(self) -> bool:
        """Whether anything is said of certain hosts."""
        return bool(self.exact or self.patterns)

    def of(self, host: str) -> Limits:
        """What is said of that host (``host`` or ``host:port``) in all: patterns win over the rest, exact ones last."""
        return over(self.general, self.named(host)) if self.names else self.general

    def named(self, host: str) -> Limits:
        """What is said of it by name."""
        found = NOTHING
        name, _, port = host.rpartition(":")
        bare = name if name and port.isdecimal() else host
        for pattern, limits in self.patterns:
            if pattern.fits(host) or (":" not in pattern.text and pattern.fits(bare)):
                found = over(found, limits)
        if self.exact:
            if bare != host and bare in self.exact:
                found = over(found, self.exact[bare])
            if host in self.exact:
                found = over(found, self.exact[host])
        return found


def read(value: Any, path: str = "crawl_config.host_limits") -> HostLimits:
    """``value`` as it was written down; raises :class:`InvalidTask` that says what is wrong, where, and how to mend it.

    ``None`` says nothing.
    """
    if value is None:
        return HostLimits()
    if not isinstance(value, Mapping):
        raise InvalidTask(path, f"a dict such as {{'rate': 2, 'concurrency': 4}}, not {value!r:.80}")
    own = {name: each for name, each in value.items() if not isinstance(each, Mapping)}
    hosts = {name: each for name, each in value.items() if isinstance(each, Mapping)}
    if len(hosts) > MAX_PATTERNS:
        raise InvalidTask(path, f"names {len(hosts):,} hosts; use at most {MAX_PATTERNS:,}, with * for many in one")
    exact: dict[str, Limits] = {}
    patterns = []
    for name, each in hosts.items():
        host = _host(name, path)
        limits = _limits(each, f"{path}[{name!r}]")
        if "*" in host:
            patterns.append((Wildcard(host), limits))
        else:
            exact[host] = over(exact.get(host, NOTHING), limits)
    if len(patterns) > MAX_STARS:
        raise InvalidTask(
            path, f"has {len(patterns):,} patterns with *; use at most {MAX_STARS}, or name hosts in full"
        )
    patterns.sort(key=lambda one: _exactness(one[0].text))
    return HostLimits(_limits(own, path), exact, tuple(patterns))


def of_config(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a ``crawl_config`` says of hosts. Names of :data:`SHORT` are short for the same in ``host_limits``."""
    said = config.get("host_limits")
    short = {name: config[name] for name in SHORT if config.get(name) is not None}
    if not short or not (said is None or isinstance(said, Mapping)):
        return said
    return {**short, **(said or {})}


def over(weak: Limits, strong: Limits) -> Limits:
    """Both together; what ``strong`` says wins."""
    if strong == NOTHING or weak == NOTHING:
        return weak if strong == NOTHING else strong
    return Limits(
        *(mine if mine is not None else theirs for mine, theirs in zip(_all(strong), _all(weak), strict=True))
    )


def strictest(several: Iterable[Limits]) -> Limits:
    """What holds when all of them must hold. Who follows the host (autothrottle, Crawl-delay) is the stricter one."""
    all_of_them = list(several)
    if len(all_of_them) == 1:
        return all_of_them[0]

    def said(name: str) -> list[float]:
        return [value for one in all_of_them if (value := getattr(one, name)) is not None]

    targets = said("autothrottle")
    return Limits(
        rate=min(said("rate"), default=None),
        burst=min(said("burst"), default=None),
        concurrency=min(said("concurrency"), default=None),
        autothrottle=min((each for each in targets if each), default=0.0 if targets else None),
        crawl_delay=max(said("crawl_delay"), default=None),
    )


def is_loopback(host: str) -> bool:
    """Whether ``host`` (or ``host:port``) is the own machine by its name; a name that only resolves there is not."""
    return _LOOPBACK.match(host) is not None


def _all(limits: Limits) -> tuple[float | None, ...]:
    return (limits.rate, limits.burst, limits.concurrency, limits.autothrottle, limits.crawl_delay)


def _exactness(pattern: str) -> tuple[bool, int]:
    return (":" in pattern, len(pattern.replace("*", "")))


def _host(name: Any, path: str) -> str:
    if not isinstance(name, str) or "://" in name or "/" in name:
        raise InvalidTask(path, f"{name!r:.80}: write a host (example.org) or a pattern (*.example.org), not a URL")
    host = _DEFAULT_PORT.sub("", name.strip().lower()).removesuffix(".")
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError:
            raise InvalidTask(path, f"{name!r:.80} is not the name of a host") from None
    if not _HOST.match(host):
        raise InvalidTask(path, f"{name!r:.80} is not a host; write example.org, example.org:8080 or *.example.org")
    if host in NAMES:
        raise InvalidTask(f"{path}.{host}", "is a limit and wants a number, not a dict")
    return host


def _limits(values: Mapping[Any, Any], path: str) -> Limits:
    unknown = sorted(str(name) for name in values if name not in NAMES)
    if unknown:
        raise InvalidTask(
            path,
            f"{unknown[0]!r:.80} is not known; limits are {', '.join(NAMES)}, and a host has a dict of them"
            " ({'example.org': {'rate': 2}})",
        )
    said = {name: _number(name, value, f"{path}.{name}") for name, value in values.items() if value is not None}
    return Limits(**said)


def _number(name: str, value: Any, path: str) -> float:
    if name in ("autothrottle", "crawl_delay") and isinstance(value, bool):
        return (MAX_DELAY if name == "crawl_delay" else 1.0) if value else 0.0
    if name in ("rate", "concurrency") and value == UNLIMITED:
        return math.inf
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidTask(path, f"{_WANTED[name]}, not {value!r:.80}")
    wrong = {
        "rate": value <= 0,
        "burst": value < 1,
        "concurrency": value < 1 or value != int(value),
        "autothrottle": value <= 0,
        "crawl_delay": value <= 0,
    }[name]
    if wrong:
        raise InvalidTask(path, f"{_WANTED[name]}, not {value!r:.80}")
    return float(value)


_WANTED: Final = {
    "rate": "a number of requests per second over 0, or 'unlimited' (to keep out of a host, do not crawl it)",
    "burst": "a number of requests, 1 or more",
    "concurrency": "a whole number of requests under way, 1 or more, or 'unlimited'",
    "autothrottle": "True, False, or the number of requests under way to aim at, over 0",
    "crawl_delay": "True, False, or the most seconds to wait, over 0",
}
