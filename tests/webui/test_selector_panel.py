"""The preview and the selector helper in a real browser, as the debugger's page has them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.webui.crawled import Site, fetch, site
from tests.webui.servers import Client, Running, in_thread, until

PAGE = """<!doctype html><html><head><title>Shelf</title><style>.price { color: rgb(1, 2, 3) }</style></head><body>
<header><h1 class="shop-name">Corner Shop</h1></header>
<ul class="products">
  <li class="product"><h2><a href="/lamp">Lamp</a></h2><p class="price">10.50</p><img src="/lamp.png" alt="a lamp"></li>
  <li class="product"><h2><a href="/vase">Vase</a></h2><p class="price">7.00</p><img src="/vase.png" alt="a vase"></li>
  <li class="product"><h2><a href="/clock">Clock</a></h2><p class="price">99.00</p><img src="/c.png" alt="a clock"></li>
</ul><p>Not a <b>product</b></p></body></html>"""
# The panel as the debugger's page mounts it, on another page of the same server
MOUNT = """async ([project, page]) => {
  const link = Object.assign(document.createElement("link"), { rel: "stylesheet", href: "/static/css/selector.css" });
  document.head.append(link);
  const box = document.createElement("div");
  box.id = "helper";
  box.style.height = "720px";
  box.style.display = "flex";
  box.style.width = "100%";
  document.querySelector("main").style.display = "none";
  document.body.append(box);
  window.inserted = [];
  const { mountSelectorPanel } = await import("/static/js/selector_panel.js");
  window.panel = mountSelectorPanel(box, { project, page, response: {}, insert: (text) => window.inserted.push(text) });
}"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One web UI for all tests here."""
    with in_thread(tmp_path_factory.mktemp("helper") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Running) -> Client:
    return server.client()


@pytest.fixture
def crawled() -> Iterator[Site]:
    with site() as made:
        yield made


def expect(locator: Any) -> Any:
    """Waits until what is asserted is so."""
    from playwright.sync_api import expect as expects

    return expects(locator)


def mounted(page: Any, client: Client, url: str) -> Any:
    """The panel on a page, and its frame."""
    fetched = fetch(client, url)
    page.goto(f"{client.url}/account")
    page.evaluate(MOUNT, ["shop", fetched])
    page.wait_for_selector(".selector-frame")
    frame = page.frame_locator(".selector-frame")
    frame.locator("[data-ck]").first.wait_for(state="attached")
    expect(page.get_by_role("button", name="Pick an element")).to_be_enabled()
    return frame


def picking(page: Any) -> None:
    page.get_by_role("button", name="Pick an element").click()


def value(page: Any) -> str:
    return str(page.locator(".selector-query input").input_value())


def counted(page: Any, text: str) -> None:
    page.locator(".selector-count", has_text=text).wait_for()


def test_W45_a_click_proposes_a_second_one_generalises_and_it_is_inserted(
    new_page: Any, server: Running, client: Client, crawled: Site
) -> None:
    page = new_page(server)
    frame = mounted(page, client, crawled.put("/", PAGE))
    picking(page)
    frame.locator(".price").nth(0).click()
    counted(page, "1 element")
    assert page.locator(".selector-values li").all_inner_texts() == ["10.50"]
    frame.locator(".price").nth(1).click()
    counted(page, "3 elements")
    assert value(page) == ".price"
    assert page.locator(".selector-values li").all_inner_texts() == ["10.50", "7.00", "99.00"]
    assert frame.locator("[data-ck-match]").count() == 1
    assert frame.locator("[data-ck-picked]").count() == 2
    page.get_by_role("button", name="Insert").click()
    assert page.evaluate("window.inserted") == ['response.css(".price::text").getall()']


def test_W45_the_selector_is_changed_by_hand_and_by_its_parts_and_counted_live(
    new_page: Any, server: Running, client: Client, crawled: Site
) -> None:
    page = new_page(server)
    frame = mounted(page, client, crawled.put("/", PAGE))
    picking(page)
    frame.get_by_role("link", name="Lamp").click()
    counted(page, "1 element")
    page.locator(".selector-query input").fill("li a::attr(href)")
    counted(page, "3 elements")
    assert page.locator(".selector-values li").all_inner_texts() == ["/lamp", "/vase", "/clock"]
    assert page.locator(".selector-code").inner_text() == 'response.css("li a::attr(href)").getall()'
    page.locator(".selector-query input").fill("li >")
    page.locator(".selector-problem").wait_for()
    assert "not a CSS selector" in page.locator(".selector-problem").inner_text()
    page.locator(".selector-query input").fill("h2")
    counted(page, "3 elements")
    page.get_by_role("button", name=".products", exact=True).click()  # a part of the path
    expect(page.locator(".selector-query input")).to_have_value(re.compile(r"\.products"))
    assert page.locator(".selector-problem").is_hidden()


