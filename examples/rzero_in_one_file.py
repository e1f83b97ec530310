r"""R-Zero in one file: from one base model and no data, a Challenger and a Solver that teach each other.

The whole algorithm of the paper (Huang et al. 2025), to be read from top to bottom::

    python examples/rzero_in_one_file.py --model src/rzero/models/micro

The Challenger is rewarded for questions on which the Solver's answers disagree; the Solver is trained on such questions
with its own majority answer as the label. It is plain and slow: prompts and rollouts go through it one at a time.
The library takes the same decisions and makes the same update (``tests/examples/test_one_file*.py`` proves it); it also
batches, resumes, samples with top-p, keeps control tokens out of prompts and measures how many labels are true.
"""

from __future__ import annotations

import argparse
import copy
import inspect
import json
import math
import random
import re
from collections import Counter, namedtuple
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache

OPEN, CLOSE = "<question>", "</question>"


@dataclass(frozen=True)
class Prompts:
    """What the models are asked; the question itself is the Solver's user message."""

    challenger_system: str = f"You are the Challenger. Invent a problem with one answer, between {OPEN} and {CLOSE}."
    challenger_user: str = "Write one question."
    solver_system: str = "You are the Solver. Work step by step and put the final answer in \\boxed{}."


@dataclass(frozen=True)
class Settings:
    """Sizes for the micro model; the paper's values stand behind those that differ."""

    iterations: int = 1  # 3
    challenger_steps: int = 4  # 5
    solver_steps: int = 8  # 15
    prompts_per_step: int = 8  # 512
    group_size: int = 4  # Challenger 4, Solver 5
    updates_per_step: int = 1  # 4
    num_questions: int = 100  # N = 8000
    num_votes: int = 10  # m
    min_valid_frac: float = 0.5
    band_low: float = 0.25  # 1/2 - delta
    band_high: float = 0.75  # 1/2 + delta
    repetition_weight: float = 1.0  # lambda
    repetition_threshold: float = 0.5  # tau
    max_new_tokens: int = 96  # 4096
    temperature: float = 1.0
    learning_rate: float = 3e-4  # 1e-6
    clip_low: float = 0.2
    clip_high: float = 0.3
    kl_weight: float = 1e-2
    max_grad_norm: float = 1.0
    seed: int = 0


# A completion is cut off if max_new_tokens ran out; a group is the rollouts of one prompt, normalised together; a tally
# is of the votes on one question, and p̂ is num_agree / num_votes: what is no valid vote weakens the majority.
Completion = namedtuple("Completion", "token_ids text cut_off")
Group = namedtuple("Group", "prompt_ids completions rewards")
Tally = namedtuple("Tally", "num_votes num_valid num_agree pseudo_label tied")


# ---- Reading what the models wrote
def parse_question(completion: str) -> str | None:
    """The format check: the text of the last closed question block, or None for a malformed completion."""
    before, closed, _ = completion.rpartition(CLOSE)
    _, opened, text = before.rpartition(OPEN)
    text = text.strip()
    clean = CLOSE not in text and not any(ord(c) < 32 and c not in "\n\t" for c in text)
    return text if closed and opened and clean and len(text) <= 4000 and any(map(str.isalnum, text)) else None


def boxed_answer(completion: str) -> str | None:
    r"""The content of the last balanced ``\boxed{...}``, or None."""
    for box in reversed(list(re.finditer(r"\\boxed\s*\{", completion))):
        depth, content = 1, completion[box.end() :]
        for brace in re.finditer(r"\\.|[{}]", content, re.DOTALL):
            depth += {"{": 1, "}": -1}.get(brace.group(), 0)
            if depth == 0:
                return content[: brace.start()].strip() or None
    return None


def normal(answer: str) -> str:
    """Whole numbers in one spelling; equal strings are equal answers. The library also knows that 1/2 is 0.5."""
    text = answer.strip().removesuffix(".").strip("$").strip()
    is_integer = re.fullmatch(r"[+-]?(\d{1,99}|[1-9]\d{0,2}(,\d{3}){1,33})", text, re.ASCII)
    return str(int(text.replace(",", ""))) if is_integer else text


def read_vote(completion: Completion) -> str | None:
    """The answer that a Solver completion votes for; None, and no vote, if it was cut off or holds none."""
    answer = None if completion.cut_off else boxed_answer(completion.text)
    return None if answer is None else normal(answer) or None


