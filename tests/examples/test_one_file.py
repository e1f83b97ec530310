"""The one-file example takes the library's decisions on the same data."""

from __future__ import annotations

import ast
import math
import random
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from one_file import FILE, one

from rzero.curriculum.band import judge
from rzero.domains.tags import parse_tagged
from rzero.evolve.voting import VotedQuestion, count
from rzero.grading.extract import last_boxed
from rzero.grading.grader import Grader
from rzero.grpo.advantage import advantages
from rzero.rewards.challenger import ScoredQuestion, challenger_reward
from rzero.rewards.repetition import bleu_distances, repetition
from rzero.rewards.solver import SolverAnswer, agreement
from rzero.types import Completion, FinishReason, Rejection


@pytest.fixture(scope="module")
def grader() -> Iterator[Grader]:
    with Grader() as shared:
        yield shared


def test_it_stands_alone_and_is_short() -> None:
    text = FILE.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 330
    nodes = list(ast.walk(ast.parse(text)))
    imported = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    imported |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    others = {str(name).partition(".")[0] for name in imported} - sys.stdlib_module_names
    assert others == {"torch", "transformers"}


pieces = st.sampled_from(["<question>", "</question>", "What is", " 7", "?", " ", "\n", "\x01", "\r", "x" * 4000])
boxes = st.sampled_from(["\\boxed", "\\boxed{", "{", "}", "\\{", "\\}", "\\\\", "5", " ", "x\n", "\\frac", "\\fbox{"])


@given(st.lists(pieces, max_size=8).map("".join))
@settings(deadline=None)
def test_questions_are_parsed_alike(completion: str) -> None:
    assert one.parse_question(completion) == parse_tagged(completion).text


@given(st.lists(boxes, max_size=12).map("".join))
@settings(deadline=None, max_examples=300)
def test_answers_are_found_alike(completion: str) -> None:
    assert one.boxed_answer(completion) == last_boxed(completion)


SPELLINGS = ("{}", "{}", "{}.", "${}$", " {} ", "+{}", "0{}", "{},000", "{}000")


def solver_texts(seed: int, *, num_votes: int) -> list[tuple[str, bool]]:
    """m Solver completions with whether each is cut off; every way to be no vote, and many ties and spellings."""
    draw = random.Random(seed)
    answers = draw.choice(((20, 1, 0), (3, 1, 1), (1, 1, 1)))  # weights of 1, 2 and 3
    boxed = draw.choice((0, 4, 100))
    cut_off = draw.choice((0.0, 0.2))
    texts = []
    for _ in range(num_votes):
        answer = draw.choice(SPELLINGS).format(draw.choices((1, 2, 3), answers)[0])
        no_votes = ("I do not know.", "\\boxed{}", "\\boxed{.}", "\\boxed{7")
        text = draw.choices((f"So it is \\boxed{{{answer}}}.", *no_votes), (boxed, 1, 1, 1, 1))[0]
        texts.append((text, draw.random() < cut_off))
    return texts


def library_votes(texts: list[tuple[str, bool]], grader: Grader) -> VotedQuestion:
    completions = [
        Completion(
            token_ids=(3,), logprobs=(-1.0,), finish_reason=FinishReason("length" if cut_off else "stop"), text=text
        )
        for text, cut_off in texts
    ]
    answers = [None if cut_off else last_boxed(text) for text, cut_off in texts]
    return count([answers], [completions], grader=grader)[0]


def own_tally(texts: list[tuple[str, bool]]) -> Any:
    return one.tally([one.read_vote(one.Completion((3,), text, cut_off)) for text, cut_off in texts])


def test_votes_labels_ties_and_the_band_are_the_librarys(grader: Grader) -> None:
    seen: Counter[object] = Counter()
    for seed in range(600):
        num_votes = 8 if seed % 2 else 10
        texts = solver_texts(seed, num_votes=num_votes)
        theirs, ours = library_votes(texts, grader).tally, own_tally(texts)
        assert ours[:3] == (theirs.num_votes, theirs.num_valid, theirs.num_agree)
        assert ours.tied == theirs.tied
        label = None if theirs.pseudo_label is None else one.normal(theirs.pseudo_label)
        assert ours.pseudo_label == label
        for low, high in ((0.25, 0.75), (0.3, 0.7), (0.0, 1.0)):
            verdict = judge(theirs, band_low=low, band_high=high, min_valid_frac=0.5)
            assert one.rejection(ours, one.Settings(band_low=low, band_high=high)) == verdict
            seen[verdict] += 1
        at_edge = theirs.num_agree / num_votes in (0.25, 0.3, 0.7, 0.75) and theirs.valid_frac >= 0.5
        seen.update({"tied": theirs.tied, "no label": label is None, "at the edge": at_edge})
    assert set(seen) == {None, *Rejection, "tied", "no label", "at the edge"}
    assert min(seen.values()) >= 5, seen


