"""The key of a result: fields whose values say that two results of a project are one.

Pure. Equal as JSON is equal here: the order of keys and ``1`` for ``1.0`` make no difference.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import msgspec

from crawlkit.libs.jsonable import NotJSON

REPLACE = "replace"  # the newer result takes the place of the older one
KEEP_FIRST = "keep_first"  # the older one stays, the newer one is counted
STOP = "stop"  # the same, and what the callback asked for behind it is not crawled
POLICIES = (REPLACE, KEEP_FIRST, STOP)
_EXACT = 2**53  # a float above it is no exact whole number
_encode = msgspec.json.Encoder(order="sorted").encode
_decode = msgspec.json.Decoder().decode


class ResultKey:
    """What ``result_key`` and ``result_key_policy`` of a handler come to."""

    __slots__ = ("fields", "policy")

    def __init__(self, fields: tuple[str, ...], policy: str) -> None:
        self.fields = fields
        self.policy = policy

    def of(self, data: bytes | str, name: str = "result") -> str:
        """The key of a result, as canonical JSON; raises :class:`NotJSON` that names the field that is missing."""
        value = _decode(data)
        if not isinstance(value, dict):
            raise NotJSON(name, f"is no dict, so it has no field {self.fields[0]!r}, which result_key names")
        for field in self.fields:
            if field not in value:
                raise NotJSON(f"{name}.{field}", "is missing, and result_key names it")
        return _encode([_canonical(value[field]) for field in self.fields]).decode()


def _canonical(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT:
        return int(value)
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    return value


def result_key(fields: Any, policy: Any) -> ResultKey | None:
    """The key that these two attributes say, ``None`` without one; raises :class:`TypeError` in words."""
    if policy not in POLICIES:
        raise TypeError(f"result_key_policy: use one of {', '.join(POLICIES)}, not {policy!r}")
    if isinstance(fields, str):
        fields = (fields,) if fields else ()
    if not isinstance(fields, Iterable):
        raise TypeError(f"result_key: a tuple of field names, not {fields!r}")
    names = tuple(fields)
    if not all(isinstance(name, str) for name in names) or len(set(names)) != len(names):
        raise TypeError(f"result_key: a tuple of different field names, not {fields!r}")
    return ResultKey(names, policy) if names else None


def digest_of(key: str) -> str:
    """A key as it is stored: sha256 in hex, so that its length does not matter. ``""`` stays: no key."""
    return hashlib.sha256(key.encode()).hexdigest() if key else ""
