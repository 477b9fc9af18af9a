"""Where to go after the login: only to a place on this site. Pure."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

HOME = "/"
LONGEST = 2000  # characters


def safe_next(said: str) -> str:
    """``said`` if it is a path on this site, without its prefix, else the home page.

    Browsers read a backslash as a slash and skip tabs and line ends, and some things are decoded twice on their way;
    so whatever could become ``//elsewhere`` at any stage is refused.
    """
    if not said or len(said) > LONGEST or not said.startswith("/"):
        return HOME
    decoded = said
    for _ in range(3):
        if _leads_away(decoded):
            return HOME
        further = unquote(decoded)
        if further == decoded:
            break
        decoded = further
    if _leads_away(decoded) or not said.isascii():
        return HOME
    return HOME if urlsplit(said).path.startswith("/login") else said


def _leads_away(path: str) -> bool:
    unprintable = any(ord(letter) < 0x20 or ord(letter) == 0x7F or letter == "\\" for letter in path.partition("?")[0])
    strange = any(ord(letter) < 0x20 or ord(letter) == 0x7F for letter in path)
    parts = urlsplit(path.lstrip(" "))
    return unprintable or strange or path.startswith("//") or bool(parts.scheme or parts.netloc)
