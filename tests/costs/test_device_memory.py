"""Bytes on a device, worked out by hand and held against what the learner itself counts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModelForCausalLM

from rzero.config import Config, load
from rzero.costs.device import find_device
from rzero.costs.fleet import Fleet, fleets
from rzero.costs.memory import Memory, memory
from rzero.costs.shape import Shape
from rzero.costs.shapes import find_shape
from rzero.costs.workload import default_lengths
from rzero.errors import ConfigError
from rzero.grpo.masters import MasterWeights
from rzero.grpo.passes import Passes
from rzero.models.head import OutputHead
from rzero.models.open import open_model

GIB = 1 << 30
FOUR = find_shape("Qwen3-4B")[1]


def needs(config: Config, shape: Shape = FOUR, gpu: str = "h100", learners: int = 0, sampler_gpus: int = 1) -> Memory:
    """On one device, or on ``learners`` and a sampler of its own."""
    device = find_device(gpu)
    apart = Fleet(device=device, learners=learners, sampler_gpus=sampler_gpus, together=False)
    fleet = apart if learners else Fleet(device=device)
    return memory(config, shape, default_lengths(config), fleet)


def vllm(config: Config) -> Config:
    return config.model_copy(update={"engine": config.engine.model_copy(update={"sampler": "vllm"})})


def test_full_fine_tuning_on_one_device() -> None:
    """2 + 4 + 8 bytes a parameter for the policy, 2 for the reference and 2 for the Solver, and 4 while updating."""
    found = needs(load("paper"))
    assert sum(found.always.values()) == (2 + 4 + 8 + 2 + 2) * FOUR.parameters
    assert found.updating["gradients"] == 4 * FOUR.parameters
    assert found.weights == 0 and not found.fits


def test_fp32_needs_no_masters_and_no_reference_without_the_kl_term() -> None:
    found = needs(load("paper", {"model.dtype": "float32", "grpo.kl_weight": 0, "challenger.train": False}))
    assert sum(found.always.values()) == (4 + 8) * FOUR.parameters


def test_shards_are_equal_parts() -> None:
    one, eight = needs(load("paper")), needs(load("paper"), learners=8)
    for name in ("fp32 masters", "AdamW's moments", "reference"):
        assert eight.always[name] == one.always[name] / 8
    assert eight.updating["gradients"] == one.updating["gradients"] / 8
    assert eight.weights == 2 * 2 * FOUR.parameters, "a sampler holds policy and Solver"
    assert needs(vllm(load("paper")), learners=8).weights == 2 * FOUR.parameters, "vLLM swaps them"
    assert needs(load("paper"), learners=8, sampler_gpus=4).weights == eight.weights / 4


def test_an_adapter_is_all_that_is_trained() -> None:
    found = needs(load("paper", {"lora.rank": 16}), gpu="rtx4090")
    adapter = FOUR.adapter_parameters(16)
    assert found.always["base model"] == 2 * FOUR.parameters
    assert sum(found.always.values()) == 2 * FOUR.parameters + (2 + 4 + 8 + 2 + 2) * adapter
    assert found.fits and found.checkpointing


def test_checkpointing_is_taken_where_it_has_to_be() -> None:
    options = {"lora.rank": 16}
    assert not needs(load("paper", options)).checkpointing
    assert needs(load("paper", {**options, "grpo.checkpointing": "on"})).checkpointing
    assert not needs(load("paper", {**options, "grpo.checkpointing": "off"}), gpu="rtx4090").fits
    assert needs(load("paper", {**options, "grpo.tokens_per_microbatch": 10**6})).checkpointing


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("kind", ["llama", "qwen3"])
def test_activations_are_what_the_learner_counts(
    kind: str, dtype: torch.dtype, micro: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On modules of other sizes than those that the formula was taken from, with the operations that a GPU has."""
    monkeypatch.setattr("rzero.models.elementwise.available", lambda: False)
    sizes = {
        "model_type": kind,
        "vocab_size": 64,
        "hidden_size": 192,
        "intermediate_size": 416,
        "num_hidden_layers": 6,
        "num_attention_heads": 6,
        "num_key_value_heads": 3,
        "head_dim": 32,
    }
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        module = AutoModelForCausalLM.from_config(AutoConfig.for_model(**sizes), dtype=dtype)
    model = replace(open_model(micro, dtype="float32"), module=module.eval(), head=OutputHead.of(module))
    passes, masters = Passes(model, temperature=1.0), MasterWeights(model.trained)
    for choice, option in ((True, "on"), (False, "off")):
        counted = passes.memory(masters, moments=False, checkpointing=choice).per_token
        config = load("paper", {"model.dtype": str(dtype).removeprefix("torch."), "grpo.checkpointing": option})
        assert needs(config, Shape.of(sizes)).per_token == pytest.approx(counted, rel=0.1)


@given(
    learners=st.sampled_from([1, 2, 8, 16]),
    tokens=st.integers(1024, 65536),
    rows=st.integers(1, 1024),
    rank=st.sampled_from([0, 8, 64]),
)
def test_more_of_anything_takes_no_less(learners: int, tokens: int, rows: int, rank: int) -> None:
    options = {
        "grpo.checkpointing": "off",
        "grpo.tokens_per_microbatch": tokens,
        "engine.max_rows": rows,
        "lora.rank": rank,
    }

    def planned(shape: Shape = FOUR, learners: int = learners, **changes: int) -> Memory:
        changed = {name.replace("__", "."): value for name, value in changes.items()}
        return needs(load("paper", {**options, **changed}), shape, learners=learners)

    found = planned()
    assert planned(grpo__tokens_per_microbatch=2 * tokens).update_peak >= found.update_peak
    assert planned(engine__max_rows=2 * rows).kv_wanted >= found.kv_wanted
    assert planned(find_shape("Qwen3-8B")[1]).update_peak > found.update_peak
    assert planned(learners=2 * learners).always["AdamW's moments"] < found.always["AdamW's moments"]


def test_devices_are_divided_in_every_way() -> None:
    device = find_device("h100")
    ways = list(fleets(load("paper"), device, gpus=4))
    assert [(way.learners, way.samplers) for way in ways] == [(1, 3), (2, 2), (3, 1)]
    assert all(way.gpus == 4 and way.nodes == 1 for way in ways)
    large = list(fleets(load("paper"), device, gpus=512, sampler_gpus=8))
    assert len(large) < 64 and all(way.gpus <= 512 and way.samplers >= 1 for way in large)
    (single,) = fleets(load("paper"), device, gpus=1)
    assert single.together and single.gpus == 1


def test_impossible_fleets() -> None:
    device = find_device("h100")
    with pytest.raises(ConfigError, match="--gpus 0 is below 1"):
        list(fleets(load("paper"), device, gpus=0))
    with pytest.raises(ConfigError, match="--gpus 8 are too few"):
        list(fleets(load("paper"), device, gpus=8, sampler_gpus=8))
    with pytest.raises(ConfigError, match="did you mean rtx4090"):
        find_device("rtx409")
