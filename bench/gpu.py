"""One H100 or H200: checks the embedded engine on it, measures update and decoding, estimates an iteration.

    python bench/gpu.py --json gpu.json        about ten minutes
    python bench/gpu.py --dry-run              the same code on the CPU with a tiny model, in seconds

Models have the shapes of Qwen3-0.6B and Qwen3-4B and random weights. First, correctness on four layers of the small
shape: the sampler's log-probabilities against transformers' forward pass, and the learner's gradient against autograd
in fp32. Where the memory does not hold full fine-tuning of the 4B shape, its layers are halved, and the table says
so.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from harness.gpu_checks import check_gradient, check_logprobs
from harness.machine import matrix_rate
from harness.problems import synthetic_groups
from harness.random_model import layers_that_fit, random_model, shape
from harness.report import Report, gib
from harness.rollouts import groups_from
from harness.work import num_tokens, update_work
from rzero import config
from rzero.costs.device import DEVICES
from rzero.costs.workload import default_lengths, sampled_tokens, trained_tokens, workload
from rzero.engines.base import SamplingParams
from rzero.engines.embedded import EmbeddedSampler
from rzero.engines.paged.graphs import Recorder, recorder_for
from rzero.grpo.learner import GrpoLearner
from rzero.models.language_model import LanguageModel


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Sizes of a measurement."""

    small: str
    large: str
    check_layers: int
    rows: tuple[int, ...]
    prompt_tokens: int
    short: int
    long: int
    groups: int
    group_size: int
    completion_tokens: int
    tokens_per_microbatch: int


PAPER = config.load("paper")
LENGTHS = default_lengths(PAPER)
FULL = Plan(
    small="Qwen3-0.6B",
    large="Qwen3-4B",
    check_layers=4,
    rows=(64, 256, 1024),
    prompt_tokens=LENGTHS.prompt,
    short=64,
    long=320,
    groups=8,
    group_size=5,
    completion_tokens=LENGTHS.answer,
    tokens_per_microbatch=16384,
)
DRY = Plan(
    small="tiny",
    large="tiny",
    check_layers=2,
    rows=(8, 16),
    prompt_tokens=12,
    short=4,
    long=12,
    groups=2,
    group_size=4,
    completion_tokens=24,
    tokens_per_microbatch=128,
)


@dataclass(frozen=True, kw_only=True)
class Device:
    """Where it runs, and what it could do at most."""

    name: str
    kind: str
    flops: float
    bandwidth: float
    memory: float


