"""The metrics against loops over pixels, hand-computed masks and torchmetrics."""

import math
import os

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_confusion_matrix,
    multiclass_jaccard_index,
)
from torchmetrics.functional.segmentation import dice_score

from segutils.metrics import (
    ConfusionMatrix,
    boundary_f,
    confusion_matrix,
    dice,
    image_miou,
    instance_ap,
    iou,
    iou_by_size,
)

VOID = 255
same = dict(rtol=0, atol=1e-12, equal_nan=True)


def random_case(rng, most=6):
    """Blobs of ids with any mix of absent classes, void and nothing at all."""
    classes = int(rng.integers(1, 6))
    shape = (int(rng.integers(0, 3)), int(rng.integers(1, most)), int(rng.integers(1, most)))
    known = rng.choice(classes, size=rng.integers(1, classes + 1), replace=False)
    target, pred = rng.choice(known, size=shape), rng.integers(0, classes, size=shape)
    pred = np.where(rng.random(shape) < rng.choice([0, 0.5, 1]), target, pred)
    void = rng.random(shape) < rng.choice([0, 0, 0.3, 1])
    target[void] = VOID
    pred[void] = rng.choice([0, VOID, -7, 300])  # whatever stands there
    return pred, target, classes


# Oracles that loop.


def oracle_matrix(pred, target, classes):
    counts = [[0] * classes for _ in range(classes)]
    for p, t in zip(pred.ravel().tolist(), target.ravel().tolist(), strict=True):
        if t != VOID:
            counts[t][p] += 1
    return counts


def oracle_scores(pred, target, classes):
    """IoU, Dice and recall of each class, from sets of pixels."""
    valid = {i for i in np.ndindex(target.shape) if target[i] != VOID}
    scores = []
    for c in range(classes):
        said = {i for i in valid if pred[i] == c}
        true = {i for i in valid if target[i] == c}
        scores.append(
            (
                len(said & true) / len(said | true) if said | true else math.nan,
                2 * len(said & true) / (len(said) + len(true)) if said | true else math.nan,
                len(said & true) / len(true) if true else math.nan,
            )
        )
    return np.array(scores).T


def mean_of(scores):
    known = [s for s in scores if not math.isnan(s)]
    return sum(known) / len(known) if known else math.nan


def check_case(seed):
    rng = np.random.default_rng(seed)
    pred, target, classes = random_case(rng)
    matrix = ConfusionMatrix(classes).update(torch.from_numpy(pred), torch.from_numpy(target))
    assert matrix.matrix.tolist() == oracle_matrix(pred, target, classes), seed
    expected = oracle_scores(pred, target, classes)
    found = torch.stack([matrix.iou(), matrix.dice(), matrix.class_accuracy()]).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12, err_msg=str(seed))
    np.testing.assert_allclose(matrix.miou(), mean_of(expected[0]), atol=1e-12, err_msg=str(seed))
    valid = target != VOID
    right = (pred == target)[valid].mean() if valid.any() else math.nan
    np.testing.assert_allclose(matrix.accuracy(), right, atol=1e-12)
    single = [mean_of(oracle_scores(pred[b], target[b], classes)[0]) for b in range(len(pred))]
    np.testing.assert_allclose(image_miou(pred, target, classes), single, atol=1e-12)


def test_scores_equal_a_loop_over_pixels():
    for seed in range(300):
        check_case(seed)


@pytest.mark.slow
def test_scores_equal_a_loop_over_pixels_5000_times():
    for seed in range(300, 5300):
        check_case(seed)


# By hand, on 4 x 4.

TRUTH = torch.tensor([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, VOID]])
GUESS = torch.tensor([[0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0], [2, 0, 0, 1]])


