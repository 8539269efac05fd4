"""The exercises of lesson 00, start here."""

from functools import cache, partial

import cv2
import numpy as np

from segutils import street
from segutils.exercises.declare import Case, Exercise, Mistake, Problem, itself, one_case
from segutils.exercises.judging import name_the_broken

VOID = 255

# ---- shares ----------------------------------------------------------------------------------


def _counted(mask, classes):
    return np.bincount(mask[mask != VOID], minlength=classes)


def _shares(mask, classes):
    """Of the pixels that are not void, the share of each class."""
    return _counted(mask, classes) / (mask != VOID).sum()


def _shares_cases(rng):
    def drawn(ids, void, shape=(7, 9)):
        mask = rng.choice(np.array(ids, np.uint8), shape)
        mask[rng.random(shape) < void] = VOID
        mask.flat[:2] = ids[-1], VOID if void else ids[0]
        return mask

    by_hand = np.array([[0, 0, 0, 1], [0, 255, 255, 1], [0, 0, 2, 2]], np.uint8)
    return [
        Case("a 3 × 4 mask", (by_hand, 3)),
        Case("a mask without void", (drawn([0, 1, 2], 0), 3)),
        Case("a mask without a car", (drawn([0, 1], 0.2), 3)),
        Case("a mask of cars alone", (drawn([2], 0.3), 3)),
        Case("a mask of background alone", (drawn([0], 0.2), 3)),
        Case("a large mask", (drawn([0, 0, 0, 1, 2], 0.1, (60, 80)), 3)),
        Case("six classes, two of them absent", (drawn([0, 2, 3, 5], 0.2), 6)),
    ]


def _background_left_out(args, got):
    counts = _counted(*args)[1:]
    whole = [(args[0] != VOID).sum(), max(counts.sum(), 1)]
    return any(np.shape(got) == counts.shape and np.allclose(got, counts / n) for n in whole)


SHARES = Exercise(
    name="ex00.shares",
    title="What is in a mask?",
    aim="measure what share of a picture each class has, with void left out",
    level="warm-up",
    points=2,
    minutes=8,
    cases=_shares_cases,
    oracle=_shares,
    mistakes=(
        Mistake(
            "void_in_total",
            "You count each class rightly, but divide by all pixels of the mask, void among them, "
            "so the shares add up to less than 1. Divide by the pixels that are *not* void.",
            like=lambda mask, classes: _counted(mask, classes) / mask.size,
        ),
        Mistake(
            "void_is_background",
            "Void is counted as background. Void says that nobody could tell: such a pixel belongs "
            "to no class. Leave it out before you count.",
            like=lambda mask, classes: _shares(np.where(mask == VOID, 0, mask), classes),
        ),
        Mistake(
            "counts",
            "These are numbers of pixels, and a good start. A share is such a number divided by "
            "how many pixels there are in all.",
            like=_counted,
        ),
        Mistake(
            "percent",
            "These are per cent. A share lies between 0 and 1: a half is 0.5, not 50.",
            like=lambda mask, classes: 100 * _shares(mask, classes),
        ),
        Mistake(
            "rounded",
            "The shares are right, and then they are rounded. Keep all digits in what you "
            "compute, and round only what you print.",
            like=lambda mask, classes: np.round(_shares(mask, classes), 2),
        ),
        Mistake(
            "background_left_out",
            "Background is missing. It is a class like the others here, the one with id 0.",
            when=_background_left_out,
        ),
        Mistake(
            "void_is_a_class",
            "There are more numbers than classes: 255 has a number of its own, or leaves a row of "
            "zeros before it. Void is no class.",
            when=lambda args, got: np.ndim(got) == 1 and len(got) > args[1],
        ),
        Mistake(
            "absent_class",
            "A class that is not in the picture has no number in yours, so the next one slips "
            "into its place. It needs a share as well: 0. Count the ids 0, 1, 2 … one by one, "
            "rather than those that the mask happens to hold.",
            when=lambda args, got: np.ndim(got) == 1 and len(got) < args[1],
        ),
    ),
    hints=(
        "`mask == 1` is True wherever there is a person, and `.sum()` counts what is True. Do that "
        "for each id.",
        "The numbers of all classes, void left out, add up to what you divide by.",
    ),
    target=lambda: (
        "[[0, 0, 1], [255, 2, 0]] has five pixels that are not void. With 3 classes the shares are "
        "[0.6, 0.2, 0.2].", None,
    ),
)


