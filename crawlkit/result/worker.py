"""What happens to a result: the hook that users override (``--result-cls module.Class``) [R01, C33].

No queue, no loop: the service calls :meth:`ResultWorker.on_result` in a thread, one result after the other.
"""

from __future__ import annotations

import importlib
from typing import Any

from crawlkit.database.base import ResultStore
from crawlkit.libs.errors import UsageError


class ResultWorker:
    """Stores every result. Override :meth:`on_result` to send results elsewhere, also or instead."""

    def __init__(self, resultdb: ResultStore | None = None) -> None:
        self.resultdb = resultdb
        self._kept: list[Any] = []

    def on_result(self, task: dict[str, Any], result: Any) -> None:
        """Called for each result, in the order in which the callback gave them.

        ``task`` has project, taskid, url, run, attempt and n, the number of the result within the run. This method
        hands ``result`` to the resultdb; an override stores it by calling ``super().on_result(task, result)``, and
        without that call the resultdb does not get it. A method that raises is called again later, with the same
        arguments, and the task is not done before it returned; so what it does must bear being done twice.
        """
        self._kept.append(result)

    def take_kept(self) -> list[Any]:
        """What was handed to the resultdb since the last call."""
        kept, self._kept = self._kept, []
        return kept

    @property
    def overridden(self) -> bool:
        """False: results go straight to the resultdb, without being decoded."""
        return type(self).on_result is not ResultWorker.on_result


def load_result_worker(name: str, resultdb: ResultStore | None) -> ResultWorker:
    """An object of the class ``module.Class``; raises :class:`UsageError` in words [C33]."""
    if name in ("", "pyspider.result.ResultWorker", "crawlkit.result.ResultWorker"):
        return ResultWorker(resultdb)
    module, _, attribute = name.rpartition(".")
    if not module:
        raise UsageError(f"--result-cls {name}: write it as module.Class")
    try:
        cls = getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise UsageError(f"--result-cls {name}: {error}; is its directory on PYTHONPATH?") from None
    except AttributeError:
        raise UsageError(f"--result-cls {name}: the module {module} has no {attribute}") from None
    if not (isinstance(cls, type) and issubclass(cls, ResultWorker)):
        raise UsageError(f"--result-cls {name}: is not a subclass of crawlkit.result.ResultWorker")
    return cls(resultdb)
