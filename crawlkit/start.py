"""The first moments of a command, while nothing is loaded.

`crawlkit all` and `crawlkit node` consist of processes that need the same libraries, so these are loaded once, in a
process that the others are forked from (:mod:`crawlkit.forkserver`). Handlers run in some of them. Therefore the
command first starts itself anew, with an environment in which there is no secret and without its options, and gets
both back from a file in memory when the server has been forked; `ps` shows the options then, without what is secret in
them. Only on Linux; elsewhere every component is started by itself.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from crawlkit.libs.malloc import MALLOC

if TYPE_CHECKING:
    from crawlkit.forkserver import Inherited

GIVEN = "CRAWLKIT_GIVEN_ENVIRONMENT"  # environment: the descriptor of a file with the real one, and the options
#: Commands that start components; None: there is no word of a command, which means all.
STARTERS = (None, "all", "node")
#: Options before the command that take no value.
FLAGS = frozenset({"--debug", "--no-debug", "--add-sys-path", "--not-add-sys-path"})
ENDS = frozenset({"-h", "--help", "--version"})  # whoever says this wants to read something and no more
#: What a new interpreter needs of an environment, and what the libraries read while they are loaded.
NAMES = frozenset({"PATH", "HOME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", *MALLOC})
PREFIXES = ("PYTHON", "LC_", "LD_", "MALLOC_", "OPENSSL_", "COVERAGE_")


def main() -> None:
    """The command ``crawlkit``."""
    inherited = None
    if GIVEN in os.environ:
        inherited = _load(int(os.environ.pop(GIVEN)))
    elif command_of(sys.argv[1:]) in STARTERS and ENDS.isdisjoint(sys.argv):
        _start_anew(sys.argv[1:])
    from crawlkit.cli import run

    code = run(inherited=inherited)
    if inherited is not None:
        leave(code)
    sys.exit(code)


def command_of(args: Sequence[str]) -> str | None:
    """The word for the command in a command line, as far as that can be told without knowing all options."""
    is_value = False
    for word in args:
        if word.startswith("-"):
            is_value = "=" not in word and word not in FLAGS
        elif is_value:
            is_value = False
        else:
            return word
    return None


def bare(environ: dict[str, str]) -> dict[str, str]:
    """The part of an environment that is needed for loading; secrets are not in it."""
    kept = {name: value for name, value in environ.items() if name in NAMES or name.startswith(PREFIXES)}
    home = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    paths = [home, *filter(None, environ.get("PYTHONPATH", "").split(os.pathsep))]
    kept["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    return {**MALLOC, **kept}


def leave(code: int) -> NoReturn:
    """Ends the process as :func:`sys.exit` does, without taking everything apart that was loaded."""
    import atexit
    import threading

    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            code = code or 1
    os._exit(code)


def _start_anew(args: Sequence[str]) -> None:
    """Returns only where that is not possible."""
    if sys.platform != "linux" or not sys.executable:
        return
    try:
        os.close(os.pidfd_open(os.getpid()))
        given = os.memfd_create("environment")
    except OSError:  # an old kernel, or a sandbox that is none
        return
    with open(given, "wb", closefd=False) as file:
        pairs = (name + b"=" + value for name, value in os.environb.items())
        file.write(b"\0".join([b"%d" % len(args), *map(os.fsencode, args), *pairs]))
    os.lseek(given, 0, os.SEEK_SET)
    os.set_inheritable(given, True)
    env = {**bare(dict(os.environ)), GIVEN: str(given)}
    try:
        # -P: a file of the user's in the working directory must not hide a module of Python's
        os.execve(sys.executable, [sys.executable, "-P", "-m", "crawlkit"], env)
    except OSError:
        os.close(given)


def _load(given: int) -> Inherited:
    """Loads everything, forks the server, and takes the real environment. Returns in the components as well."""
    from crawlkit import forkserver
    from crawlkit.libs.url_masking import masked_words
    from crawlkit.process_title import renew_environment, set_title

    first = os.getpid()
    inherited = forkserver.begin(given)
    if os.getpid() == first:
        with open(given, "rb") as file:
            count, *said = map(os.fsdecode, file.read().split(b"\0"))
        sys.argv[1:] = said[: int(count)]
        pairs = (each.partition("=") for each in said[int(count) :])
        renew_environment({name: value for name, _, value in pairs if name})
        set_title(" ".join(["crawlkit", *masked_words(sys.argv[1:])]))
    return inherited
