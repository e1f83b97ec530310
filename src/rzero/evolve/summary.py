"""The numbers and the table that are shown after each iteration. Everything is read back from the run directory."""

from __future__ import annotations

from statistics import fmean
from typing import Any

from rich.markup import escape
from rich.table import Table

from rzero.runs.atomic import read_json, write_json
from rzero.runs.store import RunDirectory
from rzero.types import Phase

KINDS = ("greedy", "mean", "maj", "pass")
"""The accuracies that an evaluation may hold; the last three are followed by @k."""

_BARS = "·▁▂▃▄▅▆▇█"  # zero must show: a table cell loses blanks at its ends


def summarise(run: RunDirectory, iteration: int) -> dict[str, Any]:
    """Collect one iteration's numbers and write them to its ``summary.json``. Iteration 0 has its evaluation alone."""
    summary: dict[str, Any] = {"iteration": iteration}
    if iteration > 0:
        challenger = _steps(run, iteration, Phase.TRAIN_CHALLENGER)
        pool = read_json(run.phase(iteration, Phase.GENERATE_QUESTIONS).file("statistics.json"))
        curriculum = read_json(run.phase(iteration, Phase.BUILD_CURRICULUM).file("statistics.json"))
        summary |= {
            "challenger": _means(challenger),
            "pool": pool,
            "curriculum": curriculum,
            "solver": _means(_steps(run, iteration, Phase.TRAIN_SOLVER)),
        }
        stopped = run.phase(iteration, Phase.VOTE).file("statistics.json")
        if stopped.exists():
            summary["votes"] = read_json(stopped)
        if run.labels_path(iteration).exists():
            summary["labels"] = read_json(run.labels_path(iteration))
    summary["evaluation"] = read_json(run.phase(iteration, Phase.EVALUATE).file("evaluation.json"))["results"]
    write_json(run.summary_path(iteration), summary)
    return summary


def table(summaries: list[dict[str, Any]]) -> Table:
    """All iterations side by side, one column each."""
    shown = Table(title="R-Zero by iteration", title_justify="left")
    shown.add_column("")
    for summary in summaries:
        shown.add_column("base" if summary["iteration"] == 0 else f"iteration {summary['iteration']}", justify="right")
    for label, cells in _lines(summaries):
        if any(cells):
            shown.add_row(escape(label), *cells)
    return shown


