from __future__ import annotations

import copy
import json
import re
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import crawlkit
from crawlkit import BaseHandler, Response, catch_status_code_error, config, every, not_send_status
from crawlkit.libs.collector import Collector
from crawlkit.libs.crawl_args import joined
from crawlkit.libs.crawler import Crawler
from crawlkit.libs.errors import InvalidTask
from crawlkit.libs.jsonable import NotJSON
from crawlkit.libs.messages import CronSpec
from crawlkit.libs.task import Fetch, Process, Schedule, Task, check_task, taskid_of

PAGE = "http://a.com/dir/page.html"
decode_task = msgspec.msgpack.Decoder(Task).decode


class Shop(BaseHandler):
    crawl_config = {"headers": {"A": "crawl_config", "B": "crawl_config"}, "priority": 1, "timeout": 30, "itag": "v1"}

    def on_start(self) -> None: ...

    def plain(self, response: Response) -> None: ...

    @config(priority=2, age=10, headers={"X": "config", "Y": "config"}, process_time_limit=5)
    def configured(self, response: Response) -> None: ...

    @config({"age": 0})
    @config(priority=7)
    def stacked(self) -> None: ...

    @catch_status_code_error
    def catching(self) -> None: ...

    @not_send_status
    def silent(self) -> None: ...


class Bare(BaseHandler):
    def page(self) -> None: ...


def begun(handler: BaseHandler, url: str = PAGE, content: bytes = b"") -> Collector:
    collector = Collector()
    handler.project_name = "shop"
    Crawler(handler).begin(collector, Response(url, content=content), {}, {})
    return collector


def crawled(handler: BaseHandler, *args: Any, **kwargs: Any) -> Task:
    """The one task that a call of crawl leads to."""
    collector = begun(handler)
    shown = handler.crawl(*args, **kwargs)
    (follow,) = collector.follows
    task = decode_task(follow.task)
    check_task(task)
    assert (task.taskid, task.url, task.project) == (shown["taskid"], shown["url"], "shop")
    assert follow.taskid == task.taskid
    return task


def task(url: str = "http://a.com/", taskid: str | None = None, **parts: Any) -> Task:
    return Task("shop", taskid or taskid_of(url), url, **parts)


