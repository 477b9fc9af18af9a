from __future__ import annotations

import codecs

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crawlkit.libs.charset import DECLARED_WITHIN, _declared_in, codec_name, decode, detect, from_declaration

GERMAN = "Füße und Bäume, schöne Grüße aus Köln; die Straße führt über den Fluß. " * 20
CHINESE = "中文网页的编码检测是一个常见的问题，需要处理各种情况。" * 20
JAPANESE = "日本語のウェブページの文字コードを判定します。これはテストです。" * 20
RUSSIAN = "Съешь же ещё этих мягких французских булок, да выпей чаю. " * 20


@pytest.mark.parametrize(
    ("content", "content_type", "expected"),
    [
        (codecs.BOM_UTF8 + b"x", "text/html; charset=gbk", "utf-8-sig"),
        ("x".encode("utf-16"), None, "utf-16"),
        (codecs.BOM_UTF32_LE + "x".encode("utf-32-le"), None, "utf-32"),
        (b"x", "text/html; charset=utf-8", "utf-8"),
        (b"x", 'text/html; Charset = "ISO-8859-2"', "iso8859-2"),
        (b"x", "text/html; charset=gb2312", "gb18030"),  # [H93]
        (b"x", "text/html; charset=GBK; other=1", "gb18030"),
        (b"x", "text/html; charset=shift_jis", "cp932"),
        (b"x", "text/html; charset=klingon", "utf-8"),
        (b"<meta charset=gb2312>", "text/html", "gb18030"),
        (b'<META http-equiv="x" content="text/html; charset=koi8-r">', None, "koi8-r"),
        (b'<?xml version="1.0" encoding="windows-1251"?><a/>', None, "cp1251"),
        (b'<meta charset="utf-16">', None, "utf-8"),
        (b" " * 2000 + b"<meta charset=koi8-r>", None, "utf-8"),  # too late
        (b"<meta charset=koi8-r>", "text/html; charset=latin-1", "iso8859-1"),  # the header wins
        (GERMAN.encode(), None, "utf-8"),
        (b"", None, "utf-8"),
        (b"\xff", None, "utf-8"),
        (b"plain", None, "utf-8"),
    ],
)
def test_detect(content: bytes, content_type: str | None, expected: str) -> None:
    found = detect(content, content_type)
    if content == b"\xff":
        assert codecs.lookup(found)  # anything that exists will do
    else:
        assert found == expected


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (GERMAN, "cp1252"),
        (CHINESE, "gb18030"),
        (CHINESE, "big5"),
        (JAPANESE, "shift_jis"),
        (JAPANESE, "euc-jp"),
        (RUSSIAN, "cp1251"),
    ],
)
def test_bytes_without_a_label_are_looked_at(text: str, encoding: str) -> None:
    content = text.encode(encoding, "ignore")
    assert decode(content, detect(content)) == content.decode(encoding)


def test_a_long_beginning_in_ascii_says_nothing() -> None:
    content = b"<script>var x = 1;</script>" * 1000 + CHINESE.encode("gb18030")
    assert detect(content) == "gb18030"
    assert detect(b"x" * 10_000 + GERMAN.encode()) == "utf-8"


def test_utf8_cut_in_the_middle_of_a_character_is_still_utf8() -> None:
    assert detect(("x" + "é" * 5000).encode()) == "utf-8"


@pytest.mark.parametrize(
    "label", ["rot13", "zlib", "base64", "hex", "idna", "punycode", "unicode_escape", "", "x" * 99, "é", "a\0b", "../x"]
)
def test_labels_that_are_no_text_encoding_are_refused(label: str) -> None:
    assert codec_name(label) is None


@given(st.binary(max_size=200), st.none() | st.text(max_size=40))
def test_whatever_a_server_sends_is_decoded(content: bytes, content_type: str | None) -> None:
    decode(content, detect(content, content_type)).encode("utf-16", "surrogatepass")


def test_an_unknown_codec_is_read_as_utf8() -> None:
    assert decode("é".encode(), "klingon") == "é"


_pieces = st.lists(
    st.sampled_from(
        b"<meta |<META\n|charset|CHARSET|=|latin-1|utf-16|big5|\"|'| |>|<|<?xml |encoding|nonsense|content|/".split(
            b"|"
        )
    ),
    max_size=16,
).map(b"".join)


@given(_pieces)
@example(b"<script charset=latin-1><meta charset=big5>")
@example(b'<meta content="x" CHARSET=big5><meta charset=latin-1>')
@example(b"<?xml encoding='big5'?><meta charset=latin-1>")
@example(b"<meta charset=" + b"x" * 1100 + b">")
def test_a_beginning_that_is_remembered_says_what_the_whole_says(content: bytes) -> None:
    assert from_declaration(content) == _declared_in(content[:DECLARED_WITHIN])
