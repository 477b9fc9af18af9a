"""Values of secrets do not get into what a task leaves behind."""

from __future__ import annotations

import json
from urllib.parse import quote, quote_plus, urlencode

import msgspec
import pytest

from crawlkit.libs.messages import Outcome, ProjectInfo, TrackFetch, TrackProcess, pack
from crawlkit.processor.capture import Capture
from crawlkit.processor.masking import Mask

VALUE = 'p4ss "wörd"\\&+ 1'


@pytest.mark.parametrize(
    "text",
    [
        VALUE,
        repr(VALUE),
        repr({"key": VALUE}),
        json.dumps({"key": VALUE}),
        json.dumps({"key": VALUE}, ensure_ascii=False),
        quote(VALUE),
        quote(VALUE, safe=""),
        quote_plus(VALUE),
        urlencode({"key": VALUE}),
        f"a{VALUE}b{VALUE}",
    ],
)
def test_every_way_to_write_it(text: str) -> None:
    masked = Mask([VALUE]).text(text)
    assert "***" in masked
    for piece in ("p4ss", "rd"):
        assert piece not in masked


def test_lines_of_a_value_over_several_lines() -> None:
    key = "-----BEGIN-----\nMIIEvQIBADANBg\nxyz\n-----END-----\n"
    masked = Mask([key]).text(f"line: MIIEvQIBADANBg\nrepr: {key!r}")
    assert masked == "line: ***\nrepr: '***'"


def test_short_values_and_none_change_nothing() -> None:
    assert not Mask()
    assert not Mask(["12345", ""])
    assert Mask(["12345"]).text("12345") == "12345"
    assert Mask(["123456"]).text("0123456") == "0***"


def test_of_two_values_the_longer_one_is_taken() -> None:
    assert Mask(["secret", "secret-longer"]).text("secret-longer secret") == "*** ***"


def test_a_capture_masks_before_it_cuts() -> None:
    capture = Capture(12, Mask(["hunter2-hunter2"]).text)
    capture.write("my password is hunter2-hunter2!")
    assert capture.text() == "...sword is ***!"[:3] + "ssword is ***!"[-12:]
    capture = Capture(100, Mask(["hunter2-hunter2"]).text)
    for piece in ("a hunter2", "-hun", "ter2 b"):
        capture.write(piece)
    assert capture.text() == "a *** b"


def test_an_outcome_is_masked_where_it_speaks_of_its_attempt() -> None:
    fetch = TrackFetch(
        error="no hunter2",
        content="<p>hunter2",
        headers={"X": "hunter2"},
        redirect_url="http://x/hunter2",
        rendered={"console": ["log: hunter2"], "xhr": [{"url": "http://x/hunter2", "status": 200}]},
    )
    process = TrackProcess(logs="hunter2", exception="KeyError: 'hunter2'", result='{"a":"hunter2"}')
    outcome = Outcome(
        "p", "t", 1, 1, 0, 0, True, ['{"a":"hunter2"}'], 0, "http://x/", "n", False, [], [],
        fetch=fetch, process=process, info=pack(ProjectInfo(error="bad hunter2")),
    )  # fmt: skip
    Mask(["hunter2"]).outcome(outcome)
    assert outcome.results == ['{"a":"hunter2"}']  # what the script yields is its own affair
    outcome.results = []
    assert "hunter2" not in repr(outcome)
    assert repr(outcome).count("***") == 9
    assert msgspec.msgpack.decode(outcome.info, type=ProjectInfo).error == "bad ***"
    Mask().outcome(outcome)
