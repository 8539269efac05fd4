# %% [markdown]
# # 01 · Mask basics
#
# A segmentation model learns from pairs: a picture, and a **mask** that says of every pixel what it
# shows. The model is rarely what goes wrong first. The masks are. They are small files of small
# numbers, and most programs that open pictures were made for colours: they blend, scale, compress
# and convert without a word, and every one of those changes a label.
#
# After this lesson you can
#
# - say what a mask is on disk and in memory, and read one without changing an id
# - tell ids from colours, and turn each into the other by a strict table
# - mend a picture whose colours come out wrong, with a 3×3 matrix
# - draw overlays that do not lie, with OpenCV and with matplotlib
# - handle void, one-hot planes, instances, run lengths and polygons, each built by hand once
# - name eleven ways to ruin a label in silence, and what catches each
#
# **Minutes**: under 1 to run on two CPU cores · GPU: not needed. **Builds on**: Python and a little
# NumPy. The sections are short; sections 5 and 10 are good places for a break.

# %%
import os
import shutil
import tempfile
from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.colors import ListedColormap
from PIL import Image
from pycocotools import mask as coco
from torchvision.transforms import functional as F

from segutils import masks, show
from segutils.datasets import DATA, FolderPairs

show.use_style()
scratch = tempfile.TemporaryDirectory()      # for the files that we write ourselves
folder = Path(scratch.name)

# %% [markdown]
# ## 1 A mask is a picture made of numbers
#
# The street scenes of this course are drawn by the package, and saved as people save real data: a
# picture, a mask, and a map of instances (section 10), one file each. We read them with the package
# for now, and build the pieces ourselves as we go.

# %%
street, stem = DATA / "street" / "plain", "0007"
image = masks.read_image(street / "images" / f"{stem}.jpg")         # (H, W, 3) RGB
mask = masks.read_mask(street / "masks" / f"{stem}.png")            # (H, W) class ids
instances = masks.read_mask(street / "instances" / f"{stem}.png")   # (H, W) object ids
for name, array in {"image": image, "mask": mask, "instances": instances}.items():
    print(f"{name:9}  {str(array.shape):13}  {array.dtype}")
assert image.shape[:2] == mask.shape == instances.shape, "these files are not of one picture"

# %% [markdown]
# The picture has three numbers a pixel, the mask has one: the **class id**. Here 0 is background,
# 1 is person, 2 is car. 255 is **void**: "nobody knows, do not count this pixel" (section 9).
#
# Let us look at the numbers themselves, around the edge of something.

# %%
y, x = np.argwhere(mask == 2)[-1]     # the lowest car pixel, the one furthest right
print(mask[y - 5:y + 3, x - 9:x + 7])
for k, pixels in zip(*np.unique(mask, return_counts=True), strict=True):
    print(f"id {k:3}: {pixels:6} pixels, {pixels / mask.size:4.0%}")
assert set(np.unique(mask)) <= {0, 1, 2, 255}, "an id that is no class of ours"

# %% [markdown]
# The car in twos, the street in zeros, and a thin line of 255 in between, where a pixel is part car
# and part street.
#
# **Before you run it**: we now show these ids as shades of grey, 0 as black and 255 as white. What
# will you see of the people and the cars? Write your guess down.

# %%
gray = np.repeat(mask[..., None], 3, axis=2)                # every id as a shade of grey
painted = masks.PALETTE[mask]                               # every id as a colour of ours
show.grid([image, gray, painted], ["the image", "ids as grey", "ids, painted"],
          caption="Ids 1 and 2 are there in the middle, and no eye can see them.",
          legend=show.class_legend())
plt.show()

# %% [markdown]
# Ids 0, 1 and 2 are three shades of black. Many people meet their first mask like this and think
# that the file is broken. It is not: ids are names, not brightness. To *see* a mask you need a
# **palette**, a table that gives each id a colour.
#
# ## 2 On disk: ids, and a palette beside them
#
# A PNG can store exactly that: one small number a pixel, and a table of 256 colours. Picture
# viewers show the colours, and NumPy gets the numbers. PIL calls such a file mode `P`.

# %%
file = Image.open(street / "masks" / f"{stem}.png")
print("mode", file.mode, "· size (width, height)", file.size)
for k in (0, 1, 2, 255):
    print(f"id {k:3} is shown as RGB", tuple(file.getpalette()[3 * k:3 * k + 3]))
assert np.array_equal(np.array(file), mask), "read_mask gives the stored ids"

# %% [markdown]
# Now a fork in the road: four ordinary ways to open this one file.
#
# To put a number on the damage we use **IoU**, intersection over union: of all pixels that are
# "car" in either of two masks, the share that is "car" in both. 1 is perfect, 0 is nothing in
# common. Lesson 04 builds it with care.
#
# **Before you run it**: which of the four give you the ids?

# %%
def iou(a, b):
    """Intersection over union of two boolean masks."""
    return (a & b).sum() / (a | b).sum()


path = str(street / "masks" / f"{stem}.png")
readings = {
    "np.array(PIL)": np.array(Image.open(path)),
    "PIL convert('L')": np.array(Image.open(path).convert("L")),
    "cv2 grayscale": cv2.imread(path, cv2.IMREAD_GRAYSCALE),
    "cv2 unchanged": cv2.imread(path, cv2.IMREAD_UNCHANGED),
}
for name, got in readings.items():
    plane = got if got.ndim == 2 else got[..., 0]
    print(f"{name:17} {str(got.shape):14} values {np.unique(plane)}  "
          f"car IoU {iou(plane == 2, mask == 2):.2f}")

# %% [markdown]
# One of four. The others turn each id into its colour first, and then the colour into a brightness:
# orange becomes 162, blue becomes 87, the void's light grey 224. No error, no warning, the right
# shape and the right dtype. Even `IMREAD_UNCHANGED`, which sounds safe, gives colours.

# %%
wrong = readings["PIL convert('L')"]
right = masks.read_mask(path)
show.grid([painted, masks.PALETTE[wrong]], ["the ids", "read with convert('L')"], side=3,
          caption="Every object pixel now bears an id of no class.")
plt.show()
print(f"object pixels changed: {(wrong != mask)[mask > 0].mean():.0%} by convert('L'), "
      f"{(right != mask)[mask > 0].mean():.0%} by read_mask")
assert set(np.unique(right)) <= {0, 1, 2, 255}, "read masks with read_mask, or np.array(Image.open)"

