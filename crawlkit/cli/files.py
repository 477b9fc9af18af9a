"""``crawlkit files``: the files of downloads: take earlier ones over, list them, look whether they are as they were."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crawlkit.cli.base import FilesPath, command, component_options, option, say, settings_of
from crawlkit.libs.errors import FetchError, UsageError
from crawlkit.libs.task import check_project_name

if TYPE_CHECKING:
    from crawlkit.files.adopt import Listed
    from crawlkit.files.base import Area
    from crawlkit.files.book import Entry

BATCH = 500  # files that are entered at once


@click.group(name="files", epilog="\b\nExample:\n  crawlkit files adopt old-downloads --project shows")
def files() -> None:
    """Take over, list and check the files of downloads."""


def _where(function: Any) -> Any:
    return option("--files-path", type=FilesPath(), metavar="DIR|URL",
                  help="Where downloads go.  [default: that of the fetcher]")(function)  # fmt: skip


def area_of(ctx: click.Context, project: str, files_path: str | None) -> Area:
    """The files of a project, where its fetcher puts them."""
    from crawlkit import wiring

    check_project_name(project)
    options = component_options(ctx, "fetcher") if files_path is None else {"files_path": files_path}
    return wiring.file_area(settings_of(ctx), project, options)


@command(
    files,
    name="adopt",
    example="crawlkit files adopt old-downloads --project shows\n"
    "crawlkit files adopt old-downloads --project shows --to 2019 --url-from list.csv",
)
@click.argument("folder", type=click.Path(path_type=Path))
@option("--project", metavar="NAME", help="The project that downloads them from now on.")
@option("--to", default="", metavar="FOLDER", help="Where below the project's files they go.  [default: the top]")
@option("--url-from", type=click.Path(path_type=Path), metavar="FILE.csv",
        help="A list with the columns path, url, size, sha256; all but path may be missing.")  # fmt: skip
@option("--copy", is_flag=True, help="Copy the files.  [default: link them where that can be]")
@_where
@click.pass_context
def adopt(
    ctx: click.Context, /, folder: Path, project: str | None, to: str, url_from: Path | None, copy: bool,
    files_path: str | None,
) -> int:  # fmt: skip
    """Take over FOLDER, with all below it, as finished downloads: they are not fetched again.

    Half-written files are refused; exits 1 when there was one.
    """
    from crawlkit.files.adopt import NOT_LISTED, files_below, read_list

    if project is None:
        raise UsageError("say whose files these are: --project NAME")
    if not folder.is_dir():
        raise UsageError(f"{folder}: is no folder")
    area = area_of(ctx, project, files_path)
    listed = read_list(url_from) if url_from is not None else {}
    refused = 0
    seen = set()
    taken: list[Entry] = []
    count = size = 0
    for path, beside in files_below(folder):
        seen.add(path)
        found = _adopt(area, folder, path, beside, to, listed.get(path, NOT_LISTED), copy)
        if isinstance(found, str):
            refused += 1
            say(f"refused {path}: {found}")
            continue
        taken.append(found)
        count += 1
        size += found.bytes
        if len(taken) >= BATCH:
            area.enter(taken)
            taken.clear()
    area.enter(taken)
    for path in sorted(listed.keys() - seen):
        say(f"not there: {path}")
    say(f"{count} file{'' if count == 1 else 's'} taken over, {size:,} bytes, in {area.where}; {refused} refused")
    return 1 if refused else 0


def _adopt(
    area: Area, folder: Path, path: str, beside: frozenset[str], to: str, listed: Listed, copy: bool
) -> Entry | str:
    """One file in its place, or why not."""
    from crawlkit import wiring
    from crawlkit.files.adopt import refusal

    source = folder / path
    if source.is_symlink() or not source.is_file():
        return "is no file"
    target = target_of(area, source, path, to)
    problem = refusal(target, source.stat().st_size, beside, listed)
    if problem is not None:
        return problem
    now = wiring.clock().time()
    try:
        return area.adopt(source, target, url=listed.url, sha256=listed.sha256, copy=copy, now=now)
    except FetchError as error:
        return str(error)
    except OSError as error:
        return error.strerror or str(error)


def target_of(area: Area, source: Path, path: str, to: str) -> str:
    """Where below the project's files: what lies there already stays where it is."""
    inside = area.inside(source)
    if inside is not None:
        if to:
            raise UsageError(f"--to {to}: the files are in {area.where} already, and stay where they are")
        return inside
    return f"{to.strip('/')}/{path}" if to.strip("/") else path


@command(files, name="list", example="crawlkit files list shows")
@click.argument("project")
@_where
@click.pass_context
def list_files(ctx: click.Context, /, project: str, files_path: str | None) -> None:
    """Print the finished files of PROJECT, one JSON object a line."""
    import msgspec

    for entry in area_of(ctx, project, files_path).book.entries():
        click.echo(msgspec.json.encode(entry).decode())


@command(files, name="check", example="crawlkit files check shows")
@click.argument("project")
@_where
@click.pass_context
def check(ctx: click.Context, /, project: str, files_path: str | None) -> int:
    """Read all finished files of PROJECT again and compare their hashes. Exits 1 when one is not as it was."""
    area = area_of(ctx, project, files_path)
    good = bad = 0
    for entry in area.book.entries():
        problem = area.state_of(entry)
        if problem is None:
            good += 1
            continue
        bad += 1
        say(f"{area.name_of(entry.path)}: {problem}")
    say(f"{good} as they were, {bad} not")
    return 1 if bad else 0
