"""What was tried against the gate and its doors, and must not work again."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from crawlkit.webui.gate import Identity
from crawlkit.webui.live_door import MAX_OF_ONE
from crawlkit.webui.saving import MAX_SCRIPT
from tests.webui.servers import Client, Running, in_thread

LOCAL = Identity("local", "admin", "link")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with in_thread(tmp_path_factory.mktemp("attacks") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def tokens(server: Running) -> dict[str, str]:
    """Tokens of one admin, by their roles."""
    assert server.server is not None
    accounts = server.server.services.extra["accounts"]
    accounts.add_user(LOCAL, "ada", "secret words of ada", "admin")
    return {role: accounts.add_token(LOCAL, "ada", role, role, None)[1] for role in ("viewer", "editor", "admin")}


def by_basic(server: Running, token: str) -> Client:
    key = base64.b64encode(f"x:{token}".encode()).decode()
    return Client(server.url, headers={"Authorization": f"Basic {key}"})


@pytest.mark.parametrize("role", ["viewer", "editor"])
def test_r72_a_token_sent_as_a_password_makes_no_better_token(
    role: str, server: Running, tokens: dict[str, str]
) -> None:
    client = by_basic(server, tokens[role])
    me = client.api("GET", "/me")
    assert (me["role"], me["via"]) == (role, "token")
    for wanted in ("admin", role):
        answer = client.request("POST", "/api/v1/account/tokens", {"name": "e", "role": wanted})
        assert answer.status == 403, answer.text
    assert client.get("/api/v1/users").status == 403


def test_r70_a_login_link_is_not_logged_when_the_gate_cannot_read_it(
    server: Running, caplog: pytest.LogCaptureFixture
) -> None:
    answer = Client(server.url).get("/?token=LEAKEDLINKTOKEN&" + "a=1&" * 60)
    assert answer.status in (303, 401)
    assert "LEAKED" not in caplog.text


def test_r72_a_viewer_locks_nothing(server: Running, tokens: dict[str, str]) -> None:
    pytest.importorskip("wsgidav")
    by_basic(server, tokens["editor"]).request("PUT", "/dav/shop.py", raw=b"# a\n")
    for method in ("LOCK", "UNLOCK", "MKCOL", "PROPPATCH", "MOVE", "DELETE"):
        assert by_basic(server, tokens["viewer"]).request(method, "/dav/shop.py").status == 403, method
    assert by_basic(server, tokens["editor"]).request("PUT", "/dav/shop.py", raw=b"# b\n").status == 204


@pytest.mark.parametrize(
    ("method", "path"), [("DELETE", "/dav/"), ("PUT", "/dav/%ff%fe.py"), ("GET", "/dav/%ed%a0%80.py")]
)
def test_odd_requests_of_webdav_are_refused(method: str, path: str, server: Running, tokens: dict[str, str]) -> None:
    pytest.importorskip("wsgidav")
    answer = by_basic(server, tokens["editor"]).request(method, path, raw=b"" if method == "PUT" else None)
    assert answer.status in (400, 403), answer.text


def test_r71_a_large_script_is_refused_before_it_is_read(server: Running, tokens: dict[str, str]) -> None:
    client = by_basic(server, tokens["editor"])
    large = "a=1\n" * (MAX_SCRIPT // 4 + 1)
    assert client.request("PUT", "/dav/large.py", raw=large.encode()).status == 413
    answer = client.request("PUT", "/api/v1/projects/large/script", {"script": large})
    assert (answer.status, "may have" in answer.text) == (413, True)


def test_r71_live_views_have_a_bound(server: Running, tokens: dict[str, str]) -> None:
    assert server.server is not None
    server.server.watching["ada"] += MAX_OF_ONE
    try:
        answer = by_basic(server, tokens["viewer"]).get("/api/v1/live/queues")
        assert answer.status == 429
    finally:
        server.server.watching["ada"] -= MAX_OF_ONE
