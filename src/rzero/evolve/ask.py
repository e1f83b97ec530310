"""Questions to a checkpoint, with votes and p̂: what a Solver thinks, and how sure it is."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from rzero import domains
from rzero.config import Config, load
from rzero.errors import ConfigError, RunDirectoryError
from rzero.evolve.context import Parts, sampling
from rzero.evolve.lineage import Lineage
from rzero.evolve.open_engine import open_engine
from rzero.evolve.plan import find_model
from rzero.evolve.voting import VotedQuestion, vote_on
from rzero.grading.grader import Grader
from rzero.models.checkpoint import base_directory, is_adapter
from rzero.runs.console import Console
from rzero.runs.store import RunDirectory
from rzero.seeds import derive_seed
from rzero.types import Phase, VoteStatus

WIDTH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What a user named: options, a Solver and a Challenger; ``base``, if they are adapters, is what they are of."""

    config: Config
    base: Path
    solver: Path
    challenger: Path


def from_run(root: Path, iteration: int | None) -> Source:
    """A run's options, Solver and Challenger after ``iteration`` (None: the latest finished one; 0: the base)."""
    config = RunDirectory.recorded_config(root)
    run = RunDirectory(root)
    lineage = Lineage(config=config, run=run, base=run.base)
    finished = [0, *(number for number, phase in run.state.completed if phase is Phase.TRAIN_SOLVER)]
    chosen = finished[-1] if iteration is None else iteration
    if chosen not in finished:
        raise RunDirectoryError(f"{root} has no finished Solver of iteration {chosen}; it has those of {finished}")
    solver = lineage.solver(chosen)
    # The model may have moved since an adapter was written. A whole Solver needs no base.
    base = run.base if is_adapter(solver) else solver
    return Source(config=config, base=base, solver=solver, challenger=lineage.challenger(chosen))


def ask(source: Source, *, questions: Sequence[str], write: int = 0) -> Iterator[str]:
    """Lines for the terminal: the given questions and ``write`` new ones of the Challenger, each with its votes."""
    config, solver = source.config, source.solver
    with (
        Grader(timeout_s=config.grading.timeout_s, workers=config.grading.workers) as grader,
        closing(open_engine(config, source.base)) as engine,
    ):
        parts = Parts(
            config=config,
            domain=domains.load(config.domain),
            grader=grader,
            engine=engine,
            console=Console("none"),
        )
        asked = list(questions)
        if write:
            written, malformed = _write(parts, source.challenger, write, derive_seed(config.seed, "ask", "questions"))
            asked += written
            if malformed:
                yield f"({malformed} of {write} completions of the Challenger held no question)\n"
        sampler = parts.engine.sampler(solver)
        for voted, question in zip(
            vote_on(parts, asked, sampler=sampler, seed=derive_seed(config.seed, "ask", "votes")), asked, strict=True
        ):
            yield from _show(parts, question, voted)


def find(name: str, *, preset: str, iteration: int | None) -> Source:
    """What a user named: a run directory, or a model with a preset's options. Raises ConfigError or ModelError."""
    if RunDirectory.exists(Path(name)):
        return from_run(Path(name), iteration)
    if iteration is not None:
        raise ConfigError(f"{name!r} is not a run directory, so it has no iteration {iteration}")
    config = load(preset, {"model.path": name})
    model = find_model(config)
    base = base_directory(model) if is_adapter(model) else model
    return Source(config=config, base=base, solver=model, challenger=model)


def _write(parts: Parts, challenger: Path, number: int, seed: int) -> tuple[list[str], int]:
    """Questions of the Challenger, and how many completions held none."""
    options, prompt = parts.config.generate, parts.domain.challenger_prompt()
    params = sampling(options, n=number, max_new_tokens=parts.config.challenger.max_new_tokens, seed=seed)
    _, groups = parts.sample(parts.engine.sampler(challenger), [prompt], params)
    parsed = [parts.domain.parse_question(prompt.prefill + completion.text).text for completion in groups[0]]
    questions = [text for text in parsed if text is not None]
    return questions, number - len(questions)


def _show(parts: Parts, question: str, voted: VotedQuestion) -> Iterator[str]:
    tally = voted.tally
    yield textwrap.fill(_printable(question), WIDTH)
    label = "no answer" if tally.pseudo_label is None else _printable(tally.pseudo_label)
    tied = ", tied" if tally.tied else ""
    yield f"  p̂ = {tally.self_consistency:.2f}: {tally.num_agree} of {tally.num_votes} votes say {label}{tied}"
    if parts.domain.oracle is not None:
        truth = parts.domain.oracle.solve(question)
        yield f"  true answer: {truth.answer}" if truth.problem is None else f"  ill-posed: {truth.problem}"
    counts = Counter(
        vote.answer if vote.answer is not None else f"({vote.status})".replace("_", " ") for vote in voted.votes
    )
    for answer, number in counts.most_common(6):
        yield f"    {number:3} x {_printable(answer)}"
    example = next(
        (
            completion.text
            for vote, completion in zip(voted.votes, voted.completions, strict=True)
            if vote.status is VoteStatus.VALID and vote.answer == tally.pseudo_label
        ),
        voted.completions[0].text,
    )
    yield textwrap.indent(textwrap.fill(_printable(example), WIDTH), "  | ")
    yield ""


def _printable(text: str) -> str:
    """Model-written text may hold control sequences, which a terminal would obey."""
    return "".join(character if character.isprintable() or character == "\n" else "�" for character in text)
