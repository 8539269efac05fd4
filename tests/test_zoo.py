"""The zoo: oracles are torchvision's own builders, NumPy loops, and `masks`."""

import hashlib
import json
import math
import os
import shutil
import subprocess
import sys
import urllib.error
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torchvision.models import detection, get_model, mobilenet_v3_large, resnet18, resnet50
from torchvision.models import segmentation as tv
from torchvision.models._utils import IntermediateLayerGetter

from segutils import checkpoint, masks, predict, train_command, zoo
from segutils.augment import MEAN, STD, eval_transform
from segutils.checkpoint import CheckpointError, save_weights
from segutils.datasets import Street, loader
from segutils.losses import ce_dice
from segutils.metrics import instance_ap
from segutils.street import write_level
from segutils.train import evaluate, fit, train_one_epoch

SEMANTIC = ("fcn", "deeplab", "lraspp")
SMALL = {"unet": {"width": 8, "depth": 2}, "fcn": {"backbone": "resnet18_layer3"},
         "deeplab": {"backbone": "resnet18_layer3", "width": 16},
         "lraspp": {"backbone": "mobilenet_v3_small"},
         "maskrcnn": {"backbone": "mobilenet_v3_small", "fpn": 16, "box_head": 16,
                      "mask_head": [8, 8]}}
EVERY = [("unet", None), *(
    pytest.param(name, backbone, marks=[pytest.mark.slow] if backbone == "resnet101" else [])
    for name in (*SEMANTIC, "maskrcnn") for backbone in zoo.BACKBONES
    if (name, backbone) != ("maskrcnn", "resnet18_layer2"))]         # three levels, not four


def small(name, **options):
    torch.manual_seed(0)
    return zoo.build(name, **SMALL[name] | options)


def pictures(n=2, height=33, width=47):
    """A batch with two objects a picture: pictures, masks, instances."""
    torch.manual_seed(1)
    instances = torch.zeros(n, height, width, dtype=torch.int64)
    instances[:, 4:18, 5:12], instances[:, 15:28, 20:41] = 1001, 2001
    return torch.randn(n, 3, height, width), instances // 1000, instances


def step(model, batch, lr=0.01):
    """One training step; returns the loss."""
    image, mask, _ = batch
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr)
    model.train()
    loss = (sum(model(*batch).values()) if isinstance(model, zoo.MaskRCNN)
            else ce_dice(model(image), mask))
    loss.backward()
    optimizer.step()
    return loss.item()


def outputs(model, image):
    """What a model returns in eval mode, as a flat list of tensors."""
    with torch.inference_mode():
        out = model.eval()(image)
    return [out] if isinstance(out, torch.Tensor) else [v for found in out for v in found.values()]


def assert_same_outputs(one, other, image, **tolerance):
    for a, b in zip(outputs(one, image), outputs(other, image), strict=True):
        torch.testing.assert_close(a, b, **tolerance)


