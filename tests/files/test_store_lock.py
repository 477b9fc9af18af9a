"""Locks in a store: held by signs of life, taken over from the dead."""

from __future__ import annotations

import threading
import time

import msgspec
import pytest

from crawlkit.files import store_lock
from crawlkit.files.store import Store
from crawlkit.files.store_lock import StoreLocks
from crawlkit.libs.clock import ManualClock


@pytest.fixture
def store(url: str) -> Store:
    return Store(url)


def test_one_has_it(store: Store) -> None:
    clock = ManualClock()
    here, there = StoreLocks(store, clock.monotonic), StoreLocks(store, clock.monotonic)
    lock = here.try_lock("locks/a")
    assert lock is not None
    assert here.try_lock("locks/a") is None
    assert there.try_lock("locks/a") is None
    other = there.try_lock("locks/b")
    assert other is not None
    lock.release()
    lock = there.try_lock("locks/a")
    assert lock is not None
    for each in (lock, other):
        each.release()
    assert store.names("locks") == []


def test_it_is_taken_over_when_its_holder_says_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_lock, "_machine", lambda: "")  # another machine: nobody can look for its process
    clock = ManualClock()
    held = StoreLocks(store, clock.monotonic).try_lock("a")
    assert held is not None
    there = StoreLocks(store, clock.monotonic)
    assert there.try_lock("a") is None
    clock.advance(store_lock.STALE - 1)
    assert there.try_lock("a") is None
    held.sign.beat += 1
    store.put("a", msgspec.json.encode(held.sign))
    assert there.try_lock("a") is None
    clock.advance(store_lock.STALE - 1)
    assert there.try_lock("a") is None
    clock.advance(1)
    taken = there.try_lock("a")
    assert taken is not None
    held.release()  # it was only slow; what it held is another's
    assert store.get("a") is not None
    taken.release()
    assert store.get("a") is None


def keepers(before: set[threading.Thread]) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "crawlkit-file-locks" and thread not in before]


def test_its_keeper_writes_signs_of_life(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_lock, "BEAT", 0.01)
    before = set(threading.enumerate())  # keepers of other tests sleep for seconds
    lock = StoreLocks(store, time.monotonic).try_lock("a")
    assert lock is not None
    assert keepers(before)
    deadline = time.monotonic() + 20
    while b'"beat":3' not in (store.get("a") or b"") and time.monotonic() < deadline:
        time.sleep(0.01)
    assert b'"beat":' in (store.get("a") or b"")
    lock.release()
    while keepers(before):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert store.get("a") is None


def test_a_dead_process_of_this_machine_is_seen_at_once(store: Store) -> None:
    locks = StoreLocks(store, ManualClock().monotonic)
    sign = store_lock._Sign("other", store_lock._machine(), 2**22 - 1, 1.0)
    for dead in (sign, msgspec.structs.replace(sign, pid=1)):  # gone, or its number is another's
        store.put("a", msgspec.json.encode(dead))
        lock = locks.try_lock("a")
        assert lock is not None
        lock.release()
