"""What a test needs from the machine: skipped where it is missing, failed where CRAWLKIT_REQUIRE_ALL is set."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

POSTGRES_MANUAL = Path("/usr/share/doc/postgresql-doc-15/html")


def missing(what: str) -> None:
    """Ends the running test."""
    if os.environ.get("CRAWLKIT_REQUIRE_ALL"):
        pytest.fail(f"missing on this machine: {what}")
    pytest.skip(f"needs {what}")


def binary(name: str, package: str | None = None) -> str:
    """The path of a program; ``package`` is the Debian package it comes with."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if path is None:
        missing(f"{name} (Debian: {package or name})")
    return str(path)


def postgres_manual() -> Path:
    """The folder with Debian's PostgreSQL manual."""
    if not (POSTGRES_MANUAL / "index.html").exists():
        missing("the PostgreSQL manual (Debian: postgresql-doc-15)")
    return POSTGRES_MANUAL
