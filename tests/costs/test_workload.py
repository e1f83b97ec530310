"""How much there is to do, worked out by hand and from the paper's sizes."""

from __future__ import annotations

from rzero.config import load
from rzero.costs.workload import Lengths, default_lengths, sampled_tokens, trained_tokens, workload
from rzero.types import Phase

SMALL = {
    "challenger.steps": 2,
    "challenger.prompts_per_step": 3,
    "challenger.group_size": 4,
    "challenger.max_new_tokens": 30,
    "generate.num_questions": 10,
    "generate.questions_per_part": 4,
    "vote.num_votes": 5,
    "vote.max_new_tokens": 20,
    "solver.steps": 7,
    "solver.prompts_per_step": 2,
    "solver.group_size": 3,
    "solver.max_new_tokens": 50,
}
LENGTHS = Lengths(prompt=11, question=13, answer=40)


def test_an_iteration_by_hand() -> None:
    """24 questions are trained on and 10 go into the pool; each takes 5 votes, cut at 20 tokens; 42 answers follow."""
    work = workload(load("paper", SMALL), LENGTHS)
    assert [phase.phase for phase in work] == [
        Phase.TRAIN_CHALLENGER,
        Phase.GENERATE_QUESTIONS,
        Phase.VOTE,
        Phase.TRAIN_SOLVER,
    ]
    assert sampled_tokens(work) == (24 + 10) * (13 + 5 * 20) + 42 * 40
    assert [(part.count, part.rows) for part in work[2].sampling] == [(2, 4 * 5), (1, 2 * 5)]
    assert trained_tokens(work) == 24 * (11 + 13) + 42 * (11 + 40)
    assert [phase.answers for phase in work] == [120, 0, 50, 42]


def test_an_untrained_challenger_has_no_phase() -> None:
    work = workload(load("paper", {**SMALL, "challenger.train": False}), LENGTHS)
    assert work[0].phase is Phase.GENERATE_QUESTIONS and len(work) == 3


def test_the_papers_iteration() -> None:
    """5 x 2,048 questions and 8,000 of the pool, each with 10 answers, and 15 x 2,560 answers."""
    config = load("paper")
    work = workload(config, default_lengths(config))
    assert sampled_tokens(work) == (5 * 2048 + 8000) * (400 + 10 * 800) + 15 * 2560 * 800
    assert trained_tokens(work) == 5 * 2048 * 600 + 15 * 2560 * 1000


def test_no_completion_is_longer_than_its_limit() -> None:
    config = load("laptop")
    work = workload(config, Lengths(prompt=1, question=10**6, answer=10**6))
    assert all(part.mean == part.longest for phase in work for part in phase.sampling)
