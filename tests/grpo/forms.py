"""The two forms of micro-batches, and rows cut into either."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from rzero.grpo.batch import MicroBatch, Row, packed_microbatch, packed_parts, padded_microbatch, padded_parts

Form = tuple[Callable[[Sequence[Row], int], list[list[Row]]], Callable[..., MicroBatch]]
PACKED: Form = (packed_parts, packed_microbatch)
PADDED: Form = (padded_parts, padded_microbatch)


def microbatches(form: Form, rows: Sequence[Row], limit: int, dtype: torch.dtype) -> list[MicroBatch]:
    parts, microbatch = form
    return [microbatch(part, dtype=dtype, device=torch.device("cpu")) for part in parts(rows, limit)]
