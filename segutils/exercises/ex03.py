"""The exercises of lesson 03, a U-Net from scratch."""

from functools import cache
from math import log

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from segutils.exercises.declare import Case, Exercise, Mistake, itself, one_case
from segutils.exercises.judging import name_the_broken
from segutils.unet import DoubleConv, UNet, pad_to

# ---- zero_skips ------------------------------------------------------------------------------


class _Net(UNet):
    """A U-Net whose forward leaves open what is laid beside each `Up`."""

    def forward(self, x):
        x = self.first(x)
        skips = []
        for down in self.downs:
            skips.append(self.keep(x))
            x = down(x)
        for up in self.ups:
            x = self.rise(up, x, skips.pop())
        return self.head(x)

    def keep(self, x):
        return x

    def rise(self, up, x, skip):
        return up(x, skip)


class _NetB(_Net):
    def keep(self, x):
        return torch.empty_like(x).zero_()


class _NetC(_Net):
    def keep(self, x):
        return x.clone()

    def rise(self, up, x, skip):
        return up(x, torch.stack(skip.unbind(1), dim=1))


class _NetD(_Net):
    def rise(self, up, x, skip):
        return up(x, skip.detach())


class _NetE(_Net):
    def rise(self, up, x, skip):
        return up(x, torch.where(skip < 0, skip, 0.0))  # after a ReLU nothing is below 0


class _NetF(_Net):
    def rise(self, up, x, skip):
        return up(x, skip + 0 * pad_to(up.up(x), skip.shape[-2:]))


def networks() -> dict:
    """Six small U-Nets, "A" to "F", (B, 3, H, W) float -> logits (B, 3, H, W), H and W even.

    Each has `.first`, `.downs` (one), `.ups` (one) and `.head`, like lesson 03's. In some the skip
    does not carry what it should, values or gradients. All have the right shapes. Look at what
    they do before you look at how.
    """
    kinds = {"A": _Net, "B": _NetB, "C": _NetC, "D": _NetD, "E": _NetE, "F": _NetF}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return {name: kind(width=8, depth=1) for name, kind in kinds.items()}


@cache
def _broken() -> frozenset[str]:
    """The networks whose skip, cut open, passes no value or no gradient."""

    def intact(net):
        """With the way through the bottom cut off, does the first block still matter and learn?"""
        net.downs[0].register_forward_hook(lambda m, args, out: torch.zeros_like(out))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            a, b = torch.randn(2, 1, 3, 16, 16)
        net(a).square().sum().backward()
        grad = net.first.conv1.weight.grad
        learns = grad is not None and bool(grad.any())
        return learns and not torch.allclose(net(a), net(b), atol=1e-6)

    return frozenset(name for name, net in networks().items() if not intact(net))


_NAMED = {
    "letters": "The networks are called A, B, C, D, E and F.",
    "none": "At least one is broken: try values, then gradients.",
    "all": "Not all six are broken: some skips carry all they should.",
    "intact_ones": "These are the intact ones; name those that are broken.",
    "missed_B":
        "One is missing whose skip carries nothing at all. Replace the skip that its `Up` is "
        "handed by zeros: do the logits move?",
    "missed_D":
        "One is missing whose values are all right. Does a gradient come back through its skip? "
        "Cut the way through the bottom, and look at the gradient of the first block.",
    "missed_E":
        "One is missing whose skip looks as if it selected something. Which values does a skip "
        "have after a ReLU, and which of them are let through?",
    "accused_A": "An intact one is among yours: it does what the lesson does, step by step.",
    "accused_C":
        "An intact one is among yours: it copies the skip, takes its channels apart and puts them "
        "together again, and all values and gradients go through.",
    "accused_F":
        "An intact one is among yours: it adds a zero to its skip, and a zero more changes "
        "nothing.",
}


def _networks_named(calls):
    return name_the_broken(calls[0][1], "ABCDEF", _broken(), _NAMED)


ZERO_SKIPS = Exercise(
    name="ex03.zero_skips",
    title="Find the U-Nets whose skips are broken",
    aim="prove with hooks and gradients whether a skip connection does its work",
    level="stretch",
    points=3,
    minutes=20,
    cases=one_case,
    examine=_networks_named,
    call=itself,
    value=True,
    hints=(
        "Shapes will not tell. Cut the other way: a forward hook on `net.downs[0]` that returns "
        "zeros leaves the skip as the only way from picture to logits. Does another picture give "
        "other logits? Does `net.first` get a gradient?",
    ),
    target=lambda: (f"{len(_broken())} of the six are broken.", None),
)


