"""Losses for semantic segmentation, as plain functions (built in lesson 04).

Every loss here takes the same first three arguments and keeps the same contract::

    loss(logits, target, ignore_index=255) -> scalar

- ``logits`` (B, C, H, W) float of any precision: raw scores, no softmax before. The sums are
  made in float32 (float64 stays float64), so that 16-bit logits neither overflow nor round.
- ``target`` (B, H, W) int64: class ids 0 … C-1, or ``ignore_index`` where the truth is void.
- A void pixel changes neither the value nor any gradient, whatever the logits there hold;
  its own gradient is exactly zero. With nothing but void (or an empty batch) a loss is 0.
- A ``ValueError`` of one line says which shapes, dtypes or ids do not fit. The ids are looked at
  on every device but CUDA, where looking would make the processor wait for the card: there
  torch's own device-side assert stops the run (move the batch to the CPU to read which ids).
"""

import torch
from torch.nn import functional as F


def cross_entropy(logits, target, ignore_index=255, weight=None):
    """Mean over the valid pixels of -log p(true class).

    ``weight`` (C,) scales each pixel by the weight of its true class; the mean is then weighted
    too, as torch's is: sum(w * loss) / sum(w). Equal to ``F.cross_entropy`` except where every
    pixel is void: torch gives NaN, this gives 0. Lesson 04.
    """
    logits, target, valid = _prepare(logits, target, ignore_index)
    pixel_weight = valid.to(logits.dtype)  # (B, H, W)
    if weight is not None:
        pixel_weight = pixel_weight * _class_weights(weight, logits)[target]
    loss = -_log_prob_of_truth(logits, target) * pixel_weight
    return loss.sum() / _not_zero(pixel_weight.sum())


def focal_loss(logits, target, ignore_index=255, gamma=2.0, alpha=None):
    """Mean over the valid pixels of -alpha (1 - p)^gamma log p, with p = p(true class).

    Pixels that are already right count less; ``gamma=0`` is cross-entropy. ``alpha`` (C,) scales
    each pixel by its true class; unlike ``weight`` in :func:`cross_entropy` it does not enter
    the divisor, which is the number of valid pixels. Lin et al. 2017, equations 4 and 5, with a
    softmax in place of their sigmoid. Lesson 04.
    """
    logits, target, valid = _prepare(logits, target, ignore_index)
    log_p = _log_prob_of_truth(logits, target)  # (B, H, W)
    miss = _not_zero(-torch.expm1(log_p))  # 1 - p without rounding; 0 ** gamma has no slope
    loss = -(miss**gamma) * log_p * valid
    if alpha is not None:
        loss = loss * _class_weights(alpha, logits)[target]
    return loss.sum() / valid.sum().clamp(min=1)


def dice_loss(logits, target, ignore_index=255, classes="present", smooth=1e-6):
    """1 - soft Dice, averaged over classes: Dice_c = 2 sum(p t) / (sum(p) + sum(t)).

    The sums run over all valid pixels of the batch, a class at a time, background included.

    Absent classes: with ``classes="present"`` the mean runs over the classes that occur in the
    batch's target. With ``"all"`` an absent class counts as well: 0 if no probability at all goes
    to it, else up to 1. There the loss has a useful slope only with a ``smooth`` of some pixels
    (1 is common), which also flatters a small object that is missed altogether.
    ``smooth``, in pixels, is added above and below the fraction bar, so that empty truth with an
    empty prediction is a Dice of 1. Other people average over pictures, leave out the
    background, or square p and t below the bar (Milletari et al. 2016): other numbers.
    Drozdzal et al. 2016 (plain sums, as here). Lesson 04.
    """
    inter, predicted, true = _overlaps(logits, target, ignore_index)  # (C,) each
    dice = (2 * inter + smooth) / (predicted + true + smooth)
    return _mean_over_classes(1 - dice, true, classes)


