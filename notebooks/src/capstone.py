# %% [markdown]
# # Capstone: segment pictures of your own
#
# No lesson, and no check that says "solved": a piece of work of your own, from a question to a page
# that somebody can rely on. You photograph something, label it, train a network on it, measure it
# honestly, and look at where it fails. This notebook leads through it, ten steps, and most of its
# code is there already. What is yours are the pictures, the labels, the choices, and the words.
#
# **You have done** lessons 00 to 05, and 08 for the explorer. **You need** a camera or a telephone
# (or pictures whose licence lets you use them), a labelling tool, and about 13 hours in all, most
# of them in front of your labels (an estimate). Two CPU cores are enough for the training.
#
# The cells run as they are, on **stand-ins**: drawn streets that play the part of your photographs,
# so that you can see what each step does before you have any. Read through it once like that. Then
# point `FOLDER` at your own pictures, and go through it again, cell by cell.

# %% [markdown]
# ## The steps
#
# | step | what it leaves | minutes |
# |---|---|---|
# | 1 A question | one sentence, the classes, the border cases | 45 |
# | 2 Pictures | photographs by scene, with rights; upright, without GPS | 120 |
# | 3 Labels | a mask for each picture | 240 |
# | 4 Look | each overlay looked at; your agreement with yourself | 75 |
# | 5 Split | parts that share no scene | 30 |
# | 6 A floor | what an answer without looking scores | 15 |
# | 7 Train | from the shipped weights and from scratch, with curves | 60 |
# | 8 Measure | scores of the test set, once, with their spread | 45 |
# | 9 Failures | the five worst, and why | 60 |
# | 10 Report | one page, a data card, a model card | 90 |
# | all | | 780 |
#
# Minutes are estimates, for 60 pictures with two or three things in each.

# %% [markdown]
# ## The rubric
#
# **60 points**: 24 for the data, 18 for the evaluation, 18 for all else. None are for the score
# itself: a network that scores 0.4 and is understood is worth more than one that scores 0.9 and is
# not. Each level asks for what the levels below it ask for.
#
# | criterion | nothing | begun | sound | excellent |
# |---|---|---|---|---|
# | 1 Question and classes | 0 | 2 | 4 | 6 |
# | 2 Pictures and rights | 0 | 2 | 4 | 6 |
# | 3 Labels | 0 | 3 | 6 | 9 |
# | 4 Split and leaks | 0 | 3 | 6 | 9 |
# | 5 Training | 0 | 2 | 4 | 6 |
# | 6 Measurement | 0 | 4 | 8 | 12 |
# | 7 Failures | 0 | 2 | 4 | 6 |
# | 8 Report | 0 | 2 | 4 | 6 |
# | all | 0 | 20 | 40 | 60 |
#
# **1 Question and classes**
#
# - **0** no question, or classes that nobody could tell apart in a picture
# - **2** a question and named classes; border cases are left open
# - **4** each class is defined, and at least three border cases are decided
# - **6** each border case has a picture; who would use the answer, and which error would cost them
#   most, is said
#
# **2 Pictures and rights**
#
# - **0** where the pictures come from is not said
# - **2** sources are named, licence or consent for some only
# - **4** 40 pictures of 10 scenes or more; source, and licence or consent, for each; faces and
#   plates are covered
# - **6** variety was planned and is counted (light, distance, scene, pictures without the thing);
#   what is missing is said
#
# **3 Labels**
#
# - **0** masks are missing, or `checked` refuses them
# - **3** `checked` passes; overlays were not all looked at
# - **6** every overlay was looked at, and what was mended is listed; ten pictures are labelled
#   twice, with the agreement of each class
# - **9** the disagreements are shown and explained, and made a definition sharper; void is used by
#   a rule
#
# **4 Split and leaks**
#
# - **0** split by picture although scenes repeat, or it is not said how
# - **3** split by scene; nobody looked for near copies, or a part has only one scene
# - **6** no scene is in two parts; the most alike pairs were looked at; parts are counted in
#   scenes, pictures and pixels of each class
# - **9** the test set holds what the model will meet (a new place, day or person), and what it does
#   not hold is said
#
# **5 Training**
#
# - **0** no run that could be repeated
# - **2** one run, with its curve and its settings
# - **4** shipped weights against from scratch: equal steps, three seeds each, chosen on validation;
#   a reason for each augmentation
# - **6** one change of your own, tried by itself, kept or dropped by its validation scores
#
# **6 Measurement**
#
# - **0** a score without saying of what, or of pictures that were trained on
# - **4** IoU of each class on the test set, beside the floor
# - **8** the test set was scored once: IoU of each class, outlines, sizes; the spread over seeds
#   and over scenes; floor and your own agreement beside it
# - **12** which differences are larger than the spread, and what so few pictures cannot tell, is
#   said, and true
#
# **7 Failures**
#
# - **0** none are shown
# - **2** some bad pictures are shown
# - **4** the five worst are shown, each with its cause (label, data or model), and causes are
#   counted
# - **6** one cause is tested: what should help was said first, then tried or counted
#
# **8 Report**
#
# - **0** no report
# - **2** a report, but no cards, or the notebook does not run from top to bottom
# - **4** one page, a data card and a model card; the notebook runs, and its outputs show the
#   numbers of the report
# - **6** somebody else could repeat it; where the model must not be used is said
#
# **Caps**, whatever else is good:
#
# - A scene in two parts that you did not find (a leak): measurement at most 4, all at most 36.
# - The test set used for a choice, or scored again without saying so: measurement at most 4.
# - Stand-ins, or pictures that you may not use: 0 for criteria 1, 2 and 3.
# - A number in the report that no output shows: report at most 2. A made-up one: 0 in all.
# - Somebody can be recognised without having agreed: the work goes back, unmarked, until mended.

# %%
import json
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

from segutils import losses, show, train, zoo
from segutils.augment import denormalise, eval_transform, train_transform
from segutils.datasets import DATA, check_scenes, loader, split_by_scene
from segutils.exercises.capstone import stand_ins
from segutils.explorer import Explorer
from segutils.masks import instances_from_semantic, resize_mask, write_mask
from segutils.metrics import ConfusionMatrix, boundary_f, confusion_matrix, image_miou, iou_by_size

show.use_style()

# %% [markdown]
# Settings. With pictures of your own, change all of them. Put them into `my_workbook/my_pictures`,
# which git and every update of the course leave alone, and say `FOLDER = Path("../my_pictures")`.
# From then on do not *Run All* before step 7 is settled: it would open the test set.

