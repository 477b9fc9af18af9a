"""Files over HTTP, from servers that cut, change their minds and lie."""

from __future__ import annotations

import asyncio
import gzip
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from crawlkit.fetcher import file_transfer
from crawlkit.fetcher.fetch import Fetcher
from crawlkit.files.area import INNER, FileArea
from crawlkit.libs.messages import Fetched
from tests.fetcher.file_server import FileServer, content, digest, file_server
from tests.fetcher.helpers import answer, dispatch, fetcher, in_loop, site, wait_for

SIZE = 1_500_000


class World:
    """A file, a fetcher and the folder it writes to."""

    def __init__(self, server: FileServer, one: Fetcher, root: Path) -> None:
        self.server = server
        self.fetcher = one
        self.root = root

    async def get(self, to: str = "{name}", *, run: int = 1, url: str = "", **options: object) -> Fetched:
        wish = {name: options.pop(name) for name in ("sha256", "size") if name in options}
        task = dispatch(url or self.server.url, download={"to": to, **wish}, **options)
        task.run = run
        return await self.fetcher.fetch(task)

    def there(self) -> list[str]:
        """All files but our own."""
        found = (path.relative_to(self.root / "p") for path in (self.root / "p").rglob("*") if path.is_file())
        return sorted(str(path) for path in found if path.parts[0] != INNER)

    def kept(self) -> list[str]:
        """What is in our own folder beside the book."""
        return sorted(path.name for path in (self.root / "p" / INNER).iterdir() if not path.name.startswith("files.db"))

    def check(self, fetched: Fetched, path: str = "big file.bin", size: int = SIZE, salt: int = 0) -> None:
        assert fetched.error is None, fetched.error
        place = self.root / "p" / path
        assert fetched.file == {"path": str(place), "bytes": size, "sha256": digest(size, salt)}
        assert (fetched.status_code, fetched.content, fetched.blob, fetched.size) == (200, b"", None, size)
        assert place.stat().st_size == size
        assert place.read_bytes()[-100:] == content(size - 100, 100, salt)
        assert self.kept() == []


def read(path: str) -> bytes:
    return Path(path).read_bytes()


@asynccontextmanager
async def world(root: Path, size: int = SIZE, **settings: object) -> AsyncIterator[World]:
    async with file_server(size) as server, fetcher(files_path=str(root), **settings) as one:
        yield World(server, one, root)


@pytest.fixture
def tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawlkit.fetcher.download_rules.PAUSES", (0.01, 0.01, 0.01))
    monkeypatch.setattr(file_transfer, "SYNC_EVERY", 200_000)
    monkeypatch.setattr(file_transfer, "MAX_UNSYNCED", 400_000)


@in_loop
async def test_a_file(tmp_path: Path) -> None:
    async with world(tmp_path) as net:
        net.check(await net.get())
        assert net.there() == ["big file.bin"]
        assert net.server.requests[0]["accept-encoding"] == "identity"
        assert net.server.sent == SIZE


@in_loop
async def test_a_folder_and_a_name_of_its_own(tmp_path: Path) -> None:
    async with world(tmp_path) as net:
        net.check(await net.get("a/b/c.bin", sha256=digest(SIZE), size=SIZE), "a/b/c.bin")


@in_loop
async def test_an_empty_file(tmp_path: Path) -> None:
    async with site() as web, fetcher(files_path=str(tmp_path)) as one:
        web.on("/empty.txt", answer(b""))
        got = await one.fetch(dispatch(f"{web.url}/empty.txt", download={"to": "{name}"}))
    assert got.file is not None
    assert got.file["bytes"] == 0
    assert read(got.file["path"]) == b""


@pytest.mark.parametrize("lengths", [True, False])
@in_loop
async def test_cuts_are_mended_by_ranges(tmp_path: Path, lengths: bool) -> None:
    async with world(tmp_path) as net:
        net.server.lengths = lengths
        net.server.cuts = [100_000] * 9
        net.check(await net.get())
        assert net.server.sent == SIZE
        assert net.server.ranges_asked() == [None, *(f"bytes={100_000 * number}-" for number in range(1, 10))]
        assert [headers.get("if-range") for headers in net.server.requests[1:]] == ['"v1"'] * 9


