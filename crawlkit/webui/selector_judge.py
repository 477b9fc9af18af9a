"""What each feature costs on one page: an id that names this page's content is worth less than elsewhere. Pure."""

from __future__ import annotations

from functools import cached_property

from crawlkit.webui import selector_words as words
from crawlkit.webui.page_tree import Key, PageTree

_NO_TITLES = words.words_of("index html htm php aspx the of and a to in for home page default en www com org")


class Judge:
    """What each feature costs on this page."""

    def __init__(self, tree: PageTree) -> None:
        self.tree = tree
        self._known: dict[Key, float] = {}

    @cached_property
    def _anchors(self) -> frozenset[str]:
        """The ids that links on the page lead to."""
        found = set()
        for number in self.tree.postings.get(("tag", "a"), ()):
            href = self.tree.elements[number].get("href") or ""
            if href.startswith("#"):
                found.add(href[1:])
        return frozenset(found)

    @cached_property
    def _about(self) -> frozenset[str]:
        path = self.tree.url.partition("?")[0].rstrip("/").rpartition("/")[2]
        titles = self.tree.postings.get(("tag", "title"), ())[:1]
        title = self.tree.elements[titles[0]].text or "" if titles else ""
        return words.words_of(path) | words.words_of(title[:200]) - _NO_TITLES

    def cost(self, key: Key) -> float:
        known = self._known.get(key)
        if known is None:
            anchored = key[0] == "id" and (key[1] in self._anchors or self._on_anchor(key) or self._on_section(key))
            known = self._known[key] = words.cost_of(key, anchored, self._about)
        return known

    def _on_anchor(self, key: Key) -> bool:
        """An empty ``<a id>`` or a heading with an id is there to be linked to, also from elsewhere."""
        tags = {self.tree.tag(number) for number in self.tree.postings.get(key, ())}
        return bool(tags & {"a", "h2", "h3", "h4", "h5", "h6", "dt", "section"})

    def _on_section(self, key: Key) -> bool:
        """An id made of the words of the heading that it stands around."""
        said = {word for word in words.words_of(key[1]) if len(word) > 1}
        number = self.tree.postings[key][0]
        heading = next(self.tree.elements[number].iter("h1", "h2", "h3", "h4", "h5", "h6"), None)
        if heading is None or not said:
            return False
        return said <= words.words_of("".join(heading.itertext())[:200])
