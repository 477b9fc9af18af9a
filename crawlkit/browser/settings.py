"""The browser service's settings: every bound of the room, with its default.

Plain data, filled in by wiring. Nothing here reads a configuration file, the environment or the machine.
"""

from __future__ import annotations

from dataclasses import dataclass

MIB = 2**20
HOST = "127.0.0.1"
PORT = 22222


@dataclass(frozen=True)
class BrowserSettings:
    """Durations are seconds, sizes bytes. A job may ask for less than these, never for more."""

    poolsize: int = 4  # pages at once
    max_waiting: int = 500  # jobs in line; who comes then is sent away (503)
    max_timeout: float = 3600  # a job may not ask for more

    chromium: str | None = None  # path of the browser; None: looked for
    sandbox: bool | None = None  # None: unless the service runs as root, which Chromium's sandbox refuses
    launch_within: float = 30
    recycle_pages: int = 500  # pages after which a browser is replaced by a new one
    recycle_age: float = 3600  # likewise
    recycle_memory: int = 2048 * MIB  # of its processes together; likewise
    page_memory: int = 1536 * MIB  # of one page's process; over it the page is ended as crashed
    drain_within: float = 60  # that a replaced browser has for the pages that run in it
    idle: float = 60  # at rest, after which the browser is closed
    watch: float = 1.0  # between looks at memory
    answer_within: float = 10  # a browser that does not answer a simple question for so long is frozen, and killed
    close_within: float = 3  # for an orderly end of a browser, before it is killed
    overrun: float = 1.0  # that a page may be over its limit before it is given up without it

    allow_private: bool = True  # False: no sub-request to a loopback, private, link-local, ... address
    max_load: int = 512 * MIB  # on the wire, of a page with all that it loads
    max_job: int = 96 * MIB  # of a job as it is sent
    max_file: int = 1024 * MIB  # of a downloaded file
    keep_files: float = 600  # that a downloaded file waits to be fetched

    max_navigations: int = 10  # that a page may do by itself, by script or meta refresh, before it is shown
    calm: float = 0.15  # without a request after load, for a page that asked for nothing by itself
    quiet: float = 0.5  # likewise, for one that did (XHR, fetch, scripts put in by scripts)
    patience: float = 5  # with a request that still runs when all else has come
    stall: float = 10  # in which nothing comes and nothing ends, before a page is taken without its load event
    settle: float = 10  # after load, that a page which never comes to rest gets for all of that together
    wait_within: float = 30  # for one condition of wait_for
    action_within: float = 10  # for what an action needs to be there and to be enabled
    download_within: float = 5  # that a page has to start the download it was asked for, once it is at rest
    max_actions: int = 100
    max_scrolls: int = 1_000  # of one action
    max_steps: int = 100  # by the height of the window, in which it goes to the end; after these it jumps there
    max_dialogs: int = 50  # answered; the next one is left open, and the page hangs on it until its limit
    max_console: int = 50  # lines kept
    max_result: int = 4 * MIB  # characters of what js_script returns
    max_xhr: int = 50  # answers brought along
    max_xhr_body: int = 1 * MIB  # of one of them; the rest is cut off
    max_xhr_total: int = 4 * MIB
    max_pixels: int = 40_000_000  # of a screenshot
    max_attachment: int = 24 * MIB  # of a screenshot or PDF
    max_pdf_pages: int = 200
    max_state: int = 1 * MIB  # of a session's localStorage, with all origins
    close_page_within: float = 3  # for the context of a page, before the browser is asked whether it still lives
