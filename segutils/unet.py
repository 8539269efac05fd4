"""The U-Net, one file: blocks, and the network they make. Lesson 03 builds it from scratch.

Source: Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image
Segmentation", 2015 (arXiv:1505.04597), figure 1. Differences from the paper, each usual today:
convolutions keep their size (padding 1), so nothing is cropped; normalisation after each
convolution; odd sizes are padded at the way up; a patch stem can halve the picture first.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NORMS = ("batch", "group", "none")
UPS = ("transposed", "bilinear", "shuffle")


def norm_layer(norm: str, channels: int) -> nn.Module:
    """The normalisation layer of a name in `NORMS`; groups hold 8 channels, or all of them."""
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    if norm == "group":
        return nn.GroupNorm(channels // 8 if channels % 8 == 0 else 1, channels)
    if norm == "none":
        return nn.Identity()
    raise ValueError(f"norm={norm!r} is not one of {NORMS}")


class DoubleConv(nn.Module):
    """Twice a 3x3 convolution, normalisation and ReLU: (B, in, H, W) -> (B, out, H, W).

    Built in lesson 03. The convolutions have no bias where a normalisation would undo it.
    """

    def __init__(self, in_channels: int, out_channels: int, norm: str = "batch"):
        super().__init__()
        bias = norm == "none"
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=bias)
        self.norm1 = norm_layer(norm, out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=bias)
        self.norm2 = norm_layer(norm, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(x)))


class Down(nn.Module):
    """Halve, then look again: (B, in, H, W) -> (B, out, H // 2, W // 2). Built in lesson 03."""

    def __init__(self, in_channels: int, out_channels: int, norm: str = "batch"):
        super().__init__()
        self.pool = nn.MaxPool2d(2)
        self.conv = DoubleConv(in_channels, out_channels, norm)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.pool(x))


def upsampler(up: str, in_channels: int, out_channels: int) -> nn.Module:
    """Doubles height and width by a name in `UPS`: (B, in, H, W) -> (B, out, 2H, 2W)."""
    if up == "transposed":
        return nn.ConvTranspose2d(in_channels, out_channels, 2, stride=2)
    if up == "bilinear":
        return nn.Sequential(
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
            nn.Conv2d(in_channels, out_channels, 1),
        )
    if up == "shuffle":
        return nn.Sequential(nn.Conv2d(in_channels, 4 * out_channels, 1), nn.PixelShuffle(2))
    raise ValueError(f"up={up!r} is not one of {UPS}")


class Up(nn.Module):
    """Double, lay the skip beside it, look again. Built in lesson 03.

    x (B, in, h, w) and skip (B, out, H, W) -> (B, out, H, W), where H is 2h or 2h + 1:
    max pooling dropped the last row of an odd size, and it is repeated here.
    """

    def __init__(self, in_channels: int, out_channels: int, norm: str = "batch",
                 up: str = "transposed"):
        super().__init__()
        self.up = upsampler(up, in_channels, out_channels)
        self.conv = DoubleConv(2 * out_channels, out_channels, norm)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = self.up(x)
        x = pad_to(x, skip.shape[-2:])
        return self.conv(torch.cat([skip, x], dim=1))


def pad_to(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Repeat the last row and column of (B, C, h, w) until it is (B, C, *size)."""
    bottom, right = size[0] - x.shape[-2], size[1] - x.shape[-1]
    if bottom == 0 and right == 0:
        return x
    return F.pad(x, (0, right, 0, bottom), mode="replicate")


class UNet(nn.Module):
    """The U-Net: pictures (B, in_channels, H, W) float -> logits (B, classes, H, W) float.

    Any H and W of at least ``stem * 2**depth`` pixels will do; smaller ones raise `ValueError`.
    Built in lesson 03, whose cells load their weights into this class with ``strict=True``.

    Args:
        in_channels: channels of the picture, 3 for RGB.
        classes: channels of the logits; void is not a class and has no channel.
        width: channels of the first level; each level down doubles them.
        depth: how many times the picture is halved (the paper: 4).
        norm: "batch", "group" or "none".
        up: how sizes double: "transposed" (the paper's), "bilinear" or "shuffle".
        stem: 1, or the side of the patches (2, 4) which a strided convolution first makes into
            one pixel of `width` channels; the head then gives each patch back its pixels.
    """

    def __init__(self, in_channels: int = 3, classes: int = 3, width: int = 32, depth: int = 4,
                 norm: str = "batch", up: str = "transposed", stem: int = 1):
        super().__init__()
        if min(in_channels, classes, width, stem) < 1 or depth < 0:
            raise ValueError(
                f"in_channels={in_channels}, classes={classes}, width={width} and stem={stem} "
                f"must be 1 or more, and depth={depth} 0 or more"
            )
        self.config = {"in_channels": in_channels, "classes": classes, "width": width,
                       "depth": depth, "norm": norm, "up": up, "stem": stem}
        channels = [width * 2**level for level in range(depth + 1)]
        self.stem = nn.Identity() if stem == 1 else nn.Conv2d(in_channels, width, stem, stride=stem)
        self.first = DoubleConv(in_channels if stem == 1 else width, width, norm)
        levels = list(pairwise(channels))
        self.downs = nn.ModuleList(Down(a, b, norm) for a, b in levels)
        self.ups = nn.ModuleList(Up(b, a, norm, up) for a, b in reversed(levels))
        self.head = nn.Conv2d(width, classes * stem**2, 1)
        self.unpatch = nn.Identity() if stem == 1 else nn.PixelShuffle(stem)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        self._check(x)
        s = self.config["stem"]
        x = pad_to(x, (-(-height // s) * s, -(-width // s) * s))  # up to whole patches
        x = self.first(self.stem(x))          # (B, w, H/s, W/s)
        skips = []
        for down in self.downs:
            skips.append(x)
            x = down(x)                       # (B, 2w, H/2s, W/2s), (B, 4w, H/4s, W/4s), ...
        for up in self.ups:
            x = up(x, skips.pop())            # and back up, the newest skip first
        logits = self.unpatch(self.head(x))   # (B, classes, H, W)
        return logits[..., :height, :width]

    def _check(self, x: Tensor) -> None:
        smallest = self.config["stem"] * 2 ** self.config["depth"]
        channels = self.config["in_channels"]
        if x.ndim != 4 or x.shape[1] != channels or min(x.shape[-2:]) < smallest:
            raise ValueError(
                f"the U-Net wants (B, {channels}, H, W) with H and W of at least {smallest} "
                f"pixels, and got {tuple(x.shape)}; resize or pad the picture, or use less depth"
            )
