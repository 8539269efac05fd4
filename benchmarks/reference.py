"""The reference score of each difficulty: one small U-Net, trained for a fixed number of steps.

    python benchmarks/reference.py            # prints the table of data/README.md
    python benchmarks/reference.py --write    # and puts it there

A yardstick, not a record: what anybody reaches with the course's smallest recipe. The network is
trained on the folder's training split and scored once on its test split, after the last step.
"""

import argparse
import re
from functools import partial

import torch

from segutils.augment import eval_transform, train_transform
from segutils.datasets import DATA, Street, loader
from segutils.losses import cross_entropy, dice_loss, sum_of
from segutils.masks import CLASSES
from segutils.metrics import ConfusionMatrix
from segutils.train import evaluate, fit
from segutils.unet import UNet

CARD = DATA / "README.md"
WEIGHT = torch.tensor([1.0, 6.0, 2.0])  # people are rare: each of their pixels counts six times
START, END = "<!-- reference scores -->", "<!-- end of reference scores -->"


def score(difficulty: str, steps: int, seed: int) -> ConfusionMatrix:
    """Train on a difficulty and return the confusion matrix of its test split."""
    train, val, test = (Street(split, difficulty) for split in ("train", "val", "test"))
    train.transform, val.transform, test.transform = (
        train_transform(size=128), eval_transform(), eval_transform())
    torch.manual_seed(seed)
    model = UNet(width=32, depth=2, stem=2)
    loss = sum_of((1, partial(cross_entropy, weight=WEIGHT)), (1, dice_loss))
    fit(model, loader(train, 8, shuffle=True, seed=seed), loader(val, 25), loss, steps=steps,
        lr=3e-3, every=steps, device="cpu", seed=seed)
    return evaluate(model, loader(test, 25), CLASSES)


def table(scores: dict[str, ConfusionMatrix], steps: int, seed: int) -> str:
    """The scores as a Markdown table, with what made them."""
    rows = [f"| difficulty | mean IoU | {' | '.join(CLASSES)} |",
            "|---" * (2 + len(CLASSES)) + "|"]
    for name, matrix in scores.items():
        ious = " | ".join(f"{iou:.2f}" for iou in matrix.iou())
        rows.append(f"| {name} | {matrix.miou():.2f} | {ious} |")
    made = (f"`UNet(width=32, depth=2, stem=2)`, {steps:,} steps of 8 pictures, weighted "
            f"cross-entropy plus Dice, seed {seed}: `python benchmarks/reference.py`.")
    return "\n".join([*rows, "", made])


def main(arguments: list[str] | None = None) -> None:
    """Train, print the table, and put it into the card if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="put the table into the data card")
    given = parser.parse_args(arguments)
    scores = {level: score(level, given.steps, given.seed) for level in ("plain", "full")}
    text = table(scores, given.steps, given.seed)
    print(text)
    if given.write:
        card = CARD.read_text(encoding="utf-8")
        block = re.compile(f"{START}.*{END}", re.DOTALL)
        CARD.write_text(block.sub(f"{START}\n{text}\n{END}", card), encoding="utf-8")


if __name__ == "__main__":
    main()
