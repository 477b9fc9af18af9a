"""Behind a reverse proxy, and TLS here."""

from __future__ import annotations

import http.client
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.webui.access import (
    ME,
    accounts_of,
    post_form,
)
from tests.webui.servers import Client, in_thread

pytestmark = pytest.mark.usefixtures("cheap_passwords")


class TestBehindAProxy:
    """Reverse proxies: a path of its own, TLS there, addresses of clients."""

    ACCESS = {"url_prefix": "/crawl", "trusted_proxy": ["127.0.0.1"], "allow_host": ["crawl.example"]}

    def test_a_path_of_its_own(self, tmp_path: Path) -> None:
        with in_thread(tmp_path / "data", access={"url_prefix": "/crawl"}) as running:
            assert running.url.endswith("/crawl")
            client = running.client()
            assert client.api("GET", "/me")["user"] == "local"
            page = client.get("/account", Accept="text/html").text
            assert 'href="/crawl/static/css/base.css"' in page
            assert 'action="/crawl/logout"' in page
            led = Client(running.url).get("/tasks", Accept="text/html")
            assert led.headers["Location"] == "/crawl/login?next=%2Ftasks"
            outside = Client(running.url.removesuffix("/crawl"))
            for path in ("/", "/api/v1/me", "/crawler/", "/health"):
                assert outside.get(path).status == 404, path

    def test_what_a_trusted_proxy_says_counts(self, tmp_path: Path) -> None:
        with in_thread(tmp_path / "data", access=self.ACCESS) as running:
            accounts_of(running).add_user(ME, "ada", "password of ada", "admin")
            proxied = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https",
                       "X-Forwarded-Host": "crawl.example", "X-Forwarded-Prefix": "/crawl"}  # fmt: skip
            inner = Client(running.url.removesuffix("/crawl"))
            form = {"name": "ada", "password": "password of ada"}
            answer = post_form(inner, "/login", form, Origin="https://crawl.example", **proxied)
            assert (answer.status, answer.headers["Location"]) == (303, "/crawl/")
            for cookie in answer.headers.get_all("Set-Cookie"):
                assert cookie.startswith("__Secure-crawlkit_")
                assert "; Path=/crawl;" in cookie
                assert cookie.endswith("; Secure")
            assert accounts_of(running).store.audit(limit=1)[0].address == "192.0.2.7"
            assert post_form(inner, "/login", form, Origin="http://crawl.example", **proxied).status == 403

    def test_tls_at_the_root_makes_host_cookies(self, tmp_path: Path) -> None:
        with in_thread(tmp_path / "data", access={"trusted_proxy": ["127.0.0.0/8"]}) as running:
            answer = Client(running.url).request(
                "GET", f"/?token={running.token}", headers={"X-Forwarded-Proto": "https"}
            )
            assert answer.headers["Set-Cookie"].startswith("__Host-crawlkit_session_")

    def test_from_others_it_does_not(self, tmp_path: Path) -> None:
        with in_thread(tmp_path / "data", access={"trusted_proxy": ["192.0.2.0/24"]}) as running:
            said = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "10.0.0.1", "X-Forwarded-Prefix": "/evil"}
            answer = Client(running.url).request("GET", f"/?token={running.token}", headers=said)
            assert answer.headers["Location"] == "/"
            assert answer.headers["Set-Cookie"].startswith("crawlkit_session_")
            assert accounts_of(running).store.audit(limit=1)[0].address == "127.0.0.1"

    def test_tls_here(self, tmp_path: Path) -> None:
        trustme = pytest.importorskip("trustme")
        authority = trustme.CA()
        made = authority.issue_cert("localhost", "127.0.0.1")
        made.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "both.pem"))
        with in_thread(tmp_path / "data", access={"tls_cert": str(tmp_path / "both.pem")}) as running:
            assert running.url.startswith("https://")
            import ssl

            context = ssl.create_default_context()
            authority.configure_trust(context)
            connection = http.client.HTTPSConnection(
                "127.0.0.1", urlsplit(running.url).port, timeout=10, context=context
            )
            connection.request("GET", f"/?token={running.token}", headers={"Accept": "text/html"})
            answer = connection.getresponse()
            assert answer.status == 303
            assert "__Host-" in answer.headers["Set-Cookie"]
