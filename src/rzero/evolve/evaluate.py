"""Phase 6: the Solver against gold answers. Gold is used here alone; nothing of it reaches a later phase.

The base model is evaluated first, as the Solver of iteration 0, under the same protocol and with the same random
numbers, so that iterations are compared question by question. The official code's mean@32 repeats one greedy answer 32
times; here mean@k is over k sampled answers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

from rzero.curriculum.votes import tally
from rzero.engines.base import Sampler, SamplingParams
from rzero.evaluate.metrics import accuracy, mean_accuracy
from rzero.evaluate.tasks import data_path, load_examples
from rzero.evolve.context import Context, Parts, sampling
from rzero.grading.grader import versions
from rzero.runs.atomic import write_json
from rzero.seeds import derive_seed
from rzero.types import Completion, Example, FinishReason, Outcome, Phase, Vote, VoteStatus

PHASE = Phase.EVALUATE


def evaluate(context: Context, iteration: int) -> None:
    """Write ``evaluation.json`` and the answers to each file's questions, ``samples_<file>.jsonl``."""
    options = context.config.evaluate
    directory = context.directory(iteration, PHASE)
    results: dict[str, Any] = {}
    if options.data:
        sampler = context.engine.sampler(context.lineage.solver(iteration))
        for name in options.data:
            path = data_path(name)
            title = f"{PHASE} {path.stem} (iteration {iteration})"
            results[path.stem], rows = evaluate_file(context, path, sampler, title=title)
            directory.write_rows(f"samples_{path.stem}.jsonl", rows)
    report = {"results": results, "options": options.model_dump(mode="json"), "grader": versions()}
    write_json(directory.file("evaluation.json"), report)
    context.run.state.complete(iteration, PHASE)


def evaluate_file(
    context: Parts, path: Path, sampler: Sampler, *, title: str
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The figures of a test file and a row for each of its questions; ``title`` is shown while it goes on.

    The random numbers depend on the run's seed and the file's name alone.
    """
    options = context.config.evaluate
    examples = load_examples(path, limit=options.limit)
    golds = [example.gold for example in examples]
    seed = derive_seed(context.config.seed, 0, str(PHASE), path.stem)
    greedy = SamplingParams(max_new_tokens=options.max_new_tokens, temperature=0.0)
    completions, answers = _answers(context, examples, sampler, greedy, title=title)
    outcomes = _grade(context, answers, golds)
    rows: list[dict[str, Any]] = [
        asdict(example) | {"greedy": _row(*group[0])}
        for example, group in zip(examples, _zip(completions, answers, outcomes), strict=True)
    ]
    result = {
        "num_questions": len(examples),
        "greedy": asdict(accuracy(sum(row[0] is Outcome.RIGHT for row in outcomes), len(examples))),
        **_counts(completions, outcomes),
    }
    if options.num_samples:
        sampled = sampling(options, n=options.num_samples, max_new_tokens=options.max_new_tokens, seed=seed)
        completions, answers = _answers(context, examples, sampler, sampled, title=f"{title}, sampled")
        outcomes = _grade(context, answers, golds)
        for row, group in zip(rows, _zip(completions, answers, outcomes), strict=True):
            row["samples"] = [_row(*fields) for fields in group]
        majorities = context.grader.grade_many(list(zip(_majorities(context, answers), golds, strict=True)))
        result |= _sampled(options.num_samples, outcomes, majorities)
        result["sampled"] = _counts(completions, outcomes)
    return result, rows


def _answers(
    context: Parts, examples: Sequence[Example], sampler: Sampler, params: SamplingParams, *, title: str
) -> tuple[list[list[Completion]], list[list[str | None]]]:
    """Completions and extracted answers, both [questions][n]."""
    prompts = [context.domain.solver_prompt(example.question) for example in examples]
    with context.console.progress(title, len(examples) * params.n) as advance:
        _, completions = context.sample(sampler, prompts, params, on_progress=advance)
    answers = [
        [context.domain.extract_answer(prompt.prefill + completion.text) for completion in group]
        for prompt, group in zip(prompts, completions, strict=True)
    ]
    return completions, answers


def _grade(context: Parts, answers: Sequence[Sequence[str | None]], golds: Sequence[str]) -> list[list[Outcome]]:
    pairs = [(answer, gold) for group, gold in zip(answers, golds, strict=True) for answer in group]
    outcomes = iter(context.grader.grade_many(pairs))
    return [[next(outcomes) for _ in group] for group in answers]


def _majorities(context: Parts, answers: Sequence[Sequence[str | None]]) -> list[str | None]:
    """Each question's most frequent answer. As in every benchmark, a box counts here even in a cut-off completion."""
    labels = []
    for group, classes in zip(answers, context.grader.classes_many(answers), strict=True):
        ids = [found if isinstance(found, int) else None for found in classes]
        votes = [
            Vote(answer=None, status=VoteStatus.UNPARSED)
            if found is None
            else Vote(answer=answer, status=VoteStatus.VALID)
            for answer, found in zip(group, ids, strict=True)
        ]
        labels.append(tally(votes, ids).pseudo_label)
    return labels


def _sampled(k: int, outcomes: Sequence[Sequence[Outcome]], majorities: Sequence[Outcome]) -> dict[str, Any]:
    """mean@k, maj@k and pass@k with their 95 % intervals."""
    right = [[outcome is Outcome.RIGHT for outcome in group] for group in outcomes]
    value, low, high = mean_accuracy([fmean(group) for group in right])
    return {
        f"mean@{k}": {"value": value, "low": low, "high": high},
        f"maj@{k}": asdict(accuracy(sum(outcome is Outcome.RIGHT for outcome in majorities), len(right))),
        f"pass@{k}": asdict(accuracy(sum(any(group) for group in right), len(right))),
    }


def _counts(completions: Sequence[Sequence[Completion]], outcomes: Sequence[Sequence[Outcome]]) -> dict[str, Any]:
    flat = [completion for group in completions for completion in group]
    return {
        "outcomes": dict(sorted(Counter(str(outcome) for group in outcomes for outcome in group).items())),
        "num_cut_off": sum(completion.finish_reason is FinishReason.LENGTH for completion in flat),
        "mean_completion_tokens": fmean(len(completion.token_ids) for completion in flat),
    }


def _zip(
    completions: Sequence[Sequence[Completion]],
    answers: Sequence[Sequence[str | None]],
    outcomes: Sequence[Sequence[Outcome]],
) -> list[list[tuple[Completion, str | None, Outcome]]]:
    return [list(zip(*group, strict=True)) for group in zip(completions, answers, outcomes, strict=True)]


def _row(completion: Completion, answer: str | None, outcome: Outcome) -> dict[str, Any]:
    return {
        "answer": answer,
        "outcome": str(outcome),
        "finish_reason": str(completion.finish_reason),
        "completion": completion.text,
    }
