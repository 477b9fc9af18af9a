"""Each cause is named, and what is said agrees with what the scheduler then does."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from crawlkit.libs.messages import FetchEnded, ProjectInfo, TrackFetch, TrackProcess
from crawlkit.libs.rows import ProjectRow
from crawlkit.libs.task import Schedule, Task
from crawlkit.scheduler.onlookers import explain, questions, shown
from crawlkit.scheduler.settings import EngineSettings
from crawlkit.scheduler.turn import Order, Submission
from crawlkit.scheduler.why import CODES, Answer, Moment, span
from tests.scheduler.play import Play
from tests.scheduler.rig import follow
from tests.scheduler.test_retire import settle

URL = "http://h/1"


def playing(bounds: dict[str, Any] | None = None, project: dict[str, Any] | None = None, **settings: Any) -> Play:
    play = Play(EngineSettings(**settings), ProjectInfo(crawl_config={"bounds": bounds} if bounds else {}))
    play.project(**(project or {}))
    play.turn()
    return play


def ask(play: Play, url: str = URL, project: str | None = "p") -> Answer:
    (said,) = asked(play, url, project)
    assert said.code in CODES
    assert said.text
    return said


def asked(play: Play, url: str = URL, project: str | None = "p") -> list[Answer]:
    names = [project] if project is not None else play.projectdb.names()
    moment = Moment(play.now, play.clock.now)
    return shown(play.engine.why(questions(play.taskdb, names, url), moment))


def test_no_project_and_never_submitted() -> None:
    play = playing()
    assert ask(play, project="q").code == "no_project"
    assert ask(play).code == "never_submitted"


def test_known_with_an_age_that_has_some_left_and_then_over() -> None:
    play = playing()
    play.submit(schedule=Schedule(age=4 * 3600))
    play.answer()
    crawled = play.now
    play.advance(3600)
    said = ask(play)
    assert (said.code, said.crawled, said.next) == ("known", crawled, crawled + 4 * 3600)
    assert "its age of 4 h has 3 h left" in said.text
    play.advance(3 * 3600 + 1)
    assert ask(play).code == "due_again"
    assert play.submit(schedule=Schedule(age=4 * 3600)).verdict == "restart"


def test_known_without_an_age() -> None:
    play = playing()
    play.submit()
    play.answer()
    said = ask(play)
    assert (said.code, said.next) == ("known", None)
    assert "no age" in said.text
    play.order("restart")
    while play.engine.state.actions:
        play.turn()
    assert (ask(play).code, "begun anew" in ask(play).text) == ("due_again", True)


@pytest.mark.parametrize("which", ["not a url", "h/1", "//h/1", "http://no host/", "on_start"])
def test_what_is_no_url_was_not_never_submitted(which: str) -> None:
    said = ask(playing(), which)
    assert (said.code, said.taskid) == ("not_url", "")
    assert said.text.startswith(f"{which!r} is no URL")


def test_an_id_of_ones_own_is_no_url_and_yet_known() -> None:
    play = playing()
    play.turn(submissions=[Submission(Task("p", "lamp 7", "http://h/7"))])
    assert ask(play, "lamp 7").code == "leased"
    assert ask(play, "lamp 8").code == "not_url"
    assert ask(play, "0" * 32).code == "never_submitted"
    assert ask(play, "data:,on_start").code == "never_submitted"


def test_a_page_that_robots_txt_forbids_is_no_other_failure() -> None:
    play = playing(retry_delays={"": 50})
    play.submit()
    error = "Disallowed by robots.txt, line 12: Disallow: /1"
    play.answer(ok=False, fetch=TrackFetch(status_code=403, error_kind="robots", error=error))
    said = ask(play)
    assert (said.code, said.next) == ("robots", play.now + 50)
    assert said.text == f"{error}; robots.txt is asked again in 50 s"


def test_robots_and_failures_and_drops() -> None:
    play = playing()
    play.submit(schedule=Schedule(retries=0))
    error = "Disallowed by robots.txt, line 12: Disallow: /1"
    play.answer(ok=False, fetch=TrackFetch(status_code=403, error_kind="robots", error=error))
    assert (ask(play).code, "line 12" in ask(play).text) == ("robots", True)
    play.submit("http://h/2", schedule=Schedule(retries=0))
    play.answer(ok=False, fetch=TrackFetch(status_code=404))
    assert (ask(play, "http://h/2").code, "http_404" in ask(play, "http://h/2").text) == ("failed", True)
    play.submit("http://h/3")
    play.answer(drop="no price")
    assert (ask(play, "http://h/3").code, "no price" in ask(play, "http://h/3").text) == ("dropped", True)
    play.submit("http://h/4")
    play.submit("http://h/4", schedule=Schedule(cancel=True, force_update=True))
    play.answer()
    assert ask(play, "http://h/4").code == "cancelled"


def test_retries_and_times() -> None:
    play = playing(retry_delays={"": 50})
    play.submit()
    play.answer(ok=False, fetch=TrackFetch(status_code=503))
    said = ask(play)
    assert (said.code, said.next) == ("retrying", play.now + 50)
    assert "failed 1 times (http_503); the next try is in 50 s" in said.text
    play.submit("http://h/2", schedule=Schedule(exetime=play.now + 7200))
    assert ask(play, "http://h/2").code == "scheduled"
    play.submit("http://h/3", schedule=Schedule(age=60, auto_recrawl=True))
    play.answer(url="http://h/3")
    assert (ask(play, "http://h/3").code, "auto_recrawl" in ask(play, "http://h/3").text) == ("scheduled", True)
    play.project(status="STOP")
    play.turn()
    said = ask(play)
    assert said.code == "stopped"  # no time ends that
    assert "the next try is in 50 s" in said.text


def test_leases() -> None:
    play = playing()
    play.submit()
    play.clock.advance(5)
    said = ask(play)
    assert (said.code, said.node) == ("leased", "")
    play.engine.state.leases["p", URL].node = "fetcher-7"
    assert "5 s ago, by fetcher-7" in ask(play).text


def test_bounds_and_filters() -> None:
    play = playing({"max_depth": 0, "exclude": ["*/print/*", "*/calendar/*"], "max_tasks": 3})
    play.submit()
    play.answer(follows=[follow("http://h/deep")])
    said = ask(play, "http://h/deep")
    assert (said.code, "max_depth" in said.text) == ("refused", True)
    said = ask(play, "http://h/calendar/1")
    assert (said.code, "exclude rule 2: */calendar/*" in said.text) == ("refused", True)
    play.turn(submissions=[Submission(Task("p", f"t{n}", f"http://h/t{n}")) for n in range(3)])
    said = ask(play, "http://h/never")
    assert (said.code, "max_tasks" in said.text) == ("refused", True)
    assert play.ledger("refused") == 2  # to ask refuses nothing


def test_a_stop_a_pause_a_budget_and_what_a_project_says_of_itself() -> None:
    play = playing(project={"max_pages": 0})
    play.submit()
    assert ask(play).code == "page_budget"
    play.project(status="STOP")
    play.turn()
    assert (ask(play).code, "STOP" in ask(play).text) == ("stopped", True)
    play.project(status="RUNNING")
    play.turn(room=0)
    play.order("pause")
    play.project(status="RUNNING", script="# 2")
    play.info = None
    play.turn()
    assert ask(play).code == "loading"
    play.info = ProjectInfo(error="SyntaxError: line 3")
    play.advance(60)
    assert (ask(play).code, "line 3" in ask(play).text) == ("broken", True)
    play.info = ProjectInfo()
    play.project(script="# 3")
    play.turn()
    assert ask(play).code == "held"


def test_paused_by_failures() -> None:
    play = playing(fail_pause_num=3, pause_time=300.0)
    for n in range(3):
        play.submit(f"http://h/bad{n}", schedule=Schedule(retries=0))
        play.answer(ok=False)
    play.submit()
    play.advance(100)
    said = ask(play)
    assert (said.code, said.next) == ("paused", pytest.approx(play.now + 200))
    assert "after 3 failures in a row, for 3 min 20 s more" in said.text
    play.clock.advance(200)
    assert ask(play).code == "queued"  # it is one of those that show whether it goes on
    play.turn()
    assert ask(play).code == "leased"


def test_the_rate() -> None:
    play = playing(project={"rate": 0.1, "burst": 1})
    play.turn(submissions=[Submission(Task("p", f"http://h/{n}", f"http://h/{n}")) for n in range(3)])
    said = ask(play, "http://h/2")
    assert (said.code, said.next) == ("rate", pytest.approx(play.now + 10))
    play.project(rate=0.0)
    play.turn()
    assert (ask(play, "http://h/2").next, "nothing is sent" in ask(play, "http://h/2").text) == (None, True)


def test_a_host_that_is_held() -> None:
    play = playing()
    play.submit()
    dispatch = play.out[0]
    play.turn(FetchEnded(dispatch.project, dispatch.taskid, dispatch.run, dispatch.attempt, "h", 429, None, 0.1, 60.0))
    play.turn(submissions=[Submission(Task("p", "http://h/2", "http://h/2"))], room=0)
    said = ask(play, "http://h/2")
    assert (said.code, said.next) == ("host", pytest.approx(play.now + 60, abs=1))


def test_the_place_in_the_queue() -> None:
    play = playing()
    tasks = [Task("p", f"http://h/{n}", f"http://h/{n}", schedule=Schedule(priority=n % 2)) for n in range(10)]
    play.turn(submissions=[Submission(task) for task in tasks], room=0)
    assert [ask(play, f"http://h/{n}").place for n in (1, 3, 0, 8)] == [1, 2, 6, 10]


def test_every_project_that_knows_it_answers() -> None:
    play = playing()
    play.project("q")
    play.project("r")
    play.turn()
    play.submit()
    play.submit(project="q")
    play.answer(url=URL)
    assert {one.project: one.code for one in asked(play, project=None)} == {"p": "known", "q": "leased"}
    assert [one.code for one in asked(play, "http://h/9", None)] == ["never_submitted"] * 3


def test_a_task_with_a_taskid_of_its_own_is_found_by_its_url() -> None:
    play = playing()
    play.turn(submissions=[Submission(Task("p", "mine", "http://h/post"))])
    assert (ask(play, "http://h/post").taskid, ask(play, "mine").url) == ("mine", "http://h/post")


def test_without_a_scheduler_the_stores_say_the_same() -> None:
    play = playing({"exclude": ["*/print/*"]}, retry_delays={"": 50})
    play.project("q", status="STOP")
    play.turn()
    play.submit()
    play.submit("http://h/2")
    play.answer(ok=False, url="http://h/2")
    play.submit("http://h/3", project="q")
    play.submit("http://h/4")
    play.answer(url="http://h/4")
    play.turn(submissions=[Submission(Task("p", "http://h/5", "http://h/5"))], room=0)

    def offline(url: str) -> list[tuple[str, str]]:
        return [(one.project, one.code) for one in explain(play.taskdb, play.projectdb, None, url, play.clock)]

    assert offline(URL) == [("p", "leased")]
    assert offline("http://h/2") == [("p", "retrying")]
    assert offline("http://h/3") == [("q", "stopped")]
    assert offline("http://h/4") == [("p", "known")]
    assert offline("http://h/5") == [("p", "no_scheduler")]
    assert offline("http://h/print/1") == [("p", "refused"), ("q", "never_submitted")]
    before = play.taskdb.state()
    offline(URL)
    assert play.taskdb.state() == before


def limit(play: Play, **limits: Any) -> None:
    row = play.projectdb.get("p")
    assert row is not None
    row.limits = msgspec.json.encode(limits).decode() if limits else None
    play.projectdb.put(row)
    play.engine.projects_changed = True
    play.turn()


def test_what_was_crawled_and_removed_was_not_never_submitted() -> None:
    play = playing(project={"limits": '{"keep_tasks": 864000}'})
    play.submit()
    play.answer()
    play.advance(11 * 86_400)
    settle(play)
    said = ask(play)
    assert (said.code, "finished tasks are kept 10 d here" in said.text) == ("unknown", True)
    limit(play)  # they are kept from now on
    assert ask(play).code == "unknown"


def test_a_refusal_that_would_be_none_now_is_told_as_past() -> None:
    play = playing()
    limit(play, exclude=["*/x/*", "*/y/*"], max_depth=3)
    assert not play.submit("http://h/y/1").accepted
    assert (ask(play, "http://h/y/1").code, "exclude 2" in ask(play, "http://h/y/1").text) == ("refused", True)
    for limits in ({"exclude": ["*/z/*"]}, {"max_tasks": 5}, {}):
        limit(play, **limits)
        said = ask(play, "http://h/y/1")
        assert (said.code, "would be taken on now; it was refused" in said.text) == ("unknown", True)
        assert "(exclude 2): its URL matches exclude rule 2: */y/*" in said.text
    limit(play, exclude=["*y*"])
    said = ask(play, "http://h/y/1")
    assert (said.code, "would be refused (exclude 1)" in said.text) == ("refused", True)
    limit(play, keep_tasks=864_000)
    assert play.submit("http://h/y/1").accepted
    play.answer(url="http://h/y/1")
    play.advance(11 * 86_400)
    settle(play)
    assert (ask(play, "http://h/y/1").code, "refused" in ask(play, "http://h/y/1").text) == ("unknown", False)


def test_no_answer_shows_a_password() -> None:
    play = playing()
    url = "http://joe:PASSW@h/p?token=SECRET"
    play.submit(url, schedule=Schedule(retries=0))
    play.answer(ok=False, process=TrackProcess(ok=False, reason="exception", exception=f"x\nValueError: none on {url}"))
    for which in (url, "http://joe:PASSW@h/never?token=SECRET"):
        said = ask(play, which)
        assert "***" in said.url
        assert not [secret for secret in ("PASSW", "SECRET") if secret in said.text + said.url]


def test_no_more_projects_are_asked_than_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    play = playing()
    for n in range(60):
        play.project(f"p{n:02}", limits='{"max_tasks": 9, "exclude": ["*/x/*"]}')
    play.turn()
    asked_for: list[str] = []
    counts = play.taskdb.counts
    monkeypatch.setattr(play.taskdb, "counts", lambda name, hosts: asked_for.append(name) or counts(name, hosts))
    assert len(asked(play, "http://h/never", None)) == 50
    assert len(asked_for) <= 50
    assert not play.submit("http://h/x/1", project="p59").accepted
    assert [one.project for one in asked(play, "http://h/x/1", None)] == ["p59"]  # of all, who knows it


def test_without_a_scheduler_only_the_project_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    play = playing()
    for name in "pqr":
        play.project(name)
        play.turn()
        play.submit(project=name)
    read: list[str] = []
    window = play.taskdb.window
    monkeypatch.setattr(play.taskdb, "window", lambda name, *a, **kw: read.append(name) or window(name, *a, **kw))
    assert [one.code for one in explain(play.taskdb, play.projectdb, "q", URL, play.clock)] == ["leased"]
    assert set(read) == {"q"}


@pytest.mark.parametrize("seed", range(25))
def test_what_is_said_agrees_with_what_is_done(seed: int) -> None:
    """Whatever stands in the way is really in the way, and who is first in a queue without a reason is sent."""
    chance = random.Random(seed)
    play = Play(EngineSettings(fail_pause_num=2, max_leased=chance.choice((3, 900)), retry_delays={"": 30}), None)
    play.info = ProjectInfo()
    for name in ("p", "q"):
        play.projectdb.put(
            ProjectRow(name, status="RUNNING", script="# 1", rate=chance.choice((None, 0.2)), burst=1.0, rate_set=True,
                       max_pages=chance.choice((None, 8)))
        )  # fmt: skip
    play.turn()
    for step in range(40):
        name = chance.choice("pq")
        what = chance.randrange(6)
        if what < 2:
            schedule = Schedule(priority=chance.randrange(3), exetime=play.now + chance.choice((0, 0, 20)))
            task = Task(name, f"t{step}", f"http://h{step % 3}/{step}", schedule=schedule)
            play.turn(submissions=[Submission(task)], room=0)
        elif what == 2 and play.out:
            play.answer(chance.random() < 0.5)
        elif what == 3:
            play.clock.advance(chance.choice((1, 10, 400)))
            play.turn(room=0)
        elif what == 4:
            play.turn(orders=[Order(name, chance.choice(("pause", "resume")), 1)], room=0)
        said = {}
        for key in [(row.project, row.taskid) for name in "pq" for row in play.taskdb.select(name)]:
            (said[key],) = asked(play, key[1], key[0])
        out = set(play.engine.state.leases)
        play.turn(room=1000)
        for key in set(play.engine.state.leases) - out:
            assert said[key].code == "queued", said[key]
        for key, one in said.items():
            if one.code == "queued" and one.place == 1 and play.settings.max_leased > 3:
                assert key in play.engine.state.leases, one


def test_spans() -> None:
    texts = [span(seconds) for seconds in (-1, 0.25, 5, 59, 60, 3_599, 3_600, 12_000, 86_400, 180_000)]
    assert texts == ["0 s", "0.2 s", "5 s", "59 s", "1 min", "59 min 59 s", "1 h", "3 h 20 min", "1 d", "2 d 2 h"]
