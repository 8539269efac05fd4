# %% [markdown]
# # 04 · Losses and metrics
#
# A **metric** tells you how good an answer is. A **loss** tells the network in which direction to
# move. Both put one number on a picture of thousands of decisions, and a number can flatter: the
# laziest answer there is can score 0.95. In this lesson you build each number by hand, on masks of
# sixteen pixels first, and see what it looks at and what it overlooks.
#
# After this lesson you can
#
# - count a confusion matrix with one `bincount`, and read IoU, Dice and accuracy off it
# - say why accuracy lies, and spot a Dice that does
# - choose between data-set and image-averaged IoU, and keep batches out of both
# - write cross-entropy, Dice, IoU, Tversky, focal and Lovász losses that leave void alone
# - look at the gradient of a loss as a picture, and say which pixels it pushes
# - name twelve ways to get a wrong number without an error, and the assert that catches each
#
# **Minutes**: under 1 to run on two CPU cores · GPU: not needed. **Builds on**: lesson 01 (ids,
# void, one-hot planes). Sections 1 to 10 are metrics and the others losses: a good place for a
# break is between the two.

# %%
import cv2
import matplotlib.pyplot as plt
import numpy as np
import torch
from torch.nn import functional as F
from torchmetrics.functional.classification import (
    multiclass_confusion_matrix,
    multiclass_jaccard_index,
)
from torchmetrics.functional.segmentation import dice_score

from segutils import losses, masks, metrics, show
from segutils.datasets import Street

show.use_style()

# %% [markdown]
# ## 1 Sixteen pixels
#
# Here is a truth of 4×4 pixels, and what some model says. 0 is background, 1 person, 2 car, and 255
# void: nobody knows, so it counts nowhere.

# %%
truth = torch.tensor([[0, 0,   2,   2],
                      [0, 1,   2,   2],
                      [0, 1, 255, 255],
                      [0, 0,   0,   0]])
pred = torch.tensor([[0, 0, 2, 2],
                     [0, 1, 1, 2],
                     [0, 0, 2, 1],
                     [0, 0, 0, 2]])
drawn = [masks.colorize(m.numpy()) for m in (truth, pred)]
show.grid([*drawn, show.error_map(pred.numpy(), truth.numpy())], ["truth", "prediction", "errors"],
          side=2.6, caption="Three pixels are wrong, each in its own way.",
          legend=show.error_legend())
plt.show()

# %% [markdown]
# One person pixel is missed, one background pixel is a false alarm, one car pixel is called a
# person. The two void pixels (light grey) are neither right nor wrong. All others are right: dark
# where that is background, mid grey where it is an object.
#
# Take a pencil. Count the pixels of each *true* class by what was *predicted* there, and write the
# nine counts into a table: a row for each true class, a column for each predicted one. This is the
# **confusion matrix**, and every metric of this lesson but one is read off it.
#
# ## 2 The confusion matrix, with one bincount
#
# A loop over pixels would do, slowly. The fast way is a trick: make *one* number of each pair
# (true, predicted), then count how often each number occurs. With three classes `3 * true +
# predicted` gives every pair a number of its own, 0 to 8.

# %% tags=["defines"]
import torch


def confusion_matrix(pred, target, classes, ignore_index=255):
    """Count pixels by true class (row) and predicted class (column): (C, C) int64; no void."""
    if pred.shape != target.shape or pred.is_floating_point() or target.is_floating_point():
        raise ValueError(f"want ids of one shape: {pred.shape} {pred.dtype}, {target.shape}")
    known = target != ignore_index
    pred, target = pred[known].long(), target[known].long()     # (N,) each
    for ids in (pred, target):
        if ids.numel() and not 0 <= ids.min() <= ids.max() < classes:
            raise ValueError(f"ids {ids.unique().tolist()}, but there are {classes} classes")
    pairs = classes * target + pred                             # (N,) 0 … C*C - 1
    return torch.bincount(pairs, minlength=classes**2).reshape(classes, classes)

# %% [markdown]
# Compare with your pencil. The sum of each row is the number of true pixels of that class, and the
# sum of all is the number of pixels without void.
#
# The same cell counts once more, in a loop that anyone can read, with torchmetrics, and with the
# package. Every definition of this lesson is held against an outside judge like this, right after
# it is made.

# %%
matrix = confusion_matrix(pred, truth, 3)     # (3, 3)
print("              said: bg  person  car")
for name, row in zip(masks.CLASSES, matrix.tolist(), strict=True):
    print(f"truly {name:11} {row[0]:4} {row[1]:7} {row[2]:4}")
assert matrix.sum() == (truth != 255).sum() == 14, "void is counted somewhere"

by_loop = np.zeros((3, 3), int)
for said, true in zip(pred.flatten().tolist(), truth.flatten().tolist(), strict=True):
    if true != 255:
        by_loop[true, said] += 1
assert np.array_equal(matrix, by_loop), "the trick counts like the loop"
theirs = multiclass_confusion_matrix(pred, truth, num_classes=3, ignore_index=255)
assert torch.equal(matrix, theirs), "and like torchmetrics"
assert torch.equal(matrix, metrics.confusion_matrix(pred, truth, 3)), "and like the package"

# %% [markdown]
# ## 3 IoU, Dice, accuracy
#
# Take one class, say car. Its **hits** are the pixels that are car in both masks (TP, true
# positives). **False alarms** (FP) were called car and are not; **misses** (FN) are car and were
# called something else.
#
# | score | formula | in words |
# |---|---|---|
# | IoU (Jaccard) | TP / (TP + FP + FN) | shared by both, of all that either claims |
# | Dice (F1) | 2 TP / (2 TP + FP + FN) | shared by both, of the mean size of the two |
# | accuracy | all hits / all pixels | one number for all classes at once |
#
# In the matrix the hits lie on the diagonal, and TP + FN and TP + FP are sums of a row and a
# column. **By pencil**: the IoU and the Dice of car.

# %% tags=["defines"]
def iou_of(matrix):
    """IoU of each class, (C,) float64; NaN where a class is in neither mask."""
    hits, true, said = matrix.diagonal().double(), matrix.sum(dim=1), matrix.sum(dim=0)
    return hits / (true + said - hits)


def dice_of(matrix):                                            # (C,), the same
    return 2 * matrix.diagonal().double() / (matrix.sum(dim=1) + matrix.sum(dim=0))


def accuracy_of(matrix):                                        # one number for all classes
    return (matrix.diagonal().sum().double() / matrix.sum()).item()

# %%
print("IoU ", iou_of(matrix).numpy().round(3), " 7/9, 1/3, 3/5")
print("Dice", dice_of(matrix).numpy().round(3), "14/16, 2/4, 6/8")
print(f"mIoU {iou_of(matrix).nanmean():.3f}, accuracy {accuracy_of(matrix):.3f}")
jaccard = multiclass_jaccard_index(pred, truth, 3, average=None, ignore_index=255)
known = truth != 255
f1 = dice_score(pred[known][None], truth[known][None], 3, average=None, input_format="index")[0]
package = metrics.ConfusionMatrix(3).update(pred, truth)
for ours, outside, house in [(iou_of(matrix), jaccard, package.iou()),
                             (dice_of(matrix), f1, package.dice())]:
    assert torch.allclose(ours.float(), outside) and torch.equal(ours, house)
