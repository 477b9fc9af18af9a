"""Stores of every kind that can be had here: a folder, memory, an FTP server, an S3 server; each one of its own."""

from __future__ import annotations

import contextlib
import threading
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

KINDS = ("file", "memory", "ftp", "s3")


@contextlib.contextmanager
def ftp_server(folder: Path) -> Iterator[str]:
    """The URL of a server of a folder, by pyftpdlib, in a thread."""
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.handlers import FTPHandler
    from pyftpdlib.servers import FTPServer

    class Handler(FTPHandler):  # type: ignore[misc]
        authorizer = DummyAuthorizer()
        banner = "a test's"

    Handler.authorizer.add_user("me", "secret", str(folder), perm="elradfmwMT")
    server = FTPServer(("127.0.0.1", 0), Handler)
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            server.serve_forever(timeout=0.05, blocking=False)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"ftp://me:secret@127.0.0.1:{server.address[1]}"
    finally:
        stop.set()
        thread.join(10)
        server.close_all()


@contextlib.contextmanager
def s3_server() -> Iterator[str]:
    """The endpoint of an S3 by moto, in a thread."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    with s3_server() as endpoint:
        yield endpoint


@pytest.fixture
def s3_url(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket of its own; its credentials are where s3fs looks for them."""
    for name, value in s3_environment(s3_endpoint).items():
        monkeypatch.setenv(name, value)
    bucket = f"bucket-{uuid.uuid4().hex[:8]}"
    # asked for by hand: a client of S3 takes half a second to make
    urllib.request.urlopen(urllib.request.Request(f"{s3_endpoint}/{bucket}", method="PUT"), timeout=20).close()
    return f"s3://{bucket}/kept"


def s3_environment(endpoint: str) -> dict[str, str]:
    """What a process needs to know to write there."""
    return {"AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y",
            "AWS_DEFAULT_REGION": "us-east-1"}  # fmt: skip


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A new, empty store."""
    makers: dict[str, Callable[[], contextlib.AbstractContextManager[str]]] = {
        "file": lambda: contextlib.nullcontext(f"file://{tmp_path}/kept"),
        "memory": lambda: contextlib.nullcontext(f"memory://{uuid.uuid4().hex}"),
        "ftp": lambda: ftp_server(tmp_path),
        "s3": lambda: contextlib.nullcontext(request.getfixturevalue("s3_url")),
    }
    with makers[request.param]() as made:
        yield made
