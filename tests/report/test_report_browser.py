"""The page in a real browser: it opens from a file, sorts, searches, switches, and hostile text does nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from made_run import make_run
from rzero.report.write import write_report

HOSTILE = [
    "<script>window.hacked = 1</script>",
    "</script><script>window.hacked = 2</script>",
    "<!--<script>",
    '<img src=x onerror="window.hacked = 3">',
    r"$\frac{1}{ \begin{align} \href{javascript:window.hacked=4}{x} $ ${window.hacked = 5} $data $scripts",
    "nul \x00 bell \x07 escape \x1b[31m delete \x7f c1 \x9b",
    "\u202eright to left override \u2066isolate \u200bzero width \ufeff",
    "مرحبا " * 50,
    "lone surrogate \ud800 and line \u2028 paragraph \u2029",
    "x" * 100_000,
    "word " * 20_000,
    "z" + "\u0301" * 2000,
    "&lt;b&gt; &amp; <b>bold</b>",
]


@pytest.fixture
def open_page(chromium: Any, tmp_path: Path) -> Callable[..., Any]:
    def opened(*runs: Path) -> Any:
        out = write_report(runs, tmp_path / "page" / "report.html")
        chromium.get_log("browser")
        chromium.set_window_size(1280, 900)
        chromium.get(out.as_uri())
        assert chromium.find_element("css selector", "html").get_attribute("data-ready") == "true"
        return chromium

    return opened


def find(page: Any, selector: str) -> Any:
    return page.find_element("css selector", selector)


def texts(page: Any, selector: str) -> list[str]:
    return [found.text for found in page.find_elements("css selector", selector)]


def complaints(page: Any) -> list[str]:
    return [entry["message"] for entry in page.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]


def column(page: Any, number: int) -> list[str]:
    return texts(page, f"#rows tr:not(.space) td:nth-child({number})")


def keys(page: Any, *names: str) -> None:
    from selenium.webdriver.common.keys import Keys

    find(page, "#scroller").send_keys(*(getattr(Keys, name) for name in names))


def test_sorting_searching_and_switching(open_page: Callable[..., Any], tmp_path: Path) -> None:
    questions = [f"What is {number} + {number}?" for number in range(100)]
    page = open_page(make_run(tmp_path / "run", questions, iterations=2))

    assert texts(page, "#detail h3")[0] == "i02-q00001"
    find(page, 'th[data-key="self_consistency"] button').click()
    assert column(page, 4)[0] == "1.00"
    assert find(page, 'th[data-key="self_consistency"]').get_attribute("aria-sort") == "descending"
    find(page, 'th[data-key="self_consistency"] button').click()
    assert column(page, 4)[0] == "0.00"

    find(page, "#search").send_keys("is 42 +")
    assert column(page, 2) == ["What is 42 + 42?"]
    assert find(page, "#count").text == "1 of 100 questions"
    find(page, "#search").clear()
    find(page, "#search").send_keys("nowhere")
    assert texts(page, "#detail p") == ["No question matches."]
    find(page, "#search").clear()
    find(page, "#search").send_keys(" ")

    find(page, '#verdict option[value="kept"]').click()
    assert set(column(page, 6)) == {"kept"}
    find(page, '#iteration input[value="1"]').click()
    assert texts(page, "#detail h3")[0].startswith("i01-")
    assert "iteration 1" in texts(page, ".where")[0]
    find(page, '#iteration input[value="0"]').click()
    assert "no questions" in find(page, "#detail").text
    assert complaints(page) == []


def test_the_keyboard_alone_reaches_every_question(open_page: Callable[..., Any], tmp_path: Path) -> None:
    page = open_page(make_run(tmp_path / "run", [f"{number} + 1?" for number in range(500)]))
    keys(page, "ARROW_DOWN", "ARROW_DOWN")
    assert texts(page, "#detail h3")[0] == "i01-q00003"
    keys(page, "END")
    assert texts(page, "#detail h3")[0] == "i01-q00500"
    assert find(page, '#rows tr[aria-selected="true"]').is_displayed()
    keys(page, "PAGE_UP", "ARROW_UP")
    assert texts(page, "#detail h3")[0] < "i01-q00490"
    keys(page, "HOME")
    assert texts(page, "#detail h3")[0] == "i01-q00001"


def test_hostile_text_does_no_harm(open_page: Callable[..., Any], tmp_path: Path) -> None:
    page = open_page(make_run(tmp_path / "run", HOSTILE))
    heights = []
    for place in range(len(HOSTILE)):
        keys(page, "HOME", *["ARROW_DOWN"] * place)
        assert texts(page, "#detail h3")[0] == f"i01-q{place + 1:05d}"
        heights.append(find(page, "#detail").size["height"])
        assert page.execute_script("return document.documentElement.scrollWidth <= innerWidth"), HOSTILE[place][:40]
    assert len(set(heights)) == 1
    assert {row.size["height"] for row in page.find_elements("css selector", "#rows tr:not(.space)")} == {34}
    assert page.execute_script("return window.hacked === undefined && document.querySelectorAll('img').length === 0")
    assert page.execute_script("return document.querySelectorAll('#questions script, #rollouts script').length") == 0
    page.set_window_size(500, 900)
    assert page.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    keys(page, "HOME")
    assert texts(page, "#detail .text") == [HOSTILE[0]]
    shown = page.execute_script("return document.querySelector('#main').textContent")
    assert "⟨U+202E⟩" in shown and "⟨U+0000⟩" in shown and "\u202e" not in shown
    assert complaints(page) == []


def test_ten_thousand_questions_are_quick_and_small(open_page: Callable[..., Any], tmp_path: Path) -> None:
    """A quiet machine takes a tenth of these limits; tests may run beside others."""
    long = " and then gives some of them to a friend who lives next door" * 4
    questions = [f"Problem {number}: Tom has {number * 7} apples{long}. How many are left?" for number in range(10_000)]
    page = open_page(make_run(tmp_path / "run", questions))
    assert (tmp_path / "page" / "report.html").stat().st_size < 15_000_000
    timing = "const t = performance.getEntriesByType('navigation')[0]; return t.domComplete - t.startTime"
    assert page.execute_script(timing) < 3000
    took = page.execute_script(
        "const start = performance.now(); sortBy('text'); sortBy('self_consistency');"
        "browser.search = 'problem 99'; arrange(); document.body.offsetHeight; return performance.now() - start"
    )
    assert took < 500
    assert len(page.find_elements("css selector", "#rows tr")) < 80
    assert find(page, "#count").text == "111 of 10,000 questions"


def test_charts_are_drawn_and_follow_theme_and_width(open_page: Callable[..., Any], tmp_path: Path) -> None:
    page = open_page(make_run(tmp_path / "run", [f"{number} + 1?" for number in range(30)], iterations=2))
    page.execute_script("document.querySelector('#charts').scrollIntoView()")
    wait_for(page, "#charts .plot svg .trace.bars")
    before = page.execute_script("return getComputedStyle(document.body).backgroundColor")
    find(page, "#theme").click()
    assert page.execute_script("return getComputedStyle(document.body).backgroundColor") != before
    assert find(page, "#theme").get_attribute("aria-pressed") == "true"
    page.set_window_size(500, 900)
    wait_for(page, "#charts .plot svg")
    time.sleep(0.5)
    assert page.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    right = "[...document.querySelectorAll('.plot svg')].map((one) => one.getBoundingClientRect().right)"
    assert page.execute_script(f"return Math.max(...{right}) <= innerWidth")
    assert find(page, "#rows tr:not(.space) td:nth-child(2)").size["width"] > 150
    assert complaints(page) == []


def test_runs_side_by_side(open_page: Callable[..., Any], tmp_path: Path) -> None:
    full = make_run(tmp_path / "full<b>", right=(True, True, True, False))
    bare = make_run(tmp_path / "bare", options={"challenger.repetition_weight": 0})
    page = open_page(full, bare)
    rows = texts(page, "#ablation tbody tr")
    assert rows[0].startswith("reference\nfull<b>") and rows[1].startswith("no repetition penalty\nbare")
    assert "-25.0" in rows[1]
    find(page, "#only-changed").click()
    assert "challenger.repetition_weight" in texts(page, "#options tbody th")
    find(page, '#run option[value="1"]').click()
    assert "bare" in texts(page, ".where")[0]
    assert complaints(page) == []


def wait_for(page: Any, selector: str) -> None:
    until = time.monotonic() + 20
    while not page.find_elements("css selector", selector):
        assert time.monotonic() < until, f"{selector} does not appear"
        time.sleep(0.05)
