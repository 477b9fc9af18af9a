"""Whether one argument of ``self.crawl`` has a value that it takes. The rules are those of the run itself. Pure."""

from __future__ import annotations

from typing import Any

from crawlkit.libs import crawl_args
from crawlkit.libs.crawler import checked_taskid
from crawlkit.libs.errors import InvalidTask
from crawlkit.libs.filenames import check_target, download_args
from crawlkit.libs.task import MAX_URL, Task, check_task
from crawlkit.webui.lint.signatures import takes

_SHOWN = 60  # characters of a wrong value that a message repeats


def problem_of_url(value: Any) -> str | None:
    """What is wrong with what is to be crawled; ``None`` when nothing is."""
    if value is None:
        return None
    if isinstance(value, str):
        return _problem_of_text(value)
    if isinstance(value, list | tuple | set):
        return next((problem for each in value if (problem := problem_of_url(each))), None)
    return f"the URL is text or several of it, not {shown(value)}"


def _problem_of_text(url: str) -> str | None:
    if crawl_args.is_curl(url):
        try:
            crawl_args.curl_args(url)
        except InvalidTask as error:
            return error.problem
    if len(url) > MAX_URL:
        return f"the URL has {len(url):,} characters, over the limit of {MAX_URL:,}"
    return None


def problem_of(name: str, value: Any) -> str | None:
    """What is wrong with ``name=value``; ``None`` when nothing is."""
    if name in ("url", "callback", "params"):  # asked elsewhere, or taken as it is
        return None
    if value is None and name != "save":
        return None
    try:
        if name == "taskid":
            checked_taskid(value)
        elif name == "to":
            check_target(value)
        elif name in ("sha256", "size"):
            download_args({"to": "x", name: value})
        else:
            _check(name, value)
    except InvalidTask as error:
        if error.problem.startswith("Expected `"):  # the types' own words: say what is meant
            return f"{name} takes {takes(name)}, not {shown(value)}"
        place = error.path.rpartition(".")[2]
        return (
            error.problem
            if error.problem.startswith(place)
            else f"{error.path.partition('.')[2] or name}: {error.problem}"
        )
    except (TypeError, ValueError) as error:
        return f"{name}: {error}"
    return None


def _check(name: str, value: Any) -> None:
    schedule, fetch, process = crawl_args.parts_of({name: value})
    check_task(Task("project", "taskid", "http://x/", schedule, fetch, process))


def shown(value: Any) -> str:
    """A value as a message repeats it."""
    text = repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