@in_loop
async def test_by_last_modified(tmp_path: Path) -> None:
    async with world(tmp_path) as net:
        net.server.etag = 'W/"weak"'
        net.server.cuts = [1_000_000]
        net.check(await net.get())
        assert net.server.requests[1]["if-range"] == net.server.modified
        assert net.server.sent == SIZE


@in_loop
async def test_without_validators_a_cut_ends_the_attempt(tmp_path: Path) -> None:
    async with world(tmp_path) as net:
        net.server.etag = net.server.modified = None
        net.server.cuts = [1_000_000]
        first = await net.get()
        assert (first.error_kind, first.file) == ("reset", None)
        net.check(await net.get())
        assert net.server.ranges_asked() == [None, None]  # nothing says that it is the same file


@in_loop
async def test_a_known_hash_is_as_good_as_a_validator(tmp_path: Path) -> None:
    async with world(tmp_path) as net:
        net.server.etag = net.server.modified = None
        net.server.cuts = [1_000_000]
        net.check(await net.get(sha256=digest(SIZE)))
        assert net.server.sent == SIZE


@in_loop
async def test_a_server_without_ranges(tmp_path: Path) -> None:
    async with world(tmp_path) as net:
        net.server.ranges = False
        net.server.cuts = [1_000_000, 1_200_000]
        net.check(await net.get())
        assert net.server.sent == SIZE + 2_200_000


@pytest.mark.parametrize("if_range", [True, False])
@in_loop
async def test_a_file_that_changes_meanwhile(tmp_path: Path, if_range: bool) -> None:
    async with world(tmp_path) as net:
        net.server.cuts = [1_000_000]
        net.server.if_range = if_range
        fetching = asyncio.ensure_future(net.get())
        await wait_for(lambda: bool(net.server.requests))
        net.server.etag, net.server.salt, net.server.delay = '"v2"', 1, 0
        await wait_for(lambda: fetching.done())
        fetched = fetching.result()
        # the head of the first answer said v1 or v2, as it came; either way the file is of one piece
        net.check(fetched, salt=1 if fetched.file and fetched.file["sha256"] == digest(SIZE, 1) else 0)


@pytest.mark.parametrize("if_range", [True, False])
@in_loop
async def test_a_file_that_has_changed(tmp_path: Path, if_range: bool) -> None:
    async with world(tmp_path) as net:
        net.server.cuts = [1_000_000, 0, 0, 0, 0, 0]
        assert (await net.get()).error_kind == "reset"
        net.server.cuts = []
        net.server.if_range = if_range
        net.server.etag, net.server.salt, net.server.size = '"v2"', 1, SIZE + 5
        net.check(await net.get(), size=SIZE + 5, salt=1)
        assert net.server.ranges_asked()[-1] == ("bytes=1000000-" if if_range else None)


@in_loop
async def test_wrong_ranges_are_an_error_and_not_used_again(tmp_path: Path) -> None:
    async with world(tmp_path) as net:
        net.server.cuts = [1_000_000]
        net.server.shift = 7
        first = await net.get()
        assert first.error_kind == "protocol"
        assert "asked for byte 1000000" in str(first.error)
        net.server.cuts = [1_000_000]
        assert (await net.get()).error_kind == "reset"
        net.check(await net.get())
        assert net.server.ranges_asked()[2:] == [None, None]


@in_loop
async def test_ranges_in_pieces(tmp_path: Path) -> None:
    async with world(tmp_path) as net:
        net.server.cuts = [1_000_000]
        net.server.most = 150_000
        net.check(await net.get())
        assert net.server.sent == SIZE
        assert len(net.server.requests) == 5


@in_loop
async def test_a_server_that_is_gone_leaves_the_part(tmp_path: Path) -> None:
    async with world(tmp_path) as net:
        net.server.cuts = [1_000_000, *[0] * 10]
        first = await net.get()
        assert first.error_kind == "reset"
        assert len(net.server.requests) == 5
        assert [name.rpartition(".")[2] for name in net.kept()] == ["json", "part"]
        net.server.cuts = []
        net.check(await net.get())
        assert net.server.sent == SIZE


@in_loop
async def test_an_error_page_is_no_file_and_leaves_the_part(tmp_path: Path) -> None:
    async with world(tmp_path) as net:
        net.server.cuts = [1_000_000, *[0] * 10]
        await net.get()
        net.server.cuts, net.server.status = [], "503 Later"
        net.server.headers = "Retry-After: 7\r\n"
        page = await net.get()
        assert (page.status_code, page.content, page.file) == (503, b"sad\n", None)
        net.server.status = None
        net.check(await net.get())
        assert net.server.sent == SIZE


