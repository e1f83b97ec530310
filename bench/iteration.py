"""A whole GRPO step, and a whole iteration of R-Zero: rzero against TRL and transformers.

The step: 16 prompts with 8 rollouts each, at most 128 new tokens, rewards, one update; each engine samples for
itself, so what is compared are sampled tokens a second of the whole step. The iteration: all phases at small sizes,
by rzero's own loop with everything that it saves, and by a script over TRL and transformers
(engines/rzero_with_trl.py) that keeps its models in memory and saves them at the end.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from harness.options import Options, parse
from harness.peers import started
from harness.problems import conversations
from harness.report import Report, gib
from harness.rounds import interleave, paired_ratio, spread
from harness.worker import Answer, Worker

LEARNING_RATE = 1e-6
SIZES: dict[str, Any] = {
    "iterations": 1,
    "challenger.steps": 1,
    "challenger.group_size": 16,
    "generate.num_questions": 16,
    "vote.num_votes": 4,
    "vote.min_valid_frac": 0.0,
    "curriculum.band_low": 0.0,
    "curriculum.band_high": 1.0,
    "solver.steps": 1,
    "solver.prompts_per_step": 2,
    "solver.group_size": 8,
    "evaluate.data": (),
    "progress": "none",
}
"""The band is open, so that both sides train on a full step whatever was written."""


def main() -> None:
    """Measure and print."""
    options = parse(__doc__)
    measure(options).show(options.json)


def measure(options: Options) -> Report:
    """Steps in turns, then one iteration each."""
    prompts, group_size, new = (2, 4, 32) if options.quick else (16, 8, 128)
    with started(("ours", "trl"), options) as (workers, notes):
        for worker in workers.values():
            worker.send("load", model=str(options.model), threads=options.threads)
        for worker in workers.values():
            worker.receive()
        workers["ours"].call("start_learner", learning_rate=LEARNING_RATE, max_new_tokens=new)
        chats = conversations(prompts, seed=2)
        for name, worker in workers.items():
            _step(name, worker, chats[:1], 4, 8)
        # TRL's step takes minutes, so it is measured once.
        rounds = {name: 2 if name == "ours" and not options.quick else 1 for name in workers}
        steps = interleave(
            {name: partial(_step, name, worker, chats, group_size, new) for name, worker in workers.items()},
            rounds=rounds,
        )
        whole = {name: _iteration(worker, options) for name, worker in workers.items()}
    speeds = {name: [a.result["tokens"] / a.result["seconds"] for a in row] for name, row in steps.items()}
    seconds = {name: answer.seconds for name, answer in whole.items()}
    return Report(
        name="iteration",
        columns=["engine", "step: tokens/s", "step: s", "iteration: s", "votes", "pool", "kept", "peak memory"],
        rows=[
            [
                name,
                spread(speeds[name]),
                spread([answer.result["seconds"] for answer in row], 1),
                f"{seconds[name]:.1f}",
                *(str(whole[name].result[key]) for key in ("votes", "pool", "kept")),
                gib(whole[name].peak_bytes),
            ]
            for name, row in steps.items()
        ],
        ratios={}
        if "trl" not in workers
        else {
            "step ours/trl": paired_ratio(speeds["ours"], speeds["trl"]),
            "iteration ours/trl": seconds["trl"] / seconds["ours"],
        },
        data={"step_tokens_per_s": speeds, "iteration_s": seconds, "work": {n: a.result for n, a in whole.items()}},
        notes=[f"step: {prompts} prompts x {group_size} rollouts, at most {new} new tokens", _sizes(options), *notes],
    )


def _step(name: str, worker: Worker, chats: list[Any], group_size: int, new: int) -> Answer:
    own = {"seed": 0} if name == "ours" else {"learning_rate": LEARNING_RATE}
    return worker.call("step", conversations=chats, group_size=group_size, max_new_tokens=new, **own)


def _iteration(worker: Worker, options: Options) -> Answer:
    """In --quick with the bundled micro model, on which TRL takes seconds instead of minutes."""
    preset = "micro" if options.quick else "laptop"
    model = "micro" if options.quick else str(options.model)
    with tempfile.TemporaryDirectory() as folder:
        overrides = SIZES | {"model.path": model, "engine.threads": options.threads}
        return worker.call("iteration", preset=preset, overrides=overrides, out=str(Path(folder) / "run"))


def _sizes(options: Options) -> str:
    model = "the bundled micro model, preset micro" if options.quick else "preset laptop"
    changed = ", ".join(f"{name}={value}" for name, value in SIZES.items() if "." in name and "evaluate" not in name)
    return f"iteration: {model}, {changed}; votes are answers sampled, kept are questions to train on"


if __name__ == "__main__":
    main()
