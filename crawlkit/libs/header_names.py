"""What headers are about, by their lower-case names: who may get them when a request leaves its origin. Pure."""

from __future__ import annotations

#: The headers that may go to another origin: they say what we can read, not who we are. Whatever is not here
#: (Authorization, Cookie, X-Api-Key, Host, ...) stays with the origin that the task named.
HARMLESS = frozenset(
    {"accept", "accept-charset", "accept-encoding", "accept-language", "cache-control", "dnt", "if-modified-since",
     "if-none-match", "if-range", "pragma", "range", "referer", "sec-ch-ua", "sec-ch-ua-mobile", "sec-ch-ua-platform",
     "sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site", "sec-fetch-user", "sec-gpc", "upgrade-insecure-requests",
     "user-agent"}
)  # fmt: skip

#: Headers about a body, which go when the body goes (Fetch standard: request-body-header names).
ABOUT_BODY = frozenset(
    {"content-encoding", "content-language", "content-location", "content-type", "content-length", "content-md5"}
)
