"""Databases and brokers of a test's own, on one of its hosts: started, stopped, killed, started again, wiped.

Each listens on its host's address and keeps its data in a folder that goes with it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests import needs
from tests.e2e.commands import until
from tests.e2e.hosts import LOOPBACK, Host

UP = 60.0  # seconds that a server may take to start


class Service:
    """One server. Subclasses say how it is made and asked whether it is up. A context manager."""

    name = ""
    owner = ""  # the user that has to own its folder
    port = 0

    def __init__(self, host: Host) -> None:
        self.host = host
        self.folder = Path(tempfile.mkdtemp(prefix=f"ck-{self.name}-"))
        self.said = self.folder / "said.txt"
        self.program: subprocess.Popen[bytes] | None = None
        if host.lan.kind == LOOPBACK:
            self.port += os.getpid() % 10_000  # other tests may have servers of their own

    @property
    def url(self) -> str:
        """How components of other hosts reach it."""
        raise NotImplementedError

    def make(self) -> None:
        """Before its first start."""

    def argv(self) -> list[str]:
        raise NotImplementedError

    def env(self) -> dict[str, str]:
        return dict(os.environ)

    def answers(self) -> bool:
        raise NotImplementedError

    def start(self) -> None:
        """Returns when it answers."""
        self.program = self.host.start(self.argv(), said=self.said, env=self.env(), cwd=self.folder)
        try:
            until(self.answers, UP, f"{self.name} answers")
        except AssertionError:
            print(self.said.read_text(errors="replace")[-3000:])
            raise

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Ends it as its keepers would; with SIGKILL as a power cut would."""
        if self.program is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.program.pid, number) if number == signal.SIGKILL else self.program.send_signal(number)
            self.program.wait(UP)
            if self.program in self.host.programs:  # else the host was killed as a whole
                self.host.programs.remove(self.program)
            self.program = None

    def restart(self, number: int = signal.SIGTERM) -> None:
        """Stops it and starts it with its data."""
        self.stop(number)
        self.start()

    def __enter__(self) -> Service:
        try:
            self.make()
            if self.owner:
                subprocess.run(["chown", "-R", self.owner, self.folder], check=True)
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def ask(self, *argv: str) -> str:
        """What a client program says, run on the server's own host."""
        done = self.host.run(argv, env=self.env(), cwd=self.folder)
        return done.stdout if done.returncode == 0 else ""


class Redis(Service):
    """With an append-only file that is synced at each write: a restart keeps everything."""

    name, port = "redis", 6379

    @property
    def url(self) -> str:
        return f"redis://{self.host.address}:{self.port}/0"

    def argv(self) -> list[str]:
        settings = {"bind": self.host.address, "port": self.port, "protected-mode": "no", "dir": self.folder,
                    "appendonly": "yes", "appendfsync": "always", "save": "", "daemonize": "no"}  # fmt: skip
        return [needs.binary("redis-server"), *(part for k, v in settings.items() for part in (f"--{k}", str(v)))]

    def cli(self, *words: str) -> str:
        return self.ask(needs.binary("redis-cli"), "-h", self.host.address, "-p", str(self.port), *words)

    def answers(self) -> bool:
        return self.cli("ping").strip() == "PONG"

    def wipe(self) -> None:
        """Everything in it is gone from one moment to the next."""
        assert self.cli("flushall").strip() == "OK"


