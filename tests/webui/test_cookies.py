"""Cookies of sessions."""

from __future__ import annotations

import pytest

from crawlkit.webui.cookies import cookie_name, find_cookie, set_cookie


def test_names_make_browsers_strict_where_they_can_be() -> None:
    assert cookie_name("session", "ab12", secure=False, prefix="") == "crawlkit_session_ab12"
    assert cookie_name("session", "ab12", secure=True, prefix="") == "__Host-crawlkit_session_ab12"
    assert cookie_name("session", "ab12", secure=True, prefix="/crawl") == "__Secure-crawlkit_session_ab12"


def test_attributes() -> None:
    plain = set_cookie("n", "v", secure=False, prefix="", days=1)
    assert plain == "n=v; Path=/; Max-Age=86400; HttpOnly; SameSite=Lax"
    assert (
        set_cookie("n", "", secure=True, prefix="/c", days=0)
        == "n=; Path=/c; Max-Age=0; HttpOnly; SameSite=Lax; Secure"
    )


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("n=abc", "abc"),
        ('a=1; n="abc"; b=2', "abc"),
        ("a=\x01{broken; =; n=abc;;", "abc"),
        ("n=abc; n=planted", ""),  # of two one was planted
        ("nn=abc", ""),
        ("n=", ""),
        ("n=a b", ""),
        ("", ""),
        ("n", ""),
        ("n=" + "x" * 600, ""),
    ],
)
def test_finding_one(header: str, value: str) -> None:
    assert find_cookie(header, "n") == value
