# %% [markdown]
# # 00 · Start here
#
# Image segmentation gives **every pixel of a picture a class**: this pixel is a person, that one
# a car, the rest is background. In the next minutes you will look at such data, train a
# network that does the job, and see where it goes wrong. Every other lesson of the course takes
# one part of what happens here and looks into it.
#
# After this lesson you can
#
# - say whether your set-up works, and mend it if it does not;
# - say what an image, a mask and an overlay are, and read one;
# - train a small U-Net and judge it on pictures that it never saw;
# - say why "95 % of the pixels are right" may mean nothing at all.
#
# **Minutes**: about 1 to run on two CPU cores · GPU: not measured. **Builds on**: nothing. Run
# the cells from top to bottom with Shift+Enter.

# %% [markdown]
# ## 1 Does the set-up work?
#
# The next cell looks at what this workbook needs. Each line that begins with ✗ names a problem
# and its cure; ✓ needs no action.

# %% tags=["nbval-ignore-output"]
from segutils.workbook import check_setup

problems = check_setup()

# %%
assert not problems, "mend the lines marked with a cross above, then restart the kernel"
print("The set-up works.")

# %%
import numpy as np
import torch
from matplotlib import pyplot as plt

from segutils import show
from segutils.datasets import Street, loader
from segutils.masks import CLASSES, colorize

show.use_style()

# %% [markdown]
# ## 2 Look at the data
#
# The course comes with its own pictures: small streets, drawn by a program and saved the way real
# data is saved, an image file and a mask file for each. There is a *training* set to learn from, a
# *validation* set to watch progress on, and a *test* set that is looked at once, at the end.

# %%
train, val, test = (Street(split, difficulty="plain") for split in ("train", "val", "test"))
print(len(train), "pictures to train on,", len(val), "to validate,", len(test), "to test")

# %%
sheet = show.contact_sheet([train[i][0] for i in range(24)], columns=8)
show.grid([sheet], columns=1, side=11,
          caption="Twenty-four training pictures. Find the people and the cars.")
plt.show()

# %% [markdown]
# Each picture has a **mask**: an array of the same height and width, with one whole number for
# each pixel: the id of its class. 0 is background, 1 is person, 2 is car. A fourth number, 255, is
# called *void*: it marks the thin seam along an object where one pixel holds a bit of both, and it
# is left out of training and of every score.

# %%
image, mask = train[7]
print("image:", image.shape, image.dtype)   # height, width, and red, green, blue
print("mask: ", mask.shape, mask.dtype)     # height, width
print("ids in the mask:", np.unique(mask).tolist())

# %%
show.grid([image, colorize(mask), show.overlay(image, mask)],
          ["image", "mask, coloured in", "overlay"], columns=3, side=3,
          caption="The mask has no colours of its own: we give each id one.",
          legend=show.class_legend())
plt.show()

# %% [markdown]
# An **overlay** is the image with its mask laid over it, half transparent. It is the first check of
# any segmentation data: **if the colours do not sit on the things, nothing that follows can be
# right.** Look at a dozen whenever you meet a new data set.

# %%
pairs = [train[i] for i in range(40, 52)]
sheet = show.contact_sheet([show.overlay(i, m, 0.6) for i, m in pairs], columns=6)
show.grid([sheet], columns=1, side=11, legend=show.class_legend(),
          caption="Does every colour sit on its thing?")
plt.show()

# %% [markdown]
# **Before you run the next cell:** of all pixels in the training set, how many in a hundred are
# background? Write your guess down.

# %%
counts = sum(np.bincount(train[i][1].ravel(), minlength=256) for i in range(len(train)))
for name, count in zip(CLASSES, counts, strict=False):
    print(f"{name:10s} {100 * count / counts[:3].sum():4.1f} %")

# %% [markdown]
# A program that answers "background" everywhere, and has learnt nothing, gets that share of
# the pixels right. So we do not count right pixels. We use **IoU**, *intersection over union*: of
# all pixels that are a car in the truth **or** in the prediction, how many are a car in **both**?
# It is 1 for a perfect answer. For the lazy program it is 0 for person and 0 for car.

