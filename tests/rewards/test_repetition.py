from __future__ import annotations

import itertools
import math
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
from scipy.spatial.distance import pdist, squareform
from sklearn.cluster import AgglomerativeClustering

from rzero.rewards.repetition import BLOCK, bleu_distances, cluster, repetition, tokenize

WORDS = "prime sum of the a graph how many find all if then square is in integer { } $ = ^"
NASTY = [
    "",
    "   \t\n",
    "7",
    "7",
    "x",
    "3+4",
    "3+4",
    "3 + 5",
    "a a",
    "a a a a a a a a",
    "a a a a a a a a a a a a a",
    "a b a b a b a b",
    "b a b a b a b a",
    "\\frac{1}{2}",
    "???",
    "Wie groß ist die Fläche? Δx ≤ ½·π²",
    "证明三角形",
    "e\u0301 é 😀😀",
    "word " * 300,
]


def varied_questions(count: int, seed: int) -> list[str]:
    """Templates with random fillings, near-copies, exact copies and unrelated word salad."""
    rng = random.Random(seed)
    templates = [
        "What is {a} + {b}?",
        "Tom has {a} apples and buys {b} more. How many apples does Tom have?",
        "Find all real x such that $x^2 - {a}x + {b} = 0$.",
        "A train travels {a} km in {b} hours. What is its speed in km/h?",
        "Let $f(x) = {a}x^{b}$. Compute the derivative of f at x = {a}.",
        "How many ways are there to choose {b} of {a} books?",
    ]
    words = WORDS.split()
    questions: list[str] = []
    while len(questions) < count:
        kind = rng.random()
        if kind < 0.5 or not questions:
            questions.append(rng.choice(templates).format(a=rng.randint(2, 30), b=rng.randint(2, 9)))
        elif kind < 0.65:
            questions.append(rng.choice(questions))
        elif kind < 0.8:
            copy = rng.choice(questions).split() or ["so"]
            copy[rng.randrange(len(copy))] = rng.choice(words)
            questions.append(" ".join(copy))
        else:
            questions.append(" ".join(rng.choices(words, k=rng.randint(1, 40))))
    return questions


def nltk_distances(questions: list[str]) -> np.ndarray:
    smoothing = SmoothingFunction().method1
    tokens = [tokenize(question) for question in questions]
    distances = np.zeros((len(tokens), len(tokens)))
    for (i, one), (j, other) in itertools.combinations(enumerate(tokens), 2):
        if one != other:
            bleu = [sentence_bleu([r], h, smoothing_function=smoothing) for r, h in ((one, other), (other, one))]
            distances[i, j] = distances[j, i] = 1 - sum(bleu) / 2
    return distances


def sklearn_clusters(distances: np.ndarray, threshold: float) -> list[int]:
    model = AgglomerativeClustering(
        n_clusters=None, distance_threshold=threshold, metric="precomputed", linkage="average"
    )
    return model.fit(distances).labels_.tolist()


def partition(labels: list[int]) -> set[frozenset[int]]:
    return {frozenset(i for i, label in enumerate(labels) if label == cluster_) for cluster_ in labels}


def assert_equal_to_nltk_and_sklearn(questions: list[str]) -> None:
    expected = nltk_distances(questions)
    distances = bleu_distances(questions)
    np.testing.assert_allclose(distances, expected, rtol=0, atol=1e-12)
    for threshold in (0.05, 0.3, 0.5, 0.75, 1.0):
        assert partition(cluster(distances, threshold=threshold)) == partition(sklearn_clusters(distances, threshold))
    assert partition(cluster(distances, threshold=0.5)) == partition(sklearn_clusters(expected, 0.5))


@pytest.mark.parametrize(
    "questions",
    [varied_questions(80, seed=1), varied_questions(60, seed=2) + NASTY, NASTY, ["same words here again"] * 9],
    ids=["varied", "varied and nasty", "nasty", "one question only"],
)
def test_equal_to_nltk_and_sklearn(questions: list[str]) -> None:
    assert_equal_to_nltk_and_sklearn(questions)


def test_equal_to_nltk_and_sklearn_on_questions_that_a_model_wrote() -> None:
    """200 questions that SmolLM2-135M-Instruct wrote as Challenger, exact repeats among them."""
    file = Path(__file__).parents[1] / "data" / "generated_questions.txt"
    questions = file.read_text(encoding="utf-8").splitlines()
    assert len(questions) == 200
    assert_equal_to_nltk_and_sklearn(questions)


