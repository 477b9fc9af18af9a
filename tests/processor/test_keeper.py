"""Which pages are kept, how often, and that nothing else is held up by it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from crawlkit.database.base import KeptPage
from crawlkit.database.memory import MemoryBlobStore
from crawlkit.libs.clock import ManualClock
from crawlkit.libs.errors import BadMessage, StoreUnavailable
from crawlkit.libs.messages import AWAIT, NIL, TASK, Dispatch, Fetched, FetchedHead, decode, encode
from crawlkit.libs.task import Fetch, Schedule
from crawlkit.processor.held import Held, key_of
from crawlkit.processor.keeper import FIRST, MAX_PAGE, OFTEN, SELDOM, Keeper, fetched_of, kept_page


def fetched(url: str = "http://a/1", content: bytes = b"<p>x", callback: str = "page", **said: Any) -> Fetched:
    kind = said.pop("kind", TASK)
    task = Dispatch(
        "p", "t", 1, 1, url, "v", callback, 0, kind, Schedule(), Fetch(save={"a": 1}), NIL, 0, jar=["secret"]
    )
    fields: dict[str, Any] = {"status_code": 200, "headers": [("A", "b")], "cookies": {}, "time": 0.1} | said
    return Fetched(task, url=url, orig_url=url, content=content, **fields)


def held(page: Fetched) -> Held:
    body = encode(page)
    head = decode(body, FetchedHead).task
    return Held((1,), body, head, key_of(head))


class Play:
    def __init__(self, most: int = 3) -> None:
        self.clock = ManualClock()
        self.blobs = MemoryBlobStore(self.clock)
        self.keeper = Keeper(self.blobs, most, self.clock)

    def offer(self, *pages: Fetched) -> list[KeptPage]:
        """Offers pages, writes what was taken, and returns all that are kept now, newest first."""
        for page in pages:
            self.keeper.offer(held(page))
        asyncio.run(self.keeper.write())
        return self.blobs.kept_pages("p")


def test_a_page_is_kept_whole_without_its_cookies() -> None:
    play = Play()
    (kept,) = play.offer(fetched(jar=["secret"]))
    assert (kept.callback, kept.taskid, kept.url, kept.status, kept.size) == ("page", "t", "http://a/1", 200, 4)
    whole = play.blobs.kept_page(kept.page)
    assert whole is not None
    page = fetched_of(whole)
    assert (page.content, page.headers, page.task.fetch.save) == (b"<p>x", [("A", "b")], {"a": 1})
    assert (page.jar, page.task.jar) == (None, [])


def test_the_first_at_once_then_one_a_second_until_there_are_enough_then_one_a_minute() -> None:
    play = Play(most=FIRST + 2)
    for n in range(400):
        play.offer(fetched(f"http://a/{n}"))
        play.clock.advance(OFTEN / 8)
    urls = [page.url for page in play.blobs.kept_pages("p")]
    first = [f"http://a/{n}" for n in range(FIRST - 1, -1, -1)]
    assert urls == [f"http://a/{FIRST + 15}", f"http://a/{FIRST + 7}", *first][: FIRST + 2]
    play.clock.advance(SELDOM)
    assert play.offer(fetched("http://a/new"))[0].url == "http://a/new"
    assert len(play.blobs.kept_pages("p")) == FIRST + 2


def test_a_small_crawl_leaves_all_its_pages() -> None:
    play = Play(most=20)
    assert len(play.offer(*(fetched(f"http://a/{n}") for n in range(FIRST)))) == FIRST


def test_each_callback_has_its_own() -> None:
    play = Play(most=1)
    pages = play.offer(*(fetched(callback=name) for name in ("a", "b", "a")))
    assert sorted(page.callback for page in pages) == ["a", "b"]


@pytest.mark.parametrize(
    "said",
    [
        {"status_code": 404},
        {"status_code": 200, "error": "cut"},
        {"content": b""},
        {"url": "data:,on_start"},
        {"kind": AWAIT},
        {"content": b"x" * MAX_PAGE},
        {"blob": "b", "content": b""},
    ],
)
def test_what_is_of_no_use_is_not_kept(said: dict[str, Any]) -> None:
    assert Play().offer(fetched(**said)) == []


def test_a_store_that_is_away_loses_pages_and_nothing_else() -> None:
    class Away(MemoryBlobStore):
        def keep_pages(self, *args: Any) -> None:
            raise StoreUnavailable("gone")

    keeper = Keeper(Away(), 3, ManualClock())
    keeper.offer(held(fetched()))
    asyncio.run(keeper.write())
    asyncio.run(keeper.write())


def test_a_batch_is_bounded() -> None:
    play = Play()
    pages = play.offer(*(fetched(callback=f"c{n}", content=b"x" * 500_000) for n in range(100)))
    assert sum(page.size for page in pages) < 9_000_000


def test_what_was_damaged_is_said() -> None:
    page = kept_page(encode(fetched()), 1.0)
    assert page is not None
    page.data = page.data[:-3]
    with pytest.raises(BadMessage, match="kept page"):
        fetched_of(page)
    assert kept_page(b"garbage", 1.0) is None
