"""The requests of a page: which headers go where, redirects, methods, what is blocked, what is no page."""

from __future__ import annotations

import base64
import gzip
import json

import pytest

from crawlkit.libs.browse import Browse
from tests.browser.rig import Asked, Rig, Site
from tests.servers import free_port

ELSEWHERE = "localhost"  # the same server, another origin
SECRET = {"Authorization": "Bearer t", "X-Api-Key": "k", "Cookie": "id=7; b=c"}


def test_headers_go_with_all_of_the_page_and_to_nobody_else(rig: Rig, site: Site) -> None:
    site.page("/own", "{}", Content_Type="application/json")
    site.page("/theirs", "{}", Content_Type="application/json", Access_Control_Allow_Origin="*")
    page = f"<script>fetch('/own'); fetch('{site.url('/theirs', ELSEWHERE)}')</script><img src='/pic'>"
    headers = SECRET | {"Accept": "text/x-mine", "Referer": "http://example.org/from", "X-Requested-With": "me"}
    rig.render(site.page("/", page), headers=headers, browser=Browse(first_headers={"X-First": "1"}))
    [top], [own], [pic] = site.headers("/"), site.headers("/own"), site.headers("/pic")
    [theirs] = site.headers("/theirs")
    for name in ("Authorization", "X-Api-Key", "X-Requested-With", "Cookie"):
        expected = headers[name]
        assert (top[name], own[name], pic[name], theirs.get(name)) == (expected, expected, expected, None)
    assert (top["X-First"], own.get("X-First"), theirs.get("X-First")) == ("1", None, None)
    assert (top["Accept"], own["Accept"], top["Referer"]) == ("text/x-mine", "*/*", "http://example.org/from")
    assert own["Referer"] == site.url("/")


def test_nothing_secret_survives_a_redirect_to_another_origin(rig: Rig, site: Site) -> None:
    site.page("/there", "<p>there<img src=/pic>")
    page = site.on("/", lambda asked: asked.redirect(site.url("/there", ELSEWHERE)))
    reply = rig.render(page, headers=SECRET | {"Accept": "text/x-mine"}, browser=Browse(first_headers={"X-First": "1"}))
    assert reply.url == site.url("/there", ELSEWHERE)
    [there], [pic] = site.headers("/there"), site.headers("/pic")
    for name in (*SECRET, "X-First"):
        assert name not in there
        assert name not in pic
    assert there["Accept"] == "text/x-mine"


def test_going_back_to_the_page_s_origin_by_script_keeps_its_headers(rig: Rig, site: Site) -> None:
    site.page("/2", "<p>two")
    rig.render(site.page("/", "<script>location = '/2'</script>"), headers=SECRET)
    [second] = site.headers("/2")
    assert (second["Authorization"], second["Cookie"]) == ("Bearer t", "id=7; b=c")


def test_user_agent_and_languages_are_the_same_in_script_and_header(rig: Rig, site: Site) -> None:
    page = (
        "<script>const n = navigator; document.title = JSON.stringify([n.userAgent, n.language, n.languages])</script>"
    )
    headers = {"User-Agent": "crawler/1", "Accept-Language": "de-AT,de;q=0.8,en;q=0.5"}
    reply = rig.render(site.page("/", page), headers=headers, js_script="document.title")
    assert json.loads(reply.js_script_result) == ["crawler/1", "de-AT", ["de-AT", "de", "en"]]
    [top] = site.headers("/")
    assert (top["User-Agent"], top["Accept-Language"]) == ("crawler/1", "de-AT,de;q=0.9,en;q=0.8")


def test_locale_timezone_and_place(rig: Rig, site: Site) -> None:
    script = """async () => {
        const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
        const place = new Promise((got, failed) => navigator.geolocation.getCurrentPosition(got, failed));
        return [navigator.languages, zone, (1.5).toLocaleString(), (await place).coords.latitude];
    }"""
    wish = Browse(locale="fr-FR", timezone="Asia/Tokyo", geolocation={"latitude": 48.5, "longitude": 2.0})
    reply = rig.render(site.page("/", "<p>x"), js_script=script, browser=wish)
    assert reply.js_script_result == [["fr-FR", "fr"], "Asia/Tokyo", "1,5", 48.5]
    assert site.headers("/")[0]["Accept-Language"].startswith("fr-FR,fr")


