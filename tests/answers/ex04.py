"""Answers to the exercises of lesson 04, as people write them: stub, wrong ones, valid ones."""

import numpy as np
import torch
from torchmetrics.functional.classification import multiclass_confusion_matrix

# ---- confusion_matrix ------------------------------------------------------------------------


def matrix_stub(pred, target, classes):
    """Count pixels by true and predicted class."""
    ...  # noqa: PIE790


def matrix_swapped(pred, target, classes):
    known = target != 255
    pairs = classes * pred[known].astype(int) + target[known]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def matrix_void_zero(pred, target, classes):
    return matrix_loop(pred, np.where(target == 255, 0, target), classes)


def matrix_clipped(pred, target, classes):
    return matrix_loop(pred, target.clip(max=classes - 1), classes)


def matrix_bytes(pred, target, classes):
    known = target != 255
    pairs = np.uint8(classes) * target[known] + pred[known]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def matrix_short(pred, target, classes):
    known = target != 255
    return np.bincount(classes * target[known].astype(int) + pred[known]).reshape(classes, classes)


def matrix_unfiltered(pred, target, classes):
    pairs = classes * target.astype(int) + pred
    return np.bincount(pairs.ravel(), minlength=classes**2).reshape(classes, classes)


def matrix_loop_with_void(pred, target, classes):
    matrix = np.zeros((classes, classes), int)
    for said, true in zip(pred.flat, target.flat, strict=True):
        matrix[true, said] += 1
    return matrix


def matrix_added_once(pred, target, classes):
    matrix, known = np.zeros((classes, classes), int), target != 255
    matrix[target[known], pred[known]] += 1
    return matrix


def matrix_with_void_row(pred, target, classes):
    rows = np.where(target == 255, classes, target).astype(int)
    counts = np.bincount((classes * rows + pred).ravel(), minlength=classes * (classes + 1))
    return counts.reshape(classes + 1, classes)


def matrix_normalised(pred, target, classes):
    matrix = matrix_loop(pred, target, classes)
    with np.errstate(invalid="ignore"):
        return matrix / matrix.sum(axis=1, keepdims=True)


def matrix_loop(pred, target, classes):
    matrix = np.zeros((classes, classes), int)
    for said, true in zip(pred.flat, target.flat, strict=True):
        if true != 255:
            matrix[true, said] += 1
    return matrix


def matrix_one_bincount(pred, target, classes):
    known = target != 255
    pairs = target[known].astype(int) * classes + pred[known]
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def matrix_torchmetrics(pred, target, classes):
    pred, target = torch.as_tensor(pred).long(), torch.as_tensor(target).long()
    return multiclass_confusion_matrix(pred, target, classes, ignore_index=255)


# ---- dice ------------------------------------------------------------------------------------


def dice_stub(pred, target, classes):
    """Dice of each class."""
    scores = ...
    return scores


def dice_loop(pred, target, classes, absent=np.nan):
    known = target != 255
    scores = []
    for c in range(classes):
        p, t = (pred == c) & known, (target == c) & known
        total = p.sum() + t.sum()
        scores.append(2 * (p & t).sum() / total if total else absent)
    return np.array(scores)


def dice_zero(pred, target, classes):
    return dice_loop(pred, target, classes, absent=0.0)


def dice_one(pred, target, classes):
    return dice_loop(pred, target, classes, absent=1.0)


def dice_true_only(pred, target, classes):
    scores = dice_loop(pred, target, classes)
    return [s if (target == c).any() else np.nan for c, s in enumerate(scores)]


def dice_void_zero(pred, target, classes):
    return dice_loop(pred, np.where(target == 255, 0, target), classes)


def dice_void_in_pred(pred, target, classes):
    scores = []
    for c in range(classes):
        p, t = pred == c, target == c
        total = p.sum() + t.sum()
        scores.append(2 * (p & t).sum() / total if total else np.nan)
    return scores


def dice_void_copied(pred, target, classes):
    return dice_loop(pred, np.where(target == 255, pred, target), classes)


def dice_none(pred, target, classes):
    return [None if np.isnan(s) else s for s in dice_loop(pred, target, classes)]


def dice_void_in_place(pred, target, classes):
    pred[target == 255] = 255
    return dice_loop(pred, target, classes)


def dice_is_iou(pred, target, classes):
    dice = dice_loop(pred, target, classes)
    return dice / (2 - dice)


def dice_no_two(pred, target, classes):
    return [score / 2 for score in dice_loop(pred, target, classes)]


