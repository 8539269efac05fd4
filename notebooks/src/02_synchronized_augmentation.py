# %% [markdown]
# # 02 · Synchronized augmentation
#
# A few hundred labelled pictures are not many. **Augmentation** makes more of them: flip, crop,
# turn, change the colours, and the model hardly ever sees the same pixels twice. In segmentation
# the label is a picture too, and has to make every move that the image makes. When it does not,
# nothing crashes. The model learns from wrong labels and gets worse, a little or a lot.
#
# After this lesson you can
#
# - flip, crop and turn a picture together with its mask, by hand and with two libraries
# - say which changes belong to both and which to the image alone
# - fill what comes in from outside so that nothing false is taught
# - carry instances and boxes along
# - draw random numbers that do not repeat, however many processes load the pictures
# - write a short test that finds an image and a mask that are out of step, in any pipeline
#
# **Minutes**: 1 to run on two CPU cores · GPU: not needed. **Builds on**: lesson 01 (ids,
# void, overlays, IoU). The ends of sections 4 and 9 are good places for a break.

# %%
import copy
import os
import random
import warnings

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")       # it would ask the network for news

import albumentations as A
import cv2
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.patches import Rectangle
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from segutils import augment as package
from segutils import masks, show
from segutils.datasets import DATA, FolderPairs, Street, loader, split_by_name
from segutils.losses import ce_dice
from segutils.masks import resize_mask
from segutils.metrics import ConfusionMatrix
from segutils.unet import UNet

show.use_style()
scenes = Street("train", "plain")                # scenes[i] is (image, mask), as arrays
image, mask = scenes[1]                          # (128, 128, 3), (128, 128) uint8
print(len(scenes), "pairs;", image.shape, image.dtype, mask.shape, mask.dtype)

# %% [markdown]
# ## 1 A flip, and the mask that stayed behind
#
# A street seen in a mirror is still a street, so a flip from left to right is the cheapest new
# picture there is. Let us flip the image, and forget the mask.
#
# **Before you run it**: the car stands on the left. What will the labels be worth after the flip?
# Guess the IoU of "labelled car" with "is a car now".

# %%
flipped = image[:, ::-1].copy()                  # columns from last to first
pictures = [(image, mask), (flipped, mask), (flipped, mask[:, ::-1].copy())]
show.grid([show.overlay(*pair) for pair in pictures],
          ["the pair", "mask forgotten", "both flipped"], side=3,
          caption="In the middle, road is labelled as car and the car as street.",
          legend=show.class_legend())
plt.show()

# %% [markdown]
# Shape, dtype and the set of ids are all right: the checks that lesson 01 told you to make all
# pass. Only a look, or a comparison with the labels as they should be, shows it. In numbers, for
# this picture and for 200:

# %%
def label_iou(given, true, k):
    """IoU of class k in the labels we hand out with the labels as they should be."""
    a, b = (given == k) & (true != 255), (true == k) & (given != 255)
    return (a & b).sum() / (a | b).sum()


many = np.stack([scenes[i][1] for i in range(200)])                     # (200, 128, 128)
for k, name in [(1, "person"), (2, "car")]:
    print(f"{name:6} IoU: this picture {label_iou(mask, mask[:, ::-1], k):.2f}, "
          f"200 pictures {label_iou(many, many[:, :, ::-1], k):.2f}")

# %% [markdown]
# In this picture not one car pixel is labelled rightly. What is left of the cars in 200 pictures is
# luck: streets are roughly symmetric. A person is thin, and seldom meets a mirror image.
#
# The cure is to make the pair *one thing*: functions that take both and return both. There is then
# no way to flip only one of them.

# %% tags=["defines"]
import numpy as np


def hflip(image, mask):
    """Flip image (H, W, 3) and mask (H, W) left to right."""
    if image.shape[:2] != mask.shape:
        raise ValueError(f"image {image.shape[:2]} and mask {mask.shape} are not of one size")
    return image[:, ::-1].copy(), mask[:, ::-1].copy()

# %% [markdown]
# By pencil first, with the 4×4 mask of lesson 01 (it stands in the cell below): where do its two 1s
# go? Then a library. **Albumentations** is the one we use most in this course: its steps take image
# and mask by name. `p` is the probability of a step, so `p=1` means "always".

# %%
tiny = np.array([[0, 0, 2, 2], [0, 1, 2, 2], [0, 1, 255, 255], [0, 0, 0, 0]], np.uint8)
print(hflip(np.zeros((4, 4, 3), np.uint8), tiny)[1])
ours = hflip(image, mask)
theirs = A.HorizontalFlip(p=1)(image=image, mask=mask)
assert np.array_equal(ours[0], theirs["image"]) and np.array_equal(ours[1], theirs["mask"])
assert np.array_equal(hflip(*ours)[1], mask), "two flips undo each other"
print("equal to Albumentations:", True)

# %% [markdown]
# The 1s went from the second column to the third, and the 255s went along like any other id.
#
# ## 2 Colour is for the image alone
#
# Dusk or noon, the car is a car: a change of brightness must leave the ids alone. This is the
# opposite mistake, one step too much on the mask. It happens when image and mask are stacked into
# one array of four channels "so that nothing can go out of step".
#
# **Before you run it**: both are made brighter by half. What becomes of a person (1), a car (2),
# void (255)?

# %%
def brighter(array, factor):
    return np.clip(np.round(array * factor), 0, 255).astype(np.uint8)


bright = brighter(np.dstack([image, mask]), 1.5)           # (H, W, 4): RGB and ids
show.grid([show.overlay(image, mask), show.overlay(bright[..., :3].copy(), bright[..., 3])],
          ["the pair", "everything brighter"], side=3, legend=show.class_legend(),
          caption="The people have turned into cars, and the car into a class nobody knows.")
plt.show()
print(*(f"{k} became {np.unique(bright[..., 3][mask == k])[0]}" for k in (0, 1, 2, 255)), sep=", ")

# %% [markdown]
# 1 × 1.5 is rounded to 2, 2 × 1.5 is 3, and 255 cannot grow. The set of ids gives it away here,
# since 3 is no class of ours. On a picture with people only, nothing would have looked odd: the ids
# would be 0, 2 and 255.
#
# So a colour function takes the image and *cannot* see the mask. Ours changes **contrast** (how far
# values lie from middle grey) and **brightness** (how large they are).

# %% tags=["defines"]
def change_colour(image, brightness=1.0, contrast=1.0):
    """Scale an image (H, W, 3) uint8 around middle grey, then as a whole."""
    values = (image.astype(np.float32) - 128) * contrast + 128
    return np.clip(np.round(values * brightness), 0, 255).astype(np.uint8)

# %% [markdown]
# A library knows of each of its steps whether it moves pixels or only repaints them. We check that
# once: repaint strongly, and see that no id has changed.

# %%
repaint = A.Compose([A.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.8, hue=0.1, p=1),
                     A.GaussNoise(std_range=(0.04, 0.08), p=1)], seed=3)
