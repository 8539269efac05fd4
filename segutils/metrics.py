"""Metrics from class ids (built in lesson 04).

Everything here takes ids, not logits: ``pred = logits.argmax(dim=1)`` first. Ids are integer
tensors or NumPy arrays on any device. Pixels whose target is ``ignore_index`` (void) count
nowhere, whatever was predicted there. A class without a score (absent) has NaN, never 0 or 1,
and is left out of means. A ``ValueError`` of one line names the shapes, dtypes or ids that do
not fit.
"""

import math
from typing import NamedTuple

import torch
from torch.nn import functional as F


def confusion_matrix(pred, target, classes, ignore_index=255):
    """Count pixels by true and predicted class: (C, C) int64, rows target, columns prediction.

    ``pred`` and ``target``: ids of one shape, such as (B, H, W); ``classes``: their number C.
    Exact on any device, where the result stays. Raises ``ValueError`` on floats, on shapes that
    differ, and on ids outside 0 … C-1 (void aside), naming them. Lesson 04.
    """
    pred, target, void = _ids(pred, target, classes, ignore_index)
    rows = target.masked_fill(void, classes)  # void gets a row of its own, dropped below
    pairs = rows * classes + pred  # row and column as one number
    counts = torch.bincount(pairs.flatten(), minlength=(classes + 1) * classes)
    return counts.reshape(classes + 1, classes)[:classes]


class ConfusionMatrix:
    """A confusion matrix summed over a data set, and the scores that follow from it.

    ``classes``: their number, or their names. ``matrix`` (C, C) int64 on the CPU, rows target,
    columns prediction, so sums are exact at any size. Scores are float64; a class that occurs
    neither in target nor prediction has none (NaN) and is left out of the mean. These are
    data-set scores: all pixels of all pictures in one matrix, as Pascal VOC and Cityscapes count
    (Everingham et al. 2015, section 4.2). Means over pictures: :func:`image_miou`. Lesson 04.
    """

    def __init__(self, classes, ignore_index=255):
        names = [str(c) for c in range(classes)] if isinstance(classes, int) else classes
        self.names = tuple(names)
        self.ignore_index = ignore_index
        self.reset()

    def reset(self):
        """Forget all that was counted. Returns self."""
        self.matrix = torch.zeros(len(self.names), len(self.names), dtype=torch.int64)
        return self

    def update(self, pred, target):
        """Add pictures: ids of one shape, such as (B, H, W). Returns self."""
        self.matrix += confusion_matrix(pred, target, len(self.names), self.ignore_index).cpu()
        return self

    def merge(self, other):
        """Add what another matrix of the same classes counted. Returns self."""
        if (self.names, self.ignore_index) != (other.names, other.ignore_index):
            raise ValueError(
                f"cannot merge classes {other.names}, void {other.ignore_index}, "
                f"into classes {self.names}, void {self.ignore_index}"
            )
        self.matrix += other.matrix
        return self

    def reduce(self):
        """Sum over the processes of ``torch.distributed``, once, after the last update.

        Every process ends with the matrix of all. Does nothing in a single process. Returns self.
        """
        dist = torch.distributed
        if dist.is_available() and dist.is_initialized():
            device = "cuda" if dist.get_backend() == "nccl" else "cpu"
            total = self.matrix.to(device)
            dist.all_reduce(total)
            self.matrix = total.cpu()
        return self

    def iou(self):
        """Intersection over union of each class, TP / (TP + FP + FN), (C,) float64."""
        return self._hits() / (self._predicted() + self._true() - self._hits())

    def dice(self):
        """Dice (F1) of each class, 2 TP / (2 TP + FP + FN), (C,) float64."""
        return 2 * self._hits() / (self._predicted() + self._true())

    def class_accuracy(self):
        """Recall of each class, TP / (TP + FN), (C,) float64; NaN where the target has none."""
        return self._hits() / self._true()

    def miou(self):
        """Mean of :meth:`iou` over the classes that occur, a float; NaN if nothing was counted."""
        return self.iou().nanmean().item()

    def accuracy(self):
        """Share of the pixels that are right, a float; flatters where one class is large."""
        return (self._hits().sum() / self._true().sum()).item()

    def __str__(self):
        wide = max(len("background"), *map(len, self.names))
        scores = torch.stack([self.iou(), self.dice(), self.class_accuracy()], dim=1)
        lines = [f"{'class':<{wide}} {'pixels':>12} {'IoU':>7} {'Dice':>7} {'recall':>7}"]
        for name, pixels, row in zip(self.names, self.matrix.sum(dim=1), scores, strict=True):
            lines.append(f"{name:<{wide}} {pixels:>12d} {_cells(row)}")
        lines.append(f"{'mean':<{wide}} {'':>12} {_cells(scores.nanmean(dim=0))}")
        return "\n".join([*lines, f"pixel accuracy {self.accuracy():.3f}"])

    def _hits(self):
        return self.matrix.diagonal().double()

    def _true(self):
        return self.matrix.sum(dim=1).double()

    def _predicted(self):
        return self.matrix.sum(dim=0).double()


