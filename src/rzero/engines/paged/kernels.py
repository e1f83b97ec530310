"""The protocol of the attention kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor


class Kernel(Protocol):
    """Keys and values in pages, and the attention of new tokens over them.

    The pools of a layer hold all pages; their layout is the kernel's own. Pages are numbered alike in all layers.
    """

    page_size: int
    """Tokens in a page."""

    wide_tables: bool
    """Whether columns of a table behind a row's length cost nothing."""

    def pool(self, num_pages: int, like: Tensor) -> Tensor:
        """An empty pool for keys or values like ``like`` [..., kv_heads, D]; its first dimension is the pages."""
        ...

    def store(self, pools: tuple[Tensor, Tensor], key: Tensor, value: Tensor, pages: Tensor, offsets: Tensor) -> None:
        """Write ``key`` and ``value`` [N, kv_heads, D]: token i to place ``offsets[i]`` of page ``pages[i]``, int32."""
        ...

    def attend(
        self,
        query: Tensor,
        pools: tuple[Tensor, Tensor],
        table: Tensor,
        owners: Tensor,
        lengths: Tensor,
        *,
        scaling: float,
        sliding_window: int | None,
        softcap: float | None,
    ) -> Tensor:
        """[N, H, D]: each ``query`` [N, H, D] over the first ``lengths`` [N] tokens of the sequence that owns it.

        ``table`` [R, P] lists the pages of R sequences, ``owners`` [N] the row of each query in it, in ascending order
        and none left out; the lengths of one owner's queries rise by one. All int32.
        """
        ...
