"""The first moments of a command, and the processes that `crawlkit all` forks from one that has loaded everything."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import psutil
import pytest

from crawlkit import start
from crawlkit.cli import cli
from crawlkit.libs.malloc import MALLOC
from crawlkit.libs.secrets import new_key
from crawlkit.process_title import set_title
from tests import stored
from tests.cli.site import crawlkit, script, started, until

ROOT = Path(__file__).parents[1]
linux = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("", None),
        ("all", "all"),
        ("all --no-webui", "all"),
        ("--data-path all results shop", "results"),
        ("--data-path d all", "all"),
        ("--data-path=d all", "all"),
        ("--debug all", "all"),
        ("-c crawl.json", None),
        ("results all", "results"),
        ("one all", "one"),
    ],
)
def test_the_command_of_a_line(line: str, command: str | None) -> None:
    assert start.command_of(line.split()) == command


def test_the_options_without_a_value_are_known() -> None:
    flags = {word for param in cli.params if isinstance(param, click.Option) and (param.is_flag or param.count)
             for word in (*param.opts, *param.secondary_opts)}  # fmt: skip
    assert flags - start.ENDS == start.FLAGS


def test_what_is_needed_for_loading_holds_no_secret() -> None:
    environ = {
        "PATH": "/bin", "HOME": "/root", "LC_ALL": "C", "PYTHONUNBUFFERED": "1", "LD_PRELOAD": "x",
        "PYTHONPATH": "/p",
        "CRAWLKIT_DATABASE": "postgresql://u:pw@h/d", "TASKDB": "x", "AWS_SECRET_ACCESS_KEY": "y", "http_proxy": "z",
    }  # fmt: skip
    kept = start.bare(environ)
    assert set(kept) == {"PATH", "HOME", "LC_ALL", "PYTHONUNBUFFERED", "LD_PRELOAD", "PYTHONPATH", *MALLOC}
    assert kept["PYTHONPATH"] == f"{ROOT}{os.pathsep}/p"
    assert {name: kept[name] for name in MALLOC} == MALLOC
    assert start.bare({"GLIBC_TUNABLES": "mine"})["GLIBC_TUNABLES"] == "mine"


@linux
@pytest.mark.parametrize("title", ["a", "crawlkit scheduler", "crawlkit " + "x" * 150])
def test_a_title_is_what_ps_shows(title: str) -> None:
    code = (
        "import sys; from crawlkit.process_title import *; renew_environment({'KEPT': '1'}); set_title(sys.argv[1])\n"
    )
    code += "import os, subprocess; print(open('/proc/self/cmdline').read().split(chr(0))[0])\n"
    code += "print(subprocess.run(['env'], capture_output=True, text=True).stdout)"
    env = {"PYTHONPATH": str(ROOT), "FILL": "y" * 200}
    done = subprocess.run([sys.executable, "-c", code, title], env=env, capture_output=True, text=True, check=True)
    shown, kept, *_ = done.stdout.splitlines()
    assert shown == title
    assert kept == "KEPT=1"


@linux
@pytest.mark.parametrize("more", range(-3, 4))
def test_a_title_about_as_long_as_the_command_line_was(more: int) -> None:
    code = (
        "from crawlkit.process_title import *; renew_environment({}); size = len(open('/proc/self/cmdline').read())\n"
        f"title = 'crawlkit '.ljust(size + {more}, 'x'); set_title(title)\n"
        "assert open('/proc/self/cmdline').read().rstrip(' ' + chr(0)) == title, open('/proc/self/cmdline').read()"
    )
    env = {"PYTHONPATH": str(ROOT), "FILL": "y" * 200}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_title_that_cannot_be_set_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    before = psutil.Process().cmdline()
    set_title("something else")
    assert psutil.Process().cmdline() == before


LEAVES = """
import atexit, sys, threading, time
from crawlkit.start import leave
atexit.register(print, "at exit")
threading.Thread(target=lambda: (time.sleep(0.1), print("thread"))).start()
sys.stdout.write("said ")
leave(3)
"""


def test_a_process_leaves_as_any_other_does() -> None:
    done = subprocess.run([sys.executable, "-c", LEAVES], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, "said thread\nat exit\n", "")


@pytest.fixture
def everything(tmp_path: Path) -> Iterator[psutil.Process]:
    """A running ``crawlkit all`` with a secret in its environment, and one among its options."""
    env = {"CRAWLKIT_SECRET_KEY": KEY, "OTHER_SECRET": SECRET, "PYTHONUNBUFFERED": "1"}
    said = tmp_path / "said.txt"
    options = ("--queue-key", OPTION, "all", "--no-webui", "--data-path", "d")
    with started(*options, cwd=tmp_path, env=env) as process:
        until(lambda: said.exists() and "ready: " in said.read_text(), "readiness", 30)
        yield psutil.Process(process.pid)


KEY, SECRET, OPTION = new_key(), "secret-of-somebody-else", "key-that-is-an-option"
#: Finds them, and not itself; the last as Python keeps the words of its own command line, too.
PATTERN = "|".join("".join(f"[{letter}]" for letter in word) for word in (KEY, SECRET, OPTION))
PATTERN += "|" + r"\0\0\0".join(f"[{letter}]" for letter in OPTION)
LOOKING = (
    f"""
    PATTERN = {PATTERN.encode()!r}
