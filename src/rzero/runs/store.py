"""The run directory: the only reader and writer of its paths (``docs/run-directory.md`` describes them)."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from rzero.config import Config, differences, validate
from rzero.errors import RunDirectoryError
from rzero.runs.atomic import TEMPORARY_PREFIX, read_json, read_jsonl, write_json, write_jsonl
from rzero.runs.lock import LOCK, in_use, lock
from rzero.runs.state import State
from rzero.types import Phase

SCHEMA_VERSION = 1

MAY_CHANGE = (
    "iterations",
    "progress",
    "tracker",
    "model.path",
    "checkpoint.every_steps",
    "checkpoint.keep_last",
    "grading.workers",
    "grpo.checkpointing",
    "engine.attention",
    "engine.cluster",
    "engine.num_samplers",
    "engine.num_learners",
    "engine.ray_address",
    "engine.ray_timeout_s",
)
"""Options that a resumed run may change: they alter neither what was computed nor what will be.

The model may have moved; its fingerprint is compared instead of its path. A run may also move to another cluster, as to
another machine: that changes rounding, and is told (:meth:`RunDirectory.machine_changes`). So does another attention
kernel, which a run must be able to leave if it breaks.
"""

RESULTS = ("eval", "labels", "report.html")
"""What other commands than ``rzero run`` put into a run directory."""


class RunDirectory:
    """One run's files. Create it with :meth:`open`; every path in the directory is named here and nowhere else."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state = State.load(root / "state.json")

    @classmethod
    def exists(cls, root: Path) -> bool:
        """Whether ``root`` holds a run."""
        return (root / "run.json").is_file()

    @classmethod
    def check(cls, root: Path, config: Config) -> None:
        """Refuse a directory that cannot be this run's, before anything is loaded or written.

        Raises RunDirectoryError for foreign files, another schema, or options that differ from the recorded ones.
        """
        if cls.exists(root):
            manifest = read_json(root / "run.json")
            if manifest.get("schema_version") != SCHEMA_VERSION:
                raise RunDirectoryError(
                    f"{root} was written with schema version {manifest.get('schema_version')!r}, this rzero reads "
                    f"{SCHEMA_VERSION}; "
                    "finish it with the rzero that wrote it or choose another --out"
                )
            changed = differences(cls.recorded_config(root), config)
            forbidden = [line for line in changed if line.split(":")[0] not in MAY_CHANGE]
            if forbidden:
                raise RunDirectoryError(
                    f"{root} holds a run with other options ({'; '.join(forbidden)}); give the recorded options, or "
                    f"another --out"
                )
        elif root.exists() and not root.is_dir():
            raise RunDirectoryError(f"{root} is a file, but --out must be a directory; choose another --out")
        elif root.is_dir() and any(
            entry.name != LOCK and not entry.name.startswith(TEMPORARY_PREFIX) for entry in root.iterdir()
        ):
            raise RunDirectoryError(
                f"{root} is not empty and holds no rzero run; choose another --out, or empty it yourself"
            )

    @classmethod
    @contextmanager
    def open(
        cls,
        root: Path,
        config: Config,
        *,
        model_fingerprint: str,
        base: Path,
        data: Mapping[str, str],
        saved: Callable[[], None] = lambda: None,
    ) -> Iterator[RunDirectory]:
        """Create the directory, or take it up again: artefacts from beyond the resume point are moved aside.

        Yields it locked. ``saved`` is called now and whenever ``state.json`` was written. Raises RunDirectoryError if
        another process is at work in it, or if the content of the model or of the test ``data`` (name to digest)
        differs from what was recorded.
        """
        cls.check(root, config)
        with lock(root) as ours:
            if not ours:
                raise in_use(root)
            run = cls._take_up(root, config, model_fingerprint=model_fingerprint, base=base, data=data)
            run.state.saved = saved
            saved()
            yield run

    @classmethod
    def _take_up(
        cls, root: Path, config: Config, *, model_fingerprint: str, base: Path, data: Mapping[str, str]
    ) -> RunDirectory:
        if cls.exists(root):
            manifest = read_json(root / "run.json")
            recorded = manifest["model_fingerprint"]
            if recorded != model_fingerprint:
                raise RunDirectoryError(
                    f"{root} was started from a model with fingerprint {recorded}, but {config.model.path} has "
                    f"{model_fingerprint}; give the same model, or another --out"
                )
            changed = [name for name, digest in manifest["data"].items() if data.get(name) != digest]
            if changed:
                raise RunDirectoryError(
                    f"{root}: the test data {', '.join(changed)} changed since the run began, so its iterations could "
                    "not be compared; restore the files, or choose another --out"
                )
        else:
            manifest = {
                "schema_version": SCHEMA_VERSION,
                "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "model_fingerprint": model_fingerprint,
                "data": dict(data),
            }
        # One file, so that a kill leaves either no run or a whole one.
        manifest |= {"model": str(base), "options": config.model_dump(mode="json")}
        write_json(root / "run.json", manifest)
        run = cls(root)
        run.state.attempt += 1
        run.state.save()
        write_json(
            root / "logs" / f"attempt_{run.state.attempt:02d}.json", {"command": sys.argv, "versions": versions()}
        )
        run._move_aside()
        return run

    def machine_changes(self, machine: Mapping[str, str]) -> list[str]:
        """Record what this run computes on, or say how that differs from the record: results then round otherwise."""
        manifest = read_json(self.root / "run.json")
        if "machine" not in manifest:
            write_json(self.root / "run.json", manifest | {"machine": dict(machine)})
            return []
        recorded = manifest["machine"]
        return [
            f"{name}: {recorded.get(name)} -> {machine.get(name)}"
            for name in recorded | machine
            if recorded.get(name) != machine.get(name)
        ]

    @staticmethod
    def recorded_config(root: Path) -> Config:
        """The options of the run in ``root``."""
        if not RunDirectory.exists(root):
            raise RunDirectoryError(f"{root} holds no rzero run; give the directory that --out named")
        return validate(read_json(root / "run.json")["options"])

    def phase(self, iteration: int, phase: Phase) -> PhaseDirectory:
        """The directory of one phase."""
        return PhaseDirectory(self, iteration, phase)

    @property
    def base(self) -> Path:
        """The base model's directory."""
        return Path(read_json(self.root / "run.json")["model"])

    @property
    def created(self) -> str:
        """When the run was first started (UTC)."""
        return read_json(self.root / "run.json")["created"]

    def tracker_folder(self, name: str) -> Path:
        """Where a tracker writes that writes files."""
        return self.root / "trackers" / name

    @property
    def log_path(self) -> Path:
        """The text log of this attempt."""
        return self.root / "logs" / f"attempt_{self.state.attempt:02d}.log"

    @property
    def metrics_path(self) -> Path:
        """One line per finished training step, in order; rebuilt from the steps' own files at each start."""
        return self.root / "metrics.jsonl"

    def summary_path(self, iteration: int) -> Path:
        """The numbers of the table that is shown after an iteration."""
        return self.root / f"iter_{iteration:02d}" / "summary.json"

    def labels_path(self, iteration: int) -> Path:
        """What the domain's oracle says of an iteration's questions and pseudo-labels."""
        return self.root / f"iter_{iteration:02d}" / "labels.json"

    @property
    def benchmarks(self) -> Path:
        """Where ``rzero eval --run`` puts its results."""
        return self.root / "eval"

    def _move_aside(self) -> None:
        """Everything that ``state.json`` does not vouch for goes to ``aside/``; half-written files are removed."""
        for left_over in sorted(self.root.rglob(f"{TEMPORARY_PREFIX}*")):
            if left_over.is_dir():
                shutil.rmtree(left_over)
            else:
                left_over.unlink(missing_ok=True)  # it may have gone with its directory
        aside = self.root / "aside" / f"attempt_{self.state.attempt:02d}"
        for iteration_dir in sorted(self.root.glob("iter_*")):
            iteration = int(iteration_dir.name.removeprefix("iter_"))
            for phase in Phase:
                directory = self.phase(iteration, phase)
                if (iteration, phase) in self.state.completed:
                    shutil.rmtree(directory.root / "resumable", ignore_errors=True)
                    continue
                for path in directory.beyond(self.state.done_in(iteration, phase)):
                    target = aside / path.relative_to(self.root)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    path.rename(target)


