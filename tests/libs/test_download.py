"""``self.download`` in a handler: the task it makes, what it refuses, and what the callback gets."""

from __future__ import annotations

from typing import Any

import pytest

from crawlkit import BaseHandler, config
from crawlkit.libs.errors import InvalidTask
from crawlkit.libs.messages import NIL, Dispatch, Fetched, decode, encode
from crawlkit.libs.response import Response
from crawlkit.libs.task import NO_SCHEDULE, Fetch, Process, Schedule, Task, taskid_of
from tests.libs.test_base_handler import begun, decode_task

URL = "http://a.com/x.pdf"
SHA256 = "ab" * 32


class Shop(BaseHandler):
    crawl_config = {"proxy": "p:1", "priority": 1}

    @config(retries=9)
    def saved(self, response: Response) -> None: ...


def tasks(call: str, *args: Any, **kwargs: Any) -> list[Task]:
    handler = Shop()
    collector = begun(handler)
    getattr(handler, call)(*args, **kwargs)
    return [decode_task(follow.task) for follow in collector.follows]


def test_the_task() -> None:
    (task,) = tasks("download", "../x.pdf", "pdf/", "saved", sha256=SHA256.upper(), size=7, timeout=3, priority=2)
    assert (task.url, task.project) == (URL, "shop")
    assert task.fetch == Fetch(timeout=3, download={"to": "pdf/{name}", "sha256": SHA256, "size": 7})
    assert task.process == Process(callback="saved")
    assert task.schedule == Schedule(priority=2, retries=9)


def test_a_page_and_its_files_are_tasks_of_their_own() -> None:
    page = tasks("crawl", URL)[0].taskid
    ids = [tasks("download", URL, to)[0].taskid for to in ("{name}", "a/{name}", "a/", "b.pdf", "b.pdf")]
    assert page == taskid_of(URL)
    assert page not in ids
    assert ids[1] == ids[2]
    assert ids[3] == ids[4]
    assert len(set(ids)) == 3
    assert tasks("download", URL, taskid="mine")[0].taskid == "mine"


def test_several_urls_and_none() -> None:
    assert [task.url for task in tasks("download", [URL, None, "http://a.com/y"])] == [URL, "http://a.com/y"]
    assert tasks("download", None) == []


def test_a_get_taskid_of_the_scripts_own_sees_the_download() -> None:
    seen = []

    class Own(Shop):
        def get_taskid(self, task: dict[str, Any]) -> str:
            seen.append(task["fetch"]["download"])
            return super().get_taskid(task)

    handler = Own()
    begun(handler)
    shown = handler.download(URL)
    assert seen == [{"to": "{name}"}]
    assert shown["taskid"] == tasks("download", URL)[0].taskid


@pytest.mark.parametrize(
    ("wish", "path"),
    [
        ({"to": "../x"}, "fetch.download.to"), ({"to": "/etc/x"}, "fetch.download.to"),
        ({"to": ""}, "fetch.download.to"),
        ({"to": "s3://b/x"}, "fetch.download.to"), ({"sha256": "x"}, "fetch.download.sha256"),
        ({"size": "7"}, "fetch.download.size"), ({"fetch_type": "nonsense"}, "fetch.fetch_type"),
    ],
)  # fmt: skip
def test_what_is_refused_at_once(wish: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidTask) as raised:
        tasks("download", URL, **wish)
    assert raised.value.path == path


def test_unknown_arguments_and_callbacks() -> None:
    with pytest.raises(TypeError, match="unexpected arguments: sha1"):
        tasks("download", URL, sha1="x")
    with pytest.raises(NotImplementedError, match="nothing"):
        tasks("download", URL, callback="nothing")


def test_the_file_comes_to_the_callback() -> None:
    file = {"path": "/data/files/shop/x.pdf", "bytes": 7, "sha256": SHA256}
    task = Dispatch("shop", "t", 1, 1, URL, "", "saved", 0, 0, NO_SCHEDULE, Fetch(download={"to": "x.pdf"}), NIL, 0)
    fetched = Fetched(task, 200, URL, URL, [], {}, 0.5, size=7, file=file)
    response = Response.of(decode(encode(fetched), Fetched))
    assert response.file == file
    assert (response.content, response.ok) == (b"", True)
    assert Response(URL).file is None
    assert Response(URL, file=file).file == file
