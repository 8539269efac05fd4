"""The training loop: equal to a loop by hand, and what it does when things go wrong."""

import contextlib
import io
import json
import math
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import BatchSampler, DataLoader, Dataset, Subset, TensorDataset

from segutils import checkpoint, losses, processes, progress, train, train_command
from segutils.checkpoint import CheckpointError
from segutils.datasets import EpochSampler
from segutils.street import write_level
from segutils.train import History, evaluate, fit, pick_device, train_one_epoch
from segutils.unet import UNet


class Squares(Dataset):
    """Pictures whose colour tells the class; the noise is drawn from (epoch, index)."""

    def __init__(self, n, bad=()):
        self.n, self.bad = n, bad
        self.stems = [f"{index:04d}" for index in range(n)]

    def __len__(self):
        return self.n

    def __getitem__(self, key):
        epoch, index = key
        rng = np.random.default_rng((epoch, index))
        target = np.random.default_rng(index).integers(0, 3, (2, 2)).repeat(4, 0).repeat(4, 1)
        image = np.stack([target == c for c in range(3)]) + rng.normal(0, 0.3, (3, 8, 8))
        if index in self.bad:
            image[0, 3, 3] = math.nan
        target[0, 0] = 255
        return torch.from_numpy(image).float(), torch.from_numpy(target)


def loader(n=20, size=4, shuffle=True, dataset=None):
    dataset = dataset or Squares(n)
    return DataLoader(dataset, size, sampler=EpochSampler(len(dataset), 0, shuffle))


def network(seed=0, norm=True, dropout=0.0):
    torch.manual_seed(seed)
    norm = nn.BatchNorm2d(6) if norm else nn.Identity()
    return nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), norm, nn.ReLU(), nn.Dropout2d(dropout),
                         nn.Conv2d(6, 3, 1))


def loss(logits, target):
    return cross_entropy(logits, target, ignore_index=255)


def quick(model=None, training=None, val=None, loss=loss, **options):
    """A fit in a moment: on the CPU, in fp32, silent."""
    model = network() if model is None else model
    options = {"amp": False, "device": "cpu", "progress": False} | options
    val = loader(8, shuffle=False) if val is None else val
    return fit(model, training or loader(), val, loss, **options)


def weights(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def assert_equal(model, other):
    for name, tensor in weights(other).items():
        assert torch.equal(model.state_dict()[name], tensor), name


class StopAt:
    """A loss that presses Ctrl-C in the middle of a step."""

    __name__ = "loss"

    def __init__(self, *steps):
        self.steps, self.count = steps, 0

    def __call__(self, logits, target):
        self.count += logits.requires_grad
        if self.count in self.steps and logits.requires_grad:
            os.kill(os.getpid(), signal.SIGINT)
        return loss(logits, target)


# -- the device


def test_pick_device_prefers_cuda_then_mps_then_cpu(monkeypatch):
    for cuda, mps, expected in [(1, 1, "cuda"), (0, 1, "mps"), (0, 0, "cpu")]:
        monkeypatch.setattr(torch.cuda, "is_available", lambda found=cuda: bool(found))
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda found=mps: bool(found))
        assert pick_device().type == expected
        assert pick_device("cpu") == torch.device("cpu")


def test_pick_device_refuses_what_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="'cuda' is not on this machine, which has .*cpu"):
        pick_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert pick_device("cuda:0") == torch.device("cuda:0")
    with pytest.raises(ValueError, match="cuda:3"):
        pick_device("cuda:3")
    for name in ("gpu", "meta", ""):
        with pytest.raises(ValueError, match="is not"):
            pick_device(name)


# -- the loop by hand


class Scale(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(1.0))

    def forward(self, x):
        return self.w * x


