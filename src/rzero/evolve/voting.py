"""m Solver answers to each question, read, compared and counted: once for the Challenger's reward and once for the
labels.

The official code divides by all samples in the one place and by the parsed ones in the other, uses different m, and
lets the string "None" win; here both phases call the same function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rzero.curriculum.votes import tally
from rzero.engines.base import Sampler
from rzero.evolve.context import Parts, sampling
from rzero.grading.grader import Grader
from rzero.types import Completion, FinishReason, Outcome, Tally, Vote, VoteStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class VotedQuestion:
    """A question with its votes [m], in the order in which they were sampled."""

    tally: Tally
    votes: tuple[Vote, ...]
    completions: tuple[Completion, ...]

    def as_row(self) -> dict[str, Any]:
        """The counts and the votes as plain values."""
        counts = self.tally
        return {
            "pseudo_label": counts.pseudo_label,
            "self_consistency": counts.self_consistency,
            "num_votes": counts.num_votes,
            "num_valid": counts.num_valid,
            "num_agree": counts.num_agree,
            "tied": counts.tied,
            "num_unparsed": counts.num_unparsed,
            "num_cut_off": counts.num_cut_off,
            "num_timeout": counts.num_timeout,
            "votes": [
                {"answer": vote.answer, "status": str(vote.status), "completion": completion.text}
                for vote, completion in zip(self.votes, self.completions, strict=True)
            ],
        }


def tally_from_row(row: dict[str, Any]) -> Tally:
    """The counts in a row of ``votes.jsonl``."""
    names = (
        "num_votes",
        "num_valid",
        "num_agree",
        "pseudo_label",
        "tied",
        "num_unparsed",
        "num_cut_off",
        "num_timeout",
    )
    return Tally(**{name: row[name] for name in names})


def vote_on(
    parts: Parts,
    questions: Sequence[str],
    *,
    sampler: Sampler,
    seed: int,
    on_progress: Callable[[int], None] | None = None,
) -> list[VotedQuestion]:
    """Sample ``vote.num_votes`` answers to each question and count them."""
    if not questions:
        return []
    options = parts.config.vote
    prompts = [parts.domain.solver_prompt(question) for question in questions]
    params = sampling(options, n=options.num_votes, max_new_tokens=options.max_new_tokens, seed=seed)
    _, groups = parts.sample(sampler, prompts, params, on_progress=on_progress)
    answers = [
        [_answer(parts, prompt.prefill, completion) for completion in group]
        for prompt, group in zip(prompts, groups, strict=True)
    ]
    return count(answers, groups, grader=parts.grader)


def count(
    answers: Sequence[Sequence[str | None]], groups: Sequence[Sequence[Completion]], *, grader: Grader
) -> list[VotedQuestion]:
    """Votes and tallies of each question's answers [m]; a cut-off completion is no vote, whatever it says."""
    classes = grader.classes_many(answers)
    voted = []
    for row, group, found in zip(answers, groups, classes, strict=True):
        votes = tuple(map(_vote, row, group, found))
        ids = [
            found_class if vote.status is VoteStatus.VALID and isinstance(found_class, int) else None
            for vote, found_class in zip(votes, found, strict=True)
        ]
        voted.append(VotedQuestion(tally=tally(votes, ids), votes=votes, completions=tuple(group)))
    return voted


def _answer(parts: Parts, prefill: str, completion: Completion) -> str | None:
    if completion.finish_reason is FinishReason.LENGTH:
        return None
    return parts.domain.extract_answer(prefill + completion.text)


def _vote(answer: str | None, completion: Completion, found: int | Outcome) -> Vote:
    if completion.finish_reason is FinishReason.LENGTH:
        return Vote(answer=None, status=VoteStatus.CUT_OFF)
    if found is Outcome.TIMEOUT:
        return Vote(answer=None, status=VoteStatus.TIMEOUT)
    if found is Outcome.UNPARSED:
        return Vote(answer=None, status=VoteStatus.UNPARSED)
    return Vote(answer=answer, status=VoteStatus.VALID)
