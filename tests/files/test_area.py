"""Where files go, who may work on them, and crashes between the last steps."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from crawlkit.files.area import INNER, FileArea
from crawlkit.files.part import Part
from crawlkit.libs.errors import FetchError

URL = "http://a.example/x.pdf"
LOCK_AND_WAIT = """
import sys, time
from pathlib import Path
from crawlkit.files.area import FileArea
lock = FileArea(Path(sys.argv[1]), "p").try_lock("u", "t")
print(lock is not None, flush=True)
time.sleep(60)
"""


@pytest.fixture
def area(tmp_path: Path) -> FileArea:
    return FileArea(tmp_path, "p")


def whole(area: FileArea, path: str, data: bytes, url: str = URL, target: str = "{name}") -> Part:
    part = area.open_part(url, target)
    part.write(data)
    part.note.path = path
    part.finish()
    return part


def test_a_part_goes_to_its_place_and_into_the_book(area: FileArea) -> None:
    entry = area.settle(whole(area, "a/b/x.pdf", b"12345"), run=3, now=9.0)
    assert (entry.path, entry.bytes, entry.url, entry.run, entry.checked) == ("a/b/x.pdf", 5, URL, 3, 9.0)
    assert area.place("a/b/x.pdf").read_bytes() == b"12345"
    assert area.finished(URL, "{name}", "x.pdf", 3, 9.0) == entry
    assert sorted(os.listdir(area.inner)) == ["files.db"]


STEPS = [
    "crawlkit.files.area._lock",
    "crawlkit.files.area.FileArea.place",
    "crawlkit.files.area.sync_folder",
    "crawlkit.files.book.FileBook.put",
    "crawlkit.files.part.Part.discard",
]


@pytest.mark.parametrize("step", STEPS)
def test_a_crash_at_any_step_is_made_good(area: FileArea, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    part = whole(area, "x.pdf", b"12345")
    with monkeypatch.context() as broken:
        broken.setattr(step, crash)
        with pytest.raises(KeyboardInterrupt):
            area.settle(part, run=1, now=1.0)
    part.close()
    entry = area.finished(URL, "{name}", "", 1, 2.0)
    assert entry is not None
    assert (entry.path, entry.bytes) == ("x.pdf", 5)
    assert area.place("x.pdf").read_bytes() == b"12345"
    assert area.finished(URL, "{name}", "", 1, 3.0) == entry
    assert sorted(os.listdir(area.inner)) == ["files.db"]


def test_an_update_that_crashed_is_not_mistaken_for_the_old_file(area: FileArea) -> None:
    old = area.settle(whole(area, "x.pdf", b"12345"), 1, 1.0)
    new = whole(area, "x.pdf", b"abcde")  # of the same length
    os.replace(new.file, area.place("x.pdf"))
    new.close()
    entry = area.finished(URL, "{name}", "", 2, 2.0)
    assert entry is not None
    assert entry.sha256 == new.note.sha256 != old.sha256


def test_a_finished_part_that_somebody_removed(area: FileArea) -> None:
    part = whole(area, "x.pdf", b"12345")
    part.close()
    part.file.unlink()
    assert area.finished(URL, "{name}", "", 1, 1.0) is None
    assert os.listdir(area.inner) == []


TAKEN = [
    ("a folder", "is there and is no file"),
    ("a file", "nothing is known of it"),
    ("another URL's", "another URL"),
]


@pytest.mark.parametrize(("what", "problem"), TAKEN)
def test_a_place_that_is_taken(area: FileArea, what: str, problem: str) -> None:
    area.make()
    if what == "a folder":
        area.place("x.pdf").mkdir()
    elif what == "a file":
        area.place("x.pdf").write_bytes(b"mine")
    else:
        area.settle(whole(area, "x.pdf", b"other", "http://other/", "x.pdf"), 1, 1.0)
    part = whole(area, "x.pdf", b"12345", target="x.pdf")
    with pytest.raises(FetchError, match=problem) as raised:
        area.settle(part, 1, 1.0)
    assert raised.value.kind == "file"
    assert part.file.exists()


def test_the_same_bytes_from_two_urls_are_one_file(area: FileArea) -> None:
    for url in (URL, "http://other/"):
        entry = area.settle(whole(area, "x.pdf", b"same", url, "x.pdf"), 1, 1.0)
        assert entry.path == "x.pdf"


def test_a_name_that_is_taken_gets_a_mark(area: FileArea) -> None:
    paths = [area.settle(whole(area, "x.pdf", url.encode(), url), 1, 1.0).path for url in ("u1", "u2", "u3", "u2")]
    assert paths[0] == "x.pdf"
    assert len(set(paths)) == 3
    assert paths[1] == paths[3]
    assert all(path.startswith("x-") and path.endswith(".pdf") for path in paths[1:])


@pytest.mark.parametrize("path", ["../x", "/x", "a/../../x", "link/x", f"{INNER}/x", f"{INNER}/files.db"])
def test_ways_out(area: FileArea, path: str, tmp_path: Path) -> None:
    area.make()
    (area.folder / "link").symlink_to(tmp_path)
    with pytest.raises(FetchError) as raised:
        area.place(path)
    assert raised.value.kind == "file"


def test_a_link_to_a_folder_inside_is_fine(area: FileArea) -> None:
    area.make()
    (area.folder / "real").mkdir()
    (area.folder / "link").symlink_to(area.folder / "real")
    area.settle(whole(area, "link/x.pdf", b"1"), 1, 1.0)
    assert (area.folder / "real/x.pdf").read_bytes() == b"1"


def test_a_broken_part_is_set_apart_and_replaces_an_older_one(area: FileArea) -> None:
    for data in (b"1", b"2"):
        part = area.open_part(URL, "a/{name}")
        part.write(data)
        part.note.path = "a/x.pdf"
        assert area.set_apart(part).read_bytes() == data
    assert os.listdir(area.folder / "a") == ["x.pdf.broken"]
    assert area.finished(URL, "a/{name}", "", 1, 1.0) is None


def test_locks(area: FileArea) -> None:
    lock = area.try_lock("u", "x.pdf")
    assert lock is not None
    assert area.try_lock("v", "x.pdf") is None  # a target is locked for all URLs
    named = area.try_lock("u", "{name}")
    assert named is not None
    assert area.try_lock("u", "{name}") is None
    other = area.try_lock("v", "{name}")
    assert other is not None
    for each in (lock, named, other):
        each.release()
    again = area.try_lock("v", "x.pdf")
    assert again is not None
    again.release()
    assert os.listdir(area.inner) == []


def test_a_killed_process_leaves_no_lock(area: FileArea, tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", LOCK_AND_WAIT, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"True\n"
        assert area.try_lock("u", "t") is None
        holder.send_signal(signal.SIGKILL)
        holder.wait(10)
    lock = area.try_lock("u", "t")
    assert lock is not None
    lock.release()


def test_locks_among_threads_let_one_in_at_a_time(area: FileArea) -> None:
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        for _ in range(100):
            lock = area.try_lock("u", "t")
            if lock is not None:
                inside.append(1)
                most.append(len(inside))
                inside.pop()
                lock.release()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(most) == {1}


def test_a_lock_that_nobody_holds_any_more_is_free(area: FileArea) -> None:
    lock = area.try_lock("u", "t")
    assert lock is not None
    del lock
    again = area.try_lock("u", "t")
    assert again is not None
    again.release()
    again.release()
