"""The control channel: token, host, JSON, and the client's words."""

from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path

import pytest
from tornado.httpclient import AsyncHTTPClient

from crawlkit import listening
from crawlkit.libs.errors import CrawlkitError, InvalidTask, ServiceUnreachable
from crawlkit.scheduler import control
from crawlkit.scheduler.control import ControlClient, ControlServer
from tests.scheduler.rig import Rig, running, task


def test_calls_go_through_the_file_in_the_data_path(tmp_path: Path) -> None:
    async def play() -> None:
        rig = Rig()
        rig.project()
        async with running(rig):
            server = ControlServer(rig.service)
            server.start()
            server.publish(tmp_path)
            assert stat.S_IMODE((tmp_path / "scheduler.json").stat().st_mode) == 0o600
            client = ControlClient.at(tmp_path)
            loop = asyncio.get_running_loop()

            def ask() -> None:
                (answer,) = client.submit([task("http://h/1")])
                assert answer["verdict"] == "new"
                assert client.run("p")["accepted"]
                assert client.send_message("p", {"a": 1})["accepted"]
                client.update_project()
                assert "p" in client.summary()["projects"]
                assert client.size() >= 0
                assert "p" in client.counters("all")
                assert isinstance(client.active_tasks("p"), list)
                for message in (10**30, {"deep": [2**64]}, "x" * 3_000_000):
                    with pytest.raises(CrawlkitError, match=r"task: (cannot be sent|is 3,000,\d+ bytes)"):
                        client.send_message("p", message)
                with pytest.raises(InvalidTask, match=r"send_message: is 17,\d+,\d+ bytes, over the limit"):
                    client.send_message("p", "x" * 17_000_000)
                with pytest.raises(InvalidTask, match="send_message: cannot be sent"):
                    client.send_message("p", object())
                answers = client.submit(
                    [{**task("http://h/2"), "fetch": {"save": "x" * size}} for size in (9_000_000, 9)]
                )
                assert [answer["verdict"] for answer in answers] == ["refused", "new"]
                assert "over the limit of 2,097,152" in answers[0]["reason"]
                with pytest.raises(CrawlkitError, match="no method"):
                    client.call("eval", code="1")
                with pytest.raises(CrawlkitError, match="missing"):
                    client.call("run")
                with pytest.raises(ServiceUnreachable, match="refuses the token"):
                    ControlClient(server.url, "wrong").size()
                client.close()

            await loop.run_in_executor(None, ask)
            await rig.until(lambda: any(d.url == "data:,on_message" for d in rig.sent))
            (message,) = [d for d in rig.sent if d.url == "data:,on_message"]
            assert message.fetch.save == ["__command__", {"a": 1}]
            await server.stop()

    asyncio.run(play())


def test_other_host_names_and_odd_bodies_are_refused() -> None:
    async def play() -> None:
        rig = Rig()
        async with running(rig):
            server = ControlServer(rig.service)
            server.start()
            http = AsyncHTTPClient()

            async def post(body: bytes, host: str = "127.0.0.1:1", token: str = server.token) -> tuple[int, str]:
                headers = {"Authorization": f"Bearer {token}", "Host": host}
                answer = await http.fetch(
                    server.url + "/rpc/submit", method="POST", body=body, headers=headers, raise_error=False
                )
                return answer.code, json.loads(answer.body)["error"]

            assert (await post(b"{}", host="evil.example"))[0] == 403
            assert (await post(b"{}", token=""))[0] == 401
            assert (await post(b"\xff\xff"))[0] == 400
            assert (await post(b"[]"))[0] == 400
            assert (await post(b"{}"))[1] == "argument 'tasks' is missing"
            await server.stop()

    asyncio.run(play())


def test_who_listens_everywhere_goes_by_any_name() -> None:
    """[C34] A web UI on another host asks by a name that this machine need not know."""

    async def play() -> None:
        rig = Rig()
        async with running(rig):
            server = ControlServer(rig.service, "0.0.0.0")
            server.start()
            url = server.url.replace("0.0.0.0", "127.0.0.1") + "/rpc/size"
            for token, code in ((server.token, 200), ("wrong", 401)):
                headers = {"Authorization": f"Bearer {token}", "Host": "crawl.example:23333"}
                http = AsyncHTTPClient()
                answer = await http.fetch(url, method="POST", body=b"{}", headers=headers, raise_error=False)
                assert answer.code == code
            await server.stop()

    asyncio.run(play())


def test_strangers_fill_no_memory_and_keep_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """[C34] Without the token no body is kept, a connection ends, and who has the token gets through."""
    monkeypatch.setattr(listening, "MAX_STRANGERS", 4)
    monkeypatch.setattr(control, "BODY_WITHIN", 0.5)
    monkeypatch.setattr(control, "IDLE", 0.5)
    kept: list[int] = []
    dropped: list[int] = []
    plain = control._Call.data_received

    def counted(self: control._Call, chunk: bytes) -> None:
        plain(self, chunk)
        (kept if self.chunks else dropped).append(len(chunk))

    monkeypatch.setattr(control._Call, "data_received", counted)

    async def play() -> None:
        rig = Rig()
        async with running(rig):
            server = ControlServer(rig.service)
            server.start()
            half = b"POST /rpc/size HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 16000000\r\n\r\n" + b"a" * 2**20
            crowd = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(12)]
            for _, writer in crowd[8:10]:
                writer.write(half)
            await rig.until(lambda: sum(dropped) == 2 * 2**20)
            assert not kept
            assert server._server.strangers <= 4
            loop = asyncio.get_running_loop()
            client = ControlClient(server.url, server.token)
            assert await loop.run_in_executor(None, client.size) == 0
            assert kept
            for reader, _ in crowd:  # sent away, or over the time for the body or the head
                assert await asyncio.wait_for(reader.read(), 5) == b""
            assert await loop.run_in_executor(None, client.size) == 0
            wrong = ControlClient(server.url, "wrong")
            with pytest.raises(ServiceUnreachable, match="refuses the token"):  # said to who sends much, too
                await loop.run_in_executor(None, lambda: wrong.call("size", much="a" * 8 * 2**20))
            large = await loop.run_in_executor(None, lambda: client.call("size", much="a" * 8 * 2**20))
            assert large == 0
            client.close()
            wrong.close()
            await server.stop()
            assert not server._server.strangers
            for _, writer in crowd:
                writer.close()

    asyncio.run(play())


def test_no_scheduler_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ServiceUnreachable, match="start one with"):
        ControlClient.at(tmp_path)
    with pytest.raises(ServiceUnreachable, match="does not answer"):
        ControlClient("http://127.0.0.1:9", "t", timeout=1).size()
