"""The micro model's tokenizer: every symbol or word of the arithmetic grammar is one token.

Decoding is concatenation, no token depends on its neighbours, and a text of known symbols survives encoding and
decoding unchanged; any other character becomes ``<unk>``.
"""

from __future__ import annotations

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from rzero.domains.arithmetic.parse import GAINS, ITEMS, LOSSES, NAMES

SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>", "<challenger>", "<solver>", "<assistant>")
TAGS = ("<question>", "</question>", "\\boxed{", "}")
SIGNS = (*"0123456789", *"+-*/()=x:;,", " mod ", "none")
WORDS = (
    *NAMES,
    *(f" {item}" for item in ITEMS),
    *(f", {verb} " for verb in GAINS + LOSSES),
    *(" has ", " packs ", " bags of ", " in boxes of ", ". A friend has ", " more", " fewer", " times as many"),
    *(". How many now?", ". How many together?", ". How many are left over?"),
)
VOCABULARY = (*SPECIAL, *TAGS, *SIGNS, *WORDS)

CHAT_TEMPLATE = (
    "<bos>{% set challenger = messages[0].role == 'system' and 'Challenger' in messages[0].content %}"
    "{{ '<challenger>' if challenger else '<solver>' }}"
    "{% for message in messages %}"
    "{% if message.role == 'assistant' %}<assistant>{{ message.content }}<eos>"
    "{% elif message.role == 'user' and not challenger %}{{ message.content }}"
    "{% elif message.role == 'system' and not challenger and 'Solver' not in message.content %}{{ message.content }}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)
"""The first system message says who is spoken to; a Challenger needs no more words, and a Solver gets the question."""


def build() -> PreTrainedTokenizerFast:
    """The tokenizer, in the Hugging Face fast format."""
    ids = {token: index for index, token in enumerate(VOCABULARY)}
    core = Tokenizer(models.WordLevel(vocab=ids, unk_token="<unk>"))
    longest_first = sorted((*TAGS, *SIGNS, *WORDS), key=len, reverse=True)
    pattern = "|".join(
        "".join(f"\\{c}" if not c.isalnum() and c != " " else c for c in token) for token in longest_first
    )
    core.pre_tokenizer = pre_tokenizers.Split(Regex(f"{pattern}|[\\s\\S]"), behavior="isolated")
    core.decoder = decoders.Fuse()
    core.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        unk_token="<unk>",
        additional_special_tokens=["<challenger>", "<solver>", "<assistant>"],
        clean_up_tokenization_spaces=False,
        model_max_length=256,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer
