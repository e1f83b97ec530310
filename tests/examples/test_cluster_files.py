"""The cluster examples: manifests against KubeRay's own schema, commands against the options, the script's syntax."""

from __future__ import annotations

import copy
import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from rzero import cli

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "examples" / "cluster"
CRDS = json.loads((ROOT / "tests" / "data" / "kuberay_crds.json").read_text(encoding="utf-8"))["schemas"]
MANIFESTS = sorted(CLUSTER.glob("*.yaml"))

manifests = pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)


def load(path: Path) -> dict[str, Any]:
    (manifest,) = yaml.safe_load_all(path.read_text(encoding="utf-8"))
    return manifest


def problems(manifest: dict[str, Any]) -> list[str]:
    assert manifest["apiVersion"] == "ray.io/v1"
    return [error.message for error in Draft7Validator(CRDS[manifest["kind"]]).iter_errors(manifest)]


def cluster_of(manifest: dict[str, Any]) -> dict[str, Any]:
    return manifest["spec"] if manifest["kind"] == "RayCluster" else manifest["spec"]["rayClusterSpec"]


def pods(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    cluster = cluster_of(manifest)
    return [group["template"]["spec"] for group in [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]]


def test_there_are_a_job_and_a_cluster() -> None:
    assert {load(path)["kind"] for path in MANIFESTS} == {"RayJob", "RayCluster"}
    for schema in CRDS.values():
        Draft7Validator.check_schema(schema)


@manifests
def test_manifests_are_what_the_operator_accepts(path: Path) -> None:
    assert problems(load(path)) == []


@pytest.mark.parametrize("kind", ["RayJob", "RayCluster"])
def test_the_schema_refuses_mistakes(kind: str) -> None:
    good = next(manifest for manifest in map(load, MANIFESTS) if manifest["kind"] == kind)

    def broken(change: str) -> dict[str, Any]:
        manifest = copy.deepcopy(good)
        cluster = cluster_of(manifest)
        if change == "misspelled":
            cluster["workerGroupSpec"] = cluster.pop("workerGroupSpecs")
        elif change == "wrong type":
            cluster["headGroupSpec"]["rayStartParams"]["num-gpus"] = 0
        elif change == "nameless container":
            del cluster["headGroupSpec"]["template"]["spec"]["containers"][0]["name"]
        else:
            cluster["workerGroupSpecs"][0]["replicas"] = "two"
        return manifest

    for change in ("misspelled", "wrong type", "nameless container", "replicas"):
        assert problems(broken(change)), change


@manifests
def test_every_mount_has_its_volume_and_a_request_its_limit(path: Path) -> None:
    for pod in pods(load(path)):
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} == volumes
            assert container["resources"]["requests"] == container["resources"]["limits"]


@manifests
def test_as_many_actors_as_gpus(path: Path) -> None:
    """The command in the manifest asks for what its workers have: a GPU for each sampler and each learner."""
    gpus = sum(
        group["replicas"] * int(container["resources"]["limits"]["nvidia.com/gpu"])
        for group in cluster_of(load(path))["workerGroupSpecs"]
        for container in group["template"]["spec"]["containers"]
    )
    words = commands(path)[0]
    asked = [int(words[words.index(f"--engine.num_{kind}") + 1]) for kind in ("samplers", "learners")]
    assert sum(asked) == gpus


def commands(path: Path) -> list[list[str]]:
    """The words of each `rzero run` in a file, in its comments or its command."""
    text = re.sub(r"\\\n#?", " ", path.read_text(encoding="utf-8"))
    if path.suffix == ".yaml" and load(path)["kind"] == "RayJob":
        text = load(path)["spec"]["entrypoint"]
    return [shlex.split(match) for match in re.findall(r"(?<![\w`])rzero (run .*)", text)]


@pytest.mark.parametrize("path", sorted(CLUSTER.iterdir()), ids=lambda path: path.name)
def test_commands_are_accepted(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (words,) = commands(path)
    numbers = {"$samplers": "10", "$learners": "6"}
    kept = [numbers.get(word, word) for word in words[1:]]
    place = kept.index("--out")
    del kept[place : place + 2]
    assert cli.main(["config", *kept]) == 0, capsys.readouterr().err


def test_the_batch_script_is_a_script() -> None:
    done = subprocess.run(["bash", "-n", CLUSTER / "slurm.sbatch"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