@pytest.mark.parametrize("status", ["204 No Content", "206 Partial", "226 IM Used"])
@in_loop
async def test_answers_that_bring_no_file(tmp_path: Path, status: str) -> None:
    async with world(tmp_path) as net:
        net.server.status = status
        assert (await net.get()).error_kind == "protocol"
        assert net.there() == []


@in_loop
async def test_a_wrong_hash(tmp_path: Path) -> None:
    async with world(tmp_path) as net:
        fetched = await net.get("x/y.bin", sha256="0" * 64)
        assert (fetched.error_kind, fetched.file) == ("file_broken", None)
        assert str(tmp_path / "p/x/y.bin.broken") in str(fetched.error)
        assert net.there() == ["x/y.bin.broken"]
        assert net.kept() == []
        net.check(await net.get("x/y.bin", sha256=digest(SIZE)), "x/y.bin")


@in_loop
async def test_a_wrong_length(tmp_path: Path) -> None:
    async with world(tmp_path) as net:
        assert (await net.get(size=SIZE + 1)).error_kind == "file_broken"
        assert (net.there(), net.kept()) == ([], [])  # the head said so: nothing was fetched
        net.server.lengths = False
        fetched = await net.get(size=SIZE + 1)
        assert "1,500,000 bytes, 1,500,001 were expected" in str(fetched.error)
        assert net.there() == ["big file.bin.broken"]


@pytest.mark.parametrize("lengths", [True, False])
@in_loop
async def test_max_size(tmp_path: Path, lengths: bool) -> None:
    async with world(tmp_path, max_body=1000) as net:
        net.server.lengths = lengths
        assert (await net.get(max_size=SIZE - 1)).error_kind == "too_large"
        assert (net.there(), net.kept()) == ([], [])
        net.check(await net.get(max_size=SIZE))  # the cap of bodies is none for files


@in_loop
async def test_a_finished_file_is_not_fetched_again(tmp_path: Path) -> None:
    async with world(tmp_path) as net:
        first = await net.get()
        again = await net.get()  # the same run: it came again after a crash
        net.check(again)
        assert len(net.server.requests) == 1
        later = await net.get(run=2)
        net.check(later)
        assert later.headers == [("ETag", '"v1"'), ("Last-Modified", net.server.modified)]
        assert net.server.requests[1]["if-none-match"] == '"v1"'
        assert net.server.sent == SIZE
        assert first.url == again.url == later.url == net.server.url


@in_loop
async def test_a_server_that_ignores_conditions_is_stopped(tmp_path: Path) -> None:
    async with world(tmp_path, size=30_000_000) as net:
        await net.get()
        net.server.conditions = False
        net.check(await net.get(run=2), size=30_000_000)
        assert net.server.sent < 45_000_000


@in_loop
async def test_a_new_version_replaces_the_file_when_it_is_whole(tmp_path: Path) -> None:
    async with world(tmp_path) as net:
        await net.get()
        net.server.etag, net.server.salt = '"v2"', 1
        net.server.cuts = [1_000_000, *[0] * 10]
        assert (await net.get(run=2)).error_kind == "reset"
        assert (tmp_path / "p/big file.bin").read_bytes()[:9] == content(0, 9)
        net.server.cuts = []
        net.check(await net.get(run=2), salt=1)
        assert net.server.sent == 2 * SIZE


@in_loop
async def test_a_file_that_somebody_removed_is_fetched_again(tmp_path: Path) -> None:
    async with world(tmp_path) as net:
        net.check(await net.get())
        (tmp_path / "p/big file.bin").unlink()
        net.check(await net.get())
        os.truncate(tmp_path / "p/big file.bin", 5)
        first = await net.get()
        assert first.error_kind == "file"  # no longer ours: it is not overwritten
        (tmp_path / "p/big file.bin").unlink()
        net.check(await net.get())


@in_loop
async def test_two_tasks_for_one_file(tmp_path: Path) -> None:
    async with world(tmp_path) as net:
        net.server.delay = 0.01
        for fetched in await asyncio.gather(*(net.get(taskid=f"t{number}") for number in range(4))):
            net.check(fetched)
        assert net.server.sent == SIZE


