"""docs/downloads.md: its script makes the tasks it says, and its table of names is that of the code."""

from __future__ import annotations

import re
from pathlib import Path

from crawlkit import testing
from crawlkit.libs.filenames import REPLACED, safe_name

PAGE = (Path(__file__).parents[2] / "docs/downloads.md").read_text()
SITE = """<ul><li class="episode" data-file="/f/1" data-sha256="{}"><b>Pilot: a/b?</b></li>
<li class="episode" data-file="/f/2"><b>Two</b></li></ul>""".format("ab" * 32)


def test_the_script(tmp_path: Path) -> None:
    script = tmp_path / "shows.py"
    script.write_text(re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)[0])
    ran = testing.run(script, "show_page", SITE, url="https://example.com/shows")
    assert [task["url"] for task in ran.follows] == ["https://example.com/f/1", "https://example.com/f/2"]
    assert [task["fetch"]["download"] for task in ran.follows] == [
        {"to": "shows/Pilot： a-b？.mp4", "sha256": "ab" * 32},
        {"to": "shows/Two.mp4"},
    ]
    assert [task["process"] for task in ran.follows] == [{"callback": "saved"}] * 2


def test_the_table_of_names() -> None:
    rows = dict(re.findall(r"^\| (`.*) \| (`.*) \|$", PAGE.replace(r"\|", "¦"), re.MULTILINE))
    said = {}
    for left, right in rows.items():
        before, after = re.findall("`(.*?)`", left), re.findall("`(.*?)`", right)
        said.update(zip(before, after * (len(before) if len(after) == 1 else 1), strict=True))
    marks = {before.replace("¦", "|"): after for before, after in said.items() if len(before) == 1}
    assert marks == REPLACED
    for before in ("NUL", "con.txt", "COM1"):
        assert said[before] == safe_name(before)
