"""A body is waited for while its store is away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import pytest

from crawlkit.database.memory import MemoryBlobStore
from crawlkit.libs.errors import StoreUnavailable
from crawlkit.processor import bodies


class Away(MemoryBlobStore):
    """A store that fails so many times first."""

    fails = 2

    def read(self, blob: str) -> Iterator[bytes]:
        if self.fails:
            self.fails -= 1
            raise StoreUnavailable("the server is gone")
        return super().read(blob)


def test_a_body_is_read_when_its_store_is_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(bodies, "RETRY", 0.01)
    caplog.set_level(logging.WARNING)
    store = Away()
    name = store.create([b"one", b"two"], "p/t/1")
    assert b"".join(asyncio.run(bodies.opened(store, name))) == b"onetwo"
    assert caplog.text.count("the server is gone") == 1


def test_one_that_is_gone_is_not_waited_for() -> None:
    with pytest.raises(KeyError):
        asyncio.run(bodies.opened(MemoryBlobStore(), "nothing"))
