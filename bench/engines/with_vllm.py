"""vLLM's offline engine in bf16, in one process, with its defaults for batching and prefix caching."""

from __future__ import annotations

from typing import Any

from vllm import LLM, SamplingParams

from harness.serve import serve

_loaded: dict[str, Any] = {}


def load(model: str, max_model_len: int, **options: Any) -> None:
    """Start the engine; up to 256 sequences run side by side."""
    _loaded["llm"] = LLM(
        model=model, dtype="bfloat16", max_model_len=max_model_len, max_num_seqs=256, seed=0, **options
    )


def sample(conversations: list[Any], n: int, max_new_tokens: int, seed: int) -> dict[str, int]:
    """``n`` completions of each conversation; returns the number of prompt tokens and of generated tokens."""
    llm = _loaded["llm"]
    tokenizer = llm.get_tokenizer()
    texts = [
        tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True) for turns in conversations
    ]
    prompts = [{"prompt_token_ids": tokenizer(text, add_special_tokens=False)["input_ids"]} for text in texts]
    llm.reset_prefix_cache()  # every repeat does the same work
    # The seed is left out: with one for each request vLLM draws row by row, which is slower.
    params = SamplingParams(n=n, temperature=1.0, top_p=1.0, top_k=0, max_tokens=max_new_tokens)
    outputs = llm.generate(prompts, params, use_tqdm=False)
    return {
        "prompt_tokens": sum(len(prompt["prompt_token_ids"]) for prompt in prompts),
        "tokens": sum(len(completion.token_ids) for output in outputs for completion in output.outputs),
    }


if __name__ == "__main__":
    serve({"load": load, "sample": sample})
