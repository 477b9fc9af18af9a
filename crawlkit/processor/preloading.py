"""Loads pyquery without requests, which it takes only to open URLs by itself, and which takes longer to load than all
that workers need besides."""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from typing import Any


class _Requests:
    """Stands for the module until somebody uses it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module("requests"), name)


def load_pyquery() -> None:
    """Once, while the process has one thread. ``PyQuery(url=...)`` works as ever."""
    if "requests" in sys.modules or "pyquery" in sys.modules or find_spec("requests") is None:
        importlib.import_module("pyquery")
        return
    sys.modules["requests"] = None  # type: ignore[assignment]
    try:
        openers: Any = importlib.import_module("pyquery.openers")
    finally:
        del sys.modules["requests"]
    openers.requests, openers.HAS_REQUEST = _Requests(), True
