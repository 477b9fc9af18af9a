"""What is wrong with a handler script, told without running it. Pure.

One door: :func:`lint`. The rules are read from the code that will run the script, so they cannot drift from it.
"""

from __future__ import annotations

import ast
import contextlib
import symtable
import threading
import warnings

from crawlkit.webui.lint.calls import check_calls
from crawlkit.webui.lint.classes import handlers_in
from crawlkit.webui.lint.decorators import check_attributes, check_decorators, names_of_decorators
from crawlkit.webui.lint.marks import MAX_MARKS, Full, Mark, Pen
from crawlkit.webui.lint.names import check_names
from crawlkit.webui.lint.walking import Nodes

__all__ = ["MAX_MARKS", "Mark", "lint"]

_FILENAME = "<script being edited>"
_parsing = threading.Lock()  # the filters of warnings are the process's


def lint(script: str) -> list[Mark]:
    """What is wrong with ``script``, in the order of the text; at most :data:`MAX_MARKS`. Never raises for its text."""
    script = script.replace("\r\n", "\n")
    pen = Pen(script)
    try:
        parsed = _parsed(script, pen)
        if parsed is not None:
            _check(*parsed, pen)
    except RecursionError:
        with contextlib.suppress(Full):
            pen.at_line(1, 0, 0, "error", "syntax", "the script nests too deep to be read")
    except Full:
        pass  # those that it has are the answer
    return pen.marks()


def _parsed(script: str, pen: Pen) -> tuple[ast.Module, symtable.SymbolTable] | None:
    with _parsing, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            tree = ast.parse(script, _FILENAME)
            # finds what parsing lets pass: return outside of a function
            compile(tree, _FILENAME, "exec", dont_inherit=True)
            table = symtable.symtable(script, _FILENAME, "exec")
        except SyntaxError as error:
            start = (error.offset or 1) - 1
            same_line = error.end_lineno in (None, error.lineno)
            end = (error.end_offset or 0) - 1 if same_line else 10_000
            pen.at_line(error.lineno or 1, start, end, "error", "syntax", f"syntax: {error.msg}")
            return None
        except (ValueError, MemoryError) as error:  # NUL bytes, nesting without end
            pen.at_line(1, 0, 0, "error", "syntax", f"syntax: {error or 'the script nests too deep'}")
            return None
    for warning in caught:
        if warning.filename == _FILENAME:
            pen.at_line(warning.lineno, 0, 10_000, "warning", "syntax", str(warning.message))
    return tree, table


def _check(tree: ast.Module, table: symtable.SymbolTable, pen: Pen) -> None:
    script = Nodes(tree)
    nodes = script.all
    handlers = handlers_in(script)
    names = names_of_decorators(nodes)
    for handler in handlers:
        check_calls(handler, script, pen)
        check_decorators(handler, names, pen)
        check_attributes(handler, pen)
    if not handlers and tree.body and not _may_import_one(nodes):
        pen.at_line(1, 0, 10_000, "warning", "no-handler", "there is no class that derives from BaseHandler")
    check_names(table, nodes, pen)


def _may_import_one(nodes: list[ast.AST]) -> bool:
    """Whether the handler may come from elsewhere: another project's, or a class whose base is imported."""
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("projects"):
            return True
        if isinstance(node, ast.ClassDef) and node.bases:
            return True
        if isinstance(node, ast.Name) and node.id == "__handler_cls__":
            return True
    return False