out = [repaint(image=image, mask=mask) for _ in range(3)]
show.grid([change_colour(image, 1.5), change_colour(image, 0.6, 0.7), *(o["image"] for o in out)],
          ["brighter", "flat and dark", *["Albumentations"] * 3], columns=5, side=2.1,
          caption="Five lights on one street, and one mask for all of them.")
plt.show()
assert all(np.array_equal(o["mask"], mask) for o in out), "a repainted picture keeps its mask"

# %% [markdown]
# How strong may it be? Only so strong that *you* still recognise everything. If you cannot tell the
# person from the wall, the label asks for something that the picture does not show.
#
# ## 3 One draw, used twice
#
# A random crop cuts a square out of the picture, from a random place. Now there is chance in it,
# and chance has a way of being asked twice: once for the image and once for the mask.
#
# **Before you run it**: both crops below are 64 pixels wide, from the same pair. Will an assert on
# shapes complain?

# %%
def crop_of(array, size, rng):
    top, left = rng.integers(0, array.shape[0] - size + 1, 2)
    return array[top:top + size, left:left + size]


rng = np.random.default_rng(4)
apart = crop_of(image, 64, rng), crop_of(mask, 64, rng)            # two draws: out of step
rng = np.random.default_rng(4)
true = crop_of(image, 64, rng), crop_of(mask, 64, np.random.default_rng(4))
assert apart[0].shape[:2] == apart[1].shape                        # and no complaint
show.grid([show.overlay(*apart), show.overlay(*true)], ["two draws", "one draw"], side=3,
          caption="Left: image and labels come from two places.", legend=show.class_legend())
plt.show()

# %% [markdown]
# No complaint: both crops are 64×64. On the left the image shows one place and the labels another.
#
# The same happens whenever a transform is called once for the image and once for the mask. Here is
# that mistake with a library, on 200 pictures, and what it costs. To know where the labels *should*
# be, we let the mask travel with the image as well, and call that the truth.

# %%
crop = A.Compose([A.HorizontalFlip(p=0.5), A.RandomCrop(96, 96)], seed=0)
true, given = [], []
for picture, ids in (scenes[i] for i in range(200)):
    true.append(crop(image=picture, mask=ids)["mask"])             # what the image shows
    given.append(crop(image=picture, mask=ids)["mask"])            # a second call
scores = [label_iou(np.stack(given), np.stack(true), k) for k in (1, 2)]
print("IoU of the labels: person {:.2f}, car {:.2f}".format(*scores))
assert max(scores) < 0.5, "two calls, two draws: these labels should be bad"

# %% [markdown]
# Of all pixels that are labelled car, or show one, about three quarters are wrong; with people it
# is nine in ten. And no message.
#
# The cure again: take both, draw once, use it twice. All chance comes from `rng`, a generator that
# the caller hands in, so that a draw can be repeated.

# %% tags=["defines"]
def random_crop(image, mask, size, rng):
    """Cut the same random square of side `size` out of image (H, W, 3) and mask (H, W)."""
    if image.shape[:2] != mask.shape or size > min(mask.shape):
        raise ValueError(f"no crop of {size} in image {image.shape[:2]} and mask {mask.shape}")
    top = rng.integers(mask.shape[0] - size + 1)         # the upper end is left out, hence + 1
    left = rng.integers(mask.shape[1] - size + 1)
    area = slice(top, top + size), slice(left, left + size)
    return image[area], mask[area]

# %% [markdown]
# How many places are there for a 3×3 crop in a 4×4 picture? Four; without the `+ 1` it would be
# one, and the last row and column would never be seen. We hide in each pixel where it came from,
# and count. (Keep this trick in mind: section 12 makes a test of it.)

# %%
row, column = np.mgrid[:4, :4].astype(np.uint8)
places = np.dstack([column, row, 0 * row])               # red holds x, green holds y
rng, seen = np.random.default_rng(0), set()
for _ in range(100):
    window, ids = random_crop(places, tiny, 3, rng)
    x, y = window[0, 0, :2].tolist()                     # the corner says where it was
    theirs = A.Crop(x, y, x + 3, y + 3, p=1)(image=places, mask=tiny)
    assert np.array_equal(ids, theirs["mask"]) and np.array_equal(window, theirs["image"])
    seen.add((x, y))
print("corners (x, y):", sorted(seen))

# %% [markdown]
# ## 4 What it costs a model
#
# Labels of poor IoU sound bad. How bad are they for a model? We train two: the same small U-Net
# (lesson 03 builds one), the same start, the same pictures, the same number of steps. One gets
# image and mask from one draw, the other gets them from two.
#
# Networks want float tensors, channels first, with values around 0. So we subtract a mean from each
# channel and divide by a standard deviation. This is **normalising**. The six numbers below are
# those of ImageNet, a large set of photographs; using them has become a custom. Masks are not
# normalised: ids are names.

# %% tags=["defines"]
import torch

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)     # RGB, for values in 0..1


