"""The small helpers that scripts take from pyspider's utils."""

from __future__ import annotations

import hashlib

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
