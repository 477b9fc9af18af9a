"""Users, their tokens, sessions and links, and the audit log in memory."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from copy import copy
from typing import TypeVar

from crawlkit.database.base import AuditRow, LoginLinkRow, SessionRow, TokenRow, UserRow
from crawlkit.database.rules import check_role, check_user

T = TypeVar("T")


class MemoryAccountStore:
    """An :class:`~crawlkit.database.base.AccountStore`."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._users: dict[str, UserRow] = {}
        self._tokens: dict[str, TokenRow] = {}
        self._sessions: dict[str, SessionRow] = {}
        self._links: dict[str, LoginLinkRow] = {}
        self._audit: deque[AuditRow] = deque()  # oldest first
        self._next = 1

    def users(self) -> list[UserRow]:
        with self._lock:
            return [copy(self._users[name]) for name in sorted(self._users)]

    def user(self, name: str) -> UserRow | None:
        return self._copy(self._users, name)

    def add_user(self, row: UserRow) -> bool:
        check_user(row)
        with self._lock:
            return self._users.setdefault(row.name, new := copy(row)) is new

    def change_user(
        self, name: str, *, password: str | None = None, role: str | None = None, at: float = 0, keep: str = ""
    ) -> bool:
        if role is not None:
            check_role(role)
        with self._lock:
            row = self._users.get(name)
            if row is None:
                return False
            if role is not None:
                row.role = role
            if password is not None:
                row.password, row.changed = password, at
                self._end_sessions(name, keep)
            return True

    def _end_sessions(self, user: str, keep: str = "") -> None:
        self._sessions = {key: row for key, row in self._sessions.items() if row.user != user or key == keep}
        self._links = {key: row for key, row in self._links.items() if row.user != user}

    def seen_user(self, name: str, at: float) -> None:
        with self._lock:
            if name in self._users:
                self._users[name].seen = at

    def remove_user(self, name: str) -> bool:
        with self._lock:
            self._end_sessions(name)
            self._tokens = {key: row for key, row in self._tokens.items() if row.user != name}
            return self._users.pop(name, None) is not None

    def tokens(self, user: str | None = None) -> list[TokenRow]:
        with self._lock:
            rows = _of(self._tokens.values(), user)
        return sorted(rows, key=lambda row: (row.created, row.id))

    def token(self, id: str) -> TokenRow | None:
        return self._copy(self._tokens, id)

    def add_token(self, row: TokenRow) -> None:
        check_role(row.role)
        with self._lock:
            self._tokens[row.id] = copy(row)

    def used_token(self, id: str, at: float) -> None:
        with self._lock:
            if id in self._tokens:
                self._tokens[id].used = at

    def remove_token(self, id: str) -> bool:
        with self._lock:
            return self._tokens.pop(id, None) is not None

    def sessions(self, user: str | None = None) -> list[SessionRow]:
        with self._lock:
            rows = _of(self._sessions.values(), user)
        return sorted(rows, key=lambda row: (row.created, row.digest))

    def session(self, digest: str) -> SessionRow | None:
        return self._copy(self._sessions, digest)

    def add_session(self, row: SessionRow) -> None:
        with self._lock:
            self._sessions[row.digest] = copy(row)

    def seen_session(self, digest: str, at: float, expires: float) -> None:
        with self._lock:
            row = self._sessions.get(digest)
            if row is not None:
                row.seen, row.expires = at, expires

    def remove_session(self, digest: str) -> bool:
        with self._lock:
            return self._sessions.pop(digest, None) is not None

    def add_link(self, row: LoginLinkRow) -> None:
        with self._lock:
            self._links[row.digest] = copy(row)

    def take_link(self, digest: str) -> LoginLinkRow | None:
        with self._lock:
            return self._links.pop(digest, None)

    def prune(self, now: float) -> int:
        with self._lock:
            before = len(self._sessions) + len(self._links) + len(self._tokens)
            self._sessions = {key: row for key, row in self._sessions.items() if row.expires >= now}
            self._links = {key: row for key, row in self._links.items() if row.expires >= now}
            self._tokens = {key: row for key, row in self._tokens.items() if row.expires is None or row.expires >= now}
            return before - len(self._sessions) - len(self._links) - len(self._tokens)

    def add_audit(self, row: AuditRow) -> int:
        with self._lock:
            new = copy(row)
            new.id, self._next = self._next, self._next + 1
            self._audit.append(new)
            return new.id

    def audit(
        self,
        *,
        user: str = "",
        action: str = "",
        project: str = "",
        text: str = "",
        since: float | None = None,
        until: float | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[AuditRow]:
        def wanted(row: AuditRow) -> bool:
            return (
                (not user or row.user == user)
                and (not action or row.action == action or (action.endswith(".") and row.action.startswith(action)))
                and (not project or row.project == project)
                and text.lower() in row.detail.lower()
                and (since is None or row.time >= since)
                and (until is None or row.time < until)
                and (before is None or row.id < before)
            )

        found: list[AuditRow] = []
        with self._lock:
            for row in reversed(self._audit):
                if len(found) == limit:
                    break
                if wanted(row):
                    found.append(copy(row))
        return found

    def prune_audit(self, before: float) -> int:
        with self._lock:
            known = len(self._audit)
            self._audit = deque(row for row in self._audit if row.time >= before)
            return known - len(self._audit)

    def _copy(self, rows: dict[str, T], key: str) -> T | None:
        with self._lock:
            row = rows.get(key)
            return copy(row) if row is not None else None

    def close(self) -> None:
        """Nothing to let go of."""


def _of(rows: Iterable[T], user: str | None) -> list[T]:
    return [copy(row) for row in rows if user is None or getattr(row, "user", None) == user]