class PhaseDirectory:
    """The files of one phase of one iteration: ``iter_NN/<phase>/``."""

    def __init__(self, run: RunDirectory, iteration: int, phase: Phase) -> None:
        self.run, self.iteration, self.phase = run, iteration, phase
        self.root = run.root / f"iter_{iteration:02d}" / phase

    def step(self, number: int) -> Path:
        """``rollouts.jsonl`` and ``metrics.json`` of a training step."""
        return self.root / "steps" / f"step_{number:04d}"

    def resumable(self, number: int) -> Path:
        """The policy and the optimiser's state after a training step."""
        return self.root / "resumable" / f"step_{number:04d}"

    @property
    def checkpoint(self) -> Path:
        """The policy at the end of a training phase, in the Hugging Face layout."""
        return self.root / "checkpoint"

    def part(self, number: int) -> Path:
        """Rows of one part of ``generate_questions`` or ``vote``."""
        return self.root / "parts" / f"part_{number:04d}.jsonl"

    def file(self, name: str) -> Path:
        """The phase's artefact: ``questions.jsonl``, ``votes.jsonl``, ``statistics.json``, ..."""
        return self.root / name

    def write_rows(self, name: str, rows: list[dict[str, Any]]) -> None:
        """Write an artefact of rows."""
        write_jsonl(self.file(name), rows)

    def rows(self, name: str) -> list[dict[str, Any]]:
        """Read an artefact of rows."""
        return read_jsonl(self.file(name))

    def beyond(self, done: int) -> list[Path]:
        """What exists of this unfinished phase beyond its first ``done`` steps or parts."""
        if not self.root.is_dir():
            return []
        safe = {self.step(n) for n in range(1, done + 1)} | {self.part(n) for n in range(1, done + 1)}
        safe |= {self.resumable(n) for n in range(1, done + 1)}
        found = [path for folder in ("steps", "parts", "resumable") for path in sorted((self.root / folder).glob("*"))]
        top = [path for path in sorted(self.root.iterdir()) if path.name not in ("steps", "parts", "resumable")]
        return [path for path in found if path not in safe] + top

    def keep_last(self, number: int, keep: int) -> None:
        """Remove all but the newest ``keep`` resumable saves up to step ``number``."""
        saves = sorted((self.root / "resumable").glob("step_*"))
        for old in saves[: max(0, len(saves) - keep)]:
            if old != self.resumable(number):
                shutil.rmtree(old)


def versions() -> dict[str, str]:
    """The versions that a result depends on."""
    names = ("rzero", "torch", "transformers", "safetensors", "numpy", "math-verify", "latex2sympy2_extended", "sympy")
    found = {"python": sys.version.split()[0]}
    for name in (*names, "antlr4-python3-runtime", "peft"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found
