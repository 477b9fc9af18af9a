"""Logging in and out, sessions, links, tokens: over the memory store, with a clock that moves when told to."""

from __future__ import annotations

from typing import Any

import pytest

from crawlkit.database.memory import MemoryAccountStore
from crawlkit.libs import passwords
from crawlkit.libs.clock import ManualClock
from crawlkit.libs.errors import InvalidAccount
from crawlkit.webui import accounts as module
from crawlkit.webui.accounts import DAY, IDLE, LINK, LONGEST, Accounts, LoggedIn, NotLoggedIn
from crawlkit.webui.gate import Identity
from crawlkit.webui.keys import Keys

ME = Identity("root", "admin", "command")
HERE = "192.0.2.1"


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "COST", (4, 8, 1))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def accounts(clock: ManualClock) -> Accounts:
    made = Accounts(MemoryAccountStore(), Keys("secret"), clock)
    made.add_user(ME, "ada", "correct horse", "admin")
    made.add_user(ME, "bob", "battery staple", "editor")
    return made


def enter(accounts: Accounts, name: str = "ada", password: str = "correct horse", **more: Any) -> LoggedIn:
    entered = accounts.log_in(name, password, HERE, **more)
    assert isinstance(entered, LoggedIn)
    return entered


def actions(accounts: Accounts) -> list[tuple[str, str, str]]:
    return [(row.user, row.action, row.detail) for row in accounts.store.audit()]


class TestSessions:
    def test_r64_each_login_has_a_new_id_and_the_old_one_ends(self, accounts: Accounts) -> None:
        first = enter(accounts)
        second = enter(accounts, old_session=first.session)
        assert first.session != second.session
        assert accounts.who_has(first.session) is None
        assert accounts.who_has(second.session) == Identity("ada", "admin", "password")

    def test_r64_a_planted_id_is_nobodys_also_after_a_login(self, accounts: Accounts) -> None:
        entered = enter(accounts, old_session="planted")
        assert accounts.who_has("planted") is None
        assert entered.session != "planted"

    def test_r64_nothing_is_left_after_the_logout(self, accounts: Accounts) -> None:
        entered = enter(accounts)
        accounts.log_out(entered.session, entered.identity, HERE)
        assert accounts.who_has(entered.session) is None
        assert accounts.store.sessions() == []

    def test_r64_a_new_password_ends_all_other_sessions(self, accounts: Accounts) -> None:
        here, there = enter(accounts), enter(accounts)
        accounts.set_password(here.identity, "ada", "horse correct", keep=here.session)
        assert accounts.who_has(there.session) is None
        assert accounts.who_has(here.session) is not None
        assert accounts.log_in("ada", "correct horse", HERE) == NotLoggedIn()

    def test_they_end_by_idling_and_at_last_anyhow(self, accounts: Accounts, clock: ManualClock) -> None:
        idle, busy = enter(accounts), enter(accounts)
        began = clock.now
        while clock.now < began + LONGEST:
            assert accounts.who_has(busy.session) is not None
            clock.advance(DAY)
            if clock.now > began + IDLE:
                assert accounts.who_has(idle.session) is None
        clock.advance(1)
        assert accounts.who_has(busy.session) is None

    def test_r72_a_role_that_changed_holds_at_once(self, accounts: Accounts) -> None:
        entered = enter(accounts, "bob", "battery staple")
        accounts.set_role(ME, "bob", "viewer")
        assert accounts.who_has(entered.session) == Identity("bob", "viewer", "password")
        accounts.remove_user(ME, "bob")
        assert accounts.who_has(entered.session) is None

    def test_only_digests_are_stored(self, accounts: Accounts) -> None:
        entered = enter(accounts)
        link = accounts.new_link("ada")
        _, token = accounts.add_token(ME, "ada", "ci", "viewer")
        store: Any = accounts.store
        stored = repr((store._users, store._sessions, store._links, store._tokens, list(store._audit)))
        for secret in (entered.session, link, token.split("_", 2)[2], "correct horse", entered.device):
            assert secret not in stored