def normalise(image):
    """(H, W, 3) uint8 to (3, H, W) float32 around 0."""
    values = torch.from_numpy(image.copy()).permute(2, 0, 1) / 255               # (3, H, W)
    return (values - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def denormalise(image):
    """The way back: (3, H, W) float32 to (H, W, 3) uint8, to be looked at."""
    values = image * torch.tensor(STD).view(3, 1, 1) + torch.tensor(MEAN).view(3, 1, 1)
    return (values * 255).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()

# %% [markdown]
# First ours against the package's. Then the data: to be quick we shrink the scenes to 64 pixels and
# take crops of 48.

# %%
tensor = normalise(image)                                    # (3, 128, 128)
theirs = package.eval_transform()(image=image, mask=mask)    # nothing random: normalise only
assert torch.allclose(tensor, theirs["image"], atol=1e-5), "ours equals the package's"
assert np.array_equal(denormalise(tensor), image), "there and back gives every value"
assert np.array_equal(package.denormalise(tensor), image)


def shrunk(split, n):
    """n pairs, at 64 pixels: lists of (64, 64, 3) and (64, 64)."""
    pairs = [pair for _, pair in zip(range(n), Street(split, "plain"), strict=False)]
    return ([cv2.resize(a, (64, 64), interpolation=cv2.INTER_AREA) for a, _ in pairs],
            [resize_mask(b, (64, 64)) for _, b in pairs])


def flip_and_crop(image, mask, seed):
    rng = np.random.default_rng(seed)
    pair = hflip(image, mask) if rng.random() < 0.5 else (image, mask)
    return random_crop(*pair, 48, rng)


small, small_masks = shrunk("train", 240)
print(len(small), "pairs for training, of shape", small[0].shape, small_masks[0].shape)

# %% [markdown]
# Lesson 05 explains each line of the training loop. Here only one thing matters: is the mask's draw
# the image's, or another? Both models are judged on 60 other pictures, with their right masks.

# %%
def train(together, steps=500):
    torch.manual_seed(0)
    rng, model = np.random.default_rng(0), UNet(width=16, depth=2, stem=2)
    optimizer = torch.optim.AdamW(model.parameters())
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=5e-3, total_steps=steps)
    for _ in range(steps):
        batch = []
        for i in rng.integers(0, len(small), 8):
            one, other = rng.integers(0, 2**31, 2)           # two draws
            picture, ids = flip_and_crop(small[i], small_masks[i], one)
            if not together:
                _, ids = flip_and_crop(small[i], small_masks[i], other)
            batch.append((normalise(picture), torch.from_numpy(ids.copy()).long()))
        x, y = map(torch.stack, zip(*batch, strict=True))    # (8, 3, 48, 48), (8, 48, 48)
        loss = ce_dice(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rate.step()
    return model.eval()


val, val_masks = shrunk("val", 60)
x = torch.stack([normalise(a) for a in val])                 # (60, 3, 64, 64)
target = torch.from_numpy(np.stack(val_masks)).long()        # (60, 64, 64)

# %% [markdown]
# Cars are large and are learnt in these few steps. People need more time than we give either model,
# so we look at cars. (The scores differ a little from processor to processor.)
#
# **Before you run it**: the second model sees cars, and labels of cars, but seldom in the same
# place. What will it predict? Nothing, noise, or something else?

# %% tags=["nbval-ignore-output"]
predicted, car_iou = {}, {}
for name, together in {"one draw": True, "two draws": False}.items():
    model = train(together)
    with torch.inference_mode():
        predicted[name] = model(x).argmax(dim=1)             # (60, 64, 64) ids
    car_iou[name] = ConfusionMatrix(3).update(predicted[name], target).iou()[2].item()
    print(f"{name:9}  car IoU {car_iou[name]:.2f}")

# %%
one, two = car_iou["one draw"], car_iou["two draws"]
assert one > 0.5, "the model with pairs should have learnt cars by now"
assert two < one - 0.15, "the model without pairs should be clearly worse"
print("the model with pairs is clearly better:", one - two > 0.15)
chosen = (target == 2).sum((1, 2)).argsort(descending=True, stable=True)[2:10:2].tolist()
rows = [[show.overlay(val[i], ids[i].numpy().astype(np.uint8)) for i in chosen]
        for ids in (target, predicted["one draw"], predicted["two draws"])]
fig, axes = plt.subplots(3, 4, figsize=(8, 6.6))
for name, pictures, line in zip(["truth", "one draw", "two draws"], rows, axes, strict=True):
    for ax, picture in zip(line, pictures, strict=True):
        ax.imshow(picture)
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    line[0].set_ylabel(name)
show.below(fig, "Bottom row: stains without outlines, or nothing.", show.class_legend())
plt.show()

# %% [markdown]
# The second model is not idle. Labels that are shifted at random still say *roughly* where cars
# are, and that is what it learnt, a blur of all the shifts. It paints stains that do not follow a
# car's outline: over one car, beside another, or none at all where you see a car at once.
#
# This is what makes the mistake so hard to see in practice. The loss goes down, the pictures are
# not absurd, and you start to tune the learning rate.
#
# ## 5 Turning: ask each new pixel where it comes from
#
# A flip moves whole pixels. A turn by 20° does not, so we need a rule. The first idea: take every
# old pixel, compute where it goes, paint it there.
#
# **Before you run it**: will every new pixel get a value in this way?

# %%
cos, sin = np.cos(np.deg2rad(20)), np.sin(np.deg2rad(20))
y, x = np.mgrid[:128, :128] - 63.5                                 # from the middle
to_x, to_y = np.round([cos * x + sin * y + 63.5, cos * y - sin * x + 63.5]).astype(int)
inside = (to_x >= 0) & (to_x < 128) & (to_y >= 0) & (to_y < 128)
painted = np.zeros_like(image)
painted[to_y[inside], to_x[inside]] = image[inside]
show.grid([painted, painted[44:84, 24:64]], ["painted forwards", "a part of it"], side=3.2,
          caption="Holes: two old pixels went to one place, and none to the next.")
plt.show()
print(f"holes near the middle: {(painted[32:96, 32:96].max(axis=2) == 0).mean():.0%} of the pixels")

# %% [markdown]
# It will not: even near the middle, 8 % of the new pixels got none.
#
# So everyone does it the other way round: for each *new* pixel, compute the point of the old
# picture that it shows. That is **inverse mapping**. The move itself is a 2×3 matrix that sends old
# (x, y) to new, and we invert it. Moves that such a matrix can describe are called **affine**:
# shift, turn, zoom, flip, and mixtures of them.
#
# Where is "a pixel"? It is a little square, with its centre at half numbers: the first one at
# (0.5, 0.5). With that, "nearest" needs no rounding rule. We ask which square the point lies *in*,
# and the mask takes the id of that square. The image may blend the four pixels whose centres lie
# around the point (**bilinear**).

# %% tags=["defines"]
def rotation(degrees, height, width, scale=1.0):
    """2×3 matrix that turns counter-clockwise about the middle and zooms: old (x, y) to new."""
    cos, sin = scale * np.cos(np.deg2rad(degrees)), scale * np.sin(np.deg2rad(degrees))
    x, y = width / 2, height / 2                                   # the middle stays where it is
    return np.array([[cos, sin, x - cos * x - sin * y], [-sin, cos, y + sin * x - cos * y]])


def bilinear(image, x, y):
    """Blend the four pixels whose centres surround each point (x, y) of the image."""
    x, y = x.clip(0.5, image.shape[1] - 0.5) - 0.5, y.clip(0.5, image.shape[0] - 0.5) - 0.5
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    right, bottom = np.ceil(x).astype(int), np.ceil(y).astype(int)
    across, down = (x - left)[..., None], (y - top)[..., None]     # 0..1
    above = (1 - across) * image[top, left] + across * image[top, right]
    below = (1 - across) * image[bottom, left] + across * image[bottom, right]
    return np.round((1 - down) * above + down * below).astype(np.uint8)


def warp(image, mask, matrix, fill=0, fill_mask=255):
    """Move image (H, W, 3) and mask (H, W) by a 2×3 matrix; outside: `fill` and `fill_mask`."""
    if image.shape[:2] != mask.shape:
        raise ValueError(f"image {image.shape[:2]} and mask {mask.shape} are not of one size")
    height, width = mask.shape
    y, x = np.mgrid[:height, :width] + 0.5                         # centres of the new pixels
    shift = matrix[:, 2, None]
    points = np.linalg.inv(matrix[:, :2]) @ (np.stack([x.ravel(), y.ravel()]) - shift)
    x, y = points.reshape(2, height, width)                        # where they come from
    inside = (0 <= x) & (x < width) & (0 <= y) & (y < height)
    column, row = (np.where(inside, p, 0).astype(int) for p in (x, y))   # the square it lies in
    new_mask = np.where(inside, mask[row, column], fill_mask).astype(mask.dtype)
    return np.where(inside[..., None], bilinear(image, x, y), fill).astype(np.uint8), new_mask

# %% [markdown]
# First a check against known answers: a turn by 90° is `np.rot90`, and a flip is a matrix as well.
# Then the libraries, with the same angle.
#
# **Before you run it**: both libraries are asked for `20`. Will they turn in the same direction?

# %%
turned, turned_mask = warp(image, mask, rotation(20, 128, 128))
assert np.array_equal(warp(image, mask, rotation(90, 128, 128))[1], np.rot90(mask))
mirror = np.array([[-1.0, 0, 128], [0, 1, 0]])                     # x becomes 128 - x
for ours, by_matrix in zip(hflip(image, mask), warp(image, mask, mirror), strict=True):
    assert np.array_equal(ours, by_matrix), "a flip is a warp"
theirs = A.Affine(rotate=(20, 20), fill=0, fill_mask=255, p=1)(image=image, mask=mask)
for sign in (1, -1):
    tv = F.affine(tv_tensors.Mask(torch.from_numpy(mask)), sign * 20, [0, 0], 1.0, [0, 0], fill=255)
    print(f"torchvision, {sign * 20:3}: {(tv.numpy() == turned_mask).mean():.0%} of the ids equal")
print(f"Albumentations,  20: {(theirs['mask'] == turned_mask).mean():.0%}")
show.grid([show.overlay(turned, turned_mask), show.overlay(theirs["image"], theirs["mask"])],
          ["ours", "Albumentations"], side=3, legend=show.class_legend(),
          caption="The same, pixel by pixel in the mask. Grey corners: nobody knows.")
plt.show()
off = np.abs(turned.astype(int) - theirs["image"])[turned_mask != 255].mean()
print("mean difference of the images, in steps of 255: below", np.ceil(10 * off) / 10)
assert (theirs["mask"] == turned_mask).mean() > 0.999, "the same angle gives the same mask"

# %% [markdown]
# They will not. OpenCV and Albumentations count angles counter-clockwise, torchvision's `affine`
# clockwise (and its `rotate` counter-clockwise). Turn the image with one and the mask with another,
# and you have the next way to fall out of step.
#
# The dots along the frame on the right are no mistake: there Albumentations blends the outermost
# pixels with the black that it fills in, and ours does not.
#
# ## 6 Blending ids
#
# Lesson 01 showed that a blended resize invents classes. A turn does the same. OpenCV does not know
# which of your arrays is a mask: it blends whatever it is given, unless you ask for something else.
# Here it turns a mask in which we kept the cars only.

# %%
cars = np.where(mask == 2, 2, 0).astype(np.uint8)                  # 0 and 2, no person
matrix = cv2.getRotationMatrix2D((63.5, 63.5), 20, 1)              # its centres: whole numbers
blended, picked = (cv2.warpAffine(cars, matrix, (128, 128), flags=how)      # bilinear: the default
                   for how in (cv2.INTER_LINEAR, cv2.INTER_NEAREST))
close = slice(56, 100), slice(20, 76)
show.grid([show.overlay(turned[close], m[close], 0.7) for m in (blended, picked)],
          ["bilinear", "nearest"], side=3.2, legend=show.class_legend(void=False),
          caption="A thin orange person along every edge of the car.")
plt.show()
print("person pixels:", (blended == 1).sum(), "and", (picked == 1).sum())
assert set(np.unique(picked)) <= {0, 2}, "ask for nearest on masks: a turn must not invent ids"

# %% [markdown]
# Here the set of ids catches it only because we took the people out of this mask: 1 is otherwise an
# id like any other. With void in the mask the blend gives numbers of all sizes, and `check_ids`
# stops at once.
#
# ## 7 Fill: black is not background
#
# A turned picture has corners that no camera saw. Libraries fill image *and* mask with 0 unless
# told otherwise. For the image that is black. For the mask it is class 0: background.
#
# **Before you run it**: over 200 pictures, turned by up to 30°, what share of all pixels is made
# up, and labelled as if somebody knew? (A white picture, warped, is black where nothing came from.)

# %%
angles, outside = [*np.random.default_rng(0).uniform(-30, 30, 199), 25], []
for i, angle in enumerate(angles):
    white, matrix = np.full_like(image, 255), rotation(angle, 128, 128)
    outside.append(warp(white, scenes[i][1], matrix)[0].max(axis=2) == 0)
print(f"made up, and called background: {np.mean(outside):.0%} of all pixels")
wrong, right = (warp(*scenes[199], matrix, fill_mask=fill) for fill in (0, 255))
show.grid([wrong[0], masks.PALETTE[wrong[1]], masks.PALETTE[right[1]]],
          ["the image", "mask filled with 0", "mask filled with 255"], side=3,
          caption="In the middle the corners claim: this is street.", legend=show.class_legend())
plt.show()
assert (right[1][outside[-1]] == 255).all(), "what lies outside the old frame must be void"

# %% [markdown]
# About a tenth. So: 255 in the mask. What the image gets then matters little, since nobody is asked
# about it. (The package takes ImageNet's mean colour, which is nearly 0 once normalised. A network
# pads its own edges with zeros, as lesson 03 shows, so the two look alike.) A border that mirrors
# the picture is fine as well, if the mask is mirrored with it.
#
# Albumentations calls this number `fill_mask=255`, torchvision `fill={tv_tensors.Mask: 255}`. Names
# like these change.
#
# ## 8 One pipeline, and a library that only warns
#
# In older versions of Albumentations the fill of a mask was called `mask_value`, and code that was
# written then still says so.
#
# **Before you run it**: what will the version used here, 2.0.8, do with the old name? Will it stop?

# %%
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    old = A.PadIfNeeded(160, 160, border_mode=cv2.BORDER_CONSTANT, mask_value=255, p=1)
print(caught[-1].message, "· padding:", old(image=image, mask=mask)["mask"][0, 0])
try:
    A.Compose([old], strict=True)
except ValueError as error:
    print("strict:", error)

# %% [markdown]
# It warns, the warning scrolls by, and what should be void is background again. `strict=True` makes
# an error of it. Always set it.
#
# Three more surprises of the same kind, each with the line that mends it. First: `fill_mask` is the
# fill of *all* masks, also of an instance map that travels along as a further mask.

# %%
crowd, crowd_mask, instances = Street("train", "plain", instances=True)[0]     # (128, 128) uint16
both = A.Compose([A.PadIfNeeded(160, 160, fill_mask=255, p=1)],
                 additional_targets={"instances": "mask"}, strict=True)
out = both(image=crowd, mask=crowd_mask, instances=instances)["instances"]
print("before:", np.unique(instances), " after:", np.unique(out))
two = np.dstack([crowd_mask, instances])                                   # (H, W, 2) uint16
mended = A.PadIfNeeded(160, 160, fill_mask=(255, 0), p=1)(image=crowd, mask=two)["mask"]
assert np.array_equal(np.unique(mended[..., 1]), np.unique(instances)), "no new object"

# %% [markdown]
# An object of number 255 has appeared around the picture. The cure: stack both as two channels of
# one mask, and each gets a fill of its own, void for classes and 0 ("no object") for instances.
# This is what the package does.
#
# Second: resizing. Lesson 01 showed that plain nearest shifts a mask, by up to half a new pixel. We
# go from 16 columns to 10, and print which old columns are picked:

# %%
ramp = np.arange(16, dtype=np.uint8)[None].repeat(16, axis=0)      # each pixel holds its column
for name, how in {"as it comes": cv2.INTER_NEAREST, "exact": cv2.INTER_NEAREST_EXACT}.items():
    small_ramp = A.Resize(10, 10, mask_interpolation=how, p=1)(image=image, mask=ramp)["mask"]
    print(f"Albumentations, {name:11}", small_ramp[0], f"mean {small_ramp[0].mean():.1f} of 7.5")
tv = v2.Resize((10, 10))(tv_tensors.Mask(torch.from_numpy(ramp))).numpy()
print(f"torchvision,    {'as it comes':11}", tv[0], f"mean {tv[0].mean():.1f}")
exact = v2.Resize((10, 10), v2.InterpolationMode.NEAREST_EXACT)(torch.from_numpy(ramp)[None])[0]
print(f"torchvision,    {'exact':11}", exact[0].numpy(), f"mean {exact[0].float().mean():.1f}")
assert (small_ramp[0] + small_ramp[0, ::-1] == 15).all(), "exact nearest favours neither side"

# %% [markdown]
# Both libraries shift by default: the mean of the picked columns is 6.8 and should be 7.5. The
# image, blended, does not shift. Both know an exact way. In Albumentations, ask for
# `INTER_NEAREST_EXACT`. In torchvision it is `NEAREST_EXACT`, with a trap of its own: older
# versions take plain nearest for a `tv_tensors.Mask` whatever you ask for, and do not tell you, so
# the cell hands it a plain tensor. (Its mean is 7.6: one pixel centre falls on an edge, a tie.)
#
# The third surprise is about chance, and gets a section of its own (10). Here is the whole pipeline
# as the package makes it, with all of these settled:

# %%
pipeline = package.train_transform(size=96, rotate=15)             # flip, affine, crop, colour
views = [pipeline(image=image, mask=mask, seed=s) for s in range(8)]
show.grid([show.overlay(package.denormalise(v["image"]), v["mask"].numpy()) for v in views],
          caption="Eight views of one pair. Grey strips are void: they came in from outside.",
          legend=show.class_legend())
plt.show()
assert all(set(v["mask"].unique().tolist()) <= {0, 1, 2, 255} for v in views), "an invented id"

# %% [markdown]
# ## 9 The same in torchvision
#
# torchvision's `transforms.v2` does pairs as well, in another manner: tensors wear a label that
# says what they are. `tv_tensors.Image` and `tv_tensors.Mask` are ordinary tensors of a named kind,
# and each step treats a kind as it should.
#
# **Before you run it**: what happens to a mask that wears no label, a plain tensor?

# %%
flip = v2.RandomHorizontalFlip(p=1)
labelled = {"image": tv_tensors.Image(torch.from_numpy(image).permute(2, 0, 1)),
            "mask": tv_tensors.Mask(torch.from_numpy(mask))}       # (3, H, W), (H, W)
plain = {**labelled, "mask": torch.from_numpy(mask)}
for name, pair in {"plain tensor": plain, "tv_tensors.Mask": labelled}.items():
    ids = flip(pair)["mask"].numpy()
    print(f"{name:15} car IoU {label_iou(ids, mask[:, ::-1], 2):.2f}")
assert np.array_equal(ids, mask[:, ::-1]), "wrap masks in tv_tensors.Mask"

# %% [markdown]
# A plain tensor beside an image is passed through untouched, since it might be anything. That is
# section 1 again: the mask stayed behind, this time for want of a wrapper.
#
# With the wrapper, torchvision and our own hands agree. (`scale` zooms; our matrix can do that
# too.) The package puts both libraries behind one call, and each is a **backend** of it, the
# library that does the work. They draw their random numbers differently, so we compare pipelines in
# which nothing is left to chance.

# %%
steps = v2.Compose([v2.RandomHorizontalFlip(p=1), v2.RandomAffine(
    (20, 20), scale=(1.2, 1.2), fill={tv_tensors.Image: 0, tv_tensors.Mask: 255},
    interpolation=v2.InterpolationMode.BILINEAR)])
tv = steps(labelled)
ours = warp(*hflip(image, mask), rotation(-20, 128, 128, scale=1.2))
print(f"by hand, ids equal: {(tv['mask'].numpy() == ours[1]).mean():.1%}")
assert (tv["mask"].numpy() == ours[1]).mean() > 0.995, "one geometry, two libraries"
fixed = dict(size=128, flip=1, scale=(1.3, 1.3), rotate=0, translate=0, colour=0)
a, b = (package.train_transform(**fixed, backend=backend)(image=image, mask=mask, seed=0)
        for backend in ("albumentations", "torchvision"))
same = (a["mask"] == b["mask"]).float().mean().item()
print("the package's two backends, over 99 % of the ids equal:", same > 0.99)
assert same > 0.99, "the backends differ in geometry"
assert (a["image"] - b["image"]).abs().mean() < 0.1, "the backends differ in the image"

# %% [markdown]
# One difference between the libraries is left. We turn a picture of one single grey, 200, and fill
# with the same 200. Whatever is not 200 afterwards was made by the library.

# %%
gray = torch.full((3, 64, 64), 200, dtype=torch.uint8)
tv = F.rotate(gray, 20, v2.InterpolationMode.BILINEAR, fill=[200] * 3).permute(1, 2, 0).numpy()
al = A.Affine(rotate=(20, 20), fill=200, p=1)(image=gray.permute(1, 2, 0).numpy())["image"]
show.grid([tv, al], ["torchvision", "Albumentations"], side=2.4,
          caption="torchvision draws the outline of the old frame.")
plt.show()
print("darkest value:", tv.min(), "and", al.min(), f"· seam: {(tv < 195).any(axis=2).mean():.1%}")
assert al.min() == 200

# %% [markdown]
# At the frame torchvision blends with black before it fills. The seam is a pixel wide and the mask
# is right, so it should cost little; but a network could learn what the frame looks like. If you
# ever meet such lines, you know where they come from.
#
# ## 10 Chance, drawn once
#
# Augmentation lives on random numbers. Two things can go wrong, and both are silent: numbers that
# depend on each other, and numbers that repeat.
#
# First: two flips, each with probability one half. There are four outcomes, and each should come in
# a quarter of all calls. To make a run repeatable we give the pipeline a **seed**, the number that
# all its draws start from.
#
# **Before you run it**: how often will exactly one of the two flips happen, in 1,000 calls?

# %%
def count_flips(pipeline, calls=1000):
    """How often: no flip, across, down, both. A tiny picture tells which it was."""
    corner, counts = np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), int)
    corner[0, 0] = 255
    for _ in range(calls):
        flipped = pipeline(image=corner)["image"][..., 0]
        counts[tuple(np.argwhere(flipped)[0])] += 1
    return counts.ravel()