def dice_plus_one(pred, target, classes):
    known = target != 255
    pred, target = pred[known], target[known]
    both = [((pred == c) & (target == c)).sum() for c in range(classes)]
    sums = [(pred == c).sum() + (target == c).sum() for c in range(classes)]
    return [(2 * b + 1) / (s + 1) for b, s in zip(both, sums, strict=True)]


def dice_of_seen(pred, target, classes):
    seen = np.unique(target[target != 255])
    return dice_loop(pred, target, classes)[seen]


def dice_torch(pred, target, classes):
    pred, target = torch.as_tensor(pred), torch.as_tensor(target)
    known = target != 255
    planes = torch.arange(classes)[:, None]
    p, t = pred[known] == planes, target[known] == planes
    return 2 * (p & t).sum(1).double() / (p.sum(1) + t.sum(1))


def dice_by_matrix(pred, target, classes):
    matrix = matrix_loop(pred, target, classes)
    with np.errstate(invalid="ignore"):
        return 2 * matrix.diagonal() / (matrix.sum(axis=0) + matrix.sum(axis=1))


# ---- two_means -------------------------------------------------------------------------------


def means_stub(preds, targets, classes):
    """Both numbers."""


def _iou(pred, target, classes):
    dice = dice_loop(pred, target, classes)
    return dice / (2 - dice)


def means_right(preds, targets, classes):
    each = [np.nanmean(_iou(p, t, classes)) for p, t in zip(preds, targets, strict=True)]
    return np.nanmean(_iou(preds, targets, classes)), np.mean(each)


def means_swapped(preds, targets, classes):
    of_set, by_image = means_right(preds, targets, classes)
    return by_image, of_set


def means_image_twice(preds, targets, classes):
    by_image = means_right(preds, targets, classes)[1]
    return by_image, by_image


def means_set_twice(preds, targets, classes):
    of_set = means_right(preds, targets, classes)[0]
    return of_set, of_set


def means_zeros(preds, targets, classes):
    each = [np.nan_to_num(_iou(p, t, classes)) for p, t in zip(preds, targets, strict=True)]
    return means_right(preds, targets, classes)[0], np.mean(each)


def _means(preds, targets, score):
    """Both means of a score(pred, target) -> (C,) with NaN."""
    each = [np.nanmean(score(p, t)) for p, t in zip(preds, targets, strict=True)]
    return np.nanmean(score(preds, targets)), np.mean(each)


def means_zeros_in_both(preds, targets, classes):
    return _means(preds, targets, lambda p, t: np.nan_to_num(_iou(p, t, classes)))


def means_zero_in_set(preds, targets, classes):
    of_set = np.nan_to_num(_iou(preds, targets, classes)).mean()
    return of_set, means_right(preds, targets, classes)[1]


def means_ones(preds, targets, classes):
    each = [np.nan_to_num(_iou(p, t, classes), nan=1) for p, t in zip(preds, targets, strict=True)]
    return means_right(preds, targets, classes)[0], np.mean(each)


def means_of_true(preds, targets, classes):
    def score(pred, target):
        return [s for c, s in enumerate(_iou(pred, target, classes)) if (target == c).any()]

    return _means(preds, targets, score)


def means_void_in_pred(preds, targets, classes):
    def score(pred, target):
        dice = np.array(dice_void_in_pred(pred, target, classes))
        return dice / (2 - dice)

    return _means(preds, targets, score)


def means_of_dice(preds, targets, classes):
    return _means(preds, targets, lambda p, t: dice_loop(p, t, classes))


def means_of_objects(preds, targets, classes):
    objects = [_iou(p, t, classes)[1:] for p, t in zip(preds, targets, strict=True)]
    each = [row[~np.isnan(row)].mean() for row in objects if not np.isnan(row).all()]
    return np.nanmean(_iou(preds, targets, classes)[1:]), np.mean(each)


def means_class_first(preds, targets, classes):
    each = np.array([_iou(p, t, classes) for p, t in zip(preds, targets, strict=True)])
    seen = ~np.isnan(each).all(axis=0)
    return means_right(preds, targets, classes)[0], np.nanmean(each[:, seen], axis=0).mean()


def means_flat(preds, targets, classes):
    each = np.array([_iou(p, t, classes) for p, t in zip(preds, targets, strict=True)])
    return means_right(preds, targets, classes)[0], np.nanmean(each)


def means_void(preds, targets, classes):
    return means_right(preds, np.where(targets == 255, 0, targets), classes)


