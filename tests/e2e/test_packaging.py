"""The wheel and the sdist are built, installed somewhere else, and run there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from tests.e2e.commands import ROOT

NOT_SOURCE = shutil.ignore_patterns(
    ".*_cache", ".git", ".venv", ".tox", "node_modules", ".bench", "build", "dist", "*.egg-info", "data"
)


def call(*command: str | Path, cwd: Path) -> str:
    """Runs a command outside the checkout; its standard output."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("CRAWLKIT_", "PYTHON"))}
    done = subprocess.run(
        command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """wheel and sdist, built from a copy of the checkout."""
    folder = tmp_path_factory.mktemp("build")
    shutil.copytree(ROOT, folder / "source", ignore=NOT_SOURCE)
    call(sys.executable, "-m", "build", "--outdir", folder / "dist", folder / "source", cwd=folder)
    (wheel,) = (folder / "dist").glob("*.whl")
    (sdist,) = (folder / "dist").glob("*.tar.gz")
    return {"wheel": wheel, "sdist": sdist}


def test_the_distribution_has_a_name_of_its_own(built: dict[str, Path]) -> None:
    for file in built.values():
        assert file.name.startswith("crawlkit_framework-")


def test_wheel_holds_the_package_and_nothing_else(built: dict[str, Path]) -> None:
    names = zipfile.ZipFile(built["wheel"]).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"crawlkit", "crawlkit_framework"}
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "crawlkit").rglob("*.py")}
    assert sources <= set(names)
    assert "crawlkit/py.typed" in names
    assert {f"crawlkit/proving/templates/{name}.py.tmpl" for name in ("shop", "shop_doc")} <= set(names)
    for part in ("static", "templates", "texts"):
        folder = ROOT / "crawlkit" / "webui" / part
        files = {path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"}
        served = {str(path.relative_to(ROOT)) for path in files}
        assert served <= set(names)
    assert "crawlkit/webui/static/vendor/LICENSES.txt" in names


def test_sdist_holds_what_a_packager_needs(built: dict[str, Path]) -> None:
    with tarfile.open(built["sdist"]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {
        "LICENSE",
        "README.md",
        "CHANGELOG.md",
        "tox.ini",
        "run.py",
        "setup.py",
        ".ci/run",
        "docs/architecture.md",
    } <= names
    assert {"frontend/package-lock.json", "frontend/src/codemirror.js"} <= names
    assert {"tests/conftest.py", "tests/e2e/lastfsync.c", "examples/quotes.py", "examples/site/index.html"} <= names


def venv_with_the_libraries(home: Path) -> None:
    """An environment that sees what is installed beside pytest, and what is installed into itself before that."""
    venv.create(home)
    (packages,) = (home / "lib").glob("python*/site-packages")
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")


@pytest.mark.parametrize("libraries", ["here", pytest.param("of their own", marks=pytest.mark.slow)])
@pytest.mark.timeout(400)
def test_both_install_elsewhere_and_run(libraries: str, built: dict[str, Path], tmp_path: Path) -> None:
    home = tmp_path / "venv"
    if libraries == "here":
        venv_with_the_libraries(home)
    else:
        venv.create(home, with_pip=True)
    pip = [sys.executable, "-m", "pip", "--python", home / "bin" / "python", "install", "--quiet",
           "--disable-pip-version-check"]  # fmt: skip
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(ROOT / "examples", elsewhere)
    for options in ([built["wheel"]], ["--no-deps", "--force-reinstall", built["sdist"]]):
        call(*pip, *(["--no-deps"] if libraries == "here" else []), *options, cwd=elsewhere)
        where = call(home / "bin" / "python", "-c", "import crawlkit; print(crawlkit.__file__)", cwd=elsewhere)
        assert Path(where).is_relative_to(home)
        assert call(home / "bin" / "crawlkit", "--version", cwd=elsewhere).startswith("crawlkit ")
        serve = [home / "bin" / "python", "serve.py", "--"]
        command = [home / "bin" / "crawlkit", "one", "quotes.py"]
        lines = [json.loads(line) for line in call(*serve, *command, cwd=elsewhere).splitlines()]
        assert len([line for line in lines if "text" in line["result"]]) == 30
        assert len([line for line in lines if "lived" in line["result"]]) == 13
    measured = json.loads(call(home / "bin" / "crawlkit", "bench", "--pages", "40", "--json", cwd=elsewhere))
    assert measured["exact"]
    assert measured["site"]["pages"] == 40
