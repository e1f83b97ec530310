"""The one-file example takes the library's decisions and makes its update, on the same data."""

from __future__ import annotations

import ast
import copy
import importlib.util
import math
import random
import sys
from collections import Counter
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from rzero.config import GrpoConfig
from rzero.curriculum.band import judge
from rzero.domains import arithmetic as prompts_of_arithmetic
from rzero.domains.tags import parse_tagged
from rzero.evolve.voting import VotedQuestion, count
from rzero.grading.extract import last_boxed
from rzero.grading.grader import Grader
from rzero.grpo.advantage import advantages
from rzero.grpo.learner import GrpoLearner
from rzero.models.language_model import LanguageModel
from rzero.models.open import open_model
from rzero.rewards.challenger import ScoredQuestion, challenger_reward
from rzero.rewards.repetition import bleu_distances, repetition
from rzero.rewards.solver import SolverAnswer, agreement
from rzero.types import Completion, FinishReason, Group, Rejection, Rollout

FILE = Path(__file__).parents[2] / "examples" / "rzero_in_one_file.py"
MICRO = Path(str(resources.files("rzero") / "models" / "micro"))
VOCABULARY, END = 48, 1
TEMPERATURE = 0.8


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location(FILE.stem, FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


one = load()


@pytest.fixture(scope="module")
def grader() -> Iterator[Grader]:
    with Grader() as shared:
        yield shared


def test_it_stands_alone_and_is_short() -> None:
    text = FILE.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 330
    nodes = list(ast.walk(ast.parse(text)))
    imported = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    imported |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    others = {str(name).partition(".")[0] for name in imported} - sys.stdlib_module_names
    assert others == {"torch", "transformers"}


pieces = st.sampled_from(["<question>", "</question>", "What is", " 7", "?", " ", "\n", "\x01", "\r", "x" * 4000])
boxes = st.sampled_from(["\\boxed", "\\boxed{", "{", "}", "\\{", "\\}", "\\\\", "5", " ", "x\n", "\\frac", "\\fbox{"])


@given(st.lists(pieces, max_size=8).map("".join))
@settings(deadline=None)
def test_questions_are_parsed_alike(completion: str) -> None:
    assert one.parse_question(completion) == parse_tagged(completion).text


@given(st.lists(boxes, max_size=12).map("".join))
@settings(deadline=None, max_examples=300)
def test_answers_are_found_alike(completion: str) -> None:
    assert one.boxed_answer(completion) == last_boxed(completion)


SPELLINGS = ("{}", "{}", "{}.", "${}$", " {} ", "+{}", "0{}", "{},000", "{}000")


def solver_texts(seed: int, *, num_votes: int) -> list[tuple[str, bool]]:
    """m Solver completions with whether each is cut off; every way to be no vote, and many ties and spellings."""
    draw = random.Random(seed)
    answers = draw.choice(((20, 1, 0), (3, 1, 1), (1, 1, 1)))  # weights of 1, 2 and 3
    boxed = draw.choice((0, 4, 100))
    cut_off = draw.choice((0.0, 0.2))
    texts = []
    for _ in range(num_votes):
        answer = draw.choice(SPELLINGS).format(draw.choices((1, 2, 3), answers)[0])
        no_votes = ("I do not know.", "\\boxed{}", "\\boxed{.}", "\\boxed{7")
        text = draw.choices((f"So it is \\boxed{{{answer}}}.", *no_votes), (boxed, 1, 1, 1, 1))[0]
        texts.append((text, draw.random() < cut_off))
    return texts


def library_votes(texts: list[tuple[str, bool]], grader: Grader) -> VotedQuestion:
    completions = [
        Completion(
            token_ids=(3,), logprobs=(-1.0,), finish_reason=FinishReason("length" if cut_off else "stop"), text=text
        )
        for text, cut_off in texts
    ]
    answers = [None if cut_off else last_boxed(text) for text, cut_off in texts]
    return count([answers], [completions], grader=grader)[0]


def own_tally(texts: list[tuple[str, bool]]) -> Any:
    return one.tally([one.read_vote(one.Completion((3,), text, cut_off)) for text, cut_off in texts])


def test_votes_labels_ties_and_the_band_are_the_librarys(grader: Grader) -> None:
    seen: Counter[object] = Counter()
    for seed in range(600):
        num_votes = 8 if seed % 2 else 10
        texts = solver_texts(seed, num_votes=num_votes)
        theirs, ours = library_votes(texts, grader).tally, own_tally(texts)
        assert ours[:3] == (theirs.num_votes, theirs.num_valid, theirs.num_agree)
        assert ours.tied == theirs.tied
        label = None if theirs.pseudo_label is None else one.normal(theirs.pseudo_label)
        assert ours.pseudo_label == label
        for low, high in ((0.25, 0.75), (0.3, 0.7), (0.0, 1.0)):
            verdict = judge(theirs, band_low=low, band_high=high, min_valid_frac=0.5)
            assert one.rejection(ours, one.Settings(band_low=low, band_high=high)) == verdict
            seen[verdict] += 1
        at_edge = theirs.num_agree / num_votes in (0.25, 0.3, 0.7, 0.75) and theirs.valid_frac >= 0.5
        seen.update({"tied": theirs.tied, "no label": label is None, "at the edge": at_edge})
    assert set(seen) == {None, *Rejection, "tied", "no label", "at the edge"}
    assert min(seen.values()) >= 5, seen


def step_of_questions(seed: int) -> list[str | None]:
    """What 24 Challenger completions were parsed into: near-copies, exact copies, unrelated ones, malformed ones."""
    draw = random.Random(seed)
    templates = (
        "What is {a} + {b}?",
        "Tom has {a} apples and buys {b} more. How many apples does Tom have?",
        "Find all real x such that $x^2 - {a}x + {b} = 0$.",
        "{a}*{b}",
        "A train travels {a} km in {b} hours. What is its speed in km/h?",
    )
    kinds: list[str | None] = [*templates, None]
    parsed = [draw.choice(kinds) for _ in range(23)]
    filled = [text and text.format(a=draw.randint(2, 30), b=draw.randint(2, 9)) for text in parsed]
    return [*filled, draw.choice(filled)]


@pytest.mark.parametrize("weight", [1.0, 0.3, 0.0])
def test_rewards_and_clusters_are_the_librarys(grader: Grader, weight: float) -> None:
    paid: Counter[str] = Counter()
    for seed in range(12):
        questions = step_of_questions(seed)
        well_formed = [question for question in questions if question is not None]
        texts = {q: solver_texts(1000 * seed + i, num_votes=10) for i, q in enumerate(dict.fromkeys(well_formed))}
        found = repetition(well_formed, threshold=0.5, batch_size=len(questions))
        repeated = iter(found)
        expected = [
            0.0
            if question is None
            else challenger_reward(
                ScoredQuestion(
                    question=question,
                    tally=library_votes(texts[question], grader).tally,
                    repetition=next(repeated).penalty,
                ),
                repetition_weight=weight,
                min_valid_frac=0.5,
            ).total
            for question in questions
        ]
        tallies = {question: own_tally(votes) for question, votes in texts.items()}
        rewards = one.challenger_rewards(questions, tallies, one.Settings(repetition_weight=weight))
        assert rewards == pytest.approx(expected, abs=1e-12, rel=0)
        assert one.clusters(well_formed, 0.5) == [item.cluster for item in found]
        assert 1 < max(item.cluster for item in found) < len(well_formed) - 1
        paid.update("0" if reward == 0 else "more" for reward in rewards)
    assert min(paid["0"], paid["more"]) > 20


def test_distances_are_the_librarys() -> None:
    short = ["7", "7", "x", "3+4", "3 + 4", "a a", "a b a b a b", "b a b a", "What is 3 + 4? Explain what that is."]
    questions = [question for question in step_of_questions(0) if question is not None] + short
    ours = [[one.distance(a, b) for b in questions] for a in questions]
    np.testing.assert_allclose(ours, bleu_distances(questions), rtol=0, atol=1e-12)


def test_clusters_merge_strictly_below_the_threshold() -> None:
    pair = ("What is 3 + 4?", "What is 3 + 5 then?")
    apart = one.distance(*pair)
    for threshold in (apart, math.nextafter(apart, 1.0)):
        assert one.clusters(pair, threshold) == [
            item.cluster for item in repetition(pair, threshold=threshold, batch_size=2)
        ]
    assert one.clusters(pair, apart) == [0, 1]


def test_three_and_seven_of_ten_earn_the_same() -> None:
    tallies = {
        name: one.tally(["1"] * agree + [str(n) for n in range(2, 12 - agree)]) for name, agree in (("a", 3), ("b", 7))
    }
    rewards = one.challenger_rewards(["a", "b"], tallies, one.Settings(repetition_weight=0.0))
    assert rewards == [0.6, 0.6]
    assert one.advantages(rewards) is None


def test_solver_rewards_are_the_librarys(grader: Grader) -> None:
    seen = set()
    for text, cut_off in (row for seed in range(30) for row in solver_texts(seed, num_votes=10)):
        answer = last_boxed(text)
        reward = agreement(
            SolverAnswer(
                question="1+1",
                answer=answer,
                pseudo_label="2",
                self_consistency=0.5,
                outcome=grader.grade(answer=answer, gold="2"),
                finish_reason=FinishReason("length" if cut_off else "stop"),
            )
        )
        assert float(one.read_vote(one.Completion((3,), text, cut_off)) == "2") == reward
        seen.add((reward, cut_off))
    assert seen == {(0.0, False), (0.0, True), (1.0, False)}


def test_advantages_are_the_librarys() -> None:
    draw = random.Random(0)
    groups = [[draw.choice((0.0, 0.3, 1.0)) for _ in range(draw.randint(2, 5))] for _ in range(200)]
    assert [one.advantages(rewards) for rewards in groups] == [advantages(rewards) for rewards in groups]
    assert 10 < sum(one.advantages(rewards) is None for rewards in groups) < 190


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of a few thousand random weights, whose tokens are words."""
    directory = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=128,
        initializer_range=0.1,
        tie_word_embeddings=True,
        bos_token_id=2,
        eos_token_id=END,
        pad_token_id=0,
    )
    LlamaForCausalLM(config).save_pretrained(directory)
    words = {"<pad>": 0, "<end>": END, "<start>": 2} | {f"w{number}": number for number in range(3, VOCABULARY)}
    core = Tokenizer(WordLevel(words, unk_token="<pad>"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<end>", pad_token="<pad>")
    tokenizer.chat_template = "<start>{% for message in messages %}{{ message.content }}{% endfor %}"
    tokenizer.save_pretrained(directory)
    return directory


def policy_and_reference(checkpoint: Path) -> tuple[LanguageModel, LanguageModel]:
    """The checkpoint in fp64, and the same a little astray, so that their KL is not zero."""
    policy, reference = (open_model(checkpoint, dtype="float32", device="cpu") for _ in range(2))
    for model in (policy, reference):
        model.module.double()
    torch.manual_seed(1)
    for parameter in reference.module.parameters():
        parameter.data.add_(0.02 * torch.randn_like(parameter))
    return policy, reference


def random_groups(seed: int) -> list[Group]:
    """Eight groups of four rollouts; the third and the last have no variance."""
    draw = random.Random(seed)

    def ids(most: int) -> tuple[int, ...]:
        return tuple(draw.randrange(VOCABULARY) for _ in range(draw.randint(1, most)))

    def rollout(reward: float) -> Rollout:
        tokens = ids(12)
        completion = Completion(
            token_ids=tokens, logprobs=(-1.0,) * len(tokens), finish_reason=FinishReason.STOP, text=""
        )
        return Rollout(completion=completion, reward=reward, policy_version=0)

    rewards = [[0.0, 1.0, draw.random(), draw.choice((0.0, 1.0))] for _ in range(8)]
    rewards[2], rewards[7] = [0.5] * 4, [0.0] * 4
    return [Group(prompt_ids=ids(8), rollouts=tuple(map(rollout, values))) for values in rewards]


def own_groups(groups: list[Group]) -> list[Any]:
    return [
        one.Group(
            group.prompt_ids,
            [one.Completion(rollout.completion.token_ids, "", False) for rollout in group.rollouts],
            [rollout.reward for rollout in group.rollouts],
        )
        for group in groups
    ]


@pytest.mark.parametrize("max_grad_norm", [1e-3, 1e9])
@pytest.mark.parametrize("updates_per_step", [1, 3])
def test_a_step_makes_the_librarys_update(checkpoint: Path, updates_per_step: int, max_grad_norm: float) -> None:
    """At this learning rate the later updates of a step meet ratios that are clipped, on both sides."""
    learning_rate = 0.01
    policy, reference = policy_and_reference(checkpoint)
    before, own = (copy.deepcopy(policy.module) for _ in range(2))
    learner = GrpoLearner(
        policy,
        reference=reference,
        options=GrpoConfig(max_grad_norm=max_grad_norm, tokens_per_microbatch=64),
        learning_rate=learning_rate,
        updates_per_step=updates_per_step,
        temperature=TEMPERATURE,
        max_new_tokens=16,
    )
    s = one.Settings(updates_per_step=updates_per_step, max_grad_norm=max_grad_norm, temperature=TEMPERATURE)
    optimizer = torch.optim.AdamW(own.parameters(), lr=learning_rate, weight_decay=0.01)
    for seed in range(2):
        groups = random_groups(seed)
        metrics = learner.step(groups)
        numbers = one.grpo_step(own, reference.module, optimizer, own_groups(groups), s)
        assert numbers["loss"] == pytest.approx(metrics["loss"], rel=1e-9)
        assert numbers["reward"] == pytest.approx(metrics["mean_reward"], rel=1e-12)
        assert numbers["no_variance"] == metrics["num_zero_variance_groups"] == 2
        if updates_per_step > 1:
            assert min(metrics["clip_low_frac"], metrics["clip_high_frac"]) > 0
    moved = 0.0
    for (name, ours), theirs, start in zip(
        own.named_parameters(), policy.module.parameters(), before.parameters(), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-9, msg=name)
        moved = max(moved, (ours - start).abs().max().item())
    assert moved > learning_rate


def test_without_variance_nothing_is_learnt(checkpoint: Path) -> None:
    policy, reference = policy_and_reference(checkpoint)
    own = copy.deepcopy(policy.module)
    optimizer = torch.optim.AdamW(own.parameters(), lr=0.1)
    groups = [random_groups(0)[number] for number in (2, 7)]
    assert one.grpo_step(own, reference.module, optimizer, own_groups(groups), one.Settings())["no_variance"] == 2
    for ours, start in zip(own.parameters(), policy.module.parameters(), strict=True):
        assert torch.equal(ours, start)


def test_a_model_that_cannot_write_questions_is_told_of(checkpoint: Path) -> None:
    sizes = "--challenger-steps 1 --prompts-per-step 1 --group-size 2 --num-questions 6 --max-new-tokens 5"
    with pytest.raises(SystemExit, match=r"nothing to learn from.*'malformed': 6"):
        one.main(["--model", str(checkpoint), *sizes.split()])


def test_an_iteration_of_the_micro_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gold = tmp_path / "gold.jsonl"
    gold.write_text('{"question": "3+4", "answer": "7"}\n{"question": "12+7", "answer": "19"}\n', encoding="utf-8")
    prompts = one.Prompts(
        challenger_system=prompts_of_arithmetic.CHALLENGER_SYSTEM,
        challenger_user=prompts_of_arithmetic.CHALLENGER_USER,
        solver_system=prompts_of_arithmetic.SOLVER_SYSTEM,
    )
    sizes = "--challenger-steps 1 --solver-steps 1 --prompts-per-step 2 --num-questions 12 --num-votes 8"
    (row,) = one.main(["--model", str(MICRO), "--data", str(gold), *sizes.split()], prompts)
    reasons = ("malformed", "repeated", "invalid", "too_hard", "too_easy", "kept")
    assert sum(row[name] for name in reasons) == 12
    assert row["kept"] >= 1
    assert 0 < row["challenger_reward"] <= 1
    assert row["challenger_loss"] != 0
    assert row["accuracy"] in (0.0, 0.5, 1.0)
    assert "kept" in capsys.readouterr().out
