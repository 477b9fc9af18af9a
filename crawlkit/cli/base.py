"""What all commands share: options with one precedence, lazy commands, errors in one line.

Imports click and nothing heavier: ``crawlkit --version`` must be quick. What a command needs it imports when it runs.
"""

from __future__ import annotations

import difflib
import importlib
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from crawlkit.libs.errors import InvalidTask, UsageError
from crawlkit.settings import UNLIMITED, Schema, Settings, parse_pages, parse_rate

if TYPE_CHECKING:
    from crawlkit.forkserver import Inherited
    from crawlkit.libs.host_limits import HostLimits

F = TypeVar("F", bound=Callable[..., Any])
PREFIX = "CRAWLKIT"
INHERITED = "crawlkit.inherited"  # in the context's meta: what the process has from its start
_BOOLS = frozenset(["1", "0", "true", "false", "t", "f", "yes", "no", "y", "n", "on", "off"])


class Opt(click.Option):
    """An option whose order is command line > environment > config file > default.

    Its variable is ``CRAWLKIT_<COMMAND>_<OPTION>`` (``CRAWLKIT_<OPTION>`` for a global one); names in ``envvar`` are
    pyspider's, looked at after it. An empty variable says nothing.
    """

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        for name in self.variables(ctx):
            value = os.environ.get(name)
            if not value:
                continue
            if self.is_bool_flag and not name.startswith(PREFIX) and value.strip().lower() not in _BOOLS:
                continue  # DEBUG=express:* and the like belong to somebody else
            return value
        return None

    def variables(self, ctx: click.Context) -> list[str]:
        """The environment variables of this option, the first one that is set holds."""
        named = self.envvar if self.envvar is not None else ()
        old = [named] if isinstance(named, str) else list(named)
        return [f"{ctx.auto_envvar_prefix or PREFIX}_{(self.name or '').upper()}", *old]


def option(*declarations: str, **attributes: Any) -> Callable[[F], F]:
    """``click.option`` with crawlkit's precedence."""
    attributes.setdefault("cls", Opt)
    return click.option(*declarations, **attributes)


class Rate(click.ParamType[Any]):
    """Pages per second, or the word ``unlimited``, which stays that word here (``None`` means not said)."""

    name = "N|unlimited"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        try:
            rate = parse_rate(str(value))
        except UsageError as error:
            self.fail(str(error), param, ctx)
        return UNLIMITED if rate is None else rate


class Pages(click.ParamType[Any]):
    """A number of pages, or the word ``unlimited``, which stays that word here (``None`` means not said)."""

    name = "N|unlimited"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        try:
            pages = parse_pages(str(value))
        except UsageError as error:
            self.fail(str(error), param, ctx)
        return UNLIMITED if pages is None else pages


class HostLimitsType(click.ParamType[Any]):
    """Limits of hosts, as ``crawl_config`` has them; JSON where it is text."""

    name = "JSON"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> HostLimits:
        from crawlkit.libs import host_limits

        if isinstance(value, host_limits.HostLimits):
            return value
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError as error:
                self.fail(f"not JSON ({error}); write for instance '{{\"concurrency\": 8}}'", param, ctx)
        try:
            return host_limits.read(value, "host_limits")
        except InvalidTask as error:
            self.fail(str(error), param, ctx)


class FilesPath(click.ParamType[Any]):
    """A folder, or the URL of a store that fsspec understands."""

    name = "DIR|URL"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from crawlkit.files.store import check_url, is_url

        text = str(value)
        if is_url(text):
            try:
                check_url(text)
            except UsageError as error:
                self.fail(str(error), param, ctx)
        elif Path(text).exists() and not Path(text).is_dir():
            self.fail(f"{text}: is a file", param, ctx)
        return text


class SinkType(click.ParamType[Any]):
    """The URL of a sink, which stays as it is said."""

    name = "URL"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from crawlkit.result.sink_url import parse_sink
        from crawlkit.result.sinks import check_sink

        try:
            check_sink(parse_sink(str(value)))
        except UsageError as error:
            self.fail(str(error), param, ctx)
        return str(value)


def sink_option(function: F) -> F:
    """``--sink`` behind a command: the same as before it."""
    return option("--sink", type=SinkType(), multiple=True, metavar="URL", expose_value=False, callback=_late,
                  help="Where results go beside the resultdb; can be repeated.")(function)  # fmt: skip


def rate_value(given: float | str) -> float | None:
    """What a :class:`Rate` option's value is in a project row: None for unlimited."""
    return None if isinstance(given, str) else given


class Lazy(click.Group):
    """A group whose commands are imported when they are asked for. ``-`` and ``_`` in their names are alike."""

    def __init__(self, *args: Any, commands_in: Mapping[str, str] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.commands_in = dict(commands_in or {})  # name -> "module:attribute"

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands_in)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for name in (cmd_name, cmd_name.replace("-", "_")):
            if name in self.commands_in:
                module, _, attribute = self.commands_in[name].partition(":")
                command: click.Command = getattr(importlib.import_module(module), attribute)
                return command
        return None


