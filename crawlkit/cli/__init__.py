"""The command line: ``crawlkit [GLOBAL OPTIONS] COMMAND``. Without a command it is ``crawlkit all``.

Nothing heavy is imported here; each command's module imports what it needs when it runs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from crawlkit import __version__
from crawlkit.cli.base import (
    INHERITED,
    PREFIX,
    Lazy,
    SinkType,
    check_data_path,
    option,
    say,
    schema_of,
    unknown_variables,
    variables_of,
    where_from,
)
from crawlkit.libs.errors import CrawlkitError
from crawlkit.settings import Settings, check_config, docker_links, read_config

if TYPE_CHECKING:
    from crawlkit.forkserver import Inherited

COMMANDS = {
    "all": "crawlkit.cli.components:all_command",
    "node": "crawlkit.cli.node:node",
    "one": "crawlkit.cli.one:one",
    "new": "crawlkit.cli.scripts:new",
    "fetch": "crawlkit.cli.look:fetch",
    "shell": "crawlkit.cli.look:shell",
    "project": "crawlkit.cli.project:project",
    "submit": "crawlkit.cli.submit:submit",
    "send_message": "crawlkit.cli.submit:send_message",
    "results": "crawlkit.cli.read:results",
    "tasks": "crawlkit.cli.read:tasks",
    "task": "crawlkit.cli.task:task",
    "why": "crawlkit.cli.why:why",
    "logs": "crawlkit.cli.logs:logs",
    "files": "crawlkit.cli.files:files",
    "nodes": "crawlkit.cli.nodes:nodes",
    "partitions": "crawlkit.cli.partitions:partitions",
    "sinks": "crawlkit.cli.sinks:sinks",
    "audit": "crawlkit.cli.audit:audit",
    "bench": "crawlkit.cli.bench:bench",
    "chaos": "crawlkit.cli.chaos:chaos",
    "migrate": "crawlkit.cli.migrate:migrate",
    "backup": "crawlkit.cli.backup:backup",
    "restore": "crawlkit.cli.backup:restore",
    "ping": "crawlkit.cli.ping:ping",
    "login": "crawlkit.cli.servers:login",
    "logout": "crawlkit.cli.servers:logout",
    "user": "crawlkit.cli.user:user",
    "scheduler": "crawlkit.cli.components:scheduler",
    "fetcher": "crawlkit.cli.components:fetcher",
    "processor": "crawlkit.cli.components:processor",
    "result_worker": "crawlkit.cli.components:result_worker",
    "webui": "crawlkit.cli.components:webui",
    "browser": "crawlkit.cli.browser:browser",
    "phantomjs": "crawlkit.cli.browser:phantomjs",
    "puppeteer": "crawlkit.cli.browser:puppeteer",
}
EPILOG = (
    "\b\nExample:\n  crawlkit new quotes --url https://quotes.toscrape.com/\n  crawlkit one quotes.py -o quotes.jsonl"
)


def _load_config(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    """Eager, so that every other option finds the file's values behind the environment's."""
    if value is not None and isinstance(ctx.command, Lazy):
        config = read_config(value)
        check_config(config, {**schema_of(ctx.command, ctx), "amqp_url": None}, value)
        amqp = config.pop("amqp_url", None)  # pyspider's old name [C09]
        if amqp is not None:
            config.setdefault("message_queue", amqp)
        ctx.default_map = config
        ctx.meta["crawlkit.config"] = value
    return value


@click.command(
    cls=Lazy,
    commands_in=COMMANDS,
    invoke_without_command=True,
    context_settings={"auto_envvar_prefix": PREFIX, "help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=EPILOG,
)
@option("-c", "--config", type=click.Path(path_type=Path), is_eager=True, callback=_load_config,
        help="Options from a JSON, TOML or YAML file.")  # fmt: skip
@option("--data-path", type=click.Path(path_type=Path), default=Path("data"), show_default="./data",
        help="Where the databases and the state are.")  # fmt: skip
@option("--database", metavar="URL", help="Database for all that follow.  [default: SQLite in the data path]")
@option("--taskdb", envvar="TASKDB", metavar="URL", help="Database of tasks.  [default: that of --database]")
@option("--projectdb", envvar="PROJECTDB", metavar="URL", help="Database of projects.  [default: likewise]")
@option("--resultdb", envvar="RESULTDB", metavar="URL", help="Database of results.  [default: likewise]")
@option("--sink", type=SinkType(), multiple=True, metavar="URL",
        help="Where results go beside the resultdb, like parquet:///data/out; can be repeated.")  # fmt: skip
@option("--logdb", metavar="URL", help="Database of log lines.  [default: likewise]")
@option("--log-days", type=click.FloatRange(min=0, min_open=True), default=7.0, show_default=True,
        help="Days that log lines are kept.")  # fmt: skip
@option("--log-size", type=click.IntRange(min=1), default=256, show_default=True,
        help="MiB of log lines that are kept.")  # fmt: skip
@option("--message-queue", envvar="AMQP_URL", metavar="URL",
        help="Queues between the components.  [default: a socket in the data path]")  # fmt: skip
@option("--queue-key", metavar="KEY",
        help="Shared key of manager:// for a URL without one.  [default: made of the secret key]")  # fmt: skip
@option("--queue-maxsize", envvar="QUEUE_MAXSIZE", type=click.IntRange(min=0), default=100, show_default=True,
        help="Messages a queue holds; 0: no bound.")  # fmt: skip
@option("--secret-key", metavar="KEY",
        help="What settings of projects are encrypted with.  [default: secret.key in the data path]")  # fmt: skip
@option("--phantomjs-proxy", envvar="PHANTOMJS_PROXY", metavar="HOST:PORT", hidden=True,
        help="pyspider's word for the fetcher's --browser-endpoint.")  # fmt: skip
@option("--puppeteer-proxy", envvar="PUPPETEER_PROXY", metavar="HOST:PORT", hidden=True,
        help="pyspider's word for the fetcher's --browser-endpoint.")  # fmt: skip
@option("--logging-config", type=click.Path(path_type=Path), help="A file for logging.config.fileConfig.")
@option("--debug/--no-debug", envvar="DEBUG", default=False, help="Log more; show tracebacks.")
@option("--add-sys-path/--not-add-sys-path", default=True, show_default=True,
        help="Let handlers import modules from the working directory.")  # fmt: skip
@click.version_option(__version__, prog_name="crawlkit", message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context, /, **options: Any) -> object:
    """Crawl web sites with handler scripts: write one, run it with one command, pull the plug at any time.

    Every option can be given on the command line, by an environment variable (CRAWLKIT_TASKDB, and
    CRAWLKIT_FETCHER_POOLSIZE for one of a command), or in the config file, in this order.
    """
    given = {name for name in options if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT}
    for name, value in docker_links(os.environ).items():
        if name not in given and not (name.endswith("db") and "database" in given):
            options[name] = value
            given.add(name)
    ctx.meta[INHERITED] = ctx.obj
    ctx.obj = Settings(**options, given=frozenset(given))
    check_data_path(ctx.obj.data_path)
    _STATE["debug"] = ctx.obj.debug
    _warn_of_variables(ctx)
    if ctx.obj.add_sys_path and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # at the end: a file of the user's must not hide a module of ours [C14]
    if ctx.invoked_subcommand is None:
        command = cli.get_command(ctx, "all")
        assert command is not None
        with command.make_context("all", [], parent=ctx) as inner:
            return command.invoke(inner)
    return None


def _warn_of_variables(ctx: click.Context) -> None:
    """All commands are loaded, for their options' names, only when there is a variable that may be wrong."""
    if f"{PREFIX}_LIFELINE" in os.environ:
        return  # there is a supervisor: it has these variables too, and said it
    ours = {name for name in os.environ if name.startswith(f"{PREFIX}_")}
    ours -= {f"{PREFIX}_{(param.name or '').upper()}" for param in ctx.command.params}
    ours -= {f"{PREFIX}_SERVER", f"{PREFIX}_TOKEN", f"{PREFIX}_BROWSER_TOKEN"}
    for name in COMMANDS:
        if any(variable.startswith(f"{PREFIX}_{name.upper()}_") for variable in ours):
            ours -= variables_of(cli, ctx, name)
    if ours:
        for words in unknown_variables(ours, schema_of(ctx.command, ctx)):
            say(f"crawlkit: {words}")