assert accuracy_of(matrix) == package.accuracy() == 11 / 14

# %% [markdown]
# **mIoU** is the mean of the classes' IoU, the headline number of nearly every paper. IoU and Dice
# of *one* class always rank two predictions alike, since Dice = 2 IoU / (1 + IoU); Dice is the
# friendlier number of the two. Say which one you report.
#
# Now a class that is not there. Cut away the columns with cars: the truth has no car, and a good
# model says none. **Before you run it**: the IoU of car is 0 hits of 0 pixels. Should it be 0, or
# 1, or something else? What does torchmetrics say?

# %%
no_car, said = truth[:, :2], pred[:, :2]                     # (4, 2), background and person
ours = iou_of(confusion_matrix(said, no_car, 3))             # (3,)
jaccard = multiclass_jaccard_index(said, no_car, 3, average=None, ignore_index=255)
print("ours        ", ours.numpy().round(2), f"mean {ours.nanmean():.2f}")
print("torchmetrics", jaccard.numpy().round(2), f"mean over all three {jaccard.mean():.2f}")
print(f"with 1 instead, mean {ours.nan_to_num(1).mean():.2f}")
assert ours.isnan().tolist() == [False, False, True], "0 of 0 is no score: NaN, not 0 or 1"

# %% [markdown]
# Three conventions, three means, one prediction. A 0 punishes the model for a class that it rightly
# left out; a 1 rewards it for nothing. **NaN** says "there is no score here", and `nanmean` leaves
# it out. (torchmetrics' own mean, `average="macro"`, leaves absent classes out as well; the list
# with `average=None` does not tell a 0 that was earned from a class that is absent.)

# %% [markdown]
# ## 4 Predictions without a model
#
# To see what a metric does to real pictures we need imperfect predictions, with faults we know. So
# we make them out of the truth: lose the smallest object, shift the rest by a pixel or two, blur it
# as a coarse network would, and add some smooth noise. What comes out are **logits**: raw scores,
# one plane a class, and the largest one wins.

