"""Finds JSON that a page asked its server for and that holds what its callback gave: then no browser is needed at all.

Pure: results and captured answers in, proposals out. Values are compared by what they mean: ``"$1,299.00"`` is 1299 or
129900 cents, ``"Tea &amp; cake"`` is ``Tea & cake``, an address counts by its path.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from crawlkit.libs.task import JSONDict

MAX_NODES = 20_000  # values of one answer that are looked at
MAX_DEPTH = 12
MAX_RESULTS = 30
MAX_FIELDS = 40
MAX_SHOWN = 60  # characters of a value
MAX_PROPOSALS = 3
LONG = 2_000  # characters of a text from which it is not compared
TELLING = 3  # characters of a text, or digits of a number, that are hardly the same by accident
ENOUGH = 2  # telling fields that must be found, or all of them when there are fewer

Path = tuple[str | int, ...]
_NUMBER = re.compile(r"[-+]?\d[\d.,'\u00a0\u202f ]*")
_AROUND = re.compile(r"\W{0,3}(?:[^\W\d_]{1,3})?\W{0,3}")  # a currency, a unit
_DECIMALS = re.compile(r"\d[.,]\d{1,2}\b")
_TAG = re.compile(r"<[^<>]*>")
_NAME = re.compile(r"[^\W\d]\w*\Z")


class Match(NamedTuple):
    """A field of the results, and where it is in the answer. ``cents``: there it is a hundred times as much."""

    field: str
    value: str
    path: Path
    cents: bool


def propose(results: Sequence[Any], answers: Iterable[Mapping[str, Any]], callback: str | None) -> list[JSONDict]:
    """The answers that hold most of what ``results`` do, best first, with the code that would use them."""
    wanted = [flat for value in results[:MAX_RESULTS] if (flat := fields_of(value))]
    if not wanted:
        return []
    found: list[tuple[int, int, JSONDict]] = []
    seen: set[str] = set()
    for answer in answers:
        url = str(answer.get("url") or "")
        data = _json_of(answer)
        if data is None or url in seen:
            continue
        seen.add(url)
        proposal = _proposal(wanted, data, answer, callback or "__call__")
        if proposal is not None:
            found.append((-len(proposal["fields"]), len(url), proposal))
    found.sort(key=lambda one: one[:2])
    return [proposal for _, _, proposal in found[:MAX_PROPOSALS]]


def _json_of(answer: Mapping[str, Any]) -> Any:
    body = answer.get("body")
    status = answer.get("status")
    if not isinstance(body, str) or answer.get("truncated") or not isinstance(status, int) or not 200 <= status < 300:
        return None
    text = body.lstrip(")]}',\n\r\ufeff ") if body.startswith((")]}'", "\ufeff")) else body
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def fields_of(value: Any, name: str = "", depth: int = 0) -> dict[str, Any]:
    """The scalars of a result by their names, and lists of scalars as they are; empty ones are left out."""
    if isinstance(value, Mapping) and depth < 4:
        found: dict[str, Any] = {}
        for key, inner in value.items():
            found |= fields_of(inner, f"{name}.{key}" if name else str(key), depth + 1)
            if len(found) > MAX_FIELDS:
                break
        return found
    if isinstance(value, list) and not any(isinstance(one, list | Mapping) for one in value):
        kept = [one for one in value if forms(one)]
        return {name or "result": kept} if kept else {}
    return {name or "result": value} if forms(value) else {}


def forms(value: Any) -> frozenset[tuple[str, Any]]:
    """What a value may mean: ``("text", ...)``, ``("number", Decimal)``, ``("path", ...)``, ``("truth", bool)``."""
    if isinstance(value, bool):
        return frozenset({("truth", value)})
    if isinstance(value, int | float):
        try:
            return frozenset({("number", Decimal(str(value)).normalize())})
        except InvalidOperation:
            return frozenset()
    if not isinstance(value, str) or len(value) > LONG:
        return frozenset()
    text = " ".join(html.unescape(_TAG.sub(" ", value) if "<" in value else value).split())
    if not text:
        return frozenset()
    found: set[tuple[str, Any]] = {("text", text.casefold())}
    if text.startswith(("http://", "https://", "/")) and " " not in text:
        parts = urlsplit(text) if "://" in text else None
        place = text if parts is None else parts.path + (f"?{parts.query}" if parts.query else "")
        if len(place) > 1:
            found.add(("path", place.rstrip("/")))
    found |= {("number", number) for number in _numbers(text)}
    return frozenset(found)


def _numbers(text: str) -> Iterator[Decimal]:
    """The number that a text is, beside a currency or a unit; two where it may be read in two ways."""
    match = _NUMBER.search(text)
    if match is None or not _AROUND.fullmatch(text[: match.start()]) or not _AROUND.fullmatch(text[match.end() :]):
        return
    digits = re.sub(r"['\u00a0\u202f ]", "", match[0]).rstrip(".,")
    points, commas = digits.count("."), digits.count(",")
    readings = {digits.replace(",", "")} if points <= 1 else set()
    if commas == 1:
        readings.add(digits.replace(".", "").replace(",", "."))
    if points and not commas and (points > 1 or re.fullmatch(r"[-+]?\d{1,3}\.\d{3}", digits)):
        readings.add(digits.replace(".", ""))
    for reading in readings:
        try:
            yield Decimal(reading).normalize()
        except InvalidOperation:
            continue


def telling(value: Any) -> bool:
    """Whether a value is hardly the same by accident."""
    if isinstance(value, list):
        return any(telling(one) for one in value)
    for kind, meant in forms(value):
        if kind == "number" and len(format(abs(meant), "f").replace(".", "").strip("0")) >= TELLING:
            return True
        if kind in ("text", "path") and len(meant) > TELLING:
            return True
    return False


class _Places:
    """Where each meaning is in an answer."""

    def __init__(self, data: Any) -> None:
        self.at: dict[tuple[str, Any], list[Path]] = {}
        self._left = MAX_NODES
        self._walk(data, ())

    def _walk(self, value: Any, path: Path) -> None:
        if self._left <= 0 or len(path) > MAX_DEPTH:
            return
        self._left -= 1
        if isinstance(value, dict):
            for key, inner in value.items():
                self._walk(inner, (*path, key))
        elif isinstance(value, list):
            for number, inner in enumerate(value):
                self._walk(inner, (*path, number))
        else:
            for form in forms(value):
                self.at.setdefault(form, []).append(path)

    def of(self, value: Any) -> Iterator[tuple[Path, bool]]:
        """Where ``value`` is; a list is where its members are, one beside the other."""
        if isinstance(value, list):
            lists = [{path[:-1] for path, _ in self.of(one) if path and isinstance(path[-1], int)} for one in value]
            for path in set.intersection(*lists) if lists else ():
                yield path, False
            return
        for kind, meant in forms(value):
            for path in self.at.get((kind, meant), ()):
                yield path, False
            if kind == "number" and not isinstance(value, int) and _DECIMALS.search(str(value)):
                for path in self.at.get((kind, (meant * 100).normalize()), ()):
                    yield path, True


def _proposal(wanted: list[dict[str, Any]], data: Any, answer: Mapping[str, Any], callback: str) -> JSONDict | None:
    places = _Places(data)
    records = [(flat, *_record(flat, places)) for flat in wanted]
    whole = [(flat, root, matches) for flat, root, matches in records if _is_enough(flat, matches)]
    if not whole or len(whole) * 2 < len(records):
        return None
    flat, root, matches = max(whole, key=lambda one: len(one[2]))
    shared = min(len(one) for _, one, _ in whole)  # of some records less is telling, and they seem to lie deeper
    stem = _common([one[:shared] for _, one, _ in whole]) if len(whole) > 1 else None
    many = stem is not None
    if many:
        root = root[:shared]
    url = str(answer["url"])
    missing = [name for name in flat if name not in {match.field for match in matches}]
    inner = root[len(stem or ()) + 1 :] if many else ()
    return {
        "url": url,
        "method": str(answer.get("method") or "GET"),
        "fields": [
            {"field": one.field, "value": one.value, "path": shown_path(one.path), "cents": one.cents}
            for one in matches
        ],
        "missing": missing,
        "results": len(whole),
        "of": len(records),
        "code": _code(url, callback, matches, root, stem, inner, missing),
    }


def _is_enough(flat: Mapping[str, Any], matches: Sequence[Match]) -> bool:
    told = sum(telling(flat[match.field]) for match in matches)
    return told > 0 and told >= min(ENOUGH, sum(telling(value) for value in flat.values()))


def _record(flat: Mapping[str, Any], places: _Places) -> tuple[Path, list[Match]]:
    """The object that holds most of a result's fields, as deep as may be, and where in it they are."""
    found: dict[str, list[tuple[Path, bool]]] = {}
    for name, value in list(flat.items())[:MAX_FIELDS]:
        hits = sorted(set(places.of(value)), key=lambda hit: (hit[1], len(hit[0]), str(hit[0])))[:200]
        if hits:
            found[name] = hits
    votes: dict[Path, set[str]] = {}
    for name, hits in found.items():
        if telling(flat[name]):
            for path, _ in hits:
                for end in range(len(path)):
                    votes.setdefault(path[:end], set()).add(name)
    if not votes:
        return (), []
    root = max(votes, key=lambda path: (len(votes[path]), len(path), str(path)))
    matches = []
    for name, hits in found.items():
        inside = [hit for hit in hits if hit[0][: len(root)] == root]
        if inside:
            path, cents = min(inside, key=lambda hit: (hit[1], not _alike(name, hit[0]), len(hit[0])))
            matches.append(Match(name, _shown(flat[name]), path, cents))
    return root, matches


