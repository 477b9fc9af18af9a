"""docs/browser.md: its examples are accepted, its figures are those of the code, all arguments are there."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

from crawlkit.browser.settings import BrowserSettings
from crawlkit.fetcher import browser_client, browser_jar, cookie_jar
from crawlkit.libs import browse_args
from crawlkit.testing import run
from crawlkit.webui.lint import lint

PAGE = (Path(__file__).parents[2] / "docs" / "browser.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
HEAD = "from crawlkit import BaseHandler\n\n\n"
METHODS = "\n\n    def page(self, response):\n        pass\n\n    saved = page\n"


def script(block: str) -> str:
    """A handler: the block itself, or one whose ``on_start`` is the block."""
    if "class Handler" in block:
        return block if "import" in block else HEAD + block
    return f"{HEAD}class Handler(BaseHandler):\n    def on_start(self):\n{textwrap.indent(block, '        ')}{METHODS}"


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_examples_are_accepted(block: str, tmp_path: Path) -> None:
    text = script(block)
    assert not lint(text)
    file = tmp_path / "shop.py"
    file.write_text(text)
    ran = run(file, "on_start", settings={"password": "secret"})
    assert len(ran.follows) == len(re.findall(r"self\.(?:crawl|download)\(", block.split("def inside")[0]))
    for task in ran.follows:
        wanted = None if "crawl_config" in block else "browser"  # crawl_config is joined in when the task is sent
        assert task["fetch"].get("fetch_type") == wanted


def test_every_argument_has_an_example_and_a_row() -> None:
    for name in [*browse_args.NAMES, "js_script", "js_run_at", "load_images", "session"]:
        assert f"`{name}`" in PAGE.partition("### Waiting")[0], name
        assert f"{name}=" in PAGE, name


def test_the_figures_are_those_of_the_code() -> None:
    limits, mib = BrowserSettings(), 2**20
    said = " ".join(PAGE.split())
    for words in (
        f"does not come within {limits.wait_within:g} seconds",
        f"At most {limits.max_actions} actions",
        f"{browse_args.SCROLLS} times at most",
        f"up to {limits.max_pixels // 1_000_000} million pixels, a file up to {limits.max_attachment // mib} MiB",
        f"Up to {limits.max_xhr} answers and {browser_client.MAX_XHR // mib} MiB of text",
        f"Up to {cookie_jar.MAX_COOKIES} cookies and {browser_jar.MAX_STORAGE // 1024} KiB of storage "
        f"({browser_jar.MAX_ORIGIN // 1024} KiB an origin)",
        f"A file has up to {limits.max_file // mib // 1024} GiB",
        f"after {limits.recycle_pages} pages",
        f"takes over {limits.recycle_memory // mib // 1024} GiB",
        f"takes over {limits.page_memory / mib / 1024:g} GiB",
        f"loads over {limits.max_load // mib} MiB",
    ):
        assert words in said, words
    assert limits.max_navigations == 10
    assert limits.action_within == 10
    assert limits.download_within == 5
    assert (limits.recycle_age, limits.idle) == (3600, 60)
