from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from rzero.evolve.train_solver import choose
from rzero.types import CurriculumItem


def items(number: int) -> list[CurriculumItem]:
    return [
        CurriculumItem(question_id=str(index), question="q", pseudo_label="1", self_consistency=0.5)
        for index in range(number)
    ]


@given(number=st.integers(1, 12), per_step=st.integers(1, 15), steps=st.integers(1, 6), seed=st.integers(0, 3))
def test_steps_hold_no_question_twice_and_use_all_evenly(number: int, per_step: int, steps: int, seed: int) -> None:
    curriculum = items(number)
    used: Counter[str] = Counter()
    for step in range(1, steps + 1):
        chosen = [item.question_id for item in choose(curriculum, step, per_step=per_step, seed=seed)]
        assert len(chosen) == len(set(chosen)) == min(per_step, number)
        used.update(chosen)
    counts = [used[item.question_id] for item in curriculum]
    assert max(counts) - min(counts) <= 2


def test_the_order_is_the_seeds() -> None:
    curriculum = items(10)
    assert choose(curriculum, 4, per_step=3, seed=1) != choose(curriculum, 4, per_step=3, seed=2)
    assert choose(curriculum, 4, per_step=10, seed=1) != choose(curriculum, 5, per_step=10, seed=1)
