"""Marks of the editor: each rule by a script that breaks it and one that does not."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from crawlkit.libs.starter import starter_script
from crawlkit.webui.lint import MAX_MARKS, Mark, lint

ROOT = Path(__file__).parents[2]
HEAD = """\
import re
from crawlkit import BaseHandler, Response, catch_status_code_error, config, every


class Handler(BaseHandler):
"""
LINES = HEAD.count("\n")


def marks(body: str) -> list[Mark]:
    """Of a handler class with this body, which may use ``re`` and ``Response``."""
    indented = "".join(f"    {line}\n" if line else "\n" for line in body.split("\n"))
    return lint(HEAD + indented)


def words(body: str) -> list[str]:
    return [mark.message for mark in marks(body)]


def crawl(arguments: str) -> list[str]:
    """Of one call of self.crawl in a callback."""
    return words(f"def page(self, response):\n    self.crawl({arguments})")


WRONG_CALLS = [
    ('"http://x/", calback=self.page', "crawl() has no argument 'calback'; did you mean 'callback'?"),
    ('"http://x/", callback=self.page, heders={}', "crawl() has no argument 'heders'; did you mean 'headers'?"),
    ('"http://x/", callback=self.page, zzz=1', "crawl() has no argument 'zzz'"),
    ('"http://x/", callback=self.page, timeout="soon"', "timeout takes a number of seconds, not 'soon'"),
    ('"http://x/", callback=self.page, age=[1]', "age takes a number of seconds, not [1]"),
    ('"http://x/", callback=self.page, priority=1.5', "priority takes a whole number, not 1.5"),
    ('"http://x/", callback=self.page, priority=2 ** 40', None),
    ('"http://x/", callback=self.page, priority=99999 * 99999', "use a whole number of 32 bits"),
    ('"http://x/", callback=self.page, retries="three"', "retries takes a whole number, not 'three'"),
    ('"http://x/", callback=self.page, headers="Accept: text"', "is a dict of text, not str"),
    ('"http://x/", callback=self.page, validate_cert="maybe"', "validate_cert takes True or False, not 'maybe'"),
    ('"http://x/", callback=self.page, fetch_type="chrome"', "'chrome' is unknown; use one of auto, browser, http"),
    ('"http://x/", callback=self.page, data=5', "is text, bytes, a dict or a list of pairs, not int"),
    ('"http://x/", callback=self.page, save={1, 2}', "set"),
    ('"http://x/", callback=self.page, session=""', "a name of 1 to 64 characters"),
    ('"http://x/", callback=self.page, taskid=""', "use text of 1 to 64 characters"),
    ('"http://x/", callback=self.page, proxy=5', "proxy takes str | bool | list[str] | None, not 5"),
    ('"http://x/", callback=self.detail', "Handler has no method 'detail'"),
    ('"http://x/", callback=self.pagee', "Handler has no method 'pagee'; did you mean 'page'?"),
    ('"http://x/", callback="pgae"', "Handler has no method 'pgae'; did you mean 'page'?"),
    ('"http://x/", callback=self.page(response)', "this calls page here and now; leave out the (): callback=self.page"),
    ('"http://x/", callback=lambda response: 1', "a callback is a method of the handler, which a lambda is not"),
    ('"http://x/", callback=7', "callback takes a method or its name, not 7"),
    ('"http://x/"', "crawl() without callback: nothing would be called with the page"),
    ("callback=self.page", "crawl() needs url"),
    ('"http://x/", self.page, callback=self.page', "callback is given twice"),
    ('"http://x/", self.page, 3', "crawl() takes 2 arguments without a name; name the others"),
    ("5, callback=self.page", "the URL is text or several of it, not 5"),
    ('["http://x/", 5], callback=self.page', "the URL is text or several of it, not 5"),
    ("\"curl 'http://x/' --no-such-option\", callback=self.page", "--no-such-option"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG_CALLS, ids=[each[0] for each in WRONG_CALLS])
def test_wrong_arguments_of_crawl(arguments: str, message: str | None) -> None:
    found = crawl(arguments)
    if message is None:
        assert found == []
    else:
        assert len(found) == 1, found
        assert message in found[0]


@pytest.mark.parametrize(
    "arguments",
    [
        '"http://x/", callback=self.page, age=10 * 24 * 60 * 60, priority=2, retries="3", headers={"A": "b"}',
        '"http://x/", self.page, timeout=3, validate_cert="false", data={"a": 1}, method="post", save=None',
        '"http://x/", callback="page", cookies={"a": "b"}, etag=False, proxy=["a:1", "b:2"], last_modifed=True',
        '[u for u in response.links()], callback=self.page, params={"q": 1}, itag="v1", cancel=True',
        'response.form("#x").fill(a=1), callback=self.page, fetch_type="js", js_script="1", save={"a": [1]}',
        'None, callback=self.page, timeout=unknowable(), age=self.days, exetime=3.5, taskid="x"',
        "*args, **kwargs",
        "\"curl 'http://x/' -H 'A: b' --data 'a=b'\", callback=self.page",
        '"http://x/", callback=self.page, files={"f": "text"}',
    ],
)
def test_right_arguments_of_crawl(arguments: str) -> None:
    body = (
        "days = 3\ndef page(self, response, args=(), kwargs={}):\n    unknowable = int\n    self.crawl("
        + arguments
        + ")"
    )
    assert words(body) == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ('self.fetch("http://x/", callback=self.page)', "fetch() has no argument 'callback'"),
        ('self.fetch("http://x/", age=3)', "fetch() has no argument 'age'"),
        ('self.download("http://x/f", to="../f", callback=self.page)', "'..'"),
        ('self.download("http://x/f", sha="0", callback=self.page)', "download() has no argument 'sha'"),
        ('self.download("http://x/f", sha256="0", callback=self.page)', "is 64 hexadecimal digits"),
        ('self.crawl_sitemap("http://x/s", folow="a", callback=self.page)', "did you mean 'follow'?"),
        ("self.send_message('other')", "send_message() needs msg"),
        ('self.crwal("http://x/")', "the handler has no method 'crwal'; did you mean 'crawl'?"),
        ('response.csss("a")', "response has no 'csss'; did you mean 'css'?"),
        ("undefined_thing", "nothing defines 'undefined_thing'"),
        ("Respnse", "nothing defines 'Respnse'; did you mean 'Response'?"),
    ],
)
def test_other_calls(call: str, message: str) -> None:
    found = words(f"def page(self, response):\n    {call}")
    assert len(found) == 1, found
    assert message in found[0]


@pytest.mark.parametrize(
    ("decorator", "message"),
    [
        ("@every(minute=5)", "@every() has no argument 'minute'; did you mean 'minutes'?"),
        ("@every(minutes='5')", "minutes is a number, not '5'"),
        ("@every(minutes=0)", "@every: give minutes=, seconds=, hours=, days= or cron="),
        ("@every(cron='61 * * * *')", "cron='61 * * * *'"),
        ("@every(cron='0 8 * * *', tz='Paris')", "tz='Paris' is no time zone"),
        ("@every(cron='0 8 * * *', hours=1)", "give either cron or a time, not both"),
        ("@every(minutes=5, overlap='wait')", "overlap='wait': use one of skip, queue, allow"),
        ("@every(5)", "@every: name the times: @every(minutes=5)"),
        ("@config(agee=3)", "@config() has no argument 'agee'; did you mean 'age'?"),
        ("@config(age='old')", "age takes a number of seconds, not 'old'"),
        ("@config({'priorty': 1})", "did you mean 'priority'?"),
        ("@config", "@config needs arguments: @config(age=24 * 60 * 60)"),
        ("@catch_status_code_error()", "@catch_status_code_error stands without ()"),
    ],
)
def test_wrong_decorators(decorator: str, message: str) -> None:
    found = marks(f"{decorator}\ndef page(self, response):\n    pass")
    assert len(found) == 1, found
    assert message in found[0].message
    assert found[0].line == LINES + 1


@pytest.mark.parametrize(
    "decorator",
    ["@every", "@every(minutes=24 * 60)", "@every(cron='0 8 * * 1-5', tz='Europe/Paris')", "@config(age=3, priority=1)",
     "@config({'retries': 2})", "@catch_status_code_error", "@every(minutes=re.X)"],
)  # fmt: skip
def test_right_decorators(decorator: str) -> None:
    assert words(f"{decorator}\ndef page(self, response):\n    pass") == []


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        ("crawl_config = {'hedaers': {}}", "'hedaers' is no argument of self.crawl"),
        ("crawl_config = {'timeout': 'long'}", "timeout takes a number of seconds, not 'long'"),
        ("crawl_config = {'bounds': {'max_deph': 3}}", "crawl_config.bounds.max_deph: is no bound"),
        ("crawl_config = 5", "crawl_config: a dict, not int"),
        ("crawl_config = {'host_limits': {'rte': 1}}", "crawl_config.host_limits: 'rte' is not known"),
        ("crawl_config = {'crawl_delay': 0}", "host_limits.crawl_delay: True, False"),
        ("retry_delay = {'x': 1}", "retry_delay: 'x'"),
        ("retry_delay = 'soon'", "retry_delay: a dict of seconds"),
        ("result_key = (1, 2)", "result_key: a tuple of different field names"),
        ("result_key_policy: str = 'newest'", "use one of replace, keep_first, stop"),
    ],
)  # fmt: skip
def test_wrong_attributes(attribute: str, message: str) -> None:
    found = words(attribute)
    assert len(found) == 1, found
    assert message in found[0]


def test_right_attributes() -> None:
    for line in (
        "crawl_config = {'headers': {'A': 'b'}, 'proxy': None, 'bounds': {'max_depth': 3}}",
        "crawl_config = {'host_limits': {'rate': 1, '*.a.org': {'burst': 2}}, 'autothrottle': 2}",
        "retry_delay = {0: 1, '': 60}",
        "result_key = 'url'",
    ):
        assert words(line) == []


@pytest.mark.parametrize(
    ("script", "line", "column", "message"),
    [
        ("class A(\n    pass\n", 1, 7, "'(' was never closed"),
        ("def f():\nreturn 1\n", 2, 0, "expected an indented block"),
        ("x = 'ab\n", 1, 4, "unterminated string literal"),
        ("x = 1\n  y = 2\n", 2, 0, "unexpected indent"),
        ("return 3\n", 1, 0, "'return' outside function"),
        ("x = 'é😀' +\n", 1, 11, "invalid syntax"),
        ("x = \0\n", 1, 0, "null"),
    ],
)
def test_syntax_errors_have_their_place(script: str, line: int, column: int, message: str) -> None:
    (mark,) = lint(script)
    assert mark.severity == "error"
    assert mark.code == "syntax"
    assert message in mark.message
    assert mark.line == line
    if "unexpected indent" not in message:  # its column is not the same in every Python
        assert abs(mark.column - column) <= 1


def test_columns_are_utf16_units() -> None:
    (mark,) = marks('def page(self, response):\n    self.crawl("é😀", calback=self.page, callback=self.page)')
    line = '        self.crawl("é😀", calback'
    assert (mark.line, mark.column) == (LINES + 2, len(line.encode("utf-16-le")) // 2 - len("calback"))


def test_a_mark_covers_the_argument() -> None:
    (mark,) = marks('def page(self, response):\n    self.crawl("http://x/", callback=self.page, timeout="soon")')
    text = '        self.crawl("http://x/", callback=self.page, timeout="soon")'
    assert text[mark.column : mark.end_column] == '"soon"'


UNKNOWABLE = """
from projects import other
__handler_cls__ = other.Handler
---
from somewhere import *
class Handler(Base):
    def page(self, r):
        self.crawl(x, calback=anything)
