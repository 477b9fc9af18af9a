"""Digests of passwords and secrets."""

from __future__ import annotations

import pytest

from crawlkit.libs.errors import InvalidAccount
from crawlkit.libs.passwords import check_password, digest_of, hash_password, new_secret, verify_password

CHEAP = (4, 8, 1)


def test_a_password_fits_its_hash_only() -> None:
    stored = hash_password("correct horse", CHEAP)
    assert verify_password("correct horse", stored)
    assert not verify_password("correct horsf", stored)
    assert not verify_password("", stored)
    assert "horse" not in stored
    assert hash_password("correct horse", CHEAP) != stored


def test_the_default_cost_is_in_the_hash() -> None:
    stored = hash_password("x" * 8)
    assert stored.startswith("scrypt$14$8$5$")
    assert len(stored) < 255
    assert verify_password("x" * 8, stored)


def test_the_same_word_typed_two_ways() -> None:
    assert verify_password("cafe\u0301 noir", hash_password("caf\xe9 noir", CHEAP))


@pytest.mark.parametrize(
    "stored", ["", "x", "scrypt$4$8$1$AAAA", "md5$4$8$1$AAAA$AAAA", "scrypt$99$8$1$AAAA$AAAA", "scrypt$a$b$c$d$e"]
)
def test_nothing_fits_what_is_no_hash(stored: str) -> None:
    assert not verify_password("", stored)
    assert not verify_password("whatever", stored)


@pytest.mark.parametrize(
    ("password", "words"),
    [("k3y!", "too short"), ("x" * 1025, "too long"), ("Administrator", "name"), ("aaaaaaaa", "repeated")],
)
def test_passwords_that_are_refused(password: str, words: str) -> None:
    with pytest.raises(InvalidAccount, match=words) as refused:
        check_password(password, "administrator")
    assert password not in str(refused.value)


def test_secrets_differ_and_their_digests_tell_nothing() -> None:
    secret = new_secret()
    assert len(secret) == 43
    assert secret != new_secret()
    assert digest_of(secret) == digest_of(secret) != digest_of(new_secret())
    assert len(digest_of(secret)) == 64
