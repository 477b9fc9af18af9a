from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from crawlkit.libs.auto import OTHER
from crawlkit.scheduler import learned
from crawlkit.scheduler.learned import (
    ENOUGH,
    ENOUGH_UNDOUBTED,
    FINE,
    MOST_KINDS,
    MOST_PATTERNS,
    NEEDS,
    OPEN,
    PLAIN_TRY,
    REMEMBERED,
    REMEMBERED_UNDOUBTED,
    SURE,
    TRIED,
    Learned,
    dump,
    load,
)

GAP = ["price="]


def after(tokens: list[str], *differs: list[str], kind: str = "k") -> Learned:
    known = Learned()
    for one in differs:
        known.compared(kind, tokens, one)
    return known


def test_nothing_is_known_at_first() -> None:
    assert Learned().decide("k", []) == OPEN
    assert Learned().decide("k", GAP) == OPEN
    assert not Learned().goes_straight()


def test_a_gap_that_a_browser_fills_needs_it() -> None:
    assert after(GAP, *[GAP] * SURE).decide("k", GAP) == NEEDS
    assert after(GAP, GAP).decide("k", GAP) == OPEN  # one alone may be an accident


def test_a_gap_that_is_one_in_the_browser_too_is_no_reason() -> None:
    known = after(GAP, *[[]] * ENOUGH)
    assert known.decide("k", GAP) == OPEN  # the gap is none, but such pages are hardly known
    for _ in range(ENOUGH_UNDOUBTED - ENOUGH):
        known.compared("k", [], [])
    assert known.decide("k", GAP) == FINE
    assert known.known().kinds["k"].fine == ["price=", ""]
    assert known.decide("other kind", GAP) == OPEN


def test_one_page_in_so_many_is_enough_to_look_at_all() -> None:
    assert after(GAP, GAP, GAP, *[[]] * (REMEMBERED - 2)).decide("k", GAP) == NEEDS


def test_what_was_learned_is_unlearned() -> None:
    known = after(GAP, *[GAP] * REMEMBERED)
    for count in range(REMEMBERED):
        known.compared("k", GAP, [])
        assert known.decide("k", GAP) == (
            NEEDS if count < REMEMBERED - SURE else OPEN if count < REMEMBERED - 1 else FINE
        )


def test_gaps_that_never_help_are_left_out_of_others() -> None:
    """An optional field in pages of which another is filled by scripts."""
    known = Learned()
    for _ in range(6):
        known.compared("k", ["price=", "was="], ["price="])
    assert known.known().kinds["k"].ignore == ["was="]
    for _ in range(ENOUGH_UNDOUBTED):
        known.compared("k", [], [])
    assert known.decide("k", ["was="]) == FINE
    assert known.decide("k", ["price="]) == OPEN


def test_gaps_that_are_none_do_not_hide_that_pages_are_wrong() -> None:
    """The rating is optional, and prices are wrong on some pages whether there is one or not."""
    rng = random.Random(6)
    known = Learned()
    words = []
    for number in range(400):
        tokens = ["rating="] if rng.random() < 0.3 else []
        known.compared("k", tokens, [f"price={number}"] if rng.random() < 0.3 else [])
        words.append(known.decide("k", ["rating="]))
    assert words[40:].count(FINE) == 0


def test_pages_that_look_enough_are_compared_until_they_are_known() -> None:
    assert after([], *[[]] * (ENOUGH_UNDOUBTED - 1)).decide("k", []) == OPEN
    assert after([], *[[]] * ENOUGH_UNDOUBTED).decide("k", []) == FINE


def test_a_value_that_browsers_change_is_doubted_where_it_stands_and_not_elsewhere() -> None:
    clean: list[list[str]] = [[]] * ENOUGH_UNDOUBTED
    known = after([], *clean, ["price=00"], ["price=00"])
    about = known.known().kinds["k"]
    assert about.watch == ["price=00"]
    assert "" in about.fine  # pages without it are enough, as they were
    assert known.decide("k", ["price=00"]) == OPEN


