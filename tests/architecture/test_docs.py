"""The documents say what the code does: links, files, commands, options and code blocks are held against it."""

from __future__ import annotations

import importlib.util
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from rzero import cli, config, domains
from rzero.plugins import load_object
from rzero.rewards.challenger import ScoredQuestion
from rzero.types import Tally

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
KNOWN = {option.name for option in config.options()}
SECTIONS = {name.split(".")[0] for name in KNOWN if "." in name}
FILE_ENDINGS = {"py", "json", "jsonl", "safetensors"}
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def blocks(page: Path, language: str) -> list[str]:
    return [body for found, body in BLOCK.findall(page.read_text(encoding="utf-8")) if found == language]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as the usual Markdown viewers make them."""
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(page: Path) -> list[list[str]]:
    """The words of every `rzero ...` line in a page's shell blocks."""
    lines = [line for block in blocks(page, "bash") for line in block.replace("\\\n", " ").splitlines()]
    found = [re.search(r"(?:^|[/ ])rzero (.*)", line) for line in lines if not line.lstrip().startswith("#")]
    return [shlex.split(match[1], comments=True) for match in found if match and "[" not in match[1]]


def tree(page: Path) -> list[str]:
    """The paths in the page's file tree: two more spaces are one folder deeper."""
    block = next(body for body in blocks(page, "") if "Makefile " in body)
    folders: list[str] = []
    paths = []
    for line in block.splitlines():
        name = line.split()[0]
        depth = (len(line) - len(line.lstrip())) // 2
        del folders[depth:]
        paths.append("".join(folders) + name)
        if name.endswith("/"):
            folders.append(name)
    return paths


def option_table():
    spec = importlib.util.spec_from_file_location("option_table", ROOT / "tools" / "option_table.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_option_table_is_up_to_date() -> None:
    table = option_table()
    page = table.PAGE.read_text(encoding="utf-8")
    assert table.updated(page) == page, "run: python tools/option_table.py"
    assert all(f"| `{name}` |" in page for name in KNOWN)


@pages
def test_links_lead_somewhere(page: Path) -> None:
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link}"


def test_the_tree_in_the_readme_is_there() -> None:
    paths = tree(ROOT / "README.md")
    assert len(paths) > 30
    for path in paths:
        assert (ROOT / path).exists(), path
        assert path.endswith("/") == (ROOT / path).is_dir(), path


def test_the_tree_in_the_readme_is_whole() -> None:
    """Every part of the package has its line."""
    parts = {path.name + "/" * path.is_dir() for path in (ROOT / "src" / "rzero").iterdir()}
    parts -= {"__init__.py", "__pycache__/", "py.typed"}
    assert {f"src/rzero/{part}" for part in parts} <= set(tree(ROOT / "README.md"))


@pages
def test_files_that_are_named_exist(page: Path) -> None:
    """Names in code marks that look like files of ours; the tour leaves out ``src/rzero/`` and the folder of a list."""
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    for name in re.findall(r"`([\w./-]+\.(?:py|toml))`", text):
        places = [ROOT / name, ROOT / "src" / "rzero" / name, *(ROOT / "src" / "rzero").glob(f"*/{name}")]
        assert any(place.exists() for place in [*places, ROOT / "src" / name]), f"{page.name}: {name}"


@pages
def test_commands_are_accepted(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each `rzero run` is resolved as `rzero config` would: command, preset, option names and values."""
    for words in commands(page):
        command, *rest = words
        assert command in cli.COMMANDS, f"{page.name}: rzero {command}"
        if command not in ("run", "config") or "..." in rest:
            continue
        if "--out" in rest:
            place = rest.index("--out")
            del rest[place : place + 2]
        assert cli.main(["config", *rest]) == 0, f"{page.name}: {words}: {capsys.readouterr().err}"


@pages
def test_subcommands_exist(page: Path) -> None:
    for command in re.findall(r"`rzero ([a-z]+)", page.read_text(encoding="utf-8")):
        assert command in cli.COMMANDS, f"{page.name}: rzero {command}"


@pages
def test_options_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"--([a-z_]+\.[a-z_0-9]+)", text)) - {"section.option"}
    dotted = re.findall(r"`([a-z_]+)\.([a-z_0-9]+)`", text)
    named |= {f"{section}.{name}" for section, name in dotted if section in SECTIONS and name not in FILE_ENDINGS}
    assert named <= KNOWN, f"{page.name}: {sorted(named - KNOWN)}"


def test_every_value_of_the_paper_has_its_source() -> None:
    page = (ROOT / "docs" / "reproduce.md").read_text(encoding="utf-8")
    preset = tomllib.loads((ROOT / "src" / "rzero" / "presets" / "paper.toml").read_text(encoding="utf-8"))
    for name, value in preset.items():
        names = [f"{name}.{inner}" for inner in value] if isinstance(value, dict) else [name]
        assert not [missing for missing in names if f"`{missing}`" not in page]


def test_toml_blocks_load(tmp_path: Path) -> None:
    found = [block for page in PAGES for block in blocks(page, "toml")]
    assert found
    for block in found:
        (tmp_path / "file.toml").write_text(block, encoding="utf-8")
        config.load(str(tmp_path / "file.toml"))


def named_blocks() -> dict[str, str]:
    """Python blocks that begin with a comment that names their file."""
    found = [block for page in PAGES for block in blocks(page, "python")]
    return {block.split()[1]: block for block in found if re.match(r"# \w+\.py\n", block)}


def test_the_readmes_domain_and_reward_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, block in named_blocks().items():
        (tmp_path / name).write_text(block, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    domain = domains.load("geometry:geometry")
    assert domain.name == "geometry"
    assert "geometry" in domain.challenger_prompt().messages[0].content
    assert domain.parse_question("<question>1 + 1?</question>").text == "1 + 1?"
    reward = load_object("my_rewards:three_quarters", option="challenger.reward")
    votes = Tally(num_votes=4, num_valid=4, num_agree=3, pseudo_label="1", tied=False)
    assert reward(ScoredQuestion(question="?", tally=votes, repetition=0.1)) == pytest.approx(0.9)


def test_the_tours_pieces_work(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = blocks(ROOT / "docs" / "tour.md", "python")
    exec(compile(block, "tour.md", "exec"), {})
    assert capsys.readouterr().out == "RewardParts(total=0.25, uncertainty=0.5, repetition=0.25)\n"


@pages
def test_pages_name_no_machine(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"(?<![\w.~$}])/(?:home|work|tmp|root|Users|mnt|data)/", text), page.name


def test_python_blocks_are_python() -> None:
    for page in PAGES:
        for block in blocks(page, "python"):
            compile(block, page.name, "exec")
