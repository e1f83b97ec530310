"""The list of options is frozen: adding one is a decision, made here."""

from __future__ import annotations

from rzero import config

OPTIONS = [
    "seed",
    "iterations",
    "domain",
    "progress",
    "tracker",
    "model.path",
    "model.dtype",
    "model.device",
    "model.trust_remote_code",
    "challenger.temperature",
    "challenger.top_p",
    "challenger.top_k",
    "challenger.max_new_tokens",
    "challenger.steps",
    "challenger.prompts_per_step",
    "challenger.group_size",
    "challenger.updates_per_step",
    "challenger.learning_rate",
    "challenger.train",
    "challenger.start_from",
    "challenger.reward",
    "challenger.target",
    "challenger.repetition_weight",
    "challenger.repetition_threshold",
    "solver.temperature",
    "solver.top_p",
    "solver.top_k",
    "solver.max_new_tokens",
    "solver.steps",
    "solver.prompts_per_step",
    "solver.group_size",
    "solver.updates_per_step",
    "solver.learning_rate",
    "solver.start_from",
    "solver.reward",
    "generate.num_questions",
    "generate.temperature",
    "generate.top_p",
    "generate.top_k",
    "generate.questions_per_part",
    "vote.temperature",
    "vote.top_p",
    "vote.top_k",
    "vote.max_new_tokens",
    "vote.num_votes",
    "vote.min_valid_frac",
    "vote.stop_early",
    "curriculum.band_low",
    "curriculum.band_high",
    "curriculum.min_questions",
    "grpo.clip_low",
    "grpo.clip_high",
    "grpo.kl_weight",
    "grpo.kl_reference",
    "grpo.normalization",
    "grpo.weight_decay",
    "grpo.adam_beta1",
    "grpo.adam_beta2",
    "grpo.max_grad_norm",
    "grpo.tokens_per_microbatch",
    "grpo.checkpointing",
    "lora.rank",
    "lora.alpha",
    "lora.target_modules",
    "engine.sampler",
    "engine.max_rows",
    "engine.kv_gib",
    "engine.attention",
    "engine.vllm_memory",
    "engine.vllm_compile",
    "engine.threads",
    "engine.cluster",
    "engine.num_samplers",
    "engine.num_learners",
    "engine.ray_address",
    "engine.ray_timeout_s",
    "grading.timeout_s",
    "grading.workers",
    "evaluate.temperature",
    "evaluate.top_p",
    "evaluate.top_k",
    "evaluate.max_new_tokens",
    "evaluate.data",
    "evaluate.limit",
    "evaluate.num_samples",
    "checkpoint.every_steps",
    "checkpoint.keep_last",
]


def test_the_options_are_these() -> None:
    assert [option.name for option in config.options()] == OPTIONS


def test_every_option_says_what_it_means() -> None:
    for option in config.options():
        assert option.meaning.endswith((".", "std")), f"{option.name} has no meaning"


def test_the_defaults_are_the_papers_values() -> None:
    assert config.load("paper", {"model.dtype": "auto"}) == config.Config(
        vote=config.VoteConfig(top_k=40), model=config.ModelConfig()
    )


def test_presets_load() -> None:
    for name in config.presets():
        config.load(name)
