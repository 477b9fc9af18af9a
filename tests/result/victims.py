"""Run as ``python -m tests.result.victims``: starts crawlkit commands, one a line of stdin (JSON list), quickly.

Everything is loaded once; each command is a fork that runs it as ``crawlkit`` would. Prints each pid. They end with it.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys

for name in (
    "crawlkit.cli.alone", "crawlkit.cli.components", "crawlkit.database.sqlalchemy.logstore",
    "crawlkit.database.sqlalchemy.resultstore", "crawlkit.message_queue.local", "crawlkit.result.file_sink",
    "crawlkit.result.service", "crawlkit.result.sink_threads", "fsspec", "pyarrow.parquet", "tornado.ioloop",
):  # fmt: skip
    importlib.import_module(name)


def main() -> None:
    from crawlkit.cli import run

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            sys.stdin.close()
            os._exit(run(json.loads(line)))
        print(pid, flush=True)


if __name__ == "__main__":
    main()
