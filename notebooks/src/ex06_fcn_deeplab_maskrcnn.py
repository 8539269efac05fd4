# %% [markdown]
# # Exercises 06: FCN, DeepLab, Mask R-CNN
#
# Nine exercises on lesson 06. As before: write what is missing, run the cell, read what `check`
# found, and ask `hint("ex06.atrous")` when you are stuck. Nothing here needs a GPU.
#
# | exercise | level | points | minutes (an estimate) |
# |---|---|---|---|
# | 1 Atrous convolution by hand | warm-up | 2 | 12 |
# | 2 A transposed convolution that stretches bilinearly | core | 3 | 15 |
# | 3 Targets for Mask R-CNN | core | 3 | 15 |
# | 4 Non-maximum suppression | core | 3 | 15 |
# | 5 RoIAlign of one box | core | 4 | 25 |
# | 6 Instances as a class mask | warm-up | 2 | 10 |
# | 7 Mend a fine-tuning that moves what is frozen | core | 3 | 15 |
# | 8 Mask AP50 | stretch | 4 | 30 |
# | 9 Hold the stride of a backbone | stretch | 3 | 20 |
#
# Inputs are torch tensors. What you return may be tensors, NumPy arrays or plain lists.

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.patches import Rectangle
from torch.nn import functional as F
from torchvision import ops

from segutils import masks, metrics, show
from segutils.exercises import check, hint  # noqa: F401  (hint is there for you)
from segutils.exercises.ex06 import Small, crowd, scene_of, three_found
from segutils.street import draw

show.use_style()
scene = draw(20, size=96, difficulty="plain")
print(scene.image.shape, scene.mask.shape, np.unique(scene.mask).tolist())

# %% [markdown]
# ## 1. Atrous convolution by hand
# *warm-up, 2 points, about 12 minutes (an estimate)*
#
# **Aim**: compute an atrous convolution by hand, at any rate and with its borders
#
# DeepLab sees far without shrinking the map: it moves the taps of a kernel apart. At rate 1 they
# lie side by side, at rate 2 every other pixel is skipped, and so on. The number of weights stays.
# Here is one 3 × 3 kernel, which answers to upright edges, at three rates:

# %%
gray = torch.from_numpy(scene.image).double().mean(dim=2) / 255  # (96, 96)
gray -= gray.mean()  # so that the zeros beyond the border are no edge
upright = torch.tensor([[-1.0, 0, 1]] * 3).double()  # (3, 3)
answers = [F.conv2d(gray[None, None], upright[None, None], padding=rate, dilation=rate)[0, 0]
           for rate in (1, 2, 4)]  # (96, 96) each
show.grid([scene.image, *(a.abs().clamp(max=0.8) for a in answers)],
          ["picture", "rate 1", "rate 2", "rate 4"],
          caption="The same nine weights, and a wider view each time.")
plt.show()

# %% [markdown]
# Write it yourself, without the argument `dilation=`, and as networks do it: the kernel is laid on
# the map as it is (not turned), its middle tap on the pixel that is computed; beyond the border
# there are zeros; the result is as large as the map.


