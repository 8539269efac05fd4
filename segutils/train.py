"""Training: plain functions that are handed the model, the loss and the loaders (lesson 05).

`train_one_epoch` and `evaluate` are the loop as one would write it by hand. `fit` is the same
loop with what makes it fast (channels last, bf16, fused AdamW, OneCycle) and safe: a run killed
at any moment and started again ends with the weights it would have had anyway, bit for bit on
the CPU. For that, all that is drawn at random follows from numbers that are written down: the
order and the augmentation from (seed, epoch, index), dropout from (seed, step).
"""

import copy
import csv
import functools
import io
import itertools
import json
import math
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, SequentialSampler

from segutils import checkpoint
from segutils.checkpoint import CheckpointError
from segutils.metrics import ConfusionMatrix
from segutils.predict import class_ids
from segutils.processes import Alone, make_team
from segutils.progress import open_board, open_progress

WARM_UP = 0.25  # the share of a OneCycle run in which the learning rate rises


# The loop, by hand -------------------------------------------------------------------------


def pick_device(prefer: str | torch.device | None = None) -> torch.device:
    """The device to train on: CUDA if there is one, else Apple's MPS, else the CPU.

    `prefer` ("cuda", "cuda:1", "mps" or "cpu") asks for one by name. Raises `ValueError` where
    it is no such name or this machine has none. Lesson 05.
    """
    have = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(),
            "cpu": True}
    there = [name for name, is_there in have.items() if is_there]
    if prefer is None:
        return torch.device(there[0])
    try:
        device = torch.device(prefer)
    except RuntimeError:
        raise ValueError(f"device {prefer!r} is not one of cuda, mps, cpu") from None
    count = torch.cuda.device_count() if device.type == "cuda" else 1
    if device.type not in there or (device.index or 0) >= count:
        raise ValueError(f"device {str(device)!r} is not on this machine, which has "
                         f"{', '.join(there)}; leave it out and one is picked")
    return device


