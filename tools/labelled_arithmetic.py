"""Write labelled arithmetic questions for supervised fine-tuning of the micro model.

    python tools/labelled_arithmetic.py --out labelled.jsonl --rows 2000

Questions come from the corpus generator's families, solutions are worked step by step without slips, and answers are
the oracle's. None is among the questions that are held out for testing.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from random import Random

from micro.corpus import CorpusOptions, document

from rzero.domains.arithmetic import arithmetic

CAREFUL = CorpusOptions(challenger_share=0.0, direct_share=0.0, damaged_share=0.0, slip_rate=0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    known = parser.parse_args()
    rows = labelled(known.rows, seed=known.seed)
    known.out.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def labelled(count: int, *, seed: int) -> list[dict[str, str]]:
    """``count`` distinct rows of question, solution and answer."""
    rng = Random(seed)
    found: dict[str, dict[str, str]] = {}
    while len(found) < count:
        text = document(rng, CAREFUL)
        question = text.prompt.removeprefix("<bos><solver>").removesuffix("<assistant>")
        answer = arithmetic.oracle.solve(question).answer
        if answer is not None:
            solution = text.response.removesuffix("<eos>")
            found[question] = {"question": question, "solution": solution, "answer": answer}
    return list(found.values())


if __name__ == "__main__":
    main()
