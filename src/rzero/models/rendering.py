"""How a prompt's messages become token ids.

Messages may quote text that a model wrote, and such text may spell control tokens (``<|im_end|>``). They are made
harmless before the template sees them: a space goes behind the first character of each, so the text stays readable and
the tokenizer no longer takes it for the token. The tokenizer itself is asked where they are, so its own normalisation
is no way round. A prefill is the domain's own text and is left alone.

The official R-Zero code concatenates untrusted text into the template as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rzero.types import Message, Prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_PROBE = "zqxprobe"  # a word that no template writes by itself


class Renderer:
    """Prompts to token ids and token ids to text, for one tokenizer.

    With a chat template: the template with its generation prompt; the system message goes into the first user message
    where the template refuses or drops it. Without one: the messages' texts, each followed by an empty line, after the
    tokenizer's own start tokens. The prefill comes last.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._control_ids = control_ids(tokenizer)
        self._start_ids = _start_ids(tokenizer)
        self._has_system_role = bool(tokenizer.chat_template) and _keeps_system(tokenizer)

    def render(self, prompt: Prompt) -> tuple[int, ...]:
        """Token ids of the model's input; special tokens that belong there are there once."""
        messages = [Message(message.role, self._harmless(message.content)) for message in prompt.messages]
        if not self._tokenizer.chat_template:
            text = "".join(f"{message.content}\n\n" for message in messages)
            return (*self._start_ids, *_encode(self._tokenizer, text + prompt.prefill))
        if not self._has_system_role:
            messages = merge_system(messages)
        text = _apply(self._tokenizer, messages, add_generation_prompt=True)
        return tuple(_encode(self._tokenizer, text + prompt.prefill))

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of ``token_ids`` without special tokens and without any clean-up of spaces."""
        text = self._tokenizer.decode(list(token_ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        assert isinstance(text, str)
        return text

    def _harmless(self, text: str) -> str:
        text = text.encode("utf-8", "replace").decode()  # tokenizers refuse lone surrogates
        unknown = self._tokenizer.unk_token_id
        while True:
            encoded = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
            breaks = []
            for token, (start, end) in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True):
                spelled = text[start:end].strip()
                # The unknown token also stands for characters that the vocabulary lacks, which are harmless.
                if token in self._control_ids and (token != unknown or spelled == self._tokenizer.unk_token):
                    breaks.append(text.index(spelled, start) + 1)
            if not breaks:
                return text
            for place in reversed(breaks):
                text = f"{text[:place]} {text[place:]}"


def control_ids(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Tokens that steer the model: all special ones, and the other added ones that the chat template writes."""
    template = tokenizer.chat_template or ""
    return frozenset(
        token
        for token, added in tokenizer.added_tokens_decoder.items()
        if len(added.content.strip()) > 1 and (added.special or added.content in template)
    )


def turn_end(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The control token with which the chat template ends an assistant's turn, if there is one."""
    if not tokenizer.chat_template:
        return None
    messages = [Message("user", "?"), Message("assistant", _PROBE)]
    after = _apply(tokenizer, messages, add_generation_prompt=False).rpartition(_PROBE)[2]
    controls = control_ids(tokenizer)
    return next((token for token in _encode(tokenizer, after) if token in controls), None)


def merge_system(messages: Sequence[Message]) -> list[Message]:
    r"""Put system messages in front of the next message's text.

    >>> merge_system([Message("system", "Be brief."), Message("user", "Why?")])
    [Message(role='user', content='Be brief.\n\nWhy?')]
    """
    merged: list[Message] = []
    system = ""
    for message in messages:
        if message.role == "system":
            system += f"{message.content}\n\n"
        else:
            merged.append(Message(message.role, system + message.content))
            system = ""
    if system:
        merged.append(Message("user", system.rstrip("\n")))
    return merged


def _encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]  # pyright: ignore[reportReturnType]


def _apply(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], *, add_generation_prompt: bool) -> str:
    turns = [{"role": message.role, "content": message.content} for message in messages]
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=add_generation_prompt)
    assert isinstance(text, str)
    return text


def _start_ids(tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """What the tokenizer puts in front of a text by itself (but not what it may put behind it: a prompt has no end)."""
    plain = _encode(tokenizer, "a")
    full = tokenizer("a", add_special_tokens=True)["input_ids"]
    assert isinstance(full, list)
    for start in range(len(full)):
        if full[start : start + len(plain)] == plain:
            return tuple(full[:start])
    return ()


def _keeps_system(tokenizer: PreTrainedTokenizerBase) -> bool:
    from jinja2 import TemplateError

    try:
        text = _apply(tokenizer, [Message("system", _PROBE), Message("user", "?")], add_generation_prompt=True)
    except TemplateError:
        return False
    return _PROBE in text
