"""The preview of a crawled page: its own tree written out again, without anything that acts or asks the network.

Pure. Written element by element instead of by a sanitiser of markup (nh3, lxml-html-clean): those parse anew or drop
elements, and each element must keep the number that the selector helper knows it by. A page is never trusted here: the
frame's policy (:func:`policy`) is the wall, what is left out here is the second one behind it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from html import escape
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

import lxml.etree
import msgspec

from crawlkit.webui import preview_rules as rules
from crawlkit.webui.page_tree import MAX_ELEMENTS, PageTree

MAX_SHOWN = 3_000_000
"""Characters of markup or text that are shown of one page."""
MAX_STYLES = 600_000  # characters of the page's own style sheets
MAX_IMAGE = 8 << 20  # bytes of a page that is an image
SOMETHING = 1_000  # bytes of a page that must have something in it
MAX_SITES = 20  # origins that images and styles may come from, when they are asked for


class Preview(msgspec.Struct, frozen=True):
    """What a frame shows."""

    html: str
    kind: str
    notes: list[str]
    """What is not shown and why, in words for people."""
    sites: list[str]
    """Origins that the page takes images and styles from, its own first; allowed only when they are asked for."""
    elements: int
    """How many elements have a number."""


def render(tree: PageTree, nonce: str, channel: str, loads: bool = False) -> Preview:
    """A page as a document for the frame. ``loads`` keeps the addresses of images and style sheets.

    ``nonce`` is that of the one script which may run in it, the picker (see :func:`policy`); ``channel`` is the token
    that the picker signs its messages with.
    """
    said: list[str] = []
    sites: list[str] = []
    if tree.kind == "html" and not tree.is_xml:
        sites = _sites(tree) if loads else []
        parts = _html(tree, loads, frozenset(sites), said)
    elif tree.kind == "xml" and tree.elements:
        parts = _xml(tree, said)
    elif tree.kind == "image":
        parts = _image(tree, said)
    else:
        parts = _text(tree, said)
    about = {"kind": tree.kind, "notes": said, "elements": len(tree.elements), "loads": loads, "sites": sites}
    html = _document(parts, nonce, channel, json.dumps(about))
    return Preview(html, tree.kind, said, sites, len(tree.elements))


def policy(nonce: str, sites: list[str] | None = None) -> str:
    """The ``Content-Security-Policy`` of the frame: an origin of its own, one script, no network.

    ``sites`` are the origins that images and styles may come from for this one view.
    """
    more = "".join(f" {site}" for site in sites or ())
    return (
        f"sandbox allow-scripts; default-src 'none'; script-src 'nonce-{nonce}'; style-src 'unsafe-inline'{more}; "
        f"img-src data:{more}; font-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    )


def headers(nonce: str, sites: list[str] | None = None) -> dict[str, str]:
    """All headers of the frame's document."""
    return {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": policy(nonce, sites),
        "X-Frame-Options": "SAMEORIGIN",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Origin-Agent-Cluster": "?1",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), clipboard-read=(), fullscreen=()",
    }


def _own(name: str) -> str:
    return (files("crawlkit.webui") / "static" / name).read_text("utf-8")


class _Parts(msgspec.Struct):
    body: str
    head: str = ""
    html: str = "<html>"
    doctype: bool = True


def _document(parts: _Parts, nonce: str, channel: str, about: str) -> str:
    start = "<!doctype html>" if parts.doctype else ""  # without one a browser shows it as it would the page
    return (
        f'{start}{parts.html}<head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>preview</title><style>{_own('css/preview.css')}</style>{parts.head}</head>{parts.body}"
        f'<script nonce="{escape(nonce)}" data-channel="{escape(channel)}" data-about="{escape(about)}">'
        f"{_own('js/picker.js')}</script></html>"
    )


# ---- HTML


def _html(tree: PageTree, loads: bool, sites: frozenset[str], said: list[str]) -> _Parts:
    body, whole = _markup(tree, loads, sites)
    if not whole or len(tree.elements) >= MAX_ELEMENTS:
        said.append(
            f"This page is large: of its markup the first {MAX_SHOWN // 1_000_000} MB or {MAX_ELEMENTS:,} elements "
            "are shown. What is not shown cannot be picked; a callback gets all of it."
        )
    size = len(tree.response.content)
    if len(tree.elements) <= 2 and size > SOMETHING and not "".join(tree.root.itertext()).strip():
        # also what is left of a page when its parser ran out of memory
        said.append(f"Nothing could be read from this page of {size:,} bytes: it is too large, or no HTML.")
    root = tree.root
    opening = "<html>"
    if root.tag == "html":
        opening = f'<html data-ck="0"{_attributes(tree, root, loads, sites)}>'
    doctype = bool(getattr(root.getroottree().docinfo, "doctype", ""))
    return _Parts(body, "".join(_styles(tree, loads, sites)), opening, doctype)


