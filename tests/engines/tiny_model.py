"""Tiny models with random weights and a byte-level tokenizer made on the spot: nothing is downloaded."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedTokenizerFast

from rzero.models.head import OutputHead
from rzero.models.language_model import LanguageModel
from rzero.models.rendering import Renderer

CONTEXT = 96
_SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": CONTEXT,
}
_WINDOW = {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]}
ARCHITECTURES = {
    "llama": _SIZES,
    "qwen2": _SIZES,
    "mistral": {**_SIZES, "head_dim": 32, "sliding_window": None},  # the least head that vLLM has a kernel for on a CPU
    "qwen3": {**_SIZES, "num_key_value_heads": 1, "tie_word_embeddings": True},
    "gemma2": {**_SIZES, **_WINDOW, "query_pre_attn_scalar": 16, "final_logit_softcapping": 5.0},
    "gemma3_text": {**_SIZES, **_WINDOW, "query_pre_attn_scalar": 16},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": CONTEXT},
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4},  # its attention does not go through the interface
}


@cache
def make_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["What is the sum of one and two? The answer is three."] * 4, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>")


def make_model(
    architecture: str = "llama", *, seed: int = 0, dtype: torch.dtype = torch.float32, path: Path = Path()
) -> LanguageModel:
    """Weights are large enough for peaked distributions; about one token in 25 ends a completion."""
    tokenizer = make_tokenizer()
    ends = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    config = CONFIG_MAPPING[architecture](vocab_size=len(tokenizer), **ARCHITECTURES[architecture], **ends)
    torch.manual_seed(seed)
    module = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    module.to(dtype).eval()
    return LanguageModel(
        module=module,
        tokenizer=tokenizer,
        path=path,
        stop_ids=frozenset(range(0, len(tokenizer), 25)),
        max_context=CONTEXT,
        head=OutputHead.of(module),
        renderer=Renderer(tokenizer),
    )


def make_prompts(count: int, *, seed: int = 0) -> list[list[int]]:
    """Prompts of 1 to 40 tokens."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 41, (count,), generator=generator).tolist()
    return [torch.randint(1, 280, (length,), generator=generator).tolist() for length in lengths]
