"""Where WebDAV comes in: behind the same gate as everything else, with methods that only it knows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote_to_bytes

from crawlkit.libs.extras import install_command
from crawlkit.webui.flask_door import WsgiDoor
from crawlkit.webui.gate import DAV
from crawlkit.webui.permission import check_project
from crawlkit.webui.problem import Problem
from crawlkit.webui.saving import MAX_SCRIPT

DOCTYPE = re.compile(rb"<!\s*(?:DOCTYPE|ENTITY)", re.IGNORECASE)
LOCKED = 600  # seconds
READING = frozenset({"GET", "HEAD", "OPTIONS", "PROPFIND"})
METHODS = ("PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK")


class DavDoor(WsgiDoor):
    """Asks WsgiDAV, when it is installed."""

    SUPPORTED_METHODS = (*WsgiDoor.SUPPORTED_METHODS, *METHODS)

    def wsgi_application(self) -> Callable[..., Iterable[bytes]]:
        extra = self.server.services.extra
        if "dav" not in extra:
            from crawlkit.webui.dav import application

            extra["dav"] = application(self.server.services)
        found: Callable[..., Iterable[bytes]] = extra["dav"]
        return found

    def environ(self) -> dict[str, Any]:
        from crawlkit.webui.dav import ADDRESS, IDENTITY

        environ = super().environ()
        environ["SCRIPT_NAME"] = self.prefix + DAV
        environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix(DAV) or "/"
        environ[IDENTITY], environ[ADDRESS] = self.allowed.identity, self.request.remote_ip
        environ["wsgidav.auth.user_name"] = self.allowed.identity.user
        environ["HTTP_TIMEOUT"] = f"Second-{LOCKED}"  # of a lock, whatever its owner wishes
        environ.setdefault("CONTENT_LENGTH", "0")
        return environ

    async def hand_on(self, *_: str) -> None:
        """As everywhere, or in words what to install."""
        if self.request.method not in READING:  # also LOCK: it keeps others from writing
            name = self.request.path.removeprefix(DAV).strip("/")
            if not name:
                return self.refuse(Problem(403, "Not allowed", "the folder itself stays as it is"))
            try:
                await self.in_thread(
                    check_project, self.server.services, self.allowed.identity, name.removesuffix(".py")
                )
            except Problem as problem:
                return self.refuse(problem)
        if len(self.body()) > MAX_SCRIPT:
            return self.refuse(Problem(413, "Too large", f"a script may have {MAX_SCRIPT:,} bytes"))
        try:
            self.request.path.encode("latin-1", "strict")
            unquote_to_bytes(self.request.path).decode("utf-8")
        except UnicodeError:
            return self.refuse(Problem(400, "Invalid name", "the path is not UTF-8"))
        try:
            self.wsgi_application()
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "wsgidav":
                raise
            return self.refuse(Problem(501, "No WebDAV here", f"it is not installed: {install_command('webdav')}"))
        if self.request.method != "PUT" and DOCTYPE.search(self.body()):
            return self.refuse(Problem(400, "Invalid body", "XML with a DOCTYPE is not read"))  # entity bombs
        return await super().hand_on()

    get = head = post = put = patch = delete = options = hand_on
    propfind = proppatch = mkcol = copy = move = lock = unlock = hand_on
