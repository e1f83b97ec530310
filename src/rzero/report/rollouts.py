"""The rollouts worth reading: the best and the worst of each training phase's last step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rzero.report.data import Extremes, RolloutCard
from rzero.report.jsonl import rows

SHOWN = 5
LONGEST_TEXT = 4000

_DROPPED = ("token_ids", "sampler_logprobs", "votes")


def challenger(path: Path, step: int) -> Extremes:
    """By reward; of equal rewards the first, and no question twice."""
    found = _light(path)
    ranked = sorted(found, key=lambda row: -row["reward"])
    return Extremes(
        role="challenger",
        step=step,
        best=[_challenger_card(row) for row in _distinct(ranked)],
        worst=[_challenger_card(row) for row in _distinct(reversed(ranked))],
    )


def solver(path: Path, step: int, questions: Mapping[str, str]) -> Extremes:
    """Where answer and group disagree most: rewarded though few of the group were, and the reverse.

    ``questions`` are texts by id. The plain order by reward would show the first of many equal ones.
    """
    found = _light(path)
    rewards: dict[str, list[float]] = {}
    for row in found:
        rewards.setdefault(row["question_id"], []).append(row["reward"])
    means = {question: sum(values) / len(values) for question, values in rewards.items()}
    ranked = sorted(found, key=lambda row: (-row["reward"], means[row["question_id"]]))
    return Extremes(
        role="solver",
        step=step,
        best=[_solver_card(row, questions, means) for row in _distinct(ranked)],
        worst=[_solver_card(row, questions, means) for row in _distinct(reversed(ranked))],
    )


def _light(path: Path) -> list[dict[str, Any]]:
    found = []
    for row in rows(path):
        row["num_tokens"] = len(row.get("token_ids", ()))
        found.append({name: value for name, value in row.items() if name not in _DROPPED})
    return found


def _distinct(ranked: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    chosen: dict[Any, dict[str, Any]] = {}
    for row in ranked:
        chosen.setdefault(row.get("question_id") or row.get("question") or row["completion"], row)
        if len(chosen) == SHOWN:
            break
    return list(chosen.values())


def _challenger_card(row: Mapping[str, Any]) -> RolloutCard:
    facts = [("problem", str(row["problem"]))] if row.get("problem") else _challenger_facts(row)
    return _card(row, row.get("question"), facts)


def _challenger_facts(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        ("label", _text(row.get("pseudo_label"))),
        ("p̂", f"{row.get('self_consistency') or 0.0:.2f}"),
        ("uncertainty", f"{row.get('uncertainty', 0.0):.3f}"),
        ("repetition", f"{row.get('repetition', 0.0):.3f}"),
        ("cluster", _text(row.get("cluster"))),
    ]


def _solver_card(row: Mapping[str, Any], questions: Mapping[str, str], means: Mapping[str, float]) -> RolloutCard:
    facts = [
        ("label", _text(row.get("pseudo_label"))),
        ("answer", _text(row.get("answer"))),
        ("outcome", _text(row.get("outcome"))),
        ("group's mean reward", f"{means[row['question_id']]:.2f}"),
    ]
    return _card(row, questions.get(row["question_id"]), facts)


def _card(row: Mapping[str, Any], question: str | None, facts: list[tuple[str, str]]) -> RolloutCard:
    completion = str(row["completion"])
    return RolloutCard(
        reward=float(row["reward"]),
        question=None if question is None else str(question)[:LONGEST_TEXT],
        completion=completion[:LONGEST_TEXT],
        hidden_characters=max(0, len(completion) - LONGEST_TEXT),
        facts=[*facts, ("tokens", str(row["num_tokens"])), ("ended by", _text(row.get("finish_reason")))],
    )


def _text(value: Any) -> str:
    return "none" if value is None else str(value)[:200]
