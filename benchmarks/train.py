"""How fast training is: time to a score, a step, `fit` around it, the metric; against peers.

    uv run --extra bench python benchmarks/train.py              # hours
    uv run --extra bench python benchmarks/train.py --only 2 3 4 # minutes
    uv run python benchmarks/train.py --quick                    # seconds; shows that it runs

Part 1 trains to a validation mIoU on the plain difficulty, validation counted: the lesson's recipe
against the recipe that people start from. Part 2 times a training step against other U-Nets, per
FLOP, and our own before and after what makes it fast. Part 3 is what `fit` costs over a bare loop,
part 4 argmax and confusion matrix against torchmetrics.

All of it runs on the CPU, in one process and in turns, so that a busy moment of the machine falls
on all alike. Tables show medians, ranges, and ratios to the first row. The peers come with the
extra `bench`; without them, what needs none is measured.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import PackageNotFoundError, version

import torch
from reference import WEIGHT
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchmetrics.classification import MulticlassConfusionMatrix

from data import machine
from segutils.augment import eval_transform, train_transform
from segutils.datasets import Street, loader
from segutils.losses import cross_entropy, dice_loss, sum_of
from segutils.masks import CLASSES, IGNORE
from segutils.metrics import ConfusionMatrix
from segutils.train import autocast, fit, make_schedule, pick_amp, train_one_epoch
from segutils.unet import UNet

CPU = torch.device("cpu")
PEERS = ("segmentation-models-pytorch", "monai")
LOSS = sum_of((1, partial(cross_entropy, weight=WEIGHT)), (1, dice_loss))
LR, BATCH = 3e-3, 8
Jobs = dict[str, Callable[[], object]]


def main(arguments: list[str] | None = None) -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", type=int, nargs="+", choices=(1, 2, 3, 4), default=(1, 2, 3, 4),
                        metavar="PART", help="1 time to a score, 2 step, 3 fit, 4 metric")
    parser.add_argument("--seeds", type=int, default=3, help="of part 1: how many")
    parser.add_argument("--steps", type=int, default=2000,
                        help="of part 1: length of the lesson's OneCycle run")
    parser.add_argument("--targets", type=float, nargs="+", default=(0.80, 0.85), metavar="MIOU",
                        help="of part 1: validation mIoU to reach")
    parser.add_argument("--cap", type=float, default=15, help="of part 1: minutes a run may take")
    parser.add_argument("--rounds", type=int, default=7, help="of parts 2 to 4")
    parser.add_argument("--quick", action="store_true", help="next to nothing of each")
    given = parser.parse_args(arguments)
    if given.quick:
        given.seeds, given.steps, given.targets = 1, 6, (0.01, 0.99)
        given.cap, given.rounds = 0.01, 2
    found = installed(PEERS)
    print(", ".join([f"{torch.get_num_threads()} threads", machine(), *installed(["torchmetrics"]),
                     *found]))
    if len(found) < len(PEERS):
        print("peers are missing: uv run --extra bench python benchmarks/train.py")
    for part in sorted(set(given.only)):
        (time_to_score, step_times, overhead, metric)[part - 1](given)


def installed(names) -> list[str]:
    """Those of the packages that are there, with their versions."""
    found = []
    for name in names:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            pass
    return found


def smp_unet() -> nn.Module:
    import segmentation_models_pytorch as smp

    return smp.Unet("resnet18", encoder_weights=None, classes=len(CLASSES))


def monai_unet() -> nn.Module:
    from monai.networks.nets import UNet as Peer

    return Peer(spatial_dims=2, in_channels=3, out_channels=len(CLASSES), num_res_units=2,
                channels=(16, 32, 64, 128, 256), strides=(2, 2, 2, 2))


def monai_basic_unet() -> nn.Module:
    from monai.networks.nets import BasicUNet

    return BasicUNet(spatial_dims=2, in_channels=3, out_channels=len(CLASSES))


# Measuring in turns -----------------------------------------------------------------------


def take_turns(jobs: Jobs, rounds: int) -> dict[str, list[float]]:
    """Seconds of each job in each round, by the clock; every second round goes backwards."""
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for job in jobs.values():
        job()  # warm up
    for number in range(rounds):
        for name in list(jobs)[:: -1 if number % 2 else 1]:
            start = time.perf_counter()
            jobs[name]()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def span(seconds: list[float]) -> str:
    return f"{min(seconds) * 1e3:.1f}-{max(seconds) * 1e3:.1f}"


def speed_table(title: str, jobs: Jobs, rounds: int) -> None:
    """Milliseconds of each job, and how many times as fast as the first it is."""
    times = take_turns(jobs, rounds)
    print(f"\n{title:<58} {'ms':>8} {'range':>15} {'speed':>6}")
    first = statistics.median(next(iter(times.values())))
    for name, seconds in times.items():
        middle = statistics.median(seconds)
        print(f"  {name:<56} {middle * 1e3:>8.1f} {span(seconds):>15} {first / middle:>6.2f}")


# Part 1: time to a score ------------------------------------------------------------------


class Enough(Exception):
    """The last target is reached, or the time is up."""


class Turns:
    """A baton for runs that share the machine: each trains an epoch, then hands it on."""

    def __init__(self, count: int):
        self.row, self.moved = deque(range(count)), threading.Condition()

    def wait(self, who: int) -> None:
        with self.moved:
            self.moved.wait_for(lambda: self.row[0] == who)

    def hand_on(self, who: int) -> None:
        with self.moved:
            self.row.rotate(-1)
            self.moved.notify_all()
        self.wait(who)

    def leave(self, who: int) -> None:
        with self.moved:
            self.row.remove(who)
            self.moved.notify_all()


class Watch:
    """Notes when a run first reaches each target, and ends it after the last or at the cap.

    It is told the score after each epoch, and counts the time of the run's own epochs alone:
    `pause` returns when it is this run's turn again.
    """

    def __init__(self, targets, cap: float, pause: Callable[[], None] = lambda: None):
        self.targets, self.cap, self.pause = targets, cap, pause
        self.first: dict[float, float] = {}
        self.best, self.seconds, self.start = 0.0, 0.0, time.perf_counter()

    def __call__(self, miou: float) -> None:
        self.seconds += time.perf_counter() - self.start
        self.best = max(self.best, miou)
        for target in self.targets:
            if miou >= target and self.seconds < self.cap:
                self.first.setdefault(target, self.seconds)
        if len(self.first) == len(self.targets) or self.seconds >= self.cap:
            raise Enough
        self.pause()
        self.start = time.perf_counter()

    def __str__(self) -> str:
        reached = [f"{t:.2f} after {self.first[t]:.1f} s" if t in self.first else
                   f"{t:.2f} not reached" for t in self.targets]
        return f"{', '.join(reached)}; best {self.best:.3f}"


def fit_recipe(model, train, val, given, seed: int, watch: Watch) -> None:
    """The lesson's: AdamW, OneCycle, channels last, bf16 if the probe finds that it pays."""
    fit(model, train, val, LOSS, steps=given.steps, lr=LR, device=CPU, seed=seed, progress=False,
        classes=CLASSES, on_epoch=lambda history, _: watch(history.rows[-1]["miou"]))


