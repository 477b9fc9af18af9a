"""curl commands as browsers copy them."""

from __future__ import annotations

import shlex
import subprocess
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlkit.libs.curl_command import CurlError, CurlRequest, parse, split

FORM = {"Content-Type": "application/x-www-form-urlencoded"}

TABLE = [
    ("curl http://h/", {"urls": ["http://h/"]}),
    ("curl 'http://h/a' 'http://h/b'", {"urls": ["http://h/a", "http://h/b"]}),
    ("curl --url http://h/", {"urls": ["http://h/"]}),
    ("curl http://h/ -H 'A: b' -H 'C: d: e'", {"headers": {"A": "b", "C": "d: e"}}),
    ("curl http://h/ -H 'X-Empty;'", {"headers": {"X-Empty": ""}}),
    ("curl http://h/ -b 'k=v; l=w=x'", {"cookies": {"k": "v", "l": "w=x"}}),
    ("curl http://h/ --cookie k=v", {"cookies": {"k": "v"}}),
    ("curl http://h/ -d a=1 -d b=2", {"method": "POST", "data": b"a=1&b=2", "headers": FORM}),
    ("curl http://h/ -X PUT --data-raw '@x'", {"method": "PUT", "data": b"@x", "headers": FORM}),
    ("curl http://h/ --data-binary $'a\\r\\nb'", {"method": "POST", "data": b"a\r\nb", "headers": FORM}),
    (
        "curl http://h/ -H 'content-type: text/plain' --data x",
        {"method": "POST", "data": b"x", "headers": {"content-type": "text/plain"}},
    ),
    ("curl http://h/ --data-urlencode 'q=a b&c'", {"method": "POST", "data": b"q=a%20b%26c", "headers": FORM}),
    ("curl http://h/ --data-urlencode 'a b'", {"method": "POST", "data": b"a%20b", "headers": FORM}),
    ("curl -G http://h/?x=1 -d a=1 --data-urlencode 'b=2 3'", {"urls": ["http://h/?x=1&a=1&b=2%203"]}),
    ("curl -G http://h/ -d a=1", {"urls": ["http://h/?a=1"]}),
    (
        """curl http://h/ --json '{"a":1}'""",
        {
            "method": "POST",
            "data": b'{"a":1}',
            "headers": {"Content-Type": "application/json", "Accept": "application/json"},
        },
    ),
    ("curl http://h/ -F a=b -F 'c=d;type=text/x;filename=n'", {
        "method": "POST", "form": [("a", "b", None, None), ("c", "d", "n", "text/x")]}),
    ("curl http://h/ -A 'agent x'", {"user_agent": "agent x"}),
    ("curl http://h/ -e http://r/", {"headers": {"Referer": "http://r/"}}),
    ("curl http://h/ -u user:pass", {"headers": {"Authorization": "Basic dXNlcjpwYXNz"}}),
    ("curl -k http://h/", {"validate_cert": False}),
    ("curl --insecure http://h/", {"validate_cert": False}),
    ("curl -L http://h/", {"allow_redirects": True}),
    ("curl --location --max-redirs 3 http://h/", {"allow_redirects": True, "max_redirects": 3}),
    ("curl -x http://p:1 http://h/", {"proxy": "http://p:1"}),
    ("curl --compressed http://h/", {"use_gzip": True}),
    ("curl -I http://h/", {"method": "HEAD"}),
    ("curl --max-time 3 --connect-timeout 1.5 http://h/", {"timeout": 3.0, "connect_timeout": 1.5}),
    ("curl --http2 -sSL http://h/", {"allow_redirects": True}),
    ("curl -XDELETE http://h/", {"method": "DELETE"}),
    ("curl -sXPOST http://h/ -dabc", {"method": "POST", "data": b"abc", "headers": FORM}),
    ("curl 'http://h/' \\\n  -H 'A: b' \\\r\n  --compressed", {"headers": {"A": "b"}, "use_gzip": True}),
    ("curl $'http://h/\\u00fc\\'x' ", {"urls": ["http://h/ü'x"]}),
    ("curl http://h/ --data-raw $'\\xc3\\xbc\\041'", {"method": "POST", "data": "ü!".encode(), "headers": FORM}),
    ('curl "http://h/\\"\\$x" ', {"urls": ['http://h/"$x']}),
    ("curl -- -odd", {"urls": ["-odd"]}),
]  # fmt: skip


@pytest.mark.parametrize(("command", "expected"), TABLE, ids=[command for command, _ in TABLE])
def test_commands(command: str, expected: dict[str, object]) -> None:
    wanted = CurlRequest(**{"urls": ["http://h/"], **expected})  # type: ignore[arg-type]
    assert parse(command) == wanted


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("wget http://h/", "begins with"),
        ("", "begins with"),
        ("curl", "no URL"),
        ("curl -H 'A: b'", "no URL"),
        ("curl http://h/ --unknown", "unknown curl option '--unknown'"),
        ("curl http://h/ -Z", "unknown curl option '-Z'"),
        ("curl http://h/ -sQ", "'-Q' in '-sQ'"),
        ("curl http://h/ -H", "needs a value"),
        ("curl 'http://h/", "never closed"),
        ('curl "http://h/', "never closed"),
        ("curl $'http://h/", "never closed"),
        ("curl http://h/ -d @file", "cannot be read here"),
        ("curl http://h/ -F a=@file", "cannot be read here"),
        ("curl http://h/ -b jar.txt", "cookie file"),
        ("curl http://h/ -F a=b -d c", "cannot be used in one"),
        ("curl http://h/ --max-time soon", "use a number"),
    ],
)
def test_errors_name_what_is_wrong(command: str, words: str) -> None:
    with pytest.raises(CurlError, match=words):
        parse(command)


@given(
    st.lists(st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=20), max_size=6)
)
def test_quoted_words_come_back_as_they_were(words: list[str]) -> None:
    assert split(shlex.join(words)) == words


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    with suppress(CurlError):
        assert parse("curl " + text).urls


@pytest.mark.parametrize("option", ["-u", "-d", "--data-urlencode", "-H"])
def test_half_a_character_is_refused_in_words(option: str) -> None:
    with suppress(CurlError):
        parse(f"curl {option} 'a: \ud800' http://x/")
    assert parse("curl -u '\udcff:x' http://x/").headers["Authorization"] == "Basic /zp4"


def test_a_shell_reads_the_words_the_same_way() -> None:
    line = r"""a'b c'"d\"e" $'\x41\102\n\t\'' f\ g "$'x'" '$y'"""
    seen = subprocess.run(["bash", "-c", f"printf '%s\\0' {line}"], capture_output=True, check=True).stdout
    assert split(line) == seen.decode().split("\0")[:-1]