def state(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


# -- every name and backbone


@pytest.mark.parametrize(("name", "backbone"), EVERY)
def test_every_model_trains_saves_and_loads(name, backbone, tmp_path):
    """Odd sizes; a batch of one; forward, backward, a step; and back from a file."""
    torch.manual_seed(0)
    model = zoo.build(name, backbone, ("background", "person", "car"))
    for n in (2, 1):
        batch = pictures(n)
        before = state(model)
        assert math.isfinite(step(model, batch))
        trained = [p for p in model.parameters() if p.grad is not None]
        assert len(trained) == len(list(model.parameters()))
        assert all(p.grad.isfinite().all() for p in trained)
        assert any(not torch.equal(before[k], v) for k, v in model.state_dict().items())
    if name == "maskrcnn":
        assert {*outputs_keys(model, batch[0])} == {"boxes", "labels", "scores", "masks"}
    else:
        logits, = outputs(model, batch[0])
        assert logits.shape == (1, 3, 33, 47) and logits.dtype == torch.float32
        assert logits.isfinite().all()
    path = tmp_path / "model.safetensors"
    save_weights(path, model, zoo.metadata(model))
    again = zoo.load(path)
    assert type(again) is type(model) and again.config == model.config and not again.training
    assert_same_outputs(model, again, batch[0], rtol=0, atol=0)


def outputs_keys(model, image):
    with torch.inference_mode():
        return model.eval()(image)[0]


@pytest.mark.parametrize("name", zoo.MODELS)
@pytest.mark.parametrize("classes", [2, 5])
def test_classes_are_counted_with_background(name, classes):
    model = small(name, classes=classes)
    if name == "maskrcnn":
        assert model.roi_heads.box_predictor.cls_score.out_features == classes
        assert model.roi_heads.mask_predictor.mask_fcn_logits.out_channels == classes
    else:
        assert outputs(model, pictures()[0])[0].shape[1] == classes


@pytest.mark.parametrize(("arguments", "text"), [
    (dict(name="segnet"), "'segnet' is not one of unet, fcn, deeplab, lraspp, maskrcnn"),
    (dict(name="fcn", backbone="vgg"), "backbone 'vgg' is not one of resnet18, "),
    (dict(name="unet", backbone="resnet18"), "the U-Net has no backbone"),
    (dict(name="fcn", output_stride=5), "output_stride=5 is not one of 4, 8, 16, 32"),
    (dict(name="fcn", rates=(1, 2)), "fcn has no option 'rates'"),
    (dict(name="fcn", classes=1), "classes=1: give a number from 2 on"),
    (dict(name="unet", classes="car"), "classes='car'"),
    (dict(name="maskrcnn", anchors=(8, 16)), "2 anchors for the 4 stages of resnet18: give 4, or"),
    (dict(name="lraspp", backbone="resnet18", weights="coco"), "no weights for lraspp with"),
    (dict(name="unet", weights="coco"), "no weights for unet"),
])
def test_wrong_arguments_get_one_line(arguments, text):
    with pytest.raises(ValueError, match=text) as error:
        zoo.build(**arguments)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", [*SEMANTIC, "maskrcnn"])
@pytest.mark.parametrize("image", [torch.zeros(3, 40, 40), torch.zeros(1, 4, 40, 40),
                                   torch.zeros(1, 3, 40, 40, dtype=torch.uint8)])
def test_other_pictures_are_refused(name, image):
    with pytest.raises(ValueError, match=r"wanted normalised pictures \(B, 3, H, W\) float"):
        small(name).eval()(image)


# -- the same as torchvision's


TORCHVISIONS = [
    ("fcn", "resnet50", tv.fcn_resnet50, {}),
    ("deeplab", "resnet50", tv.deeplabv3_resnet50, {"rates": (12, 24, 36)}),
    ("deeplab", "mobilenet_v3_large", tv.deeplabv3_mobilenet_v3_large, {"rates": (12, 24, 36)}),
    ("lraspp", "mobilenet_v3_large", tv.lraspp_mobilenet_v3_large, {}),
    pytest.param("fcn", "resnet101", tv.fcn_resnet101, {}, marks=pytest.mark.slow),
    pytest.param("deeplab", "resnet101", tv.deeplabv3_resnet101, {"rates": (12, 24, 36)},
                 marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("name", "backbone", "builder", "options"), TORCHVISIONS)
def test_a_semantic_model_is_torchvisions(name, backbone, builder, options):
    """Same parameters, same names, and with the same weights the same logits."""
    theirs = builder(weights=None, weights_backbone=None, num_classes=7).eval()
    ours = zoo.build(name, backbone, 7, **options).eval()
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())
    ours.load_state_dict(theirs.state_dict())
    image = pictures(2, 65, 97)[0]
    with torch.inference_mode():
        torch.testing.assert_close(ours(image), theirs(image)["out"])


FULL = {k: v for k, v in zoo.PUBLIC["maskrcnn", "resnet50"][1].items() if k not in ("size", "eps")}


def spread_scores(model):
    """Make an untrained detector sure of some things, or it finds nothing."""
    with torch.no_grad():
        model.roi_heads.box_predictor.cls_score.weight.mul_(300)


def test_mask_rcnn_is_torchvisions():
    theirs = detection.maskrcnn_resnet50_fpn(
        weights=None, weights_backbone=None, num_classes=5, min_size=96, max_size=160,
        rpn_pre_nms_top_n_test=100, rpn_post_nms_top_n_test=100).eval()
    spread_scores(theirs)
    ours = zoo.build("maskrcnn", "resnet50", 5, **FULL | {"proposals": 100}, size=96)
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())
    ours.load_state_dict(theirs.state_dict())
    image = torch.rand(1, 3, 64, 80)
    normalised = (image - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    with torch.inference_mode():
        found, = theirs(list(image))
        mine, = ours.eval()(normalised)
    assert len(found["labels"]) > 3
    for key, value in found.items():
        torch.testing.assert_close(mine[key], value, rtol=1e-3, atol=1e-3)


def test_parameters_of_a_cut_backbone():
    full, cut = (zoo.build("fcn", name) for name in ("resnet18", "resnet18_layer3"))
    saved = sum(p.numel() for p in full.backbone["layer4"].parameters())
    head = 9 * 512 * 128 + 128 * 2 + 128 * 3 + 3, 9 * 256 * 64 + 64 * 2 + 64 * 3 + 3
    numbers = [sum(p.numel() for p in model.parameters()) for model in (full, cut)]
    assert numbers[0] - numbers[1] == saved + head[0] - head[1]
    assert numbers[1] * 2 < 6e6                                 # bytes of a file in fp16


def test_mask_rcnn_on_the_shortest_backbone_has_three_levels():
    with pytest.raises(ValueError, match="anchors"):
        zoo.build("maskrcnn", "resnet18_layer2")
    model = zoo.build("maskrcnn", "resnet18_layer2", anchors=[10, 20, 40])
    with torch.inference_mode():
        maps = model.backbone(torch.zeros(1, 3, 64, 64)).values()
    assert [m.shape[-1] for m in maps] == [16, 8, 4]


def test_lraspp_on_the_shortest_backbone_takes_the_only_earlier_map():
    body = zoo.build("lraspp", "resnet18_layer2").eval().backbone
    with torch.inference_mode():
        maps = body(torch.zeros(1, 3, 64, 64))
    assert {name: tuple(x.shape[1:]) for name, x in maps.items()} == {
        "low": (64, 16, 16), "high": (128, 8, 8)}


# -- atrous convolution in the place of strides


def maps_of(net, layer, image):
    with torch.inference_mode():
        return IntermediateLayerGetter(net.eval(), {layer: "out"})(image)["out"]


@pytest.mark.parametrize("builder", [resnet18, resnet50])
@pytest.mark.parametrize(("stride", "every"), [(16, 2), (8, 4), (4, 8)])
def test_every_second_pixel_is_what_the_strided_network_gives(builder, stride, every):
    torch.manual_seed(0)
    plain, held = builder(weights=None), builder(weights=None)
    held.load_state_dict(plain.state_dict())
    zoo.hold_stride(held, stride)
    image = torch.randn(1, 3, 64, 96)
    strided, dense = (maps_of(net, "layer4", image) for net in (plain, held))
    assert dense.shape[-2:] == (64 // stride, 96 // stride)
    torch.testing.assert_close(dense[..., ::every, ::every], strided, rtol=1e-3, atol=1e-3)


def test_a_stride_of_32_changes_nothing():
    plain, held = resnet18(weights=None), resnet18(weights=None)
    zoo.hold_stride(held, 32)
    assert str(plain) == str(held)


def test_dilations_are_torchvisions():
    held = resnet50(weights=None)
    zoo.hold_stride(held, 8)
    assert str(held) == str(resnet50(replace_stride_with_dilation=[False, True, True]))
    held = mobilenet_v3_large(weights=None).features
    zoo.hold_stride(held, 16, spread_at_once=True)
    theirs = mobilenet_v3_large(weights=None, dilated=True).features
    assert [(m.stride, m.dilation, m.padding) for m in held.modules() if isinstance(m, nn.Conv2d)] \
        == [(m.stride, m.dilation, m.padding) for m in theirs.modules() if isinstance(m, nn.Conv2d)]


@pytest.mark.parametrize("backbone", zoo.BACKBONES)
@pytest.mark.parametrize("stride", [4, 8, 16, 32])
def test_the_output_stride_is_what_it_says(backbone, stride):
    model = zoo.build("fcn", backbone, output_stride=stride).eval()
    last = {"resnet18_layer2": 8, "resnet18_layer3": 16}.get(backbone, 32)    # it has no more
    with torch.inference_mode():
        assert model.backbone(torch.zeros(1, 3, 64, 64))["out"].shape[-1] == 64 // min(stride, last)


# -- DeepLab and one picture


def test_deeplab_trains_on_a_last_batch_of_one():
    model, (image, mask, _) = small("deeplab"), pictures(5)
    batches = list(zip(image.split(2), mask.split(2), strict=True))
    assert len(batches[-1][0]) == 1
    assert math.isfinite(train_one_epoch(model, batches, ce_dice,
                                         torch.optim.SGD(model.parameters(), 0.01)))
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):   # torchvision
        tv.deeplabv3_mobilenet_v3_large(weights=None, weights_backbone=None)(image[:1])


def test_the_pooled_branch_alone_is_special():
    """Of one picture: (0 + bias) with the running statistics by hand; of two: batch norm."""
    norm, plain = zoo.PooledNorm(2), nn.BatchNorm2d(2)
    for layer in (norm, plain):
        layer.running_mean.copy_(torch.tensor([1.0, -1.0]))
        layer.running_var.copy_(torch.tensor([4.0, 0.25]))
    one = norm(torch.tensor([3.0, 1.0]).view(1, 2, 1, 1))
    torch.testing.assert_close(one.flatten(), torch.tensor([1.0, 4.0]), rtol=1e-4, atol=1e-4)
    assert norm.running_mean.tolist() == [1, -1] and norm.num_batches_tracked == 0
    for x in (torch.randn(2, 2, 1, 1), torch.randn(1, 2, 3, 3)):
        torch.testing.assert_close(norm(x), plain(x))
    torch.testing.assert_close(norm.running_var, plain.running_var)


@pytest.mark.parametrize("name", ["fcn", "deeplab", "maskrcnn"])
def test_one_picture_of_one_cell_is_refused_with_a_cure(name):
    options = {} if name == "maskrcnn" else {"output_stride": 32}
    model, batch = zoo.build(name, "resnet18", **options), pictures(2, 32, 32)
    with pytest.raises(ValueError, match=r"one picture of \(32, 32\) .*; train on two") as error:
        step(model, [x[:1] for x in batch])
    assert "\n" not in str(error.value)
    assert math.isfinite(step(model, batch))


# -- targets


@st.composite
def instance_maps(draw):
    """A map of up to five objects that hide one another, and a mask with void on them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    instances = np.zeros((12, 15), np.int64)
    for k in range(draw(st.integers(0, 5))):
        y, x = rng.integers(0, 11), rng.integers(0, 14)
        instances[y:y + rng.integers(1, 8), x:x + rng.integers(1, 8)] = rng.integers(1, 3) * 1000 \
            + k + 1
    mask = (instances // 1000).astype(np.uint8)
    mask[rng.random(mask.shape) < draw(st.sampled_from([0.0, 0.3, 0.9]))] = 255
    return instances, mask


@settings(max_examples=80, deadline=None)
@given(instance_maps())
def test_targets_against_a_loop(maps):
    instances, mask = maps
    target = zoo.instance_targets(torch.from_numpy(instances), torch.from_numpy(mask))
    expected = []
    for ident in sorted({*instances.ravel().tolist()} - {0}):
        spots = [(y, x) for y, x in np.ndindex(instances.shape) if instances[y, x] == ident]
        if all(mask[spot] == 255 for spot in spots):
            continue                                             # too small to name
        ys, xs = zip(*spots, strict=True)
        expected.append((ident // 1000, (min(xs), min(ys), max(xs) + 1, max(ys) + 1), {*spots}))
    assert target["labels"].tolist() == [label for label, _, _ in expected]
    assert target["labels"].dtype == torch.int64 and target["masks"].dtype == torch.uint8
    assert target["boxes"].shape == (len(expected), 4) and target["boxes"].dtype == torch.float32
    assert [tuple(box) for box in target["boxes"].tolist()] == [box for _, box, _ in expected]
    assert target["masks"].shape == (len(expected), 12, 15)
    for found, (_, _, spots) in zip(target["masks"].numpy(), expected, strict=True):
        assert {*map(tuple, np.argwhere(found).tolist())} == spots
    checked, dropped = zoo.check_targets([target], mask.shape, 3)
    assert dropped == 0 and torch.equal(checked[0]["boxes"], target["boxes"])


def test_targets_are_those_of_masks():
    """Without a mask nothing is void: as `split_instances` and `boxes_from_masks`."""
    _, _, instances = pictures(1)
    ids, labels, split = masks.split_instances(instances[0].numpy().astype(np.uint16))
    target = zoo.instance_targets(instances[0])
    assert target["labels"].tolist() == labels.tolist() == [1, 2] and len(ids) == 2
    assert np.array_equal(target["masks"].numpy().astype(bool), split)
    assert np.array_equal(target["boxes"].numpy(), masks.boxes_from_masks(split))


def test_without_objects_there_are_zero_boxes():
    target = zoo.instance_targets(torch.zeros(5, 7, dtype=torch.int64))
    assert [tuple(target[name].shape) for name in ("boxes", "labels", "masks")] == [
        (0, 4), (0,), (0, 5, 7)]


def test_objects_wholly_under_void_are_no_targets_and_a_crowd_for_ap():
    """The prediction on the void object, and its absence, leave the AP as it is."""
    instances = torch.zeros(16, 16, dtype=torch.int64)
    instances[1:9, 1:7], instances[12:15, 10:13] = 1001, 1002
    mask = instances // 1000
    mask[12:15, 10:13] = mask[1, 1:7] = 255
    assert zoo.instance_targets(instances, mask)["labels"].tolist() == [1]
    target = zoo.instance_targets(instances, mask, void="crowd")
    assert target["iscrowd"].tolist() == [0, 1] and len(target["boxes"]) == 2
    both = {"masks": target["masks"].bool(), "labels": target["labels"],
            "scores": torch.tensor([0.8, 0.9])}
    one = {name: value[:1] for name, value in both.items()}
    assert instance_ap([both], [target])["ap"] == instance_ap([one], [target])["ap"] == 1
    none = {name: value[:0] for name, value in both.items()}
    crowd = {name: value[1:] for name, value in target.items()}
    assert instance_ap([none], [target])["ap"] == 0
    assert math.isnan(instance_ap([none], [crowd])["ap"])
    assert math.isnan(instance_ap([one], [crowd])["ap"])
    dropped = zoo.instance_targets(instances, mask)
    assert instance_ap([both], [dropped])["ap"] == pytest.approx(0.5)    # a false alarm, it says


@pytest.mark.parametrize(("instances", "mask", "text"), [
    ([[0, 7]], None, "class . 1000 . k"),
    ([[0, 1000]], None, "class . 1000 . k"),
    ([[0, 1001]], [[0, 2]], "different classes"),
    ([[0, 1001]], [[0, 1], [0, 0]], "differ"),
])
def test_other_instance_maps_are_refused(instances, mask, text):
    mask = None if mask is None else torch.tensor(mask)
    with pytest.raises(ValueError, match=text):
        zoo.instance_targets(torch.tensor(instances), mask)


def sound():
    """A sound target of two objects in a picture of 20 x 30."""
    boxes = torch.tensor([[2.0, 3, 9, 12], [15, 0, 30, 20]])
    masks_ = torch.zeros(2, 20, 30, dtype=torch.uint8)
    masks_[0, 3:12, 2:9] = masks_[1, :, 15:] = 1
    return {"boxes": boxes, "labels": torch.tensor([1, 2]), "masks": masks_}


def with_box(*box):
    target = sound()
    target["boxes"][0] = torch.tensor(box)
    return target


def with_label(label):
    return sound() | {"labels": torch.tensor([label, 2])}


@pytest.mark.parametrize(("target", "text"), [
    (with_label(0), r"labels \[0, 2\]: wanted 1 to 2, for 0 is background"),
    (with_label(3), r"labels \[2, 3\]"),
    (sound() | {"masks": torch.zeros(2, 20, 31, dtype=torch.uint8)}, r"masks of shape \(2, 20, 31"),
    (sound() | {"masks": torch.zeros(2, 30, 20, dtype=torch.uint8)}, r"wanted \(2, 20, 30\)"),
    (sound() | {"masks": sound()["masks"] * 255}, "values up to 255: wanted 0 and 1; is 255 void"),
    (with_box(-1, 3, 9, 12), "boxes outside of its 30 x 20 pixels"),
    (with_box(2, 3, 9, 20.5), "boxes outside"),
    (with_box(2, 3, 31, 12), "boxes outside"),
    (with_box(2, math.nan, 9, 12), "boxes outside"),
    (with_box(9, 3, 2, 12), "end before they begin"),
    (sound() | {"boxes": torch.zeros(0)}, r"wanted \(N, 4\) float"),
    (sound() | {"boxes": torch.zeros(2, 4, dtype=torch.int64)}, r"int64 boxes"),
    (sound() | {"labels": torch.tensor([1.0, 2.0])}, r"wanted \(N,\) int64"),
    ({"labels": torch.tensor([1])}, "has no boxes, masks"),
])
def test_targets_that_torchvision_would_take_are_refused(target, text):
    with pytest.raises(ValueError, match=text) as error:
        zoo.check_targets([sound(), target], (20, 30), 3)
    assert "picture 1 in the batch" in str(error.value) and "\n" not in str(error.value)
    model = small("maskrcnn").train()
    with pytest.raises(ValueError, match=text):
        model(torch.zeros(2, 3, 20, 30), [sound(), target])


def test_degenerate_boxes_are_dropped_and_counted():
    flat = with_box(2, 3, 2, 12)
    checked, dropped = zoo.check_targets([sound(), flat], (20, 30), ("background", "a", "b"))
    assert dropped == 1 and [len(target["boxes"]) for target in checked] == [2, 1]
    assert torch.equal(checked[1]["masks"], flat["masks"][1:])
    assert checked[1]["labels"].tolist() == [2] and len(flat["boxes"]) == 2
    model = small("maskrcnn").train()
    model(torch.zeros(2, 3, 20, 30), [flat, flat])
    model(torch.zeros(2, 3, 20, 30), [flat, sound()])
    assert model.dropped == 3


# -- Mask R-CNN


def test_mask_rcnn_sees_pictures_as_they_are(monkeypatch):
    """Neither normalised again nor resized: the backbone gets the very pixels, padded to 32."""
    model, image, seen = small("maskrcnn").eval(), pictures(2, 33, 47)[0], []
    model.backbone.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    model(image)
    assert seen[0].shape == (2, 3, 64, 64)
    assert torch.equal(seen[0][..., :33, :47], image) and not seen[0][..., 33:, :].any()


def test_mask_rcnn_can_be_told_to_resize():
    model, seen = small("maskrcnn", size=64).eval(), []
    model.backbone.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    found, = model(pictures(1, 32, 40)[0])
    assert seen[0].shape == (1, 3, 64, 96) and found["masks"].shape[-2:] == (32, 40)


def test_mask_rcnn_trains_without_any_object():
    image, mask, instances = pictures()
    losses = small("maskrcnn").train()(image, torch.zeros_like(mask), torch.zeros_like(instances))
    assert all(value.isfinite() for value in losses.values())
    sum(losses.values()).backward()


def test_mask_rcnn_says_what_it_trains_on():
    image, mask, instances = pictures()
    model = small("maskrcnn").train()
    with pytest.raises(ValueError, match="trains on instances: .*instances=True; or call eval"):
        model(image)
    with pytest.raises(ValueError, match="trains on instances"):
        model(image, mask)
    with pytest.raises(ValueError, match="2 pictures, but targets for 1"):
        model(image, [zoo.instance_targets(instances[0])])


def test_both_kinds_of_targets_are_one():
    image, mask, instances = pictures()
    targets = [zoo.instance_targets(*maps) for maps in zip(instances, mask, strict=True)]
    found = []
    for arguments in ((mask, instances), (targets,)):
        model = small("maskrcnn").train()
        torch.manual_seed(3)
        found.append(model(image, *arguments))
    assert found[0].keys() == found[1].keys() and len(found[0]) == 5
    for name, value in found[0].items():
        assert torch.equal(value, found[1][name]), name


def test_anchors_stay_exact_in_half_precision():
    """In bf16, numbers from 256 on come in steps of 2: the pyramid is float32 for that."""
    model, seen = small("maskrcnn", proposals=50).eval(), []
    model.rpn.anchor_generator.register_forward_hook(lambda _, x, out: seen.append(out[0]))
    image = torch.zeros(1, 3, 32, 320)
    with torch.inference_mode():
        model(image)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            model(image)
    assert torch.equal(seen[0], seen[1]) and seen[1].dtype == torch.float32


# -- files


def saved(path, name="fcn", **options):
    model = small(name, **options)
    save_weights(path, model, zoo.metadata(model))
    return model


def test_half_precision_loads_as_float32(tmp_path):
    model, path = small("deeplab"), tmp_path / "half.safetensors"
    save_weights(path, model, zoo.metadata(model), torch.float16)
    again = zoo.load(path)
    for name, tensor in model.state_dict().items():
        assert again.state_dict()[name].dtype == tensor.dtype
        torch.testing.assert_close(again.state_dict()[name], tensor, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("where", ["length", "metadata", "names", "weights", "end"])
def test_a_flipped_bit_is_refused_by_name(tmp_path, where):
    path = tmp_path / "fcn.safetensors"
    saved(path)
    data = bytearray(path.read_bytes())
    header = int.from_bytes(data[:8], "little")
    at = {"length": 1, "metadata": data.find(b"resnet18"), "names": data.find(b"conv1"),
          "weights": 8 + header + 1000, "end": len(data) - 1}[where]
    data[at] ^= 4
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="fcn.safetensors: .*(damaged|checksum)") as error:
        zoo.load(path)
    assert "\n" not in str(error.value)


def test_a_wrong_file_is_refused_by_name(tmp_path):
    path = tmp_path / "wrong.safetensors"
    for about in ({}, {"model": "SegNet", "config": "{}"}, {"model": "FCN"},
                  {"model": "FCN", "config": '{"backbone": "vgg"}'},
                  {"model": "FCN", "config": '{"depth": 3}'}, {"model": "FCN", "config": "3"}):
        save_weights(path, small("fcn"), about)
        with pytest.raises(CheckpointError, match="wrong.safetensors: does not say which model"):
            zoo.load(path)
    save_weights(path, small("fcn"), zoo.metadata(small("fcn", classes=4)))
    with pytest.raises(CheckpointError, match="wrong.safetensors: does not fit this FCN: class"):
        zoo.load(path)
    path.write_bytes(b"GIF89a" * 100)
    with pytest.raises(CheckpointError, match="wrong.safetensors: not a safetensors file"):
        zoo.load(path)
    with pytest.raises(CheckpointError, match="none.safetensors: cannot be read"):
        zoo.build("fcn", weights=tmp_path / "none.safetensors")


def test_building_from_a_file(tmp_path):
    path = tmp_path / "model.safetensors"
    for name in zoo.MODELS:
        model = saved(path, name, classes=4)
        again = zoo.build(name, weights=path)
        assert again.config == model.config and not again.training
        assert_same_outputs(model, again, pictures()[0], rtol=0, atol=0)
        zoo.build(name, classes=4, weights=path, **SMALL[name])
    with pytest.raises(ValueError, match="model.safetensors: holds a MaskRCNN, not a FCN"):
        zoo.build("fcn", weights=path)
    saved(path, "fcn")
    with pytest.raises(ValueError, match="backbone is 'resnet18_layer3', not 'resnet50'"):
        zoo.build("fcn", "resnet50", weights=path)


def test_classes_of_a_file_and_others(tmp_path):
    path, names = tmp_path / "model.safetensors", ["background", "person", "car"]
    model = saved(path, "fcn", classes=names)
    for same in (None, 3, names, tuple(names)):
        again = zoo.build("fcn", classes=same, weights=path)
        assert torch.equal(again.classifier[4].weight, model.classifier[4].weight)
        assert again.config["classes"] == names
    for other in (4, ["background", "bus", "tram"]):
        again = zoo.build("fcn", classes=other, weights=path)
        assert not torch.equal(again.classifier[4].weight[:3], model.classifier[4].weight)
        assert torch.equal(again.classifier[0].weight, model.classifier[0].weight)
        assert again.config["classes"] == other


# -- heads, freezing


@pytest.mark.parametrize("name", zoo.MODELS)
def test_a_new_head_and_nothing_else(name, tmp_path):
    model = small(name)
    before, parts = state(model), {id(p) for p in zoo.head_of(model).parameters()}
    inside = [n for n, p in model.named_parameters() if id(p) in parts]
    assert inside and zoo.new_head(model, 6) is model
    for key, tensor in model.state_dict().items():
        if key not in inside:
            assert torch.equal(tensor, before[key]), key
    assert math.isfinite(step(model, pictures()))
    path = tmp_path / "new.safetensors"
    save_weights(path, model, zoo.metadata(model))
    again = zoo.load(path)
    assert again.config["classes"] == 6
    if name != "maskrcnn":
        assert outputs(again, pictures()[0])[0].shape[1] == 6


def test_a_new_head_of_a_u_net_with_a_stem():
    model = zoo.new_head(zoo.build("unet", width=8, depth=1, stem=4), ("a", "b"))
    assert outputs(model, pictures()[0])[0].shape == (2, 2, 33, 47)
    assert model.config["classes"] == 2


@pytest.mark.parametrize("name", zoo.MODELS)
def test_a_frozen_model_trains_its_head_alone(name):
    """Not a weight moves, nor a statistic of batch norm, and none of the batch is used."""
    model = zoo.freeze(small(name))
    zoo.unfreeze(zoo.head_of(model))
    before, parts = state(model), {id(p) for p in zoo.head_of(model).parameters()}
    inside = {n for n, p in model.named_parameters() if id(p) in parts}
    for _ in range(2):
        step(model, pictures(), lr=0.1)
    moved = {key for key, tensor in model.state_dict().items()
             if not torch.equal(tensor, before[key])}
    assert moved <= inside and len(moved) >= 2


def test_requires_grad_alone_does_not_freeze_batch_norm():
    """What `freeze` is for: the oracle is the same without it."""
    model = small("fcn")
    model.backbone.requires_grad_(False)
    before = model.backbone.bn1.running_mean.clone()
    step(model, pictures())
    assert not torch.equal(model.backbone.bn1.running_mean, before)


def test_frozen_batch_norm_uses_its_statistics_and_can_be_let_go():
    model, image = small("fcn"), pictures()[0]
    zoo.freeze(model.backbone)
    model.train()
    features = model.backbone(image)["out"]
    assert torch.equal(features, model.eval().backbone(image)["out"])
    zoo.freeze(zoo.freeze(model))                                     # twice is once
    zoo.unfreeze(model.train())
    step(model, pictures())
    assert model.backbone.bn1.num_batches_tracked == 1
    assert all(p.requires_grad for p in model.parameters())
    assert not any(m._forward_pre_hooks for m in model.modules())


@pytest.mark.parametrize("name", zoo.MODELS)
def test_two_rates(name):
    """Every weight once, and a step of plain SGD moves each by its own rate."""
    model = small(name)
    groups = zoo.parameter_groups(model, lr=0.0, head_lr=0.1)
    numbers = [sum(p.numel() for p in group["params"]) for group in groups]
    assert sum(numbers) == sum(p.numel() for p in model.parameters())
    assert numbers[1] == sum(p.numel() for p in zoo.head_of(model).parameters())
    before = [[p.clone() for p in group["params"]] for group in groups]
    optimizer = torch.optim.SGD(groups)
    image, mask, instances = pictures()
    model.train()
    loss = (sum(model(image, mask, instances).values()) if name == "maskrcnn"
            else ce_dice(model(image), mask))
    loss.backward()
    optimizer.step()
    moved = [any(not torch.equal(a, b) for a, b in zip(group["params"], old, strict=True))
             for group, old in zip(groups, before, strict=True)]
    assert moved == [False, True]
    zoo.freeze(model)
    zoo.unfreeze(zoo.head_of(model))
    assert len(zoo.parameter_groups(model, 0.1, 0.1)) == 1


# -- torchvision's own weights, without a network


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A cache of torch's of one's own, and no way to download."""
    def offline(*_, **__):
        raise urllib.error.URLError("Network is unreachable")

    old = torch.hub.get_dir()
    torch.hub.set_dir(str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    yield tmp_path / "checkpoints"
    torch.hub.set_dir(old)


def publish(monkeypatch, hub, name, backbone, weights):
    """Put weights into the cache as if torchvision had published these."""
    hub.mkdir(exist_ok=True)
    url, names = zoo.published(name, backbone)
    old = url.rsplit("/", 1)[1]
    torch.save(weights, hub / old)                       # where torchvision's builder looks
    digest = hashlib.sha256((hub / old).read_bytes()).hexdigest()[:8]
    new = f"{old.rsplit('-', 1)[0]}-{digest}.pth"
    shutil.copy(hub / old, hub / new)
    monkeypatch.setattr(zoo, "published",
                        lambda *_: (f"https://example.org/models/{new}", names))
    return hub / new


@pytest.mark.parametrize(("name", "backbone", "builder", "weights"), [
    ("lraspp", None, tv.lraspp_mobilenet_v3_large, tv.LRASPP_MobileNet_V3_Large_Weights.DEFAULT),
    ("deeplab", None, tv.deeplabv3_mobilenet_v3_large,
     tv.DeepLabV3_MobileNet_V3_Large_Weights.DEFAULT),
    ("fcn", "resnet50", tv.fcn_resnet50, tv.FCN_ResNet50_Weights.DEFAULT),
])
def test_public_weights_of_a_semantic_model(hub, monkeypatch, name, backbone, builder, weights):
    """From a file in the cache, as torchvision itself reads it, its auxiliary head left out."""
    torch.manual_seed(0)
    theirs = builder(weights=None, weights_backbone=None, num_classes=21,
                     **({} if name == "lraspp" else {"aux_loss": True}))
    publish(monkeypatch, hub, name, backbone or "mobilenet_v3_large", theirs.state_dict())
    ours = zoo.build(name, backbone, weights="coco")
    assert ours.config["classes"][:2] == ["__background__", "aeroplane"] and not ours.training
    image = pictures(1, 65, 97)[0]
    with torch.inference_mode():
        expected = builder(weights=weights).eval()(image)["out"]
        torch.testing.assert_close(ours(image), expected)
        assert zoo.build(name, backbone, 3, "public")(image).shape == (1, 3, 65, 97)


def test_public_weights_of_mask_rcnn(hub, monkeypatch):
    """torchvision reads the same file with frozen batch norm, whose file counts no batches."""
    torch.manual_seed(0)
    theirs = detection.maskrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    spread_scores(theirs)
    weights = {k: v for k, v in theirs.state_dict().items() if "num_batches" not in k}
    publish(monkeypatch, hub, "maskrcnn", "resnet50", weights)
    fewer = {"size": 96, "proposals": 100}
    ours = zoo.build("maskrcnn", weights="coco", **fewer)
    assert ours.config["classes"][1] == "person" and len(ours.config["classes"]) == 91
    theirs = detection.maskrcnn_resnet50_fpn(
        weights=detection.MaskRCNN_ResNet50_FPN_Weights.COCO_V1, min_size=96, max_size=160,
        rpn_pre_nms_top_n_test=100, rpn_post_nms_top_n_test=100).eval()
    image = torch.rand(1, 3, 64, 80)
    normalised = (image - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    with torch.inference_mode():
        found, = theirs(list(image))
        mine, = ours(normalised)
    assert len(found["labels"]) > 3
    for key, value in found.items():
        torch.testing.assert_close(mine[key], value, rtol=1e-3, atol=1e-3)
    prediction = predict.predict(ours, normalised)
    assert prediction.probabilities.shape == (91, 64, 80)


def test_offline_one_line_says_what_to_do(hub):
    for name in (*SEMANTIC, "maskrcnn"):
        with pytest.raises(CheckpointError, match="could not be downloaded .*unreachable.*; go "
                                                  "online once, or bring the file") as error:
            zoo.build(name, weights="coco")
        assert str(hub) in str(error.value) and "\n" not in str(error.value)


def test_a_file_in_the_cache_that_is_not_torchvisions_is_refused(hub, monkeypatch):
    path = publish(monkeypatch, hub, "lraspp", "mobilenet_v3_large", {"weight": torch.zeros(3)})
    with pytest.raises(CheckpointError, match=r"\.pth: does not fit this LRASPP"):
        zoo.build("lraspp", weights="coco")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"\.pth: damaged, or not torchvision's") as error:
        zoo.build("lraspp", weights="coco")
    assert "\n" not in str(error.value)


def test_a_download_goes_into_the_cache_and_is_checked(hub, monkeypatch):
    """torch's own download, from a file: URL instead of the network."""
    monkeypatch.undo()
    torch.hub.set_dir(str(hub.parent / "another"))
    hub.mkdir()
    model = tv.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=21)
    path = publish(monkeypatch, hub, "lraspp", "mobilenet_v3_large", model.state_dict())
    monkeypatch.setattr(zoo, "published", lambda *_: (path.as_uri(), [str(c) for c in range(21)]))
    ours = zoo.build("lraspp", weights="coco")
    for name, tensor in model.state_dict().items():
        assert torch.equal(ours.state_dict()[name], tensor), name
    cached = Path(torch.hub.get_dir()) / "checkpoints" / path.name
    assert cached.read_bytes() == path.read_bytes()
    cached.unlink()
    path.write_bytes(b"something else")
    with pytest.raises(CheckpointError, match="could not be downloaded .invalid hash value"):
        zoo.build("lraspp", weights="coco")
    assert not cached.exists()


def test_every_public_weight_is_known_to_torchvision():
    for (name, backbone), (_, options) in zoo.PUBLIC.items():
        url, names = zoo.published(name, backbone)
        assert url.startswith("https://download.pytorch.org/models/")
        assert len(url.removesuffix(".pth").rsplit("-", 1)[1]) == 8
        assert len(names) == (91 if name == "maskrcnn" else 21)
        assert json.dumps(options)


# -- through fit


@pytest.fixture(scope="module")
def street(tmp_path_factory):
    root = tmp_path_factory.mktemp("street")
    for level in ("plain", "full"):
        write_level(root / level, level, {"train": 8, "val": 4, "test": 1}, 64, 0, 90)
    return root


def loaders(street, n=4):
    """Of plain scenes with their instances: training, which shuffles, and validation."""
    training = Street("train", "plain", street, eval_transform(), instances=True)
    val = Street("val", "plain", street, eval_transform(), instances=True)
    return loader(training, n, shuffle=True), loader(val, n)


def quick(model, street, **options):
    training, val = loaders(street)
    loss = None if isinstance(model, zoo.MaskRCNN) else ce_dice
    options = {"amp": False, "device": "cpu", "progress": False, "classes": Street.classes,
               "schedule": "constant", "steps": 4} | options
    return fit(model, training, val, loss, **options)


@pytest.mark.parametrize("name", zoo.MODELS)
def test_fit_trains_every_model_and_its_files_load(name, street, tmp_path):
    model = small(name, classes=Street.classes)
    history = quick(model, street, out=tmp_path, every=2)
    assert len(history.rows) == 2 and all(map(math.isfinite, history.losses))
    again = zoo.load(tmp_path / "last.safetensors")
    assert again.config == model.config
    for key, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[key], tensor), key
    matrix = evaluate(model, loaders(street)[1], Street.classes)
    assert history.rows[-1]["miou"] == pytest.approx(matrix.miou(), nan_ok=True)
    assert math.isnan(history.rows[-1]["val_loss"]) == (name == "maskrcnn")
    zoo.load(tmp_path / "best.safetensors")


