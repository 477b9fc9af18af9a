"""The handler API as the editor proposes it: names, signatures and docs, read from the code itself. Pure.

One document for all editors, made once: :func:`catalogue`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from functools import cache
from typing import Any

from msgspec import Struct

from crawlkit.libs import base_handler
from crawlkit.libs.base_handler import BaseHandler
from crawlkit.libs.response import Response
from crawlkit.libs.task import Fetch, Process, Schedule
from crawlkit.webui.completion import words
from crawlkit.webui.lint import signatures

__all__ = ["Catalogue", "Entry", "catalogue"]

_ROLES = re.compile(r":\w+:`~?\.?([^`]+)`")
_PARITY = re.compile(r"\s*\[[A-Z]\d+(?:-[A-Z]?\d+)?(?:, [A-Z]\d+(?:-[A-Z]?\d+)?)*\]")
_HIDDEN = frozenset({"isok", "traceback"})  # there for scripts of pyspider; proposed last


class Entry(Struct, frozen=True):
    """One proposal. ``insert`` is what is written, ``#`` where the cursor goes then; empty: the name."""

    name: str
    kind: str
    """``method``, ``property``, ``keyword`` or ``function``"""
    detail: str
    """Its signature, or what it takes."""
    doc: str
    insert: str = ""
    rank: int = 0
    """Higher first."""


class Catalogue(Struct, frozen=True):
    """All proposals, by where they are made."""

    handler: list[Entry]
    """After ``self.``"""
    response: list[Entry]
    """After ``response.``"""
    decorators: list[Entry]
    """After ``@``"""
    hooks: list[Entry]
    """After ``def `` in a handler class: methods that a script may override."""
    arguments: dict[str, list[Entry]]
    """Inside ``self.crawl(`` and so on, by method; ``@every`` and ``@config`` are there too."""
    task: dict[str, list[Entry]]
    """In the JSON of a task: the parts under ``""``, their fields under the part's name."""


HOOKS = ("on_start", "on_message", "on_result", "on_finished", "before_request", "after_response", "get_taskid")
_ON_START = Entry("on_start", "method", "(self)", "Called when the project is started: it asks for the first pages.",
                  "on_start(self):\n    #")  # fmt: skip


@cache
def catalogue() -> Catalogue:
    """Everything that is proposed; the same object each time."""
    methods = (*signatures.METHODS, "drop", "get_taskid", "is_debugger")
    return Catalogue(
        handler=[_method(BaseHandler, name) for name in methods]
        + [Entry(name, "property", _type_of(BaseHandler, name), doc) for name, doc in words.HANDLER.items()],
        response=_of_response(),
        decorators=[_decorator(name) for name in signatures.DECORATORS],
        hooks=[_ON_START, *(_hook(name) for name in HOOKS[1:])],
        arguments={name: _arguments(signatures.method(name)) for name in signatures.METHODS}
        | {name: _arguments(signatures.decorator(name)) for name in ("every", "config")},
        task={"": [_field(name, takes, doc) for name, takes, doc in words.TASK]}
        | {name: _fields(part) for name, part in (("schedule", Schedule), ("fetch", Fetch), ("process", Process))},
    )


def doc_of(thing: Any) -> str:
    """A docstring as plain text: without markup and without the numbers of behaviours."""
    text = inspect.cleandoc(thing.__doc__ or "")
    return _PARITY.sub("", _ROLES.sub(r"\1", text)).replace("``", "")


def _fields(part: type) -> list[Entry]:
    """Of a part of a task, as the code has them."""
    return [
        _field(name, str(takes), words.ARGUMENTS.get(name) or words.FIELDS[name])
        for name, takes in part.__annotations__.items()
    ]


def _field(name: str, takes: str, doc: str) -> Entry:
    return Entry(name, "property", takes, doc)


def _method(owner: type, name: str) -> Entry:
    function = getattr(owner, name)
    takes = any(each != "self" for each in inspect.signature(function).parameters)
    rank = 2 if name == "crawl" else 1 if name in ("fetch", "download", "css") else 0
    insert = f"{name}(#)" if takes else f"{name}()#"
    return Entry(name, "method", signature_of(function), doc_of(function), insert, rank)


def signature_of(function: Any) -> str:
    """``(url, callback=None, **kwargs)``: as it is called, without types."""
    found = inspect.signature(function)
    plain = [each.replace(annotation=each.empty) for each in found.parameters.values() if each.name != "self"]
    return str(found.replace(parameters=plain, return_annotation=found.empty))


def _of_response() -> list[Entry]:
    found = []
    for name in sorted(signatures.members_of_response() - {"of"}):
        member = inspect.getattr_static(Response, name, None)
        rank = {"css": 2, "doc": 1, "json": 1, "text": 1, "url": 1, "links": 1}.get(name, -1 if name in _HIDDEN else 0)
        if inspect.isfunction(member):
            entry = _method(Response, name)
            doc = entry.doc or words.RESPONSE.get(name, "")
            found.append(Entry(name, "method", entry.detail, doc, entry.insert, rank))
            continue
        documented = member is not None and not isinstance(member, str | int | float | dict)
        doc = words.RESPONSE.get(name) or (doc_of(member) if documented else "")
        found.append(Entry(name, "property", _type_of(Response, name), doc, "", rank))
    return found


def _type_of(owner: type, name: str) -> str:
    """The type of an attribute as it is written in the code."""
    annotation = owner.__annotations__.get(name)
    member = inspect.getattr_static(owner, name, None)
    if annotation is None and isinstance(member, property):
        annotation = member.fget.__annotations__.get("return")
    if annotation is None and hasattr(member, "work"):
        annotation = member.work.__annotations__.get("return")
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation) if annotation else ""
    return text.removeprefix("ClassVar[").removesuffix("]") if text.startswith("ClassVar[") else text


def _decorator(name: str) -> Entry:
    function = getattr(base_handler, name)
    called = name in ("every", "config")
    insert = {"every": "every(minutes=#)", "config": "config(#)"}.get(name, name)
    detail = signature_of(function).replace("function=None, /, *, ", "") if called else ""
    return Entry(name, "function", detail, doc_of(function), insert)


def _hook(name: str) -> Entry:
    function = getattr(BaseHandler, name)
    parameters = ", ".join(inspect.signature(function).parameters)
    return Entry(name, "method", f"({parameters})", doc_of(function), f"{name}({parameters}):\n    #")


def _arguments(signature: signatures.Signature) -> list[Entry]:
    return [_argument(signature.arguments[name], rank) for name, rank in _ranked(signature.names())]


def _argument(argument: signatures.Argument, rank: int) -> Entry:
    insert = "callback=self.#" if argument.name == "callback" else f"{argument.name}=#"
    return Entry(argument.name, "keyword", argument.takes, words.ARGUMENTS.get(argument.name, ""), insert, rank)


_USUAL = (
    "callback",
    "save",
    "age",
    "priority",
    "headers",
    "params",
    "data",
    "method",
    "fetch_type",
    "minutes",
    "days",
    "cron",
)


def _ranked(names: Iterable[str]) -> Iterable[tuple[str, int]]:
    """What is used most stands first."""
    for name in names:
        yield name, len(_USUAL) - _USUAL.index(name) if name in _USUAL else 0
