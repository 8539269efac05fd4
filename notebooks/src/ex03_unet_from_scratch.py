# %% [markdown]
# # Exercises 03: a U-Net from scratch
#
# Six exercises on lesson 03. In each, a function or a value is missing where you read `...`. Put
# yours in place of the dots, run the cell, and `check` tells you at once what it found:
#
# - ✓ **solved**: right on all cases, the random ones too
# - ✗ **not yet**: what went wrong, in a line or two
# - ○ **not attempted yet**
#
# Nothing you write can hurt the notebook: a loop without an end is stopped after 20 seconds.
# Pictures and features come as torch tensors; what you return may be tensors, NumPy arrays or plain
# numbers. When you are stuck, run `hint("ex03.flops")`, and run it again for more: the last hint
# shows what is wanted, on an example.
#
# | exercise | level | points | minutes (an estimate) |
# |---|---|---|---|
# | 1 FLOPs of a level | warm-up | 2 | 8 |
# | 2 Up, for odd sizes too | core | 3 | 12 |
# | 3 Find the U-Nets whose skips are broken | stretch | 3 | 20 |
# | 4 A receptive field by hand | core | 3 | 12 |
# | 5 A receptive field by gradient | core | 3 | 15 |
# | 6 A sigmoid that meets a softmax | core | 2 | 10 |

# %%
import numpy as np  # noqa: F401  (both are there for you)
import torch
from torch.nn import functional as F

from segutils.exercises import check, hint  # noqa: F401  (hint is there for you)
from segutils.exercises.ex03 import networks

# %% [markdown]
# ## 1. FLOPs of a level
# *warm-up, 2 points, about 8 minutes (an estimate)*
#
# **Aim**: count the FLOPs of a block of convolutions by hand
#
# A level's block is two 3×3 convolutions, one after the other: the first from `in_channels` to
# `out_channels`, the second from `out_channels` to `out_channels`. Both keep the size and have no
# bias. How many FLOPs is that for one picture? A multiplication counts one, an addition counts one,
# and nine products take nine additions (the first goes to a sum of 0).


# %%
def flops(in_channels, out_channels, height, width):
    """FLOPs of two 3×3 convolutions at height × width.

    returns: a whole number
    """
    ### BEGIN SOLUTION
    weights = 9 * in_channels * out_channels + 9 * out_channels * out_channels
    return 2 * weights * height * width  # each weight: one product and one sum a pixel
    ### END SOLUTION


check("ex03.flops", flops)

# %% [markdown]
# ## 2. Up, for odd sizes too
# *core, 3 points, about 12 minutes (an estimate)*
#
# **Aim**: write a decoder step of a U-Net that joins its skip at odd sizes too
#
# Write the forward of `Up` as a function. Double `x` with `up`, lay the skip beside it along the
# channels, **skip first**, and let `conv` look at both. The skip can be a row, a column, or both
# larger than the doubled `x`: then repeat the last row and the last column of the doubled `x`.


# %%
def up_forward(up, conv, x, skip):
    """The way up, one level.

    up: layer, (B, C, h, w) -> (B, D, 2h, 2w)
    conv: layer, (B, 2D, H, W) -> (B, D, H, W)
    x: (B, C, h, w) float, from below
    skip: (B, D, H, W) float, H is 2h or 2h + 1, W is 2w or 2w + 1
    returns: (B, D, H, W) float
    """
    ### BEGIN SOLUTION
    x = up(x)  # (B, D, 2h, 2w)
    bottom, right = skip.shape[-2] - x.shape[-2], skip.shape[-1] - x.shape[-1]
    x = F.pad(x, (0, right, 0, bottom), mode="replicate")  # (B, D, H, W)
    return conv(torch.cat([skip, x], dim=1))
    ### END SOLUTION


check("ex03.up", up_forward)

# %% [markdown]
# ## 3. Find the U-Nets whose skips are broken
# *stretch, 3 points, about 20 minutes (an estimate)*
#
# **Aim**: prove with hooks and gradients whether a skip connection does its work
#
# Six U-Nets of depth 1, `A` to `F`. All give logits of the right shape. In some of them the skip
# does not do its work: no values pass through it, or no gradients come back through it. Which ones?
#
# A shape is no evidence, and a look at a stranger's code is weak evidence. Ask the networks
# themselves: each has `.first`, `.downs[0]`, `.ups[0]` and `.head`, as in lesson 03, and with its
# hooks you read or change what a part is handed (`register_forward_pre_hook`) or what it gives back
# (`register_forward_hook`). The skip is what `.ups[0]` is handed second. A hook stays until it is
# removed; `networks()` gives fresh networks.

