"""Whole-number answers graded a second on one core, and the seconds that each hostile answer takes to come to an end.

An answer is taken out of its completion's last box and compared with its gold answer. All pairs differ, so that no
cache answers. Each hostile answer is graded against a number and voted on beside an ordinary answer, with a time
limit.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter
from random import Random

from harness.hostile import HOSTILE
from harness.options import Options, parse
from harness.report import Report
from rzero.grading import Grader, last_boxed
from rzero.types import Outcome

TIMEOUT_S = 1.0


def main() -> None:
    """Measure and print."""
    options = parse(__doc__, needs_model=False)
    measure(options).show(options.json)


def measure(options: Options) -> Report:
    """Both measurements."""
    count, repeats = (20_000, 3) if options.quick else (100_000, 5)
    speeds = [integer_rate(count, seed=seed) for seed in range(repeats)]
    seconds, outcomes = hostile_seconds()
    slowest = max(seconds, key=lambda name: seconds[name])
    return Report(
        name="grading",
        columns=["measure", "value"],
        rows=[
            ["whole-number answers/s, one core", f"{statistics.median(speeds):,.0f}"],
            ["hostile answers", str(len(HOSTILE))],
            ["outcomes", ", ".join(f"{number} {name}" for name, number in outcomes.most_common())],
            [f"slowest: {slowest}", f"{seconds[slowest]:.2f} s"],
        ],
        ratios={
            "answers/s": statistics.median(speeds),
            "hostile ended": len(seconds) / len(HOSTILE),
            "slowest/time limit": seconds[slowest] / TIMEOUT_S,
        },
        data={"answers_per_s": speeds, "hostile_s": seconds, "outcomes": dict(outcomes)},
        notes=[
            f"{count:,} answers of one to six digits, a tenth of them wrong, extraction included; one thread",
            f"hostile: graded once and voted on once, time limit {TIMEOUT_S} s a comparison; a killed worker restarts",
        ],
    )


def integer_rate(count: int, *, seed: int) -> float:
    """Answers a second, extraction and comparison; half of the boxes are written with spaces or a dollar sign."""
    rng = Random(seed)
    golds = [str(rng.randrange(10 ** rng.randint(1, 6))) for _ in range(count)]
    shown = [gold if rng.random() < 0.9 else str(int(gold) + 1) for gold in golds]
    boxes = [rng.choice(("{}", " {} ", "${}$", "{}")).format(answer) for answer in shown]
    completions = [f"First \\boxed{{12}}, then the sum. The answer is \\boxed{{{box}}}." for box in boxes]
    with Grader() as grader:
        started = time.perf_counter()
        outcomes = grader.grade_many(list(zip(map(last_boxed, completions), golds, strict=True)))
        seconds = time.perf_counter() - started
    right = sum(outcome is Outcome.RIGHT for outcome in outcomes)
    if right != sum(answer == gold for answer, gold in zip(shown, golds, strict=True)):
        raise AssertionError(f"{right} of {count} graded right, which is not how many are")
    return count / seconds


def hostile_seconds() -> tuple[dict[str, float], Counter[str]]:
    """For each hostile answer the seconds of one comparison and one vote, and how often each outcome came."""
    seconds: dict[str, float] = {}
    outcomes: Counter[str] = Counter()
    with Grader(timeout_s=TIMEOUT_S) as grader:
        grader.grade(answer="x+1", gold="1+x")  # starts the worker
        for name, answer in HOSTILE.items():
            started = time.perf_counter()
            outcomes[str(grader.grade(answer=answer, gold="7"))] += 1
            grader.classes_many([[answer, "x+1", "8"]])
            seconds[name] = time.perf_counter() - started
    return seconds, outcomes


if __name__ == "__main__":
    main()