def test_train_one_epoch_by_hand():
    """w x against t, squared: w = 1, x = 2, t = 0 gives loss 4, slope 8; then w = 0.2."""
    model, x, t = Scale(), torch.full((1, 1, 1, 1), 2.0), torch.zeros(1, 1, 1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    mean = train_one_epoch(model, [(x, t), (x, t)], lambda a, b: ((a - b) ** 2).mean(),
                           optimizer, scheduler=scheduler)
    assert math.isclose(mean, (4 + 0.16) / 2, rel_tol=1e-6)
    assert math.isclose(model.w.item(), 0.2 - 0.05 * 1.6, rel_tol=1e-6)   # half the rate by then


def test_evaluate_against_a_loop_of_numpy():
    model, data = network().train(), loader(10, shuffle=False)
    matrix = evaluate(model, data, ("a", "b", "c"))
    assert model.training and matrix.names == ("a", "b", "c")
    expected = np.zeros((3, 3), int)
    model.eval()
    for index in range(10):
        image, target = data.dataset[(0, index)]
        pred = model(image[None])[0].argmax(0)
        for t, p in zip(target.flatten().tolist(), pred.flatten().tolist(), strict=True):
            if t != 255:
                expected[t, p] += 1
    assert matrix.matrix.tolist() == expected.tolist()
    assert matrix.matrix.sum() == 10 * 63
    list(data)                                             # another pass: the next epoch
    assert evaluate(model, data).matrix.tolist() == expected.tolist()   # the same pictures again
    assert not model.training


def test_evaluating_on_the_training_loader_does_not_turn_its_epochs_back():
    data, other = loader(), loader()
    first, _, third = [[image for image, _ in other] for _ in range(3)]
    assert all(torch.equal(a, b[0]) for a, b in zip(first, data, strict=True))
    list(data)
    evaluate(network(), data)
    assert all(torch.equal(a, b[0]) for a, b in zip(third, data, strict=True))


def test_evaluate_says_when_there_is_nothing():
    with pytest.raises(ValueError, match="empty"):
        evaluate(network(), [])


# -- fit is that loop


def by_hand(model, steps, lr=2e-3, weight_decay=0.01):
    optimizer = torch.optim.AdamW(model.parameters(), lr, weight_decay=weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps, pct_start=0.25)
    data, done, values = loader(), 0, []
    model.train().to(memory_format=torch.channels_last)
    while done < steps:
        for image, target in data:
            if done < steps:
                value = loss(model(image.contiguous(memory_format=torch.channels_last)), target)
                optimizer.zero_grad()
                value.backward()
                optimizer.step()
                schedule.step()
                values.append(value.item())
                done += 1
    return values


def test_fit_takes_the_steps_of_a_loop_by_hand():
    model, other = network(), network()
    history = quick(model, steps=12)
    values = by_hand(other, 12)
    assert history.losses == values
    assert_equal(model, other)


@pytest.mark.parametrize("steps", range(1, 10))
def test_a_short_one_cycle_has_its_length(steps):
    """Of four steps a quarter is one, at which torch's own schedule divides by zero."""
    history = quick(steps=steps, schedule="onecycle")
    assert len(history.losses) == steps and history.rows[-1]["step"] == steps


def test_a_row_at_every_epoch_and_at_the_end():
    history = quick(steps=12)
    assert history.column("step") == [5, 10, 12] and history.column("epoch") == [1, 2, 3]
    for row, first in zip(history.rows, [0, 5, 10], strict=True):
        part = history.losses[first : row["step"]]
        assert math.isclose(row["train_loss"], sum(part) / len(part))
    names = ["epoch", "step", "lr", "train_loss", "val_loss", "miou", "iou_0", "iou_1", "iou_2",
             "seconds"]
    assert list(history.rows[0]) == names
    assert history.stopped == "" and history.best() == max(history.rows, key=lambda r: r["miou"])


def test_rows_where_they_are_asked_for_and_a_call_after_each():
    seen, model = [], network()
    history = quick(model, steps=12, every=4, classes=("sky", "road", "tree"),
                    on_epoch=lambda h, m: seen.append((len(h.rows), m is model)))
    assert history.column("step") == [4, 8, 12] and seen == [(1, True), (2, True), (3, True)]
    assert "iou_road" in history.rows[0]


def test_a_row_tells_what_evaluate_would():
    model = network()
    history = quick(model, epochs=2)
    assert history.rows[-1]["miou"] == evaluate(model, loader(8, shuffle=False)).miou()
    values = [loss(model.eval()(x), t).item() for x, t in loader(8, 1, shuffle=False)]
    assert math.isclose(history.rows[-1]["val_loss"], np.mean(values), rel_tol=1e-5)


def test_fit_learns():
    history = quick(epochs=30, lr=0.03)
    assert history.best()["miou"] > 0.95 and history.losses[-1] < history.losses[0] / 3


def test_fit_without_validation():
    history = fit(network(), loader(), None, loss, epochs=2, amp=False, device="cpu",
                  progress=False)
    assert len(history.rows) == 2 and math.isnan(history.rows[0]["miou"]) and not history.best()
    assert "best" not in repr(history)


def test_the_caller_keeps_their_random_numbers():
    torch.manual_seed(5)
    expected, model = torch.rand(3), network(dropout=0.5)
    torch.manual_seed(5)
    quick(model, steps=3, amp=None)
    assert torch.equal(torch.rand(3), expected)


def test_dropout_follows_from_seed_and_step():
    runs = []
    for outer, seed in [(1, 0), (2, 0), (1, 1)]:
        model = network(dropout=0.5)
        torch.manual_seed(outer)
        runs.append(quick(model, steps=6, seed=seed).losses)
    assert runs[0] == runs[1] != runs[2]


def test_accumulating_is_one_larger_batch():
    """Two batches of 2 are one of 4 for a mean over as many pixels (and no batch norm)."""
    small, large = network(norm=False), network(norm=False)
    few = quick(small, loader(size=2), steps=7, accumulate=2)
    many = quick(large, loader(size=4), steps=7)
    assert np.allclose(few.losses, many.losses, rtol=1e-5)
    for a, b in zip(small.parameters(), large.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-5)
    assert few.column("step") == [5, 7]                   # an epoch is 10 batches, 5 steps


def test_an_uneven_last_group_weighs_by_its_pictures():
    """9 pictures in batches of 4, two a step: the second step is the last picture alone."""
    data = loader(9, size=4)
    history = quick(network(norm=False), data, steps=2, accumulate=2, lr=1e-12, weight_decay=0)
    assert len(history.losses) == 2
    data.sampler.set_epoch(0)
    first = list(data)[:2]
    model = network(norm=False)
    whole = loss(model(torch.cat([b[0] for b in first])), torch.cat([b[1] for b in first]))
    assert math.isclose(history.losses[0], whole.item(), rel_tol=1e-5)


def test_clipping_bounds_the_step():
    kept = {}

    def watch(history, model):
        kept["norm"] = math.sqrt(sum(float((p.grad**2).sum()) for p in model.parameters()))

    quick(steps=1, grad_clip=1e-3, on_epoch=watch)
    assert kept["norm"] <= 1.001e-3
    quick(steps=1, on_epoch=watch)
    assert kept["norm"] > 1e-2


def test_a_constant_rate_is_constant():
    assert set(quick(steps=7, every=1, schedule="constant").column("lr")) == {2e-3}
    rates = quick(steps=8, every=1).column("lr")
    assert max(rates) == rates[1] and rates[-1] < 1e-4     # rises for a quarter of the run


@pytest.mark.parametrize(("options", "text"), [
    ({}, "one of epochs, minutes and steps"),
    ({"epochs": 1, "steps": 3}, "one of epochs, minutes and steps"),
    ({"steps": 0}, "above 0"),
    ({"steps": 1, "schedule": "cosine"}, "schedule='cosine'"),
    ({"steps": 1, "accumulate": 0}, "accumulate is 0"),
    ({"steps": 1, "resume": True}, "needs out"),
    ({"steps": 1, "resume": "yes"}, "resume='yes'"),
    ({"steps": 1, "on_oom": "shrink"}, "on_oom"),
    ({"steps": 1, "training": []}, "empty"),
    ({"steps": 1, "training": iter([1])}, "has no length"),
    ({"steps": 1, "device": "tpu"}, "tpu"),
    ({"steps": 1, "processes": 2}, "2 processes were asked for, but the launcher started 1"),
])
def test_bad_arguments_get_one_line(options, text):
    training = options.pop("training", loader())
    with pytest.raises(ValueError, match=text) as error:
        fit(network(), training, None, loss, progress=False, **{"device": "cpu"} | options)
    assert "\n" not in str(error.value)


# -- plans that are made once


class Clock:
    """Time that only passes when a model is used: a second forward."""

    now = 0.0

    def __call__(self):
        return self.now


class Slow(nn.Module):
    def __init__(self, clock, speed):
        super().__init__()
        self.net, self.clock, self.speed = network(), clock, speed

    def __deepcopy__(self, memo):
        copy = Slow(self.clock, self.speed)
        copy.net.load_state_dict(self.net.state_dict())
        return copy

    def forward(self, x):
        half = torch.is_autocast_enabled(x.device.type)
        self.clock.now += self.speed(half, self.training)
        return self.net(x)


def test_minutes_become_steps_once(monkeypatch, tmp_path):
    """A step takes 1 s, and a validation of 2 batches every 5 steps makes that 1.4 s."""
    clock = Clock()
    monkeypatch.setattr(time, "perf_counter", clock)
    history = quick(Slow(clock, lambda *_: 1.0), loss=StopAt(5 + 7), minutes=3, out=tmp_path)
    assert history.stopped == "interrupted" and len(history.losses) == 7
    planned = checkpoint.newest_state(tmp_path)["plan"]["steps"]
    assert planned == int((180 - 5 - 2) / 1.4)             # less what the probe itself took
    monkeypatch.setattr(train.Run, "_steps_in", None)      # to plan again would raise
    history = quick(Slow(clock, lambda *_: 0.1), minutes=3, out=tmp_path)
    assert len(history.losses) == planned


@pytest.mark.parametrize(("half_takes", "expected"), [(0.5, "bfloat16"), (0.95, None), (2, None)])
def test_half_precision_where_it_pays(monkeypatch, tmp_path, half_takes, expected):
    clock = Clock()
    monkeypatch.setattr(time, "perf_counter", clock)
    model = Slow(clock, lambda half, training: half_takes if half else 1.0)
    before, cpu = weights(model), torch.device("cpu")
    assert train.pick_amp(model, loader(), loss, cpu, None) == expected
    assert all(torch.equal(before[k], v) for k, v in weights(model).items())
    assert train.pick_amp(model, loader(), loss, cpu, False) is None
    assert train.pick_amp(model, loader(), loss, cpu, True) == "bfloat16"
    quick(model, steps=1, amp=None, out=tmp_path)
    assert checkpoint.newest_state(tmp_path)["plan"]["amp"] == expected


def test_in_half_precision_the_loss_still_gets_fp32():
    seen = set()

    def watching(logits, target):
        seen.add(logits.dtype)
        return loss(logits, target)

    model = network()
    history = quick(model, loss=watching, steps=10, amp=True)
    assert seen == {torch.float32} and model[0].weight.dtype == torch.float32
    assert history.losses != quick(steps=10).losses        # it did run in another precision


# -- files, and going on


def test_what_lies_in_the_folder(tmp_path):
    model = network()
    history = quick(model, epochs=4, out=tmp_path)
    names = {"best.safetensors", "last.safetensors", "history.csv", "step-000000015.state",
             "step-000000020.state"}
    assert set(os.listdir(tmp_path)) - {n for n in os.listdir(tmp_path) if "tfevents" in n} == names
    read = History.from_csv(tmp_path / "history.csv")
    assert read.rows == history.rows
    best, last = network(1), network(1)
    assert checkpoint.load_weights(best, tmp_path / "best.safetensors")["step"] == str(
        history.best()["step"])
    checkpoint.load_weights(last, tmp_path / "last.safetensors")
    assert_equal(last, model)
    assert evaluate(best, loader(8, shuffle=False)).miou() == history.best()["miou"]


def test_the_best_weights_are_of_the_best_row_and_not_of_where_it_stopped(tmp_path):
    scores = iter([0.5, 0.9, 0.1])
    real = train.validate

    def scored(*args):
        matrix, value = real(*args)
        score = next(scores)
        matrix.miou = lambda: score
        return matrix, value

    at = {}

    def keep(history, model):
        at[history.rows[-1]["step"]] = weights(model)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "validate", scored)
        quick(epochs=3, out=tmp_path, on_epoch=keep)
    best = network(1)
    assert checkpoint.load_weights(best, tmp_path / "best.safetensors")["step"] == "10"
    assert all(torch.equal(at[10][k], v) for k, v in weights(best).items())