def _lines(summaries: list[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    def line(label: str, *path: str, style: str = "{:.3f}") -> tuple[str, list[str]]:
        return label, [_format(_get(summary, path), style) for summary in summaries]

    def bounds(label: str, section: str, name: str) -> tuple[str, list[str]]:
        """A mean, or where votes were cancelled what it lies between."""
        return label, [_between(*_ends(summary, section, name)) for summary in summaries]

    lines = [
        line("Challenger: mean reward", "challenger", "mean_reward"),
        bounds("  uncertainty", "challenger", "mean_uncertainty"),
        line("  repetition", "challenger", "mean_repetition"),
        line("  format passed", "challenger", "format_ok_frac", style="{:.0%}"),
        line("  distinct questions", "challenger", "distinct_frac", style="{:.0%}"),
        line("  cut off", "challenger", "cut_off_frac", style="{:.0%}"),
        line("Pool: sampled", "pool", "num_sampled", style="{}"),
        line("  distinct, well-formed", "pool", "num_distinct", style="{}"),
        line("  repeated", "pool", "num_repeated", style="{}"),
        ("  malformed", [_count(_get(summary, ("pool", "malformed"))) for summary in summaries]),
        bounds("Votes: mean p̂", "curriculum", "mean_self_consistency_all"),
        ("  p̂ from 0 to 1", [_histogram(_whole(summary, "agree_all")) for summary in summaries]),
        line("  cancelled", "votes", "num_cancelled", style="{}"),
        line("  tokens saved (estimate)", "votes", "saved_tokens", style="{}"),
        ("  valid", [_valid(_get(summary, ("curriculum", "votes"))) for summary in summaries]),
        line("Curriculum: kept", "curriculum", "num_kept", style="{}"),
        line("  rejected: invalid", "curriculum", "rejected", "invalid", style="{}"),
        line("  rejected: too hard", "curriculum", "rejected", "too_hard", style="{}"),
        line("  rejected: too easy", "curriculum", "rejected", "too_easy", style="{}"),
        bounds("  mean p̂ of kept", "curriculum", "mean_self_consistency_kept"),
        line("Solver: mean reward", "solver", "mean_reward"),
        line("  cut off", "solver", "cut_off_frac", style="{:.0%}"),
        line("  groups without variance", "solver", "zero_variance_frac", style="{:.0%}"),
    ]
    lines += [
        line("Oracle: answerable", "labels", "all", "valid_frac", style="{:.1%}"),
        line("  answerable, kept", "labels", "kept", "valid_frac", style="{:.1%}"),
        line("  label accuracy", "labels", "all", "label_accuracy", style="{:.1%}"),
        line("  label accuracy, kept", "labels", "kept", "label_accuracy", style="{:.1%}"),
        line("  difficulty", "labels", "all", "mean_difficulty", style="{:.2f}"),
        line("  difficulty, kept", "labels", "kept", "mean_difficulty", style="{:.2f}"),
    ]
    for name in dict.fromkeys(name for summary in summaries for name in summary["evaluation"]):
        found = [summary["evaluation"].get(name) or {} for summary in summaries]
        kinds = [
            kind
            for kind in dict.fromkeys(kind for result in found for kind in result)
            if kind.partition("@")[0] in KINDS
        ]
        lines += [(f"{name}: {kind}", [_interval(result.get(kind)) for result in found]) for kind in kinds]
        lengths = [_get(result, ("sampled", "mean_completion_tokens")) for result in found]
        lines.append(("  tokens per sampled answer", [_format(length, "{:.1f}") for length in lengths]))
    return lines


def _steps(run: RunDirectory, iteration: int, phase: Phase) -> list[dict[str, float]]:
    return [read_json(path) for path in sorted(run.phase(iteration, phase).root.glob("steps/step_*/metrics.json"))]


def _means(steps: list[dict[str, float]]) -> dict[str, float]:
    """Each metric's mean over the steps that have it."""
    names = dict.fromkeys(name for step in steps for name in step)
    return {name: fmean(step[name] for step in steps if name in step) for name in names}


def _get(summary: dict[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = summary
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _ends(summary: dict[str, Any], section: str, name: str) -> tuple[float | None, float | None]:
    """A value twice, or its bounds."""
    value = _get(summary, (section, name))
    if value is not None:
        return value, value
    if bounds := _get(summary, (section, "stopped_early", name)):
        return bounds[0], bounds[1]
    return _get(summary, (section, f"{name}_low")), _get(summary, (section, f"{name}_high"))


def _between(low: float | None, high: float | None) -> str:
    """One number, or two that the value lies between.

    >>> _between(0.25, 0.25), _between(0.25, 0.5), _between(None, None)
    ('0.250', '0.250–0.500', '')
    """
    if low is None or high is None:
        return ""
    return f"{low:.3f}" if low == high else f"{low:.3f}–{high:.3f}"


def _whole(summary: dict[str, Any], name: str) -> Any:
    """A histogram of p̂, which says something only if it holds all questions."""
    return None if _get(summary, ("curriculum", "stopped_early")) else _get(summary, ("curriculum", name))


def _format(value: Any, style: str) -> str:
    return "" if value is None else style.format(value)


def _count(malformed: dict[str, int] | None) -> str:
    return "" if malformed is None else str(sum(malformed.values()))


def _valid(votes: dict[str, int] | None) -> str:
    return "" if not votes or not sum(votes.values()) else f"{votes['valid'] / sum(votes.values()):.0%}"


def _histogram(counts: list[int] | None) -> str:
    """One bar for each possible number of agreeing votes.

    >>> _histogram([0, 1, 4, 2])
    '·▂█▄'
    """
    if not counts or not max(counts):
        return ""
    return "".join(_BARS[-(-count * (len(_BARS) - 1) // max(counts))] for count in counts)


def _interval(found: dict[str, Any] | None) -> str:
    """An accuracy in percent with its 95 % interval."""
    return "" if found is None else f"{found['value']:.1%} [{found['low']:.1%}, {found['high']:.1%}]"