def test_mask_rcnn_takes_the_steps_of_a_loop_by_hand(street):
    """AdamW on the sum of torchvision's losses; the seed of each step as `fit` documents it."""
    model, by_hand = small("maskrcnn"), small("maskrcnn")
    losses = quick(model, street, seed=5, channels_last=False).losses
    optimizer = torch.optim.AdamW(by_hand.parameters(), lr=2e-3, fused=True)
    training, _ = loaders(street)
    expected, number = [], 0
    for _ in range(2):
        for image, mask, instances in training:
            torch.manual_seed(5 * 1_000_003 + number)
            by_hand.train()
            targets = [zoo.instance_targets(*maps) for maps in zip(instances, mask, strict=True)]
            loss = sum(by_hand(image, targets).values())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            expected.append(loss.item())
            number += 1
    assert losses == pytest.approx(expected, rel=1e-4)
    for name, tensor in by_hand.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], tensor, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["deeplab", "maskrcnn"])
def test_a_stopped_run_goes_on_bit_for_bit(name, street, tmp_path):
    """DeepLab draws dropout at random, Mask R-CNN the boxes that it trains on."""
    whole, parts = small(name), small(name)
    quick(whole, street, steps=5)

    def stop(history, model):
        if len(history.rows) == 1:
            raise KeyboardInterrupt

    history = quick(parts, street, steps=5, every=3, out=tmp_path, on_epoch=stop)
    assert history.stopped == "interrupted" and len(history.losses) == 3
    again = small(name)
    history = quick(again, street, steps=5, every=3, out=tmp_path)
    assert len(history.losses) == 5
    for key, tensor in whole.state_dict().items():
        assert torch.equal(again.state_dict()[key], tensor), key


