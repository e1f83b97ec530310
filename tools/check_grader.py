r"""Hold the grader against a directory of benchmark data: every gold answer must equal itself, however it is spelled.

    python tools/check_grader.py DATA_DIR

DATA_DIR holds math500.jsonl, minerva.jsonl, olympiadbench.jsonl, aime24.jsonl, aime25.jsonl, amc23.jsonl and
gsm8k.jsonl, rows of question and answer. Each gold goes into the box of a completion, once as it is and once spelled
differently, is read from there and graded. Beside it stands math-verify as R-Zero's official evaluation calls it, on
bare strings: verify(parse(gold), parse(answer)).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rzero.evaluate.benchmarks import BENCHMARKS
from rzero.evaluate.sources import load_benchmark
from rzero.grading import Grader, last_boxed, versions
from rzero.types import Outcome

TASKS = ("math500", "minerva", "olympiadbench", "aime24", "aime25", "amc23", "gsm8k")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    known = parser.parse_args()
    print(", ".join(f"{name} {version}" for name, version in versions().items()))
    print("\n| benchmark | golds | rzero: as it is | rzero: differently | math-verify, bare: as it is | differently |")
    print("|---|---|---|---|---|---|")
    failures: list[str] = []
    for task in TASKS:
        golds = [row.gold for row in load_benchmark(BENCHMARKS[task], known.data).rows]
        wrong = [*unequal(golds), *unequal(golds, differently=True)]
        bare = [sum(bare_math_verify(gold, spelling(gold)) for gold in golds) for spelling in (boxed, respelled)]
        failures += wrong
        counts = [len(golds) - len(unequal(golds)), len(golds) - len(unequal(golds, differently=True))]
        print(f"| {task} | {len(golds)} | {counts[0]} | {counts[1]} | {bare[0]} | {bare[1]} |")
    for gold in dict.fromkeys(failures):
        print(f"not equal to itself: {gold!r}")
    return 1 if failures else 0


def unequal(golds: list[str], *, differently: bool = False) -> list[str]:
    """The golds that the grader does not find equal to themselves in the box of a completion."""
    spelled = map(respelled if differently else boxed, golds)
    answers = [last_boxed(f"So it is $\\boxed{{{answer}}}$.") for answer in spelled]
    with Grader() as grader:
        outcomes = grader.grade_many(list(zip(answers, golds, strict=True)))
    return [gold for gold, outcome in zip(golds, outcomes, strict=True) if outcome is not Outcome.RIGHT]


def boxed(gold: str) -> str:
    """The gold as it stands in a box: without dollar signs around the whole.

    >>> boxed("$2x$"), boxed("$1$, $2$")
    ('2x', '$1$, $2$')
    """
    inner = gold[1:-1]
    return inner if gold.startswith("$") and gold.endswith("$") and inner and "$" not in inner else gold


def respelled(gold: str) -> str:
    r"""The same answer as another author would typeset it.

    >>> respelled(r"\frac{1}{2} + (1, 2)")
    '\\displaystyle \\dfrac{1}{2} + \\left(1, 2\\right)'
    """
    text = boxed(gold).replace("\\frac", "\\dfrac")
    if "\\left" not in text and text.count("(") == text.count(")"):
        text = text.replace("(", "\\left(").replace(")", "\\right)")
    return f"\\displaystyle {text}"


def bare_math_verify(gold: str, answer: str) -> bool:
    from math_verify import parse, verify

    return bool(verify(parse(gold), parse(answer)))


if __name__ == "__main__":
    sys.exit(main())