class TestGuesses:
    def test_r63_wrong_names_and_passwords_look_alike(self, accounts: Accounts) -> None:
        assert accounts.log_in("ada", "wrong horse", HERE) == NotLoggedIn()
        assert accounts.log_in("eve", "wrong horse", "192.0.2.2") == NotLoggedIn()
        assert actions(accounts)[:2] == [("", "session.refuse", ""), ("ada", "session.refuse", "")]

    def test_r63_no_more_than_twenty_are_looked_at_in_a_minute(
        self, accounts: Accounts, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """10,000 guesses from 100 addresses, on both users and on names that are none, in ten minutes."""
        looked: list[float] = []
        compared: list[str] = []

        def counted(password: str, stored: str) -> bool:
            looked.append(clock.now)
            compared.append(stored)
            return False

        monkeypatch.setattr(module, "verify_password", counted)
        refused = 0
        for number in range(10_000):
            clock.advance(0.06)
            name = ("ada", "bob", f"user{number}")[number % 3]
            answer = accounts.log_in(name, f"guess {number}", f"192.0.2.{number % 100}")
            assert isinstance(answer, NotLoggedIn)
            refused += answer.wait > 0
        assert refused == 10_000 - len(looked)
        assert 20 <= len(looked) <= 220
        for start in looked:
            assert sum(start <= one < start + 60 for one in looked) <= 20
        assert "" in compared  # a name that is none takes as long: a hash is computed for it too

    def test_r63_the_comparison_is_made_in_constant_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import hmac

        compared: list[tuple[bytes, bytes]] = []
        real = hmac.compare_digest
        monkeypatch.setattr(hmac, "compare_digest", lambda a, b: compared.append((a, b)) or real(a, b))
        stored = passwords.hash_password("correct horse")
        assert passwords.verify_password("correct horse", stored)
        assert not passwords.verify_password("correct hors", stored)
        assert [len(a) == len(b) == 64 for a, b in compared] == [True, True]

    def test_a_known_browser_gets_in_during_an_attack(self, accounts: Accounts, clock: ManualClock) -> None:
        device = enter(accounts).device
        for number in range(300):
            clock.advance(0.1)
            accounts.log_in("ada", f"guess {number}", f"192.0.2.{number % 100}")
        assert accounts.log_in("ada", "correct horse", "192.0.2.200").wait > 0
        assert accounts.log_in("ada", "correct horse", "192.0.2.200", device=device + "x").wait > 0
        assert isinstance(accounts.log_in("ada", "correct horse", "192.0.2.200", device=device), LoggedIn)

    def test_basic_computes_a_hash_once_in_five_minutes(
        self, accounts: Accounts, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looked: list[str] = []
        real = module.verify_password
        monkeypatch.setattr(module, "verify_password", lambda *said: looked.append(said[0]) or real(*said))
        for _ in range(50):
            assert accounts.check_again("ada", "correct horse", HERE) == "admin"
        assert len(looked) == 1
        clock.advance(301)
        assert accounts.check_again("ada", "correct horse", HERE) == "admin"
        accounts.set_password(ME, "ada", "horse correct")
        assert accounts.check_again("ada", "correct horse", HERE) == NotLoggedIn()
        assert len(looked) == 3

    @pytest.mark.parametrize(
        ("name", "password"), [("", "x"), ("ada", ""), ("a" * 65, "x" * 9), ("local", ""), ("local", "x" * 9)]
    )
    def test_nobody_gets_in_without(self, accounts: Accounts, name: str, password: str) -> None:
        assert accounts.log_in(name, password, HERE) == NotLoggedIn()


class TestLinks:
    def test_once_and_for_ten_minutes(self, clock: ManualClock) -> None:
        accounts = Accounts(MemoryAccountStore(), Keys("secret"), clock)
        token = accounts.new_link()
        assert accounts.follow_link(token, HERE).identity == Identity("local", "admin", "link")
        assert accounts.follow_link(token, HERE) is None
        late = accounts.new_link()
        clock.advance(LINK + 1)
        assert accounts.follow_link(late, HERE) is None
        assert accounts.follow_link("", HERE) is None

    def test_one_without_a_name_and_all_it_gave_end_with_the_first_user(self, clock: ManualClock) -> None:
        accounts = Accounts(MemoryAccountStore(), Keys("secret"), clock)
        late = accounts.new_link()
        session = accounts.follow_link(accounts.new_link(), HERE).session
        _, token = accounts.add_token(ME, "local", "ci", "admin")
        with pytest.raises(InvalidAccount, match="has to be an admin"):
            accounts.add_user(ME, "bob", "battery staple", "editor")
        assert accounts.who_has(session) is not None
        assert accounts.who_bears(token) is not None
        accounts.add_user(ME, "ada", "correct horse", "admin")
        assert accounts.who_has(session) is None
        assert accounts.who_bears(token) is None
        assert accounts.follow_link(late, HERE) is None
        with pytest.raises(InvalidAccount, match="say whom the link is for"):
            accounts.new_link()

    def test_for_a_user_with_that_users_role(self, accounts: Accounts) -> None:
        assert accounts.follow_link(accounts.new_link("bob"), HERE).identity == Identity("bob", "editor", "link")
        token = accounts.new_link("bob")
        accounts.remove_user(ME, "bob")
        assert accounts.follow_link(token, HERE) is None
        with pytest.raises(InvalidAccount, match="no user 'bob'"):
            accounts.new_link("bob")


class TestTokens:
    def test_what_a_token_may(self, accounts: Accounts, clock: ManualClock) -> None:
        row, token = accounts.add_token(ME, "bob", " deploy ", "editor", 30)
        assert row.name == "deploy"
        assert accounts.who_bears(token) == Identity("bob", "editor", "token")
        accounts.set_role(ME, "bob", "viewer")
        assert accounts.who_bears(token).role == "viewer"
        assert accounts.store.token(row.id).used == clock.now
        clock.advance(30 * DAY + 1)
        assert accounts.who_bears(token) is None

    def test_tokens_that_are_none(self, accounts: Accounts) -> None:
        row, token = accounts.add_token(ME, "bob", "x", "viewer")
        for wrong in ("", "ck", "ck_", f"ck_{row.id}", f"ck_{row.id}_", token[:-1], token + "x", token.upper(),
                      "xx" + token[2:], f"ck_{row.id}_{row.digest}", "ck_" + "x" * 10_000):  # fmt: skip
            assert accounts.who_bears(wrong) is None, wrong
        accounts.remove_token(ME, row)
        assert accounts.who_bears(token) is None

    def test_they_go_with_their_user(self, accounts: Accounts) -> None:
        _, token = accounts.add_token(ME, "bob", "x", "viewer")
        accounts.remove_user(ME, "bob")
        accounts.add_user(ME, "bob", "another one", "admin")
        assert accounts.who_bears(token) is None

    @pytest.mark.parametrize(
        ("user", "role", "days", "words"),
        [("eve", "viewer", None, "no user 'eve'"), ("bob", "admin", None, "bob is editor"),
         ("bob", "viewer", 0, "0 days"), ("bob", "viewer", 4000, "4000 days"), ("bob", "root", None, "role 'root'")],
    )  # fmt: skip
    def test_refusals(self, accounts: Accounts, user: str, role: str, days: float | None, words: str) -> None:
        with pytest.raises(InvalidAccount, match=words):
            accounts.add_token(ME, user, "x", role, days)


class TestUsers:
    def test_the_last_admin_stays(self, accounts: Accounts) -> None:
        for change in (lambda: accounts.remove_user(ME, "ada"), lambda: accounts.set_role(ME, "ada", "editor")):
            with pytest.raises(InvalidAccount, match="last admin"):
                change()
        accounts.set_role(ME, "bob", "admin")
        accounts.remove_user(ME, "ada")
        assert [row.name for row in accounts.store.users()] == ["bob"]

    def test_what_was_changed_is_in_the_log(self, accounts: Accounts) -> None:
        accounts.set_role(ME, "bob", "viewer", HERE)
        accounts.set_password(ME, "bob", "battery horse", HERE)
        accounts.remove_user(ME, "bob", HERE)
        assert actions(accounts) == [
            ("root", "user.remove", "bob"),
            ("root", "user.password", "bob"),
            ("root", "user.role", "bob: editor -> viewer"),
            ("root", "user.add", "bob as editor"),
            ("root", "user.add", "ada as admin"),
        ]
        assert accounts.store.audit(limit=1)[0].address == HERE

    def test_the_log_is_bounded_by_age(self, accounts: Accounts, clock: ManualClock) -> None:
        clock.advance(module.AUDIT_DAYS * DAY + 1)
        enter(accounts)
        assert actions(accounts) == [("ada", "session.open", "")]

    def test_an_admin_of_this_process_only(self, accounts: Accounts) -> None:
        accounts.process_user = ("op", passwords.hash_password("only for now"))
        entered = enter(accounts, "op", "only for now")
        assert accounts.who_has(entered.session) == Identity("op", "admin", "password")
        accounts.process_user = None
        assert accounts.who_has(entered.session) is None
        assert accounts.store.user("op") is None
