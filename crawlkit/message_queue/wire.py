"""The frames of ``local://`` and ``manager://``: what they mean, and how they become bytes and back.

Pure: no socket, no loop. A frame is four bytes of length (big-endian) and one msgpack array. Nothing is unpickled.
Bodies are not copied on their way out: the pieces of a frame go into one ``sendmsg``.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from crawlkit.libs.errors import BadMessage

PROTOCOL = 1
MAX_FRAME = 16 * 2**20  # bytes; a message is at most 8 MiB
MAX_HELLO = 1024  # before the other side has shown the key
CHUNK = 640 * 1024  # bytes of bodies in one frame, unless one body is larger
SMALL = 2048  # bodies up to this size are cheaper to copy than to send as a piece of their own
NONCE = 32

_length = struct.Struct(">I")
_bin32 = struct.Struct(">BI")

Piece = bytes | bytearray | memoryview


# client -> server. ``rid`` is the number of a request; what has none is not answered.


class Hello(Struct, array_like=True, tag=0):
    """The first frame of a client, in answer to the server's :class:`Challenge`."""

    protocol: int
    name: str
    nonce: bytes
    proof: bytes  # of the shared key; empty where none is asked for


class Put(Struct, array_like=True, tag=1):
    rid: int
    queue: str
    timeout: float | None
    bodies: list[bytes]


class Get(Struct, array_like=True, tag=2):
    rid: int
    queue: str
    limit: int
    timeout: float | None


class Ack(Struct, array_like=True, tag=3):
    queue: str
    ids: list[int]


class Nack(Struct, array_like=True, tag=4):
    queue: str
    ids: list[int]


class Reject(Struct, array_like=True, tag=5):
    queue: str
    ids: list[int]
    reason: str


class Dead(Struct, array_like=True, tag=6):
    rid: int
    queue: str
    limit: int


class Size(Struct, array_like=True, tag=7):
    rid: int
    queue: str


class Purge(Struct, array_like=True, tag=8):
    rid: int
    queue: str


class Watch(Struct, array_like=True, tag=9):
    """Tell me the room of this queue, now and when it comes back."""

    queue: str


class Cancel(Struct, array_like=True, tag=10):
    """Nobody waits any more for the answer to this request; it is answered all the same, perhaps with nothing."""

    rid: int


class Sizes(Struct, array_like=True, tag=11):
    rid: int


class Flows(Struct, array_like=True, tag=13):
    """What does every queue hold, and how much went through it?"""

    rid: int


class Bye(Struct, array_like=True, tag=12):
    """This client leaves in order: what it holds goes back without being counted as a death."""


# server -> client. ``room``: how many messages would fit into the queue of the request now.


class Challenge(Struct, array_like=True, tag=100):
    protocol: int
    nonce: bytes  # empty: no key is asked for


class Welcome(Struct, array_like=True, tag=101):
    epoch: str
    proof: bytes


class Done(Struct, array_like=True, tag=102):
    rid: int
    room: int


class Full(Struct, array_like=True, tag=103):
    rid: int
    room: int
    done: int
    words: str


class Deliveries(Struct, array_like=True, tag=104):
    rid: int
    room: int
    ids: list[int]
    redelivered: list[int]  # empty: all of them 0
    bodies: list[bytes]


class Answer(Struct, array_like=True, tag=105):
    rid: int
    value: Any


class Room(Struct, array_like=True, tag=106):
    """Sent unasked to who watches a queue."""

    queue: str
    room: int


class Refused(Struct, array_like=True, tag=107):
    """The server ends the connection."""

    words: str
    again: bool = False  # whether another try may help


ToServer = Hello | Put | Get | Ack | Nack | Reject | Dead | Size | Purge | Watch | Cancel | Sizes | Flows | Bye
ToClient = Challenge | Welcome | Done | Full | Deliveries | Answer | Room | Refused

_encode = msgspec.msgpack.Encoder().encode
_to_server = msgspec.msgpack.Decoder(ToServer)
_to_client = msgspec.msgpack.Decoder(ToClient)


def frame(message: Struct) -> bytes:
    """A frame in one piece."""
    data = _encode(message)
    return _length.pack(len(data)) + data


def put_frame(rid: int, queue: str, timeout: float | None, bodies: Sequence[bytes]) -> list[Piece]:
    """A :class:`Put`, in pieces."""
    return _with_bodies(b"\x95\x01" + _encode(rid) + _encode(queue) + _encode(timeout), bodies)


def deliveries_frame(
    rid: int, room: int, ids: Sequence[int], redelivered: Sequence[int], bodies: Sequence[Piece]
) -> list[Piece]:
    """A :class:`Deliveries`, in pieces."""
    head = b"\x96\x68" + _encode(rid) + _encode(room) + _encode(ids) + _encode(redelivered)
    return _with_bodies(head, bodies)


def _with_bodies(head: bytes, bodies: Sequence[Piece]) -> list[Piece]:
    small = bytearray(b"\0\0\0\0")
    small += head
    small += _bin32.pack(0xDD, len(bodies))  # array 32
    pieces: list[Piece] = [small]
    total = 0
    for body in bodies:
        small += _bin32.pack(0xC6, len(body))  # bin 32
        if len(body) <= SMALL:
            small += body
        else:
            pieces.append(body)
            total += len(body) + len(small)
            small = bytearray()
            pieces.append(small)
    total += len(small)
    if not small:
        pieces.pop()
    _length.pack_into(pieces[0], 0, total - 4)
    return pieces


def chunks(bodies: Sequence[bytes]) -> list[Sequence[bytes]]:
    """``bodies`` in runs of up to :data:`CHUNK` bytes, each with at least one."""
    if sum(map(len, bodies)) <= CHUNK:
        return [bodies]
    runs: list[Sequence[bytes]] = []
    start = size = 0
    for index, body in enumerate(bodies):
        if index > start and size + len(body) > CHUNK:
            runs.append(bodies[start:index])
            start, size = index, 0
        size += len(body)
    runs.append(bodies[start:])
    return runs


def length_of(head: bytes | bytearray | memoryview, limit: int = MAX_FRAME) -> int:
    """The length of the frame that these four bytes announce; raises :class:`BadMessage` when it is over ``limit``."""
    length: int = _length.unpack_from(head)[0]
    if length > limit:
        raise BadMessage(f"a frame of {length} bytes is over the limit of {limit}: not a crawlkit queue connection?")
    return length


def read_to_server(data: Piece) -> ToServer:
    """What a client said; raises :class:`BadMessage`."""
    try:
        message: ToServer = _to_server.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise BadMessage(f"not a frame of a crawlkit client: {error}") from None
    return message


def read_to_client(data: Piece) -> ToClient:
    """What a server said; raises :class:`BadMessage`."""
    try:
        message: ToClient = _to_client.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise BadMessage(f"not a frame of a crawlkit queue server: {error}") from None
    return message


def proof(key: bytes, role: bytes, server_nonce: bytes, client_nonce: bytes) -> bytes:
    """HMAC-SHA256 over role and both nonces: what shows that its sender has the key, without showing the key."""
    return hmac.digest(key, role + b"\0" + server_nonce + client_nonce, hashlib.sha256)


def proven(key: bytes, role: bytes, server_nonce: bytes, client_nonce: bytes, shown: bytes) -> bool:
    """Whether ``shown`` is the proof; takes the same time whatever it is."""
    return hmac.compare_digest(proof(key, role, server_nonce, client_nonce), shown)
