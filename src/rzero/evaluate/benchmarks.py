"""The benchmarks that ``rzero eval`` knows: what kind of answer each has, where its data are, and its headline figure.

The official scripts repeat one greedy answer 32 times and call it mean@32, and draw a random letter where a multiple
choice answer cannot be read. Here mean@k is over k sampled answers, and what cannot be read is wrong and counted.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from rzero.errors import ConfigError


class Kind(StrEnum):
    """How a benchmark's answers are asked for, read and compared."""

    EXPRESSION = "expression"  # a number or an expression: the domain's prompt, the one grader
    CHOICE = "choice"  # one letter of the options
    TEXT = "text"  # short free text, compared by the rules of BBEH's authors


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """One set of questions. Its data are ``<file>.jsonl`` in a local directory, or ``hub`` (id, subset, split).

    ``sampled``: its headline figure is mean@k over sampled answers, otherwise the greedy accuracy. ``harmonic``: the
    authors' figure is the harmonic mean over categories, which is given beside the share over rows.
    """

    name: str
    kind: Kind = Kind.EXPRESSION
    file: str = ""
    hub: tuple[str, str | None, str] | None = None
    sampled: bool = False
    harmonic: bool = False

    @property
    def stem(self) -> str:
        """The name of its data file, without ``.jsonl``."""
        return self.file or self.name


_ALL = (
    Benchmark(name="amc23", hub=("zwhe99/amc23", None, "test"), sampled=True),
    Benchmark(name="minerva", hub=("zwhe99/simplerl-minerva-math", None, "test")),
    Benchmark(name="math500", hub=("HuggingFaceH4/MATH-500", None, "test")),
    Benchmark(name="gsm8k", hub=("openai/gsm8k", "main", "test")),
    Benchmark(name="olympiadbench", hub=("zwhe99/simplerl-OlympiadBench", None, "test")),
    Benchmark(name="aime24", hub=("HuggingFaceH4/aime_2024", None, "train"), sampled=True),
    Benchmark(name="aime25", hub=("yentinglin/aime_2025", None, "train"), sampled=True),
    Benchmark(name="mmlu_pro", kind=Kind.CHOICE, hub=("TIGER-Lab/MMLU-Pro", None, "test")),
    Benchmark(name="supergpqa", kind=Kind.CHOICE, hub=("m-a-p/SuperGPQA", None, "train")),
    Benchmark(name="bbeh", kind=Kind.TEXT, hub=("MrLight/bbeh-eval", None, "train"), harmonic=True),
    Benchmark(name="bbeh_mini", kind=Kind.TEXT),
    Benchmark(name="supergpqa_science", kind=Kind.CHOICE),
    Benchmark(name="svamp", hub=("ChilleD/SVAMP", None, "test")),
    Benchmark(name="addsub"),
    Benchmark(name="singleeq"),
    Benchmark(name="reasoning_gym", file="reasoning_gym_easy"),
    Benchmark(name="arc_easy", kind=Kind.CHOICE, hub=("allenai/ai2_arc", "ARC-Easy", "test")),
    Benchmark(name="arc_challenge", kind=Kind.CHOICE, hub=("allenai/ai2_arc", "ARC-Challenge", "test")),
    Benchmark(name="commonsenseqa", kind=Kind.CHOICE, hub=("tau/commonsense_qa", None, "validation")),
    Benchmark(name="bbh", kind=Kind.TEXT),
)
BENCHMARKS = {benchmark.name: benchmark for benchmark in _ALL}


def find(names: Sequence[str]) -> list[Benchmark]:
    """The benchmarks of these names, each once. Raises ConfigError for one that does not exist, with the nearest.

    >>> [benchmark.kind.value for benchmark in find(["gsm8k", "mmlu_pro", "gsm8k"])]
    ['expression', 'choice']
    """
    if not names:
        raise ConfigError(f"no task is named; give --tasks one or more of {', '.join(BENCHMARKS)}")
    for name in names:
        if name not in BENCHMARKS:
            near = difflib.get_close_matches(name, BENCHMARKS, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"tasks: {', '.join(BENCHMARKS)}"
            raise ConfigError(f"task {name!r} does not exist; {hint}")
    return [BENCHMARKS[name] for name in dict.fromkeys(names)]