def test_a_doubted_value_that_turns_out_right_is_believed_again() -> None:
    known = after([], ["price=00"], ["price=00"])
    for _ in range(3):
        known.compared("k", ["price=00"], [])
    assert known.known().kinds["k"].watch == []


def test_values_that_are_wrong_and_never_the_same_send_all_pages_to_the_browser() -> None:
    rng = random.Random(3)
    known = Learned()
    words = []
    for number in range(300):
        known.compared("k", [], [f"price={number}"] if rng.random() < 0.3 else [])
        words.append(known.decide("k", []))
    assert words[40:].count(FINE) == 0


def test_fields_that_differ_by_themselves_say_nothing() -> None:
    known = after([], *[[f"views={number}"] for number in range(ENOUGH_UNDOUBTED)])
    assert known.decide("k", []) == NEEDS
    assert known.wants_control("k")
    known.controlled(["views"])
    assert known.decide("k", []) == FINE
    assert known.known().volatile == ["views"]


def test_checks_come_ever_more_seldom_and_often_again_after_a_difference() -> None:
    def pages_to_check(known: Learned) -> int:
        pages = 0
        while not known.check_due():
            known.settled()
            pages += 1
        return pages

    known = Learned()
    gaps = []
    for _ in range(12):
        gaps.append(pages_to_check(known))
        known.compared("k", [], [], check=True)
    assert gaps == sorted(gaps)
    assert gaps[-1] == learned.LAST_CHECK
    assert sum(gaps[:8]) > 500  # under 2 % of the first pages
    known.compared("k", [], ["price=1"], check=True)
    assert pages_to_check(known) == learned.FIRST_CHECK


def test_a_callback_that_nearly_always_needs_the_browser_goes_there_straight_and_comes_back() -> None:
    known = after(GAP, *[GAP] * 6)
    for _ in range(TRIED):
        known.arrived("k", GAP)
    turns = [known.goes_straight() for _ in range(3 * PLAIN_TRY)]
    assert turns.count(False) == 3
    pages = 0
    while known.straight:  # the site has become static
        pages += 1
        if not known.goes_straight():
            known.arrived("k", [])
    assert pages <= 10 * PLAIN_TRY
    assert not known.goes_straight()


def test_a_mixed_site_never_goes_straight() -> None:
    rng = random.Random(4)
    known = after(GAP, *[GAP] * 6)
    for _ in range(2000):
        known.arrived("k", GAP if rng.random() < 0.5 else [])
        assert not known.straight


def test_too_many_kinds_become_one() -> None:
    known = Learned()
    kinds = {known.compared(f"k{number}", [], []) for number in range(50)}
    assert len(kinds) == MOST_KINDS + 1
    assert OTHER in kinds
    assert known.decide("k49", []) == FINE  # by what the others gave


tokens = st.lists(st.sampled_from(["a=", "b=", "a=1", "b=2", "!nothing=", "!error=X"]), max_size=3, unique=True)
events = st.lists(st.tuples(st.sampled_from("xyz"), tokens, tokens, st.booleans()), max_size=120)


@given(events)
@settings(max_examples=60)
def test_any_history_stays_bounded_survives_a_restart_and_decides(history: list) -> None:  # type: ignore[type-arg]
    known = Learned("v")
    for kind, doubts, differs, check in history:
        known.arrived(kind, doubts)
        known.compared(kind, doubts, differs, check)
        known.settled()
        assert known.decide(kind, doubts) in (NEEDS, FINE, OPEN)
    for about in known.kinds.values():
        assert len(about.patterns) <= MOST_PATTERNS + 1
        assert all(len(rows) <= REMEMBERED_UNDOUBTED for rows in about.patterns.values())
    again = load(dump(known))
    assert again == known
    assert again.known() == known.known()


def test_many_patterns_leave_the_newest_and_the_one_without_doubts() -> None:
    known = after([], *[[]] * ENOUGH_UNDOUBTED)
    for number in range(5 * MOST_PATTERNS):
        known.compared("k", [f"f{number}="], [])
    assert len(known.kinds["k"].patterns) <= MOST_PATTERNS + 1
    assert known.decide("k", []) == FINE


def test_what_cannot_be_read_is_nothing() -> None:
    assert load("{broken") == Learned()
