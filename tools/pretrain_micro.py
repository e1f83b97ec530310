"""Remake or measure the bundled micro model.

::

    python tools/pretrain_micro.py --out DIR --seed 0             # pretrain from random weights
    python tools/pretrain_micro.py evaluate --model DIR           # the figures of the model card
    python tools/pretrain_micro.py test-set --out FILE            # the frozen test set, the same bytes every time
    python tools/pretrain_micro.py test-set --out FILE --seed 1   # another one, to choose settings with
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import fields
from pathlib import Path

from micro.corpus import CorpusOptions
from micro.evaluate import evaluate
from micro.testset import FROZEN_SEED, write_test_set
from micro.train import TrainOptions, pretrain

import rzero

PACKAGE = Path(rzero.__file__).parent
MODEL = PACKAGE / "models" / "micro"
TEST = PACKAGE / "evaluate" / "data" / "arithmetic_test.jsonl"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="the default command")
    train.add_argument("--out", type=Path, required=True)
    for owner in (TrainOptions, CorpusOptions):
        for field in fields(owner):
            if isinstance(field.default, int | float):
                train.add_argument(f"--{field.name.replace('_', '-')}", type=type(field.default), default=field.default)
    measure = commands.add_parser("evaluate")
    measure.add_argument("--model", type=Path, default=MODEL)
    measure.add_argument("--test", type=Path, default=TEST)
    measure.add_argument("--limit", type=int, default=0, help="about so many problems; 0 takes all")
    measure.add_argument("--seed", type=int, default=0)
    test_set = commands.add_parser("test-set")
    test_set.add_argument("--out", type=Path, default=TEST)
    test_set.add_argument(
        "--seed", type=int, default=FROZEN_SEED, help="any other leaves out the frozen set's questions"
    )
    arguments = sys.argv[1:]
    values = vars(
        parser.parse_args(["train", *arguments] if arguments[:1] and arguments[0].startswith("--") else arguments)
    )
    command = values.pop("command")
    if command == "train":
        corpus = CorpusOptions(**{field.name: values.pop(field.name) for field in fields(CorpusOptions)})
        pretrain(values.pop("out"), TrainOptions(corpus=corpus, **values))
    elif command == "evaluate":
        evaluate(values.pop("model"), **values)
    else:
        frozen = values["seed"] == FROZEN_SEED
        taken = (
            [] if frozen else [json.loads(line)["question"] for line in TEST.read_text(encoding="utf-8").splitlines()]
        )
        write_test_set(values["out"], seed=values["seed"], taken=taken)


if __name__ == "__main__":
    main()