def iou(pred, target, classes, ignore_index=255):
    """IoU of each class over all the pixels given, (C,) float64; NaN where absent from both."""
    return ConfusionMatrix(classes, ignore_index).update(pred, target).iou()


def dice(pred, target, classes, ignore_index=255):
    """Dice of each class over all the pixels given, (C,) float64; NaN where absent from both."""
    return ConfusionMatrix(classes, ignore_index).update(pred, target).dice()


def image_miou(pred, target, classes, ignore_index=255):
    """The mIoU of each picture by itself: (B, H, W) ids -> (B,) float64.

    Each picture's mean runs over the classes that occur in its own target or prediction; a
    picture that is all void has NaN. ``.nanmean()`` of this is the image-averaged IoU, which
    weighs pictures alike; ``ConfusionMatrix.miou()`` of the same pictures weighs pixels alike,
    and the two differ (Csurka et al. 2013). Lesson 04.
    """
    pairs = zip(torch.as_tensor(pred), torch.as_tensor(target), strict=True)
    scores = [iou(p, t, classes, ignore_index).nanmean() for p, t in pairs]
    return torch.stack(scores) if scores else torch.zeros(0, dtype=torch.float64)


def boundary_f(pred, target, classes, tolerance=2.0, ignore_index=255):
    """How well outlines agree: the boundary F by picture and class, (B, C) float64.

    ``pred`` and ``target``: ids (B, H, W), or (H, W) for a result of (C,). The boundary of a
    class is made of its pixels with a 4-neighbour that is not of the class; the border of the
    picture is no boundary. Precision is the share of the predicted boundary within ``tolerance``
    (pixels, Euclidean) of the true one, recall the share of the true within ``tolerance`` of the
    predicted, and F = 2PR / (P + R). Csurka et al. 2013 take 0.75 % of the diagonal as tolerance,
    DAVIS (Perazzi et al. 2016) 0.8 % rounded up, which is 2 at 128 x 128.

    Void is cut out of both: pixels beside it are boundary in both, and what was predicted inside
    changes nothing, so that void along object borders does not eat the outlines.
    0 where only one of the two has a boundary, NaN where neither does. Average over pictures
    with ``.nanmean(dim=0)``. Lesson 04.
    """
    pred, target, void = _ids(pred, target, classes, ignore_index)
    single = target.ndim == 2
    pred, target = pred.masked_fill(void, classes), target.masked_fill(void, classes)
    lines = _boundaries(pred[None] if single else pred, classes)  # (B, C, H, W) bool
    truth = _boundaries(target[None] if single else target, classes)
    precision = _share(lines & _near(truth, tolerance), lines)
    recall = _share(truth & _near(lines, tolerance), truth)
    f = 2 * precision * recall / (precision + recall).clamp(min=1e-300)
    f = f.masked_fill(~(lines | truth).any(dim=3).any(dim=2).cpu(), torch.nan)
    return f[0] if single else f


class SizeScore(NamedTuple):
    """One line of :func:`iou_by_size`."""

    size: str  # such as "100 to 399 px"
    objects: int
    iou: float  # NaN without objects
    recall: float


