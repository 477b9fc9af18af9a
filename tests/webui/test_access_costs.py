"""Odd names, errors and large requests: R-66, R-70, R-71 over HTTP."""

from __future__ import annotations

import re
import socket
import time
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from crawlkit.libs import passwords
from crawlkit.libs.errors import StoreUnavailable
from crawlkit.webui.api import rooms
from crawlkit.webui.api.registry import PREFIX
from crawlkit.webui.app import create_app
from tests.webui.access import (
    FILLED,
    accounts_of,
    post_form,
    raw_request,
    sign_in,
)
from tests.webui.servers import Client, Running

pytestmark = pytest.mark.usefixtures("cheap_passwords")


class TestR66:
    """Names that would lead out of their place."""

    NAMES = ("..", ".", "..%2f..%2fetc%2fpasswd", "%2e%2e", "a%00b", "a/../../b", "..%5c..%5cx", "%ff", "a b",
             "shop.py", "-rf", "a" * 65, "%c0%ae%c0%ae", "a%0ab", "~root", "NUL.txt", "ü")  # fmt: skip

    def test_r66_nothing_but_the_allowed_names_reaches_an_operation(self, client: Client) -> None:
        for room in rooms():
            for one in [*room.endpoints, *room.streams]:
                if "{project}" not in one.path:
                    continue
                path = re.sub(
                    r"\{(\w+)\}", lambda match: FILLED.get(match[1], "x") if match[1] != "project" else "@", one.path
                )
                for name in self.NAMES:
                    answer = client.request(one.method, PREFIX + path.replace("@", quote(name, safe="%/")), {})
                    assert answer.status in (400, 403, 404, 405, 409), (one.method, path, name, answer.status)
                    assert b"root:" not in answer.body

    def test_r66_static_files_stay_in_their_folder(self, server: Running) -> None:
        for name in (
            "../server.py",
            "..%2fserver.py",
            "%2e%2e/server.py",
            "/etc/passwd",
            "js/../../server.py",
            "js%00",
            "..\\server.py",
        ):
            assert Client(server.url).get(f"/static/{name}").status in (400, 404), name


class TestR70:
    """Secrets stay out of what is shown."""

    def test_r70_an_error_shows_its_number_only(
        self, client: Client, monkeypatch: pytest.MonkeyPatch, server: Running, caplog: pytest.LogCaptureFixture
    ) -> None:
        def broken(*args: Any, **kwargs: Any) -> Any:
            raise RuntimeError("the secret is hunter2")

        monkeypatch.setattr(accounts_of(server).store, "tokens", broken)
        for answer in (client.get("/api/v1/account/tokens"), client.get("/api/v1/account/tokens", Accept="text/html")):
            assert answer.status == 500
            number = re.search(r"error ([0-9a-f]{8})", answer.text)
            assert number is not None
            assert "hunter2" not in answer.text
            assert "Traceback" not in answer.text
            assert number[1] in caplog.text

    def test_a_database_that_does_not_answer_is_said_in_words(
        self, client: Client, monkeypatch: pytest.MonkeyPatch, server: Running
    ) -> None:
        def full(*args: Any) -> Any:
            raise StoreUnavailable("projectdb: the disk is full")

        store = accounts_of(server).store
        monkeypatch.setattr(store, "seen_session", full)
        monkeypatch.setattr("crawlkit.webui.accounts.TOUCH", -1.0)
        assert client.get("/api/v1/me").status == 200
        monkeypatch.setattr(store, "session", full)
        answer = client.get("/api/v1/me")
        assert (answer.status, answer.json["detail"]) == (503, "projectdb: the disk is full")

    def test_r70_no_digest_and_no_secret_leaves_the_server(self, users: Running) -> None:
        ada = sign_in(users, "ada")
        made = ada.api("POST", "/account/tokens", {"name": "ci", "role": "admin"})
        secret = made["token"].split("_", 2)[2]
        shown = "".join(
            ada.get(path).text
            for path in ("/api/v1/users", "/api/v1/tokens", "/api/v1/account/tokens", "/api/v1/account/sessions",
                         "/api/v1/audit", "/account", "/admin", "/api/v1/me")
        )  # fmt: skip
        store = accounts_of(users).store
        for word in (secret, passwords.digest_of(secret), store.user("ada").password, ada.cookie.partition("=")[2],
                     passwords.digest_of(ada.cookie.partition("=")[2]), "password of"):  # fmt: skip
            assert word not in shown

    def test_r70_passwords_are_not_in_the_audit_log(self, users: Running) -> None:
        ada = sign_in(users, "ada")
        ada.api("POST", "/users", {"name": "zoe", "password": "hunter2 hunter2", "role": "viewer"})
        ada.api("PATCH", "/users/zoe", {"password": "hunter3 hunter3"})
        post_form(Client(users.url), "/login", {"name": "hunter4 hunter4", "password": "x" * 9})
        assert "hunter" not in repr(accounts_of(users).store.audit())

    def test_r70_the_debugger_of_werkzeug_is_not_there(self, server: Running, client: Client) -> None:
        assert server.server is not None
        app = create_app(server.server.services)
        assert not app.debug
        assert not app.config["PROPAGATE_EXCEPTIONS"]
        for path in ("/console", "/?__debugger__=yes&cmd=resource&f=style.css"):
            assert b"Werkzeug" not in client.get(path, Accept="text/html").body


