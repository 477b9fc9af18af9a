"""Who may do what: R-72, users, the audit log, HTTP Basic [W60, T71]."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from crawlkit.libs.rows import ProjectRow
from crawlkit.webui.api import rooms
from crawlkit.webui.api.registry import PREFIX
from tests.webui.access import (
    ME,
    accounts_of,
    filled,
    post_form,
    sign_in,
)
from tests.webui.servers import Client, Running, in_thread

pytestmark = pytest.mark.usefixtures("cheap_passwords")


class TestR72:
    """Who may do what."""

    @pytest.fixture
    def locked(self, users: Running) -> Running:
        assert users.server is not None
        for name, group in (("shop", "lock"), ("news", "")):
            users.server.services.projectdb.put(ProjectRow(name, group=group, script="pass"))
        return users

    def test_r72_every_operation_for_every_role(self, locked: Running) -> None:
        """Each operation, by each role, on a locked and on an open project: let in or 403, as its role says."""
        accounts = accounts_of(locked)
        asked = 0
        for rank, (name, role) in enumerate((("eve", "viewer"), ("bob", "editor"), ("ada", "admin"))):
            _, token = accounts.add_token(ME, name, "x", role)
            client = Client(locked.url, headers={"Authorization": f"Bearer {token}"})
            for room in rooms():
                for one in room.endpoints:
                    needs = ("viewer", "editor", "admin").index(one.role)
                    for project, is_locked in (("shop", True), ("news", False)):
                        if "{project}" not in one.path and is_locked:
                            continue
                        takes = 2 if is_locked and one.method != "GET" and one.role == "editor" else needs
                        if rank >= takes:
                            continue  # what it then does is for the tests of its own room
                        path = filled(one.path, project=project)
                        answer = client.request(one.method, PREFIX + path, {} if one.method != "GET" else None)
                        asked += 1
                        assert answer.status == 403, (role, project, one.method, one.path, answer.status)
                        assert "this needs the role" in answer.json["detail"]
        assert asked > 10

    @pytest.mark.parametrize(("project", "may"), [("shop", ("ada",)), ("news", ("bob", "ada"))])
    def test_r72_also_at_pyspiders_addresses_and_by_webdav(
        self, locked: Running, project: str, may: tuple[str, ...]
    ) -> None:
        """W61, T71: the word lock in a group, and roles, hold wherever a project is changed or run."""
        for name in ("eve", "bob", "ada"):
            client = sign_in(locked, name)
            said = {"X-CSRF-Token": client.csrf}
            forms = (("/update", {"pk": project, "name": "rate", "value": "1/3"}), ("/run", {"project": project}),
                     (f"/debug/{project}/run", {"task": "{}", "script": "pass"}),
                     (f"/debug/{project}/save", {"script": f"# by {name}"}))  # fmt: skip
            for path, fields in forms:
                answer = post_form(client, path, fields, **said)
                assert (answer.status == 403) is (name not in may), (name, path, answer.status)
            _, token = accounts_of(locked).add_token(ME, name, "x", accounts_of(locked).role_of(name))
            basic = base64.b64encode(f"{name}:{token}".encode()).decode()
            answer = Client(locked.url).request(
                "PUT", f"/dav/{project}.py", headers={"Authorization": f"Basic {basic}"}, raw=f"# dav {name}".encode()
            )
            assert (answer.status == 403) is (name not in may), (name, answer.status)
            assert locked.server is not None
            row = locked.server.services.projectdb.get(project)
            assert (name in row.script) is (name in may), row.script

    def test_r72_operations_that_change_need_more_than_a_viewer(self) -> None:
        """But for those of one's own account, and those that only compute."""
        fine = {
            "/account/password",
            "/account/tokens",
            "/account/tokens/{token}",
            "/account/sessions/{session}",
        }
        for room in rooms():
            for one in room.endpoints:
                if one.method != "GET" and one.role == "viewer":
                    assert one.path in fine, (one.method, one.path)

    def test_r72_pages_for_admins(self, users: Running) -> None:
        for name, status in (("eve", 403), ("bob", 403), ("ada", 200)):
            client = sign_in(users, name)
            for path in ("/admin", "/admin/tokens", "/admin/audit"):
                assert client.get(path, Accept="text/html").status == status
            assert ("/admin" in client.get("/account", Accept="text/html").text) is (status == 200)

    def test_r72_a_token_opens_no_further_door(self, users: Running) -> None:
        _, token = accounts_of(users).add_token(ME, "ada", "x", "admin")
        client = Client(users.url, headers={"Authorization": f"Bearer {token}"})
        assert client.api("GET", "/users")["total"] == 3
        for method, path, body in (
            ("POST", "/account/tokens", {"name": "y"}),
            ("DELETE", "/account/tokens/x", None),
            ("DELETE", "/account/sessions/x", None),
            ("PUT", "/account/password", {"old": "password of ada", "new": "another one"}),
        ):
            answer = client.request(method, f"/api/v1{path}", body)
            assert (answer.status, "sign in with name and password" in answer.text) in ((403, True), (404, False)), path
        assert len(accounts_of(users).store.tokens()) == 1
        sign_in(users, "ada")

    def test_r72_nobody_gives_more_than_he_has(self, users: Running) -> None:
        bob = sign_in(users, "bob")
        assert bob.request("POST", "/api/v1/account/tokens", {"name": "x", "role": "admin"}).status == 403
        made = bob.api("POST", "/account/tokens", {"name": "x", "role": "editor"})
        ada = sign_in(users, "ada")
        for who in (sign_in(users, "eve"), ada):
            assert who.request("DELETE", f"/api/v1/account/tokens/{made['item']['id']}").status == 404
        ada.api("DELETE", f"/tokens/{made['item']['id']}")
        assert Client(users.url).get("/api/v1/me", Authorization=f"Bearer {made['token']}").status == 401


