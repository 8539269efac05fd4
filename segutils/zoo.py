"""FCN, DeepLab, LR-ASPP and Mask R-CNN beside the U-Net, behind one interface (lesson 06).

The models are torchvision's own, with its names for every weight; what is added here is small:
backbones that a laptop can train, pictures that come in normalised and stay at their size, logits
instead of a dictionary, and a `config` from which a file of weights rebuilds its model.
"""

import hashlib
import json
import urllib.error
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import get_model, get_weight, segmentation
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.detection import MaskRCNN as TorchvisionMaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.models.segmentation.deeplabv3 import ASPP
from torchvision.models.segmentation.fcn import FCNHead
from torchvision.ops import MultiScaleRoIAlign, masks_to_boxes
from torchvision.ops.feature_pyramid_network import ExtraFPNBlock, LastLevelMaxPool

from segutils.checkpoint import CheckpointError, load_into, read_weights
from segutils.unet import UNet

# name: (torchvision's builder, the layers that end the stages of stride 4, 8, 16 and 32, their
# channels). resnet18_layer3 has no fourth stage: a quarter of the weights, for small files; and
# resnet18_layer2 ends at stride 8, where holding a stride of 4 costs little.
BACKBONES = {
    "resnet18": ("resnet18", ("layer1", "layer2", "layer3", "layer4"), (64, 128, 256, 512)),
    "resnet18_layer2": ("resnet18", ("layer1", "layer2"), (64, 128)),
    "resnet18_layer3": ("resnet18", ("layer1", "layer2", "layer3"), (64, 128, 256)),
    "resnet34": ("resnet34", ("layer1", "layer2", "layer3", "layer4"), (64, 128, 256, 512)),
    "resnet50": ("resnet50", ("layer1", "layer2", "layer3", "layer4"), (256, 512, 1024, 2048)),
    "resnet101": ("resnet101", ("layer1", "layer2", "layer3", "layer4"), (256, 512, 1024, 2048)),
    "mobilenet_v3_large": ("mobilenet_v3_large", ("2", "4", "7", "16"), (24, 40, 80, 960)),
    "mobilenet_v3_small": ("mobilenet_v3_small", ("1", "2", "4", "12"), (16, 24, 40, 576)),
}


# Building ---------------------------------------------------------------------------------


def build(name: str, backbone: str | None = None, classes: int | Sequence[str] | None = None,
          weights: str | Path | None = None, **options) -> nn.Module:
    """A model by its name: "unet", "fcn", "deeplab", "lraspp" or "maskrcnn".

    Args:
        backbone: a name in `BACKBONES`; None is the smallest that suits, or the public weights'
            own. The U-Net has none.
        classes: their number or names, background first and counted; None is 3, or as many as
            the weights have. Weights for other classes keep all but the head, which is new.
        weights: None draws them at random; the path of a file that `checkpoint.save_weights` or
            `fit` wrote; "coco" or "public" are torchvision's, downloaded once and checked.
        options: those of the model's class here (`UNet`, `FCN`, `DeepLab`, `LRASPP`, `MaskRCNN`).

    All take pictures (B, 3, H, W) float, normalised as the course does it, of any size. The
    semantic ones return logits (B, C, H, W) float at the pictures' own size; Mask R-CNN returns
    torchvision's list of dicts, see `MaskRCNN`. With weights the model comes in eval mode. Raises
    ValueError for a name or an option that does not fit, CheckpointError for a file. Lesson 06.
    """
    if name not in MODELS:
        raise ValueError(f"model {name!r} is not one of {', '.join(MODELS)}")
    if backbone is not None:
        options["backbone"] = backbone
    if weights is None:
        return _make(name, options | {"classes": 3 if classes is None else classes})
    if weights in ("coco", "public"):
        model = _public(name, options)
    else:
        model = load(weights)
        _check_same(model, name, options, weights)
    have = model.config["classes"]
    if classes is not None and not _same_classes(classes, have):
        new_head(model, classes)
    return model.eval()


