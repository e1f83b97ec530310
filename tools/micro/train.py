"""Pretraining of the micro model from random weights: Muon on the matrices, AdamW on the rest.

Master weights are fp32 and the forward and backward passes run in bf16, which is near twice as fast at these sizes on
CPUs that have bf16 instructions. Batches hold documents of like length, so there is next to no padding; the loss is on
responses. Everything is drawn from the seed; the same machine and thread count give the same bytes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import torch
from micro.corpus import CorpusOptions, Document, document
from micro.tokenizer import VOCABULARY, build
from torch.nn import functional
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

DOCUMENTS_PER_SORT = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOptions:
    """Sizes of the model and of its training."""

    seed: int = 0
    steps: int = 11000
    easy_steps: int = 1000
    tokens_per_step: int = 1536
    matrix_rate: float = 0.02
    other_rate: float = 3e-3
    hidden: int = 128
    layers: int = 3
    heads: int = 4
    feed_forward: int = 320
    corpus: CorpusOptions = field(default_factory=CorpusOptions)


def pretrain(out: Path, options: TrainOptions) -> None:
    """Train a model and write it, its tokenizer and its generation settings to ``out``."""
    torch.manual_seed(options.seed)
    torch.use_deterministic_algorithms(True)
    tokenizer = build()
    model = _model(tokenizer, options)
    policy = _Bf16Copy(model)
    optimizers = _optimizers(model, options)
    batches = _batches(tokenizer, options)
    tokens, started, running = 0, time.perf_counter(), 0.0
    for step in range(options.steps):
        ids, labels = next(batches)
        for optimizer, rate in zip(optimizers, (options.matrix_rate, options.other_rate), strict=True):
            optimizer.param_groups[0]["lr"] = rate * _schedule(step, options.steps)
        running += policy.backward(ids, labels, scale=1 / options.tokens_per_step)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        policy.refresh()
        tokens += ids.numel()
        if step % 500 == 499:
            speed = tokens / (time.perf_counter() - started)
            print(f"step {step + 1} loss {running / 500:.4f} tokens {tokens:,} at {speed:,.0f}/s", flush=True)
            running = 0.0
    model.save_pretrained(out)
    (out / "model.safetensors").chmod(0o644)
    tokenizer.save_pretrained(out)


def _model(tokenizer: PreTrainedTokenizerFast, options: TrainOptions) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=-(-len(VOCABULARY) // 8) * 8,
        hidden_size=options.hidden,
        intermediate_size=options.feed_forward,
        num_hidden_layers=options.layers,
        num_attention_heads=options.heads,
        num_key_value_heads=options.heads,
        max_position_embeddings=tokenizer.model_max_length,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        attn_implementation="eager",  # on CPU SDPA is slower than plain products at these sizes
    )
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(
        bos_token_id=config.bos_token_id,
        eos_token_id=config.eos_token_id,
        pad_token_id=config.pad_token_id,
        do_sample=True,
        temperature=1.0,
        top_k=0,
        max_new_tokens=160,
    )
    return model


class _Bf16Copy:
    """A bf16 twin that does the passes and hands its gradients to the fp32 master."""

    def __init__(self, master: LlamaForCausalLM) -> None:
        self._pairs: list[tuple[torch.nn.Parameter, torch.nn.Parameter]] = []
        self._twin = LlamaForCausalLM(master.config).to(torch.bfloat16)
        self._pairs = list(zip(master.parameters(), self._twin.parameters(), strict=True))
        self.refresh()

    def backward(self, ids: torch.Tensor, labels: torch.Tensor, *, scale: float) -> float:
        """The mean cross-entropy of the labelled tokens (nats).

        The master gets the gradient of the sum times ``scale``: a mean would give the few tokens of a batch of short
        documents more weight than those of long ones.
        """
        logits = self._twin(input_ids=ids, use_cache=False).logits[:, :-1]
        wanted = labels[:, 1:] >= 0
        loss = functional.cross_entropy(logits[wanted].float(), labels[:, 1:][wanted], reduction="sum")
        (loss * scale).backward()
        for master, twin in self._pairs:
            assert twin.grad is not None
            master.grad = twin.grad.float()
            twin.grad = None
        return loss.item() / int(wanted.sum())

    @torch.no_grad()
    def refresh(self) -> None:
        """Round the master's weights into the twin."""
        for master, twin in self._pairs:
            twin.copy_(master)


def _optimizers(model: LlamaForCausalLM, options: TrainOptions) -> list[torch.optim.Optimizer]:
    inner = [(name, weight) for name, weight in model.named_parameters() if weight.ndim == 2 and "embed" not in name]
    names = {name for name, _ in inner}
    others = [weight for name, weight in model.named_parameters() if name not in names]
    return [
        torch.optim.Muon([weight for _, weight in inner], lr=options.matrix_rate, weight_decay=0.01),
        torch.optim.AdamW(others, lr=options.other_rate, betas=(0.9, 0.95), weight_decay=0.0),
    ]


def _schedule(step: int, steps: int) -> float:
    """Up over 100 steps, level to the middle, then down in a line to near zero."""
    return min(1.0, (step + 1) / 100, 2 * (steps - step) / steps)


def _batches(tokenizer: PreTrainedTokenizerFast, options: TrainOptions) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Endless (ids, labels), both [rows, tokens]; labels are -1 where there is no loss."""
    rng, served = Random(options.seed), 0
    while True:
        easy = served < options.easy_steps
        rows = _encode(tokenizer, [document(rng, options.corpus, easy=easy) for _ in range(DOCUMENTS_PER_SORT)])
        rows.sort(key=lambda row: len(row[0]))
        sorted_batches, start = [], 0
        while start < len(rows):
            stop = start
            while stop < len(rows) and (stop - start + 1) * len(rows[stop][0]) <= options.tokens_per_step:
                stop += 1
            sorted_batches.append(rows[start:stop])
            start = stop
        rng.shuffle(sorted_batches)
        for batch in sorted_batches:
            served += 1
            yield _pad(batch)


def _encode(tokenizer: PreTrainedTokenizerFast, documents: list[Document]) -> list[tuple[list[int], int]]:
    """Token ids and the length of the prompt, for each document."""
    core = tokenizer.backend_tokenizer
    prompts = core.encode_batch([doc.prompt for doc in documents], add_special_tokens=False)
    responses = core.encode_batch([doc.response for doc in documents], add_special_tokens=False)
    return [(left.ids + right.ids, len(left.ids)) for left, right in zip(prompts, responses, strict=True)]


def _pad(rows: list[tuple[list[int], int]]) -> tuple[torch.Tensor, torch.Tensor]:
    width = -(-max(len(ids) for ids, _ in rows) // 8) * 8
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    labels = torch.full((len(rows), width), -1)
    for row, (tokens, prompt) in enumerate(rows):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        labels[row, prompt : len(tokens)] = ids[row, prompt : len(tokens)]
    return ids, labels
