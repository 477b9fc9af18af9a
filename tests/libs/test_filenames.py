"""Names made safe for files, and targets that are refused."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlkit.libs.errors import InvalidTask
from crawlkit.libs.filenames import MAX_NAME, check_target, download_args, is_device, marked, path_of, safe_name

SAFE = [
    ("report.pdf", "report.pdf"),
    ("a/b.txt", "a-b.txt"),
    ("../../etc/passwd", "-..-etc-passwd"),
    ("..", "download"),
    ("", "download"),
    (" . ", "download"),
    ("C:\\Users\\x.doc", "C：-Users-x.doc"),
    ("Episode 1: What?", "Episode 1： What？"),
    ('a"b<c>d|e*f', "a＂b＜c＞d｜e＊f"),
    (".bashrc", "bashrc"),
    (".crawlkit-files.db", "crawlkit-files.db"),
    ("x\0y\x01.txt", "xy.txt"),
    ("two\nlines\t.txt", "two lines .txt"),
    ("evil\u202efdp.exe", "evilfdp.exe"),
    ("lone\ud800.bin", "lone？.bin"),
    ("NUL", "_NUL"),
    ("nul.txt", "_nul.txt"),
    ("com1.tar.gz", "_com1.tar.gz"),
    ("LPT¹.x", "_LPT¹.x"),
    ("console.txt", "console.txt"),
    ("e\u0301.txt", "\xe9.txt"),
    ("日本語.zip", "日本語.zip"),
    ("x" * 300 + ".pdf", "x" * 236 + ".pdf"),
    ("日" * 100 + ".zip", "日" * 78 + ".zip"),
    ("x" * 300 + "." + "y" * 50, "x" * 240),
    ("trailing. . .", "trailing"),
]


@pytest.mark.parametrize(("text", "name"), SAFE)
def test_safe_name(text: str, name: str) -> None:
    assert safe_name(text) == name


@given(st.text(), st.integers(10, MAX_NAME))
def test_whatever_it_is_a_name_is_safe(text: str, room: int) -> None:
    name = safe_name(text, room)
    assert 0 < len(name.encode()) <= max(room, 10)
    assert not set(name) & set('/\\:*?"<>|\0')
    assert name not in (".", "..")
    assert not name.startswith(".")
    assert not is_device(name)
    assert all(unicodedata.category(char)[0] != "C" for char in name)
    assert safe_name(name, room) == name


TARGETS = [
    ("{name}", "{name}"),
    ("pdf/{name}", "pdf/{name}"),
    ("pdf/", "pdf/{name}"),
    ("a/b/c.mp4", "a/b/c.mp4"),
    ("a: b?.mp4", "a: b?.mp4"),
    (".hidden/x", ".hidden/x"),
    ("{other}.txt", "{other}.txt"),
    ("x-{name}.bak", "x-{name}.bak"),
]
REFUSED = [
    *("", "/etc/passwd", "../x", "a/../b", "a/./b", "a//b", "~/x", "C:/x", "c:\\x", "a\\b", "a\0b", "a\u202eb", "a\nb"),
    *("nul", "a/CON.txt", "LPT1/x", "{name}/x", "{name}-{name}", "s3://bucket/x", "file:///x", ".crawlkit-files/x"),
    *(".CRAWLKIT.db", "a/.crawlkit", "x" * 241, "日" * 81, "/".join(["x" * 99] * 11), "..", ".", "a/..", "x\ud800"),
]


@pytest.mark.parametrize(("to", "target"), TARGETS)
def test_a_target(to: str, target: str) -> None:
    assert check_target(to) == target


@pytest.mark.parametrize("to", REFUSED)
def test_a_target_that_is_refused(to: str) -> None:
    with pytest.raises(InvalidTask, match=r"^fetch\.download\.to: "):
        check_target(to)


PATHS = [
    ("{name}", "a.pdf", "a.pdf"),
    ("pdf/{name}", "../x", "pdf/-x"),
    ("pdf/x-{name}.bak", "a.pdf", "pdf/x-a.pdf.bak"),
    ("pdf/fixed.pdf", "a.pdf", "pdf/fixed.pdf"),
    ("pdf/{name}", "", "pdf/download"),
    ("n{name}", "ul", "_nul"),
    (".craw{name}", "lkit", "_.crawlkit"),
    ("y" * 100 + "{name}", "x" * 300 + ".pdf", "y" * 100 + "x" * 136 + ".pdf"),
]


@pytest.mark.parametrize(("target", "name", "path"), PATHS)
def test_the_path_of_a_target(target: str, name: str, path: str) -> None:
    assert path_of(target, name) == path


@given(st.sampled_from(["{name}", "a/{name}", "a/b-{name}.x"]), st.text())
def test_a_path_stays_below(target: str, name: str) -> None:
    path = path_of(target, name)
    assert path.startswith(target.partition("{name}")[0])
    assert path.count("/") == target.count("/")
    assert len(path.rpartition("/")[2].encode()) <= MAX_NAME
    assert check_target(path.replace("{name}", "x")) == path.replace("{name}", "x")


MARKED = [("a/b.pdf", "a/b-1f.pdf"), ("b", "b-1f"), ("a.b/c", "a.b/c-1f"), (".x", ".x-1f"),
          ("x" * 239 + "." , None)]  # fmt: skip


@pytest.mark.parametrize(("path", "expected"), MARKED)
def test_marked(path: str, expected: str | None) -> None:
    made = marked(path, "1f")
    assert made == expected or (expected is None and len(made) <= MAX_NAME)


WISHES = [
    ({}, {"to": "{name}"}),
    ({"to": "a/"}, {"to": "a/{name}"}),
    ({"sha256": " " + "AB" * 32}, {"to": "{name}", "sha256": "ab" * 32}),
    ({"size": 0}, {"to": "{name}", "size": 0}),
    ({"sha256": None, "size": None}, {"to": "{name}"}),
]
WRONG = [
    ("x", "fetch.download"), ({"where": 1}, "fetch.download"), ({"to": 1}, "fetch.download.to"),
    ({"sha256": "abc"}, "fetch.download.sha256"), ({"sha256": 1}, "fetch.download.sha256"),
    ({"size": -1}, "fetch.download.size"), ({"size": True}, "fetch.download.size"),
    ({"size": 1.5}, "fetch.download.size"),
]  # fmt: skip


@pytest.mark.parametrize(("wish", "args"), WISHES)
def test_download_args(wish: dict[str, object], args: dict[str, object]) -> None:
    assert download_args(wish) == args


@pytest.mark.parametrize(("wish", "path"), WRONG)
def test_download_args_that_are_wrong(wish: object, path: str) -> None:
    with pytest.raises(InvalidTask) as raised:
        download_args(wish)
    assert raised.value.path == path
