"""Forms filled in and submitted, against what the HTML standard says that a browser sends."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from crawlkit import BaseHandler, Response
from crawlkit.libs.collector import Collector
from crawlkit.libs.crawler import Crawler
from crawlkit.libs.forms import Form
from crawlkit.libs.task import Task

URL = "http://a.com/shop/page?x=1"


def form(html: str, css: str | None = None, charset: str = "utf-8") -> Form:
    kind = f"text/html; charset={charset}"
    return Response(URL, content=html.encode(charset), headers={"Content-Type": kind}).form(css)


LOGIN = """
<form id=search action=/search><input name=q></form>
<form id=login method=post action="/login?next=1">
  <input type=hidden name=csrf value="t&amp;k"><input name=user value=anon><input type=password name=password>
  <input type=checkbox name=stay checked><input type=checkbox name=news value=yes>
  <label><input type=radio name=role value=buyer checked><input type=radio name=role value=seller></label>
  <select name=lang><option>en<option value=de selected>Deutsch</select>
  <textarea name=note>
hi
there</textarea>
  <input type=submit name=go value=Login><button name=other value=2>Other</button><input type=reset name=r>
  <input name=off value=1 disabled><input value="no name">
</form>
"""


def test_what_a_form_sends_as_it_is() -> None:
    login = form(LOGIN, "#login")
    assert login.values() == [
        ("csrf", "t&k"), ("user", "anon"), ("password", ""), ("stay", "on"), ("role", "buyer"), ("lang", "de"),
        ("note", "hi\nthere"), ("go", "Login"),
    ]  # fmt: skip
    request = login.request()
    assert request.url == "http://a.com/login?next=1"
    assert request.args == {
        "method": "POST",
        "data": b"csrf=t%26k&user=anon&password=&stay=on&role=buyer&lang=de&note=hi%0D%0Athere&go=Login",
        "headers": {"Referer": URL, "Content-Type": "application/x-www-form-urlencoded"},
    }


def test_filling_in() -> None:
    login = form(LOGIN, "#login").fill(
        {"user": "me", "stay": False}, password="p w~*é", role="seller", lang="en", news=True
    )
    assert login.fill(note=None).request().args["data"] == (
        b"csrf=t%26k&user=me&password=p+w%7E*%C3%A9&news=yes&role=seller&lang=en&go=Login"
    )
    assert login.fill(lang="Deutsch").values()[-2] == ("lang", "de")
    assert login.add("made", [1, 2]).values()[-2:] == [("made", "1"), ("made", "2")]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"usr": "me"}, "the form has no field 'usr'; it has csrf, user, password, stay, news, role, lang, note, off"),
        ({"role": "admin"}, "role has no choice 'admin'; it has 'buyer', 'seller'"),
        ({"lang": "fr"}, "lang has no choice 'fr'; it has 'en', 'Deutsch', 'de'"),
        ({"news": "no"}, "news has no choice 'no'; it has 'yes'"),
        ({"go": "x"}, "the form has no field 'go'"),
    ],
)
def test_what_the_form_does_not_have_is_told(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        form(LOGIN, "#login").fill(values)


def test_buttons() -> None:
    assert form(LOGIN, "#login").click("other").values()[-1] == ("other", "2")
    assert form(LOGIN, "#login").click("Other").values()[-1] == ("other", "2")
    assert form(LOGIN, "#login").click(None).values()[-1] == ("note", "hi\nthere")
    with pytest.raises(ValueError, match="no button 'x'; it has 'go', 'other'"):
        form(LOGIN, "#login").click("x")
    own = form(
        "<form action=/a><input name=a value=1><button formaction=/b formmethod=post formenctype=text/plain name=k"
        " value=v>go</button></form>"
    )
    request = own.request()
    assert (request.url, request.args["data"]) == ("http://a.com/b", b"a=1\r\nk=v\r\n")
    assert request.args["headers"]["Content-Type"] == "text/plain"
    assert own.click(None).request().url == "http://a.com/a?a=1"
    image = form("<form><input type=image name=map></form>")
    assert image.values() == [("map.x", "0"), ("map.y", "0")]
    assert form("<form><input type=image></form>").values() == [("x", "0"), ("y", "0")]


@pytest.mark.parametrize(
    ("action", "url"),
    [
        ("", "http://a.com/shop/page?q=1"),
        (" action=''", "http://a.com/shop/page?q=1"),
        (" action=find", "http://a.com/shop/find?q=1"),
        (" action='/find?old=1#there'", "http://a.com/find?q=1#there"),
        (" action='//b.com'", "http://b.com/?q=1"),
        (" method=GET", "http://a.com/shop/page?q=1"),
        (" method=nonsense", "http://a.com/shop/page?q=1"),
    ],
)
def test_get_replaces_the_query(action: str, url: str) -> None:
    request = form(f"<form{action}><input name=q value=1></form>").request()
    assert request.url == url
    assert request.args == {"headers": {"Referer": URL}}


def test_where_no_form_can_go() -> None:
    with pytest.raises(ValueError, match="'javascript:x', which is no http URL"):
        form("<form action='javascript:x'></form>").request()


SELECTS = [
    ("<select name=s><option>a<option>b</select>", ["a"]),
    ("<select name=s><option disabled>a<option> b  c </select>", ["b c"]),
    ("<select name=s><optgroup disabled><option>a</optgroup><option>b</select>", ["b"]),
    ("<select name=s><option selected>a<option selected>b</select>", ["b"]),
    ("<select name=s size=3><option>a<option>b</select>", []),
    ("<select name=s multiple><option selected>a<option>b<option selected value=''>c</select>", ["a", ""]),
    ("<select name=s multiple><option>a</select>", []),
    ("<select name=s></select>", []),
]


@pytest.mark.parametrize(("html", "values"), SELECTS)
def test_selects(html: str, values: list[str]) -> None:
    assert form(f"<form>{html}</form>").values() == [("s", value) for value in values]


def test_many_choices_of_one_name() -> None:
    many = form("<form><select name=s multiple><option>a<option>b<option>c</select><input type=checkbox name=c value=1>"
                "<input type=checkbox name=c value=2 checked></form>")  # fmt: skip
    assert many.values() == [("c", "2")]
    assert many.fill(s=["c", "a"], c=["1", "2"]).values() == [("s", "c"), ("s", "a"), ("c", "1"), ("c", "2")]
    assert many.fill(c=True, s=None).values() == [("c", "1"), ("c", "2")]


def test_controls_elsewhere_and_those_that_send_nothing() -> None:
    html = """<input name=before value=1 form=f><form id=f><input name=in value=2><input name=not form=other value=3>
    <datalist><input name=list value=4></datalist><button type=button name=b value=5></button>
    <fieldset disabled><legend><input name=legend value=6></legend><input name=off value=7></fieldset>
    <input type=hidden name=_charset_ value=x></form><form id=other></form>"""
    assert form(html, "#f").values() == [("before", "1"), ("in", "2"), ("legend", "6"), ("_charset_", "UTF-8")]
    assert form(html, "#other").values() == [("not", "3")]


def test_files_go_as_multipart() -> None:
    html = "<form method=post enctype=multipart/form-data><input name='k\"é' value=v><input type=file name=f></form>"
    empty = form(html).request().args
    assert b'name="f"; filename=""\r\nContent-Type: application/octet-stream\r\n\r\n\r\n' in empty["data"]
    whole = form(html).fill(f=("a.png", b"\xff\0\r\n", "image/png")).request().args
    assert 'name="k%22é"\r\n\r\nv\r\n'.encode() in whole["data"]
    assert b'name="f"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n\xff\0\r\n\r\n--' in whole["data"]
    assert whole["headers"]["Content-Type"].startswith("multipart/form-data; boundary=----crawlkit")
    plain = form("<form method=post><input type=file name=f></form>").fill(f=("a.png", b"x"))
    assert plain.request().args["data"] == b"f=a.png"


def test_charset_of_page_and_form() -> None:
    html = "<form method=post {}><input name=q value='é€☃'></form>"
    assert (
        form(html.format("").replace("☃", "").replace("€", ""), charset="iso-8859-1").request().args["data"] == b"q=%E9"
    )
    said = form(html.format("accept-charset='x-nonsense windows-1252'")).request().args["data"]
    assert said == b"q=%E9%80%26%239731%3B"  # what it does not have goes as &#9731;


def test_which_form() -> None:
    assert form(LOGIN).names() == ["q"]
    assert form(LOGIN, "input[type=password]").names()[0] == "csrf"
    with pytest.raises(
        ValueError, match=r"no form matches '#x' on .*; there are <Form 'search' with q>, <Form 'login'"
    ):
        form(LOGIN, "#x")
    with pytest.raises(ValueError, match="there is no form on"):
        form("<p>")


def test_crawl_takes_a_form() -> None:
    class Handler(BaseHandler):
        def page(self, response: Response) -> None: ...

    handler = Handler()
    collector = Collector()
    response = Response(URL, content=LOGIN)
    Crawler(handler).begin(collector, response, {}, {})
    handler.crawl(response.form("#login").fill(user="u"), callback=handler.page, headers={"X": "1"}, session="s")
    handler.crawl(response.form().fill(q="curl me").request(), callback=handler.page)
    login, search = (msgspec.msgpack.decode(follow.task, type=Task) for follow in collector.follows)
    assert login.fetch is not None
    assert login.fetch.method == "POST"
    assert login.fetch.session == "s"
    assert login.fetch.headers is not None
    assert set(login.fetch.headers) == {"Referer", "Content-Type", "X"}
    assert search.url == "http://a.com/search?q=curl+me"
