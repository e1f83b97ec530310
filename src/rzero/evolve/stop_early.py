"""Votes that nobody needs any more: when a question is settled, and what that saved (option ``vote.stop_early``)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import cache
from itertools import accumulate
from statistics import fmean
from typing import TypeAlias

from rzero.config import Config
from rzero.curriculum.band import judge
from rzero.curriculum.early import Standing, only_outcome
from rzero.rewards.challenger import ScoredQuestion, challenger_reward
from rzero.types import Completion, FinishReason, RewardParts, Tally

CANCELLED = FinishReason.CANCELLED
Settled: TypeAlias = Callable[[int, Standing], bool]
"""(question index, what is certain of its votes) -> whether the rest of them can change nothing."""


def label_settled(config: Config) -> Settled | None:
    """For the labels: it is certain why the question is rejected, or that it is kept and under which label."""
    if not config.vote.stop_early:
        return None

    def decide(tally: Tally) -> str:
        rejection = judge(
            tally,
            band_low=config.curriculum.band_low,
            band_high=config.curriculum.band_high,
            min_valid_frac=config.vote.min_valid_frac,
        )
        return "kept" if rejection is None else str(rejection)

    @cache
    def settled(standing: Standing) -> bool:
        found = only_outcome(standing, decide)
        return found is not None and (found != "kept" or standing.leads)

    return lambda question, standing: settled(standing)


def reward_settled(config: Config, repetitions: Sequence[float]) -> Settled | None:
    """For the Challenger: its reward is certain. ``repetitions`` [questions] are the repetition penalties."""
    if not config.vote.stop_early:
        return None

    @cache
    def settled(repetition: float, standing: Standing) -> bool:
        return only_outcome(standing, lambda tally: reward_of(config, tally, repetition).total) is not None

    return lambda question, standing: settled(repetitions[question], standing)


def reward_of(config: Config, tally: Tally, repetition: float) -> RewardParts:
    """The built-in reward of a question by its votes and its repetition penalty."""
    return challenger_reward(
        ScoredQuestion(question="", tally=tally, repetition=repetition),
        repetition_weight=config.challenger.repetition_weight,
        min_valid_frac=config.vote.min_valid_frac,
    )


def saved_tokens(groups: Sequence[Sequence[Completion]]) -> list[float]:
    """For each question the tokens that cancelling its votes has saved: an estimate, since nobody drew them.

    Lengths are measured in the mean length of the question's finished votes. A vote cancelled after a length t is taken
    to have become as long as the mean of those votes, of the batch's questions with all their votes, that are longer
    than t; where there are none, it counts as nothing saved.

    >>> def votes(*lengths: int, cancelled: int = 0) -> list[Completion]:
    ...     reasons = [FinishReason.STOP] * len(lengths) + [FinishReason.CANCELLED] * bool(cancelled)
    ...     return [
    ...         Completion(token_ids=(1,) * length, logprobs=(0.0,) * length, finish_reason=reason, text="")
    ...         for length, reason in zip((*lengths, cancelled), reasons, strict=False)
    ...     ]
    >>> saved_tokens([votes(5, 10, 15), votes(20, 20, cancelled=20), votes(20, 20, cancelled=40)])
    [0.0, 10.0, 0.0]
    """
    means = [fmean([len(c.token_ids) for c in group if c.finish_reason is not CANCELLED] or [0]) for group in groups]
    relative = sorted(
        len(completion.token_ids) / mean
        for group, mean in zip(groups, means, strict=True)
        if mean and all(completion.finish_reason is not CANCELLED for completion in group)
        for completion in group
    )
    sums = [0.0, *accumulate(relative)]

    def rest(drawn: int, mean: float) -> float:
        first = bisect_right(relative, drawn / mean) if mean else len(relative)
        longer = len(relative) - first
        return (sums[-1] - sums[first]) / longer * mean - drawn if longer else 0.0

    return [
        sum((rest(len(c.token_ids), mean) for c in group if c.finish_reason is CANCELLED), 0.0)
        for group, mean in zip(groups, means, strict=True)
    ]
