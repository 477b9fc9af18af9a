"""R-61: after the login one stays on this site."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlkit.webui.places import safe_next

AWAY = [
    "//evil", "/\\evil", "\\\\evil", "https:evil", "https://evil", "http:/evil", "/%2f%2fevil", "%2f%2fevil",
    "/%5cevil", "/\tevil", "/\t/evil", "\t//evil", " //evil", "/%09/evil", "/\n/evil", "/\r\n/evil",
    "javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "///evil", "////evil", "/%2f/evil",
    "/%252f%252fevil", "//evil\\@x", "evil", "//evil.example/%2f..", "/\x00/evil", "/．／evil", "//%65vil",
    "?next=//evil", "#//evil", "", "/%0a/evil", "/.\\evil", "/login", "/login?next=/login", "x" * 3000,
    "/" + "x" * 3000,
]  # fmt: skip


@pytest.mark.parametrize("said", AWAY)
def test_r61_what_could_lead_away_leads_home(said: str) -> None:
    assert safe_next(said) == "/"


@pytest.mark.parametrize(
    "said", ["/", "/tasks", "/tasks?status=3&text=a%20b", "/projects/shop", "/tasks?url=http%3A//x.example/", "/a/b#c"]
)
def test_r61_places_on_this_site_stay(said: str) -> None:
    assert safe_next(said) == said


@given(st.text(alphabet="/\\%2f5c09 \t\n.:@evilht", max_size=20))
def test_r61_whatever_is_said_begins_with_one_slash(said: str) -> None:
    place = safe_next(said)
    assert place.startswith("/")
    assert not place.startswith(("//", "/\\"))
    assert "\t" not in place
    assert "\n" not in place
