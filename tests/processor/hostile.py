"""Handlers that do harm, with what their track should say."""

from __future__ import annotations

from typing import NamedTuple


class Hostile(NamedTuple):
    """``body`` is the code of ``def page(self, response)``."""

    body: str
    reasons: tuple[str, ...]  # any of them
    says: str = ""  # is in the exception text
    before: str = ""  # module level
    seconds: float = 4.0  # until the outcome, at most
    ok: bool = False


HOSTILE = {
    "endless loop": Hostile("while True: pass", ("time_limit",), "TimeLimit", seconds=3.0),
    "endless loop that catches all": Hostile(
        "while True:\n    try: time.sleep(0.1)\n    except BaseException: pass",
        ("time_limit",),
        "killed",
        before="import time\n",
    ),
    "endless regex": Hostile("re.match(r'(a+)+$', 'a' * 64 + 'b')", ("time_limit",), before="import re\n"),
    "endless loop in C": Hostile("sum(range(10 ** 15))", ("time_limit",), "killed"),
    "SIGALRM ignored": Hostile(
        "signal.signal(signal.SIGALRM, signal.SIG_IGN)\nwhile True: pass",
        ("time_limit",),
        "killed",
        before="import signal\n",
    ),
    "endless sleep": Hostile("time.sleep(1e6)", ("time_limit",), "TimeLimit", before="import time\n"),
    "50 GB list": Hostile("x = []\nwhile True: x.append(bytes(10**6))", ("memory_limit",), "MemoryError", seconds=3.0),
    "50 GB of small things": Hostile(
        "x = [None]\nwhile True: x.append([x[-1]])", ("memory_limit", "worker_died", "time_limit")
    ),
    "os._exit": Hostile("os._exit(3)", ("worker_died",), "exit code 3", before="import os\n", seconds=3.0),
    "os.abort": Hostile("os.abort()", ("worker_died",), "killed by signal 6 (SIGABRT)", before="import os\n"),
    "segfault": Hostile(
        "ctypes.string_at(0)", ("worker_died",), "killed by signal 11 (SIGSEGV)", before="import ctypes\n"
    ),
    "becomes another program": Hostile(
        "os.execv('/bin/sleep', ['sleep', '100'])", ("worker_died", "time_limit"), "killed by", before="import os\n"
    ),
    "kills itself": Hostile(
        "os.kill(os.getpid(), 9)", ("worker_died",), "killed by signal 9 (SIGKILL)", before="import os\n"
    ),
    "sys.exit": Hostile("sys.exit(4)", ("exit",), "SystemExit: 4", before="import sys\n", seconds=3.0),
    "KeyboardInterrupt": Hostile("raise KeyboardInterrupt", ("exit",), "KeyboardInterrupt", seconds=3.0),
    "forks": Hostile("while True: os.fork()", ("exception", "time_limit"), before="import os\n"),
    "a forked child that goes on": Hostile("os.fork()", (), before="import os\n", ok=True, seconds=3.0),
    "forks into sessions of their own": Hostile(
        "for i in range(5):\n    if not os.fork():\n        os.setsid()\n        while True: pass\nreturn {'a': 1}",
        (),
        before="import os\n",
        ok=True,
    ),
    "subprocesses": Hostile(
        "while True: subprocess.Popen(['sleep', '1000'], start_new_session=True)",
        ("exception", "time_limit"),
        before="import subprocess\n",
    ),
    "threads": Hostile(
        "def work():\n    while True: time.sleep(0.001)\n"
        "for i in range(20): threading.Thread(target=work).start()\nreturn {'a': 1}",
        (),
        before="import threading, time\n",
        ok=True,
        seconds=2.0,
    ),
    "endless print": Hostile("while True: print('x' * 100)", ("time_limit",), seconds=4.0),
    "endless raw write": Hostile("while True: os.write(1, b'x' * 100)", ("time_limit",), before="import os\n"),
    "1 GB result": Hostile("return 'x' * 10**9", ("memory_limit", "result", "time_limit"), seconds=6.0),
    "large result": Hostile("return 'x' * (5 * 2**20)", ("result",), "over the limit"),
    "unserialisable result": Hostile("return object()", ("result",)),
    "circular result": Hostile("x = []\nx.append(x)\nreturn x", ("result",)),
    "exception whose repr raises": Hostile(
        "class Bad(Exception):\n    def __str__(self): raise ValueError('no')\n    __repr__ = __str__\nraise Bad()",
        ("exception",),
        "Bad",
    ),
    "exception whose repr loops": Hostile(
        "class Bad(Exception):\n    def __str__(self):\n        while True: pass\n    __repr__ = __str__\nraise Bad()",
        ("exception", "time_limit"),
    ),
    "endless follow-ups": Hostile(
        "i = 0\nwhile True:\n    self.crawl('http://e.com/%d' % i, callback=self.page)\n    i += 1", ("time_limit",)
    ),
    "endless results": Hostile("i = 0\nwhile True:\n    yield {'i': i}\n    i += 1", ("time_limit",)),
    "changed world": Hostile(
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nos.chdir('/')\nlocale.setlocale(locale.LC_ALL, 'C')\n"
        "time.time = None\nreturn {'a': 1}",
        (),
        before="import locale, os, signal, time\n",
        ok=True,
    ),
    "broken pipe to the service": Hostile(
        "for fd in range(3, 20):\n    try: os.write(fd, b'\\xff' * 100)\n    except OSError: pass\nreturn 1",
        ("worker_died",),
        before="import os\n",
    ),
    "closed everything": Hostile("os.closerange(0, 100)", ("worker_died",), before="import os\n"),
}