@pytest.mark.parametrize("at", [1, 4, 5, 13, 20])
def test_ctrl_c_saves_and_the_run_goes_on_from_there(tmp_path, at):
    plain, model = network(dropout=0.3), network(dropout=0.3)
    expected = quick(plain, epochs=4)
    history = quick(model, loss=StopAt(at), epochs=4, out=tmp_path)
    assert history.stopped == "interrupted" and len(history.losses) == at
    assert "interrupted" in repr(history)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    other = network(7, dropout=0.3)                        # other weights: all must come back
    history = quick(other, epochs=4, out=tmp_path, resume=True)
    assert history.losses == expected.losses and history.stopped == ""
    assert_equal(other, plain)
    for row, same in zip(history.rows, expected.rows, strict=True):
        assert {k: v for k, v in row.items() if k != "seconds"} == {
            k: v for k, v in same.items() if k != "seconds"}


def test_ctrl_c_leaves_the_best_weights_as_they_were(tmp_path):
    at_row = network()
    quick(at_row, epochs=1, schedule="constant")
    quick(loss=StopAt(7), epochs=2, schedule="constant", out=tmp_path)
    best = network(1)
    assert checkpoint.load_weights(best, tmp_path / "best.safetensors")["step"] == "5"
    assert_equal(best, at_row)


