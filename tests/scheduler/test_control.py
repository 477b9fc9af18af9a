"""The control channel: token, host, JSON, and the client's words."""

from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path

import pytest
from tornado.httpclient import AsyncHTTPClient

from crawlkit.libs.errors import CrawlkitError, ServiceUnreachable
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


def test_no_scheduler_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ServiceUnreachable, match="start one with"):
        ControlClient.at(tmp_path)
    with pytest.raises(ServiceUnreachable, match="does not answer"):
        ControlClient("http://127.0.0.1:9", "t", timeout=1).size()