# %%
def atrous(image, kernel, rate):
    """Convolve a map with a kernel whose taps lie `rate` pixels apart.

    image: (H, W) float64
    kernel: (k, k) float64, k is odd
    rate: a whole number from 1 on
    returns: (H, W) floats, as F.conv2d(…, padding=rate * (k // 2), dilation=rate)
    """
    ### BEGIN SOLUTION
    k, reach = len(kernel), rate * (len(kernel) // 2)
    height, width = image.shape
    padded = F.pad(image, [reach] * 4)  # (H + 2 reach, W + 2 reach)
    result = torch.zeros_like(image)
    for i in range(k):
        for j in range(k):
            y, x = rate * i, rate * j
            result += kernel[i, j] * padded[y:y + height, x:x + width]
    return result
    ### END SOLUTION


check("ex06.atrous", atrous)

# %% [markdown]
# ## 2. A transposed convolution that stretches bilinearly
# *core, 3 points, about 15 minutes (an estimate)*
#
# **Aim**: give a transposed convolution the weights with which it stretches bilinearly
#
# FCN's map of logits is several times smaller than the picture. A transposed convolution brings it
# back: it lays a kernel down for every cell of the map, `factor` pixels apart, and adds up where
# they overlap. Long et al. gave it the weights of bilinear stretching to begin with, and let
# training move them. Left, two people on a map of 12 × 12 cells, drawn as large as the others;
# then nearest-neighbour stretching, which looks the same, and what is wanted:

# %%
person = torch.from_numpy(scene.mask == 1).float()[None, None]  # (1, 1, 96, 96)
coarse = F.avg_pool2d(person, 8)  # (1, 1, 12, 12)
wanted = F.interpolate(coarse, scale_factor=8, mode="bilinear", align_corners=False)
blocks = F.interpolate(coarse, scale_factor=8, mode="nearest")
show.grid([coarse[0, 0], blocks[0, 0], wanted[0, 0]], ["the map", "nearest", "bilinear"], columns=3,
          caption="Eight times as large: in blocks, or evenly.")
plt.show()

# %% [markdown]
# Write the weight. With k = 2·factor for an even factor and k = 2·factor - 1 for an odd one,
#
# ```text
# F.conv_transpose2d(logits, weight, stride=factor, padding=(k - factor) // 2)
# ```
#
# has to equal `F.interpolate(logits, scale_factor=factor, mode="bilinear", align_corners=False)`,
# away from the border (there the one meets zeros, and the other repeats the last cell). Each class
# is stretched for itself.


# %%
def bilinear_weight(factor, classes):
    """The weight of a transposed convolution that stretches `factor` times, bilinearly.

    factor: a whole number from 1 on
    classes: number C of channels, in and out
    returns: (C, C, k, k) floats; k = 2 * factor, one less where the factor is odd
    """
    ### BEGIN SOLUTION
    k = 2 * factor - factor % 2
    off = torch.arange(k, dtype=torch.float64) - (k - 1) / 2  # from the kernel's centre, in pixels
    line = 1 - off.abs() / factor
    kernel = line[:, None] * line[None, :]
    return torch.eye(classes)[:, :, None, None] * kernel
    ### END SOLUTION


check("ex06.bilinear", bilinear_weight)

# %% [markdown]
# ## 3. Targets for Mask R-CNN
# *core, 3 points, about 15 minutes (an estimate)*
#
# **Aim**: turn an instance map into the boxes, labels and masks Mask R-CNN learns from
#
# Mask R-CNN wants to be told each object by itself: a box, a label and a mask. The data set has an
# instance map, with `class * 1000 + number` for each object's pixels, and a class mask with void:

# %%
ids = np.unique(scene.instances)
numbers = np.searchsorted(ids, scene.instances).astype(np.uint8)  # 0, 1, 2, … for colours
show.grid([scene.image, masks.colorize(numbers), masks.colorize(scene.mask)],
          ["picture", "instance map", "class mask"], columns=3,
          caption="Objects, each in a colour of its own, and classes, with void (light) between.")
plt.show()
print("instance map:", ids.tolist(), " class mask:", np.unique(scene.mask).tolist())

# %% [markdown]
# To be exact about it:
#
# - One object for each id but 0, **in the order of the ids**. Its label is its class.
# - An object whose pixels are all void in the class mask is left out: it is too small to name. All
#   others keep their whole mask, void pixels included.
# - Boxes are x0, y0, x1, y1 on pixel **edges**: x0 is the first column, and x1 is one past the
#   last, so x1 - x0 is the width.
# - A picture without objects has targets too: boxes (0, 4), labels (0,), masks (0, H, W).


# %%
def instance_targets(instances, mask):
    """The objects of a picture, as Mask R-CNN wants them.

    instances: (H, W) int64, class * 1000 + number, or 0 for background
    mask: (H, W) int64 class ids, 255 for void
    returns: a dict of boxes (N, 4) float, labels (N,) int64, masks (N, H, W) of 0 and 1 (or bool)
    """
    ### BEGIN SOLUTION
    ids = instances.unique()
    ids = ids[ids > 0]
    bodies = instances == ids[:, None, None]  # (N, H, W) bool, N may be 0
    seen = (bodies & (mask != 255)).flatten(1).any(dim=1)
    ids, bodies = ids[seen], bodies[seen]
    boxes = []
    for body in bodies:
        y, x = body.nonzero(as_tuple=True)
        boxes.append([x.min(), y.min(), x.max() + 1, y.max() + 1])
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return {"boxes": boxes, "labels": ids // 1000, "masks": bodies}
    ### END SOLUTION


check("ex06.targets", instance_targets)

# %% [markdown]
# ## 4. Non-maximum suppression
# *core, 3 points, about 15 minutes (an estimate)*
#
# **Aim**: suppress repeated boxes of one object, class by class
#
# A detector finds each object many times over. Non-maximum suppression keeps the best box of each
# heap. Go through the boxes from the highest score down: a box is **kept** unless its IoU with a
# box that is kept already, **of the same class**, is **above** the cut. Here are 24 made-up
# proposals, and what torchvision leaves of them:

# %%
boxes, scores, labels = crowd(np.random.default_rng(10), objects=4, each=6)  # (24, 4), (24,), (24,)
left = ops.batched_nms(boxes, scores, labels, 0.4).tolist()


def draw_boxes(ax, chosen):
    for k in chosen:
        x0, y0, x1, y1 = boxes[k].tolist()
        ax.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False,
                               edgecolor=show.LINES[int(labels[k]) - 1],
                               linewidth=0.5 + 2 * scores[k].item()))
    ax.set(xlim=(10, 64), ylim=(62, -3), aspect="equal", xticks=[], yticks=[])
    ax.spines[:].set_visible(True)


