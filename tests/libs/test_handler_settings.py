"""``self.settings``."""

from __future__ import annotations

import pytest

from crawlkit.libs.base_handler import BaseHandler
from crawlkit.libs.handler_settings import HandlerSettings


def test_it_is_a_mapping_that_nobody_changes() -> None:
    settings = HandlerSettings("shop", {"api_key": "hunter2", "user": "ann"})
    assert settings["api_key"] == "hunter2"
    assert dict(settings) == {"api_key": "hunter2", "user": "ann"}
    assert len(settings) == 2
    assert "user" in settings
    assert settings.get("other", "x") == "x"
    with pytest.raises(TypeError):
        settings["user"] = "bob"  # type: ignore[index]


def test_a_missing_one_says_how_to_set_it() -> None:
    with pytest.raises(KeyError, match="no setting 'api_key'; set it with: crawlkit project set shop api_key"):
        HandlerSettings("shop")["api_key"]
    with pytest.raises(KeyError, match="crawlkit project set PROJECT api_key"):
        BaseHandler().settings["api_key"]


def test_one_that_cannot_be_read_says_why() -> None:
    settings = HandlerSettings("shop", {}, {"api_key": "it does not open"})
    with pytest.raises(KeyError, match="it does not open"):
        settings["api_key"]
    assert "api_key" not in settings


def test_values_do_not_show() -> None:
    settings = HandlerSettings("shop", {"api_key": "hunter2"})
    assert "hunter2" not in f"{settings} {settings!r}"


def test_who_runs_it_may_change_it() -> None:
    settings = HandlerSettings()
    handler = BaseHandler()
    handler.settings = settings
    settings.fill("shop", {"a": "1"}, {})
    assert handler.settings["a"] == "1"
    settings.fill("shop", {}, {})
    assert "a" not in handler.settings
