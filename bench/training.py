"""Tokens a second of the GRPO update: rzero and TRL, on the same rollouts with the same loss.

16 prompts with 8 rollouts each that rzero sampled; half of each group is rewarded, so that every group counts. Tokens
are those of the rollouts with their prompts, each prompt as often as it has rollouts, whether or not an engine reads
it that often. Losses and gradient norms are of the first of these updates; before it, each engine has warmed up on one
group, which moves weights by 1e-6. TRL keeps weights, gradients and optimiser in bf16; rzero accumulates and steps in
fp32.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from harness.options import Options, parse
from harness.peers import started
from harness.problems import conversations
from harness.report import Report, gib
from harness.rounds import interleave, paired_ratio, spread
from harness.work import num_tokens

LEARNING_RATE = 1e-6
TRL_TUNING = {"batch_size": 8, "checkpointing": False}


def main() -> None:
    """Measure and print."""
    options = parse(__doc__)
    measure(options).show(options.json)


def measure(options: Options) -> Report:
    """Sample the rollouts, then let the engines update on them in turns."""
    prompts, group_size, new = (4, 4, 48) if options.quick else (16, 8, 128)
    with started(("ours", "trl"), options) as (workers, notes):
        for worker in workers.values():
            worker.send("load", model=str(options.model), threads=options.threads)
        for worker in workers.values():
            worker.receive()
        ours = workers["ours"]
        ours.call("start_learner", learning_rate=LEARNING_RATE, max_new_tokens=new)
        groups = ours.call(
            "rollouts", conversations=conversations(prompts, seed=1), n=group_size, max_new_tokens=new, seed=0
        ).result
        for warm_up in _updates(workers, groups[:1], new).values():
            warm_up()
        answers = interleave(_updates(workers, groups, new), rounds=dict.fromkeys(workers, 1 if options.quick else 2))
    tokens = num_tokens(groups)
    speeds = {name: [tokens / answer.result["seconds"] for answer in row] for name, row in answers.items()}
    first = {name: row[0].result for name, row in answers.items()}
    return Report(
        name="training",
        columns=["engine", "tokens/s", "seconds", "loss", "gradient norm", "peak memory"],
        rows=[
            [
                name,
                spread(speeds[name]),
                spread([answer.result["seconds"] for answer in row], 1),
                f"{first[name]['loss']:.5f}",
                f"{first[name]['grad_norm']:.3f}",
                gib(row[-1].peak_bytes),
            ]
            for name, row in answers.items()
        ],
        ratios=_ratios(speeds, first),
        data={"tokens_per_s": speeds, "first_update": first, "tokens": tokens},
        notes=[f"{prompts} prompts x {group_size} rollouts, {tokens:,} tokens with prompts; 1 update", *notes],
    )


def _updates(workers: dict[str, Any], groups: list[Any], new: int) -> dict[str, Any]:
    runs = {"ours": partial(workers["ours"].call, "update", groups=groups)}
    if "trl" in workers:
        runs["trl"] = partial(
            workers["trl"].call,
            "update",
            groups=groups,
            learning_rate=LEARNING_RATE,
            max_new_tokens=new,
            **TRL_TUNING,
        )
    return runs


def _ratios(speeds: dict[str, list[float]], first: dict[str, dict[str, float]]) -> dict[str, float]:
    """The speeds' ratio, and how far the losses and the gradient norms lie apart."""
    if "trl" not in speeds:
        return {}
    return {
        "ours/trl": paired_ratio(speeds["ours"], speeds["trl"]),
        "loss difference": abs(first["ours"]["loss"] - first["trl"]["loss"]),
        "gradient norm ours/trl": first["ours"]["grad_norm"] / first["trl"]["grad_norm"],
    }


if __name__ == "__main__":
    main()
