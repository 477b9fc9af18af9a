"""The client against servers that are none of ours, that break off, and that close kept connections."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from crawlkit.libs.errors import ServiceUnreachable, UsageError
from crawlkit.remote import client as client_module
from crawlkit.remote.client import Client, Refused, checked_url

Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


class Server:
    """Answers as it is told, and remembers."""

    def __init__(self) -> None:
        self.answer: Answer = lambda handler: None
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        self.connections = 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                outer.connections += 1
                super().setup()

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.seen.append((self.command, self.path, dict(self.headers), body))
                outer.answer(self)

            do_GET = do_PUT = do_POST = do_DELETE = handle_any

            def log_message(self, *args: Any) -> None:
                """Quiet."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def saying(status: int, value: Any, close: bool = False, **headers: str) -> Answer:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(data)))
        for name, said in headers.items():
            handler.send_header(name, said)
        handler.end_headers()
        handler.wfile.write(data)
        handler.close_connection = handler.close_connection or close  # without telling the client

    return answer


def test_a_call_and_what_it_sends(server: Server) -> None:
    server.answer = saying(200, {"x": 1})
    client = Client(server.url + "/behind/a/proxy/", "the-token")
    assert client.get("/projects/a b", text="ü", cursor=None) == {"x": 1}
    assert client.send("PUT", "/projects/x/script", {"script": "ü"}) == {"x": 1}
    (first, second) = server.seen
    assert first[:2] == ("GET", "/behind/a/proxy/api/v1/projects/a%20b?text=%C3%BC")
    assert first[2]["Authorization"] == "Bearer the-token"
    assert json.loads(second[3]) == {"script": "ü"}
    assert server.connections == 1


def test_pages_of_a_list(server: Server) -> None:
    pages = iter([{"items": [1, 2], "next": "x"}, {"items": [3], "next": None}])
    server.answer = lambda handler: saying(200, next(pages))(handler)
    assert list(Client(server.url, "t").items("/projects", sort="name")) == [1, 2, 3]
    assert [path for _, path, _, _ in server.seen] == [
        "/api/v1/projects?limit=500&sort=name",
        "/api/v1/projects?limit=500&cursor=x&sort=name",
    ]


def test_refusals(server: Server) -> None:
    client = Client(server.url, "t")
    server.answer = saying(
        409, {"status": 409, "title": "Changed", "detail": "it was saved", "current": {"version": "v"}}
    )
    with pytest.raises(Refused, match="it was saved") as raised:
        client.send("PUT", "/x", {})
    assert (raised.value.status, raised.value.problem["current"]) == (409, {"version": "v"})
    server.answer = saying(404, {"status": 404, "title": "Not found"})
    assert client.find("/x") is None
    with pytest.raises(Refused, match="Not found"):
        list(client.stream("/x"))
    server.answer = saying(401, {"status": 401, "title": "Token refused", "detail": "this token is unknown"})
    with pytest.raises(ServiceUnreachable, match="this token is unknown"):
        client.get("/x")
    server.answer = saying(204, b"")
    assert client.send("DELETE", "/x") is None


@pytest.mark.parametrize("status", [200, 404, 500])
def test_what_is_no_crawlkit(server: Server, status: int) -> None:
    server.answer = saying(status, b"<html>hello")
    with pytest.raises(ServiceUnreachable, match="no web UI of crawlkit"):
        Client(server.url, "t").get("/x")


def test_a_redirect_is_not_followed_with_the_token(server: Server) -> None:
    server.answer = saying(302, b"", Location="https://elsewhere.example/api/v1/x")
    with pytest.raises(ServiceUnreachable, match=r"leads to https://elsewhere\.example"):
        Client(server.url, "t").get("/x")
    assert len(server.seen) == 1


def test_nobody_answers() -> None:
    with pytest.raises(ServiceUnreachable, match="does not answer"):
        Client("http://127.0.0.1:1", "t").get("/x")


def test_a_kept_connection_that_was_closed_is_opened_anew(server: Server) -> None:
    server.answer = saying(200, {}, close=True)
    client = Client(server.url, "t")
    for method in ("GET", "GET", "PUT", "DELETE"):
        assert client.send(method, "/x") == {}
    assert len(server.seen) == server.connections == 4


def test_nothing_is_sent_by_post_twice(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """What starts a crawl is not repeated when nobody knows whether it arrived; an old connection is not risked."""
    server.answer = saying(200, {}, close=True)
    client = Client(server.url, "t")
    client.get("/x")
    with pytest.raises(ServiceUnreachable):
        client.send("POST", "/x", {})
    assert len(server.seen) == 1
    client.get("/x")
    monkeypatch.setattr(client_module, "IDLE", -1.0)
    client.send("POST", "/x", {})
    assert len(server.seen) == 3


def test_a_stream_that_breaks_off_is_told(server: Server) -> None:
    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b"x" * 400)
        handler.close_connection = True

    server.answer = answer
    found: list[bytes] = []
    with pytest.raises(ServiceUnreachable, match="broke off"):
        found.extend(Client(server.url, "t").stream("/x"))
    assert b"".join(found) == b"x" * 400
    with pytest.raises(ServiceUnreachable, match="broke off"):
        Client(server.url, "t").get("/x")


def test_an_answer_without_end_is_not_taken(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "MAX_ANSWER", 1_000)
    server.answer = saying(200, {"x": "y" * 2_000})
    with pytest.raises(ServiceUnreachable, match="over 1,000 bytes"):
        Client(server.url, "t").get("/x")


@pytest.mark.parametrize(
    "url",
    ["", "localhost:5000", "ftp://h/", "http://", "http://u:p@h/", "http://h/?token=x", "http://[::1", "http://h#x"],
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(UsageError, match="server"):
        checked_url(url)


def test_addresses() -> None:
    assert checked_url(" https://h.example/ ") == "https://h.example"
    assert checked_url("http://[::1]:5000/base/") == "http://[::1]:5000/base"