def usual_recipe(model, train, val, given, seed: int, watch: Watch) -> None:
    """The one people start from: fp32, contiguous, Adam with a constant 1e-3, a plain loop."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    while True:
        train_one_epoch(model, train, LOSS, optimizer)
        watch(contiguous_miou(model, val))


@torch.inference_mode()
def contiguous_miou(model: nn.Module, val) -> float:
    """`evaluate` would make the pictures channels last, which is part of what is compared."""
    model.eval()
    matrix = ConfusionMatrix(CLASSES)
    for image, target in val:
        matrix.update(model(image).argmax(dim=1), target)
    return matrix.miou()


def time_to_score(given) -> None:
    """Part 1. The loss, the augmentation and the loader's settings (no workers) are the same.

    The runs of a seed take turns, an epoch each, until each has its targets or is at its cap.
    """
    runs = {"the lesson's U-Net and recipe": (partial(UNet, width=32, depth=2, stem=2), fit_recipe),
            "UNet(width=32, depth=4), usual recipe": (UNet, usual_recipe)}
    if installed(PEERS[:1]):
        runs["smp Unet(resnet18), usual recipe"] = (smp_unet, usual_recipe)
    print(f"\nTime to a validation mIoU, batches of {BATCH}, at most {given.cap:g} minutes a run, "
          f"the lesson's recipe at most {given.steps} steps")
    watches: dict[str, list[Watch]] = {name: [] for name in runs}
    for seed in range(given.seeds):
        models = [seeded(build, seed) for build, _ in runs.values()]
        turns = Turns(len(runs))
        with ThreadPoolExecutor(len(runs)) as pool:
            started = [pool.submit(one_run, models[place], recipe, given, seed, turns, place)
                       for place, (_, recipe) in enumerate(runs.values())]
        for name, run in zip(runs, started, strict=True):
            watches[name].append(run.result())
            print(f"  seed {seed}, {name}: {run.result()}", flush=True)
    for target in given.targets:
        score_table(target, watches, given.cap * 60)


def seeded(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """A model whose first weights follow from the seed."""
    torch.manual_seed(seed)
    return build()


def one_run(model: nn.Module, recipe: Callable, given, seed: int, turns: Turns,
            place: int) -> Watch:
    """Train the model whenever it is its turn, and return when it reached what."""
    turns.wait(place)
    try:
        train, val = (Street(split, "plain", seed=seed) for split in ("train", "val"))
        train.transform, val.transform = train_transform(size=128), eval_transform()
        if given.quick:
            train.stems, val.stems = train.stems[:16], val.stems[:4]
        batches = loader(train, BATCH, shuffle=True, seed=seed)
        watch = Watch(given.targets, given.cap * 60, partial(turns.hand_on, place))
        recipe(model, batches, loader(val, 25), given, seed, watch)
    except Enough:
        pass
    finally:
        turns.leave(place)
    return watch


def score_table(target: float, watches: dict[str, list[Watch]], cap: float) -> None:
    """Median seconds to a target; a run that did not get there counts as the cap."""
    head = f"{'seconds':>16} {'range':>12} {'reached':>8} {'ratio':>15}"
    print(f"\n{f'Time to {target:.2f}':<40} {head}")
    first = None
    for name, runs in watches.items():
        seconds = sorted(watch.first.get(target, cap) for watch in runs)
        middle = statistics.median(seconds)
        # The upper of the middle ones: a median that rests on a cap is a lower bound.
        capped = seconds[len(seconds) // 2] >= cap
        first = first or (middle, capped)
        bound = "at least " if capped else ""
        ratio = "-" if first[1] else f"{bound}{middle / first[0]:.2f}"
        reached = f"{sum(target in watch.first for watch in runs)} of {len(runs)}"
        limits = f"{seconds[0]:.0f}-{seconds[-1]:.0f}"
        print(f"  {name:<38} {f'{bound}{middle:.1f}':>16} {limits:>12} {reached:>8} {ratio:>15}")


# Part 2: a training step ------------------------------------------------------------------


def a_batch(quick: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures (B, 3, H, W) and targets (B, H, W) of noise: times do not depend on the values."""
    torch.manual_seed(0)
    count, size = (2, 64) if quick else (BATCH, 128)
    return torch.randn(count, 3, size, size), torch.randint(len(CLASSES), (count, size, size))


