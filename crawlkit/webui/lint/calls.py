"""Marks on calls of ``self.crawl`` and of what takes the same arguments. Pure."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from crawlkit.libs import browse_args
from crawlkit.webui.lint import signatures
from crawlkit.webui.lint.arguments import problem_of, problem_of_url, shown
from crawlkit.webui.lint.classes import Function, Handler
from crawlkit.webui.lint.marks import Pen
from crawlkit.webui.lint.values import Unknown, value_of
from crawlkit.webui.lint.walking import Nodes

WITH_CALLBACK = ("crawl", "download", "crawl_sitemap")


def check_calls(handler: Handler, script: Nodes, pen: Pen) -> None:
    """Every ``self.crawl(...)`` in the methods of ``handler``."""
    speaks = any(_speaks_of_fetch_type(node) for node in script.all)
    for function in handler.methods():
        own = _first_parameter(function)
        if own is None:
            continue
        nodes = script.below(function)
        for node in nodes:
            if isinstance(node, ast.Call) and _is_of(node.func, own):
                _check_call(node, node.func.attr, own, handler, pen)  # type: ignore[attr-defined]
                if not speaks:
                    _check_plain(node, node.func.attr, pen)  # type: ignore[attr-defined]
        _check_response(function, nodes, pen)


def _check_call(call: ast.Call, name: str, own: str, handler: Handler, pen: Pen) -> None:
    if name not in signatures.METHODS:
        _check_method(call, name, handler, pen)
        return
    if handler.has_method(name):  # its own, with arguments of its own
        return
    signature = signatures.method(name)
    given = _given(call, signature, pen)
    for argument, value in given.items():
        if argument == "callback":
            _check_callback(value, own, handler, pen)
        else:
            _check_value(argument, value, pen)
    if any(isinstance(each, ast.Starred) for each in call.args) or any(each.arg is None for each in call.keywords):
        return  # the rest comes from elsewhere
    for missing in sorted(signature.required - given.keys()):
        pen.error(call.func, "missing-argument", f"{name}() needs {missing}")
    said = len(given) == len(call.args) + len(call.keywords)  # else what is wrong is marked already
    if name in WITH_CALLBACK and "callback" not in given and said and handler.whole and "__call__" not in handler.own:
        pen.warning(call.func, "no-callback", f"{name}() without callback: nothing would be called with the page")


def _speaks_of_fetch_type(node: ast.AST) -> bool:
    if isinstance(node, ast.keyword):
        return node.arg in ("fetch_type", None)  # what ** brings is not known
    return isinstance(node, ast.Constant) and node.value == "fetch_type"


def _check_plain(call: ast.Call, name: str, pen: Pen) -> None:
    """What only a browser does, in a script of which no page is for one: it would raise."""
    for keyword in call.keywords if name in (*WITH_CALLBACK, "fetch") else ():
        if keyword.arg in browse_args.NAMES and not _is_no(keyword.value):
            pen.warning(keyword, "needs-browser", f"{keyword.arg}: only a browser does this; say fetch_type='browser'")


def _is_no(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and not node.value


def _given(call: ast.Call, signature: signatures.Signature, pen: Pen) -> dict[str, ast.expr]:
    """The arguments by name; marks those that there are not."""
    given: dict[str, ast.expr] = {}
    for place, value in enumerate(call.args):
        if isinstance(value, ast.Starred):
            break
        if place >= len(signature.positional):
            count = len(signature.positional)
            pen.error(value, "too-many", f"{signature.name}() takes {count} arguments without a name; name the others")
            break
        given[signature.positional[place]] = value
    for keyword in call.keywords:
        if keyword.arg is None:
            continue
        if keyword.arg in given:
            pen.error(keyword, "given-twice", f"{keyword.arg} is given twice")
        elif keyword.arg not in signature.arguments and not signature.open_ended:
            meant = pen.did_you_mean(keyword.arg, signature.names())
            pen.error(keyword, "unknown-argument", f"{signature.name}() has no argument {keyword.arg!r}{meant}")
        else:
            given[keyword.arg] = keyword.value
    return given


def _check_value(name: str, node: ast.expr, pen: Pen) -> None:
    try:
        value = value_of(node)
    except Unknown:
        return
    problem = problem_of_url(value) if name == "url" else problem_of(name, value)
    if problem:
        pen.error(node, "wrong-value", problem)


def _check_callback(node: ast.expr, own: str, handler: Handler, pen: Pen) -> None:
    if isinstance(node, ast.Lambda):
        pen.error(node, "callback", "a callback is a method of the handler, which a lambda is not")
        return
    if isinstance(node, ast.Call) and _is_of(node.func, own) and handler.has_method(node.func.attr):  # type: ignore[attr-defined]
        name = node.func.attr  # type: ignore[attr-defined]
        pen.error(node, "callback", f"this calls {name} here and now; leave out the (): callback={own}.{name}")
        return
    if _is_of(node, own):
        _check_callback_name(node, node.attr, handler, pen)  # type: ignore[attr-defined]
        return
    try:
        value = value_of(node)
    except Unknown:
        return
    if isinstance(value, str):
        _check_callback_name(node, value, handler, pen)
    elif value is not None:
        pen.error(node, "callback", f"callback takes a method or its name, not {shown(value)}")


def _check_callback_name(node: ast.expr, name: str, handler: Handler, pen: Pen) -> None:
    if name in handler.names or not handler.whole:
        return
    meant = pen.did_you_mean(name, handler.own)
    pen.error(node, "callback", f"{handler.node.name} has no method {name!r}{meant}")


def _check_method(call: ast.Call, name: str, handler: Handler, pen: Pen) -> None:
    """A method that there is not, and that looks like one that there is."""
    if not handler.whole or name in handler.names or name.startswith("__"):
        return
    meant = pen.near(name, handler.names)
    if meant:
        pen.error(call.func, "unknown-method", f"the handler has no method {name!r}; did you mean {meant!r}?")


def _check_response(function: Function, nodes: list[ast.AST], pen: Pen) -> None:
    """Members of ``response`` that there are not, and that look like some that there are."""
    if not any(each.arg == "response" for each in function.args.args):
        return
    members = signatures.members_of_response()
    uses = [n for n in nodes if isinstance(n, ast.Attribute) and _is_named(n.value, "response")]
    stored = {n.attr for n in uses if not isinstance(n.ctx, ast.Load)}
    if any(isinstance(n, ast.Name) and n.id == "response" and isinstance(n.ctx, ast.Store) for n in nodes):
        return
    for use in uses:
        meant = None if use.attr in members | stored or use.attr.startswith("_") else pen.near(use.attr, members)
        if meant:
            pen.error(use, "unknown-member", f"response has no {use.attr!r}; did you mean {meant!r}?")


def _first_parameter(function: Function) -> str | None:
    arguments: Iterator[ast.arg] = iter([*function.args.posonlyargs, *function.args.args])
    first = next(arguments, None)
    static = any(isinstance(each, ast.Name) and each.id == "staticmethod" for each in function.decorator_list)
    return None if first is None or static else first.arg


def _is_of(node: ast.expr, own: str) -> bool:
    """Whether ``node`` is ``self.something``."""
    return isinstance(node, ast.Attribute) and _is_named(node.value, own)


def _is_named(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name
