"""Short commands for tests, each in a process of its own that is forked from one which has loaded crawlkit already.

Most of what such a command costs is the loading. Run as a script it is the process that forks: a line of JSON on its
standard input is a command, a line on its standard output says how one ended. A command has its own environment,
folder, session and descriptors, as one that was started anew; what depends on how an interpreter starts (its
environment variables, ``sitecustomize``) needs one that is: see :func:`fits`.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NoReturn

from crawlkit import cli

ROOT = Path(__file__).parents[1]
#: Commands that ask or order something and end; those that crawl, serve or measure are started anew.
COMMANDS = frozenset({"audit", "logs", "nodes", "project", "results", "sinks", "submit", "task", "tasks"})
STARTS = ("PYTHON", "LC_", "LD_", "LANG", "TZ", "MALLOC_", "OPENSSL_", "COVERAGE")  # what an interpreter starts with
LOADED = (
    "crawlkit.cli.audit", "crawlkit.cli.logs", "crawlkit.cli.nodes", "crawlkit.cli.output", "crawlkit.cli.project",
    "crawlkit.cli.read", "crawlkit.cli.sinks", "crawlkit.cli.submit", "crawlkit.cli.task", "crawlkit.wiring",
    "crawlkit.database.sqlalchemy.logstore", "crawlkit.database.sqlalchemy.projectstore",
    "crawlkit.database.sqlalchemy.resultstore", "crawlkit.database.sqlalchemy.sqlite",
    "crawlkit.database.sqlalchemy.taskstore", "crawlkit.scheduler.books", "crawlkit.scheduler.control",
)  # fmt: skip


def starting(env: Mapping[str, str]) -> dict[str, str]:
    """The part of an environment that an interpreter reads when it starts."""
    return {name: value for name, value in env.items() if name.startswith(STARTS)}


def fits(line: Sequence[str], env: Mapping[str, str]) -> bool:
    """Whether a command line is one of :data:`COMMANDS`, in an environment that makes no other interpreter of this."""
    verb = next((word for word in line if word in cli.COMMANDS), "")
    options = {"--debug", "--follow", "--watch", "--logging-config", "--not-add-sys-path"}
    return verb in COMMANDS and options.isdisjoint(line) and starting(env) == starting(os.environ)


class _Forker:
    """The handle of a test process on the process that forks for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        command = [sys.executable, "-m", "tests.forked"]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        atexit.register(self._close)

    def _close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def run(self, line: Sequence[str], cwd: Path, env: Mapping[str, str], timeout: float) -> tuple[int, str, str]:
        """(exit code, standard output, standard error)."""
        with tempfile.TemporaryDirectory(prefix="ck-forked-") as folder, self._lock:
            said = [Path(folder, name) for name in ("out", "err")]
            asked = {"line": [*line], "cwd": str(cwd), "env": dict(env), "timeout": timeout, "said": [*map(str, said)]}
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(json.dumps(asked) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
            assert answer, "the process that forks is gone"
            code = json.loads(answer)
            out, err = (file.read_text() for file in said)
        if code is None:
            raise subprocess.TimeoutExpired([*line], timeout, out, err)
        return int(code), out, err


_forker: _Forker | None = None


def run(
    line: Sequence[str], cwd: Path, env: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:  # fmt: skip
    """As ``subprocess.run`` of ``run.py`` with this command line; it must fit."""
    global _forker
    if _forker is None:
        _forker = _Forker()
    code, out, err = _forker.run(line, cwd, env, timeout)
    return subprocess.CompletedProcess([*line], code, out, err)


def _play(asked: dict[str, Any]) -> NoReturn:
    """In the forked process: what an interpreter that was started for the command would do."""
    os.setsid()
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    for number, (place, flags) in enumerate(
        [(os.devnull, os.O_RDONLY), *((place, os.O_WRONLY | os.O_CREAT) for place in asked["said"])]
    ):
        opened = os.open(place, flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin, sys.stdout, sys.stderr = (_opened(number) for number in range(3))
    sys.argv = [str(ROOT / "run.py"), *asked["line"]]
    code = 1
    try:
        cli.main()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


def _opened(number: int) -> IO[str]:
    if number == 2:
        return open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)
    return open(number, "r" if number == 0 else "w", encoding="utf-8", closefd=False)


def _wait(pid: int, seconds: float) -> int | None:
    """The exit code, as ``subprocess`` says it; ``None``: it took too long, and was killed with its session."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.003)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def _serve() -> None:
    import gc
    import importlib

    for name in LOADED:
        importlib.import_module(name)
    assert threading.active_count() == 1, "a process with threads cannot be forked"
    gc.freeze()
    for text in iter(sys.stdin.readline, ""):
        asked = json.loads(text)
        pid = os.fork()
        if not pid:
            _play(asked)
        print(json.dumps(_wait(pid, asked["timeout"])), flush=True)


if __name__ == "__main__":
    _serve()
