"""`python -m segutils train`: a run of `fit` from the command line, alone or under `torchrun`.

    python -m segutils train --data data/street --difficulty plain --epochs 20 --out runs/first
    torchrun --nproc_per_node=2 -m segutils train --epochs 20 --out runs/two --processes 2

Called again with the same options after a crash, it goes on where it stopped. Lesson 05.
"""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import torch

from segutils import losses, train
from segutils.augment import eval_transform, train_transform
from segutils.checkpoint import CheckpointError
from segutils.datasets import DATA, Street, StreetStream, loader
from segutils.street import QUALITY
from segutils.unet import UNet

LOSSES = ("ce_dice", "cross_entropy", "dice_loss", "jaccard_loss", "lovasz_softmax", "focal_loss",
          "tversky_loss")


def parser() -> argparse.ArgumentParser:
    """The options; what they leave out is as in `fit` and `UNet`."""
    command = argparse.ArgumentParser(prog="python -m segutils train", description=__doc__,
                                      formatter_class=argparse.RawDescriptionHelpFormatter)
    add = command.add_argument
    add("--data", type=Path, default=DATA / "street", help="the folder of the street scenes")
    add("--difficulty", choices=("plain", "full", "stream"), default="plain",
        help="stream draws new full scenes for ever and validates on the full ones")
    add("--scenes", type=int, default=800, help="scenes an epoch of the stream")
    add("--model", choices=("unet",), default="unet")
    add("--width", type=int, default=32)
    add("--depth", type=int, default=2)
    add("--stem", type=int, default=2, help="2 halves the picture first: fast; 1 does not")
    add("--norm", choices=("batch", "group", "none"), default="batch")
    add("--up", choices=("transposed", "bilinear", "shuffle"), default="transposed")
    add("--loss", choices=LOSSES, default="ce_dice")
    length = command.add_mutually_exclusive_group(required=True)
    length.add_argument("--epochs", type=float)
    length.add_argument("--minutes", type=float)
    length.add_argument("--steps", type=int)
    add("--batch-size", type=int, default=16, help="pictures a step, all processes together")
    add("--lr", type=float, default=2e-3)
    add("--weight-decay", type=float, default=0.01)
    add("--schedule", choices=("onecycle", "constant"), default="onecycle")
    add("--grad-clip", type=float)
    add("--accumulate", type=int, default=1)
    add("--amp", choices=("auto", "on", "off"), default="auto", help="half precision")
    add("--seed", type=int, default=0)
    add("--every", type=int, help="steps between validations and checkpoints; else an epoch")
    add("--workers", type=int, default=0, help="processes that load pictures")
    add("--device")
    add("--processes", type=int, help="how many the launcher must have started")
    add("--out", type=Path, required=True)
    add("--resume", choices=("auto", "always", "never"), default="auto",
        help="always insists on a run to go on with, never starts over")
    add("--on-oom", choices=("stop", "retry"), default="stop")
    return command


def main(arguments: list[str] | None = None) -> int:
    """Run; 0 when done, 130 after Ctrl-C, 2 and one line on stderr when something is wrong."""
    options = parser().parse_args(arguments)
    try:
        history = run(options)
    except (CheckpointError, ValueError, FileNotFoundError, FloatingPointError,
            torch.OutOfMemoryError) as error:
        print(f"segutils train: {error}", file=sys.stderr)
        return 2
    if int(os.environ.get("RANK", 0)) == 0:
        print(history)
    return 130 if history.stopped else 0


def run(options: argparse.Namespace) -> train.History:
    """Build data and model as the options say, and train."""
    torch.manual_seed(options.seed)              # for the weights that the model begins with
    model = UNet(width=options.width, depth=options.depth, norm=options.norm, up=options.up,
                 stem=options.stem)
    training, val = loaders(options)
    return train.fit(
        model, training, val, getattr(losses, options.loss), epochs=options.epochs,
        minutes=options.minutes, steps=options.steps, lr=options.lr,
        weight_decay=options.weight_decay, schedule=options.schedule, grad_clip=options.grad_clip,
        accumulate=options.accumulate, amp={"auto": None, "on": True, "off": False}[options.amp],
        device=options.device, classes=Street.classes, seed=options.seed, every=options.every,
        out=options.out, resume={"auto": "auto", "always": True, "never": False}[options.resume],
        on_oom=options.on_oom, processes=options.processes,
    )


def loaders(options: argparse.Namespace) -> tuple:
    """The training and the validation loader that the options ask for."""
    stream = options.difficulty == "stream"
    difficulty = "full" if stream else options.difficulty
    if stream:                                   # always new: nothing has to be augmented
        scenes = StreetStream(options.scenes, transform=eval_transform(), seed=options.seed,
                              quality=QUALITY)
    else:
        scenes = Street("train", difficulty, options.data, train_transform(), seed=options.seed)
    val = Street("val", difficulty, options.data, eval_transform())
    return (loader(scenes, options.batch_size, shuffle=True, seed=options.seed,
                   workers=options.workers, drop_last=True), loader(val, options.batch_size))
