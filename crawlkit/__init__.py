"""crawlkit: a crawl framework in the pyspider tradition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crawlkit.libs.base_handler import BaseHandler, catch_status_code_error, config, every, not_send_status
    from crawlkit.libs.response import Response

__version__ = "0.1.0.dev0"
__all__ = ["BaseHandler", "Response", "catch_status_code_error", "config", "every", "not_send_status"]


def __getattr__(name: str) -> Any:
    # Looked up when first used: `crawlkit --version` need not load what a handler needs.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    room = "response" if name == "Response" else "base_handler"
    value = globals()[name] = getattr(import_module(f"crawlkit.libs.{room}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
