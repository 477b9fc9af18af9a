"""Multipart bodies, read back by a parser that is not ours."""

from __future__ import annotations

import email.parser
import email.policy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlkit.libs.errors import InvalidTask
from crawlkit.libs.multipart import Field, encode, fields_of, files_of


def parsed(body: bytes, kind: str) -> list[tuple[str, str | None, str, bytes]]:
    """(name, filename, type, content) of each part, in order."""
    parser = email.parser.BytesParser(policy=email.policy.HTTP)
    message = parser.parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
    found = []
    for part in message.iter_parts():
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        name = part.get_param("name", header="content-disposition")
        found.append((str(name), part.get_filename(), part.get_content_type(), content))
    return found


def raw(body: bytes, kind: str) -> list[bytes]:
    """The contents of the parts, byte for byte."""
    boundary = b"--" + kind.partition("boundary=")[2].encode()
    first, *parts, last = body.split(boundary)
    assert (first, last) == (b"", b"--\r\n")
    return [part.removesuffix(b"\r\n").partition(b"\r\n\r\n")[2] for part in parts]


@given(st.lists(st.binary(max_size=200), max_size=5))
def test_every_byte_survives(contents: list[bytes]) -> None:
    body, kind = encode([], [Field("f", content, "n") for content in contents])
    assert raw(body, kind) == contents
    assert encode([], [Field("f", content, "n") for content in contents]) == (body, kind)


def test_fields_and_files() -> None:
    body, kind = encode(
        fields_of({"a": "1", "b": ["x", 2], "none": None, "c": b"raw"}),
        files_of([("f", ("n.txt", "text", "text/plain")), ("f", {"m.bin": b"\0"}), ("g", b"g")]),
    )
    assert parsed(body, kind) == [
        ("a", None, "text/plain", b"1"),
        ("b", None, "text/plain", b"x"),
        ("b", None, "text/plain", b"2"),
        ("c", None, "text/plain", b"raw"),
        ("f", "n.txt", "text/plain", b"text"),
        ("f", "m.bin", "application/octet-stream", b"\0"),
        ("g", "g", "application/octet-stream", b"g"),
    ]


def test_nobody_breaks_out_of_a_header() -> None:
    body, kind = encode([Field('a"\r\nX: 1', "v")], [Field("f", "v", 'n"\r\n\r\nx', "text/plain\r\nX: 1")])
    head = b'Content-Disposition: form-data; name="a%22%0D%0AX: 1"\r\n\r\nv\r\n'
    assert head in body
    assert b'filename="n%22%0D%0A%0D%0Ax"\r\nContent-Type: text/plain X: 1\r\n\r\nv\r\n' in body
    assert len(raw(body, kind)) == 2


def test_a_boundary_is_never_in_the_content() -> None:
    _, kind = encode([], [Field("f", b"x", "n")])
    inside = kind.partition("boundary=")[2].encode()
    body, other = encode([], [Field("f", inside, "n")])
    assert raw(body, other) == [inside]


@pytest.mark.parametrize("files", ["f", b"f", 5, [1], [("a", "b", "c")], {"f": None}, {"f": ("n",)}, {"f": ("n", 5)}])
def test_what_is_no_file_is_told(files: Any) -> None:
    with pytest.raises(InvalidTask, match=r"^files"):
        files_of(files)
