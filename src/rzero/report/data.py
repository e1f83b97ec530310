"""What a report shows, as plain values: collected from run directories, written into the page as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A number with the ends of its 95 % interval; None where the run directory has nothing to derive them from."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """One number of the health strip. ``status`` is ``healthy``, ``watch`` or ``unknown``."""

    name: str
    value: float | None
    status: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """One iteration's pool by columns, each [questions]; model-written text is cut to what the page has room for.

    ``ballots`` holds, for each question, ``[answer or None, status, count]`` for each distinct vote.
    ``hidden_characters`` says how much of a text was cut. ``cluster`` numbers the groups of similar questions, and
    ``cluster_size`` counts the questions in the row's group. ``total`` is the size of the pool, of which the columns
    hold an even sample where the page has no room for all.
    """

    total: int
    id: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    hidden_characters: list[int] = field(default_factory=list)
    label: list[str | None] = field(default_factory=list)
    self_consistency: list[float] = field(default_factory=list)
    verdict: list[str] = field(default_factory=list)
    tied: list[bool] = field(default_factory=list)
    cluster: list[int] = field(default_factory=list)
    cluster_size: list[int] = field(default_factory=list)
    ballots: list[list[tuple[str | None, str, int]]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutCard:
    """A rollout worth reading: ``facts`` are names and values to stand beside its texts."""

    reward: float
    question: str | None
    completion: str
    hidden_characters: int
    facts: list[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Extremes:
    """The rollouts with the highest and the lowest reward of one role, in the last step of its phase."""

    role: str
    step: int
    best: list[RolloutCard]
    worst: list[RolloutCard]


@dataclass(frozen=True, slots=True, kw_only=True)
class Iteration:
    """One iteration; 0 is the base model, of which only ``accuracy`` and the evaluation's ``figures`` exist.

    ``accuracy`` is by test file and kind (``greedy``, ``mean@k``, ...). ``benchmarks`` are the headlines of
    ``rzero eval --run``, and their averages, by "benchmark: kind". ``figures`` are by dotted name
    (``docs/report.md`` lists them). ``agree_all`` and ``agree_kept`` are histograms over the votes in the majority.
    """

    iteration: int
    finished: bool
    accuracy: dict[str, dict[str, Figure]] = field(default_factory=dict)
    benchmarks: dict[str, Figure] = field(default_factory=dict)
    figures: dict[str, Figure] = field(default_factory=dict)
    agree_all: list[int] = field(default_factory=list)
    agree_kept: list[int] = field(default_factory=list)
    health: list[Health] = field(default_factory=list)
    questions: Questions | None = None
    extremes: list[Extremes] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepMetrics:
    """The metrics of one training step."""

    iteration: int
    phase: str
    step: int
    metrics: dict[str, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionValue:
    """One option of a run, with the default that it has or changes."""

    name: str
    value: Any
    default: Any
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Everything that the report shows of one run. ``band`` is the band's two ends."""

    name: str
    created: str
    model: str
    seed: int
    band: tuple[float, float]
    versions: dict[str, str]
    options: list[OptionValue]
    iterations: list[Iteration]
    steps: list[StepMetrics]


@dataclass(frozen=True, slots=True, kw_only=True)
class AblationRow:
    """Runs that share all options but the seed, against the first row.

    ``accuracy`` and ``difference`` (from the first row) are by test file; ``figures`` by dotted name, as in
    :class:`Iteration`.
    """

    name: str
    changes: list[str]
    runs: list[str]
    accuracy: dict[str, Figure]
    difference: dict[str, Figure]
    figures: dict[str, Figure]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ablation:
    """Runs that differ by options, after the last iteration that all of them finished."""

    iteration: int
    rows: list[AblationRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The whole page."""

    title: str
    written: str
    rzero: str
    runs: list[Run]
    ablation: Ablation | None
    notes: list[str]
