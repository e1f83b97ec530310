"""Options of the machine, with their defaults: which model, what runs it, the grader's processes, what is kept."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from rzero.config.section import Section


class ModelConfig(Section):
    """The one base model that both roles start from."""

    path: str = ""
    """Hugging Face directory, GGUF file, or hub id (needs a network). Also given as --model."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Compute precision. auto: bfloat16 where the device multiplies it fast, else float32. Master weights are always
    fp32.
    """
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU if there is one."""
    trust_remote_code: bool = False
    """Run Python code that comes with the checkpoint. Off unless you have read that code."""


class EngineConfig(Section):
    """What runs the models."""

    sampler: Literal["embedded", "vllm"] = "embedded"
    """embedded: PyTorch in this process, weights shared with the learner. vllm: vLLM in this process, for both roles,
    which is given the weights after each step.
    """
    max_rows: int = Field(default=256, ge=1)
    """Completions that are decoded side by side."""
    kv_gib: float = Field(default=0.0, ge=0.0)
    """Most memory for the keys and values of running completions, in GiB; 0 takes half of what is free (vllm: a
    quarter, and on a GPU what vllm_memory leaves).
    """
    attention: Literal["auto", "plain"] = "auto"
    """auto: the fastest kernel that is proven on the model when it is opened. plain: PyTorch's basic operations and no
    CUDA graphs, slower, for a machine on which a faster kernel breaks. embedded alone.
    """
    vllm_memory: float = Field(default=0.4, gt=0.0, lt=1.0)
    """Share of a GPU's memory that vLLM takes while it samples; between calls it sleeps, and the learner has it."""
    vllm_compile: Literal["auto", "on", "off"] = "auto"
    """Whether vLLM compiles the model when it starts, which takes a minute or more. auto: on a GPU alone."""
    threads: int = Field(default=0, ge=0)
    """CPU threads; 0 takes all cores. Part of a run's identity: other thread counts round differently."""
    cluster: Literal["none", "ray"] = "none"
    """ray: samplers and learners are processes that Ray places on the nodes of a cluster; needs the ray extra."""
    num_samplers: int = Field(default=1, ge=1)
    """Processes that sample, each with threads CPU threads (0: as many as all can have alike) or a GPU."""
    num_learners: int = Field(default=1, ge=1)
    """Processes among which a policy in training is divided."""
    ray_address: str = ""
    """host:port of the cluster's head node, or auto on one of its nodes; none starts Ray on this machine."""
    ray_timeout_s: float = Field(default=20.0, gt=0.0)
    """Longest wait for the cluster, its nodes and a new process on them, in seconds. Raise it where nodes come slowly.
    """

    @model_validator(mode="after")
    def _processes_need_a_cluster(self) -> EngineConfig:
        for name in ("num_samplers", "num_learners"):
            if self.cluster == "none" and getattr(self, name) > 1:
                raise ValueError(f"engine.{name}={getattr(self, name)} needs a cluster; set engine.cluster=ray")
        return self


class GradingConfig(Section):
    """The one grader."""

    timeout_s: float = Field(default=5.0, gt=0.0)
    """Wall-clock limit for one symbolic comparison, in seconds; its process is killed there."""
    workers: int = Field(default=1, ge=1)
    """Worker processes."""


class CheckpointConfig(Section):
    """What is kept of the training phases. Each phase's last policy is always kept."""

    every_steps: int = Field(default=1, ge=1)
    """Steps between two saves from which a run can resume."""
    keep_last: int = Field(default=1, ge=1)
    """Resumable saves that are kept of the running phase."""
