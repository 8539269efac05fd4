"""Metrics from class ids (built in lesson 04).

Everything here takes ids, not logits: ``pred = logits.argmax(dim=1)`` first. Pixels whose target
is ``ignore_index`` (void) count nowhere, whatever was predicted there.
"""

import torch


def confusion_matrix(pred, target, classes, ignore_index=255):
    """Count pixels by true and predicted class: (C, C) int64, rows target, columns prediction.

    ``pred`` and ``target``: integer ids of one shape, tensors or NumPy arrays; ``classes``: C.
    Exact on any device, where the result stays. Raises ``ValueError`` on floats, on shapes that
    differ, and on ids outside 0 … C-1 (void aside), naming them. Lesson 04.
    """
    pred, target = _as_ids(pred, target)
    valid = target != ignore_index
    pred, target = pred[valid], target[valid]
    _check_range("pred", pred, classes, ignore_index)
    _check_range("target", target, classes, ignore_index)
    pairs = target * classes + pred  # row and column as one number
    return torch.bincount(pairs, minlength=classes**2).reshape(classes, classes)


class ConfusionMatrix:
    """A confusion matrix summed over a data set, and the scores that follow from it.

    ``classes``: their number, or their names. ``matrix`` (C, C) int64 on the CPU, rows target,
    columns prediction. Scores are float64; a class that occurs neither in target nor prediction
    has no score (NaN) and is left out of the mean. Lesson 04.
    """

    def __init__(self, classes, ignore_index=255):
        names = [str(c) for c in range(classes)] if isinstance(classes, int) else list(classes)
        self.names = tuple(names)
        self.ignore_index = ignore_index
        self.reset()

    def reset(self):
        """Forget all that was counted."""
        self.matrix = torch.zeros(len(self.names), len(self.names), dtype=torch.int64)

    def update(self, pred, target):
        """Add pictures: ids of one shape, such as (B, H, W). Returns self."""
        self.matrix += confusion_matrix(pred, target, len(self.names), self.ignore_index).cpu()
        return self

    def iou(self):
        """Intersection over union of each class, TP / (TP + FP + FN), (C,) float64."""
        return self._hits() / (self._predicted() + self._true() - self._hits())

    def dice(self):
        """Dice (F1) of each class, 2 TP / (2 TP + FP + FN), (C,) float64."""
        return 2 * self._hits() / (self._predicted() + self._true())

    def class_accuracy(self):
        """Recall of each class, TP / (TP + FN), (C,) float64; NaN where target has none."""
        return self._hits() / self._true()

    def miou(self):
        """Mean of :meth:`iou` over the classes that occur, a float; NaN if nothing was counted."""
        return self.iou().nanmean().item()

    def accuracy(self):
        """Share of the pixels that are right, a float; flatters wherever one class is large."""
        return (self._hits().sum() / self._true().sum()).item()

    def _hits(self):
        return self.matrix.diagonal().double()

    def _true(self):
        return self.matrix.sum(dim=1).double()

    def _predicted(self):
        return self.matrix.sum(dim=0).double()


def _as_ids(pred, target):
    pred, target = torch.as_tensor(pred), torch.as_tensor(target)
    for name, ids in (("pred", pred), ("target", target)):
        if ids.is_floating_point():
            raise ValueError(f"{name} is {ids.dtype}: metrics want class ids, so argmax first")
    if pred.shape != target.shape:
        raise ValueError(f"pred {tuple(pred.shape)} and target {tuple(target.shape)} must agree")
    return pred.long(), target.long()  # before any product: uint8 would wrap around


def _check_range(name, ids, classes, ignore_index):
    wrong = ids[(ids < 0) | (ids >= classes)]
    if wrong.numel():
        raise ValueError(
            f"{name} holds ids {wrong.unique().tolist()[:8]}, but there are {classes} classes "
            f"(0 to {classes - 1}) and ignore_index is {ignore_index}"
        )