fig, axes = plt.subplots(1, 2, figsize=(6.4, 4))
draw_boxes(axes[0], range(len(boxes)))
draw_boxes(axes[1], left)
axes[0].set_title(f"{len(boxes)} proposals")
axes[1].set_title(f"{len(left)} kept")
show.below(fig, "Two classes, in two colours; the line is thicker where the score is higher.")
plt.show()


# %%
def nms(boxes, scores, labels, cut):
    """Which boxes to keep.

    boxes: (N, 4) float64, x0, y0, x1, y1 on pixel edges, so the width is x1 - x0; N may be 0
    scores: (N,) float64, no two alike
    labels: (N,) int64
    cut: the highest IoU that two kept boxes of one class may have
    returns: (K,) whole numbers, the numbers of the kept boxes, best score first
    """
    ### BEGIN SOLUTION
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])  # (N,)
    left, kept = scores.argsort(descending=True), []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(int(best))
        x0, y0 = torch.maximum(boxes[best, :2], boxes[left, :2]).T
        x1, y1 = torch.minimum(boxes[best, 2:], boxes[left, 2:]).T
        both = (x1 - x0).clamp(min=0) * (y1 - y0).clamp(min=0)
        iou = both / (areas[best] + areas[left] - both)
        left = left[(iou <= cut) | (labels[left] != labels[best])]
    return torch.tensor(kept, dtype=torch.int64)
    ### END SOLUTION


check("ex06.nms", nms)

