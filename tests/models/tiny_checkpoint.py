"""Tiny checkpoints with random weights and a tokenizer trained on the spot: nothing is downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedTokenizerFast

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

_SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
}
_GPT2_SIZES = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}


def train_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["What is the sum of one and two? The answer is three."] * 4, trainer)
    return tokenizer


def wrap(tokenizer: Tokenizer, *, template: str | None = None, **tokens: str) -> PreTrainedTokenizerFast:
    tokens = tokens or {"eos_token": "<|endoftext|>"}
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **tokens)
    wrapped.chat_template = template
    return wrapped


def make_checkpoint(directory: Path, architecture: str, *, template: str | None = CHATML, **options: Any) -> Path:
    """Write a checkpoint of ``architecture``, with ``options`` for its config: the same weights each time."""
    tokenizer = wrap(train_tokenizer(), template=template)
    sizes = _GPT2_SIZES if architecture == "gpt2" else _SIZES
    ends = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    config = CONFIG_MAPPING[architecture](vocab_size=len(tokenizer), **{**sizes, **ends, **options})
    torch.manual_seed(0)
    module = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    for parameter in module.parameters():
        parameter.data.add_(0.3 * torch.randn_like(parameter))  # logits large enough for a soft cap to show
    module.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory
