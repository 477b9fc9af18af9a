"""The contract of the accounts and the audit log, over every backend."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from crawlkit.database.base import AccountStore, AuditRow, LoginLinkRow, ProjectRow, SessionRow, TokenRow, UserRow
from crawlkit.database.registry import connect_accountdb, connect_projectdb
from crawlkit.database.sqlalchemy import schema
from crawlkit.libs.errors import InvalidAccount, UsageError

from .stores import BACKENDS, url_of


@pytest.fixture(params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AccountStore]:
    made = connect_accountdb(url_of(request.param, tmp_path))
    yield made
    made.close()


def user(name: str = "ada", role: str = "editor", **fields: Any) -> UserRow:
    return UserRow(name, role, **({"password": "scrypt$hash", "created": 1.0, "changed": 1.0} | fields))


def token(id: str, owner: str = "ada", **fields: Any) -> TokenRow:
    return TokenRow(**({"id": id, "digest": f"d-{id}", "user": owner, "name": "ci", "role": "viewer", "created": 1.0}
                       | fields))  # fmt: skip


def session(digest: str, owner: str = "ada", expires: float = 100.0) -> SessionRow:
    return SessionRow(digest, owner, "password", 1.0, expires, 1.0, "127.0.0.1")


class TestUsers:
    def test_a_user_comes_back_whole(self, store: AccountStore) -> None:
        assert store.add_user(user())
        assert store.user("ada") == user()
        assert store.user("Ada") is None

    def test_a_known_name_is_left_alone(self, store: AccountStore) -> None:
        store.add_user(user())
        assert not store.add_user(user(role="admin", password="other"))
        assert store.user("ada") == user()

    def test_in_order_of_names(self, store: AccountStore) -> None:
        assert store.users() == []
        for name in ("c", "a", "b"):
            store.add_user(user(name))
        assert [row.name for row in store.users()] == ["a", "b", "c"]

    @pytest.mark.parametrize("name", ["", " ", "a b", "-a", ".a", "a" * 65, "a\n", "ä", "a/b", "a:b", "<b>"])
    def test_names_that_are_refused(self, store: AccountStore, name: str) -> None:
        with pytest.raises(InvalidAccount, match="use 1 to 64 letters"):
            store.add_user(user(name))
        assert store.users() == []

    def test_roles_that_are_refused(self, store: AccountStore) -> None:
        with pytest.raises(InvalidAccount, match="use one of viewer, editor, admin"):
            store.add_user(user(role="root"))
        store.add_user(user())
        with pytest.raises(InvalidAccount, match="use one of"):
            store.change_user("ada", role="")
        with pytest.raises(InvalidAccount, match="use one of"):
            store.add_token(token("t", role="root"))

    def test_change_of_role_keeps_the_password_and_sessions(self, store: AccountStore) -> None:
        store.add_user(user())
        store.add_session(session("s"))
        assert store.change_user("ada", role="admin")
        assert store.user("ada") == user(role="admin")
        assert store.session("s") is not None

    def test_a_new_password_ends_the_other_sessions_and_links(self, store: AccountStore) -> None:
        for name in ("ada", "bob"):
            store.add_user(user(name))
        for digest, owner in (("s1", "ada"), ("s2", "ada"), ("s3", "bob")):
            store.add_session(session(digest, owner))
        store.add_link(LoginLinkRow("l", "ada", 1.0, 100.0))
        assert store.change_user("ada", password="new", at=5.0, keep="s2")
        assert (store.user("ada").password, store.user("ada").changed) == ("new", 5.0)
        assert [row.digest for row in store.sessions()] == ["s2", "s3"]
        assert store.take_link("l") is None
        assert store.change_user("ada", password="newer", at=6.0)
        assert [row.digest for row in store.sessions()] == ["s3"]

    def test_a_user_goes_with_all_there_is(self, store: AccountStore) -> None:
        for name in ("ada", "bob"):
            store.add_user(user(name))
            store.add_token(token(f"t-{name}", name))
            store.add_session(session(f"s-{name}", name))
            store.add_link(LoginLinkRow(f"l-{name}", name, 1.0, 100.0))
        assert store.remove_user("ada")
        assert [row.name for row in store.users()] == ["bob"]
        assert [row.id for row in store.tokens()] == ["t-bob"]
        assert [row.digest for row in store.sessions()] == ["s-bob"]
        assert store.take_link("l-ada") is None
        assert store.take_link("l-bob") is not None

    def test_what_is_missing(self, store: AccountStore) -> None:
        assert store.user("none") is None
        assert not store.change_user("none", password="x")
        assert not store.change_user("none", role="admin")
        assert not store.remove_user("none")
        assert store.token("none") is None
        assert not store.remove_token("none")
        assert store.session("none") is None
        assert not store.remove_session("none")
        assert store.take_link("none") is None
        store.seen_user("none", 1.0)
        store.used_token("none", 1.0)
        store.seen_session("none", 1.0, 2.0)

    def test_a_login_is_noted(self, store: AccountStore) -> None:
        store.add_user(user())
        store.seen_user("ada", 7.0)
        assert store.user("ada").seen == 7.0

    def test_what_was_given_may_be_changed_without_harm(self, store: AccountStore) -> None:
        row = user()
        store.add_user(row)
        row.role = "admin"
        store.user("ada").role = "admin"
        assert store.user("ada").role == "editor"


class TestTokens:
    def test_a_token_comes_back_whole(self, store: AccountStore) -> None:
        row = token("t1", expires=50.0)
        store.add_token(row)
        store.add_token(token("t2", "bob", created=2.0))
        assert store.token("t1") == row
        assert [one.id for one in store.tokens()] == ["t1", "t2"]
        assert [one.id for one in store.tokens("bob")] == ["t2"]
        store.used_token("t1", 9.0)
        assert store.token("t1").used == 9.0
        assert store.remove_token("t1")
        assert store.token("t1") is None


class TestSessions:
    def test_a_session_comes_back_whole(self, store: AccountStore) -> None:
        store.add_session(session("s"))
        assert store.session("s") == session("s")
        store.seen_session("s", 60.0, 160.0)
        assert (store.session("s").seen, store.session("s").expires) == (60.0, 160.0)
        assert store.remove_session("s")
        assert store.session("s") is None

    def test_prune_takes_what_has_expired(self, store: AccountStore) -> None:
        store.add_session(session("old", expires=9.0))
        store.add_session(session("new", expires=11.0))
        store.add_link(LoginLinkRow("old", "", 1.0, 9.0))
        store.add_token(token("old", expires=9.0))
        store.add_token(token("eternal"))
        assert store.prune(10.0) == 3
        assert [row.digest for row in store.sessions()] == ["new"]
        assert [row.id for row in store.tokens()] == ["eternal"]
        assert store.take_link("old") is None
        assert store.prune(10.0) == 0


class TestLinks:
    def test_of_many_who_take_a_link_one_gets_it(self, store: AccountStore) -> None:
        store.add_link(LoginLinkRow("l", "", 1.0, 9.0))
        barrier = threading.Barrier(8)
        got: list[LoginLinkRow | None] = []

        def take() -> None:
            barrier.wait()
            got.append(store.take_link("l"))

        threads = [threading.Thread(target=take) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [row for row in got if row is not None] == [LoginLinkRow("l", "", 1.0, 9.0)]
        assert len(got) == 8


class TestAudit:
    @pytest.fixture
    def filled(self, store: AccountStore) -> AccountStore:
        for number, (who, action, project, detail) in enumerate(
            [
                ("ada", "project.save", "shop", "version 1"),
                ("bob", "project.run", "shop", "4 tasks"),
                ("ada", "user.add", "", "bob 100% Viewer"),
                ("ada", "project.save", "news", "version_2"),
            ]
        ):
            store.add_audit(AuditRow(float(number), who, "password", action, project, detail, "::1"))
        return store

    def test_newest_first_with_growing_ids(self, filled: AccountStore) -> None:
        rows = filled.audit()
        assert [row.time for row in rows] == [3.0, 2.0, 1.0, 0.0]
        assert [row.id for row in rows] == sorted((row.id for row in rows), reverse=True)
        assert rows[-1] == AuditRow(0.0, "ada", "password", "project.save", "shop", "version 1", "::1", rows[-1].id)

    @pytest.mark.parametrize(
        ("wanted", "times"),
        [
            ({"user": "ada"}, [3, 2, 0]),
            ({"action": "project.save"}, [3, 0]),
            ({"action": "project."}, [3, 1, 0]),
            ({"action": "project"}, []),
            ({"project": "shop"}, [1, 0]),
            ({"text": "0%"}, [2]),
            ({"text": "viewer"}, [2]),
            ({"text": "n_"}, [3]),
            ({"since": 1.0}, [3, 2, 1]),
            ({"until": 1.0}, [0]),
            ({"since": 1.0, "until": 3.0, "user": "ada"}, [2]),
            ({"limit": 2}, [3, 2]),
        ],
    )
    def test_filters(self, filled: AccountStore, wanted: dict[str, Any], times: list[int]) -> None:
        assert [row.time for row in filled.audit(**wanted)] == times

    def test_page_by_page(self, filled: AccountStore) -> None:
        seen, before = [], None
        while rows := filled.audit(before=before, limit=3):
            seen += [row.time for row in rows]
            before = rows[-1].id
        assert seen == [3.0, 2.0, 1.0, 0.0]

    def test_bounded_by_age_and_ids_are_not_given_twice(self, filled: AccountStore) -> None:
        newest = filled.audit(limit=1)[0].id
        assert filled.prune_audit(2.0) == 2
        assert [row.time for row in filled.audit()] == [3.0, 2.0]
        assert filled.prune_audit(10.0) == 2
        assert filled.add_audit(AuditRow(4.0, "ada", "password", "project.run")) > newest


def test_it_lies_in_the_database_of_the_projects(tmp_path: Path) -> None:
    projects = connect_projectdb(f"sqlite+projectdb:///{tmp_path}/x.db")
    accounts = connect_accountdb(f"sqlite+projectdb:///{tmp_path}/x.db")
    projects.put(ProjectRow("p"))
    accounts.add_user(user())
    accounts.close()
    projects.close()
    again = connect_accountdb(f"sqlite:///{tmp_path}/x.db", read_only=True)
    assert again.user("ada") == user()
    again.close()
    with sqlite3.connect(tmp_path / "x.db") as connection:
        assert connection.execute("SELECT name FROM projects").fetchall() == [("p",)]


def test_an_older_projectdb_gets_its_tables(tmp_path: Path) -> None:
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(schema.MIGRATIONS / "projectdb"))
    old = sa.create_engine(f"sqlite:///{tmp_path}/x.db")
    with old.begin() as connection:
        upgrade = {"fn": lambda revision, _: scripts._upgrade_revs("0002", revision)}
        context = MigrationContext.configure(
            connection, opts={"version_table": schema.version_table("projectdb"), **upgrade}
        )
        with Operations.context(context):
            context.run_migrations()
    old.dispose()
    accounts = connect_accountdb(f"sqlite:///{tmp_path}/x.db")
    assert accounts.add_user(user())
    accounts.close()


def test_a_folder_of_scripts_keeps_no_accounts() -> None:
    with pytest.raises(UsageError, match="keeps no accounts"):
        connect_accountdb("local+projectdb://*.py")
    with pytest.raises(UsageError, match="for the accountdb: mongodb is not supported"):
        connect_accountdb("mongodb+projectdb://h/d")
