"""docs/coming-from-scrapy.md: every line of code in its tables runs or parses, and a row without one says why."""

from __future__ import annotations

import ast
import importlib.util
import pydoc
import re
import shlex
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import pytest

from crawlkit.cli import cli, run
from crawlkit.processor.project_loader import load_project
from crawlkit.testing import Ran
from crawlkit.testing import run as run_callback

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "coming-from-scrapy.md").read_text()
SCRAPY, HANDLER = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
ROWS = re.findall(r"^\| (?!Scrapy \|)(.+?) \| (.+) \|$", PAGE, re.MULTILINE)
NEXT = "http://example.com/next"
NOT_CODE = {"async def", "one", "save", "age"}  # words of the language, of a command, of an argument


def codes(cell: str) -> list[str]:
    return [code for code in re.findall(r"`([^`]+)`", cell) if code not in NOT_CODE]


def is_command(code: str) -> bool:
    return re.match(r"(\w+=\S+ )?(crawlkit|python -m) ", code) is not None


def is_name(code: str) -> bool:
    return re.fullmatch(r"crawlkit(\.\w+)+", code) is not None


COMMANDS = [code for _, cell in ROWS for code in codes(cell) if is_command(code)]
NAMES = [code for _, cell in ROWS for code in codes(cell) if is_name(code)]
SNIPPETS = [(row, code) for row, cell in ROWS for code in codes(cell) if not is_command(code) and not is_name(code)]

# ---- where a snippet stands in a script

HEAD = """
import csv, json
from crawlkit import BaseHandler, catch_status_code_error
from crawlkit.testing import run

class Handler(BaseHandler):
"""
CALLBACK = """
    def page(self, response):
        url = "http://example.com/next"
        CODE
"""
AWAITS = CALLBACK.replace("def", "async def") + "        return answer.text\n"
VALUE = CALLBACK.replace("CODE", "return CODE")
LOCAL = CALLBACK + "        return NAME\n"
IN_CLASS = """
    CODE

    def page(self, response):
        return {"sku": 1, "price": 0, "status": response.status_code}

    def asks(self, response):
        self.crawl(["/a?x", "/a?y"], callback=self.page)
"""
DECORATED = IN_CLASS.replace("CODE\n\n", "CODE\n")
OUTSIDE = """
    def page(self, response):
        return {"title": response.css("h1::text").get()}

CODE
"""


@dataclass
class Case:
    """A script with the snippet in it, what is run of it on which page, and whether that came to what it should."""

    where: str
    expect: Callable[[Ran], Any]
    page: str = "<h1>Lamp</h1>"
    callback: str = "page"
    given: dict[str, Any] = field(default_factory=dict)


def crawls(url: str = NEXT, page: str = "", **fetch: Any) -> Case:
    """The snippet asks for ``url``, with these of its arguments in ``fetch``."""

    def expect(ran: Ran) -> bool:
        (follow,) = ran.follows
        return follow["url"] == url and {name: follow.get("fetch", {}).get(name) for name in fetch} == fetch

    return Case(CALLBACK, expect, page)


def schedules(**schedule: Any) -> Case:
    return Case(CALLBACK, lambda ran: [follow["schedule"] for follow in ran.follows] == [schedule])


def gives(result: Any, where: str = VALUE, page: str = "<h1>Lamp</h1>", **given: Any) -> Case:
    return Case(where, lambda ran: ran.results == [result], page, given=given)


def local(name: str, result: Any, page: str = "", **given: Any) -> Case:
    return gives(result, LOCAL.replace("NAME", name), page, **given)


@dataclass
class Says:
    """What the scheduler learns from a class with the snippet in it."""

    attribute: str
    value: Any


def config(**values: Any) -> Says:
    return Says("crawl_config", values)


ITEMS = "<a class=item href=/1></a><a class=item href=/2></a><a href=/3></a>"
TWO = Case(CALLBACK, lambda ran: ran.urls == ["http://example.com/1", "http://example.com/2"], ITEMS)

