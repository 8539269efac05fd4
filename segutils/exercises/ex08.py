"""The exercises of lesson 08, the overlay explorer."""

from functools import cache, partial

import cv2
import numpy as np
from traitlets import Float, HasTraits, Int, TraitError

from segutils import masks, street
from segutils.exercises.calling import stub
from segutils.exercises.declare import Case, Exercise, Mistake, Problem, itself, one_case

VOID = 255

# ---- overlay ---------------------------------------------------------------------------------


def _overlay(image, mask, palette, alpha, shown):
    """The nearest whole numbers, in floats."""
    weight = alpha * np.isin(mask, list(shown))[..., None]
    return np.rint((1 - weight) * image + weight * palette[mask]).astype(np.uint8)


def _overlay_cases(rng):
    def case(label, alpha, shown, shape=(6, 8)):
        image = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
        image[:2] = rng.integers(200, 256, (2, shape[1], 3))  # bright: sums of 8 bits wrap here
        mask = rng.choice([0, 1, 2, VOID], shape).astype(np.uint8)
        mask[:2] = rng.choice([1, 2], (2, shape[1]))
        palette = rng.integers(0, 256, (256, 3), dtype=np.uint8)
        palette[0], palette[1], palette[VOID] = 0, (250, 180, 10), (224, 224, 224)
        return Case(label, (image, mask, palette, alpha, shown))

    return [
        case("half of each, background bare", 0.5, {1, 2, VOID}),
        case("alpha 0", 0.0, {1, 2, VOID}),
        case("alpha 1", 1.0, {1, 2, VOID}),
        case("void switched off", 0.7, {1, 2}),
        case("only persons shown", 0.3, {1}),
        case("background shown too", 0.4, {0, 1, 2}),
        case("nothing shown", 0.6, set()),
        case("an oblong picture", 0.8, {2, VOID}, (3, 11)),
    ]


def _eight_bits(image, mask, palette, alpha, shown):
    """Blended with weights of 0..255 without leaving uint8."""
    share = np.uint8(255 * alpha)
    mixed = (image * np.uint8(255 - share) + palette[mask] * share) // np.uint8(255)
    return np.where(np.isin(mask, list(shown))[..., None], mixed, image)


def _blacked_out(image, mask, palette, alpha, shown):
    """What is not shown is painted black instead of not at all."""
    colours = palette * np.isin(np.arange(256), list(shown))[:, None]
    return np.rint((1 - alpha) * image + alpha * colours[mask]).astype(np.uint8)


def _shown_instead(change):
    """`_overlay` with other ids shown: `change(shown)`."""
    return lambda image, mask, palette, alpha, shown: _overlay(image, mask, palette, alpha,
                                                               change(shown))


def _near_bytes(got, expected) -> Problem | None:
    """Equal to within 1 of 255, and still a picture of uint8."""
    got = np.asarray(got)
    if got.dtype.kind not in "biuf":
        return Problem("type", "an array of numbers is needed, a picture.")
    if got.shape != expected.shape:
        return Problem("shape", f"the shape is {got.shape}, but {expected.shape} is needed.")
    if got.dtype != np.uint8:
        if got.size and got.max() <= 1 and expected.max() > 1:
            return Problem("unit_range", "the values lie in 0..1: a picture is uint8, 0..255.")
        return Problem("dtype", f"this is {got.dtype}: round, and convert to uint8.")
    off = np.abs(got.astype(int) - expected).max(axis=2)
    if not (off > 1).any():
        return None
    y, x = np.argwhere(off > 1)[0]
    where = f"the first in row {y}, column {x}, where yours is {got[y, x].tolist()}."
    return Problem("values", f"{(off > 1).sum()} of {off.size} pixels are off by more than 1, "
                   f"{where}")


def _painting(key, hint, like) -> Mistake:
    """A mistake that is known by what it paints, to within a step of rounding."""
    def when(args, got):
        wrong = like(*args)
        return _near_bytes(got, wrong) is None and _near_bytes(wrong, _overlay(*args)) is not None

    return Mistake(key, hint, like=like, when=when)


def _overlay_target():
    scene = street.draw(street.scene_seed(9, 3), 128, "plain")
    drawn = _overlay(scene.image, scene.mask, masks.PALETTE, 0.5, {1, VOID})
    return "With {1, 255} shown, half and half: persons and void, and no cars.", drawn