CALLS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"callback": "page"}, {"process": Process(callback="page")}),
    ({}, {}),
    ({"priority": 3}, {"schedule": Schedule(priority=3)}),
    ({"exetime": 5}, {"schedule": Schedule(exetime=5)}),
    ({"retries": 0}, {"schedule": Schedule(retries=0)}),
    ({"age": 0}, {"schedule": Schedule(age=0)}),
    ({"age": 10 * 24 * 60 * 60}, {"schedule": Schedule(age=864000)}),
    ({"itag": "x"}, {"schedule": Schedule(itag="x")}),
    ({"itag": 7}, {"schedule": Schedule(itag=7)}),
    ({"auto_recrawl": True, "age": 60}, {"schedule": Schedule(auto_recrawl=True, age=60)}),
    ({"force_update": True}, {"schedule": Schedule(force_update=True)}),
    ({"cancel": True}, {"schedule": Schedule(cancel=True)}),
    ({"headers": {"N": 1}}, {"fetch": Fetch(headers={"N": "1"})}),
    ({"headers": {"N": None}}, {"fetch": Fetch(headers={})}),
    ({"user_agent": "UA"}, {"fetch": Fetch(user_agent="UA")}),
    ({"headers": {"user-agent": "UA"}}, {"fetch": Fetch(user_agent="UA", headers={"user-agent": "UA"})}),
    ({"cookies": {"c": "1"}}, {"fetch": Fetch(cookies={"c": "1"})}),
    ({"timeout": 3, "connect_timeout": 1.5}, {"fetch": Fetch(timeout=3, connect_timeout=1.5)}),
    ({"use_gzip": False}, {"fetch": Fetch(use_gzip=False)}),
    ({"validate_cert": False}, {"fetch": Fetch(validate_cert=False)}),
    ({"allow_redirects": False, "max_redirects": 9}, {"fetch": Fetch(allow_redirects=False, max_redirects=9)}),
    ({"robots_txt": True}, {"fetch": Fetch(robots_txt=True)}),
    ({"validate_cert": 0, "use_gzip": 1}, {"fetch": Fetch(validate_cert=False, use_gzip=True)}),
    ({"force_update": 1}, {"schedule": Schedule(force_update=True)}),
    ({"proxy": "u:p@h:1"}, {"fetch": Fetch(proxy="u:p@h:1")}),
    ({"proxy": False}, {"fetch": Fetch(proxy=False)}),
    ({"proxy": None}, {}),
    ({"etag": False, "last_modified": "x"}, {"fetch": Fetch(etag=False, last_modified="x")}),
    ({"last_modifed": False}, {"fetch": Fetch(last_modified=False)}),
    ({"max_size": 10}, {"fetch": Fetch(max_size=10)}),
    ({"fetch_type": "js"}, {"fetch": Fetch(fetch_type="js")}),
    ({"fetch_type": "js", "js_script": "f"}, {"fetch": Fetch(fetch_type="js", js_script="f")}),
    ({"js_run_at": "document-start"}, {"fetch": Fetch(js_run_at="document-start")}),
    ({"js_viewport_width": 1, "js_viewport_height": 2}, {"fetch": Fetch(js_viewport_width=1, js_viewport_height=2)}),
    ({"load_images": True}, {"fetch": Fetch(load_images=True)}),
    ({"save": {"a": [1, "é"]}}, {"fetch": Fetch(save={"a": [1, "é"]})}),
    ({"save": 0}, {"fetch": Fetch(save=0)}),
    ({"process_time_limit": 9}, {"process": Process(process_time_limit=9)}),
    ({"method": "get"}, {"fetch": Fetch(method="GET")}),
    ({"taskid": "my-id"}, {"taskid": "my-id"}),
    ({"params": {"a": 1, "b": ["x", "y"]}}, {"url": "http://a.com/?a=1&b=x&b=y"}),
    ({"data": b""}, {}),
    (
        {"method": "HEAD"},
        {"fetch": Fetch(method="HEAD"), "taskid": taskid_of("http://a.com/", "HEAD")},
    ),
    (
        {"data": b"\xff\0"},
        {"fetch": Fetch(method="POST", data=b"\xff\0"), "taskid": taskid_of("http://a.com/", "POST", b"\xff\0")},
    ),
    (
        {"data": "é"},
        {"fetch": Fetch(method="POST", data=b"\xc3\xa9"), "taskid": taskid_of("http://a.com/", "POST", b"\xc3\xa9")},
    ),
    (
        {"data": "x", "method": "PUT"},
        {"fetch": Fetch(method="PUT", data=b"x"), "taskid": taskid_of("http://a.com/", "PUT", b"x")},
    ),
    (
        {"data": {"a": [1, 2], "b": "c d"}},
        {
            "fetch": Fetch(
                method="POST", data=b"a=1&a=2&b=c+d", headers={"Content-Type": "application/x-www-form-urlencoded"}
            ),
            "taskid": taskid_of("http://a.com/", "POST", b"a=1&a=2&b=c+d"),
        },
    ),
    (
        {"data": [("a", "1")], "headers": {"content-type": "x"}},
        {
            "fetch": Fetch(method="POST", data=b"a=1", headers={"content-type": "x"}),
            "taskid": taskid_of("http://a.com/", "POST", b"a=1"),
        },
    ),
]


@pytest.mark.parametrize(("arguments", "expected"), CALLS)
def test_each_argument_of_crawl_goes_where_it_belongs(arguments: dict[str, Any], expected: dict[str, Any]) -> None:
    before = copy.deepcopy(arguments)
    assert crawled(Bare(), "http://a.com/", **arguments) == task(**expected)
    assert arguments == before