# %% [markdown]
# ## 5. RoIAlign of one box
# *core, 4 points, about 25 minutes (an estimate)*
#
# **Aim**: cut a box out of a feature map by RoIAlign, without rounding
#
# The mask head wants every box at one size, say 14 × 14, whatever its size in the picture is.
# RoIAlign cuts it out of a map of features without rounding anything. For one box, on a map of one
# channel and with `size` × `size` bins:
#
# 1. The box is in pixels of the picture, on edges. **Divide it by the stride** of the map, and take
#    **half a cell** off: now it counts in cells, and the whole numbers are the cells' *centres*.
# 2. Cut the box into `size` × `size` equal bins, and each bin into quarters. The middles of the
#    **four quarters** are its points.
# 3. A point's value is **bilinear** between the four cell centres around it. A point beyond the
#    outermost centres is moved onto them first: coordinates stay within 0 and H - 1 (or W - 1).
# 4. A bin's value is the **mean** of its four points.
#
# This is `torchvision.ops.roi_align(…, sampling_ratio=2, aligned=True)`; torchvision's own Mask
# R-CNN samples as densely, but has `aligned=False`, which leaves out the half cell.

# %%
features = torch.from_numpy(np.random.default_rng(1).random((5, 8)))  # (5, 8), stride 4
box = torch.tensor([5.0, 3, 25, 17]).double()  # in a picture of 32 × 20 pixels
middles_x, middles_y = [1.375, 2.625, 3.875, 5.125], [0.6875, 1.5625, 2.4375, 3.3125]

fig, ax = plt.subplots(figsize=(6.5, 4.2))
ax.imshow(features, cmap="gray", vmin=-0.6, vmax=1.4)
ax.plot(*np.meshgrid(range(8), range(5)), "+", color="black", markersize=6, linewidth=0)
ax.add_patch(Rectangle((0.75, 0.25), 5, 3.5, fill=False, edgecolor=show.LINES[4], linewidth=2.5))
ax.plot([3.25, 3.25], [0.25, 3.75], [0.75, 5.75], [2, 2], color=show.LINES[4], linewidth=1.5)
ax.plot(*np.meshgrid(middles_x, middles_y), "o", color=show.LINES[1], markersize=6)
ax.set(xticks=range(8), yticks=range(5))
show.below(fig, "A box on a map, 2 × 2 bins, four points in each; crosses are the cells' centres.")
plt.show()
print(ops.roi_align(features[None, None], [box[None]], 2, 1 / 4, 2, aligned=True)[0, 0].numpy()
      .round(3))


# %%
def roi_align(features, box, stride, size):
    """Cut a box out of a map, at a size of its own.

    features: (H, W) float64
    box: (4,) float64, x0, y0, x1, y1 in pixels of the picture, within it
    stride: pixels of the picture for one cell of the map
    size: bins along each side of the result
    returns: (size, size) floats
    """
    ### BEGIN SOLUTION
    x0, y0, x1, y1 = (box / stride - 0.5).tolist()
    along = (torch.arange(2 * size, dtype=torch.float64) + 0.5) / (2 * size)  # 0 … 1

    def neighbours(start, stop, last):
        places = (start + along * (stop - start)).clamp(0, last)
        first = places.floor().long().clamp(max=last - 1)
        return first, places - first

    top, down = neighbours(y0, y1, features.shape[0] - 1)
    left, right = neighbours(x0, x1, features.shape[1] - 1)
    rows = features[top] * (1 - down)[:, None] + features[top + 1] * down[:, None]  # (2 size, W)
    points = rows[:, left] * (1 - right) + rows[:, left + 1] * right  # (2 size, 2 size)
    return points.reshape(size, 2, size, 2).mean(dim=(1, 3))
    ### END SOLUTION


check("ex06.roi_align", roi_align)

# %% [markdown]
# ## 6. Instances as a class mask
# *warm-up, 2 points, about 10 minutes (an estimate)*
#
# **Aim**: paint scored, overlapping instances into one class mask
#
# To compare Mask R-CNN with FCN and DeepLab by mIoU, its instances must become one class mask. They
# overlap, they come with a score, and their masks are soft:

