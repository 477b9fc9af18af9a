"""Where a browser service is found, by whom, and what its names and options mean."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import click
import pytest

from crawlkit import wiring
from crawlkit.browser import chromium
from crawlkit.browser.chrome import reason_of
from crawlkit.cli import cli
from crawlkit.libs.errors import FetchError, UsageError
from crawlkit.settings import Settings, docker_links

KEY = "a secret key of this test"


@pytest.fixture(autouse=True)
def _no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(wiring.BROWSER_TOKEN, raising=False)


@pytest.mark.parametrize(
    ("options", "proxies", "url"),
    [
        ({}, {}, None),
        ({"browser_endpoint": "http://b:1/render"}, {"phantomjs_proxy": "p:25555"}, "http://b:1/render"),
        ({"puppeteer_endpoint": "http://b:1/"}, {}, "http://b:1/"),
        ({"phantomjs_endpoint": "b:1"}, {}, "http://b:1/"),
        ({}, {"phantomjs_proxy": "p:25555"}, "http://p:25555/"),
        ({}, {"puppeteer_proxy": "p:22222"}, "http://p:22222/"),
    ],
)
def test_where_fetchers_find_a_service(options: dict[str, Any], proxies: dict[str, Any], url: str | None) -> None:
    found, token = wiring.browser_endpoint(Settings(secret_key=KEY, **proxies), options)  # C11, C12
    assert found == url
    assert bool(token) == (url is not None)
    assert KEY not in token


def test_the_token_of_the_url_goes_before_that_of_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"browser_endpoint": "http://:one-of-its-own@b:22222"}
    assert wiring.browser_endpoint(Settings(secret_key=KEY), options) == ("http://b:22222/", "one-of-its-own")
    made = wiring.browser_token(Settings(secret_key=KEY))
    assert made == wiring.browser_token(Settings(secret_key=KEY)) != wiring.browser_token(Settings(secret_key="b" * 32))
    assert made != wiring.control_token(Settings(secret_key=KEY))
    monkeypatch.setenv(wiring.BROWSER_TOKEN, "t" * 20)
    assert wiring.browser_token(Settings(secret_key=KEY)) == "t" * 20
    monkeypatch.setenv(wiring.BROWSER_TOKEN, "short")
    with pytest.raises(UsageError, match="16 characters"):
        wiring.browser_token(Settings())


def test_a_linked_container_is_found() -> None:  # C23
    env = {"PHANTOMJS_NAME": "x", "PHANTOMJS_PORT_25555_TCP": "tcp://172.17.0.2:25555"}
    assert docker_links(env) == {"phantomjs_proxy": "http://172.17.0.2:25555"}


def test_nobody_can_make_a_service_that_is_open_to_the_network() -> None:
    for host in ("0.0.0.0", "192.0.2.1", "browsers"):
        with pytest.raises(UsageError, match="CRAWLKIT_SECRET_KEY"):
            wiring.check_door(host, "")
        wiring.check_door(host, "token")
    for host in ("127.0.0.1", "::1", "localhost"):
        wiring.check_door(host, "")


def test_pyspiders_names_start_the_same() -> None:  # C35, C36
    context = click.Context(cli)
    browser, phantomjs, puppeteer = (cli.get_command(context, name) for name in ("browser", "phantomjs", "puppeteer"))
    assert browser is not None
    for old, port in ((phantomjs, 25555), (puppeteer, 22222)):
        assert old is not None
        assert old.hidden
        said = old.make_context(
            "x", ["--auto-restart", "true", "--phantomjs-path", "/x", "left", "over"], parent=context
        )
        assert said.params["port"] == port
        assert {param.name for param in browser.params} <= {param.name for param in old.params}


def test_a_port_that_is_taken_is_said_or_another_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"cannot listen on 127.0.0.1:{port}"):
            wiring.listen("127.0.0.1", port)
        [other] = wiring.listen("127.0.0.1", port, any_port=True)
        with other:
            assert other.getsockname()[1] != port


def test_who_has_no_chromium_is_told_how_to_get_one() -> None:
    with pytest.raises(FetchError, match="apt install chromium") as missing:
        chromium.find(environ={"PATH": "/nowhere"})
    assert (missing.value.kind, missing.value.status_code) == ("no_browser", 501)
    with pytest.raises(FetchError, match="--chromium /no/such: there is no such program"):
        chromium.find("/no/such")


def test_which_chromium_is_taken(tmp_path: Path) -> None:
    def program(*parts: str) -> str:
        path = tmp_path.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
        return str(path)

    environ = {"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path)}
    wanted = [
        program("bin", "google-chrome"),
        program("bin", "chromium"),
        program(".cache", "ms-playwright", "chromium-999", "chrome-linux", "chrome"),
        program(".cache", "ms-playwright", "chromium_headless_shell-999", "chrome-linux", "headless_shell"),
        program(".cache", "ms-playwright", "chromium_headless_shell-1208", "linux64", "chrome-headless-shell"),
        program("bin", "chromium-headless-shell"),
    ]
    behind = program("lib", "chromium", "chromium-headless-shell")
    assert chromium.find(environ=environ) == behind
    Path(behind).unlink()
    for best in reversed(wanted):
        assert chromium.find(environ=environ) == best
        Path(best).unlink()
    elsewhere = program("elsewhere", "chromium-7", "chrome-linux", "chrome")
    assert chromium.find(environ={**environ, "PLAYWRIGHT_BROWSERS_PATH": str(tmp_path / "elsewhere")}) == elsewhere


def test_the_sandbox_is_on_for_everybody_but_root(monkeypatch: pytest.MonkeyPatch) -> None:
    for user, on in ((0, False), (1000, True)):
        monkeypatch.setattr(chromium.os, "geteuid", lambda user=user: user)
        assert chromium.sandboxed(None) is on
        assert (chromium.sandboxed(True), chromium.sandboxed(False)) == (True, False)


def test_options_become_settings() -> None:
    settings = wiring.browser_settings({"poolsize": 3, "page_memory": 100, "idle": 5.0, "allow_private": False})
    assert (settings.poolsize, settings.page_memory, settings.idle) == (3, 100 * 2**20, 5.0)
    assert settings.allow_private is False
    assert wiring.browser_settings({"poolsize": 0}).poolsize >= 2


LOGS = """BrowserType.launch: Target page, context or browser has been closed
Browser logs:
[pid=22698][err] /usr/bin/chromium: 9: [: 25261432832: unexpected operator
[pid=22698][err] [22698:22698:1121/103130.084198:{level}:chrome/browser/x.cc:315] {words}
[pid=22698][err] [1121/103130.163509:ERROR:third_party/crashpad/crashpad/util/file/file_io_posix.cc:145] open /sys/x
"""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (LOGS.format(level="FATAL", words="Socket path too long: /tmp/x."), "Socket path too long: /tmp/x."),
        (LOGS.format(level="FATAL", words="No usable sandbox! Update"), "No usable sandbox! Update; give it user"),
        ("[pid=1][err] chromium: error while loading shared libraries: libnss3.so: no such", "libnss3.so"),
        ("spawn /no/such ENOENT\nmore", "spawn /no/such ENOENT"),
    ],
)
def test_why_a_browser_did_not_start_is_one_line(text: str, words: str) -> None:
    found = reason_of(text)
    assert words in found
    assert "\n" not in found
    assert "crashpad" not in found
