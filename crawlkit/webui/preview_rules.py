"""Which elements, attributes and styles of a crawled page its preview keeps. Everything not named here is left out.

Pure tables and one rule for CSS. The wall is the frame's policy (see preview.policy); this is the second one behind it.
"""

from __future__ import annotations

import re


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


KEPT_TAGS = _names(
    """a abbr acronym address area article aside b bdi bdo big blockquote body br button caption center cite code col
    colgroup data dd del details dfn dialog dir div dl dt em fieldset figcaption figure font footer h1 h2 h3 h4 h5
    h6 header hgroup hr i img input ins kbd label legend li main map mark menu meter nav nobr ol optgroup option
    output p picture pre progress q rb rp rt rtc ruby s samp search section select small span strike strong sub
    summary sup table tbody td textarea tfoot th thead time tr tt u ul var wbr svg g path circle ellipse line
    polygon polyline rect text tspan defs lineargradient radialgradient stop clippath mask desc symbol"""
)
HIDDEN_TAGS = _names("script template base meta link head title style param source track")
"""Never shown, and what is in them neither; the style sheets of a page are written apart."""
BOXES = _names("iframe frame object embed applet video audio canvas portal fencedframe")
"""Shown as a box that says what stands there; nothing is loaded."""
BLOCKS = _names("form frameset noscript noframes noembed xmp plaintext listing marquee")
"""Shown under another name, since a browser would give the real one a meaning."""
VOID_TAGS = _names("area br col hr img input wbr")

KEPT_ATTRIBUTES = _names(
    """class id title lang dir alt width height colspan rowspan span align valign bgcolor border cellpadding
    cellspacing color face size start type value placeholder checked disabled selected hidden open role nowrap rules
    frame summary abbr scope cols rows label multiple min max low high optimum reversed datetime cite viewbox d cx
    cy r rx ry x y x1 x2 y1 y2 dx dy points fill stroke stroke-width stroke-linecap stroke-linejoin stroke-dasharray
    fill-rule clip-rule fill-opacity stroke-opacity opacity transform offset stop-color stop-opacity
    preserveaspectratio gradientunits gradienttransform text-anchor font-size font-family font-weight"""
)
ATTRIBUTE_LENGTH = 4_000  # characters kept of a plain attribute
DATA_IMAGE = re.compile(r"data:image/(?:png|jpe?g|gif|webp|avif|bmp|svg\+xml|x-icon|vnd\.microsoft\.icon)[;,]", re.I)
DATA_IMAGE_LENGTH = 200_000  # characters

_CUSTOM = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)+\Z")
_ATTRIBUTE = re.compile(r"(?:data|aria)-[a-z0-9_.-]+\Z")
_IMPORT = re.compile(r"@import\b[^;]*;?", re.I)
_FETCHING = re.compile(r"(?:url|src|image-set|image|element|cross-fade|paint|expression)\s*\(", re.I)
_DATA = re.compile(r"\s*[\"']?\s*data:image/(?!svg)[a-z0-9.+-]+[;,]", re.I)
_ESCAPE = re.compile(r"\\([0-9a-f]{1,6})[ \t\r\n\f]?|\\([^\n])", re.I)
_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.S)


def shown_as(tag: str) -> str:
    """The name an element has in the preview."""
    if tag in KEPT_TAGS or (_CUSTOM.match(tag) and not tag.startswith("ck-")):
        return tag
    if tag in BOXES:
        return "ck-box"
    return "ck-block" if tag in BLOCKS else "ck-other"


def keeps_attribute(name: str) -> bool:
    """Whether an attribute may be written as it is. No address, no handler, no name that scripts could trip over."""
    if name in KEPT_ATTRIBUTES:
        return True
    return bool(_ATTRIBUTE.match(name)) and not name.startswith("data-ck") and name != "aria-hidden"


def fetches(value: str) -> bool:
    """Whether a plain attribute (``fill``, ``mask``) asks for something that is not in the page."""
    return any(not value[found.end() :].lstrip(" \"'").startswith("#") for found in _FETCHING.finditer(value))


def keeps_type(tag: str, value: str) -> bool:
    """Whether ``type`` keeps its meaning: of lists and of inputs that only hold text or a tick."""
    return tag in ("ol", "ul", "li") or (tag == "input" and value.lower() not in ("file", "image", "submit", "reset"))


def harmless_css(css: str, loads: bool) -> str:
    """A style sheet or a style attribute that can end no element, and asks for nothing unless ``loads``.

    Escapes are written out first, so that ``u\\72l(`` is seen for what it is; what a CSS text loses is only what
    would have fetched. The result has no ``<``.
    """
    if "\\" in css:
        css = _ESCAPE.sub(_unescaped, css)
    if not loads:
        css = _IMPORT.sub("", _COMMENT.sub(" ", css))
        css = _FETCHING.sub(lambda match: match.group() if _DATA.match(css, match.end()) else "ck-none(", css)
    return css.replace("<", "\\3c ")


def _unescaped(match: re.Match[str]) -> str:
    """The letter an escape stands for, where that is one that could spell a function's name; else the escape itself."""
    code, letter = match.groups()
    if code is not None:
        number = int(code, 16)
        letter = chr(number) if number < 128 else ""
    return letter if letter and (letter.isalpha() or letter in "@(-") else match.group()
