"""One Chromium for all tests of this folder that render."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser.rig import Rig, Site
from tests.needs import binary


@pytest.fixture(scope="session")
def shared_rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    binary("chromium")
    rig = Rig(tmp_path_factory.mktemp("spool"))
    yield rig
    rig.close()


@pytest.fixture
def rig(shared_rig: Rig) -> Rig:
    """The browser, with an empty site."""
    shared_rig.site.pages.clear()
    shared_rig.site.asked.clear()
    return shared_rig


@pytest.fixture
def site(rig: Rig) -> Site:
    return rig.site
