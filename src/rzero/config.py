"""Every option with its one default, its range and its meaning.

The defaults are the paper's values (``docs/reproduce.md`` gives each one's source); a preset or a TOML file changes
some, the command line changes more: preset < file < command line. Models are frozen, and an unknown key is refused with
the nearest name.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from rzero.errors import ConfigError


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _true_is_no_number(cls, values: Any) -> Any:
        for name, value in values.items() if isinstance(values, dict) else ():
            field = cls.model_fields.get(name)
            if isinstance(value, bool) and field is not None and field.annotation in (int, float):
                raise ValueError(f"{name}={str(value).lower()} cannot be used: it is a number; {field.description}")
        return values


class ModelConfig(_Section):
    """The one base model that both roles start from."""

    path: str = ""
    """Hugging Face directory, GGUF file, or hub id (needs a network). Also given as --model."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Compute precision. auto: bfloat16 where the device multiplies it fast, else float32. Master weights are always
    fp32.
    """
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU if there is one."""
    trust_remote_code: bool = False
    """Run Python code that comes with the checkpoint. Off unless you have read that code."""


class SamplingConfig(_Section):
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


class GenerateConfig(_Section):
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


class CurriculumConfig(_Section):
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


class GrpoConfig(_Section):
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


class LoraConfig(_Section):
    """Training low-rank adapters instead of all parameters; needs the lora extra."""

    rank: int = Field(default=0, ge=0)
    """Rank of the adapters; both roles then share the base model's weights in memory. 0 trains all parameters."""
    alpha: float = Field(default=32.0, gt=0.0)
    """An adapter's product is scaled by alpha / rank."""
    target_modules: tuple[str, ...] = ()
    """Names of the linear layers that get an adapter, such as q_proj; none: all but the output head."""


class EngineConfig(_Section):
    """What runs the models."""

    sampler: Literal["embedded", "vllm"] = "embedded"
    """embedded: PyTorch in this process, weights shared with the learner. vllm: vLLM in this process, for both roles,
    which is given the weights after each step.
    """
    max_rows: int = Field(default=256, ge=1)
    """Completions that are decoded side by side."""
    kv_gib: float = Field(default=0.0, ge=0.0)
    """Most memory for the keys and values of running completions, in GiB; 0 takes half of what is free (vllm: a
    quarter, and on a GPU what vllm_memory leaves).
    """
    vllm_memory: float = Field(default=0.4, gt=0.0, lt=1.0)
    """Share of a GPU's memory that vLLM takes while it samples; between calls it sleeps, and the learner has it."""
    vllm_compile: Literal["auto", "on", "off"] = "auto"
    """Whether vLLM compiles the model when it starts, which takes a minute or more. auto: on a GPU alone."""
    threads: int = Field(default=0, ge=0)
    """CPU threads; 0 takes all cores. Part of a run's identity: other thread counts round differently."""


class GradingConfig(_Section):
    """The one grader."""

    timeout_s: float = Field(default=5.0, gt=0.0)
    """Wall-clock limit for one symbolic comparison, in seconds; its process is killed there."""
    workers: int = Field(default=1, ge=1)
    """Worker processes."""


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


class CheckpointConfig(_Section):
    """What is kept of the training phases. Each phase's last policy is always kept."""

    every_steps: int = Field(default=1, ge=1)
    """Steps between two saves from which a run can resume."""
    keep_last: int = Field(default=1, ge=1)
    """Resumable saves that are kept of the running phase."""


class Config(_Section):
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


class Option(BaseModel):
    """One leaf of :class:`Config`, for listings: dotted name, type as text, default and meaning."""

    name: str
    kind: str
    default: Any
    meaning: str


def options() -> list[Option]:
    """Every option, in the order of the classes above."""
    return list(_walk(Config, ""))


def _walk(section: type[BaseModel], prefix: str) -> Iterator[Option]:
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _walk(kind, f"{prefix}{name}.")
        else:
            text = kind.__name__ if isinstance(kind, type) and get_origin(kind) is None else str(kind)
            text = text.replace("typing.", "").replace("Literal", "one of ")
            meaning = " ".join((field.description or "").split())
            yield Option(name=prefix + name, kind=text, default=field.default, meaning=meaning)


