# %% [markdown]
# # 08 · The overlay explorer
#
# A score says *how much* a model gets wrong. It does not say what, nor why, nor what to do about
# it. For that you have to look, at many pictures and from many sides, and looking has its own
# traps: a picture can lie as well as a number.
#
# This lesson builds an overlay from its arithmetic up, puts sliders on it, and ends with a tool
# that shows several models side by side. With it we take a tour through what they get wrong.
#
# After this lesson you can
#
# - blend, scale, outline and colour an overlay by hand, and name the ways in which one lies
# - write a callback that can be tested without a browser
# - say why `interact` is slow, in bytes
# - look with the explorer: errors, thresholds, confidence, worst first, single pixels
# - link a slider of your own to it, and have Python follow where you look
# - sort failures into kinds (borders, small things, hidden things, blind spots), with numbers
#
# **Minutes**: under 1 to run on two CPU cores · GPU: not needed. **Builds on**: lessons 01 (masks,
# colours), 04 (IoU) and 06 (the models). A good place for a break is before section 10.

#
# We look at the **validation** pictures of the full difficulty, not at the test set. Whoever looks
# at failures will change something because of them, and what you have changed things for is no
# test any more.

# %%
import base64
import csv
import html
import io
import json
import tempfile
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import cv2
import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import display
from PIL import Image
from torch.nn import functional as F

from segutils import explorer as ex
from segutils import masks, metrics, predict, show, zoo
from segutils.datasets import DATA, Street
from segutils.exercises.ex01 import distances, simulate
from segutils.explorer import Explorer, State

show.use_style()
val = Street("val", "full", instances=True)
images, truth, instances = zip(*(val[k] for k in range(len(val))), strict=True)
number = {stem: k for k, stem in enumerate(val.stems)}        # "0874" -> its place, 0 … 149
# A part of one: image (80, 112, 3) uint8, mask and objects (80, 112).
image, mask, objects = (part[number["0874"]][32:112, 16:] for part in (images, truth, instances))


def png(picture):
    """A PNG of 255 colours, hardly to be told from the picture: a third of its bytes."""
    file = io.BytesIO()
    picture.convert("RGB").quantize(255, Image.Quantize.MAXCOVERAGE, kmeans=1).save(file, "PNG")
    return file.getvalue()


def see(pictures, titles, caption, legend=None, **more):
    """Pictures side by side, with a caption and the legend of the classes, or another."""
    legend, file = show.class_legend() if legend is None else legend, io.BytesIO()
    show.grid(pictures, titles, caption=caption, legend=legend, **more).savefig(file)
    plt.close()
    display({"image/png": png(Image.open(file))}, raw=True)

# %% [markdown]
# ## 1 Two colours in one pixel
#
# An overlay mixes two colours in each pixel: a share α of the class's colour, and 1 − α of the
# picture. Half and half is the mean of two numbers.
#
# **Before you run it**: a pale wall of (230, 225, 215), and orange paint of (230, 159, 0). Both are
# arrays of `uint8`, as every picture is. What does `(wall + orange) // 2` give?

