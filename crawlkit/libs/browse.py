"""What a page that a browser renders is asked for, beside pyspider's ``js_*`` arguments: waits, actions, blocking.

Pure. :class:`Browse` is the checked form that travels in a task; :mod:`browse_args` makes it out of what scripts say.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct


class Browse(Struct, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """Options of one rendered fetch. Dicts have exactly one of the keys named, and what is written behind it.

    ``wait_for``, in turn: ``{"selector": CSS, "state": visible|attached|hidden|detached}``,
    ``{"network_idle": SECONDS}`` without a request under way, ``{"function": JS}`` until it returns something true,
    ``{"seconds": N}``, ``{"load": "load"|"domcontentloaded"}``.

    With ``wait_for`` a page is not waited for otherwise: as soon as its markup is there, the conditions count. Without,
    it is ready when it has loaded and asks for nothing more. The task's ``js_script`` comes after the actions.

    ``actions``, in turn, after the waits: ``{"click": CSS}``, ``{"fill": CSS, "text": TEXT}``,
    ``{"press": KEY, "on": CSS}``, ``{"select": CSS, "value": VALUE}``, ``{"hover": CSS}``,
    ``{"scroll": "end"|PIXELS, "times": N}``, ``{"wait_for": one of the above}``.
    """

    wait_for: list[dict[str, Any]] | None = None
    actions: list[dict[str, Any]] | None = None
    block: list[str] | None = None  # images, fonts, media, styles, trackers, or URL patterns with * in them
    screenshot: dict[str, Any] | None = None  # of: page, full or a selector's element; type: png or jpeg; quality
    pdf: dict[str, Any] | None = None  # format, landscape, background
    xhr: list[str] | None = None  # URL patterns of XHR and fetch answers to bring along; * stands for any text
    first_headers: dict[str, str] | None = None  # for the page itself, not for what it loads
    locale: str | None = None  # de-DE
    timezone: str | None = None  # Europe/Berlin
    geolocation: dict[str, float] | None = None  # latitude, longitude, accuracy (metres)