def test_by_hand():
    assert confusion_matrix(GUESS, TRUTH, 4).tolist() == [
        [8, 2, 1, 0],
        [2, 2, 0, 0],
        [0, 0, 0, 0],
        [0, 0, 0, 0],
    ]
    nan = math.nan
    matrix = ConfusionMatrix(4).update(GUESS, TRUTH)
    for found, by_hand in [
        (matrix.iou(), [8 / 13, 2 / 6, 0, nan]),
        (iou(GUESS, TRUTH, 4), [8 / 13, 2 / 6, 0, nan]),
        (matrix.dice(), [16 / 21, 4 / 8, 0, nan]),
        (dice(GUESS, TRUTH, 4), [16 / 21, 4 / 8, 0, nan]),
        (matrix.class_accuracy(), [8 / 11, 2 / 4, nan, nan]),
    ]:
        torch.testing.assert_close(found, torch.tensor(by_hand).double(), **{**same, "atol": 1e-7})
    assert matrix.miou() == pytest.approx((8 / 13 + 1 / 3 + 0) / 3)
    assert matrix.accuracy() == pytest.approx(10 / 15)


def test_image_averaged_is_not_data_set_iou():
    target = torch.zeros(2, 10, 10, dtype=torch.int64)
    target[0, :, :5] = 1  # a large object, found
    target[1, 0, 0] = 1  # a small one, missed
    pred = target.clone()
    pred[1] = 0
    small = (0 + 99 / 100) / 2
    expected = torch.tensor([1, small]).double()
    torch.testing.assert_close(image_miou(pred, target, 2), expected, **{**same, "atol": 1e-7})
    whole = ConfusionMatrix(2).update(pred, target).miou()
    assert whole == pytest.approx((50 / 51 + 149 / 150) / 2)  # the miss has all but gone


def test_equal_to_torchmetrics():
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        pred, target = (torch.randint(0, 5, (3, 9, 7), generator=generator) for _ in range(2))
        target[:, 0] = VOID
        matrix = ConfusionMatrix(5).update(pred, target)
        theirs = multiclass_confusion_matrix(pred, target, 5, ignore_index=VOID)
        assert torch.equal(matrix.matrix, theirs)
        each = multiclass_jaccard_index(pred, target, 5, average=None, ignore_index=VOID)
        torch.testing.assert_close(matrix.iou().float(), each)
        recall = multiclass_accuracy(pred, target, 5, average=None, ignore_index=VOID)
        torch.testing.assert_close(matrix.class_accuracy().float(), recall)
        right = multiclass_accuracy(pred, target, 5, average="micro", ignore_index=VOID)
        assert matrix.accuracy() == pytest.approx(right.item())
        seen = target != VOID
        both = (pred[seen][None], target[seen][None])
        theirs = dice_score(*both, num_classes=5, average=None, input_format="index")[0]
        torch.testing.assert_close(matrix.dice().float(), theirs)


# Sums over a set.


def test_parts_add_up_to_the_whole():
    rng = np.random.default_rng(1)
    pred, target = rng.integers(0, 3, (2, 7, 8, 8))
    target[rng.random(target.shape) < 0.2] = VOID
    whole = ConfusionMatrix(("background", "person", "car")).update(pred, target)
    for cut in range(8):
        parts = [ConfusionMatrix(whole.names) for _ in range(2)]
        parts[0].update(pred[:cut], target[:cut])
        parts[1].update(pred[cut:], target[cut:])
        assert torch.equal(parts[0].merge(parts[1]).matrix, whole.matrix)
    assert whole.reset() is whole and whole.matrix.sum() == 0 and math.isnan(whole.miou())
    for other in (ConfusionMatrix(3), ConfusionMatrix(whole.names, ignore_index=0)):
        with pytest.raises(ValueError, match="cannot merge classes"):
            whole.merge(other)


def test_counts_stay_exact_where_float32_does_not():
    matrix = ConfusionMatrix(2)
    matrix.matrix += 2**24
    matrix.update(torch.tensor([0]), torch.tensor([0]))
    assert matrix.matrix[0, 0] == 2**24 + 1


