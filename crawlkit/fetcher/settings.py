"""The fetcher's settings: every bound of the room, with its default.

Plain data, filled in by wiring. Nothing here reads a configuration file or the environment.
"""

from __future__ import annotations

from dataclasses import dataclass

from crawlkit import __version__
from crawlkit.libs.load import NO_LIMITS, Limits

MIB = 2**20


@dataclass(frozen=True)
class FetcherSettings:
    """Durations are seconds, sizes bytes. What a task says itself wins where both may say something."""

    poolsize: int = 100  # fetches at once
    host_connections: int = 32  # to one host (or proxy) at once; small servers choke on more; 0: no limit
    user_agent: str = f"crawlkit/{__version__}"
    timeout: float = 120  # of a whole fetch, its redirects included
    max_timeout: float = 3600  # a task may not ask for more
    connect_timeout: float = 20  # name, TCP and TLS together
    proxy: str | None = None  # [scheme://][user:pass@]host:port; for tasks that do not name one
    max_redirects: int = 5
    max_body: int = 64 * MIB  # counted after decompression
    max_inflight_bytes: int = 512 * MIB  # bodies held by the whole process
    max_headers: int = 300 * 1024  # of one response
    low_speed_limit: float = 10  # bytes per second once an answer has begun; 0: no limit
    low_speed_time: float = 60  # judged over this long
    allow_private: bool = True  # False: refuse loopback, private, link-local, ... addresses
    validate_cert: bool = True
    ca_file: str | None = None  # None: the system's certificates
    splash_endpoint: str | None = None  # URL of Splash's /execute
    browser_endpoint: str | None = None  # URL that takes browser jobs [F30]
    browser_token: str = ""  # that is shown there
    browser_patience: float = 600  # that a job waits in line there, or for room in the line
    robots_ttl: float = 3600
    robots_error_ttl: float = 60  # how long an unreachable robots.txt counts as "no"
    robots_hosts: int = 10_000  # remembered at most
    heartbeat: float = 2
    limits: Limits = NO_LIMITS  # of the whole process; over one of them it takes no more work
    stop_grace: float = 5  # for running fetches at stop
    http2: bool = True  # offered over TLS
    files_path: str | None = None  # where downloads go, a folder for each project; None: there are none here