def test_ctrl_c_in_a_validation(tmp_path):
    def stops(logits, target):
        if not logits.requires_grad:
            os.kill(os.getpid(), signal.SIGINT)
        return loss(logits, target)

    stops.__name__ = "loss"
    expected = quick(epochs=2)
    assert quick(loss=stops, epochs=2, out=tmp_path).rows == []
    assert quick(epochs=2, out=tmp_path).column("val_loss") == expected.column("val_loss")


def test_a_second_ctrl_c_does_not_wait():
    def twice(logits, target):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        return loss(logits, target)

    history = quick(loss=twice, steps=5)
    assert history.stopped == "interrupted" and len(history.losses) == 0


def test_a_finished_run_is_not_run_again(tmp_path):
    model, other = network(), network(3)
    first = quick(model, epochs=2, out=tmp_path)
    again = quick(other, loss=StopAt(1), epochs=2, out=tmp_path)
    assert again.rows == first.rows and again.stopped == ""
    assert_equal(other, model)


@pytest.mark.parametrize(("change", "text"), [
    ({"lr": 1e-3}, "lr was 0.002, is 0.001"),
    ({"epochs": 3}, "epochs was 2, is 3"),
    ({"seed": 1}, "seed was 0, is 1"),
    ({"loss": losses.dice_loss}, "loss was 'loss', is 'dice_loss'"),
    ({"loss": partial(losses.focal_loss, gamma=1.0)}, r"is 'focal_loss\(gamma=1.0\)'"),
    ({"training": loader(40)}, "batches was 5, is 10"),
])
def test_another_run_is_not_mixed_with_this_one(tmp_path, change, text):
    quick(epochs=2, out=tmp_path)
    with pytest.raises(CheckpointError, match=text) as error:
        quick(**{"epochs": 2, "out": tmp_path} | change)
    assert str(tmp_path) in str(error.value) and "resume=False" in str(error.value)


