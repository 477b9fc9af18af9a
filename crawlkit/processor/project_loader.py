"""Makes a handler out of a script's text.

Runs the script's top level, so only a handler worker (and the UI's debugger, in one) may call it.
"""

from __future__ import annotations

import hashlib
import importlib.abc
import importlib.machinery
import importlib.util
import linecache
import re
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from crawlkit.libs.base_handler import BaseHandler
from crawlkit.libs.errors import ScriptError
from crawlkit.libs.handler_settings import HandlerSettings
from crawlkit.libs.result_key import ResultKey, result_key
from crawlkit.processor.capture import Capture, LogBuffer, ScriptLogger, captured_print, capturing, described, formatted

Resolver = Callable[[str], str | None]
PROJECTS = "projects"  # what scripts import each other from
_COMPAT = re.compile(r"^#[ \t]*taskid_compat[ \t]*:[ \t]*(?:yes|true|1)\b", re.MULTILINE | re.IGNORECASE)
_LOADED = "crawlkit_project"  # what a loaded script is called; nobody can import that


class LoadedProject:
    """A script that is loaded: its module, its handler, and which scripts of other projects it imported."""

    __slots__ = ("group", "handler", "imports", "logs", "md5", "module", "name", "result_key")

    def __init__(
        self, name: str, script: str, group: str, module: types.ModuleType, handler: BaseHandler, logs: str
    ) -> None:
        self.name = name
        self.group = group
        self.md5 = script_md5(script)
        self.module = module
        self.handler = handler
        self.logs = logs  # what loading printed
        self.result_key: ResultKey | None = None
        self.imports: dict[str, str] = {}  # project -> md5 of the script it came from


