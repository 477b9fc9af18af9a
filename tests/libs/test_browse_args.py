from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlkit import BaseHandler, Response, config
from crawlkit.libs import crawl_config
from crawlkit.libs.browse import Browse
from crawlkit.libs.browse_args import MAX_ACTIONS, NAMES, PLACES, browse_of, check
from crawlkit.libs.collector import Collector
from crawlkit.libs.crawl_args import CrawlArgs, parts_of
from crawlkit.libs.crawler import Crawler
from crawlkit.libs.errors import InvalidTask
from crawlkit.libs.task import Fetch, Task, check_task, task_from_dict

LIST = {"selector": "#list", "state": "visible"}
DONE = "() => window.done"
AS_MEANT: list[tuple[dict[str, Any], dict[str, Any]]] = [
    # waits
    ({"wait_for": "#list"}, {"wait_for": [LIST]}),
    ({"wait_for": 2}, {"wait_for": [{"seconds": 2.0}]}),
    ({"wait_for": "2.5"}, {"wait_for": [{"seconds": 2.5}]}),
    ({"wait_for": "networkidle"}, {"wait_for": [{"network_idle": 0.5}]}),
    ({"wait_for": "load"}, {"wait_for": [{"load": "load"}]}),
    ({"wait_for": "Load"}, {"wait_for": [{"load": "load"}]}),
    ({"wait_for": "text=Sold out"}, {"wait_for": [{"selector": "text=Sold out", "state": "visible"}]}),
    ({"wait_for": "main"}, {"wait_for": [{"selector": "main", "state": "visible"}]}),
    ({"wait_for": DONE}, {"wait_for": [{"function": DONE}]}),
    ({"wait_for": "async () => await ready()"}, {"wait_for": [{"function": "async () => await ready()"}]}),
    ({"wait_for": "function() { return 1 }"}, {"wait_for": [{"function": "function() { return 1 }"}]}),
    ({"wait_for": ["#list", 1]}, {"wait_for": [LIST, {"seconds": 1.0}]}),
    ({"wait_for": {"selector": "#list", "state": "hidden"}}, {"wait_for": [{"selector": "#list", "state": "hidden"}]}),
    ({"wait_for": {"network_idle": 3}}, {"wait_for": [{"network_idle": 3.0}]}),
    ({"wait_for": False}, {"wait_for": []}),
    ({"wait_for": 0}, {"wait_for": []}),
    ({"wait_for": []}, {"wait_for": []}),
    # actions
    ({"js_actions": {"click": "#more"}}, {"actions": [{"click": "#more"}]}),
    ({"js_actions": [{"fill": "#q", "text": 7}]}, {"actions": [{"fill": "#q", "text": "7"}]}),
    ({"js_actions": [{"fill": "#q", "text": ""}]}, {"actions": [{"fill": "#q", "text": ""}]}),
    ({"js_actions": [{"press": "Enter"}]}, {"actions": [{"press": "Enter"}]}),
    ({"js_actions": [{"press": "Enter", "on": "#q"}]}, {"actions": [{"press": "Enter", "on": "#q"}]}),
    ({"js_actions": [{"select": "#n", "value": "9"}]}, {"actions": [{"select": "#n", "value": "9"}]}),
    ({"js_actions": [{"scroll": "end"}]}, {"actions": [{"scroll": "end", "times": 20}]}),
    ({"js_actions": [{"scroll": -300}]}, {"actions": [{"scroll": -300, "times": 1}]}),
    ({"js_actions": [{"wait_for": ["#list", 1]}]}, {"actions": [{"wait_for": LIST}, {"wait_for": {"seconds": 1.0}}]}),
    # what is loaded and brought along
    ({"block": "images"}, {"block": ["images"]}),
    ({"block": ["image", "css", "*.ads.net/*"]}, {"block": ["images", "styles", "*.ads.net/*"]}),
    ({"block": {"media", "fonts"}}, {"block": ["fonts", "media"]}),
    ({"block": []}, {"block": []}),
    ({"screenshot": True}, {"screenshot": {"of": "page", "type": "png"}}),
    ({"screenshot": "full"}, {"screenshot": {"of": "full", "type": "png"}}),
    ({"screenshot": "#chart"}, {"screenshot": {"of": "#chart", "type": "png"}}),
    (
        {"screenshot": {"of": "full", "type": "jpg", "quality": 70}},
        {"screenshot": {"of": "full", "type": "jpeg", "quality": 70}},
    ),
    ({"screenshot": "table"}, {"screenshot": {"of": "table", "type": "png"}}),
    ({"screenshot": False}, {"screenshot": {}}),
    ({"pdf": True}, {"pdf": {"format": "A4", "landscape": False, "background": True}}),
    ({"pdf": "letter"}, {"pdf": {"format": "Letter", "landscape": False, "background": True}}),
    ({"pdf": {"landscape": True}}, {"pdf": {"format": "A4", "landscape": True, "background": True}}),
    ({"capture_xhr": True}, {"xhr": ["*"]}),
    ({"capture_xhr": "*/api/*"}, {"xhr": ["*/api/*"]}),
    ({"capture_xhr": "/api/"}, {"xhr": ["/api/"]}),
    ({"capture_xhr": False}, {"xhr": []}),
    # how the browser looks
    ({"first_headers": {"Referer": "http://a/", "X": 1}}, {"first_headers": {"Referer": "http://a/", "X": "1"}}),
    ({"locale": "pt_BR"}, {"locale": "pt-BR"}),
    ({"timezone": "Asia/Tokyo"}, {"timezone": "Asia/Tokyo"}),
    ({"geolocation": (1, 2)}, {"geolocation": {"latitude": 1.0, "longitude": 2.0}}),
    (
        {"geolocation": {"latitude": 1, "longitude": 2, "accuracy": 50}},
        {"geolocation": {"latitude": 1.0, "longitude": 2.0, "accuracy": 50.0}},
    ),
    ({"geolocation": False}, {"geolocation": {}}),
]  # fmt: skip

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"wait_for": True}, "fetch.wait_for: True: use a CSS selector, seconds, 'networkidle'"),
    ({"wait_for": -1}, "fetch.wait_for: -1: use a number of seconds up to 600"),
    ({"wait_for": float("nan")}, "fetch.wait_for: nan: use a number of seconds"),
    ({"wait_for": ["#a", None]}, "fetch.wait_for[1]: None: use a CSS selector"),
    ({"wait_for": "//div[@id]"}, "fetch.wait_for: '//div[@id]' is XPath; use a CSS selector"),
    ({"wait_for": {"selecter": "#a"}}, "use one of selector, network_idle, function, seconds, load"),
    ({"wait_for": {"selector": "#a", "state": "there"}}, "fetch.wait_for.state: 'there': use one of visible, attached"),
    ({"wait_for": {"seconds": 1, "state": "x"}}, "fetch.wait_for.state: is unknown here; use seconds"),
    ({"wait_for": ["#a"] * 21}, "fetch.wait_for: has 21 conditions, over the limit of 20"),
    ({"js_actions": "#more"}, "fetch.js_actions[0]: '#more': an action is a dict such as {'click': '#more'}"),
    ({"js_actions": [{"clik": "#more"}]}, "fetch.js_actions[0]: {'clik': '#more'}: use one of click, fill, press"),
    ({"js_actions": [{"click": "#a", "fill": "#b"}]}, "fetch.js_actions[0]: click and fill in one dict"),
    ({"js_actions": [{"fill": "#q"}]}, "fetch.js_actions[0].text: is missing: {'fill': SELECTOR, 'text': TEXT}"),
    ({"js_actions": [{"click": "#a"}, {"click": " "}]}, "fetch.js_actions[1].click: ' ': use a text"),
    ({"js_actions": [{"scroll": "down"}]}, "fetch.js_actions[0].scroll: 'down': use 'end' or a number of pixels"),
    ({"js_actions": [{"scroll": 1, "times": 0}]}, "fetch.js_actions[0].times: 0: use a whole number from 1"),
    ({"js_actions": [{"click": "#a"}] * 101}, "fetch.js_actions: has 101 actions, over the limit of 100"),
    ({"block": "pictures"}, "fetch.block: 'pictures': use images, fonts, media, styles, trackers, or a pattern"),
    ({"block": "imges"}, "or a pattern of URLs with * in it: '*imges*'; did you mean 'images'?"),
    ({"block": "ads.example"}, "or a pattern of URLs with * in it: '*ads.example*'"),
    ({"wait_for": "netwrkidle"}, "fetch.wait_for: 'netwrkidle' is no element of HTML; did you mean 'networkidle'?"),
    ({"screenshot": "ful"}, "fetch.screenshot.of: 'ful' is no element of HTML; did you mean 'full'?"),
    ({"wait_for": 200, "timeout": 12}, "fetch.wait_for: waits 200 seconds, and timeout=12 ends the page before"),
    (
        {"wait_for": [5, "#a"], "js_actions": {"wait_for": {"network_idle": 5}}, "timeout": "10"},
        "fetch.wait_for: waits 10 seconds, and timeout=10 ends the page before",
    ),
    ({"js_run_at": "end"}, "fetch.js_run_at: 'end': use 'document-start' or 'document-end'"),
    ({"load_images": "perhaps"}, "load_images"),
    ({"block": ["images", 3]}, "fetch.block[1]: 3: use a text"),
    ({"block": True}, "fetch.block: True: use a text or a list of texts"),
    ({"screenshot": 1.5}, "fetch.screenshot: 1.5: use True"),
    ({"screenshot": {"type": "svg"}}, "fetch.screenshot.type: 'svg': use 'png' or 'jpeg'"),
    ({"screenshot": {"quality": 3}}, "fetch.screenshot.quality: 3: 1 to 100"),
    ({"screenshot": {"size": 3}}, "fetch.screenshot.size: is unknown here; use of, type, quality"),
    ({"pdf": "B5"}, "fetch.pdf.format: 'B5': use one of Letter, Legal"),
    ({"pdf": {"landscape": 1}}, "fetch.pdf.landscape: 1: use True or False"),
    ({"capture_xhr": [""]}, "fetch.capture_xhr[0]: '': use a text"),
    ({"first_headers": {"a b": "c"}}, "fetch.first_headers: 'a b' is no name of a header"),
    ({"first_headers": {"A": "b\r\nC: d"}}, "fetch.first_headers.A: must not hold a line break"),
    ({"first_headers": "A: b"}, "fetch.first_headers: is a dict of text, not str"),
    ({"locale": "german"}, "fetch.locale: 'german': use a language tag such as 'de-DE'"),
    ({"locale": "german!"}, "fetch.locale: 'german!': use a language tag such as 'de-DE'"),
    ({"timezone": "Berlin"}, "fetch.timezone: 'Berlin' is no time zone; use a name like 'Europe/Paris'"),
    ({"timezone": "../etc"}, "fetch.timezone: '../etc' is no time zone"),
    ({"geolocation": (91, 0)}, "fetch.geolocation.latitude: 91: use a number from -90 to 90"),
    ({"geolocation": "Berlin"}, "fetch.geolocation: 'Berlin': use (latitude, longitude)"),
]


