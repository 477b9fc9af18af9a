"""Where downloads go, by what the operator said: a folder of this machine, or the URL of a store."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from crawlkit.files.area import FileArea
from crawlkit.files.base import Area
from crawlkit.files.store import is_url


class Places:
    """The areas of projects below ``root``. ``monotonic``: seconds, for locks in a store. For use in threads."""

    def __init__(self, root: str, monotonic: Callable[[], float]) -> None:
        self._root = root
        self._monotonic = monotonic
        self._making = threading.Lock()
        self._of_store: Callable[[str], Area] | None = None

    def area(self, project: str) -> Area:
        """The files of a project. The first call for a store may take a second: its library is loaded."""
        if not is_url(self._root):
            return FileArea(Path(self._root), project)
        with self._making:
            if self._of_store is None:
                self._of_store = self._open_store()
        return self._of_store(project)

    def _open_store(self) -> Callable[[str], Area]:
        from crawlkit.files.store import Store
        from crawlkit.files.store_area import StoreArea
        from crawlkit.files.store_lock import StoreLocks

        store = Store(self._root)
        locks = StoreLocks(store, self._monotonic)
        return lambda project: StoreArea(store, locks, project)
