"""The exercises of lesson 04, losses and metrics."""

import numpy as np

from segutils import metrics
from segutils.exercises.declare import Case, Exercise, Mistake

VOID = 255


def _pair(rng, classes, shape=(6, 8), known=None, void=0.2):
    """A prediction and a target that agree in most places, (pred, target) uint8.

    `known`: the ids that occur; `void`: the share of the target that is 255.
    """
    known = np.arange(classes) if known is None else np.array(known)
    target = rng.choice(known, shape).astype(np.uint8)
    pred = np.where(rng.random(shape) < 0.6, target, rng.choice(known, shape)).astype(np.uint8)
    target[rng.random(shape) < void] = VOID
    return pred, target


def _matrix(pred, target, classes):
    return metrics.confusion_matrix(pred, target, classes).numpy()


def _filled(target, value):
    """The target with void as a class."""
    return np.where(target == VOID, value, target).astype(np.uint8)


def _counts(pred, target, classes):
    """Of each class, without void: hits, predicted and true pixels, (C,) float each."""
    matrix = _matrix(pred, target, classes).astype(float)
    return matrix.diagonal(), matrix.sum(axis=0), matrix.sum(axis=1)


def _ratio(above, below):
    """above / below, NaN where both are 0."""
    return np.divide(above, below, out=np.full(np.shape(below), np.nan), where=below > 0)


def _mean(values):
    """The mean of what is not NaN; NaN (without a warning) if nothing is left."""
    values = np.asarray(values)[~np.isnan(values)]
    return float(values.mean()) if len(values) else np.nan


# ---- confusion_matrix ------------------------------------------------------------------------


def _matrix_cases(rng):
    pred = np.array([[0, 0, 2, 2], [0, 1, 1, 2], [0, 0, 2, 1], [0, 0, 0, 2]], np.uint8)
    target = np.array([[0, 0, 2, 2], [0, 1, 2, 2], [0, 1, 255, 255], [0, 0, 0, 0]], np.uint8)
    cases = [
        Case("the 4 × 4 masks of the lesson", (pred, target, 3)),
        Case("a mask without void", (*_pair(rng, 3, void=0), 3)),
        Case("masks without the last class", (*_pair(rng, 4, known=[0, 1, 2], void=0), 4)),
        Case("void and no pixel of the last class", (*_pair(rng, 5, known=[0, 2]), 5)),
        Case("20 classes", (*_pair(rng, 20, (30, 30)), 20)),
        Case("20 classes without void", (*_pair(rng, 20, (30, 30), void=0), 20)),
        Case("nothing but void", (pred, np.full((4, 4), VOID, np.uint8), 3)),
    ]
    for classes in rng.integers(2, 7, 5).tolist():
        cases.append(Case(f"{classes} classes", (*_pair(rng, classes), classes)))
    return cases


def _matrix_wrapped(pred, target, classes):
    known = target != VOID
    pairs = (classes * target[known].astype(int) + pred[known]) % 256
    return np.bincount(pairs, minlength=classes**2)[: classes**2].reshape(classes, classes)


def _matrix_shares(pred, target, classes):
    matrix = _matrix(pred, target, classes)
    return _ratio(matrix, np.repeat(matrix.sum(axis=1, keepdims=True), classes, axis=1))


def _matrix_target():
    caption = "Target [0, 1, 1, 255], prediction [0, 1, 0, 1], 2 classes: [[1, 0], [1, 1]]."
    return caption, None