def test_another_model_is_refused_by_name(tmp_path):
    quick(epochs=2, out=tmp_path)
    with pytest.raises(CheckpointError, match="missing 2.weight; unknown 4.bias"):
        quick(nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.PReLU()),
              epochs=2, out=tmp_path)


def test_a_constant_run_may_be_made_longer(tmp_path):
    plain, model = network(), network()
    quick(plain, epochs=4, schedule="constant")
    quick(model, epochs=2, schedule="constant", out=tmp_path)
    history = quick(network(5), epochs=4, schedule="constant", out=tmp_path)
    assert history.column("step") == [5, 10, 15, 20]
    last = network(5)
    checkpoint.load_weights(last, tmp_path / "last.safetensors")
    assert_equal(last, plain)


def test_starting_over_leaves_nothing_of_the_run_before(tmp_path):
    quick(epochs=4, out=tmp_path)
    quick(loss=StopAt(1), epochs=2, lr=1e-3, out=tmp_path, resume=False)
    assert {p.name for p in checkpoint.states(tmp_path)} == {
        "step-000000000.state", "step-000000001.state"}
    assert not (tmp_path / "best.safetensors").exists()


def test_resume_true_insists(tmp_path):
    with pytest.raises(CheckpointError, match="nothing to resume"):
        quick(epochs=2, out=tmp_path, resume=True)
    quick(epochs=1, out=tmp_path)
    for path in checkpoint.states(tmp_path):
        path.unlink()
    with pytest.raises(CheckpointError, match="no state to go on from"):
        quick(epochs=1, out=tmp_path)
    assert (tmp_path / "best.safetensors").exists()


def test_a_damaged_state_is_passed_over(tmp_path):
    plain, model = network(), network(4)
    quick(plain, epochs=3)
    quick(epochs=3, loss=StopAt(12), out=tmp_path)
    newest = checkpoint.states(tmp_path)[0]
    newest.write_bytes(newest.read_bytes()[:-9])
    with pytest.warns(UserWarning, match=f"{newest.name}: damaged"):
        quick(model, epochs=3, out=tmp_path)
    assert_equal(model, plain)


def test_a_compiled_run_goes_on_uncompiled(tmp_path):
    plain, model = network(), network(6)
    quick(plain, epochs=2)
    quick(torch.compile(network(), backend="eager"), epochs=2, loss=StopAt(7), out=tmp_path)
    quick(model, epochs=2, out=tmp_path)
    assert_equal(model, plain)


# -- when things go wrong


def test_a_picture_with_nan_is_named_and_the_weights_stay_sound(tmp_path):
    model, data = network(norm=False), loader(dataset=Squares(20, bad=[13]))
    order = [key for batch in loader().batch_sampler for key in batch]
    step = order.index((0, 13)) // 4
    batch = [f"{index:04d}" for _, index in order[4 * step : 4 * step + 4]]
    with pytest.raises(FloatingPointError) as error:
        quick(model, data, epochs=2, out=tmp_path)
    text = str(error.value)
    assert f"nan at step {step + 1} (epoch 1): the pictures are {', '.join(batch)}" in text
    assert "NaN or infinity stands in 0013." in text and "\n" not in text
    assert all(torch.isfinite(p).all() for p in model.parameters())


