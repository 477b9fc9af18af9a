"""``crawlkit project``: what is in the projectdb. A running scheduler is told, so that changes hold at once."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crawlkit.cli.base import Pages, Rate, command, confirm, option, said_path, say, settings_of
from crawlkit.cli.project_values import put_values
from crawlkit.cli.scripts import project_name, read_script
from crawlkit.libs.errors import ScriptError, ServiceUnreachable, UsageError
from crawlkit.settings import Settings, parse_pages, show_rate

if TYPE_CHECKING:
    from crawlkit.database.base import ProjectStore, TaskStore
    from crawlkit.libs.rows import ProjectRow

STATUSES = ("TODO", "STOP", "CHECKING", "DEBUG", "RUNNING")
HOSTS_SHOWN, HOSTS_ASKED = 10, 100  # that wait
MAX_VALUE = 2**16  # bytes of a setting; all of a project go to a worker in one frame
MAX_SETTINGS = 100
RPC = "Address of a running scheduler.  [default: found in the data path]"


class Verbs(click.Group):
    """Knows ``retry`` by the longer name, too."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        return super().get_command(ctx, "retry" if cmd_name == "retry-failed" else cmd_name)


@click.group(
    cls=Verbs,
    name="project",
    invoke_without_command=True,
    epilog="\b\nExample:\n  crawlkit project put quotes.py --rate 5",
)
@click.pass_context
def project(ctx: click.Context, /) -> None:
    """Put, list, show, run and remove projects."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@contextmanager
def open_projects(settings: Settings, *, create: bool = False) -> Iterator[ProjectStore]:
    """The projectdb, closed afterwards."""
    from crawlkit import wiring

    with wiring.open_stores(settings, ("projectdb",), create=create) as stores:
        yield stores.projectdb


def tell(settings: Settings) -> bool:
    """Tells a running scheduler that the projectdb changed; False when none runs here."""
    from crawlkit import wiring

    try:
        wiring.control_client(settings, timeout=3).update_project()
    except ServiceUnreachable:
        return False
    return True


def existing(store: ProjectStore, name: str) -> ProjectRow:
    """The project's row; raises :class:`UsageError` that names those there are."""
    row = store.get(name)
    if row is None:
        names = store.names()
        known = f"there are {', '.join(names[:10])}" if names else "there are none yet"
        raise UsageError(f"no project {name!r}; {known}")
    return row


@command(project, name="put", remote=True, example="crawlkit project put quotes.py --rate 5")
@click.argument("script", type=click.Path(path_type=Path))
@option("--name", help="The project's name.  [default: the file's base name]")
@option("--group", help="Its group.")
@option("--rate", type=Rate(), help="Pages per second, or unlimited.  [default: 1, and none for loopback hosts]")
@option("--burst", type=click.FloatRange(min=1), help="Pages that may go at once.  [default: 3]")
@option("--max-pages", type=Pages(), help="Pages it may fetch in all, retries included.  [default: unlimited]")
@option(
    "--status",
    type=click.Choice(STATUSES, case_sensitive=False),
    help="Its status.  [default: as it is; RUNNING when new]",
)
@option("--force", is_flag=True, help="Save it although it does not load here.")
@click.pass_context
def put(ctx: click.Context, /, script: Path, name: str | None, force: bool, **options: Any) -> None:
    """Save SCRIPT as a project, new or not. What is not said stays as it is."""
    from crawlkit.libs.rows import ProjectRow

    settings = settings_of(ctx)
    text = read_script(script)
    name = project_name(script, name, option=True)
    warnings: list[str] = []
    with open_projects(settings, create=True) as store:
        old = store.get(name)
        if not force and settings.server is None:  # the server looks at it by itself
            warnings = _load(settings, store, name, text)
        row = put_values(old or ProjectRow(name=name, status="RUNNING"), text, **options)
        row = store.put(row, author="cli", message=f"crawlkit project put {script.name}")
    told = tell(settings)
    word = "updated" if old else "new"
    limit = f"rate {show_rate(row.rate)}" if row.rate_set or row.rate is None else "rate 1 (the default)"
    say(f"project {name}: {word}, {row.status}, {limit}, burst {row.burst:g}")
    for warning in warnings:
        say(f"project {name}: {warning}")
    if row.pin:
        say(f"project {name}: pinned to {row.pin[:8]}, which it goes on running; what was saved is {row.version[:8]}")
    if row.status not in ("RUNNING", "DEBUG"):
        say(f"it does not run; to change that: crawlkit{said_path(settings)} project status {name} RUNNING")
    elif not told and settings.server is not None:
        say("no scheduler runs there now")
    elif not told:
        say(f"no scheduler runs on this data path; start one with: crawlkit{said_path(settings)} all")
    elif old is None:
        say(f"start it with: crawlkit{said_path(settings)} project run {name}")


