"""The losses against loops over pixels in float64, hand-computed masks and other libraries."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torchmetrics.functional.classification import multiclass_jaccard_index
from torchmetrics.functional.segmentation import dice_score

from segutils.losses import (
    ce_dice,
    cross_entropy,
    dice_loss,
    focal_loss,
    jaccard_loss,
    lovasz_softmax,
    name_of,
    sum_of,
    tversky_loss,
)

VOID = 255
LOSSES = {
    "cross_entropy": cross_entropy,
    "cross_entropy_weighted": partial(cross_entropy, weight=(0.2, 1.0, 3.0)),
    "focal": focal_loss,
    "focal_alpha": partial(focal_loss, gamma=0.5, alpha=(0.2, 1.0, 3.0)),
    "dice": dice_loss,
    "dice_all": partial(dice_loss, classes="all", smooth=1.0),
    "jaccard": jaccard_loss,
    "jaccard_all": partial(jaccard_loss, classes="all", smooth=1.0),
    "tversky": tversky_loss,
    "lovasz": lovasz_softmax,
    "lovasz_all": partial(lovasz_softmax, classes="all"),
    "ce_dice": ce_dice,
    "sum": sum_of((0.5, cross_entropy), (2, lovasz_softmax)),
}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())


# An oracle that loops: (probabilities, true class) of every pixel that is not void.


def pixels_of(logits, target, ignore_index=VOID):
    pixels = []
    for b, y, x in np.ndindex(target.shape):
        if target[b, y, x] != ignore_index:
            scores = logits[b, :, y, x].astype(np.float64)
            powers = [math.exp(s - scores.max()) for s in scores]
            log_sum = scores.max() + math.log(sum(powers))
            pixels.append(([math.exp(s - log_sum) for s in scores], scores - log_sum,
                           int(target[b, y, x])))  # fmt: skip
    return pixels


def oracle_cross_entropy(pixels, weight):
    total = sum(weight[t] for _, _, t in pixels)
    return sum(-weight[t] * log_p[t] for _, log_p, t in pixels) / total if pixels else 0.0


def oracle_focal(pixels, gamma, alpha):
    losses = [-alpha[t] * (1 - p[t]) ** gamma * log_p[t] for p, log_p, t in pixels]
    return sum(losses) / len(losses) if pixels else 0.0


def oracle_region(pixels, classes, which, formula):
    """Mean over classes of 1 - formula(TP, FP, FN), soft counts."""
    losses = []
    for c in range(classes):
        tp = sum(p[c] for p, _, t in pixels if t == c)
        fp = sum(p[c] for p, _, t in pixels if t != c)
        fn = sum(1 - p[c] for p, _, t in pixels if t == c)
        if which == "all" or any(t == c for _, _, t in pixels):
            losses.append(1 - formula(tp, fp, fn))
    return sum(losses) / len(losses) if losses else 0.0


def oracle_lovasz(pixels, classes, which):
    """The Lovász extension as an integral over thresholds of the Jaccard loss of the level set."""
    losses = []
    for c in range(classes):
        truth = [t == c for _, _, t in pixels]
        if which == "present" and not any(truth):
            continue
        errors = [1 - p[c] if true else p[c] for (p, _, _), true in zip(pixels, truth, strict=True)]
        total, below = 0.0, 0.0
        for level in sorted(set(errors)):
            wrong = [e >= level for e in errors]
            union = sum(w or t for w, t in zip(wrong, truth, strict=True))
            total += (level - below) * sum(wrong) / union
            below = level
        losses.append(total)
    return sum(losses) / len(losses) if losses else 0.0


def random_case(rng):
    """Logits and a target with any mix of absent classes, void and nothing at all."""
    classes = int(rng.integers(2, 6))
    shape = (int(rng.integers(0, 3)), int(rng.integers(1, 5)), int(rng.integers(1, 5)))
    known = rng.choice(classes, size=rng.integers(1, classes + 1), replace=False)
    target = rng.choice(known, size=shape)
    target[rng.random(shape) < rng.choice([0, 0, 0.3, 0.9, 1])] = VOID
    scale = rng.choice([0.1, 1, 5, 20])
    logits = rng.normal(0, scale, (shape[0], classes, *shape[1:])).astype(np.float32)
    return logits, target.astype(np.int64), classes


def check_case(seed):
    rng = np.random.default_rng(seed)
    logits, target, classes = random_case(rng)
    which, smooth = str(rng.choice(["present", "all"])), float(rng.choice([1e-6, 1.0]))
    weight, gamma = rng.random(classes) + 0.1, float(rng.choice([0, 0.5, 1, 2, 3]))
    alpha, beta = rng.random(2) + 0.05
    pixels, s = pixels_of(logits, target), smooth
    x, t = torch.from_numpy(logits), torch.from_numpy(target)
    region = partial(oracle_region, pixels, classes, which)
    options = {"classes": which, "smooth": smooth}
    pairs = {
        "ce": (cross_entropy(x, t), oracle_cross_entropy(pixels, np.ones(classes))),
        "ce weight": (cross_entropy(x, t, weight=weight), oracle_cross_entropy(pixels, weight)),
        "focal": (
            focal_loss(x, t, gamma=gamma, alpha=weight),
            oracle_focal(pixels, gamma, weight),
        ),
        "dice": (
            dice_loss(x, t, **options),
            region(lambda tp, fp, fn: (2 * tp + s) / (2 * tp + fp + fn + s)),
        ),
        "jaccard": (
            jaccard_loss(x, t, **options),
            region(lambda tp, fp, fn: (tp + s) / (tp + fp + fn + s)),
        ),
        "tversky": (
            tversky_loss(x, t, alpha=alpha, beta=beta, **options),
            region(lambda tp, fp, fn: (tp + s) / (tp + alpha * fp + beta * fn + s)),
        ),
        "lovasz": (lovasz_softmax(x, t, classes=which), oracle_lovasz(pixels, classes, which)),
    }
    for name, (ours, expected) in pairs.items():
        assert ours.dtype == torch.float32 and ours.ndim == 0, (seed, name)
        assert ours.item() == pytest.approx(expected, rel=1e-6, abs=1e-6), (seed, name)


def test_losses_equal_a_loop_over_pixels():
    for seed in range(300):
        check_case(seed)


@pytest.mark.slow
def test_losses_equal_a_loop_over_pixels_5000_times():
    for seed in range(300, 5300):
        check_case(seed)


# By hand, on 4 x 4: truth is a 2 x 2 object in a corner.

TRUTH = torch.tensor([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])[None]
SHIFTED = torch.tensor([[0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]])[None]
CORNER = torch.tensor([[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])[None]


def sure(ids, classes=2, by=100.0):
    """Logits of a prediction that has no doubt."""
    return by * F.one_hot(ids, classes).movedim(-1, 1).float()


@pytest.mark.parametrize(
    ("loss", "prediction", "by_hand"),
    [
        # object: 2 right, 2 false alarms, 2 missed; background: 10 right, 2 and 2
        (dice_loss, SHIFTED, 1 - (4 / 8 + 20 / 24) / 2),
        (jaccard_loss, SHIFTED, 1 - (2 / 6 + 10 / 14) / 2),
        (lovasz_softmax, SHIFTED, 1 - (2 / 6 + 10 / 14) / 2),
        # object: 1 right, 3 missed; background: 12 right, 3 false alarms
        (dice_loss, CORNER, 1 - (2 / 5 + 24 / 27) / 2),
        (jaccard_loss, CORNER, 1 - (1 / 4 + 12 / 15) / 2),
        (tversky_loss, CORNER, 1 - (1 / (1 + 0.7 * 3) + 12 / (12 + 0.3 * 3)) / 2),
        (cross_entropy, SHIFTED, 4 * 100 / 16),
        (focal_loss, SHIFTED, 4 * 100 / 16),
        (ce_dice, SHIFTED, 25 + 1 / 3),
    ],
)
def test_sure_prediction_by_hand(loss, prediction, by_hand):
    assert loss(sure(prediction), TRUTH).item() == pytest.approx(by_hand, abs=1e-6)


@pytest.mark.parametrize(
    ("loss", "by_hand"),
    [
        (cross_entropy, math.log(2)),
        (partial(cross_entropy, weight=(1, 5)), math.log(2)),
        (focal_loss, 0.25 * math.log(2)),
        (partial(focal_loss, alpha=(0, 4)), 0.25 * math.log(2)),
        (dice_loss, 1 - (2 * 2 / (8 + 4) + 2 * 6 / (8 + 12)) / 2),
        (jaccard_loss, 1 - (2 / (8 + 4 - 2) + 6 / (8 + 12 - 6)) / 2),
        (tversky_loss, 1 - (2 / (2 + 0.3 * 6 + 0.7 * 2) + 6 / (6 + 0.3 * 2 + 0.7 * 6)) / 2),
        (lovasz_softmax, 0.5),  # all errors are 0.5, and the Jaccard loss of "all wrong" is 1
    ],
)
def test_undecided_prediction_by_hand(loss, by_hand):
    assert loss(torch.zeros(1, 2, 4, 4), TRUTH).item() == pytest.approx(by_hand, abs=1e-6)


@every_loss
def test_perfect_is_zero_and_opposite_is_not(loss):
    target = torch.randint(0, 3, (2, 8, 8), generator=torch.Generator().manual_seed(0))
    target[0, 0] = VOID
    shown = target.masked_fill(target == VOID, 1)
    assert loss(sure(shown, 3), target).item() == pytest.approx(0, abs=1e-5)
    assert loss(sure((shown + 1) % 3, 3), target).item() > 0.9


@every_loss
def test_descending_a_loss_finds_the_target(loss):
    target = torch.randint(0, 3, (2, 6, 6), generator=torch.Generator().manual_seed(1))
    logits = torch.zeros(2, 3, 6, 6, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.3)
    for _ in range(60):
        optimizer.zero_grad()
        loss(logits, target).backward()
        optimizer.step()
    assert torch.equal(logits.argmax(dim=1), target)


def test_all_background_is_a_bad_prediction():
    target = torch.zeros(1, 64, 64, dtype=torch.int64)
    target[:, :8, :8] = 1
    target[:, -8:, -8:] = 2
    logits = sure(torch.zeros_like(target), 3)
    popular = 1 - 2 * (logits.softmax(1) * F.one_hot(target, 3).movedim(-1, 1)).sum() / (2 * 64**2)
    assert popular < 0.05  # one sum over all classes: 97 % right, it says
    for loss in (dice_loss, jaccard_loss, lovasz_softmax, tversky_loss):
        assert loss(logits, target) > 0.66  # two of three classes missed altogether


# Equal to other libraries.


@pytest.mark.parametrize("weight", [None, (0.5, 1.0, 0.0, 2.0)])
def test_cross_entropy_is_torchs(weight):
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(3, 4, 9, 7, generator=generator, requires_grad=True)
    target = torch.randint(0, 4, (3, 9, 7), generator=generator)
    target[:, 2:4] = VOID
    tensor = None if weight is None else torch.tensor(weight)
    theirs = F.cross_entropy(logits, target, weight=tensor, ignore_index=VOID)
    ours = cross_entropy(logits, target, weight=weight)
    torch.testing.assert_close(ours, theirs)
    grads = [torch.autograd.grad(value, logits)[0] for value in (ours, theirs)]
    torch.testing.assert_close(*grads)
    torch.testing.assert_close(focal_loss(logits, target, gamma=0), cross_entropy(logits, target))


def test_sure_predictions_score_as_in_torchmetrics():
    generator = torch.Generator().manual_seed(3)
    for _ in range(20):
        pred, target = (torch.randint(0, 4, (2, 6, 6), generator=generator) for _ in range(2))
        logits = sure(pred, 4)
        iou = multiclass_jaccard_index(pred, target, 4, average="macro")
        both = (pred.flatten()[None], target.flatten()[None])  # as one picture: sums over a batch
        score = dice_score(*both, num_classes=4, average="macro", input_format="index").mean()
        assert jaccard_loss(logits, target).item() == pytest.approx(1 - iou.item(), abs=1e-6)
        assert lovasz_softmax(logits, target).item() == pytest.approx(1 - iou.item(), abs=1e-6)
        assert dice_loss(logits, target).item() == pytest.approx(1 - score.item(), abs=1e-6)


def test_tversky_holds_dice_and_jaccard():
    generator = torch.Generator().manual_seed(4)
    logits = torch.randn(2, 3, 5, 5, generator=generator)
    target = torch.randint(0, 3, (2, 5, 5), generator=generator)
    half = tversky_loss(logits, target, alpha=0.5, beta=0.5, smooth=0)
    torch.testing.assert_close(half, dice_loss(logits, target, smooth=0))
    one = tversky_loss(logits, target, alpha=1, beta=1)
    torch.testing.assert_close(one, jaccard_loss(logits, target))


def test_lovasz_is_the_jaccard_loss_on_every_corner():
    target = torch.tensor([[[0, 1], [1, 2]]])
    for corner in range(3**4):
        pred = torch.tensor([corner // 3**k % 3 for k in range(4)]).reshape(1, 2, 2)
        hits = [((pred == c) & (target == c)).sum().item() for c in range(3)]
        unions = [((pred == c) | (target == c)).sum().item() for c in range(3)]
        jaccard = sum(1 - h / u for h, u in zip(hits, unions, strict=True)) / 3
        assert lovasz_softmax(sure(pred, 3), target).item() == pytest.approx(jaccard, abs=1e-6)


def test_lovasz_weights_survive_many_pixels():
    # The first pixels of millions weigh less than float32 can tell apart near 1.
    n = 300_000  # no power of two: those divide exactly
    logits = torch.zeros(1, 2, 1, n, requires_grad=True)
    target = torch.zeros(1, 1, n, dtype=torch.int64)
    lovasz_softmax(logits, target).backward()
    # All true: every pixel adds 1 / n to the Jaccard loss; the slope of a softmax at 0.5 is 1 / 4.
    torch.testing.assert_close(logits.grad[0, 1, 0], torch.full((n,), 0.25 / n), rtol=1e-5, atol=0)


# Gradients, precision, void.


@every_loss
def test_gradient_is_that_of_finite_differences(loss):
    generator = torch.Generator().manual_seed(5)
    logits = torch.randn(2, 3, 3, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    target = torch.randint(0, 2, (2, 3, 2), generator=generator)  # class 2 is absent
    target[0, 0] = VOID
    assert torch.autograd.gradcheck(lambda x: loss(x, target), (logits,))


@every_loss
@pytest.mark.parametrize("junk", [0.0, -1e4, 1e30, math.inf, math.nan])
def test_void_changes_nothing(loss, junk):
    generator = torch.Generator().manual_seed(6)
    logits = torch.randn(2, 3, 6, 6, generator=generator)
    target = torch.randint(0, 3, (2, 6, 6), generator=generator)
    void = torch.rand(2, 6, 6, generator=generator) < 0.3
    target[void] = VOID
    values, grads = [], []
    for fill in (1.0, junk):
        x = logits.clone()
        x[:, 1][void] = fill
        x.requires_grad_()
        values.append(loss(x, target))
        grads.append(torch.autograd.grad(values[-1], x)[0])
    assert torch.equal(*values) and torch.equal(*grads)
    assert (grads[0].movedim(1, -1)[void] == 0).all()
    assert (grads[0].movedim(1, -1)[~void] != 0).any()


@every_loss
@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (0, 3, 4, 4)], ids=["all void", "empty batch"])
def test_nothing_to_learn_from_is_zero(loss, shape):
    logits = torch.randn(shape, requires_grad=True)
    target = torch.full((shape[0], *shape[2:]), VOID)
    value = loss(logits, target)
    value.backward()
    assert value.item() == 0 and (logits.grad == 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_finite_in_16_bits(dtype):
    for seed in range(100):
        rng = np.random.default_rng(seed)
        logits, target, classes = random_case(rng)
        extreme = np.clip(logits * 1e4, -1e4, 1e4)  # nearly all at one end or the other
        mixed = np.where(rng.random(logits.shape) < 0.5, extreme, logits)
        x, t = torch.from_numpy(mixed).to(dtype).requires_grad_(), torch.from_numpy(target)
        some = [1.0] * classes
        for name, loss in {
            **LOSSES,
            "cross_entropy_weighted": partial(cross_entropy, weight=some),
            "focal_alpha": partial(focal_loss, gamma=0.5, alpha=some),
        }.items():
            value = loss(x, t)
            (grad,) = torch.autograd.grad(value, x)
            assert value.dtype == torch.float32 and value.isfinite(), (seed, name)
            assert grad.dtype == dtype and grad.isfinite().all(), (seed, name)


@every_loss
def test_16_bit_logits_are_summed_in_32(loss):
    generator = torch.Generator().manual_seed(7)
    half = torch.randn(1, 3, 300, 300, generator=generator).half()  # 90,000 pixels > 65,504
    target = torch.randint(0, 3, (1, 300, 300), generator=generator)
    assert torch.equal(loss(half, target), loss(half.float(), target))


def test_weights_of_zero_leave_nothing():
    logits = torch.randn(1, 2, 3, 3, requires_grad=True)
    value = cross_entropy(logits, torch.zeros(1, 3, 3, dtype=torch.int64), weight=(0, 1))
    value.backward()
    assert value.item() == 0 and (logits.grad == 0).all()


def test_absent_classes_as_told():
    target = torch.zeros(1, 4, 4, dtype=torch.int64)  # class 1 is absent
    false_alarm = sure(CORNER)
    for loss in (dice_loss, jaccard_loss, lovasz_softmax, tversky_loss):
        assert loss(sure(target), target, classes="all").item() == pytest.approx(0, abs=1e-6)
        alone = loss(false_alarm, target).item()  # background: 15 of 16 right
        both = loss(false_alarm, target, classes="all").item()
        assert alone < 0.1 and both == pytest.approx((alone + 1) / 2, abs=1e-5)


def test_another_ignore_index():
    logits = torch.randn(1, 3, 4, 4)
    target = torch.randint(0, 3, (1, 4, 4))
    target[0, 0] = VOID
    for other in (-1, -100, 7, 1000):
        renamed = target.masked_fill(target == VOID, other)
        for loss in LOSSES.values():
            assert torch.equal(loss(logits, target), loss(logits, renamed, ignore_index=other))
    ignored = target.masked_fill(target == VOID, 2)  # void may also be one of the classes
    assert cross_entropy(logits, ignored, ignore_index=2).isfinite()


# Sums and refusals.


def test_sum_of_adds_and_is_named():
    logits, target = torch.randn(2, 3, 4, 4), torch.randint(0, 3, (2, 4, 4))
    both = sum_of((1, cross_entropy), (0.5, dice_loss))
    expected = cross_entropy(logits, target) + 0.5 * dice_loss(logits, target)
    torch.testing.assert_close(both(logits, target), expected)
    assert both.__name__ == "cross_entropy + 0.5 dice_loss"
    assert name_of(partial(focal_loss, gamma=1)) == "focal_loss"
    target[:, 0] = 7
    assert both(logits, target, ignore_index=7).isfinite()
    doubled = ce_dice(logits, target, ignore_index=7, ce=2.0, dice=0.0)
    torch.testing.assert_close(doubled, 2 * cross_entropy(logits, target, ignore_index=7))
    for wrong in ((), (dice_loss,), ((dice_loss, 1),), ([1, dice_loss],)):
        with pytest.raises(ValueError, match="sum_of wants"):
            sum_of(*wrong)


def changed(target, id):
    target = target.clone()
    target[0, 0, 0] = id
    return target


X, T = torch.zeros(2, 3, 4, 4), torch.zeros(2, 4, 4, dtype=torch.int64)


@every_loss
@pytest.mark.parametrize(
    ("logits", "target", "message"),
    [
        (X, T[:, :3], r"logits \(2, 3, 4, 4\), target \(2, 3, 4\): .* must agree"),
        (X, T[:1], r"\(1, 4, 4\): .* must agree"),
        (X, T[:, None], r"target \(2, 1, 4, 4\): want"),
        (X[0], T[0], r"logits \(3, 4, 4\), target \(4, 4\): want"),
        (X, T.float(), r"torch.float32: want class ids as int64"),
        (X, T.to(torch.uint8), r"torch.uint8: want class ids as int64"),
        (X.long(), T, r"logits are torch.int64"),
        (X, changed(T, 3), r"ids \[3\].* 3 classes \(0 to 2\).* 255"),
        (X, changed(T, -1), r"ids \[-1\]"),
        (X, changed(T, 254), r"ids \[254\]"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(loss, logits, target, message):
    with pytest.raises(ValueError, match=message) as error:
        loss(logits, target)
    assert "\n" not in str(error.value)


def test_options_that_do_not_fit_are_refused():
    for loss in (dice_loss, jaccard_loss, tversky_loss, lovasz_softmax):
        with pytest.raises(ValueError, match='"present" or "all", not \'some\''):
            loss(X, T, classes="some")
    with pytest.raises(ValueError, match=r"3 classes want as many weights, not \(2,\)"):
        cross_entropy(X, T, weight=(1, 2))
    with pytest.raises(ValueError, match="3 classes want as many weights"):
        focal_loss(X, T, alpha=0.25)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="wants a CUDA card")
@every_loss
def test_same_on_cuda_in_deterministic_mode(loss):
    logits = torch.randn(2, 3, 32, 32, requires_grad=True)
    target = torch.randint(0, 3, (2, 32, 32))
    target[:, 0] = VOID
    torch.use_deterministic_algorithms(True)
    try:
        value = loss(logits.cuda(), target.cuda())
        (grad,) = torch.autograd.grad(value, logits)
    finally:
        torch.use_deterministic_algorithms(False)
    torch.testing.assert_close(value.cpu(), loss(logits, target))
    expected = torch.autograd.grad(loss(logits, target), logits)[0]
    torch.testing.assert_close(grad, expected, rtol=1e-3, atol=1e-6)
