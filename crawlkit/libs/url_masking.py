"""URLs as people may see them: stars where a password is, or may be. Pure.

A URL that is not written as it should be is no reason to show a password: rather too much is hidden than too little.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import unquote, unquote_plus

MASK = "***"
SECRET_WORDS = ("pass", "pwd", "secret", "token", "key", "credential")  # in the name of a query's option
_SCHEME = re.compile(r"[^:/?#@\s]*")
_NAME = re.compile(r"(^|[?;#])([^=?;#]*)=")
_USERINFO = re.compile(r"(?P<begin>://[^/?#\s:]*):[^/?#\s]*@")
_OPTION = re.compile(r"[&;]?[^&;#\s]+")
_WORD = re.compile(
    r"passw(?:or)?d|passwd|pwd|secret|token|api[-_]?key|access[-_]?key|credential|session[-_]?id", re.IGNORECASE
)
_BETWEEN = re.compile(r"[/@:?#&=\[\]\s]+")


class _Parts(NamedTuple):
    begin: str  # scheme://
    account: str | None  # as given; None without an @
    rest: str
    secrets: list[str]  # values of options


def masked(url: str) -> str:
    """The URL with stars for its password and for options that are secrets.

    The account is all before the last ``@``, its password all behind its first ``:``. An account without a colon is
    hidden where it may be a password: in a URL of Redis, and where ``://`` is missing.
    """
    begin, account, rest, _ = _parts(url)
    if account is None:
        return begin + rest
    return f"{begin}{_masked_account(begin, account)}@{rest}"


def hidden(text: str, url: str) -> str:
    """What a library or a parser said of a URL, without the password of the URL and without pieces of it."""
    begin, account, _, secrets = _parts(url)
    if account is not None:
        user, colon, password = _raw_account(url, begin).partition(":")
        if colon or _is_password(begin):
            secrets.append(password if colon else user)
    found = {piece for secret in secrets for one in (secret, unquote(secret)) for piece in (one, *_BETWEEN.split(one))}
    for secret in sorted(found - {"", MASK}, key=len, reverse=True):
        exact = re.escape(secret)
        text = re.sub(exact if len(secret) >= 4 else rf"(?<!\w){exact}(?!\w)", MASK, text, flags=re.IGNORECASE)
    return text


def masked_text(text: str) -> str:
    """A text without the passwords of the addresses in it, and without what their queries call a secret.

    In a time that grows with the length of the text alone, whatever somebody else wrote into it.
    """
    return _OPTION.sub(_masked_word, _USERINFO.sub(rf"\g<begin>:{MASK}@", text))


def masked_words(words: Iterable[str]) -> list[str]:
    """A command line without the values of options that are secrets, and without the passwords of URLs."""
    shown, follows = [], False  # whether the next word is the value of a secret
    for word in words:
        if follows:
            shown.append(MASK)
            follows = False
            continue
        name, equals, value = word.partition("=") if word.startswith("-") else ("", "", word)
        is_secret = any(each in name.lower() for each in SECRET_WORDS)
        follows = is_secret and not equals
        shown.append(name + equals + (MASK if is_secret and equals else masked(value) if "://" in value else value))
    return shown


def _masked_word(found: re.Match[str]) -> str:
    word, place = found[0], 0
    named = word[0] in "&;"  # behind that a name begins at once, else behind a ?
    while (equals := word.find("=", place)) >= 0:
        begin = place if named else word.find("?", place, equals)
        if begin >= 0 and _WORD.search(word, begin, equals):
            return f"{word[:equals]}={MASK}"
        place, named = equals + 1, False
    return word


def _split(url: str) -> tuple[str, str]:
    scheme, separator, rest = url.partition("://")
    return (scheme + separator, rest) if separator and _SCHEME.fullmatch(scheme) else ("", url)


def _raw_account(url: str, begin: str) -> str:
    return url[len(begin) :].rpartition("@")[0]


def _parts(url: str) -> _Parts:
    begin, rest = _split(url)
    secrets: list[str] = []
    place, question, query = rest.partition("?")
    if question:
        place = f"{place}?{'&'.join(_masked_option(option, secrets) for option in query.split('&'))}"
    account, at, place = place.rpartition("@")
    return _Parts(begin, account if at else None, place, secrets)


def _masked_option(option: str, secrets: list[str]) -> str:
    for found in _NAME.finditer(option):
        name = unquote_plus(found[2]).lower()
        if any(word in name for word in SECRET_WORDS):
            value = option[found.end() :]
            secrets.append(value)
            # an @ may end an account that looks like a query
            return option[: found.end()] + (f"{MASK}@{MASK}" if "@" in value else MASK)
    return option


def _masked_account(begin: str, account: str) -> str:
    user, colon, _ = account.partition(":")
    if colon:
        return f"{user}:{MASK}"
    return MASK if _is_password(begin) else account


def _is_password(begin: str) -> bool:
    """Whether an account without a colon may be a password."""
    return not begin or "redis" in begin.lower()
