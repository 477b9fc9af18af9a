"""The bundled browser code is what the lock builds, its licences are beside it, and pages name no other host."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FRONTEND = ROOT / "frontend"
WEBUI = ROOT / "crawlkit" / "webui"
VENDOR = WEBUI / "static" / "vendor"
LOCK = json.loads((FRONTEND / "package-lock.json").read_text())
PACKAGES = {name: entry for name, entry in LOCK["packages"].items() if name}
# Names of XML vocabularies are spelt as URLs; nothing is loaded from them
VOCABULARIES = ("http://www.w3.org/", "https://www.w3.org/")
# What makes a browser load or send something: an attribute, a style sheet, an import, a call
LOADS = re.compile(
    r"""(?:\b(?:src|href|action|poster|data|srcset)\s*=\s*["']?|url\(\s*["']?|@import\s+["']|\bfrom\s*["']"""
    r"""|\bimport\s*\(?\s*["']|\b(?:fetch|EventSource|WebSocket|Worker)\(\s*["'`])\s*((?:https?:|wss?:)?//[^\s"'`)>]+)""",
    re.IGNORECASE,
)


def test_every_version_is_exact_and_locked() -> None:
    wanted = json.loads((FRONTEND / "package.json").read_text())["devDependencies"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in wanted.values()), wanted
    for name, version in wanted.items():
        assert PACKAGES[f"node_modules/{name}"]["version"] == version


def test_lock_names_no_other_registry_and_has_a_hash_of_each_package() -> None:
    for name, entry in PACKAGES.items():
        assert entry.get("resolved", "https://registry.npmjs.org/").startswith("https://registry.npmjs.org/"), name
        assert entry["integrity"].startswith("sha512-"), name


def test_licences_of_all_bundled_packages_are_beside_the_bundles() -> None:
    text = (VENDOR / "LICENSES.txt").read_text()
    wanted = json.loads((FRONTEND / "package.json").read_text())["devDependencies"]
    for name, version in wanted.items():
        if name != "esbuild":  # it builds the bundles and is not in them
            assert f"\n{name} {version} (MIT)\n" in text
    assert text.count("Permission is hereby granted") == len(re.findall(r"^={78}$", text, re.MULTILINE)) >= 20


def test_built_files_are_what_the_lock_builds() -> None:
    npm = shutil.which("npm")
    if npm is None or not (FRONTEND / "node_modules").is_dir():
        pytest.skip("needs Node and `npm ci` in frontend/")
    done = subprocess.run([npm, "run", "check"], cwd=FRONTEND, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_bundles_are_modules_that_name_what_the_pages_use() -> None:
    exports = (FRONTEND / "src" / "codemirror.js").read_text()
    built = (VENDOR / "codemirror.js").read_text()
    names = {name.strip() for part in re.findall(r"export \{(.*?)\}", exports, re.DOTALL) for name in part.split(",")}
    found = {each.split(" as ")[-1] for each in built[built.rindex("export{") + 7 : built.rindex("}")].split(",")}
    assert found == names - {""}


@pytest.mark.parametrize("kind", ["*.js", "*.css", "*.html"])
def test_pages_name_no_other_host(kind: str) -> None:
    files = sorted(WEBUI.rglob(kind))
    named = {
        f"{file.relative_to(WEBUI)}: {url}"
        for file in files
        for url in LOADS.findall(file.read_text())
        if not url.startswith(VOCABULARIES)
    }
    assert not named


def test_the_search_for_other_hosts_finds_them() -> None:
    for line in (
        '<script src="https://cdn.example/x.js">',
        "<link rel=stylesheet href=//cdn.example/x.css>",
        "a { background: url('http://cdn.example/x.png') }",
        '@import "https://cdn.example/x.css";',
        'import x from "https://cdn.example/x.js"',
        'await import("//cdn.example/x.js")',
        "fetch(`https://cdn.example/`)",
    ):
        assert LOADS.findall(line), line