def iou_by_size(pred, target, instances, edges=(100, 400), ignore_index=255):
    """IoU and recall of objects by their size, small ones first: a list of :class:`SizeScore`.

    ``pred`` and ``target``: class ids (B, H, W); ``instances``: object ids (B, H, W), class id
    * 1000 + k, 0 for background. Objects fall into groups by their visible area in pixels, cut
    at ``edges``. A semantic prediction has no objects, so its pixels are shared out: a right
    pixel belongs to the object that it lies on; a false alarm of a class belongs to the nearest
    object of that class in the picture (of equally near ones the uppermost, then leftmost pixel
    decides) and to none where there is no such object. Then, over all objects of a group,
    IoU = right / (truth + false alarms) and recall = right / truth. Void counts nowhere; an
    object wholly under void is counted but has no pixels. Lesson 06.
    """
    if not len(pred) == len(target) == len(instances):
        raise ValueError(f"{len(pred)} pred, {len(target)} target, {len(instances)} instances")
    found = [_objects(*maps, ignore_index) for maps in zip(pred, target, instances, strict=True)]
    found = torch.cat([torch.zeros(0, 4, dtype=torch.int64), *found])
    limits = [0, *edges, None]
    scores = []
    for low, high in zip(limits, limits[1:], strict=False):
        size = f"{low} px and more" if high is None else f"{low} to {high - 1} px"
        chosen = (found[:, 0] >= low) & (found[:, 0] < (high or float("inf")))
        _, truth, right, false_alarms = found[chosen].sum(dim=0).double()
        iou, recall = right / (truth + false_alarms), right / truth
        scores.append(SizeScore(size, int(chosen.sum()), iou.item(), recall.item()))
    return scores


def instance_ap(predictions, targets):
    """Mask average precision as COCO counts it, by torchmetrics over pycocotools.

    ``predictions``: of each picture a dict of ``masks`` (N, H, W) bool, ``scores`` (N,) float and
    ``labels`` (N,) int; ``targets``: dicts of ``masks`` and ``labels``, and ``iscrowd`` (N,) int
    if there are objects that count nowhere: a prediction on one is neither right nor wrong. What
    is predicted in a picture without objects is a false alarm like any other.
    Returns a dict of floats 0 … 1: ``ap`` (mean over IoU 0.50 to 0.95), ``ap50``, ``ap75``, and
    ``per_class``, a dict from label to ap. NaN (not COCO's -1) where there is no object to find.
    Lin et al. 2014. Lesson 06.
    """
    import numpy as np
    from torchmetrics.detection import MeanAveragePrecision  # slow to import, and needed here only

    # COCO's own thresholds: torchmetrics rounds them to float32, and 3 of 5 misses a recall of 0.6.
    metric = MeanAveragePrecision(iou_type="segm", class_metrics=True,
                                  iou_thresholds=np.linspace(0.5, 0.95, 10).tolist(),
                                  rec_thresholds=np.linspace(0, 1, 101).tolist())
    predictions, targets = list(predictions), list(targets)
    labels = torch.cat([t["labels"] for t in targets]).tolist() if targets else []
    metric.update(predictions, [_kept(t, p, labels)
                                for t, p in zip(targets, predictions, strict=True)])
    found = {name: value.reshape(-1).tolist() for name, value in metric.compute().items()}

    counted = [t["labels"][t["iscrowd"] == 0] if "iscrowd" in t else t["labels"] for t in targets]
    missed = {label: 0.0 for labels in counted for label in labels.tolist()}
    if missed and not any(len(p["labels"]) for p in predictions):
        # torchmetrics has -1 here, as if there had been nothing to find.
        return {"ap": 0.0, "ap50": 0.0, "ap75": 0.0, "per_class": missed}

    def score(value):
        return math.nan if value < 0 else value

    each = zip(found["classes"], map(score, found.get("map_per_class", [])), strict=False)
    names = {"ap": "map", "ap50": "map_50", "ap75": "map_75"}
    return {**{ours: score(found[n][0]) for ours, n in names.items()}, "per_class": dict(each)}


# The pieces that the metrics share.


def _kept(target, prediction, labels):
    """The target, or without objects a crowd that is nowhere, of a class that others have.

    torchmetrics leaves out pictures without masks, and all that was said there (1.9.0).
    """
    if len(target["labels"]) or not len(prediction["labels"]) or not labels:
        return target
    one = prediction["labels"].new_ones(1)
    return {"masks": torch.zeros_like(prediction["masks"][:1]), "labels": one * labels[0],
            "iscrowd": one}


