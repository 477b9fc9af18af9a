"""Servers that can open nothing more for a while, and the limit of open files."""

from __future__ import annotations

import asyncio
import resource
import socket
import time
from pathlib import Path
from typing import Any

import pytest
import tornado.web
from tornado.httpclient import AsyncHTTPClient
from tornado.netutil import bind_sockets

from crawlkit import listening
from crawlkit.listening import Doorway, SteadyServer
from tests.descriptors import no_file_handles
from tests.fetcher.helpers import in_loop, wait_for
from tests.webui.servers import in_thread, until


class Hello(tornado.web.RequestHandler):
    def get(self) -> None:
        self.finish("hello")


@pytest.mark.parametrize("kind", [SteadyServer, Doorway])
def test_without_a_descriptor_a_server_rests_and_goes_on(
    kind: type[SteadyServer], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(listening, "TAKE_AGAIN", 0.1)

    @in_loop
    async def play() -> None:
        server: Any = kind(tornado.web.Application([("/", Hello)]))
        sockets = bind_sockets(0, "127.0.0.1")
        server.add_sockets(sockets)
        port = sockets[0].getsockname()[1]
        with socket.socket() as knocking:
            knocking.setblocking(False)
            began = time.process_time()
            with no_file_handles():
                await asyncio.get_running_loop().sock_connect(knocking, ("127.0.0.1", port))
                await wait_for(lambda: "ulimit -n" in caplog.text)
                await asyncio.sleep(0.5)  # in which it tries a few times
            assert time.process_time() - began < 0.4  # of half a second, in which a loop that spins burns all
            assert caplog.text.count("ulimit -n") == 1
            await asyncio.get_running_loop().sock_sendall(knocking, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"hello" in await asyncio.get_running_loop().sock_recv(knocking, 4096)  # it was not forgotten
        answer = await AsyncHTTPClient().fetch(f"http://127.0.0.1:{port}/")
        assert answer.body == b"hello"
        server.stop()
        await server.close_all_connections()

    play()


def test_stopped_while_it_rests_it_takes_nobody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(listening, "TAKE_AGAIN", 0.05)

    @in_loop
    async def play() -> None:
        taken: list[object] = []
        (bound,) = bind_sockets(0, "127.0.0.1")
        listener = listening.Listener(bound, lambda connection, address: taken.append(connection), "this cannot")
        with socket.socket() as knocking:
            knocking.setblocking(False)
            with no_file_handles():
                await asyncio.get_running_loop().sock_connect(knocking, bound.getsockname())
                await wait_for(lambda: "this cannot (Too many open files)" in caplog.text)
                listener.stop()
            await asyncio.sleep(0.2)
        assert not taken
        bound.close()

    play()


def test_the_web_ui_outlives_a_lack_of_descriptors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(listening, "TAKE_AGAIN", 0.1)
    with in_thread(tmp_path / "data") as running:
        client = running.client()
        address = running.url.removeprefix("http://").split(":")
        with socket.socket() as knocking:
            with no_file_handles():
                knocking.connect((address[0], int(address[1])))
                until(lambda: "ulimit -n" in caplog.text)
            assert client.get("/").status == 200


def test_open_files_are_allowed_as_far_as_may_be() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
        listening.allow_open_files(600)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (600 if hard < 0 else min(600, hard), hard)
        listening.allow_open_files(300)  # never less
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= min(600, soft)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
