"""The arguments of the handler's methods and of the decorators, read from the code itself. Pure."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from crawlkit.libs import base_handler, crawl_args
from crawlkit.libs.base_handler import BaseHandler
from crawlkit.libs.crawl_args import CrawlArgs, FetchArgs
from crawlkit.libs.every import every
from crawlkit.libs.response import Response

METHODS = ("crawl", "fetch", "download", "crawl_sitemap", "send_message")
DECORATORS = ("every", "config", "catch_status_code_error", "not_send_status")
_TABLES = {"CrawlArgs": CrawlArgs, "FetchArgs": FetchArgs}
MISSPELT = "last_modifed"  # taken for pyspider's sake, never proposed


class Argument(NamedTuple):
    """One argument: what it takes, as it is written in the code, and its default (``None``: must be given)."""

    name: str
    takes: str
    default: str | None


class Signature(NamedTuple):
    """What a call may say; ``positional`` are the names in their order, ``required`` must be said."""

    name: str
    arguments: dict[str, Argument]
    positional: tuple[str, ...]
    required: frozenset[str]
    open_ended: bool
    """Also takes names that are not listed."""

    def names(self) -> list[str]:
        """Those to propose."""
        return [name for name in self.arguments if name != MISSPELT]


@cache
def method(name: str) -> Signature:
    """The signature of ``self.<name>``."""
    function = getattr(BaseHandler, name)
    found = _signature(name, typing.get_overloads(function)[0] if typing.get_overloads(function) else function)
    if name == "crawl":  # its first form says what a URL is; any iterable and None will do as well
        found.arguments["url"] = Argument("url", "str | Form | Iterable[str] | None", None)
    return found


@cache
def decorator(name: str) -> Signature:
    """The signature of ``@every`` and of ``@config``."""
    if name == "every":
        return _signature(name, typing.get_overloads(every)[1])
    return _signature(name, typing.get_overloads(base_handler.config)[1])


def _signature(name: str, function: Callable[..., Any]) -> Signature:
    arguments: dict[str, Argument] = {}
    positional, required, open_ended = [], set(), False
    for each in list(inspect.signature(function).parameters.values()):
        if each.name == "self":
            continue
        if each.kind is each.VAR_KEYWORD:
            table = _TABLES.get(str(each.annotation).removeprefix("Unpack[").removesuffix("]"))
            open_ended = table is None
            for key, takes in _fields(table).items():
                arguments[key] = Argument(key, takes, "")
            continue
        default = None if each.default is each.empty else repr(each.default)
        arguments[each.name] = Argument(each.name, _shown(each.annotation), default)
        if each.kind is not each.KEYWORD_ONLY:
            positional.append(each.name)
        if default is None:
            required.add(each.name)
    return Signature(name, arguments, tuple(positional), frozenset(required), open_ended)


def _fields(table: Any) -> dict[str, str]:
    """Names and types of a typed dict, in their order, its bases' first."""
    if table is None:
        return {}
    fields: dict[str, str] = {}
    for each in (FetchArgs, table):
        for name, takes in each.__annotations__.items():
            fields.setdefault(name, _shown(takes))
    return fields


def _shown(annotation: Any) -> str:
    if isinstance(annotation, typing.ForwardRef):
        return annotation.__forward_arg__
    if annotation is inspect.Parameter.empty:
        return "Any"
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def takes(name: str) -> str:
    """In words what an argument of ``self.crawl`` takes: ``"a number of seconds"``, or the type as it is written."""
    return WORDS.get(name) or method("crawl").arguments[name].takes


_SECONDS = "a number of seconds"
_WHOLE = "a whole number"
_DICT = "a dict of texts"
_YES_NO = "True or False"
WORDS = {
    **dict.fromkeys(("timeout", "connect_timeout", "age", "process_time_limit"), _SECONDS),
    **dict.fromkeys(("priority", "retries", "max_redirects", "js_viewport_width", "js_viewport_height"), _WHOLE),
    **dict.fromkeys(("headers", "cookies"), _DICT),
    **dict.fromkeys(("use_gzip", "validate_cert", "allow_redirects", "robots_txt", "load_images"), _YES_NO),
    **dict.fromkeys(("auto_recrawl", "force_update", "cancel"), _YES_NO),
    "max_size": "a whole number of bytes",
    "exetime": "a time in Unix seconds",
    "fetch_type": f"one of {', '.join(crawl_args.FETCH_TYPES)}",
}


def members_of_response() -> frozenset[str]:
    """The public names of a response."""
    return frozenset(name for name in {*dir(Response), *Response.__annotations__} if not name.startswith("_"))


def members_of_handler() -> frozenset[str]:
    """The names that every handler has."""
    return frozenset({*dir(BaseHandler), *BaseHandler.__annotations__})
