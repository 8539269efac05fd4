"""Training: plain functions that are handed the model, the loss and the loaders (lesson 05).

`train_one_epoch` and `evaluate` are the loop as one would write it by hand. `fit` is the same
loop with what makes it fast.
"""

import copy
import csv
import math
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from segutils.metrics import ConfusionMatrix

WARM_UP = 0.25  # the share of a OneCycle run in which the learning rate rises


def pick_device(prefer: str | torch.device | None = None) -> torch.device:
    """The device to train on: CUDA if there is one, else Apple's MPS, else the CPU.

    `prefer` ("cuda", "cuda:1", "mps" or "cpu") asks for one by name. Raises `ValueError` where
    it is no such name or this machine has none. Built in lesson 05.
    """
    have = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(),
            "cpu": True}
    if prefer is None:
        return torch.device(next(name for name, there in have.items() if there))
    try:
        device = torch.device(prefer)
    except RuntimeError:
        raise ValueError(f"device {prefer!r} is not one of cuda, mps, cpu") from None
    if not have.get(device.type) or (device.index or 0) >= max(1, torch.cuda.device_count()):
        there = ", ".join(name for name, there in have.items() if there)
        raise ValueError(f"device {str(device)!r} is not on this machine, which has: {there}")
    return device


def train_one_epoch(model: nn.Module, loader: Iterable, loss: Callable,
                    optimizer: torch.optim.Optimizer, device: torch.device | None = None,
                    scheduler=None) -> float:
    """Train once over the loader and return the mean of the steps' losses.

    Batches are (B, 3, H, W) float pictures and (B, H, W) int64 targets; `loss(logits, target)`
    is a scalar. A `scheduler` steps after each batch. Built in lesson 05.
    """
    device = device or next(model.parameters()).device
    model.train()
    losses = []
    for image, target, *_ in loader:
        logits = model(image.to(device))          # (B, C, H, W)
        value = loss(logits, target.to(device))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        losses.append(value.detach())
    return torch.stack(losses).double().mean().item()


def evaluate(model: nn.Module, loader: Iterable, classes: int | Iterable[str] | None = None,
             device: torch.device | None = None, ignore_index: int = 255) -> ConfusionMatrix:
    """The confusion matrix of the model's predictions over a whole loader.

    `classes`: their number or names; None takes as many as the logits have channels. Void pixels
    count nowhere. The model is left in the mode (training or not) it came in. Lesson 05.
    """
    return validate(model, loader, None, classes, device, ignore_index=ignore_index)[0]


@torch.inference_mode()
def validate(model: nn.Module, loader: Iterable, loss: Callable | None = None, classes=None,
             device: torch.device | None = None, amp: torch.dtype | None = None,
             ignore_index: int = 255) -> tuple[ConfusionMatrix, float]:
    """`evaluate`, and the mean of `loss` over the loader's pictures (NaN without a loss)."""
    device = device or next(model.parameters()).device
    was_training = model.training
    model.eval()
    matrix, total, count = None, 0.0, 0
    try:
        for image, target, *_ in loader:
            target = target.to(device, non_blocking=True)
            with autocast(device, amp):
                logits = model(move(image, device))
            if matrix is None:
                matrix = ConfusionMatrix(classes or logits.shape[1], ignore_index)
            if loss is not None:
                total += loss(logits.float(), target) * len(image)
            count += len(image)
            matrix.update(logits.argmax(dim=1), target)
    finally:
        model.train(was_training)
    if matrix is None:
        raise ValueError("the validation loader is empty; give it at least one batch")
    return matrix, float(total) / count if loss is not None else math.nan


def move(image: Tensor, device: torch.device) -> Tensor:
    """Pictures (B, C, H, W) on the device, their channels last in memory."""
    return image.to(device, non_blocking=True, memory_format=torch.channels_last)


def autocast(device: torch.device, amp: torch.dtype | None):
    """The context in which a forward pass runs in `amp` (None: in fp32)."""
    return nullcontext() if amp is None else torch.autocast(device.type, dtype=amp)


