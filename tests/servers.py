"""The real servers that tests speak to: skipped where one is missing, failed where CRAWLKIT_REQUIRE_ALL is set.

CRAWLKIT_TEST_POSTGRES, _MARIADB, _REDIS and _AMQP name others than those of this machine. These are shared: a test
keeps to names of its own in them (``fresh_database``, a key prefix, a virtual host) and takes them away. A test that
stops or wipes a server starts one of its own (``free_port``).
"""

from __future__ import annotations

import functools
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from tests.needs import binary, missing

#: name -> (URL unless the environment says another, the module it is spoken to with)
SERVERS = {
    "postgres": ("postgresql+psycopg://postgres@127.0.0.1:5432/test", "psycopg"),
    "mariadb": ("mysql+pymysql://root@127.0.0.1:3306/test", "pymysql"),
    "redis": ("redis://127.0.0.1:6379/0", "hiredis"),
    "amqp": ("amqp://guest:guest@127.0.0.1:5672/%2F", "pika"),
}
REACH = 3.0  # seconds


def need(name: str) -> str:
    """The URL of a server, one of :data:`SERVERS`; ends the running test when it is not there."""
    url, module = os.environ.get(f"CRAWLKIT_TEST_{name.upper()}", SERVERS[name][0]), SERVERS[name][1]
    if find_spec(module) is None:
        missing(f"the Python package {module}")
    if not _reachable(url):
        missing(f"{name} at {url} (CRAWLKIT_TEST_{name.upper()} names another)")
    return url


def postgres_url() -> str:
    """An existing database; see :func:`fresh_database`."""
    return need("postgres")


def mariadb_url() -> str:
    """An existing database; see :func:`fresh_database`."""
    return need("mariadb")


def redis_url() -> str:
    return need("redis")


def amqp_url() -> str:
    return need("amqp")


@contextmanager
def fresh_amqp(*names: str) -> Iterator[str]:
    """The URL of the AMQP broker with a prefix of its own; its queues, the ring's and ``names``, go at the end."""
    import pika

    from crawlkit.libs.messages import QUEUE_NAMES

    url, prefix = amqp_url(), f"test-{secrets.token_hex(6)}"
    try:
        yield f"{url}?prefix={prefix}"
    finally:
        connection = pika.BlockingConnection(pika.URLParameters(url))
        channel = connection.channel()
        for name in {*names, *QUEUE_NAMES, "epoch"}:
            channel.queue_delete(f"{prefix}.{name}")
            channel.queue_delete(f"{prefix}.{name}.dead")
        channel.exchange_delete(f"{prefix}.news")
        connection.close()


@contextmanager
def fresh_database(name: str) -> Iterator[str]:
    """The URL of an empty database of its own on ``postgres`` or ``mariadb``; it is dropped at the end."""
    import sqlalchemy

    url = need(name)
    fresh = f"crawlkit_test_{secrets.token_hex(6)}"
    engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {fresh}")
    try:
        yield urlunsplit(urlsplit(url)._replace(path=f"/{fresh}"))
    finally:
        force = " WITH (FORCE)" if name == "postgres" else ""  # who is still connected is thrown out
        with engine.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {fresh}{force}")


def free_port() -> int:
    """A TCP port of the loopback that nothing listens on now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def ask_redis(url: str, *words: str | int) -> Any:
    """The reply to one command, on a connection of its own."""
    import hiredis

    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 6379), REACH) as sock:
        sock.sendall(hiredis.pack_command(("SELECT", parts.path.strip("/") or 0)) + hiredis.pack_command(words))
        reader = hiredis.Reader(notEnoughData=...)
        replies: list[Any] = []
        while len(replies) < 2:
            if (reply := reader.gets()) is ...:
                if not (data := sock.recv(65536)):
                    raise ConnectionError(f"redis at {url} hung up at {words[0]}")
                reader.feed(data)
            else:
                replies.append(reply)
    if isinstance(replies[1], Exception):
        raise replies[1]
    return replies[1]


@contextmanager
def redis_space() -> Iterator[str]:
    """The URL of a Redis with a prefix of its own; its keys are taken away at the end."""
    url = redis_url()
    prefix = f"test-{secrets.token_hex(6)}"
    try:
        yield f"{url}?prefix={prefix}"
    finally:
        for pattern in (f"{{{prefix}}}:*", f"{prefix}*"):  # ours, and kombu's
            for key in ask_redis(url, "KEYS", pattern):
                ask_redis(url, "DEL", key)


@functools.cache
def _reachable(url: str) -> bool:
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 0), REACH).close()
    except OSError:
        return False
    return True


class OwnRedis:
    """A Redis of a test's own, to be stopped, killed, frozen and wiped. It keeps its data over a restart."""

    def __init__(self, folder: Path, settings: Mapping[str, str | int], port: int) -> None:
        self.port = port
        self.folder = folder
        self.url = f"redis://127.0.0.1:{self.port}/0"
        own: dict[str, str | int] = {
            "bind": "127.0.0.1",
            "port": self.port,
            "dir": str(folder),
            "appendonly": "yes",
            "save": "",
        }
        self._words = [word for name, value in {**own, **settings}.items() for word in (f"--{name}", str(value))]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it answers."""
        program = binary("redis-server")
        with (self.folder / "redis.log").open("ab") as said:
            self._process = subprocess.Popen([program, *self._words], stdout=said, stderr=said)
        deadline = time.monotonic() + 20
        while True:
            with suppress(OSError):
                if not self._loading():
                    return
            assert self._process.poll() is None, (self.folder / "redis.log").read_text()
            assert time.monotonic() < deadline, "redis does not start"
            time.sleep(0.02)

    def _loading(self) -> bool:
        import hiredis

        try:
            self.ask("PING")
        except hiredis.ReplyError as error:
            return str(error).startswith("LOADING")
        return False

    def stop(self, how: int = signal.SIGTERM) -> None:
        """Ends it, by SIGKILL too; a stopped one may be started again."""
        if self._process is not None:
            self._process.send_signal(how)
            if how == signal.SIGTERM:
                self._process.send_signal(signal.SIGCONT)
            self._process.wait(20)
            self._process = None

    def restart(self, how: int = signal.SIGTERM) -> None:
        self.stop(how)
        self.start()

    def freeze(self) -> None:
        """It neither answers nor hangs up, until :meth:`thaw`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def wipe(self) -> None:
        """Everything in it is gone from one moment to the next."""
        self.ask("FLUSHALL")

    def ask(self, *words: str | int) -> Any:
        """The reply to one command."""
        return ask_redis(self.url, *words)


