"""Seconds of the repetition penalty for one step of 2,048 questions: rzero, and nltk with scikit-learn.

Both compute BLEU both ways for each pair and cluster by average linkage; the clusters must be the same, else this ends
with an error. nltk works in one process for each core, rzero in one thread. nltk's cost grows with the square of the
number of questions, and takes minutes for 2,048; --quick gives both sides 192.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from numpy.typing import NDArray

from harness.options import Options, parse
from harness.problems import questions
from harness.report import Report
from rzero.rewards.repetition import repetition, tokenize

THRESHOLD = 0.5


def main() -> None:
    """Measure and print."""
    options = parse(__doc__, needs_model=False)
    measure(options).show(options.json)


def measure(options: Options) -> Report:
    """Ours three times, the peer once: it takes minutes."""
    count = 192 if options.quick else 2048
    texts = questions(count, seed=3)
    ours = []
    for _ in range(3):
        started = time.perf_counter()
        found = [item.cluster for item in repetition(texts, threshold=THRESHOLD, batch_size=count)]
        ours.append(time.perf_counter() - started)
    started = time.perf_counter()
    distances = nltk_distances(texts, processes=options.threads)
    bleu_s = time.perf_counter() - started
    expected = sklearn_clusters(distances, THRESHOLD)
    peer_s = time.perf_counter() - started
    if partition(found) != partition(expected):
        raise AssertionError(f"the clusters differ: {len(set(found))} against {len(set(expected))}")
    rows = [["rzero", f"{sorted(ours)[1]:.4f}", ""], ["nltk + scikit-learn", f"{peer_s:.1f}", f"{bleu_s:.1f}"]]
    return Report(
        name="repetition",
        columns=["engine", "seconds", "of these BLEU"],
        rows=rows,
        ratios={"nltk+scikit-learn/ours": peer_s / sorted(ours)[1]},
        data={"ours_s": ours, "peer_s": peer_s, "peer_bleu_s": bleu_s, "questions": count},
        notes=[
            f"{count:,} questions, {len(set(found)):,} clusters, the same on both sides",
            f"nltk in {options.threads} processes, rzero in one thread",
            "nltk: sentence_bleu with smoothing method 1, both directions of each pair, tokenised once",
        ],
    )


def nltk_distances(texts: Sequence[str], *, processes: int) -> NDArray[np.float64]:
    """1 - the mean of both directions' BLEU; 0 between questions with the same tokens."""
    tokens = [tokenize(text) for text in texts]
    distances = np.zeros((len(tokens), len(tokens)))
    with ProcessPoolExecutor(processes) as pool:
        for i, row in enumerate(pool.map(_row, itertools.repeat(tokens), range(len(tokens)), chunksize=16)):
            distances[i, i + 1 :] = distances[i + 1 :, i] = row
    return distances


def _row(tokens: Sequence[Sequence[str]], i: int) -> list[float]:
    """The distances of question i to those after it."""
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    smoothing = SmoothingFunction().method1
    distances = []
    for other in tokens[i + 1 :]:
        if other == tokens[i]:
            distances.append(0.0)
            continue
        there = sentence_bleu([tokens[i]], other, smoothing_function=smoothing)
        back = sentence_bleu([other], tokens[i], smoothing_function=smoothing)
        distances.append(1 - (there + back) / 2)
    return distances


def sklearn_clusters(distances: NDArray[np.float64], threshold: float) -> list[int]:
    """Average linkage up to ``threshold``."""
    from sklearn.cluster import AgglomerativeClustering

    model = AgglomerativeClustering(
        n_clusters=None, distance_threshold=threshold, metric="precomputed", linkage="average"
    )
    return model.fit(distances).labels_.tolist()


def partition(labels: Sequence[int]) -> set[frozenset[int]]:
    """Which questions are together, whatever the clusters are called."""
    members: dict[int, set[int]] = {}
    for index, label in enumerate(labels):
        members.setdefault(label, set()).add(index)
    return {frozenset(found) for found in members.values()}


if __name__ == "__main__":
    main()