---
from base import Base
from crawlkit import BaseHandler
class Handler(Base, BaseHandler):
    def page(self, response):
        self.crawl('http://x/', callback=self.of_base)
---
from pyspider.libs.base_handler import *
class Handler(BaseHandler):
    @every(minutes=24 * 60)
    def on_start(self):
        self.crawl('http://x/', callback=self.page)

    @config(age=10)
    def page(self, response):
        logger.info(six.PY3)
        return md5string('x')
---
from crawlkit import BaseHandler
class Handler(BaseHandler):
    def __getattr__(self, name):
        return print

    def page(self, response):
        self.crawl('http://x/', callback=self.anything)
---
from crawlkit import BaseHandler
class Handler(BaseHandler):
    def __call__(self, response):
        self.crawl('x')

    @staticmethod
    def other(self):
        self.crawl(1)
---
from crawlkit import BaseHandler
class Base(BaseHandler):
    def page(self, response):
        self.late = print

class Handler(Base):
    def on_start(self):
        self.crawl('x', callback=self.page)
        self.crawl('x', callback=self.late)
---
from crawlkit import BaseHandler
class Handler(BaseHandler):
    def crawl(self, url, mine=1):
        pass

    def on_start(self):
        self.crawl('x', mine=2)
---
from crawlkit import BaseHandler
class Handler(BaseHandler):
    def page(self, response):
        response = response.json
        return response.lniks, [x for x in y] if (y := 1) else __file__