# %%
def imagine(objects, seed):
    """Plausible logits (3, H, W) made from the true objects (H, W): wrong in known ways."""
    rng = np.random.default_rng(seed)
    small = min(np.unique(objects)[1:], key=lambda k: (objects == k).sum())
    moved = np.roll(np.where(objects == small, 0, objects // 1000), rng.integers(-2, 3, 2), (0, 1))
    planes = np.stack([cv2.GaussianBlur(np.float32(moved == k), (0, 0), 1.5) for k in range(3)])
    noise = np.stack([cv2.GaussianBlur(n, (0, 0), 4) for n in rng.normal(0, 9, planes.shape)])
    return torch.from_numpy(np.log(planes + 1e-3) + noise).float()

# %% [markdown]
# We do this for the first 24 validation pictures of `full`, the harder of the course's two sets,
# look at one of them, and count all of them into one matrix. That could be any network after a few
# minutes of training.

# %%
scenes = [Street("val", "full", instances=True)[k] for k in range(24)]  # image, mask, instances
targets = torch.stack([torch.from_numpy(mask).long() for _, mask, _ in scenes])     # (24, H, W)
logits = torch.stack([imagine(objects, k) for k, (_, _, objects) in enumerate(scenes)])
preds = logits.argmax(dim=1)                                            # (24, H, W) ids
image, target, guess = scenes[18][0], targets[18], preds[18]
show.grid([show.overlay(image, target.numpy()), show.overlay(image, guess.numpy()),
           show.error_map(guess.numpy(), target.numpy())], ["truth", "prediction", "errors"],
          caption="One person is lost; outlines are off by a pixel or two.",
          legend=show.error_legend()[2:])
plt.show()
matrix = confusion_matrix(preds, targets, 3)
print(package := metrics.ConfusionMatrix(masks.CLASSES).update(preds, targets))
assert torch.equal(matrix, package.matrix), "one call over all pictures counts them all"

# %% [markdown]
# ## 5 Accuracy lies
#
# Look at the last line: 98 of 100 pixels are right. (**Recall**, a new column, is the share of a
# class's true pixels that were found, TP / (TP + FN).) Now take the laziest model there is:
# whatever the picture, it says background.
#
# **Before you run it**: guess its pixel accuracy on these 24 pictures, and its IoU of person.

# %%
lazy = torch.zeros_like(targets)                          # background everywhere
lazy_matrix = confusion_matrix(lazy, targets, 3)
drawn = [show.overlay(scenes[k][0], lazy[k].numpy()) for k in (1, 4, 20)]
drawn.append(show.error_map(lazy[20].numpy(), targets[20].numpy()))
show.grid(drawn, ["lazy", "lazy", "lazy", "errors of the third"], caption="Nothing is found.",
          legend=show.error_legend()[2:3])
plt.show()
print(f"accuracy {accuracy_of(lazy_matrix):.3f}, IoU {iou_of(lazy_matrix).numpy().round(3)}")
assert accuracy_of(lazy_matrix) > 0.85 and iou_of(lazy_matrix)[1:].sum() == 0

# %% [markdown]
# Nearly nine of ten pixels are background, so a model that finds nothing is right that often.
# This is **class imbalance**, and accuracy is blind to it. IoU says 0 for person and car; even mIoU
# still holds the background's share. Read the classes one by one, and always score the lazy answer
# too: what your metric gives *it* is the true zero of your scale.
#
# ## 6 Void counted
#
# A target with 255 in it makes many functions stop with an error, and the fix that first comes to
# mind is to turn void into background. We score a perfect answer, the true class of every pixel
# from the instance map, in both ways.

# %%
perfect = torch.from_numpy(np.stack([objects // 1000 for *_, objects in scenes])).long()
as_background = torch.where(targets == 255, 0, targets)          # "the error went away"
for name, wanted in {"void left out": targets, "void as background": as_background}.items():
    each = iou_of(confusion_matrix(perfect, wanted, 3))
    print(f"{name:19} IoU {each.numpy().round(3)}  mIoU {each.nanmean():.3f}")
counted = show.error_map(perfect[20].numpy(), as_background[20].numpy())
show.grid([show.overlay(scenes[20][0], targets[20].numpy()), counted],
          ["truth, void in grey", "errors of a perfect answer"], side=3,
          caption="Every 'false alarm' is a void pixel.")
plt.show()
assert iou_of(confusion_matrix(perfect, targets, 3)).min() == 1, "the truth must score 1"

# %% [markdown]
# Small people are mostly border, so persons lose most. The test costs a line: *score the truth
# against itself*; it must give exactly 1.
#
# ## 7 One matrix for the whole set
#
# Pictures come in batches. A common evaluation loop computes the mIoU of each batch and averages
# these at the end.
#
# **Before you run it**: we do that with the same 24 predictions and five batch sizes. Does the
# result depend on the batch size?

# %%
def miou_by_batches(size):
    """The wrong way: mIoU of each batch, then the mean of those."""
    pairs = zip(preds.split(size), targets.split(size), strict=True)
    return float(np.mean([iou_of(confusion_matrix(p, t, 3)).nanmean() for p, t in pairs]))


print({size: round(miou_by_batches(size), 3) for size in (1, 2, 4, 12, 24)})
total = sum(confusion_matrix(preds[k:k + 5], targets[k:k + 5], 3) for k in range(0, 24, 5))
assert torch.equal(total, matrix), "sum the matrices, whatever the batches, then divide once"

# %% [markdown]
# It does: a ratio of sums is not a mean of ratios. The batch size is a setting of your loader, and
# it must not change a score. **Add up the matrices, divide once at the end**: that is the *data-set
# IoU*, what the benchmarks Pascal VOC and Cityscapes report.
#
# Batches of *one* are a case of their own. The mean over pictures is a respectable metric, the
# **image-averaged IoU**: each picture weighs the same, where the data-set IoU lets each *pixel*
# weigh the same. Each is right; they answer different questions.

# %% tags=["defines"]
def image_miou(pred, target, classes, ignore_index=255):
    """The mIoU of each picture by itself, over the classes in it: (B, H, W) -> (B,) float64."""
    each = [iou_of(confusion_matrix(p, t, classes, ignore_index)).nanmean()
            for p, t in zip(pred, target, strict=True)]
    return torch.stack(each) if each else torch.zeros(0, dtype=torch.float64)

# %%
each = image_miou(preds, targets, 3)                              # (24,)
data_set, by_image = iou_of(matrix).nanmean(), each.nanmean()
print(f"data-set mIoU {data_set:.3f}, image-averaged mIoU {by_image:.3f}")
assert torch.allclose(each, metrics.image_miou(preds, targets, 3), equal_nan=True)
assert data_set - by_image > 0.02, "the same predictions, two numbers"

# %% [markdown]
# The same predictions, and two numbers a reader could take for one another. Large objects
# fill most of the pixels and are easy. A picture whose one small object is missed hardly shows in
# the sum over the data set; in the image average it has a full vote. Report one, and say which.
#
# ## 8 The Dice that gives an empty prediction 0.95
#
# A Dice function that has been copied into many projects goes like this: a plane for each class,
# background included; Dice of each plane of each picture, with a `smooth` of 1 against division by
# zero; then the mean over everything.
#
# Our case: a camera at a quiet street, where one picture in ten shows a person. There are two
# classes, *rest* and *person*.

# %%
def popular_dice(pred, target, smooth=1.0):
    """Dice as it is often written, of ids 0 and 1, (B, H, W). Wrong: see the doors below."""
    each = []
    for k in (0, 1):                                        # door 1: background is averaged in
        p, t = pred == k, target == k                                       # (B, H, W) bool
        both, sums = (p & t).sum(dim=(1, 2)), p.sum(dim=(1, 2)) + t.sum(dim=(1, 2))     # (B,)
        each.append((2 * both + smooth) / (sums + smooth))  # door 2: 0/0 of a picture becomes 1
    return torch.stack(each).mean().item()

# %% [markdown]
# **Before you run it**: the lazy answer finds nobody in any picture. Which Dice will it get?

# %%
val = Street("val", "full")
persons = [torch.from_numpy((val[k][1] == 1).astype(int)) for k in range(len(val))]
empty, found = ([p for p in persons if (p.sum() > 0) == there] for there in (False, True))
quiet = torch.stack(empty[:18] + found[:2])                 # (20, H, W); person is 1
nobody = torch.zeros_like(quiet)
two = confusion_matrix(nobody, quiet, 2)
print(f"popular {popular_dice(nobody, quiet):.2f}, person over the set {dice_of(two)[1]:.2f}")
assert popular_dice(nobody, quiet) > 0.9 and dice_of(two)[1] == 0, "nobody was found: Dice is 0"

# %% [markdown]
# Nobody was found, and the score looks like a good day's work. Where does it come in? We shut one
# door at a time. The third door is a variant: *all* planes put into one sum. Since every pixel has
# one class, that Dice **is** the pixel accuracy, under a better name.

# %%
alone = [1 / (t.sum() + 1) for t in quiet]                  # (2 * 0 + 1) / (0 + pixels + 1)
right = (nobody == quiet).sum()                             # hits, over both planes
one_sum = 2 * right / (2 * quiet.numel())                   # each pixel is in one plane of each
print(f"both doors open                          {popular_dice(nobody, quiet):.3f}")
print(f"door 1 shut: person alone, by picture    {np.mean(alone):.3f}")
print(f"door 2 shut too: one sum over the set    {dice_of(two)[1]:.3f}")
print(f"door 3: all planes in one sum            {one_sum:.3f}, accuracy {accuracy_of(two):.3f}")
assert np.isclose(one_sum, accuracy_of(two)), "Dice over all planes at once is accuracy"

# %% [markdown]
# Door 1: background is easy, so averaging it in lifts every score. Door 2: in a picture without a
# person, (0 + 1) / (0 + 1) = 1 is full marks for an empty mask. That is a *choice* (is it not right
# to find nobody there?), but with it a set of mostly empty pictures scores high by itself. The cure
# is section 7's: one matrix over the set, classes by name, and the lazy answer scored beside.
#
# ## 9 Small objects, and outlines
#
# How many pixels wrong is bad? Shift a square of side *s* by one pixel, and look at its IoU.
#
# **By pencil**: for s = 4. The overlap is 4 × 3, and together the two cover 4 × 5.

# %%
sides = np.array([2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64])
by_formula = (sides - 1) / (sides + 1)                   # s(s - 1) shared, of s(s + 1)
square = np.zeros((16, 16), bool)
square[4:8, 4:8] = True
moved = np.roll(square, 1, axis=1)
assert np.isclose((square & moved).sum() / (square | moved).sum(), by_formula[2])
fig, ax = plt.subplots(figsize=(6, 2.8))
ax.plot(sides, by_formula, "o-")
ax.set(xscale="log", xlabel="side of the square, pixels", ylabel="IoU", ylim=(0, 1.05))
ax.set_xticks(sides, sides)
ax.minorticks_off()
show.below(fig, "One pixel of shift: ruin for small things, nothing for large ones.")
plt.show()
print(dict(zip(sides.tolist(), by_formula.round(2).tolist(), strict=True)))

# %% [markdown]
# So a low IoU may mean "missed" or only "small, and off by one". IoU cannot tell these apart; a
# metric of outlines can. **Boundary F**: take the outline of the class in both masks. Precision is
# the share of the predicted outline that lies within 2 pixels of the true one; recall is the share
# of the true outline within 2 pixels of the predicted one; F is their harmonic mean, 2 · precision
# · recall / (precision + recall).

# %% tags=["defines"]
import cv2
import numpy as np


def outline(inside, known):
    """Pixels of a class with a left, right, upper or lower neighbour not of it; (H, W) bool."""
    inside = inside & known
    wide = np.pad(inside, 1, mode="edge")                 # the picture's border is no outline
    full = wide[:-2, 1:-1] & wide[2:, 1:-1] & wide[1:-1, :-2] & wide[1:-1, 2:]
    return inside & ~full


def share_near(line, other, tolerance):
    """The share of a line that is within `tolerance` pixels of another; 0 without any."""
    if not line.any() or not other.any():
        return 0.0
    far = cv2.distanceTransform(np.uint8(~other), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)   # (H, W)
    return (far[line] <= tolerance).mean()


def boundary_f(pred, target, classes, tolerance=2.0, ignore_index=255):
    """Boundary F of each class in one picture of ids (H, W): (C,); NaN without any outline."""
    pred, target = np.asarray(pred), np.asarray(target)
    known, scores = target != ignore_index, []
    for k in range(classes):
        said, true = outline(pred == k, known), outline(target == k, known)
        precision, recall = share_near(said, true, tolerance), share_near(true, said, tolerance)
        both = precision + recall
        scores.append(2 * precision * recall / both if both else 0.0)
        if not (said | true).any():
            scores[-1] = np.nan
    return np.array(scores)

# %% [markdown]
# Void is cut out of both masks, so the true outline runs along the void seam, and so does the
# predicted one. The package finds near pixels in another way (a disk slid over the picture); the
# two must agree.

# %%
for k in range(24):
    ours = boundary_f(preds[k], targets[k], 3)
    assert np.allclose(ours, metrics.boundary_f(preds[k], targets[k], 3), equal_nan=True)
each = metrics.boundary_f(preds, targets, 3).nanmean(dim=0)          # (3,), the mean of pictures
print("boundary F", each.numpy().round(2), "of background, person, car")

# %% [markdown]
# Now we make two bad cars out of one good one: fatter all around by two pixels, and with its end
# cut off so far that the IoU is about the same.
#
# **Before you run it**: which of the two will keep a good boundary F?

# %%
car = np.uint8(scenes[3][2] == 2004)                                 # (H, W), one whole car
fatter = cv2.dilate(car, cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)), iterations=2)
cut = car.copy()
cut[:, :np.argwhere(car.any(axis=0)).min() + 10] = 0
for name, made in {"fatter": fatter, "cut": cut}.items():
    both = torch.from_numpy(made).long(), torch.from_numpy(car).long()
    print(f"{name:7} IoU {iou_of(confusion_matrix(*both, 2))[1]:.2f}, "
          f"boundary F {boundary_f(*both, 2)[1]:.2f}")
show.grid([show.error_map(made, car) for made in (fatter, cut)], ["fatter", "cut"], side=3,
          legend=show.error_legend()[1:4],
          caption="IoU calls these alike; the outline tells them apart.")
plt.show()

# %% [markdown]
# The fatter car is within tolerance everywhere; the cut one has an outline where there is none.
# Report boundary F beside IoU where outlines matter, and name the tolerance.
#
# ## 10 Resize logits, score at full size
#
# Many networks answer on a coarser grid than the picture. Then something has to be resized, and
# there are four ways. We make coarse logits, one for 8×8 pixels.
#
# **Before you run it**: which way is right, and which one gives the *highest* score?

# %%
coarse = F.avg_pool2d(logits, 8)                                    # (24, 3, 16, 16)
ids = coarse.argmax(dim=1)                                          # (24, 16, 16)


def enlarge(x, mode):
    return F.interpolate(x.float(), size=(128, 128), mode=mode)


small_targets = F.interpolate(targets[:, None].float(), size=(16, 16), mode="nearest-exact")
ways = {
    "target made small": (ids, small_targets[:, 0].long()),
    "ids, bilinear": (enlarge(ids[:, None], "bilinear")[:, 0].round().long(), targets),
    "ids, nearest": (enlarge(ids[:, None], "nearest-exact")[:, 0].long(), targets),
    "logits, bilinear": (enlarge(coarse, "bilinear").argmax(dim=1), targets),
}
for name, pair in ways.items():
    each = iou_of(confusion_matrix(*pair, 3))
    print(f"{name:18} IoU {each.numpy().round(2)}  mIoU {each.mean():.3f}")

# %% [markdown]
# Each row scores the same network, and the highest score belongs to the way that made the truth
# coarser.

# %%
show.grid([show.overlay(scenes[18][0], ways[name][0][18].numpy(), 0.8) for name in list(ways)[1:]],
          list(ways)[1:], legend=show.class_legend(void=False),
          caption="Averaged ids draw a 'person' around every car: 1 lies between 0 and 2.")
plt.show()
halo = ways["ids, bilinear"][0] == 1
print(f"invented person pixels: {(halo & (perfect == 2)).sum() / (perfect == 2).sum():.0%} "
      "of the car pixels")
assert ways["logits, bilinear"][0].shape == targets.shape, "score at the size of the truth"

# %% [markdown]
# Making the *target* small throws the hard pixels away before they are counted: small people vanish
# from the truth. No other paper's number can be compared with it. Ids are names and have no
# average (lesson 01); picked by nearest they stay ids, in blocks, and the mean over the classes is
# lower. **Resize the logits, then argmax, and score at the size of the truth.**
#
# A cousin of this mistake is a threshold on the wrong thing. "Person where the prediction is over
# 0.5" means three things, and two of them are wrong. (A pixel's *probabilities* come from its
# logits by **softmax**: *e* to the power of each, divided by their sum.)

# %%
prob = logits.softmax(dim=1)                                        # (24, 3, H, W), sums to 1
for name, over in {"ids > 0.5": preds > 0.5, "logits > 0.5": logits[:, 1] > 0.5,
                   "probabilities > 0.5": prob[:, 1] > 0.5}.items():
    score = iou_of(confusion_matrix(over.long(), torch.where(targets == 2, 0, targets), 2))[1]
    print(f"{name:20} IoU of person {score:.2f}")
nowhere = (prob.max(dim=1).values <= 0.5).sum()
print("pixels where no class is over 0.5:", "some" if nowhere else "none")

# %% [markdown]
# `ids > 0.5` makes people of all cars; a *logit* of 0.5 is no particular probability. And with
# three classes even a threshold of 0.5 on probabilities leaves some pixels without a class, where
# argmax would decide.

# %% [markdown]
# ## 11 From score to loss
#
# Why not train on IoU itself? Take the person pixel that our 4×4 prediction missed, and raise its
# score for "person" slowly, from -4 to 4. Training needs a **slope**: a small step must make a
# small difference.
#
# **Before you run it**: draw how the IoU of person changes along the way.

# %%
scores = 2.0 * F.one_hot(pred, 3).movedim(2, 0)[None].float()     # (1, 3, 4, 4), 2 where predicted
tiny, steps = truth[None], torch.linspace(-4, 4, 81)              # (1, 4, 4), (81,)
curves = []                                                       # (81, 3) in the end
for step in steps:
    x = scores.clone()
    x[0, 1, 2, 1] = step                                          # person's score of one pixel
    hard = iou_of(confusion_matrix(x.argmax(dim=1), tiny, 3))[1]
    curves.append([1 - hard, losses.cross_entropy(x, tiny), losses.dice_loss(x, tiny)])

# %%
fig, ax = plt.subplots(figsize=(6, 2.8))
ax.plot(steps, curves, label=["1 - IoU of person", "cross-entropy", "Dice loss"])
ax.set(xlabel="score for person of one missed pixel", ylabel="loss", ylim=(0, 1.05))
ax.legend(fontsize=9, loc="upper right", ncols=3)
show.below(fig, "IoU stands still, then jumps; a loss slides.")
plt.show()
assert len(set(np.array(curves)[:, 0])) == 2, "argmax has no slope: two levels, one jump"
assert (np.diff(curves, axis=0)[:, 1:] < 0).all(), "a loss goes down all the way"

# %% [markdown]
# The jump comes from argmax. So losses leave argmax out and work on **probabilities**: softmax
# turns the logits of a pixel into positive numbers that sum to 1, and these move with every step.
#
# ## 12 Cross-entropy
#
# The oldest loss asks each pixel by itself: how surprised was the model by the truth? That is
# -log p, with p its probability for the true class. The loss is the mean over the known pixels.
#
# All losses of this lesson share a first step, which is where void is dealt with once and for all.

# %% tags=["defines"]
from torch.nn import functional as F


def prepare(logits, target, ignore_index=255):
    """Checked; 0 where void, in both; and which pixels are known, (B, H, W) bool."""
    fits = logits.ndim == 4 and logits.shape[:1] + logits.shape[2:] == target.shape
    if not fits or not logits.is_floating_point() or target.dtype != torch.int64:
        raise ValueError(f"want logits (B, C, H, W) float, target (B, H, W) int64: "
                         f"{logits.shape} {logits.dtype}, {target.shape} {target.dtype}")
    known = target != ignore_index
    if ((target < 0) | (target >= logits.shape[1]))[known].any():
        raise ValueError(f"ids {target.unique().tolist()} for {logits.shape[1]} classes")
    logits = logits if logits.dtype == torch.float64 else logits.float()
    return logits.masked_fill(~known[:, None], 0), target.masked_fill(~known, 0), known


def cross_entropy(logits, target, ignore_index=255, weight=None):
    """Mean of -log p(true class) over the known pixels; `weight` (C,) by true class."""
    logits, target, known = prepare(logits, target, ignore_index)
    log_p = logits - logits.logsumexp(dim=1, keepdim=True)            # (B, C, H, W)
    surprise = -log_p.gather(1, target[:, None])[:, 0]                # (B, H, W)
    each = known.to(logits)
    if weight is not None:
        each = each * torch.as_tensor(weight).to(logits)[target]
    return (each * surprise).sum() / each.sum().clamp(min=1e-12)

# %% [markdown]
# **By pencil**: in our 4×4 scores the predicted class has 2 and the others 0. The softmax gives it
# e² / (e² + 1 + 1) = 0.787, the others 0.107 each. 11 pixels are right and 3 wrong. What is the
# loss?

# %%
by_pencil = (11 * -np.log(0.787) + 3 * -np.log(0.107)) / 14
print(f"by pencil {by_pencil:.2f}, ours {cross_entropy(scores, tiny):.2f}")
weight = torch.tensor([0.2, 1.0, 0.5])
for x, y in [(scores, tiny), (logits, targets)]:
    for w in (None, weight):
        ours = cross_entropy(x, y, weight=w)
        assert torch.isclose(ours, F.cross_entropy(x, y, w, ignore_index=255)), "as torch has it"
        assert torch.isclose(ours, losses.cross_entropy(x, y, weight=w)), "as the package has it"

# %% [markdown]
# A crop can be void all over. Torch's mean is then 0 / 0, and one NaN in a loss makes every weight
# of the network NaN in a single step. Ours divides by "at least a little".

# %%
all_void = torch.full((1, 4, 4), 255)
print("torch  ", F.cross_entropy(scores, all_void, ignore_index=255).item())
print("ours   ", cross_entropy(scores, all_void).item())
print("package", losses.cross_entropy(scores, all_void).item())
assert cross_entropy(scores, all_void) == 0, "nothing known, nothing to learn: 0, not NaN"

# %% [markdown]
# ## 13 Softmax twice
#
# A loss like this one wants raw logits, since it takes the softmax itself. A network whose last
# layer is a softmax fits just as well: same shape, same dtype, no error.
#
# We look at the **push**: the size of the gradient at each pixel, which is how hard the loss pulls
# there. The first picture shows the push with logits, the second with probabilities in their place.
#
# **Before you run it**: where should a good loss push?

# %%
def push(loss, logits, target):
    """How hard a loss pulls at each pixel: (B, C, H, W) -> (B, H, W), times the pixels."""
    x = logits.clone().requires_grad_()
    loss(x, target).backward()
    return x.grad.abs().sum(dim=1) * target.numel()


def twice(x, y):
    return cross_entropy(x.softmax(dim=1), y)


one = slice(18, 19)                                                 # a batch of picture 18
maps = [push(loss, logits[one], targets[one])[0] for loss in (cross_entropy, twice)]
grays = [np.repeat((m / 2).clamp(0, 1).numpy()[..., None], 3, axis=2) for m in maps]
show.grid([show.error_map(preds[18].numpy(), targets[18].numpy()), *grays],
          ["errors", "softmax once", "softmax twice"], legend=show.error_legend()[2:],
          caption="The brighter, the harder the push, on one scale: 2 is white.")
plt.show()
wrong = (preds[18] != targets[18]) & (targets[18] != 255)
print("push at a wrong pixel: once {:.1f}, twice {:.1f}".format(*(m[wrong].mean() for m in maps)))

# %% [markdown]
# A good loss pushes where the model is wrong, and with one softmax it does. With two the push is
# weaker just there, and the surer the model, the weaker: a sure softmax is nearly flat. What that
# does shows on the smallest example: we let gradient descent move the 4×4 scores themselves, as if
# they were a network with nothing to learn but this picture.

# %%
def descend(loss, start, target, steps=300, rate=5.0):
    """Plain gradient descent on the logits themselves."""
    x = start.clone().requires_grad_()
    for _ in range(steps):
        (slope,) = torch.autograd.grad(loss(x, target), x)
        x = (x - rate * slope).detach().requires_grad_()
    return x.detach()


confident = 5 * scores                                   # the same prediction, but very sure
for name, loss in {"once": cross_entropy, "twice": twice}.items():
    end = descend(loss, confident, tiny)
    right = (end.argmax(dim=1) == tiny).sum()
    print(f"{name:5}: {right} of 14 pixels right, loss {loss(end, tiny):.2f}")
print(f"the least loss that is possible with softmax twice: {np.log(np.e + 2) - 1:.2f}")
assert (descend(twice, confident, tiny).argmax(dim=1) == tiny).sum() < 14

# %% [markdown]
# With softmax twice the confident mistakes are all still there after 300 steps. And even without
# mistakes the loss cannot fall below 0.55 for three classes: probabilities differ by 1 at most, and
# e / (e + 2) is all that this can become. If a training loss stalls just above log(e + C - 1) - 1,
# look for a second softmax.
#
# ## 14 Dice, IoU and Tversky as losses
#
# Replace counts by sums of probabilities, and the scores of section 3 get a slope. With p the
# probability of a class and t its plane of 0 and 1: the hits are Σ p·t, what was said is Σ p, what
# is true is Σ t. The sums run over all known pixels of the batch, a class at a time.

# %% tags=["defines"]
def overlaps(logits, target, ignore_index=255):
    """Soft hits, said and true pixels of each class: three times (C,)."""
    logits, target, known = prepare(logits, target, ignore_index)
    p = logits.softmax(dim=1) * known[:, None]                        # (B, C, H, W)
    t = F.one_hot(target, logits.shape[1]).movedim(3, 1) * known[:, None]
    return (p * t).sum(dim=(0, 2, 3)), p.sum(dim=(0, 2, 3)), t.sum(dim=(0, 2, 3))


def mean_of(loss, true, classes):
    """Mean of (C,) over the classes with true pixels ("present"), or over "all"."""
    if classes not in ("present", "all"):
        raise ValueError(f'classes must be "present" or "all", not {classes!r}')
    counted = (true > 0) | (classes == "all")
    return (loss * counted).sum() / counted.sum().clamp(min=1)


def dice_loss(logits, target, ignore_index=255, classes="present", smooth=1e-6):
    """1 - soft Dice: 2 hits / (said + true)."""
    hits, said, true = overlaps(logits, target, ignore_index)
    return mean_of(1 - (2 * hits + smooth) / (said + true + smooth), true, classes)


def jaccard_loss(logits, target, ignore_index=255, classes="present", smooth=1e-6):
    """1 - soft IoU: hits / (said + true - hits)."""
    hits, said, true = overlaps(logits, target, ignore_index)
    return mean_of(1 - (hits + smooth) / (said + true - hits + smooth), true, classes)


def tversky_loss(logits, target, ignore_index=255, alpha=0.3, beta=0.7, classes="present",
                 smooth=1e-6):
    """1 - soft Tversky: hits / (hits + alpha * false alarms + beta * misses)."""
    hits, said, true = overlaps(logits, target, ignore_index)
    bottom = hits + alpha * (said - hits) + beta * (true - hits)
    return mean_of(1 - (hits + smooth) / (bottom + smooth), true, classes)

# %% [markdown]
# Tversky is the family: `alpha` is the price of a false alarm and `beta` that of a miss. With 0.5
# and 0.5 it is Dice, with 1 and 1 it is IoU. Which error is worse is for you to say, not for the
# loss.
#
# **By pencil**: the soft hits of person. Two pixels are truly person; one has p = 0.787, the other
# 0.107. Then three judges: a NumPy oracle (the same sums, written independently) for probabilities,
# torchmetrics for hard answers (logits so large that p is 0 or 1), and the package.

# %%
hits, said, true = overlaps(scores, tiny)
print(f"person: hits {hits[1]:.2f}, said {said[1]:.2f}, true {true[1]}")
p = np.exp(scores[0].numpy()) / np.exp(scores[0].numpy()).sum(axis=0)       # (3, 4, 4)
t = np.stack([truth.numpy() == k for k in range(3)])
p = p * (truth.numpy() != 255)
oracle = 1 - np.mean(2 * (p * t).sum((1, 2)) / (p.sum((1, 2)) + t.sum((1, 2))))
print(f"Dice loss: oracle {oracle:.3f}, ours {dice_loss(scores, tiny):.3f}")
assert np.isclose(dice_loss(scores, tiny), oracle)
assert torch.isclose(dice_loss(100 * scores, tiny), 1 - f1.mean()), "hard: 1 - Dice"
hard = iou_of(confusion_matrix(pred, truth, 3)).mean().float()
assert torch.isclose(jaccard_loss(100 * scores, tiny), 1 - hard), "hard: 1 - IoU"
for ours in (dice_loss, jaccard_loss, tversky_loss):
    assert torch.isclose(ours(logits, targets), getattr(losses, ours.__name__)(logits, targets))
for price, same in {0.5: dice_loss, 1: jaccard_loss}.items():
    assert torch.isclose(tversky_loss(logits, targets, 255, price, price), same(logits, targets))

# %% [markdown]
# ## 15 Void, absent classes, empty truth
#
# A home-made Dice loss often starts with `F.one_hot(target, 3)`, and stops at once: 255 is no
# class. The mend that comes to mind is `clamp`.
#
# **Before you run it**: which class do void pixels become, and whose truth changes?

# %%
clamped = targets.clamp(max=2)                              # the error is gone
show.grid([masks.colorize(targets[20].numpy()), masks.colorize(clamped[20].numpy())],
          ["truth", "one-hot of clamp(max=2)"], side=3, legend=show.class_legend(),
          caption="Every person now wears a coat of car.")
plt.show()
print("IoU of a perfect answer:", iou_of(confusion_matrix(perfect, clamped, 3)).numpy().round(2))
assert overlaps(logits[20:21], targets[20:21])[2][2] == (targets[20] == 2).sum(), "void is no car"
assert (clamped == 2).sum() > (targets == 2).sum(), "clamp made cars out of void"

# %% [markdown]
# `clamp` makes void the *last* class, here car. So the truth of car gains every seam, the people's
# too, and a perfect answer scores 0.93 for car and 0.83 for person. What void should do is nothing
# at all, and that can be tested: put anything into the void pixels, and neither value nor gradient
# may move. Even infinity and NaN, which multiplying by 0 would not remove (0 · NaN is NaN);
# `masked_fill` does.

# %%
spoilt = logits[one].clone()
spoilt.movedim(1, -1)[targets[one] == 255] = torch.tensor([np.nan, np.inf, -1e9])
for loss in (cross_entropy, dice_loss, jaccard_loss, tversky_loss):
    assert loss(spoilt, targets[one]) == loss(logits[one], targets[one]), "void changes the value"
    assert push(loss, spoilt, targets[one])[targets[one] == 255].eq(0).all(), "void is pushed"
    assert loss(scores, all_void) == 0, "nothing known: 0"
print("void changes nothing")

# %% [markdown]
# **Absent classes.** In a picture with no car the Dice of car is about 0 / 0, and with p in place
# of counts never quite. By default ours leaves absent classes out ("present"). With `classes="all"`
# they count, and `smooth` decides how. We take a truth without cars and raise a false alarm of n
# pixels.

# %%
street = torch.zeros(1, 128, 128, dtype=torch.int64)       # nothing but background
alarms = [(torch.arange(128 * 128) < n).long().view(1, 128, 128) for n in (0, 1, 10, 100)]
print("false car pixels       0       1      10     100")
for classes, smooth in [("present", 1e-6), ("all", 1e-6), ("all", 1.0)]:
    each = [dice_loss(100.0 * F.one_hot(2 * a, 3).movedim(3, 1), street, 255, classes, smooth)
            for a in alarms]
    print(f"{classes:7} {smooth:5.0e}   ", "  ".join(f"{loss:6.3f}" for loss in each))

# %% [markdown]
# "present" hardly sees the false alarms (they show in the background's Dice, barely). "all" with a
# tiny `smooth` falls off a cliff at the first pixel: no slope. "all" with a `smooth` of 1 has a
# slope, and flatters a small object that is missed. There is no free choice here; say which one
# you made. Cross-entropy has no such question, one more reason to add the two (section 19).
#
# ## 16 Sums that overflow in half precision
#
# On a GPU logits often come in fp16, whose largest number is 65,504. A batch of sixteen 128×128
# pictures has 262,144 pixels.

# %%
half = logits[:16].half()                                    # (16, 3, 128, 128)
p = half.softmax(dim=1)
t = F.one_hot(targets[:16].masked_fill(targets[:16] == 255, 0), 3).movedim(3, 1).half()
hits, sums = (p * t).sum(dim=(0, 2, 3)), (p + t).sum(dim=(0, 2, 3))
print(f"background: hits {hits[0]}, said + true {sums[0]}, Dice {(2 * hits / sums)[0]}")
in_16, in_32 = dice_loss(half, targets[:16]), dice_loss(logits[:16], targets[:16])
print(f"ours, which sums in fp32: loss {in_16:.2f}")
assert torch.isclose(in_16, in_32, atol=1e-3) and hits[0].isinf(), "sum in fp32: logits.float()"

# %% [markdown]
# Infinity by infinity is NaN, and on a batch of one all was well: this bug waits for the day when
# you double the batch. `prepare` makes the logits fp32 first. Lesson 05 trains in 16 bits.
#
# ## 17 Focal loss
#
# Nearly all pixels are easy background. Each has a tiny cross-entropy, but there are thousands.
# Focal loss scales each pixel's cross-entropy by (1 - p)^γ: an easy pixel with p = 0.99 and γ = 2
# counts one ten-thousandth, a hard one with p = 0.1 four fifths.

# %% tags=["defines"]
def focal_loss(logits, target, ignore_index=255, gamma=2.0, alpha=None):
    """Mean of -alpha (1 - p)^gamma log p over the known pixels; `alpha` (C,) by true class."""
    logits, target, known = prepare(logits, target, ignore_index)
    log_p = logits.log_softmax(dim=1).gather(1, target[:, None])[:, 0]      # (B, H, W)
    loss = -((-torch.expm1(log_p)).clamp(min=1e-12) ** gamma) * log_p * known   # expm1: p - 1
    if alpha is not None:
        loss = loss * torch.as_tensor(alpha).to(logits)[target]
    return loss.sum() / known.sum().clamp(min=1)

# %%
oracle = (11 * 0.213**2 * -np.log(0.787) + 3 * 0.893**2 * -np.log(0.107)) / 14     # by pencil
print(f"focal loss: by pencil {oracle:.3f}, ours {focal_loss(scores, tiny):.3f}")
assert np.isclose(focal_loss(scores, tiny), oracle, atol=2e-3)
assert torch.isclose(focal_loss(logits, targets, gamma=0), cross_entropy(logits, targets))
assert torch.isclose(focal_loss(logits, targets), losses.focal_loss(logits, targets))
ce, focal = (push(loss, logits, targets)[(preds == 0) & (targets == 0)].sum()
             / push(loss, logits, targets).sum() for loss in (cross_entropy, focal_loss))
print(f"share of the push on right background: cross-entropy {ce:.0%}, focal {focal:.0%}")

# %% [markdown]
# (The pencil rounded p, hence 0.390.) Focal loss does what it promises: right background now gets
# 7 % of the push, where cross-entropy spent 27 % on it. The last loss goes back to IoU.
#
# ## 18 Lovász: IoU with a slope
#
# Soft IoU equals IoU only for hard answers, and in between it is some other function. The **Lovász
# loss** connects the same corners by straight lines. Sort the pixels by their error |t - p|, worst
# first. Make them wrong in this order, and note by how much each one raises 1 - IoU. The loss of a
# class is the sum of errors, each times its own step.

# %% tags=["defines"]
def lovasz_softmax(logits, target, ignore_index=255, classes="present"):
    """The Lovász extension of 1 - IoU of each class, at the errors |t - p| of the pixels."""
    logits, target, known = prepare(logits, target, ignore_index)
    each, truths = [], []
    for k in range(logits.shape[1]):
        p, t = logits.softmax(dim=1)[:, k][known], target[known] == k       # (N,) each
        error, order = (t.to(p) - p).abs().sort(descending=True)
        t = t[order].double()
        wrong = torch.arange(1, len(t) + 1, device=t.device)                # 1 … N wrong
        steps = (wrong / (t.sum() + (1 - t).cumsum(dim=0))).diff(prepend=t.new_zeros(1))
        each.append((error * steps.to(error)).sum())
        truths.append(t.sum())
    return mean_of(torch.stack(each), torch.stack(truths), classes)

# %% [markdown]
# The oracle looks at it in another way: for each threshold, call all pixels with a larger error
# wrong and take 1 - IoU; the loss is the mean of that over thresholds from 0 to 1.

# %%
p, known = scores[0].softmax(dim=0)[:, truth != 255].double(), truth[truth != 255]     # (3, 14)
total = []
for k in range(3):
    error, t = ((known == k).double() - p[k]).abs(), known == k
    levels = (torch.arange(20_000) + 0.5) / 20_000
    wrong = error[None] > levels[:, None]                               # (20000, 14)
    total.append((wrong.sum(dim=1) / (wrong | t).sum(dim=1)).mean())
print(f"oracle {np.mean(total):.3f}, ours {lovasz_softmax(scores, tiny):.3f}")
assert np.isclose(np.mean(total), lovasz_softmax(scores, tiny), atol=1e-3)
assert torch.isclose(lovasz_softmax(100 * scores, tiny), 1 - hard), "hard: exactly 1 - IoU"
assert torch.isclose(lovasz_softmax(logits, targets), losses.lovasz_softmax(logits, targets))
assert lovasz_softmax(scores, all_void) == 0

# %% [markdown]
# ## 19 What a gradient looks like
#
# Six losses, one prediction. Where does each of them push? The prediction is that of section 4,
# with one person lost, and each picture is scaled to its own brightest pixels.
#
# **Before you run it**: cross-entropy treats pixels alike. Which of the six will look most like
# it, and which will light up the small people?

# %%
weight = torch.tensor([1.0, 20.0, 4.0])                               # rare classes weigh more
six = {"cross-entropy": cross_entropy,
       "CE, class weights": lambda x, y: cross_entropy(x, y, weight=weight),
       "focal": focal_loss, "Dice": dice_loss, "IoU": jaccard_loss, "Lovász": lovasz_softmax}
pushes = {name: push(loss, logits[one], targets[one])[0] for name, loss in six.items()}
bright = [np.repeat((m / m.quantile(0.995)).clamp(0, 1).numpy()[..., None], 3, axis=2)
          for m in pushes.values()]
show.grid([show.overlay(scenes[18][0], targets[18].numpy()),
           show.error_map(preds[18].numpy(), targets[18].numpy()), *bright],
          ["truth", "errors", *pushes], legend=show.error_legend()[2:],
          caption="Bright: pushed hard. Void seams are black in every picture.")
plt.show()
assert all((m[targets[18] == 255] == 0).all() for m in pushes.values()), "void is pushed"

# %% [markdown]
# All of them push along outlines, where the answer is undecided. Focal keeps the picture of cross
# entropy and thins it out; the other four turn towards the people. Let us put numbers on it: what
# share of the whole push, over all 24 pictures, goes to people, and how hard is a person pixel
# pushed compared with a car pixel?

# %%
people, cars = targets == 1, targets == 2                             # (24, H, W)
print(f"people are {people.sum() / (targets != 255).sum():.1%} of the known pixels")
for name, loss in six.items():
    each = push(loss, logits, targets)
    print(f"{name:18} {each[people].sum() / each.sum():4.0%} of the push on people; "
          f"a person pixel gets {each[people].mean() / each[cars].mean():4.1f} times a car's")

# %% [markdown]
# **Small objects and imbalance.** Dice divides each class by its own size, so a class with few
# pixels gets more push for each of them; class weights do the same by hand. Mind the word *class*:
# a small person beside a large one is no better off, because both are in the same sum.
#
# Now the object that is lost, with *confidence*. We take the background's score at the lost
# person's pixels higher and higher.

# %%
margins = torch.arange(0, 13)
lost = torch.from_numpy(scenes[18][2] == 1001) & (targets[18] == 1)               # (H, W)
curves = {name: [] for name in ("cross-entropy", "Dice", "Lovász")}
for margin in margins:
    x = logits[one].clone()
    x[0][:, lost] = torch.tensor([float(margin), 0.0, 0.0])[:, None]
    for name, curve in curves.items():
        curve.append(push(six[name], x, targets[one])[0][lost].mean().item())
fig, ax = plt.subplots(figsize=(6, 2.8))
for name, curve in curves.items():
    ax.semilogy(margins, curve, label=name)
ax.set(xlabel="background's lead at the lost pixels, in logits", ylabel="push on a lost pixel")
ax.legend(fontsize=9)
show.below(fig, "Dice gives a confident miss up; cross-entropy never does.")
plt.show()
assert curves["Dice"][-1] < curves["Dice"][0] / 100 and curves["cross-entropy"][-1] > 1

# %% [markdown]
# This is the most useful picture of the lesson. A softmax that is sure has no slope left, and Dice
# multiplies by that slope. In cross-entropy the logarithm cancels it: its push on a confident miss
# *grows* to a constant. Cross-entropy gets out of any hole, and Dice cares for small classes. So
# people **add them**.

# %%
def ce_dice(logits, target, ignore_index=255):
    return cross_entropy(logits, target, ignore_index) + dice_loss(logits, target, ignore_index)


total = losses.sum_of((1, losses.cross_entropy), (1, losses.dice_loss))
print("sum_of makes:", total.__name__)
for x, y in [(scores, tiny), (logits, targets), (scores, all_void)]:
    assert torch.isclose(ce_dice(x, y), losses.ce_dice(x, y))
    assert torch.isclose(ce_dice(x, y), total(x, y))
start = torch.zeros_like(logits[one])
start[:, 0] = 9.0                                           # all background, and sure of it
for name, loss in {"Dice": dice_loss, "cross-entropy": cross_entropy, "CE + Dice": ce_dice}.items():
    end = descend(loss, start, targets[one], steps=60, rate=2000.0)
    each = iou_of(confusion_matrix(end.argmax(dim=1), targets[one], 3))
    print(f"{name:13} from all background, 60 steps: IoU {each.numpy().round(2)}")

# %% [markdown]
# (Here the logits themselves are moved, so nothing is learned but this picture. Lesson 05 trains
# networks with each of these losses, three times each, and compares.)
#
# ## Summary
#
# A score is a question. Ask the one you mean, ask it once over the whole set, and score the lazy
# answer beside your model. Then, before you trust any number:
#
# 1. the **truth against itself** scores 1, and the **lazy answer** 0 for every object class;
# 2. the score **does not depend on the batch size**;
# 3. **void** changes neither score, loss nor gradient, whatever stands there;
# 4. absent classes have **no** score; say what you do with them.
#
# | the pitfall | what it cost here | what catches it |
# |---|---|---|
# | accuracy | an empty answer scores 0.88 | the lazy answer, class by class |
# | an absent class as 0 or as 1 | a mean of 0.68 becomes 0.45 or 0.79 | NaN and `nanmean` |
# | void counted | a perfect answer loses 0.17 for person | the truth against itself |
# | mIoU averaged over batches | another number for each batch size | summed matrices |
# | background and 0/0 in Dice | an empty answer scores 0.95 | the lazy answer |
# | the target made small | no longer comparable | the size of the truth |
# | ids resized | IoU of person from 0.47 to 0.18 | logits first, then argmax |
# | a threshold on ids or logits | IoU of person under 0.2 | softmax first |
# | softmax twice | the loss cannot fall below 0.55 | the least loss; one picture overfitted |
# | an all-void batch | NaN | `loss(x, all_void) == 0` |
# | one-hot of 255, clamped | void becomes the last class | sums of the planes |
# | sums in fp16 | infinity, NaN | `logits.float()` |
#
# ## If it goes wrong
#
# | symptom | cause | section |
# |---|---|---|
# | 0.9 or more after one epoch, empty predictions | accuracy, or a Dice like it | 5, 8 |
# | a score that stops near 0.9 though the masks look perfect | void is counted | 6 |
# | validation score changes with the batch size | means of batches | 7 |
# | your mIoU and theirs differ a little | by image or set, absent classes, size | 3, 7, 10 |
# | outlines of another class around objects | ids were resized or averaged | 10 |
# | the loss stalls just above 0.55 (three classes) | softmax twice | 13 |
# | the loss is NaN now and then | an all-void crop | 12 |
# | the loss is NaN since the batch is larger | sums in fp16 | 16 |
# | the Dice loss stands still from the start | sure of background: add cross-entropy | 19 |
# | "ids … for 3 classes" | the target holds an id that you did not expect | 15; lesson 01 |

# %% [markdown]
# ## Exercises
#
# In [exercises/ex04_losses_and_metrics.ipynb](exercises/ex04_losses_and_metrics.ipynb), with checks
# that answer at once: `ex04.confusion_matrix` (with one bincount), `ex04.dice` (with void and
# absent classes), `ex04.two_means` (image-averaged against data-set IoU), `ex04.mend_dice` (find
# what gives an empty prediction 0.95), `ex04.iou_loss`, and `ex04.threshold` (chosen on the right
# split).
#
# Without a check: score the all-background answer with the metric of your last project.
#
# ## Sources
#
# - M. Everingham et al., *The PASCAL Visual Object Classes Challenge: A Retrospective*, IJCV 2015,
#   doi:10.1007/s11263-014-0733-5: IoU over the data set, void left out.
# - G. Csurka, D. Larlus, F. Perronnin, *What is a good evaluation measure for semantic
#   segmentation?*, BMVC 2013, doi:10.5244/C.27.32: scores by image, and of outlines.
# - F. Perazzi et al., *A Benchmark Dataset and Evaluation Methodology for Video Object
#   Segmentation*, CVPR 2016, doi:10.1109/CVPR.2016.85: the boundary F.
# - L. R. Dice, *Measures of the Amount of Ecologic Association Between Species*, Ecology 1945,
#   doi:10.2307/1932409.
# - M. Drozdzal et al., *The Importance of Skip Connections in Biomedical Image Segmentation*, 2016,
#   arXiv:1608.04117, and F. Milletari et al., *V-Net*, 2016, arXiv:1606.04797: Dice as a loss.
# - M. A. Rahman, Y. Wang, *Optimizing Intersection-Over-Union in Deep Neural Networks for Image
#   Segmentation*, ISVC 2016, doi:10.1007/978-3-319-50835-1_22: IoU as a loss.
# - S. S. M. Salehi et al., *Tversky loss function for image segmentation using 3D fully
#   convolutional deep networks*, 2017, arXiv:1706.05721.
# - T.-Y. Lin et al., *Focal Loss for Dense Object Detection*, ICCV 2017, arXiv:1708.02002.
# - M. Berman et al., *The Lovász-Softmax loss*, CVPR 2018, arXiv:1705.08790.
# - N. S. Detlefsen et al., *TorchMetrics*, JOSS 2022, doi:10.21105/joss.04101.
