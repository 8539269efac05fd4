"""Every way to spoil a run that lesson 05 shows: the break does damage, the cure does none.

Each test makes the mistake, asserts that it costs something (or this would be a test of nothing),
and then asserts what segutils makes of it. Crashes, resuming and damaged files have files of their
own: test_resume.py and test_checkpoint.py.
"""

import copy
import io
from functools import partial

import numpy as np
import pytest
import torch

from segutils import checkpoint, train
from segutils.augment import denormalise, eval_transform, train_transform
from segutils.datasets import Street, loader
from segutils.losses import ce_dice, cross_entropy
from segutils.metrics import ConfusionMatrix
from segutils.unet import UNet


def network(seed=0):
    torch.manual_seed(seed)
    return UNet(width=8, depth=2, stem=2)


def pictures(count=8, transform=None, kind=Street, split="train"):
    street = kind(split, "plain", transform=transform or train_transform(size=48))
    street.stems = street.stems[:count]
    return street


fit = partial(train.fit, loss=ce_dice, amp=False, device="cpu", progress=False)


@pytest.fixture(scope="module")
def batch():
    return next(iter(loader(pictures(), 8)))


def follow(batch, clear, steps=30):
    """Losses of plain gradient descent on one batch."""
    net, values = network(), []
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    for _ in range(steps):
        value = ce_dice(net(batch[0]), batch[1])
        if clear:
            optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(value.item())
    return values


def test_gradients_that_are_never_cleared_overshoot(batch):
    right, wrong = follow(batch, True), follow(batch, False)
    assert wrong[-1] > right[-1] + 0.1
    net = network()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    ours = [train.train_one_epoch(net, [batch], ce_dice, optimizer) for _ in range(30)]
    assert np.allclose(ours, right, rtol=1e-4)


def test_a_loss_kept_as_a_tensor_keeps_the_step_that_made_it(batch):
    value = ce_dice(network()(batch[0]), batch[1])
    assert value.grad_fn is not None
    history = fit(network(), loader(pictures(), 4), None, steps=2)
    assert all(type(loss) is float for loss in history.losses)


def test_a_training_transform_in_validation_moves_the_score_and_ours_holds_it_still():
    torch.manual_seed(0)
    net = torch.nn.Conv2d(3, 3, 1)                            # goes by colour alone
    moving = loader(pictures(6, split="val"), 3)
    with torch.no_grad():
        by_hand = [ConfusionMatrix(3) for _ in range(2)]
        for matrix in by_hand:
            for image, target in moving:
                matrix.update(net(image).argmax(1), target)
    assert not torch.equal(by_hand[0].matrix, by_hand[1].matrix), "two looks, two scores"
    unused = loader(pictures(6, split="val"), 3)              # `moving` is two epochs on
    ours = [train.evaluate(net, batches, 3).matrix for batches in (moving, moving, unused)]
    assert torch.equal(ours[0], ours[1]) and torch.equal(ours[0], ours[2]), "always epoch 0"


def test_the_best_weights_by_alias_are_the_last_ones(batch, tmp_path):
    net = network()
    alias, copied = net.state_dict(), copy.deepcopy(net.state_dict())
    ce_dice(net(batch[0]), batch[1]).backward()
    torch.optim.SGD(net.parameters(), lr=1.0).step()
    assert torch.equal(alias["head.bias"], net.head.bias), "it moved along"
    assert not torch.equal(copied["head.bias"], net.head.bias)
    checkpoint.save_weights(tmp_path / "best.safetensors", net)
    best = net.head.bias.detach().clone()
    torch.optim.SGD(net.parameters(), lr=1.0).step()
    kept, _ = checkpoint.read_weights(tmp_path / "best.safetensors")
    assert torch.equal(kept["head.bias"], best) and not torch.equal(net.head.bias, best)


def test_a_schedule_stepped_each_epoch_never_gets_there():
    weights = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.AdamW([weights], lr=3e-3)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=40)
    rates = []
    for step in range(40):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step % 10 == 9:
            cycle.step()
    assert max(rates) < 3e-3 / 4
    history = fit(network(), loader(pictures(), 4), None, steps=40, lr=3e-3, every=1)
    rates = history.column("lr")
    assert np.argmax(rates) in range(9, 12) and max(rates) == pytest.approx(3e-3, rel=0.01)
    assert rates[-1] < 1e-4


