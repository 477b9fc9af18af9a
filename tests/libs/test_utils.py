"""The small helpers that scripts take from pyspider's utils."""

from __future__ import annotations

import hashlib
import socket
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from crawlkit.libs import utils
from crawlkit.libs.errors import InvalidTask


def test_md5string() -> None:
    assert utils.md5string("ü") == utils.md5string("ü".encode()) == hashlib.md5("ü".encode()).hexdigest()


def test_text_and_bytes() -> None:
    assert utils.utf8("ü") == utils.utf8("ü".encode()) == "ü".encode()
    assert utils.pretty_unicode("ü".encode()) == utils.pretty_unicode("ü") == "ü"
    assert utils.pretty_unicode(b"\xff") == "\\xff"


def test_curl_to_arguments() -> None:
    found = utils.curl_to_arguments("curl 'http://a.com/' -H 'X-A: 1' -d a=1 --compressed")
    assert found["urls"] == ["http://a.com/"]
    assert (found["data"], found["use_gzip"], found["headers"]["X-A"]) == (b"a=1", True, "1")
    with pytest.raises(InvalidTask, match="--nonsense"):
        utils.curl_to_arguments("curl http://a.com/ --nonsense")


def test_rebuild_response() -> None:
    response = utils.rebuild_response(
        {"url": "http://a.com/", "status_code": 404, "content": "ü", "headers": {"A": "1"}, "save": 3, "time": 0.5}
    )
    assert (response.status_code, response.url, response.text, response.headers["a"]) == (
        404,
        "http://a.com/",
        "ü",
        "1",
    )
    assert (response.save, response.time, response.ok) == (3, 0.5, False)


def test_timeout_is_left_to_the_worker() -> None:
    with utils.timeout(0):
        pass


def test_objects_as_text_and_back() -> None:
    assert utils.text(b"\xc3\xbc") == utils.text("ü") == "ü"
    assert utils.text(5) == "5"
    assert utils.text("ü".encode("latin-1"), "latin-1") == "ü"
    shown = utils.unicode_obj({b"a": [b"\xff", ("x", 1, None, 2.5)], "when": datetime(2024, 3, 7)})
    assert shown == {"a": ["[BASE64-DATA]/w==[/BASE64-DATA]", ["x", 1, None, 2.5]], "when": "2024-03-07 00:00:00"}
    assert utils.decode_unicode_obj(shown)["a"] == [b"\xff", ["x", 1, None, 2.5]]
    assert utils.decode_unicode_obj(5) == 5


def test_getitem() -> None:
    assert [utils.getitem([7]), utils.getitem([]), utils.getitem({"a": 1}, "a"), utils.getitem(None, 3, "no")] == [
        7,
        None,
        1,
        "no",
    ]


@pytest.mark.parametrize(
    ("ago", "options", "said"),
    [
        (0, {}, "1 second ago"),
        (30, {}, "30 seconds ago"),
        (-20, {}, "1 second ago"),
        (300, {}, "5 minutes ago"),
        (3600, {}, "1 hour ago"),
        (3 * 3600, {}, "3 hours ago"),
        (3 * 3600, {"relative": False}, "9:30"),
        (3 * 3600, {"relative": False, "gmt_offset": -480}, "17:30"),
        (26 * 3600, {}, "yesterday at 10:30"),
        (26 * 3600, {"shorter": True}, "yesterday"),
        (3 * 86400, {}, "Monday at 12:30"),
        (40 * 86400, {"shorter": True}, "January 27"),
        (400 * 86400, {}, "February 1, 2023 at 12:30"),
        (3600, {"full_format": True, "shorter": True}, "March 7, 2024"),
        (-3600, {}, "March 7, 2024 at 13:30"),
    ],
)
def test_format_date(ago: int, options: dict[str, Any], said: str) -> None:
    now = datetime(2024, 3, 7, 12, 30, tzinfo=UTC)
    assert utils.format_date(now.timestamp() - ago, now=now, **options) == said
    assert utils.format_date(now.replace(tzinfo=None) - timedelta(seconds=ago), now=now, **options) == said


def test_no_date() -> None:
    assert utils.format_date(None) == utils.format_date(0) == "-"
    assert utils.format_date(time.time()) == "1 second ago"


def test_dicts() -> None:
    several = utils.ObjectDict(a=1, b=utils.Get(lambda: 2))
    assert (several.a, several.b, several["a"]) == (1, 2, 1)
    with pytest.raises(AttributeError, match="c"):
        several.c  # noqa: B018
    with pytest.raises(TypeError, match="read-only"):
        utils.ReadOnlyDict(a=1)["a"] = 2


def test_threads_and_objects() -> None:
    found: list[int] = []
    utils.run_in_thread(found.append, 5).join(5)
    assert found == [5]
    process = utils.run_in_subprocess(sys.exit, 3)
    process.join(10)
    assert process.exitcode == 3
    assert utils.load_object("crawlkit.libs.utils.md5string") is utils.md5string
    for name in ("md5string", "crawlkit.libs.utils.nothing", "crawlkit.nowhere.x"):
        with pytest.raises(ImportError):
            utils.load_object(name)


def test_check_port_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert utils.check_port_open(port)
    assert not utils.check_port_open(port)


def test_urls_and_forms() -> None:
    assert utils.build_url("http://bücher.example", {"q": "ü", "n": [1, 2]}) == (
        "http://xn--bcher-kva.example/?q=%C3%BC&n=1&n=2"
    )
    assert utils.build_url("http://a.com/x?b=1") == "http://a.com/x?b=1"
    assert utils.get_content_type("a.png") == "image/png"
    assert utils.get_content_type("a") == "application/octet-stream"
    content_type, body = utils.encode_multipart_formdata({"id": 5}, {"f": ("n.txt", b"text")})
    assert content_type.startswith("multipart/form-data; boundary=")
    assert b'name="id"' in body
    assert b'filename="n.txt"' in body
