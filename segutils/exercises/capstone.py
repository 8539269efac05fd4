"""Stand-ins for a student's own photographs, so that the capstone runs before there are any.

`stand_ins` writes drawn streets as somebody might have taken and labelled them: several pictures
of each place, some of them stored turned, with a GPS position, and outlines that are a little off.
"""

import json
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from segutils import masks, street

PLACES = ("bakery", "bridge", "bus-stop", "canal", "chapel", "cinema", "corner", "crossing",
          "dairy", "fountain", "gate", "harbour", "library", "market", "mill", "park", "pharmacy",
          "school", "station", "tower")
SIDE = 640  # of the drawn street that a place's photographs are cut out of
PHOTO = (384, 512)  # height and width of a photograph; upright ones the other way round
LABELLED = 256  # the longer side of the pictures that are labelled
TOO_SMALL = 60  # pixels of a labelled picture: a smaller vehicle is outlined as void
TWICE = 10  # pictures that were labelled a second time
CAR = 2
ORIENTATION, GPS = 0x0112, 0x8825  # tags of EXIF, CIPA DC-008


def stand_ins(folder, each: int = 3, seed: int = 70) -> Path:
    """Write photographs and labels into a folder, and return it.

    photos/PLACE/IMG_NNNN.jpg: `each` photographs of each of `PLACES`, every seventh stored turned.
    labels/PLACE_IMG_NNNN.json: the outlines of vehicles in labelme's format, in pixels of the
    upright picture, shrunk to a longer side of `LABELLED`; small ones are labelled "void".
    labels_again/: the outlines of ten of them, drawn once more. The same seed writes the same.
    """
    folder, rng = Path(folder), np.random.default_rng(seed)
    for name in ("photos", "labels", "labels_again"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    every = max(1, len(PLACES) * each // TWICE)
    for number, place in enumerate(PLACES):
        scene = street.draw(_with_cars(seed, number), SIDE, "plain")
        for k in range(number * each, (number + 1) * each):
            image, instances = _snap(scene, upright=k % 7 == 3, rng=rng)
            name = f"IMG_{2041 + k}"
            (folder / "photos" / place).mkdir(exist_ok=True)
            _save(folder / "photos" / place / f"{name}.jpg", image)
            labels = ["labels", "labels_again"] if k % every == 0 else ["labels"]
            for path in (folder / where / f"{place}_{name}.json" for where in labels):
                path.write_text(json.dumps(_outlined(instances, path, rng)), encoding="utf-8")
    return folder


def _with_cars(seed, number):
    """The seed of a place's street: the first with cars on it, out of those of its own."""
    own = (street.scene_seed(seed, 100 * number + k) for k in range(100))
    return next(s for s in own if (street.draw(s, 64, "plain").mask == CAR).sum() > 200)


def _snap(scene, upright, rng):
    """A window of the street, a little brighter or darker: (image, instances)."""
    height, width = PHOTO[::-1] if upright else PHOTO
    y = SIDE - height - int(rng.integers(0, min(100, SIDE - height)))
    x = int(rng.integers(0, SIDE - width + 1))
    window = np.s_[y:y + height, x:x + width]
    image = np.clip(scene.image[window] * rng.uniform(0.75, 1.2), 0, 255).astype(np.uint8)
    return image, scene.instances[window]


def _save(path, image):
    """A JPEG as a telephone writes it: upright ones turned, with a note, and all with a place."""
    exif = Image.Exif()
    exif[GPS] = {1: "N", 2: (0.0, 0.0, 0.0), 3: "E", 4: (0.0, 0.0, 0.0)}
    if image.shape[0] > image.shape[1]:
        image, exif[ORIENTATION] = np.ascontiguousarray(np.rot90(image)), 6
    Image.fromarray(image).save(path, quality=92, exif=exif)


def _outlined(instances, path, rng):
    """A labelme file of the cars: corners set by an unsteady hand."""
    scale = LABELLED / max(instances.shape)
    height, width = (round(scale * n) for n in instances.shape)
    shapes, cars = [], np.unique(instances[instances // 1000 == CAR]).tolist()
    for one in sorted(cars, key=lambda k: -(instances == k).sum()):
        body = instances == one
        label = "vehicle" if scale**2 * body.sum() >= TOO_SMALL else "void"
        for ring in masks.to_polygons(body):
            ring = ring.astype(np.int32)
            area = cv2.contourArea(ring, oriented=True)  # negative: a hole, laid on top
            corners = cv2.approxPolyDP(ring, 3.0, closed=True)[:, 0]
            if len(corners) > 2 and abs(area) > 60:
                points = scale * corners + rng.normal(0, 0.6, corners.shape)
                shapes.append({"label": label if area > 0 else "background",
                               "points": points.round(1).tolist(), "group_id": None,
                               "shape_type": "polygon", "flags": {}})
    return {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": f"{path.stem}.jpg",
            "imageData": None, "imageHeight": height, "imageWidth": width}
