"""One's own account: the password, API tokens, and where one is signed in."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Struct

from crawlkit.libs.passwords import digest_of
from crawlkit.libs.roles import lower
from crawlkit.libs.rows import SessionRow, TokenRow
from crawlkit.webui.accounts import Accounts, NotLoggedIn
from crawlkit.webui.api.registry import Request, Room
from crawlkit.webui.gate import Identity
from crawlkit.webui.problem import Problem, not_found
from crawlkit.webui.services import Services

room = Room("account")

Role = Literal["viewer", "editor", "admin"]
Password = Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]
Limit = Annotated[int, msgspec.Meta(ge=1, le=500)]
Offset = Annotated[str, msgspec.Meta(max_length=12, pattern=r"^[0-9]*$")]
Text = Annotated[str, msgspec.Meta(max_length=200)]


class TokenView(Struct):
    """A token, without its secret part, which nobody can see again."""

    id: str
    user: str
    name: str
    role: str
    created: float
    """Unix time."""
    expires: float | None
    """Unix time; null: never."""
    used: float
    """Unix time of the last use, to the minute; 0: never."""


class TokenPage(Struct):
    """Tokens."""

    items: list[TokenView]
    total: int
    next: str | None = None


class NewToken(Struct):
    """What a new token is for, and for how long."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    role: Role = "viewer"
    days: Annotated[float, msgspec.Meta(gt=0, le=3660)] | None = None
    """Days until it expires; null: never."""


class MadeToken(Struct):
    """A token that was just made. ``token`` is shown this once: send it as ``Authorization: Bearer``."""

    token: str
    item: TokenView


class PasswordChange(Struct):
    """The old password and the new one."""

    old: Password
    new: Password


class SessionView(Struct):
    """A browser in which one is signed in."""

    id: str
    via: str
    created: float
    seen: float
    address: str
    current: bool
    """Whether it is the one that asks."""


class SessionPage(Struct):
    """Sessions."""

    items: list[SessionView]
    total: int
    next: str | None = None


class Csrf(Struct):
    """What changing requests of this session must carry as ``X-CSRF-Token``."""

    token: str


class ListQuery(Struct):
    """A part of a list."""

    text: Text = ""
    limit: Limit = 100
    cursor: Offset = ""
    """The ``next`` of the page before."""


def accounts_of(services: Services) -> Accounts:
    """The accounts of this server."""
    found: Accounts = services.extra["accounts"]
    return found


def token_view(row: TokenRow) -> TokenView:
    """What may be shown of a token."""
    return TokenView(row.id, row.user, row.name, row.role, row.created, row.expires, row.used)


def token_page(rows: list[TokenRow], query: ListQuery) -> TokenPage:
    """The part of a list of tokens that was asked for, newest first."""
    text = query.text.lower()
    found = [row for row in reversed(rows) if text in f"{row.id} {row.user} {row.name} {row.role}".lower()]
    start = int(query.cursor or 0)
    end = start + query.limit
    return TokenPage([token_view(row) for row in found[start:end]], len(found), str(end) if end < len(found) else None)


def in_person(identity: Identity) -> str:
    """The user, who must not come by a token: whoever steals one shall not make more of it."""
    if identity.via == "token":
        raise Problem(403, "Not allowed", "a token cannot change accounts: sign in with name and password")
    return identity.user


@room.endpoint("PUT", "/account/password", body=PasswordChange, refusals=(429,))
def change_password(services: Services, request: Request[None, PasswordChange]) -> None:
    """Changes the own password; all other sessions end."""
    user = in_person(request.identity)
    accounts = accounts_of(services)
    if accounts.store.user(user) is None:
        raise Problem(400, "No password", f"{user} has no account with a password")
    checked = accounts.check(user, request.body.old, request.address)
    if isinstance(checked, NotLoggedIn):
        if checked.wait:
            raise Problem(429, "Too many tries", f"wait {checked.wait:.0f} s before the next try")
        raise Problem(400, "Wrong password", "the old password is wrong")
    accounts.set_password(request.identity, user, request.body.new, request.address, keep=request.session)


@room.endpoint("GET", "/account/csrf", returns=Csrf)
def csrf_token(services: Services, request: Request[None, None]) -> Csrf:
    """The token of the browser's session, for a page that was loaded in an older one. Other sites cannot read it."""
    return Csrf(accounts_of(services).keys.csrf(request.session) if request.session else "")


@room.endpoint("GET", "/account/tokens", query=ListQuery, returns=TokenPage)
def own_tokens(services: Services, request: Request[ListQuery, None]) -> TokenPage:
    """One's own tokens, newest first."""
    return token_page(accounts_of(services).store.tokens(request.identity.user), request.query)


@room.endpoint("POST", "/account/tokens", body=NewToken, returns=MadeToken, status=201)
def add_own_token(services: Services, request: Request[None, NewToken]) -> MadeToken:
    """Makes a token for oneself, with one's own role or a lower one."""
    user, body = in_person(request.identity), request.body
    if lower(body.role, request.identity.role) != body.role:
        raise Problem(403, "Not allowed", f"you are {request.identity.role}: a token cannot have the role {body.role}")
    row, token = accounts_of(services).add_token(
        request.identity, user, body.name, body.role, body.days, request.address
    )
    return MadeToken(token, token_view(row))


@room.endpoint("DELETE", "/account/tokens/{token}")
def remove_own_token(services: Services, request: Request[None, None]) -> None:
    """Removes one of one's own tokens; it holds no longer."""
    accounts = accounts_of(services)
    row = accounts.store.token(request.path["token"])
    if row is None or row.user != in_person(request.identity):
        raise not_found("token", request.path["token"])
    accounts.remove_token(request.identity, row, request.address)


@room.endpoint("GET", "/account/sessions", returns=SessionPage)
def own_sessions(services: Services, request: Request[None, None]) -> SessionPage:
    """The browsers in which one is signed in, those seen last first."""
    accounts = accounts_of(services)
    now = accounts.clock.time()
    rows = [row for row in accounts.store.sessions(request.identity.user) if row.expires >= now]
    rows.sort(key=lambda row: -row.seen)
    current = digest_of(request.session) if request.session else ""
    views = [_session_view(row, current) for row in rows]
    return SessionPage(views, len(views))


@room.endpoint("DELETE", "/account/sessions/{session}")
def end_session(services: Services, request: Request[None, None]) -> None:
    """Signs out one of one's own browsers."""
    accounts, user = accounts_of(services), in_person(request.identity)
    for row in accounts.store.sessions(user):
        if row.digest[:16] == request.path["session"]:
            accounts.store.remove_session(row.digest)
            accounts.note(request.identity, "session.end", detail=row.address, address=request.address)
            return
    raise not_found("session", request.path["session"])


def _session_view(row: SessionRow, current: str) -> SessionView:
    return SessionView(row.digest[:16], row.via, row.created, row.seen, row.address, row.digest == current)
