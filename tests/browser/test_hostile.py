"""Pages that hang, crash, ask, flood and grow: each ends at its limit with an answer, and leaves nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from crawlkit.libs.browse import Browse
from crawlkit.libs.browser_job import Reply
from crawlkit.libs.errors import BrowserGone
from tests.browser.rig import Asked, Rig, Site


async def never(asked: Asked) -> None:
    await asyncio.sleep(30)


async def half(asked: Asked) -> None:
    asked.write("<p>half")
    await asked.flush()
    await asyncio.sleep(30)


def came(site: Site, path: str) -> asyncio.Event:
    """Set when ``path`` is asked for, which is never answered."""
    event = asyncio.Event()

    async def answer(asked: Asked) -> None:
        event.set()
        await never(asked)

    site.on(path, answer)
    return event


def session_ends(work: Coroutine[Any, Any, Any]) -> None:
    """Says something to a browser that it does not live to answer."""
    asyncio.create_task(work).add_done_callback(lambda done: done.cancelled() or done.exception())


@pytest.mark.parametrize("answer", [never, half])
def test_a_page_that_does_not_end(rig: Rig, site: Site, answer: object) -> None:
    limit = 4 if answer is half else 1  # what has come is shown, so there must be time for it to come
    reply = rig.render(site.on("/", answer), timeout=limit)
    assert (reply.status_code, reply.error_kind) == (599, "timeout")
    assert reply.time < limit + 2
    assert ("<p>half" in reply.content) is (answer is half)
    assert rig.contexts() == 0


@pytest.mark.parametrize(
    "script",
    [
        "for (;;) {}",
        "setTimeout(() => { for (;;) {} }, 10)",
        "for (;;) alert('again')",
        "for (;;) history.pushState({}, '', '/' + Math.random())",
        "const w = () => { Promise.resolve().then(w) }; w()",
    ],
)
def test_a_script_that_does_not_end(rig: Rig, site: Site, script: str) -> None:
    reply = rig.render(site.page("/", f"<p>x<script>{script}</script>"), timeout=2)
    assert (reply.status_code, reply.error_kind) == (599, "timeout")
    assert reply.time < 4
    assert rig.contexts() == 0


def test_a_task_s_own_script_that_does_not_end(rig: Rig, site: Site) -> None:
    for script in ("for (;;) {}", "() => new Promise(() => {})"):
        reply = rig.render(site.page("/", "<p>x"), js_script=script, timeout=1.5)
        assert (reply.status_code, reply.error_kind) == (599, "timeout")


def test_a_page_whose_process_dies(rig: Rig, site: Site) -> None:
    page = site.page("/", "<p>x<img src=/hangs>")
    site.page("/next", "<p>unhurt")

    async def crash() -> tuple[Reply, Reply]:
        asked = came(site, "/hangs")
        job = asyncio.create_task(rig.arender(page, timeout=20))
        await asked.wait()
        context = rig.browser.contexts[-1]
        session = await context.new_cdp_session(context.pages[0])
        session_ends(session.send("Page.crash"))
        return await job, await rig.arender(site.url("/next"))

    crashed, unhurt = rig.run(crash())
    assert (crashed.status_code, crashed.error_kind) == (599, "crashed")
    assert crashed.time < 10
    assert "<p>unhurt</p>" in unhurt.content


def test_dialogs_are_answered_and_noted(rig: Rig, site: Site) -> None:
    page = """<script>alert('one'); document.title = [confirm('two'), prompt('three')].join();
        addEventListener('beforeunload', e => e.preventDefault()); Notification.requestPermission()</script>"""
    reply = rig.render(site.page("/", page))
    assert reply.error is None
    assert "<title>true,</title>" in reply.content
    assert reply.console == ["alert: one", "confirm: two", "prompt: three"]


def test_windows_that_it_opens_are_closed(rig: Rig, site: Site) -> None:
    site.page("/popup", "<p>other")
    page = "<p>x<script>for (let i = 0; i < 500; i++) open('/popup?' + i); window.close()</script>"
    reply = rig.render(site.page("/", page), js_script="() => { for (let i = 0; i < 3; i++) open('/popup') }")
    assert (reply.error, reply.status_code) == (None, 200)
    assert "<p>x" in reply.content
    assert "crawlkit: the page opened another window, which was closed" in reply.console
    assert len(site.paths()) < 10
    assert rig.contexts() == 0


def test_a_flood_of_downloads(rig: Rig, site: Site) -> None:
    site.page("/file", b"x" * 100_000, Content_Disposition="attachment; filename=f.bin")
    page = """<p>stays<script>
        for (let i = 0; i < 50; i++) {
          const a = document.createElement('a');
          a.href = '/file?' + i; a.download = 'f'; document.body.append(a); a.click();
        }
        setTimeout(() => { location = '/file' }, 10)</script>"""
    reply = rig.render(site.page("/", page))
    assert (reply.error, reply.url) == (None, site.url("/"))
    assert "<p>stays" in reply.content
    assert not list(rig.spool.iterdir())


def test_a_flood_of_lines(rig: Rig, site: Site) -> None:
    page = "<script>for (let i = 0; i < 20000; i++) console.log('x'.repeat(2000)); throw new Error('last')</script>"
    reply = rig.render(site.page("/", page))
    assert reply.error is None
    assert len(reply.console) == 50
    assert reply.console[0] == "log: " + "x" * 495


def test_storage_workers_sockets_and_permissions_do_no_harm(rig: Rig, site: Site) -> None:
    page = """<script>
        navigator.serviceWorker.register('/sw.js').catch(() => {});
        new WebSocket(`ws://${location.host}/socket`).onerror = () => {};
        new EventSource('/events');
        navigator.permissions.query({name: 'geolocation'});
        navigator.mediaDevices?.getUserMedia({audio: true}).catch(() => {});
        new Worker(URL.createObjectURL(new Blob(['for(;;);'])));
        navigator.sendBeacon('/beacon', 'x');
        </script><p>fine"""
    site.on("/events", never)
    reply = rig.render(site.page("/", page))
    assert reply.error is None
    assert "<p>fine" in reply.content
    assert reply.time < 5
    assert "/sw.js" not in site.paths()


def test_an_image_that_hangs_is_not_waited_for_for_ever(rig: Rig, site: Site) -> None:
    site.on("/i.png", never)
    reply = rig.render(site.page("/", "<p>x<img src=/i.png>"), settings={"stall": 0.5})
    assert (reply.status_code, reply.error) == (200, None)
    reply = rig.render(site.page("/", "<p>x<img src=/i.png>"), timeout=4)
    assert (reply.status_code, reply.error_kind) == (599, "timeout")
    assert "<p>x" in reply.content


def test_a_request_that_hangs_after_load_is_waited_for_shortly(rig: Rig, site: Site) -> None:
    site.on("/poll", never)
    reply = rig.render(site.page("/", "<p>x<script>fetch('/poll')</script>"), settings={"patience": 0.5})
    assert (reply.status_code, reply.error) == (200, None)
    assert reply.time < 4


def test_a_page_that_never_rests(rig: Rig, site: Site) -> None:
    site.page("/tick", "1")
    page = site.page("/", "<p>x<script>setInterval(() => fetch('/tick'), 50)</script>")
    reply = rig.render(page, settings={"settle": 1})
    assert (reply.status_code, reply.error) == (200, None)
    assert reply.time < 5


def test_a_page_that_changes_all_the_time(rig: Rig, site: Site) -> None:
    page = site.page("/", "<p>x<script>setInterval(() => document.body.append('y'), 0)</script>")
    assert rig.render(page).error is None


def test_a_huge_document_made_by_script(rig: Rig, site: Site) -> None:
    page = "<script>const t = 'x'.repeat(2 ** 20); for (let i = 0; i < 10; i++) document.write('<p>' + t)</script>"
    reply = rig.render(site.page("/", page), max_body=2**20)
    assert (reply.status_code, reply.error_kind) == (599, "too_large")


def test_an_endless_page(rig: Rig, site: Site) -> None:
    async def endless(asked: Asked) -> None:
        while True:
            asked.write(b"<p>" + b"x" * 2**18)
            await asked.flush()

    reply = rig.render(site.on("/", endless), max_body=2**22)
    assert (reply.status_code, reply.error_kind) == (599, "too_large")


def test_built_ins_that_the_page_has_replaced(rig: Rig, site: Site) -> None:
    page = """<p>true<script>
        Object.defineProperty(Element.prototype, 'outerHTML', {get() { return 'lies' }});
        Array.prototype.toJSON = () => 'lies'; JSON.stringify = () => 'lies';
        Object.prototype.size = 5; XMLSerializer.prototype.serializeToString = () => 'lies';
        </script>"""
    reply = rig.render(site.page("/", page), js_script="() => ({list: [1, 2]})")
    assert "<p>true" in reply.content
    assert reply.js_script_result["list"] == [1, 2]


def test_halves_of_characters(rig: Rig, site: Site) -> None:
    reply = rig.render(site.page("/", "<p id=p><script>p.textContent = 'a\\ud800b'</script>"))
    assert '<p id="p">a' in reply.content
    reply.content.encode()


def test_a_browser_that_dies(rig: Rig, site: Site) -> None:
    async def kill() -> None:
        asked = came(site, "/")
        other = await rig.launch()
        mine, rig.browser = rig.browser, other
        try:
            job = asyncio.create_task(rig.arender(site.url("/"), timeout=10))
            await asked.wait()
            session_ends((await other.new_browser_cdp_session()).send("Browser.crash"))
            await job
        finally:
            rig.browser = mine

    with pytest.raises(BrowserGone):
        rig.run(kill())


def test_actions_within_their_limits(rig: Rig, site: Site) -> None:
    page = site.page("/", "<p>x")
    reply = rig.render(page, browser=Browse(actions=[{"click": "#none"}]), settings={"action_within": 0.3})
    assert (reply.status_code, reply.error_kind) == (599, "timeout")
    assert reply.error == "js_actions[0]: click '#none' could not be done within 0.3 seconds"
    assert "<p>x</p>" in reply.content
