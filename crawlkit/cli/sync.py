"""``crawlkit project sync DIR --server URL``: a folder of scripts and a server, kept in step both ways.

What is to be done is decided in :mod:`crawlkit.remote.syncing`; here it is done, and told. No edit is ever lost: a file
is only written over when it still is what was decided about, and the server is told which version an edit began with.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import msgspec

from crawlkit.cli.base import command, option, say, settings_of
from crawlkit.cli.project import project
from crawlkit.libs.errors import ServiceUnreachable, UsageError
from crawlkit.remote.client import Client, Refused
from crawlkit.remote.syncing import NAME, Known, Step, decide, diff, looks_like_a_handler, version_of

STATE = ".crawlkit-sync.json"
LOCK = ".crawlkit-sync.lock"
MESSAGE = "crawlkit project sync"
ROUNDS = 3  # of one pass: a push that came too late is decided anew


class _State(msgspec.Struct):
    """What is remembered between runs."""

    server: str
    projects: dict[str, Known] = msgspec.field(default_factory=dict)
    version: int = 1


@dataclass
class _File:
    """A script in the folder, with line ends as the server has them."""

    text: str
    raw: bytes

    @property
    def version(self) -> str:
        return version_of(self.text)


@dataclass
class _Remote:
    """A script on the server. ``text`` is ``None`` while it need not be known."""

    version: str
    updated: float
    text: str | None = None


@command(
    project,
    name="sync",
    remote=True,
    example="crawlkit project sync scripts --server http://127.0.0.1:5000\n"
    "crawlkit project sync scripts --server https://crawl.example --watch",
)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@option("--watch", is_flag=True, help="Go on until interrupted: what changes on one side changes on the other.")
@option("--every", type=click.FloatRange(min=0.1), default=1.0, show_default=True, help="Seconds between looks.")
@option("--keep-status", is_flag=True,
        help="Let running projects go on with what is sent.  [default: they wait in CHECKING]")  # fmt: skip
@click.pass_context
def sync(ctx: click.Context, /, folder: Path, watch: bool, every: float, keep_status: bool) -> int:
    """Keep the scripts in DIR (PROJECT.py) and those of a server in step, both ways.

    Where both sides have changed, the server's version is put beside the file as PROJECT.server.py, with the difference
    shown: merge it into PROJECT.py and remove it. Nothing is removed on the server. Exits 1 when a conflict is left.
    """
    from crawlkit.remote.opening import client_of

    settings = settings_of(ctx)
    if settings.server is None:
        raise UsageError("say which server: --server URL, or the variable CRAWLKIT_SERVER")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: is a file, not a folder")
    client = client_of(settings.server)
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        syncer = Syncer(folder, client, keep_status)
        left = syncer.run()
        if not watch:
            say(f"{folder}: {syncer.summary()}")
            return 1 if left else 0
        say(f"{folder}: {syncer.summary()}; watching both sides, until Ctrl-C")
        _watch(syncer, every)
    return 0


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Raises :class:`UsageError` while another process keeps the folder in step."""
    with (folder / LOCK).open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(f"{folder}: another crawlkit project sync works there") from None
        yield


def _watch(syncer: Syncer, every: float) -> None:
    trouble = ""
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            time.sleep(every)
            try:
                syncer.run(quick=True)
                if trouble:
                    say("the server answers again")
                trouble = ""
            except (ServiceUnreachable, Refused) as error:
                if str(error) != trouble:
                    say(f"{error}; trying again until it works")
                trouble = str(error)


