"""Answers to the exercises of lesson 00, as people write them: stub, wrong ones, valid ones."""

import numpy as np
import torch

# ---- shares ----------------------------------------------------------------------------------


def shares_stub(mask, classes):
    """Of the pixels that are not void, the share of each class."""
    ...  # noqa: PIE790


def shares_loop(mask, classes):
    counts = [0] * classes
    for row in mask.tolist():
        for pixel in row:
            if pixel != 255:
                counts[pixel] += 1
    return [count / sum(counts) for count in counts]


def shares_means(mask, classes):
    known = mask[mask < classes]
    return np.array([np.mean(known == c) for c in range(classes)])


def shares_torch(mask, classes):
    mask = torch.as_tensor(mask).long()
    counts = torch.bincount(mask.flatten(), minlength=classes)[:classes]
    return counts / counts.sum()


def shares_of_all(mask, classes):
    return np.array([(mask == c).mean() for c in range(classes)])


def shares_void_zero(mask, classes):
    mask = mask.copy()
    mask[mask == 255] = 0
    return np.array([(mask == c).mean() for c in range(classes)])


def shares_not_an_object(mask, classes):
    """Background is whatever is no object."""
    objects = [(mask == c).mean() for c in range(1, classes)]
    return np.array([1 - sum(objects), *objects])


def shares_counts(mask, classes):
    return [int((mask == c).sum()) for c in range(classes)]


def shares_percent(mask, classes):
    return 100 * shares_means(mask, classes)


def shares_rounded(mask, classes):
    return [round(float(share), 2) for share in shares_means(mask, classes)]


def shares_objects(mask, classes):
    counts = np.array([(mask == c).sum() for c in range(1, classes)])
    return counts / max(counts.sum(), 1)


def shares_no_background(mask, classes):
    return shares_means(mask, classes)[1:]


def shares_unique(mask, classes):
    ids, counts = np.unique(mask[mask != 255], return_counts=True)
    return counts / counts.sum()


def shares_bincount(mask, classes):
    return np.bincount(mask.ravel(), minlength=classes) / mask.size


def shares_with_void(mask, classes):
    return np.array([(mask == c).mean() for c in [*range(classes), 255]])


def shares_in_place(mask, classes):
    mask[mask == 255] = classes
    return np.bincount(mask.ravel(), minlength=classes)[:classes] / (mask < classes).sum()


def shares_of_rows(mask, classes):
    return np.stack([(mask == c).mean(axis=1) for c in range(classes)])


# ---- match -----------------------------------------------------------------------------------

ROWS = {"A": 2, "B": 5, "C": 1, "D": 3, "E": 4}


def _with(**changed):
    return ROWS | changed


# ---- score -----------------------------------------------------------------------------------


def score_stub(pred, truth, c):
    """The share of right pixels, and the IoU of class c."""
    ...  # noqa: PIE790


def _counts(pred, truth, c):
    """Pixels that are right, all, c in both, c in the prediction, c in the truth: void left out."""
    right = total = both = said = true = 0
    for p, t in zip(pred.ravel().tolist(), truth.ravel().tolist(), strict=True):
        if t == 255:
            continue
        total += 1
        right += p == t
        both += p == t == c
        said += p == c
        true += t == c
    return right, total, both, said, true


def _divided(above, below):
    return above / below if below else float("nan")


def score_loop(pred, truth, c):
    right, total, both, said, true = _counts(pred, truth, c)
    return right / total, _divided(both, said + true - both)


def score_sets(pred, truth, c):
    known = {tuple(place) for place in np.argwhere(truth != 255).tolist()}
    said, true = ({tuple(p) for p in np.argwhere(m == c).tolist()} & known for m in (pred, truth))
    right = {tuple(place) for place in np.argwhere(pred == truth).tolist()}
    return [len(right) / len(known), _divided(len(said & true), len(said | true))]


def score_torch(pred, truth, c):
    pred, truth = torch.as_tensor(pred), torch.as_tensor(truth)
    pred, truth = pred[truth != 255], truth[truth != 255]
    both, either = (pred == c) & (truth == c), (pred == c) | (truth == c)
    return (pred == truth).float().mean(), both.sum() / either.sum()


def score_void(pred, truth, c):
    both, either = (pred == c) & (truth == c), (pred == c) | (truth == c)
    return (pred == truth).mean(), _divided(both.sum(), either.sum())


def score_void_share(pred, truth, c):
    return (pred == truth).mean(), score_loop(pred, truth, c)[1]


def score_void_union(pred, truth, c):
    return score_loop(pred, truth, c)[0], score_void(pred, truth, c)[1]


def score_void_zero(pred, truth, c):
    return score_loop(pred, np.where(truth == 255, 0, truth), c)


def score_zero(pred, truth, c):
    share, iou = score_loop(pred, truth, c)
    return share, 0 if np.isnan(iou) else iou


def score_one(pred, truth, c):
    share, iou = score_loop(pred, truth, c)
    return share, 1 if np.isnan(iou) else iou


