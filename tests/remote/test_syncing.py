"""What is to be done with one project of a folder and a server: no step may lose an edit."""

from __future__ import annotations

import hashlib
import itertools

import pytest

from crawlkit.database.rules import version_of as version_in_store
from crawlkit.remote.syncing import DIFF_LINES, Known, Step, decide, diff, looks_like_a_handler, version_of

A, B, C = "a" * 32, "b" * 32, "c" * 32


@pytest.mark.parametrize(
    ("base", "local", "remote", "step"),
    [
        (None, None, None, Step.NOTHING),
        (None, A, None, Step.CREATE),
        (None, None, A, Step.PULL),
        (None, A, A, Step.SAME),
        (None, A, B, Step.CONFLICT),
        (A, A, A, Step.NOTHING),
        (A, B, A, Step.PUSH),
        (A, A, B, Step.PULL),
        (A, B, B, Step.SAME),
        (A, B, C, Step.CONFLICT),
        (A, None, A, Step.FILE_GONE),
        (A, None, B, Step.PULL),
        (A, A, None, Step.REMOVED),
        (A, B, None, Step.REMOVED_CHANGED),
        (A, None, None, Step.NOTHING),
    ],
)
def test_the_table(base: str | None, local: str | None, remote: str | None, step: Step) -> None:
    assert decide(Known(base=base), local, remote) is step


def test_a_conflict_ends_when_it_is_merged() -> None:
    known = Known(base=A, conflict=C)
    assert decide(known, B, C) is Step.CONFLICT
    assert decide(known, B, C, merged=True) is Step.PUSH
    assert decide(known, B, "d" * 32, merged=True) is Step.CONFLICT  # the server went on meanwhile
    assert decide(known, C, C) is Step.SAME
    assert decide(known, A, C) is Step.PULL  # one's own changes were taken back


def test_a_file_that_was_deleted_comes_back_when_the_server_changes_it() -> None:
    known = Known(gone=A)
    assert decide(known, None, A) is Step.NOTHING
    assert decide(known, None, B) is Step.PULL
    assert decide(known, B, A) is Step.CONFLICT
    assert decide(known, A, A) is Step.SAME


def test_nothing_is_lost_whatever_is_there() -> None:
    values = (None, A, B, C)
    for base, conflict, gone, local, remote in itertools.product(values, repeat=5):
        for merged in (False, True):
            step = decide(Known(base=base, conflict=conflict, gone=gone), local, remote, merged=merged)
            seen = {base, conflict} if merged else {base}
            if step is Step.PULL:  # the file's text is one that the server has had, or there is none
                assert local is None or local in seen
            if step is Step.PUSH:  # so is the server's
                assert remote is not None
                assert remote in seen
            if step in (Step.PUSH, Step.CREATE, Step.CONFLICT, Step.REMOVED, Step.REMOVED_CHANGED):
                assert local is not None
            if step is Step.CREATE:
                assert remote is None
            if step is Step.REMOVED:
                assert (remote, local in seen) == (None, True)


def test_versions_are_those_of_the_store() -> None:
    text = "x = 'ü'\n"
    assert version_of(text) == version_in_store(text) == hashlib.md5(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("class Handler(BaseHandler):\n    pass\n", True),
        ("from crawlkit import *\n\n\nclass Shop( crawlkit.BaseHandler , Mixin):\n    pass\n", True),
        ("class Handler:\n    pass\n", False),
        ("# class Handler(BaseHandler)\nx = 1\n", False),
        ("", False),
    ],
)
def test_handlers_are_told_from_helpers(text: str, is_one: bool) -> None:
    assert looks_like_a_handler(text) is is_one


def test_a_difference_is_shown_in_bounded_length() -> None:
    shown = diff("a\nb\nmine\n", "a\nb\ntheirs\n", "shop.py").splitlines()
    assert shown[:2] == ["--- shop.py on the server", "+++ shop.py here"]
    assert shown[-2:] == ["-theirs", "+mine"]
    long = diff("\n".join(map(str, range(5_000))), "", "shop.py").splitlines()
    assert len(long) == DIFF_LINES + 1
    assert "lines more" in long[-1]
