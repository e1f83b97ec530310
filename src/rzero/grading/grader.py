"""The one grader: reward, vote and evaluation all ask it whether two answers are the same.

Cheap tests come first and settle most pairs in this process: equal normal forms, then exact numbers. What is left goes
past static limits to math-verify in a pool of killable workers. The official code votes and rewards with one library
and evaluates with another, on bare strings and without a time limit (``docs/concepts.md``, "Grading").
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable, Sequence
from fractions import Fraction
from importlib import metadata
from types import TracebackType

from rzero.errors import ConfigError
from rzero.grading.limits import refusal
from rzero.grading.normal import as_number, based_numeral, is_decimal, normal_form, same_number, stands_alone
from rzero.grading.pool import Task, WorkerPool
from rzero.types import Outcome

CACHE_SIZE = 1 << 16


class Grader:
    """Compares answers; a context manager, whose worker processes start at the first comparison that needs one.

    ``timeout_s`` is the wall-clock limit of one symbolic comparison, ``workers`` the number of processes. Safe to share
    between threads. Verdicts of symbolic comparisons, time-outs included, are remembered (the last :data:`CACHE_SIZE`).
    """

    def __init__(self, *, timeout_s: float = 5.0, workers: int = 1) -> None:
        if timeout_s <= 0 or workers < 1:
            raise ConfigError(f"timeout_s={timeout_s}, workers={workers}: a grader needs both above 0; raise them")
        self._pool = WorkerPool(timeout_s=timeout_s, workers=workers)
        self._verdicts: dict[Task, bool | None] = {}
        self._num_symbolic = 0
        self._lock = threading.Lock()

    def __enter__(self) -> Grader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the worker processes. A later comparison starts new ones."""
        self._pool.close()

    @property
    def num_symbolic(self) -> int:
        """Tasks that the workers were given so far: comparisons, and parses of one answer alone."""
        return self._num_symbolic

    @property
    def num_killed(self) -> int:
        """Workers that died so far, by the clock or for want of memory."""
        return self._pool.killed

    def grade(self, *, answer: str | None, gold: str) -> Outcome:
        """What ``answer`` is against ``gold``; see :meth:`grade_many`."""
        return self.grade_many([(answer, gold)])[0]

    def grade_many(self, pairs: Sequence[tuple[str | None, str]]) -> list[Outcome]:
        """The outcome of each (answer, gold), in order.

        RIGHT: the same. WRONG: not; also where the gold is one that no parser may see
        (:func:`~rzero.grading.limits.refusal`) and is spelled differently. UNPARSED: no answer, a blank one, or one
        that no parser may see and that is not spelled like the gold. TIMEOUT: the comparison outlasted ``timeout_s``,
        or its worker died.

        Raises EngineError if no worker process can be started.
        """
        outcomes: list[Outcome] = []
        open_pairs: dict[int, Task] = {}
        for index, (answer, gold) in enumerate(pairs):
            decided = _grade_cheaply(answer, gold)
            if isinstance(decided, tuple):
                open_pairs[index] = decided
                decided = Outcome.WRONG
            outcomes.append(decided)
        if open_pairs:
            verdicts = self._ask(open_pairs.values())
            for index, task in open_pairs.items():
                outcomes[index] = _OUTCOMES[verdicts[task]]
        return outcomes

    def classes_many(self, answer_lists: Sequence[Sequence[str | None]]) -> list[list[int | Outcome]]:
        r"""For each question's answers, which are the same: class 0, 1, ... by first appearance, or why there is none.

        Classes are the connected components under "taken for the other in either direction", with one exception: two
        numbers that differ are never in one class. An answer that math-verify takes for both (50\% for 50 and for 0.5)
        is with neither. So the partition does not depend on the order of the answers.

        In place of a class stands UNPARSED for no answer, a blank one, or one that no parser may see; and TIMEOUT for
        one that had to be compared and hangs or kills a worker on its own. Two answers that hang only when compared
        are not the same.

        Raises EngineError if no worker process can be started.
        """
        questions = [_Question(answers) for answers in answer_lists]
        alone = self._ask(("probe", form) for question in questions for form in question.suspects())
        for question in questions:
            question.hung = {form for form in question.suspects() if alone["probe", form] is None}
        verdicts = self._ask(("equivalent", a, b) for question in questions for a, b in question.pairs())
        return [
            question.classes((a, b) for a, b in question.pairs() if verdicts["equivalent", a, b])
            for question in questions
        ]

    def _ask(self, tasks: Iterable[Task]) -> dict[Task, bool | None]:
        """The verdict of each task, from memory or from the pool; None where its worker died."""
        wanted = list(dict.fromkeys(tasks))
        if not wanted:
            return {}  # whoever needs no worker does not wait for one
        with self._lock:
            verdicts = {task: self._verdicts[task] for task in wanted if task in self._verdicts}
            new = [task for task in wanted if task not in verdicts]
            fresh = dict(zip(new, self._pool.run(new), strict=True))
            self._num_symbolic += len(new)
            self._verdicts.update(fresh)
            for oldest in list(itertools.islice(self._verdicts, max(0, len(self._verdicts) - CACHE_SIZE))):
                del self._verdicts[oldest]
        return verdicts | fresh


_OUTCOMES = {True: Outcome.RIGHT, False: Outcome.WRONG, None: Outcome.TIMEOUT}