def step_job(model: nn.Module, batch, channels_last: bool, amp: torch.dtype | None):
    """One training step: forward, loss, backward, fused AdamW."""
    memory = torch.channels_last if channels_last else torch.contiguous_format
    model.train().to(memory_format=memory)
    image, target = batch[0].contiguous(memory_format=memory), batch[1]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def step() -> None:
        with autocast(CPU, amp):
            logits = model(image)
        value = LOSS(logits.float(), target)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()

    return step


def picked_amp(model: nn.Module, batch) -> torch.dtype | None:
    """The half precision that `fit` would take for this network on this machine."""
    name = pick_amp(model.to(memory_format=torch.channels_last), [batch], LOSS, CPU, None)
    return getattr(torch, name) if name else None


def short(amp: torch.dtype | None) -> str:
    return "bf16" if amp else "fp32"


def flops(model: nn.Module, batch) -> int:
    """Floating-point operations of a step's forward and backward, as torch counts them."""
    with FlopCounterMode(display=False) as counter:
        LOSS(model(batch[0]), batch[1]).backward()
    return counter.get_total_flops()


def step_times(given) -> None:
    """Part 2: against the peers per FLOP, and our own before and after."""
    batch = a_batch(given.quick)
    shape = "x".join(map(str, batch[0].shape))
    lesson = partial(UNet, width=32, depth=2, stem=2)
    nets = {"UNet(width=32, depth=4)": UNet, "UNet(width=32, depth=2, stem=2)": lesson}
    if installed(PEERS[:1]):
        nets["smp Unet(resnet18)"] = smp_unet
    if installed(PEERS[1:]):
        nets |= {"MONAI UNet, 16 to 256, residual": monai_unet, "MONAI BasicUNet": monai_basic_unet}
    for fast in (False, True):
        setting = "as fit trains them" if fast else "fp32, contiguous"
        flop_table(f"A step on {shape}, {setting}", nets, batch, fast, given.rounds)
    half = torch.bfloat16
    speed_table(f"Our own step on {shape}", {
        "UNet(width=32, depth=4), fp32, contiguous": step_job(UNet(), batch, False, None),
        "  channels last": step_job(UNet(), batch, True, None),
        "  channels last, bf16": step_job(UNet(), batch, True, half),
        "  channels last, bf16, stem=2": step_job(UNet(stem=2), batch, True, half),
        "  channels last, bf16, stem=2, depth=2: the lesson's":
            step_job(lesson(), batch, True, half),
        "  fp32, contiguous, stem=2, depth=2": step_job(lesson(), batch, False, None),
    }, given.rounds)
    print(f"  (for the lesson's, fit's probe picks {short(picked_amp(lesson(), batch))} here)")