def _load(settings: Settings, store: ProjectStore, name: str, text: str) -> list[str]:
    """Warnings; raises :class:`ScriptError` that says how to save it all the same."""
    from crawlkit import wiring
    from crawlkit.cli.loading import load

    unseal = wiring.unsealer(settings)
    said = {key: unseal(name, key, row.sealed) for key, row in store.settings(name).items()}
    others = {row.name: row.script for row in store.all() if row.name != name} if "projects" in text else {}
    try:
        return load(name, text, others, said, wiring.user_environment())
    except ScriptError as error:
        raise ScriptError(f"{error}; --force saves it all the same") from None


def _copy(row: ProjectRow) -> ProjectRow:
    import msgspec

    return msgspec.structs.replace(row)


@command(project, name="list", remote=True, example="crawlkit project list")
@option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_context
def list_projects(ctx: click.Context, /, as_json: bool) -> None:
    """List all projects."""
    settings = settings_of(ctx)
    with open_projects(settings) as store:
        rows = sorted(store.all(), key=lambda row: (row.group, row.name))
        if as_json and settings.server is not None:  # its list has no versions
            rows = [existing(store, row.name) for row in rows]
    if as_json:
        for row in rows:
            click.echo(_json(row, script=False))
        return
    if not rows:
        say(f"no projects yet; add one with: crawlkit{said_path(settings)} project put SCRIPT")
        return
    table = [("NAME", "GROUP", "STATUS", "RATE", "BURST", "UPDATED")]
    held = _held(settings, rows)
    for row in rows:
        rate = "unlimited" if row.rate is None else f"{row.rate:g}"
        status = row.status + held.get(row.name, "")
        table.append((row.name, row.group or "-", status, rate, f"{row.burst:g}", _when(row.updatetime)))
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
    for line in table:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _held(settings: Settings, rows: list[ProjectRow]) -> dict[str, str]:
    """Of those that run and send nothing: `` (paused)`` and the like, when a scheduler says so."""
    from crawlkit import wiring

    if not any(row.status in ("RUNNING", "DEBUG") for row in rows):
        return {}
    try:
        seen = wiring.control_client(settings, timeout=3).summary()["projects"]
    except ServiceUnreachable:
        return {}
    words = {"running": "", "held": " (paused)", "budget": " (budget spent)"}
    return {name: words.get(one.get("paused", "running"), " (paused by failures)") for name, one in seen.items()}


