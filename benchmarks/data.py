"""How fast pictures come: scenes drawn, pictures read and augmented, batches loaded.

    uv run python benchmarks/data.py            # about two minutes on two cores
    uv run python benchmarks/data.py --quick    # a few seconds; shows that it runs

Everything is measured in one process, in rounds that take turns, so that a busy moment of the
machine falls on all alike. A table shows the median of the rounds, their range, and the ratio to
the first row. One core means one thread and seconds of processor time, which other work on the
machine hardly touches; the loader, whose workers are processes, is timed by the clock.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import cv2
import torch
from PIL import Image
from torch.utils.data import default_collate

from segutils import street
from segutils.augment import train_transform
from segutils.datasets import FolderPairs, loader
from segutils.masks import write_mask

BACKENDS = ("albumentations", "torchvision")


def main(arguments: list[str] | None = None) -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few pictures and rounds")
    parser.add_argument("--size", type=int, default=128, help="side of the pictures")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    count, rounds = (16, 2) if options.quick else (256, 7)
    print(machine())
    print(f"{options.size} x {options.size} pixels, median of {rounds} rounds of {count} pictures")
    table("Scenes drawn, one core", drawing(options.size, count), count, rounds)
    with tempfile.TemporaryDirectory() as folder:
        write_pictures(Path(folder), options.size, count)
        table("Read, augmented, in batches of 16: one core", pipelines(folder, options.size),
              count, rounds)
        table("Its steps, one core", steps(folder, options.size), count, rounds)
        table("Through the loader, by the clock", loaders(folder, options.size), count, rounds,
              time.perf_counter)


def machine() -> str:
    """Cores and versions, and nothing that names the machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    names = ("albumentations", "torch", "torchvision", "opencv-python-headless", "numpy", "pillow")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    return f"{cores} cores ({platform.machine()}), Python {platform.python_version()}, {versions}"


def table(title: str, jobs: dict[str, Callable[[], None]], count: int, rounds: int,
          clock: Callable[[], float] = time.process_time) -> None:
    """Time the jobs in turn, and print pictures a second with ratios to the first."""
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for name in jobs:
        jobs[name]()  # warm up
    for _ in range(rounds):
        for name, job in jobs.items():
            start = clock()
            job()
            seconds[name].append(clock() - start)
    print(f"\n{title:<48} {'a second':>9} {'range':>15} {'ratio':>6}")
    first = None
    for name, times in seconds.items():
        rate = count / statistics.median(times)
        first = first or rate
        span = f"{count / max(times):.0f}-{count / min(times):.0f}"
        print(f"  {name:<46} {rate:>9.0f} {span:>15} {rate / first:>6.2f}")


def drawing(size: int, count: int) -> dict[str, Callable[[], None]]:
    def draw(difficulty: str) -> None:
        for _ in street.generate(count, size, difficulty, seed=1):
            pass

    return {f"street.generate, {d}": lambda d=d: draw(d) for d in ("full", "plain")}


def write_pictures(folder: Path, size: int, count: int) -> None:
    """Files as those of data/street: JPEG of quality 90 and palette PNG."""
    for name in ("images", "masks"):
        (folder / name).mkdir()
    for k, scene in enumerate(street.generate(count, size)):
        Image.fromarray(scene.image).save(folder / "images" / f"{k:04}.jpg", quality=90)
        write_mask(folder / "masks" / f"{k:04}.png", scene.mask)


def pairs(folder: str, transform: Callable | None) -> FolderPairs:
    return FolderPairs(Path(folder) / "images", Path(folder) / "masks", street.CLASSES, transform)


def pipelines(folder: str, size: int) -> dict[str, Callable[[], None]]:
    """From files to batches of tensors, with the transforms that training uses."""

    def run(ds: FolderPairs) -> None:
        for start in range(0, len(ds), 16):
            default_collate([ds[0, i] for i in range(start, min(start + 16, len(ds)))])

    sets = {b: pairs(folder, train_transform(size, backend=b)) for b in BACKENDS}
    return {backend: lambda ds=ds: run(ds) for backend, ds in sets.items()}


def steps(folder: str, size: int) -> dict[str, Callable[[], None]]:
    """What the time goes into: reading, geometry, colour."""
    ds = pairs(folder, None)
    arrays = [ds[i] for i in range(len(ds))]

    def augment(transform: Callable) -> None:
        for i, (image, mask) in enumerate(arrays):
            transform(image=image, mask=mask, seed=i)

    jobs: dict[str, Callable[[], None]] = {"read image and mask": lambda: [*map(len, ds)]}
    for name, extra in (("geometry and colour", {}), ("geometry alone", {"colour": 0})):
        for b in BACKENDS:
            t = train_transform(size, backend=b, **extra)
            jobs[f"{name}, {b}"] = lambda t=t: augment(t)
    return jobs


def loaders(folder: str, size: int) -> dict[str, Callable[[], None]]:
    def run(batches) -> None:
        for _ in batches:
            pass

    jobs = {}
    for workers in (0, 1, 2):
        batches = loader(pairs(folder, train_transform(size)), workers=workers, shuffle=True)
        jobs[f"{workers} workers"] = lambda batches=batches: run(batches)
    return jobs


if __name__ == "__main__":
    main()
