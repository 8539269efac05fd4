# %% [markdown]
# # Exercises 05: training
#
# Six exercises on lesson 05. As before: write what is missing, run the cell, read what `check`
# found, and ask `hint("ex05.range_test")` when you are stuck. Nothing here needs a GPU.
#
# | exercise | level | points | minutes (an estimate) |
# |---|---|---|---|
# | 1 A learning-rate range test | warm-up | 2 | 12 |
# | 2 Mend a resume that is not bit-exact | core | 4 | 25 |
# | 3 A large batch in small parts, with void | core | 3 | 15 |
# | 4 Mend an evaluation that changes what it measures | core | 3 | 15 |
# | 5 Read the curves | core | 3 | 12 |
# | 6 Which recipe to ship, and what it is worth | stretch | 3 | 20 |
#
# Inputs of 1 and 6 are NumPy arrays, those of 3 and 4 torch tensors.

# %%
import copy
import inspect

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch.nn import functional as F

from segutils import show
from segutils.exercises import check, hint  # noqa: F401  (hint is there for you)
from segutils.exercises.ex05 import Run, histories, scores
from segutils.street import draw
from segutils.unet import UNet

show.use_style()
scenes = [draw(seed, size=64, difficulty="plain") for seed in range(12)]
images = torch.stack([torch.from_numpy(s.image).permute(2, 0, 1) / 255 for s in scenes])
targets = torch.stack([torch.from_numpy(s.mask).long() for s in scenes])
print(tuple(images.shape), tuple(targets.shape), targets.unique().tolist())

# %% [markdown]
# ## 1. A learning-rate range test
# *warm-up, 2 points, about 12 minutes (an estimate)*
#
# **Aim**: read a learning rate off a range test
#
# One short run finds a learning rate: begin far too low, multiply the rate after each step by the
# same factor, and write down the loss of each step, as it is before the step is taken. Here is one,
# of a small U-Net on the twelve scenes.

# %%
torch.manual_seed(0)
net = UNet(width=8, depth=2)
rates, losses = np.geomspace(1e-5, 10, 90), []
optimizer = torch.optim.AdamW(net.parameters())
for rate in rates:
    optimizer.param_groups[0]["lr"] = rate
    batch = torch.randperm(12)[:4]
    loss = F.cross_entropy(net(images[batch]), targets[batch], ignore_index=255)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())

fig, ax = plt.subplots(figsize=(6.5, 2.8))
ax.plot(rates, losses, ".", color="#999999", label="each step")
ax.plot(rates[2:-2], np.convolve(losses, np.ones(5) / 5, "valid"), label="mean over five steps")
ax.set(xscale="log", xlabel="learning rate", ylabel="loss", ylim=(0, 1.8))
ax.legend()
show.below(fig, "Nothing moves, then the loss falls, then it jumps about. Which rate is best?")
plt.show()

# %% [markdown]
# The rate of the lowest loss is too high: there learning has just stopped. A good one lies where
# the loss **falls fastest**. To be exact about it:
#
# - A run may end in NaN or infinity. From the first such loss on, nothing counts, even if numbers
#   come again.
# - Smooth: the mean over **five** losses belongs to the rate of the middle one. Only places where
#   all five are there count.
# - Look only as far as the lowest smoothed loss; what jumps about after it is a diverging run.
# - Of the falls from one smoothed loss to the next, take the largest, and return the rate at which
#   it **begins**.


# %%
def range_test(rates, losses):
    """The learning rate at which the smoothed loss falls fastest.

    rates: (T,) float64, each the one before times a factor
    losses: (T,) float64, the loss of each step; some may be NaN or infinite
    returns: one of the rates, a float
    """
    ### BEGIN SOLUTION
    bad = np.flatnonzero(~np.isfinite(losses))
    if len(bad):
        losses = losses[: bad[0]]
    smooth = np.convolve(losses, np.ones(5) / 5, mode="valid")  # (T - 4,), the first at rate 2
    falls = np.diff(smooth)[: smooth.argmin()]
    return rates[2 + falls.argmin()]
    ### END SOLUTION


check("ex05.range_test", range_test)

