"""Pictures of pictures: overlays, error maps, grids, contact sheets, learning curves.

Arrays in, arrays or matplotlib figures out. Lesson 01 builds the overlay by hand, both ways.
"""

from collections.abc import Callable, Sequence
from math import ceil

import cv2
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from segutils.masks import CLASSES, IGNORE, PALETTE

# The marks of an error map, in the order of their ids 0..4; void keeps its own colour.
ERRORS = ("right: background", "right: object", "missed", "false alarm", "wrong class")
ERROR_PALETTE = PALETTE.copy()
ERROR_PALETTE[:5] = [(40, 40, 40), (150, 150, 150), (230, 159, 0), (86, 180, 233), (204, 121, 167)]

LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito, 2008


def use_style() -> None:
    """Set the course's matplotlib style: quiet axes, 80 dpi, colours that colour-blind readers tell
    apart (Okabe and Ito, "Color Universal Design", 2008)."""
    plt.rcParams.update({
        "figure.dpi": 80, "savefig.dpi": 80, "figure.constrained_layout.use": True,
        "figure.facecolor": "white", "font.size": 11, "axes.titlesize": 11,
        "axes.prop_cycle": plt.cycler(color=LINES), "axes.spines.top": False,
        "axes.spines.right": False, "axes.grid": False, "image.interpolation": "nearest",
        "legend.frameon": False, "lines.linewidth": 2,
    })


def _check_pair(image: np.ndarray, mask: np.ndarray) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"the image is {image.dtype} {image.shape}; give (H, W, 3) uint8 RGB "
                         "(segutils.augment.denormalise turns a normalised tensor back)")
    if mask.shape != image.shape[:2]:
        raise ValueError(f"the mask is {mask.shape} and the image {image.shape[:2]}; resize the "
                         "mask with segutils.masks.resize_mask, or find its own image")
    whole = np.issubdtype(mask.dtype, np.integer)
    if not whole or mask.size and not 0 <= mask.min() <= mask.max() <= 255:
        raise ValueError(f"the mask is {mask.dtype} with values {mask.min()}..{mask.max()}; give "
                         "class ids 0..255 (argmax logits first)")


def overlay(image: np.ndarray, mask: np.ndarray, alpha: float = 0.5,
            palette: np.ndarray = PALETTE, outline: bool = False) -> np.ndarray:
    """Blend a mask's colours into an image with OpenCV; background (0) stays as it is.

    Args:
        image: (H, W, 3) uint8 RGB.
        mask: (H, W) integer ids 0..255; void (255) is drawn in its own light grey.
        alpha: 0 shows the image alone, 1 the colours alone.
        palette: (256, 3) uint8 RGB, the colour of each id.
        outline: draw only the pixels of a region that touch another id.

    Returns:
        (H, W, 3) uint8 RGB, a new array.

    Raises:
        ValueError: sizes or types do not fit, or `alpha` is not within 0..1.
    """
    _check_pair(image, mask)
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha={alpha} is not within 0 (image alone) and 1 (colours alone)")
    mask = np.ascontiguousarray(mask, dtype=np.uint8)
    table = np.ascontiguousarray(palette, dtype=np.uint8).reshape(256, 1, 3)
    colours = cv2.LUT(cv2.merge([mask] * 3), table)
    blended = cv2.addWeighted(image, 1 - alpha, colours, alpha, 0)
    painted = edges(mask) & (mask > 0) if outline else mask > 0
    return np.where(painted[..., None], blended, image)


def edges(mask: np.ndarray) -> np.ndarray:
    """Pixels with a neighbour (left, right, above, below) of another id: (H, W) -> (H, W) bool."""
    edge = np.zeros(mask.shape, dtype=bool)
    across, down = mask[:, 1:] != mask[:, :-1], mask[1:] != mask[:-1]
    edge[:, 1:] |= across
    edge[:, :-1] |= across
    edge[1:] |= down
    edge[:-1] |= down
    return edge


def overlay_axes(ax: Axes, image: np.ndarray, mask: np.ndarray, alpha: float = 0.5,
                 palette: np.ndarray = PALETTE) -> Axes:
    """Draw the same overlay with matplotlib, as two `imshow` layers; background stays clear.

    `vmin` and `vmax` are fixed, so that the colour of an id never depends on which ids a picture
    holds (autoscaling is one of the traps of lesson 01). Arguments as for `overlay`.
    """
    _check_pair(image, mask)
    ax.imshow(image)
    ax.imshow(np.ma.masked_equal(mask, 0), cmap=ListedColormap(palette / 255), vmin=0, vmax=255,
              alpha=alpha, interpolation="nearest")
    ax.axis("off")
    return ax


def error_ids(pred: np.ndarray, target: np.ndarray, ignore_index: int = IGNORE) -> np.ndarray:
    """Say of each pixel how a prediction errs: (H, W), (H, W) ids -> (H, W) uint8 of `ERRORS`.

    0 right background, 1 right object, 2 missed (predicted background), 3 false alarm (truth is
    background), 4 one object class for another; void pixels of the target stay `ignore_index`.
    """
    if pred.shape != target.shape:
        raise ValueError(f"the prediction is {pred.shape} and the target {target.shape}; "
                         "resize the logits to the target, not the target to them")
    kinds = np.select(
        [target == ignore_index, pred == target, pred == 0, target == 0],
        [ignore_index, (target > 0).astype(int), 2, 3], default=4)
    return kinds.astype(np.uint8)