def _alike(name: str, path: Path) -> bool:
    """Whether a field and a key are called much the same."""
    key = str(next((part for part in reversed(path) if isinstance(part, str)), "")).lower()
    last = name.rpartition(".")[2].lower()
    return bool(key) and (key in last or last in key)


def _common(roots: Sequence[Path]) -> Path | None:
    """What comes before the one index by which the objects of several results differ."""
    first = roots[0]
    if any(len(root) != len(first) for root in roots):
        return None
    differs = [at for at in range(len(first)) if len({root[at] for root in roots}) > 1]
    if len(differs) != 1 or not all(isinstance(root[differs[0]], int) for root in roots):
        return None
    return first[: differs[0]]


def shown_path(path: Path) -> str:
    """As in Python: ``["items"][0]["name"]``."""
    return "".join(f"[{json.dumps(part, ensure_ascii=False)}]" for part in path)


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "\u2026"


def _code(
    url: str,
    callback: str,
    matches: Sequence[Match],
    root: Path,
    stem: Path | None,
    inner: Path,
    missing: Sequence[str],
) -> str:
    name = f"{callback}_json" if _NAME.match(callback) else "page_json"
    body = ["", f"def {name}(self, response):"]
    if stem is None:
        body.append(f"    it = response.json{shown_path(root)}")
        indent, said = "    ", "return"
    else:
        body.append(f"    for {'each' if inner else 'it'} in response.json{shown_path(stem)}:")
        if inner:
            body.append(f"        it = each{shown_path(inner)}")
        indent, said = "        ", "yield"
    body.append(f"{indent}{said} {{")
    for one in matches:
        place = f"it{shown_path(one.path[len(root) :])}" + (" / 100" if one.cents else "")
        body.append(f"{indent}    {json.dumps(one.field, ensure_ascii=False)}: {place},")
    body += [f"{indent}    # not in there: {field}" for field in missing]
    body.append(f"{indent}}}")
    return "\n".join([f"self.crawl({json.dumps(url, ensure_ascii=False)}, callback=self.{name})", *body])