def test_a_diverging_loss_in_a_later_epoch_names_its_batch(tmp_path):
    calls = []

    def explodes(logits, target):
        calls.append(1)
        return loss(logits, target) * (math.inf if sum(calls) == 8 else 1)

    data = loader()
    with pytest.raises(FloatingPointError) as error:
        fit(network(), data, None, explodes, epochs=2, amp=False, device="cpu", progress=False,
            out=tmp_path)
    data.sampler.set_epoch(1)
    batch = list(data.batch_sampler)[2]
    names = ", ".join(f"{index:04d}" for _, index in batch)
    assert f"inf at step 8 (epoch 2): the pictures are {names}. " in str(error.value)
    assert "lower lr" in str(error.value) and str(tmp_path) in str(error.value)
    assert checkpoint.newest_state(tmp_path)["step"] == 5


def test_a_loss_read_a_step_late_names_the_right_step(monkeypatch):
    """As on a GPU, where reading at once would leave it without work."""
    monkeypatch.setattr(train, "lag", lambda device: 1)
    calls = []

    def explodes(logits, target):
        calls.append(1)
        return loss(logits, target) * (math.nan if len(calls) == 3 else 1)

    with pytest.raises(FloatingPointError, match="nan at step 3"):
        fit(network(), loader(), None, explodes, steps=20, amp=False, device="cpu",
            progress=False)
    assert len(calls) == 4
    assert quick(steps=12).losses == quick(steps=12).losses and len(quick(steps=12).losses) == 12


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    class Root(nn.Module):
        """Its gradient is infinite at 0, though its loss is not."""

        def __init__(self):
            super().__init__()
            self.net, self.zero = network(), nn.Parameter(torch.zeros(()))

        def forward(self, x):
            return self.net(x) + self.zero.abs().sqrt()

    with pytest.raises(FloatingPointError):
        quick(Root(), steps=1, out=tmp_path)
    assert checkpoint.newest_state(tmp_path)["step"] == 0
    assert not (tmp_path / "best.safetensors").exists()


def test_pictures_are_named_through_subsets_and_by_number():
    assert train.picture_name(Subset(Squares(9), [4, 6]), (3, 1)) == "0006"
    assert train.picture_name(TensorDataset(torch.zeros(3)), 2) == "2"
    shuffled = DataLoader(TensorDataset(torch.zeros(4)), 2, shuffle=True)
    assert "nobody can repeat" in train.describe_pictures(shuffled, 0, range(1, 2))
    plain = DataLoader(TensorDataset(torch.zeros(4)), 2)
    assert train.describe_pictures(plain, 0, range(1, 2)) == "the pictures are 2, 3"


class Cramped(nn.Module):
    """Has memory for so many pictures at a time."""

    def __init__(self, room, error=torch.OutOfMemoryError, norm=False):
        super().__init__()
        self.net, self.room, self.error, self.sizes = network(norm=norm), room, error, []

    def forward(self, x):
        self.sizes.append(len(x))
        if self.training and len(x) > self.room:
            raise self.error("DefaultCPUAllocator: can't allocate memory: you tried to allocate")
        return self.net(x)


@pytest.mark.parametrize(("room", "fits"), [(7, 4), (4, 4), (3, 2), (1, 1)])
def test_out_of_memory_says_which_batch_fits(room, fits):
    for error_type in (torch.OutOfMemoryError, RuntimeError):
        with pytest.raises(torch.OutOfMemoryError) as error:
            quick(Cramped(room, error_type), loader(size=8), steps=3)
        text = str(error.value)
        assert f"a batch of 8 pictures of shape (3, 8, 8) does not fit in the memory of cpu, {fits}"
        assert f" {fits} do: use batch_size={fits} with accumulate={8 // fits}" in text
        assert "\n" not in text


def test_not_even_one_picture_fits():
    with pytest.raises(torch.OutOfMemoryError, match="not even one picture"):
        quick(Cramped(0), steps=1, on_oom="retry")


def test_other_errors_are_not_taken_for_memory():
    with pytest.raises(RuntimeError, match="channels"):
        quick(nn.Conv2d(4, 3, 1), steps=1)