class TestUsersAndAudit:
    """What admins do."""

    def test_users(self, users: Running) -> None:
        ada = sign_in(users, "ada")
        ada.api("POST", "/users", {"name": "zoe", "password": "long enough", "role": "editor"})
        assert ada.request("POST", "/api/v1/users", {"name": "zoe", "password": "long enough"}).status == 400
        zoe = sign_in(users, "zoe", "long enough")
        ada.api("PATCH", "/users/zoe", {"role": "viewer"})
        assert zoe.api("GET", "/me")["role"] == "viewer"
        ada.api("PATCH", "/users/zoe", {"password": "longer than enough"})
        assert zoe.get("/api/v1/me").status == 401
        link = ada.api("POST", "/users/zoe/link")["path"]
        answer = Client(users.url).get(link, Accept="text/html")
        assert (answer.status, answer.headers["Location"]) == (303, "/")
        found = ada.api("GET", "/users?text=ZOE")
        assert [(one["name"], one["role"], one["seen"] > 0) for one in found["items"]] == [("zoe", "viewer", True)]
        ada.api("DELETE", "/users/zoe")
        assert ada.request("DELETE", "/api/v1/users/zoe").status == 404
        assert ada.request("DELETE", "/api/v1/users/ada").status == 400

    def test_pages_of_lists(self, users: Running) -> None:
        ada = sign_in(users, "ada")
        seen, cursor = [], ""
        while True:
            page = ada.api("GET", f"/users?limit=2&cursor={cursor}")
            seen += [one["name"] for one in page["items"]]
            cursor = page["next"] or ""
            if not cursor:
                break
        assert (seen, page["total"]) == (["ada", "bob", "eve"], 3)

    def test_the_audit_log_is_filtered_and_paged_on_the_server(self, users: Running) -> None:
        ada = sign_in(users, "ada")
        for number in range(7):
            ada.api("POST", "/account/tokens", {"name": f"token {number}"})
        page = ada.api("GET", "/audit?action=token.&limit=4")
        assert [one["detail"].split("'")[1] for one in page["items"]] == [f"token {n}" for n in (6, 5, 4, 3)]
        page = ada.api("GET", f"/audit?action=token.&limit=4&cursor={page['next']}")
        assert ([one["detail"].split("'")[1] for one in page["items"]], page["next"]) == (
            ["token 2", "token 1", "token 0"],
            None,
        )
        entry = ada.api("GET", "/audit?text=TOKEN%203")["items"][0]
        assert (entry["user"], entry["via"], entry["action"], entry["address"]) == (
            "ada",
            "password",
            "token.add",
            "127.0.0.1",
        )
        assert ada.api("GET", f"/audit?until={entry['time']}&action=token.add")["items"][0]["detail"].endswith(
            "as viewer"
        )

    def test_every_change_by_the_api_is_in_the_log(self, users: Running) -> None:
        """Operations for more than viewers are noted by the API itself, unless they do so themselves.

        What only computes is not: steps of the debugger, proposals of selectors, marks of mistakes.
        """
        computing = {"debugger", "selector", "find_mistakes", "find_mistake_in_task"}  # tags, and names of operations
        quiet = {"add_user", "change_user", "remove_user", "add_token", "remove_token"}
        for room in rooms():
            for one in room.endpoints:
                if (
                    one.method != "GET"
                    and one.role != "viewer"
                    and one.name not in quiet
                    and not {one.tag, one.name} & computing
                ):
                    assert one.audit, (one.method, one.path)
        ada = sign_in(users, "ada")
        ada.api("POST", "/users/eve/link")
        entry = ada.api("GET", "/audit?limit=1")["items"][0]
        assert (entry["user"], entry["action"], entry["detail"]) == ("ada", "users.make_link", "user=eve")