def test_crawl_config_joins_schedule_only_the_rest_is_joined_at_dispatch() -> None:  # H60, H61
    assert crawled(Shop(), "http://a.com/", callback="plain") == task(
        schedule=Schedule(priority=1, itag="v1"), process=Process(callback="plain")
    )


def test_explicit_wins_over_config_and_that_over_crawl_config_also_inside_dicts() -> None:  # H33
    handler = Shop()
    mine = {"X": "mine", "Z": "mine"}
    found = crawled(handler, "http://a.com/", callback=handler.configured, headers=mine, age=99)
    assert found.schedule == Schedule(priority=2, age=99, itag="v1")
    assert found.fetch == Fetch(headers={"X": "mine", "Y": "config", "Z": "mine"})
    assert found.process == Process(callback="configured", process_time_limit=5)


_values = st.one_of(st.integers(0, 3), st.dictionaries(st.sampled_from("abc"), st.integers(0, 3)))
_arguments = st.dictionaries(st.sampled_from(["headers", "cookies", "save"]), _values)


@given(_arguments, _arguments)
def test_the_stronger_wins_key_by_key(weak: dict[str, Any], strong: dict[str, Any]) -> None:
    before = copy.deepcopy((weak, strong))
    both = joined(weak, strong)
    assert (weak, strong) == before
    assert set(both) == set(weak) | set(strong)
    for name, value in both.items():
        if name not in strong:
            assert value == weak[name]
        elif isinstance(value, dict) and isinstance(weak.get(name), dict):
            assert value.items() >= strong[name].items()
            assert set(value) == set(weak[name]) | set(strong[name])
            assert value is not weak[name]
            assert value is not strong[name]
        else:
            assert value == strong[name]


def test_no_dict_of_the_users_is_changed() -> None:  # H34
    handler = Shop()
    before = copy.deepcopy((Shop.crawl_config, Shop.configured._config))  # type: ignore[attr-defined]
    mine = {"X": "mine"}
    crawled(handler, "http://a.com/", callback=handler.configured, headers=mine, user_agent="UA", save={"a": 1})
    crawled(handler, "http://a.com/", callback=handler.configured)
    assert (Shop.crawl_config, Shop.configured._config) == before  # type: ignore[attr-defined]
    assert mine == {"X": "mine"}


def test_what_crawl_returns_is_the_callers_own() -> None:
    handler = Shop()
    begun(handler)
    first = handler.crawl("http://a.com/1", callback=handler.configured)
    first["fetch"]["headers"] = "changed"
    first["schedule"]["priority"] = 99
    second = handler.crawl("http://a.com/2", callback=handler.configured)
    assert second == {
        "project": "shop",
        "taskid": taskid_of("http://a.com/2"),
        "url": "http://a.com/2",
        "schedule": {"priority": 2, "age": 10.0, "itag": "v1"},
        "fetch": {"headers": {"X": "config", "Y": "config"}},
        "process": {"callback": "configured", "process_time_limit": 5.0},
    }


def test_stacked_config() -> None:
    assert crawled(Shop(), "http://a.com/", callback="stacked").schedule == Schedule(priority=7, age=0, itag="v1")


def test_crawl_config_changed_in_a_run_holds_from_the_next_run_on() -> None:
    class Changing(BaseHandler):
        crawl_config = {"priority": 1}

        def page(self) -> None: ...

    handler = Changing()
    assert crawled(handler, "http://a.com/", callback=handler.page).schedule == Schedule(priority=1)
    handler.crawl_config["priority"] = 5
    assert crawled(handler, "http://a.com/", callback=handler.page).schedule == Schedule(priority=5)


@pytest.mark.parametrize("callback", ["page", Bare.page, Bare().page, Bare.page.__get__(None, Bare)])
def test_callbacks_by_name_method_or_function(callback: Any) -> None:  # H41
    assert crawled(Bare(), "http://a.com/", callback=callback).process == Process(callback="page")


@pytest.mark.parametrize("callback", ["nothing", len, lambda response: None, 5, "", "project_name"])
def test_unknown_callbacks_are_refused(callback: Any) -> None:
    handler = Bare()
    begun(handler)
    with pytest.raises(NotImplementedError, match="not implemented"):
        handler.crawl("http://a.com/", callback=callback)


