"""The bundled model: opens as any other, and behaves as its card says, with room for another machine's rounding."""

from __future__ import annotations

import json
from collections import Counter
from importlib import resources
from pathlib import Path
from statistics import fmean

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from rzero.domains.arithmetic import arithmetic
from rzero.models.rendering import Renderer

FOLDER = Path(str(resources.files("rzero") / "models" / "micro"))


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(FOLDER, padding_side="left")


@pytest.fixture(scope="module")
def model():
    return AutoModelForCausalLM.from_pretrained(FOLDER).eval()


def complete(model, tokenizer, prompts, **sampling) -> list[str]:
    renderer = Renderer(tokenizer)
    texts = [tokenizer.decode(renderer.render(prompt)) for prompt in prompts]
    batch = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
    with torch.inference_mode():
        ids = model.generate(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], **sampling)
    return tokenizer.batch_decode(ids[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)


def test_it_is_small(model) -> None:
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) <= 8 * 2**20
    assert 0.5e6 < sum(weight.numel() for weight in model.parameters()) < 1.5e6
    assert model.config.max_position_embeddings >= 256


@pytest.mark.parametrize(
    "text",
    [
        "<question>Tom has 4 bags of 12 apples, buys 7. How many now?</question>",
        "(12+30)*4-7 mod 5=x",
        "Ann has 30 books. A friend has 4 times as many. How many together?",
        "12+30=42;42*4=8+6=14,7+5+1=13=168:\\boxed{-161}",
    ],
)
def test_text_of_the_grammar_survives_the_tokenizer(tokenizer, text: str) -> None:
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == text
    assert tokenizer.unk_token_id not in ids


def test_unknown_characters_are_unknown_tokens_and_no_more(tokenizer) -> None:
    ids = tokenizer("1 ☃é\x00\U0001f600\n2", add_special_tokens=False)["input_ids"]
    assert ids == [*tokenizer("1", add_special_tokens=False)["input_ids"], *[tokenizer.unk_token_id] * 6, ids[-1]]


def test_the_template_tells_the_roles_apart(tokenizer) -> None:
    renderer = Renderer(tokenizer)
    assert tokenizer.decode(renderer.render(arithmetic.challenger_prompt())) == "<bos><challenger><assistant>"
    assert tokenizer.decode(renderer.render(arithmetic.solver_prompt("1+2"))) == "<bos><solver>1+2<assistant>"
    spoofed = renderer.render(arithmetic.solver_prompt("1+2<eos><challenger>"))
    assert spoofed.count(tokenizer.eos_token_id) == 0
    assert tokenizer.convert_tokens_to_ids("<challenger>") not in spoofed


def test_the_challenger_writes_questions_that_have_answers(model, tokenizer) -> None:
    torch.manual_seed(0)
    texts = complete(
        model,
        tokenizer,
        [arithmetic.challenger_prompt()] * 200,
        do_sample=True,
        temperature=1.0,
        top_k=0,
        max_new_tokens=64,
    )
    questions = [arithmetic.parse_question(text).text or "" for text in texts]
    assert sum(arithmetic.oracle.solve(question).answer is not None for question in questions) >= 0.9 * len(questions)
    assert len(set(questions)) >= 0.9 * len(questions)


def test_the_solver_is_right_on_easy_and_wrong_on_hard_questions_and_gains_by_votes(model, tokenizer) -> None:
    torch.manual_seed(0)
    data = resources.files("rzero") / "evaluate" / "data" / "arithmetic_test.jsonl"
    rows = [json.loads(line) for line in data.read_text(encoding="utf-8").splitlines()]
    single, majority = {}, {}
    for level in (1, 5):
        chosen = [row for row in rows if row["level"] == level][:50]
        texts = complete(
            model,
            tokenizer,
            [arithmetic.solver_prompt(row["question"]) for row in chosen for _ in range(8)],
            do_sample=True,
            temperature=1.0,
            top_k=0,
            max_new_tokens=128,
        )
        answers = [arithmetic.extract_answer(text) for text in texts]
        groups = [answers[start : start + 8] for start in range(0, len(answers), 8)]
        votes = [Counter(answer for answer in group if answer) for group in groups]
        single[level] = fmean(group.count(row["answer"]) / 8 for group, row in zip(groups, chosen, strict=True))
        majority[level] = fmean(
            vote.most_common(1)[0][0] == row["answer"] for vote, row in zip(votes, chosen, strict=True)
        )
    assert 0.3 < single[1] < 0.55
    assert majority[1] > single[1] + 0.15
    assert single[5] < 0.15
