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
