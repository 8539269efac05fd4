"""Every way to spoil FCN, DeepLab and Mask R-CNN that lesson 06 shows: the break and the cure.

Each test makes the mistake on street scenes, asserts that it costs something (or this would be a
test of nothing), and then asserts what segutils makes of it. Where the package can notice the
mistake, it must refuse it.
"""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision import ops
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.models.segmentation.deeplabv3 import ASPP

from segutils import street, zoo
from segutils.augment import eval_transform
from segutils.datasets import DATA, Street, loader
from segutils.metrics import instance_ap, iou
from segutils.predict import as_batch, paint, parts, predict

PERSON = 1
SMALL = {"fcn": {"backbone": "resnet18_layer3"},
         "deeplab": {"backbone": "resnet18_layer3", "width": 16},
         "maskrcnn": {"backbone": "mobilenet_v3_small", "fpn": 16, "box_head": 16,
                      "mask_head": [8, 8]}}


def small(name):
    torch.manual_seed(0)
    return zoo.build(name, **SMALL[name])


@pytest.fixture(scope="module")
def scenes():
    return [street.draw(seed, 128, "full") for seed in range(16)]


@pytest.fixture(scope="module")
def targets(scenes):
    return torch.stack([torch.from_numpy(scene.mask).long() for scene in scenes])


@pytest.fixture(scope="module")
def instances(scenes):
    return torch.stack([torch.from_numpy(scene.instances).long() for scene in scenes])


