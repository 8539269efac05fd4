# %% [markdown]
# # Exercises 02: synchronized augmentation
#
# Six exercises on lesson 02. Put what is missing in place of `...`, run the cell, and read what
# `check` found. Inputs are NumPy arrays; work on a copy where you want to change one. What you
# return may be arrays, tensors or plain lists. When you are stuck, run `hint("ex02.flip_crop")`,
# and run it again for more.
#
# | exercise | level | points | minutes (an estimate) |
# |---|---|---|---|
# | 1 Which of six loaders breaks the pairing? | warm-up | 2 | 10 |
# | 2 How many augmentations are there really? | warm-up | 1 | 5 |
# | 3 A synchronized flip and crop by hand | core | 3 | 15 |
# | 4 Fill with void | core | 2 | 12 |
# | 5 Boxes after a crop | core | 3 | 15 |
# | 6 A test that catches every break | stretch | 4 | 20 |

# %%
import matplotlib.pyplot as plt
import numpy as np

from segutils import show
from segutils.exercises import check, hint  # noqa: F401  (hint is there for you)
from segutils.exercises.ex02 import loaders
from segutils.masks import colorize
from segutils.street import draw

show.use_style()
scenes = [draw(seed, size=64, difficulty="plain") for seed in range(12)]
images = {f"{k}.jpg": scene.image for k, scene in enumerate(scenes, 1)}  # (64, 64, 3) uint8
masks = {f"{k:02}.png": scene.mask for k, scene in enumerate(scenes, 1)}  # (64, 64) uint8
print(list(images)[:3], list(masks)[:3])

# %% [markdown]
# ## 1. Which of six loaders breaks the pairing?
# *warm-up, 2 points, about 10 minutes (an estimate)*
#
# **Aim**: find out whether a loader keeps each image together with its mask
#
# Six loaders, A to F, each called as `load(images, masks, i, seed)`, return an augmented image and
# its mask. Some of them are broken: image and mask no longer belong together. Such a loader raises
# no error, and a model that is trained on it only learns less.
#
# Look first. Change `seed` and the two pictures, and look again: one look is not enough.

# %%
seed = 1
seen = []
for name, load in loaders().items():
    for i in (0, 7):
        image, mask = load(images, masks, i, seed)
        image, mask = np.ascontiguousarray(image), np.ascontiguousarray(mask)
        seen.append((f"{name}, picture {i}", show.overlay(image, mask)))

show.grid([picture for _, picture in seen], titles=[title for title, _ in seen], columns=4,
          legend=show.class_legend())
plt.show()

# %% [markdown]
# *Each loader with two pictures, the mask laid over the image. Do the colours sit on the people and
# cars?*

# %%
broken = ...  # a set of letters, such as {"A", "F"}
### BEGIN SOLUTION
broken = {"B", "D", "E"}
### END SOLUTION

check("ex02.broken_loaders", broken)

# %% [markdown]
# ## 2. How many augmentations are there really?
# *warm-up, 1 point, about 5 minutes (an estimate)*
#
# **Aim**: tell how many different augmentations a loader with several workers draws
#
# 24 pictures are loaded in batches of 4 by 3 workers (processes that load), which take the batches
# in turn. Each picture is augmented by the next random numbers of its worker. But each of the 5
# epochs starts the workers anew, and every worker, in every epoch, starts from a copy of the
# **same** random state.
#
# 24 × 5 = 120 pictures are loaded. How many *different* augmentations are among them?

# %%
different = ...  # a number
### BEGIN SOLUTION
batches = 24 // 4  # in an epoch
different = batches // 3 * 4  # what one worker draws; the others, and all epochs, repeat it
### END SOLUTION

check("ex02.worker_seeds", different)

# %% [markdown]
# ## 3. A synchronized flip and crop by hand
# *core, 3 points, about 15 minutes (an estimate)*
#
# **Aim**: flip and crop an image and its mask alike, repeatable from a random state
#
# In half of all calls the pair is flipped left to right; in every call a square is cut out of it,
# from any place where it fits, the last row and column included. What happens to the image has to
# happen to its mask. All randomness comes from `rng`, a `np.random.Generator`: the same state of
# `rng` gives the same crop.


# %%
def flip_crop(image, mask, size, rng):
    """Flip a pair at random, and crop a square at random.

    image: (H, W, 3) uint8
    mask: (H, W) uint8
    size: side of the crop, at most H and W
    rng: np.random.Generator
    returns: image (size, size, 3), mask (size, size)
    """
    ### BEGIN SOLUTION
    flip = rng.random() < 0.5
    top = rng.integers(image.shape[0] - size + 1)  # the upper end is left out, hence + 1
    left = rng.integers(image.shape[1] - size + 1)
    if flip:
        image, mask = image[:, ::-1], mask[:, ::-1]
    area = slice(top, top + size), slice(left, left + size)
    return image[area], mask[area]
    ### END SOLUTION


