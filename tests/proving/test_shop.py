"""The handler script of the site compiles, and says where it starts."""

from __future__ import annotations

import pytest

from crawlkit.processor.project_loader import load_project
from crawlkit.proving.shop import PROJECT, shop_script


@pytest.mark.parametrize("doc", [False, True])
@pytest.mark.parametrize("start", ["http://127.0.0.1:8000/p/0.html", 'https://h/$it\'s "odd"?a=b'])
def test_it_loads_and_starts_where_it_was_told(start: str, doc: bool) -> None:
    text = shop_script(start, doc=doc)
    assert ("response.doc" in text) is doc
    module: dict[str, object] = {}
    exec(compile(text, "shop.py", "exec"), module)
    assert module["START"] == start
    handler = load_project(PROJECT, text).handler
    assert handler.crawl_config["validate_cert"] is start.startswith("http:")
