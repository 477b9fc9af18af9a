"""Statements for PostgreSQL of which none waits for the answer to the one before: one way there, one way back.

While the server works on the first ones, the values of the next are still being written.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import psycopg


class Pipeline:
    """A :class:`~crawlkit.database.sqlalchemy.engine.Sender`. An answer can be read when the pipeline has ended."""

    def __init__(self, driver: psycopg.Connection[Any]) -> None:
        self._driver = driver

    def exec_driver_sql(self, statement: str, parameters: Any = None, /) -> psycopg.Cursor[Any]:
        cursor = self._driver.cursor()
        if isinstance(parameters, list):
            cursor.executemany(statement, parameters)
        else:
            cursor.execute(statement, parameters)
        return cursor


@contextmanager
def pipelined(driver: psycopg.Connection[Any]) -> Iterator[Pipeline]:
    """At its end all statements have been answered; raises what went wrong with the first one that failed.

    Those behind it were not carried out. With a libpq before 14, which knows no pipelines, each is waited for.
    """
    failed: psycopg.Error | None = None
    try:
        with driver.pipeline() if psycopg.Pipeline.is_supported() else nullcontext():
            try:
                yield Pipeline(driver)
            except psycopg.Error as error:
                failed = error
    except psycopg.Error as error:  # of those behind it: that they were not carried out
        raise failed or error from None
    if failed is not None:
        raise failed
