"""The server's frame: Flask behind the gate, live views, streams, static files, refusals in words."""

from __future__ import annotations

import http.client
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.webui.servers import Client, Running, everything


def test_who_am_i(client: Client) -> None:
    found = client.api("GET", "/me")
    assert (found["user"], found["role"], found["scheduler"]) == ("local", "admin", False)


def test_nothing_without_a_session(server: Running) -> None:
    stranger = Client(server.url)
    for path in ("/", "/api/v1/me", "/api/v1/openapi.json", "/nothing"):
        assert stranger.get(path).status == 401, path


def test_refusals_are_problems_in_words(client: Client) -> None:
    answer = client.get("/api/v1/nothing")
    assert (answer.status, answer.headers["Content-Type"]) == (404, "application/problem+json")
    answer = client.get("/api/v1/me?what=1")
    assert answer.status in (200, 400)
    answer = client.request("DELETE", "/api/v1/me")
    assert (answer.status, "GET" in answer.headers["Allow"]) == (405, True)


def test_pages_are_html_problems_for_people(client: Client) -> None:
    answer = client.get("/nothing", Accept="text/html")
    assert answer.status == 404
    assert "<h1>Not Found</h1>" in answer.text


def test_static_files_and_nothing_beside_them(server: Running) -> None:
    stranger = Client(server.url)
    answer = stranger.get("/static/js/dom.js")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/javascript")
    again = stranger.get("/static/js/dom.js", **{"If-None-Match": answer.headers["Etag"]})
    assert again.status == 304
    for path in ("/static/../server.py", "/static/%2e%2e/server.py", "/static/", "/static//etc/passwd"):
        assert stranger.get(path).status == 404, path


def test_a_slow_request_keeps_nobody_waiting(server: Running, client: Client) -> None:
    """W49: Flask runs in threads."""
    held, release = threading.Event(), threading.Event()
    assert server.server is not None
    projectdb = server.server.services.projectdb
    names = projectdb.names

    def slow() -> list[str]:
        held.set()
        release.wait(20)
        return names()

    server.server.services.projectdb = _with(projectdb, names=slow)  # type: ignore[assignment]
    waiting = threading.Thread(target=server.server.services.projectdb.names)
    waiting.start()
    assert held.wait(10)
    assert client.get("/health").status == 200
    release.set()
    waiting.join(10)


def _with(thing: Any, **changed: Any) -> Any:
    class Changed:
        def __getattr__(self, name: str) -> Any:
            return changed.get(name) or getattr(thing, name)

    return Changed()


def test_too_large_a_request_is_refused_at_once(server: Running, client: Client) -> None:
    parts = urlsplit(server.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=5)
    connection.putrequest("POST", "/api/v1/me")
    connection.putheader("Content-Length", str(2**30))
    connection.putheader("Cookie", client.cookie)
    connection.putheader("X-CSRF-Token", client.csrf)
    connection.endheaders()
    assert connection.getresponse().status == 413


def test_the_page_in_chromium(page: Any) -> None:
    page.wait_for_selector("h1")
    assert page.title().endswith("crawlkit")
    page.keyboard.press("?")
    page.wait_for_selector("dialog dl.keys")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_language(language: str, client: Client) -> None:
    found = client.get("/", Accept="text/html", **{"Accept-Language": language}).text
    assert {"en": "Projects", "zh": "项目"}[language] in found


def test_with_everything(tmp_path: Path) -> None:
    with everything(tmp_path / "data") as running:
        assert running.client().api("GET", "/me")["scheduler"] is True
