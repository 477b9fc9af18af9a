"""A tiny site for the tests of whole commands."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.site import Site


@pytest.fixture
def site() -> Iterator[Site]:
    served = Site()
    yield served
    served.close()