CONFUSION_MATRIX = Exercise(
    name="ex04.confusion_matrix",
    title="A confusion matrix with one bincount",
    aim="count a confusion matrix without a loop over pixels, with void left out",
    level="warm-up",
    points=2,
    minutes=10,
    cases=_matrix_cases,
    oracle=_matrix,
    mistakes=(
        Mistake(
            "transposed",
            "Rows and columns are exchanged: a row is a true class, a column a predicted one. "
            "Which of the two is multiplied by the number of classes?",
            like=lambda pred, target, classes: _matrix(pred, target, classes).T,
        ),
        Mistake(
            "void_is_background",
            "Void pixels are counted as true background. Nobody knows what they are: take them "
            "out of both masks before you count.",
            like=lambda pred, target, classes: _matrix(pred, _filled(target, 0), classes),
        ),
        Mistake(
            "void_is_last",
            "Void pixels are counted as the last class: 255 was clipped to it. Take them out of "
            "both masks before you count.",
            like=lambda pred, target, classes: _matrix(
                pred, _filled(target, classes - 1), classes
            ),
        ),
        Mistake(
            "bytes_wrap",
            "With 20 classes the numbers of the pairs reach 399, and the masks are uint8: beyond "
            "255 they start again at 0 without a word. Widen the ids before you multiply.",
            like=_matrix_wrapped,
        ),
        Mistake(
            "no_minlength",
            "bincount counts up to the largest number it meets. Where the last pair of classes "
            "does not occur its result is too short: which argument sets its length?",
            when=lambda args, got: not _matrix(*args)[-1, -1],
            raised="ValueError",
        ),
        Mistake(
            "void_left_in",
            "Where there is void, your counts do not fit into C × C: 255 makes pairs of its own. "
            "Take void pixels out of both masks first.",
            when=lambda args, got: (args[1] == VOID).any(),
            raised="ValueError",
        ),
        Mistake(
            "void_is_index",
            "Your target holds 255, which is void. As an index it leads outside of the matrix: "
            "take void pixels out of both masks first.",
            when=lambda args, got: (args[1] == VOID).any(),
            raised="IndexError",
        ),
        Mistake(
            "counted_once",
            "Each pair is counted once, however often it occurs: `matrix[t, p] += 1` with arrays "
            "adds 1 to each place that is named, not for each time. np.bincount counts them all.",
            like=lambda *args: np.minimum(_matrix(*args), 1),
        ),
        Mistake(
            "void_row",
            "There are more rows than classes. Void is no class: leave it out.",
            when=lambda args, got: np.ndim(got) == 2 and len(got) > args[2],
        ),
        Mistake(
            "shares",
            "These are shares of each row. The matrix holds counts, so that the matrices of many "
            "pictures can be added; divide at the very end.",
            like=_matrix_shares,
        ),
    ),
    hints=(
        "Give each pair (true, predicted) a number of its own, as the digits of a number in base "
        "C, and count how often each number occurs. Reshape the counts to C × C.",
    ),
    target=_matrix_target,
)


# ---- dice ------------------------------------------------------------------------------------


def _dice(pred, target, classes):
    hits, said, true = _counts(pred, target, classes)
    return _ratio(2 * hits, said + true)


def _dice_cases(rng):
    false_alarm = _pair(rng, 4, known=[0, 1])
    false_alarm[0][0, :4] = 3  # a class that is predicted, and true nowhere
    false_alarm[1][0, :4] = 0
    cases = [
        Case("masks without void", (*_pair(rng, 3, void=0), 3)),
        Case("masks with void", (*_pair(rng, 3), 3)),
        Case("a class that is in neither mask", (*_pair(rng, 4, known=[0, 1, 3]), 4)),
        Case("a last class that is in neither mask", (*_pair(rng, 4, known=[0, 1, 2]), 4)),
        Case("a class that is predicted and never true", (*false_alarm, 4)),
    ]
    for classes in rng.integers(2, 6, 5).tolist():
        known = rng.choice(classes, rng.integers(1, classes + 1), replace=False)
        cases.append(Case(f"{classes} classes", (*_pair(rng, classes, known=known), classes)))
    return cases


def _dice_said_in_void(pred, target, classes):
    hits, _, true = _counts(pred, target, classes)
    return _ratio(2 * hits, true + np.bincount(pred.ravel(), minlength=classes))


def _dice_right_in_void(pred, target, classes):
    return _dice(pred, np.where(target == VOID, pred, target), classes)


def _dice_of_true(pred, target, classes):
    return np.where(_counts(pred, target, classes)[2] > 0, _dice(pred, target, classes), np.nan)


def _dice_smooth(pred, target, classes):
    hits, said, true = _counts(pred, target, classes)
    return (2 * hits + 1) / (said + true + 1)


def _iou(pred, target, classes):
    hits, said, true = _counts(pred, target, classes)
    return _ratio(hits, said + true - hits)


def _dice_target():
    caption = (
        "Target [0, 0, 1, 255], prediction [0, 1, 1, 1], 3 classes: background 2·1 / (1 + 2), "
        "class 1 2·1 / (2 + 1), class 2 in neither: [0.667, 0.667, nan]."
    )
    return caption, None


