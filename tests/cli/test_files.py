"""``crawlkit files``: earlier downloads taken over, listed and checked."""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from pathlib import Path

import pytest

from crawlkit.cli import run

DATA = b"whole" * 1000
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(path: str, data: bytes = DATA) -> Path:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return file


def listed(capsys: pytest.CaptureFixture[str], project: str = "shows") -> dict[str, dict[str, object]]:
    capsys.readouterr()
    assert run(["files", "list", project]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return {row["path"]: row for row in rows}


def test_a_folder_of_whole_files(capsys: pytest.CaptureFixture[str]) -> None:
    write("old/a.mp4")
    write("old/season 1/b：c.mp4", b"x")
    write("old/.DS_Store")
    assert run(["files", "adopt", "old", "--project", "shows"]) == 0
    assert "2 files taken over, 5,001 bytes" in capsys.readouterr().err
    found = listed(capsys)
    assert list(found) == ["a.mp4", "season 1/b：c.mp4"]
    assert (found["a.mp4"]["bytes"], found["a.mp4"]["sha256"]) == (5000, SHA256)
    assert Path("data/files/shows/a.mp4").read_bytes() == DATA
    assert Path("old/a.mp4").read_bytes() == DATA
    assert Path("old/a.mp4").samefile("data/files/shows/a.mp4")
    assert run(["files", "adopt", "old", "--project", "shows"]) == 0  # and again
    assert list(listed(capsys)) == list(found)


HALF = [
    ("a.mp4.part", DATA, "half-written"),
    ("a.mp4.crdownload", DATA, "half-written"),
    ("a.mp4.PART", DATA, "half-written"),
    ("a.mp4.aria2", DATA, "half-written"),
    ("a.mp4.broken", DATA, "broken"),
    ("empty.mp4", b"", "is empty"),
    ("nul.txt", DATA, "device"),
    ("a\\b", DATA, "not safe"),
    ("{name}.txt", DATA, "{name}"),
]


@pytest.mark.parametrize(("name", "data", "reason"), HALF)
def test_half_written_files_are_refused(
    name: str, data: bytes, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(f"old/{name}", data)
    write("old/good.mp4")
    assert run(["files", "adopt", "old", "--project", "shows"]) == 1
    said = capsys.readouterr().err
    assert f"refused {name}: " in said
    assert reason in said
    assert "1 file taken over, 5,000 bytes" in said
    assert list(listed(capsys)) == ["good.mp4"]
    assert [path.name for path in Path("data/files/shows").glob("*")].count("good.mp4") == 1


def test_a_control_file_beside_it(capsys: pytest.CaptureFixture[str]) -> None:
    write("old/a.iso")
    write("old/a.iso.aria2", b"x")
    assert run(["files", "adopt", "old", "--project", "shows"]) == 1
    assert "refused a.iso: a.iso.aria2 beside it" in capsys.readouterr().err
    assert listed(capsys) == {}


def test_a_list_of_urls_sizes_and_hashes(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b", "c", "d"):
        write(f"old/{name}.mp4")
    Path("list.csv").write_text(
        "path,url,size,sha256\n"
        f"a.mp4,http://s.example/a,5000,{SHA256.upper()}\n"
        "b.mp4,http://s.example/b,5001,\n"
        f"./c.mp4,,,{'0' * 64}\n"
        "gone.mp4,http://s.example/g,,\n"
    )
    assert run(["files", "adopt", "old", "--project", "shows", "--url-from", "list.csv", "--to", "sub"]) == 1
    said = capsys.readouterr().err
    assert "refused b.mp4: has 5,000 bytes, 5,001 were expected" in said
    assert "refused c.mp4: has sha256" in said
    assert "not there: gone.mp4" in said
    found = listed(capsys)
    assert {path: row["url"] for path, row in found.items()} == {"sub/a.mp4": "http://s.example/a", "sub/d.mp4": ""}


def test_an_empty_file_that_is_meant_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    write("old/e.txt", b"")
    Path("list.csv").write_text("path,size\ne.txt,0\n")
    assert run(["files", "adopt", "old", "--project", "shows", "--url-from", "list.csv"]) == 0
    assert list(listed(capsys)) == ["e.txt"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("file,url\n", "its first line"), ("path,size\nx,ten\n", "line 2: size 'ten'"), ("", "its first line"),
        ("path,sha256\nx,12\n", "line 2: sha256"), ("path,url\n,http://x\n", "line 2: no path"),
    ],
)  # fmt: skip
def test_lists_that_are_wrong(text: str, problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    write("old/a.mp4")
    Path("list.csv").write_text(text)
    assert run(["files", "adopt", "old", "--project", "shows", "--url-from", "list.csv"]) == 2
    assert problem in capsys.readouterr().err


def test_files_that_are_in_their_place_already(capsys: pytest.CaptureFixture[str]) -> None:
    write("data/files/shows/deep/a.mp4")
    write("data/files/shows/b.mp4")
    assert run(["files", "adopt", "data/files/shows/deep", "--project", "shows"]) == 0
    assert list(listed(capsys)) == ["deep/a.mp4"]
    assert run(["files", "adopt", "data/files/shows", "--project", "shows"]) == 0
    assert list(listed(capsys)) == ["b.mp4", "deep/a.mp4"]
    assert run(["files", "adopt", "data/files/shows", "--project", "shows", "--to", "x"]) == 2


def test_what_is_there_is_not_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    write("old/a.mp4")
    write("data/files/shows/a.mp4", b"another")
    assert run(["files", "adopt", "old", "--project", "shows"]) == 1
    assert "refused a.mp4: " in capsys.readouterr().err
    assert Path("data/files/shows/a.mp4").read_bytes() == b"another"


def test_copies_and_another_place(capsys: pytest.CaptureFixture[str]) -> None:
    write("old/a.mp4")
    assert run(["files", "adopt", "old", "--project", "shows", "--copy", "--files-path", "else"]) == 0
    assert Path("else/shows/a.mp4").read_bytes() == DATA
    assert not Path("old/a.mp4").samefile("else/shows/a.mp4")
    assert listed(capsys) == {}
    assert os.listdir("else/shows/.crawlkit-files") == ["files.db"]


def test_links_are_not_followed(capsys: pytest.CaptureFixture[str]) -> None:
    write("secret.txt")
    Path("old").mkdir()
    Path("old/link.txt").symlink_to(Path("secret.txt").absolute())
    assert run(["files", "adopt", "old", "--project", "shows"]) == 1
    assert "refused link.txt: is no file" in capsys.readouterr().err


def test_check(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b", "c"):
        write(f"old/{name}")
    assert run(["files", "adopt", "old", "--project", "shows", "--copy"]) == 0
    assert run(["files", "check", "shows"]) == 0
    write("data/files/shows/b", zlib.compress(DATA)[:5000])
    Path("data/files/shows/c").unlink()
    capsys.readouterr()
    assert run(["files", "check", "shows"]) == 1
    said = capsys.readouterr().err
    assert "shows/b: has changed" in said
    assert "shows/c: is gone" in said
    assert "1 as they were, 2 not" in said


@pytest.mark.parametrize("args", [["adopt", "nowhere", "--project", "p"], ["adopt", "."], ["list", "a b"]])
def test_usage(args: list[str]) -> None:
    assert run(["files", *args]) == 2
