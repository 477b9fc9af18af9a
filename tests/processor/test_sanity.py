"""Each change a callback may leave behind is seen. Runs in forked children: the changes are real."""

from __future__ import annotations

import os

import pytest

from crawlkit.processor.sanity import Sanity

CHANGES = {
    "nothing": ("pass", None),
    "signal": ("import signal; signal.signal(signal.SIGALRM, signal.SIG_IGN)", "signal handlers"),
    "mask": ("import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])", "signal mask"),
    "cwd": ("import os; os.chdir('/')", "working directory"),
    "locale": ("import locale; locale.setlocale(locale.LC_ALL, 'C')", "locale"),
    "umask": ("import os; os.umask(0o123)", "umask"),
    "gc": ("import gc; gc.disable()", "garbage collector"),
    "recursion": ("import sys; sys.setrecursionlimit(5000)", "recursion limit"),
    "socket": ("import socket; socket.setdefaulttimeout(1)", "socket timeout"),
    "trace": ("import sys; sys.setprofile(lambda *a: None)", "profile function"),
    "time": ("import time; time.time = lambda: 0", "time.time"),
    "open": ("import builtins; builtins.open = None", "builtins.open"),
    "stdout": ("import sys; sys.stdout = None", "sys.stdout"),
    "modules": ("import sys; sys.modules['json'] = None", "module json"),
    "removed": ("import time; del time.strftime", "removed 'strftime'"),
    "removed module": ("import sys; del sys.modules['json']", "removed 'json'"),
    "environ": ("import os; os.environ['X_CHANGED'] = '1'", "environment"),
    "thread": ("import threading, time; threading.Thread(target=time.sleep, args=(9,)).start()", "thread"),
    "process": ("import os, time; os.fork() or time.sleep(2)", "process"),
    "ended process": ("import os, time; os.fork() or os._exit(0); time.sleep(0.2)", None),
    "files": ("import os; fds = [os.dup(0) for _ in range(200)]", "files open"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_seen(name: str) -> None:
    code, expected = CHANGES[name]
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        said = "no answer"
        try:
            os.environ["LC_ALL"] = "C.UTF-8"
            import locale

            locale.setlocale(locale.LC_ALL, "")
            sanity = Sanity()
            assert sanity.what_is_wrong() is None
            exec(code, {})
            said = str(sanity.what_is_wrong())
        except BaseException as error:  # the child must not go on as a second pytest
            said = f"{type(error).__name__}: {error}"
        finally:
            os.write(write, said.encode())
            os._exit(0)
    os.close(write)
    said = os.read(read, 4096).decode()
    os.close(read)
    os.waitpid(pid, 0)
    assert expected in said if expected else said == "None"
