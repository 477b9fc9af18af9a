"""Failures: what failed for which reason, and another try."""

from __future__ import annotations

from flask import Blueprint, render_template

from crawlkit.webui.app import services_of
from crawlkit.webui.pages.names import project_names

blueprint = Blueprint("failures", __name__)


@blueprint.get("/failures")
def failures() -> str:
    """The groups."""
    return render_template("failures/failures.html", page="failures", projects=project_names(services_of()))
