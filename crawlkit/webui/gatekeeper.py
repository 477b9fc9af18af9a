"""Who may come in: every request passes here before anything else looks at it.

What is not known to be allowed is refused. Blocks, for it asks the store of accounts; called in threads.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import math
from dataclasses import dataclass, replace

from crawlkit.webui.accounts import TOKEN, Accounts, LoggedIn, NotLoggedIn
from crawlkit.webui.cookies import DEVICE_DAYS, SESSION_DAYS, cookie_name, find_cookie, set_cookie
from crawlkit.webui.gate import (
    DAV,
    NOBODY,
    Allowed,
    Facts,
    Identity,
    Refused,
    is_navigation,
    is_public,
    link_token,
    loaded_by_another_site,
    login_place,
    same_origin,
    without_token,
)
from crawlkit.webui.hosts import Hosts, Network, forwarded_prefix, seen_through
from crawlkit.webui.places import safe_next

BASIC = {"WWW-Authenticate": 'Basic realm="crawlkit", charset="UTF-8"'}
BEARER = {"WWW-Authenticate": 'Bearer realm="crawlkit"'}


@dataclass
class Gatekeeper:
    """``prefix``: the path under which clients see this server; ``proxies``: whose ``X-Forwarded-*`` count;
    ``basic``: browsers are asked for name and password by HTTP Basic (pyspider's ``--need-auth`` [W60])."""

    accounts: Accounts
    hosts: Hosts
    prefix: str = ""
    proxies: tuple[Network, ...] = ()
    basic: bool = False

    def prefix_for(self, address: str, said: str) -> str:
        """The prefix of a request from ``address`` with this ``X-Forwarded-Prefix``."""
        return forwarded_prefix(address, said, self.proxies) or self.prefix

    def check(self, facts: Facts) -> Allowed | Refused:
        """The verdict on a request. May block."""
        facts = seen_through(facts, self.proxies)
        if not self.hosts.serves(facts.host):
            return Refused(403, "Host not served", f"this server does not go by the name {facts.host[:100]!r};"
                           " --allow-host adds one")  # fmt: skip
        if facts.changes and not same_origin(facts):
            return Refused(403, "Foreign origin", "this request comes from a page of another site")
        if is_public(facts.path) and facts.path != "/login":
            return Allowed(NOBODY, "", facts=facts)
        token = link_token(facts)
        if token:
            return self._follow(facts, token)
        verdict = self._known(facts)
        if facts.path == "/login" and (verdict is None or isinstance(verdict, Refused)):
            return Allowed(NOBODY, "", facts=facts)
        return verdict or self._stranger(facts)

    # -- by what they show ---------------------------------------------------------------------------------------

    def _known(self, facts: Facts) -> Allowed | Refused | None:
        """By the credentials that came with the request; ``None`` without any."""
        kind, _, given = facts.header("authorization").partition(" ")
        if kind.lower() == "bearer":
            return self._bearer(facts, given.strip())
        found = self._session(facts)
        # Behind the session: a reverse proxy with passwords of its own may send them on with every request.
        if found is None and kind.lower() == "basic" and (self.basic or facts.path != "/login"):
            return self._basic(facts, given.strip())
        return found

    def _bearer(self, facts: Facts, token: str) -> Allowed | Refused:
        identity = self.accounts.who_bears(token)
        if identity is None:
            return Refused(401, "Token refused", "this token is unknown, was removed, or has expired",
                           headers={"WWW-Authenticate": 'Bearer realm="crawlkit", error="invalid_token"'})  # fmt: skip
        return Allowed(identity, "", facts=facts)

    def _basic(self, facts: Facts, given: str) -> Allowed | Refused:
        try:
            name, colon, password = base64.b64decode(given, validate=True).decode("utf-8").partition(":")
        except (binascii.Error, ValueError):
            colon = ""
        if not colon:
            return Refused(401, "Not signed in", "the Authorization header cannot be read", headers=BASIC)
        if password.startswith(f"{TOKEN}_"):  # for programs that know no other way to send a token
            bearer = self.accounts.who_bears(password)
            if bearer is None:
                return refusal(NotLoggedIn(), headers=BASIC)
            return Allowed(bearer, self.accounts.keys.csrf(f"basic {bearer.user}"), facts=facts)
        role = self.accounts.check_again(name, password, facts.address)
        if isinstance(role, NotLoggedIn):
            return refusal(role, headers=BASIC)
        return Allowed(Identity(name, role, "basic"), self.accounts.keys.csrf(f"basic {name}"), facts=facts)

    def _session(self, facts: Facts) -> Allowed | Refused | None:
        session = find_cookie(facts.header("cookie"), self._name("session", facts))
        identity = self.accounts.who_has(session) if session else None
        if identity is None:
            return None
        if loaded_by_another_site(facts):
            return Refused(403, "Foreign origin", "another site loads this as a part of its page")
        csrf = self.accounts.keys.csrf(session)
        if facts.changes and not hmac.compare_digest(facts.header("x-csrf-token").encode(), csrf.encode()):
            return Refused(403, "CSRF token", "the token is missing or old: load the page again")
        return Allowed(identity, csrf, session=session, facts=facts)

    def _stranger(self, facts: Facts) -> Refused:
        words = "sign in first" if self.accounts.exist() else "open a link that `crawlkit user link` prints"
        if self.basic or is_dav(facts.path):
            return Refused(401, "Not signed in", "name and password are needed", headers=BASIC)
        if is_navigation(facts):
            return Refused(303, "Not signed in", words, login_place(facts))
        return Refused(401, "Not signed in", f"{words}, or send an API token", headers=BEARER)

    # -- coming and going ----------------------------------------------------------------------------------------

    def _follow(self, facts: Facts, token: str) -> Refused:
        if loaded_by_another_site(facts):
            return Refused(403, "Foreign origin", "another site loads this as a part of its page")
        old = find_cookie(facts.header("cookie"), self._name("session", facts))
        entered = self.accounts.follow_link(token, facts.address, old_session=old)
        if entered is None:
            return Refused(
                303, "Link refused", "it was used, or is too old", login_place(replace(facts, query=""), link="old")
            )
        place = without_token(facts)
        return Refused(303, "Welcome", "", "/" if place.startswith("/login") else place, self.cookies(facts, entered))

    def log_in(self, facts: Facts, name: str, password: str, place: str) -> Refused:
        """The answer to a login: a refusal in words, or the way to ``place`` with new cookies."""
        header = facts.header("cookie")
        old, device = (find_cookie(header, self._name(kind, facts)) for kind in ("session", "device"))
        entered = self.accounts.log_in(name, password, facts.address, device=device, old_session=old)
        if isinstance(entered, NotLoggedIn):
            return refusal(entered)
        return Refused(303, "Welcome", "", safe_next(place), self.cookies(facts, entered))

    def log_out(self, allowed: Allowed) -> tuple[str, ...]:
        """Ends the session; the cookies that say so."""
        facts = allowed.facts
        assert facts is not None
        if allowed.session:
            self.accounts.log_out(allowed.session, allowed.identity, facts.address)
        gone = set_cookie(self._name("session", facts), "", secure=facts.secure, prefix=facts.prefix, days=0)
        return (gone,)

    def cookies(self, facts: Facts, entered: LoggedIn) -> tuple[str, ...]:
        """Those of a session that has just begun."""
        values = (("session", entered.session, SESSION_DAYS), ("device", entered.device, DEVICE_DAYS))
        return tuple(
            set_cookie(self._name(kind, facts), value, secure=facts.secure, prefix=facts.prefix, days=days)
            for kind, value, days in values
        )

    def _name(self, kind: str, facts: Facts) -> str:
        return cookie_name(kind, self.accounts.keys.install, secure=facts.secure, prefix=facts.prefix)


def is_dav(path: str) -> bool:
    """Whether this is for WebDAV, whose clients know HTTP Basic only."""
    return path == DAV or path.startswith(f"{DAV}/")


def refusal(why: NotLoggedIn, headers: dict[str, str] | None = None) -> Refused:
    """What is said to a wrong password, or to one that was not looked at."""
    if why.wait > 0:
        seconds = math.ceil(why.wait)
        return Refused(429, "Too many tries", f"wait {seconds} s before the next try",
                       headers={"Retry-After": str(seconds)})  # fmt: skip
    return Refused(401, "Not signed in", "name or password is wrong", headers=headers or {})
