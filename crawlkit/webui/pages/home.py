"""What belongs to no room: health, robots.txt [W06], the chosen language."""

from __future__ import annotations

from flask import Blueprint, Response, make_response, request

from crawlkit.webui.texts import LANGUAGES, catalogue

blueprint = Blueprint("home", __name__)
YEAR = 365 * 86_400


@blueprint.get("/health")
def health() -> str:
    """For whoever watches: the web UI answers. Says nothing about the rest."""
    return "ok\n"


@blueprint.get("/robots.txt")
def robots() -> Response:
    """Nothing here is for crawlers."""
    return Response("User-agent: *\nDisallow: /\n", mimetype="text/plain")


@blueprint.get("/texts/<language>.json")
def texts(language: str) -> Response:
    """The texts of a language, for scripts."""
    if language not in LANGUAGES:
        return make_response(("no such language", 404))
    answer = make_response(catalogue(language))
    answer.headers["Cache-Control"] = "no-cache"
    return answer


@blueprint.post("/language")
def choose_language() -> Response:
    """Keeps the language for this browser."""
    chosen = request.form.get("language", "")
    if chosen not in LANGUAGES:
        return make_response(("no such language", 400))
    answer = make_response("", 204)
    answer.set_cookie("crawlkit_language", chosen, max_age=YEAR, samesite="Lax", httponly=True)
    return answer
