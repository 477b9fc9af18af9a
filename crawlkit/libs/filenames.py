"""Names that are safe for files: what a page or a server calls something, made into a name any file system takes.

Pure. A script's own target is checked and refused when it is unsafe; a name that comes from outside is made safe.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from crawlkit.libs.errors import InvalidTask

MAX_NAME = 240  # bytes of one name in UTF-8; file systems take 255, and ours may get an ending
MAX_TARGET = 1_000  # bytes of a whole target
MAX_EXTENSION = 20  # characters of what is kept at the end of a name that is shortened
PLACE = "{name}"
NO_NAME = "download"
OURS = ".crawlkit"  # names that begin so are crawlkit's own

#: What cannot stand in a name everywhere, and what stands for it. Titles stay readable.
REPLACED = {"/": "-", "\\": "-", ":": "：", "?": "？", "*": "＊", '"': "＂", "<": "＜", ">": "＞", "|": "｜"}
_TABLE = str.maketrans(REPLACED)

#: Names that are devices on Windows, with any extension.
DEVICES = frozenset(
    {"con", "prn", "aux", "nul", "conin$", "conout$"}
    | {f"{name}{number}" for name in ("com", "lpt") for number in "0123456789¹²³"}
)
_HEX = re.compile(r"[0-9a-f]{64}\Z")


def is_device(name: str) -> bool:
    """Whether Windows takes this for a device: ``nul``, ``COM1.txt``."""
    return name.partition(".")[0].strip().lower() in DEVICES


def safe_name(text: str, room: int = MAX_NAME) -> str:
    """``text`` as the name of one file of at most ``room`` bytes; never empty, never a path.

    ``/`` becomes ``-``, what Windows does not take becomes its full-width likeness, control and direction characters
    go, and so do dots and blanks at both ends. What is too long is shortened before its extension.
    """
    text = unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode())
    text = "".join(" " if char in "\t\n\r" else char for char in text)
    text = "".join(char for char in text if unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Cn"))
    text = text.translate(_TABLE).strip(" .")
    if not text:
        text = NO_NAME
    if is_device(text):
        text = f"_{text}"
    return shortened(text, room)


def shortened(name: str, room: int) -> str:
    """``name`` in at most ``room`` bytes; a short extension stays."""
    if len(name.encode()) <= room:
        return name
    stem, dot, extension = name.rpartition(".")
    ending = dot + extension
    if not stem or not dot or len(extension) > MAX_EXTENSION or len(ending.encode()) > room // 2:
        stem, ending = name, ""
    cut = stem.encode()[: max(room - len(ending.encode()), 1)].decode("utf-8", "ignore").rstrip(" .")
    return (cut or "_") + ending


def check_target(to: str) -> str:
    """``to`` as the relative path below a project's files, ``{name}`` still in it; raises :class:`InvalidTask`.

    A ``to`` that ends with ``/`` means a folder, and so the server's name in it.
    """
    if not isinstance(to, str) or not to:
        raise _wrong(to, "is the text of a path such as 'pdf/{name}'")
    if "://" in to:
        raise _wrong(to, "is a path below the files of the project; a store's URL goes to --files-path")
    if to.endswith("/"):
        to += PLACE
    if to.startswith(("/", "~/")) or re.match(r"[A-Za-z]:[/\\]", to):
        raise _wrong(to, "is relative: it begins with the name of a folder or a file")
    if to.count(PLACE) > 1 or PLACE in to.rpartition("/")[0]:
        raise _wrong(to, "has {name} once, in its last part")
    if len(to.encode("utf-8", "replace")) > MAX_TARGET:
        raise _wrong(to, f"has at most {MAX_TARGET:,} bytes")
    for part in to.split("/"):
        _check_part(to, part)
    return unicodedata.normalize("NFC", to)


def _check_part(to: str, part: str) -> None:
    if part in ("", ".", ".."):
        raise _wrong(to, f"must not have {part!r} as a part")
    if any(unicodedata.category(char) in ("Cc", "Cf", "Cs") for char in part):
        raise _wrong(to, "must hold no NUL, control or direction characters; safe_name() makes a name safe")
    if "\\" in part:
        raise _wrong(to, "has / between its parts and no \\")
    if is_device(part):
        raise _wrong(to, f"{part} is the name of a device")
    if part.lower().startswith(OURS):
        raise _wrong(to, f"names that begin with {OURS} are crawlkit's own")
    room = MAX_NAME - (40 if PLACE in part else 0)
    if len(part.encode()) > room:
        raise _wrong(to, f"has parts of at most {room} bytes; safe_name() shortens a name")


def _wrong(to: object, problem: str) -> InvalidTask:
    return InvalidTask("fetch.download.to", f"{to!r:.80}: {problem}")


def path_of(target: str, name: str) -> str:
    """The relative path for a checked target and what the server or the URL calls the file."""
    if PLACE not in target:
        return target
    folder, slash, last = target.rpartition("/")
    before, _, behind = last.partition(PLACE)
    room = MAX_NAME - len((before + behind).encode())
    made = before + safe_name(name, room) + behind
    if is_device(made) or made.lower().startswith(OURS):
        made = f"_{made}"
    return folder + slash + made


def marked(path: str, mark: str) -> str:
    """The path with a mark before its extension: ``a/b.pdf`` and ``1f`` give ``a/b-1f.pdf``."""
    folder, slash, name = path.rpartition("/")
    stem, dot, extension = name.rpartition(".")
    if not stem:
        stem, dot, extension = name, "", ""
    ending = f"-{mark}{dot}{extension}"
    return folder + slash + shortened(stem, MAX_NAME - len(ending.encode())) + ending


def download_args(value: Any) -> dict[str, Any]:
    """What a task says of a download, checked: ``to``, and ``sha256`` and ``size`` when they are known.

    Raises :class:`InvalidTask`.
    """
    if not isinstance(value, Mapping):
        raise InvalidTask("fetch.download", f"is a dict with to, sha256 and size, not {type(value).__name__}")
    unknown = sorted(set(map(str, value)) - {"to", "sha256", "size"})
    if unknown:
        raise InvalidTask("fetch.download", f"has no {', '.join(unknown)}")
    found: dict[str, Any] = {"to": check_target(value.get("to", PLACE))}
    sha256, size = value.get("sha256"), value.get("size")
    if sha256 is not None:
        if not isinstance(sha256, str) or not _HEX.match(sha256.strip().lower()):
            raise InvalidTask("fetch.download.sha256", f"{sha256!r:.80}: is 64 hexadecimal digits")
        found["sha256"] = sha256.strip().lower()
    if size is not None:
        if isinstance(size, bool) or not isinstance(size, int) or size < 0:
            raise InvalidTask("fetch.download.size", f"{size!r:.80}: is a whole number of bytes")
        found["size"] = size
    return found