# %% [markdown]
# ## 2. Mend a resume that is not bit-exact
# *core, 4 points, about 25 minutes (an estimate)*
#
# **Aim**: save and resume a run so that it ends as if it had never stopped
#
# A run that is stopped and resumed must end as if nothing had happened, to the last bit. Else a
# crash changes your result, and you cannot say by how much. Here is a run so small that you can
# see all of it:

# %%
print(inspect.getsource(Run))

# %% [markdown]
# Many people save the weights, and nothing else. Before you run this: at which step after the
# resume will the two lines part?

# %%
whole = Run(seed=0).train(24)  # without a stop

run = Run(seed=0)
first = run.train(8)
weights = {name: tensor.clone() for name, tensor in run.net.state_dict().items()}
again = Run(seed=1)  # the program was started anew
again.net.load_state_dict(weights)
rest = again.train(16)

fig, ax = plt.subplots(figsize=(6.5, 2.6))
ax.plot(range(1, 25), whole, ".-", label="without a stop")
ax.plot(range(9, 25), rest, ".--", label="resumed from its weights after step 8")
ax.set(xlabel="step", ylabel="loss", ylim=(0, None))
ax.legend(loc="lower left", fontsize=9)
show.below(fig, "The same weights, and another run from the first step on.")
plt.show()
assert first == whole[:8] and rest[0] != whole[8]

# %% [markdown]
# Write `save` and `load`, so that the two end alike: weights, buffers, `step`, `best` and
# `best_loss`. `check` saves a run after some steps, lets it **go on** for three more, loads what
# was saved into a fresh `Run` with another seed, and trains that one to the end.


# %%
def save(run):
    """All that the rest of a run depends on.

    returns: whatever `load` needs; it must not change when the run goes on
    """
    ### BEGIN SOLUTION
    return copy.deepcopy({  # a state dict holds the live tensors
        "net": run.net.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "scheduler": run.scheduler.state_dict(),
        "shuffling": run.rng.bit_generator.state,
        "dropout": torch.get_rng_state(),
        "plain": {k: getattr(run, k) for k in ("order", "step", "best_loss", "best")},
    })
    ### END SOLUTION


def load(run, state):
    """Make a fresh run go on where the saved one stood: `run` itself is changed."""
    ### BEGIN SOLUTION
    run.net.load_state_dict(state["net"])
    run.optimizer.load_state_dict(state["optimizer"])
    run.scheduler.load_state_dict(state["scheduler"])
    run.rng.bit_generator.state = state["shuffling"]
    torch.set_rng_state(state["dropout"])
    for name, value in state["plain"].items():
        setattr(run, name, value)
    ### END SOLUTION


check("ex05.resume", (save, load))

# %% [markdown]
# ## 3. A large batch in small parts, with void
# *core, 3 points, about 15 minutes (an estimate)*
#
# **Aim**: get the gradient of a large batch from small parts, also where void is uneven
#
# A batch of 16 does not fit in memory, but 4 pictures do. `backward()` adds to what is in `.grad`,
# so four parts can make one gradient, before the optimizer takes its step. The mean over the parts'
# losses seems to be the loss of the batch. In one of these two scenes most is void. Are the two
# numbers equal?

# %%
torch.manual_seed(0)
logits = torch.randn(2, 3, 64, 64)  # of two pictures
pair = targets[:2].clone()  # (2, 64, 64)
logits[1, 0] += 2  # the second is predicted better: it is mostly background
pair[1, :, 4:] = 255  # and little of it is known
together = F.cross_entropy(logits, pair, ignore_index=255)
parts = [F.cross_entropy(x[None], y[None], ignore_index=255)
         for x, y in zip(logits, pair, strict=True)]
print(f"loss of the batch {together:.2f}, mean over its parts {sum(parts) / 2:.2f}")

# %% [markdown]
# They are not: the second picture has few known pixels, and in the mean of means they weigh as much
# as all those of the first. Leave the gradient of the **whole batch's** loss in the network's
# `.grad`: the cross-entropy, averaged over all known pixels of the batch. The weights stay as they
# are. At most `size` pictures may go through at once, and be held in memory at once. A part may be
# all void; the batch is not.