@command(project, name="show", remote=True, example="crawlkit project show quotes --script > quotes.py")
@click.argument("name")
@option("--script", "script_only", is_flag=True, help="Print the script, nothing else.")
@option("--json", "as_json", is_flag=True, help="Everything as one JSON object.")
@click.pass_context
def show(ctx: click.Context, /, name: str, script_only: bool, as_json: bool) -> None:
    """Show a project, its latest versions and how its tasks stand."""
    settings = settings_of(ctx)
    with open_projects(settings) as store:
        row = existing(store, name)
        versions = store.versions(name)
    if script_only:
        click.echo(row.script, nl=not row.script.endswith("\n"))
        return
    if as_json:
        click.echo(_json(row, script=True))
        return
    from crawlkit import wiring
    from crawlkit.libs.bounds import limits_of, shown

    with wiring.open_stores(settings, ("taskdb",)) as stores:
        books = stores.taskdb.books(name)
        refused = sorted(
            ((n, reason) for (_, event, reason), n in books.ledger.items() if event == "refused"), reverse=True
        )
        retired = sum(n for (_, event, _), n in books.ledger.items() if event == "retired")
        by = {reason: n for (_, event, reason), n in books.ledger.items() if event == "auto"}
        failures = [
            (reason, count, url, _exception_at(stores.taskdb, name, url))
            for reason, count, url in stores.taskdb.failures(name)
        ]
    paused, ticks, made, hosts = _of_scheduler(settings, row)
    limit = show_rate(row.rate) + ("" if row.rate_set else " (the default; not for loopback hosts)")
    waiting = books.active - books.leased
    for label, value in (
        ("name", row.name),
        ("group", row.group or "-"),
        ("status", row.status + paused),
        ("rate", f"{limit}, burst {row.burst:g}"),
        ("pages", "no budget" if row.max_pages is None else f"{row.max_pages:,} at most{made}"),
        ("updated", _when(row.updatetime)),
        ("version", f"{row.version} ({len(versions)} saved)" + (f", pinned to {row.pin}" if row.pin else "")),
        ("tasks", f"{books.tasks}: {waiting} waiting, {books.leased} on their way, {books.by_status.get(2, 0)} done, "
                  f"{books.by_status.get(3, 0)} failed, {books.by_status.get(4, 0)} cancelled"),
    ):  # fmt: skip
        click.echo(f"{label:<8} {value}")
    if row.limits:
        click.echo(f"limits   {shown(limits_of(row.limits))}")
    for count, reason in refused:
        click.echo(f"refused  {count:,}: {reason or 'no reason known'}")
    if retired:
        click.echo(f"retired  {retired:,} finished tasks, removed after their time")
    if by:
        needed, check, pages = by.get("browser", 0), by.get("check", 0), sum(by.values())
        share = f"{(needed + check) / pages:.1%} of {pages:,} pages of fetch_type auto"
        click.echo(f"browser  {share}: {needed:,} needed it, {check:,} were compared only")
    for instant, method in ticks:
        click.echo(f"next     {_when(instant)} {method}")
    for host in hosts[:HOSTS_SHOWN]:
        until = "" if host["until"] is None else f" until {_when(host['until'])}"
        click.echo(f"waits    {host['host']}{until}: {host['text']}")
    if len(hosts) > HOSTS_SHOWN:
        more = f"{len(hosts) - HOSTS_SHOWN}{' or more' if len(hosts) >= HOSTS_ASKED else ''}"
        click.echo(f"         and {more} other hosts")
    for reason, count, url, exception in failures:
        click.echo(f"failed   {count:,}: {reason or 'no reason known'}, for instance {url}")
        if exception:
            click.echo(f"         {exception}")
    if failures:
        click.echo(f"         all of one: crawlkit task {name} {failures[0][2]}")


def _exception_at(taskdb: TaskStore, name: str, url: str) -> str:
    from crawlkit.cli.task import find, last_failure

    row = find(taskdb, name, url)
    return last_failure(taskdb, name, row.taskid).get("exception", "") if row is not None else ""


def _of_scheduler(
    settings: Settings, row: ProjectRow
) -> tuple[str, list[tuple[float, str]], str, list[dict[str, Any]]]:
    """`` (paused ...)``, the next instants of its crons, `` (N made)``, hosts that wait, when a scheduler says so."""
    from crawlkit import wiring

    if row.status not in ("RUNNING", "DEBUG"):
        return "", [], "", []
    try:
        client = wiring.control_client(settings, timeout=3)
        seen = client.summary()["projects"].get(row.name, {})
        ticks = client.next_ticks(row.name)
        hosts = client.hosts(row.name, HOSTS_ASKED)
    except ServiceUnreachable:
        return "", [], "", []
    state, command = seen.get("paused", "running"), f"crawlkit{said_path(settings)} project"
    made = f" ({seen['pages']:,} fetched)" if "pages" in seen else ""
    words = {
        "running": "",
        "budget": f" (page budget of {row.max_pages or 0:,} reached; to go on: {command} set {row.name} --max-pages N)",
        "held": f" (paused by hand; to go on: {command} resume {row.name})",
    }
    return words.get(state, f" ({state}: too many failures in a row; it goes on by itself)"), ticks, made, hosts


