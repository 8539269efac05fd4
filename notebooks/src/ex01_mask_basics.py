# %% [markdown]
# # Exercises 01: mask basics
#
# Six exercises on lesson 01. In each, a function or a value is missing where you read `...`. Put
# yours in place of the dots, run the cell, and `check` tells you at once what it found:
#
# - ✓ **solved**: right on all cases, the random ones too
# - ✗ **not yet**: what went wrong, in a line or two
# - ○ **not attempted yet**
#
# Nothing you write can hurt the notebook: a loop without an end is stopped after 20 seconds. Inputs
# are NumPy arrays; work on a copy where you want to change one. Use NumPy or torch, loops or
# vectors, as you like; what you return may be arrays, tensors or plain lists. When you are stuck,
# run `hint("ex01.one_hot")`, and run it again for more: the last hint shows what is wanted, on an
# example.
#
# | exercise | level | points | minutes (an estimate) |
# |---|---|---|---|
# | 1 One plane a class | warm-up | 2 | 8 |
# | 2 And back to ids | core | 2 | 8 |
# | 3 Decode an RGB mask with a strict table | core | 3 | 12 |
# | 4 Resize a mask without a shift | core | 3 | 15 |
# | 5 Run lengths by hand | stretch | 4 | 20 |
# | 6 A palette that everyone can read | stretch | 3 | 15 |

# %%
import matplotlib.pyplot as plt
import numpy as np

from segutils import show
from segutils.exercises import check, hint  # noqa: F401  (hint is there for you)
from segutils.exercises.ex01 import VISION, simulate
from segutils.masks import PALETTE, colorize
from segutils.street import draw

show.use_style()
scene = draw(0, size=64, difficulty="plain")
print(scene.image.shape, scene.mask.shape, np.unique(scene.mask).tolist())

# %% [markdown]
# This is the mask that the exercises are about: 0 background, 1 person, 2 car, 255 void.

# %%
show.grid([scene.image, colorize(scene.mask)], titles=["image", "mask"], columns=2,
          legend=show.class_legend())
plt.show()

# %% [markdown]
# *The same street twice. The light grey seams are void: nobody can say which class such a pixel
# is.*

# %% [markdown]
# ## 1. One plane a class
# *warm-up, 2 points, about 8 minutes (an estimate)*
#
# **Aim**: turn a mask of ids into one plane a class, with void in none of them
#
# Some losses (lesson 04) compare a mask with a model's output plane by plane, one plane for each
# class. So ids have to become planes: plane `c` is 1 where the id is `c`, and 0 elsewhere. Void
# pixels are in **no** plane.
#
# For `[[0, 2, 255]]` and 3 classes, the planes are `[[1, 0, 0]]`, `[[0, 0, 0]]` and `[[0, 1, 0]]`.


# %%
def one_hot(mask, classes):
    """Turn ids into one plane a class.

    mask: (H, W) uint8, ids 0 … classes - 1, or 255 for void
    classes: how many classes there are
    returns: (classes, H, W), 1 (or True) where a pixel belongs to the class, else 0 (or False)
    """
    ### BEGIN SOLUTION
    planes = [mask == c for c in range(classes)]  # each (H, W) bool; 255 equals none of them
    return np.stack(planes)  # (C, H, W)
    ### END SOLUTION


check("ex01.one_hot", one_hot)

# %% [markdown]
# ## 2. And back to ids
# *core, 2 points, about 8 minutes (an estimate)*
#
# **Aim**: turn planes back into ids, and keep void apart from class 0
#
# The way back: each pixel gets the id of the plane it is in. A pixel that is in no plane was void,
# and has to be void again.


# %%
def from_one_hot(planes):
    """Turn planes back into ids.

    planes: (C, H, W) float32, 0 or 1; a pixel is in one plane or in none
    returns: (H, W) whole numbers, ids 0 … C - 1, and 255 where a pixel is in no plane
    """
    ### BEGIN SOLUTION
    mask = planes.argmax(axis=0).astype(np.uint8)  # (H, W); 0 also where no plane is set
    mask[planes.sum(axis=0) == 0] = 255
    return mask
    ### END SOLUTION


check("ex01.from_one_hot", from_one_hot)

# %% [markdown]
# ## 3. Decode an RGB mask with a strict table
# *core, 3 points, about 12 minutes (an estimate)*
#
# **Aim**: read a mask that is stored in colours, and refuse a colour that no class has
#
# Some data sets store colours instead of ids. A table says which colour means what. Saved as JPEG,
# or smoothed by a drawing program, such a mask holds colours that are in no table, and whatever
# they are quietly turned into is a wrong label. So be strict: an unknown colour is an error.

# %%
colors = {i: tuple(PALETTE[i].tolist()) for i in (0, 1, 2, 255)}  # id -> (r, g, b)
rgb = colorize(scene.mask)  # (64, 64, 3) uint8
print(colors)
print("first pixel:", rgb[0, 0].tolist())


