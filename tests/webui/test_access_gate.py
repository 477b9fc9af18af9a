"""Who gets in at all, by which name, and with which headers: R-55, R-56, R-58, R-60, R-61 over HTTP."""

from __future__ import annotations

import base64
import threading
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from crawlkit import wiring
from crawlkit.libs.errors import UsageError
from crawlkit.settings import Settings
from crawlkit.webui.api.registry import PREFIX
from crawlkit.webui.app import create_app
from crawlkit.webui.gate import is_public
from tests.webui.access import (
    ME,
    METHODS,
    Asker,
    accounts_of,
    post_form,
    raw_request,
    routes,
    sign_in,
)
from tests.webui.servers import Client, Running

pytestmark = pytest.mark.usefixtures("cheap_passwords")


class TestR55:
    """No route without a login."""

    def test_r55_every_route_with_every_wrong_credential(self, users: Running) -> None:
        accounts = accounts_of(users)
        row, removed = accounts.add_token(ME, "eve", "old", "viewer")
        accounts.remove_token(ME, row)
        gone = sign_in(users, "eve")
        post_form(gone, "/logout", {}, **{"X-CSRF-Token": gone.csrf})
        basic = base64.b64encode(b"ada:wrong").decode()
        credentials: list[dict[str, str]] = [
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": f"Bearer {removed}"},
            {"Cookie": gone.cookie, "X-CSRF-Token": gone.csrf},
            {"Cookie": gone.cookie.partition("=")[0] + "=planted"},
            {"Authorization": f"Basic {basic}"},
        ]
        stranger, asked = Asker(users), 0
        for path, _ in routes(users):
            if is_public(path):
                continue
            for method in METHODS:
                for headers in credentials:
                    status = stranger.status(method, path, headers)
                    asked += 1
                    allowed = (401, 403, 429) if "Basic" in str(headers) else (401, 403)
                    assert status in allowed, (method, path, headers, status)
        stranger.close()
        assert asked > 1000

    def test_r55_people_are_led_to_the_login(self, users: Running) -> None:
        answer = Client(users.url).get("/tasks?status=3", Accept="text/html")
        assert (answer.status, answer.headers["Location"]) == (303, "/login?next=%2Ftasks%3Fstatus%3D3")
        assert not answer.body

    def test_r55_what_is_public_says_nothing_and_changes_nothing(self, users: Running) -> None:
        stranger = Client(users.url)
        public = sorted({path for path, _ in routes(users) if is_public(path)})
        assert public == ["/health", "/language", "/login", "/robots.txt", "/static/js/dom.js", "/texts/en.json"]
        for path in public:
            answer = stranger.get(path, Accept="text/html")
            assert answer.status in (200, 405), path
            assert "shop" not in answer.text or path == "/texts/en.json"

    def test_r55_flask_alone_answers_nobody(self, server: Running) -> None:
        """Were it ever served without the gate in front of it."""
        assert server.server is not None
        bare = create_app(server.server.services).test_client()
        for path, _ in routes(server):
            if not path.startswith(("/static", "/dav", f"{PREFIX}/live")):
                assert bare.get(path).status_code in (401, 404, 405), path

    def test_r55_paths_that_only_look_public(self, users: Running) -> None:
        stranger = Client(users.url)
        for path in (
            "/login/../api/v1/me",
            "/login%2f..%2fapi/v1/me",
            "/static/..%2f..%2fapi/v1/me",
            "/static/../../api/v1/me",
            "/LOGIN/",
            "//login",
            "/health/../api/v1/users",
            "/login;x=/api/v1/me",
            "/texts/../api/v1/users",
        ):
            assert stranger.get(path).status in (401, 403, 404), path


class TestR56:
    """Closed when nobody said otherwise."""

    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "crawl.example", ""])
    def test_r56_others_are_not_let_in_without_a_user(self, tmp_path: Path, host: str) -> None:
        settings = Settings(data_path=tmp_path / "data")
        with wiring.open_stores(settings, create=True) as stores:
            with pytest.raises(
                UsageError, match="lets others in, and there is no user yet: add one with `crawlkit user add"
            ):
                wiring.build_webui(stores, settings, host=host)
            wiring.accounts(settings, stores).add_user(ME, "ada", "correct horse", "admin")
            assert wiring.build_webui(stores, settings, host=host).host == host

    def test_r56_what_contradicts_itself_is_refused(self, tmp_path: Path) -> None:
        settings = Settings(data_path=tmp_path / "data")
        with wiring.open_stores(settings, create=True) as stores:
            for access, words in (
                ({"need_auth": True}, "nobody could come in"),
                ({"username": "op"}, "belong together"),
                ({"password": "x"}, "belong together"),
                ({"tls_key": "x"}, "give the certificate too"),
                ({"tls_cert": str(tmp_path / "no.pem")}, "no.pem"),
                ({"url_prefix": "/../x"}, "expected a path"),
                ({"trusted_proxy": ["proxy"]}, "expected an address"),
                ({"allow_host": ["http://x"]}, "without scheme"),
            ):
                with pytest.raises(UsageError, match=words):
                    wiring.build_webui(stores, settings, access=access)

    def test_r56_a_process_user_opens_it_to_others(self, tmp_path: Path) -> None:
        settings = Settings(data_path=tmp_path / "data")
        with wiring.open_stores(settings, create=True) as stores:
            access = {"username": "op", "password": "only for now"}
            assert wiring.build_webui(stores, settings, host="0.0.0.0", access=access).host == "0.0.0.0"
            assert stores.accountdb.users() == []

    def test_r56_the_link_lets_in_once(self, server: Running) -> None:
        token = server.token
        client = Client(server.url).enter(token)
        assert client.api("GET", "/me")["role"] == "admin"
        again = Client(server.url).request("GET", f"/?token={token}", headers={"Accept": "text/html"})
        assert (again.status, again.headers["Location"]) == (303, "/login?link=old")
        shown = Client(server.url).get("/login?link=old", Accept="text/html")
        assert "crawlkit user link" in shown.text
        assert "Set-Cookie" not in again.headers


