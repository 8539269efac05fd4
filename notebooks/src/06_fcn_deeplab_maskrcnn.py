# %% [markdown]
# # 06 · FCN, DeepLab, Mask R-CNN
#
# The U-Net is one answer to "what is where". Three other families answer it in other ways, and
# each is known for one idea. **FCN** turns a classifier into a network that answers everywhere.
# **DeepLab** sees far without shrinking the picture. **Mask R-CNN** finds things first, and draws a
# mask for each. Here you build each idea by hand, small, hold it against the library's, and then
# compare all four on the same pictures, in a table that you can trust as far as it says.
#
# After this lesson you can
#
# - make a classifier dense, and say what its stride costs
# - write an atrous convolution, a bilinear transposed convolution, NMS and RoIAlign
# - follow a picture through Mask R-CNN, from anchors to masks
# - score instances as a class mask, and a class mask as instances, by stated rules
# - compute a mask AP by hand, and read a table of models against its grain
# - move weights to new classes, with a new head, a freeze and two rates
# - name five ways to spoil these models without an error
#
# **Minutes**: about 1 to run on two CPU cores · GPU: not needed. **Builds on**: lessons 03, 04 and
# 05. Good places for a break are before sections 7, 12 and 17.
#
# Four trained models ship with the course, one of each family, in
# [data/weights](../data/weights/README.md). Each was trained from random weights, on streets that
# were drawn while it trained, by the command that its file holds. With `TRAIN_AGAIN` the next cell
# runs these commands again, and a run that was stopped goes on.

# %%
import copy
import json
import subprocess
import sys
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.cbook import get_sample_data
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models as torchvisions
from torchvision import ops
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.models.detection.rpn import concat_box_prediction_layers

from segutils import losses, masks, metrics, show, zoo
from segutils.augment import denormalise, eval_transform
from segutils.checkpoint import CheckpointError, read_weights
from segutils.datasets import DATA, Street, loader
from segutils.predict import as_batch, paint, parts, predict

show.use_style()

TRAIN_AGAIN = False                                     # True: hours, on two cores
NAMES = {"unet": "U-Net", "fcn": "FCN", "deeplab": "DeepLab", "maskrcnn": "Mask R-CNN"}
files = {name: DATA / "weights" / f"{name}_street.safetensors" for name in NAMES}
abouts = {name: read_weights(file)[1] for name, file in files.items()}
for name, about in abouts.items() if TRAIN_AGAIN else ():
    out = DATA.parent / "runs" / f"lesson06_{name}"
    subprocess.run([sys.executable, *about["command"].split()[1:], "--out", out], check=True)
    files[name] = out / "best.safetensors"
models = {name: zoo.load(file) for name, file in files.items()}
unet, fcn, deeplab, maskrcnn = models.values()
for name, model in models.items():
    print(f"{NAMES[name]:11} {sum(p.numel() for p in model.parameters()) / 1e6:.1f} M weights, "
          f"{files[name].stat().st_size / 1e6:.1f} MB")

# %% [markdown]
# ## 1 One street, four answers
#
# `segutils.predict.predict` asks any of them about a picture. Three return logits, and the greatest
# of each pixel wins. Mask R-CNN returns **instances**: a list of things, each with a score, a label
# and a mask of its own.

# %%
street = Street("test", "full", instances=True)
image, mask, instances = street[15]                     # (128, 128, 3), (128, 128), (128, 128)
x = as_batch(image)                                     # (1, 3, 128, 128), normalised
said = {name: predict(model, image) for name, model in models.items()}


def numbered(found, cut=0.5):
    """Instances as a map of numbers from 3 on, to draw each in its own colour; (H, W)."""
    kept = found["scores"] >= cut
    numbers = 3 + torch.arange(int(kept.sum()))
    return paint(found["scores"][kept], numbers, found["masks"][kept], 0).numpy()


answers = [mask, *(said[name].ids.numpy() for name in ("unet", "fcn", "deeplab")),
           numbered(said["maskrcnn"].instances)]
show.grid([image, *(show.overlay(image, ids, 0.6) for ids in answers)],
          ["picture", "truth", *NAMES.values()], columns=6, side=1.9, legend=show.class_legend(),
          caption="Three paint classes. Mask R-CNN finds things: a colour for each.")
plt.show()
assert all(ids.shape == image.shape[:2] for ids in answers), "all answer at the picture's size"

# %% [markdown]
# They answer different questions, and section 17 says how they can be compared at all. First, one
# after the other: how does each of them work?
#
# ## 2 FCN: a classifier, made dense
#
# A classifier ends like this: a map of features `(C, h, w)`, the mean over all its places, and a
# **linear layer** that makes C numbers into one score for each class. Swap the last two: ask the
# linear layer at *every place*, and take the mean afterwards. Both steps only weigh and add, so the
# answer is the same. But on the way there is now a map of answers.
#
# A linear layer at every place is a convolution with a 1×1 kernel, and the weights are the same
# numbers in another shape. (A layer that reads a whole map of h×w places is a convolution with a
# kernel of h×w, which then slides over larger maps.)

# %% tags=["defines"]
from torch import nn


def as_convolution(linear, height=1, width=1):
    """A linear layer over (C, height, width) as the convolution that asks it at every place."""
    channels = linear.in_features // (height * width)
    conv = nn.Conv2d(channels, linear.out_features, (height, width), bias=linear.bias is not None)
    conv.load_state_dict({name: weight.view(conv.get_parameter(name).shape)
                          for name, weight in linear.state_dict().items()})
    return conv

# %% [markdown]
# **Before you run it**: a linear layer of 8·4·4 numbers to 3 classes, made a convolution. What
# shape comes out of a map of 4×4 places, and what of one of 6×6?

# %%
small, large = torch.randn(1, 8, 4, 4), torch.randn(1, 8, 6, 6)
layer, wide = nn.Linear(8, 3), nn.Linear(8 * 4 * 4, 3)
dense = as_convolution(layer)(small)                                     # (1, 3, 4, 4)
assert torch.allclose(dense[..., 2, 1], layer(small[..., 2, 1]), atol=1e-5), "one place"
assert torch.allclose(dense.mean((2, 3)), layer(small.mean((2, 3))), atol=1e-5), "and the mean"
slid = as_convolution(wide, 4, 4)                                        # a kernel of 4×4
assert torch.allclose(slid(small).flatten(1), wide(small.flatten(1)), atol=1e-5), "a whole map"
print(tuple(slid(small).shape), "and", tuple(slid(large).shape))

# %% [markdown]
# One answer, and 3×3 answers: the old classifier, asked at nine places in one go.
#
# Our FCN is that: a ResNet without its classifier, a few layers, a 1×1 convolution to three
# classes. Its map of answers is coarse, one for 4×4 pixels: its **stride** is 4. The last step
# stretches the scores to the size of the picture.

# %%
with torch.no_grad():
    coarse = fcn.classifier(fcn.backbone(x)["out"])                      # (1, 3, 32, 32)
    whole = F.interpolate(coarse, size=(128, 128), mode="bilinear")      # (1, 3, 128, 128)
    assert torch.allclose(whole, fcn(x), atol=1e-5), "and that is all that an FCN does"
show.grid([image, coarse[0, 2], whole[0, 2], show.overlay(image, whole[0].argmax(0).numpy(), 0.6)],
          ["picture", "score of car", "stretched", "the greatest of three"], side=2.6,
          caption="A coarse score for each class, stretched; then the greatest wins.")
plt.show()

# %% [markdown]
# ## 3 What a stride costs
#
# The classifiers that FCN began with have a stride of 32. How good can an answer be that has one
# place for each 32×32 pixels? Imagine a network that *knows the truth*, and has only to say it on
# its grid. We put no network there at all: the scores themselves are the weights, one grid for each
# picture, and descent on the truth makes them as good as they get.
#
# **Before you run it**: which IoU of person can be said at stride 32? And at 8?

# %%
def first(count, split, level="plain"):
    pictures = Street(split, level, transform=eval_transform())
    pictures.stems = pictures.stems[:count]
    return next(iter(loader(pictures, count)))


images, targets = first(50, "val")                           # (50, 3, 128, 128), (50, 128, 128)
planes = F.one_hot(targets.masked_fill(targets == 255, 0), 3).movedim(3, 1).float()
stretch = partial(F.interpolate, size=(128, 128), mode="bilinear")


def best_scores(stride, steps=15):
    """Scores (50, 3, h, w) that say `targets` as well as a grid of that stride lets them."""
    scores = (8 * F.avg_pool2d(planes, stride) - 4).requires_grad_()     # begin at the cell's mean
    optimizer = torch.optim.Adam([scores], lr=1.0)
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(stretch(scores), targets, ignore_index=255).backward()
        optimizer.step()
    return scores.detach()


grids = {stride: best_scores(stride) for stride in (32, 16, 8, 4)}

# %% [markdown]
# They began at the mean of the true planes in each cell, so fifteen steps were enough.

