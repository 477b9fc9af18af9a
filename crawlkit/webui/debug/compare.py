"""What a changed script makes of pages that the old one has seen: lost and changed fields, in words. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from crawlkit.libs.task import JSONDict

MAX_FIELDS = 200  # of one callback
MAX_DEPTH = 3  # of objects inside results whose fields count by themselves
MAX_EXAMPLES = 3
MAX_SHOWN = 200  # characters of a value
WHOLE = "(result)"  # the field of a result that is no object
VERDICTS = ("lost", "fewer", "changed", "more", "gained", "same")  # of a field, worst first
_EMPTY: tuple[Any, ...] = (None, "", [], {})


@dataclass
class PageRun:
    """What one version of a script made of one page."""

    results: list[Any] = field(default_factory=list)  # the first of them
    result_count: int = 0
    follows: int = 0
    messages: int = 0
    error: str | None = None
    line: int | None = None
    waits: bool = False  # it awaits further pages, which are not kept: nothing can be said
    missing: bool = False  # there is no such callback


@dataclass
class _Field:
    old: int = 0
    new: int = 0
    changed: int = 0
    examples: list[JSONDict] = field(default_factory=list)


class Comparison:
    """Old and new on the pages of one callback."""

    def __init__(self, callback: str) -> None:
        self.callback = callback
        self.pages = self.skipped = 0
        self._fields: dict[str, _Field] = {}
        self._totals: Counter[str] = Counter()
        self._missing = False
        self._broken: list[JSONDict] = []

    def add(self, page: str, url: str, old: PageRun, new: PageRun) -> None:
        """One more page."""
        self._missing = self._missing or (new.missing and not old.missing)
        if old.waits or new.waits:
            self.skipped += 1
            return
        self.pages += 1
        for side, run in (("old", old), ("new", new)):
            self._totals[f"{side} results"] += run.result_count
            self._totals[f"{side} seen"] += len(run.results)
            self._totals[f"{side} follows"] += run.follows
            self._totals[f"{side} messages"] += run.messages
            self._totals[f"{side} exceptions"] += run.error is not None
        if new.error is not None and old.error is None:
            self._totals["broken"] += 1
            if len(self._broken) < MAX_EXAMPLES:
                self._broken.append({"page": page, "url": url, "message": new.error, "line": new.line})
        self._add_fields(page, url, old.results, new.results)

    def _add_fields(self, page: str, url: str, old: list[Any], new: list[Any]) -> None:
        for number in range(max(len(old), len(new))):
            before = dict(fields_of(old[number])) if number < len(old) else {}
            after = dict(fields_of(new[number])) if number < len(new) else {}
            for name in {**before, **after}:
                one = self._fields.get(name)
                if one is None:
                    if len(self._fields) >= MAX_FIELDS:
                        continue
                    one = self._fields[name] = _Field()
                had, has = name in before, name in after
                one.old += had
                one.new += has
                differs = had and has and before[name] != after[name]
                one.changed += differs
                if (differs or had != has) and len(one.examples) < MAX_EXAMPLES:
                    one.examples.append(
                        {"page": page, "url": url, "old": cut(before.get(name)), "new": cut(after.get(name))}
                    )

    # -- what is said of it ------------------------------------------------------------------------------------------

    def shown(self) -> JSONDict:
        """As JSON."""
        fields = [self._field(name, one) for name, one in self._fields.items()]
        fields.sort(key=lambda one: (VERDICTS.index(one["verdict"]), one["field"]))
        pair = {what: {"old": self._totals[f"old {what}"], "new": self._totals[f"new {what}"]} for what in
                ("results", "follows", "messages", "exceptions")}  # fmt: skip
        return {
            "callback": self.callback,
            "pages": self.pages,
            "skipped": self.skipped,
            "verdict": self._verdict({one["verdict"] for one in fields}),
            "missing": self._missing,
            "fields": fields,
            "results": pair["results"],
            "follows": pair["follows"],
            "messages": pair["messages"],
            "exceptions": {**pair["exceptions"], "examples": self._broken},
        }

    def _field(self, name: str, one: _Field) -> JSONDict:
        of, of_new = self._totals["old seen"], self._totals["new seen"]
        verdict = verdict_of(one.old, one.new, one.changed)
        text = f"{name}: {one.old} of {of} -> {one.new} of {of_new}"
        if verdict == "changed":
            text = f"{name}: changed in {one.changed} of {of}"
        return {
            "field": name, "of": of, "old": one.old, "new": one.new, "changed": one.changed, "verdict": verdict,
            "text": text, "examples": one.examples,
        }  # fmt: skip

    def _verdict(self, verdicts: set[str]) -> str:
        totals = self._totals
        fewer = any(totals[f"new {what}"] < totals[f"old {what}"] for what in ("results", "follows", "messages"))
        if self._missing or totals["broken"] or fewer or verdicts & {"lost", "fewer"}:
            return "worse"
        if "changed" in verdicts:
            return "changed"
        more = any(totals[f"new {what}"] > totals[f"old {what}"] for what in ("results", "follows", "messages"))
        mended = totals["new exceptions"] < totals["old exceptions"]
        return "better" if more or mended or verdicts & {"more", "gained"} else "same"

    def words(self) -> Iterator[tuple[int, str]]:
        """(how bad: 0 is worst, what changed) for the summary."""
        totals, name = self._totals, self.callback
        if self._missing:
            yield 0, f"{name}: there is no such callback any more"
            return
        if totals["broken"]:
            first = self._broken[0]
            where = f" (line {first['line']})" if first["line"] else ""
            yield 0, f"{name}: fails on {totals['broken']} of {self.pages} pages: {first['message']}{where}"
        for each, one in sorted(self._fields.items()):
            shown = self._field(each, one)
            if shown["verdict"] != "same":
                yield VERDICTS.index(shown["verdict"]) + 1, f"{name}: {shown['text']}"
        for what, said in (("results", "results"), ("follows", "follow-ups"), ("messages", "messages")):
            old, new = totals[f"old {what}"], totals[f"new {what}"]
            if old != new:
                yield (2 if new < old else 5), f"{name}: {said}: {old} -> {new}"


def verdict_of(old: int, new: int, changed: int) -> str:
    """One word for a field, by how many results have it."""
    if new < old:
        return "fewer" if new else "lost"
    if new > old:
        return "more" if old else "gained"
    return "changed" if changed else "same"


def fields_of(result: Any, prefix: str = "", depth: int = MAX_DEPTH) -> Iterator[tuple[str, Any]]:
    """The fields of a result that have a value; those of objects inside it by their path."""
    if not isinstance(result, dict):
        if not any(result is empty or result == empty for empty in _EMPTY):
            yield prefix or WHOLE, result
        return
    for name, value in result.items():
        path = f"{prefix}.{name}" if prefix else str(name)
        if isinstance(value, dict) and depth > 1:
            yield from fields_of(value, path, depth - 1)
        elif not any(value is empty or value == empty for empty in _EMPTY):
            yield path, value


def cut(value: Any) -> Any:
    """A value as an example, not too long."""
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"


def summary(comparisons: Iterable[Comparison]) -> list[str]:
    """What changed in all callbacks, worst first."""
    lines = [said for one in comparisons for said in one.words()]
    return [text for _, text in sorted(lines, key=lambda said: said[0])]
