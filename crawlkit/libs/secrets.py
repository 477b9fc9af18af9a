"""Encrypts the settings of projects: Fernet (AES-128-CBC with HMAC-SHA256) under a key that is given in.

Pure: where the key comes from and where the text goes is for others to say. Nothing here is logged.
"""

from __future__ import annotations

import json

from crawlkit.libs.errors import UsageError, WrongKey

LOOKS = "44 characters of URL-safe base64, as `crawlkit project set` makes them"


def new_key() -> str:
    """A random key: 32 bytes as URL-safe base64."""
    from cryptography.fernet import Fernet

    return Fernet.generate_key().decode()


class SecretBox:
    """Seals and opens values with one key. A value opens only as the setting it was sealed for."""

    def __init__(self, key: str) -> None:
        """Raises :class:`UsageError` when ``key`` is no key; the message does not show it."""
        from cryptography.fernet import Fernet

        try:
            self._fernet = Fernet(key.strip().encode("ascii"))
        except (ValueError, UnicodeEncodeError):
            raise UsageError(f"the secret key is no key: expected {LOOKS}") from None

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
