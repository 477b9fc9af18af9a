"""Redirects that lead nowhere or elsewhere, robots.txt that is none, and proxies that lie."""

from __future__ import annotations

import asyncio

from tests.fetcher.helpers import answer, read_request
from tests.fetcher.hostile import OK, Script, Serve, moved, repeats, says

TARGETS = {  # that no redirect may lead to
    "file": "file:///etc/passwd",
    "file of a host": "file://server/share",
    "ftp": "ftp://127.0.0.1/x",
    "gopher": "gopher://127.0.0.1:70/1",
    "dict": "dict://127.0.0.1:2628/d:x",
    "ldap": "ldap://127.0.0.1/",
    "tftp": "tftp://127.0.0.1/x",
    "smb": "smb://127.0.0.1/x",
    "telnet": "telnet://127.0.0.1",
    "imap": "imap://127.0.0.1/",
    "rtsp": "rtsp://127.0.0.1/",
    "s3": "s3://bucket/key",
    "jar": "jar:http://x/y!/z",
    "data": "data:text/html,<script>alert(1)</script>",
    "javascript": "javascript:alert(1)",
    "about": "about:blank",
    "blob": "blob:http://x/1",
    "mailto": "mailto:a@example.com",
    "websocket": "ws://127.0.0.1/",
    "view-source": "view-source:http://x/",
    "chrome": "chrome://settings",
    "unix": "unix:///run/docker.sock",
    "a scheme nobody knows": "x-nonsense:y",
    "no host": "http://",
    "no host but a port": "http://:80/",
    "a port that is none": "http://127.0.0.1:port/",
    "a port too high": "http://127.0.0.1:65536/",
    "half an IPv6 address": "http://[::1/",
    "a number too large for an address": "http://4294967296/",
    "an address of five parts": "http://1.2.3.4.5/",
    "a host with a blank": "http://a b/",
    "a host with an angle": "http://a<b/",
    "a host that decodes to a slash": "http://a%2fb/",
    "a soft hyphen as host": "http://%C2%AD/",
    "64 KiB of path": "/" + "x" * 70_000,
    "two lines": "http://x\x0b/",
}

CHAINS = {
    "to itself": (lambda path: path, {}),
    "to and fro": (lambda path: "/b" if path == "/a" else "/a", {}),
    "ever longer": (lambda path: path + "x", {}),
    "ever deeper": (lambda path: path.rstrip("/") + "/x/", {}),
    "a thousand": (lambda path: f"/{int(path[1:] or 0) + 1}", {}),
    "a hundred of which all are wished for": (lambda path: f"/{int(path[1:] or 0) + 1}", {"max_redirects": 10_000}),
    "a query that grows": (lambda path: path + ("&" if "?" in path else "?") + "y" * 50, {}),
    "none is wished for": (lambda path: "/x", {"max_redirects": 0}),
    "doubles itself": (lambda path: path + "x" + path[1:], {}),
}


def chain(step: object, status: int = 302) -> Serve:
    """Redirects from path to path, with a cookie each."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            line, _, _ = await read_request(reader)
            target = step(line.split(" ")[1])  # type: ignore[operator]
            writer.write(moved(target, status, f"Set-Cookie: c{len(target)}=1; Path=/\r\n"))
            await writer.drain()

    return serve


def rules(*replies: bytes, hold: bool = False) -> Serve:
    """A server whose robots.txt this is; its pages are fine."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            line, _, _ = await read_request(reader)
            if "robots" not in line:
                writer.write(answer(b"page"))
            else:
                for reply in replies:
                    writer.write(reply)
                if hold:
                    await reader.read()
                elif not replies or not replies[-1].startswith(b"HTTP/1.1 200"):
                    return
            await writer.drain()

    return serve


