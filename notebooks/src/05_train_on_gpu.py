# %% [markdown]
# # 05 · Training, on a GPU or a laptop
#
# You have a network (lesson 03), a loss and a score (lesson 04). Training joins them, and its loop
# is ten lines long. What takes the time are two questions around those lines: **how to make it
# fast**, so that you get many tries a day, and **how to lose nothing** when it is stopped. In
# between you learn to read what a run tells you while it goes wrong.
#
# After this lesson you can
#
# - write the plain loop: load, forward, loss, backward, step, validate, save
# - measure where a step spends its time, and make it several times faster
# - find a learning rate in seconds, and see when one is too high
# - train a U-Net with cross-entropy plus Dice and watch its predictions grow
# - read curves: over-fitting, wrong rates, masks that do not belong, pictures not normalised
# - stop a run anywhere and go on as if nothing had happened, to the last bit
# - run the same script in several processes
#
# **Minutes**: about 5 to run on two CPU cores · GPU: not measured. **Builds on**: lessons 02, 03
# and 04. A good place for a break is before section 9.

# %%
import copy
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

from segutils import checkpoint, losses, masks, show, train
from segutils.augment import batch_transform, denormalise, eval_transform, train_transform
from segutils.datasets import DATA, Held, Street, loader
from segutils.unet import UNet

show.use_style()
device = train.pick_device()      # CUDA, else Apple's MPS, else the CPU

# %% [markdown]
# All sizes of this lesson stand in the next cell. With a GPU the same cells run at full size; no
# line below asks which it is.

# %%
gpu = device.type == "cuda"
SMALL = dict(width=32, depth=2, stem=2)                       # a U-Net for a laptop
NET = dict(width=64, depth=4) if gpu else SMALL               # the one of the long run
LEVEL, BATCH, STEPS = ("full", 32, 4000) if gpu else ("plain", 8, 1200)

# %% [markdown]
# ## 1 Look at what the network gets
#
# Between the files and the network lie decoding, augmentation, normalisation and stacking, and each
# can go wrong. So look at a **batch**, not at the files: turn it back into pictures, and lay the
# masks over them.

# %%
fit_set, val_set = Street("train", LEVEL), Street("val", LEVEL)
fit_set.transform, val_set.transform = train_transform(size=128), eval_transform()
train_loader = loader(fit_set, BATCH, shuffle=True, seed=0)
image, target = next(iter(train_loader))                      # (B, 3, H, W), (B, H, W)
seen = [show.overlay(denormalise(i), t.numpy()) for i, t in zip(image[:8], target, strict=False)]
show.grid(seen, columns=8, side=1.4, legend=show.class_legend(),
          caption="A batch, turned back into pictures: do the masks still sit on the things?")
plt.show()
assert set(target.unique().tolist()) <= {0, 1, 2, 255}, "ids must survive the way"

# %% [markdown]
# A second check costs one forward pass. **Before you run it**: a network that knows nothing gives
# three classes about the same probability. What is its cross-entropy?

# %%
def fresh(seed=0, **options):
    """A U-Net whose first weights follow from the seed."""
    torch.manual_seed(seed)
    return UNet(**(SMALL | options)).to(device)


net = fresh()
first = losses.cross_entropy(net(image.to(device)), target.to(device)).item()
print(f"log 3 = {np.log(3):.2f}; the untrained network is near it: {abs(first - np.log(3)) < 0.4}")
assert abs(first - np.log(3)) < 0.4, "far off: it is sure before it has seen anything"

# %% [markdown]
# It is log 3: one class in three, and no idea which. A first loss of 5 or 50 says that the logits
# begin far too large: the network is sure of something before it has seen anything.
#
# ## 2 The plain loop
#
# Here it is, all of it. Each step: **load** a batch, **forward**, **loss**, clear the old
# gradients, **backward**, **step**. Nothing in it knows about segmentation.

# %% tags=["defines"]
import torch


def train_one_epoch(model, loader, loss, optimizer):
    """Train once over the loader; returns the mean of the steps' losses."""
    device = next(model.parameters()).device
    model.train()                                             # batch norm looks at the batch
    values = []
    for image, target, *_ in loader:
        logits = model(image.to(device))                      # (B, C, H, W)
        value = loss(logits, target.to(device))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(value.item())                           # a number, not a tensor
    return sum(values) / len(values)

# %% [markdown]
# And **validate**: no gradients, `eval()`, one confusion matrix over the whole set (lesson 04 says
# why not a mean over batches), and the model goes back to the mode that it came in.

# %% tags=["defines"]
from segutils.metrics import ConfusionMatrix


@torch.no_grad()
def evaluate(model, loader, classes):
    """The confusion matrix of the model's predictions over a loader."""
    device, was_training = next(model.parameters()).device, model.training
    model.eval()
    matrix = ConfusionMatrix(classes)
    for image, target, *_ in loader:
        logits = model(image.to(device))
        matrix.update(logits.argmax(dim=1), target.to(device))
    model.train(was_training)
    return matrix

# %% [markdown]
# The loss is cross-entropy plus Dice. People are rare, so that each of their pixels counts six
# times in the cross-entropy, and each of a car's twice. We begin with a small part of the data.

# %%
weight = torch.tensor([1.0, 6.0, 2.0], device=device)         # background, person, car
ce_dice = losses.sum_of((1, partial(losses.cross_entropy, weight=weight)), (1, losses.dice_loss))


def part(count, transform=None, split="train", level="plain"):
    """The first pictures of a split, to try things out."""
    pictures = Street(split, level, transform=transform or train_transform(size=128))
    pictures.stems = pictures.stems[:count]
    return pictures

