"""Real Ray clusters of several nodes on this machine, and runs on them as processes of their own."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import MARK

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`make test` passes all of this folder over; `make test-cluster` runs it."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.cluster)
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    """A head without cores and two nodes of one core each."""
    made = Nodes()
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared_nodes() -> Iterator[Nodes]:
    """The same for all tests of a file that break nothing."""
    made = Nodes()
    yield made
    made.close()


class Nodes:
    """The nodes of a cluster, each with a raylet and workers of its own."""

    def __init__(self) -> None:
        pytest.importorskip("ray")
        self.mark = uuid.uuid4().hex
        os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0", MARK: self.mark}
        from ray.cluster_utils import Cluster

        store = {"object_store_memory": 150 * 2**20, "include_dashboard": False}
        self._cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **store})
        self._added = [self._cluster.add_node(num_cpus=1, **store) for _ in range(2)]
        self._store = store
        self.address = self._cluster.address

    def replace(self, number: int) -> None:
        """Kill a node with all that runs on it, and add another."""
        self._cluster.remove_node(self._added[number], allow_graceful=False)
        self._added[number] = self._cluster.add_node(num_cpus=1, **self._store)

    def close(self) -> None:
        self._cluster.shutdown()
