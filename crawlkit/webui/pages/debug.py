"""The debugger: a project's script, and its crawl step by step [W07]. All that it shows comes by the API."""

from __future__ import annotations

from flask import Blueprint, render_template, request

from crawlkit.libs.task import check_project_name
from crawlkit.webui.app import require, services_of
from crawlkit.webui.gate import EDITOR

blueprint = Blueprint("debug", __name__)
MAX_START_URLS = 4000  # characters


@blueprint.get("/debug/<project>")
def debug(project: str) -> str:
    """Also of a project that there is not yet: it begins with the starter script, for ``start-urls`` if they are given.

    ``taskid`` opens a stored task [W48].
    """
    require(EDITOR)
    check_project_name(project)
    return render_template(
        "debug/debug.html",
        page="debug",
        project=project,
        known=services_of().projectdb.get(project) is not None,
        taskid=request.args.get("taskid", "")[:64],
        start_urls=request.args.get("start-urls", "")[:MAX_START_URLS],
    )