# %% [markdown]
# **Before you run it**: the loss begins near 2, as both terms begin near 1. Where will it be after
# three times twenty steps?

# %%
net, few = fresh(), part(160)
optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3)
batches = loader(few, 8, shuffle=True, seed=0)
checks = loader(part(50, eval_transform(), "val"), 25)
epochs = [train_one_epoch(net, batches, ce_dice, optimizer) for epoch in range(3)]
matrix = evaluate(net, checks, masks.CLASSES)
print("the loss falls from epoch to epoch:", epochs[0] > epochs[1] > epochs[2])
assert epochs[2] < epochs[0] and matrix.iou()[2] > 0.05, "it has begun to find cars"

# %% [markdown]
# The first steps take the most. The package's version of the two functions does the same; trained
# from the same first weights on the same pictures, it gives the same numbers.

# %%
twin = fresh()
optimizer = torch.optim.AdamW(twin.parameters(), lr=2e-3)
batches = loader(few, 8, shuffle=True, seed=0)
theirs = [train.train_one_epoch(twin, batches, ce_dice, optimizer) for epoch in range(3)]
assert np.allclose(epochs, theirs, rtol=1e-3), "the package's loop is this loop"
assert torch.equal(train.evaluate(twin, checks, 3).matrix, evaluate(twin, checks, 3).matrix)

# %% [markdown]
# **Save** it, and the loop is whole. Weights go into a *safetensors* file, which any tool reads and
# which, unlike a pickle, can execute nothing when it is opened. What loads must be what was saved:

# %%
folder = Path(tempfile.mkdtemp())
checkpoint.save_weights(folder / "first.safetensors", net, {"made by": "lesson 05"})
print(checkpoint.load_weights(back := fresh(seed=1), folder / "first.safetensors"))
assert torch.equal(evaluate(back, checks, 3).matrix, matrix.matrix)

# %% [markdown]
# ## 3 Lines that you can forget
#
# These mistakes raise no error. With each of them the program runs to its end.
#
# **Forgotten: `zero_grad()`.** `backward` *adds* to the gradients that are there, so that each step
# follows all steps before it as well. We let both versions overfit one batch, which any network
# should manage.
#
# **Before you run it**: will the loss explode, stand still, or fall all the same?

# %%
def overfit(clear):
    """Gradient descent on one batch, 40 steps; returns its losses."""
    net, values = fresh(), []
    optimizer = torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
    for step in range(40):
        values.append(ce_dice(net(image.to(device)), target.to(device)))
        if clear:
            optimizer.zero_grad()
        values[-1].backward()
        optimizer.step()
    return [value.item() for value in values]


runs = {"with zero_grad()": overfit(True), "without": overfit(False)}
fig, ax = plt.subplots(figsize=(6, 2.8))
for (name, values), style in zip(runs.items(), ("-", "--"), strict=True):
    ax.plot(values, style, label=name)
ax.set(xlabel="step", ylabel="loss", ylim=(0, None))
ax.legend()
show.below(fig, "Gradients that are never cleared push on after they should have stopped.")
plt.show()
assert runs["with zero_grad()"][-1] < 0.8 * runs["with zero_grad()"][0], "one batch is learned"
assert runs["without"][-1] > runs["with zero_grad()"][-1] + 0.1, "and not so without"

# %% [markdown]
# It falls at first, and then overshoots for ever: old gradients never die. (Leaving them on purpose
# is *gradient accumulation*, a larger batch in parts. Then divide, and clear after each step.)
#
# **Forgotten: `.item()`**. A loss that is kept as a tensor holds on to all of the step that made
# it, activations included, and memory grows until the run is killed. Keep numbers.
#
# **Forgotten: whose transform.** Give the validation set the *training* transform, and every look
# at the same network gives another score: on pictures that were turned, cropped and recoloured.

# %%
sets = {"training transform": part(50, split="val"), "eval": part(50, eval_transform(), "val")}
looks = {}
for name, pictures in sets.items():
    again = loader(pictures, 25)
    looks[name] = [evaluate(net, again, 3).miou() for look in range(3)]
    print(f"{name:18}: three looks, one score: {len(set(looks[name])) == 1}")
print("the score moves by over 0.002 on its own:", np.ptp(looks["training transform"]) > 0.002)
assert len(set(looks["eval"])) == 1, "one network, one set: one score"

# %% [markdown]
# **Forgotten: `copy`.** You keep the best weights as you go: `best = net.state_dict()`. But a
# `state_dict` holds the live tensors, and the next step changes them. **Before you run it**: which
# network is in `best` at the end?

# %%
best, safe, was = net.state_dict(), copy.deepcopy(net.state_dict()), evaluate(net, checks, 3).miou()
ce_dice(net(image.to(device)), target.to(device)).backward()
torch.optim.SGD(net.parameters(), lr=1.0).step()              # a terrible step after the best one
now = []
for weights in (best, safe):
    net.load_state_dict(weights)
    now.append(evaluate(net, checks, 3).miou() == was)
print("scores what the best one did: state_dict() {}, its deep copy {}".format(*now))
assert now == [False, True], "the alias moved along with the network"

# %% [markdown]
# The alias holds the last network and calls it the best. Files have no such trouble, which is one
# more reason to save.
#
# ## 4 Where the time goes
#
# Before you make anything fast, measure. Each part of a step by itself, in the median of eight. (On
# a GPU work is only *queued* when a line returns; `synchronize` waits for it. Forget it, and you
# measure nothing.)

