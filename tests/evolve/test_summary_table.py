from __future__ import annotations

from io import StringIO

from rich.console import Console

from rzero.evolve.summary import table


def rendered(agree: list[int], name: str = "amc[v2]") -> str:
    accuracy = {"value": 0.5, "low": 0.25, "high": 0.75}
    summaries = [
        {"iteration": 0, "evaluation": {name: {"greedy": accuracy, "mean@8": accuracy}}},
        {"iteration": 1, "curriculum": {"agree_all": agree}, "evaluation": {name: {"greedy": accuracy}}},
    ]
    text = StringIO()
    Console(file=text, width=120).print(table(summaries))
    return text.getvalue()


def test_the_histogram_shows_where_it_is_empty() -> None:
    hard, easy = rendered([0, 1, 4, 2, 0, 0, 0]), rendered([0, 0, 0, 0, 1, 4, 2])
    assert "·▂█▄···" in hard and "····▂█▄" in easy


def test_accuracies_of_all_kinds_with_intervals_and_names_as_they_are() -> None:
    shown = rendered([1])
    assert "amc[v2]: greedy" in shown and "amc[v2]: mean@8" in shown
    assert shown.count("50.0% [25.0%, 75.0%]") == 3


def test_where_votes_were_cancelled_a_mean_is_shown_with_its_bounds_and_no_histogram() -> None:
    curriculum = {
        "agree_all": [0, 1],
        "mean_self_consistency_all": None,
        "stopped_early": {"mean_self_consistency_all": [0.5, 0.75]},
    }
    challenger = {"mean_uncertainty_low": 0.25, "mean_uncertainty_high": 0.25}
    summary = {"iteration": 1, "challenger": challenger, "curriculum": curriculum, "evaluation": {}}
    text = StringIO()
    Console(file=text, width=120).print(table([summary | {"votes": {"num_cancelled": 3, "saved_tokens": 40}}]))
    shown = text.getvalue()
    assert "0.500–0.750" in shown and "0.250" in shown and "█" not in shown
    assert "tokens saved (estimate)" in shown and "40" in shown
