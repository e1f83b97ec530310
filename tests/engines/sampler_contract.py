"""What every sampler has to do. Each check takes a sampler and ``model``, an opened model with the same weights.

A test file per engine runs all of CHECKS. The sampler and ``model`` compute in fp32; a check leaves the weights as it
found them.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from scipy.stats import chisquare
from tiny_model import CONTEXT, make_model, make_prompts

from rzero.engines.base import Sampler, SamplingParams
from rzero.errors import EngineError
from rzero.models.language_model import LanguageModel
from rzero.types import Completion, FinishReason


def greedy_tokens_are_those_of_transformers(sampler: Sampler, model: LanguageModel) -> None:
    prompts = make_prompts(32)
    width = max(map(len, prompts))
    expected = model.module.generate(
        input_ids=torch.tensor([[0] * (width - len(prompt)) + prompt for prompt in prompts]),
        attention_mask=torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]),
        do_sample=False,
        max_new_tokens=24,
        eos_token_id=sorted(model.stop_ids),
        pad_token_id=0,
    )
    found = sampler.generate(prompts, SamplingParams(max_new_tokens=24, temperature=0.0))
    for (completion,), row in zip(found, expected[:, width:].tolist(), strict=True):
        assert list(completion.token_ids) == row[: len(completion.token_ids)]
        assert len(completion.token_ids) == 24 or completion.token_ids[-1] in model.stop_ids


def logprobs_are_those_of_a_full_forward_pass(sampler: Sampler, model: LanguageModel) -> None:
    prompts = make_prompts(4, seed=1)
    for params in (
        SamplingParams(n=2, max_new_tokens=20, temperature=0.0),
        SamplingParams(n=2, max_new_tokens=20),
        SamplingParams(n=2, max_new_tokens=20, temperature=0.7, top_p=0.8),
        SamplingParams(n=2, max_new_tokens=20, temperature=1.5, top_k=5),
    ):
        for prompt, completions in zip(prompts, sampler.generate(prompts, params), strict=True):
            for completion in completions:
                expected = full_logprobs(model, prompt, completion, params.temperature or 1.0)
                torch.testing.assert_close(torch.tensor(completion.logprobs), expected, atol=2e-5, rtol=1e-5)


def frequencies_follow_the_softmax(sampler: Sampler, model: LanguageModel) -> None:
    prompt = make_prompts(1, seed=2)[0]
    with torch.no_grad():
        logits = model.module(input_ids=torch.tensor([prompt])).logits[0, -1].double()
    for params in (
        SamplingParams(n=3000, max_new_tokens=1, temperature=1.3),
        SamplingParams(n=3000, max_new_tokens=1, top_k=40, top_p=0.9),
    ):
        probs = (logits / params.temperature).softmax(-1)
        probs, ids = probs.sort(descending=True, stable=True)
        if params.top_k:
            probs[params.top_k :] = 0
            probs /= probs.sum()
        probs[probs.cumsum(-1) - probs >= params.top_p] = 0
        probs /= probs.sum()
        drawn = torch.tensor([completion.token_ids[0] for completion in sampler.generate([prompt], params)[0]])
        counts = drawn.bincount(minlength=len(ids))[ids]
        assert not counts[probs == 0].any()
        expected = probs * params.n
        common = expected >= 5
        assert common.sum() > 5
        observed = [*counts[common].tolist(), int(counts[~common].sum())]
        rest = max(float(expected[~common].sum()), 1e-9)
        assert chisquare(observed, [*expected[common].tolist(), rest]).pvalue > 0.001


def streams_depend_on_seed_prompt_and_completion_alone(sampler: Sampler, model: LanguageModel) -> None:
    prompts = make_prompts(5, seed=3)
    few = sampler.generate(prompts, SamplingParams(n=2, max_new_tokens=12, seed=5))
    assert few == sampler.generate(prompts, SamplingParams(n=2, max_new_tokens=12, seed=5))
    many = sampler.generate(prompts, SamplingParams(n=4, max_new_tokens=12, seed=5))
    assert [tokens(completions[:2]) for completions in many] == [tokens(completions) for completions in few]
    other = sampler.generate(prompts, SamplingParams(n=2, max_new_tokens=12, seed=6))
    assert [tokens(completions) for completions in other] != [tokens(completions) for completions in few]
    same = sampler.generate([prompts[0]] * 3, SamplingParams(n=2, max_new_tokens=12, seed=5))
    assert tokens(same[0]) == tokens(few[0])
    assert len(set(tokens([*same[0], *same[1], *same[2]]))) == 6


def an_end_token_stops_and_stays(sampler: Sampler, model: LanguageModel) -> None:
    found = sampler.generate(make_prompts(20, seed=4), SamplingParams(n=2, max_new_tokens=30))
    reasons = set()
    for completion in (completion for completions in found for completion in completions):
        reasons.add(completion.finish_reason)
        stopped = completion.finish_reason is FinishReason.STOP
        assert stopped == (completion.token_ids[-1] in model.stop_ids)
        assert not set(completion.token_ids[:-1]) & model.stop_ids
        assert stopped or len(completion.token_ids) == 30
        assert len(completion.logprobs) == len(completion.token_ids)
        assert completion.text == model.decode(completion.token_ids)
    assert reasons == {FinishReason.STOP, FinishReason.LENGTH}


def a_stop_string_may_cross_token_borders(sampler: Sampler, model: LanguageModel) -> None:
    prompts = make_prompts(30, seed=5)
    params = SamplingParams(max_new_tokens=30, seed=1)
    free = sampler.generate(prompts, params)
    crossing = 0
    for index, (completion,) in enumerate(free):
        ids = completion.token_ids
        before, after = model.decode(ids[:3]), model.decode(ids[:4])
        stop = after[len(before) - 1 :]
        if len(ids) < 8 or "\ufffd" in after or not before or len(stop) < 2 or stop in before:
            continue
        crossing += 1
        stopped = SamplingParams(max_new_tokens=30, seed=1, stop=("never\n", stop))
        (found,) = sampler.generate(prompts, stopped)[index]
        assert found.token_ids == ids[:4]
        assert found.finish_reason is FinishReason.STOP
        assert found.text.endswith(stop)
        if crossing == 3:
            break
    assert crossing, "no completion of the tiny model can serve as a test"


def the_context_limits_a_completion(sampler: Sampler, model: LanguageModel) -> None:
    long = [1 + index % 20 for index in range(CONTEXT - 5)]
    ((completion,), (short,)) = sampler.generate([long, [7]], SamplingParams(max_new_tokens=9, temperature=0.0))
    assert len(completion.token_ids) <= 5
    assert completion.finish_reason is FinishReason.STOP or len(completion.token_ids) == 5
    assert short.finish_reason is FinishReason.STOP or len(short.token_ids) == 9
    with pytest.raises(EngineError, match=rf"prompt 1 has {CONTEXT} tokens.* {CONTEXT}"):
        sampler.generate([[7], [7] * CONTEXT], SamplingParams(max_new_tokens=1))


def nothing_to_do_is_no_error_but_an_empty_prompt_is(sampler: Sampler, model: LanguageModel) -> None:
    assert sampler.generate([], SamplingParams(max_new_tokens=4)) == []
    with pytest.raises(EngineError, match="prompt 1 is empty"):
        sampler.generate([[5], []], SamplingParams(max_new_tokens=4))


def progress_sums_to_the_number_of_completions(sampler: Sampler, model: LanguageModel) -> None:
    finished: list[int] = []
    found = sampler.generate(
        make_prompts(9, seed=6), SamplingParams(n=3, max_new_tokens=10), on_progress=finished.append
    )
    assert [len(completions) for completions in found] == [3] * 9
    assert sum(finished) == 27
    assert len(finished) > 1


def a_finished_completion_is_shown_once_and_as_it_is_returned(sampler: Sampler, model: LanguageModel) -> None:
    prompts, params = make_prompts(7, seed=8), SamplingParams(n=3, max_new_tokens=16)
    shown: dict[tuple[int, int], Completion] = {}

    def show(prompt: int, completion: int, made: Completion) -> bool:
        assert (prompt, completion) not in shown
        shown[prompt, completion] = made
        return False

    found = sampler.generate(prompts, params, on_finish=show)
    assert found == sampler.generate(prompts, params)
    assert [[shown[i, j] for j in range(3)] for i in range(7)] == found
    assert len({len(made.token_ids) for made in shown.values()}) > 1
    lengths = [len(made.token_ids) for made in shown.values()]
    assert lengths != [len(completion.token_ids) for group in found for completion in group], "shown all at the end"


def a_prompt_that_is_no_longer_needed_ends_and_nothing_else_changes(sampler: Sampler, model: LanguageModel) -> None:
    prompts, params = make_prompts(8, seed=9), SamplingParams(n=6, max_new_tokens=24)
    whole = sampler.generate(prompts, params)
    finished: set[tuple[int, int]] = set()
    progress: list[int] = []

    def stop(prompt: int, completion: int, made: Completion) -> bool:
        finished.add((prompt, completion))
        return prompt % 2 == 0 and sum(i == prompt for i, _ in finished) >= 2

    found = sampler.generate(prompts, params, on_finish=stop, on_progress=progress.append)
    assert sum(progress) == 8 * 6
    num_cancelled = 0
    for i, group in enumerate(found):
        for j, (one, other) in enumerate(zip(group, whole[i], strict=True)):
            if (i, j) in finished:
                assert one.token_ids == other.token_ids
                assert (one.finish_reason, one.text) == (other.finish_reason, other.text)
                continue
            num_cancelled += 1
            assert i % 2 == 0 and one.finish_reason is FinishReason.CANCELLED
            assert len(one.token_ids) < len(other.token_ids)
            assert one.token_ids == other.token_ids[: len(one.token_ids)]
            assert len(one.logprobs) == len(one.token_ids) and one.text == model.decode(one.token_ids)
    assert num_cancelled > 4


def loaded_weights_are_used(sampler: Sampler, model: LanguageModel, directory: Path) -> None:
    architecture = model.module.config.model_type
    other = make_model(architecture, seed=1)
    other.module.save_pretrained(directory)
    prompts, params = make_prompts(4, seed=7), SamplingParams(max_new_tokens=10, temperature=0.0)
    own = {name: tensor.clone() for name, tensor in model.module.state_dict().items()}
    before = sampler.generate(prompts, params)
    sampler.load_weights(directory, policy_version=3)
    assert sampler.policy_version == 3
    changed = sampler.generate(prompts, params)
    for prompt, (completion,) in zip(prompts, changed, strict=True):
        expected = full_logprobs(other, prompt, completion, 1.0)
        torch.testing.assert_close(torch.tensor(completion.logprobs), expected, atol=2e-5, rtol=1e-5)
    assert changed != before
    sampler.load_weights(iter(own.items()), policy_version=4)
    assert sampler.policy_version == 4
    assert sampler.generate(prompts, params) == before


CHECKS = (
    greedy_tokens_are_those_of_transformers,
    logprobs_are_those_of_a_full_forward_pass,
    frequencies_follow_the_softmax,
    streams_depend_on_seed_prompt_and_completion_alone,
    an_end_token_stops_and_stays,
    a_stop_string_may_cross_token_borders,
    the_context_limits_a_completion,
    nothing_to_do_is_no_error_but_an_empty_prompt_is,
    progress_sums_to_the_number_of_completions,
    a_finished_completion_is_shown_once_and_as_it_is_returned,
    a_prompt_that_is_no_longer_needed_ends_and_nothing_else_changes,
)


def tokens(completions: list[Completion]) -> list[tuple[int, ...]]:
    return [completion.token_ids for completion in completions]


def full_logprobs(model: LanguageModel, prompt: list[int], completion: Completion, temperature: float) -> torch.Tensor:
    """Log-probabilities [T] of a completion from one forward pass over the whole sequence, without a cache."""
    with torch.no_grad():
        logits = model.module(input_ids=torch.tensor([[*prompt, *completion.token_ids]]), use_cache=False).logits
    ids = torch.tensor(completion.token_ids)
    return (logits[0, len(prompt) - 1 : -1].float() / temperature).log_softmax(-1).gather(-1, ids[:, None])[:, 0]