def test_unknown_arguments_are_named() -> None:
    handler = Bare()
    begun(handler)
    with pytest.raises(TypeError, match="unexpected arguments: colour, size"):
        handler.crawl("http://a.com/", size=1, colour=2)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"unexpected arguments: colour, waitfor \(did you mean 'wait_for'\?\)$"):
        handler.crawl("http://a.com/", waitfor="#a", colour=2)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="colour"):
        config(colour=1)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ({"priority": "high"}, "schedule.priority"),
        ({"age": "1 day"}, "schedule.age"),
        ({"itag": [1]}, "schedule.itag"),
        ({"priority": 1.5}, "schedule.priority"),
        ({"priority": True}, "schedule.priority"),
        ({"retries": "1e3"}, "schedule.retries"),
        ({"retries": "2.5"}, "schedule.retries"),
        ({"exetime": "soon"}, "schedule.exetime"),
        ({"timeout": "3 s"}, "fetch.timeout"),
        ({"load_images": "maybe"}, "fetch.load_images"),
        ({"use_gzip": 2}, "fetch.use_gzip"),
        ({"headers": 5}, "fetch.headers"),
        ({"data": 5}, "fetch.data"),
        ({"fetch_type": "chrome"}, "fetch.fetch_type"),
        ({"save": {"a": [object()]}}, "fetch.save.a[0]"),
        ({"process_time_limit": "x"}, "process.process_time_limit"),
        ({"taskid": ""}, "taskid"),
        ({"taskid": "a\0b"}, "taskid"),
        ({"taskid": 5}, "taskid"),
        ({"files": "f"}, "files"),
        ({"files": {"f": 5}}, "files.f"),
        ({"files": {"f": ("a",)}}, "files.f"),
        ({"files": {"f": b"x"}, "data": "text"}, "fetch.data"),
        ({"session": ""}, "fetch.session"),
        ({"proxy": ["h:1", 5]}, "fetch.proxy[1]"),
    ],
)
def test_wrong_values_are_named_by_their_path(arguments: dict[str, Any], path: str) -> None:
    handler = Bare()
    begun(handler)
    with pytest.raises(InvalidTask) as caught:
        handler.crawl("http://a.com/", **arguments)
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        ({"retries": 1.0, "priority": "3"}, {"retries": 1, "priority": 3}),
        ({"retries": "2.0", "priority": " -4 "}, {"retries": 2, "priority": -4}),
        ({"age": "60", "exetime": "1.5e9", "timeout": "2.5"}, {"age": 60.0, "exetime": 1.5e9, "timeout": 2.5}),
        ({"connect_timeout": "7", "process_time_limit": "9"}, {"connect_timeout": 7.0, "process_time_limit": 9.0}),
        ({"load_images": "false", "validate_cert": "True"}, {"load_images": False, "validate_cert": True}),
        ({"use_gzip": "no", "robots_txt": "1", "force_update": 1}, {"use_gzip": False, "robots_txt": True}),
        ({"js_viewport_width": "800", "max_redirects": 4.0}, {"js_viewport_width": 800, "max_redirects": 4}),
    ],
)
def test_arguments_are_taken_as_what_they_can_only_mean(arguments: dict[str, Any], meant: dict[str, Any]) -> None:
    task = crawled(Bare(), "http://a.com/", **arguments)
    parts = [part for part in (task.schedule, task.fetch, task.process) if part is not None]
    found = {name: getattr(part, name) for name in meant for part in parts if hasattr(part, name)}
    assert found == meant
    assert [type(value) for value in found.values()] == [type(value) for value in meant.values()]


def test_unknown_fetch_types_list_the_known_ones() -> None:  # H50
    handler = Bare()
    begun(handler)
    with pytest.raises(InvalidTask, match="browser, http, js, phantomjs, puppeteer, splash"):
        handler.crawl("http://a.com/", fetch_type="chrome")


