"""Phase 2: the Challenger writes the candidate pool.

Completions are sampled in parts that are saved one by one. Malformed ones and exact repeats are dropped and counted;
the official code keeps repeats.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from rzero.evolve.context import Context, sampling
from rzero.evolve.parts import in_parts
from rzero.runs.atomic import write_json
from rzero.types import FinishReason, Phase

PHASE = Phase.GENERATE_QUESTIONS


def generate_questions(context: Context, iteration: int) -> None:
    """Write ``questions.jsonl`` (id, question) and ``statistics.json``."""
    options = context.config.generate
    prompt = context.domain.challenger_prompt()

    def sample(part: int, indices: range) -> list[dict[str, Any]]:
        params = sampling(
            options,
            n=len(indices),
            max_new_tokens=context.config.challenger.max_new_tokens,
            seed=context.seed(iteration, PHASE, part),
        )
        with context.console.progress(f"{PHASE} part {part}", len(indices)) as advance:
            sampler = context.engine.sampler(context.lineage.challenger(iteration))
            _, groups = context.sample(sampler, [prompt], params, on_progress=advance)
        rows = []
        for index, completion in zip(indices, groups[0], strict=True):
            parsed = context.domain.parse_question(prompt.prefill + completion.text)
            rows.append(
                {
                    "index": index,
                    "question": parsed.text,
                    "problem": parsed.problem,
                    "completion": completion.text,
                    "num_tokens": len(completion.token_ids),
                    "finish_reason": str(completion.finish_reason),
                }
            )
        return rows

    rows = in_parts(context, iteration, PHASE, total=options.num_questions, work=sample)
    directory = context.directory(iteration, PHASE)
    texts = [row["question"] for row in rows if row["question"] is not None]
    distinct = list(dict.fromkeys(texts))
    questions = [
        {"id": f"i{iteration:02d}-q{number:05d}", "question": text} for number, text in enumerate(distinct, start=1)
    ]
    directory.write_rows("questions.jsonl", questions)
    write_json(
        directory.file("statistics.json"),
        {
            "num_sampled": len(rows),
            "num_distinct": len(distinct),
            "num_repeated": len(texts) - len(distinct),
            "malformed": dict(sorted(Counter(row["problem"] for row in rows if row["problem"]).items())),
            "num_cut_off": sum(row["finish_reason"] == FinishReason.LENGTH for row in rows),
            "mean_completion_tokens": sum(row["num_tokens"] for row in rows) / len(rows),
        },
    )
    context.run.state.complete(iteration, PHASE)