"""
    + """
    def page(self, response):
        import os, re
        found = []
        with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
            for line in maps:
                place, rights, *rest = line.split()
                begin, end = (int(each, 16) for each in place.split("-"))
                if "r" in rights and "w" in rights:
                    memory.seek(begin)
                    try:
                        found += re.findall(self.PATTERN, memory.read(end - begin))
                    except OSError:
                        pass
        environs = [open(f"/proc/{pid}/environ").read() for pid in (os.getpid(), os.getppid())]
        return {"found": len(found), "environs": environs, "argv": open("/proc/self/cmdline").read()}
"""
)


@linux
def test_nothing_secret_is_in_the_memory_of_a_handler(everything: psutil.Process, tmp_path: Path) -> None:
    """The worker looks for it in all that it may write to; the same search finds it in the supervisor."""
    script(tmp_path, "self.crawl('data:,x', callback=self.page)")
    job = tmp_path / "job.py"
    job.write_text(re.sub(r"    def page\(.*", lambda _: LOOKING, job.read_text(), flags=re.DOTALL))
    crawlkit("project", "put", "job.py", "--status", "RUNNING", "--data-path", "d", cwd=tmp_path)
    crawlkit("project", "run", "job", "--data-path", "d", cwd=tmp_path)
    until(lambda: stored.results(tmp_path / "d") == 1, "the result")
    (line,) = crawlkit("results", "job", "--data-path", "d", cwd=tmp_path).stdout.splitlines()
    result = json.loads(line)["result"]
    assert result["found"] == 0
    assert not {KEY, SECRET} & set(re.findall(PATTERN, "".join(result["environs"])))
    assert result["argv"].startswith("crawlkit processor zygote")  # it was forked: this test is about that
    assert " ".join(everything.cmdline()) == "crawlkit --queue-key *** all --no-webui --data-path d"
    assert {KEY.encode(), SECRET.encode(), OPTION.encode()} <= set(
        re.findall(PATTERN.encode(), _memory(everything.pid))
    )


def _memory(pid: int) -> bytes:
    found = bytearray()
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            place, rights, *_ = line.split()
            begin, end = (int(each, 16) for each in place.split("-"))
            if rights.startswith("rw"):
                memory.seek(begin)
                found += memory.read(end - begin)
    return bytes(found)


def _family(top: psutil.Process) -> dict[str, psutil.Process]:
    """By the last words of what `ps` shows."""
    found = {}
    for child in top.children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if child.status() != psutil.STATUS_ZOMBIE:
                found[" ".join(child.cmdline()[-1:])] = child
    return found


@linux
def test_components_are_forked_and_stay_children_of_the_supervisor(everything: psutil.Process, tmp_path: Path) -> None:
    family = _family(everything)
    assert set(family) == {"fork-server", "result_worker", "processor", "fetcher", "scheduler"}
    for role in ("result_worker", "processor", "fetcher", "scheduler"):
        assert family[role].cmdline() == ["crawlkit", role]
        assert os.getsid(family[role].pid) == family[role].pid
        assert os.readlink(f"/proc/{family[role].pid}/fd/0") == os.devnull
    assert [child.cmdline() for child in family["processor"].children()] == [["crawlkit", "processor", "zygote"]]
    shared = Path(f"/proc/{family['fetcher'].pid}/smaps_rollup").read_text()
    rss, pss = (int(re.search(rf"^{name}: +(\d+)", shared, re.MULTILINE)[1]) for name in ("Rss", "Pss"))  # type: ignore[index]
    assert pss < rss / 2, "most of its memory is that of all"


@linux
def test_what_a_killed_processor_leaves_is_collected(everything: psutil.Process, tmp_path: Path) -> None:
    old = _family(everything)["processor"]
    (zygote,) = old.children()
    old.kill()
    until(lambda: not zygote.is_running(), "its zygote ended and nobody's zombie")
    until(lambda: "processor" in _family(everything), "another processor")
    until(lambda: _family(everything)["processor"].children() != [], "its zygote")


@linux
def test_without_the_fork_server_components_are_started_anew(everything: psutil.Process, tmp_path: Path) -> None:
    family = _family(everything)
    family["fork-server"].kill()
    until(lambda: not family["fork-server"].is_running(), "the end of the server")
    assert family["fetcher"].is_running()
    for role in ("fetcher", "processor"):
        family[role].kill()
        until(lambda role=role: _family(everything).get(role) not in (None, family[role]), f"another {role}")  # type: ignore[misc]
        assert _family(everything)[role].cmdline()[1:] == ["-P", "-m", "crawlkit", role]
    said = (tmp_path / "said.txt").read_text()
    assert said.count("the fork server is gone") == 1
    until(lambda: (tmp_path / "said.txt").read_text().count("processor is ready") == 2, "a processor with a zygote")
    everything.send_signal(signal.SIGTERM)
    assert everything.wait(15) == 0


LATE = '''
import logging, os, sys

class Modules(logging.Handler):
    """When a component is ready, notes what it has loaded."""

    def emit(self, record):
        words = record.getMessage().split()
        if words[1:3] == ["is", "ready"]:
            with open(f"modules-{words[0]}", "w") as file:
                file.write("\\n".join(sys.modules))
'''
CONFIG = """
[loggers]
keys=root
[handlers]
keys=modules,stderr
[formatters]
keys=
[logger_root]
level=INFO
handlers=modules,stderr
[handler_modules]
class=late.Modules
args=()
[handler_stderr]
class=StreamHandler
args=()
"""


@linux
def test_components_load_nothing_after_they_were_forked(tmp_path: Path) -> None:
    """Whoever moves an import adds it to ``LOADED``: what is missing there costs time and memory once per process."""
    (tmp_path / "late.py").write_text(LATE)
    (tmp_path / "log.ini").write_text(CONFIG)
    said = tmp_path / "said.txt"
    with started("--logging-config", "log.ini", "all", "--no-webui", "--data-path", "d", cwd=tmp_path):
        until(lambda: said.exists() and "ready: " in said.read_text(), "readiness", 30)
    code = "from crawlkit import forkserver; forkserver.load(); import sys; print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {*done.stdout.split(), "crawlkit.start", "runpy", "late", "logging.config", "configparser", "socketserver"}
    for role in ("result_worker", "processor", "fetcher", "scheduler"):
        late = set((tmp_path / f"modules-{role}").read_text().split()) - loaded
        assert not {name for name in late if not name.startswith(("_", "encodings."))}, role
