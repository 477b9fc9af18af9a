"""A server, or what stands before it, that falls silent or hangs up at any point: every call ends, and in words."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from urllib.parse import urlsplit, urlunsplit

import pytest

from crawlkit.database.base import ResultStore
from crawlkit.database.registry import connect_resultdb
from crawlkit.libs.errors import StoreUnavailable
from tests.relay import ENDED, HALF, SILENT, Fault, Relay
from tests.servers import fresh_database

from .stores import results

WAITS = "connect_timeout=2&read_timeout=1&timeout=1"  # 1 s of lock, and one more until an answer is given up
ENDS = 8.0  # seconds; a new connection in pieces, and a question, on a loaded machine
BACK = 3.0  # many at once, on a loaded machine
MOST = 24  # pieces


@pytest.fixture(scope="module", params=("postgres", "mariadb"))
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with fresh_database(request.param) as made:
        connect_resultdb(made).close()
        yield made


def through(url: str, relay: Relay) -> str:
    parts = urlsplit(url)
    account = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{account}@127.0.0.1:{relay.port}", query=WAITS))


def relay_to(url: str) -> Relay:
    parts = urlsplit(url)
    return Relay((parts.hostname or "", parts.port or 0))


def failed(call: Callable[[], object]) -> tuple[float, BaseException | None]:
    """Seconds that it took, and what it raised."""
    began = time.monotonic()
    try:
        call()
    except BaseException as error:
        return time.monotonic() - began, error
    return time.monotonic() - began, None


@pytest.fixture
def relays(url: str) -> Iterator[list[Relay]]:
    """Enough for each piece of what a connection and a transaction are."""
    with ExitStack() as stack:
        yield [stack.enter_context(relay_to(url)) for _ in range(MOST)]


def anew(store: ResultStore) -> None:
    """Its next call needs a connection."""
    store._database.engine.dispose()  # type: ignore[attr-defined]


def pieces_of(relay: Relay, call: Callable[[], object]) -> int:
    """How many pieces come from the server on a new connection and in a call on it."""
    call()
    assert 4 <= relay.pieces <= MOST
    return relay.pieces


@pytest.mark.parametrize("how", [SILENT, ENDED, HALF])
def test_a_question_ends_wherever_the_server_falls_silent(url: str, relays: list[Relay], how: str) -> None:
    first = connect_resultdb(through(url, relays[0]))
    anew(first)
    count = pieces_of(relays[0], lambda: first.count("p"))
    stores = [first, *(connect_resultdb(through(url, relay)) for relay in relays[1:count])]
    for point, (store, relay) in enumerate(zip(stores, relays, strict=False)):
        anew(store)
        relay.fault = Fault(point, how)
    with ThreadPoolExecutor(count) as pool:
        said = list(pool.map(lambda store: failed(lambda: store.count("p")), stores))
        assert {point: error for point, (_, error) in enumerate(said) if type(error) is not StoreUnavailable} == {}
        assert {point: took for point, (took, _) in enumerate(said) if took > ENDS} == {}
        for relay in relays:
            relay.fault = None
        said = list(pool.map(lambda store: failed(lambda: store.count("p")), stores))
    assert {point: error for point, (_, error) in enumerate(said) if error is not None} == {}
    assert max(took for took, _ in said) < BACK, "it goes on at once"
    for store in stores:
        store.close()


@pytest.mark.parametrize("how", [SILENT, ENDED, HALF])
def test_a_transaction_ends_wherever_the_server_falls_silent(url: str, relays: list[Relay], how: str) -> None:
    relay = relays[0]
    store = connect_resultdb(through(url, relay))
    anew(store)
    count = pieces_of(relay, lambda: store.save([results("a", "1")]))
    for point in range(count - 3, count):  # in the middle, and at the answer to COMMIT
        anew(store)
        relay.fault = Fault(point, how)
        took, error = failed(lambda point=point: store.save([results(f"{how}-{point}", "1")]))  # type: ignore[misc]
        assert type(error) is StoreUnavailable, point
        assert took < ENDS, point
        relay.fault = None
        took, error = failed(lambda point=point: store.save([results(f"{how}-{point}", "1")]))  # type: ignore[misc]
        assert error is None, point
        assert took < BACK, point
        assert store.get("p", f"{how}-{point}"), point
    store.close()


@pytest.mark.parametrize("how", [pytest.param(SILENT, marks=pytest.mark.faults), ENDED, HALF])
def test_a_store_is_opened_or_refused_in_time(url: str, relays: list[Relay], how: str) -> None:
    count = pieces_of(relays[0], lambda: connect_resultdb(through(url, relays[0])).close())
    for point, relay in enumerate(relays[:count]):
        relay.fault = Fault(point, how)
    with ThreadPoolExecutor(count) as pool:
        said = list(pool.map(lambda relay: failed(lambda: connect_resultdb(through(url, relay))), relays[:count]))
    last = count - 2 if how == ENDED else count  # behind its last words nothing is asked any more
    assert {point: error for point, (_, error) in enumerate(said[:last]) if type(error) is not StoreUnavailable} == {}
    assert {point: took for point, (took, _) in enumerate(said) if took > 2 * ENDS} == {}, "PostgreSQL: of three doors"


def test_whole_tables_may_take_their_time(url: str) -> None:
    store = connect_resultdb(url + "?" + WAITS)
    database = store._database  # type: ignore[attr-defined]
    asleep = "SELECT pg_sleep(2.5)" if url.startswith("postgresql") else "SELECT SLEEP(2.5)"

    def long() -> None:
        with database.read() as connection:
            database.take_time(connection)
            connection.exec_driver_sql(asleep)

    with ThreadPoolExecutor(1) as pool:
        meanwhile = pool.submit(long)
        with pytest.raises(StoreUnavailable, match=r"no answer within 2 s|timed out"), database.read() as connection:
            connection.exec_driver_sql(asleep)
        meanwhile.result()
    store.close()