def test_out_of_memory_is_retried_in_parts_if_asked(tmp_path):
    plain, model = network(norm=False), Cramped(3)
    expected = quick(plain, loader(size=8), steps=8)
    with pytest.warns(UserWarning, match="going on in parts of 2"):
        history = quick(model, loader(size=8), steps=8, on_oom="retry", out=tmp_path)
    assert np.allclose(history.losses, expected.losses, rtol=1e-5)
    for a, b in zip(model.net.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-5)
    assert checkpoint.newest_state(tmp_path)["plan"]["part"] == 2
    assert model.sizes.count(8) == 1                      # it is not tried again


def test_looking_for_a_size_that_fits_leaves_batch_norm_alone():
    model = Cramped(3, norm=True)
    with pytest.raises(torch.OutOfMemoryError):
        quick(model, loader(size=8), steps=1)
    assert model.net[1].num_batches_tracked == 0 and not model.net[1].running_mean.any()


def test_a_disk_that_fills_up_is_a_warning_until_the_end(tmp_path, monkeypatch):
    real, room = checkpoint.write_atomic, [6]

    def write(path, data):
        room[0] -= 1
        if room[0] < 0:
            raise CheckpointError(f"{path}: could not be written (No space left on device)")
        real(path, data)

    monkeypatch.setattr(checkpoint, "write_atomic", write)
    model, plain = network(), network()
    with pytest.warns(UserWarning, match="training goes on"), pytest.raises(CheckpointError):
        quick(model, epochs=4, out=tmp_path)
    room[0] = 10**6
    assert checkpoint.newest_state(tmp_path)["step"] in (5, 10)
    quick(plain, epochs=4)
    assert_equal(model, plain)                            # it had trained to the end
    other = network(2)
    quick(other, epochs=4, out=tmp_path)
    assert_equal(other, plain)


def test_a_folder_that_cannot_be_written_is_refused_before_the_first_step(tmp_path):
    (tmp_path / "file").write_text("")
    stopper = StopAt(1)
    with pytest.raises(CheckpointError, match="could not be written"):
        quick(loss=stopper, epochs=1, out=tmp_path / "file" / "run")
    assert stopper.count == 0


# -- how it shows itself


def test_one_line_a_row_where_nobody_watches(capsys):
    quick(epochs=2, progress=True)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["step 5/10", "step 10/10"]
    assert "mIoU" in lines[0]


def test_nothing_is_shown_if_not_wanted(capsys):
    quick(epochs=1, progress=False)
    assert capsys.readouterr() == ("", "")


def test_a_live_line_in_a_terminal():
    class Screen(io.StringIO):
        def isatty(self):
            return True

    with contextlib.redirect_stdout(Screen()) as screen, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TERM", "xterm")
        assert isinstance(progress.open_progress(1, 0, True), progress.Terminal)
        quick(epochs=2, progress=True)
    assert "10/10" in screen.getvalue() and "mIoU" in screen.getvalue()


NOTEBOOK = """
import sys; sys.path.insert(0, {tests!r})
import os, signal, threading, torch
from test_train import network, loader, loss
from segutils.train import fit
def slow(logits, target):
    import time; time.sleep(0.05); return loss(logits, target)
"""


def test_in_a_notebook_ctrl_c_leaves_the_kernel_alive_and_stdout_clean(tmp_path):
    client = pytest.importorskip("jupyter_client")
    manager, kernel = client.manager.start_new_kernel(env=os.environ | {"OMP_NUM_THREADS": "1"})
    shown = []

    def run(code):
        reply = kernel.execute_interactive(code, timeout=120, output_hook=shown.append)
        assert reply["content"]["status"] == "ok", reply["content"]

    def texts():
        return [m["content"]["text"] for m in shown if m["msg_type"] == "stream"]

    try:
        run(NOTEBOOK.format(tests=str(Path(__file__).parent)))
        run("h = fit(network(), loader(), loader(8), loss, epochs=2, amp=False, device='cpu')")
        assert texts() == []                              # a widget shows it
        assert any("widget-view" in str(m["content"]) for m in shown)
        run("kill = threading.Timer(1, lambda: os.kill(os.getpid(), signal.SIGINT)); kill.start();"
            f"h = fit(network(), loader(), loader(8), slow, steps=10**6, amp=False, device='cpu',"
            f" progress=False, out={str(tmp_path)!r})")
        run("print(h.stopped, len(h.losses))")
    finally:
        kernel.stop_channels()
        manager.shutdown_kernel(now=True)
    stopped, steps = texts()[-1].split()
    assert stopped == "interrupted"
    assert checkpoint.newest_state(tmp_path)["step"] == int(steps) > 0