# %%
def dissect(net, batches, steps=8):
    """Median milliseconds of each part of a step."""
    seconds, feed, optimizer = {}, iter(batches), torch.optim.AdamW(net.parameters())

    def clock(name, work):
        start = time.perf_counter()
        result = work()
        train.synchronize(device)
        seconds.setdefault(name, []).append(1e3 * (time.perf_counter() - start))
        return result

    for step in range(steps):
        optimizer.zero_grad()
        image, target = clock("load", lambda: [x.to(device) for x in next(feed)])
        value = clock("forward and loss", lambda: ce_dice(net(image), target))    # noqa: B023
        clock("backward", value.backward)
        clock("step", optimizer.step)
    return {name: statistics.median(each) for name, each in seconds.items()}

# %% [markdown]
# Two networks: the U-Net as the paper has it (five sizes, none of them halved first), and the small
# one of this lesson, whose *stem* turns patches of 2×2 pixels into one.

# %% tags=["nbval-ignore-output"]
nets = {"width 32, depth 4": fresh(depth=4, stem=1), "width 32, depth 2, stem 2": fresh()}
table = {name: dissect(net, batches) for name, net in nets.items()}
fig, ax = plt.subplots(figsize=(8, 2.2))
left = np.zeros(2)
for name in ("load", "forward and loss", "backward", "step"):
    widths = np.array([row[name] for row in table.values()])
    ax.barh(list(table), widths, left=left, label=name)
    left += widths
ax.set(xlabel="milliseconds for a batch of 8")
ax.invert_yaxis()
ax.legend(ncols=4, loc="lower center", bbox_to_anchor=(0.4, 1), fontsize=9)
show.below(fig, "Backward costs about twice what forward does; loading is not free.")
plt.show()
assert left[1] < left[0], "the small network is faster"

# %% [markdown]
# This picture tells you where to look. Is "load" the widest? Then a faster network gains nothing.
#
# ## 5 Faster, one thing at a time
#
# Five changes, each of them a line. We time a step of the first network, then change one thing
# after the other and time again. Whether a change pays depends on the machine, so the numbers that
# you see are those of *yours*.
#
# | change | why it helps |
# |---|---|
# | `channels_last` | the numbers of a pixel lie side by side, as fast convolutions want them |
# | bf16 | half the bytes, and products at a higher rate where the processor has them |
# | fused AdamW | one pass over the weights instead of a dozen |
# | data held ready | no file is opened twice |
# | a patch stem, less depth | less work: lesson 03 counted a quarter |

# %%
class InMemory(Street):
    """The same pictures, read once and kept as arrays; augmentation is drawn anew all the same."""

    def arrays(self, epoch, index):
        if index not in (kept := self.__dict__.setdefault("kept", {})):
            kept[index] = super().arrays(epoch, index)
        return kept[index]


in_memory = InMemory("train", LEVEL, transform=train_transform(size=128))
ready = loader(in_memory, 8, shuffle=True, seed=0)
assert all(np.array_equal(in_memory.arrays(0, k)[1], fit_set.arrays(0, k)[1]) for k in range(800))

# %% [markdown]
# A step, timed as a whole, with each change as a switch:

# %%
def milliseconds(net, batches, last=False, half=False, fused=False):
    """Median time of a step, loading included, after two to warm up."""
    memory = torch.channels_last if last else torch.contiguous_format
    net, ticks = net.to(memory_format=memory), [time.perf_counter()]
    optimizer = torch.optim.AdamW(net.parameters(), fused=fused, foreach=False)
    for step, (image, target) in zip(range(8), batches, strict=False):
        with train.autocast(device, torch.bfloat16 if half else None):
            logits = net(image.to(device, memory_format=memory))
        optimizer.zero_grad()
        ce_dice(logits.float(), target.to(device)).backward()     # the loss stays in fp32
        optimizer.step()
        train.synchronize(device)
        ticks.append(time.perf_counter())
    return 1e3 * statistics.median(np.diff(ticks)[2:])

# %% [markdown]
# Do they change the result? `channels_last` is another order in memory, and the same numbers; bf16
# keeps eight bits of a number, and logits move a little. *Check it before you trust a speed.*

# %%
net = fresh().eval()
with torch.no_grad():
    plain, last = net(image.to(device)), net.to(memory_format=torch.channels_last)(image.to(device))
    with torch.autocast(device.type, dtype=torch.bfloat16):
        half = net(image.to(device)).float()
agree = (plain.argmax(1) == half.argmax(1)).float().mean().item()
print("bf16 gives the same class at over 95 % of the pixels:", agree > 0.95)
assert torch.allclose(plain, last, atol=1e-4) and agree > 0.95

# %% [markdown]
# They do not matter here. Now one after the other. **Before you run it**: which of the five will
# gain the most?

# %% tags=["nbval-ignore-output"]
deep = partial(fresh, depth=4, stem=1)
all_but_data = dict(last=True, half=True, fused=True)
stairs = {
    "fp32, as it comes": milliseconds(deep(), batches),
    "+ channels_last": milliseconds(deep(), batches, last=True),
    "+ bf16": milliseconds(deep(), batches, last=True, half=True),
    "+ fused AdamW": milliseconds(deep(), batches, **all_but_data),
    "+ data held ready": milliseconds(deep(), ready, **all_but_data),
    "+ stem 2, depth 2": milliseconds(fresh(), ready, **all_but_data),
}
fig, ax = plt.subplots(figsize=(8, 2.6))
bars, slowest = ax.barh(list(stairs), stairs.values()), stairs["fp32, as it comes"]
ax.bar_label(bars, [f"{ms:.0f} ms · {slowest / ms:.1f}×" for ms in stairs.values()], padding=4)
ax.set(xlabel="milliseconds a step of 8 pictures", xlim=(0, 1.25 * max(stairs.values())))
ax.invert_yaxis()
show.below(fig, "One change at a time. Which of them pays on your machine?")
plt.show()