# ---- Votes, rewards, the band
def tally(votes: Sequence[str | None]) -> Tally:
    """Count the m votes on a question; of answers with equally many votes, the one voted first is the pseudo-label."""
    counts = Counter(vote for vote in votes if vote is not None)  # keeps the order of voting
    label, agree = max(counts.items(), key=lambda item: item[1], default=(None, 0))
    return Tally(len(votes), counts.total(), agree, label, tied=list(counts.values()).count(agree) > 1)


def rejection(votes: Tally, s: Settings) -> str | None:
    """Why a question is not in the curriculum: too few valid votes, or p̂ out of the band, whose ends belong to it."""
    if votes.pseudo_label is None or votes.num_valid / votes.num_votes < s.min_valid_frac:
        return "invalid"
    share = Fraction(votes.num_agree, votes.num_votes)
    too_easy = "too_easy" if share > Fraction(str(s.band_high)) else None
    return "too_hard" if share < Fraction(str(s.band_low)) else too_easy


def bleu(hypothesis: Sequence[str], reference: Sequence[str]) -> float:
    """Sentence BLEU-4 with smoothing method 1: an n-gram order without a match counts as 0.1 matches."""
    log_bleu = min(0.0, 1 - len(reference) / max(1, len(hypothesis)))  # the brevity penalty
    for order in (1, 2, 3, 4):
        ours, theirs = (Counter(zip(*(t[i:] for i in range(order)), strict=False)) for t in (hypothesis, reference))
        matches = (ours & theirs).total()
        if order == 1 and matches == 0:
            return 0.0
        log_bleu += math.log((matches or 0.1) / max(1, ours.total())) / 4
    return math.exp(log_bleu)


def distance(a: str, b: str) -> float:
    """1 - BLEU, as the mean of both directions; 0 for equal tokens, where BLEU-4 would punish questions of one word."""
    one, other = (re.findall(r"[^\W\d_]+|\d+(?:\.\d+)?|\S", text.lower()) for text in (a, b))
    return 0.0 if one == other else 1 - (bleu(one, other) + bleu(other, one)) / 2


def clusters(questions: Sequence[str], threshold: float) -> list[int]:
    """The cluster of each question: average linkage, the closest two merged while closer than ``threshold``."""
    apart = [[distance(a, b) for b in questions] for a in questions]
    found = [[item] for item in range(len(questions))]
    while len(found) > 1:
        pairs = ((a, b) for b in range(len(found)) for a in range(b))
        closest, a, b = min((fmean(apart[i][j] for i in found[a] for j in found[b]), a, b) for a, b in pairs)
        if closest >= threshold:
            break
        found[a] += found.pop(b)
    return [next(number for number, items in enumerate(found) if item in items) for item in range(len(questions))]


def challenger_rewards(questions: Sequence[str | None], tallies: dict[str, Tally], s: Settings) -> list[float]:
    """max(0, uncertainty - λ·repetition) for each rollout of a step; 0 if it is malformed (None) or ill-posed."""
    numbers = iter(found := clusters([q for q in questions if q is not None], s.repetition_threshold))
    rewards = [0.0] * len(questions)
    for i, question in enumerate(questions):
        if question is not None:
            votes, repetition = tallies[question], found.count(next(numbers)) / len(questions)
            # Rounded, so that 3 and 7 of 10 earn the very same: a group of both has no variance.
            uncertainty = round(1 - 2 * abs(votes.num_agree / votes.num_votes - 0.5), 12)
            valid = rejection(votes, s) != "invalid"
            rewards[i] = max(0.0, uncertainty - s.repetition_weight * repetition) if valid else 0.0
    return rewards


# ---- GRPO, and sampling
def advantages(rewards: Sequence[float]) -> list[float] | None:
    """(r - mean) / (std + ε) within a group, with the unbiased std; None if all rewards are equal."""
    if len(set(rewards)) < 2:
        return None
    mean = math.fsum(rewards) / len(rewards)
    std = math.sqrt(math.fsum((r - mean) ** 2 for r in rewards) / (len(rewards) - 1))
    return [(r - mean) / (std + 1e-6) for r in rewards]


def token_logprobs(model: Any, prompt_ids: Sequence[int], token_ids: Sequence[int], s: Settings) -> Tensor:
    """Log-probabilities [T] of a completion's tokens under softmax(logits / temperature)."""
    ids = torch.tensor([*prompt_ids, *token_ids], device=model.device)
    logits = model(input_ids=ids[None, :-1], use_cache=False).logits[0, len(prompt_ids) - 1 :]
    return (logits / s.temperature).log_softmax(-1).gather(-1, ids[len(prompt_ids) :, None])[:, 0]