def presets() -> list[str]:
    """The names of the presets that ship with the package."""
    folder = resources.files("rzero") / "presets"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load(source: str = "paper", overrides: Mapping[str, Any] | None = None) -> Config:
    """The configuration of a preset or a TOML file, changed by ``overrides`` (dotted name to value, or text of it).

    Raises ConfigError naming the option, its value and what would be accepted.
    """
    values = _read_toml(source)
    for name, value in (overrides or {}).items():
        _set(values, name, value)
    return validate(values)


def change(config: Config, overrides: Mapping[str, Any]) -> Config:
    """``config`` with some options replaced, by dotted name. Raises ConfigError as :func:`load` does."""
    values = config.model_dump()
    for name, value in overrides.items():
        _set(values, name, value)
    return validate(values)


def validate(values: Mapping[str, Any]) -> Config:
    """A Config from nested plain values. Raises ConfigError with all problems, one a line."""
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(problem) for problem in error.errors())) from None


def differences(recorded: Config, given: Config) -> list[str]:
    """The options in which two configurations differ, as ``name: recorded -> given`` lines."""
    old, new = flat(recorded), flat(given)
    return [
        f"{name}: {old.get(name)!r} -> {new.get(name)!r}"
        for name in sorted(old | new)
        if old.get(name) != new.get(name)
    ]


def _read_toml(source: str) -> dict[str, Any]:
    if source in presets():
        text = (resources.files("rzero") / "presets" / f"{source}.toml").read_text(encoding="utf-8")
        return tomllib.loads(text)
    path = Path(source)
    if path.suffix != ".toml" or not path.is_file():
        near = difflib.get_close_matches(source, presets(), 1)
        hint = f"did you mean {near[0]!r}?" if near else f"presets: {', '.join(presets())}; a file's name ends in .toml"
        raise ConfigError(f"preset or file {source!r} does not exist; {hint}")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}; correct its permissions") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}; correct that line") from None


def _set(values: dict[str, Any], name: str, value: Any) -> None:
    *sections, leaf = name.split(".")
    for section in sections:
        inner = values.setdefault(section, {})
        if not isinstance(inner, dict):
            raise _no_section(section, inner)
        values = inner
    values[leaf] = _split(name, value)


def _split(name: str, value: Any) -> Any:
    """Lists are written with commas on the command line."""
    if name in ("evaluate.data", "lora.target_modules") and isinstance(value, str):
        return tuple(part for part in value.split(",") if part)
    return value


def _explain(problem: Any) -> str:
    name = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return str(_unknown(name))
    if problem["type"] == "value_error":
        return str(problem["ctx"]["error"])
    if problem["type"] == "model_type":
        return str(_no_section(name, problem["input"]))
    meaning = next((option.meaning for option in options() if option.name == name), "")
    return (
        f"{name}={problem['input']!r} cannot be used: {problem['msg'][0].lower()}{problem['msg'][1:]}. It is: {meaning}"
    )


def _no_section(name: str, value: Any) -> ConfigError:
    """A single value where a section is meant, or a section where an option is meant."""
    inner = [option.name for option in options() if option.name.startswith(f"{name}.")]
    if not inner:
        return ConfigError(f"{name} is no section of options; see `rzero config` for all options")
    return ConfigError(f"{name}={value!r} cannot be used: {name} is a section, with the options {', '.join(inner)}")


def _unknown(name: str) -> ConfigError:
    known = [option.name for option in options()]
    near = difflib.get_close_matches(name, known, 1, cutoff=0.5) or _same_leaf(name, known)
    hint = f"did you mean {near[0]}?" if near else "see `rzero config` for all options"
    return ConfigError(f"option {name} does not exist; {hint}")


def _same_leaf(name: str, known: Sequence[str]) -> list[str]:
    leaves = {option.rsplit(".", 1)[-1]: option for option in known}
    near = difflib.get_close_matches(name.rsplit(".", 1)[-1], leaves, 1)
    return [leaves[near[0]]] if near else []


def flat(config: Config) -> dict[str, Any]:
    """Every option's value by its dotted name."""
    return _flat(config.model_dump(mode="json"))


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found
