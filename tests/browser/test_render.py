"""One job in one context: every argument against a page that is made for it [H51, T39]."""

from __future__ import annotations

import base64
import json

from crawlkit.libs.browse import Browse
from tests.browser.rig import Asked, Rig, Site

AJAX = """<!doctype html><title>t</title><p id=out>waiting</p><script>
fetch("/data").then(r => r.json()).then(d => { document.querySelector("#out").textContent = d.word; })
</script>"""


def test_T39_an_ajax_page_shows_what_it_fetched(rig: Rig, site: Site) -> None:
    site.page("/data", json.dumps({"word": "done"}), Content_Type="application/json")
    reply = rig.render(site.page("/", AJAX, Set_Cookie="a=b"))
    assert (reply.status_code, reply.error, reply.url) == (200, None, site.url("/"))
    assert '<p id="out">done</p>' in reply.content
    assert reply.content.startswith("<!DOCTYPE html><html>")
    assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
    assert reply.cookies == {"a": "b"}
    assert reply.counts["requests"] == 2
    assert rig.contexts() == 0


def test_F31_the_status_of_the_page_is_the_reply_s(rig: Rig, site: Site) -> None:
    reply = rig.render(site.page("/", "<p>gone", status=410, X_Word="w"))
    assert (reply.status_code, reply.error, reply.headers["X-Word"]) == (410, None, "w")
    assert "<p>gone</p>" in reply.content


def test_bytes_that_are_no_page_come_as_they_are(rig: Rig, site: Site) -> None:
    reply = rig.render(site.page("/", b'{"a": "\xe4"}', Content_Type="application/json; charset=latin-1"))
    assert base64.b64decode(reply.content_base64 or "") == b'{"a": "\xe4"}'
    assert reply.headers["Content-Type"] == "application/json; charset=latin-1"
    assert reply.content == ""


def test_T39_a_script_clicks_and_returns_a_value(rig: Rig, site: Site) -> None:
    page = site.page("/", "<button onclick=\"document.title='clicked'\">x</button>")
    reply = rig.render(
        page, js_script="function() { document.querySelector('button').click(); return document.title; }"
    )
    assert reply.js_script_result == "clicked"
    assert "<title>clicked</title>" in reply.content


def test_redirects_are_followed_and_told(rig: Rig, site: Site) -> None:
    site.page("/b", "<p>there")
    reply = rig.render(site.on("/a", lambda asked: asked.redirect("/b")))
    assert (reply.url, reply.history) == (site.url("/b"), [(302, site.url("/a"))])


def test_T39_a_page_that_never_comes_is_a_timeout(rig: Rig, site: Site) -> None:
    async def never(asked: Asked) -> None:
        import asyncio

        await asyncio.sleep(30)

    reply = rig.render(site.on("/", never), timeout=1)
    assert (reply.status_code, reply.error_kind, reply.js_script_result) == (599, "timeout", None)
    assert reply.time < 2.5


def test_screenshot_pdf_and_xhr_come_along(rig: Rig, site: Site) -> None:
    site.page("/data", json.dumps({"word": "done"}), Content_Type="application/json")
    wish = Browse(screenshot={"of": "full", "type": "png"}, pdf={"format": "A4"}, xhr=["*/data"])
    reply = rig.render(site.page("/", AJAX), browser=wish)
    assert base64.b64decode(reply.attachments["screenshot"].content_base64).startswith(b"\x89PNG")
    assert base64.b64decode(reply.attachments["pdf"].content_base64).startswith(b"%PDF")
    [answer] = reply.xhr
    assert (answer["url"], answer["status"], json.loads(answer["body"])) == (site.url("/data"), 200, {"word": "done"})
