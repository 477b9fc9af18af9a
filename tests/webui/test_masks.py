"""R-70: what is shown of a task holds no secret."""

from __future__ import annotations

import json

import pytest

from crawlkit.libs.task import Fetch
from crawlkit.webui.masks import masked_body, masked_fetch, masked_headers, masked_track, masked_url


@pytest.mark.parametrize(
    "name",
    ["Authorization", "authorization", "PROXY-AUTHORIZATION", "Cookie", "Set-Cookie", "X-Api-Key", "X-Auth-Token",
     "apikey", "X-Csrf-Token", "X-Amz-Signature", "Password", "X-Session-Id", "WWW-Authenticate"],
)  # fmt: skip
def test_r70_headers(name: str) -> None:
    assert masked_headers({name: "secret", "Accept": "text/html", "Content-Type": "x"}) == {
        name: "***",
        "Accept": "text/html",
        "Content-Type": "x",
    }


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://x/a?b=c#d", "http://x/a?b=c#d"),
        ("http://joe:pw@x/a", "http://joe:***@x/a"),
        ("socks5://joe:p:w@x:1080", "socks5://joe:***@x:1080"),
        ("http://joe@x/", "http://joe@x/"),
        ("http://x/mail:me@home", "http://x/mail:me@home"),
        ("http://x:8080/", "http://x:8080/"),
        ("http://:pw@x/", "http://:***@x/"),
        ("http://joe:p@w@x/", "http://joe:***@x/"),
        ("see http://joe:pw@x/ and http://joe:pw@y/", "see http://joe:***@x/ and http://joe:***@y/"),
    ],
)
def test_r70_addresses(url: str, shown: str) -> None:
    assert masked_url(url) == shown


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ("a=1&password=x%26y&b=2", "a=1&password=***&b=2"),
        ("user_token=abc", "user_token=***"),
        ('{"user": "joe", "Password": "a\\"b", "n": 1}', '{"user": "joe", "Password": "***", "n": 1}'),
        ('{"api_key":123,"x":2}', '{"api_key":"***","x":2}'),
        ("plain text", "plain text"),
    ],
)
def test_r70_bodies(body: str, shown: str) -> None:
    assert masked_body(body.encode()) == shown


def test_r70_a_body_that_is_no_text_is_told_by_its_size() -> None:
    assert masked_body(b"\xff\xfe\x00") == "(3 bytes that are no text)"


def test_r70_a_fetch() -> None:
    fetch = Fetch(cookies={"a": "s1"}, proxy=["joe:s2@p:1", "http://joe:s3@p:2", "p:3"], headers={"Cookie": "s4"})
    shown = masked_fetch(fetch)
    assert not [secret for secret in ("s1", "s2", "s3", "s4") if secret in json.dumps(shown)]
    assert shown["proxy"] == ["joe:***@p:1", "http://joe:***@p:2", "p:3"]
    assert masked_fetch(Fetch(proxy=False)) == {"proxy": False}
    assert masked_fetch(Fetch()) == {}


def test_r70_a_track() -> None:
    track = {"headers": {"set-cookie": "s"}, "redirect_url": "http://a:b@c/", "error": "no http://a:b@c/", "ok": True}
    assert masked_track(track) == {
        "headers": {"set-cookie": "***"}, "redirect_url": "http://a:***@c/", "error": "no http://a:***@c/", "ok": True,
    }  # fmt: skip
    assert track["headers"] == {"set-cookie": "s"}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://a/?api_key=Q77&page=2#top", "http://a/?api_key=***&page=2#top"),
        ("http://a/x?page=2&access_token=abc", "http://a/x?page=2&access_token=***"),
        ("http://u:pw@a/?Password=x", "http://u:***@a/?Password=***"),
        ("http://a/token=1/?key=2", "http://a/token=1/?key=2"),
        ("http://a/?next=/b?token=x&c=d", "http://a/?next=/b?token=***&c=d"),
        ("http://a/?x=1;token=a=b&c=d e&token=f", "http://a/?x=1;token=***&c=d e&token=***"),
    ],
)
def test_r70_secrets_in_the_query_of_an_address(url: str, shown: str) -> None:
    assert masked_url(url) == shown