def two_flips(**options):
    return A.Compose([A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5)], **options)


seeded, shared = two_flips(seed=0), two_flips()
shared.set_random_state(np.random.default_rng(0), random.Random(0))
counts = {"seed=0": count_flips(seeded), "one generator": count_flips(shared)}
for name, (none, across, down, both) in counts.items():
    print(f"{name:14} none {none:3}  across only {across:3}  down only {down:3}  both {both:3}")
assert min(counts["one generator"]) > 180, "each of four outcomes in about a quarter of the calls"

# %% [markdown]
# With `seed=0`, never. The two flips always agree: Albumentations 2.0.8 starts every step on the
# same stream of numbers, so all steps roll the same dice, and two of the four outcomes never occur.
# Given one generator to share, the flips are independent. (The pipeline of section 3 had `seed=0`
# too. There two calls were all we wanted to see; in training it would hold views back.)
#
# Second: **workers**. A `DataLoader` with `num_workers=2` starts two processes that load pictures,
# and each begins with a *copy* of your pipeline, generator included. We play it through without
# processes: two copies, which take turns, started anew for each epoch.
#
# **Before you run it**: 16 pictures, 2 epochs, 32 draws. How many different ones?

# %%
def simulate(copies_are_kept, pictures=16, epochs=2, workers=2):
    """All draws of `workers` copies of one pipeline that take turns."""
    pipeline = A.Compose([A.Affine(translate_percent=(-0.3, 0.3), rotate=(-30, 30), p=1)])
    team, draws = None, []
    for _ in range(epochs):
        if team is None or not copies_are_kept:
            team = [copy.deepcopy(pipeline) for _ in range(workers)]
        draws += [team[i % workers](image=image)["image"].tobytes() for i in range(pictures)]
    return draws