class Syncer:
    """One folder and one server. Raises :class:`UsageError` for a folder that belongs to another server."""

    def __init__(self, folder: Path, client: Client, keep_status: bool = False) -> None:
        self._folder = folder
        self._client = client
        self._keep_status = keep_status
        self._state = self._read_state()
        self._saved = b""
        self._told: dict[str, str] = {}  # what was said of a project last: said once
        self._counts = {"same": 0, "conflicts": 0}

    def run(self, *, quick: bool = False) -> int:
        """One pass over all projects; returns how many are not in step.

        ``quick``: of the server only what its list, which may be a second old, says to have changed.
        """
        for _ in range(ROUNDS):
            late, left = self._pass(quick)
            self._save_state()
            if not late:
                break
        self._counts["conflicts"] = left
        return left

    def summary(self) -> str:
        """A line about the last pass."""
        same, left = self._counts["same"], self._counts["conflicts"]
        return f"{same} {'script' if same == 1 else 'scripts'} in step" + (f", {left} not" if left else "")

    def _pass(self, quick: bool) -> tuple[bool, int]:
        files, remotes = self._files(), self._remotes(quick)
        late, left, same = False, 0, 0
        for name in sorted({*files, *remotes, *self._state.projects}):
            known = self._state.projects.get(name, Known())
            file, remote = files.get(name), remotes.get(name)
            merged = known.conflict is not None and not self._beside(name).exists()
            step = decide(
                known, file.version if file else None, remote.version if remote else None, merged=merged
            )  # fmt: skip
            try:
                done = self._do(step, name, known, file, remote)
            except (Refused, UsageError, OSError) as error:
                self._tell(name, f"{name}: {_words(error)}")
                done = False
                late |= isinstance(error, Refused) and error.status == 409 and "current" in error.problem
            left += not done
            same += done and self._state.projects.get(name, Known()).base is not None
        self._counts["same"] = same
        return late, left

    # -- the two sides -----------------------------------------------------------------------------------------------

    def _files(self) -> dict[str, _File]:
        found: dict[str, _File] = {}
        for path in self._folder.glob("*.py"):
            if NAME.match(path.stem) is None or not path.is_file():
                continue
            raw = path.read_bytes()
            try:
                text = raw.decode("utf-8-sig").replace("\r\n", "\n")
            except UnicodeDecodeError as error:
                self._tell(path.name, f"{path}: not UTF-8 text, at byte {error.start}; it is left alone")
                known = self._state.projects.get(path.stem)
                if known is not None and known.base is not None:
                    raise UsageError(f"{path}: is not UTF-8 text any more (byte {error.start}); mend it") from None
                continue
            if path.stem not in self._state.projects and not looks_like_a_handler(text):
                self._tell(path.name, f"{path}: no handler class in it; it is left alone")
                continue
            found[path.stem] = _File(text, raw)
        return found

    def _remotes(self, quick: bool) -> dict[str, _Remote]:
        listed = {item["name"]: float(item["updated"]) for item in self._client.items("/projects", sort="name")}
        found: dict[str, _Remote] = {}
        for name in {*listed, *self._state.projects}:
            known = self._state.projects.get(name)
            if NAME.match(name) is None:
                continue
            updated = listed.get(name)
            if quick and known is not None and known.remote is not None and updated == known.updated:
                found[name] = _Remote(known.remote, known.updated)
                continue
            remote = self._look(name, updated or 0.0)  # also what the list has not: it may be a moment old
            if remote is not None:
                found[name] = remote
                if known is not None:
                    known.remote, known.updated = remote.version, remote.updated
        return found

    def _look(self, name: str, updated: float) -> _Remote | None:
        newest = self._client.find(f"/projects/{name}/versions/newest")
        return None if newest is None else _Remote(newest["version"], updated, newest["script"])

    def _text(self, name: str, remote: _Remote) -> str:
        if remote.text is None:
            fresh = self._look(name, remote.updated)
            if fresh is None or fresh.text is None or fresh.version != remote.version:
                raise UsageError("changed while it was looked at; it is looked at again")
            remote.text = fresh.text
        return remote.text

    # -- steps -------------------------------------------------------------------------------------------------------

    def _do(self, step: Step, name: str, known: Known, file: _File | None, remote: _Remote | None) -> bool:
        """Does a step; returns whether the project is in step then."""
        projects = self._state.projects
        if step is Step.NOTHING:
            if file is None and remote is None:
                projects.pop(name, None)
            return True
        if step is Step.SAME and remote is not None:
            self._in_step(name, remote)
        elif step is Step.PULL and remote is not None:
            self._pull(name, file, remote)
        elif step in (Step.PUSH, Step.CREATE) and file is not None:
            self._push(name, file, remote.version if remote is not None else None)
        elif step is Step.CONFLICT and file is not None and remote is not None:
            return self._conflict(name, known, file, remote)
        elif step is Step.REMOVED:
            aside = self._folder / f"{name}.py.removed"
            os.replace(self._place(name), aside)
            del projects[name]
            self._tell(name, f"{name}: removed on the server; the file is {aside.name} now")
        elif step is Step.REMOVED_CHANGED:
            words = f"crawlkit project put {self._place(name)} --server {self._client.url}"
            self._tell(name, f"{name}: removed on the server, and changed here; to make it anew: {words}")
            return False
        elif step is Step.FILE_GONE and remote is not None:
            projects[name] = Known(gone=remote.version, remote=remote.version, updated=remote.updated)
            self._tell(name, f"{name}: {name}.py is gone; the project stays on the server")
        return True

    def _in_step(self, name: str, remote: _Remote) -> None:
        self._state.projects[name] = Known(base=remote.version, remote=remote.version, updated=remote.updated)
        self._told.pop(name, None)
        beside = self._beside(name)
        if beside.exists() and version_of(_read(beside)) == remote.version:
            beside.unlink()

    def _pull(self, name: str, file: _File | None, remote: _Remote) -> None:
        text = self._text(name, remote)
        self._write(name, file, text)
        self._in_step(name, remote)
        say(f"{name}: {'written' if file is None else 'updated'} from the server")

    def _push(self, name: str, file: _File, base: str | None) -> None:
        body = {"script": file.text, "base": base, "message": MESSAGE, "keep_status": self._keep_status}
        saved = self._client.send("PUT", f"/projects/{name}/script", body)
        self._state.projects[name] = Known(base=saved["version"], remote=saved["version"])
        self._told.pop(name, None)
        more = f", {saved['status']}" if saved["created"] or saved["status"] == "CHECKING" else ""
        say(f"{name}: {'new on' if saved['created'] else 'sent to'} the server{more}")
        for spot in saved["problems"]:
            say(f"{name}.py, line {spot['line']}: {spot['message']}")

    def _conflict(self, name: str, known: Known, file: _File, remote: _Remote) -> bool:
        """Puts the server's version beside the file, unless it lies there already."""
        if known.conflict == remote.version and self._beside(name).exists():
            return False
        theirs = self._text(name, remote)
        beside = self._beside(name)
        if beside.exists() and version_of(_read(beside)) not in (known.conflict, remote.version):
            kept = beside.with_name(f"{name}.server-{version_of(_read(beside))[:8]}.py")
            os.replace(beside, kept)  # somebody has worked on it
            say(f"{name}: {beside.name}, which was changed, is {kept.name} now")
        _write_whole(beside, theirs.encode())
        self._state.projects[name] = Known(
            base=known.base, conflict=remote.version, remote=remote.version, updated=remote.updated
        )
        shown = diff(file.text, theirs, f"{name}.py")
        say(f"{name}: CONFLICT: changed here and on the server; theirs is {beside.name}: merge it into {name}.py,"
            f" then remove it\n{shown}")  # fmt: skip
        return False

    # -- files -------------------------------------------------------------------------------------------------------

    def _place(self, name: str) -> Path:
        return self._folder / f"{name}.py"

    def _beside(self, name: str) -> Path:
        return self._folder / f"{name}.server.py"

    def _write(self, name: str, file: _File | None, text: str) -> None:
        """Writes a script where the file still is as it was; raises :class:`UsageError` when somebody has saved."""
        place = Path(os.path.realpath(self._place(name)))
        data = text.replace("\n", "\r\n").encode() if file is not None and b"\r\n" in file.raw else text.encode()
        now = place.read_bytes() if place.exists() else None
        if now != (file.raw if file is not None else None):
            raise UsageError("was saved just now; it is looked at again")
        _write_whole(place, data)

    def _tell(self, name: str, text: str) -> None:
        """Says something about a project, once."""
        if self._told.get(name) != text:
            self._told[name] = text
            say(text)

    def _read_state(self) -> _State:
        file = self._folder / STATE
        try:
            found = msgspec.json.decode(file.read_bytes(), type=_State)
        except FileNotFoundError:
            return _State(self._client.url)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise UsageError(f"{file}: {error}; without it everything is compared anew: remove it") from None
        if found.server != self._client.url:
            raise UsageError(
                f"{self._folder} belongs to the server {found.server}: use another folder, or remove {file}"
            )
        return found

    def _save_state(self) -> None:
        data = msgspec.json.encode(self._state)
        if data != self._saved:
            _write_whole(self._folder / STATE, data)
            self._saved = data


def _words(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.filename or ''}: {error.strerror or error}".lstrip(": ")
    return str(error)


def _read(file: Path) -> str:
    return file.read_bytes().decode("utf-8-sig", "replace").replace("\r\n", "\n")


def _write_whole(file: Path, data: bytes) -> None:
    """Replaces a file at once; its mode stays."""
    mode = file.stat().st_mode & 0o777 if file.exists() else 0o644
    descriptor, draft = tempfile.mkstemp(dir=file.parent, prefix=".crawlkit-")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(draft, mode)
        os.replace(draft, file)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(draft)
        raise