# ---- up --------------------------------------------------------------------------------------


def _up_cases(rng):
    cases = []
    for h, w, bottom, right in [(3, 3, 0, 0), (3, 4, 1, 1), (2, 5, 1, 0), (4, 2, 0, 1)]:
        seed = int(rng.integers(2**31))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            up = nn.ConvTranspose2d(4, 2, 2, stride=2)
            conv = DoubleConv(4, 2, norm="none")
            x, skip = torch.randn(2, 4, h, w), torch.randn(2, 2, 2 * h + bottom, 2 * w + right)
        conv.conv1.bias.data += 1  # so that the ReLU leaves something to compare
        conv.conv2.bias.data += 1
        label = f"a skip of {2 * h + bottom} × {2 * w + right} above {h} × {w}"
        cases.append(Case(label, (up, conv, x, skip)))
    return cases


def _up_with(fit, join=lambda conv, x, skip: conv(torch.cat([skip, x], dim=1))):
    """The forward of an `Up` that makes sizes fit in its own way: fit(x, skip) -> (x, skip)."""

    def forward(up, conv, x, skip):
        with torch.no_grad():
            return join(conv, *fit(up(x), skip)).numpy()

    return forward


def _padded(x, skip):
    return pad_to(x, skip.shape[-2:]), skip


def _missing(x, skip):
    return 0, skip.shape[-1] - x.shape[-1], 0, skip.shape[-2] - x.shape[-2]


def _first_row(x, skip):
    _, right, _, bottom = _missing(x, skip)
    return F.pad(x, (right, 0, bottom, 0), mode="replicate"), skip


def _is_odd(args, got):
    up, conv, x, skip = args
    return skip.shape[-2:] != (2 * x.shape[-2], 2 * x.shape[-1])


def _is_odd_one_way(args, got):
    up, conv, x, skip = args
    return skip.shape[-2] % 2 != skip.shape[-1] % 2


UP = Exercise(
    name="ex03.up",
    title="Up, for odd sizes too",
    aim="write a decoder step of a U-Net that joins its skip at odd sizes too",
    level="core",
    points=3,
    minutes=12,
    cases=_up_cases,
    oracle=_up_with(_padded),
    mistakes=(
        Mistake(
            "pad_exchanged",
            "It works where a row and a column are missing, and stops where only one of them is: "
            "are the two exchanged? F.pad counts from the last axis: left, right, top, bottom.",
            raised="RuntimeError",
            says="Sizes of tensors",
            when=_is_odd_one_way,
        ),
        Mistake(
            "odd_sizes",
            "Even sizes work. On an odd one `cat` stops, because the doubled picture is a row or a "
            "column short of the skip. Make up what is missing before you join them.",
            raised="RuntimeError",
            says="Sizes of tensors",
            when=_is_odd,
        ),
        Mistake(
            "not_joined",
            "It stops on every size, on even ones too. Print both shapes before you hand them to "
            "`conv`: it wants 2D channels, those of the skip and those of the doubled picture, "
            "joined along the channels (dim=1).",
            raised="RuntimeError",
            says="channels",
        ),
        Mistake(
            "zero_padding",
            "The missing row is filled with zeros, so the picture gets a dark edge that nobody "
            "drew. Repeat the last row and column.",
            like=_up_with(lambda x, s: (F.pad(x, _missing(x, s)), s)),
        ),
        Mistake(
            "mirrored",
            "The missing row is a copy of the last but one: so mode='reflect' makes it, and so "
            "does padding before doubling. Repeat the last row and column of the doubled picture.",
            like=_up_with(lambda x, s: (F.pad(x, _missing(x, s), mode="reflect"), s)),
        ),
        Mistake(
            "stretched",
            "The doubled picture is stretched to the skip's size: then every pixel moves a little, "
            "away from the skip that it belongs to. Leave them where they are, and repeat the last "
            "row and column.",
            like=_up_with(lambda x, s: (F.interpolate(x, s.shape[-2:], mode="bilinear"), s)),
        ),
        Mistake(
            "skip_cropped",
            "The skip is cropped to fit, so the result is smaller than the picture of its level. "
            "The skip's size is the right one.",
            like=_up_with(lambda x, s: (x, s[..., : x.shape[-2], : x.shape[-1]])),
        ),
        Mistake(
            "padded_before",
            "The first row or column comes twice (stretching to the nearest pixel does that as "
            "well), and the others are shifted by one. Pooling dropped the last: repeat that one.",
            like=_up_with(_first_row),
        ),
        Mistake(
            "skip_last",
            "The doubled picture comes first here and the skip second. Any order can be learned, "
            "but weights made for one order fit no other: the task asks for the skip first.",
            like=_up_with(_padded, lambda conv, x, s: conv(torch.cat([x, s], dim=1))),
        ),
        Mistake(
            "skip_of_zeros",
            "The skip's values never arrive: the result does not change with them. Which tensor do "
            "you join?",
            like=_up_with(lambda x, s: (pad_to(x, s.shape[-2:]), torch.zeros_like(s))),
        ),
        Mistake(
            "no_conv",
            "The two are joined, but the block has not looked at them yet: what about `conv`?",
            like=_up_with(_padded, lambda conv, x, s: torch.cat([s, x], dim=1)),
        ),
    ),
    hints=(
        'Compare the two sizes, and pad with F.pad(x, (0, right, 0, bottom), mode="replicate").',
    ),
    target=lambda: (
        "One channel: x doubled to 2 × 2 is [[1, 2], [3, 4]], and the skip is 3 × 3. "
        "Padded: [[1, 2, 2], [3, 4, 4], [3, 4, 4]].",
        None,
    ),
)


