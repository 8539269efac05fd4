"""How near training comes to the roof of its device, one step up at a time.

    uv run python benchmarks/gpu.py             # minutes on a CUDA card; not measured there yet
    uv run python benchmarks/gpu.py --quick     # seconds, on any machine; shows that it runs
    uv run python benchmarks/gpu.py --device cpu --width 16 --size 128 --batch 4 --batches 4

A `UNet(width=64, depth=4)` trains with cross-entropy and Dice on pictures of 256x256: first in
fp32, contiguous, with files read and augmented by a DataLoader's workers; then with the pictures
held on the device and augmented there; channels last; bf16; torch.compile; and, on CUDA, its
graphs (mode="reduce-overhead"). All in one process and in turns. The table shows the median of
the rounds in pictures a second, their range, the ratio to the first row, and the share of the
roof. Another table shows how fast the batches come if nobody trains.

The roof is worked out on the spot, for each precision; it is the lower of two:

- compute: what a large matrix product reaches on this device in this precision (fp32: the one that
  convolutions are set to, on CUDA tf32 unless you change it), divided by the floating-point
  operations of a picture, forward and backward, as torch's FlopCounterMode counts them;
- memory: what a copy of a large tensor reaches (bytes read and written), divided by the bytes that
  a picture moves at least. Counted are convolutions, normalisations, pooling and up-sampling, each
  on its own. Forward, a layer reads its input and writes its output once. Backward, a convolution
  or normalisation moves as much twice: it reads the output's gradient and its input for the
  gradient of the weights (or for the sums), and the output's gradient again for that of the
  input, which it writes. It moves it once if its input, as the picture itself, needs no gradient;
  and so do all other layers. A value is 4 bytes in fp32 and 2 in bf16. Counted as nothing: ReLU,
  which can be applied on the way; the joining of skips; weights and their gradients, the
  optimizer, the loss and the augmentation.

So a share of 1 would mean that all layers run as fast as the simplest kernel does. Layers that a
compiler melts into one could be above the memory roof.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from train import take_turns

from data import machine, pairs, write_pictures
from segutils.augment import batch_transform, train_transform
from segutils.datasets import Held, loader
from segutils.losses import ce_dice
from segutils.train import autocast, pick_device, synchronize
from segutils.unet import UNet

QUICK = {"width": 4, "size": 32, "batch": 2, "batches": 2, "rounds": 2, "workers": 0}
TWICE = (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d, nn.GroupNorm)  # backward, see above
ONCE = (nn.MaxPool2d, nn.Upsample, nn.PixelShuffle)
NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16"}


def main(arguments: list[str] | None = None) -> None:
    """Measure and print the tables."""
    given = parse(arguments)
    device = given.device = pick_device(given.device)
    print(machine())
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    print(f"on {card}: UNet(width={given.width}, depth=4), {given.size} x {given.size} pixels, "
          f"batches of {given.batch}, median of {given.rounds} rounds of {given.batches} batches")
    roofs = {dtype: roof_of(given, dtype) for dtype in NAMES}
    roof_table(given, roofs)
    with tempfile.TemporaryDirectory() as folder:
        write_pictures(Path(folder), given.size, given.batch * given.batches)
        read = loader(pairs(folder, train_transform(given.size)), given.batch, shuffle=True,
                      workers=given.workers)
        held = loader(Held(pairs(folder, None), batch_transform(given.size), device), given.batch,
                      shuffle=True)
        names = (f"a DataLoader, {given.workers} workers", "held, augmented on the device")
        jobs = {name: partial(one_pass, given, feed, lambda *batch: None)
                for name, feed in zip(names, (read, held), strict=True)}
        table("Batches alone", jobs, given)
        table("Training", training(given, read, held), given, roofs)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parser.add_argument("--device", help="cuda, mps or cpu; the best there is if left out")
    parser.add_argument("--width", type=int, default=64, help="channels of the first level")
    parser.add_argument("--size", type=int, default=256, help="side of the pictures")
    parser.add_argument("--batch", type=int, default=16, help="pictures a step")
    parser.add_argument("--batches", type=int, default=40, help="batches a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=min(8, cores),
                        help="processes of the DataLoader in the first row")
    parser.add_argument("--quick", action="store_true",
                        help="next to nothing of each; compile traces, but makes no code")
    if parser.parse_known_args(arguments)[0].quick:
        parser.set_defaults(**QUICK)
    return parser.parse_args(arguments)


# Training, one step up at a time ----------------------------------------------------------


class Job(NamedTuple):
    """A row of the training table: a round of it, and the precision whose roof is over it."""

    run: Callable[[], None]
    precision: torch.dtype

    def __call__(self) -> None:
        self.run()


def training(given, read, held) -> dict[str, Job]:
    """The rows; one whose compiler does not work on this machine is left out with a line."""
    backend = {"backend": "eager"} if given.quick else {}
    last, half = {"channels_last": True}, {"channels_last": True, "amp": torch.bfloat16}
    rows = {f"fp32, contiguous, DataLoader of {given.workers} workers": (read, {}),
            "  + held and augmented on the device": (held, {}),
            "  + channels last": (held, last),
            "  + bf16": (held, half),
            "  + torch.compile": (held, half | {"compiled": backend})}
    if given.device.type == "cuda":
        rows["  + CUDA graphs"] = held, half | {"compiled": {"mode": "reduce-overhead"}}
    jobs = {}
    for name, (feed, how) in rows.items():
        job = Job(partial(one_pass, given, feed, make_step(given, **how)),
                  how.get("amp", torch.float32))
        if "compiled" not in how or works(name, job):
            jobs[name] = job
    return jobs


def make_step(given, channels_last: bool = False, amp: torch.dtype | None = None,
              compiled: dict | None = None) -> Callable:
    """A function that takes one training step on a batch."""
    torch.manual_seed(0)
    memory = torch.channels_last if channels_last else torch.contiguous_format
    model = UNet(width=given.width, depth=4).train().to(given.device, memory_format=memory)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def forward(image, target):
        with autocast(given.device, amp):
            logits = model(image)
        return ce_dice(logits.float(), target)

    if compiled is not None:
        forward = torch.compile(forward, **compiled)

    def step(image, target) -> None:
        image = image.to(given.device, non_blocking=True, memory_format=memory)
        value = forward(image, target.to(given.device, non_blocking=True))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()

    return step


def one_pass(given, feed, step: Callable) -> None:
    """Every batch of the feed, and done when the device is."""
    for image, target in feed:
        step(image, target)
    synchronize(given.device)


def works(name: str, job: Job) -> bool:
    try:
        job()
    except Exception as error:  # whatever a compiler stumbles over
        reason = str(error).strip().split("\n")[0][:100]
        print(f"\n{name.strip(' +')} does not work here: {type(error).__name__}: {reason}")
        return False
    return True


def table(title: str, jobs: dict[str, Callable], given, roofs: dict | None = None) -> None:
    """Time the jobs in turn; print pictures a second, ratios to the first, shares of the roof."""
    times = take_turns(jobs, given.rounds)
    over = f" {'roof':>9} {'share':>6}" if roofs else ""
    print(f"\n{title:<48} {'a second':>9} {'range':>17} {'ratio':>6}{over}")
    count, first = given.batch * given.batches, None
    for name, seconds in times.items():
        rate = count / statistics.median(seconds)
        first = first or rate
        span = f"{count / max(seconds):.1f}-{count / min(seconds):.1f}"
        line = f"  {name:<46} {rate:>9.1f} {span:>17} {rate / first:>6.2f}"
        if roofs:
            roof = roofs[jobs[name].precision].pictures
            line += f" {roof:>9.1f} {rate / roof:>6.3f}"
        print(line)


# The roof ---------------------------------------------------------------------------------


class Roof(NamedTuple):
    """What the device reaches, and what a picture asks of it."""

    rate: float       # floating-point operations a second
    bandwidth: float  # bytes a second
    flops: int        # operations of a picture
    moved: int        # bytes of a picture

    @property
    def by_compute(self) -> float:
        return self.rate / self.flops

    @property
    def by_memory(self) -> float:
        return self.bandwidth / self.moved

    @property
    def pictures(self) -> float:
        """Pictures a second that no step can exceed."""
        return min(self.by_compute, self.by_memory)


def roof_of(given, dtype: torch.dtype) -> Roof:
    flops, values = work_of_a_picture(given.width, given.size)
    return Roof(matmul_rate(given.device, dtype, given.quick),
                copy_rate(given.device, given.quick), flops, values * dtype.itemsize)


def roof_table(given, roofs: dict[torch.dtype, Roof]) -> None:
    conv = torch.backends.cudnn.conv.fp32_precision if given.device.type == "cuda" else "ieee"
    print(f"\n{'The roof: pictures a second':<28} {'GFLOP/s':>10} {'GFLOP':>8} {'compute':>9} "
          f"{'GB/s':>8} {'GB':>8} {'memory':>9} {'roof':>9}")
    for dtype, roof in roofs.items():
        note = f" ({conv})" if dtype == torch.float32 else ""
        print(f"  {NAMES[dtype] + note:<26} {roof.rate / 1e9:>10.1f} {roof.flops / 1e9:>8.3f} "
              f"{roof.by_compute:>9.1f} {roof.bandwidth / 1e9:>8.3f} {roof.moved / 1e9:>8.4f} "
              f"{roof.by_memory:>9.1f} {roof.pictures:>9.1f}")


def work_of_a_picture(width: int, size: int) -> tuple[int, int]:
    """Operations, and values moved at least, in forward and backward; no number is computed."""
    with torch.device("meta"):
        model, images = UNet(width=width, depth=4), torch.empty(2, 3, size, size)
    return flops_of(model, images) // 2, values_moved(model, images) // 2


def flops_of(model: nn.Module, images: torch.Tensor) -> int:
    """Floating-point operations, forward and backward, as torch counts them."""
    with FlopCounterMode(display=False) as counter:
        model(images).sum().backward()
    return counter.get_total_flops()


def values_moved(model: nn.Module, images: torch.Tensor) -> int:
    """Values that the layers read and write at least, counted as the text above says."""
    total = 0

    def count(layer: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        nonlocal total
        back = 2 if isinstance(layer, TWICE) and inputs[0].requires_grad else 1
        total += (1 + back) * (inputs[0].numel() + output.numel())

    hooks = [layer.register_forward_hook(count) for layer in model.modules()
             if isinstance(layer, TWICE + ONCE)]
    model(images)
    for hook in hooks:
        hook.remove()
    return total


def matmul_rate(device: torch.device, dtype: torch.dtype, quick: bool = False) -> float:
    """Operations a second of a large matrix product, with convolutions' setting of fp32."""
    n = 256 if quick else 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(a)
    with precision_of_convolutions():
        return 2 * n**3 / seconds_of(lambda: torch.mm(a, b, out=out), device)


def copy_rate(device: torch.device, quick: bool = False) -> float:
    """Bytes a second that a copy of a large tensor reads and writes."""
    size = 2**20 if quick else 2**30 if device.type == "cuda" else 2**28
    source = torch.ones(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * size / seconds_of(lambda: target.copy_(source), device)


def seconds_of(job: Callable[[], object], device: torch.device, repeats: int = 10) -> float:
    """Median of a few."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        job()
        synchronize(device)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])  # the first one warms up


@contextmanager
def precision_of_convolutions():
    """Matrix products in what convolutions are set to: by default torch differs between them."""
    matmul = torch.backends.cuda.matmul
    before, matmul.fp32_precision = matmul.fp32_precision, torch.backends.cudnn.conv.fp32_precision
    try:
        yield
    finally:
        matmul.fp32_precision = before


if __name__ == "__main__":
    main()