class Shifted(Street):
    def arrays(self, epoch, index):
        return (super().arrays(epoch, index)[0],
                super().arrays(epoch, (index + 1) % len(self))[1])


def test_masks_of_other_pictures_cannot_be_learned():
    """Sixteen pictures are learned by heart in a moment, but not with each other's masks."""
    lowest = {}
    for kind in (Street, Shifted):
        few = loader(pictures(16, train_transform(size=48), kind), 8, shuffle=True)
        lowest[kind] = min(fit(network(), few, None, steps=80, lr=1e-2).losses)
    assert lowest[Shifted] > 1.2 * lowest[Street]


def raw(**pair):
    out = eval_transform()(**pair)
    image = torch.from_numpy(denormalise(out["image"])).movedim(2, 0).float()
    return out | {"image": image}


def test_validation_in_another_scale_spoils_the_score_alone():
    net = network()
    fit(net, loader(pictures(16, eval_transform()), 8, shuffle=True), None, steps=60, lr=1e-2)
    right, wrong = (train.evaluate(net, loader(pictures(16, how), 8), 3).miou()
                    for how in (eval_transform(), raw))
    assert wrong < right - 0.2, "the same network, the same pictures"


def test_channels_last_is_the_same_and_bf16_nearly():
    image = next(iter(loader(pictures(4, eval_transform()), 4)))[0]
    net = network().eval()
    with torch.no_grad():
        plain = net(image)
        last = net.to(memory_format=torch.channels_last)(
            image.to(memory_format=torch.channels_last))
        with train.autocast(torch.device("cpu"), torch.bfloat16):
            half = net(image).float()
    assert torch.allclose(plain, last, atol=1e-5)
    assert not torch.equal(plain, half) and (plain - half).abs().max() < 0.1 * plain.abs().max()


def test_one_flipped_bit_passes_torch_and_not_the_package(tmp_path):
    net, buffer = network(), io.BytesIO()
    torch.save(net.state_dict(), buffer)
    data = bytearray(buffer.getvalue())
    data[data.find(net.head.bias[0].detach().numpy().tobytes()) + 3] ^= 0b0100_0000
    loaded = torch.load(io.BytesIO(bytes(data)), weights_only=True)       # without a word
    assert not torch.equal(loaded["head.bias"], net.head.bias)
    path = tmp_path / "net.safetensors"
    checkpoint.save_weights(path, net)
    data = bytearray(path.read_bytes())
    data[-5] ^= 0b0100_0000
    path.write_bytes(data)
    with pytest.raises(checkpoint.CheckpointError, match="net.safetensors: damaged"):
        checkpoint.load_weights(network(), path)


def test_weights_alone_are_another_run(tmp_path):
    """Adam's moments and the schedule's place are lost; `fit` keeps them."""
    few = partial(loader, pictures(16), 4, shuffle=True)
    whole = network()
    fit(whole, few(), None, steps=12, lr=1e-2)
    stopped, go = network(), partial(fit, val=None, steps=12, lr=1e-2, every=4, out=tmp_path)

    def press(history, net):
        if history.rows[-1]["step"] == 8:
            raise KeyboardInterrupt

    assert go(stopped, few(), on_epoch=press).stopped == "interrupted"
    alone = copy.deepcopy(stopped)
    batches = few()
    batches.sampler.set_epoch(2)                              # four steps an epoch
    optimizer = torch.optim.AdamW(alone.parameters(), lr=1e-2)
    train.train_one_epoch(alone, batches, ce_dice, optimizer)
    assert not torch.equal(alone.head.weight, whole.head.weight)
    resumed = network(seed=7)
    go(resumed, few())
    assert all(map(torch.equal, resumed.state_dict().values(), whole.state_dict().values()))


def test_an_untrained_network_costs_the_log_of_its_classes(batch):
    assert abs(cross_entropy(network()(batch[0]), batch[1]).item() - np.log(3)) < 0.4
    sure = 20 * network()(batch[0])                           # before it has seen anything
    assert cross_entropy(sure, batch[1]).item() > np.log(3) + 0.4
