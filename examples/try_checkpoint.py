"""Open the last Solver of a run with plain transformers and let it answer a question: python try_checkpoint.py DIR."""

from __future__ import annotations

import sys
from pathlib import Path

from transformers import AutoModelForCausalLM, AutoTokenizer

QUESTION = "A hotel has 6 floors with 9 rooms each, and 5 rooms are closed. How many rooms are open?"


def main(run: Path) -> None:
    checkpoint = sorted(run.glob("iter_*/train_solver/checkpoint"))[-1]
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    model = AutoModelForCausalLM.from_pretrained(checkpoint)
    messages = [{"role": "user", "content": QUESTION}]
    if tokenizer.chat_template:
        inputs = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
    else:
        inputs = tokenizer(QUESTION, return_tensors="pt")
    output = model.generate(**inputs, max_new_tokens=96, do_sample=False)
    answer = tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    print(f"{checkpoint}, opened by plain transformers:\n\nQ: {QUESTION}\nA: {answer}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
