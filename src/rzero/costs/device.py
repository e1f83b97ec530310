"""What a device could do at most, from its maker's data sheet, or as measured."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from rzero.errors import ConfigError

_MIB = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Device:
    """One accelerator, or a machine's CPU as one.

    ``flops`` are dense bf16 FLOP/s with fp32 sums and ``flops_fp32`` those in fp32; ``bandwidth`` is that of its
    memory, ``link`` to the other devices of its node in one direction and ``network`` its share of the node's network,
    all in bytes/s; ``memory`` is in bytes. ``source`` says where the figures are from.
    """

    name: str
    flops: float
    flops_fp32: float
    bandwidth: float
    memory: int
    link: float
    network: float
    source: str

    def rate(self, bytes_per_weight: int) -> float:
        """FLOP/s in bf16 (2 bytes a weight) or fp32 (4)."""
        return self.flops if bytes_per_weight == 2 else self.flops_fp32


_NETWORK = "network: 400 Gb/s a GPU, as on torchtitan's H100 nodes"
DEVICES = {
    "h100": Device(
        name="h100",
        flops=989e12,
        flops_fp32=67e12,
        bandwidth=3.35e12,
        memory=81559 * _MIB,
        link=450e9,
        network=50e9,
        source=f"NVIDIA H100 SXM data sheet; memory as nvidia-smi shows it; {_NETWORK}",
    ),
    "h200": Device(
        name="h200",
        flops=989e12,
        flops_fp32=67e12,
        bandwidth=4.8e12,
        memory=143771 * _MIB,
        link=450e9,
        network=50e9,
        source=f"NVIDIA H200 SXM data sheet; memory as nvidia-smi shows it; {_NETWORK}",
    ),
    "a100": Device(
        name="a100",
        flops=312e12,
        flops_fp32=19.5e12,
        bandwidth=2.039e12,
        memory=81920 * _MIB,
        link=300e9,
        network=25e9,
        source="NVIDIA A100 80GB SXM data sheet; network: 200 Gb/s a GPU",
    ),
    "a100-40gb": Device(
        name="a100-40gb",
        flops=312e12,
        flops_fp32=19.5e12,
        bandwidth=1.555e12,
        memory=40960 * _MIB,
        link=300e9,
        network=25e9,
        source="NVIDIA A100 40GB SXM data sheet; network: 200 Gb/s a GPU",
    ),
    "rtx4090": Device(
        name="rtx4090",
        flops=165.2e12,
        flops_fp32=82.6e12,
        bandwidth=1.008e12,
        memory=24564 * _MIB,
        link=32e9,
        network=1.25e9,
        source="NVIDIA Ada architecture white paper; link: PCIe 4.0 x16; network: 10 Gb/s",
    ),
    "cpu": Device(
        name="cpu",
        flops=0.97e12,
        flops_fp32=0.22e12,
        bandwidth=65e9,
        memory=24 << 30,
        link=65e9,
        network=1.25e9,
        source="measured: two cores of an AMD EPYC with AVX512-BF16 and 24 GiB (docs/bench.md); network: 10 Gb/s",
    ),
}


def find_device(name: str) -> Device:
    """The device of that name; raises ConfigError, with the nearest name, if there is none.

    >>> find_device("H100").memory / 2**30 > 79
    True
    """
    if name.lower() in DEVICES:
        return DEVICES[name.lower()]
    near = difflib.get_close_matches(name.lower(), DEVICES, 1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise ConfigError(f"--gpu {name!r} is not known; {hint}Devices: {', '.join(DEVICES)}")