# ---- receptive_field -------------------------------------------------------------------------


def _field_cases(rng):
    named = {
        "one 3×3 convolution": [(3, 1)],
        "two 3×3 convolutions": [(3, 1), (3, 1)],
        "a convolution after a pooling": [(2, 2), (3, 1)],
        "two levels down": [(3, 1), (3, 1), (2, 2), (3, 1), (3, 1)],
        "a patch stem of 4": [(4, 4), (3, 1), (3, 1)],
        "a convolution with stride 2": [(3, 2), (3, 2), (3, 1)],
    }
    cases = [Case(label, (layers,)) for label, layers in named.items()]
    for _ in range(6):
        layers = [tuple(map(int, (rng.integers(1, 6), rng.integers(1, 4)))) for _ in range(5)]
        cases.append(Case("five random layers", (layers,)))
    return cases


def _field(layers):
    field, step = 1, 1
    for kernel, stride in layers:
        field += (kernel - 1) * step
        step *= stride
    return field


def _field_no_stride(layers):
    return 1 + sum(kernel - 1 for kernel, _ in layers)


def _field_own_stride(layers):
    return 1 + sum((kernel - 1) * stride for kernel, stride in layers)


def _field_stride_first(layers):
    field, step = 1, 1
    for kernel, stride in layers:
        step *= stride
        field += (kernel - 1) * step
    return field


def _field_kernels(layers):
    field, step = 1, 1
    for kernel, stride in layers:
        field += kernel * step
        step *= stride
    return field


def _field_from_zero(layers):
    return _field(layers) - 1


def _field_sum(layers):
    field, step = 1, 1
    for kernel, stride in layers:
        field += (kernel - 1) * step
        step += stride - 1
    return field


def _field_product(layers):
    field = 1
    for kernel, _ in layers:
        field *= kernel
    return field


def _field_backwards(layers):
    return _field(list(reversed(layers)))


