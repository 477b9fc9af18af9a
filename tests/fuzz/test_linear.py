"""R-43: no text makes a parser run away. Time grows with the length of what strangers send, never with its square."""

from __future__ import annotations

import time

import pytest

from tests.fuzz.targets import TARGETS, attempt

SIZE = 6_000  # bytes; in the square of it there is a second at least
SECONDS = 0.3
EVERYWHERE = [b" ", b"\t", b"\n", b"a", b"0", b"9", b"=", b";", b",", b'"', b"'", b"\\", b"<", b"<!", b"(", b"[", b"{",
              b"%", b"&", b"/", b".", b":", b"@", b"-", b"a=", b"=a;", b" \t", b"a ", b"\r\n ", b"\xff"]  # fmt: skip


def crafted(pieces: list[bytes]) -> list[bytes]:
    """Each piece again and again, alone, behind a beginning, and with an end that it did not lead to."""
    texts = [piece * (SIZE // len(piece)) for piece in dict.fromkeys([*EVERYWHERE, *pieces])]
    return texts + [pieces[0] + text + b"!" for text in texts]


@pytest.mark.parametrize("name", TARGETS)
def test_time_grows_with_the_length(name: str) -> None:
    target = TARGETS[name]
    slow = []
    for text in crafted(target.pieces):
        began = time.process_time()
        attempt(target, text)
        if time.process_time() - began > SECONDS:
            slow.append((text[:30], time.process_time() - began))
    assert not slow
