"""Answers to the exercises of lesson 03, as people write them: stub, wrong ones, valid ones."""

import math

import numpy as np
import torch
from torch.nn import functional as F

# ---- up --------------------------------------------------------------------------------------


def up_stub(up, conv, x, skip):
    """Double, join, look."""
    ...  # noqa: PIE790


def up_even_only(up, conv, x, skip):
    return conv(torch.cat([skip, up(x)], dim=1))


def up_padding_exchanged(up, conv, x, skip):
    x = up(x)
    bottom, right = skip.size(2) - x.size(2), skip.size(3) - x.size(3)
    x = F.pad(x, (0, bottom, 0, right), mode="replicate")
    return conv(torch.cat([skip, x], dim=1))


def up_joined_along_batch(up, conv, x, skip):
    return conv(torch.cat([skip, _repeat(up(x), skip)]))


def up_without_skip(up, conv, x, skip):
    return conv(_repeat(up(x), skip))


def up_mirrored(up, conv, x, skip):
    x = up(x)
    bottom, right = skip.size(2) - x.size(2), skip.size(3) - x.size(3)
    return conv(torch.cat([skip, F.pad(x, (0, right, 0, bottom), mode="reflect")], dim=1))


def up_all_axes(up, conv, x, skip):
    """torch raises NotImplementedError: an attempt all the same."""
    x = up(x)
    bottom, right = skip.size(2) - x.size(2), skip.size(3) - x.size(3)
    return conv(torch.cat([skip, F.pad(x, (0, right, 0, bottom, 0, 0, 0, 0), "replicate")], 1))


def up_zeros(up, conv, x, skip):
    x = up(x)
    bottom, right = skip.size(2) - x.size(2), skip.size(3) - x.size(3)
    return conv(torch.cat([skip, F.pad(x, (0, right, 0, bottom))], dim=1))


def up_bilinear(up, conv, x, skip):
    x = F.interpolate(up(x), size=skip.shape[2:], mode="bilinear", align_corners=False)
    return conv(torch.cat([skip, x], dim=1))


def up_nearest(up, conv, x, skip):
    return conv(torch.cat([skip, F.interpolate(up(x), size=skip.shape[2:])], dim=1))


def up_cropped(up, conv, x, skip):
    x = up(x)
    return conv(torch.cat([skip[:, :, : x.size(2), : x.size(3)], x], dim=1))


def up_pad_top(up, conv, x, skip):
    x = up(x)
    if x.size(2) < skip.size(2):
        x = torch.cat([x[:, :, :1], x], dim=2)
    if x.size(3) < skip.size(3):
        x = torch.cat([x[:, :, :, :1], x], dim=3)
    return conv(torch.cat([skip, x], dim=1))


def up_skip_last(up, conv, x, skip):
    return conv(torch.cat([_repeat(up(x), skip), skip], dim=1))


def up_zero_skip(up, conv, x, skip):
    buffer = torch.zeros(*skip.shape)
    return conv(torch.cat([buffer, _repeat(up(x), skip)], dim=1))


def up_unconvolved(up, conv, x, skip):
    return torch.cat([skip, _repeat(up(x), skip)], dim=1)


def _repeat(x, skip):
    if x.size(2) < skip.size(2):
        x = torch.cat([x, x[:, :, -1:]], dim=2)
    if x.size(3) < skip.size(3):
        x = torch.cat([x, x[:, :, :, -1:]], dim=3)
    return x


def up_by_cat(up, conv, x, skip):
    return conv(torch.cat([skip, _repeat(up(x), skip)], dim=1))


def up_by_pad(up, conv, x, skip):
    x = up(x)
    missing = [0, skip.size(-1) - x.size(-1), 0, skip.size(-2) - x.size(-2)]
    return conv(torch.cat((skip, F.pad(x, missing, mode="replicate")), 1))


def up_by_index(up, conv, x, skip):
    x = up(x)
    rows = torch.arange(skip.shape[2]).clamp(max=x.shape[2] - 1)
    columns = torch.arange(skip.shape[3]).clamp(max=x.shape[3] - 1)
    return conv(torch.cat([skip, x[:, :, rows][:, :, :, columns]], dim=1)).detach().numpy()


# ---- receptive_field -------------------------------------------------------------------------


def field_stub(layers):
    raise NotImplementedError


def field_kernels_only(layers):
    field = 1
    for kernel, _ in layers:
        field = field + kernel - 1
    return field


def field_own(layers):
    return 1 + sum([(k - 1) * s for k, s in layers])


def field_early(layers):
    size, jump = 1, 1
    for k, s in layers:
        jump = jump * s
        size = size + (k - 1) * jump
    return size


def field_whole_kernels(layers):
    size, jump = 1, 1
    for k, s in layers:
        size, jump = size + k * jump, jump * s
    return size


def field_starts_at_zero(layers):
    size, jump = 0, 1
    for k, s in layers:
        size, jump = size + (k - 1) * jump, jump * s
    return size


def field_adds(layers):
    size, jump = 1, 1
    for k, s in layers:
        size, jump = size + (k - 1) * jump, jump + s - 1
    return size


