"""Saving, versions and pins over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from crawlkit.libs.rows import ProjectRow
from tests.webui.servers import Client, Running, in_thread

HEAD = "from crawlkit.libs.base_handler import *\n\n\nclass Handler(BaseHandler):\n"
ONE = HEAD + "    def on_start(self):\n        return 1\n"
TWO = HEAD + "    def on_start(self):\n        return 2\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One web UI for all of these tests; each finds no project."""
    with in_thread(tmp_path_factory.mktemp("webui") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def signed_in(server: Running) -> Client:
    return server.client()


@pytest.fixture
def client(server: Running, signed_in: Client) -> Client:
    assert server.server is not None
    server.server.services.projectdb.drop("shop")
    server.server.services.blobdb.drop_kept("shop")
    return signed_in


def save(client: Client, script: str, project: str = "shop", **said: Any) -> Any:
    return client.api("PUT", f"/projects/{project}/script", {"script": script, **said})


def set_status(server: Running, status: str, project: str = "shop") -> None:
    assert server.server is not None
    store = server.server.services.projectdb
    row = store.get(project)
    assert row is not None
    row.status = status
    store.put(row)


def row_of(server: Running, project: str = "shop") -> ProjectRow:
    assert server.server is not None
    row = server.server.services.projectdb.get(project)
    assert row is not None
    return row


def test_T70_a_new_project_is_made_by_its_first_save(client: Client, server: Running) -> None:
    first = save(client, ONE, message="first")
    assert (first["created"], first["changed"], first["status"], first["pin"]) == (True, True, "TODO", "")
    assert first["scheduler"] == "unreachable"  # T72: there is none, and the save holds
    row = row_of(server)
    assert (row.script, row.rate, row.burst) == (ONE, 1.0, 3.0)
    again = save(client, ONE, base=first["version"])
    assert (again["created"], again["changed"], again["version"]) == (False, False, first["version"])
    assert client.api("GET", "/projects/shop/versions")["total"] == 1


def test_T70_a_save_of_a_running_project_waits_in_CHECKING(client: Client, server: Running) -> None:
    first = save(client, ONE)
    set_status(server, "RUNNING")
    assert save(client, TWO, base=first["version"])["status"] == "CHECKING"
    set_status(server, "RUNNING")
    assert save(client, ONE, keep_status=True)["status"] == "RUNNING"


def test_what_is_no_python_is_saved_and_said_but_does_not_run(client: Client, server: Running) -> None:
    save(client, ONE)
    set_status(server, "RUNNING")
    saved = save(client, "x = (")
    assert saved["status"] == "CHECKING"
    assert saved["problems"][0]["line"] == 1
    answer = client.request("PUT", "/api/v1/projects/shop/script", {"script": "y = (", "keep_status": True})
    assert (answer.status, "line 1" in answer.json["detail"]) == (400, True)


def test_a_newer_version_on_the_server_is_a_conflict_with_both(client: Client) -> None:
    first = save(client, ONE)
    second = save(client, TWO, base=first["version"], message="theirs")
    mine = ONE.replace("1", "3")
    answer = client.request("PUT", "/api/v1/projects/shop/script", {"script": mine, "base": first["version"]})
    assert answer.status == 409
    assert answer.json["current"]["version"] == second["version"]
    assert (answer.json["current"]["script"], answer.json["current"]["message"]) == (TWO, "theirs")
    assert answer.json["base"] == {"version": first["version"], "script": ONE}
    assert save(client, mine, base=first["version"], force=True)["changed"]
    # the same text as theirs is no conflict
    assert not save(client, mine, base=first["version"])["changed"]


def test_of_many_saves_at_once_one_is_first_and_the_others_are_told(client: Client) -> None:
    first = save(client, ONE)["version"]

    def one(n: int) -> int:
        body = {"script": ONE.replace("1", str(n)), "base": first}
        return client.request("PUT", "/api/v1/projects/shop/script", body).status

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(one, range(2, 10))) == [200] + [409] * 7
    assert client.api("GET", "/projects/shop/versions")["total"] == 2


