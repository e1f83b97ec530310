"""Ray, as far as rzero uses it: processes on the nodes of a cluster, calls to them, and values that all can read.

The only file that imports ray. It knows nothing of models: a :class:`Worker` is any object in a process of its own.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rzero.engines.placement import Node
from rzero.engines.process import num_cores
from rzero.errors import ConfigError, EngineError, MissingExtraError, RzeroError, WorkerLostError

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_CALLS_AT_ONCE = 4  # of one worker: what runs long must not keep short questions waiting


def require_ray() -> None:
    """Raises MissingExtraError, with the command that helps, unless Ray is installed."""
    if importlib.util.find_spec("ray") is None:
        raise MissingExtraError(
            'engine.cluster=ray needs the package ray, which is not installed; run: pip install "rzero[ray]" '
            "(on every node), or set engine.cluster=none"
        )


class StoredValueLostError(WorkerLostError):
    """A stored value went with the process or the node that had it."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A value in the cluster's object store. Handing it on moves nothing; :meth:`get` reads it."""

    reference: Any

    def get(self) -> Any:
        """The value. Raises StoredValueLostError if it is gone."""
        import ray
        from ray.exceptions import RayError

        try:
            return ray.get(self.reference)
        except RayError as error:
            raise StoredValueLostError(f"a value that was shared by its process is gone: {_one_line(error)}") from None


@dataclass(frozen=True, slots=True)
class Call:
    """What a worker was asked; ``who`` answers."""

    reference: Any
    who: str

    def result(self) -> Any:
        """Wait for the answer.

        Raises WorkerLostError if the worker is gone, and if its code raised an error that error: one of rzero's own as
        it was, any other as an EngineError; both carry the worker's traceback.
        """
        import ray
        from ray.exceptions import RayError, RayTaskError

        try:
            return ray.get(self.reference)
        except RayTaskError as error:
            raise _own_error(error, self.who) from None
        except RayError as error:
            raise _lost(error, self.who) from None


class Worker:
    """An object in a process of its own, somewhere in the cluster. ``name`` is for messages."""

    def __init__(self, actor: Any, name: str) -> None:
        self._actor = actor
        self.name = name

    def call(self, method: str, *arguments: Any) -> Call:
        """Ask it to run ``method``; several calls may run at once."""
        return Call(self._actor.call.remote(method, arguments), self.name)

    def call_and_store(self, method: str, *arguments: Any) -> tuple[Call, Stored]:
        """Ask it to run ``method`` and leave what that returns in the object store, from where others may read it."""
        done, value = self._actor.store.options(num_returns=2).remote(method, arguments)
        return Call(done, self.name), Stored(value)

    def kill(self) -> None:
        """End its process at once and for good."""
        import ray

        ray.kill(self._actor, no_restart=True)


class RayCluster:
    """A Ray cluster that this process takes part in.

    ``address`` is the head's ``host:port``, or "auto" for the cluster that this machine belongs to; empty starts one on
    this machine, with room for ``object_store_bytes`` of shared values, which ends with this process. ``timeout_s`` is
    the longest wait for anything that should take seconds. Raises ConfigError for an address where no cluster can be
    joined.
    """

    def __init__(self, address: str, *, timeout_s: float, object_store_bytes: int) -> None:
        require_ray()
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # Ray is about to stop hiding GPUs from processes that asked for none, and warns of it; they are told so anyway.
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        os.environ.setdefault("RAY_worker_niceness", "0")  # workers are what a node is there for, not a background
        logging.getLogger("ray").setLevel(logging.ERROR)
        import ray

        self.timeout_s = timeout_s
        self._workers: list[Worker] = []
        self._joined_before = ray.is_initialized()
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if self._joined_before:
            return
        if not address:
            options |= {"include_dashboard": False, "num_cpus": num_cores(), "object_store_memory": object_store_bytes}
        elif address != "auto":
            _probe(address, timeout_s)
        try:
            ray.init(address=address or "local", **options)
        except (OSError, RuntimeError, ValueError) as error:
            raise ConfigError(
                f"engine.ray_address={address!r}: Ray cannot be joined there ({_one_line(error)}); give the host:port "
                "of a running head node, auto on one of its nodes, or nothing to start Ray here"
            ) from error

    def nodes(self) -> list[Node]:
        """The machines that are up."""
        import ray

        return [
            Node(
                name=node["NodeManagerAddress"],
                cpus=int(node["Resources"].get("CPU", 0)),
                gpus=int(node["Resources"].get("GPU", 0)),
            )
            for node in ray.nodes()
            if node["Alive"]
        ]

    def free(self) -> str:
        """What nobody has reserved, in words."""
        import ray

        left = ray.available_resources()
        return f"{left.get('CPU', 0):g} CPUs and {left.get('GPU', 0):g} GPUs are free"

    def start(
        self, make: Callable[..., Any], *arguments: Any, name: str, cpus: int, gpus: float, restarts: bool
    ) -> Worker:
        """A process that holds ``make(*arguments)``, on another node than the last where there are several.

        With ``restarts`` Ray starts it again, wherever there is room, whenever it dies; it then holds a new object.
        """
        import ray

        named = type(
            getattr(make, "__name__", "Worker"), (_Process,), {}
        )  # so that a list of processes says what each is
        actor = ray.remote(named).options(
            num_cpus=cpus,
            num_gpus=gpus,
            max_restarts=-1 if restarts else 0,
            max_concurrency=_CALLS_AT_ONCE,
            scheduling_strategy="SPREAD",
        )
        worker = Worker(actor.remote(make, arguments), name)
        self._workers.append(worker)
        return worker

    def put(self, value: Any) -> Stored:
        """Give ``value`` to the object store, from where every worker can read it."""
        import ray

        return Stored(ray.put(value))

    def wait(self, calls: Sequence[Call], *, timeout_s: float | None = None) -> list[Call]:
        """Those of ``calls`` that have an answer, as soon as there is one; none if ``timeout_s`` passes before."""
        import ray

        by_reference = {call.reference: call for call in calls}
        ready, _ = ray.wait(list(by_reference), timeout=timeout_s, fetch_local=False)
        return [by_reference[reference] for reference in ready]

    def wait_all(self, calls: Sequence[Call], *, timeout_s: float) -> list[Call]:
        """Those of ``calls`` that have an answer when all have one or ``timeout_s`` is over."""
        import ray

        by_reference = {call.reference: call for call in calls}
        ready, _ = ray.wait(list(by_reference), num_returns=len(by_reference), timeout=timeout_s, fetch_local=False)
        return [by_reference[reference] for reference in ready]

    def close(self) -> None:
        """End all workers and leave the cluster, if it was joined here; one that was started here ends, too."""
        import ray

        for worker in self._workers:
            worker.kill()
        if not self._joined_before:
            ray.shutdown()


