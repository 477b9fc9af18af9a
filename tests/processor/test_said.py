"""Pieces of a log become lines with level and time."""

from __future__ import annotations

import logging

import pytest

from crawlkit.processor.capture import Capture, CaptureHandler, captured_print, capturing
from crawlkit.processor.masking import Mask
from crawlkit.processor.said import Piece, Said, from_text, lines_of


def piece(text: str, time: float = 1.0, level: int = 0, source: str = "") -> Piece:
    return Piece(text, level, time, source)


@pytest.mark.parametrize(
    ("pieces", "texts"),
    [
        ([], []),
        (["\n", " \n"], []),
        (["a\n"], ["a"]),
        (["a", "b\n", "c"], ["ab", "c"]),
        (["a\nb\n\nc\n"], ["a", "b", "c"]),
        (["a", "\n", "b", "\n"], ["a", "b"]),
    ],
)
def test_what_is_printed_comes_by_the_line(pieces: list[str], texts: list[str]) -> None:
    found = lines_of(piece(text, float(number)) for number, text in enumerate(pieces))
    assert [line.text for line in found] == texts
    assert {(line.level, line.source) for line in found} <= {(20, "print")}


def test_the_time_of_a_line_is_that_of_its_beginning() -> None:
    found = lines_of([piece("a", 1.0), piece("b\nc", 2.0), piece("d\n", 3.0)])
    assert found == [Said(1.0, 20, "print", "ab"), Said(2.0, 20, "print", "cd")]


def test_a_record_is_one_line_with_its_level() -> None:
    found = lines_of([
        piece("half"), piece("[W 261121 03:00:00 p:12] too\nmany\n", 2.0, 30, "p:12"), piece("Traceback\n", 3.0, 40),
    ])  # fmt: skip
    assert found == [
        Said(1.0, 20, "print", "half"), Said(2.0, 30, "p:12", "too\nmany"), Said(3.0, 40, "", "Traceback"),
    ]  # fmt: skip


@pytest.mark.parametrize("pieces", [["password\n"], ["pass", "word\n"], ["a\npass", "word b\n"], ["one\n", "two\n"]])
def test_secrets_are_masked_however_they_come(pieces: list[str]) -> None:
    capture = Capture(100, Mask(["password", "one\ntwo"]).text)
    for text in pieces:
        capture.write(text)
    said = "\n".join(line.text for line in capture.lines())
    assert "***" in said
    assert "pass" not in said
    assert "two" not in said


def test_a_whole_log() -> None:
    assert from_text("a\nb\n", True, 5.0) == [Said(5.0, 20, "", "a\nb")]
    assert from_text("x", False, 5.0)[0].level == 40
    assert from_text(" \n", True, 5.0) == []


def test_what_a_capture_holds() -> None:
    capture = Capture(limit=200)
    logger = logging.Logger("shop")
    logger.addHandler(CaptureHandler())
    with capturing(capture):
        captured_print("one", 2)
        logger.error("no price on %s", "page 3")
    first, second = capture.lines()
    assert (first.text, first.level) == ("one 2", 20)
    assert (second.text, second.level) == ("no price on page 3", 40)
    assert second.source.startswith("shop:")
    assert second.time >= first.time > 1e9
    with capturing(capture):
        captured_print("y" * 500)
    assert [line.text[:20] for line in capture.lines()] == ["... (its beginning i", "y" * 20]
