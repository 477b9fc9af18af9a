"""Rendered pages a second: a bare Playwright loop, the browser service, and a whole crawl, with the same concurrency.

    python -m benchmarks.browser [--pages 500] [--at-once 4] [--rounds 2] [--ready selector|quiet] [--no-crawl]

The pages are made by a script from JSON that it fetches, with a style sheet, a script and an image beside them. Every
page gets a fresh context, in the bare loop too; its goal is one element (``selector``), or a network that has gone
quiet (``quiet``). All three see the same machine in the same run, in turn, so that what else runs hits all of them.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from playwright.async_api import async_playwright
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from crawlkit.browser import chromium
from crawlkit.browser.pool import default_poolsize

ITEMS = 30
PAGE = """<!DOCTYPE html><html><head><title>{n}</title><link rel=stylesheet href=/style.css><script src=/app.js defer>
</script></head><body data-n={n}><h1>Page {n}</h1><img src=/dot.png><ul id=list></ul>{filler}</body></html>"""
SCRIPT = """fetch('/items?' + document.body.dataset.n).then(answer => answer.json()).then(items => {
  for (const item of items) {
    const li = document.createElement('li');
    li.innerHTML = `<a href="/page/${item.id}">${item.name}</a> <b>${item.price}</b>`;
    document.querySelector('#list').append(li);
  }
  document.body.insertAdjacentHTML('beforeend', '<p id=done>done</p>');
});"""
STYLE = "body { font-family: sans-serif } li { display: flex; gap: 1em } b { color: #a00 }"
FILLER = "<p>" + "Words of a page that is no poem. " * 60 + "</p>"
DOT = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060"
                    "000000050001a5f645400000000049454e44ae426082")  # fmt: skip
OTHERS = {"style.css": ("text/css", STYLE), "app.js": ("text/javascript", SCRIPT), "dot.png": ("image/png", DOT)}
HANDLER = """
from crawlkit import BaseHandler


class Handler(BaseHandler):
    crawl_config = {{"retries": 0, "timeout": 60}}

    def on_start(self):
        for n in range({first}, {last}):
            self.crawl("{base}/page/%d" % n, callback=self.page, fetch_type="js"{wait})

    def page(self, response):
        return {{"n": response.doc("h1").text(), "items": len(response.doc("#list li"))}}
"""


class _Site(RequestHandler):
    def get(self, path: str) -> None:
        kind, _, rest = path.partition("/")
        if kind == "page":
            self.set_header("Content-Type", "text/html; charset=utf-8")
            self.write(PAGE.format(n=rest, filler=FILLER * 4))
        elif kind == "items":
            number = self.request.query
            self.write(json.dumps([{"id": i, "name": f"item {number}.{i}", "price": i * 1.5} for i in range(ITEMS)]))
            self.set_header("Content-Type", "application/json")
        else:
            kind, body = OTHERS.get(path, ("text/plain", ""))
            self.set_header("Content-Type", kind)
            self.write(body)


def _serve(connection: Any) -> None:
    async def main() -> None:
        sockets = bind_sockets(0, "127.0.0.1")
        server = HTTPServer(Application([(r"/(.*)", _Site)], log_function=lambda handler: None))
        server.add_sockets(sockets)
        connection.send(sockets[0].getsockname()[1])
        await asyncio.Event().wait()

    asyncio.run(main())


@contextmanager
def site() -> Iterator[str]:
    """Its URL; it runs in a process of its own."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.kill()
        process.join()


def check(content: str) -> None:
    """Raises unless the page was rendered."""
    if content.count("<li>") != ITEMS:
        raise RuntimeError(f"a page has {content.count('<li>')} items instead of {ITEMS}")


async def each(numbers: list[int], at_once: int, work: Callable[[int], Awaitable[None]]) -> float:
    """Seconds for all of them."""
    left = list(reversed(numbers))

    async def one() -> None:
        while left:
            await work(left.pop())

    began = time.monotonic()
    await asyncio.gather(*(one() for _ in range(at_once)))
    return time.monotonic() - began


async def bare(base: str, numbers: list[int], at_once: int, ready: str) -> float:
    """Playwright as it comes, a fresh context for each page."""
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=chromium.find())

        async def work(number: int) -> None:
            context = await browser.new_context()
            page = await context.new_page()
            if ready == "selector":
                await page.goto(f"{base}/page/{number}", wait_until="commit")
                await page.wait_for_selector("#done")
            else:
                await page.goto(f"{base}/page/{number}", wait_until="networkidle")
            check(await page.content())
            await context.close()

        await each([-1] * at_once, at_once, work)
        took = await each(numbers, at_once, work)
        await browser.close()
        return took


