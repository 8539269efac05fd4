"""Every way to separate an image from its labels that lesson 02 shows: the break, and its cure.

Each test makes the mistake, asserts that it costs something (or this would be a test of nothing),
and then asserts that the way through segutils costs nothing. The lesson's own definitions, its
test by coordinates among them, are executed out of its source.
"""

import copy
import os
import random
import sys

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import albumentations as A
import cv2
import numpy as np
import pytest
import torch
from lessons import definitions
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from segutils import augment as package
from segutils import masks, street
from segutils.datasets import StreetStream, loader

PERSON, CAR = 1, 2
lesson = definitions("02_synchronized_augmentation")


def iou(a, b, k):
    known = (a != 255) & (b != 255)
    return ((a == k) & (b == k) & known).sum() / (((a == k) | (b == k)) & known).sum()


@pytest.fixture(scope="module")
def scenes():
    return [street.draw(seed, 128, "plain") for seed in range(30)]


@pytest.fixture(scope="module")
def scene(scenes):
    """The first scene with people, cars and void."""
    return next(s for s in scenes if min((s.mask == k).sum() for k in (PERSON, CAR)) > 300
                and (s.mask == 255).sum() > 50)


def through_package(backend, **options):
    """The package's transform in the shape that the lesson's tests want."""
    def transform(image, mask, seed, colour=0.2):
        t = package.train_transform(48, colour=colour, rotate=15, backend=backend, **options)
        out = t(image=image, mask=mask, seed=seed)
        return package.denormalise(out["image"]), out["mask"].numpy()
    return transform


def through_batch(**options):
    """The same of the transform for batches, with another picture beside it in the batch."""
    def transform(image, mask, seed, colour=0.2):
        t = package.batch_transform(48, colour=colour, rotate=15, **options)
        images, masks = (torch.from_numpy(np.stack([a, 255 - a])) for a in (image, mask))
        images, masks = t(images, masks, [seed, (seed, 1)])
        return package.denormalise(images[0]), masks[0].numpy()
    return transform


# The breaks as pipelines, each caught by the reader's test -----------------------------------


def angle_of(seed):
    return np.random.default_rng(seed).uniform(-10, 10)


def right(image, mask, seed, colour=0.2):
    return lesson.augment(image, mask, seed, 48, colour)


def forgotten_flip(image, mask, seed, colour=0.2):
    image = image[:, ::-1] if np.random.default_rng(seed).random() < 0.5 else image
    return lesson.random_crop(image, mask, 48, np.random.default_rng(seed))


def two_draws(image, mask, seed, colour=0.2):
    return (lesson.augment(image, mask, (seed, 0), 48, colour)[0],
            lesson.augment(image, mask, (seed, 1), 48, colour)[1])


def colour_on_mask(image, mask, seed, colour=0.2):
    image, mask = lesson.augment(image, mask, seed, 48, 0)
    factor = np.random.default_rng(seed).uniform(1, 1 + 2 * colour)
    return image, np.clip(np.round(mask * factor), 0, 255).astype(np.uint8)


def blended_mask(image, mask, seed, colour=0.2):
    matrix = lesson.rotation(angle_of(seed), *mask.shape)
    blended = lesson.warp(np.dstack([mask] * 3), mask, matrix, fill=255)[0][..., 0]
    return lesson.warp(image, mask, matrix)[0], blended


def wrong_fill(image, mask, seed, colour=0.2):
    return lesson.warp(image, mask, lesson.rotation(angle_of(seed), *mask.shape), fill_mask=0)


def plain_nearest(image, mask, seed, colour=0.2, how=cv2.INTER_NEAREST):
    out = A.Resize(40, 40, mask_interpolation=how, p=1)(image=image, mask=mask)
    return out["image"], out["mask"]


def exact_nearest(image, mask, seed, colour=0.2):
    return plain_nearest(image, mask, seed, how=cv2.INTER_NEAREST_EXACT)


@pytest.mark.parametrize("transform, least", [
    (forgotten_flip, 0.1), (two_draws, 0.2), (blended_mask, 0.05), (wrong_fill, 0.01),
    (plain_nearest, 0.1)])
def test_coordinates_find_what_moves_one_of_the_two(transform, least):
    assert lesson.stray_pixels(transform) > least
    assert not lesson.colour_leaks(transform)            # it is the other test's business