# %%
FOLDER = None                           # None: stand-ins
CLASSES = ("background", "vehicle")     # background first; 255 is void in every mask
LABEL_SIDE = 256                        # longer side of the pictures you label; yours: about 800
SIZE = (96, 128)                        # (height, width) the network sees; yours: about (192, 256)
AGAIN = ""                              # step 8: why the test set is scored again, if it is

STAND_INS = FOLDER is None
FOLDER = stand_ins(tempfile.mkdtemp()) if STAND_INS else Path(FOLDER)


def scene_of(stem):
    """What two parts of a split must not share: the folder of the photograph. Yours may differ."""
    return stem.split("_")[0]


def banner():
    """Says loudly whose pictures these are."""
    if STAND_INS:
        print("#" * 76)
        print("#  STAND-INS. These pictures are drawn, not yours. Nothing here is about the")
        print("#  world, and a work that is handed in with this box has no data of its own.")
        print("#" * 76)


banner()

# %% [markdown]
# ## 1 A question worth asking
#
# Ask something that an answer in pixels helps with: *how much of this shelf is empty? which share
# of the leaf is brown? is the bicycle lane free?* Not "can a network find cups": it can. One
# sentence.
#
# Then the classes: **two or three, background counted**. Two people who have read your definitions
# should colour the same pixels. Before you take fifty pictures, take three, and try to label them
# with a pencil on paper: what is hard to decide now is a *border case*, and there are always more
# of them than you think. Decide each one once, in writing:
#
# - a thing that is cut off by the picture, hidden by another, or seen through glass or in a mirror
# - its parts and what hangs on it: lids, handles, shadows, loads, leaves that lie on the ground
# - things that almost belong: a toy, a picture of one, a broken one, one of another kind
# - too small or too blurred to tell: **void** (255), by a rule in pixels, not by mood
#
# Take a thing with an outline. "Dirty", "tidy" or "old" has none.

# %% [markdown] tags=["student-only"]
# > **Yours.** Write over this cell.
# >
# > **Question**: … **For whom, and which error would cost them most?** …
# >
# > | class | is | is not |
# > |---|---|---|
# > | … | … | … |
# >
# > | border case | decided | picture |
# > |---|---|---|
# > | … | … | … |

# %% [markdown] tags=["solution-only"]
# > **Question**: how much of a street picture is taken up by vehicles? **For whom?** Somebody who
# > counts how full a street is parked. An overlooked vehicle costs most: a street looks free.
# >
# > | class | is | is not |
# > |---|---|---|
# > | vehicle | cars, vans, small buses, with windows and wheels | bicycles, skips, shadows |
# > | background | all else | |
# >
# > | border case | decided | seen in |
# > |---|---|---|
# > | a person in front of a vehicle | background, also inside its outline | `pharmacy` |
# > | what is seen through its windows | vehicle | everywhere |
# > | cut off by the picture | vehicle, what there is of it | `fountain` |
# > | under 60 pixels of the labelled picture | void | `bakery`, far down the road |

# %% [markdown]
# ## 2 Collect pictures
#
# **How many?** Forty of ten scenes are the least with which this notebook says anything; sixty of
# twenty are better; two hundred of two scenes are worse than both. A *scene* is what repeats: a
# place, a day, a person, a plant. Pictures of one scene are near copies, and count as about one.
#
# **Variety** is planned, not hoped for. Before you go, write down which light, distances, sides and
# backgrounds the question asks for, and how many of each. Take some pictures *without* the thing,
# and some with what could be mistaken for it.
#
# **Rights.** Your own photographs are yours. Of others' you need a licence: note the address, the
# author and the licence of each. "Found with a search engine" is none.
#
# **People.** Do not photograph people for this. Where one is in a picture and can be recognised,
# ask for consent or cover the face; cover number plates, name plates, screens, and letters too.
# Cover them with plain grey: blur can sometimes be undone. A photograph also *knows where it was
# taken*: telephones write the GPS position into the file.
#
# Sort them into a folder for each scene, **without an underscore** in its name:
#
# ```text
# my_pictures/photos/bakery/IMG_2041.jpg
# my_pictures/photos/bakery/IMG_2042.jpg
# my_pictures/photos/bridge/IMG_2044.jpg
# ```
#
# An iPhone's HEIC files are not read: choose *Settings, Camera, Formats, Most Compatible*, or
# export them as JPEG (neither was tried here).

# %% [markdown] tags=["student-only"]
# > **Yours.** Write over this cell: which variety was planned, and how many pictures there are of
# > each kind; where each picture comes from, and under which licence or with whose consent.

# %% [markdown] tags=["solution-only"]
# > Planned: 20 scenes, 3 pictures each, by day, under cloud and at dusk; from the kerb and from the
# > road; some upright. All are drawn by `segutils.street` for this course, under CC BY 4.0. People
# > in them are drawn. Missing: night, rain and fog, and (a fault of the plan) places without
# > vehicles.

# %% [markdown]
# The next cell takes them in: **upright** (a telephone stores most upright pictures lying, with a
# note that says so, and not every labelling tool reads the note), **smaller**, with covered
# rectangles, and **without** all that the file knew beside the picture. From here on use only what
# is in `images/`, and keep `photos/` to yourself.

# %% tags=["defines"]
from pathlib import Path

import cv2
from PIL import Image

from segutils.masks import read_image


def take_in(photos, out, side, cover=None):
    """Photographs photos/SCENE/NAME.* as out/SCENE_NAME.jpg: upright, small, without EXIF.

    side: the longer one is shrunk to it. cover: {"SCENE_NAME": [(x0, y0, x1, y1), ...]}, pixels of
    the small picture that become grey. Returns the names. Raises ValueError, in one line.
    """
    names, cover = [], dict(cover or {})
    out.mkdir(parents=True, exist_ok=True)
    for file in sorted(f for f in photos.rglob("*") if f.is_file() and f.name[0] != "."):
        scene, name = file.parent.name, f"{file.parent.name}_{file.stem}"
        if file.parent.parent != photos or "_" in scene:
            raise ValueError(f"{file.name}: wanted photos/SCENE/{file.name}, a scene without '_'")
        if name in names:
            raise ValueError(f"{scene}: two photographs are called {file.stem}: rename one")
        image = read_image(file)                                   # as it is looked at
        scale = min(1, side / max(image.shape[:2]))
        size = [max(1, round(scale * n)) for n in image.shape[1::-1]]
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        for x0, y0, x1, y1 in cover.pop(name, ()):
            image[y0:y1, x0:x1] = 128
        Image.fromarray(image).save(out / f"{name}.jpg", quality=95)
        names.append(name)
    if not names:
        raise ValueError(f"no photographs in {photos}: wanted photos/SCENE/NAME.jpg")
    if cover:
        raise ValueError(f"cover names pictures that are not there: {', '.join(cover)}")
    return names

