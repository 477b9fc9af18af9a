"""Where settings come from: the config file's shape, the settings every command shares, and the words for rates.

Reads the one file it is given and nothing else; the order command line > environment > config file > default is
the option class's work (:mod:`crawlkit.cli.base`), for every option alike.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crawlkit.libs.errors import UsageError

DEFAULT_RATE = 1.0  # pages per second
DEFAULT_BURST = 3.0
UNLIMITED = "unlimited"

#: Option names, and under a command's name those of that command.
Schema = Mapping[str, "Schema | None"]

#: Options whose value is an object.
OBJECTS = frozenset({"host_limits"})

#: Keys of pyspider's config that mean nothing here, and what to do about them.
GONE = {
    "beanstalk": "beanstalk is not a message queue of crawlkit",
}


@dataclass
class Settings:
    """The global options [C01-C14], resolved."""

    data_path: Path = Path("data")
    database: str | None = field(default=None, repr=False)  # stands for all that are not named
    taskdb: str | None = field(default=None, repr=False)  # None: the database, else SQLite under the data path
    projectdb: str | None = field(default=None, repr=False)
    resultdb: str | None = field(default=None, repr=False)
    logdb: str | None = field(default=None, repr=False)
    log_days: float = 7.0  # how long log lines are kept
    log_size: int = 256  # MiB of them that are kept
    message_queue: str | None = field(default=None, repr=False)  # None: local:// under the data path
    queue_key: str | None = field(default=None, repr=False)  # of manager://, where its URL has none
    queue_maxsize: int = 100  # messages a queue; 0: no bound
    secret_key: str | None = field(default=None, repr=False)  # None: secret.key in the data path
    sink: tuple[str, ...] = ()  # URLs of where results go beside the resultdb
    logging_config: Path | None = None
    debug: bool = False
    add_sys_path: bool = True
    config: Path | None = None
    phantomjs_proxy: str | None = field(default=None, repr=False)  # pyspider's words for a browser service's address
    puppeteer_proxy: str | None = field(default=None, repr=False)
    server: str | None = None  # the URL of a web UI that is asked instead of a data path
    given: frozenset[str] = field(default_factory=frozenset)  # names of those that somebody set

    def store_url(self, kind: str) -> str:
        """The URL of ``taskdb``, ``projectdb``, ``resultdb``, ``logdb`` or ``blobdb`` [C05-C07]; bodies lie beside the
        tasks.

        ``accountdb`` is the database of the projectdb; another one when the projectdb is a folder of scripts.
        """
        name = "project" if kind == "accountdb" else kind.removesuffix("db")
        return self._named(kind) or f"sqlite+{name}db:///{self.data_path.absolute()}/{name}.db"

    def is_here(self, kind: str) -> bool:
        """Whether that database is a file in the data path."""
        return self._named(kind) is None

    def _named(self, kind: str) -> str | None:
        named: str | None
        if kind == "accountdb":
            named = None if (self.projectdb or "").strip().lower().startswith("local") else self.projectdb
        elif kind == "blobdb":
            named = self.taskdb and self.taskdb.replace("+taskdb://", "+blobdb://").replace("task.db", "blob.db")
        else:
            named = getattr(self, kind)
        if named is None and self.database is not None:
            check_database(self.database)
        return named or self.database

    def queue_url(self) -> str:
        """The URL of the message queue; by default the socket that ``crawlkit all`` serves."""
        return self.message_queue or f"local://{self.data_path.absolute()}"


def check_database(url: str) -> None:
    """Raises :class:`UsageError` for a URL that cannot stand for every database; no password is shown."""
    words = url.partition("://")[0].strip().lower().split("+")
    engine = words[words[0] == "sqlalchemy" :][:1]
    if "://" not in url or not engine:
        raise UsageError("--database: expected a URL, for instance postgresql+psycopg://user:password@host/crawlkit")
    if engine[0] in ("sqlite", "memory", "local"):
        raise UsageError(
            f"--database: {engine[0]} cannot stand for every database: name the folder of the SQLite files with"
            " --data-path, or single ones with --taskdb, --projectdb, --resultdb, --logdb"
        )
    if kinds := [word for word in words if word in ("taskdb", "projectdb", "resultdb", "blobdb", "logdb")]:
        raise UsageError(f"--database: it stands for every database: leave +{kinds[0]} out, or give it as --{kinds[0]}")


def normalise(value: Any) -> Any:
    """``value`` with ``-`` in keys as ``_``, at every depth [C20], and without keys that are null.

    What is in :data:`OBJECTS` stays as it was written: there are names of hosts in it.
    """
    if isinstance(value, dict):
        named = {str(key).replace("-", "_"): inner for key, inner in value.items() if inner is not None}
        return {key: inner if key in OBJECTS else normalise(inner) for key, inner in named.items()}
    return value


def read_config(path: Path) -> dict[str, Any]:
    """The config file as a dict in pyspider's shape [C20]; by its suffix TOML, YAML, else JSON.

    Raises :class:`UsageError` that names the file, and the line where there is one.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"config file {path}: {_reason(error)}") from None
    try:
        value = _parse(text, path.suffix.lower())
    except ValueError as error:
        raise UsageError(f"config file {path}: {_one_line(error)}") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UsageError(f"config file {path}: its top level is not an object of options and commands")
    normal: dict[str, Any] = normalise(value)
    return normal