# %% [markdown]
# The cure is `read_mask`. The *test* is the assert: right after reading, look at the set of ids. It
# costs one line and catches most of this lesson.
#
# ## 3 Masks that come as colours
#
# Some data sets hand out masks as RGB pictures, with a table in a readme: (230, 159, 0) is person.
# The way back from colour to id must be **strict**: a colour that the table does not know is a
# question for you. It must not become background in silence.

# %% tags=["defines"]
import numpy as np


def decode_rgb(rgb, colors):
    """Ids (H, W) of an RGB mask (H, W, 3); `colors`: {id: (r, g, b)}. Strict."""
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise ValueError(f"expected (H, W, 3) uint8, not {rgb.shape} {rgb.dtype}")
    if len(set(map(tuple, colors.values()))) != len(colors) or not colors:
        raise ValueError("the table is empty, or gives one colour to two ids")
    ids = np.zeros(rgb.shape[:2], np.uint8 if max(colors) <= 255 else np.uint16)
    known = np.zeros(rgb.shape[:2], bool)
    for k, color in colors.items():
        here = (rgb == np.array(color)).all(axis=2)          # (H, W) bool
        ids[here], known = k, known | here
    if not known.all():
        strange = np.unique(rgb[~known], axis=0).tolist()
        raise ValueError(f"{(~known).sum()} pixels have colours not in the table: {strange[:5]}")
    return ids

# %% [markdown]
# By hand first. Which ids do these sixteen pixels hold, if orange is 1 and blue is 2? Then we spoil
# one pixel by one step of red, which no eye would notice.

# %%
orange, blue, black = (230, 159, 0), (0, 114, 178), (0, 0, 0)
table = {0: black, 1: orange, 2: blue}
tiny_rgb = np.array([[black, black, blue, blue], [black, orange, blue, blue],
                     [black, orange, black, black], [black, black, black, black]], np.uint8)
print(decode_rgb(tiny_rgb, table))
colors = {k: tuple(masks.PALETTE[k].tolist()) for k in (0, 1, 2, 255)}
assert np.array_equal(decode_rgb(painted, colors), mask), "there and back gives the same ids"
assert np.array_equal(decode_rgb(painted, colors), masks.decode_rgb(painted, colors))
tiny_rgb[1, 1, 0] += 1
for decode in (decode_rgb, masks.decode_rgb):
    try:
        decode(tiny_rgb, table)
    except ValueError as error:
        print("refused:", error)

# %% [markdown]
# Ours and the package's agree, in what they give and in what they refuse. Where would such a
# nearly-orange pixel come from in practice? From the next trap.
#
# ## 4 A mask saved as JPEG
#
# JPEG stores waves, not pixels, and drops the waves that an eye would not miss. At quality 95 a
# photograph looks untouched.
#
# **Before you run it**: the mask has four different ids. How many after a trip through JPEG?

# %%
Image.fromarray(mask).save(folder / "mask.jpg", quality=95)
lossy = np.array(Image.open(folder / "mask.jpg"))
show.grid([painted, masks.PALETTE[lossy]], ["the mask", "after JPEG, quality 95"], side=3,
          caption="Around every border the ids ripple.", legend=show.class_legend())
plt.show()
below = [np.ceil(10 * iou(lossy == k, mask == k)) / 10 for k in (1, 2)]
print(f"{len(np.unique(mask))} ids before, over {len(np.unique(lossy)) // 10 * 10} after; "
      f"IoU of person below {below[0]}, of car below {below[1]}")

# %% [markdown]
# The ripples are small numbers, and so are our ids. A car pixel of 2 that becomes 1 is now a
# person, and street that becomes 2 is now a car. Nothing about such a pixel looks wrong.
#
# The cure has two halves. Write masks as PNG, which loses nothing; and let the reader refuse what
# may have lost something, whatever its file name says.

# %%
def refusal(call, *arguments, **options):
    """What `call` says when it refuses, without our folder's name."""
    try:
        call(*arguments, **options)
    except ValueError as error:
        return str(error).replace(f"{folder}{os.sep}", "")
    raise AssertionError("this was not refused")


masks.write_mask(folder / "mask.png", mask)
assert np.array_equal(masks.read_mask(folder / "mask.png"), mask), "PNG changes nothing"
print(refusal(masks.read_mask, folder / "mask.jpg"))

# %% [markdown]
# ## 5 Drawing a mask: the overlay
#
# The best check of a mask is a look at it on top of its picture: an **overlay**. Two steps: look
# every id up in the palette, then blend. OpenCV does both fast, with `LUT` (look-up table) and
# `addWeighted`. Background stays unpainted, so that you see the street.

# %% tags=["defines"]
import cv2

from segutils.masks import PALETTE


def colorize(mask, palette=PALETTE):
    """Ids (H, W) to colours (H, W, 3) uint8: the palette's row of each id."""
    if mask.dtype.kind not in "ui" or not 0 <= mask.min() <= mask.max() < len(palette):
        raise ValueError(f"ids {mask.min()}..{mask.max()} ({mask.dtype}): {len(palette)} colours")
    return palette[mask]


def overlay(image, mask, alpha=0.5, palette=PALETTE):
    """Blend the colours of a mask (H, W) uint8 into an image (H, W, 3) uint8 RGB."""
    if image.shape != (*mask.shape, 3) or not 0 <= alpha <= 1:
        raise ValueError(f"mask {mask.shape}, image {image.shape}, alpha {alpha} do not fit")
    if image.dtype != np.uint8 or mask.dtype != np.uint8:
        raise ValueError(f"mask {mask.dtype}, image {image.dtype}: both must be uint8")
    three = cv2.merge([mask, mask, mask])                        # LUT wants one a channel
    colors = cv2.LUT(three, palette.reshape(256, 1, 3))          # (H, W, 3), = palette[mask]
    blended = cv2.addWeighted(image, 1 - alpha, colors, alpha, 0)
    return np.where((mask > 0)[..., None], blended, image)

# %% [markdown]
# Alpha is the share of the mask's colour: 0 is the picture alone, 1 is paint alone. Void is painted
# in light grey.

# %%
assert np.array_equal(colorize(mask), masks.colorize(mask))
for alpha in (0, 0.3, 0.5, 1):
    assert np.array_equal(overlay(image, mask, alpha), show.overlay(image, mask, alpha))
