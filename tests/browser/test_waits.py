"""When a page counts as ready, what a task waits for, and what it does in a page."""

from __future__ import annotations

import pytest

from crawlkit.libs.browse import Browse
from tests.browser.rig import Asked, Rig, Site

LATE = "<p>x<script>setTimeout(() => { document.body.innerHTML = '<p id=late>late' }, 800)</script>"


@pytest.mark.parametrize(
    "wait",
    [
        {"selector": "#late", "state": "visible"},
        {"selector": "#late", "state": "attached"},
        {"function": "() => document.querySelector('#late')"},
        {"function": "document.querySelector('#late').id === 'late'"},
        {"seconds": 1.2},
        {"network_idle": 1.2},
    ],
)
def test_what_comes_late_is_waited_for(rig: Rig, site: Site, wait: dict[str, object]) -> None:
    reply = rig.render(site.page("/", LATE), browser=Browse(wait_for=[wait]))
    assert reply.error is None
    assert '<p id="late">late</p>' in reply.content


@pytest.mark.parametrize("state", ["hidden", "detached"])
def test_until_something_is_gone(rig: Rig, site: Site, state: str) -> None:
    page = "<p id=spinner>...<script>setTimeout(() => spinner.remove(), 300)</script>"
    reply = rig.render(site.page("/", page), browser=Browse(wait_for=[{"selector": "#spinner", "state": state}]))
    assert reply.error is None
    assert "spinner" not in reply.content.partition("<script>")[0]


def test_one_that_fails_says_which(rig: Rig, site: Site) -> None:
    wish = Browse(wait_for=[{"load": "load"}, {"selector": "#never", "state": "visible"}])
    reply = rig.render(site.page("/", "<p>x"), browser=wish, settings={"wait_within": 0.3})
    assert (reply.status_code, reply.error_kind) == (599, "timeout")
    assert reply.error == "wait_for[1]: selector '#never' did not come within 0.3 seconds"
    assert reply.console == [f"crawlkit: {reply.error}"]
    assert "<p>x</p>" in reply.content  # what it looked at helps to see why


def test_words_of_playwright_s_in_a_selector(rig: Rig, site: Site) -> None:
    reply = rig.render(site.page("/", LATE), browser=Browse(wait_for=[{"selector": "text=late", "state": "visible"}]))
    assert reply.error is None
    assert '<p id="late">late</p>' in reply.content


@pytest.mark.parametrize("wait", [{"selector": "p[["}, {"function": "() => {{{"}])
def test_a_condition_that_cannot_be_read(rig: Rig, site: Site, wait: dict[str, str]) -> None:
    reply = rig.render(site.page("/", "<p>x"), browser=Browse(wait_for=[wait]))
    assert (reply.status_code, reply.error_kind) == (599, "bad_request")
    assert str(reply.error).startswith("wait_for: ")


def test_markup_only(rig: Rig, site: Site) -> None:
    async def slow(asked: Asked) -> None:
        import asyncio

        await asyncio.sleep(5)

    site.on("/slow.png", slow)
    page = site.page("/", "<p>x<img src=/slow.png>")
    reply = rig.render(page, browser=Browse(wait_for=[{"load": "domcontentloaded"}]))
    assert reply.error is None
    assert reply.time < 4


def test_a_function_works_where_the_page_forbids_eval(rig: Rig, site: Site) -> None:
    page = site.page("/", "<p>x", Content_Security_Policy="default-src 'none'")
    reply = rig.render(
        page, browser=Browse(wait_for=[{"function": "() => true"}]), js_script="function() { return 7; }"
    )
    assert (reply.error, reply.js_script_result) == (None, 7)


def test_chains_of_requests_are_followed_to_their_end(rig: Rig, site: Site) -> None:
    page = """<p id=n>0<script>
        const next = (i) => fetch('/data?' + i).then(() => {
          n.textContent = i;
          if (i < 5) setTimeout(next, 100, i + 1);
        });
        next(1)</script>"""
    site.page("/data", "1")
    assert '<p id="n">5' in rig.render(site.page("/", page)).content


def test_a_page_without_scripts_is_ready_at_once(rig: Rig, site: Site) -> None:
    slow = {"calm": 20.0, "quiet": 20.0, "settle": 60.0}
    assert rig.render(site.page("/", "<p>x<a href=/y>y</a>"), settings=slow, timeout=15).error is None


ACT = """<input id=name><select id=kind><option value=a>a<option value=b>b</select><button id=go>go</button>
<p id=out></p>
<script>
let over = '';
document.querySelector('#go').onmouseover = () => { over = 'over' };
document.querySelector('#go').onclick = () => fetch('/data').then(() => {
  out.textContent = [document.querySelector('#name').value, kind.value, over].join();
});
document.querySelector('#name').onkeydown = (e) => { if (e.key === 'Enter') document.title = 'entered'; };
</script>"""


def test_actions_in_turn(rig: Rig, site: Site) -> None:
    site.page("/data", "1")
    actions = [
        {"fill": "#name", "text": "Zoë"},
        {"press": "Enter", "on": "#name"},
        {"select": "#kind", "value": "b"},
        {"hover": "#go"},
        {"click": "#go"},
        {"wait_for": {"function": "() => out.textContent"}},
    ]
    reply = rig.render(site.page("/", ACT), browser=Browse(actions=actions), js_script="() => out.textContent")
    assert reply.js_script_result == "Zoë,b,over"
    assert "<title>entered</title>" in reply.content


