"""Letters between schedulers: what cannot be read is counted, and what is for later stays."""

from __future__ import annotations

from crawlkit.libs.rows import Letter, Writes
from crawlkit.scheduler import mail
from crawlkit.scheduler.settings import EngineSettings
from tests.scheduler.play import Play


def play_of_two() -> Play:
    play = Play(EngineSettings(partitions=2))
    play.project()
    play.turn()
    return play


def letters(play: Play, *texts: tuple[str, str]) -> None:
    play.taskdb.commit(Writes(mail=[Letter(0, "p", kind, text) for kind, text in texts]))
    play.advance(mail.POLL)


def test_what_nobody_can_read_goes_and_is_counted() -> None:
    play = play_of_two()
    letters(play, (mail.TASK, "[1]"), (mail.ORDER, "{"), (mail.ANSWER, "7"), (mail.MOVED, "{}"))
    assert play.ledger("refused", "malformed") == 4
    assert not play.taskdb.mail([0, 1], 1)


def test_an_order_waits_for_the_end_of_the_one_before_it() -> None:
    play = play_of_two()
    for number in range(40):
        play.submit(f"http://h{number}.example/")
    play.turn(room=0)
    kept = play.engine.state
    play.order("clear")
    letters(play, (mail.ORDER, '{"kind":"retry_failed","limit":9}'))
    while kept.actions:
        play.advance(mail.POLL)
    play.advance(mail.POLL)
    assert not play.taskdb.mail([0, 1], 1)
    assert not [name for _, name in play.taskdb.state() if name.startswith("action")]


def test_letters_for_a_project_that_is_not_there_go() -> None:
    play = play_of_two()
    task = '["submit",{"project":"gone","taskid":"t","url":"http://h/"},""]'
    play.taskdb.commit(Writes(mail=[Letter(1, "gone", mail.TASK, task), Letter(1, "gone", mail.MOVED, '"t"')]))
    play.advance(mail.POLL)
    assert not play.taskdb.mail([0, 1], 1)
    assert play.ledger("refused", "no_project", "gone") == 1
