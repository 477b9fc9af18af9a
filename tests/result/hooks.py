"""Result workers as users write them."""

from __future__ import annotations

from crawlkit.result import ResultWorker


class Exporter(ResultWorker):
    """Sends results elsewhere and not into the resultdb."""

    def __init__(self, resultdb=None):
        super().__init__(resultdb)
        self.seen = []

    def on_result(self, task, result):
        self.seen.append((task["taskid"], task["n"], result))


class Both(Exporter):
    """Elsewhere and into the resultdb, with a field more."""

    def on_result(self, task, result):
        super().on_result(task, result)
        ResultWorker.on_result(self, task, {**result, "by": "hook"})


class Fails(Both):
    """Raises for results that say so, ``times`` times."""

    times = 2

    def on_result(self, task, result):
        if result.get("bad") and self.times:
            self.times -= 1
            raise SystemExit(3) if self.times % 2 else ValueError("export is down")
        super().on_result(task, result)


NOT_A_CLASS = 1
