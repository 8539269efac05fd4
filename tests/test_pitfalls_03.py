"""Every way of breaking a U-Net that lesson 03 shows: shapes stay right, and a test sees it.

Each test makes the mistake, asserts that it costs something (or this would be a test of nothing),
and then asserts that the package's network is free of it.
"""

from math import e, log

import pytest
import torch
from lessons import definitions
from torch import nn
from torch.nn import functional as F

from segutils.unet import DoubleConv, UNet, Up, upsampler

LESSON = "03_unet_from_scratch"


class ZeroSkipUp(Up):
    def forward(self, x, skip):
        return super().forward(x, torch.zeros_like(skip))


class DetachedUp(Up):
    def forward(self, x, skip):
        return super().forward(x, skip.detach())


class NothingBelowUp(Up):
    def forward(self, x, skip):
        return super().forward(torch.zeros_like(x), skip)


class CroppedUp(Up):
    def forward(self, x, skip):
        x = self.up(x)
        return self.conv(torch.cat([skip[..., : x.shape[-2], : x.shape[-1]], x], dim=1))


@pytest.mark.parametrize("kind, said", [(ZeroSkipUp, "value: the skip"), (DetachedUp, "gradient"),
                                        (NothingBelowUp, "value: what is below"),
                                        (CroppedUp, "shape")])
def test_the_readers_check_refuses_a_broken_up(kind, said):
    torch.manual_seed(0)
    check_up = definitions(LESSON).check_up
    if kind is not CroppedUp:                              # a test of shapes sees nothing
        out = kind(16, 8)(torch.rand(2, 16, 8, 8), torch.rand(2, 8, 17, 16))
        assert out.shape == (2, 8, 17, 16)
    with pytest.raises(AssertionError, match=said):
        check_up(kind(16, 8), 16, 8)
    check_up(Up(16, 8), 16, 8)


@pytest.mark.parametrize("broken", range(3))
def test_the_readers_check_finds_the_silent_skip_of_a_network(broken):
    torch.manual_seed(0)
    x, net = torch.randn(1, 3, 32, 32), UNet(width=8, depth=3)
    net.ups[broken].__class__ = ZeroSkipUp
    assert net(x).shape == (1, 3, 32, 32)
    found = definitions(LESSON).check_skips(net, x)
    assert found == [k != broken for k in range(3)]


def test_without_relu_two_convolutions_are_one():
    torch.manual_seed(0)
    two = nn.Sequential(nn.Conv2d(1, 8, 3, bias=False), nn.Conv2d(8, 1, 3, bias=False))
    lonely = torch.zeros(1, 1, 9, 9)
    lonely[..., 4, 4] = 1
    x = torch.randn(1, 1, 20, 20)
    one = F.conv2d(x, two(lonely).flip(-1, -2))
    torch.testing.assert_close(two(x), one, atol=1e-5, rtol=0)
    block, y = DoubleConv(1, 8, norm="none"), x.flip(-1)
    assert (block(x + y) + block(0 * x) - block(x) - block(y)).abs().max() > 0.05


def learn_to_copy(net):
    """The share of pixels of black and white noise that a network learns to copy."""
    def noise():
        bits = torch.randint(0, 2, (4, 32, 32))
        return (2.0 * bits[:, None] - 1).expand(4, 3, 32, 32), bits

    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    for _ in range(40):
        x, bits = noise()
        loss = F.cross_entropy(net(x), bits)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    x, bits = noise()
    with torch.no_grad():
        return (net(x).argmax(1) == bits).float().mean().item()


class Flexible(nn.Module):
    """The same width at all levels and skips resized to fit: any order of them runs."""

    def __init__(self, newest_first):
        super().__init__()
        self.newest_first, self.first = newest_first, DoubleConv(3, 8)
        self.downs = nn.ModuleList(nn.Sequential(nn.MaxPool2d(2), DoubleConv(8, 8))
                                   for _ in range(3))
        self.ups = nn.ModuleList(Up(8, 8) for _ in range(3))
        self.head = nn.Conv2d(8, 3, 1)

    def forward(self, x):
        x, skips = self.first(x), []
        for down in self.downs:
            skips.append(x)
            x = down(x)
        for up, skip in zip(self.ups, skips[::-1] if self.newest_first else skips, strict=True):
            x = up(x, F.interpolate(skip, size=2 * x.shape[-1]))
        return self.head(x)


