"""The server itself: who am I, what version is this, what can it do."""

from __future__ import annotations

from msgspec import Struct

from crawlkit import __version__
from crawlkit.libs.errors import ServiceUnreachable
from crawlkit.webui.api.registry import Request, Room
from crawlkit.webui.services import Services

room = Room("server")


class Me(Struct):
    """Who asks, and what answers."""

    user: str
    role: str
    via: str
    version: str
    scheduler: bool


@room.endpoint("GET", "/me", returns=Me)
def me(services: Services, request: Request[None, None]) -> Me:
    """Who is signed in, and whether a scheduler answers."""
    identity = request.identity
    try:
        services.scheduler.call("size")
        running = True
    except ServiceUnreachable:
        running = False
    return Me(identity.user, identity.role, identity.via, __version__, running)
