"""The process that the components of `crawlkit all` are forked from: what they need is loaded in it, once for all.

It has one thread and no event loop, opens nothing, and knows nothing secret: its environment is a bare one, and what a
component is started with goes past it, from the supervisor straight into the new process. So the zygote of the
handlers' workers can come from it too: it is forked from the processor before that has read its order.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import signal
import socket
import struct
import sys
from dataclasses import dataclass

import msgspec

from crawlkit.process_title import renew_environment, set_title
from crawlkit.processor import zygote
from crawlkit.processor.zygote_client import ForkedZygote

#: Loaded before the first fork; what these import is loaded with them.
LOADED = (
    "crawlkit.browser.pool",
    "crawlkit.cli",
    "crawlkit.cli.alone",
    "crawlkit.cli.browser",
    "crawlkit.cli.browser_child",
    "crawlkit.cli.components",
    "crawlkit.cli.drained",
    "crawlkit.cli.limits",
    "crawlkit.cli.reach",
    "crawlkit.cli.together",
    "crawlkit.database.local",
    "crawlkit.database.logwriter",
    "crawlkit.database.registry",
    "crawlkit.database.sqlalchemy.accountstore",
    "crawlkit.database.sqlalchemy.blobstore",
    "crawlkit.database.sqlalchemy.carrier",
    "crawlkit.database.sqlalchemy.logstore",
    "crawlkit.database.sqlalchemy.projectstore",
    "crawlkit.database.sqlalchemy.resultstore",
    "crawlkit.database.sqlalchemy.sqlite",
    "crawlkit.database.sqlalchemy.taskstore",
    "crawlkit.fetcher.service",
    "crawlkit.libs.secrets",
    "crawlkit.message_queue.local",
    "crawlkit.message_queue.manager",
    "crawlkit.message_queue.registry",
    "crawlkit.message_queue.server",
    "crawlkit.processor.service",
    "crawlkit.remote.control",
    "crawlkit.remote.opening",
    "crawlkit.result.service",
    "crawlkit.result.sink_url",
    "crawlkit.scheduler.control",
    "crawlkit.scheduler.dividing",
    "crawlkit.scheduler.patient",
    "crawlkit.scheduler.service",
    "crawlkit.supervisor",
    "tornado.platform.asyncio",
)
PID = struct.Struct("<q")  # what the server answers: the pid of the new process, or minus the error's number
SIZE = struct.Struct("<I")  # what goes before an order: its length
PLAIN, WITH_ZYGOTE = b"p", b"z"  # requests, each with the descriptor of one end of a socket
TITLE = "crawlkit all fork-server"


class Order(msgspec.Struct):
    """What a component is started with. It comes with descriptors, whose numbers go into the environment."""

    args: list[str]
    env: dict[str, str]
    descriptors: list[str]  # names of the variables, in the order of the descriptors


@dataclass(frozen=True)
class Forks:
    """The supervisor's end of the server."""

    control: socket.socket
    pid: int


@dataclass(frozen=True)
class Inherited:
    """What a process has from its start."""

    forks: Forks | None = None  # of a supervisor
    zygote: ForkedZygote | None = None  # of a processor


def begin(private: int) -> Inherited:
    """Loads everything and forks the server. Returns in this process, and in each component that is forked later on.

    ``private``: a descriptor that is nobody else's business.
    """
    load()
    gc.freeze()  # so that collections leave these pages shared
    zygote.adopt_orphans()  # the components become children of this process, not of the server
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        pid = os.fork()
    except OSError:  # then each component is started by itself
        return Inherited()
    if pid:
        theirs.close()
        return Inherited(forks=Forks(ours, pid))
    ours.close()
    os.close(private)
    return _serve(theirs)


def load() -> None:
    """Loads what components need. Nothing of it is garbage, so nobody looks for any meanwhile."""
    gc.disable()
    zygote.load()
    for name in LOADED:
        with contextlib.suppress(ImportError):  # who needs it will say so
            importlib.import_module(name)
    gc.enable()


def _serve(control: socket.socket) -> Inherited:
    """The server's life. Returns only in the processes that are forked."""
    os.setsid()  # a Ctrl-C in the terminal is for the supervisor
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the supervisor's end of the socket says when this ends
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)
    _called(TITLE.split())
    while True:
        try:
            request, fds, _, _ = socket.recv_fds(control, 16, 1)
        except ConnectionError:
            os._exit(0)
        if not request or len(fds) != 1:
            os._exit(0)
        with socket.socket(fileno=fds[0]) as order:
            pid = _fork()
            if pid == 0:
                control.close()
                return _become(order, request == WITH_ZYGOTE)
            with contextlib.suppress(ConnectionError):  # the supervisor is gone; the next request says so
                order.sendall(PID.pack(pid))


def _fork() -> int:
    """Forks a process that is no child of this one, in a session of its own: its pid, 0 in it, minus an error."""
    read, write = os.pipe()
    try:
        between = os.fork()
    except OSError as error:
        os.close(read)
        os.close(write)
        return -(error.errno or 1)
    if between == 0:
        try:
            if os.fork():
                os._exit(0)
        except OSError as error:
            os.write(write, PID.pack(-(error.errno or 1)))
            os._exit(1)
        os.setsid()
        os.write(write, PID.pack(os.getpid()))
        os.close(read)
        os.close(write)
        return 0
    os.close(write)
    said = os.read(read, PID.size)
    os.close(read)
    os.waitpid(between, 0)  # from here on the supervisor is the parent
    return int(PID.unpack(said)[0]) if len(said) == PID.size else -1


def _become(order: socket.socket, with_zygote: bool) -> Inherited:
    """In the new process: takes the order. The zygote is forked before, while nothing secret is in memory."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    made = _fork_zygote(order) if with_zygote else None
    head, fds, _, _ = socket.recv_fds(order, SIZE.size, 8)
    if len(head) < SIZE.size:
        os._exit(1)  # the supervisor is gone
    (size,) = SIZE.unpack(head)
    body = order.recv(size, socket.MSG_WAITALL)
    if len(body) < size:
        os._exit(1)
    given = msgspec.msgpack.decode(body, type=Order)
    renew_environment({**given.env, **{name: str(fd) for name, fd in zip(given.descriptors, fds, strict=True)}})
    _called(["crawlkit", *given.args])
    return Inherited(zygote=made)


def _called(words: list[str]) -> None:
    """The command line of this process, for `ps` and for who asks Python."""
    sys.argv[1:] = words[1:]
    sys.orig_argv[:] = words
    set_title(" ".join(words))


def _fork_zygote(order: socket.socket) -> ForkedZygote:
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid:
        theirs.close()
        return ForkedZygote(ours, pid)
    code = 1
    try:
        ours.close()
        order.close()
        os.setsid()
        _called(["crawlkit", "processor", "zygote"])
        code = zygote.main_forked(theirs)
    finally:
        os._exit(code)