def test_skips_of_zeros_or_in_the_wrong_order_cannot_copy():
    torch.manual_seed(0)
    right, wrong = Flexible(newest_first=True), Flexible(newest_first=False)
    package, blind = UNet(width=8, depth=3), UNet(width=8, depth=3)
    for up in blind.ups:
        up.__class__ = ZeroSkipUp
    assert wrong(torch.zeros(1, 3, 32, 32)).shape == (1, 3, 32, 32)
    assert learn_to_copy(wrong) < 0.95 and learn_to_copy(blind) < 0.65
    assert learn_to_copy(right) > 0.98 and learn_to_copy(package) > 0.98


def test_the_oldest_skip_first_does_not_fit_levels_of_growing_width():
    net, skips = UNet(width=8, depth=2), []
    x = net.first(torch.randn(1, 3, 32, 32))
    for down in net.downs:
        skips.append(x)
        x = down(x)
    with pytest.raises(RuntimeError):
        net.ups[0](x, skips[0])
    assert net.ups[0](x, skips[1]).shape == skips[1].shape


def test_overlapping_stamps_make_a_checkerboard():
    flat = torch.ones(1, 4, 6, 6)
    wide = nn.ConvTranspose2d(4, 4, 3, stride=2)
    for layer in (wide, up := upsampler("transposed", 4, 4)):
        nn.init.ones_(layer.weight)
        nn.init.zeros_(layer.bias)
    assert wide(flat)[0, 0, 2:-2, 2:-2].unique().tolist() == [4, 8, 16]
    assert up(flat).unique().tolist() == [4]
    bilinear = upsampler("bilinear", 4, 4)(flat)
    assert torch.allclose(bilinear, bilinear[..., :1, :1])


@pytest.mark.parametrize("classes, floor", [(2, 0.31), (3, 0.55), (21, 2.12)])
def test_a_softmax_before_cross_entropy_has_a_floor(classes, floor):
    target = torch.arange(classes)
    perfect = 1000.0 * F.one_hot(target, classes).float()
    assert F.cross_entropy(perfect, target).item() < 1e-6
    twice = F.cross_entropy(perfect.softmax(1), target).item()
    assert twice == pytest.approx(log(1 + (classes - 1) / e), abs=1e-5)
    assert twice == pytest.approx(floor, abs=0.005)


def test_the_package_gives_logits_without_a_softmax():
    torch.manual_seed(0)
    logits = UNet(width=8, depth=1)(torch.randn(1, 3, 16, 16))
    assert logits.min() < 0 and (logits.sum(1) - 1).abs().max() > 0.1


@pytest.mark.parametrize("norm, moves", [("batch", True), ("group", False), ("none", False)])
def test_train_mode_lets_neighbours_and_looks_change_the_answer(norm, moves):
    torch.manual_seed(0)
    net = UNet(width=8, depth=1, norm=norm)
    x, white = torch.randn(1, 3, 16, 16), torch.full((1, 3, 16, 16), 2.0)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with torch.no_grad():
        alone, beside = net(x), net(torch.cat([x, white]))[:1]
    assert (not torch.allclose(alone, beside, atol=1e-4)) == moves
    assert any(not torch.equal(before[k], v) for k, v in net.state_dict().items()) == moves

    net.eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with torch.no_grad():
        alone, beside = net(x), net(torch.cat([x, white]))[:1]
    torch.testing.assert_close(alone, beside, atol=1e-5, rtol=1e-4)
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())


def test_odd_sizes_do_not_fit_without_padding():
    x, skip = torch.rand(1, 16, 16, 16), torch.rand(1, 8, 33, 33)
    block = Up(16, 8)
    with pytest.raises(RuntimeError, match="Sizes of tensors must match"):
        torch.cat([skip, block.up(x)], dim=1)
    assert block(x, skip).shape == skip.shape


def test_one_picture_is_learned_by_heart_even_without_skips():
    """Why overfitting does not prove the skips, and `check_skips` is needed."""
    torch.manual_seed(0)
    rows, columns = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    target = ((rows - 12) ** 2 + (columns - 18) ** 2 < 60).long()[None] + (columns > 27)
    x = torch.randn(1, 3, 32, 32) + F.one_hot(target, 3).permute(0, 3, 1, 2)
    for blind in (False, True):
        net = UNet(width=8, depth=2)
        for up in net.ups if blind else ():
            up.__class__ = ZeroSkipUp
        optimizer = torch.optim.Adam(net.parameters(), 0.01)
        for _ in range(80):
            loss = F.cross_entropy(net(x), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert (net(x).argmax(1) == target).float().mean() > 0.95
        assert all(definitions(LESSON).check_skips(net, x)) != blind
