"""Names that nothing defines, by the interpreter's own tables of symbols. Pure."""

from __future__ import annotations

import ast
import builtins
import importlib
import symtable
import types
from functools import cache

from crawlkit.processor import pyspider_names
from crawlkit.webui.lint.marks import Pen

# What the loader puts into a script's module, and what every module has
GIVEN = frozenset(
    {"__file__", "__project__", "logger", "logging", "log_buffer", "print", "__handler_cls__"}
    | {"__name__", "__doc__", "__builtins__", "__annotations__", "__spec__", "__loader__", "__package__", "__dict__"}
)
_BUILTINS = frozenset(dir(builtins))


def check_names(table: symtable.SymbolTable, nodes: list[ast.AST], pen: Pen) -> None:
    """Marks each use of a name that is not defined anywhere; none when a star import may bring it."""
    brought = _brought_by_stars(nodes)
    if brought is None:
        return
    known = _BUILTINS | GIVEN | brought | _bound(table)
    unknown = _used(table) - known
    if not unknown:
        return
    for node in nodes:
        if isinstance(node, ast.Name) and node.id in unknown and isinstance(node.ctx, ast.Load):
            pen.error(node, "undefined", f"nothing defines {node.id!r}{pen.did_you_mean(node.id, known)}")


def _bound(table: symtable.SymbolTable) -> set[str]:
    """Names of the module, also those that a function declares global and sets."""
    names = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported() or s.is_namespace()}
    waiting = list(table.get_children())
    while waiting:
        inner = waiting.pop()
        waiting += inner.get_children()
        names |= {s.get_name() for s in inner.get_symbols() if s.is_declared_global() and s.is_assigned()}
    return names


def _used(table: symtable.SymbolTable) -> set[str]:
    """Names that are read as names of the module, anywhere."""
    names = {s.get_name() for s in table.get_symbols() if s.is_referenced()}
    waiting = list(table.get_children())
    while waiting:
        inner = waiting.pop()
        waiting += inner.get_children()
        names |= {s.get_name() for s in inner.get_symbols() if s.is_referenced() and s.is_global()}
    return names


def _brought_by_stars(nodes: list[ast.AST]) -> frozenset[str] | None:
    """What ``from ours import *`` brings; ``None`` when another star import may bring anything."""
    names: frozenset[str] = frozenset()
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            more = _offered(node.module or "")
            if more is None:
                return None
            names |= more
    return names


@cache
def _offered(module: str) -> frozenset[str] | None:
    if module in pyspider_names.NAMES:
        made = types.ModuleType(module)
        pyspider_names.fill(made)
        return frozenset(vars(made))
    if module in ("crawlkit", "crawlkit.libs.base_handler", "crawlkit.libs.response"):
        ours = importlib.import_module(module)
        return frozenset(getattr(ours, "__all__", None) or vars(ours))
    return None
