"""How a run shows itself: a widget in Jupyter, a live line in a terminal, else a line a row."""

import importlib.util
import math
import sys
from pathlib import Path


class Silent:
    """Shows nothing."""

    def step(self, step: int, losses: list[float]) -> None:
        """After each step, with the losses known so far."""

    def row(self, row: dict) -> None:
        """After each row of the history."""

    def close(self) -> None:
        """At the end, however it came."""


class Lines(Silent):
    """One line a row, for a log file or a CI job."""

    def __init__(self, total: int):
        self.total = total

    def row(self, row: dict) -> None:
        seconds = f"{row['seconds']:.0f} s"
        print(f"step {row['step']}/{self.total}  {summary(row)}  {seconds}", flush=True)


class Widget(Silent):
    """A bar in a notebook; nothing goes to stdout or stderr."""

    def __init__(self, total: int, done: int):
        from tqdm.notebook import tqdm

        self.bar, self.done = tqdm(total=total, initial=done, unit="step"), done

    def step(self, step: int, losses: list[float]) -> None:
        self.bar.update(step - self.done)
        self.done = step

    def row(self, row: dict) -> None:
        self.bar.set_postfix_str(summary(row))

    def close(self) -> None:
        self.bar.close()


class Terminal(Silent):
    """A live line in a terminal, and a line above it for each row."""

    def __init__(self, total: int, done: int):
        from rich import progress

        self.bar = progress.Progress(
            progress.TextColumn("{task.description}"), progress.BarColumn(),
            progress.MofNCompleteColumn(), progress.TimeRemainingColumn(),
        )
        self.task, self.total = self.bar.add_task("loss", total=total, completed=done), total
        self.bar.start()

    def step(self, step: int, losses: list[float]) -> None:
        text = f"loss {losses[-1]:.3f}" if losses else "loss"
        self.bar.update(self.task, completed=step, description=text)

    def row(self, row: dict) -> None:
        self.bar.print(f"step {row['step']}/{self.total}  {summary(row)}")

    def close(self) -> None:
        self.bar.stop()


def summary(row: dict) -> str:
    """The numbers of a row that one wants to see go up or down."""
    parts = [f"{name} {row[key]:.3f}" for name, key in
             (("loss", "train_loss"), ("val", "val_loss"), ("mIoU", "miou"))
             if not math.isnan(row[key])]
    return "  ".join(parts)


def open_progress(total: int, done: int, wanted: bool) -> Silent:
    """What suits the place where this runs; `done` steps lie behind a resumed run."""
    if not wanted:
        return Silent()
    if in_jupyter():
        return Widget(total, done)
    return Terminal(total, done) if sys.stdout.isatty() else Lines(total)


def in_jupyter() -> bool:
    """Whether this runs in a notebook's kernel."""
    shell = sys.modules.get("IPython") and sys.modules["IPython"].get_ipython()
    return type(shell).__name__ == "ZMQInteractiveShell"


def open_board(out: Path | None, step: int, rank: int):
    """A TensorBoard writer in the run's folder, if TensorBoard is installed; else None."""
    if out is None or rank or importlib.util.find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(out), purge_step=step + 1)
