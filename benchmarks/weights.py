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

from data import machine
from segutils import checkpoint, train_command, zoo
from segutils.augment import eval_transform
from segutils.datasets import DATA, Street, loader
from segutils.masks import CLASSES
from segutils.train import History, evaluate

ROOT = Path(__file__).resolve().parents[1]
RECIPES = {
    "unet_street": "--model unet --width 32 --depth 3 --stem 2 --difficulty stream --scenes 16000 "
                   "--batch-size 16 --lr 3e-3 --steps 12000 --workers 1",
}
CARD = """# Weights that ship

Networks that were trained for longer than a lesson lasts, as safetensors in half precision, each
with a SHA-256 that `segutils.checkpoint.load_weights` verifies. Trained on scenes of the full
difficulty that are drawn while they train, none of them in `data/street`; the weights of the best
validation were kept, and scored once on the test split of `street/full`. This page is written by
`benchmarks/weights.py`; made with Python {python}, torch {torch}.

| file | MB | pictures seen | test mIoU | {classes} | minutes | machine |
|---|---|---|---|---|---|---|{dashes}
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
    pictures = Street("test", "full", transform=eval_transform())
    matrix = evaluate(model, loader(pictures, 25), CLASSES)
    ious = zip(CLASSES, matrix.iou().tolist(), strict=True)
    seconds = History.from_csv(options.out / "history.csv").column("seconds")[-1]
    test = {"miou": round(matrix.miou(), 4), "iou": {name: round(iou, 4) for name, iou in ious}}
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
    print(f"{path.name}: test mIoU {matrix.miou():.3f}, {path.stat().st_size / 1e6:.1f} MB")


def card(folder: Path) -> str:
    """The page that says of each file how it was made and what it reaches."""
    rows, commands = [], []
    for path in sorted(folder.glob("*.safetensors")):
        _, about = checkpoint.read_weights(path)
        test, versions = json.loads(about["test"]), json.loads(about["versions"])
        ious = " | ".join(f"{test['iou'][name]:.3f}" for name in CLASSES)
        seen = int(about["steps"]) * int(about["batch"])
        rows.append(f"| `{path.name}` | {path.stat().st_size / 1e6:.1f} | {seen:,} | "
                    f"{test['miou']:.3f} | {ious} | {about['minutes']} | {about['machine']} |")
        commands.append(f"- `{path.stem}`: `{about['command']}`")
    return CARD.format(**versions, classes=" | ".join(CLASSES), dashes="---|" * len(CLASSES),
                       rows="\n".join(rows), commands="\n".join(commands))


if __name__ == "__main__":
    main()
