"""Every page and state of the web UI, in a scene with real crawls: accessible, without errors, nothing hangs out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.webui.scene import Scene, scene
from tests.webui.views import VIEWS, settle


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with scene(tmp_path_factory.mktemp("scene")) as found:
        yield found


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)], ids=["1280-light", "390-dark"])
def test_axe_finds_nothing_serious(width: int, dark: bool, life: Scene, new_page: Any) -> None:
    """Shows 3: on every page and state."""
    page = new_page(life.running, width=width, dark=dark, watch=False)
    found: dict[str, list[str]] = {}
    for name, show in VIEWS.items():
        show(life, page)
        settle(page)
        found[name] = [*serious(page), *sideways(page)]
    page.close()
    assert {name: problems for name, problems in found.items() if problems} == {}


def serious(page: Any) -> list[str]:
    """What axe has to say that matters. The crawled page in its frame is somebody else's."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, context={"exclude": [[".selector-frame"]]})
    return [
        f"{one['id']}: {node['target']} {node['failureSummary']}"
        for one in found.response["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


def sideways(page: Any) -> list[str]:
    """How far the page can be scrolled to the side."""
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return [f"{wide} px wider than the window"] if wide > 0 else []
