from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rzero import domains
from rzero.domains.grade_school import EXAMPLES
from rzero.domains.tags import CLOSE, MAX_CHARACTERS, OPEN, parse_tagged
from rzero.errors import ConfigError


@pytest.mark.parametrize("name", sorted(domains.BUILT_IN))
def test_built_in_domains_are_whole(name: str) -> None:
    domain = domains.load(name)
    assert isinstance(domain, domains.Domain)
    assert domain.name == name
    challenger, solver = domain.challenger_prompt(), domain.solver_prompt("What is 2 + 2?")
    assert challenger.messages[-1].role == solver.messages[-1].role == "user"
    assert "What is 2 + 2?" in solver.messages[-1].content
    assert domain.parse_question(f"{OPEN}What is 2 + 2?{CLOSE}").text == "What is 2 + 2?"
    assert domain.extract_answer(r"so \boxed{3}, no, \boxed{4}") == "4"
    assert domain.extract_answer("4") is None


@pytest.mark.parametrize(
    ("completion", "problem"),
    [
        ("What is 2 + 2?", "no question tags"),
        ("<question>What is 2 + 2?", "no closing tag"),
        ("What is 2 + 2?</question>", "no opening tag"),
        ("<question></question>", "empty question"),
        ("<question> ... ?! </question>", "empty question"),
        ("<question>a</question>b</question>", "stray closing tag"),
        ("<question>2 + 2\x00</question>", "control characters"),
        (f"<question>{'9' * (MAX_CHARACTERS + 1)}</question>", "question too long"),
    ],
)
def test_what_the_format_check_refuses(completion: str, problem: str) -> None:
    parsed = parse_tagged(completion)
    assert parsed.text is None and parsed.problem == problem


def test_the_last_block_counts() -> None:
    assert parse_tagged("<question>a</question> better: <question>b</question> done").text == "b"
    assert parse_tagged("I will use <question> tags: <question>b</question>").text == "b"


@given(st.text())
def test_any_text_is_either_a_question_or_a_problem(text: str) -> None:
    parsed = parse_tagged(text)
    assert (parsed.text is None) != (parsed.problem is None)
    inside = parse_tagged(f"{OPEN}{text}{CLOSE}")
    assert inside.text is None or inside.text in text


def test_a_million_opening_tags_take_no_time() -> None:
    assert parse_tagged(OPEN * 1_000_000).text is None
    assert parse_tagged((OPEN + "a") * 200_000 + CLOSE).text == "a"


def test_copies_of_the_prompts_examples_are_malformed() -> None:
    domain = domains.load("grade_school")
    copied = domain.parse_question(f"{OPEN} {EXAMPLES[0][0].upper()} {CLOSE}")
    assert copied.problem == "copy of an example"


def test_a_users_own_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    assert domains.load("rzero.domains.math:math") is domains.load("math")
    with pytest.raises(ConfigError, match="not built in; choose one of"):
        domains.load("maths")
    with pytest.raises(ConfigError, match="check the name behind the colon"):
        domains.load("rzero.domains.math:nothing")
