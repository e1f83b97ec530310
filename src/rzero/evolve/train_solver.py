"""Phase 5: GRPO on the Solver, rewarded for answers that equal the pseudo-label.

The curriculum is gone through in shuffled rounds; a step never holds one question twice, so with a small curriculum a
step is smaller than ``prompts_per_step``.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from rzero.engines.base import Sampler
from rzero.evolve.context import Context, sampling
from rzero.evolve.training import Batch, groups_of, train
from rzero.grading.ahead import grading_ahead
from rzero.plugins import call_reward
from rzero.rewards.solver import SolverAnswer, agreement
from rzero.types import Completion, CurriculumItem, FinishReason, Outcome, Phase

PHASE = Phase.TRAIN_SOLVER


def train_solver(context: Context, iteration: int) -> None:
    """Run the phase."""
    rows = context.directory(iteration, Phase.BUILD_CURRICULUM).rows("curriculum.jsonl")
    curriculum = [CurriculumItem(**row) for row in rows]
    seed = context.seed(iteration, PHASE, "order")

    def collect(step: int, sampler: Sampler) -> Batch:
        items = choose(curriculum, step, per_step=context.config.solver.prompts_per_step, seed=seed)
        return _collect(context, iteration, step, items, sampler)

    start = context.lineage.solver_start(iteration)
    train(context, iteration, PHASE, role=context.config.solver, start=start, collect=collect)


def choose(curriculum: Sequence[CurriculumItem], step: int, *, per_step: int, seed: int) -> list[CurriculumItem]:
    """The questions of one step (counted from 1): a window over rounds that are each shuffled anew.

    A window that crosses into the next round skips what it already holds and takes the round's next question instead.

    >>> items = [CurriculumItem(question_id=i, question=i, pseudo_label="1", self_consistency=0.5) for i in "abcde"]
    >>> first, second = choose(items, 1, per_step=3, seed=0), choose(items, 2, per_step=3, seed=0)
    >>> sorted({item.question_id for item in first + second})
    ['a', 'b', 'c', 'd', 'e']
    """
    size = min(per_step, len(curriculum))
    queue: list[int] = []
    window: list[int] = []
    number = 0
    for _ in range(step):
        while len(set(queue)) < size:
            shuffled = list(range(len(curriculum)))
            random.Random(f"{seed}/{number}").shuffle(shuffled)
            queue += shuffled
            number += 1
        window = list(dict.fromkeys(queue))[:size]
        for index in window:
            queue.remove(index)
    return [curriculum[index] for index in window]


def _collect(context: Context, iteration: int, step: int, items: Sequence[CurriculumItem], sampler: Sampler) -> Batch:
    role = context.config.solver
    prompts = [context.domain.solver_prompt(item.question) for item in items]
    params = sampling(
        role, n=role.group_size, max_new_tokens=role.max_new_tokens, seed=context.seed(iteration, PHASE, step)
    )
    answers: list[str | None] = [None] * (len(items) * role.group_size)
    with (
        context.console.progress(f"{PHASE} step {step}: answering", len(answers)) as advance,
        grading_ahead(context.grader) as ahead,
    ):

        def read(prompt: int, index: int, completion: Completion) -> bool:
            answer = context.domain.extract_answer(prompts[prompt].prefill + completion.text)
            answers[prompt * role.group_size + index] = answer
            ahead.grade(answer, items[prompt].pseudo_label)
            return False

        prompt_ids, completions = context.sample(sampler, prompts, params, on_progress=advance, on_finish=read)
    owners = [item for item in items for _ in range(role.group_size)]
    flat = [completion for group in completions for completion in group]
    outcomes = context.grader.grade_many(
        [(answer, item.pseudo_label) for answer, item in zip(answers, owners, strict=True)]
    )
    rewards = [
        _reward(
            context,
            SolverAnswer(
                question=item.question,
                answer=answer,
                pseudo_label=item.pseudo_label,
                self_consistency=item.self_consistency,
                outcome=outcome,
                finish_reason=completion.finish_reason,
            ),
        )
        for item, answer, outcome, completion in zip(owners, answers, outcomes, flat, strict=True)
    ]
    groups = groups_of(prompt_ids, completions, rewards, policy_version=sampler.policy_version)
    rows = [_row(*fields) for fields in zip(owners, flat, answers, outcomes, rewards, strict=True)]
    return Batch(groups=groups, rows=rows, metrics=_metrics(flat, outcomes))


def _reward(context: Context, item: SolverAnswer) -> float:
    name = context.config.solver.reward
    return agreement(item) if name == "agreement" else call_reward(name, item, option="solver.reward")


def _row(
    item: CurriculumItem, completion: Completion, answer: str | None, outcome: Outcome, reward: float
) -> dict[str, Any]:
    return {
        "question_id": item.question_id,
        "pseudo_label": item.pseudo_label,
        "answer": answer,
        "outcome": str(outcome),
        "reward": reward,
        "completion": completion.text,
        "finish_reason": str(completion.finish_reason),
        "token_ids": completion.token_ids,
        "sampler_logprobs": [round(value, 6) for value in completion.logprobs],
    }


def _metrics(completions: Sequence[Completion], outcomes: Sequence[Outcome]) -> dict[str, float]:
    total = len(completions)
    shares = {f"{outcome}_frac": sum(found is outcome for found in outcomes) / total for outcome in Outcome}
    return {
        **shares,
        "cut_off_frac": sum(item.finish_reason is FinishReason.LENGTH for item in completions) / total,
        "mean_completion_tokens": fmean(len(item.token_ids) for item in completions),
    }