# %%
COVER = {}                              # faces and plates: {"bakery_IMG_2041": [(x0, y0, x1, y1)]}
if STAND_INS:
    COVER = {"harbour_IMG_2075": [(46, 58, 74, 96), (138, 64, 160, 94), (154, 97, 170, 117)]}
names = take_in(FOLDER / "photos", FOLDER / "images", LABEL_SIDE, COVER)
scenes = Counter(map(scene_of, names))
print(f"{len(names)} pictures of {len(scenes)} scenes, {min(scenes.values())} to "
      f"{max(scenes.values())} of each")
if len(names) < 40 or len(scenes) < 10:
    print("NOTE: fewer than 40 pictures or 10 scenes: scores will be too rough to say anything")

# %% [markdown]
# Did it work? A photograph as it lies in its file, the same one taken in, and one with something
# covered. Below, what the two files of the first know about themselves.

# %%
def knows(file):
    """What a file says beside its picture."""
    with Image.open(file) as image:
        exif = image.getexif()
    turned, placed = exif.get(0x0112, 1) != 1, bool(exif.get_ifd(0x8825))
    return f"stored turned {turned}, says where it was {placed}"


turned, covered = ("bridge_IMG_2044", *COVER) if STAND_INS else names[:2]
source = next((FOLDER / "photos").glob(turned.replace("_", "/", 1) + ".*"))
three = [np.array(Image.open(source).convert("RGB")),
         *(read_image(FOLDER / "images" / f"{name}.jpg") for name in (turned, covered))]
show.grid(three, ["in its file", "taken in", "covered"], side=2.8,
          caption="Left and middle are one photograph: stored lying, and as it was seen.")
plt.show()
print(f"before: {knows(source)}\nafter:  {knows(FOLDER / 'images' / f'{turned}.jpg')}")

# %% [markdown]
# ## 3 Label
#
# Use a tool you like; free ones are [labelme](https://github.com/wkentaro/labelme),
# [CVAT](https://www.cvat.ai), [Label Studio](https://labelstud.io), or a drawing program such as
# GIMP or Krita. **None of them was run for this course.** What was tried are their *file formats*,
# in files written by our tests as their documentation has them:
#
# | what the tool saves | put it into `labels/` as | beware |
# |---|---|---|
# | polygons, labelme's JSON | one `SCENE_NAME.json` a picture | labels are class names, or `void` |
# | COCO's JSON, polygons or RLE | one file of any name | categories are the class names |
# | masks as PNG, one channel of ids | `SCENE_NAME.png` | 0, 1, 2, not 0, 128, 255; no soft brush |
#
# CVAT's "Segmentation mask" writes *colours*: read those with `read_mask(file, colors=...)`. Label
# the pictures in `images/`, never those in `photos/`. Later shapes lie on earlier ones, so that a
# hole is a shape called `background` on top. Label in a random order, so that you do not get better
# from scene to scene, and stop after an hour.
#
# And **ten pictures a second time**, some days later, without looking at the first: into
# `labels_again/`. Step 4 says what for.

# %% tags=["defines"]
import numpy as np

from segutils.masks import decode_rle, from_polygons, read_mask


def class_id(label, names, file):
    """The id of a class by its name, 255 for void; any other name is refused."""
    if label not in (*names, "void"):
        raise ValueError(f"{file}: a shape is called {label!r}, which is none of {list(names)}")
    return 255 if label == "void" else list(names).index(label)


def labelme_mask(about, names, file="labelme"):
    """A labelme file's dict as a mask of ids (H, W) uint8; later shapes lie on earlier ones."""
    height, width = about["imageHeight"], about["imageWidth"]
    mask = np.zeros((height, width), np.uint8)
    for shape in about["shapes"]:
        if shape["shape_type"] != "polygon":
            raise ValueError(f"{file}: holds a {shape['shape_type']}, and polygons are wanted")
        inside = from_polygons([shape["points"]], height, width)   # points are x, y
        mask[inside == 1] = class_id(shape["label"], names, file)
    return mask


def coco_masks(about, names, file="COCO"):
    """A COCO file's dict as {stem of the picture: mask of ids (H, W) uint8}."""
    labels = {category["id"]: category["name"] for category in about["categories"]}
    images = {image["id"]: image for image in about["images"]}
    found = {i["file_name"]: np.zeros((i["height"], i["width"]), np.uint8) for i in about["images"]}
    for one in about["annotations"]:
        mask, shape = found[images[one["image_id"]]["file_name"]], one["segmentation"]
        here = class_id(labels[one["category_id"]], names, file)
        if isinstance(shape, dict):                                # run lengths
            mask[decode_rle(shape) == 1] = here
        for ring in shape if isinstance(shape, list) else ():      # x, y, x, y, ...
            mask[from_polygons([np.reshape(ring, (-1, 2))], *mask.shape) == 1] = here
    return {Path(name).stem: mask for name, mask in found.items()}

# %%
def labelled(folder):
    """{stem: mask} of all that a tool saved in a folder: JSON of both kinds, and PNGs of ids."""
    found = {}
    for file in sorted(folder.glob("*.json")):
        about = json.loads(file.read_text(encoding="utf-8"))
        if "annotations" in about:
            found |= coco_masks(about, CLASSES, file.name)
        else:
            found[file.stem] = labelme_mask(about, CLASSES, file.name)
    return found | {file.stem: read_mask(file) for file in sorted(folder.glob("*.png"))}


first = labelled(FOLDER / "labels")
(FOLDER / "masks").mkdir(exist_ok=True)
for name, mask in first.items():
    write_mask(FOLDER / "masks" / f"{name}.png", mask)
print(f"{len(first)} masks written, {sum((m == 1).any() for m in first.values())} of them with "
      f"a {CLASSES[1]}")