def versions() -> dict[str, str]:
    """The versions of the packages that verdicts depend on; every result file records them."""
    packages = ("math-verify", "latex2sympy2_extended", "antlr4-python3-runtime", "sympy")
    return {package: metadata.version(package) for package in packages}


def certain_class(answer: str | None) -> Fraction | Outcome | None:
    """What is certain of a vote's answer whatever the other votes are: its number, or UNPARSED; None if nothing is.

    >>> certain_class("1,000"), certain_class(None), certain_class("1/3")
    (Fraction(1000, 1), <Outcome.UNPARSED: 'unparsed'>, None)
    """
    read = _read(answer)
    if read is None:
        return Outcome.UNPARSED
    _, number = read
    return number if number is not None and stands_alone(number) else None


def needs_worker(answer: str | None, gold: str) -> bool:
    """Whether :meth:`Grader.grade` asks a worker process about this pair."""
    return isinstance(_grade_cheaply(answer, gold), tuple)


def need_worker(answers: Sequence[str | None]) -> bool:
    """Whether :meth:`Grader.classes_many` asks a worker process about the answers to a question."""
    return bool(_Question(answers).suspects())


def _read(answer: str | None) -> tuple[str, Fraction | None] | None:
    """The normal form of an answer, with its value if it is a plain number; None if it cannot be compared."""
    form = normal_form(answer) if answer is not None else ""
    number = as_number(form) if form else None
    return None if not form or (number is None and refusal(form) is not None) else (form, number)


def _grade_cheaply(answer: str | None, gold: str) -> Outcome | Task:
    """The outcome where it can be told without a parser, else the task for the pool."""
    if answer is None:
        return Outcome.UNPARSED
    form, gold_form = normal_form(answer), normal_form(gold)
    if not form:
        return Outcome.UNPARSED
    if form == gold_form:
        return Outcome.RIGHT
    same = _same_cheaply(form, gold_form, as_number(form), as_number(gold_form))
    if same is not None:
        return _OUTCOMES[same]
    if as_number(form) is None and refusal(form) is not None:
        return Outcome.UNPARSED
    if not gold_form or refusal(gold_form) is not None:
        return Outcome.WRONG
    return ("matches", gold_form, form)


def _same_cheaply(a: str, b: str, number_a: Fraction | None, number_b: Fraction | None) -> bool | None:
    """Whether two different normal forms are the same answer; None where only the parser can tell."""
    if number_a is not None and number_b is not None:
        return same_number(number_a, number_b)
    based_a, based_b = based_numeral(a), based_numeral(b)
    if based_a is not None and based_b is not None:
        return based_a == based_b
    return None


class _Question:
    """The answers to one question on their way to classes: distinct normal forms, and which pairs are still open."""

    def __init__(self, answers: Sequence[str | None]) -> None:
        self.hung: set[str] = set()
        self._forms: list[str | None] = []
        self._numbers: dict[str, Fraction | None] = {}  # every usable form, with its value if it is a plain number
        for answer in answers:
            read = _read(answer)
            if read is not None:
                self._numbers[read[0]] = read[1]
            self._forms.append(read[0] if read else None)

    def suspects(self) -> list[str]:
        """The forms that must be shown to be harmless: all but plain numbers, where there is anything to compare."""
        return [form for form, number in self._numbers.items() if number is None] if len(self._numbers) > 1 else []

    def pairs(self) -> Iterable[tuple[str, str]]:
        """The pairs of forms that only the parser can compare, each in one fixed order."""
        forms = sorted(form for form in self._numbers if form not in self.hung)
        symbolic = [form for form in forms if self._numbers[form] is None]
        for a in symbolic:
            for b in forms:
                if (self._numbers[b] is not None or a < b) and _same_cheaply(a, b, None, self._numbers[b]) is None:
                    yield (a, b) if a < b else (b, a)

    def classes(self, equal: Iterable[tuple[str, str]]) -> list[int | Outcome]:
        """The class of each answer, given the pairs that the parser found to be the same."""
        root = {form: form for form in self._numbers}

        def find(form: str) -> str:
            while root[form] != form:
                root[form] = form = root[root[form]]
            return form

        for a, b in self._equal_numbers():
            root[find(a)] = find(b)
        bridges: list[tuple[str, str]] = []  # (symbolic form, number)
        for a, b in equal:
            if self._numbers[a] is None and self._numbers[b] is None:
                root[find(a)] = find(b)
            else:
                bridges.append((a, b) if self._numbers[a] is None else (b, a))
        reached: dict[str, set[str]] = {}
        for form, number in bridges:
            reached.setdefault(find(form), set()).add(find(number))
        for form, numbers in reached.items():
            if len(numbers) == 1:
                root[form] = numbers.pop()
        class_of: dict[str, int] = {}
        result: list[int | Outcome] = []
        for form in self._forms:
            if form is None:
                result.append(Outcome.UNPARSED)
            elif form in self.hung:
                result.append(Outcome.TIMEOUT)
            else:
                result.append(class_of.setdefault(find(form), len(class_of)))
        return result

    def _equal_numbers(self) -> Iterable[tuple[str, str]]:
        """Pairs of plain numbers that connect all that are the same."""
        first: dict[Fraction, str] = {}
        for form, number in self._numbers.items():
            if number is not None:
                yield form, first.setdefault(number, form)
        for (a, form_a), (b, form_b) in itertools.combinations(first.items(), 2):
            if is_decimal(a) != is_decimal(b) and same_number(a, b):
                yield form_a, form_b
