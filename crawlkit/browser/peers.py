"""Whose the other end of a connection over loopback is.

A port on 127.0.0.1 is open to every user of the machine, and Chromium cannot be given a password for SOCKS5: so the
kernel is asked which user holds the other end.
"""

from __future__ import annotations

import functools
import socket
import struct

_SOCK_DIAG = 4  # NETLINK_SOCK_DIAG
_BY_FAMILY = 20  # SOCK_DIAG_BY_FAMILY
_ANY = 0xFFFFFFFF
_ESTABLISHED = 1
_HEADER = struct.Struct("=IHHII")
_SOCKET = struct.Struct("!HH16s16sIII")
_NUMBERS = struct.Struct("=IIIII")
Address = tuple[str, int]


def uid_of(peer: Address, ours: Address) -> int | None:
    """The user who holds the socket ``peer`` that is connected to ``ours``: IPv4 addresses and ports of one connection.

    ``None`` when that cannot be told: the other end is gone already, or this system says nothing about sockets.
    """
    try:
        return _by_netlink(peer, ours)
    except OSError:  # no netlink: another system than Linux, or it is forbidden here
        return _by_table(peer, ours)


@functools.cache
def blind() -> bool:
    """Whether :func:`uid_of` can tell nothing on this system; tried on a connection with oneself."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        return uid_of(client.getsockname(), server.getsockname()) is None


def _by_netlink(peer: Address, ours: Address) -> int | None:
    """Asks for this one socket: a system call or two, however many sockets there are. See sock_diag(7)."""
    which = _SOCKET.pack(peer[1], ours[1], socket.inet_aton(peer[0]), socket.inet_aton(ours[0]), 0, _ANY, _ANY)
    question = struct.pack("=BBBxI", socket.AF_INET, socket.IPPROTO_TCP, 0, _ANY) + which
    with socket.socket(_netlink(), socket.SOCK_RAW | socket.SOCK_CLOEXEC, _SOCK_DIAG) as door:
        door.settimeout(1)
        door.send(_HEADER.pack(_HEADER.size + len(question), _BY_FAMILY, 1, 1, 0) + question)
        answer = door.recv(4096)
    _, kind, _, _, _ = _HEADER.unpack_from(answer)
    if kind != _BY_FAMILY:  # an error: there is no such socket
        return None
    state = answer[_HEADER.size + 1]
    _, _, _, uid, inode = _NUMBERS.unpack_from(answer, _HEADER.size + 4 + _SOCKET.size)
    return uid if state == _ESTABLISHED and inode else None  # a socket that nobody holds any more looks like root's


def _netlink() -> int:
    family = getattr(socket, "AF_NETLINK", None)
    if family is None:
        raise OSError("no netlink here")
    return int(family)


def _by_table(peer: Address, ours: Address) -> int | None:
    """The same by reading the kernel's table of all sockets."""
    wanted = [_in_hex(peer), _in_hex(ours)]
    try:
        with open("/proc/net/tcp", encoding="ascii") as table:
            for line in table:
                fields = line.split()
                if fields[1:3] == wanted:
                    return int(fields[7]) if int(fields[3], 16) == _ESTABLISHED and fields[9] != "0" else None
    except OSError:
        return None
    return None


def _in_hex(address: Address) -> str:
    """As /proc/net/tcp writes it: four bytes in the machine's own order."""
    [number] = struct.unpack("=I", socket.inet_aton(address[0]))
    return f"{number:08X}:{address[1]:04X}"