@pytest.mark.parametrize("wish", [{"timezone": "Mars/Base"}, {"locale": "klingon"}])
def test_a_place_that_is_none_is_said_so(rig: Rig, site: Site, wish: dict[str, str]) -> None:
    reply = rig.render(site.page("/", "<p>x"), browser=Browse(**wish))
    assert reply.error_kind == "bad_request"
    [(name, value)] = wish.items()
    assert reply.error == f"{name} {value!r}: Chromium does not know it"
    assert rig.contexts() == 0


def echo(asked: Asked) -> None:
    asked.write("<p>" + asked.request.method + " " + asked.request.body.decode() + " "
                + asked.request.headers.get("Content-Type", "-"))  # fmt: skip


@pytest.mark.parametrize(
    ("job", "seen"),
    [
        ({"method": "POST", "data": "a=1"}, "POST a=1 application/x-www-form-urlencoded"),
        ({"method": "POST", "data_base64": base64.b64encode(b"{}").decode(),
          "headers": {"content-type": "application/json"}}, "POST {} application/json"),
        ({"method": "POST"}, "POST  -"),
        ({"method": "PUT", "data": "x", "headers": {"Content-Type": "text/plain"}}, "PUT x text/plain"),
        ({"method": "DELETE"}, "DELETE  -"),
    ],
)  # fmt: skip
def test_other_methods_and_bodies(rig: Rig, site: Site, job: dict[str, object], seen: str) -> None:
    reply = rig.render(site.on("/", echo), **job)
    assert f"<p>{seen}</p>" in reply.content


@pytest.mark.parametrize(("status", "seen"), [(302, "GET  -"), (303, "GET  -"), (307, "POST a=1 text/x")])
def test_a_redirected_post_does_as_browsers_do(rig: Rig, site: Site, status: int, seen: str) -> None:
    site.on("/there", echo)
    page = site.on("/", lambda asked: asked.redirect("/there", status=status))
    reply = rig.render(page, method="POST", data="a=1", headers={"Content-Type": "text/x"})
    assert f"<p>{seen}</p>" in reply.content


def test_a_body_never_goes_to_another_origin(rig: Rig, site: Site) -> None:
    site.on("/there", echo)
    page = site.on("/", lambda asked: asked.redirect(site.url("/there", ELSEWHERE), status=307))
    reply = rig.render(page, method="POST", data="a=1")
    assert (reply.status_code, reply.error_kind, site.paths()) == (599, "bad_redirect", ["/"])


def test_head_brings_headers_only(rig: Rig, site: Site) -> None:
    reply = rig.render(site.page("/", "<p>x", X_Word="w"), method="HEAD")
    assert (reply.status_code, reply.headers["X-Word"], reply.content, reply.error) == (200, "w", "", None)


def test_redirects_not_to_be_followed_are_the_answer(rig: Rig, site: Site) -> None:
    def go(asked: Asked) -> None:
        asked.set_header("Set-Cookie", "seen=1")
        asked.redirect("/there")

    reply = rig.render(site.on("/", go), allow_redirects=False)
    assert (reply.status_code, reply.headers["Location"], reply.url) == (302, "/there", site.url("/"))
    assert (reply.cookies, site.paths()) == ({"seen": "1"}, ["/"])


def test_nor_is_a_page_taken_elsewhere_by_its_script_then(rig: Rig, site: Site) -> None:
    page = site.page("/", "<p>here<script>setTimeout(() => { location = '/there' }, 0)</script>")
    reply = rig.render(page, allow_redirects=False)
    assert (reply.status_code, reply.url, site.paths()) == (200, site.url("/"), ["/"])
    assert "<p>here" in reply.content


def test_too_many_redirects(rig: Rig, site: Site) -> None:
    page = site.on("/", lambda asked: asked.redirect("/"))
    reply = rig.render(page, max_redirects=3)
    assert (reply.status_code, reply.error_kind, len(site.paths())) == (599, "redirects", 4)
    assert reply.error == "Maximum (3) redirects followed"
    assert len(reply.history) == 4


