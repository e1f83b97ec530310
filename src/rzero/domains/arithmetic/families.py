"""Questions of every family, drawn at random: for the bundled model's corpus and for the held-out test set.

Numbers are drawn by their length first, so that short and long ones are equally common. Some stories take away more
than there is; callers ask the oracle.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from rzero.domains.arithmetic.parse import GAINS, ITEMS, LOSSES, NAMES


def draw(rng: Random, family: str) -> str:
    """A question of ``family``, one of :data:`FAMILIES`."""
    return FAMILIES[family](rng)


def _number(rng: Random, low: int, high: int) -> int:
    """A number of ``low`` to ``high`` digits."""
    digits = rng.randint(low, high)
    return rng.randint(1 if digits == 1 else 10 ** (digits - 1), 10**digits - 1)


def _pick(rng: Random, choices: Sequence[tuple[int, int]]) -> tuple[int, int]:
    left, right = rng.choice(choices)
    return _number(rng, left, left), _number(rng, right, right)


def _sum(rng: Random) -> str:
    longest = rng.choice((2, 2, 2, 3, 3, 4, 4))
    left, right = _number(rng, longest, longest), _number(rng, 1 if longest == 2 else 2, longest)
    if rng.random() < 0.3:
        left, right = right, left
    return f"{left}{rng.choice('+-')}{right}"


def _terms(rng: Random) -> str:
    count = rng.choice((3, 3, 3, 4, 4, 5))
    high = rng.choice((1, 2, 2, 3)) if count < 5 else 2
    numbers = [_number(rng, 1, high) for _ in range(count)]
    return str(numbers[0]) + "".join(f"{rng.choice('+-')}{number}" for number in numbers[1:])


def _product(rng: Random) -> str:
    left, right = _pick(rng, ((1, 1), (1, 1), (2, 1), (2, 1), (1, 2), (2, 2), (2, 2), (3, 1), (1, 3), (3, 2)))
    return f"{left}*{right}"


def _mixed(rng: Random) -> str:
    left, right = _pick(rng, ((1, 1), (1, 1), (2, 1), (1, 2), (2, 2)))
    other, last = _number(rng, 1, 3), _number(rng, 1, 1)
    forms = (
        f"{left}*{right}+{other}",
        f"{left}*{right}-{other}",
        f"{other}+{left}*{right}",
        f"{other}-{left}*{right}",
        f"{left}*{right}+{last}*{_number(rng, 1, 2)}",
        f"{left}*{right}-{last}*{_number(rng, 1, 2)}",
    )
    return rng.choice(forms)


def _brackets(rng: Random) -> str:
    high = rng.choice((1, 2, 2))
    a, b, c, d = (_number(rng, 1, high) for _ in range(4))
    small, first, second = _number(rng, 1, 1), rng.choice("+-"), rng.choice("+-")
    forms = (
        f"({a}{first}{b})*{small}",
        f"{small}*({a}{first}{b})",
        f"{a}-({b}{first}{c})",
        f"({a}{first}{b})*({c}{second}{d})",
        f"({a}{first}{b})*{small}{second}{c}",
        f"{a}{first}({b}{second}{c})*{small}",
        f"(({a}{first}{b})*{small}{second}{c})*{_number(rng, 1, 1)}",
    )
    return rng.choice(forms)


def _modular(rng: Random) -> str:
    divisor = rng.randint(2, 9) if rng.random() < 0.6 else rng.randint(10, 99)
    left, right = _pick(rng, ((1, 1), (2, 1), (2, 2)))
    forms = (
        f"{_number(rng, 2, 2)} mod {divisor}",
        f"{_number(rng, 2, 3)} mod {divisor}",
        f"{_number(rng, 3, 4)} mod {divisor}",
        f"({_number(rng, 2, 3)}+{_number(rng, 2, 3)}) mod {divisor}",
        f"{left}*{right} mod {divisor}",
    )
    return rng.choice(forms)


def _equation(rng: Random) -> str:
    solution, other, right = _number(rng, 1, 2), _number(rng, 1, 3), _number(rng, 1, 3)
    factor = rng.choice((2, 5, 10))
    forms = (
        f"x+{other}={right}",
        f"x-{other}={right}",
        f"{other}-x={right}",
        f"{right}={other}+x",
        f"2*x+{other}=x+{right}",
        f"3*x-{other}=2*x+{right}",
        f"{factor}*x+{other}={factor * solution + other}",
    )
    return rng.choice(forms)


def _amount(rng: Random, low: int, high: int) -> str:
    if rng.random() < 0.2:
        return f"{rng.randint(2, 9)} bags of {_number(rng, 1, 2)}"
    return str(_number(rng, low, high))


def _story(rng: Random) -> str:
    text = f"{rng.choice(NAMES)} has {_amount(rng, 2, 3)} {rng.choice(ITEMS)}"
    for _ in range(rng.choice((1, 1, 2, 2, 3))):
        if rng.random() < 0.5:
            text += f", {rng.choice(GAINS)} {_amount(rng, 1, 2)}"
        else:
            text += f", {rng.choice(LOSSES)} {_number(rng, 1, rng.choice((1, 1, 2)))}"
    return text + ". How many now?"


def _friend(rng: Random) -> str:
    compare = rng.choice(("more", "fewer", "times as many"))
    other = rng.randint(2, 9) if compare == "times as many" else _number(rng, 1, 1 if compare == "fewer" else 2)
    start = f"{rng.choice(NAMES)} has {_amount(rng, 2, 3)} {rng.choice(ITEMS)}"
    return f"{start}. A friend has {other} {compare}. How many together?"


def _packing(rng: Random) -> str:
    size = rng.randint(2, 9) if rng.random() < 0.7 else rng.randint(10, 30)
    start = f"{rng.choice(NAMES)} packs {_amount(rng, 2, 3)} {rng.choice(ITEMS)}"
    return f"{start} in boxes of {size}. How many are left over?"


FAMILIES: dict[str, Callable[[Random], str]] = {
    "sum": _sum,
    "terms": _terms,
    "product": _product,
    "mixed": _mixed,
    "brackets": _brackets,
    "modular": _modular,
    "equation": _equation,
    "story": _story,
    "friend": _friend,
    "packing": _packing,
}
"""Family name to the function that draws one question of it."""
