"""The weights that ship: trained on the stream, scored once on the test split, in half precision.

    uv run python benchmarks/weights.py unet_street    # an hour or more; goes on where it stopped

Writes data/weights/NAME.safetensors, whose metadata says how it was made and what it reaches, and
the table of data/weights/README.md. The run itself lies in runs/NAME, so that a machine that was
switched off costs nothing; when it is complete the weights of its best validation are taken.
"""

import argparse
import json
import platform
import shlex
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn

from data import machine
from segutils import checkpoint, predict, train_command, zoo
from segutils.augment import eval_transform
from segutils.datasets import DATA, Street, loader
from segutils.masks import CLASSES
from segutils.metrics import ConfusionMatrix, boundary_f, instance_ap, iou_by_size
from segutils.train import History

ROOT = Path(__file__).resolve().parents[1]
SAME = "--difficulty stream --scenes 16000 --batch-size 16 --lr 3e-3 --steps 12000 --workers 1"
RECIPES = {
    "unet_street": f"--model unet --width 32 --depth 3 --stem 2 {SAME}",
    # Stride 4, for what can be said at stride 8 is too coarse for people (lesson 06); the stages
    # behind the second would cost three times as much there.
    "fcn_street": f"--model fcn --backbone resnet18_layer2 --set output_stride=4 {SAME}",
    "deeplab_street": "--model deeplab --backbone resnet18_layer2 --set output_stride=4 "
                      f"--set width=64 --set rates=[6,12,18] {SAME}",
    # People are up to four times as high as wide, so one ratio more than usual.
    "maskrcnn_street": "--model maskrcnn --backbone resnet18_layer3 --set rois=32 "
                       f"--set proposals=100 --set ratios=[0.4,0.8,1.6,3.2] {SAME}",
}
SIZES = ("small", "medium", "large")      # objects under 100 pixels, under 400, and the rest
THINGS = CLASSES[1:]                      # background has no outline of its own
CARD = """# Weights that ship

Networks that were trained for longer than a lesson lasts, as safetensors in half precision, each
with a SHA-256 that `segutils.checkpoint.load_weights` verifies. Trained on scenes of the full
difficulty that are drawn while they train, none of them in `data/street`; the weights of the best
validation were kept, and scored once on the test split of `street/full`. Minutes are those on the
clock, of runs that shared their machine with other work. `scores.json` has more scores of each, the
costs, and short runs over several seeds: `benchmarks/compare.py` makes it, lesson 06 shows it. This
page is written by `benchmarks/weights.py`; made with Python {python}, torch {torch}.

| file | MB | pictures seen | test mIoU | {classes} | mask AP50 | minutes | machine |
|---|---|---|---|---|---|---|---|{dashes}
{rows}

The commands, each behind `python benchmarks/weights.py NAME`:

{commands}
"""