def step_of_questions(seed: int) -> list[str | None]:
    """What 24 Challenger completions were parsed into: near-copies, exact copies, unrelated ones, malformed ones."""
    draw = random.Random(seed)
    templates = (
        "What is {a} + {b}?",
        "Tom has {a} apples and buys {b} more. How many apples does Tom have?",
        "Find all real x such that $x^2 - {a}x + {b} = 0$.",
        "{a}*{b}",
        "A train travels {a} km in {b} hours. What is its speed in km/h?",
    )
    kinds: list[str | None] = [*templates, None]
    parsed = [draw.choice(kinds) for _ in range(23)]
    filled = [text and text.format(a=draw.randint(2, 30), b=draw.randint(2, 9)) for text in parsed]
    return [*filled, draw.choice(filled)]


@pytest.mark.parametrize("weight", [1.0, 0.3, 0.0])
def test_rewards_and_clusters_are_the_librarys(grader: Grader, weight: float) -> None:
    paid: Counter[str] = Counter()
    for seed in range(12):
        questions = step_of_questions(seed)
        well_formed = [question for question in questions if question is not None]
        texts = {q: solver_texts(1000 * seed + i, num_votes=10) for i, q in enumerate(dict.fromkeys(well_formed))}
        found = repetition(well_formed, threshold=0.5, batch_size=len(questions))
        repeated = iter(found)
        expected = [
            0.0
            if question is None
            else challenger_reward(
                ScoredQuestion(
                    question=question,
                    tally=library_votes(texts[question], grader).tally,
                    repetition=next(repeated).penalty,
                ),
                repetition_weight=weight,
                min_valid_frac=0.5,
            ).total
            for question in questions
        ]
        tallies = {question: own_tally(votes) for question, votes in texts.items()}
        rewards = one.challenger_rewards(questions, tallies, one.Settings(repetition_weight=weight))
        assert rewards == pytest.approx(expected, abs=1e-12, rel=0)
        assert one.clusters(well_formed, 0.5) == [item.cluster for item in found]
        assert 1 < max(item.cluster for item in found) < len(well_formed) - 1
        paid.update("0" if reward == 0 else "more" for reward in rewards)
    assert min(paid["0"], paid["more"]) > 20


def test_distances_are_the_librarys() -> None:
    short = ["7", "7", "x", "3+4", "3 + 4", "a a", "a b a b a b", "b a b a", "What is 3 + 4? Explain what that is."]
    questions = [question for question in step_of_questions(0) if question is not None] + short
    ours = [[one.distance(a, b) for b in questions] for a in questions]
    np.testing.assert_allclose(ours, bleu_distances(questions), rtol=0, atol=1e-12)


def test_clusters_merge_strictly_below_the_threshold() -> None:
    pair = ("What is 3 + 4?", "What is 3 + 5 then?")
    apart = one.distance(*pair)
    for threshold in (apart, math.nextafter(apart, 1.0)):
        assert one.clusters(pair, threshold) == [
            item.cluster for item in repetition(pair, threshold=threshold, batch_size=2)
        ]
    assert one.clusters(pair, apart) == [0, 1]


def test_three_and_seven_of_ten_earn_the_same() -> None:
    tallies = {
        name: one.tally(["1"] * agree + [str(n) for n in range(2, 12 - agree)]) for name, agree in (("a", 3), ("b", 7))
    }
    rewards = one.challenger_rewards(["a", "b"], tallies, one.Settings(repetition_weight=0.0))
    assert rewards == [0.6, 0.6]
    assert one.advantages(rewards) is None


def test_solver_rewards_are_the_librarys(grader: Grader) -> None:
    seen = set()
    for text, cut_off in (row for seed in range(30) for row in solver_texts(seed, num_votes=10)):
        answer = last_boxed(text)
        reward = agreement(
            SolverAnswer(
                question="1+1",
                answer=answer,
                pseudo_label="2",
                self_consistency=0.5,
                outcome=grader.grade(answer=answer, gold="2"),
                finish_reason=FinishReason("length" if cut_off else "stop"),
            )
        )
        assert float(one.read_vote(one.Completion((3,), text, cut_off)) == "2") == reward
        seen.add((reward, cut_off))
    assert seen == {(0.0, False), (0.0, True), (1.0, False)}


def test_advantages_are_the_librarys() -> None:
    draw = random.Random(0)
    groups = [[draw.choice((0.0, 0.3, 1.0)) for _ in range(draw.randint(2, 5))] for _ in range(200)]
    assert [one.advantages(rewards) for rewards in groups] == [advantages(rewards) for rewards in groups]
    assert 10 < sum(one.advantages(rewards) is None for rewards in groups) < 190