@in_loop
async def test_two_urls_for_one_name(tmp_path: Path) -> None:
    async with world(tmp_path) as net:
        net.check(await net.get(url=net.server.url))
        net.server.salt = 1
        other = await net.get(url=net.server.url + "2")
        assert other.file is not None
        name = Path(other.file["path"]).name
        assert name != "big file.bin"
        assert name.startswith("big file-")
        net.check(other, name, salt=1)
        net.check(await net.get(url=net.server.url + "2"), name, salt=1)
        assert len(net.server.requests) == 2


@in_loop
async def test_two_urls_for_one_target(tmp_path: Path) -> None:
    async with world(tmp_path) as net:
        net.check(await net.get("x.bin"), "x.bin")
        other = await net.get("x.bin", url=net.server.url + "2")
        assert other.error_kind == "file"
        assert "another URL" in str(other.error)
        same = await net.get("x.bin", url=net.server.url + "2", sha256=digest(SIZE))
        net.check(same, "x.bin")
        assert len(net.server.requests) == 1


@in_loop
async def test_what_lies_there_is_not_overwritten(tmp_path: Path) -> None:
    async with world(tmp_path) as net:
        (tmp_path / "p").mkdir()
        (tmp_path / "p/x.bin").write_bytes(b"mine")
        fetched = await net.get("x.bin")
        assert fetched.error_kind == "file"
        assert "crawlkit files adopt" in str(fetched.error)
        assert (tmp_path / "p/x.bin").read_bytes() == b"mine"
        (tmp_path / "p/x.bin").unlink()
        net.check(await net.get("x.bin"), "x.bin")
        assert net.server.sent == SIZE  # what had come was kept


@in_loop
async def test_a_folder_that_leads_out(tmp_path: Path) -> None:
    async with world(tmp_path / "files") as net:
        (tmp_path / "files/p").mkdir(parents=True)
        (tmp_path / "out").mkdir()
        (tmp_path / "files/p/link").symlink_to(tmp_path / "out")
        fetched = await net.get("link/x.bin")
        assert fetched.error_kind == "file"
        assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("download", "options"),
    [
        ({"to": "../x"}, {}), ({"to": "/x"}, {}), ({"to": "x", "sha256": "y"}, {}), ({"to": "x", "what": 1}, {}),
        ({"to": "x"}, {"fetch_type": "splash"}), ({"to": "x"}, {"method": "HEAD"}),
    ],
)  # fmt: skip
@in_loop
async def test_wishes_that_cannot_be(tmp_path: Path, download: dict[str, object], options: dict[str, object]) -> None:
    async with world(tmp_path) as net:
        fetched = await net.fetcher.fetch(dispatch(net.server.url, download=download, **options))
        assert fetched.error_kind == "bad_request"
        data = await net.fetcher.fetch(dispatch("data:,x", download={"to": "x"}))
        assert data.error_kind == "bad_request"
    assert os.listdir(tmp_path) == []


@in_loop
async def test_a_fetcher_without_a_place_for_files() -> None:
    async with fetcher() as one:
        fetched = await one.fetch(dispatch("http://127.0.0.1:1/", download={"to": "x"}))
    assert fetched.error_kind == "bad_request"
    assert "--files-path" in str(fetched.error)


NAMES = [
    ("/a/b.pdf", "", "b.pdf"),
    ("/get?id=1", 'Content-Disposition: attachment; filename="r/../e p\\"ort.pdf"\r\n', "e p＂ort.pdf"),
    ("/get", "Content-Disposition: attachment; filename*=UTF-8''%e2%82%ac%2F..%2Fx.pdf; filename=y\r\n", "x.pdf"),
    ("/get", "Content-Disposition: inline; filename=../../.crawlkit-files\r\n", "crawlkit-files"),
    ("/a%2Fpasswd", "", "a-passwd"),
    ("/", "", "download"),
]


@pytest.mark.parametrize(("path", "headers", "name"), NAMES)
@in_loop
async def test_names(tmp_path: Path, path: str, headers: str, name: str) -> None:
    async with site() as web, fetcher(files_path=str(tmp_path)) as one:
        web.on(path, answer(b"x", headers=headers))
        got = await one.fetch(dispatch(web.url + path, download={"to": "a/{name}"}))
    assert got.file is not None, got.error
    assert got.file["path"] == str(tmp_path / "p/a" / name)