_STATE = {"debug": False}


def run(args: Sequence[str] | None = None, inherited: Inherited | None = None) -> int:
    """The exit code of a command line: 0 fine; 1 something failed for good; 2 usage, configuration, unreachable.

    ``inherited``: what the process has from its start.
    """
    if sys.platform == "win32":
        click.echo("crawlkit: Windows is not supported; use WSL", err=True)
        return 2
    given = list(sys.argv[1:] if args is None else args)
    _STATE["debug"] = "--debug" in given
    try:
        code = cli.main(given, prog_name="crawlkit", standalone_mode=False, obj=inherited)
        sys.stdout.flush()
    except click.UsageError as error:
        place = error.ctx.command_path if error.ctx is not None else "crawlkit"
        config = error.ctx.find_root().meta.get("crawlkit.config") if error.ctx is not None else None
        return _fail(f"{error.format_message()}{where_from(error, config)}{_hint(error)} (see {place} --help)", error)
    except click.ClickException as error:
        return _fail(error.format_message(), error)
    except CrawlkitError as error:
        return _fail(str(error), error)
    except BrokenPipeError:  # `crawlkit results p | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (click.Abort, KeyboardInterrupt):
        click.echo("crawlkit: interrupted", err=True)
        return 1
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        return _fail(f"{name}{error.strerror or error}", error)
    except Exception as error:  # the last door: a person gets one line, --debug gives the rest
        return _fail(f"internal error: {type(error).__name__}: {error} (--debug shows where)", error)
    return code if isinstance(code, int) else 0


def _hint(error: click.UsageError) -> str:
    if isinstance(error, click.NoSuchOption) and any(error.option_name in param.opts for param in cli.params):
        return " It goes before the command."
    return ""


def _fail(text: str, error: BaseException) -> int:
    if _STATE["debug"]:
        import traceback

        traceback.print_exception(error)
    click.echo("crawlkit: " + " ".join(text.split()), err=True)
    return 2


def main() -> None:
    """The command without what goes before it (:mod:`crawlkit.start`)."""
    sys.exit(run())