CHECKS: dict[str, list[Case | Says]] = {
    "`start_urls`, `start()`": [
        Case(IN_CLASS, lambda ran: ran.urls == ["https://shop.example/"], callback="on_start"),
    ],
    "`custom_settings`, `DEFAULT_REQUEST_HEADERS`": [config(headers={"Accept-Language": "en"}, timeout=30)],
    "`allowed_domains`": [
        local(
            "links",
            ["https://shop.example/1"],
            "<a href=https://shop.example/1></a><a href=https://other.example/></a>",
        )
    ],
    "Arguments by `-a`": [local("category", "lamps", settings={"category": "lamps"})],
    "`CrawlSpider`, `Rule`": [TWO],
    "`SitemapSpider`": [
        Case(CALLBACK, lambda ran: [follow["fetch"]["save"]["follow"] for follow in ran.follows] == ["/item/"])
    ],
    "`XMLFeedSpider`": [
        gives(
            {"title": "Lamp"},
            CALLBACK,
            "<?xml version='1.0'?><rss><channel><item><title>Lamp</title></item></channel></rss>",
            headers={"Content-Type": "application/xml"},
        )
    ],
    "`CSVFeedSpider`": [gives({"a": "1", "b": "2"}, CALLBACK, "a,b\n1,2\n", headers={"Content-Type": "text/csv"})],
    "`self.logger`": [Case(CALLBACK, lambda ran: "seen: http://example.com/" in ran.logs)],
    "`closed()`, `spider_closed`": [Says("has_on_finished", True)],
    "`Request(url, callback)`": [crawls()],
    "`Request(method, body, headers, cookies)`": [
        crawls(method="PUT", data="on", headers={"X-A": "b"}, cookies={"a": "b"})
    ],
    "`meta`, `cb_kwargs`": [crawls(save={"number": 2}), local("number", 2, save={"number": 2})],
    "`response.follow`": [crawls("http://example.com/next.html")],
    "`response.follow_all`, `LinkExtractor`": [TWO],
    "`JsonRequest`": [crawls(method="POST", data='{"q": "lamp"}', headers={"Content-Type": "application/json"})],
    "`FormRequest`": [crawls(method="POST", data="q=lamp")],
    "`FormRequest.from_response`": [
        crawls(
            "http://example.com/in",
            "<form id=login method=post action=/in><input type=hidden name=t value=7><input name=user></form>",
            data="t=7&user=me",
        )
    ],
    "`Request.from_curl`": [crawls("https://shop.example/find", headers={"X-Key": "1"})],
    "`priority`": [schedules(priority=2)],
    "`dont_filter`": [schedules(age=0), schedules(force_update=True)],
    "`DUPEFILTER_CLASS`, `REQUEST_FINGERPRINTER_CLASS`": [
        Case(IN_CLASS, lambda ran: ran.urls == ["http://example.com/a?x"], callback="asks")
    ],
    "`cookiejar`, `COOKIES_ENABLED`": [crawls(session="ann")],
    '`meta["proxy"]`': [crawls(proxy="proxy.example:3128"), crawls(proxy=["a.example:3128", "b.example:3128"])],
    '`meta["download_timeout"]`': [crawls(timeout=5)],
    '`meta["download_maxsize"]`': [crawls(max_size=1_000_000)],
    '`meta["max_retry_times"]`, `meta["dont_retry"]`': [schedules(retries=5), schedules(retries=0)],
    '`meta["dont_redirect"]`': [crawls(allow_redirects=False)],
    "`await self.crawler.engine.download(...)`": [gives("there", AWAITS, answers={NEXT: "there"})],
    "`scrapy-playwright`, `scrapy-splash`": [crawls(fetch_type="js")],
    "`response.css`, `response.xpath`": [gives("Lamp"), gives("Lamp")],
    "`response.json()`": [gives(3, page='{"left": 3}')],
    "`response.body`, `response.text`": [gives("1", VALUE.replace("CODE", "CODE.decode()"), "1"), gives("1", page="1")],
    "`response.status`": [gives(201, status_code=201)],
    '`response.request.url`, `meta["redirect_urls"]`': [
        gives("http://example.com/"),
        Case(VALUE.replace("CODE", "str(CODE)"), lambda ran: ran.results in (["[]"], ["()"])),
    ],
    '`meta["download_latency"]`': [gives([0.0], VALUE.replace("CODE", "[CODE]"))],
    "`errback`, `handle_httpstatus_list`, `HTTPERROR_ALLOW_ALL`": [
        gives({"sku": 1, "price": 0, "status": 404}, DECORATED, status_code=404)
    ],
    "`get_retry_request`": [Case(CALLBACK, lambda ran: ran.retried == "captcha")],
    "`IgnoreRequest`, `CloseSpider`": [Case(CALLBACK, lambda ran: ran.dropped == "sold out")],
    "`Item`, `Field`": [gives({"title": "Lamp"}, CALLBACK)],
    "`ITEM_PIPELINES`, `process_item`": [gives({"sku": 1, "price": 0, "status": 200, "checked": True}, IN_CLASS)],
    "A pipeline against duplicates": [gives({"sku": 1, "price": 0, "status": 200}, IN_CLASS)],
    "`DropItem`": [Case(IN_CLASS, lambda ran: ran.results == [])],
    "`FilesPipeline`, `ImagesPipeline`": [crawls(download={"to": "pdf/{name}"})],
    "`DOWNLOADER_MIDDLEWARES`: `process_request`": [Says("has_before_request", True)],
    "`process_response`, `process_exception`": [
        Case(IN_CLASS, lambda ran: ran.retried == "refused", given={"status_code": 403})
    ],
    "`USER_AGENT`": [config(user_agent="example-bot")],
    "`ROBOTSTXT_OBEY`": [config(robots_txt=True)],
    "`CONCURRENT_REQUESTS_PER_DOMAIN`": [config(host_limits={"concurrency": 8})],
    "`DOWNLOAD_DELAY`": [config(host_limits={"rate": 0.5})],
    "`AUTOTHROTTLE_ENABLED`, `AUTOTHROTTLE_TARGET_CONCURRENCY`": [
        config(host_limits={"autothrottle": True}),
        config(host_limits={"autothrottle": 2}),
    ],
    "`RETRY_TIMES`, `RETRY_ENABLED`": [config(retries=5), Says("retry_delay", {"0": 30.0, "1": 600.0, "": 3600.0})],
    "`REDIRECT_ENABLED`, `REDIRECT_MAX_TIMES`": [config(allow_redirects=False), config(max_redirects=20)],
    "`COMPRESSION_ENABLED`": [config(use_gzip=False)],
    "`DOWNLOADER_CLIENT_TLS_METHOD`, certificates": [config(validate_cert=False)],
    "`DEPTH_LIMIT`": [crawls(save={"depth": 1})],
    "`HTTPCACHE_ENABLED`": [schedules(age=86400)],
    "`scrapy check`, contracts": [
        gives({"title": "Lamp"}, OUTSIDE + 'assert ran.results == [{"title": "Lamp"}]\n'),
    ],
}


