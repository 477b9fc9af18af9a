"""What went wrong in web interfaces of crawlers and in what they stand on. Each attack replayed by its id."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterator
from urllib.parse import quote, urlsplit

import pytest

from crawlkit import datapath
from crawlkit.libs import passwords
from crawlkit.webui.api import rooms
from crawlkit.webui.api.registry import PREFIX
from tests.webui.access import accounts_of, add_users, filled, post_form, raw_request, sign_in
from tests.webui.servers import Client, Running, in_thread

SHELL = [
    "x;touch /tmp/owned",
    "x|id",
    "$(id)",
    "`id`",
    "x&&id",
    "x\nid",
    "--help",
    "x>y",
    "x'y",
    'x"y',
    "../x",
    "${IFS}",
]
EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "COST", (4, 8, 1))
        with in_thread(tmp_path_factory.mktemp("advisories") / "data") as running:
            yield add_users(running)


@pytest.fixture(scope="module")
def ada(server: Running) -> Client:
    """An admin."""
    return sign_in(server, "ada")


@pytest.fixture(scope="module")
def eve(server: Running) -> Client:
    """Who may only look."""
    return sign_in(server, "eve")


def changing() -> list[tuple[str, str]]:
    """(method, path) of every operation that changes something."""
    each = [one for room in rooms() for one in room.endpoints if one.method not in ("GET", "HEAD")]
    return [(one.method, PREFIX + filled(one.path)) for one in each]


OLD = [("POST", "/update"), ("POST", "/run"), ("POST", "/debug/shop/run"), ("POST", "/debug/shop/save")]  # pyspider's


def test_CVE_2024_39163(ada: Client) -> None:
    """pyspider: forms of other sites changed what a signed-in user might change."""
    assert len(changing()) > 25
    bare = Client(ada.url, ada.cookie)
    for method, path in [*changing(), *OLD]:
        for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            answer = ada.request(method, path, {}, headers)
            assert answer.status == 403, (method, path)
        answer = bare.request(method, path, headers={"Content-Type": "text/plain"}, raw=b"{}")
        assert answer.status in (403, 415), (method, path, answer.status)


def test_CVE_2024_39162(ada: Client) -> None:
    """pyspider: what stood in an address came back as markup. In Chromium: tests/webui/test_naughty.py."""
    for path in (
        "/debug/",
        "/projects/",
        "/tasks?project=",
        "/results?project=",
        "/tasks?text=",
        "/logs?text=",
        "/login?next=/",
    ):
        for answer in (
            ada.get(path + quote(EVIL), Accept="text/html"),
            Client(ada.url).get(path + quote(EVIL), Accept="text/html"),
        ):
            assert EVIL not in answer.text, path
            assert "unsafe-inline" not in answer.headers["Content-Security-Policy"]


def test_pyspider_964(server: Running, eve: Client) -> None:
    """pyspider, issue 964: whoever reached the debugger ran any script, without a login."""
    script = {"script": "import os; os.abort()", "task": {"url": "data:,x"}}
    for path in (
        f"{PREFIX}/projects/shop/debug",
        f"{PREFIX}/projects/shop/check",
        "/debug/shop/run",
        "/debug/shop/save",
    ):
        for client in (Client(server.url), Client(server.url, "session=guess"), eve):
            answer = client.request("POST", path, script)
            assert answer.status in (401, 403), (path, answer.status)


def test_CVE_2020_7698(ada: Client) -> None:
    """Gerapy: the name of a project reached a shell."""
    for name in SHELL:
        for method, path in (("PUT", "/script"), ("POST", "/run"), ("PATCH", "")):
            answer = ada.request(method, f"{PREFIX}/projects/{quote(name, safe='')}{path}", {"script": "x = 1"})
            assert answer.status in (400, 403, 404, 405), (name, answer.status)


def test_CVE_2021_43857(ada: Client) -> None:
    """Gerapy: so did settings of a project. Here they are values of their kind, or refused."""
    ada.api("PUT", "/projects/shell/script", {"script": "from crawlkit import BaseHandler\n"})
    for value in SHELL:
        for field in ("rate", "burst", "status"):
            assert ada.request("PATCH", f"{PREFIX}/projects/shell", {field: value}).status in (400, 422), (field, value)
        answer = ada.request("PATCH", f"{PREFIX}/projects/shell", {"group": value})
        shown = next(row for row in ada.api("GET", "/projects")["items"] if row["name"] == "shell")
        assert shown["group"] == (value if answer.status < 300 else shown["group"])


def test_CVE_2021_32849(server: Running, eve: Client) -> None:
    """Gerapy: who had signed in with no rights ran commands all the same."""
    for method, path in changing():
        if "/account" in path:
            continue  # one's own sessions, tokens and password
        assert eve.request(method, path, {}).status in (400, 403, 404, 409, 415, 422), (method, path)
    for method, path in (
        ("POST", "/projects/shop/debug"),
        ("PUT", "/projects/shop/script"),
        ("POST", "/projects/shop/run"),
    ):
        assert eve.request(method, PREFIX + path, {"script": "x"}).status == 403, path


def test_CVE_2021_44597(server: Running) -> None:
    """Gerapy: an operation answered without asking who it was."""
    stranger = Client(server.url)
    for room in rooms():
        for one in [*room.endpoints, *room.streams]:
            assert stranger.request(one.method, PREFIX + filled(one.path)).status in (401, 403), one.path


def test_CVE_2026_90945(server: Running, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Crawlab: the key that signs logins was the same everywhere, in the source."""
    first, second = (datapath.secret_key(tmp_path_factory.mktemp("key"), make=True) for _ in range(2))
    assert first
    assert first != second
    name = sign_in(server, "ada").cookie.partition("=")[0]
    forged = base64.urlsafe_b64encode(json.dumps({"alg": "none", "user": "ada", "role": "admin"}).encode()).decode()
    for cookie in (f"{name}={forged}", f"{name}={forged}.", "session=admin"):
        assert Client(server.url, cookie).get(f"{PREFIX}/me").status == 401
    assert Client(server.url, headers={"Authorization": f"Bearer {forged}.{forged}."}).get(f"{PREFIX}/me").status == 401


