from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest
import torch

from rzero import memory
from rzero.memory import available_memory


def test_available_memory_keeps_to_the_process_limits() -> None:
    cpu = torch.device("cpu")
    assert 0 < available_memory(cpu) <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert memory._number("/nowhere") is None


FREED = """
import torch
from rzero import memory
from rzero.engines.process import prepare
prepare(1)
block = torch.ones(1 << 26)
held = memory._kept_by_malloc()
del block
print((memory._kept_by_malloc() - held) >> 20)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="malloc is not that of glibc 2.33 or newer")
def test_what_malloc_keeps_is_known() -> None:
    run = subprocess.run([sys.executable, "-c", FREED], capture_output=True, text=True, check=True)
    assert abs(int(run.stdout) - 256) <= 1
