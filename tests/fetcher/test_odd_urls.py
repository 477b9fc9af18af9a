"""Odd URLs, on each way into a crawl: read as browsers read them, or refused in words (R-39)."""

from __future__ import annotations

import pytest

from crawlkit.fetcher import url as urls
from crawlkit.libs.errors import FetchError, InvalidTask
from crawlkit.libs.response import Response
from crawlkit.libs.task import MAX_URL, Task, check_task, host_of, taskid_of
from crawlkit.libs.url import task_url
from tests.fetcher.helpers import dispatch, fetcher, in_loop

LONG = "http://a.example/" + "x" * 65_000
#: URL -> how a browser asks for it (WHATWG URL standard); None: it does not.
ODD: dict[str, str | None] = {
    LONG: LONG,
    "http://a.example/" + "x" * MAX_URL: None,
    "http://" + "a" * 70_000 + "/": None,
    "http://faß.example/": "http://xn--fa-hia.example/",
    "http://MÜNCHEN.example/": "http://xn--mnchen-3ya.example/",
    "http://xn--mnchen-3ya.example/": "http://xn--mnchen-3ya.example/",
    "http://a\u200d.example/": None,  # a joiner that joins nothing
    "http://ＧＯ.com/": "http://go.com/",
    "http://a。b.example/": "http://a.b.example/",
    "http://раypal.example/": "http://xn--ypal-43d9g.example/",  # Cyrillic letters stay what they are
    "http:\\\\a.example\\b\\..\\c": "http://a.example/c",
    "http:/\\a.example/": "http://a.example/",
    "http:///a.example/": "http://a.example/",
    "http:a.example": "http://a.example/",
    "\thttp://a.ex\nample/\rb\tc ": "http://a.example/bc",
    "ht\ntp://a.example/": "http://a.example/",
    "http://user@a.example/": "http://a.example/",
    "http://a.example@b.example/": "http://b.example/",
    "http://a.example:80@b.example:81/": "http://b.example:81/",
    "http://@a.example/": "http://a.example/",
    "http://u:p:q@a.example/@b": "http://a.example/@b",
    "http://a.example\\@b.example/": "http://a.example/@b.example/",
    "http://a.example#@b.example/": "http://a.example/#@b.example/",
    "http://a.example?@b.example/": "http://a.example/?@b.example/",
    "http://a.example/./b/../../c/.": "http://a.example/c/",
    "http://a.example/%2e/b/%2E%2e/c": "http://a.example/c",
    "http://a.example/..%2f..": "http://a.example/..%2f..",
    "http://a.example/a%00b": "http://a.example/a%00b",
    "http://a%00.example/": None,
    "http://a\0.example/": None,
    "http://a.example/\0": "http://a.example/",
    "http://a.example/\0b": "http://a.example/%00b",
    "http://a.example/%": "http://a.example/%",
    "http://a.example/%zz?%zz#%zz": "http://a.example/%zz?%zz#%zz",
    "http://a.example/\ud800": None,  # a browser asks for U+FFFD, and so does a task, see below
    "http://\udfff.example/": None,
    "http://a.example:/": "http://a.example/",
    "http://a.example:00080/": "http://a.example/",
    "http://a.example:0/": "http://a.example:0/",
    "http://a.example:65536/": None,
    "http://a.example:8a/": None,
    "http://a.example:-1/": None,
    "http://0300.0250.0.1/": "http://192.168.0.1/",
    "http://0xC0A80001/": "http://192.168.0.1/",
    "http://192.168.1/": "http://192.168.0.1/",
    "http://256.256.256.256/": None,
    "http://1.2.3.4.5/": None,
    "http://[::ffff:1.2.3.4]/": "http://[::ffff:102:304]/",
    "http://[1::2::3]/": None,
    "http://[::1]extra/": None,
    "http://[::1%25eth0]/": None,
    "http://a b.example/": None,
    "http://a<b>.example/": None,
    "http://%61%2eexample/": "http://a.example/",
    "http://./": "http://./",
    "http://../": "http://../",
    "http://a..example/": "http://a..example/",
    "http://_a._b.example/": "http://_a._b.example/",
    "http://a.example/ä?ö#ü": "http://a.example/%C3%A4?%C3%B6#%C3%BC",
    "http://a.example/'\"<>`{}|\\^": "http://a.example/'%22%3C%3E%60%7B%7D|/%5E",
    "http://a.example/?'\"<>": "http://a.example/?%27%22%3C%3E",
    "http://": None,
    "http:": None,
    "://a.example/": None,
    "//a.example/": None,
    "a.example": None,
    "": None,
    " ": None,
    "\0": None,
    "http://a.example:80:80/": None,
    "https://a.example:443": "https://a.example/",
    "h\u0131ttp://a.example/": None,
    "file:///etc/passwd": None,
    "jar:http://a.example/!/b": None,
    "blob:http://a.example/1": None,
    "view-source:http://a.example/": None,
}
IDS = [url[:40].encode("ascii", "backslashreplace").decode() for url in ODD]


@pytest.mark.parametrize("url", ODD, ids=IDS)
def test_R_39_the_fetcher_asks_as_a_browser_does_or_not_at_all(url: str) -> None:
    if ODD[url] is not None:
        assert urls.parse(url).full == ODD[url]
        return
    with pytest.raises(FetchError) as caught:
        urls.parse(url)
    assert caught.value.kind == "bad_url"
    assert len(str(caught.value)) < 1_000


def problem_of(task: Task) -> str:
    try:
        check_task(task)
    except InvalidTask as error:
        return f"{error.path} {error.problem}"
    return ""


@pytest.mark.parametrize("url", ODD, ids=IDS)
def test_R_39_every_door_takes_it_or_says_why(url: str) -> None:
    """What a script, a page or a person may give, before anything is fetched."""
    identity = task_url(url)
    problem = problem_of(Task("p", taskid_of(identity), identity))
    assert (problem != "") == (not identity or len(identity) > MAX_URL or "\0" in identity)
    assert len(host_of(identity)) <= 255
    page = Response("http://base.example/x", content=f'<a href="{url}">x</a>'.encode("utf-8", "replace"))
    for link in [page.urljoin(url), *page.links()]:
        assert isinstance(link, str)


def test_R_39_half_a_character_of_a_task_is_asked_for_as_browsers_do() -> None:
    assert urls.parse(task_url("http://a.example/\ud800")).full == "http://a.example/%EF%BF%BD"


@in_loop
async def test_R_39_what_is_no_url_ends_with_one_error() -> None:
    async with fetcher() as one:
        for url in [url for url, asked in ODD.items() if asked is None]:
            fetched = await one.fetch(dispatch(url))
            assert (fetched.error_kind, fetched.status_code) == ("bad_url", 599), url
