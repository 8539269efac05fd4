"""The capstone: what it refuses, its rubric, its stand-ins, and both of its editions."""

import json
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
from lessons import definitions
from PIL import Image

from segutils.exercises import capstone
from segutils.grading.submissions import GradingError, courses, submissions
from segutils.masks import encode_rle, read_image, write_mask

ROOT = Path(__file__).resolve().parents[1]
CLASSES = ("background", "vehicle", "person")


@pytest.fixture(scope="module")
def its():
    """What the notebook's `defines` cells define."""
    return definitions("capstone")


def said(function, *arguments, **options):
    """The one line with which a function refuses."""
    with pytest.raises(ValueError) as error:
        function(*arguments, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


# ---- taking photographs in ----------------------------------------------------------------------


def photograph(path, image, turned=False):
    """Saved lying, with the note that says so, as a telephone does; always with a GPS position."""
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x8825] = {1: "N", 2: (1.0, 2.0, 3.0)}
    if turned:
        image, exif[0x0112] = np.rot90(image), 6
    Image.fromarray(np.ascontiguousarray(image)).save(path, exif=exif, quality=95)


def halves(height, width):
    """A picture, black above and white below."""
    image = np.zeros((height, width, 3), np.uint8)
    image[height // 2:] = 255
    return image


def test_photographs_come_in_upright_small_and_without_exif(its, tmp_path):
    photograph(tmp_path / "photos" / "mill" / "A.JPG", halves(80, 60), turned=True)
    photograph(tmp_path / "photos" / "mill" / "b.jpg", halves(20, 30))
    (tmp_path / "photos" / "mill" / ".DS_Store").write_text("")
    assert its.take_in(tmp_path / "photos", tmp_path / "images", 40) == ["mill_A", "mill_b"]
    for name, shape in (("mill_A", (40, 30)), ("mill_b", (20, 30))):  # small ones are left
        with Image.open(tmp_path / "images" / f"{name}.jpg") as image:
            assert not dict(image.getexif()) and image.size == shape[::-1]
            pixels = np.array(image.convert("L"))
        assert pixels[:shape[0] // 3].max() < 30 and pixels[-shape[0] // 3:].min() > 225


def test_what_is_covered_is_grey_and_nothing_else(its, tmp_path):
    photograph(tmp_path / "photos" / "mill" / "a.jpg", halves(64, 64))
    its.take_in(tmp_path / "photos", tmp_path / "images", 64, {"mill_a": [(0, 0, 16, 32)]})
    pixels = read_image(tmp_path / "images" / "mill_a.jpg").astype(int)
    assert abs(pixels[:32, :16] - 128).max() < 12
    assert pixels[:32, 24:].max() < 12 and pixels[40:].min() > 240


def test_photographs_in_the_wrong_place_are_named(its, tmp_path):
    photos, images = tmp_path / "photos", tmp_path / "images"
    photograph(photos / "mill" / "a.jpg", halves(8, 8))
    cover = {"mill_b": [(0, 0, 1, 1)]}
    assert "not there: mill_b" in said(its.take_in, photos, images, 64, cover)
    photograph(photos / "mill" / "a.png", halves(8, 8))
    assert "mill: two photographs are called a" in said(its.take_in, photos, images, 64)
    (photos / "mill" / "a.png").unlink()
    for wrong in ("loose.jpg", "old_mill/a.jpg", "x/y/a.jpg"):
        wrong = photos / wrong
        photograph(wrong, halves(8, 8))
        assert f"wanted photos/SCENE/{wrong.name}" in said(its.take_in, photos, images, 64)
        wrong.unlink()
    (photos / "mill" / "c.heic").write_bytes(b"\0\0\0\x18ftypheic")
    assert "c.heic: is not a readable image" in said(its.take_in, photos, images, 64)


# ---- labels -------------------------------------------------------------------------------------

# Corners lie on pixel edges, so that what is inside can be counted on paper.
SQUARE, HOLE, CORNER = ([[1, 1], [5, 1], [5, 4], [1, 4]], [[2, 2], [4, 2], [4, 3], [2, 3]],
                        [[5, 0], [6, 0], [6, 1], [5, 1]])
PAINTED = [[0, 0, 0, 0, 0, 255],
           [0, 1, 1, 1, 1, 0],
           [0, 1, 0, 0, 1, 0],
           [0, 1, 1, 1, 1, 0]]


def shape(label, points, kind="polygon"):
    return {"label": label, "points": points, "group_id": None, "shape_type": kind, "flags": {}}


def labelme(*shapes):
    """A file as labelme 5 writes it, by its documentation."""
    return {"version": "5.5.0", "flags": {}, "shapes": list(shapes), "imagePath": "a.jpg",
            "imageData": None, "imageHeight": 4, "imageWidth": 6}


def test_polygons_of_labelme_lie_on_one_another(its):
    about = labelme(shape("vehicle", SQUARE), shape("background", HOLE), shape("void", CORNER))
    mask = its.labelme_mask(about, CLASSES)
    assert mask.tolist() == PAINTED and mask.dtype == np.uint8
    about = labelme(shape("vehicle", SQUARE), shape("person", HOLE))
    assert its.labelme_mask(about, CLASSES)[2].tolist() == [0, 1, 2, 2, 1, 0]
    assert its.labelme_mask(labelme(), CLASSES).tolist() == [[0] * 6] * 4


def test_labels_and_shapes_that_nobody_meant_are_refused(its):
    line = said(its.labelme_mask, labelme(shape("vehicel", SQUARE)), CLASSES, "a.json")
    assert line.startswith("a.json: ") and "'vehicel'" in line and "'vehicle'" in line
    line = said(its.labelme_mask, labelme(shape("vehicle", SQUARE[:2], "rectangle")), CLASSES)
    assert "holds a rectangle, and polygons are wanted" in line


def coco(*annotations):
    """A file as COCO's page on its format has it."""
    return {
        "images": [{"id": 7, "file_name": "mill_a.jpg", "height": 4, "width": 6},
                   {"id": 9, "file_name": "mill_b.jpg", "height": 2, "width": 2}],
        "categories": [{"id": 3, "name": "vehicle"}, {"id": 1, "name": "void"},
                       {"id": 5, "name": "background"}, {"id": 4, "name": "wheel"}],
        "annotations": [{"id": k, "image_id": 7, "category_id": c, "segmentation": s}
                        for k, (c, s) in enumerate(annotations)],
    }


def flat(*rings):
    return [[xy for point in ring for xy in point] for ring in rings]


def test_cocos_polygons_and_run_lengths(its):
    about = coco((3, flat(SQUARE)), (5, flat(HOLE)), (1, flat(CORNER)))
    found = its.coco_masks(about, CLASSES)
    assert found["mill_a"].tolist() == PAINTED and found["mill_b"].tolist() == [[0, 0], [0, 0]]
    square = np.array(PAINTED) == 1
    for compressed in (True, False):
        about = coco((3, encode_rle(square, compressed)), (1, flat(CORNER)))
        assert its.coco_masks(about, CLASSES)["mill_a"].tolist() == PAINTED
    two_parts = its.coco_masks(coco((3, flat(HOLE, CORNER))), CLASSES)["mill_a"]
    assert two_parts.sum() == 3 and two_parts[0, 5] == 1
    assert "'wheel'" in said(its.coco_masks, coco((4, flat(SQUARE))), CLASSES)


# ---- a folder that is wrong ---------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    """Three sound pairs: each class is there, and one mask is all background but a little void."""
    masks = [np.zeros((40, 60), np.uint8) for _ in range(3)]
    masks[0][10:30, 10:30], masks[0][:4] = 1, 2
    masks[1][20:, :30] = 1
    masks[2][:2, :5] = 255
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for stem, mask in zip("abc", masks, strict=True):
        Image.fromarray(halves(40, 60)).save(tmp_path / "images" / f"{stem}.jpg")
        write_mask(tmp_path / "masks" / f"{stem}.png", mask)
    return tmp_path


def mask_of(folder, stem):
    return np.array(Image.open(folder / "masks" / f"{stem}.png"))


def white(folder):
    write_mask(folder / "masks" / "b.png", 255 * mask_of(folder, "b"))


def grey(folder):
    write_mask(folder / "masks" / "b.png", np.where(mask_of(folder, "b"), 128, 0).astype(np.uint8))


def three_values(folder):
    """As a drawing program saves two classes: 0, 128 and 255."""
    values = np.array([0, 128, 255], np.uint8)
    write_mask(folder / "masks" / "a.png", values[mask_of(folder, "a")])


def smaller(folder):
    write_mask(folder / "masks" / "b.png", mask_of(folder, "b")[::2, ::2].copy())


def turned(folder):
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down: sizes agree, and nothing else would tell
    Image.fromarray(halves(40, 60)).save(folder / "images" / "c.jpg", exif=exif)


def no_person(folder):
    write_mask(folder / "masks" / "a.png", np.minimum(mask_of(folder, "a"), 1))


def alone(folder):
    (folder / "masks" / "c.png").unlink()


def test_a_sound_folder_passes(its, folder):
    pairs = its.checked(folder, CLASSES)
    assert pairs.stems == ["a", "b", "c"] and pairs[0][1].max() == 2


@pytest.mark.parametrize(("spoil", "says"), [
    (white, r"^b: 25% of its mask is 255, which is void, and 0% a thing"),
    (grey, r"b\.png: holds ids outside 0\.\.2: 128 in 600 pixels"),
    (three_values, r"a\.png: holds ids outside 0\.\.2: 128 in 400 pixels"),
    (smaller, r"b\.jpg is \(40, 60\) but .*b\.png is \(20, 30\)"),
    (turned, r"^c\.jpg: is stored turned"),
    (no_person, r"^no mask holds person"),
    (alone, r"1 image without a mask \(c\.jpg\)"),
])
def test_a_spoilt_folder_is_refused_in_one_line(its, folder, spoil, says):
    spoil(folder)
    assert re.search(says, said(its.checked, folder, CLASSES))


def test_a_rim_of_void_is_no_fault(its, folder):
    """Pets' masks have one; it is smaller than the thing."""
    mask = mask_of(folder, "b")
    mask[20:24, :30] = 255
    write_mask(folder / "masks" / "b.png", mask)
    assert its.checked(folder, CLASSES)


def test_the_test_set_is_scored_once(its, tmp_path):
    assert its.open_test(tmp_path, "U-Net, 50 steps") == 1
    line = said(its.open_test, tmp_path, "U-Net, 500 steps")
    assert line.startswith("the test set was scored before (U-Net, 50 steps)")
    assert its.open_test(tmp_path, "U-Net, 50 steps", again="run from the top") == 2
    assert (tmp_path / "test_scored.txt").read_text().splitlines() == [
        "U-Net, 50 steps", "U-Net, 50 steps; again, as run from the top"
    ]


# ---- the stand-ins ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory):
    """Four places of them, five photographs each; the fourth is an upright one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(capstone, "PLACES", capstone.PLACES[:4])
        yield [capstone.stand_ins(tmp_path_factory.mktemp("stand"), each=5) for _ in range(2)]


def files(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_stand_ins_are_what_a_telephone_and_a_tool_would_have_saved(its, stand_ins):
    folder = stand_ins[0]
    photos = sorted((folder / "photos").glob("*/*.jpg"))
    assert len(photos) == 20 and len({p.parent.name for p in photos}) == 4
    lying = [p for p in photos if Image.open(p).getexif().get(0x0112, 1) == 6]
    assert 0 < len(lying) < 10
    for photo in photos:
        assert Image.open(photo).size == (512, 384)
        shape = read_image(photo).shape[:2]
        assert shape == ((512, 384) if photo in lying else (384, 512))
        file = folder / "labels" / f"{photo.parent.name}_{photo.stem}.json"
        about = json.loads(file.read_text())
        assert (about["imageHeight"], about["imageWidth"]) == tuple(n // 2 for n in shape)
        assert {s["label"] for s in about["shapes"]} <= {"vehicle", "background", "void"}


def test_the_same_seed_writes_the_same_labels(stand_ins):
    one, other = stand_ins
    assert files(one) == files(other)
    for name in files(one):
        if name.endswith(".json"):
            assert (one / name).read_bytes() == (other / name).read_bytes()


def test_the_second_labels_nearly_agree_with_the_first(its, stand_ins):
    folder = stand_ins[0]
    for file in sorted((folder / "labels_again").glob("*.json")):
        first, second = (its.labelme_mask(json.loads((folder / where / file.name).read_text()),
                                          CLASSES) for where in ("labels", "labels_again"))
        both, either = ((first == 1) & (second == 1)).sum(), ((first == 1) | (second == 1)).sum()
        assert first.shape == second.shape and not np.array_equal(first, second)
        assert both / either > 0.8, file.name


def test_an_outline_is_that_of_the_instances_it_was_drawn_from(its):
    """A square car with a square hole, 100 and 40 pixels wide, at half its size."""
    instances = np.zeros((384, 512), np.uint16)
    instances[100:200, 200:300] = 2001
    instances[130:170, 230:270] = 1001
    instances[10:20, 10:20] = 2002
    about = capstone._outlined(instances, Path("mill_a.json"), np.random.default_rng(0))
    mask = its.labelme_mask(about, CLASSES)
    assert mask.shape == (192, 256)
    inner = np.zeros_like(mask)
    inner[50:100, 100:150] = 1
    inner[65:85, 115:135] = 0
    inner[5:10, 5:10] = 255  # 25 pixels: too small to name
    assert (mask != inner).mean() < 0.01 and (mask == 255).any()
    assert (mask[69:81, 119:131] == 0).all() and (mask[54:61, 104:146] == 1).all()


# ---- the rubric ---------------------------------------------------------------------------------


def rubric(text):
    """[(criterion, points of its levels, points of its descriptions), ...] and the last row."""
    rows = re.findall(r"(?m)^\| (\d \D+?) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", text)
    lists = dict(re.findall(r"(?ms)^\*\*(\d [^*]+)\*\*\n\n((?:- .*?)+?)(?=\n\n)", text))
    table = [(name, [*map(int, levels)],
              [int(n) for n in re.findall(r"(?m)^- \*\*(\d+)\*\* ", lists[name])])
             for name, *levels in rows]
    (total,) = re.findall(r"(?m)^\| all \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", text)
    return table, [*map(int, total)]


def cell(edition, heading):
    notebook = nbformat.read(ROOT / "notebooks" / edition / "capstone.ipynb", as_version=4)
    (found,) = [c.source for c in notebook.cells if c.source.startswith(heading)]
    return found


@pytest.mark.parametrize("place", ["exercises", "solutions", "INSTRUCTORS.md"])
def test_the_rubrics_points_add_up_in_every_place(place):
    text = (ROOT / place).read_text(encoding="utf-8") if place.endswith(".md") else cell(
        place, "## The rubric")
    table, total = rubric(text)
    assert len(table) == 8
    for name, levels, described in table:
        assert levels == described == [0, levels[3] // 3, 2 * levels[3] // 3, levels[3]], name
    columns = zip(*(levels for _, levels, _ in table), strict=True)
    assert [sum(column) for column in columns] == total
    said_total, data, evaluation, rest = map(int, re.search(
        r"\*\*(\d+) points\*\*: (\d+) for the data, (\d+) for the evaluation, (\d+) for", text
    ).groups())
    most = {int(name[0]): levels[3] for name, levels, _ in table}
    assert said_total == total[3] == sum(most.values())
    assert data == most[2] + most[3] + most[4] and evaluation == most[6] + most[7]
    assert rest == most[1] + most[5] + most[8] < data


def test_the_rubric_is_the_same_in_both_places():
    page = (ROOT / "INSTRUCTORS.md").read_text(encoding="utf-8")
    ours = cell("exercises", "## The rubric").split("\n", 1)[1].strip()
    assert ours in page and cell("solutions", "## The rubric").endswith(ours)


def test_caps_name_points_that_there_are():
    text = cell("exercises", "## The rubric")
    caps = text[text.index("**Caps**"):]
    levels = {name[2:].split()[0].lower(): points for name, points, _ in rubric(text)[0]}
    named = re.findall(r"(measurement|report) at most (\d+)", caps)
    assert len(named) == 3
    assert all(int(points) in levels[name] for name, points in named)
    assert "leak" in caps and "all at most 36" in caps


def test_the_steps_minutes_add_up():
    text = cell("exercises", "## The steps")
    rows = [int(n) for n in re.findall(r"(?m)^\| \d+ .*\| (\d+) \|$", text)]
    assert len(rows) == 10
    assert sum(rows) == int(re.search(r"(?m)^\| all \| \| (\d+) \|$", text)[1])
    head = " ".join(cell("exercises", "# Capstone").split())
    assert f"about {round(sum(rows) / 60)} hours in all" in head


# ---- the editions -------------------------------------------------------------------------------


def outputs(edition):
    notebook = nbformat.read(ROOT / "notebooks" / edition / "capstone.ipynb", as_version=4)
    assert not [o for c in notebook.cells for o in c.get("outputs", ()) if o.output_type == "error"]
    return "\n".join(o.text for c in notebook.cells for o in c.get("outputs", ())
                     if o.output_type == "stream")


def test_the_students_edition_runs_untouched_and_says_what_is_open():
    text = outputs("exercises")
    assert text.count("STAND-INS. These pictures are drawn, not yours") == 2
    for line in ("`agreement` is not written yet", "`commonest` is not written yet",
                 "not drawn yet: floor, ceiling, interval", "○ pictures of your own",
                 "○ the agreement with yourself", "○ a floor", "○ an interval over scenes",
                 "the test set was scored 1 time\n"):
        assert line in text, line


def test_the_worked_edition_is_worked():
    text = outputs("solutions")
    assert text.count("✓") == 7 and text.count("○") == 1 and "○ pictures of your own" in text
    assert "not drawn yet: nothing" in text and "not written yet" not in text
    source = (ROOT / "notebooks" / "solutions" / "capstone.ipynb").read_text(encoding="utf-8")
    assert "**Yours" not in source


def test_it_shows_what_each_trap_is_answered_with():
    for edition in ("exercises", "solutions"):
        text = outputs(edition)
        for line in ("128 in ", "which is void", "are they a pair", "is stored turned", "a leak;"):
            assert line in text, line


def test_it_is_built_in_two_editions_and_is_no_source_of_nbgrader(build, tmp_path, capsys):
    made = build.targets(names=["capstone"])
    assert [target.name for target in made] == ["exercises/capstone", "solutions/capstone"]
    assert build.main(["--nbgrader", str(tmp_path / "out"), "capstone"]) == 1
    assert "none of these is an exercise" in capsys.readouterr().err


# ---- handed in ----------------------------------------------------------------------------------


def save(path, *cells):
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = [nbformat.v4.new_code_cell(source) for source in cells]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)


@pytest.mark.parametrize("name", ["anna/capstone.ipynb", "anna_capstone.ipynb", "Capstone.ipynb",
                                  "anna/my capstone-2.ipynb"])
def test_a_capstone_among_submissions_is_left_to_a_person(tmp_path, name):
    save(tmp_path / name, "banner()")
    save(tmp_path / "max" / "ex03.ipynb", "x = 1")
    found, notes = submissions(tmp_path, courses())
    assert [s.student for s in found] == ["max"]
    assert notes == [f"{name}: a capstone, which no machine marks: mark it by the rubric in "
                     "INSTRUCTORS.md"]


def test_capstones_alone_are_no_submissions(tmp_path):
    save(tmp_path / "anna" / "capstone.ipynb", "banner()")
    with pytest.raises(GradingError, match="no submission found .*a capstone"):
        submissions(tmp_path, courses())


def test_an_exercise_is_graded_whatever_its_file_is_called(tmp_path):
    save(tmp_path / "anna" / "capstone.ipynb", 'check("ex03.up", up)')
    found, notes = submissions(tmp_path, courses())
    assert [s.lesson for s in found] == ["ex03"] and notes == []