def test_the_keyboard_walks_the_tree_picks_and_ends(
    new_page: Any, server: Running, client: Client, crawled: Site
) -> None:
    page = new_page(server)
    frame = mounted(page, client, crawled.put("/", PAGE))
    button = page.get_by_role("button", name="Pick an element")
    button.focus()
    page.keyboard.press("Enter")
    frame.locator("ck-chip:not([hidden])").wait_for(state="attached")
    for _ in range(12):  # up to the root, then down to the shop's name
        page.keyboard.press("ArrowUp")
    for key in ("ArrowDown", "ArrowDown", "ArrowDown"):
        page.keyboard.press(key)
    assert frame.locator("ck-chip").inner_text() == "h1.shop-name"
    page.keyboard.press("Enter")
    counted(page, "1 element")
    assert value(page) == "h1"
    page.keyboard.press("Escape")
    expect(button).to_be_focused()
    assert button.get_attribute("aria-pressed") == "false"
    page.get_by_role("button", name="Insert").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("window.inserted") == ['response.css("h1::text").get()']


def test_images_and_styles_of_the_site_are_loaded_only_when_asked_for(
    new_page: Any, server: Running, client: Client, crawled: Site
) -> None:
    crawled.put("/lamp.png", b"\x89PNG\r\n\x1a\n", "image/png")
    crawled.put("/site.css", "h1 { color: rgb(9, 8, 7) }", "text/css")
    url = crawled.put("/", PAGE.replace("<style>", '<link rel="stylesheet" href="/site.css"><style>'))
    page = new_page(server, watch=False)
    frame = mounted(page, client, url)
    assert frame.locator(".price").first.evaluate("node => getComputedStyle(node).color") == "rgb(1, 2, 3)"
    assert [path for path, _ in crawled.asked] == ["/"]
    page.get_by_label("Images and styles of the site").check()
    frame.locator("h1[data-ck]").wait_for()
    frame.locator('img[src$="/lamp.png"]').wait_for(state="attached")
    assert frame.locator("h1").evaluate("node => getComputedStyle(node).color") == "rgb(9, 8, 7)"
    until(lambda: {path for path, _ in crawled.asked} >= {"/lamp.png", "/site.css"}, what="both are asked for")
    assert not any(cookie for _, cookie in crawled.asked)


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_the_helper_is_accessible_and_fits_a_phone(
    new_page: Any, server: Running, client: Client, crawled: Site, width: int, dark: bool
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = new_page(server, width=width, dark=dark)
    frame = mounted(page, client, crawled.put("/", PAGE))
    picking(page)
    frame.locator("h2 a").nth(0).click()
    counted(page, "1 element")
    options = {"include": [["#helper"]], "exclude": [["iframe"]]}
    found = Axe().run(page, context=options).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")] == []
    assert page.evaluate("document.getElementById('helper').scrollWidth <= innerWidth")


def test_R59_naughty_texts_of_a_page_are_texts_in_the_helper(
    new_page: Any, server: Running, client: Client, crawled: Site
) -> None:
    naughty = "&lt;img src=x onerror=alert(1)&gt;\"'`{{7*7}}${1}"
    html = f"""<div id='x"&gt;&lt;img src=y onerror=alert(1)&gt;' class='&lt;b&gt;a&lt;/b&gt;' data-x='"&gt;&lt;i&gt;'>
    <p class="good">{naughty}</p><p class="good">{naughty}</p></div>"""
    page = new_page(server)
    frame = mounted(page, client, crawled.put("/", html))
    picking(page)
    frame.locator(".good").nth(0).click()
    frame.locator(".good").nth(1).click()
    counted(page, "2 elements")
    assert page.locator(".selector-values li").first.inner_text() == "<img src=x onerror=alert(1)>\"'`{{7*7}}${1}"
    assert page.locator("#helper img, #helper script").count() == 0
    page.locator(".selector-query input").fill("p:contains('<img onerror=alert(1)>')")
    counted(page, "0 elements")


def test_a_page_that_is_gone_or_no_html_says_so(new_page: Any, server: Running, client: Client, crawled: Site) -> None:
    page = new_page(server, watch=False)  # the browser's console says 404
    page.goto(f"{client.url}/account")
    page.evaluate(MOUNT, ["shop", "nosuch"])
    expect(page.locator(".selector-notes")).to_contain_text("fetch it again")
    page.goto(f"{client.url}/account")
    page.evaluate(MOUNT, ["shop", fetch(client, crawled.put("/a.zip", b"PK\x03\x04\0\0", "application/zip"))])
    expect(page.locator(".selector-notes")).to_contain_text("6 bytes that is no text")
    expect(page.get_by_role("button", name="Pick an element")).to_be_disabled()