# %% [markdown]
# bf16 needs a processor that has it; on others it can be *slower*. So do not believe a blog, nor
# this page: **probe**. `segutils.train.pick_amp` times a few steps both ways and takes bf16 only
# where it wins; `fit` asks it once, and writes the answer down, so that a resumed run does not
# change its mind.
#
# `torch.compile(net)` builds kernels for your very network. It takes a while before the first step,
# and only a long run pays that back. On a GPU, try it; on a CPU, measure before you believe it.

# %%
picked = train.pick_amp(fresh(), batches, ce_dice, device, None)
print("all together are faster:", stairs["+ stem 2, depth 2"] < stairs["fp32, as it comes"])
print("a precision was picked:", picked in (None, "bfloat16", "float16"))
assert min(stairs.values()) > 0

# %% [markdown]
# ## 6 The learning rate
#
# The number that matters most, and one that can be found in seconds. The **range test**: start with
# a rate far too small, multiply it at each step, and watch the loss. Where does it begin to fall,
# where is it restless, where does it blow up?
#
# **Before you run it**: guess the rate at which it blows up, to a power of ten.

# %%
rates, values = np.geomspace(1e-5, 30, 100), []
net, feed = fresh(), (batch for epoch in range(9) for batch in ready)
optimizer = torch.optim.AdamW(net.parameters(), fused=True)
for rate, (image_, target_) in zip(rates, feed, strict=False):
    optimizer.param_groups[0]["lr"] = rate
    values.append(ce_dice(net(image_.to(device)), target_.to(device)))
    optimizer.zero_grad()
    values[-1].backward()
    optimizer.step()
values = np.array([value.item() for value in values])
smooth = np.convolve(np.pad(values, 4, mode="edge"), np.ones(9) / 9, mode="valid")

# %% [markdown]
# The losses of single steps are noisy, so we look at the mean of nine. Mind the logarithmic axis:
# each step multiplies.

# %%
fig, ax = plt.subplots(figsize=(7, 2.8))
ax.plot(rates, values, color="#BBBBBB", linewidth=1)
ax.plot(rates, smooth)
ax.set(xscale="log", xlabel="learning rate", ylabel="loss", ylim=(0, 1.3 * smooth[0]))
show.below(fig, "Flat, falling, restless; far to the right it blows up.")
plt.show()
print("blows up below 0.3:", values[rates < 0.3].max() > 3, "· above:", values.max() > 3)
assert smooth[(rates > 1e-3) & (rates < 3e-2)].min() < 0.8 * smooth[0], "in between it learns"

# %% [markdown]
# It bears far more than most people guess: batch norm takes the size of the weights out again, and
# AdamW that of the gradients. But "not blown up" is not "learns". The fall ends near 1e-2, and
# beyond that the loss only jumps about. A usual rule takes the steepest place, or a third to a
# tenth of where the fall ends.
#
# We take 3e-3 as a **peak**, not for all of the run: the schedule **OneCycle** rises to it over the
# first quarter, while everything is still in motion, and then comes down to almost nothing, so that
# the weights can settle.
#
# Its trap: it counts *steps*. If you call `scheduler.step()` once an epoch, as older schedules want
# it, the run ends somewhere on the way up. **Before you look**: what will that do to the rate, with
# 100 steps an epoch?

# %%
def rates_of(every, steps=1200):
    """The rate at each step, if the schedule is stepped after every so many."""
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=3e-3)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps, pct_start=0.25)
    for step in range(1, steps):
        yield optimizer.param_groups[0]["lr"]
        optimizer.step()
        if step % every == 0:
            cycle.step()


right, wrong = np.array([*rates_of(every=1)]), np.array([*rates_of(every=100)])
fig, ax = plt.subplots(figsize=(7, 2.4))
ax.plot(right, label="stepped after each step")
ax.plot(wrong, "--", label="after each epoch")
ax.set(xlabel="step", ylabel="learning rate")
ax.legend(fontsize=9)
show.below(fig, "The dashed run trains at a twenty-fifth of the rate that was asked for.")
plt.show()
assert np.argmax(right) in range(297, 302) and right[-1] < 1e-5 and wrong.max() < 3e-3 / 20

# %% [markdown]
# The loss of the dashed run would fall, slowly, and nobody would notice. Plot the rate of every
# run; `fit` writes it into each row of its history.
#
# ## 7 `fit`
#
# `segutils.train.fit` is the loop of section 2 with all of this in it: channels last, bf16 if the
# probe says so, fused AdamW, OneCycle, and validation each `every` steps. A hook is called after
# each validation. Ours redraws the curves and keeps the predictions for two pictures, a film.

# %%
looked_at = [val_set[k] for k in (21, 29)]
film = []


def ids_of(net, image):                        # (3, H, W) -> (H, W) ids
    with torch.inference_mode():
        return net.eval()(image[None].to(device))[0].argmax(dim=0).cpu().numpy()


def watch(history, net):
    curves(history, net)
    film.append([ids_of(net, image) for image, _ in looked_at])

# %% [markdown]
# Now the real run. On two cores it takes a minute or two. (On a GPU the pictures are held *there*,
# and `batch_transform` augments a whole batch at once, so that the CPU has nothing to do. What
# share of a card's speed that reaches is for `benchmarks/gpu.py` to say; not measured yet.)
#
# **Before you run it**: what mIoU will it reach on pictures that it never saw? The lazy answer, all
# background, has about 0.29.

