"""Every option of the algorithm with its one default, its range and its meaning.

Those of the machine stand in ``machine``. The defaults are the paper's values (``docs/reproduce.md`` gives each one's
source).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from rzero.config.machine import CheckpointConfig, EngineConfig, GradingConfig, ModelConfig
from rzero.config.section import Section


class SamplingConfig(Section):
    """How completions are drawn."""

    temperature: float = Field(default=1.0, ge=0.0, le=10.0)
    """Softmax temperature; 0 is greedy."""
    top_p: float = Field(default=0.99, gt=0.0, le=1.0)
    """Nucleus: the smallest set of tokens with this probability; 1 switches it off."""
    top_k: int = Field(default=0, ge=0)
    """Only the k most likely tokens; 0 switches it off."""
    max_new_tokens: int = Field(default=4096, ge=1)
    """Longest completion, in tokens. A completion that reaches it is cut off."""


class RoleConfig(SamplingConfig):
    """GRPO for one role. One step samples prompts_per_step x group_size rollouts."""

    steps: int = Field(default=15, ge=1)
    """Steps in each iteration's training phase."""
    prompts_per_step: int = Field(default=512, ge=1)
    """Prompts in one step. Each gets group_size rollouts."""
    group_size: int = Field(default=5, ge=2)
    """Rollouts of one prompt, whose rewards are normalised together."""
    updates_per_step: int = Field(default=4, ge=1)
    """Optimiser steps on the rollouts of one step; each takes an equal share of the groups."""
    learning_rate: float = Field(default=1e-6, gt=0.0)
    """AdamW learning rate, constant."""


class ChallengerConfig(RoleConfig):
    """The Challenger: writes questions, is rewarded for those at the edge of the Solver's ability."""

    train: bool = True
    """False leaves out Challenger RL (the paper's ablation): questions come from the checkpoint as it is."""
    start_from: Literal["previous", "solver", "base"] = "previous"
    """Where an iteration's Challenger starts: the previous Challenger, the latest Solver, or the base model."""
    steps: int = Field(default=5, ge=1)
    """Steps in each iteration's training phase."""
    group_size: int = Field(default=4, ge=2)
    """Questions that are normalised together. All Challenger rollouts share one prompt, so larger groups have less
    noise.
    """
    reward: str = "uncertainty"
    """uncertainty: the paper's. Or package.module:name of your own function of a ScoredQuestion."""
    target: float = Field(default=0.5, gt=0.0, lt=1.0)
    """The self_consistency that earns the full uncertainty reward; it falls to 0 at p̂ = 0 and 1."""
    repetition_weight: float = Field(default=1.0, ge=0.0)
    """lambda: how much the repetition penalty takes away; 0 switches it off (the paper's ablation)."""
    repetition_threshold: float = Field(default=0.5, gt=0.0, le=1.0)
    """tau: questions with BLEU distance below this fall into one cluster."""


class SolverConfig(RoleConfig):
    """The Solver: answers questions, is rewarded for agreeing with the pseudo-label."""

    start_from: Literal["previous", "base", "challenger"] = "previous"
    """Where an iteration's Solver starts: the previous Solver, the base model, or the iteration's trained Challenger
    (with challenger.start_from=solver: one model in both roles).
    """
    reward: str = "agreement"
    """agreement: 1 if the answer equals the pseudo-label, else 0. Or package.module:name of your own function."""


class GenerateConfig(Section):
    """The candidate pool."""

    num_questions: int = Field(default=8000, ge=1)
    """N: completions sampled from the Challenger; malformed ones and exact repeats are counted and dropped."""
    temperature: float = Field(default=1.0, ge=0.0, le=10.0)
    """Softmax temperature."""
    top_p: float = Field(default=0.99, gt=0.0, le=1.0)
    """Nucleus."""
    top_k: int = Field(default=0, ge=0)
    """Only the k most likely tokens; 0 switches it off."""
    questions_per_part: int = Field(default=500, ge=1)
    """Questions that are generated, or voted on, between two saves of the phases generate_questions and vote."""


class VoteConfig(SamplingConfig):
    """The Solver's votes: in the Challenger's reward and for the pseudo-labels alike."""

    num_votes: int = Field(default=10, ge=1)
    """m: answers sampled per question."""
    min_valid_frac: float = Field(default=0.5, ge=0.0, le=1.0)
    """A question with a smaller share of valid votes is ill-posed: reward 0, never in the curriculum."""
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    """Nucleus; 1 switches it off."""
    stop_early: bool = False
    """Cancel the rest of a question's votes once it can change neither the Challenger's reward nor whether the question
    is kept, nor its label. What p̂ would have been is then known within bounds only.
    """


class CurriculumConfig(Section):
    """Which questions the Solver learns from: band_low <= self_consistency <= band_high, both ends included."""

    band_low: float = Field(default=0.25, ge=0.0, le=1.0)
    """Lower end of the band: 1/2 - delta."""
    band_high: float = Field(default=0.75, ge=0.0, le=1.0)
    """Upper end of the band: 1/2 + delta. A band of 0 to 1 switches the filter off (the paper's ablation)."""
    min_questions: int = Field(default=1, ge=1)
    """With fewer questions than this in the band the run stops and says what to change."""

    @model_validator(mode="after")
    def _ordered(self) -> CurriculumConfig:
        if self.band_low > self.band_high:
            raise ValueError(
                f"curriculum.band_low={self.band_low} is above curriculum.band_high={self.band_high}; "
                "no question could be kept. Lower band_low or raise band_high"
            )
        return self


