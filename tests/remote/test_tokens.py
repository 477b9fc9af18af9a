"""Kept tokens: for one's own eyes only."""

from __future__ import annotations

from pathlib import Path

import pytest

from crawlkit.libs.errors import UsageError
from crawlkit.remote import tokens


def test_they_are_kept_and_forgotten(tmp_path: Path) -> None:
    file = tokens.place({"XDG_CONFIG_HOME": str(tmp_path / "c")})
    assert file == tmp_path / "c/crawlkit/tokens.json"
    tokens.keep(file, "http://a", "1")
    tokens.keep(file, "http://b", "2")
    assert tokens.read(file) == {"http://a": "1", "http://b": "2"}
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    tokens.keep(file, "http://a", None)
    assert tokens.read(file) == {"http://b": "2"}
    assert [path.name for path in file.parent.iterdir()] == ["tokens.json"]


def test_where_a_token_comes_from(tmp_path: Path) -> None:
    there = {"HOME": str(tmp_path)}
    assert tokens.place(there) == tmp_path / ".config/crawlkit/tokens.json"
    assert tokens.token_for("http://a", there) is None
    tokens.keep(tokens.place(there), "http://a", "kept")
    assert tokens.token_for("http://a", there) == "kept"
    assert tokens.token_for("http://b", there) is None
    assert tokens.token_for("http://a", {**there, "CRAWLKIT_TOKEN": "said"}) == "said"


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [("{}", 0o644, "others can read it"), ("{", 0o600, "is damaged"), ('{"a": 1}', 0o600, "is damaged")],
)
def test_a_file_that_cannot_be_used_is_said(tmp_path: Path, text: str, mode: int, words: str) -> None:
    file = tmp_path / "tokens.json"
    file.write_text(text)
    file.chmod(mode)
    with pytest.raises(UsageError, match=words):
        tokens.read(file)
    with pytest.raises(UsageError, match=words):
        tokens.keep(file, "http://a", "1")
    assert file.read_text() == text