def raw_status(server: Running, head: str, body: bytes = b"") -> str:
    found = raw_request(server, head, body)
    return found.split(" ")[1] if found else "closed"


def test_GHSA_753j_mpmx_qq6g(server: Running) -> None:
    """Tornado: two Transfer-Encoding headers were read in another way than by proxies."""
    host = urlsplit(server.url).netloc
    for coding in (
        "chunked\nTransfer-Encoding: identity",
        "chunked, chunked",
        "xchunked",
        "chunked\nContent-Length: 5",
    ):
        head = f"POST /login HTTP/1.1\nHost: {host}\nTransfer-Encoding: {coding}"
        assert raw_status(server, head, b"0\r\n\r\nGET /health HTTP/1.1\r\n\r\n") in ("400", "501", "closed"), coding


def test_GHSA_qppv_j76h_2rpx(server: Running) -> None:
    """Tornado: +5, 1_0 and other spellings were taken for a Content-Length."""
    host = urlsplit(server.url).netloc
    for length in ("+5", "-5", "1_0", "0x5", "5, 6", "５", "5 5", ""):
        head = f"POST /login HTTP/1.1\nHost: {host}\nContent-Length: {length}".encode().decode("latin-1")
        assert raw_status(server, head, b"hello") in ("400", "closed", "411", "413"), length


PLACES = ["//evil.example/", "//evil.example/..", "/\\evil.example/", "/%5cevil.example/", "//evil.example/%2e%2e/",
          "/static//evil.example/..",
          "///evil.example", "/%2f%2fevil.example/", "/login//evil.example", "/static/..//evil.example"]  # fmt: skip


def leads_away(place: str | None) -> bool:
    return bool(place) and (not place.startswith("/") or place[1:2] in ("/", "\\"))  # type: ignore[union-attr]


def test_CVE_2023_28370(server: Running, ada: Client) -> None:
    """Tornado: its handler of static files led to other sites."""
    for path in PLACES:
        for client in (Client(server.url), ada):
            answer = client.get(path, Accept="text/html")
            assert not leads_away(answer.headers["Location"]), path


@pytest.mark.parametrize(
    "place", ["//evil.example", "/\\evil.example", "https://evil.example", "/%0a/evil.example", "http:evil.example"]
)
def test_CVE_2020_26232(server: Running, place: str) -> None:
    """Jupyter, CVE-2020-26275, CVE-2023-39968, CVE-2019-10856: the login led to another site."""
    fields = {"name": "eve", "password": "password of eve", "next": place}
    answer = post_form(Client(server.url), "/login", fields)
    assert answer.status == 303
    assert not leads_away(answer.headers["Location"])
    led = Client(server.url).get(place if place.startswith("/") else f"/{place}", Accept="text/html")
    assert not leads_away(led.headers["Location"])


def within(server: Running, seconds: float, head: str, body: bytes = b"") -> str:
    began = time.monotonic()
    status = raw_status(server, head, body)
    assert time.monotonic() - began < seconds, status
    return status