for name, kept in {"new workers each epoch": False, "persistent workers": True}.items():
    print(f"{name:23} {len(set(simulate(kept)))} different draws of 32")

# %% [markdown]
# 8 of 32: the second worker repeats the first, and the second epoch repeats the first epoch.
# Workers that are kept from epoch to epoch (`persistent_workers=True`) still repeat each other, but
# not themselves: 16. Training runs all the same, with a quarter or a half of the variety you paid
# for.
#
# There is one way out of all of this. Do not let a random state travel at all. Let every draw
# *follow from numbers that you know*: the run's seed, the epoch, and the picture's index.

# %% tags=["defines"]
def augment(image, mask, seed, size=96, colour=0.2):
    """Flip, turn, zoom, crop and recolour a pair; `seed`, such as (seed, epoch, index), decides."""
    rng = np.random.default_rng(seed)                    # all chance of this call, and of no other
    if rng.random() < 0.5:
        image, mask = hflip(image, mask)
    matrix = rotation(rng.uniform(-10, 10), *mask.shape, scale=rng.uniform(0.8, 1.25))
    image, mask = random_crop(*warp(image, mask, matrix), size, rng)
    return change_colour(image, *rng.uniform(1 - colour, 1 + colour, 2)), mask

# %% [markdown]
# The same count once more, and two calls with the same numbers.

