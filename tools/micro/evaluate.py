"""What the micro model can do, measured with plain transformers: the figures of its model card."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
from micro.corpus import damage
from transformers import AutoModelForCausalLM, AutoTokenizer

from rzero.domains.arithmetic import arithmetic, level
from rzero.domains.arithmetic.families import FAMILIES, draw
from rzero.types import Prompt

ROWS = 512
MAX_NEW_TOKENS = 200
DIRECT_STARTS = ("\\boxed{", "none")
NUM_VOTES = 10
PROMPT = arithmetic.challenger_prompt()


@dataclass(frozen=True, slots=True)
class Votes:
    """The answers of one question's completions (None: no box) and whether each was reached step by step."""

    answers: list[str | None]
    stepwise: list[bool]

    def majority(self) -> str | None:
        """The most frequent answer, the earliest of equals; None where no completion has a box."""
        counts = Counter(answer for answer in self.answers if answer is not None)
        return counts.most_common(1)[0][0] if counts else None

    def self_consistency(self) -> float:
        """Share of all completions that agree with the majority."""
        majority = self.majority()
        return 0.0 if majority is None else self.answers.count(majority) / len(self.answers)

    def valid_frac(self) -> float:
        """Share of the completions with a box."""
        return sum(answer is not None for answer in self.answers) / len(self.answers)


