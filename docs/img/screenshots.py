"""Pictures of every page of the web UI, light and dark, wide and narrow: ``python docs/img/screenshots.py [PAGE ...]``.

They are taken of a real crawler at work on a generated shop, in Chromium, and written beside this file.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
OUT = Path(os.environ.get("OUT", HERE))
sys.path.insert(0, str(HERE.parents[1]))

from playwright.sync_api import sync_playwright  # noqa: E402

from tests.webui.conftest import CHROMIUM_FLAGS  # noqa: E402
from tests.webui.scene import Scene, scene  # noqa: E402
from tests.webui.servers import until  # noqa: E402
from tests.webui.views import VIEWS, settle  # noqa: E402

WIDTHS = {1280: 800, 390: 844}
THEMES = ("light", "dark")
STATES = ("create", "menu", "step", "versions")  # what a page can show beside itself


def main(wanted: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder, scene(Path(folder)) as found, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM_FLAGS)
        cookies = wait_for_charts(found, browser)
        for width, height in WIDTHS.items():
            for theme in THEMES:
                context = browser.new_context(
                    viewport={"width": width, "height": height}, color_scheme=theme, locale="en-GB"
                )
                context.add_cookies(cookies)
                page = context.new_page()
                for name, show in VIEWS.items():
                    if not wanted or name in wanted:
                        picture(found, page, show, OUT / f"{name}-{width}-{theme}.png")
                context.close()
        browser.close()
    if OUT == HERE:
        write_page()


def write_page() -> None:
    """``docs/screens.md``: all of them."""
    parts = [
        "# Screens\n\nEvery page and state of the web UI, light and dark, at 1280 and 390 pixels; taken by"
        " `docs/img/screenshots.py` of a\nreal crawler at work on a generated shop.\n"
    ]
    for name, show in VIEWS.items():
        shots = [
            f"![{name}, {width} px, {theme}](img/{name}-{width}-{theme}.png)" for width in WIDTHS for theme in THEMES
        ]
        words = " ".join((show.__doc__ or "").split("\n\n")[0].split())
        parts.append(f"## {name.title()}\n\n{words if name in STATES else ''}\n\n" + "\n".join(shots) + "\n")
    (HERE.parent / "screens.md").write_text("\n".join(parts).replace("\n\n\n", "\n\n"))


def wait_for_charts(found: Scene, browser: Any) -> Any:
    """Charts have a point a minute: waits for the first; returns the cookies of a session."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(found.running.link)

    def drawn() -> int:
        VIEWS["project"](found, page)
        settle(page)
        return int(page.locator("canvas").count())

    until(drawn, 130, "the first point of the charts")
    cookies = context.cookies()
    context.close()
    return cookies


def picture(found: Scene, page: Any, show: Callable[[Scene, Any], None], file: Path) -> None:
    show(found, page)
    settle(page)
    page.screenshot(path=str(file))
    print(file.name)


if __name__ == "__main__":
    main(sys.argv[1:])
