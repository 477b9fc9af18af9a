"""Whether results are exactly those of the site. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from crawlkit.proving.site import Page


def wrong(results: Iterable[tuple[str, Mapping[str, Any]]], truth: Mapping[str, Page]) -> list[str]:
    """What is wrong with results, (URL, fields) each: nothing when they are those of the site, once each."""
    seen: dict[str, Page] = {}
    found = []
    for url, result in results:
        if url in seen:
            found.append(f"twice: {url}")
        seen[url] = Page._make(result.get(name) for name in Page._fields)
    found += [f"missing: {url}" for url in truth if url not in seen]
    found += [f"wrong: {url}: {page}" for url, page in seen.items() if truth.get(url) != page]
    return found
