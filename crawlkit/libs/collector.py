"""Gathers what one callback run produces and hands it on in parts of bounded size.

Pure: it encodes and counts. ``hand_on`` is what the runner gives it; nothing is sent or stored here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Raw

from crawlkit.libs.errors import InvalidTask
from crawlkit.libs.jsonable import NotJSON, jsonable, to_json
from crawlkit.libs.messages import FOLLOWS_PER_PART, MAX_OUTCOME_PART, Follow, Message
from crawlkit.libs.result_key import ResultKey
from crawlkit.libs.task import MAX_TASK, Task

PART_BYTES = 2**20
MAX_RESULT = MAX_OUTCOME_PART  # bytes of JSON
MAX_FOLLOW = MAX_TASK
REMEMBERED = 50_000  # taskids; a callback may yield a million in flat memory
_FOLLOW_OVERHEAD = 40  # bytes of taskid and framing beside the task itself

HandOn = Callable[[list[str], int, list[Follow], list[Message], list[str], list[int]], None]

_encode = msgspec.msgpack.Encoder().encode


class Collector:
    """Follow-ups, messages and results of one run, in the order they came.

    ``hand_on(results, first_result, follows, messages, keys, places)`` is called when a part is full; it may block.
    ``keys`` and ``places`` are parallel to the results when there is a ``key``: the key of each, and how many
    follow-ups of the part came before it.
    """

    __slots__ = (
        "_bytes",
        "_hand_on",
        "_key",
        "_seen",
        "_seen_before",
        "follow_count",
        "follows",
        "keys",
        "messages",
        "places",
        "result_count",
        "result_head",
        "results",
    )

    def __init__(self, hand_on: HandOn | None = None, key: ResultKey | None = None) -> None:
        self._hand_on = hand_on
        self._key = key
        self._seen: set[str] = set()
        self._seen_before: set[str] = set()
        self._bytes = 0
        self.follow_count = 0
        self.result_count = 0
        self.result_head: str | None = None  # the first characters of the first result
        self.follows: list[Follow] = []
        self.messages: list[Message] = []
        self.results: list[str] = []
        self.keys: list[str] = []
        self.places: list[int] = []

    def follow(self, taskid: str, task: Task, plain: bool) -> bool:
        """Takes a follow-up; ``False`` when the run has given this taskid before [H56].

        Of an endless run the last :data:`REMEMBERED` taskids at least are known. Raises :class:`InvalidTask` for a task
        over :data:`MAX_FOLLOW`.
        """
        seen = self._seen
        if taskid in seen or taskid in self._seen_before:
            return False
        seen.add(taskid)
        if len(seen) >= REMEMBERED:
            self._seen, self._seen_before = set(), seen
        try:
            raw = _encode(task)
        except OverflowError as error:
            raise InvalidTask("task", f"cannot be sent: {error}") from None
        if len(raw) > MAX_FOLLOW:
            raise InvalidTask("task", f"is {len(raw):,} bytes with its body and save, over the limit of {MAX_FOLLOW:,}")
        follows = self.follows
        follows.append(Follow(taskid, plain, Raw(raw)))
        self._bytes += len(raw) + _FOLLOW_OVERHEAD
        if self._bytes >= PART_BYTES or len(follows) >= FOLLOWS_PER_PART:
            self.flush()
        return True

    def message(self, project: str, body: Any, url: str = "") -> None:
        """Takes a message for another project; raises :class:`NotJSON`."""
        try:
            raw = _encode(jsonable(body, "message"))
        except OverflowError as error:
            raise NotJSON("message", f"cannot be sent: {error}") from None
        if len(raw) > MAX_RESULT // 4:
            raise NotJSON("message", f"is {len(raw):,} bytes, over the limit of {MAX_RESULT // 4:,}")
        self._make_room(len(raw))
        self.messages.append(Message(str.__str__(project), Raw(raw), str(url)))
        self._bytes += len(raw) + len(project) + len(url)
        if self._bytes >= PART_BYTES or len(self.messages) >= FOLLOWS_PER_PART:
            self.flush()

    def result(self, value: Any) -> None:
        """Takes a result; raises :class:`NotJSON` with the path of what is not JSON, or that it is too large."""
        if type(value) is str and len(value) > MAX_RESULT:  # before it is copied: memory may be short by now
            raise NotJSON("result", f"is {len(value):,} characters, over the limit of {MAX_RESULT:,} bytes")
        name = f"result {self.result_count + 1}" if self.result_count else "result"
        data = to_json(value, name)
        if len(data) > MAX_RESULT:
            raise NotJSON(name, f"is {len(data):,} bytes of JSON, over the limit of {MAX_RESULT:,} for one result")
        key = None if self._key is None else self._key.of(data, name)
        self._make_room(len(data))
        if key is not None:
            self.keys.append(key)
            self.places.append(len(self.follows))
        text = data.decode()
        if self.result_head is None:
            self.result_head = text[:100]
        self.results.append(text)
        self.result_count += 1
        self._bytes += len(data)
        if self._bytes >= PART_BYTES or len(self.results) >= FOLLOWS_PER_PART:
            self.flush()

    def _make_room(self, size: int) -> None:
        if self._bytes and self._bytes + size > PART_BYTES:
            self.flush()

    def let_go(self) -> None:
        """There is nobody to hand on to any more: whoever that was can be forgotten, and what it held with it."""
        self._hand_on = None

    def flush(self) -> None:
        """Hands on what is gathered; without somebody to hand to, it is kept."""
        if self._hand_on is None:
            return
        results, follows, messages = self.results, self.follows, self.messages
        keys, places = self.keys, self.places
        first = self.result_count - len(results)
        self.follow_count += len(follows)
        self.results, self.follows, self.messages, self.keys, self.places = [], [], [], [], []
        self._bytes = 0
        self._hand_on(results, first, follows, messages, keys, places)
