"""The address guard in real Chromium: a page that tries everything reaches nothing inside.

Each way is first seen to arrive where nobody hinders it, so that the silence afterwards means something.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Error, Page, async_playwright

from crawlkit.browser import chromium, relay
from tests.browser import attacks
from tests.browser.inner import Inner, Outer, inside, outside, reply
from tests.browser.relayed import PUBLIC, names, one_public_address
from tests.fetcher.helpers import wait_for
from tests.fetcher.test_guarded_fetches import HOSTS
from tests.needs import binary

NAMES = {"public.example": [PUBLIC], "inner.example": ["127.0.0.1"], "localhost": ["127.0.0.1", "::1"]}
SITE = {"/to/redirect-img", "/to/redirect-chain", "/to/redirect-frame", "/to/redirect-fetch", "/to/redirect-worker",
        "/to307", "/reports", "/refresh", "/leave", "/service.js"}  # fmt: skip


class World:
    """Both sites, and a Chromium as the service starts it; in one loop, for a start takes long."""

    inner: Inner
    outer: Outer
    browser: Browser

    def __init__(self) -> None:
        self.doors: set[str] = set()

    @property
    def origin(self) -> str:
        return f"http://public.example:{self.outer.port}"

    @asynccontextmanager
    async def page(self, guarded: bool = True, **options: Any) -> AsyncIterator[tuple[Page, relay.Door]]:
        """A page in a context of its own, with a door of its own."""
        self.inner.heard.clear()
        self.outer.asked.clear()
        self.inner.connections = 0
        async with relay.open(guarded=guarded, **{"resolve": names(NAMES), **options}) as door:
            self.doors.add(door.url.rpartition("/")[2])
            async with page_of(self.browser, {"server": door.url, "bypass": "<-loopback>"}) as page:
                yield page, door


@asynccontextmanager
async def page_of(made: Browser, proxy: Any) -> AsyncIterator[Page]:
    context = await made.new_context(proxy=proxy)
    try:
        yield await context.new_page()
    finally:
        await context.close()


@asynccontextmanager
async def started(*arguments: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        made = await playwright.chromium.launch(
            executable_path=binary("chromium"), args=[*arguments], chromium_sandbox=chromium.sandboxed(None)
        )
        try:
            yield made
        finally:
            await made.close()


def secure(*origins: str) -> str:
    """Service workers and the like want a secure page."""
    return "--unsafely-treat-insecure-origin-as-secure=" + ",".join(origins)


@asynccontextmanager
async def a_world(log: Path) -> AsyncIterator[World]:
    made = World()
    async with inside() as made.inner, outside() as made.outer:
        ours = [*chromium.ARGUMENTS, chromium.RESOLVE_NOTHING]
        async with started(*ours, secure(made.origin), f"--log-net-log={log}") as made.browser:
            yield made


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made, one_public_address():
        yield made


@pytest.fixture(scope="module")
def world(runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Asks at the end whether Chromium kept to the relay all the time."""
    log = tmp_path_factory.mktemp("net") / "log.json"
    context = a_world(log)
    made = runner.run(context.__aenter__())
    try:
        yield made
    finally:
        runner.run(context.__aexit__(None, None, None))
    connected, looked_up, sent = told(log)
    assert connected
    assert connected <= made.doors
    assert (looked_up, sent) == (0, 0)