@pytest.mark.parametrize(
    "page",
    [
        "<script>location = '/?' + Math.random()</script>",
        "<meta http-equiv=refresh content=0><p>x",
        "<body onload=\"location.replace('/?' + Math.random())\">",
    ],
)
def test_a_page_that_goes_elsewhere_for_ever(rig: Rig, site: Site, page: str) -> None:
    reply = rig.render(site.page("/", page), settings={"max_navigations": 3})
    assert (reply.status_code, reply.error_kind) == (599, "redirects")
    assert len(site.paths()) == 4


def test_a_script_redirect_brings_the_page_it_leads_to(rig: Rig, site: Site) -> None:
    site.page("/2", "<p>two", status=203)
    reply = rig.render(site.page("/", "<meta http-equiv=refresh content='0; url=/2'>"))
    assert (reply.status_code, reply.url, reply.history) == (203, site.url("/2"), [(200, site.url("/"))])
    assert "<p>two</p>" in reply.content


def test_blocked_by_kind_tracker_and_pattern(rig: Rig, site: Site) -> None:
    site.page("/s.css", "p{}", Content_Type="text/css")
    site.page("/keep.js", "document.title='kept'", Content_Type="text/javascript")
    site.page("/ads/x.js", "document.title='ads'", Content_Type="text/javascript")
    page = """<link rel=stylesheet href=/s.css><img src=/i.png>
        <script src=/keep.js></script><script src=/ads/x.js></script>
        <script src=http://www.google-analytics.com/ga.js></script><video src=/v.mp4></video>
        <style>@font-face { font-family: f; src: url(/f.woff2) } p { font-family: f }</style><p>x"""
    wish = Browse(block=["images", "fonts", "media", "styles", "trackers", "*/ads/*"])
    reply = rig.render(site.page("/", page), browser=wish)
    assert sorted(site.paths()) == ["/", "/keep.js"]
    assert "<title>kept</title>" in reply.content
    assert reply.counts["blocked"] >= 5


def test_H51_load_images(rig: Rig, site: Site) -> None:
    page = site.page("/", "<img src=/i.png><iframe src=/frame></iframe>")
    site.page("/frame", "<img src=/j.png>")
    rig.render(page, load_images=False)
    assert sorted(site.paths()) == ["/", "/frame"]
    site.asked.clear()
    rig.render(page)
    assert sorted(site.paths()) == ["/", "/frame", "/i.png", "/j.png"]


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (b"%PDF-1.4 ...", {"Content_Type": "application/pdf"}),
        (b"\x89PNG\r\n", {"Content_Type": "image/png"}),
        ("grün".encode("latin-1"), {"Content_Type": "text/plain; charset=latin-1"}),
        (b"<rss/>", {"Content_Type": "application/rss+xml"}),
        (b"\x00\x01\x02", {}),
        (b"<p>kept", {"Content_Type": "text/html", "Content_Disposition": "attachment; filename=a.html"}),
        (b"", {"Content_Type": "application/json"}),
    ],
)
def test_what_is_no_page_comes_as_it_is(rig: Rig, site: Site, content: bytes, headers: dict[str, str]) -> None:
    def answer(asked: Asked) -> None:
        asked.clear_header("Content-Type")
        for name, value in headers.items():
            asked.set_header(name.replace("_", "-"), value)
        asked.write(content)

    reply = rig.render(site.on("/", answer))
    assert (reply.status_code, reply.error) == (200, None)
    assert base64.b64decode(reply.content_base64 or "") == content
    assert reply.headers.get("Content-Type") == headers.get("Content_Type")


def test_a_page_that_nobody_calls_one(rig: Rig, site: Site) -> None:
    def answer(asked: Asked) -> None:
        asked.clear_header("Content-Type")
        asked.write("<html><script>document.title = 'ran'</script>")

    assert "<title>ran</title>" in rig.render(site.on("/", answer)).content


def test_any_charset_becomes_text(rig: Rig, site: Site) -> None:
    page = "<meta charset=gb2312><p>中文".encode("gb18030")
    reply = rig.render(site.page("/", page, Content_Type="text/html; charset=gb2312"))
    assert "<p>中文</p>" in reply.content
    assert reply.headers["Content-Type"] == "text/html; charset=utf-8"