def command(
    group: click.Group | None = None, *, example: str, name: str | None = None, remote: bool = False, **attributes: Any
) -> Callable[[Callable[..., Any]], click.Command]:
    """A command whose ``--help`` ends with an example. ``remote``: it can ask a server elsewhere by its API."""
    attributes["epilog"] = "\b\nExample:\n" + "\n".join(f"  {line}" for line in example.splitlines())
    attributes["params"] = [
        Opt(
            ["--data-path"],
            type=click.Path(path_type=Path),
            expose_value=False,
            callback=_late,
            help="Where the data is.",
        ),
        Opt(
            ["--debug/--no-debug"], default=None, expose_value=False, callback=_late, help="Log more; show tracebacks."
        ),
    ]
    if remote:
        attributes["params"].append(
            Opt(["--server"], metavar="URL", envvar="CRAWLKIT_SERVER", expose_value=False, callback=_late,
                help="Ask the web UI at URL, not a data path; with the token of CRAWLKIT_TOKEN or crawlkit login.")
        )  # fmt: skip
    make: Any = click.command if group is None else group.command
    decorate: Callable[[Callable[..., Any]], click.Command] = make(name, **attributes)
    return decorate


def _late(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    """A global option said behind the command holds as if it stood before it."""
    if value is None or value == () or param.name is None or ctx.resilient_parsing:
        return
    if isinstance(value, Path):
        check_data_path(value)
    settings = settings_of(ctx)
    setattr(settings, param.name, value)
    settings.given |= {param.name}


def schema_of(command: click.Command, ctx: click.Context) -> Schema:
    """The config keys a command and those below it understand."""
    tree: dict[str, Schema | None] = {
        str(param.name): None for param in command.params if isinstance(param, Opt) and param.name != "config"
    }
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            inner = command.get_command(ctx, name)
            if inner is not None:
                tree[name.replace("-", "_")] = schema_of(inner, ctx)
    return tree


def settings_of(ctx: click.Context) -> Settings:
    """The settings the main group resolved."""
    settings = ctx.find_object(Settings)
    if settings is None:
        raise UsageError("no settings: call this through the crawlkit command")
    return settings


def inherited_by(ctx: click.Context) -> Inherited:
    """What this process has from its start: nothing, unless it belongs to a `crawlkit all`."""
    from crawlkit.forkserver import Inherited

    found = ctx.meta.get(INHERITED)
    return found if isinstance(found, Inherited) else Inherited()


def check_data_path(path: Path) -> None:
    """Raises :class:`UsageError` for a data path that cannot become one."""
    if path.is_file():
        raise UsageError(f"data path {path}: is a file, not a folder")


def said_path(settings: Settings) -> str:
    """`` --data-path X`` for a command in a hint, when it is not the usual one."""
    if settings.server is not None:
        return ""
    return f" --data-path {shlex.quote(str(settings.data_path))}" if "data_path" in settings.given else ""


def unknown_variables(names: Iterable[str], schema: Schema) -> list[str]:
    """A warning for each variable of ours that no option has, when one with a name near it has."""
    known = _variables(schema, PREFIX)
    words = []
    for name in sorted(names):
        if name.startswith(f"{PREFIX}_") and name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
            if near:
                words.append(f"variable {name}: no option has this name; {near[0]} is near")
    return words


def variables_of(group: click.Group, ctx: click.Context, name: str) -> set[str]:
    """The variables of the options of one command in a group, and of those below it."""
    inner = group.get_command(ctx, name)
    return set() if inner is None else set(_variables({name: schema_of(inner, ctx)}, PREFIX))


def _variables(schema: Schema, prefix: str) -> list[str]:
    found: list[str] = []
    for name, inner in schema.items():
        own = f"{prefix}_{name.upper()}"
        found += [own] if inner is None else _variables(inner, own)
    return found


def component_options(ctx: click.Context, name: str, *, given_only: bool = False) -> dict[str, Any]:
    """The options of a component by environment, config file and default, for a command that runs it itself."""
    root = ctx.find_root()
    if not isinstance(root.command, click.Group):
        return {}
    component = root.command.get_command(root, name)
    if component is None:
        return {}
    inner = component.make_context(name, [], parent=root)
    return {key: value for key, value in inner.params.items() if not given_only or was_given(inner, key)}


def browser_options(ctx: click.Context, with_browser: bool) -> dict[str, Any] | None:
    """Those of ``crawlkit browser`` for a command that starts one when it is needed; None: it shall not, or fetchers
    have another one. Whether somebody asked for its port is in ``port_given``."""
    from crawlkit.wiring.browser import browser_endpoint

    if not with_browser or browser_endpoint(settings_of(ctx), component_options(ctx, "fetcher"))[0] is not None:
        return None
    given = component_options(ctx, "browser", given_only=True)
    return {**component_options(ctx, "browser"), "port_given": "port" in given}


def was_given(ctx: click.Context, name: str) -> bool:
    """Whether somebody set the option, in whatever way."""
    return ctx.get_parameter_source(name) not in (ParameterSource.DEFAULT, None)


def say(text: str) -> None:
    """A line for people: to stderr, so that stdout holds data only."""
    click.echo(text, err=True)


def confirm(question: str) -> None:
    """Asks on stderr, and ends the command unless the answer is yes; raises :class:`UsageError` without an answer."""
    try:
        yes = click.confirm(question, err=True)
    except click.Abort:
        if sys.stdin.isatty():
            raise
        say("")
        raise UsageError("nobody is there to answer: say --yes") from None
    if not yes:
        raise click.Abort


def where_from(error: click.UsageError, config: object) -> str:
    """`` (from ...)`` when the value that click refuses did not come from the command line."""
    ctx, param = error.ctx, getattr(error, "param", None)
    if ctx is None or not isinstance(param, Opt) or param.name is None:
        return ""
    source = ctx.get_parameter_source(param.name)
    if source is ParameterSource.ENVIRONMENT:
        name = next((name for name in param.variables(ctx) if os.environ.get(name)), "the environment")
        return f" (from {name})"
    if source is ParameterSource.DEFAULT_MAP:
        return f" (from config file {config})" if config else " (from the config file)"
    return ""