# %% [markdown]
# ## 3 Train a U-Net
#
# A U-Net looks at a picture at several sizes, from fine to coarse and back, and ends with three
# numbers for each pixel, one score for each class; these scores are called *logits*. The class with
# the greatest score is the prediction. What the network has learnt is held by its *weights*,
# numbers that training changes. Ours is small, so that a laptop can train it while you watch.

# %%
from segutils.unet import UNet

torch.manual_seed(0)
model = UNet(classes=3, width=32, depth=2, up="transposed", stem=2)
print(f"{sum(p.numel() for p in model.parameters()):,} weights")

# %%
from segutils.augment import eval_transform, train_transform

train.transform = train_transform(size=128)   # flips, crops, colours: lesson 02
val.transform = test.transform = eval_transform()
train_loader = loader(train, batch_size=8, shuffle=True, seed=0)
val_loader = loader(val, batch_size=25)
images, targets = next(iter(train_loader))
print(tuple(images.shape), tuple(targets.shape))   # (B, 3, H, W) and (B, H, W)

# %% [markdown]
# Now the training: 300 steps. In each the network sees eight pictures, a *loss* says how wrong
# it was, and every weight moves a little in the direction that would have made the loss smaller.
# The loss is cross-entropy plus Dice (lesson 04). People and cars cover few pixels, so in the
# cross-entropy a person's pixel counts six times and a car's twice; else the network would ignore
# people for a long time. After every 60 steps the validation set is scored and the curves grow.
#
# **Before you run it:** which class will be learnt first, person or car?

# %%
from functools import partial

from segutils.losses import cross_entropy, dice_loss, sum_of
from segutils.train import evaluate, fit, pick_device

device = pick_device()   # CUDA, else Apple's MPS, else the CPU
weight = torch.tensor([1.0, 6.0, 2.0], device=device)   # background, person, car
loss = sum_of((1, partial(cross_entropy, weight=weight)), (1, dice_loss))

# %% tags=["nbval-ignore-output"]
history = fit(model, train_loader, val_loader, loss, steps=300, lr=3e-3, every=60,
              classes=CLASSES, device=device,
              on_epoch=show.live_curves("The loss falls and the IoU rises: it is learning."))

# %%
assert history.rows[-1]["miou"] > history.rows[0]["miou"], "the curves should rise: run it again"
assert history.losses[-1] < history.losses[0]

# %% [markdown]
# ## 4 Look at pictures that it never saw
#
# The curves have answered the question. Cars are large and have most pixels to learn from; people
# are thin, come in many colours, and take longer.
#
# But curves are only numbers, so look at pictures. These three come from the test set. Beside
# image, truth and prediction stands an **error map**, which says of each wrong pixel how it is
# wrong: *missed* (an object called background), *false alarm* (background called an object) or
# *wrong class*.

# %%
from segutils.augment import denormalise


@torch.inference_mode()
def predict(image):
    """The class of each pixel: (3, H, W) float, normalised -> (H, W) uint8 ids."""
    model.eval()
    logits = model(image[None].to(next(model.parameters()).device))   # (1, 3, H, W)
    return logits[0].argmax(dim=0).byte().cpu().numpy()


# %% tags=["nbval-ignore-output"]
rows = []
for i in (3, 21, 30):
    x, target = test[i]
    picture, truth, answer = denormalise(x), target.numpy(), predict(x)
    rows += [picture, show.overlay(picture, truth, 0.6), show.overlay(picture, answer, 0.6),
             show.error_map(answer, truth)]
show.grid(rows, ["image", "truth", "prediction", "error map"], columns=4, side=2.6,
          caption="Where does it fail: at the seams, or whole objects?", legend=show.error_legend())
plt.show()

# %% [markdown]
# Look at the error maps before you look at any score. Rims along the outlines are what a network
# learns last. A whole object in one colour is another matter: there it has not understood
# something, often something small, dark or half hidden. And a blot where no object is? The streets
# hold skips, letter boxes and posts in the colours of cars and people, and dark shadows: all of
# them are background.

