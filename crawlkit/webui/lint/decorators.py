"""Marks on ``@every``, ``@config`` and the bare decorators, and on the attributes of a handler class. Pure."""

from __future__ import annotations

import ast
from typing import Any

from crawlkit.libs import host_limits
from crawlkit.libs.base_handler import BaseHandler
from crawlkit.libs.bounds import CONFIG as BOUNDS
from crawlkit.libs.bounds import bounds_of
from crawlkit.libs.every import every
from crawlkit.libs.result_key import result_key
from crawlkit.webui.lint import signatures
from crawlkit.webui.lint.arguments import problem_of
from crawlkit.webui.lint.classes import Handler
from crawlkit.webui.lint.marks import Pen
from crawlkit.webui.lint.values import Unknown, value_of

OURS = ("crawlkit", "pyspider")
BARE = ("catch_status_code_error", "not_send_status")


def names_of_decorators(nodes: list[ast.AST]) -> dict[str, str]:
    """What the decorators are called in this script: its name -> ours."""
    names: dict[str, str] = {}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in OURS:
            for alias in node.names:
                if alias.name == "*":
                    names |= {name: name for name in signatures.DECORATORS}
                elif alias.name in signatures.DECORATORS:
                    names[alias.asname or alias.name] = alias.name
    return names


def check_decorators(handler: Handler, names: dict[str, str], pen: Pen) -> None:
    for function in handler.methods():
        for node in function.decorator_list:
            called = node.func if isinstance(node, ast.Call) else node
            name = names.get(called.id) if isinstance(called, ast.Name) else None
            if name in BARE and isinstance(node, ast.Call):
                pen.error(node, "decorator", f"@{name} stands without ()")
            elif name == "config":
                _check_config(node, handler, pen)
            elif name == "every" and isinstance(node, ast.Call):
                _check_every(node, pen)


def _check_config(node: ast.expr, handler: Handler, pen: Pen) -> None:
    if not isinstance(node, ast.Call):
        pen.error(node, "decorator", "@config needs arguments: @config(age=24 * 60 * 60)")
        return
    for value in node.args:
        if isinstance(value, ast.Dict):
            _check_dict(value, "config", pen, "error")
    for keyword in node.keywords:
        if keyword.arg is not None and _check_name(keyword, keyword.arg, "config", pen):
            _check_argument(keyword.arg, keyword.value, pen)


def _check_name(node: ast.AST, name: str, where: str, pen: Pen, severity: str = "error") -> bool:
    known = signatures.decorator("config")
    if name in known.arguments or name in ("callback", "download"):
        return True
    meant = pen.did_you_mean(name, known.names())
    if severity == "error":
        pen.error(node, "unknown-argument", f"@{where}() has no argument {name!r}{meant}")
    else:
        pen.warning(
            node, "unknown-argument", f"{where}: {name!r} is no argument of self.crawl and means nothing{meant}"
        )
    return False


def _check_argument(name: str, node: ast.expr, pen: Pen) -> None:
    try:
        problem = problem_of(name, value_of(node))
    except Unknown:
        return
    if problem:
        pen.error(node, "wrong-value", problem)


def _check_dict(node: ast.Dict, where: str, pen: Pen, severity: str) -> None:
    for key, value in zip(node.keys, node.values, strict=True):
        if not isinstance(key, ast.Constant) or not isinstance(key.value, str):
            continue
        if where == "crawl_config" and key.value == BOUNDS:
            _try(value, lambda said: bounds_of({BOUNDS: said}), pen)
        elif where == "crawl_config" and key.value in ("host_limits", *host_limits.SHORT):
            _try(value, lambda said, name=key.value: _as_attribute("crawl_config", {name: said}), pen)
        elif _check_name(key, key.value, where, pen, severity):
            _check_argument(key.value, value, pen)


def _check_every(call: ast.Call, pen: Pen) -> None:
    known = signatures.decorator("every")
    for keyword in call.keywords:
        if keyword.arg is not None and keyword.arg not in known.arguments:
            meant = pen.did_you_mean(keyword.arg, known.names())
            pen.error(keyword, "unknown-argument", f"@every() has no argument {keyword.arg!r}{meant}")
            return
    if call.args:
        pen.error(call.args[0], "decorator", "@every: name the times: @every(minutes=5)")
        return
    values: dict[str, Any] = {}
    for keyword in call.keywords:
        try:
            values[keyword.arg or ""] = value_of(keyword.value)
        except Unknown:
            return
    if "" in values:
        return
    try:
        every(**values)
    except (TypeError, ValueError) as error:
        pen.error(call, "every", str(error))


def check_attributes(handler: Handler, pen: Pen) -> None:
    """``crawl_config``, ``retry_delay``, ``result_key`` and its policy, where they are written down as values."""
    found = {name: node for each in handler.node.body for name, node in _assigned(each)}
    crawl_config = found.get("crawl_config")
    if isinstance(crawl_config, ast.Dict):
        _check_dict(crawl_config, "crawl_config", pen, "warning")
    elif crawl_config is not None:
        _try(crawl_config, lambda value: _as_attribute("crawl_config", value), pen)
    if "retry_delay" in found:
        _try(found["retry_delay"], lambda value: _as_attribute("retry_delay", value), pen)
    if "result_key" in found:
        _try(found["result_key"], lambda value: result_key(value, "replace"), pen)
    if "result_key_policy" in found:
        _try(found["result_key_policy"], lambda value: result_key((), value), pen)


def _assigned(statement: ast.stmt) -> list[tuple[str, ast.expr]]:
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            return [(name, value)]
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            return [(name, value)]
    return []


def _as_attribute(name: str, value: Any) -> None:
    type("Handler", (BaseHandler,), {name: value})().project_info()


def _try(node: ast.expr, check: Any, pen: Pen) -> None:
    try:
        check(value_of(node))
    except Unknown:
        return
    except (TypeError, ValueError) as error:
        pen.error(node, "wrong-value", str(error))