def test_colour_on_the_mask_is_found():
    assert lesson.stray_pixels(colour_on_mask) == 0      # which is why there are two tests
    assert lesson.colour_leaks(colour_on_mask)


@pytest.mark.parametrize("transform, fill", [
    (right, 0), (exact_nearest, 0), (through_package("albumentations"), package.FILL),
    (through_package("torchvision"), package.FILL),
    (through_package("albumentations", vertical_flip=0.5, translate=0.3), package.FILL),
    (through_batch(), package.FILL),
    (through_batch(vertical_flip=0.5, translate=0.3), package.FILL)],
    ids=["lesson", "exact nearest", "albumentations", "torchvision", "all moves", "batch",
         "batch, all moves"])
def test_what_keeps_pairs_passes_both_tests(transform, fill):
    assert lesson.stray_pixels(transform, fill=fill) == 0
    assert not lesson.colour_leaks(transform)


# The breaks on street scenes, with their damage ----------------------------------------------


def test_a_forgotten_flip_loses_people_and_cars(scenes):
    ids = np.stack([s.mask for s in scenes])
    assert iou(ids, ids[:, :, ::-1], PERSON) < 0.2 and iou(ids, ids[:, :, ::-1], CAR) < 0.5
    t = package.train_transform(128, flip=1, scale=(1, 1), rotate=0, translate=0, colour=0)
    for s in scenes[:5]:
        out = t(image=s.image, mask=s.mask, seed=0)
        assert np.array_equal(out["mask"].numpy(), s.mask[:, ::-1])
        assert np.array_equal(package.denormalise(out["image"]), s.image[:, ::-1])


def test_two_calls_are_two_draws(scenes):
    crop = A.Compose([A.HorizontalFlip(p=0.5), A.RandomCrop(96, 96)], seed=0)
    true = [crop(image=s.image, mask=s.mask)["mask"] for s in scenes]
    given = [crop(image=np.zeros_like(s.image), mask=s.mask)["mask"] for s in scenes]
    assert iou(np.stack(true), np.stack(given), CAR) < 0.5
    t = package.train_transform(96, colour=0)
    a, b = ([t(image=s.image, mask=s.mask, seed=k)["mask"] for k, s in enumerate(scenes)]
            for _ in range(2))
    assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))     # a seed is one draw


def test_brightness_on_ids_turns_people_into_cars(scene):
    bright = np.clip(np.round(scene.mask * 1.5), 0, 255).astype(np.uint8)
    assert (bright[scene.mask == PERSON] == CAR).all() and (bright[scene.mask == CAR] == 3).all()
    with pytest.raises(ValueError, match="outside 0..2"):
        masks.check_ids(bright, 3, 255)
    t = package.train_transform(128, flip=0, scale=(1, 1), rotate=0, translate=0, colour=0.5)
    assert np.array_equal(t(image=scene.image, mask=scene.mask, seed=0)["mask"], scene.mask)


def test_painting_forwards_leaves_holes(scene):
    matrix = lesson.rotation(20, 128, 128)
    y, x = np.mgrid[32:96, 32:96] + 0.5
    to = matrix[:, :2] @ np.stack([x.ravel(), y.ravel()]) + matrix[:, 2:]
    assert len(np.unique(np.floor(to).astype(int), axis=1).T) < 0.95 * x.size
    solid = np.full_like(scene.image, 200)
    assert (lesson.warp(solid, scene.mask, matrix)[0][40:88, 40:88] == 200).all()


def test_a_blended_turn_invents_people_around_cars(scene):
    cars = np.where(scene.mask == CAR, CAR, 0).astype(np.uint8)
    matrix = cv2.getRotationMatrix2D((63.5, 63.5), 20, 1)
    assert (cv2.warpAffine(cars, matrix, (128, 128)) == PERSON).sum() > 20
    t = package.train_transform(128, rotate=20)
    for seed in range(10):
        found = t(image=scene.image, mask=cars, seed=seed)["mask"].unique().tolist()
        assert set(found) <= {0, CAR, 255}


