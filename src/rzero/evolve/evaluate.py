"""Phase 6: the Solver against gold answers. Gold is used here alone; nothing of it reaches a later phase.

The base model is evaluated first, as the Solver of iteration 0, under the same protocol.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

from rzero.engines.base import Sampler, SamplingParams
from rzero.evaluate.metrics import accuracy
from rzero.evaluate.tasks import data_path, load_examples
from rzero.evolve import lineage
from rzero.evolve.context import Context
from rzero.grading.grader import versions
from rzero.runs.atomic import write_json
from rzero.types import FinishReason, Outcome, Phase

PHASE = Phase.EVALUATE


def evaluate(context: Context, iteration: int) -> None:
    """Write ``evaluation.json`` (per file: accuracy with its interval, outcomes) and the answers to each file's
    questions.
    """
    options = context.config.evaluate
    directory = context.directory(iteration, PHASE)
    results: dict[str, Any] = {}
    if options.data:
        sampler = context.engine.sampler(lineage.solver(context, iteration))
        for name in options.data:
            path = data_path(name)
            results[path.stem], rows = _evaluate_file(context, path, sampler, iteration)
            directory.write_rows(f"samples_{path.stem}.jsonl", rows)
    report = {"results": results, "sampling": options.model_dump(mode="json"), "grader": versions()}
    write_json(directory.file("evaluation.json"), report)
    context.run.state.complete(iteration, PHASE)


def _evaluate_file(
    context: Context, path: Path, sampler: Sampler, iteration: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    options = context.config.evaluate
    examples = load_examples(path, limit=options.limit)
    prompts = [context.domain.solver_prompt(example.question) for example in examples]
    params = SamplingParams(
        max_new_tokens=options.max_new_tokens,
        temperature=options.temperature,
        top_p=options.top_p,
        top_k=options.top_k,
        stop=prompts[0].stop,
        seed=context.seed(0, PHASE, path.stem),  # the same numbers for every iteration: a paired comparison
    )
    with context.console.progress(f"{PHASE} {path.stem} (iteration {iteration})", len(examples)) as advance:
        _, groups = context.sample(sampler, prompts, params, on_progress=advance)
    completions = [group[0] for group in groups]
    answers = [
        context.domain.extract_answer(prompt.prefill + completion.text)
        for prompt, completion in zip(prompts, completions, strict=True)
    ]
    golds = [example.gold for example in examples]
    outcomes = context.grader.grade_many(list(zip(answers, golds, strict=True)))
    rows = [
        {
            "id": example.id,
            "question": example.question,
            "gold": example.gold,
            "answer": answer,
            "outcome": str(outcome),
            "finish_reason": str(completion.finish_reason),
            "completion": completion.text,
        }
        for example, answer, outcome, completion in zip(examples, answers, outcomes, completions, strict=True)
    ]
    right = sum(outcome is Outcome.RIGHT for outcome in outcomes)
    result = {
        "accuracy": asdict(accuracy(right, len(examples))),
        "outcomes": {str(outcome): count for outcome, count in sorted(Counter(outcomes).items())},
        "num_cut_off": sum(completion.finish_reason is FinishReason.LENGTH for completion in completions),
        "mean_completion_tokens": fmean(len(completion.token_ids) for completion in completions),
    }
    return result, rows
