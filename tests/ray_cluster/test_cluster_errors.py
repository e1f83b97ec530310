"""Whatever is wrong with a cluster is said within seconds, with what to do."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rzero.config import change, load
from rzero.errors import ConfigError, EngineError, ModelError, RzeroError

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")

MOST_S = 30
BASE = load("micro", {"engine.cluster": "ray"})


@contextmanager
def refused(kind: type[RzeroError], words: str) -> Iterator[None]:
    started = time.monotonic()
    with pytest.raises(kind, match=words):
        yield
    assert time.monotonic() - started < MOST_S


def open_engine(micro: Path, **changes: object) -> Any:
    from rzero.evolve.ray_engine import RayEngine

    return RayEngine(change(BASE, {f"engine.{name}": value for name, value in changes.items()}), micro)


@pytest.mark.parametrize("address", ["nowhere", "ray://127.0.0.1:10001", "127.0.0.1:port"])
def test_what_is_no_address(micro: Path, address: str) -> None:
    with refused(ConfigError, "host:port"):
        open_engine(micro, ray_address=address)


def test_nobody_at_the_address(micro: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with refused(ConfigError, "nothing answers there.*ray start --head"):
        open_engine(micro, ray_address=address)


def test_somebody_else_at_the_address(micro: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, refused(ConfigError, "Ray cannot be joined there"):
        open_engine(micro, ray_address=f"127.0.0.1:{silent.getsockname()[1]}")


HEAD_WITH_A_TOKEN = """
from ray.cluster_utils import Cluster

options = {"num_cpus": 1, "object_store_memory": 150 * 2**20, "include_dashboard": False}
cluster = Cluster(initialize_head=True, head_node_args=options)
print("address", cluster.address, flush=True)
input()
cluster.shutdown()
"""


def test_a_head_node_that_asks_for_a_token(micro: Path) -> None:
    """Ray asks for one wherever there is one in the home directory, and sends it only if it is told to."""
    head = subprocess.Popen(
        [sys.executable, "-c", HEAD_WITH_A_TOKEN],
        env={**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert head.stdout is not None
        address = next(line.split()[1] for line in head.stdout if line.startswith("address"))
        with refused(ConfigError, "it asks for a token.*RAY_AUTH_MODE=token"):
            open_engine(micro, ray_address=address)
    finally:
        head.communicate("end\n", timeout=60)


def test_too_few_cores(micro: Path, shared_nodes: Any) -> None:
    with refused(ConfigError, "num_samplers=3 needs 3 times 1 CPU, but the cluster has 2 CPUs"):
        open_engine(micro, num_samplers=3, ray_address=shared_nodes.address, ray_timeout_s=2)


def test_cores_that_others_have(micro: Path, shared_nodes: Any) -> None:
    engine = open_engine(micro, num_samplers=2, ray_address=shared_nodes.address)
    try:
        with refused(EngineError, "sampler 1 of 1 did not start within 3 s; 0 CPUs and 0 GPUs are free"):
            open_engine(micro, ray_address=shared_nodes.address, ray_timeout_s=3)
    finally:
        engine.close()


def test_a_node_without_the_model_and_a_fault_of_ours(micro: Path, shared_nodes: Any, tmp_path: Path) -> None:
    from rzero.engines.ray_cluster import RayCluster
    from rzero.evolve.hosts import SamplerHost

    cluster = RayCluster(shared_nodes.address, timeout_s=10, object_store_bytes=0)
    try:
        hosts = {
            name: cluster.start(SamplerHost, BASE, path, name=name, cpus=0, gpus=0.0, restarts=False)
            for name, path in (("lost", tmp_path / "elsewhere"), ("sound", micro))
        }
        with refused(ModelError, "elsewhere; models and --out must have the same path on every node"):
            hosts["lost"].call("hello").result()
        assert hosts["sound"].call("hello").result()["pid"] > 0
        with refused(EngineError, "sound failed: AttributeError: .*no_such(.|\n)*ray_cluster.py"):
            hosts["sound"].call("no_such").result()
    finally:
        cluster.close()
