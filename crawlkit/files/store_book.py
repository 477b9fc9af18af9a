"""The book of finished files of a project in a store: an object a file, and one that leads to it from its URL."""

from __future__ import annotations

import hashlib

import msgspec

from crawlkit.files.book import Entry
from crawlkit.files.store import Store

FILES = "book"
URLS = "urls"


class StoreBook:
    """The objects below ``folder``. Raises :class:`StoreUnavailable`."""

    def __init__(self, store: Store, folder: str) -> None:
        self._store = store
        self._folder = folder

    def find(self, url: str, target: str) -> Entry | None:
        """The file of this URL, under this target or taken over."""
        for each in dict.fromkeys((target, "")):
            path = self._store.get(self._url_name(url, each))
            entry = self.at(path.decode("utf-8", "surrogateescape")) if path is not None else None
            if entry is not None and (entry.url, entry.target) == (url, each):  # else the path is another's by now
                return entry
        return None

    def at(self, path: str) -> Entry | None:
        """The file at this path."""
        return _entry(self._store.get(self._name(path)))

    def put(self, *entries: Entry) -> None:
        """Writes them in. What leads to a file comes after it: it never leads to nothing."""
        for entry in entries:
            self._store.put(self._name(entry.path), msgspec.json.encode(entry))
            if entry.url:
                self._store.put(self._url_name(entry.url, entry.target), entry.path.encode("utf-8", "surrogateescape"))

    def remove(self, path: str) -> None:
        """Forgets the file at this path."""
        self._store.remove(self._name(path))

    def entries(self) -> list[Entry]:
        """All, by path. Reads an object for each."""
        folder = f"{self._folder}/{FILES}"
        found = (_entry(self._store.get(f"{folder}/{name}")) for name in self._store.names(folder))
        return sorted((entry for entry in found if entry is not None), key=lambda entry: entry.path)

    def _name(self, path: str) -> str:
        return f"{self._folder}/{FILES}/{_digest(path)}.json"

    def _url_name(self, url: str, target: str) -> str:
        return f"{self._folder}/{URLS}/{_digest(target, url)}"


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()[:40]


def _entry(data: bytes | None) -> Entry | None:
    if data is None:
        return None
    try:
        return msgspec.json.decode(data, type=Entry)
    except (msgspec.DecodeError, UnicodeDecodeError):  # not ours, or cut off: the file is as one that nobody knows
        return None
