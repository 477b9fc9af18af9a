"""The verdict on a crawl that was disturbed: what was lost, what was doubled, what is left. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from crawlkit.libs.task import Status
from crawlkit.proving.site import Page
from crawlkit.proving.truth import wrong
from crawlkit.scheduler.books import Report as Books
from crawlkit.scheduler.kinds import is_internal

ENDED_OTHERWISE = {Status.ACTIVE: "left active", Status.FAILED: "failed", Status.BAD: "cancelled"}


@dataclass(frozen=True)
class Evidence:
    """Of one crawl of one project, when it is over. All by URL."""

    truth: Mapping[str, Page]  # what the site is
    asked: Mapping[str, int]  # how often the site was asked for it
    results: Iterable[tuple[str, Mapping[str, Any]]]
    tasks: Iterable[tuple[str, Status]]
    books: Books


def judge(evidence: Evidence) -> list[str]:
    """Every deviation in words, the most telling first: nothing when each page was reached and has one result."""
    return [
        *wrong(evidence.results, evidence.truth),
        *_requests(evidence),
        *_tasks(evidence),
        *_books(evidence.books),
    ]


def refetches(asked: Mapping[str, int]) -> int:
    """How many requests there were beyond the first of each page."""
    return sum(asked.values()) - len(asked)


def _requests(evidence: Evidence) -> Iterator[str]:
    for url in evidence.truth:
        if not evidence.asked.get(url):
            yield f"never asked for: {url}"
    for url in evidence.asked:
        if url not in evidence.truth:
            yield f"asked for, and there is no such page: {url}"


def _tasks(evidence: Evidence) -> Iterator[str]:
    seen: Counter[str] = Counter()
    for url, status in evidence.tasks:
        seen[url] += 1
        if status in ENDED_OTHERWISE:
            yield f"task {ENDED_OTHERWISE[status]}: {url}"
        if url not in evidence.truth and not is_internal(url):
            yield f"task of no page: {url}"
    for url, count in seen.items():
        if count > 1:
            yield f"{count} tasks: {url}"
    for url in evidence.truth:
        if url not in seen:
            yield f"no task: {url}"


def _books(books: Books) -> Iterator[str]:
    for words in books.problems:
        yield f"books: {words}"
    if books.leased:
        yield f"books: {books.leased} tasks are still leased"
