"""The contract with a browser service [F30, F31], against one that a test can look into."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from crawlkit.libs.browse import Browse
from crawlkit.libs.messages import Fetched, decode, encode
from crawlkit.libs.response import Response
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
    assert f"CRAWLKIT_FETCHER_{'SPLASH' if kind == 'splash' else 'BROWSER'}_ENDPOINT" in (fetched.error or "")
    assert ("--no-browser" in (fetched.error or "")) == (kind != "splash")


@in_loop
async def test_an_unknown_type_lists_the_known_ones() -> None:  # H50
    fetched = await fetch("http://x.example/", fetch_type="chrome")
    assert (fetched.status_code, fetched.error_kind) == (599, "bad_request")
    assert "browser, http, js, phantomjs, puppeteer, splash" in (fetched.error or "")


@in_loop
async def test_whose_word_a_proxy_is() -> None:
    """The operator's may have a private address, the task's may not: the service is told which one it is."""
    async with site() as service, fetcher(browser_endpoint=f"{service.url}/", proxy="10.0.0.1:3128") as one:
        service.on("/", says(PAGE))
        for own in ({}, {"proxy": "10.0.0.1:3128"}):
            await one.fetch(dispatch("http://x.example/", fetch_type="js", timeout=9.0, **own))
        jobs = [json.loads(body) for _, _, body in service.requests]
    assert [(job["proxy_host"], job.get("proxy_trusted", False)) for job in jobs] == [
        ("10.0.0.1", True), ("10.0.0.1", False),
    ]  # fmt: skip


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
    assert (fetched.status_code, fetched.error_kind) == (599, "no_browser")
    assert "the browser service at http://127.0.0.1:1/ does not answer" in (fetched.error or "")


@pytest.mark.parametrize(
    ("said", "kind"), [("crashed", "crashed"), ("timeout", "timeout"), ("odd", "protocol"), (None, "protocol")]
)
@in_loop
async def test_the_kind_of_an_error_is_the_services_own(said: str | None, kind: str) -> None:
    page = {"url": "http://x/", "status_code": 599, "error": "it went wrong", "error_kind": said}
    async with site() as service, fetcher(browser_endpoint=f"{service.url}/render") as one:
        service.on("/render", says(page))
        fetched = await one.fetch(dispatch("http://x.example/", fetch_type="js"))
    assert (fetched.status_code, fetched.error_kind, fetched.error) == (599, kind, "it went wrong")


# ---- what comes beside the page

PNG = b"\x89PNG\r\n\x1a\n" + b"x" * 50


def attached(content: bytes, kind: str = "image/png") -> dict[str, str]:
    return {"content_type": kind, "content_base64": base64.b64encode(content).decode()}


@in_loop
async def test_what_comes_beside_the_page(tmp_path: Path) -> None:
    page = {
        **PAGE, "history": [[302, "http://x/"]], "console": ["log: hi", "x" * 5000], "counts": {"requests": 3},
        "xhr": [{"url": "http://x/api", "method": "GET", "status": 200, "content_type": "a/json", "body": "[1]"}],
        "attachments": {"screenshot": attached(PNG), "pdf": attached(b"%PDF-1.4", "application/pdf")},
    }  # fmt: skip
    wish = Browse(screenshot={"of": "page", "type": "png"}, pdf={"format": "A4"}, xhr=["*"])
    async with site() as service, fetcher(browser_endpoint=f"{service.url}/render", files_path=str(tmp_path)) as one:
        service.on("/render", says(page))
        task = dispatch("http://x.example/", fetch_type="browser", browser=wish)
        fetched = await one.fetch(task)
        service.on("/render", says({**page, "attachments": {"screenshot": attached(PNG + b"new")}}))
        task.run += 1
        task.url = "http://x.example/elsewhere"
        again = await one.fetch(task)
        [job, _] = [json.loads(body) for _, _, body in service.requests]
    assert job["browser"] == {"screenshot": {"of": "page", "type": "png"}, "pdf": {"format": "A4"}, "xhr": ["*"]}
    response = Response.of(decode(encode(fetched), Fetched))
    assert response.history == [(302, "http://x/")]
    assert response.console == ["log: hi", "x" * 1000]
    [xhr] = response.xhr
    assert (xhr.url, xhr.status, xhr.json, xhr.text, xhr.ok) == ("http://x/api", 200, [1], "[1]", True)
    place = tmp_path / task.project / "rendered" / f"{task.taskid}.png"
    assert response.screenshot == {"path": str(place), "bytes": 58, "sha256": hashlib.sha256(PNG).hexdigest()}
    assert response.pdf is not None
    assert response.pdf["path"] == str(place.with_suffix(".pdf"))
    assert place.with_suffix(".pdf").read_bytes() == b"%PDF-1.4"
    assert Response.of(again).screenshot == {
        **response.screenshot,
        "bytes": 61,
        "sha256": hashlib.sha256(PNG + b"new").hexdigest(),
    }
    assert place.read_bytes() == PNG + b"new"  # the later crawl of the task holds, and nothing else is left
    assert sorted(path.name for path in place.parent.iterdir()) == [f"{task.taskid}.pdf", f"{task.taskid}.png"]


@pytest.mark.parametrize(
    ("name", "content"), [("screenshot", b"<svg onload='alert(1)'>"), ("pdf", PNG), ("screenshot", b"%PDF-1.4")]
)
@in_loop
async def test_an_attachment_is_what_it_says(tmp_path: Path, name: str, content: bytes) -> None:
    async with site() as service, fetcher(browser_endpoint=f"{service.url}/", files_path=str(tmp_path)) as one:
        service.on("/", says({**PAGE, "attachments": {name: attached(content)}}))
        fetched = await one.fetch(dispatch("http://x.example/", fetch_type="js"))
    assert (fetched.status_code, fetched.error_kind) == (599, "protocol")
    assert not (tmp_path / "p" / "rendered").exists()


@in_loop
async def test_without_a_place_for_files_no_page_is_rendered_in_vain() -> None:
    async with site() as service, fetcher(browser_endpoint=f"{service.url}/") as one:
        fetched = await one.fetch(dispatch("http://x.example/", fetch_type="js", browser=Browse(pdf={"format": "A4"})))
        assert not service.requests
    assert (fetched.error_kind, fetched.error) == (
        "bad_request",
        "screenshot, pdf: this fetcher keeps no files; give it --files-path",
    )


@in_loop
async def test_captured_bodies_that_no_message_carries_are_left_out() -> None:
    each = {"url": "http://x/api", "method": "GET", "status": 200, "body": "ü" * 600_000}
    async with site() as service, fetcher(browser_endpoint=f"{service.url}/") as one:
        long = {**each, "url": "http://x/" + "u" * 3_000_000}
        service.on("/", says({**PAGE, "xhr": [each, each, long, {**each, "body": "{}"}]}))
        wish = Browse(xhr=["*"])
        fetched = await one.fetch(dispatch("http://x.example/", fetch_type="js", browser=wish))
    found = Response.of(decode(encode(fetched), Fetched)).xhr
    assert [(len(xhr.text), xhr.truncated, xhr.json) for xhr in found] == [
        (600_000, False, None),
        (0, True, None),
        (2, False, {}),
    ]


# ---- files that a page makes a browser download

FILE = {"id": "abcdef12", "url": "http://x/get?id=7", "name": "ünser.csv", "bytes": 5, "content_type": "text/csv"}


FAILED = {"status_code": 599, "error": "no #get", "error_kind": "timeout", "console": ["uncaught x"], "time": 0.25}


@in_loop
async def test_a_download_that_fails_in_the_page_has_its_console_and_its_time(tmp_path: Path) -> None:
    async with site() as service, fetcher(browser_endpoint=f"{service.url}/", files_path=str(tmp_path)) as one:
        service.on("/", says({**PAGE, **FAILED}))
        fetched = await one.fetch(dispatch("http://x.example/", fetch_type="js", download={"to": "f"}))
    assert (fetched.error, fetched.error_kind, fetched.time) == ("no #get", "timeout", 0.25)
    assert fetched.rendered == {"console": ["uncaught x"]}


@in_loop
async def test_a_file_that_a_click_downloads(tmp_path: Path) -> None:
    async with site() as service, fetcher(browser_endpoint=f"{service.url}/render", files_path=str(tmp_path)) as one:
        service.on("/render", says({**PAGE, "content": "", "file": FILE, "console": ["hi"], "time": 30}))
        service.on("/files/abcdef12", answer(b"a;b;c"))
        wish = Browse(actions=[{"click": "#get"}])
        task = dispatch("http://x.example/", fetch_type="js", browser=wish, download={"to": "csv/{name}", "size": 5})
        fetched = await one.fetch(task)
        assert json.loads(service.requests[0][2])["download"] is True
    assert fetched.error is None
    assert fetched.time > 30  # that of the page, and of the file after it
    assert fetched.file is not None
    place = tmp_path / task.project / "csv" / "ünser.csv"
    assert fetched.file == {"path": str(place), "bytes": 5, "sha256": hashlib.sha256(b"a;b;c").hexdigest()}
    assert place.read_bytes() == b"a;b;c"
    assert (fetched.url, fetched.rendered) == ("http://x/get?id=7", {"console": ["hi"]})
    assert ("Content-Type", "text/csv") in fetched.headers


@pytest.mark.parametrize(
    ("page", "status", "kind", "words"),
    [
        (PAGE, 599, "protocol", "the page made the browser download nothing"),
        ({**PAGE, "status_code": 404}, 404, None, "HTTP 404: Not Found"),
        ({**PAGE, **FAILED}, 599, "timeout", "no #get"),
        ({**PAGE, "file": {**FILE, "id": "../../etc"}}, 599, "protocol", "speaks of a file '../../etc'"),
        ({**PAGE, "file": {**FILE, "id": "not_there"}}, 599, "protocol", "answered 404 for a file it has"),
        ({**PAGE, "file": {**FILE, "bytes": 6}}, 599, "file_broken", "6 bytes, 5 were expected"),
    ],
)  # fmt: skip
@in_loop
async def test_downloads_that_come_to_nothing(
    tmp_path: Path, page: dict[str, Any], status: int, kind: str | None, words: str
) -> None:
    async with site() as service, fetcher(browser_endpoint=f"{service.url}/", files_path=str(tmp_path)) as one:
        service.on("/", says(page))
        service.on("/files/abcdef12", answer(b"a;b;c"))
        task = dispatch("http://x.example/", fetch_type="js", download={"to": "f", "size": 5})
        fetched = await one.fetch(task)
    assert (fetched.status_code, fetched.error_kind) == (status, kind)
    assert words in (fetched.error or "")
    assert not (tmp_path / task.project / "f").exists()