DICE = Exercise(
    name="ex04.dice",
    title="Dice with void and absent classes",
    aim="compute Dice by hand, with void and absent classes",
    level="core",
    points=3,
    minutes=15,
    cases=_dice_cases,
    oracle=_dice,
    mistakes=(
        Mistake(
            "absent_is_zero",
            "A class that is in neither mask gets 0. The model was right to leave it out, and is "
            "punished for it. 0 of 0 is no score: NaN.",
            like=lambda *args: np.nan_to_num(_dice(*args), nan=0.0),
        ),
        Mistake(
            "absent_is_one",
            "A class that is in neither mask gets 1: points for a class that nobody asked for. "
            "0 of 0 is no score: NaN.",
            like=lambda *args: np.nan_to_num(_dice(*args), nan=1.0),
        ),
        Mistake(
            "false_alarm_forgotten",
            "A class that is predicted but true nowhere has NaN. It has a Dice, and it is 0: all "
            "of its pixels are false alarms. Only a class in *neither* mask has none.",
            like=_dice_of_true,
        ),
        Mistake(
            "void_is_background",
            "Void pixels are counted as true background. They belong to nobody: leave them out.",
            like=lambda pred, target, classes: _dice(pred, _filled(target, 0), classes),
        ),
        Mistake(
            "said_in_void",
            "Void is left out of the target, but what is predicted there still counts as "
            "predicted pixels. Void pixels count nowhere: take them out of both masks.",
            like=_dice_said_in_void,
        ),
        Mistake(
            "void_is_right",
            "At void pixels whatever is predicted counts as right, which lifts the score. Void "
            "pixels count nowhere: take them out of both masks.",
            like=_dice_right_in_void,
        ),
        Mistake(
            "iou",
            "This is the IoU. In Dice the shared pixels count twice, above and below the bar: "
            "2 TP / (2 TP + FP + FN).",
            like=_iou,
        ),
        Mistake(
            "half",
            "These are half of what they should be: a perfect class must have 1, and the sum of "
            "both masks counts each shared pixel twice.",
            like=lambda *args: _dice(*args) / 2,
        ),
        Mistake(
            "smooth",
            "A `smooth` of 1 is added above and below. On small masks that is a large gift, and "
            "it hides that a class is absent. Treat 0 / 0 by itself.",
            like=_dice_smooth,
        ),
        Mistake(
            "classes_from_masks",
            "The number of scores depends on which ids these masks happen to hold. There is one "
            "for each of `classes`, NaN where the class is absent.",
            when=lambda args, got: np.ndim(got) == 1 and len(got) < args[2],
        ),
    ),
    hints=(
        "First keep the pixels whose target is not 255, in both masks. Then, for each class, "
        "count hits, predicted and true pixels; what is the sum below the bar if it is absent?",
    ),
    target=_dice_target,
)


# ---- two_means -------------------------------------------------------------------------------


def _image_means(preds, targets, classes, score=_iou):
    pairs = zip(preds, targets, strict=True)
    return np.array([score(p, t, classes) for p, t in pairs])  # (N, C)


def _data_set(preds, targets, classes):
    return _mean(_iou(preds, targets, classes))


def _by_image(preds, targets, classes):
    return _mean([_mean(row) for row in _image_means(preds, targets, classes)])


def _two_means(preds, targets, classes):
    return _data_set(preds, targets, classes), _by_image(preds, targets, classes)


def _set_of(rng, classes, n=5):
    """Pictures that differ in what they show: each misses some classes, one much more wrong."""
    pairs = []
    for k in range(n):
        known = [0, *rng.choice(np.arange(1, classes), rng.integers(1, classes), replace=False)]
        pred, target = _pair(rng, classes, known=known)
        if k == 0:
            pred[:] = 0
        pairs.append((pred, target))
    pairs.append(_pair(rng, classes, known=[0]))
    preds, targets = zip(*pairs, strict=True)
    return np.stack(preds), np.stack(targets)


def _false_alarm(rng, classes):
    """`_set_of`, but one class more is predicted in the first picture, and true nowhere."""
    preds, targets = _set_of(rng, classes)
    preds[0, 0, :4], targets[0, 0, :4] = classes, 0
    return preds, targets


def _two_means_cases(rng):
    cases = [Case(f"six pictures, {c} classes", (*_set_of(rng, c), c)) for c in (3, 3, 4, 5, 3, 4)]
    return [
        *cases,
        Case("a class that is in no picture", (*_set_of(rng, 3), 4)),
        Case("a class that is predicted and never true", (*_false_alarm(rng, 3), 4)),
    ]


def _absent_as(value):
    def wrong(preds, targets, classes):
        each = np.nan_to_num(_image_means(preds, targets, classes), nan=value)
        return _data_set(preds, targets, classes), float(each.mean())

    return wrong


def _absent_in_set(preds, targets, classes):
    of_set = np.nan_to_num(_iou(preds, targets, classes)).mean()
    return float(of_set), _by_image(preds, targets, classes)


def _absent_everywhere(preds, targets, classes):
    return _absent_in_set(preds, targets, classes)[0], _absent_as(0.0)(preds, targets, classes)[1]


def _of_true(pred, target, classes):
    return np.where(_counts(pred, target, classes)[2] > 0, _iou(pred, target, classes), np.nan)


