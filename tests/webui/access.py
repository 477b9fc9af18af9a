"""What the tests of access share: signing in, bytes as they stand, every route there is."""

from __future__ import annotations

import http.client
import re
import socket
from collections.abc import Iterator
from urllib.parse import quote, urlsplit

from crawlkit import wiring
from crawlkit.settings import Settings
from crawlkit.webui.accounts import Accounts
from crawlkit.webui.api import rooms
from crawlkit.webui.api.registry import PREFIX
from crawlkit.webui.app import create_app
from crawlkit.webui.gate import Identity
from tests.webui.servers import Answer, Client, Running

ME = Identity("root", "admin", "command")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
FILLED = {"project": "shop", "taskid": "a" * 32, "version": "0" * 32, "format": "json", "language": "en"}


def accounts_of(running: Running) -> Accounts:
    assert running.server is not None
    return running.server.gatekeeper.accounts


def sign_in(running: Running, name: str, password: str = "", cookie: str = "", **headers: str) -> Client:
    """A client that has signed in by the form."""
    client = Client(running.url, cookie)
    answer = post_form(client, "/login", {"name": name, "password": password or f"password of {name}"}, **headers)
    assert answer.status == 303, answer.text
    client.cookie = answer.headers.get_all("Set-Cookie")[0].partition(";")[0]
    page = client.get("/account", Accept="text/html")
    found = re.search(r'<meta name="csrf" content="([^"]+)"', page.text)
    assert found is not None
    client.csrf = found[1]
    return client


def post_form(client: Client, path: str, fields: dict[str, str], **headers: str) -> Answer:
    raw = "&".join(f"{name}={quote(value)}" for name, value in fields.items()).encode()
    said = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "text/html", **headers}
    return client.request("POST", path, headers=said, raw=raw)


def raw_request(running: Running, head: str, body: bytes = b"", seconds: float = 10) -> str:
    """The answer to bytes as they stand; for what no client would send."""
    parts = urlsplit(running.url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=seconds) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n" + body)
        found = b""
        while b"\r\n\r\n" not in found:
            piece = connection.recv(65536)
            if not piece:
                break
            found += piece
    return found.decode("latin-1")


class Asker:
    """Asks many things over one connection."""

    def __init__(self, running: Running) -> None:
        parts = urlsplit(running.url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)

    def status(self, method: str, path: str, headers: dict[str, str]) -> int:
        self._connection.request(method, path, headers={"Accept": "application/json", **headers})
        answer = self._connection.getresponse()
        answer.read()
        return answer.status

    def close(self) -> None:
        self._connection.close()


def filled(path: str, **names: str) -> str:
    """A path of the API with its parameters filled in."""
    return re.sub(r"\{(\w+)\}", lambda match: {**FILLED, **names}.get(match[1], "x"), path)


def routes(running: Running) -> Iterator[tuple[str, str]]:
    """(path, methods) of every rule of Flask and every handler of Tornado's, parameters filled in."""
    assert running.server is not None
    app = create_app(running.server.services)
    for rule in app.url_map.iter_rules():
        yield re.sub(r"<(?:\w+:)?(\w+)>", lambda match: FILLED.get(match[1], "x"), rule.rule), str(rule.methods)
    for room in rooms():
        for live in room.lives:
            yield f"{PREFIX}/live/{live.topic}", "GET"
        for one in room.streams:
            yield PREFIX + re.sub(r"\{(\w+)\}", lambda match: FILLED.get(match[1], "x"), one.path), "GET"
    yield from (("/dav", "PROPFIND"), ("/dav/shop.py", "PUT"), ("/nothing", "GET"), ("/static/js/dom.js", "GET"))


def add_users(running: Running) -> Running:
    """An admin, an editor and a viewer."""
    settings = Settings(data_path=running.data_path)
    with wiring.open_stores(settings, ()) as stores:
        accounts = running.server.gatekeeper.accounts if running.server else wiring.accounts(settings, stores)
        for name, role in (("ada", "admin"), ("bob", "editor"), ("eve", "viewer")):
            accounts.add_user(ME, name, f"password of {name}", role)
    return running
