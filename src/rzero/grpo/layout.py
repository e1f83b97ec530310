"""Who sees whom in a packed batch, cut into blocks that attention computes with plain batched matrix products.

A *family* is a prompt and the completions that follow it. A prompt's token sees the prompt up to itself; a completion's
token sees all of the prompt, and its own completion up to itself.

A *block* is families x members x queries against members' keys, a dense array: some padding inside attention alone buys
large matrix products, whose number does not grow with the number of rows. Every query's keys are in one block, so each
block's softmax is complete.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import torch
from torch import Tensor

_QUERIES = 512  # of one member in one block, at most: causal keys beyond a block's last query are not computed
_KEYS = 32  # keys are padded to a multiple: torch's vectorised softmax is up to five times slower between them
_NOWHERE = 1 << 40  # a place behind every query
_PADDING = 1.3  # a block may compute this many times the scores that its families need each by itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A prompt of ``prompt`` tokens that begins at ``start``, and the number of tokens of each completion behind it."""

    start: int
    prompt: int
    own: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Queries of one family in one block: ``queries`` tokens of each of the ``starts``, from their ``first`` on.

    ``shared`` keys from ``shared_start`` on are common to all members; ``lengths`` are those of the members' own.
    """

    shared_start: int
    shared: int
    starts: tuple[int, ...]
    lengths: tuple[int, ...]
    first: int
    queries: int

    @property
    def keys(self) -> int:
        """Of each member."""
        return self.shared + self.first + self.queries

    @property
    def scores(self) -> int:
        """Of all members, for one head."""
        return len(self.starts) * self.queries * self.keys


@dataclass(slots=True)
class Block:
    """R families of S members with Q queries and C keys each; indices are into the packed tokens.

    ``queries`` [R, S, Q] and ``keys`` [R, S, C]; the first ``num_shared`` keys are the family's prompt, the same for
    all members. Places that are padding hold the number of packed tokens, which is no token.
    """

    queries: Tensor
    keys: Tensor
    num_shared: int
    _query_places: Tensor
    _key_places: Tensor
    _biases: dict[tuple[int | None, torch.dtype], Tensor] = field(default_factory=dict)

    def bias(self, sliding_window: int | None, dtype: torch.dtype) -> Tensor:
        """[R or 1, 1, Q, C] What to add to scores: 0, or -inf where a query must not see a key.

        With a window those are also the keys that are ``sliding_window`` or more positions back.
        """
        known = (sliding_window, dtype)
        if known not in self._biases:
            distance = (self._query_places[:, :, None] - self._key_places[:, None])[:, None]
            hidden = distance < 0
            if sliding_window is not None:
                hidden |= distance >= sliding_window
            zeros = torch.zeros((), dtype=dtype, device=hidden.device)
            self._biases[known] = zeros.masked_fill(hidden, float("-inf"))
        return self._biases[known]


class Layout:
    """The families of one packed batch of ``num_tokens`` tokens; indices are made for ``device``."""

    def __init__(self, families: Sequence[Family], *, num_tokens: int, device: torch.device) -> None:
        self.num_tokens = num_tokens
        self._spans = [span for family in families for span in _spans(family)]
        self._device = device

    def blocks(self, most_scores: int) -> list[Block]:
        """Blocks of at most ``most_scores`` scores for each head, where a single query does not have more of them."""
        spans = sorted(
            (part for span in self._spans for part in _split(span, most_scores)),
            key=lambda span: (len(span.starts), span.first, span.queries, span.shared),
        )
        return [self._block(run) for run in _runs(spans, most_scores)]

    def _block(self, spans: Sequence[Span]) -> Block:
        device, none = self._device, self.num_tokens
        width, first = max(span.queries for span in spans), spans[0].first
        prompt = max(span.shared for span in spans)
        starts, lengths, shared_start, shared = (
            torch.tensor(numbers, device=device)
            for numbers in (
                [span.starts for span in spans],
                [span.lengths for span in spans],
                [[span.shared_start] for span in spans],
                [[span.shared] for span in spans],
            )
        )
        padding = -(prompt + first + width) % _KEYS
        place = torch.arange(first + width + padding, device=device)
        own = torch.where(place < lengths[..., None], starts[..., None] + place, none)
        column = torch.arange(prompt, device=device)
        common = torch.where(column < shared, shared_start + column, none)
        # Families whose prompts are of one length share their bias: places in a sequence are all that it depends on.
        shared = shared.unique(dim=0) if (shared == shared[0]).all() else shared
        beyond = torch.where(column < shared, column, _NOWHERE)
        return Block(
            queries=own[..., first : first + width],
            keys=torch.cat([common[:, None].expand(-1, own.shape[1], -1), own], dim=2),
            num_shared=prompt,
            _query_places=shared + place[first : first + width],
            _key_places=torch.cat([beyond, shared + place], dim=1),
        )


def _spans(family: Family) -> Iterator[Span]:
    """The family's prompt, whose tokens share no keys, and its completions, which share the prompt's."""
    yield from _by_queries(family.start, 0, (family.start,), (family.prompt,))
    behind = family.start + family.prompt
    starts = tuple(accumulate(family.own, initial=behind))[:-1]
    # A completion of one token reads nothing of its own.
    members = [(start, length) for start, length in zip(starts, family.own, strict=True) if length]
    if members:
        starts, lengths = zip(*members, strict=True)
        yield from _by_queries(family.start, family.prompt, starts, lengths)


def _by_queries(shared_start: int, shared: int, starts: tuple[int, ...], lengths: tuple[int, ...]) -> Iterator[Span]:
    for first in range(0, max(lengths), _QUERIES):
        members = [(start, length) for start, length in zip(starts, lengths, strict=True) if length > first]
        longest = max(length for _, length in members)
        yield Span(
            shared_start=shared_start,
            shared=shared,
            starts=tuple(start for start, _ in members),
            lengths=tuple(length for _, length in members),
            first=first,
            queries=min(_QUERIES, longest - first),
        )


def _split(span: Span, most_scores: int) -> Iterator[Span]:
    """``span`` in parts with fewer members; members are in order of length, so a part is no wider than it must be."""
    count = max(1, most_scores * len(span.starts) // max(1, span.scores))
    for low in range(0, len(span.starts), count):
        lengths = span.lengths[low : low + count]
        yield Span(
            shared_start=span.shared_start,
            shared=span.shared,
            starts=span.starts[low : low + count],
            lengths=lengths,
            first=span.first,
            queries=min(span.queries, max(lengths) - span.first),
        )


def _runs(spans: Sequence[Span], most_scores: int) -> Iterator[list[Span]]:
    """Neighbours that may share a block: as many members, the same first query, and little padding."""
    run: list[Span] = []
    for span in spans:
        if run and not _fits([*run, span], most_scores):
            yield run
            run = []
        run.append(span)
    if run:
        yield run


def _fits(run: Sequence[Span], most_scores: int) -> bool:
    last, before = run[-1], run[-2]
    if (len(last.starts), last.first) != (len(before.starts), before.first):
        return False
    queries, shared = max(span.queries for span in run), max(span.shared for span in run)
    scores = len(run) * len(last.starts) * queries * (shared + last.first + queries)
    return scores <= min(most_scores, _PADDING * sum(span.scores for span in run))