def test_one_process_reduces_to_itself():
    matrix = ConfusionMatrix(3).update(GUESS, TRUTH)
    assert torch.equal(matrix.reduce().matrix, confusion_matrix(GUESS, TRUTH, 3))


def count_a_share(rank, folder):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2
    )
    pred, target = np.random.default_rng(2).integers(0, 3, (2, 9, 8, 8))
    matrix = ConfusionMatrix(3).update(pred[rank::2], target[rank::2]).reduce()
    torch.save(matrix.matrix, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="gloo over a file is not for Windows")
def test_two_processes_count_like_one(tmp_path):
    torch.multiprocessing.spawn(count_a_share, args=(str(tmp_path),), nprocs=2)
    pred, target = np.random.default_rng(2).integers(0, 3, (2, 9, 8, 8))
    for rank in range(2):
        assert torch.equal(torch.load(tmp_path / f"{rank}.pt"), confusion_matrix(pred, target, 3))


def test_printed_as_a_table():
    text = str(ConfusionMatrix(("background", "person", "car", "dog")).update(GUESS, TRUTH))
    assert text.splitlines() == [
        "class            pixels     IoU    Dice  recall",
        "background           11   0.615   0.762   0.727",
        "person                4   0.333   0.500   0.500",
        "car                   0   0.000   0.000       -",
        "dog                   0       -       -       -",
        "mean                      0.316   0.421   0.614",
        "pixel accuracy 0.667",
    ]
    assert "mean" in str(ConfusionMatrix(2))  # nothing counted yet


# What may come in, and what may not.


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.int64, torch.uint8, torch.int16])
def test_any_integers_will_do(kind):
    # 20 classes: row * 20 + column passes 255, where uint8 would wrap around
    rng = np.random.default_rng(3)
    pred, target = rng.integers(0, 20, (2, 2, 8, 8))
    expected = oracle_matrix(pred, target, 20)
    if isinstance(kind, torch.dtype):
        pred, target = (torch.from_numpy(x).to(kind) for x in (pred, target))
    else:
        pred, target = pred.astype(kind), target.astype(kind)
    assert confusion_matrix(pred, target, 20).tolist() == expected


def changed(ids, id):
    ids = ids.clone()
    ids[0, 0] = id
    return ids


CLEAN = TRUTH.masked_fill(TRUTH == VOID, 0)


@pytest.mark.parametrize(
    "metric", [confusion_matrix, iou, dice, boundary_f], ids=lambda f: f.__name__
)
@pytest.mark.parametrize(
    ("pred", "target", "message"),
    [
        (CLEAN.float(), TRUTH, "pred is torch.float32: .* argmax first"),
        (CLEAN, TRUTH.double(), "target is torch.float64: .* argmax first"),
        (CLEAN[:3], TRUTH, r"pred \(3, 4\) and target \(4, 4\) must agree"),
        (changed(CLEAN, 2), TRUTH, r"pred holds ids \[2\], but there are 2 classes \(0 to 1\)"),
        (changed(CLEAN, VOID), TRUTH, r"pred holds ids \[255\]"),
        (changed(CLEAN, -1), TRUTH, r"pred holds ids \[-1\]"),
        (CLEAN, changed(TRUTH, 2), r"target holds ids \[2\]"),
        (CLEAN, changed(TRUTH, -1), r"target holds ids \[-1\]"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(metric, pred, target, message):
    with pytest.raises(ValueError, match=message) as error:
        metric(pred, target, 2)
    assert "\n" not in str(error.value)


def test_another_ignore_index():
    for other in (-1, -100, 7):
        renamed = TRUTH.masked_fill(TRUTH == VOID, other)
        expected = confusion_matrix(GUESS, TRUTH, 3)
        assert torch.equal(confusion_matrix(GUESS, renamed, 3, ignore_index=other), expected)


# Boundary F.


def outline(ids, c):
    """Pixels of class c with a 4-neighbour inside the picture that is not of class c."""
    height, width = ids.shape
    return [
        (y, x)
        for y, x in np.ndindex(height, width)
        if ids[y, x] == c
        and any(
            0 <= v < height and 0 <= u < width and ids[v, u] != c
            for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1))
        )
    ]


def oracle_boundary_f(pred, target, c, tolerance):
    pred = np.where(target == VOID, VOID, pred)
    said, true = outline(pred, c), outline(target, c)
    if not said and not true:
        return math.nan

    def found(these, those):
        hits = [any(math.dist(a, b) <= tolerance for b in those) for a in these]
        return sum(hits) / len(hits) if hits else 0.0

    p, r = found(said, true), found(true, said)
    return 2 * p * r / (p + r) if p + r else 0.0


def check_boundary_case(seed):
    rng = np.random.default_rng(seed)
    size = rng.integers(2, 5, 2)
    target, pred = (np.kron(rng.integers(0, 3, size), np.ones((3, 3), int)) for _ in range(2))
    pred = np.where(rng.random(pred.shape) < rng.choice([0, 0.8, 1]), target, pred)
    target[rng.random(target.shape) < rng.choice([0, 0.1, 0.5])] = VOID
    tolerance = float(rng.choice([0, 1, 1.5, 2, 3]))
    found = boundary_f(pred, target, 4, tolerance)
    expected = [oracle_boundary_f(pred, target, c, tolerance) for c in range(4)]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12, err_msg=str(seed))
    assert torch.equal(boundary_f(pred[None], target[None], 4, tolerance)[0].nan_to_num(-1),
                       found.nan_to_num(-1))  # fmt: skip


