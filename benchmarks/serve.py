"""A static web server that is never what limits a crawler: nginx, or without it a plain asyncio one in a process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

NGINX = """
{user}
worker_processes 1;
daemon off;
pid {scratch}/pid;
error_log stderr crit;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    types {{ text/html html; text/css css; }}
    default_type text/html;
    sendfile on;
    tcp_nopush on;
    tcp_nodelay on;
    keepalive_timeout 75s;
    keepalive_requests 100000000;
    open_file_cache max=10000 inactive=600s;
    open_file_cache_valid 600s;
    client_body_temp_path {scratch}/body;
    proxy_temp_path {scratch}/proxy;
    fastcgi_temp_path {scratch}/fastcgi;
    uwsgi_temp_path {scratch}/uwsgi;
    scgi_temp_path {scratch}/scgi;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        root {folder};
    }}
}}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serving(folder: Path, port: int) -> Iterator[str]:
    """Serves a folder on 127.0.0.1; yields the name of the server that does it."""
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/opt/homebrew/bin")
    with tempfile.TemporaryDirectory() as scratch:
        if nginx:
            conf = Path(scratch) / "nginx.conf"
            # Started as root nginx becomes another user, who may not read a folder of root's.
            user = "user root;" if os.geteuid() == 0 else ""
            conf.write_text(NGINX.format(user=user, scratch=scratch, port=port, folder=folder.absolute()))
            command = [nginx, "-p", scratch, "-c", str(conf)]
        else:
            command = [sys.executable, __file__, str(folder.absolute()), str(port)]
        server = subprocess.Popen(command)
        try:
            _wait(port, server)
            yield "nginx" if nginx else "the bundled server (nginx is not installed)"
        finally:
            server.terminate()
            server.wait(10)


def _wait(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the web server did not start on port {port}")
        time.sleep(0.05)


class Static(asyncio.Protocol):
    """GET of files over kept-alive connections, all held in memory once read."""

    folder = Path()
    answers: dict[bytes, bytes] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
            target = head.split(b" ", 2)[1]
            if target not in self.answers:
                self.answers[target] = self.answer(target.decode("latin-1"))
            self.transport.write(self.answers[target])

    def answer(self, target: str) -> bytes:
        file = (self.folder / target.lstrip("/")).resolve()
        if not (file.is_relative_to(self.folder) and file.is_file()):
            return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
        body = file.read_bytes()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {len(body)}\r\n\r\n"
        return head.encode() + body


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Static, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    Static.folder = Path(sys.argv[1]).resolve()
    asyncio.run(main(int(sys.argv[2])))
