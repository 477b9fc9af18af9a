"""The frame that shows a crawled page: hostile content, so its headers are its own, see ``preview.headers``."""

from __future__ import annotations

import re
import secrets

from flask import Blueprint, Response, g, request

from crawlkit.webui.app import require, services_of
from crawlkit.webui.gate import EDITOR
from crawlkit.webui.page_reader import reader_of
from crawlkit.webui.page_source import page_source
from crawlkit.webui.preview import headers
from crawlkit.webui.problem import Problem

blueprint = Blueprint("preview", __name__)
_CHANNEL = re.compile(r"[A-Za-z0-9_-]{16,64}\Z")


@blueprint.get("/projects/<project>/pages/<page>/preview")
def preview(project: str, page: str) -> Response:
    """A page for a sandboxed frame [W44]. ``channel``: the token of the picker's messages; ``load=1``: with the images
    and style sheets of the site, for this one view.
    """
    require(EDITOR)
    channel = request.args.get("channel", "")
    if not _CHANNEL.match(channel):
        raise Problem(400, "Invalid channel", "channel is 16 to 64 letters and digits")
    key, source = page_source(services_of(), g.identity, project, page)
    nonce = secrets.token_urlsafe(18)
    shown = reader_of(services_of()).preview(key, source, nonce, channel, request.args.get("load") == "1")
    return Response(shown.html, headers=headers(nonce, shown.sites))
