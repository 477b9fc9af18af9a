"""API tokens of servers, as a person keeps them: in a file that only they can read, or in CRAWLKIT_TOKEN."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from crawlkit.libs.errors import UsageError

VARIABLE = "CRAWLKIT_TOKEN"


def place(environment: Mapping[str, str]) -> Path:
    """The file, after the XDG Base Directory Specification."""
    home = environment.get("XDG_CONFIG_HOME") or Path(environment.get("HOME") or Path.home()) / ".config"
    return Path(home) / "crawlkit" / "tokens.json"


def token_for(url: str, environment: Mapping[str, str]) -> str | None:
    """The token for a server: that of the variable, else the kept one. Raises :class:`UsageError`."""
    return environment.get(VARIABLE) or read(place(environment)).get(url)


def read(file: Path) -> dict[str, str]:
    """URL -> token. Raises :class:`UsageError` for a file that others can read, or that is none of ours."""
    try:
        mode = file.stat().st_mode
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from None
    if mode & 0o077:
        raise UsageError(f"{file}: others can read it, and it holds tokens: chmod 600 {file}")
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(token, str) for token in found.values()):
        raise UsageError(f"{file}: is damaged; remove it and log in again")
    return found


def keep(file: Path, url: str, token: str | None) -> None:
    """Writes a token, or removes it (``None``). The file is never readable for others, not for a moment."""
    known = read(file)
    if token is None:
        known.pop(url, None)
    else:
        known[url] = token
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(dir=file.parent, prefix=".tokens")  # mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump(known, stream, indent=1)
        os.replace(draft, file)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(draft)
        raise
