from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rzero.errors import ConfigError
from rzero.grading import Grader, last_boxed, versions
from rzero.grading.pool import WorkerPool
from rzero.types import Outcome

# Passes the static limits, yet neither sympy nor an alarm ever comes back from it.
HANGS = "9^{9^{9}}"


@pytest.fixture(scope="module")
def grader() -> Iterator[Grader]:
    with Grader(timeout_s=10.0) as grader:
        yield grader


GOLDS = [
    r"\left( 7, \frac{\pi}{3} \right)",
    r"\text{Marit}",
    r"41_7",
    r"\begin{pmatrix} 1/4 \\ -2/3 \end{pmatrix}",
    r"\$1,\!250",
    r"12\mbox{ cm}^3",
    r"6.02e23",
    r"np.arccos(3/7)",
    r"\frac{1}{4}(\exp{b*t} - \exp{-b*t})",
    r"y^{\prime}+k y-k q(t)=0",
    r"$f(x)=a x+b$, where $a$ is any integer",
    r"$(1,2,4)$,$\left(\frac{1}{\sqrt{5}}, 2, 3\right)$",
    r"(-\infty, -3] \cup \{2\}",
    r"37.5%",
]


@pytest.mark.parametrize("gold", GOLDS)
def test_every_gold_equals_itself(grader: Grader, gold: str) -> None:
    assert grader.grade(answer=gold, gold=gold) is Outcome.RIGHT
    assert grader.grade(answer=f"${gold}$" if "$" not in gold else gold, gold=gold) is Outcome.RIGHT


RIGHT = [
    ("2,1", "1, 2"),
    (r"0.5\sqrt{2}", r"\frac{1}{\sqrt2}"),
    ("5", "x=5"),
    (r"\frac95", r"1\frac45"),
    ("90", r"90^\circ"),
    ("18.90", r"\$18.90"),
    ("864", r"864 \mbox{ inches}^2"),
    (r"4.5\times10^{33}", "4.5e33"),
    ("C", r"\text{(C)}"),
    ("(x+1)^2", "x^2+2x+1"),
    (r"\begin{pmatrix} 0.25 \\ 1 \end{pmatrix}", r"\begin{pmatrix} 1/4 \\ 1 \end{pmatrix}"),
    ("0.333333", r"\frac13"),
    (r"50\%", "0.5"),
]
WRONG = [
    ("6", "5"),
    (r"2\sqrt{3}", r"2\sqrt{5}"),  # bare, without a box, these three are equal to math-verify
    ("3x+4", "3x+5"),
    ("2^{1009}", "2^{1008}"),
    ("(2,1)", "(1,2)"),
    ("52_8", "52_9"),
    ("0.0000001", "0.0000002"),
    (r"\frac{1}{2^{99}}", r"\frac{1}{2^{98}}"),
    (r"2\times10^{-8}", "1e-8"),
    (r"1-\frac1{\mathrm e}", r"1+\frac1{\mathrm e}"),
    ("maybe apples 18", "18"),
    ("team", "meat"),
    ("None", "0"),
    ("pi/2", r"\frac{\pi}{2}"),  # a known false negative: p times i, halved
]


@pytest.mark.parametrize(("answer", "gold"), RIGHT)
def test_right(grader: Grader, answer: str, gold: str) -> None:
    assert grader.grade(answer=answer, gold=gold) is Outcome.RIGHT


@pytest.mark.parametrize(("answer", "gold"), WRONG)
def test_wrong(grader: Grader, answer: str, gold: str) -> None:
    assert grader.grade(answer=answer, gold=gold) is Outcome.WRONG


def test_nothing_to_grade_is_unparsed() -> None:
    with Grader() as cheap:
        for answer in (None, "", " \n", "x" * 5000, "9^9^9^9^9"):
            assert cheap.grade(answer=answer, gold="5") is Outcome.UNPARSED
        assert cheap.grade(answer=last_boxed("no box"), gold="None") is Outcome.UNPARSED
        assert cheap.num_symbolic == 0


def test_a_gold_that_no_parser_may_see_equals_its_own_spelling_only() -> None:
    with Grader() as cheap:
        assert cheap.grade(answer="9^9^9^9^9", gold="9^9^9^9^9") is Outcome.RIGHT
        assert cheap.grade(answer="x+1", gold="9^9^9^9^9") is Outcome.WRONG
        assert cheap.grade(answer="x+1", gold="") is Outcome.WRONG


