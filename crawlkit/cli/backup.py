"""``crawlkit backup`` and ``crawlkit restore``: all that a crawl has, in one file, taken while it runs."""

from __future__ import annotations

import json
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crawlkit import __version__, datapath
from crawlkit.cli.base import command, option, say, settings_of
from crawlkit.libs.errors import UsageError

if TYPE_CHECKING:
    from crawlkit.cli.places import Place
    from crawlkit.moving.archive import Reader
    from crawlkit.moving.backup import Restored
    from crawlkit.settings import Settings

KINDS = ("taskdb", "resultdb", "projectdb", "accountdb", "blobdb")


@command(
    name="backup",
    example="crawlkit backup /backups/\ncrawlkit backup s3://bucket/crawl.tar.gz --with-secret-key\n"
    "crawlkit backup --verify /backups/crawlkit-20260131-120000.tar.gz",
)
@click.argument("file", metavar="FILE|DIR|URL")
@option("--verify", is_flag=True, help="Write nothing: read FILE and say whether it is whole.")
@option("--with-secret-key", is_flag=True, help="Put the key that settings of projects are sealed with into it.")
@option("--logs/--no-logs", default=False, show_default=True, help="Log lines as well.")
@option("--json", "as_json", is_flag=True, help="One JSON object at the end.")
@click.pass_context
def backup(ctx: click.Context, /, file: str, verify: bool, with_secret_key: bool, logs: bool, as_json: bool) -> None:
    """Write all that the crawl has into one archive, while it runs: tasks, results, projects, accounts, kept pages.

    FILE is a file, a folder, or a URL that fsspec knows; a folder gets an archive named after the time.
    """
    from crawlkit.moving import targets

    now = time.time()
    if verify:
        _verify(file, as_json)
        return
    place = targets.place_of(file, now)
    rows = _write(settings_of(ctx), place, now, with_secret_key, logs)
    if as_json:
        click.echo(json.dumps({"file": targets.where_of(place), "rows": rows}))
    say(f"{sum(rows.values()):,} rows in {targets.where_of(place)}, in {time.time() - now:.1f} s")


def _write(settings: Settings, place: str, now: float, with_key: bool, logs: bool) -> dict[str, int]:
    from crawlkit.cli.carrying import Display
    from crawlkit.files.store import is_url
    from crawlkit.moving import backup as moving
    from crawlkit.moving import targets

    given = datapath.secret_key(settings.data_path, settings.secret_key)
    if with_key and given is None:
        raise UsageError(f"--with-secret-key: there is none: neither CRAWLKIT_SECRET_KEY nor {settings.data_path}")
    display = Display()
    with ExitStack() as stack:
        stack.callback(display.close)
        stores = _open(settings, [*KINDS, "logdb"] if logs else list(KINDS), stack)
        folder = tempfile.gettempdir() if is_url(place) else str(Path(place).absolute().parent)
        with targets.written(place) as stream:
            rows = moving.backup(
                stores, stream, folder=folder, version=__version__, now=now, key=given if with_key else None,
                tell=display.tell,
            )  # fmt: skip
    if given is not None and not with_key:
        say(
            "settings of projects are sealed with a key that is not in the archive: keep"
            f" {'CRAWLKIT_SECRET_KEY' if settings.secret_key else settings.data_path / datapath.SECRET_KEY} elsewhere,"
            " or say --with-secret-key"
        )
    if (settings.data_path / "files").is_dir():
        say(f"downloads are not in the archive: they are in {settings.data_path / 'files'}")
    return rows


def _open(settings: Settings, kinds: list[str], stack: ExitStack) -> dict[str, Any]:
    """The stores that are there, to be read."""
    from crawlkit.cli.places import FILES
    from crawlkit.database import registry

    stores: dict[str, Any] = {}
    for kind in kinds:
        url = settings.store_url(kind)
        if url.startswith("local") or (settings.is_here(kind) and not (settings.data_path / FILES[kind]).exists()):
            continue
        store = getattr(registry, f"connect_{kind}")(url, read_only=True)
        stack.callback(store.close)
        stores[kind] = store
    if "taskdb" not in stores:
        raise UsageError(f"data path {settings.data_path}: there is nothing yet; name it with --data-path")
    return stores


def _verify(file: str, as_json: bool) -> None:
    from crawlkit.moving import targets

    with targets.read(file) as stream:
        reader = _read(stream, targets.where_of(file))
    if as_json:
        click.echo(json.dumps({"file": reader.where, "rows": dict(reader.rows), "made": reader.manifest.made}))
    say(_about(reader))


def _read(stream: Any, where: str) -> Reader:
    """An archive that was read to its end."""
    from crawlkit.moving.archive import Reader

    reader = Reader(stream, where)
    for _ in reader.chunks():
        pass
    return reader


