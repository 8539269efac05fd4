"""`python -m segutils train`: a run of `fit` from the command line, alone or under `torchrun`.

    python -m segutils train --data data/street --difficulty plain --epochs 20 --out runs/first
    python -m segutils train --model deeplab --backbone resnet18_layer3 --set output_stride=4 \\
        --difficulty stream --steps 20000 --out runs/deeplab
    torchrun --nproc_per_node=2 -m segutils train --epochs 20 --out runs/two --processes 2

Called again with the same options after a crash, it goes on where it stopped. Lessons 05, 06.
"""

import argparse
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import torch

from segutils import losses, train, zoo
from segutils.augment import eval_transform, train_transform
from segutils.checkpoint import CheckpointError
from segutils.datasets import DATA, Street, StreetStream, loader
from segutils.street import QUALITY

LOSSES = ("ce_dice", "cross_entropy", "dice_loss", "jaccard_loss", "lovasz_softmax", "focal_loss",
          "tversky_loss")


def parser() -> argparse.ArgumentParser:
    """The options; what they leave out is as in `fit` and `zoo`."""
    command = argparse.ArgumentParser(prog="python -m segutils train", description=__doc__,
                                      formatter_class=argparse.RawDescriptionHelpFormatter)
    add = command.add_argument
    add("--data", type=Path, default=DATA / "street", help="the folder of the street scenes")
    add("--difficulty", choices=("plain", "full", "stream"), default="plain",
        help="stream draws new full scenes for ever and validates on the full ones")
    add("--scenes", type=int, default=800, help="scenes an epoch of the stream")
    add("--model", choices=zoo.MODELS, default="unet")
    add("--backbone", choices=zoo.BACKBONES, help="of any model but the U-Net")
    add("--set", action="append", default=[], metavar="OPTION=VALUE",
        help="any other option of the model in zoo: output_stride=4, anchors=[8,16,32,64]")
    add("--weights", help="a file to begin from, or coco for torchvision's own")
    unet = command.add_argument_group("the U-Net's options")
    unet.add_argument("--width", type=int, help="32")
    unet.add_argument("--depth", type=int, help="2")
    unet.add_argument("--stem", type=int, help="2 halves the picture first: fast; 1 does not")
    unet.add_argument("--norm", choices=("batch", "group", "none"))
    unet.add_argument("--up", choices=("transposed", "bilinear", "shuffle"))
    add("--loss", choices=LOSSES, help="ce_dice; Mask R-CNN has losses of its own")
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
    if torch.distributed.is_initialized():       # else its threads may abort a process that ends
        torch.distributed.destroy_process_group()
    if int(os.environ.get("RANK", 0)) == 0:
        print(history)
    return 130 if history.stopped else 0


def run(options: argparse.Namespace) -> train.History:
    """Build data and model as the options say, and train."""
    torch.manual_seed(options.seed)              # for the weights that the model begins with
    model = zoo.build(options.model, options.backbone, Street.classes, options.weights,
                      **model_options(options))
    if options.model == "maskrcnn" and options.loss:
        raise ValueError("Mask R-CNN has losses of its own; leave --loss out")
    loss = None if options.model == "maskrcnn" else getattr(losses, options.loss or "ce_dice")
    training, val = loaders(options)
    return train.fit(
        model, training, val, loss, epochs=options.epochs,
        minutes=options.minutes, steps=options.steps, lr=options.lr,
        weight_decay=options.weight_decay, schedule=options.schedule, grad_clip=options.grad_clip,
        accumulate=options.accumulate, amp={"auto": None, "on": True, "off": False}[options.amp],
        device=options.device, classes=Street.classes, seed=options.seed, every=options.every,
        out=options.out, resume={"auto": "auto", "always": True, "never": False}[options.resume],
        on_oom=options.on_oom, processes=options.processes,
    )


def model_options(options: argparse.Namespace) -> dict:
    """What `zoo.build` is to be told beside backbone, classes and weights."""
    given = {name: getattr(options, name) for name in ("width", "depth", "norm", "up", "stem")}
    given = {name: value for name, value in given.items() if value is not None}
    if options.model != "unet" and given:
        raise ValueError(f"--{' --'.join(given)}: of the U-Net alone; give other models' by --set")
    for option in options.set:
        name, equals, value = option.partition("=")
        try:
            given[name] = json.loads(value)
        except ValueError:
            given[name] = value                  # a word, such as norm=group
        if not equals:
            raise ValueError(f"--set {option}: wanted OPTION=VALUE, such as output_stride=4")
    quick = {"width": 32, "depth": 2, "stem": 2} if options.model == "unet" else {}
    return given if options.weights else quick | given


def loaders(options: argparse.Namespace) -> tuple:
    """The training and the validation loader that the options ask for."""
    stream = options.difficulty == "stream"
    difficulty = "full" if stream else options.difficulty
    if stream:                                   # always new: nothing has to be augmented
        scenes = StreetStream(options.scenes, transform=eval_transform(), seed=options.seed,
                              quality=QUALITY)
    else:
        scenes = Street("train", difficulty, options.data, train_transform(), seed=options.seed)
    scenes.instances = options.model == "maskrcnn"
    val = Street("val", difficulty, options.data, eval_transform())
    return (loader(scenes, options.batch_size, shuffle=True, seed=options.seed,
                   workers=options.workers, drop_last=True), loader(val, options.batch_size))
