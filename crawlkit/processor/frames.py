"""The wire between the service and a worker: a header of 13 bytes, then the payload.

Pure: turns bytes into frames and back. No sockets here.
"""

from __future__ import annotations

import struct

from crawlkit.libs.errors import BadMessage
from crawlkit.libs.messages import MAX_MESSAGE

HEADER = struct.Struct("<IBQ")  # length of the payload, kind, number of the task
MAX_FRAME = MAX_MESSAGE + 4096
CHUNK = 2**18  # bytes read from a socket at once
ANSWER_CHUNK = 2**20  # bytes of an answer in one frame

# service -> worker
SCRIPT = 1  # payload: msgpack of a Script; its tasks may follow
TASK = 2  # payload: the Fetched message, untouched
ANSWER = 3  # a piece of the answer to an ASK
ANSWER_END = 4
ANSWER_NONE = 5  # there is no answer
SETTINGS = 6  # payload: msgpack of Settings; they hold for the tasks that follow

# worker -> service; the two lowest bits of an outcome's kind are flags
OUTCOME = 16
HAS_RESULTS = 1
IS_LAST = 2
ASK = 32  # payload: msgpack of (what, name); the worker waits for the answer
BAD_TASK = 33  # payload: why the message cannot be read
GOODBYE = 34  # payload: why the worker takes no more tasks
SKIPPED = 35  # the task had been taken back before it could start
IMPORTED = 36  # payload: msgpack of {project: version of its script} that a loaded script imported
LOGS = 37  # payload: msgpack of [Said]; what the running callback logged, before its last part
KINDS_UP = frozenset({*range(OUTCOME, OUTCOME + 4), ASK, BAD_TASK, GOODBYE, SKIPPED, IMPORTED, LOGS})

ASK_SCRIPT = "script"  # the script of another project; an answer of none: no such project
ASK_BLOB = "blob"  # the body of the task: it goes from the store when the task's round has ended
ASK_KEEP = "keep"  # stores the message of the running task, for a callback that waits; the answer is the blob
ASK_RECORD = "record"  # something else from the blob store, which stays there

Frame = tuple[int, int, bytes]  # (kind, number, payload)


def header(kind: int, number: int, length: int) -> bytes:
    """The bytes before a payload of ``length`` bytes."""
    return HEADER.pack(length, kind, number)


class FrameReader:
    """Collects bytes and gives back whole frames."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are complete with ``data``; raises :class:`BadMessage` when these are no frames.

        Each byte is copied once, and those of a frame that came in pieces a second time.
        """
        frames: list[Frame] = []
        at = self._go_on(data, frames) if self._rest else 0
        size, head = len(data), HEADER.size
        while size - at >= head:
            length, kind, number = _read_header(data, at)
            end = at + head + length
            if end > size:
                break
            frames.append((kind, number, data[at + head : end]))
            at = end
        if at < size:
            self._rest += data[at:]
        return frames

    def _go_on(self, data: bytes, frames: list[Frame]) -> int:
        """Goes on with the frame whose beginning came before; returns how much of ``data`` is its."""
        rest, head = self._rest, HEADER.size
        at = max(0, head - len(rest))
        rest += data[:at]
        if len(rest) < head:
            return len(data)
        length, kind, number = _read_header(rest, 0)
        missing = head + length - len(rest)
        rest += data[at : at + missing]
        if len(rest) < head + length:
            return len(data)
        self._rest = bytearray()
        frames.append((kind, number, bytes(memoryview(rest)[head:])))
        return at + missing


def _read_header(source: bytes | bytearray, at: int) -> tuple[int, int, int]:
    """(length of the payload, kind, number); raises :class:`BadMessage`."""
    length, kind, number = HEADER.unpack_from(source, at)
    if length > MAX_FRAME:
        raise BadMessage(f"a frame of {length} bytes is over the limit of {MAX_FRAME}")
    return length, kind, number
