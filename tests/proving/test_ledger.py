"""The server that writes down each request: before it is answered, with its connection, robots.txt left out."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from crawlkit.libs.errors import ServiceUnreachable
from crawlkit.proving.ledger import Ledger, keeping
from tests.servers import free_port

DELAY = 0.2


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    (tmp_path / "a.html").write_text("<p>a")
    return Ledger(tmp_path, DELAY)


@pytest.fixture
def port(ledger: Ledger) -> Iterator[int]:
    number = free_port()
    with keeping(ledger, number):
        yield number


def get(connection: http.client.HTTPConnection, path: str) -> tuple[int, bytes]:
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_requests_are_written_down_before_they_are_answered(ledger: Ledger, port: int) -> None:
    heard: list[tuple[int, float]] = []
    ledger.on_request = lambda number: heard.append((number, time.monotonic()))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    assert get(connection, "/a.html?x=1") == (200, b"<p>a")
    answered = time.monotonic()
    assert get(connection, "/robots.txt")[0] == 404
    assert get(connection, "/b.html") == (404, b"")
    connection.close()
    assert [number for number, _ in heard] == [1, 2]
    assert answered - heard[0][1] >= DELAY
    other = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    get(other, "/a.html")
    other.close()
    assert ledger.counts("http://x") == {"http://x/a.html": 2, "http://x/b.html": 1}
    first, second, third = ledger.requests
    assert first.opened == second.opened < second.at < third.opened <= third.at


def test_who_asked_may_be_gone_before_the_answer(ledger: Ledger, port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as hasty:
        hasty.sendall(b"GET /a.html HTTP/1.1\r\n\r\n")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    assert get(connection, "/a.html")[0] == 200  # later than the hasty one's would have come
    connection.close()
    assert len(ledger.requests) == 2


def test_a_port_that_is_taken(ledger: Ledger, port: int) -> None:
    with pytest.raises(ServiceUnreachable, match=f"did not start on port {port}"), keeping(ledger, port):
        raise AssertionError("it listens")
