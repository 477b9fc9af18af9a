"""The contract with a browser service [F30, F31], against one that a test can look into."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.fetcher.helpers import answer, dispatch, fetch, fetcher, in_loop, site

PAGE: dict[str, Any] = {
    "orig_url": "http://x/", "url": "http://x/final", "status_code": 200, "content": "<p>dönе</p>", "time": 1.5,
    "headers": {"Content-Type": "text/html", "X": ["1", "2"]}, "cookies": {"b": "2"}, "js_script_result": {"n": [1]},
    "save": 1,
}  # fmt: skip


def says(page: Any) -> bytes:
    return answer(page if isinstance(page, bytes) else json.dumps(page).encode())


@pytest.mark.parametrize("kind", ["js", "phantomjs", "puppeteer", "browser", "splash"])
@in_loop
async def test_without_a_service(kind: str) -> None:  # T39, F21
    fetched = await fetch("http://x.example/", fetch_type=kind)
    assert (fetched.status_code, fetched.error_kind) == (501, "no_browser")
    assert f"{kind} is not enabled" in (fetched.error or "")


@in_loop
async def test_an_unknown_type_lists_the_known_ones() -> None:  # H50
    fetched = await fetch("http://x.example/", fetch_type="chrome")
    assert (fetched.status_code, fetched.error_kind) == (599, "bad_request")
    assert "browser, http, js, phantomjs, puppeteer, splash" in (fetched.error or "")


@in_loop
async def test_the_job_and_its_answer() -> None:
    async with site() as service, fetcher(browser_endpoint=f"{service.url}/render", allow_private=False) as one:
        service.on("/render", says(PAGE))
        task = dispatch(
            "http://x.example/ü#f", fetch_type="js", method="POST", data=b"a=1", timeout=9.0,
            headers={"Cookie": "c=1"}, cookies={"d": "2"}, js_script="function() { return 1 }",
            js_run_at="document-end", js_viewport_width=800, load_images=False,
            proxy="http://u:p@proxy.example:1", user_agent="me", save=[1],
        )  # fmt: skip
        fetched = await one.fetch(task)
        [(line, headers, body)] = service.requests
    assert line == "POST /render HTTP/1.1"
    assert headers["content-type"] == "application/json"
    job = json.loads(body)
    assert job["url"] == "http://x.example/%C3%BC#f"
    assert (job["method"], job["data"], job["timeout"]) == ("POST", "a=1", 9.0)
    assert job["headers"]["Cookie"] == "c=1; d=2"
    assert job["headers"]["User-Agent"] == "me"
    assert (job["proxy_host"], job["proxy_port"], job["proxy_username"], job["proxy_password"]) == (
        "proxy.example",
        1,
        "u",
        "p",
    )
    assert (job["js_run_at"], job["js_viewport_width"], job["load_images"], job["save"]) == (
        "document-end",
        800,
        False,
        [1],
    )
    assert fetched.content == "<p>dönе</p>".encode()
    assert (fetched.status_code, fetched.url, fetched.orig_url, fetched.time) == (200, "http://x/final", task.url, 1.5)
    assert fetched.headers == [("Content-Type", "text/html"), ("X", "1"), ("X", "2")]
    assert fetched.cookies == {"c": "1", "d": "2", "b": "2"}
    assert fetched.js_script_result == {"n": [1]}
    assert fetched.error is None


@pytest.mark.parametrize(
    ("page", "status", "kind", "error"),
    [
        ({**PAGE, "status_code": 404}, 404, None, "HTTP 404: Not Found"),
        ({**PAGE, "status_code": 599, "error": "Timeout."}, 599, "protocol", "Timeout."),
        ({"content": "x"}, 599, "protocol", None),
        (b"", 599, "protocol", None),
        (b"<html>", 599, "protocol", None),
        ({**PAGE, "content": "x" * 3000}, 599, "too_large", None),
    ],
)  # fmt: skip
@in_loop
async def test_answers_that_are_errors(page: Any, status: int, kind: str | None, error: str | None) -> None:
    async with site() as service, fetcher(browser_endpoint=f"{service.url}/", max_body=2000) as one:
        service.on("/", says(page))
        fetched = await one.fetch(dispatch("http://x.example/", fetch_type="js"))
    assert (fetched.status_code, fetched.error_kind) == (status, kind)
    assert fetched.error == error or error is None


@in_loop
async def test_bytes_and_an_endpoint_without_a_scheme() -> None:
    async with site() as service, fetcher(splash_endpoint=f"127.0.0.1:{service.port}/execute") as one:
        service.on("/execute", says({"status_code": 200, "content_base64": base64.b64encode(b"\xff\x00").decode()}))
        fetched = await one.fetch(dispatch("http://x.example/", fetch_type="splash", data=b"\xff"))
        assert json.loads(service.requests[0][2])["data_base64"] == "/w=="
    assert (fetched.content, fetched.url) == (b"\xff\x00", "http://x.example/")


@in_loop
async def test_a_dead_service() -> None:  # T39
    async with fetcher(browser_endpoint="http://127.0.0.1:1/") as one:
        fetched = await one.fetch(dispatch("http://x.example/", fetch_type="js"))
    assert (fetched.status_code, fetched.error_kind) == (599, "connect")
