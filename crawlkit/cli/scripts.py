"""Handler scripts as files: ``crawlkit new``, and reading a script with its errors shown at their line.

Scripts are compiled here, never run: user code runs in handler workers only.
"""

from __future__ import annotations

import re
from pathlib import Path

import click

from crawlkit.cli.base import command, option, say
from crawlkit.libs.errors import InvalidProject, ScriptError, UsageError
from crawlkit.libs.task import check_project_name


@command(name="new", example="crawlkit new quotes --url https://quotes.toscrape.com/")
@click.argument("name")
@option("--url", default="https://example.com/", show_default=True, help="Where the crawl starts.")
@option("--force", is_flag=True, help="Overwrite a file that exists.")
def new(name: str, url: str, force: bool) -> None:
    """Write a commented starter script to NAME.py."""
    from crawlkit.libs.starter import starter_script

    path = Path(name if name.endswith(".py") else f"{name}.py")
    project = project_name(path)
    if not path.parent.is_dir():
        raise UsageError(f"{path.parent}: no such directory")
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(starter_script(project, url))
    except FileExistsError:
        raise UsageError(f"{path} exists already; --force overwrites it") from None
    say(f"wrote {path}; run it with: crawlkit one {path} -o {path.with_suffix('.jsonl')}")


def project_name(path: Path, name: str | None = None, *, option: bool = False) -> str:
    """The project a script file belongs to: ``name``, else the file's base name with ``_`` for what no name may hold.

    Raises :class:`InvalidProject`; ``option``: the command has a --name.
    """
    if name:
        return check_project_name(name)
    try:
        return check_project_name(re.sub(r"[^A-Za-z0-9_]", "_", path.stem))
    except InvalidProject as error:
        raise InvalidProject(f"{error}; rename the file" + (" or give --name" if option else "")) from None


def read_script(path: Path) -> str:
    """The text of a handler script that at least compiles.

    Raises :class:`UsageError` when it cannot be read and :class:`ScriptError` naming file, line and the line's text.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 text: {error.reason} at byte {error.start}") from None
    check_script(text, str(path))
    return text.replace("\r\n", "\n")


def check_script(text: str, name: str) -> None:
    """Raises :class:`ScriptError` when ``text`` does not compile, with the place and the line in its words."""
    try:
        compile(text, name, "exec", dont_inherit=True)
    except SyntaxError as error:
        line = (error.text or "").strip()
        place = f"{name}, line {error.lineno}" if error.lineno else name
        raise ScriptError(f"{place}: {error.msg}" + (f": {line}" if line else ""), error.lineno) from None
    except (ValueError, RecursionError, MemoryError) as error:  # NUL bytes, nesting without end
        raise ScriptError(f"{name}: {error}") from None