def test_tornado_6_4_2(server: Running) -> None:
    """Tornado, CVE-2024-52804: cookies with quoted values took time by the square."""
    host = urlsplit(server.url).netloc
    within(server, 1, f'GET /health HTTP/1.1\nHost: {host}\nCookie: a="' + "\\\\" * 25_000 + '"')


def test_CVE_2025_47287(server: Running, caplog: pytest.LogCaptureFixture) -> None:
    """Tornado: a broken multipart body filled the log, a line for each of its parts."""
    host = urlsplit(server.url).netloc
    body = b"--b\r\nbroken\r\n" * 4000 + b"--b--\r\n"
    within(server, 2, f"POST /login HTTP/1.1\nHost: {host}\nContent-Type: multipart/form-data; boundary=b\n"
                      f"Content-Length: {len(body)}", body)  # fmt: skip
    assert len(caplog.records) < 10


def test_CVE_2025_67724(server: Running, ada: Client) -> None:
    """Tornado: what stood in an address came into the first line or the headers of the answer."""
    for path in (
        "/%0d%0aInjected: 1",
        "/login?next=/%0d%0aInjected:%201",
        "/static/%0d%0aInjected:%201",
        "/debug/%0aInjected",
    ):
        for client in (Client(server.url), ada):
            answer = client.get(path.replace(" ", "%20"), Accept="text/html")
            assert "Injected" not in answer.headers, path
            assert not re.search(r"(?m)^Injected", str(answer.headers)), path


def test_CVE_2025_67725(server: Running) -> None:
    """Tornado: the same header again and again took time by the square."""
    host = urlsplit(server.url).netloc
    within(server, 1, f"GET /health HTTP/1.1\nHost: {host}\n" + "X: y\n" * 9000 + "X: z")


def test_CVE_2025_67726(server: Running) -> None:
    """Tornado: parameters of a part of a form took time by the square."""
    host = urlsplit(server.url).netloc
    body = b'--b\r\nContent-Disposition: form-data; name="' + b'a";"' * 10_000 + b"\r\n\r\nx\r\n--b--\r\n"
    within(server, 1, f"POST /login HTTP/1.1\nHost: {host}\nContent-Type: multipart/form-data; boundary=b\n"
                      f"Content-Length: {len(body)}", body)  # fmt: skip


def test_CVE_2024_34069(server: Running, ada: Client) -> None:
    """Werkzeug, GHSA-2g68-c3qc-8985: its debugger could be reached by a name of the attacker's."""
    for client in (Client(server.url), ada):
        for path in ("/console", "/?__debugger__=yes&cmd=resource&f=debugger.js", "/?__debugger__=yes&cmd=1&frm=0&s=x"):
            answer = client.get(path, Accept="text/html")
            assert b"erkzeug" not in answer.body
            assert client.get(path, Host="evil.example").status == 403


def test_CVE_2019_14806(ada: Client) -> None:
    """Werkzeug: the PIN of its debugger could be guessed. There is none to ask for."""
    answer = ada.get("/?__debugger__=yes&cmd=pinauth&pin=000-000-000&s=x", Accept="application/json")
    assert "auth" not in (answer.json if answer.headers["Content-Type"].startswith("application/json") else {})
    assert ada.get("/?__debugger__=yes&cmd=printpin").status != 500


