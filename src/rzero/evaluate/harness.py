"""The benchmarks through lm-eval's Python API, with rzero's engine as its model. Only this file imports lm-eval.

lm-eval builds the requests, hands all of them over in one list, and writes results and samples in its own formats.
Prompts cross as JSON (messages, prefill, stop strings), so the model's own renderer makes the token ids. The k repeats
of a request come as k consecutive entries of one object and are folded into one rollout of k samples.
"""

from __future__ import annotations

import functools
import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rzero.domains.base import Domain
from rzero.engines.base import SamplingParams
from rzero.errors import EngineError, MissingExtraError
from rzero.evaluate.averages import Figure, harmonic
from rzero.evaluate.benchmarks import Benchmark
from rzero.evaluate.metrics import interval
from rzero.evaluate.rows import Loaded
from rzero.evaluate.scoring import RATES, Scored, figure_names, figures, prompt_for, rates, score
from rzero.evaluate.sources import INSTALL, as_dataset
from rzero.grading.grader import Grader
from rzero.types import Completion, FinishReason, Message, Prompt

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance
    from lm_eval.api.task import ConfigurableTask

Sample = Callable[[Sequence[Prompt], SamplingParams], list[list[Completion]]]
"""Completions [prompts][n] for prompts that stop alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoding:
    """How a task is decoded: greedily if ``k`` is 0, else k samples of each question."""

    k: int
    max_new_tokens: int
    temperature: float
    top_p: float
    top_k: int
    seed: int

    @property
    def params(self) -> SamplingParams:
        """The same for the sampler; the greedy answer needs no random numbers."""
        if self.k == 0:
            return SamplingParams(max_new_tokens=self.max_new_tokens, temperature=0.0)
        return SamplingParams(
            n=self.k,
            max_new_tokens=self.max_new_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            seed=self.seed,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One benchmark under one decoding: one task of lm-eval. ``name`` is that task's."""

    name: str
    benchmark: Benchmark
    loaded: Loaded
    decoding: Decoding


class Response(str):
    """A completion's text that remembers whether it was cut off; lm-eval passes it on as the string that it is."""

    cut_off: bool

    def __new__(cls, completion: Completion) -> Response:
        """The text of ``completion``."""
        response = super().__new__(cls, completion.text)
        response.cut_off = completion.finish_reason is FinishReason.LENGTH
        return response


def run_parts(
    parts: Sequence[Part],
    *,
    domain: Domain,
    grader: Grader,
    sample: Sample,
    limit: int,
    out: Path,
    model: str,
    record: Mapping[str, Any],
) -> dict[str, dict[str, Any]]:
    """Evaluate, and write lm-eval's files below ``out/<model>``: ``results_*.json`` and ``samples_<task>_*.jsonl``.

    Only the first ``limit`` rows of each task (0: all). ``record`` is put into the results file as ``rzero``. Returns,
    for each task, ``num_questions`` and each figure as (value, low, high). Raises EngineError if lm-eval saves nothing.
    """
    lm_eval = require_lm_eval()
    tracker = _tracker(out, model)
    scored: dict[tuple[str, int], Scored] = {}
    tasks = [_task(part, domain=domain, grader=grader, scored=scored) for part in parts]
    results = lm_eval.simple_evaluate(
        model=_language_model(sample, parts, name=model),
        tasks=tasks,
        limit=limit or None,
        bootstrap_iters=1,  # all figures are means, whose standard errors take no bootstrap; 0 would leave them out
        task_manager=_no_tasks(),
    )
    samples = results.pop("samples")
    found: dict[str, dict[str, Any]] = {}
    for part in parts:
        rows = samples[part.name]
        rows.sort(key=lambda row: row["doc_id"])
        found[part.name] = {"num_questions": len(rows)}
        for name, figure in _aggregate(part, rows).items():
            found[part.name][name] = figure
            results["results"][part.name] |= dict(zip(_keys(name), figure, strict=True))
        for row in rows:
            one = scored[part.name, row["doc"]["row"]]
            row |= {"answers": one.answers, "outcomes": [str(outcome) for outcome in one.outcomes]}
    results["rzero"] = dict(record)
    _save(tracker, results, samples, out=out)
    return found


def _aggregate(part: Part, rows: Sequence[Mapping[str, Any]]) -> dict[str, Figure]:
    """Each figure over the questions, and for a benchmark that asks for it the harmonic mean over categories."""
    found = {name: interval([row[name] for row in rows]) for name in rows[0]["metrics"]}
    if part.benchmark.harmonic and part.decoding.k == 0:
        categories: dict[str, list[bool]] = {}
        for row in rows:
            categories.setdefault(row["doc"]["category"], []).append(row["accuracy"] == 1.0)
        found["harmonic"] = harmonic(categories)
    return found


def _keys(figure: str) -> tuple[str, str, str]:
    """The names of a figure and its interval in lm-eval's results."""
    return f"{figure},none", f"{figure}_low95,none", f"{figure}_high95,none"