def test_a_run_of_another_model_with_the_same_weights_is_refused(street, tmp_path):
    """Another output stride has other features in weights of the same names and shapes."""
    quick(small("fcn"), street, out=tmp_path, steps=1)
    with pytest.raises(CheckpointError, match="holds another model .*'output_stride': 8.*4"):
        quick(small("fcn", output_stride=4), street, out=tmp_path, steps=2)


def test_mask_rcnn_in_half_precision(street):
    history = quick(small("maskrcnn"), street, amp=True)
    assert all(map(math.isfinite, history.losses)) and history.rows[-1]["miou"] > 0


def test_mask_rcnn_in_parts_where_memory_is_short(street, monkeypatch):
    model = small("maskrcnn")
    forward = type(model).forward

    def short(self, image, *rest):
        if self.training and len(image) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return forward(self, image, *rest)

    monkeypatch.setattr(type(model), "forward", short)
    with pytest.warns(UserWarning, match="going on in parts of 2"):
        history = quick(model, street, on_oom="retry")
    assert len(history.losses) == 4


def test_a_picture_with_nan_stops_mask_rcnn(street):
    training, val = loaders(street)

    def broken(**named):
        out = eval_transform()(**named)
        return out | {"image": out["image"] * math.nan}

    training.dataset.transform = broken
    with pytest.raises(FloatingPointError, match="NaN or infinity stands in 0"):
        fit(small("maskrcnn"), training, val, None, steps=2, device="cpu", amp=False,
            classes=3, progress=False)


