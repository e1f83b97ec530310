"""Seconds of sampling and updating, worked out by hand, and how they grow."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rzero.config import Config, load
from rzero.costs.device import Device, find_device
from rzero.costs.efficiency import Efficiency, default_efficiency, with_changes
from rzero.costs.estimate import Estimate, estimate
from rzero.costs.fleet import Fleet
from rzero.costs.host import publish_s, save_bytes
from rzero.costs.sampling import Decoder, sampling_time
from rzero.costs.shape import Shape, causal
from rzero.costs.shapes import find_shape
from rzero.costs.update import update_time
from rzero.costs.workload import Sampling, Training, default_lengths

SHAPE = Shape(layers=2, hidden=8, heads=4, kv_heads=2, head_dim=3, intermediate=10, vocab=50)
DEVICE = Device(
    name="made", flops=1e6, flops_fp32=1e5, bandwidth=1e5, memory=1 << 30, link=1e4, network=1e3, source="by hand"
)
WHOLE = Efficiency(update=0.5, prefill=0.5, decode_flops=0.5, decode_bandwidth=0.5, layer_s=0.0, source="by hand")
DECODER = Decoder(shape=SHAPE, device=DEVICE, efficiency=WHOLE, gpus=1, bytes_per_weight=2, rows=4)
BATCH = Sampling(count=3, prompts=2, rows=8, prompt=5, mean=6, longest=12)
WORK = Training(steps=3, updates=2, groups=4, group_size=5, prompt=7, mean=9, longest=20)


def whole(gpu: str = "h100", gpus: int = 8, **options: object) -> Estimate:
    config = load("paper", {name.replace("__", "."): value for name, value in options.items()})
    return estimated(config, gpu, gpus)


def estimated(config: Config, gpu: str = "h100", gpus: int = 8) -> Estimate:
    fleet = Fleet(device=find_device(gpu), learners=gpus // 2, samplers=gpus // 2, together=False)
    return estimate(config, find_shape("Qwen3-4B")[1], fleet, default_lengths(config))


def test_a_step_reads_the_weights_and_the_cache_once() -> None:
    """1,056 + 400 weights of 2 bytes, and 48 bytes for each of 3 x 10 positions, at half of 100,000 bytes/s."""
    assert DECODER.step_s(3, 10) == pytest.approx((2 * 1456 + 3 * 10 * 48) / 5e4)
    assert replace(DECODER, gpus=2).step_s(3, 10) == pytest.approx(DECODER.step_s(3, 10) / 2)
    slow = replace(DECODER, efficiency=replace(WHOLE, layer_s=0.25))
    assert slow.step_s(3, 10) == pytest.approx(0.5 + DECODER.step_s(3, 10))


def test_many_rows_are_bound_by_the_multiplications() -> None:
    work = SHAPE.forward(tokens=1, attended=1, predicted=1)
    assert replace(DECODER, device=replace(DEVICE, bandwidth=1e12)).step_s(100, 1) == pytest.approx(100 * work / 5e5)


def test_sampling_by_hand() -> None:
    """Eight rows in four slots: four of them take six full steps, and the last four end over twelve."""
    found = sampling_time(BATCH, DECODER, samplers=1)
    context = 5 + 6 / 2
    decode = 6 * DECODER.step_s(4, context) + 12 * DECODER.step_s(2, context)
    assert found.decode == pytest.approx(3 * decode)
    assert found.prefill == pytest.approx(3 * 2 * SHAPE.forward(tokens=5, attended=15, predicted=1) / 5e5)
    assert found.tail == pytest.approx(3 * (12 * DECODER.step_s(2, context) - 6 * DECODER.step_s(4, context)))


def test_completions_of_one_length_have_no_tail() -> None:
    assert sampling_time(replace(BATCH, longest=6), DECODER, samplers=1).tail == 0


def test_two_samplers_halve_the_full_steps_alone() -> None:
    """The longest completion takes its time on however many samplers: that is what scaling breaks on."""
    one, two = (sampling_time(BATCH, DECODER, samplers=count) for count in (1, 2))
    context = 5 + 6 / 2
    assert one.decode - two.decode == pytest.approx(3 * 6 * DECODER.step_s(4, context))
    many = sampling_time(BATCH, DECODER, samplers=8)
    assert many.decode >= 3 * 12 * DECODER.step_s(0, context)


def updates(fleet: Fleet, work: Training = WORK, **changes: object):
    options = {
        "bytes_per_weight": 2,
        "trained": SHAPE.parameters,
        "reference": False,
        "checkpointing": False,
        "pass_tokens": 100,
        **changes,
    }
    return update_time(work, SHAPE, fleet, WHOLE, **options)  # pyright: ignore[reportArgumentType]


def test_updating_by_hand() -> None:
    """Each prompt once for its group; forward, backward twice that, and half a pass for the second update's ratios."""
    one = Fleet(device=DEVICE)
    attended = 4 * (causal(7) + 5 * (causal(16) - causal(7)))
    forward = SHAPE.forward(tokens=4 * (7 + 45), attended=attended, predicted=4 * 45)
    assert updates(one).passes == pytest.approx(3 * 3.5 * forward / 5e5)
    assert updates(one, reference=True).passes == pytest.approx(3 * 4.5 * forward / 5e5)
    assert updates(one, checkpointing=True).passes == pytest.approx(3 * 4.5 * forward / 5e5)
    assert updates(one, trained=10).passes == pytest.approx(3 * 2.5 * forward / 5e5), "no gradients of frozen weights"
    assert updates(one, replace(WORK, updates=1)).passes == pytest.approx(3 * 3 * forward / 5e5)
    assert updates(one).optimiser == pytest.approx(3 * 2 * 30 * SHAPE.parameters / 1e5)
    assert updates(one).exchange == 0


