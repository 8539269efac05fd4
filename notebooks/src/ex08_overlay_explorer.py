# %% [markdown]
# # Exercises 08: the overlay explorer
#
# Four exercises on lesson 08. As before: write what is missing, run the cell, read what `check`
# found, and ask `hint("ex08.overlay")` when you are stuck. Nothing here needs a GPU.
#
# | exercise | level | points | minutes (an estimate) |
# |---|---|---|---|
# | 1 An overlay by hand | warm-up | 2 | 12 |
# | 2 A slider in per cent, both ways | core | 3 | 20 |
# | 3 Whose errors are borders? | core | 3 | 20 |
# | 4 Find the planted faults | stretch | 3 | 20 |
#
# Pictures and masks are NumPy arrays.

# %%
import matplotlib.pyplot as plt
import numpy as np

from segutils import predict, show, zoo
from segutils.datasets import DATA
from segutils.exercises import check, hint  # noqa: F401  (hint is there for you)
from segutils.exercises.ex08 import labelled_by_somebody
from segutils.explorer import Explorer
from segutils.street import draw, scene_seed

show.use_style()
scene = draw(scene_seed(9, 3), 128, "plain")
print(scene.image.shape, scene.mask.shape, np.unique(scene.mask).tolist())

# %% [markdown]
# ## 1. An overlay by hand
# *warm-up, 2 points, about 12 minutes (an estimate)*
#
# **Aim**: paint chosen classes of a mask over a picture, and leave the rest untouched
#
# Paint the ids that are `shown`, and nothing else: a share `alpha` of the colour, the rest of the
# picture. Background is id 0 and void is id 255, and both are ids like all others: each is painted
# if it is among those shown, and left alone if not. How you round does not matter.
#
# This is what it should draw of one scene. Why has the car no colour in the third picture?

# %%
drawn = [show.overlay(scene.image, np.where(np.isin(scene.mask, ids), scene.mask, 0))
         for ids in ([], [1, 2, 255], [1])]
show.grid(drawn, ["nothing shown", "shown {1, 2, 255}", "shown {1}"], legend=show.class_legend(),
          caption="Whatever is not shown keeps the colours of the picture.")
plt.show()


# %%
def overlay(image, mask, palette, alpha, shown):
    """Blend the colours of the ids that are shown into the image.

    image: (H, W, 3) uint8 RGB; mask: (H, W) uint8; palette: (256, 3) uint8, a colour for each id
    alpha: 0 … 1, the share of the colour; shown: a set of ids
    returns: (H, W, 3) uint8
    """
    ### BEGIN SOLUTION
    weight = alpha * np.isin(mask, list(shown))[..., None]  # (H, W, 1)
    mixed = (1 - weight) * image + weight * palette[mask]  # floats: nothing can overflow
    return np.rint(mixed).astype(np.uint8)
    ### END SOLUTION


check("ex08.overlay", overlay)

# %% [markdown]
# ## 2. A slider in per cent, both ways
# *core, 3 points, about 20 minutes (an estimate)*
#
# **Aim**: link two widgets both ways with a conversion, and end the link cleanly
#
# A colleague wants the threshold in per cent, on a slider of whole numbers. `jslink` cannot
# compute, so Python has to. Link `slider.value` (0 … 100) and `explorer.threshold` (0 … 1):
#
# - At once the slider shows the explorer's threshold, rounded to a whole per cent.
# - Moving the slider sets the threshold; moving the threshold sets the slider.
# - A threshold that was set to 0.333 **stays** 0.333. The slider shows 33.
# - What you return is a function without arguments that ends the link. Other people's observers
#   stay where they are.
#
# `check` moves both sides in turn. Nothing needs a browser.


# %%
def link(slider, explorer):
    """Keep the slider at the threshold in per cent, both ways.

    slider: has a trait `value`, a whole number 0 … 100
    explorer: has a trait `threshold`, a float 0 … 1
    returns: a function that ends the link
    """
    ### BEGIN SOLUTION
    def percent():
        return round(100 * explorer.threshold)

    def slider_moved(change):
        if slider.value != percent():  # else it only followed
            explorer.threshold = slider.value / 100

    def threshold_moved(change):
        slider.value = percent()

    def end():
        slider.unobserve(slider_moved, "value")
        explorer.unobserve(threshold_moved, "threshold")

    threshold_moved(None)
    slider.observe(slider_moved, "value")
    explorer.observe(threshold_moved, "threshold")
    return end
    ### END SOLUTION


check("ex08.link", link)

