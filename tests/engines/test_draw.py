from __future__ import annotations

import pytest
import torch
from scipy.stats import chisquare

from rzero.engines import draw as module
from rzero.engines.draw import draw


@pytest.fixture(params=["native", "plain"], autouse=True)
def implementation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every test holds for the compiled and for the PyTorch code."""
    if request.param == "plain":
        monkeypatch.setattr(module, "serves", lambda logits: False)
    return request.param


def kept_probs(logits: torch.Tensor, *, temperature: float, top_k: int, top_p: float) -> torch.Tensor:
    """[V] The definition, on one row in fp64."""
    probs = (logits.double() / temperature).softmax(-1)
    order = sorted(range(len(probs)), key=lambda token: (-probs[token].item(), token))
    kept = order[:top_k] if top_k else order
    mass, total = 0.0, probs[kept].sum().item()
    nucleus = []
    for token in kept:
        nucleus.append(token)
        mass += probs[token].item()
        if mass >= top_p * total:
            break
    result = torch.zeros_like(probs)
    result[nucleus] = probs[nucleus]
    return result / result.sum()


@pytest.mark.parametrize("vocab_size", [3, 128, 300, 1000])
@pytest.mark.parametrize("scale", [0.1, 3.0])
@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"), [(1.0, 0, 1.0), (0.6, 0, 0.9), (1.4, 20, 1.0), (1.0, 50, 0.7), (1.0, 0, 0.999)]
)
def test_an_even_grid_of_numbers_draws_each_token_its_share(
    vocab_size: int, scale: float, temperature: float, top_k: int, top_p: float
) -> None:
    logits = scale * torch.randn(vocab_size, generator=torch.Generator().manual_seed(vocab_size))
    count = 4000
    grid = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    tokens, logprobs = draw(logits.expand(count, -1), grid, temperature=temperature, top_k=top_k, top_p=top_p)
    expected = count * kept_probs(logits, temperature=temperature, top_k=top_k, top_p=top_p)
    assert (tokens.bincount(minlength=vocab_size) - expected).abs().max() < 1.001
    assert set(tokens.tolist()) <= set(expected.nonzero()[:, 0].tolist())
    torch.testing.assert_close(logprobs, (logits / temperature).log_softmax(-1)[tokens], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("top_k", "top_p"), [(0, 1.0), (8, 1.0), (0, 0.85)])
def test_random_numbers_pass_a_chi_square_test(top_k: int, top_p: float) -> None:
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(12, generator=generator)
    count = 20_000
    numbers = torch.rand(count, generator=generator, dtype=torch.float64)
    tokens, _ = draw(logits.expand(count, -1), numbers, top_k=top_k, top_p=top_p)
    expected = count * kept_probs(logits, temperature=1.0, top_k=top_k, top_p=top_p)
    kept = expected > 0
    assert chisquare(tokens.bincount(minlength=12)[kept], expected[kept]).pvalue > 0.001


@pytest.mark.parametrize("options", [{}, {"top_k": 3}, {"top_p": 0.9}, {"top_k": 200, "top_p": 1.0}])
def test_the_ends_of_the_unit_interval_never_draw_an_impossible_token(options: dict[str, float]) -> None:
    logits = torch.full((3, 300), float("-inf"))
    logits[:, 140] = 0.0
    logits[:, 150] = -80.0  # its probability is not zero, but far below the rounding of the sum
    numbers = torch.tensor([0.0, 0.5, 1.0 - 2**-53], dtype=torch.float64)
    tokens, logprobs = draw(logits, numbers, **options)  # pyright: ignore[reportArgumentType]
    assert set(tokens.tolist()) <= {140, 150}
    assert logprobs.isfinite().all()


@pytest.mark.parametrize("options", [{"top_k": 3}, {"top_p": 0.7}, {"top_k": 3, "top_p": 0.7}])
def test_neighbouring_rows_never_lend_each_other_tokens(options: dict[str, float]) -> None:
    logits = torch.full((200, 300), -30.0)
    rows = torch.arange(200)
    for shift in range(3):  # each row has three likely tokens, and no neighbour shares one of them
        logits[rows, (rows * 3 + shift) % 300] = 0.1 * shift
    for number in (0.0, 1.0 - 2**-53):
        tokens, _ = draw(logits, torch.full((200,), number, dtype=torch.float64), **options)  # pyright: ignore[reportArgumentType]
        assert ((tokens - rows * 3) % 300 < 3).all()


def test_equal_probabilities_are_cut_in_order_of_id() -> None:
    logits = torch.zeros(1000, 300)
    logits[:, 200] = 1.0
    numbers = torch.linspace(0, 1, 1001, dtype=torch.float64)[:-1]
    assert set(draw(logits, numbers, top_k=4)[0].tolist()) == {200, 0, 1, 2}
    tenth = draw(torch.zeros(1000, 300), numbers, top_p=0.1)[0]
    assert set(tenth.tolist()) == set(range(30))


def test_one_token_always_remains() -> None:
    logits = torch.tensor([[0.0, 3.0, 0.0]])
    for number in (0.0, 0.999):
        tokens, _ = draw(logits, torch.tensor([number], dtype=torch.float64), top_p=1e-6)
        assert tokens.tolist() == [1]


def test_temperature_zero_takes_the_first_of_the_most_likely() -> None:
    logits = torch.tensor([[0.0, 2.0, 2.0, 1.0]])
    tokens, logprobs = draw(logits, torch.tensor([0.9], dtype=torch.float64), temperature=0.0, top_p=0.5)
    assert tokens.tolist() == [1]
    torch.testing.assert_close(logprobs, logits.log_softmax(-1)[:, 1])


@pytest.mark.parametrize("top_p", [1.0, 0.95])
def test_rows_are_drawn_independently_across_chunks(top_p: float) -> None:
    generator = torch.Generator().manual_seed(5)
    logits = 4 * torch.randn(70, 40_000, generator=generator).bfloat16()  # 26 rows a chunk
    numbers = torch.rand(70, generator=generator, dtype=torch.float64)
    tokens, logprobs = draw(logits, numbers, top_p=top_p)
    alone = [draw(logits[row, None], numbers[row, None], top_p=top_p) for row in range(70)]
    assert tokens.tolist() == [int(token) for token, _ in alone]
    assert logprobs.tolist() == [float(logprob) for _, logprob in alone]


def test_what_is_not_a_number_shows_in_the_logprob() -> None:
    logits = torch.tensor([[0.0, float("nan")], [0.0, 1.0], [float("inf"), 0.0]])
    numbers = torch.full((3,), 0.5, dtype=torch.float64)
    for options in ({"temperature": 0.0}, {}, {"top_p": 0.9}, {"top_k": 1}):
        _, logprobs = draw(logits, numbers, **options)  # pyright: ignore[reportArgumentType]
        assert logprobs.isnan().tolist() == [True, False, True]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("vocab_size", "temperature"), [(64, 1.0), (5001, 0.7), (49152, 0.0)])
def test_both_implementations_draw_the_same(
    dtype: torch.dtype, vocab_size: int, temperature: float, implementation: str
) -> None:
    generator = torch.Generator().manual_seed(vocab_size)
    logits = (3 * torch.randn(200, vocab_size, generator=generator)).to(dtype)
    numbers = torch.rand(200, generator=generator, dtype=torch.float64)
    tokens, logprobs = draw(logits, numbers, temperature=temperature)
    expected = (logits.double() / (temperature or 1.0)).log_softmax(-1)
    cumulative = (logits.double() / temperature).softmax(-1).cumsum(-1) if temperature else None
    if cumulative is None:
        assert tokens.tolist() == logits.float().argmax(-1).tolist()
    else:
        below = torch.where(tokens > 0, cumulative.gather(-1, (tokens - 1).clamp(min=0)[:, None])[:, 0], 0.0)
        above = cumulative.gather(-1, tokens[:, None])[:, 0]
        assert (numbers > below - 1e-5).all() and (numbers < above + 1e-5).all()
    torch.testing.assert_close(logprobs.double(), expected.gather(-1, tokens[:, None])[:, 0], atol=5e-6, rtol=1e-5)