def _about(reader: Reader) -> str:
    manifest = reader.manifest
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(manifest.made))
    key = ", with the secret key" if manifest.secret_key else ""
    rows = sum(reader.rows.values())
    what = f"{reader.where}: whole: {rows:,} rows of {', '.join(manifest.stores)}{key}"
    return f"{what}, made {when} by crawlkit {manifest.crawlkit}"


@command(
    name="restore",
    example="crawlkit restore /backups/crawlkit-20260131-120000.tar.gz --data-path new\n"
    "crawlkit --database postgresql+psycopg://crawler@db.example/crawl restore crawl.tar.gz",
)
@click.argument("file", metavar="FILE|URL")
@option("--overwrite", is_flag=True, help="Lose what the stores hold now.")
@option("--json", "as_json", is_flag=True, help="One JSON object at the end.")
@click.pass_context
def restore(ctx: click.Context, /, file: str, overwrite: bool, as_json: bool) -> int:
    """Put an archive of `crawlkit backup` back, into stores of whatever kind. The archive is read whole before.

    The crawl goes on from there. Pages that came after the backup are fetched again; no result is there twice.
    """
    from crawlkit.cli.carrying import Display
    from crawlkit.cli.places import check_idle, standing_still
    from crawlkit.moving import backup as moving
    from crawlkit.moving import targets

    started, settings = time.monotonic(), settings_of(ctx)
    with targets.read(file) as stream:
        checked = _read(stream, targets.where_of(file))
    say(_about(checked))
    place, display = _target(settings, list(checked.manifest.stores)), Display()
    with ExitStack() as stack:
        stack.callback(display.close)
        stack.enter_context(standing_still([place], "crawlkit restore"))
        _check_key(settings, checked.secret_key)
        check_idle(place)
        stores = {}
        for kind in checked.manifest.stores:
            stores[kind] = place.open(kind, read_only=False)
            stack.callback(stores[kind].close)
        from crawlkit.moving.archive import Reader

        with targets.read(file) as stream:
            done = moving.restore(
                Reader(stream, checked.where), stores, overwrite=overwrite, tell=display.tell, verified=checked
            )
        balanced = _audit(stores)
    if done.secret_key is not None:
        _put_key(settings, done.secret_key)
    if as_json:
        found = {"rows": done.rows, "led_on": done.led_on, "begun_anew": done.begun_anew, "balanced": balanced}
        click.echo(json.dumps(found))
    return _tell(done, balanced, place, time.monotonic() - started)


def _target(settings: Settings, kinds: list[str]) -> Place:
    from crawlkit.cli.places import Place
    from crawlkit.libs.url_masking import masked

    urls = {kind: settings.store_url(kind) for kind in kinds}
    for kind, url in urls.items():
        if url.startswith(("memory", "local")):
            raise UsageError(f"{masked(url)}: an archive cannot be put back into this {kind}")
    here = any(settings.is_here(kind) for kind in kinds)
    said = str(settings.data_path) if here else masked(urls["taskdb"])
    return Place(said, urls, settings.data_path if here else None)


def _check_key(settings: Settings, key: str | None) -> None:
    known = datapath.secret_key(settings.data_path)
    if key is not None and known is not None and known != key:
        where = settings.data_path / datapath.SECRET_KEY
        raise UsageError(f"{where} is another key than that of the archive: move it away first")


def _put_key(settings: Settings, key: str) -> None:
    if datapath.secret_key(settings.data_path) is None:
        datapath.make_data_path(settings.data_path)
        datapath.put_secret_key(settings.data_path, key)
        say(f"the secret key is in {settings.data_path / datapath.SECRET_KEY}: components elsewhere need it, too")


def _audit(stores: dict[str, Any]) -> dict[str, bool]:
    from crawlkit.cli.audit import examine

    if not {"taskdb", "resultdb"} <= stores.keys():
        return {}
    return {
        name: examine(stores["taskdb"], stores["resultdb"], name).balanced for name in stores["taskdb"].projects()
    }  # fmt: skip


def _tell(done: Restored, balanced: dict[str, bool], place: Place, seconds: float) -> int:
    if done.led_on:
        say(f"{done.led_on:,} tasks had ended again while the backup was taken: their newer results hold")
    if done.begun_anew:
        say(f"{done.begun_anew:,} callbacks that waited for further requests begin anew")
    wrong = [name for name, good in balanced.items() if not good]
    for name in wrong:
        say(f"{name}: the books do not balance: crawlkit audit {name}")
    say(f"{sum(done.rows.values()):,} rows put into {place.said} in {seconds:.1f} s")
    if done.secret_key is None:
        say("the archive has no secret key: settings of projects open only with the one they were sealed with")
    return 1 if wrong else 0