def _styles(tree: PageTree, loads: bool, sites: frozenset[str]) -> Iterator[str]:
    room = MAX_STYLES
    for number in sorted([*tree.postings.get(("tag", "style"), ()), *tree.postings.get(("tag", "link"), ())]):
        element = tree.elements[number]
        if element.tag == "style":
            css = rules.harmless_css((element.text or "")[:MAX_STYLES], loads)
            room -= len(css)
            if room < 0:
                return
            yield f"<style>{css}</style>"
        elif loads and "stylesheet" in (element.get("rel") or "").lower().split():
            address = _address(tree, element.get("href"), sites)
            if address:
                yield f'<link rel="stylesheet" href="{escape(address)}">'


def _markup(tree: PageTree, loads: bool, sites: frozenset[str]) -> tuple[str, bool]:
    """The tree's markup, and whether it is all of it: nothing more is opened when the room is used up."""
    room = MAX_SHOWN
    written: list[str] = []
    ends: list[str] = []
    stack: list[Iterator[Any]] = [iter(tree.root) if tree.root.tag == "html" else iter((tree.root,))]
    ends.append("")
    beyond = _beyond(tree)
    while stack and room > 0:
        element = next(stack[-1], None)
        if element is None:
            stack.pop()
            written.append(ends.pop())
            continue
        if element is beyond:
            break  # this and all that comes after has no number
        opening, closing = _tags(tree, element, loads, sites)
        tail = escape((element.tail or "")[:room], quote=False)
        if not opening:
            written.append(tail)
            room -= len(tail)
            continue
        text = escape((element.text or "")[:room], quote=False)
        if text[:1] == "\n" and closing in ("</pre>", "</textarea>"):
            text = "\n" + text  # a parser drops the first one
        room -= len(opening) + len(text) + len(closing) + len(tail)
        written += (opening, text)
        ends.append(closing + tail)
        stack.append(iter(element))
    written += reversed(ends)
    return "".join(written), not stack


def _beyond(tree: PageTree) -> Any:
    """The first element without a number, of a page with more than there are numbers."""
    if len(tree.elements) < MAX_ELEMENTS:
        return None
    last = tree.elements[-1]
    following = next(last.iterdescendants(lxml.etree.Element), None)
    while following is None and last is not None:
        following = next(last.itersiblings(lxml.etree.Element), None)
        last = last.getparent()
    return following


def _tags(tree: PageTree, element: Any, loads: bool, sites: frozenset[str]) -> tuple[str, str]:
    """The start and the end tag of an element; two empty strings for one that is not shown."""
    number, tag = tree.numbers.get(element), element.tag
    if number is None or tag in rules.HIDDEN_TAGS:
        return "", ""
    name = rules.shown_as(tag)
    if tag in ("html", "body") and (tag == "html" or element.getparent() is not tree.root):
        name = "ck-other"
    real = f' data-ck-tag="{escape(tag)}"' if name.startswith("ck-") else ""
    opening = f'<{name} data-ck="{number}"{real}{_attributes(tree, element, loads, sites)}>'
    return opening, "" if name in rules.VOID_TAGS else f"</{name}>"


def _attributes(tree: PageTree, element: Any, loads: bool, sites: frozenset[str]) -> str:
    parts: list[str] = []
    tag = element.tag
    for name, value in element.items():
        if rules.keeps_attribute(name):
            if (name == "type" and not rules.keeps_type(tag, value)) or ("(" in value and rules.fetches(value)):
                continue
            parts.append(f' {name}="{escape(value[: rules.ATTRIBUTE_LENGTH])}"')
        elif name == "style":
            parts.append(f' style="{escape(rules.harmless_css(value[: rules.ATTRIBUTE_LENGTH], loads))}"')
        elif name == "href" and tag in ("a", "area"):
            parts.append(' href="#"')
        elif name == "src" and tag == "img":
            address = _picture(tree, value.strip(), loads, sites)
            parts.append(f' src="{escape(address)}"' if address else "")
    if tag == "button":
        parts.append(' type="button"')
    return "".join(parts)


def _picture(tree: PageTree, value: str, loads: bool, sites: frozenset[str]) -> str | None:
    if rules.DATA_IMAGE.match(value):
        return value if len(value) <= rules.DATA_IMAGE_LENGTH else None
    return _address(tree, value, sites) if loads else None