def main(arguments: list[str] | None = None) -> None:
    """Train what is not trained, and write file and card."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="+", choices=RECIPES, metavar="NAME",
                        help=f"one or more of {', '.join(RECIPES)}")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs", help="where the runs lie")
    parser.add_argument("--folder", type=Path, default=DATA / "weights", help="where weights go")
    parser.add_argument("--steps", type=int, help="instead of the recipe's, to try it out")
    given = parser.parse_args(arguments)
    for name in given.names:
        recipe = RECIPES[name] + (f" --steps {given.steps}" if given.steps else "")
        options = train_command.parser().parse_args(
            [*shlex.split(recipe), "--out", str(given.runs / name)])
        train_command.run(options)
        ship(options, recipe, given.folder / f"{name}.safetensors")
    (given.folder / "README.md").write_text(card(given.folder), encoding="utf-8")


def ship(options: argparse.Namespace, recipe: str, path: Path) -> None:
    """Score the best weights of a complete run on the test split, and write them in fp16."""
    best_file = options.out / "best.safetensors"
    model, (_, best) = zoo.load(best_file), checkpoint.read_weights(best_file)
    model.half().float()                             # the scores are those of what ships
    test = quality(model, Street("test", "full", transform=eval_transform(), instances=True))
    seconds = History.from_csv(options.out / "history.csv").column("seconds")[-1]
    versions = {"python": platform.python_version(), "torch": version("torch")}
    about = {
        **zoo.metadata(model), "classes": json.dumps(CLASSES),
        "command": f"python -m segutils train {recipe}", "steps": best["step"],
        "batch": options.batch_size, "minutes": round(seconds / 60),
        "machine": machine().split(", ")[0],
        "validation": json.dumps({"miou": round(json.loads(best["scores"])["miou"], 4)}),
        "test": json.dumps(test), "versions": json.dumps(versions),
    }
    checkpoint.save_weights(path, model, about, torch.float16)
    print(f"{path.name}: test mIoU {test['miou']:.3f}, {path.stat().st_size / 1e6:.1f} MB")


def quality(model: nn.Module, pictures: Street) -> dict:
    """Scores over a data set with instances: as class masks and as instances."""
    matrix = ConfusionMatrix(CLASSES)
    ids, masks, objects, found, truth = [], [], [], [], []
    for image, mask, instances in loader(pictures, 25):
        said = predictions(model, image)
        ids.append(torch.stack([one.ids for one in said]))
        matrix.update(ids[-1], mask)
        masks.append(mask)
        objects.append(instances)
        found += [one.instances for one in said]
        truth += [zoo.instance_targets(i, m, void="crowd")
                  for i, m in zip(instances, mask, strict=True)]
    ids, masks, objects = torch.cat(ids), torch.cat(masks), torch.cat(objects)
    outlines = boundary_f(ids, masks, len(CLASSES)).nanmean(dim=0).tolist()[1:]
    by_size = [score.iou for score in iou_by_size(ids, masks, objects)]
    ap = instance_ap(found, truth)
    return {"miou": short(matrix.miou()), "iou": named(CLASSES, matrix.iou().tolist()),
            "boundary_f": named(THINGS, outlines), "by_size": named(SIZES, by_size),
            "ap": short(ap["ap"]), "ap50": short(ap["ap50"]),
            "ap_per_class": named(THINGS, [ap["per_class"].get(k, 0) for k in (1, 2)])}


@torch.inference_mode()
def predictions(model: nn.Module, image: torch.Tensor) -> list[predict.Prediction]:
    """What the model says about a batch, on the CPU."""
    output = model.eval()(image.to(next(model.parameters()).device))
    output = output.cpu() if isinstance(output, torch.Tensor) else [
        {name: tensor.cpu() for name, tensor in one.items()} for one in output]
    return predict.decode(output, CLASSES)


def named(names, values) -> dict[str, float]:
    return {name: short(value) for name, value in zip(names, values, strict=True)}


def short(value: float) -> float:
    return round(float(value), 4)


def card(folder: Path) -> str:
    """The page that says of each file how it was made and what it reaches."""
    rows, commands = [], []
    for path in sorted(folder.glob("*.safetensors")):
        _, about = checkpoint.read_weights(path)
        test, versions = json.loads(about["test"]), json.loads(about["versions"])
        ious = " | ".join(f"{test['iou'][name]:.3f}" for name in CLASSES)
        seen = int(about["steps"]) * int(about["batch"])
        rows.append(f"| `{path.name}` | {path.stat().st_size / 1e6:.1f} | {seen:,} | "
                    f"{test['miou']:.3f} | {ious} | {ap50(test)} | {about['minutes']} | "
                    f"{about['machine']} |")
        commands.append(f"- `{path.stem}`: `{about['command']}`")
    return CARD.format(**versions, classes=" | ".join(CLASSES), dashes="---|" * len(CLASSES),
                       rows="\n".join(rows), commands="\n".join(commands))


def ap50(test: dict) -> str:
    """Of the U-Net's file, which was written before AP was, scores.json has it."""
    return f"{test['ap50']:.3f}" if "ap50" in test else "-"


if __name__ == "__main__":
    main()