# %% [markdown]
# ## 4 Look at all of it
#
# First a machine looks. `FolderPairs(..., check=True)` of lesson 02 opens every pair: partners,
# sizes, ids. Three more traps are those of people's own photographs.

# %% tags=["defines"]
from pathlib import Path

from PIL import Image

from segutils.datasets import IMAGE_SUFFIXES, FolderPairs


def checked(folder, classes):
    """The pairs of folder/images and folder/masks; ValueError, in one line, at the first fault."""
    folder, held = Path(folder), set()
    files = sorted((folder / "images").iterdir())
    for file in (f for f in files if f.suffix.lower() in IMAGE_SUFFIXES):
        with Image.open(file) as image:
            turned = image.getexif().get(0x0112, 1) != 1
        if turned:
            raise ValueError(f"{file.name}: is stored turned (EXIF): take it in, and label that")
    pairs = FolderPairs(folder / "images", folder / "masks", classes, check=True)
    for stem, (_, mask) in zip(pairs.stems, pairs, strict=True):
        held.update(np.unique(mask).tolist())
        void, things = (mask == 255).mean(), ((mask > 0) & (mask < 255)).mean()
        if void > max(0.05, things):
            raise ValueError(f"{stem}: {void:.0%} of its mask is 255, which is void, and "
                             f"{things:.0%} a thing: was a class saved as white? Save it as its id")
    if missing := [name for k, name in enumerate(classes) if k not in held]:
        raise ValueError(f"no mask holds {', '.join(missing)}: do ids and {classes} go together?")
    return pairs

# %%
pairs = checked(FOLDER, CLASSES)
mask_of = {stem: mask for stem, (_, mask) in zip(pairs.stems, pairs, strict=True)}
print(f"{len(pairs)} pairs, and nothing wrong that a machine can see")

# %% [markdown]
# So that you know its voice: copies of a few of your pictures, with one fault each. Which of the
# four would you have found by eye? The second is the worst: 255 *is* allowed, so that no id is
# wrong, and the thing is simply never learned nor counted.

# %%
victim = max(names, key=lambda name: (mask_of[name] == 1).sum())


def complaint(spoil):
    """What `checked` says of a few pairs, after `spoil(image's file, mask's file)` was at them."""
    with tempfile.TemporaryDirectory() as place:
        for kind, ending in (("images", "jpg"), ("masks", "png")):
            (Path(place) / kind).mkdir()
            for name in {victim, *names[:3]}:
                shutil.copy(FOLDER / kind / f"{name}.{ending}", Path(place) / kind)
        spoil(Path(place, "images", f"{victim}.jpg"), Path(place, "masks", f"{victim}.png"))
        try:
            checked(place, CLASSES)
        except ValueError as error:
            return str(error).replace(str(place), "…")


def painted(value):
    return lambda _, file: write_mask(file, value * (read_mask(file) > 0).astype(np.uint8))


def halved(_, mask):
    write_mask(mask, read_mask(mask)[::2, ::2].copy())


def as_a_telephone_does(image, _):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(image).save(image, exif=exif)


for spoil in (painted(128), painted(255), halved, as_a_telephone_does):
    print("-", complaint(spoil))

# %% [markdown]
# Then you look: **at every single one**. Does each colour sit on its thing? Is a thing without a
# colour? Light grey is void. A quarter of an hour here is worth more than a week of training.

# %%
def tile(stem):
    """A picture with its mask over it, in SIZE; what is outside of the picture is void."""
    image, mask = read_image(FOLDER / "images" / f"{stem}.jpg"), mask_of[stem]
    fitted = eval_transform(SIZE)(image=image, mask=mask)
    return show.overlay(denormalise(fitted["image"]), fitted["mask"].numpy())


tiles = [tile(stem) for stem in pairs.stems]
show.grid([show.contact_sheet(tiles, columns=10)], columns=1, side=10.5,
          legend=show.class_legend(CLASSES),
          caption="All pictures, in the order of their names, with their masks.")
plt.show()

# %% [markdown] tags=["student-only"]
# > **Yours.** Write over this cell: which overlays were wrong, what was wrong, and that you mended
# > it. If nothing was: how you looked.

# %% [markdown] tags=["solution-only"]
# > All sixty were looked at, at twice this size. Outlines are up to two pixels off everywhere,
# > which is the hand that drew them. `canal` has a picture in which the car is nearly cut off. No
# > thing is without a label, and nothing had to be mended.

# %% [markdown]
# **The ceiling.** How well can a network possibly agree with you? No better than you agree with
# yourself. For the pictures that you labelled twice, compute the IoU of each class between your
# first and your second labels: all ten in one confusion matrix, the first as target.
#
# Mind void. Where *either* labelling says void, nothing is known, and the pixel counts nowhere.
# `ConfusionMatrix.update` ignores 255 in the target, and refuses it in the prediction.


# %%
def agreement(first, second, classes):
    """IoU of each class between two labellings of the same pictures.

    first, second: lists of (H, W) uint8 ids, 255 for void in either; classes: their names
    returns: (C,) floats
    """
    ### BEGIN SOLUTION
    matrix = ConfusionMatrix(classes)
    for a, b in zip(first, second, strict=True):
        void = (a == 255) | (b == 255)
        matrix.update(np.where(void, 0, b), np.where(void, 255, a))
    return matrix.iou().numpy()
    ### END SOLUTION


small = agreement([np.array([[0, 0, 1, 1, 255]])], [np.array([[0, 1, 1, 255, 1]])], CLASSES[:2])
assert small is None or np.allclose(small, [0.5, 0.5]), f"should be 0.5, 0.5, and is {small}: void?"

# %%
second = labelled(FOLDER / "labels_again")
twice = sorted(first.keys() & second.keys())
ceiling = agreement([first[s] for s in twice], [second[s] for s in twice], CLASSES)
print(f"{len(twice)} pictures are labelled twice")
if ceiling is None:
    print("`agreement` is not written yet")
else:
    for name, iou in zip(CLASSES, ceiling, strict=True):
        print(f"{name:12} IoU {iou:.2f} between first and second labels")

# %% [markdown]
# Where do they differ? If it is the outline, that is your hand. If whole things come and go, a
# definition in step 1 is not sharp enough: mend it, and label again what it touches.

# %%
def differing(stem):
    """The share of the pixels in which the two labellings of a picture differ."""
    return (first[stem] != second[stem]).mean()


