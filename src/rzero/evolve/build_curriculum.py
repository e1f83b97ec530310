"""Phase 4: the band filter. Every question that is not kept is counted under its reason."""

from __future__ import annotations

from dataclasses import asdict

from rzero.curriculum.build import Statistics, build
from rzero.errors import StalledError
from rzero.evolve.context import Context
from rzero.evolve.voting import tally_from_row
from rzero.runs.atomic import write_json
from rzero.types import Phase

PHASE = Phase.BUILD_CURRICULUM


def build_curriculum(context: Context, iteration: int) -> None:
    """Write ``curriculum.jsonl`` and ``statistics.json``. Raises StalledError if too few questions are in the band."""
    options = context.config.curriculum
    rows = context.directory(iteration, Phase.VOTE).rows("votes.jsonl")
    items, statistics = build(
        [(row["id"], row["question"]) for row in rows],
        [tally_from_row(row) for row in rows],
        band_low=options.band_low,
        band_high=options.band_high,
        min_valid_frac=context.config.vote.min_valid_frac,
    )
    directory = context.directory(iteration, PHASE)
    directory.write_rows("curriculum.jsonl", [asdict(item) for item in items])
    write_json(directory.file("statistics.json"), statistics.as_dict())
    if len(items) < options.min_questions:
        raise StalledError(_advice(context, iteration, statistics))
    context.run.state.complete(iteration, PHASE)


def _advice(context: Context, iteration: int, statistics: Statistics) -> str:
    """What to change, told from where the questions went."""
    options = context.config.curriculum
    rejected = statistics.rejected
    counts = ", ".join(f"{number} {reason}" for reason, number in rejected.items())
    advice = {
        "invalid": "raise vote.max_new_tokens, lower vote.min_valid_frac, or use a model that follows the answer "
        "format",
        "too_hard": "lower curriculum.band_low or vote.temperature, or use a domain with easier questions",
        "too_easy": "raise curriculum.band_high or vote.temperature, or train the Challenger longer (challenger.steps)",
    }
    if statistics.num_questions == 0:
        hint = "the Challenger wrote no well-formed question: raise challenger.max_new_tokens or generate.num_questions"
    elif not any(rejected.values()):
        hint = "raise generate.num_questions or lower curriculum.min_questions"
    else:
        hint = advice[max(rejected, key=lambda reason: rejected[reason])]
    return (
        f"iteration {iteration}: the curriculum has {statistics.num_kept} of {statistics.num_questions} questions "
        f"({counts}), fewer than "
        f"curriculum.min_questions={options.min_questions}, so the Solver has nothing to learn from; {hint}, with "
        f"another --out"
    )
