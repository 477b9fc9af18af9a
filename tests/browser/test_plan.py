"""What a job comes to, and what is said of documents, hosts and network errors: pure decisions."""

from __future__ import annotations

import pytest

from crawlkit.browser import documents, net_errors, plan
from crawlkit.browser.blocking import Blocking, matcher, tracker_hosts
from crawlkit.browser.settings import BrowserSettings
from crawlkit.libs.browse import Browse
from crawlkit.libs.browser_job import Job
from crawlkit.libs.errors import FETCH_ERROR_KINDS, FetchError

SETTINGS = BrowserSettings(max_timeout=100)


def of(url: str = "https://a.example/p", **job: object) -> plan.Plan:
    return plan.plan_of(Job(url=url, **job), SETTINGS)


def test_headers_by_what_they_are_about() -> None:
    made = of(
        headers={"Authorization": "a", "accept": "b", "Content-Length": "9", "Cookie": "c=d", "User-Agent": "u",
                 "Accept-Language": "de", "Referer": "r", "Host": "h"},
        browser=Browse(first_headers={"X-First": "1", "Host": "no"}),
    )  # fmt: skip
    assert made.first == {"Authorization": "a", "accept": "b", "X-First": "1"}
    assert made.kept == {"Authorization": "a"}
    assert of(browser=Browse(first_headers={"referer": "https://b.example/"})).referer == "https://b.example/"
    assert (made.referer, made.languages, made.options["user_agent"]) == ("r", "de", "u")
    assert made.cookies == [{"name": "c", "value": "d", "domain": "a.example", "path": "/", "secure": True}]


@pytest.mark.parametrize(
    ("url", "page", "sent"),
    [
        ("https://a.example/x", True, {"Authorization", "Accept", "X-First", "Content-Type"}),
        ("https://a.example/x", False, {"Authorization"}),
        ("https://a.example:444/x", True, {"Accept"}),
        ("http://a.example/x", True, {"Accept"}),
        ("https://sub.a.example/x", True, {"Accept"}),
        ("https://a.example.b/x", True, {"Accept"}),
        ("https://a.example@b.example/x", True, {"Accept"}),
        ("https://b.example/x", False, set()),
    ],
)
def test_who_gets_which(url: str, page: bool, sent: set[str]) -> None:
    made = of(method="POST", data="x", headers={"Authorization": "a", "Accept": "b", "Content-Type": "c"},
              browser=Browse(first_headers={"X-First": "1"}))  # fmt: skip
    got = plan.headers_for(made, url, {"accept": "theirs"}, page=page, body=url.startswith("https://a.example/"))
    assert {each["name"] for each in got or ()} - {"accept"} == sent


def test_a_body_takes_its_headers_with_it() -> None:
    made = of(method="POST", data="x", headers={"Content-Type": "c"})
    assert plan.headers_for(made, made.url, {}, page=True, body=False) is None


@pytest.mark.parametrize(
    ("locale", "header", "languages"),
    [
        (None, None, None),
        ("de-AT", "fr", "de-AT,de"),
        ("de", None, "de"),
        (None, "de-AT,de;q=0.8, en;q=0.5,*;q=0.1", "de-AT,de,en"),
        (None, "*", None),
    ],
)
def test_languages(locale: str | None, header: str | None, languages: str | None) -> None:
    assert plan.languages_of(locale, header) == languages


@pytest.mark.parametrize(
    ("status", "method", "after"),
    [(301, "GET", "GET"), (301, "POST", "GET"), (302, "PUT", "PUT"), (303, "PUT", "GET"), (303, "HEAD", "HEAD"),
     (307, "POST", "POST"), (308, "DELETE", "DELETE")],
)  # fmt: skip
def test_methods_as_browsers(status: int, method: str, after: str) -> None:
    assert plan.method_after(status, method) == after


def test_times_and_windows_have_their_bounds() -> None:
    assert of(timeout=5000).timeout == 100
    assert of(timeout=50, request_timeout=20).timeout == 20
    assert of(js_viewport_width=0, js_viewport_height=10**9).options["viewport"] == {"width": 1, "height": 10_000}
    with pytest.raises(FetchError, match="base64"):
        of(data_base64="?")


def test_blocking() -> None:
    block = Blocking(["images", "trackers", "*/ads/*", "*.js?v=1"], load_images=None)
    assert block.forbids("https://a.example/i", "Image")
    assert block.forbids("https://www.google-analytics.com/x", "Script")
    assert block.forbids("https://a.example/ads/x", "Script")
    assert block.forbids("https://a.example/x.js?v=1", "Script")
    assert not block.forbids("https://a.example/x.js", "Script")
    assert not block.forbids("https://notgoogle-analytics.com/x", "Script")
    assert {"urlPattern": "*.js\\?v=1"} in block.stop_at()
    assert Blocking(None, load_images=False).types == {"Image"}
    assert Blocking(None).stop_at() == []
    assert len(tracker_hosts()) > 50


def test_patterns_fit_whole_urls_or_a_part() -> None:
    assert matcher(["*/api/*"]).fullmatch("https://a/api/x")
    assert matcher(["/api/"]).fullmatch("https://a/api/x")
    assert not matcher(["https://a/*"]).fullmatch("https://b/?https://a/")
    assert not matcher([]).fullmatch("https://a/")


@pytest.mark.parametrize(
    ("said", "url", "name"),
    [
        ('attachment; filename="a b.txt"', "http://a/x", "a b.txt"),
        ("attachment; filename=a.txt", "http://a/x", "a.txt"),
        ("attachment; filename=a.txt; filename*=UTF-8''%C3%BC.txt", "http://a/x", "ü.txt"),
        ('attachment; filename="a\\"b"', "http://a/x", 'a"b'),
        ("attachment; filename*=x-unknown''%FF", "http://a/x", "\ufffd"),
        ("", "http://a/b/c%20d.zip?e", "c d.zip"),
        ("", "http://a/", ""),
    ],
)
def test_names_of_files(said: str, url: str, name: str) -> None:
    assert documents.file_name([("content-disposition", said)] if said else [], url) == name


def test_every_network_error_has_a_kind() -> None:
    for name, kind in [("NAME_NOT_RESOLVED", "dns"), ("CONNECTION_REFUSED", "connect"), ("CONNECTION_RESET", "reset"),
                       ("CERT_DATE_INVALID", "tls"), ("SSL_PROTOCOL_ERROR", "tls"), ("EMPTY_RESPONSE", "reset"),
                       ("SOCKS_CONNECTION_HOST_UNREACHABLE", "connect"), ("PROXY_CONNECTION_FAILED", "proxy"),
                       ("INVALID_HTTP_RESPONSE", "protocol"), ("SOMETHING_NEW", "protocol")]:  # fmt: skip
        assert net_errors.error_of(name, "http://a/").kind == kind
    assert {kind for _, kind in net_errors._KINDS} <= FETCH_ERROR_KINDS
    assert net_errors.named("Page.goto: net::ERR_TIMED_OUT at x") == "TIMED_OUT"
