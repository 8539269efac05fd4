# %% [markdown]
# # Exercises 04: losses and metrics
#
# Six exercises on lesson 04. As before: write what is missing, run the cell, read what `check`
# found, and ask `hint("ex04.dice")` when you are stuck. Inputs are NumPy arrays; work on a copy
# where you want to change one. What you return may be arrays, tensors or plain lists.
#
# | exercise | level | points | minutes (an estimate) |
# |---|---|---|---|
# | 1 A confusion matrix with one bincount | warm-up | 2 | 10 |
# | 2 Dice with void and absent classes | core | 3 | 15 |
# | 3 Image-averaged against data-set IoU | core | 3 | 15 |
# | 4 Mend the Dice that gives an empty mask 0.95 | core | 3 | 15 |
# | 5 IoU as a loss | core | 3 | 15 |
# | 6 A threshold, chosen on the right split | stretch | 3 | 15 |

# %%
import cv2
import matplotlib.pyplot as plt
import numpy as np

from segutils import show
from segutils.exercises import check, hint  # noqa: F401  (hint is there for you)
from segutils.street import draw

show.use_style()
scenes = [draw(seed, size=64, difficulty="plain") for seed in range(6)]
targets = np.stack([scene.mask for scene in scenes])  # (6, 64, 64) uint8, void is 255
print(targets.shape, targets.dtype, np.unique(targets).tolist())

# %% [markdown]
# To try your functions on, here are predictions with faults: the true masks, moved by two pixels,
# and without void.