@in_loop
async def test_a_redirect_keeps_the_range_and_names_the_file(tmp_path: Path) -> None:
    async with world(tmp_path) as net, site() as web:
        web.redirect("/dl", net.server.url)
        net.server.cuts = [1_000_000]
        fetched = await net.get(url=f"{web.url}/dl")
        net.check(fetched)
        assert net.server.requests[1]["if-range"] == '"v1"'
        assert (fetched.url, fetched.history) == (net.server.url, [(302, f"{web.url}/dl")])


@pytest.mark.parametrize(
    ("path", "kind", "raw"),
    [("/x.csv", "text/csv", False), ("/x.tar.gz", "application/x-tar", True), ("/x", "application/gzip", True)],
)
@in_loop
async def test_a_coding_that_nobody_asked_for(tmp_path: Path, path: str, kind: str, raw: bool) -> None:
    packed = gzip.compress(b"x" * 5000)
    async with site() as web, fetcher(files_path=str(tmp_path)) as one:
        web.on(path, answer(packed, headers=f"Content-Encoding: gzip\r\nContent-Type: {kind}\r\n"))
        got = await one.fetch(dispatch(web.url + path, download={"to": "{name}"}))
    assert got.file is not None, got.error
    assert read(got.file["path"]) == (packed if raw else b"x" * 5000)


@in_loop
async def test_a_disk_that_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pwrite = os.pwrite
    full = True

    def refuse(fd: int, data: bytes, at: int) -> int:
        if full and at > 500_000:
            raise OSError(28, "No space left on device")
        return pwrite(fd, data, at)

    monkeypatch.setattr(os, "pwrite", refuse)
    async with world(tmp_path) as net:
        fetched = await net.get()
        assert (fetched.error_kind, fetched.error) == ("file", "No space left on device")
        full = False
        net.check(await net.get())
        assert str(net.server.ranges_asked()[1]).startswith("bytes=5")


@in_loop
async def test_a_slow_disk_makes_the_transfer_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync, waiting = os.fsync, 0

    def slow(fd: int) -> None:
        nonlocal waiting
        waiting += 1
        import time

        time.sleep(0.02)
        fsync(fd)

    monkeypatch.setattr(os, "fsync", slow)
    async with world(tmp_path, size=8_000_000) as net:
        net.check(await net.get(), size=8_000_000)
        assert 15 <= waiting / 2 <= 45  # a sync for each 200,000 to 400,000 bytes, and as many notes


@in_loop
async def test_a_stop_keeps_what_has_come(tmp_path: Path) -> None:
    async with world(tmp_path) as net:
        net.server.delay = 0.02
        fetching = asyncio.ensure_future(net.get())
        await wait_for(lambda: net.server.sent > 500_000)
        fetching.cancel()
        await asyncio.gather(fetching, return_exceptions=True)
        net.server.delay = 0
        net.check(await net.get())
        assert net.server.sent < SIZE + 1_000_000
        assert int(str(net.server.ranges_asked()[1]).strip("bytes=-")) > 0


@in_loop
async def test_a_crash_between_the_last_byte_and_the_book(tmp_path: Path) -> None:
    """At each of the last steps; what comes after asks the server for nothing."""
    for step in ("before the move", "after the move"):
        async with world(tmp_path / step) as net:
            url = net.server.url
            area = FileArea(tmp_path / step, "p")
            part = area.open_part(url, "{name}")
            for at in range(0, SIZE, 50_000):
                part.write(content(at, 50_000))
            part.note.path = "big file.bin"
            part.finish()
            if step == "after the move":
                part.file.rename(area.folder / "big file.bin")
            part.close()
            net.check(await net.get())
            assert net.server.requests == []


@in_loop
async def test_a_crash_behind_the_last_byte(tmp_path: Path) -> None:
    async with world(tmp_path) as net:
        part = FileArea(tmp_path, "p").open_part(net.server.url, "{name}")
        for at in range(0, SIZE, 50_000):
            part.write(content(at, 50_000))
        part.note.path, part.note.total, part.note.etag = "big file.bin", SIZE, '"v1"'
        part.sync()
        part.close()
        net.check(await net.get())
        assert net.server.requests == []


@in_loop
async def test_a_file_that_has_become_shorter_than_what_is_there(tmp_path: Path) -> None:
    async with world(tmp_path) as net:
        net.server.cuts = [1_000_000, *[0] * 10]
        await net.get()
        net.server.cuts, net.server.size, net.server.if_range = [], 900_000, False
        net.check(await net.get(), size=900_000)
        assert net.server.ranges_asked()[-2:] == ["bytes=1000000-", None]


