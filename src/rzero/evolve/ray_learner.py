"""A learner that lives in other processes, as a :class:`~rzero.engines.base.Learner` of this one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rzero.config import RoleConfig
from rzero.engines.fleet import Source
from rzero.engines.ray_cluster import Call, RayCluster, Stored, Worker
from rzero.engines.tensors import unpack
from rzero.errors import EngineError, WorkerLostError
from rzero.types import Group

if TYPE_CHECKING:
    from torch import Tensor

_LOSS_SHOWS_S = 10.0  # within which Ray notices that a process died of which the others only lost the connection


class RemoteLearner:
    """The learner that ``workers`` make together, each a :class:`~rzero.evolve.hosts.LearnerHost`.

    Every method raises WorkerLostError if one of them is gone; the others are then of no use either.
    """

    def __init__(
        self,
        cluster: RayCluster,
        workers: Sequence[Worker],
        checkpoint: Path,
        *,
        reference: Path,
        role: RoleConfig,
        replica: int,
    ) -> None:
        self._cluster = cluster
        self._workers = workers
        self._checkpoint = checkpoint
        self._replica = replica
        self._version, self._save_bytes = self._all("open", checkpoint, reference, role)
        self._published: tuple[int, Stored] | None = None

    @property
    def policy_version(self) -> int:
        """The number of steps that this policy has taken."""
        return self._version

    @property
    def save_bytes(self) -> int:
        """About how many bytes :meth:`save` writes."""
        return self._save_bytes

    def step(self, groups: Sequence[Group]) -> Mapping[str, float]:
        """See :meth:`rzero.engines.base.Learner.step`."""
        self._published = None
        metrics, self._version = self._all("step", self._cluster.put(groups))
        return metrics

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """The policy's weights in compute precision, brought here."""
        return unpack(self._publish().get())

    def source(self) -> Source:
        """What samplers sample from to speak for the policy as it is now."""
        weights = self._publish()
        return Source(checkpoint=self._checkpoint, replica=self._replica, version=self._version, weights=weights)

    def save(self, path: Path) -> None:
        """See :meth:`rzero.engines.base.Learner.save`. Raises EngineError if what was written cannot be seen here."""
        self._all("save", path)
        if not any(path.iterdir()):
            raise EngineError(
                f"the learner saved into {path} on its node, but here that is empty; --out must be on a file system "
                "that all nodes share (for --out at a URL: let RZERO_CACHE name a directory there)"
            )

    def restore(self, path: Path) -> None:
        """See :meth:`rzero.engines.base.Learner.restore`."""
        self._published = None
        self._version = self._all("restore", path)

    def _publish(self) -> Stored:
        """The weights in the object store, once for each version."""
        if self._published is None or self._published[0] != self._version:
            calls, stored = zip(*(worker.call_and_store("weights") for worker in self._workers), strict=True)
            self._wait(calls)
            self._published = self._version, stored[0]
        return self._published[1]

    def _all(self, method: str, *arguments: Any) -> Any:
        """Have all run ``method``, which may need all of them at once; returns what the first says."""
        calls = [worker.call(method, *arguments) for worker in self._workers]
        self._wait(calls)
        return calls[0].result()

    def _wait(self, calls: Sequence[Call]) -> None:
        left = list(calls)
        while left:
            for call in self._cluster.wait(left):
                left.remove(call)
                try:
                    call.result()
                except WorkerLostError:
                    raise
                except Exception:
                    self._raise_loss(left)
                    raise

    def _raise_loss(self, calls: Sequence[Call]) -> None:
        """An error of one learner may only be the echo of another's death."""
        for call in self._cluster.wait_all(calls, timeout_s=_LOSS_SHOWS_S) if calls else ():
            try:
                call.result()
            except WorkerLostError:
                raise
            except Exception:  # the error that is raised is the one that came first
                continue
