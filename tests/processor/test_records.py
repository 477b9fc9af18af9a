from __future__ import annotations

import pytest

from crawlkit.libs.errors import BadMessage
from crawlkit.libs.messages import encode
from crawlkit.processor.records import RecordLost, Records, pieces, read
from tests.processor.helpers import fetched


def test_a_record_is_the_message() -> None:
    page = fetched("p", "v", content=b"\0body\xff")
    assert read(b"".join(pieces(encode(page)))) == page


def test_a_large_body_is_part_of_the_record() -> None:
    page = fetched("p", "v", content=b"", blob="b1")
    found = read(b"".join(pieces(encode(page), [b"one", b"", b"two"])))
    assert (found.content, found.blob) == (b"onetwo", None)


@pytest.mark.parametrize("record", [b"", b"\1\0", b"\xff\0\0\0", b"\3\0\0\0abc"])
def test_what_is_no_record_is_told(record: bytes) -> None:
    with pytest.raises(BadMessage):
        read(record)


def test_records_are_read_when_asked_for_and_once() -> None:
    page = fetched("p", "v")
    asked: list[str] = []
    blobs = {"a": b"".join(pieces(encode(page))), "broken": b"x"}

    def load(blob: str) -> bytes | None:
        asked.append(blob)
        return blobs.get(blob)

    records = Records([(0, "a"), (1, ""), (2, "gone"), (3, "broken")], load)
    assert (len(records), list(records), 1 in records, 4 in records, asked) == (4, [0, 1, 2, 3], True, False, [])
    assert records[0] == page
    assert records.get(0) == page
    assert records[1] is None
    assert records.get(4) is None
    with pytest.raises(RecordLost, match="await number 2 is gone"):
        records.get(2)
    with pytest.raises(RecordLost, match="await number 3 cannot be read"):
        records.get(3)
    assert asked == ["a", "gone", "broken"]
