"""LoRA adapters: several policies over the base weights of one opened model. The only file that imports peft.

An adapter is a :class:`LanguageModel` of its own: its module has layers of its own around the base model's own tensors.
So nothing is switched while models are used. A policy, its reference and a voter may be used in any order, also where a
backward pass runs a forward pass once more, and each costs no more than its adapter.

An adapter's directory is in peft's format, with two things more: the tokenizer's files, and ``base.json`` with the
``fingerprint`` of the base model, since the same weights around another model would be silent nonsense.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rzero.config import LoraConfig
from rzero.errors import ConfigError, MissingExtraError, ModelError
from rzero.models.checkpoint import ADAPTER_CONFIG, ADAPTER_WEIGHTS, check_safetensors
from rzero.models.head import OutputHead
from rzero.models.language_model import LanguageModel

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel

OLDEST = "0.21.2"
"""The oldest peft that is known to work; as in pyproject.toml."""

_NAME = "default"  # of the one adapter in a module
_PREFIX = "base_model.model."  # before every name in peft's files
_BASE = "base.json"


def require_peft() -> None:
    """Raises MissingExtraError, with the command that helps, unless a peft that is new enough is installed."""
    from packaging.version import Version

    command = 'run: pip install "rzero[lora]"'
    if find_spec("peft") is None:
        raise MissingExtraError(f"LoRA adapters need peft, which is not installed; {command}")
    if Version(metadata.version("peft")) < Version(OLDEST):
        raise MissingExtraError(f"LoRA adapters need peft {OLDEST}, {metadata.version('peft')} is installed; {command}")


def new_adapter(base: LanguageModel, options: LoraConfig, *, seed: int) -> LanguageModel:
    """An adapter over ``base`` that changes nothing yet: A is random, B is zero. ``base`` is frozen.

    Raises ConfigError for target modules that ``base`` does not have or that cannot have an adapter.
    """
    import torch

    require_peft()
    import peft

    check_targets(base.module, options.target_modules)
    settings = peft.LoraConfig(
        r=options.rank,
        lora_alpha=options.alpha,  # pyright: ignore[reportArgumentType]  a fraction is as good
        target_modules=list(options.target_modules) or "all-linear",
        fan_in_fan_out=any(map(_transposed, base.module.modules())),
        task_type="CAUSAL_LM",
        inference_mode=True,  # frozen, until a learner takes it
        base_model_name_or_path=str(base.path),
    )
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        try:
            return _around(base, settings, path=base.path)
        except ValueError as error:
            reason = " ".join(str(error).split())[:200]
            raise ConfigError(
                f"lora.target_modules={','.join(options.target_modules)}: {reason}; name linear layers of the decoder"
            ) from error


def open_adapter(path: Path, *, base: LanguageModel) -> LanguageModel:
    """The adapter in the directory ``path`` over ``base``. Both are frozen.

    Raises ModelError if it is damaged, or was made for another base model, told by its fingerprint.
    """
    require_peft()
    import peft

    weights = read_adapter(path, base=base)
    try:
        kind = json.loads((path / ADAPTER_CONFIG).read_text(encoding="utf-8")).get("peft_type")
        if kind != "LORA":
            raise ValueError(f"peft_type {kind!r} is not LORA")
        model = _around(base, peft.LoraConfig.from_pretrained(str(path)), path=path)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{path / ADAPTER_CONFIG} cannot be used ({type(error).__name__}: {reason})") from error
    targets = model.trained
    wrong = sorted(
        name
        for name in weights.keys() | targets.keys()
        if name not in weights or name not in targets or weights[name].shape != targets[name].shape
    )
    if wrong:
        raise ModelError(
            f"{path}: {len(wrong)} weights are missing or are not what {ADAPTER_CONFIG} describes (first: {wrong[0]}); "
            "fetch the adapter again"
        )
    for name, parameter in targets.items():
        parameter.data.copy_(weights[name])
    return model


def read_adapter(path: Path, *, base: LanguageModel) -> dict[str, Tensor]:
    """The weights of the adapter in the directory ``path``, by parameter name as in an opened module.

    Raises ModelError as :func:`open_adapter` does.
    """
    from safetensors.torch import load_file

    _check_base(path, base)
    file = path / ADAPTER_WEIGHTS
    if not file.is_file():
        raise ModelError(f"{file} does not exist; go back to an earlier save, or fetch the adapter again")
    check_safetensors(file)
    return {_parameter_name(name): tensor for name, tensor in load_file(file).items()}


def save_adapter(model: LanguageModel, directory: Path) -> None:
    """Write the adapter ``model`` into the existing ``directory`` (without the tokenizer's files).

    The bytes depend on adapter and base alone.
    """
    from safetensors.torch import save_file

    assert model.base is not None
    settings: Any = copy.copy(_settings(model))
    settings.base_model_name_or_path = str(model.base.path)
    settings.target_modules = sorted(settings.target_modules)  # a set, whose order differs between processes
    settings.save_pretrained(str(directory))
    weights = {_file_name(name): tensor.detach() for name, tensor in model.trained.items()}
    save_file(weights, directory / ADAPTER_WEIGHTS, metadata={"format": "pt"})
    text = json.dumps({"fingerprint": model.base.fingerprint}) + "\n"
    (directory / _BASE).write_text(text, encoding="utf-8")


def merge(model: LanguageModel) -> LanguageModel:
    """Add the adapter ``model`` to its base model's weights, for good; returns the base model, which it then equals.

    Any other adapter over the same base is wrong from then on.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    assert model.base is not None
    for layer in model.module.modules():
        if isinstance(layer, BaseTunerLayer):
            layer.merge()
    return model.base


def merged_weights(model: LanguageModel) -> Iterator[tuple[str, Tensor]]:
    """The base model's weights with the adapter ``model`` added, by the base model's names, one at a time.

    Nothing is changed. The sums are formed in fp32 and rounded to the base model's precision.
    """
    import torch
    from peft.tuners.tuners_utils import BaseTunerLayer

    assert model.base is not None
    layers: dict[int, Any] = {
        id(layer.get_base_layer().weight): layer
        for layer in model.module.modules()
        if isinstance(layer, BaseTunerLayer)
    }
    for name, weight in model.base.module.named_parameters():
        layer = layers.get(id(weight))
        if layer is None:
            yield name, weight.detach()
            continue
        with torch.no_grad():
            whole = (weight.float() + layer.get_delta_weight(_NAME).float()).to(weight.dtype)
        yield name, whole


def _around(base: LanguageModel, settings: Any, *, path: Path) -> LanguageModel:
    """Layers as in ``base``, around its very tensors, with new adapters as ``settings`` say."""
    import peft
    from peft.tuners.tuners_utils import BaseTunerLayer

    tensors = [*base.module.parameters(), *base.module.buffers()]
    module = copy.deepcopy(base.module, {id(tensor): tensor for tensor in tensors})
    peft.inject_adapter_in_model(settings, module, _NAME)
    module.requires_grad_(False).eval()
    ends = (module.get_input_embeddings(), module.get_output_embeddings())
    if any(isinstance(layer, BaseTunerLayer) for layer in ends):
        raise ValueError("an embedding or the output head cannot have an adapter")
    return replace(base, module=module, path=path, head=OutputHead.of(module), base=base)


def _settings(model: LanguageModel) -> Any:
    return model.module.peft_config[_NAME]  # pyright: ignore


def check_targets(module: PreTrainedModel, targets: tuple[str, ...]) -> None:
    """Raises ConfigError unless each name is there, by peft's rule; peft itself is content with one of them."""
    names = [name for name, _ in module.named_modules()]
    for target in targets:
        if not any(name == target or name.endswith(f".{target}") for name in names):
            raise ConfigError(
                f"lora.target_modules={','.join(targets)}: {type(module).__name__} has no {target!r}; name some of "
                f"{', '.join(_linear_layers(module))}"
            )


def _linear_layers(module: PreTrainedModel) -> list[str]:
    from torch import nn

    head = module.get_output_embeddings()
    found = ((name, layer) for name, layer in module.named_modules() if layer is not head)
    linear = {name.rpartition(".")[2] for name, layer in found if isinstance(layer, nn.Linear) or _transposed(layer)}
    return sorted(linear)


def _transposed(layer: nn.Module) -> bool:
    from transformers.pytorch_utils import Conv1D

    return isinstance(layer, Conv1D)  # a linear layer, in GPT-2


def _check_base(path: Path, base: LanguageModel) -> None:
    file = path / _BASE
    if not file.is_file():  # made by another program
        return
    try:
        record: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        recorded = record["fingerprint"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ModelError(f"{file} cannot be read ({type(error).__name__}: {error}); fetch the adapter again") from error
    if recorded != base.fingerprint:
        raise ModelError(
            f"{path} is an adapter of a base model with fingerprint {recorded}, but {base.path} has "
            f"{base.fingerprint}; put the right model there"
        )


def _file_name(parameter: str) -> str:
    """A weight's name in peft's files.

    >>> _file_name("model.layers.0.mlp.up_proj.lora_A.default.weight")
    'base_model.model.model.layers.0.mlp.up_proj.lora_A.weight'
    """
    return _PREFIX + parameter.replace(f".{_NAME}.", ".")


def _parameter_name(name: str) -> str:
    """What :func:`_file_name` was made of.

    >>> _parameter_name("base_model.model.model.layers.0.mlp.up_proj.lora_A.weight")
    'model.layers.0.mlp.up_proj.lora_A.default.weight'
    """
    layer, _, leaf = name.removeprefix(_PREFIX).rpartition(".")
    return f"{layer}.{_NAME}.{leaf}"