# ---- match -----------------------------------------------------------------------------------

STREAM = 7  # of this file's street scenes
MODELS = "ABCDE"
KINDS = ("nothing", "missed", "invented", "misnamed", "fat")


def _programs(scene):
    """What five programs say of a scene, {kind: (H, W) uint8}, each wrong in its own way."""
    truth = (scene.instances // 1000).astype(np.uint8)
    ids, sizes = np.unique(scene.instances[truth == 2], return_counts=True)
    smaller, larger = (scene.instances == ids[k] for k in (sizes.argmin(), sizes.argmax()))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (11, 11))
    found = (
        np.zeros_like(truth),
        np.where(truth == 1, 0, truth),
        np.where(larger[:, ::-1], 2, truth),  # its mirror image lies on background
        np.where(smaller, 1, truth),
        np.where(truth == 0, cv2.dilate(truth, disc), truth),
    )
    return {kind: pred.astype(np.uint8) for kind, pred in zip(KINDS, found, strict=True)}


def _shuffled(things, key):
    """The things in an order that no release of NumPy changes."""
    dice = street.Dice(STREAM, key)
    return sorted(things, key=lambda thing: dice.between(0, 2**40))


@cache
def _matching():
    """(scene, {letter: kind}, [kind of row 1, kind of row 2, …])."""
    scene = street.draw(street.scene_seed(STREAM, 208), 128, "plain")
    return scene, dict(zip(MODELS, _shuffled(KINDS, 1), strict=True)), _shuffled(KINDS, 6)


def five_programs():
    """A scene, what five programs say of it, and their scores, which have lost their letters.

    Returns the image (128, 128, 3) uint8, its mask (128, 128) uint8, predictions
    {"A": (128, 128) uint8, …}, and a list of (share of right pixels, IoU of person, IoU of car).
    """
    scene, kinds, rows = _matching()
    said = _programs(scene)
    scores = []
    for kind in rows:
        right, person = _score(said[kind], scene.mask, 1)
        scores.append((right, person, _score(said[kind], scene.mask, 2)[1]))
    return scene.image.copy(), scene.mask.copy(), {a: said[k] for a, k in kinds.items()}, scores


_PAIRS = {
    ("nothing", "fat"):
        "Two of your rows are exchanged. Both programs have about as many right pixels, so that "
        "column cannot tell them apart. But an IoU of 0 says that nothing was found.",
    ("nothing", "missed"):
        "Two of your rows are exchanged. Both programs miss people; only one of them has a car.",
    ("missed", "invented"):
        "Two of your rows are exchanged. An object that is missed costs the class that it *is*; "
        "one that is invented costs the class that was *said*.",
    ("missed", "misnamed"):
        "Two of your rows are exchanged. What is missed costs one class. What is called by a "
        "wrong name costs two: the one that it is, and the one that was said.",
    ("invented", "misnamed"):
        "Two of your rows are exchanged. What is invented costs one class. What is called by a "
        "wrong name costs two: the one that it is, and the one that was said.",
    ("invented", "fat"):
        "Two of your rows are exchanged. Where a class has an IoU of 1.00, not one of its pixels "
        "may be wrong: no rim either.",
}
_ROWS = {
    "nothing":
        "In one row both IoUs are 0.00: not one pixel of a person or a car was found. Look for the "
        "map in which nothing is right but background.",
    "missed":
        "In one row person is 0.00 and car 1.00: every car is perfect, and nobody was found.",
    "invented":
        "In one row person is 1.00 and car is not: all that is wrong has to do with cars, and no "
        "person was touched.",
    "misnamed":
        "One kind of error takes from both classes at once: an object that was found and called "
        "by a wrong name. Which map has that colour, and which row fits it?",
    "fat":
        "In one row both classes were found, yet a great many pixels are wrong. Look for the map "
        "where each object is right and the error lies all around it.",
}


def _read(answer):
    """A dict as {"A": 1, …}, however its letters and numbers are written; raises ValueError."""
    return {str(k).strip().upper(): int(str(v)) for k, v in answer.items()}