def _means_by(score):
    """Both means of another score than IoU."""

    def wrong(preds, targets, classes):
        each = _image_means(preds, targets, classes, score)
        return _mean(score(preds, targets, classes)), _mean([_mean(row) for row in each])

    return wrong


def _iou_said_in_void(pred, target, classes):
    dice = _dice_said_in_void(pred, target, classes)
    return dice / (2 - dice)


def _classes_first(preds, targets, classes):
    each = _image_means(preds, targets, classes)
    return _data_set(preds, targets, classes), _mean([_mean(column) for column in each.T])


def _all_at_once(preds, targets, classes):
    return _data_set(preds, targets, classes), _mean(_image_means(preds, targets, classes))


def _void_in_both(preds, targets, classes):
    return _two_means(preds, _filled(targets, 0), classes)


def _two_means_target():
    caption = (
        "Two pictures of 8 pixels, 2 classes. One is all right, 4 pixels each. In the other class "
        "1 has 1 true pixel and nobody finds it: IoU 7/8 and 0. Data set: 11/12 and 4/5, mean "
        "0.858. By image: (1 + 0.4375) / 2 = 0.719."
    )
    return caption, None


TWO_MEANS = Exercise(
    name="ex04.two_means",
    title="Image-averaged against data-set IoU",
    aim="compute mIoU over a data set and as a mean over pictures, and tell them apart",
    level="core",
    points=3,
    minutes=15,
    cases=_two_means_cases,
    oracle=_two_means,
    mistakes=(
        Mistake(
            "swapped",
            "The two numbers are exchanged: first the data set's, then the average over pictures.",
            like=lambda *args: _two_means(*args)[::-1],
        ),
        Mistake(
            "both_by_image",
            "Both numbers are the average over pictures. For the data set's, count all pictures "
            "into one matrix, and divide once.",
            like=lambda *args: (_by_image(*args), _by_image(*args)),
        ),
        Mistake(
            "both_of_the_set",
            "Both numbers are the data set's. For the other, score each picture by itself first.",
            like=lambda *args: (_data_set(*args), _data_set(*args)),
        ),
        Mistake(
            "absent_is_zero",
            "Your image average counts an absent class as 0. A class that is in neither mask of a "
            "picture has no score there; the mean of that picture runs over the others.",
            like=_absent_as(0.0),
        ),
        Mistake(
            "absent_is_zero_twice",
            "Both numbers count an absent class as 0. A class that is in neither mask has no score "
            "there, be it a picture or the whole set: the mean runs over the others.",
            like=_absent_everywhere,
        ),
        Mistake(
            "absent_in_set",
            "The data set's number counts an absent class as 0. A class that is in no target and "
            "in no prediction has no score: the mean runs over the others.",
            like=_absent_in_set,
        ),
        Mistake(
            "absent_is_one",
            "Your image average counts an absent class as 1, a gift to each picture. A class that "
            "is in neither mask of a picture has no score there.",
            like=_absent_as(1.0),
        ),
        Mistake(
            "false_alarm_forgotten",
            "A class that is predicted and never true is left out. It has a score, and that is 0: "
            "only a class in neither mask has none.",
            like=_means_by(_of_true),
        ),
        Mistake(
            "said_in_void",
            "Void is left out of the target, but what is predicted there still counts as predicted "
            "pixels. Void pixels count nowhere: take them out of both masks.",
            like=_means_by(_iou_said_in_void),
        ),
        Mistake(
            "dice",
            "These are the means of Dice. IoU is TP / (TP + FP + FN).",
            like=_means_by(_dice),
        ),
        Mistake(
            "without_background",
            "Background is left out. Here it is a class like the others, and its IoU counts.",
            like=_means_by(lambda *args: _iou(*args)[1:]),
        ),
        Mistake(
            "classes_first",
            "You average each class over the pictures, then over the classes. That is a third "
            "number. Here each picture comes first: its mIoU over its own classes, then the mean.",
            like=_classes_first,
        ),
        Mistake(
            "all_at_once",
            "All scores of all pictures go into one mean, so a picture with more classes weighs "
            "more. Take the mean of each picture first, then the mean of these.",
            like=_all_at_once,
        ),
        Mistake(
            "void_is_background",
            "Void pixels are counted as background, in both numbers. Leave them out.",
            like=_void_in_both,
        ),
    ),
    hints=(
        "Write the IoU of one pair of masks first, with NaN for absent classes. It takes a stack "
        "of pictures as well as one: that gives both numbers.",
    ),
    target=_two_means_target,
)


# ---- mend_dice -------------------------------------------------------------------------------


