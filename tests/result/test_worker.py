from __future__ import annotations

import pytest

from crawlkit.libs.errors import UsageError
from crawlkit.result import ResultWorker
from crawlkit.result.worker import load_result_worker

HOOKS = "tests.result.hooks"


@pytest.mark.parametrize("name", ["", "pyspider.result.ResultWorker", "crawlkit.result.ResultWorker"])
def test_pyspiders_default_is_ours(name):
    worker = load_result_worker(name, None)
    assert type(worker) is ResultWorker
    assert not worker.overridden


def test_a_users_class():
    worker = load_result_worker(f"{HOOKS}.Both", None)
    assert worker.overridden
    worker.on_result({"taskid": "t", "n": 0}, {"a": 1})
    assert worker.take_kept() == [{"a": 1, "by": "hook"}]
    assert worker.take_kept() == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Plain", "module.Class"),
        ("no_such_module.Class", "PYTHONPATH"),
        (f"{HOOKS}.Missing", "has no Missing"),
        (f"{HOOKS}.NOT_A_CLASS", "not a subclass"),
    ],
)
def test_what_cannot_be_loaded_is_said_in_words(name, words):
    with pytest.raises(UsageError, match=words):
        load_result_worker(name, None)
