"""What can be told before anything loads: whether the options make sense, and how large the run will be."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from rzero.config import Config, LoraConfig, RoleConfig
from rzero.costs.workload import Lengths, sampled_tokens, workload
from rzero.engines.ray_cluster import require_ray
from rzero.errors import ConfigError, ModelError
from rzero.evaluate.tasks import data_path, load_examples
from rzero.models.checkpoint import check_safetensors, is_adapter, weight_files
from rzero.models.lora import require_peft
from rzero.models.resolve import resolve
from rzero.plugins import load_object
from rzero.runs.trackers.opening import require
from rzero.user_cache import user_cache


def check_options(config: Config) -> dict[str, str]:
    """Refuse what would otherwise fail hours into the run: missing data files, rewards that cannot be imported.

    Returns each test file's digest by its name. Raises ConfigError, DataError or MissingExtraError.
    """
    require(config)
    stems: dict[str, str] = {}
    digests: dict[str, str] = {}
    for name in config.evaluate.data:
        path = data_path(name)
        load_examples(path, limit=config.evaluate.limit)
        if path.stem in stems:
            raise ConfigError(
                f"evaluate.data names {stems[path.stem]} and {name}, whose results would have the same name; rename one"
            )
        stems[path.stem] = name
        digests[path.stem] = hashlib.sha256(path.read_bytes()).hexdigest()
    if config.lora.rank:
        require_peft()
    if config.engine.cluster == "ray":
        require_ray()
    if config.engine.sampler == "vllm":
        from rzero.engines.vllm import require_vllm

        require_vllm()
    for option, value, built_in in (
        ("challenger.reward", config.challenger.reward, "uncertainty"),
        ("solver.reward", config.solver.reward, "agreement"),
    ):
        if value == built_in:
            continue
        if ":" not in value:
            raise ConfigError(f"{option}={value!r} is neither {built_in!r} nor of the form package.module:name")
        if not callable(load_object(value, option=option)):
            raise ConfigError(
                f"{option}={value!r} is not a function; name one that takes the item and returns a number"
            )
    return digests


def find_model(config: Config) -> Path:
    """The base model's directory; a GGUF file is converted once, into the user's cache. Raises ModelError."""
    return resolve(config.model.path, store=user_cache() / "models").absolute()


def find_base(config: Config) -> Path:
    """The model that a run starts from. Raises ModelError as :func:`find_model` does, and for an adapter."""
    base = find_model(config)
    if is_adapter(base):
        raise ModelError(
            f"model.path={config.model.path!r} is an adapter, but a run starts from a whole model; write one with: "
            f"rzero export {config.model.path} --out DIRECTORY"
        )
    return base


def sizes(config: Config, base: Path) -> list[str]:
    """The derived numbers, a line each."""
    weights = sum(file.stat().st_size for file in weight_files(base))
    adapter = adapter_size(base, config.lora)
    pool = config.generate.num_questions
    lines = [
        _role("Challenger", config.challenger)
        if config.challenger.train
        else "Challenger: not trained (challenger.train is false)",
        f"  each question takes {config.vote.num_votes} votes of at most {config.vote.max_new_tokens} tokens",
        f"Pool: {pool} questions, {pool * config.vote.num_votes} votes",
        _role("Solver", config.solver),
        f"Tokens per iteration: at most {_short(_most_tokens(config))} (completions alone)",
        f"Disk: about {_gib(2 * adapter or weights, config)} GiB; base model {weights / 2**30:.2f} GiB",
    ]
    if config.lora.rank:
        lines.insert(0, f"LoRA: rank {config.lora.rank}, about {_short(adapter)} parameters in each adapter")
    return [f"{base.name}: {config.iterations} iterations, seed {config.seed}", *lines]


def _role(name: str, role: RoleConfig) -> str:
    rollouts = role.prompts_per_step * role.group_size
    updates = role.steps * role.updates_per_step
    return (
        f"{name}: {role.steps} steps of {role.prompts_per_step} x {role.group_size} = {rollouts} rollouts, "
        f"{role.updates_per_step} updates a step, {updates} updates in the phase, at most {role.max_new_tokens} "
        f"tokens each"
    )


def _most_tokens(config: Config) -> int:
    """The longest possible completions of one iteration, in tokens."""
    longest = max(config.challenger.max_new_tokens, config.vote.max_new_tokens, config.solver.max_new_tokens)
    return sampled_tokens(workload(config, Lengths(prompt=0, question=longest, answer=longest)))


def adapter_size(base: Path, lora: LoraConfig) -> int:
    """Parameters of an adapter, told from the base model's headers: rank x (rows + columns) of each layer's matrix.

    Matrices as long as the vocabulary are embeddings, which get none; nor do experts that are stored in one piece.
    """
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    vocab_size = config.get("vocab_size") or (config.get("text_config") or {}).get("vocab_size")
    shapes = {name: entry["shape"] for file in weight_files(base) for name, entry in check_safetensors(file).items()}
    return lora.rank * sum(
        sum(shape)
        for name, shape in shapes.items()
        if len(shape) == 2
        and vocab_size not in shape
        and f".{name.removesuffix('.weight')}".endswith(tuple(f".{target}" for target in lora.target_modules) or "")
    )


def _gib(weights: int, config: Config) -> str:
    """Upper estimate, for bf16: a checkpoint holds fp32 masters too, and a resumable save AdamW's moments."""
    checkpoints = (2 if config.challenger.train else 1) * config.iterations
    return f"{(3 * checkpoints + 7 * (config.checkpoint.keep_last + 1)) * weights / 2**30:.1f}"


def _short(number: int) -> str:
    """A number in about three digits.

    >>> _short(740), _short(41_000), _short(1_234_567)
    ('740', '41 k', '1.23 M')
    """
    for factor, unit in ((10**9, " G"), (10**6, " M"), (10**3, " k")):
        if number >= factor:
            return f"{number / factor:.3g}{unit}"
    return str(number)
