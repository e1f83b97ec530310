"""rzero's samplers as processes of a Ray that is started here, all of them or the first few."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.serve import serve
from rzero import config
from rzero.engines.base import SamplingParams
from rzero.engines.fleet import Fleet, FleetSampler, Source
from rzero.engines.ray_cluster import RayCluster
from rzero.evolve.hosts import SamplerHost
from rzero.models.open import open_tokenizer
from rzero.models.rendering import Renderer
from rzero.types import Message, Prompt

_loaded: dict[str, Any] = {}


def load(model: str, samplers: int, max_rows: int) -> None:
    """Start Ray and ``samplers`` processes of one thread each, and open the checkpoint in all of them."""
    options = config.load("laptop", {"engine.threads": 1, "engine.max_rows": max_rows, "model.device": "cpu"})
    cluster = RayCluster("", timeout_s=60, object_store_bytes=2**28)
    workers = [
        cluster.start(SamplerHost, options, Path(model), name=f"sampler {n}", cpus=1, gpus=0.0, restarts=True)
        for n in range(samplers)
    ]
    contexts = [call.result()[0] for call in [worker.call("describe") for worker in workers]]
    _loaded["samplers"] = {
        number: FleetSampler(
            Fleet(cluster, workers[:number], max_rows=max_rows, max_context=contexts[0]),
            Source(checkpoint=Path(model)),
            may_cancel=False,
        )
        for number in range(1, samplers + 1)
    }
    _loaded["renderer"] = Renderer(open_tokenizer(Path(model)))


def sample(conversations: list[Any], n: int, max_new_tokens: int, seed: int, samplers: int) -> dict[str, Any]:
    """``n`` completions of each conversation by the first ``samplers``; the number of generated tokens."""
    prompts = [
        _loaded["renderer"].render(Prompt(messages=tuple(Message(t["role"], t["content"]) for t in turns)))
        for turns in conversations
    ]
    params = SamplingParams(n=n, max_new_tokens=max_new_tokens, seed=seed)
    groups = _loaded["samplers"][samplers].generate(prompts, params)
    return {"tokens": sum(len(completion.token_ids) for group in groups for completion in group)}


if __name__ == "__main__":
    serve({"load": load, "sample": sample})