# %%
draws = {augment(image, mask, (0, epoch, i))[0].tobytes() for epoch in range(2) for i in range(16)}
print(len(draws), "different draws of 32")
a, b = (augment(image, mask, (0, 1, 7)) for _ in range(2))
assert np.array_equal(a[0], b[0]) and np.array_equal(a[1], b[1]), "same numbers, same pair"
views = [show.overlay(*augment(image, mask, (0, 0, i))) for i in range(4)]
show.grid(views, [f"(0, 0, {i})" for i in range(4)], legend=show.class_legend(),
          caption="Our own augmentation, and the numbers each view follows from.")
plt.show()

# %% [markdown]
# The package does it in this way: a data set is asked for `(epoch, index)`. The loader's
# **sampler**, the part that decides which picture comes next, hands out such pairs. So the batches
# do not depend on how many workers there are. We try it with real processes.

# %%
def batches(workers, epochs=2):
    data = Street("train", "plain", transform=package.train_transform(64))
    data.stems = data.stems[:16]                         # sixteen pictures will do
    feed = loader(data, batch_size=4, shuffle=True, workers=workers)
    return torch.cat([images for _ in range(epochs) for images, _ in feed])


alone, team = batches(workers=0), batches(workers=2)     # (32, 3, 64, 64) each
print("different:", len({picture.numpy().tobytes() for picture in alone}), "of", len(alone))
assert torch.equal(alone, team), "the number of workers must not change the data"

# %% [markdown]
# ## 11 Objects and boxes come along
#
# An instance map is a mask with more ids: it moves by the same rule, nearest, with 0 for what comes
# from outside. Boxes are harder. A **box** is `x1, y1, x2, y2`, measured along the edges of pixels.
# To move it, move its four corners and take the box around them; then cut it at the frame, and drop
# it if nothing is left.

# %% tags=["defines"]
def warp_boxes(boxes, matrix, height, width):
    """Boxes (N, 4) moved by a 2×3 matrix into a frame: those not empty (M, 4), and their rows."""
    boxes = np.asarray(boxes, float).reshape(-1, 4)
    corners = boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]] @ matrix[:, :2].T + matrix[:, 2]
    moved = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)     # (N, 4)
    moved = moved.clip(0, [width, height, width, height])
    kept = np.flatnonzero((moved[:, :2] < moved[:, 2:]).all(axis=1))
    return moved[kept], kept

# %% [markdown]
# By pencil: the box `0, 0, 1, 2` in a 4×4 picture is one column wide and two rows high. Flip the
# picture from left to right. Which box is it now?

# %%
mirror4 = np.array([[-1.0, 0, 4], [0, 1, 0]])                      # x becomes 4 - x
print(warp_boxes([[0, 0, 1, 2]], mirror4, 4, 4)[0])
ids, kinds, separate = masks.split_instances(instances)            # (N,), (N,), (N, 128, 128)
boxes = masks.boxes_from_masks(separate)                           # (N, 4)
flipped_boxes, _ = warp_boxes(boxes, mirror, 128, 128)
assert np.array_equal(flipped_boxes, masks.boxes_from_masks(separate[:, :, ::-1]))
print(len(boxes), "boxes flipped: equal to the boxes of the flipped objects")

# %% [markdown]
# (If you wrote 4, 0, 3, 2: the smaller x comes first.)
#
# A crop is a shift into a smaller frame. Here there are two honest answers: cut the old boxes, or
# take new boxes from the instance map.
#
# **Before you run it**: will the two agree for objects that are partly hidden by others?

# %%
top, left, size = 40, 20, 64
shift = np.array([[1.0, 0, -left], [0, 1, -top]])
cut, kept = warp_boxes(boxes, shift, size, size)                   # (M, 4), (M,)
window = instances[top:top + size, left:left + size]
new_ids, _, new_separate = masks.split_instances(window)
tight = masks.boxes_from_masks(new_separate)
for row, box in zip(kept, cut.astype(int), strict=True):
    found = tight[new_ids == ids[row]]
    print(f"{ids[row]}: cut {box}  from the map {found[0] if len(found) else 'none: unseen'}")
theirs = A.Compose([A.Crop(left, top, left + size, top + size, p=1)], strict=True,
                   bbox_params=A.BboxParams(format="pascal_voc", label_fields=["kept"]))(
    image=crowd, bboxes=boxes.astype(np.float32), kept=np.arange(len(boxes)))
assert np.allclose(theirs["bboxes"], cut, atol=1e-3), "Albumentations cuts the same boxes"

