"""From a task to a plan: defaults, wishes, and what never gets onto the wire."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlkit.fetcher import proxy as proxies
from crawlkit.fetcher import request
from crawlkit.fetcher import url as urls
from crawlkit.fetcher.request import (
    Plan,
    cookie_line,
    header_lines,
    plan_of,
    robots_plan,
    sent_cookies,
    without_cookies,
)
from crawlkit.fetcher.settings import FetcherSettings
from crawlkit.libs.errors import FetchError
from tests.fetcher.helpers import dispatch

HERE = "http://a.example/x?y#z"
URL = urls.parse("http://a.example/")
SETTINGS = FetcherSettings(proxy="own.example:1", max_timeout=600)


def plan(**fetch: object) -> Plan:
    return plan_of(dispatch(HERE, **fetch), SETTINGS)


def test_what_holds_when_nothing_is_said() -> None:  # F03
    made = plan()
    assert (made.url.full, made.url.wire) == (HERE, "http://a.example/x?y")
    assert (made.method, made.body, made.cookies, made.cookie_header) == ("GET", None, {}, None)
    assert (made.timeout, made.connect_timeout, made.max_redirects) == (120, 20, 5)
    assert (made.validate_cert, made.follow, made.robots, made.max_body) == (True, True, False, 64 * 2**20)
    assert dict(made.headers) == {"User-Agent": SETTINGS.user_agent, "Accept-Encoding": "gzip, deflate, br, zstd"}


@given(st.sampled_from([None, "", "me"]), st.sampled_from([None, True, False]), *[st.sampled_from([None, "", "e"])] * 2,
       *[st.sampled_from([None, True, False, "", "t"])] * 2)  # fmt: skip
def test_a_task_without_headers_sends_what_others_send_beside_theirs(
    agent: str | None, gzip: bool | None, etag: str | None, modified: str | None, tag: object, since: object
) -> None:
    made = []
    for headers in (None, {"X": "1"}):
        task = dispatch(HERE, headers=headers, user_agent=agent, use_gzip=gzip, etag=tag, last_modified=since)
        task.etag, task.last_modified = etag, modified
        made.append(plan_of(task, SETTINGS))
    assert [("X", "1"), *made[0].headers] == made[1].headers
    assert made[0].user_agent == made[1].user_agent == (agent or SETTINGS.user_agent)
    made[0].headers.append(("Later", "hop"))
    assert ("Later", "hop") not in plan().headers


@pytest.mark.parametrize(
    ("wish", "field", "value"),
    [
        ({"timeout": 3.0}, "timeout", 3),
        ({"timeout": 0.0}, "timeout", 120),
        ({"timeout": 0.001}, "timeout", 0.1),
        ({"timeout": 1e9}, "timeout", 600),
        ({"connect_timeout": 7.0}, "connect_timeout", 7),
        ({"max_redirects": 10}, "max_redirects", 10),
        ({"max_redirects": 10**9}, "max_redirects", 100),
        ({"max_redirects": -1}, "max_redirects", 0),
        ({"allow_redirects": False}, "follow", False),
        ({"validate_cert": False}, "validate_cert", False),
        ({"robots_txt": True}, "robots", True),
        ({"max_size": 1000}, "max_body", 1000),
        ({"max_size": 10**12}, "max_body", 64 * 2**20),
        ({"max_size": -5}, "max_body", 0),
        ({"user_agent": "me"}, "user_agent", "me"),
        ({"user_agent": "me", "headers": {"user-AGENT": "header"}}, "user_agent", "header"),
        ({"method": "put"}, "method", "PUT"),
        ({"data": b""}, "method", "POST"),
        ({"method": "PATCH"}, "body", b""),
        ({"method": "DELETE"}, "body", None),
    ],
)
def test_wishes(wish: dict[str, object], field: str, value: object) -> None:  # H45-H47
    assert getattr(plan(**wish), field) == value


A, B = proxies.parse("a.example:1"), proxies.parse("b.example:2")
OWN = proxies.parse("own.example:1", trusted=True)


@pytest.mark.parametrize(
    ("wish", "proxy", "pool"),
    [
        (None, OWN, ()),
        ("", OWN, ()),
        ([], OWN, ()),
        (True, OWN, ()),
        (False, None, ()),
        ("a.example:1", A, ()),
        (["a.example:1"], A, ()),
        (["a.example:1", "b.example:2"], B, (A, B)),
    ],
)
def test_proxies(wish: object, proxy: proxies.Proxy | None, pool: tuple[proxies.Proxy, ...]) -> None:  # H48
    made = plan_of(dispatch(HERE, proxy=wish), SETTINGS, lambda choices: choices[-1])
    assert (made.proxy, made.proxy_pool) == (proxy, pool)


def test_ours_to_write() -> None:
    framing = {"Content-Length": "9", "transfer-encoding": "chunked", "Connection": "x", "Expect": "y", "TE": "z"}
    assert [name for name, _ in plan(headers=framing, use_gzip=False).headers] == ["User-Agent"]


def test_cookies_of_header_and_dict() -> None:  # T30
    made = plan(headers={"Cookie": "a=1; b=2;c"}, cookies={"b": "3", "d": "4"})
    assert cookie_line(made) == "a=1; c; b=3; d=4"
    assert sent_cookies(made) == {"a": "1", "b": "3", "d": "4"}
    later = without_cookies(made, {"a", "d"})
    assert cookie_line(later) == "c; b=3"
    assert without_cookies(made, set()) is made


def test_robots_get_no_secrets() -> None:  # R-33, CVE-2021-41125
    made = plan(
        headers={"Authorization": "s", "Cookie": "s", "X-Key": "s", "Proxy-Authorization": "s"},
        cookies={"s": "s"}, data=b"s", user_agent="me", proxy="u:p@a.example:1",
    )  # fmt: skip
    rules = robots_plan(made)
    assert rules.url.wire == "http://a.example/robots.txt"
    assert dict(rules.headers) == {"User-Agent": "me", "Accept-Encoding": request.ACCEPT_ENCODING}
    assert (rules.method, rules.body, cookie_line(rules), rules.proxy_authorization) == ("GET", None, None, None)
    assert rules.proxy == made.proxy
    assert not rules.robots
    at_user = robots_plan(plan_of(dispatch("http://user:secret@a.example/"), SETTINGS))
    assert "secret" not in str(at_user)


anything = st.text(st.sampled_from("aA0 :;=\r\n\0\t\x0b\x85\u2028é\ud800\x7f-/@"), max_size=8) | st.text(max_size=8)
header_names = anything | st.sampled_from(["Cookie", "Host", "Proxy-Authorization"])
wishes = st.fixed_dictionaries(
    {},
    optional={
        "method": anything,
        "headers": st.dictionaries(
            anything | st.sampled_from(["Cookie", "Host", "Proxy-Authorization"]), anything, max_size=3
        ),
        "user_agent": anything,
        "cookies": st.dictionaries(anything, anything, max_size=2),
        "proxy": anything | st.lists(anything, max_size=2),
        "etag": anything,
        "last_modified": anything,
    },
)


@given(wishes, anything)
def test_nothing_can_be_injected(wish: dict[str, object], path: str) -> None:
    made = None
    with contextlib.suppress(FetchError):
        made = plan_of(dispatch("http://a.example/" + path, **wish), SETTINGS)
    if made is None:
        return
    texts = [made.method, made.url.wire, made.url.full, cookie_line(made) or "", made.proxy_authorization or ""]
    wire = [line.decode() for line in header_lines(made)] + [text.encode().decode() for text in texts]
    assert not any(mark in text for text in wire for mark in "\r\n\0")
    assert made.method.isascii()
    assert " " not in made.method + made.url.wire
    assert made.url.wire.isascii()
    if made.proxy is not None:
        assert not any(mark in made.proxy.address for mark in "\r\n\0 ")


@pytest.mark.parametrize(
    ("plan", "lines"),
    [
        (Plan(URL), ()),
        (Plan(URL, headers=[("A", "b"), ("Empty", ""), ("B", "ü")]), (b"A: b", b"Empty;", "B: ü".encode())),
        (Plan(URL, "POST", body=b"a=1"), (b"Expect:",)),
        (Plan(URL, "POST", body=b""), (b"Expect:", b"Content-Type:")),
        (Plan(URL, "PUT", body=b"x"), (b"Expect:", b"Content-Type:")),
        (Plan(URL, "PUT", [("content-type", "x/y")], b"x"), (b"content-type: x/y", b"Expect:")),
    ],
)
def test_header_lines(plan: Plan, lines: tuple[bytes, ...]) -> None:
    assert header_lines(plan) == header_lines(plan) == lines
