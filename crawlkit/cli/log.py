"""Where log lines go: stderr, or what ``--logging-config`` says. Called once per process, by its command."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

from crawlkit.libs.errors import UsageError
from crawlkit.settings import Settings

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
