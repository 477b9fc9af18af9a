"""Rendered pages without a crawl: `crawlkit fetch`, and recording pages for the tests of handlers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crawlkit import BaseHandler, Response
from crawlkit.testing import record, run
from tests.e2e import commands
from tests.e2e.browser_service import browser_service
from tests.e2e.rendered_site import RenderedSite
from tests.needs import binary


@pytest.fixture
def site() -> Iterator[RenderedSite]:
    made = RenderedSite()
    yield made
    made.close()


def test_fetch_renders_and_writes_picture_and_pdf(site: RenderedSite, tmp_path: Path) -> None:
    with browser_service() as endpoint:
        env = commands.environment("", {"CRAWLKIT_FETCHER_BROWSER_ENDPOINT": endpoint})
        asked = ["fetch", f"{site.url}/wait", "--wait-for", ".ready", "--screenshot", "page.png", "--pdf", "page.pdf"]
        said = commands.run([*asked, "--arg", "capture_xhr=true", "--json"], tmp_path, env)
        shown = json.loads(said.stdout)
        assert "<li>tea</li>" in shown["body"]["text"]
        assert [each["body"] for each in shown["rendered"]["xhr"]] == ['["tea", "cake", "milk"]']
        assert shown["rendered"]["screenshot"]["path"] == "page.png"
        assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")
        assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF-")
        code = "print([one.json for one in response.xhr])"
        said = commands.run(
            ["shell", f"{site.url}/wait", "--wait-for", ".ready", "--arg", "capture_xhr=*/api/*", "-c", code],
            tmp_path,
            env,
        )
        assert said.stdout == "[['tea', 'cake', 'milk']]\n"


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--screenshot", "x.svg"], "--screenshot x.svg: the file's name says its kind: use .png or .jpg"),
        (["--arg", "wait_for=#a"], "fetch.wait_for: only a browser can do this"),
        (["--arg", "wait_four=#a"], "fetch() got unexpected arguments: wait_four (did you mean 'wait_for'?)"),
        (["--arg", "x"], "--arg 'x': write it as NAME=VALUE"),
        (["--wait-for", "//a"], "fetch.wait_for[0]: '//a' is XPath"),
    ],
)
def test_fetch_says_what_is_wrong(words: list[str], problem: str, tmp_path: Path) -> None:
    said = commands.run(["fetch", "http://127.0.0.1:1/", *words], tmp_path, commands.environment(""))
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr.startswith(f"crawlkit: {problem}")
    assert said.stderr.count("\n") == 1


class Shop(BaseHandler):
    def page(self, response: Response) -> Any:
        return {"things": response.xhr[0].json, "list": response.css("li::text").getall()}


def test_a_rendered_page_is_recorded_with_what_it_asked_for(site: RenderedSite, tmp_path: Path) -> None:
    binary("chromium")
    file = record(f"{site.url}/wait", tmp_path / "page.html", fetch_type="browser", wait_for=".ready", capture_xhr=True)
    assert run(Shop, "page", file).results == [{"things": ["tea", "cake", "milk"], "list": ["tea", "cake", "milk"]}]