def fetched(**args: Any) -> Browse:
    """What the parts of a task say of a browser."""
    fetch = parts_of(args)[1]
    assert fetch is not None
    assert fetch.browser is not None
    return fetch.browser


def as_dict(browse: Browse) -> dict[str, Any]:
    return {name: value for name in browse.__struct_fields__ if (value := getattr(browse, name)) is not None}


def named(value: object) -> str:
    """The same in every process: a set is shown in order."""
    if isinstance(value, dict):
        return str({name: sorted(one) if isinstance(one, set) else one for name, one in value.items()})
    return str(value)


@pytest.mark.parametrize(("args", "meant"), AS_MEANT, ids=named)
def test_short_forms_become_the_checked_one_and_that_stays(args: dict[str, Any], meant: dict[str, Any]) -> None:
    browse = fetched(**args)
    assert as_dict(browse) == meant
    check(browse)
    assert browse_of({}, meant) == meant
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(browse), type=Browse) == browse


def test_words_for_yes_and_no_are_taken_for_images_too() -> None:
    for word, meant in (("yes", True), ("No", False), (1, True), ("false", False)):
        fetch = parts_of({"load_images": word})[1]
        assert fetch is not None
        assert fetch.load_images is meant


@pytest.mark.parametrize(("args", "problem"), WRONG, ids=named)
def test_what_is_wrong_is_named_with_its_place_and_what_is_allowed(args: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidTask) as caught:
        fetched(**args)
    assert problem in str(caught.value)