@in_loop
async def test_over_tls_and_with_a_session(tmp_path: Path, tls: ssl.SSLContext) -> None:
    async with site(tls) as web, fetcher(files_path=str(tmp_path), validate_cert=False) as one:
        web.on("/f.bin", answer(content(0, 50_000), headers="Set-Cookie: a=1\r\n"))
        url = f"https://127.0.0.1:{web.port}/f.bin"
        got = await one.fetch(dispatch(url, download={"to": "{name}"}, session="s", headers={"Range": "bytes=1-"}))
    assert got.file == {"path": str(tmp_path / "p/f.bin"), "bytes": 50_000, "sha256": digest(50_000)}
    assert got.cookies == {"a": "1"}
    assert got.jar
    assert "range" not in web.asked("/f.bin")[0]


@in_loop
async def test_what_is_behind_the_note_counts_for_nothing(tmp_path: Path) -> None:
    """After a power cut a file may be longer than what was synced, and filled with anything."""
    async with world(tmp_path) as net:
        net.server.cuts = [1_000_000, *[0] * 10]
        await net.get()
        part = next((tmp_path / "p" / INNER).glob("*.part"))
        with part.open("ab") as file:
            file.write(b"\0" * 300_000)
        net.server.cuts = []
        net.check(await net.get())
        assert net.server.ranges_asked()[-1] == "bytes=1000000-"


@pytest.mark.parametrize("harm", ["short", "torn", "gone", "other version"])
@in_loop
async def test_a_note_that_cannot_be_trusted(tmp_path: Path, harm: str) -> None:
    async with world(tmp_path) as net:
        net.server.cuts = [1_000_000, *[0] * 10]
        await net.get()
        note = next((tmp_path / "p" / INNER).glob("*.json"))
        if harm == "short":
            os.truncate(note.with_suffix(".part"), 999_999)
        elif harm == "torn":
            note.write_bytes(note.read_bytes()[:-5])
        elif harm == "gone":
            note.unlink()
        else:
            note.write_bytes(b'{"version": 99, "bytes": 1000000}')
        net.server.cuts = []
        net.check(await net.get())
        assert net.server.ranges_asked()[-1] is None


ADOPTED = [
    ("x/a.bin", "x/a.bin", ""),  # by its place
    ("x/a.bin", "x/{name}", "/a.bin"),  # by the URL's name
    ("x/a.bin", "x/{name}", "/dl?f=1"),  # by the server's name: a head is fetched, and no more
    ("y/other.bin", "x/{name}", "listed"),  # by the URL in a list
]


@pytest.mark.parametrize(("path", "to", "url"), ADOPTED)
@in_loop
async def test_a_file_that_was_taken_over(tmp_path: Path, path: str, to: str, url: str) -> None:
    size = 40_000_000 if "dl" in url else SIZE
    async with world(tmp_path / "files", size=size) as net:
        net.server.headers = "Content-Disposition: attachment; filename=a.bin\r\n"
        (tmp_path / "old").write_bytes(b"adopted")
        area = FileArea(tmp_path / "files", "p")
        asked = net.server.url if url in ("", "listed") else f"http://127.0.0.1:{net.server.port}{url}"
        area.enter([area.adopt(tmp_path / "old", path, url=asked if url == "listed" else "")])
        for run in (1, 2):
            fetched = await net.get(to, url=asked, run=run)
            assert fetched.file is not None, fetched.error
            assert (fetched.file["path"], fetched.file["bytes"]) == (str(area.folder / path), 7)
        assert len(net.server.requests) == (1 if "dl" in url else 0)
        assert net.server.sent < 10_000_000
        assert net.kept() == []
        other = await net.get(to, url=asked + "&2")  # it belongs to one URL
        if "{name}" in to:
            assert other.file is not None, other.error
            assert other.file["bytes"] == size
        else:
            assert other.error_kind == "file"


@in_loop
async def test_a_file_that_was_taken_over_and_is_another(tmp_path: Path) -> None:
    async with world(tmp_path / "files") as net:
        (tmp_path / "old").write_bytes(b"adopted")
        area = FileArea(tmp_path / "files", "p")
        area.enter([area.adopt(tmp_path / "old", "a.bin", copy=True)])
        net.check(await net.get("a.bin", sha256=digest(SIZE)), "a.bin")