def test_the_tables_say_something_of_the_fifty_commonest() -> None:
    assert len({row for row, _ in ROWS}) == len(ROWS) >= 50
    assert PAGE.count("\n|") - 2 * PAGE.count("\n|---") == len(ROWS)


@pytest.mark.parametrize(("row", "cell"), ROWS, ids=[row for row, _ in ROWS])
def test_a_row_has_code_or_says_that_there_is_none(row: str, cell: str) -> None:
    assert codes(cell) or "no counterpart" in cell


def test_every_snippet_has_its_check() -> None:
    counts: dict[str, int] = {}
    for row, _ in SNIPPETS:
        counts[row] = counts.get(row, 0) + 1
    assert counts == {row: len(cases) for row, cases in CHECKS.items()}


def checks() -> list[Any]:
    cases = {row: iter(each) for row, each in CHECKS.items()}
    pairs = [(code, next(cases.get(row, iter(())), None)) for row, code in SNIPPETS]
    return [pytest.param(code, case, id=code) for code, case in pairs if case is not None]


@pytest.mark.parametrize(("code", "case"), checks())
def test_a_snippet_does_what_it_is_there_for(code: str, case: Case | Says, tmp_path: Path) -> None:
    where = IN_CLASS if isinstance(case, Says) else case.where
    script = textwrap.dedent(HEAD) + where.replace("CODE", code, 1)
    if isinstance(case, Says):
        assert getattr(load_project("page", script).handler.project_info(), case.attribute) == case.value
        return
    file = tmp_path / "page.py"
    file.write_text(script)
    ran = run_callback(file, case.callback, case.page, **case.given)
    assert case.expect(ran), ran


