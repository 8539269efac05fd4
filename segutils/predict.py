"""From what a model returns to ids, probabilities and instances: one decoding for all of them.

Two rules make families comparable that answer different questions, and they are the same
wherever the course compares: `paint` scores instances as a class mask, `parts` scores a class
mask as instances. Void is never predicted. Lesson 06.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from segutils.masks import IGNORE

SCORE_CUT = 0.5   # instances below it are not painted; their AP is taken over all of them
MASK_CUT = 0.5    # a pixel belongs to an instance from this probability on
MIN_AREA = 14     # pixels; the street calls smaller objects void, so smaller parts are no object

# How all models here want their pictures: those of `augment`, which a test compares.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Prediction:
    """What a model says about one picture; void is not among the ids.

    ids: (H, W) uint8 class ids. probabilities: (C, H, W) float, 1 summed over the classes.
    instances: a dict of scores (N,) float, highest first, labels (N,) int64 and masks (N, H, W)
    bool, as `metrics.instance_ap` takes it; N may be 0. All on the model's device. Lesson 06.
    """

    ids: Tensor
    probabilities: Tensor
    instances: dict[str, Tensor]


def decode(output, classes: int | Sequence[str] | None = None, score_cut: float = SCORE_CUT,
           mask_cut: float = MASK_CUT, min_area: int = MIN_AREA) -> list[Prediction]:
    """What any model of `zoo` returned for a batch, as one `Prediction` a picture.

    Args:
        output: logits (B, C, H, W) float, torchvision's {"out": logits}, or Mask R-CNN's list of
            dicts of boxes, labels, scores and masks (N, 1, H, W) float.
        classes: their number or names, background included; only instances need it said.
        score_cut: instances with a lower score are not painted into `ids`, but kept as instances.
        mask_cut: the probability from which a pixel belongs to an instance.
        min_area: connected parts of a class mask with fewer pixels are no instance.

    Logits: ids are the argmax, probabilities the softmax, instances the `parts` of the ids.
    Instances: ids are `paint`ed; the probability of a class is the highest score x mask of its
    instances, that of background what the highest of all leaves of 1, both then divided by their
    sum, so the argmax of them need not be the painted id. Raises ValueError where the output is
    neither, or C is over 255. Lesson 06.
    """
    output = _logits_or_list(output)
    if isinstance(output, Tensor):
        return [_from_logits(logits, min_area) for logits in output]
    if classes is None:
        raise ValueError("instances do not say how many classes there are; give classes=")
    count = _fitting(classes if isinstance(classes, int) else len(classes))
    return [_from_instances(found, count, score_cut, mask_cut) for found in output]


def class_ids(output, score_cut: float = SCORE_CUT, mask_cut: float = MASK_CUT) -> Tensor:
    """The ids alone of what `decode` gives, for a batch: (B, H, W) int64. Lesson 06."""
    output = _logits_or_list(output)
    if isinstance(output, Tensor):
        return output.argmax(dim=1)
    return torch.stack([paint(found["scores"], found["labels"], _binary(found, mask_cut), score_cut)
                        for found in output])


def paint(scores: Tensor, labels: Tensor, masks: Tensor, score_cut: float = SCORE_CUT) -> Tensor:
    """Instances as a class mask: scores (N,), labels (N,), masks (N, H, W) bool -> (H, W) int64.

    Painted from the lowest score to the highest, those below `score_cut` left out, so that the
    highest lies on top; of equal scores the first given does. The rest is background, 0.
    Lesson 06.
    """
    ids = torch.zeros(masks.shape[-2:], dtype=torch.int64, device=masks.device)
    order = scores.argsort(descending=True, stable=True)
    for k in reversed(order[scores[order] >= score_cut].tolist()):
        ids[masks[k]] = labels[k]
    return ids


def parts(ids: Tensor, probabilities: Tensor, min_area: int = MIN_AREA) -> dict[str, Tensor]:
    """A class mask as instances: each connected part of a class is one, and touching ones are one.

    ids (H, W) and probabilities (C, H, W) -> the dict of `Prediction.instances`. Pixels that
    touch at a corner are connected; parts of fewer than `min_area` pixels are left out; the score
    is the mean probability of the class over the part. Lesson 06.
    """
    array, found = ids.cpu().numpy(), []
    for label in np.unique(array[array > 0]).tolist():
        count, numbers, stats, _ = cv2.connectedComponentsWithStats(
            (array == label).astype(np.uint8), connectivity=8)
        for part in range(1, count):
            if stats[part, cv2.CC_STAT_AREA] >= min_area:
                mask = torch.from_numpy(numbers == part).to(ids.device)
                found.append((probabilities[label][mask].mean(), label, mask))
    if not found:
        return _sorted(probabilities.new_zeros(0), ids.new_zeros(0),
                       ids.new_zeros((0, *ids.shape), dtype=torch.bool))
    scores, labels, masks = zip(*found, strict=True)
    return _sorted(torch.stack(scores), torch.tensor(labels, device=ids.device), torch.stack(masks))


def predict(model: nn.Module, picture: np.ndarray | Tensor, **options) -> Prediction:
    """What the model says about one whole picture, of any size that the model takes.

    picture: (H, W, 3) uint8 RGB as `masks.read_image` gives it, or a normalised (3, H, W) or
    (1, 3, H, W) float tensor. options: those of `decode`. The result lies on the CPU; the model
    runs in eval mode and is left in the mode it came in. Raises ValueError for another picture.
    Lesson 06.
    """
    image = as_batch(picture).to(next(model.parameters()).device)
    options.setdefault("classes", getattr(model, "config", {}).get("classes"))
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            found, = decode(model(image), **options)
    finally:
        model.train(was_training)
    instances = {name: tensor.cpu() for name, tensor in found.instances.items()}
    return Prediction(found.ids.cpu(), found.probabilities.cpu(), instances)


def as_batch(picture: np.ndarray | Tensor) -> Tensor:
    """A picture as `predict` takes it, as a normalised batch of one, (1, 3, H, W) float."""
    if isinstance(picture, Tensor):
        image = picture if picture.ndim == 4 else picture[None]
        if image.shape[:2] == (1, 3) and image.ndim == 4 and image.is_floating_point():
            return image
    elif picture.ndim == 3 and picture.shape[2] == 3 and picture.dtype == np.uint8:
        pixels = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1).float()
        mean, std = (255 * torch.tensor(x).view(3, 1, 1) for x in (MEAN, STD))
        return ((pixels - mean) / std)[None]
    raise ValueError(f"the picture is {picture.dtype} {tuple(picture.shape)}; give (H, W, 3) uint8 "
                     "RGB (masks.read_image), or one normalised (3, H, W) float tensor")


# The pieces -------------------------------------------------------------------------------


def _logits_or_list(output) -> Tensor | list:
    """Logits (B, C, H, W) or a list of dicts, out of what a model returned."""
    if isinstance(output, Mapping) and "out" in output:
        output = output["out"]
    if isinstance(output, Tensor) and output.ndim == 4:
        _fitting(output.shape[1])
        return output
    if isinstance(output, list | tuple) and all(
            isinstance(found, Mapping) and {"scores", "labels", "masks"} <= found.keys()
            for found in output):
        return output
    what = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
    raise ValueError(f"the model returned {what}; wanted logits (B, C, H, W), or Mask R-CNN's list "
                     "of dicts with scores, labels and masks (is it in eval mode?)")


def _fitting(classes: int) -> int:
    if classes > IGNORE:
        raise ValueError(f"{classes} classes do not fit ids of one byte, where {IGNORE} is void")
    return classes


def _from_logits(logits: Tensor, min_area: int) -> Prediction:
    probabilities, ids = logits.float().softmax(dim=0), logits.argmax(dim=0)
    return Prediction(ids.to(torch.uint8), probabilities, parts(ids, probabilities, min_area))


def _from_instances(found: Mapping[str, Tensor], classes: int, score_cut: float,
                    mask_cut: float) -> Prediction:
    scores, labels = found["scores"].float(), found["labels"]
    soft, masks = found["masks"].float().flatten(0, 1), _binary(found, mask_cut)   # (N, H, W)
    if len(labels) and not 1 <= labels.min() <= labels.max() < classes:
        raise ValueError(f"instances have labels {labels.unique().tolist()}, but there are "
                         f"{classes} classes, of which 0 is background")
    each = soft.new_zeros((classes, *soft.shape[1:]))
    for label in labels.unique().tolist():
        mine = labels == label
        each[label] = (soft[mine] * scores[mine, None, None]).amax(dim=0)
    each[0] = 1 - each.amax(dim=0)
    ids = paint(scores, labels, masks, score_cut).to(torch.uint8)
    return Prediction(ids, each / each.sum(dim=0), _sorted(scores, labels, masks))


def _binary(found: Mapping[str, Tensor], mask_cut: float) -> Tensor:
    """Mask R-CNN's masks (N, 1, H, W) float as (N, H, W) bool."""
    return found["masks"].flatten(0, 1) >= mask_cut


def _sorted(scores: Tensor, labels: Tensor, masks: Tensor) -> dict[str, Tensor]:
    order = scores.argsort(descending=True, stable=True)
    return {"scores": scores[order], "labels": labels[order], "masks": masks[order]}
