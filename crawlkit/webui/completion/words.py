"""What the completion says of names whose code has no docstring: arguments, and attributes of a response. Pure.

A test holds every argument and every attribute to having words here.
"""

from __future__ import annotations

ARGUMENTS = {
    "url": "The page: a URL (a relative one is resolved against the page at hand), several of them, a curl command as "
    "browsers copy it, or a form of the page. None is left out.",
    "callback": "The method that gets the response: self.detail_page, or its name.",
    "params": "Query, appended to the URL: a dict or pairs; a list repeats its key.",
    "method": "HTTP method. Default: GET, with a body POST.",
    "data": "Body: text, bytes, or a dict or pairs that are form-encoded.",
    "files": 'Uploads: {"field": content}, {"field": (name, content)} or {"field": (name, content, type)}; data are '
    "the fields.",
    "headers": "Request headers, a dict. Joined key by key with those of @config and crawl_config.",
    "user_agent": "The User-Agent header. Default: crawlkit's name.",
    "cookies": "Cookies to send, a dict.",
    "session": "Name of a cookie jar that is kept between tasks of the project. Default: none.",
    "timeout": "Seconds for the whole fetch. Default: 120.",
    "connect_timeout": "Seconds until the connection is there. Default: 20.",
    "use_gzip": "Whether to accept compressed bodies. Default: True.",
    "validate_cert": "Whether the server's certificate is checked. Default: True.",
    "allow_redirects": "Whether redirects are followed. Default: True.",
    "max_redirects": "Redirects that are followed. Default: 5.",
    "robots_txt": "Whether to ask robots.txt first. Default: False.",
    "proxy": "user:password@host:port, a list of them that take turns, or False: not even the fetcher's own.",
    "etag": "Validator to send: True the one remembered, a text that one, False none. Default: True.",
    "last_modified": "Validator to send: True the one remembered, a text that one, False none. Default: True.",
    "max_size": "Bytes of body, after decompression. Default: 64 MiB.",
    "fetch_type": '"browser" (or "js"): the page is loaded by a browser. Default: "http".',
    "js_script": "JavaScript function that a browser runs in the page; its value is response.js_script_result.",
    "js_run_at": '"document-start" or "document-end". Default: the end.',
    "js_viewport_width": "Width of the browser's window in pixels. Default: 1024.",
    "js_viewport_height": "Height of the browser's window in pixels. Default: 2304.",
    "load_images": "Whether a browser loads images. Default: only for a screenshot or pdf.",
    "wait_for": 'What a browser waits for: "#list" (visible), 2 (seconds), "networkidle", "load", '
    '"() => window.done", or a list of these.',
    "js_actions": 'What a browser does then: [{"click": "#more"}, {"fill": "#q", "text": "tea"}, {"press": "Enter"}, '
    '{"select": "#n", "value": "9"}, {"hover": "#m"}, {"scroll": "end"}, {"wait_for": "#list"}].',
    "block": 'What a browser does not load: "images", "fonts", "media", "styles", "trackers", or patterns of URLs '
    'with * in them ("*.ads.net/*").',
    "screenshot": 'response.screenshot: True what the window shows, "full" the whole page, "#chart" an element.',
    "pdf": 'response.pdf: True, a format ("A4"), or {"format": "A4", "landscape": True}.',
    "capture_xhr": 'response.xhr: True all that the page asks its server for, or patterns of URLs ("*/api/*").',
    "first_headers": "Headers for the page itself, and not for what it loads. Only in a browser.",
    "locale": 'The language a browser says it speaks: "de-DE".',
    "timezone": 'The time zone a browser is in: "Europe/Berlin".',
    "geolocation": "Where a browser is: (latitude, longitude), and the accuracy in metres if you like.",
    "save": "Anything that JSON has; arrives as response.save.",
    "priority": "Higher first. Default: 0.",
    "retries": "Tries after the first. Default: 3.",
    "taskid": "The identity of the task, instead of one made of the URL.",
    "process_time_limit": "Seconds for the callback. Default: 30.",
    "exetime": "Unix time before which the task does not run. Default: now.",
    "age": "Seconds that a finished page stays fresh and is not crawled again. Default -1: for ever.",
    "itag": "A mark, such as a date on the linking page: another one makes a known page run again.",
    "auto_recrawl": "Crawl it again each time age is over. Default: False.",
    "force_update": "Crawl it though it is fresh, or waits already. Default: False.",
    "cancel": "With force_update: take the task back. Default: False.",
    "to": "Path below the project's files; {name} in its last part is what the server calls the file.",
    "sha256": "64 hexadecimal digits that the file must have.",
    "size": "Bytes that the file must have.",
    "follow": "Regular expression that the pages' URLs are searched for.",
    "since": "A date, a time or ISO text (UTC): what has not changed since is left out.",
    "project": "Name of the project that receives the message.",
    "msg": "Anything that JSON has; arrives in on_message(project, msg).",
    "minutes": "Minutes from one run to the next; the times given are added up.",
    "seconds": "Seconds from one run to the next; the times given are added up.",
    "hours": "Hours from one run to the next; the times given are added up.",
    "days": "Days from one run to the next; the times given are added up.",
    "cron": 'Five fields, minute hour day month weekday: "0 8 * * 1-5".',
    "tz": 'Time zone of cron, such as "Europe/Paris". Default: UTC.',
    "catch_up": 'After an outage: "once" runs the last instant missed, "all" each of them, "none" none.',
    "overlap": 'While the run before is not done: "skip" leaves the instant out, "queue" runs it afterwards, '
    '"allow" at once.',
}

