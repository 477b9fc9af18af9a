"""Several schedulers on one database and one Redis, with a node of workers, and a site that writes down each request.

Run as a script it is a scheduler whose time of day is wrong: ``python schedulers.py SECONDS [crawlkit's arguments]``.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    from crawlkit.libs import clock

    def wrong(ahead: float = float(sys.argv[1])) -> float:
        return time.time() + ahead

    clock.SystemClock.time = staticmethod(wrong)  # type: ignore[method-assign]
    del sys.argv[1]
    from crawlkit.cli import main

    main()

from tests.e2e.commands import run, until
from tests.servers import fresh_database, own_redis

READY = 40.0  # seconds
ME = Path(__file__)


class LoggingSite:
    """Serves a small page at each address of 127.0.0.0/8, on one port; writes down when it was asked for what."""

    def __init__(self) -> None:
        self.log: list[tuple[float, str, str]] = []  # Unix time, host, path
        self._server = socket.create_server(("0.0.0.0", 0), backlog=1_000)
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=[connection], daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        buffer = b""
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(65_536):
                buffer += data
                while b"\r\n\r\n" in buffer:
                    head, buffer = buffer.split(b"\r\n\r\n", 1)
                    lines = head.decode("latin-1").split("\r\n")
                    path = lines[0].split(" ")[1]
                    host = next(line[6:] for line in lines if line.lower().startswith("host: "))
                    if path != "/robots.txt":
                        self.log.append((time.time(), host, path))
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nok")

    def close(self) -> None:
        self._server.close()


class Schedulers:
    """The processes. A context manager; nothing of it is left behind."""

    def __init__(self, folder: Path, seed: int, database: str = "postgres") -> None:
        """``database``: postgres or mariadb."""
        self._kind = database
        self.folder = folder
        self.random = random.Random(seed)
        self.running: list[subprocess.Popen[bytes]] = []
        self.kills = 0
        self._stack = ExitStack()
        self._names = 0

    def __enter__(self) -> Schedulers:
        try:
            self.database = self._stack.enter_context(fresh_database(self._kind))
            queue = self._stack.enter_context(own_redis(self.folder)).url
            kept = {name: value for name, value in os.environ.items() if not name.startswith("CRAWLKIT_")}
            self.env = kept | {
                "CRAWLKIT_DATABASE": self.database,
                "CRAWLKIT_MESSAGE_QUEUE": queue,
                "CRAWLKIT_SECRET_KEY": "a-secret-of-this-test-alone",
            }
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.running:
            self._kill(process)
        self._stack.close()

    def _start(self, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
        self._names += 1
        data = self.folder / f"d{self._names}"
        with (self.folder / f"said{self._names}.txt").open("ab") as said:
            return subprocess.Popen(
                [sys.executable, *arguments], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                env=self.env | {"CRAWLKIT_DATA_PATH": str(data)}, start_new_session=True,
            )  # fmt: skip

    @staticmethod
    def _kill(process: subprocess.Popen[bytes]) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(20)

    def start(self, ahead: float = 0.0) -> subprocess.Popen[bytes]:
        """One scheduler, whose clock is ``ahead``."""
        made = self._start([str(ME), str(ahead), "scheduler", "--xmlrpc-port", "0"])
        self.running.append(made)
        return made

    def kill_one(self) -> None:
        """Any of them, by SIGKILL, and starts another one in its place with another wrong clock."""
        victim = self.random.choice(self.running)
        self.running.remove(victim)
        self._kill(victim)
        self.kills += 1
        self.start(self.random.choice([-2.0, 0.0, 2.0]))

    def freeze_one(self, seconds: float) -> None:
        """One of them stands still, long enough for the others to take what it has."""
        victim = self.random.choice(self.running)
        os.kill(victim.pid, signal.SIGSTOP)
        time.sleep(seconds)  # this is what is tested
        os.kill(victim.pid, signal.SIGCONT)

    @contextmanager
    def node(self) -> Iterator[None]:
        """Fetcher, processor and result worker."""
        process = self._start(["-P", "-m", "crawlkit", "node", "--no-browser"])
        try:
            yield
        finally:
            self._kill(process)

    def command(self, *words: str, timeout: float = 60) -> str:
        done = run(list(words), self.folder, self.env | {"CRAWLKIT_DATA_PATH": str(self.folder / "d")}, timeout)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}\n{self.said()}"
        return done.stdout

    def shares(self) -> dict[str, list[str]]:
        found: dict[str, Any] = json.loads(self.command("partitions", "--json"))
        shares: dict[str, list[str]] = {}
        for part, owner in found["owners"].items():
            shares.setdefault(owner, []).append(part)
        return shares

    def settled(self, partitions: int) -> bool:
        """Whether those that run have everything between them."""
        pids = {f"pid {process.pid}" for process in self.running}
        shares = self.shares()
        return {owner.rpartition(", ")[2] for owner in shares} == pids and sum(map(len, shares.values())) == partitions

    def until(self, condition: Any, timeout: float, what: str) -> float:
        try:
            return until(condition, timeout, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.said()}") from None

    def said(self) -> str:
        """The end of what each process said."""
        files = sorted(self.folder.glob("said*.txt"), key=lambda file: file.stat().st_mtime)
        return "\n".join(f"-- {file.name}\n{file.read_text(errors='replace')[-1500:]}" for file in files[-6:])