if twice:
    most = sorted(twice, key=differing)[-3:]
    show.grid([show.error_map(second[s], first[s]) for s in most], [scene_of(s) for s in most],
              columns=3, side=3, legend=show.error_legend(),
              caption="The second labels as if they were a prediction of the first.")
    plt.show()

# %% [markdown]
# ## 5 Split by scene
#
# Validation and test have to be as new to the network as what it will meet. Two pictures of one
# place share the wall, the light and the very car. If one trains and the other tests, you measure
# memory. So **whole scenes** go to one part. What a scene is, `scene_of` says at the top. It is
# your decision, and follows from the question: if the model is to work *on other days*, split by
# day; *for other people*, by person.

# %%
three_ways = split_by_scene(pairs.stems, scene_of, (0.6, 0.2, 0.2), seed=0)
parts = dict(zip(("train", "val", "test"), three_ways, strict=True))
check_scenes(parts, scene_of)
for part, stems in parts.items():
    counts = np.bincount(np.concatenate([mask_of[s].ravel() for s in stems]), minlength=256)
    shares = counts[: len(CLASSES)] / counts[:255].sum()
    print(f"{part:5} {len(set(map(scene_of, stems))):3} scenes {len(stems):3} pictures;",
          ", ".join(f"{n} {s:.0%}" for n, s in zip(CLASSES, shares, strict=True)))

# %% [markdown]
# If a class is missing from a part, or its share is odd, choose another `seed` **now**, before you
# have seen a score. And a picture in the wrong folder? The same split, with one picture moved:

# %%
try:
    check_scenes({**parts, "test": [*parts["test"], parts["train"][0]]}, scene_of)
except ValueError as error:
    print(error)

# %% [markdown]
# A name is only a name: one place under two names passes. So look for near copies: for each picture
# of the test set the most similar one that trains, by thumbnails of 16 × 12 grey pixels. The three
# most similar pairs, first for a split **by picture**, then for yours. Do pairs show one place?


# %%
def thumbnail(stem):
    grey = cv2.cvtColor(read_image(FOLDER / "images" / f"{stem}.jpg"), cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (16, 12), interpolation=cv2.INTER_AREA).astype(float).ravel()
    return (small - small.mean()) / (small.std() + 1)


def most_alike(ours, theirs, n=3):
    """The n most similar pairs (stem of ours, stem of theirs), each of ours once."""
    a, b = (np.stack([thumbnail(s) for s in stems]) for stems in (ours, theirs))
    distance = ((a[:, None] - b[None]) ** 2).mean(axis=2)          # (ours, theirs)
    rows = distance.min(axis=1).argsort(kind="stable")[:n]
    return [(ours[row], theirs[distance[row].argmin()]) for row in rows]


by_picture = split_by_scene(pairs.stems, str, (0.6, 0.2, 0.2), seed=0)
rows = most_alike(by_picture[2], by_picture[0]) + most_alike(parts["test"], parts["train"])
show.grid([tile(s) for pair in rows for s in pair], ["tests", "trains"] * 6, columns=6, side=1.75,
          caption="Above, split by picture: the same streets on both sides. Below, by scene.")
plt.show()

# %% [markdown] tags=["student-only"]
# > **Yours.** Write over this cell: what a scene is in your split and why; what the three pairs
# > show; what the test set does *not* hold that the model will meet.

# %% [markdown] tags=["solution-only"]
# > A scene is a place: the model is meant for streets where nobody has been before. By picture, all
# > three pairs are one street each. By scene they are different streets with something in common, a
# > dark road or a house across it. The test set holds four places only, none of them at night.

# %% [markdown]
# ## 6 A floor
#
# From here on all is measured in `SIZE`, the size that the network sees. Shrinking has its price:
# what is smaller than a few pixels is gone before anything is learned. Look at the sheet above; can
# *you* still tell the things?


# %%
class Small(FolderPairs):
    """Pairs of a folder, their longer side shrunk to the network's, masks by nearest pixel."""

    def arrays(self, epoch, index):
        image, mask = super().arrays(epoch, index)
        scale = max(SIZE) / max(mask.shape)
        height, width = (round(scale * n) for n in mask.shape)
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        return image, resize_mask(mask, (height, width))


def at_size(part, transform=None, seed=0):
    """A part as a data set: (image (3, h, w) float, mask (h, w) int64)."""
    return Small(FOLDER / "images", FOLDER / "masks", CLASSES, transform or eval_transform(SIZE),
                 seed, stems=parts[part])


truth = {part: torch.stack([mask for _, mask in at_size(part)]) for part in parts}   # (N, h, w)
print({part: tuple(masks.shape) for part, masks in truth.items()})

# %% [markdown]
# What does an answer score that **never looks at the picture**? Say the commonest class of the
# training pictures everywhere. Whatever is below that has learned nothing, and 90 % of the pixels
# right may be just that. Write it; void counts nowhere.


# %%
def commonest(masks):
    """The id that most pixels hold: (N, h, w) int64 ids, 255 for void -> int."""
    ### BEGIN SOLUTION
    return torch.bincount(masks[masks != 255]).argmax().item()
    ### END SOLUTION


small = commonest(torch.tensor([[[255, 255, 255], [0, 1, 1]]]))
assert small in (None, 1), f"in 255 255 255 0 1 1 it is 1, and you say {small}: does void count?"
answer, floor = commonest(truth["train"]), None
if answer is None:
    print("`commonest` is not written yet")
else:
    said = ConfusionMatrix(CLASSES).update(torch.full_like(truth["val"], answer), truth["val"])
    floor = said.iou().numpy()
    print(f"{CLASSES[answer]} everywhere: pixel accuracy {said.accuracy():.2f}, IoU",
          ", ".join(f"{n} {iou:.2f}" for n, iou in zip(CLASSES, floor, strict=True)))

# %% [markdown]
# ## 7 Train
#
# Two starts, and all else equal: the U-Net that the course ships, with a **new head** for your
# classes, and the same network **from scratch**. Few pictures are the case in which the start
# matters most.
#
# A warning: the shipped network was trained on streets *of the same kind as the stand-ins*. On them
# it is at home, and wins by far. Your photographs are not drawn: expect a smaller lead, or none.
#
# Augmentation says what should make no difference. `flip`: is a mirrored picture still a possible
# one? (No, if left and right matter, or letters.) `rotate`: was the camera always upright? `scale`:
# are distances alike? `colour`: does the colour tell classes apart? A reason for each.

