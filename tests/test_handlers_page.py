"""docs/handlers.md: its signatures are those of the code, nothing is missing on it, and its examples run."""

from __future__ import annotations

import inspect
import re
import sys
import types
from pathlib import Path
from typing import Any

import pytest

import crawlkit
from crawlkit import BaseHandler, Response, testing
from crawlkit.libs.crawl_args import CrawlArgs
from crawlkit.libs.forms import Form
from tests.e2e.site import Site

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "handlers.md").read_text()
OWNERS: dict[str, Any] = {
    "self": BaseHandler, "response": Response, "form": Form, "testing": testing, "ran": testing.Ran,
}  # fmt: skip
SAID = re.findall(r"^(?:### |\| )`(@|[a-z]+\.)(\w+)(\(.*\))?`", PAGE, re.MULTILINE)


def plain(function: Any, bound: bool) -> str:
    """A signature without types, and for a method without ``self``."""
    parameters = list(inspect.signature(function).parameters.values())[int(bound) :]
    bare = [each.replace(annotation=inspect.Parameter.empty) for each in parameters]
    return str(inspect.Signature(bare))


@pytest.mark.parametrize(("owner", "name", "said"), [one for one in SAID if one[2]], ids=lambda text: text)
def test_signatures_are_those_of_the_code(owner: str, name: str, said: str) -> None:
    if owner == "@":
        assert plain(getattr(crawlkit, name), False) == said
    else:
        found = OWNERS[owner[:-1]]
        assert plain(getattr(found, name), inspect.isclass(found)) == said


HIDDEN = {"project_info", "of"}  # what the framework calls


def public(owner: Any) -> set[str]:
    names = {name for cls in owner.__mro__[:-1] for name in (*vars(cls), *inspect.get_annotations(cls))}
    return {name for name in names if not name.startswith("_")} - HIDDEN


@pytest.mark.parametrize("name", ["self", "response", "form", "ran"])
def test_nothing_public_is_missing_and_nothing_is_made_up(name: str) -> None:
    assert {attribute for prefix, attribute, _ in SAID if prefix == f"{name}."} == public(OWNERS[name])


def test_every_argument_of_crawl_has_its_row() -> None:
    rows = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
    assert set(CrawlArgs.__annotations__) - {"last_modifed"} <= rows
    assert rows <= set(CrawlArgs.__annotations__)


SECTIONS = re.split(r"^## ", PAGE, flags=re.MULTILINE)
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda text: text.partition("\n")[0])
def test_examples_run(section: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("handlers_page")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.chdir(tmp_path)
    site = Site(ROOT / "examples" / "site", tmp_path / "ledger.txt")
    try:
        first, *blocks = BLOCK.findall(SECTIONS[0]) + ([] if section is SECTIONS[0] else BLOCK.findall(section))
        for block in (first, *blocks):
            code = "from __future__ import annotations\n" + block.replace("http://127.0.0.1:8090/", site.base)
            exec(compile(code, "docs/handlers.md", "exec", dont_inherit=True), module.__dict__)
    finally:
        site.close()


def test_every_section_that_tells_of_methods_has_an_example() -> None:
    for section in SECTIONS:
        if "### `self." in section and "What a class may say" not in section:
            assert BLOCK.search(section), section[:40]