def test_versions_are_listed_compared_and_restored(client: Client) -> None:
    one = save(client, ONE, message="first")["version"]
    two = save(client, TWO, message="second")["version"]
    listed = client.api("GET", "/projects/shop/versions?limit=1")
    assert (listed["total"], listed["next"]) == (2, "1")
    (newest,) = listed["items"]
    assert (newest["version"], newest["message"], newest["added"], newest["removed"]) == (two, "second", 1, 1)
    assert newest["newest"]
    assert newest["author"]
    (oldest,) = client.api("GET", "/projects/shop/versions?limit=1&cursor=1")["items"]
    assert (oldest["version"], oldest["newest"], oldest["script"]) == (one, False, None)

    assert client.api("GET", f"/projects/shop/versions/{one}")["script"] == ONE
    assert client.api("GET", "/projects/shop/versions/newest")["script"] == TWO
    diff = client.api("GET", f"/projects/shop/versions/{one}/diff?to={two}")
    assert (diff["from"], diff["to"], diff["added"], diff["removed"]) == (one, two, 1, 1)
    assert "-        return 1\n+        return 2\n" in diff["unified"]

    restored = client.api("POST", f"/projects/shop/versions/{one}/restore", {"base": two})
    assert restored["version"] == one
    assert client.api("GET", "/projects/shop/versions/newest")["message"] == f"restored {one[:8]}"
    assert client.api("GET", "/projects/shop/versions")["total"] == 3


def test_a_pinned_project_keeps_its_version_and_its_status(client: Client, server: Running) -> None:
    one = save(client, ONE)["version"]
    set_status(server, "RUNNING")
    pinned = client.api("PUT", "/projects/shop/pin", {"version": one})
    assert pinned == {"project": "shop", "pin": one, "runs": one, "newest": one}
    saved = save(client, TWO)
    assert (saved["status"], saved["pin"]) == ("RUNNING", one)
    infos = client.api("GET", "/projects/shop/versions")["items"]
    assert [(info["newest"], info["pinned"], info["runs"]) for info in infos] == [
        (True, False, False), (False, True, True),
    ]  # fmt: skip
    assert client.api("GET", "/projects/shop/versions/runs")["script"] == ONE
    released = client.api("PUT", "/projects/shop/pin", {"version": None})
    assert (released["pin"], released["runs"]) == ("", saved["version"])


def test_a_named_version_runs_in_the_debugger(client: Client) -> None:
    one = save(client, ONE)["version"]
    save(client, TWO)
    task = {"url": "data:,on_start", "process": {"callback": "on_start"}}
    for version, result in ((one, 1), (None, 2)):
        state = client.api("POST", "/projects/shop/debug", {"task": task, "version": version})
        assert state["answer"]["results"] == [result]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/projects/none/versions", None, 404),
        ("GET", "/projects/shop/versions/00000000000000000000000000000000", None, 404),
        ("GET", "/projects/shop/versions/oldest", None, 404),
        ("GET", "/projects/shop/versions/newest/diff?to=x", None, 400),
        ("GET", "/projects/shop/versions?cursor=x", None, 400),
        ("PUT", "/projects/shop/pin", {"version": "0" * 32}, 404),
        ("PUT", "/projects/shop/pin", {}, 400),
        ("PUT", "/projects/none/script", {"script": "", "base": "0" * 32}, 404),
        ("PUT", "/projects/shop/script", {"script": 3}, 400),
        ("POST", "/projects/shop/versions/oldest/restore", {}, 404),
    ],
)
def test_T71_what_is_not_there_is_refused_in_words(
    client: Client, method: str, path: str, body: Any, status: int
) -> None:
    save(client, ONE)
    answer = client.request(method, "/api/v1" + path, body)
    assert answer.status == status, answer.text
    assert answer.json["detail"]
