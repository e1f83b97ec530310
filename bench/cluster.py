"""What sampling on a Ray cluster costs: two one-core samplers against one, and one against the same without Ray.

Prompts with 8 completions each, temperature 1. The cluster is on this machine. Beside it the machine's own limit: two
processes without any cluster, each with half of the prompts, against one. Cores that share caches, memory or a power
budget do less than twice the work together.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

from harness.options import Options, parse
from harness.peers import peer
from harness.problems import conversations
from harness.report import Report
from harness.rounds import interleave, paired_ratio, spread
from harness.worker import Worker

MAX_ROWS = 64
LABELS = {
    "embedded": "embedded, 1 core",
    "pair": "embedded, 2 processes of 1 core",
    "ray1": "Ray, 1 sampler of 1 core",
    "ray2": "Ray, 2 samplers of 1 core",
}


def main() -> None:
    """Measure and print."""
    options = parse(__doc__)
    measure(options).show(options.json)


def measure(options: Options) -> Report:
    """Start everything, warm it up, then take turns."""
    prompts, new, rounds = (8, 32, 1) if options.quick else (24, 96, 3)
    chats = conversations(prompts, seed=0)
    request = {"n": 8, "max_new_tokens": new, "seed": 0}
    with ExitStack() as stack:
        ours = peer("ours", threads=1)
        start = lambda module: stack.enter_context(  # noqa: E731
            closing(Worker(module, python=Path(sys.executable), environment=ours.environment))
        )
        one, other, ray = start("with_rzero"), start("with_rzero"), start("with_ray")
        for worker in (one, other):
            worker.send("load", model=str(options.model), threads=1, max_rows=MAX_ROWS)
        ray.send("load", model=str(options.model), samplers=2, max_rows=MAX_ROWS)
        for worker in (one, other, ray):
            worker.receive()
        runs: Mapping[str, Callable[[list[Any]], float]] = {
            "embedded": partial(_speed, [(one, request)]),
            "pair": partial(_speed, [(one, request), (other, request)]),
            "ray1": partial(_speed, [(ray, request | {"samplers": 1})]),
            "ray2": partial(_speed, [(ray, request | {"samplers": 2})]),
        }
        for run in runs.values():
            run(chats[:4])
        speeds = interleave(
            {name: partial(run, chats) for name, run in runs.items()}, rounds=dict.fromkeys(runs, rounds)
        )
    return Report(
        name="cluster",
        columns=["sampling by", "tokens/s"],
        rows=[[LABELS[name], spread(row)] for name, row in speeds.items()],
        ratios={
            "2 samplers/1": paired_ratio(speeds["ray2"], speeds["ray1"]),
            "2 processes/1, no cluster": paired_ratio(speeds["pair"], speeds["embedded"]),
            "overhead of Ray": paired_ratio(speeds["embedded"], speeds["ray1"]) - 1,
        },
        data={"tokens_per_s": speeds, "prompts": prompts, "max_new_tokens": new, "max_rows": MAX_ROWS},
        notes=[f"{prompts} prompts x 8 completions, at most {new} new tokens, at most {MAX_ROWS} rows side by side"],
    )


def _speed(workers: list[tuple[Worker, dict[str, Any]]], chats: list[Any]) -> float:
    """Tokens a second of all ``workers`` together, each with an equal share of ``chats``."""
    started = time.perf_counter()
    for number, (worker, request) in enumerate(workers):
        worker.send("sample", conversations=chats[number :: len(workers)], **request)
    tokens = sum(worker.receive().result["tokens"] for worker, _ in workers)
    return tokens / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