def test_a_click_that_leads_elsewhere(rig: Rig, site: Site) -> None:
    site.page("/2", "<h1>two</h1>")
    reply = rig.render(site.page("/", "<a href=/2>next</a>"), browser=Browse(actions=[{"click": "a"}]))
    assert (reply.url, reply.history) == (site.url("/2"), [])
    assert "<h1>two</h1>" in reply.content


@pytest.mark.parametrize(
    ("action", "kind"),
    [({"click": "p[["}, "bad_request"), ({"fill": "p", "text": "x"}, "bad_request"), ({"jump": "p"}, "bad_request"),
     ({"press": "NoKey"}, "bad_request")],
)  # fmt: skip
def test_an_action_that_cannot_be_done(rig: Rig, site: Site, action: dict[str, str], kind: str) -> None:
    reply = rig.render(site.page("/", "<p>x"), browser=Browse(actions=[action]))
    assert (reply.status_code, reply.error_kind) == (599, kind)
    assert str(reply.error).startswith("js_actions[0]")


def test_a_choice_that_is_not_there_is_told_with_those_that_are(rig: Rig, site: Site) -> None:
    page = site.page("/", "<select id=order><option value=price>Price<option>name</select>")
    wish = Browse(actions=[{"select": "#order", "value": "prize"}])
    reply = rig.render(page, browser=wish, settings={"action_within": 0.5})
    problem = "js_actions[0]: select '#order' has no choice 'prize'; there are: 'price', 'name'"
    assert (reply.error_kind, reply.error) == ("bad_request", problem)
    assert reply.console == [f"crawlkit: {problem}"]


LIST = """<div id=list></div><script>
let busy = false;
const more = () => { if (busy) return; busy = true; fetch('/more').then(r => r.text()).then(n => {
  busy = false;
  for (let i = 0; i < +n; i++) list.insertAdjacentHTML('beforeend', '<p style="height:900px">item</p>');
}) };
new IntersectionObserver(seen => { if (seen[0].isIntersecting) more() }).observe(
  document.body.appendChild(document.createElement('footer')));
addEventListener('scroll', () => { if (innerHeight + scrollY > document.body.scrollHeight - 100) more() });
</script>"""


def test_scrolling_to_the_end_until_nothing_comes(rig: Rig, site: Site) -> None:
    left = [5, 5, 5, 5]

    def more(asked: Asked) -> None:
        asked.write(str(left.pop() if left else 0))

    site.on("/more", more)
    reply = rig.render(site.page("/", LIST), browser=Browse(actions=[{"scroll": "end", "times": 20}]))
    assert reply.error is None
    assert reply.content.count(">item</p>") == 20 + 1  # one stands in the script
    assert left == []


def test_scrolling_no_oftener_than_said(rig: Rig, site: Site) -> None:
    site.page("/more", "5")
    reply = rig.render(site.page("/", LIST), browser=Browse(actions=[{"scroll": "end", "times": 2}]))
    assert 5 < reply.content.count(">item</p>") <= 20


def test_scrolling_by_pixels(rig: Rig, site: Site) -> None:
    page = site.page("/", "<div style='height:20000px'>x</div>")
    wish = Browse(actions=[{"scroll": 700, "times": 3}])
    assert rig.render(page, browser=wish, js_script="() => scrollY").js_script_result == 2100


LAZY = "".join(
    f"<p style='height:900px;margin:0'><img loading=lazy src=/{n}.svg width=9 height=9></p>" for n in range(12)
)


@pytest.mark.parametrize(
    "wish", [Browse(actions=[{"scroll": "end", "times": 20}]), Browse(screenshot={"of": "full", "type": "png"})]
)
def test_what_is_loaded_only_when_it_is_seen_is_seen_on_the_way_down(rig: Rig, site: Site, wish: Browse) -> None:
    pictures = {f"/{n}.svg" for n in range(12)}
    for path in pictures:
        site.page(path, "<svg xmlns='http://www.w3.org/2000/svg'/>", Content_Type="image/svg+xml")
    page = site.page("/", "<!doctype html>" + LAZY)
    size = {"js_viewport_width": 800, "js_viewport_height": 400}
    reply = rig.render(page, browser=wish, load_images=True, **size)
    assert reply.error is None
    assert set(site.paths()) >= pictures
    site.asked.clear()
    assert rig.render(page, load_images=True, **size).error is None
    assert not pictures <= set(site.paths())


def test_scrolling_to_the_end_of_a_page_without_end_jumps_after_so_many_steps(rig: Rig, site: Site) -> None:
    page = site.page("/", "<!doctype html><body style='margin:0'><div style='height:100000px'>x</div>")
    wish = Browse(actions=[{"scroll": "end", "times": 20}], screenshot={"of": "full", "type": "png"})
    reply = rig.render(page, browser=wish, settings={"max_steps": 3}, js_script="() => scrollY + innerHeight")
    assert (reply.error, reply.js_script_result) == (None, 100_000)
