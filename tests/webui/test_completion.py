"""What the editor proposes is what the code has, and all of it has words."""

from __future__ import annotations

import inspect

import msgspec
import pytest

from crawlkit.libs.base_handler import BaseHandler
from crawlkit.libs.crawl_args import KNOWN, KNOWN_TO_FETCH
from crawlkit.libs.response import Response
from crawlkit.libs.task import Fetch, Process, Schedule
from crawlkit.webui.completion import Entry, catalogue, words
from crawlkit.webui.lint import lint

NOT_PROPOSED = {"last_modifed", "download"}


def by_name(entries: list[Entry]) -> dict[str, Entry]:
    found = {entry.name: entry for entry in entries}
    assert len(found) == len(entries)
    return found


def test_arguments_of_crawl_are_those_of_the_code() -> None:
    assert by_name(catalogue().arguments["crawl"]).keys() == (KNOWN | {"url"}) - NOT_PROPOSED


def test_arguments_of_fetch_are_those_of_the_code() -> None:
    assert by_name(catalogue().arguments["fetch"]).keys() == (KNOWN_TO_FETCH | {"url"}) - NOT_PROPOSED


def test_arguments_of_download_are_those_of_crawl_and_its_own() -> None:
    own = {"to", "sha256", "size"}
    assert by_name(catalogue().arguments["download"]).keys() == (KNOWN | {"url"} | own) - NOT_PROPOSED


def test_members_of_a_response_are_all_proposed() -> None:
    made = Response("http://x/", content=b"{}")
    names = {name for name in dir(made) if not name.startswith("_")} - {"of"}
    assert by_name(catalogue().response).keys() == names


def test_everything_has_words() -> None:
    every = catalogue()
    lists = [
        every.handler,
        every.response,
        every.decorators,
        every.hooks,
        *every.arguments.values(),
        *every.task.values(),
    ]
    without = {entry.name for entries in lists for entry in entries if not entry.doc.strip()}
    assert not without
    for entries in lists:
        for entry in entries:
            assert "``" not in entry.doc
            assert ":meth:" not in entry.doc
            assert not entry.doc.rstrip().endswith("]")


def test_no_words_are_left_of_what_is_gone() -> None:
    arguments = {entry.name for entries in catalogue().arguments.values() for entry in entries}
    assert words.ARGUMENTS.keys() <= arguments | {"function", "values"}
    assert words.RESPONSE.keys() <= by_name(catalogue().response).keys()
    assert all(hasattr(BaseHandler, name) or name in BaseHandler.__annotations__ for name in words.HANDLER)


@pytest.mark.parametrize("name", ["crawl", "fetch", "download", "crawl_sitemap", "send_message", "drop"])
def test_signatures_are_those_of_the_code(name: str) -> None:
    entry = by_name(catalogue().handler)[name]
    shown = list(inspect.signature(eval(f"lambda {entry.detail[1:-1]}: 0")).parameters)
    assert shown == [each for each in inspect.signature(getattr(BaseHandler, name)).parameters if each != "self"]


def test_what_is_inserted_is_python_that_has_nothing_wrong() -> None:
    head = "from crawlkit import *\n\n\nclass Handler(BaseHandler):\n"
    for entry in catalogue().hooks:
        assert lint(head + f"    def {entry.insert.replace('    #', '        pass')}\n") == []
    for entry in catalogue().decorators:
        number = entry.insert.replace("#", "5" if "=" in entry.insert else "")
        assert lint(head + f"    @{number}\n    def page(self, response):\n        pass\n") == []


def test_crawl_comes_first() -> None:
    entries = sorted(catalogue().handler, key=lambda entry: -entry.rank)
    assert entries[0].name == "crawl"
    assert entries[0].detail == "(url, callback=None, **kwargs)"
    assert max(catalogue().arguments["crawl"], key=lambda entry: entry.rank).name == "callback"


def test_one_document_of_modest_size() -> None:
    data = msgspec.json.encode(catalogue())
    assert len(data) < 70_000
    assert catalogue() is catalogue()


def test_fields_of_a_task_are_those_of_the_code() -> None:
    task = catalogue().task
    assert by_name(task["schedule"]).keys() == set(Schedule.__struct_fields__)
    assert by_name(task["fetch"]).keys() == set(Fetch.__struct_fields__)
    assert by_name(task["process"]).keys() == set(Process.__struct_fields__)
