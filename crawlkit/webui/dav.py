"""Scripts as files over WebDAV [W63]: ``<project>.py`` in one folder, for editors outside of the browser.

WsgiDAV speaks the protocol (extra ``[webdav]``); a PUT becomes a version like every other save. Who asks was decided
before: the identity is in the environment.
"""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote

from wsgidav.dav_error import HTTP_BAD_REQUEST, HTTP_FORBIDDEN, DAVError
from wsgidav.dav_provider import DAVCollection, DAVNonCollection, DAVProvider
from wsgidav.error_printer import ErrorPrinter
from wsgidav.request_resolver import RequestResolver
from wsgidav.wsgidav_app import WsgiDAVApp

from crawlkit.libs.errors import CrawlkitError
from crawlkit.libs.rows import ProjectRow
from crawlkit.webui import permission, saving
from crawlkit.webui.gate import Identity
from crawlkit.webui.problem import Problem, problem_of
from crawlkit.webui.services import Services

IDENTITY = "crawlkit.identity"  # keys of the environment
ADDRESS = "crawlkit.address"
NAME = re.compile(r"([A-Za-z0-9_]{1,64})\.py\Z")


def application(services: Services) -> Callable[..., Iterable[bytes]]:
    """The WSGI application. Its PATH_INFO is below the folder, SCRIPT_NAME says where the folder is."""
    config = {
        "provider_mapping": {"/": Scripts(services)},
        "middleware_stack": [ErrorPrinter, RequestResolver],
        "lock_storage": True,
        "property_manager": None,
        "verbose": 1,
        "suppress_version_info": True,
        "logging": {"enable": False},
    }
    logging.getLogger("wsgidav").setLevel(logging.ERROR)  # it warns of logins that it does not see
    app: Callable[..., Iterable[bytes]] = WsgiDAVApp(config)
    return app


class Scripts(DAVProvider):  # type: ignore[misc]
    """The folder, and what is in it."""

    def __init__(self, services: Services) -> None:
        super().__init__()
        self.services = services

    def get_resource_inst(self, path: str, environ: dict[str, Any]) -> Any:
        """The folder for ``/``, a script for ``/<project>.py`` when there is one; else ``None``."""
        if path.strip("/") == "":
            return Folder(path, environ, self.services)
        found = NAME.match(path.strip("/"))
        row = self.services.projectdb.get(found[1]) if found else None
        return None if row is None else Script(path, environ, self.services, row)


class Folder(DAVCollection):  # type: ignore[misc]
    """All scripts."""

    def __init__(self, path: str, environ: dict[str, Any], services: Services) -> None:
        super().__init__(path, environ)
        self.services = services

    def get_href(self) -> str:
        return quote(self.environ.get("SCRIPT_NAME", "")) + "/"

    def delete(self) -> None:
        """The folder stays."""
        raise DAVError(HTTP_FORBIDDEN, "projects are not removed by WebDAV")

    def get_member_names(self) -> list[str]:
        return [f"{name}.py" for name in self.services.projectdb.names()]

    def get_member_list(self) -> list[Any]:
        return [Script(f"/{row.name}.py", self.environ, self.services, row) for row in self.services.projectdb.all()]

    def get_member(self, name: str) -> Any:
        return self.provider.get_resource_inst(f"/{name}", self.environ)

    def create_empty_resource(self, name: str) -> Any:
        """The script of a project that is made when it is written to."""
        found = NAME.match(name)
        if found is None:
            raise DAVError(
                HTTP_FORBIDDEN,
                f"{name[:80]!r} is no name of a script: use letters, digits and _, at most 64, and .py at the end",
            )
        with told():
            permission.check_project(self.services, identity_of(self.environ), found[1])
        return Script(f"/{name}", self.environ, self.services, ProjectRow(found[1]))


class Script(DAVNonCollection):  # type: ignore[misc]
    """One project's newest script."""

    def __init__(self, path: str, environ: dict[str, Any], services: Services, row: ProjectRow) -> None:
        super().__init__(path, environ)
        self.services = services
        self.row = row
        self._written: _Kept | None = None

    def get_href(self) -> str:
        return quote(f"{self.environ.get('SCRIPT_NAME', '')}/{self.row.name}.py")

    def get_content_length(self) -> int:
        return len(self.row.script.encode())

    def get_content_type(self) -> str:
        return "text/x-python; charset=utf-8"

    def get_creation_date(self) -> None:
        return None

    def get_last_modified(self) -> float:
        return float(int(self.row.updatetime))

    def get_etag(self) -> str | None:
        return self.row.version or None

    def support_etag(self) -> bool:
        return True

    def get_content(self) -> io.BytesIO:
        return io.BytesIO(self.row.script.encode())

    def delete(self) -> None:
        """Projects are removed by who may, in the web UI or by command: an editor that tidies up must not."""
        raise DAVError(HTTP_FORBIDDEN, "projects are not removed by WebDAV")

    def begin_write(self, *, content_type: str | None = None) -> io.BytesIO:
        with told():
            permission.check_project(self.services, identity_of(self.environ), self.row.name)
        self._written = _Kept()
        return self._written

    def end_write(self, *, with_errors: bool) -> None:
        """Saves what came, as a version."""
        if with_errors or self._written is None:
            return
        identity = identity_of(self.environ)
        try:
            script = self._written.value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DAVError(HTTP_BAD_REQUEST, f"a script is UTF-8 text; byte {error.start} is not") from None
        with told():
            saving.save_script(self.services, identity, self.row.name, script, message="by WebDAV", force=True)
            address = self.environ.get(ADDRESS, "")
            permission.note(self.services, identity, "save_script", self.row.name, "by WebDAV", address)


class _Kept(io.BytesIO):
    """Keeps what it held when it was closed."""

    value = b""

    def close(self) -> None:
        if not self.closed:
            self.value = self.getvalue()
        super().close()


class told:
    """Turns refusals into those of WebDAV."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, CrawlkitError):
            error = problem_of(error)
        if isinstance(error, Problem):
            raise DAVError(error.status, error.detail or error.title) from None


def identity_of(environ: dict[str, Any]) -> Identity:
    """Who asks."""
    found: Identity = environ[IDENTITY]
    return found
