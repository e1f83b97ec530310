from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rzero.curriculum.build import build
from rzero.types import Rejection, Tally, VoteStatus


@st.composite
def tallies(draw: st.DrawFn) -> Tally:
    num_valid, cut_off, unparsed, timeout = (draw(st.integers(0, 6)) for _ in range(4))
    num_votes = num_valid + cut_off + unparsed + timeout
    if num_votes == 0:
        num_votes = cut_off = 1
    agree = draw(st.integers(1, num_valid)) if num_valid else 0
    return Tally(
        num_votes=num_votes,
        num_valid=num_valid,
        num_agree=agree,
        pseudo_label="7" if agree else None,
        tied=draw(st.booleans()) and 2 * agree <= num_valid and agree > 0,
        num_unparsed=unparsed,
        num_cut_off=cut_off,
        num_timeout=timeout,
    )


@given(st.lists(tallies(), max_size=12), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_every_question_and_vote_ends_in_one_counter(
    voted: list[Tally], one: float, other: float, min_valid_frac: float
) -> None:
    questions = [(f"q{i}", f"What is {i}?") for i in range(len(voted))]
    items, statistics = build(
        questions, voted, band_low=min(one, other), band_high=max(one, other), min_valid_frac=min_valid_frac
    )
    assert statistics.num_kept == len(items)
    assert statistics.num_kept + sum(statistics.rejected.values()) == statistics.num_questions == len(questions)
    assert set(statistics.rejected) == {reason.value for reason in Rejection}
    assert set(statistics.votes) == {status.value for status in VoteStatus} - {"cancelled"}
    assert sum(statistics.votes.values()) == sum(tally.num_votes for tally in voted)
    assert sum(statistics.agree_all) == len(voted)
    assert sum(statistics.agree_kept) == len(items)
    kept_ids = [item.question_id for item in items]
    assert kept_ids == sorted(kept_ids, key=lambda name: int(name[1:])), "in the order of the questions"
    assert json.loads(json.dumps(statistics.as_dict())) == statistics.as_dict()


def test_counts_and_items_of_a_small_pool() -> None:
    def voted(agree: int, *, valid: int = 10, tied: bool = False) -> Tally:
        return Tally(
            num_votes=10,
            num_valid=valid,
            num_agree=agree,
            pseudo_label=str(agree),
            tied=tied,
            num_cut_off=10 - valid,
        )

    pool = {"a": voted(2, tied=True), "b": voted(3), "c": voted(7), "d": voted(8), "e": voted(4, valid=4)}
    items, statistics = build(
        [(name, name.upper()) for name in pool],
        list(pool.values()),
        band_low=0.25,
        band_high=0.75,
        min_valid_frac=0.5,
    )
    assert [(i.question_id, i.question, i.pseudo_label, i.self_consistency) for i in items] == [
        ("b", "B", "3", 0.3),
        ("c", "C", "7", 0.7),
    ]
    assert statistics.as_dict() == {
        "num_questions": 5,
        "num_kept": 2,
        "num_tied": 1,
        "rejected": {"invalid": 1, "too_hard": 1, "too_easy": 1},
        "votes": {"valid": 44, "unparsed": 0, "cut_off": 6, "timeout": 0},
        "mean_self_consistency_all": pytest.approx(0.48),
        "mean_self_consistency_kept": pytest.approx(0.5),
        "agree_all": [0, 0, 1, 1, 1, 0, 0, 1, 1, 0, 0],
        "agree_kept": [0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0],
    }


def test_empty_pool_has_no_means() -> None:
    items, statistics = build([], [], band_low=0.25, band_high=0.75, min_valid_frac=0.5)
    assert items == []
    assert (statistics.mean_self_consistency_all, statistics.mean_self_consistency_kept) == (None, None)


def test_a_question_without_a_tally_is_refused() -> None:
    with pytest.raises(ValueError, match="1 questions, 0 tallies"):
        build([("a", "What is 1?")], [], band_low=0.25, band_high=0.75, min_valid_frac=0.5)


def test_cancelled_votes_leave_bounds_and_no_false_mean() -> None:
    full = Tally(num_votes=10, num_valid=10, num_agree=4, pseudo_label="7", tied=False)
    easy = Tally(
        num_votes=10, num_valid=8, num_agree=8, pseudo_label="8", tied=True, num_cancelled=2, agree_bounds=(8, 10)
    )
    in_band = Tally(
        num_votes=10, num_valid=9, num_agree=5, pseudo_label="9", tied=False, num_cancelled=1, agree_bounds=(5, 6)
    )
    options = {"band_low": 0.3, "band_high": 0.7, "min_valid_frac": 0.5}
    items, statistics = build([("a", "a"), ("b", "b"), ("c", "c")], [full, easy, in_band], **options)
    assert [item.self_consistency for item in items] == [0.4, None]
    found = statistics.as_dict()
    assert found["stopped_early"] == {
        "num_questions": 2,
        "num_votes": 3,
        "mean_self_consistency_all": (pytest.approx(1.7 / 3), pytest.approx(2.0 / 3)),
        "mean_self_consistency_kept": (pytest.approx(0.45), pytest.approx(0.5)),
    }
    assert found["mean_self_consistency_all"] is None and found["mean_self_consistency_kept"] is None
    assert sum(found["agree_all"]) == 1 and found["num_tied"] == 0
    assert sum(found["votes"].values()) + 3 == 30
    _, whole = build([("a", "a")], [full], **options)
    assert "stopped_early" not in whole.as_dict() and whole.mean_self_consistency_all == 0.4
