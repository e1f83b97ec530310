"""What each process gets of what a cluster has, and what is said where that is too little."""

from __future__ import annotations

import pytest

from rzero.engines.placement import Node, Share, place
from rzero.errors import ConfigError


def nodes(*sizes: tuple[int, int]) -> list[Node]:
    return [Node(name=f"n{number}", cpus=cpus, gpus=gpus) for number, (cpus, gpus) in enumerate(sizes)]


def test_cores_are_shared_out_by_node() -> None:
    found = place(nodes((4, 0), (8, 0)), samplers=3, learners=2, threads=0, device="auto")
    assert found.sampler == Share(threads=4, gpus=0.0)
    assert found.learner == Share(threads=4, gpus=0.0)
    assert place(nodes((4, 0), (8, 0)), samplers=3, learners=1, threads=0, device="cpu").learner.threads == 8
    assert place(nodes((4, 0)), samplers=4, learners=1, threads=0, device="cpu").sampler.threads == 1
    assert place(nodes((4, 0)), samplers=2, learners=1, threads=2, device="cpu").sampler.threads == 2


def test_gpus_are_whole_where_there_are_enough_and_shared_with_one_learner() -> None:
    gpus = [
        place(nodes((8, there)), samplers=samplers, learners=learners, threads=0, device="auto").sampler.gpus
        for there, samplers, learners in ((8, 4, 4), (2, 1, 1), (1, 1, 1), (2, 3, 1), (2, 2, 1), (0, 2, 2))
    ]
    assert gpus == [1.0, 1.0, 0.5, 0.5, 0.5, 0.0]
    assert place(nodes((8, 4)), samplers=1, learners=1, threads=0, device="cpu").learner.gpus == 0.0


@pytest.mark.parametrize(
    ("sizes", "options", "words"),
    [
        (
            [(1, 0), (1, 0)],
            {"samplers": 3},
            r"num_samplers=3 needs 3 times 1 CPU.*2 CPUs .*n1: 1 CPUs.*lower engine.num",
        ),
        ([(3, 0), (3, 0)], {"samplers": 3, "threads": 2}, r"threads=2 needs 3 times 2.*6 CPUs.*or engine.threads"),
        ([(1, 0)], {"learners": 2}, r"num_learners=2 needs 2"),
        ([(8, 3)], {"samplers": 2, "learners": 2}, r"need 4 GPUs.*3 GPUs.*num_learners=1"),
        ([(8, 0)], {"device": "cuda"}, r"model.device='cuda'.*0 GPUs"),
        ([], {}, "no node"),
    ],
)
def test_too_little_is_said_with_what_there_is(sizes: list[tuple[int, int]], options: dict, words: str) -> None:
    given = {"samplers": 1, "learners": 1, "threads": 0, "device": "auto"} | options
    with pytest.raises(ConfigError, match=words):
        place(nodes(*sizes), **given)
