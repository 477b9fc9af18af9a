"""A SOCKS5 client for doors of the relay, and a network of names that exists only in a test."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from crawlkit.browser import relay
from crawlkit.browser.dial import Address, Resolve
from crawlkit.libs import address_guard
from crawlkit.libs.errors import FetchError

PUBLIC = "127.77.0.1"  # stands for a public address; every other one is judged as ever
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextmanager
def one_public_address() -> Iterator[None]:
    """The address guard takes ``PUBLIC`` for a public address, so that sites of a test may be there."""
    real = address_guard.refusal
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(address_guard, "refusal", lambda address: None if address == PUBLIC else real(address))
        yield


def names(known: dict[str, list[str] | Callable[[], list[str]]]) -> Resolve:
    """Resolves these names and literal addresses, and no other."""

    async def resolve(host: str, port: int) -> list[Address]:
        entry = known.get(host)
        found = entry() if callable(entry) else entry
        try:
            return [
                address for one in found or [host]
                for address in socket.getaddrinfo(
                    one, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV)
            ]  # fmt: skip
        except OSError:
            raise FetchError("dns", f"{host}: no such name") from None

    return resolve


async def through(door: relay.Door, host: str, port: int) -> Streams:
    """A connection by the door; raises ``ConnectionRefusedError`` when it says no."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(door.url.rpartition(":")[2]))
    writer.write(b"\x05\x01\x00")
    if await reader.readexactly(2) != b"\x05\x00":
        raise ConnectionRefusedError
    writer.write(b"\x05\x01\x00\x03" + bytes([len(host)]) + host.encode() + port.to_bytes(2, "big"))
    answer = await reader.readexactly(10)
    if answer[1]:
        assert await reader.read() == b""
        writer.close()
        raise ConnectionRefusedError(answer[1])
    return reader, writer


async def refused(door: relay.Door, host: str, port: int) -> None:
    """Asserts that the door says no, with the one code that it has for that."""
    with pytest.raises(ConnectionRefusedError) as caught:
        await through(door, host, port)
    assert caught.value.args == (4,)
