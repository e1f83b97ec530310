"""What one iteration samples, votes and trains on: counts from the options, lengths from stated assumptions.

All questions are taken to be well formed, distinct and voted on in full, and all groups to have variance: it is the
most that the options ask for. The evaluation is not part of it, since it depends on files.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rzero.config import Config, RoleConfig
from rzero.types import Phase

_PROMPT, _QUESTION, _ANSWER = 200, 400, 800
"""Means that are assumed, of a 4B base model on competition mathematics, where the limit is 4,096."""


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """Mean lengths in tokens: of a prompt, and of the completions in which questions and answers are written.

    No completion is longer than its option ``max_new_tokens``, whatever these say.
    """

    prompt: int
    question: int
    answer: int


def default_lengths(config: Config) -> Lengths:
    """What is assumed where nothing is known: the means above, or half of ``max_new_tokens`` where that is less.

    >>> from rzero.config import load
    >>> default_lengths(load("paper"))
    Lengths(prompt=200, question=400, answer=800)
    >>> default_lengths(load("laptop")).answer
    48
    """
    return Lengths(
        prompt=_PROMPT,
        question=max(1, min(_QUESTION, config.challenger.max_new_tokens // 2)),
        answer=max(1, min(_ANSWER, config.solver.max_new_tokens // 2)),
    )


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """``count`` batches, one after the other, of ``rows`` completions each, from ``prompts`` distinct prompts.

    A completion has ``mean`` tokens on average; ``longest`` is the longest of a batch.
    """

    count: int
    prompts: int
    rows: int
    prompt: int
    mean: int
    longest: int

    @property
    def tokens(self) -> int:
        """Completion tokens of all batches."""
        return self.count * self.rows * self.mean


@dataclass(frozen=True, kw_only=True)
class Training:
    """``steps`` steps of ``groups`` x ``group_size`` rollouts, each in ``updates`` optimiser steps."""

    steps: int
    updates: int
    groups: int
    group_size: int
    prompt: int
    mean: int
    longest: int

    @property
    def tokens(self) -> int:
        """Tokens of all rollouts with their prompts, each prompt as often as it has rollouts."""
        return self.steps * self.groups * self.group_size * (self.prompt + self.mean)


@dataclass(frozen=True, kw_only=True)
class PhaseWork:
    """What one phase has to do; ``answers`` are compared with one another, ``opened`` models are read from disk."""

    phase: Phase
    sampling: tuple[Sampling, ...]
    training: Training | None = None
    answers: int = 0
    opened: int = 1


def workload(config: Config, lengths: Lengths) -> list[PhaseWork]:
    """The phases of one iteration that sample or train, in their order."""
    challenger, solver, pool = config.challenger, config.solver, config.generate.num_questions
    question = min(lengths.question, challenger.max_new_tokens)
    answer = min(lengths.answer, solver.max_new_tokens)
    whole, rest = divmod(pool, config.generate.questions_per_part)
    parts = [(whole, config.generate.questions_per_part), (min(rest, 1), rest)]  # (how many parts, questions in each)

    def questions(count: int, rows: int) -> Sampling:
        return Sampling(
            count=count,
            prompts=1,
            rows=rows,
            prompt=lengths.prompt,
            mean=question,
            longest=challenger.max_new_tokens,
        )

    def votes(count: int, asked: int) -> Sampling:
        return Sampling(
            count=count,
            prompts=asked,
            rows=asked * config.vote.num_votes,
            prompt=lengths.prompt,
            mean=min(lengths.answer, config.vote.max_new_tokens),
            longest=config.vote.max_new_tokens,
        )

    steps, asked = challenger.steps, challenger.prompts_per_step * challenger.group_size
    rollouts = solver.prompts_per_step * solver.group_size
    answers = Sampling(
        count=solver.steps,
        prompts=solver.prompts_per_step,
        rows=rollouts,
        prompt=lengths.prompt,
        mean=answer,
        longest=solver.max_new_tokens,
    )
    train_challenger = PhaseWork(
        phase=Phase.TRAIN_CHALLENGER,
        sampling=(questions(steps, asked), votes(steps, asked)),
        training=_training(challenger, lengths.prompt, question),
        answers=steps * asked * config.vote.num_votes,
        opened=3,  # policy, reference, Solver
    )
    return [
        *([train_challenger] if challenger.train else []),
        PhaseWork(
            phase=Phase.GENERATE_QUESTIONS,
            sampling=tuple(questions(count, size) for count, size in parts if count),
        ),
        PhaseWork(
            phase=Phase.VOTE,
            sampling=tuple(votes(count, size) for count, size in parts if count),
            answers=pool * config.vote.num_votes,
        ),
        PhaseWork(
            phase=Phase.TRAIN_SOLVER,
            sampling=(answers,),
            training=_training(solver, lengths.prompt, answer),
            answers=solver.steps * rollouts,
            opened=2,  # policy, reference
        ),
    ]


def sampled_tokens(phases: Iterable[PhaseWork]) -> int:
    """Completion tokens of all ``phases``."""
    return sum(sampling.tokens for phase in phases for sampling in phase.sampling)


def trained_tokens(phases: Iterable[PhaseWork]) -> int:
    """Tokens of all rollouts that are trained on, with their prompts."""
    return sum(phase.training.tokens for phase in phases if phase.training is not None)


def _training(role: RoleConfig, prompt: int, mean: int) -> Training:
    return Training(
        steps=role.steps,
        updates=role.updates_per_step,
        groups=role.prompts_per_step,
        group_size=role.group_size,
        prompt=prompt,
        mean=mean,
        longest=role.max_new_tokens,
    )
