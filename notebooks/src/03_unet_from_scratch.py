# %% [markdown]
# # 03 · A U-Net from scratch
#
# A segmentation network answers a question for every pixel: which class is this? To answer it the
# network has to see far, because a patch of grey may be coat or car or road. It also has to see
# sharply, because the answer changes from one pixel to the next. The U-Net does both: one path
# goes down to small pictures and sees far, one comes back up, and **skips** carry the sharp detail
# across.
#
# After this lesson you can
#
# - write each part of a U-Net and test it by shape, by value and by gradient
# - say which mistakes pass every test of shapes, and catch them
# - handle pictures of any size, odd ones too
# - work out receptive field, parameters and FLOPs by hand, and have the machine confirm them
# - overfit one picture, the first check of any new network
# - show what the skips do, and what they do not
#
# **Minutes**: about 1 to run on two CPU cores · GPU: not measured. **Builds on**: lesson 01, and
# some PyTorch: tensors, `nn.Module`, `backward`.

# %%
import copy

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from segutils import masks, show, unet
from segutils.augment import eval_transform
from segutils.datasets import Street
from segutils.metrics import ConfusionMatrix

show.use_style()
_ = torch.manual_seed(0)

# %% [markdown]
# ## 1 What goes in, what comes out
#
# In goes a batch of pictures, `(B, 3, H, W)` floats. Out come **logits**, `(B, classes, H, W)`: one
# number for each class at each pixel, where the greatest wins. Same height, same width.
#
# We work on one small piece of one street, so that all of this lesson runs in seconds.

# %%
image, mask = Street("train", "plain")[14]              # (128, 128, 3), (128, 128)
image, mask = image[64:, 32:96], mask[64:, 32:96]       # (64, 64, 3), (64, 64)
pair = eval_transform()(image=image, mask=mask)
x, target = pair["image"][None], pair["mask"][None]     # (1, 3, 64, 64) float, (1, 64, 64) int64
print(tuple(x.shape), x.dtype, "·", tuple(target.shape), target.dtype, target.unique().tolist())
show.grid([image, masks.PALETTE[mask]], ["x", "target"], side=2.6, legend=show.class_legend(),
          caption="Arms and legs are three pixels wide: detail matters.")
plt.show()

# %% [markdown]
# The network has the shape of a U. Each box is two convolutions; the numbers are channels.
# `width=8` is the number at the top, and `depth=2` says how often the path goes down:
#
# ```text
#  x (3, 64, 64)                                            logits (3, 64, 64)
#    │                                                         ▲ head
#  [ 8 ] ───────────────── skip (8, 64, 64) ──────────────▶ [ 8 ]      level 0
#    │ down                                                    ▲ up
#  [ 16 ] ──────────────── skip (16, 32, 32) ─────────────▶ [ 16 ]     level 1
#    │ down                                                    ▲ up
#    └──────────────────▶ [ 32 ] (32, 16, 16) ─────────────────┘       level 2
# ```
#
# Five parts, then: the block of two convolutions, down, up, skip and head. We build each, and test
# it at once.

# %% [markdown]
# ## 2 The block: two convolutions
#
# A 3×3 **convolution** replaces each pixel by a weighted sum of itself and its eight neighbours.
# `padding=1` lays a frame of zeros around, so that the size stays.
#
# **Before you run it**: with nine weights of 1, which number comes out in the upper left corner,
# and which at row 1, column 1 (counted from 0)?

# %%
tiny = torch.tensor([[1., 1, 0, 0],
                     [1., 1, 0, 0],
                     [0., 0, 2, 0],
                     [0., 0, 0, 0]])[None, None]          # (1, 1, 4, 4)
out = F.conv2d(tiny, torch.ones(1, 1, 3, 3), padding=1)   # (1, 1, 4, 4)
print(out[0, 0].int().numpy())
by_hand = sum(F.pad(tiny, (1, 1, 1, 1))[..., i:i + 4, j:j + 4] for i in range(3) for j in range(3))
assert torch.equal(out, by_hand), "nine shifted copies, added: that is all a convolution is"

# %% [markdown]
# 4 in the corner, where the frame adds only zeros, and 6 at row 1, column 1, from where the 2 is
# just in reach.
#
# Two such layers, one after the other, see 5×5. What if we forget the **ReLU** between them, the
# step that sets negative numbers to zero? Every shape stays right. Let us look for a single 5×5
# convolution that does the same as both layers. Its weights are what comes out when one lonely 1
# goes in, turned by 180°.
#
# **Before you run it**: two layers, 288 weights in all. How much of what they do can 25 weights do?

# %%
two = nn.Sequential(nn.Conv2d(1, 16, 3, bias=False), nn.Conv2d(16, 1, 3, bias=False))
lonely = F.pad(torch.ones(1, 1, 1, 1), (4, 4, 4, 4))      # (1, 1, 9, 9)
kernel = two(lonely).flip(-1, -2)                         # (1, 1, 5, 5)
gray = x.mean(dim=1, keepdim=True)                        # (1, 1, 64, 64)
apart = (two(gray) - F.conv2d(gray, kernel)).abs().max()
print(f"{sum(p.numel() for p in two.parameters())} weights, {kernel.numel()} weights, "
      f"and the outputs agree: {bool(apart < 1e-5)}")
assert apart < 1e-5, "without ReLU, two layers are one"

# %% [markdown]
# All of it. Without ReLU, any number of layers is one layer, and one layer can only weigh and add.
# The smallest thing that it cannot learn is "one or the other, not both" (XOR). We ask for it on a
# picture of four pixels and two channels, which holds the four cases, with 1×1 convolutions.
#
# **Before you run it**: how many of the four can a network without ReLU get right?

# %%
def learn_xor(between):
    torch.manual_seed(0)
    bits = torch.tensor([[0., 0, 1, 1], [0, 1, 0, 1]]).reshape(1, 2, 1, 4)   # (1, 2, 1, 4)
    want = torch.tensor([[[0, 1, 1, 0]]])                                    # (1, 1, 4)
    net = nn.Sequential(nn.Conv2d(2, 16, 1), between, nn.Conv2d(16, 2, 1))
    optimizer = torch.optim.Adam(net.parameters(), 0.05)
    for step in range(200):
        loss = F.cross_entropy(net(bits), want)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return (net(bits).argmax(1) == want).float().mean().item()


without, with_relu = learn_xor(nn.Identity()), learn_xor(nn.ReLU())
print(f"right with ReLU: {with_relu:.0%} · without: three of four at best: {without <= 0.75}")
assert with_relu == 1 and without <= 0.75, "put a ReLU between any two convolutions"

