"""Finds an installed Chromium, and says how it is started: what it may do by itself is little, and nothing directly.

Looks at paths only; starting it is :mod:`crawlkit.browser.pool`'s.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from crawlkit.libs.errors import FetchError
from crawlkit.libs.extras import install_command

#: In the order in which they are looked for. The headless shell has no windows of its own to draw: a page costs it
#: about a third.
NAMES = (
    "chromium-headless-shell",
    "chrome-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome-stable",
    "google-chrome",
    "chrome",
)
_MAC = (
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
_PLAYWRIGHT = (
    ("chromium_headless_shell", ("*/headless_shell", "*/chrome-headless-shell")),
    ("chromium", ("*/chrome", "*/*.app/Contents/MacOS/*")),
)
NO_EXTRA = f"pages for a browser need Playwright, and it is not installed: {install_command('browser')}"
NO_CHROMIUM = (
    "pages for a browser need Chromium, and there is none: install it (apt install chromium-headless-shell, dnf install"
    " chromium-headless, brew install chromium, or: playwright install chromium), or name one with --chromium"
)

#: What is not in Playwright's own list. Names are resolved, and connections made, by the relay alone.
ARGUMENTS = (
    "--disable-quic",
    "--webrtc-ip-handling-policy=disable_non_proxied_udp",  # else STUN goes past the relay to any address
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",  # the same for chrome-headless-shell
    "--dns-prefetch-disable",
    "--no-pings",
    "--disable-domain-reliability",
    "--disable-gpu",
    "--autoplay-policy=user-gesture-required",
    # One process a page, its frames of other sites included: what the task wants blocked is blocked there too, and a
    # page with ten frames does not start ten processes. Pages of different tasks never share one.
    "--disable-site-isolation-trials",
)
#: What Playwright would add for tests of one's own pages: strangers' pages may flood neither windows nor navigations.
NOT_PLAYWRIGHT_S = ("--disable-popup-blocking", "--disable-ipc-flooding-protection")
RESOLVE_NOTHING = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"


def has_extra() -> bool:
    """Whether Playwright, and what comes with it, can be imported."""
    return all(importlib.util.find_spec(name) is not None for name in ("playwright", "aiohappyeyeballs"))


def find(named: str | None = None, environ: Mapping[str, str] | None = None) -> str:
    """The path of a browser. Raises :class:`FetchError` of kind ``no_browser`` (501) with a line for people.

    ``named``: a path or a command, and then no other will do.
    """
    if not has_extra():
        raise FetchError("no_browser", NO_EXTRA, 501)
    path = (os.environ if environ is None else environ).get("PATH")
    found: str | None
    if named is not None:
        found = shutil.which(named, path=path)
        if found is None:
            raise FetchError("no_browser", f"--chromium {named}: there is no such program", 501)
        return found
    on_mac = _MAC if sys.platform == "darwin" else ()
    for name in (*NAMES[:2], *_of_playwright(os.environ if environ is None else environ), *NAMES[2:], *on_mac):
        found = shutil.which(name, path=path)
        if found is not None:
            return _unwrapped(found)
    raise FetchError("no_browser", NO_CHROMIUM, 501)


def _unwrapped(found: str) -> str:
    """Debian's headless shell stands behind a script that stays between it and who started it, and who ends it."""
    path = Path(found)
    program = path.parent.parent / "lib" / "chromium" / path.name
    return str(program) if path.name == NAMES[0] and program.is_file() else found


def _of_playwright(environ: Mapping[str, str]) -> list[str]:
    """What ``playwright install chromium`` has brought: headless shells first, the newest of each first."""
    cache = "Library/Caches" if sys.platform == "darwin" else ".cache"
    home = Path(environ.get("HOME") or "/nonexistent")
    places = Path(environ.get("PLAYWRIGHT_BROWSERS_PATH") or home / cache / "ms-playwright")
    found: list[str] = []
    for folder, programs in _PLAYWRIGHT:
        for place in sorted(places.glob(f"{folder}-*"), key=_revision, reverse=True):
            found += [str(path) for program in programs for path in sorted(place.glob(program))]
    return found


def _revision(folder: Path) -> int:
    number = folder.name.rpartition("-")[2]
    return int(number) if number.isdecimal() else 0


def sandboxed(said: bool | None) -> bool:
    """Whether Chromium's sandbox is on; it refuses to run for root."""
    return os.geteuid() != 0 if said is None else said
