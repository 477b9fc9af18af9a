"""The compose file: what the engine's own client makes of it, and that its commands and variables are crawlkit's."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import needs
from tests.deploy.commands import DEPLOY, known_variables, parses, run, variables_of

FILE, EXAMPLE = DEPLOY / "compose.yaml", DEPLOY / "crawlkit.env.example"
OURS = ("scheduler", "webui", "fetcher", "processor", "result_worker")


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(FILE.read_text())["services"]
    return found


def client() -> list[str]:
    """``docker compose`` where it is a plug-in, else the program of its own."""
    if shutil.which("docker") and run(["docker", "compose", "version"]).returncode == 0:
        return ["docker", "compose"]
    return [needs.binary("docker-compose")]


def test_the_client_takes_it(tmp_path: Path) -> None:
    done = run([*client(), "--env-file", str(EXAMPLE), "-f", str(FILE), "config"])
    assert done.returncode == 0, done.stderr
    seen = yaml.safe_load(done.stdout)["services"]
    assert set(seen) == {"postgres", "redis", *OURS}
    assert seen["webui"]["environment"]["CRAWLKIT_WEBUI_USERNAME"] == "admin"
    (tmp_path / "empty").touch()
    done = run([*client(), "--env-file", str(tmp_path / "empty"), "-f", str(FILE), "config"])
    assert done.returncode != 0
    assert "set it in crawlkit.env" in done.stderr


def test_every_component_is_there_and_starts_with_a_command_of_crawlkits(services: dict[str, Any]) -> None:
    for name in OURS:
        assert parses(services[name]["command"]) == name
        assert services[name]["depends_on"].keys() == {"postgres", "redis"}
        assert services[name]["read_only"] is True
        assert services[name]["cap_drop"] == ["ALL"]
    for name in ("postgres", "redis"):
        assert services[name]["healthcheck"]["test"]
        assert "ports" not in services[name]  # nobody outside reaches them


def test_no_secret_stands_in_it_and_every_variable_is_in_the_example(services: dict[str, Any]) -> None:
    text = FILE.read_text()
    used = set(re.findall(r"\$\{(\w+)", text))
    assert used == set(variables_of(EXAMPLE))
    assert not re.search(r"(PASSWORD|SECRET_KEY): (?!\$\{)", text)
    for service in services.values():
        assert not known_variables(service.get("environment", {}))


def test_checks_of_components_are_commands_of_crawlkits(services: dict[str, Any]) -> None:
    check = services["scheduler"]["healthcheck"]["test"]
    assert check[:2] == ["CMD", "crawlkit"]
    assert parses(check[2:]) == "ping"
    assert "/health" in services["webui"]["healthcheck"]["test"][-1]