# %%
WEIGHTS = DATA / "weights" / "unet_street.safetensors"
SHAPE = dict(width=32, depth=3, stem=2)             # that of the shipped network
STEPS, BATCH, SEEDS = 50, 8, (0, 1, 2)              # yours: 500 steps, until curves are flat
RATE = {"shipped": 3e-3, "scratch": 2e-3}           # a new head has far to go
AUGMENT = dict(flip=0.5, scale=(0.8, 1.25), rotate=5, translate=0.05, colour=0.2)
device = train.pick_device()


def learn(start, seed, steps=STEPS, **changed):
    """A U-Net trained from a start, and its history; `changed` are options of the augmentation."""
    torch.manual_seed(seed)
    weights = WEIGHTS if start == "shipped" else None
    net = zoo.build("unet", weights=weights, classes=CLASSES, **SHAPE)
    zoo.new_head(net, CLASSES)                      # even where three classes replace three
    pictures = at_size("train", train_transform(SIZE, **(AUGMENT | changed)), seed)
    history = train.fit(net, loader(pictures, BATCH, shuffle=True, seed=seed, drop_last=True),
                        loader(at_size("val"), BATCH), losses.ce_dice, steps=steps, every=10,
                        lr=RATE[start], classes=CLASSES, seed=seed, device=device, progress=False)
    return net, history

# %% [markdown]
# A batch first (lesson 05): what the network really gets, turned back into pictures.

# %%
batch = at_size("train", train_transform(SIZE, **AUGMENT))
seen = [show.overlay(denormalise(batch[k][0]), batch[k][1].numpy()) for k in range(8)]
show.grid(seen, columns=4, side=2.4, legend=show.class_legend(CLASSES),
          caption="Augmented pictures: still possible ones, their masks still on the things?")
plt.show()

# %% [markdown]
# **Before you run it**: which of the two starts is ahead after ten steps, and which at the end? All
# choices are made on **validation**; the test set stays closed.

# %% tags=["nbval-ignore-output"]
runs = {(start, seed): learn(start, seed) for start in RATE for seed in SEEDS}
fig, ax = plt.subplots(figsize=(7, 3))
for (start, seed), (_, history) in runs.items():
    steps, miou = history.column("step"), history.column("miou")
    ax.plot(steps, miou, ".-", color=show.LINES[list(RATE).index(start)],
            label=f"from {start}" if seed == SEEDS[0] else None)
ax.set(xlabel="step", ylabel="validation mIoU", ylim=(0, 1))
ax.legend(loc="lower right")
show.below(fig, "Three seeds of each start. Flat at the end? If not, train for longer.")
plt.show()

# %%
val = {start: np.array([runs[start, seed][1].rows[-1]["miou"] for seed in SEEDS]) for start in RATE}
best = max(val, key=lambda start: val[start].mean())
print(f"the better start on validation: {best}")
print("its lead is larger than the spread of either over seeds:",
      bool(val[best].min() > max(v.max() for s, v in val.items() if s != best)))
if floor is not None:
    print("every run is above the floor:", bool(min(map(min, val.values())) > np.nanmean(floor)))
assert not STAND_INS or best == "shipped" and val[best].min() > 0.75, "weaker than it should be"

# %% [markdown]
# Now **one change of your own**, by itself, with the same seeds: `learn(best, seed, colour=0)`,
# `steps=200`, `flip=0`, another `RATE`. Say first what you expect. Keep it if validation improves
# by more than the seeds differ, and say so if not: a change that does nothing is a result.

# %% [markdown] tags=["solution-only"]
# > **Expected**: places differ in their light, so that training without changes of colour should do
# > worse on new places.

# %% tags=["solution-only", "nbval-ignore-output"]
plain = np.array([learn(best, seed, colour=0)[1].rows[-1]["miou"] for seed in SEEDS])
for name, scores in (("as it is", val[best]), ("colour=0", plain)):
    print(f"{name:10} validation mIoU {scores.mean():.3f} ± {scores.std(ddof=1):.3f}")

# %% [markdown] tags=["solution-only"]
# > **Found**: the two differ by less than the seeds do. Twelve places show the light that four more
# > are in. The change is not kept; with night among the pictures it should be tried again.

# %% [markdown]
# ## 8 Measure, once
#
# The test set is opened **once**, after the last choice. A second look is a choice by it, and then
# its score is too good. The next function keeps a book: it writes down when the test set was
# scored, and refuses a second time unless `AGAIN` says why. The book is part of what you hand in.

# %% tags=["defines"]
from pathlib import Path


def open_test(folder, what, again=""):
    """Write down that the test set is scored; returns how many times it was, this one included.

    what: the model. Raises ValueError the second time, unless `again` gives a reason.
    """
    book = Path(folder) / "test_scored.txt"
    lines = book.read_text(encoding="utf-8").splitlines() if book.exists() else []
    if lines and not again:
        raise ValueError(f"the test set was scored before ({lines[-1]}): what you change now is "
                         "chosen by it; if it must be, say why as again=, and report both scores")
    lines.append(what + (f"; again, as {again}" if again else ""))
    book.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(lines)

# %%
@torch.inference_mode()
def say(net, part):
    """What a network says about each picture of a part: (N, h, w) int64."""
    net.eval()
    logits = [net(image[None].to(device)).cpu() for image, _ in at_size(part)]
    return torch.cat(logits).argmax(dim=1)


times = open_test(FOLDER, f"U-Net from {best}, {STEPS} steps, {len(SEEDS)} seeds", AGAIN)
predicted = [say(runs[best, seed][0], "test") for seed in SEEDS]     # one (N, h, w) a seed
print(f"the test set was scored {times} time" + "s" * (times > 1))

# %% [markdown]
# Run that cell again, and see what it says. Then restart, with a reason in `AGAIN`.
#
# The score of a recipe is the mean over its seeds, with their spread. Then one network, the first
# seed's: by class, by outline, and by size. Masks of classes do not hold things apart, so a *thing*
# is a connected part here. Small, middling and large ones are cut where a third and two thirds of
# those in the training set are smaller.


# %%
def things(part):
    """The connected parts of each class as instances: (N, h, w) int64, class * 1000 + k."""
    parts_of = [instances_from_semantic(mask.numpy()) for mask in truth[part]]
    return torch.from_numpy(np.stack(parts_of).astype(np.int64))


