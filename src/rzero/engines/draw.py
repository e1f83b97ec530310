"""Draw one token per row from logits, with one uniform number per row.

Without cuts, a token is found by inverting the cumulative distribution in two levels: over sums of blocks of the
vocabulary, then inside one block. That reads the vocabulary a few times and writes no cumulative sum of it, where
``torch.multinomial`` draws one exponential number per entry. On CPUs, ``draw.c`` does it in one pass.

With cuts, the tokens are ordered by falling probability, equal ones by rising id. First the ``top_k`` most likely are
kept; then, of these, the shortest prefix that holds at least ``top_p`` of their probability (never less than one
token). The kept tokens are drawn in proportion to their probabilities. Only tokens that can survive the cut are
sorted: those above a floor that has more than ``top_p`` of the probability above it. On a GPU, how many they are is the
one thing that the host waits for.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import threshold

from rzero.engines.native_draw import native_draw, serves

_BLOCK = 128
_CPU_CHUNK = 1 << 20  # entries of logits that are worked on at a time: 4 MiB in fp32, which stays in the cache
_GPU_CHUNK = 1 << 27
_MARGIN = 1e-5  # far above the rounding error of an fp32 sum of probabilities


def draw(
    logits: Tensor, uniforms: Tensor, *, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0
) -> tuple[Tensor, Tensor]:
    """One token for each row of ``logits`` [R, V], by ``uniforms`` [R] in [0, 1) (fp64).

    Returns token ids [R] (int64) and their log-probabilities [R] (fp32) under softmax(logits / temperature) before the
    cuts. Temperature 0 takes the most likely token (of equal ones the lowest id), its log-probability is under
    softmax(logits). A token of probability zero is never drawn. Rows that hold NaN or +inf get the log-probability NaN.
    """
    rows, vocab_size = logits.shape
    if not top_k and top_p >= 1.0 and serves(logits):
        return native_draw(logits, uniforms, temperature=temperature)
    chunk = max(1, (_CPU_CHUNK if logits.device.type == "cpu" else _GPU_CHUNK) // vocab_size)
    padded = -(-vocab_size // _BLOCK) * _BLOCK
    mass = torch.zeros(min(chunk, rows), padded, device=logits.device)
    drawn = [
        _draw_chunk(
            logits[start : start + chunk],
            uniforms[start : start + chunk],
            mass[: min(chunk, rows - start)],
            temperature=temperature,
            top_k=top_k if top_k < vocab_size else 0,
            top_p=top_p,
        )
        for start in range(0, rows, chunk)
    ]
    return torch.cat([tokens for tokens, _ in drawn]), torch.cat([logprobs for _, logprobs in drawn])


def _draw_chunk(
    logits: Tensor, uniforms: Tensor, mass: Tensor, *, temperature: float, top_k: int, top_p: float
) -> tuple[Tensor, Tensor]:
    """``mass`` [r, V rounded up to whole blocks] is scratch, zero in its last columns."""
    probs = mass[:, : logits.shape[1]]
    probs.copy_(logits)
    if temperature not in (0.0, 1.0):
        probs.div_(temperature)
    peak, tokens = probs.max(-1)
    probs.sub_(peak[:, None]).exp_()
    blocks = mass.view(mass.shape[0], -1, _BLOCK).sum(-1).double()
    total = blocks.sum(-1)
    if temperature == 0.0:
        return tokens, (-total.log()).float()
    if top_k or top_p < 1.0:
        probs.div_(total.float()[:, None])
        tokens = _draw_cut(probs, uniforms, top_k=top_k, top_p=top_p)
    else:
        tokens = _draw_uncut(mass, blocks, uniforms).clamp_(max=logits.shape[1] - 1)  # NaN would find no entry
    chosen = logits.gather(-1, tokens[:, None])[:, 0].float() / temperature
    return tokens, ((chosen - peak).double() - total.log()).float()


def _draw_uncut(mass: Tensor, blocks: Tensor, uniforms: Tensor) -> Tensor:
    block, rest = _invert(blocks, uniforms)
    offsets = torch.arange(_BLOCK, device=mass.device)
    entries = mass.gather(-1, block[:, None] * _BLOCK + offsets).double()
    return block * _BLOCK + _invert(entries, rest)[0]


def _draw_cut(probs: Tensor, uniforms: Tensor, *, top_k: int, top_p: float) -> Tensor:
    """Tokens [r] for the rows of ``probs`` [r, V], each of which sums to 1.

    The candidates [n] of all rows lie one behind the other: how many a row has differs a hundredfold.
    """
    floor = probs.topk(top_k).values[:, -1] if top_k else _nucleus_floor(probs, top_p)
    # Of a row that is not numbers all entries are candidates, without weight: something must come out of it, too.
    row, token = (probs < floor[:, None]).logical_not_().nonzero(as_tuple=True)
    weights = probs[row, token].nan_to_num_(nan=0.0)
    # The bits of positive floats are ordered as they are, so one key sorts by row, then by falling probability.
    order = ((row << 32) - weights.view(torch.int32)).sort(stable=True).indices
    weights, token = weights[order].double(), token[order]
    count = row.new_zeros(probs.shape[0]).index_add_(0, row, torch.ones_like(row))  # bincount would wait for a GPU
    stop = count.cumsum(0)
    start = stop - count
    if top_k:
        rank = torch.arange(row.shape[0], device=row.device) - start[row]
        weights.masked_fill_(rank >= top_k, 0.0)
    if top_p < 1.0:
        edges = _edges(weights)
        whole = edges[stop] - edges[start] if top_k else torch.ones_like(uniforms)
        beyond = edges[:-1] - edges[start][row] >= (top_p * whole)[row]
        beyond.index_fill_(0, start, False)
        weights.masked_fill_(beyond, 0.0)
    edges = _edges(weights)
    first, last = edges[start], edges[stop]
    target = torch.minimum(first + uniforms * (last - first), last.nextafter(torch.zeros_like(last)))
    return token[torch.searchsorted(edges[1:], target, right=True).clamp_(max=row.shape[0] - 1)]


def _edges(weights: Tensor) -> Tensor:
    """Where each of ``weights`` [n] begins when they are laid end to end, and where the last one ends: [n + 1]."""
    edges = weights.new_zeros(weights.shape[0] + 1)
    torch.cumsum(weights, 0, out=edges[1:])
    return edges


def _nucleus_floor(probs: Tensor, top_p: float) -> Tensor:
    """[r] A bound with more than ``top_p`` of the row's probability above it; 0 where none of those tried has that."""
    floor = probs.new_zeros(probs.shape[0])
    level = (1.0 - top_p) / probs.shape[1]
    while level < 0.5:
        # threshold() keeps what is greater, so nothing is kept that is below the floor.
        enough = threshold(probs, level, 0.0).sum(-1) >= top_p + _MARGIN
        floor.masked_fill_(enough, level)
        level *= 8.0
    return floor


def _invert(weights: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor]:
    """The entry [r] of ``weights`` [r, n] (fp64) that each uniform number falls on, and where in it, in [0, 1).

    Only entries whose weight is not zero can be hit: the first one whose cumulative sum is *greater* than the target is
    taken, and rounding may not push the target up to the total.
    """
    cumulative = weights.cumsum(-1)
    total = cumulative[:, -1:]
    target = torch.minimum(uniforms[:, None] * total, total.nextafter(torch.zeros_like(total)))
    index = torch.searchsorted(cumulative, target, right=True).clamp_(max=weights.shape[1] - 1)
    width = weights.gather(-1, index)
    below = cumulative.gather(-1, index) - width
    return index[:, 0], ((target - below) / width).clamp(0.0, 1.0)[:, 0]
