"""A project that is pinned runs that version, and is asked anew when it changes."""

from __future__ import annotations

from crawlkit.libs.messages import INFO

from .play import Play


def test_the_pinned_version_runs_and_a_save_changes_nothing() -> None:
    play = Play()
    play.project(script="# 1")
    play.turn()
    old = play.projectdb.versions("p")[0].version
    play.project(script="# 2", pin=old)
    play.submit()
    assert [dispatch.script for dispatch in play.out] == [old]
    play.answer()
    play.project(script="# 3", pin=old)
    play.submit("http://h/2")
    assert {(dispatch.kind == INFO, dispatch.script) for dispatch in play.out} == {(False, old)}


def test_without_the_pin_the_newest_is_asked_first() -> None:
    play = Play()
    play.project(script="# 1")
    play.turn()
    first = play.projectdb.versions("p")[0].version
    play.project(script="# 2", pin=first)
    play.info = None  # from now on nobody answers
    play.turn()
    assert play.out == []
    play.project(script="# 2")
    newest = play.projectdb.versions("p")[0].version
    play.turn()
    assert [(dispatch.kind, dispatch.script) for dispatch in play.out] == [(INFO, newest)]