def test_hanging_comparisons_are_killed_and_the_rest_goes_on() -> None:
    with Grader(timeout_s=1.0) as grader:
        grader.grade(answer="x+1", gold="1+x")
        start = time.monotonic()
        outcomes = grader.grade_many([("2x", "x+x"), (HANGS, "7"), ("3x", "x+x"), (HANGS, "7")])
        assert outcomes == [Outcome.RIGHT, Outcome.TIMEOUT, Outcome.WRONG, Outcome.TIMEOUT]
        assert grader.num_killed == 1
        assert time.monotonic() - start < 20
        answers = ["7", HANGS, "x+x", "2x", None, "7.0", HANGS]
        timeout, unparsed = Outcome.TIMEOUT, Outcome.UNPARSED
        expected = [[0, timeout, 1, 1, unparsed, 0, timeout], [0, 0], []]
        assert grader.classes_many([answers, [HANGS, HANGS], []]) == expected
        assert grader.num_killed == 2
        assert grader.classes_many([answers[::-1]]) == [[timeout, 0, unparsed, 1, 1, timeout, 0]]
        assert grader.num_killed == 2


def test_a_dead_worker_costs_one_task() -> None:
    pool = WorkerPool(timeout_s=10.0, workers=2)
    try:
        tasks = [("matches", "2x", "x+x"), ("no such task",), ("matches", "2x", "x"), ("matches", "x", "x")]
        assert pool.run(tasks) == [True, None, False, True]
        assert pool.killed == 1
    finally:
        pool.close()


def test_off_the_main_thread_and_from_several_at_once(grader: Grader) -> None:
    outcomes: dict[int, Outcome] = {}

    def work(number: int) -> None:
        outcomes[number] = grader.grade(answer=f"{number}x", gold=f"x+{number - 1}x")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == dict.fromkeys(range(3, 7), Outcome.RIGHT)


def test_script_from_stdin_without_a_main_guard_and_without_heavy_imports() -> None:
    script = """
import sys
from rzero.grading import Grader
grader = Grader()
print(grader.grade(answer="2x", gold="x+x"), sorted({"torch", "sympy", "math_verify"} & set(sys.modules)))
grader.close()
"""
    result = subprocess.run([sys.executable, "-"], input=script, capture_output=True, text=True, check=True)
    assert result.stdout == "right []\n"


@pytest.mark.skipif(sys.platform != "linux", reason="looks for the worker in /proc")
def test_workers_end_with_their_parent() -> None:
    script = f"""
import os, signal, threading, time
from rzero.grading import Grader
grader = Grader(timeout_s=2.0)
grader.grade(answer="2x", gold="x+x")
threading.Thread(target=grader.grade, kwargs=dict(answer={HANGS!r}, gold="7"), daemon=True).start()
time.sleep(0.3)
print(grader._pool._workers[0]._process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    worker = int(result.stdout)
    deadline = time.monotonic() + 15
    while _runs(worker):
        assert time.monotonic() < deadline, "an orphaned worker is still running"
        time.sleep(0.1)


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_classes_hold_equivalent_answers_together(grader: Grader) -> None:
    answers = ["1/2", r"\frac12", "0.5", r"50\%", "2x", r"\dfrac{1}{3}", "0.333333", "x+x", None, "", "(1,2)", "(2,1)"]
    unparsed = Outcome.UNPARSED
    assert grader.classes_many([answers]) == [[0, 0, 0, 0, 1, 2, 2, 1, unparsed, unparsed, 3, 4]]


def test_two_numbers_are_never_in_one_class(grader: Grader) -> None:
    """math-verify takes 50 % for 50 and for 0.5, and x = 2 for 2; only the second says which number is meant."""
    assert grader.classes_many([["50", "0.5", r"50\%", "50.0"]]) == [[0, 1, 2, 0]]
    assert grader.classes_many([[r"50\%", "0.5", "x=2", "2"]]) == [[0, 0, 1, 1]]


def test_verdicts_are_remembered(grader: Grader) -> None:
    grader.classes_many([["y+y", "2y", "3"]])
    before = grader.num_symbolic
    grader.classes_many([["2y", "3", "y+y"], ["3", "2y"]])
    assert grader.num_symbolic == before


VOTES = st.lists(
    st.sampled_from([None, "", "1/2", "0.5", "1/3", "0.333333", "x+x", "2x", "x=2", "2", r"2\text{ m}", "1,2"]),
    max_size=8,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(votes=VOTES, data=st.data())
def test_partition_does_not_depend_on_the_order(grader: Grader, votes: list[str | None], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(votes))))
    classes = grader.classes_many([votes])[0]
    shuffled = grader.classes_many([[votes[i] for i in order]])[0]
    for (i, place_i), (j, place_j) in itertools.combinations(enumerate(order), 2):
        assert (classes[place_i] == classes[place_j]) == (shuffled[i] == shuffled[j])
    numbered = [label for label in classes if not isinstance(label, Outcome)]
    assert list(dict.fromkeys(numbered)) == list(range(len(set(numbered))))


def test_versions_and_options() -> None:
    assert versions()["math-verify"] and set(versions()) >= {"sympy", "antlr4-python3-runtime"}
    with pytest.raises(ConfigError):
        Grader(timeout_s=0.0)
    with pytest.raises(ConfigError):
        Grader(workers=0)
