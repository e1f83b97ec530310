"""m Solver answers to each question, read, compared and counted: once for the Challenger's reward and once for the
labels.

The official code divides by all samples in the one place and by the parsed ones in the other, uses different m, and
lets the string "None" win; here both phases call the same function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rzero.curriculum.early import Standing
from rzero.curriculum.votes import tally
from rzero.engines.base import Sampler
from rzero.evolve.context import Parts, sampling
from rzero.evolve.incoming import IncomingVotes
from rzero.evolve.stop_early import Settled
from rzero.grading.ahead import grading_ahead
from rzero.grading.grader import Grader
from rzero.types import Completion, FinishReason, Outcome, Tally, Vote, VoteStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class VotedQuestion:
    """A question with its votes [m], in the order in which they were sampled.

    ``standing`` is what is certain of them where some were cancelled, else None.
    """

    tally: Tally
    votes: tuple[Vote, ...]
    completions: tuple[Completion, ...]
    standing: Standing | None = None

    @property
    def num_tokens(self) -> int:
        """Tokens that were drawn for the votes."""
        return sum(len(completion.token_ids) for completion in self.completions)

    def as_row(self) -> dict[str, Any]:
        """The counts and the votes as plain values. Where votes were cancelled p̂ is null and its bounds are there."""
        counts = self.tally
        early: dict[str, Any] = {}
        if self.standing is not None:
            early = {
                "num_cancelled": counts.num_cancelled,
                "agree_bounds": counts.agree_bounds,
                "label_certain": self.standing.leads,
            }
        return {
            "pseudo_label": counts.pseudo_label,
            "self_consistency": counts.self_consistency if self.standing is None else None,
            "num_votes": counts.num_votes,
            "num_valid": counts.num_valid,
            "num_agree": counts.num_agree,
            "tied": counts.tied,
            "num_unparsed": counts.num_unparsed,
            "num_cut_off": counts.num_cut_off,
            "num_timeout": counts.num_timeout,
            **early,
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
    bounds = row.get("agree_bounds")
    return Tally(
        **{name: row[name] for name in names},
        num_cancelled=row.get("num_cancelled", 0),
        agree_bounds=None if bounds is None else (bounds[0], bounds[1]),
    )


def vote_on(
    parts: Parts,
    questions: Sequence[str],
    *,
    sampler: Sampler,
    seed: int,
    on_progress: Callable[[int], None] | None = None,
    settled: Settled | None = None,
) -> list[VotedQuestion]:
    """Sample ``vote.num_votes`` answers to each question and count them; those of a settled question are cancelled."""
    if not questions:
        return []
    options = parts.config.vote
    prompts = [parts.domain.solver_prompt(question) for question in questions]
    params = sampling(options, n=options.num_votes, max_new_tokens=options.max_new_tokens, seed=seed)
    with grading_ahead(parts.grader) as ahead:
        incoming = IncomingVotes(parts.domain, prompts, num_votes=options.num_votes, ahead=ahead, settled=settled)
        _, groups = parts.sample(sampler, prompts, params, on_progress=on_progress, on_finish=incoming)
    counted = count(incoming.answers, groups, grader=parts.grader)
    return [_bounded(voted, incoming.standing(index)) for index, voted in enumerate(counted)]


def count(
    answers: Sequence[Sequence[str | None]], groups: Sequence[Sequence[Completion]], *, grader: Grader
) -> list[VotedQuestion]:
    """Votes and tallies of each question's answers [m]; a completion that did not stop by itself is no vote, whatever
    it says.
    """
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


def _bounded(voted: VotedQuestion, standing: Standing) -> VotedQuestion:
    if not voted.tally.num_cancelled:
        return voted
    return replace(voted, tally=replace(voted.tally, agree_bounds=standing.agree_bounds), standing=standing)


def _vote(answer: str | None, completion: Completion, found: int | Outcome) -> Vote:
    if completion.finish_reason is FinishReason.LENGTH:
        return Vote(answer=None, status=VoteStatus.CUT_OFF)
    if completion.finish_reason is FinishReason.CANCELLED:
        return Vote(answer=None, status=VoteStatus.CANCELLED)
    if found is Outcome.TIMEOUT:
        return Vote(answer=None, status=VoteStatus.TIMEOUT)
    if found is Outcome.UNPARSED:
        return Vote(answer=None, status=VoteStatus.UNPARSED)
    return Vote(answer=answer, status=VoteStatus.VALID)