def test_before_request_changes_the_request() -> None:
    (code,) = (code for _, code in SNIPPETS if code.startswith("def before_request"))
    task: Any = {"url": NEXT, "fetch": {}}
    load_project("page", HEAD + IN_CLASS.replace("CODE", code)).handler.before_request(task)
    assert task["fetch"] == {"headers": {"X-Key": "1"}}


def test_result_key_is_asked_of_every_result(tmp_path: Path) -> None:
    (code,) = (code for _, code in SNIPPETS if code.startswith("result_key"))
    file = tmp_path / "page.py"
    file.write_text(HEAD + IN_CLASS.replace("CODE", code).replace('"sku": 1, ', ""))
    with pytest.raises(TypeError, match="sku"):
        run_callback(file, "page")


@pytest.mark.parametrize("name", NAMES)
def test_names_exist(name: str) -> None:
    assert pydoc.locate(name) is not None


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_parse(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line)
    if words[:2] == ["python", "-m"]:
        assert importlib.util.find_spec(words[2]) is not None
        return
    for name in ("spider.py", "logging.conf"):
        Path(name).touch()
    variable, value = words.pop(0).split("=") if "=" in words[0] else ("", "")
    path, found = command_of(words[1:])
    called: list[dict[str, Any]] = []
    monkeypatch.setattr(found, "callback", lambda *_, **options: called.append(options))
    assert run(words[1:]) == 0
    assert len(called) == 1, path
    if variable:
        owner, _, option = variable.removeprefix("CRAWLKIT_").lower().partition("_")
        component = cli.get_command(click.Context(cli), owner)
        assert component is not None
        monkeypatch.setenv(variable, value)
        monkeypatch.setattr(component, "callback", lambda *_, **options: called.append(options))
        assert run([owner]) == 0
        assert str(called[-1][option]) == value


def command_of(words: list[str]) -> tuple[list[str], click.Command]:
    """The command that a line without its values names: the first words that name one."""
    path: list[str] = []
    group: click.Command = cli
    for word in words:
        found = group.get_command(click.Context(group), word) if isinstance(group, click.Group) else None
        if found is not None:
            path.append(word)
            group = found
    assert not isinstance(group, click.Group), words
    return path, group


def test_the_spider_and_the_handler_do_the_same(tmp_path: Path) -> None:
    (spider,) = (node for node in ast.parse(SCRAPY).body if isinstance(node, ast.ClassDef))
    methods = [node.name for node in spider.body if isinstance(node, ast.FunctionDef)]
    assert methods == ["parse", "parse_author"]
    file = tmp_path / "quotes.py"
    file.write_text(HANDLER)
    assert run_callback(file, "on_start").urls == ["https://quotes.toscrape.com/"]
    page = """<div class=quote><span class=text>So it is.</span><small class=author>Ann</small>
    <a class=about href=/author/ann>about</a></div><ul><li class=next><a href=/page/2/>next</a></ul>"""
    ran = run_callback(file, "parse", page, url="https://quotes.toscrape.com/")
    assert ran.results == [{"text": "So it is.", "author": "Ann"}]
    said = [(task["url"], task["process"]["callback"], task["fetch"].get("save")) for task in ran.follows]
    assert said == [
        ("https://quotes.toscrape.com/page/2/", "parse", None),
        ("https://quotes.toscrape.com/author/ann", "parse_author", {"found_on": "https://quotes.toscrape.com/"}),
    ]
    author = run_callback(file, "parse_author", "<h3>Ann</h3>", save={"found_on": "x"})
    assert author.results == [{"name": "Ann", "found_on": "x"}]
