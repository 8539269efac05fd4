"""Overlays and error maps against NumPy; figures through what they hold, not how they look."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segutils import show
from segutils.masks import PALETTE


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def scene(seed: int, height: int = 7, width: int = 9) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return image, rng.choice([0, 1, 2, 255], (height, width)).astype(np.uint8)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 1), st.booleans())
def test_overlay_is_within_one_level_of_a_pixel_loop(seed, alpha, outline):
    image, mask = scene(seed)
    out = show.overlay(image, mask, alpha, outline=outline)
    padded = np.pad(mask, 1, mode="edge")
    for y, x in np.ndindex(mask.shape):
        neighbours = {
            padded[y, x + 1],
            padded[y + 2, x + 1],
            padded[y + 1, x],
            padded[y + 1, x + 2],
        }
        expected = image[y, x].astype(float)
        if mask[y, x] != 0 and (not outline or neighbours != {mask[y, x]}):
            expected = (1 - alpha) * expected + alpha * PALETTE[mask[y, x]]
        assert np.abs(out[y, x] - expected).max() <= 1


def test_overlay_leaves_its_inputs_and_the_background_alone():
    image, mask = scene(1)
    kept = image.copy(), mask.copy()
    out = show.overlay(image, mask)
    assert np.array_equal(image, kept[0]) and np.array_equal(mask, kept[1])
    assert np.array_equal(out[mask == 0], image[mask == 0])
    assert np.array_equal(show.overlay(image, mask, 0), image)
    assert np.array_equal(show.overlay(image, mask, 1)[mask > 0], PALETTE[mask[mask > 0]])


def test_matplotlib_paints_the_same_colours_whatever_ids_a_picture_holds():
    """Drawn without a car, a person must keep the colour that he has beside one."""
    image = np.zeros((4, 4, 3), np.uint8)
    for ids in ([1], [1, 2], [1, 2, 255]):
        mask = np.resize(np.array(ids, np.uint8), (4, 4))
        fig = plt.figure(figsize=(1, 1), dpi=40, layout="none")
        show.overlay_axes(fig.add_axes((0, 0, 1, 1)), image, mask, alpha=1)
        fig.canvas.draw()
        drawn = np.asarray(fig.canvas.buffer_rgba())[5::10, 5::10, :3].astype(int)
        assert np.abs(drawn - PALETTE[mask]).max() <= 1


@pytest.mark.parametrize(
    "image, mask, words",
    [
        (np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), np.uint8), "denormalise"),
        (np.zeros((3, 4, 4), np.uint8), np.zeros((4, 4), np.uint8), r"\(H, W, 3\)"),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((2, 2), np.uint8), "resize_mask"),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.float32), "argmax"),
        (np.zeros((4, 4, 3), np.uint8), np.full((4, 4), -1), "0..255"),
        (np.zeros((4, 4, 3), np.uint8), np.full((4, 4), 1001), "0..255"),
    ],
)
def test_a_pair_that_does_not_fit_is_refused_in_one_line(image, mask, words):
    for draw in (show.overlay, lambda i, m: show.overlay_axes(plt.gca(), i, m)):
        with pytest.raises(ValueError, match=words) as caught:
            draw(image, mask)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_alpha_is_within_0_and_1(alpha):
    with pytest.raises(ValueError, match="alpha"):
        show.overlay(*scene(0), alpha=alpha)


def test_error_ids_by_hand():
    target = np.array([[0, 1, 1, 0, 1, 255, 2]])
    pred = np.array([[0, 1, 0, 2, 2, 1, 2]])
    assert show.error_ids(pred, target).tolist() == [[0, 1, 2, 3, 4, 255, 1]]
    assert np.array_equal(show.error_map(pred, target)[0, 2], show.ERROR_PALETTE[2])
    with pytest.raises(ValueError, match="resize the logits"):
        show.error_ids(pred[:, :3], target)


def test_a_contact_sheet_holds_every_picture_in_order():
    images = [np.full((2, 3, 3), k, np.uint8) for k in range(5)]
    sheet = show.contact_sheet(images, columns=2, zoom=2, gap=1)
    assert sheet.shape == (3 * 4 + 2, 2 * 6 + 1, 3)
    for k in range(5):
        y, x = k // 2 * 5, k % 2 * 7
        assert (sheet[y : y + 4, x : x + 6] == k).all()
    assert (sheet[10:, 7:] == 255).all()
    with pytest.raises(ValueError, match="one shape"):
        show.contact_sheet([images[0], images[1][:1]])


def test_a_grid_shows_each_picture_under_its_title():
    pictures = [np.full((4, 4, 3), k, np.uint8) for k in range(3)]
    fig = show.grid(
        pictures, ["a", "b", "c"], columns=2, caption="look", legend=show.class_legend()
    )
    for picture, title, ax in zip(pictures, "abc", fig.axes, strict=False):
        assert ax.get_title() == title and np.array_equal(ax.images[0].get_array(), picture)
    assert fig.legends[0].get_title().get_text() == "look"  # above the legend, not under it
    assert show.grid(pictures, caption="look").get_supxlabel() == "look"
    assert [t.get_text() for t in fig.legends[0].get_texts()] == ["person", "car", "void"]


def test_learning_curves_can_be_drawn_over_again():
    rows = [
        {"step": 10, "train_loss": 1.0, "val_loss": 1.5, "miou": 0.4, "iou_car": 0.3},
        {"step": 20, "train_loss": 0.5, "val_loss": 0.9, "miou": 0.6, "iou_car": float("nan")},
    ]
    fig = show.learning_curves(rows[:1])
    assert show.learning_curves(rows, fig) is fig and len(fig.axes) == 2
    left, right = (
        {line.get_label(): list(line.get_ydata()) for line in ax.lines} for ax in fig.axes
    )
    assert left == {"training": [1.0, 0.5], "validation": [1.5, 0.9]}
    assert right["mean"] == [0.4, 0.6] and right["car"][0] == 0.3
