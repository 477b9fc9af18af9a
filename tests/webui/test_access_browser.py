"""R-57 and the pages about accounts in a real Chromium."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from crawlkit.libs.rows import ProjectRow
from tests.webui.access import ME, accounts_of
from tests.webui.servers import Running, until

EVIL = """<!doctype html><title>evil</title>
<img id="image" src="{target}/logout">
<script src="{target}/api/v1/account/tokens"></script>
<form id="form" method="post" action="{target}/api/v1/account/tokens" enctype="text/plain" target="there">
<input name='{{"name": "stolen", "x": "' value='"}}'></form>
<form id="logout" method="post" action="{target}/logout" target="there"></form>
<form id="login" method="post" action="{target}/login" target="there"><input name="name" value="eve">
<input name="password" value="password of eve"></form>
<iframe name="there"></iframe>
<script>
const said = [];
const note = (what) => (answer) => said.push(`${{what}}: ${{answer.type ?? ""}} ${{answer.status ?? answer.name}}`);
const body = '{{"name": "stolen"}}';
const url = "{target}/api/v1/account/tokens";
async function attack() {{
  const tries = [
    ["no-cors text", {{mode: "no-cors", headers: {{"Content-Type": "text/plain"}}}}],
    ["json", {{headers: {{"Content-Type": "application/json"}}}}],
    ["with a token", {{headers: {{"Content-Type": "application/json", "X-CSRF-Token": "x"}}}}],
  ];
  for (const [what, more] of tries)
    await fetch(url, {{method: "POST", credentials: "include", body, ...more}}).then(note(what), note(what));
  await fetch("{target}/api/v1/me", {{credentials: "include"}}).then(note("read"), note("read"));
  await fetch("{target}/api/v1/projects/shop", {{method: "DELETE", credentials: "include"}})
    .then(note("delete"), note("delete"));
  navigator.sendBeacon(url, new Blob([body], {{type: "text/plain"}}));
  for (const id of ["form", "logout", "login"]) {{
    const frame = document.querySelector("iframe");
    const loaded = new Promise((resolve) => frame.addEventListener("load", resolve, {{once: true}}));
    document.getElementById(id).submit();
    await Promise.race([loaded, new Promise((resolve) => setTimeout(resolve, 3000))]);
  }}
  try {{
    said.push("frame: " + frames[0].document.body.textContent.slice(0, 50));
  }} catch (error) {{
    said.push("frame: " + error.name);
  }}
  return said;
}}
</script>
"""


pytestmark = pytest.mark.usefixtures("cheap_passwords")


@pytest.fixture
def evil(server: Running) -> Iterator[str]:
    """Another site, whose page does all it can to the web UI."""
    page = EVIL.format(target=server.url).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *said: Any) -> None:
            pass

    served = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=served.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f":{served.server_port}/"
    served.shutdown()
    thread.join()
    served.server_close()


def sign_in(page: Any, running: Running, name: str) -> None:
    page.goto(f"{running.url}/account")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(f"password of {name}")
    page.keyboard.press("Enter")
    page.wait_for_selector("#sessions li")


@pytest.mark.parametrize("site", ["http://127.0.0.1", "http://localhost"])
def test_r57_another_site_can_do_nothing(users: Running, evil: str, new_page: Any, site: str) -> None:
    """From another port of the same host, which is the same site for cookies, and from another site."""
    assert users.server is not None
    users.server.services.projectdb.put(ProjectRow("shop", script="pass"))
    page = new_page(users, enter=False, watch=False)
    sign_in(page, users, "ada")
    before = [row.digest for row in accounts_of(users).store.sessions("ada")]
    entries = len(accounts_of(users).store.audit())
    other = page.context.new_page()
    other.goto(site + evil)
    said = other.evaluate("attack()")
    assert len(said) == 6, said
    for line in said[1:5]:
        assert "TypeError" in line, said  # nothing could be read
    assert said[0] in ("no-cors text: opaque 0", "no-cors text:  TypeError"), said
    assert "SecurityError" in said[5], said
    store = accounts_of(users).store
    assert store.tokens() == []
    assert users.server.services.projectdb.get("shop") is not None
    assert [row.digest for row in store.sessions("ada")] == before
    assert store.sessions("eve") == []
    assert len(store.audit()) == entries
    page.reload()
    page.wait_for_selector("#sessions li")


def test_the_ten_minutes_begin_with_a_link(server: Running, new_page: Any) -> None:
    page = new_page(server, enter=False)
    page.goto(server.url)
    assert page.get_by_role("heading", name="Sign in").is_visible()
    assert "crawlkit user link" in page.content()
    page.goto(server.link)
    page.wait_for_selector("header.topbar")
    assert page.evaluate("location.search") == ""


def test_signing_in_by_keyboard_and_out(users: Running, new_page: Any) -> None:
    page = new_page(users, enter=False, watch=False)
    page.goto(f"{users.url}/account")
    assert page.evaluate("document.activeElement.name") == "name"
    page.keyboard.type("ada")
    page.keyboard.press("Tab")
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    page.get_by_role("alert").wait_for()
    assert page.evaluate("[document.activeElement.name, document.forms[0].elements.name.value]") == ["password", "ada"]
    page.keyboard.type("password of ada")
    page.keyboard.press("Enter")
    page.wait_for_selector("#sessions li")
    assert page.url == f"{users.url}/account"
    assert page.evaluate("document.cookie") == ""
    page.get_by_role("button", name="Sign out").first.click()
    page.wait_for_url("**/login")
    page.goto(f"{users.url}/account")
    assert "/login?next=%2Faccount" in page.url


def test_who_signs_in_anew_in_another_tab_goes_on_in_the_first(users: Running, new_page: Any) -> None:
    page = new_page(users, enter=False, watch=False)
    sign_in(page, users, "ada")
    store = accounts_of(users).store
    for row in store.sessions("ada"):
        store.remove_session(row.digest)
    page.get_by_role("button", name="New token").click()
    page.get_by_label("What it is for").fill("not lost")
    page.get_by_role("button", name="Make it").click()
    page.get_by_role("alert").get_by_text("You are signed out.").wait_for()
    other = page.context.new_page()
    sign_in(other, users, "ada")
    page.get_by_role("button", name="Make it").click()
    page.locator("dialog .secret code").wait_for()
    assert [row.name for row in store.tokens()] == ["not lost"]


def test_a_token_is_shown_once_and_works(users: Running, new_page: Any) -> None:
    page = new_page(users, enter=False)
    sign_in(page, users, "bob")
    page.get_by_role("button", name="New token").click()
    assert page.locator("dialog select[name=role] option").all_text_contents() == ["viewer", "editor"]
    page.get_by_label("What it is for").fill("deploy <b>")
    page.locator("dialog select[name=role]").select_option("editor")
    page.get_by_role("button", name="Make it").click()
    token = page.locator("dialog .secret code").text_content()
    assert accounts_of(users).who_bears(token).role == "editor"
    page.get_by_role("button", name="Close").click()
    row = page.locator("#tokens tbody tr")
    row.wait_for()
    assert "deploy <b>" in row.text_content()
    assert token.split("_", 2)[2] not in page.content()
    row.get_by_role("button", name="Remove").click()
    page.locator("dialog button.danger").click()
    page.get_by_text("No tokens yet.").wait_for()
    assert accounts_of(users).who_bears(token) is None


def test_changing_ones_password(users: Running, new_page: Any) -> None:
    page, other = new_page(users, enter=False), new_page(users, enter=False, watch=False)
    sign_in(page, users, "eve")
    sign_in(other, users, "eve")
    page.get_by_label("Old password").fill("password of eve")
    page.get_by_label("New password").fill("another password")
    page.get_by_role("button", name="Change the password").click()
    page.get_by_text("The password is changed").wait_for()
    until(lambda: page.locator("#sessions li").count() == 1, what="the list of sessions")
    other.goto(f"{users.url}/account")
    assert "/login" in other.url


def test_admins_manage_users(users: Running, new_page: Any) -> None:
    page = new_page(users, enter=False)
    sign_in(page, users, "ada")
    page.goto(f"{users.url}/admin")
    page.get_by_role("button", name="New user").click()
    page.get_by_label("Name", exact=True).fill("zoe")
    page.locator("dialog [name=password]").fill("long enough")
    page.locator("dialog select").select_option("editor")
    page.locator("dialog button[type=submit]").click()
    row = page.locator("tr", has_text="zoe")
    row.wait_for()
    row.get_by_label("zoe: Role").select_option("viewer")
    page.get_by_text("zoe is viewer now.").wait_for()
    assert accounts_of(users).store.user("zoe").role == "viewer"
    page.get_by_role("button", name="Undo").click()
    until(lambda: accounts_of(users).store.user("zoe").role == "editor", what="the role of before")
    row.get_by_role("button", name="Login link").click()
    link = page.locator("dialog .secret code").text_content()
    page.get_by_role("button", name="Close").last.click()
    guest = new_page(users, enter=False)
    guest.goto(link)
    guest.wait_for_selector("header.topbar")
    assert guest.locator(".who").text_content() == "zoe"
    row.get_by_role("button", name="Remove").click()
    page.locator("dialog input").fill("zoe")
    page.locator("dialog button.danger").click()
    until(lambda: accounts_of(users).store.user("zoe") is None, what="the removal")
    page.goto(f"{users.url}/admin/audit")
    page.get_by_label("What").fill("user.")
    until(lambda: page.locator("#audit tbody tr").count() == 7, what="the filtered log")
    page.get_by_label("Search").fill("editor -> viewer")
    until(lambda: page.locator("#audit tbody tr").count() == 1, what="the one entry")
    assert "zoe: editor -> viewer" in page.locator("#audit tbody").text_content()


@pytest.mark.parametrize(
    ("width", "dark"),
    [
        (1280, False),
        (390, True),
        *(pytest.param(*look, marks=pytest.mark.slow) for look in ((1280, True), (390, False))),
    ],
)
def test_axe_finds_nothing(users: Running, new_page: Any, width: int, dark: bool) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    accounts_of(users).add_token(ME, "ada", "laptop", "admin", 30)
    page = new_page(users, width=width, dark=dark, enter=False)

    def check(state: str) -> None:
        found = axe.run(page).response["violations"]
        bad = [
            (one["id"], [node["html"] for node in one["nodes"]])
            for one in found
            if one["impact"] in ("serious", "critical")
        ]
        assert not bad, (state, bad)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), state

    page.goto(f"{users.url}/login?link=old")
    check("login")
    page.goto(users.link)
    for path, table in (
        ("/account", "tokens"),
        ("/admin", "users"),
        ("/admin/tokens", "tokens"),
        ("/admin/audit", "audit"),
    ):
        page.goto(users.url + path)
        page.wait_for_selector(f"#{table} tbody tr")
        check(path)
    page.goto(f"{users.url}/admin")
    page.get_by_role("button", name="New user").click()
    check("a dialog")