# %% [markdown]
# So the test for a forgotten ReLU is: *the block must not be linear*. A linear block gives the same
# sum whether you add before it or after it.
#
# The block also gets a **normalisation** after each convolution, which brings every channel to mean
# 0 and spread 1, so that twenty layers in a row neither explode nor fade. *Batch* norm takes mean
# and spread over the whole batch (section 12 shows the price), *group* norm over each picture by
# itself. Batch norm subtracts the mean of each channel, so a bias before it would be taken away
# again, and both norms add a bias of their own: we leave the convolution's out.

# %% tags=["defines"]
import torch
from torch import nn
from torch.nn import functional as F


def norm_layer(norm, channels):
    """The normalisation of that name; groups hold 8 channels, or all of them."""
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    if norm == "group":
        return nn.GroupNorm(channels // 8 if channels % 8 == 0 else 1, channels)
    if norm == "none":
        return nn.Identity()
    raise ValueError(f"norm={norm!r}: choose batch, group or none")


class DoubleConv(nn.Module):
    """Twice convolution, norm, ReLU: (B, in, H, W) -> (B, out, H, W)."""

    def __init__(self, in_channels, out_channels, norm="batch"):
        super().__init__()
        bias = norm == "none"
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=bias)
        self.norm1 = norm_layer(norm, out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=bias)
        self.norm2 = norm_layer(norm, out_channels)

    def forward(self, x):
        x = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(x)))

# %% [markdown]
# Three questions for a new part. **Shape**: is it what the drawing says? **Value**: on an input so
# small that you can do it by pencil, is the number right? **Gradient**: does every weight learn?
# (And the last lines test for the forgotten ReLU: `two` is linear, the block must not be.)
#
# By pencil: all weights 1, no bias, one lonely 1 in the middle of a 5×5. The first convolution
# makes a 3×3 square of ones. What does the second make of its corner, and of its middle?

# %%
block = DoubleConv(1, 1, norm="none")
with torch.no_grad():
    for p in block.parameters():
        p.fill_(1.0 if p.ndim == 4 else 0.0)
out = block(F.pad(torch.ones(1, 1, 1, 1), (2, 2, 2, 2)))         # (1, 1, 5, 5)
print(out[0, 0].detach().int().numpy())
assert out[0, 0, 2].tolist() == [3, 6, 9, 6, 3], "value: 1 2 3 2 1 times 1 2 3 2 1"

block = DoubleConv(3, 8)
assert block(x).shape == (1, 8, 64, 64), "shape: channels change, the size does not"
block(x).sum().backward()
assert all(p.grad is not None for p in block.parameters()), "gradient: each weight takes part"

a, b, plain = x, x.flip(-1), DoubleConv(3, 8, norm="none")
assert torch.allclose(two(gray + gray.flip(-1)), two(gray) + two(gray.flip(-1)), atol=1e-4)
assert not torch.allclose(plain(a + b) + plain(0 * x), plain(a) + plain(b), atol=1e-4), "linear"

# %% [markdown]
# The square's corner became 4 and its middle 9, and the test for linearity tells the block from
# `two`. On to the next part.
#
# ## 3 Down: halve, then look again
#
# **Max pooling** keeps the greatest of each 2×2 and drops three. After it, a 3×3 convolution covers
# 6×6 pixels of the picture: that is how the network sees far for little money.
#
# **Before you run it**: which four numbers of 0…15 are left? And which rows of a 5×5?

# %%
square = torch.arange(16.).reshape(1, 1, 4, 4)
odd = torch.arange(25.).reshape(1, 1, 5, 5)
for picture in (square, odd):
    small = F.max_pool2d(picture, 2)                          # (1, 1, 2, 2)
    print(picture.shape[-1], "→", small.shape[-1], small.flatten().int().tolist())
assert F.max_pool2d(square, 2).flatten().tolist() == [5, 7, 13, 15]
assert F.max_pool2d(odd, 2).max() < 20, "20…24, the last row of the 5×5, were never looked at"

# %% [markdown]
# An odd size loses its last row and column: 5 becomes 2. On the way back up 2 becomes 4, not 5.
# Keep that in mind for section 5.

# %% tags=["defines"]
class Down(nn.Module):
    """Halve, then a block: (B, in, H, W) -> (B, out, H // 2, W // 2)."""

    def __init__(self, in_channels, out_channels, norm="batch"):
        super().__init__()
        self.pool = nn.MaxPool2d(2)
        self.conv = DoubleConv(in_channels, out_channels, norm)

    def forward(self, x):
        return self.conv(self.pool(x))

# %% [markdown]
# Shape, value (with the block taken out, so that only the pooling is left), gradient. The gradient
# of a maximum goes to the winner alone.

# %%
down = Down(8, 16)
assert down(torch.rand(2, 8, 32, 33)).shape == (2, 16, 16, 16), "shape: half, rounded down"
down.conv = nn.Identity()
leaf = square.clone().requires_grad_()
assert down(leaf).flatten().tolist() == [5, 7, 13, 15], "value: the greatest of four"
down(leaf).sum().backward()
print(leaf.grad[0, 0].int().numpy())
assert leaf.grad.sum() == 4, "gradient: to the winner of each 2×2, and to nobody else"

# %% [markdown]
# ## 4 Up: from one pixel to four
#
# Three usual ways to double a picture:
#
# - **transposed convolution**: each pixel becomes a 2×2 stamp, learned weights times its value
# - **bilinear**: in between pixels, mix the neighbours; a 1×1 convolution sets the channels
# - **pixel shuffle**: make four channels, then lay them out as the four pixels of a 2×2
#
# By pencil: one pixel of value 10 and a stamp of `1 2 / 3 4`; then four channels `1 2 3 4` of one
# pixel, shuffled.

# %%
stamp = torch.tensor([[1., 2], [3, 4]]).reshape(1, 1, 2, 2)
print(F.conv_transpose2d(torch.full((1, 1, 1, 1), 10.), stamp, stride=2)[0, 0].tolist())
print(F.pixel_shuffle(torch.arange(1., 5).reshape(1, 4, 1, 1), 2)[0, 0].tolist())
row = torch.tensor([[[[0., 4]]]])                                             # (1, 1, 1, 2)
print(F.interpolate(row, scale_factor=2, mode="bilinear")[0, 0, 0].tolist())

