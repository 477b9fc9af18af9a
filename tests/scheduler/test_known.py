"""The bounded memory of taskids that exist."""

from hypothesis import given
from hypothesis import strategies as st

from crawlkit.scheduler.known import KnownTasks


def test_it_tells_projects_apart() -> None:
    known = KnownTasks(100)
    known.add("a", "t")
    assert known.holds("a", "t")
    assert not known.holds("b", "t")


def test_what_was_removed_is_forgotten() -> None:
    known = KnownTasks(100)
    known.add("a", "t")
    known.forget("a", "t")
    assert not known.holds("a", "t")
    known.add("a", "u")
    known.drop("a")
    assert not known.holds("a", "u")


def test_many_are_remembered_as_one_by_one() -> None:
    known = KnownTasks(100)
    known.add("a", "t")
    known.add_many("a", ["t", "u"])
    assert known.young("a") == {"t", "u"}
    assert known.young("b") == set()
    known.forget("a", "u")
    assert known.young("a") == {"t"}
    known.add_many("b", [str(number) for number in range(60)])  # more than half: another half begins
    assert known.young("a") == set()
    assert known.holds("a", "t")


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 60)), max_size=300), st.integers(2, 40))
def test_it_is_bounded_and_never_invents(adds: list[tuple[str, int]], limit: int) -> None:
    known = KnownTasks(limit)
    added = set()
    for project, number in adds:
        known.add(project, str(number))
        added.add((project, str(number)))
        assert known.holds(project, str(number)) or limit < 4
    held = {(p, str(n)) for p in "ab" for n in range(61) if known.holds(p, str(n))}
    assert held <= added
    assert len(held) <= limit + 1
