"""The nodes of a script, walked once: a thousand lines have 17,000, and ``ast.walk`` takes three times as long."""

from __future__ import annotations

import ast

_AST = ast.AST
_LEAVES = (ast.expr_context, ast.operator, ast.unaryop, ast.cmpop, ast.boolop, ast.Constant, ast.Name)
_BLOCKS = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_FIELDS: dict[type, tuple[str, ...]] = {}


class Nodes:
    """All nodes below a root, in the order of the text, without operators and contexts."""

    def __init__(self, root: ast.AST) -> None:
        self.all: list[ast.AST] = []
        self._spans: dict[ast.AST, tuple[int, int]] = {}
        self._walk(root)

    def below(self, block: ast.AST) -> list[ast.AST]:
        """A class or function and all in it."""
        start, end = self._spans[block]
        return self.all[start:end]

    def _walk(self, root: ast.AST) -> None:
        found = self.all
        waiting: list[ast.AST | tuple[ast.AST, int]] = [root]
        while waiting:
            node = waiting.pop()
            if node.__class__ is tuple:  # a block is over
                block, start = node
                self._spans[block] = (start, len(found))
                continue
            kind = node.__class__
            if kind in _BLOCKS:
                waiting.append((node, len(found)))  # type: ignore[arg-type]
            found.append(node)  # type: ignore[arg-type]
            fields = _FIELDS.get(kind)
            if fields is None:
                fields = _FIELDS[kind] = _fields_of(kind)
            for field in fields:
                value = getattr(node, field, None)
                if value.__class__ is list:
                    waiting += [each for each in reversed(value) if isinstance(each, _AST)]
                elif isinstance(value, _AST):
                    waiting.append(value)


def _fields_of(kind: type) -> tuple[str, ...]:
    """Those that can hold nodes, the last one first."""
    if issubclass(kind, _LEAVES):
        return ()
    plain = {"ctx", "op", "ops", "id", "attr", "name", "asname", "module", "level", "type_comment", "kind"}
    plain |= {"conversion", "lineno", "is_async", "simple", "type_ignores"}
    return tuple(field for field in reversed(kind._fields) if field not in plain)  # type: ignore[attr-defined]
