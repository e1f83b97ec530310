from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rzero.engines.paged.pages import OutOfPagesError, Pages


@given(st.lists(st.integers(-6, 6), max_size=60), st.integers(1, 40))
def test_no_page_has_two_owners_and_none_is_lost(steps: list[int], limit: int) -> None:
    pages, owned = Pages(limit), []
    for step in steps:
        if step >= 0:
            if step > limit - len(owned):
                with pytest.raises(OutOfPagesError):
                    pages.take(step)
            else:
                owned += pages.take(step)
        else:
            pages.give_back(owned[step:])
            del owned[step:]
        assert len(set(owned)) == len(owned) and all(0 <= page < pages.capacity <= limit for page in owned)
        assert pages.available == limit - len(owned)


def test_no_more_pages_exist_than_were_asked_for_at_once() -> None:
    pages = Pages(1000)
    assert pages.take(10) == list(range(10))
    assert pages.capacity == 10
    pages.give_back([3, 4])
    assert sorted(pages.take(2)) == [3, 4]
    pages.take(1)
    assert pages.capacity == 15  # half as many again: growing copies