names = st.sampled_from(["selector", "click", "scroll", "times", "of", "format", "latitude", "longitude", "wait_for"])
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9) | names, inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(sorted(NAMES)), anything)
def test_no_value_is_let_through_in_another_form(name: str, value: Any) -> None:
    try:
        made = browse_of({name: value})
    except InvalidTask:
        return
    assert browse_of({}, made) == made
    check(msgspec.convert(made, Browse))


def test_the_arguments_and_the_checked_form_are_all_there() -> None:
    assert set(CrawlArgs.__annotations__) >= NAMES
    assert set(PLACES.values()) == set(Browse.__struct_fields__)


@pytest.mark.parametrize(
    ("browse", "problem"),
    [
        (Browse(actions=[{"click": "#a"}] * (MAX_ACTIONS + 1)), "fetch.browser.actions: has 101"),
        (Browse(wait_for=[{"sleep": 3}]), "fetch.browser.wait_for[0]: {'sleep': 3}: use one of"),
    ],
)
def test_a_task_that_comes_checked_is_checked_again(browse: Browse, problem: str) -> None:
    with pytest.raises(InvalidTask) as caught:
        check_task(Task("p", "t", "http://a.com/", fetch=Fetch(browser=browse)))
    assert problem in str(caught.value)


# ---- who must say that a browser is meant


