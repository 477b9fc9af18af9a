"""Turns results, messages and saved state into JSON text, or names the path of what cannot be.

Pure. Strict on purpose: what a database, a file and a browser would each read differently is refused.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import msgspec

MAX_DEPTH = 200
_encode = msgspec.json.Encoder().encode
_SCALARS = frozenset({str, int, bool, type(None)})


class NotJSON(TypeError):
    """A value is not JSON. ``path`` says which: ``result.items[3].price``."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


def to_json(value: Any, name: str = "result") -> bytes:
    """UTF-8 JSON of ``value``; raises :class:`NotJSON` that begins with ``name``.

    Dataclasses, objects with ``model_dump`` (Pydantic), of attrs and of msgspec are taken as dicts; tuples as lists.
    """
    if not _is_plain(value, 0):
        value = jsonable(value, name)
    try:
        return _encode(value)
    except UnicodeEncodeError:
        raise NotJSON(
            _surrogate_path(value, name) or name, "text holds a lone surrogate, which is no character"
        ) from None
    except (OverflowError, ValueError):  # whole numbers over 64 bits
        return _slowly(value, name).encode()


def _slowly(value: Any, path: str) -> str:
    """The JSON of what holds, or is, a whole number of any size."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except ValueError as error:  # Python's bound on the digits of a number
        raise NotJSON(path, f"holds a whole number that is too long: {error}") from None


def _is_plain(value: Any, depth: int) -> bool:
    kind = type(value)
    if kind in _SCALARS:
        return True
    if kind is dict:
        if depth > MAX_DEPTH:
            return False
        for key, item in value.items():
            if type(key) is not str or (type(item) not in _SCALARS and not _is_plain(item, depth + 1)):
                return False
        return True
    if kind is list:
        if depth > MAX_DEPTH:
            return False
        return all(type(item) in _SCALARS or _is_plain(item, depth + 1) for item in value)
    # inf - inf and nan - nan are both nan
    return kind is float and value - value == 0.0


def jsonable(value: Any, path: str = "result", depth: int = 0) -> Any:
    """A copy of ``value`` out of dict, list, str, int, float, bool and None; raises :class:`NotJSON`."""
    if value is None or value is True or value is False:
        return value
    if depth > MAX_DEPTH:
        raise NotJSON(_shortened(path), f"is nested deeper than {MAX_DEPTH} levels, or holds itself")
    if isinstance(value, str):
        return str.__str__(value)  # also of a subclass that says something else
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if value - value != 0.0:
            raise NotJSON(path, f"is {float(value)!r}, which JSON does not know; use None")
        return float(value)
    if isinstance(value, dict):
        return {_key(key, path): jsonable(item, _joined(path, key), depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item, f"{path}[{n}]", depth + 1) for n, item in enumerate(value)]
    return jsonable(_as_dict(value, path), path, depth + 1)


def _as_dict(value: Any, path: str) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    dump = getattr(type(value), "model_dump", None)
    if dump is not None:
        return dump(value, mode="json")
    fields = getattr(type(value), "__struct_fields__", None)  # of a msgspec.Struct
    if fields is None and (attributes := getattr(type(value), "__attrs_attrs__", None)) is not None:
        fields = [attribute.name for attribute in attributes]
    if fields is not None:
        return {name: getattr(value, name) for name in fields}
    raise NotJSON(path, _advice(value))


def _advice(value: Any) -> str:
    kind = type(value).__name__
    if isinstance(value, bytes | bytearray | memoryview):
        return f"is {kind}; decode it to text, or base64 it"
    if isinstance(value, set | frozenset):
        return f"is a {kind}; make it a list"
    if hasattr(value, "isoformat"):
        return f"is a {kind}; use its isoformat()"
    if hasattr(value, "__next__"):
        return f"is a {kind}; make it a list"
    return f"is a {kind}, which is not JSON; use dict, list, text, number, bool or None"


def _key(key: Any, path: str) -> str:
    if isinstance(key, str):
        return str.__str__(key)
    if key is None or isinstance(key, bool | int) or (isinstance(key, float) and key - key == 0.0):
        return _slowly(key, path)
    raise NotJSON(path, f"has a key of type {type(key).__name__}; use text")


def _joined(path: str, key: Any) -> str:
    return f"{path}.{key}" if isinstance(key, str) and key.isidentifier() else f"{path}[{key!r}]"


def _shortened(path: str) -> str:
    return path if len(path) <= 80 else path[:60] + "..."


def _surrogate_path(value: Any, path: str) -> str | None:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return path
        return None
    if isinstance(value, dict):
        for key, item in value.items():
            found = _surrogate_path(key, path) or _surrogate_path(item, _joined(path, key))
            if found:
                return found
    elif isinstance(value, list):
        for n, item in enumerate(value):
            found = _surrogate_path(item, f"{path}[{n}]")
            if found:
                return found
    return None
