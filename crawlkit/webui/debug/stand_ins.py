"""Stand-ins for texts of a task that nobody shall read over a shoulder: what the editor shows, and what is run instead.

A task goes to the browser with ``***3f9a2c1d8b7e***`` where a secret was, and comes back with it to be run. What it
stands for stays here: in memory, by user, bounded; the oldest go first. Safe for several threads.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections import OrderedDict
from typing import Any

from crawlkit.libs.task import JSONDict
from crawlkit.processor.masking import Mask
from crawlkit.webui.debug.tasks import Mistake

MOST = 20_000
MOST_CHARACTERS = 16 * 2**20
_STAND_IN = re.compile(r"\*\*\*[0-9a-f]{12}\*\*\*")


class StandIns:
    """Texts by their stand-ins. No page can write a stand-in that means something: they are random."""

    def __init__(self, most: int = MOST, most_characters: int = MOST_CHARACTERS) -> None:
        self._most, self._most_characters = most, most_characters
        self._lock = threading.Lock()
        self._texts: OrderedDict[tuple[str, str], str] = OrderedDict()  # (owner, stand-in) -> text
        self._known: dict[tuple[str, str], str] = {}  # (owner, text) -> stand-in
        self._characters = 0

    def for_text(self, owner: str, text: str) -> str:
        """The stand-in of ``text``; the same again for the same text, and itself of one."""
        if not text or _STAND_IN.fullmatch(text):
            return text
        with self._lock:
            stand_in = self._known.get((owner, text))
            if stand_in is None:
                stand_in = self._known[owner, text] = f"***{secrets.token_hex(6)}***"
                self._texts[owner, stand_in] = text
                self._characters += len(text)
                while len(self._texts) > 1 and (
                    len(self._texts) > self._most or self._characters > self._most_characters
                ):
                    (whose, _), gone = self._texts.popitem(last=False)
                    del self._known[whose, gone]
                    self._characters -= len(gone)
            else:
                self._texts.move_to_end((owner, stand_in))
        return stand_in

    def hide(self, owner: str, value: Any, mask: Mask) -> Any:
        """``value`` with stand-ins for the values of secrets, wherever they are, and for what actions fill in."""
        if isinstance(value, str):
            return mask.replaced(value, lambda text: self.for_text(owner, text))
        if isinstance(value, list | tuple):
            return [self.hide(owner, one, mask) for one in value]
        return {name: self.hide(owner, one, mask) for name, one in value.items()} if isinstance(value, dict) else value

    def hide_task(self, owner: str, task: JSONDict, mask: Mask) -> JSONDict:
        """A task as the editor shows it; :meth:`filled` is the way back."""
        shown: JSONDict = self.hide(owner, self._filled_in_hidden(owner, task), mask)
        return shown

    def _filled_in_hidden(self, owner: str, task: JSONDict) -> JSONDict:
        fetch = task.get("fetch")
        browser = fetch.get("browser") if isinstance(fetch, dict) else None
        if not isinstance(fetch, dict) or not isinstance(browser, dict) or not browser.get("actions"):
            return task
        actions = [
            {**one, "text": self.for_text(owner, one["text"])} if "fill" in one and one.get("text") else one
            for one in browser["actions"]
        ]
        return {**task, "fetch": {**fetch, "browser": {**browser, "actions": actions}}}

    def filled(self, owner: str, value: Any) -> Any:
        """What :meth:`hide` was given; raises :class:`Mistake` for a stand-in that is not known any more."""
        if isinstance(value, str):
            return _STAND_IN.sub(lambda found: self._text(owner, found[0]), value) if "***" in value else value
        if isinstance(value, list):
            return [self.filled(owner, one) for one in value]
        return {name: self.filled(owner, one) for name, one in value.items()} if isinstance(value, dict) else value

    def _text(self, owner: str, stand_in: str) -> str:
        with self._lock:
            text = self._texts.get((owner, stand_in))
        if text is None:
            raise Mistake(
                f"task: {stand_in} stands for a masked text that is not known here any more; "
                "come to this task anew from the step before, or write the text itself"
            )
        return text