def means_matrices(preds, targets, classes):
    pairs = zip(preds, targets, strict=True)
    matrices = [matrix_loop(p, t, classes) for p, t in pairs]

    def miou(matrix):
        union = matrix.sum(0) + matrix.sum(1) - matrix.diagonal()
        return (matrix.diagonal()[union > 0] / union[union > 0]).mean()

    return miou(sum(matrices)), sum(map(miou, matrices)) / len(matrices)


def means_in_an_array(preds, targets, classes):
    return np.array(means_right(preds, targets, classes))


def means_float32(preds, targets, classes):
    return torch.tensor(means_right(preds, targets, classes), dtype=torch.float32).tolist()


# ---- mend_dice -------------------------------------------------------------------------------


def mend_stub(preds, targets, classes):
    """Mean Dice of the object classes."""
    ...  # noqa: PIE790


def mend_nothing(preds, targets, classes):
    each = []
    for k in range(classes):
        p, t = preds == k, targets == k
        sums = p.sum((1, 2)) + t.sum((1, 2))
        each.append((2 * (p & t).sum((1, 2)) + 1) / (sums + 1))
    return np.mean(each)


def mend_only_background(preds, targets, classes):
    scores = []
    for pred, target in zip(preds, targets, strict=True):
        for k in range(1, classes):
            p, t = pred == k, target == k
            scores.append((2 * (p & t).sum() + 1) / (p.sum() + t.sum() + 1))
    return np.mean(scores)


def mend_of_true(preds, targets, classes):
    return np.nanmean(dice_true_only(preds, targets, classes)[1:])


def mend_keeps_background(preds, targets, classes):
    return np.nanmean(dice_loop(preds, targets, classes))


def mend_pictures(preds, targets, classes):
    each = [dice_loop(p, t, classes)[1:] for p, t in zip(preds, targets, strict=True)]
    return np.nanmean(each)


def mend_empty_one(preds, targets, classes):
    each = [dice_one(p, t, classes)[1:] for p, t in zip(preds, targets, strict=True)]
    return np.mean(each)


def mend_keeps_smooth(preds, targets, classes):
    return np.mean(dice_plus_one(preds, targets, classes)[1:])


def mend_accuracy(preds, targets, classes):
    known = targets != 255
    return (preds == targets)[known].mean()


def mend_foreground(preds, targets, classes):
    known = targets != 255
    p, t = preds[known], targets[known]
    return 2 * ((p == t) & (t > 0)).sum() / ((p > 0).sum() + (t > 0).sum())


def mend_void(preds, targets, classes):
    return np.nanmean(dice_void_in_pred(preds, targets, classes)[1:])


def mend_loop(preds, targets, classes):
    return np.nanmean(dice_loop(preds, targets, classes)[1:])


def mend_matrix(preds, targets, classes):
    matrix = matrix_one_bincount(preds, targets, classes)
    hits, sums = matrix.diagonal()[1:], (matrix.sum(0) + matrix.sum(1))[1:]
    return (2 * hits[sums > 0] / sums[sums > 0]).mean()


# ---- iou_loss --------------------------------------------------------------------------------


def loss_stub(prob, target):
    """1 - soft IoU."""
    raise NotImplementedError


def _sums(prob, target, c, void_in_said=False):
    known, t = target != 255, target == c
    said = prob[c].sum() if void_in_said else prob[c][known].sum()
    return prob[c][t].sum(), said, t.sum()


def _loss(prob, target, formula, void_in_said=False, all_classes=False):
    losses = []
    for c in range(len(prob)):
        hits, said, true = _sums(prob, target, c, void_in_said)
        if true or all_classes:
            losses.append(formula(hits, said, true))
    return sum(losses) / len(losses) if losses else 0.0


def loss_right(prob, target):
    return _loss(prob, target, lambda h, s, t: 1 - h / (s + t - h))


def loss_positive(prob, target):
    return _loss(prob, target, lambda h, s, t: h / (s + t - h))


def loss_dice(prob, target):
    return _loss(prob, target, lambda h, s, t: 1 - 2 * h / (s + t))


def loss_union(prob, target):
    return _loss(prob, target, lambda h, s, t: 1 - h / (s + t))


def loss_all(prob, target):
    if (target == 255).all():
        return 0.0
    return _loss(prob, target, lambda h, s, t: 1 - h / (s + t - h), all_classes=True)


def loss_void(prob, target):
    return _loss(prob, target, lambda h, s, t: 1 - h / (s + t - h), void_in_said=True)


def loss_sum(prob, target):
    present = sum((target == c).any() for c in range(len(prob)))
    return loss_right(prob, target) * present


def loss_softmax(prob, target):
    return loss_right(torch.softmax(torch.as_tensor(prob), dim=0).numpy(), target)