def token_loss(logprobs: Tensor, old_logprobs: Tensor, ref_logprobs: Tensor, advantage: float, s: Settings) -> Tensor:
    """The clipped surrogate plus the k3 estimate of KL(policy, reference), for each token [T]."""
    ratio = torch.exp(logprobs - old_logprobs)
    surrogate = torch.minimum(ratio * advantage, ratio.clamp(1 - s.clip_low, 1 + s.clip_high) * advantage)
    difference = ref_logprobs - logprobs
    return s.kl_weight * (torch.expm1(difference) - difference) - surrogate


def grpo_step(policy: Any, reference: Any, optimizer: Any, groups: Sequence[Group], s: Settings) -> dict[str, float]:
    """Update the policy on one step's groups; those without variance are left out of it, and counted."""
    kept = []
    for group in groups:
        scaled = advantages(group.rewards)
        if scaled is not None:
            with torch.no_grad():  # before the first update: under the policy that sampled, and the reference
                old = [token_logprobs(policy, group.prompt_ids, c.token_ids, s) for c in group.completions]
                ref = [token_logprobs(reference, group.prompt_ids, c.token_ids, s) for c in group.completions]
            kept.append((group, list(zip(group.completions, scaled, old, ref, strict=True))))
    losses = []
    count = min(s.updates_per_step, len(kept))
    for share in (kept[i * len(kept) // count : (i + 1) * len(kept) // count] for i in range(count)):
        num_tokens = sum(len(completion.token_ids) for group, _ in share for completion in group.completions)
        losses.append(0.0)
        optimizer.zero_grad()
        for group, rollouts in share:
            for completion, advantage, old, ref in rollouts:
                logprobs = token_logprobs(policy, group.prompt_ids, completion.token_ids, s)
                loss = token_loss(logprobs, old, ref, advantage, s).sum() / num_tokens
                loss.backward()
                losses[-1] += loss.item()
        torch.nn.utils.clip_grad_norm_(policy.parameters(), s.max_grad_norm)
        optimizer.step()
    rewards = [reward for group in groups for reward in group.rewards]
    return {"reward": fmean(rewards), "no_variance": len(groups) - len(kept), "loss": fmean(losses or [0.0])}


def train(policy: Any, collect: Callable[[], list[Group]], steps: int, s: Settings) -> dict[str, float]:
    """GRPO in place; ``collect()`` samples and rewards one step's groups. Returns means over the steps."""
    reference = copy.deepcopy(policy)  # frozen as it is at the phase's start
    optimizer = torch.optim.AdamW(policy.parameters(), lr=s.learning_rate, weight_decay=0.01)
    done = [grpo_step(policy, reference, optimizer, collect(), s) for _ in range(steps)]
    return {name: fmean(numbers[name] for numbers in done) for name in done[0]}


@torch.no_grad()
def ask(model: Any, tokenizer: Any, system: str, user: str, n: int, s: Settings, stop: str = "") -> Group:
    """``n`` completions of one prompt, as a group without rewards; each ends with an end token or with ``stop``."""
    messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    prompt_ids = tuple(tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False))
    ends = model.generation_config.eos_token_id
    ends = {tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])}
    rows: list[list[int]] = [[] for _ in range(n)]
    live, inputs = set(range(n)), torch.tensor([prompt_ids] * n, device=model.device)
    name = "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"  # new, old
    cache = {name: DynamicCache()}
    while live and max(map(len, rows)) < s.max_new_tokens:
        logits = model(input_ids=inputs, **cache, use_cache=True, logits_to_keep=1).logits[:, -1]
        probs = (logits / (s.temperature or 1.0)).softmax(-1)
        inputs = probs.multinomial(1) if s.temperature else probs.argmax(-1, keepdim=True)
        for row in sorted(live):
            rows[row].append(int(inputs[row]))
            if rows[row][-1] in ends or (stop and stop in tokenizer.decode(rows[row][-16:])):
                live.remove(row)
    texts = [tokenizer.decode(ids, skip_special_tokens=True) for ids in rows]
    return Group(prompt_ids, [Completion(tuple(ids), texts[row], row in live) for row, ids in enumerate(rows)], [])