def load(path: str | Path) -> nn.Module:
    """The model that a file of weights holds, built as the file says, in eval mode.

    `path`: a .safetensors file by `fit` or `save_weights(path, model, metadata(model))`. Half
    precision becomes float32. Raises CheckpointError, naming the file, where it is missing,
    damaged by as much as a bit, or does not say which model it is. Lesson 06.
    """
    weights, about = read_weights(path)
    kinds = {kind.__name__: name for name, kind in MODELS.items()}
    try:
        name, config = kinds[about["model"]], dict(json.loads(about["config"]))
        model = _make(name, config)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: does not say which model of the zoo it holds ({error!r}); "
                              "write it with save_weights(path, model, zoo.metadata(model))"
                              ) from None
    load_into(model, weights, path)
    return model.eval()


def metadata(model: nn.Module) -> dict[str, str]:
    """What `load` needs to know, for `checkpoint.save_weights`; `fit` writes the same."""
    return {"model": type(model).__name__, "config": json.dumps(model.config)}


def _make(name: str, options: dict) -> nn.Module:
    kind = MODELS[name]
    if kind is UNet:
        if "backbone" in options:
            raise ValueError("the U-Net has no backbone; give width=, depth= and stem= instead")
        options = options | {"classes": _count(options["classes"])}
    try:
        return kind(**options)
    except TypeError as error:
        if "unexpected keyword" not in str(error):
            raise
        option = str(error).split("'")[1]
        raise ValueError(f"{name} has no option {option!r}; see help(zoo.{kind.__name__})"
                         ) from None


def _count(classes: int | Sequence[str]) -> int:
    """How many classes; refuses fewer than two, for background is one of them."""
    count = len(classes) if hasattr(classes, "__len__") else int(classes)
    if isinstance(classes, str) or count < 2:
        raise ValueError(f"classes={classes!r}: give a number from 2 on or names, background first")
    return count


def _listed(classes: int | Sequence[str]) -> int | list[str]:
    """Classes as a config holds them: a number or a list of names."""
    count = _count(classes)
    return list(classes) if hasattr(classes, "__len__") else count


def _same_classes(asked, have) -> bool:
    asked, have = _listed(asked), _listed(have)
    if isinstance(asked, list) and isinstance(have, list):
        return asked == have
    return _count(asked) == _count(have)


def _check_same(model: nn.Module, name: str, options: dict, path) -> None:
    """Refuse weights of another model than was asked for."""
    if type(model) is not MODELS[name]:
        raise ValueError(f"{path}: holds a {type(model).__name__}, not a {MODELS[name].__name__}; "
                         "zoo.load builds whatever a file holds")
    plain = json.loads(json.dumps(options))
    wrong = [f"{k} is {model.config.get(k)!r}, not {v!r}" for k, v in plain.items()
             if model.config.get(k) != v]
    if wrong:
        raise ValueError(f"{path}: {'; '.join(wrong)}; leave out what the file says itself")


# Backbones --------------------------------------------------------------------------------


def _backbone(name: str, output_stride: int | None = None) -> tuple[nn.Module, tuple, tuple]:
    """A backbone without its classifier, the layers that end its stages, and their channels."""
    if name not in BACKBONES:
        raise ValueError(f"backbone {name!r} is not one of {', '.join(BACKBONES)}")
    builder, layers, channels = BACKBONES[name]
    if output_stride not in (None, 4, 8, 16, 32):
        raise ValueError(f"output_stride={output_stride} is not one of 4, 8, 16, 32")
    net = get_model(builder, weights=None)
    if builder.startswith("mobilenet"):
        net = net.features
    if output_stride is not None:
        hold_stride(net, output_stride, spread_at_once=builder.startswith("mobilenet"))
    return net, layers, channels