# %% [markdown]
# ## 5 Does the result make sense?
#
# Now a number, over the whole test set, beside the lazy program that answers "background"
# everywhere. **Before you run it:** for which of the two classes will the IoU be lower?

# %%
from segutils.metrics import ConfusionMatrix

trained = evaluate(model, loader(test, batch_size=25), classes=CLASSES)
lazy = ConfusionMatrix(CLASSES)
for _, targets in loader(test, batch_size=25):
    lazy.update(torch.zeros_like(targets), targets)

# %% tags=["nbval-ignore-output"]
print(f"{'':22s}" + "".join(f"{name:>12s}" for name in CLASSES) + "        mean")
for name, score in (("lazy: all background", lazy), ("your U-Net", trained)):
    print(f"{name:22s}" + "".join(f"{x:12.2f}" for x in score.iou()) + f"{score.miou():12.2f}")
print(f"\nright pixels: lazy {lazy.accuracy():.0%}, your U-Net {trained.accuracy():.0%}")

# %%
assert trained.miou() > lazy.miou() + 0.15, "it should beat the lazy program: train it again"
assert trained.iou()[2] > 0.3, "cars should be found by now"
print("lazy: accuracy above 0.85:", bool(lazy.accuracy() > 0.85))
print("lazy: IoU of person and car:", [round(float(x), 2) for x in lazy.iou()[1:]])

# %% [markdown]
# The lazy program has most pixels right and knows nothing. Among the two classes person is the
# harder one: a thin shape is nearly all outline, and a rim of one pixel costs it far more than a
# car. Such details are where segmentation work goes wrong: not in the network, but in the data and
# in the score. Each lesson from here on shows such traps, measures what they cost, and turns the
# cure into a test.

# %% [markdown]
# ## 6 The course
#
# | lesson | you build |
# |---|---|
# | 01 Mask basics | reading and writing masks whose numbers never change |
# | 02 Synchronized augmentation | one transform for image and mask, and the proof that it is one |
# | 03 U-Net from scratch | the network that you just trained, block by block |
# | 04 Losses and metrics | cross-entropy, Dice, IoU, by hand on 4×4 pixels first |
# | 05 Train on a GPU | a fast training loop that loses nothing when it is killed |
# | 06 FCN, DeepLab, Mask R-CNN | what each family adds, and a fair table |
# | 07 Your own images | from a folder of photographs to a model |
# | 08 Overlay explorer | a widget that looks into what models do |
#
# The README of the workbook says which lessons are there already, and how long each takes.

# %% [markdown]
# ## Summary
#
# - A **mask** holds one class id a pixel; 255 is void and counts nowhere.
# - An **overlay** is the first check of data, and an **error map** the first check of a model.
# - **IoU** sees what counting right pixels hides.
# - A **test set** is looked at once, at the end.
#
# ## If it goes wrong
#
# | symptom | likely cause | see |
# |---|---|---|
# | a line with ✗ in step 1 | a package is missing or does not fit | the cure in the line itself |
# | `the data folder is missing` | the package was installed without its clone | step 1 |
# | the curve is flat | the cells were run out of order: restart the kernel, run all | step 3 |
# | training takes much longer than a minute | other programs use the cores | step 3 |
#
# ## Exercises
#
# In [exercises/ex00_start_here.ipynb](exercises/ex00_start_here.ipynb), with checks that answer at
# once: `ex00.shares` (what is in a mask?), `ex00.match` (five error maps, five scores),
# `ex00.score` (right pixels, and IoU) and `ex00.leak` (which test pictures are no test?). They take
# about half an hour (an estimate), and train nothing.
#
# ## Sources
#
# - O. Ronneberger, P. Fischer, T. Brox, *U-Net: Convolutional Networks for Biomedical Image
#   Segmentation*, 2015, arXiv:1505.04597.
# - M. Everingham and others, *The Pascal Visual Object Classes Challenge*, 2010,
#   doi:10.1007/s11263-009-0275-4: the mean IoU over classes, and void.
# - The pictures are the workbook's own; `data/README.md` says how they were made.
