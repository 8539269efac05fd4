"""The U-Net's shapes, values and gradients; oracles are hand-made tensors and NumPy."""

from itertools import pairwise, product

import numpy as np
import pytest
import torch
from torch import nn

from segutils import unet
from segutils.unet import DoubleConv, Down, UNet, Up


@pytest.mark.parametrize("norm, up", list(product(unet.NORMS, unet.UPS)))
@pytest.mark.parametrize("stem, depth", [(1, 0), (1, 2), (2, 2), (4, 1)])
@pytest.mark.parametrize("height, width", [(32, 32), (33, 47), (16, 61)])
def test_logits_have_the_size_of_the_picture(norm, up, stem, depth, height, width):
    model = UNet(3, 5, width=8, depth=depth, norm=norm, up=up, stem=stem).eval()
    logits = model(torch.randn(2, 3, height, width))
    assert logits.shape == (2, 5, height, width)
    assert logits.isfinite().all()


def test_every_parameter_gets_a_gradient():
    model = UNet(width=8, depth=3)
    model(torch.randn(2, 3, 32, 32)).square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_parameters_of_the_papers_size_by_hand():
    """Counted level by level with pencil and paper, for width 64, depth 4 and two classes."""
    def double(i, o):  # two 3x3 convolutions without bias, two batch norms of 2 numbers a channel
        return 9 * i * o + 9 * o * o + 4 * o
    w = [64, 128, 256, 512, 1024]
    expected = double(3, 64) + sum(double(a, b) for a, b in pairwise(w))
    expected += sum(4 * b * a + a + double(2 * a, a) for a, b in pairwise(w))
    expected += 64 * 2 + 2
    model = UNet(3, 2, width=64, depth=4)
    assert sum(p.numel() for p in model.parameters()) == expected == 31_037_698


def test_double_conv_against_a_numpy_loop():
    torch.manual_seed(0)
    block = DoubleConv(2, 3, norm="none")
    x = torch.randn(1, 2, 5, 6)

    def conv(x, weight, bias):
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
        out = np.zeros((weight.shape[0], *x.shape[1:]))
        for o, i, j in np.ndindex(out.shape):
            out[o, i, j] = (padded[:, i:i + 3, j:j + 3] * weight[o]).sum() + bias[o]
        return np.maximum(out, 0)

    expected = x[0].double().numpy()
    for layer in (block.conv1, block.conv2):
        expected = conv(expected, layer.weight.detach().double().numpy(),
                        layer.bias.detach().double().numpy())
    np.testing.assert_allclose(block(x)[0].detach().numpy(), expected, atol=1e-5)


def test_down_pools_the_largest_of_four():
    down = Down(1, 1, norm="none")
    down.conv = nn.Identity()
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert down(x).tolist() == [[[[5, 7], [13, 15]]]]


@pytest.mark.parametrize("up", unet.UPS)
def test_up_lays_the_skip_first_and_changes_with_it(up):
    """A skip that carries zeros would pass any test of shapes: change it, and the output moves."""
    block = Up(8, 4, norm="none", up=up)
    seen = []
    block.conv.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    x, skip = torch.randn(1, 8, 3, 3), torch.randn(1, 4, 7, 6, requires_grad=True)
    out = block(x, skip)
    assert torch.equal(seen[0][:, :4], skip)
    assert torch.equal(seen[0][:, 4:, :6, :], block.up(x))     # 2h rows, then one repeated
    assert torch.equal(seen[0][:, 4:, 6, :], block.up(x)[:, :, 5, :])
    out.sum().backward()
    assert skip.grad.abs().sum() > 0


def test_all_skips_of_the_whole_network_carry_their_level():
    """Zeroing what one skip carries changes the logits, for each level by itself."""
    torch.manual_seed(0)
    model = UNet(width=8, depth=3)  # batch statistics: untrained averages shrink signals
    x = torch.randn(1, 3, 32, 32)
    whole = model(x)
    for up in model.ups:
        hook = up.register_forward_pre_hook(lambda m, args: (args[0], torch.zeros_like(args[1])))
        assert (model(x) - whole).abs().max() > 1e-4
        hook.remove()
    assert torch.equal(model(x), whole)


def test_the_first_skip_is_the_first_level():
    """The last `Up` must be handed the first block's output: sizes alone could not tell."""
    model = UNet(width=8, depth=2).eval()
    kept = {}
    model.first.register_forward_hook(lambda m, args, out: kept.update(first=out))
    model.ups[-1].register_forward_pre_hook(lambda m, args: kept.update(skip=args[1]))
    model(torch.randn(1, 3, 16, 16))
    assert torch.equal(kept["first"], kept["skip"])


def test_a_patch_stem_puts_every_pixel_back_in_its_place():
    """With a head that copies, patch and un-patch are the identity: no pixel is shuffled."""
    model = UNet(1, 1, width=4, depth=0, norm="none", stem=2)
    with torch.no_grad():
        model.stem.weight.zero_()
        for k in range(4):
            model.stem.weight[k, 0, k // 2, k % 2] = 1
        model.stem.bias.zero_()
        model.head.weight.copy_(torch.eye(4).reshape(4, 4, 1, 1))
        model.head.bias.zero_()
    model.first = nn.Identity()
    x = torch.arange(36.0).reshape(1, 1, 6, 6)
    assert torch.equal(model(x), x)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 1, 32, 32), (1, 3, 8, 32)])
def test_a_wrong_picture_is_refused_in_one_line(shape):
    with pytest.raises(ValueError, match=r"the U-Net wants \(B, 3, H, W\)") as caught:
        UNet(width=8, depth=4)(torch.zeros(shape))
    assert str(shape) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("wrong", [{"norm": "layer"}, {"up": "nearest"}, {"width": 0},
                                   {"depth": -1}, {"stem": 0}])
def test_wrong_arguments_are_named(wrong):
    name, value = next(iter(wrong.items()))
    with pytest.raises(ValueError, match=f"{name}={value!r}"):
        UNet(**wrong)


def test_channels_last_gives_the_same_logits():
    torch.manual_seed(0)
    model = UNet(width=8, depth=2).eval()
    x = torch.randn(1, 3, 32, 32)
    expected = model(x)
    model.to(memory_format=torch.channels_last)
    out = model(x.to(memory_format=torch.channels_last))
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-4)