def test_align_corners_costs_people_a_tenth(targets, instances):
    planes = F.one_hot(instances // 1000, 3).movedim(3, 1).float()
    scores = F.avg_pool2d(planes, 8)                       # never wrong, and coarse
    large = {"size": (128, 128), "mode": "bilinear"}
    right, wrong = (F.interpolate(scores, **large, align_corners=corners).argmax(1)
                    for corners in (False, True))
    assert iou(wrong, targets, 3)[PERSON] < iou(right, targets, 3)[PERSON] - 0.05


@pytest.mark.parametrize("name", ["fcn", "deeplab"])
def test_the_zoo_stretches_cells(name):
    """A score stands for a cell and sits in its middle: the sum over a cell's pixels says so."""
    model, x = small(name).eval(), torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        coarse = model.classifier(model.backbone(x)["out"])
        size = {"size": (64, 64), "mode": "bilinear"}
        assert torch.allclose(model(x), F.interpolate(coarse, **size), atol=1e-5)
        assert not torch.allclose(model(x), F.interpolate(coarse, **size, align_corners=True),
                                  atol=1e-3)


def test_one_picture_stops_torchvisions_deeplab_and_shown_twice_it_is_blind():
    torch.manual_seed(0)
    layer, maps = ASPP(16, (3, 6, 9), 8).train(), torch.rand(5, 16, 8, 8)
    nn.init.uniform_(layer.convs[-1][2].bias)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        layer(maps[:1])
    twice = torch.cat([layer.convs[-1](torch.stack([m, m]))[:1] for m in maps])
    assert twice.std(dim=0).max() < 1e-4, "all pictures give one and the same answer"


def test_the_zoos_deeplab_learns_from_one_picture_and_sees_it():
    model, x = small("deeplab").train(), torch.randn(5, 3, 64, 64)
    model(x[:1]).sum().backward()
    pooled = model.classifier[0].convs[-1]
    with torch.no_grad():
        maps = model.backbone(x)["out"]
        alone = torch.cat([pooled(m[None]) for m in maps])
    assert alone.std(dim=0).max() > 1e-2, "its branch of the mean still tells pictures apart"


def test_eval_forgotten_costs_the_shipped_u_net():
    pictures = Street("val", "full", transform=eval_transform())
    pictures.stems = pictures.stems[:8]
    image, target = next(iter(loader(pictures, 8)))
    model = zoo.load(DATA / "weights" / "unet_street.safetensors")
    forgotten = copy.deepcopy(model).train()
    with torch.no_grad():
        right = iou(model(image).argmax(1), target, 3)
        wrong = iou(torch.cat([forgotten(i[None]).argmax(1) for i in image]), target, 3)
    assert (wrong[1:] < right[1:] - 0.005).all()           # people and cars


@pytest.mark.parametrize("name", ["fcn", "deeplab"])
def test_predict_asks_in_eval_mode_and_puts_the_mode_back(name, scenes):
    model = small(name).train()
    x = torch.cat([as_batch(scene.image) for scene in scenes[:2]])
    with torch.no_grad():
        alone, beside = copy.deepcopy(model)(x[:1]), copy.deepcopy(model)(x)[:1]
    assert not torch.allclose(alone, beside, atol=1e-3), "in training mode the neighbour has a say"
    before = {key: value.clone() for key, value in model.state_dict().items()}
    said = predict(model, scenes[0].image)
    with torch.inference_mode():
        assert torch.equal(said.ids, copy.deepcopy(model).eval()(x)[0].argmax(0).to(torch.uint8))
    assert model.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_mask_rcnn_in_training_mode_cannot_be_misread(scenes):
    with pytest.raises(ValueError, match="trains on instances"):
        small("maskrcnn").train()(as_batch(scenes[0].image))


def empty_street():
    return torch.zeros(64, 64, dtype=torch.int64)


def test_nothing_is_zero_boxes_of_four():
    target = zoo.instance_targets(empty_street())
    assert {key: tuple(value.shape) for key, value in target.items()} == {
        "boxes": (0, 4), "labels": (0,), "masks": (0, 64, 64), "iscrowd": (0,)}
    wrong = target | {"boxes": torch.tensor([])}
    with pytest.raises(ValueError, match=r"\(0, 4\) without objects"):
        zoo.check_targets([wrong], (64, 64), 3)
    model, x = small("maskrcnn").train(), torch.randn(2, 3, 64, 64)
    with pytest.raises(ValueError, match=r"\(0, 4\) without objects"):
        model(x, [wrong, wrong])
    losses = model(x, [target, target])
    assert all(value.isfinite() for value in losses.values())
    assert losses["loss_mask"] == losses["loss_box_reg"] == 0, "there is nothing to outline"
    assert losses["loss_objectness"] > 0, "and that is learned"


def test_a_fake_box_teaches_a_person_as_large_as_the_picture():
    """The mask loss of an empty street is 0; a fake box makes it learn an outline there."""
    fake = {"boxes": torch.tensor([[0.0, 0, 64, 64]]), "labels": torch.tensor([1]),
            "masks": torch.ones(1, 64, 64, dtype=torch.uint8)}
    model, x = small("maskrcnn").train(), torch.randn(2, 3, 64, 64)
    assert model(x, [fake, fake])["loss_mask"] > 0.1
    nothing = zoo.instance_targets(empty_street())
    covered = [paint(torch.ones(len(t["labels"])), t["labels"], t["masks"].bool()).float().mean()
               for t in (nothing, fake)]
    assert covered == [0, 1]


def with_background(instances):
    """The loop over ids that forgets to leave out 0, and lets labels begin at 1."""
    ids = instances.unique()
    things = instances == ids.view(-1, 1, 1)
    return {"boxes": ops.masks_to_boxes(things) + torch.tensor([0, 0, 1, 1]),
            "labels": (ids // 1000).clamp(min=1), "masks": things.to(torch.uint8)}


def test_background_as_label_1_is_a_person_nearly_everywhere(instances):
    wrong = [with_background(i) for i in instances]
    right = [zoo.instance_targets(i) for i in instances]
    share = {name: np.mean([t["masks"][t["labels"] == PERSON].any(0).float().mean() for t in each])
             for name, each in {"wrong": wrong, "right": right}.items()}
    assert share["wrong"] > 0.8 and share["right"] < 0.1
    zoo.check_targets(wrong, (128, 128), 3)                # nothing here can be refused
    answers, truth = ([{"masks": t["masks"].bool(), "labels": t["labels"],
                        "scores": torch.ones(len(t["labels"]))} for t in each]
                      for each in (wrong, right))
    assert instance_ap(truth, truth)["per_class"][PERSON] == 1
    assert instance_ap(answers, truth)["per_class"][PERSON] < 0.9
    zero = wrong[0] | {"labels": wrong[0]["labels"] - 1}
    with pytest.raises(ValueError, match="0 is background"):
        zoo.check_targets([zero], (128, 128), 3)
    with pytest.raises(ValueError, match="class . 1000"):
        zoo.instance_targets(instances[0].clamp(max=1))


def test_targets_never_hold_the_background(instances):
    for each in instances:
        target = zoo.instance_targets(each)
        assert torch.equal(target["masks"].any(dim=0), each > 0)
        assert torch.equal(target["masks"].sum(dim=0), (each > 0).long()), "each pixel once"


def test_rounded_boxes_lay_masks_askew(instances):
    bodies, boxes = (torch.cat([zoo.instance_targets(i)[key] for i in instances])
                     for key in ("masks", "boxes"))
    maps = F.avg_pool2d(bodies.float(), 4)[:, None]        # (N, 1, 32, 32): what a coarse map knows
    scores = []
    for cut in (boxes, 4 * (boxes / 4).round()):
        small_masks = ops.roi_align(maps, list(cut[:, None]), 28, 1 / 4, 2, aligned=True)
        back = paste_masks_in_image(small_masks, boxes, (128, 128))[:, 0] >= 0.5
        scores.append((back & bodies.bool()).sum((1, 2)) / (back | bodies.bool()).sum((1, 2)))
    little = bodies.sum(dim=(1, 2)) < 400
    assert scores[0][little].mean() > scores[1][little].mean() + 0.02
    assert scores[0][~little].mean() > 0.85


def test_nms_drops_the_second_of_two_who_overlap():
    pair = torch.tensor([[0.0, 0, 10, 20], [2, 0, 12, 20]])                # two people, IoU 2/3
    assert ops.nms(pair, torch.tensor([0.9, 0.8]), 0.5).tolist() == [0]
    assert ops.nms(pair, torch.tensor([0.9, 0.8]), 0.7).tolist() == [0, 1]


def test_what_touches_is_one_part_and_two_instances():
    things = torch.zeros(2, 16, 16, dtype=torch.bool)
    things[0, 4:12, 2:7] = things[1, 4:12, 7:12] = True                    # side by side
    scores, labels = torch.tensor([0.9, 0.6]), torch.tensor([1, 1])
    painted = paint(scores, labels, things)
    assert torch.equal(painted > 0, things.any(dim=0))
    found = parts(painted, F.one_hot(painted, 3).movedim(2, 0).float())
    assert len(found["labels"]) == 1, "touching things are one part"
    assert paint(torch.tensor([0.9, 0.49]), labels, things).sum() == 40, "under the cut: not there"
    over = things.roll(2, 2)                               # the better one lies on top
    mixed = paint(torch.tensor([0.6, 0.9]), torch.tensor([1, 2]), torch.stack([things[0], over[0]]))
    assert (mixed[over[0]] == 2).all()


def test_requires_grad_alone_lets_the_answer_move(scenes):
    unet = zoo.load(DATA / "weights" / "unet_street.safetensors")
    x = torch.cat([as_batch(scene.image) for scene in scenes[:4]])
    answers = []
    with torch.no_grad():
        before = unet(x[:1])
        for hold in (lambda net: net.requires_grad_(False), zoo.freeze):
            net = hold(copy.deepcopy(unet)).train()
            net(x)
            answers.append(torch.equal(net.eval()(x[:1]), before))
    assert answers == [False, True]