def test_several_urls() -> None:  # H40
    handler = Bare()
    collector = begun(handler)
    shown = handler.crawl((u for u in ["http://a.com/1", "/2"]), callback=handler.page, priority=1)
    assert [each["url"] for each in shown] == ["http://a.com/1", "http://a.com/2"]
    assert len(collector.follows) == 2


@pytest.mark.parametrize("url", [5, b"http://a.com/", ["http://a.com/", 5]])
def test_urls_are_text(url: Any) -> None:
    handler = Bare()
    begun(handler)
    with pytest.raises(TypeError, match="text"):
        handler.crawl(url)


def test_a_long_url_is_fine_up_to_64_kib() -> None:
    assert len(crawled(Bare(), "http://a.com/" + "x" * 60_000).url) == 60_013
    handler = Bare()
    begun(handler)
    with pytest.raises(InvalidTask, match="url"):
        handler.crawl("http://a.com/" + "x" * 65_536)


def test_relative_urls_are_resolved_against_the_page() -> None:
    assert crawled(Bare(), "next.html").url == "http://a.com/dir/next.html"
    assert crawled(Bare(), "?p=é").url == "http://a.com/dir/page.html?p=%C3%A9"
    handler = Bare()
    begun(handler, content=b'<base href="http://b.com/x/">')
    assert handler.crawl("next.html")["url"] == "http://b.com/x/next.html"


def test_without_a_page_a_relative_url_stays() -> None:
    handler = Bare()
    begun(handler, url="data:,on_start")
    assert handler.crawl("page.html?next")["url"] == "page.html?next"
    assert handler.crawl("/a.com/x")["url"] == "/a.com/x"
    assert handler.crawl("", callback=handler.page)["url"] == "/"  # its fetch fails, in words


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("www.a.com", "http://www.a.com/"),
        ("a.com/x?y=1", "http://a.com/x?y=1"),
        ("127.0.0.1:8080", "http://127.0.0.1:8080/"),
        ("127.0.0.1/x", "http://127.0.0.1/x"),
        ("www.a.com/ü", "http://www.a.com/%C3%BC"),
    ],
)
def test_without_a_page_a_hosts_name_is_taken_for_one(given: str, meant: str) -> None:
    handler = Bare()
    begun(handler, url="data:,on_start")
    assert handler.crawl(given)["url"] == meant


def test_dates_in_save_arrive_as_text() -> None:
    when = datetime(2024, 3, 7, 12, 30)
    save = {"at": when, "days": [when.date(), (when.time(),)], "price": Decimal("1.50")}
    task = crawled(Bare(), "http://a.com/", save=save)
    assert task.fetch == Fetch(
        save={"at": "2024-03-07 12:30:00", "days": ["2024-03-07", ["12:30:00"]], "price": "1.50"}
    )
    assert save["at"] is when
    assert crawled(Bare(), "http://a.com/", save=when.date()).fetch == Fetch(save="2024-03-07")


def test_a_fetch_type_of_none_in_words_says_nothing() -> None:
    assert crawled(Bare(), "http://a.com/", fetch_type="None").fetch in (None, Fetch())


def test_the_same_task_twice_in_a_run_is_taken_once() -> None:  # H56, T41
    handler = Bare()
    collector = begun(handler)
    for url in ("http://a.com/1", "http://a.com/2", " http://a.com/1", "http://a.com/2", "/1"):
        handler.crawl(url)
    assert [follow.taskid for follow in collector.follows] == [taskid_of("http://a.com/1"), taskid_of("http://a.com/2")]


@pytest.mark.parametrize(
    ("arguments", "plain"),
    [
        ({}, True),
        ({"priority": 5}, True),
        ({"age": -1}, True),
        ({"age": 0}, False),
        ({"age": 10}, False),
        ({"itag": "x"}, False),
        ({"itag": 0}, False),
        ({"force_update": True}, False),
        ({"cancel": True}, False),
        ({"auto_recrawl": True}, True),
    ],
)
def test_plain_follows_cannot_make_a_known_task_run_again(arguments: dict[str, Any], plain: bool) -> None:
    handler = Bare()
    collector = begun(handler)
    handler.crawl("http://a.com/", **arguments)
    assert collector.follows[0].plain is plain


