"""Sessions, and guessing at passwords: R-57, R-63, R-64, R-65 over HTTP. Browsers are in test_access_browser."""

from __future__ import annotations

import base64
import http.client
import stat
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from crawlkit.webui.api import rooms
from crawlkit.webui.api.registry import PREFIX
from tests.webui.access import (
    accounts_of,
    post_form,
    sign_in,
)
from tests.webui.servers import Client, Running, in_thread

pytestmark = pytest.mark.usefixtures("cheap_passwords")


class TestR57:
    """Without a browser: what the gate says to what browsers send. See test_access_browser for browsers."""

    def test_r57_changes_need_the_token_of_the_session(self, users: Running) -> None:
        client = users.client()
        other = sign_in(users, "ada")
        for token in ("", "wrong", other.csrf, client.csrf[:-1], client.csrf + "x", "\xff"):
            answer = client.request("POST", "/api/v1/account/tokens", {"name": "x"}, {"X-CSRF-Token": token})
            assert (answer.status, answer.json["title"]) == (403, "CSRF token"), token
        assert accounts_of(users).store.tokens() == []
        assert client.request("POST", "/api/v1/account/tokens", {"name": "x"}).status == 201

    @pytest.mark.parametrize(
        "headers",
        [
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
        ],
    )
    def test_r57_other_origins_change_nothing(self, client: Client, headers: dict[str, str]) -> None:
        for method, path in (
            ("POST", "/api/v1/account/tokens"),
            ("POST", "/login"),
            ("POST", "/logout"),
            ("POST", "/language"),
        ):
            answer = client.request(method, path, {"name": "x"}, headers)
            assert (answer.status, answer.json["title"]) == (403, "Foreign origin"), path
        assert client.get("/api/v1/me").status == 200

    def test_r57_only_json_is_read_as_json(self, client: Client) -> None:
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
            answer = client.request(
                "POST", "/api/v1/account/tokens", headers={"Content-Type": kind}, raw=b'{"name": "x"}'
            )
            assert answer.status == 415, kind

    def test_r57_parts_of_other_sites_pages_get_nothing(self, client: Client) -> None:
        said = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
        assert client.get("/api/v1/me", **said).status == 403
        assert client.get("/api/v1/me", **{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}).status == 200

    def test_r57_cookies_are_out_of_reach(self, users: Running) -> None:
        answer = post_form(Client(users.url), "/login", {"name": "eve", "password": "password of eve"})
        cookies = answer.headers.get_all("Set-Cookie")
        assert len(cookies) == 2
        for cookie in cookies:
            assert "; HttpOnly; SameSite=Lax" in cookie
            assert "Domain" not in cookie


class TestR63:
    """Guessing by HTTP."""

    def test_r63_the_form_makes_wait(self, users: Running) -> None:
        client = Client(users.url)
        found = [post_form(client, "/login", {"name": "ada", "password": f"guess {n}"}) for n in range(5)]
        assert [answer.status for answer in found[:3]] == [401, 401, 401]
        assert {answer.status for answer in found[3:]} == {429}
        assert int(found[-1].headers["Retry-After"]) >= 1
        assert "wait" in found[-1].text
        assert "Set-Cookie" not in found[-1].headers

    def test_r63_so_does_basic(self, users: Running) -> None:
        statuses = []
        for number in range(5):
            said = base64.b64encode(f"ada:guess {number}".encode()).decode()
            statuses.append(Client(users.url).get("/dav/", Authorization=f"Basic {said}").status)
        assert statuses == [401, 401, 401, 429, 429]

    def test_r63_so_does_the_old_password(self, users: Running) -> None:
        bob = sign_in(users, "bob")
        change = {"old": "wrong one", "new": "another one"}
        statuses = [bob.request("PUT", "/api/v1/account/password", change).status for _ in range(4)]
        assert statuses == [400, 400, 400, 429]


