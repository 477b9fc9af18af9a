"""Serves a folder of static pages on loopback, for as long as a command runs or until Ctrl-C.

python examples/serve.py                                    the little site beside this file, on port 8090
python examples/serve.py FOLDER --port 9000                 another folder, another port (0: any free one)
python examples/serve.py [FOLDER] -- crawlkit one ...       runs the command meanwhile, and exits as it does
"""

from __future__ import annotations

import argparse
import functools
import http.server
import os
import subprocess
import sys
import threading
from pathlib import Path

HERE = Path(__file__).parent


class Handler(http.server.SimpleHTTPRequestHandler):
    """Static files over kept-alive connections, without a line per request on the terminal."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


def main() -> int:
    argv = sys.argv[1:]
    split = argv.index("--") if "--" in argv else len(argv)
    command = argv[split + 1 :]
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=HERE / "site")
    parser.add_argument("--port", type=int, default=8090)
    options = parser.parse_args(argv[:split])
    if not options.folder.is_dir():
        print(f"{options.folder} is not a folder", file=sys.stderr)
        return 2
    handler = functools.partial(Handler, directory=str(options.folder))
    try:
        server = Server(("127.0.0.1", options.port), handler)
    except OSError as error:
        if not command:
            print(f"cannot serve on 127.0.0.1:{options.port}: {error.strerror}; choose another --port", file=sys.stderr)
            return 2
        server = Server(("127.0.0.1", 0), handler)  # the command is told where
    url = f"http://127.0.0.1:{server.server_port}/"
    print(f"serving {options.folder} on {url}", file=sys.stderr, flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    # What the examples look at for their first page.
    env = {**os.environ, "START_URL": url, "POSTGRES_MANUAL_URL": f"{url}index.html"}
    try:
        return subprocess.run(command, env=env).returncode if command else threading.Event().wait()
    except KeyboardInterrupt:
        return 130
    except FileNotFoundError:
        print(f"no such command: {command[0]}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
