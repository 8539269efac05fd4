# %% [markdown]
# # Exercises 00: start here
#
# Four short exercises on lesson 00, and perhaps your first ones. Nothing is trained here, and
# NumPy is all you need. Where you read `...  # your code here`, something is missing. Write it, run
# the cell, and `check` tells you at once what it found:
#
# - ✓ **solved**: right on all cases, the random ones too
# - ✗ **not yet**: what went wrong, in a line or two
# - ○ **not attempted yet**
#
# Try as often as you like; attempts are not counted. Nothing that you write can hurt the notebook:
# a loop without an end is stopped after 20 seconds. When you are stuck, run `hint("ex00.shares")`
# in a cell of its own, and run it again for more: the last hint shows what is wanted, on an
# example.
#
# | exercise | level | points | minutes (an estimate) |
# |---|---|---|---|
# | 1 What is in a mask? | warm-up | 2 | 8 |
# | 2 Five error maps, five scores | warm-up | 2 | 8 |
# | 3 Right pixels, and IoU | core | 3 | 12 |
# | 4 Which test pictures are no test? | core | 2 | 8 |

# %%
import matplotlib.pyplot as plt
import numpy as np

from segutils import show
from segutils.exercises import check, hint  # noqa: F401  (hint is there for you)
from segutils.exercises.ex00 import five_programs, leaky_split
from segutils.masks import colorize

show.use_style()
image, mask, preds, scores = five_programs()
print("image:", image.shape, " mask:", mask.shape, " ids:", np.unique(mask).tolist())

# %% [markdown]
# ## 1. What is in a mask?
# *warm-up, 2 points, about 8 minutes (an estimate)*
#
# **Aim**: measure what share of a picture each class has, with void left out
#
# A mask gives each pixel the id of its class: 0 background, 1 person, 2 car. Void, 255, is where
# nobody could tell. What share of the picture does each class have? It is the first thing to ask of
# new data: a class that covers one pixel in a hundred will be hard to learn, and easy to forget.
#
# Void belongs to no class, so it is left out, and the shares of all classes add up to 1.

# %%
show.grid([image, colorize(mask), show.overlay(image, mask, 0.6)],
          ["image", "mask, coloured in", "overlay"], columns=3, side=2.6,
          legend=show.class_legend(),
          caption="Guess first: how many pixels in a hundred are background?")
plt.show()


# %%
def shares(mask, classes):
    """Of the pixels that are not void, the share of each class.

    mask: (H, W) uint8, ids 0 … classes - 1, and 255 for void; not all of it is void
    classes: how many classes there are; some may be absent from this mask
    returns: (classes,) floats between 0 and 1, the share of class 0 first
    """
    ### BEGIN SOLUTION
    pixels = [(mask == c).sum() for c in range(classes)]  # 255 equals none of the ids
    return np.array(pixels) / sum(pixels)
    ### END SOLUTION


check("ex00.shares", shares)

# %% [markdown]
# ## 2. Five error maps, five scores
# *warm-up, 2 points, about 8 minutes (an estimate)*
#
# **Aim**: read error maps, and tell by eye what each mistake costs in IoU
#
# Five programs, A to E, were given the picture above. Each is wrong in another way, and the error
# maps show how. An object that is right is grey, so a perfect map is black and grey, with the thin
# white seams of void.

# %%
maps = [show.error_map(pred, mask) for pred in preds.values()]
show.grid(maps, [f"program {letter}" for letter in preds], columns=5, side=2.1,
          legend=show.error_legend(), caption="What did each of them do with people and cars?")
plt.show()

# %% [markdown]
# And here are their scores. Only, somebody has mixed up the rows. Look at the maps, and say which
# row belongs to which program. **Guess first:** can you tell by the right pixels alone?

# %%
print("row   right pixels   IoU of person   IoU of car")
for row, (right, person, car) in enumerate(scores, 1):
    print(f"{row:3d} {right:12.0%} {person:15.2f} {car:12.2f}")

# %%
rows = {"A": ..., "B": ..., "C": ..., "D": ..., "E": ...}  # a row, 1 to 5, for each program
### BEGIN SOLUTION
rows = {
    "A": 2,  # a car where none is: people are perfect, cars are not
    "B": 5,  # background everywhere
    "C": 1,  # a car called a person: both classes lose
    "D": 3,  # people missed, cars perfect
    "E": 4,  # all found, too fat; fewer right pixels than the program that found nothing
}
### END SOLUTION

check("ex00.match", rows)

# %% [markdown]
# ## 3. Right pixels, and IoU
# *core, 3 points, about 12 minutes (an estimate)*
#
# **Aim**: compute the share of right pixels and the IoU of a class, with void left out
#
# Now compute such a row yourself. Your function gets a prediction, the true mask and a class, and
# returns **two** numbers:
#
# - the **share of right pixels**, over all classes;
# - the **IoU** of the class: of the pixels that are this class in the truth **or** in the
#   prediction, the share that are it in **both**.
#
# Void (255, in the truth alone) is left out of both. If the class is in neither mask, there is
# nothing to score, and its IoU is `np.nan`, "not a number".
#
# ```text
# truth       1 1 0 0 255
# prediction  1 0 1 0 1      right: 2 of 4 pixels     IoU of class 1: 1 of 3
# ```


# %%
def score(pred, truth, c):
    """The share of right pixels, and the IoU of class c.

    pred: (H, W) uint8 ids; truth: (H, W) uint8 ids, and 255 for void; c: an id
    returns: two numbers between 0 and 1, (share, IoU); the IoU is NaN where c is in neither mask
    """
    ### BEGIN SOLUTION
    known = truth != 255
    pred, truth = pred[known], truth[known]  # (N,): what counts
    both = ((pred == c) & (truth == c)).sum()
    either = ((pred == c) | (truth == c)).sum()
    return (pred == truth).mean(), both / either if either else np.nan
    ### END SOLUTION


check("ex00.score", score)

# %% [markdown]
# Solved? Then try `score(preds["B"], mask, 2)` in a cell of your own, and see whether you had the
# right row for program B.

# %% [markdown]
# ## 4. Which test pictures are no test?
# *core, 2 points, about 8 minutes (an estimate)*
#
# **Aim**: find the test pictures that show what is in the training set too
#
# A test set is there to say how well a network does on pictures that it has **never seen**. A
# network that has learnt its training pictures by heart can have a perfect score on those, and know
# nothing about streets. So no test picture may stand in the training set, in any form.
#
# Somebody was careless here: **three** of the eight test pictures show what is in the training set.
# Perhaps not to the byte.

# %%
train, test = leaky_split()
show.grid([show.contact_sheet(train, columns=8)], columns=1, side=11,
          caption="The training set: twenty-four pictures.")
plt.show()

# %%
show.grid(list(test.values()), list(test), columns=4, side=2.6,
          caption="The test set: eight pictures, A to H.")
plt.show()

# %%
seen = {...}  # three letters, such as {"X", "Y", "Z"}
### BEGIN SOLUTION
seen = {"A", "B", "E"}  # A is darker here, B just the same, E mirrored
### END SOLUTION

check("ex00.leak", seen)

# %% [markdown]
# ## Where next
# All four solved? Then you know what a mask is, how to read an error map, what a score hides, and
# what a test is worth. Lesson 01 looks closer at masks: how they are stored, and how they are
# spoilt without a word.
