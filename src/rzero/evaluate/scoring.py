"""The completions of one question against its gold answer: read, graded, and turned into the benchmark's figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from rzero.curriculum.votes import tally
from rzero.domains.base import Domain
from rzero.evaluate import choices, free_text
from rzero.evaluate.benchmarks import Benchmark, Kind
from rzero.evaluate.metrics import pass_at_k
from rzero.evaluate.rows import BenchmarkRow
from rzero.grading.grader import Grader
from rzero.types import Message, Outcome, Prompt, Vote, VoteStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One question's answers [k] with their outcomes [k], and the majority's outcome (None for a single answer)."""

    answers: list[str | None]
    outcomes: list[Outcome]
    majority: Outcome | None

    @property
    def num_right(self) -> int:
        """How many of the k answers are right."""
        return sum(outcome is Outcome.RIGHT for outcome in self.outcomes)


def prompt_for(benchmark: Benchmark, row: BenchmarkRow, domain: Domain) -> Prompt:
    """What the model is asked. Questions of kind ``expression`` are put as the domain puts them in training."""
    match benchmark.kind:
        case Kind.EXPRESSION:
            return domain.solver_prompt(row.question)
        case Kind.CHOICE:
            return Prompt(messages=(Message("user", choices.shown(row.question, row.choices)),))
        case Kind.TEXT:
            return Prompt(messages=(Message("user", f"{row.question}\n\n{free_text.INSTRUCTION}"),))


def score(
    benchmark: Benchmark, row: BenchmarkRow, completions: Sequence[str], *, domain: Domain, grader: Grader
) -> Scored:
    """Read and grade the completions [k] of one question (a prompt's prefill included)."""
    answers = [_answer(benchmark, row, completion, domain) for completion in completions]
    outcomes = _outcomes(benchmark, answers, row.gold, grader)
    majority = None
    if len(answers) > 1:
        majority = _outcomes(benchmark, [_majority(benchmark, answers, grader)], row.gold, grader)[0]
    return Scored(answers=answers, outcomes=outcomes, majority=majority)


RATES = ("unparsed", "timeout", "cut_off")


def figure_names(k: int) -> list[str]:
    """The figures of k answers: accuracy of a single one; of several mean@k, maj@k, and pass@j for j = 2, 4, ..., k.

    >>> figure_names(1), figure_names(6)
    (['accuracy'], ['mean@6', 'maj@6', 'pass@2', 'pass@4', 'pass@6'])
    """
    if k == 1:
        return ["accuracy"]
    sizes = sorted({2**power for power in range(1, k.bit_length())} | {k})
    return [f"mean@{k}", f"maj@{k}", *(f"pass@{size}" for size in sizes)]


def figures(scored: Scored) -> dict[str, float]:
    """One question's value of each of :func:`figure_names`, in [0, 1]."""
    k, values = len(scored.outcomes), {}
    for name in figure_names(k):
        kind, _, size = name.partition("@")
        if kind == "pass":
            values[name] = pass_at_k(k, scored.num_right, int(size))
        elif kind == "maj":
            values[name] = float(scored.majority is Outcome.RIGHT)
        else:
            values[name] = scored.num_right / k
    return values


def rates(scored: Scored, cut_off: Sequence[bool]) -> dict[str, float]:
    """The shares :data:`RATES` of one question's completions: no readable answer, out of time, cut off."""
    return {
        "unparsed": fmean(outcome is Outcome.UNPARSED for outcome in scored.outcomes),
        "timeout": fmean(outcome is Outcome.TIMEOUT for outcome in scored.outcomes),
        "cut_off": fmean(cut_off),
    }


def _answer(benchmark: Benchmark, row: BenchmarkRow, completion: str, domain: Domain) -> str | None:
    if benchmark.kind is Kind.TEXT:
        return free_text.read(completion)
    answer = domain.extract_answer(completion)
    if benchmark.kind is Kind.CHOICE and answer is not None:
        return choices.letter(answer, row.choices)
    return answer


def _outcomes(benchmark: Benchmark, answers: Sequence[str | None], gold: str, grader: Grader) -> list[Outcome]:
    if benchmark.kind is Kind.EXPRESSION:
        return grader.grade_many([(answer, gold) for answer in answers])
    return [
        Outcome.UNPARSED if answer is None else Outcome.RIGHT if _same(benchmark, answer, gold) else Outcome.WRONG
        for answer in answers
    ]


def _same(benchmark: Benchmark, answer: str, gold: str) -> bool:
    return answer == gold if benchmark.kind is Kind.CHOICE else free_text.same(answer, gold)


def _majority(benchmark: Benchmark, answers: Sequence[str | None], grader: Grader) -> str | None:
    """The most frequent answer, by the same rules as a pseudo-label; of equally frequent ones the first."""
    classes: list[int | None] = []
    if benchmark.kind is Kind.EXPRESSION:
        classes = [found if isinstance(found, int) else None for found in grader.classes_many([answers])[0]]
    else:
        known: list[str] = []
        for answer in answers:
            match = next((i for i, other in enumerate(known) if answer and _same(benchmark, answer, other)), None)
            if answer is not None and match is None:
                match = len(known)
                known.append(answer)
            classes.append(match)
    votes = [
        Vote(answer=None, status=VoteStatus.UNPARSED) if found is None else Vote(answer=answer, status=VoteStatus.VALID)
        for answer, found in zip(answers, classes, strict=True)
    ]
    return tally(votes, classes).pseudo_label
