"""Whatever bytes come, each parser reads them or raises what its callers expect.

A little in the default suite. `tox -e fuzz` gives each target CRAWLKIT_FUZZ_SECONDS, an hour for all of them; the bytes
that broke one are printed by hypothesis, and the seed in the name of the exception makes the same run again.
"""

from __future__ import annotations

import os
import time

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS, Target, attempt

SECONDS = float(os.environ.get("CRAWLKIT_FUZZ_SECONDS", "2"))


def strategy(target: Target) -> st.SearchStrategy[bytes]:
    """Noise, and what hangs together."""
    pieces = st.one_of(st.sampled_from(target.pieces), st.binary(max_size=6))
    return st.one_of(st.binary(max_size=200), st.lists(pieces, max_size=40).map(b"".join))


def runs(target: Target, examples: int, number: int) -> None:
    @seed(number)
    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(strategy(target))
    def run(data: bytes) -> None:
        attempt(target, data)

    run()


@pytest.mark.parametrize("name", TARGETS)
def test_a_little(name: str) -> None:
    runs(TARGETS[name], 60, 1)


@pytest.mark.fuzz
@pytest.mark.parametrize("name", TARGETS)
def test_for_long(name: str) -> None:
    began, number = time.monotonic(), int(time.time())
    while time.monotonic() - began < SECONDS:
        number += 1
        try:
            runs(TARGETS[name], 1000, number)
        except Exception as error:
            error.add_note(f"seed {number}")
            raise