---
from crawlkit import BaseHandler
seen = 0
class Handler(BaseHandler):
    def page(self, response):
        global late
        late = seen

    def other(self):
        try:
            return late
        except KeyError as error:
            return error
"""


@pytest.mark.parametrize("script", UNKNOWABLE.split("---\n"))
def test_what_cannot_be_known_is_not_marked(script: str) -> None:
    assert lint(script) == []


def test_scripts_of_the_project_are_clean() -> None:
    scripts = [starter_script("demo", "https://example.com/'\"")]
    scripts += [
        path.read_text() for path in sorted((ROOT / "examples").glob("*.py")) if "BaseHandler" in path.read_text()
    ]
    assert len(scripts) > 2
    for script in scripts:
        assert lint(script) == []


def test_no_handler() -> None:
    (mark,) = lint("import re\nprint(re)\n")
    assert mark.severity == "warning"
    assert "no class that derives from BaseHandler" in mark.message


def test_deep_nesting_is_a_mark() -> None:
    assert lint("x = " + "(" * 5000 + ")" * 5000)
    assert lint("x = " + "-" * 100_000 + "1")


PIECES = [
    *("self.crawl(", "\n", "    ", "(", ")", "]", "{", ":", ",", "'", '"', "é", "😀", "\\", "**", "=", "lambda: "),
    *("callback=", "1e999", "-", "@every(", "@config(", "class ", "yield ", "0x" + "f" * 5000, "\0", "\r", "\x0c"),
    *("f'{x", "global x", "import *", "\ud800", "retry_delay = ", "result_key = ", "crawl_config = ", "''' "),
]


def test_no_text_makes_it_raise() -> None:
    chance = random.Random(5)
    for _ in range(600):
        script = starter_script("demo")
        for _ in range(chance.randrange(1, 6)):
            at = chance.randrange(len(script))
            cut = chance.choice((0, 0, 0, 1, 5, 30))
            script = script[:at] + chance.choice(PIECES) + script[at + cut :]
        for mark in lint(script):
            assert mark.line >= 1
            assert 0 <= mark.column <= mark.end_column


def test_a_number_too_long_to_be_printed_is_no_mark() -> None:
    assert crawl('"http://x/", callback=self.page, age=0x' + "f" * 9000) == []


def test_a_warning_of_the_parser_is_a_mark() -> None:
    found = lint(HEAD + "    def page(self, response):\n        return re.sub('\\d', '', 'x') is 'x'\n")
    assert [mark.severity for mark in found] == ["warning", "warning"]
    assert {mark.line for mark in found} == {LINES + 2}


def test_quick_for_a_thousand_lines() -> None:
    method = (
        "    @config(age=10 * 24 * 60 * 60)\n    def page_{n}(self, response):\n"
        "        for link in response.css('a[href]').getall():\n"
        "            self.crawl(link, callback=self.page_{n}, headers={{'A': 'b'}}, priority={n}, timeout=30)\n"
        "        data = {{'title': response.css('title::text').get(), 'n': [re.sub('a', '', x) for x in 'ab']}}\n"
        "        if data['title'] and len(data['n']) > 3:\n            self.logger.info('found %s', data)\n"
        "        return data\n\n"
    )
    script = HEAD + "".join(method.format(n=n) for n in range(112))
    assert script.count("\n") > 1000
    assert lint(script) == []
    best = min(_seconds(script) for _ in range(5))
    assert best < 0.15, f"{best * 1000:.0f} ms"  # 48 ms of CPU beside other work


def _seconds(script: str) -> float:
    began = time.thread_time()
    lint(script)
    return time.thread_time() - began


HOSTILE = {
    "names": "\n".join(f"abc{number}" for number in range(20_000)),
    "methods": HEAD + "    def on_start(self):\n" + "".join(f"        self.crawl{n}()\n" for n in range(8_000)),
    "own names": HEAD + "".join(f"    a{n} = 1\n" for n in range(5_000))
    + "    def on_start(self):\n" + "".join(f"        self.a{n}x()\n" for n in range(5_000)),
    "bases": HEAD + "    pass\nclass A1(Handler): pass\n"
    + "".join(f"class A{n + 1}(A{n}): pass\n" for n in range(1, 6_000)),
    "heirs": HEAD + "".join(f"    a{n} = 1\n" for n in range(5_000))
    + "".join(f"class A{n}(Handler): pass\n" for n in range(4_000)),
    "long names": "\n".join(f"{'a' * 5_000}{number}" for number in range(38)),
    "calls": HEAD + "    def on_start(self):\n" + "        self.crawl(u, calback=1)\n" * 5_000,
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_no_script_takes_more_than_its_length(what: str) -> None:
    """Names that are near were looked for 15 million times, and a base was read again for each class."""
    began = time.thread_time()
    found = lint(HOSTILE[what])
    assert time.thread_time() - began < 10  # seconds of this thread, of which about one is needed
    assert len(found) <= MAX_MARKS


def test_nothing_more_is_looked_for_when_there_are_enough_marks() -> None:
    assert len(lint("\n".join(f"abc{number}" for number in range(1_000)))) == MAX_MARKS


def test_a_base_is_read_once_for_all_that_derive_from_it() -> None:
    script = HEAD + "    def page(self, response):\n        pass\n\n\n"
    script += "class Other(Handler):\n    def on_start(self):\n        self.crawl('http://x/', callback=self.pagee)\n"
    assert [mark.message for mark in lint(script)] == ["Other has no method 'pagee'; did you mean 'page'?"]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('self.crawl("http://x/", callback=self.page, wait_for="#a")', 1),
        ('self.download("http://x/", callback=self.page, js_actions=[{"click": "#a"}])', 1),
        ('self.crawl("http://x/", callback=self.page, screenshot=False)', 0),
        ('self.crawl("http://x/", callback=self.page, fetch_type="js", wait_for="#a")', 0),
        ('self.crawl("http://x/", callback=self.page, wait_for="#a", **OTHERS)', 0),
        ('self.crawl("http://x/", callback=self.page, wait_for="#a"); self.crawl_config["fetch_type"] = "js"', 0),
    ],
)
def test_what_only_a_browser_does_wants_one(line: str, found: int) -> None:
    text = f"from crawlkit import BaseHandler\nOTHERS = {{}}\n\n\nclass Handler(BaseHandler):\n    def on_start(self):\n        {line}\n\n    def page(self, response):\n        pass\n"  # noqa: E501
    assert [mark.code for mark in lint(text)] == ["needs-browser"] * found