def score_smooth(pred, truth, c):
    right, total, both, said, true = _counts(pred, truth, c)
    return right / total, (both + 1e-9) / (said + true - both + 1e-9)


def score_divides(pred, truth, c):
    right, total, both, said, true = _counts(pred, truth, c)
    return right / total, both / (said + true - both)


def score_exchanged(pred, truth, c):
    return score_loop(pred, truth, c)[::-1]


def score_percent(pred, truth, c):
    return tuple(100 * number for number in score_loop(pred, truth, c))


def score_recall(pred, truth, c):
    right, total, both, said, true = _counts(pred, truth, c)
    return right / total, _divided(both, true)


def score_precision(pred, truth, c):
    right, total, both, said, true = _counts(pred, truth, c)
    return right / total, _divided(both, said)


def score_twice(pred, truth, c):
    right, total, both, said, true = _counts(pred, truth, c)
    return right / total, _divided(both, said + true)


def score_dice(pred, truth, c):
    right, total, both, said, true = _counts(pred, truth, c)
    return right / total, _divided(2 * both, said + true)


def score_of_all(pred, truth, c):
    right, total, both, said, true = _counts(pred, truth, c)
    return right / total, both / total


def score_agree(pred, truth, c):
    right, total, both, said, true = _counts(pred, truth, c)
    return right / total, (total - said - true + 2 * both) / total


def score_one_number(pred, truth, c):
    return score_loop(pred, truth, c)[1]


# ---- the tables ------------------------------------------------------------------------------

STUBS = {
    "shares": shares_stub,
    "match": dict.fromkeys("ABCDE", ...),
    "score": score_stub,
    "leak": {...},
}

WRONG = {
    "shares": [
        (shares_of_all, "void_in_total"),
        (shares_void_zero, "void_is_background"),
        (shares_not_an_object, "void_is_background"),
        (shares_counts, "counts"),
        (shares_percent, "percent"),
        (shares_rounded, "rounded"),
        (shares_objects, "background_left_out"),
        (shares_no_background, "background_left_out"),
        (shares_bincount, "void_is_a_class"),
        (shares_with_void, "void_is_a_class"),
        (shares_unique, "absent_class"),
        (shares_in_place, "changes_inputs"),
        (shares_of_rows, "shape"),
    ],
    "match": [
        (_with(B=4, E=5), "nothing_for_fat"),
        (_with(B=3, D=5), "nothing_for_missed"),
        (_with(A=3, D=2), "missed_for_invented"),
        (_with(C=3, D=1), "missed_for_misnamed"),
        (_with(A=1, C=2), "invented_for_misnamed"),
        (_with(A=4, E=2), "invented_for_fat"),
        (_with(A=5, B=4, E=2), "row_nothing"),
        (_with(A=1, C=3, D=2), "row_missed"),
        (_with(A=1, C=4, E=2), "row_invented"),
        (_with(C=4, E=1), "row_misnamed"),
        ({"A": 1, "B": 2, "C": 3, "D": 4, "E": 5}, "row_nothing"),
        ({letter: row - 1 for letter, row in ROWS.items()}, "from_zero"),
        ({row: letter for letter, row in ROWS.items()}, "turned_round"),
        (_with(A=5), "twice"),
        ({"A": 2, "B": 5, "D": 3}, "too_few"),
        (_with(F=6), "letters"),
        (_with(A=6), "rows"),
        (_with(A="second"), "type"),
        ([2, 5, 1, 3, 4], "type"),
    ],
    "score": [
        (score_void, "void_counted"),
        (score_void_share, "void_in_share"),
        (score_void_union, "void_in_union"),
        (score_void_zero, "void_is_background"),
        (score_zero, "zero_for_absent"),
        (score_one, "one_for_absent"),
        (score_smooth, "one_for_absent"),
        (score_divides, "divides_by_zero"),
        (score_exchanged, "exchanged"),
        (score_percent, "percent"),
        (score_recall, "of_the_truth"),
        (score_precision, "of_the_prediction"),
        (score_twice, "counted_twice"),
        (score_dice, "dice"),
        (score_of_all, "of_all_pixels"),
        (score_agree, "same_answer"),
        (score_one_number, "type"),
    ],
    "leak": [
        ({"A", "E"}, "missed_copy"),
        ({"A", "B"}, "missed_mirrored"),
        ({"B", "E"}, "missed_darker"),
        ({"B"}, "missed_darker"),
        ({"A", "B", "E", "D"}, "accused"),
        ({"A", "B", "C", "D", "E", "F", "G", "H"}, "all"),
        ({"C", "D", "F", "G", "H"}, "intact_ones"),
        (set(), "none"),
        ({"A", "B", "K"}, "letters"),
        (3, "type"),
    ],
}

VALID = {
    "shares": [shares_loop, shares_means, shares_torch],
    "match": [ROWS, {"e": "4", "d": "3", "c": "1", "b": "5", "a": "2"},
              {letter: np.int64(row) for letter, row in ROWS.items()}],
    "score": [score_loop, score_sets, score_torch],
    "leak": [{"A", "B", "E"}, ["e", "b", "a"], "ABE"],
}