# %% [markdown]
# Not always. Of person 1001 something shows on both sides of the person in front, and the crop cut
# the left part away: what is left begins at column 4, and the cut box still begins at 0. Car 2002
# reached down to row 58 only in the part that is gone. The cut box keeps room for what was lost;
# the tight one, from the map, fits what is left.
#
# Under a turn the gap grows. The box around four turned corners is too large for everything but a
# rectangle that fills its old box.

# %%
matrix = rotation(30, 128, 128)
turned, turned_ids = warp(crowd, instances, matrix, fill_mask=0)   # 0: no object
loose, rows = warp_boxes(boxes, matrix, 128, 128)
present, _, separate = masks.split_instances(turned_ids)
tight = masks.boxes_from_masks(separate)
fig, axes = plt.subplots(1, 2, figsize=(7.2, 4.3))
for ax, found, title in zip(axes, (loose, tight), ("corners turned", "from the ids"), strict=True):
    ax.imshow(show.overlay(turned, (turned_ids // 1000).astype(np.uint8)))
    for k, (x1, y1, x2, y2) in enumerate(found - 0.5):             # imshow: centres at 0, 1, 2 …
        colour = ("white", "yellow", "lime", "magenta", "cyan")[k % 5]   # one for each object
        ax.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, color=colour, lw=2))
    ax.set_title(title)
    ax.axis("off")
show.below(fig, "Turned corners give boxes with much air in them.", show.class_legend(void=False))
plt.show()
match = [rows.tolist().index(ids.tolist().index(k)) for k in present]      # the same objects
area = [(found[:, 2:] - found[:, :2]).prod(axis=1) for found in (loose[match], tight)]
ratio = area[0] / area[1]
print(f"loose over tight, area: between {ratio.min():.1f} and {ratio.max():.1f}")
assert (ratio > 1).all(), "the box around turned corners is never smaller"

# %% [markdown]
# So where you have an instance map, move the map and take the boxes from it afterwards. Where you
# have boxes only, keep the turns small: the air grows with the angle.
#
# ## 12 The test that you keep
#
# We looked at pictures, and pictures are a good start. But you will change your pipeline next
# month, and nobody looks then. So let us write the test, once, for *any* pipeline.
#
# The idea is the one of section 3: **hide in every pixel where it comes from**. Red holds x, green
# holds y, blue marks the inside of the frame. Then, whatever the transform did, each pixel of the
# result tells which label belongs to it. These addresses must survive, so the pipeline runs with
# its colour steps off (`colour=0`). A second, shorter test covers those steps: with colour or
# without, the mask must come out the same.

# %% tags=["defines"]
def coordinate_picture(side=64):
    """Image whose red is 4 x, green 4 y, blue 255; and a mask of random ids 0..2."""
    y, x = np.mgrid[:side, :side]
    image = np.dstack([4 * x, 4 * y, np.full_like(x, 255)]).astype(np.uint8)
    return image, np.random.default_rng(0).integers(0, 3, (side, side), np.uint8)


def stray_pixels(transform, seeds=20, fill=0):
    """Share of pixels whose id is another pixel's; `transform(image, mask, seed, colour=...)`."""
    image, mask = coordinate_picture()
    strays, checked = 0, 0
    for seed in range(seeds):
        new_image, new_mask = transform(image, mask, seed, colour=0)
        x, y = new_image[..., 0] / 4, new_image[..., 1] / 4      # where each pixel was, to 0.3
        right = np.zeros(new_mask.shape, bool)
        for dx, dy in [(-0.3, -0.3), (-0.3, 0.3), (0.3, -0.3), (0.3, 0.3)]:
            column, row = ((p + d).round().clip(0, 63).astype(int) for p, d in ((x, dx), (y, dy)))
            right |= new_mask == mask[row, column]
        inside, outside = new_image[..., 2] == 255, (new_image == fill).all(axis=2)
        strays += (inside & ~right).sum() + (outside & (new_mask != 255)).sum()
        checked += (inside | outside).sum()
    return strays / checked


def colour_leaks(transform, seeds=20):
    """Whether the mask depends on colour; `transform(image, mask, seed, colour=...)`."""
    image, mask = coordinate_picture()
    pairs = ((transform(image, mask, s, colour=0.4)[1], transform(image, mask, s, colour=0)[1])
             for s in range(seeds))
    return not all(np.array_equal(loud, quiet) for loud, quiet in pairs)

# %% [markdown]
# The small shifts allow for rounding: where a point falls next to the line between two pixels,
# either id will do. Outside the frame, where the image has the colour `fill`, only void is right.

# %%
picture, ids = coordinate_picture()
moved, moved_ids = augment(picture, ids, 5, size=64, colour=0)
show.grid([picture, masks.PALETTE[ids], moved, masks.PALETTE[moved_ids]],
          ["coordinates", "random ids", "image moved", "mask moved"], legend=show.class_legend(),
          caption="The colour of a pixel is its address; random ids have no symmetry to hide in.")
plt.show()

# %% [markdown]
# A test that never fails is worth nothing. So here are six of this lesson's mistakes once more, six
# pipelines that are wrong in one point each. **Before you run them**: which one will leave the
# fewest stray pixels?

# %%
def forgotten_flip(image, mask, seed, colour=0.2):
    image = image[:, ::-1] if np.random.default_rng(seed).random() < 0.5 else image
    return random_crop(image, mask, 48, np.random.default_rng(seed))


def two_draws(image, mask, seed, colour=0.2):
    return augment(image, mask, (seed, 0), 48, colour)[0], augment(image, mask, (seed, 1), 48)[1]


def colour_on_mask(image, mask, seed, colour=0.2):
    image, mask = augment(image, mask, seed, 48, 0)
    factor = np.random.default_rng(seed).uniform(1, 1 + 2 * colour)
    return brighter(image, factor), brighter(mask, factor)


def blended_mask(image, mask, seed, colour=0.2):
    matrix = rotation(np.random.default_rng(seed).uniform(-10, 10), *mask.shape)
    return warp(image, mask, matrix)[0], warp(np.dstack([mask] * 3), mask, matrix)[0][..., 0]

# %% [markdown]
# Two more, and the two pipelines that should pass: ours and the package's.

# %%
def wrong_fill(image, mask, seed, colour=0.2):
    matrix = rotation(np.random.default_rng(seed).uniform(-10, 10), *mask.shape)
    return warp(image, mask, matrix, fill_mask=0)


def half_a_pixel(image, mask, seed, colour=0.2):
    step = A.Resize(40, 40, mask_interpolation=cv2.INTER_NEAREST, p=1)
    out = step(image=image, mask=mask)
    return out["image"], out["mask"]


def from_package(image, mask, seed, colour=0.2):
    out = package.train_transform(48, colour=colour)(image=image, mask=mask, seed=seed)
    return package.denormalise(out["image"]), out["mask"].numpy()


def small_augment(image, mask, seed, colour=0.2):
    return augment(image, mask, seed, 48, colour)


broken = [forgotten_flip, two_draws, colour_on_mask, blended_mask, wrong_fill, half_a_pixel]
for transform in [small_augment, from_package, *broken]:
    fill = package.FILL if transform is from_package else 0        # it fills with a mean colour
    stray, leak = stray_pixels(transform, fill=fill), colour_leaks(transform)
    print(f"{transform.__name__:15} stray pixels {stray:4.0%}   colour leaks {leak!s:5}  "
          f"{'FOUND' if stray > 0 or leak else 'fine'}")
    assert (stray > 0 or leak) == (transform in broken), "the test is blind, or sees ghosts"

# %% [markdown]
# All six are found, and the two right ones pass without a single stray pixel. Colour on the mask
# leaves none either, since it moves nothing: only the second test sees it. Next comes the wrong
# fill, which spoils the corners alone.
#
# Copy the three functions into the tests of your own project and hand them your own pipeline, and
# this family of mistakes cannot come back unseen. What they do not look at: instance maps and boxes
# (sections 8 and 11), and draws that repeat (section 10).
#
# ## 13 From files to batches
#
# Everything in its place: files, pairs by name, a split, a transform, batches. The split goes by a
# **hash** of each name, a number computed from the name alone. So a file that is added later
# moves no other from training to test, and the parts are only roughly 80, 10 and 10 %.

# %%
street = DATA / "street" / "plain"
pairs = FolderPairs(street / "images", street / "masks", classes=masks.CLASSES)
train_stems, val_stems, test_stems = split_by_name(pairs.stems, (0.8, 0.1, 0.1))
print(len(pairs), "pairs:", len(train_stems), "+", len(val_stems), "+", len(test_stems))
fewer = split_by_name(pairs.stems[::2], (0.8, 0.1, 0.1))[0]
assert set(fewer) <= set(train_stems), "a name keeps its part, whatever else is there"
assert not set(train_stems) & set(val_stems), "no picture in two parts"

# %% [markdown]
# The last check before every training run: look at a batch *as the model will get it*, that is,
# after all of the above, turned back into colours.

# %%
data = FolderPairs(street / "images", street / "masks", classes=masks.CLASSES, stems=train_stems,
                   transform=package.train_transform(96))
images, targets = next(iter(loader(data, batch_size=8, shuffle=True)))
print("images ", tuple(images.shape), images.dtype)         # (8, 3, 96, 96) float32
print("targets", tuple(targets.shape), targets.dtype)       # (8, 96, 96) int64
assert set(targets.unique().tolist()) <= {0, 1, 2, 255}, "an id that is no class"
assert abs(images.mean()) < 1 and 0.3 < images.std() < 2, "is it normalised, and only once?"
show.grid([show.overlay(package.denormalise(i), t.numpy())
           for i, t in zip(images, targets, strict=True)],
          caption="One batch, as the model will see it. Do the colours sit on people and cars?",
          legend=show.class_legend())
plt.show()

# %% [markdown]
# For validation and test nothing is left to chance: `eval_transform()` normalises, no more. A score
# on augmented pictures would change from run to run, and would be a score on pictures that nobody
# has.

# %%
quiet = FolderPairs(street / "images", street / "masks", classes=masks.CLASSES, stems=val_stems,
                    transform=package.eval_transform())
first, again = (quiet[(epoch, 0)] for epoch in (0, 1))
assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True)), "no chance in here"
assert np.array_equal(first[1].numpy(), masks.read_mask(street / "masks" / f"{val_stems[0]}.png"))
print("the same in every epoch, and every id as in the file:", True)

