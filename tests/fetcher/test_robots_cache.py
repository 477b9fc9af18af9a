import asyncio

import pytest

from crawlkit.fetcher import robots_cache
from crawlkit.fetcher import url as urls
from crawlkit.fetcher.request import Plan
from crawlkit.fetcher.robots_cache import RobotsCache
from crawlkit.libs.clock import ManualClock
from crawlkit.libs.errors import FetchError
from tests.fetcher.helpers import in_loop

RULES = b"User-agent: *\nDisallow: /no\n"


class Origin:
    def __init__(self, status: int = 200, error: str | None = None) -> None:
        self.status = status
        self.error = error
        self.loads: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def load(self, plan: Plan) -> tuple[int, bytes]:
        self.loads.append(f"{plan.url.host}:{plan.url.port}")
        await self.gate.wait()
        if self.error:
            raise FetchError(self.error, "failed")
        return self.status, RULES


def plan(path: str, host: str = "a.example") -> Plan:
    return Plan(url=urls.parse(f"http://{host}{path}"), user_agent="crawlkit/1")


async def allowed(cache: RobotsCache, plan: Plan) -> bool:
    try:
        await cache.check(plan)
    except FetchError as error:
        if (error.kind, error.status_code) != ("robots", 403):
            raise
        return False
    return True


@in_loop
async def test_one_fetch_for_all_who_ask_at_once() -> None:
    origin, clock = Origin(), ManualClock()
    cache = RobotsCache(origin.load, clock.monotonic, 3600, 60, 100)
    origin.gate.clear()
    asking = [asyncio.create_task(allowed(cache, plan(path))) for path in ("/yes", "/no", "/yes")]
    await asyncio.sleep(0)
    asking[0].cancel()  # who gives up does not take the answer from the others
    await asyncio.sleep(0)
    origin.gate.set()
    assert await asyncio.gather(*asking[1:]) == [False, True]
    assert origin.loads == ["a.example:80"]


@in_loop
async def test_an_hour_and_no_longer() -> None:
    origin, clock = Origin(), ManualClock()
    cache = RobotsCache(origin.load, clock.monotonic, 3600, 60, 100)
    assert await allowed(cache, plan("/yes"))
    clock.advance(3599)
    assert not await allowed(cache, plan("/no"))
    assert len(origin.loads) == 1
    clock.advance(1)
    assert await allowed(cache, plan("/yes"))
    assert len(origin.loads) == 2


@pytest.mark.parametrize(
    ("status", "error", "free", "seconds"),
    [
        (404, None, True, 3600),
        (503, None, False, 60),
        (200, "dns", False, 60),
        (200, "timeout", False, 60),
        (200, "redirects", True, 3600),
        (200, "bad_redirect", True, 3600),
    ],
)
@in_loop
async def test_no_rules(status: int, error: str | None, free: bool, seconds: float) -> None:
    origin, clock = Origin(status, error), ManualClock()
    cache = RobotsCache(origin.load, clock.monotonic, 3600, 60, 100)
    assert await allowed(cache, plan("/no")) is free
    clock.advance(seconds - 1)
    assert await allowed(cache, plan("/yes")) is free
    assert len(origin.loads) == 1
    clock.advance(1)
    await allowed(cache, plan("/yes"))
    assert len(origin.loads) == 2


@in_loop
async def test_the_oldest_is_forgotten() -> None:
    origin, clock = Origin(), ManualClock()
    cache = RobotsCache(origin.load, clock.monotonic, 3600, 60, 2)
    for host in ("a", "b", "a", "c", "a", "b"):
        await allowed(cache, plan("/", host))
    assert origin.loads == ["a:80", "b:80", "c:80", "b:80"]


@in_loop
async def test_a_loader_with_a_bug_does_not_wedge_the_host() -> None:
    origin, clock = Origin(error="not a kind"), ManualClock()
    cache = RobotsCache(origin.load, clock.monotonic, 3600, 60, 2)
    for _ in range(2):
        with pytest.raises(ValueError, match="unknown"):
            await cache.check(plan("/"))
    assert len(origin.loads) == 2


@in_loop
async def test_what_is_remembered_is_bounded_by_bytes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(robots_cache, "MAX_BYTES", 10_000)
    asked: list[str] = []

    async def load(asker: Plan) -> tuple[int, bytes]:
        asked.append(asker.url.host)
        return 200, b"User-agent: *\nDisallow: /no\n" + b"#" * 4000

    cache = RobotsCache(load, lambda: 0.0, 100, 100, 10)
    for host in "abcbaa":
        assert await allowed(cache, plan("/x", host))
    assert asked == ["a", "b", "c", "a"]


@in_loop
async def test_huge_rules_do_not_hold_up_the_loop() -> None:
    body = b"User-agent: *\n" + b"".join(b"Disallow: /*%d*x*y*z$\n" % number for number in range(20_000))

    async def load(_: Plan) -> tuple[int, bytes]:
        return 200, body

    cache = RobotsCache(load, lambda: 0.0, 100, 100, 10)
    checking = asyncio.create_task(allowed(cache, plan("/" + "a" * 2000)))
    turns = 0
    while not checking.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert await checking
    assert turns > 20
    assert not await allowed(cache, plan("/1xyz"))