class Plain(BaseHandler):
    def page(self, response: Response) -> None: ...

    @config(fetch_type="js", wait_for="#list", block="images")
    def rendered(self, response: Response) -> None: ...

    @config(screenshot=True)
    def forgotten(self, response: Response) -> None: ...


class Rendered(Plain):
    crawl_config = {"fetch_type": "browser", "block": ["images"], "locale": "de-DE"}


def crawled(handler: BaseHandler, **kwargs: Any) -> Task:
    collector = Collector()
    Crawler(handler).begin(collector, Response("http://a.com/"), {}, {})
    handler.crawl("http://a.com/", **kwargs)
    (follow,) = collector.follows
    return msgspec.msgpack.decode(follow.task, type=Task)


@pytest.mark.parametrize(
    ("args", "how"),
    [
        ({"wait_for": "#list"}, "fetch.wait_for: only a browser can do this, and the page is fetched without one"),
        ({"screenshot": True, "fetch_type": "http"}, "is fetched as fetch_type='http'; say fetch_type='browser'"),
        ({"callback": "forgotten"}, "fetch.screenshot: only a browser"),
    ],
)
def test_what_only_a_browser_does_is_not_lost_in_a_plain_fetch(args: dict[str, Any], how: str) -> None:
    with pytest.raises(InvalidTask) as caught:
        crawled(Plain(), **args)
    assert how in str(caught.value)


def test_fetch_type_may_be_said_at_the_call_in_config_or_for_the_project() -> None:
    for task in (
        crawled(Plain(), wait_for="#list", fetch_type="browser"),
        crawled(Plain(), callback="rendered"),
        crawled(Rendered(), wait_for="#list"),
    ):
        assert task.fetch is not None
        assert task.fetch.browser is not None
        assert task.fetch.browser.wait_for == [LIST]
    assert crawled(Plain(), screenshot=False, wait_for=None).fetch == Fetch(browser=Browse(screenshot={}))


def test_what_a_project_says_holds_where_the_task_says_nothing() -> None:
    config_fetch, _ = crawl_config.config_parts(Rendered().project_info().crawl_config)
    assert config_fetch is not None
    assert config_fetch.browser == Browse(block=["images"], locale="de-DE")
    own = crawled(Rendered(), wait_for="#list", block=[]).fetch
    assert own is not None
    both = crawl_config.join(own, config_fetch)
    assert both.browser == Browse(wait_for=[LIST], block=[], locale="de-DE")
    assert both.fetch_type == "browser"
    shot = crawl_config.join(fetched(screenshot=False), fetched(screenshot="full", first_headers={"A": "b"}))
    assert shot == Browse(screenshot={}, first_headers={"A": "b"})


def test_the_task_that_a_script_sees_is_plain_data() -> None:
    handler = Plain()
    Crawler(handler).begin(Collector(), Response("http://a.com/"), {}, {})
    shown = handler.crawl("http://a.com/", fetch_type="browser", wait_for=1)
    assert shown["fetch"] == {"fetch_type": "browser", "browser": {"wait_for": [{"seconds": 1.0}]}}


def test_a_task_as_a_dict_may_say_it_either_way() -> None:
    for fetch in ({"wait_for": "#list", "fetch_type": "js"}, {"browser": {"wait_for": [LIST]}, "fetch_type": "js"}):
        task = task_from_dict({"project": "p", "taskid": "t", "url": "http://a.com/", "fetch": fetch})
        assert task.fetch == Fetch(fetch_type="js", browser=Browse(wait_for=[LIST]))
    with pytest.raises(InvalidTask, match=r"fetch.block: 'x': use images"):
        task_from_dict({"project": "p", "taskid": "t", "url": "http://a.com/", "fetch": {"block": "x"}})