# %%
def accumulate(net, image, target, size):
    """The gradient of a whole batch, a part at a time.

    net: (B, 3, H, W) -> logits (B, C, H, W), without batch norm; its .grad still holds the
        gradient of the step before, which must not count
    image: (B, 3, H, W) float64; target: (B, H, W) int64 ids, 255 for void
    size: the most pictures that fit at once; B need not be a multiple of it
    returns: the loss of the whole batch, a float
    """
    ### BEGIN SOLUTION
    known = (target != 255).sum()  # of the whole batch, before the first part
    net.zero_grad()
    total = 0.0
    for x, y in zip(image.split(size), target.split(size), strict=True):
        loss = F.cross_entropy(net(x), y, ignore_index=255, reduction="sum") / known
        loss.backward()  # here, so that the part's memory is free before the next
        total += loss.item()
    return total
    ### END SOLUTION


check("ex05.accumulate", accumulate)

# %% [markdown]
# ## 4. Mend an evaluation that changes what it measures
# *core, 3 points, about 15 minutes (an estimate)*
#
# **Aim**: write an evaluation that measures a network without changing anything
#
# This function works, and its score looks reasonable. We call it on one network and the same twelve
# pictures, in batches of different sizes. How many different scores do you expect?


# %%
def popular_evaluate(net, batches, classes):
    scores = []
    for image, target in batches:
        pred = net(image).argmax(dim=1)
        for c in range(classes):
            p, t = pred == c, target == c
            if (p | t).any():
                scores.append((p & t).sum() / (p | t).sum())
    return torch.stack(scores).mean()


torch.manual_seed(0)
net = UNet(width=8, depth=2)
optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
for _ in range(40):
    loss = F.cross_entropy(net(images), targets, ignore_index=255)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
sizes, found = (1, 2, 3, 5, 12), []
for size in sizes:
    net.load_state_dict(before)
    batches = list(zip(images.split(size), targets.split(size), strict=True))
    found.append(popular_evaluate(net, batches, 3).item())
changed = [name for name, old in before.items() if not torch.equal(old, net.state_dict()[name])]
print(f"{len(changed)} of {len(before)} tensors of the network are others after it, among them:")
print("\n".join(changed[:3]))

# %%
fig, ax = plt.subplots(figsize=(5, 2.4))
bars = ax.bar([f"{size}" for size in sizes], found)
ax.bar_label(bars, fmt="%.2f")
ax.set(xlabel="pictures in a batch", ylabel="score", ylim=(0, 1))
show.below(fig, "One network, twelve pictures: the score depends on the batches.")
plt.show()
assert len({round(score, 4) for score in found}) == len(sizes)

# %% [markdown]
# Write it anew. The score is the **mIoU of the data set**: counts over all pictures, one IoU for
# each class, and their mean. Void counts nowhere, and a class that is neither true nor predicted
# anywhere is left out. The network is looked at in the state in which it will be shipped, it comes
# back exactly as it was handed in, and no memory is spent on gradients.


# %%
def mended_evaluate(net, batches, classes):
    """mIoU of a network over a data set.

    net: (B, 3, H, W) -> logits (B, C, H, W), with batch norm and dropout; in any mode
    batches: list of (image (B, 3, H, W) float32, target (B, H, W) int64, 255 for void)
    returns: a float
    """
    ### BEGIN SOLUTION
    was_training = net.training
    net.eval()
    hits, unions = torch.zeros(classes), torch.zeros(classes)
    with torch.no_grad():
        for image, target in batches:
            pred, known = net(image).argmax(dim=1), target != 255
            for c in range(classes):
                p, t = (pred == c) & known, target == c
                hits[c] += (p & t).sum()
                unions[c] += (p | t).sum()
    net.train(was_training)
    return (hits / unions)[unions > 0].mean()
    ### END SOLUTION


check("ex05.evaluate", mended_evaluate)

# %% [markdown]
# ## 5. Read the curves
# *core, 3 points, about 12 minutes (an estimate)*
#
# **Aim**: diagnose a training run by its curves
#
# Seven small networks learn to find a bright rectangle in noise. The cell below trains them for
# real. Some have something wrong with them. Which diagnosis fits which run? One diagnosis comes
# twice.
#
# | diagnosis | what is meant |
# |---|---|
# | `healthy` | let it run |
# | `over-fitting` | it learns its training pictures by heart |
# | `rate too high` | the steps are too long |
# | `rate too low` | the steps are too short |
# | `validation broken` | the validation pictures and their masks do not fit together |
# | `schedule ended` | the learning rate reached 0 long before the run was over |