def test_libraries_turn_in_opposite_directions(scene):
    tensor = tv_tensors.Mask(torch.from_numpy(scene.mask))
    ours = lesson.warp(scene.image, scene.mask, lesson.rotation(20, 128, 128))[1]
    same, other = (F.affine(tensor, a, [0, 0], 1.0, [0, 0], fill=255).numpy() for a in (-20, 20))
    assert (same == ours).mean() > 0.999 and (other == ours).mean() < 0.9
    library = A.Affine(rotate=(20, 20), fill_mask=255, p=1)(image=scene.image, mask=scene.mask)
    assert (library["mask"] == ours).mean() > 0.999


def test_a_mask_filled_with_0_calls_black_background(scene):
    matrix = lesson.rotation(25, 128, 128)
    frame = lesson.warp(np.full_like(scene.image, 255), scene.mask, matrix)[0][..., 0] == 255
    wrong = lesson.warp(scene.image, scene.mask, matrix, fill_mask=0)[1]
    cured = lesson.warp(scene.image, scene.mask, matrix)[1]
    assert (~frame).mean() > 0.1
    assert (wrong[~frame] == 0).all() and (cured[~frame] == 255).all()
    assert ((wrong == 0).mean() > (cured == 0)[cured != 255].mean())     # nothing found pays


def test_an_old_argument_name_only_warns_and_strict_refuses(scene):
    with pytest.warns(UserWarning, match="mask_value"):
        old = A.PadIfNeeded(160, 160, border_mode=cv2.BORDER_CONSTANT, mask_value=255, p=1)
    assert A.Compose([old])(image=scene.image, mask=scene.mask)["mask"][0, 0] == 0
    with pytest.raises(ValueError, match="mask_value"):
        A.Compose([old], strict=True)
    out = package.eval_transform(160)(image=scene.image[:100], mask=scene.mask[:100])
    assert (out["mask"][0] == 255).all()


def test_the_fill_of_masks_reaches_instance_maps(scene):
    pad = A.PadIfNeeded(160, 160, border_mode=cv2.BORDER_CONSTANT, fill_mask=255, p=1)
    both = A.Compose([pad], additional_targets={"instances": "mask"})
    out = both(image=scene.image, mask=scene.mask, instances=scene.instances)["instances"]
    assert 255 in out and 255 not in scene.instances
    for backend in ("albumentations", "torchvision"):
        t = package.train_transform(160, scale=(1, 1), backend=backend)
        out = t(image=scene.image, mask=scene.mask, instances=scene.instances, seed=0)
        assert set(out["instances"].unique().tolist()) <= set(np.unique(scene.instances).tolist())


def test_plain_nearest_shifts_in_both_libraries():
    ramp = np.arange(16, dtype=np.uint8)[None].repeat(16, axis=0)
    image = np.dstack([ramp] * 3)
    library = A.Resize(10, 10, p=1)(image=image, mask=ramp)["mask"][0]
    tv = v2.Resize((10, 10))(tv_tensors.Mask(torch.from_numpy(ramp)))[0].numpy()
    assert library.mean() < 7 and tv.mean() < 7                          # of 7.5
    for backend in ("albumentations", "torchvision"):
        t = package.eval_transform(10, backend=backend)
        row = t(image=image, mask=ramp)["mask"][0].float()
        assert abs(row.mean() - 7.5) <= 0.1


def test_torchvision_leaves_a_plain_tensor_where_it_is(scene):
    pair = {"image": tv_tensors.Image(torch.from_numpy(scene.image).permute(2, 0, 1)),
            "mask": torch.from_numpy(scene.mask)}
    flip = v2.RandomHorizontalFlip(p=1)
    out = flip(pair)
    assert np.array_equal(out["image"].permute(1, 2, 0).numpy(), scene.image[:, ::-1])
    assert np.array_equal(out["mask"].numpy(), scene.mask)
    out = flip({**pair, "mask": tv_tensors.Mask(pair["mask"])})
    assert np.array_equal(out["mask"].numpy(), scene.mask[:, ::-1])


def test_torchvision_draws_a_dark_seam():
    gray = torch.full((3, 64, 64), 200, dtype=torch.uint8)
    seam = F.rotate(gray, 20, v2.InterpolationMode.BILINEAR, fill=[200] * 3)
    assert seam.min() < 180
    library = A.Affine(rotate=(20, 20), fill=200, p=1)(image=gray.permute(1, 2, 0).numpy())
    assert library["image"].min() == 200