def hold_stride(net: nn.Module, stride: int, spread_at_once: bool = False) -> None:
    """Let a backbone shrink pictures by `stride` and no further, in place: atrous convolution.

    Where it would halve them once more it no longer does, and the kernels that follow are spread
    to twice the distance (their dilation), so that each sees what it saw before: every second
    pixel of the result is what the strided network gives. `spread_at_once` spreads the kernel
    that used to halve as well, as torchvision does in MobileNet. Source: Chen et al. 2017,
    section 3.1 (arXiv:1706.05587). Lesson 06.
    """
    now = rate = 1
    for child in net.children():
        layers = [m for m in child.modules() if isinstance(m, nn.Conv2d | nn.MaxPool2d)]
        halving = [m for m in layers if m.stride in (2, (2, 2))]
        if halving and now < stride:
            now *= 2
            continue
        after = 2 * rate if halving else rate
        spread = after if spread_at_once else rate
        for layer in layers:
            if layer.kernel_size != (1, 1):
                layer.dilation = (spread, spread)
                layer.padding = tuple(spread * (k // 2) for k in layer.kernel_size)
            if layer in halving:
                layer.stride, spread = (1, 1), after
        rate = after


# Semantic models --------------------------------------------------------------------------


class FCN(segmentation.FCN):
    """Fully convolutional network: a classifier made dense, its logits stretched to the picture.

    torchvision's `FCN` and names of weights, without the auxiliary head. Pictures (B, 3, H, W)
    float -> logits (B, C, H, W) float. `backbone`: see `BACKBONES`. `output_stride`: pixels of
    the picture for one of the last feature map: 4, 8, 16 or 32; None is torchvision's, 8 for a
    ResNet and 16 for a MobileNet. Source: Long, Shelhamer, Darrell 2015 (arXiv:1411.4038).
    Lesson 06.
    """

    def __init__(self, backbone: str = "resnet18", classes: int | Sequence[str] = 3,
                 output_stride: int | None = None):
        output_stride = _stride(backbone, output_stride)
        net, layers, channels = _backbone(backbone, output_stride)
        super().__init__(IntermediateLayerGetter(net, {layers[-1]: "out"}),
                         FCNHead(channels[-1], _count(classes)))
        self.config = {"backbone": backbone, "classes": _listed(classes),
                       "output_stride": output_stride}

    def forward(self, image: Tensor) -> Tensor:
        return _logits(super().forward, image)


class DeepLab(segmentation.DeepLabV3):
    """DeepLabV3: atrous convolutions at several rates side by side, and the picture as a whole.

    torchvision's `DeepLabV3` and names of weights, without the auxiliary head. As `FCN`, and
    `rates`: dilations of the three branches (torchvision: 12, 24, 36 for pictures of about 513
    pixels; the default is the same share of 128). `width`: channels of each branch (torchvision:
    256). A batch of one picture trains too: its pooled branch, one value a channel, is then
    normalised by the running statistics. Source: Chen et al. 2017 (arXiv:1706.05587). Lesson 06.
    """

    def __init__(self, backbone: str = "resnet18", classes: int | Sequence[str] = 3,
                 output_stride: int | None = None, rates: Sequence[int] = (3, 6, 9),
                 width: int = 256):
        output_stride = _stride(backbone, output_stride)
        net, layers, channels = _backbone(backbone, output_stride)
        aspp = ASPP(channels[-1], tuple(rates), width)
        aspp.convs[-1][2] = PooledNorm(width)
        head = nn.Sequential(aspp, nn.Conv2d(width, width, 3, padding=1, bias=False),
                             nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, _count(classes), 1))
        super().__init__(IntermediateLayerGetter(net, {layers[-1]: "out"}), head)
        self.config = {"backbone": backbone, "classes": _listed(classes),
                       "output_stride": output_stride, "rates": list(rates), "width": width}

    def forward(self, image: Tensor) -> Tensor:
        return _logits(super().forward, image)


class PooledNorm(nn.BatchNorm2d):
    """Batch norm that takes its running statistics where a batch has one value a channel."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.numel() == x.shape[1]:       # no variance: torch would refuse
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias,
                                eps=self.eps)
        return super().forward(x)


class LRASPP(segmentation.LRASPP):
    """Lite R-ASPP: the last feature map, weighed by the picture as a whole, plus an early one.

    torchvision's `LRASPP` and names of weights. As `FCN`, and `width`: channels in between. The
    early map is the one of stride 8, or of 4 where the backbone ends with stride 8. Source: Howard
    et al. 2019, section 6.4 (arXiv:1905.02244). Lesson 06.
    """

    def __init__(self, backbone: str = "mobilenet_v3_large", classes: int | Sequence[str] = 3,
                 output_stride: int | None = None, width: int = 128):
        output_stride = _stride(backbone, output_stride)
        net, layers, channels = _backbone(backbone, output_stride)
        early = min(1, len(layers) - 2)
        body = IntermediateLayerGetter(net, {layers[early]: "low", layers[-1]: "high"})
        super().__init__(body, channels[early], channels[-1], _count(classes), width)
        self.config = {"backbone": backbone, "classes": _listed(classes),
                       "output_stride": output_stride, "width": width}

    def forward(self, image: Tensor) -> Tensor:
        return _logits(super().forward, image)


def _stride(backbone: str, output_stride: int | None) -> int:
    return output_stride or (16 if backbone.startswith("mobilenet") else 8)


def _logits(forward: Callable, image: Tensor) -> Tensor:
    """torchvision's forward with its dictionary undone."""
    _check_pictures(image)
    with _cure_for_one_value(image):
        return forward(image)["out"]


@contextmanager
def _cure_for_one_value(image: Tensor):
    """Say what to do where batch norm is left with one value a channel."""
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise ValueError(f"a batch of one picture of {tuple(image.shape[-2:])} leaves batch norm "
                         "one value a channel, which has no variance; train on two pictures or "
                         "more at a time, or on larger ones") from None


def _check_pictures(image: Tensor) -> None:
    if image.ndim != 4 or image.shape[1] != 3 or not image.is_floating_point():
        raise ValueError(f"wanted normalised pictures (B, 3, H, W) float, and got {image.dtype} "
                         f"{tuple(image.shape)}; segutils.predict.predict takes a single picture")


# Mask R-CNN -------------------------------------------------------------------------------


class MaskRCNN(TorchvisionMaskRCNN):
    """Mask R-CNN: propose boxes, name what is in each, and draw its mask.

    torchvision's `MaskRCNN` and names of weights, small by default: at 128 pixels the number of
    boxes and the width of the pyramid decide what a step costs.

    In eval mode pictures (B, 3, H, W) float -> a list of B dicts: boxes (N, 4) float x0, y0, x1,
    y1, labels (N,) int64, scores (N,) float, highest first, and masks (N, 1, H, W) float.
    `predict.decode` makes ids of it. In training `model(image, target, instances)`, with the
    (B, H, W) masks and instance ids of a data set with `instances=True`, or `model(image,
    targets)` with a list of dicts as of `instance_targets`, gives the dict of its losses, whose
    sum is trained; `fit(..., loss=None)` does that. Targets are checked first (`check_targets`);
    `dropped` counts the degenerate boxes left out so far.

    Args:
        backbone, classes: see `build`.
        fpn: channels of the feature pyramid (torchvision: 256).
        anchors: side of the anchor boxes in pixels at each level of the pyramid, finest first: as
            many as the backbone has stages, or one more, for a level on top.
        ratios: height by width of the anchors.
        proposals: boxes that the first stage hands on (torchvision: 2000 in training, 1000 after).
        rois: how many of them a picture's training step takes (torchvision: 512).
        box_head, mask_head: widths of the second stage (torchvision: 1024, and 256 four times).
        detections: instances a picture has at most.
        size: side that the shorter side of a picture is resized to inside; None leaves pictures
            as they are. torchvision's own is 800, which would blow up ours.
        eps: of the backbone's batch norm; None leaves what it is.

    Raises ValueError for targets that torchvision would take without a word. Source: He et al.
    2017 (arXiv:1703.06870), Lin et al. 2017 (arXiv:1612.03144) for the pyramid. Lesson 06.
    """

    def __init__(self, backbone: str = "resnet18", classes: int | Sequence[str] = 3, fpn: int = 64,
                 anchors: Sequence[int] = (10, 20, 40, 70),
                 ratios: Sequence[float] = (0.5, 1.0, 2.0), proposals: int = 200, rois: int = 64,
                 box_head: int = 128, mask_head: Sequence[int] = (64, 64), detections: int = 50,
                 size: int | None = None, eps: float | None = None):
        count = _count(classes)
        pyramid, levels = _pyramid(backbone, fpn, len(anchors), eps)
        super().__init__(
            pyramid, None, min_size=size or 1, max_size=round((size or 1) * 1333 / 800),
            image_mean=[0, 0, 0], image_std=[1, 1, 1],             # they come in normalised
            rpn_anchor_generator=AnchorGenerator(tuple((a,) for a in anchors),
                                                 (tuple(ratios),) * len(anchors)),
            rpn_pre_nms_top_n_train=proposals, rpn_pre_nms_top_n_test=proposals,
            rpn_post_nms_top_n_train=proposals, rpn_post_nms_top_n_test=proposals,
            box_roi_pool=MultiScaleRoIAlign(levels, output_size=7, sampling_ratio=2),
            box_head=TwoMLPHead(fpn * 7 * 7, box_head),
            box_predictor=FastRCNNPredictor(box_head, count),
            box_batch_size_per_image=rois, box_detections_per_img=detections,
            mask_roi_pool=MultiScaleRoIAlign(levels, output_size=14, sampling_ratio=2),
            mask_head=MaskRCNNHeads(fpn, tuple(mask_head), 1),
            mask_predictor=MaskRCNNPredictor(mask_head[-1], mask_head[-1], count),
        )
        if size is None:
            self.transform = AsTheyAre(1, 1, [0, 0, 0], [1, 1, 1])
        self.dropped = 0
        self.config = {"backbone": backbone, "classes": _listed(classes), "fpn": fpn,
                       "anchors": list(anchors), "ratios": list(ratios), "proposals": proposals,
                       "rois": rois, "box_head": box_head, "mask_head": list(mask_head),
                       "detections": detections, "size": size, "eps": eps}

    def forward(self, image: Tensor, target=None, instances: Tensor | None = None):
        _check_pictures(image)
        if not self.training:
            return super().forward(list(image))
        if instances is not None:
            target = [instance_targets(*maps) for maps in zip(instances, target, strict=True)]
        if not isinstance(target, list | tuple):
            raise ValueError("Mask R-CNN trains on instances: model(image, target, instances), "
                             "from a data set with instances=True; or call eval() first")
        if len(target) != len(image):
            raise ValueError(f"{len(image)} pictures, but targets for {len(target)}")
        target, dropped = check_targets(target, image.shape[-2:], self.config["classes"])
        self.dropped += dropped
        with _cure_for_one_value(image):
            return super().forward(list(image), target)


class AsTheyAre(GeneralizedRCNNTransform):
    """torchvision's transform without its resizing: it pads a batch, and pastes the masks."""

    def resize(self, image, target=None):
        return image, target


class Pyramid(BackboneWithFPN):
    """torchvision's, its maps in float32 always, for the anchors take on their dtype.

    In bf16, coordinates above 256 would come in steps of 2 and more.
    """

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return OrderedDict((name, level.float()) for name, level in super().forward(x).items())


class NoExtraLevel(ExtraFPNBlock):
    """A pyramid that ends where its backbone does."""

    def forward(self, results, x, names):
        return results, names


def _pyramid(backbone: str, width: int, levels: int,
             eps: float | None) -> tuple[Pyramid, list[str]]:
    """A backbone with its feature pyramid, and the names of the levels that boxes are cut from."""
    net, layers, channels = _backbone(backbone)
    if levels - len(layers) not in (0, 1):
        raise ValueError(f"{levels} anchors for the {len(layers)} stages of {backbone}: give "
                         f"{len(layers)}, or {len(layers) + 1} for a level on top")
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d) and eps is not None:
            module.eps = eps
    names = [str(level) for level in range(len(layers))]
    top = LastLevelMaxPool() if levels > len(layers) else NoExtraLevel()
    return Pyramid(net, dict(zip(layers, names, strict=True)), list(channels), width, top), names