# %%
best = {stride: stretch(scores).argmax(dim=1) for stride, scores in grids.items()}
for stride, ids in best.items():
    _, person, car = metrics.iou(ids, targets, 3)
    print(f"stride {stride:2}: at best an IoU of {person:.2f} for person, {car:.2f} for car")
show.grid([show.overlay(denormalise(images[29]), ids[29].numpy(), 0.6) for ids in best.values()],
          [f"stride {s}" for s in best], side=2.5, caption="It knows the truth, and cannot say it.")
plt.show()
assert metrics.iou(best[32], targets, 3)[1] < 0.5, "what the grid cannot say, no network can"

# %% [markdown]
# These are bounds: a network that has to *find* the truth stays below. For that reason the FCN and
# the DeepLab of this course have a stride of 4.
#
# ## 4 32s, 16s, 8s: finer scores, added
#
# A deep map knows *what*, and an early one knows *where*. FCN's second idea: ask for scores at
# *several* depths, and add them. From the deepest map alone comes **FCN-32s**. Double its scores,
# add those of the map before it (stride 16), and you have **16s**; once more, **8s**. It is a skip,
# like the U-Net's, but of three numbers a place where the U-Net carries all channels.
#
# We try it on maps that are there: those of the U-Net's way down, of stride 16, 8 and 4. Nothing of
# the U-Net is trained; only a 1×1 convolution for each map learns, in a second or two.

# %%
seen, known = first(120, "train")                                        # (120, 3, 128, 128)


@torch.no_grad()
def way_down(x):
    """The U-Net's maps of stride 16, 8, 4: (B, 256, 8, 8), (B, 128, 16, 16), (B, 64, 32, 32)."""
    maps = [unet.first(unet.stem(x))]
    for down in unet.downs:
        maps.append(down(maps[-1]))
    return maps[:0:-1]


def fuse(maps, heads):
    """Scores of each map, coarse ones first: doubled in size, and added to the next finer ones."""
    total = heads[0](maps[0])
    for head, finer in zip(heads[1:], maps[1:], strict=False):
        total = F.interpolate(total, scale_factor=2, mode="bilinear") + head(finer)
    return stretch(total)                                                # (B, 3, 128, 128)


def train_scores(count, maps, val_maps):
    """Train 1×1 convolutions on the `count` deepest maps; ids of the validation pictures."""
    torch.manual_seed(0)
    heads = nn.ModuleList(nn.Conv2d(m.shape[1], 3, 1) for m in maps[:count])
    optimizer = torch.optim.Adam(heads.parameters(), lr=0.02)
    for step in range(60):
        k = torch.randperm(len(seen))[:24]
        optimizer.zero_grad()
        losses.ce_dice(fuse([m[k] for m in maps], heads), known[k]).backward()
        optimizer.step()
    with torch.no_grad():
        return fuse(val_maps, heads).argmax(dim=1)

# %% [markdown]
# **Before you run it**: which step will gain more, from 16s to 8s or from 8s to 4s?

# %%
args = way_down(seen), way_down(images)
exits = {name: train_scores(k, *args) for k, name in enumerate(("16s", "8s", "4s"), 1)}
person = {name: metrics.iou(ids, targets, 3)[1].item() for name, ids in exits.items()}
show.grid([show.overlay(denormalise(images[29]), ids[29].numpy(), 0.6)
           for ids in (*exits.values(), targets)], [*(f"{n}: {v:.2f}" for n, v in person.items()),
          "truth"], side=2.5, caption="Three exits and their IoU of person: each adds a finer map.")
plt.show()
assert person["16s"] + 0.1 < person["8s"] < person["4s"], "the first skip matters most"

# %% [markdown]
# The paper saw the same, at twice these strides, on pictures of 500 pixels: the first skip gains
# much, the next ones less and less.
#
# ## 5 Stretching as a layer
#
# FCN stretches its scores with a **transposed convolution** (lesson 03: each number becomes a
# stamp, and stamps add up) whose weights *begin* as bilinear interpolation and may then be learned.
# Which stamp is bilinear? One that falls in a straight line from its middle to zero, just where the
# middle of the next stamp is.
#
# **By pencil**: for a factor of 2 the stamp is 4 wide, and its middle lies between two pixels. How
# far are the four pixels from the middle, in steps of the coarse grid? One minus that is the
# weight.

# %% tags=["defines"]
import torch
from torch.nn import functional as F


def bilinear_kernel(factor):
    """The stamp that enlarges bilinearly by a whole factor: (k, k), k = 2 · factor or 1 less."""
    size = 2 * factor - factor % 2
    far = (torch.arange(size) - (size - 1) / 2).abs() / factor           # (k,) in coarse steps
    return (1 - far)[:, None] * (1 - far)


def enlarge(x, factor):
    """(B, C, h, w) -> (B, C, h · factor, w · factor), bilinear, by a transposed convolution."""
    stamp = bilinear_kernel(factor).to(x).expand(x.shape[1], 1, -1, -1)  # one for each channel
    cut = factor + (stamp.shape[-1] - factor) // 2
    framed = F.pad(x, (1, 1, 1, 1), mode="replicate")                    # neighbours for the border
    return F.conv_transpose2d(framed, stamp, stride=factor, padding=cut, groups=x.shape[1])

# %%
print("factor 2:", [round(w, 2) for w in (bilinear_kernel(2)[1] / 0.75).tolist()])
for factor in (1, 2, 3, 4, 8):
    theirs = F.interpolate(large, scale_factor=factor, mode="bilinear")
    assert torch.allclose(enlarge(large, factor), theirs, atol=1e-5), "as F.interpolate"

# %% [markdown]
# Why the frame? Without it nothing lies beyond the border, and there too few stamps add up.

# %%
tiny = torch.tensor([[3.0, 3, 3, 3], [3, 1, 1, 3], [3, 1, 4, 3], [3, 3, 3, 3]])[None, None]
bare = F.conv_transpose2d(tiny, bilinear_kernel(8)[None, None], stride=8, padding=4)[0, 0]
right = enlarge(tiny, 8)[0, 0]                                           # (32, 32)
show.grid([np.dstack([m / 4] * 3) for m in (4 * bilinear_kernel(8), tiny[0, 0], bare, right)],
          ["stamp for 8", "4×4", "stamps alone", "with a frame"], side=2.3,
          caption="No stamps come in from beyond the border: it fades, unless a frame helps.")
plt.show()
print(f"in the corner: {bare[0, 0]:.1f} without the frame, {right[0, 0]:.1f} with it")

# %% [markdown]
# 0.25, 0.75, 0.75, 0.25. The frame repeats the outermost numbers, as `F.interpolate` does;
# without it the scores of all classes fade towards the border, and the corner keeps a third.
#
# ## 6 Broken: `align_corners`
#
# `F.interpolate` has a switch that moves everything a little, and raises no error. With
# `align_corners=False` a number stands for a *cell*, and sits in its middle. With `True` the
# outermost numbers are pulled onto the outermost pixels, and all others are spread between them.
#
# **Before you run it**: a row of 0, 1, 2, 3, twice as long. What is its first number in each case,
# and what is the step from one to the next?

# %%
row = torch.arange(4.0).view(1, 1, 1, 4)
for corners in (False, True):
    out = F.interpolate(row, size=(1, 8), mode="bilinear", align_corners=corners)[0, 0, 0]
    print(f"{str(corners):5}", [round(v, 2) for v in out.tolist()])

# %% [markdown]
# Now with the scores of the network that knows the truth, at stride 8.

# %%
guesses = [stretch(grids[8], align_corners=corners).argmax(dim=1) for corners in (False, True)]
right, wrong = (metrics.iou(guess, targets, 3)[1].item() for guess in guesses)
show.grid([show.error_map(guess[41].numpy(), targets[41].numpy()) for guess in guesses],
          [f"False: person {right:.2f}", f"True: person {wrong:.2f}"], side=3,
          legend=show.error_legend()[2:4], caption="The same scores: all moves outwards.")
plt.show()
assert wrong < right - 0.1, "people are thin: they feel it first"

# %% [markdown]
# A fifth of the IoU of person is gone, and nobody would see it in the pictures. In the middle
# nothing moves, at the border half a cell less half a pixel: 3.5 pixels at stride 8, and 15.5 at
# stride 32. Weights that were *trained* with `True` want `True` again; so write down which it was.
#
# ## 7 DeepLab: holes in the kernel
#
# Strides buy sight: after each halving a 3×3 kernel covers twice as much. DeepLab wants that
# without the coarse grid. It leaves the map large and *spreads the kernel*: its nine weights read
# places that lie `rate` apart. That is **atrous** convolution (*à trous*: with holes). By hand it
# is lesson 03's nine shifted copies, shifted further.