def test_get_taskid_is_an_override_point() -> None:  # H16
    class Own(BaseHandler):
        def get_taskid(self, task: dict[str, Any]) -> str:
            return task["url"][-3:] + json.dumps(task["fetch"].get("data", ""))

        def page(self) -> None: ...

    handler = Own()
    collector = begun(handler)
    assert handler.crawl("http://a.com/123", callback=handler.page)["taskid"] == '123""'
    assert handler.crawl("http://a.com/123", callback=handler.page, data={"x": 1})["taskid"] == '123"x=1"'
    assert [follow.taskid for follow in collector.follows] == ['123""', '123"x=1"']
    assert decode_task(collector.follows[1].task).taskid == '123"x=1"'


def test_get_taskid_default_knows_method_and_body() -> None:
    handler = Bare()
    url = "http://a.com/"
    assert handler.get_taskid({"url": url}) == taskid_of(url)
    assert handler.get_taskid({"url": url, "fetch": {"method": "POST", "data": b"x"}}) == taskid_of(url, "POST", b"x")
    assert handler.get_taskid({"url": url, "fetch": {"method": "POST", "data": "x"}}) == taskid_of(url, "POST", b"x")


def test_a_taskid_that_is_too_long_is_folded() -> None:  # url + data, as many scripts join them
    assert crawled(Bare(), "http://a.com/", taskid="x" * 64).taskid == "x" * 64
    assert crawled(Bare(), "http://a.com/", taskid="x" * 65).taskid == taskid_of("x" * 65)


def test_a_next_page_that_is_not_there_is_left_out() -> None:
    handler = Bare()
    collector = begun(handler)
    assert handler.crawl(None, callback=handler.page) is None
    assert len(handler.crawl([None, "http://a.com/"])) == 1  # type: ignore[list-item]
    assert len(collector.follows) == 1


def test_what_lxml_finds_is_text_like_any_other() -> None:
    response = Response("http://a.com/", content=b"<a href='/x'>t</a>")
    href = response.etree.xpath("//a/@href")[0]
    assert type(href) is not str
    handler = Bare()
    collector = begun(handler)
    handler.crawl(href, callback=handler.page)
    handler.crawl(href, itag=href, save={"a": [href]}, headers={"R": href}, cookies={"c": href}, data=href, method=href)
    handler.send_message(href, {"a": href}, url=href)
    first, second = (decode_task(follow.task) for follow in collector.follows)
    assert first.url == "http://a.com/x"
    assert second.fetch == Fetch(method="/X", data=b"/x", headers={"R": "/x"}, cookies={"c": "/x"}, save={"a": ["/x"]})
    assert second.schedule == Schedule(itag="/x")
    handler.on_result({"href": href})
    assert collector.results == ['{"href":"/x"}']


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("curl -H 'A: b'", "no URL in the curl command"),
        ("curl http://a.com/ --frobnicate", "unknown curl option '--frobnicate'"),
        ("curl 'http://a.com/", "never closed"),
        ("curl http://a.com/ -F a=@file", "use files="),
    ],
)
def test_curl_commands_that_cannot_be_read_are_refused_in_words(command: str, words: str) -> None:  # H80
    handler = Bare()
    begun(handler)
    with pytest.raises(InvalidTask, match=words):
        handler.crawl(command)


def test_several_urls_of_a_curl_command_and_several_commands() -> None:  # H80
    handler = Bare()
    collector = begun(handler)
    shown = handler.crawl("curl http://a.com/1 http://a.com/2 -H 'A: b'", callback=handler.page)
    assert [each["fetch"] for each in shown] == [{"headers": {"A": "b"}}] * 2
    more = handler.crawl(["curl http://a.com/3", "http://a.com/4", "curl a.com/5 a.com/6"], callback=handler.page)
    assert [each["url"][-1] for each in more] == ["3", "4", "5", "6"]
    assert len(collector.follows) == 6
    assert handler.crawl("curl")["url"] == "http://a.com/dir/curl"  # no command: a relative URL