# Targets ----------------------------------------------------------------------------------


def instance_targets(instances: Tensor, mask: Tensor | None = None, void: str = "drop",
                     ignore_index: int = 255) -> dict[str, Tensor]:
    """One picture's objects as Mask R-CNN and `metrics.instance_ap` want them.

    Args:
        instances: (H, W) integers, class * 1000 + k, 0 for background, as the data set has them.
        mask: (H, W) class ids with void. Objects all of whose pixels are void in it are too small
            to name: they are no targets, so that boxes on them count as background in training.
        void: "drop" leaves such objects out; "crowd" keeps them, marked 1 in `iscrowd`, so that
            `instance_ap` counts a detection on one neither as right nor as wrong.

    Returns a dict of boxes (N, 4) float x0, y0, x1, y1 on pixel edges (x1 - x0 is the width, as
    `masks.boxes_from_masks`), labels (N,) int64, masks (N, H, W) uint8 of 0 and 1, in order of
    the ids, and iscrowd (N,) int64; without objects (0, 4), (0,) and (0, H, W). An object's mask
    is all of it, the void line along its edge included: a mask head has no pixels to ignore.
    Raises ValueError for ids that are not class * 1000 + k, and where mask and instances name
    different classes. Lesson 06.
    """
    instances = torch.as_tensor(instances).long()
    ids = instances.unique()
    ids = ids[ids != 0]
    if ((ids < 1000) | (ids % 1000 == 0)).any():
        raise ValueError(f"instances hold {ids[:5].tolist()}: wanted class * 1000 + k, k from 1")
    masks = instances == ids.view(-1, 1, 1)                           # (N, H, W)
    unseen = torch.zeros_like(ids, dtype=torch.bool)
    if mask is not None:
        mask = torch.as_tensor(mask, device=instances.device)
        valid = _valid(mask, instances, ignore_index)
        unseen = ~(masks & valid).flatten(1).any(dim=1)
    if void not in ("drop", "crowd"):
        raise ValueError(f"void={void!r} is not one of drop, crowd")
    kept = torch.ones_like(unseen) if void == "crowd" else ~unseen
    masks = masks[kept]
    boxes = masks_to_boxes(masks) + masks_to_boxes(masks).new_tensor([0, 0, 1, 1])
    return {"boxes": boxes.float(), "labels": ids[kept] // 1000, "masks": masks.to(torch.uint8),
            "iscrowd": unseen[kept].long()}


