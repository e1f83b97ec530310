"""Text to work on: word problems and questions from templates of our own, the same for the same seed."""

from __future__ import annotations

from random import Random

SYSTEM = "Work through the problem step by step. Finish with the final answer, alone, inside \\boxed{}."

_NAMES = ("Mia", "Tom", "Ana", "Leo", "Sam", "Eva", "Noah", "Lily", "Omar", "Ruth")
_THINGS = ("apples", "pencils", "stickers", "books", "marbles", "coins", "stamps", "shells")
_STORIES = (
    "{name} has {a} {thing}. {name} gives {c} of them to a friend and then buys {b} more. How many {thing} does {name} "
    "have now?",
    "There are {a} boxes with {b} {thing} in each. {name} takes {c} {thing} away. How many {thing} are left?",
    "{name} collects {b} {thing} every day for {c} days and already had {a}. How many {thing} are there in the end?",
    "{name} shares {a} {thing} among {c} children as evenly as possible. How many {thing} remain?",
    "A shop sells {thing} in packs of {c}. {name} needs {a} {thing}. How many packs does {name} have to buy?",
    "{name} reads {b} pages on Monday and {c} pages more than that on Tuesday. How many pages are that in two days?",
)


def word_problems(count: int, *, seed: int) -> list[str]:
    """``count`` distinct word problems.

    >>> word_problems(1, seed=0) == word_problems(2, seed=0)[:1]
    True
    """
    rng = Random(seed)
    problems: dict[str, None] = {}
    while len(problems) < count:
        name, thing, story = rng.choice(_NAMES), rng.choice(_THINGS), rng.choice(_STORIES)
        a, b, c = rng.randint(20, 90), rng.randint(10, 60), rng.randint(2, 19)
        problems[story.format(name=name, thing=thing, a=a, b=b, c=c)] = None
    return list(problems)


def conversations(count: int, *, seed: int) -> list[list[dict[str, str]]]:
    """Word problems as chats, ready for a tokenizer's chat template."""
    return [
        [{"role": "system", "content": SYSTEM}, {"role": "user", "content": problem}]
        for problem in word_problems(count, seed=seed)
    ]


def questions(count: int, *, seed: int) -> list[str]:
    """Questions as a Challenger's step holds them: stories of which many differ in their numbers only, and repeats."""
    rng = Random(seed)
    found = word_problems(max(1, count * 3 // 4), seed=seed)
    while len(found) < count:
        found.append(rng.choice(found))
    rng.shuffle(found)
    return found


def synthetic_groups(
    prompts: int, *, group_size: int, prompt_tokens: int, completion_tokens: int, vocab_size: int, seed: int = 0
) -> list[dict[str, list]]:
    """Rollouts of given lengths with random tokens, half of each group rewarded: for measuring cost alone."""
    rng = Random(seed)

    def tokens(count: int) -> list[int]:
        return [rng.randrange(vocab_size) for _ in range(count)]

    return [
        {
            "prompt_ids": tokens(prompt_tokens),
            "completions": [tokens(completion_tokens) for _ in range(group_size)],
            "rewards": [float(index % 2) for index in range(group_size)],
        }
        for _ in range(prompts)
    ]