def script_md5(script: str) -> str:
    """How a version of a script is named in messages and rows."""
    return hashlib.md5(script.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()


def load_project(
    name: str,
    script: str,
    *,
    group: str = "",
    project: Mapping[str, Any] | None = None,
    resolver: Resolver | None = None,
    settings: HandlerSettings | None = None,
) -> LoadedProject:
    """The handler of ``script``; raises :class:`ScriptError` with the line and the traceback [P02].

    ``project`` is what ``self.project`` shows beside name and script [H12]; ``resolver`` gives the script of another
    project for ``from projects import other``, ``None`` when there is none; ``settings`` becomes ``self.settings``,
    before ``__init__``.
    """
    finder = _install_finder()
    finder.begin(resolver)
    capture = Capture()
    with capturing(capture):
        try:
            module = _run_script(f"{_LOADED}.{name}", name, script)
            handler_class = _handler_class(module)
            if handler_class is None:
                raise ScriptError("the script defines no class that subclasses BaseHandler")
            handler = _new(handler_class, settings if settings is not None else HandlerSettings(name))
            key = result_key(handler.result_key, handler.result_key_policy)
            BaseHandler.project_info(handler)  # a crawl without the limits that were meant is none that is wanted
        except ScriptError:
            raise
        except BaseException as error:  # a script may raise anything, SystemExit too; the worker lives on
            raise ScriptError(
                described(error), _lineno(error, f"{name}.py"), capture.text() + formatted(error)
            ) from None
    handler.project_name = name
    if _COMPAT.search(script):
        handler.taskid_compat = True
    handler.project = {"group": group, **(project or {}), "name": name, "script": script}
    handler.logger = module.__dict__["logger"]
    loaded = LoadedProject(name, script, group, module, handler, capture.text())
    loaded.imports = finder.imported
    loaded.result_key = key
    return loaded


def project_of(handler_class: type[BaseHandler], settings: HandlerSettings) -> LoadedProject:
    """A handler class that was imported in the ordinary way, as a project; for tests of handlers."""
    name = handler_class.__name__
    handler = _new(handler_class, settings)
    handler.project_name, handler.project = name, {"name": name, "group": "", "script": ""}
    handler.logger = ScriptLogger(name)
    project = LoadedProject(name, "", "", sys.modules[handler_class.__module__], handler, "")
    project.result_key = result_key(handler.result_key, handler.result_key_policy)
    return project


def _new(handler_class: type[BaseHandler], settings: HandlerSettings) -> BaseHandler:
    """A handler that has its settings before its ``__init__``; a script's own attribute of that name stays."""
    handler = handler_class.__new__(handler_class)
    if handler_class.settings is BaseHandler.settings:
        handler.settings = settings
    handler.__init__()  # type: ignore[misc]
    return handler


def _run_script(module_name: str, project: str, script: str) -> types.ModuleType:
    filename = f"{project}.py"
    code = compile(script, filename, "exec", dont_inherit=True)
    # mtime None: linecache never looks for a file of that name
    linecache.cache[filename] = (len(script), None, script.splitlines(keepends=True), filename)
    module = types.ModuleType(module_name)
    logger = ScriptLogger(project)
    module.__dict__.update(
        __file__=filename,
        __project__=project,
        logger=logger,
        logging=logger,
        log_buffer=LogBuffer(),
        print=captured_print,
    )
    sys.modules[module_name] = module  # dataclasses and typing look a class's module up there
    try:
        exec(code, module.__dict__)
    except BaseException:
        sys.modules.pop(module_name, None)
        raise
    return module


def _handler_class(module: types.ModuleType) -> type[BaseHandler] | None:
    """``__handler_cls__``, else the last subclass of BaseHandler in the module [H03]."""
    named = module.__dict__.get("__handler_cls__")
    if isinstance(named, type) and issubclass(named, BaseHandler):
        return named
    found = None
    for value in list(module.__dict__.values()):
        if isinstance(value, type) and value is not BaseHandler and issubclass(value, BaseHandler):
            found = value
    return found


def _lineno(error: BaseException, filename: str) -> int | None:
    """The last line of the script in the error's traceback."""
    if isinstance(error, SyntaxError) and error.filename == filename:
        return error.lineno
    line, step = None, error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == filename:
            line = step.tb_lineno
        step = step.tb_next
    return line


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports for handler scripts only: ``projects.other``, and what is ours under pyspider's names [H01, P04]."""

    def __init__(self) -> None:
        self._resolver: Resolver | None = None
        self.imported: dict[str, str] = {}

    def begin(self, resolver: Resolver | None) -> None:
        """Another project is loaded: what it imports is looked up anew."""
        self._resolver = resolver
        self.imported = {}
        for name in [name for name in sys.modules if name == PROJECTS or name.startswith(PROJECTS + ".")]:
            del sys.modules[name]

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        top, _, rest = fullname.partition(".")
        if top == "pyspider":
            from crawlkit.processor.pyspider_names import NAMES

            if fullname in NAMES:
                return importlib.machinery.ModuleSpec(fullname, self, is_package=NAMES[fullname] is None)
        elif top == PROJECTS and self._resolver is not None and "." not in rest:
            if not rest:
                return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
            if self._resolver(rest) is not None:
                return importlib.machinery.ModuleSpec(fullname, self)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType | None:
        return None

    def exec_module(self, module: types.ModuleType) -> None:
        name = module.__name__
        if name.startswith("pyspider"):
            from crawlkit.processor.pyspider_names import fill

            fill(module)
        elif name != PROJECTS:
            self._exec_project(module, name.partition(".")[2])

    def _exec_project(self, module: types.ModuleType, project: str) -> None:
        script = self._resolver(project) if self._resolver is not None else None
        if script is None:
            raise ImportError(f"no project {project!r}", name=module.__name__)
        self.imported[project] = script_md5(script)
        filename = f"{project}.py"
        linecache.cache[filename] = (len(script), None, script.splitlines(keepends=True), filename)
        logger = ScriptLogger(project)
        module.__dict__.update(
            __file__=filename,
            __project__=project,
            logger=logger,
            logging=logger,
            log_buffer=LogBuffer(),
            print=captured_print,
        )
        exec(compile(script, filename, "exec", dont_inherit=True), module.__dict__)


_finder = _Finder()


def _install_finder() -> _Finder:
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
    return _finder