def jaccard_loss(logits, target, ignore_index=255, classes="present", smooth=1e-6):
    """1 - soft IoU, averaged over classes: IoU_c = sum(p t) / (sum(p) + sum(t) - sum(p t)).

    Sums, absent classes and ``smooth`` as in :func:`dice_loss`. Rahman and Wang 2016.
    Lesson 04.
    """
    inter, predicted, true = _overlaps(logits, target, ignore_index)  # (C,) each
    iou = (inter + smooth) / (predicted + true - inter + smooth)
    return _mean_over_classes(1 - iou, true, classes)


def tversky_loss(
    logits, target, ignore_index=255, alpha=0.3, beta=0.7, classes="present", smooth=1e-6
):
    """1 - Tversky index, averaged over classes: TP / (TP + alpha FP + beta FN), all soft.

    ``alpha`` is the price of a false alarm, ``beta`` that of a miss: 0.5 and 0.5 is Dice, 1 and 1
    is IoU. Sums, absent classes and ``smooth`` as in :func:`dice_loss`. Salehi et al. 2017.
    Lesson 04.
    """
    inter, predicted, true = _overlaps(logits, target, ignore_index)  # (C,) each
    false_alarm, missed = predicted - inter, true - inter
    index = (inter + smooth) / (inter + alpha * false_alarm + beta * missed + smooth)
    return _mean_over_classes(1 - index, true, classes)


def lovasz_softmax(logits, target, ignore_index=255, classes="present"):
    """The IoU loss made convex: the Lovász extension of 1 - IoU_c at the errors of the pixels.

    The pixels of the batch are sorted by their error |t - p|, largest first; each error is
    weighted by what that pixel adds to 1 - IoU when the pixels are got wrong in this order.
    For a hard prediction (p is 0 or 1) this is exactly 1 - IoU. Absent classes as in
    :func:`dice_loss`; with ``"all"`` an absent class counts its largest error.
    Berman et al. 2018, definition 2 and algorithm 1. Lesson 04.
    """
    prob, truth = _probabilities_and_truth(logits, target, ignore_index)
    prob, truth = prob.movedim(1, 0).flatten(1), truth.movedim(1, 0).flatten(1)  # (C, N)
    valid = (target != ignore_index).flatten()  # (N,)
    errors = (truth - prob).abs() * valid
    order = errors.detach().argsort(dim=1, descending=True)
    weights = _jaccard_steps(truth.gather(1, order)).to(errors.dtype)
    loss = (errors.gather(1, order) * weights).sum(dim=1)  # (C,)
    return _mean_over_classes(loss, truth.sum(dim=1), classes)


def ce_dice(logits, target, ignore_index=255, ce=1.0, dice=1.0):
    """``ce`` * :func:`cross_entropy` + ``dice`` * :func:`dice_loss`; what the course trains with.

    Cross-entropy gives every pixel a steady slope, Dice weighs small classes like large ones.
    Lessons 04 and 05.
    """
    first = cross_entropy(logits, target, ignore_index)
    return ce * first + dice * dice_loss(logits, target, ignore_index)


def sum_of(*terms):
    """A loss that is the weighted sum of others: ``sum_of((1, cross_entropy), (0.5, dice_loss))``.

    Each term is ``(weight, loss)``. The function that comes back is called like any loss here and
    its ``__name__`` reads "cross_entropy + 0.5 dice_loss". Raises ``ValueError`` for anything
    that is not a pair of a number and a function. Lesson 04.
    """
    for term in terms:
        if not (isinstance(term, tuple) and len(term) == 2 and callable(term[1])):
            raise ValueError(f"sum_of wants pairs (weight, loss), such as (1, dice_loss): {term!r}")
    if not terms:
        raise ValueError("sum_of wants at least one pair (weight, loss)")

    def total(logits, target, ignore_index=255):
        return sum(w * loss(logits, target, ignore_index=ignore_index) for w, loss in terms)

    names = [name_of(loss) if w == 1 else f"{w:g} {name_of(loss)}" for w, loss in terms]
    total.__name__ = total.__qualname__ = " + ".join(names)
    return total


def name_of(loss):
    """The name of a loss for legends and file headers; of a ``functools.partial``, the inner's."""
    return getattr(loss, "__name__", None) or name_of(getattr(loss, "func", type(loss)))


