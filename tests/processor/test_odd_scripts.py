"""Scripts that do not load, or are odd: the project says why and at which line, the others go on (R-53)."""

from __future__ import annotations

import asyncio
import codecs
from pathlib import Path

import pytest

from crawlkit.cli.scripts import read_script
from crawlkit.libs.errors import ScriptError, UsageError
from tests.processor.helpers import bench, fetched, script

GOOD = script("def page(self, response):\n    return 1\n")
LINES = GOOD.count("\n")
#: script -> (why its tasks fail, a word of the message, the line that it names); None: it runs.
ODD: dict[str, tuple[str, str, int | None] | None] = {
    "import no_such_module\n" + GOOD: ("script_error", "No module named 'no_such_module'", 1),
    "from os import no_such_name\n" + GOOD: ("script_error", "no_such_name", 1),
    "from . import sibling\n" + GOOD: ("script_error", "crawlkit_project", 1),
    "from projects import no_such_project\n" + GOOD: ("script_error", "no_such_project", 1),
    GOOD + "def f(:\n": ("script_error", "SyntaxError", LINES + 1),
    GOOD + "x = (1,\n": ("script_error", "SyntaxError", LINES + 1),
    GOOD + "   x = 1\n": ("script_error", "IndentationError", LINES + 1),
    GOOD + "\tdef b(self):\n        pass\n": ("script_error", "TabError", LINES + 1),
    GOOD.replace("    ", "\t"): None,
    "\ufeff" + GOOD: ("script_error", "U+FEFF", 1),  # of a file it is not part of the text
    GOOD + "\0": ("script_error", "null bytes", None),
    GOOD + "x = '\\0'\n": None,
    GOOD + "# \ud800\n": ("script_error", "surrogate", None),
    GOOD + "# " + "x" * 2**20: None,
    GOOD + "x = 1\n" * 150_000: None,
    GOOD + "x = " + "(" * 500 + ")" * 500: ("script_error", "too many nested parentheses", LINES + 1),
    GOOD + "x = " + "-" * 100_000 + "1": ("script_error", "", None),
    GOOD.replace("\n", "\r\n"): None,
    GOOD.replace("\n", "\r"): None,
    "": ("script_error", "no class that subclasses BaseHandler", None),
}
IDS = [f"{number}: {text.replace(GOOD, '')[:30]!r}" for number, text in enumerate(ODD)]


@pytest.mark.parametrize("text", ODD, ids=IDS)
def test_R53_an_odd_script_runs_or_says_why_and_others_go_on(text: str) -> None:
    async def scene() -> None:
        async with bench() as it:
            version, calm = it.projects.save("odd", text), it.projects.save("calm", GOOD)
            odd, other = await it.run(fetched("odd", version), fetched("calm", calm))
            assert other.results == ["1"]
            assert odd.process is not None
            wrong = ODD[text]
            if wrong is None:
                assert odd.results == ["1"], odd.process
                return
            reason, words, line = wrong
            said = odd.process.exception or ""
            assert odd.process.reason == reason
            assert words in said
            assert line is None or f"line {line}" in said + (odd.process.logs or "")
            mended = it.projects.save("odd", GOOD)
            (after,) = await it.run(fetched("odd", mended, attempt=2))
            assert after.results == ["1"]

    asyncio.run(scene())


@pytest.mark.parametrize("name", ["json", "re", "asyncio", "os", "logging", "msgspec", "lxml", "crawlkit", "pyspider"])
def test_R53_a_project_named_as_a_module_takes_nothing_away(name: str) -> None:
    """Neither from itself, nor from another project in the same worker, nor from the worker."""
    uses = f"import {'json' if name == 'pyspider' else name} as named\n"

    async def scene() -> None:
        async with bench(workers=1, per_project=1) as it:
            body = "def page(self, response):\n    return named.__name__ if response.doc('title').text() else ''"
            own = it.projects.save(name, script(body, uses))
            other = it.projects.save("other", script(body, uses))
            for project, version in ((name, own), ("other", other), (name, own)):
                (outcome,) = await it.run(fetched(project, version, attempt=len(it.ended) + 1))
                assert outcome.results == [f'"{uses.split()[1]}"'], outcome.process

    asyncio.run(scene())


def test_R53_a_file_with_a_mark_or_carriage_returns_is_read_as_what_it_says(tmp_path: Path) -> None:
    file = tmp_path / "shop.py"
    file.write_bytes(codecs.BOM_UTF8 + GOOD.replace("\n", "\r\n").encode())
    assert read_script(file) == GOOD


@pytest.mark.parametrize("text", [b"\xff\xfex\0", b"x = 1\0", "x = 'é'".encode("latin-1"), b"def f(:\n"])
def test_R53_a_file_that_is_no_script_is_refused_with_its_name(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "shop.py"
    file.write_bytes(text)
    with pytest.raises((ScriptError, UsageError), match=r"shop\.py"):
        read_script(file)