# %%
wall, orange = np.array([230, 225, 215], np.uint8), masks.PALETTE[1]
print("in 8 bits:     ", (wall + orange) // 2)
print("in wider ones: ", (wall.astype(int) + orange) // 2)
assert ((wall + orange) // 2)[0] == (230 + 230 - 256) // 2, "the sum began again at 0"

# %% [markdown]
# 230 + 230 does not fit into eight bits, so the sum begins again at 0: pale plus orange gives a
# dark violet. There is no warning. On dark streets it never happens; on a bright day it does:

# %%
sums = {"added in 8 bits": image + masks.PALETTE[mask],
        "added in wider numbers": image.astype(int) + masks.PALETTE[mask]}
wrapped, mean = (np.where((mask > 0)[..., None], each // 2, image).astype(np.uint8)
                 for each in sums.values())
see([wrapped, mean], list(sums), "Where picture and paint are both bright, the sum wraps.", side=3)
off = np.abs(wrapped.astype(int) - mean).max(axis=2)[mask > 0]
print(f"painted pixels that are off by over 20 steps of 255: {(off > 20).mean():.0%}")
assert (off > 20).mean() > 0.2, "this picture is bright: it should show the damage"

# %% [markdown]
# So: widen first. We stay with whole numbers, because they give the same result on every machine
# and in every language. Ours will be compared with JavaScript in a moment. A **weight** of 65536
# (2¹⁶) stands for "paint alone", and dividing by it is a shift of 16 bits.
#
# Each id has a colour *and* a weight of its own. `trust` is for section 14.

# %% tags=["defines"]
import numpy as np


def blend(image, codes, colours, weights, trust=None):
    """Mix paint into an image (H, W, 3) uint8, in whole numbers.

    codes (H, W) say which colour (256, 3) and which weight (256,) a pixel gets; a weight of 65536
    is opaque. trust (H, W) uint8 thins each pixel's weight: 255 leaves it, 0 takes it all.
    """
    weight = weights[codes].astype(np.int64)                             # (H, W)
    if trust is not None:
        weight = weight * trust // 255
    weight = weight[..., None]                                           # (H, W, 1)
    mixed = image.astype(np.int64) * (65536 - weight) + colours[codes].astype(np.int64) * weight
    return ((mixed + 32768) >> 16).astype(np.uint8)                      # + a half: rounded


def weigh(alpha, shown=(1, 2, 255)):
    """The weight of each id, (256,): alpha for those that are shown, 0 for all others."""
    weights = np.zeros(256, np.int64)
    weights[list(shown)] = int(np.floor(alpha * 65536 + 0.5))
    return weights

# %% [markdown]
# With these two an overlay is one line. It agrees with the package's, which lets OpenCV do the
# work, to within one step of 255: the two round halves differently.

# %%
def overlay(image, mask, alpha=0.5, shown=(1, 2, 255)):
    return blend(image, mask, masks.PALETTE, weigh(alpha, shown))


for alpha in (0, 0.25, 0.5, 1):
    theirs = show.overlay(image, mask, alpha).astype(int)
    assert np.abs(overlay(image, mask, alpha) - theirs).max() <= 1, "more than rounding"
assert np.array_equal(overlay(image, mask, 0), image), "no paint, no change"
assert np.array_equal(overlay(image, mask)[mask == 0], image[mask == 0]), "background stays"

# %% [markdown]
# ## 2 Paint on everything
#
# Background is id 0, and in most palettes 0 is black. **Before you run it**: what happens to the
# street if background gets the same weight as all others?

# %%
everything = blend(image, mask, masks.PALETTE, weigh(0.5, range(256)))
see([overlay(image, mask), everything], ["background: weight 0", "background: weight 0.5"],
    "On the right the street is painted too: half of it in black.", side=3)
kept = everything[mask == 0].mean() / image[mask == 0].mean()
print(f"brightness of the background that is left: {kept:.0%}")
assert abs(kept - 0.5) < 0.01

# %% [markdown]
# Half of the light is gone, and with it half of the contrast in which you would have seen what the
# model missed. Weight 0 for background is the cure. It also is how a class is switched off: a
# legend with buttons is nothing but a table of weights.
#
# ## 3 The legend that says the opposite
#
# OpenCV writes blue, green, red. If you hand it an overlay in RGB, it stores the channels the wrong
# way round. **Before you run it**: orange is person, blue is car. Which colours will they have?

# %%
folder = Path(tempfile.mkdtemp())
cv2.imwrite(str(folder / "overlay.png"), overlay(image, mask, 1.0))       # takes it for BGR
swapped = np.array(Image.open(folder / "overlay.png"))
see([overlay(image, mask, 1.0), swapped], ["what was meant", "what the file shows"],
    "Persons in blue, cars in orange: the legend is turned round.", side=3)
legend = masks.PALETTE[[1, 2]].astype(int)                    # the colours of person and of car
nearest = np.abs(swapped[:, :, None] - legend).sum(axis=3).argmin(axis=2) + 1      # (H, W): 1 or 2
print(f"read by the legend: {(nearest[mask == 1] == 2).mean():.0%} of the person pixels as car, "
      f"{(nearest[mask == 2] == 1).mean():.0%} of the car pixels as person")

# %% [markdown]
# A network would not mind, but *you* now read every person as a car. The picture itself gives it
# away: whoever has seen the van knows that it is white, not sand.
#
# Lesson 01 had the cure, a 3×3 matrix for each pixel; or `[..., ::-1]` before writing. Now a
# nastier case: the image came in as BGR and the palette is RGB, so that only the *picture* is
# wrong. **Before you run it**: does the matrix mend that one, too?

# %%
matrix, half = masks.color_matrix("BGR", "RGB"), overlay(image[..., ::-1], mask)
assert np.array_equal(masks.apply_color_matrix(swapped, matrix), overlay(image, mask, 1.0))
after, meant = masks.apply_color_matrix(half, matrix), overlay(image, mask)
see([half, after, meant], ["picture BGR, paint RGB", "a matrix, after", "mended before"],
    "In the middle the street is right, and the paint is wrong.")
off = np.abs(after.astype(int) - meant).max(axis=2) > 20
print(f"wrong in the middle: {off[mask == 0].mean():.0%} of the background, "
      f"{off[mask == 1].mean():.0%} of the persons")

# %% [markdown]
# One matrix cannot mend two mistakes at once. Bring everything into RGB where it enters, and
# nowhere else.
#
# ## 4 Colours that not everyone tells apart
#
# About one man in twelve sees fewer differences between red and green than you may do. Pascal VOC's
# well-known palette paints class 1 in dark red and class 2 in dark green. We show it and ours as
# a reader without green cones sees them, and measure how far apart the two classes lie (CIE 1976:
# about 2 is just seen side by side, 100 is black from white).

# %%
blind, pictures = "deuteranopia (no green cones)", []
for name in ("voc", "okabe-ito"):
    colours = ex.palette_of(name)                                         # (256, 3)
    drawn = blend(image, mask, colours, weigh(0.8))
    pictures += [drawn, simulate(drawn, blind)]
    apart = [distances(colours[[1, 2]], vision)[0, 1] for vision in ("full colour vision", blind)]
    print(f"{name:9}: {apart[0]:.0f} apart, without green cones {apart[1]:.0f}")
see(pictures, ["VOC", "VOC, no green cones", "ours", "ours, no green cones"],
    "Red and green become two browns; orange and blue stay orange and blue.", ())

# %% [markdown]
# Okabe and Ito chose their colours so that they differ in lightness as well. And do not let colour
# be the only sign: outlines, names and numbers read the same for everybody.
#
# ## 5 Larger on the screen
#
# A picture of 112 pixels fills 336 on the screen. The *picture* may be smoothed. **Before you run
# it**: what lies between a car (2) and the street (0), if ids are smoothed as well?

# %%
ids = (objects // 1000).astype(np.uint8)                      # (80, 112), the ids without void
large = cv2.resize(image, None, fx=3, fy=3)                   # (240, 336, 3)
smooth = cv2.resize(ids, None, fx=3, fy=3, interpolation=cv2.INTER_LINEAR)
blocks = cv2.resize(ids, None, fx=3, fy=3, interpolation=cv2.INTER_NEAREST)
see([overlay(large, smooth, 0.7), overlay(large, blocks, 0.7)], ["ids smoothed", "nearest id"],
    "On the left every car wears a seam of person.", side=4)
print(f"person pixels on the left that are none: {(blocks[smooth == 1] != 1).mean():.0%}")
assert (blocks[smooth == 1] != 1).mean() > 0.2 and set(np.unique(blocks)) == {0, 1, 2}

# %% [markdown]
# So ids take the **nearest** pixel. Which one is that? Screen pixel *i* of *n* has its middle at
# (i + ½) / n of the way, and shows the picture pixel in which that point lies. With a zoom only a
# part of the picture is on the screen, `span` pixels of it, around a centre.

# %% tags=["defines"]
def axis(size, shown, zoom=1.0, centre=0.5):
    """Which of `size` picture pixels each of `shown` screen pixels shows, along one axis.

    zoom 1 shows all of it; centre, 0..1, is the middle of what is seen, kept inside.
    """
    span = size / zoom
    start = min(max(centre * size - span / 2, 0), size - span)
    at = np.floor(start + (np.arange(shown) + 0.5) * span / shown).astype(int)
    return np.minimum(at, size - 1)

# %% [markdown]
# By pencil: four picture pixels on eight of the screen, then at zoom 2 around the middle, then with
# the centre at the left edge. Write the three rows down before you run the cell.

# %%
for zoom, centre in ((1, 0.5), (2, 0.5), (2, 0.0)):
    print(f"zoom {zoom}, centre {centre}:", axis(4, 8, zoom, centre))
    assert np.array_equal(axis(4, 8, zoom, centre), ex.axis(4, 8, zoom, centre)), "the package's"
rows, columns = axis(80, 240), axis(112, 336)
assert np.array_equal(ids[np.ix_(rows, columns)], blocks), "at zoom 1 it is nearest"

# %% [markdown]
# The same rule, read backwards, tells which pixel lies under the mouse. If the two disagree by half
# a pixel, a click reads the neighbour.
#
# ## 6 Fill, or outline?
#
# Paint hides what it names. At α = 0.5 half of the contrast inside an object is gone, just where
# you want to see whether the label is right. An **outline** leaves the inside free. A pixel belongs
# to it if another id lies within `line` pixels, straight to a side.

# %% tags=["defines"]
BARE = 254                     # the code of a pixel that stays unpainted


def outline(codes, line=2):
    """Keep the codes (H, W) within `line` pixels, straight, of another code; the rest is BARE."""
    edge = np.zeros(codes.shape, bool)
    for far in range(1, line + 1):
        for a, b in ((codes, edge), (codes.T, edge.T)):       # down, and then across
            differs = a[far:] != a[:-far]
            b[far:] |= differs
            b[:-far] |= differs
    return np.where(edge, codes, BARE).astype(np.uint8)

# %% [markdown]
# But here is the catch: a line has a width, and our people are small. **Before you run it**: drawn
# at the picture's own size, how much of the people does a line of two pixels cover?

# %%
screen = np.ix_(axis(80, 320), axis(112, 448))                # four screen pixels to each side
early, late = outline(mask)[screen], outline(mask[screen])    # before enlarging, and after
drawn = [overlay(image[screen], codes, 0.9) for codes in (mask[screen], early, late)]
see([d[:180, 180:360] for d in drawn], ["fill", "outline, enlarged", "enlarged, outline"],
    "Right: a line of two screen pixels leaves the people to be seen.", side=3.2)
for name, codes in {"outline, enlarged": early, "enlarged, outline": late}.items():
    print(f"{name}: covers {(codes == 1).sum() / (mask[screen] == 1).sum():.0%} of the people")
assert np.array_equal(outline(mask, 2), ex.outline(mask, 2)), "ours equals the package's"

# %% [markdown]
# So an overlay is drawn at the resolution of the *screen*, not of the picture. That is why the
# explorer blends in the browser, which alone knows how large the screen is.
#
# ## 7 From a state to a picture
#
# Now we want to *move* things: opacity, zoom, classes on and off. What is shown then depends on a
# **state**. Many first attempts keep the state in the picture itself:

# %%
canvas = image.copy()


def paint_on(alpha):                         # paints on what is there
    canvas[:] = overlay(canvas, mask, alpha)
    return canvas.copy()


see([paint_on(alpha) for alpha in (0.5, 0.2, 0.0)], ["slider at 0.5", "then at 0.2", "and at 0"],
    "The slider is at 0, and the paint is still there.")
left = (np.abs(canvas.astype(int) - image).max(axis=2) > 5)[mask > 0].mean()
print(f"painted pixels that do not come back at 0: {left:.0%}")

# %% [markdown]
# What you see depends on how you got there, and you can no longer say what the picture shows. The
# cure is a **pure function**: state in, picture out, nothing remembered, nothing changed. Ours
# takes the state as one frozen object.

# %% tags=["defines"]
from dataclasses import dataclass

from segutils.masks import PALETTE


@dataclass(frozen=True)
class Look:
    alpha: float = 0.5
    fill: bool = True
    shown: tuple = (1, 2, 255)
    zoom: float = 1.0
    centre: tuple = (0.5, 0.5)               # (x, y), 0..1


def draw(image, ids, look, size):
    """The overlay in that state on a screen of `size` (height, width): (h, w, 3) uint8."""
    (height, width), (x, y) = ids.shape, look.centre
    at = np.ix_(axis(height, size[0], look.zoom, y), axis(width, size[1], look.zoom, x))
    codes = ids[at] if look.fill else outline(ids[at])
    return blend(image[at], codes, PALETTE, weigh(look.alpha, look.shown))

# %% [markdown]
# A function like this is tested as any other, in milliseconds and without a browser. What would you
# test? Here are four: the ends of a slider, a switch, the way back, and somebody else's opinion.
# The last is the package's `panel`, which draws what the explorer shows.

# %%
bare, there, back = (draw(image, mask, Look(alpha=a), (80, 112)) for a in (0, 0.5, 0))
off = draw(image, mask, Look(shown=()), (80, 112))
assert np.array_equal(bare, image) and np.array_equal(off, image), "no paint: the picture"
assert np.array_equal(bare, back) and not np.array_equal(bare, there), "the state alone decides"
for look in (Look(), Look(alpha=0.9, fill=False), Look(zoom=2.5, centre=(0.7, 0.6), shown=(1,))):
    panel = ex.panel(ex.Picture(image, mask, {}), "truth", State(**vars(look)), size=(160, 224))
    assert np.array_equal(draw(image, mask, look, (160, 224)), panel), "somebody else's opinion"
print("four tests passed, no browser needed")

# %% [markdown]
# ## 8 A slider: `interact`
#
# `ipywidgets.interact(f, alpha=(0, 1, 0.1))` makes a slider from that tuple, and calls `f` whenever
# it moves. What `f` shows appears below. We take its quiet twin, `interactive`, which does the same
# but leaves the showing to us. For widgets only run where Python does: on GitHub, in a preview or
# on paper there is nothing to slide. So we send a **picture of the state** along, which such pages
# show instead. Jupyter lets everything shown say itself in several forms, and takes the best it
# can.

# %% tags=["nbval-ignore-output"]
def with_picture(widget, picture):
    """Show a widget; pages where widgets do not run show the picture, (H, W, 3) uint8."""
    forms = widget._repr_mimebundle_() | {"image/png": png(Image.fromarray(picture))}
    display(forms | {"text/plain": f"{type(widget).__name__} and a picture"}, raw=True)


def look_at(alpha=0.5, zoom=1.0, fill=True):
    """What a slider's move shows, by matplotlib."""
    plt.figure(figsize=(5, 3.6))
    plt.imshow(draw(image, mask, Look(alpha, fill, zoom=zoom, centre=(0.7, 0.4)), (480, 672)))
    plt.axis("off")
    plt.show()


sliders = ipywidgets.interactive(look_at, alpha=(0, 1, 0.05), zoom=(1, 4, 0.5), fill=True)

# %% [markdown]
# Move the sliders, with the mouse or with the arrow keys. Hold an arrow key down: does the picture
# keep up with you?

# %%
with_picture(sliders, np.hstack([draw(image, mask, Look(alpha), (160, 224))
                                 for alpha in (0.1, 0.5, 0.9)]))
assert sliders.result is None and set(sliders.kwargs) == {"alpha", "zoom", "fill"}

# %% [markdown]
# *Without widgets you see three places of the slider: 0.1, 0.5 and 0.9.*
#
# It lags. Each step goes a long way: the browser tells Python about the slider, Python blends,
# matplotlib lays out a figure and packs it as PNG, the PNG travels back as text, and the browser
# unpacks it. **Before you run it**: the slider's message holds one number. How many times as much
# comes back?

# %%
def figure_bytes(alpha):
    file, figure = io.BytesIO(), plt.figure(figsize=(5, 3.6))
    plt.imshow(draw(image, mask, Look(alpha), (480, 672)))
    figure.savefig(file, format="png")
    plt.close(figure)
    return base64.b64encode(file.getvalue())


state, figure = json.dumps({"alpha": 0.55}), figure_bytes(0.55)
print(state, "and a figure over 1,000 times as long:", len(figure) > 1000 * len(state))

# %% [markdown]
# So send the *parts* once (picture, ids, probabilities, a byte a pixel), and do the blending where
# the slider is: in the browser. Then a step sends one number, and that only so that Python knows.
# It is the same `blend`, in JavaScript; a test compares the two pixel by pixel. Your own machine's
# times for this way and two others: `python benchmarks/explorer.py`.
#
# One more trap of callbacks: an error inside one does **not** stop the notebook. It ends up in the
# widget's own output, if anywhere, and "run all" goes on to the end. Another reason for pure
# functions with tests.
#
# ## 9 A log of moves
#
# Every value of a widget is a **trait**: an attribute that others can *observe*. `interact` does
# nothing else. You can, too, with any function that takes a change.
#
# **Before you run it**: this cell registers its observer, and then you run the cell again, as one
# does. How many lines will one move write?

# %%
slider, log = ipywidgets.FloatSlider(0.5, min=0, max=1), []
for run in (1, 2):                                            # the cell is run twice
    slider.observe(lambda change: log.append(change["new"]), "value")
slider.value = 0.7
print("one move, written", len(log), "times")
slider.unobserve_all("value")                                 # the cure: clear, then observe
slider.observe(lambda change: log.append(change["new"]), "value")
slider.value = 0.2
assert log == [0.7, 0.7, 0.2], "twice before, once after"

# %% [markdown]
# The old observer is still registered: the slider knows the function, not its name. Whoever counts,
# saves or steps in an observer counts, saves or steps twice.
#
# ## 10 Models to look into
#
# Now for something worth looking at. The course ships trained weights in `data/weights`; this cell
# loads all that are there. What they predict is computed once, here.

# %%
names = {"unet": "U-Net", "fcn": "FCN", "deeplab": "DeepLab", "maskrcnn": "Mask R-CNN"}
files = {name: DATA / "weights" / f"{stem}_street.safetensors" for stem, name in names.items()}
models = {name: zoo.load(file) for name, file in files.items() if file.exists()}


def ask(model, image):                       # what a model says, as the explorer takes it
    found = predict.predict(model, image)
    if isinstance(model, zoo.MaskRCNN):
        return {"instances": found.instances}                 # the explorer cuts them by score
    return {"ids": found.ids, "probabilities": found.probabilities}

# %% [markdown]
# A comparison needs somebody to compare with. Here is a weaker one that costs nothing: the same
# U-Net, which gets every picture at **half its size**, and whose logits we enlarge again (logits,
# not ids: lesson 04). It is shown the same streets, with a quarter of the pixels.
#
# **Before you run it**: what will it lose, persons or cars?

# %%
@torch.inference_mode()
def at_half_size(image):
    small = F.interpolate(predict.as_batch(image), scale_factor=0.5, mode="area")  # (1, 3, 64, 64)
    logits = F.interpolate(models["U-Net"](small), image.shape[:2], mode="bilinear")
    return {"probabilities": logits[0].softmax(dim=0)}                             # (C, H, W)


predictions = {name: [ask(model, image) for image in images] for name, model in models.items()}
predictions["half size"] = [at_half_size(image) for image in images]
explorer = Explorer(images, truth, predictions, names=val.stems, picture=number["0903"])
for name in ("U-Net", "half size"):
    print(f"{name:9} IoU of person {explorer.iou()[name][1]:.2f}, of car "
          f"{explorer.iou()[name][2]:.2f}")
assert all(explorer.iou()["U-Net"] > explorer.iou()["half size"]), "fewer pixels, worse"

# %% [markdown]
# Both, and persons most: a thin leg is two pixels wide, and then one.
#
# ## 11 The explorer
#
# Here it is. Take your time; everything can be done by mouse and by keyboard, and *?* shows the
# keys.

# %%
explorer

# %% [markdown]
# *(Without widgets: truth, and what each model paints. Every stop below has such a picture.)*
#
# Seven things to try, in this order:
#
# 1. **Opacity** down to 0 and up to 100 %. What did you overlook in the dark?
# 2. **Wipe**: drag the white line. Left of it is the truth.
# 3. **Errors**: click, or press `l`. Which are rims, and which are whole things?
# 4. **Outline** (`o`) and zoom (`+`, or Ctrl and the wheel): is the label right, at its border?
# 5. Point at a pixel: the table below shows what each model thought. `Enter` or a click keeps it.
# 6. **Worst person first**, above the strip of pictures. Step through them with `n`.
# 7. **Threshold**, to the right: which objects vanish first? Watch the curve.
#
# *A tip for the rest of the lesson:* right-click the explorer, choose **Create New View for Cell
# Output**, and drag the new tab to the side. It will follow as you go on, because …
#
# ## 12 … its state is traits
#
# Whatever you can move is an attribute: `explorer.alpha`, `.layer`, `.picture`, `.threshold`,
# `.zoom`. You can set it from Python and the widget follows, or move the widget and read it here.
# `explorer.state` gathers what is drawn in one frozen object, and `explorer.draw()` is the pure
# function again: the panels as arrays, in this state or with some changes.
#
# With that we can write down *where we are*. A stop of our tour is a picture and a few traits. The
# first: a crowd at night, in front of a car.

# %%
tour = []


def visit(stem, caption, **changes):
    """Set the explorer's traits (all others to what they were first), and picture that state."""
    tour.append((stem, changes))
    with explorer.hold_sync():                                # one message for all of them
        for name, value in {**asdict(State()), **changes, "picture": number[stem]}.items():
            setattr(explorer, name, value)
    drawn = explorer.draw(size=(256, 256))
    legend = show.error_legend()[1:] if explorer.layer == "errors" else None
    see(list(drawn.values()), list(drawn), caption, legend, columns=len(drawn),
        side=min(2.8, 12 / len(drawn)))
    return drawn

# %%
crowd = dict(zoom=1.6, centre=(0.45, 0.65))
panels = visit("0903", "At a glance all is well: crowd and car are found.", **crowd)
errors = visit("0903", "The same, as errors: legs, rims, and the car between the people.",
               layer="errors", alpha=0.9, **crowd)
assert explorer.layer == "errors" and explorer.picture == number["0903"]
assert len(tour) == 2 and {*panels} == {*errors} == {"truth", *predictions}

# %% [markdown]
# Look from the first row to the second and back. Overlays of a good model look alike; **errors**
# are where they differ. They are painted as in every lesson: orange is missed, light blue is a
# false alarm, pink is one object class for the other.
#
# ## 13 How sure must it be?
#
# A model gives each pixel a probability. With a **threshold**, whatever is less sure becomes
# background. **Before you run it**: there are three classes. Up to which threshold can nothing at
# all change?

# %%
known = [explorer.look(k).models for k in range(len(images))]     # of each picture: name -> Held
right = np.stack(truth)                                           # (N, H, W)


def ids_of(name, cut=0.0, score=0.5):
    """What a model says of all pictures after its cut: (N, H, W) uint8."""
    state = State(threshold=cut, score=score)
    return np.stack([ex.decide(held[name], state) for held in known])


cuts = np.linspace(0, 1, 11)
curves = {name: np.array([metrics.iou(ids_of(name, t, t), right, 3)[1:].numpy() for t in cuts])
          for name in predictions}                                # of each: (11, 2)
flat = curves["U-Net"][cuts < 1 / 3]
assert (flat == flat[0]).all(), "the greatest of three probabilities is never below a third"

# %%
fig, axes = plt.subplots(1, 2, figsize=(9, 2.8), sharey=True)
for c, ax in enumerate(axes):
    for name, scores in curves.items():
        ax.plot(cuts, scores[:, c], label=name)
    ax.set(title=("person", "car")[c], xlabel="threshold, or score of an instance", ylim=(0, 1))
axes[1].legend(fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
show.below(fig, "Validation IoU: that of the U-Net is flat for a long way, then falls.")
plt.show()
explorer.threshold = 0.7
assert np.allclose(explorer.iou()["U-Net"][1:], curves["U-Net"][7]), "the explorer says the same"

# %% [markdown]
# Up to a third nothing can change: of three numbers that sum to 1 the greatest is at least ⅓. Then
# little changes for a long way. A threshold only ever takes objects away: false alarms, which is
# good, and with them the things that the model had found but was unsure of. For the U-Net hardly
# any threshold helps. If your model needs one, find out why. (With instances it is another matter:
# they come with a score, and somebody has to say which of them count.)
#
# ## 14 Fading what is unsure
#
# Confidence can be *seen*: let each pixel's paint be as strong as the model is sure. In `blend`
# this is one line, `weight * trust // 255`. **Before you run it**: will the errors fade?

# %%
faded = visit("0903", "Painted as strong as the model is sure: what is bright is sure, and wrong.",
              layer="errors", confidence=True, alpha=1, **crowd)
said = ids_of("U-Net")
trust = np.stack([held["U-Net"].trust for held in known]) / 255   # (N, H, W), 0..1
wrong, hits = (said != right) & (right != 255), (said == right) & (said > 0)
print(f"mean trust of right object pixels {trust[hits].mean():.0%}, of wrong ones "
      f"{trust[wrong].mean():.0%}; over 95 % sure: {10 * (trust[wrong] > 0.95).mean():.0f} in 10")
assert trust[hits].mean() > trust[wrong].mean() + 0.1 and (trust[wrong] > 0.95).mean() > 0.1

# %% [markdown]
# Most do, a little: where the model is wrong it is less sure. But nearly a third of its wrong
# pixels look as sure as the right ones. Transparency shows *doubt*, and the errors that matter most
# are those without any.
#
# ## 15 Worst first
#
# 150 pictures are too many to look at. So sort them: `worst` is a class, and pictures come by its
# IoU, the lowest first. **Before you run it**: what do you expect the worst pictures of *person* to
# show?

# %%
def six(order, caption):                     # the U-Net's errors of person in six pictures
    look = asdict(State(layer="errors", alpha=0.9, shown=(1, 255)))
    drawn = [explorer.draw(k, **look)["U-Net"] for k in order]
    see(drawn, [val.stems[k] for k in order], caption, show.error_legend()[1:], columns=6, side=1.7)


explorer.worst, explorer.judge, explorer.threshold = 1, "U-Net", 0.0
first = explorer.order()[:12]
six(first[:6], "The lowest IoUs of person: can you find the errors?")
print(sum((truth[k] != 1).all() for k in first), "of the first twelve show no person at all")

# %% [markdown]
# Hardly anything! IoU is a *share*. One false pixel in a street without people has an IoU of 0, as
# bad as losing a whole crowd. Sorted by IoU, the list begins with trifles. So sort by **damage**:
# the number of pixels of the class that are missed or made up.

# %%
damage = (((said == 1) != (right == 1)) & (right != 255)).sum(axis=(1, 2))          # (N,)
largest = np.argsort(-damage, kind="stable")[:12].tolist()
six(largest[:6], "The most wrong pixels of person: now there is something to see.")
times = damage[largest].sum() / damage[first].sum()
print(f"in both lists: {len({*first} & {*largest})} of 12; in the second {times:.0f} times as many "
      "wrong pixels")
assert times > 3
explorer.worst = -1

# %% [markdown]
# Neither order is the right one: the first finds what a *rare* class suffers, the second what costs
# the score. Know which one you look at. The order of the list decides what you will believe about
# your model.
#
# ## 16 One pixel, in Python
#
# In the second row one picture has a whole person missing. A click on a pixel sets
# `picked_at`, and Python has all that is known of it in `picked`. Here we set it ourselves.

# %%
foggy = visit("0885", "Fog, and a person in front of a red skip.", alpha=0.6, zoom=1.6,
              centre=(0.3, 0.7))
explorer.picked_at = [number["0885"], 14, 110]                # picture, column, row
picked = explorer.picked
print(f"column {picked['x']}, row {picked['y']} of {picked['name']}: {picked['truth']}")
for name in ("U-Net", "half size"):
    print(f"{name:9} says {picked['models'][name]['class']}, and gives person "
          f"{picked['models'][name]['probabilities']['person']:.1f}")
assert picked["truth"] == "person" and picked["models"]["U-Net"]["class"] == "background"

# %% [markdown]
# A person as large as life, and the model gives it no chance at all. Dark brown before dark red,
# in fog: we shall come back.
#
# `picked` is a trait like all others, so a function of yours can run at each click: cut the spot
# out, look up its neighbours, write it into a list for the people who label.
#
# ## 17 Your own controls
#
# Two ways to tie something of yours to the explorer:
#
# - **`jslink`** ties two traits together *in the browser*. It is as fast as the explorer's own
#   sliders, and it cannot compute: the two values are equal.
# - **`observe`** calls a Python function. It can do anything, and takes the way to Python and back.
#
# We do both: a slider for the opacity, and a line of text that says how the U-Net did on the
# picture that you are looking at.

# %%
opacity = ipywidgets.FloatSlider(explorer.alpha, min=0, max=1, step=0.05, description="opacity")
tied = ipywidgets.jslink((opacity, "value"), (explorer, "alpha"))
report = ipywidgets.HTML()


def tell(change=None):
    """The line for the picture that is shown."""
    person, car = explorer.iou(explorer.picture)["U-Net"][1:]             # NaN: not there
    name = html.escape(explorer.names[explorer.picture])
    report.value = f"picture <b>{name}</b>: IoU of person {person:.2f}, of car {car:.2f}"


explorer.unobserve_all("picture")
explorer.observe(tell, "picture")
tell()
with_picture(ipywidgets.VBox([opacity, report, explorer]),
             show.contact_sheet(list(explorer.draw(size=(192, 192)).values())))

# %% [markdown]
# Move the new slider: both move. Step to the next picture: the line follows. (`nan`: the class is
# neither there nor found.)
#
# Names are shown as HTML here, and a file may be called anything, so they go through `html.escape`
# first.
#
# **Before you run it**: now Python moves things. Which of the two ties can it see?

# %%
explorer.picture = number["0894"]
print(report.value)
before, opacity.value = explorer.alpha, 0.9
print("the explorer's alpha is what it was:", explorer.alpha == before)
assert "0894" in report.value and explorer.alpha == before

# %% [markdown]
# The observer ran at once, without any browser: **that is how to test one**. The link did nothing
# yet. It lives in the browser; if a page is open, it moves as soon as this message arrives there,
# and without a page (in a test, in a script) never. `ipywidgets.link` is its twin in Python.
#
# ## 18 A tour of failures
#
# We could click around all day. A tour asks a *question* at each stop, answers it with a number
# over all pictures, and then goes to look.
#
# ### Stop 1: are errors borders?
#
# Error maps are full of thin lines. How much of all that is wrong lies within two pixels of a true
# border? A **border** pixel has a neighbour with another id (void counts as an id), and *near*
# means at most so many rows and columns away.

# %% tags=["defines"]
import cv2

from segutils.show import edges


def near_border(truth, reach):
    """Pixels at most `reach` rows and columns away from a border pixel: (H, W) -> (H, W) bool."""
    square = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    return cv2.dilate(edges(truth).astype(np.uint8), square) > 0


def border_share(pred, truth, reach=2):
    """The share of all wrong pixels (void is never wrong) that lie near a border; NaN if none is.

    pred, truth: (N, H, W) ids.
    """
    wrong = (pred != truth) & (truth != 255)
    near = np.stack([near_border(one, reach) for one in truth])
    return (wrong & near).sum() / wrong.sum() if wrong.any() else np.nan

# %% [markdown]
# A share alone says nothing: near a border there are many pixels anyway. So beside the errors we
# plot *all* pixels. **Before you run it**: which share of all errors, to ten per cent? Which share
# of all pixels?

# %%
fig, ax = plt.subplots(figsize=(7, 3))
for name in predictions:
    ax.plot([border_share(ids_of(name), right, r) for r in range(9)], ".-", label=name)
pixels = [np.mean([near_border(one, r)[one != 255].mean() for one in truth]) for r in range(9)]
ax.plot(pixels, "k:", label="all pixels")
ax.set(xlabel="pixels from a border, at most", ylabel="share of the errors", ylim=(0, 1))
ax.legend(fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
show.below(fig, "Nearly all errors of the U-Net lie in a tenth of the picture.")
plt.show()
print(f"within two: {border_share(said, right):.0%} of the U-Net's errors, {pixels[2]:.0%} of all")
assert border_share(said, right) > 0.85 and pixels[2] < 0.15

# %% [markdown]
# That looks like an answer: it is all borders, and borders are hard to label anyway. Most people
# stop here. **Before you go on**: think of a person who is missed from head to shoe. Are *those*
# pixels near a border?

# %%
def objects_of(name):
    """All objects, a row each: class, visible pixels, and how many the model gets wrong."""
    said, rows = ids_of(name), []
    for k, ids in enumerate(instances):
        for one in np.unique(ids[ids > 0]).tolist():
            body = (ids == one) & (right[k] != 255)
            rows.append((one // 1000, body.sum(), (said[k][body] != one // 1000).sum()))
    return np.array([row for row in rows if row[1]])          # not those that are void as a whole


table = {name: objects_of(name) for name in predictions}
near = np.stack([near_border(one, 2) for one in truth])
lost = table["U-Net"][:, 2] > table["U-Net"][:, 1] / 2        # more than half is wrong
in_lost = table["U-Net"][lost, 2].sum() / wrong.sum()
print(f"near a border are {near[right == 1].mean():.0%} of all person pixels; of all errors "
      f"{in_lost:.0%} lie in objects that the U-Net has lost")
assert near[right == 1].mean() > 0.9 and in_lost > 0.1

# %% [markdown]
# Small things are *all* border. A fifth of the errors are lost objects, and nearly every pixel of
# theirs counted as "border". So "it is only the rims" is true of about seven errors in ten, the
# share of the plot less the lost ones, and it hid the rest. A number that explains everything has
# explained nothing: **split it**.

# %%
rims = visit("0901", "Rims: thin lines along a van that was found.", layer="errors", alpha=0.9,
             zoom=1.5, centre=(0.5, 0.65))
lost_ones = visit("0894", "One of three people is lost, and most of it is called a border.",
                  layer="errors", alpha=0.9, zoom=4, centre=(0.6, 0.55))

# %% [markdown]
# ### Stop 2: how small is too small?
#
# Each object by its size: which share of them is lost, by more than half? **Before you run it**: at
# which size do you expect a person to be found every second time?

# %%
fig, axes = plt.subplots(1, 2, figsize=(10, 2.8), sharey=True)
limits, shares = (1, 50, 100, 200, 500, 10**9), {}
for name, (label, size, bad) in ((name, rows.T) for name, rows in table.items()):
    for c, ax in zip((1, 2), axes, strict=True):
        groups = [(label == c) & (size >= a) & (size < b) for a, b in pairwise(limits)]
        shares[name, c] = [(bad > size / 2)[group].mean() for group in groups]
        ax.plot(["<50", "–99", "–199", "–499", "more"], shares[name, c], ".-", label=name)
        ax.set(title=("persons", "cars")[c - 1], xlabel="visible pixels", ylim=(0, 1))
axes[1].legend(fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
show.below(fig, "The share that is lost: small things, and at half the size more of them.")
plt.show()
assert shares["U-Net", 1][0] > 0.3 > 0.1 > shares["U-Net", 1][3]

# %% [markdown]
# Size explains most of it. The U-Net loses every second person of under 50 pixels, and hardly one
# of over 200. At half size its curve moves to the right: what has 100 pixels here had 25 there. If
# small people matter to you, larger pictures will do more than another network.
#
# ### Stop 3: night and rain?
#
# Everyone's first guess. `scenes.csv` knows the light of each scene. **Before you run it**: order
# them, from the worst to the best.

# %%
with open(val.folder / "scenes.csv", encoding="utf-8", newline="") as file:
    light = {row["stem"]: row["light"] for row in csv.DictReader(file)}
lights = np.array([light[stem] for stem in val.stems])
chosen = {f"{x} ({(lights == x).sum()})": lights == x for x in sorted({*lights})}
fig, ax = plt.subplots(figsize=(8, 2.8))
for name in predictions:
    scores = [metrics.iou(ids_of(name)[these], right[these], 3)[1] for these in chosen.values()]
    ax.plot(list(chosen), scores, "o", label=name)
    assert name != "U-Net" or np.ptp(scores) < 0.15, "no light stands out"
ax.set(ylabel="IoU of person", ylim=(0, 1))
ax.legend(fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
show.below(fig, "By light, and in brackets how many pictures there are of each.")
plt.show()

# %% [markdown]
# The guess was wrong. Night is like day to this network, for it trained on as many nights as it
# needed. Its dots differ by a few hundredths, and with some twenty pictures each that may be luck.
# It would have been easy to show one bad night picture and believe it. (A model that never saw a
# night is another matter.)
#
# ### Stop 4: things that hide one another
#
# Where two things touch, only the smallest cues tell them apart. We compare three kinds of border,
# two pixels to each side: person and street, car and street, person and car.

# %%
square = np.ones((5, 5), np.uint8)                            # two pixels to each side
street, person, car = (np.stack([cv2.dilate(np.uint8(ids // 1000 == c), square)
                                 for ids in instances]) > 0 for c in (0, 1, 2))      # (N, H, W)
zones = {"car and street": car & street & ~person, "person and street": person & street & ~car,
         "person and car": person & car}
rates = [wrong[zone & (right != 255)].mean() for zone in zones.values()]
for name, rate in zip(zones, rates, strict=True):
    print(f"{name:17}: wrong {rate / rates[0]:.1f} times as often as car and street")
assert rates == sorted(rates), "from the easiest to the hardest"
hidden = visit("0800", "Two people before a row of cars, at night.", alpha=0.9, layer="errors",
               zoom=2.5, centre=(0.62, 0.62))

# %% [markdown]
# Pink is what to look for: a piece of person that went to the car, or the other way round. IoU
# punishes such a pixel twice, once for each class.
#
# ### Stop 5: where all agree, and are wrong
#
# The most telling pixels: *every* model says the same thing, and it is not the truth. Then look at
# the truth first. On hand-made labels, what all models deny is often a **labelling error**, and
# this is the quickest way to find them. Our labels are drawn, and exact (`data/README.md`), so what
# is left is a **blind spot** of them all.

# %%
everyone = np.stack([ids_of(name) for name in predictions])               # (M, N, H, W)
agreed = (everyone == everyone[0]).all(axis=0) & wrong
spots = []                                                                # pixels, picture, x, y
for k, one in enumerate(agreed):
    count, _, boxes, middles = cv2.connectedComponentsWithStats(np.uint8(one), None, 4)
    spots += [(boxes[j, 4], k, *middles[j]) for j in range(1, count)]
spots.sort(key=lambda spot: -spot[0])
print(f"of ten wrong pixels of the U-Net all agree on {10 * agreed.sum() / wrong.sum():.0f}")
drawn, titles = [[], []], [f"{val.stems[k]}: {pixels} pixels" for pixels, k, *_ in spots[:5]]
for _, k, x, y in spots[:5]:
    look = asdict(State(layer="errors", alpha=0.8, zoom=2.5, centre=(x / 128, y / 128)))
    for row, overlay_on in zip(drawn, (False, True), strict=True):
        row.append(explorer.draw(k, (192, 192), **look | {"overlay": overlay_on})["U-Net"])
see(drawn[0] + drawn[1], titles, "The five largest spots on which all agree, and all are wrong.",
    show.error_legend()[1:], columns=5, side=2.2)
assert spots[0][0] == max(spot[0] for spot in spots)

# %% [markdown]
# Most of what all share is rims: a line that each of them draws a pixel beside the label's. That is
# why we look at the largest *spots*. What do you see in them? Look for three kinds. Things in front
# of something of their own colour, in fog or at dusk. Things half out of the picture, or behind a
# post. And **look-alikes**, put there on purpose: a skip is large and box-shaped and stands in the
# road, and the blue one of the next stop touches a car, so that the U-Net makes the two one.

# %%
alike = visit("0875", "A blue skip, grown together with the green car before it.", layer="errors",
              alpha=0.8, zoom=2, centre=(0.75, 0.6))
far = wrong & ~near
print(f"far from any border: {far.sum() / wrong.sum():.0%} of all errors; of ten of these the "
      f"U-Net is over 95 % sure of {10 * (trust[far] > 0.95).mean():.0f}")
assert far.sum() < 0.15 * wrong.sum()

# %% [markdown]
# Few pixels, so no score shows them, and yet this is where a model has *misunderstood* something.
# The cure is not a better loss. It is pictures: more skips beside cars, more people in fog.
#
# ### What the tour has found
#
# | stop | question | answer, for the U-Net |
# |---|---|---|
# | 1 | are errors borders? | seven in ten are rims; a fifth are lost things that look like rims |
# | 2 | small things? | yes: one in two is lost below 50 pixels, hardly one above 200 |
# | 3 | night and rain? | no |
# | 4 | things that touch? | yes: a person at a car is the hardest border |
# | 5 | do all agree, and err? | on rims; and on look-alikes, in fog, on things cut off |
#
# ## 19 A gallery to keep
#
# A finding that nobody can see again is a rumour. The explorer's button with the arrow saves what
# you see as PNG, at the picture's own resolution. We keep the whole tour, in two forms. First a
# **picture** of all stops, from the same pure function.

# %%
sheet = [panel for stem, changes in tour
         for panel in explorer.draw(number[stem], (192, 192), **asdict(State()) | changes).values()]
gallery = show.contact_sheet(sheet, columns=len(sheet) // len(tour))
folder = Path(tempfile.mkdtemp())            # to keep it beside this notebook: Path("gallery")
Image.fromarray(gallery).save(folder / "tour.png")
assert np.array_equal(np.array(Image.open(folder / "tour.png")), gallery), "what was drawn"
print(len(tour), "stops of", len(sheet) // len(tour), "panels in one picture")

# %% [markdown]
# Then a **page**: the explorer itself, with the pictures of the tour, as one HTML file. It runs in
# any browser from disk, without Python and without a network, so you can mail it to whoever asks
# "but what does it get wrong?". Here with the pictures that we visited.

# %%
stems = list(dict.fromkeys(stem for stem, _ in tour))
chosen = [number[stem] for stem in stems]
kept = Explorer([images[k] for k in chosen], [truth[k] for k in chosen],
                {name: [all_[k] for k in chosen] for name, all_ in predictions.items()},
                names=stems, layer="errors", alpha=0.8)
page = kept.to_html(folder / "tour.html", "What the models get wrong")
print(f"{page.name}: {len(stems)} pictures, under 3 MB: {page.stat().st_size < 3e6}")
assert "default-src 'none'" in page.read_text(encoding="utf-8"), "the page may ask nobody"
with explorer.hold_sync():                   # and back to where we began
    for name, value in {**asdict(State()), "picture": number["0903"]}.items():
        setattr(explorer, name, value)
opacity.value = explorer.alpha

# %% [markdown]
# ## Summary
#
# - An overlay is arithmetic: a colour and a weight for each id, whole numbers, wide enough. Ids
#   take the nearest pixel; lines are drawn at the screen's size.
# - Keep one order of channels, background bare, and colours that everyone can tell apart.
# - **State in, picture out.** A pure function can be tested, repeated, saved and shown anywhere.
# - What is slow about `interact` is the way that a picture travels. Send parts once, blend there.
# - `jslink` for speed, `observe` for thought.
# - Every order and every share shows one side. Sort by damage *and* by IoU; put "all pixels" beside
#   a share; split what explains everything.
# - Look at validation, not at test. Where all models agree against a label, look at the label
#   first.
#
# | mistake | what it costs | the test that sees it |
# |---|---|---|
# | colours added in 8 bits | bright paint turns dark | within one step of `show.overlay` |
# | background painted | half of the light | background equals the picture |
# | overlay written as BGR | persons read as cars | read the file back: equal |
# | one matrix for two mistakes | right street, wrong paint | mend where it enters |
# | red against green | two browns | distance, simulated |
# | ids smoothed | a seam of person around cars | the set of ids, before and after |
# | outline, then enlarged | covers the small | outline at the screen's size |
# | painting on what is there | depends on the way | there and back is the same |
# | observers registered twice | everything happens twice | count the calls |
# | worst first by IoU | trifles on top | count the wrong pixels beside it |
# | "it is all borders" | lost objects look like rims | count lost objects by themselves |
#
# ## If it goes wrong
#
# | symptom | cause | section |
# |---|---|---|
# | dark blotches in bright paint | `uint8` overflow | 1 |
# | the whole picture is dim | background is painted | 2 |
# | sky like sand, colours against the legend | BGR | 3 |
# | thin seams of another class | ids were smoothed | 5 |
# | the picture depends on how you got there | a callback with a memory | 7 |
# | the slider lags | figures travel; try fewer pixels, or the explorer | 8 |
# | nothing happens, and no error | the error is in the callback: call it yourself | 8 |
# | each move counts twice | the cell ran twice: `unobserve_all` first | 9 |
# | "the ids are … and the image …" | a prediction of another size: resize the logits | 10 |
# | "holds values … where 0..1 is meant" | logits: take the softmax first | 10 |
# | a text instead of the widget | the kernel is not running: run the cell again | 11 |
# | Python does not see a linked value | `jslink` lives in the browser | 17 |

# %% [markdown]
# ## Exercises
#
# In [exercises/ex08_overlay_explorer.ipynb](exercises/ex08_overlay_explorer.ipynb), with checks
# that answer at once: `ex08.overlay` (void, opacity, background left alone), `ex08.link` (a slider
# in per cent, both ways), `ex08.borders` (whose errors are borders?) and `ex08.planted` (find the
# labelling faults that somebody planted).
#
# Without a check: take one stop of the tour and answer its question for *car*. Or export the page
# with your own model's predictions, and let somebody else say what they see.
#
# ## Where to go from here
#
# This lesson closes the series. What carries over to your own work is short:
#
# - **The data first.** Look at overlays before you train, and at what all models deny after.
# - **One score, chosen beforehand, on a set that is looked at once.** Everything else is looking.
# - **Change one thing, measure, look.** In that order, and write down what you saw.
#
# From here three ways lead on. *Larger*: the same loop with pictures of your own and more of them;
# what you have learned to check does not change. *Deeper*: models that take a click or a word and
# return a mask; they answer with masks as well, so the explorer takes their predictions too.
# *Wider*: medicine, maps, microscopes, where void, small things and the price of a miss are not the
# same as in a street. Start there with stop 1: where are the errors, and compared with what?
#
# ## Sources
#
# - T. Porter, T. Duff, *Compositing Digital Images*, SIGGRAPH 1984: mixing by a share α.
# - G. Machado, M. Oliveira, L. Fernandes, *A Physiologically-based Model for Simulation of Color
#   Vision Deficiency*, IEEE TVCG 2009: the simulated reader.
# - M. Okabe, K. Ito, *Color Universal Design*, 2008; J. Birch, *Worldwide prevalence of red-green
#   color deficiency*, JOSA A 2012: one man in twelve among Europeans.
# - B. Cheng et al., *Boundary IoU*, CVPR 2021, arXiv:2103.16562: borders, and objects of all sizes.
# - D. Hoiem, Y. Chodpathumwan, Q. Dai, *Diagnosing Error in Object Detectors*, ECCV 2012: errors,
#   sorted into kinds.
# - C. Northcutt, A. Athalye, J. Mueller, *Pervasive Label Errors in Test Sets*, NeurIPS 2021,
#   arXiv:2103.14749: what models deny is often the label.
# - Project Jupyter, *ipywidgets* and *traitlets* documentation: `interact`, `jslink`, `observe`.
