"""A node over its own limit takes no more work: a processor that burns CPU, beside one that has time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.site import Site, crawlkit, started, until
from tests.cli.test_all import count, everything
from tests.cli.test_nodes import nodes

BURN = """# rate: unlimited
from crawlkit import BaseHandler
import time


class Handler(BaseHandler):
    def on_start(self):
        for n in range(60):
            self.crawl("PLACE/page/%d" % n, callback=self.burn)

    def burn(self, response):
        end = time.process_time() + 0.15
        while time.process_time() < end:
            pass
        return {"url": response.url}
"""


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_a_processor_over_its_cpu_limit_pauses_and_goes_on(site: Site, tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(BURN.replace("PLACE", site.base))
    with everything(tmp_path, "--config", _config(tmp_path)):
        for words in (("put", "job.py", "--status", "RUNNING"), ("run", "job")):
            assert crawlkit("project", *words, "--data-path", "d", cwd=tmp_path).returncode == 0
        until(lambda: nodes(tmp_path, "--state", "paused"), "the processor that is too hot", 60)
        (hot,) = nodes(tmp_path, "--state", "paused")
        assert hot["role"] == "processor"
        assert "over its limit of 30 %" in hot["reason"]
        assert hot["alive"]
        table = crawlkit("nodes", "--data-path", "d", "--state", "paused", cwd=tmp_path).stdout
        until(lambda: "paused: CPU" in table or not nodes(tmp_path, "--state", "paused"), "its words")
        other = tmp_path / "other"
        other.mkdir()
        with started("processor", "--data-path", "../d", cwd=other):
            until(lambda: count(tmp_path) == 60, "everything", 60)
        until(lambda: not nodes(tmp_path, "--state", "paused"), "that it takes work again", 30)
        said = (tmp_path / "said.txt").read_text()
        assert "takes no work for now: CPU" in said
        assert said.count("takes no work for now") - said.count("takes work again") in (0, 1)
        assert crawlkit("audit", "--data-path", "d", cwd=tmp_path).returncode == 0


def _config(folder: Path) -> str:
    path = folder / "c.json"
    path.write_text('{"processor": {"max-cpu": 30, "workers": 2}}')
    return str(path)


def test_limits_that_cannot_be(tmp_path: Path) -> None:
    for line, words in (
        (("--max-cpu", "0"), "0"), (("--max-memory", "lots"), "use MiB, like 2048, or a part of the machine's memory"),
        (("--max-memory", "120%"), "use MiB"),
    ):  # fmt: skip
        wrong = crawlkit("--data-path", "d", "processor", *line, cwd=tmp_path)
        assert wrong.returncode == 2
        assert words in wrong.stderr
        assert "Traceback" not in wrong.stderr
