from __future__ import annotations

import pytest

from crawlkit.libs.clock import ManualClock
from crawlkit.libs.messages import NIL, TASK, Dispatch, Fetched, Outcome
from crawlkit.libs.starter import starter_script
from crawlkit.libs.task import Fetch, Schedule, taskid_of
from crawlkit.processor.project_loader import load_project
from crawlkit.processor.runner import Runner, RunnerSettings


@pytest.mark.parametrize("url", ["https://a.com/x?a=1", "https://a.com/'\"\\", "https://a.com/$name"])
def test_the_starter_script_runs_as_it_is(url: str) -> None:
    runner = Runner(
        load_project("shop", starter_script("shop", url)), node="n", settings=RunnerSettings(), clock=ManualClock()
    )

    def run(callback: str, page: str, body: bytes = b"") -> Outcome:
        dispatch = Dispatch("shop", "t", 1, 1, page, "v", callback, 0, TASK, Schedule(), Fetch(), NIL, 0)
        outcomes: list[Outcome] = []
        runner.run(Fetched(dispatch, 200, page, page, [], {}, 0, content=body), outcomes.append)
        assert outcomes[-1].ok, outcomes[-1].process
        return outcomes[-1]

    assert [follow.taskid for follow in run("on_start", "data:,on_start").follows] == [taskid_of(url)]
    follows = run("index_page", "https://a.com/", b"<a href='b'>b</a><a href='mailto:x'>c</a>").follows
    assert [follow.taskid for follow in follows] == [taskid_of("https://a.com/b")]
    found = run("detail_page", "https://a.com/b", b"<title>T</title>")
    assert found.results == ['{"url":"https://a.com/b","title":"T"}']
    assert runner.project.handler.project_info().crons[0].seconds == 86400