@contextmanager
def own_redis(folder: Path, settings: Mapping[str, str | int] | None = None) -> Iterator[OwnRedis]:
    """A running Redis of a test's own, with its data in ``folder``. ``settings``: as in redis.conf."""
    server = OwnRedis(folder, settings or {}, free_port())
    server.start()
    try:
        yield server
    finally:
        server.stop(signal.SIGKILL)


class OwnRabbitMQ:
    """A RabbitMQ of a test's own, to be stopped, killed, frozen and wiped. It keeps its data over a restart."""

    def __init__(self, folder: Path, settings: Mapping[str, str | int], advanced: str, port: int) -> None:
        self.port = port
        self.folder = folder
        self.url = f"amqp://guest:guest@127.0.0.1:{port}/%2F"
        own = {"loopback_users": "none", "disk_free_limit.absolute": "50MB", **settings}
        (folder / "rabbitmq.conf").write_text("".join(f"{name} = {value}\n" for name, value in own.items()))
        (folder / "enabled_plugins").write_text("[].\n")
        (folder / "advanced.config").write_text(f"[{{rabbit, [{advanced}]}}].\n")
        self._env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),  # for the cookie
            "ERL_CRASH_DUMP": str(folder / "crash.dump"),
            "RABBITMQ_NODENAME": f"own{port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 -kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_CTL_ERL_ARGS": "+S 1:1",
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it greets."""
        with (self.folder / "said").open("ab") as said:
            self._process = subprocess.Popen(
                [self._tool("rabbitmq-server")], env=self._env, stdout=said, stderr=said, start_new_session=True
            )
        deadline = time.monotonic() + 60
        while not self._greets():
            assert self._process.poll() is None, (self.folder / "said").read_text()
            assert time.monotonic() < deadline, "rabbitmq does not start"
            time.sleep(0.02)

    def stop(self, how: int = signal.SIGTERM) -> None:
        """Ends it, by SIGKILL too; a stopped one may be started again."""
        if self._process is not None:
            os.killpg(self._process.pid, how)
            self._process.wait(30)
            self._process = None

    def restart(self, how: int = signal.SIGTERM) -> None:
        self.stop(how)
        self.start()

    def freeze(self) -> None:
        """It neither answers nor hangs up, until :meth:`thaw`."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGCONT)

    def wipe(self) -> None:
        """It was replaced by an empty one."""
        self.stop(signal.SIGKILL)
        shutil.rmtree(self.folder / "data")
        self.start()

    def knows_after_a_kill(self, queue: str) -> bool:
        """Whether the name of a quorum queue is on the disk: written some time after it was declared, not with it.
        Of a queue whose name is not there RabbitMQ 3.10 forgets everything when it is killed (docs/queues.md)."""
        names = next((self.folder / "data").glob("*/quorum/*/names.dets"), None)
        return names is not None and f"_{queue}".encode() in names.read_bytes()

    def control(self, *words: str) -> None:
        """``rabbitmqctl``."""
        subprocess.run([self._tool("rabbitmqctl"), *words], env=self._env, check=True, capture_output=True, timeout=60)

    @staticmethod
    def _tool(name: str) -> str:
        here = Path("/usr/lib/rabbitmq/bin") / name  # Debian's own names insist on its own user
        return str(here) if here.exists() else binary(name, "rabbitmq-server")

    def _greets(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), REACH) as sock:
            sock.settimeout(REACH)
            sock.sendall(b"AMQP\x00\x00\x09\x01")
            return sock.recv(1) == b"\x01"
        return False


@contextmanager
def own_rabbitmq(
    folder: Path, settings: Mapping[str, str | int] | None = None, advanced: str = ""
) -> Iterator[OwnRabbitMQ]:
    """A running RabbitMQ of a test's own, with its data in ``folder``. ``settings``: as in rabbitmq.conf;
    ``advanced``: Erlang terms for what it does not have."""
    if find_spec("pika") is None:
        missing("the Python package pika")
    server = OwnRabbitMQ(folder, settings or {}, advanced, free_port())
    server.start()
    try:
        yield server
    finally:
        server.thaw()
        server.stop(signal.SIGKILL)
