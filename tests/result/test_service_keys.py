"""Results with keys on their way through the result worker."""

from __future__ import annotations

from typing import Any

from crawlkit.database.memory import MemoryResultStore
from crawlkit.libs import messages
from crawlkit.libs.errors import StoreUnavailable
from crawlkit.libs.messages import Follow, Outcome
from crawlkit.result.worker import ResultWorker

from .test_service import Scene, outcome, play


def links(*names: str) -> list[Follow]:
    return [Follow(name, True, messages.pack({"url": "http://h/" + name})) for name in names]


def keyed(taskid: str, keys: str, policy: str, places: str = "", follows: str = "", **more: Any) -> Outcome:
    """One result a letter of ``keys``; ``places``: the links before each; one link a letter of ``follows``."""
    return outcome(
        taskid, *keys, keys=list(keys), key_policy=policy, key_places=[int(place) for place in places],
        follows=links(*follows), **more,
    )  # fmt: skip


def asked(found: Outcome) -> str:
    return "".join(follow.taskid for follow in found.follows)


def test_what_was_not_kept_is_told() -> None:
    async def act(scene: Any) -> None:
        await scene.put(keyed("a", "xy", "keep_first", follows="1"), keyed("b", "yz", "keep_first", follows="2"))
        await scene.until(lambda: len(scene.outcomes) == 2)
        first, second = scene.outcomes
        assert (first.known, second.known) == (0, 1)
        assert (first.result_count, second.result_count, second.discarded) == (2, 2, 0)
        assert (asked(first), asked(second), second.behind) == ("1", "2", 0)
        assert second.keys == second.results == second.key_places == []
        assert [row.result for row in scene.store.since(0, 9)] == ['"x"', '"y"', '"z"']
        assert scene.service.counts.known == 1

    play(Scene(MemoryResultStore()), act)  # type: ignore[arg-type]


def test_stop_takes_out_what_is_behind_the_first_known_result() -> None:
    async def act(scene: Any) -> None:
        await scene.put(keyed("a", "xy", "stop", "01", "12"))
        await scene.until(lambda: len(scene.outcomes) == 1)
        again = keyed("b", "uxv", "stop", "012", "1234")
        for _ in range(2):  # the second time as after a crash: the same again
            await scene.put(again)
        await scene.until(lambda: len(scene.outcomes) == 3)
        assert [(asked(found), found.known, found.behind) for found in scene.outcomes] == [
            ("12", 0, 0), ("1", 1, 3), ("1", 1, 3),
        ]  # fmt: skip
        assert [row.result for row in scene.store.get("p", "b")] == ['"u"', '"v"']
        await scene.put(keyed("a", "nx", "stop", "01", "12", run=2))  # its own, of an earlier run
        await scene.until(lambda: len(scene.outcomes) == 4)
        assert (asked(scene.outcomes[3]), scene.outcomes[3].behind) == ("1", 1)

    play(Scene(MemoryResultStore()), act)  # type: ignore[arg-type]


def test_stop_holds_for_later_parts() -> None:
    async def act(scene: Any) -> None:
        await scene.put(keyed("a", "x", "stop", "0"))
        await scene.until(lambda: len(scene.outcomes) == 1)
        for run, ok in ((1, True), (2, False)):
            await scene.put(
                keyed("b", "ux", "stop", "12", "1234", last=False, run=run),
                keyed("b", "", "stop", "", "56", part=1, last=False, first=2, run=run),
                keyed("b", "w" if ok else "", "stop", "1" if ok else "", "78", part=2, first=2, run=run, ok=ok),
            )
            await scene.until(lambda run=run: len(scene.outcomes) == 1 + 3 * run)  # type: ignore[misc]
        assert [(asked(found), found.behind) for found in scene.outcomes[1:4]] == [("12", 2), ("", 2), ("", 2)]
        assert scene.outcomes[3].known == 1
        assert [(asked(found), found.behind) for found in scene.outcomes[4:]] == [("1", 3), ("", 2), ("", 2)]
        assert not scene.service._met_known

    play(Scene(MemoryResultStore()), act)  # type: ignore[arg-type]


def test_a_store_that_is_away_changes_nothing() -> None:
    class Away(MemoryResultStore):
        calls = 0

        def known_keys(self, *args: Any) -> set[str]:
            self.calls += 1
            if self.calls == 1:
                raise StoreUnavailable("the disk is full")
            return super().known_keys(*args)

        def save(self, sets: Any) -> list[int]:
            self.calls += 1
            if self.calls == 3:
                raise StoreUnavailable("the disk is full")
            return super().save(sets)

    async def act(scene: Any) -> None:
        await scene.put(keyed("a", "xxy", "stop", "011", "12"))
        await scene.until(lambda: len(scene.outcomes) == 1)
        assert [(asked(found), found.known, found.behind) for found in scene.outcomes] == [("12", 1, 0)]

    play(Scene(Away()), act)  # type: ignore[arg-type]


def test_a_hook_may_change_drop_and_add_results() -> None:
    class Hook(ResultWorker):
        def on_result(self, task: dict[str, Any], result: Any) -> None:
            for n in range({"x": 1, "y": 0, "z": 2}[result]):
                super().on_result(task, f"{result}{n}")

    async def act(scene: Any) -> None:
        for taskid in "ab":
            await scene.put(keyed(taskid, "xyz", "keep_first"))
        await scene.until(lambda: len(scene.outcomes) == 2)
        texts = [f"{row.taskid}:{row.result}" for row in scene.store.since(0, 9)]
        assert texts == ['a:"x0"', 'a:"z0"', 'a:"z1"', 'b:"z0"', 'b:"z1"']  # two of one key have none
        assert [found.known for found in scene.outcomes] == [0, 1]

    play(Scene(MemoryResultStore(), Hook()), act)  # type: ignore[arg-type]
