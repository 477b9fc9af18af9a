"""``fetch_type="auto"`` played whole: made sites, the real engine, runner and callback, a manual clock."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import pytest

from crawlkit.libs.auto import BROWSER, CONTROL, PLAIN, SETTLED, Auto, Said
from crawlkit.libs.messages import PREPARE, Dispatch, Fetched, ProjectInfo, pack
from crawlkit.libs.task import Fetch, Process, Schedule, Status
from crawlkit.scheduler.auto_order import MOST_PAIRS
from crawlkit.scheduler.books import compare
from crawlkit.scheduler.token_bucket import TokenBucket
from tests.scheduler.auto_world import SCRIPT, Page, World
from tests.scheduler.play import Play
from tests.scheduler.rig import outcome_of

Site = dict[str, Callable[[], Page]]


def fields(number: int, rng: random.Random) -> dict[str, str]:
    price = f"{rng.randint(1, 999)}.{rng.randint(10, 99)}"
    return {"title": f"Thing {number}", "price": price, "rating": rng.choice(["4.1", "3.9", ""]), "stock": "yes"}


def site(pages: int, change: dict[str, str], share: float = 0.3, seed: int = 1, first: int = 0, **page: object) -> Site:
    """``share`` of the pages has ``change`` in its plain form."""
    rng = random.Random(seed)
    made: Site = {}
    for number in range(first, first + pages):
        whole = fields(number, rng)
        plain = whole | change if rng.random() < share else whole
        one = Page(plain, whole, **page)  # type: ignore[arg-type]
        made[f"http://shop.test/{number}"] = lambda one=one: one  # type: ignore[misc]
    return made


def dynamic(pages: Site) -> float:
    return sum(page().plain != page().rendered for page in pages.values()) / len(pages)


def crawled(pages: Site, **world: float) -> World:
    made = World(**world)  # type: ignore[arg-type]
    made.submit_all(pages)
    made.play()
    assert len(made.results) == len(pages)
    report = compare("p", made.taskdb.ledger(), made.taskdb.books("p"))
    assert report.balanced, report.problems
    assert made.engine.state.leases == {}
    return made


FAST = {"plain": 0.05, "browser": 0.1, "slots": 400}  # all is in flight before anything is known


@pytest.mark.parametrize(
    ("change", "speed"),
    [
        pytest.param({"price": ""}, {}, id="empty"),
        pytest.param({"price": "0.00"}, {}, id="zero"),
        pytest.param({"price": "9.99"}, {}, id="one value"),
        pytest.param({"price": "9.99"}, FAST, id="one value, all at once"),
        pytest.param({"title": "", "price": "", "stock": ""}, FAST, id="shell, all at once"),
    ],
)
def test_a_mixed_site_is_served_plainly_where_that_is_enough(change: dict[str, str], speed: dict[str, float]) -> None:
    """LESSONS 3.11: at most 5 points more than the pages that need it, and every field right."""
    pages = site(1000, change)
    world = crawled(pages, **speed)
    assert world.wrong() == []
    assert world.share() <= dynamic(pages) + 0.05


def test_zeros_that_are_true_are_believed() -> None:
    pages = site(1000, {"price": ""}, seed=5)
    for number, page in enumerate(pages.values()):
        if number % 2:
            page().plain["rating"] = page().rendered["rating"] = "0"
    world = crawled(pages)
    assert world.wrong() == []
    assert world.share() <= dynamic(pages) + 0.05


@pytest.mark.parametrize("scripts", [(), ("/a.js",)])
def test_a_static_site_hardly_sees_a_browser(scripts: tuple[str, ...]) -> None:
    world = crawled(site(1000, {}, scripts=scripts))
    assert world.wrong() == []
    assert world.share() <= (0.04 if scripts else 0)


def test_a_dynamic_site_goes_there_straight() -> None:
    world = crawled(site(1000, {"price": ""}, share=1.0))
    assert world.wrong() == []
    assert world.share() == 1
    assert world.fetches["plain"] < 700
    assert any("nearly all" in how for how in world.by.values())


def test_wrong_values_that_only_the_scripts_tell_are_found_by_them() -> None:
    rng = random.Random(7)
    pages: Site = {}
    for number in range(800):
        whole, wrong = fields(number, rng), rng.random() < 0.3
        plain = whole | {"price": f"{rng.randint(1, 999)}.00"} if wrong else whole
        one = Page(plain, whole, ["/app.js", "/prices.js"] if wrong else ["/app.js"])
        pages[f"http://shop.test/{number}"] = lambda one=one: one  # type: ignore[misc]
    world = crawled(pages)
    assert world.wrong() == []
    assert world.share() <= dynamic(pages) + 0.05


def test_a_counter_in_the_page_sends_nobody_to_the_browser() -> None:
    count = itertools.count()
    pages: Site = {}
    for number in range(500):
        whole = fields(number, random.Random(number))
        pages[f"http://shop.test/{number}"] = lambda whole=whole: Page(  # type: ignore[misc]
            now := whole | {"stock": f"{next(count)} views"}, now
        )
    world = World()
    world.submit_all(pages)
    world.play()
    assert world.share() <= 0.06


def test_a_site_that_becomes_dynamic_is_followed_and_one_that_becomes_static_too() -> None:
    world = crawled(site(500, {}))
    assert world.share() < 0.06
    world.by.clear()
    later = site(500, {"price": ""}, share=0.5, first=500)
    world.submit_all(later)
    world.play()
    assert world.wrong() == []
    assert dynamic(later) <= world.share() <= dynamic(later) + 0.05
    world.submit_all(site(400, {"price": ""}, share=1.0, first=1000))
    world.play()
    world.submit_all(site(500, {}, first=1400))  # many of these are sent before the first is back
    world.play()
    world.by.clear()
    world.submit_all(site(500, {}, first=1900))
    world.play()
    assert world.wrong() == []
    assert world.share() <= 0.05


def test_what_was_learned_outlives_the_scheduler() -> None:
    world = crawled(site(600, {"price": ""}))
    world.start()
    world.by.clear()
    more = site(300, {"price": ""}, first=600, seed=2)
    world.submit_all(more)
    world.play()
    assert world.wrong() == []
    assert world.share() <= dynamic(more) + 0.02  # nothing had to be compared anew


def test_a_changed_script_is_learned_anew() -> None:
    world = crawled(site(100, {"price": ""}))
    (pair,) = world.engine.state.auto.values()
    assert pair.learned.kinds
    world.project(script="# 2")
    world.submit_all(site(1, {}, first=100))
    world.play()
    (pair,) = world.engine.state.auto.values()
    assert len(pair.learned.kinds) <= 1
    assert sum(len(rows) for kind in pair.learned.kinds.values() for rows in kind.patterns.values()) <= 1


SIDE_EFFECTS = """
from crawlkit import *
class Handler(BaseHandler):
    def page(self, response):
        self.save["runs"] = self.save.get("runs", 0) + 1
        self.crawl(response.url + "/next", callback=self.other)
        self.send_message("q", {"from": response.url})
        print("ran")
        return {"title": response.css("#title::text").get(), "price": response.css("#price::text").get()}
    def other(self, response):
        pass