class Postgres(Service):
    """PostgreSQL with one database, ``crawl``."""

    name, owner, port = "postgres", "postgres", 5432

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://postgres@{self.host.address}:{self.port}/crawl"

    @staticmethod
    def _tool(name: str) -> str:
        found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
        return str(found[-1]) if found else needs.binary(name, "postgresql")

    def _as_owner(self, *argv: str) -> list[str]:
        return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *argv]

    def make(self) -> None:
        subprocess.run(["chown", "-R", self.owner, self.folder], check=True)
        words = ["-D", str(self.folder / "data"), "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C",
                 "--no-sync", "--no-instructions"]  # fmt: skip
        subprocess.run(self._as_owner(self._tool("initdb"), *words), check=True, capture_output=True, cwd=self.folder)
        with (self.folder / "data" / "pg_hba.conf").open("a") as rules:
            rules.write("host all all 0.0.0.0/0 trust\n")

    def argv(self) -> list[str]:
        settings = {"listen_addresses": self.host.address, "port": self.port, "unix_socket_directories": self.folder}
        words = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        return self._as_owner(self._tool("postgres"), "-D", str(self.folder / "data"), *words)

    def sql(self, database: str, words: str) -> str:
        tool = self._tool("psql")
        return self.ask(tool, "-h", self.host.address, "-p", str(self.port), "-U", "postgres", "-d", database, "-tAc",
                        words)  # fmt: skip

    def answers(self) -> bool:
        return self.sql("postgres", "select 1").strip() == "1"

    def start(self) -> None:
        super().start()
        if self.sql("postgres", "select 1 from pg_database where datname = 'crawl'").strip() != "1":
            assert "CREATE DATABASE" in self.sql("postgres", "create database crawl")

    def stop(self, number: int = signal.SIGINT) -> None:  # SIGINT: fast shutdown, sessions are ended
        super().stop(signal.SIGINT if number == signal.SIGTERM else number)


class MariaDB(Service):
    """MariaDB with one database, ``crawl``, and one user."""

    name, port = "mariadb", 3306

    @property
    def url(self) -> str:
        return f"mysql+pymysql://crawl:crawl@{self.host.address}:{self.port}/crawl"

    def make(self) -> None:
        tool = needs.binary("mariadb-install-db", "mariadb-server")
        command = [tool, "--no-defaults", "--user=root", f"--datadir={self.folder / 'data'}",
                   "--auth-root-authentication-method=normal", "--skip-test-db"]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True, cwd=self.folder)
        (self.folder / "first.sql").write_text(
            "create database if not exists crawl;\n"
            "create user if not exists crawl@'%' identified by 'crawl';\n"
            "grant all on *.* to crawl@'%';\n"
        )

    def argv(self) -> list[str]:
        settings = {"user": "root", "datadir": self.folder / "data", "socket": self.folder / "sock",
                    "bind-address": self.host.address, "port": self.port, "pid-file": self.folder / "pid",
                    "init-file": self.folder / "first.sql", "innodb-buffer-pool-size": "64M"}  # fmt: skip
        tool = needs.binary("mariadbd", "mariadb-server")
        return [tool, "--no-defaults", "--skip-name-resolve", *(f"--{key}={value}" for key, value in settings.items())]

    def answers(self) -> bool:
        tool = needs.binary("mariadb", "mariadb-client")
        words = ["--no-defaults", "-h", self.host.address, "-P", str(self.port), "-ucrawl", "-pcrawl", "crawl"]
        return self.ask(tool, *words, "-Nse", "select 1").strip() == "1"


class Rabbit(Service):
    """RabbitMQ with one user, ``crawl``."""

    name, port = "rabbitmq", 5672

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@{self.host.address}:{self.port}/%2F"

    def env(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),  # for the cookie
            "RABBITMQ_NODENAME": f"ck{os.getpid()}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": self.host.address,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self.port + 20_000),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 -kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_CTL_ERL_ARGS": "+S 1:1",
        }

    def make(self) -> None:
        (self.folder / "enabled_plugins").write_text("[].\n")
        (self.folder / "rabbitmq.conf").write_text("loopback_users = none\ndisk_free_limit.absolute = 50MB\n")
        for name in ("data", "log"):
            (self.folder / name).mkdir()

    @staticmethod
    def _tool(name: str) -> str:
        here = Path("/usr/lib/rabbitmq/bin") / name
        return str(here) if here.exists() else needs.binary(name, "rabbitmq-server")

    def argv(self) -> list[str]:
        return [self._tool("rabbitmq-server")]

    def answers(self) -> bool:
        code = "import socket, sys; s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 1)\n"
        code += "s.sendall(b'AMQP\\0\\0\\x09\\x01'); s.settimeout(3); print(s.recv(1) == b'\\x01')"
        return "True" in self.ask("python3", "-c", code, self.host.address, str(self.port))


def each(*services: Callable[[Host], Service]) -> list[str]:
    """Their names, for the ids of parameters."""
    return [getattr(service, "name", "") for service in services]
