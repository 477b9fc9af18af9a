"""Where the body of a page comes from that is to be shown: the debugger's own pages and the kept ones of a project."""

from __future__ import annotations

from crawlkit.webui.gate import Identity
from crawlkit.webui.page_worker import Source
from crawlkit.webui.problem import Problem
from crawlkit.webui.services import Services


def page_source(services: Services, identity: Identity, project: str, page: str) -> tuple[str, Source]:
    """A key for the page, and the page; raises :class:`Problem` 404 when it is gone, or somebody else's."""
    debugger = services.extra.get("debugger")
    if debugger is None:
        raise Problem(404, "Not found", "this web UI keeps no pages")
    found = debugger.page(identity, page, project)
    return f"{project}/{page}", Source(found.body, found.content_type, found.url, found.encoding)
