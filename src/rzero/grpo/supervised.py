"""Supervised fine-tuning with the GRPO learner: given text takes the place of rollouts, and its advantage is 1.

On the first update after sampling the ratio is 1, so the clipped objective's gradient is that of advantage x
log-probability; with advantage 1 and without the KL term that is the gradient of the negative log-likelihood, a mean
over all tokens of the step. Packing, master weights, optimiser and checkpoints are those of the learner.
"""

from __future__ import annotations

from collections.abc import Sequence

from rzero.config import GrpoConfig
from rzero.errors import DataError
from rzero.grpo.learner import GrpoLearner
from rzero.models.language_model import LanguageModel
from rzero.models.rendering import turn_end
from rzero.types import Completion, FinishReason, Group, Prompt, Rollout


class SupervisedLearner(GrpoLearner):
    """Raises the likelihood of given completions. ``options`` as for GRPO; the KL term and the clip play no part."""

    def __init__(self, model: LanguageModel, *, options: GrpoConfig, learning_rate: float) -> None:
        super().__init__(
            model,
            reference=None,
            options=options.model_copy(update={"kl_weight": 0.0, "normalization": "token"}),
            learning_rate=learning_rate,
            updates_per_step=1,
            temperature=1.0,
            max_new_tokens=1,
        )

    def fit(self, texts: Sequence[Group]) -> dict[str, float]:
        """One update on the groups of :func:`as_group`; returns ``nll`` (nats a token, before it) and ``grad_norm``.

        Raises EngineError if the loss or the gradient is not finite.
        """
        metrics = self.step(texts)
        # A given text has the log-probability 0 for its "sampler", so the gap to it is the negative log-likelihood.
        return {
            "nll": metrics["sampler_logprob_gap"],
            "grad_norm": metrics["grad_norm"],
            "num_tokens": metrics["num_tokens"],
        }

    def _advantages(self, group: Group) -> list[float]:
        return [1.0] * len(group.rollouts)


def as_group(model: LanguageModel, prompt: Prompt, completion: str) -> Group:
    """A given completion as a group of one rollout, ended by the token with which the model ends a turn.

    Raises DataError if prompt and completion together are longer than the model's context.
    """
    encoded = model.tokenizer(completion, add_special_tokens=False, verbose=False)["input_ids"]
    assert isinstance(encoded, list)
    end = turn_end(model.tokenizer)
    token_ids = (*encoded, min(model.stop_ids) if end is None else end)
    prompt_ids = tuple(model.render(prompt))
    if len(prompt_ids) + len(token_ids) > model.max_context:
        raise DataError(
            f"a labelled row has {len(prompt_ids)} + {len(token_ids)} tokens but the model's context has "
            f"{model.max_context}; shorten it or leave it out: {prompt.messages[-1].content[:80]!r}"
        )
    text = Completion(
        token_ids=token_ids, logprobs=(0.0,) * len(token_ids), finish_reason=FinishReason.STOP, text=completion
    )
    return Group(prompt_ids=prompt_ids, rollouts=(Rollout(completion=text, reward=1.0, policy_version=0),))