def in_world(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Runs an async test in the loop of the world; it may take a minute."""

    def run(runner: asyncio.Runner, world: World, **arguments: Any) -> None:
        runner.run(asyncio.wait_for(test(world, **arguments), 60))

    signature = inspect.signature(test)
    own = [one for name, one in signature.parameters.items() if name != "world"]
    fixtures = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in ("runner", "world")]
    run.__signature__ = signature.replace(parameters=[*own, *fixtures])  # type: ignore[attr-defined]
    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


async def attacked(page: Page, outer: Outer, origin: str) -> None:
    """Runs the attack, until the page has asked its own site for all that it is to ask for."""
    await page.goto(f"{origin}/attack", wait_until="commit")
    await wait_for(lambda: set(outer.asked) >= SITE, 30)


async def quiet(count: Callable[[], int], seconds: float = 1.0) -> None:
    """Until a number has not changed for so long."""
    loop = asyncio.get_running_loop()
    seen, since = count(), loop.time()
    while loop.time() - since < seconds:
        await asyncio.sleep(0.02)
        if count() != seen:
            seen, since = count(), loop.time()


def told(log: Path) -> tuple[set[str], int, int]:
    """Addresses that Chromium connected to by TCP, names that it looked up itself, packets that it sent."""
    story = json.loads(log.read_text())
    kinds = {number: name for name, number in story["constants"]["logEventTypes"].items()}
    connected, looked_up, sent = set(), 0, 0
    for event in story["events"]:
        kind = kinds[event["type"]]
        if kind == "TCP_CONNECT_ATTEMPT" and "address" in event.get("params", {}):
            connected.add(event["params"]["address"])
        looked_up += kind in ("HOST_RESOLVER_SYSTEM_TASK", "HOST_RESOLVER_DNS_TASK", "DNS_TRANSACTION")
        sent += kind == "UDP_BYTES_SENT"
    assert "SOCKS5_CONNECT" in kinds.values()
    assert {"HOST_RESOLVER_SYSTEM_TASK", "UDP_BYTES_SENT"} <= set(kinds.values())
    return connected, looked_up, sent


@pytest.mark.usefixtures("runner")
def test_unhindered_each_way_arrives() -> None:
    """From a Chromium as it comes."""

    async def tried() -> None:
        async with inside() as inner, outside() as outer:
            origin = f"http://{PUBLIC}:{outer.port}"
            attacks.build(outer, f"http://127.0.0.1:{inner.port}")
            ways = attacks.ARRIVING | set(attacks.UNRESTRAINED)
            async with started(secure(origin)) as made:
                for _ in range(3):  # a busy Chromium leaves out one or the other of what is only a hint to it
                    async with page_of(made, None) as page:
                        await attacked(page, outer, origin)
                        with suppress(AssertionError):
                            await wait_for(lambda: inner.words() >= ways, 15)
                            break
            assert not ways - inner.words()

    asyncio.run(asyncio.wait_for(tried(), 120))


@in_world
async def test_the_relay_lets_everything_through_when_the_guard_is_off(world: World) -> None:
    attacks.build(world.outer, f"http://inner.example:{world.inner.port}")
    async with world.page(guarded=False) as (page, door):
        await attacked(page, world.outer, world.origin)
        await wait_for(lambda: world.inner.words() >= attacks.ARRIVING, 30)
        assert door.refused == []
    assert not [word for word in world.inner.heard if word.endswith("packet")]


@pytest.mark.parametrize("host", ["inner.example", "127.0.0.1", "[::1]"])
@in_world
async def test_nothing_inside_hears_of_an_attack(world: World, host: str) -> None:
    attacks.build(world.outer, f"http://{host}:{world.inner.port}")
    async with world.page() as (page, door):
        await attacked(page, world.outer, world.origin)
        await wait_for(lambda: door.refusals >= 40, 20)
        await quiet(lambda: door.opened)
        assert {name for name, _ in door.refused} == {host.strip("[]")}
    assert (world.inner.heard, world.inner.connections) == ([], 0)


@in_world
async def test_every_spelling_of_an_address(world: World) -> None:
    urls = [f"http://{host}:{world.inner.port}/{number}" for number, host in enumerate(HOSTS)]
    world.outer.pages["/hosts"] = reply(
        f"<script>const done = Promise.allSettled({json.dumps(urls)}.map("
        "async url => fetch(url, {mode: 'no-cors', credentials: 'omit'})));</script>"
    )
    for guarded in (False, True):
        async with world.page(guarded, connect_timeout=1, resolve=None) as (page, door):
            await page.goto(f"http://{PUBLIC}:{world.outer.port}/hosts")
            fine = [one["status"] for one in await page.evaluate("done")].count("fulfilled")
            if guarded:
                assert (fine, world.inner.connections) == (0, 0)
                assert door.refusals > 30
            else:
                assert fine > 20
                assert world.inner.connections > 10


@in_world
async def test_a_name_that_turns_inward(world: World) -> None:
    """Public when the page is loaded; private for what the page asks of its own origin afterwards."""
    answers = {"now": [PUBLIC]}
    resolve = names({"turns.example": lambda: answers["now"]})
    world.outer.pages["/once"] = reply("<p>mine", Connection="close")
    inner = f"http://turns.example:{world.inner.port}/"
    async with world.page(resolve=resolve) as (page, door):
        await page.goto(f"http://turns.example:{world.outer.port}/once")
        answers["now"] = ["127.0.0.1"]
        assert await page.evaluate(f"fetch('{inner}', {{mode: 'no-cors'}}).then(() => 1, () => 0)") == 0
    async with world.page(resolve=resolve) as (page, door):
        with pytest.raises(Error, match="ERR_SOCKS_CONNECTION_FAILED"):
            await page.goto(inner)
        failure = door.failure_of(inner)
        assert failure is not None
        assert failure.kind == "address"
        assert set(door.refused) == {("turns.example", "127.0.0.1 is loopback")}  # Chromium may try twice
    assert world.inner.connections == 0


@pytest.mark.parametrize("target", ["file:///etc/hostname", "chrome://version/", "view-source:http://inner.example/"])
@in_world
async def test_a_page_does_not_leave_the_web(world: World, target: str) -> None:
    """By frame, redirect, window and script: what is on this machine is not shown to a page."""
    world.outer.pages["/away"] = reply("", status="302 Found", Location=target)
    world.outer.pages["/try"] = reply(f"""<iframe src="{target}"></iframe><iframe src="/away"></iframe>
        <a href="{target}" id=a>x</a><script>
        fetch("{target}").then(() => document.title = 'read', () => document.title = 'refused');
        window.open("{target}"); a.click()</script>""")
    async with world.page() as (page, door):
        await page.goto(f"{world.origin}/try")
        await page.wait_for_function("document.title")
        assert await page.title() == "refused"
        await quiet(lambda: door.opened)
        shown = [frame.url for one in page.context.pages for frame in one.frames]
        assert not [url for url in shown if re.match("file:|chrome:|view-source:", url)]
        with pytest.raises(Error):
            await page.goto(f"{world.origin}/away")
    assert world.inner.connections == 0


@in_world
async def test_pages_of_a_page_itself_are_fine(world: World) -> None:
    """blob:, data: and about: ask nobody."""
    world.outer.pages["/own"] = reply("""<iframe src="data:text/html,<p>d"></iframe><iframe src="about:blank"></iframe>
        <img src="data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"><script>
        const blob = fetch(URL.createObjectURL(new Blob(['b']))).then(answer => answer.text())</script>""")
    async with world.page() as (page, door):
        await page.goto(f"{world.origin}/own")
        assert await page.evaluate("blob") == "b"
        assert await page.evaluate("document.images[0].naturalWidth") == 1
        assert len(page.frames) == 3
        assert door.refused == []


@in_world
async def test_a_page_that_never_stops_loading_is_cut(world: World) -> None:
    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<p>")
            while True:
                writer.write(b"x" * 65_536)
                await writer.drain()

    server = await asyncio.start_server(pour, PUBLIC, 0)
    async with server, world.page(max_bytes=4 * 2**20) as (page, door):
        going = asyncio.ensure_future(page.goto(f"http://{PUBLIC}:{server.sockets[0].getsockname()[1]}/"))
        await door.over.wait()
        assert door.closed_by == "too_large"
        going.cancel()
        await asyncio.gather(going, return_exceptions=True)


def test_all_ways_are_there() -> None:
    """A way that is taken out of the attack by mistake would not be missed otherwise."""
    outer = Outer()
    attacks.build(outer, "http://inner.example")
    page = b"".join(outer.pages.values()).decode()
    assert not [name for name in attacks.ARRIVING if f"http://inner.example/{name}" not in page]
    assert len(attacks.ARRIVING) > 60
    assert Inner().words() == set()
