r"""Reads a ``curl`` command as browsers copy it ("Copy as cURL") into the arguments of a request [H80, H81].

Pure: nothing is run and no file is read. The quoting is that of a POSIX shell with ``$'...'`` and with
backslashes at line ends; what a shell would expand (variables, globs) is taken as it stands.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import quote_plus

_ESCAPES = {
    "a": "\a", "b": "\b", "e": "\x1b", "E": "\x1b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "\\": "\\", "'": "'", '"': '"', "?": "?",
}  # fmt: skip


@dataclass
class CurlRequest:
    """What a command asks for. ``None``: not said. Times are seconds."""

    urls: list[str] = field(default_factory=list)
    method: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    cookies: dict[str, str] = field(default_factory=dict)
    data: bytes | None = None
    form: list[tuple[str, str, str | None, str | None]] = field(default_factory=list)  # name, content, filename, type
    user_agent: str | None = None
    proxy: str | None = None
    timeout: float | None = None
    connect_timeout: float | None = None
    max_redirects: int | None = None
    allow_redirects: bool | None = None
    validate_cert: bool | None = None
    use_gzip: bool | None = None


class CurlError(ValueError):
    """The command cannot be read; the message names the word that is wrong."""


def split(command: str) -> list[str]:
    """The words of a shell command; raises :class:`CurlError` for a quote that does not end."""
    return list(_Words(command).words())


class _Words:
    """A cursor over the text of a command."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def words(self) -> Iterator[str]:
        while True:
            self._skip_blanks()
            if self.at >= len(self.text):
                return
            yield self._word()

    def _skip_blanks(self) -> None:
        text = self.text
        while self.at < len(text):
            if text[self.at].isspace():
                self.at += 1
            elif text.startswith(("\\\n", "\\\r\n"), self.at):
                self.at = text.index("\n", self.at) + 1
            else:
                return

    def _word(self) -> str:
        text = self.text
        parts: list[str] = []
        while self.at < len(text) and not text[self.at].isspace():
            if text.startswith("$'", self.at):
                self.at += 2
                parts.append(self._ansi_c())
            elif text[self.at] == "'":
                parts.append(self._until("'"))
            elif text[self.at] == '"':
                parts.append(self._double())
            elif text[self.at] == "\\":
                if text.startswith(("\\\n", "\\\r\n"), self.at):
                    self.at = text.index("\n", self.at) + 1
                    continue
                parts.append(text[self.at + 1 : self.at + 2])
                self.at += 2
            else:
                parts.append(text[self.at])
                self.at += 1
        return "".join(parts)

    def _until(self, quote: str) -> str:
        end = self.text.find(quote, self.at + 1)
        if end < 0:
            raise CurlError(f"the {quote} at character {self.at + 1} is never closed")
        found = self.text[self.at + 1 : end]
        self.at = end + 1
        return found

    def _double(self) -> str:
        text, start = self.text, self.at
        parts: list[str] = []
        self.at += 1
        while self.at < len(text):
            char = text[self.at]
            if char == '"':
                self.at += 1
                return "".join(parts)
            if char == "\\" and self.at + 1 < len(text):
                following = text[self.at + 1]
                parts.append("" if following == "\n" else following if following in '$`"\\' else char + following)
                self.at += 2
                continue
            parts.append(char)
            self.at += 1
        raise CurlError(f'the " at character {start + 1} is never closed')

    def _ansi_c(self) -> str:
        text, start = self.text, self.at
        parts: list[str] = []
        raw = bytearray()  # \xHH and octal escapes are bytes of UTF-8

        def flush() -> None:
            if raw:
                parts.append(raw.decode("utf-8", "replace"))
                raw.clear()

        while self.at < len(text):
            char = text[self.at]
            self.at += 1
            if char == "'":
                flush()
                return "".join(parts)
            if char != "\\" or self.at >= len(text):
                flush()
                parts.append(char)
                continue
            following = text[self.at]
            self.at += 1
            if following == "x":
                raw.append(int(self._digits("0123456789abcdefABCDEF", 2) or "0", 16))
            elif following in "01234567":
                self.at -= 1
                raw.append(int(self._digits("01234567", 3), 8) & 0xFF)
            elif following in "uU":
                flush()
                code = int(self._digits("0123456789abcdefABCDEF", 4 if following == "u" else 8) or "0", 16)
                parts.append(_character(code))
            else:
                flush()
                parts.append(_ESCAPES.get(following, "\\" + following))
        raise CurlError(f"the $' at character {start - 1} is never closed")

    def _digits(self, allowed: str, most: int) -> str:
        start = self.at
        while self.at < len(self.text) and self.at - start < most and self.text[self.at] in allowed:
            self.at += 1
        return self.text[start : self.at]