def main() -> None:
    """Check, measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--dry-run", action="store_true", help="a tiny model, on the CPU where there is no GPU")
    parser.add_argument("--json", type=Path, help="write the report to this file, too")
    given = parser.parse_args()
    if not (given.dry_run or torch.cuda.is_available()):
        parser.error("there is no GPU here; --dry-run takes the CPU and a tiny model")
    measure(DRY if given.dry_run else FULL).show(given.json)


def measure(plan: Plan) -> Report:
    """Everything in turn; each model is let go before the next."""
    place = device()
    rows: list[list[str]] = []
    data: dict[str, Any] = {"device": place.name, "torch": torch.__version__}
    checked = random_model(plan.small, layers=plan.check_layers, device=place.kind, dtype=torch.bfloat16)
    data["logprob_gap"] = check_logprobs(checked)
    data["gradient"] = check_gradient(checked)
    rows.append(["check", "log-probs: largest gap to a plain forward pass", f"{data['logprob_gap']:.4f}"])
    rows.append(["check", "gradient norm over fp32's", f"{data['gradient']['norm_ratio']:.4f}"])
    rows.append(["check", "signs of the largest gradients that agree", f"{data['gradient']['signs']:.2%}"])
    del checked

    ratios: dict[str, float] = {}
    for name in dict.fromkeys((plan.small, plan.large)):
        for count in plan.rows:
            found = decode(name, count, plan, place)
            rows.append([name, f"decode, {count} rows", str(found)])
            ratios[f"{name} decode {count}"] = found.share
            data[f"{name} decode {count}"] = found.speed
    plainly = decode(plan.small, plan.rows[0], plan, place, recorder=lambda device: None)
    rows.append([plan.small, f"decode, {plan.rows[0]} rows, no graphs", str(plainly)])
    data["no graphs"] = plainly.speed
    trained, mfu, layers, peak = update(plan, place)
    rows.append([plan.large, f"update, {layers} layers", f"{trained:,.0f} tokens/s, {mfu:.0%} of the device's FLOP/s"])
    rows.append([plan.large, f"update, {layers} layers: peak memory", gib(peak)])
    ratios |= {"update MFU": mfu, "peak GiB": peak / 2**30}
    data |= {"update_tokens_per_s": trained, "layers": layers}
    whole = shape(plan.large).layers
    work = workload(PAPER, LENGTHS)
    sampling_s = sampled_tokens(work) / data[f"{plan.large} decode {plan.rows[-1]}"]
    hours = (sampling_s + trained_tokens(work) * whole / layers / trained) / 3600
    rows.append([plan.large, "one iteration of the paper's size, estimated", f"{hours:.1f} h"])
    return Report(
        name="gpu",
        columns=["model", "measure", "value"],
        rows=rows,
        ratios=ratios | {"iteration hours": hours},
        data=data,
        notes=[
            f"{place.name}: held against {place.flops / 1e12:,.2f} TFLOP/s and {place.bandwidth / 1e12:.2f} TB/s",
            "decode: the time of the last steps alone, prompts shared by groups of 8",
            "memory bound: weights and cache read once in every step",
            "MFU: the least work, each prompt once for its group, no recomputation",
            f"estimate: answers of {LENGTHS.answer} tokens, questions of {LENGTHS.question}, all votes cast, "
            "decoding as with the most rows",
        ],
    )


def device() -> Device:
    """The GPU, or the CPU with rates that are measured."""
    if not torch.cuda.is_available():
        rate, bandwidth = matrix_rate("bfloat16", size=512), _copy_rate("cpu")
        return Device(name="CPU", kind="cpu", flops=rate, bandwidth=bandwidth, memory=8e9)
    properties = torch.cuda.get_device_properties(0)
    known = next((DEVICES[name] for name in ("h100", "h200") if name in properties.name.lower()), None)
    if known is None:
        flops, bandwidth = _cuda_matrix_rate(), _copy_rate("cuda")
    else:
        flops, bandwidth = known.flops, known.bandwidth
    memory = properties.total_memory
    return Device(name=properties.name, kind="cuda", flops=flops, bandwidth=bandwidth, memory=memory)


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """Tokens a second, the share of what the memory allows, the attention kernel, and the share of replayed steps."""

    speed: float
    share: float
    kernel: str
    replayed: float

    def __str__(self) -> str:
        return (
            f"{self.speed:,.0f} tokens/s, {self.share:.0%} of the memory bound, {self.kernel}, "
            f"{self.replayed:.0%} of the steps replayed"
        )


def decode(
    name: str,
    count: int,
    plan: Plan,
    place: Device,
    recorder: Callable[[torch.device], Recorder | None] = recorder_for,
) -> Decoding:
    """Decode ``count`` rows: two runs of different length, whose difference is decoding alone."""
    model = random_model(name, layers=None, device=place.kind, dtype=torch.bfloat16)
    sampler = EmbeddedSampler(model, max_rows=count, recorder=recorder)
    sizes = shape(name)
    prompts = [
        group["prompt_ids"]
        for group in synthetic_groups(
            count // 8, group_size=1, prompt_tokens=plan.prompt_tokens, completion_tokens=1, vocab_size=sizes.vocab
        )
    ]

    def run(length: int) -> None:
        sampler.generate(prompts, SamplingParams(n=8, max_new_tokens=length, seed=0))

    run(plan.short)  # warms up
    long_s, replayed = _timed(lambda: run(plan.long)), sampler.replayed
    seconds = long_s - _timed(lambda: run(plan.short))
    steps = plan.long - plan.short
    own = (plan.long + plan.short) / 2
    cached = count // 8 * plan.prompt_tokens + count * own
    bound_s = steps * (2 * sizes.parameters + sizes.kv_bytes(2) * cached) / place.bandwidth
    return Decoding(
        speed=count * steps / seconds,
        share=bound_s / seconds,
        kernel=sampler.kernel,
        replayed=replayed / (plan.long - 1),
    )


def update(plan: Plan, place: Device) -> tuple[float, float, int, int]:
    """Tokens a second, share of the device's FLOP/s, the layers that fitted, and the peak memory in bytes."""
    layers = layers_that_fit(plan.large, place.memory)
    model = random_model(plan.large, layers=layers, device=place.kind, dtype=torch.bfloat16)
    sizes = shape(plan.large, layers=layers)
    if place.kind == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    learner = _learner(model, plan)
    raw = synthetic_groups(
        plan.groups,
        group_size=plan.group_size,
        prompt_tokens=plan.prompt_tokens,
        completion_tokens=plan.completion_tokens,
        vocab_size=sizes.vocab,
    )
    groups = groups_from(raw)
    learner.step(groups[:1])
    seconds = min(_timed(lambda: learner.step(groups)) for _ in range(2))
    peak = torch.cuda.max_memory_allocated() if place.kind == "cuda" else 0
    mfu = update_work(sizes, raw, shared_prompts=True) / seconds / place.flops
    return num_tokens(raw) / seconds, mfu, layers, peak


def _learner(model: LanguageModel, plan: Plan) -> GrpoLearner:
    options = config.GrpoConfig(kl_weight=0.0, tokens_per_microbatch=plan.tokens_per_microbatch)
    return GrpoLearner(
        model,
        reference=None,
        options=options,
        learning_rate=1e-6,
        updates_per_step=1,
        temperature=1.0,
        max_new_tokens=plan.completion_tokens,
    )


def _timed(work: Callable[[], Any]) -> float:
    gc.collect()
    _wait()
    started = time.perf_counter()
    work()
    _wait()
    return time.perf_counter() - started


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _copy_rate(kind: str) -> float:
    """Bytes read and written a second by a copy."""
    source = torch.empty(1 << 26, dtype=torch.uint8, device=kind)
    target = torch.empty_like(source)
    target.copy_(source)
    return 2 * source.numel() / min(_timed(lambda: target.copy_(source)) for _ in range(5))


def _cuda_matrix_rate() -> float:
    size = 8192
    a, b = (torch.randn(size, size, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    a @ b
    return 2 * size**3 / min(_timed(lambda: a @ b) for _ in range(5))


if __name__ == "__main__":
    main()
