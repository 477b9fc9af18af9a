"""Hands requests to a WSGI application, and its answers back: to Flask, and whoever else speaks WSGI."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from crawlkit.webui.app import ALLOWED, NONCE
from crawlkit.webui.gated import Gated


class WsgiDoor(Gated):
    """Runs ``application`` in a thread. Its answer is held whole: what is long is streamed elsewhere."""

    def environ(self) -> dict[str, Any]:
        """The request as WSGI has it, with who asks."""
        self.request.body = self.body()
        environ = self.server.wsgi.environ(self.request)
        environ["SCRIPT_NAME"] = self.prefix
        environ[ALLOWED], environ[NONCE] = self.allowed, self.nonce
        return environ

    def wsgi_application(self) -> Callable[..., Any]:
        """Whom to ask."""
        raise NotImplementedError

    async def hand_on(self, *_: str) -> None:
        status, headers, body = await self.in_thread(call, self.wsgi_application(), self.environ())
        self.set_status(status)
        for name, value in headers:
            if name.lower() == "set-cookie":
                self.add_header(name, value)
            elif name.lower() != "content-length":
                self.set_header(name, value)
        if status in (204, 304):
            self.clear_header("Content-Type")
        self.finish(body if status not in (204, 304) else None)

    get = head = post = put = patch = delete = options = hand_on


class FlaskDoor(WsgiDoor):
    """Pages and API."""

    def wsgi_application(self) -> Callable[..., Any]:
        return self.server.wsgi.wsgi_application


def call(application: Any, environ: dict[str, Any]) -> tuple[int, list[tuple[str, str]], bytes]:
    said: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        said[:] = [int(status.split(" ", 1)[0]), headers]
        return None

    pieces = application(environ, start_response)
    try:
        body = b"".join(pieces)
    finally:
        if hasattr(pieces, "close"):
            pieces.close()
    return said[0], said[1], body