def field_times(layers):
    return math.prod(k for k, _ in layers)


def field_reversed(layers):
    size, jump = 1, 1
    for k, s in layers[::-1]:
        size, jump = size + (k - 1) * jump, jump * s
    return size


def field_forwards(layers):
    size, jump = 1, 1
    for k, s in layers:
        size, jump = size + (k - 1) * jump, jump * s
    return size


def field_recursive(layers):
    """From the last layer to the first: one output reads `size` inputs, those read more."""
    if not layers:
        return 1
    inner = field_recursive(layers[1:])
    k, s = layers[0]
    return (inner - 1) * s + k


def field_by_products(layers):
    strides = np.cumprod([1] + [s for _, s in layers])
    return 1 + sum((k - 1) * strides[i] for i, (k, _) in enumerate(layers))


# ---- gradient_box ----------------------------------------------------------------------------


def box_stub(net, x, row, column):
    """The box."""
    x = ...
    return x


def _grad(net, x, row, column):
    x = x.clone().requires_grad_()
    net(x)[0, 0, row, column].backward()
    return x.grad[0]


def box_everything(net, x, row, column):
    x = x.clone().requires_grad_()
    net(x)[:, 0].sum().backward()
    places = x.grad[0].abs().sum(0).nonzero()
    return *places.amin(0).tolist(), *places.amax(0).tolist()


def box_x_first(net, x, row, column):
    top, left, bottom, right = box_valid(net, x, row, column)
    return left, top, right, bottom


def box_transposed_pixel(net, x, row, column):
    x = x.clone().requires_grad_()
    net(x)[0, 0, column, row].backward()
    places = x.grad[0].abs().sum(0).nonzero()
    return *places.amin(0).tolist(), *places.amax(0).tolist()


def box_slices(net, x, row, column):
    places = _grad(net, x, row, column).abs().sum(0).nonzero()
    return *places.amin(0).tolist(), *(places.amax(0) + 1).tolist()


def box_height_width(net, x, row, column):
    top, left, bottom, right = box_valid(net, x, row, column)
    return top, left, bottom - top + 1, right - left + 1


def box_raises_only(net, x, row, column):
    places = (_grad(net, x, row, column) > 0).nonzero()[:, 1:]
    return *places.amin(0).tolist(), *places.amax(0).tolist()


def box_strong(net, x, row, column):
    grad = _grad(net, x, row, column).abs().sum(0)
    places = (grad > grad.max() / 2).nonzero()
    return *places.amin(0).tolist(), *places.amax(0).tolist()


def box_by_axis(net, x, row, column):
    top, left, bottom, right = box_valid(net, x, row, column)
    return top, bottom, left, right


def box_no_leaf_index(net, x, row, column):
    net(x)[0, 0, row, column].backward()
    return x.grad[0].abs().sum(dim=0).nonzero()


def box_of_a_tuple(net, x, row, column):
    return _grad(net, x, row, column).numpy().nonzero().min()


def box_no_leaf(net, x, row, column):
    net(x)[0, 0, row, column].backward()
    return x.grad.abs().sum(dim=1)[0].nonzero()


def box_valid(net, x, row, column):
    places = _grad(net, x, row, column).abs().sum(0).nonzero()
    return *places.amin(0).tolist(), *places.amax(0).tolist()


def box_as_tensor(net, x, row, column):
    places = _grad(net, x, row, column).abs().sum(0).nonzero()
    return torch.cat([places.amin(0), places.amax(0)])


def box_all_classes(net, x, row, column):
    x.requires_grad_()
    (grad,) = torch.autograd.grad(net(x)[0, :, row, column].sum(), x)
    hit = (grad != 0).any(dim=1)[0]
    rows, columns = hit.any(dim=1).nonzero(), hit.any(dim=0).nonzero()
    return rows.min(), columns.min(), rows.max(), columns.max()


def box_by_poking(net, x, row, column):
    """Without a gradient: change each pixel, and see whether the logit moves."""
    with torch.no_grad():
        before, hit = net(x)[0, 0, row, column], []
        height, width = x.shape[-2:]
        for i in range(height):
            batch = x.repeat(width, 1, 1, 1)
            batch[range(width), :, i, range(width)] += 100
            after = net(batch)[:, 0, row, column]
            hit += [(i, j) for j in range(width) if abs(after[j] - before) > 1e-2]
    rows, columns = zip(*hit, strict=True)
    return min(rows), min(columns), max(rows), max(columns)


# ---- flops and the floor ---------------------------------------------------------------------


def flops_stub(in_channels, out_channels, height, width):
    """FLOPs of a block."""


def floor_stub(classes):
    """The lowest loss."""


def flops_by_layers(i, o, h, w):
    return sum(h * w * out * (9 * into + 9 * into) for into, out in ((i, o), (o, o)))


def flops_by_counter(i, o, h, w):
    from torch.utils.flop_counter import FlopCounterMode

    net = torch.nn.Sequential(
        torch.nn.Conv2d(i, o, 3, padding=1), torch.nn.Conv2d(o, o, 3, padding=1)
    )
    with FlopCounterMode(display=False) as counter:
        net(torch.zeros(1, i, h, w))
    return counter.get_total_flops()