async def to_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Leads to its own port by another scheme, which it does not speak."""
    if (await reader.read(1)) == b"G":
        _, headers, _ = await read_request(reader)
        writer.write(moved(f"https://{dict(headers)['Host']}/"))
    else:
        writer.write(answer(b"speak plainly", "400 Bad Request"))
    await writer.drain()


OBEY = {"robots_txt": True}
ROBOTS = {
    "closes": (rules(b""), "robots"),
    "no http": (rules(b"SSH-2.0-OpenSSH\r\n"), "robots"),
    "500": (rules(answer(b"", "500 Oops")), "robots"),
    "503": (rules(answer(b"User-agent: *\nAllow: /\n", "503 Busy")), "robots"),
    "599": (rules(answer(b"", "599 What")), "robots"),
    "too short": (rules(OK + b"Content-Length: 99\r\n\r\nUser-agent: *\n"), "robots"),
    "600 KB of headers": (rules(OK + b"X: y\r\n" * 100_000), "robots"),
    "broken gzip": (rules(answer(b"\x1f\x8bno", headers="Content-Encoding: gzip\r\n")), "robots"),
    "forbids all": (rules(answer(b"User-agent: *\nDisallow: /\n")), "robots"),
    "forbids all in utf-8 with a mark": (rules(answer(b"\xef\xbb\xbfUser-agent: *\nDisallow: /\n")), "robots"),
    "forbids all among zeroes": (rules(answer(b"\0\0\0\nUser-agent: *\nDisallow: /\n\0")), "robots"),
    "forbids all after a page": (rules(answer(b"<html>hello\nUser-agent: *\nDisallow: /\n")), "robots"),
    "forbids all with CR": (rules(answer(b"User-agent: *\rDisallow: /\r")), "robots"),
    "leads to a file": (rules(moved("file:///etc/passwd")), ""),
    "loops": (rules(moved("/robots.txt")), ""),
    "is a page": (rules(answer(b"<html><p>Disallow: /</html>")), ""),
    "noise": (rules(answer(bytes(range(256)) * 100)), ""),
    "404 without end": (repeats(b"HTTP/1.1 404 No\r\n\r\n", b"x" * 65_536), "too_large"),
}

BY_PROXY = {"proxy": "127.0.0.1:{port}"}
BY_SOCKS = {"proxy": "socks5h://127.0.0.1:{port}"}
PAGE, SECURE = "http://a.example/", "https://a.example/"
PROXIES = [
    Script("proxy: closes", says(b""), "reset", BY_PROXY, PAGE),
    Script("proxy: no http", says(b"SSH-2.0-OpenSSH\r\n"), "protocol", BY_PROXY, PAGE),
    Script("proxy: loops", says(*[moved(PAGE)] * 9), "redirects", BY_PROXY, PAGE),
    Script("proxy: endless", repeats(OK + b"\r\n", b"x" * 65_536), "too_large", BY_PROXY, PAGE),
    Script("tunnel: refused", says(answer(b"no", "403 Forbidden")), "proxy", BY_PROXY, SECURE),
    Script(
        "tunnel: asks who it is",
        says(answer(b"", "407 Who", "Proxy-Authenticate: Basic\r\n")),
        "proxy",
        BY_PROXY,
        SECURE,
    ),
    Script("tunnel: bad gateway", says(answer(b"no", "502 Bad Gateway")), "proxy", BY_PROXY, SECURE),
    Script("tunnel: a redirect", says(moved("http://evil.example/")), "proxy", BY_PROXY, SECURE),
    Script("tunnel: closes", says(b""), "proxy", BY_PROXY, SECURE),
    Script("tunnel: no http", says(b"SSH-2.0-OpenSSH\r\n"), "protocol", BY_PROXY, SECURE),
    Script("tunnel: endless headers", repeats(OK, b"X: " + b"y" * 1000 + b"\r\n"), "headers_too_big", BY_PROXY, SECURE),
    Script("tunnel: speaks no TLS", says(OK + b"\r\n" + answer(b"hello")), "tls", BY_PROXY, SECURE),
    Script("tunnel: speaks before TLS", says(OK + b"Content-Length: 5\r\n\r\nhello"), "tls", BY_PROXY, SECURE),
]


def first(data: bytes) -> Serve:
    """A SOCKS proxy that says this to a greeting."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(3)
        writer.write(data)
        await writer.drain()
        await asyncio.sleep(0.1)

    return serve


SOCKS = {
    "closes": b"",
    "speaks http": answer(b"hello"),
    "knows no way to greet": b"\x05\xff",
    "another version": b"\x04\x00",
    "refuses": b"\x05\x00\x05\x05\x00\x01\0\0\0\0\0\0",
    "cannot get there": b"\x05\x00\x05\x04\x00\x01\0\0\0\0\0\0",
    "a kind of address there is not": b"\x05\x00\x05\x00\x00\x77\0\0\0\0\0\0",
}

SCRIPTS = [
    *[Script("redirect to " + name, says(moved(target)), "bad_redirect") for name, target in TARGETS.items()],
    *[Script("redirects: " + name, chain(step), "redirects", options, "http://127.0.0.1:{port}/a" if "fro" in name else
             "http://127.0.0.1:{port}/") for name, (step, options) in CHAINS.items()],
    Script("redirects: 301 for ever", chain(lambda path: path, 301), "redirects"),
    Script("redirects: 303 for ever", chain(lambda path: path, 303), "redirects", {"method": "POST", "data": b"x"}),
    Script("redirects: 307 for ever", chain(lambda path: path, 307), "redirects", {"method": "POST", "data": b"x"}),
    Script("redirects: 308 for ever", chain(lambda path: path, 308), "redirects", {"method": "PUT", "data": b"x"}),
    Script("redirects: a body elsewhere", says(moved("http://b.example/", 307)), "bad_redirect", {"data": b"x"}),
    Script("redirects: a body to a port", says(moved("http://127.0.0.1:1/", 308)), "bad_redirect", {"data": b"x"}),
    Script("redirects: to nobody", says(moved("http://127.0.0.1:1/")), "connect"),
    Script("redirects: to a name there is not", says(moved("http://no-such-host.invalid/")), "dns"),
    Script("redirects: to TLS that is none", to_tls, "tls"),
    Script("redirects: without a Location", says(answer(b"x", "302 Found")), ""),
    Script("redirects: to nothing", says(moved("")), "redirects"),
    Script("redirects: a Location that is no text", says(
        b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: http://a\x80\xffb/\r\n\r\n"), "bad_redirect"),
    *[Script("robots: " + name, serve, kind, OBEY) for name, (serve, kind) in ROBOTS.items()],
    *PROXIES,
    *[Script("socks: " + name, first(data), "proxy", BY_SOCKS, PAGE) for name, data in SOCKS.items()],
]  # fmt: skip

SLOW = [
    Script("robots: silent", rules(hold=True), "timeout", {"robots_txt": True, "timeout": 0.7}),
    Script("robots: never ends its headers", rules(OK + b"X: y\r\n", hold=True), "robots", OBEY),
    Script("proxy: silent", says(b"", hold=True), "timeout", {**BY_PROXY, "timeout": 0.7}, PAGE),
    Script("tunnel: silent", says(b"", hold=True), "connect_timeout", {**BY_PROXY, "connect_timeout": 0.7}, SECURE),
    Script("socks: silent", says(b"", hold=True), "connect_timeout", {**BY_SOCKS, "connect_timeout": 0.7}, PAGE),
]
