"""Peak resident memory of a training step: full fine-tuning, 4,096 tokens in a micro-batch, a process of its own.

The step has two full micro-batches of long completions, so that nothing about it is lighter than in real training.
The peak is the process's own since its start: interpreter and libraries, the bf16 model, fp32 master weights and
gradients, AdamW's two moments, activations.
"""

from __future__ import annotations

from typing import Any

from harness.options import Options, parse
from harness.peers import started
from harness.problems import synthetic_groups
from harness.report import Report, gib
from harness.work import num_tokens
from rzero.costs.shape import Shape

TOKENS_PER_MICROBATCH = 4096
GROUPS, GROUP_SIZE, PROMPT_TOKENS, COMPLETION_TOKENS = 2, 8, 64, 448


def main() -> None:
    """Measure and print."""
    options = parse(__doc__)
    measure(options).show(options.json)


def measure(options: Options) -> Report:
    """One step, with layers checkpointed and as the learner chooses; --quick takes one micro-batch instead of two."""
    groups: list[Any] = []
    rows: list[list[str]] = []
    peaks: dict[str, int] = {}
    notes: list[str] = []
    for checkpointing in ("on", "auto"):
        with started(("ours",), options) as (workers, said):
            worker = workers["ours"]
            loaded = worker.call(
                "load",
                model=str(options.model),
                threads=options.threads,
                tokens_per_microbatch=TOKENS_PER_MICROBATCH,
                checkpointing=checkpointing,
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
        rows.append([checkpointing, *(gib(answer.peak_bytes) for answer in (loaded, learner, step))])
        peaks[checkpointing] = step.peak_bytes
        notes = said
    return Report(
        name="memory",
        columns=["grpo.checkpointing", "the model is open", "the learner has its masters", "a training step"],
        rows=rows,
        ratios={f"peak GiB, checkpointing {name}": peak / 2**30 for name, peak in peaks.items()},
        data=peaks,
        notes=[
            f"{num_tokens(groups):,} tokens in micro-batches of {TOKENS_PER_MICROBATCH:,}, "
            f"completions of {COMPLETION_TOKENS}",
            *notes,
        ],
    )


if __name__ == "__main__":
    main()
