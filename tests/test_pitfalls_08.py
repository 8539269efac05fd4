"""Every way in which an overlay lies that lesson 08 shows: the break does damage, the cure none.

Each test makes the mistake, asserts that it costs something (or this would be a test of nothing),
and then asserts what segutils makes of it. No browser is needed for any of them.
"""

from pathlib import Path

import cv2
import explored
import ipywidgets
import numpy as np
import pytest
from lessons import definitions
from PIL import Image

from segutils import explorer as ex
from segutils import masks, show, street
from segutils.exercises.ex01 import distances

FULL = Path(__file__).resolve().parents[1] / "data" / "street" / "full"
ORANGE, BLUE = masks.PALETTE[[1, 2]].astype(int)


@pytest.fixture(scope="module")
def scene():
    """A bright street with a white van, three people, and cars behind them."""
    return street.Scene(masks.read_image(FULL / "images" / "0874.jpg"),
                        *(masks.read_mask(FULL / kind / "0874.png")
                          for kind in ("masks", "instances")))


@pytest.fixture(scope="module")
def picture(scene):
    return ex.Picture(scene.image, scene.mask, {})


def test_colours_added_in_8_bits_wrap_and_ours_do_not(scene, picture):
    image, mask = scene.image, scene.mask
    wrapped = (image + masks.PALETTE[mask]) // 2
    exact = (image.astype(int) + masks.PALETTE[mask]) / 2
    off = np.abs(wrapped - exact).max(axis=2)[mask > 0]
    assert (off > 20).mean() > 0.5
    for drawn in (show.overlay(image, mask), ex.panel(picture, "truth")):
        assert np.abs(drawn - exact).max(axis=2)[mask > 0].max() <= 1


def test_paint_on_the_background_takes_half_of_its_light(scene, picture):
    image, street_ = scene.image, scene.mask == 0
    everything = cv2.addWeighted(image, 0.5, masks.PALETTE[scene.mask], 0.5, 0)
    assert everything[street_].mean() < 0.52 * image[street_].mean()
    for drawn in (show.overlay(image, scene.mask), ex.panel(picture, "truth")):
        assert np.array_equal(drawn[street_], image[street_])
    painted = ex.panel(picture, "truth", ex.State(shown=(0, 1, 2, 255)))
    assert painted[street_].mean() < 0.52 * image[street_].mean(), "unless it is asked for"


def read_by_legend(picture, mask, k):
    """The share of a class's pixels that lie nearer to the other class's colour."""
    own, other = (ORANGE, BLUE) if k == 1 else (BLUE, ORANGE)
    there = picture[mask == k].astype(int)
    return (np.abs(there - other).sum(1) < np.abs(there - own).sum(1)).mean()


def test_an_overlay_written_as_bgr_says_the_opposite_and_a_matrix_mends_it(scene, tmp_path):
    meant = show.overlay(scene.image, scene.mask, 1.0)
    cv2.imwrite(str(tmp_path / "a.png"), meant)
    stored = np.array(Image.open(tmp_path / "a.png"))
    assert all(read_by_legend(stored, scene.mask, k) == 1 for k in (1, 2))
    mended = masks.apply_color_matrix(stored, masks.color_matrix("BGR", "RGB"))
    assert np.array_equal(mended, meant)
    assert all(read_by_legend(mended, scene.mask, k) == 0 for k in (1, 2))


def test_one_matrix_does_not_mend_a_picture_of_which_half_is_swapped(scene):
    half = show.overlay(np.ascontiguousarray(scene.image[..., ::-1]), scene.mask)
    meant = show.overlay(scene.image, scene.mask)
    after = masks.apply_color_matrix(half, masks.color_matrix("BGR", "RGB"))
    off = np.abs(after.astype(int) - meant).max(axis=2) > 20
    assert not off[scene.mask == 0].any() and off[np.isin(scene.mask, (1, 2))].mean() > 0.9


def test_vocs_red_and_green_are_near_without_green_cones_and_ours_are_not():
    blind = "deuteranopia (no green cones)"
    voc, ours = (ex.palette_of(name)[[1, 2]] for name in ("voc", "okabe-ito"))
    assert distances(voc, "full colour vision")[0, 1] > 80 and distances(voc, blind)[0, 1] < 20
    assert distances(ours, blind)[0, 1] > 80
    assert "okabe-ito" in ex.SAFE and "voc" not in ex.SAFE