class GrpoConfig(Section):
    """The update, the same for both roles."""

    clip_low: float = Field(default=0.2, gt=0.0, lt=1.0)
    """The ratio is clipped below 1 - clip_low."""
    clip_high: float = Field(default=0.3, gt=0.0)
    """The ratio is clipped above 1 + clip_high."""
    kl_weight: float = Field(default=1e-2, ge=0.0)
    """Weight of the k3 KL estimate against the reference; 0 switches it off and saves the reference model's memory."""
    kl_reference: Literal["phase_start", "base"] = "phase_start"
    """The frozen reference: the checkpoint that the phase started from, or the base model."""
    normalization: Literal["token", "sequence", "dr_grpo"] = "token"
    """token: mean over all completion tokens of the update. sequence: mean over rollouts of their token means.
    dr_grpo: sum over tokens / (rollouts x max_new_tokens), and advantages are not divided by the group's std."""
    weight_decay: float = Field(default=1e-2, ge=0.0)
    """AdamW's decoupled weight decay."""
    adam_beta1: float = Field(default=0.9, ge=0.0, lt=1.0)
    """AdamW's first beta."""
    adam_beta2: float = Field(default=0.999, ge=0.0, lt=1.0)
    """AdamW's second beta."""
    max_grad_norm: float = Field(default=1.0, gt=0.0)
    """The gradient is scaled down to this global norm."""
    tokens_per_microbatch: int = Field(default=4096, ge=1)
    """Most tokens in one forward and backward pass. Changes memory and speed, never the gradient."""
    checkpointing: Literal["auto", "on", "off"] = "auto"
    """on: keep only each layer's input for the backward pass and compute the rest once more: a fraction of the memory
    for a quarter more time. auto: where the memory would not suffice without. Never changes the gradient.
    """


class LoraConfig(Section):
    """Training low-rank adapters instead of all parameters; needs the lora extra."""

    rank: int = Field(default=0, ge=0)
    """Rank of the adapters; both roles then share the base model's weights in memory. 0 trains all parameters."""
    alpha: float = Field(default=32.0, gt=0.0)
    """An adapter's product is scaled by alpha / rank."""
    target_modules: tuple[str, ...] = ()
    """Names of the linear layers that get an adapter, such as q_proj; none: all but the output head."""


class EvaluateConfig(SamplingConfig):
    """Accuracy on questions with gold answers, of the base model and of each iteration's Solver.

    Each question is answered once greedily; the sampling options are for num_samples.
    """

    data: tuple[str, ...] = ()
    """JSONL files with "question" and "answer", or arithmetic, the test set that ships; none: the phase is passed
    over.
    """
    limit: int = Field(default=0, ge=0)
    """Only the first so many rows of each file; 0 takes all."""
    num_samples: int = Field(default=0, ge=0)
    """k: sampled answers per question, beside the greedy one, for mean@k, maj@k and pass@k; 0 samples none."""
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    """Nucleus; 1 switches it off."""


class Config(Section):
    """All options of a run."""

    seed: int = Field(default=0, ge=0)
    """Everything random is derived from it."""
    iterations: int = Field(default=3, ge=1)
    """Rounds of co-evolution."""
    domain: str = "math"
    """math, grade_school, arithmetic, or package.module:name of your own domain object."""
    progress: Literal["auto", "bar", "plain", "none"] = "auto"
    """Console display. auto: bars on a terminal, plain lines elsewhere."""
    tracker: Literal["none", "tensorboard", "wandb", "trackio"] = "none"
    """Where the numbers of metrics.jsonl go besides; each needs the extra of its name. wandb is offline by default."""
    model: ModelConfig = ModelConfig()
    challenger: ChallengerConfig = ChallengerConfig()
    solver: SolverConfig = SolverConfig()
    generate: GenerateConfig = GenerateConfig()
    vote: VoteConfig = VoteConfig()
    curriculum: CurriculumConfig = CurriculumConfig()
    grpo: GrpoConfig = GrpoConfig()
    lora: LoraConfig = LoraConfig()
    engine: EngineConfig = EngineConfig()
    grading: GradingConfig = GradingConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()

    @model_validator(mode="after")
    def _adapters_stay_at_home(self) -> Config:
        if self.lora.rank and self.engine.cluster == "ray" and self.engine.sampler == "vllm":
            raise ValueError(
                f"lora.rank={self.lora.rank} cannot be used with engine.cluster=ray and engine.sampler=vllm together: "
                "adapters are added to the base model where the learner is; set engine.sampler=embedded, or lora.rank=0"
            )
        return self

    @model_validator(mode="after")
    def _own_rewards_see_all_votes(self) -> Config:
        for name, value, ours in (
            ("challenger.reward", self.challenger.reward, "uncertainty"),
            ("solver.reward", self.solver.reward, "agreement"),
        ):
            if self.vote.stop_early and value != ours:
                raise ValueError(
                    f"vote.stop_early=true cannot be used with {name}={value!r}: a reward of your own may depend on "
                    f"votes that would be cancelled; set vote.stop_early=false, or {name}={ours}"
                )
        return self