def train_one_epoch(model: nn.Module, loader: Iterable, loss: Callable,
                    optimizer: torch.optim.Optimizer, device: torch.device | None = None,
                    scheduler=None) -> float:
    """Train once over the loader and return the mean of the steps' losses.

    Batches are (B, 3, H, W) float pictures and (B, H, W) int64 targets; `loss(logits, target)`
    is a scalar. A `scheduler` steps after each batch. Lesson 05.
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
    return torch.stack(losses).mean().item()


def evaluate(model: nn.Module, loader: Iterable, classes: int | Iterable[str] | None = None,
             device: torch.device | None = None, ignore_index: int = 255) -> ConfusionMatrix:
    """The confusion matrix of the model's predictions, in fp32, over a whole loader.

    `classes`: their number or names; None takes as many as the logits have channels. Void pixels
    count nowhere. The model is left in the mode (training or not) it came in. Instances, as of
    Mask R-CNN, are scored as `predict.paint` paints them, and need `classes`. Lesson 05.
    """
    return validate(model, loader, None, classes, device, ignore_index=ignore_index)[0]


@torch.inference_mode()
def validate(model: nn.Module, loader: Iterable, loss: Callable | None = None, classes=None,
             device: torch.device | None = None, amp: torch.dtype | None = None,
             ignore_index: int = 255, team: Alone | None = None
             ) -> tuple[ConfusionMatrix, float]:
    """What `evaluate` gives, and the mean of `loss` over the pictures (NaN without a loss)."""
    device = device or next(model.parameters()).device
    was_training, sampler = model.training, sampler_of(loader)
    next_epoch = getattr(sampler, "epoch", None)
    model.eval()
    matrix, total, count = None, torch.zeros((), device=device), 0
    try:
        for image, target, *_ in batches_from(loader, 0, 0):    # the same pictures every time
            target = target.to(device, non_blocking=True)
            with autocast(device, amp):
                output = model(image.to(device, non_blocking=True,
                                        memory_format=torch.channels_last))
            if matrix is None:
                matrix = ConfusionMatrix(classes or channels_of(output), ignore_index)
            if loss is not None:
                total += loss(output.float(), target) * len(image)
            count += len(image)
            matrix.update(class_ids(output), target)
    finally:
        model.train(was_training)
        if next_epoch is not None:                   # whoever trains with it finds it as it was
            sampler.set_epoch(next_epoch)
    if matrix is None:
        raise ValueError("the validation loader is empty; give it at least one batch")
    if team is not None:
        matrix.matrix, total, count = (team.sum(part) for part in (matrix.matrix, total, count))
    return matrix, float(total) / count if loss is not None else math.nan


def channels_of(output) -> int:
    """How many classes logits (B, C, H, W) are of."""
    if not isinstance(output, Tensor):
        raise ValueError("the model returns instances, which do not say how many classes there "
                         "are; give classes=")
    return output.shape[1]


def batch_loss(model: nn.Module, loss: Callable | None, batch: Iterable[Tensor],
               amp: torch.dtype | None = None, team: Alone | None = None) -> Tensor:
    """The loss of a batch on its device: `loss` of fp32 logits, or the sum of the model's own.

    Without a `loss` the model is handed the whole batch and returns its losses as a dict.
    """
    image, target, *rest = batch
    team = team or Alone(image.device)
    with autocast(image.device, amp):
        output = model(image) if loss is not None else model(image, target, *rest)
    if loss is None:
        return team.mean(sum(value.float() for value in output.values()))
    return loss(*team.whole_batch(output.float(), target))


# What comes out of a run ------------------------------------------------------------------


@dataclass
class History:
    """What happened in a run: a row after each epoch, and the loss of every step.

    A row is a dict of epoch, step, lr, train_loss (mean over the steps since the row before),
    val_loss, miou, iou_<class> for each class (NaN where absent) and seconds. `stopped` is "",
    or "interrupted" after Ctrl-C. `segutils.show.learning_curves` draws one. Lesson 05.
    """

    rows: list[dict] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    stopped: str = ""

    def column(self, name: str) -> list:
        """One column of the rows, oldest first."""
        return [row[name] for row in self.rows]

    def best(self) -> dict:
        """The row with the highest miou, the first among equals; {} before any validation."""
        scored = [row for row in self.rows if not math.isnan(row["miou"])]
        return max(scored, key=lambda row: row["miou"], default={})

    def to_csv(self, path: str | Path) -> None:
        """Write the rows as a CSV file with a header; an interrupted write harms no old one."""
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self.rows[0] if self.rows else ["epoch", "step"])
        writer.writeheader()
        writer.writerows(self.rows)
        checkpoint.write_atomic(path, text.getvalue().encode())

    @classmethod
    def from_csv(cls, path: str | Path) -> "History":
        """Read rows that `to_csv` wrote (the loss of each step is not in the file)."""
        with open(path, newline="", encoding="utf-8") as file:
            rows = [{name: float(x) for name, x in row.items()} for row in csv.DictReader(file)]
        for row in rows:
            row["epoch"], row["step"] = int(row["epoch"]), int(row["step"])
        return cls(rows)

    def __repr__(self) -> str:
        best = self.best()
        score = f", best mIoU {best['miou']:.3f} at step {best['step']}" if best else ""
        stopped = f", {self.stopped}" if self.stopped else ""
        return f"History({len(self.rows)} rows, {len(self.losses)} steps{score}{stopped})"


# The loop, fast and safe ------------------------------------------------------------------


def fit(model: nn.Module, train: DataLoader, val: DataLoader | None, loss: Callable | None, *,
        epochs: float | None = None, minutes: float | None = None, steps: int | None = None,
        lr: float = 2e-3, weight_decay: float = 0.01, schedule: str = "onecycle",
        grad_clip: float | None = None, accumulate: int = 1, amp: bool | None = None,
        channels_last: bool = True, device: torch.device | str | None = None, classes=None,
        ignore_index: int = 255, seed: int = 0, every: int | None = None,
        out: str | Path | None = None, resume: bool | str = "auto", on_oom: str = "stop",
        on_epoch: Callable[[History, nn.Module], None] | None = None, progress: bool = True,
        processes: int | None = None) -> History:
    """Train the model in place and return the `History` of the run.

    Args:
        model: (B, 3, H, W) float pictures -> (B, C, H, W) logits; ends with its last weights.
        train, val: loaders of (image, target) batches; val may be None. For a resumed run to be
            the same run, train's order must follow from the epoch, as `datasets.loader`'s does.
        loss: `loss(logits, target)` -> scalar; it is handed fp32 logits. None where the model has
            losses of its own, as Mask R-CNN: `model(*batch)` returns a dict of them in training,
            and their sum is trained. There is no val_loss then (NaN); `classes` must be given.
        epochs, minutes, steps: the length, exactly one of them. Minutes are turned into steps
            once, by a short probe, and the number is stored.
        lr, weight_decay, schedule: AdamW's, the peak rate of "onecycle" or a "constant" one.
        grad_clip: the largest norm a step's gradient may have; None does not clip.
        accumulate: batches a step of the optimizer is taken over. Their losses are averaged by
            pictures. That is the loss of one large batch where a loss is a mean over pictures;
            with void, and for Dice and its relatives, it is near it and not equal.
        amp: half precision; None lets a short probe decide whether it pays on this machine.
        classes: number or names for the history's columns; None counts the logits' channels.
        every: steps between two rows of the history (validation, checkpoint, `on_epoch`); None
            is an epoch. The end of the run makes a row too.
        out: folder for state, best.safetensors, last.safetensors and history.csv; None keeps
            nothing.
        resume: "auto" goes on where `out` stopped, if it did; True insists on it; False starts
            over and drops what is there. A run that was asked for differently is refused.
        on_oom: when a batch does not fit in memory, "stop" and say which size fits, or "retry"
            in parts of that size, whose gradients are added up (batch norm sees the parts).
        on_epoch: called with the history and the model after each row, for a live curve.
        processes: how many a launcher must have started; None takes what it did.

    Ctrl-C finishes the step, saves, and returns with `stopped == "interrupted"`. Raises
    `FloatingPointError` that names the pictures when the loss is no longer finite,
    `torch.OutOfMemoryError`, `checkpoint.CheckpointError`, and `ValueError` for bad arguments.
    Within `fit`, validation runs in the run's own precision; `evaluate` uses fp32. Lesson 05.
    """
    asked = dict(epochs=epochs, minutes=minutes, steps=steps, lr=lr, weight_decay=weight_decay,
                 schedule=schedule, grad_clip=grad_clip, accumulate=accumulate, amp=amp,
                 seed=seed, every=every, loss=name_of(loss), batches=batches_in(train))
    _check_arguments(asked, resume, on_oom, out)
    team = make_team(processes, lambda: pick_device(device))
    gpus = [team.device] if team.device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus):        # the caller's random numbers stay as they are
        run = Run(model, train, val, loss, asked, team, channels_last=channels_last,
                  classes=classes, ignore_index=ignore_index, out=out, on_oom=on_oom)
        run.begin(resume)
        return _go(run, on_epoch, progress)


def _go(run: "Run", on_epoch, progress: bool) -> History:
    """Step until the plan is done or Ctrl-C is pressed; save either way."""
    bar = open_progress(run.plan["steps"], run.step, progress and run.team.rank == 0)
    interrupt = Interrupt(run.team.world == 1)
    try:
        with interrupt:
            if run.row_is_due():                     # a run that was stopped before its row
                run.report(bar, interrupt, on_epoch)
            for batches in run.groups():
                with interrupt.held():
                    run.train_step(batches)
                bar.step(run.step, run.history.losses)
                if run.row_is_due():
                    run.report(bar, interrupt, on_epoch)
    except KeyboardInterrupt:
        if run.team.world > 1:                       # the others may be elsewhere: no joint save
            raise
        run.history.stopped = "interrupted"
        run.save(last=True)
    finally:
        bar.close()
        run.close()
    return run.history


class Run:
    """All that a run is made of. What changes is in `state`, so a saved run comes back whole."""

    def __init__(self, model, train, val, loss, asked, team, *, channels_last, classes,
                 ignore_index, out, on_oom):
        self.team, self.device, self.asked, self.loss = team, team.device, asked, loss
        self.format = torch.channels_last if channels_last else torch.preserve_format
        self.net = model.to(self.device, memory_format=self.format)
        self.whole_train = train                     # every process's batches, to name them by
        self.train = team.share(train)
        self.val = team.share(val, uneven=True) if val is not None else None
        self.classes, self.ignore_index, self.on_oom = classes, ignore_index, on_oom
        self.out = Path(out) if out is not None else None
        self.per_epoch = -(-batches_in(self.train) // asked["accumulate"])
        self.every = asked["every"] or self.per_epoch
        self.history, self.step, self.pending = History(), 0, []
        self.lr, self.board = asked["lr"], None
        self.earlier, self.started = 0.0, time.perf_counter()

    # -- beginning: a new plan, or the one that was stored

    def begin(self, resume) -> None:
        """Plan the run, or take it up where its folder left it."""
        state = self._find(resume)
        self.plan = state["plan"] if state else self.team.agree(self._make_plan)
        self.amp = getattr(torch, self.plan["amp"]) if self.plan["amp"] else None
        self.model = self.team.wrap(self.net)
        self.optimizer = torch.optim.AdamW(self.net.parameters(), self.asked["lr"], fused=True,
                                           weight_decay=self.asked["weight_decay"])
        self.scheduler = make_schedule(self.optimizer, self.asked, self.plan["steps"])
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.amp == torch.float16)
        if state:
            self.load_state(state)
        self.team.wait()                             # all have read before one writes
        if self.out and not state and self.team.rank == 0:
            if resume and (self.out / "best.safetensors").exists():
                raise CheckpointError(f"{self.out}: holds weights of a run, but no state to go on "
                                      "from; choose another folder, or resume=False")
            self._save_state()                       # the plan is on the disk before any step
            clear(self.out, but=checkpoint.state_path(self.out, 0))
        self.board = open_board(self.out, self.step, self.team.rank)

    def _find(self, resume) -> dict | None:
        state = checkpoint.newest_state(self.out) if self.out and resume else None
        if state is None:
            if resume is True:
                raise CheckpointError(f"{self.out}: nothing to resume; leave resume out to start")
            return None
        old, new = dict(state["asked"]), dict(self.asked)
        if new["schedule"] == "constant":            # a constant rate has no end to keep to
            for name in ("epochs", "steps", "minutes"):
                old.pop(name), new.pop(name)
        changed = [f"{k} was {old.get(k)!r}, is {new[k]!r}" for k in new if old.get(k) != new[k]]
        if changed:
            raise CheckpointError(f"{self.out}: holds another run ({'; '.join(changed)}); choose "
                                  "another folder, or resume=False to start over")
        if self.asked["schedule"] == "constant" and self.asked["minutes"] is None:
            state["plan"]["steps"] = self._length()
        return state

    def _make_plan(self) -> dict:
        amp = pick_amp(self.net, self.train, self.loss, self.device, self.asked["amp"])
        if self.asked["minutes"] is None:
            return {"steps": self._length(), "amp": amp, "part": None}
        return {"steps": self._steps_in(self.asked["minutes"] * 60, amp), "amp": amp,
                "part": None}

    def _length(self) -> int:
        epochs = self.asked["epochs"]
        return self.asked["steps"] if epochs is None else max(1, round(epochs * self.per_epoch))

    def _steps_in(self, seconds: float, amp: str | None) -> int:
        """How many steps fit in the time, loading and validation counted, by trying a few."""
        probe = copy.deepcopy(checkpoint.unwrap(self.net)).train()
        optimizer = torch.optim.AdamW(probe.parameters(), fused=True)
        dtype, start, ticks = amp and getattr(torch, amp), time.perf_counter(), []
        for batch in itertools.islice(self.train, 10):
            batch_loss(probe, self.loss, self._put(used(batch, self.loss)), dtype).backward()
            optimizer.step()
            optimizer.zero_grad()
            synchronize(self.device)
            ticks.append(time.perf_counter())
            if len(ticks) > 2 and ticks[-1] - start > seconds / 20:
                break
        each = (ticks[-1] - ticks[0]) / (len(ticks) - 1) if len(ticks) > 1 else ticks[0] - start
        if self.val is not None:
            few, before = list(itertools.islice(self.val, 3)), time.perf_counter()
            validate(probe, few, self.loss, self.classes, self.device, dtype, self.ignore_index)
            share = batches_in(self.val) / len(few)
            each += (time.perf_counter() - before) * share / (self.every * self.asked["accumulate"])
        left = seconds - (time.perf_counter() - start)
        return max(1, int(left / (each * self.asked["accumulate"])))

    # -- one step

    def groups(self) -> Iterator[list]:
        """The batches of each step from here to the end, epoch after epoch."""
        while self.step < self.plan["steps"]:
            epoch, done = divmod(self.step, self.per_epoch)
            batches = batches_from(self.train, epoch, done * self.asked["accumulate"])
            while group := list(itertools.islice(batches, self.asked["accumulate"])):
                yield group
                if self.step >= self.plan["steps"]:
                    return

    def train_step(self, batches: list) -> None:
        """One step of the optimizer over a few batches, in parts where they are too large."""
        batches = [used(batch, self.loss) for batch in batches]
        try:
            self._try_step(batches)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            too_large = error.with_traceback(None)   # or its frames would hold the memory
        else:
            return
        fits = self._size_that_fits(batches)
        if self.on_oom == "stop" or not fits or self.team.world > 1:
            raise torch.OutOfMemoryError(self._advice(batches, fits)) from too_large
        self.plan["part"] = fits
        warnings.warn(self._advice(batches, fits), stacklevel=2)
        self._try_step(batches)

    def _try_step(self, batches: list) -> None:
        self.model.train()
        seed_device(self.device, self.team.seed(self.asked["seed"], self.step))   # for dropout
        pictures, value = sum(len(batch[0]) for batch in batches), 0.0
        for number, batch in enumerate(parts_of(batches, self.plan["part"])):
            part = self._loss(batch) * (len(batch[0]) / pictures)
            if number == 0:                          # not earlier: memory would go and come back
                self.optimizer.zero_grad(set_to_none=True)
            value = value + part.detach()
            if not lag(self.device) and not math.isfinite(value):
                self._stop_not_finite(self.step, value.item())  # before it reaches the weights
            self.scaler.scale(part * self.team.world).backward()
        if self.asked["grad_clip"]:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.net.parameters(), self.asked["grad_clip"])
        self.lr = self.optimizer.param_groups[0]["lr"]
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.scheduler is not None:
            self.scheduler.step()
        self.step += 1
        self.pending.append(read_later(value))
        self._settle(late=lag(self.device))

    def _put(self, batch: Iterable[Tensor]) -> list[Tensor]:
        image, *rest = batch
        image = image.to(self.device, non_blocking=True, memory_format=self.format)
        return [image, *(x.to(self.device, non_blocking=True) for x in rest)]

    def _loss(self, batch: Iterable[Tensor]) -> Tensor:
        return batch_loss(self.model, self.loss, self._put(batch), self.amp, self.team)

    def _settle(self, late: int = 0) -> None:
        """Read the losses of all but the `late` newest steps; on a GPU one is left to run."""
        while len(self.pending) > late:
            value = self.pending.pop(0)()
            if not math.isfinite(value):
                self._stop_not_finite(len(self.history.losses), value)
            self.history.losses.append(value)

    def _stop_not_finite(self, step: int, value: float) -> None:
        epoch, within = divmod(step, self.per_epoch)
        batches = range(within * self.asked["accumulate"], (within + 1) * self.asked["accumulate"])
        kept = f" The state before it is in {self.out}." if self.out else ""
        raise FloatingPointError(
            f"the loss is {value} at step {step + 1} (epoch {epoch + 1}): "
            f"{describe_pictures(self.whole_train, epoch, batches)}. Look at them; if they are "
            f"sound, lower lr (it is {self.asked['lr']}) or set grad_clip=1.0.{kept}"
        )

    def _size_that_fits(self, batches: list) -> int:
        """The largest of half, a quarter, ... of a batch that goes through; 0 if none does."""
        largest = max(batches, key=lambda batch: len(batch[0]))
        buffers = copy.deepcopy(dict(self.net.named_buffers()))
        size = min(len(largest[0]), self.plan["part"] or len(largest[0])) // 2
        while size and not self._fits([x[:size] for x in largest]):
            size //= 2
        for name, buffer in self.net.named_buffers():           # the trials leave no trace
            buffer.copy_(buffers[name])
        return size

    def _fits(self, batch: list[Tensor]) -> bool:
        try:
            self._loss(batch).backward()
            return True
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            return False
        finally:
            self.optimizer.zero_grad(set_to_none=True)

    def _advice(self, batches: list, fits: int) -> str:
        size, shape = max(len(batch[0]) for batch in batches), tuple(batches[0][0].shape[1:])
        if not fits:
            return (f"not even one picture of shape {shape} fits in the memory of {self.device}; "
                    "use smaller pictures or a narrower model")
        if self.on_oom == "retry":
            return (f"a batch of {size} does not fit in the memory of {self.device}; going on in "
                    f"parts of {fits}, their gradients added up")
        return (f"a batch of {size} pictures of shape {shape} does not fit in the memory of "
                f"{self.device}, {fits} do: use batch_size={fits} with accumulate="
                f"{-(-size // fits)}, or on_oom='retry'")

    # -- rows and files

    def row_is_due(self) -> bool:
        """Whether a row of the history belongs after this step and is not there yet."""
        last = self.history.rows[-1]["step"] if self.history.rows else 0
        return self.step > last and (self.step % self.every == 0 or
                                     self.step == self.plan["steps"])

    def report(self, bar, interrupt, on_epoch) -> None:
        """Validate, add a row, save, and tell whoever wants to know."""
        self._settle()
        row = self._validated_row()
        with interrupt.held():
            self.history.rows.append(row)
            self.save(last=self.step == self.plan["steps"])
        if self.board is not None:
            for name, value in row.items():
                self.board.add_scalar(name, value, self.step)
        bar.row(row)
        if on_epoch is not None and self.team.rank == 0:
            on_epoch(self.history, self.net)

    def _validated_row(self) -> dict:
        rows = self.history.rows
        recent = self.history.losses[rows[-1]["step"] if rows else 0:]
        row = {"epoch": -(-self.step // self.per_epoch), "step": self.step, "lr": self.lr,
               "train_loss": sum(recent) / len(recent), "val_loss": math.nan, "miou": math.nan}
        if self.val is not None:
            matrix, row["val_loss"] = validate(self.net, self.val, self.loss, self.classes,
                                               self.device, self.amp, self.ignore_index, self.team)
            row["miou"] = matrix.miou()
            ious = zip(matrix.names, matrix.iou().tolist(), strict=True)
            row |= {f"iou_{name}": iou for name, iou in ious}
        return row | {"seconds": round(self.seconds(), 3)}

    def seconds(self) -> float:
        """Seconds that the run has taken, those before it was resumed included."""
        return self.earlier + time.perf_counter() - self.started

    def save(self, last: bool = False) -> None:
        """State, history and, where they are the best or the last, weights.

        A full disk is a warning while the run goes on, and an error at its end.
        """
        self._settle()
        if self.out is None or self.team.rank:
            return
        if not all(bool(torch.isfinite(weight).all()) for weight in self.net.parameters()):
            self._stop_not_finite(self.step - 1, math.nan)
        best = self.history.best()
        try:
            if best and best["step"] == self.step:       # and not where Ctrl-C came later
                self._save_weights("best", best)
            self._save_state()
            self.history.to_csv(self.out / "history.csv")
            if last:
                self._save_weights("last", self.history.rows[-1] if self.history.rows else {})
            checkpoint.prune(self.out)
        except CheckpointError as error:
            if last:
                raise
            warnings.warn(f"{error}; training goes on", stacklevel=2)

    def _save_weights(self, name: str, row: dict) -> None:
        about = {"model": type(checkpoint.unwrap(self.net)).__name__, "step": self.step,
                 "config": json.dumps(config_of(self.net)),
                 "scores": json.dumps({k: v for k, v in row.items() if k != "seconds"})}
        checkpoint.save_weights(self.out / f"{name}.safetensors", self.net, about)

    def _save_state(self) -> None:
        checkpoint.save_state(checkpoint.state_path(self.out, self.step), self.state())

    def state(self) -> dict:
        """All that the rest of the run depends on, in plain types."""
        return {
            "asked": self.asked, "plan": self.plan, "step": self.step, "lr": self.lr,
            "model": checkpoint.clean_names(self.net), "config": config_of(self.net),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict() if self.scheduler else {},
            "scaler": self.scaler.state_dict(), "rows": self.history.rows,
            "losses": torch.tensor(self.history.losses, dtype=torch.float64),
            "seconds": self.seconds(), "threads": torch.get_num_threads(),
        }

    def load_state(self, state: dict) -> None:
        """Become the run whose state this is."""
        if state.get("config", config_of(self.net)) != config_of(self.net):
            raise CheckpointError(f"{self.out}: holds another model ({state['config']}, not "
                                  f"{config_of(self.net)}); build it as it was, or choose another "
                                  "folder")
        checkpoint.load_into(self.net, state["model"], self.out)
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler:
            self.scheduler.load_state_dict(state["scheduler"])
        self.scaler.load_state_dict(state["scaler"])
        self.history = History(state["rows"], state["losses"].tolist())
        self.step, self.lr, self.earlier = state["step"], state["lr"], state["seconds"]
        if self.device.type == "cpu" and state["threads"] != torch.get_num_threads():
            warnings.warn(f"{self.out}: was begun with {state['threads']} threads and goes on with "
                          f"{torch.get_num_threads()}; sums are rounded differently", stacklevel=2)

    def close(self) -> None:
        """Let go of what is open."""
        if self.board is not None:
            self.board.close()


# What a run is asked ----------------------------------------------------------------------


def _check_arguments(asked: dict, resume, on_oom: str, out) -> None:
    lengths = [name for name in ("epochs", "minutes", "steps") if asked[name] is not None]
    if len(lengths) != 1 or not asked[lengths[0]] > 0:
        given = ", ".join(f"{name}={asked[name]}" for name in lengths) or "none"
        raise ValueError(f"give one of epochs, minutes and steps, above 0; got {given}")
    for name in ("accumulate", "batches", "every"):
        if asked[name] is not None and asked[name] < 1:
            hint = "the training loader is empty" if name == "batches" else "it must be 1 or more"
            raise ValueError(f"{name} is {asked[name]}: {hint}")
    choices = (("schedule", asked["schedule"], ("onecycle", "constant")),
               ("resume", resume, ("auto", True, False)), ("on_oom", on_oom, ("stop", "retry")))
    for name, value, allowed in choices:
        if value not in allowed:
            raise ValueError(f"{name}={value!r} is not one of {allowed}")
    if resume is True and out is None:
        raise ValueError("resume=True needs out=, the folder of the run to resume")


def name_of(function: Callable | None) -> str:
    """What a loss is called, its settings included where it is a `functools.partial`."""
    if function is None:
        return "the model's own"
    if isinstance(function, functools.partial):
        settings = [*map(repr, function.args), *(f"{k}={v}" for k, v in function.keywords.items())]
        return f"{name_of(function.func)}({', '.join(settings)})"
    return getattr(function, "__name__", type(function).__name__)


def config_of(model: nn.Module) -> dict:
    """What the model was built with, where it says so, in plain types."""
    return dict(getattr(model, "config", {}))


def make_schedule(optimizer: torch.optim.Optimizer, asked: dict, steps: int):
    """None for a constant rate, or OneCycle (Smith and Topin, 2018, arXiv:1708.07120)."""
    if asked["schedule"] == "constant":
        return None
    # A rise that ends on the first step has no length, and torch would divide by it.
    rise = WARM_UP if WARM_UP * steps != 1 else 0.3
    return torch.optim.lr_scheduler.OneCycleLR(optimizer, asked["lr"], total_steps=steps,
                                               pct_start=rise)


def pick_amp(model: nn.Module, loader, loss: Callable | None, device: torch.device,
             asked: bool | None) -> str | None:
    """The half precision to train in, by name, or None for fp32.

    If not asked for or refused: on CUDA bf16 (fp16 where the card lacks it), on MPS none, and on
    the CPU bf16 if a few steps on up to four pictures take less than 0.9 of the time in fp32.
    """
    if asked is False or (asked is None and device.type == "mps"):
        return None
    if device.type == "cuda" and not torch.cuda.is_bf16_supported():
        return "float16"
    if asked or device.type == "cuda":
        return "bfloat16"
    image, *rest = (tensor[:4] for tensor in used(next(iter(loader)), loss))
    batch = [image.to(memory_format=torch.channels_last), *rest]
    probe = copy.deepcopy(checkpoint.unwrap(model)).train()

    def seconds(dtype: torch.dtype | None) -> float:
        start = time.perf_counter()
        batch_loss(probe, loss, batch, dtype).backward()
        return time.perf_counter() - start

    fp32, bf16 = (min(seconds(dtype) for _ in range(4)) for dtype in (None, torch.bfloat16))
    return "bfloat16" if bf16 < 0.9 * fp32 else None


# Batches ----------------------------------------------------------------------------------


def batches_in(loader) -> int:
    """How many batches an epoch of the loader has."""
    try:
        return len(loader)
    except TypeError:
        raise ValueError(f"{type(loader).__name__} has no length; give a loader that has one, "
                         "such as a DataLoader of a map-style data set") from None


def batches_from(loader, epoch: int, done: int) -> Iterator:
    """The batches of an epoch but the first `done`, without loading those where it can."""
    sampler = sampler_of(loader)
    if hasattr(sampler, "start"):                    # an EpochSampler skips pictures unseen
        sampler.set_epoch(epoch, done * loader.batch_sampler.batch_size)
        return iter(loader)
    if hasattr(sampler, "set_epoch"):
        sampler.set_epoch(epoch)
    return itertools.islice(iter(loader), done, None)


def sampler_of(loader):
    """What decides the order of a loader's pictures; None if it is no DataLoader."""
    batches = getattr(loader, "batch_sampler", None)
    return getattr(batches, "sampler", None) or getattr(loader, "sampler", None)