def _character(code: int) -> str:
    return chr(code) if code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF else "\ufffd"


def parse(command: str) -> CurlRequest:
    """The request of a command that begins with ``curl``; raises :class:`CurlError`."""
    words = split(command)
    if not words or words[0] != "curl":
        raise CurlError("a curl command begins with the word curl")
    reader = _Reader()
    try:
        reader.read(words[1:])
        return reader.finish()
    except UnicodeEncodeError as error:
        raise CurlError(f"{error.object[error.start]!r} is half a character, which cannot be sent") from None


class _Reader:
    """Applies the options one by one."""

    def __init__(self) -> None:
        self.request = CurlRequest()
        self.data: list[bytes] = []
        self.in_query = False
        self.head_only = False

    def read(self, words: list[str]) -> None:
        rest = iter(words)
        for word in rest:
            if word == "--":
                self.request.urls += list(rest)
            elif word.startswith("--"):
                self._long(word, rest)
            elif word.startswith("-") and len(word) > 1:
                self._short(word, rest)
            else:
                self.request.urls.append(word)

    def _long(self, word: str, rest: Iterator[str]) -> None:
        if word in FLAGS:
            FLAGS[word](self)
        elif word in VALUES:
            VALUES[word](self, _value(word, rest))
        else:
            raise CurlError(f"unknown curl option {word!r}")

    def _short(self, word: str, rest: Iterator[str]) -> None:
        for position, letter in enumerate(word[1:], 1):
            name = SHORT.get(letter)
            if name is None:
                raise CurlError(f"unknown curl option '-{letter}'" + (f" in {word!r}" if len(word) > 2 else ""))
            if name in FLAGS:
                FLAGS[name](self)
                continue
            value = word[position + 1 :] or _value(f"-{letter}", rest)
            VALUES[name](self, value)
            return

    def finish(self) -> CurlRequest:
        request = self.request
        if not request.urls:
            raise CurlError("no URL in the curl command")
        if request.form and self.data:
            raise CurlError("-F and -d cannot be used in one curl command")
        if self.data and self.in_query:
            query = b"&".join(self.data).decode()
            request.urls = [url + ("&" if "?" in url else "?") + query for url in request.urls]
        elif self.data:
            request.data = b"&".join(self.data)
            request.method = request.method or "POST"
            if not any(name.lower() == "content-type" for name in request.headers):
                request.headers["Content-Type"] = "application/x-www-form-urlencoded"
        elif request.form:
            request.method = request.method or "POST"
        if self.head_only:
            request.method = request.method or "HEAD"
        return request

    # -- options -----------------------------------------------------------------------------------------------------

    def header(self, value: str) -> None:
        name, colon, content = value.partition(":")
        if not colon and value.endswith(";"):
            self.request.headers[value[:-1]] = ""  # curl's way to send an empty header
        elif name.strip() and content.strip():
            self.request.headers[name.strip()] = content.strip()
        elif not name.strip():
            raise CurlError(f"-H {value!r} has no name")

    def cookie(self, value: str) -> None:
        if "=" not in value:
            raise CurlError(f"-b {value!r} names a cookie file, which cannot be read here: give name=value")
        for pair in value.split(";"):
            name, equals, content = pair.strip().partition("=")
            if equals:
                self.request.cookies[name] = content

    def body(self, value: str) -> None:
        if value.startswith("@"):
            raise CurlError(f"-d {value!r} is a file, which cannot be read here: use data=")
        self.raw(value)

    def raw(self, value: str) -> None:
        self.data.append(value.encode("utf-8", "surrogateescape"))

    def urlencoded(self, value: str) -> None:
        name, equals, content = value.partition("=")
        if not equals and "@" in value:
            raise CurlError(f"--data-urlencode {value!r} is a file, which cannot be read here: use data=")
        if not equals:
            name, content = "", value
        self.raw((name + "=" if name else "") + quote_plus(content, safe="").replace("+", "%20"))

    def json(self, value: str) -> None:
        self.body(value)
        for name in ("Content-Type", "Accept"):
            self.request.headers.setdefault(name, "application/json")

    def form(self, value: str) -> None:
        name, equals, content = value.partition("=")
        if not equals:
            raise CurlError(f"-F {value!r}: give name=content")
        if content.startswith(("@", "<")):
            raise CurlError(f"-F {value!r} is a file, which cannot be read here: use files=")
        content, *extras = content.split(";")
        said = dict(extra.strip().partition("=")[::2] for extra in extras)
        self.request.form.append((name, content.strip('"'), said.get("filename"), said.get("type")))

    def user(self, value: str) -> None:
        token = base64.b64encode(value.encode("utf-8", "surrogateescape")).decode()
        self.request.headers["Authorization"] = f"Basic {token}"

    def number(self, name: str, value: str) -> float:
        try:
            return float(value)
        except ValueError:
            raise CurlError(f"{name} {value!r}: use a number") from None