@given(st.lists(st.lists(st.sampled_from("abc"), max_size=7).map(" ".join), min_size=2, max_size=8))
@example(["a b a b a", "b a b a b"])
@settings(max_examples=150, deadline=None)
def test_bleu_equals_nltk_on_short_repetitive_questions(questions: list[str]) -> None:
    np.testing.assert_allclose(bleu_distances(questions), nltk_distances(questions), rtol=0, atol=1e-12)


@given(st.lists(st.text(max_size=30), max_size=6))
@settings(deadline=None)
def test_distances_are_a_symmetric_matrix_of_shares_for_any_text(questions: list[str]) -> None:
    distances = bleu_distances(questions)
    assert distances.shape == (len(questions), len(questions))
    assert (distances == distances.T).all()
    assert (np.diagonal(distances) == 0).all()
    assert ((distances >= 0) & (distances <= 1)).all()


@given(
    st.integers(2, 40).flatmap(lambda n: st.lists(st.integers(0, 6), min_size=2 * n, max_size=2 * n)),
    st.sampled_from([0.1, 0.25, 0.5, 0.7, 0.99]),
)
@settings(deadline=None)
def test_cluster_equals_sklearn_with_many_equal_distances(coordinates: list[int], threshold: float) -> None:
    distances = squareform(pdist(np.array(coordinates, dtype=float).reshape(-1, 2))) / math.hypot(6, 6)
    assert partition(cluster(distances, threshold=threshold)) == partition(sklearn_clusters(distances, threshold))


def test_cluster_merges_strictly_below_the_threshold() -> None:
    distances = np.array([[0.0, 0.5], [0.5, 0.0]])
    assert cluster(distances, threshold=0.5) == [0, 1]
    assert cluster(distances, threshold=np.nextafter(0.5, 1.0)) == [0, 0]


def test_a_batch_larger_than_a_block_of_rows() -> None:
    """A distance depends on its two questions alone, wherever they stand in the batch."""
    questions = [*varied_questions(2 * BLOCK + 20, seed=3), *NASTY]
    distances = bleu_distances(questions)
    some = [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, *range(2 * BLOCK - 3, len(questions), 3)]
    np.testing.assert_allclose(distances[np.ix_(some, some)], bleu_distances([questions[i] for i in some]), atol=1e-12)
    expected = cluster(distances, threshold=0.5)
    assert [found.cluster for found in repetition(questions, threshold=0.5, batch_size=len(questions))] == expected


def test_no_question_and_one_question() -> None:
    assert repetition([], threshold=0.5, batch_size=4) == []
    (only,) = repetition(["What is 3 + 4?"], threshold=0.5, batch_size=1)
    assert (only.penalty, only.cluster) == (1.0, 0)


def test_short_questions_repeated_are_one_cluster() -> None:
    for question in ("", "7", "3 + 4"):
        assert [r.penalty for r in repetition([question] * 3, threshold=0.5, batch_size=4)] == [0.75] * 3


def test_malformed_rollouts_count_in_the_denominator() -> None:
    step = ["What is 3 + 4?", "Name a prime between 10 and 20."]
    assert [r.penalty for r in repetition(step, threshold=0.5, batch_size=8)] == [0.125, 0.125]
    with pytest.raises(ValueError, match="2 questions in a step of 1 rollouts"):
        repetition(step, threshold=0.5, batch_size=1)


@pytest.mark.parametrize("seed", range(3))
def test_penalties_add_up_to_the_squared_cluster_sizes(seed: int) -> None:
    questions = varied_questions(50, seed)
    result = repetition(questions, threshold=0.5, batch_size=64)
    clusters = [r.cluster for r in result]
    assert list(dict.fromkeys(clusters)) == list(range(max(clusters) + 1)), "numbered by first appearance"
    assert 1 < len(set(clusters)) < 50
    assert [r.penalty * 64 for r in result] == [clusters.count(number) for number in clusters]


def test_penalties_follow_the_questions_when_the_batch_is_reordered() -> None:
    questions = varied_questions(40, seed=5)
    order = random.Random(5).sample(range(40), 40)
    there = repetition(questions, threshold=0.5, batch_size=40)
    back = repetition([questions[i] for i in order], threshold=0.5, batch_size=40)
    assert [there[i].penalty for i in order] == [r.penalty for r in back]