def test_uploads_keep_every_byte() -> None:  # H44
    content = bytes(range(256)) * 3
    first = crawled(Bare(), "http://a.com/", files={"f": ("n.bin", content, "image/png")}, data={"a": ["1", "2"]})
    assert first.fetch is not None
    assert first.fetch.headers is not None
    assert first.fetch.data is not None
    kind = first.fetch.headers["Content-Type"]
    boundary = kind.removeprefix("multipart/form-data; boundary=").encode()
    a, b, file, end = first.fetch.data.split(b"--" + boundary)[1:]
    assert a == b'\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
    assert b.endswith(b"\r\n\r\n2\r\n")
    assert file == (
        b'\r\nContent-Disposition: form-data; name="f"; filename="n.bin"\r\nContent-Type: image/png\r\n\r\n'
        + content
        + b"\r\n"
    )
    assert end == b"--\r\n"
    again = crawled(Bare(), "http://a.com/", files={"f": ("n.bin", content, "image/png")}, data={"a": ["1", "2"]})
    assert again.taskid == first.taskid
    assert crawled(Bare(), "http://a.com/", files={"f": content}).taskid != first.taskid


def test_messages() -> None:  # H18
    handler = Bare()
    collector = begun(handler)
    handler.send_message("other", {"a": (1, 2)})
    handler.send_message("other", 1, url="http://a.com/#1")
    message, filed = collector.messages
    assert (message.project, msgspec.msgpack.decode(message.body), message.url) == ("other", {"a": [1, 2]}, "")
    assert filed.url == "http://a.com/#1"
    with pytest.raises(NotJSON, match=r"message\.a"):
        handler.send_message("other", {"a": b"x"})
    with pytest.raises(TypeError, match="project"):
        handler.send_message(None, 1)  # type: ignore[arg-type]


def test_on_message_gets_sender_and_body() -> None:  # H19
    class Receiver(BaseHandler):
        def on_message(self, project: str, msg: Any) -> Any:
            return (project, msg)

    assert Receiver()._on_message(Response(save=["sender", {"a": 1}])) == ("sender", {"a": 1})
    assert Receiver()._on_message(Response(save=["sender", 1, "http://a.com/#1"])) == ("sender", 1)


def test_outside_of_a_callback_crawl_says_so() -> None:
    with pytest.raises(RuntimeError, match="inside a callback"):
        Bare().send_message("other", 1)
    handler = Bare()
    begun(handler)
    assert handler._crawlkit is not None
    handler._crawlkit.end()
    with pytest.raises(RuntimeError, match="inside a callback"):
        handler.crawl("http://a.com/")
    with pytest.raises(RuntimeError, match="inside a callback"):
        Bare().crawl("http://a.com/")


def test_project_info() -> None:  # S06, T52
    class Full(Shop):
        retry_delay = {0: 1, 1: 2.5, "": -1}

        @every(minutes=5)
        def tick(self) -> None: ...

        def on_finished(self, response: Response, task: dict[str, Any]) -> None: ...

    info = Full().project_info()
    assert info.crons == [CronSpec("tick", seconds=300)]
    assert info.retry_delay == {"0": 1, "1": 2.5, "": -1}
    assert info.crawl_config == {
        "headers": {"A": "crawl_config", "B": "crawl_config"},
        "priority": 1,
        "timeout": 30,
        "itag": "v1",
    }
    assert info.has_on_finished
    assert info.has_on_start
    bare = Bare().project_info()
    assert not bare.has_on_finished
    assert not bare.has_on_start


def test_a_number_as_retry_delay_holds_for_all_tries() -> None:  # H11
    class Patient(BaseHandler):
        retry_delay = 7

    assert Patient().project_info().retry_delay == {"": 7}