def _ids(pred, target, classes, ignore_index):
    """Checked int64 ids, 0 at void in both, and void as a mask."""
    pred, target = torch.as_tensor(pred), torch.as_tensor(target)
    for name, ids in (("pred", pred), ("target", target)):
        if ids.is_floating_point():
            raise ValueError(f"{name} is {ids.dtype}: metrics want class ids, so argmax first")
    if pred.shape != target.shape:
        raise ValueError(f"pred {tuple(pred.shape)} and target {tuple(target.shape)} must agree")
    void = target == ignore_index
    # int64 before any product: uint8 would wrap around at 255 without a word.
    pred, target = pred.long().masked_fill(void, 0), target.long().masked_fill(void, 0)
    for name, ids in (("pred", pred), ("target", target)):
        _check_range(name, ids, classes, ignore_index)
    return pred, target, void


def _check_range(name, ids, classes, ignore_index):
    if not ids.numel():
        return
    low, high = ids.aminmax()
    if low < 0 or high >= classes:
        wrong = ids[(ids < 0) | (ids >= classes)].unique().tolist()
        raise ValueError(
            f"{name} holds ids {wrong[:8]}, but there are {classes} classes "
            f"(0 to {classes - 1}) and void is {ignore_index} in the target"
        )


def _cells(scores):
    return " ".join(f"{'-':>7}" if s.isnan() else f"{s:7.3f}" for s in scores)


def _boundary(ids):
    """Pixels (B, H, W) with a 4-neighbour of another id, bool."""
    edge = torch.zeros_like(ids, dtype=torch.bool)
    down, right = ids[:, 1:] != ids[:, :-1], ids[:, :, 1:] != ids[:, :, :-1]
    edge[:, 1:] |= down
    edge[:, :-1] |= down
    edge[:, :, 1:] |= right
    edge[:, :, :-1] |= right
    return edge


def _boundaries(ids, classes):
    """The boundary of each class by itself, (B, C, H, W) bool."""
    each = torch.arange(classes, device=ids.device).view(1, -1, 1, 1)
    return (ids.unsqueeze(1) == each) & _boundary(ids).unsqueeze(1)


def _near(marked, tolerance):
    """Pixels within ``tolerance`` of a marked one, (B, C, H, W) bool."""
    reach = int(tolerance)
    steps = torch.arange(-reach, reach + 1, device=marked.device)
    disk = steps[:, None] ** 2 + steps[None, :] ** 2 <= tolerance**2
    maps = marked.flatten(0, 1).unsqueeze(1).float()  # (B * C, 1, H, W)
    return (F.conv2d(maps, disk[None, None].float(), padding=reach) > 0.5).view_as(marked)


def _share(part, whole):
    """Marked pixels of ``part`` per marked pixel of ``whole``, (B, C) float64; 0 without any."""
    part, whole = part.sum(dim=(2, 3)).cpu(), whole.sum(dim=(2, 3)).cpu()  # MPS has no float64
    return part.double() / whole.clamp(min=1)


def _objects(pred, target, instances, ignore_index):
    """Of each object in a picture: visible area, valid pixels, right ones, false alarms; (n, 4)."""
    pred, target, instances = (torch.as_tensor(x).cpu().long() for x in (pred, target, instances))
    valid = target != ignore_index
    if ((instances // 1000 != target) & valid).any():
        raise ValueError("instances (class id * 1000 + k) and target name different classes")
    rows = []
    for class_id in (instances // 1000).unique().tolist():
        if class_id == 0:
            continue
        said = valid & (pred == class_id)
        owners = _nearest_object(said & (target != class_id), instances, class_id)
        for ident in instances[instances // 1000 == class_id].unique():
            body = instances == ident
            counts = body, body & valid, body & said, owners == ident
            rows.append(torch.stack([x.sum() for x in counts]))
    return torch.stack(rows) if rows else torch.zeros(0, 4, dtype=torch.int64)


def _nearest_object(pixels, instances, class_id):
    """The id of the object of a class that is nearest to each marked pixel, (n,) int64."""
    points = pixels.nonzero()  # (n, 2)
    if not len(points):
        return instances.new_zeros(0)
    # The pixel of an object that is nearest to a point outside always lies on its boundary.
    edge = _boundary(instances[None])[0] & (instances // 1000 == class_id)
    rim = edge.nonzero()  # (m, 2), row by row
    parts = points.split(1024)  # so that the table of distances stays small
    nearest = [((part[:, None] - rim) ** 2).sum(dim=2).argmin(dim=1) for part in parts]
    return instances[edge][torch.cat(nearest)]
