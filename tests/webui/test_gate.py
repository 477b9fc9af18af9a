"""The rules of access: what is public, what is a foreign origin, who has which role."""

from __future__ import annotations

import pytest

from crawlkit.webui.gate import (
    NOBODY,
    PUBLIC,
    Facts,
    Identity,
    is_navigation,
    is_public,
    link_token,
    loaded_by_another_site,
    login_place,
    same_origin,
    without_token,
)
from crawlkit.webui.keys import Keys
from crawlkit.webui.rights import group_words, needed, refusal


def facts(method: str = "POST", path: str = "/", query: str = "", **headers: str) -> Facts:
    said = {name.replace("_", "-"): value for name, value in headers.items()}
    return Facts(method, path, query, "localhost:5000", "http", "127.0.0.1", said)


def test_the_written_list_of_what_is_public() -> None:
    assert PUBLIC == ("/login", "/health", "/robots.txt", "/language", "/static/", "/texts/")


@pytest.mark.parametrize(
    "path",
    ["/", "/loginx", "/login/", "/login/../tasks", "//login", "/%6cogin", "/static", "/staticx", "/healthy",
     "/api/v1/me", "/./login", "/LOGIN", "", "login", "/robots.txt/x", "/texts"],
)  # fmt: skip
def test_what_is_not_public(path: str) -> None:
    assert not is_public(path)


@pytest.mark.parametrize(
    ("headers", "ours"),
    [
        ({}, True),  # no browser
        ({"origin": "http://localhost:5000"}, True),
        ({"origin": "http://LOCALHOST:5000", "sec_fetch_site": "same-origin"}, True),
        ({"sec_fetch_site": "none"}, True),
        ({"origin": "null"}, False),
        ({"origin": "http://localhost:5001"}, False),
        ({"origin": "https://localhost:5000"}, False),
        ({"origin": "http://localhost"}, False),
        ({"origin": "http://localhost:5000.evil"}, False),
        ({"origin": "http://evil@localhost:5000"}, False),
        ({"origin": "http://localhost:5000,http://evil"}, False),
        ({"sec_fetch_site": "cross-site"}, False),
        ({"sec_fetch_site": "same-site"}, False),
        ({"origin": "http://localhost:5000", "sec_fetch_site": "cross-site"}, False),
    ],
)
def test_r57_whose_page_sends_it(headers: dict[str, str], ours: bool) -> None:
    assert same_origin(facts(**headers)) is ours


def test_parts_of_foreign_pages() -> None:
    assert loaded_by_another_site(facts("GET", sec_fetch_site="cross-site", sec_fetch_mode="no-cors"))
    assert loaded_by_another_site(facts("GET", sec_fetch_site="same-site", sec_fetch_mode="cors"))
    assert not loaded_by_another_site(facts("GET", sec_fetch_site="cross-site", sec_fetch_mode="navigate"))
    assert not loaded_by_another_site(facts("GET", sec_fetch_site="same-origin", sec_fetch_mode="cors"))
    assert not loaded_by_another_site(facts("GET"))


def test_people_are_led_to_the_login_and_back() -> None:
    person = facts("GET", "/tasks", "status=3&text=a%20b", accept="text/html,*/*")
    assert is_navigation(person)
    assert login_place(person) == "/login?next=%2Ftasks%3Fstatus%3D3%26text%3Da%2520b"
    assert login_place(facts("GET", "/")) == "/login"
    assert not is_navigation(facts("GET", "/api/v1/me", accept="text/html"))
    assert not is_navigation(facts("GET", "/tasks", accept="text/html", sec_fetch_mode="cors"))
    assert not is_navigation(facts("POST", "/tasks", accept="text/html"))


def test_login_links() -> None:
    assert link_token(facts("GET", "/", "a=1&token=abc")) == "abc"
    assert link_token(facts("POST", "/", "token=abc")) == link_token(facts("GET", "/tasks", "token=abc")) == ""
    assert without_token(facts("GET", "/", "a=1&token=abc&b=x y")) == "/?a=1&b=x+y"


def test_roles_include_those_below() -> None:
    for role, may in (("viewer", 1), ("editor", 2), ("admin", 3)):
        one = Identity("x", role, "password")
        assert [one.may(asked) for asked in ("viewer", "editor", "admin")] == [n < may for n in range(3)]
    assert not NOBODY.may("viewer")
    assert not Identity("x", "admin", "link").may("")


def test_w61_the_word_lock() -> None:
    assert group_words("Shop, LOCK,delete") == ["shop", "lock", "delete"]
    assert needed("editor", "lock") == needed("editor", "a,Lock") == "admin"
    assert needed("editor", "locked") == needed("editor", "") == needed("editor", None) == "editor"
    assert needed("viewer", "lock") == "viewer"
    editor = Identity("bob", "editor", "password")
    assert refusal(editor, "editor", "shop") == ""
    assert refusal(editor, "editor", "lock") == (
        "its group has the word lock: this needs the role admin; bob is editor"
    )
    assert refusal(NOBODY, "viewer") == "this needs the role viewer; nobody is signed in"


def test_keys_are_for_one_use_and_one_installation() -> None:
    one, other = Keys("secret one"), Keys("secret two")
    assert Keys("secret one\n").csrf("s") == one.csrf("s") != other.csrf("s")
    assert one.csrf("s") != one.csrf("t")
    cookie = one.device("ada", "number")
    assert one.known_device("ada", cookie) == "number"
    assert one.known_device("bob", cookie) == other.known_device("ada", cookie) == ""
    assert one.known_device("ada", "") == one.known_device("ada", "number.x") == ""
    assert one.proof("a", "b") != one.proof("a\0b") or one.proof("ab") != one.proof("a", "b")
    assert "secret" not in one.install
