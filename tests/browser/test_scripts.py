"""What ``js_script`` may be, when it runs, and what its value becomes [H51]."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.rig import Rig, Site


@pytest.mark.parametrize(
    ("script", "value"),
    [
        ("function() { return 1; }", 1),
        ("function() {\n  // a comment\n  return document.title;\n}  ;\n", "t"),
        ("function named() { return [1, 'a', null, {b: true}]; }", [1, "a", None, {"b": True}]),
        ("() => 2", 2),
        ("async () => (await fetch('/')).status", 200),
        ("document.title", "t"),
        ("document.title // at the end", "t"),
        ("const a = 3; return a + 1", 4),
        ("new Promise(done => setTimeout(done, 10, 'later'))", "later"),
        ("() => undefined", None),
        ("() => [NaN, Infinity, 1n, new Date(0), new Set([1]), new Map([[1, 2]]), () => 1]",
         [None, None, "1", "1970-01-01T00:00:00.000Z", [1], [[1, 2]], None]),
        ("() => { const a = {}; a.a = a; return a }", {"a": None}),
        ("() => document.querySelector('h1')", "<h1>h</h1>"),
        ("() => document.querySelectorAll('h1')", ["<h1>h</h1>"]),
        ("() => 'x'.repeat(10)", "x" * 10),
    ],
)  # fmt: skip
def test_what_it_may_be(rig: Rig, site: Site, script: str, value: Any) -> None:
    reply = rig.render(site.page("/", "<title>t</title><h1>h</h1>"), js_script=script)
    assert (reply.error, reply.js_script_result, reply.console) == (None, value, [])


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("function() { throw new TypeError('no such thing'); }", "js_script: TypeError: no such thing"),
        ("function( {", "js_script: SyntaxError: Unexpected token ')'"),
        ("return 1 +;", "js_script: SyntaxError: Unexpected token '}'"),
        ("const a = ; return a", "js_script: SyntaxError: Unexpected token ';'"),
        ("() => 'x'.repeat(2000)", "js_script: its value is over 1000 characters, and was left behind"),
        ("() => Array.from({length: 1000}, () => 'xx')", "js_script: its value is over 1000 characters"),
        ("() => { location = '/2'; return new Promise(() => {}) }",
         "js_script: the page went elsewhere before it had its value"),
    ],
)  # fmt: skip
def test_one_without_a_value_says_why(rig: Rig, site: Site, script: str, said: str) -> None:
    site.page("/2", "<p>two")
    reply = rig.render(site.page("/", "<p>x"), js_script=script, settings={"max_result": 1000})
    assert (reply.error, reply.js_script_result) == (None, None)
    assert reply.console[0].startswith(said)


def test_at_the_start_it_runs_before_the_page_s_own(rig: Rig, site: Site) -> None:
    page = site.page("/", "<script>document.title = window.planted + ' ' + Object.keys(window).join()</script><iframe>")
    script = "function() { window.planted = 'first'; return document.readyState; }"
    reply = rig.render(page, js_script=script, js_run_at="document-start")
    assert reply.js_script_result == "loading"
    assert "<title>first " in reply.content


def test_at_the_start_its_first_value_counts_and_its_promise_is_waited_for(rig: Rig, site: Site) -> None:
    site.page("/2", "<p>two")
    page = site.page("/", "<script>location = '/2'</script>")
    reply = rig.render(page, js_script="async () => location.pathname", js_run_at="document-start")
    assert (reply.js_script_result, reply.url) == ("/", site.url("/2"))


def test_at_the_start_it_may_fail_too(rig: Rig, site: Site) -> None:
    for script, said in (("() => nothing.there", "nothing is not defined"), ("function( {", "SyntaxError")):
        reply = rig.render(site.page("/", "<p>x"), js_script=script, js_run_at="document-start")
        assert (reply.error, reply.js_script_result) == (None, None)
        assert said in reply.console[0]


def test_at_the_end_it_runs_after_what_the_page_fetched(rig: Rig, site: Site) -> None:
    site.page("/data", "fetched")
    page = site.page("/", "<script>fetch('/data').then(r => r.text()).then(t => { document.title = t })</script>")
    script = "() => { document.body.insertAdjacentHTML('beforeend', '<p>made'); return document.title }"
    reply = rig.render(page, js_script=script, js_run_at="document-end")
    assert reply.js_script_result == "fetched"
    assert "<p>made</p>" in reply.content


def test_H51_the_viewport(rig: Rig, site: Site) -> None:
    page = site.page("/", "<p>x")
    script = "() => [innerWidth, innerHeight]"
    assert rig.render(page, js_script=script).js_script_result == [1024, 2304]
    reply = rig.render(page, js_script=script, js_viewport_width=400, js_viewport_height=300)
    assert reply.js_script_result == [400, 300]
