"""Peak resident memory of a training step: full fine-tuning, 4,096 tokens in a micro-batch, a process of its own.

The step has two full micro-batches of long completions, so that nothing about it is lighter than in real training.
The peak is the process's own since its start: interpreter and libraries, the bf16 model, fp32 master weights and
gradients, AdamW's two moments, activations.
"""

from __future__ import annotations

from harness.options import Options, parse
from harness.peers import started
from harness.problems import synthetic_groups
from harness.report import Report, gib
from harness.work import Shape, num_tokens

TOKENS_PER_MICROBATCH = 4096
GROUPS, GROUP_SIZE, PROMPT_TOKENS, COMPLETION_TOKENS = 2, 8, 64, 448


def main() -> None:
    """Measure and print."""
    options = parse(__doc__)
    measure(options).show(options.json)


def measure(options: Options) -> Report:
    """One step; --quick takes one micro-batch instead of two."""
    with started(("ours",), options) as (workers, notes):
        worker = workers["ours"]
        loaded = worker.call(
            "load", model=str(options.model), threads=options.threads, tokens_per_microbatch=TOKENS_PER_MICROBATCH
        )
        learner = worker.call("start_learner", learning_rate=1e-6, max_new_tokens=COMPLETION_TOKENS)
        groups = synthetic_groups(
            GROUPS // 2 if options.quick else GROUPS,
            group_size=GROUP_SIZE,
            prompt_tokens=PROMPT_TOKENS,
            completion_tokens=COMPLETION_TOKENS,
            vocab_size=Shape(**loaded.result).vocab,
        )
        step = worker.call("update", groups=groups)
    return Report(
        name="memory",
        columns=["after", "peak so far"],
        rows=[
            ["the model is open", gib(loaded.peak_bytes)],
            ["the learner has its masters", gib(learner.peak_bytes)],
            ["a training step", gib(step.peak_bytes)],
        ],
        ratios={"peak GiB": step.peak_bytes / 2**30},
        data={"load": loaded.peak_bytes, "learner": learner.peak_bytes, "step": step.peak_bytes},
        notes=[
            f"{num_tokens(groups):,} tokens in micro-batches of {TOKENS_PER_MICROBATCH:,}, "
            f"completions of {COMPLETION_TOKENS}",
            *notes,
        ],
    )


if __name__ == "__main__":
    main()