OVERLAY = Exercise(
    name="ex08.overlay",
    title="An overlay by hand",
    aim="paint chosen classes of a mask over a picture, and leave the rest untouched",
    level="warm-up",
    points=2,
    minutes=12,
    cases=_overlay_cases,
    oracle=_overlay,
    compare=_near_bytes,
    mistakes=(
        _painting(
            "wraps",
            "Bright pixels come out dark: a product or a sum did not fit into eight bits and began "
            "again at 0. Widen both pictures before you multiply.",
            like=_eight_bits,
        ),
        _painting(
            "alpha_reversed",
            "At alpha 0 this shows paint alone. Alpha is the share of the *colour*.",
            like=lambda image, mask, palette, alpha, shown: _overlay(image, mask, palette,
                                                                     1 - alpha, shown),
        ),
        _painting(
            "blacked_out",
            "What is not shown is mixed with black: the street gets dark. A pixel that is not "
            "painted keeps the picture's own colour; the weight must be 0, not the paint.",
            like=_blacked_out,
        ),
        _painting(
            "nothing_painted",
            "Nothing is painted at all. np.isin takes a set for one single thing, in which nothing "
            "is found, and says nothing about it: give it a list.",
            like=_shown_instead(lambda shown: ()),
        ),
        _painting(
            "alpha_ignored",
            "Your paint covers the picture whatever alpha is. Only a share of `alpha` is paint; "
            "the rest is the picture.",
            like=lambda image, mask, palette, alpha, shown: _overlay(image, mask, palette, 1.0,
                                                                     shown),
        ),
        _painting(
            "all_painted",
            "Every id is painted, whatever `shown` says, and background with them.",
            like=_shown_instead(lambda shown: range(256)),
        ),
        _painting(
            "shown_ignored",
            "Background stays bare, and every other id is painted, whatever `shown` says. Ask of "
            "each pixel whether its id is among those shown.",
            like=_shown_instead(lambda shown: range(1, 256)),
        ),
        _painting(
            "void_forgotten",
            "Void is never painted. 255 is an id like the others here: it is shown if it is among "
            "`shown`.",
            like=_shown_instead(lambda shown: set(shown) - {VOID}),
        ),
        _painting(
            "background_forgotten",
            "Background is never painted, even where 0 is among `shown`. It is the caller who "
            "leaves it out, not the function.",
            like=_shown_instead(lambda shown: set(shown) - {0}),
        ),
        _painting(
            "bgr",
            "Red and blue of the paint are exchanged. The palette is RGB, as the picture is.",
            like=lambda image, mask, palette, alpha, shown: _overlay(
                image, mask, palette[:, ::-1], alpha, shown),
        ),
    ),
    hints=(
        "One weight for each pixel: alpha where its id is shown, 0 elsewhere, with an axis more so "
        "that it fits three channels. Then (1 - weight) * image + weight * colour, in floats.",
    ),
    target=_overlay_target,
)


# ---- link ------------------------------------------------------------------------------------


class Slider(HasTraits):
    """A slider in per cent, as `ipywidgets.IntSlider` has it, without a page to stand on."""

    value = Int(50, min=0, max=100)


class Looker(HasTraits):
    """The threshold of an `Explorer`, without the explorer."""

    threshold = Float(0.0, min=0, max=1)


def _drive(answer, start, actions):
    """Link a slider and an explorer, then move both: what they were after each action.

    Returns {"rows": [(slider, threshold), …], "end": whether a function came back, "others": how
    often somebody else's observers were called}, or {"fault": …} where a trait refused.
    """
    slider, explorer, calls = Slider(), Looker(threshold=start), []
    slider.observe(calls.append, "value")
    explorer.observe(calls.append, "threshold")
    try:
        end = answer(slider, explorer)
        if end is None and stub(answer):
            raise NotImplementedError
        rows = [(slider.value, explorer.threshold)]
        for who, value in actions:
            if who == "end":
                if not callable(end):
                    return {"rows": rows, "end": False, "others": 0}
                end()
                calls.clear()
            else:
                setattr(*((slider, "value") if who == "slider" else (explorer, "threshold")), value)
            rows.append((slider.value, explorer.threshold))
    except TraitError as refused:
        return {"fault": "jslink" if "expected a Widget" in str(refused) else "percent"}
    return {"rows": rows, "end": True, "others": len(calls)}