def _row_form(answer) -> Problem | None:
    """The Problem of an answer that is no row for each letter; None if it is one."""
    if not isinstance(answer, dict):
        return Problem("type", 'A dict is needed, a row for each letter: {"A": 1, "B": 2, …}.')
    if {str(v).strip().upper() for v in answer.values()} & set(MODELS):
        return Problem("turned_round", 'Letters first, rows second: {"A": 1, …}.')
    try:
        said = _read(answer)
    except ValueError:
        return Problem("type", 'Rows are whole numbers: {"A": 1, …}.')
    if said.keys() - set(MODELS):
        return Problem("letters", "The maps are called A, B, C, D and E.")
    if 0 in said.values():
        return Problem("from_zero", "The rows count from 1 here, as they are printed.")
    if set(said.values()) - set(range(1, 6)):
        return Problem("rows", "There are five rows, 1 to 5.")
    if len(set(said.values())) < len(said):
        return Problem("twice", "One row stands for two maps. Each of the five has its own.")
    if len(said) < len(MODELS):
        return Problem("too_few", "Right or not, some maps have no row yet. Each needs one.")
    return None


def _matched(calls):
    """What is wrong with a row for each letter; None if nothing is."""
    problem = _row_form(calls[0][1])
    if problem:
        return problem
    said = _read(calls[0][1])
    _, kinds, rows = _matching()
    taken = {kinds[letter]: rows[row - 1] for letter, row in said.items()}  # kind: whose row
    for (one, other), text in _PAIRS.items():
        if taken[one] == other and taken[other] == one:
            return Problem(f"{one}_for_{other}", text)
    wrong = next((kind for kind in KINDS if taken[kind] != kind), None)
    return Problem(f"row_{wrong}", _ROWS[wrong]) if wrong else None


MATCH = Exercise(
    name="ex00.match",
    title="Five error maps, five scores",
    aim="read error maps, and tell by eye what each mistake costs in IoU",
    level="warm-up",
    points=2,
    minutes=8,
    cases=one_case,
    examine=_matched,
    call=itself,
    value=True,
    hints=(
        "Begin with the clear ones. 0.00 means that no pixel of the class was found, 1.00 that not "
        "one pixel of it is wrong.",
        "What is missed costs the class that it is. A false alarm costs the class that was said. "
        "A wrong class costs both.",
    ),
    target=lambda: (
        "One program finds nothing. One finds everything, and paints it too fat. The other three "
        "get one thing wrong each: one misses it, one invents it, one calls it by a wrong name.",
        None,
    ),
)


# ---- score -----------------------------------------------------------------------------------


def _score(pred, truth, c, void_in=(), over="either", absent=np.nan):
    """(share of right pixels, IoU of class c); what follows c makes the known mistakes.

    void_in: "share" and "iou", where void is not left out; over: what the pixels that are c in
    both are divided by.
    """
    known = truth != VOID
    everywhere = np.ones_like(known)
    here = everywhere if "share" in void_in else known
    right = (pred == truth)[here].mean()
    here = everywhere if "iou" in void_in else known
    said, true = (pred == c) & here, (truth == c) & here
    below = {"either": (said | true).sum(), "said": said.sum(), "true": true.sum(),
             "sum": (said.sum() + true.sum()) / 2, "all": here.sum()}[over]
    return float(right), float((said & true).sum() / below) if below else absent


def _score_cases(rng):
    def drawn(classes=3, void=0.2, shape=(8, 9)):
        truth = rng.integers(0, classes, shape).astype(np.uint8)
        pred = np.where(rng.random(shape) < 0.6, truth, rng.integers(0, classes, shape))
        truth[rng.random(shape) < void] = VOID
        return pred.astype(np.uint8), truth

    truth = np.array([[0, 0, 0, 0], [0, 1, 255, 2], [0, 1, 255, 2]], np.uint8)
    lazy = np.zeros_like(truth)
    pred, without = drawn(2)
    seen = np.where(truth == VOID, 2, np.minimum(truth, 1)).astype(np.uint8)
    return [
        Case("a program that says background everywhere, and person", (lazy, truth, 1)),
        Case("a program that says background everywhere, and background", (lazy, truth, 0)),
        Case("a prediction without a fault", (np.where(truth == VOID, 0, truth), truth, 2)),
        Case("masks without a car", (pred, without, 2)),
        Case("cars that are said where the truth is void alone",
             (seen, np.where(truth == 2, 0, truth), 2)),
        Case("cars that are not there",
             (2 * (truth == 0).astype(np.uint8), np.minimum(truth, 1), 2)),
        *[Case(f"class {c} in masks with void", (*drawn(), c)) for c in (0, 1, 2)],
        *[Case(f"class {c} in masks without void", (*drawn(void=0), c)) for c in (0, 1, 2)],
    ]


