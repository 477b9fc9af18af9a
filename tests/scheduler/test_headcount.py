"""How many tasks there are of a host: remembered, asked for, never more in memory than said."""

from __future__ import annotations

from crawlkit.scheduler.headcount import ALL, HeadCount


def test_what_is_not_known_is_asked_for_once() -> None:
    count = HeadCount()
    asked = count.missing({"p": ["a", "b", "a"]})
    assert asked == {"p": [ALL, "a", "b"]}
    count.learn("p", asked["p"], {ALL: 7, "a": 3})
    assert count.missing({"p": ["a", "b"]}) == {}
    assert (count.of("p", "a"), count.of("p", "b")) == ((7, 3), (7, 0))
    assert count.add("p", "b") == [("p", ALL), ("p", "b")]
    assert count.of("p", "b") == (8, 1)


def test_it_forgets_before_it_grows_too_large() -> None:
    count = HeadCount(limit=4)
    for n in range(50):
        host = f"h{n}"
        for project, hosts in count.missing({"p": [host]}).items():
            count.learn(project, hosts, {})
        assert count.of("p", host) == (0, 0)
        assert len(count._known) <= 4 + 2
    count.drop("p")
    assert not count._known


def test_no_host_is_all_of_them() -> None:
    count = HeadCount()
    for project, hosts in count.missing({"p": ["*", ""]}).items():
        count.learn(project, hosts, {ALL: 7, "*": 2})
    assert (count.of("p", "*"), count.of("p", "")) == ((7, 2), (7, 0))
    assert count.add("p", "") == [("p", ALL)]
    assert count.of("p", "*") == (8, 2)


def test_a_count_below_nothing_is_nothing() -> None:
    count = HeadCount()
    count.learn("p", [ALL, "a"], {ALL: -3, "a": -1})
    assert count.of("p", "a") == (0, 0)
