"""The projects: what runs, how it goes, what can be done about it; and the page of one project."""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, render_template

from crawlkit.webui.app import services_of
from crawlkit.webui.problem import not_found

blueprint = Blueprint("dashboard", __name__)
DIAGRAM = Path(__file__).parent.parent / "static" / "js" / "queue_diagram.js"


@blueprint.get("/")
def dashboard() -> str:
    """The front page [W01]."""
    return render_template("dashboard/dashboard.html", page="dashboard", diagram=DIAGRAM.is_file())


@blueprint.get("/projects/<project>")
def project(project: str) -> str:
    """One project: its charts, crons, settings."""
    row = services_of().projectdb.get(project)
    if row is None:
        raise not_found("project", project)
    return render_template("dashboard/project.html", page="dashboard", project=row.name)