# %%
nets = networks()  # {"A": …, …, "F": …}
x = torch.rand(1, 3, 16, 16)
for name, net in nets.items():
    print(name, tuple(net(x).shape))

# %%
broken = ...  # a set of letters, such as {"A", "F"}
### BEGIN SOLUTION
broken = set()
for name, net in nets.items():
    # With the bottom cut off, the skip is the only way from picture to logits.
    net.downs[0].register_forward_hook(lambda module, args, out: torch.zeros_like(out))
    net.zero_grad()
    net(x).sum().backward()
    grad = net.first.conv1.weight.grad
    learns = grad is not None and bool(grad.any())
    passes = not torch.allclose(net(x), net(x.flip(-1)))
    if not (learns and passes):
        broken.add(name)
### END SOLUTION

check("ex03.zero_skips", broken)

# %% [markdown]
# ## 4. A receptive field by hand
# *core, 3 points, about 12 minutes (an estimate)*
#
# **Aim**: compute the receptive field of a chain of layers from kernels and strides
#
# A chain of layers, each with a kernel and a stride: `[(3, 1), (2, 2), (3, 1)]` is a 3×3
# convolution, a 2×2 pooling, and a 3×3 convolution. How many pixels of a row of the picture does
# one output pixel see?


# %%
def receptive_field(layers):
    """Width of the receptive field of a chain of layers.

    layers: list of (kernel, stride), the one that reads the picture first
    returns: a whole number of pixels; 1 for no layer at all
    """
    ### BEGIN SOLUTION
    field, apart = 1, 1  # neighbours are `apart` pixels of the picture from one another
    for kernel, stride in layers:
        field += (kernel - 1) * apart
        apart *= stride
    return field
    ### END SOLUTION


check("ex03.receptive_field", receptive_field)

# %% [markdown]
# ## 5. A receptive field by gradient
# *core, 3 points, about 15 minutes (an estimate)*
#
# **Aim**: measure by gradients which pixels of the picture can change one logit
#
# Now ask the network. Which pixels of `x` have influence on the logit of class 0 at (row, column)?
# Give the smallest box that holds them all.


# %%
def gradient_box(net, x, row, column):
    """The box of pixels that can change one logit.

    net: (1, 3, H, W) -> logits (1, C, H, W)
    x: (1, 3, H, W) float
    row, column: which logit, of class 0
    returns: (top, left, bottom, right): the first row and the first column with influence, then
        the last row and the last column with influence
    """
    ### BEGIN SOLUTION
    x = x.clone().requires_grad_()
    net(x)[0, 0, row, column].backward()
    places = (x.grad[0] != 0).any(dim=0).nonzero()  # (N, 2): row and column of each
    top, left = places.amin(dim=0).tolist()
    bottom, right = places.amax(dim=0).tolist()
    return top, left, bottom, right
    ### END SOLUTION


check("ex03.gradient_box", gradient_box)

# %% [markdown]
# ## 6. A sigmoid that meets a softmax
# *core, 2 points, about 10 minutes (an estimate)*
#
# **Aim**: tell how low a loss can get when its logits are squeezed by a sigmoid
#
# Somebody's network ends with a sigmoid for each class: numbers between 0 and 1, each for itself.
# They are then handed to `F.cross_entropy`, which takes a softmax. Training "works", and the loss
# stops somewhere. Where? Say which loss this network cannot get below, however well it is trained.


# %%
def sigmoid_floor(classes):
    """The lowest cross-entropy (natural logarithm) when all logits are sigmoids.

    classes: number of classes, one of which is right
    returns: a number; a network can come as close to it as you like, but not below
    """
    ### BEGIN SOLUTION
    best = torch.zeros(1, classes)
    best[0, 0] = 1.0  # the right class at 1, all others at 0
    return F.cross_entropy(best, torch.tensor([0])).item()
    ### END SOLUTION


check("ex03.sigmoid_floor", sigmoid_floor)

# %% [markdown]
# ## Where next
# All six solved? Lesson 04 takes losses and metrics apart in the same way. If one of them resisted,
# lesson 03 builds the same parts step by step.
