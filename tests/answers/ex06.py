"""Answers to the exercises of lesson 06, as people write them: stub, wrong ones, valid ones."""

import copy

import cv2
import numpy as np
import torch
import torchmetrics.detection  # noqa: F401  (slow: not on the time of the answer that needs it)
from torch.nn import functional as F
from torchvision import ops

from segutils import masks, metrics, predict, zoo

# ---- atrous ----------------------------------------------------------------------------------


def atrous_stub(image, kernel, rate):
    """Convolve with a spread kernel."""
    ...  # noqa: PIE790


def _spread(kernel, rate):
    k = len(kernel)
    wide = kernel.new_zeros(rate * (k - 1) + 1, rate * (k - 1) + 1)
    wide[::rate, ::rate] = kernel
    return wide


def _plain(image, kernel, padding, **options):
    return F.conv2d(image[None, None], kernel[None, None], padding=padding, **options)[0, 0]


def atrous_zeros(image, kernel, rate):
    wide = _spread(kernel, rate)
    return _plain(image, wide, len(wide) // 2)


def atrous_slices(image, kernel, rate):
    image, kernel = np.asarray(image), np.asarray(kernel)
    reach = rate * (len(kernel) // 2)
    padded = np.pad(image, reach)
    (height, width), result = image.shape, np.zeros(image.shape)
    for (i, j), weight in np.ndenumerate(kernel):
        result += weight * padded[i * rate:i * rate + height, j * rate:j * rate + width]
    return result


def atrous_pixels(image, kernel, rate):
    (height, width), reach = image.shape, len(kernel) // 2
    result = [[0.0] * width for _ in range(height)]
    for y in range(height):
        for x in range(width):
            for i in range(len(kernel)):
                for j in range(len(kernel)):
                    v, u = y + rate * (i - reach), x + rate * (j - reach)
                    if 0 <= v < height and 0 <= u < width:
                        result[y][x] += float(kernel[i, j] * image[v, u])
    return result


def atrous_torch(image, kernel, rate):
    return _plain(image, kernel, rate * (len(kernel) // 2), dilation=rate)


def atrous_unfold(image, kernel, rate):
    reach = rate * (len(kernel) // 2)
    columns = F.unfold(image[None, None].float(), len(kernel), dilation=rate, padding=reach)
    return (kernel.float().flatten() @ columns[0]).reshape(image.shape)


def atrous_opencv(image, kernel, rate):
    wide = _spread(kernel, rate).numpy()
    return cv2.filter2D(image.numpy(), cv2.CV_64F, wide, borderType=cv2.BORDER_CONSTANT)


def atrous_convolve(image, kernel, rate):
    """A convolution as mathematics defines it, line by line."""
    wide, reach = _spread(kernel, rate).numpy(), rate * (len(kernel) // 2)
    padded, result = np.pad(image.numpy(), reach), np.zeros(image.shape)
    for y in range(len(image)):
        for i, line in enumerate(wide[::-1]):
            result[y] += np.convolve(padded[y + i], line, mode="valid")
    return result


def atrous_valid(image, kernel, rate):
    wide = _spread(kernel, rate)
    return _plain(image, wide, 0)


def atrous_old_padding(image, kernel, rate):
    wide = _spread(kernel, rate)
    return _plain(image, wide, len(kernel) // 2)


def atrous_as_stride(image, kernel, rate):
    return _plain(image, kernel, len(kernel) // 2, stride=rate)


def atrous_transposed(image, kernel, rate):
    wide, reach = _spread(kernel, rate), rate * (len(kernel) // 2)
    padded, result = F.pad(image, [reach] * 4), torch.zeros_like(image)
    for i in range(len(wide)):
        for j in range(len(wide)):
            result += wide[j, i] * padded[i:i + image.shape[0], j:j + image.shape[1]]
    return result


def atrous_dense(image, kernel, rate):
    return atrous_slices(image, kernel, 1)


def atrous_wide(image, kernel, rate):
    """`rate` zeros between two taps."""
    k, step = len(kernel), rate + 1
    wide = torch.zeros(step * (k - 1) + 1, step * (k - 1) + 1, dtype=kernel.dtype)
    wide[::step, ::step] = kernel
    return _plain(image, wide, len(wide) // 2)


def atrous_forward(image, kernel, rate):
    height, width = image.shape
    far = rate * (len(kernel) - 1)
    padded, result = F.pad(image, (0, far, 0, far)), 0
    for i in range(len(kernel)):
        for j in range(len(kernel)):
            y, x = i * rate, j * rate
            result = result + kernel[i, j] * padded[y:y + height, x:x + width]
    return result


def atrous_roll(image, kernel, rate):
    result, middle = np.zeros(image.shape), len(kernel) // 2
    for i in range(len(kernel)):
        for j in range(len(kernel)):
            shift = (-(i - middle) * rate, -(j - middle) * rate)
            result += kernel[i, j].item() * np.roll(image.numpy(), shift, axis=(0, 1))
    return result


def atrous_below_0(image, kernel, rate):
    """Only an index that is too large is looked after."""
    (height, width), reach = image.shape, len(kernel) // 2
    image, kernel, result = image.numpy(), kernel.numpy(), np.zeros(image.shape)
    for (y, x), _ in np.ndenumerate(result):
        for (i, j), weight in np.ndenumerate(kernel):
            v, u = y + rate * (i - reach), x + rate * (j - reach)
            if v < height and u < width:
                result[y, x] += weight * image[v, u]
    return result


def atrous_edge(image, kernel, rate):
    padded = np.pad(image.numpy(), rate * (len(kernel) // 2), mode="edge")
    return atrous_valid(torch.from_numpy(padded), kernel, rate)


# ---- bilinear --------------------------------------------------------------------------------


def bilinear_stub(factor, classes):
    """The weight of a bilinear stretch."""
    weight = ...
    return weight


def _placed(kernel, classes):
    weight = np.zeros((classes, classes, *np.shape(kernel)))
    for c in range(classes):
        weight[c, c] = kernel
    return weight


def _line(factor, centre=None):
    """One line of weights, around a centre."""
    size = 2 * factor - factor % 2
    centre = (size - 1) / 2 if centre is None else centre
    return np.array([max(0, 1 - abs(i - centre) / factor) for i in range(size)])


def bilinear_fcn(factor, classes):
    """As the first FCN code was written."""
    size = 2 * factor - factor % 2
    centre = factor - 1 if size % 2 == 1 else factor - 0.5
    y, x = np.ogrid[:size, :size]
    kernel = (1 - abs(y - centre) / factor) * (1 - abs(x - centre) / factor)
    return _placed(kernel, classes)


def bilinear_overlap(factor, classes):
    """Two boxes, one moved over the other, make a tent."""
    block = torch.ones(1, 1, factor).double() / factor
    if factor % 2:
        line = F.conv1d(block, block, padding=factor - 1) * factor
    else:  # between two pixels, so the mean of two neighbours
        wide = F.conv1d(block, block, padding=factor - 1) * factor
        wide = F.pad(wide, (1, 1))
        line = (wide[..., 1:] + wide[..., :-1]) / 2
    line = line.flatten()
    return torch.einsum("cd,y,x->cdyx", torch.eye(classes).double(), line, line)


def bilinear_float32(factor, classes):
    line = torch.tensor(_line(factor), dtype=torch.float32)
    weight = torch.zeros(classes, classes, len(line), len(line))
    weight[range(classes), range(classes)] = line.outer(line)
    return weight.requires_grad_()


def bilinear_mixed(factor, classes):
    kernel = np.outer(_line(factor), _line(factor))
    return np.tile(kernel, (classes, classes, 1, 1))


def bilinear_grouped(factor, classes):
    kernel = np.outer(_line(factor), _line(factor))
    return np.tile(kernel, (classes, 1, 1, 1))


def bilinear_single(factor, classes):
    return np.outer(_line(factor), _line(factor))


def bilinear_normalised(factor, classes):
    kernel = np.outer(_line(factor), _line(factor))
    return _placed(kernel / kernel.sum(), classes)


def bilinear_nearest(factor, classes):
    rest = (factor - factor % 2) // 2
    return _placed(np.pad(np.ones((factor, factor)), rest), classes)


def bilinear_flat(factor, classes):
    size = 2 * factor - factor % 2
    return _placed(np.ones((size, size)) / 4, classes)


def bilinear_peak(factor, classes):
    size = 2 * factor - factor % 2
    line = np.array([min(i + 1, size - i) for i in range(size)]) / factor
    return _placed(np.outer(line, line), classes)


def bilinear_odd_centre(factor, classes):
    line = _line(factor, centre=factor - 1)
    return _placed(np.outer(line, line), classes)


def bilinear_half_size(factor, classes):
    size = 2 * factor - factor % 2
    line = _line(factor, centre=size / 2)
    return _placed(np.outer(line, line), classes)


def bilinear_bartlett(factor, classes):
    size = 2 * factor - factor % 2
    off = np.abs(np.arange(size) - (size - 1) / 2)
    line = 1 - off / max((size - 1) / 2, 1e-9)
    return _placed(np.outer(line, line), classes)


def bilinear_distance(factor, classes):
    size = 2 * factor - factor % 2
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    return _placed(np.maximum(0, 1 - np.sqrt(y**2 + x**2) / factor), classes)


def bilinear_minimum(factor, classes):
    line = _line(factor)
    return _placed(np.minimum(line[:, None], line[None]), classes)


# ---- targets ---------------------------------------------------------------------------------


def targets_stub(instances, mask):
    """Boxes, labels and masks."""
    found = ...
    return found


def _packed(bodies, labels, shape, boxes=None):
    """A dict out of lists; `boxes` (N, 4) if they are not those of the bodies."""
    bodies = np.array(bodies, bool).reshape(-1, *shape)
    if boxes is None:
        boxes = masks.boxes_from_masks(bodies)
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    return {"boxes": torch.from_numpy(boxes), "labels": torch.tensor(labels, dtype=torch.int64),
            "masks": torch.from_numpy(bodies)}


def _known(instances, mask):
    return [i for i in instances.unique().tolist()
            if i and ((instances == i) & (mask != 255)).any()]


def targets_loop(instances, mask):
    ids = _known(instances, mask)
    bodies = [(instances == i).numpy() for i in ids]
    return _packed(bodies, [i // 1000 for i in ids], instances.shape)


def targets_torch(instances, mask):
    ids = instances[mask != 255].unique()
    ids = ids[ids != 0]
    bodies = instances == ids.view(-1, 1, 1)
    boxes = ops.masks_to_boxes(bodies)
    boxes[:, 2:] += 1
    return {"boxes": boxes, "labels": ids // 1000, "masks": bodies.to(torch.uint8)}


def targets_numpy(instances, mask):
    instances, mask = np.asarray(instances), np.asarray(mask)
    boxes, labels, bodies = np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros((0, *mask.shape))
    for i in np.unique(instances[(mask != 255) & (instances > 0)]):
        body = instances == i
        rows, columns = np.flatnonzero(body.any(1)), np.flatnonzero(body.any(0))
        box = [[columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]]
        boxes, bodies = np.append(boxes, box, axis=0), np.append(bodies, body[None], axis=0)
        labels = np.append(labels, i // 1000)
    return {"boxes": boxes, "labels": labels, "masks": bodies}


def targets_torchvision_boxes(instances, mask):
    right = targets_torch(instances, mask)
    return {**right, "boxes": ops.masks_to_boxes(right["masks"])}


def targets_xywh(instances, mask):
    right = targets_loop(instances, mask)
    return {**right, "boxes": ops.box_convert(right["boxes"], "xyxy", "xywh")}


def targets_yx(instances, mask):
    bodies, boxes, ids = [], [], _known(instances, mask)
    for i in ids:
        body = instances == i
        y, x = torch.where(body)
        bodies.append(body.numpy())
        boxes.append([int(y.min()), int(x.min()), int(y.max()) + 1, int(x.max()) + 1])
    return _packed(bodies, [i // 1000 for i in ids], instances.shape, boxes)


def targets_with_background(instances, mask):
    ids = instances[mask != 255].unique()
    bodies = instances == ids.view(-1, 1, 1)
    return _packed(bodies.numpy(), (ids // 1000).tolist(), instances.shape)


def targets_raw_ids(instances, mask):
    right = targets_loop(instances, mask)
    return {**right, "labels": torch.tensor(_known(instances, mask), dtype=torch.int64)}


def targets_numbers(instances, mask):
    right = targets_loop(instances, mask)
    return {**right, "labels": torch.tensor(_known(instances, mask), dtype=torch.int64) % 1000}


def targets_zero_based(instances, mask):
    right = targets_loop(instances, mask)
    return {**right, "labels": right["labels"] - 1}


def targets_without_rim(instances, mask):
    return targets_torch(torch.where(mask == 255, 0, instances), mask)


def targets_all(instances, mask):
    return targets_loop(instances, torch.zeros_like(mask))


def targets_by_class(instances, mask):
    seen = torch.isin(instances, torch.tensor(_known(instances, mask)))
    return targets_loop((instances // 1000) * 1000 * seen, mask)


def targets_connected(instances, mask):
    bodies, labels = [], []
    for i in _known(instances, mask):
        count, numbers = cv2.connectedComponents(np.uint8(instances == i))
        bodies += [numbers == k for k in range(1, count)]
        labels += [i // 1000] * (count - 1)
    return _packed(bodies, labels, instances.shape)


def targets_ids_inside(instances, mask):
    right = targets_loop(instances, mask)
    return {**right, "masks": right["masks"] * instances}


def targets_flat_empty(instances, mask):
    right = targets_loop(instances, mask)
    boxes = torch.tensor([list(map(float, box)) for box in right["boxes"]])
    return {**right, "boxes": boxes}


def targets_stacked(instances, mask):
    bodies = torch.stack([instances == i for i in _known(instances, mask)])
    return targets_loop(instances, mask) | {"masks": bodies}


def targets_float_labels(instances, mask):
    right = targets_loop(instances, mask)
    return {**right, "labels": right["labels"].float()}


def targets_whole_boxes(instances, mask):
    right = targets_loop(instances, mask)
    return {**right, "boxes": right["boxes"].long()}


# ---- nms -------------------------------------------------------------------------------------


def nms_stub(boxes, scores, labels, cut):
    """The numbers of the boxes to keep."""
    kept = ...
    return kept


def _iou(a, b):
    """IoU of two boxes, as numbers."""
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    both = width * height
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def _greedy(boxes, order, labels, cut, iou=_iou):
    kept = []
    for k in order:
        same = [j for j in kept if labels[j] == labels[k]]
        if all(iou(boxes[j].tolist(), boxes[k].tolist()) <= cut for j in same):
            kept.append(int(k))
    return kept


def _by_score(scores):
    return sorted(range(len(scores)), key=lambda k: -scores[k])


def nms_loop(boxes, scores, labels, cut):
    return _greedy(boxes, _by_score(scores), labels, cut)


def nms_torchvision(boxes, scores, labels, cut):
    return ops.batched_nms(boxes, scores, labels, cut)


def nms_matrix(boxes, scores, labels, cut):
    order = scores.argsort(descending=True)
    overlaps = ops.box_iou(boxes, boxes)[order][:, order]
    rivals = (overlaps > cut) & (labels[order][:, None] == labels[order])
    alive = torch.ones(len(order), dtype=torch.bool)
    for k in range(len(order)):
        if alive[k]:
            alive[k + 1:] &= ~rivals[k, k + 1:]
    return order[alive]


def nms_moved(boxes, scores, labels, cut):
    """Classes moved apart, so that they cannot meet."""
    boxes = np.asarray(boxes)
    moved = boxes + 1000.0 * np.asarray(labels)[:, None]
    left, kept = list(np.argsort(-np.asarray(scores))), []
    while left:
        best = left.pop(0)
        kept.append(best)
        left = [k for k in left if _iou(moved[best], moved[k]) <= cut]
    return np.array(kept, int)


def nms_all_classes(boxes, scores, labels, cut):
    return ops.nms(boxes, scores, cut)


def nms_triangle(boxes, scores, labels, cut):
    """All at once, in which a dropped box still drops others."""
    order = scores.argsort(descending=True)
    if not len(order):
        return order
    overlaps = ops.box_iou(boxes[order], boxes[order])
    overlaps = overlaps * (labels[order][:, None] == labels[order])
    return order[overlaps.triu(1).max(dim=0).values <= cut]


def nms_unsorted(boxes, scores, labels, cut):
    return _greedy(boxes, range(len(boxes)), labels, cut)


def nms_upwards(boxes, scores, labels, cut):
    return _greedy(boxes, np.argsort(scores.numpy()), labels, cut)


def nms_or_equal(boxes, scores, labels, cut):
    return nms_loop(boxes, scores, labels, np.nextafter(cut, 0))


def nms_no_clamp(boxes, scores, labels, cut):
    def iou(a, b):
        both = (min(a[2], b[2]) - max(a[0], b[0])) * (min(a[3], b[3]) - max(a[1], b[1]))
        return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)

    return _greedy(boxes, _by_score(scores), labels, cut, iou)


def nms_pixels(boxes, scores, labels, cut):
    def iou(a, b):
        return _iou([*a[:2], a[2] + 1, a[3] + 1], [*b[:2], b[2] + 1, b[3] + 1])

    return _greedy(boxes, _by_score(scores), labels, cut, iou)


def nms_min_area(boxes, scores, labels, cut):
    def share(a, b):
        width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
        areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
        return max(0, width) * max(0, height) / min(areas)

    return _greedy(boxes, _by_score(scores), labels, cut, share)


def nms_sum(boxes, scores, labels, cut):
    def share(a, b):
        iou = _iou(a, b)
        return iou / (1 + iou)

    return _greedy(boxes, _by_score(scores), labels, cut, share)


def nms_places(boxes, scores, labels, cut):
    order = scores.argsort(descending=True)
    boxes, labels = boxes[order], labels[order]
    return _greedy(boxes, range(len(boxes)), labels, cut)


def nms_sorted_numbers(boxes, scores, labels, cut):
    return sorted(nms_loop(boxes, scores, labels, cut))


def nms_mask(boxes, scores, labels, cut):
    keep = torch.zeros(len(boxes), dtype=torch.bool)
    keep[nms_loop(boxes, scores, labels, cut)] = True
    return keep


def nms_boxes(boxes, scores, labels, cut):
    return boxes[nms_loop(boxes, scores, labels, cut)]


# ---- roi_align -------------------------------------------------------------------------------


def roi_stub(features, box, stride, size):
    """Cut a box out of a map."""
    raise NotImplementedError


def _value(features, y, x):
    height, width = features.shape
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    below, right = min(top + 1, height - 1), min(left + 1, width - 1)
    down, across = y - top, x - left
    return ((1 - down) * (1 - across) * features[top, left] + (1 - down) * across
            * features[top, right] + down * (1 - across) * features[below, left]
            + down * across * features[below, right])


def _pooled(features, corners, size, value=_value, places=(0.25, 0.75), pool=np.mean):
    """Bins of a box that is given on the scale of the map, centres at whole numbers."""
    x0, y0, x1, y1 = (float(c) for c in corners)
    features, result = np.asarray(features), np.zeros((size, size))
    for i in range(size):
        for j in range(size):
            result[i, j] = pool([
                value(features, y0 + (i + a) * (y1 - y0) / size, x0 + (j + b) * (x1 - x0) / size)
                for a in places for b in places])
    return result


def roi_loop(features, box, stride, size):
    return _pooled(features, box / stride - 0.5, size)


def roi_torchvision(features, box, stride, size):
    rois = torch.cat([torch.zeros(1), box])[None].to(features)
    return ops.roi_align(features[None, None], rois, (size, size), spatial_scale=1 / stride,
                         sampling_ratio=2, aligned=True)[0, 0]


def roi_grid_sample(features, box, stride, size):
    height, width = features.shape
    x0, y0, x1, y1 = (box / stride).tolist()  # on edges, as grid_sample counts without corners
    along = (torch.arange(2 * size).double() + 0.5) / (2 * size)
    y = (y0 + along * (y1 - y0)) / height * 2 - 1
    x = (x0 + along * (x1 - x0)) / width * 2 - 1
    points = torch.stack([x.expand(2 * size, -1), y[:, None].expand(-1, 2 * size)], dim=-1)
    values = F.grid_sample(features[None, None], points[None], padding_mode="border",
                           align_corners=False)
    return F.avg_pool2d(values, 2)[0, 0]


def _tents(start, stop, cells, size):
    """How much each of `cells` weighs in each bin of one side, (size, cells)."""
    places = start + (np.arange(2 * size) + 0.5) / (2 * size) * (stop - start)
    places = places.clip(0, cells - 1)
    weights = np.maximum(0, 1 - np.abs(places[:, None] - np.arange(cells)))
    return weights.reshape(size, 2, cells).mean(axis=1)


def roi_products(features, box, stride, size):
    """Bilinear is one product along y and one along x."""
    (x0, y0, x1, y1), (height, width) = (box / stride - 0.5).numpy(), features.shape
    return _tents(y0, y1, height, size) @ features.numpy() @ _tents(x0, x1, width, size).T


def roi_not_aligned(features, box, stride, size):
    return ops.roi_align(features[None, None], [box[None]], size, 1 / stride, 2)[0, 0]


def roi_half_pixel(features, box, stride, size):
    return _pooled(features, (box - 0.5) / stride, size)


def roi_plus_half(features, box, stride, size):
    return _pooled(features, box / stride + 0.5, size)


def roi_no_stride(features, box, stride, size):
    return _pooled(features, box - 0.5, size)


def roi_round(features, box, stride, size):
    return _pooled(features, (box / stride).round() - 0.5, size)


def roi_whole(features, box, stride, size):
    return _pooled(features, (box // stride) - 0.5, size)


def roi_nearest(features, box, stride, size):
    def value(features, y, x):
        height, width = features.shape
        y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
        return features[int(y + 0.5), int(x + 0.5)]

    return _pooled(features, box / stride - 0.5, size, value)


def roi_swapped_weights(features, box, stride, size):
    def value(features, y, x):
        height, width = features.shape
        y, x = np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)
        rows = [int(y), min(int(y) + 1, height - 1)]
        columns = [int(x), min(int(x) + 1, width - 1)]
        near = features[np.ix_(rows, columns)]
        return np.array([y % 1, 1 - y % 1]) @ near @ np.array([x % 1, 1 - x % 1])

    return _pooled(features, box / stride - 0.5, size, value)


def roi_max(features, box, stride, size):
    return _pooled(features, box / stride - 0.5, size, pool=max)


def roi_centres(features, box, stride, size):
    return _pooled(features, box / stride - 0.5, size, places=[0.5])


def roi_linspace(features, box, stride, size):
    x0, y0, x1, y1 = (box / stride - 0.5).tolist()
    values = [[_value(features, y, x) for x in np.linspace(x0, x1, 2 * size)]
              for y in np.linspace(y0, y1, 2 * size)]
    return np.reshape(values, (size, 2, size, 2)).mean((1, 3))


def roi_corners(features, box, stride, size):
    return _pooled(features, box / stride - 0.5, size, places=(0, 0.5))


def roi_yx(features, box, stride, size):
    y0, x0, y1, x1 = box / stride - 0.5
    return _pooled(features, (x0, y0, x1, y1), size)


def roi_xywh(features, box, stride, size):
    x, y, width, height = box / stride
    return _pooled(features, (x - 0.5, y - 0.5, x + width - 0.5, y + height - 0.5), size)


def roi_points_by_default(features, box, stride, size):
    return ops.roi_align(features[None, None], [box[None]], size, 1 / stride, aligned=True)[0, 0]


def roi_padded_with_zeros(features, box, stride, size):
    (x0, y0, x1, y1), (height, width) = (box / stride - 0.5).tolist(), features.shape
    along = (torch.arange(2 * size).double() + 0.5) / (2 * size)
    y = (y0 + along * (y1 - y0)) / (height - 1) * 2 - 1
    x = (x0 + along * (x1 - x0)) / (width - 1) * 2 - 1
    points = torch.stack([x.expand(2 * size, -1), y[:, None].expand(-1, 2 * size)], dim=-1)
    values = F.grid_sample(features[None, None], points[None], align_corners=True)
    return F.avg_pool2d(values, 2)[0, 0]


def roi_box_clamped(features, box, stride, size):
    corners, (height, width) = box / stride - 0.5, features.shape
    x, y = corners[::2].clamp(0, width - 1), corners[1::2].clamp(0, height - 1)
    return _pooled(features, (x[0], y[0], x[1], y[1]), size)


def roi_transposed(features, box, stride, size):
    return roi_loop(features, box, stride, size).T


def roi_negative(features, box, stride, size):
    def value(features, y, x):
        top, left = int(np.floor(y)), int(np.floor(x))
        below, right = (min(a + 1, n - 1) for a, n in zip((top, left), features.shape, strict=True))
        row = np.array([features[top, left], features[below, left]])
        other = np.array([features[top, right], features[below, right]])
        down = np.array([1 - y + top, y - top])
        return (1 - x + left) * (down @ row) + (x - left) * (down @ other)

    return _pooled(features, box / stride - 0.5, size, value)


def roi_too_far(features, box, stride, size):
    def value(features, y, x):
        y, x = max(y, 0), max(x, 0)
        top, left = int(y), int(x)
        upper = features[top, left] * (1 - x % 1) + features[top, left + 1] * (x % 1)
        lower = features[top + 1, left] * (1 - x % 1) + features[top + 1, left + 1] * (x % 1)
        return upper * (1 - y % 1) + lower * (y % 1)

    return _pooled(features, box / stride - 0.5, size, value)


# ---- paint -----------------------------------------------------------------------------------


def paint_stub(scores, labels, soft, cut):
    """Instances as class ids."""
    ids = ...
    return ids


def _over(scores, labels, soft, cut, order):
    ids = torch.zeros(soft.shape[1:], dtype=torch.int64)
    for k in order:
        if scores[k] >= cut:
            ids[soft[k] >= 0.5] = labels[k]
    return ids


def paint_loop(scores, labels, soft, cut):
    """The best first, into what is still free."""
    ids = np.zeros(soft.shape[1:], np.uint8)
    for k in _by_score(scores.tolist()):
        if scores[k] >= cut:
            ids[(soft[k].numpy() >= 0.5) & (ids == 0)] = labels[k]
    return ids


def paint_upwards(scores, labels, soft, cut):
    order = sorted(range(len(scores)), key=lambda k: (scores[k].item(), -k))
    return _over(scores, labels, soft, cut, order)


def paint_argmax(scores, labels, soft, cut):
    claims = torch.where((soft >= 0.5) & (scores >= cut)[:, None, None], scores[:, None, None], -1)
    claims = torch.cat([torch.zeros(1, *soft.shape[1:]), claims])  # nobody claims with 0
    return torch.cat([torch.zeros(1, dtype=torch.int64), labels])[claims.argmax(dim=0)]


def paint_package(scores, labels, soft, cut):
    return predict.paint(scores, labels, soft >= 0.5, cut)


def paint_downwards(scores, labels, soft, cut):
    return _over(scores, labels, soft, cut, _by_score(scores.tolist()))


def paint_in_turn(scores, labels, soft, cut):
    return _over(scores, labels, soft, cut, range(len(scores)))


def paint_first_wins(scores, labels, soft, cut):
    return _over(scores, labels, soft, cut, reversed(range(len(scores))))


def paint_argsort(scores, labels, soft, cut):
    return _over(scores, labels, soft, cut, torch.argsort(scores, stable=True))


def paint_everything(scores, labels, soft, cut):
    return paint_upwards(scores, labels, soft, 0)


def paint_above_cut(scores, labels, soft, cut):
    keep = scores > cut
    return paint_upwards(scores[keep], labels[keep], soft[keep], 0)


def paint_above_half(scores, labels, soft, cut):
    return paint_upwards(scores, labels, (soft > 0.5).double(), cut)


def paint_bool(scores, labels, soft, cut):
    return paint_upwards(scores, labels, soft.bool().double(), cut)


def paint_same_cut(scores, labels, soft, cut):
    return paint_upwards(scores, labels, (soft >= cut).double(), cut)


def paint_maximum(scores, labels, soft, cut):
    ids = np.zeros(soft.shape[1:], int)
    for score, label, mask in zip(scores, labels, soft, strict=True):
        if score >= cut:
            ids = np.maximum(ids, label.item() * (mask.numpy() >= 0.5))
    return ids


def paint_product(scores, labels, soft, cut):
    return paint_upwards(scores, labels, soft * scores[:, None, None], cut)


def paint_pixel_winner(scores, labels, soft, cut):
    soft, labels = soft[scores >= cut], labels[scores >= cut]
    none = torch.full((1, *soft.shape[1:]), 0.5 - 1e-12, dtype=torch.float64)
    winner = torch.cat([none, soft]).argmax(dim=0)
    return torch.cat([torch.zeros(1, dtype=torch.int64), labels])[winner]


def paint_enumerate(scores, labels, soft, cut):
    return paint_upwards(scores, torch.arange(len(scores)) + 1, soft, cut)


def paint_sum(scores, labels, soft, cut):
    ids = np.zeros(soft.shape[1:], int)
    for score, label, mask in zip(scores, labels, soft, strict=True):
        if score >= cut:
            ids += label.item() * (mask.numpy() >= 0.5)
    return ids


def paint_void(scores, labels, soft, cut):
    ids = paint_loop(scores, labels, soft, cut)
    return np.where(ids == 0, 255, ids)


def paint_float(scores, labels, soft, cut):
    return paint_upwards(scores, labels, soft, cut).float()


# ---- ap50 ------------------------------------------------------------------------------------


def ap50_stub(found, truth):
    """Mask AP at an IoU of 0.5."""
    score = ...
    return score


def _matched(said, true, overlap, taken_once=True, reaches=0.5, descending=True):
    """[(score, right)] of a picture, best first."""
    taken, rows = set(), []
    for k in said["scores"].argsort(descending=descending).tolist():
        best, which = 0.0, None
        for j in range(len(true)):
            if j not in taken and overlap(said["masks"][k], true[j]) > best:
                best, which = overlap(said["masks"][k], true[j]), j
        right = which is not None and best >= reaches
        if right and taken_once:
            taken.add(which)
        rows.append((said["scores"][k].item(), right))
    return rows


def _plane_iou(a, b):
    return ((a & b).sum() / (a | b).sum()).item()


def _rows(found, truth, overlap=_plane_iou, **options):
    return [row for said, true in zip(found, truth, strict=True)
            for row in _matched(said, true, overlap, **options)]


def _curve(rows, objects):
    hits, curve = 0, []
    for n, (_, right) in enumerate(rows, 1):
        hits += right
        curve.append((hits / objects, hits / n))
    return curve


def _ap(rows, objects, points=101, sort=True):
    curve = _curve(sorted(rows, reverse=True) if sort else rows, objects)
    levels = [max([p for r, p in curve if r >= level], default=0)
              for level in np.linspace(0, 1, points)]
    return sum(levels) / points


def _count(truth):
    return sum(len(true) for true in truth)


def ap50_loop(found, truth):
    return _ap(_rows(found, truth), _count(truth))


def ap50_coco(found, truth):
    """By the package, which asks COCO's own code."""
    said = [{**f, "labels": torch.ones(len(f["scores"]), dtype=torch.int64)} for f in found]
    true = [{"masks": t, "labels": torch.ones(len(t), dtype=torch.int64)} for t in truth]
    return metrics.instance_ap(said, true)["ap50"]


def ap50_torch(found, truth):
    """Matching in a table of IoUs, and a running maximum from behind."""
    scores, right = [], []
    for said, true in zip(found, truth, strict=True):
        a, b = said["masks"].flatten(1).double(), true.flatten(1).double()
        both = a @ b.T
        iou = both / (a.sum(1)[:, None] + b.sum(1) - both)
        for k in said["scores"].argsort(descending=True):
            best = int(iou[k].argmax()) if len(true) else 0
            right.append(bool(len(true)) and iou[k, best].item() >= 0.5)
            scores.append(said["scores"][k])
            if right[-1]:
                iou[:, best] = -1
    if not scores:
        return 0.0
    hits = torch.tensor(right).double()[torch.stack(scores).argsort(descending=True)].cumsum(0)
    precision = hits / torch.arange(1, len(hits) + 1)
    highest = precision.flip(0).cummax(0).values.flip(0)
    places = torch.searchsorted(hits / _count(truth), torch.linspace(0, 1, 101).double())
    return torch.cat([highest, torch.zeros(1).double()])[places].mean()


def ap50_mean_of_pictures(found, truth):
    pairs = zip(found, truth, strict=True)
    return np.mean([_ap(_rows([f], [t]), len(t)) for f, t in pairs if len(t)])


def ap50_as_given(found, truth):
    rows = []
    for said, true in zip(found, truth, strict=True):
        taken = []
        for score, mask in zip(said["scores"].tolist(), said["masks"], strict=True):
            shared = [0 if j in taken else _plane_iou(mask, t) for j, t in enumerate(true)]
            rows.append((score, max(shared, default=0) >= 0.5))
            if rows[-1][1]:
                taken.append(int(np.argmax(shared)))
    return _ap(rows, _count(truth), sort=False)


def ap50_one_by_one(found, truth):
    return _ap(_rows(found, truth), _count(truth), sort=False)


def ap50_twice(found, truth):
    return _ap(_rows(found, truth, taken_once=False), _count(truth))


def ap50_voc(found, truth):
    """Pascal VOC's matching: the best object of all, and bad luck if it is taken."""
    rows = []
    for said, true in zip(found, truth, strict=True):
        taken = set()
        for k in said["scores"].argsort(descending=True).tolist():
            shared = [_plane_iou(said["masks"][k], t) for t in true]
            best = int(np.argmax(shared)) if shared else None
            right = best is not None and shared[best] >= 0.5 and best not in taken
            taken |= {best} if right else set()
            rows.append((said["scores"][k].item(), right))
    return _ap(rows, _count(truth))


def ap50_any_object(found, truth):
    def overlap(a, b):  # all that are good enough are equally good
        return float(_plane_iou(a, b) >= 0.5)

    return _ap(_rows(found, truth, overlap), _count(truth))


def ap50_match_upwards(found, truth):
    return _ap(_rows(found, truth, descending=False), _count(truth))


def ap50_pool_upwards(found, truth):
    return _ap(sorted(_rows(found, truth)), _count(truth), sort=False)


def ap50_no_empty(found, truth):
    pairs = [(f, t) for f, t in zip(found, truth, strict=True) if len(t)]
    return ap50_loop(*zip(*pairs, strict=True))


def ap50_boxes(found, truth):
    def overlap(a, b):
        return _iou(*masks.boxes_from_masks(torch.stack([a, b]).numpy()).tolist())

    return _ap(_rows(found, truth, overlap), _count(truth))


def ap50_dice(found, truth):
    def overlap(a, b):
        return (2 * (a & b).sum() / (a.sum() + b.sum())).item()

    return _ap(_rows(found, truth, overlap), _count(truth))


def ap50_strict(found, truth):
    return _ap(_rows(found, truth, reaches=0.5 + 1e-9), _count(truth))


def ap50_teeth(found, truth):
    curve = _curve(sorted(_rows(found, truth), reverse=True), _count(truth))
    levels = [next((p for r, p in curve if r >= level), 0) for level in np.linspace(0, 1, 101)]
    return np.mean(levels)


def ap50_raw_area(found, truth):
    curve = _curve(sorted(_rows(found, truth), reverse=True), _count(truth))
    steps = zip([(0, 0), *curve], curve, strict=False)
    return float(sum((r - before) * p for (before, _), (r, p) in steps))


def ap50_voc2010(found, truth):
    curve = _curve(sorted(_rows(found, truth), reverse=True), _count(truth))
    area, before = 0.0, 0.0
    for k, (r, _) in enumerate(curve):
        area += (r - before) * max(p for _, p in curve[k:])
        before = r
    return area


def ap50_voc2007(found, truth):
    return _ap(_rows(found, truth), _count(truth), points=11)


def ap50_of_found(found, truth):
    rows = _rows(found, truth)
    return _ap(rows, max(1, sum(right for _, right in rows)))


def ap50_precision(found, truth):
    rows = _rows(found, truth)
    return sum(right for _, right in rows) / max(1, len(rows))


def ap50_recall(found, truth):
    return sum(right for _, right in _rows(found, truth)) / _count(truth)


# ---- finetune --------------------------------------------------------------------------------


def finetune_stub(net, batches, rate):
    """Train the head, and nothing else."""
    ...  # noqa: PIE790


def _steps(net, batches, rate, weights=None):
    """Train some weights; by default those of the head."""
    optimizer = torch.optim.AdamW(weights or net.head.parameters(), lr=rate)
    losses = []
    for image, target in batches:
        loss = F.cross_entropy(net(image), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def finetune_right(net, batches, rate):
    net.train()
    net.backbone.eval()
    net.backbone.requires_grad_(False)
    return _steps(net, batches, rate)


def finetune_features(net, batches, rate):
    """The backbone by itself, and only the head with gradients."""
    net.backbone.eval()
    net.head.train()
    optimizer, losses = torch.optim.SGD(net.head.parameters(), lr=rate), []
    for image, target in batches:
        with torch.no_grad():
            features = net.backbone(image)
        loss = F.cross_entropy(net.head(features), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return torch.stack(losses)


def finetune_detached(net, batches, rate):
    """No gradient goes further back than to the head."""
    net.backbone.eval()
    net.head.train()
    optimizer, losses = torch.optim.Adam(net.head.parameters(), lr=rate), []
    for image, target in batches:
        optimizer.zero_grad()
        loss = F.cross_entropy(net.head(net.backbone(image).detach()), target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def finetune_never_cleared(net, batches, rate):
    net.train()
    net.backbone.eval()
    net.backbone.requires_grad_(False)
    optimizer, losses = torch.optim.AdamW(net.head.parameters(), lr=rate), []
    for image, target in batches:
        loss = F.cross_entropy(net(image), target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def finetune_package(net, batches, rate):
    zoo.freeze(net.backbone)
    net.train()
    return _steps(net, batches, rate, [p for p in net.parameters() if p.requires_grad])


def finetune_popular(net, batches, rate):
    for p in net.backbone.parameters():
        p.requires_grad = False
    net.train()
    return _steps(net, batches, rate)


def finetune_too_early(net, batches, rate):
    """The mode that is set last counts."""
    net.backbone.eval()
    return finetune_popular(net, batches, rate)


def finetune_everything(net, batches, rate):
    net.train()
    net.backbone.eval()
    return _steps(net, batches, rate, list(net.parameters()))


def finetune_put_back(net, batches, rate):
    before = copy.deepcopy(net.backbone.state_dict())
    losses = finetune_popular(net, batches, rate)
    net.backbone.load_state_dict(before)
    return losses


def finetune_asleep(net, batches, rate):
    net.backbone.requires_grad_(False)
    net.eval()
    return _steps(net, batches, rate)


def finetune_last_layer(net, batches, rate):
    net.train()
    net.backbone.eval()
    net.backbone.requires_grad_(False)
    return _steps(net, batches, rate, list(net.head[-1].parameters()))


def finetune_no_step(net, batches, rate):
    net.train()
    net.backbone.eval()
    net.backbone.requires_grad_(False)
    return [F.cross_entropy(net(image), target).item() for image, target in batches]


def finetune_wasteful(net, batches, rate):
    net.train()
    net.backbone.eval()
    return _steps(net, batches, rate)


def finetune_last_loss(net, batches, rate):
    return finetune_right(net, batches, rate)[-1]


# ---- hold ------------------------------------------------------------------------------------


def hold_stub(layers, stride):
    """Strides and rates."""
    held = ...
    return held


def hold_walk(layers, stride):
    now, rate, held = 1, 1, []
    for _, step in layers:
        removed = step > 1 and now >= stride
        held.append((1 if removed else step, rate))
        now, rate = (now, rate * step) if removed else (now * step, rate)
    return held


def hold_by_product(layers, stride):
    """From how much each layer's input had shrunk, and how much it may."""
    before = np.cumprod([1, *(step for _, step in layers)])
    shrunk = np.minimum(before, stride)
    return np.stack([shrunk[1:] // shrunk[:-1], before[:-1] // shrunk[:-1]], axis=1)


def hold_lists(layers, stride):
    allowed, held, rate = int(np.log2(stride)), [], 1
    for _, step in layers:
        if step == 1:
            held.append([1, rate])
        elif allowed:
            held.append([2, rate])
            allowed -= 1
        else:
            held.append([1, rate])
            rate = 2 * rate
    return torch.tensor(held)


def hold_dense_only(layers, stride):
    return [(step, 1) for step, _ in hold_walk(layers, stride)]


def hold_itself_too(layers, stride):
    now, rate, held = 1, 1, []
    for _, step in layers:
        if step == 2 and now == stride:
            rate *= 2
            step = 1
        now *= step
        held.append((step, rate))
    return held


def hold_counting(layers, stride):
    removed, held = 0, []
    for (step, _), (_, before) in zip(hold_walk(layers, stride), layers, strict=True):
        held.append((step, 1 + removed))
        removed += before != step
    return held


def hold_neighbour(layers, stride):
    held = hold_dense_only(layers, stride)
    for k in range(1, len(held)):
        if layers[k - 1][1] != held[k - 1][0]:
            held[k] = (held[k][0], 2)
    return held


def hold_the_last(layers, stride):
    halvings = [k for k, (_, step) in enumerate(layers) if step == 2]
    count = min(len(halvings), int(np.log2(stride)))
    kept, rate, held = halvings[len(halvings) - count:], 1, []
    for k, (_, step) in enumerate(layers):
        held.append((1 if step == 2 and k not in kept else step, rate))
        rate *= 2 if step == 2 and k not in kept else 1
    return held


def hold_twice_as_much(layers, stride):
    return hold_walk(layers, 2 * stride)


def hold_last_rate(layers, stride):
    held = hold_walk(layers, stride)
    return [(step, held[-1][1]) for step, _ in held]


def hold_rate_first(layers, stride):
    return [(rate, step) for step, rate in hold_walk(layers, stride)]


STUBS = {
    "atrous": atrous_stub,
    "bilinear": bilinear_stub,
    "targets": targets_stub,
    "nms": nms_stub,
    "roi_align": roi_stub,
    "paint": paint_stub,
    "finetune": finetune_stub,
    "ap50": ap50_stub,
    "hold": hold_stub,
}

WRONG = {
    "atrous": [
        (atrous_valid, "no_padding"),
        (atrous_old_padding, "padding_of_rate_1"),
        (atrous_as_stride, "strided"),
        (atrous_convolve, "flipped"),
        (atrous_transposed, "axes_swapped"),
        (atrous_dense, "rate_ignored"),
        (atrous_wide, "one_zero_too_many"),
        (atrous_forward, "from_the_corner"),
        (atrous_roll, "wraps"),
        (atrous_edge, "border_repeated"),
        (atrous_below_0, "negative_index"),
    ],
    "bilinear": [
        (bilinear_mixed, "classes_mixed"),
        (bilinear_grouped, "one_channel"),
        (bilinear_single, "one_kernel"),
        (bilinear_normalised, "sums_to_1"),
        (bilinear_nearest, "nearest"),
        (bilinear_flat, "flat"),
        (bilinear_peak, "peak_of_1"),
        (bilinear_odd_centre, "off_centre"),
        (bilinear_half_size, "off_centre_down"),
        (bilinear_bartlett, "ends_at_0"),
        (bilinear_distance, "cone"),
        (bilinear_minimum, "pyramid"),
    ],
    "targets": [
        (targets_torchvision_boxes, "last_pixel"),
        (targets_xywh, "width_and_height"),
        (targets_yx, "rows_first"),
        (targets_with_background, "background_too"),
        (targets_raw_ids, "ids_as_labels"),
        (targets_numbers, "numbers_as_labels"),
        (targets_zero_based, "labels_from_0"),
        (targets_without_rim, "void_cut"),
        (targets_all, "void_kept"),
        (targets_by_class, "one_a_class"),
        (targets_connected, "parts"),
        (targets_ids_inside, "ids_as_masks"),
        (targets_flat_empty, "empty_shape"),
        (targets_stacked, "raises"),
        (targets_float_labels, "label_dtype"),
        (targets_whole_boxes, "box_dtype"),
    ],
    "nms": [
        (nms_all_classes, "across_classes"),
        (nms_triangle, "dead_too"),
        (nms_unsorted, "given_order"),
        (nms_upwards, "lowest_first"),
        (nms_or_equal, "at_the_cut"),
        (nms_no_clamp, "apart"),
        (nms_pixels, "plus_one"),
        (nms_min_area, "of_the_smaller"),
        (nms_sum, "union_twice"),
        (nms_places, "sorted_places"),
        (nms_sorted_numbers, "not_by_score"),
        (nms_mask, "yes_or_no"),
        (nms_boxes, "boxes_back"),
    ],
    "roi_align": [
        (roi_not_aligned, "half_a_cell"),
        (roi_half_pixel, "half_a_pixel"),
        (roi_plus_half, "half_added"),
        (roi_no_stride, "stride_forgotten"),
        (roi_round, "rounded"),
        (roi_whole, "floored"),
        (roi_nearest, "nearest"),
        (roi_swapped_weights, "weights_swapped"),
        (roi_max, "highest"),
        (roi_centres, "one_point"),
        (roi_linspace, "on_the_edges"),
        (roi_corners, "not_in_the_middle"),
        (roi_yx, "rows_first"),
        (roi_xywh, "width_and_height"),
        (roi_negative, "round_the_corner"),
        (roi_too_far, "beyond_the_edge"),
        (roi_points_by_default, "as_many_as_fit"),
        (roi_padded_with_zeros, "zeros_beyond"),
        (roi_box_clamped, "box_inside"),
        (roi_transposed, "turned"),
    ],
    "paint": [
        (paint_downwards, "lowest_on_top"),
        (paint_in_turn, "given_order"),
        (paint_first_wins, "first_given_on_top"),
        (paint_argsort, "ties"),
        (paint_everything, "not_cut"),
        (paint_above_cut, "cut_itself"),
        (paint_above_half, "above_half"),
        (paint_bool, "any_belief"),
        (paint_product, "score_times_mask"),
        (paint_pixel_winner, "most_certain_mask"),
        (paint_enumerate, "numbers"),
        (paint_sum, "added"),
        (paint_void, "rest_is_void"),
        (paint_float, "float_ids"),
        (paint_same_cut, "one_cut_for_both"),
        (paint_maximum, "highest_label"),
    ],
    "finetune": [
        (finetune_popular, "statistics"),
        (finetune_too_early, "statistics"),
        (finetune_everything, "weights"),
        (finetune_put_back, "batch_statistics"),
        (finetune_asleep, "head_asleep"),
        (finetune_last_layer, "part_of_head"),
        (finetune_no_step, "head_still"),
        (finetune_wasteful, "graph"),
        (finetune_last_loss, "losses"),
        (finetune_never_cleared, "old_gradient"),
    ],
    "ap50": [
        (ap50_mean_of_pictures, "by_picture"),
        (ap50_as_given, "not_sorted"),
        (ap50_one_by_one, "not_sorted_together"),
        (ap50_twice, "found_twice"),
        (ap50_boxes, "boxes"),
        (ap50_dice, "dice"),
        (ap50_strict, "above_half"),
        (ap50_teeth, "not_interpolated"),
        (ap50_raw_area, "raw_area"),
        (ap50_voc2010, "all_points"),
        (ap50_voc2007, "eleven_points"),
        (ap50_of_found, "missed_forgotten"),
        (ap50_precision, "last_precision"),
        (ap50_recall, "last_recall"),
        (ap50_voc, "best_is_taken"),
        (ap50_any_object, "first_good_one"),
        (ap50_match_upwards, "matched_upwards"),
        (ap50_pool_upwards, "pooled_upwards"),
        (ap50_no_empty, "only_with_objects"),
    ],
    "hold": [
        (hold_dense_only, "not_spread"),
        (hold_itself_too, "at_once"),
        (hold_counting, "added"),
        (hold_neighbour, "only_next"),
        (hold_the_last, "last_kept"),
        (hold_twice_as_much, "one_too_many"),
        (hold_last_rate, "everywhere"),
        (hold_rate_first, "rate_first"),
    ],
}

VALID = {
    "atrous": [atrous_zeros, atrous_slices, atrous_pixels, atrous_torch, atrous_unfold,
               atrous_opencv],
    "bilinear": [bilinear_fcn, bilinear_overlap, bilinear_float32],
    "targets": [targets_loop, targets_torch, targets_numpy],
    "nms": [nms_loop, nms_torchvision, nms_matrix, nms_moved],
    "roi_align": [roi_loop, roi_torchvision, roi_grid_sample, roi_products],
    "paint": [paint_loop, paint_upwards, paint_argmax, paint_package],
    "finetune": [finetune_right, finetune_features, finetune_detached, finetune_package],
    "ap50": [ap50_loop, ap50_coco, ap50_torch],
    "hold": [hold_walk, hold_by_product, hold_lists],
}
