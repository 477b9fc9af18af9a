"""Coming and going, and the pages about accounts: login, one's own account, users and tokens, the audit log."""

from __future__ import annotations

from flask import Blueprint, Response, g, render_template, request

from crawlkit.webui.app import require, services_of
from crawlkit.webui.gate import ADMIN, Allowed, Refused
from crawlkit.webui.gatekeeper import Gatekeeper
from crawlkit.webui.places import safe_next

blueprint = Blueprint("access", __name__)
LONGEST = 1024  # characters of a name or password


def _gatekeeper() -> Gatekeeper:
    found: Gatekeeper = services_of().extra["gatekeeper"]
    return found


def _go(place: str, cookies: tuple[str, ...] = ()) -> Response:
    answer = Response(status=303, headers={"Location": request.script_root + place})
    for cookie in cookies:
        answer.headers.add("Set-Cookie", cookie)
    return answer


@blueprint.get("/login")
def login() -> Response | str:
    """The form; who is signed in already goes on."""
    place = safe_next(request.args.get("next", ""))
    if g.identity.role:
        return _go(place)
    refused = "link" if request.args.get("link") else ""
    return _form(place, refused)


@blueprint.post("/login")
def sign_in() -> Response | tuple[str, int] | tuple[str, int, dict[str, str]]:
    """Name and password. A plain form, so that it works without scripts."""
    name, password = (request.form.get(field, "")[:LONGEST] for field in ("name", "password"))
    place = safe_next(request.form.get("next", ""))
    allowed: Allowed = g.allowed
    assert allowed.facts is not None
    answer: Refused = _gatekeeper().log_in(allowed.facts, name, password, place)
    if answer.location:
        return _go(answer.location, answer.cookies)
    wait = answer.headers.get("Retry-After", "")
    shown = _form(place, "wait" if wait else "wrong", name=name[:64], wait=wait)
    return shown, answer.status, dict(answer.headers)


@blueprint.post("/logout")
def sign_out() -> Response:
    """Ends the session."""
    return _go("/login", _gatekeeper().log_out(g.allowed))


def _form(place: str, refused: str = "", **more: str) -> str:
    accounts = _gatekeeper().accounts
    return render_template("access/login.html", place=place, refused=refused, users=accounts.exist(), **more)


@blueprint.get("/account")
def account() -> str:
    """One's own password, tokens and sessions."""
    own = g.identity.via != "token" and _gatekeeper().accounts.store.user(g.identity.user) is not None
    return render_template("access/account.html", page="account", own=own)


@blueprint.get("/admin")
def users() -> str:
    """Who may use this, with which role."""
    require(ADMIN)
    return render_template("access/users.html", page="admin", tab="users")


@blueprint.get("/admin/tokens")
def tokens() -> str:
    """Everybody's tokens."""
    require(ADMIN)
    return render_template("access/tokens.html", page="admin", tab="tokens")


@blueprint.get("/admin/audit")
def audit() -> str:
    """Who changed what."""
    require(ADMIN)
    return render_template("access/audit.html", page="admin", tab="audit")
