"""``crawlkit user``: who may use the web UI. Works on the projectdb's database; a running web UI knows at once.

Passwords are asked for, or come on standard input; never as an argument, where every process of the machine sees them.
"""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from crawlkit.cli.base import command, option, say, settings_of
from crawlkit.libs.errors import UsageError
from crawlkit.libs.roles import ADMIN, ROLES, VIEWER
from crawlkit.libs.url_masking import masked

if TYPE_CHECKING:
    from crawlkit.webui.accounts import Accounts
    from crawlkit.webui.gate import Identity

ROLE = click.Choice(ROLES)
USUAL_URL = "http://127.0.0.1:5000"


@click.group(name="user", invoke_without_command=True, epilog="\b\nExample:\n  crawlkit user add ada --role admin")
@click.pass_context
def user(ctx: click.Context, /) -> None:
    """Add, list and remove users of the web UI, their tokens, and login links."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@contextmanager
def _accounts(ctx: click.Context, *, create: bool = False) -> Iterator[Accounts]:
    from crawlkit import wiring

    settings = settings_of(ctx)
    url = settings.store_url("accountdb")
    if url.startswith("memory"):
        raise UsageError(
            f"database URL {masked(url)!r}: users in memory would be gone at once; name another --projectdb"
        )
    with wiring.open_stores(settings, ("accountdb",), create=create) as stores:
        yield wiring.accounts(settings, stores)


def _me() -> Identity:
    from crawlkit.webui.gate import Identity

    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # no entry for this user id
        name = str(os.getuid())
    return Identity(name[:64], ADMIN, "command")


def _password() -> str:
    if sys.stdin is not None and sys.stdin.isatty():
        return str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    return sys.stdin.readline().rstrip("\r\n") if sys.stdin is not None else ""


@command(user, name="add", example="crawlkit user add ada --role admin\ncrawlkit user add ci --role viewer < password")
@click.argument("name")
@option("--role", type=ROLE, default=VIEWER, show_default=True, help="viewer looks, editor changes, admin does all.")
@click.pass_context
def add(ctx: click.Context, /, name: str, role: str) -> int:
    """Add the user NAME. The password is asked for, or read from standard input."""
    with _accounts(ctx, create=True) as accounts:
        if accounts.store.user(name) is not None:
            raise UsageError(f"there is a user {name!r} already; change the password: crawlkit user passwd {name}")
        first = not accounts.exist()
        accounts.add_user(_me(), name, _password(), role)
    say(f"user {name} added as {role}")
    if first:
        say("from now on people sign in by name: sessions, links and tokens without a user hold no more")
        say("private addresses are closed to fetchers from now on, unless they are told --allow-private")
    return 0


@command(user, name="passwd", example="crawlkit user passwd ada")
@click.argument("name")
@click.pass_context
def passwd(ctx: click.Context, /, name: str) -> int:
    """Set the password of NAME. All sessions of that user end."""
    with _accounts(ctx) as accounts:
        _exists(accounts, name)
        accounts.set_password(_me(), name, _password())
    say(f"password of {name} set")
    return 0


@command(user, name="role", example="crawlkit user role ada editor")
@click.argument("name")
@click.argument("role", type=ROLE)
@click.pass_context
def set_role(ctx: click.Context, /, name: str, role: str) -> int:
    """Give NAME another ROLE, which holds at once."""
    with _accounts(ctx) as accounts:
        accounts.set_role(_me(), name, role)
    say(f"user {name} is {role} now")
    return 0


@command(user, name="rm", example="crawlkit user rm ada")
@click.argument("name")
@option("--force", is_flag=True, help="Also the last admin.")
@click.pass_context
def remove(ctx: click.Context, /, name: str, force: bool) -> int:
    """Remove the user NAME, with all sessions and tokens."""
    with _accounts(ctx) as accounts:
        accounts.remove_user(_me(), name, last_too=force)
    say(f"user {name} removed")
    return 0


@command(user, name="list", example="crawlkit user list")
@click.pass_context
def list_users(ctx: click.Context, /) -> int:
    """Print users, roles and how many tokens they have."""
    with _accounts(ctx) as accounts:
        rows = accounts.store.users()
        for row in rows:
            tokens = len(accounts.store.tokens(row.name))
            click.echo(f"{row.name}\t{row.role}\t{tokens} token{'' if tokens == 1 else 's'}")
    if not rows:
        say("no users: who opens the link that `crawlkit user link` prints is the admin")
    return 0


@command(user, name="token", example="crawlkit user token ada --role editor --for deploy --days 90")
@click.argument("name", required=False, default="")
@option("--role", type=ROLE, help="What the token may do.  [default: what its user may]")
@option("--for", "purpose", default="", metavar="TEXT", help="What it is for.")
@option("--days", type=click.FloatRange(min=0, min_open=True), help="Days until it expires.  [default: never]")
@option("--list", "show", is_flag=True, help="Print the tokens there are, without their secrets.")
@option("--rm", "gone", metavar="ID", help="Remove the token with this id.")
@click.pass_context
def token(
    ctx: click.Context, /, name: str, role: str | None, purpose: str, days: float | None, show: bool, gone: str | None
) -> int:
    """Print a new API token of the user NAME; it is shown this once. Without NAME, which goes as long as there is no
    user, it is the local admin's."""
    from crawlkit.webui.gate import LOCAL

    owner = name or LOCAL
    with _accounts(ctx, create=not (show or gone)) as accounts:
        if show:
            for row in accounts.store.tokens(name or None):
                click.echo(f"{row.id}\t{row.user}\t{row.role}\t{row.name}")
            return 0
        if gone:
            found = accounts.store.token(gone.removeprefix("ck_"))
            if found is None:
                raise UsageError(f"there is no token {gone!r}; --list prints those there are")
            accounts.remove_token(_me(), found)
            say(f"token {found.id} removed")
            return 0
        if not name and accounts.exist():
            raise UsageError("there are users: say whose token it is to be (crawlkit user list names them)")
        made = accounts.add_token(_me(), owner, purpose, role or accounts.role_of(owner), days)[1]
    click.echo(made)
    return 0


@command(user, name="link", example="crawlkit user link\ncrawlkit user link ada")
@click.argument("name", required=False, default="")
@option("--url", metavar="URL", help="Address of the web UI.  [default: that of the one running on the data path]")
@click.pass_context
def link(ctx: click.Context, /, name: str, url: str | None) -> int:
    """Print a link that signs in once, within ten minutes: as NAME, or, while there is no user, as an admin."""
    from crawlkit.webui.gate import LOCAL
    from crawlkit.webui.notice import published

    with _accounts(ctx, create=True) as accounts:
        made = accounts.new_link(name)
        accounts.note(_me(), "user.link", detail=name or LOCAL)
    base = url or published(settings_of(ctx).data_path)
    if not base:
        say(f"no web UI runs on this data path now; the link is for one at {USUAL_URL}, --url says another")
    click.echo(f"{(base or USUAL_URL).rstrip('/')}/?token={made}")
    return 0


def _exists(accounts: Accounts, name: str) -> None:
    if accounts.store.user(name) is None:
        raise UsageError(f"there is no user {name!r}; add one: crawlkit user add {name}")
