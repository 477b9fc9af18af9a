"""Which method, which headers, which cookies and which body go where."""

from __future__ import annotations

import pytest

from crawlkit.fetcher import redirects
from crawlkit.fetcher import url as urls
from crawlkit.fetcher.request import Plan
from crawlkit.libs.errors import FetchError

HERE = "https://a.example/x"
SECRETS = [
    ("Authorization", "Basic x"), ("X-Api-Key", "k"), ("Host", "a.example"), ("Origin", "https://a.example"),
    ("Sec-Token", "t"), ("Api-Token", "t"), ("Content-Type", "text/plain"),
]  # fmt: skip
OPEN = [("User-Agent", "ua"), ("Accept", "*/*"), ("Accept-Language", "de"), ("If-None-Match", '"e"')]


def plan(method: str = "GET", body: bytes | None = None, url: str = HERE, **more: object) -> Plan:
    return Plan(
        url=urls.parse(url),
        method=method,
        body=body,
        headers=[*SECRETS, *OPEN],
        cookie_header="h=1",
        cookies={"c": "2"},
        **more,
    )


@pytest.mark.parametrize(
    ("status", "method", "after", "kept"),
    [
        (301, "GET", "GET", True),
        (301, "HEAD", "HEAD", True),
        (301, "POST", "GET", False),
        (301, "PUT", "PUT", True),
        (302, "POST", "GET", False),
        (302, "DELETE", "DELETE", True),
        (303, "POST", "GET", False),
        (303, "PUT", "GET", False),
        (303, "HEAD", "HEAD", True),
        (303, "GET", "GET", True),
        (307, "POST", "POST", True),
        (308, "POST", "POST", True),
        (308, "PUT", "PUT", True),
    ],
)
def test_methods_as_browsers(status: int, method: str, after: str, kept: bool) -> None:
    body = b"b" if method in ("POST", "PUT") else None
    following = redirects.next_plan(plan(method, body), status, "/y", 0)
    assert following is not None
    assert following.method == after
    assert following.body == (body if kept else None)
    assert (("Content-Type", "text/plain") in following.headers) is kept


@pytest.mark.parametrize("target", ["/y", "https://a.example/y", "https://a.example:443/y", "//A.EXAMPLE/y"])
def test_everything_stays_on_the_same_origin(target: str) -> None:
    following = redirects.next_plan(plan(), 302, target, 0)
    assert following is not None
    assert following.headers == [*SECRETS, *OPEN]
    assert (following.cookie_header, following.cookies) == ("h=1", {"c": "2"})


@pytest.mark.parametrize(
    "target",
    [
        "https://b.example/",
        "https://a.example:444/",
        "http://a.example/",
        "https://sub.a.example/",
        "//b.example/",
        "https://a.example.b/",
        "https://a.example@b.example/",
    ],
)
def test_nothing_secret_leaves_the_origin(target: str) -> None:
    following = redirects.next_plan(plan(), 302, target, 0)
    assert following is not None
    sent = dict(following.headers)
    assert not {name for name, _ in SECRETS[1:]} & set(sent)
    assert sent.get("Authorization") in (None, "Basic YS5leGFtcGxlOg==")  # what the Location itself said
    assert {name for name, _ in OPEN} <= set(sent)
    assert (following.cookie_header, following.cookies) == (None, {})


def test_going_back_does_not_bring_secrets_back() -> None:
    away = redirects.next_plan(plan(), 302, "https://b.example/", 0)
    assert away is not None
    back = redirects.next_plan(away, 302, HERE, 1)
    assert back is not None
    assert back.headers == OPEN
    assert (back.cookie_header, back.cookies) == (None, {})


def test_cookies_but_not_the_header_follow_an_upgrade_to_https() -> None:
    following = redirects.next_plan(plan(url="http://a.example/"), 301, "https://a.example/", 0)
    assert following is not None
    assert (following.cookie_header, following.cookies) == (None, {"c": "2"})
    assert "Authorization" not in dict(following.headers)


@pytest.mark.parametrize(("status", "stopped"), [(301, False), (302, False), (303, False), (307, True), (308, True)])
def test_a_body_is_not_handed_to_another_origin(status: int, stopped: bool) -> None:
    if not stopped:
        following = redirects.next_plan(plan("POST", b"secret"), status, "https://b.example/", 0)
        assert following is not None
        assert following.body is None
        return
    with pytest.raises(FetchError) as caught:
        redirects.next_plan(plan("POST", b"secret"), status, "https://b.example/", 0)
    assert caught.value.kind == "bad_redirect"


@pytest.mark.parametrize(
    ("referer", "sent"),
    [
        ("https://a.example/secret?token=1", "https://a.example/"),
        ("https://u:p@a.example:444/x", "https://a.example:444/"),
        ("rubbish", "https://a.example/"),
    ],
)
def test_a_referer_says_no_more_than_the_origin(referer: str, sent: str) -> None:
    start = Plan(url=urls.parse(HERE), headers=[("Referer", referer)])
    following = redirects.next_plan(start, 302, "https://b.example/", 0)
    assert following is not None
    assert following.headers == [("Referer", sent)]


@pytest.mark.parametrize(
    ("status", "location", "options"),
    [
        (200, "/y", {}),
        (300, "/y", {}),
        (304, "/y", {}),
        (305, "/y", {}),
        (302, None, {}),
        (302, "/y", {"follow": False}),
    ],
)
def test_where_the_way_ends(status: int, location: str | None, options: dict[str, bool]) -> None:
    assert redirects.next_plan(plan(**options), status, location, 0) is None


def test_one_too_many() -> None:
    assert redirects.next_plan(plan(max_redirects=2), 302, "/y", 1) is not None
    with pytest.raises(FetchError, match=r"Maximum \(2\) redirects followed") as caught:
        redirects.next_plan(plan(max_redirects=2), 302, "/y", 2)
    assert (caught.value.kind, caught.value.status_code) == ("redirects", 599)
