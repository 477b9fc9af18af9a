import pytest

from crawlkit.fetcher.limits import SMALL, Body, Drip, Inflight
from crawlkit.libs.errors import FetchError


def test_a_body_stops_at_its_limit_and_gives_its_room_back() -> None:
    inflight = Inflight(1000, 1, 100)
    body = Body(10, inflight)
    body.write(b"12345")
    body.write(b"67890")
    assert body.content() == b"1234567890"
    with pytest.raises(FetchError, match="body over 10 bytes") as caught:
        body.write(b"x")
    assert caught.value.kind == "too_large"
    assert inflight.bytes == 10
    body.drop()
    body.drop()
    assert (inflight.bytes, inflight.peak) == (0, 10)


@pytest.mark.parametrize("sizes", [[1], [3] * 70_000, [5000, 1, 5000, 1, 1], [1, 5000, 1023, 1024]])
def test_crumbs_go_together(sizes: list[int]) -> None:
    body = Body(10**6, Inflight(10**6, 1, 10**6))
    for number, size in enumerate(sizes):
        body.write(bytes([number % 256]) * size)
    whole = b"".join(bytes([number % 256]) * size for number, size in enumerate(sizes))
    assert body.content() == b"".join(body.chunks()) == whole
    assert body.size == len(whole)
    assert all(type(chunk) is bytes for chunk in [body.content(), *body.chunks()])
    assert len(body.chunks()) <= 10


def test_the_hard_limit_of_the_process() -> None:
    inflight = Inflight(10, 1, 10)
    Body(10, inflight).write(b"123456")
    with pytest.raises(FetchError) as caught:
        Body(10, inflight).write(b"123456")
    assert caught.value.kind == "overload"


def test_over_the_soft_limit_one_goes_on_and_the_rest_waits() -> None:
    inflight = Inflight(100 * SMALL, 10, 20 * SMALL)
    assert inflight.small == SMALL
    assert inflight.soft == 70 * SMALL
    inflight.add(70 * SMALL)
    assert not inflight.must_wait("small", 0, SMALL)
    assert not inflight.must_wait("a", SMALL, 1)
    assert inflight.must_wait("b", SMALL, 1)
    assert not inflight.must_wait("a", SMALL, 1)
    inflight.leave("b")
    assert inflight.must_wait("c", SMALL, 1)
    inflight.leave("a")
    assert not inflight.must_wait("c", SMALL, 1)
    inflight.release(2 * SMALL)
    assert not inflight.must_wait("b", SMALL, 1)


def test_a_drip_is_judged_by_whole_windows() -> None:
    drip = Drip(limit=10, time=5)
    assert not drip.too_slow(0, 0)  # nothing came yet: that is waiting, not dripping
    assert not drip.too_slow(100, 0)
    assert not drip.too_slow(101, 1)
    assert not drip.too_slow(105, 1)
    assert not drip.too_slow(106, 51)
    assert not drip.too_slow(110, 51)
    assert drip.too_slow(111, 100)
    assert not Drip(limit=0, time=5).too_slow(1000, 1)
