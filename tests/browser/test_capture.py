"""What comes beside a page: pictures, PDF, XHR answers, downloads, the state of a session."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest

from crawlkit.browser import relay
from crawlkit.libs.browse import Browse
from crawlkit.libs.browser_job import Job, Reply
from tests.browser.rig import Asked, Rig, Site
from tests.servers import free_port

TALL = """<style>body { margin: 0 } div { height: 3000px; width: 100px } p { width: 50px; height: 20px }</style>
<div>x</div><p id=p>y"""


def picture(reply: Reply) -> bytes:
    return base64.b64decode(reply.attachments["screenshot"].content_base64)


def size(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def test_a_picture_of_window_page_or_element(rig: Rig, site: Site) -> None:
    page = site.page("/", TALL)
    window = {"js_viewport_width": 300, "js_viewport_height": 200}
    assert size(picture(rig.render(page, browser=Browse(screenshot={"of": "page"}), **window))) == (300, 200)
    width, height = size(picture(rig.render(page, browser=Browse(screenshot={"of": "full"}), **window)))
    assert (width, height > 3000) == (300, True)
    assert size(picture(rig.render(page, browser=Browse(screenshot={"of": "#p"}), **window))) == (50, 20)
    reply = rig.render(page, browser=Browse(screenshot={"of": "page", "type": "jpeg", "quality": 30}), **window)
    assert picture(reply).startswith(b"\xff\xd8")
    assert reply.attachments["screenshot"].content_type == "image/jpeg"


def test_pictures_have_their_limits(rig: Rig, site: Site) -> None:
    page = site.page("/", TALL)  # it is scrolled through for a picture of it all: a higher one takes longer
    window: dict[str, Any] = {"js_viewport_width": 300, "js_viewport_height": 200, "settings": {"max_pixels": 90_000}}
    assert size(picture(rig.render(page, browser=Browse(screenshot={"of": "full"}), **window))) == (300, 300)
    reply = rig.render(page, browser=Browse(screenshot={"of": "body"}), **window)
    assert reply.error_kind == "too_large"
    reply = rig.render(page, browser=Browse(screenshot={"of": "#none"}), settings={"action_within": 0.3})
    assert (reply.error_kind, reply.error) == ("timeout", "screenshot: '#none' did not come within 0.3 seconds")
    assert reply.console == [f"crawlkit: {reply.error}"]
    reply = rig.render(page, browser=Browse(screenshot={"of": "#none"}), timeout=1)
    assert reply.error == "the page was not ready within 1 seconds; it was at screenshot: '#none'"


def test_a_pdf_has_its_limits_too(rig: Rig, site: Site) -> None:
    page = site.page("/", "<div style='break-after:page'>x</div>" * 20)
    reply = rig.render(page, browser=Browse(pdf={"format": "A5", "landscape": True}), settings={"max_pdf_pages": 3})
    printed = base64.b64decode(reply.attachments["pdf"].content_base64)
    assert printed.startswith(b"%PDF")
    assert b"/Count 3" in printed
    reply = rig.render(page, browser=Browse(pdf={"format": "A5"}), settings={"max_attachment": 100})
    assert reply.error_kind == "too_large"


XHR = """<script>
const ask = async () => {
  await fetch('/api/list?page=1');
  await fetch('/api/items', {method: 'POST', body: 'q'});
  await new Promise(done => { const x = new XMLHttpRequest(); x.open('GET', '/api/text'); x.onload = done; x.send() });
  await fetch('/api/bytes');
  await fetch('/other');
  document.title = 'done';
};
ask();
</script>"""


def test_xhr_answers_that_were_asked_for(rig: Rig, site: Site) -> None:
    site.page("/api/list", '{"a": "ü"}', Content_Type="application/json")
    site.page("/api/items", "made", status=201, Content_Type="text/plain")
    site.page("/api/text", "x" * 500, Content_Type="text/plain")
    site.page("/api/bytes", b"\x00\xff\xfe", Content_Type="application/octet-stream")
    site.page("/other", "no")
    reply = rig.render(site.page("/", XHR), browser=Browse(xhr=["*/api/*"]), settings={"max_xhr_body": 100})
    got = [(each["url"], each["method"], each["status"], each["body"], each["truncated"]) for each in reply.xhr]
    assert got == [
        (site.url("/api/list?page=1"), "GET", 200, '{"a": "ü"}', False),
        (site.url("/api/items"), "POST", 201, "made", False),
        (site.url("/api/text"), "GET", 200, "x" * 100, True),
        (site.url("/api/bytes"), "GET", 200, "", False),
    ]
    assert reply.xhr[0]["content_type"] == "application/json"


def test_xhr_answers_tell_little_of_long_addresses_and_types(rig: Rig, site: Site) -> None:
    site.page("/api", "{}", Content_Type="a/json; x=" + "y" * 1_000)
    asks = "await fetch('/api?' + 'x'.repeat(65536)).catch(() => 0); await fetch('/api')"
    page = site.page("/", f"<script>(async () => {{ {asks} }})()</script>")
    [answer] = rig.render(page, browser=Browse(xhr=["/api"])).xhr
    assert answer["url"] == site.url("/api")
    assert len(answer["content_type"]) == 200


def test_xhr_answers_have_their_number(rig: Rig, site: Site) -> None:
    site.page("/n", "1" * 10)
    page = site.page("/", "<script>(async () => { for (let i = 0; i < 10; i++) await fetch('/n?' + i) })()</script>")
    reply = rig.render(page, browser=Browse(xhr=["/n"]), settings={"max_xhr": 4, "max_xhr_total": 25})
    assert [len(each["body"]) for each in reply.xhr] == [10, 10, 5, 0]


@pytest.fixture
def downloaded(rig: Rig) -> Any:
    yield lambda reply: (rig.spool / reply.file["id"]).read_bytes()
    for path in rig.spool.iterdir():
        path.unlink()


def test_a_download_by_going_there(rig: Rig, site: Site, downloaded: Any) -> None:
    page = site.page("/f/report.csv", b"a;b\n" * 100_000, Content_Type="text/csv",
                     Content_Disposition='attachment; filename="r 1.csv"')  # fmt: skip
    reply = rig.render(page, download=True)
    assert (reply.status_code, reply.error, reply.content, reply.content_base64) == (200, None, "", None)
    assert reply.file is not None
    told = {name: reply.file[name] for name in ("url", "name", "bytes", "content_type")}
    assert told == {"url": page, "name": "r 1.csv", "bytes": 400_000, "content_type": "text/csv"}
    assert downloaded(reply) == b"a;b\n" * 100_000


@pytest.mark.parametrize(
    "page",
    [
        "<a id=get href=/file>get</a>",
        "<a id=get href=/file download=x.bin>get</a>",
        "<button id=get onclick=\"location = '/file'\">get</button>",
        "<button id=get onclick=\"document.body.insertAdjacentHTML('beforeend', '<iframe src=/file>')\">",
    ],
)
def test_a_download_by_an_action(rig: Rig, site: Site, downloaded: Any, page: str) -> None:
    site.page("/file", b"\x00" * 1000, Content_Type="application/x-thing", Content_Disposition="attachment")
    reply = rig.render(site.page("/", page + "<p>text"), browser=Browse(actions=[{"click": "#get"}]), download=True)
    assert reply.error is None
    assert downloaded(reply) == b"\x00" * 1000


def test_a_file_that_the_page_makes_itself(rig: Rig, site: Site, downloaded: Any) -> None:
    page = """<script>for (const text of ['one', 'two']) {
        const a = document.createElement('a');
        a.download = 'made.txt'; a.href = URL.createObjectURL(new Blob([text])); a.click();
        }</script>"""
    reply = rig.render(site.page("/", page), download=True)
    assert (reply.error, reply.file and reply.file["name"]) == (None, "made.txt")
    assert downloaded(reply) == b"one"
    assert len(list(rig.spool.iterdir())) == 1


def test_a_download_has_its_limit(rig: Rig, site: Site) -> None:
    page = site.page("/", b"x" * 3_000_000, Content_Type="application/zip")
    reply = rig.render(page, download=True, settings={"max_file": 1_000_000})
    assert (reply.status_code, reply.error_kind, list(rig.spool.iterdir())) == (599, "too_large", [])


def test_a_download_that_never_comes(rig: Rig, site: Site) -> None:
    reply = rig.render(site.page("/", "<p>x"), download=True, settings={"download_within": 0.2})
    assert (reply.error_kind, reply.error) == ("timeout", "the page started no download within 0.2 seconds")


def test_the_state_of_a_session_goes_round(rig: Rig, site: Site) -> None:
    page = """<script>document.title = localStorage.getItem('n') + ' ' + document.cookie;
        localStorage.setItem('n', 1 + +localStorage.getItem('n')); document.cookie = 'c=2; path=/'</script>"""
    site.page("/", page, Set_Cookie="h=1; HttpOnly")
    first = rig.render(site.url("/"), session=True)
    assert "<title>null </title>" in first.content
    assert {cookie["name"] for cookie in first.session_cookies or ()} == {"h", "c"}
    second = rig.render(site.url("/"), session=True, cookies=first.session_cookies, origins=first.session_origins)
    assert "<title>1 c=2</title>" in second.content
    assert site.headers("/")[1]["Cookie"] == "h=1; c=2"
    [origin] = second.session_origins or ()
    assert origin["localStorage"] == [{"name": "n", "value": "2"}]


def test_nothing_stays_without_a_session(rig: Rig, site: Site) -> None:
    site.page("/", "<script>document.title = document.cookie; document.cookie = 'c=2'</script>", Set_Cookie="h=1")
    first = rig.render(site.url("/"))
    assert (first.session_cookies, first.session_origins) == (None, None)
    assert "Cookie" not in site.headers("/")[0]
    rig.render(site.url("/"))
    assert "Cookie" not in site.headers("/")[1]


def test_what_a_session_cannot_hold_is_left_out(rig: Rig, site: Site) -> None:
    page = site.page("/", "<script>localStorage.setItem('n', 'x'.repeat(5000))</script>")
    cookies: list[Any] = [
        {"name": "good", "value": "1", "domain": "127.0.0.1", "path": "/"},
        {"name": "__Host-bad", "value": "1", "domain": "127.0.0.1", "path": "/x"},
        {"name": "no domain", "value": "1"},
        "nonsense",
    ]
    reply = rig.render(page, session=True, cookies=cookies, origins=[{"origin": 5}, "x"], settings={"max_state": 1000})
    assert site.headers("/")[0]["Cookie"] == "good=1"
    assert reply.session_origins == []
    assert any("too large to be kept" in line for line in reply.console)
    assert any("refused the cookie '__Host-bad'" in line for line in reply.console)


# ---- by the way of the relay


def relayed(rig: Rig, url: str, job: dict[str, Any] | None = None, **settings: Any) -> Reply:
    async def go() -> Reply:
        wanted = Job(url=url, **(job or {}))
        from dataclasses import replace

        bounds = replace(rig.settings, **settings)
        async with relay.of_job(wanted, bounds) as door:
            return await rig.arender(url, relay=door, settings=settings, **(job or {}))

    reply: Reply = rig.run(go())
    return reply


def test_all_goes_through_the_relay(rig: Rig, site: Site) -> None:
    site.page("/data", json.dumps([1]), Content_Type="application/json")
    page = site.page("/", "<script>fetch('/data').then(() => { document.title = 'done' })</script>")
    assert "<title>done</title>" in relayed(rig, page).content
    reply = relayed(rig, page, {"allow_private": False})
    assert (reply.status_code, reply.error_kind) == (599, "address")
    assert "loopback" in str(reply.error)
    reply = relayed(rig, "http://no-such-host.invalid/")
    assert (reply.status_code, reply.error_kind) == (599, "dns")
    reply = relayed(rig, f"http://127.0.0.1:{free_port()}/")
    assert (reply.status_code, reply.error_kind) == (599, "connect")


def test_a_page_that_loads_too_much(rig: Rig, site: Site) -> None:
    async def endless(asked: Asked) -> None:
        asked.set_header("Content-Type", "text/javascript")
        for _ in range(1000):
            asked.write(b"x" * 2**16)
            await asked.flush()

    site.on("/i.js", endless)  # a picture that is none is broken off by Chromium itself
    page = site.page("/", "<p>x<script src=/i.js></script>")
    reply = relayed(rig, page, {}, max_load=2**20)
    assert (reply.status_code, reply.error_kind) == (599, "too_large")
