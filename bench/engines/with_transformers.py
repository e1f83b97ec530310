"""transformers' ``generate`` in bf16: all rows in one batch, left-padded, sampling at temperature 1 from all tokens."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness.serve import serve

_loaded: dict[str, Any] = {}


def load(model: str, threads: int) -> None:
    """Open the checkpoint in bf16."""
    torch.set_num_threads(threads)
    _loaded["tokenizer"] = AutoTokenizer.from_pretrained(model, padding_side="left")
    _loaded["model"] = AutoModelForCausalLM.from_pretrained(model, dtype=torch.bfloat16).eval()


def sample(conversations: list[Any], n: int, max_new_tokens: int, seed: int, **options: Any) -> dict[str, int]:
    """``n`` completions of each conversation; returns the number of prompt tokens and of generated tokens."""
    tokenizer, model = _loaded["tokenizer"], _loaded["model"]
    texts = [
        tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True) for turns in conversations
    ]
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    inputs = tokenizer(texts, add_special_tokens=False, padding=True, return_tensors="pt")
    torch.manual_seed(seed)
    with torch.inference_mode():
        output = model.generate(
            **inputs,
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            num_return_sequences=n,
            max_new_tokens=max_new_tokens,
            pad_token_id=tokenizer.pad_token_id,
            **options,
        )
    completions = output[:, inputs["input_ids"].shape[1] :]
    ends = model.generation_config.eos_token_id
    return {
        "prompt_tokens": int(inputs["attention_mask"].sum()),
        "tokens": sum(_length(row, ends if isinstance(ends, list) else [ends]) for row in completions.tolist()),
    }


def _length(row: list[int], ends: list[int]) -> int:
    """Tokens up to the first end token, which counts; what follows is padding."""
    return next((index + 1 for index, token in enumerate(row) if token in ends), len(row))


if __name__ == "__main__":
    serve({"load": load, "sample": sample})