# Chance ---------------------------------------------------------------------------------------


def outcomes(pipeline, calls=1000):
    """How often no flip, across, down, both."""
    corner, counts = np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), int)
    corner[0, 0] = 255
    for _ in range(calls):
        counts[tuple(np.argwhere(pipeline(image=corner)["image"][..., 0])[0])] += 1
    return counts.ravel()


def test_one_seed_for_all_steps_ties_them_together():
    steps = [A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5)]
    none, across, down, both = outcomes(A.Compose(steps, seed=0))
    assert across == down == 0 and none + both == 1000
    shared = A.Compose(steps)
    shared.set_random_state(np.random.default_rng(0), random.Random(0))
    assert outcomes(shared).min() > 180


@pytest.mark.parametrize("backend", ["albumentations", "torchvision"])
def test_flips_of_the_package_are_independent(backend):
    t = package.train_transform(2, vertical_flip=0.5, scale=(1, 1), rotate=0, translate=0,
                                colour=0, backend=backend)
    mask, image = np.arange(4, dtype=np.uint8).reshape(2, 2), np.zeros((2, 2, 3), np.uint8)
    first = [int(t(image=image, mask=mask, seed=s)["mask"][0, 0]) for s in range(400)]
    assert np.bincount(first, minlength=4).min() > 60


class Unseeded(Dataset):
    """Sixteen draws of a pipeline whose random state travels with it."""

    def __init__(self):
        self.pipeline = A.Compose([A.Affine(translate_percent=(-0.3, 0.3), rotate=(-30, 30), p=1)])
        self.image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)

    def __len__(self):
        return 16

    def __getitem__(self, index):
        return self.pipeline(image=self.image)["image"]


@pytest.mark.parametrize("kept, different", [(False, 8), (True, 16)])
def test_copied_random_states_repeat_themselves(kept, different):
    data, draws, team = Unseeded(), [], None
    for _ in range(2):
        if team is None or not kept:
            team = [copy.deepcopy(data) for _ in range(2)]
        draws += [team[i % 2][i].tobytes() for i in range(16)]
    assert len(set(draws)) == different


@pytest.mark.skipif(sys.platform != "linux", reason="measured where workers are forked")
@pytest.mark.parametrize("kept, different", [(False, 8), (True, 16)])
def test_real_workers_repeat_themselves_as_simulated(kept, different):
    feed = DataLoader(Unseeded(), batch_size=1, num_workers=2, persistent_workers=kept,
                      multiprocessing_context="fork")
    draws = {picture.numpy().tobytes() for _ in range(2) for picture in feed}
    assert len(draws) == different


def test_draws_that_follow_from_numbers_repeat_nothing(scene):
    draws = {lesson.augment(scene.image, scene.mask, (0, epoch, i))[0].tobytes()
             for epoch in range(2) for i in range(16)}
    assert len(draws) == 32
    seen = {}
    for workers in (0, 2):
        data = StreetStream(16, 64, "plain", transform=package.train_transform(48), fresh=False)
        feed = loader(data, batch_size=4, workers=workers)
        seen[workers] = torch.cat([images for _ in range(2) for images, _ in feed])
    assert torch.equal(seen[0], seen[2])
    assert len({picture.numpy().tobytes() for picture in seen[0]}) == 32


# Boxes ----------------------------------------------------------------------------------------


def test_turned_corners_are_loose_and_turned_ids_tight(scene):
    ids, _, separate = masks.split_instances(scene.instances)
    boxes = masks.boxes_from_masks(separate)
    matrix = lesson.rotation(30, 128, 128)
    turned = lesson.warp(scene.image, scene.instances, matrix, fill_mask=0)[1]
    loose, rows = lesson.warp_boxes(boxes, matrix, 128, 128)
    present, _, separate = masks.split_instances(turned)
    tight = masks.boxes_from_masks(separate)
    of = {ids[row]: box for row, box in zip(rows, loose, strict=True)}
    size = [(b[2] - b[0]) * (b[3] - b[1]) for b in (*[of[k] for k in present], *tight)]
    assert sum(size[:len(present)]) > 1.2 * sum(size[len(present):])
    for k, box in zip(present, tight, strict=True):
        assert (of[k][:2] <= box[:2] + 1e-6).all() and (of[k][2:] >= box[2:] - 1e-6).all()