def areas(instances):
    """The area of every thing, in pixels."""
    return np.concatenate([one[one > 0].unique(return_counts=True)[1] for one in instances])

# %% tags=["nbval-ignore-output"]
scored = [ConfusionMatrix(CLASSES).update(p, truth["test"]) for p in predicted]
ious = np.stack([matrix.iou().numpy() for matrix in scored])         # (seeds, C)
for name, each in zip(CLASSES, ious.T, strict=True):
    print(f"{name:12} test IoU {each.mean():.3f} ± {each.std(ddof=1):.3f} over {len(SEEDS)} seeds")
print(f"\n{scored[0]}")
outlines = boundary_f(predicted[0], truth["test"], len(CLASSES), tolerance=2).nanmean(dim=0)
print("\nboundary F within 2 pixels:",
      ", ".join(f"{n} {f:.2f}" for n, f in zip(CLASSES, outlines, strict=True)))
thirds = np.quantile(areas(things("train")), (1 / 3, 2 / 3)).astype(int).tolist()
for size in iou_by_size(predicted[0], truth["test"], things("test"), thirds):
    print(f"{size.size:20} {size.objects:3} objects, IoU {size.iou:.2f}, recall {size.recall:.2f}")

# %% [markdown]
# Seeds say how much training varies. They do not say how much **the pictures** matter: with another
# dozen, the score would be another. Draw many test sets out of yours: as many *scenes* as there
# are, with repetition (pictures of one scene are near copies, and drawing pictures would look too
# certain). The 5 % and 95 % quantiles of each class's IoU are the interval.


# %%
def interval(matrices, scenes, draws=2000, seed=0):
    """The 5 % and 95 % quantiles of each class's IoU over test sets drawn by scene: (2, C) floats.

    matrices: (N, C, C) int, the confusion matrix of each picture, rows target
    scenes: the N names of their scenes
    """
    ### BEGIN SOLUTION
    known, owner = np.unique(scenes, return_inverse=True)
    each = np.stack([matrices[owner == k].sum(axis=0) for k in range(len(known))])   # (S, C, C)
    drawn = np.random.default_rng(seed).integers(len(known), size=(draws, len(known)))
    total = each[drawn].sum(axis=1)                                                  # (draws, C, C)
    hits = np.diagonal(total, axis1=1, axis2=2)
    union = total.sum(axis=1) + total.sum(axis=2) - hits
    return np.nanquantile(hits / union, [0.05, 0.95], axis=0)
    ### END SOLUTION


alike = np.array([[[6, 2], [2, 6]]] * 4)
small = interval(alike, ["a", "a", "b", "b"])
assert small is None or np.allclose(small, 0.6), f"four alike pictures, IoU 0.6, and not {small}"
apart = interval(np.array([[[1, 0], [0, 9]], [[1, 8], [0, 1]]]), ["a", "b"])
assert apart is None or np.allclose(apart[:, 1], [1 / 9, 1]), f"1/9 to 1 of the second: {apart}"

# %% tags=["nbval-ignore-output"]
each = np.stack([confusion_matrix(p, t, len(CLASSES)).numpy()
                 for p, t in zip(predicted[0], truth["test"], strict=True)])
between = interval(each, [scene_of(s) for s in parts["test"]])
fig, ax = plt.subplots(figsize=(7.5, 0.7 * len(CLASSES) + 1))
for k in range(len(CLASSES)):
    if between is not None:
        ax.plot(between[:, k], [k, k], color="#bbbbbb", linewidth=9, solid_capstyle="butt",
                label="other scenes, 90 %")
    ax.plot(ious[:, k], [k] * len(SEEDS), "o", color=show.LINES[0], label="seeds")
    for value, mark, colour, name in ((floor, "|", show.LINES[1], "floor, on validation"),
                                      (ceiling, "|", show.LINES[2], "you and yourself")):
        if value is not None:
            ax.plot(value[k], k, mark, color=colour, markersize=24, markeredgewidth=3, label=name)
ax.set(xlabel="IoU", xlim=(-0.02, 1.02), ylim=(len(CLASSES) - 0.5, -0.5))
ax.set_yticks(range(len(CLASSES)), CLASSES)
handles, labels = ax.get_legend_handles_labels()
unique = dict(zip(labels, handles, strict=True))
ax.legend(unique.values(), unique.keys(), loc="center left", bbox_to_anchor=(1, 0.5), fontsize=9,
          markerscale=0.5)
show.below(fig, "Your model, between a floor that anybody reaches and what labels allow.")
plt.show()

# %%
missing = [name for name, value in (("floor", floor), ("ceiling", ceiling), ("interval", between))
           if value is None]
print("not drawn yet:", ", ".join(missing) or "nothing")
if not missing:
    print("the mean over seeds lies within the interval over scenes, or near it:",
          bool(((ious.mean(0) > between[0] - 0.05) & (ious.mean(0) < between[1] + 0.05)).all()))
assert not STAND_INS or ious[:, 1].min() > 0.6, "vehicles are found worse than they should be"

# %% [markdown]
# ## 9 Look at the failures
#
# The five pictures with the lowest mIoU, the worst first. Look at them long enough to say **why**,
# for each: is it the *label* (a mistake of yours, or a border case), the *data* (nothing like it
# was trained on), or the *model* (it could have known)?

# %% tags=["nbval-ignore-output"]
by_picture = image_miou(predicted[0], truth["test"], len(CLASSES)).numpy()
worst = [int(k) for k in by_picture.argsort(kind="stable")[:5]]     # NaN, all void, comes last
test_set = at_size("test")
pictures = [denormalise(test_set[k][0]) for k in worst]
rows = [show.overlay(p, truth["test"][k].numpy()) for p, k in zip(pictures, worst, strict=True)]
rows += [show.overlay(p, predicted[0][k].numpy()) for p, k in zip(pictures, worst, strict=True)]
rows += [show.error_map(predicted[0][k].numpy(), truth["test"][k].numpy()) for k in worst]
titles = [f"{scene_of(parts['test'][k])} {by_picture[k]:.2f}" for k in worst]
show.grid(rows, titles, columns=5, side=2.1, legend=show.error_legend(),
          caption="From above: your labels, what the model says, its errors.")
plt.show()

# %%
assert np.array_equal(np.sort(by_picture)[:len(worst)], by_picture[worst]), "the worst first"
print(f"{len(worst)} of {len(by_picture)} pictures; the worst scores below the median:",
      bool(by_picture[worst[0]] < np.nanmedian(by_picture)))

