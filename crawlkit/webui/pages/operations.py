"""What runs and how: logs, processes, queues."""

from __future__ import annotations

from flask import Blueprint, render_template

blueprint = Blueprint("operations", __name__)


@blueprint.get("/logs")
def logs() -> str:
    """What components and callbacks logged."""
    return render_template("operations/logs.html", page="logs")


@blueprint.get("/nodes")
def nodes() -> str:
    """The processes that take part."""
    return render_template("operations/nodes.html", page="nodes")


@blueprint.get("/queues")
def queues() -> str:
    """The queues between them."""
    return render_template("operations/queues.html", page="queues")
