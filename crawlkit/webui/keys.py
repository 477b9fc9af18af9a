"""Keys made of the secret key of the installation, one for each use. Pure.

The secret key itself encrypts settings of projects; nothing here gives it away.
"""

from __future__ import annotations

import hashlib
import hmac


class Keys:
    """The keys of one installation. ``secret``: its secret key."""

    def __init__(self, secret: str) -> None:
        # HKDF (RFC 5869) with one block of output, enough for SHA-256
        self._root = hmac.new(b"crawlkit webui", secret.strip().encode(), hashlib.sha256).digest()
        self.install = self._of("install").hex()[:8]  # tells installations apart; not secret
        self._csrf = self._of("csrf")
        self._device = self._of("device")
        self._proof = self._of("proof")

    def _of(self, use: str) -> bytes:
        return hmac.new(self._root, use.encode() + b"\x01", hashlib.sha256).digest()

    def csrf(self, session: str) -> str:
        """The token that changing requests of a session must carry."""
        return hmac.new(self._csrf, session.encode(), hashlib.sha256).hexdigest()[:43]

    def device(self, user: str, number: str) -> str:
        """The value of the cookie of a browser that logged in as ``user``. ``number``: random, of its own."""
        return f"{number}.{hmac.new(self._device, f'{number} {user}'.encode(), hashlib.sha256).hexdigest()[:43]}"

    def known_device(self, user: str, cookie: str) -> str:
        """The number of a browser that logged in as ``user`` before; ``""`` for another."""
        number = cookie.partition(".")[0]
        return number if hmac.compare_digest(self.device(user, number).encode(), cookie.encode()) else ""

    def proof(self, *words: str) -> bytes:
        """Stands for words that shall not be kept in memory as they are."""
        return hmac.new(self._proof, "\0".join(words).encode("utf-8", "surrogatepass"), hashlib.sha256).digest()