"""


def test_side_effects_come_once_whatever_was_fetched_before() -> None:
    pages = site(60, {"price": ""}, share=0.5)
    world = World(script=SIDE_EFFECTS)
    world.submit_all(pages)
    for url in list(pages):
        world.pages[url + "/next"] = lambda: Page({}, {})
    world.play()
    ended = [outcome for outcome in world.final if outcome.url in pages]
    assert len(ended) == len(pages)
    assert [(len(one.follows), len(one.messages), len(one.results)) for one in ended] == [(1, 1, 1)] * len(pages)
    assert {one.process.logs for one in ended if one.process} == {"ran\n"}
    for url in pages:
        assert world.row(url).save == '{"runs":1}'


def failing_browser(kind: str, status: int = 599) -> Callable[[Dispatch], Fetched]:
    def answer(task: Dispatch) -> Fetched:
        return Fetched(task, status, task.url, task.url, [], {}, 0.1, error=f"it is {kind}", error_kind=kind)

    return answer


def test_without_a_browser_service_auto_is_plain_with_one_warning() -> None:
    world = World()
    said: list[str] = []
    turn = world.engine.turn
    world.engine.turn = lambda *a: (said.extend((out := turn(*a)).no_browser), out)[1]  # type: ignore[method-assign]
    world.browser_answer = failing_browser("no_browser", 501)
    world.submit_all(site(200, {"price": ""}))
    world.play()
    assert said == ["p"]
    assert world.share() == 0
    assert len(world.results) == 200
    assert any("there is no browser service" in how for how in world.by.values())
    assert world.fetches["browser"] <= 20
    assert not [key for key in world.taskdb.ledger() if key[1] in ("failed", "retried")]


def test_a_browser_that_fails_harms_no_page_that_looked_enough() -> None:
    world = World()
    world.browser_answer = failing_browser("crashed")
    page = Page(whole := fields(1, random.Random(1)) | {"rating": "4"}, whole)
    world.submit_all({f"http://shop.test/{number}": lambda: page for number in range(100)})
    world.play()
    assert world.wrong() == []
    assert all(how.startswith("plain") for how in world.by.values())


def test_a_page_that_needs_a_failing_browser_is_tried_again() -> None:
    world = World()
    world.browser_answer = failing_browser("crashed")
    world.submit_all(site(1, {"price": ""}, share=1.0))
    url = "http://shop.test/0"
    world.play()
    assert world.row(url).status is Status.FAILED
    assert world.taskdb.ledger()["p", "retried", "crashed"] == 3
    counted = {reason: n for (_, event, reason), n in world.taskdb.ledger().items() if event == "auto"}
    assert counted == {"browser": 1}, "one page, however often it was tried"


def test_a_browser_page_with_less_is_not_taken() -> None:
    """A wall of consent that only browsers see."""
    world = World()

    def wall(task: Dispatch) -> Fetched:
        return Fetched(task, 200, task.url, task.url, [], {}, 0.1, content=b"<script></script><p id=title>Thing 0</p>")

    world.browser_answer = wall
    world.submit_all(site(30, {}, share=0.0))
    world.play()
    assert all(result["price"] for result in world.results.values())


@pytest.mark.parametrize(("status", "browser"), [(403, True), (503, True), (429, False), (404, False), (500, False)])
def test_answers_that_a_browser_may_pass_are_tried_there(status: int, browser: bool) -> None:
    world = World()
    world.submit_all(site(1, {}))
    html = world.pages["http://shop.test/0"]
    plain = world._come

    def come(dispatch: Dispatch) -> None:
        if dispatch.fetch.fetch_type == "js":
            plain(dispatch)
            return
        fetched = Fetched(dispatch, status, dispatch.url, dispatch.url, [], {}, 0.1, content=b"no")
        world.runner.run(fetched, lambda part: world.turn(part))

    world._come = come  # type: ignore[method-assign]
    world.play()
    if browser:
        assert world.results["http://shop.test/0"]["price"] == html().rendered["price"]
        assert f"HTTP {status}" in world.by["http://shop.test/0"]
    else:
        assert world.fetches["browser"] == 0
        assert world.row("http://shop.test/0").status is Status.FAILED


def test_a_rendered_page_keeps_no_validators() -> None:
    """The document of a page that scripts fill stays the same for ever; what they load does not."""
    world = World()
    world.submit_all(site(1, {"price": ""}, share=1.0))
    world.play()
    assert world.by["http://shop.test/0"].startswith("browser: price was empty in the plain page")
    assert world.row("http://shop.test/0").etag is None


# -- single decisions


def sent(fetch: Fetch, url: str = "http://h/1", info: ProjectInfo | None = None) -> tuple[Play, Dispatch]:
    play = Play(info=info or ProjectInfo())
    play.project()
    play.submit(url, fetch=fetch, process=Process(callback="page"), schedule=Schedule(retries=0))
    return play, play.out[0]


def asking(dispatch: Dispatch, **said: object) -> object:
    assert dispatch.auto is not None
    fields = {
        "stage": dispatch.auto.stage,
        "kind": "k",
        "tokens": ["price="],
        "why": "price was empty in the plain page",
    }
    return outcome_of(dispatch, auto=Said(True, callback="page", **(fields | said)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fetch", "stage"),
    [
        (Fetch(fetch_type="auto"), PLAIN),
        (Fetch(fetch_type="auto", method="POST", data=b"x"), SETTLED),
        (Fetch(fetch_type="auto", download={"to": "x"}), SETTLED),
        (Fetch(fetch_type="auto", js_script="function() {}"), BROWSER),
        (Fetch(fetch_type="js"), None),
        (Fetch(), None),
    ],
)
def test_what_is_done_first(fetch: Fetch, stage: int | None) -> None:
    _, dispatch = sent(fetch)
    assert (dispatch.auto.stage if dispatch.auto is not None else None) == stage
    assert dispatch.fetch.fetch_type == ("js" if stage == BROWSER else fetch.fetch_type)


def test_the_way_of_one_page_is_one_run_under_one_lease() -> None:
    play, plain = sent(Fetch(fetch_type="auto"))
    play.out.clear()
    play.turn(asking(plain))  # type: ignore[arg-type]
    (control,) = play.out
    assert control.auto is not None
    assert (control.auto.stage, control.run, control.attempt) == (CONTROL, 1, 2)
    play.turn(asking(plain))  # type: ignore[arg-type]  # the same once more: the queue is at-least-once
    assert play.out == [control]
    play.out.clear()
    play.turn(asking(control))  # type: ignore[arg-type]
    (rendered,) = play.out
    assert rendered.auto is not None
    assert (rendered.auto.stage, rendered.attempt, rendered.fetch.fetch_type) == (BROWSER, 3, "js")
    (lease,) = play.taskdb.leases()
    assert lease.attempt == 3
    play.out.clear()
    for late in (plain, control):
        play.turn(outcome_of(late))
    assert play.row().status is Status.ACTIVE
    said = Said(stage=BROWSER, kind="k", tokens=["price="], compared=True, differs=["price="], callback="page")
    play.turn(outcome_of(rendered, auto=said))
    row = play.row()
    assert (row.status, row.retried, row.run) == (Status.SUCCESS, 0, 1)
    assert play.taskdb.leases() == []
    ledger = play.taskdb.ledger()
    assert ledger["p", "auto", "browser"] == 1
    assert ledger["p", "ignored", "stale_outcome"] == 3
    assert ("p", "retried", "") not in ledger


def test_a_scheduler_that_starts_between_two_fetches_goes_on() -> None:
    play, plain = sent(Fetch(fetch_type="auto"))
    play.turn(asking(plain))  # type: ignore[arg-type]
    control = play.out[-1]
    play.start()
    play.out.clear()
    play.turn(asking(plain))  # type: ignore[arg-type]  # of the attempt before: nothing comes of it
    assert play.out == []
    play.turn(asking(control))  # type: ignore[arg-type]
    (rendered,) = play.out
    assert rendered.auto is not None
    assert rendered.auto.stage == BROWSER
    assert rendered.auto.tokens == ["price="]


def test_a_further_fetch_is_paid_by_the_bucket() -> None:
    play = Play(info=ProjectInfo())
    play.project(rate=1.0, burst=1)
    fetch, process = Fetch(fetch_type="auto"), Process(callback="page")
    play.submit("http://h/1", fetch=fetch, process=process)
    play.submit("http://h/2", fetch=fetch, process=process)
    (first,) = play.out
    play.turn(asking(first))  # type: ignore[arg-type]
    assert len(play.out) == 2  # at once
    play.advance(1.5)
    assert [one.url for one in play.out].count("http://h/2") == 0
    play.advance(0.6)
    assert [one.url for one in play.out].count("http://h/2") == 1


def test_a_bucket_owes_no_more_than_it_holds() -> None:
    bucket = TokenBucket(1.0, 3, 0.0)
    for _ in range(50):
        bucket.owe(0.0)
    assert bucket.wait(0.0) == pytest.approx(4.0, abs=0.01)
    TokenBucket(None, 1, 0.0).owe(0.0)


def test_before_request_runs_before_each_of_them() -> None:
    play = Play(info=ProjectInfo(has_before_request=True))
    play.project()
    outbox = []
    turn = play.engine.turn
    play.engine.turn = lambda *a: (outbox.append(out := turn(*a)), out)[1]  # type: ignore[method-assign]
    play.submit("http://h/1", fetch=Fetch(fetch_type="auto"), process=Process(callback="page"))

    def prepare() -> Dispatch:
        (waiting,) = [one.task for box in outbox for one in box.resumes]
        outbox.clear()
        assert waiting.kind == PREPARE
        assert waiting.auto is None
        signed = Fetch(fetch_type="auto", headers={"X-Sign": str(waiting.attempt)})
        play.turn(outcome_of(waiting, prepared=pack(signed)))
        return play.out.pop()

    plain = prepare()
    assert plain.auto is not None
    assert plain.auto.stage == PLAIN
    play.turn(asking(plain))  # type: ignore[arg-type]
    control = prepare()
    assert control.auto is not None
    assert control.auto.stage == CONTROL
    assert control.fetch.headers == {"X-Sign": "2"}
    play.turn(asking(control))  # type: ignore[arg-type]
    rendered = prepare()
    assert (rendered.fetch.fetch_type, rendered.fetch.headers) == ("js", {"X-Sign": "3"})


def test_pages_that_wait_for_a_probe_go_on_when_it_is_lost() -> None:
    play = Play(info=ProjectInfo())
    play.project()
    for number in range(12):
        play.submit(f"http://h/{number}", fetch=Fetch(fetch_type="auto"), process=Process(callback="page"))
    first = list(play.out)
    play.out.clear()
    for dispatch in first:
        play.turn(asking(dispatch))  # type: ignore[arg-type]
    assert len(play.out) == 4  # the others wait
    for _ in range(40):  # nobody answers: leases run out, others take their turn, nothing is stuck
        play.advance(40)
    assert {one.url for one in play.out} == {f"http://h/{number}" for number in range(12)}


def test_an_auto_task_of_a_removed_project_leaves_nothing() -> None:
    world = crawled(site(50, {"price": ""}))
    assert world.engine.state.auto
    world.engine.drop("p")
    assert world.engine.state.auto == {}
    assert not [name for _, name in world.taskdb.state() if name.startswith("auto:")]


def test_pairs_are_bounded() -> None:
    page = Page({"title": "x"}, {"title": "x"})
    world = World()
    world.submit_all({f"http://h{number}.test/": lambda: page for number in range(700)})
    world.play()
    world.submit_all({"http://one-more.test/": lambda: page})
    world.play()
    assert len(world.engine.state.auto) <= MOST_PAIRS
    assert len([1 for _, name in world.taskdb.state() if name.startswith("auto:")]) <= MOST_PAIRS


def test_a_browser_fetch_carries_no_validators() -> None:
    play, plain = sent(Fetch(fetch_type="auto"))
    play.engine.state.leases["p", "http://h/1"].row.etag = '"x"'
    play.turn(asking(plain))  # type: ignore[arg-type]
    play.turn(asking(play.out[-1]))  # type: ignore[arg-type]
    assert play.out[-1].auto == Auto(
        BROWSER, "browser: price was empty in the plain page", kind="k", tokens=["price="], probe=True
    )
    assert play.out[-1].etag is None


def test_the_made_script_is_what_the_pages_are_for() -> None:
    assert "price" in SCRIPT