def popular_dice(preds, targets, classes):
    """The Dice of many projects, with what is wrong with it: the subject of ex04.mend_dice."""
    scores = []
    for pred, target in zip(preds, targets, strict=True):
        for k in range(classes):
            p, t = pred == k, target == k
            scores.append((2 * (p & t).sum() + 1) / (p.sum() + t.sum() + 1))
    return np.mean(scores)


def _mended(preds, targets, classes):
    return _mean(_dice(preds, targets, classes)[1:])


def _mend_cases(rng):
    preds, targets = _set_of(rng, 3)
    cases = [
        Case("an empty prediction", (np.zeros_like(preds), targets, 3)),
        Case("a class that is in no picture", (*_set_of(rng, 3), 4)),
        Case("a class that is predicted and never true", (*_false_alarm(rng, 3), 4)),
        Case("a perfect prediction", (np.where(targets == VOID, 0, targets), targets, 3)),
    ]
    for classes in (2, 3, 3, 4, 5):
        cases.append(Case(f"six pictures, {classes} classes", (*_set_of(rng, classes), classes)))
    return cases


def _mend_popular_objects(preds, targets, classes):
    each = [_popular_score(preds, targets, k) for k in range(1, classes)]
    return float(np.mean(each))


def _popular_score(preds, targets, k):
    p, t = preds == k, targets == k
    return (2 * (p & t).sum((1, 2)) + 1) / (p.sum((1, 2)) + t.sum((1, 2)) + 1)


def _mend_by_picture(preds, targets, classes):
    return _mean(_image_means(preds, targets, classes, _dice)[:, 1:])


def _mend_empty_is_one(preds, targets, classes):
    each = _image_means(preds, targets, classes, _dice)[:, 1:]
    return float(np.nan_to_num(each, nan=1.0).mean())


def _mend_smooth(preds, targets, classes):
    return float(_dice_smooth(preds, targets, classes)[1:].mean())


def _mend_one_sum(preds, targets, classes):
    hits, said, true = _counts(preds, targets, classes)
    return float(2 * hits.sum() / (said.sum() + true.sum()))


def _mend_pooled(preds, targets, classes):
    hits, said, true = _counts(preds, targets, classes)
    return float(2 * hits[1:].sum() / (said[1:].sum() + true[1:].sum()))


def _mend_target():
    caption = (
        "For an empty prediction: 0, whatever the pictures show. For a perfect one: 1. In between: "
        "the mean over the object classes of 2 TP / (2 TP + FP + FN), counted over all pictures."
    )
    return caption, None


MEND_DICE = Exercise(
    name="ex04.mend_dice",
    title="Mend the Dice that gives an empty mask 0.95",
    aim="recognise a Dice that flatters empty predictions, and mend it",
    level="core",
    points=3,
    minutes=15,
    cases=_mend_cases,
    oracle=_mended,
    mistakes=(
        Mistake(
            "popular",
            "This still is the function above. Feed it an empty prediction, and look at the list "
            "`scores` before the mean is taken: which entries are high, and why?",
            like=popular_dice,
        ),
        Mistake(
            "background",
            "Background is still averaged in. It is the easy class, and it lifts every score: "
            "take the mean over the object classes, 1 and up.",
            like=lambda *args: _mean(_dice(*args)),
        ),
        Mistake(
            "popular_objects",
            "The background is gone, but each picture without the class still gets full marks: "
            "(0 + 1) / (0 + 1). Sum over all pictures first, divide once, and see to void.",
            like=_mend_popular_objects,
        ),
        Mistake(
            "false_alarm_forgotten",
            "A class that is predicted and never true is left out of the mean. It has a Dice, and "
            "that is 0: only a class in no target and no prediction is left out.",
            like=lambda *args: _mean(_dice_of_true(*args)[1:]),
        ),
        Mistake(
            "by_picture",
            "You score each picture by itself and average. A picture with one small object then "
            "weighs like one that is full of them. Sum over all pictures first, divide once.",
            like=_mend_by_picture,
        ),
        Mistake(
            "empty_is_one",
            "A picture without the class still gets full marks for an empty mask, so a set of "
            "mostly empty pictures scores high by itself. Sum over all pictures first.",
            like=_mend_empty_is_one,
        ),
        Mistake(
            "smooth",
            "The `smooth` of 1 is still there. Over the whole set only a class that is nowhere has "
            "0 / 0: leave that class out of the mean.",
            like=_mend_smooth,
        ),
        Mistake(
            "one_sum",
            "All classes are in one sum. As each pixel has one class, that is the pixel accuracy "
            "under another name. Divide for each class, then take the mean.",
            like=_mend_one_sum,
        ),
        Mistake(
            "pooled",
            "All object classes are in one sum, so the largest of them decides. Divide for each "
            "class by itself, then take the mean.",
            like=_mend_pooled,
        ),
        Mistake(
            "void_is_wrong",
            "What is predicted in void still counts as predicted pixels, so that even a perfect "
            "model loses. Void pixels count nowhere: take them out of both masks.",
            like=lambda p, t, c: _mean(_dice_said_in_void(p, t, c)[1:]),
        ),
    ),
    hints=(
        "Three things are wrong with it: which classes it averages, over what it sums before it "
        "divides, and what it does about void.",
        "Of an empty prediction no object class has a hit. So the right result is 0, and each "
        "thing that lifts it above 0 is a fault.",
    ),
    target=_mend_target,
)


