"""The classes of a script: which are handlers, and which names they have. Pure."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from crawlkit.webui.lint.signatures import members_of_handler
from crawlkit.webui.lint.walking import Nodes

Function = ast.FunctionDef | ast.AsyncFunctionDef
About = tuple[bool, set[str]]  # whether a class may have names that nobody sees, and those that it has
BASES = ("BaseHandler",)
MAX_HANDLERS = 50  # that are looked at, the first of the script, each with as many classes of it as bases


class Handler:
    """A handler class of a script, with what it has from classes of the same script."""

    def __init__(
        self, node: ast.ClassDef, line: list[ast.ClassDef], foreign: bool, told: Mapping[ast.ClassDef, About]
    ) -> None:
        """``line``: the class and its bases in the script; ``foreign``: it has others too."""
        self.node = node
        self.whole = not foreign and not any(told[each][0] for each in line)
        """Whether all of its names are known, so that one that is not found is not there."""
        self.own = {name for each in line for name in told[each][1]}
        self.names = members_of_handler() | self.own
        self._methods = {each.name for node in line for each in node.body if isinstance(each, Function)}

    def methods(self) -> Iterator[Function]:
        """Of this class itself."""
        for each in self.node.body:
            if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef):
                yield each

    def has_method(self, name: str) -> bool:
        """Whether a class of the script defines it."""
        return name in self._methods


def handlers_in(script: Nodes) -> list[Handler]:
    """The handler classes of a script."""
    classes = {node.name: node for node in script.all if isinstance(node, ast.ClassDef)}
    told: dict[ast.ClassDef, About] = {}  # a base of many is read once
    found: list[Handler] = []
    for node in classes.values():
        line, foreign, is_handler = _line_of(node, classes)
        if is_handler:
            for each in line:
                if each not in told:
                    nodes = script.below(each)
                    told[each] = (_is_dynamic(nodes), _names_in(each, nodes))
            found.append(Handler(node, line, foreign, told))
            if len(found) == MAX_HANDLERS:
                break
    return found


def _line_of(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> tuple[list[ast.ClassDef], bool, bool]:
    """The class and its bases in the script; whether it has others; whether it is a handler."""
    line: list[ast.ClassDef] = []
    waiting, foreign, is_handler = [node], False, False
    while waiting:
        each = waiting.pop()
        if each in line:
            continue
        if len(line) == MAX_HANDLERS:
            return line, True, is_handler
        line.append(each)
        foreign = foreign or bool(each.keywords) or bool(each.decorator_list)
        for base in each.bases:
            name = base.attr if isinstance(base, ast.Attribute) else base.id if isinstance(base, ast.Name) else ""
            if name in BASES:
                is_handler = True
            elif name in classes:
                waiting.append(classes[name])
            elif name != "object":
                foreign = True
    return line, foreign, is_handler


def _is_dynamic(nodes: list[ast.AST]) -> bool:
    """Whether names may come from where nobody sees them."""
    for node in nodes:
        if isinstance(node, Function) and node.name in ("__getattr__", "__getattribute__"):
            return True
        if isinstance(node, ast.Name) and node.id == "setattr":
            return True
        if isinstance(node, ast.Attribute) and node.attr == "__dict__":
            return True
    return False


def _names_in(node: ast.ClassDef, nodes: list[ast.AST]) -> set[str]:
    """What a class defines, and what its methods set on ``self``."""
    names: set[str] = set()
    for each in node.body:
        names |= _bound_by(each)
    for inner in nodes:
        if (
            isinstance(inner, ast.Attribute)
            and not isinstance(inner.ctx, ast.Load)
            and isinstance(inner.value, ast.Name)
        ):
            names.add(inner.attr)
    return names


def _bound_by(statement: ast.stmt) -> set[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    nodes = Nodes(statement).all
    names = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    for each in nodes:
        if isinstance(each, ast.alias):
            names.add((each.asname or each.name).partition(".")[0])
        elif isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(each.name)
    return names
