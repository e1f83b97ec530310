from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_model import make_model

from rzero.engines.embedded import EmbeddedSampler
from rzero.engines.paged import native, select
from rzero.engines.paged.native import NativeKernel
from rzero.engines.paged.plain import PlainKernel
from rzero.engines.paged.select import choose_kernel
from rzero.native import compiler


@pytest.mark.parametrize(
    ("architecture", "dtype", "kernel"),
    [
        ("llama", torch.float32, NativeKernel),
        ("gemma3_text", torch.bfloat16, NativeKernel),
        ("llama", torch.float64, PlainKernel),
        ("gpt2", torch.float32, PlainKernel),  # its heads have 8 entries
    ],
)
def test_a_model_gets_the_fastest_kernel_that_serves_it(
    architecture: str, dtype: torch.dtype, kernel: type[NativeKernel | PlainKernel]
) -> None:
    choice = choose_kernel(make_model(architecture, dtype=dtype))
    assert choice is not None and isinstance(choice.kernel, kernel)
    assert choice.bytes_per_token == 2 * 2 * 32 * torch.finfo(dtype).bits // 8


def test_plain_is_plain() -> None:
    choice = choose_kernel(make_model("llama"), plain=True)
    assert choice is not None and isinstance(choice.kernel, PlainKernel)
    assert EmbeddedSampler(make_model("llama"), plain=True).kernel == "PlainKernel"


def test_a_kernel_that_computes_something_else_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = PlainKernel.attend

    def twice_as_sharp(self: PlainKernel, *operands: Any, scaling: float, **rules: Any) -> torch.Tensor:
        return exact(self, *operands, scaling=2 * scaling, **rules)

    monkeypatch.setattr(select, "NativeKernel", PlainKernel)
    monkeypatch.setattr(PlainKernel, "DTYPES", (torch.float32,), raising=False)
    monkeypatch.setattr(PlainKernel, "attend", twice_as_sharp)
    assert choose_kernel(make_model("llama")) is None


def test_an_architecture_without_the_interface_is_warned_of_once_per_sampler() -> None:
    with pytest.warns(RuntimeWarning, match="BloomForCausalLM keeps its keys and values in a way of its own"):
        EmbeddedSampler(make_model("bloom"))


def test_nothing_of_the_hook_stays_behind() -> None:
    model = make_model("llama")
    before = model.module.config._attn_implementation
    choose_kernel(model)
    assert model.module.config._attn_implementation == before


@pytest.mark.parametrize("command", ["no-such-compiler", "false"])
def test_without_a_compiler_the_plain_kernel_serves_with_one_warning(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", command)
    monkeypatch.setenv("RZERO_CACHE", str(tmp_path))
    native._library.cache_clear()
    try:
        with pytest.warns(RuntimeWarning, match=f"slower than it could be: .*{command}"):
            choice = choose_kernel(make_model("llama"))
    finally:
        native._library.cache_clear()
    assert choice is not None and isinstance(choice.kernel, PlainKernel)


def test_a_source_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RZERO_CACHE", str(tmp_path))
    source = tmp_path / "one.c"
    source.write_text("int one(void) { return 1; }")
    made = compiler.build(source)
    stamp = made.stat().st_mtime_ns
    assert compiler.build(source) == made and made.stat().st_mtime_ns == stamp
    source.write_text("int one(void) { return 2; }")
    assert compiler.build(source) != made
