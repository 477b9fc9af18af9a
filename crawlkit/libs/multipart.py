"""Bodies of type multipart/form-data, as the HTML standard has browsers write them (RFC 7578).

Pure, and the same input gives the same bytes on any machine: a task's identity is made of its body.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from crawlkit.libs.errors import InvalidTask

OCTETS = "application/octet-stream"


class Field(NamedTuple):
    """One part. ``filename`` makes it a file, whose type is ``kind`` or :data:`OCTETS`."""

    name: str
    content: str | bytes
    filename: str | None = None
    kind: str | None = None


def encode(fields: Iterable[Field], files: Iterable[Field], codec: str = "utf-8") -> tuple[bytes, str]:
    """The body, and the Content-Type with its boundary, which is made of the content.

    Text is written in ``codec``; what that does not have becomes ``&#n;``, as browsers do it.
    """
    parts = [(_head(field, codec), octets(field.content, codec)) for field in (*fields, *files)]
    digest = hashlib.md5(usedforsecurity=False)
    for head, content in parts:
        digest.update(b"%d:%d:%b%b" % (len(head), len(content), head, content))
    boundary = b"----crawlkit" + digest.hexdigest().encode()
    while any(boundary in content for _, content in parts):
        digest.update(boundary)
        boundary = b"----crawlkit" + digest.hexdigest().encode()
    pieces: list[bytes] = []
    for head, content in parts:
        pieces += (b"--", boundary, b"\r\n", head, b"\r\n", content, b"\r\n")
    pieces += (b"--", boundary, b"--\r\n")
    return b"".join(pieces), f"multipart/form-data; boundary={boundary.decode()}"


def fields_of(data: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> list[Field]:
    """The plain fields in ``data``; a list as value repeats its field, ``None`` leaves it out."""
    found: list[Field] = []
    for name, values in data.items() if isinstance(data, Mapping) else data:
        for value in values if isinstance(values, list | tuple) else (values,):
            if value is not None:
                content = bytes(value) if isinstance(value, bytes | bytearray | memoryview) else str(value)
                found.append(Field(str(name), content))
    return found


def files_of(files: Any) -> list[Field]:
    """The files in ``{field: content}``, ``{field: (name, content[, type])}``, ``{field: {name: content}}`` [H44].

    A list of pairs may name a field twice. Raises :class:`InvalidTask`.
    """
    if not isinstance(files, Mapping | list | tuple):
        raise InvalidTask("files", f"is a dict of fields, not {type(files).__name__}")
    found: list[Field] = []
    try:
        pairs = list(files.items()) if isinstance(files, Mapping) else [(name, file) for name, file in files]
    except (TypeError, ValueError):
        raise InvalidTask("files", "is a dict of fields or a list of (field, file)") from None
    for name, file in pairs:
        if isinstance(file, Mapping):
            found += [Field(str(name), _content(name, content), str(named)) for named, content in file.items()]
        elif isinstance(file, list | tuple):
            if not 2 <= len(file) <= 3:
                raise InvalidTask(f"files.{name}", "is content, (name, content) or (name, content, type)")
            kind = str(file[2]) if len(file) == 3 and file[2] is not None else None
            found.append(Field(str(name), _content(name, file[1]), str(file[0]), kind))
        else:
            found.append(Field(str(name), _content(name, file), str(name)))
    return found


def _content(name: Any, content: Any) -> str | bytes:
    if isinstance(content, str):
        return content
    if isinstance(content, bytes | bytearray | memoryview):
        return bytes(content)
    raise InvalidTask(f"files.{name}", f"the content is text or bytes, not {type(content).__name__}")


def _head(field: Field, codec: str) -> bytes:
    head = f'Content-Disposition: form-data; name="{_quoted(field.name)}"'
    if field.filename is not None:
        head += f'; filename="{_quoted(field.filename)}"'
    head += "\r\n"
    kind = field.kind or (OCTETS if field.filename is not None else None)
    if kind is not None:
        head += f"Content-Type: {' '.join(kind.split())}\r\n"
    return octets(head, codec)


def _quoted(text: str) -> str:
    """A name inside quotes, as the HTML standard escapes it."""
    return text.replace("\r\n", "%0D%0A").replace("\n", "%0A").replace("\r", "%0D").replace('"', "%22")


def octets(content: str | bytes, codec: str) -> bytes:
    """``content`` as bytes."""
    return content if isinstance(content, bytes) else content.encode(codec, "xmlcharrefreplace")
