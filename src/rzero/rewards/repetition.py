"""The repetition penalty: the share of a step's questions that say nearly the same (paper: r_rep = λ·|C_k|/B).

The distance between two questions is d_ij = 1 - BLEU; questions are clustered by average linkage while the distance is
below tau. This module returns |C_k|/B; the weight λ is applied in :mod:`rzero.rewards.challenger`.

Differences from the official code:

* BLEU is not symmetric. The official code takes BLEU(i|j) for i < j, so that the penalty depends on the order of the
  batch; here it is the mean of both directions.
* Paper and official code split at white space; :func:`tokenize` also takes punctuation and symbols apart.
* Two questions with the same tokens have distance 0. BLEU-4 says otherwise for fewer than four tokens, because its
  missing n-grams are smoothed (a one-token question is 0.82 away from itself), and repeating a short question would go
  unpunished.
* A step with one question, or none, is no special case.
* The n² BLEU scores come from one sparse matrix product per n-gram order instead of n² calls of a Python function.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

MAX_ORDER = 4
SMOOTHING = 0.1
BLOCK = 256
_TOKEN = re.compile(r"[^\W\d_]+|\d+(?:\.\d+)?|\S")


@dataclass(frozen=True, slots=True, kw_only=True)
class Repetition:
    """How often a question is repeated in its step.

    ``penalty`` is the share of the step's rollouts in the question's cluster, in (0, 1]. ``cluster`` is the cluster's
    number, counted from 0 in the order of first appearance.
    """

    penalty: float
    cluster: int


def repetition(questions: Sequence[str], *, threshold: float, batch_size: int) -> list[Repetition]:
    """The :class:`Repetition` of each question of one step (paper: |C_k|/B).

    ``threshold`` is tau, the distance below which questions fall into one cluster. ``batch_size`` is B, the number of
    rollouts in the step; malformed ones count in it though they are not among ``questions``.
    Raises ValueError if there are more questions than rollouts.

    >>> step = ["What is 3 + 4?", "How many sheep are left?", "What is 3 + 5?"]
    >>> [(r.penalty, r.cluster) for r in repetition(step, threshold=0.5, batch_size=4)]
    [(0.5, 0), (0.25, 1), (0.5, 0)]
    """
    if len(questions) > batch_size:
        raise ValueError(f"{len(questions)} questions in a step of {batch_size} rollouts: a rollout has one at most")
    clusters = _cluster(_pair_distances(questions), len(questions), threshold=threshold)
    sizes = Counter(clusters)
    return [Repetition(penalty=sizes[number] / batch_size, cluster=number) for number in clusters]


def tokenize(question: str) -> list[str]:
    r"""Lower-cased words, numbers and single symbols.

    Paper and official code split at white space, where "x=3." and "x = 3" have no token in common.

    >>> tokenize(r"Solve $x^2 = 3.5$ for X_1.")
    ['solve', '$', 'x', '^', '2', '=', '3.5', '$', 'for', 'x', '_', '1', '.']
    """
    return _TOKEN.findall(question.lower())


def bleu_distances(questions: Sequence[str]) -> NDArray[np.float64]:
    """Symmetric distances [n, n] in [0, 1]: 1 - (BLEU(i|j) + BLEU(j|i))/2, and 0 between questions with equal tokens.

    BLEU is sentence BLEU-4 with smoothing method 1 of Chen and Cherry (2014): an n-gram order without overlap counts
    as 0.1 matches; two questions without a common token score 0. Same values as ``nltk``'s ``sentence_bleu``.

    >>> bleu_distances(["one two three four", "one two three four", "five"]).tolist()
    [[0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [1.0, 1.0, 0.0]]
    """
    if len(questions) < 2:
        return np.zeros((len(questions), len(questions)))
    return squareform(_pair_distances(questions), checks=False)


def _pair_distances(questions: Sequence[str]) -> NDArray[np.float64]:
    """The distances above the diagonal [n·(n - 1)/2], row by row, worked out for a block of rows at a time.

    So the memory beyond the result grows with n, not with n².
    """
    if len(questions) < 2:
        return np.empty(0)
    tokens = [tokenize(question) for question in questions]
    total = len(tokens)
    lengths = np.array([len(row) for row in tokens])
    # Matches and totals go through one table, so that full overlap is exactly 0 in logarithms, and distance 0 exact.
    logs = np.log(np.maximum(np.arange(max(2, lengths.max() + 1)), SMOOTHING))
    log_totals = np.sum([logs[np.maximum(lengths - order + 1, 1)] for order in range(1, MAX_ORDER + 1)], axis=0)
    overlaps = [_Overlaps(rows, grams, total) for rows, grams in _grams(tokens)]
    numbers: dict[tuple[str, ...], int] = {}
    same = np.array([numbers.setdefault(tuple(row), len(numbers)) for row in tokens])

    distances = np.empty(total * (total - 1) // 2)
    filled = 0
    for start in range(0, total, BLOCK):
        rows, columns = slice(start, start + BLOCK), slice(start, None)
        counts = [overlap.between(rows, columns) for overlap in overlaps]
        log_matches = np.sum([logs[count] for count in counts], axis=0)
        log_matches[counts[0] == 0] = -np.inf
        forward = _bleu(log_matches, log_totals[rows, None], lengths[rows, None], lengths[columns])
        backward = _bleu(log_matches, log_totals[columns], lengths[columns], lengths[rows, None])
        block = 1 - (forward + backward) / 2
        block[same[rows, None] == same[columns]] = 0.0
        for row, values in enumerate(block):
            right = values[row + 1 :]
            distances[filled : filled + len(right)] = right
            filled += len(right)
    return distances


def _bleu(
    log_matches: NDArray[np.float64],
    log_totals: NDArray[np.float64],
    lengths: NDArray[np.int64],
    reference_lengths: NDArray[np.int64],
) -> NDArray[np.float64]:
    """BLEU of hypotheses with these totals and lengths; the matches are symmetric, the rest is the hypothesis's."""
    brevity = np.minimum(1 - reference_lengths / np.maximum(lengths, 1), 0)
    return np.exp((log_matches - log_totals) / MAX_ORDER + brevity)


def _grams(tokens: Sequence[Sequence[str]]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """The n-grams of all rows, order by order: the row that each stands in, and a number that equal ones share.

    >>> [(rows.tolist(), grams.tolist()) for rows, grams in _grams([["a", "b", "a", "b"], ["a", "b"]])][:2]
    [([0, 0, 0, 0, 1, 1], [0, 1, 0, 1, 0, 1]), ([0, 0, 0, 1], [0, 1, 0, 0])]
    """
    numbers: dict[str, int] = {}
    words = np.array([numbers.setdefault(word, len(numbers)) for row in tokens for word in row], dtype=np.int64)
    lengths = [len(row) for row in tokens]
    rows, ends = np.repeat(np.arange(len(tokens)), lengths), np.repeat(np.cumsum(lengths), lengths)
    grams, starts = words, np.arange(len(words))
    yield rows, grams
    for last in range(1, MAX_ORDER):
        inside = starts + last < ends[starts]
        starts, grams = starts[inside], grams[inside]
        grams = np.unique(grams * len(numbers) + words[starts + last], return_inverse=True)[1]
        yield rows[starts], grams


class _Overlaps:
    """Clipped overlaps: sum over the n-grams g of one length of min(count of g in row i, count of g in row j).

    min(a, b) is the sum over k of [a >= k][b >= k]: with one 0/1 column for each n-gram *and* each k, the overlaps are
    the matrix product X·Xᵀ.

    >>> rows, grams = np.array([0, 0, 0, 1, 1, 1]), np.array([7, 7, 8, 7, 7, 7])
    >>> _Overlaps(rows, grams, 2).between(slice(0, 1), slice(1, 2)).tolist()
    [[2]]
    """

    def __init__(self, rows: NDArray[np.int64], grams: NDArray[np.int64], total: int) -> None:
        """``grams`` [N] of ``total`` rows, each in row ``rows`` [N]."""
        order = np.lexsort((grams, rows))
        rows, grams = rows[order], grams[order]
        new = np.diff(rows, prepend=-1).astype(bool) | np.diff(grams, prepend=-1).astype(bool)
        first = np.flatnonzero(new)
        kth = np.arange(len(rows)) - np.repeat(first, np.diff(first, append=len(rows)))  # of its like in its row
        numbers, columns = np.unique(grams * (kth.max(initial=0) + 1) + kth, return_inverse=True)
        ones = np.ones(len(rows), dtype=np.float32)  # exact: no count comes near 2**24
        occurrences = sparse.coo_array((ones, (rows, columns)), shape=(total, len(numbers))).tocsr()

        # A column that many rows share costs (number of rows)² in a sparse product. There are few such columns, and a
        # dense product over them alone keeps a batch of near-copies as cheap as a varied one. A column that
        # one row has alone matches nothing else; the diagonal is never asked for.
        rows_per_column = np.bincount(columns, minlength=len(numbers))
        common = rows_per_column > total / 32
        self._dense = occurrences[:, np.flatnonzero(common)].toarray()
        self._rare = occurrences[:, np.flatnonzero(~common & (rows_per_column > 1))]

    def between(self, rows: slice, columns: slice) -> NDArray[np.int64]:
        """Overlaps of some rows with others."""
        overlaps = (self._rare[rows] @ self._rare[columns].T).toarray() + self._dense[rows] @ self._dense[columns].T
        return overlaps.astype(np.int64)


def cluster(distances: NDArray[np.float64], *, threshold: float) -> list[int]:
    """Clusters of a symmetric distance matrix [n, n] by average linkage, merging while the linkage is < ``threshold``.

    Same partition as scikit-learn's ``AgglomerativeClustering`` with ``distance_threshold``; numbered from 0 in the
    order of first appearance.

    >>> cluster(np.array([[0.0, 0.9, 0.4], [0.9, 0.0, 0.9], [0.4, 0.9, 0.0]]), threshold=0.5)
    [0, 1, 0]
    """
    return _cluster(squareform(distances, checks=False), len(distances), threshold=threshold)


def _cluster(pair_distances: NDArray[np.float64], total: int, *, threshold: float) -> list[int]:
    """:func:`cluster` of the distances above the diagonal of a matrix [total, total]."""
    if total < 2:
        return [0] * total
    tree = hierarchy.linkage(pair_distances, method="average")
    # fcluster merges at distances <= its argument; the paper's rule is d < tau.
    labels = hierarchy.fcluster(tree, np.nextafter(threshold, -np.inf), criterion="distance")
    numbers: dict[int, int] = {}
    return [numbers.setdefault(label, len(numbers)) for label in labels.tolist()]