def _value(name: str, rest: Iterator[str]) -> str:
    try:
        return next(rest)
    except StopIteration:
        raise CurlError(f"curl option {name!r} needs a value") from None


def _set(name: str, value: object) -> Callable[[_Reader], None]:
    return lambda reader: setattr(reader.request, name, value)


def _nothing(reader: _Reader) -> None:
    """Says nothing about the request itself."""


FLAGS: dict[str, Callable[[_Reader], None]] = {
    "--compressed": _set("use_gzip", True),
    "--insecure": _set("validate_cert", False),
    "--location": _set("allow_redirects", True),
    "--head": lambda reader: setattr(reader, "head_only", True),
    "--get": lambda reader: setattr(reader, "in_query", True),
    **dict.fromkeys(
        ("--http1.1", "--http2", "--silent", "--show-error", "--verbose", "--include", "--globoff", "--no-buffer"),
        _nothing,
    ),
}
VALUES: dict[str, Callable[[_Reader, str], None]] = {
    "--header": _Reader.header,
    "--cookie": _Reader.cookie,
    "--data": _Reader.body,
    "--data-ascii": _Reader.body,
    "--data-binary": _Reader.body,
    "--data-raw": _Reader.raw,
    "--data-urlencode": _Reader.urlencoded,
    "--json": _Reader.json,
    "--form": _Reader.form,
    "--user": _Reader.user,
    "--request": lambda reader, value: setattr(reader.request, "method", value),
    "--user-agent": lambda reader, value: setattr(reader.request, "user_agent", value),
    "--referer": lambda reader, value: reader.request.headers.__setitem__("Referer", value.removesuffix(";auto")),
    "--proxy": lambda reader, value: setattr(reader.request, "proxy", value),
    "--url": lambda reader, value: reader.request.urls.append(value),
    "--max-time": lambda reader, value: setattr(reader.request, "timeout", reader.number("--max-time", value)),
    "--connect-timeout": lambda reader, value: setattr(
        reader.request, "connect_timeout", reader.number("--connect-timeout", value)
    ),
    "--max-redirs": lambda reader, value: setattr(
        reader.request, "max_redirects", int(reader.number("--max-redirs", value))
    ),
}
SHORT = {
    "H": "--header", "b": "--cookie", "d": "--data", "F": "--form", "X": "--request", "A": "--user-agent",
    "e": "--referer", "u": "--user", "k": "--insecure", "L": "--location", "x": "--proxy", "I": "--head", "G": "--get",
    "m": "--max-time", "s": "--silent", "S": "--show-error", "v": "--verbose", "i": "--include", "g": "--globoff",
    "N": "--no-buffer",
}  # fmt: skip