def loss_argmax(prob, target):
    pred = prob.argmax(axis=0)
    scores = _iou(pred, target, len(prob))
    true = [(target == c).any() for c in range(len(prob))]
    return 1 - scores[true].mean() if any(true) else 0.0


def loss_nan(prob, target):
    known = target != 255
    planes = np.arange(len(prob))[:, None, None] == target
    hits, said, true = (x.sum((1, 2)) for x in (prob * planes, prob * known, planes))
    present = true > 0
    with np.errstate(all="ignore"):
        return np.divide((1 - hits / (said + true - hits))[present].sum(), present.sum())


def loss_torch(prob, target):
    prob, target = torch.as_tensor(prob), torch.as_tensor(target).long()
    known = target != 255
    if not known.any():
        return torch.tensor(0.0)
    p, t = prob[:, known], target[known]
    t = torch.nn.functional.one_hot(t, len(prob)).T.to(p)
    hits, union = (p * t).sum(1), p.sum(1) + t.sum(1) - (p * t).sum(1)
    return (1 - hits / union)[t.sum(1) > 0].mean()


# ---- threshold -------------------------------------------------------------------------------


def threshold_stub(val_prob, val_target, test_prob, test_target, thresholds):
    """Choose and report."""
    best = ...
    return best


def _score(prob, target, threshold):
    known = target != 255
    said, true = prob[known] > threshold, target[known] == 1
    return np.sum(said & true) / np.sum(said | true)


def threshold_right(val_prob, val_target, test_prob, test_target, thresholds):
    best = max(thresholds, key=lambda t: _score(val_prob, val_target, t))
    return best, _score(test_prob, test_target, best)


def threshold_on_test(val_prob, val_target, test_prob, test_target, thresholds):
    return threshold_right(test_prob, test_target, test_prob, test_target, thresholds)


def threshold_reports_val(val_prob, val_target, test_prob, test_target, thresholds):
    scores = [_score(val_prob, val_target, t) for t in thresholds]
    return thresholds[np.argmax(scores)], max(scores)


def threshold_both(val_prob, val_target, test_prob, test_target, thresholds):
    prob, target = np.concatenate([val_prob, test_prob]), np.concatenate([val_target, test_target])
    best = max(thresholds, key=lambda t: _score(prob, target, t))
    return best, _score(test_prob, test_target, best)


def threshold_accuracy(val_prob, val_target, test_prob, test_target, thresholds):
    known = val_target != 255
    right = [((val_prob > t) == val_target)[known].mean() for t in thresholds]
    best = thresholds[np.argmax(right)]
    return best, _score(test_prob, test_target, best)


def threshold_void(val_prob, val_target, test_prob, test_target, thresholds):
    def score(prob, target, t):
        return ((prob > t) & (target == 1)).sum() / ((prob > t) | (target == 1)).sum()

    best = max(thresholds, key=lambda t: score(val_prob, val_target, t))
    return best, score(test_prob, test_target, best)


def threshold_void_true(val_prob, val_target, test_prob, test_target, thresholds):
    def score(prob, target, t):
        true = target.astype(bool)
        return ((prob > t) & true).sum() / ((prob > t) | true).sum()

    best = max(thresholds, key=lambda t: score(val_prob, val_target, t))
    return best, score(test_prob, test_target, best)


def threshold_place(val_prob, val_target, test_prob, test_target, thresholds):
    best = np.argmax([_score(val_prob, val_target, t) for t in thresholds])
    return best, _score(test_prob, test_target, thresholds[best])


def threshold_backwards(*args):
    return threshold_right(*args)[::-1]


def threshold_pictures(val_prob, val_target, test_prob, test_target, thresholds):
    def score(prob, target, t):
        return np.mean([_score(p, y, t) for p, y in zip(prob, target, strict=True)])

    best = max(thresholds, key=lambda t: score(val_prob, val_target, t))
    return best, score(test_prob, test_target, best)


def threshold_last(val_prob, val_target, test_prob, test_target, thresholds):
    best = max(thresholds, key=lambda t: (_score(val_prob, val_target, t), t))
    return best, _score(test_prob, test_target, best)


def threshold_or_equal(val_prob, val_target, test_prob, test_target, thresholds):
    def score(prob, target, t):
        known = target != 255
        said, true = prob[known] >= t, target[known] == 1
        return (said & true).sum() / (said | true).sum()

    best = max(thresholds, key=lambda t: score(val_prob, val_target, t))
    return best, score(test_prob, test_target, best)