def broken(server: Running, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    """Makes the list of tokens fail with these words."""

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(words)

    monkeypatch.setattr(accounts_of(server).store, "tokens", fail)


def test_CVE_2016_10516(server: Running, ada: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Werkzeug: the page of an error showed its words as markup."""
    broken(server, monkeypatch, EVIL)
    for accept in ("text/html", "application/json"):
        answer = ada.get(f"{PREFIX}/account/tokens", Accept=accept)
        assert answer.status == 500
        assert "alert(1)" not in answer.text
        assert "Traceback" not in answer.text


def test_CVE_2023_25577(server: Running, ada: Client) -> None:
    """Werkzeug: any number of parts of a form was read."""
    host = urlsplit(server.url).netloc
    body = b'--b\r\nContent-Disposition: form-data; name="language"\r\n\r\nen\r\n' * 10_000 + b"--b--\r\n"
    head = (f"POST /language HTTP/1.1\nHost: {host}\nCookie: {ada.cookie}\nX-CSRF-Token: {ada.csrf}\n"
            f"Content-Type: multipart/form-data; boundary=b\nContent-Length: {len(body)}")  # fmt: skip
    assert within(server, 1, head, body) in ("400", "413")


def test_CVE_2023_46136(server: Running, ada: Client) -> None:
    """Werkzeug: a part that begins with a line end and goes on without one took time by the square."""
    host = urlsplit(server.url).netloc
    body = b'--b\r\nContent-Disposition: form-data; name="language"\r\n\r\n\r\n' + b"a" * 60_000 + b"\r\n--b--\r\n"
    head = (f"POST /language HTTP/1.1\nHost: {host}\nCookie: {ada.cookie}\nX-CSRF-Token: {ada.csrf}\n"
            f"Content-Type: multipart/form-data; boundary=b\nContent-Length: {len(body)}")  # fmt: skip
    within(server, 1, head, body)


def test_CVE_2023_30861(server: Running, ada: Client) -> None:
    """Flask: an answer with a session cookie could be kept by a proxy for others."""
    told = post_form(Client(server.url), "/login", {"name": "eve", "password": "password of eve"})
    assert told.headers["Set-Cookie"]
    for answer in (
        told,
        ada.get("/", Accept="text/html"),
        ada.get(f"{PREFIX}/me"),
        ada.get("/account", Accept="text/html"),
    ):
        assert answer.headers["Cache-Control"] == "no-store"


def test_CVE_2022_24757(server: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Jupyter: the log of an error held the headers of its request, with cookies and tokens."""
    client = sign_in(server, "ada")
    token = client.api("POST", "/account/tokens", {"name": "ci", "role": "admin"})["token"]
    broken(server, monkeypatch, "a fault")
    caplog.clear()
    by_token = Client(server.url, headers={"Authorization": f"Bearer {token}"})
    assert client.get(f"{PREFIX}/account/tokens").status == by_token.get(f"{PREFIX}/tokens").status == 500
    assert "a fault" in caplog.text
    for secret in (client.cookie.partition("=")[2], client.csrf, token, token.rpartition("_")[2]):
        assert secret not in caplog.text


def test_CVE_2022_24758(server: Running, caplog: pytest.LogCaptureFixture) -> None:
    """Jupyter: tokens in addresses and headers were in the ordinary log."""
    caplog.set_level("DEBUG")
    token = server.token
    Client(server.url).get(f"/?token={token}", Accept="text/html")
    Client(server.url).get("/?token=wrong-t0ken", Accept="text/html")
    Client(server.url, headers={"Authorization": "Bearer wrong-t0ken"}).get(f"{PREFIX}/me")
    post_form(Client(server.url), "/login", {"name": "zoe", "password": "wrong-t0ken"})
    assert token not in caplog.text
    assert "wrong-t0ken" not in caplog.text


def test_CVE_2022_29241(server: Running, ada: Client) -> None:
    """Jupyter: who guessed the path of the server's own files read its token there."""
    key = (server.data_path / "secret.key").read_text().strip()
    names = [file.name for file in server.data_path.iterdir()]
    assert "secret.key" in names
    for name in names:
        for path in (f"/{name}", f"/static/../{name}", f"/static/..%2f..%2f..%2fdata%2f{name}", f"/dav/{name}",
                     f"/files/{name}",
                     f"{PREFIX}/files/{name}", f"/static//{server.data_path}/{name}"):  # fmt: skip
            for client in (Client(server.url), ada):
                answer = client.get(path)
                assert answer.status in (303, 400, 401, 403, 404), (path, answer.status)
                assert key.encode() not in answer.body


def test_CVE_2023_40170(ada: Client) -> None:
    """Jupyter: pages of other sites read files of a signed-in user."""
    said = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    for path in (
        "/api/v1/me",
        "/api/v1/results/shop.json",
        "/api/v1/results/shop.csv",
        "/api/v1/projects",
        "/dav/shop.py",
    ):
        assert ada.get(path, **said).status == 403, path
        assert ada.get(path).headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert ada.get(path, Origin="https://evil.example").headers["Access-Control-Allow-Origin"] is None


def test_CVE_2019_9644(ada: Client) -> None:
    """Jupyter: another site's page took an answer in as a script."""
    for path in ("/api/v1/me", "/api/v1/projects", "/api/v1/openapi.json"):
        answer = ada.get(path)
        if answer.status == 200:
            assert answer.headers["Content-Type"].startswith("application/json")
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert ada.get(path, **{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "script"}).status == 403


def test_PYSEC_2026_230(ada: Client) -> None:
    """Crawl4AI: crawled URLs and errors stood in the dashboard as markup. In Chromium: test_naughty."""
    ada.api("PUT", "/projects/marked/script", {"script": f"# {EVIL}\nfrom crawlkit import BaseHandler\n"})
    for path in ("/", "/debug/marked", "/projects/marked", "/tasks?project=marked"):
        page = ada.get(path, Accept="text/html")
        assert EVIL not in page.text
        assert not re.search(r"<script(?![^>]*\b(?:src|type=\"application/json\"))", page.text)
