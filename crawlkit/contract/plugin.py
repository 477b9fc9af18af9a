"""The pytest plug-in: the options that say which backends are tried, and the stores and queues made of them.

It is loaded by every pytest run on a machine with crawlkit, so nothing else is imported here before a test asks for it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

KINDS = ("queue", "taskdb", "projectdb", "resultdb")
FRESH = ("{name}", "{folder}")


def pytest_addoption(parser: pytest.Parser) -> None:
    """One option a kind of backend."""
    group = parser.getgroup("crawlkit", "the contract of crawlkit's backends (pytest --pyargs crawlkit.contract)")
    for kind in KINDS:
        group.addoption(
            f"--crawlkit-{kind}", action="append", default=[], metavar="URL",
            help="A backend to try, empty for each test: {name} in it becomes another word each time, {folder} another"
            " folder. Can be repeated.",
        )  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    """Refuses URLs whose second test would find what the first one left."""
    for kind in KINDS:
        for url in config.getoption(f"--crawlkit-{kind}"):
            if not url.startswith("memory:") and not any(word in url for word in FRESH):
                raise pytest.UsageError(
                    f"--crawlkit-{kind} {url}: write {{name}} or {{folder}} into it: each test needs an empty one"
                )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test once for each URL."""
    for kind in KINDS:
        for fixture in {f"crawlkit_{kind}", f"crawlkit_{kind}s"}.intersection(metafunc.fixturenames):
            metafunc.parametrize(fixture, metafunc.config.getoption(f"--crawlkit-{kind}"), indirect=True)


def _fresh(request: pytest.FixtureRequest) -> str:
    url = str(request.param)
    if "{folder}" in url:
        folder: Path = request.getfixturevalue("tmp_path")
        url = url.replace("{folder}", str(folder))
    return url.replace("{name}", f"crawlkit{secrets.token_hex(6)}")


@pytest.fixture
def crawlkit_queue(request: pytest.FixtureRequest) -> Callable[[int, int], Any]:
    """From bounds (messages, bytes) to a broker, not yet connected."""
    from crawlkit.message_queue.registry import connect_broker

    url = _fresh(request)
    return lambda max_messages, max_bytes: connect_broker(url, max_messages=max_messages, max_bytes=max_bytes)


@pytest.fixture
def crawlkit_taskdb(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A taskdb."""
    from crawlkit.database.registry import connect_taskdb

    store = connect_taskdb(_fresh(request))
    yield store
    store.close()


@pytest.fixture
def crawlkit_taskdbs(request: pytest.FixtureRequest) -> Iterator[Callable[[], Any]]:
    """Opens one more store on the same taskdb. One in memory has a method ``beside()`` for it."""
    from crawlkit.database.registry import connect_taskdb

    url = _fresh(request)
    made: list[Any] = []

    def connect() -> Any:
        beside = getattr(made[0], "beside", None) if made else None
        made.append(beside() if beside is not None else connect_taskdb(url))
        return made[-1]

    yield connect
    for store in made:
        store.close()


@pytest.fixture
def crawlkit_projectdb(request: pytest.FixtureRequest) -> Iterator[Callable[[Any], Any]]:
    """From a clock to a projectdb."""
    from crawlkit.database.registry import connect_projectdb

    made: list[Any] = []

    def connect(clock: Any) -> Any:
        made.append(connect_projectdb(_fresh(request), clock=clock))
        return made[-1]

    yield connect
    for store in made:
        store.close()


@pytest.fixture
def crawlkit_resultdb(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A resultdb."""
    from crawlkit.database.registry import connect_resultdb

    store = connect_resultdb(_fresh(request))
    yield store
    store.close()