# %%
runs = histories()  # {"A": …, …, "G": {"train_loss", "val_loss", "val_iou": (30,) floats}}
fig, axes = plt.subplots(2, 4, figsize=(11, 4.6), sharex=True, sharey=True)
for (letter, history), ax in zip(runs.items(), axes.flat, strict=False):
    epochs = range(1, 31)
    ax.plot(epochs, history["train_loss"], label="training loss")
    ax.plot(epochs, history["val_loss"], label="validation loss")
    ax.plot(epochs, history["val_iou"], ":", label="validation IoU")
    ax.set(title=letter, ylim=(0, 1.6))
axes[1, 3].axis("off")
axes[1, 3].legend(*axes[0, 0].get_legend_handles_labels(), loc="center")
fig.supxlabel("epoch (losses above 1.6 are cut off)", fontsize=11, color="#444444")
plt.show()

# %%
diagnoses = {"A": ..., "B": ..., "C": ..., "D": ..., "E": ..., "F": ..., "G": ...}
### BEGIN SOLUTION
diagnoses = {
    "A": "rate too low",  # falls evenly, and is not done
    "B": "validation broken",  # no better than chance, from the first epoch on
    "C": "healthy",  # training pictures are augmented, so their loss is the higher one
    "D": "over-fitting",
    "E": "rate too high",
    "F": "healthy",
    "G": "schedule ended",  # not even noise after epoch 6
}
### END SOLUTION

check("ex05.curves", diagnoses)

# %% [markdown]
# ## 6. Which recipe to ship, and what it is worth
# *stretch, 3 points, about 20 minutes (an estimate)*
#
# **Aim**: choose among recipes and epochs, and state a score that no choice has flattered
#
# Recipes were each trained with several seeds, and after each epoch somebody scored every run on
# the validation set and on the test set too. Scores are rounded to two digits. Some epochs were not
# validated. These numbers are made up; here are two recipes with three seeds each:

# %%
val, test = scores(np.random.default_rng(3), recipes=2, seeds=3, epochs=12)  # (2, 3, 12) each
fig, axes = plt.subplots(1, 2, figsize=(9, 2.8), sharey=True)
for recipe, ax in enumerate(axes):
    for seed, color in enumerate(show.LINES[:3]):
        ax.plot(range(1, 13), val[recipe, seed], ".-", color=color, label=f"seed {seed}")
        ax.plot(range(1, 13), test[recipe, seed], ":", color=color, linewidth=1)
    ax.set(title=f"recipe {recipe}", xlabel="epoch", xlim=(2.5, 12.5), ylim=(0.5, 0.75))
axes[0].set_ylabel("mIoU")
axes[1].legend(loc="lower right")
show.below(fig, "Validation (lines with gaps) and test (dotted).")
plt.show()

# %% [markdown]
# Every choice belongs to validation, and the test set says once what the choice is worth:
#
# 1. Of each run, ship the epoch with the highest validation score; of equal ones the first.
# 2. Of the recipes, ship the one whose runs have the highest mean validation score at these epochs.
# 3. Report the mean of its runs' **test** scores at the same epochs, and their spread over the
#    seeds: the sample standard deviation, which divides by the number of seeds less one.


# %%
def ship(val, test):
    """Choose a recipe, and say what it is worth.

    val, test: (recipes, seeds, epochs) float64; val is NaN where an epoch was not validated; each
        run has at least one score, and one recipe alone is the best
    returns: (number of the recipe, mean test score over its seeds, their spread)
    """
    ### BEGIN SOLUTION
    epochs = np.nanargmax(val, axis=2)[:, :, None]  # (R, S, 1), the first of equals
    chosen = np.take_along_axis(val, epochs, axis=2)[:, :, 0]  # (R, S)
    recipe = chosen.mean(axis=1).argmax()
    found = np.take_along_axis(test, epochs, axis=2)[recipe, :, 0]  # (S,)
    return recipe, found.mean(), found.std(ddof=1)
    ### END SOLUTION


check("ex05.ship", ship)

# %% [markdown]
# ## Where next
# All six solved? Then you can start a long run in the evening, and trust what you find in the
# morning. If one of them resisted, lesson 05 trains with all of these parts, step by step.