def _void_as_background(pred, truth, c):
    return _score(pred, np.where(truth == VOID, 0, truth), c)


def _same_answer(pred, truth, c):
    """In place of IoU, the pixels where both masks agree on whether this is class c."""
    known = truth != VOID
    return _score(pred, truth, c)[0], ((pred == c) == (truth == c))[known].mean()


SCORE = Exercise(
    name="ex00.score",
    title="Right pixels, and IoU",
    aim="compute the share of right pixels and the IoU of a class, with void left out",
    level="core",
    points=3,
    minutes=12,
    cases=_score_cases,
    oracle=_score,
    mistakes=(
        Mistake(
            "void_counted",
            "Void pixels count in both of your numbers. A prediction is never 255, so each void "
            "pixel counts as wrong. Take them out of both masks first.",
            like=partial(_score, void_in=("share", "iou")),
        ),
        Mistake(
            "void_in_share",
            "The IoU is right. In the share of right pixels void counts, and counts as wrong: a "
            "prediction is never 255. Leave those pixels out there, too.",
            like=partial(_score, void_in=("share",)),
        ),
        Mistake(
            "void_in_union",
            "The share of right pixels is right. In the IoU, pixels count that are the class in "
            "the prediction and void in the truth. Void is left out of every score.",
            like=partial(_score, void_in=("iou",)),
        ),
        Mistake(
            "void_is_background",
            "Void is counted as true background. Nobody knows what such a pixel is: leave it out.",
            like=_void_as_background,
        ),
        Mistake(
            "zero_for_absent",
            "A class that is in neither mask gets an IoU of 0: the worst score, for nothing that "
            "was done wrong. There is nothing to score, so say NaN: `np.nan`.",
            like=partial(_score, absent=0.0),
        ),
        Mistake(
            "one_for_absent",
            "A class that is in neither mask gets an IoU of 1: the best score, for nothing that "
            "was found. There is nothing to score, so say NaN: `np.nan`.",
            like=partial(_score, absent=1.0),
        ),
        Mistake(
            "divides_by_zero",
            "Where the class is in neither mask, the union has 0 pixels, and you divide by them. "
            "Ask first whether there are any; if not, the answer is NaN: `np.nan`.",
            raised="ZeroDivisionError",
        ),
        Mistake(
            "exchanged",
            "Both numbers are right, but they stand in the other order: the share of right pixels "
            "first, then the IoU.",
            like=lambda *args: _score(*args)[::-1],
        ),
        Mistake(
            "percent",
            "A number above 1 comes back. Both are shares: 1 is the best there is, not 100.",
            when=lambda args, got: got is not None and max(got) > 1,
        ),
        Mistake(
            "of_the_truth",
            "You divide by the pixels that are the class in the truth. Then a program that calls "
            "everything a car has a perfect score for cars. Divide by those that are the class in "
            "the truth **or** in the prediction.",
            like=partial(_score, over="true"),
        ),
        Mistake(
            "of_the_prediction",
            "You divide by the pixels that are the class in the prediction. Then a program that "
            "finds one pixel of a car has a perfect score for cars. Divide by those that are the "
            "class in the truth **or** in the prediction.",
            like=partial(_score, over="said"),
        ),
        Mistake(
            "counted_twice",
            "You add the pixels of both masks, so that those which are the class in both count "
            "twice. In the union each counts once: `|` says *or* for two arrays of True and False.",
            like=lambda pred, truth, c: (
                _score(pred, truth, c)[0], _score(pred, truth, c, over="sum")[1] / 2),
        ),
        Mistake(
            "dice",
            "This is Dice, a cousin of IoU that lesson 04 is about: twice the pixels in both, by "
            "the sum of the two areas. IoU has the union below, where each pixel counts once.",
            like=partial(_score, over="sum"),
        ),
        Mistake(
            "of_all_pixels",
            "You divide by all pixels. Then even a perfect answer scores little where the object "
            "is small. Divide by the pixels that are the class in at least one of the two masks.",
            like=partial(_score, over="all"),
        ),
        Mistake(
            "same_answer",
            "Your IoU also counts the pixels that are the class in *neither* mask. There are very "
            "many of them, and they are easy: it is the lazy program's trick once more.",
            like=_same_answer,
        ),
    ),
    hints=(
        "Void first: `known = truth != 255` is True where it counts, and `pred[known]` and "
        "`truth[known]` are what is left.",
        "Two questions for each pixel that is left: is it the class in the truth, is it the class "
        "in the prediction? `&` is *and*, `|` is *or*, and `.sum()` counts.",
    ),
    target=lambda: (
        "Truth [1, 1, 0, 0, 255], prediction [1, 0, 1, 0, 1], class 1: two of four pixels are "
        "right, 0.5. One is the class in both, three in at least one: 1/3. For class 2: 0.5, NaN.",
        None,
    ),
)