def test_boundary_f_equals_all_distances():
    for seed in range(60):
        check_boundary_case(seed)


@pytest.mark.slow
def test_boundary_f_equals_all_distances_5000_times():
    for seed in range(60, 5060):
        check_boundary_case(seed)


def test_boundary_f_by_hand():
    target = np.zeros((9, 9), int)
    target[3:6, 3:6] = 1
    moved = np.roll(target, 1, axis=1)
    exact = boundary_f(moved, target, 3, tolerance=0)
    # 8 pixels of outline each; top and bottom rows share 2 pixels each, left and right 0 and 0,
    # and of the object's middle row none is outline in both
    assert exact[1].item() == pytest.approx(4 / 8)
    assert boundary_f(moved, target, 3, tolerance=1).tolist()[:2] == [1, 1]
    assert math.isnan(exact[2])  # absent from both
    missed = boundary_f(np.zeros_like(target), target, 3)
    assert missed.tolist()[:2] == [0, 0]  # no outline was drawn at all
    full = boundary_f(np.ones_like(target), np.ones_like(target), 3)
    assert full.isnan().all()  # a class that fills the picture has no outline


def test_boundary_f_with_void_around_the_object():
    target = np.zeros((20, 20), int)
    target[5:15, 5:15] = VOID
    target[6:14, 6:14] = 1
    for inside_void in (0, 1):  # on either side of the true border: both are perfect
        pred = np.where(target == VOID, inside_void, target)
        assert boundary_f(pred, target, 2, tolerance=0).tolist() == [1, 1]
    short = np.zeros_like(target)
    short[9:11, 9:11] = 1
    assert boundary_f(short, target, 2, tolerance=2)[1] == 0


# IoU by size.