class TestNeedAuth:
    """W60, T71: pyspider's --need-auth, without its hole."""

    def test_t71_need_auth(self, tmp_path: Path) -> None:
        access = {"need_auth": True, "username": "op", "password": "pass word:with colon"}
        with in_thread(tmp_path / "data", access=access) as running:
            client = Client(running.url)
            right = base64.b64encode(b"op:pass word:with colon").decode()
            for said in ("", "Basic", "Basic %%%", "Basic " + base64.b64encode(b"op").decode(),
                         "Basic " + base64.b64encode(b"op:wrong").decode(), "Basic " + base64.b64encode(b":").decode(),
                         f"Bearer {right}", "Digest x"):  # fmt: skip
                answer = client.get("/account", Accept="text/html", **({"Authorization": said} if said else {}))
                assert answer.status == 401, said
                assert said.startswith("Bearer") or answer.headers["WWW-Authenticate"].startswith("Basic realm=")
            answer = client.get("/account", Accept="text/html", Authorization=f"Basic {right}")
            assert answer.status == 200
            made = client.request("POST", "/api/v1/account/tokens", {"name": "x"}, {"Authorization": f"Basic {right}"})
            assert made.status == 201
            foreign = {"Authorization": f"Basic {right}", "Origin": "https://evil.example"}
            assert client.request("POST", "/api/v1/account/tokens", {"name": "x"}, foreign).status == 403

    def test_basic_is_taken_but_not_asked_for(self, users: Running) -> None:
        said = {"Authorization": "Basic " + base64.b64encode(b"eve:password of eve").decode()}
        client = Client(users.url)
        assert client.get("/api/v1/me", **said).json["via"] == "basic"
        assert client.get("/api/v1/users", **said).status == 403
        wrong = {"Authorization": "Basic " + base64.b64encode(b"eve:wrong").decode()}
        assert client.get("/api/v1/me", **wrong).status == 401
        assert client.get("/api/v1/me").headers["WWW-Authenticate"].startswith("Bearer")
        assert client.get("/dav/").headers["WWW-Authenticate"].startswith("Basic")
        assert sign_in(users, "ada").get("/api/v1/me", **wrong).json["user"] == "ada"  # a proxy's own password

    def test_webdav_takes_a_token_as_password(self, users: Running) -> None:
        _, token = accounts_of(users).add_token(ME, "bob", "x", "editor")
        said = base64.b64encode(f"whoever:{token}".encode()).decode()
        assert Client(users.url).get("/dav/", Authorization=f"Basic {said}").status != 401
        said = base64.b64encode(f"bob:{token}x".encode()).decode()
        assert Client(users.url).get("/dav/", Authorization=f"Basic {said}").status == 401
