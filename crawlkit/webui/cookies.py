"""The cookie of a session: its name, its attributes, and finding it among others. Pure."""

from __future__ import annotations

import re

SESSION_DAYS = 30
DEVICE_DAYS = 365
_VALUE = re.compile(r"[A-Za-z0-9_.~-]{1,512}")


def cookie_name(base: str, install: str, *, secure: bool, prefix: str) -> str:
    """Its name for this installation, so that two of them on one machine do not share it.

    Under TLS a prefix of the name makes browsers insist on its attributes (RFC 6265bis, 4.1.3).
    """
    strict = "" if not secure else "__Secure-" if prefix else "__Host-"
    return f"{strict}crawlkit_{base}_{install}"


def set_cookie(name: str, value: str, *, secure: bool, prefix: str, days: float) -> str:
    """A Set-Cookie header's value; ``days`` 0 removes the cookie. Scripts cannot read it, other sites not send it."""
    words = [f"{name}={value}", f"Path={prefix or '/'}", f"Max-Age={round(days * 86_400)}", "HttpOnly", "SameSite=Lax"]
    return "; ".join([*words, "Secure"] if secure else words)


def find_cookie(header: str, name: str) -> str:
    """The value of a cookie, ``""`` without one. Others, however broken, do not get in the way.

    Of several with the same name none counts: one of them was planted.
    """
    found = [
        value.strip().strip('"')
        for one, _, value in (part.partition("=") for part in header.split(";"))
        if one.strip() == name
    ]
    return found[0] if len(found) == 1 and _VALUE.fullmatch(found[0]) else ""
