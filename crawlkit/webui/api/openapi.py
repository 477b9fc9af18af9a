"""The OpenAPI 3.1 document of the API, made from what the rooms declare. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from crawlkit.webui.api.registry import ANY, PATH_PATTERNS, PREFIX, Endpoint, Room

REFUSED = {
    400: "What was sent is not valid; `detail` says what and where.",
    401: "Nobody is signed in, or the token is not known.",
    403: "This user may not do that.",
    404: "There is no such thing.",
    405: "This resource has no such method.",
    409: "It was changed meanwhile.",
    413: "Too large.",
    415: "The body is not `application/json`.",
    422: "The script does not load.",
    429: "Too many at once; try again later.",
    503: "The scheduler or a database does not answer.",
}


def document(rooms: Sequence[Room], version: str, prefix: str = "") -> dict[str, Any]:
    """The whole document. ``prefix``: the server's path behind a reverse proxy."""
    endpoints = [one for room in rooms for one in (*room.endpoints, *room.streams)]
    types = _types(endpoints)
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    schema_of = {id(kind): schema for kind, schema in zip(types, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for one in endpoints:
        paths.setdefault(PREFIX + one.path, {})[one.method.lower()] = _operation(one, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {"title": "crawlkit", "version": version, "license": {"name": "Apache-2.0"}},
        "servers": [{"url": prefix or "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(room.tag for room in rooms)],
        "paths": paths,
        "components": {
            "schemas": {**components, "Problem": _PROBLEM},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


_PROBLEM = {
    "type": "object",
    "properties": {"status": {"type": "integer"}, "title": {"type": "string"}, "detail": {"type": "string"}},
    "required": ["status", "title", "detail"],
}


def _types(endpoints: Sequence[Endpoint]) -> list[Any]:
    found: list[Any] = []
    for one in endpoints:
        found += [kind for kind in (one.query, one.body, one.returns) if kind is not None]
    return found


def _operation(one: Endpoint, schema_of: dict[int, Any]) -> dict[str, Any]:
    words = one.words.split("\n\n", 1)
    operation: dict[str, Any] = {
        "operationId": one.name,
        "tags": [one.tag],
        "summary": " ".join(words[0].split()),
        "description": f"{words[1].strip() if len(words) > 1 else ''}\n\nNeeds the role {one.role}.".strip(),
        "parameters": [*_path_parameters(one.path), *_query_parameters(one)],
        "responses": _responses(one, schema_of),
    }
    if one.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema_of[id(one.body)]}},
        }
    return operation


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "pattern": f"^{PATH_PATTERNS.get(name, ANY)}$"},
        }
        for name in re.findall(r"\{(\w+)\}", path)
    ]


def _query_parameters(one: Endpoint) -> list[dict[str, Any]]:
    if one.query is None:
        return []
    (schema,), components = msgspec.json.schema_components([one.query], ref_template="{name}")
    whole = components[schema["$ref"]]
    return [
        {
            "name": name,
            "in": "query",
            "required": name in whole.get("required", []),
            "schema": {key: value for key, value in inner.items() if key != "description"},
            **({"description": inner["description"]} if "description" in inner else {}),
        }
        for name, inner in whole.get("properties", {}).items()
    ]


def _responses(one: Endpoint, schema_of: dict[int, Any]) -> dict[str, Any]:
    good: dict[str, Any] = {"description": "Done."}
    if one.returns is not None:
        good["content"] = {"application/json": {"schema": schema_of[id(one.returns)]}}
    elif one.status == 200:  # a stream
        good = {"description": "The file, in pieces.", "content": {"*/*": {}}}
    usual = {400, 401, 403, 404, 405, 429, 503, *one.refusals, *((413, 415) if one.body is not None else ())}
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    refusals = {str(code): {"description": REFUSED[code], "content": problem} for code in sorted(usual)}
    return {str(one.status): good, **refusals}
