"""The service's end of one worker: its socket on the event loop, its board, its slot, the tasks it was given.

Moves frames in both directions; what they mean is for the pool to say.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections import deque
from collections.abc import Callable
from itertools import islice

from crawlkit.libs.errors import BadMessage
from crawlkit.processor import frames
from crawlkit.processor.board import Board
from crawlkit.processor.held import Held
from crawlkit.processor.orders import WHERE_SIGNAL
from crawlkit.processor.slots import Slot

SOCKET_BUFFER = 2**20
VECTOR = 64  # pieces written by one system call
NICE = 10
MANY = 8  # tasks in a worker's hands
SHORTEST_NAP, LONGEST_NAP = 0.0005, 0.005  # seconds
_PAGE = os.sysconf("SC_PAGE_SIZE")


class WorkerHandle:
    """One worker process as the service sees it."""

    def __init__(self, number: int, slot: Slot, sock: socket.socket, board: Board) -> None:
        self.number = number
        self.slot = slot
        self.board = board
        self.pid: int | None = None
        self.held: dict[int, Held] = {}  # task number -> task, in the order given
        self.killed: str | None = None  # the reason, when the service killed it
        self.nice = False
        self.asked_where = False
        self.last_end = 0.0  # monotonic time of its last outcome
        self.imports: dict[str, str] = {}  # other projects its scripts imported -> version
        self.taking_back: tuple[int, list[int]] | None = None  # the task that ran then, tasks that wait behind it
        self.hung_up = False
        self._done = 0  # tasks ended, and seconds busy, when last looked at
        self._busy = 0.0
        self._sock = sock
        self._fd = sock.fileno()  # the loop would describe a socket in words each time it looks for one
        self._reader = frames.FrameReader()
        self._out: deque[bytes | memoryview] = deque()
        self._writing = False
        self._reading = False
        self._paused = False
        self._drained: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._on_frame: Callable[[WorkerHandle, frames.Frame], None] | None = None
        self._on_hang_up: Callable[[WorkerHandle], None] | None = None

    def listen(
        self, on_frame: Callable[[WorkerHandle, frames.Frame], None], on_hang_up: Callable[[WorkerHandle], None]
    ) -> None:
        """From now on calls these for each frame, and once when the worker's end is closed."""
        self._on_frame = on_frame
        self._on_hang_up = on_hang_up
        self.resume()

    def pause(self) -> None:
        """Reads no more frames: the worker blocks once the socket is full."""
        self._paused = True
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._fd)

    def resume(self) -> None:
        """Reads again."""
        self._paused = False
        if not self._reading and not self.hung_up:
            self._reading = True
            self._loop.add_reader(self._fd, self._readable)

    def send(self, kind: int, number: int, payload: bytes) -> None:
        """Queues a frame; :meth:`flush` writes what is queued."""
        self._out.append(frames.header(kind, number, len(payload)))
        if payload:
            self._out.append(payload)

    def flush(self) -> None:
        """Writes as much as fits, many frames by one call; the rest as the worker reads."""
        if not self._writing:
            self._write()

    async def drained(self) -> None:
        """Waits until all that was queued is in the socket, or the worker has hung up."""
        self.flush()
        while self._out and not self.hung_up:
            if self._drained is None or self._drained.done():
                self._drained = self._loop.create_future()
            await asyncio.shield(self._drained)

    def learn(self) -> None:
        """Tells the slot how fast the worker has been since the last time."""
        done, busy = self.board.done, self.board.busy
        if done > self._done:
            self.slot.learn(done - self._done, busy - self._busy)
            self._done, self._busy = done, busy

    def kill(self) -> None:
        """SIGKILL to the worker and its process group."""
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def ask_where(self) -> None:
        """Makes the worker leave its traceback on the board."""
        if self.pid is not None and not self.asked_where:
            self.asked_where = True
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, WHERE_SIGNAL)

    def make_nicer(self) -> None:
        """Gives the rest of the machine precedence over this worker."""
        self.nice = True
        if self.pid is not None:
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, self.pid, NICE)

    def restore_nice(self) -> bool:
        """Undoes :meth:`make_nicer`; ``False`` when that is not allowed."""
        try:
            os.setpriority(os.PRIO_PROCESS, self.pid or 0, 0) if self.pid is not None else None
        except OSError:
            return False
        self.nice = False
        return True

    def rss(self) -> int:
        """Resident memory in bytes; 0 when unknown."""
        try:
            with open(f"/proc/{self.pid}/statm") as file:
                return int(file.read().split()[1]) * _PAGE
        except OSError:  # it is gone, or there is no /proc (macOS): then age and number of tasks decide alone
            return 0

    def read_rest(self) -> None:
        """Reads what a dead worker has left in the socket."""
        while not self.hung_up and self._read():
            pass

    def close(self) -> None:
        """Lets go of socket and board."""
        self._hang_up()
        self._sock.close()
        self.board.close()

    def _readable(self) -> None:
        self._read()
        # More outcomes are about to come: many by one wake-up cost less than each by its own.
        nap = min(LONGEST_NAP, len(self.held) * self.slot.took / 3)
        if nap > SHORTEST_NAP and len(self.held) > MANY and self._reading:
            self._reading = False
            self._loop.remove_reader(self._fd)
            self._loop.call_later(nap, self._wake_up)

    def _wake_up(self) -> None:
        if not self._paused:
            self.resume()

    def _read(self) -> bool:
        try:
            data = self._sock.recv(frames.CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._end()
            return False
        assert self._on_frame is not None
        try:
            for frame in self._reader.feed(data):
                self._on_frame(self, frame)
        except BadMessage:  # a callback wrote into the worker's socket: nothing from there can be trusted now
            self.killed = self.killed or "worker_died"
            self.kill()
            self._end()
            return False
        return True

    def _write(self) -> None:
        out = self._out
        while out:
            try:
                sent = self._sock.sendmsg(list(islice(out, VECTOR)))
            except BlockingIOError:
                if not self._writing and not self.hung_up:
                    self._writing = True
                    self._loop.add_writer(self._fd, self._write)
                return
            except OSError:
                out.clear()  # the worker is dead: its end is seen by the reader
                break
            while sent:
                piece = out[0]
                if len(piece) > sent:
                    out[0] = memoryview(piece)[sent:]
                    break
                sent -= len(piece)
                out.popleft()
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._fd)
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def _hang_up(self) -> None:
        if self.hung_up:
            return
        self.hung_up = True
        self.pause()
        self._out.clear()
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._fd)
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def _end(self) -> None:
        self._hang_up()
        assert self._on_hang_up is not None
        self._on_hang_up(self)
