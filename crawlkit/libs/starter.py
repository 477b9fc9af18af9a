"""The script a new project starts with [H05]. Pure: names in, text out."""

from __future__ import annotations

from importlib import resources
from string import Template


def starter_script(name: str, start_url: str | list[str] = "https://example.com/") -> str:
    """A commented handler script for the project ``name``, crawling from one URL or several; it runs as it is."""
    text = resources.files("crawlkit.libs").joinpath("templates/starter.py.tmpl").read_text(encoding="utf-8")
    # json.dumps would do as well, but a URL with quotes in it should still read as one
    return Template(text).substitute(name=name, start_url=repr(start_url))
