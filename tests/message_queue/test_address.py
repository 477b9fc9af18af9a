from __future__ import annotations

import os
from pathlib import Path

import pytest

from crawlkit.libs.errors import UsageError
from crawlkit.message_queue.address import MAX_SOCKET_PATH, data_path_of, socket_path


def test_relative_and_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert data_path_of("local://data") == tmp_path / "data"
    assert data_path_of("local:///var/x") == Path("/var/x")


@pytest.mark.parametrize("url", ["local://", "redis://x", "data"])
def test_others_are_refused(url):
    with pytest.raises(UsageError):
        data_path_of(url)


def test_the_socket_is_under_the_data_path():
    assert socket_path("/var/x") == Path("/var/x/queues.sock")
    assert socket_path("/run/own.sock") == Path("/run/own.sock")


def test_a_long_data_path_has_a_short_socket():
    deep = Path("/" + "d" * 200)
    found = socket_path(deep)
    assert len(os.fsencode(found)) <= MAX_SOCKET_PATH
    assert found == socket_path(deep)
    assert found != socket_path(str(deep) + "x")