def test_the_names_of_losses():
    assert train.name_of(losses.sum_of((1, losses.cross_entropy), (0.5, losses.dice_loss))) == (
        "cross_entropy + 0.5 dice_loss")
    assert train.name_of(partial(losses.focal_loss, gamma=1)) == "focal_loss(gamma=1)"
    assert train.name_of(nn.CrossEntropyLoss()) == "CrossEntropyLoss"


# -- the command line, alone and under torchrun


@pytest.fixture(scope="module")
def street(tmp_path_factory):
    """A small folder of street scenes, as `python -m segutils.street` writes them."""
    root = tmp_path_factory.mktemp("street")
    write_level(root / "plain", "plain", {"train": 12, "val": 5, "test": 1}, 64, 0, 90)
    return root


def options(street, out, *more):
    return ["--data", str(street), "--steps", "6", "--every", "4", "--batch-size", "4", "--width",
            "8", "--depth", "1", "--norm", "group", "--amp", "off", "--device", "cpu", "--out",
            str(out), *more]


def test_the_command_trains_and_goes_on(street, tmp_path, capsys):
    assert train_command.main(options(street, tmp_path)) == 0
    assert "History(2 rows, 6 steps" in capsys.readouterr().out
    model = UNet(width=8, depth=1, stem=2, norm="group")
    about = checkpoint.load_weights(model, tmp_path / "best.safetensors")
    assert json.loads(about["config"]) == model.config and about["model"] == "UNet"
    assert "iou_person" in (tmp_path / "history.csv").read_text()
    assert train_command.main(options(street, tmp_path)) == 0
    assert train_command.main(options(street, tmp_path, "--lr", "0.1")) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "lr was 0.002, is 0.1" in error


@pytest.mark.parametrize(("more", "text"), [
    (["--data", "nowhere"], "nowhere"),
    (["--processes", "2"], "torchrun --nproc_per_node=2"),
    (["--resume", "always"], "nothing to resume"),
])
def test_the_command_says_in_one_line_what_is_wrong(street, tmp_path, capsys, more, text):
    assert train_command.main(options(street, tmp_path, *more)) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and text in error


def torchrun(*arguments):
    """Two processes of the command."""
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone",
               "--nproc_per_node=2", "-m", "segutils", "train", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)


def test_two_processes_have_the_losses_of_one(street, tmp_path):
    """Dice of the batch and unequal void included: the loss is of all logits together."""
    assert train_command.main(options(street, tmp_path / "one")) == 0
    done = torchrun(*options(street, tmp_path / "two", "--processes", "2"))
    assert done.returncode == 0, done.stderr
    one, two = (checkpoint.newest_state(tmp_path / name) for name in ("one", "two"))
    assert np.allclose(one["losses"], two["losses"], rtol=1e-6, atol=1e-6)
    for a, b in zip(one["rows"], two["rows"], strict=True):
        assert math.isclose(a["val_loss"], b["val_loss"], rel_tol=1e-4)
        assert math.isclose(a["miou"], b["miou"], rel_tol=1e-2)
    for name, tensor in one["model"].items():
        assert torch.allclose(two["model"][name], tensor, atol=2e-5), name
    assert done.stdout.count("step 6/6") == done.stdout.count("History(") == 1


def test_a_launcher_that_started_one_of_two_is_refused(monkeypatch):
    """What `accelerate launch --cpu --num_processes 2` leaves in the environment."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    quick(steps=1)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    with pytest.raises(ValueError, match="the launcher started 1; start them with: torchrun"):
        quick(steps=1)


@pytest.mark.slow
def test_accelerate_launch_on_a_cpu_is_refused(street, tmp_path):
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2",
               "-m", "segutils", "train", *options(street, tmp_path)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode != 0 and "the launcher started 1" in done.stderr


def test_batches_are_shared_out_whole():
    batches = BatchSampler(range(11), 4, drop_last=False)
    parts = [list(processes.Slices(batches, rank, 2)) for rank in (0, 1)]
    assert parts == [[[0, 1], [4, 5], [8]], [[2, 3], [6, 7], [9]]]
    batches = BatchSampler(range(9), 4, drop_last=False)   # one picture cannot be shared
    for sampler in (processes.Slices(batches, 0, 2), processes.Slices(batches, 1, 2)):
        assert len(sampler) == len(list(sampler)) == 2
    turns = [processes.Turns(batches, rank, 2) for rank in (0, 1)]
    assert [list(part) for part in turns] == [[[0, 1, 2, 3], [8]], [[4, 5, 6, 7]]]
    assert [len(part) for part in turns] == [2, 1]
    with pytest.raises(ValueError, match="a batch of 4 cannot be shared out evenly to 3"):
        processes.Slices(batches, 0, 3)