show.grid([overlay(image, mask, 0.3), overlay(image, mask), overlay(image, mask, 1.0)],
          ["alpha 0.3", "alpha 0.5", "alpha 1"], legend=show.class_legend(),
          caption="Paint and objects end at the same edge: this mask belongs to this picture.")
plt.show()

# %% [markdown]
# matplotlib can do it too: a second `imshow` on top of the first, half transparent. Here lies the
# next trap. We give it a colour map of our three colours, and hide void. (Background is black in
# this map, and so the street gets darker.)
#
# Two pictures: the whole scene, and its right part, in which there is no car.
#
# **Before you run it**: in which colour will the people of the second picture be drawn?

# %%
three = ListedColormap(masks.PALETTE[:3] / 255)              # black, orange, blue
fig, axes = plt.subplots(1, 2, figsize=(5, 3.8), width_ratios=(128, 56))
for ax, part in zip(axes, (mask, mask[:, 72:]), strict=True):
    ax.imshow(image[:, -part.shape[1]:])
    layer = ax.imshow(np.ma.masked_equal(part, 255), cmap=three, alpha=0.5)
    ax.axis("off")
show.below(fig, "The same people, orange and blue.", show.class_legend(void=False))
plt.show()

# %% [markdown]
# `imshow` stretches the colour map from the least to the greatest value it finds. With no car in
# the picture the greatest id is 1, so persons get the last colour: the car's. Whoever looks at the
# second picture takes people for cars, and nobody labelled them so.
#
# The cure: fix both ends, `vmin` and `vmax`, so that a colour means one id in every picture. We
# ask the right-hand layer what it drew.

# %%
assert 1 in part and 2 not in part, "this part should hold people and no car"
autoscaled = layer.to_rgba(part, bytes=True)[..., :3]
layer.set_clim(0, 2)                       # the same as imshow(..., vmin=0, vmax=2)
fixed = layer.to_rgba(part, bytes=True)[..., :3]
for name, drawn in {"autoscaled": autoscaled, "vmin=0, vmax=2": fixed}.items():
    as_car = (drawn[part == 1] == masks.PALETTE[2]).all(axis=1).mean()
    print(f"{name:15}: {as_car:4.0%} of the person pixels in the car's colour")
assert np.array_equal(fixed[part < 3], masks.PALETTE[part[part < 3]]), "fix vmin and vmax"

# %% [markdown]
# `show.overlay_axes` draws such a layer with both ends fixed. In this course a colour never changes
# its meaning.
#
# ## 6 The picture whose colours come out wrong
#
# Now the image itself. OpenCV reads a picture as blue, green, red: **BGR**. Everyone else expects
# RGB.
#
# **Before you run it**: which things in this scene will look wrong, and which will look right?

# %%
bgr = cv2.imread(str(street / "images" / f"{stem}.jpg"))      # (H, W, 3), but BGR
difference = np.abs(bgr.astype(int) - image).max(axis=2)      # (H, W)
show.grid([image, bgr], ["read_image (RGB)", "cv2.imread (BGR)"], side=3,
          caption="Red and blue have changed places; greys stay.")
plt.show()
print(f"pixels that are off by more than 20 steps: {(difference > 20).mean():.0%}")

# %% [markdown]
# The sky turns to sand, and whatever was red or orange to blue. The road looks right, since grey
# has equal parts of all three; on a grey day the whole mistake is easy to miss. A network trained
# on RGB and fed BGR does not stop with an error; it gets quietly worse.
#
# A change of colours is a **3×3 matrix** applied to each pixel. Row i says how much of the old red,
# green and blue goes into the new channel i. Swapping two channels is the plainest one:
#
# $$
# \begin{pmatrix} r \\ g \\ b \end{pmatrix} =
# \begin{pmatrix} 0 & 0 & 1 \\ 0 & 1 & 0 \\ 1 & 0 & 0 \end{pmatrix}
# \begin{pmatrix} b \\ g \\ r \end{pmatrix}
# $$

# %% tags=["defines"]
def apply_color_matrix(image, matrix):
    """matrix @ pixel for every pixel of (H, W, 3) uint8; rounded, clipped to 0..255."""
    if image.shape[2:] != (3,) or image.dtype != np.uint8 or np.shape(matrix) != (3, 3):
        raise ValueError(f"image {image.dtype} {image.shape}, matrix {np.shape(matrix)}: wrong")
    mixed = image @ np.transpose(matrix)     # (H, W, 3) @ (3, 3): pixels are rows here
    return np.rint(mixed).clip(0, 255).astype(np.uint8)

# %% [markdown]
# First one pixel by pencil: a brick of (r, g, b) = (180, 90, 60) lies in memory as (60, 90, 180).
# Work the product out before you run it.

# %%
swap = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]])
brick = np.array([[[60, 90, 180]]], np.uint8)                 # (1, 1, 3): a picture of one pixel
print(apply_color_matrix(brick, swap)[0, 0])
mended = apply_color_matrix(bgr, swap)
assert np.array_equal(mended, bgr[..., ::-1]), "the matrix reverses the channels, no more"
assert np.array_equal(mended, masks.apply_color_matrix(bgr, masks.color_matrix("BGR", "RGB")))
assert np.array_equal(swap @ swap, np.eye(3)), "done twice it is undone: BGR to RGB and back"
assert np.abs(mended.astype(int) - image).max() <= 3, "two JPEG readers, one picture"

# %% [markdown]
# For a swap, `[..., ::-1]` is shorter. The matrix earns its place when channels are *mixed*: a
# lamp with a warm cast, a camera with its own idea of red. Say such a camera took our picture, and
# we do not know its matrix. What we know is the true colour of a few spots, because somebody held
# a colour chart into the scene.
#
# Every spot gives three equations, `true = matrix @ seen`. With more spots than needed we take the
# matrix with the least squared error.

# %%
camera = np.array([[0.80, 0.15, 0.05], [0.10, 0.65, 0.05], [0.05, 0.10, 0.45]])
seen = apply_color_matrix(image, camera)                             # all that we are given
spots = tuple(np.random.default_rng(0).integers(0, 128, (2, 24)))    # rows, columns: 24 pixels
solution, *_ = np.linalg.lstsq(seen[spots].astype(float), image[spots].astype(float))
repaired = apply_color_matrix(seen, solution.T)
print(f"mean error before: {np.abs(seen.astype(int) - image).mean():4.1f} steps of 255")
print(f"mean error after:  {np.abs(repaired.astype(int) - image).mean():4.1f}")
assert np.allclose(solution.T @ camera, np.eye(3), atol=0.1), "it undoes the camera's matrix"

