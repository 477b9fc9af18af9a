"""Loads a script as a handler worker would, in a process of its own, to say what is wrong before it is saved.

That process reads JSON on stdin and ends its stdout with one line of JSON.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from crawlkit.libs.errors import ScriptError

WITHIN = 30.0  # seconds
#: Nothing of the working folder comes before the standard library.
_START = (
    f"import sys; sys.path[:1] = []; sys.path.append({str(Path(__file__).parents[2])!r}); "
    "from crawlkit.cli.loading import inside; inside()"
)


def load(
    name: str, script: str, others: Mapping[str, str], settings: Mapping[str, str], env: Mapping[str, str]
) -> list[str]:
    """Warnings about a script that loads. Raises :class:`ScriptError` for one that does not."""
    given = json.dumps(
        {"name": name, "script": script, "others": dict(others), "settings": dict(settings), "folder": os.getcwd()}
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", _START], input=given, capture_output=True, text=True, env=dict(env),
            timeout=WITHIN,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise ScriptError(f"script {name} does not load within {WITHIN:g} s") from None
    try:
        answer = json.loads(done.stdout.splitlines()[-1])
        error, starts = answer["error"], answer["on_start"]
    except (ValueError, IndexError, KeyError, TypeError):
        raise ScriptError(f"script {name} does not load: it ended the process with {done.returncode}") from None
    if error:
        raise ScriptError(f"script {name} does not load: {error}")
    return [] if starts else ["it has no on_start: nothing happens until tasks are submitted or a cron comes"]


def callbacks_of(script: str) -> frozenset[str] | None:
    """The names that the script's classes and :class:`BaseHandler` define; None when that cannot be told by reading."""
    from crawlkit.libs.base_handler import BaseHandler

    try:
        tree = ast.parse(script)
    except (SyntaxError, ValueError, RecursionError):
        return None
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    known = {"BaseHandler", "object", *(found.name for found in classes)}
    for found in classes:
        if any((base.id if isinstance(base, ast.Name) else None) not in known for base in found.bases):
            return None  # another module's class may have it
    names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    names |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    if not classes or {"setattr", "__getattr__", "__getattribute__"} & names or "setattr(" in script:
        return None
    return frozenset(names | set(dir(BaseHandler)))


def inside() -> None:
    """What the other process does."""
    from crawlkit.libs.handler_settings import HandlerSettings
    from crawlkit.processor.project_loader import load_project

    given = json.load(sys.stdin)
    if given["folder"] not in sys.path:
        sys.path.append(given["folder"])
    answer = {"error": "", "on_start": False}
    try:
        settings = HandlerSettings(given["name"], given["settings"])
        loaded = load_project(given["name"], given["script"], resolver=given["others"].get, settings=settings)
        answer["on_start"] = callable(getattr(loaded.handler, "on_start", None))
    except ScriptError as error:
        answer["error"] = str(error) or "no reason given"
    sys.stdout.write("\n" + json.dumps(answer) + "\n")
    sys.stdout.flush()
