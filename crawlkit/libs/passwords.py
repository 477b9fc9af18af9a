"""Digests of passwords and of random secrets; what is stored of either.

Pure but for randomness. Passwords go through scrypt with OWASP's figures for 16 MiB; secrets of 256 random bits need
no slow function, a SHA-256 is enough.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import unicodedata

from crawlkit.libs.errors import InvalidAccount

MIN_LENGTH = 8  # characters (NIST SP 800-63B)
MAX_LENGTH = 1024
COST = (14, 8, 5)  # log2 N, r, p: 16 MiB, about 0.2 s


def check_password(password: str, user: str = "") -> None:
    """Raises :class:`InvalidAccount` for one that may not be set; the message never shows it."""
    if len(password) < MIN_LENGTH:
        raise InvalidAccount(f"the password is too short: use {MIN_LENGTH} characters or more")
    if len(password) > MAX_LENGTH:
        raise InvalidAccount(f"the password is too long: use up to {MAX_LENGTH} characters")
    if user and password.casefold() == user.casefold():
        raise InvalidAccount("the password is the user's name: use another one")
    if len(set(password)) == 1:
        raise InvalidAccount("the password is one character repeated: use another one")


def hash_password(password: str, cost: tuple[int, int, int] | None = None) -> str:
    """``scrypt$14$8$5$salt$digest``, different each time. ``cost``: instead of :data:`COST`."""
    salt = secrets.token_bytes(16)
    log_n, r, p = cost = cost or COST
    return f"scrypt${log_n}${r}${p}${_text(salt)}${_text(_scrypt(password, salt, cost))}"


def verify_password(password: str, stored: str) -> bool:
    """Whether ``stored`` was made of this password, in constant time.

    Takes as long when ``stored`` is empty, so that nobody learns which users there are.
    """
    try:
        kind, log_n, r, p, salt, digest = stored.split("$")
        cost = int(log_n), int(r), int(p)
        known = kind == "scrypt" and 0 < cost[0] <= 20 and 0 < cost[1] <= 32 and 0 < cost[2] <= 16
        salt_bytes, digest_bytes = _bytes(salt), _bytes(digest)
    except ValueError:
        known = False
    if not known:
        _scrypt(password, b"nobody", COST)
        return False
    return hmac.compare_digest(_scrypt(password, salt_bytes, cost), digest_bytes)


def new_secret() -> str:
    """256 random bits as 43 URL-safe characters: for cookies, links and tokens."""
    return secrets.token_urlsafe(32)


def digest_of(secret: str) -> str:
    """What is stored of a random secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _scrypt(password: str, salt: bytes, cost: tuple[int, int, int]) -> bytes:
    text = unicodedata.normalize("NFC", password[:MAX_LENGTH]).encode("utf-8", "surrogatepass")  # RFC 8265
    log_n, r, p = cost
    return hashlib.scrypt(text, salt=salt, n=2**log_n, r=r, p=p, maxmem=2 * 128 * r * 2**log_n + 2**20)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
