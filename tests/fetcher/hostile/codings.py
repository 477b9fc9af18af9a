"""Bodies that cannot be opened, and bombs: small on the wire, large when they are opened."""

from __future__ import annotations

import gzip
import itertools
import struct
import zlib
from collections.abc import Callable
from functools import lru_cache, partial

import brotli
import zstandard

from tests.fetcher.helpers import answer
from tests.fetcher.hostile import MIB, OK, Script, coded, moved, repeats, routes, says

TEXT = b"<p>page</p>" * 999


def raw_deflate(data: bytes) -> bytes:
    coder = zlib.compressobj(wbits=-15)
    return coder.compress(data) + coder.flush()


def zstd(data: bytes, **options: object) -> bytes:
    return zstandard.ZstdCompressor(**options).compress(data)  # type: ignore[arg-type]


CODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "raw": raw_deflate,
    "br": lambda data: brotli.compress(data, quality=1),
    "zstd": zstd,
}


@lru_cache
def squeezed(coding: str, size: int) -> bytes:
    """That many zeroes, packed without ever being there."""
    block = bytes(MIB)
    if coding == "br":
        coder = brotli.Compressor(quality=5, lgwin=22)
        return b"".join([coder.process(block) for _ in range(size // MIB)]) + coder.finish()
    if coding == "zstd":
        stream = zstandard.ZstdCompressor().compressobj()
        return b"".join([stream.compress(block) for _ in range(size // MIB)]) + stream.flush()
    deflate = zlib.compressobj(1, wbits={"gzip": 31, "deflate": 15, "raw": -15}[coding])
    return b"".join([deflate.compress(block) for _ in range(size // MIB)]) + deflate.flush()


def bomb(*layers: str) -> bytes:
    """The answer with a bomb of 64 MiB, packed by each of the layers."""
    body = squeezed(layers[0], 64 * MIB)
    for layer in layers[1:]:
        body = CODERS[layer](body)
    return coded(", ".join(layers).replace("raw", "deflate"), body)


def flipped(data: bytes, place: int) -> bytes:
    changed = bytearray(data)
    changed[place] ^= 0x55
    return bytes(changed)


GZ, ZLIB, BR, ZSTD = gzip.compress(TEXT), zlib.compress(TEXT), brotli.compress(TEXT), zstd(TEXT)
CHECKED = zstd(TEXT, write_checksum=True)
FRAME = struct.pack("<I", 0xFD2FB528)

BROKEN = {
    "gzip: noise": ("gzip", b"\x1f\x8bnonsense"),
    "gzip: plain text": ("gzip", TEXT),
    "gzip: only its name": ("gzip", b"\x1f\x8b"),
    "gzip: cut": ("gzip", GZ[:-9]),
    "gzip: without its last byte": ("gzip", GZ[:-1]),
    "gzip: wrong sum": ("gzip", flipped(GZ, -8)),
    "gzip: wrong length": ("gzip", flipped(GZ, -1)),
    "gzip: another method": ("gzip", flipped(GZ, 2)),
    "gzip: reserved flags": ("gzip", GZ[:3] + b"\xe0" + GZ[4:]),
    "gzip: a byte wrong inside": ("gzip", flipped(GZ, len(GZ) // 2)),
    "gzip: a second member that is broken": ("gzip", GZ + b"\x1f\x8b\x08\xff"),
    "gzip: is br": ("gzip", BR),
    "gzip: is zstd": ("gzip", ZSTD),
    "gzip: only once": ("gzip, gzip", GZ),
    "deflate: noise": ("deflate", b"\xff" * 100),
    "deflate: plain text": ("deflate", TEXT),
    "deflate: cut": ("deflate", ZLIB[:-9]),
    "deflate: wrong sum": ("deflate", flipped(ZLIB, -1)),
    "deflate: a dictionary nobody has": ("deflate", b"\x78\xbb\x00\x00\x00\x01" + ZLIB[2:]),
    "deflate: a block of a kind there is not": ("deflate", b"\x78\x9c\x07"),
    "deflate: a stored block whose lengths differ": ("deflate", b"\x78\x9c\x01\x05\0\0\0hello"),
    "deflate: from before its start": ("deflate", b"\x78\x9c" + raw_deflate(TEXT)[12:]),
    "br: noise": ("br", b"\xff" * 100),
    "br: plain text": ("br", TEXT),
    "br: cut": ("br", BR[:-3]),
    "br: is gzip": ("br", GZ),
    "zstd: noise": ("zstd", b"\xff" * 100),
    "zstd: plain text": ("zstd", TEXT),
    "zstd: cut": ("zstd", ZSTD[:-3]),
    "zstd: only its name": ("zstd", FRAME),
    "zstd: wrong sum": ("zstd", flipped(CHECKED, -1)),
    "zstd: a window of 2 GB": ("zstd", FRAME + b"\x00\xa8" + b"\x0b\0\0x"),
    "zstd: a dictionary nobody has": ("zstd", FRAME + b"\x23\x07\0\0\0" + ZSTD[6:]),
    "zstd: a block of a kind there is not": ("zstd", FRAME + b"\x00\x40" + b"\x07\0\0"),
    "zstd: a reserved bit": ("zstd", FRAME + b"\x08\x40" + b"\x01\0\0"),
    "zstd: is br": ("zstd", BR),
    "five on top of each other": ("gzip, gzip, gzip, gzip, gzip", GZ),
}

PAIRS = list(itertools.product(("gzip", "deflate", "br", "zstd"), repeat=2))

ENDLESS = {
    "gzip members that are empty": ("gzip", b"", gzip.compress(b"") * 500, "decode"),
    "gzip padding": ("gzip", gzip.compress(b"x"), bytes(65_536), "too_large"),
    "gzip name": ("gzip", b"\x1f\x8b\x08\x08\0\0\0\0\0\0", b"n" * 65_536, "too_large"),
    "gzip comment": ("gzip", b"\x1f\x8b\x08\x10\0\0\0\0\0\0", b"c" * 65_536, "too_large"),
    "deflate blocks that are empty": ("deflate", b"\x78\x9c", b"\0\0\0\xff\xff" * 10_000, "too_large"),
    "zstd frames that are empty": ("zstd", b"", zstd(b"") * 5000, "too_large"),
    "zstd frames to be skipped": ("zstd", b"", b"\x50\x2a\x4d\x18\x08\0\0\0ignored." * 5000, "too_large"),
    "padding behind br": ("br", brotli.compress(b"x"), bytes(65_536), "decode"),
}

SCRIPTS = [
    *[Script("broken: " + name, says(coded(coding, body)), "decode") for name, (coding, body) in BROKEN.items()],
    *[Script("bomb: " + name, says(partial(bomb, name)), "too_large") for name in CODERS],
    *[Script("bomb: " + ", ".join(pair), says(partial(bomb, *pair)), "too_large") for pair in PAIRS],
    Script("bomb: three times gzip", says(partial(bomb, "gzip", "gzip", "gzip")), "too_large"),
    Script("bomb: one of each", says(partial(bomb, "zstd", "br", "deflate", "gzip")), "too_large"),
    Script("bomb: many members", says(lambda: coded("gzip", squeezed("gzip", 4 * MIB) * 16)), "too_large"),
    Script("bomb: many frames", says(lambda: coded("zstd", squeezed("zstd", 4 * MIB) * 16)), "too_large"),
    Script("bomb: raw deflate in gzip", says(partial(bomb, "raw", "gzip")), "too_large"),
    Script("bomb: as an error page", says(lambda: coded("br", squeezed("br", 64 * MIB), "404 Not Found")), "too_large"),
    Script("bomb: of a wish", says(lambda: coded("gzip", squeezed("gzip", MIB))), "too_large", {"max_size": 1000}),
    Script("bomb: behind a redirect", routes(moved("/bomb"), bomb=partial(bomb, "zstd")), "too_large"),
    Script("bomb: as a redirect", routes(
        lambda: answer(squeezed("br", 64 * MIB), "302 Found", "Location: /end\r\nContent-Encoding: br\r\n"),
        end=answer(b"end")), ""),
    Script("bomb: as robots.txt", routes(answer(b"page"), robots=partial(bomb, "gzip")), "", {"robots_txt": True}),
    *[Script("endless: " + name, repeats(OK + f"Content-Encoding: {coding}\r\n\r\n".encode() + head, piece), kind)
      for name, (coding, head, piece, kind) in ENDLESS.items()],
    Script("said twice", says(answer(gzip.compress(GZ), headers="Content-Encoding: gzip\r\n" * 2)), ""),
    Script("a name nobody knows", says(coded("snappy", TEXT)), ""),
    Script("the charset as the coding", says(coded("utf-8", TEXT)), ""),
]  # fmt: skip