def _expected(start, actions):
    """The rows of a right link, by arithmetic alone."""
    rows, linked = [(round(100 * start), start)], True
    for who, value in actions:
        percent, threshold = rows[-1]
        if who == "end":
            linked = False
        elif who == "slider":
            percent, threshold = value, value / 100 if linked else threshold
        else:
            percent, threshold = round(100 * value) if linked else percent, value
        rows.append((percent, threshold))
    return rows


_LINK_HINTS = {
    "jslink":
        "`jslink` ties widgets in the browser, and makes two values *equal*. Here one counts in "
        "per cent and the other does not, so Python has to compute between them.",
    "percent":
        "A trait refused what you gave it: the slider counts 0 … 100 in whole numbers, the "
        "threshold 0 … 1. Divide on one way, multiply and round on the other.",
    "wrong_way":
        "At the start the slider overwrote the threshold. Whoever links a control to an explorer "
        "wants the control to show what is there: the explorer's value counts.",
    "not_started":
        "After linking, the slider does not show the explorer's threshold until something moves. "
        "Set it once, right away.",
    "slider_only":
        "The slider moves the threshold, but when the threshold is moved (in the explorer, by "
        "mouse) the slider stays. Both ways, please.",
    "explorer_only":
        "The slider follows the threshold, but moving the slider changes nothing. Both ways, "
        "please.",
    "cut_off":
        "100 · 0.29 is a hair under 29 in floats, and int() cuts it to 28. Round.",
    "echo":
        "The threshold was set to a value between two per cents, and was changed back to the whole "
        "one: the slider followed, and its own observer answered. Set the threshold only where "
        "the slider was *moved to another per cent* than it already stands for.",
    "no_end":
        "What comes back is no function. Return one that takes no arguments and ends the link.",
    "still_linked":
        "After the function that ends it was called, the two still move together. Take both "
        "observers off again.",
    "others_gone":
        "Ending your link also silenced somebody else's observers: `unobserve_all` takes off all "
        "of them. Take off those that you put on.",
}


def _linked(calls):
    """What is wrong with the first link that does not do as it should; None if all do."""
    for (start, actions), got in calls:
        key = _link_fault(start, actions, **got)
        if key:
            return Problem(key, _LINK_HINTS[key])
    return None


def _link_fault(start, actions, rows=(), end=True, others=2, fault=""):
    if fault:
        return fault
    expected = _expected(start, actions)
    for k, (mine, right) in enumerate(zip(rows, expected, strict=False)):
        if mine[0] == right[0] and abs(mine[1] - right[1]) < 1e-9:
            continue
        return _why(rows, expected, k, actions)
    if not end:
        return "no_end"
    return "others_gone" if others < 2 else ""


def _why(rows, expected, k, actions):
    """The key for the first row that is not as it should be."""
    mine, right = rows[k], expected[k]
    if mine[0] == int(100 * mine[1]) == right[0] - 1:
        return "cut_off"
    if k == 0:
        return "wrong_way" if abs(mine[1] - right[1]) > 1e-9 else "not_started"
    who = actions[k - 1][0]
    if ("end", None) in actions[: k - 1]:
        return "still_linked"
    if who == "slider":
        return "explorer_only"
    return "echo" if mine[0] == right[0] else "slider_only"


def _link_cases(rng):
    between = (rng.integers(5, 95, 3) + 0.3) / 100  # between two per cents
    whole = rng.choice(np.arange(10, 90), 6, replace=False).tolist()
    return [
        Case("a threshold of 0, and the slider moved",
             (0.0, [("slider", whole[0]), ("slider", whole[1]), ("end", None),
                    ("slider", whole[2]), ("explorer", 0.11)])),
        Case("0.29 at the start", (0.29, [("explorer", 0.57), ("slider", whole[3]),
                                          ("end", None), ("explorer", 0.9), ("slider", 3)])),
        Case("thresholds between two per cents",
             (float(between[0]), [("explorer", float(between[1])), ("slider", whole[4]),
                                  ("explorer", float(between[2])), ("slider", whole[5]),
                                  ("end", None), ("explorer", 0.5), ("slider", 70)])),
    ]


