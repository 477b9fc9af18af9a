"""Where the queues of a ``local://`` URL are: the same answer for the server and for its clients.

Reads nothing but the name of the temporary directory; creates nothing.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from crawlkit.libs.errors import UsageError
from crawlkit.libs.url_masking import masked

SCHEME = "local://"
SOCKET = "queues.sock"
MAX_SOCKET_PATH = 100  # bytes; the kernel's limit is 108 on Linux and 104 on macOS


def data_path_of(url: str) -> Path:
    """The directory of ``local://PATH``; raises :class:`UsageError`. ``local:///abs`` is absolute."""
    if not url.startswith(SCHEME) or not url[len(SCHEME) :]:
        raise UsageError(
            f"{masked(url)!r}: write local://PATH, with the data path of the crawlkit that serves the queues"
        )
    return Path(url[len(SCHEME) :]).expanduser().absolute()


def socket_path(data_path: str | Path) -> Path:
    """The Unix socket of a data path: inside of it, or in the temporary directory when that name would be too long.

    A PATH that ends in ``.sock`` is the socket itself.
    """
    path = Path(data_path).expanduser().absolute()
    wanted = path if path.suffix == ".sock" else path / SOCKET
    if len(os.fsencode(wanted)) <= MAX_SOCKET_PATH:
        return wanted
    name = hashlib.blake2b(os.fsencode(path), digest_size=10).hexdigest()
    return Path(tempfile.gettempdir()) / f"crawlkit-{os.getuid()}" / f"{name}.sock"
