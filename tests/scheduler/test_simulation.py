"""A year of scheduling, and long random histories, against what must hold whatever happens."""

from __future__ import annotations

from collections import Counter

import pytest

from crawlkit.libs.messages import CronSpec, Dispatch, ProjectInfo
from crawlkit.scheduler.cron import next_instants
from crawlkit.scheduler.settings import EngineSettings
from tests.scheduler.play import Play
from tests.scheduler.rig import info_of, outcome_of

YEAR = 365 * 86_400.0


def tick_of(dispatch: Dispatch) -> float:
    instant: float = dispatch.fetch.save["tick"]
    return instant


@pytest.mark.timeout(300)
@pytest.mark.parametrize("projects", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_a_year_of_projects_with_hourly_crons(projects: int) -> None:
    """8,760 ticks a project, each one run; on a day in spring and one in autumn the clocks of half of them change."""
    quiet = EngineSettings(project_poll=2 * YEAR)
    play = Play(quiet)
    specs = {}
    for number in range(projects):
        name = f"p{number}"
        line = f"{number % 4 // 2 * 30} * * * *"
        specs[name] = CronSpec("hourly", cron=line, tz="Europe/Paris" if number % 2 else "UTC")
        play.project(name, rate=1.0)
    play.info = None
    play.turn()
    begin = play.now
    questions, play.out = play.out, []
    play.turn(*[info_of(question, ProjectInfo(crons=[specs[question.project]])) for question in questions])

    fired: Counter[tuple[str, float]] = Counter()
    end = begin + YEAR
    turns = 0
    while play.now + play.wake <= end:
        play.clock.advance(play.wake)
        play.turn()
        turns += 1
        while play.out:
            turns += 1
            answers = []
            for dispatch in play.out:
                fired[dispatch.project, tick_of(dispatch)] += 1
                assert play.now - tick_of(dispatch) < 1.0
                answers.append(outcome_of(dispatch))
            play.out.clear()
            play.turn(*answers)
        play.sent.clear()
    expected: Counter[tuple[str, float]] = Counter()
    for name, spec in specs.items():
        instant = begin
        while (instant := next_instants(spec, instant, 1)[0]) <= end:
            expected[name, instant] = 1
    assert fired == expected
    assert 8_759 * projects <= len(fired) <= 8_761 * projects
    play.check_books()
    assert play.taskdb.books("p0").tasks == 0
    assert turns <= 2 * len({tick for _, tick in fired})  # one that sends, one that takes the answers; none in vain