def test_shards_are_exchanged_beside_the_passes() -> None:
    """Two passes a step at the least, each with 8 bytes a parameter from the other device, at 10,000 bytes/s."""
    two = updates(Fleet(device=DEVICE, learners=2, together=False))
    traffic = 3 * 2 * 0.5 * SHAPE.parameters * 8 / 1e4
    assert two.exchange == pytest.approx(max(0, traffic - two.passes))
    apart = updates(Fleet(device=DEVICE, learners=2, per_node=1, together=False))
    assert apart.exchange == pytest.approx(max(0, 10 * traffic - apart.passes)) and apart.exchange > two.exchange


def test_weights_reach_all_nodes_in_rounds() -> None:
    """Onto the host and off it at 10 GB/s, and three rounds at 3 GB/s for eight nodes."""
    device = find_device("h100")
    many = Fleet(device=device, learners=32, samplers=32, together=False)
    assert publish_s(30e9, Fleet(device=device, learners=4, samplers=4, together=False), shared=False) == pytest.approx(
        6
    )
    assert publish_s(30e9, many, shared=False) == pytest.approx(6 + 3 * 10)
    assert publish_s(30e9, Fleet(device=device), shared=True) == 0


def test_a_save_is_as_large_as_the_documents_say() -> None:
    assert save_bytes(10, bytes_per_weight=2) == 140 and save_bytes(10, bytes_per_weight=4) == 120


def test_figures_that_are_given_replace_the_defaults() -> None:
    default = default_efficiency(find_device("h100"), "embedded")
    assert with_changes(default, {}) is default
    changed = with_changes(default, {"update": 0.5})
    assert changed.update == 0.5 and changed.prefill == default.prefill and "given: update" in changed.source
    assert default_efficiency(find_device("h100"), "vllm").decode_bandwidth > default.decode_bandwidth


@given(
    steps=st.integers(1, 20),
    votes=st.integers(1, 20),
    longest=st.integers(64, 8192),
    gpu=st.sampled_from(["h100", "a100", "rtx4090"]),
)
def test_more_work_takes_longer_and_a_better_device_less(steps: int, votes: int, longest: int, gpu: str) -> None:
    options = {"solver__steps": steps, "vote__num_votes": votes, "solver__max_new_tokens": longest}
    found = whole(gpu, **options)
    assert whole(gpu, **{**options, "solver__steps": steps + 1}).seconds > found.seconds
    assert whole(gpu, **{**options, "vote__num_votes": votes + 1}).seconds > found.seconds
    assert whole(gpu, **{**options, "solver__max_new_tokens": 2 * longest}).seconds > found.seconds
    assert whole("h200", **options).seconds <= found.seconds


def test_with_more_gpus_the_tail_stays() -> None:
    few, many = whole(gpus=8), whole(gpus=64)
    assert few.seconds > many.seconds
    assert many.phases[-1].tail / many.phases[-1].sampling > few.phases[-1].tail / few.phases[-1].sampling


def test_grading_counts_where_it_outlasts_the_sampling() -> None:
    assert whole().phases[-1].grading == 0
    slow = whole(gpus=512, generate__num_questions=200000, generate__questions_per_part=200000)
    assert slow.phases[2].grading > 0
    numbers = load("paper", {"domain": "grade_school", "generate.num_questions": 200000})
    assert estimated(numbers, gpus=512).phases[2].grading == 0
