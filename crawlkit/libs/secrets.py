"""Encrypts the settings of projects: Fernet (AES-128-CBC with HMAC-SHA256) under a key that is given in.

Pure: where the key comes from and where the text goes is for others to say. Nothing here is logged.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

from crawlkit.libs.errors import UsageError, WrongKey

MIN_SECRET = 16  # characters
SAMPLE = "change-me"


def new_key() -> str:
    """A random key: 32 bytes as URL-safe base64."""
    from cryptography.fernet import Fernet

    return Fernet.generate_key().decode()


def checked(secret: str) -> str:
    """``secret`` without blanks round it; raises :class:`UsageError`, which does not show it, when it is too easy."""
    secret = secret.strip()
    if len(secret) < MIN_SECRET or SAMPLE in secret.lower():
        raise UsageError(
            f"the secret key is too easy to guess: give {MIN_SECRET} characters or more, the same on every host;"
            " `openssl rand -hex 32` makes a good one"
        )
    return secret


def fingerprint(secret: str) -> str:
    """Tells one secret from another, and nothing of it."""
    return hmac.digest(secret.encode(), b"crawlkit secret key", hashlib.sha256).hex()[:16]


def _fernet_key(secret: str) -> bytes:
    """Those that :func:`new_key` makes are used as they are, every other text by its digest."""
    with_digest = base64.urlsafe_b64encode(hmac.digest(secret.encode(), b"crawlkit settings", hashlib.sha256))
    try:
        made = len(secret) == 44 and len(base64.urlsafe_b64decode(secret)) == 32
    except ValueError:
        made = False
    return secret.encode() if made else with_digest


class SecretBox:
    """Seals and opens values with one key. A value opens only as the setting it was sealed for."""

    def __init__(self, key: str) -> None:
        """Raises :class:`UsageError` when ``key`` is no key; the message does not show it."""
        from cryptography.fernet import Fernet

        self._fernet = Fernet(_fernet_key(checked(key)))

    def seal(self, project: str, name: str, value: str) -> str:
        """``value`` encrypted, as ASCII text; different each time."""
        return self._fernet.encrypt(json.dumps([project, name, value]).encode()).decode()

    def open(self, project: str, name: str, sealed: str) -> str:
        """The value; raises :class:`WrongKey` when the key is another one, or ``sealed`` was changed or moved."""
        from cryptography.fernet import InvalidToken

        try:
            found = json.loads(self._fernet.decrypt(sealed.encode("ascii", "replace")))
        except InvalidToken:
            raise WrongKey(
                f"setting {name} of project {project} does not open with this secret key: give the one it was"
                " set with (CRAWLKIT_SECRET_KEY, or the file secret.key in the data path), or --remove the setting"
            ) from None
        if found[:2] != [project, name]:
            raise WrongKey(
                f"setting {name} of project {project} was sealed for another place: --remove it and set it again"
            )
        return str(found[2])
