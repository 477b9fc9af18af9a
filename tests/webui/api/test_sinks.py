"""How far the sinks are, over the API."""

from __future__ import annotations

from pathlib import Path

import pytest

from crawlkit.cli import run
from tests.result.sink_tools import follower, save, to_the_end
from tests.webui.rows import services
from tests.webui.servers import Client, Running


def test_list(client: Client, server: Running, tmp_path: Path) -> None:
    assert client.api("GET", "/sinks") == {"items": [], "total": 0, "next": None}
    resultdb = services(server).resultdb
    save(resultdb, 1, 2, project="sunk")
    one = follower(resultdb, f"csv://{tmp_path}/out")
    to_the_end(one)
    save(resultdb, 3, project="sunk")
    (found,) = [item for item in client.api("GET", "/sinks")["items"] if item["project"] == "sunk"]
    assert (found["sink"], found["results"], found["files"], found["waiting"]) == (f"csv://{tmp_path}/out", 2, 1, 1)
    assert (found["node"], found["error"]) == ("test", "")
    assert found["bytes"] > 0
    page = client.api("GET", "/sinks?limit=1")
    assert len(page["items"]) == 1
    assert client.request("GET", "/api/v1/sinks?cursor=x").status == 400
    one.let_go()
    assert [item["node"] for item in client.api("GET", "/sinks")["items"] if item["project"] == "sunk"] == [""]


def test_the_command_asks_a_server(
    client: Client, server: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    resultdb = services(server).resultdb
    save(resultdb, 1, project="far")
    to_the_end(follower(resultdb, f"jsonl://{tmp_path}/far"))
    token = client.api("POST", "/account/tokens", {"name": "t"})["token"]
    monkeypatch.setenv("CRAWLKIT_TOKEN", token)
    assert run(["sinks", "--server", server.url]) == 0
    said = capsys.readouterr().out
    assert f"jsonl://{tmp_path}/far" in said
    assert "far  1 results in 1 files" in said
    assert run(["sinks", "--server", server.url, "--forget", "csv:///x"]) == 2
    assert "--forget needs the resultdb" in capsys.readouterr().err