LINK = Exercise(
    name="ex08.link",
    title="A slider in per cent, both ways",
    aim="link two widgets both ways with a conversion, and end the link cleanly",
    level="core",
    points=3,
    minutes=20,
    cases=_link_cases,
    examine=_linked,
    call=_drive,
    hints=(
        "Two observers, one on each side. Each computes what the other side should show, and sets "
        "it. Then ask what happens when the second one is woken by the first.",
        "`traitlets.link` takes a pair of functions, `transform=(there, back)`, and what it "
        "returns has an `unlink`. Which side comes first decides who counts at the start.",
    ),
    target=lambda: (
        "Threshold 0.333: the slider shows 33, and the threshold stays 0.333. Slider to 60: the "
        "threshold is 0.6. After the end each keeps its own.", None,
    ),
)


# ---- borders ---------------------------------------------------------------------------------


def _border(ids, sides=((0, 1), (1, 0)), both=True):
    """Pixels with a neighbour of another id; `sides`, `both`: for the known mistakes."""
    edge = np.zeros(ids.shape, bool)
    height, width = ids.shape
    for down, right in sides:
        differs = ids[down:, right:] != ids[: height - down, : width - right]
        edge[: height - down, : width - right] |= differs
        if both:
            edge[down:, right:] |= differs
    return edge


def _near(ids, reach, border=_border, shape=cv2.MORPH_RECT):
    """Pixels at most `reach` rows and columns from a border."""
    kernel = cv2.getStructuringElement(shape, (2 * reach + 1, 2 * reach + 1))
    return cv2.dilate(border(ids).astype(np.uint8), kernel) > 0


def _diamond(ids, reach):
    """At most `reach` steps away, not rows and columns."""
    return cv2.dilate(_border(ids).astype(np.uint8), cv2.getStructuringElement(
        cv2.MORPH_CROSS, (3, 3)), iterations=reach) > 0


def _void_is_no_border(ids, reach):
    """Borders with void are left out: void counts as whatever lies beside it."""
    def border(ids):
        edge = np.zeros(ids.shape, bool)
        for axis in (0, 1):
            a, b = np.moveaxis(ids, axis, 0)[1:], np.moveaxis(ids, axis, 0)[:-1]
            differs = (a != b) & (a != VOID) & (b != VOID)
            np.moveaxis(edge, axis, 0)[1:] |= differs
            np.moveaxis(edge, axis, 0)[:-1] |= differs
        return edge

    return _near(ids, reach, border)


def _rolled(ids, reach):
    """Borders by np.roll, so that the picture's right side touches its left."""
    return _near(ids, reach, lambda ids: np.any(
        [ids != np.roll(ids, step, axis) for axis in (0, 1) for step in (1, -1)], axis=0))


def _picture_edge(ids, reach):
    """The outermost pixels of the picture are borders too."""
    def border(ids):
        edge = _border(ids)
        edge[[0, -1]], edge[:, [0, -1]] = True, True
        return edge

    return _near(ids, reach, border)


def _disc(ids, reach):
    """At most `reach` away in a straight line."""
    return cv2.distanceTransform((~_border(ids)).astype(np.uint8), cv2.DIST_L2,
                                 cv2.DIST_MASK_PRECISE) <= reach