check("ex02.flip_crop", flip_crop)

# %% [markdown]
# ## 4. Fill with void
# *core, 2 points, about 12 minutes (an estimate)*
#
# **Aim**: move an image and its mask, and mark as void what is not known
#
# When a picture is moved, nothing is known about the strip that it leaves. In the image that strip
# becomes black, 0. In the mask it becomes **void**, 255, so that no loss and no metric counts it.
#
# `down` and `right` may be negative: then the pair moves up, or left. They may also be so large
# that nothing of the picture is left.


# %%
def shift_fill(image, mask, down, right):
    """Move a pair by whole pixels, and fill what is left behind.

    image: (H, W, 3) uint8, filled with 0
    mask: (H, W) uint8, filled with 255
    down, right: how far, in pixels; negative is up, or left
    returns: image (H, W, 3), mask (H, W)
    """
    ### BEGIN SOLUTION
    edge = max(abs(down), abs(right))  # so much fill on all sides; then a window of the old size
    wide_image = np.pad(image, ((edge, edge), (edge, edge), (0, 0)), constant_values=0)
    wide_mask = np.pad(mask, edge, constant_values=255)
    top, left = edge - down, edge - right  # the picture moves down when the window moves up
    window = slice(top, top + mask.shape[0]), slice(left, left + mask.shape[1])
    return wide_image[window], wide_mask[window]
    ### END SOLUTION


check("ex02.shift_fill", shift_fill)

# %% [markdown]
# ## 5. Boxes after a crop
# *core, 3 points, about 15 minutes (an estimate)*
#
# **Aim**: take boxes and labels along through a crop, and drop those that are gone
#
# A crop keeps `height` rows from row `top` on, and `width` columns from column `left` on. The boxes
# of the objects have to follow it: count from the new corner, end at the crop's edges, and vanish,
# together with their labels, when none of their area is left. A box is `x1, y1, x2, y2` in pixel
# edges: the pixel in the upper left corner is `0, 0, 1, 1`.

# %%
mask = scenes[3].mask
picture = colorize(mask)
top, left, height, width = 20, 10, 36, 40
picture[top, left : left + width] = picture[top + height, left : left + width] = 255
picture[top : top + height, left] = picture[top : top + height, left + width] = 255
crop = colorize(mask[top : top + height, left : left + width])
show.grid([picture, crop], titles=["mask, and a crop", "the crop"], columns=2,
          legend=show.class_legend())
plt.show()

# %% [markdown]
# *The crop is outlined in white. Objects that it cuts through keep a box, of the part that is
# left.*


# %%
def crop_boxes(boxes, labels, top, left, height, width):
    """Boxes and labels after a crop.

    boxes: (N, 4) float32: x1, y1, x2, y2 in pixel edges
    labels: (N,) int64
    top, left, height, width: the crop, in pixels
    returns: boxes (M, 4) in the crop, and their labels (M,), in the old order
    """
    ### BEGIN SOLUTION
    boxes = boxes - [left, top, left, top]  # (N, 4), from the crop's corner
    boxes = np.clip(boxes, 0, [width, height, width, height])
    keep = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])  # (N,) bool
    return boxes[keep], labels[keep]
    ### END SOLUTION


check("ex02.crop_boxes", crop_boxes)

# %% [markdown]
# ## 6. A test that catches every break
# *stretch, 4 points, about 20 minutes (an estimate)*
#
# **Aim**: write a test that shows whether a transform keeps image and mask together
#
# Write the test that would have found the broken loaders. `transform(image, mask, seed)` returns an
# image and a mask, with everything random drawn from `seed`. Say whether the two still belong
# together, for any transform of this kind: flips, quarter turns, crops (what comes back is then
# smaller), and changes of the image's brightness of up to a fifth. None of them blurs or fills
# anything. You may choose what you feed it, as long as it is square and at least 16 × 16.


# %%
def keeps_pairs(transform):
    """Whether a transform keeps image and mask together.

    transform: transform(image, mask, seed) -> image, mask
               image (N, N, 3) uint8, mask (N, N) uint8, seed a whole number from 0
    returns: True or False
    """
    ### BEGIN SOLUTION
    mask = np.random.default_rng(0).integers(0, 2, (32, 32)).astype(np.uint8)  # no symmetry
    image = np.stack([50 + 150 * mask] * 3, axis=-1).astype(np.uint8)  # bright where the mask is 1
    for seed in range(30):
        new_image, new_mask = transform(image, mask, seed)
        if not np.array_equal(new_image[..., 0] > 120, new_mask == 1):
            return False
    return True
    ### END SOLUTION


check("ex02.keeps_pairs", keeps_pairs)

# %% [markdown]
# ## Where next
# Keep `keeps_pairs`: ten lines that can stand in the tests of any project. Lesson 03 builds the
# network that these pairs are for.