# ---- leak ------------------------------------------------------------------------------------

TESTED = "ABCDEFGH"
SEEN = 24  # pictures in the training set
LEAKS = {
    "copy": lambda image: image,
    "mirrored": lambda image: image[:, ::-1],
    "darker": lambda image: (image * 0.55).astype(np.uint8),
}


@cache
def _leaky():
    """(training pictures, test pictures, {letter: leak}), the same on every machine."""
    scenes = [street.draw(street.scene_seed(STREAM, k), 96, "plain") for k in range(SEEN + 8)]
    images = [scene.image for scene in scenes]
    train, test = images[:SEEN], dict(zip(TESTED, images[SEEN:], strict=True))
    leaks = dict(zip(_shuffled(TESTED, 3), LEAKS, strict=False))
    for (letter, leak), k in zip(leaks.items(), _shuffled(range(SEEN), 4), strict=False):
        test[letter] = LEAKS[leak](train[k])
    return train, test, leaks


def leaky_split():
    """Training pictures, a list of (96, 96, 3) uint8, and test pictures {"A": (96, 96, 3), …}.

    Three of the eight test pictures show what stands in the training set.
    """
    train, test, _ = _leaky()
    return [image.copy() for image in train], {a: image.copy() for a, image in test.items()}


_LEAK_HINTS = {
    "copy":
        "A leak is missing: one more test picture is in the training set just as it is. Take "
        "one striking thing of each test picture, and look for that alone.",
    "mirrored":
        "A leak is missing: one more test picture is in the training set the other way round, "
        "left for right. A picture that was flipped still shows the same street.",
    "darker":
        "A leak is missing: one more test picture is in the training set, only lighter there. "
        "Do not compare colours; compare what stands where.",
}


def _leaks_named(calls):
    """What is wrong with a set of letters; None if nothing is."""
    leaks = _leaky()[2]
    hints = {
        "letters": "The test pictures are called A to H.",
        "none": "Three of the eight test pictures are in the training set as well.",
        "all": "Not all eight: five of them were never in the training set.",
        "intact_ones": "These are the good ones. Name those that the training set has seen.",
    }
    hints |= {f"missed_{letter}": _LEAK_HINTS[leak] for letter, leak in leaks.items()}
    hints |= {
        f"accused_{letter}":
            f"Picture {letter} is in the test set alone. A street of the same colours, or with the "
            "same light, is no leak: it has to be the same things in the same places."
        for letter in TESTED
    }
    problem = name_the_broken(calls[0][1], TESTED, set(leaks), hints)
    if problem and problem.key.startswith("missed_"):  # tables name the kind, not the letter
        return Problem(f"missed_{leaks[problem.key[-1]]}", problem.hint)
    if problem and problem.key.startswith("accused_"):
        return Problem("accused", problem.hint)
    return problem


LEAK = Exercise(
    name="ex00.leak",
    title="Which test pictures are no test?",
    aim="find the test pictures that show what is in the training set too",
    level="core",
    points=2,
    minutes=8,
    cases=one_case,
    examine=_leaks_named,
    call=itself,
    value=True,
    hints=(
        "Choose one striking thing in a test picture, such as a car's place and direction, and go "
        "along the training pictures looking for that alone. Then the next one.",
        "A picture stays the same picture when it is flipped, or lighter, or darker.",
    ),
    target=lambda: (
        "Three are there: one just as it is, one mirrored, and one darker than in training.", None),
)

EXERCISES = (SHARES, MATCH, SCORE, LEAK)