# %% [markdown]
# From 24 pixels the whole picture comes back, but for rounding. (What a camera clipped at 0 or 255
# no matrix brings back.)
#
# **Before you run it**: suppose that the chart had only greys, from black to white. Would 24 grey
# spots do as well?

# %%
chart = np.full((1, 24, 3), np.linspace(20, 235, 24)[:, None]).astype(np.uint8)
chart_seen = apply_color_matrix(chart, camera)
from_chart, *_ = np.linalg.lstsq(chart_seen[0].astype(float), chart[0].astype(float), rcond=0.01)
from_grays = apply_color_matrix(seen, from_chart.T)
show.grid([seen, repaired, from_grays], ["what we got", "24 coloured spots", "24 grey spots"],
          caption="Grey spots mend what was grey, and take the colour out of the rest.")
plt.show()
print(f"mean error with grey spots: {np.abs(from_grays.astype(int) - image).mean():.0f} steps")

# %% [markdown]
# All greys lie on one line through the colour space, so they tell you about one direction of
# three. The fit is excellent on the chart and wrong off it. A check on the spots you fitted would
# have said "perfect": check on others. You will meet this again as training and validation data.
#
# ## 7 From ids to a tensor: `ToTensor` is for pictures
#
# PyTorch computes with **tensors**, its own arrays. For pictures torchvision has `to_tensor` (as a
# class: `ToTensor`), which gives float32 in 0..1. It is tempting to use it for the mask as well,
# and then to ask for whole numbers, since class ids are whole numbers.
#
# **Before you run it**: `target` is what the network will be asked to learn. Which ids will it
# hold, and where?

# %%
tensor = F.to_tensor(Image.open(street / "masks" / f"{stem}.png"))   # (1, H, W) float32
target = tensor[0].long().numpy()                                    # (H, W) int64
show.grid([masks.colorize(mask), masks.colorize(target)], ["the mask", "after ToTensor"], side=3,
          caption="What is left: 'person' where void was.", legend=show.class_legend())
plt.show()
print("values:", [round(v, 4) for v in tensor.unique().tolist()], "then", np.unique(target))
print(f"IoU of person {iou(target == 1, mask == 1):.2f}, of car {iou(target == 2, mask == 2):.2f}")
assert np.array_equal(torch.from_numpy(mask).long(), mask), "a target holds the ids themselves"

# %% [markdown]
# `to_tensor` divides by 255, so ids 1 and 2 become 0.0039 and 0.0078, and as whole numbers 0.
# Persons and cars are gone, and the void border, 255 / 255 = 1, has become class 1: person.
# Training runs, and nothing complains. The network is asked to learn that people are thin outlines.
#
# The cure stands in the last line: leave the numbers alone. `torch.from_numpy`, and `.long()` for
# int64, which the losses of lesson 04 ask for.
#
# ## 8 One-hot: a plane for each class
#
# Some losses and metrics (lesson 04) want yes or no for each class instead of one id: C planes,
# where plane k is true at the pixels of class k. That is **one-hot** coding, and each pixel is
# "hot" in at most one plane. Void is in none.

# %% tags=["defines"]
def one_hot(mask, classes, ignore_index=255):
    """Ids (H, W) to planes (C, H, W) bool; void is False in all of them."""
    ids = np.unique(mask)
    strange = ids[((ids < 0) | (ids >= classes)) & (ids != ignore_index)]
    if len(strange):
        raise ValueError(f"ids {strange.tolist()} are no class of 0..{classes - 1}")
    planes = np.arange(classes)[:, None, None] == mask       # (C, 1, 1) == (H, W)
    return planes & (mask != ignore_index)


def from_one_hot(planes, ignore_index=255):
    """Planes (C, H, W) of 0 and 1 back to ids (H, W) uint8; in no plane: void."""
    planes = np.asarray(planes)
    if planes.ndim != 3 or not np.isin(planes, (0, 1)).all() or (planes.sum(axis=0) > 1).any():
        raise ValueError("expected (C, H, W) of 0 and 1, each pixel in one plane at most")
    return np.where(planes.any(axis=0), planes.argmax(axis=0), ignore_index).astype(np.uint8)

# %% [markdown]
# Take a pencil: write down the three planes of this 4×4 mask, then run the cell. What does the sum
# over the planes look like?

# %%
tiny = np.array([[0, 0, 2, 2],
                 [0, 1, 2, 2],
                 [0, 1, 255, 255],
                 [0, 0, 0, 0]], np.uint8)
planes = one_hot(tiny, 3)                          # (3, 4, 4)
print("background   person       car          sum")
for row in range(4):
    print(*planes[:, row].astype(int), planes[:, row].sum(axis=0), sep="    ")
assert np.array_equal(planes, masks.one_hot(tiny, 3)), "ours equals the package's"
assert np.array_equal(from_one_hot(planes), tiny), "there and back, void included"
assert np.array_equal(masks.from_one_hot(planes), tiny)

# %% [markdown]
# The sum is 1 where a class is known and 0 at void. If it is ever 2, two classes claim one pixel.
# Both versions refuse an id that has no plane. Here is the real mask, plane by plane.

# %%
print(refusal(one_hot, mask, 2))
print(refusal(masks.one_hot, mask, 2))
planes = one_hot(mask, 3)                          # (3, H, W)
show.grid([masks.PALETTE[255 * p.astype(int)] for p in [*planes, planes.any(axis=0)]],
          [*masks.CLASSES, "any of the three"],
          caption="Light is yes. On the right the black lines are void: no class claims them.")
plt.show()

# %% [markdown]
# (PyTorch's own `one_hot` knows no void and stops at 255 with an error. An error is the good case.)
#
# ## 9 Void is not a class
#
# Along the border between two things nobody can say which one a pixel shows, so honest data sets
# mark it void and leave it out of loss and score. The number 255 is a custom; it is the greatest
# that 8 bits hold.
#
# What if we forget? Take a scene with people far away, and say that a perfect model gives the true
# class of *every* pixel, borders included. (We build its answer from the instance map, which has no
# void.) Then we score it three ways, by the IoU of each class and their mean.