# %%
found_scores, found_labels, soft = three_found()  # (3,), (3,), (3, 48, 64)
titles = [f"label {c}, score {s:.2f}" for c, s in zip(found_labels, found_scores, strict=True)]
show.grid(soft, titles, columns=3, caption="Three instances: how sure the mask head is of a pixel.")
plt.show()

# %% [markdown]
# Instances with a score **below** the cut are left out. Of the others, a pixel belongs to an
# instance **from 0.5 on**. Where several claim it, the one with the highest **score** is seen; of
# equal scores the one that was given first. What nobody claims is background, 0.


# %%
def paint(scores, labels, soft, cut):
    """Instances as class ids.

    scores: (N,) float64, in no order; N may be 0
    labels: (N,) int64, 1 and up
    soft: (N, H, W) float64, each pixel's probability to belong to the instance
    cut: the lowest score that is painted
    returns: (H, W) whole numbers
    """
    ### BEGIN SOLUTION
    ids = torch.zeros(soft.shape[1:], dtype=torch.int64)
    order = scores.argsort(descending=True, stable=True)  # the best first
    for k in order.flip(0):  # and painted last
        if scores[k] >= cut:
            ids[soft[k] >= 0.5] = labels[k]
    return ids
    ### END SOLUTION


check("ex06.paint", paint)

# %% [markdown]
# ## 7. Mend a fine-tuning that moves what is frozen
# *core, 3 points, about 15 minutes (an estimate)*
#
# **Aim**: train a new head on a backbone that stays exactly as it was
#
# A trained backbone gets a new head for other classes, and at first only the head is to learn.
# This code does it as many do. `Small` is a tiny network: a `backbone`, and a `head` that takes its
# result; batch norm is in both, and dropout in the head.