def _task(part: Part, *, domain: Domain, grader: Grader, scored: dict[tuple[str, int], Scored]) -> ConfigurableTask:
    from lm_eval.api.task import ConfigurableTask

    benchmark, rows = part.benchmark, part.loaded.rows
    prompts = [prompt_for(benchmark, row, domain) for row in rows]

    def process_results(document: dict[str, Any], results: list[list[Response]]) -> dict[str, float]:
        number, responses = document["row"], results[0]
        completions = [prompts[number].prefill + response for response in responses]
        one = score(benchmark, rows[number], completions, domain=domain, grader=grader)
        scored[part.name, number] = one
        return figures(one) | rates(one, [response.cut_off for response in responses])

    repeats = max(1, part.decoding.k)
    metrics = [(name, True) for name in figure_names(repeats)] + [(name, False) for name in RATES]
    return ConfigurableTask(
        config={
            "task": part.name,
            "custom_dataset": lambda **_: as_dataset(rows),
            "test_split": "test",
            "output_type": "generate_until",
            "doc_to_text": lambda document: json.dumps(asdict(prompts[document["row"]]), ensure_ascii=False),
            "doc_to_target": "answer",
            "process_results": process_results,
            "generation_kwargs": {"until": [], "do_sample": part.decoding.k > 0, **asdict(part.decoding)},
            "repeats": repeats,
            "filter_list": [{"name": "none", "filter": [{"function": "take_first_k", "k": repeats}]}],
            "metric_list": [
                {"metric": name, "aggregation": "mean", "higher_is_better": better} for name, better in metrics
            ],
            "metadata": {"version": 1},
        }
    )


def _language_model(sample: Sample, parts: Sequence[Part], *, name: str) -> Any:
    """lm-eval's view of the engine. The class is made here because its base comes from lm-eval."""
    from lm_eval.api.model import LM

    class EngineLM(LM):
        def generate_until(self, requests: list[Instance]) -> list[str]:
            return generate(requests, {part.name: part.decoding for part in parts}, sample)

        def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
            raise EngineError("rzero's tasks are all answered by generation; use lm-eval itself for likelihood tasks")

        def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
            raise EngineError("rzero's tasks are all answered by generation; use lm-eval itself for likelihood tasks")

        def get_model_info(self) -> dict[str, str]:
            return {"model": name}

    return EngineLM()


def generate(requests: Sequence[Instance], decodings: Mapping[str, Decoding], sample: Sample) -> list[str]:
    """One response for each request, in order; ``decodings`` by task name.

    Greedy requests of all tasks are sampled together. Sampled ones go task by task, so that the random numbers of a
    task do not depend on which others are asked for.
    """
    batches: dict[tuple[SamplingParams, tuple[str, ...], str], dict[int, list[int]]] = {}
    prompts: dict[int, Prompt] = {}
    for place, request in enumerate(requests):
        prompt = prompts.setdefault(id(request), _prompt(request.args[0]))
        decoding = decodings[str(request.task_name)]
        key = (decoding.params, prompt.stop, str(request.task_name) if decoding.k else "")
        batches.setdefault(key, {}).setdefault(id(request), []).append(place)
    responses: list[str] = [""] * len(requests)
    for (params, _, _), places in batches.items():
        groups = sample([prompts[name] for name in places], params)
        for group, own in zip(groups, places.values(), strict=True):
            for completion, place in zip(group, own, strict=True):
                responses[place] = Response(completion)
    return responses


def _prompt(text: str) -> Prompt:
    fields = json.loads(text)
    messages = tuple(Message(**message) for message in fields["messages"])
    return Prompt(messages=messages, prefill=fields["prefill"], stop=tuple(fields["stop"]))


def _tracker(out: Path, model: str) -> Any:
    from lm_eval.loggers import EvaluationTracker

    tracker = EvaluationTracker(output_path=str(out))
    tracker.general_config_tracker.log_experiment_args("rzero", {"model": model}, None, None, False)
    return tracker


def _save(tracker: Any, results: dict[str, Any], samples: dict[str, Any], *, out: Path) -> None:
    tracker.save_results_aggregated(results=results, samples=samples)
    for name, rows in samples.items():
        tracker.save_results_samples(task_name=name, samples=rows)
    # The tracker turns a failure to write into a log line that nobody sees.
    kinds = ("results", *(f"samples_{name}" for name in samples))
    if not all(any(out.glob(f"*/{kind}_{tracker.date_id}.json*")) for kind in kinds):
        raise EngineError(f"lm-eval could not write its results below {out}; check permissions and free space")


@functools.cache
def require_lm_eval() -> Any:
    """The package lm_eval. Raises MissingExtraError if it is not installed."""
    os.environ.setdefault("TQDM_DISABLE", "1")  # its bars are of its own work, which takes no time
    try:
        import lm_eval
    except ImportError:
        raise MissingExtraError(f"rzero eval needs the eval extra; run: {INSTALL}") from None
    logging.getLogger("lm_eval").setLevel(logging.ERROR)  # its advice is on options that are set here
    return lm_eval


def _no_tasks() -> Any:
    """A task manager without lm-eval's own thousands of tasks, which take seconds to index."""
    from lm_eval.tasks import TaskManager

    return TaskManager(include_defaults=False)