# %% [markdown]
# ## Summary
#
# What moves pixels moves the pair. Colour is for the image alone. What comes in from outside is
# void. And all the chance in a call follows from numbers that you can name.
#
# | the mistake | what it cost here | what finds it |
# |---|---|---|
# | mask not flipped, or without wrapper | nearly all people, most cars | the coordinate picture |
# | image and mask from two draws | most labels, half the model's car IoU | the coordinate picture |
# | colour on the mask | persons became cars | masks with and without colour |
# | a bilinear mask | persons along the edges of cars | the coordinate picture; the set of ids |
# | mask filled with 0 | false background in every corner | the coordinate picture |
# | old argument names | void became background | `strict=True` |
# | 255 in an instance map | an object that is not there | the set of instance ids |
# | plain nearest | up to half a pixel, always to one side | the coordinate picture |
# | one seed for all steps | half of the outcomes | count the outcomes |
# | copied random states | half or three quarters of the views | count different draws |
# | boxes by turned corners | boxes with air | boxes from the instance map |
#
# ## If it goes wrong
#
# | symptom | cause | section |
# |---|---|---|
# | predictions are stains without outlines | image and mask fell out of step | 1, 3, 4 |
# | new ids after augmentation | colour or blending reached the mask | 2, 6 |
# | image and mask lean to opposite sides | two ways to count an angle | 5 |
# | dark corners are always "background" | masks are filled with 0 | 7 |
# | "Argument(s) … are not valid" | an old or misspelt name: mend it, do not ignore it | 8 |
# | one object too many | void was filled into the instance map | 8 |
# | resized masks lie up to half a pixel off, always to one side | plain nearest resizing | 8 |
# | thin dark lines in turned pictures | torchvision blends with black at the frame | 9 |
# | only the image is flipped in torchvision | the mask is no `tv_tensors.Mask` | 9 |
# | some combinations of flips never occur | one seed started every step alike | 10 |
# | more workers, worse results | random states were copied | 10 |
# | boxes are too large after a turn | corners were turned | 11 |
# | scores differ between two runs of validation | chance in the evaluation transform | 13 |
#
# ## Exercises
#
# In
# [exercises/ex02_synchronized_augmentation.ipynb](exercises/ex02_synchronized_augmentation.ipynb):
# `ex02.broken_loaders` (which of six break the pairs?), `ex02.worker_seeds`, `ex02.flip_crop`,
# `ex02.shift_fill` (a move that leaves void), `ex02.crop_boxes`, and `ex02.keeps_pairs`: your own
# test that catches every break.
#
# Without a check: hand a pipeline of your own to `stray_pixels`. In lesson 03 you build the network
# that these pairs are for.
#
# ## Sources
#
# - A. Buslaev et al., *Albumentations: Fast and Flexible Image Augmentations*, Information 11(2),
#   2020, doi:10.3390/info11020125. Shown here: version 2.0.8.
# - J. Deng et al., *ImageNet: A Large-Scale Hierarchical Image Database*, CVPR 2009,
#   doi:10.1109/CVPR.2009.5206848: the photographs behind `MEAN` and `STD`.
# - TorchVision, *Transforming and augmenting images* (`torchvision.transforms.v2`, `tv_tensors`).
#   Shown here: version 0.29.2. On `NEAREST_EXACT` and masks: github.com/pytorch/vision/issues/9188.
# - OpenCV, *Geometric Image Transformations*: `warpAffine`, and its inverse mapping.
# - PyTorch, *torch.utils.data*: randomness in multi-process data loading.
# - NumPy, *Parallel Random Number Generation* (`numpy.random`): seeds made of several integers.
# - O. Ronneberger, P. Fischer, T. Brox, *U-Net*, MICCAI 2015, arXiv:1505.04597, section 3.1: few
#   pictures, much augmentation.
