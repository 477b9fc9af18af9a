"""A selector as data, and how it reads as CSS and as XPath.

Pure. Both texts are of the dialects that parsel takes: ``:contains("text")`` in CSS, ``has-class("name")`` in XPath.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from crawlkit.webui.page_tree import Key

Relation = Literal[" ", ">", "+"]
_PLAIN = re.compile(r"-?[A-Za-z_\u00a0-\U0010ffff][A-Za-z0-9_\u00a0-\U0010ffff-]*\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Step:
    """One compound of a selector, and how it stands to the one before it."""

    keys: tuple[Key, ...] = ()
    """Features, the tag first if it is among them."""
    relation: Relation = " "
    nth: int | None = None
    """n-th of its tag among its siblings, from 1; -1 is the last. Needs the tag among ``keys``."""
    contains: str | None = None

    def after(self, relation: Relation) -> Step:
        return replace(self, relation=relation)

    @property
    def tag(self) -> str | None:
        return self.keys[0][1] if self.keys and self.keys[0][0] == "tag" else None


Steps = tuple[Step, ...]


def css_of(steps: Steps) -> str | None:
    """As CSS; ``None`` when there is no such selector (a tag of an XML namespace)."""
    parts: list[str] = []
    for step in steps:
        if step.tag is not None and step.tag.startswith("{"):
            return None
        compound = _css(step)
        relation = "" if not parts else " " if step.relation == " " else f" {step.relation} "
        parts.append(relation + compound)
    return "".join(parts)


def _css(step: Step) -> str:
    parts: list[str] = []
    for key in step.keys:
        if key[0] == "tag":
            parts.append(_identifier(key[1]))
        elif key[0] == "id":
            parts.append("#" + _identifier(key[1]))
        elif key[0] == "class":
            parts.append("." + _identifier(key[1]))
        else:
            value = f"={_string(key[2])}" if len(key) > 2 else ""
            parts.append(f"[{_identifier(key[1])}{value}]")
    if step.contains is not None:
        parts.append(f":contains({_string(step.contains)})")
    if step.nth is not None:
        parts.append(":last-of-type" if step.nth == -1 else f":nth-of-type({step.nth})")
    return "".join(parts) or "*"


def xpath_of(steps: Steps) -> str:
    """As XPath."""
    parts: list[str] = []
    for step in steps:
        tag = step.tag
        name = tag if tag and _PLAIN.match(tag) else "*"
        tests = [] if name != "*" or tag is None else [f"local-name()={_literal(tag.rpartition('}')[2])}"]
        tests += [_test(key) for key in step.keys if key[0] != "tag"]
        if step.contains is not None:
            tests.append(f"contains(., {_literal(step.contains)})")
        axis = "//" if step.relation == " " or not parts else "/"
        if step.relation == "+" and parts:
            # the next sibling, whatever it is, and only if it is this
            parts.append(f"/following-sibling::*[1][self::{name}]" + "".join(f"[{test}]" for test in tests))
        elif step.nth is not None:
            position = "last()" if step.nth == -1 else str(step.nth)
            parts.append(f"{axis}{name}[{position}]" + "".join(f"[{test}]" for test in tests))
        else:
            parts.append(f"{axis}{name}" + "".join(f"[{test}]" for test in tests))
    return "".join(parts)


def _test(key: Key) -> str:
    if key[0] == "id":
        return f"@id={_literal(key[1])}"
    if key[0] == "class":
        return f"has-class({_literal(key[1])})"
    return f"@{key[1]}={_literal(key[2])}" if len(key) > 2 else f"@{key[1]}"


def _identifier(name: str) -> str:
    if _PLAIN.match(name):
        return name
    return "".join(_escaped(letter, at, name) for at, letter in enumerate(name))


def _escaped(letter: str, at: int, name: str) -> str:
    if letter.isdigit() and letter.isascii():
        leading = at == 0 or (at == 1 and name[0] == "-")
        return f"\\{ord(letter):x} " if leading else letter
    if letter in "-_" or (letter.isascii() and letter.isalpha()) or ord(letter) >= 0x80:
        return letter if name != "-" else "\\-"
    return f"\\{ord(letter):x} " if _CONTROL.match(letter) else "\\" + letter


def _string(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + _CONTROL.sub(lambda found: f"\\{ord(found.group()):x} ", escaped) + '"'


def _literal(text: str) -> str:
    """An XPath string; it has no escapes, so one with both kinds of quotes is put together."""
    if '"' not in text:
        return f'"{text}"'
    if "'" not in text:
        return f"'{text}'"
    return "concat(" + ", '\"', ".join(f'"{part}"' for part in text.split('"')) + ")"
