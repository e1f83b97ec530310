"""TRL's ``GRPOTrainer``: its update on rollouts that it is given, its whole step with its own generation, and R-Zero.

TRL takes rollouts from elsewhere through ``rollout_func``; the rewards come with them.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback

from engines.rzero_with_trl import iterate
from engines.trl_training import Settings, train
from harness.serve import serve
from rzero import config
from rzero.models.rendering import Renderer
from rzero.types import Message, Prompt

_loaded: dict[str, Any] = {}


class _Clock(TrainerCallback):
    """The moments at which a step began, or its rollouts were there, and at which the optimiser had stepped."""

    def __init__(self) -> None:
        self.begin = self.end = 0.0

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.begin = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.end = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Between the two."""
        return self.end - self.begin


def load(model: str, threads: int) -> None:
    """Open the checkpoint in bf16."""
    torch.set_num_threads(threads)
    _loaded["tokenizer"] = AutoTokenizer.from_pretrained(model)
    _loaded["model"] = AutoModelForCausalLM.from_pretrained(model, dtype=torch.bfloat16)


def update(groups: list[dict[str, Any]], learning_rate: float, max_new_tokens: int, **tuning: Any) -> dict[str, Any]:
    """One update on ``groups`` (``prompt_ids``, and ``completions`` with their ``rewards``).

    ``seconds`` run from the moment at which TRL has the rollouts to the end of its optimiser's step.
    """
    clock = _Clock()

    def rollouts(prompts: list[str], trainer: Any) -> dict[str, Any]:
        chosen = [groups[int(prompt)] for prompt in prompts[:: trainer.num_generations]]
        clock.begin = time.perf_counter()
        return {
            "prompt_ids": [group["prompt_ids"] for group in chosen for _ in group["completions"]],
            "completion_ids": [ids for group in chosen for ids in group["completions"]],
            "logprobs": None,
            "own_reward": [reward for group in chosen for reward in group["rewards"]],
        }

    def rewards(own_reward: list[float], **_: Any) -> list[float]:
        return own_reward

    settings = Settings(
        prompts_per_step=len(groups),
        group_size=len(groups[0]["completions"]),
        learning_rate=learning_rate,
        max_new_tokens=max_new_tokens,
        **tuning,
    )
    rows = [{"prompt": str(index)} for index in range(len(groups))]
    (logged,) = train(
        _loaded["model"],
        _loaded["tokenizer"],
        rows,
        settings=settings,
        reward=rewards,
        rollout_func=rollouts,
        callback=clock,
    )
    return {"loss": logged["loss"], "grad_norm": logged["grad_norm"], "seconds": clock.seconds}


def step(
    conversations: list[Any], group_size: int, learning_rate: float, max_new_tokens: int, **tuning: Any
) -> dict[str, Any]:
    """One whole step: generation, rewards, update. A completion is rewarded if its token ids add up to an even
    number.
    """
    clock = _Clock()
    lengths: list[int] = []

    def rewards(completion_ids: list[list[int]], **_: Any) -> list[float]:
        lengths.extend(len(ids) for ids in completion_ids)
        return [float(sum(ids) % 2 == 0) for ids in completion_ids]

    renderer = Renderer(_loaded["tokenizer"])
    prompts = [Prompt(messages=tuple(Message(**turn) for turn in turns)) for turns in conversations]
    settings = Settings(
        prompts_per_step=len(prompts),
        group_size=group_size,
        learning_rate=learning_rate,
        max_new_tokens=max_new_tokens,
        **tuning,
    )
    rows = [{"prompt": json.dumps(renderer.render(prompt))} for prompt in prompts]
    train(_loaded["model"], _loaded["tokenizer"], rows, settings=settings, reward=rewards, callback=clock)
    return {"tokens": sum(lengths), "seconds": clock.seconds}


def iteration(preset: str, overrides: dict[str, Any], out: str) -> dict[str, float]:
    """One iteration of R-Zero; see :func:`engines.rzero_with_trl.iterate`."""
    return iterate(config.load(preset, overrides), Path(out))


if __name__ == "__main__":
    serve({"load": load, "update": update, "step": step, "iteration": iteration})