class TestR71:
    """What a request may cost."""

    def refused(self, running: Running, head: str, body: bytes = b"") -> str:
        began = time.monotonic()
        answer = raw_request(running, head, body)
        assert time.monotonic() - began <= 1.0
        return answer.split(" ")[1] if answer else "closed"

    def test_r71_large_forms_are_refused_at_once(self, server: Running, client: Client) -> None:
        host = urlsplit(server.url).netloc
        signed_in = f"Host: {host}\nCookie: {client.cookie}\nX-CSRF-Token: {client.csrf}"
        assert (
            self.refused(server, f"POST /api/v1/account/tokens HTTP/1.1\n{signed_in}\nContent-Length: {10**9}") == "413"
        )
        assert self.refused(server, f"POST /login HTTP/1.1\nHost: {host}\nContent-Length: {10**9}") == "413"
        assert self.refused(server, f"POST /api/v1/users HTTP/1.1\nHost: {host}\nContent-Length: {10**9}") == "413"
        form = "Content-Type: application/x-www-form-urlencoded"
        fields = b"&".join(b"f%d=1" % number for number in range(100_000))
        head = f"POST /logout HTTP/1.1\n{signed_in}\n{form}\nContent-Length: {len(fields)}"
        assert self.refused(server, head, fields) in ("303", "400", "413")
        head = f"POST /login HTTP/1.1\nHost: {host}\n{form}\nContent-Length: {len(fields)}"
        assert self.refused(server, head, fields) == "413"
        part = b'--b\r\nContent-Disposition: form-data; name="language"\r\n\r\nen\r\n'
        parts = part * 10_000 + b"--b--\r\n"
        kind = "Content-Type: multipart/form-data; boundary=b"
        head = f"POST /language HTTP/1.1\n{signed_in}\n{kind}\nContent-Length: {len(parts)}"
        assert self.refused(server, head, parts) in ("400", "413")
        chunks = (b"10000\r\n" + b"x" * 65536 + b"\r\n") * 20
        head = f"POST /login HTTP/1.1\nHost: {host}\nTransfer-Encoding: chunked"
        assert self.refused(server, head, chunks) in ("400", "413")
        head = f"GET /?{'x' * 70_000} HTTP/1.1\nHost: {host}"
        assert self.refused(server, head) in ("400", "414", "431", "closed")

    def test_r71_slow_and_silent_clients_keep_nobody_waiting(self, server: Running, client: Client) -> None:
        parts = urlsplit(server.url)
        place = (parts.hostname or "", parts.port or 0)
        slow = f"POST /login HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: 60000\r\n\r\nname=".encode()
        held = []
        try:
            for number in range(1000):
                held.append(socket.create_connection(place, timeout=10))
                if number % 2:
                    held[-1].sendall(slow)
            began = time.monotonic()
            assert client.get("/api/v1/me").status == 200
            assert time.monotonic() - began < 2
        finally:
            for connection in held:
                connection.close()

    def test_r71_large_and_odd_bodies_are_refused_in_words(self, client: Client) -> None:
        for raw in (
            b"[" * 100_000,
            b"{" * 10_000,
            b'"' + b"x" * 10**6,
            b"\xff",
            b"null",
            b"",
            b'{"name": 1e999}',
            b'{"name": "' + b"x" * 101 + b'"}',
        ):
            answer = client.request(
                "POST", "/api/v1/account/tokens", headers={"Content-Type": "application/json"}, raw=raw
            )
            assert answer.status == 400, raw[:20]
            assert answer.json["detail"]
