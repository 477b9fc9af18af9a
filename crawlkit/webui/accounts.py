"""Logging in and out, users, tokens and links: what the pages, the API and `crawlkit user` do with accounts.

Blocks, for it speaks to a store and computes slow digests; safe for several threads. Who may ask for what is decided
by the caller. Every change is written into the audit log.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from crawlkit.libs.errors import InvalidAccount, StoreUnavailable
from crawlkit.libs.passwords import check_password, digest_of, hash_password, new_secret, verify_password
from crawlkit.libs.roles import ADMIN, lower
from crawlkit.libs.rows import AuditRow, LoginLinkRow, SessionRow, TokenRow, UserRow
from crawlkit.webui.cookies import SESSION_DAYS
from crawlkit.webui.gate import LOCAL, Identity
from crawlkit.webui.guesses import GuessLimits
from crawlkit.webui.hosts import neighbourhood
from crawlkit.webui.keys import Keys

if TYPE_CHECKING:
    from crawlkit.database.base import AccountStore
    from crawlkit.libs.clock import Clock

DAY = 86_400.0
IDLE = 7 * DAY  # seconds without a request until a session ends
LONGEST = SESSION_DAYS * DAY  # seconds a session lasts at most
LINK = 600.0  # seconds a login link is good for
TOUCH = 60.0  # seconds between two notes of the last request
AUDIT_DAYS = 365.0
TOKEN = "ck"  # a token reads ck_<id>_<secret>
RESERVED = frozenset({LOCAL, "public", "crawlkit"})


@dataclass(frozen=True)
class LoggedIn:
    """A new session. ``session``: for its cookie; ``device``: for that of the browser."""

    identity: Identity
    session: str
    device: str


@dataclass(frozen=True)
class NotLoggedIn:
    """``wait``: seconds until the next try is looked at; 0: name or password was wrong."""

    wait: float = 0.0


@dataclass
class Accounts:
    """``process_user``: an admin known to this process only (pyspider's ``--username`` and ``--password``)."""

    store: AccountStore
    keys: Keys
    clock: Clock
    process_user: tuple[str, str] | None = None  # name, password's hash
    limits: GuessLimits = field(default_factory=GuessLimits)
    audit_days: float = AUDIT_DAYS
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _scrypt: threading.Lock = field(default_factory=threading.Lock)  # one at a time: each takes memory and a core
    _proven: dict[bytes, float] = field(default_factory=dict)  # proofs of name, password and hash -> good until

    def exist(self) -> bool:
        """Whether anybody can log in with a password."""
        return self.process_user is not None or bool(self.store.users())

    def role_of(self, name: str) -> str:
        """The role that a user has now, ``""`` without an account. Who came by a nameless link has one until the first
        user is added."""
        if self.process_user is not None and self.process_user[0] == name:
            return ADMIN
        if name == LOCAL:
            return "" if self.exist() else ADMIN
        row = self.store.user(name)
        return row.role if row is not None else ""

    # -- passwords -----------------------------------------------------------------------------------------------

    def check(self, name: str, password: str, address: str, device: str = "") -> str | NotLoggedIn:
        """The role of the user with this name and password. ``device``: the cookie of a browser, whatever it says.

        Takes as long for a name that is not known, and counts against the limits of guesses unless it is right.
        """
        if not name or not password or len(name) > 64:
            return NotLoggedIn()  # nobody's: no guess at all
        known = self.keys.known_device(name, device) if device else ""
        place = neighbourhood(address)
        with self._lock:
            wait = self.limits.take(self.clock.monotonic(), name, place, known)
        if wait > 0:
            return NotLoggedIn(wait)
        role, stored = self._stored(name)
        with self._scrypt:
            fits = verify_password(password, stored)
        if not (fits and role):
            return NotLoggedIn()
        with self._lock:
            self.limits.right(name, place, known)
        return role

    def check_again(self, name: str, password: str, address: str) -> str | NotLoggedIn:
        """As :meth:`check`, for credentials that come with every request (HTTP Basic): what was right stays so for
        five minutes, while the stored hash is the same."""
        role, stored = self._stored(name)
        proof = self.keys.proof(name, password, stored)
        now = self.clock.monotonic()
        with self._lock:
            good = self._proven.get(proof, 0.0) > now
        if good and role:
            return role
        checked = self.check(name, password, address)
        if isinstance(checked, str):
            with self._lock:
                self._proven = {key: until for key, until in self._proven.items() if until > now}
                self._proven[proof] = now + 300.0
        return checked

    def _stored(self, name: str) -> tuple[str, str]:
        if self.process_user is not None and self.process_user[0] == name:
            return ADMIN, self.process_user[1]
        row = self.store.user(name)
        return (row.role, row.password) if row is not None else ("", "")

    # -- sessions ------------------------------------------------------------------------------------------------

    def log_in(
        self, name: str, password: str, address: str, *, device: str = "", old_session: str = ""
    ) -> LoggedIn | NotLoggedIn:
        """A new session with a new id; one that the browser had before ends."""
        role = self.check(name, password, address, device)
        if isinstance(role, NotLoggedIn):
            if not role.wait:
                who = name if self.role_of(name) else ""  # what is no name may be a password in the wrong field
                self.note(Identity(who, "", "password"), "session.refuse", address=address)
            return role
        return self._open(Identity(name, role, "password"), address, old_session)

    def follow_link(self, token: str, address: str, *, old_session: str = "") -> LoggedIn | None:
        """The session that a login link gives, once; ``None`` when it was used or is too old."""
        link = self.store.take_link(digest_of(token))
        if link is None or link.expires < self.clock.time():
            return None
        name = link.user or LOCAL
        role = self.role_of(name)
        return self._open(Identity(name, role, "link"), address, old_session) if role else None

    def _open(self, identity: Identity, address: str, old_session: str) -> LoggedIn:
        now = self.clock.time()
        if old_session:
            self.store.remove_session(digest_of(old_session))
        self.store.prune(now)
        self.store.prune_audit(now - self.audit_days * DAY)
        session = new_secret()
        row = SessionRow(digest_of(session), identity.user, identity.via, now, now + IDLE, now, address[:64])
        self.store.add_session(row)
        self.store.seen_user(identity.user, now)
        self.note(identity, "session.open", address=address)
        return LoggedIn(identity, session, self.keys.device(identity.user, secrets.token_urlsafe(12)))

    def who_has(self, session: str) -> Identity | None:
        """Whose session this is; ``None`` when it has ended. Its user's role is that of now."""
        row = self.store.session(digest_of(session))
        now = self.clock.time()
        if row is None or row.expires < now or row.created + LONGEST < now:
            return None
        role = self.role_of(row.user)
        if not role:
            return None
        if now - row.seen >= TOUCH:
            with contextlib.suppress(StoreUnavailable):  # a full disk shall not lock people out
                self.store.seen_session(row.digest, now, min(now + IDLE, row.created + LONGEST))
        return Identity(row.user, role, row.via)

    def log_out(self, session: str, identity: Identity, address: str) -> None:
        """Ends a session."""
        if self.store.remove_session(digest_of(session)):
            self.note(identity, "session.close", address=address)

    def new_link(self, user: str = "") -> str:
        """The token of a login link; without ``user`` it lets in the person at this machine, as an admin.

        Raises :class:`InvalidAccount` when there is no such user, or when there are users and none is named.
        """
        if not user and self.exist():
            raise InvalidAccount("there are users: say whom the link is for (crawlkit user list names them)")
        if user and self.store.user(user) is None:
            raise no_user(user)
        token, now = new_secret(), self.clock.time()
        self.store.add_link(LoginLinkRow(digest_of(token), user, now, now + LINK))
        return token

    # -- users ---------------------------------------------------------------------------------------------------

    def add_user(self, by: Identity, name: str, password: str, role: str, address: str = "") -> UserRow:
        """Raises :class:`InvalidAccount` for a name, password or role that may not be, or a name that is taken."""
        check_password(password, name)
        if name in RESERVED:
            raise InvalidAccount(f"user {name!r}: this name has a meaning of its own: use another one")
        if role != ADMIN and not self.exist():
            raise InvalidAccount(f"user {name!r}: the first user has to be an admin: nobody else could change users")
        now = self.clock.time()
        with self._scrypt:
            row = UserRow(name, role, hash_password(password), now, now)
        if not self.store.add_user(row):
            raise InvalidAccount(f"there is a user {name!r} already")
        self.note(by, "user.add", detail=f"{name} as {role}", address=address)
        return row

    def set_password(self, by: Identity, name: str, password: str, address: str = "", keep: str = "") -> None:
        """Ends all sessions of that user but the session ``keep``. Raises :class:`InvalidAccount`."""
        check_password(password, name)
        with self._scrypt:
            stored = hash_password(password)
        kept = digest_of(keep) if keep else ""
        if not self.store.change_user(name, password=stored, at=self.clock.time(), keep=kept):
            raise no_user(name)
        self.note(by, "user.password", detail=name, address=address)

    def set_role(self, by: Identity, name: str, role: str, address: str = "") -> None:
        """Holds at once, for sessions and tokens too. Raises :class:`InvalidAccount`."""
        row = self.store.user(name)
        if row is None:
            raise no_user(name)
        if role != ADMIN:
            self._keep_an_admin(row)
        self.store.change_user(name, role=role)
        self.note(by, "user.role", detail=f"{name}: {row.role} -> {role}", address=address)

    def remove_user(self, by: Identity, name: str, address: str = "", *, last_too: bool = False) -> None:
        """With all sessions and tokens. Raises :class:`InvalidAccount`. ``last_too``: also the last admin."""
        row = self.store.user(name)
        if row is None:
            raise no_user(name)
        if not last_too:
            self._keep_an_admin(row)
        self.store.remove_user(name)
        self.note(by, "user.remove", detail=name, address=address)

    def _keep_an_admin(self, row: UserRow) -> None:
        admins = [one.name for one in self.store.users() if one.role == ADMIN]
        if admins == [row.name]:
            raise InvalidAccount(f"{row.name} is the last admin: make somebody else one first")

    # -- tokens --------------------------------------------------------------------------------------------------

    def add_token(
        self, by: Identity, user: str, name: str, role: str, days: float | None = None, address: str = ""
    ) -> tuple[TokenRow, str]:
        """The row, and the token, which is shown once. Raises :class:`InvalidAccount`."""
        own = self.role_of(user)
        if not own:
            raise no_user(user)
        if lower(role, own) != role:
            raise InvalidAccount(f"role {role!r}: {user} is {own}, a token can have that role or a lower one")
        if days is not None and not 0 < days <= 3660:
            raise InvalidAccount(f"{days:g} days: use up to 3660, or none for a token that never expires")
        now, secret = self.clock.time(), new_secret()
        row = TokenRow(
            id=secrets.token_hex(6), digest=digest_of(secret), user=user, name=name.strip()[:100], role=role,
            created=now, expires=None if days is None else now + days * DAY,
        )  # fmt: skip
        self.store.add_token(row)
        self.note(by, "token.add", detail=f"{row.id} {row.name!r} for {user} as {role}", address=address)
        return row, f"{TOKEN}_{row.id}_{secret}"

    def remove_token(self, by: Identity, row: TokenRow, address: str = "") -> None:
        """It holds no longer."""
        if self.store.remove_token(row.id):
            self.note(by, "token.remove", detail=f"{row.id} {row.name!r} of {row.user}", address=address)

    def who_bears(self, token: str) -> Identity | None:
        """Whose token this is; ``None`` for one that is unknown or has expired."""
        kind, _, rest = token.partition("_")
        id, _, secret = rest.partition("_")
        row = self.store.token(id) if kind == TOKEN and len(id) <= 64 else None
        digest = digest_of(secret)
        now = self.clock.time()
        if row is None or not secrets.compare_digest(row.digest, digest):
            return None
        role = lower(row.role, self.role_of(row.user))
        if not role or (row.expires is not None and row.expires < now):
            return None
        if now - row.used >= TOUCH:
            with contextlib.suppress(StoreUnavailable):
                self.store.used_token(row.id, now)
        return Identity(row.user, role, "token")

    # -- the audit log -------------------------------------------------------------------------------------------

    def note(self, who: Identity, action: str, project: str = "", detail: str = "", address: str = "") -> None:
        """Writes into the audit log."""
        self.store.add_audit(
            AuditRow(self.clock.time(), who.user, who.via, action[:64], project[:64], detail[:2000], address[:64])
        )


def no_user(name: str) -> InvalidAccount:
    """What is said when there is no such user."""
    return InvalidAccount(f"there is no user {name!r}")
