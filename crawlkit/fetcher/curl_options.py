"""What libcurl is told of a request: the options of a handle. A handle is set up here and nowhere else."""

from __future__ import annotations

import contextlib
import os
import ssl
from typing import TYPE_CHECKING

import pycurl

from crawlkit.fetcher.request import Plan, cookie_line, header_lines
from crawlkit.fetcher.url import Url

if TYPE_CHECKING:
    from crawlkit.fetcher.curl import Engine

_PROTOCOLS = pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS
_SUPPRESS_CONNECT_HEADERS = 265  # CURLOPT_SUPPRESS_CONNECT_HEADERS; pycurl has no name for it
_CA_FILES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")


def configure(handle: pycurl.Curl, plan: Plan, url: Url, engine: Engine) -> None:
    """Sets a handle up for one hop; it must be new or have been reset."""
    option = handle.setopt
    option(pycurl.URL, url.wire)
    option(pycurl.HTTPHEADER, header_lines(plan))
    option(pycurl.COOKIEFILE, "")
    option(pycurl.NOSIGNAL, 1)
    option(pycurl.PATH_AS_IS, 1)
    option(pycurl.HTTP_CONTENT_DECODING, 0)
    option(pycurl.PROTOCOLS, _PROTOCOLS)
    option(pycurl.TIMEOUT_MS, max(1, int(plan.timeout * 1000)))
    option(pycurl.CONNECTTIMEOUT_MS, max(1, int(plan.connect_timeout * 1000)))
    cookies = cookie_line(plan)
    if cookies is not None:
        option(pycurl.COOKIE, cookies.encode())
    if url.scheme == "https":
        _configure_tls(handle, plan, engine)
    _configure_proxy(handle, plan, engine)
    if plan.method == "HEAD":
        option(pycurl.NOBODY, 1)
    elif plan.body is not None:
        option(pycurl.POST, 1)
        option(pycurl.POSTFIELDS, plan.body)
        if plan.method != "POST":
            option(pycurl.CUSTOMREQUEST, plan.method)
    elif plan.method != "GET":
        option(pycurl.CUSTOMREQUEST, plan.method)


def _configure_tls(handle: pycurl.Curl, plan: Plan, engine: Engine) -> None:
    version = pycurl.CURL_HTTP_VERSION_2TLS if engine.settings.http2 else pycurl.CURL_HTTP_VERSION_1_1
    handle.setopt(pycurl.HTTP_VERSION, version)
    if engine.ca_file is not None:
        handle.setopt(pycurl.CAINFO, engine.ca_file)
    if not plan.validate_cert:
        handle.setopt(pycurl.SSL_VERIFYPEER, 0)
        handle.setopt(pycurl.SSL_VERIFYHOST, 0)


def _configure_proxy(handle: pycurl.Curl, plan: Plan, engine: Engine) -> None:
    """Also without a proxy: libcurl would look for one in the environment."""
    proxy = plan.proxy
    if proxy is None:
        handle.setopt(pycurl.PROXY, "")
        return
    handle.setopt(pycurl.PROXY, proxy.address)
    handle.setopt(pycurl.NOPROXY, "")
    handle.setopt(_SUPPRESS_CONNECT_HEADERS, 1)
    if proxy.username is not None:
        handle.setopt(pycurl.PROXYUSERNAME, proxy.username.encode())
        handle.setopt(pycurl.PROXYPASSWORD, (proxy.password or "").encode())
    if proxy.scheme == "https" and engine.ca_file is not None:
        handle.setopt(pycurl.PROXY_CAINFO, engine.ca_file)
    if proxy.scheme in ("http", "https"):
        handle.setopt(pycurl.HEADEROPT, pycurl.HEADER_SEPARATE)
        if plan.proxy_authorization is not None:
            handle.setopt(pycurl.PROXYHEADER, [b"Proxy-Authorization: " + plan.proxy_authorization.encode()])


def default_ca_file() -> str | None:
    """The machine's certificates; the wheel's OpenSSL would look where its builder kept them."""
    paths = [*_CA_FILES, ssl.get_default_verify_paths().cafile or ""]
    for path in paths:
        with contextlib.suppress(OSError):
            if path and os.path.getsize(path):
                return path
    return None