@pytest.mark.parametrize("delays", ["x", {0: "x"}, {"later": 1}, {0: float("nan")}, True, None, {-1: 1}])
def test_wrong_retry_delays_are_said_in_words(delays: Any) -> None:
    class Wrong(BaseHandler):
        retry_delay = delays

    with pytest.raises(TypeError, match="retry_delay"):
        Wrong().project_info()


@pytest.mark.parametrize("values", [{"timeout": "x"}, {"save": {"a": object()}}, {"headers": 5}, {"fetch_type": "x"}])
def test_a_wrong_crawl_config_is_named(values: dict[str, Any]) -> None:
    class Wrong(BaseHandler):
        crawl_config = values

    with pytest.raises(InvalidTask, match=next(iter(values))):
        Wrong().project_info()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"host_limits": {"rate": 2, "*.a.org": {"rate": 1}}}, {"rate": 2, "*.a.org": {"rate": 1}}),
        ({"autothrottle": True, "crawl_delay": 5}, {"autothrottle": True, "crawl_delay": 5}),
        ({"autothrottle": True, "host_limits": {"autothrottle": 2, "rate": 3}}, {"autothrottle": 2, "rate": 3}),
    ],
)
def test_limits_of_hosts_are_told_in_one_form(values: dict[str, Any], said: dict[str, Any]) -> None:
    class Polite(BaseHandler):
        crawl_config = {**values, "timeout": 3}

    assert Polite().project_info().crawl_config == {"host_limits": said, "timeout": 3}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"host_limits": {"rate": -1}}, "crawl_config.host_limits.rate: a number of requests per second"),
        ({"host_limits": 5}, "crawl_config.host_limits: a dict such as"),
        ({"host_limits": {"a.org": {"rte": 1}}}, "crawl_config.host_limits['a.org']: 'rte' is not known"),
        ({"autothrottle": "fast"}, "crawl_config.host_limits.autothrottle: True, False"),
    ],
)
def test_wrong_limits_of_hosts_are_named(values: dict[str, Any], words: str) -> None:
    class Wrong(BaseHandler):
        crawl_config = values

    with pytest.raises(InvalidTask, match=re.escape(words)):
        Wrong().project_info()


def test_unknown_names_in_crawl_config_are_left_out() -> None:
    class Odd(BaseHandler):
        crawl_config = {"colour": "red", "taskid": "x", "timeout": 3}

    assert Odd().project_info().crawl_config == {"timeout": 3}


def test_fetch_is_refused_in_words() -> None:
    with pytest.raises(RuntimeError, match="only inside a callback"):
        Bare().fetch("http://a.com/")
    handler = Bare()
    begun(handler)
    with pytest.raises(RuntimeError, match=r"only inside an async callback .*use self\.crawl"):
        handler.fetch("http://a.com/")


def test_the_front_door() -> None:
    assert crawlkit.BaseHandler is BaseHandler
    assert set(crawlkit.__all__) <= set(dir(crawlkit))
    with pytest.raises(AttributeError, match="nothing"):
        crawlkit.nothing  # noqa: B018


def test_decorators_leave_marks_only() -> None:
    assert Shop.catching._catch_status_code_error  # type: ignore[attr-defined]
    assert Shop.silent._not_send_status  # type: ignore[attr-defined]


class Proxied(Bare):
    """With a crawl of its own that takes everything but the URL by name."""

    def crawl(self, url: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        return super().crawl(url, **kwargs, proxy="proxy:3128")


def test_a_crawl_of_the_scripts_own_gets_the_callback_by_name() -> None:
    handler = Proxied()
    collector = begun(handler)
    handler.crawl("/1", callback=handler.page)
    handler.download("/2", "{name}", handler.page)
    handler.crawl_sitemap("/sitemap.xml", handler.page)
    tasks = [decode_task(follow.task) for follow in collector.follows]
    assert [task.fetch.proxy for task in tasks if task.fetch is not None] == ["proxy:3128"] * 3
    assert [task.process.callback for task in tasks if task.process is not None] == ["page", "page", "_on_sitemap"]
