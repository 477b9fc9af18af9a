"""Writes api.md: every operation of the JSON API, from the same declarations that serve it.

python docs/api.py
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "api.md"
sys.path.insert(0, str(ROOT))
HEAD = """# JSON API

Everything the web UI does can be done by programs, under `/api/v1`. The whole description, for generators and tools,
is served at `/api/v1/openapi.json`; this page is its overview, written by `docs/api.py`.

Ask with an API token (`crawlkit user token`, or the page "My account"):

```sh
curl -H "Authorization: Bearer $CRAWLKIT_TOKEN" http://127.0.0.1:5000/api/v1/me
```

Lists answer `{"items": [...], "total": ..., "next": ...}`; give `next` back as `cursor` for the next page, until it is
null. A refusal is `application/problem+json` with `status`, `title` and `detail`: what was wrong and how to mend it.
What is pushed (`live`) is `text/event-stream`: events `change` with `{"set": {...}, "remove": [...]}`, the first of
which brings everything; `problem`, while it cannot be told; `leave`, when the session has ended.
"""


def page() -> str:
    """The whole page."""
    from crawlkit.webui.api import rooms
    from crawlkit.webui.api.registry import PREFIX

    parts = [HEAD]
    for room in rooms():
        rows = [
            f"| `{one.method} {PREFIX}{one.path}` | {one.role} | {first(one.words)} |"
            for one in (*room.endpoints, *room.streams)
        ]
        rows += [
            f"| live: `GET {PREFIX}/live/{live.topic}` | {live.role} | {first(live.function.__doc__ or '')} |"
            for live in room.lives
        ]
        if rows:
            parts.append(
                f"## {room.tag}\n\n| operation | role | what it does |\n|---|---|---|\n" + "\n".join(rows) + "\n"
            )
    return "\n".join(parts)


def first(words: str) -> str:
    """The first sentence, on one line, safe in a table."""
    text = " ".join(words.partition("\n\n")[0].split()).replace("``", "`").replace("|", "\\|")
    return re.split(r"(?<=[.!?]) (?=[A-Z])", text)[0]


if __name__ == "__main__":
    PAGE.write_text(page())