# ---- where images and styles may come from, when they are asked for


def _address(tree: PageTree, value: str | None, sites: frozenset[str]) -> str | None:
    """An absolute address on one of ``sites``, or ``None``."""
    if not value:
        return None
    address = tree.response.urljoin(value.strip())
    return address if _origin(address) in sites else None


def _origin(address: str) -> str | None:
    try:
        parts = urlsplit(address)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return None
    host = parts.hostname or ""
    plain = host.isascii() and all(letter.isalnum() or letter in "-._" for letter in host)
    return f"{parts.scheme}://{host}{port}" if parts.scheme in ("http", "https") and host and plain else None


def _sites(tree: PageTree) -> list[str]:
    """The page's own origin and the public ones its images and style sheets come from, at most ``MAX_SITES``.

    A page must not make the reader's browser ask machines that only the reader can reach: of other origins than its
    own, those that are numbers or names without a dot are left out.
    """
    own = _origin(tree.url)
    found: dict[str, None] = {own: None} if own else {}
    for number in sorted([*tree.postings.get(("tag", "link"), ()), *tree.postings.get(("tag", "img"), ())]):
        element = tree.elements[number]
        value = element.get("href" if element.tag == "link" else "src")
        origin = _origin(tree.response.urljoin(value.strip())) if value else None
        if origin and len(found) < MAX_SITES and _public(origin):
            found[origin] = None
    return list(found)


def _public(origin: str) -> bool:
    last = (urlsplit(origin).hostname or "").rstrip(".").rpartition(".")
    return bool(last[0]) and last[2].isalpha() and last[2] not in ("local", "localhost", "internal", "lan", "home")


# ---- what is no HTML


def _xml(tree: PageTree, said: list[str]) -> _Parts:
    """An XML document as an indented outline; its elements can be picked like those of a page."""
    room = MAX_SHOWN
    parts = ['<body class="ck-plain ck-xml">']
    open_: list[int] = []
    for number, element in enumerate(tree.elements):
        while open_ and number > tree.ends[open_[-1]]:
            open_.pop()
            parts.append("</div>")
        name = escape(element.tag.rpartition("}")[2])
        attributes = "".join(f' {escape(str(key))}="{escape(value)}"' for key, value in element.items())
        part = f'<div data-ck="{number}"><code>&lt;{name}{attributes}&gt;</code> {escape((element.text or "").strip())}'
        room -= len(part)
        if room < 0:
            break
        parts.append(part)
        open_.append(number)
    parts.append("</div>" * len(open_) + "</body>")
    if room < 0 or len(tree.elements) >= MAX_ELEMENTS:
        said.append("This document is large: only its beginning is shown. Selectors search all of it.")
    return _Parts("".join(parts))


def _image(tree: PageTree, said: list[str]) -> _Parts:
    content = tree.response.content
    mime = tree.response.content_type.partition(";")[0].strip().lower()
    address = f"data:{mime};base64,{base64.b64encode(content).decode()}"
    if len(content) > MAX_IMAGE or not rules.DATA_IMAGE.match(address):
        said.append(f"An image of {len(content):,} bytes ({mime}) that is not shown here.")
        return _Parts('<body class="ck-plain"></body>')
    picture = f'<img class="ck-image" alt="The image that was fetched" src="{escape(address)}">'
    return _Parts(f'<body class="ck-plain">{picture}</body>')


def _text(tree: PageTree, said: list[str]) -> _Parts:
    size = len(tree.response.content)
    if tree.kind == "empty":
        said.append("The body is empty.")
        return _Parts('<body class="ck-plain"></body>')
    if tree.kind == "binary":
        said.append(f"A body of {size:,} bytes that is no text ({tree.response.content_type or 'no content type'}).")
        return _Parts('<body class="ck-plain"></body>')
    text = _pretty(tree) if tree.kind == "json" else tree.response.text
    if len(text) > MAX_SHOWN:
        said.append(f"Its first {MAX_SHOWN:,} characters of {len(text):,} are shown.")
    return _Parts(f'<body class="ck-plain"><pre>{escape(text[:MAX_SHOWN], quote=False)}</pre></body>')


def _pretty(tree: PageTree) -> str:
    """JSON indented; as it is when it is none, or too large to be worth it."""
    if len(tree.response.content) > 4 * MAX_SHOWN:
        return tree.response.text
    value = tree.response.json
    try:
        return tree.response.text if value is None else json.dumps(value, indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return tree.response.text
