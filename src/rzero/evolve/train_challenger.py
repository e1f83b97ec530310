"""Phase 1: GRPO on the Challenger, rewarded for questions on which the frozen Solver is torn.

Per step: sample questions from the one Challenger prompt, check their format, take m votes on each from the Solver,
reward, update. A question text that occurs several times in a step is voted on once.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from rzero.config import ChallengerConfig
from rzero.curriculum.build import mean_self_consistency_bounds
from rzero.curriculum.votes import ill_posed
from rzero.engines.base import Sampler
from rzero.evolve.context import Context, sampling
from rzero.evolve.stop_early import reward_of, reward_settled, saved_tokens
from rzero.evolve.training import Batch, groups_of, train
from rzero.evolve.voting import VotedQuestion, vote_on
from rzero.plugins import call_reward
from rzero.rewards.challenger import FORMAT_FAILED, ScoredQuestion, challenger_reward
from rzero.rewards.repetition import Repetition, repetition
from rzero.types import Completion, FinishReason, ParsedQuestion, Phase, RewardParts

PHASE = Phase.TRAIN_CHALLENGER


def train_challenger(context: Context, iteration: int) -> None:
    """Run the phase; without Challenger RL it is passed over and the checkpoint stays the one it started from."""
    role = context.config.challenger
    if not role.train:
        context.run.state.complete(iteration, PHASE)
        return
    voters: list[Sampler] = []

    def collect(step: int, sampler: Sampler) -> Batch:
        if not voters:
            voters.append(context.engine.sampler(context.lineage.voter(iteration)))
        return _collect(context, iteration, step, challenger=sampler, solver=voters[0])

    train(context, iteration, PHASE, role=role, start=context.lineage.challenger_start(iteration), collect=collect)


def _collect(context: Context, iteration: int, step: int, *, challenger: Sampler, solver: Sampler) -> Batch:
    role = context.config.challenger
    total = role.prompts_per_step * role.group_size
    prompt = context.domain.challenger_prompt()
    params = sampling(
        role, n=total, max_new_tokens=role.max_new_tokens, seed=context.seed(iteration, PHASE, step, "questions")
    )
    with context.console.progress(f"{PHASE} step {step}: writing questions", total) as advance:
        prompt_ids, sampled = context.sample(challenger, [prompt], params, on_progress=advance)
    completions = sampled[0]
    parsed = [context.domain.parse_question(prompt.prefill + completion.text) for completion in completions]
    repetitions = _repetitions(parsed, role, total)
    penalties = {
        item.text: found.penalty
        for item, found in zip(parsed, repetitions, strict=True)
        if item.text is not None and found is not None
    }
    texts = list(penalties)
    with context.console.progress(
        f"{PHASE} step {step}: voting", len(texts) * context.config.vote.num_votes
    ) as advance:
        seed = context.seed(iteration, PHASE, step, "votes")
        settled = reward_settled(context.config, list(penalties.values()))
        found = vote_on(context, texts, sampler=solver, seed=seed, on_progress=advance, settled=settled)
    voted = dict(zip(texts, found, strict=True))
    rewards = [_reward(context, item, voted, repeated) for item, repeated in zip(parsed, repetitions, strict=True)]
    groups = groups_of(
        prompt_ids * role.prompts_per_step,
        [completions[start : start + role.group_size] for start in range(0, total, role.group_size)],
        [part.total for part in rewards],
        policy_version=challenger.policy_version,
    )
    rows = [
        _row(*fields)
        for fields in zip(range(total), completions, parsed, rewards, repetitions, [voted] * total, strict=True)
    ]
    metrics = _metrics(completions, parsed, rewards, voted)
    if context.config.vote.stop_early:
        ranges = [
            _uncertainties(context, voted[item.text], reward) if item.text is not None else (0.0, 0.0)
            for item, reward in zip(parsed, rewards, strict=True)
        ]
        for row, (low, high) in zip(rows, ranges, strict=True):
            row["uncertainty"] = low if low == high else None
        metrics = _bounded_metrics(metrics, ranges, [voted[item.text] for item in parsed if item.text is not None])
        metrics |= _savings(found)
    return Batch(groups=groups, rows=rows, metrics=metrics)


def _repetitions(parsed: Sequence[ParsedQuestion], role: ChallengerConfig, total: int) -> list[Repetition | None]:
    """Clusters over all well-formed questions of the step, exact repeats included; None for malformed ones."""
    texts = [item.text for item in parsed if item.text is not None]
    found = iter(repetition(texts, threshold=role.repetition_threshold, batch_size=total))
    return [None if item.text is None else next(found) for item in parsed]


def _reward(
    context: Context, item: ParsedQuestion, voted: dict[str, VotedQuestion], repeated: Repetition | None
) -> RewardParts:
    if item.text is None or repeated is None:
        return FORMAT_FAILED
    role = context.config.challenger
    scored = ScoredQuestion(question=item.text, tally=voted[item.text].tally, repetition=repeated.penalty)
    parts = challenger_reward(
        scored,
        repetition_weight=role.repetition_weight,
        min_valid_frac=context.config.vote.min_valid_frac,
        target=role.target,
    )
    if role.reward == "uncertainty" or ill_posed(scored.tally, min_valid_frac=context.config.vote.min_valid_frac):
        return parts
    own = call_reward(role.reward, scored, option="challenger.reward")
    return RewardParts(total=own, uncertainty=parts.uncertainty, repetition=parts.repetition)


def _row(
    index: int,
    completion: Completion,
    parsed: ParsedQuestion,
    reward: RewardParts,
    repeated: Repetition | None,
    voted: dict[str, VotedQuestion],
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "index": index,
        "question": parsed.text,
        "problem": parsed.problem,
        "reward": reward.total,
        "uncertainty": reward.uncertainty,
        "repetition": reward.repetition,
        "cluster": repeated.cluster if repeated else None,
        "completion": completion.text,
        "finish_reason": str(completion.finish_reason),
        "token_ids": completion.token_ids,
        "sampler_logprobs": [round(value, 6) for value in completion.logprobs],
    }
    return row if parsed.text is None else row | voted[parsed.text].as_row()


def _metrics(
    completions: Sequence[Completion],
    parsed: Sequence[ParsedQuestion],
    rewards: Sequence[RewardParts],
    voted: dict[str, VotedQuestion],
) -> dict[str, float]:
    total = len(completions)
    well_formed = [item.text for item in parsed if item.text is not None]
    tallies = [voted[text].tally for text in well_formed]
    return {
        "mean_uncertainty": fmean(part.uncertainty for part in rewards),
        "mean_repetition": fmean(part.repetition for part in rewards),
        "format_ok_frac": len(well_formed) / total,
        "distinct_frac": len(set(well_formed)) / len(well_formed) if well_formed else 0.0,
        "cut_off_frac": sum(item.finish_reason is FinishReason.LENGTH for item in completions) / total,
        "mean_completion_tokens": fmean(len(item.token_ids) for item in completions),
        "mean_self_consistency": fmean(item.self_consistency for item in tallies) if tallies else 0.0,
        "mean_valid_frac": fmean(item.valid_frac for item in tallies) if tallies else 0.0,
    }


def _uncertainties(context: Context, voted: VotedQuestion, reward: RewardParts) -> tuple[float, float]:
    """The least and the greatest uncertainty that a question can have had; its reward is certain."""
    if voted.standing is None:
        return reward.uncertainty, reward.uncertainty
    possible = [
        reward_of(context.config, outcome, reward.repetition).uncertainty for outcome in voted.standing.outcomes()
    ]
    return min(possible), max(possible)


def _bounded_metrics(
    metrics: dict[str, float], uncertainties: Sequence[tuple[float, float]], voted: Sequence[VotedQuestion]
) -> dict[str, float]:
    """Bounds in the place of means that cancelled votes leave open, and valid votes as a share of those taken."""
    low, high = mean_self_consistency_bounds([item.tally for item in voted]) or (0.0, 0.0)
    bounded: dict[str, float] = {}
    for name, value in metrics.items():
        if name == "mean_uncertainty":
            bounded |= {f"{name}_low": fmean(low for low, _ in uncertainties)}
            bounded |= {f"{name}_high": fmean(high for _, high in uncertainties)}
        elif name == "mean_self_consistency":
            bounded |= {f"{name}_low": low, f"{name}_high": high}
        elif name != "mean_valid_frac":
            bounded[name] = value
    taken = [item.tally for item in voted if item.tally.num_cancelled < item.tally.num_votes]
    shares = [item.num_valid / (item.num_votes - item.num_cancelled) for item in taken]
    return bounded | {"mean_valid_frac": fmean(shares) if shares else 0.0}


def _savings(voted: Sequence[VotedQuestion]) -> dict[str, float]:
    """Votes that were cancelled, as a share of all, tokens that were drawn, and the estimate of those that were not."""
    asked = sum(item.tally.num_votes for item in voted)
    return {
        "cancelled_votes_frac": sum(item.tally.num_cancelled for item in voted) / asked if asked else 0.0,
        "vote_tokens": sum(item.num_tokens for item in voted),
        "saved_vote_tokens": round(sum(saved_tokens([item.completions for item in voted]))),
    }