def test_what_a_batch_holds_beside_target_does_not_disturb_a_loss(street):
    """Names, say: a semantic model is handed pictures and masks, whatever else there is."""
    image, mask, _ = pictures(4, 32, 32)
    batches = [(image[:2], mask[:2], ["a", "b"]), (image[2:], mask[2:], ["c", "d"])]
    history = fit(small("unet"), batches, batches, ce_dice, steps=2, device="cpu", amp=False,
                  progress=False)
    assert len(history.losses) == 2


# -- from the command line


def command(street, out, *more):
    return ["--data", str(street), "--steps", "2", "--batch-size", "4", "--amp", "off", "--device",
            "cpu", "--out", str(out), *more]


@pytest.mark.parametrize(("name", "more"), [
    ("unet", ["--width", "8", "--depth", "1", "--set", "norm=group"]),
    ("fcn", ["--backbone", "resnet18_layer3", "--set", "output_stride=16"]),
    ("deeplab", ["--backbone", "mobilenet_v3_small", "--set", "rates=[1,2]", "--set", "width=16"]),
    ("lraspp", ["--difficulty", "stream", "--scenes", "8"]),
    ("maskrcnn", ["--backbone", "mobilenet_v3_small", "--difficulty", "stream", "--scenes", "8"]),
    ("maskrcnn", ["--backbone", "resnet18_layer3", "--set", "anchors=[8,16,32,64]"]),
])
def test_the_command_trains_every_model(name, more, street, tmp_path):
    assert train_command.main(command(street, tmp_path, "--model", name, *more)) == 0
    model = zoo.load(tmp_path / "last.safetensors")
    assert type(model) is zoo.MODELS[name]
    asked = dict(option.split("=") for option in more if "=" in option)
    for key, value in asked.items():
        assert str(model.config[key]).replace(" ", "") == value
    assert model.config["classes"] == (3 if name == "unet" else list(Street.classes))
    about = checkpoint.read_weights(tmp_path / "best.safetensors")[1]
    assert json.loads(about["scores"])["miou"] > 0


