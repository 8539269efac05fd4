"""Held pictures: the batches of a loop by hand, and a run that is stopped leaves no trace."""

import math
import os
import signal

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import BatchSampler, SequentialSampler, Subset

from segutils import processes
from segutils.augment import batch_transform, eval_transform, train_transform
from segutils.datasets import EpochSampler, Held, Pictures, StreetStream, loader
from segutils.losses import ce_dice
from segutils.train import describe_pictures, fit


class Noise(Pictures):
    """Pictures of random values and ids, the first `odd` of them of another size."""

    classes = ("background", "person", "car")

    def __init__(self, n=11, size=(20, 24), odd=None, transform=None, seed=3):
        super().__init__(transform, seed)
        self.stems = [f"noise_{k:02}" for k in range(n)]
        self.size, self.odd = size, odd

    def __len__(self):
        return len(self.stems)

    def arrays(self, epoch, index):
        rng = np.random.default_rng(index)
        height, width = (9, 9) if index == self.odd else self.size
        image = rng.integers(0, 256, (height, width, 3), np.uint8)
        return image, rng.choice(np.array([0, 1, 2, 255], np.uint8), (height, width))


def held(n=11, **options):
    return Held(Noise(n), batch_transform(16, rotate=20, **options))


def test_batches_are_those_of_a_loop_by_hand():
    data, t = Noise(), batch_transform(16, rotate=20)
    batches = loader(Held(data, t), 4, shuffle=True, seed=5)
    sampler = EpochSampler(11, 5, shuffle=True)
    seen = []
    for _ in range(2):
        keys = list(sampler)
        got = list(batches)
        assert len(got) == len(batches) == 3
        images, masks = (torch.cat(parts) for parts in zip(*got, strict=True))
        for key, image, mask in zip(keys, images, masks, strict=True):
            arrays = [torch.from_numpy(a)[None] for a in data.arrays(*key)]
            one, ids = t(*arrays, [(data.seed, *key)])
            assert torch.equal(image, one[0]) and torch.equal(mask, ids[0])
            seen.append(image.numpy().tobytes())
    assert len(set(seen)) == 22                              # no view of one epoch in the other
    assert images.dtype == torch.float32 and masks.dtype == torch.int64


def test_without_a_transform_it_is_what_evaluation_sees():
    ours = loader(Held(Noise()), 4)
    theirs = loader(Noise(transform=eval_transform()), 4)
    for (a, b), (c, d) in zip(ours, theirs, strict=True):
        assert torch.equal(a, c) and torch.equal(b, d)


def test_a_single_picture_is_that_of_its_batch():
    data = held()
    images, masks = next(iter(loader(data, 11)))
    assert all(torch.equal(data[0, k][0], images[k]) for k in range(11))
    image, mask = data[-1]
    assert torch.equal(image, images[10]) and torch.equal(mask, masks[10])
    assert not torch.equal(data[1, 0][0], images[0])
    for key in (11, (0, 11), -12):
        with pytest.raises(IndexError, match="of 11"):
            data[key]


def test_bytes_held_are_those_of_the_pictures():
    data = held(3)
    assert data.images.dtype == data.masks.dtype == torch.uint8
    assert data.images.shape == (3, 3, 20, 24) and data.masks.shape == (3, 20, 24)
    assert data.classes == Noise.classes and data.stems == ["noise_00", "noise_01", "noise_02"]


@pytest.mark.parametrize(("make", "message"), [
    (lambda: Held(Noise(odd=4)), r"noise_00 is \(20, 24\) but noise_04 is \(9, 9\).*resize"),
    (lambda: Held(Noise(0)), "empty"),
    (lambda: Held(Noise(transform=train_transform())), "transform of its own"),
    (lambda: Held(StreetStream(4)), "fresh=False"),
    (lambda: Held(Subset(Noise(), [0, 1])), "got Subset"),
    (lambda: loader(held(), workers=2), "workers=2: held pictures are on cpu already"),
])
def test_says_what_is_wrong(make, message):
    with pytest.raises((ValueError, TypeError), match=message) as error:
        make()
    assert "\n" not in str(error.value)


def test_a_stream_of_the_same_scenes_can_be_held():
    stream = StreetStream(2, 32, fresh=False, instances=True)
    images, masks = next(iter(loader(Held(stream), 2)))
    assert np.array_equal(masks[1], stream.arrays(0, 1)[1]) and images.shape == (2, 3, 32, 32)


# Training ------------------------------------------------------------------------------------


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(),
                         nn.Dropout2d(0.2), nn.Conv2d(6, 3, 1))


def quick(model, loss=ce_dice, **options):
    """Three epochs of three steps each, with a validation after each."""
    train, val = loader(held(), 4, shuffle=True), loader(Held(Noise(5)), 4)
    return fit(model, train, val, loss, epochs=3, amp=False, device="cpu", progress=False,
               **options)


class Stop:
    """A loss that presses Ctrl-C at a step, under the name of the loss it is."""

    __name__ = "ce_dice"

    def __init__(self, step):
        self.left = step

    def __call__(self, logits, target):
        self.left -= logits.requires_grad
        if self.left == 0 and logits.requires_grad:
            os.kill(os.getpid(), signal.SIGINT)
        return ce_dice(logits, target)


@pytest.mark.parametrize("at", [1, 3, 5, 8])
def test_a_run_stopped_in_an_epoch_ends_with_the_same_weights(tmp_path, at):
    plain, stopped, other = network(), network(), network(9)
    expected = quick(plain)
    history = quick(stopped, Stop(at), out=tmp_path)
    assert history.stopped == "interrupted" and len(history.losses) == at
    history = quick(other, out=tmp_path, resume=True)
    assert history.losses == expected.losses and len(set(history.losses)) == 9
    for name, tensor in plain.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor), name


def test_nan_names_the_pictures_of_the_batch():
    calls = []

    def explodes(logits, target):
        calls.append(logits.requires_grad)
        return ce_dice(logits, target) * (math.nan if sum(calls) == 5 else 1)

    with pytest.raises(FloatingPointError) as error:
        quick(network(), explodes)
    sampler = EpochSampler(11, shuffle=True)
    sampler.set_epoch(1, 4)                                  # step 5 is the second of epoch 2
    names = ", ".join(f"noise_{index:02}" for _, index in list(sampler)[:4])
    assert f"nan at step 5 (epoch 2): the pictures are {names}." in str(error.value)


def test_names_do_not_need_files():
    plain = loader(Held(StreetStream(4, 32, fresh=False)), 2)
    assert describe_pictures(plain, 0, range(1, 2)) == "the pictures are 2, 3"


def test_two_processes_share_the_batches_of_one():
    whole = loader(held(12), 4, shuffle=True)
    parts = []
    for rank in (0, 1):
        team = object.__new__(processes.Several)             # without the launcher
        team.rank, team.world = rank, 2
        parts.append(list(team.share(whole)))
        whole.sampler.set_epoch(0)
    for (images, masks), *halves in zip(whole, *parts, strict=True):
        assert torch.equal(images, torch.cat([half[0] for half in halves]))
        assert torch.equal(masks, torch.cat([half[1] for half in halves]))


def test_nobody_asks_for_pictures_one_by_one():
    """A batch is one call of the transform, by torch's `__getitems__`."""
    data, calls = held(), []
    whole = data.transform
    data.transform = lambda images, masks, seeds: calls.append(len(seeds)) or whole(
        images, masks, seeds)
    batches = loader(data, 4)
    assert isinstance(batches.batch_sampler, BatchSampler)
    assert not isinstance(batches.sampler, SequentialSampler)
    list(batches)
    assert calls == [4, 4, 3]
