"""Writes rooms.md: every module of the package with the first sentence of its head.

python docs/rooms.py
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "rooms.md"
ORDER = [
    "libs",
    "scheduler",
    "fetcher",
    "browser",
    "processor",
    "result",
    "database",
    "message_queue",
    "files",
    "webui",
    "cli",
    "proving",
    "wiring",
]
HEAD = """# Rooms

Every module and what it is for, in the words of its own head. Written by `docs/rooms.py`; a test misses no module.
"""


def sentence(file: Path) -> str:
    """The first sentence of a module's docstring, on one line."""
    text = ast.get_docstring(ast.parse(file.read_text())) or ""
    text = " ".join(text.partition("\n\n")[0].split())
    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text.replace("``", "`"))
    return re.split(r"(?<=[.!?]) (?=[A-Z])", text)[0].replace("|", "\\|")


def page() -> str:
    """The whole page."""
    package = ROOT / "crawlkit"
    parts = [HEAD]
    for name in ["", *ORDER]:
        folder = package / name
        pattern = "**/*.py" if name else "*.py"
        rows = []
        for file in sorted(folder.glob(pattern)):
            said = sentence(file)
            if said and "versions" not in file.parts and file.name != "env.py":
                rows.append(f"| `{file.relative_to(ROOT).as_posix()}` | {said} |")
        title = f"`crawlkit/{name}/`" if name else "The roof"
        parts.append(f"## {title}\n\n| module | what it is for |\n|---|---|\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page())