def error_map(pred: np.ndarray, target: np.ndarray, ignore_index: int = IGNORE) -> np.ndarray:
    """Draw `error_ids` in `ERROR_PALETTE`: (H, W), (H, W) ids -> (H, W, 3) uint8 RGB."""
    return ERROR_PALETTE[error_ids(pred, target, ignore_index)]


def contact_sheet(images: Sequence[np.ndarray], columns: int = 8, zoom: int = 1,
                  gap: int = 4) -> np.ndarray:
    """Lay pictures of one size out on white, row by row: N x (H, W, 3) uint8 -> one such array."""
    images = list(images)
    shapes = {image.shape for image in images}
    if len(shapes) != 1:
        raise ValueError(f"a contact sheet wants pictures of one shape, and got {sorted(shapes)}")
    height, width, _ = (s * z for s, z in zip(images[0].shape, (zoom, zoom, 1), strict=True))
    rows, columns = ceil(len(images) / columns), min(columns, len(images))
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for k, image in enumerate(images):
        y, x = k // columns * (height + gap), k % columns * (width + gap)
        sheet[y:y + height, x:x + width] = image.repeat(zoom, axis=0).repeat(zoom, axis=1)
    return sheet


def grid(pictures: Sequence[np.ndarray], titles: Sequence[str] = (), columns: int = 4,
         caption: str = "", side: float = 2.4, legend: Sequence[Patch] = ()) -> Figure:
    """Show pictures side by side, each with a title, one caption and one legend below them.

    Args:
        pictures: arrays that `imshow` takes; (H, W) ones are shown in gray from their least to
            their greatest value, so draw class ids with `segutils.masks.colorize` first.
        titles: a title for each picture, or none.
        side: width of a picture on the page, in inches.
    """
    columns = min(columns, len(pictures))
    rows = ceil(len(pictures) / columns)
    height = side * pictures[0].shape[0] / pictures[0].shape[1] + 0.05
    extra = 0.3 * ceil(len(titles) / columns) + 0.3 * bool(caption) + 0.35 * bool(legend)
    fig, axes = plt.subplots(rows, columns, squeeze=False,
                             figsize=(side * columns, height * rows + extra))
    for k, ax in enumerate(axes.flat):
        ax.axis("off")
        if k < len(pictures):
            ax.imshow(pictures[k], cmap="gray")
        if k < len(titles):
            ax.set_title(titles[k])
    below(fig, caption, legend)
    return fig


def below(fig: Figure, caption: str = "", legend: Sequence[Patch] = ()) -> None:
    """Write a caption that says what to see, and a legend, below a figure."""
    if legend:  # the caption as its title: the layout makes room for a legend, but not for both
        box = fig.legend(handles=list(legend), loc="outside lower center", ncols=len(legend),
                         title=caption or None, title_fontsize=11)
        box.get_title().set_color("#444444")
    elif caption:
        fig.supxlabel(caption, fontsize=11, color="#444444")


def class_legend(classes: Sequence[str] = CLASSES, palette: np.ndarray = PALETTE,
                 void: bool = True) -> list[Patch]:
    """Legend entries for classes 1, 2, ... (background is not painted), and for void."""
    named = list(enumerate(classes))[1:] + ([(IGNORE, "void")] if void else [])
    return [Patch(facecolor=palette[k] / 255, edgecolor="#666666", label=name) for k, name in named]


def error_legend() -> list[Patch]:
    """Legend entries for the marks of an error map."""
    return [Patch(facecolor=colour / 255, edgecolor="#666666", label=name)
            for name, colour in zip(ERRORS, ERROR_PALETTE, strict=False)]


def learning_curves(rows: Sequence[dict], fig: Figure | None = None, caption: str = "") -> Figure:
    """Draw the loss (left) and validation IoU (right) over the steps of a run. Lesson 05.

    Args:
        rows: one dictionary each validation, with step, train_loss, val_loss, miou and
            iou_<class> (`segutils.train.History.rows`).
        fig: a figure to draw over again, for a live curve; a new one without it.
    """
    fig = fig or plt.figure(figsize=(9, 3))
    fig.clear()
    left, right = fig.subplots(1, 2)
    steps = [row["step"] for row in rows]
    for key, name in (("train_loss", "training"), ("val_loss", "validation")):
        left.plot(steps, [row[key] for row in rows], ".-", label=name)
    left.set(xlabel="step", ylabel="loss", ylim=(0, None))
    for key in rows[0] if rows else ():
        if key.startswith("iou_"):
            right.plot(steps, [row[key] for row in rows], ".-", linewidth=1, label=key[4:])
    right.plot(steps, [row["miou"] for row in rows], "k.-", label="mean")
    right.set(xlabel="step", ylabel="validation IoU", ylim=(0, 1))
    left.legend(fontsize=9)
    right.legend(fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
    below(fig, caption)
    return fig


def live_curves(caption: str = "") -> Callable:
    """A hook for `segutils.train.fit(..., on_epoch=...)` that redraws one figure in Jupyter."""
    handle = display(display_id=True)

    def draw(history, model=None) -> None:
        fig = learning_curves(history.rows, caption=caption)
        handle.update(fig)
        plt.close(fig)

    return draw
