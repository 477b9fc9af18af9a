"""Users and everybody's tokens; for admins, also for an admin's token."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Struct, UnsetType

from crawlkit.libs.rows import UserRow
from crawlkit.webui.accounts import LINK, no_user
from crawlkit.webui.api.account import (
    ListQuery,
    MadeToken,
    NewToken,
    Password,
    Role,
    TokenPage,
    accounts_of,
    token_page,
    token_view,
)
from crawlkit.webui.api.registry import Request, Room
from crawlkit.webui.gate import ADMIN
from crawlkit.webui.problem import Problem, not_found
from crawlkit.webui.services import Services

room = Room("users")


class UserView(Struct):
    """Somebody who may sign in."""

    name: str
    role: str
    created: float
    """Unix time."""
    changed: float
    """Unix time when the password was set."""
    seen: float
    """Unix time of the last login; 0: never."""
    tokens: int


class UserPage(Struct):
    """Users, in order of their names."""

    items: list[UserView]
    total: int
    next: str | None = None


class NewUser(Struct):
    """A new user."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]*$")]
    password: Password
    role: Role = "viewer"


class UserChange(Struct):
    """What shall be different; what is left out stays."""

    role: Role | UnsetType = UNSET
    password: Password | UnsetType = UNSET


class Link(Struct):
    """A link that signs in once."""

    path: str
    """To be put behind the address of the web UI."""
    expires: float
    """Unix time."""


@room.endpoint("GET", "/users", role=ADMIN, query=ListQuery, returns=UserPage)
def list_users(services: Services, request: Request[ListQuery, None]) -> UserPage:
    """Everybody who may sign in."""
    store, query = accounts_of(services).store, request.query
    tokens: dict[str, int] = {}
    for token in store.tokens():
        tokens[token.user] = tokens.get(token.user, 0) + 1
    text = query.text.lower()
    found = [row for row in store.users() if text in f"{row.name} {row.role}".lower()]
    start = int(query.cursor or 0)
    end = start + query.limit
    views = [_view(row, tokens.get(row.name, 0)) for row in found[start:end]]
    return UserPage(views, len(found), str(end) if end < len(found) else None)


@room.endpoint("POST", "/users", role=ADMIN, body=NewUser, returns=UserView, status=201, audit=False)
def add_user(services: Services, request: Request[None, NewUser]) -> UserView:
    """Adds a user."""
    body = request.body
    row = accounts_of(services).add_user(request.identity, body.name, body.password, body.role, request.address)
    return _view(row, 0)


@room.endpoint("PATCH", "/users/{user}", role=ADMIN, body=UserChange, returns=UserView, audit=False)
def change_user(services: Services, request: Request[None, UserChange]) -> UserView:
    """Gives a user another role, which holds at once, or another password, which ends the user's sessions."""
    accounts, name, body = accounts_of(services), request.path["user"], request.body
    _known(services, name)
    if body.role is not UNSET:
        accounts.set_role(request.identity, name, body.role, request.address)
    if body.password is not UNSET:
        keep = request.session if name == request.identity.user else ""
        accounts.set_password(request.identity, name, body.password, request.address, keep=keep)
    return _view(_known(services, name), len(accounts.store.tokens(name)))


@room.endpoint("DELETE", "/users/{user}", role=ADMIN, audit=False)
def remove_user(services: Services, request: Request[None, None]) -> None:
    """Removes a user with all sessions and tokens; not the last admin."""
    name = request.path["user"]
    _known(services, name)
    accounts_of(services).remove_user(request.identity, name, request.address)


@room.endpoint("POST", "/users/{user}/link", role=ADMIN, returns=Link, status=201)
def make_link(services: Services, request: Request[None, None]) -> Link:
    """A link that signs this user in once, within ten minutes; for who has forgotten the password."""
    name = request.path["user"]
    _known(services, name)
    accounts = accounts_of(services)
    return Link(f"/?token={accounts.new_link(name)}", accounts.clock.time() + LINK)


@room.endpoint("POST", "/users/{user}/tokens", role=ADMIN, body=NewToken, returns=MadeToken, status=201, audit=False)
def add_token(services: Services, request: Request[None, NewToken]) -> MadeToken:
    """Makes a token for a user, for a program that works in its name."""
    name, body = request.path["user"], request.body
    _known(services, name)
    row, token = accounts_of(services).add_token(
        request.identity, name, body.name, body.role, body.days, request.address
    )
    return MadeToken(token, token_view(row))


@room.endpoint("GET", "/tokens", role=ADMIN, query=ListQuery, returns=TokenPage)
def list_tokens(services: Services, request: Request[ListQuery, None]) -> TokenPage:
    """Everybody's tokens, newest first."""
    return token_page(accounts_of(services).store.tokens(), request.query)


@room.endpoint("DELETE", "/tokens/{token}", role=ADMIN, audit=False)
def remove_token(services: Services, request: Request[None, None]) -> None:
    """Removes anybody's token; it holds no longer."""
    accounts = accounts_of(services)
    row = accounts.store.token(request.path["token"])
    if row is None:
        raise not_found("token", request.path["token"])
    accounts.remove_token(request.identity, row, request.address)


def _known(services: Services, name: str) -> UserRow:
    row = accounts_of(services).store.user(name)
    if row is None:
        raise Problem(404, "Not found", str(no_user(name)))
    return row


def _view(row: UserRow, tokens: int) -> UserView:
    return UserView(row.name, row.role, row.created, row.changed, row.seen, tokens)
