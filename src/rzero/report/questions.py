"""The pool of an iteration: each question with its votes, its label, what became of it, and its cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from rzero.config import Config
from rzero.curriculum.band import judge
from rzero.report.data import Questions
from rzero.rewards.repetition import repetition
from rzero.types import Tally, VoteStatus

KEPT = "kept"
PENDING = "pending"
"""The verdict before ``build_curriculum`` has spoken."""

CLUSTER_BLOCK = 2048
"""Questions that are clustered together: cost grows with the square of this."""
LONGEST_ANSWER = 200
LONGEST_FOR_CLUSTERS = 20_000
"""Characters of a question by which it is compared with others."""

_TALLY_FIELDS = tuple(item.name for item in fields(Tally))


def verdict(row: Mapping[str, Any], kept: set[str] | None, config: Config) -> str:
    """``kept``, a rejection's reason, or ``pending``. ``kept`` are the ids in the curriculum, None before it exists."""
    if kept is None:
        return PENDING
    if row["id"] in kept:
        return KEPT
    tally = Tally(**{name: row[name] for name in _TALLY_FIELDS if name in row})
    band = config.curriculum
    reason = judge(tally, band_low=band.band_low, band_high=band.band_high, min_valid_frac=config.vote.min_valid_frac)
    return PENDING if reason is None else str(reason)


def ballots(votes: Sequence[Mapping[str, Any]]) -> list[tuple[str | None, str, int]]:
    """``(answer, status, count)`` of each distinct vote, the most frequent first.

    Votes are told apart by their text here, not by what they are worth. A status that this version does not know is
    shown as it is.

    >>> ballots([{"answer": "7", "status": "valid"}, {"answer": None, "status": "cut_off"},
    ...          {"answer": "7", "status": "valid"}])
    [('7', 'valid', 2), (None, 'cut_off', 1)]
    """
    counts = Counter(
        (
            None if vote.get("answer") is None else str(vote["answer"])[:LONGEST_ANSWER],
            str(vote.get("status", VoteStatus.VALID)),
        )
        for vote in votes
    )
    return [(answer, status, count) for (answer, status), count in counts.most_common()]


def collect(votes: Iterator[dict[str, Any]], kept: set[str] | None, config: Config) -> Questions:
    """The columns of all questions, with whole texts. ``votes`` are rows of ``votes.jsonl``."""
    found = Questions(total=0)
    for row in votes:
        found.id.append(str(row["id"]))
        found.text.append(str(row["question"]))
        found.hidden_characters.append(0)
        label = row.get("pseudo_label")
        found.label.append(None if label is None else str(label)[:LONGEST_ANSWER])
        found.self_consistency.append(float(row.get("self_consistency") or 0.0))
        found.verdict.append(verdict(row, kept, config))
        found.tied.append(bool(row.get("tied")))
        found.ballots.append(ballots(row.get("votes", ())))
    numbers, sizes = clusters(found.text, threshold=config.challenger.repetition_threshold)
    return replace(found, total=len(found.id), cluster=numbers, cluster_size=sizes)


def clusters(texts: Sequence[str], *, threshold: float) -> tuple[list[int], list[int]]:
    """Each question's cluster and that cluster's size, by the rule of the repetition penalty.

    As in the reward, questions are compared within a batch: here blocks of CLUSTER_BLOCK, in the pool's order.

    >>> clusters(["What is 3 + 4?", "How many sheep are left?", "What is 3 + 5?"], threshold=0.5)
    ([0, 1, 0], [2, 1, 2])
    """
    numbers: list[int] = []
    for start in range(0, len(texts), CLUSTER_BLOCK):
        block = [text[:LONGEST_FOR_CLUSTERS] for text in texts[start : start + CLUSTER_BLOCK]]
        first = max(numbers, default=-1) + 1
        found = repetition(block, threshold=threshold, batch_size=len(block))
        numbers += [first + entry.cluster for entry in found]
    sizes = Counter(numbers)
    return numbers, [sizes[number] for number in numbers]


def shortened(questions: Questions, longest: int) -> Questions:
    """The same with texts of at most ``longest`` characters."""
    return replace(
        questions,
        text=[text[:longest] for text in questions.text],
        hidden_characters=[max(0, len(text) - longest) for text in questions.text],
    )


def sampled(questions: Questions, share: float) -> Questions:
    """A ``share`` of the questions, one at least, at even distances and in their order."""
    count = len(questions.id)
    size = min(count, max(1, int(count * share)))
    chosen = [number * count // size for number in range(size)]
    columns = [item.name for item in fields(Questions) if item.name != "total"]
    return replace(questions, **{name: [getattr(questions, name)[index] for index in chosen] for name in columns})