def threshold_habit(val_prob, val_target, test_prob, test_target, thresholds):
    return 0.5, _score(test_prob, test_target, 0.5)


def threshold_in_an_array(*args):
    return np.array(threshold_right(*args))


def threshold_torch(val_prob, val_target, test_prob, test_target, thresholds):
    def scores(prob, target):
        known = target != 255
        said = torch.as_tensor(prob[known])[None] > torch.as_tensor(thresholds)[:, None]
        true = torch.as_tensor(target[known] == 1)[None]
        return (said & true).sum(1).double() / (said | true).sum(1)

    k = scores(val_prob, val_target).argmax()
    return thresholds[k], scores(test_prob, test_target)[k]


STUBS = {
    "confusion_matrix": matrix_stub,
    "dice": dice_stub,
    "two_means": means_stub,
    "mend_dice": mend_stub,
    "iou_loss": loss_stub,
    "threshold": threshold_stub,
}

WRONG = {
    "confusion_matrix": [
        (matrix_swapped, "transposed"),
        (matrix_void_zero, "void_is_background"),
        (matrix_clipped, "void_is_last"),
        (matrix_bytes, "bytes_wrap"),
        (matrix_short, "no_minlength"),
        (matrix_unfiltered, "void_left_in"),
        (matrix_loop_with_void, "void_is_index"),
        (matrix_added_once, "counted_once"),
        (matrix_with_void_row, "void_row"),
        (matrix_normalised, "shares"),
    ],
    "dice": [
        (dice_zero, "absent_is_zero"),
        (dice_one, "absent_is_one"),
        (dice_true_only, "false_alarm_forgotten"),
        (dice_void_zero, "void_is_background"),
        (dice_void_in_pred, "said_in_void"),
        (dice_void_copied, "void_is_right"),
        (dice_none, "no_return"),
        (dice_void_in_place, "changes_inputs"),
        (dice_is_iou, "iou"),
        (dice_no_two, "half"),
        (dice_plus_one, "smooth"),
        (dice_of_seen, "classes_from_masks"),
    ],
    "two_means": [
        (means_swapped, "swapped"),
        (means_image_twice, "both_by_image"),
        (means_set_twice, "both_of_the_set"),
        (means_zeros, "absent_is_zero"),
        (means_zeros_in_both, "absent_is_zero_twice"),
        (means_zero_in_set, "absent_in_set"),
        (means_ones, "absent_is_one"),
        (means_of_true, "false_alarm_forgotten"),
        (means_void_in_pred, "said_in_void"),
        (means_of_dice, "dice"),
        (means_of_objects, "without_background"),
        (means_class_first, "classes_first"),
        (means_flat, "all_at_once"),
        (means_void, "void_is_background"),
    ],
    "mend_dice": [
        (mend_nothing, "popular"),
        (mend_only_background, "popular_objects"),
        (mend_of_true, "false_alarm_forgotten"),
        (mend_keeps_background, "background"),
        (mend_pictures, "by_picture"),
        (mend_empty_one, "empty_is_one"),
        (mend_keeps_smooth, "smooth"),
        (mend_accuracy, "one_sum"),
        (mend_foreground, "pooled"),
        (mend_void, "void_is_wrong"),
    ],
    "iou_loss": [
        (loss_positive, "not_one_minus"),
        (loss_dice, "dice"),
        (loss_union, "union_twice"),
        (loss_all, "absent_counted"),
        (loss_void, "said_in_void"),
        (loss_sum, "summed"),
        (loss_softmax, "softmax_twice"),
        (loss_argmax, "argmax"),
        (loss_nan, "all_void"),
    ],
    "threshold": [
        (threshold_on_test, "chosen_on_test"),
        (threshold_reports_val, "scored_on_val"),
        (threshold_both, "chosen_on_both"),
        (threshold_accuracy, "accuracy"),
        (threshold_void, "void_is_background"),
        (threshold_void_true, "void_is_class"),
        (threshold_place, "place"),
        (threshold_backwards, "exchanged"),
        (threshold_pictures, "by_picture"),
        (threshold_last, "highest"),
        (threshold_or_equal, "reached"),
        (threshold_habit, "not_chosen"),
    ],
}

VALID = {
    "confusion_matrix": [matrix_loop, matrix_one_bincount, matrix_torchmetrics],
    "dice": [dice_loop, dice_torch, dice_by_matrix],
    "two_means": [means_right, means_matrices, means_in_an_array, means_float32],
    "mend_dice": [mend_loop, mend_matrix],
    "iou_loss": [loss_right, loss_torch],
    "threshold": [threshold_right, threshold_in_an_array, threshold_torch],
}