class Generator:
    """Batched generation of one checkpoint."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
        self._model = AutoModelForCausalLM.from_pretrained(folder).eval()

    def complete(self, prompts: Sequence[Prompt], *, greedy: bool = False, stepwise: bool = False) -> list[str]:
        """One completion for each prompt, in order; rows of like length are decoded together.

        ``stepwise`` forbids the first tokens of a direct answer.
        """
        texts = [
            self._tokenizer.apply_chat_template(
                [{"role": message.role, "content": message.content} for message in prompt.messages],
                add_generation_prompt=True,
                tokenize=False,
            )
            for prompt in prompts
        ]
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        completions = [""] * len(texts)
        for start in range(0, len(order), ROWS):
            rows = order[start : start + ROWS]
            batch = self._tokenizer(
                [texts[i] for i in rows], return_tensors="pt", padding=True, add_special_tokens=False
            )
            sampling = {"do_sample": False} if greedy else {"do_sample": True, "temperature": 1.0, "top_k": 0}
            if stepwise:
                sampling["begin_suppress_tokens"] = self._tokenizer.convert_tokens_to_ids(list(DIRECT_STARTS))
            with torch.inference_mode():
                ids = self._model.generate(
                    input_ids=batch["input_ids"],
                    attention_mask=batch["attention_mask"],
                    max_new_tokens=MAX_NEW_TOKENS,
                    **sampling,
                )
            new = self._tokenizer.batch_decode(ids[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
            for index, text in zip(rows, new, strict=True):
                completions[index] = text
        return completions

    def vote(
        self, questions: Sequence[str], *, votes: int, greedy: bool = False, stepwise: bool = False
    ) -> list[Votes]:
        """``votes`` answers to each question."""
        prompts = [arithmetic.solver_prompt(question) for question in questions for _ in range(votes)]
        texts = self.complete(prompts, greedy=greedy, stepwise=stepwise)
        groups = [texts[start : start + votes] for start in range(0, len(texts), votes)]
        return [
            Votes([arithmetic.extract_answer(t) for t in group], [not t.startswith(DIRECT_STARTS) for t in group])
            for group in groups
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Graded:
    """One test problem with what the model made of it: a greedy answer and several sampled ones."""

    level: int
    family: str
    gold: str
    greedy: str | None
    greedy_stepwise: str | None
    sampled: Votes

    def right(self) -> list[bool]:
        """Which of the sampled answers are right."""
        return [answer == self.gold for answer in self.sampled.answers]

    def right_in_style(self, *, stepwise: bool) -> list[bool]:
        """The same, of the completions of one style alone."""
        return [ok for ok, step in zip(self.right(), self.sampled.stepwise, strict=True) if step is stepwise]


def evaluate(model: Path, *, test: Path, limit: int, seed: int) -> None:
    """Print accuracy on the test set, then what the Challenger writes and how the Solver takes it."""
    torch.manual_seed(seed)
    generator = Generator(model)
    rows = [json.loads(line) for line in test.read_text(encoding="utf-8").splitlines()]
    _print_accuracy(generator, rows[:: max(1, len(rows) // limit)] if limit else rows)
    _print_challenger(generator)
    for kind, damaged in (("drawn", False), ("damaged", True)):
        _print_ill_posed(generator, kind, _ill_posed(Random(seed), damaged=damaged))


def _print_accuracy(generator: Generator, rows: list[dict[str, Any]]) -> None:
    questions = [row["question"] for row in rows]
    greedy = generator.vote(questions, votes=1, greedy=True)
    forced = generator.vote(questions, votes=1, greedy=True, stepwise=True)
    graded = [
        Graded(
            level=row["level"],
            family=row["family"],
            gold=row["answer"],
            greedy=first.answers[0],
            greedy_stepwise=second.answers[0],
            sampled=votes,
        )
        for row, first, second, votes in zip(rows, greedy, forced, generator.vote(questions, votes=8), strict=True)
    ]
    print("| | greedy | greedy step by step | mean@8 | maj@8 | pass@8", end=" ")
    print("| step by step | mean@8 step by step | mean@8 direct |")
    print("|---|---|---|---|---|---|---|---|---|")
    for number in sorted({one.level for one in graded}):
        _print_row(f"level {number}", [one for one in graded if one.level == number])
    for family in FAMILIES:
        _print_row(family, [one for one in graded if one.family == family])
    _print_row("all", graded)


def _print_row(name: str, graded: list[Graded]) -> None:
    figures = (
        _percent(one.greedy == one.gold for one in graded),
        _percent(one.greedy_stepwise == one.gold for one in graded),
        _percent(ok for one in graded for ok in one.right()),
        _percent(one.sampled.majority() == one.gold for one in graded),
        _percent(any(one.right()) for one in graded),
        _percent(step for one in graded for step in one.sampled.stepwise),
        _percent(ok for one in graded for ok in one.right_in_style(stepwise=True)),
        _percent(ok for one in graded for ok in one.right_in_style(stepwise=False)),
    )
    print(f"| {name} |", " | ".join(f"{figure:.1f}" for figure in figures), "|", flush=True)


def _print_challenger(generator: Generator, *, samples: int = 1000, voted: int = 500) -> None:
    parsed = [arithmetic.parse_question(text).text for text in generator.complete([PROMPT] * samples)]
    questions = [text for text in parsed if text is not None]
    truths = [arithmetic.oracle.solve(question) for question in questions]
    levels = Counter(level(question) for question in questions)
    print(f"questions: in tags {_percent(text is not None for text in parsed):.1f} %,", end=" ")
    print(f"answerable {_percent(truth.answer is not None for truth in truths):.1f} %,", end=" ")
    print(f"distinct {100 * len(set(questions)) / len(questions):.1f} %")
    print("by level:", ", ".join(f"{key}: {100 * levels[key] / samples:.1f} %" for key in sorted(levels, key=str)))
    print("for example:", " | ".join(questions[:10]))
    print("ill-posed:", " | ".join(q for q, truth in zip(questions, truths, strict=True) if truth.problem)[:400])
    votes = generator.vote(questions[:voted], votes=NUM_VOTES)
    pairs = list(zip(votes, truths[:voted], strict=True))
    kept = [(vote, truth) for vote, truth in pairs if 0.25 <= vote.self_consistency() <= 0.75]
    spread = Counter(round(vote.self_consistency() * NUM_VOTES) for vote in votes)
    print(f"p-hat in 0.25..0.75: {100 * len(kept) / voted:.1f} %; by tenths", [spread[n] for n in range(NUM_VOTES + 1)])
    print(f"label accuracy: all {_percent(v.majority() == t.answer for v, t in pairs):.1f} %,", end=" ")
    print(f"kept {_percent(v.majority() == t.answer for v, t in kept):.1f} %")
    refused = _percent(v.valid_frac() < 0.5 for v, t in pairs if t.answer is not None)
    print(f"answerable, but most votes without a box: {refused:.1f} %")


def _ill_posed(rng: Random, *, damaged: bool, count: int = 200) -> list[str]:
    questions: list[str] = []
    while len(questions) < count:
        question = draw(rng, rng.choice(tuple(FAMILIES)))
        question = damage(rng, question) if damaged else question
        if level(question) is None:
            questions.append(question)
    return questions


def _print_ill_posed(generator: Generator, kind: str, questions: list[str]) -> None:
    votes = generator.vote(questions, votes=NUM_VOTES)
    boxless = _percent(answer is None for vote in votes for answer in vote.answers)
    told = _percent(vote.valid_frac() < 0.5 for vote in votes)
    print(f"ill-posed questions, {kind}: votes without a box {boxless:.1f} %; most votes without one {told:.1f} %")


def _percent(tests: Iterable[bool]) -> float:
    """The share of true ones, in percent; 0 of none."""
    values = list(tests)
    return 100 * sum(values) / max(1, len(values))
