"""rzero's embedded engine: its sampler and its learner on one model, as a training phase uses them."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import rzero
from harness.machine import matrix_rate
from harness.rollouts import groups_from
from harness.serve import peak_bytes, serve
from rzero import config
from rzero.costs.shape import Shape
from rzero.engines.base import SamplingParams
from rzero.engines.embedded import EmbeddedSampler
from rzero.engines.process import prepare
from rzero.grpo.learner import GrpoLearner
from rzero.models.open import open_model
from rzero.types import Group, Message, Prompt, Rollout

_loaded: dict[str, Any] = {}


def load(
    model: str,
    threads: int,
    dtype: str = "auto",
    max_rows: int = 256,
    tokens_per_microbatch: int = 4096,
    checkpointing: str = "auto",
) -> dict[str, int]:
    """Open the checkpoint, with a learner and a sampler over the same weights; returns the model's shape."""
    prepare(threads)
    opened = open_model(Path(model), dtype=dtype)  # pyright: ignore[reportArgumentType]
    learning = {"tokens_per_microbatch": tokens_per_microbatch, "checkpointing": checkpointing}
    _loaded.update(model=opened, max_rows=max_rows, learning=learning)
    _loaded["sampler"] = EmbeddedSampler(opened, max_rows=max_rows)
    _loaded["endless"] = EmbeddedSampler(replace(opened, stop_ids=frozenset()), max_rows=max_rows)
    return asdict(Shape.of(opened.module.config.to_dict()))


def start_learner(learning_rate: float, max_new_tokens: int) -> int:
    """Make the learner, with its fp32 master weights, and a sampler that follows it; returns the peak memory so far."""
    learner = GrpoLearner(
        _loaded["model"],
        reference=None,
        options=config.GrpoConfig(kl_weight=0.0, **_loaded["learning"]),
        learning_rate=learning_rate,
        updates_per_step=1,
        temperature=1.0,
        max_new_tokens=max_new_tokens,
    )
    _loaded["learner"] = learner
    _loaded["sampler"] = EmbeddedSampler(
        _loaded["model"], max_rows=_loaded["max_rows"], policy_version=lambda: learner.policy_version
    )
    return peak_bytes()


def sample(conversations: list[Any], n: int, max_new_tokens: int, seed: int, endless: bool = False) -> dict[str, Any]:
    """``n`` completions of each conversation; returns the number of prompt tokens and of generated tokens.

    ``endless`` completions are not stopped by an end token, so that all have the same length.
    """
    sampler = _loaded["endless" if endless else "sampler"]
    prompts = [_render(turns) for turns in conversations]
    groups = sampler.generate(prompts, SamplingParams(n=n, max_new_tokens=max_new_tokens, seed=seed))
    return {
        "prompt_tokens": sum(map(len, prompts)),
        "tokens": sum(len(completion.token_ids) for group in groups for completion in group),
    }


def rollouts(conversations: list[Any], n: int, max_new_tokens: int, seed: int) -> list[dict[str, Any]]:
    """Completions with rewards of 0 and 1 in turn, for an update on the same rollouts by several engines."""
    prompts = [_render(turns) for turns in conversations]
    params = SamplingParams(n=n, max_new_tokens=max_new_tokens, seed=seed)
    return [
        {
            "prompt_ids": prompt,
            "completions": [completion.token_ids for completion in group],
            "rewards": [float(index % 2) for index in range(n)],
        }
        for prompt, group in zip(prompts, _loaded["sampler"].generate(prompts, params), strict=True)
    ]


def update(groups: list[dict[str, Any]]) -> dict[str, float]:
    """One update on ``groups``; ``seconds`` leave out the reading of the request."""
    made = groups_from(groups)
    started = time.perf_counter()
    metrics = _loaded["learner"].step(made)
    return {
        "loss": metrics["loss"],
        "grad_norm": metrics["grad_norm"],
        "seconds": time.perf_counter() - started,
    }


def step(conversations: list[Any], group_size: int, max_new_tokens: int, seed: int) -> dict[str, float]:
    """One whole step: sampling, rewards, update. A completion is rewarded if its token ids add up to an even number."""
    started = time.perf_counter()
    prompts = [_render(turns) for turns in conversations]
    params = SamplingParams(n=group_size, max_new_tokens=max_new_tokens, seed=seed)
    completions = _loaded["sampler"].generate(prompts, params)
    groups = [
        Group(
            prompt_ids=tuple(prompt),
            rollouts=tuple(
                Rollout(completion=item, reward=float(sum(item.token_ids) % 2 == 0), policy_version=0) for item in row
            ),
        )
        for prompt, row in zip(prompts, completions, strict=True)
    ]
    _loaded["learner"].step(groups)
    return {
        "tokens": sum(len(item.token_ids) for row in completions for item in row),
        "seconds": time.perf_counter() - started,
    }


def iteration(preset: str, overrides: dict[str, Any], out: str) -> dict[str, float]:
    """One iteration of R-Zero by rzero's own loop, everything saved in ``out``; returns how much there was to do."""
    options = config.load(preset, overrides)
    summary = rzero.run(options, out).summaries[-1]
    sampled = options.challenger.steps * options.challenger.group_size * options.challenger.prompts_per_step
    well_formed = sampled * summary["challenger"]["format_ok_frac"] * summary["challenger"]["distinct_frac"]
    return {
        "votes": round(well_formed + summary["pool"]["num_distinct"]) * options.vote.num_votes,
        "pool": summary["pool"]["num_distinct"],
        "kept": summary["curriculum"]["num_kept"],
    }


def _render(turns: list[dict[str, str]]) -> tuple[int, ...]:
    return _loaded["model"].render(Prompt(messages=tuple(Message(t["role"], t["content"]) for t in turns)))


if __name__ == "__main__":
    serve(
        {
            "load": load,
            "start_learner": start_learner,
            "sample": sample,
            "rollouts": rollouts,
            "update": update,
            "step": step,
            "iteration": iteration,
            "matrix_rate": matrix_rate,
        }
    )
