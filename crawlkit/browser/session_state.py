"""Cookies and localStorage of a named session: brought into a fresh context, and given back afterwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from playwright.async_api import BrowserContext
from playwright.async_api import Error as PlaywrightError

_COOKIE: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "value": str,
    "domain": str,
    "path": str,
    "expires": (int, float),
    "httpOnly": bool,
    "secure": bool,
    "sameSite": str,
}
_SAME_SITE = frozenset({"Strict", "Lax", "None"})
MAX_COOKIES = 1_000


def clean_cookies(cookies: Sequence[Any]) -> list[dict[str, Any]]:
    """Those that have what a cookie needs, with nothing else."""
    made = []
    for cookie in cookies[:MAX_COOKIES]:
        if not isinstance(cookie, dict):
            continue
        kept = {name: cookie[name] for name, kind in _COOKIE.items() if isinstance(cookie.get(name), kind)}
        if kept.get("sameSite", "Lax") not in _SAME_SITE:
            del kept["sameSite"]
        if "name" in kept and "value" in kept and kept.get("domain"):
            made.append({"path": "/", **kept})
    return made


def clean_origins(origins: Sequence[Any]) -> list[dict[str, Any]]:
    """Those with an origin, and of their items those that are text."""
    made = []
    for each in origins:
        if not isinstance(each, dict) or not isinstance(each.get("origin"), str):
            continue
        items = [
            {"name": item["name"], "value": item["value"]}
            for item in each.get("localStorage") or ()
            if isinstance(item, dict) and isinstance(item.get("name"), str) and isinstance(item.get("value"), str)
        ]
        if items:
            made.append({"origin": each["origin"], "localStorage": items})
    return made


async def add_cookies(context: BrowserContext, cookies: list[dict[str, Any]], note: Callable[[str], None]) -> None:
    """All that the browser takes; what it refuses is noted."""
    if not cookies:
        return
    try:
        await context.add_cookies(cookies)  # type: ignore[arg-type]
        return
    except PlaywrightError as error:
        if "has been closed" in error.message:
            raise
    for cookie in cookies:
        try:
            await context.add_cookies([cookie])  # type: ignore[list-item]
        except PlaywrightError:
            note(f"crawlkit: the browser refused the cookie {cookie['name'][:80]!r} of {cookie['domain'][:80]}")


async def state_of(context: BrowserContext, most: int, note: Callable[[str], None]) -> tuple[list[Any], list[Any]]:
    """Cookies and origins as they are now; origins with over ``most`` characters in all are left behind, and noted."""
    state = await context.storage_state()
    kept: list[Any] = []
    for origin in state["origins"]:
        size = sum(len(item["name"]) + len(item["value"]) for item in origin["localStorage"])
        if size > most:
            note(f"crawlkit: the localStorage of {origin['origin'][:200]} is too large to be kept")
            continue
        most -= size
        kept.append(dict(origin))
    return [dict(cookie) for cookie in state["cookies"]], kept