def used(batch, loss: Callable | None) -> list[Tensor]:
    """What of a batch a step needs: pictures and targets, or all where the model takes all."""
    return list(batch if loss is None else batch[:2])


def parts_of(batches: list, size: int | None) -> Iterator[tuple[Tensor, ...]]:
    """The batches (pictures, targets, ...), in parts of at most `size` if there is one."""
    for batch in batches:
        whole = size or len(batch[0])
        yield from zip(*(tensor.split(whole) for tensor in batch), strict=True)


def describe_pictures(loader, epoch: int, numbers: range) -> str:
    """Which pictures the batches of these numbers hold, and which of them hold NaN or infinity.

    No key is kept while training: the order follows from the epoch, so it is made once more.
    """
    sampler = sampler_of(loader)
    if not (hasattr(sampler, "set_epoch") or isinstance(sampler, SequentialSampler)):
        return f"batches {numbers.start} to {numbers.stop - 1}, in an order nobody can repeat"
    if hasattr(sampler, "set_epoch"):
        sampler.set_epoch(epoch)
    batches = itertools.islice(loader.batch_sampler, numbers.start, numbers.stop)
    keys = [key for batch in batches for key in batch]
    names = [picture_name(loader.dataset, key) for key in keys]
    bad = [name for name, key in zip(names, keys, strict=True)
           if not torch.isfinite(torch.as_tensor(loader.dataset[key][0])).all()]
    itself = f"; NaN or infinity stands in {', '.join(bad)}" if bad else ""
    return f"the pictures are {', '.join(names)}{itself}"


