"""The handler script that crawls the site. Pure: a URL in, text out."""

from __future__ import annotations

from importlib import resources
from string import Template

PROJECT = "shop"


def shop_script(start: str, *, doc: bool = False) -> str:
    """Follows every link from ``start`` once and returns title, h1 and price of each page.

    ``doc``: by ``response.doc``, as pyspider scripts do, else by ``response.css``.
    """
    name = "shop_doc" if doc else "shop"
    text = resources.files("crawlkit.proving").joinpath(f"templates/{name}.py.tmpl").read_text(encoding="utf-8")
    return Template(text).substitute(start=repr(start))


def slow_shop_script(start: str, seconds: float) -> str:
    """The same, but each page takes so many seconds of a handler worker, and a failed one comes again after one."""
    text = resources.files("crawlkit.proving").joinpath("templates/shop_slow.py.tmpl").read_text(encoding="utf-8")
    return Template(text).substitute(start=repr(start), seconds=repr(seconds))