# %% [markdown]
# The last line: the centres of the two inner pixels lie a quarter and three quarters of the way
# from 0 to 4, so they become 1 and 3; the outer two lie beyond the old centres and copy them. (It
# is lesson 01's rule of centres again.)

# %% tags=["defines"]
def upsampler(up, in_channels, out_channels):
    """Doubles height and width: (B, in, H, W) -> (B, out, 2H, 2W)."""
    if up == "transposed":
        return nn.ConvTranspose2d(in_channels, out_channels, 2, stride=2)
    if up == "bilinear":
        return nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
                             nn.Conv2d(in_channels, out_channels, 1))
    if up == "shuffle":
        return nn.Sequential(nn.Conv2d(in_channels, 4 * out_channels, 1), nn.PixelShuffle(2))
    raise ValueError(f"up={up!r}: choose transposed, bilinear or shuffle")

# %% [markdown]
# A transposed convolution may have other sizes. Kernel 3 with stride 2 is a popular one: its stamps
# are wider than their distance, so they overlap.
#
# **Before you run it**: all stamps are ones, and so is the picture. What will the sum look like
# where stamps overlap?

# %%
flat = torch.ones(1, 1, 3, 3)
print(F.conv_transpose2d(flat, torch.ones(1, 1, 3, 3), stride=2)[0, 0].int().numpy())
torch.manual_seed(1)
ways = {"transposed, 3 wide": lambda i, o: nn.ConvTranspose2d(i, o, 3, 2, 1, 1)}
ways |= {name: lambda i, o, name=name: upsampler(name, i, o) for name in unet.UPS}
pictures, ripple = [], {}
for name, way in ways.items():
    net = nn.Sequential(way(16, 16), way(16, 16), way(16, 1))
    with torch.no_grad():
        out = net(torch.ones(1, 16, 6, 6))[0, 0, 8:40, 8:40]       # (32, 32), without the borders
    ripple[name] = (out.std() / out.abs().mean()).item()
    pictures.append(out.numpy() if ripple[name] > 1e-4 else np.full((32, 32, 3), 128, np.uint8))
    assert (ripple[name] > 0.01) == (name != "bilinear")
show.grid(pictures, list(ways), caption="A constant went in. Only bilinear gives a constant back.")
plt.show()

# %% [markdown]
# The numbers are a **checkerboard**: some pixels are stamped once, some twice, some four times
# (Odena et al. 2016). Training can learn to even it out, and often does so badly. The pictures show
# what each way makes of a constant, doubled three times by layers that have learned nothing yet.
#
# With 2 wide and stride 2, stamps lie side by side, and no pixel is stamped twice: that cures the
# overlap. What is left of the pattern comes from random stamps, and training shapes stamps. We take
# `transposed` as the paper did, and leave the choice open.
#
# ## 5 The skip, and odd sizes
#
# On the way up, the picture from below knows *what*, and the skip from across knows *where*. `cat`
# lays them side by side as channels, and a block looks at both.
#
# Our drawing had sizes 64, 32, 16. What if a picture is 33 pixels wide? Down: 16. Up: 32. What
# will `cat` say to that?

# %%
skip = torch.rand(1, 8, 33, 33)
from_below = upsampler("transposed", 16, 8)(F.max_pool2d(torch.rand(1, 16, 33, 33), 2))
try:
    torch.cat([skip, from_below], dim=1)
except RuntimeError as error:
    print(str(error).split(".")[0], "·", tuple(skip.shape), tuple(from_below.shape))

# %% [markdown]
# An error, which is the good case. One row and one column are missing. We try three ways to make
# them up, on a row of 4 numbers that should become 5.

# %%
row = torch.tensor([10., 20, 30, 40]).reshape(1, 1, 1, 4)
print("zeros:    ", F.pad(row, (0, 1))[0, 0, 0].tolist())
print("stretch:  ", F.interpolate(row, size=(1, 5), mode="bilinear")[0, 0, 0].tolist())
print("replicate:", F.pad(row, (0, 1, 0, 0), mode="replicate")[0, 0, 0].tolist())

# %% [markdown]
# Zeros put a dark edge into the picture, which nobody drew. Stretching moves all that lies in
# between a little, away from the skip it is laid beside. Replicating repeats the last one, and
# leaves the others where they are. We replicate.

# %% tags=["defines"]
def pad_to(x, size):
    """Repeat the last row and column of (B, C, h, w) until it is (B, C, *size)."""
    bottom, right = size[0] - x.shape[-2], size[1] - x.shape[-1]
    return F.pad(x, (0, right, 0, bottom), mode="replicate") if bottom or right else x


class Up(nn.Module):
    """Double, lay the skip beside it, a block: (B, in, h, w), (B, out, H, W) -> (B, out, H, W)."""

    def __init__(self, in_channels, out_channels, norm="batch", up="transposed"):
        super().__init__()
        self.up = upsampler(up, in_channels, out_channels)
        self.conv = DoubleConv(2 * out_channels, out_channels, norm)

    def forward(self, x, skip):
        x = pad_to(self.up(x), skip.shape[-2:])              # (B, out, H, W)
        return self.conv(torch.cat([skip, x], dim=1))        # cat: (B, 2 out, H, W)

# %% [markdown]
# Now the part of the U-Net that most often breaks without a sound. Here are two versions of `Up`
# with a mistake each. The first has lost the skip's content, as happens when a buffer is made in
# advance and never filled. The second cuts the skip off from learning.

# %%
class ZeroSkipUp(Up):
    def forward(self, x, skip):
        return super().forward(x, torch.zeros_like(skip))


class DetachedUp(Up):
    def forward(self, x, skip):
        return super().forward(x, skip.detach())


for kind in (Up, ZeroSkipUp, DetachedUp):
    out = kind(16, 8)(torch.rand(2, 16, 8, 8), torch.rand(2, 8, 17, 16))
    print(f"{kind.__name__:11} {tuple(out.shape)}")
    assert out.shape == (2, 8, 17, 16)

# %% [markdown]
# All three pass the test of shapes. A test suite of shapes would ship a U-Net without skips.
#
# So ask for value and gradient as well: **another skip must give another output**, and **the skip
# must receive a gradient**.

# %% tags=["defines"]
def check_up(block, in_channels, out_channels):
    """Shape, value and gradient of an `Up`; AssertionError says which one is wrong."""
    x = torch.rand(2, in_channels, 8, 8)
    skip = torch.rand(2, out_channels, 17, 16, requires_grad=True)
    out = block(x, skip)
    assert out.shape == skip.shape, f"shape: {tuple(out.shape)} is not the skip's"
    assert not torch.allclose(out, block(x, skip.detach().flip(-1))), "value: the skip is not used"
    assert not torch.allclose(out, block(x.flip(-1), skip)), "value: what is below is not used"
    out.square().sum().backward()
    assert skip.grad is not None and skip.grad.abs().sum() > 0, "gradient: none reaches the skip"

