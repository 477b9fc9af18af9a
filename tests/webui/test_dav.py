"""W63: scripts as files over WebDAV, behind the same gate."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest

from crawlkit.webui.gate import Identity
from tests.webui.servers import Answer, Client, Running

LOCK_BODY = (
    '<?xml version="1.0"?><lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope>'
    "<locktype><write/></locktype></lockinfo>"
)
SCRIPT = "from crawlkit import BaseHandler\n\n\nclass Handler(BaseHandler):\n    pass\n"


@pytest.fixture
def dav(client: Client) -> Any:
    """Requests below /dav; a text is sent as a body."""
    pytest.importorskip("wsgidav")

    def ask(method: str, path: str, body: str | bytes | None = None, **headers: str) -> Answer:
        raw = body.encode() if isinstance(body, str) else body
        return client.request(method, f"/dav{path}", raw=raw, headers=headers)

    return ask


def test_put_get_list(dav: Any, client: Client) -> None:
    assert dav("PUT", "/shop.py", SCRIPT).status == 201
    found = dav("GET", "/shop.py")
    assert (found.status, found.text) == (200, SCRIPT)
    assert dav("PUT", "/shop.py", SCRIPT + "# more\n").status == 204
    listed = dav("PROPFIND", "/", Depth="1")
    assert listed.status == 207
    assert re.findall(r"<[^>]*href>([^<]+)<", listed.text) == ["/dav/", "/dav/shop.py"]
    versions = client.api("GET", "/projects/shop/versions")["items"]
    assert [(one["author"], one["message"]) for one in versions] == [("local", "by WebDAV")] * 2


def test_an_old_version_is_not_written_over(dav: Any) -> None:
    dav("PUT", "/shop.py", SCRIPT)
    etag = dav("GET", "/shop.py").headers["ETag"]
    dav("PUT", "/shop.py", SCRIPT + "# of somebody else\n")
    refused = dav("PUT", "/shop.py", SCRIPT + "# mine\n", **{"If-Match": etag})
    assert refused.status == 412
    assert dav("GET", "/shop.py").text.endswith("somebody else\n")


@pytest.mark.parametrize("name", ["shop.txt", "._shop.py", "a-b.py", "a" * 65 + ".py", "%2e%2e%2fx.py", "x%00.py"])
def test_odd_names_are_refused_in_words(name: str, dav: Any, client: Client) -> None:
    """R-66"""
    answer = dav("PUT", f"/{name}", SCRIPT)
    assert answer.status in (400, 403, 404, 409), answer.text
    assert "<b>" not in name
    assert client.api("GET", "/me")
    assert len(re.findall(r"href>", dav("PROPFIND", "/", Depth="1").text)) == 2  # the folder alone


def test_what_is_no_text_is_refused(dav: Any) -> None:
    answer = dav("PUT", "/shop.py", b"\xff\xfe\x00")
    assert answer.status == 400
    assert "UTF-8" in answer.text
    assert dav("GET", "/shop.py").status == 404


def test_nothing_is_deleted_or_moved(dav: Any) -> None:
    dav("PUT", "/shop.py", SCRIPT)
    assert dav("DELETE", "/shop.py").status == 403
    assert dav("MOVE", "/shop.py", Destination="/dav/other.py").status >= 400
    assert dav("MKCOL", "/folder").status == 403
    assert dav("GET", "/shop.py").text == SCRIPT


def test_locks_of_editors(dav: Any) -> None:
    dav("PUT", "/shop.py", SCRIPT)
    locked = dav("LOCK", "/shop.py", LOCK_BODY, **{"Content-Type": "application/xml", "Timeout": "Infinite"})
    assert locked.status == 200
    assert "Second-600" in locked.text or "Second-599" in locked.text
    assert dav("PUT", "/shop.py", "# not mine\n").status == 423
    token = locked.headers["Lock-Token"]
    assert dav("PUT", "/shop.py", "# mine\n", If=f"({token})").status == 204
    assert dav("UNLOCK", "/shop.py", **{"Lock-Token": token}).status == 204


def test_entities_in_xml_are_refused(dav: Any) -> None:
    """R-67 for WebDAV: no entity is expanded, no file is read."""
    bomb = (
        '<?xml version="1.0"?><!DOCTYPE p [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY f SYSTEM '
        '"file:///etc/passwd">]><propfind xmlns="DAV:"><prop><x>&b;&f;</x></prop></propfind>'
    )
    answer = dav("PROPFIND", "/", bomb, Depth="0")
    assert "root:" not in answer.text
    assert answer.status == 400


def test_roles_and_locked_groups(dav: Any, server: Running, client: Client) -> None:
    """R-72, W61"""
    assert server.server is not None
    dav("PUT", "/shop.py", SCRIPT)
    accounts = server.server.services.extra["accounts"]
    for role in ("admin", "viewer", "editor"):
        accounts.add_user(Identity("local", "admin", "link"), role, f"secret words {role}", role)

    def put(role: str) -> int:
        key = base64.b64encode(f"{role}:secret words {role}".encode()).decode()
        stranger = Client(server.url, headers={"Authorization": f"Basic {key}"})
        return stranger.request("PUT", "/dav/shop.py", raw=b"# changed\n").status

    assert put("viewer") == 403
    assert put("editor") == 204
    assert Client(server.url).request("GET", "/dav/shop.py").status == 401
    row = server.server.services.projectdb.get("shop")
    assert row is not None
    row.group = "lock"
    server.server.services.projectdb.put(row)
    assert put("editor") == 403
    key = base64.b64encode(b"editor:secret words editor").decode()
    editor = Client(server.url, headers={"Authorization": f"Basic {key}", "Content-Type": "application/xml"})
    assert editor.request("LOCK", "/dav/shop.py", raw=LOCK_BODY.encode()).status == 403
