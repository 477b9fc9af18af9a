"""When a page is ready: time is an argument."""

from __future__ import annotations

from crawlkit.browser.readiness import Readiness
from crawlkit.browser.settings import BrowserSettings

LIMITS = BrowserSettings(calm=1, quiet=4, patience=20, stall=50, settle=60)


def page(*, load: bool = True) -> Readiness:
    ready = Readiness(LIMITS, 0)
    ready.navigates(0)
    ready.started("1", "Document", 0)
    ready.ended("1", 1)
    ready.dom_ready(1)
    if load:
        ready.load(2)
    return ready


def test_a_page_that_asks_for_nothing_is_calm_soon() -> None:
    ready = page()
    assert (ready.due(2), ready.due(2.5), ready.due(3)) == (1, 0.5, 0)


def test_one_that_asks_by_itself_has_longer_after_each_answer() -> None:
    ready = page(load=False)
    ready.started("2", "Fetch", 1)
    ready.load(2)
    assert ready.due(2) == 19  # patience, while it runs
    ready.ended("2", 10)
    assert ready.due(10) == 4
    ready.started("3", "XHR", 12)
    ready.ended("3", 13)
    assert ready.due(13) == 4


def test_what_runs_for_ever_is_waited_for_with_patience_only() -> None:
    ready = page()
    ready.started("2", "Image", 5)
    assert ready.due(24) == 1
    assert ready.due(25) == 0


def test_streams_and_beacons_are_not_waited_for() -> None:
    ready = page()
    for number, kind in enumerate(("EventSource", "WebSocket", "Ping")):
        ready.started(f"s{number}", kind, 2.5)
    assert ready.due(3) == 0


def test_a_page_that_never_rests_has_its_share() -> None:
    ready = page()
    for second in range(3, 70):
        ready.started(str(second), "Fetch", second)
        ready.ended(str(second), second)
        if ready.due(second) <= 0:
            break
    assert second == 62


def test_without_its_load_event() -> None:
    ready = page(load=False)
    ready.started("2", "Image", 5)
    assert ready.due(5) == 50
    ready.ended("2", 30)
    assert (ready.due(30), ready.due(80)) == (50, 0)


def test_without_its_markup_it_is_never_ready() -> None:
    ready = Readiness(LIMITS, 0)
    ready.navigates(0)
    assert ready.due(1000) > 0


def test_another_document_begins_anew() -> None:
    ready = page()
    ready.started("2", "Image", 2)
    ready.navigates(3)
    assert (ready.loaded, ready.dom) == (False, False)
    ready.load(10)
    assert ready.due(11) == 0


def test_an_action_is_waited_for() -> None:
    ready = page()
    assert ready.due(50) < 0
    ready.touched(50)
    assert ready.due(50, 3) == 3


def test_idle_means_that_nothing_runs() -> None:
    ready = page()
    ready.started("2", "Image", 3)
    assert ready.idle(100, 5) == 5
    ready.ended("2", 101)
    assert (ready.idle(103, 5), ready.idle(106, 5)) == (3, 0)
