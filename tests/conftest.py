"""What every test needs: hypothesis profiles, workers, signals as in a terminal, bytecode. Nothing of a single room."""

from __future__ import annotations

import os
import signal
import sys

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fuzz", deadline=None, max_examples=5_000, suppress_health_check=[HealthCheck.too_slow])
# On a machine for checks each run tries the same inputs, so that a change is judged by itself; the search for new ones
# is everybody's own, and that of `tox -e fuzz`.
settings.register_profile("ci", settings.get_profile("default"), derandomize=True, database=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "default"))

# A shell starts what runs in its background with SIGINT ignored, and every command that a test starts would inherit it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Tests start hundreds of commands: without bytecode on the disk each of them compiles all of crawlkit anew, and pytest
# each test, which is a quarter of what they cost.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


@pytest.hookimpl
def pytest_xdist_auto_num_workers() -> int | None:
    """What ``-n auto`` means: three for two cores, because tests wait for servers and processes much of their time.

    Eight at most, for the sake of the shared servers. PYTEST_XDIST_AUTO_NUM_WORKERS says another number.
    """
    if os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS"):
        return None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(8, (3 * cores + 1) // 2)