# %%
preds = np.stack([np.roll(scene.instances // 1000, 2, axis=1) for scene in scenes])
preds = preds.astype(np.uint8)  # (6, 64, 64), ids 0, 1, 2
maps = [show.error_map(p, t) for p, t in zip(preds, targets, strict=True)]
show.grid(maps, [f"picture {k}" for k in range(6)], columns=6, side=1.6,
          caption="Where these predictions err.", legend=show.error_legend())
plt.show()

# %% [markdown]
# ## 1. A confusion matrix with one bincount
# *warm-up, 2 points, about 10 minutes (an estimate)*
#
# **Aim**: count a confusion matrix without a loop over pixels, with void left out
#
# Count the pixels by true class (row) and predicted class (column). A loop over pixels gives the
# right counts; `np.bincount` on one number for each pair gives them far faster. Void pixels of the
# target count nowhere. Up to 20 classes: mind the `uint8`.


# %%
def confusion_matrix(pred, target, classes):
    """Count pixels by true and predicted class.

    pred: (H, W) uint8, ids 0 … classes - 1
    target: (H, W) uint8, the same, or 255 for void
    returns: (classes, classes) whole numbers, rows true, columns predicted
    """
    ### BEGIN SOLUTION
    known = target != 255
    pairs = classes * target[known].astype(int) + pred[known]  # (N,) a number for each pair
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
    ### END SOLUTION


check("ex04.confusion_matrix", confusion_matrix)

# %% [markdown]
# ## 2. Dice with void and absent classes
# *core, 3 points, about 15 minutes (an estimate)*
#
# **Aim**: compute Dice by hand, with void and absent classes
#
# Dice of a class is 2 TP / (2 TP + FP + FN). Void pixels count nowhere, whatever is predicted
# there. A class that is in *neither* mask has no score: NaN. A class that is predicted and never
# true does have one.


# %%
def dice(pred, target, classes):
    """Dice of each class.

    pred: (H, W) uint8, ids 0 … classes - 1
    target: (H, W) uint8, the same, or 255 for void
    returns: (classes,) floats, NaN where a class is in neither mask
    """
    ### BEGIN SOLUTION
    known = target != 255
    scores = np.full(classes, np.nan)
    for c in range(classes):
        p, t = (pred == c) & known, (target == c) & known
        if p.any() or t.any():
            scores[c] = 2 * (p & t).sum() / (p.sum() + t.sum())
    return scores
    ### END SOLUTION


check("ex04.dice", dice)

# %% [markdown]
# ## 3. Image-averaged against data-set IoU
# *core, 3 points, about 15 minutes (an estimate)*
#
# **Aim**: compute mIoU over a data set and as a mean over pictures, and tell them apart
#
# Two numbers from the same predictions. The **data-set** mIoU counts all pictures together, then
# divides. The **image-averaged** one takes the mIoU of each picture by itself, and then the mean
# over the pictures. An mIoU is the mean over the classes, background too, that are in the target or
# in the prediction: of the whole set for the first number, of the one picture for the second. Void
# counts nowhere.


# %%
def two_means(preds, targets, classes):
    """mIoU in two ways.

    preds: (N, H, W) uint8, ids 0 … classes - 1
    targets: (N, H, W) uint8, the same, or 255 for void; no picture is all void
    returns: (data-set mIoU, image-averaged mIoU), two floats
    """
    ### BEGIN SOLUTION
    def miou(pred, target):
        known = target != 255
        scores = []
        for c in range(classes):
            p, t = (pred == c) & known, (target == c) & known
            if p.any() or t.any():
                scores.append((p & t).sum() / (p | t).sum())
        return np.mean(scores)

    each = [miou(p, t) for p, t in zip(preds, targets, strict=True)]
    return miou(preds, targets), np.mean(each)
    ### END SOLUTION


check("ex04.two_means", two_means)

# %% [markdown]
# ## 4. Mend the Dice that gives an empty mask 0.95
# *core, 3 points, about 15 minutes (an estimate)*
#
# **Aim**: recognise a Dice that flatters empty predictions, and mend it
#
# This function is in many projects. We give it the laziest prediction there is, background
# everywhere, on a set in which few pictures show anything at all:


# %%
def popular_dice(preds, targets, classes):
    scores = []
    for pred, target in zip(preds, targets, strict=True):
        for k in range(classes):
            p, t = pred == k, target == k
            scores.append((2 * (p & t).sum() + 1) / (p.sum() + t.sum() + 1))
    return np.mean(scores)


empty_streets = np.zeros((6, 64, 64), np.uint8)
quiet = np.concatenate([empty_streets, targets[-1:]])  # (7, 64, 64): one picture of seven
print(f"nothing is found anywhere, and the score is {popular_dice(quiet * 0, quiet, 3):.2f}")

# %% [markdown]
# Write it anew, so that it means what a reader expects: the **mean Dice of the object classes** (1
# and up) **over the whole set**, without void. A class that is in no target and in no prediction is
# left out of the mean. An empty prediction must get 0, and a perfect one 1.


# %%
def mended_dice(preds, targets, classes):
    """Mean Dice of the object classes over a data set.

    preds: (N, H, W) uint8, ids 0 … classes - 1
    targets: (N, H, W) uint8, the same, or 255 for void
    returns: a float; at least one object class occurs
    """
    ### BEGIN SOLUTION
    known = targets != 255
    scores = []
    for c in range(1, classes):  # without the background
        p, t = (preds == c) & known, (targets == c) & known  # (N, H, W): all pictures at once
        if p.any() or t.any():
            scores.append(2 * (p & t).sum() / (p.sum() + t.sum()))
    return np.mean(scores)
    ### END SOLUTION


check("ex04.mend_dice", mended_dice)

# %% [markdown]
# ## 5. IoU as a loss
# *core, 3 points, about 15 minutes (an estimate)*
#
# **Aim**: turn IoU into a loss that takes probabilities and leaves void out
#
# To train on it, IoU takes probabilities in place of yes and no. For each class, with p its
# probability and t its plane of 0 and 1, over the pixels that are not void:
#
# ```text
# hits = Σ p·t     said = Σ p     true = Σ t     IoU = hits / (said + true - hits)
# ```
#
# The loss is 1 - IoU, averaged over the classes that have true pixels. With nothing but void it is
# 0.


# %%
def iou_loss(prob, target):
    """1 - soft IoU, the mean over the classes that are in the target.

    prob: (C, H, W) float64, softmax probabilities
    target: (H, W) uint8, ids 0 … C - 1, or 255 for void
    returns: a float
    """
    ### BEGIN SOLUTION
    known, losses = target != 255, []
    for c in range(len(prob)):
        t = target == c
        if t.any():
            hits = prob[c][t].sum()
            losses.append(1 - hits / (prob[c][known].sum() + t.sum() - hits))
    return np.mean(losses) if losses else 0.0
    ### END SOLUTION


check("ex04.iou_loss", iou_loss)

# %% [markdown]
# ## 6. A threshold, chosen on the right split
# *stretch, 3 points, about 15 minutes (an estimate)*
#
# **Aim**: choose a threshold on validation, and report honestly what it is worth on test
#
# A model gives each pixel a probability for one class. Which threshold turns it into a mask? That
# is a choice, so it belongs to the **validation** split. What the choice is worth is then measured
# on the **test** split, once.
#
# Why not choose on the test split? The dots mark the best threshold of each split, for a made-up
# model of people. They differ by chance, and whoever chooses on the test split reports the chance
# along with the model: here it is little, and it grows with everything else that is chosen there.

# %%
rng = np.random.default_rng(5)
curves, thresholds = {}, np.linspace(0.1, 0.9, 17)
for name, part in {"validation": targets[:3], "test": targets[3:]}.items():
    soft = np.stack([cv2.GaussianBlur(np.float32(t == 1), (0, 0), 1.5) for t in part])
    soft = (soft + rng.normal(0.05, 0.1, soft.shape)).clip(0, 1)  # (3, 64, 64) probabilities
    person = part == 1
    curves[name] = [((soft > t) & person).sum() / ((soft > t) & (part != 255) | person).sum()
                    for t in thresholds]

fig, ax = plt.subplots(figsize=(6, 2.8))
for name, curve in curves.items():
    (line,) = ax.plot(thresholds, curve, label=name)
    ax.plot(thresholds[np.argmax(curve)], max(curve), "o", color=line.get_color())
ax.set(xlabel="threshold", ylabel="IoU of person", ylim=(0, 1))
ax.legend()
show.below(fig, "Each split has its own best threshold.")
plt.show()


# %%
def choose_threshold(val_prob, val_target, test_prob, test_target, thresholds):
    """Choose a threshold, and say what it is worth.

    val_prob, test_prob: (N, H, W) float64, the probability of the class
    val_target, test_target: (N, H, W) uint8, 1 for the class, 0 for not, 255 for void
    thresholds: (T,) the ones to try, in rising order; a pixel is of the class if prob > threshold
    returns: (threshold, IoU of the class on the test split, over all its pixels at once);
        of equally good thresholds the lowest
    """
    ### BEGIN SOLUTION
    def iou(prob, target, threshold):
        known = target != 255
        said, true = prob[known] > threshold, target[known] == 1  # (pixels,) bool
        return (said & true).sum() / (said | true).sum()

    best = thresholds[np.argmax([iou(val_prob, val_target, t) for t in thresholds])]
    return best, iou(test_prob, test_target, best)
    ### END SOLUTION


check("ex04.threshold", choose_threshold)

# %% [markdown]
# ## Where next
# All six solved? Lesson 05 trains a network with these losses and reads its progress off these
# metrics. If one of them resisted, lesson 04 builds the same functions step by step.
