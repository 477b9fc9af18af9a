"""Makes one.svg, the picture in the README: a terminal with the real output of real commands.

    pip install pyte; python docs/img/make.py

The commands run in a pseudo-terminal of their own; pyte plays the terminal, rich draws it.
"""

from __future__ import annotations

import itertools
import os
import pty
import re
import select
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyte
from rich.console import Console
from rich.style import Style
from rich.text import Text

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MANUAL = "/usr/share/doc/postgresql-doc-15/html"
COLUMNS, LINES = 118, 60
ONE = "crawlkit one manual.py -o manual.jsonl --data-path data --rate 150"
SCENES = [  # a command, and after how many seconds somebody presses Ctrl-C
    (ONE, 5.0),
    (ONE, None),
    ("wc -l manual.jsonl; tail -1 manual.jsonl | cut -c-116", None),
    ("crawlkit --data-path data audit", None),
]
COLOURS = {"brown": "yellow", "brightbrown": "bright_yellow", "default": None}


def play(command: str, folder: Path, interrupt: float | None) -> list[Text]:
    """What a terminal shows at the end of a command, or of as much of it as somebody lets it do."""
    screen = pyte.Screen(COLUMNS, LINES)
    before: list[Text] = []
    stream = pyte.ByteStream(screen)
    child, master = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.environ.update(TERM="xterm-256color", COLUMNS=str(COLUMNS), LINES=str(LINES))
        os.execvp("bash", ["bash", "-c", command])
    deadline = None if interrupt is None else time.monotonic() + interrupt
    while True:
        if deadline is not None and not select.select([master], [], [], max(0, deadline - time.monotonic()))[0]:
            before = lines_of(screen)  # the bar is there while it runs, and leaves nothing behind
            before[-1].append("^C")
            screen.reset()
            os.write(master, b"\x03")
            deadline = None
        select.select([master], [], [])
        try:
            data = os.read(master, 65536)
        except OSError:  # how Linux says that the other end was closed
            break
        if not data:
            break
        stream.feed(data)
    os.close(master)
    os.waitpid(child, 0)
    return before + lines_of(screen)


def lines_of(screen: pyte.Screen) -> list[Text]:
    """What is on the screen, without the empty rest."""
    lines = [line_of(screen, number) for number in range(LINES)]
    return [line for line in lines if line.plain.strip(" ^C")]


def line_of(screen: pyte.Screen, number: int) -> Text:
    cells = [screen.buffer[number][column] for column in range(COLUMNS)]
    text = Text()
    for (fg, bold, italic), run in itertools.groupby(cells, lambda cell: (cell.fg, cell.bold, cell.italics)):
        text.append("".join(cell.data for cell in run), Style(color=colour(fg), bold=bold, italic=italic))
    text.rstrip()
    return text


def colour(name: str) -> str | None:
    if name in COLOURS:
        return COLOURS[name]
    if re.fullmatch(r"[0-9a-f]{6}", name):
        return "#" + name
    return name.replace("bright", "bright_")


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "manual.py").write_text((ROOT / "examples" / "postgres_manual.py").read_text())
        (folder / "bin").mkdir()
        (folder / "bin" / "crawlkit").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {ROOT}/run.py "$@"\n')
        (folder / "bin" / "crawlkit").chmod(0o755)
        os.environ["PATH"] = f"{folder}/bin:{os.environ['PATH']}"
        serve = [sys.executable, ROOT / "examples" / "serve.py", MANUAL, "--port", "0"]
        server = subprocess.Popen(serve, stderr=subprocess.PIPE, text=True)
        assert server.stderr is not None
        os.environ["POSTGRES_MANUAL_URL"] = server.stderr.readline().split()[-1] + "index.html"
        try:
            console = Console(record=True, width=COLUMNS, file=open(os.devnull, "w"), force_terminal=True)  # noqa: SIM115
            for command, interrupt in SCENES:
                console.print(Text(f"$ {command}", Style(bold=True)))
                for line in play(command, folder, interrupt):
                    console.print(line)
                console.print()
        finally:
            server.terminate()
            server.wait()
    svg = console.export_svg(title="crawlkit")
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)  # nothing is loaded from elsewhere
    (HERE / "one.svg").write_text(svg)


if __name__ == "__main__":
    main()
