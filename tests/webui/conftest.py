"""A web UI and a real Chromium for the tests of this folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crawlkit import wiring
from crawlkit.browser import chromium
from crawlkit.libs import passwords
from crawlkit.settings import Settings
from tests.needs import binary, missing
from tests.webui.access import add_users
from tests.webui.servers import Client, Running, everything, in_thread

CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data path with empty stores, to be copied: making their tables takes longer than many a test."""
    path = tmp_path_factory.mktemp("empty") / "data"
    with wiring.open_stores(Settings(data_path=path), create=True):
        pass
    return path


@pytest.fixture
def server(empty: Path, tmp_path: Path) -> Iterator[Running]:
    """A web UI in this process, on empty stores; there is no scheduler."""
    with in_thread(shutil.copytree(empty, tmp_path / "data")) as running:
        yield running


@pytest.fixture
def whole(tmp_path: Path) -> Iterator[Running]:
    """A real ``crawlkit all``."""
    with everything(tmp_path / "data") as running:
        yield running


@pytest.fixture
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes that take no time, for tests that are about something else."""
    monkeypatch.setattr(passwords, "COST", (4, 8, 1))


@pytest.fixture
def users(server: Running) -> Running:
    """``server`` with an admin, an editor and a viewer."""
    return add_users(server)


@pytest.fixture
def client(server: Running) -> Client:
    """Signed in at ``server`` as the local admin."""
    return server.client()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium; contexts are the tests' own.

    One for each module: as long as Playwright runs, this thread has a running event loop, and `asyncio.run` of other
    tests would be refused.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright (it comes with the extra `test`)")
    binary("chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium.find(), args=CHROMIUM_FLAGS)
        yield started
        started.close()


class Watched:
    """Errors that a page had: exceptions, console errors, what the CSP refused."""

    def __init__(self, page: Any) -> None:
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(f"exception: {error}"))
        page.on("console", lambda said: said.type == "error" and self.errors.append(f"console: {said.text}"))

    def check(self) -> None:
        assert not self.errors, self.errors


@pytest.fixture
def new_page(browser: Any) -> Iterator[Any]:
    """``new_page(running, width=1280, dark=False, enter=True)``: a signed-in page; its errors fail the test."""
    contexts: list[Any] = []
    watched: list[Watched] = []

    def open_page(
        running: Running, *, width: int = 1280, dark: bool = False, enter: bool = True, watch: bool = True
    ) -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": 844 if width < 600 else 800},
            color_scheme="dark" if dark else "light",
            locale="en-GB",
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        if watch:
            watched.append(Watched(page))
        if enter:
            page.goto(running.link)
        return page

    yield open_page
    for context in contexts:
        context.close()
    for one in watched:
        one.check()


@pytest.fixture
def page(server: Running, new_page: Any) -> Any:
    """A signed-in page at ``server``."""
    return new_page(server)
