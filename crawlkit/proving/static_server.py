"""A static web server that is never what limits a crawler, for where there is no nginx. Ends with its standard input.

python -m crawlkit.proving.static_server FOLDER PORT
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from pathlib import Path

MAX_HEAD = 64 * 1024  # bytes of a request
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


class Files:
    """The answers for the files of a folder, all held in memory once asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._answers: dict[bytes, bytes] = {}

    def answer(self, target: bytes) -> bytes:
        """The whole response to a GET of ``target``. Who keeps a ledger of the requests overrides this."""
        found = self._answers.get(target)
        if found is None:
            found = self._read(target.decode("latin-1"))
            if found is not NOT_FOUND:  # of these there are as many as somebody likes to ask for
                self._answers[target] = found
        return found

    def _read(self, target: str) -> bytes:
        file = (self.folder / target.partition("?")[0].lstrip("/")).resolve()
        if not (file.is_relative_to(self.folder) and file.is_file()):
            return NOT_FOUND
        body = file.read_bytes()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {len(body)}\r\n\r\n"
        return head.encode() + body


class Connection(asyncio.Protocol):
    """One client: requests without bodies, one after the other."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, self._buffer = self._buffer.split(b"\r\n\r\n", 1)
            words = head.split(b" ", 2)
            if len(words) < 3:
                self._transport.close()
                return
            self.respond(words[1])
        if len(self._buffer) > MAX_HEAD:
            self._transport.close()

    def respond(self, target: bytes) -> None:
        """Answers one request. Who wants to do it later overrides this."""
        assert self._transport is not None
        self._transport.write(self._files.answer(target))


async def serve(files: Files, port: int) -> None:
    """Answers on 127.0.0.1, for ever."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(files), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


def end_with_input() -> None:
    """Ends this process when its standard input does: whoever started it has ended, in whatever way."""

    def wait() -> None:
        while os.read(0, 4096):
            pass
        os._exit(0)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()


if __name__ == "__main__":
    end_with_input()
    asyncio.run(serve(Files(Path(sys.argv[1])), int(sys.argv[2])))
