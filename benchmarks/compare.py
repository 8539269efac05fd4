"""The families compared: quality and cost of every network that ships, on the same pictures.

    uv run python benchmarks/compare.py             # minutes; writes data/weights/scores.json
    uv run python benchmarks/compare.py --quick     # seconds; shows that it runs, writes nothing
    uv run python benchmarks/compare.py --seeds 3 --steps 300   # short runs too: 15 minutes more

Quality is that of data/weights/*.safetensors on the test split of the full difficulty, void left
out. Every network is scored both ways: class masks against class masks, where Mask R-CNN's
instances are painted (`predict.paint`), and instances against instances, where the connected parts
of a class mask are its instances (`predict.parts`). Cost is that of one picture of 128 pixels, and
of a training step on 16, in turns, so that a busy moment of the machine falls on all alike; compare
the ratios, for the milliseconds are this machine's, and the minutes are of runs beside other work.
Lesson 06 reads what is written here.
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from weights import RECIPES, ROOT, SIZES, THINGS, predictions, quality, short

from data import machine
from segutils import checkpoint, losses, predict, train_command, zoo
from segutils.augment import eval_transform
from segutils.checkpoint import write_atomic
from segutils.datasets import DATA, Street, loader
from segutils.masks import CLASSES
from segutils.train import batch_loss, pick_amp, pick_device, used


def main(arguments: list[str] | None = None) -> None:
    """Measure, print the tables, and write the scores down."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--weights", type=Path, default=DATA / "weights", help="the folder")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or mps")
    parser.add_argument("--rounds", type=int, default=25, help="of timing")
    parser.add_argument("--seeds", type=int, default=0, help="short runs of each but Mask R-CNN")
    parser.add_argument("--steps", type=int, default=1000, help="of a short run")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs", help="where short runs lie")
    parser.add_argument("--quick", action="store_true", help="few pictures; writes nothing")
    parser.add_argument("--memory", type=Path, metavar="FILE", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.memory:
        return print(memory_here(given.memory))
    out = given.weights / "scores.json"
    made = record(given)
    old = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
    if given.seeds:
        made["seeds"] = short_runs(given)
    elif "seeds" in old:
        made["seeds"] = old["seeds"]
    print(table(made))
    if not given.quick:
        write_atomic(out, (json.dumps(made, indent=1) + "\n").encode())


def record(given) -> dict:
    """What lesson 06 reads: how it was measured, and of each network its quality and cost."""
    device = pick_device(given.device)
    paths = {path.stem.removesuffix("_street"): path
             for path in given.weights.glob("*_street.safetensors")}
    models = {name: zoo.load(paths[name]).to(device)
              for name in sorted(paths, key=list(zoo.MODELS).index)}
    test = Street("test", "full", transform=eval_transform(), instances=True)
    test.stems = test.stems[:6] if given.quick else test.stems
    rows = {}
    for name, model in models.items():
        _, about = checkpoint.read_weights(paths[name])
        runs = int(not rows) if given.quick else 3   # each a process of its own
        rows[name] = {"file": paths[name].name, **quality(model, test),
                      "parameters": sum(p.numel() for p in model.parameters()),
                      "flops": flops(model, test[0][0]),
                      "peak_mb": memory(paths[name], runs),
                      "minutes": int(about["minutes"]),
                      "pictures_seen": int(about["steps"]) * int(about["batch"])}
    rounds = 2 if given.quick else given.rounds
    for name, cost in picture_times(models, test, rounds).items():
        rows[name] |= cost
    for name, cost in step_times(models, test, rounds).items():
        rows[name] |= {f"step_{what}": value for what, value in cost.items()}
    return {"command": "python benchmarks/compare.py", "machine": machine().split(", ")[0],
            "device": device.type, "threads": torch.get_num_threads(),
            "versions": {"python": platform.python_version(),
                         **{name: version(name) for name in ("torch", "torchvision")}},
            "test": {"split": "test", "difficulty": "full", "pictures": len(test)},
            "models": rows}


# Cost -------------------------------------------------------------------------------------


def flops(model: nn.Module, image: torch.Tensor) -> int:
    """Of one picture forward, a multiply-add as two; of Mask R-CNN with the boxes that it finds.

    Convolutions and matrix products are counted; RoIAlign, NMS and resizing are not.
    """
    batch = image[None].to(next(model.parameters()).device)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model(batch)
    return counter.get_total_flops()


def picture_times(models: dict[str, nn.Module], pictures: Street, rounds: int) -> dict[str, dict]:
    """Milliseconds from a normalised picture to its class ids, and ratios to the first model."""
    def decode(model: nn.Module, turn: int) -> None:
        image = pictures[turn % len(pictures)][0][None]
        predict.class_ids(model(image.to(next(model.parameters()).device))).cpu()

    with torch.inference_mode():
        return in_turns({name: partial(decode, model) for name, model in models.items()}, rounds)


def step_times(models: dict[str, nn.Module], pictures: Street, rounds: int) -> dict[str, dict]:
    """Milliseconds of a training step on 16 pictures, in the precision that `fit` would pick."""
    def step(net: nn.Module, loss, batch: list, amp, optimizer, turn: int) -> None:
        optimizer.zero_grad()
        batch_loss(net, loss, batch, amp).backward()
        optimizer.step()
        if batch[0].device.type == "cuda":
            torch.cuda.synchronize()

    batches, tasks = loader(pictures, 16), {}
    for name, model in models.items():
        net = copy.deepcopy(model).train().to(memory_format=torch.channels_last)
        device = next(net.parameters()).device
        loss = None if name == "maskrcnn" else losses.ce_dice
        image, *rest = (tensor.to(device) for tensor in used(next(iter(batches)), loss))
        amp = pick_amp(net, batches, loss, device, None)
        optimizer = torch.optim.AdamW(net.parameters(), 1e-5, fused=True)
        tasks[name] = partial(step, net, loss, [image.to(memory_format=torch.channels_last), *rest],
                              amp and getattr(torch, amp), optimizer)
    return in_turns(tasks, rounds)


def in_turns(tasks: dict[str, Callable[[int], None]], rounds: int) -> dict[str, dict]:
    """Median milliseconds of each task, their range, and ratios to the first task."""
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for turn in range(-2, rounds):                           # two to warm up
        for name, task in tasks.items():
            start = time.perf_counter()
            task(turn)
            if turn >= 0:
                seconds[name].append(1000 * (time.perf_counter() - start))
    middle = {name: statistics.median(values) for name, values in seconds.items()}
    first = next(iter(middle.values()))
    return {name: {"ms": round(middle[name], 2), "ratio": round(middle[name] / first, 2),
                   "ms_range": [round(min(values), 2), round(max(values), 2)]}
            for name, values in seconds.items()}


def memory(path: Path, runs: int) -> float | None:
    """MB that a process grows by, to load a file and decode 16 pictures on the CPU; the median.

    None if the system does not tell, or if nothing is to be run.
    """
    command = [sys.executable, __file__, "--memory", path]
    said = [json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            for _ in range(runs)]
    return statistics.median(said) if said and None not in said else None


def memory_here(path: Path) -> str:
    """The same, of this process; null where the system does not tell (Windows)."""
    test = Street("test", "full", transform=eval_transform())
    image = torch.stack([test[i][0] for i in range(16)])
    before = peak()
    predictions(zoo.load(path), image)
    return "null" if before is None else f"{peak() - before:.1f}"


def peak() -> float | None:
    """MB that this process has held at most so far."""
    status = Path("/proc/self/status")
    if status.exists():              # Linux, whose getrusage also counts what the parent held
        line, = (x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) / 1e3
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6      # macOS: bytes


# Seeds ------------------------------------------------------------------------------------


def short_runs(given) -> dict:
    """The cheaper recipes cut short, over several seeds: validation mIoU after the last step.

    The test split is left alone here. A run that was cut off goes on where it stopped.
    """
    steps = 2 if given.quick else given.steps
    cheap = {name: recipe for name, recipe in RECIPES.items() if "maskrcnn" not in name}
    scores: dict[str, list[float]] = {name: [] for name in cheap}
    for seed in range(given.seeds):
        for name, recipe in cheap.items():               # in turns: cut short, some of each
            out = given.runs / f"{name}-{steps}-seed{seed}"
            options = train_command.parser().parse_args(
                [*shlex.split(recipe), "--steps", str(steps), "--seed", str(seed),
                 "--every", str(steps), "--out", str(out)])
            scores[name].append(short(train_command.run(options).rows[-1]["miou"]))
            print(f"seed {seed}, {name}: {scores[name][-1]:.3f}", flush=True)
    return {"steps": steps, "split": "val", "seeds": list(range(given.seeds)),
            "miou": {name.removesuffix("_street"): values for name, values in scores.items()}}


def table(made: dict) -> str:
    """The scores as two tables and, where there are, the short runs."""
    lines = [f"{made['test']['pictures']} test pictures, full difficulty; {made['machine']}, "
             f"{made['device']}, {made['threads']} threads", "",
             f"{'':<10}{'mIoU':>7}" + "".join(f"{name:>12}" for name in CLASSES)
             + "".join(f"{'F ' + name:>10}" for name in THINGS)
             + "".join(f"{size:>8}" for size in SIZES) + f"{'AP':>7}{'AP50':>7}"]
    for name, row in made["models"].items():
        cells = "".join(f"{row['iou'][k]:>12.3f}" for k in CLASSES)
        cells += "".join(f"{row['boundary_f'][k]:>10.3f}" for k in THINGS)
        cells += "".join(f"{row['by_size'][k]:>8.3f}" for k in SIZES)
        lines.append(f"{name:<10}{row['miou']:>7.3f}{cells}{row['ap']:>7.3f}{row['ap50']:>7.3f}")
    lines += ["", f"{'':<10}{'parameters':>12}{'GFLOP':>8}{'ms':>8}{'range':>14}{'ratio':>7}"
                  f"{'step, ms':>10}{'range':>14}{'ratio':>7}{'peak MB':>9}{'minutes':>9}"
                  f"{'pictures':>10}"]
    for name, row in made["models"].items():
        spans = [f"{low:.1f}-{high:.1f}" for low, high in (row["ms_range"], row["step_ms_range"])]
        lines.append(f"{name:<10}{row['parameters']:>12,}{row['flops'] / 1e9:>8.2f}"
                     f"{row['ms']:>8.1f}{spans[0]:>14}{row['ratio']:>7.2f}"
                     f"{row['step_ms']:>10.1f}{spans[1]:>14}{row['step_ratio']:>7.2f}"
                     f"{'-' if row['peak_mb'] is None else row['peak_mb']:>9}"
                     f"{row['minutes']:>9}{row['pictures_seen']:>10,}")
    if "seeds" in made:
        runs = made["seeds"]
        lines += ["", f"Validation mIoU after {runs['steps']} steps, seeds {runs['seeds']}"]
        lines += [f"{name:<10}{statistics.mean(v):>7.3f} ({min(v):.3f}-{max(v):.3f})"
                  for name, v in runs["miou"].items()]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
