"""Every way to a wrong number that lesson 04 shows: the break does damage, the cure does none.

Each test makes the mistake on street scenes with imperfect predictions, asserts that it costs
something (or this would be a test of nothing), and then asserts what segutils makes of it. Where
the package can notice the mistake, it must refuse it.
"""

import math

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from segutils import losses, masks, street
from segutils.metrics import ConfusionMatrix, boundary_f, confusion_matrix, image_miou, iou

PERSON, CAR = 1, 2
LOSSES = [losses.cross_entropy, losses.dice_loss, losses.jaccard_loss, losses.tversky_loss,
          losses.focal_loss, losses.lovasz_softmax, losses.ce_dice]
every_loss = pytest.mark.parametrize("loss", LOSSES, ids=losses.name_of)


def imagine(objects, seed):
    """Logits (3, H, W) of a fair network: the truth, shifted, blurred, and with smooth noise."""
    rng = np.random.default_rng(seed)
    moved = np.roll(objects // 1000, rng.integers(-2, 3, 2), (0, 1))
    planes = np.stack([cv2.GaussianBlur(np.float32(moved == k), (0, 0), 1.5) for k in range(3)])
    noise = np.stack([cv2.GaussianBlur(n, (0, 0), 4) for n in rng.normal(0, 9, planes.shape)])
    return torch.from_numpy(np.log(planes + 1e-3) + noise).float()


@pytest.fixture(scope="module")
def scenes():
    return [street.draw(seed, 128, "full") for seed in range(16)]


@pytest.fixture(scope="module")
def targets(scenes):
    return torch.stack([torch.from_numpy(scene.mask).long() for scene in scenes])


@pytest.fixture(scope="module")
def logits(scenes):
    return torch.stack([imagine(scene.instances, k) for k, scene in enumerate(scenes)])


@pytest.fixture(scope="module")
def preds(logits):
    return logits.argmax(dim=1)


@pytest.fixture(scope="module")
def perfect(scenes):
    """The true class of every pixel, of void ones too."""
    return torch.stack([torch.from_numpy(scene.instances // 1000).long() for scene in scenes])


def test_accuracy_praises_the_lazy_answer_and_iou_does_not(targets):
    lazy = ConfusionMatrix(3).update(torch.zeros_like(targets), targets)
    assert lazy.accuracy() > 0.8
    assert lazy.iou()[1:].tolist() == [0, 0]
    assert lazy.miou() < 0.35


def test_an_absent_class_has_no_score_in_metrics():
    street_only = torch.zeros(1, 4, 4, dtype=torch.int64)
    score = ConfusionMatrix(3).update(street_only, street_only)
    assert score.iou().isnan().tolist() == score.dice().isnan().tolist() == [False, True, True]
    assert score.miou() == 1                               # neither 1/3 (as 0), nor by two gifts


def popular_dice(pred, target):
    """Background averaged in, picture by picture, and 0/0 made 1."""
    each = []
    for k in (0, 1):
        p, t = pred == k, target == k
        both, sums = (p & t).sum(dim=(1, 2)), p.sum(dim=(1, 2)) + t.sum(dim=(1, 2))
        each.append((2 * both + 1) / (sums + 1))
    return torch.stack(each).mean().item()


def test_the_popular_dice_scores_nothing_at_095(targets):
    person = (targets == PERSON).long()
    found = [p for p in person if 0 < p.sum() < 500][:1]
    quiet = torch.stack([*found, *[torch.zeros(128, 128).long()] * 9])
    nobody = torch.zeros_like(quiet)
    assert popular_dice(nobody, quiet) > 0.93
    score = ConfusionMatrix(2).update(nobody, quiet)
    assert score.dice()[1] == 0
    one_sum = 2 * (nobody == quiet).sum() / (2 * quiet.numel())       # all planes in one sum
    assert one_sum.item() == pytest.approx(score.accuracy())          # is accuracy


def test_the_dice_loss_of_an_all_background_answer_is_poor(targets):
    lazy = torch.zeros(16, 3, 128, 128)
    lazy[:, 0] = 50.0
    assert losses.cross_entropy(lazy, targets) > 1
    assert losses.dice_loss(lazy, targets) > 0.65          # 1 for person and car, near 0 for street


@pytest.mark.parametrize("fill", [0, 2], ids=["as background", "clamped to the last class"])
def test_void_counted_as_a_class_costs_a_perfect_answer(targets, perfect, fill):
    wrong = torch.where(targets == 255, fill, targets)
    assert iou(perfect, wrong, 3)[PERSON] < 0.95
    assert iou(perfect, targets, 3).tolist() == [1, 1, 1]
    assert confusion_matrix(perfect, targets, 3).sum() == (targets != 255).sum()


def test_one_hot_of_255_is_refused_and_clamped_it_is_a_car(targets):
    with pytest.raises(RuntimeError):
        F.one_hot(targets, 3)
    assert (targets.clamp(max=2) == CAR).sum() > (targets == CAR).sum()
    with pytest.raises(ValueError, match="255"):
        masks.one_hot(targets[0].numpy().astype(np.uint8), 3, ignore_index=None)
    for loss in LOSSES:
        with pytest.raises(ValueError, match="255"):
            loss(torch.zeros(16, 3, 128, 128), targets, ignore_index=254)
    with pytest.raises(ValueError, match="255"):
        confusion_matrix(targets.clamp(max=2), targets, 3, ignore_index=254)


@every_loss
def test_void_neither_pulls_nor_is_pulled(loss, logits, targets):
    spoilt = logits[:4].clone()
    spoilt.movedim(1, -1)[targets[:4] == 255] = torch.tensor([math.nan, math.inf, -1e9])
    spoilt.requires_grad_()
    value = loss(spoilt, targets[:4])
    assert value == loss(logits[:4], targets[:4])
    (slope,) = torch.autograd.grad(value, spoilt)
    assert slope.isfinite().all() and not slope.movedim(1, -1)[targets[:4] == 255].any()


@every_loss
def test_an_all_void_crop_is_nan_in_torch_and_0_here(loss):
    void = torch.full((1, 8, 8), 255)
    x = torch.randn(1, 3, 8, 8, requires_grad=True)
    assert F.cross_entropy(x, void, ignore_index=255).isnan()
    value = loss(x, void)
    (slope,) = torch.autograd.grad(value, x)
    assert value == 0 and not slope.any()


def test_means_over_batches_depend_on_the_batch_and_a_matrix_does_not(preds, targets):
    def by_batches(size):
        pairs = zip(preds.split(size), targets.split(size), strict=True)
        return np.mean([ConfusionMatrix(3).update(p, t).miou() for p, t in pairs])

    whole = ConfusionMatrix(3).update(preds, targets)
    assert len({round(by_batches(size), 3) for size in (1, 2, 4, 16)}) >= 3
    for size in (1, 3, 16):
        summed = ConfusionMatrix(3)
        for p, t in zip(preds.split(size), targets.split(size), strict=True):
            summed.update(p, t)
        assert torch.equal(summed.matrix, whole.matrix) and summed.miou() == whole.miou()


def test_image_averaged_and_data_set_iou_are_two_numbers():
    """A large object found and a small one missed: a pixel's vote against a picture's vote."""
    target = torch.zeros(2, 64, 64, dtype=torch.int64)
    target[0, 10:50, 10:50] = target[1, 30:34, 30:34] = 1
    pred = target.clone()
    pred[1] = 0
    of_set = ConfusionMatrix(2).update(pred, target).miou()
    assert of_set == pytest.approx((1600 / 1616 + (8192 - 1616) / (8192 - 1600)) / 2)
    each = image_miou(pred, target, 2)
    assert each.tolist() == pytest.approx([1, (0 + 4080 / 4096) / 2])
    assert of_set - each.mean() > 0.2


def test_a_pixel_of_shift_ruins_small_things_and_iou_says_so():
    for side in (2, 4, 8, 32):
        square = torch.zeros(64, 64, dtype=torch.int64)
        square[8:8 + side, 8:8 + side] = 1
        assert iou(square.roll(1, 1), square, 2)[1].item() == pytest.approx((side - 1) / (side + 1))


def test_boundary_f_tells_a_fat_car_from_a_cut_one():
    car = np.zeros((64, 64), np.uint8)
    car[20:44, 10:50] = 1
    fat = cv2.dilate(car, np.ones((3, 3), np.uint8))
    cut = car.copy()
    cut[:, :15] = 0
    scores = [iou(made, car, 2)[1].item() for made in (fat, cut)]
    assert abs(scores[0] - scores[1]) < 0.02
    assert boundary_f(fat, car, 2)[1] == 1 and boundary_f(cut, car, 2)[1] < 0.95


def test_logits_are_resized_and_ids_are_not(logits, targets, perfect):
    coarse, size = F.avg_pool2d(logits, 8), (128, 128)
    ids = coarse.argmax(dim=1)
    blend = F.interpolate(ids[:, None].float(), size=size, mode="bilinear")[:, 0].round().long()
    right = F.interpolate(coarse, size=size, mode="bilinear").argmax(dim=1)
    assert ((blend == PERSON) & (perfect == CAR)).sum() > 0.1 * (perfect == CAR).sum()
    assert iou(blend, targets, 3)[PERSON] < iou(right, targets, 3)[PERSON] - 0.2
    assert ConfusionMatrix(3).update(right, targets).miou() > 0.6


def test_a_small_target_gives_another_score_and_full_size_is_asked_for(logits, targets):
    coarse = F.avg_pool2d(logits, 8)
    small = F.interpolate(targets[:, None].float(), size=(16, 16), mode="nearest-exact")[:, 0]
    easy = ConfusionMatrix(3).update(coarse.argmax(dim=1), small.long()).miou()
    full = F.interpolate(coarse, size=(128, 128), mode="bilinear").argmax(dim=1)
    assert easy > ConfusionMatrix(3).update(full, targets).miou() + 0.01
    with pytest.raises(ValueError, match="must agree"):
        confusion_matrix(coarse.argmax(dim=1), targets, 3)
    for loss in LOSSES:
        with pytest.raises(ValueError, match="must agree"):
            loss(coarse, targets)


def test_metrics_refuse_what_is_not_yet_ids(logits, preds, targets):
    truth = torch.where(targets == CAR, 0, targets)

    def person(over):
        return iou(over.long(), truth, 2)[1]

    right = person(logits.softmax(dim=1)[:, PERSON] > 0.5)
    assert person(preds > 0.5) < right / 2                 # ids: every car is a person
    assert person(logits[:, PERSON] > 0.5) < right / 2     # logits: no particular probability
    with pytest.raises(ValueError, match="argmax"):
        confusion_matrix(logits[:, PERSON], targets, 3)


def descend(loss, start, target, steps=300, rate=5.0):
    x = start.clone().requires_grad_()
    for _ in range(steps):
        (slope,) = torch.autograd.grad(loss(x, target), x)
        x = (x - rate * slope).detach().requires_grad_()
    return x.detach()


def test_softmax_twice_stalls_above_its_floor():
    torch.manual_seed(0)
    target = torch.randint(0, 3, (1, 4, 4))
    start = 10.0 * F.one_hot((target + (torch.arange(16).view(1, 4, 4) < 4).long()) % 3, 3)
    start = start.movedim(3, 1).float()                    # sure, and wrong at four pixels
    once = descend(losses.cross_entropy, start, target)
    twice = descend(lambda x, y: losses.cross_entropy(x.softmax(dim=1), y), start, target)
    assert (once.argmax(dim=1) == target).all()
    assert (twice.argmax(dim=1) != target).sum() == 4
    best = 1000.0 * F.one_hot(target, 3).movedim(3, 1).float()
    floor = losses.cross_entropy(best.softmax(dim=1), target).item()
    assert floor == pytest.approx(math.log(math.e + 2) - 1) and floor > 0.55


def test_sums_in_fp16_overflow_and_ours_do_not(logits, targets):
    half = logits.half()
    known = (targets != 255)[:, None]
    p = half.softmax(dim=1) * known
    t = F.one_hot(targets.masked_fill(targets == 255, 0), 3).movedim(3, 1).half() * known
    dice = 2 * (p * t).sum(dim=(0, 2, 3)) / (p + t).sum(dim=(0, 2, 3))
    assert dice[0].isnan()
    for loss in LOSSES:
        assert torch.isclose(loss(half, targets), loss(logits, targets), atol=2e-3)


def test_a_confident_miss_stops_dice_and_not_cross_entropy():
    target = torch.zeros(1, 16, 16, dtype=torch.int64)
    target[0, 4:8, 4:8] = PERSON
    x = torch.zeros(1, 3, 16, 16)
    x[:, 0] = 12.0                                         # background, and sure of it

    def push(loss):
        y = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(loss(y, target), y)
        return slope.abs().sum(dim=1)[target == PERSON].mean()

    for loss in (losses.dice_loss, losses.jaccard_loss, losses.lovasz_softmax):
        assert push(loss) < push(losses.cross_entropy) / 100
    assert push(losses.ce_dice) >= push(losses.cross_entropy)
    for loss, found in ((losses.dice_loss, 0), (losses.ce_dice, 16)):
        end = descend(loss, x, target, steps=60, rate=30.0).argmax(dim=1)
        assert (end == PERSON).sum() == found


def test_dice_gives_small_classes_their_share_and_cross_entropy_does_not(logits, targets):
    def ratio(loss):
        x = logits.clone().requires_grad_()
        (slope,) = torch.autograd.grad(loss(x, targets), x)
        push = slope.abs().sum(dim=1)
        return push[targets == PERSON].mean() / push[targets == CAR].mean()

    assert ratio(losses.dice_loss) > 2 * ratio(losses.cross_entropy)
    weighted = ratio(lambda x, y: losses.cross_entropy(x, y, weight=(1.0, 20.0, 4.0)))
    assert weighted > 2 * ratio(losses.cross_entropy)