@dataclass
class History:
    """What happened in a run: a row each epoch, and the loss of every step.

    A row is a dict of epoch, step, lr, train_loss (mean since the row before), val_loss, miou,
    iou_<class> for each class (NaN where absent) and seconds. `stopped` is "" at the end of a
    run, or "interrupted". `segutils.show.learning_curves` draws one. Lesson 05.
    """

    rows: list[dict] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    stopped: str = ""

    def column(self, name: str) -> list:
        """One column of the rows, oldest first."""
        return [row[name] for row in self.rows]

    def best(self) -> dict:
        """The row with the highest miou, the first of equals; {} before any validation."""
        scored = [row for row in self.rows if not math.isnan(row["miou"])]
        return max(scored, key=lambda row: row["miou"], default={})

    def to_csv(self, path: str | Path) -> None:
        """Write the rows as a CSV file, with a header."""
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.rows[0] if self.rows else ["epoch"])
            writer.writeheader()
            writer.writerows(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        best = self.best()
        score = f", best mIoU {best['miou']:.3f} at step {best['step']}" if best else ""
        return f"History({len(self.rows)} rows, {len(self.losses)} steps{score})"


def fit(model: nn.Module, train, val, loss: Callable, *, epochs: float | None = None,
        steps: int | None = None, lr: float = 2e-3, weight_decay: float = 0.01,
        schedule: str = "onecycle", grad_clip: float | None = None, amp: bool | None = None,
        channels_last: bool = True, device: torch.device | str | None = None, classes=None,
        seed: int = 0, every: int | None = None, on_epoch: Callable | None = None,
        progress: bool = True) -> History:
    """Train the model in place and return the `History`. (First version.)"""
    device = pick_device(device)
    model.to(device, memory_format=torch.channels_last if channels_last else None)
    total = steps or round(epochs * len(train))
    every = every or len(train)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=weight_decay, fused=True)
    scheduler = one_cycle(optimizer, lr, total) if schedule == "onecycle" else None
    dtype = pick_amp(model, train, loss, device, amp)
    history, start, bar = History(), time.perf_counter(), progress_bar(total, progress)
    for image, target in batches(train, total):
        model.train()
        torch.manual_seed(hash((seed, len(history.losses))) % 2**63)
        with autocast(device, dtype):
            logits = model(move(image, device))
        value = loss(logits.float(), target.to(device))
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        if grad_clip:
            nn.utils.clip_grad_norm_(model.parameters(), grad_clip)
        optimizer.step()
        rate = optimizer.param_groups[0]["lr"]
        if scheduler:
            scheduler.step()
        history.losses.append(value.item())
        bar.update()
        step = len(history.losses)
        if step % every == 0 or step == total:
            matrix, val_loss = validate(model, val, loss, classes, device, dtype)
            recent = history.losses[history.rows[-1]["step"] if history.rows else 0:]
            history.rows.append({
                "epoch": math.ceil(step / len(train)), "step": step, "lr": rate,
                "train_loss": sum(recent) / len(recent), "val_loss": val_loss,
                "miou": matrix.miou(),
                **{f"iou_{n}": x for n, x in zip(matrix.names, matrix.iou().tolist(), strict=True)},
                "seconds": time.perf_counter() - start,
            })
            if on_epoch:
                on_epoch(history, model)
    bar.close()
    return history


def one_cycle(optimizer, lr: float, total: int):
    """The learning rate of OneCycle (Smith and Topin, 2018, arXiv:1708.07120)."""
    return torch.optim.lr_scheduler.OneCycleLR(
        optimizer, lr, total_steps=total, pct_start=WARM_UP)


def batches(loader, total: int):
    """`total` batches, epoch after epoch; the sampler is told each epoch's number."""
    epoch, done = 0, 0
    while done < total:
        sampler = getattr(loader, "sampler", None)
        if hasattr(sampler, "set_epoch"):
            sampler.set_epoch(epoch)
        for image, target, *_ in loader:
            yield image, target
            done += 1
            if done == total:
                return
        epoch += 1


def pick_amp(model, loader, loss, device, asked) -> torch.dtype | None:
    """bf16 where it was asked for, or where a short probe finds it faster on this machine."""
    if asked is False or device.type == "mps":
        return None
    if asked or device.type == "cuda":
        return torch.bfloat16
    image, target, *_ = next(iter(loader))
    image, target, probe = move(image[:4], device), target[:4], copy.deepcopy(model).train()

    def seconds(dtype):
        start = time.perf_counter()
        with autocast(device, dtype):
            logits = probe(image)
        loss(logits.float(), target).backward()
        return time.perf_counter() - start

    with torch.random.fork_rng():
        times = {dtype: min(seconds(dtype) for _ in range(4)) for dtype in (None, torch.bfloat16)}
    return torch.bfloat16 if times[torch.bfloat16] < 0.9 * times[None] else None


def progress_bar(total: int, wanted: bool):
    """A bar that suits the place: a widget in Jupyter, one line in a terminal."""
    from tqdm.auto import tqdm

    return tqdm(total=total, disable=not wanted, unit="step")