def test_the_command_begins_from_weights(street, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    more = ["--model", "fcn", "--backbone", "resnet18_layer3"]
    assert train_command.main(command(street, first, *more)) == 0
    file = first / "last.safetensors"
    assert train_command.main(command(street, second, *more, "--lr", "1e-12", "--weight-decay", "0",
                                      "--weights", str(file))) == 0
    one, two = zoo.load(file), zoo.load(second / "last.safetensors")
    torch.testing.assert_close(one.classifier[4].weight, two.classifier[4].weight)


@pytest.mark.parametrize(("more", "text"), [
    (["--model", "maskrcnn", "--loss", "ce_dice"], "has losses of its own; leave --loss out"),
    (["--model", "fcn", "--width", "8"], "--width: of the U-Net alone"),
    (["--model", "fcn", "--set", "output_stride"], "wanted OPTION=VALUE"),
    (["--model", "fcn", "--set", "depth=2"], "fcn has no option 'depth'"),
    (["--backbone", "resnet18"], "the U-Net has no backbone"),
    (["--model", "fcn", "--weights", "nowhere.safetensors"], "nowhere.safetensors: cannot be read"),
])
def test_the_command_says_in_one_line_what_is_wrong(street, tmp_path, capsys, more, text):
    assert train_command.main(command(street, tmp_path, *more)) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and text in error


@pytest.mark.slow
def test_two_processes_train_a_model_with_losses_of_its_own_as_one(street, tmp_path):
    """The mean of the losses and of the gradients of two shares is that of the whole batch.

    Exactly so for a model without chance; Mask R-CNN draws the boxes that it trains on, each
    process its own, so there the losses are only near.
    """
    script = tmp_path / "two.py"
    script.write_text(TWO)
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
    for launcher, name in ([], "one"), (["-m", "torch.distributed.run", "--standalone",
                                         "--nproc_per_node=2"], "two"):
        done = subprocess.run([sys.executable, *launcher, str(script), str(street),
                               str(tmp_path / name)], env=env, capture_output=True, text=True,
                              timeout=600)
        assert done.returncode == 0, done.stderr
    one, two = (checkpoint.newest_state(tmp_path / name / "own") for name in ("one", "two"))
    torch.testing.assert_close(one["losses"], two["losses"], rtol=1e-5, atol=0)
    for key, tensor in one["model"].items():
        torch.testing.assert_close(two["model"][key], tensor, rtol=1e-3, atol=1e-5)
    one, two = (checkpoint.newest_state(tmp_path / name / "mask") for name in ("one", "two"))
    torch.testing.assert_close(one["losses"], two["losses"], rtol=0.2, atol=0)


TWO = '''
import sys
import torch
from torch.nn.functional import cross_entropy
from segutils import zoo
from segutils.augment import eval_transform
from segutils.datasets import Street, loader
from segutils.train import fit

class Own(torch.nn.Conv2d):
    """A network that returns losses of its own: means over the pictures that it is given."""
    def forward(self, image, target, instances):
        logits = super().forward(image)
        return {"ce": cross_entropy(logits, target.clamp(max=2)), "size": logits.square().mean()}

data = Street("train", "plain", sys.argv[1], eval_transform(), instances=True)
for name in ("own", "mask"):
    torch.manual_seed(0)
    model = Own(3, 3, 5, padding=2) if name == "own" else zoo.build(
        "maskrcnn", "mobilenet_v3_small", fpn=16, box_head=16, mask_head=[8, 8])
    fit(model, loader(data, 4, shuffle=True), None, None, steps=3, amp=False, device="cpu",
        progress=False, schedule="constant", out=f"{sys.argv[2]}/{name}")
'''


def test_the_smallest_backbones_are_known():
    assert {"resnet18", "resnet34", "mobilenet_v3_small", "mobilenet_v3_large"} < {*zoo.BACKBONES}
    for builder, layers, channels in zoo.BACKBONES.values():
        net = get_model(builder, weights=None)
        net = net.features if builder.startswith("mobilenet") else net
        out = IntermediateLayerGetter(net.eval(), {layer: layer for layer in layers})
        with torch.inference_mode():
            found = out(torch.zeros(1, 3, 64, 64))
        assert [found[layer].shape[1] for layer in layers] == list(channels)
        assert [64 // found[layer].shape[2] for layer in layers] == [4, 8, 16, 32][:len(layers)]