def _valid(mask: Tensor, instances: Tensor, ignore_index: int) -> Tensor:
    if mask.shape != instances.shape:
        raise ValueError(f"mask {tuple(mask.shape)} and instances {tuple(instances.shape)} differ")
    valid = mask != ignore_index
    if ((instances // 1000 != mask) & valid).any():
        raise ValueError("instances (class * 1000 + k) and mask name different classes: are they "
                         "of one picture, transformed together?")
    return valid


def check_targets(targets: Sequence[dict[str, Tensor]], size: Sequence[int],
                  classes: int | Sequence[str]) -> tuple[list[dict[str, Tensor]], int]:
    """Targets fit for torchvision's Mask R-CNN, and how many degenerate boxes were left out.

    targets: dicts of boxes (N, 4) float, labels (N,) int64, masks (N, H, W) of 0 and 1; size: the
    pictures' (H, W). Objects whose box has no width or no height are dropped. Refused with a
    ValueError of one line, each of which torchvision trains on without a word: label 0 or beyond
    the classes, masks of another size or with other values (255), boxes outside the picture, with
    NaN or with x1 before x0; and no objects that are not written as (0, 4). Lesson 06.
    """
    checked, dropped = [], 0
    for number, target in enumerate(targets):
        try:
            _check_target(target, tuple(size), _count(classes))
        except ValueError as error:
            raise ValueError(f"the target of picture {number} in the batch {error}") from None
        boxes = target["boxes"]
        kept = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
        dropped += int((~kept).sum())
        checked.append({"boxes": boxes[kept], "labels": target["labels"][kept],
                        "masks": target["masks"][kept].to(torch.uint8)})
    return checked, dropped


def _check_target(target: dict[str, Tensor], size: tuple[int, int], classes: int) -> None:
    missing = {"boxes", "labels", "masks"} - target.keys()
    if missing:
        raise ValueError(f"has no {', '.join(sorted(missing))}")
    boxes, labels, masks = target["boxes"], target["labels"], target["masks"]
    n, (height, width) = len(labels), size
    if tuple(boxes.shape) != (n, 4) or not boxes.is_floating_point():
        raise ValueError(f"has {boxes.dtype} boxes of shape {tuple(boxes.shape)} for {n} labels: "
                         "wanted (N, 4) float, and (0, 4) without objects")
    if labels.dtype != torch.int64 or labels.ndim != 1:
        raise ValueError(f"has labels {labels.dtype} {tuple(labels.shape)}: wanted (N,) int64")
    if tuple(masks.shape) != (n, height, width):
        raise ValueError(f"has masks of shape {tuple(masks.shape)}: wanted {(n, height, width)}, "
                         "one a label and as large as the picture")
    if not n:
        return
    if labels.min() < 1 or labels.max() >= classes:
        raise ValueError(f"has labels {labels.unique().tolist()}: wanted 1 to {classes - 1}, for "
                         "0 is background, which is no object")
    if masks.max() > 1 or masks.min() < 0:
        raise ValueError(f"has masks with values up to {masks.max().item()}: wanted 0 and 1; is "
                         "255 void? leave those pixels out")
    limits = boxes.new_tensor([width, height, width, height])
    if not ((boxes >= 0) & (boxes <= limits)).all():          # NaN fails both
        raise ValueError(f"has boxes outside of its {width} x {height} pixels: "
                         f"{boxes[~((boxes >= 0) & (boxes <= limits)).all(dim=1)][0].tolist()}")
    if (boxes[:, 2:] < boxes[:, :2]).any():
        raise ValueError("has boxes that end before they begin: wanted x0, y0, x1, y1")


# Heads, freezing --------------------------------------------------------------------------


def head_of(model: nn.Module) -> nn.ModuleList:
    """The layers that depend on the classes: all that `new_head` replaces. Lesson 06."""
    return nn.ModuleList(model.get_submodule(name) for name in _head_names(model))


def new_head(model: nn.Module, classes: int | Sequence[str]) -> nn.Module:
    """Give a model a new, untrained head for other classes, in place; returns the model.

    All other weights stay. `classes`: number or names, background first. Lesson 06.
    """
    count = _count(classes)
    where = next(model.parameters())
    for name in _head_names(model):
        layer = _like(model.get_submodule(name), count, model.config)
        model.set_submodule(name, layer.to(where.device, where.dtype))
    model.config["classes"] = count if isinstance(model, UNet) else _listed(classes)
    return model.train(model.training)


def _head_names(model: nn.Module) -> tuple[str, ...]:
    for kind, names in HEADS.items():
        if isinstance(model, kind):
            return names
    raise ValueError(f"{type(model).__name__} is no model of the zoo")


def _like(old: nn.Module, classes: int, config: dict) -> nn.Module:
    """A new layer as the old one, for so many classes."""
    if isinstance(old, FastRCNNPredictor):
        return FastRCNNPredictor(old.cls_score.in_features, classes)
    if isinstance(old, MaskRCNNPredictor):
        middle = old.conv5_mask
        return MaskRCNNPredictor(middle.in_channels, middle.out_channels, classes)
    return nn.Conv2d(old.in_channels, classes * config.get("stem", 1) ** 2, 1)


def freeze(module: nn.Module) -> nn.Module:
    """Train none of a module's weights from here on, nor move its batch norm's statistics.

    Works on a model or any part of it: `freeze(model.backbone)`; `freeze(model)` and then
    `unfreeze(head_of(model))` trains the head alone. `requires_grad` is not enough: batch norm in
    training mode would still use each batch's statistics and shift the stored ones. Returns the
    module. Lesson 06.
    """
    unfreeze(module)
    for part in module.modules():
        part.requires_grad_(False)
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.held = part.register_forward_pre_hook(_hold)   # `model.train()` cannot undo it
    return module


def unfreeze(module: nn.Module) -> nn.Module:
    """Train all of a module's weights again; the reverse of `freeze`. Lesson 06."""
    for part in module.modules():
        part.requires_grad_(True)
        if hasattr(part, "held"):
            part.held.remove()
            del part.held
            part.train(module.training)
    return module


def _hold(norm: nn.Module, _) -> None:
    norm.eval()


def parameter_groups(model: nn.Module, lr: float, head_lr: float) -> list[dict]:
    """The trainable weights for an optimizer of torch's, the head at a rate of its own.

    `torch.optim.AdamW(parameter_groups(model, lr=1e-4, head_lr=2e-3))`: what was trained before
    moves slowly, what is new moves fast. Lesson 06.
    """
    head = [p for p in head_of(model).parameters() if p.requires_grad]
    mine = {id(p) for p in head}
    body = [p for p in model.parameters() if p.requires_grad and id(p) not in mine]
    groups = [{"params": body, "lr": lr}, {"params": head, "lr": head_lr}]
    return [group for group in groups if group["params"]]


# torchvision's own weights ----------------------------------------------------------------


# (name, backbone): (torchvision's weights, options with which they were trained).
_SEMANTIC = "COCO_WITH_VOC_LABELS_V1"
PUBLIC = {
    ("fcn", "resnet50"): (f"FCN_ResNet50_Weights.{_SEMANTIC}", {}),
    ("fcn", "resnet101"): (f"FCN_ResNet101_Weights.{_SEMANTIC}", {}),
    ("deeplab", "mobilenet_v3_large"): (f"DeepLabV3_MobileNet_V3_Large_Weights.{_SEMANTIC}",
                                        {"rates": [12, 24, 36]}),
    ("deeplab", "resnet50"): (f"DeepLabV3_ResNet50_Weights.{_SEMANTIC}", {"rates": [12, 24, 36]}),
    ("deeplab", "resnet101"): (f"DeepLabV3_ResNet101_Weights.{_SEMANTIC}",
                               {"rates": [12, 24, 36]}),
    ("lraspp", "mobilenet_v3_large"): (f"LRASPP_MobileNet_V3_Large_Weights.{_SEMANTIC}", {}),
    ("maskrcnn", "resnet50"): ("MaskRCNN_ResNet50_FPN_Weights.COCO_V1", {
        "fpn": 256, "anchors": [32, 64, 128, 256, 512], "proposals": 1000, "rois": 512,
        "box_head": 1024, "mask_head": [256] * 4, "detections": 100, "size": 800, "eps": 0.0}),
}


def published(name: str, backbone: str) -> tuple[str, list[str]]:
    """Where torchvision's weights of a model lie, and the names of their classes."""
    weights = get_weight(PUBLIC[name, backbone][0])
    return weights.url, list(weights.meta["categories"])


def public_file(url: str) -> Path:
    """torchvision's file, from torch's cache or downloaded into it with a bar, and checked.

    The name ends in the first eight digits of the SHA-256, and a file that does not agree is not
    used, wherever it came from. Raises CheckpointError that says what to do, offline too.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[1]
    digits = path.stem.rsplit("-", 1)[1]
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path), hash_prefix=digits)
        except (OSError, urllib.error.URLError, RuntimeError) as error:
            raise CheckpointError(f"{url}: could not be downloaded ({error}); go online once, or "
                                  f"bring the file and put it at {path}") from None
    with open(path, "rb") as file:
        if not hashlib.file_digest(file, "sha256").hexdigest().startswith(digits):
            raise CheckpointError(f"{path}: damaged, or not torchvision's: its SHA-256 does not "
                                  f"begin with {digits}; delete it, and it is downloaded again")
    return path


def _public(name: str, options: dict) -> nn.Module:
    """A model with torchvision's published weights, its classes named."""
    there = [backbone for kind, backbone in PUBLIC if kind == name]
    backbone = options.get("backbone", there[0] if there else None)
    if (name, backbone) not in PUBLIC:
        raise ValueError(f"torchvision has no weights for {name} with backbone {backbone}; it has "
                         f"them for {', '.join(' with '.join(pair) for pair in PUBLIC)}")
    url, names = published(name, backbone)
    path = public_file(url)
    model = _make(name, PUBLIC[name, backbone][1] | options | {"backbone": backbone,
                                                               "classes": names})
    state = torch.load(path, map_location="cpu", weights_only=True)
    weights = {k: v for k, v in state.items() if not k.startswith("aux_classifier.")}
    for key, tensor in model.state_dict().items():           # frozen batch norm counts no batches
        if key.endswith("num_batches_tracked"):
            weights.setdefault(key, tensor)
    load_into(model, weights, path)
    return model


MODELS = {"unet": UNet, "fcn": FCN, "deeplab": DeepLab, "lraspp": LRASPP, "maskrcnn": MaskRCNN}
HEADS = {
    UNet: ("head",), FCN: ("classifier.4",), DeepLab: ("classifier.4",),
    LRASPP: ("classifier.low_classifier", "classifier.high_classifier"),
    MaskRCNN: ("roi_heads.box_predictor", "roi_heads.mask_predictor"),
}
