"""Answers ``data:`` URLs without a network [F04]. Pure. For tasks only, never a redirect's target."""

from __future__ import annotations

from crawlkit.libs import dataurl
from crawlkit.libs.errors import FetchError
from crawlkit.libs.messages import Dispatch, Fetched


def answer(task: Dispatch, node: str) -> Fetched:
    """Status 200 and the data. Raises :class:`FetchError` of kind ``bad_url``."""
    try:
        media_type, data = dataurl.parse(task.url)
    except ValueError as error:
        raise FetchError("bad_url", str(error)) from None
    return Fetched(
        task=task,
        status_code=200,
        url=task.url,
        orig_url=task.url,
        headers=[("Content-Type", media_type)] if media_type else [],
        cookies={},
        time=0.0,
        node=node,
        size=len(data),
        content=data,
    )
