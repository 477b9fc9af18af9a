"""Which encoding a body is in: by BOM, header, declaration in the document, and at last by looking at the bytes.

Pure: bytes and headers in, the name of a Python codec out. Never raises for what a server may send.
"""

from __future__ import annotations

import codecs
import re
from functools import lru_cache

DECLARED_WITHIN = 1024  # bytes in which a document may declare its encoding (WHATWG)
SNIFFED = 4096  # bytes looked at, from the first that is not ASCII, when nothing is declared

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NOT_ASCII = re.compile(rb"[\x80-\xff]")
_HEADER = re.compile(r"charset\s*=\s*[\"']?\s*([^\s\"';,]+)", re.IGNORECASE)
_META = re.compile(rb"<meta\b[^>]*?charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:\-]+)", re.IGNORECASE)
_PROLOG = re.compile(rb"^\s*<\?xml\b[^>]*?encoding\s*=\s*[\"']([A-Za-z0-9_.:\-]+)[\"']", re.IGNORECASE)
# What browsers read instead of what is written (WHATWG encoding standard): servers send more under it than it holds.
_WIDER = {
    "ascii": "cp1252", "big5": "big5hkscs", "euc_kr": "cp949", "gb2312": "gb18030", "gbk": "gb18030",
    "iso8859-1": "cp1252", "iso8859-9": "cp1254", "iso8859-11": "cp874", "shift_jis": "cp932", "tis-620": "cp874",
}  # fmt: skip
# UTF-7 hides markup from everything else that looks at a page; no browser reads it.
_NO_ENCODINGS = frozenset(
    {"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "mbcs", "oem", "utf-7"}
)
# Labels of the standard that Python does not know, by codec.
_LABELS = {
    "utf-8": "unicode-1-1-utf-8 unicode11utf8 unicode20utf8 x-unicode20utf8 utf8mb4",
    "iso8859-2": "iso88592",
    "iso8859-3": "iso88593",
    "iso8859-4": "iso88594",
    "iso8859-5": "iso88595",
    "iso8859-6": "csiso88596e csiso88596i iso-8859-6-e iso-8859-6-i iso88596",
    "iso8859-7": "iso88597 sun_eu_greek",
    "iso8859-8": "csiso88598e csiso88598i iso-8859-8-e iso-8859-8-i iso88598 logical visual",
    "iso8859-10": "iso885910",
    "iso8859-13": "iso885913",
    "iso8859-14": "iso885914",
    "iso8859-15": "csisolatin9 iso885915",
    "koi8-r": "koi koi8",
    "koi8-u": "koi8-ru",
    "mac-roman": "csmacintosh mac x-mac-roman",
    "mac-cyrillic": "x-mac-cyrillic x-mac-ukrainian",
    "cp874": "dos-874 iso885911 windows-874",
    "cp1250": "x-cp1250",
    "cp1251": "x-cp1251",
    "cp1252": "iso88591 x-cp1252",
    "cp1253": "x-cp1253",
    "cp1254": "iso88599 x-cp1254",
    "cp1255": "x-cp1255",
    "cp1256": "x-cp1256",
    "cp1257": "x-cp1257",
    "cp1258": "x-cp1258",
    "gb18030": "csgb2312 gb_2312 gb_2312-80 x-gbk",
    "big5hkscs": "cn-big5 x-x-big5",
    "cp932": "x-sjis windows-31j",
    "euc_jp": "cseucpkdfmtjapanese x-euc-jp",
    "cp949": "cseuckr csksc56011987 iso-ir-149 ks_c_5601-1989 ksc_5601 windows-949",
    "utf-16-be": "unicodefffe",
    "utf-16-le": "csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff",
}
_OTHER_NAMES = {label: codec for codec, labels in _LABELS.items() for label in labels.split()}


@lru_cache(maxsize=512)
def codec_name(label: str) -> str | None:
    """The Python codec a server's label means, or ``None`` when there is none for text.

    Labels are looked up in a table of codecs, never imported by name from the outside.
    """
    label = label.strip().strip("\"'").lower()
    label = _OTHER_NAMES.get(label, label)
    if not label or len(label) > 40 or not label.isascii():
        return None
    try:
        info = codecs.lookup(label)
    except (LookupError, ValueError):
        return None
    if not info._is_text_encoding or info.name.replace("_", "-") in _NO_ENCODINGS:
        return None
    return _WIDER.get(info.name, info.name)


def from_bom(content: bytes) -> str | None:
    for bom, name in _BOMS:
        if content.startswith(bom):
            return name
    return None


@lru_cache(maxsize=512)
def from_content_type(content_type: str | None) -> str | None:
    """The codec of a ``Content-Type`` header, if it names one that exists."""
    if not content_type:
        return None
    found = _HEADER.search(content_type)
    return codec_name(found[1]) if found else None


def from_declaration(content: bytes) -> str | None:
    """The codec of an XML prolog or a ``<meta>`` in the first bytes."""
    # Pages of a site begin alike. Neither kind of declaration goes on behind a ">", so nothing that comes later can
    # stand before one that was found.
    until = content.find(b">", content.find(b"charset", 0, DECLARED_WITHIN) + 1, DECLARED_WITHIN) + 1
    return _declared(content[:until]) or _declared_in(content[:DECLARED_WITHIN])


def _declared_in(head: bytes) -> str | None:
    found = _PROLOG.search(head) or _META.search(head)
    if found is None:
        return None
    name = codec_name(found[1].decode("ascii"))
    # It was read as ASCII, so it cannot be UTF-16 whatever it says.
    return "utf-8" if name and name.startswith(("utf-16", "utf-32")) else name


_declared = lru_cache(maxsize=64)(_declared_in)


def sniff(content: bytes) -> str:
    """A guess from the bytes themselves; ``utf-8`` when nothing speaks for anything else."""
    first = _NOT_ASCII.search(content)
    if first is None:
        return "utf-8"
    # Pages begin with scripts and styles: what tells encodings apart comes later
    sample = content[first.start() : first.start() + SNIFFED]
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        pass
    else:
        return "utf-8"
    import charset_normalizer  # slow to load, and most pages never come here

    name = charset_normalizer.detect(sample)["encoding"]
    return (codec_name(name) if isinstance(name, str) else None) or "utf-8"


def detect(content: bytes, content_type: str | None = None) -> str:
    """The name of the codec to decode ``content`` with [H93]."""
    if content[:1] in (b"\xef", b"\xff", b"\xfe", b"\x00"):
        name = from_bom(content)
        if name:
            return name
    return from_content_type(content_type) or from_declaration(content) or sniff(content)


def decode(content: bytes, encoding: str) -> str:
    """``content`` as text; what cannot be decoded becomes U+FFFD, an unknown codec is read as UTF-8 [H94]."""
    try:
        return content.decode(encoding, "replace")
    except (LookupError, UnicodeError):
        return content.decode("utf-8", "replace")
