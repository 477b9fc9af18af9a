"""The one table from libcurl's error codes to our kinds of error.

Pure. An error code that is not in the table is ``internal``: it says that we asked libcurl for something odd.
"""

from __future__ import annotations

import pycurl

from crawlkit.libs.errors import FetchError

KINDS: dict[int, str] = {
    pycurl.E_UNSUPPORTED_PROTOCOL: "protocol",  # of the answer: our URLs are http(s) by then
    pycurl.E_URL_MALFORMAT: "bad_url",
    pycurl.E_COULDNT_RESOLVE_PROXY: "proxy",
    pycurl.E_COULDNT_RESOLVE_HOST: "dns",
    pycurl.E_COULDNT_CONNECT: "connect",
    pycurl.E_FTP_WEIRD_SERVER_REPLY: "protocol",  # also CURLE_WEIRD_SERVER_REPLY: not HTTP at all
    pycurl.E_HTTP2: "protocol",
    pycurl.E_PARTIAL_FILE: "reset",
    pycurl.E_WRITE_ERROR: "protocol",
    pycurl.E_OUT_OF_MEMORY: "overload",
    pycurl.E_OPERATION_TIMEDOUT: "timeout",
    pycurl.E_SSL_CONNECT_ERROR: "tls",
    pycurl.E_ABORTED_BY_CALLBACK: "internal",
    pycurl.E_TOO_MANY_REDIRECTS: "redirects",
    pycurl.E_GOT_NOTHING: "reset",
    pycurl.E_SEND_ERROR: "reset",
    pycurl.E_RECV_ERROR: "reset",
    pycurl.E_SSL_CERTPROBLEM: "tls",
    pycurl.E_SSL_CIPHER: "tls",
    pycurl.E_PEER_FAILED_VERIFICATION: "tls",
    pycurl.E_SSL_CACERT_BADFILE: "tls",
    pycurl.E_SSL_ISSUER_ERROR: "tls",
    pycurl.E_SSL_CRL_BADFILE: "tls",
    pycurl.E_SSL_INVALIDCERTSTATUS: "tls",
    pycurl.E_BAD_CONTENT_ENCODING: "decode",
    pycurl.E_FILESIZE_EXCEEDED: "too_large",
    pycurl.E_CHUNK_FAILED: "protocol",
    pycurl.E_SEND_FAIL_REWIND: "reset",
    97: "proxy",  # CURLE_PROXY: a SOCKS handshake that failed
    92: "protocol",  # CURLE_HTTP2_STREAM
    100: "headers_too_big",  # CURLE_TOO_LARGE
}

_OF_HEADERS = ("Too large response headers", "Too many response headers", "header too large", "Header too large")

WORDS: dict[int, str] = {  # where libcurl says nothing but its number
    pycurl.E_PARTIAL_FILE: "the connection ended in the middle of the answer",
    pycurl.E_HTTP2: "the connection ended, or broke the rules of HTTP/2",
    pycurl.E_OUT_OF_MEMORY: "libcurl has no memory left",
    100: "a header line over 100 KB",
}


def fetch_error(
    code: int, text: str, *, elapsed: float, timeout: float, connect_code: int, answered: bool
) -> FetchError:
    """The :class:`FetchError` for what libcurl said.

    ``elapsed``, ``timeout``: seconds; a time-out that comes before the total one is that of the connection, for curl
    knows no other (the drip is watched elsewhere). ``connect_code``: a proxy's status for CONNECT, 0 without;
    ``answered``: a header line had arrived.
    """
    kind = KINDS.get(code, "internal")
    if code == pycurl.E_OPERATION_TIMEDOUT and elapsed < timeout - 0.05:
        kind = "connect_timeout"
    elif (connect_code >= 300 or "CONNECT aborted" in text) and not answered:
        kind = "proxy"
        text = text or f"the proxy answered {connect_code} to CONNECT"
    elif any(words in text for words in _OF_HEADERS):
        kind = "headers_too_big"
    elif code == pycurl.E_RECV_ERROR and ("chunk" in text or "nghttp2" in text):
        kind = "protocol"
    return FetchError(kind, text or WORDS.get(code) or f"libcurl error {code}")