# ---- iou_loss --------------------------------------------------------------------------------


def _soft(prob, target):
    """Soft hits, said and true pixels of each class, (C,) each, without void."""
    known = target != VOID
    truth = np.stack([target == k for k in range(len(prob))])
    return (prob * truth).sum((1, 2)), (prob * known).sum((1, 2)), truth.sum((1, 2))


def _iou_loss(prob, target):
    hits, said, true = _soft(prob, target)
    loss = 1 - hits / (said + true - hits).clip(1e-300)
    return float(loss[true > 0].mean()) if (true > 0).any() else 0.0


def _loss_with(formula, counted=lambda true: true > 0):
    """A loss that goes wrong in its formula, or in the classes that it counts."""

    def wrong(prob, target):
        hits, said, true = _soft(prob, target)
        return _mean(formula(hits, said, true)[counted(true)]) if true.any() else 0.0

    return wrong


def _right_formula(hits, said, true):
    return 1 - hits / (said + true - hits).clip(1e-300)


def _loss_said_in_void(prob, target):
    hits, _, true = _soft(prob, target)
    loss = _right_formula(hits, prob.sum((1, 2)), true)
    return _mean(loss[true > 0]) if true.any() else 0.0


def _loss_summed(prob, target):
    return _iou_loss(prob, target) * (_soft(prob, target)[2] > 0).sum()


def _loss_softmax(prob, target):
    return _iou_loss(np.exp(prob) / np.exp(prob).sum(0), target)


def _loss_hard(prob, target):
    hard = np.eye(len(prob))[prob.argmax(0)].transpose(2, 0, 1)
    return _iou_loss(hard, target)


def _probabilities(rng, classes, shape=(5, 6)):
    scores = np.exp(rng.normal(0, 1.5, (classes, *shape)))
    return scores / scores.sum(0)


def _loss_cases(rng):
    void = np.full((5, 6), VOID, np.uint8)
    cases = [
        Case("a target without void", (_probabilities(rng, 3), _pair(rng, 3, (5, 6), void=0)[1])),
        Case("a target with void", (_probabilities(rng, 3), _pair(rng, 3, (5, 6))[1])),
        Case(
            "a target without class 1",
            (_probabilities(rng, 3), _pair(rng, 3, (5, 6), known=[0, 2])[1]),
        ),
        Case("nothing but void", (_probabilities(rng, 3), void)),
    ]
    for classes in rng.integers(2, 6, 5).tolist():
        target = _pair(rng, classes, (5, 6))[1]
        cases.append(Case(f"{classes} classes", (_probabilities(rng, classes), target)))
    return cases


def _loss_target():
    caption = (
        "Two pixels, truth 0 and 1, probabilities of class 1 0.2 and 0.6. Class 1: hits 0.6, said "
        "0.8, true 1, IoU 0.6 / 1.2 = 0.5. Class 0: 0.8 / (1.2 + 1 - 0.8) = 0.571. Loss 0.464."
    )
    return caption, None


