"""The losses compared: the same small U-Net trained with each, over several seeds.

    uv run python benchmarks/losses.py           # writes data/losses.json, for lesson 05
    uv run python benchmarks/losses.py --quick   # seconds; shows that it runs, writes nothing

Everything but the loss is the same: the network, its first weights, the pictures and their order,
the number of steps, the learning rate. Each network is scored once, on the test split of the plain
difficulty, after its last step. The table shows means over the seeds, lowest and highest in
brackets. No class weights: this is what each loss does by itself.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
from importlib.metadata import version
from pathlib import Path

import torch

from segutils.augment import eval_transform, train_transform
from segutils.checkpoint import write_atomic
from segutils.datasets import DATA, Street, loader
from segutils.losses import ce_dice, cross_entropy, dice_loss, jaccard_loss, lovasz_softmax
from segutils.masks import CLASSES
from segutils.train import evaluate, fit, pick_device
from segutils.unet import UNet

LOSSES = (cross_entropy, dice_loss, ce_dice, jaccard_loss, lovasz_softmax)
MODEL = {"width": 32, "depth": 2, "stem": 2}
LR, BATCH = 3e-3, 8
DIFFICULTY = "plain"


def main(arguments: list[str] | None = None) -> None:
    """Train, print the table, and write the scores down."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=600, help="of each run")
    parser.add_argument("--seeds", type=int, default=3, help="how many runs of each loss")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or mps")
    parser.add_argument("--json", type=Path, default=DATA / "losses.json",
                        help="where the scores go")
    parser.add_argument("--quick", action="store_true", help="a few steps; writes nothing")
    given = parser.parse_args(arguments)
    if given.quick:
        given.steps, given.seeds = 3, 2
    scores: dict[str, list[dict]] = {loss.__name__: [] for loss in LOSSES}
    for seed in range(given.seeds):
        for loss in LOSSES:                          # in turns: a run cut short has some of each
            score = train_and_score(loss, seed, given)
            scores[loss.__name__].append(score)
            print(f"seed {seed}, {loss.__name__}: {score['miou']:.3f}", flush=True)
    print(table(scores, given.steps))
    if not given.quick:
        write_atomic(given.json, (json.dumps(record(scores, given), indent=1) + "\n").encode())


def train_and_score(loss, seed: int, given) -> dict:
    """Train with a loss and return the test scores: seed, miou, iou of each class."""
    train, test = (Street(split, DIFFICULTY, seed=seed) for split in ("train", "test"))
    train.transform, test.transform = train_transform(size=128), eval_transform()
    if given.quick:
        train.stems, test.stems = train.stems[:16], test.stems[:4]
    torch.manual_seed(seed)
    model, device = UNet(**MODEL), pick_device(given.device)
    fit(model, loader(train, BATCH, shuffle=True, seed=seed), None, loss, steps=given.steps, lr=LR,
        every=given.steps, device=device, seed=seed, progress=False)
    matrix = evaluate(model, loader(test, 25), CLASSES, device)
    ious = zip(CLASSES, matrix.iou().tolist(), strict=True)
    return {"seed": seed, "miou": round(matrix.miou(), 4),
            "iou": {name: round(iou, 4) for name, iou in ious}}


def table(scores: dict[str, list[dict]], steps: int) -> str:
    """Means over the seeds, with the lowest and the highest."""
    seeds = len(next(iter(scores.values())))
    title = f"Test IoU, {DIFFICULTY}, {steps} steps"
    lines = ["", f"{title:<34} {f'mean of {seeds}':>18}"
             + "".join(f" {name:>18}" for name in CLASSES)]
    for loss, runs in scores.items():
        columns = [[run["miou"] for run in runs],
                   *([run["iou"][name] for run in runs] for name in CLASSES)]
        lines.append(f"  {loss:<32}" + "".join(f" {cell(values):>18}" for values in columns))
    return "\n".join(lines)


def cell(values: list[float]) -> str:
    return f"{statistics.mean(values):.3f} ({min(values):.2f}-{max(values):.2f})"


def record(scores: dict[str, list[dict]], given) -> dict:
    """What lesson 05 reads: how it was made, and the scores of every run."""
    versions = {"python": platform.python_version(),
                **{name: version(name) for name in ("torch", "albumentations", "numpy")}}
    return {"command": f"python benchmarks/losses.py --steps {given.steps} --seeds {given.seeds}",
            "difficulty": DIFFICULTY, "split": "test", "model": MODEL, "batch": BATCH, "lr": LR,
            "steps": given.steps, "seeds": list(range(given.seeds)), "device": given.device,
            "versions": versions, "scores": scores}


if __name__ == "__main__":
    main()
