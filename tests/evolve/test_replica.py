"""A copy of a policy elsewhere, which is sent its weights, says what the policy says."""

from __future__ import annotations

from pathlib import Path

import pytest

from rzero import config
from rzero.domains.arithmetic import Arithmetic
from rzero.engines.base import Sampler, SamplingParams
from rzero.engines.embedded import EmbeddedSampler
from rzero.engines.tensors import pack, unpack
from rzero.evolve.embedded_engine import EmbeddedEngine
from rzero.evolve.training import groups_of
from rzero.types import Completion
from tiny_run import TINY


@pytest.mark.parametrize("rank", [0, 4])
def test_weights_that_are_sent_are_all_that_differs(micro: Path, rank: int) -> None:
    options = config.load("micro", {**TINY, "lora.rank": rank, "challenger.learning_rate": 3e-3, "model.device": "cpu"})
    here, elsewhere = EmbeddedEngine(options, micro), EmbeddedEngine(options, micro)
    prompt = here.render(Arithmetic().challenger_prompt())

    def write(sampler: Sampler) -> list[list[Completion]]:
        return sampler.generate([prompt], SamplingParams(n=12, max_new_tokens=24))

    policy = here.policy(micro, reference=micro, role=options.challenger)
    replica = elsewhere.replica(micro)
    assert isinstance(replica, EmbeddedSampler) and replica.policy_version == -1
    before = write(policy.sampler)
    rewards = [float(len(completion.token_ids) % 3) for completion in before[0]]
    policy.learner.step(groups_of([prompt], before, rewards, policy_version=0))
    assert write(replica) == before
    replica.load_weights(unpack(pack(policy.learner.weights())), policy_version=1)
    after = write(policy.sampler)
    assert write(replica) == after != before
    assert write(elsewhere.sampler(micro)) == before  # the frozen model that it may share tensors with
    assert policy.learner.save_bytes > 12 * sum(tensor.numel() for _, tensor in policy.learner.weights())
