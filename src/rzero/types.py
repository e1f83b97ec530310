"""The nouns that every part of rzero shares. Standard library only.

Read this page first: the names follow the glossary in ``docs/concepts.md``, and every later module speaks in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction


class Phase(StrEnum):
    """The six named stages of one iteration, in the order in which they run."""

    TRAIN_CHALLENGER = "train_challenger"
    GENERATE_QUESTIONS = "generate_questions"
    VOTE = "vote"
    BUILD_CURRICULUM = "build_curriculum"
    TRAIN_SOLVER = "train_solver"
    EVALUATE = "evaluate"


class FinishReason(StrEnum):
    """Why a completion ended."""

    STOP = "stop"  # the model emitted an end token, or a stop string was completed
    LENGTH = "length"  # max_new_tokens (or the context) ran out: the completion is cut off
    CANCELLED = "cancelled"  # the caller of the sampler said that it is no longer needed


class Outcome(StrEnum):
    """What the grader says of one answer against another."""

    RIGHT = "right"
    WRONG = "wrong"
    UNPARSED = "unparsed"  # there was no answer, or none that may be handed to a parser
    TIMEOUT = "timeout"  # the comparison hit the wall-clock limit and its worker was killed


class VoteStatus(StrEnum):
    """Whether a Solver completion counts as a vote for some answer, and if not, why not."""

    VALID = "valid"
    UNPARSED = "unparsed"
    CUT_OFF = "cut_off"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"  # not taken to its end, because no outcome of it could change what was decided


class Rejection(StrEnum):
    """Why a question that was voted on is not in the curriculum."""

    INVALID = "invalid"  # too few valid votes: ill-posed, or too long to answer
    TOO_HARD = "too_hard"  # self_consistency below the band
    TOO_EASY = "too_easy"  # self_consistency above the band


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat: ``role`` is ``system``, ``user`` or ``assistant``."""

    role: str
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What a domain asks of a model, before tokenisation.

    ``prefill`` is text that the completion is made to start with (it is part of the model's input);
    ``stop`` are strings at whose first occurrence in the completion generation ends.
    """

    messages: tuple[Message, ...]
    prefill: str = ""
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """The tokens that a sampler generated after one prompt.

    ``token_ids`` [T] includes the end token where there is one. ``logprobs`` [T] are the sampler's log-probabilities
    (nats) of those tokens under softmax(logits / temperature), before top-k and top-p cut the distribution (temperature
    0, greedy: under softmax(logits)). ``text`` is the decoded completion without special tokens.
    """

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish_reason: FinishReason
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """One completion with its reward; its prompt stands once in the :class:`Group`."""

    completion: Completion
    reward: float
    policy_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The rollouts of one prompt: the unit over which GRPO normalises rewards."""

    prompt_ids: tuple[int, ...]
    rollouts: tuple[Rollout, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedQuestion:
    """A Challenger completion after the format check: either ``text``, or ``problem`` that says what is wrong."""

    text: str | None
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """One Solver answer to one question. ``answer`` is None unless ``status`` is VALID."""

    answer: str | None
    status: VoteStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """The votes on one question, counted.

    The denominator of :attr:`self_consistency` is ``num_votes`` = m, all completions that were sampled: a vote that was
    cut off, unparsed or timed out weakens the majority instead of disappearing.

    Where votes were cancelled (``num_cancelled`` > 0) the counts are those of the others, p̂ is not known, and
    ``agree_bounds`` are the least and the most votes that the majority can have had; else ``agree_bounds`` is None.
    """

    num_votes: int
    num_valid: int
    num_agree: int
    pseudo_label: str | None
    tied: bool
    num_unparsed: int = 0
    num_cut_off: int = 0
    num_timeout: int = 0
    num_cancelled: int = 0
    agree_bounds: tuple[int, int] | None = None

    @property
    def self_consistency(self) -> float:
        """p̂ in [0, 1]: the share of all m votes that agree with the majority (paper: p̂(x; S)).

        With cancelled votes it is a value that is possible, and nothing more.
        """
        return self.num_agree / self.num_votes

    @property
    def self_consistency_bounds(self) -> tuple[float, float]:
        """The least and the greatest p̂ that are possible; both are p̂ where no vote was cancelled."""
        low, high = self.agree_bounds or (self.num_agree, self.num_agree)
        return low / self.num_votes, high / self.num_votes

    @property
    def exact_self_consistency(self) -> Fraction:
        """p̂ as an exact fraction, for comparisons at the edges of the band."""
        return Fraction(self.num_agree, self.num_votes)

    @property
    def valid_frac(self) -> float:
        """Share of the m completions that are votes for some answer."""
        return self.num_valid / self.num_votes


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardParts:
    """The Challenger's reward for one question and the parts that it was made of (all 0 where the format check
    failed).
    """

    total: float
    uncertainty: float = 0.0
    repetition: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CurriculumItem:
    """A question that the Solver will train on. ``self_consistency`` is None where votes were cancelled."""

    question_id: str
    question: str
    pseudo_label: str
    self_consistency: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A benchmark question with its gold answer."""

    id: str
    question: str
    gold: str


TokenIds = Sequence[int]
