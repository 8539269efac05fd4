"""A small run that can be killed anywhere.

Started once, this reads lines "FOLDER PLACE NUMBER" and forks a process for each, so that 200
kills need not import torch 200 times. It prints the process's id when that begins to train, and
its exit status when it is over.

PLACE is where the process kills itself, as `kill -9` would, the NUMBER-th time it comes there:
"load" a picture, the middle of a "step", of a "validation", of writing a file ("write"), before
its bytes are "sync"ed, before the file is "move"d into place, before its "folder" is synced.
The model has batch norm, dropout and an order and an augmentation that change every epoch.
"""

import os
import signal
import stat
import sys
import traceback
from pathlib import Path

import numpy as np
import torch
from torch import nn

from segutils import checkpoint, train
from segutils.datasets import EpochSampler

SEED, STEPS, EVERY = 3, 22, 3                   # an epoch has 5 steps: rows fall inside epochs


class Pictures(torch.utils.data.Dataset):
    """Squares to find; their noise is drawn from (seed, epoch, index)."""

    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, key):
        came_to("load")
        epoch, index = key
        rng = np.random.default_rng((SEED, epoch, index))
        target = np.zeros((16, 16), np.int64)
        y, x = np.random.default_rng(index).integers(0, 10, 2)
        target[y : y + 6, x : x + 6] = 1 + index % 2
        image = np.stack([target == c for c in range(3)]) + rng.normal(0, 0.5, (3, 16, 16))
        return torch.from_numpy(image.astype(np.float32)), torch.from_numpy(target)


def loader(n, shuffle):
    return torch.utils.data.DataLoader(Pictures(n), batch_size=8,
                                       sampler=EpochSampler(n, SEED, shuffle))


def network():
    torch.manual_seed(SEED)
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
                         nn.Dropout2d(0.2), nn.Conv2d(8, 3, 3, padding=1))


def loss(logits, target):
    came_to("step" if logits.requires_grad else "validation")
    return nn.functional.cross_entropy(logits, target)


def run(folder, **options):
    model = network()
    options = {"steps": STEPS, "every": EVERY, "seed": SEED, "amp": False, "device": "cpu",
               "progress": False, "out": folder, "grad_clip": 1.0} | options
    history = train.fit(model, loader(36, True), loader(8, False), loss, **options)
    return model, history


PLACE, LEFT = None, 0


def came_to(place):
    global LEFT
    if place == PLACE:
        LEFT -= 1
        if LEFT == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def watch_the_files():
    fsync, replace = os.fsync, os.replace

    def synced(handle):
        came_to("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "sync")
        fsync(handle)

    def moved(source, target):
        came_to("move")
        replace(source, target)

    class Halves:
        """A file that is written in two halves, so that there is a middle to die in."""

        def __init__(self, path, mode):
            self.file = open(path, mode)  # noqa: SIM115

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def write(self, data):
            self.file.write(data[: len(data) // 2])
            self.file.flush()
            came_to("write")
            self.file.write(data[len(data) // 2 :])

        def __getattr__(self, name):
            return getattr(self.file, name)

    os.fsync, os.replace, checkpoint.open = synced, moved, Halves


def main(folder, place, number):
    global PLACE, LEFT
    PLACE, LEFT = place, int(number)
    watch_the_files()
    print(os.getpid(), flush=True)
    model, history = run(folder)
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in history.rows]
    torch.save([model.state_dict(), history.losses, rows], Path(folder) / "result.pt")


def serve():
    import torch._dynamo  # the optimizer asks for it; once is enough

    torch.set_num_threads(1)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                main(*line.rstrip("\n").split("\t"))
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        print("exit", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
