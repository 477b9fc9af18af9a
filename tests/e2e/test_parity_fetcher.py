"""What a page's way to a callback may be, by pyspider's test ids T30 to T39, over real processes and sockets.

One crawl fetches a table of cases; a second one has a default proxy and a browser service. The browser is a stand-in
that speaks the service's contract [F30, F31].
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.commands import environment, run
from tests.e2e.parity_runs import Cases, Crawled, crawl
from tests.e2e.parity_site import Site, dead_address


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    served = Site()
    yield served
    served.close()


def plain_cases(site: Site) -> Cases:
    base, proxy = site.base, site.proxy
    return {
        "cookies": (f"{base}/echo/cookies", {"headers": {"Cookie": "a=1; b=2"}, "cookies": {"c": "3"}}),
        "post": (f"{base}/echo/post", {"method": "POST", "data": "körper", "save": {"n": [1, None, "ü"]}}),
        "data": ("data:text/plain,a,b%20c", {}),
        "data64": ("data:text/plain;charset=utf-8;base64,w7xiZXI=", {}),
        "slow": (f"{base}/slow/1", {"timeout": 3, "save": "kept"}),
        "teapot": (f"{base}/status/418", {}),
        "dns": ("http://no-such-host.invalid/", {}),
        "denied": (f"{base}/echo/denied", {"proxy": proxy}),
        "allowed": (f"{base}/echo/allowed", {"proxy": f"user:secret@{proxy}"}),
        "hop": (f"{base}/hops/1", {}),
        "ten": (f"{base}/hops/10", {}),
        "ten_allowed": (f"{base}/hops/10?", {"max_redirects": 10}),
        "unfollowed": (f"{base}/hops/2?", {"allow_redirects": False}),
        "biscuit": (f"{base}/biscuit", {"cookies": {"own": "1"}}),
        "closed": (f"{base}/closed/1", {"robots_txt": True}),
        "open": (f"{base}/open/1", {"robots_txt": True}),
        "unasked": (f"{base}/closed/2", {"robots_txt": False}),
        "no_browser": (f"{base}/open/2", {"fetch_type": "js"}),
        "no_splash": (f"{base}/open/3", {"fetch_type": "splash"}),
    }


@pytest.fixture(scope="module")
def plain(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Crawled:
    """A crawl of the table above with a fetcher that has its defaults."""
    return crawl(tmp_path_factory.mktemp("plain"), {"CRAWLKIT_ONE_BROWSER": "no"}, cases=plain_cases(site))


@pytest.fixture(scope="module")
def served(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crawled]:
    """A crawl whose fetcher has a default proxy, a browser service and a Splash that is not there."""
    js = {"fetch_type": "js", "js_script": "function () { return 1 }", "proxy": False}
    cases: Cases = {
        "default_proxy": (f"{site.base}/echo/by-default", {}),
        "own_way": (f"{site.base}/echo/own-way", {"proxy": False}),
        "script": (f"{site.base}/js/script", {**js, "js_viewport_width": 320, "save": 7}),
        "ajax": (f"{site.base}/js/ajax", {"fetch_type": "puppeteer", "proxy": False}),
        "hangs": (f"{site.base}/js/hangs", js),
        "dead": (f"{site.base}/js/dead", {"fetch_type": "splash", "proxy": False}),
    }
    with dead_address() as dead:
        env = {
            "CRAWLKIT_FETCHER_PROXY": f"user:secret@{site.proxy}",
            "CRAWLKIT_FETCHER_PUPPETEER_ENDPOINT": site.browser,
            "CRAWLKIT_FETCHER_SPLASH_ENDPOINT": f"http://{dead}/execute",
        }
        yield crawl(tmp_path_factory.mktemp("served"), env, cases=cases)


def test_T30_cookies_bodies_and_save_arrive(site: Site, plain: Crawled) -> None:
    cookies = plain.result("cookies")
    assert cookies["json"]["cookies"] == {"a": "1", "b": "2", "c": "3"}
    assert cookies["orig_url"] == cookies["url"] == f"{site.base}/echo/cookies"
    post = plain.result("post")
    assert (post["json"]["method"], post["json"]["body"]) == ("POST", "körper")
    assert post["save"] == {"n": [1, None, "ü"]}


def test_T31_data_urls_are_pages(plain: Crawled) -> None:
    assert (plain.result("data")["status"], plain.result("data")["text"]) == (200, "a,b c")
    assert plain.result("data64")["text"] == "über"


def test_T32_a_single_fetch_sees_what_a_crawl_sees(site: Site, plain: Crawled, tmp_path: Path) -> None:
    done = run(["fetch", f"{site.base}/echo/cookies", "-H", "Cookie: a=1; b=2; c=3", "--json"], tmp_path,
               environment(""))  # fmt: skip
    alone, crawled = json.loads(done.stdout), plain.result("cookies")
    assert (alone["status_code"], alone["url"]) == (crawled["status"], crawled["url"])
    assert asked(json.loads(alone["body"]["text"])) == asked(crawled["json"])


def asked(said: dict[str, Any]) -> dict[str, Any]:
    return {name: said[name] for name in ("method", "path", "headers", "cookies", "body")}


def test_T33_a_timeout_holds(site: Site, plain: Crawled) -> None:
    slow = plain.result("slow")
    assert slow["status"] == 599
    assert 1.5 < slow["time"] < 4.5
    assert (slow["orig_url"], slow["save"]) == (f"{site.base}/slow/1", "kept")


def test_T34_the_body_of_an_error_page_is_kept(plain: Crawled) -> None:
    teapot = plain.result("teapot")
    assert (teapot["status"], teapot["text"], teapot["ok"]) == (418, "a teapot's words", False)


def test_T35_a_name_that_does_not_resolve(plain: Crawled) -> None:
    dns = plain.result("dns")
    assert dns["status"] == 599
    assert "resolve" in dns["error"]


def test_T36_proxies(site: Site, plain: Crawled, served: Crawled) -> None:
    assert plain.result("denied")["status"] == 403
    assert plain.result("allowed")["status"] == 200
    assert plain.result("allowed")["headers"]["Via"] == "1.1 tester"
    assert served.result("default_proxy")["headers"]["Via"] == "1.1 tester"
    assert served.result("own_way")["status"] == 200
    assert f"{site.base}/echo/own-way" not in site.proxied
    assert f"{site.base}/echo/by-default" in site.proxied


def test_T37_redirects(site: Site, plain: Crawled) -> None:
    hop = plain.result("hop")
    assert (hop["url"], hop["orig_url"], hop["ok"]) == (f"{site.base}/echo/landed", f"{site.base}/hops/1", True)
    ten = plain.result("ten")
    assert (ten["status"], ten["ok"]) == (599, False)
    assert "redirect" in ten["error"]
    assert plain.result("ten_allowed")["url"] == f"{site.base}/echo/landed"
    unfollowed = plain.result("unfollowed")
    assert (unfollowed["status"], unfollowed["headers"]["Location"]) == (302, "/hops/1")
    biscuit = plain.result("biscuit")
    assert biscuit["json"]["cookies"] == biscuit["cookies"] == {"own": "1", "hop": "1"}


def test_T38_robots_txt(site: Site, plain: Crawled) -> None:
    closed = plain.result("closed")
    assert (closed["status"], closed["ok"]) == (403, False)
    assert "/closed/1" not in site.paths()
    assert plain.result("open")["status"] == plain.result("unasked")["status"] == 200


def test_T39_the_browser_service(site: Site, plain: Crawled, served: Crawled) -> None:
    for name in ("no_browser", "no_splash"):
        assert plain.result(name)["status"] == 501
        assert "is not enabled" in plain.result(name)["error"]
    script = served.result("script")
    assert (script["status"], script["js_script_result"], script["save"]) == (200, "ran function () { return 1 }", 7)
    assert served.result("ajax")["text"] == "<p id=state>done</p>"
    job = next(job for job in site.jobs if job["url"].endswith("/script"))
    assert (job["method"], job["js_viewport_width"], job["fetch_type"]) == ("GET", 320, "js")
    hangs = served.result("hangs")
    assert (hangs["status"], hangs["error"]) == (599, "Timeout before first response.")
    assert "js_script_result" in hangs
    assert served.result("dead")["status"] == 599
