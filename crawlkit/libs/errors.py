"""Every error crawlkit raises, named for what the catcher does next.

Nothing here performs I/O, and no other module defines an exception class that crosses a room.
"""

from __future__ import annotations


class CrawlkitError(Exception):
    """The root: whoever catches this has nothing better to do than to report it."""


class UsageError(CrawlkitError):
    """An option, a setting or an argument is wrong. Say it in one line and exit with code 2."""


class ServiceUnreachable(UsageError):
    """A service the command needs does not answer. Say which and how to start it; exit code 2."""


class WrongKey(UsageError):
    """A setting of a project does not open with the secret key at hand. Say which key is meant; exit code 2."""


class InvalidTask(CrawlkitError, ValueError):
    """A task breaks the rules: refuse it and tell the sender.

    ``path`` names the field in dotted form (``fetch.timeout``); ``problem`` says what is wrong and how to mend it.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


class InvalidProject(CrawlkitError, ValueError):
    """A project's name, status, group, rate or burst breaks the rules: refuse it in words."""


class InvalidAccount(CrawlkitError, ValueError):
    """A user, a password or a token breaks the rules, or is not there: refuse it in words."""


class BadMessage(CrawlkitError):
    """A queue message that nobody can read: put it aside with its reason and go on."""


class OtherVersion(BadMessage):
    """A queue message of a crawlkit that speaks otherwise: put it aside, and end, for the next will be the same."""


class StoreError(CrawlkitError):
    """Something about a database."""


class StoreUnavailable(StoreError):
    """The store does not answer now (disk full, read-only, locked, server gone).

    Nothing of the call was kept, or that is unknown: say it once, wait, and do the work again.
    """


class StoreMismatch(StoreError, UsageError):
    """The store was written by another version or is not a crawlkit store: refuse to start, exit code 2."""


class Overspent(StoreUnavailable):
    """A counter would pass its limit, for others counted too: nothing was kept; read it again, and do less."""


class NotOwner(StoreError, UsageError):
    """Another scheduler has this taskdb: stop, and leave everything to it; exit code 2."""


class QueueError(CrawlkitError):
    """Something about a message queue."""


class QueueUnavailable(QueueError):
    """The broker does not answer now: say it once, reconnect with back-off, and do the work again."""


class QueueFull(QueueError):
    """No room before the time-out: the messages were not put."""


class FetchError(CrawlkitError):
    """A fetch ended without a usable response.

    ``kind`` is one of :data:`FETCH_ERROR_KINDS`; ``status_code`` is what pyspider showed (599 unless said).
    """

    def __init__(self, kind: str, message: str, status_code: int = 599) -> None:
        super().__init__(message)
        if kind not in FETCH_ERROR_KINDS:
            raise ValueError(f"unknown fetch error kind {kind!r}")
        self.kind = kind
        self.status_code = status_code


class BrowserGone(CrawlkitError):
    """A browser does not answer any more: it died, or it is frozen. Take another one; its pages have crashed."""


#: Why a fetch failed, for counters, tracks and the UI. A new kind is added here and in docs/errors.md.
FETCH_ERROR_KINDS = frozenset(
    {
        "dns",  # the name does not resolve
        "connect",  # refused, unreachable, or reset before the first byte
        "reset",  # the connection broke in the middle of a response
        "tls",  # certificate or handshake
        "timeout",  # the total time is over
        "connect_timeout",
        "too_slow",  # under the low-speed limit
        "too_large",  # body over its cap, counted after decompression
        "headers_too_big",
        "decode",  # a Content-Encoding that cannot be undone
        "redirects",  # too many of them
        "bad_redirect",  # a Location that may not be followed
        "protocol",  # not HTTP, or HTTP broken
        "proxy",
        "robots",  # disallowed by robots.txt (status 403)
        "address",  # refused by the address guard
        "bad_url",
        "bad_request",  # the task asks for something that cannot be sent
        "no_browser",  # a browser fetch type and no browser service (status 501)
        "crashed",  # the browser, or its process for this page, died
        "overload",  # no memory left for bodies in flight
        "file",  # a download's place on the disk: full, not allowed, or another's
        "file_broken",  # a download's length or hash is wrong
        "internal",
    }
)


class EndOfCallback(BaseException):
    """A callback ended itself. No ``Exception``, so that ``except Exception`` in a script lets it pass."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class RetryTask(EndOfCallback):
    """``response.retry(reason)``: try the task again by the rules for retries."""


class DropTask(EndOfCallback):
    """``self.drop(reason)``: the task is over, neither done nor failed."""


class ScriptError(CrawlkitError):
    """A handler script does not load: show ``message`` at ``lineno`` of the script."""

    def __init__(self, message: str, lineno: int | None = None, traceback: str = "") -> None:
        super().__init__(message)
        self.lineno = lineno
        self.traceback = traceback