class TestR64:
    """Sessions."""

    def test_r64_a_planted_cookie_is_not_taken_over(self, users: Running) -> None:
        name = sign_in(users, "eve").cookie.partition("=")[0]
        victim = sign_in(users, "ada", cookie=f"{name}=planted")
        assert "planted" not in victim.cookie
        assert Client(users.url, f"{name}=planted").get("/api/v1/me").status == 401

    def test_r64_the_old_one_is_dead_after_a_new_login(self, users: Running) -> None:
        old = sign_in(users, "ada")
        new = sign_in(users, "ada", cookie=old.cookie)
        assert old.cookie != new.cookie
        assert (old.get("/api/v1/me").status, new.get("/api/v1/me").status) == (401, 200)

    def test_r64_the_logout_ends_it_on_the_server(self, users: Running) -> None:
        client = sign_in(users, "ada")
        answer = post_form(client, "/logout", {}, **{"X-CSRF-Token": client.csrf})
        assert (answer.status, answer.headers["Location"]) == (303, "/login")
        assert "Max-Age=0" in answer.headers["Set-Cookie"]
        assert client.get("/api/v1/me").status == 401

    def test_r64_a_new_password_ends_the_others(self, users: Running) -> None:
        here, there = sign_in(users, "ada"), sign_in(users, "ada")
        here.api("PUT", "/account/password", {"old": "password of ada", "new": "another password"})
        assert (here.get("/api/v1/me").status, there.get("/api/v1/me").status) == (200, 401)
        sign_in(users, "ada", "another password")

    def test_r64_a_live_view_ends_with_its_session(self, users: Running, monkeypatch: pytest.MonkeyPatch) -> None:
        topics = [live.topic for room in rooms() for live in room.lives if live.query is None]
        if not topics:
            pytest.skip("no live view without a query")
        monkeypatch.setattr("crawlkit.webui.live_door.RECHECK", 0.1)
        client = sign_in(users, "ada")
        parts = urlsplit(users.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
        connection.request("GET", f"{PREFIX}/live/{topics[0]}", headers={"Cookie": client.cookie})
        stream = connection.getresponse()
        assert stream.status == 200
        post_form(client, "/logout", {}, **{"X-CSRF-Token": client.csrf})
        assert b"event: leave" in stream.read()

    def test_r64_one_can_see_and_end_ones_sessions(self, users: Running) -> None:
        here, there = sign_in(users, "ada"), sign_in(users, "ada")
        sign_in(users, "eve")
        found = here.api("GET", "/account/sessions")["items"]
        assert sorted(one["current"] for one in found) == [False, True]
        other = next(one["id"] for one in found if not one["current"])
        assert sign_in(users, "eve").request("DELETE", f"/api/v1/account/sessions/{other}").status == 404
        here.api("DELETE", f"/account/sessions/{other}")
        assert there.get("/api/v1/me").status == 401


class TestR65:
    """The key of an installation."""

    def test_r65_two_installations(self, tmp_path: Path) -> None:
        keys, cookies = [], []
        for name in ("one", "two"):
            with in_thread(tmp_path / name) as running:
                cookies.append(running.client().cookie)
            file = tmp_path / name / "secret.key"
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            keys.append(file.read_text().strip())
        assert len(set(keys)) == 2
        assert min(map(len, keys)) >= 43
        assert cookies[0].partition("=")[0] != cookies[1].partition("=")[0]
        with in_thread(tmp_path / "two") as running:
            assert Client(running.url, cookies[0]).get("/api/v1/me").status == 401

    def test_r65_a_restart_keeps_sessions(self, tmp_path: Path) -> None:
        with in_thread(tmp_path / "data") as running:
            client = running.client()
        with in_thread(tmp_path / "data") as running:
            client.url = running.url
            assert client.api("GET", "/me")["user"] == "local"
            assert client.request("POST", "/api/v1/account/tokens", {"name": "x"}).status == 201