def picture_name(dataset, key) -> str:
    """A picture by its file's stem where the data set has `stems`, else by its index."""
    index = key[-1] if isinstance(key, tuple) else key
    if hasattr(dataset, "indices") and hasattr(dataset, "dataset"):      # a Subset
        return picture_name(dataset.dataset, dataset.indices[index])
    return str(dataset.stems[index]) if hasattr(dataset, "stems") else str(index)


# The machine ------------------------------------------------------------------------------


def autocast(device: torch.device, dtype: torch.dtype | None):
    """The context in which a forward pass runs in half precision (None: in fp32)."""
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was told, before a clock is read."""
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()


def seed_device(device: torch.device, seed: int) -> None:
    """Seed the device's random numbers alone: `torch.manual_seed` is slow at every step."""
    torch.default_generator.manual_seed(seed % 2**63)
    if device.type != "cpu":
        getattr(torch, device.type).manual_seed(seed % 2**63)


def lag(device: torch.device) -> int:
    """How many steps late a loss is read: reading it at once would let a GPU run dry."""
    return 0 if device.type == "cpu" else 1


def read_later(value: Tensor) -> Callable[[], float]:
    """A function that reads the number; on CUDA the copy starts now and holds nothing up."""
    if value.device.type != "cuda":
        return value.item
    copied, ready = value.to("cpu", non_blocking=True), torch.cuda.Event()
    ready.record()

    def read() -> float:
        ready.synchronize()
        return copied.item()

    return read


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether the device or the CPU has run out of memory (the CPU has no error of its own)."""
    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in text or (
        "can't allocate memory" in text or "not enough memory" in text)


class Interrupt:
    """Ctrl-C reaches the run between two steps, never inside a step or a save.

    A second Ctrl-C inside one does not wait. Outside the main thread nothing changes.
    """

    def __init__(self, wanted: bool):
        self.wanted = (wanted and threading.current_thread() is threading.main_thread()
                       and signal.getsignal(signal.SIGINT) is signal.default_int_handler)
        self.holding = self.asked = False

    def __enter__(self):
        if self.wanted:
            signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_):
        if self.wanted:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _handle(self, *_):
        if self.holding and not self.asked:
            self.asked = True
        else:
            raise KeyboardInterrupt

    @contextmanager
    def held(self):
        """Keep Ctrl-C for the end of this block."""
        self.holding = True
        try:
            yield
        finally:
            self.holding = False
        if self.asked:
            self.asked = False
            raise KeyboardInterrupt


def clear(folder: Path, but: Path) -> None:
    """Drop what an earlier run left in the folder."""
    names = ("best.safetensors", "last.safetensors", "history.csv")
    for path in [*checkpoint.states(folder), *(folder / name for name in names)]:
        if path != but:
            path.unlink(missing_ok=True)
