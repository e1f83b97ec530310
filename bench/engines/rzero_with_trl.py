"""One iteration of R-Zero from TRL and transformers: what one would write without rzero's engine.

``GRPOTrainer`` trains both roles, ``generate`` writes the pool and casts the votes, the weights stay in memory from
one phase to the next. Prompts, parsers, grader, rewards, band and all sizes are rzero's own, so that nothing but the
engines differs. TRL's generation knows no stop strings, so a question is cut at its closing tag afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from engines.trl_training import Settings, train
from rzero import domains
from rzero.config import Config, GenerateConfig, RoleConfig, VoteConfig
from rzero.curriculum.build import build
from rzero.evolve.voting import count
from rzero.grading.grader import Grader
from rzero.models.rendering import Renderer
from rzero.models.resolve import resolve
from rzero.rewards.challenger import ScoredQuestion, challenger_reward
from rzero.rewards.repetition import repetition
from rzero.types import Completion, CurriculumItem, FinishReason, Outcome, Prompt, Tally

ROWS = 256


def iterate(config: Config, out: Path) -> dict[str, float]:
    """Train a Challenger, let it write, vote, filter, train a Solver; both are saved in ``out``."""
    with Grader(timeout_s=config.grading.timeout_s, workers=config.grading.workers) as grader:
        return _Iteration(config, grader).run(out)


class _Iteration:
    """The two models and what is done with them."""

    def __init__(self, config: Config, grader: Grader) -> None:
        self._config = config
        base = resolve(config.model.path, store=Path())
        self._grader = grader
        self._domain = domains.load(config.domain)
        self._tokenizer = AutoTokenizer.from_pretrained(base)
        self._renderer = Renderer(self._tokenizer)
        self._challenger, self._solver = (
            AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16) for _ in range(2)
        )
        self._num_votes = 0

    def run(self, out: Path) -> dict[str, float]:
        """The phases in their order; returns how much there was to do."""
        self._train_challenger()
        questions = self._write_questions()
        tallies = self._vote(questions)
        options = self._config.curriculum
        items, _ = build(
            [(str(index), question) for index, question in enumerate(questions)],
            tallies,
            band_low=options.band_low,
            band_high=options.band_high,
            min_valid_frac=self._config.vote.min_valid_frac,
        )
        self._train_solver(items)
        self._challenger.save_pretrained(out / "challenger")
        self._solver.save_pretrained(out / "solver")
        return {"votes": self._num_votes, "pool": len(questions), "kept": len(items)}

    def _train_challenger(self) -> None:
        role = self._config.challenger
        prompt = self._domain.challenger_prompt()
        total = role.prompts_per_step * role.group_size

        def rewards(completions: list[str], **_: Any) -> list[float]:
            parsed = [self._question(prompt, completion) for completion in completions]
            texts = [text for text in parsed if text is not None]
            distinct = list(dict.fromkeys(texts))
            tallies = dict(zip(distinct, self._vote(distinct), strict=True))
            repeated = iter(repetition(texts, threshold=role.repetition_threshold, batch_size=total))
            return [
                0.0 if text is None else self._reward(text, tallies[text], next(repeated).penalty) for text in parsed
            ]

        rows = [{"prompt": self._ids(prompt)}] * (role.steps * role.prompts_per_step)
        self._train(self._challenger, rows, role, prompts_per_step=role.prompts_per_step, reward=rewards)

    def _reward(self, question: str, tally: Tally, penalty: float) -> float:
        return challenger_reward(
            ScoredQuestion(question=question, tally=tally, repetition=penalty),
            repetition_weight=self._config.challenger.repetition_weight,
            min_valid_frac=self._config.vote.min_valid_frac,
        ).total

    def _write_questions(self) -> list[str]:
        options = self._config.generate
        prompt = self._domain.challenger_prompt()
        (row,) = self._generate(
            self._challenger,
            [prompt],
            n=options.num_questions,
            max_new_tokens=self._config.challenger.max_new_tokens,
            options=options,
        )
        texts = [self._question(prompt, completion.text) for completion in row]
        return list(dict.fromkeys(text for text in texts if text is not None))

    def _vote(self, questions: Sequence[str]) -> list[Tally]:
        if not questions:
            return []
        options = self._config.vote
        prompts = [self._domain.solver_prompt(question) for question in questions]
        groups = self._generate(
            self._solver, prompts, n=options.num_votes, max_new_tokens=options.max_new_tokens, options=options
        )
        self._num_votes += len(questions) * options.num_votes
        answers = [
            [
                None if c.finish_reason is FinishReason.LENGTH else self._domain.extract_answer(prompt.prefill + c.text)
                for c in row
            ]
            for prompt, row in zip(prompts, groups, strict=True)
        ]
        return [voted.tally for voted in count(answers, groups, grader=self._grader)]

    def _train_solver(self, items: Sequence[CurriculumItem]) -> None:
        role = self._config.solver

        def rewards(completions: list[str], completion_ids: list[list[int]], label: list[str], **_: Any) -> list[float]:
            answers = [self._domain.extract_answer(completion) for completion in completions]
            outcomes = self._grader.grade_many(list(zip(answers, label, strict=True)))
            return [
                float(outcome is Outcome.RIGHT and len(ids) < role.max_new_tokens)
                for outcome, ids in zip(outcomes, completion_ids, strict=True)
            ]

        per_step = min(role.prompts_per_step, len(items))
        rows = [
            {"prompt": self._ids(self._domain.solver_prompt(item.question)), "label": item.pseudo_label}
            for item in (list(items) * role.steps)[: per_step * role.steps]
        ]
        self._train(self._solver, rows, role, prompts_per_step=per_step, reward=rewards)

    def _train(
        self, model: Any, rows: list[dict[str, Any]], role: RoleConfig, *, prompts_per_step: int, reward: Any
    ) -> None:
        settings = Settings(
            steps=role.steps,
            prompts_per_step=prompts_per_step,
            group_size=role.group_size,
            learning_rate=role.learning_rate,
            max_new_tokens=role.max_new_tokens,
            temperature=role.temperature,
            top_p=role.top_p,
            kl_weight=self._config.grpo.kl_weight,
        )
        train(model, self._tokenizer, rows, settings=settings, reward=reward)

    def _generate(
        self,
        model: Any,
        prompts: Sequence[Prompt],
        *,
        n: int,
        max_new_tokens: int,
        options: GenerateConfig | VoteConfig,
    ) -> list[list[Completion]]:
        """``n`` completions of each prompt, at most ROWS at a time."""
        found: list[list[Completion]] = []
        for start in range(0, len(prompts), max(1, ROWS // n)):
            batch = prompts[start : start + max(1, ROWS // n)]
            ids = [{"input_ids": list(self._renderer.render(prompt))} for prompt in batch]
            inputs = self._tokenizer.pad(ids, padding_side="left", return_tensors="pt")
            with torch.inference_mode():
                output = model.eval().generate(
                    **inputs,
                    do_sample=True,
                    temperature=options.temperature,
                    top_p=options.top_p,
                    top_k=options.top_k,
                    num_return_sequences=n,
                    max_new_tokens=max_new_tokens,
                    pad_token_id=self._tokenizer.pad_token_id,
                    **self._stopping(batch[0].stop),
                )
            rows = [self._completion(row) for row in output[:, inputs["input_ids"].shape[1] :].tolist()]
            found += [rows[i : i + n] for i in range(0, len(rows), n)]
        return found

    def _stopping(self, stops: Sequence[str]) -> dict[str, Any]:
        """A stop string that is one token ends a row as an end token does; any other is looked for in the text."""
        vocabulary = self._tokenizer.get_vocab()
        tokens = [vocabulary[stop] for stop in stops if stop in vocabulary]
        if tokens:
            return {"eos_token_id": [self._tokenizer.eos_token_id, *tokens]}
        return {"stop_strings": list(stops), "tokenizer": self._tokenizer} if stops else {}

    def _completion(self, row: list[int]) -> Completion:
        """The row without its padding; what ends neither with an end token nor with padding was cut off."""
        ends = {self._tokenizer.eos_token_id, self._tokenizer.pad_token_id}
        length = next((index for index, token in enumerate(row) if token in ends), None)
        return Completion(
            token_ids=tuple(row[:length]),
            logprobs=(),
            finish_reason=FinishReason.LENGTH if length is None else FinishReason.STOP,
            text=self._tokenizer.decode(row[:length], skip_special_tokens=True),
        )

    def _question(self, prompt: Prompt, completion: str) -> str | None:
        """The question in a completion, read as far as the prompt's stop string."""
        for stop in prompt.stop:
            head, found, _ = completion.partition(stop)
            completion = head + found
        return self._domain.parse_question(prompt.prefill + completion).text

    def _ids(self, prompt: Prompt) -> str:
        return json.dumps(self._renderer.render(prompt))
