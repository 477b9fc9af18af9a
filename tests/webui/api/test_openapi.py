"""The API's own description: valid, complete, and held to by the server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import validate

from tests.webui.servers import Client, Running, everything

EXAMPLES = 5  # an operation, good and bad ones, in the default suite
MANY = 1_000


@pytest.fixture
def document(client: Client) -> Any:
    return client.api("GET", "/openapi.json")


def operations(document: Any) -> list[tuple[str, str, Any]]:
    return [(path, method, one) for path, methods in document["paths"].items() for method, one in methods.items()]


def test_the_document_is_valid_openapi(document: Any) -> None:
    validate(document)


def test_every_operation_has_words_and_a_name_of_its_own(document: Any) -> None:
    names = [one["operationId"] for _, _, one in operations(document)]
    assert len(names) == len(set(names))
    for path, method, one in operations(document):
        assert one["summary"].endswith("."), (method, path)
        for parameter in one["parameters"]:
            assert "schema" in parameter, (method, path, parameter["name"])


def schemathesis(
    running: Running, folder: Path, examples: int, phases: str, *options: str
) -> subprocess.CompletedProcess[str]:
    client = running.client()
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "run", f"{running.url}/api/v1/openapi.json",
        "-H", f"Cookie: {client.cookie}", "-H", f"X-CSRF-Token: {client.csrf}", "--max-examples", str(examples),
        "--phases", phases, "--generation-database", "none", "--seed", "1", "--no-color",
        "--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,"
        "response_headers_conformance", "--continue-on-failure", "--warnings", "off",
        "--suppress-health-check", "all", *options,
    ]  # fmt: skip
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=3_000)


def check(done: subprocess.CompletedProcess[str]) -> None:
    print(done.stdout[-12_000:], done.stderr[-2_000:])
    assert done.returncode == 0


@pytest.mark.timeout(600)
def test_random_requests_meet_the_description(tmp_path: Path) -> None:
    with everything(tmp_path / "data") as running:
        check(schemathesis(running, tmp_path, EXAMPLES, "fuzzing"))


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_the_edges_of_every_parameter_and_a_thousand_random_requests_an_operation(tmp_path: Path) -> None:
    with everything(tmp_path / "data") as running:
        check(schemathesis(running, tmp_path, MANY, "examples,coverage,fuzzing"))
