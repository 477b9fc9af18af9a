"""Everything that reads what strangers send: a function of bytes each, with the errors that it may raise.

``pieces`` are what hypothesis puts together besides bytes of its own: noise alone does not get far into a parser.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from crawlkit.browser import socks
from crawlkit.browser.documents import as_utf8, file_name
from crawlkit.fetcher import cookie_jar, download_rules, redirects, response_head, retry_after
from crawlkit.fetcher import proxy as proxies
from crawlkit.fetcher import url as urls
from crawlkit.fetcher.browser_client import read_reply
from crawlkit.fetcher.content_coding import Chain
from crawlkit.libs import charset, curl_command, dataurl, filenames, sitemap, url_masking
from crawlkit.libs.curl_command import CurlError
from crawlkit.libs.errors import BadMessage, FetchError
from crawlkit.libs.messages import Dispatch, Fetched, NewTasks, Outcome, ProjectInfo, decode, decode_status, encode
from crawlkit.libs.response import Response
from crawlkit.libs.robots import Rules, rules_of
from crawlkit.libs.url import Joiner, quote_non_ascii, task_url
from crawlkit.message_queue import wire
from crawlkit.processor.frames import FrameReader
from crawlkit.webui.masks import masked_body, masked_url

Errors = tuple[type[Exception], ...]


@dataclass(frozen=True)
class Target:
    run: Callable[[bytes], object]
    pieces: list[bytes]
    allowed: Errors = ()


def of_text(run: Callable[[str], object], allowed: Errors = ()) -> Callable[[bytes], object]:
    """By texts of the bytes: any byte is a character, or they are UTF-8, or UTF-16 with halves of characters."""

    def with_text(data: bytes) -> None:
        for text in (
            data.decode("latin-1"),
            data.decode("utf-8", "surrogateescape"),
            data[: len(data) // 2 * 2].decode("utf-16-le", "surrogatepass"),
        ):
            try:
                run(text)
            except allowed:
                continue

    return with_text


def messages(data: bytes) -> None:
    for kind in (Dispatch, Fetched, Outcome, NewTasks, ProjectInfo):
        try:
            again = encode(decode(b"\x01" + data, kind))
        except BadMessage:
            continue
        assert encode(decode(again, kind)) == again
    decode_status(data)


def frames(data: bytes) -> None:
    reader = FrameReader()
    for start in range(0, len(data), 7):
        reader.feed(data[start : start + 7])


def queue_frames(data: bytes) -> None:
    for read in (wire.read_to_server, wire.read_to_client):
        try:
            read(data)
        except BadMessage:
            continue


def page(data: bytes, content_type: str) -> Response:
    return Response("http://a.example/b/", content=data, headers=[("Content-Type", content_type)])


def responses(data: bytes) -> None:
    head, _, body = data.partition(b"\0")
    for content_type in ("text/html", "text/html; charset=" + head[:20].decode("latin-1")):
        response = page(body, content_type)
        assert isinstance(response.text, str)
        response.doc("a").text()
        response.css("a::attr(href)").getall()
        response.links()
        assert response.json is None or response.json is not response
        for form in response.doc("form"):
            assert form.tag == "form"
        try:
            response.form().fill(q="x")
        except ValueError:
            continue


def xml(data: bytes) -> None:
    response = page(data, "text/xml")
    assert not [text for text in response.xpath("//text()").getall() if "root:x:0:0" in text]


def charsets(data: bytes) -> None:
    label = data[:40].decode("latin-1")
    for name in (charset.detect(data), charset.detect(data, f"text/html; charset={label}"), charset.codec_name(label)):
        assert isinstance(charset.decode(data, name or "utf-8"), str)


def robots(data: bytes) -> None:
    rules = Rules.parse(data)
    for url in ("http://x/a?b=c", "http://x/%C3%BC", "http://x/" + data[:30].decode("latin-1")):
        assert rules.allows(url, "crawlkit") in (True, False)
        rules.refused_by(url, "crawlkit")
    assert rules.crawl_delay("crawlkit") is None or rules.crawl_delay("crawlkit") >= 0  # type: ignore[operator]
    assert all(isinstance(url, str) for url in rules.sitemaps)
    rules_of(200, data)


def cookies(line: str) -> None:
    cookie = cookie_jar.read(line)
    if cookie is not None:
        assert cookie_jar.read(cookie_jar.write(cookie)) == cookie
    cookie_jar.settle([line], [line], 1e9)
    cookie_jar.values([line])


def heads(data: bytes) -> None:
    with contextlib.suppress(FetchError):
        response_head.parse_head(data)
    status, _, fields = response_head.parse_head(data + b"\r\n\r\n")  # one that was not cut
    assert 0 <= status <= 999
    for name, value in fields:
        assert "\n" not in name + value
    retry_after.seconds_from(fields, 503, 1e9)
    download_rules.name_of(fields, "http://x/y")
    charset.from_content_type(next((value for name, value in fields if name.lower() == "content-type"), None))
    as_utf8(fields)
    assert "/" not in filenames.safe_name(file_name(fields, "http://x/y"))  # what is said is not safe by itself


def header_values(value: str) -> None:
    retry_after.seconds_from([("Retry-After", value)], 503, 1e9)
    for name in (download_rules.disposition_name(value), download_rules.url_name("http://x/" + value)):
        assert "/" not in filenames.safe_name(name)
    download_rules.content_range(value)
    download_rules.length_of([("Content-Length", value)])
    redirects.is_redirect(302, value)


BASE = urls.parse("http://a.example/b/c?d#e")


def fetched_urls(text: str) -> None:
    for read in (urls.parse, lambda said: urls.join(BASE, said)):
        try:
            found = read(text)
        except FetchError:
            continue
        assert found.scheme in ("http", "https")
        assert found.wire.isascii()
        assert not set("\r\n\0\t ") & set(found.wire)
        assert urls.parse(found.wire).wire == found.wire
        assert 0 <= found.port < 65536


def task_urls(text: str) -> None:
    Joiner("http://a.example/").join(text)
    quote_non_ascii(text)
    url_masking.masked(text)
    url_masking.masked_text(text)
    masked_url(text)
    task_url(text)


def opened(coding: str) -> Callable[[bytes], object]:
    def run(data: bytes) -> None:
        came: list[bytes] = []
        chain = Chain(coding.split(), came.append, 2**20)
        for start in range(0, len(data), 11):
            chain.write(data[start : start + 11])
        chain.finish()

    return run


def sitemaps(data: bytes) -> None:
    for content in (data, b"<urlset>" + data):
        for entry in sitemap.entries(content):
            assert isinstance(entry.url, str)


def socks_requests(data: bytes) -> None:
    socks.greeting_length(data)
    socks.read_request(data)


HTML = [b"<a href=", b"<p>", b"</p>", b"<table>", b"<form action=x method=post>",
        b"<input name=q value=", b"<base href=", b"<!--", b"-->", b"<script>", b"</script>",
        b"<![CDATA[", b"&amp;", b"&#x110000;", b"&#0;", b"'", b'"', b">", b"<", b"<meta charset=",
        b"utf-16", b"\xff\xfe", b"\xef\xbb\xbf", b"<?xml version='1.0' encoding='", b"<select><option>",
        b"javascript:", b"//", b"http://", b"{", b"[", b"<svg><a xlink:href=", b"<template>", b"\0"]  # fmt: skip
XML = [b"<?xml version='1.0'?>", b"<!DOCTYPE a [", b"<!ENTITY x SYSTEM 'file:///etc/passwd'>",
       b"<!ENTITY y 'yyyy'>", b"]>", b"<a>", b"</a>", b"&x;", b"&y;", b"<urlset>", b"<url><loc>",
       b"</loc></url>", b"<lastmod>2024-01-01</lastmod>", b"xmlns:x='", b"%p;", b"<![CDATA[", b"]]>",
       b"http://x/", b"Sitemap: "]  # fmt: skip
URL = [b"http:", b"https:", b"//", b"\\", b"@", b":", b"80", b"[", b"]", b"::1", b"127.0.0.1",
       b"0x7f.1", b"%2e", b"%00", b"%", b"..", b"/", b"?", b"#", b"\t", b"\n", b" ", b"xn--",
       "ü".encode(), "。".encode(), "①".encode(), b"a.example", b"data:", b"javascript:", b"user:pass",
       b"&token=", b"\xed\xa0\x80"]  # fmt: skip
HEAD = [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"Content-Type: text/html; charset=",
        b"Retry-After: ", b"\r\n", b"\r\n\r\n", b": ", b"Content-Disposition: attachment; filename=",
        b"filename*=UTF-8''", b"%2f", b"../", b"Set-Cookie: ", b"bytes 0-1/2",
        b"Wed, 21 Oct 2026 07:28:00 GMT", b"99999999999999999999", b'"', b"\\", b";", b"\xff",
        b"=?utf-8?b?"]  # fmt: skip
WORDS = [b"curl ", b"-H ", b"-d ", b"--data-binary @", b"-X ", b"$'", b"'", b'"', b"\\", b"\\x", b"\\u",
         b"-F a=@", b"-u ", b"http://x/", b"\n", b"\\\n", b"--compressed ", b"-b ", b"--unknown", b"-",
         b"--", b"@/etc/passwd"]  # fmt: skip
PACKED = [b"\x1f\x8b\x08", b"\x78\x9c", b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18", b"\0", b"\xff",
          b"\x01\x05\0\xfa\xffhello"]  # fmt: skip
MSGPACK = [b"\x01", b"\xdc\xff\xff", b"\xdd\xff\xff\xff\xff", b"\x9f", b"\xdf\xff\xff\xff\xff",
           b"\xc6\xff\xff\xff\xff", b"\xc0", b"\xcb\x7f\xf8\0\0\0\0\0\0", b"\xa7outcome",
           b"\xabfetch_ended", b"\xa9heartbeat", b"\x91" * 50, b"\xd9\x01", b"\xc7\xff\xff",
           b"\xa3\xed\xa0\x80"]  # fmt: skip
ROBOTS = [b"User-agent: *\n", b"User-agent: crawlkit\n", b"Disallow: ", b"Allow: /", b"*", b"$",
          b"Crawl-delay: ", b"1e999", b"nan", b"Sitemap: ", b"\r", b"\n", b"#", b"%", b"%zz", b"\0",
          b"\xef\xbb\xbf", "ü".encode()]  # fmt: skip
COOKIE = [b"a.example", b"\tTRUE", b"\tFALSE", b"\t/", b"\t0", b"\tname", b"\tvalue", b"#HttpOnly_",
          b".", b"ALL", b"\r\n", b"\xff", b"99999999999999999999"]  # fmt: skip
DATA = [b"data:", b"text/html", b";base64", b",", b"charset=", b"%41", b"%", b"=", b"====", b"\n",
        b"\xff", b";"]  # fmt: skip
REPLY = [b'{"status_code":', b"200", b"}", b'"url":', b'"', b"[" * 99]
PROXY = [b"socks5h://", b"http://", b"a.example", b":1080", b"user:pass@", b"[::1]", b"/", b"\0",
         b"\xff", b"%"]  # fmt: skip

TARGETS = {
    "messages": Target(messages, MSGPACK, (BadMessage,)),
    "frames of workers": Target(frames, MSGPACK, (BadMessage,)),
    "frames of queues": Target(queue_frames, MSGPACK),
    "data urls": Target(of_text(lambda text: dataurl.parse("data:" + text), (ValueError,)), DATA),
    "curl commands": Target(of_text(lambda text: curl_command.parse("curl " + text), (CurlError,)), WORDS),
    "robots.txt": Target(robots, ROBOTS),
    "cookies": Target(of_text(cookies), COOKIE),
    "charsets": Target(charsets, [*HTML, b"utf-7", b"idna", b"base64", b"../x", b"os"]),
    "responses": Target(responses, HTML),
    "xml": Target(xml, XML, (ValueError,)),
    "sitemaps": Target(sitemaps, XML, (sitemap.BadSitemap,)),
    "heads": Target(heads, HEAD, (FetchError,)),
    "header values": Target(of_text(header_values), HEAD),
    "urls that are fetched": Target(of_text(fetched_urls), URL),
    "urls of tasks": Target(of_text(task_urls, (ValueError,)), URL),
    "gzip": Target(opened("gzip"), PACKED, (FetchError,)),
    "deflate": Target(opened("deflate"), PACKED, (FetchError,)),
    "br": Target(opened("br"), PACKED, (FetchError,)),
    "zstd": Target(opened("zstd"), PACKED, (FetchError,)),
    "nested codings": Target(opened("zstd gzip br"), PACKED, (FetchError,)),
    "proxies": Target(of_text(proxies.parse, (FetchError,)), PROXY),
    "replies of browsers": Target(lambda data: read_reply(200, data), REPLY, (FetchError,)),
    "socks": Target(socks_requests, [b"\x05", b"\x01", b"\0", b"\x03", b"\x04", b"\xff"], (socks.BadSocks,)),
    "bodies that are shown": Target(masked_body, [b"password=", b"&", b"{", b'"token":', b"\xff", b"["]),
}  # fmt: skip


def attempt(target: Target, data: bytes) -> Any:
    """Runs it; what it may not raise comes out."""
    try:
        return target.run(data)
    except target.allowed:
        return None
