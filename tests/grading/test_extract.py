from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rzero.grading.extract import last_boxed


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (r"\boxed{5}", "5"),
        (r"\boxed{5} so \boxed{6}", "6"),
        (r"\boxed{ \frac{1}{2} }", r"\frac{1}{2}"),
        (r"\boxed {7}", "7"),
        (r"\boxed{\{1,2\}}", r"\{1,2\}"),
        (r"\boxed{a \} b}", r"a \} b"),
        (r"\boxed{1 \\} 2}", r"1 \\"),
        (r"\\boxed{3}", "3"),
        (r"\boxed{x=\boxed{5}}", "5"),
        (r"a set {1, 2 is open, \boxed{4}", "4"),
        (r"} \boxed{4} }", "4"),
        (r"\boxed{5} and \boxed{\frac{6}{7}", "5"),
        (r"\boxed{5", None),
        (r"\boxed{}", None),
        (r"\boxed{5} then \boxed{ }", None),
        (r"\boxed 5", None),
        (r"\fbox{5}", None),
        ("the answer is 5", None),
        ("", None),
        ("\\", None),
        ("\\boxed", None),
        ("\\boxed{\\", None),
    ],
)
def test_last_balanced_box(text: str, content: str | None) -> None:
    assert last_boxed(text) == content


def test_no_box_is_never_the_string_none() -> None:
    assert last_boxed("None") is None
    assert last_boxed("there is None") is None


@pytest.mark.parametrize("unit", [r"\boxed{", "{", "}", "\\", r"\boxed", r"\boxed{\boxed", r"\boxed{}{"])
def test_hostile_megabyte_takes_linear_time(unit: str) -> None:
    text = r"\boxed{" + unit * (1_000_000 // len(unit))
    start = time.process_time()
    last_boxed(text)
    assert time.process_time() - start < 5


BALANCED = st.recursive(
    st.text(st.characters(codec="ascii", exclude_characters="{}\\"), max_size=6),
    lambda inner: st.lists(inner.map(lambda part: "{" + part + "}"), max_size=3).map("".join),
)


@given(st.text(max_size=30), BALANCED, st.text(st.characters(exclude_characters="{}\\"), max_size=30))
def test_finds_what_was_boxed(before: str, content: str, after: str) -> None:
    text = f"{before} \\boxed{{{content}}}{after}"
    assert last_boxed(text) == (content.strip() or None)
