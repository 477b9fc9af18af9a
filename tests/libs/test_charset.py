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
        (b"<meta charset=koi8-r>", "text/html; charset=latin-1", "cp1252"),  # the header wins
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
    "label",
    [
        "utf-7",
        "rot13",
        "zlib",
        "base64",
        "hex",
        "idna",
        "punycode",
        "unicode_escape",
        "",
        "x" * 99,
        "é",
        "a\0b",
        "../x",
    ],
)
def test_labels_that_are_no_text_encoding_are_refused(label: str) -> None:
    assert codec_name(label) is None


#: The labels of the WHATWG encoding standard, by the codec that reads what they mean.
STANDARD = {
    "utf-8": "unicode-1-1-utf-8 unicode11utf8 unicode20utf8 utf-8 utf8 x-unicode20utf8",
    "cp866": "866 cp866 csibm866 ibm866",
    "iso8859-2": "csisolatin2 iso-8859-2 iso-ir-101 iso8859-2 iso88592 iso_8859-2 iso_8859-2:1987 l2 latin2",
    "iso8859-3": "csisolatin3 iso-8859-3 iso-ir-109 iso8859-3 iso88593 iso_8859-3 iso_8859-3:1988 l3 latin3",
    "iso8859-4": "csisolatin4 iso-8859-4 iso-ir-110 iso8859-4 iso88594 iso_8859-4 iso_8859-4:1988 l4 latin4",
    "iso8859-5": "csisolatincyrillic cyrillic iso-8859-5 iso-ir-144 iso8859-5 iso88595 iso_8859-5 iso_8859-5:1988",
    "iso8859-6": "arabic asmo-708 csiso88596e csiso88596i csisolatinarabic ecma-114 iso-8859-6 iso-8859-6-e"
    " iso-8859-6-i iso-ir-127 iso8859-6 iso88596 iso_8859-6 iso_8859-6:1987",
    "iso8859-7": "csisolatingreek ecma-118 elot_928 greek greek8 iso-8859-7 iso-ir-126 iso8859-7 iso88597 iso_8859-7"
    " iso_8859-7:1987 sun_eu_greek",
    "iso8859-8": "csiso88598e csiso88598i csisolatinhebrew hebrew iso-8859-8 iso-8859-8-e iso-8859-8-i iso-ir-138"
    " iso8859-8 iso88598 iso_8859-8 iso_8859-8:1988 logical visual",
    "iso8859-10": "csisolatin6 iso-8859-10 iso-ir-157 iso8859-10 iso885910 l6 latin6",
    "iso8859-13": "iso-8859-13 iso8859-13 iso885913",
    "iso8859-14": "iso-8859-14 iso8859-14 iso885914",
    "iso8859-15": "csisolatin9 iso-8859-15 iso8859-15 iso885915 iso_8859-15 l9",
    "iso8859-16": "iso-8859-16",
    "koi8-r": "cskoi8r koi koi8 koi8-r koi8_r",
    "koi8-u": "koi8-ru koi8-u",
    "mac-roman": "csmacintosh mac macintosh x-mac-roman",
    "mac-cyrillic": "x-mac-cyrillic x-mac-ukrainian",
    "cp874": "dos-874 iso-8859-11 iso8859-11 iso885911 tis-620 windows-874",
    "cp1250": "cp1250 windows-1250 x-cp1250",
    "cp1251": "cp1251 windows-1251 x-cp1251",
    "cp1252": "ansi_x3.4-1968 ascii cp1252 cp819 csisolatin1 ibm819 iso-8859-1 iso-ir-100 iso8859-1 iso88591"
    " iso_8859-1 iso_8859-1:1987 l1 latin1 us-ascii windows-1252 x-cp1252",
    "cp1253": "cp1253 windows-1253 x-cp1253",
    "cp1254": "cp1254 csisolatin5 iso-8859-9 iso-ir-148 iso8859-9 iso88599 iso_8859-9 iso_8859-9:1989 l5 latin5"
    " windows-1254 x-cp1254",
    "cp1255": "cp1255 windows-1255 x-cp1255",
    "cp1256": "cp1256 windows-1256 x-cp1256",
    "cp1257": "cp1257 windows-1257 x-cp1257",
    "cp1258": "cp1258 windows-1258 x-cp1258",
    "gb18030": "chinese csgb2312 csiso58gb231280 gb18030 gb2312 gb_2312 gb_2312-80 gbk iso-ir-58 x-gbk",
    "big5hkscs": "big5 big5-hkscs cn-big5 csbig5 x-x-big5",
    "euc_jp": "cseucpkdfmtjapanese euc-jp x-euc-jp",
    "iso2022_jp": "csiso2022jp iso-2022-jp",
    "cp932": "csshiftjis ms932 ms_kanji shift-jis shift_jis sjis windows-31j x-sjis",
    "cp949": "cseuckr csksc56011987 euc-kr iso-ir-149 korean ks_c_5601-1987 ks_c_5601-1989 ksc5601 ksc_5601"
    " windows-949",
    "utf-16-be": "unicodefffe utf-16be",
    "utf-16-le": "csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff utf-16le",
    "utf-16": "utf-16",  # little-endian unless it begins with a mark that says otherwise
}


@pytest.mark.parametrize("codec", STANDARD)
def test_R40_every_label_of_the_standard(codec: str) -> None:
    found = {label: codec_name(f" {label.upper()} ") for label in STANDARD[codec].split()}
    assert found == dict.fromkeys(found, codec)


@pytest.mark.parametrize(
    ("content", "content_type", "text"),
    [
        ("\ufeffé".encode(), "text/html; charset=utf-16", "é"),
        ("\ufeffé".encode(), "text/html; charset=utf-7", "é"),
        (codecs.BOM_UTF16_BE + "<meta charset=gbk>é".encode("utf-16-be"), "text/html; charset=utf-8", "é"),
        (codecs.BOM_UTF8 + "<meta charset=latin-1>é".encode(), None, "é"),
        ("<meta charset=latin-1>é".encode(), "text/html; charset=utf-8", "é"),
        ("<meta charset=koi8-r>é".encode("cp1252"), "text/html; charset=us-ascii", "é"),
        (b"<meta charset=utf-8>\x93x\x94 \x80", "text/html; charset=iso-8859-1", "\u201cx\u201d €"),
        ("<meta charset=koi8-r>я".encode("koi8-r"), "text/html; charset=klingon", "я"),
        ("<meta charset=koi8-r>я".encode("koi8-r"), "text/html; charset=", "я"),
        ("<meta charset=klingon><meta charset=koi8-r>é".encode(), None, "é"),
        ("<meta charset=utf-16le>é".encode(), None, "é"),
        ("뢔".encode("cp949"), "text/html; charset=euc-kr", "뢔"),
        (b"+ADw-b+AD4-", "text/html; charset=utf-7", "+ADw-b+AD4-"),
        (b"<meta charset=utf-7>+ADw-b+AD4-", None, "+ADw-b+AD4-"),
        (b"<meta charset=x-utf-7>+ADw-b+AD4-", "text/html; charset=csunicode11utf7", "+ADw-b+AD4-"),
        (b"\xe9", "text/html; charset=utf-8", "\ufffd"),
        (codecs.BOM_UTF16_LE + b"x\0\xe9", "text/html; charset=utf-8", "x\ufffd"),
    ],
)
def test_R40_what_contradicts_itself(content: bytes, content_type: str | None, text: str) -> None:
    assert decode(content, detect(content, content_type)).rpartition(">")[2] == text


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