# %% tags=["defines"]
def atrous_conv(x, weight, rate):
    """A convolution whose k×k weights lie `rate` apart: (B, C, H, W), (O, C, k, k), k odd."""
    height, width, size = *x.shape[-2:], weight.shape[-1]
    x = F.pad(x, [rate * (size // 2)] * 4)                               # zeros: the size stays
    moved = [x[..., i * rate:i * rate + height, j * rate:j * rate + width]
             for i in range(size) for j in range(size)]                  # k² of (B, C, H, W)
    return sum(torch.einsum("bchw,oc->bohw", copy, w)                    # w: (O, C)
               for copy, w in zip(moved, weight.flatten(2).unbind(2), strict=True))

# %% [markdown]
# **By pencil**: a lonely 1 in the middle of 5×5, a kernel of 1 to 9, a rate of 2. Where will the
# nine numbers come out, and in which order?

# %%
lonely = F.pad(torch.ones(1, 1, 1, 1), (2, 2, 2, 2))                     # (1, 1, 5, 5)
kernel = torch.arange(1.0, 10).view(1, 1, 3, 3)
print(atrous_conv(lonely, kernel, 2)[0, 0].int().numpy())
kernels = torch.randn(4, 8, 3, 3)
for rate in (1, 2, 3):
    theirs = F.conv2d(large, kernels, dilation=rate, padding=rate)
    assert torch.allclose(atrous_conv(large, kernels, rate), theirs, atol=1e-5), "as dilation="

# %% [markdown]
# On every second place, and turned round: the place below right of the 1 reads it with its first
# weight.
#
# How far do three such layers see? We ask as in lesson 03: the gradient of one output counts the
# ways that lead from each input to it.
#
# **Before you run it**: three layers of 3×3 with rates 1, 1, 1 see 7×7. How far do 1, 2, 4 see,
# and how far 4, 4, 4? Which of the three would you take?

# %%
def ways(rates):
    """How many ways lead from each input of 27×27 to the middle output, (27, 27)."""
    x = out = torch.zeros(1, 1, 27, 27, requires_grad=True)
    for rate in rates:
        out = atrous_conv(out, torch.ones(1, 1, 3, 3), rate)
    return torch.autograd.grad(out[0, 0, 13, 13], x)[0][0, 0]


counts = {rates: ways(rates) for rates in ((1, 1, 1), (1, 2, 4), (4, 4, 4))}
show.grid([c.sqrt() for c in counts.values()], [f"rates {r}" for r in counts], side=2.6,
          caption="White: many ways. Equal rates leave holes in what is seen.")
plt.show()
for rates, c in counts.items():
    wide = int((c.sum(dim=0) > 0).nonzero().max()) * 2 - 25
    print(f"rates {rates}: {wide}×{wide} seen, {int((c > 0).sum())} of these {wide**2} read")
assert (counts[1, 2, 4] > 0).sum() == 15**2 and (counts[4, 4, 4] > 0).sum() == 7**2

# %% [markdown]
# Rates that double see far and miss nothing. Equal rates see further still, and skip fifteen of
# sixteen pixels in between: **gridding**. So networks vary their rates.
#
# ## 8 Output stride
#
# Any backbone can be held at a larger map: where it would halve it no longer does, and all later
# kernels are spread to twice the distance. Every weight stays as it was, and every second place of
# the larger map is what the smaller one had. `zoo.hold_stride` does that, and the option
# `output_stride` asks for it. The shipped DeepLab, two stages of a ResNet-18, has 4. Here it is at
# 8, as a ResNet comes, and at 4.

# %%
def at_stride(stride):
    net = zoo.DeepLab(**deeplab.config | {"output_stride": stride})
    net.load_state_dict(deeplab.state_dict())                            # not one weight differs
    return net.eval()


nets = {stride: at_stride(stride) for stride in (8, 4)}
with torch.no_grad():
    deep = {stride: net.backbone(x)["out"] for stride, net in nets.items()}
assert torch.allclose(deep[4][..., ::2, ::2], deep[8], 1e-4, 1e-4), "every second place"

# %% [markdown]
# **Before you run it**: half the stride, four times the places. What does it cost? And what becomes
# of the answers of a network that was trained at 4, when it is asked at 8?

# %%
full, full_targets = first(24, "val", "full")
for stride, net in nets.items():
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        iou = metrics.iou(net(full).argmax(dim=1), full_targets, 3)
    print(f"stride {stride}: a map of {tuple(deep[stride].shape[-2:])}, "
          f"{counter.get_total_flops() / 24e9:.1f} GFLOPs, IoU {iou.numpy().round(2)}")

# %% [markdown]
# The head has learned at which distances things lie on *its* map. On another map these distances
# are others, and so weights should be used at the stride that they were trained for, or near it.
# What it costs is plain: the layers behind the held one work on four times the places.
#
# ## 9 ASPP: several rates side by side
#
# One rate fits one size of thing. DeepLab's head asks at several rates at once, lays the answers
# side by side, and lets a 1×1 convolution choose: **atrous spatial pyramid pooling**. One branch
# more takes the mean of the whole map, so that each place knows what kind of picture it is in.

# %% tags=["defines"]
def aspp(x, layer):
    """What torchvision's ASPP `layer` makes of (B, C, h, w), with its weights, in eval mode."""
    branches = [norm(atrous_conv(x, conv.weight, conv.dilation[0])).relu()
                for conv, norm, _ in layer.convs[:-1]]                   # 1×1, then three rates
    _, conv, norm, _ = layer.convs[-1]
    mean = x.mean(dim=(2, 3), keepdim=True)                              # (B, C, 1, 1)
    branches.append(norm(atrous_conv(mean, conv.weight, 1)).relu().expand_as(branches[0]))
    return layer.project(torch.cat(branches, dim=1))                     # (B, width, h, w)

# %% [markdown]
# Our maps are 32×32, and our rates 6, 12, 18. We draw which pixels the middle place reads.
#
# **Before you look**: at rate 18, how many of the nine lie within the picture?

# %%
stride, rates = deeplab.config["output_stride"], deeplab.config["rates"]
head, features = deeplab.classifier[0], deep[stride]                     # (1, 128, 32, 32)
with torch.no_grad():
    assert torch.allclose(aspp(features, head), head(features), atol=1e-5), "as torchvision's"
fig, ax = plt.subplots(figsize=(4.6, 4))
ax.imshow(image)
taps = np.stack(np.meshgrid((-1, 0, 1), (-1, 0, 1))).reshape(2, 9)
whole = torch.ones(1, 1, 128 // stride, 128 // stride)
for colour, marker, rate in zip(show.LINES[1:], "o^s", rates, strict=False):
    at = 63.5 + stride / 2 + stride * rate * taps                        # (2, 9) x and y in pixels
    ax.plot(*at, marker, color=colour, mec="white", label=f"rate {rate}")
    inside = atrous_conv(whole, torch.ones(1, 1, 3, 3), rate).mean() / 9
    print(f"rate {rate:2}: {inside:.0%} of all that is read lies within the map")
ax.set(xlim=(-12, 144), ylim=(144, -12), xticks=[], yticks=[], facecolor="#DDDDDD")
fig.legend(loc="outside right upper", fontsize=9)
show.below(fig, "Nine places for each rate. Those on grey read zeros.")
plt.show()

# %% [markdown]
# One of nine. The larger the rate, the more of the kernel reads the zeros of the padding, until a
# 3×3 kernel is in truth a 1×1. The branch of the mean is the paper's cure: it sees the whole
# picture, always. Rates belong to a size of picture; torchvision's 12, 24, 36 are for 500 pixels.
#
# ## 10 Broken: batch norm with one picture
#
# That branch has a weak spot. Its map is 1×1, so batch norm sees *one value a picture*. In
# training mode it takes mean and spread over the batch, and one picture has no spread: torch stops
# with an error. That is the good case. It comes at the *last* batch of an epoch, when one picture
# is left over, and a common way around it is to show that picture twice.
#
# **Before you run it**: which mean do two equal values have, and how far are they from it?

# %%
_, conv, norm, _ = copy.deepcopy(deeplab.classifier[0].convs[-1])
with torch.no_grad():
    means = conv(deeplab.backbone(full)["out"].mean(dim=(2, 3), keepdim=True))     # (24, C, 1, 1)
    strips = [norm(means), torch.cat([norm.train()(torch.stack([m, m]))[:1] for m in means])]
try:
    torchvisions.segmentation.deeplabv3.ASPP(128, rates, 64)(features)
except ValueError as error:
    print("one picture:", error)
greys = [np.uint8(255 * s[:8, :64, 0, 0].sigmoid()).repeat(3, axis=0) for s in strips]
show.grid([np.dstack([grey] * 3) for grey in greys], ["eval mode", "training mode, shown twice"],
          side=5, caption="The branch of the mean: a row for each of eight pictures.")
plt.show()
assert strips[1].std(dim=0).max() < 1e-3 < strips[0].std(dim=0).max(), "all pictures look alike"
blind = copy.deepcopy(deeplab)
nn.init.zeros_(blind.classifier[0].convs[-1][2].weight)                  # its bias alone is left
for name, net in {"as trained": deeplab, "blinded": blind}.items():
    with torch.no_grad():
        iou = metrics.iou(net(full).argmax(dim=1), full_targets, 3)
    print(f"{name:11} IoU {iou.numpy().round(2)}")

# %% [markdown]
# Nothing of the picture is left: each value minus itself is zero, and what comes out is the norm's
# own bias. The branch learns nothing. No error says so, and no score either: our DeepLab, whose
# branch did learn, answers as well without it, for streets of 128 pixels do not need it. Such a
# fault waits for the pictures that do. The cures: `drop_last=True` in the loader; `zoo.DeepLab`,
# which takes the running statistics there when it has one value; or group norm.
#
# ## 11 Broken: `eval()` forgotten
#
# Lesson 03 showed it on the U-Net: in training mode an answer depends on what else is in the batch.
# We ask all four in training mode, each picture alone. **Before you run it**: one of the four will
# notice. Which one, and why?

# %%
lost = {}
for name in ("unet", "fcn", "deeplab"):
    forgotten = copy.deepcopy(models[name]).train()
    torch.manual_seed(0)                                                 # DeepLab drops channels
    with torch.no_grad():
        right = models[name](full).argmax(dim=1)
        wrong = torch.cat([forgotten(one[None]).argmax(dim=1) for one in full])
    lost[name] = metrics.iou(right, full_targets, 3) - metrics.iou(wrong, full_targets, 3)
    print(f"{NAMES[name]:8} loses IoU {lost[name].numpy().round(2) + 0.0}")
try:
    copy.deepcopy(maskrcnn).train()(x)
except ValueError as error:
    print("Mask R-CNN:", error)
k = int((wrong != right).sum(dim=(1, 2)).argmax())
shown = [(ids[k].numpy(), full_targets[k].numpy()) for ids in (right, wrong)]
show.grid([denormalise(full[k]), *(show.error_map(*pair) for pair in shown)], ["picture", *(
    f"{mode}: mIoU {metrics.iou(*pair, 3).nanmean():.2f}" for mode, pair in
    zip(("eval mode", "training mode"), shown, strict=True))], side=2.9,
    legend=show.error_legend(), caption="One DeepLab, one picture alone. Only the mode differs.")
plt.show()
assert lost["unet"].mean() > 0, "the running statistics are what it was trained for"

# %% [markdown]
# Mask R-CNN returns losses in training mode, so it asks for targets and cannot be misread. The
# others answer. Each picture is normalised by itself, so that a night is made as bright as a day
# and an empty street as busy as a full one. How much that costs depends on the picture; in a batch
# it depends on the others. `segutils.predict.predict` calls `eval()` and puts the mode back.
#
# ## 12 Mask R-CNN: first things, then masks
#
# The last family does not begin with pixels. It asks "where is a *thing*?", and only then "which
# pixels are it?". So two people who touch stay two.
#
# ```text
# picture ──▶ backbone and pyramid: maps of stride 4, 8, 16, 32
#    maps ──▶ anchors, scored and moved ──▶ NMS ──▶ proposals
#    maps, proposals ──▶ RoIAlign 7×7 ──▶ class and a better box ──▶ NMS ──▶ boxes with scores
#    maps, boxes ──▶ RoIAlign 14×14 ──▶ masks of 28×28 ──▶ laid into the picture
# ```
#
# Where could a thing be? Everywhere, in any size. So at every place of every map of the pyramid
# stand some boxes of fixed sizes, the **anchors**: here one size a map, in four shapes, as people
# are thin. The network scores each ("is there a thing?") and says how to move it.

# %% tags=["defines"]
def anchor_grid(side, stride, cells, ratios=(0.5, 1.0, 2.0)):
    """Anchors of side² pixels, each ratio a shape (height by width), at cells² places: (N, 4)."""
    root = torch.tensor(ratios).sqrt()                                   # height = root · side
    shapes = (side * torch.stack([-1 / root, -root, 1 / root, root], dim=1) / 2).round()   # (R, 4)
    y, x = torch.meshgrid(*[torch.arange(cells) * stride] * 2, indexing="ij")
    places = torch.stack([x, y, x, y], dim=2).view(-1, 1, 4)             # (cells², 1, 4)
    return (places + shapes).view(-1, 4)

# %% [markdown]
# To say how well two boxes agree we take their IoU, as with masks: what both share by what either
# covers. A box is x0, y0, x1, y1 on pixel *edges*, so that x1 - x0 is its width.
#
# The same cell holds the next step as well. Many anchors find the same thing, and one is enough.
# **Non-maximum suppression** (NMS): keep the box with the best score, drop all that overlap it too
# much, and go on with what is left.

# %% tags=["defines"]
def box_iou(a, b):
    """IoU of each box of (N, 4) with each of (M, 4): (N, M)."""
    low, high = torch.maximum(a[:, None, :2], b[:, :2]), torch.minimum(a[:, None, 2:], b[:, 2:])
    shared = (high - low).clamp(min=0).prod(dim=2)                       # (N, M)
    area_a, area_b = ((box[:, 2:] - box[:, :2]).prod(dim=1) for box in (a, b))
    return shared / (area_a[:, None] + area_b - shared)


def nms(boxes, scores, threshold):
    """Indices of the boxes (N, 4) that are kept, best first: none overlaps a better one by more."""
    left, kept = scores.argsort(descending=True, stable=True), []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(best)
        left = left[box_iou(boxes[best][None], boxes[left])[0] <= threshold]
    return torch.stack(kept) if kept else left

# %% [markdown]
# **By pencil**: three boxes of 4×4 side by side, each shifted, with scores 0.9, 0.8, 0.7. The
# first two share 3 of 5 columns, the last two 2 of 6. At a threshold of 0.3, which are kept?

# %%
three = torch.tensor([[0.0, 0, 4, 4], [1, 0, 5, 4], [3, 0, 7, 4]])
confidence = torch.tensor([0.9, 0.8, 0.7])
print(box_iou(three, three).numpy().round(2))
for threshold in (0.3, 0.65):
    kept = nms(three, confidence, threshold)
    print(f"threshold {threshold}: kept {kept.tolist()}")
    assert torch.equal(kept, ops.nms(three, confidence, threshold))
assert torch.allclose(box_iou(three, three), ops.box_iou(three, three), atol=1e-5)

# %% [markdown]
# The third is kept at 0.3, though it overlaps the second by more than that: the second is gone by
# then, and a box that is gone drops nobody.
#
# Now on the street: all anchors, and for each object the one that fits it best.

# %%
truth = zoo.instance_targets(instances, mask)
with torch.no_grad():
    pyramid = list(maskrcnn.backbone(x).values())                        # strides 4, 8, 16, 32
library = maskrcnn.rpn.anchor_generator(ImageList(x, [(128, 128)]), pyramid)[0]     # (5440, 4)
levels = [anchor_grid(side, stride, 128 // stride, maskrcnn.config["ratios"])
          for side, stride in zip(maskrcnn.config["anchors"], (4, 8, 16, 32), strict=True)]
assert torch.equal(torch.cat(levels), library), "and torchvision's are the same"
fit = box_iou(truth["boxes"], library).max(dim=1)                        # values, indices (N,)
print(f"{len(library)} anchors; the worst fit of {len(fit.values)} objects: IoU "
      f"{fit.values.min():.2f}")


def two_views(*groups):
    """The picture twice, with groups of (boxes, colour, options of the line) on each."""
    fig, axes = plt.subplots(1, 2, figsize=(8.4, 4.3))
    for ax, group in zip(axes, groups, strict=True):
        ax.imshow(image)
        ax.axis("off")
        for boxes, colour, options in group:
            for x0, y0, x1, y1 in boxes.tolist():
                ax.add_patch(plt.Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, fill=False,
                                           ec=colour, **options))
    return fig


middle = [level.view(cells, cells, 4, 4)[cells // 2, cells // 2]         # of one place each
          for level, cells in zip(levels, (32, 16, 8, 4), strict=True)]
fig = two_views([(boxes, colour, dict(lw=2)) for boxes, colour in
                 zip(middle, show.LINES[1:], strict=False)],
                [(truth["boxes"], "white", dict(lw=2)),
                 (library[fit.indices], show.LINES[4], dict(lw=2, ls="--"))])
show.below(fig, "Left: anchors of one place on each map. Right: objects and their best anchors.")
plt.show()

# %% [markdown]
# No anchor needs to fit exactly: the network moves it. But one that overlaps nothing learns
# nothing, so anchors must come in the sizes of your objects. These are for streets of 128 pixels;
# torchvision's own begin at 32.
#
# The first stage scores and moves all 5,440. We look at the best fifty.
#
# **Before you run it**: how many of the fifty will NMS leave, at a threshold of 0.7? Over half?

# %%
seen_as, moves = concat_box_prediction_layers(*maskrcnn.rpn.head(pyramid))
moved = maskrcnn.rpn.box_coder.decode(moves.detach(), [library])[:, 0]   # (5440, 4)
proposals, best = ops.clip_boxes_to_image(moved, (128, 128)), seen_as[:, 0].topk(50).indices
kept = best[nms(proposals[best], seen_as[best, 0], 0.7)]
assert torch.equal(kept, best[ops.nms(proposals[best], seen_as[best, 0], 0.7)]), "as torchvision's"
groups = ([(proposals[some], show.LINES[4], dict(lw=1))] for some in (best, kept))
show.below(two_views(*groups), f"The best fifty boxes, and the {len(kept)} that NMS leaves.")
plt.show()

# %% [markdown]
# Boxes lie thick where things are, and NMS leaves a few for each. That is its risk as well: two
# people, one half behind the other, may overlap by more than the threshold, and then one is
# dropped. (torchvision runs it for each map by itself, and again at the end, for each class.)
#
# ## 13 RoIAlign
#
# The second stage looks at each proposal alone. Boxes have all sizes, and its layers want one: so
# each box is cut out of a map of features as 7×7 numbers. Box edges do not lie on the grid,
# though. **RoIAlign** divides the box into 7×7 parts, takes a few points in each, and reads the map
# there *bilinearly*, between its numbers.

# %% tags=["defines"]
def sample(feature, y, x):
    """(C, H, W) read bilinearly at y, x, in cells from the middle of the first one: (C, *shape)."""
    height, width = feature.shape[-2:]
    y, x = y.clamp(0, height - 1), x.clamp(0, width - 1)
    top, left = y.long(), x.long()
    below, beside = (top + 1).clamp(max=height - 1), (left + 1).clamp(max=width - 1)
    dy, dx = y - top, x - left
    upper = feature[:, top, left] * (1 - dx) + feature[:, top, beside] * dx
    lower = feature[:, below, left] * (1 - dx) + feature[:, below, beside] * dx
    return upper * (1 - dy) + lower * dy


def roi_align(feature, box, size, scale=1.0, samples=2, aligned=True):
    """A box (4,) of the picture, out of a map (C, H, W) of `scale` its size: (C, size, size)."""
    x0, y0, x1, y1 = box * scale - (0.5 if aligned else 0.0)             # pixel edges to cells
    if not aligned:                                                      # torchvision's older way
        x1, y1 = torch.maximum(x1, x0 + 1), torch.maximum(y1, y0 + 1)
    steps = (torch.arange(size * samples).to(box) + 0.5) / (size * samples)    # middles of parts
    y, x = torch.meshgrid(y0 + steps * (y1 - y0), x0 + steps * (x1 - x0), indexing="ij")
    return F.avg_pool2d(sample(feature, y, x), samples)

# %% [markdown]
# **By pencil**, on a map of 4×4 with the numbers 0 to 15: the box from (1, 1) to (3, 3) as *one*
# number. It covers 5, 6, 9, 10. And if the box begins half a pixel further left?

# %%
grid = torch.arange(16.0).view(1, 4, 4)
for box in torch.tensor([[1.0, 1, 3, 3], [0.5, 1, 2.5, 3]]):
    exact, pooled = roi_align(grid, box, 1).item(), ops.roi_pool(grid[None], [box[None]], 1).item()
    print(f"{box.tolist()}: RoIAlign {exact:.1f}, RoIPool {pooled:.0f}")
level, boxes = pyramid[0].double(), proposals[kept].double()             # rounding out of the way
for aligned in (True, False):
    ours = [roi_align(level[0], box, 7, 1 / 4, 2, aligned) for box in boxes]
    assert torch.allclose(torch.stack(ours), ops.roi_align(level, [boxes], 7, 1 / 4, 2, aligned))

# %% [markdown]
# On real boxes both are the same. By pencil: 7.5, and 7 for the moved box: it follows. The older
# **RoIPool** rounds the box to whole cells first and takes maxima: its answer is one and the same.
# At stride 4 rounding moves an edge by up to 2 pixels, at 16 by up to 8. For naming a thing that
# may do. For its outline?
#
# (`aligned=False` forgets that a cell's middle is half a cell in. torchvision's Mask R-CNN does it
# so, all the time; what it learns makes up for it.)
#
# ## 14 From 28×28 back to the picture
#
# The mask head gives each box 28×28 probabilities for each class, whatever the box's size. The one
# of its label is resized to the box, bilinearly, and laid into the picture; from 0.5 on a pixel
# belongs to the thing. A hook catches the 28×28 numbers on the way.

# %%
caught = []
hook = maskrcnn.roi_heads.mask_predictor.register_forward_hook(lambda *step: caught.append(step[2]))
with torch.no_grad():
    found = maskrcnn(x)[0]                                               # a dict of N instances
hook.remove()
small = caught[0].sigmoid()[range(len(found["labels"])), found["labels"]]          # (N, 28, 28)
laid = paste_masks_in_image(small[:, None], found["boxes"], (128, 128))  # (N, 1, 128, 128)
assert torch.equal(laid, found["masks"]), "this is the last step of Mask R-CNN"
x0, y0, x1, y1 = found["boxes"][0].round().int().tolist()
box = np.zeros_like(mask)
box[y0:y1, x0:x1] = 3
show.grid([show.overlay(image, box, 1, outline=True), small[0], laid[0, 0], laid[0, 0] >= 0.5],
          ["the best box", "its mask, 28×28", "laid into the picture", "cut at 0.5"], side=2.5,
          caption="A box, the answer of the mask head, and where it belongs.")
plt.show()

# %% [markdown]
# What does RoIPool's rounding cost? Give the mask head the *truth*: each object's own mask as the
# map, at stride 4. Cut it out as 28×28, by its exact box and by the box rounded to whole cells,
# and lay it back into the exact box. **Before you run it**: how much IoU will an object of under
# 400 pixels lose by rounding?

# %%
scenes = Street("val", "full", instances=True)
things = [zoo.instance_targets(scenes[k][2], scenes[k][1]) for k in range(30)]
bodies = torch.cat([t["masks"] for t in things]).bool()                  # (N, 128, 128)
exact = torch.cat([t["boxes"] for t in things])                          # (N, 4)
coarse_bodies, fits, drawn = F.avg_pool2d(bodies.float(), 4)[:, None], [], []
for cuts in (4 * (exact / 4).round(), exact):
    small = [roi_align(m, box, 28, 1 / 4) for m, box in zip(coarse_bodies, cuts, strict=True)]
    back = paste_masks_in_image(torch.stack(small), exact, (128, 128))[:, 0] >= 0.5
    fits.append((back & bodies).sum(dim=(1, 2)) / (back | bodies).sum(dim=(1, 2)))
    drawn.append(back)
area, gained = bodies.sum(dim=(1, 2)), fits[1] - fits[0]
for name, group in {"under 400": area < 400, "400 and more": area >= 400}.items():
    print(f"{name:12} pixels: IoU {fits[0][group].mean():.2f} with rounded boxes, "
          f"{fits[1][group].mean():.2f} with exact ones")
k = int((gained - (area < 600).float()).argmax())
x0, y0, x1, y1 = (exact[k] + torch.tensor([-6, -6, 6, 6])).clamp(0, 128).int().tolist()
maps = [show.error_map(b[k].int().numpy(), bodies[k].int().numpy())[y0:y1, x0:x1] for b in drawn]
show.grid(maps, [f"rounded: IoU {fits[0][k]:.2f}", f"exact: {fits[1][k]:.2f}"], side=2.8,
          legend=show.error_legend()[1:4], caption="Cut by a rounded box, the mask lies askew.")
plt.show()
assert gained[area < 400].mean() > 0.02, "rounding hurts what is small"

# %% [markdown]
# An outline that is askew by a pixel or two: nothing for a car in front, a good part of a person
# far away. The authors of Mask R-CNN report that RoIAlign made their masks better by 10 to 50 %,
# the more the stricter the measure.
#
# ## 15 A score, and where to cut
#
# Each instance comes with a score, down to 0.05. How many things are in the picture depends on
# where you cut. **Before you look**: what will be wrong with a cut at 0.05, and what with 0.95?

# %%
instances_said = said["maskrcnn"].instances
cuts = {cut: int((instances_said["scores"] >= cut).sum()) for cut in (0.05, 0.5, 0.95)}
show.grid([show.overlay(image, numbered(instances_said, cut), 0.6) for cut in cuts],
          [f"from {cut} on: {count}" for cut, count in cuts.items()], side=2.9,
          caption=f"There are {len(truth['labels'])} things in this picture, large and small.")
plt.show()
assert list(cuts.values()) == sorted(cuts.values(), reverse=True)

# %% [markdown]
# A low cut finds things twice, or where there are none; a high one misses what is small or half
# hidden. The cut is a choice, like any threshold, and belongs to the *validation* split. Average
# precision (section 18) makes none: it looks at all cuts.
#
# ## 16 Broken: targets
#
# Mask R-CNN trains on a dictionary for each picture: `boxes` (N, 4), `labels` (N,) and `masks`
# (N, H, W). `zoo.instance_targets` makes it of an instance map. Many people write it by hand, and
# two mistakes are common.
#
# - **Background as a thing.** The loop over the ids of the map forgets to leave out 0. Label 0
#   means background to torchvision and is no object, so somebody lets labels begin at 1.
# - **An empty street.** Without things, `boxes` comes out with the shape (0,), which is refused.
#   Somebody adds a box as large as the picture, "so that it does not crash".

# %%
def with_background(instances):
    """The first mistake: 0 is among the ids, and its label becomes 1."""
    ids = instances.unique()
    things = instances == ids.view(-1, 1, 1)                             # (N, H, W)
    boxes = ops.masks_to_boxes(things) + torch.tensor([0, 0, 1, 1])
    return {"boxes": boxes, "labels": (ids // 1000).clamp(min=1), "masks": things.to(torch.uint8)}


def with_fake_box(instances):
    """The second: where there is nothing, a box as large as the picture, of label 1."""
    if instances.any():
        return zoo.instance_targets(instances)
    return {"boxes": torch.tensor([[0.0, 0, 128, 128]]), "labels": torch.tensor([1]),
            "masks": torch.ones(1, 128, 128, dtype=torch.uint8)}


def further(make_targets, steps=36):
    """A copy of Mask R-CNN after some more steps on the `lessons`, their targets made so."""
    torch.manual_seed(0)
    model = copy.deepcopy(maskrcnn).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    for step in range(steps):
        part = lessons[step % 3::3]                                      # 4 of the 12
        values = model(torch.stack([p for p, *_ in part]), [make_targets(i) for *_, i in part])
        optimizer.zero_grad()
        sum(values.values()).backward()
        optimizer.step()
    return model.eval()

# %% [markdown]
# We train copies of the shipped Mask R-CNN a little further, on eight streets with things and four
# without, and look at the answer for one of each.
#
# **Before you run it**: how much of these twelve pictures will each kind of targets call a person?

# %%
pictures = Street("train", "plain", transform=eval_transform(), instances=True)
empty = [k for k in range(200) if not pictures[k][2].any()][:4]
lessons = [pictures[k] for k in (*range(8), *empty)]                     # (image, mask, instances)
makers = {"right": zoo.instance_targets, "background": with_background, "fake box": with_fake_box}
after, drawn, share = {name: further(make) for name, make in makers.items()}, [], {}
for name, make in makers.items():
    people = [(t["masks"] * (t["labels"] == 1).view(-1, 1, 1)).any(dim=0).float().mean()
              for t in (make(i) for *_, i in lessons)]
    print(f"{name:10}: 'people' cover {np.mean(people):4.0%} of what it learns from")
    for picture in (lessons[0][0], lessons[8][0]):
        ids = predict(after[name], picture).ids.numpy()
        drawn.append(show.overlay(denormalise(picture), ids, 0.6))
    share[name] = (ids == 1).mean()                                      # of the empty street
show.grid(drawn[::2] + drawn[1::2], list(makers), columns=3, side=2.3,
          legend=show.class_legend(void=False), caption="Answers after three dozen steps on each.")
plt.show()
assert share["right"] < 0.05 and min(share["background"], share["fake box"]) > 0.3
assert zoo.instance_targets(lessons[8][2])["boxes"].shape == (0, 4), "the cure: nothing is (0, 4)"

# %% [markdown]
# Background as a thing ruins the model within three dozen steps: the street itself is a person now.
# The fake box works more quietly. Where there are people and cars nothing looks wrong, and only the
# empty street has a person in it, as large as the picture.
#
# The cure is in the shapes: *no* things are boxes of (0, 4), labels of (0,) and masks of (0, H, W),
# and an empty street then teaches what it should: that nothing is there. And id 0 is never a thing.
# `zoo.instance_targets` does both; `zoo.check_targets`, which the model calls, refuses (0,), labels
# beyond the classes and label 0. A background called 1 it cannot see. **Draw your targets**, once.
#
# ## 17 Two rules
#
# A class mask and a list of things answer different questions. To put both into one table, each has
# to be turned into the other, by rules that are stated and alike for all:
#
# - **`paint`**: instances as a class mask. Leave out those with a score under 0.5, and paint the
#   others from the lowest score to the highest. What nothing covers is background.
# - **`parts`**: a class mask as instances. Each connected part of a class is one thing, without
#   parts of under 14 pixels; its score is the mean probability of its class.
#
# **Before you look**: which pictures are each rule's weakness?

# %%
parted = parts(said["unet"].ids, said["unet"].probabilities)
true_things = {"scores": torch.ones(len(truth["labels"])), "masks": truth["masks"].bool()}
views = [numbered(true_things), numbered(instances_said), paint(**instances_said).numpy(),
         said["unet"].ids.numpy(), numbered(parted, 0)]
show.grid([show.overlay(image, ids, 0.6) for ids in views], ["things, in truth", "Mask R-CNN's",
          "painted", "U-Net's classes", "its parts"], columns=5, side=2.2, caption=
          f"{len(truth['labels'])} things in truth, {len(parted['labels'])} parts of the mask.")
plt.show()

# %% [markdown]
# What touches becomes *one* part, however good the mask is, and what is cut in two by a lamp post
# becomes two. The other way about, an instance of score 0.49 is painted nowhere. Neither rule is
# just; both are simple, and the same for everyone.
#
# ## 18 Average precision by hand
#
# How good is a list of things with scores? Go through it from the best score down. A thing is a
# **hit** if its mask has an IoU of at least 0.5 with a true one that is not taken yet, and takes
# the best such; else it is a **false alarm**. After each, note **precision** (hits by all so far)
# and **recall** (hits by all true things). AP is the mean precision over recall: at 101 recalls, 0
# to 1, the best precision that is reached there or beyond, and 0 where it is never reached. Do that
# for IoU 0.5, 0.55, … 0.95, and take the mean: that is COCO's mask **AP**. AP50 is the first of the
# ten.

# %% tags=["defines"]
import numpy as np


def mask_iou(a, b):
    """IoU of each mask of (N, H, W) bool with each of (M, H, W) bool: (N, M)."""
    a, b = a.flatten(1).double(), b.flatten(1).double()
    shared = a @ b.T
    return shared / (a.sum(dim=1)[:, None] + b.sum(dim=1) - shared)


def average_precision(pictures, threshold=0.5):
    """AP of one class at one IoU; pictures: list of (scores (N,), masks, true masks (M, H, W))."""
    scores, hits, count = [], [], sum(len(true) for *_, true in pictures)
    for score, found, true in pictures:
        order, free = score.argsort(descending=True, stable=True), torch.ones(len(true))
        scores.append(score[order])
        for overlap in mask_iou(found[order], true) if len(true) else torch.zeros(len(found), 1):
            overlap = overlap * free if len(true) else overlap           # what is taken is gone
            hits.append(bool(overlap.max() >= threshold))
            if hits[-1]:
                free[overlap.argmax()] = 0
    order = torch.cat(scores).argsort(descending=True, stable=True)
    right = torch.tensor(hits, dtype=torch.double)[order].cumsum(dim=0)  # hits so far
    precision = right / torch.arange(1, len(right) + 1)
    best = precision.flip(0).cummax(dim=0).values.flip(0)                # here or beyond
    places = torch.searchsorted(right / count, torch.from_numpy(np.linspace(0, 1, 101)))
    return F.pad(best, (0, 1))[places].mean().item()

# %% [markdown]
# **By pencil**: two true things. The first answer (0.9) is exactly one of them. The second (0.8) is
# nothing. The third (0.7) has 8 of the 12 pixels of the other: an IoU of 2/3. Precision and recall
# after each, at an IoU of 0.5? And at 0.75?

# %%
def block(top, left, height, width):
    mask = torch.zeros(9, 8, dtype=torch.bool)
    mask[top:top + height, left:left + width] = True
    return mask


true = torch.stack([block(1, 1, 2, 4), block(4, 4, 4, 3)])
answered = torch.stack([block(1, 1, 2, 4), block(5, 1, 2, 2), block(4, 4, 4, 2)])
sure, label = torch.tensor([0.9, 0.8, 0.7]), torch.ones(3, dtype=torch.int64)
each = [average_precision([(sure, answered, true)], t) for t in np.linspace(0.5, 0.95, 10)]
print(f"AP50 {each[0]:.3f}, AP75 {each[5]:.3f}, AP {np.mean(each):.3f}")
theirs = metrics.instance_ap([{"scores": sure, "labels": label, "masks": answered}],
                             [{"labels": label[:2], "masks": true}])
assert np.allclose([each[0], each[5], np.mean(each)],
                   [theirs[name] for name in ("ap50", "ap75", "ap")], atol=1e-5), "as COCO's"

fig, axes = plt.subplots(1, 3, figsize=(9, 2.9), width_ratios=(1, 1, 1.6))
for ax, blocks, title in zip(axes, (true, answered[[0, 2, 1]]), ("two things", "three answers"),
                             strict=False):
    ax.imshow(masks.PALETTE[sum((k + 3) * block.int() for k, block in enumerate(blocks))])
    ax.set(title=title, xticks=[], yticks=[])
for t, style in ((0.5, "o-"), (0.75, "s--")):
    hits = torch.tensor([1.0, 0, t < 2 / 3]).cumsum(dim=0)
    axes[2].plot(hits / 2, hits / torch.arange(1, 4), style, label=f"IoU {t}")
axes[2].set(xlabel="recall", ylabel="precision", xlim=(0, 1.05), ylim=(0, 1.08))
axes[2].legend(fontsize=9, loc="lower right")
show.below(fig, "Precision falls with each false alarm; recall grows with each hit.")
plt.show()

# %% [markdown]
# (51 of the recalls have a precision of 1, the other 50 have 2/3 or nothing: 0.835 and 0.505.)
#
# ## 19 The same pictures
#
# Now all four, on test pictures that none of them was trained or chosen on: rain, fog, night and a
# crowd. **Before you look**: which kinds of errors do you expect of which?

# %%
drawn = []
for picture, target, _ in (street[k] for k in (9, 40, 52, 7)):
    drawn += [show.overlay(picture, target, 0.6), *(
        show.error_map(predict(m, picture).ids.numpy(), target) for m in models.values())]
show.grid(drawn, ["truth", *NAMES.values()], columns=5, side=2.2, legend=show.error_legend(),
          caption="The errors of each. Look at outlines, at small people, and at whole things.")
plt.show()
assert metrics.iou(predict(unet, picture).ids, target, 3)[2] > 0.6, "the last one has cars"

# %% [markdown]
# ## 20 The table
#
# `benchmarks/compare.py` asked all four about the 150 test pictures of `full`, with one decoding,
# one set of metrics and the two rules, on one machine. It wrote `data/weights/scores.json`, which
# the next cell reads. Nothing in the table is typed.
#
# | column | what it is | lesson |
# |---|---|---|
# | mIoU and IoU | over the data set, void left out | 04 |
# | outlines | boundary F within 2 pixels, mean over pictures | 04 |
# | small, medium, large | IoU of objects by their visible pixels | `metrics.iou_by_size` |
# | AP, AP50 | of instances; those of three models are `parts` | section 18 |
#
# Below it stands what each costs. Milliseconds of one machine say little about yours, so times are
# multiples of the U-Net's, medians on the CPU: "time" of one picture, "a step" of training on 16.
#
# **Before you run it**: rank the four by mIoU, and by AP.

# %%
record = json.loads((DATA / "weights" / "scores.json").read_text(encoding="utf-8"))
table = record["models"]
heads = ["mIoU", "backgr.", "person", "car", "F pers.", "F car", *table["unet"]["by_size"],
         "AP", "AP50"]
print(" " * 11 + "".join(f"{head:>8}" for head in heads))
for name, row in table.items():
    cells = [row["miou"], *row["iou"].values(), *row["boundary_f"].values(),
             *row["by_size"].values(), row["ap"], row["ap50"]]
    print(f"{NAMES[name]:11}" + "".join(f"{cell:8.3f}" for cell in cells))
    assert abs(row["miou"] - json.loads(abouts[name]["test"])["miou"]) < 0.005, "other weights"
for name, runs in record["seeds"]["miou"].items() if "seeds" in record else ():
    print(f"{NAMES[name]:11} over {len(runs)} short runs: validation mIoU {min(runs):.3f} to "
          f"{max(runs):.3f}")
costs = {"M weights": ("parameters", 1e6, ".1f"), "GFLOPs": ("flops", 1e9, ".2f"),
         "time": ("ratio", 1, ".1f"), "a step": ("step_ratio", 1, ".1f"),
         "peak MB": ("peak_mb", 1, ".0f"), "pictures seen": ("pictures_seen", 1, ",.0f")}
print(" " * 11 + "".join(f"{head:>14}" for head in costs))
for name, row in table.items():
    print(f"{NAMES[name]:11}" + "".join(f"{row[key] / unit:14{form}}"
                                        for key, unit, form in costs.values()))

fig, axes = plt.subplots(1, 3, figsize=(11.5, 3.4), width_ratios=(1, 1, 1.2))
for name, row in table.items():
    for ax, score in zip(axes, ("miou", "ap"), strict=False):
        ax.plot(row["ratio"], row[score], "o", ms=3 * (row["parameters"] / 1e5) ** 0.5, alpha=0.8)
    axes[2].plot(list(row["by_size"]), list(row["by_size"].values()), "o-", label=NAMES[name])
for ax, label in zip(axes, ("test mIoU", "test AP", "IoU of objects"), strict=True):
    ax.set(ylabel=label, xlabel="size of the object" if ax is axes[2] else "time, U-Net = 1")
axes[2].legend(fontsize=9, loc="lower right")
show.below(fig, "Quality against cost (the area of a dot: weights), and by the size of objects.")
plt.show()

# %% [markdown]
# ## 21 What the table does not say
#
# - **Which family is better.** It ranks four *files*. Each has its backbone, its settings and its
#   run; how many pictures that saw, and what a step of it costs, stands in the table.
# - **How much is chance.** One long run each. Lesson 05 saw runs of one recipe differ by as much as
#   some rows may do here. Look how far the short runs spread over their seeds. And look at their
#   order: who is ahead after 300 steps need not be ahead after 12,000.
# - **What they were made for.** Mask R-CNN never trained on class masks, and is scored on them by
#   `paint`, with a cut at 0.5 that nobody tuned. The other three never saw a single *thing*, and
#   are scored on AP by `parts`. Read mIoU for the three and AP for Mask R-CNN, and the other cells
#   as "if you must".
# - **Other pictures.** These are drawn, 128 pixels wide, and all four began from random weights. On
#   photographs everyone begins from a backbone that has seen a million pictures.
# - **Your machine.** The order in time may be another on a GPU, with larger pictures or in batches.
#   FLOPs do not decide it: a hundred small steps cost more than one large one.
# - **The lazy answer.** All background: an mIoU of about 0.3, at no cost. That is the zero of the
#   scale (lesson 04).
#
# What it *does* say: what you can expect from each on pictures like these, for which price.
#
# ## 22 New classes: head, freeze, rates
#
# You will rarely train from nothing. Take a network that has seen much, and teach it *your*
# classes. We split "car" in two: **dark** and **light** cars. The shipped U-Net knows cars; can it
# learn that difference from 160 pictures, in seconds?

# %%
class Shades(Street):
    """The streets with four classes: a car whose median grey is over 100 is light."""

    classes = ("background", "person", "dark car", "light car")

    def arrays(self, epoch, index):
        image, mask, instances = super().arrays(epoch, index)
        mask, grey = mask.copy(), image.mean(axis=2)                     # (H, W) each
        for ident in np.unique(instances[mask == 2]):
            car = (instances == ident) & (mask == 2)
            mask[car] = 3 if np.median(grey[car]) > 100 else 2
        return image, mask


def all_of(split, count):
    pictures = Shades(split, "plain", transform=eval_transform(), instances=True)
    pictures.stems = pictures.stems[:count]
    return next(iter(loader(pictures, count)))


(shades, wanted), (val_shades, val_wanted) = all_of("train", 160), all_of("val", 40)

# %% [markdown]
# `zoo.new_head` swaps the layers that depend on the classes, and keeps all others. To train the new
# head *alone*, the rest is frozen. **Before you run it**: set `requires_grad = False` for all
# weights, let the network look at some pictures in training mode, and ask it again. Will the answer
# be the same?

# %%
with torch.no_grad():
    before = unet(x)
    for name in ("requires_grad = False", "zoo.freeze"):
        net = copy.deepcopy(unet)
        zoo.freeze(net) if name == "zoo.freeze" else net.requires_grad_(False)
        net.train()(shades[:16])
        print(f"{name:21}: the same answer: {torch.equal(net.eval()(x), before)}")
        assert torch.equal(net(x), before) == (name == "zoo.freeze")

# %% [markdown]
# Batch norm moves its running averages whenever it looks in training mode, gradients or not
# (lesson 03). `zoo.freeze` holds them as well.
#
# Three ways to train, with the same new head, the same pictures and as many steps:
#
# - **head only**: all else frozen, the head at a rate of 1e-2
# - **one rate**: everything at 1e-2
# - **two rates**: the head at 1e-2, everything else at 1e-3. What is new has far to go; what has
#   been learned should move a little, and not be thrown about by the gradients of a head that knows
#   nothing yet.
#
# **Before you run it**: which of the three will find light cars, and which will lose its people?

# %%
def adapt(rate, steps=80):
    """The shipped U-Net with a new head, trained on the shades; its mIoU on the way, and IoU."""
    torch.manual_seed(0)
    net, curve = zoo.new_head(copy.deepcopy(unet), Shades.classes), []
    if rate is None:
        zoo.unfreeze(zoo.head_of(zoo.freeze(net)))
    optimizer = torch.optim.AdamW(zoo.parameter_groups(net, lr=rate or 0, head_lr=1e-2))
    for step in range(steps + 1):
        if step % 20 == 0:
            with torch.no_grad():
                iou = metrics.iou(net.eval()(val_shades).argmax(dim=1), val_wanted, 4)
            curve.append(iou.nanmean().item())
        k = torch.randperm(len(shades))[:8]
        optimizer.zero_grad()
        losses.ce_dice(net.train()(shades[k]), wanted[k]).backward()
        optimizer.step()
    return curve, iou.numpy(), net.eval()


runs = {"head only": adapt(None), "one rate": adapt(1e-2), "two rates": adapt(1e-3)}
fig, axes = plt.subplots(1, 2, figsize=(10, 3), width_ratios=(1, 1.4))
for k, (name, (curve, iou, _)) in enumerate(runs.items()):
    axes[0].plot(range(0, 81, 20), curve, "o-", label=name)
    axes[1].bar(np.arange(3) + 0.27 * (k - 1), iou[1:], 0.25)
axes[0].set(xlabel="step", ylabel="validation mIoU", ylim=(0, 1))
axes[0].legend(fontsize=9, loc="lower right")
axes[1].set(ylabel="validation IoU", ylim=(0, 1))
axes[1].set_xticks(range(3), Shades.classes[1:])
show.below(fig, "Eighty steps: the mean on the way, and the classes at the end.")
plt.show()
end = {name: iou for name, (_, iou, _) in runs.items()}
assert end["head only"][2:].min() < end["two rates"][2:].min() - 0.15, "a head cannot recall"
assert end["two rates"][1] > end["one rate"][1], "a high rate throws away what was learned"

# %% [markdown]
# Read it from the left. The **head alone** keeps what was there, people included, but it cannot
# tell the cars apart: to the U-Net a car was a car, and its last features have *forgotten* the
# shade. A head can only choose among what the body hands on. **One high rate** gets at the shade,
# and pays with the people. **Two rates** keep the one and learn the other.

# %%
count, drawn = [(val_wanted == c).sum(dim=(1, 2)) for c in (2, 3)], []
for k in torch.minimum(*count).topk(2).indices:                          # much of both shades
    guesses = [net(val_shades[k][None])[0].argmax(dim=0) for *_, net in runs.values()]
    drawn += [show.overlay(denormalise(val_shades[k]), ids.numpy(), 0.6)
              for ids in (val_wanted[k], *guesses)]
show.grid(drawn, ["truth", *runs], columns=4, side=2.3, caption="Eighty steps each, two streets.",
          legend=show.class_legend(Shades.classes, void=False))
plt.show()

# %% [markdown]
# If your classes differ by something that the old ones shared, train the body too, gently. If they
# are new *names* for what it tells apart already, the head alone is enough, and cannot over-fit
# much. `zoo.build("unet", classes=…, weights=file)` swaps the head as it loads.
#
# ## 23 Public weights, on a photograph
#
# torchvision publishes weights for all three families, trained on photographs (COCO).
# `zoo.build(name, weights="public")` downloads them once and checks them. With `PUBLIC = False`, as
# it comes, the next cell downloads nothing, and asks the course's own street models instead, which
# have never seen a photograph. **Before you run it**: what will *they* make of a person who fills
# the picture?

# %%
PUBLIC = False
public = {"fcn": "resnet50", "deeplab": "mobilenet_v3_large", "maskrcnn": "resnet50"}
for name, backbone in public.items():
    about = torchvisions.get_weight(zoo.PUBLIC[name, backbone][0]).meta
    print(f"{NAMES[name]:11} {len(about['categories'])} classes, {about['_file_size']:.0f} MB")
photo, asked = masks.read_image(get_sample_data("grace_hopper.jpg", asfileobj=False)), {}
try:
    for name, backbone in public.items() if PUBLIC else ():
        asked[name] = zoo.build(name, backbone, weights="public")
except CheckpointError as error:
    print(error)
real = len(asked) == 3
if not real:
    print("below: NOT these weights, but the course's street models, on the photograph made small")
    photo = photo.reshape(150, 4, 128, 4, 3).mean(axis=(1, 3)).astype(np.uint8)
    asked = {name: models[name] for name in public}
drawn, titles = [photo], ["the photograph"]
for name, model in asked.items():
    answer, known = predict(model, photo), model.config["classes"]
    ids = numbered(answer.instances) if name == "maskrcnn" else answer.ids.numpy()
    drawn.append(show.overlay(photo, ids, 0.6))
    found = ", ".join(known[k] for k in answer.ids.unique() if k) or "nothing"
    titles.append(f"{NAMES[name]}: {found}")
show.grid(drawn, titles, side=2.8, caption="torchvision's public weights." if real else
          "NOT the public weights: street models, on the first photograph of their life.")
plt.show()

# %% [markdown]
# ## Summary
#
# 1. **FCN**: a linear layer at every place is a 1×1 convolution. What the stride has lost no
#    network finds; finer scores, added, bring some of it back.
# 2. **DeepLab**: spread the kernel and keep the map. Rates belong to a size of picture.
# 3. **Mask R-CNN**: anchors → proposals → NMS → RoIAlign → class, box and mask. It tells two people
#    who touch apart, and pays for it in steps.
# 4. Families that answer different questions are compared by rules that are stated: `paint`,
#    `parts`. A table ranks files, not families.
# 5. New classes: a new head; freeze, and mean it; a low rate for what was learned, a high one for
#    what is new. A head cannot recall what the body has forgotten.
#
# | mistake | what it does | the test that sees it |
# |---|---|---|
# | `align_corners` mistaken | people lose a tenth of their IoU | `F.interpolate` equals cells |
# | batch norm with one picture | an error, or a branch that is blind | pictures must differ |
# | `eval()` forgotten | an answer by the picture's own statistics | both modes compared |
# | `boxes` of shape (0,), a fake box | an error, or people in empty streets | (0, 4) |
# | background as a thing | 95 % of the targets are "person" | draw the targets |
# | `requires_grad` for a freeze | the answer moves all the same | ask before and after |
#
# ## If it goes wrong
#
# | symptom | cause | section |
# |---|---|---|
# | outlines drift towards the border | `align_corners` | 6 |
# | blobs where small things are | too large a stride | 3, 8 |
# | a pattern of holes in the answer | equal rates: gridding | 7 |
# | "Expected more than 1 value per channel" | a last batch of one picture | 10 |
# | good in training, poor alone | `eval()` forgotten | 11 |
# | "Mask R-CNN trains on instances" | training mode, no targets | 11, 16 |
# | things are found twice | the cut, or NMS's threshold | 12, 15 |
# | one of two people in a group is missing | NMS dropped it | 12 |
# | masks lie askew in their boxes | rounding, or edges half a pixel off | 13, 14 |
# | "has labels … for 0 is background" | an id 0 among the things | 16 |
# | a "person" as large as the picture | background as a thing, fake boxes | 16 |
# | the new classes stay mixed up | a frozen body that cannot tell them apart | 22 |
# | the old classes get worse | one high rate for all | 22 |
# | "could not be downloaded" | offline; the line says where the file goes | 23 |
#
# ## Exercises
#
# In [exercises/ex06_fcn_deeplab_maskrcnn.ipynb](exercises/ex06_fcn_deeplab_maskrcnn.ipynb), with
# checks that answer at once: `ex06.atrous`, `ex06.bilinear` (the stamp of a transposed
# convolution), `ex06.targets` (from an instance map), `ex06.nms`, `ex06.roi_align`, `ex06.paint`
# (instances as a class mask), `ex06.finetune` (a freeze that does not hold), `ex06.ap50`, and
# `ex06.hold` (the stride of a backbone).
#
# Without a check: name three things in the table that would change if the pictures were yours.
#
# ## Sources
#
# - J. Long, E. Shelhamer, T. Darrell, *Fully Convolutional Networks for Semantic Segmentation*,
#   CVPR 2015, arXiv:1411.4038.
# - L.-C. Chen et al., *Rethinking Atrous Convolution for Semantic Image Segmentation*, 2017,
#   arXiv:1706.05587: output stride, ASPP, and rates that outgrow the map.
# - K. He et al., *Mask R-CNN*, ICCV 2017, arXiv:1703.06870: RoIAlign and the mask head.
# - S. Ren et al., *Faster R-CNN*, 2015, arXiv:1506.01497: anchors and proposals.
# - T.-Y. Lin et al., *Feature Pyramid Networks for Object Detection*, 2017, arXiv:1612.03144.
# - T.-Y. Lin et al., *Microsoft COCO*, ECCV 2014, arXiv:1405.0312; its AP as pycocotools counts it.
# - torchvision's models and their public weights: pytorch.org/vision. The photograph is the sample
#   that matplotlib carries, of Grace Hopper.
