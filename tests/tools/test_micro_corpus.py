"""The pretraining documents of the bundled micro model."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))

from micro.corpus import CorpusOptions, Document, damage, document, solution
from micro.testset import write_test_set
from micro.tokenizer import build

import rzero
from rzero.domains.arithmetic import arithmetic, is_held_out

EQUALITY = re.compile(r"(?<![-\d=])(\d+)([-+*])(\d+)([-+]\d+)?=(\d+)\b(?![-+*])")

CAREFUL = CorpusOptions(challenger_share=0.0, slip_rate=0.0, direct_slip_rate=0.0)


def documents(options: CorpusOptions, count: int = 1000) -> list[Document]:
    rng = Random(1)
    return [document(rng, options) for _ in range(count)]


def question_of(doc: Document) -> str:
    match = re.search(r"<(?:solver|question)>(.*?)<(?:assistant|/question)>", doc.prompt + doc.response)
    assert match
    return match[1]


@pytest.mark.parametrize("direct_share", [0.0, 1.0])
def test_without_slips_every_solution_is_the_oracles(direct_share: float) -> None:
    options = replace(CAREFUL, direct_share=direct_share)
    for doc in documents(options):
        truth = arithmetic.oracle.solve(question_of(doc))
        assert arithmetic.extract_answer(doc.response) == truth.answer
        assert doc.response.endswith("none<eos>") == (truth.answer is None)


def test_the_written_work_adds_up() -> None:
    options = replace(CAREFUL, direct_share=0.0)
    equalities = 0
    for doc in documents(options):
        for left, operator, right, extra, result in EQUALITY.findall(doc.response):
            equalities += 1
            first = {"+": int(left) + int(right), "-": int(left) - int(right), "*": int(left) * int(right)}[operator]
            assert first + int(extra or 0) == int(result), doc
    assert equalities > 500


@pytest.mark.parametrize(
    ("question", "written"),
    [
        ("478+356", "478+356=8+6=14,7+5+1=13,4+3+1=8=834;\\boxed{834}"),
        ("503-28", "503-28=13-8=5,10-2-1=7,5-0-1=4=475;\\boxed{475}"),
        ("3-(4-26)", "4-26=6-4=2,2-0=2=-22;3+22=2+3=5,2+0=2=25;\\boxed{25}"),
        ("x-708=63", "63+708=8+3=11,0+6+1=7,7+0=7=771;\\boxed{771}"),
        ("8*47", "8*47=7*8=56,4*8+5=37=376;\\boxed{376}"),
        ("47*36", "47*36=282+1410=1692;\\boxed{1692}"),
        ("357 mod 12", "357 mod 12=35-24=11,117-108=9=9;\\boxed{9}"),
        ("-8-5", "-8-5=-13;\\boxed{-13}"),
        ("7*x+9=5*x+4", "7-5=2;4-9=-5;none"),
        ("Tom has 3 apples, loses 5. How many now?", "3-5=-2;none"),
    ],
)
def test_written_solutions(question: str, written: str) -> None:
    assert solution(Random(0), question, replace(CAREFUL, direct_share=0.0)) == written


def test_slips_are_as_frequent_as_asked() -> None:
    options = CorpusOptions(challenger_share=0.0, damaged_share=0.0, direct_share=1.0, direct_slip_rate=0.2)
    wrong = 0
    for doc in documents(options):
        wrong += arithmetic.extract_answer(doc.response) != arithmetic.oracle.solve(question_of(doc)).answer
    assert 0.15 < wrong / 1000 < 0.25


def test_no_document_shows_a_held_out_question_and_all_fit_the_tokenizer() -> None:
    tokenizer = build()
    for doc in documents(CorpusOptions()):
        assert not is_held_out(question_of(doc))
        ids = tokenizer(doc.prompt + doc.response, add_special_tokens=False)["input_ids"]
        assert len(ids) <= tokenizer.model_max_length
        if doc.prompt == "<bos><challenger><assistant>":
            assert arithmetic.oracle.solve(question_of(doc)).answer is not None


def test_damage_mostly_makes_questions_ill_posed() -> None:
    rng = Random(2)
    broken = [arithmetic.oracle.solve(damage(rng, "(12+30)*4-7")).answer is None for _ in range(500)]
    assert 0.4 < sum(broken) / len(broken) < 0.95


def test_the_shipped_test_set_is_what_the_tool_writes(tmp_path: Path) -> None:
    write_test_set(tmp_path / "test.jsonl")
    shipped = Path(rzero.__file__).parent / "evaluate" / "data" / "arithmetic_test.jsonl"
    assert (tmp_path / "test.jsonl").read_bytes() == shipped.read_bytes()
