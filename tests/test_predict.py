"""Decoding: oracles are 4x4 pictures by hand, SciPy's labels and COCO's AP."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torch import nn

from segutils import predict
from segutils.augment import eval_transform
from segutils.metrics import ConfusionMatrix, instance_ap
from segutils.predict import Prediction, class_ids, decode, paint, parts
from segutils.train import evaluate

# One 4x4 picture of three classes, by hand: a person above, a car of two parts below.
IDS = torch.tensor([[0, 1, 1, 0],
                    [0, 1, 0, 0],
                    [2, 0, 0, 2],
                    [2, 2, 0, 2]])


def logits_of(ids, sure=2.0, classes=3):
    """Logits (1, C, H, W): `sure` at the class of each pixel, 0 elsewhere."""
    return sure * nn.functional.one_hot(ids, classes).movedim(-1, 0)[None].float()


def found(scores, labels, masks):
    """A dict as Mask R-CNN returns it, its masks (N, H, W) given."""
    masks = torch.as_tensor(masks, dtype=torch.float32).reshape(-1, 1, 4, 4)
    return {"boxes": torch.zeros(len(scores), 4), "scores": torch.tensor(scores).float(),
            "labels": torch.tensor(labels, dtype=torch.int64), "masks": masks}


def rows(*which, value=1.0):
    """A (4, 4) mask of the rows named."""
    mask = torch.zeros(4, 4)
    mask[list(which)] = value
    return mask


# -- logits


def test_logits_by_hand():
    prediction, = decode(logits_of(IDS), min_area=1)
    assert isinstance(prediction, Prediction)
    assert prediction.ids.dtype == torch.uint8 and torch.equal(prediction.ids.long(), IDS)
    sure = np.exp(2) / (np.exp(2) + 2)                                   # softmax of 2, 0, 0
    assert prediction.probabilities[1, 0, 1] == pytest.approx(sure)
    assert prediction.probabilities[1, 0, 0] == pytest.approx((1 - sure) / 2)
    assert torch.allclose(prediction.probabilities.sum(dim=0), torch.ones(4, 4))
    instances = prediction.instances
    assert sorted(instances["labels"].tolist()) == [1, 2, 2]
    assert sorted(instances["masks"].sum(dim=(1, 2)).tolist()) == [2, 3, 3]
    assert instances["scores"].tolist() == pytest.approx([sure] * 3)


def test_torchvisions_dictionary_is_logits_too():
    logits = torch.randn(2, 3, 5, 7)
    for one, other in zip(decode({"out": logits}), decode(logits), strict=True):
        assert torch.equal(one.ids, other.ids)
    assert torch.equal(class_ids({"out": logits}), logits.argmax(dim=1))


def test_the_score_of_a_part_is_its_mean_probability():
    probabilities = torch.zeros(3, 4, 4)
    probabilities[1, 0, 1], probabilities[1, 0, 2], probabilities[1, 1, 1] = 0.9, 0.6, 0.6
    probabilities[2] = 0.4
    instances = parts(IDS, probabilities, min_area=1)
    assert instances["scores"].tolist() == pytest.approx([0.7, 0.4, 0.4])
    assert torch.equal(instances["masks"][0], IDS == 1)
    assert torch.equal(instances["masks"][1:].any(dim=0), IDS == 2)


@pytest.mark.parametrize(("min_area", "areas"), [(1, [3, 3, 2]), (3, [3, 3]), (4, [])])
def test_parts_that_are_too_small_are_left_out(min_area, areas):
    instances = parts(IDS, torch.full((3, 4, 4), 0.5), min_area)
    assert sorted(instances["masks"].sum(dim=(1, 2)).tolist(), reverse=True) == areas
    assert instances["masks"].shape[1:] == (4, 4) and instances["masks"].dtype == torch.bool
    assert len(instances["scores"]) == len(instances["labels"]) == len(areas)


def test_a_corner_connects():
    ids = torch.eye(4, dtype=torch.int64)
    assert len(parts(ids, torch.ones(2, 4, 4), 1)["labels"]) == 1


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.sampled_from([3, 5, 17]))
def test_parts_against_scipy(seed, min_area, classes):
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, classes, (11, 14)) * (rng.random((11, 14)) < 0.6)
    probabilities = torch.from_numpy(rng.random((classes, 11, 14)))
    expected = set()
    for label in range(1, classes):
        numbers, count = ndimage.label(ids == label, np.ones((3, 3)))
        for part in range(1, count + 1):
            mask = numbers == part
            if mask.sum() >= min_area:
                score = probabilities.numpy()[label][mask].mean()
                expected.add((label, round(score, 9), mask.tobytes()))
    instances = parts(torch.from_numpy(ids), probabilities, min_area)
    got = {(label, round(score, 9), mask.numpy().tobytes()) for label, score, mask in
           zip(instances["labels"].tolist(), instances["scores"].tolist(), instances["masks"],
               strict=True)}
    assert got == expected and len(instances["labels"]) == len(expected)
    assert instances["scores"].tolist() == sorted(instances["scores"].tolist(), reverse=True)


def test_noise_of_an_untrained_network_is_no_error():
    """Over a thousand parts of a class: more than an instance map of 16 bits could number."""
    ids = torch.zeros(128, 128, dtype=torch.int64)
    ids[::2, ::2] = 1
    assert len(parts(ids, torch.ones(2, 128, 128), 1)["labels"]) == 4096


# -- instances


def test_the_highest_score_lies_on_top():
    masks = torch.stack([rows(0, 1), rows(1, 2), rows(2, 3)]).bool()
    ids = paint(torch.tensor([0.6, 0.9, 0.7]), torch.tensor([1, 2, 1]), masks)
    assert ids[:, 0].tolist() == [1, 2, 2, 1]
    ids = paint(torch.tensor([0.9, 0.6, 0.7]), torch.tensor([1, 2, 1]), masks)
    assert ids[:, 0].tolist() == [1, 1, 1, 1]
    ids = paint(torch.tensor([0.8, 0.8, 0.8]), torch.tensor([1, 2, 1]), masks)
    assert ids[:, 0].tolist() == [1, 1, 2, 1], "of equal scores the first lies on top"


def test_a_score_below_the_cut_is_not_painted():
    masks = torch.stack([rows(0, 1), rows(2)]).bool()
    scores, labels = torch.tensor([0.49, 0.5]), torch.tensor([1, 2])
    assert paint(scores, labels, masks)[:, 0].tolist() == [0, 0, 2, 0]
    assert paint(scores, labels, masks, score_cut=0.4)[:, 0].tolist() == [1, 1, 2, 0]
    assert paint(scores, labels, masks, score_cut=0.95)[:, 0].tolist() == [0, 0, 0, 0]


def test_instances_by_hand():
    """A person of score 0.8 and a car of 0.6 below, half over it, with soft masks."""
    person, car = rows(0, value=0.9) + rows(1, value=0.5), rows(1, value=1.0) + rows(2, value=0.4)
    prediction, = decode([found([0.8, 0.6], [1, 2], torch.stack([person, car]))], 3)
    assert prediction.ids.dtype == torch.uint8
    assert prediction.ids[:, 0].tolist() == [1, 1, 0, 0]      # 0.5 is in, 0.4 is not
    p, c = [0.72, 0.4, 0, 0], [0, 0.6, 0.24, 0]               # score times mask
    b = [1 - 0.72, 1 - 0.6, 1 - 0.24, 1]
    total = np.add(np.add(p, c), b)
    expected = torch.tensor(np.stack([b / total, p / total, c / total])).float()
    assert torch.allclose(prediction.probabilities[:, :, 0], expected)
    assert prediction.instances["masks"].dtype == torch.bool
    assert prediction.instances["masks"][:, :, 0].tolist() == [[True, True, False, False],
                                                               [False, True, False, False]]
    assert torch.equal(class_ids([found([0.8, 0.6], [1, 2], torch.stack([person, car]))])[0],
                       prediction.ids.long())


def test_instances_below_the_cut_are_kept_for_their_ap():
    output = [found([0.2, 0.7], [2, 1], torch.stack([rows(0), rows(3)]))]
    prediction, = decode(output, ("background", "person", "car"))
    assert prediction.instances["scores"].tolist() == pytest.approx([0.7, 0.2])
    assert prediction.instances["labels"].tolist() == [1, 2]
    assert prediction.ids.unique().tolist() == [0, 1]


def test_without_instances_all_is_background():
    prediction, = decode([found([], [], torch.zeros(0, 4, 4))], 3)
    assert prediction.ids.tolist() == [[0] * 4] * 4
    assert torch.equal(prediction.probabilities[0], torch.ones(4, 4))
    assert prediction.instances["masks"].shape == (0, 4, 4)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 5))
def test_probabilities_of_instances_sum_to_one(seed, n):
    rng = np.random.default_rng(seed)
    output = [found(rng.random(n).tolist(), rng.integers(1, 4, n).tolist(), rng.random((n, 4, 4)))]
    prediction, = decode(output, 4)
    assert prediction.probabilities.min() >= 0
    assert torch.allclose(prediction.probabilities.sum(dim=0), torch.ones(4, 4))
    assert prediction.ids.max() < 4


# -- scored both ways


def scene():
    """Three objects that do not touch, 24 pixels and more each, as ids and as instances."""
    ids = torch.zeros(32, 32, dtype=torch.int64)
    masks = torch.zeros(3, 32, 32, dtype=torch.bool)
    masks[0, 2:10, 3:6] = masks[1, 12:20, 4:20] = masks[2, 24:30, 22:30] = True
    labels = torch.tensor([1, 2, 2])
    for label, mask in zip(labels, masks, strict=True):
        ids[mask] = label
    return ids, labels, masks


def test_a_perfect_class_mask_has_ap_1_as_instances():
    ids, labels, masks = scene()
    prediction, = decode(logits_of(ids))
    ap = instance_ap([prediction.instances], [{"masks": masks, "labels": labels}])
    assert ap["ap"] == ap["ap50"] == 1 and ap["per_class"] == {1: 1.0, 2: 1.0}


def test_perfect_instances_have_miou_1_as_a_class_mask():
    ids, labels, masks = scene()
    output = [{"scores": torch.tensor([0.7, 0.8, 0.9]), "labels": labels,
               "masks": masks[:, None].float()}]
    prediction, = decode(output, 3)
    assert ConfusionMatrix(3).update(prediction.ids, ids).miou() == 1
    ap = instance_ap([prediction.instances], [{"masks": masks, "labels": labels}])
    assert ap["ap"] == 1


def test_touching_objects_are_one_part_and_cost_ap():
    ids, labels, masks = scene()
    masks[2] = masks[1].roll(8, dims=0)                       # right below the other car
    ids[24:30, 22:30] = 0
    ids[masks[2]] = 2
    prediction, = decode(logits_of(ids))
    assert len(prediction.instances["labels"]) == 2
    ap = instance_ap([prediction.instances], [{"masks": masks, "labels": labels}])
    assert ap["per_class"][1] == 1 and ap["per_class"][2] < 0.5


# -- whole pictures


class Red(nn.Module):
    """Class 1 where a normalised picture is redder than the mean; batch norm to tell the mode."""

    config = {"classes": 2}

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def forward(self, image):
        red = self.norm(image)[:, :1]
        return torch.cat([-red, red], dim=1)


PICTURE = np.random.default_rng(0).integers(0, 256, (9, 13, 3), dtype=np.uint8)


def test_a_picture_is_normalised_as_in_training():
    image = eval_transform()(image=PICTURE, mask=np.zeros((9, 13), np.uint8))["image"]
    assert torch.allclose(predict.as_batch(PICTURE)[0], image, atol=1e-6)
    assert predict.as_batch(image).shape == predict.as_batch(image[None]).shape == (1, 3, 9, 13)


@pytest.mark.parametrize("training", [True, False])
def test_predict_gives_a_whole_picture_and_leaves_the_model_as_it_was(training):
    model = Red().train(training)
    prediction = predict.predict(model, PICTURE, min_area=1)
    assert model.training == training and model.norm.num_batches_tracked == 0
    assert torch.equal(prediction.ids.bool(), torch.from_numpy(PICTURE[..., 0] > 255 * 0.485))
    assert prediction.probabilities.shape == (2, 9, 13)
    assert not prediction.probabilities.requires_grad
    again = predict.predict(model, predict.as_batch(PICTURE)[0])
    assert torch.equal(again.ids, prediction.ids)


def test_a_model_that_fails_is_left_as_it_was_too():
    class Broken(Red):
        def forward(self, image):
            raise RuntimeError("broken")

    model = Broken().train()
    with pytest.raises(RuntimeError, match="broken"):
        predict.predict(model, PICTURE)
    assert model.training


@pytest.mark.parametrize("picture", [
    PICTURE.astype(np.float32), PICTURE[..., 0], np.dstack([PICTURE, PICTURE[..., :1]]),
    torch.zeros(3, 4), torch.zeros(2, 3, 4, 4), torch.zeros(4, 4, 3),
    torch.zeros(3, 4, 4, dtype=torch.uint8),
])
def test_other_pictures_are_refused_in_one_line(picture):
    with pytest.raises(ValueError, match="the picture is .*; give") as error:
        predict.predict(Red(), picture)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("output", "text"), [
    (torch.zeros(3, 4, 4), r"returned \(3, 4, 4\); wanted logits"),
    ({"loss": torch.zeros(())}, "returned dict; wanted .* eval mode"),
    ([{"boxes": torch.zeros(0, 4)}], "returned list"),
    (torch.zeros(1, 256, 2, 2), "256 classes do not fit ids of one byte, where 255 is void"),
    ([found([0.9], [3], rows(0))], r"labels \[3\], but there are 3 classes"),
    ([found([0.9], [0], rows(0))], r"labels \[0\]"),
])
def test_other_outputs_are_refused_in_one_line(output, text):
    with pytest.raises(ValueError, match=text) as error:
        decode(output, 3)
    assert "\n" not in str(error.value)


def test_instances_need_the_number_of_classes():
    with pytest.raises(ValueError, match="how many classes there are; give classes="):
        decode([found([], [], torch.zeros(0, 4, 4))])


class Finds(nn.Module):
    """A model that finds what it was given, in eval mode."""

    def __init__(self, output):
        super().__init__()
        self.weight, self.output = nn.Parameter(torch.zeros(1)), output

    def forward(self, image):
        return self.output[:len(image)]


def test_evaluate_scores_instances_as_they_are_painted():
    """By hand: rows 0, 1 are car; the person of score 0.9 covers row 1; row 3 is missed."""
    output = [found([0.6, 0.9, 0.3], [2, 1, 2], torch.stack([rows(0, 1), rows(1), rows(3)]))]
    target = torch.tensor([2, 2, 0, 2]).repeat_interleave(4).view(1, 4, 4)
    target[0, 2, 0] = 255
    model, batches = Finds(output), [(torch.zeros(1, 3, 4, 4), target)]
    matrix = evaluate(model, batches, 3)
    assert matrix.matrix.tolist() == [[3, 0, 0], [0, 0, 0], [4, 4, 4]]
    with pytest.raises(ValueError, match="give classes="):
        evaluate(model, batches)
