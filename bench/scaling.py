"""How time grows with the work: sampling and update against completion length, group size and number of prompts.

Each series doubles one size and keeps the others. Completions are not stopped, so all have the length that is meant.
Work is the least number of floating-point operations (harness/work.py), attention's own growth with the length
included. The last column is growth of time over growth of work in that doubling: 1 or less means that no cost grows
faster than the work.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.options import Options, parse
from harness.peers import started
from harness.problems import conversations, synthetic_groups
from harness.report import Report
from harness.work import sampling_work, update_work
from harness.worker import Worker
from rzero.costs.shape import Shape

PROMPT_TOKENS = 64


@dataclass(frozen=True, kw_only=True)
class Size:
    """What is sampled or updated on."""

    length: int
    group_size: int
    prompts: int


def main() -> None:
    """Measure and print."""
    options = parse(__doc__)
    measure(options).show(options.json)


def measure(options: Options) -> Report:
    """All series of both kinds, in one process."""
    rows, ratios, data = [], {}, []
    with started(("ours",), options) as (workers, notes):
        worker = workers["ours"]
        shape = Shape(**worker.call("load", model=str(options.model), threads=options.threads).result)
        worker.call("start_learner", learning_rate=1e-6, max_new_tokens=512)
        for warm_up in (_sample, _update):
            warm_up(worker, shape, Size(length=16, group_size=2, prompts=2))
        for kind, run in (("sampling", _sample), ("update", _update)):
            for name, sizes in series(options.quick):
                last: tuple[float, int] | None = None
                for size in sizes:
                    seconds, work = min(
                        run(worker, shape, size) for _ in range(1 if options.quick or kind == "update" else 2)
                    )
                    growth = None if last is None else (seconds / last[0]) / (work / last[1])
                    last = seconds, work
                    rows.append(_row(kind, name, size, seconds, work, growth))
                    data.append({"kind": kind, "series": name, **_plain(size), "seconds": seconds, "work": work})
                    if growth is not None:
                        ratios[f"{kind}/{name}"] = growth  # the last doubling stays
    return Report(
        name="scaling",
        columns=["what", "series", "length", "group", "prompts", "seconds", "GFLOP", "time growth / work growth"],
        rows=rows,
        ratios=ratios,
        data={"measurements": data},
        notes=["sampling: the fastest of two repeats" if not options.quick else "one repeat each", *notes],
    )


def series(quick: bool) -> Iterator[tuple[str, list[Size]]]:
    """Sizes that double; the group size and the number of prompts start where a batch is already wide."""
    base = Size(length=32, group_size=4, prompts=2) if quick else Size(length=64, group_size=8, prompts=4)
    doublings = (1, 2) if quick else (1, 2, 4)
    yield "length", [Size(length=base.length * k, group_size=base.group_size, prompts=base.prompts) for k in doublings]
    yield "group", [Size(length=base.length, group_size=base.group_size * k, prompts=base.prompts) for k in doublings]
    yield "prompts", [Size(length=base.length, group_size=base.group_size, prompts=base.prompts * k) for k in doublings]


def _sample(worker: Worker, shape: Shape, size: Size) -> tuple[float, int]:
    answer = worker.call(
        "sample",
        conversations=conversations(size.prompts, seed=4),
        n=size.group_size,
        max_new_tokens=size.length,
        seed=0,
        endless=True,
    )
    prompt = answer.result["prompt_tokens"] // size.prompts
    work = sampling_work(shape, [prompt] * size.prompts, [[size.length] * size.group_size] * size.prompts)
    return answer.seconds, work


def _update(worker: Worker, shape: Shape, size: Size) -> tuple[float, int]:
    groups = synthetic_groups(
        size.prompts,
        group_size=size.group_size,
        prompt_tokens=PROMPT_TOKENS,
        completion_tokens=size.length,
        vocab_size=shape.vocab,
    )
    seconds = worker.call("update", groups=groups).result["seconds"]
    return seconds, update_work(shape, groups, shared_prompts=True)


def _row(kind: str, name: str, size: Size, seconds: float, work: int, growth: float | None) -> list[str]:
    cells = [kind, name, *(str(value) for value in _plain(size).values()), f"{seconds:.2f}", f"{work / 1e9:,.0f}"]
    return [*cells, "" if growth is None else f"{growth:.2f}"]


def _plain(size: Size) -> dict[str, int]:
    return {"length": size.length, "group_size": size.group_size, "prompts": size.prompts}


if __name__ == "__main__":
    main()