# %% tags=["nbval-ignore-output"]
model, curves = fresh(**NET), show.live_curves("Down on the left, up on the right.")
pictures = Held(Street("train", LEVEL), batch_transform(128), device) if gpu else in_memory
batches = loader(pictures, BATCH, shuffle=True, seed=0)
history = train.fit(model, batches, loader(val_set, 25), ce_dice, steps=STEPS, lr=3e-3,
                    every=STEPS // 8, classes=masks.CLASSES, device=device, on_epoch=watch)

# %%
reached = history.rows[-1]["miou"]
print("validation mIoU over 0.7:", reached > 0.7, "· rows of the history:", len(history.rows))
assert reached > 0.7, "much lower than usual: run it again, and read sections 9 and 10"
assert len(film) == 8 and len(history.losses) == STEPS

# %% [markdown]
# And the film. **Before you look**: in which order will it have found road, cars, people, legs?

# %% tags=["nbval-ignore-output"]
rows, frames = [], (0, 1, 3, 5, 7)
for k, (image_, target_) in enumerate(looked_at):
    for ids in [*(film[f][k] for f in frames), target_.numpy()]:
        rows.append(show.overlay(denormalise(image_), ids, 0.6))
names = [f"step {history.rows[f]['step']}" for f in frames] + ["truth"]
show.grid(rows, names, columns=6, side=2, legend=show.class_legend(),
          caption="Blobs first, then cars, then people, then outlines.")
plt.show()

# %% [markdown]
# Large and frequent first, small and rare last: that order is the same in nearly every run you will
# ever watch. If people stay away in yours, look at the *class* curves, not at the mean.
#
# The **test set** has not been touched. Now that nothing is left to choose, once:

# %% tags=["nbval-ignore-output"]
test_loader = loader(Street("test", LEVEL, transform=eval_transform()), 25)
final = train.evaluate(model, test_loader, masks.CLASSES)
print(final, f"\n\n{history}, {history.rows[-1]['seconds']:.0f} s")
assert abs(final.miou() - reached) < 0.1, "test and validation are drawn alike: they agree"

# %% [markdown]
# ## 8 Which loss?
#
# Lesson 04 built half a dozen. Which one should you train with? One run each says little: another
# seed, another order. `benchmarks/losses.py` trained the same small network with each of them, over
# several seeds, everything else equal and *no class weights*, and scored each once on the test set.
# The lesson reads what it wrote.
#
# **Before you look**: which of them will find the fewest people?

# %%
record = json.loads((DATA / "losses.json").read_text(encoding="utf-8"))
fig, axes = plt.subplots(1, 3, figsize=(10, 2.8), sharey=True)
print(f"{record['command']}\n{'test IoU':15}{'mean':>17}{'person':>22}{'car':>21}")
for name, runs in record["scores"].items():
    scores = np.array([[run["miou"], run["iou"]["person"], run["iou"]["car"]] for run in runs])
    print(f"{name:15}" + "".join(f"{each.mean():8.2f} ({each.min():.2f} to {each.max():.2f})"
                                 for each in scores.T))
    for ax, each in zip(axes, scores.T, strict=True):
        ax.plot(each, [name] * len(each), "o", color=show.LINES[0], alpha=0.7)
        ax.plot(each.mean(), [name], "|", color="black", markersize=18)
for ax, title in zip(axes, ("mean IoU", "person", "car"), strict=True):
    ax.set(title=title, xlabel="test IoU")
axes[0].invert_yaxis()
show.below(fig, "A dot a seed, the bar their mean. Where dots overlap, the losses do not differ.")
plt.show()

# %% [markdown]
# Cross-entropy by itself finds the fewest people, and is the least reliable: look how far apart its
# seeds lie. It counts pixels, and people have few. Dice counts each class by itself and finds them.
# Their **sum** is as good with people and better with cars: one term pulls hard at each wrong
# pixel, the other keeps the rare class in play. That is why it is the usual choice, and ours.
#
# Now read it against its grain. Dice and the sum overlap on people, so nobody can say which of them
# is better there. The losses made for IoU do not win at IoU, not in this many steps. And all of it
# is one network, one set and one rate for all, where each loss may want its own. A table like this
# tells you what to try first on your data, and no more.
#
# ## 9 Over-fitting
#
# Sixteen pictures, no augmentation, and many steps: the network learns *these sixteen* by heart. We
# validate on pictures that it never sees.
#
# **Before you run it**: which of the two losses will turn, and which will not?

# %% tags=["nbval-ignore-output"]
sixteen = loader(part(16, eval_transform()), 8, shuffle=True, seed=0)
learned = train.fit(fresh(), sixteen, checks, ce_dice, steps=240, lr=3e-3, every=20, device=device,
                    classes=masks.CLASSES, progress=False)
show.learning_curves(learned.rows, caption="Training goes on; validation has turned round.")
plt.show()
val_losses, end = learned.column("val_loss"), learned.rows[-1]["train_loss"]
assert val_losses[-1] > 1.05 * min(val_losses), "validation turns"
assert end == min(learned.column("train_loss")) < 0.5 * val_losses[-1], "training does not"

# %% [markdown]
# The gap between the two curves is what was learned by heart. (A peak near the start is another
# matter: batch norm's averages lag behind, see the next section.) More pictures close it, then
# augmentation, then a smaller network; stopping early (keeping the *best* row, which `fit` does in
# `best.safetensors`) at least does not ship it. Note that loss and IoU need not turn together: the
# loss also punishes being sure and wrong.
#
# ## 10 Reading failures
#
# Three broken runs, and one that is sound. Each is 120 steps long, and raises no error. Look at the
# curves first, and name the fault: **masks of another picture**, **validation not normalised**,
# **a learning rate a thousand times too high**.

# %%
class Shifted(Street):
    """Each picture with the mask of the next: what a sort or a shuffle of one list does."""

    def arrays(self, epoch, index):
        following = (index + 1) % len(self)
        return super().arrays(epoch, index)[0], super().arrays(epoch, following)[1]


def raw(**pair):
    """The eval transform, and then the picture back in 0 … 255: somebody forgot to normalise."""
    out = eval_transform()(**pair)
    return out | {"image": torch.from_numpy(denormalise(out["image"])).movedim(2, 0).float()}


def short_run(pictures, transform, rate):
    batches = loader(pictures, 8, shuffle=True, seed=0)
    return train.fit(fresh(), batches, loader(part(50, transform, "val"), 25), ce_dice, steps=120,
                     lr=rate, every=20, device=device, classes=masks.CLASSES, progress=False)

# %% [markdown]
# The four runs are alike but for their faults. Above are the losses, cut at 3, and below the IoU of
# car on the validation pictures.

# %% tags=["nbval-ignore-output"]
shifted = Shifted("train", "plain", transform=train_transform(size=128))
faults = {"A": short_run(part(800), eval_transform(), 3.0),
          "B": short_run(shifted, eval_transform(), 3e-3),
          "C": short_run(part(800), eval_transform(), 3e-3),
          "D": short_run(part(800), raw, 3e-3)}
fig, axes = plt.subplots(2, 4, figsize=(11, 4), sharex=True, sharey="row")
for column, (name, run) in zip(axes.T, faults.items(), strict=True):
    steps = run.column("step")
    column[0].plot(steps, run.column("train_loss"), ".-", label="training")
    column[0].plot(steps, np.minimum(run.column("val_loss"), 3), ".--", label="validation")
    column[0].set(title=f"run {name}", ylim=(0, 3.1))
    column[1].plot(steps, run.column("iou_car"), ".-", color=show.LINES[2])
    column[1].set(ylim=(0, 1), xlabel="step")
axes[0, 0].set(ylabel="loss")
axes[1, 0].set(ylabel="car IoU")
axes[0, 1].legend(fontsize=9, loc="upper right")
show.below(fig, "Four runs of one network. Which is sound, and what is wrong with the others?")
plt.show()

# %% [markdown]
# Have you named them? The next cell tells two things about their ends.

# %%
ends = {name: run.rows[-1] for name, run in faults.items()}
print("the best at cars:", max(ends, key=lambda name: ends[name]["iou_car"]))
print("D trains as well as C:", ends["D"]["train_loss"] < 1.1 * ends["C"]["train_loss"],
      "· and validates:", ends["D"]["val_loss"] < 1.3 * ends["C"]["val_loss"])
assert all(ends[name]["iou_car"] < ends["C"]["iou_car"] - 0.2 for name in "ABD")
assert min(ends["A"]["train_loss"], ends["B"]["train_loss"]) > 1.1 * ends["C"]["train_loss"]

# %% [markdown]
# - **C** is the sound one. That its first validation losses are off the chart is no fault: batch
#   norm's running averages (lesson 03) need some dozens of steps before `eval()` can use them.
# - **A** has the rate of 3. Its loss stays high and it finds no cars. Divide the rate by ten, and
#   look again, until a run behaves.
# - **B** learned from masks of other pictures. Its loss falls a little, to what *guessing by place*
#   gives (cars are below the middle), and stops there. The cure is section 1: look at a batch.
# - **D** trained well: its training loss is that of C. Only the *validation* pictures came in
#   another scale. When the two disagree from beginning to end, suspect the data path, not the
#   network; over-fitting takes time to show.
#
# ## 11 Stop, and go on
#
# Long runs are interrupted: a battery, a queue, a cat. What has to be kept so that the rest of the
# run is *the same run*? Everything that the next step depends on: the **weights**, the
# **optimizer's** moments, the **schedule's** place, and which **pictures** come next, with which
# augmentation.
#
# `fit` keeps all that in a folder, `out=`: the state after each row, the best and the last weights,
# a CSV. Call it again with the same arguments, and it goes on. You can press ■ (interrupt) in the
# middle of a run: it finishes the step, saves, and returns. Here a hook does it for you.

# %%
gentle = train_transform(size=96, scale=(1, 1), rotate=0, translate=0, colour=0)   # flip and crop


def stop(history, net):
    if history.rows[-1]["step"] == 140:
        raise KeyboardInterrupt                               # what ■ does


def a_run(out, steps=200, hook=None, weights=None):
    net, pictures = fresh(width=16), loader(part(16, gentle), 4, shuffle=True, seed=0)
    if weights:
        checkpoint.load_weights(net, weights)
    return net, train.fit(net, pictures, None, ce_dice, steps=steps, lr=1e-2, every=20, amp=False,
                          out=folder / out, device=device, progress=False, on_epoch=hook)

# %% [markdown]
# One run goes through. One is stopped after 140 of its 200 steps, and goes on in two ways: from its
# **weights alone**, as most scripts do it, and from **everything**.
#
# **Before you run it**: will the difference show in the loss?

# %%
whole_net, whole = a_run("whole")
print(a_run("stopped", hook=stop)[1])
_, alone = a_run("alone", steps=60, weights=folder / "stopped" / "last.safetensors")
resumed_net, resumed = a_run("stopped")                       # the same call once more
print(resumed)
print(sorted(p.name for p in (folder / "stopped").iterdir()))

# %% [markdown]
# The loss over the steps, in the mean of eight:

# %%
def mean_of(values):
    return np.convolve(values, np.ones(8) / 8, mode="valid")


before, fig = whole.losses[133:140], plt.figure(figsize=(7, 2.8))
plt.plot(range(7, 200), mean_of(whole.losses), color="#999999", linewidth=5, label="never stopped")
plt.plot(range(140, 200), mean_of(before + alone.losses), label="weights alone")
plt.plot(range(140, 200), mean_of(before + resumed.losses[140:]), "--", label="everything")
plt.gca().set(xlabel="step", ylabel="loss, mean of 8", ylim=(0, None))
plt.legend(fontsize=9)
show.below(fig, "Stopped after 140 steps. With the weights alone, another run goes on.")
plt.show()
assert np.mean(alone.losses[15:45]) > 1.1 * np.mean(whole.losses[155:185]), "a hill, once more"

# %% [markdown]
# The dashed line lies on the grey one exactly: not close, *equal*, and so are the weights at its
# end. With the weights alone the schedule starts over and climbs to its peak once more, and the
# moments are gone: it is another run, at rates that belong to a beginning. Given time it may end as
# well. But nobody can repeat it, and faults that show only after a restart are the hardest to find.

# %%
equal = all(map(torch.equal, resumed_net.state_dict().values(), whole_net.state_dict().values()))
print("the same losses:", resumed.losses == whole.losses, "· the same weights, bit for bit:", equal)
assert equal or device.type != "cpu", "on a GPU some sums are not repeated bit for bit"

# %% [markdown]
# The pictures are the part that is easily forgotten. `loader`'s order follows from (seed, epoch)
# and each augmentation from (seed, epoch, index): numbers, not the state of a generator. So a run
# can go on in the middle of an epoch, without the pictures that it has seen.
#
# ## 12 Files that survive
#
# A checkpoint that is being written when the power goes is half a file, and it has overwritten the
# whole one. The cure is old: write to another name, make sure that it is on the disk, then
# *rename*, which happens all at once or not at all.

# %% tags=["defines"]
import os
from pathlib import Path


def write_atomic(path, data):
    """Write bytes so that at any moment the old file or the new one is there, and whole."""
    temporary = Path(path).with_name(f".{Path(path).name}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())              # on the disk, not only on its way
        os.replace(temporary, path)              # all at once
    finally:
        temporary.unlink(missing_ok=True)

# %% [markdown]
# We take the disk away just before the rename, as a crash would:

# %%
write_atomic(path := folder / "a.bin", b"old")
replace, os.replace = os.replace, None                        # the disk is gone before the rename
try:
    write_atomic(path, b"new")
except TypeError:
    print("writing failed; what is there:", path.read_bytes())
os.replace = replace
assert path.read_bytes() == b"old" and not list(folder.glob(".*.tmp"))

# %% [markdown]
# And then there is damage that nobody notices. Disks, cables and copies flip bits, rarely. We flip
# *one* bit of a saved network, in the exponent of one of its half a million numbers.
#
# **Before you run it**: will `torch.load` complain? What will be left of the score?

# %%
torch.save(model.state_dict(), folder / "plain.pt")
data = bytearray((folder / "plain.pt").read_bytes())
number = model.first.norm1.weight[0].detach().cpu().numpy().tobytes()    # its four bytes
data[data.find(number) + 3] ^= 0b0100_0000                               # one bit of the exponent
damaged = fresh(**NET)
print(damaged.load_state_dict(torch.load(io.BytesIO(bytes(data)), weights_only=True)))
after = train.evaluate(damaged, loader(part(50, eval_transform(), "val", LEVEL), 25), 3).miou()
assert after < 0.4 < reached, "no error, and a network ruined by one bit"

# %% [markdown]
# No error, no warning, and the network is ruined. So a file of weights carries a **checksum**, and
# who reads it verifies it. The same flipped bit in the package's file:

# %%
checkpoint.save_weights(path := folder / "live.safetensors", model)
data = bytearray(path.read_bytes())
data[len(data) // 2] ^= 0b0100_0000
path.write_bytes(data)
try:
    checkpoint.load_weights(damaged, path)
except checkpoint.CheckpointError as error:
    print(str(error).replace(str(folder), "…"))

# %% [markdown]
# One more way to lose a run: a picture that is broken. One NaN in a batch, and after one step every
# weight of the network is NaN. `fit` stops *before* that step and says which pictures it was.

# %%
class Broken(Street):
    def __getitem__(self, key):
        image, target = super().__getitem__(key)
        return (image * float("nan") if key[1] == 3 else image), target


try:
    broken = loader(Broken("train", "plain", transform=gentle), 4)
    train.fit(net := fresh(), broken, None, ce_dice, steps=8, device=device, progress=False)
except FloatingPointError as error:
    print(error)
assert all(p.isfinite().all() for p in net.parameters()), "the weights are still whole"

# %% [markdown]
# ## 13 Two processes
#
# Several GPUs, or several machines, run *the same script* in several processes. Each takes its
# share of every batch. `torchrun` starts them, and `fit` (with Accelerate inside) finds out that it
# is not alone. It works with two CPU processes, too, so that you can try it now.
#
# What must hold: the same batches, split or not, give the same losses. The usual mean of the
# processes' losses does not, for Dice and for void; `fit` puts the logits together first.

# %%
def command(out, *launcher):
    """Train for six steps from the command line, as one process or as several."""
    options = (f"train --difficulty plain --steps 6 --every 3 --batch-size 8 --width 8 --depth 1 "
               f"--norm group --amp off --device cpu --out {folder / out}").split()
    done = subprocess.run([sys.executable, *launcher, "-m", "segutils", *options],
                          env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return train.History.from_csv(folder / out / "history.csv").column("train_loss")


torchrun = "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"
one_process, two_processes = command("one"), command("two", *torchrun)
print("the same losses from one process and from two:",
      np.allclose(one_process, two_processes, rtol=1e-5))
assert np.allclose(one_process, two_processes, rtol=1e-5)

# %% [markdown]
# On two GPUs: `torchrun --nproc_per_node=2 -m segutils train --processes 2 …`. The number in
# `--processes` is a check: some launchers start one process where two were asked for, without a
# word, and you pay for two. (`--norm group`, because batch norm in each of two CPU processes sees
# its own half only.)
#
# ## 14 An hour instead of a minute
#
# The live run stopped after two minutes and saw some ten thousand pictures. What does patience buy?
# The course ships one U-Net that was trained for longer, on scenes that are drawn while it trains
# and never come twice, of the *full* difficulty: night, fog, crowds, people of a few pixels. The
# file says how it was made.

# %%
weights, about = checkpoint.read_weights(file := DATA / "weights" / "unet_street.safetensors")
patient = UNet(**json.loads(about["config"])).to(device)
checkpoint.load_into(patient, weights, file)
print(f"{about['command']}\n{about['steps']} steps, {about['machine']}, in half precision "
      f"{file.stat().st_size / 1e6:.1f} MB")
full_test = Street("test", "full", transform=eval_transform())
score = train.evaluate(patient, loader(full_test, 25), masks.CLASSES)
print(dict(zip(masks.CLASSES, score.iou().numpy().round(2).tolist(), strict=True)))
print(f"test mIoU {score.miou():.2f}")
assert abs(score.miou() - json.loads(about["test"])["miou"]) < 0.01, "what its file says"

# %% [markdown]
# Against the network of two minutes, on the same pictures, all of which neither has seen. **Before
# you look**: what will the longer training have changed most?

# %% tags=["nbval-ignore-output"]
rows = []
for image_, target_ in (full_test[k] for k in (27, 22, 78)):
    rows.append(show.overlay(denormalise(image_), target_.numpy(), 0.6))
    rows += [show.error_map(ids_of(net, image_), target_.numpy()) for net in (model, patient)]
show.grid(rows, ["truth", "two minutes", "an hour"], columns=3, side=2.6,
          caption="The errors of both: whole objects in the middle, outlines on the right.",
          legend=show.error_legend())
plt.show()

# %% [markdown]
# The two-minute network never saw night or fog, so some of this is not its fault: **train on what
# you will meet**. The rest is patience. What remains are rims, and people of a few pixels.
#
# ## Summary
#
# 1. Look at a batch, and at the first loss (log of the number of classes), before you train.
# 2. The loop is ten lines. What you forget in it raises no error.
# 3. Measure a step before you speed it up, and check that the result stayed the same.
# 4. A range test finds the rate; a schedule counts steps; plot the rate.
# 5. Class curves and a film say more than the mean. The test set is looked at once.
# 6. Compare losses over seeds, or not at all.
# 7. A run is weights, moments, schedule and order. Keep all four, and it goes on to the last bit.
# 8. Files: another name, sync, rename, and a checksum that is verified.
#
# | mistake | what it does | the test that sees it |
# |---|---|---|
# | `zero_grad()` forgotten | overshoots for ever | one batch must be learned |
# | losses kept as tensors | memory grows with each step | `.item()`: no `grad_fn` |
# | training transform in validation | the score moves by itself | two looks, one score |
# | `best = net.state_dict()` | the best is the last | its score is still the best one |
# | a schedule stepped each epoch | a twenty-fifth of the rate | the rate is in the history |
# | weights alone in a checkpoint | another run goes on | resumed equals never stopped |
# | written in place, no checksum | half a file; ruin by one bit | flip a bit, and load |
#
# ## If it goes wrong
#
# | symptom | cause | section |
# |---|---|---|
# | the first loss is far above log of the classes | logits that begin too large | 1 |
# | falls, then swings | `zero_grad()`, or too high a rate | 3, 6 |
# | memory grows from epoch to epoch | a loss kept with its graph | 3 |
# | the validation score changes without training | training transform, or no `eval()` | 3 |
# | slow, and the GPU is idle | loading is the widest bar | 4 |
# | bf16 is slower than fp32 | the processor lacks it: let the probe decide | 5 |
# | no learning at all, training loss at guessing level | masks of other pictures | 10 |
# | training good, validation bad from the first row | another transform or scale | 10 |
# | validation turns after a while | over-fitting | 9 |
# | "holds another run" | `out` has a run with other arguments: another folder | 12 |
# | "the loss is nan at step …" | the pictures named, or the rate | 12 |
# | "a batch of … does not fit in the memory" | take the size it names, with `accumulate=` | 7 |
#
# ## Exercises
#
# In [exercises/ex05_train_on_gpu.ipynb](exercises/ex05_train_on_gpu.ipynb), with checks that answer
# at once.
#
# Without a check: train with `LEVEL = "full"`, ten times as long, over lunch. Interrupt it twice.
#
# ## Sources
#
# - L. Smith, N. Topin, *Super-Convergence*, 2018, arXiv:1708.07120: OneCycle; L. Smith, *Cyclical
#   Learning Rates*, 2017, arXiv:1506.01186: the range test.
# - I. Loshchilov, F. Hutter, *Decoupled Weight Decay Regularization*, 2019, arXiv:1711.05101.
# - P. Micikevicius et al., *Mixed Precision Training*, 2018, arXiv:1710.03740.
# - D. Masters, C. Luschi, *Revisiting Small Batch Training*, 2018, arXiv:1804.07612.
# - T. Pillai et al., *All File Systems Are Not Created Equal*, OSDI 2014: why a rename alone is not
#   enough.
