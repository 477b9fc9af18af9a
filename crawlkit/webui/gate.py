"""The words and rules of access. Pure: facts of a request in, a verdict out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from crawlkit.libs.roles import ADMIN, EDITOR, RANK, ROLES, VIEWER

__all__ = ["ADMIN", "EDITOR", "LOCAL", "PUBLIC", "ROLES", "VIEWER", "Allowed", "Facts", "Identity", "Refused"]

LOCAL = "local"  # the name of whoever followed a link made on this machine
#: What everybody may see without a login: whole paths, and folders, which end in a slash. A test holds this list.
PUBLIC = ("/login", "/health", "/robots.txt", "/language", "/static/", "/texts/")
LINK_PATHS = ("/", "/login")  # where a login link may lead
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
API, DAV = "/api/", "/dav"


@dataclass(frozen=True)
class Identity:
    """Who asks. ``via``: link, password, token, basic, public."""

    user: str
    role: str
    via: str

    def may(self, role: str) -> bool:
        """Whether this one has ``role`` or a higher one; nobody has, without a role."""
        return RANK[self.role] >= RANK[role] > 0


NOBODY = Identity("", "", "public")


@dataclass(frozen=True)
class Facts:
    """A request, as far as access goes. ``path`` is without the server's prefix."""

    method: str
    path: str
    query: str
    host: str  # of the Host header, with its port; "" when there was none, or several
    scheme: str
    address: str
    headers: Mapping[str, str] = field(default_factory=dict)  # names in lower case
    prefix: str = ""  # the path under which the client sees this server

    def header(self, name: str) -> str:
        return self.headers.get(name, "")

    @property
    def secure(self) -> bool:
        return self.scheme == "https"

    @property
    def changes(self) -> bool:
        """Whether the request may change something."""
        return self.method not in SAFE


@dataclass(frozen=True)
class Allowed:
    """Come in. ``csrf``: what changing requests of this session must carry."""

    identity: Identity
    csrf: str
    cookies: tuple[str, ...] = ()
    session: str = ""  # of the cookie; "" without one
    facts: Facts | None = None  # the request as its client sent it, also through a trusted proxy


@dataclass(frozen=True)
class Refused:
    """Stay out; with ``location``, go there instead (a path on this site, without its prefix)."""

    status: int
    title: str
    detail: str
    location: str = ""
    cookies: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


def is_public(path: str) -> bool:
    """Whether this needs no login. Paths are compared as they were sent: what is encoded is not on the list."""
    return any(path.startswith(one) if one.endswith("/") else path == one for one in PUBLIC)


def same_origin(facts: Facts) -> bool:
    """Whether a browser's own words say that the request comes from a page of this server.

    Every browser says so with what may change something; who says nothing is no browser.
    """
    site = facts.header("sec-fetch-site")
    if site and site not in ("same-origin", "none"):
        return False
    origin = facts.header("origin")
    if not origin:
        return True
    parts = urlsplit(origin)
    return (parts.scheme, parts.netloc.lower()) == (facts.scheme, facts.host.lower())


def loaded_by_another_site(facts: Facts) -> bool:
    """Whether a page of another site loads this as a part of itself (Fetch Metadata, W3C): an image, a script."""
    site, mode = facts.header("sec-fetch-site"), facts.header("sec-fetch-mode")
    return site in ("cross-site", "same-site") and mode != "navigate"


def is_navigation(facts: Facts) -> bool:
    """Whether a person opens a page."""
    if facts.method not in ("GET", "HEAD") or facts.path.startswith(API):
        return False
    mode = facts.header("sec-fetch-mode")
    return mode == "navigate" if mode else "text/html" in facts.header("accept")


def login_place(facts: Facts, **more: str) -> str:
    """The login page, which leads back to where the request was for."""
    back = facts.path + (f"?{facts.query}" if facts.query else "")
    said = {**more, **({"next": back} if back != "/" and len(back) < 1500 else {})}
    return "/login" + (f"?{urlencode(said, quote_via=quote)}" if said else "")


def link_token(facts: Facts) -> str:
    """The token of a login link, ``""`` when the request is none."""
    if facts.method != "GET" or facts.path not in LINK_PATHS:
        return ""
    return dict(_fields(facts.query)).get("token", "")[:200]


def _fields(query: str) -> list[tuple[str, str]]:
    """The fields of a query; none when there are too many for a link that anybody gave out."""
    try:
        return parse_qsl(query, max_num_fields=50)
    except ValueError:
        return []


def without_token(facts: Facts) -> str:
    """The place a login link leads to."""
    rest = [(name, value) for name, value in _fields(facts.query) if name != "token"]
    return facts.path + (f"?{urlencode(rest)}" if rest else "")
