"""The share of the processor's measured matrix rate that sampling and update reach; the language model and the micro
model.

The rate is that of the fastest product of two 2,048 x 2,048 matrices on all threads, in the same process. The work is
the least that is needed (harness/work.py): each prompt once for its group, the head at completion tokens alone, no
recomputation. Sampling cannot come near it: a decoding step multiplies few rows.
"""

from __future__ import annotations

from typing import Any

from harness.options import Options, parse
from harness.peers import started
from harness.problems import conversations
from harness.report import Report
from harness.work import num_tokens, sampling_work, update_work
from harness.worker import Worker
from rzero import domains
from rzero.costs.shape import Shape
from rzero.evaluate.tasks import data_path, load_examples
from rzero.models.resolve import BUNDLED, resolve


def main() -> None:
    """Measure and print."""
    options = parse(__doc__)
    measure(options).show(options.json)


def measure(options: Options) -> Report:
    """Both models one after the other, each in a process of its own."""
    prompts, new = (4, 48) if options.quick else (16, 128)
    models = {
        "language model": (str(options.model), "bfloat16", conversations(prompts, seed=5)),
        "micro model": (
            str(resolve(BUNDLED, store=options.model.parent)),
            "float32",
            arithmetic_conversations(prompts * 4),
        ),
    }
    rows, ratios, data = [], {}, {}
    for name, (model, dtype, chats) in models.items():
        with started(("ours",), options) as (workers, _):
            found = _measure(workers["ours"], model, dtype, chats, new, options)
        rows += [
            [
                name,
                what,
                f"{found[f'{what}_tokens_per_s']:,.0f}",
                f"{found[f'{what}_share']:.1%}",
                f"{found['rate'] / 1e12:.2f}",
            ]
            for what in ("sampling", "update")
        ]
        ratios |= {f"{name} {what}": found[f"{what}_share"] for what in ("sampling", "update")}
        data[name] = found
    return Report(
        name="rate",
        columns=["model", "what", "tokens/s", "share of matrix rate", "matrix rate, TFLOP/s"],
        rows=rows,
        ratios=ratios,
        data=data,
        notes=[
            "sampling counts generated tokens; update counts tokens of rollouts with their prompts",
            "language model: bf16 and its bf16 rate; micro model: fp32 and its fp32 rate",
        ],
    )


def arithmetic_conversations(count: int) -> list[list[dict[str, str]]]:
    """Questions of the bundled test set as the micro model's Solver is asked them."""
    domain = domains.load("arithmetic")
    return [
        [{"role": m.role, "content": m.content} for m in domain.solver_prompt(example.question).messages]
        for example in load_examples(data_path("arithmetic"), limit=count)
    ]


def _measure(worker: Worker, model: str, dtype: str, chats: list[Any], new: int, options: Options) -> dict[str, float]:
    """Tokens a second and shares of one model; a first update warms up."""
    n = 8
    shape = Shape(**worker.call("load", model=model, threads=options.threads, dtype=dtype).result)
    worker.call("start_learner", learning_rate=1e-6, max_new_tokens=new)
    sampled = worker.call("rollouts", conversations=chats, n=n, max_new_tokens=new, seed=0)
    groups = sampled.result
    worker.call("update", groups=groups[:1])
    update_s = min(worker.call("update", groups=groups).result["seconds"] for _ in range(1 if options.quick else 2))
    rate = worker.call("matrix_rate", dtype=dtype).result
    lengths = [[len(ids) for ids in group["completions"]] for group in groups]
    work = sampling_work(shape, [len(group["prompt_ids"]) for group in groups], lengths)
    return {
        "rate": rate,
        "sampling_tokens_per_s": sum(map(sum, lengths)) / sampled.seconds,
        "sampling_share": work / sampled.seconds / rate,
        "update_tokens_per_s": num_tokens(groups) / update_s,
        "update_share": update_work(shape, groups, shared_prompts=True) / update_s / rate,
        "update_share_prompts_repeated": update_work(shape, groups, shared_prompts=False) / update_s / rate,
    }


if __name__ == "__main__":
    main()
