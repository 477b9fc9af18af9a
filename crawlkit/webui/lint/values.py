"""What an expression of a script comes to, as far as it can be told without running it. Pure, and bounded."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any

MAX_NUMBER = 1e18
_NUMBERS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}


class Unknown(Exception):
    """Only a run could tell."""


def value_of(node: ast.expr) -> Any:
    """The value of a literal, also of ``10 * 24 * 60 * 60``; raises :class:`Unknown`."""
    match node:
        case ast.Constant(value=value):
            if isinstance(value, int) and abs(value) > MAX_NUMBER:  # its digits may be more than Python prints
                raise Unknown
            return value
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
            number = _number(value_of(operand))
            return -number if isinstance(sign, ast.USub) else number
        case ast.BinOp(left=left, op=op, right=right):
            return _counted(_number(value_of(left)), type(op), _number(value_of(right)))
        case ast.List(elts=elts):
            return [value_of(each) for each in elts]
        case ast.Tuple(elts=elts):
            return tuple(value_of(each) for each in elts)
        case ast.Set(elts=elts):
            return _hashed(lambda: {value_of(each) for each in elts})
        case ast.Dict(keys=keys, values=values):
            return _hashed(lambda: {_key(key): value_of(value) for key, value in zip(keys, values, strict=True)})
    raise Unknown


def _key(node: ast.expr | None) -> Any:
    if node is None:  # {**other}
        raise Unknown
    return value_of(node)


def _hashed(make: Callable[[], Any]) -> Any:
    try:
        return make()
    except TypeError:  # a list as a key: the run will say so
        raise Unknown from None


def _number(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > MAX_NUMBER:
        raise Unknown
    return value


def _counted(left: int | float, op: type[ast.operator], right: int | float) -> int | float:
    work = _NUMBERS.get(op)
    if work is None:
        raise Unknown
    try:
        return _number(work(left, right))
    except ZeroDivisionError:
        raise Unknown from None