@command(project, name="status", remote=True, example="crawlkit project status quotes STOP")
@click.argument("name")
@click.argument("status", metavar="STATUS", type=click.Choice(STATUSES, case_sensitive=False))
@click.pass_context
def set_status(ctx: click.Context, /, name: str, status: str) -> None:
    """Set the status of a project."""
    settings = settings_of(ctx)
    with open_projects(settings) as store:
        row = _copy(existing(store, name))
        row.status = status.upper()
        store.put(row, author="cli", message=f"status {row.status}")
    told = tell(settings)
    say(
        f"project {name}: {status.upper()}"
        + ("" if told else f" (no scheduler runs {'there' if settings.server else 'on this data path'} now)")
    )


@command(
    project,
    name="set",
    remote=True,
    example="crawlkit project set quotes api_key\ncrawlkit project set quotes user ann --no-secret\n"
    "crawlkit project set quotes --max-pages 5000\n"
    "crawlkit project set quotes --limit max_depth=5 --limit keep_tasks=90d --limit weight=5",
)
@click.argument("name")
@click.argument("key", required=False)
@click.argument("value", required=False)
@option("--max-pages", type=Pages(), help="Set its page budget instead: what it may fetch in all, retries included.")
@option(
    "--limit",
    "limits",
    multiple=True,
    metavar="NAME=VALUE",
    help="Set a limit instead: max_depth, max_tasks, keep_tasks, weight, ...; see docs/bounds.md.",
)
@option("--secret/--no-secret", default=None, help="Never show it again.  [default: as it was; secret when new]")
@option("--remove", is_flag=True, help="Remove it instead.")
@click.pass_context
def set_setting(
    ctx: click.Context,
    /,
    name: str,
    key: str | None,
    value: str | None,
    max_pages: int | str | None,
    limits: tuple[str, ...],
    secret: bool | None,
    remove: bool,
) -> None:
    """Give a project the setting KEY, for its handler's self.settings, stored encrypted; or a page budget, or limits.

    Without VALUE it is asked for and not shown; - reads it from stdin, without the last line's end.
    """
    from crawlkit import wiring
    from crawlkit.libs.rows import SettingRow

    settings = settings_of(ctx)
    if max_pages is not None:
        if key is not None:
            raise UsageError("say KEY or --max-pages, not both")
        _set_pages(settings, name, max_pages)
    if limits:
        if key is not None:
            raise UsageError("say KEY or --limit, not both")
        _set_limits(settings, name, limits)
    if max_pages is not None or limits:
        return
    if key is None:
        raise UsageError("say which setting, or --max-pages N, or --limit NAME=VALUE")
    if settings.server is not None:
        raise UsageError("settings are encrypted with the key of their data path: set them there, without --server")
    if remove and value is not None:
        raise UsageError("--remove takes no VALUE")
    with open_projects(settings) as store:
        existing(store, name)
        known = store.settings(name)
        old = known.get(key)
        if remove:
            if not store.remove_setting(name, key):
                raise UsageError(
                    f"project {name} has no setting {key!r}; see crawlkit{said_path(settings)} project settings {name}"
                )
            say(f"project {name}: setting {key} removed")
            return
        if old is None and len(known) >= MAX_SETTINGS:
            raise UsageError(f"project {name} has {len(known)} settings already; put some into one, as JSON")
        secret = secret if secret is not None else (old is None or old.secret)
        wiring.check_secret_key(settings, f"project {name}")
        box = wiring.secret_box(settings, make=not known)
        if box is None:
            raise UsageError(f"project {name} has settings, but {wiring.NO_KEY}")
        for row in known.values():
            box.open(name, row.name, row.sealed)  # two keys for one project: half of it would not open
        store.put_setting(name, SettingRow(key, box.seal(name, key, _value(key, value)), secret))
    say(f"project {name}: setting {key} {'changed' if old else 'set'}; running handlers see it within seconds")


def _set_pages(settings: Settings, name: str, max_pages: int | str) -> None:
    with open_projects(settings) as store:
        row = _copy(existing(store, name))
        row.max_pages = parse_pages(str(max_pages))
        words = "no page budget" if row.max_pages is None else f"page budget {row.max_pages:,}"
        store.put(row, author="cli", message=words)
    tell(settings)
    say(f"project {name}: {words}")


