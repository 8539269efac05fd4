"""One process or several: `fit` under `torchrun`, with Accelerate inside (lesson 05).

Every process trains on its share of each batch. The logits of all are put together before the
loss, so the loss and its gradient are those of the whole batch, for Dice and for void too, where
a mean of the processes' losses would not be. Only batch norm sees its own share on a CPU. Where a
model has losses of its own (Mask R-CNN), their mean over the processes is trained.
"""

import os
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader


class Alone:
    """One process: there is nobody to share with, and every method gives back what it got."""

    rank, world = 0, 1

    def __init__(self, device: torch.device):
        self.device = device

    def share(self, loader, uneven: bool = False):
        """This process's part of the loader's batches; `uneven`: whole batches, in turn."""
        return loader

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model to train through, whose gradients are those of all processes."""
        return model

    def whole_batch(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and target of all processes; the gradient flows into one's own part."""
        return logits, target

    def mean(self, loss: Tensor) -> Tensor:
        """The mean of the processes' losses; the gradient flows into one's own."""
        return loss

    def sum(self, value):
        """A number or a tensor, summed over the processes."""
        return value

    def agree(self, decide: Callable):
        """What `decide` returns in the first process, in all of them."""
        return decide()

    def wait(self) -> None:
        """Go on when all have come here."""

    def seed(self, seed: int, step: int) -> int:
        """The seed of this process at this step."""
        return (seed * 1_000_003 + step) * self.world + self.rank


class Several(Alone):
    """One of the processes that a launcher started."""

    def __init__(self, accelerator):
        super().__init__(accelerator.device)
        self.accelerator = accelerator
        self.rank, self.world = accelerator.process_index, accelerator.num_processes

    def share(self, loader, uneven: bool = False):
        if not isinstance(loader, DataLoader) or loader.batch_sampler is None:
            raise ValueError("several processes share a DataLoader with batches; this is "
                             f"{type(loader).__name__}; use datasets.loader")
        if uneven and len(loader) < self.world:
            return loader                        # too few to share out: everyone does them all
        shares = (Turns if uneven else Slices)(loader.batch_sampler, self.rank, self.world)
        return DataLoader(
            loader.dataset, batch_sampler=shares, num_workers=loader.num_workers,
            collate_fn=loader.collate_fn, pin_memory=loader.pin_memory,
            worker_init_fn=loader.worker_init_fn, generator=loader.generator,
            persistent_workers=loader.persistent_workers,
        )

    def wrap(self, model: nn.Module) -> nn.Module:
        if self.device.type == "cuda":           # there batch norm can see the whole batch
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        return self.accelerator.prepare_model(model)

    def whole_batch(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        everyone, first = self.accelerator.gather(logits.detach()), self.rank * len(logits)
        logits = torch.cat([everyone[:first], logits, everyone[first + len(logits):]])
        return logits, self.accelerator.gather(target)

    def mean(self, loss: Tensor) -> Tensor:
        others = self.sum(loss.detach()) - loss.detach()
        return (loss + others) / self.world

    def sum(self, value):
        tensor = torch.as_tensor(value, device=self.device)
        total = self.accelerator.reduce(tensor.clone(), "sum")
        return total.to(value.device) if isinstance(value, Tensor) else total.item()

    def agree(self, decide: Callable):
        from accelerate.utils import broadcast_object_list

        return broadcast_object_list([decide() if self.rank == 0 else None])[0]

    def wait(self) -> None:
        self.accelerator.wait_for_everyone()


class Slices:
    """Of every batch, this process's slice: the slices of all, in order, are the batch.

    What of a last batch cannot be shared out evenly is left out.
    """

    def __init__(self, batches, rank: int, world: int):
        self.batches, self.rank, self.world, self.sampler = batches, rank, world, batches.sampler
        self.batch_size = batches.batch_size
        if self.batch_size % world:
            raise ValueError(f"a batch of {self.batch_size} cannot be shared out evenly to {world} "
                             f"processes; choose a batch size that {world} divides")

    def __iter__(self) -> Iterator[list]:
        for batch in self.batches:
            size = len(batch) // self.world
            if size:
                yield batch[self.rank * size : (self.rank + 1) * size]

    def __len__(self) -> int:
        rest = 0 if self.batches.drop_last else len(self.sampler) % self.batch_size
        return len(self.batches) - (0 < rest < self.world)


class Turns:
    """Of the batches, every `world`-th, beginning with the `rank`-th."""

    def __init__(self, batches, rank: int, world: int):
        self.batches, self.rank, self.world, self.sampler = batches, rank, world, batches.sampler
        self.batch_size = batches.batch_size

    def __iter__(self) -> Iterator[list]:
        for number, batch in enumerate(self.batches):
            if number % self.world == self.rank:
                yield batch

    def __len__(self) -> int:
        return len(range(self.rank, len(self.batches), self.world))


def make_team(processes: int | None, pick_device: Callable[[], torch.device]) -> Alone:
    """Alone, or one of the processes that `torchrun` or a notebook launcher started.

    Raises `ValueError` where `processes` were asked for and another number was started.
    """
    started = int(os.environ.get("WORLD_SIZE", 1))
    if started == 1 and any(name.startswith("ACCELERATE_") for name in os.environ):
        # `accelerate launch --cpu --num_processes 2` sets an address to meet at, then starts one
        processes = processes or (2 if "MASTER_ADDR" in os.environ else None)
    if processes not in (None, started):
        _refuse(processes, started)
    if started == 1:
        return Alone(pick_device())
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=pick_device().type == "cpu", mixed_precision="no")
    if accelerator.num_processes != started:
        _refuse(started, accelerator.num_processes)
    return Several(accelerator)


def _refuse(wanted: int, started: int) -> None:
    raise ValueError(
        f"{wanted} processes were asked for, but the launcher started {started}; start them with: "
        f"torchrun --nproc_per_node={wanted} -m segutils train ..."
    )