# %%
full = DATA / "street" / "full"
far, far_mask = (masks.read_mask(full / kind / "0058.png") for kind in ("instances", "masks"))
perfect, void = masks.semantic_from_instances(far), far_mask == 255      # (H, W) each
as_background, as_fourth = np.where(void, 0, far_mask), np.where(void, 3, far_mask)
for name, target, counted in [("void left out", far_mask, ~void),
                              ("void as background", as_background, void | True),
                              ("void as a 4th class", as_fourth, void | True)]:
    got, want = perfect[counted], target[counted]
    each = [iou(got == k, want == k) for k in np.unique(want)]
    print(f"{name:19}  mean IoU {np.mean(each):.2f}  each {np.round(each, 2)}")
assert np.array_equal(perfect[~void], far_mask[~void]), "leave void out, and all is right"
show.grid([masks.read_image(full / "images" / "0058.jpg"), show.error_map(perfect, as_background)],
          ["the image", "void as background"], legend=show.error_legend()[1:4:2], side=3,
          caption="Nothing here is wrong but the way of counting.")
plt.show()

# %% [markdown]
# A perfect answer, and the score says otherwise. Counting void as background hurts small things
# most, since they are nearly all border. As a class of its own void is one that no model can find,
# and the mean stays low for ever.
#
# The opposite mistake is as common: a drawing program saves black and white, 0 and 255, and 255
# means *object*. Then void handling throws every object away.

# %%
drawn = np.where(mask == 2, 255, 0).astype(np.uint8)       # "car" in a drawing program
kept = drawn[drawn != 255]
print("ids that training would see:", np.unique(kept))
print(refusal(masks.check_ids, drawn, classes=2, name="drawn.png"))
binary = masks.remap(drawn, masks.BINARY)                  # {0: 0, 255: 1}
assert np.array_equal(binary == 1, mask == 2), "say what 255 means, by a table"
print("after remap:", np.unique(binary))

# %% [markdown]
# Only you can know what 255 stands for, so `read_mask` and `check_ids` refuse it until you say.
# `remap` renumbers by a table that you can read, and stops at ids which the table lacks.
#
# ## 10 Instances: which car?
#
# A class mask says "car" and not which one. The **instance map** gives every object its own number:
# here `class * 1000 + k`, so 2001 and 2002 are two cars, and division by 1000 gives the class back.
# Such numbers need 16 bits a pixel.