RECEPTIVE_FIELD = Exercise(
    name="ex03.receptive_field",
    title="A receptive field by hand",
    aim="compute the receptive field of a chain of layers from kernels and strides",
    level="core",
    points=3,
    minutes=12,
    cases=_field_cases,
    oracle=_field,
    mistakes=(
        Mistake(
            "strides_ignored",
            "Strides are left out. After a stride of 2, neighbours are two pixels of the picture "
            "apart, and each later kernel reaches twice as far.",
            like=_field_no_stride,
        ),
        Mistake(
            "own_stride_only",
            "Each kernel is widened by its own stride. What counts is the product of the strides "
            "of all layers before it.",
            like=_field_own_stride,
        ),
        Mistake(
            "stride_too_early",
            "A layer's own stride is counted before its kernel. The kernel reads its input, which "
            "the stride has not thinned out yet: first add, then multiply.",
            like=_field_stride_first,
        ),
        Mistake(
            "kernel_not_minus_one",
            "A kernel of 3 adds two pixels, not three: it covers the pixel itself as well. What "
            "must a kernel of 1 add?",
            like=_field_kernels,
        ),
        Mistake(
            "one_short",
            "One pixel is missing: with no layer at all, a pixel sees itself.",
            like=_field_from_zero,
        ),
        Mistake(
            "strides_added",
            "Strides multiply: after two poolings neighbours are 4 pixels apart, after three 8.",
            like=_field_sum,
        ),
        Mistake(
            "kernels_multiplied",
            "Two 3×3 kernels see 5 pixels, not 9: the fields of neighbours overlap.",
            like=_field_product,
        ),
        Mistake(
            "wrong_way_round",
            "The layers are taken in reverse. A stride widens the kernels that come after it.",
            like=_field_backwards,
        ),
    ),
    hints=(
        "Keep two numbers: the field, and how far apart neighbours are by now, both 1 at first. "
        "For each layer, which of the two changes first?",
    ),
    target=lambda: ("[(3, 1), (2, 2), (3, 1)] gives 1 + 2·1 + 1·1 + 2·2 = 8.", None),
)


# ---- gradient_box ----------------------------------------------------------------------------