def test_compressed_pages(rig: Rig, site: Site) -> None:
    reply = rig.render(site.page("/", gzip.compress(b"<p>unpacked"), Content_Encoding="gzip"))
    assert "<p>unpacked</p>" in reply.content
    assert "Content-Encoding" not in reply.headers


@pytest.mark.parametrize("kind", ["text/html", "application/json"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_body_over_its_limit(rig: Rig, site: Site, kind: str, packed: bool) -> None:
    body = b"<p>" + b"a" * 3_000_000
    headers = {"Content_Encoding": "gzip"} if packed else {}
    page = site.page("/", gzip.compress(body) if packed else body, Content_Type=kind, **headers)
    reply = rig.render(page, max_body=1_000_000)
    assert (reply.status_code, reply.error_kind) == (599, "too_large")


def test_a_page_that_grows_over_its_limit(rig: Rig, site: Site) -> None:
    page = site.page("/", "<p id=p><script>p.textContent = 'é'.repeat(700000)</script>")
    reply = rig.render(page, max_body=1_000_000)
    assert (reply.status_code, reply.error_kind) == (599, "too_large")
    assert rig.render(page, max_body=2_000_000).error is None


def test_cookies_of_all_the_way(rig: Rig, site: Site) -> None:
    def go(asked: Asked) -> None:
        asked.set_header("Set-Cookie", "first=1")
        asked.redirect("/2")

    site.page("/2", "<script>document.cookie = 'scripted=3'</script>", Set_Cookie="second=2; HttpOnly")
    reply = rig.render(site.on("/", go), headers={"Cookie": "own=0"})
    assert reply.cookies == {"own": "0", "first": "1", "second": "2", "scripted": "3"}
    assert reply.headers["Set-Cookie"] == ["first=1", "second=2; HttpOnly"]


def test_a_dead_endpoint(rig: Rig, site: Site) -> None:
    reply = rig.render("http://127.0.0.1:9/")
    assert (reply.status_code, reply.error_kind, reply.url) == (599, "bad_url", "http://127.0.0.1:9/")
    reply = rig.render(f"http://127.0.0.1:{free_port()}/")
    assert (reply.status_code, reply.error_kind) == (599, "connect")


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "chrome://version", "about:blank", "data:text/html,x", "nonsense"]
)
def test_only_http_is_fetched(rig: Rig, url: str) -> None:
    assert rig.render(url).error_kind == "bad_url"


def test_addresses_that_no_task_could_ask_for(rig: Rig, site: Site) -> None:
    long = "'u'.repeat(100000)"
    pushed = rig.render(site.page("/push", f"<p>here<script>history.pushState(0, '', '/' + {long})</script>"))
    assert (pushed.status_code, pushed.url) == (200, site.url("/push"))
    assert "100,0" in pushed.console[0]
    gone = rig.render(site.page("/go", f"<p>here<script>location = '/far?' + {long}</script>"))
    assert gone.error_kind == "bad_redirect"
    assert len(gone.url) + sum(len(url) for _, url in gone.history) < 1000
    assert "/far" not in site.paths()
    moved = site.on("/moved", lambda asked: asked.redirect("/far?" + "u" * 70_000))
    assert rig.render(moved).error_kind == "bad_redirect"


def test_a_page_that_leaves_the_network(rig: Rig, site: Site) -> None:
    blank = rig.render(site.page("/blank", "<p>here<script>location = 'about:blank'</script>"))
    assert (blank.status_code, blank.error_kind) == (599, "bad_redirect")
    assert "about:blank" in (blank.error or "")
    made = "location = URL.createObjectURL(new Blob(['<p>made'], {type: 'text/html'}))"
    reply = rig.render(site.page("/blob", f"<p>here<script>{made}</script>"))
    assert (reply.status_code, reply.url) == (200, site.url("/blob"))
    assert "made" in reply.content


@pytest.mark.parametrize("headers", [{"Cookie2": "a"}, {"X-A": "a\x00b"}, {"X A": "b"}])
def test_headers_that_chromium_does_not_send_are_said(rig: Rig, site: Site, headers: dict[str, str]) -> None:
    reply = rig.render(site.page("/", "<p>here"), headers=headers, timeout=10)
    assert reply.error_kind == "bad_request"
    assert "headers: Chromium does not send this one: " in (reply.error or ""), reply.error
