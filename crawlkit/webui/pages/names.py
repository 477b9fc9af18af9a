"""The names of projects that a page offers for choosing."""

from __future__ import annotations

from crawlkit.webui.services import Services


def project_names(services: Services, *, with_results: bool = False) -> list[str]:
    """All projects in order; ``with_results``: also those that are gone and have results left."""
    names = set(services.projectdb.names())
    if with_results:
        names.update(services.resultdb.projects())
    return sorted(names)
