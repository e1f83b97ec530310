"""Who may import whom, and what importing costs (docs/design.md, "Layers")."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "rzero"

LAYERS = [
    {"types", "errors", "seeds", "user_cache"},
    {"plugins", "config", "grading", "rewards", "curriculum", "memory", "native"},
    {"domains", "costs"},
    {"runs", "models", "engines", "grpo"},
    {"evaluate"},
    {"analysis"},
    {"report"},
    {"evolve"},
    {"experiments", "doctor"},
    {"cli"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
PURE = {
    "types",
    "errors",
    "seeds",
    "plugins",
    "config",
    "grading",
    "rewards",
    "curriculum",
    "evaluate",
    "domains",
    "costs",
}
HEAVY = {"torch", "transformers", "safetensors", "vllm", "ray", "peft"}
ALLOWED_ACROSS = {("engines", "models"), ("grpo", "models"), ("rewards", "curriculum")}
WRAPPED_ONCE = {
    "vllm",
    "ray",
    "wandb",
    "trackio",
    "tensorboard",
    "plotly",
    "peft",
    "gguf",
    "lm_eval",
    "datasets",
    "reasoning_gym",
    "fsspec",
}


def modules() -> list[Path]:
    return sorted(path for path in SOURCE.rglob("*.py") if path.name != "__init__.py" or path.parent != SOURCE)


def room(path: Path) -> str:
    """The package or module directly below rzero that a file belongs to."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Dotted names of all imports outside TYPE_CHECKING blocks, function bodies included."""
    tree = ast.parse(path.read_text())
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_go_down(path: Path) -> None:
    own = room(path)
    for name in imported(path):
        if not name.startswith("rzero."):
            continue
        other = name.split(".")[1]
        if other not in LEVEL or other == own:
            continue
        across = LEVEL[other] == LEVEL[own] and (own, other) in ALLOWED_ACROSS
        assert LEVEL[other] < LEVEL[own] or across, f"{own} must not import {other}"


@pytest.mark.parametrize("name", sorted(PURE))
def test_pure_rooms_import_nothing_heavy(name: str) -> None:
    for path in modules():
        if room(path) == name:
            heavy = {entry for entry in imported(path) if entry.split(".")[0] in HEAVY}
            assert not heavy, f"{path}: {heavy}"


def test_every_room_has_a_layer() -> None:
    assert {room(path) for path in modules()} == set(LEVEL)


def test_optional_packages_are_wrapped_in_one_file_each() -> None:
    for package in WRAPPED_ONCE:
        users = [path for path in modules() if any(name.split(".")[0] == package for name in imported(path))]
        assert len(users) <= 1, f"{package} is imported in {users}"


def test_import_is_cheap() -> None:
    """No torch, and little time: the median of five, since a busy machine may stall one."""
    code = (
        "import sys, time; start = time.perf_counter(); import rzero; took = time.perf_counter() - start; "
        "assert not {'torch', 'transformers', 'scipy', 'sympy'} & set(sys.modules); print(took)"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(5)]
    assert sorted(float(run.stdout) for run in runs)[2] < 0.3