class TestR58:
    """Names under which this server may be asked."""

    @pytest.mark.parametrize(
        "host",
        [
            "evil.example",
            "127.0.0.1.evil",
            "localhost.evil:80",
            "[::1].evil",
            "192.0.2.1",
            "127.0.0.1@evil",
            "",
            "localhost.",
        ],
    )
    def test_r58_foreign_names(self, client: Client, host: str) -> None:
        for path in ("/", "/api/v1/me", "/login", "/health", "/static/js/dom.js"):
            assert client.get(path, Host=host).status in (400, 403), (host, path)

    @pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1", "[::1]:5000"])
    def test_r58_own_names(self, client: Client, host: str) -> None:
        assert client.get("/api/v1/me", Host=host).status == 200

    def test_r58_no_host_or_two(self, server: Running) -> None:
        two = "GET /health HTTP/1.1\nHost: localhost\nHost: evil.example\nConnection: close"
        assert raw_request(server, two).split(" ")[1] in ("400", "403")
        assert raw_request(server, two.replace("evil.example", "localhost")).split(" ")[1] in ("400", "403")
        for head in ("GET /health HTTP/1.1\nConnection: close", "GET /health HTTP/1.0"):
            answer = raw_request(server, head)
            assert not answer or answer.split(" ")[1] in ("400", "403"), head

    def test_r58_what_a_stranger_forwards_means_nothing(self, client: Client) -> None:
        for header in ("X-Forwarded-Host", "X-Host", "Forwarded"):
            assert client.get("/health", Host="evil.example", **{header: "localhost"}).status == 403


class TestR60:
    """Headers of every answer."""

    def test_r60_on_every_route_for_everybody(self, users: Running) -> None:
        wanted = {
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "same-origin",
            "X-Frame-Options": "DENY",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
        }
        live = f"{PREFIX}/live/"
        for who in (Client(users.url), sign_in(users, "ada")):
            for path, _ in routes(users):
                if path.startswith(live):
                    continue
                answer = who.get(path, Accept="text/html")
                for name, value in wanted.items():
                    assert answer.headers[name] == value, (path, name)
                policy = answer.headers["Content-Security-Policy"]
                assert "unsafe-inline" not in policy, path
                assert "unsafe-eval" not in policy, path
                if "sandbox" not in policy:
                    assert "frame-ancestors 'none'" in policy, path
                    assert policy.startswith("default-src 'none'"), path
                if not path.startswith(("/static/", "/texts/")):
                    assert answer.headers["Cache-Control"] == "no-store", path
                assert "Server" not in answer.headers, path

    def test_r60_also_of_refusals(self, client: Client) -> None:
        for answer in (client.get("/health", Host="evil"), client.request("BREW", "/"), client.get("/api/v1/nothing")):
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


class TestR61:
    """After the login one stays on this site."""

    @pytest.mark.parametrize(
        "place", ["//evil", "/\\evil", "https:evil", "/%2f%2fevil", "/\tevil", "https://evil.example/", "\\\\evil"]
    )
    def test_r61_by_form_and_by_link(self, users: Running, place: str) -> None:
        fields = {"name": "eve", "password": "password of eve", "next": place}
        assert post_form(Client(users.url), "/login", fields).headers["Location"] == "/"
        eve = sign_in(users, "eve")
        assert eve.get(f"/login?next={quote(place)}", Accept="text/html").headers["Location"] == "/"
        shown = Client(users.url).get(f"/login?next={quote(place)}", Accept="text/html")
        assert 'name="next" value="/"' in shown.text

    def test_r61_back_to_where_one_was(self, users: Running) -> None:
        led = Client(users.url).get("/tasks?status=3&text=a%20b", Accept="text/html").headers["Location"]
        place = parse_qs(urlsplit(led).query)["next"][0]
        fields = {"name": "eve", "password": "password of eve", "next": place}
        assert post_form(Client(users.url), "/login", fields).headers["Location"] == "/tasks?status=3&text=a%20b"


def test_many_take_one_link_at_once(server: Running) -> None:
    token, barrier, statuses = server.token, threading.Barrier(8), []

    def follow() -> None:
        barrier.wait()
        answer = Client(server.url).request("GET", f"/?token={token}", headers={"Accept": "text/html"})
        statuses.append(answer.headers["Location"])

    threads = [threading.Thread(target=follow) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == ["/", *["/login?link=old"] * 7]
