"""docs/why.md lists every answer there is."""

from __future__ import annotations

from pathlib import Path

from crawlkit.scheduler.why import CODES


def test_every_code_is_on_the_page_in_its_words() -> None:
    page = (Path(__file__).parents[1] / "docs" / "why.md").read_text()
    assert [line for line in page.splitlines() if line.startswith("| `")] == [
        f"| `{code}` | {text} |" for code, text in CODES.items()
    ]