def flop_table(title: str, nets: dict, batch, fast: bool, rounds: int) -> None:
    """Milliseconds a step, and operations a second with ratios to the first row."""
    jobs, work = {}, {}
    for name, build in nets.items():
        torch.manual_seed(0)
        model = build()
        amp = picked_amp(model, batch) if fast else None
        label = f"{name}, {short(amp)}"
        jobs[label], work[label] = step_job(model, batch, fast, amp), flops(build(), batch)
    times = take_turns(jobs, rounds)
    print(f"\n{title:<50} {'ms':>8} {'range':>15} {'GFLOP':>7} {'GFLOP/s':>8} {'ratio':>6}")
    first = None
    for name, seconds in times.items():
        middle = statistics.median(seconds)
        rate = work[name] / middle
        first = first or rate
        print(f"  {name:<48} {middle * 1e3:>8.1f} {span(seconds):>15} {work[name] / 1e9:>7.2f} "
              f"{rate / 1e9:>8.1f} {rate / first:>6.2f}")


# Part 3: what fit costs -------------------------------------------------------------------


def overhead(given) -> None:
    """Part 3: the same steps on batches held ready, by hand and by `fit`, without validation."""
    steps = 6 if given.quick else 100
    batch = a_batch(given.quick)
    batches = [batch] * 4
    nets = [UNet(width=32, depth=2, stem=2) for _ in range(3)]
    amp = picked_amp(nets[0], batch)

    def by_fit(model, out=None) -> None:
        fit(model, batches, None, LOSS, steps=steps, lr=LR, amp=amp is not None, device=CPU,
            every=steps, progress=False, out=out, resume=False)

    with tempfile.TemporaryDirectory() as folder:
        times = take_turns({
            "a bare loop": lambda: bare_loop(nets[0], batches, steps, amp),
            "fit": lambda: by_fit(nets[1]),
            "fit that saves at the end": lambda: by_fit(nets[2], folder),
        }, given.rounds)
    title = f"{steps} steps of the lesson's U-Net, {short(amp)}"
    print(f"\n{title:<50} {'ms':>8} {'range':>15} {'overhead':>9} {'range of rounds':>19}")
    bare = times["a bare loop"]
    for name, seconds in times.items():
        middle = statistics.median(seconds)
        each = [100 * (a / b - 1) for a, b in zip(seconds, bare, strict=True)]
        more = 100 * (middle / statistics.median(bare) - 1)
        print(f"  {name:<48} {middle * 1e3:>8.1f} {span(seconds):>15} {f'{more:+.1f} %':>9} "
              f"{f'{min(each):+.1f} to {max(each):+.1f} %':>19}")


def bare_loop(model: nn.Module, batches: list, steps: int, amp: torch.dtype | None) -> None:
    """What `fit` does in a step and nothing else."""
    model.train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), LR, fused=True)
    scheduler = make_schedule(optimizer, {"schedule": "onecycle", "lr": LR}, steps)
    losses = []
    for step in range(steps):
        image, target = batches[step % len(batches)]
        with autocast(CPU, amp):
            logits = model(image.to(memory_format=torch.channels_last))
        value = LOSS(logits.float(), target)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        scheduler.step()
        losses.append(value.item())


# Part 4: the metric -----------------------------------------------------------------------


def metric(given) -> None:
    """Part 4: argmax, the matrix from ids, and both, on contiguous and channels-last logits."""
    shape = (2, 21, 64, 64) if given.quick else (8, 21, 512, 512)
    torch.manual_seed(0)
    logits, target = torch.randn(shape), torch.randint(shape[1], (shape[0], *shape[2:]))
    target[torch.rand(target.shape) < 0.05] = IGNORE
    last, ids = logits.contiguous(memory_format=torch.channels_last), logits.argmax(dim=1)

    def ours(pred):
        return ConfusionMatrix(shape[1]).update(pred, target).matrix

    def theirs(pred):
        peer = MulticlassConfusionMatrix(shape[1], ignore_index=IGNORE)
        peer.update(pred, target)
        return peer.compute()

    assert torch.equal(ours(ids), theirs(logits)) and torch.equal(ours(ids), theirs(last))
    title = f"Logits {'x'.join(map(str, shape))}"
    speed_table(f"{title}: argmax", {"contiguous": lambda: logits.argmax(dim=1),
                                     "channels last": lambda: last.argmax(dim=1)}, given.rounds)
    speed_table(f"{title}: matrix from ids", {"torchmetrics": lambda: theirs(ids),
                                              "segutils": lambda: ours(ids)}, given.rounds)
    speed_table(f"{title}: both", {
        "torchmetrics, contiguous": lambda: theirs(logits),
        "segutils, contiguous": lambda: ours(logits.argmax(dim=1)),
        "torchmetrics, channels last": lambda: theirs(last),
        "segutils, channels last": lambda: ours(last.argmax(dim=1)),
    }, given.rounds)


if __name__ == "__main__":
    main()