IOU_LOSS = Exercise(
    name="ex04.iou_loss",
    title="IoU as a loss",
    aim="turn IoU into a loss that takes probabilities and leaves void out",
    level="core",
    points=3,
    minutes=15,
    cases=_loss_cases,
    oracle=_iou_loss,
    mistakes=(
        Mistake(
            "not_one_minus",
            "This is the soft IoU itself, and training makes a loss *small*. What should a "
            "perfect answer cost?",
            like=_loss_with(lambda h, s, t: h / (s + t - h).clip(1e-300)),
        ),
        Mistake(
            "dice",
            "This is the Dice loss. For IoU the shared part stands once above the bar, and below "
            "it once as well: said + true - hits.",
            like=_loss_with(lambda h, s, t: 1 - 2 * h / (s + t).clip(1e-300)),
        ),
        Mistake(
            "union_twice",
            "The union counts the shared part twice, as said + true. Take it off once, or a "
            "perfect answer costs 0.5.",
            like=_loss_with(lambda h, s, t: 1 - h / (s + t).clip(1e-300)),
        ),
        Mistake(
            "absent_counted",
            "A class that is not in the target costs 1 here, however little is said for it. "
            "Take the mean over the classes that have true pixels.",
            like=_loss_with(_right_formula, counted=lambda true: true >= 0),
        ),
        Mistake(
            "summed",
            "The classes' losses are added up. Their mean is asked for.",
            like=_loss_summed,
        ),
        Mistake(
            "softmax_twice",
            "A softmax is taken of what is a softmax already: `prob` holds probabilities.",
            like=_loss_softmax,
        ),
        Mistake(
            "said_in_void",
            "Probabilities at void pixels still count in the sum of what was said. Void changes "
            "nothing: keep these pixels out of all three sums.",
            like=_loss_said_in_void,
        ),
        Mistake(
            "argmax",
            "This is the IoU of the argmax. It does not change when a probability changes a "
            "little, so it has no slope to train with. Use the probabilities themselves.",
            like=_loss_hard,
        ),
        Mistake(
            "all_void",
            "With nothing but void you return NaN, which would ruin every weight of a network in "
            "one step. Nothing known, nothing to learn: 0.",
            when=lambda args, got: (args[1] == VOID).all() and np.isnan(float(got or 0)),
        ),
    ),
    hints=(
        "Three sums for each class, over the known pixels: hits Σ p·t, said Σ p and true Σ t. "
        "Then the formula of IoU, with these in the place of counts.",
    ),
    target=_loss_target,
)


# ---- threshold -------------------------------------------------------------------------------


def _binary_iou(prob, target, threshold):
    said, true, known = prob > threshold, target == 1, target != VOID
    return (said & true & known).sum() / ((said | true) & known).sum()


def _best(prob, target, thresholds, score=_binary_iou):
    return float(thresholds[_place(prob, target, thresholds, score)])


def _place(prob, target, thresholds, score=_binary_iou):
    return int(np.argmax([score(prob, target, t) for t in thresholds]))


def _threshold(val_prob, val_target, test_prob, test_target, thresholds):
    best = _best(val_prob, val_target, thresholds)
    return best, float(_binary_iou(test_prob, test_target, best))


def _split(rng, shift, void=0.1):
    """Probabilities for a rare class and its target, (4, 12, 12) each."""
    target = (rng.random((4, 12, 12)) < 0.1).astype(np.uint8)
    scores = 2.0 * target - 1.2 + shift + rng.normal(0, 1.0, target.shape)
    hidden = rng.random(target.shape) < void
    scores[hidden] = rng.normal(1.5, 1.0, hidden.sum())  # void looks like the class
    target[hidden] = VOID
    return 1 / (1 + np.exp(-scores)), target


def _threshold_cases(rng):
    thresholds = np.linspace(0.05, 0.95, 19).round(2)
    shifts = [(0.0, 1.0), (0.8, -0.6), (-0.5, 0.7), (1.0, 0.0), (0.3, -0.8), (0.0, 0.0)]
    cases = [
        Case(f"pair {k} of splits", (*_split(rng, a), *_split(rng, b), thresholds))
        for k, (a, b) in enumerate(shifts, 1)
    ]
    ties = [_coarse(*_split(rng, shift)) for shift in (0.4, -0.4)]
    return [*cases, Case("thresholds that do equally well", (*ties[0], *ties[1], thresholds))]


def _coarse(prob, target):
    """Probabilities of 0.15, 0.35, … alone: several thresholds lie between two of them."""
    return (np.floor(5 * prob) / 5 + 0.15).round(2).clip(0.15, 0.95), target


def _pixel_accuracy(prob, target, threshold):
    known = target != VOID
    return ((prob > threshold) == (target == 1))[known].mean()


def _choose(score=_binary_iou, on=None):
    """A choice by another score, or on other data; the report is of the test set."""

    def wrong(*args):
        prob, target = (args[:2] if on is None else on(*args))
        best = _best(prob, target, args[4], score)
        return best, float(_binary_iou(args[2], args[3], best))

    return wrong


def _scored_on_val(val_prob, val_target, test_prob, test_target, thresholds):
    best = _best(val_prob, val_target, thresholds)
    return best, float(_binary_iou(val_prob, val_target, best))


def _threshold_place(val_prob, val_target, test_prob, test_target, thresholds):
    best = _best(val_prob, val_target, thresholds)
    place = _place(val_prob, val_target, thresholds)
    return place, float(_binary_iou(test_prob, test_target, best))


def _threshold_highest(val_prob, val_target, test_prob, test_target, thresholds):
    return _threshold(val_prob, val_target, test_prob, test_target, thresholds[::-1])


