"""How many fetched pages are kept, how long, and for whom."""

from __future__ import annotations

import os

from crawlkit.libs.messages import NIL, TASK, Dispatch, Fetched
from crawlkit.libs.task import NO_FETCH, NO_SCHEDULE
from crawlkit.webui.debug.pages import PageShelf, page_of
from crawlkit.webui.debug.settings import DebugSettings


def fetched(content: bytes = b"x", project: str = "p", **said: str) -> Fetched:
    task = Dispatch(project, "t", 1, 1, "http://a/", "", "cb", 0, TASK, NO_SCHEDULE, NO_FETCH, NIL, 0)
    headers = [(name.replace("_", "-"), value) for name, value in said.items()]
    return Fetched(task, 200, "http://a/", "http://a/", headers, {}, 0.1, content=content, jar=["secret"])


def shelf(**limits: int) -> PageShelf:
    return PageShelf(DebugSettings(**limits))  # type: ignore[arg-type]


def test_a_page_is_its_users_and_its_projects() -> None:
    pages = shelf()
    page = pages.put("me", fetched(b"body"), 1.0, 99.0)
    found = pages.get("me", "p", page, 1.0)
    assert found is not None
    assert (found.content, found.jar) == (b"body", None)
    assert pages.get("me", None, page, 1.0) is not None
    assert pages.get("me", "q", page, 1.0) is None
    assert pages.get("other", "p", page, 1.0) is None
    assert pages.time_of(page) == 99.0
    assert [row[0] for row in pages.list("me", "p", 1.0)] == [page]
    assert pages.list("other", "p", 1.0) == []


def test_an_empty_page_is_one_too() -> None:
    pages = shelf()
    found = pages.get("me", "p", pages.put("me", fetched(b""), 1.0, 1.0), 1.0)
    assert found is not None
    assert found.content == b""


def test_the_oldest_go_first_by_number_size_and_age() -> None:
    pages = shelf(pages_per_user=3)
    mine = [pages.put("me", fetched(), float(n), 1.0) for n in range(5)]
    theirs = pages.put("other", fetched(), 5.0, 1.0)
    assert [pages.get("me", "p", page, 5.0) is not None for page in mine] == [False, False, True, True, True]
    assert pages.get("other", "p", theirs, 5.0) is not None

    pages = shelf(pages_bytes_per_user=25_000)
    mine = [pages.put("me", fetched(os.urandom(10_000)), 1.0, 1.0) for _ in range(3)]
    assert [pages.get("me", "p", page, 1.0) is not None for page in mine] == [False, True, True]
    huge = pages.put("me", fetched(os.urandom(50_000)), 1.0, 1.0)  # the last one stays whatever its size
    assert pages.get("me", "p", huge, 1.0) is not None

    pages = shelf(pages_bytes=25_000)
    all_ = [(user, pages.put(user, fetched(os.urandom(10_000)), 1.0, 1.0)) for user in ("a", "b", "c")]
    assert [pages.get(user, "p", page, 1.0) is not None for user, page in all_] == [False, True, True]

    pages = shelf(pages_age=60)
    page = pages.put("me", fetched(), 0.0, 1.0)
    assert pages.get("me", "p", page, 60.0) is not None
    assert pages.get("me", "p", page, 61.0) is None


def test_what_is_shown_of_a_page() -> None:
    page = page_of("id", fetched("ü".encode("latin-1"), Content_Type="text/html; charset=latin-1"), 5.0)
    assert (page.id, page.project, page.url, page.status, page.callback) == ("id", "p", "http://a/", 200, "cb")
    assert (page.encoding, page.content_type, page.size) == ("cp1252", "text/html; charset=latin-1", 1)
