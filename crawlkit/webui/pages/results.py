"""Results: the table [W16] and pyspider's addresses of its files [W17]."""

from __future__ import annotations

from urllib.parse import urlencode

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from crawlkit.webui.api.registry import PREFIX
from crawlkit.webui.app import services_of
from crawlkit.webui.pages.names import project_names

blueprint = Blueprint("results", __name__)


@blueprint.get("/results")
def results() -> str:
    """The table of one project's results."""
    names = project_names(services_of(), with_results=True)
    return render_template("results/results.html", page="results", projects=names)


@blueprint.get("/results/dump/<name>")
def dump(name: str) -> Response:
    """``PROJECT.json``, ``.txt`` or ``.csv``: there JSON is one object a line, unless it is asked for whole."""
    given = {key: request.args[key] for key in ("offset", "limit", "style") if key in request.args}
    if name.endswith(".json"):
        given["style"] = "full" if given.get("style") == "full" else "rows"
    else:
        given.pop("style", None)
    query = f"?{urlencode(given)}" if given else ""
    here = url_for("results.results").removesuffix("/results")
    return redirect(f"{here}{PREFIX}/results/{name}{query}")
