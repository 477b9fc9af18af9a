"""Where log lines go: stderr, or what ``--logging-config`` says. Called once per process, by its command."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

from crawlkit.libs.errors import UsageError
from crawlkit.settings import Settings

if TYPE_CHECKING:
    from crawlkit.database.logwriter import LogWriter

FORMAT = "%(asctime)s %(levelname).1s %(name)s: %(message)s"


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to whatever ``sys.stderr`` is at that moment, so that lines stand above a progress bar."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    @stream.setter
    def stream(self, value: TextIO) -> None:
        raise AttributeError("this handler writes to sys.stderr")


def configure(settings: Settings, level: str = "INFO") -> None:
    """Sets logging up; ``level`` is what holds without ``--debug``."""
    if settings.logging_config is not None:
        from logging.config import fileConfig

        try:
            fileConfig(settings.logging_config, disable_existing_loggers=False)
        except Exception as error:  # whatever a broken file makes the parser raise, the user gets its words
            raise UsageError(f"logging config {settings.logging_config}: {error}") from None
        return
    handler = _Stderr()
    handler.setFormatter(logging.Formatter(FORMAT, "%Y-%m-%d %H:%M:%S"))
    logging.basicConfig(level="DEBUG" if settings.debug else level, handlers=[handler], force=True)
    for noisy in ("asyncio", "tornado.access", "alembic"):
        logging.getLogger(noisy).setLevel("WARNING")


def tell_failures(settings: Settings) -> None:
    """For who sits and waits: the scheduler says the first failure of each kind, and when it is tried again."""
    if settings.logging_config is None and not settings.debug:
        logging.getLogger("scheduler").setLevel("INFO")


@contextlib.contextmanager
def stored(settings: Settings, role: str) -> Iterator[LogWriter]:
    """While it lasts, what this process logs also goes to the log store. Raises :class:`UsageError` for a bad URL."""
    from crawlkit import wiring
    from crawlkit.database.logwriter import StoreHandler

    writer = wiring.log_writer(settings, role)
    handler = StoreHandler(writer)
    root = logging.getLogger()
    root.addHandler(handler)
    writer.start()
    try:
        yield writer
    finally:
        root.removeHandler(handler)
        writer.close()