# %%
for kind in (Up, ZeroSkipUp, DetachedUp):
    try:
        check_up(kind(16, 8), 16, 8)
        print(f"{kind.__name__:11} passes")
    except AssertionError as error:
        print(f"{kind.__name__:11} fails: {error}")

# %% [markdown]
# Each mistake fails in its own line. This little test is worth more than the block itself: take it
# to every network that you write.
#
# ## 6 The whole U
#
# One plain `forward`. The skips are put on a list going down, and taken *from its end* coming up,
# so that the newest comes first: a stack. Last comes the **head**, a 1×1 convolution that turns
# features into one logit a class. There is no softmax behind it; section 11 shows why.
#
# One option is new. A **patch stem** (`stem=2`) first turns each 2×2 patch into one pixel of many
# channels, so all levels work on a quarter of the pixels. The head then predicts a whole patch at
# once, and a pixel shuffle lays it out.

# %% tags=["defines"]
class UNet(nn.Module):
    """Pictures (B, in_channels, H, W) float -> logits (B, classes, H, W) float."""

    def __init__(self, in_channels=3, classes=3, width=32, depth=4, norm="batch",
                 up="transposed", stem=1):
        super().__init__()
        if min(in_channels, classes, width, stem) < 1 or depth < 0:
            raise ValueError(f"in_channels={in_channels}, classes={classes}, width={width} and "
                             f"stem={stem} must be 1 or more, depth={depth} 0 or more")
        self.patch, self.smallest = stem, stem * 2**depth
        c = [width * 2**level for level in range(depth + 1)]          # channels of each level
        self.stem = nn.Identity() if stem == 1 else nn.Conv2d(in_channels, width, stem, stem)
        self.first = DoubleConv(in_channels if stem == 1 else width, width, norm)
        self.downs = nn.ModuleList(Down(c[k], c[k + 1], norm) for k in range(depth))
        self.ups = nn.ModuleList(Up(c[k + 1], c[k], norm, up) for k in reversed(range(depth)))
        self.head = nn.Conv2d(width, classes * stem**2, 1)
        self.unpatch = nn.PixelShuffle(stem)                          # with 1 it changes nothing

    def forward(self, x):
        height, width = x.shape[-2:]
        if x.ndim != 4 or min(height, width) < self.smallest:
            raise ValueError(f"want (B, C, H, W) of {self.smallest} pixels or more, "
                             f"got {tuple(x.shape)}")
        whole = [-(-side // self.patch) * self.patch for side in (height, width)]   # rounded up
        x = self.first(self.stem(pad_to(x, whole)))    # (B, w, H, W)
        skips = []
        for down in self.downs:
            skips.append(x)
            x = down(x)                                # (B, 2w, H/2, W/2), (B, 4w, H/4, W/4), …
        for up in self.ups:
            x = up(x, skips.pop())                     # the newest skip first
        logits = self.unpatch(self.head(x))            # (B, classes, H, W)
        return logits[..., :height, :width]

# %% [markdown]
# Shapes first: all norms, all ways up, stems of 1, 2 and 4, and odd sizes as well.

# %%
tried = 0
for norm in unet.NORMS:
    for up in unet.UPS:
        for stem, size in [(1, (32, 32)), (1, (33, 47)), (2, (33, 47)), (4, (61, 35))]:
            net = UNet(3, 5, width=8, depth=2, norm=norm, up=up, stem=stem)
            assert net(torch.rand(2, 3, *size)).shape == (2, 5, *size), (norm, up, stem, size)
            tried += 1
print(tried, "networks, each with logits of the picture's size")

# %% [markdown]
# Then value and gradient, for the network as for its parts. To test a skip *inside* a network we
# use a **hook**, a function that PyTorch calls whenever a certain layer runs. We hook into each
# `Up`, replace the skip that it is handed by zeros, and ask whether the logits move.

# %% tags=["defines"]
def check_skips(net, x):
    """For each `Up` of a network, whether the logits change when its skip is silenced."""
    whole, moved = net(x), []
    for up in net.ups:
        hook = up.register_forward_pre_hook(lambda _, args: (args[0], torch.zeros_like(args[1])))
        moved.append(not torch.allclose(net(x), whole, atol=1e-5))
        hook.remove()
    return moved

# %%
net = UNet(width=8, depth=3)
print("skips that matter, deepest first:", check_skips(net, x))
assert all(check_skips(net, x)), "a skip that can be silenced carries nothing"
net(x).square().mean().backward()
idle = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
print("parameters without a gradient:", idle)
assert not idle, "a part that gets no gradient is not connected"

# %% [markdown]
# ### The skips in the wrong order
#
# Suppose somebody writes `for up, skip in zip(self.ups, skips)` and forgets to reverse the list.
# Usually it fails at once, because the channels do not fit. (The sizes are no obstacle: `pad_to`
# makes up any number of rows without a question.)

# %%
class Forgot(UNet):
    def forward(self, x):
        x, skips = self.first(x), []
        for down in self.downs:
            skips.append(x)
            x = down(x)
        for up, skip in zip(self.ups, skips, strict=True):      # the oldest first
            x = up(x, skip)
        return self.head(x)


try:
    Forgot(width=8, depth=3)(x)
except RuntimeError as error:
    print("RuntimeError: …", str(error)[str(error).index("expected"):])

# %% [markdown]
# Unless somebody made the network "flexible": the same width at all levels, and skips that are
# resized until they fit. Then any skip fits any place, and a wrong order runs without a word.

# %%
class Flexible(nn.Module):
    def __init__(self, order, width=12, depth=3):
        super().__init__()
        self.order, self.first = order, DoubleConv(3, width)
        self.downs = nn.ModuleList(Down(width, width) for _ in range(depth))
        self.ups = nn.ModuleList(Up(width, width) for _ in range(depth))
        self.head = nn.Conv2d(width, 3, 1)

    def forward(self, x):
        x, skips = self.first(x), []
        for down in self.downs:
            skips.append(x)
            x = down(x)
        skips = {"newest first": skips[::-1], "oldest first": skips,
                 "zeros": [0 * skip for skip in skips[::-1]]}[self.order]
        for up, skip in zip(self.ups, skips, strict=True):
            x = up(x, F.interpolate(skip, size=2 * x.shape[-1]))         # "make it fit"
        return self.head(x)


ORDERS = ("newest first", "oldest first", "zeros")
assert all(Flexible(order)(x).shape == (1, 3, 64, 64) for order in ORDERS), "shapes say nothing"

# %% [markdown]
# To see the damage, we set the plainest task that needs the finest detail: **copy**. The picture is
# black and white noise, new in every step, and the class of a pixel is its colour. Guessing gets
# half of them right.
#
# **Before you run it**: what will each of the three reach? Write down three numbers.

# %% tags=["nbval-ignore-output"]
def noise(n):
    bits = torch.randint(0, 2, (n, 64, 64))                              # (n, 64, 64) int64
    return (2.0 * bits[:, None] - 1).expand(n, 3, 64, 64), bits


def learn_to_copy(order, steps=40):
    torch.manual_seed(0)
    net = Flexible(order)
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    for step in range(steps):
        picture, bits = noise(4)
        loss = F.cross_entropy(net(picture), bits)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    picture, bits = noise(4)                                             # not seen before
    with torch.no_grad():
        return net(picture).argmax(1) == bits                            # (4, 64, 64) bool


right = {order: learn_to_copy(order) for order in ORDERS}
copied = {order: hits.float().mean().item() for order, hits in right.items()}
for order, share in copied.items():
    print(f"{order:13} {share:.0%} of the pixels copied")
show.grid([masks.PALETTE[255 * hits[0].int()] for hits in right.values()], list(right),
          caption="Light: copied right. Only newest first carries every pixel across.")
plt.show()

# %% [markdown]
# All of them, some in between, and half of them, which is guessing. The wrong order is the nastiest
# of the three: it learns, it has the right shape, it beats guessing, and it has lost the finest
# skip. The test for it: **the last `Up` must be handed the output of the first block**, and nothing
# else.

# %%
assert copied["newest first"] > 0.98 and copied["zeros"] < 0.6, "skips carry detail, zeros do not"
assert 0.6 < copied["oldest first"] < 0.95, "a wrong order loses the finest detail"

net, seen = UNet(width=8, depth=2), {}
net.first.register_forward_hook(lambda module, args, out: seen.update(first=out))
net.ups[-1].register_forward_pre_hook(lambda module, args: seen.update(skip=args[1]))
net(x)
print("the last skip is the first block's output:", seen["skip"] is seen["first"])
assert seen["skip"] is seen["first"], "take the newest skip first: skips.pop()"

# %% [markdown]
# ## 7 Yours and the package's
#
# From here on the course uses `segutils.unet.UNet`. Is it the network that you have just read? The
# strictest proof: load *your* weights into it. With `strict=True` each name and each shape has to
# match, none missing, none left over. Then both must say the same.

# %%
options = [dict(), dict(norm="group", up="bilinear"), dict(norm="none", up="shuffle"),
           dict(stem=2, depth=1), dict(width=5, classes=7, stem=4)]
for option in options:
    option = dict(width=8, depth=2) | option
    ours, package = UNet(**option), unet.UNet(**option)
    print(package.load_state_dict(ours.state_dict(), strict=True), option)
    for part in (x, x[..., :45, :]):
        assert torch.allclose(ours(part), package(part), atol=1e-6), "same weights, same logits"

# %% [markdown]
# ## 8 How far does it see?
#
# The **receptive field** of a logit is the set of pixels that can change it. By hand we go
# *backwards*: start with one pixel of the output, and ask at each layer which inputs it reads.
# Along one axis that is an interval, from `low` to `high`:
#
# | layer | reads |
# |---|---|
# | 3×3 convolution | `low - 1` to `high + 1` |
# | 2×2 pooling, stride 2 | `2 low` to `2 high + 1` |
# | transposed 2×2, stride 2 | `low // 2` to `high // 2` |
#
# The skips read less than the way through the bottom does, so the longest way decides.

# %% tags=["defines"]
def receptive_field(pixel, depth):
    """Rows (or columns) that can change the logit at `pixel`: a list of (layer, low, high)."""
    low, high, steps = pixel, pixel, []
    for level in range(depth):                     # backwards: from the logit down to the bottom
        low, high = low - 2, high + 2              # two 3×3 convolutions
        steps.append((f"level {level}, up", low, high))
        low, high = low // 2, high // 2            # transposed convolution
    low, high = low - 2, high + 2
    steps.append((f"level {depth}, bottom", low, high))
    for level in reversed(range(depth)):           # and from the bottom up to the picture
        low, high = 2 * low, 2 * high + 1          # pooling
        low, high = low - 2, high + 2
        steps.append((f"level {level}, down", low, high))
    return steps

# %% [markdown]
# Do the first rows with a pencil: a logit at pixel 32 of a network of depth 2. Two convolutions
# read 30 to 34, that is 15 to 17 one level below, and so on.

# %%
for layer, low, high in receptive_field(32, 2):
    print(f"{layer:15} {low:3} to {high:3}   {high - low + 1:3} wide")
for depth in range(5):
    _, low, high = receptive_field(32, depth)[-1]
    print(f"depth {depth}: {high - low + 1} pixels")

# %% [markdown]
# From 5 pixels at depth 0 to 188 at depth 4: each level more than doubles it.
#
# The machine can check that. The gradient of one logit with respect to the picture is zero where
# pixels have no influence. To miss none, we make all weights positive, and average where the
# network takes maxima (a maximum shuts off the three that lost).

# %%
def influence(net, x, row, column):
    """How much each pixel moves the logits of one: |d logit / d x|, (H, W)."""
    x = x.clone().requires_grad_()
    net(x)[0, :, row, column].sum().backward()
    return x.grad.abs().sum(dim=(0, 1))


net = UNet(width=4, depth=2, norm="none").double()
for p in net.parameters():
    p.data.abs_()
for down in net.downs:
    down.pool = nn.AvgPool2d(2)
reached = influence(net, torch.ones(1, 3, 64, 64).double(), 32, 32).nonzero()      # (N, 2)
_, low, high = receptive_field(32, 2)[-1]
print("by gradient:", reached.amin(0).tolist(), "to", reached.amax(0).tolist())
print("by hand:    ", [low, low], "to", [high, high])
assert reached.amin(0).tolist() == [low, low] and reached.amax(0).tolist() == [high, high]

# %% [markdown]
# Equal to the pixel. But *can see* is not *does look*. Here is the same gradient in a network with
# ordinary random weights, summed over twenty pictures of noise, with the box that we worked out.
#
# **Before you run it**: will the influence fill the box evenly?

# %%
torch.manual_seed(0)
net = UNet(width=8, depth=2).eval()
spread = sum(influence(net, torch.randn(1, 3, 64, 64), 32, 32) for _ in range(20))  # (64, 64)
inside = spread[low:high + 1, low:high + 1].sum() / spread.sum()
middle = spread[27:38, 27:38].sum() / spread.sum()                      # 11 × 11 of 44 × 44
fig, ax = plt.subplots(figsize=(4.2, 3.6))
ax.imshow(spread ** 0.25, cmap="gray")
ax.add_patch(plt.Rectangle((low - 0.5, low - 0.5), 44, 44, fill=False, ec=show.LINES[4], lw=2))
show.below(fig, "Influence (its fourth root); the box is by hand.")
plt.show()
assert inside > 0.999, "nothing outside of the box"
print("the middle 6 % of the box have more than 90 % of the influence:", bool(middle > 0.9))

# %% [markdown]
# The middle counts most, since most ways through the network lead there (Luo et al. 2016). The
# bright square is 9×9: the field of the top skip with its four convolutions. So choose a depth
# whose field is well *larger* than your objects.
#
# One surprise: batch norm in training mode, and group norm always, take their mean over the whole
# picture. Strictly, every pixel then reaches every logit. That is why we asked in `eval()`.
#
# ## 9 What does it cost?
#
# Parameters fill memory, and **FLOPs** (additions and multiplications) take time. A 3×3 convolution
# from `i` to `o` channels has `9·i·o` weights. Each of its `H·W` outputs a channel takes `9·i`
# products, and as many sums: `2·9·i·o·H·W` FLOPs. (MFLOPs are millions of them, GFLOPs thousands of
# millions.)
#
# Going down a level, channels double: four times the weights. The picture has a quarter of the
# pixels. **Before you run it**: on which level of the U does most of the work happen? On which do
# most of the weights live?

# %% tags=["defines"]
def conv_cost(i, o, height, width, kernel=3):
    """(weights, FLOPs) of a convolution of i to o channels with an output of height × width."""
    weights = kernel**2 * i * o
    return weights, 2 * weights * height * width


def level_cost(level, depth, width, size):
    """(weights, FLOPs) of the convolutions of one level; `size` is the side of the picture."""
    c, side = width * 2**level, size // 2**level
    before = 3 if level == 0 else c // 2                            # what comes from above
    convs = [conv_cost(before, c, side, side), conv_cost(c, c, side, side)]
    if level < depth:                                               # the way up: cat, and stamps
        convs += [conv_cost(2 * c, c, side, side), conv_cost(c, c, side, side)]
        stamps = 4 * (2 * c) * c                                    # each pixel below: 2×2 of c
        convs.append((stamps, 2 * stamps * (side // 2) ** 2))
    return tuple(map(sum, zip(*convs, strict=True)))

# %%
costs = [level_cost(level, 4, 32, 128) for level in range(5)]
weights, flops = map(sum, zip(*costs, strict=True))
print("level    size  channels      weights          MFLOPs")
for k, (w, f) in enumerate(costs):
    print(f"{k:5} {128 // 2**k:7} {32 * 2**k:9} {w:12,} {w / weights:4.0%} {f / 1e6:9.0f} "
          f"{f / flops:4.0%}")
print(f"all   {weights:29,} {f'{flops / 1e6:.0f}':>14}")

# %% [markdown]
# Work is spread over the levels, weights are not: most of them live at the bottom. (The top level's
# first convolution is cheap, since a picture has only 3 channels; the bottom has no way up.)
#
# Now let two machines count: **hooks** that ask each layer for its sizes while a picture runs
# through, and PyTorch's own counter. The head is extra: a 1×1 convolution of 32 to 3.

# %%
net, counted = UNet(width=32, depth=4).eval(), []


def count(layer, args, out):
    pixels = (out if isinstance(layer, nn.Conv2d) else args[0])[0, 0].numel()
    counted.append(2 * layer.weight.numel() * pixels)


for layer in net.modules():
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        layer.register_forward_hook(count)
with torch.no_grad(), FlopCounterMode(display=False) as counter:
    net(torch.zeros(1, 3, 128, 128))
head_weights, head_flops = conv_cost(32, 3, 128, 128, kernel=1)
print(f"hand  {flops + head_flops}\nhooks {sum(counted)}\ntorch {counter.get_total_flops()}")
assert flops + head_flops == sum(counted) == counter.get_total_flops(), "three ways, one number"
matrices = sum(p.numel() for p in net.parameters() if p.ndim == 4)
assert weights + head_weights == matrices, "and the weights are all there"

# %% [markdown]
# With such a counter you can ask what each option costs before you train anything.
#
# **Before you run it**: which saves more work, half the width or a patch stem of 2?

# %%
for option in [dict(), dict(width=16), dict(depth=3), dict(stem=2), dict(up="bilinear"),
               dict(up="shuffle"), dict(norm="group")]:
    net = unet.UNet(**dict(width=32, depth=4) | option).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net(torch.zeros(1, 3, 128, 128))
    name = ", ".join(f"{k}={v}" for k, v in option.items()) or "width=32, depth=4"
    print(f"{name:18} {sum(p.numel() for p in net.parameters()) / 1e6:5.2f} M parameters "
          f"{counter.get_total_flops() / 1e9:5.2f} GFLOPs")

# %% [markdown]
# About the same: both take work to a quarter. But the stem keeps the weights, and sees twice as
# far. One level less saves three quarters of the weights, but only a quarter of the work. Lesson 05
# trains with a stem.
#
# ## 10 The first sanity check: overfit one picture
#
# Before any real training, ask a new network to learn **one picture by heart**. It is the fastest
# test of everything at once: data, shapes, loss, gradients, optimiser. A network that cannot do
# even that has a bug, and no amount of data will cure it.
#
# The loss is cross-entropy, which lesson 04 builds; `ignore_index=255` leaves void out. `score` is
# the mean over the classes of IoU, lesson 01's measure.
#
# **Before you run it**: what do you expect to appear first: car, people, or their outlines?

# %%
def score(ids, target):
    matrix = ConfusionMatrix(3)
    matrix.update(ids, target)
    return float(matrix.miou())


def fit_one(net, steps=80, loss=F.cross_entropy):
    """Train on our one picture; ids (64, 64), mean IoU and loss before each step."""
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    frames, scores, losses = [], [], []
    for step in range(steps + 1):
        logits = net(x)                                           # (1, 3, 64, 64)
        value = loss(logits, target, ignore_index=255)
        frames.append(logits[0].argmax(0).numpy())                # (64, 64)
        scores.append(score(logits.argmax(1), target))
        losses.append(value.item())
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    return frames, scores, losses


torch.manual_seed(0)
net = UNet(width=8, depth=3)
frames, scores, losses = fit_one(net)
film = (0, 4, 8, 12, 16, 24, 40, 80)
show.grid([masks.PALETTE[frames[k]] for k in film], [f"step {k}" for k in film], side=2.1,
          caption="One picture, learned by heart.", legend=show.class_legend(void=False))
plt.show()
assert scores[-1] > 0.9 and losses[-1] < 0.1, "a network that cannot learn one picture has a bug"
assert scores[0] < 0.5, "and it did not know it beforehand"

# %% [markdown]
# Large things first, then thin ones. Void has no colour here: the network must choose a class there
# too, and nobody counts it.
#
# Two warnings. Learning by heart says *nothing* about other pictures. And it does not prove every
# part: section 13 shows that a U-Net without skips passes this check as well.
#
# ## 11 A softmax too many
#
# **Softmax** turns the logits of a pixel into probabilities: *e* to the power of each, divided by
# their sum. Cross-entropy is then -log of the probability that the true class got, averaged over
# the pixels. In PyTorch it wants logits and takes the softmax itself. Many networks end with a
# softmax "to get probabilities", and then it is taken twice. Nothing fails: probabilities are
# numbers as well.
#
# By hand: say that the network is perfect and sure, `(0, 1, 0)` after its own softmax. The second
# softmax makes $e^1 / (e^1 + 2 e^0)$ of the true class.
#
# **Before you run it**: which loss is that, about? Which would be right?

# %%
sure = 1000.0 * F.one_hot(target.clamp(max=2), 3).permute(0, 3, 1, 2)      # (1, 3, 64, 64)
once = F.cross_entropy(sure, target, ignore_index=255).item()
twice = F.cross_entropy(sure.softmax(1), target, ignore_index=255).item()
print(f"a perfect answer costs: from logits {once:.2f}, after a softmax {twice:.2f}")
print(f"by hand: -log(e / (e + 2)) = {-np.log(np.e / (np.e + 2)):.2f}")
assert once < 1e-6 and abs(twice - np.log(1 + 2 / np.e)) < 1e-5

# %% [markdown]
# The loss cannot fall below 0.55, whatever the network does. And close to that floor the gradients
# fade, since a sure softmax is flat. We train the same network once more, in the wrong way.

# %%
def softmax_first(logits, target, **options):
    return F.cross_entropy(logits.softmax(dim=1), target, **options)


torch.manual_seed(0)
_, _, stuck = fit_one(UNet(width=8, depth=3), loss=softmax_first)
fig, ax = plt.subplots(figsize=(5.5, 3))
ax.plot(stuck, label="softmax first")
ax.plot(losses, label="logits")
ax.axhline(np.log(1 + 2 / np.e), color="gray", ls=":")
ax.set(xlabel="step", ylabel="loss", ylim=(0, None))
ax.legend()
show.below(fig, "The same network and picture; dotted: the floor, 0.55.")
plt.show()
assert min(stuck) > 0.55 and losses[-1] < 0.1, "hand logits to cross-entropy, not probabilities"

# %% [markdown]
# Its loss falls all the same, and that is why the mistake lives long; only it looks stuck far above
# 0. **A cross-entropy that stops at 0.55 with three classes is a softmax too many** (at 0.31 with
# two classes, at 2.12 with 21). The test: on a perfect answer the loss must be 0.
#
# ## 12 `eval()`, forgotten
#
# Batch norm behaves in two ways. In training mode it takes mean and spread from the batch at hand,
# and keeps a running average. After `eval()` it uses that average. What if you forget `eval()` when
# you predict?
#
# We ask our trained network for the same picture alone, and next to a white one. (We ask a copy of
# it; you will see why.)

# %%
white, answers = torch.full_like(x, 2.0), {}
for mode in ("eval", "train"):
    asked = copy.deepcopy(net).train(mode == "train")
    with torch.no_grad():
        alone, beside = asked(x).argmax(1), asked(torch.cat([x, white])).argmax(1)[:1]
    answers[mode] = torch.equal(alone, beside)
    print(f"{mode:5}: the same answer alone and beside another: {answers[mode]}")
lost = score(alone, target) - score(beside, target)
show.grid([masks.PALETTE[alone[0]], masks.PALETTE[beside[0]],
           show.error_map(beside[0].numpy(), mask)],
          ["train mode, alone", "beside a white picture", "its errors"], side=2.6,
          caption="One picture, one network, two answers.", legend=show.error_legend()[1:])
plt.show()
print(f"mean IoU lost to a neighbour is over 0.1: {lost > 0.1}")
assert answers["eval"], "call net.eval() before you predict"
assert lost > 0.1, "in training mode the neighbour has a say"

# %% [markdown]
# In training mode the answer depends on who else is in the batch. There is a second harm, and it
# lasts: every *look* in training mode moves the running averages. So predicting changes the
# network, with no optimiser anywhere.
#
# **Before you run it**: after ten looks at the white picture we do call `eval()`. Is all well then?

# %%
iou = {}
for mode in ("eval", "train"):
    asked = copy.deepcopy(net).train(mode == "train")
    with torch.no_grad():
        looks = [asked(white) for look in range(10)]
        iou[mode] = score(asked.eval()(x).argmax(1), target)
    print(f"looks in {mode:5} mode, then eval: it still knows its picture: {iou[mode] > 0.9}")
assert iou["train"] < iou["eval"] - 0.2, "the looks themselves did the harm"

# %% [markdown]
# The rhythm is `net.train()` before the steps, `net.eval()` and `torch.no_grad()` before each look.
# Group norm has neither modes nor averages; it is the choice for batches of one or two.
#
# ## 13 What the skips do
#
# The **ablation**: take one part out, leave all else as it is, and compare. Our `ZeroSkipUp` comes
# in handy: as many weights, the same seed, but zeros for skips.

# %%
def without_skips(net):
    for up in net.ups:
        up.__class__ = ZeroSkipUp          # the same layers, another forward
    return net


torch.manual_seed(0)
blind = without_skips(UNet(width=8, depth=3))
assert check_skips(blind, x) == [False] * 3, "no skip carries anything"
blind_frames, blind_scores, _ = fit_one(blind)

# %% [markdown]
# **Before you look**: without skips, all detail has to pass through a picture of 8×8. What will be
# missing after 20 steps? And after 80?

# %%
steps = (10, 20, 40, 80)
drawn = [masks.PALETTE[film[k]] for film in (frames, blind_frames) for k in steps]
names = [f"{name}, step {k}" for name in ("skips", "zeros") for k in steps]
show.grid(drawn, names, side=2.3, caption="Above with skips, below without.",
          legend=show.class_legend(void=False))
plt.show()
assert sum(scores) > sum(blind_scores) + 1, "with skips it is learned sooner"
assert scores[20] > 0.7, "with skips, 20 steps are enough for the outlines"

# %% [markdown]
# Above, outlines sharpen from step to step. Below, what is large comes first and as a blob, and
# what is thin comes last. (A comb of stripes, if you see one, shows the 2×2 stamps of section 4:
# the columns of a stamp do not agree yet.) The damage in numbers, on the outlines alone: the share
# of right pixels within one pixel of a border, void left out.

# %% tags=["nbval-ignore-output"]
border = F.max_pool2d(torch.tensor(show.edges(mask))[None].float(), 3, 1, 1)[0] > 0   # (64, 64)
border = (border & (target[0] != 255)).numpy()
print("step     mean IoU       right at borders\n       skips  zeros      skips  zeros")
for k in steps:
    at = [(film[k] == mask)[border].mean() for film in (frames, blind_frames)]
    print(f"{k:4} {scores[k]:7.2f} {blind_scores[k]:6.2f} {at[0]:10.2f} {at[1]:6.2f}")

# %% [markdown]
# Given enough steps, the network without skips learns this picture too: 8×8 positions with 64
# channels hold as many numbers as 64×64 pixels. So *one picture cannot tell you that your skips
# work*. `check_skips` can, and the copy task of section 6 can.
#
# ## 14 What the features look like
#
# Hooks can keep what each level makes. Four channels a row, from the first block, the bottom, and
# the last `Up`.

# %%
kept = {}
places = {"first": net.first, "bottom": net.downs[-1], "last up": net.ups[-1]}
for name, module in places.items():
    module.register_forward_hook(lambda m, args, out, name=name: kept.update({name: out[0]}))
with torch.no_grad():
    net.eval()(x)
chosen = {name: maps[maps.std(dim=(1, 2)).argsort(descending=True)[:4]]
          for name, maps in kept.items()}                          # (4, h, w) each
show.grid([m.numpy() for maps in chosen.values() for m in maps],
          [f"{name} {tuple(maps.shape[1:])}" for name, maps in chosen.items() for _ in range(4)],
          side=2, caption="Edges and colours, then coarse answers, then sharp answers.")
plt.show()
assert [tuple(m.shape) for m in kept.values()] == [(8, 64, 64), (64, 8, 8), (8, 64, 64)]

# %% [markdown]
# The first block finds edges and colours, everywhere. At the bottom a bright square says "something
# of this kind, about here". The last block has both: what, with an outline. The head only has to
# add these up.
#
# ## Summary
#
# 1. A U-Net is five small parts: block, down, up, skip, head, and one plain `forward`.
# 2. Test each part by **shape, value and gradient**. A shape is right in most broken networks.
# 3. Odd sizes lose a row at each pooling; replicate it on the way up.
# 4. A receptive field is worked out by intervals, and confirmed by one gradient.
# 5. Work spreads over all levels, weights sit at the bottom. A patch stem takes work to a quarter.
# 6. Overfit one picture first. Then check the skips, which that does not prove.
#
# | mistake | what it does | the test that sees it |
# |---|---|---|
# | no ReLU between convolutions | all layers are one | the block is not linear |
# | skips of zeros | copies half of random pixels, as guessing does | another skip, another output |
# | skips detached | nothing is learned through them | the skip receives a gradient |
# | skips in the wrong order | an error, or lost detail | the last skip is the first block's |
# | softmax before cross-entropy | loss stops at 0.55 (3 classes) | a perfect answer costs 0 |
# | `eval()` forgotten | neighbours change the answer | predict alone and beside another: equal |
#
# ## If it goes wrong
#
# | symptom | cause | section |
# |---|---|---|
# | "Sizes of tensors must match" | an odd size; pad before `cat` | 5 |
# | "expected input to have … channels" | skips in the wrong order, or a wrong width | 6 |
# | a grid of little squares in the prediction | stamps that overlap, or an early step | 4 |
# | outlines stay wavy | skips carry nothing, or the wrong level | 5, 6, 13 |
# | `load_state_dict` names missing keys | an option differs: width, depth, norm, up, stem | 7 |
# | large objects come out in pieces | the receptive field is too small | 8 |
# | the loss stops well above 0 on one picture | a softmax or sigmoid too many | 11 |
# | good while training, bad alone, or the reverse | `eval()` forgotten; batches of one | 12 |
# | not even one picture is learned | learning rate, target ids, a missing ReLU | 2, 10 |

# %% [markdown]
# ## Exercises
#
# In [exercises/ex03_unet_from_scratch.ipynb](exercises/ex03_unet_from_scratch.ipynb), with checks
# that answer at once: `ex03.zero_skips` (which of six U-Nets have broken skips), `ex03.up` (odd
# sizes), `ex03.receptive_field` (by hand) and `ex03.gradient_box` (by gradient), `ex03.flops` (of a
# level), and `ex03.sigmoid_floor` (a sigmoid that meets a softmax).
#
# Without a check: overfit a picture of your own. Then set `width=1`, and find the least width that
# still learns it.
#
# ## Sources
#
# - O. Ronneberger, P. Fischer, T. Brox, *U-Net: Convolutional Networks for Biomedical Image
#   Segmentation*, MICCAI 2015, arXiv:1505.04597: figure 1.
# - S. Ioffe, C. Szegedy, *Batch Normalization*, ICML 2015, arXiv:1502.03167; Y. Wu, K. He, *Group
#   Normalization*, ECCV 2018, arXiv:1803.08494.
# - W. Shi et al., *Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel
#   Convolutional Neural Network*, CVPR 2016, arXiv:1609.05158: pixel shuffle.
# - A. Odena, V. Dumoulin, C. Olah, *Deconvolution and Checkerboard Artifacts*, Distill 2016,
#   doi:10.23915/distill.00003.
# - W. Luo et al., *Understanding the Effective Receptive Field in Deep Convolutional Neural
#   Networks*, NeurIPS 2016, arXiv:1701.04128.
