"""A PostgreSQL and a MariaDB of a test's own, to be stopped, killed, frozen and started again with their data.

Both know one user, ``crawler`` with the password :data:`PASSWORD`, who may make databases.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import psutil

from tests.needs import binary
from tests.servers import free_port

PASSWORD = "s3cr:t@w/rd"
QUOTED = "s3cr%3At%40w%2Frd"
UP = 30.0  # seconds
T = TypeVar("T", bound="OwnDatabase")


class OwnDatabase:
    """A server. Its folder is not in ``tmp_path``: the user it runs as could not get there."""

    name = owner = scheme = ""

    def __init__(self) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix=f"crawlkit-{self.name}-"))
        self._process: subprocess.Popen[bytes] | None = None
        if os.geteuid() == 0:
            with suppress(KeyError):
                shutil.chown(self.folder, self.owner)

    @property
    def url(self) -> str:
        return f"{self.scheme}://crawler:{QUOTED}@127.0.0.1:{self.port}/crawl"

    def with_password(self, password: str) -> str:
        return self.url.replace(QUOTED, password)

    def make(self) -> None:
        raise NotImplementedError

    def argv(self) -> list[str]:
        raise NotImplementedError

    def answers(self) -> bool:
        raise NotImplementedError

    def _as_owner(self, words: Sequence[str]) -> list[str]:
        if os.geteuid() != 0:
            return list(words)
        user = pwd.getpwnam(self.owner)
        return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", *words]

    def _run(self, *words: str) -> None:
        subprocess.run(self._as_owner(words), check=True, capture_output=True, cwd=self.folder)

    def start(self) -> None:
        """Returns when it answers."""
        with (self.folder / "said.txt").open("ab") as said:
            words = self._as_owner(self.argv())
            self._process = subprocess.Popen(words, stdout=said, stderr=said, cwd=self.folder)
        deadline = time.monotonic() + UP
        while not self.answers():
            assert self._process.poll() is None, (self.folder / "said.txt").read_text()
            assert time.monotonic() < deadline, f"{self.name} does not start"
            time.sleep(0.02)

    def stop(self, how: int = signal.SIGINT) -> None:
        """Ends it at once but in order; with SIGKILL as a power cut would."""
        if self._process is not None:
            children = self._killed_children() if how == signal.SIGKILL else []
            self._process.send_signal(how)
            self._process.wait(UP)
            deadline = time.monotonic() + UP
            while any(map(_lives, children)):  # the next would not start beside them
                assert time.monotonic() < deadline, f"a process of {self.name} does not end"
                time.sleep(0.01)
            self._process = None

    def _killed_children(self) -> list[psutil.Process]:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)  # it makes no more of them
        children = psutil.Process(self._process.pid).children(recursive=True)
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        return children

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    def restart(self, how: int = signal.SIGINT) -> None:
        self.stop(how)
        self.start()


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class OwnPostgres(OwnDatabase):
    name, owner, scheme = "postgres", "postgres", "postgresql+psycopg"

    def _tool(self, name: str) -> str:
        return str(Path(binary("initdb", "postgresql")).resolve().parent / name)

    def make(self) -> None:
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        shutil.chown(secret, self.owner) if os.geteuid() == 0 else None
        self._run(
            self._tool("initdb"), "-D", str(self.folder / "data"), "-U", "crawler", "-A", "scram-sha-256",
            f"--pwfile={secret}", "-E", "UTF8", "--no-locale", "-N",
        )  # fmt: skip

    def argv(self) -> list[str]:
        words = {"listen_addresses": "127.0.0.1", "port": str(self.port), "unix_socket_directories": str(self.folder)}
        options = [word for name, value in words.items() for word in ("-c", f"{name}={value}")]
        return [self._tool("postgres"), "-D", str(self.folder / "data"), *options]

    def answers(self) -> bool:
        words = [self._tool("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(words, check=False).returncode == 0


class OwnMariaDB(OwnDatabase):
    name, owner, scheme = "mariadb", "mysql", "mysql+pymysql"

    def make(self) -> None:
        (self.folder / "first.sql").write_text(
            f"CREATE USER IF NOT EXISTS crawler@'%' IDENTIFIED BY '{PASSWORD}';\n"
            "GRANT ALL ON *.* TO crawler@'%';\n"
            "DROP USER IF EXISTS ''@'localhost';\n"
        )
        self._run(
            binary("mariadb-install-db", "mariadb-server"), "--no-defaults", f"--datadir={self.folder / 'data'}",
            "--auth-root-authentication-method=normal", "--skip-test-db",
        )  # fmt: skip

    def argv(self) -> list[str]:
        return [
            binary("mariadbd", "mariadb-server"), "--no-defaults", f"--datadir={self.folder / 'data'}",
            f"--port={self.port}", "--bind-address=127.0.0.1", f"--socket={self.folder}/mysqld.sock",
            f"--pid-file={self.folder}/pid", "--skip-name-resolve", f"--init-file={self.folder}/first.sql",
        ]  # fmt: skip

    def answers(self) -> bool:
        import pymysql

        try:
            pymysql.connect(host="127.0.0.1", port=self.port, user="crawler", password=PASSWORD).close()
        except pymysql.err.OperationalError:
            return False
        return True

    def stop(self, how: int = signal.SIGTERM) -> None:
        super().stop(signal.SIGTERM if how == signal.SIGINT else how)


@contextmanager
def own_postgres() -> Iterator[OwnPostgres]:
    """A running PostgreSQL of a test's own."""
    with _running(OwnPostgres()) as server:
        yield server


@contextmanager
def own_mariadb() -> Iterator[OwnMariaDB]:
    """A running MariaDB of a test's own."""
    with _running(OwnMariaDB()) as server:
        yield server


@contextmanager
def _running(server: T) -> Iterator[T]:
    try:
        server.make()
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(server.folder, ignore_errors=True)
