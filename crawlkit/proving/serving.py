"""Serves a folder while something is proven: by nginx, or where that is not installed by a server of the package."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from crawlkit.libs.errors import ServiceUnreachable

START_WITHIN = 10.0  # seconds
NGINX_NAME, BUNDLED = "nginx", "the bundled server"
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
        {certificate}
        listen 127.0.0.1:{port}{listen} backlog=4096;
        root {folder};
    }}
}}
"""
# Started by a shell that ends it with its own input: nginx would outlive a killed parent.
LEASH = 'exec 3<&0; "$@" 3<&- & server=$!; { cat <&3; kill "$server"; } >/dev/null 2>&1 & wait "$server"'


def free_port() -> int:
    """A TCP port of the loopback that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serving(folder: Path, port: int, tls: str = "") -> Iterator[str]:
    """Serves a folder on 127.0.0.1; yields the name of the server that does it.

    ``tls``: by ``ssl``, or by HTTP/2 over it (``ssl http2``), with a certificate that nobody vouches for; nginx only.
    Raises :class:`ServiceUnreachable` when it does not start.
    """
    _check_free(port)
    with tempfile.TemporaryDirectory(prefix="crawlkit-server-") as scratch:
        nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/opt/homebrew/bin")
        if tls and not nginx:
            raise ServiceUnreachable("pages over TLS need nginx, which is not installed")
        with contextlib.ExitStack() as stack:
            name = f"{BUNDLED} (nginx is not installed)"
            if nginx:
                name = NGINX_NAME
                command = _nginx(nginx, Path(scratch), folder.absolute(), port, tls)
                try:
                    stack.enter_context(_running(command, port))
                except ServiceUnreachable:
                    if tls:
                        raise
                    name = f"{BUNDLED} (nginx does not start)"
            if name != NGINX_NAME:
                stack.enter_context(_running(_bundled(folder, port), port))
            yield name


def _check_free(port: int) -> None:
    """So that nobody takes another server's answers for those of ours."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ServiceUnreachable(f"port {port} of 127.0.0.1 cannot be had: {error.strerror}") from None


def _bundled(folder: Path, port: int) -> list[str]:
    return [sys.executable, "-P", "-m", "crawlkit.proving.static_server", str(folder.absolute()), str(port)]


def _nginx(program: str, scratch: Path, folder: Path, port: int, tls: str) -> list[str]:
    conf = scratch / "nginx.conf"
    text = NGINX.format(
        # Started as root nginx becomes another user, who may not read a folder of root's.
        user="user root;" if os.geteuid() == 0 else "",
        scratch=scratch,
        certificate=_certificate(scratch) if tls else "",
        port=port,
        listen=f" {tls}" if tls else "",
        folder=f'"{folder}"',
    )
    conf.write_text(text)
    return ["/bin/sh", "-c", LEASH, "sh", program, "-p", str(scratch), "-c", str(conf)]


def _certificate(folder: Path) -> str:
    """What nginx is to be told of a new one."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"]
    command = ["openssl", "req", *kind, *subject, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return f"ssl_certificate {certificate}; ssl_certificate_key {key};"


@contextlib.contextmanager
def _running(command: Sequence[str], port: int) -> Iterator[None]:
    """A server that listens on a port, until the block or this process ends."""
    home = str(Path(__file__).parents[2])
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [home, os.environ.get("PYTHONPATH")]))}
    # A session of its own: Ctrl-C is for who measures, and what is measured shall end before its site.
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=env,
                              start_new_session=True)  # fmt: skip
    assert server.stdin is not None
    try:
        _wait(port, server)
        yield
    finally:
        server.stdin.close()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, 9)
            server.wait()


def _wait(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_WITHIN
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if server.poll() is not None or time.monotonic() > deadline:
            raise ServiceUnreachable(f"the web server did not start on port {port}")
        time.sleep(0.02)