async def service(base: str, numbers: list[int], at_once: int, ready: str) -> float:
    """`crawlkit browser` in a process of its own, asked over HTTP as a fetcher does."""
    from crawlkit.fetcher.fetch import Fetcher
    from crawlkit.fetcher.settings import FetcherSettings
    from crawlkit.libs.browse import Browse
    from crawlkit.libs.clock import SystemClock
    from crawlkit.libs.messages import NIL, TASK, Dispatch
    from crawlkit.libs.task import Fetch, Schedule, taskid_of

    sockets = bind_sockets(0, "127.0.0.1")
    port = sockets[0].getsockname()[1]
    sockets[0].close()
    argv = [sys.executable, "-m", "crawlkit", "browser", "--quiet", "--port", str(port), "--poolsize", str(at_once)]
    browse = Browse(wait_for=[{"selector": "#done"}]) if ready == "selector" else None
    with tempfile.TemporaryDirectory() as folder:
        process = await asyncio.create_subprocess_exec(*argv, "--data-path", folder + "/none")
        fetcher = Fetcher(FetcherSettings(browser_endpoint=f"http://127.0.0.1:{port}/"), SystemClock(), "bench")

        async def work(number: int) -> None:
            url = f"{base}/page/{number}"
            fetch = Fetch(fetch_type="js", browser=browse)
            task = Dispatch("bench", taskid_of(url), 1, 1, url, "0" * 32, "page", 0, TASK, Schedule(), fetch, NIL, 0)
            fetched = await fetcher.fetch(task)
            if fetched.error:
                raise RuntimeError(fetched.error)
            check(fetched.content.decode())

        try:
            await up(port)
            await each([-1] * at_once, at_once, work)
            return await each(numbers, at_once, work)
        finally:
            await fetcher.close()
            process.terminate()
            await process.wait()


async def up(port: int) -> None:
    """Waits until somebody listens."""
    deadline = time.monotonic() + 30
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)


async def crawl(base: str, numbers: list[int], at_once: int, ready: str) -> float:
    """`crawlkit one` from its start to its end: scheduler, queues, fetcher, service, handler, results."""
    wait = ', wait_for="#done"' if ready == "selector" else ""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        text = HANDLER.format(first=numbers[0], last=numbers[-1] + 1, base=base, wait=wait)
        (path / "bench.py").write_text(text)
        argv = [sys.executable, "-m", "crawlkit", "--data-path", "data", "one", "bench.py", "-o", "out.jsonl", "--rate",
                "unlimited"]  # fmt: skip
        began = time.monotonic()
        env = {"CRAWLKIT_BROWSER_POOLSIZE": str(at_once)}
        process = await asyncio.create_subprocess_exec(
            *argv, cwd=folder, env={**os.environ, **env}, stderr=subprocess.DEVNULL
        )
        code = await process.wait()
        took = time.monotonic() - began
        rows = [json.loads(line)["result"] for line in (path / "out.jsonl").read_text().splitlines()]
    if code or len(rows) != len(numbers) or any(row["items"] != ITEMS for row in rows):
        raise RuntimeError(f"exit code {code}, {len(rows)} results of {len(numbers)}")
    return took


@click.command()
@click.option("--pages", default=500, show_default=True)
@click.option("--at-once", default=default_poolsize(), show_default=True)
@click.option("--rounds", default=2, show_default=True, help="The pages are split over so many rounds of all three.")
@click.option("--ready", type=click.Choice(["selector", "quiet"]), default="selector", show_default=True)
@click.option("--crawl/--no-crawl", "with_crawl", default=True, show_default=True)
def main(pages: int, at_once: int, rounds: int, ready: str, with_crawl: bool) -> None:
    """Prints pages a second of each, and their part of the bare loop's."""
    ways = {"bare Playwright": bare, "browser service": service, **({"whole crawl": crawl} if with_crawl else {})}
    took = dict.fromkeys(ways, 0.0)
    share = pages // rounds
    with site() as base:
        for turn in range(rounds):
            numbers = list(range(turn * share, (turn + 1) * share))
            for name, way in ways.items():
                took[name] += asyncio.run(way(base, numbers, at_once, ready))
    best = share * rounds / took["bare Playwright"]
    click.echo(f"{share * rounds} pages, {at_once} at once, ready: {ready}")
    for name, seconds in took.items():
        speed = share * rounds / seconds
        click.echo(f"{name:16} {speed:6.2f} pages/s  {speed / best:6.0%}")


if __name__ == "__main__":
    main()