def _threshold_reached(val_prob, val_target, test_prob, test_target, thresholds):
    best = _best(val_prob, val_target, thresholds, _reached_iou)
    return best, float(_reached_iou(test_prob, test_target, best))


def _reached_iou(prob, target, threshold):
    return _binary_iou(prob, target, np.nextafter(threshold, 0))


def _threshold_by_picture(val_prob, val_target, test_prob, test_target, thresholds):
    best = _best(val_prob, val_target, thresholds, _mean_iou)
    return best, _mean_iou(test_prob, test_target, best)


def _mean_iou(prob, target, threshold):
    pairs = zip(prob, target, strict=True)
    return float(np.mean([_binary_iou(p, t, threshold) for p, t in pairs]))


def _threshold_void_is_class(val_prob, val_target, test_prob, test_target, thresholds):
    return _threshold(
        val_prob, _filled(val_target, 1), test_prob, _filled(test_target, 1), thresholds
    )


def _threshold_void(val_prob, val_target, test_prob, test_target, thresholds):
    return _threshold(
        val_prob, _filled(val_target, 0), test_prob, _filled(test_target, 0), thresholds
    )


def _half(val_prob, val_target, test_prob, test_target, thresholds):
    return 0.5, float(_binary_iou(test_prob, test_target, 0.5))


def _threshold_target():
    caption = (
        "The threshold that is best on the validation split, and the IoU which that one has on the "
        "test split, be it good or bad. The best IoU on the test split is higher or the same."
    )
    return caption, None


THRESHOLD = Exercise(
    name="ex04.threshold",
    title="A threshold, chosen on the right split",
    aim="choose a threshold on validation, and report honestly what it is worth on test",
    level="stretch",
    points=3,
    minutes=15,
    cases=_threshold_cases,
    oracle=_threshold,
    mistakes=(
        Mistake(
            "chosen_on_test",
            "The threshold was chosen on the test split. Its score there is then the best of 19 "
            "tries, and no promise for pictures to come. Choose on validation, report on test.",
            like=_choose(on=lambda a, b, c, d, e: (c, d)),
        ),
        Mistake(
            "scored_on_val",
            "The threshold is right, but the IoU is that of the validation split, on which it was "
            "chosen: the best of 19 tries. Report what it does on the test split.",
            like=_scored_on_val,
        ),
        Mistake(
            "chosen_on_both",
            "Both splits were put together for the choice. Then the test split has helped to "
            "choose, and is no test any more.",
            like=_choose(
                on=lambda a, b, c, d, e: (np.concatenate([a, c]), np.concatenate([b, d]))
            ),
        ),
        Mistake(
            "accuracy",
            "The threshold with the best pixel accuracy was chosen. The class is rare, so accuracy "
            "likes to say no. Choose by the score that you report.",
            like=_choose(score=_pixel_accuracy),
        ),
        Mistake(
            "void_is_background",
            "Void pixels count as background here: whatever is said there is a false alarm. Leave "
            "them out of the choice and out of the report.",
            like=_threshold_void,
        ),
        Mistake(
            "void_is_class",
            "Void pixels count as the class here: 255 is not 0, and not 1 either. Leave them out "
            "of the choice and out of the report.",
            like=_threshold_void_is_class,
        ),
        Mistake(
            "place",
            "The first number is the place of the threshold in the list. The threshold itself is "
            "asked for.",
            like=_threshold_place,
        ),
        Mistake(
            "exchanged",
            "The two are exchanged: first the threshold, then the IoU.",
            like=lambda *args: _threshold(*args)[::-1],
        ),
        Mistake(
            "by_picture",
            "The IoU is taken of each picture by itself, then the mean. Here all pixels of a split "
            "are counted together, as in exercise 3's data-set IoU.",
            like=_threshold_by_picture,
        ),
        Mistake(
            "highest",
            "Of equally good thresholds the highest is chosen; the lowest is asked for.",
            like=_threshold_highest,
        ),
        Mistake(
            "reached",
            "A pixel whose probability equals the threshold counts as the class: `>` is asked for, "
            "not `>=`.",
            like=_threshold_reached,
        ),
        Mistake(
            "not_chosen",
            "0.5 is a habit. The best threshold for IoU depends on the model and on how rare the "
            "class is: try all of them on the validation split.",
            like=_half,
        ),
    ),
    hints=(
        "One function for the IoU of (prob > threshold) without void. Call it for every threshold "
        "on one split, and once on the other.",
    ),
    target=_threshold_target,
)

EXERCISES = (CONFUSION_MATRIX, DICE, TWO_MEANS, MEND_DICE, IOU_LOSS, THRESHOLD)
