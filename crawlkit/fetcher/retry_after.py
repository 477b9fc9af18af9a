"""Retry-After in both its forms (RFC 9110, 10.2.3): seconds, or a date. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from email.utils import parsedate_to_datetime

MOST = 7 * 86400.0  # a server may not put us off for longer


def seconds_from(headers: Iterable[tuple[str, str]], status: int, now: float) -> float | None:
    """Seconds from ``now`` (Unix time), or ``None``: no error, no such header, or nothing readable in it."""
    if status < 400:
        return None
    for name, value in headers:
        if name.lower() == "retry-after":
            return _seconds(value.strip(), now)
    return None


def _seconds(value: str, now: float) -> float | None:
    if value.isascii() and value.isdigit():
        return min(float(value[:12]), MOST)
    try:
        when = parsedate_to_datetime(value).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return min(max(when - now, 0.0), MOST)