def oracle_by_size(preds, targets, maps, low, high):
    right = truth = alarms = objects = 0
    for pred, target, instances in zip(preds, targets, maps, strict=True):
        area = {i: int((instances == i).sum()) for i in np.unique(instances) if i}
        chosen = {i for i, a in area.items() if low <= a < high}
        objects += len(chosen)
        for at in np.ndindex(target.shape):
            if target[at] == VOID:
                continue
            if instances[at] in chosen:
                truth += 1
                right += pred[at] == target[at]
            if pred[at] not in (0, target[at]):  # a false alarm: whose?
                rivals = [b for b in np.ndindex(target.shape) if instances[b] // 1000 == pred[at]]
                if rivals:
                    nearest = min(rivals, key=lambda b: (math.dist(at, b), b))
                    alarms += instances[nearest] in chosen
    if not truth:
        return objects, math.nan, math.nan
    return objects, right / (truth + alarms), right / truth


def random_scenes(seed):
    rng = np.random.default_rng(seed)
    instances = np.zeros((2, 10, 10), np.uint16)
    for picture in instances:
        for k in range(1, 5):
            y, x, h, w = rng.integers(0, 8, 4)
            picture[y : y + h, x : x + w] = rng.integers(1, 3) * 1000 + k
    target = (instances // 1000).astype(np.uint8)
    pred = np.where(rng.random(target.shape) < 0.7, target, rng.integers(0, 3, target.shape))
    target[rng.random(target.shape) < 0.1] = VOID
    return pred, target, instances


def test_iou_by_size_equals_a_loop():
    for seed in range(10):
        maps = random_scenes(seed)
        scores = iou_by_size(*maps, edges=(8, 20))
        for score, (low, high) in zip(scores, [(0, 8), (8, 20), (20, 999)], strict=True):
            objects, iou_, recall = oracle_by_size(*maps, low, high)
            assert score.objects == objects
            np.testing.assert_allclose([score.iou, score.recall], [iou_, recall], atol=1e-12)
    assert [s.size for s in scores] == ["0 to 7 px", "8 to 19 px", "20 px and more"]


def test_iou_of_all_sizes_is_the_iou():
    instances = np.zeros((1, 8, 8), np.uint16)
    instances[0, :3, :3], instances[0, 5:, 5:] = 1001, 1002
    target = (instances // 1000).astype(np.uint8)
    pred = np.roll(target, 1, axis=2)
    (whole,) = iou_by_size(pred, target, instances, edges=())
    assert whole.iou == pytest.approx(iou(pred, target, 2)[1].item())
    assert whole.recall == pytest.approx(confusion_matrix(pred, target, 2)[1, 1].item() / 18)


def test_iou_by_size_by_hand():
    instances = np.zeros((1, 6, 12), np.uint16)
    instances[0, 1:3, 1:3] = 1001  # 4 pixels, missed
    instances[0, 0:6, 8:12] = 1002  # 24 pixels, found, and 6 false alarms beside it
    target = (instances // 1000).astype(np.uint8)
    pred = np.zeros_like(target)
    pred[0, :, 7:] = 1
    small, large = iou_by_size(pred, target, instances, edges=(10,))
    assert small == ("0 to 9 px", 1, 0.0, 0.0)
    assert large == ("10 px and more", 1, 24 / 30, 1.0)
    empty = iou_by_size(pred * 0, target * 0, instances * 0)
    assert [s.objects for s in empty] == [0, 0, 0] and all(math.isnan(s.iou) for s in empty)
    assert iou_by_size(pred[:0], target[:0], instances[:0])[0].objects == 0
    with pytest.raises(ValueError, match="name different classes"):
        iou_by_size(pred, target, instances + 1000)
    with pytest.raises(ValueError, match="1 pred, 0 target, 1 instances"):
        iou_by_size(pred, target[:0], instances)


# Mask AP.


def masks(*boxes):
    out = torch.zeros(len(boxes), 20, 20, dtype=torch.bool)
    for mask, (y, x, h, w) in zip(out, boxes, strict=True):
        mask[y : y + h, x : x + w] = True
    return out


def test_instance_ap_by_hand():
    truth = {"masks": masks((0, 0, 8, 8), (10, 10, 8, 8)), "labels": torch.tensor([1, 1])}
    found = {
        "masks": masks((0, 0, 8, 8), (10, 0, 8, 8)),  # one exact, one where nothing is
        "scores": torch.tensor([0.9, 0.8]),
        "labels": torch.tensor([1, 1]),
    }
    ap = instance_ap([found], [truth])
    # precision 1 up to recall 0.5, then 0: 51 of COCO's 101 recall levels
    assert ap["ap50"] == pytest.approx(51 / 101) and ap["ap"] == pytest.approx(51 / 101)
    assert ap["per_class"] == {1: pytest.approx(51 / 101)}
    # 8 x 8 against 8 x 6: IoU 0.75, good at 0.50 to 0.75: 6 of 10 thresholds
    narrow = {"masks": masks((0, 0, 8, 6)), "scores": torch.ones(1), "labels": torch.tensor([2])}
    wide = {"masks": masks((0, 0, 8, 8)), "labels": torch.tensor([2])}
    ap = instance_ap([narrow], [wide])
    assert ap["ap"] == pytest.approx(0.6) and ap["ap50"] == ap["ap75"] == pytest.approx(1)


def test_instance_ap_of_nothing():
    none = {"masks": masks(), "labels": torch.zeros(0, dtype=torch.int64)}
    said = {**none, "scores": torch.zeros(0)}
    assert math.isnan(instance_ap([said], [none])["ap"])
    one = {"masks": masks((0, 0, 8, 8)), "labels": torch.tensor([1])}
    # all missed is 0, not "nothing to find"
    assert instance_ap([said], [one]) == {"ap": 0, "ap50": 0, "ap75": 0, "per_class": {1: 0}}
    wrong = {**one, "labels": torch.tensor([2]), "scores": torch.ones(1)}
    assert instance_ap([wrong], [one])["ap"] == 0
    assert math.isnan(instance_ap([wrong], [none])["ap"])


def test_three_of_five_reach_a_recall_of_six_tenths():
    five = masks(*((0, 4 * k, 5, 4) for k in range(5)))
    truth = {"masks": five, "labels": torch.ones(5, dtype=torch.int64)}
    found = {"masks": five[:3], "labels": truth["labels"][:3], "scores": torch.rand(3)}
    assert instance_ap([found], [truth])["ap"] == pytest.approx(61 / 101)   # recalls 0 to 0.60
    cut = {"masks": masks((0, 0, 5, 5)), "labels": torch.ones(1, dtype=torch.int64)}
    part = {"masks": masks((0, 0, 5, 3)), "labels": cut["labels"], "scores": torch.ones(1)}
    assert instance_ap([part], [cut])["ap"] == pytest.approx(0.3)           # IoU 0.6: 3 of 10


def test_a_false_alarm_in_a_picture_without_objects_counts():
    one = {"masks": masks((0, 0, 8, 8)), "labels": torch.tensor([1])}
    none = {"masks": masks(), "labels": torch.zeros(0, dtype=torch.int64)}
    right, alarm = ({**one, "scores": torch.tensor([score])} for score in (0.5, 0.9))
    # the false alarm comes first, so the precision is 1/2 at every recall; left out, it were 1
    for truth in ([one, none], [none, one]):
        said = [alarm, right] if truth[0] is none else [right, alarm]
        ap = instance_ap(said, truth)
        assert ap["ap"] == ap["ap50"] == pytest.approx(0.5) and ap["per_class"] == {1: ap["ap"]}
    quiet = {**none, "scores": torch.zeros(0)}
    assert instance_ap([right, quiet], [one, none])["ap"] == 1
    other = {**alarm, "labels": torch.tensor([2])}         # of a class that nobody asks for
    assert instance_ap([right, other], [one, none])["ap"] == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="wants a CUDA card")
def test_same_on_cuda():
    rng = np.random.default_rng(4)
    pred, target = (torch.from_numpy(x) for x in rng.integers(0, 3, (2, 2, 32, 32)))
    on_card = confusion_matrix(pred.cuda(), target.cuda(), 3)
    assert on_card.is_cuda and torch.equal(on_card.cpu(), confusion_matrix(pred, target, 3))
    cuda = boundary_f(pred.cuda(), target.cuda(), 3)
    torch.testing.assert_close(cuda.cpu(), boundary_f(pred, target, 3), **same)