def test_smoothed_ids_make_a_seam_of_person_and_a_panel_takes_the_nearest(scene):
    ids = (scene.instances // 1000).astype(np.uint8)
    smooth = cv2.resize(ids, None, fx=3, fy=3, interpolation=cv2.INTER_LINEAR)
    true = ids.repeat(3, axis=0).repeat(3, axis=1)
    assert (true[smooth == 1] != 1).mean() > 0.2
    state = ex.State(alpha=1, shown=(0, 1, 2))
    drawn = ex.panel(ex.Picture(scene.image, ids, {}), "truth", state, size=(384, 384))
    assert np.array_equal(drawn, masks.PALETTE[true])


def test_an_outline_of_the_small_picture_covers_the_small_and_a_panels_does_not(scene, picture):
    people = (scene.mask == 1).repeat(4, axis=0).repeat(4, axis=1)
    early = ex.outline(scene.mask, 2).repeat(4, axis=0).repeat(4, axis=1)
    assert (early[people] == 1).mean() > 0.7
    state = ex.State(alpha=1, fill=False, line=2)
    drawn = ex.panel(picture, "truth", state, size=(512, 512))
    orange = (drawn == masks.PALETTE[1]).all(axis=2)
    assert orange[people].mean() < 0.5


def test_a_callback_with_a_memory_depends_on_the_way_and_a_panel_does_not(scene, picture):
    canvas = scene.image.copy()
    for alpha in (0.5, 0.2, 0.0):
        canvas[:] = show.overlay(canvas, scene.mask, alpha)
    assert (np.abs(canvas.astype(int) - scene.image).max(axis=2) > 5)[scene.mask > 0].mean() > 0.9
    before = scene.image.copy(), scene.mask.copy()
    ways = [ex.panel(picture, "truth", ex.State(alpha=a)) for a in (0.5, 0.2, 0.0, 0.5)]
    assert np.array_equal(ways[2], scene.image) and np.array_equal(ways[0], ways[3])
    assert np.array_equal(scene.image, before[0]) and np.array_equal(scene.mask, before[1])


def test_an_error_in_a_callback_does_not_stop_the_notebook():
    tries = []

    def broken(alpha):
        tries.append(alpha)
        raise RuntimeError("nobody hears this")

    widget = ipywidgets.interactive(broken, alpha=(0.0, 1.0))
    widget.children[0].value = 0.75
    assert tries[-1] == 0.75 and widget.result is None
    with pytest.raises(RuntimeError):
        broken(0.5)                                   # called by itself it says so


def test_a_cell_run_twice_observes_twice_and_clearing_leaves_the_explorers_own():
    explorer, log = explored.explorer(), []
    for _ in range(2):
        explorer.observe(lambda change: log.append(change["new"]), "picture")
    explorer.picture = 1
    assert log == [1, 1]
    explorer.unobserve_all("picture")
    explorer.observe(lambda change: log.append(change["new"]), "picture")
    explorer.picture, explorer.picked_at = 2, [2, 5, 7]
    assert log == [1, 1, 2]
    assert explorer.picked["name"] == "street_002.jpg", "the explorer's own go on"


def test_a_jslink_lives_in_the_browser_and_a_link_in_python():
    explorer, slider = explored.explorer(), ipywidgets.FloatSlider(0.5, min=0, max=1)
    ipywidgets.jslink((slider, "value"), (explorer, "alpha"))
    slider.value = 0.9
    assert explorer.alpha == 0.5
    tied = ipywidgets.link((slider, "value"), (explorer, "alpha"))
    assert explorer.alpha == 0.9
    explorer.alpha = 0.25
    assert slider.value == 0.25
    tied.unlink()


def test_worst_first_by_iou_puts_a_pixel_before_a_crowd():
    empty, crowd = np.zeros((2, 20, 20), np.uint8)
    crowd[2:18, 2:18] = 1
    said = [empty.copy(), crowd.copy()]
    said[0][3, 3] = 1                                 # one false pixel
    said[1][:, 4:] = 0                                # seven in eight of the people are missed
    image = np.zeros((20, 20, 3), np.uint8)
    explorer = ex.Explorer([image] * 2, [empty, crowd], {"net": said}, worst=1)
    assert explorer.order() == [0, 1]
    damage = [(a != b).sum() for a, b in zip(said, (empty, crowd), strict=True)]
    assert damage[1] > 200 * damage[0]
    explorer.worst = -1
    assert explorer.order() == [0, 1]


def test_a_small_lost_object_is_all_border():
    lesson = definitions("08_overlay_explorer")
    truth = np.zeros((1, 40, 40), np.uint8)
    truth[0, 10:25, 10:14] = 1                        # a person, four pixels wide
    lost = np.zeros_like(truth)
    assert lesson.border_share(lost, truth) == 1.0
    truth[0, 5:35, 5:35] = 2                          # a large car, lost: most is no border
    assert lesson.border_share(lost, truth) < 0.4
    assert np.isnan(lesson.border_share(truth, truth))


def test_no_threshold_below_a_third_changes_three_classes():
    explorer = explored.explorer()
    for held in explorer.look(0).models.values():
        if held.trust is not None and held.owners is None:
            for cut, same in ((0.0, True), (0.33, True), (0.9, False)):
                state = ex.State(threshold=cut)
                assert np.array_equal(ex.decide(held, state), held.ids) == same


def test_a_picture_stands_in_for_a_widget():
    """What GitHub shows: the richest form that it knows, and that is the PNG."""
    explorer = explored.explorer()
    for layer in ("classes", "errors"):
        explorer.layer = layer
        data, _ = explorer._repr_mimebundle_()
        assert {"application/vnd.jupyter.widget-view+json", "image/png", "text/plain"} <= {*data}