# %% [markdown] tags=["student-only"]
# > **Yours.** Write over this cell.
# >
# > | picture | what is wrong | label, data or model? |
# > |---|---|---|
# > | … | … | … |
# >
# > **How often does each cause occur?** … **What should help, and what came of it?** …

# %% [markdown] tags=["solution-only"]
# > | picture | what is wrong | label, data or model? |
# > |---|---|---|
# > | canal, upright | holds no vehicle: a few false pixels, and its IoU is 0 | score and model |
# > | dairy | a brown van behind a car is missed, all of it | data: few vans |
# > | canal, two more | a blue door at the edge is called a vehicle | data: no such door |
# > | fountain | of a dark car at dusk only the middle is found | data: few at dusk |
# >
# > Label 0, data 4, model 1. Twelve streets do not hold what four new ones do; validation, with
# > four others, did not show it. **What should help**: more streets, above all at dusk, and things
# > that are blue, smooth and no vehicle. It was not tried. (Another machine may find other
# > pictures.)

# %% [markdown]
# The explorer (lesson 08) shows all of the test set, the worst for the second class first. Look at
# what the model gets *right*, too: is it for the right reason?

# %%
explorer = Explorer([denormalise(image) for image, _ in test_set],
                    [mask.numpy().astype(np.uint8) for mask in truth["test"]],
                    {f"from {best}": [p.numpy().astype(np.uint8) for p in predicted[0]]},
                    classes=CLASSES, names=parts["test"], worst=1)
explorer

# %% [markdown]
# ## 10 Report
#
# One page for somebody who has not seen this notebook: the question, the answer with its interval,
# how it was found, and how far it can be trusted. Then two cards, so that the data and the model
# can be used, or left alone, without you. Every number in them stands in an output above.

# %% [markdown] tags=["student-only"]
# > **Yours: the report.** Write over this cell, a page at most.
# >
# > 1. Question, and the answer in a sentence with its interval.
# > 2. Data: how many pictures of how many scenes, how labelled, how well you agree with yourself.
# > 3. Method: split, start, steps, seeds, and what was chosen on validation.
# > 4. Result: IoU of each class with its spread, outlines, sizes; floor and ceiling beside it.
# > 5. Failures, with their causes. What would help most?
# > 6. What so few pictures cannot tell.

# %% [markdown] tags=["solution-only"]
# > **How full is this street?** In streets that it has never seen, a small U-Net finds vehicles
# > with an IoU of about 0.75. It can tell a full street from an empty one, and is not good enough
# > to count free places: whole vans are missed.
# >
# > **Data.** 60 drawn pictures of 20 streets, outlined by one hand. A second outlining of ten of
# > them agrees with the first to an IoU of 0.97 for vehicles: no model can do better on these
# > labels.
# >
# > **Method.** Split by street, 12, 4 and 4 of them. Two starts, 50 steps of 8 pictures, three
# > seeds each. The shipped weights were chosen on validation, by more than the seeds differ. One
# > change, no colour augmentation, made less difference than the seeds, and was dropped. The test
# > set was scored once.
# >
# > **Result.** Vehicles: the three seeds lie between about 0.7 and 0.85, and other streets than
# > these four could move one seed's score between about 0.6 and 0.8. Between the floor, 0.00, and
# > the labels' 0.97 there is room left. Outlines are weak: a boundary F of about 0.5. On validation
# > the same networks looked far better; four streets are few, there as here.
# >
# > **Failures.** Things that twelve streets did not hold: a van behind a car, a blue door, dusk.
# >
# > **What this cannot tell.** Nothing about night, rain or fog, and nothing at all about
# > photographs: these streets come from the program on whose streets the shipped network was
# > trained. Its lead is that of a network that is at home.

# %% [markdown] tags=["student-only"]
# > **Yours: the cards.**
# >
# > | data card | |
# > |---|---|
# > | what, how many, from when and where | … |
# > | classes and border cases | step 1 |
# > | who labelled, with what, how well they agree | … |
# > | rights and people | … |
# > | what is missing; not to be used for | … |
# >
# > | model card | |
# > |---|---|
# > | network, start, steps, seeds, versions (`uv run workbook --check`) | … |
# > | trained, chosen and measured on | … |
# > | scores, with floor, ceiling and interval | … |
# > | where it fails | … |
# > | must not be used for | … |

# %% [markdown] tags=["solution-only"]
# > | data card | |
# > |---|---|
# > | what | 60 drawn pictures of 20 streets, 512 × 384, labelled at 256 × 192 |
# > | classes, border cases | background, vehicle, void: step 1 |
# > | who labelled | a program that sets corners unsteadily; agreement 0.97 (vehicle) |
# > | rights and people | CC BY 4.0; nobody is real |
# > | missing; not for | night, rain, fog, empty streets; not for anything in the world |
# >
# > | model card | |
# > |---|---|
# > | network | U-Net, width 32, depth 3, stem 2, from `unet_street`; 50 steps, seeds 0 to 2 |
# > | trained, chosen, measured on | 12, 4 and 4 streets, pictures of 128 × 96 |
# > | scores | step 8, beside floor, interval and ceiling |
# > | fails at | vans, dark cars at dusk, large smooth things in a car's colours |
# > | must not be used for | photographs, traffic, anything that somebody relies on |

# %% [markdown]
# ## Hand in
#
# This notebook, **run from top to bottom** (*Kernel, Restart Kernel and Run All Cells*, with a
# reason in `AGAIN`), and beside it `images/`, `labels/`, `labels_again/`, `masks/` and
# `test_scored.txt`, as far as their rights allow. Not `photos/`: they know where you were. No
# machine marks it: a person does, by the rubric at the top. Mark yourself by it first.

# %%
done = {
    "pictures of your own": not STAND_INS,
    "40 pictures of 10 scenes or more": len(names) >= 40 and len(scenes) >= 10,
    "ten pictures labelled twice": len(twice) >= 10,
    "the agreement with yourself": ceiling is not None,
    "a floor": floor is not None,
    "three seeds of each start": len(SEEDS) >= 3,
    "an interval over scenes": between is not None,
    "a test set that was scored once, or with a reason": times == 1 or bool(AGAIN),
}
print("\n".join(f"{'✓' if is_done else '○'} {what}" for what, is_done in done.items()))
banner()
