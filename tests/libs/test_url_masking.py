"""No password is ever shown, however badly its URL is written [R30]."""

from __future__ import annotations

import time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from crawlkit.libs.url_masking import hidden, masked, masked_text, masked_words

ODD = st.text("abzAZ019/@:?#&=%+ .-_[]\\'\"é\n", max_size=12)
SCHEMES = st.sampled_from(
    [
        "postgresql+psycopg",
        "mysql",
        "redis",
        "rediss",
        "amqp",
        "kombu+sqs",
        "csv+sftp",
        "s3",
        "manager",
        "",
        "bad scheme",
    ]
)
HOSTS = st.sampled_from(
    ["h", "h:5432", "[::1]:1", "", "a.b,c.d:1", "h/db", "h/a/b.tar.gz?x=1", "127.0.0.1:1/0?prefix=p"]
)


@given(SCHEMES, st.sampled_from(["://", ""]), ODD, ODD, HOSTS)
def test_no_password_before_the_host_is_shown(scheme: str, joint: str, user: str, password: str, host: str) -> None:
    assume(len(password) >= 4)
    assume(password not in f"{scheme}{joint}{user}:***@{host}" and password not in "***@***")
    assert password not in masked(f"{scheme}{joint}{user}:{password}@{host}")


@given(
    st.sampled_from(["password", "sslpassword", "secret", "passwor%64", "%70wd", "aws_Secret", "TOKEN", "key"]),
    st.text("abz019/@:?#;=%+ é", min_size=4, max_size=12),
    st.sampled_from(["postgresql://h:1/d", "mysql://u:pw@h/d", "h", "u@h", "redis://h"]),
    st.sampled_from(["", "&ssl=true", "&a=b@c"]),
)  # fmt: skip
def test_no_secret_option_is_shown(name: str, value: str, place: str, rest: str) -> None:
    assume(value not in f"{place}?{name}=***@***{rest}")
    for url in (f"{place}?{name}={value}{rest}", f"{place}?x=1&{name}={value}{rest}", f"{place}?x=1?{name}={value}"):
        assert value not in masked(url)


@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_anything_can_be_masked_and_once_is_enough(text: str) -> None:
    once = masked(text)
    assert "@" in once or "@" not in text
    assert hidden("nothing to hide here", "") == "nothing to hide here"
    assert masked(once) == once


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://crawl@corp:S3CRET@h:1/x", "postgresql://crawl@corp:***@h:1/x"),
        ("sftp://u:S3/CR@ET@h/x", "sftp://u:***@h/x"),
        ("S3CRET@host", "***@host"),
        ("u:S3CRET@host", "u:***@host"),
        ("redis://S3CRET@host:1/0", "redis://***@host:1/0"),
        ("redis://:S3?CRET@host:1/0", "redis://:***@host:1/0"),
        ("amqp://u@host:5672/v", "amqp://u@host:5672/v"),
        ("simplecache::ftp://u:S3CRET@h/x", "simplecache:***@h/x"),
        ("postgresql://h/d?sslpassword=S3CRET&sslmode=require", "postgresql://h/d?sslpassword=***&sslmode=require"),
        ("s3://bucket/x?secret=S3CRET", "s3://bucket/x?secret=***"),
        ("mysql://h/d?passwor%64=S3CRET", "mysql://h/d?passwor%64=***"),
        ("mysql://h:1/d?password=S3@CRET", "mysql://h:***@***"),
        ("postgresql+psycopg://h:5432/crawl?sslmode=require", "postgresql+psycopg://h:5432/crawl?sslmode=require"),
        ("s3://bucket/a/b@c", "s3://bucket/a/b@c"),
        ("local:///var/lib/crawlkit", "local:///var/lib/crawlkit"),
        ("", ""),
    ],
)
def test_what_is_shown(url: str, shown: str) -> None:
    assert masked(url) == shown


@pytest.mark.parametrize(
    ("text", "url", "shown"),
    [
        ("no integer: 'S3'", "ftp://u:S3/CRET@h/x", "no integer: '***'"),
        ("login S3/CRET refused for u at h", "ftp://u:S3%2FCRET@h/x", "login *** refused for u at h"),
        ("bad host s3cret", "redis://S3CRET@h", "bad host ***"),
        ("bad T0KEN", "s3://b?token=T0KEN", "bad ***"),
        ("port 5432 of h", "postgresql://u@h:5432/d", "port 5432 of h"),
        ("a stable table", "ftp://u:ab@h", "a stable table"),
    ],
)
def test_what_a_library_says_is_said_without_pieces_of_the_password(text: str, url: str, shown: str) -> None:
    assert hidden(text, url) == shown


def test_no_text_makes_masking_slow() -> None:
    began = time.process_time()
    for piece in ("?", "?token", "a://", "http://u:", "&a=", "?a=token"):
        masked_text(piece * 10_000)
    assert time.process_time() - began < 1.0


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("all --no-webui", "all --no-webui"),
        ("--secret-key abc all", "--secret-key *** all"),
        ("--secret-key=abc all", "--secret-key=*** all"),
        ("--secret-key -abc all", "--secret-key *** all"),
        ("--queue-key --x all --debug", "--queue-key *** all --debug"),
        ("--taskdb mysql://u:pass@h/d all", "--taskdb mysql://u:***@h/d all"),
        ("--taskdb=mysql://u:pass@h/d --data-path d=e", "--taskdb=mysql://u:***@h/d --data-path d=e"),
        ("all --proxy u:p", "all --proxy u:p"),
    ],
)
def test_a_command_line(line: str, shown: str) -> None:
    assert " ".join(masked_words(line.split())) == shown
