"""The Flask application: pages and the JSON API. Trusts the identity that the server put into the environment.

Without one nothing is answered: this application is never served bare.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from typing import Any

import msgspec
from flask import Flask, Response, abort, g, render_template, request
from werkzeug.exceptions import HTTPException

from crawlkit import __version__
from crawlkit.libs.errors import CrawlkitError
from crawlkit.webui import pages
from crawlkit.webui import texts as catalogues
from crawlkit.webui.api import openapi, rooms
from crawlkit.webui.api.registry import PREFIX, Endpoint, Request, checked_body, checked_query, pattern_of
from crawlkit.webui.gate import ADMIN, VIEWER, Allowed
from crawlkit.webui.permission import check_project, detail_of, note
from crawlkit.webui.problem import MEDIA_TYPE, Problem, problem_of
from crawlkit.webui.rights import refusal
from crawlkit.webui.services import Services

log = logging.getLogger("webui")
ALLOWED = "crawlkit.allowed"  # key in the WSGI environment: an Allowed
NONCE = "crawlkit.nonce"

#: Pages in the top bar: key (its text is nav.<key>), path, and the role it takes.
NAV = (
    ("dashboard", "/", VIEWER),
    ("tasks", "/tasks", VIEWER),
    ("failures", "/failures", VIEWER),
    ("results", "/results", VIEWER),
    ("logs", "/logs", VIEWER),
    ("queues", "/queues", VIEWER),
    ("nodes", "/nodes", VIEWER),
    ("admin", "/admin", ADMIN),
)

_encode = msgspec.json.Encoder(enc_hook=str).encode


def create_app(services: Services) -> Flask:
    """The application, with every room in it."""
    app = Flask(__name__, static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.extensions["crawlkit"] = services
    app.before_request(_who)
    app.context_processor(_context)
    app.register_error_handler(Exception, _refusal)
    _serve_api(app, services)
    for blueprint in pages.blueprints():
        app.register_blueprint(blueprint)
    return app


def services_of() -> Services:
    """The services of the running application; for pages."""
    from flask import current_app

    found: Services = current_app.extensions["crawlkit"]
    return found


def require(role: str) -> None:
    """Ends the request with 403 unless the user has ``role`` or a higher one; for pages."""
    if not g.identity.may(role):
        raise Problem(403, "Not allowed", f"this needs the role {role}; {g.identity.user} is {g.identity.role}")


def _who() -> None:
    allowed: Allowed | None = request.environ.get(ALLOWED)
    if allowed is None:
        abort(401)
    g.allowed, g.identity, g.csrf = allowed, allowed.identity, allowed.csrf
    g.nonce = request.environ.get(NONCE, "")
    g.language = catalogues.language_of(
        request.cookies.get("crawlkit_language", ""), request.headers.get("Accept-Language", "")
    )


def _context() -> dict[str, Any]:
    language = g.get("language", catalogues.DEFAULT)
    return {
        "t": lambda key, **values: catalogues.text(language, key, **values),
        "language": language,
        "NAV": NAV,
        "identity": g.get("identity"),
        "csrf": g.get("csrf", ""),
        "nonce": g.get("nonce", ""),
        "base": request.script_root,
        "version": __version__,
    }


# -- the API ---------------------------------------------------------------------------------------------------------


def _serve_api(app: Flask, services: Services) -> None:
    found = rooms()
    by_path: dict[str, list[Endpoint]] = {}
    for room in found:
        for one in room.endpoints:
            by_path.setdefault(one.path, []).append(one)
    for path, endpoints in by_path.items():
        rule = PREFIX + path.replace("{", "<").replace("}", ">")
        view = _view(services, path, {one.method: one for one in endpoints})
        app.add_url_rule(rule, f"api {path}", view, methods=[one.method for one in endpoints])

    def describe() -> Response:
        return _json(openapi.document(found, __version__, request.script_root), 200)

    app.add_url_rule(f"{PREFIX}/openapi.json", "api description", describe)


def _view(services: Services, path: str, endpoints: dict[str, Endpoint]) -> Callable[..., Response]:
    pattern = pattern_of(path)

    def view(**names: str) -> Response:
        endpoint = endpoints.get("GET" if request.method == "HEAD" else request.method)
        if endpoint is None:  # OPTIONS
            return Response(status=204, headers={"Allow": ", ".join(sorted(endpoints))})
        if pattern.match(path.format_map(names)) is None:
            raise Problem(404, "Not found", f"there is nothing at {request.path}")
        return _answer(services, endpoint, names)

    return view


def _answer(services: Services, endpoint: Endpoint, names: dict[str, str]) -> Response:
    changes, project = endpoint.method != "GET", names.get("project", "")
    if project and changes:
        check_project(services, g.identity, project, endpoint.role)
    elif words := refusal(g.identity, endpoint.role):
        raise Problem(403, "Not allowed", words)
    asked: Request[Any, Any] = Request(
        path=names,
        query=checked_query(endpoint.query, request.args.to_dict(flat=False)),
        body=checked_body(endpoint.body, request.get_data(), request.headers.get("Content-Type", "")),
        identity=g.identity,
        address=g.allowed.facts.address if g.allowed.facts else "",
        session=g.allowed.session,
    )
    value = endpoint.function(services, asked)
    if changes and endpoint.audit:
        action = f"{endpoint.tag}.{endpoint.name}"
        note(services, g.identity, action, project, detail_of(names, asked.body), asked.address)
    if endpoint.returns is None:
        return Response(status=204)
    return _json(value, endpoint.status)


def _json(value: Any, status: int, media_type: str = "application/json") -> Response:
    return Response(_encode(value), status, content_type=media_type)


# -- refusals --------------------------------------------------------------------------------------------------------


def _refusal(error: Exception) -> Response:
    if isinstance(error, CrawlkitError):
        problem = problem_of(error)
    elif isinstance(error, Problem):
        problem = error
    elif isinstance(error, HTTPException):
        problem = Problem(error.code or 500, error.name, error.description or "")
    else:
        number = secrets.token_hex(4)
        log.exception("error %s while answering %s %s", number, request.method, request.path)
        problem = Problem(500, "Internal error", f"error {number}; the log of the web UI says more", error=number)
    if wants_json():
        answer = _json(problem.body(), problem.status, MEDIA_TYPE)
    else:
        shown = render_template("problem.html", problem=problem)
        answer = Response(shown, problem.status, content_type="text/html; charset=utf-8")
    if problem.status == 405 and isinstance(error, HTTPException):
        answer.headers["Allow"] = ", ".join(sorted(getattr(error, "valid_methods", None) or []))
    return answer


def wants_json() -> bool:
    """Whether this request is for programs."""
    if request.path.startswith(PREFIX) or "identity" not in g:
        return True
    best = request.accept_mimetypes.best_match(["text/html", "application/json"], "text/html")
    return best == "application/json"
