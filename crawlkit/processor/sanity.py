"""Whether a callback left its worker as it found it: signals, directory, locale, threads, children, patched modules.

Looks only, and cheaply, for it looks after every task; a worker that is not as before is replaced, never mended.
"""

from __future__ import annotations

import _locale
import _signal  # type: ignore[import-not-found]
import _thread
import asyncio
import builtins
import datetime
import gc
import io
import json
import locale
import os
import random
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

FDS_LEFT_OPEN = 32  # file descriptors that callbacks may leak before their worker is replaced

_SIGNALS = ("SIGALRM", "SIGINT", "SIGTERM", "SIGCHLD", "SIGPIPE", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGSEGV", "SIGABRT")
_MODULES = (_thread, asyncio, builtins, datetime, io, json, locale, os, random, re, select, signal, socket,
            subprocess, sys, threading, time)  # fmt: skip
_NAMES: tuple[tuple[Any, str], ...] = (
    (builtins, "open"), (builtins, "print"), (builtins, "__import__"), (builtins, "len"), (builtins, "str"),
    (datetime, "datetime"), (json, "dumps"), (json, "loads"), (os, "getcwd"), (os, "environ"), (os, "_exit"),
    (random, "random"), (re, "compile"), (signal, "signal"), (signal, "setitimer"), (socket, "socket"),
    (socket, "create_connection"), (socket, "getaddrinfo"), (sys, "stdin"), (sys, "stdout"), (sys, "stderr"),
    (sys, "excepthook"), (sys, "modules"), (threading, "Thread"), (time, "time"), (time, "monotonic"),
    (time, "sleep"), (time, "perf_counter"), (time, "strftime"),
)  # fmt: skip


def _lowest_fd() -> int:
    fd = os.dup(0)
    os.close(fd)
    return fd


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


class Sanity:
    """What the world looked like when the worker was new, or had just loaded its project's script.

    What a script changes at its top level holds for its own project only, as the worker is its own.
    """

    def __init__(self) -> None:
        getsignal = _signal.getsignal  # without the signal module's enums, ten times as fast
        signals = [int(getattr(signal, name)) for name in _SIGNALS]
        self._names = [(vars(module), name, getattr(module, name)) for module, name in _NAMES]
        self._modules = [(module.__name__, module) for module in _MODULES]
        self._threads = _thread._count()
        self._environ = dict(_raw_environ())
        self._fds = _lowest_fd() + FDS_LEFT_OPEN
        self._checks: tuple[tuple[str, Callable[[], Any]], ...] = (
            ("the signal handlers", lambda: list(map(getsignal, signals))),
            ("the signal mask", lambda: _signal.pthread_sigmask(_signal.SIG_BLOCK, ())),
            ("the working directory", os.getcwd),
            ("the locale", lambda: _locale.setlocale(_locale.LC_ALL)),
            ("the umask", _umask),
            ("the garbage collector", gc.isenabled),
            ("the recursion limit", sys.getrecursionlimit),
            ("the default socket timeout", socket.getdefaulttimeout),
            ("the trace function", sys.gettrace),
            ("the profile function", sys.getprofile),
        )
        self._before = [look() for _, look in self._checks]

    def what_is_wrong(self) -> str | None:
        """What the last callback changed or left behind, in words; ``None`` when nothing."""
        if _thread._count() > self._threads:
            return "a callback left a thread running"
        if _has_children():
            return "a callback left a process running"
        for (what, look), before in zip(self._checks, self._before, strict=True):
            try:
                now = look()
            except OSError as error:  # the working directory is gone
                return f"a callback changed {what}: {error}"
            if now != before:
                return f"a callback changed {what}"
        try:
            for names, name, value in self._names:
                if names[name] is not value:
                    return f"a callback replaced {names['__name__']}.{name}"
            modules = sys.modules
            for name, module in self._modules:
                if modules[name] is not module:
                    return f"a callback replaced the module {name}"
        except KeyError as error:
            return f"a callback removed {error}"
        if _raw_environ() != self._environ:
            return "a callback changed the environment"
        if _lowest_fd() > self._fds:
            return "callbacks left files open"
        return None


def _raw_environ() -> dict[bytes, bytes]:
    """What os.environ wraps: comparing the wrapper would decode every name and value."""
    raw: dict[bytes, bytes] = os.environ._data  # type: ignore[attr-defined]
    return raw


def _has_children() -> bool:
    """Whether children are alive. Those that have ended are collected here."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True