def own_address() -> str:
    """Where other nodes reach the node of this process."""
    import ray

    return ray.util.get_node_ip_address()


class _Process:
    """What runs in a worker's process."""

    def __init__(self, make: Callable[..., Any], arguments: Sequence[Any]) -> None:
        self._make, self._arguments = make, arguments
        self._object: Any = None

    def call(self, method: str, arguments: Sequence[Any]) -> Any:
        if self._object is None:  # made here, where an error is the call's and not a mystery of the process
            self._object = self._make(*self._arguments)
        return getattr(self._object, method)(*arguments)

    def store(self, method: str, arguments: Sequence[Any]) -> tuple[None, Any]:
        return None, self.call(method, arguments)


def _probe(address: str, timeout_s: float) -> None:
    """Ray itself waits long for a head node that is not there."""
    host, separator, port = address.rpartition(":")
    if not separator or not port.isdigit() or "/" in host:
        raise ConfigError(
            f"engine.ray_address={address!r} is no address; write host:port of the head node (its port is 6379 unless "
            "it was given another; ray:// is not used), auto, or nothing to start Ray here"
        )
    try:
        socket.create_connection((host, int(port)), timeout=timeout_s).close()
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"engine.ray_address={address!r}: nothing answers there ({_one_line(error)}); start the head node with: "
            "ray start --head, or correct the address"
        ) from None
    # Joined in this process, somebody else who answers there would be waited for, for more than a minute.
    check = "from ray.scripts.scripts import main; main()"
    try:
        answer = subprocess.run(
            [sys.executable, "-c", check, "health-check", "--address", address],
            capture_output=True,
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired:
        answer = None
    if answer is None or answer.returncode != 0:
        start = f"engine.ray_address={address!r}: Ray cannot be joined there "
        if answer is not None and b"InvalidAuthToken" in answer.stderr:
            raise ConfigError(
                f"{start}(it asks for a token, which Ray sends to no address unasked); run this with the variable "
                "RAY_AUTH_MODE=token, on a machine where ~/.ray/auth_token is the head node's"
            )
        raise ConfigError(
            f"{start}(who answers is no head node of this Ray, or needs more than engine.ray_timeout_s={timeout_s:g} "
            "s); give the host:port of a running head node"
        )


def _own_error(error: Any, who: str) -> Exception:
    """What a worker's code raised, with its traceback."""
    cause = error.cause
    trace = _COLOURS.sub("", str(error)).rstrip()
    if isinstance(cause, RzeroError):
        cause.add_note(f"in {who}:\n{trace}")
        return cause
    return EngineError(f"{who} failed: {type(cause).__name__}: {_one_line(cause)}\n{trace}")


def _lost(error: Any, who: str) -> Exception:
    from ray.exceptions import ObjectStoreFullError, RaySystemError

    text = _one_line(error)
    if "creation task" in text or "ModuleNotFoundError" in str(error):
        return EngineError(f"{who} cannot start: {text}; rzero and its extras must be installed on every node alike")
    if isinstance(error, (ObjectStoreFullError, RaySystemError)):
        return EngineError(f"{who}: Ray failed: {text}")
    return WorkerLostError(f"{who} is gone: {text}")


def _one_line(error: Any) -> str:
    r"""The beginning of an error's text.

    >>> _one_line(ValueError("a\n  b"))
    'a b'
    """
    return " ".join(str(error).split())[:300]
