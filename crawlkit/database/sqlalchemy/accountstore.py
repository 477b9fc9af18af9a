"""Users, their tokens, sessions and links, and the audit log in SQL, beside the projects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crawlkit.database.base import AuditRow, LoginLinkRow, SessionRow, TokenRow, UserRow
from crawlkit.database.carrying import Carrier
from crawlkit.database.rules import check_role, check_user
from crawlkit.database.sqlalchemy.engine import Database
from crawlkit.database.sqlalchemy.schema import prepare
from crawlkit.database.sqlalchemy.tables import (
    account_links,
    account_sessions,
    account_tokens,
    account_users,
    audit_log,
)

T = TypeVar("T")
_users, _tokens, _sessions, _links = account_users, account_tokens, account_sessions, account_links


def _query(table: sa.Table, kind: type[msgspec.Struct]) -> sa.Select[Any]:
    return sa.select(*(table.c[name] for name in kind.__struct_fields__))


_USERS = _query(_users, UserRow)
_TOKENS = _query(_tokens, TokenRow)
_SESSIONS = _query(_sessions, SessionRow)
_LINKS = _query(_links, LoginLinkRow)
_AUDIT = _query(audit_log, AuditRow)


class SqlAccountStore:
    """An :class:`~crawlkit.database.base.AccountStore`."""

    def __init__(self, database: Database) -> None:
        prepare(database)
        self._database = database

    def users(self) -> list[UserRow]:
        return self._all(UserRow, _USERS.order_by(_users.c.name))

    def user(self, name: str) -> UserRow | None:
        return self._one(UserRow, _USERS.where(_users.c.name == name))

    def add_user(self, row: UserRow) -> bool:
        check_user(row)
        with self._database.write() as connection:
            if connection.execute(sa.select(_users.c.name).where(_users.c.name == row.name)).one_or_none() is not None:
                return False
            connection.execute(sa.insert(_users).values(msgspec.structs.asdict(row)))
        return True

    def change_user(
        self, name: str, *, password: str | None = None, role: str | None = None, at: float = 0, keep: str = ""
    ) -> bool:
        values: dict[str, Any] = {} if role is None else {"role": role}
        if role is not None:
            check_role(role)
        if password is not None:
            values |= {"password": password, "changed": at}
        with self._database.write() as connection:
            known = connection.execute(sa.select(_users.c.name).where(_users.c.name == name)).one_or_none()
            if known is None:
                return False
            if values:
                connection.execute(sa.update(_users).where(_users.c.name == name).values(values))
            if password is not None:
                _end_sessions(connection, name, keep)
        return True

    def seen_user(self, name: str, at: float) -> None:
        self._write(sa.update(_users).where(_users.c.name == name).values(seen=at))

    def remove_user(self, name: str) -> bool:
        with self._database.write() as connection:
            _end_sessions(connection, name)
            connection.execute(sa.delete(_tokens).where(_tokens.c.user == name))
            return connection.execute(sa.delete(_users).where(_users.c.name == name)).rowcount > 0

    def tokens(self, user: str | None = None) -> list[TokenRow]:
        query = _TOKENS.order_by(_tokens.c.created, _tokens.c.id)
        if user is not None:
            query = query.where(_tokens.c.user == user)
        return self._all(TokenRow, query)

    def token(self, id: str) -> TokenRow | None:
        return self._one(TokenRow, _TOKENS.where(_tokens.c.id == id))

    def add_token(self, row: TokenRow) -> None:
        check_role(row.role)
        self._write(sa.insert(_tokens).values(msgspec.structs.asdict(row)))

    def used_token(self, id: str, at: float) -> None:
        self._write(sa.update(_tokens).where(_tokens.c.id == id).values(used=at))

    def remove_token(self, id: str) -> bool:
        return self._write(sa.delete(_tokens).where(_tokens.c.id == id)) > 0

    def sessions(self, user: str | None = None) -> list[SessionRow]:
        query = _SESSIONS.order_by(_sessions.c.created, _sessions.c.digest)
        if user is not None:
            query = query.where(_sessions.c.user == user)
        return self._all(SessionRow, query)

    def session(self, digest: str) -> SessionRow | None:
        return self._one(SessionRow, _SESSIONS.where(_sessions.c.digest == digest))

    def add_session(self, row: SessionRow) -> None:
        self._write(sa.insert(_sessions).values(msgspec.structs.asdict(row)))

    def seen_session(self, digest: str, at: float, expires: float) -> None:
        self._write(sa.update(_sessions).where(_sessions.c.digest == digest).values(seen=at, expires=expires))

    def remove_session(self, digest: str) -> bool:
        return self._write(sa.delete(_sessions).where(_sessions.c.digest == digest)) > 0

    def add_link(self, row: LoginLinkRow) -> None:
        self._write(sa.insert(_links).values(msgspec.structs.asdict(row)))

    def take_link(self, digest: str) -> LoginLinkRow | None:
        with self._database.write() as connection:
            row = connection.execute(_LINKS.where(_links.c.digest == digest).with_for_update()).one_or_none()
            if row is None or not connection.execute(sa.delete(_links).where(_links.c.digest == digest)).rowcount:
                return None
        return LoginLinkRow(*tuple(row))

    def prune(self, now: float) -> int:
        with self._database.write() as connection:
            return sum(
                connection.execute(sa.delete(table).where(table.c.expires < now)).rowcount
                for table in (_sessions, _links, _tokens)
            )

    def add_audit(self, row: AuditRow) -> int:
        values = msgspec.structs.asdict(row)
        del values["id"]
        with self._database.write() as connection:
            key = connection.execute(sa.insert(audit_log).values(values)).inserted_primary_key
            assert key is not None
            return int(key[0])

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
        columns = audit_log.c
        query = _AUDIT.order_by(columns.id.desc()).limit(limit)
        if user:
            query = query.where(columns.user == user)
        if action.endswith("."):
            query = query.where(columns.action.startswith(action, autoescape=True))
        elif action:
            query = query.where(columns.action == action)
        if project:
            query = query.where(columns.project == project)
        if text:
            query = query.where(columns.detail.icontains(text, autoescape=True))
        if since is not None:
            query = query.where(columns.time >= since)
        if until is not None:
            query = query.where(columns.time < until)
        if before is not None:
            query = query.where(columns.id < before)
        return self._all(AuditRow, query)

    def prune_audit(self, before: float) -> int:
        return self._write(sa.delete(audit_log).where(audit_log.c.time < before))

    def _one(self, kind: Callable[..., T], query: sa.Select[Any]) -> T | None:
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        return kind(*row) if row is not None else None

    def _all(self, kind: Callable[..., T], query: sa.Select[Any]) -> list[T]:
        with self._database.read() as connection:
            return [kind(*row) for row in connection.execute(query)]

    def _write(self, statement: sa.Insert | sa.Update | sa.Delete) -> int:
        with self._database.write() as connection:
            return connection.execute(statement).rowcount

    def carrier(self) -> Carrier:
        """Reads and writes its rows as they are."""
        from crawlkit.database.sqlalchemy.carrier import SqlCarrier

        return SqlCarrier(self._database, "accountdb")

    def close(self) -> None:
        self._database.close()


def _end_sessions(connection: Connection, user: str, keep: str = "") -> None:
    mine = sa.and_(_sessions.c.user == user, _sessions.c.digest != keep)
    connection.execute(sa.delete(_sessions).where(mine))
    connection.execute(sa.delete(_links).where(_links.c.user == user))
