"""The manifests: valid by the published schemas, joined to one another, with commands of crawlkit's."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests import needs
from tests.deploy.commands import DEPLOY, known_variables, parses, run

FOLDER = DEPLOY / "kubernetes"
FILES = sorted(FOLDER.glob("*.yaml"))


def documents() -> list[dict[str, Any]]:
    manifests = [file for file in FILES if file.name != "kustomization.yaml"]
    return [one for file in manifests for one in yaml.safe_load_all(file.read_text())]


def of_kind(kind: str) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one for one in documents() if one["kind"] == kind}


def pod_of(deployment: dict[str, Any]) -> dict[str, Any]:
    pod: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return pod


@pytest.mark.parametrize("version", ["1.29.0", ""])
def test_they_are_valid_by_the_schemas_of_kubernetes(version: str) -> None:
    validate = pytest.importorskip("kubernetes_validate")
    for document in documents():
        validate.validate(document, version or validate.latest_version(), strict=True)


def test_the_whole_is_put_together_by_kustomize() -> None:
    done = run([needs.binary("kubectl"), "kustomize", str(FOLDER)])
    assert done.returncode == 0, done.stderr
    made = list(yaml.safe_load_all(done.stdout))
    assert {one["metadata"].get("namespace", one["metadata"]["name"]) for one in made} == {"crawlkit"}
    listed = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    assert {*listed, "kustomization.yaml", "secret.example.yaml"} == {file.name for file in FILES}


def test_every_component_runs_with_limits_probes_and_no_rights() -> None:
    found = of_kind("Deployment")
    assert set(found) == {"scheduler", "webui", "fetcher", "processor", "result-worker"}
    for name, deployment in found.items():
        pod = pod_of(deployment)
        (container,) = pod["containers"]
        assert parses(container["args"]) == name.replace("-", "_")
        assert container["resources"]["limits"]["memory"]
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        assert container["startupProbe"]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            command = container.get(probe, {}).get("exec", {}).get("command")
            assert command is None or parses(command[1:]) == "ping"
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_there_is_one_scheduler_and_never_two() -> None:
    spec = of_kind("Deployment")["scheduler"]["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {"type": "Recreate"}


def test_services_and_policies_find_their_pods() -> None:
    pods = [one["spec"]["template"] for one in of_kind("Deployment").values()]
    for service in of_kind("Service").values():
        wanted, (port,) = service["spec"]["selector"], service["spec"]["ports"]
        (pod,) = [pod for pod in pods if wanted.items() <= pod["metadata"]["labels"].items()]
        assert port["targetPort"] in {one["name"] for one in pod["spec"]["containers"][0]["ports"]}
    for policy in of_kind("NetworkPolicy").values():
        labels = policy["spec"]["podSelector"]["matchLabels"]
        assert [pod for pod in pods if labels.items() <= pod["metadata"]["labels"].items()]


def test_the_secret_is_a_template_of_known_settings_and_all_get_it() -> None:
    (secret,) = of_kind("Secret").values()
    assert not known_variables(secret["stringData"])
    assert {"CRAWLKIT_DATABASE", "CRAWLKIT_MESSAGE_QUEUE", "CRAWLKIT_SECRET_KEY"} <= secret["stringData"].keys()
    for deployment in of_kind("Deployment").values():
        (container,) = pod_of(deployment)["containers"]
        assert container["envFrom"] == [{"secretRef": {"name": secret["metadata"]["name"]}}]
    assert "change-me" in secret["stringData"]["CRAWLKIT_SECRET_KEY"]