# %%
crowd = masks.read_image(full / "images" / "0049.jpg")
objects = masks.read_mask(full / "instances" / "0049.png")       # (H, W) uint16
print(objects.dtype, ids := np.unique(objects))
index = np.searchsorted(ids, objects)                            # 0, 1, 2 … for 0, 1001, 1002 …
show.grid([crowd, *(overlay(crowd, m.astype(np.uint8), 0.6) for m in (objects // 1000, index))],
          ["the image", "classes", "instances"],
          caption="Where cars and people hide one another, one region holds several of them.")
plt.show()

# %% [markdown]
# Could we get the instances from the class mask, by giving each connected region a number? And what
# do 8-bit readers make of the 16-bit file?
#
# **Before you run it**: 8 bits hold 0 to 255. What happens to 1001 and 2001 in `cv2.imread` with
# `IMREAD_GRAYSCALE`? In `astype(np.uint8)`? Guess how many objects each of them finds.

# %%
path = str(full / "instances" / "0049.png")
crowd_mask = masks.read_mask(full / "masks" / "0049.png")                 # class ids, with void
known = (crowd_mask > 0) & (crowd_mask != 255)                            # the objects, void aside
readings = {
    "read_mask": masks.read_mask(path),
    "cv2 grayscale": cv2.imread(path, cv2.IMREAD_GRAYSCALE),
    "PIL convert('L')": np.array(Image.open(path).convert("L")),
    "astype(np.uint8)": objects.astype(np.uint8),
    "connected regions": masks.instances_from_semantic(masks.semantic_from_instances(objects)),
}
for name, got in readings.items():
    classes_agree = (got.astype(int) // 1000 == crowd_mask)[known].mean()
    print(f"{name:18} objects: {len(np.unique(got[got > 0])):2}   "
          f"pixels of the right class: {classes_agree:4.0%}")

# %% [markdown]
# Divided by 256 (all persons become one object, and all cars another), clipped at 255 (everything
# is one), or cut to the last 8 bits (the count is right by luck, and the ids mean nothing).
# Connected regions get the class right and merge whatever touches. So the instance map cannot be
# had from anything else: read it whole.
#
# Two asserts guard it: the dtype, and that it agrees with the class mask wherever that is not void.

# %%
whole = masks.read_mask(path)
assert whole.dtype == np.uint16, "instance maps need 16 bits: read them with read_mask"
assert np.array_equal(whole[known] // 1000, crowd_mask[known]), "instances and classes differ"
number, kind, separate = masks.split_instances(whole)      # (N,), (N,), (N, H, W) bool
boxes = masks.boxes_from_masks(separate)                   # (N, 4): x0, y0, x1, y1
print("numbers", number.shape, "masks", separate.shape, "boxes", boxes.shape)
print("the largest:", number[separate.sum(axis=(1, 2)).argmax()])

# %% [markdown]
# ## 11 Resizing without inventing a class
#
# Pictures get resized all the time, by blending neighbours (bilinear). On ids, blending is
# nonsense: the mean of background (0) and car (2) is 1, a *person*.
#
# **Before you run it**: this mask holds 0 and 2 only, no person anywhere. What will `cv2.resize`,
# as it comes, make of the row `0 0 2 2`? And of a whole mask?

# %%
row = np.array([[0, 0, 2, 2]], np.uint8)
print("0 0 2 2, three wide:", *cv2.resize(row, (3, 1)))
cars, big = np.where(mask == 2, 2, 0).astype(np.uint8), (200, 200)        # no person in here
blended, picked = cv2.resize(cars, big), masks.resize_mask(cars, big)     # bilinear: the default
show.grid([overlay(cv2.resize(image, big), m) for m in (blended, picked)], side=3.2,
          titles=["bilinear", "an id is picked, never mixed"], legend=show.class_legend(void=False),
          caption="The orange seam on the left is labelled 'person'.")
plt.show()
print("person pixels:", (blended == 1).sum(), "bilinear,", (picked == 1).sum(), "picked")
print("bilinear on the whole mask, void too:", len(np.unique(cv2.resize(mask, big))), "ids")
assert set(np.unique(picked)) <= set(np.unique(cars)), "a resize must not invent ids"

# %% [markdown]
# A thin person now stands along the edge of every car. With void in the mask there are ids of all
# sizes; that is easier to catch, since `check_ids` refuses them.
#
# So each new pixel must *pick* the id of one old pixel: the **nearest**. Even that has a trap.
# Pixels are little squares. Going from 6 pixels to 2, the first new pixel covers old 0, 1 and 2,
# and its centre is the centre of old 1.
#
# **Before you run it**: which two of `0 1 2 3 4 5` should be picked? And of twelve, which four?
# Then see what OpenCV's `INTER_NEAREST` picks of the twelve.

# %% tags=["defines"]
def resize_mask(mask, size):
    """Resize (H, W) to `size` (h, w): the centre of each new pixel picks an old one."""
    if mask.ndim != 2 or len(size) != 2 or min(*mask.shape, *size) < 1:
        raise ValueError(f"expected (H, W) and a size (h, w) over 0, not {mask.shape}, {size}")
    # The centre of new pixel i lies at (i + 1/2) * old / new, in old pixels. In whole numbers:
    picks = [(2 * np.arange(new) + 1) * old // (2 * new)
             for old, new in zip(mask.shape, size, strict=True)]
    return mask[picks[0][:, None], picks[1]]

# %% [markdown]
# We resize a ramp of column numbers, so that the result tells where each pixel came from. The mean
# says whether it has shifted.

# %%
ramp = np.arange(12)[None].repeat(12, axis=0).astype(np.uint8)
plain = cv2.resize(ramp, (4, 4), interpolation=cv2.INTER_NEAREST)
for name, small in {"cv2.INTER_NEAREST": plain, "centres": resize_mask(ramp, (4, 4))}.items():
    print(f"{name:18} columns {small[0]}  mean {small[0].mean():4.2f} of", ramp[0].mean())
for size in [(40, 40), (200, 300), (127, 129)]:
    ours, tensor = resize_mask(mask, size), torch.from_numpy(mask)[None]
    exact = F.resize(tensor, size, F.InterpolationMode.NEAREST_EXACT)[0]
    assert np.array_equal(ours, exact), "torchvision's nearest-exact picks the same pixels"
    assert np.array_equal(ours, masks.resize_mask(mask, size)), "and so does the package"

# %% [markdown]
# Of six, 1 and 4 should be picked; of twelve, 1, 4, 7 and 10. OpenCV's plain nearest reads the top
# left of each new pixel instead: the mask moves by up to half a new pixel, while the *image*
# (bilinear) stays where it was. The two now disagree by a hair, all over the data set, always to
# the same side.
#
# A test without any reference: flipping and resizing must not care about the order.

# %%
square, small = mask[4:124, 4:124], (40, 40)             # 120 pixels to 40


def nearest(ids, size):
    return cv2.resize(ids, size[::-1], interpolation=cv2.INTER_NEAREST)


for name, resize in {"cv2.INTER_NEAREST": nearest, "centres": resize_mask}.items():
    a, b = resize(square[:, ::-1], small), resize(square, small)[:, ::-1]
    print(f"{name:18} IoU of the two orders: person {iou(a == 1, b == 1):.2f}, "
          f"car {iou(a == 2, b == 2):.2f}")
assert np.array_equal(a, b), "resize with centres: then nothing shifts"

# %% [markdown]
# (Where a centre falls on the very line between two pixels, as from 4 to 2, one side has to be
# chosen: here the right one.) In other libraries the safe choice is called `nearest-exact`
# (PyTorch, torchvision) or `INTER_NEAREST_EXACT` (OpenCV).
#
# ## 12 A telephone held sideways: EXIF orientation
#
# A phone stores the pixels as the sensor saw them, and adds a note for the viewer: "turn me by
# 90°". The note is the **EXIF orientation**. The annotation tool obeyed it, so the mask stands
# upright. Does your loader obey it?

# %%
note = Image.Exif()
note[0x0112] = 6                                           # 6: turn clockwise to see it upright
Image.fromarray(np.rot90(image)).save(folder / "phone.jpg", quality=95, exif=note)
plain = np.array(Image.open(folder / "phone.jpg"))         # PIL does not obey
upright = masks.read_image(folder / "phone.jpg")           # read_image does
show.grid([overlay(plain, mask), overlay(upright, mask)], ["np.array(Image.open)", "read_image"],
          caption="The shapes agree, the labels do not.", side=3, legend=show.class_legend())
plt.show()
print("shapes:", plain.shape, upright.shape)
for name, truth in {"sideways": np.rot90(mask), "upright": mask}.items():
    print(f"{name:9} IoU of the labels with what the picture shows: person "
          f"{iou(mask == 1, truth == 1):.2f}, car {iou(mask == 2, truth == 2):.2f}")
assert np.abs(upright.astype(int) - image).mean() < 5, "the picture stands as it was taken"

# %% [markdown]
# On an oblong picture the shapes differ and somebody notices. On a square crop nobody does.
# `cv2.imread` obeys the note, PIL does not: two scripts that read the same file disagree.
#
# ## 13 Run lengths: a mask in a line of text
#
# COCO, a large public data set of labelled photographs, stores masks in its files as **run
# lengths** (RLE): how many pixels of 0, how many of 1, how many of 0, … Two conventions you cannot
# guess: the runs go *down the columns*, and the first run always counts zeros, even if there are
# none.

# %% tags=["defines"]
def encode_rle(mask):
    """Binary mask (H, W) to run lengths, down the columns, zeros first."""
    if mask.ndim != 2 or mask.size == 0 or not np.isin(mask, (0, 1)).all():
        raise ValueError(f"expected (H, W) of 0 and 1, not {mask.shape}: use mask == class_id")
    counts, value, run = [], 0, 0
    for pixel in mask.T.ravel():                   # .T: column after column
        if pixel != value:
            counts.append(run)
            value, run = pixel, 0
        run += 1
    return {"size": list(mask.shape), "counts": counts + [run]}


def decode_rle(rle):
    """Run lengths back to a binary mask (H, W) uint8."""
    (height, width), counts = rle["size"], rle["counts"]
    if sum(counts) != height * width:
        raise ValueError(f"the runs cover {sum(counts)} pixels, the size has {height * width}")
    values = np.arange(len(counts)) % 2            # 0, 1, 0, 1, …
    return np.repeat(values, counts).reshape(width, height).T.astype(np.uint8)

# %% [markdown]
# By pencil: what are the runs of `car` and of `not car` in our 4×4 mask? Go down the first column,
# then down the second.

# %%
car = (tiny == 2).astype(np.uint8)
print(car)
print("car:    ", encode_rle(car)["counts"])
print("not car:", encode_rle(1 - car)["counts"])
assert np.array_equal(decode_rle(encode_rle(car)), car), "there and back"
assert encode_rle(car) == masks.encode_rle(car, compressed=False), "ours equals the package's"

# %% [markdown]
# Two columns of four are 8 zeros, then come two ones, and so on. "Not car" begins with a run of no
# zeros at all.
#
# Files mostly hold a *compressed* form, the same runs packed into letters. That packing is
# bookkeeping, so we let pycocotools do it, and check that it means the same mask.

# %%
car = (mask == 2).astype(np.uint8)                                 # (H, W)
packed = coco.encode(np.asfortranarray(car))                       # column-major memory, too
print(f"{car.size} pixels, {len(encode_rle(car)['counts'])} runs, {len(packed['counts'])} letters")
assert np.array_equal(coco.decode(packed), decode_rle(encode_rle(car))), "pycocotools agrees"
assert masks.encode_rle(car) == {"size": [*car.shape], "counts": packed["counts"].decode()}
rows_first = decode_rle({"size": car.shape, "counts": encode_rle(car.T)["counts"]})
print(f"read along the rows by mistake: car IoU {iou(rows_first == 1, car == 1):.2f}")
show.grid([car, rows_first], ["down the columns", "along the rows"], side=2.6,
          caption="Same runs, other order: a square picture shows no error.")
plt.show()

# %% [markdown]
# ## 14 Polygons: a mask as an outline
#
# Annotation tools store outlines. To get a mask back, each pixel's *centre* is asked: inside or
# outside? Go from the centre to the left and count the edges you cross: odd is inside. That is the
# **even-odd rule**, and holes need no special treatment.

# %% tags=["defines"]
def from_polygons(rings, height, width):
    """Fill rings of (x, y) corners: 1 where a pixel's centre lies in an odd number of them."""
    y, x = np.mgrid[:height, :width] + 0.5                       # the centres, (H, W) each
    inside = np.zeros((height, width), bool)
    for ring in rings:
        ring = np.asarray(ring, float)
        if ring.ndim != 2 or ring.shape[1] != 2 or len(ring) < 3 or not np.isfinite(ring).all():
            raise ValueError(f"a ring is (N, 2) numbers with N >= 3, not {ring.shape}")
        for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
            if y0 != y1:
                level = (min(y0, y1) <= y) & (y < max(y0, y1))   # edge and centre at one height
                crossing = (x0 * (y1 - y) + x1 * (y - y0)) / (y1 - y0)
                inside ^= level & (crossing <= x)                # each crossing turns it over
    return inside.astype(np.uint8)

# %% [markdown]
# `masks.to_polygons` walks along the pixel *edges*, with corners at whole numbers. A shape with a
# hole: how many rings, and how many corners has each?

# %%
shape = np.array([[0, 0, 0, 0, 0, 0], [0, 1, 1, 1, 1, 0], [0, 1, 0, 0, 1, 0],
                  [0, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0]], np.uint8)
rings = masks.to_polygons(shape)
fig, ax = plt.subplots(figsize=(4, 3.2))
ax.imshow(1 - shape, cmap="gray", vmin=-1, extent=(0, 6, 5, 0))
for k, ring in enumerate(rings):
    ax.plot(*np.vstack([ring, ring[:1]]).T, ".-", color=show.LINES[k], ms=12, clip_on=False)
    print(f"ring {k}:", *map(tuple, ring.tolist()))
show.below(fig, "Corners lie between pixels, and the hole is a ring.")
plt.show()
assert np.array_equal(from_polygons(rings, 5, 6), shape), "there and back, exactly"

# %% [markdown]
# A program that turns outlines into pixels is a **rasteriser**. COCO's own joins the rings instead
# of counting crossings, and rounds sloping edges in its own way.
#
# **Before you run it**: will the hole survive it? And the cars of section 10, with people and void
# lines in front of them?

# %%
crowd_cars = (crowd_mask == 2).astype(np.uint8)                  # (H, W)
for name, one in {"with a hole": shape, "all cars": crowd_cars}.items():
    size, rings = one.shape, masks.to_polygons(one)
    ours, theirs = from_polygons(rings, *size), masks.rasterize_coco(rings, *size)
    assert np.array_equal(ours, one) and np.array_equal(ours, masks.from_polygons(rings, *size))
    print(f"{name:12} pixels wrong: ours {(ours != one).sum()}, COCO's {(theirs != one).sum()}")
show.grid([overlay(crowd, 2 * crowd_cars), show.error_map(theirs, crowd_cars)],
          ["all cars", "through COCO's rasteriser"], legend=show.error_legend()[1:4:2], side=3,
          caption="False alarms: these pixels were no car, and are now.")
plt.show()

# %% [markdown]
# The hole is gone. In the street, seams of void and a part of a person count as car now.
#
# If a data set offers polygons and RLE, take RLE: it is the mask. If it has polygons only, use the
# rasteriser its authors used, and expect borders to be soft by a pixel.
#
# ## 15 The right mask for the right picture
#
# The last trap needs no wrong pixel at all. Images lie in one folder, masks in another, and
# `zip(sorted(…), sorted(…))` makes the pairs. Twelve scenes, with names as a camera gives them.

# %%
names = [f"img{k}" for k in range(1, 13)]                 # img1 … img12, as a person counts
for kind, suffix in (("images", "jpg"), ("masks", "png")):
    (folder / kind).mkdir()
    for k, name in enumerate(names):
        shutil.copy(street / kind / f"{k:04}.{suffix}", folder / kind / f"{name}.{suffix}")
by_letter = sorted(path.stem for path in (folder / "masks").iterdir())
print("sorted:", *by_letter)
print(sum(a != b for a, b in zip(names, by_letter, strict=True)), "of 12 pairs wrong")

# %% [markdown]
# `sorted` compares letters, and "img10" comes before "img2". If one list was made by counting and
# the other by sorting, they part at the second file.
#
# **Before you run it**: now both lists *are* sorted, and alike, but one mask, `img11.png`, got lost
# in a copy. How many of the pairs are wrong? Will `zip` complain?

# %%
def mask_of(name):
    return masks.read_mask(street / "masks" / f"{int(name[3:]) - 1:04}.png")


(folder / "masks" / "img11.png").unlink()
left, right = (sorted(f.stem for f in (folder / kind).iterdir()) for kind in ("images", "masks"))
pairs = list(zip(left, right, strict=False))
print(sum(a != b for a, b in pairs), "of", len(pairs), "pairs wrong")
three = [pairs[k] for k in (3, -2, -1)]
drawn = [overlay(masks.read_image(folder / "images" / f"{a}.jpg"), mask_of(b)) for a, b in three]
show.grid(drawn, [f"{a} + {b}" for a, b in three], legend=show.class_legend(),
          caption="Labels of another scene; most pairs are like these.")
plt.show()
lost = [iou(mask_of(b) > 0, mask_of(a) > 0) for a, b in three]
print("IoU of given and true objects:", np.round(lost, 2))

# %% [markdown]
# No error in either case: `zip` stops at the shorter list. (`zip(…, strict=True)` would have caught
# the second, not the first.)
#
# The cure: pair by **name**, never by position, and say aloud what has no partner.

# %% tags=["defines"]
def pair_by_stem(images, masks):
    """[(image, mask), …] of two lists of paths, paired by file name without suffix."""
    images, masks = sorted(images), sorted(masks)
    image_of, mask_of = ({path.stem: path for path in paths} for paths in (images, masks))
    if len(image_of) < len(images) or len(mask_of) < len(masks):
        raise ValueError("two files share a stem, such as a.jpg and a.png: keep one")
    alone = sorted(image_of.keys() ^ mask_of.keys())
    if alone:
        raise ValueError(f"without a partner: {', '.join(alone)}")
    return [(image_of[stem], mask_of[stem]) for stem in sorted(image_of)]

# %% [markdown]
# `FolderPairs`, which you will use for your own pictures, pairs in this way. Both name the file
# that lost its partner.

# %%
print(refusal(pair_by_stem, (folder / "images").iterdir(), (folder / "masks").iterdir()))
print(refusal(FolderPairs, folder / "images", folder / "masks"))
shutil.copy(street / "masks" / "0010.png", folder / "masks" / "img11.png")     # found again
ours = pair_by_stem((folder / "images").iterdir(), (folder / "masks").iterdir())
package = FolderPairs(folder / "images", folder / "masks", classes=masks.CLASSES)
for k, (a, b) in enumerate(ours):
    assert a.stem == b.stem == package.stems[k], "pairs share their name"
    assert np.array_equal(masks.read_mask(b), package[k][1]), "and so the pixels agree"
print(len(package), "pairs, none wrong")
scratch.cleanup()

# %% [markdown]
# ## Summary
#
# A mask is an array of names. Whatever treats those names as amounts of light ruins it, and mostly
# in silence. So after reading a pair, always:
#
# 1. **look** at the overlay, with fixed colours;
# 2. **assert the ids**: `set(np.unique(mask)) <= {0, 1, 2, 255}`;
# 3. **assert shape and dtype**: one plane, whole numbers, as large as the picture;
# 4. **pair by name**, and have what is left over reported.
#
# | what was done to the mask | what it cost | what catches it |
# |---|---|---|
# | palette read as grey | all objects | the set of ids |
# | JPEG | borders, and small ids | the set of ids; `read_mask` refuses |
# | `ToTensor` | all objects; void becomes person | the set of ids |
# | bilinear resize | a seam of a class that is not there | the set of ids before and after |
# | plain nearest | a shift | flip, then resize, and the other way round |
# | 16-bit ids in 8 bits | all instances | dtype, and `instances // 1000 == mask` |
# | void counted | a perfect answer does not score 1 | score the truth against itself |
# | EXIF ignored | all labels, on square pictures | the overlay |
# | autoscaled colours | your own eyes | `vmin`, `vmax` |
# | rows for columns in RLE | all labels, on square pictures | the overlay; a round trip |
# | pairs by position | all labels from there on | pairing by stem |
#
# ## If it goes wrong
#
# | symptom | cause | section |
# |---|---|---|
# | the mask looks all black | ids are small numbers; paint them | 1 |
# | ids such as 87 or 162 | a palette file read as grey | 2 |
# | "colours are not in the table" | a smoothed or lossy export | 3, 4 |
# | ids of no class, near borders | JPEG, or bilinear resizing | 4, 11 |
# | colours change from picture to picture | autoscaled `imshow` | 5 |
# | the sky is brown or like sand | BGR shown as RGB | 6 |
# | only ids 0 and 1, in thin lines | `ToTensor` on the mask | 7 |
# | a perfect model scores 0.9 | void is counted | 9 |
# | all objects count as one | 16-bit ids read as 8 bits | 10 |
# | masks off by a pixel, always to one side | plain nearest resizing | 11 |
# | masks turned by 90° or mirrored along the diagonal | EXIF, or RLE read along rows | 12, 13 |
# | masks of other scenes | pairs by position | 15 |

# %% [markdown]
# ## Exercises
#
# In [exercises/ex01_mask_basics.ipynb](exercises/ex01_mask_basics.ipynb), with checks that answer
# at once: `ex01.one_hot` and `ex01.from_one_hot`, `ex01.decode_rgb` (a strict table),
# `ex01.resize_nearest` (no shift), `ex01.rle_encode` (run lengths), and `ex01.palette` (colours
# that colour-blind readers can tell apart).
#
# Without a check: take a mask of your own through the four steps of the summary. In lesson 02 image
# and mask are flipped, cropped and turned *together*.
#
# ## Sources
#
# - W3C, *Portable Network Graphics (PNG) Specification*, third edition, 2025: section 11.2, palette
#   and bit depth.
# - CIPA DC-008, *Exchangeable image file format for digital still cameras: Exif*: tag 0x0112.
# - T.-Y. Lin et al., *Microsoft COCO: Common Objects in Context*, ECCV 2014, arXiv:1405.0312, and
#   the COCO API, `common/maskApi.c`: run lengths and polygons.
# - M. Everingham et al., *The PASCAL Visual Object Classes (VOC) Challenge*, IJCV 2010,
#   doi:10.1007/s11263-009-0275-4: void (255) along object borders.
# - M. Cordts et al., *The Cityscapes Dataset for Semantic Urban Scene Understanding*, CVPR 2016,
#   arXiv:1604.01685: `class * 1000 + k` for instances.
# - M. Okabe and K. Ito, *Color Universal Design*, 2008: the colours of our palette.
