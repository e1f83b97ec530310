"""What every phase is handed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rzero.config import Config, GenerateConfig, SamplingConfig
from rzero.domains.base import Domain
from rzero.engines.base import OnFinish, Sampler, SamplingParams
from rzero.evolve.engine import Engine
from rzero.evolve.lineage import Lineage
from rzero.grading.grader import Grader
from rzero.runs.console import Console
from rzero.runs.store import PhaseDirectory, RunDirectory
from rzero.runs.trackers.base import Tracker
from rzero.seeds import derive_seed
from rzero.types import Completion, FinishReason, Phase, Prompt


def sampling(options: SamplingConfig | GenerateConfig, *, n: int, max_new_tokens: int, seed: int) -> SamplingParams:
    """How the options of a section say to draw ``n`` completions of each prompt."""
    return SamplingParams(
        n=n,
        max_new_tokens=max_new_tokens,
        temperature=options.temperature,
        top_p=options.top_p,
        top_k=options.top_k,
        seed=seed,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What sampling and voting need: the options, and the parts that they chose."""

    config: Config
    domain: Domain
    grader: Grader
    engine: Engine
    console: Console

    def sample(
        self,
        sampler: Sampler,
        prompts: Sequence[Prompt],
        params: SamplingParams,
        *,
        on_progress: Callable[[int], None] | None = None,
        on_finish: OnFinish | None = None,
    ) -> tuple[list[Sequence[int]], list[list[Completion]]]:
        """Render and sample: token ids of the prompts, and ``params.n`` completions for each.

        Prompts that are sampled together stop alike, at the strings of the first.

        A question so long that its prompt leaves no room in the model's context is data, not an error: its completions
        are empty and cut off, and ``on_finish`` is told of them first.
        """
        rendered = [self.engine.render(prompt) for prompt in prompts]
        fits = [index for index, ids in enumerate(rendered) if len(ids) < self.engine.max_context]
        params = replace(params, stop=prompts[0].stop if prompts else ())
        nothing = Completion(token_ids=(), logprobs=(), finish_reason=FinishReason.LENGTH, text="")
        groups = [[nothing] * params.n for _ in prompts]

        if on_finish is not None:
            for index in set(range(len(prompts))) - set(fits):
                for completion in range(params.n):
                    on_finish(index, completion, nothing)
        sampled = sampler.generate(
            [rendered[index] for index in fits],
            params,
            on_progress=on_progress,
            on_finish=None if on_finish is None else lambda i, j, made: on_finish(fits[i], j, made),
        )
        for index, group in zip(fits, sampled, strict=True):
            groups[index] = group
        return rendered, groups


@dataclass(frozen=True, slots=True, kw_only=True)
class Context(Parts):
    """The parts of a run. A phase reads files through ``run``, does its work and writes one artefact."""

    run: RunDirectory
    base: Path
    tracker: Tracker

    @property
    def lineage(self) -> Lineage:
        """Which checkpoint is whose."""
        return Lineage(config=self.config, run=self.run, base=self.base)

    def directory(self, iteration: int, phase: Phase) -> PhaseDirectory:
        """The files of a phase."""
        return self.run.phase(iteration, phase)

    def seed(self, iteration: int, phase: Phase, *place: str | int) -> int:
        """The seed for one place in the run."""
        return derive_seed(self.config.seed, iteration, str(phase), *place)