def floor_by_torch(classes):
    perfect = torch.eye(classes)[:1]
    return F.cross_entropy(perfect, torch.tensor([0]))


def floor_by_softmax(classes):
    scores = np.exp([1.0] + [0.0] * (classes - 1))
    return -np.log(scores[0] / scores.sum())


STUBS = {
    "zero_skips": ...,
    "up": up_stub,
    "receptive_field": field_stub,
    "gradient_box": box_stub,
    "flops": flops_stub,
    "sigmoid_floor": floor_stub,
}

WRONG = {
    "zero_skips": [
        ({"B", "D"}, "missed_E"),
        ({"B", "E"}, "missed_D"),
        ({"D", "E"}, "missed_B"),
        ({"B", "D", "E", "A"}, "accused_A"),
        ({"B", "C", "D", "E"}, "accused_C"),
        ({"B", "D", "E", "F"}, "accused_F"),
        ({"A", "C", "F"}, "intact_ones"),
        ("ABCDEF", "all"),
        (set(), "none"),
        ({"B", "D", "G"}, "letters"),
        (3, "type"),
    ],
    "up": [
        (up_even_only, "odd_sizes"),
        (up_padding_exchanged, "pad_exchanged"),
        (up_joined_along_batch, "not_joined"),
        (up_without_skip, "not_joined"),
        (up_mirrored, "mirrored"),
        (up_all_axes, "raises"),
        (up_zeros, "zero_padding"),
        (up_bilinear, "stretched"),
        (up_nearest, "padded_before"),
        (up_cropped, "skip_cropped"),
        (up_pad_top, "padded_before"),
        (up_skip_last, "skip_last"),
        (up_zero_skip, "skip_of_zeros"),
        (up_unconvolved, "no_conv"),
    ],
    "receptive_field": [
        (field_kernels_only, "strides_ignored"),
        (field_own, "own_stride_only"),
        (field_early, "stride_too_early"),
        (field_whole_kernels, "kernel_not_minus_one"),
        (field_starts_at_zero, "one_short"),
        (field_adds, "strides_added"),
        (field_times, "kernels_multiplied"),
        (field_reversed, "wrong_way_round"),
    ],
    "gradient_box": [
        (box_everything, "all_logits"),
        (box_x_first, "rows_and_columns"),
        (box_transposed_pixel, "pixel_swapped"),
        (box_slices, "one_beyond"),
        (box_height_width, "sizes"),
        (box_raises_only, "sign"),
        (box_strong, "threshold"),
        (box_no_leaf, "no_gradient"),
        (box_no_leaf_index, "no_gradient"),
        (box_of_a_tuple, "raises"),
        (box_by_axis, "order"),
    ],
    "flops": [
        (lambda i, o, h, w: h * w * 9 * i * o + h * w * 9 * o * o, "multiply_adds"),
        (lambda i, o, h, w: h * w * o * (18 * i - 1 + 18 * o - 1), "one_addition_less"),
        (lambda i, o, h, w: 2 * h * w * 9 * i * o, "first_only"),
        (lambda i, o, h, w: 2 * (2 * h * w * 9 * i * o), "first_twice"),
        (lambda i, o, h, w: 9 * i * o + 9 * o * o, "parameters"),
        (lambda i, o, h, w: 2 * 9 * (i * o + o * o), "parameters_doubled"),
        (lambda i, o, h, w: 2 * h * w * (i * o + o * o), "kernel_missing"),
        (lambda i, o, h, w: 2 * 3 * h * w * (i * o + o * o), "kernel_side"),
        (lambda i, o, h, w: 18 * (h // 2) * (w // 2) * (i * o + o * o), "halved"),
    ],
    "sigmoid_floor": [
        (lambda c: 0, "no_floor"),
        (lambda c: -math.log(1 / c), "guessing"),
        (lambda c: -math.log(math.e / (math.e + 1)), "one_other"),
        (lambda c: -math.log(math.e / (math.e + c)), "all_others"),
        (lambda c: -math.log(1 / (1 + (c - 1) * math.e)), "worst_case"),
        (lambda c: math.e / (math.e + c - 1), "probability"),
        (lambda c: math.log(math.e / (math.e + c - 1)), "sign"),
        (lambda c: -math.log2(math.e / (math.e + c - 1)), "base_two"),
        (lambda c: -math.log(math.e / (math.e + (c - 1) * math.exp(0.5))), "others_at_half"),
    ],
}

VALID = {
    "zero_skips": [{"B", "D", "E"}, "bde", ["E", "D", "B"]],
    "up": [up_by_cat, up_by_pad, up_by_index],
    "receptive_field": [field_forwards, field_recursive, field_by_products],
    "gradient_box": [box_valid, box_as_tensor, box_all_classes, box_by_poking],
    "flops": [flops_by_layers, flops_by_counter],
    "sigmoid_floor": [floor_by_torch, floor_by_softmax],
}