# The pieces that the losses share.


def _prepare(logits, target, ignore_index):
    """Checked inputs: wide logits, zero at void; target with void as 0; valid (B, H, W) bool."""
    _check(logits, target, ignore_index)
    valid = target != ignore_index
    if logits.dtype != torch.float64:
        logits = logits.float()
    # Filling (not multiplying) also keeps inf and NaN at void pixels out of value and gradient.
    logits = logits.masked_fill(~valid.unsqueeze(1), 0)
    return logits, target.masked_fill(~valid, 0), valid


def _log_prob_of_truth(logits, target):
    """log p(true class), (B, H, W)."""
    return F.log_softmax(logits, dim=1).gather(1, target.unsqueeze(1)).squeeze(1)


def _probabilities_and_truth(logits, target, ignore_index):
    """Softmax probabilities and one-hot truth, (B, C, H, W) both; zero truth at void."""
    logits, target, valid = _prepare(logits, target, ignore_index)
    prob = logits.softmax(dim=1)
    truth = torch.zeros_like(prob).scatter_(1, target.unsqueeze(1), valid.unsqueeze(1).to(prob))
    return prob, truth


def _overlaps(logits, target, ignore_index):
    """Of each class, over the valid pixels of the batch: sum(p t), sum(p), sum(t), (C,) each."""
    prob, truth = _probabilities_and_truth(logits, target, ignore_index)
    prob = prob * (target != ignore_index).unsqueeze(1)
    pixels = (0, 2, 3)
    return (prob * truth).sum(pixels), prob.sum(pixels), truth.sum(pixels)


def _jaccard_steps(truth):
    """What each pixel adds to 1 - IoU, if the pixels (C, N) are got wrong from left to right."""
    # Differences of neighbours vanish in float32 from a few million pixels on; MPS has no float64.
    wide = torch.float32 if truth.device.type == "mps" else torch.float64
    wrong = torch.arange(1, truth.shape[1] + 1, device=truth.device, dtype=wide)
    union = truth.sum(dim=1, keepdim=True, dtype=wide) + (1 - truth).cumsum(dim=1, dtype=wide)
    return (wrong / union).diff(dim=1, prepend=union.new_zeros(len(union), 1))


def _mean_over_classes(loss, true, classes):
    """The mean of a loss (C,) over the classes with true pixels, or over all of them."""
    if classes == "all":
        return loss.mean()
    if classes != "present":
        raise ValueError(f'classes must be "present" or "all", not {classes!r}')
    present = true > 0
    return (loss * present).sum() / present.sum().clamp(min=1)


def _class_weights(weight, logits):
    weight = torch.as_tensor(weight, dtype=logits.dtype, device=logits.device)
    if weight.shape != logits.shape[1:2]:
        raise ValueError(
            f"{logits.shape[1]} classes want as many weights, not {tuple(weight.shape)}"
        )
    return weight


def _not_zero(x):
    return x.clamp(min=1e-12)


def _check(logits, target, ignore_index):
    shapes = f"logits {tuple(logits.shape)}, target {tuple(target.shape)}"
    if logits.ndim != 4 or target.ndim != 3:
        raise ValueError(f"{shapes}: want logits (B, C, H, W) and target (B, H, W) of ids")
    if logits.shape[:1] + logits.shape[2:] != target.shape:
        raise ValueError(f"{shapes}: batch, height and width must agree")
    if not logits.is_floating_point():
        raise ValueError(f"logits are {logits.dtype}: want the model's float scores, not ids")
    if target.dtype != torch.int64:
        raise ValueError(f"target is {target.dtype}: want class ids as int64, so target.long()")
    if target.device.type != "cuda":
        wrong = target[((target < 0) | (target >= logits.shape[1])) & (target != ignore_index)]
        if wrong.numel():
            ids = wrong.unique().tolist()
            raise ValueError(
                f"target holds ids {ids[:8]}, but the logits have {logits.shape[1]} classes "
                f"(0 to {logits.shape[1] - 1}) and ignore_index is {ignore_index}"
            )