def _parse(text: str, suffix: str) -> Any:
    if suffix == ".toml":
        import tomllib

        return tomllib.loads(text)
    if suffix in {".yaml", ".yml"}:
        import yaml

        try:
            return yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ValueError(error) from None
    return json.loads(text) if text.strip() else None


def check_config(config: Mapping[str, Any], schema: Schema, path: Path, where: str = "") -> None:
    """Raises :class:`UsageError` for a key that no option or command has, naming key and file."""
    for key, value in config.items():
        dotted = f"{where}{key}"
        if key not in schema:
            raise UsageError(f"config file {path}: {dotted}: {_unknown(key, schema, where)}")
        inner = schema[key]
        if inner is None:
            if isinstance(value, dict) and key not in OBJECTS:
                raise UsageError(f"config file {path}: {dotted}: an option takes a value, not an object")
        elif not isinstance(value, dict):
            raise UsageError(f"config file {path}: {dotted}: the options of this command go into an object")
        else:
            check_config(value, inner, path, f"{dotted}.")


def _unknown(key: str, schema: Schema, where: str) -> str:
    if not where and key in GONE:
        return f"{GONE[key]}; remove this key"
    import difflib

    near = difflib.get_close_matches(key, list(schema), n=1)
    return "no such option or command" + (f"; {near[0]!r} is near" if near else "")


def parse_rate(text: str) -> float | None:
    """Pages per second from ``"2.5"``; None for ``unlimited``. Raises :class:`UsageError`."""
    word = text.strip().lower()
    if word == UNLIMITED:
        return None
    try:
        rate = float(word)
    except ValueError:
        rate = math.nan
    if not (rate >= 0 and math.isfinite(rate)):
        raise UsageError(f"rate {text!r}: use pages per second, like 2.5, or the word unlimited")
    return rate


def show_rate(rate: float | None) -> str:
    """A rate in words."""
    if rate is None:
        return UNLIMITED
    return f"{rate:g} page{'' if rate == 1 else 's'} a second"


_HEAD_COMMENT = re.compile(
    r"^#[ \t]*(rate|burst|group|max_pages)[ \t]*:[ \t]*(\S.*?)[ \t\r]*$", re.MULTILINE | re.IGNORECASE
)


def parse_pages(text: str) -> int | None:
    """A page budget from ``"1000"``; None for ``unlimited``. Raises :class:`UsageError`."""
    word = text.strip().lower().replace("_", "")
    if word == UNLIMITED:
        return None
    if not (word.isascii() and word.isdigit() and len(word) < 16):
        raise UsageError(f"max_pages {text!r}: use a number of pages, like 1000, or the word unlimited")
    return int(word)


def script_comments(script: str) -> dict[str, str]:
    """What lines like ``# rate: 5``, ``# burst: 10``, ``# group: news`` say; the first of each holds [R18]."""
    found: dict[str, str] = {}
    for name, value in _HEAD_COMMENT.findall(script):
        found.setdefault(name.lower(), value)
    return found


def docker_links(env: Mapping[str, str]) -> dict[str, str]:
    """Global options that the variables of linked containers stand for [C23]; they yield to everything said openly."""
    found: dict[str, str] = {}
    if env.get("MYSQL_NAME"):
        address = f"{env.get('MYSQL_PORT_3306_TCP_ADDR', 'mysql')}:{env.get('MYSQL_PORT_3306_TCP_PORT', '3306')}"
        for kind in ("taskdb", "projectdb", "resultdb"):
            found[kind] = f"sqlalchemy+mysql+{kind}://{address}/{kind}"
    if env.get("RABBITMQ_NAME"):
        address = (
            f"{env.get('RABBITMQ_PORT_5672_TCP_ADDR', 'rabbitmq')}:{env.get('RABBITMQ_PORT_5672_TCP_PORT', '5672')}"
        )
        found["message_queue"] = f"amqp://guest:guest@{address}/%2F"
    for name, port in (("PHANTOMJS", 25555), ("PUPPETEER", 22222)):
        if env.get(f"{name}_NAME") and env.get(f"{name}_PORT_{port}_TCP"):
            found[f"{name.lower()}_proxy"] = env[f"{name}_PORT_{port}_TCP"].replace("tcp://", "http://")
    return found


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return _one_line(error)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