class _Linear(nn.Sequential):
    """Linear, so that each pixel in reach counts: outer ones lower a logit, inner raise it."""

    def __init__(self, channels, reach, seed):
        wide = [nn.Conv2d(3, channels, reach, padding=tuple(r // 2 for r in reach)),
                nn.AvgPool2d(2), nn.Conv2d(channels, channels, 3, padding=1),
                nn.Upsample(scale_factor=2), nn.Conv2d(channels, 2, 1)]
        super().__init__(*wide)
        rng = np.random.default_rng(seed)
        for p in self.parameters():
            p.data = torch.from_numpy(rng.uniform(0.1, 1, p.shape).astype("float32"))
        inner = self[0].weight.detach().clone()
        self[0].weight.data *= -1
        middle = [slice(1, -1) if r > 1 else slice(None) for r in reach]
        self[0].weight.data[:, :, *middle] = 5 * inner[:, :, *middle]


def _box_cases(rng):
    cases = []
    for reach, size in [((3, 3), (24, 24)), ((1, 5), (24, 20)), ((5, 3), (20, 28))] * 2:
        net = _Linear(4, reach, int(rng.integers(1000)))
        row, column = int(rng.integers(8, size[0] - 8)), int(rng.integers(8, size[1] - 8))
        x = torch.from_numpy(rng.uniform(0.5, 1, (1, 3, *size)).astype("float32"))
        label = f"kernel {reach[0]} × {reach[1]}, logit ({row}, {column})"
        cases.append(Case(label, (net, x, row, column)))
    return cases


def _gradient(net, x, pick):
    x = x.clone().requires_grad_()
    pick(net(x)).backward()
    return x.grad[0]


def _ends(hit):
    rows, columns = np.nonzero(np.asarray(hit))
    return int(rows.min()), int(columns.min()), int(rows.max()), int(columns.max())


def _box(net, x, row, column):
    grad = _gradient(net, x, lambda out: out[0, 0, row, column])
    return _ends(grad.abs().sum(dim=0) > 0)


def _box_all(net, x, row, column):
    return _ends(_gradient(net, x, lambda out: out[0, 0].sum()).abs().sum(dim=0) > 0)


def _box_swapped(net, x, row, column):
    top, left, bottom, right = _box(net, x, row, column)
    return left, top, right, bottom


def _box_pixel_swapped(net, x, row, column):
    return _box(net, x, column, row)


def _box_by_axis(net, x, row, column):
    top, left, bottom, right = _box(net, x, row, column)
    return top, bottom, left, right


def _box_exclusive(net, x, row, column):
    top, left, bottom, right = _box(net, x, row, column)
    return top, left, bottom + 1, right + 1


def _box_size(net, x, row, column):
    top, left, bottom, right = _box(net, x, row, column)
    return top, left, bottom - top + 1, right - left + 1


def _box_positive(net, x, row, column):
    return _ends((_gradient(net, x, lambda out: out[0, 0, row, column]) > 0).any(dim=0))


def _box_half(net, x, row, column):
    grad = _gradient(net, x, lambda out: out[0, 0, row, column]).abs().sum(dim=0)
    return _ends(grad > 0.5 * grad.max())


GRADIENT_BOX = Exercise(
    name="ex03.gradient_box",
    title="A receptive field by gradient",
    aim="measure by gradients which pixels of the picture can change one logit",
    level="core",
    points=3,
    minutes=15,
    cases=_box_cases,
    oracle=_box,
    mistakes=(
        Mistake(
            "all_logits",
            "Your box is that of all logits together: nearly the whole picture. Take the gradient "
            "of the one at (row, column).",
            like=_box_all,
        ),
        Mistake(
            "rows_and_columns",
            "Rows and columns of the box are exchanged: (top, left, bottom, right) is asked for, "
            "and the gradient's axes are channels, rows, columns.",
            like=_box_swapped,
        ),
        Mistake(
            "pixel_swapped",
            "This is the box of the logit at (column, row). Rows come first in a tensor.",
            like=_box_pixel_swapped,
        ),
        Mistake(
            "order",
            "Your box is right, in another order: (top, left, bottom, right) is asked for, the "
            "upper left corner first.",
            like=_box_by_axis,
        ),
        Mistake(
            "one_beyond",
            "bottom and right lie one too far: they are the last row and column inside of the box.",
            like=_box_exclusive,
        ),
        Mistake(
            "sizes",
            "The last two are height and width; the last row and the last column are asked for.",
            like=_box_size,
        ),
        Mistake(
            "sign",
            "Only pixels with a positive gradient are counted. A pixel that lowers the logit has "
            "influence too: ask where the gradient is not 0.",
            like=_box_positive,
        ),
        Mistake(
            "threshold",
            "Only the strongest pixels are in your box. The receptive field holds all that have "
            "any influence: everything that is not exactly 0.",
            like=_box_half,
        ),
        Mistake(
            "no_gradient",
            "There is no gradient to read. The picture is a leaf that does not ask for one: "
            "x = x.clone().requires_grad_() does, and after backward() it lies in x.grad.",
            raised="Exception",
            says="NoneType",
        ),
    ),
    hints=(
        "Make a copy of the picture that requires a gradient, call backward() on one logit, and "
        "ask where x.grad is not 0: torch.nonzero, or amin and amax of the places.",
    ),
    target=lambda: (
        "A single 3×3 convolution and the logit at (10, 12) give (9, 11, 11, 13).", None,
    ),
)


# ---- flops -----------------------------------------------------------------------------------


def _flops_cases(rng):
    cases = [
        Case("3 to 32 channels at 128 × 128", (3, 32, 128, 128)),
        Case("1 to 1 channel at 1 × 1", (1, 1, 1, 1)),
        Case("64 to 128 channels at 32 × 48", (64, 128, 32, 48)),
    ]
    for _ in range(5):
        i, o, height, width = (int(n) for n in rng.integers(2, 70, 4))
        cases.append(Case(f"{i} to {o} channels at {height} × {width}", (i, o, height, width)))
    return cases


def _flops(i, o, height, width):
    return 2 * 9 * (i * o + o * o) * height * width


FLOPS = Exercise(
    name="ex03.flops",
    title="FLOPs of a level",
    aim="count the FLOPs of a block of convolutions by hand",
    level="warm-up",
    points=2,
    minutes=8,
    cases=_flops_cases,
    oracle=_flops,
    mistakes=(
        Mistake(
            "multiply_adds",
            "These are multiply-adds. Each is a multiplication and an addition, and counts twice "
            "as FLOPs.",
            like=lambda i, o, h, w: 9 * (i * o + o * o) * h * w,
        ),
        Mistake(
            "one_addition_less",
            "n products take n - 1 additions, if the first product needs none. Here, as nearly "
            "everywhere, it is added to a sum of 0 and counts: as many additions as products.",
            like=lambda i, o, h, w: (18 * i - 1 + 18 * o - 1) * o * h * w,
        ),
        Mistake(
            "first_only",
            "The second convolution is missing: it goes from out_channels to out_channels.",
            like=lambda i, o, h, w: 18 * i * o * h * w,
        ),
        Mistake(
            "first_twice",
            "The second convolution is counted like the first, but it gets out_channels in.",
            like=lambda i, o, h, w: 36 * i * o * h * w,
        ),
        Mistake(
            "parameters",
            "These are weights: the picture's size is missing. Each weight is used once for every "
            "pixel of the output.",
            like=lambda i, o, h, w: 9 * (i * o + o * o),
        ),
        Mistake(
            "parameters_doubled",
            "Weights, doubled: each of them is used once for every pixel of the output.",
            like=lambda i, o, h, w: 18 * (i * o + o * o),
        ),
        Mistake(
            "kernel_missing",
            "The kernel is missing: each output pixel reads 3 × 3 places of every input channel.",
            like=lambda i, o, h, w: 2 * (i * o + o * o) * h * w,
        ),
        Mistake(
            "kernel_side",
            "A 3×3 kernel has nine places, not three.",
            like=lambda i, o, h, w: 6 * (i * o + o * o) * h * w,
        ),
        Mistake(
            "halved",
            "A quarter of the pixels: the block works at the size that is given, pooling came "
            "before it.",
            like=lambda i, o, h, w: 18 * (i * o + o * o) * (h // 2) * (w // 2),
        ),
    ),
    hints=(
        "One output number of the first convolution: 9 products a channel that comes in, and as "
        "many additions. How many output numbers are there?",
    ),
    target=lambda: ("From 2 to 4 channels at 8 × 8: 27,648.", None),
)


# ---- sigmoid_floor ---------------------------------------------------------------------------


def _floor_cases(rng):
    counts = (2, 3, 5, 21, int(rng.integers(30, 99)))
    return [Case(f"{classes} classes", (classes,)) for classes in counts]


SIGMOID_FLOOR = Exercise(
    name="ex03.sigmoid_floor",
    title="A sigmoid that meets a softmax",
    aim="tell how low a loss can get when its logits are squeezed by a sigmoid",
    level="core",
    points=2,
    minutes=10,
    cases=_floor_cases,
    oracle=lambda classes: log(1 + (classes - 1) / np.e),
    mistakes=(
        Mistake(
            "no_floor",
            "With logits the loss could come down to 0. But these logits have been through a "
            "sigmoid: the largest it can give is 1, the smallest 0.",
            like=lambda classes: 0.0,
        ),
        Mistake(
            "guessing",
            "That is the loss of a network which knows nothing and gives all classes the same. How "
            "far apart can a sigmoid put the right class and the others?",
            like=lambda classes: log(classes),
        ),
        Mistake(
            "one_other",
            "Only one wrong class is counted. The softmax divides by the sum over all classes: "
            "there are classes - 1 wrong ones, each with exp(0).",
            like=lambda classes: log(1 + 1 / np.e),
        ),
        Mistake(
            "all_others",
            "One class too many: the right one is not among the others.",
            like=lambda classes: log(1 + classes / np.e),
        ),
        Mistake(
            "worst_case",
            "That is the highest loss: 0 for the right class and 1 for all others. The lowest is "
            "asked for.",
            like=lambda classes: log(1 + (classes - 1) * np.e),
        ),
        Mistake(
            "probability",
            "That is the probability of the right class. The loss is minus its logarithm.",
            like=lambda classes: np.e / (np.e + classes - 1),
        ),
        Mistake(
            "sign",
            "A loss is minus the logarithm: it cannot be below 0.",
            like=lambda classes: -log(1 + (classes - 1) / np.e),
        ),
        Mistake(
            "base_two",
            "That is the logarithm to the base 2. PyTorch takes the natural one.",
            like=lambda classes: np.log2(1 + (classes - 1) / np.e),
        ),
        Mistake(
            "others_at_half",
            "sigmoid(0) is 0.5, but the wrong classes can go lower: to sigmoid(-∞).",
            like=lambda classes: log(1 + (classes - 1) * np.exp(-0.5)),
        ),
    ),
    hints=(
        "The best that a network can do: 1 for the right class, 0 for each of the others. Put "
        "these numbers into the softmax by hand.",
    ),
    target=lambda: ("With 2 classes: 0.3133. With 21 classes over 2.1.", None),
)

EXERCISES = (ZERO_SKIPS, UP, RECEPTIVE_FIELD, GRADIENT_BOX, FLOPS, SIGMOID_FLOOR)