RESPONSE = {
    "status_code": "HTTP status; 599 when there was no answer.",
    "url": "Where it came from in the end, after redirects.",
    "orig_url": "Where it was asked for.",
    "time": "Seconds that the fetch took.",
    "error": "What went wrong, in words, or None.",
    "error_kind": "What went wrong, as one word such as dns, timeout or too_large; None when nothing did.",
    "content": "The body, as bytes.",
    "cookies": "Cookies that the answer set, a dict.",
    "save": "What self.crawl(..., save=...) gave.",
    "history": "(status, URL) of each redirect followed.",
    "traceback": "Always None; pyspider scripts ask for it.",
    "js_script_result": "What js_script returned.",
    "file": "Of a download: path, bytes and sha256 of the whole file.",
    "isok": "Whether raise_for_status has nothing to say.",
}

HANDLER = {
    "project_name": "The project's name.",
    "project": "What the project is: name, group, status, rate, burst, script.",
    "settings": 'What `crawlkit project set` gave the project: self.settings["api_key"].',
    "task": "The task that runs: url, taskid, schedule, fetch, process, track.",
    "response": "The response of the callback that runs.",
    "save": "A dict that is kept between the runs of this task.",
    "logger": 'Logs to the task\'s log: self.logger.info("%s items", n).',
}

TASK = (
    ("url", "text", "The page; the only part that must be there. data:,on_start fetches nothing."),
    ("process", "object", "Which callback gets the response."),
    ("fetch", "object", "How the page is fetched: method, headers, data, ..."),
    ("schedule", "object", "When the task runs, and how often it is tried. A step in the debugger runs at once."),
    ("track", "object", 'What is known of the task; {"save": {...}} becomes self.save.'),
)

FIELDS = {
    "retried": "Tries used up in this run.",
    "counted": "The host under which it was counted for max_tasks; null when it was not.",
    "depth": "Links from where the crawl began; counted while the project bounds it.",
    "browser": "What only a browser does, checked: wait_for, actions, block, screenshot, pdf, xhr and so on.",
    "download": 'The body becomes a file: {"to": "pdf/{name}", "sha256": ..., "size": ...}.',
}
