"""``GRPOTrainer`` with the loss settings of rzero, so that both do the same work.

No KL term unless asked for, clip 0.2 / 0.3, the mean over all completion tokens of the step (``dapo``), advantages
divided by the group's standard deviation, one optimiser step per batch of rollouts. The model is bf16 and so are its
gradients and AdamW's state; autocast on top of that only adds casts.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"  # else rollout_func is announced as experimental

from datasets import Dataset
from transformers import TrainerCallback
from trl import GRPOConfig, GRPOTrainer


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One training: each of ``steps`` takes ``prompts_per_step`` prompts with ``group_size`` rollouts.

    ``batch_size`` rollouts make a micro-batch; a step's rollouts must be a multiple of it, or fewer.
    """

    steps: int = 1
    prompts_per_step: int
    group_size: int
    learning_rate: float
    max_new_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    kl_weight: float = 0.0
    batch_size: int = 8
    checkpointing: bool = False


class _Trainer(GRPOTrainer):
    """Its prompts are token ids, written as JSON: those that the other engines read."""

    def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
        return [json.loads(prompt) for prompt in prompts], None, {}


def train(
    model: Any,
    tokenizer: Any,
    rows: Sequence[dict[str, Any]],
    *,
    settings: Settings,
    reward: Callable[..., list[float]],
    rollout_func: Callable[..., Any] | None = None,
    callback: TrainerCallback | None = None,
) -> list[dict[str, float]]:
    """Train ``model`` in place; returns what the trainer logged, one entry a step.

    ``rows`` hold the ``prompt`` and whatever columns ``reward`` takes; they are used in their order.
    """
    with tempfile.TemporaryDirectory() as folder:
        trainer = _Trainer(
            model=model,
            processing_class=tokenizer,
            reward_funcs=reward,
            args=_config(settings, folder),
            train_dataset=Dataset.from_list(list(rows)),
            rollout_func=rollout_func,
            callbacks=[callback] if callback else [],
        )
        trainer.train()
    return [entry for entry in trainer.state.log_history if "loss" in entry]


def _config(settings: Settings, folder: str) -> GRPOConfig:
    rollouts = settings.prompts_per_step * settings.group_size
    batch_size = min(settings.batch_size, rollouts)
    return GRPOConfig(
        output_dir=folder,
        per_device_train_batch_size=batch_size,
        gradient_accumulation_steps=rollouts // batch_size,
        num_generations=settings.group_size,
        max_completion_length=settings.max_new_tokens,
        max_steps=settings.steps,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="constant",
        weight_decay=0.01,
        max_grad_norm=1.0,
        beta=settings.kl_weight,
        epsilon=0.2,
        epsilon_high=0.3,
        loss_type="dapo",
        scale_rewards="group",
        temperature=settings.temperature,
        top_p=settings.top_p,
        top_k=0,
        shuffle_dataset=False,
        bf16=False,
        gradient_checkpointing=settings.checkpointing,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
    )