# %%
def decode_rgb(rgb, colors):
    """Turn colours into ids.

    rgb: (H, W, 3) uint8
    colors: {id: (r, g, b), …}
    returns: (H, W) whole numbers, the id of each pixel's colour
    raises: ValueError if a pixel has a colour that is not in the table
    """
    ### BEGIN SOLUTION
    mask = np.full(rgb.shape[:2], -1)  # (H, W) int64; -1 is no id
    for i, color in colors.items():
        mask[(rgb == np.array(color)).all(axis=-1)] = i
    if (mask == -1).any():
        raise ValueError(f"{(mask == -1).sum()} pixels have a colour that is not in the table")
    return mask.astype(np.uint8)
    ### END SOLUTION


check("ex01.decode_rgb", decode_rgb)

# %% [markdown]
# ## 4. Resize a mask without a shift
# *core, 3 points, about 15 minutes (an estimate)*
#
# **Aim**: resize a mask so that it stays on its image and gains no new id
#
# A mask is resized by picking, never by mixing: between class 0 and class 2 there is no class 1.
# Each new pixel takes the id of the old pixel that its **centre** lies in. Pixel 0 of a row reaches
# from 0 to 1, so its centre is at 0.5.
#
# OpenCV's plain `INTER_NEAREST` uses the corner instead, and the mask moves against its image. In
# the cases that `check` tries no centre falls exactly between two old pixels, so there is one right
# answer.


# %%
def resize_nearest(mask, height, width):
    """Resize a mask without a new id and without a shift.

    mask: (H, W) uint8
    height, width: the new size, larger or smaller
    returns: (height, width) whole numbers, ids of the old mask
    """
    ### BEGIN SOLUTION
    rows = ((np.arange(height) + 0.5) * mask.shape[0] / height).astype(int)  # (height,)
    columns = ((np.arange(width) + 0.5) * mask.shape[1] / width).astype(int)  # (width,)
    return mask[rows[:, None], columns]
    ### END SOLUTION


check("ex01.resize_nearest", resize_nearest)

# %% [markdown]
# ## 5. Run lengths by hand
# *stretch, 4 points, about 20 minutes (an estimate)*
#
# **Aim**: store a binary mask as run lengths in the order that COCO reads it
#
# The COCO data set stores a binary mask as the lengths of its runs. Read the mask **down its
# columns**, one column after the other, and count: how many zeros first, then how many ones, then
# zeros again, and so on. The first count is always one of zeros, even if there are none: it alone
# can be 0.
#
# ```text
# 0 1 1
# 0 0 1      down the columns: 0 0 | 1 | 0 | 1 1      counts: [2, 1, 1, 2]
# ```


# %%
def rle_encode(mask):
    """Run lengths of a binary mask, as COCO counts them.

    mask: (H, W) uint8, 0 or 1
    returns: list of lengths, zeros first, then ones and zeros in turn; they add up to H * W
    """
    ### BEGIN SOLUTION
    counts, value = [0], 0
    for pixel in mask.T.ravel():  # the rows of the transposed mask are the columns of the mask
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return counts
    ### END SOLUTION


check("ex01.rle_encode", rle_encode)

# %% [markdown]
# ## 6. A palette that everyone can read
# *stretch, 3 points, about 15 minutes (an estimate)*
#
# **Aim**: choose class colours that stay apart for colour-blind readers too
#
# About one man in twelve and one woman in two hundred see red and green differently than others
# do. Choose six colours, black for background first, that stay apart for everyone. `check`
# simulates full colour vision and three kinds of colour blindness (Machado, Oliveira and Fernandes
# 2009), and measures how far apart any two of your colours are (CIE 1976). A difference of about 2
# can just be seen; at least 15 is needed here. There are very many right answers.
#
# Here is a rainbow, which looks fine until it does not:

# %%
rainbow = [(0, 0, 0), (255, 0, 0), (255, 255, 0), (0, 255, 0), (0, 255, 255), (0, 0, 255)]


def seen_by_all(colors):
    """One row of colours for each kind of colour vision, (4, N, 3) uint8."""
    colors = np.array(colors, np.uint8)
    return np.stack([simulate(colors, vision) for vision in VISION])


plt.figure(figsize=(6, 2.4))
plt.imshow(seen_by_all(rainbow), aspect="auto")
plt.yticks(range(4), list(VISION))
plt.xticks([])
plt.show()

# %% [markdown]
# *Each row is the rainbow as one kind of eye sees it. Without red cones, yellow and green look
# alike.*

# %%
palette = ...  # six of (r, g, b), each 0…255; the first is (0, 0, 0)
### BEGIN SOLUTION
palette = [(0, 0, 0), (0, 80, 160), (213, 94, 0), (90, 180, 230), (240, 228, 66), (255, 255, 255)]
### END SOLUTION

check("ex01.palette", palette)

# %% [markdown]
# ## Where next
# All six solved? Lesson 02 moves these masks together with their images. If one of them resisted,
# lesson 01 builds the same functions step by step.