# %% [markdown]
# ## 3. Whose errors are borders?
# *core, 3 points, about 20 minutes (an estimate)*
#
# **Aim**: measure for each class which share of its errors lies near a border
#
# "93 % of the errors lie at a border" is a number over all classes, and so mostly about the
# largest. Ask for each class by itself: of all its pixels that were got wrong (by their *true*
# class), which share lies near a border?
#
# - A **border** pixel has a neighbour (left, right, above, below) with another id in the *truth*.
#   Void counts as an id here, and both pixels of such a pair are border.
# - **Near** means at most `reach` rows and at most `reach` columns away from a border pixel.
# - Void is never wrong. A class without a wrong pixel has no share: NaN.

# %%
pred = np.roll(scene.mask, 3, axis=1)
pred[pred == 255] = 0
pred[40:55, 10:25] = 1  # and a false alarm, far from everything
show.grid([show.overlay(scene.image, pred), show.error_map(pred, scene.mask)],
          ["a prediction", "its errors"], side=3, legend=show.error_legend(),
          caption="Rims on the things, and one blot on a house. Whose is the blot?")
plt.show()


# %%
def border_share(pred, truth, classes, reach):
    """Of each class the share of its wrong pixels that lie near a border.

    pred, truth: (H, W) uint8 ids, 255 in truth for void; reach: 0, 1, 2, …
    returns: (classes,) float, NaN for a class without wrong pixels
    """
    ### BEGIN SOLUTION
    height, width = truth.shape
    edge = np.zeros(truth.shape, bool)
    edge[1:] |= truth[1:] != truth[:-1]
    edge[:-1] |= truth[1:] != truth[:-1]
    edge[:, 1:] |= truth[:, 1:] != truth[:, :-1]
    edge[:, :-1] |= truth[:, 1:] != truth[:, :-1]
    near = np.zeros(truth.shape, bool)
    for y, x in np.argwhere(edge):
        near[max(y - reach, 0): y + reach + 1, max(x - reach, 0): x + reach + 1] = True
    wrong = (pred != truth) & (truth != 255)
    shares = np.full(classes, np.nan)
    for c in range(classes):
        mine = wrong & (truth == c)
        if mine.any():
            shares[c] = near[mine].mean()
    return shares
    ### END SOLUTION


check("ex08.borders", border_share)

# %% [markdown]
# ## 4. Find the planted faults
# *stretch, 3 points, about 20 minutes (an estimate)*
#
# **Aim**: find wrong labels with a model's disagreements, and judge by the picture
#
# Sixteen street scenes came back from labelling. **Four masks are wrong**, each in another way:
#
# | fault | what is meant |
# |---|---|
# | `shifted` | the whole mask sits a few pixels beside its picture |
# | `swapped` | persons are called cars, and cars persons |
# | `forgotten` | one thing, all of it, has no label |
# | `other picture` | the mask belongs to another picture |
#
# You have an explorer, and the U-Net of the course, which has never seen these labels. Where it
# disagrees with a label, one of the two is wrong; which, you can see only in the picture. Be
# careful: in one of the larger disagreements it is the model that is wrong.

# %%
images, labels = labelled_by_somebody()
net = zoo.load(DATA / "weights" / "unet_street.safetensors")


def said(image):
    found = predict.predict(net, image)
    return {"ids": found.ids, "probabilities": found.probabilities}


numbers = [f"number {k}" for k in range(16)]
explorer = Explorer(images, labels, {"U-Net": [said(image) for image in images]}, names=numbers)
explorer

# %% [markdown]
# *Without widgets:* the sheet below shows all sixteen, 0 to 7 in the upper row and 8 to 15 in the
# lower one. The explorer shows more.

# %%
sheet = [show.overlay(image, mask) for image, mask in zip(images, labels, strict=True)]
show.grid([show.contact_sheet(sheet, columns=8)], columns=1, side=11, legend=show.class_legend(),
          caption="Sixteen masks, as they came. Does each colour sit on its thing?")
plt.show()

# %%
found = {...: ...}  # the number of a picture: its fault, four times
### BEGIN SOLUTION
found = {
    3: "swapped",  # the error layer is all in one colour
    7: "other picture",  # a person where none is
    11: "shifted",  # outlines to the right of everything
    12: "forgotten",  # the child at the left; number 5 is the model's own
}
### END SOLUTION

check("ex08.planted", found)

# %% [markdown]
# ## Where next
# All four solved? Then export a page with your own model's predictions (`explorer.to_html`), and
# hand it to somebody who has never seen your data. What they ask first is what to look at next.