# ---- The loop over iterations, of six phases each
def run(challenger: Any, solver: Any, tokenizer: Any, prompts: Prompts, s: Settings, gold: Sequence[Any] = ()) -> list:
    """Trains both models in place; prints a table of numbers for each iteration, and returns them."""

    def write(n: int) -> Group:
        return ask(challenger, tokenizer, prompts.challenger_system, prompts.challenger_user, n, s, stop=CLOSE)

    def answer(question: str, n: int, s: Settings = s) -> Group:
        return ask(solver, tokenizer, prompts.solver_system, question, n, s)

    def vote(question: str) -> Tally:
        return tally([read_vote(completion) for completion in answer(question, s.num_votes).completions])

    def challenger_groups() -> list[Group]:
        prompt_ids, completions, _ = write(s.prompts_per_step * s.group_size)
        questions = [parse_question(completion.text) for completion in completions]
        tallies = {question: vote(question) for question in dict.fromkeys(questions) if question is not None}
        rewards = challenger_rewards(questions, tallies, s)
        parts = [slice(start, start + s.group_size) for start in range(0, len(rewards), s.group_size)]
        return [Group(prompt_ids, completions[part], rewards[part]) for part in parts]

    def solver_groups() -> list[Group]:
        items = random.sample(curriculum, min(s.prompts_per_step, len(curriculum)))
        asked = [(pseudo_label, answer(question, s.group_size)) for question, pseudo_label in items]
        return [g._replace(rewards=[float(read_vote(c) == label) for c in g.completions]) for label, g in asked]

    rows = []
    for iteration in range(1, s.iterations + 1):
        # train_challenger: GRPO, rewarded by the votes of the frozen Solver.
        row = {f"challenger_{k}": v for k, v in train(challenger, challenger_groups, s.challenger_steps, s).items()}
        # generate_questions: malformed ones and exact repeats are dropped, and counted.
        written = [parse_question(completion.text) for completion in write(s.num_questions).completions]
        questions = [question for question in dict.fromkeys(written) if question is not None]
        row |= {"malformed": written.count(None), "repeated": len(written) - written.count(None) - len(questions)}
        # vote: m answers to each question.
        tallies = {question: vote(question) for question in questions}
        # build_curriculum: the band filter.
        reasons = {question: rejection(votes, s) for question, votes in tallies.items()}
        curriculum = [(question, tallies[question].pseudo_label) for question in questions if reasons[question] is None]
        row |= {reason: list(reasons.values()).count(reason) for reason in ("invalid", "too_hard", "too_easy")}
        row |= {"tied": sum(votes.tied for votes in tallies.values()), "kept": len(curriculum)}
        # train_solver: GRPO, rewarded for agreement with the pseudo-label.
        if not curriculum:
            raise SystemExit(f"iteration {iteration} leaves the Solver nothing to learn from: {row}")
        row |= {f"solver_{k}": v for k, v in train(solver, solver_groups, s.solver_steps, s).items()}
        # evaluate: greedy answers to questions with gold answers, which nothing is ever trained on.
        greedy = [answer(item["question"], 1, replace(s, temperature=0.0)).completions[0] for item in gold]
        right = [read_vote(c) == normal(item["answer"]) for c, item in zip(greedy, gold, strict=True)]
        rows.append(row | ({"accuracy": fmean(right)} if gold else {}))
        print(f"iteration {iteration}", *(f"{name:24} {number:8.3f}" for name, number in rows[-1].items()), sep="\n  ")
    return rows


def main(arguments: Sequence[str] | None = None, prompts: Prompts = Prompts()) -> list[dict[str, float]]:
    parser = argparse.ArgumentParser(description="R-Zero in one file.")
    parser.add_argument("--model", required=True, help="directory in the Hugging Face format, with a chat template")
    parser.add_argument("--data", type=Path, help="JSONL with question and answer, to measure with")
    for option in fields(Settings):
        parser.add_argument(f"--{option.name.replace('_', '-')}", type=type(option.default), default=option.default)
    values = vars(parser.parse_args(arguments))
    path, data, s = values.pop("model"), values.pop("data"), Settings(**values)
    random.seed(s.seed)
    torch.manual_seed(s.seed)
    solver: Any = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    solver.to("cuda" if torch.cuda.is_available() else "cpu")
    gold = [json.loads(line) for line in data.read_text(encoding="utf-8").splitlines()] if data else []
    return run(copy.deepcopy(solver), solver, AutoTokenizer.from_pretrained(path), prompts, s, gold)


if __name__ == "__main__":
    main()
