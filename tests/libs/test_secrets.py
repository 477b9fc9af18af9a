"""Sealing and opening settings."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from crawlkit.libs.errors import UsageError, WrongKey
from crawlkit.libs.secrets import SecretBox, fingerprint, new_key

KEY = new_key()
BOX = SecretBox(KEY)


@settings(max_examples=50)
@given(value=st.text(), project=st.text(max_size=5), name=st.text(max_size=5))
def test_what_was_sealed_opens(value: str, project: str, name: str) -> None:
    sealed = BOX.seal(project, name, value)
    assert sealed.isascii()
    assert SecretBox(KEY + "\n").open(project, name, sealed) == value


def test_the_value_is_not_to_be_seen() -> None:
    one, two = BOX.seal("shop", "key", "hunter2-hunter2"), BOX.seal("shop", "key", "hunter2-hunter2")
    assert one != two
    assert "hunter2" not in one


def test_another_key_or_a_changed_text_does_not_open() -> None:
    sealed = BOX.seal("shop", "key", "value")
    for box, text in ((SecretBox(new_key()), sealed), (BOX, sealed[:-9] + "AAAAAAAA="), (BOX, "ü"), (BOX, "")):
        with pytest.raises(WrongKey, match="setting key of project shop does not open") as caught:
            box.open("shop", "key", text)
        assert "\n" not in str(caught.value)
        assert "value" not in str(caught.value).partition(":")[2]


@pytest.mark.parametrize(("project", "name"), [("other", "key"), ("shop", "name")])
def test_a_value_opens_only_where_it_was_sealed_for(project: str, name: str) -> None:
    with pytest.raises(WrongKey, match="was sealed for another place"):
        BOX.open(project, name, BOX.seal("shop", "key", "value"))


@pytest.mark.parametrize("key", ["", "hello", "   ", "x" * 15, "ключ", "change-me-change-me"])
def test_what_is_no_key(key: str) -> None:
    with pytest.raises(UsageError, match="the secret key is too easy to guess") as caught:
        SecretBox(key)
    assert not key.strip() or key not in str(caught.value)


@pytest.mark.parametrize(
    "key", ["0123456789abcdef" * 4, "x" * 44, "ein Schlüssel aus Wörtern", KEY[:-2]], ids=["hex", "x", "words", "short"]
)
def test_any_long_secret_is_a_key_of_its_own(key: str) -> None:
    sealed = SecretBox(key).seal("shop", "key", "value")
    assert SecretBox(f" {key}\n").open("shop", "key", sealed) == "value"
    for other in (KEY, key + "x"):
        with pytest.raises(WrongKey):
            SecretBox(other).open("shop", "key", sealed)
    assert len({fingerprint(one) for one in (KEY, key, key + "x")}) == 3