def _corners_too(ids, reach):
    """Pixels that touch at a corner are neighbours too."""
    wide = cv2.copyMakeBorder(ids, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    height, width = ids.shape
    shifts = [wide[y:y + height, x:x + width] for y in range(3) for x in range(3)]
    return _near(ids, reach, lambda ids: np.any([ids != shift for shift in shifts], axis=0))


def _shares(pred, truth, classes, reach, near=_near, whose="truth", of="wrong", lacking=np.nan,
            ask="truth"):
    """Of each class the share of its wrong pixels near a border; the rest makes known mistakes."""
    close = near(truth if ask == "truth" else pred, reach)
    wrong = (pred != truth) & (truth != VOID)
    ids = truth if whose == "truth" else np.where(truth == VOID, VOID, pred)
    found = []
    for c in range(classes):
        mine = ids == c
        above = (wrong & close & mine).sum()
        below = {"wrong": wrong & mine, "class": mine, "near": close & mine, "all": wrong}[of].sum()
        found.append(above / below if below else lacking)
    return np.array(found, float)


def _scribbled(rng, classes, shape=(24, 30)):
    """A truth of rectangles with some void, and a prediction that errs near borders and far off."""
    truth = np.zeros(shape, np.uint8)
    for _ in range(2 * classes):
        y, x = rng.integers(0, shape[0] - 6), rng.integers(0, shape[1] - 6)
        height, width = rng.integers(4, 12, 2)
        truth[y:y + height, x:x + width] = rng.integers(0, classes)
    pred = truth.copy()
    flip = rng.random(shape) < np.where(_border(truth), 0.4, 0.15)
    pred[flip] = rng.integers(0, classes, flip.sum())
    truth[rng.random(shape) < 0.01] = VOID
    truth[rng.integers(2, 20):, :2] = VOID
    return pred, truth


def _borders_cases(rng):
    pred, truth = _scribbled(rng, 3)
    perfect = np.where(truth == VOID, 0, truth).astype(np.uint8)
    no_errors = np.where(truth == 1, 1, pred).astype(np.uint8)
    cases = [Case("a picture of three classes", (pred, truth, 3, 2)),
             Case("a class without a wrong pixel", (no_errors, truth, 3, 2)),
             Case("a perfect prediction", (perfect, truth, 3, 2)),
             Case("a class that is not there", (*_scribbled(rng, 3), 4, 1))]
    for reach in (0, 1, 2, 3):
        cases.append(Case(f"a reach of {reach}", (*_scribbled(rng, 4), 4, reach)))
    return cases


def _borders_like(**options):
    return partial(_shares, **options)


BORDERS = Exercise(
    name="ex08.borders",
    title="Whose errors are borders?",
    aim="measure for each class which share of its errors lies near a border",
    level="core",
    points=3,
    minutes=20,
    cases=_borders_cases,
    oracle=_shares,
    mistakes=(
        Mistake(
            "zero_for_none",
            "A class without a wrong pixel gets 0: as if its errors all lay far from borders. It "
            "has none, so there is no share: NaN.",
            like=_borders_like(lacking=0.0),
        ),
        Mistake(
            "one_for_none",
            "A class without a wrong pixel gets 1. It has none, so there is no share: NaN.",
            like=_borders_like(lacking=1.0),
        ),
        Mistake(
            "said_class",
            "The errors are sorted by the class that was *predicted*. Asked for is the true class: "
            "of all its pixels that were got wrong, how many lie near a border?",
            like=_borders_like(whose="pred"),
        ),
        Mistake(
            "of_the_class",
            "You divide by all pixels of the class. Then a good model has a small share whatever "
            "it gets wrong. Divide by its *wrong* pixels.",
            like=_borders_like(of="class"),
        ),
        Mistake(
            "turned_round",
            "This is the share of the pixels near a border that are wrong. Asked for is the share "
            "of the wrong ones that are near a border.",
            like=_borders_like(of="near"),
        ),
        Mistake(
            "of_all_errors",
            "You divide by the errors of all classes together. Each class has a share of its own.",
            like=_borders_like(of="all"),
        ),
        Mistake(
            "border_of_the_prediction",
            "These are the borders of the *prediction*. It draws a border around each of its "
            "mistakes, so that each mistake lies at one. Take the truth's.",
            like=_borders_like(ask="pred"),
        ),
        Mistake(
            "void_no_border",
            "Void makes no border in yours. Along an object the void line *is* the border: 255 "
            "counts as an id here.",
            like=_borders_like(near=_void_is_no_border),
        ),
        Mistake(
            "one_side",
            "Only one pixel of each pair that differs counts as border in yours, so that the line "
            "lies to one side of it. Both do.",
            like=_borders_like(near=partial(_near, border=partial(_border, both=False))),
        ),
        Mistake(
            "diamond",
            "You go `reach` steps to the side or up and down: a diamond. At most `reach` rows "
            "*and* columns away is a square.",
            like=_borders_like(near=_diamond),
        ),
        Mistake(
            "disc",
            "You measure the straight distance: a disc. At most `reach` rows *and* columns away is "
            "a square.",
            like=_borders_like(near=_disc),
        ),
        Mistake(
            "corners_too",
            "Pixels that only touch at a corner are neighbours in yours. Left, right, above and "
            "below are asked for.",
            like=_borders_like(near=_corners_too),
        ),
        Mistake(
            "picture_edge",
            "The edge of the picture is a border in yours. Nothing lies beyond it that could have "
            "another id.",
            like=_borders_like(near=_picture_edge),
        ),
        Mistake(
            "round_the_world",
            "The right side of your picture touches the left, and the bottom the top: np.roll "
            "brings back what it pushes out. Compare slices instead.",
            like=_borders_like(near=_rolled),
        ),
        Mistake(
            "reach_less",
            "Your band is one pixel too narrow on each side. With a reach of 0 the border pixels "
            "themselves are near.",
            like=_borders_like(near=lambda ids, reach: _near(ids, max(reach - 1, 0))),
        ),
        Mistake(
            "reach_more",
            "Your band is one pixel too wide on each side. With a reach of 0 only the border "
            "pixels themselves are near.",
            like=_borders_like(near=lambda ids, reach: _near(ids, reach + 1)),
        ),
    ),
    hints=(
        "Three planes of booleans: wrong (void never is), near, and of class c. Two of the counts "
        "that they make are divided.",
        "Near: dilate the border pixels by a square of 2 · reach + 1 (cv2.dilate takes uint8), or "
        "look at all shifts of at most `reach` rows and columns.",
    ),
    target=lambda: (
        "Truth [0, 0, 0, 0, 1, 1] in one row, prediction [1, 0, 0, 0, 1, 0], reach 1. Border "
        "pixels: columns 3 and 4; near: 2 to 5. Of class 0 one pixel is wrong, far off: 0. Of "
        "class 1 one is, near: 1.", None,
    ),
)


# ---- planted ---------------------------------------------------------------------------------

FAULTS = ("shifted", "swapped", "forgotten", "other picture")
PICTURES = 16
HARD = 5  # this one is hard for a model, and rightly labelled


def _shifted(scene):
    moved = np.zeros_like(scene.mask)
    moved[:, 5:] = scene.mask[:, :-5]
    return moved


def _swapped(scene):
    table = np.arange(256, dtype=np.uint8)
    table[[1, 2]] = 2, 1
    return table[scene.mask]


def _forgettable(scene):
    """The largest object that stands by itself and is no giant; 0 if there is none."""
    best = 0
    for one in np.unique(scene.instances[scene.instances > 0]).tolist():
        body = scene.instances == one
        around = cv2.dilate(body.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        alone = not (around & ~body & (scene.instances > 0)).any()
        if alone and 250 <= body.sum() <= 1500:
            best = max(best, one, key=lambda k: (scene.instances == k).sum() if k else 0)
    return best


def _forgotten(scene):
    body = scene.instances == _forgettable(scene)
    around = cv2.dilate(body.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    return np.where(around, 0, scene.mask).astype(np.uint8)  # with its rim of void


@cache
def _planted(seed=8):
    """(scenes, masks as somebody labelled them, {picture: fault}): the same on every machine."""
    scenes = [street.draw(street.scene_seed(seed, k), 128, "plain") for k in range(PICTURES)]
    scenes[HARD] = street.draw(885, 128, "full")
    given, faults = [scene.mask for scene in scenes], {}
    fits = {
        "shifted": lambda s: (s.mask == 2).sum() > 1000 and (s.mask == 1).sum() > 300,
        "swapped": lambda s: (s.mask == 2).sum() > 300 and (s.mask == 1).sum() > 300,
        "forgotten": _forgettable,
        "other picture": lambda s: (s.mask > 0).sum() > 1000,
    }
    spoil = {"shifted": _shifted, "swapped": _swapped, "forgotten": _forgotten,
             "other picture": lambda s: street.draw(street.scene_seed(seed, PICTURES + 2), 128,
                                                    "plain").mask}
    order = np.random.default_rng(seed).permutation(PICTURES).tolist()
    for fault in FAULTS:
        k = next(k for k in order if k != HARD and k not in faults and fits[fault](scenes[k]))
        given[k], faults[k] = spoil[fault](scenes[k]), fault
    return scenes, given, faults


def labelled_by_somebody():
    """Sixteen street scenes as a labeller handed them in: a list of images (128, 128, 3) uint8, and
    one of masks (128, 128) uint8. Four masks are wrong."""
    scenes, given, _ = _planted()
    return [scene.image.copy() for scene in scenes], [mask.copy() for mask in given]


_PLANTED_HINTS = {
    "shifted":
        "One mask with a fault is not in your answer. Draw outlines instead of areas: in one "
        "picture they sit beside the things, all by the same few pixels.",
    "swapped":
        "One mask with a fault is not in your answer. The error layer has a colour for one object "
        "class in place of another: in one picture everything is of that colour.",
    "forgotten":
        "One mask with a fault is not in your answer: something whole is missing in it. The model "
        "finds it, so it looks like one large false alarm.",
    "other picture":
        "One mask with a fault is not in your answer. Nothing in it belongs to its picture.",
}
_MIXED = {
    ("shifted", "other picture"):
        "The shapes in that mask are those of its picture, only not in their place.",
    ("other picture", "shifted"):
        "No shift brings that mask onto its picture: count the things in both.",
    ("forgotten", "other picture"):
        "All but one of the things in that mask sit where they should.",
}


def _searched(calls):
    """What is wrong with a dict of faults; None if nothing is."""
    answer, faults = calls[0][1], _planted()[2]
    if not isinstance(answer, dict):
        return Problem("type", 'A dict is needed: {0: "shifted", …}.')
    if not all(str(k).strip().isdigit() and int(k) < PICTURES for k in answer):
        return Problem("numbers", "The keys are the numbers of the pictures, 0 to 15: "
                       '{0: "shifted", …}.')
    said = {int(k): str(v).strip().lower() for k, v in answer.items()}
    unknown = sorted(set(said.values()) - set(FAULTS))
    if unknown:
        return Problem("words", f"{unknown[0]!r} is none of the faults: {', '.join(FAULTS)}.")
    if not said:
        return Problem("none", "Four of the sixteen masks are wrong. Sort the pictures by their "
                       "IoU, the worst first: a good model disagrees with bad labels.")
    if said.keys() == {k + 1 for k in faults}:
        return Problem("from_one", "Each of your numbers is one too high: pictures count from 0, "
                       "as in `explorer.picture`.")
    if len(said) > len(faults):
        return Problem("too_many", "There are four wrong masks, and you name more. Where a model "
                       "and a label disagree it may be the model that is wrong.")
    if HARD in said:
        return Problem("hard_one", f"In picture {HARD} model and label disagree, and it is the "
                       "model that is wrong: look at the picture without paint.")
    wrong = sorted(said.keys() - faults.keys())
    if wrong:
        return Problem("accused", f"The mask of picture {wrong[0]} is right: all of it sits on "
                       "what it names.")
    for k, fault in faults.items():
        if k not in said:
            return Problem(f"missed_{fault.replace(' ', '_')}", _PLANTED_HINTS[fault])
        if said[k] != fault:
            hint = _MIXED.get((fault, said[k]), "What exactly is wrong with it? Switch the paint "
                              "on and off, and compare each thing with its label.")
            return Problem(f"not_{said[k].replace(' ', '_')}",
                           f"Picture {k} has a wrong mask, but not of that kind. {hint}")
    return None


PLANTED = Exercise(
    name="ex08.planted",
    title="Find the planted faults",
    aim="find wrong labels with a model's disagreements, and judge by the picture",
    level="stretch",
    points=3,
    minutes=20,
    cases=one_case,
    examine=_searched,
    call=itself,
    value=True,
    hints=(
        "Worst first, by person and then by car; the error layer; then outlines, to see whether "
        "the mask sits on the things. Decide by the picture, not by the model.",
        "A model that has never seen these labels disagrees with bad ones in large, plain areas. "
        "One large disagreement of the sixteen is the model's own.",
    ),
    target=lambda: (
        "Four faults, each of another kind, and one picture that only looks like a fifth.", None),
)

EXERCISES = (OVERLAY, LINK, BORDERS, PLANTED)