def _set_limits(settings: Settings, name: str, said: tuple[str, ...]) -> None:
    from crawlkit.libs import bounds

    with open_projects(settings) as store:
        row = _copy(existing(store, name))
        limits = bounds.limits_of(row.limits)
        for one in said:
            limits = bounds.with_limit(limits, one)
        row.limits = bounds.text_of(limits)
        store.put(row, author="cli", message=f"limits {' '.join(said)}")
    tell(settings)
    say(f"project {name}: limits: {bounds.shown(limits) or 'none of its own'}")


def _value(key: str, given: str | None) -> str:
    """The value as text that can be sent to workers; raises :class:`UsageError`."""
    try:
        if given is None:
            text = str(click.prompt(key, hide_input=True, err=True))
        elif given == "-":
            text = sys.stdin.buffer.read(MAX_VALUE + 3).decode().removesuffix("\n").removesuffix("\r")
        else:
            text = given
        size = len(text.encode())
    except UnicodeError:
        raise UsageError(f"setting {key}: the value is not UTF-8 text") from None
    if size > MAX_VALUE:
        raise UsageError(f"setting {key}: the value is over the limit of {MAX_VALUE:,} bytes")
    return text


@command(project, name="settings", example="crawlkit project settings quotes")
@click.argument("name")
@option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_context
def list_settings(ctx: click.Context, /, name: str, as_json: bool) -> None:
    """List a project's settings. The values of secrets are not shown."""
    import json

    from crawlkit import wiring

    settings = settings_of(ctx)
    unseal = wiring.unsealer(settings)
    with open_projects(settings) as store:
        existing(store, name)
        rows = store.settings(name)
    for key, row in rows.items():
        value = None if row.secret else unseal(name, key, row.sealed)
        if as_json:
            click.echo(json.dumps({"name": key, "secret": row.secret, "value": value, "updatetime": row.updatetime}))
        else:
            click.echo(f"{key}  {_when(row.updatetime)}  {'(secret)' if value is None else value}")
    if not rows and not as_json:
        say(f"no settings yet; set one with: crawlkit{said_path(settings)} project set {name} KEY")


@command(project, name="run", remote=True, example="crawlkit project run quotes")
@click.argument("name")
@option("--scheduler-rpc", metavar="URL", help=RPC)
@click.pass_context
def run_project(ctx: click.Context, /, name: str, scheduler_rpc: str | None) -> None:
    """Run on_start of a project in a running scheduler."""
    from crawlkit import wiring

    settings = settings_of(ctx)
    client = wiring.control_client(settings, scheduler_rpc)
    answer = client.run(name)
    if not answer.get("accepted"):
        raise UsageError(f"project {name}: not run: {answer.get('reason') or answer.get('verdict')}")
    status = client.summary()["projects"].get(name, {}).get("status", "RUNNING")
    if status in ("RUNNING", "DEBUG"):
        say(f"project {name}: on_start is on its way")
    else:
        then = f"crawlkit{said_path(settings)} project status {name} RUNNING"
        say(f"project {name} is {status}: on_start waits until: {then}")


@command(project, name="rm", remote=True, example="crawlkit project rm quotes --yes")
@click.argument("name")
@option("--yes", is_flag=True, help="Do not ask.")
@click.pass_context
def remove(ctx: click.Context, /, name: str, yes: bool) -> None:
    """Remove a project with its script, tasks and results."""
    from crawlkit import wiring

    settings = settings_of(ctx)
    with open_projects(settings) as store:
        existing(store, name)
    if not yes:
        confirm(f"remove project {name} with its script, tasks and results?")
    try:
        wiring.control_client(settings).drop_project(name)
    except ServiceUnreachable:
        if settings.server is not None or (not settings.is_here("taskdb") and wiring.where_in_taskdb(settings)):
            raise  # one may run elsewhere, and has the project in its hands
        wiring.drop_project(settings, name)
    say(f"project {name}: removed")


def _when(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment)) if moment else "-"


def _json(row: ProjectRow, script: bool) -> str:
    import msgspec

    value = msgspec.to_builtins(row)
    if not script:
        del value["script"]
    return msgspec.json.encode(value).decode()


from crawlkit.cli import project_orders, project_versions, sync  # noqa: E402, F401 - their commands belong to the group above