# %%
def popular_finetune(net, batches, rate):
    for p in net.backbone.parameters():
        p.requires_grad = False
    net.train()
    optimizer = torch.optim.AdamW(net.head.parameters(), lr=rate)
    losses = []
    for image, target in batches:
        loss = F.cross_entropy(net(image), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


torch.manual_seed(0)
net, picture = Small(seed=0), torch.randn(1, 3, 16, 16)
before = {name: tensor.clone() for name, tensor in net.backbone.state_dict().items()}
features = net.eval().backbone(picture)  # (1, 8, 16, 16)
batches = [(2 * torch.randn(4, 3, 16, 16) + 1, torch.randint(3, (4, 16, 16))) for _ in range(8)]
popular_finetune(net, batches, 0.01)

moved = [k for k, old in before.items() if not torch.equal(old, net.backbone.state_dict()[k])]
print("others than before:", ", ".join(moved))
change = (net.eval().backbone(picture) - features).abs().mean() / features.abs().mean()
print(f"the frozen backbone's features of one picture have changed by {change:.0%}")

# %% [markdown]
# Write it anew. Afterwards every tensor of `net.backbone.state_dict()` is as it was, to the last
# bit. While the head learns, the backbone works as it will when it predicts, and no gradients are
# computed for it. The whole head learns, with its own batch norm and dropout in training. Which
# optimizer you take, and in which mode the network comes back, is up to you.


# %%
def finetune(net, batches, rate):
    """Train the head of a network, one step for each batch, and leave the backbone alone.

    net: has a backbone and a head, as `Small`; it may come in any mode
    batches: a list of (image (B, 3, H, W) float32, target (B, H, W) int64), without void
    rate: the learning rate
    returns: a list with the loss of each step, floats
    """
    ### BEGIN SOLUTION
    net.train()
    net.backbone.eval()  # after net.train(), which wakes all layers
    net.backbone.requires_grad_(False)
    optimizer = torch.optim.AdamW(net.head.parameters(), lr=rate)
    losses = []
    for image, target in batches:
        loss = F.cross_entropy(net(image), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
    ### END SOLUTION


check("ex06.finetune", finetune)

# %% [markdown]
# ## 8. Mask AP50
# *stretch, 4 points, about 30 minutes (an estimate)*
#
# **Aim**: score instances by mask AP50, from matching to interpolated precision
#
# Average precision is how instances are scored. For one class and an IoU of 0.5, as COCO counts it:
#
# 1. **Match**, picture by picture, from the highest score down. A prediction takes the true object
#    with which its mask has the highest IoU, among those **not yet taken**. If that IoU is **at
#    least 0.5**, the prediction is right, and the object is taken. Otherwise it is wrong.
# 2. **Pool** the predictions of all pictures, and sort them by score, highest first. After each of
#    them, precision = right ones / predictions so far, and recall = right ones so far / all true
#    objects of all pictures.
# 3. **Interpolate**: at a recall r the precision is the highest one that is reached at r *or at any
#    higher recall*, and 0 where r is never reached.
# 4. **Average** it over the 101 recalls 0, 0.01, …, 1.
#
# By hand, with three objects and four predictions, from the best score down: right, wrong, right,
# wrong.

# %%
recall, precision = [1 / 3, 1 / 3, 2 / 3, 2 / 3], [1, 1 / 2, 2 / 3, 1 / 2]
grid = np.linspace(0, 1, 101)
steps = np.select([grid <= 1 / 3, grid <= 2 / 3], [1, 2 / 3], 0)  # (101,)
fig, ax = plt.subplots(figsize=(6, 2.8))
ax.plot(grid, steps, ".", markersize=3, label="interpolated, at 101 recalls")
ax.plot(recall, precision, "o-", linewidth=1, label="after each prediction")
ax.set(xlabel="recall", ylabel="precision", ylim=(-0.05, 1.1))
ax.legend(fontsize=9)
show.below(fig, f"The mean of the small dots is AP50: {steps.mean():.3f}.")
plt.show()

# %% [markdown]
# And two made-up pictures, with what COCO's own code makes of them:

# %%
rng = np.random.default_rng(7)
found, truth = zip(scene_of(rng, 4), scene_of(rng, 3), strict=True)  # two pictures each
fig, axes = plt.subplots(1, 4, figsize=(11, 3.2))
for k, ax in enumerate(axes):
    said = k % 2
    planes = (found[k // 2]["masks"] if said else truth[k // 2]).numpy()  # (N, 40, 40)
    ax.imshow(planes.sum(axis=0), cmap="Blues" if said else "Greys", vmin=0, vmax=3)
    for n, score in enumerate(found[k // 2]["scores"].tolist() if said else ()):
        rows, columns = np.nonzero(planes[n])
        second = (planes[:n] & planes[n]).any()  # its score stands above it
        place = rows.min() - 0.8 if second else rows.max() + 3.4
        ax.text(columns.mean(), place, f"{score:.2f}", ha="center", fontsize=8)
    ax.set(title="predicted" if said else f"picture {k // 2}: true", xticks=[], yticks=[])
    ax.spines[:].set_visible(True)
show.below(fig, "Objects, and predictions with their scores; dark where two lie on one another.")
plt.show()

ones = [{**f, "labels": torch.ones(len(f["scores"]), dtype=torch.int64)} for f in found]
true = [{"masks": t, "labels": torch.ones(len(t), dtype=torch.int64)} for t in truth]
print(f"AP50 {metrics.instance_ap(ones, true)['ap50']:.3f}")


# %%
def ap50(found, truth):
    """Mask AP at an IoU of 0.5, of one class, at 101 recalls.

    found: for each picture a dict of masks (N, H, W) bool and scores (N,) float64, in no order and
        no two alike; N may be 0
    truth: for each picture the true masks (M, H, W) bool; M may be 0, but not in all
    returns: a float, 0 … 1
    """
    ### BEGIN SOLUTION
    scores, right = [], []
    for said, true in zip(found, truth, strict=True):
        taken = torch.zeros(len(true), dtype=torch.bool)
        for k in said["scores"].argsort(descending=True):
            both = (true & said["masks"][k]).sum(dim=(1, 2))  # (M,)
            iou = both / (true | said["masks"][k]).sum(dim=(1, 2))
            iou[taken] = -1
            hit = bool((iou >= 0.5).any())
            if hit:
                taken[iou.argmax()] = True
            scores.append(said["scores"][k])
            right.append(hit)

    order = np.argsort([-float(score) for score in scores])
    hits = np.cumsum(np.array(right, dtype=int)[order])
    recall, precision = hits / sum(map(len, truth)), hits / np.arange(1, len(hits) + 1)
    return np.mean([max(precision[recall >= r], default=0) for r in np.linspace(0, 1, 101)])
    ### END SOLUTION


check("ex06.ap50", ap50)

# %% [markdown]
# ## 9. Hold the stride of a backbone
# *stretch, 3 points, about 20 minutes (an estimate)*
#
# **Aim**: take strides out of a backbone so that its weights still see what they learnt on
#
# A ResNet halves the picture five times: one cell of its last map stands for 32 × 32 pixels.
# DeepLab takes some of these strides out, so that the map stays dense. Its weights were trained
# with the strides, and a kernel behind a missing one meets neighbours that are half as far apart as
# they used to be. Here is a tiny network, in one dimension, with and without its strides:

# %%
layers = [(3, 2), (3, 1), (3, 2), (3, 1)]  # (kernel, stride) of each
torch.manual_seed(3)
weights = [torch.rand(1, 1, k).softmax(dim=-1) for k, _ in layers]  # each a running mean
signal = (torch.arange(96) // 12 % 2).float()[None, None]  # (1, 1, 96)


def run(signal, held):
    """The network with other strides and rates: held is a list of (stride, rate)."""
    for weight, (stride, rate) in zip(weights, held, strict=True):
        pad = rate * (weight.shape[-1] // 2)
        signal = F.conv1d(signal, weight, stride=stride, dilation=rate, padding=pad)
    return signal[0, 0]


trained = run(signal, [(stride, 1) for _, stride in layers])  # (24,)
naive = run(signal, [(1, 1)] * 4)  # (96,)
fig, ax = plt.subplots(figsize=(7, 2.6))
ax.plot(range(0, 96, 4), trained, "o", label="as it was trained, stride 4")
ax.plot(naive, linewidth=1.5, label="strides out, nothing else")
ax.set(xlabel="place in the signal", ylabel="result", ylim=(0, 1.35))
ax.legend(fontsize=9, loc="upper left", ncols=2)
show.below(fig, "Every fourth result should lie on a dot. It does not.")
plt.show()
print(f"largest difference {(naive[::4] - trained).abs().max():.2f}")

# %% [markdown]
# Say for each layer which stride and which rate it must have, so that the whole network shrinks its
# input by no more than `stride`, and every kernel still sees what it was trained to see. Keep the
# strides of the **first** layers, as far as they are allowed; those that come after are set to 1.
# Then the result has more places, and those that the trained network had too are the same.


# %%
def hold(layers, stride):
    """Strides and rates of a network that shrinks its input by `stride` at most.

    layers: a list of (kernel, stride), from the first to the last; kernels are odd, 3 and up, and
        strides are 1 or 2
    stride: 1, 2, 4, 8, …
    returns: a list of (stride, rate), one for each layer
    """
    ### BEGIN SOLUTION
    now, rate, held = 1, 1, []
    for _, step in layers:
        if step == 2 and now == stride:
            held.append((1, rate))  # its own input is no denser than before
            rate *= 2  # but all that follows is
        else:
            held.append((step, rate))
            now *= step
    return held
    ### END SOLUTION


check("ex06.hold", hold)

# %% [markdown]
# ## Where next
# All nine solved? Then you have written what FCN, DeepLab and Mask R-CNN add to the networks of
# the lessons before, and what they are scored by. If one of them resisted, lesson 06 shows the same
# pieces at work in whole networks.
