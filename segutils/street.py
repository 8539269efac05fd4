"""Draws street scenes from a seed: image, mask and instance ids that belong together.

A scene is a small town street in centimetres: `s` runs along the street, `t` across it, `y` up.
A pinhole camera looks at it, every thing is painted back to front, and each stroke goes into
the picture and, with the thing's number, into a map of who is visible where. Both are three times
as large as the result and are reduced together, so edges are smooth and labels follow them.

The same seed gives the same mask and instances on every machine: whatever decides geometry is an
integer. Random numbers are the raw words of PCG64 (a stream that NumPy keeps frozen), directions
and circles are tables of 1024ths, the projection divides integers, and only polygons with integer
corners are filled, never lines with a width. Light, weather and noise use floats and touch the
image alone.
"""

import argparse
import csv
import itertools
import math
import operator
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from segutils.masks import CLASSES, IGNORE, read_mask, write_mask

ZOOM = 3  # sub-pixels along each side of a pixel
CLEAR = 7  # of the 9 sub-pixels that one thing must fill, or the pixel is void
SPECK = 14  # an object with fewer visible pixels (at size 128) is void: too small to name
NEAR = 90  # cm; nothing closer than this to the camera is painted
PERSON, CAR = 1, 2

# cos and sin in 1024ths, every 5.625 degrees
TURN = [(round(1024 * math.cos(i * math.pi / 32)), round(1024 * math.sin(i * math.pi / 32)))
        for i in range(64)]
CIRCLE = TURN[::4]

# Colours chosen by hand: what walls, paint, cloth and leaves look like under a grey sky.
WALLS = [(203, 184, 158), (176, 126, 102), (216, 204, 180), (156, 158, 156), (190, 156, 126),
         (205, 192, 190), (158, 108, 90), (224, 217, 203), (172, 180, 172), (146, 128, 112),
         (198, 170, 124), (172, 184, 194), (186, 140, 132)]
ROOFS = [(126, 76, 62), (98, 88, 84), (86, 90, 100), (142, 94, 70), (112, 102, 94)]
PAINT = [(150, 46, 44), (48, 76, 116), (206, 208, 206), (44, 46, 50), (134, 140, 144),
         (84, 100, 86), (188, 172, 136), (58, 98, 94), (196, 146, 64), (104, 54, 62),
         (122, 150, 170), (228, 226, 218), (92, 110, 140), (70, 62, 58)]
CLOTH = [(160, 56, 52), (54, 72, 110), (66, 68, 74), (188, 178, 160), (92, 112, 86),
         (196, 152, 70), (118, 84, 64), (146, 104, 128), (104, 140, 158), (214, 210, 202),
         (40, 44, 54), (178, 112, 88), (84, 60, 82), (126, 132, 120)]
LEGWEAR = [(52, 62, 88), (48, 48, 52), (98, 90, 80), (72, 76, 84), (136, 122, 98), (78, 96, 122)]
SKIN = [(234, 196, 170), (214, 168, 136), (180, 130, 98), (136, 92, 68), (98, 68, 52)]
HAIR = [(42, 34, 30), (86, 60, 42), (148, 114, 72), (196, 170, 118), (128, 124, 120), (126, 66, 42)]
LEAVES = [(74, 104, 58), (88, 112, 56), (62, 92, 64), (104, 120, 62), (158, 122, 54), (150, 92, 52)]
GLASS, TYRE, STEEL = (70, 84, 98), (34, 34, 37), (112, 116, 120)


class Scene(NamedTuple):
    """One scene.

    image: (H, W, 3) uint8 RGB. mask: (H, W) uint8, 0 background, 1 person, 2 car, 255 void.
    instances: (H, W) uint16, class_id * 1000 + k with k from 1, 0 for background; it holds no
    void. Wherever mask is not 255, mask == instances // 1000.
    """

    image: np.ndarray
    mask: np.ndarray
    instances: np.ndarray


class Dice:
    """Integers from the raw words of PCG64, which no release of NumPy changes."""

    def __init__(self, *key: int):
        words = np.random.PCG64(np.random.SeedSequence(key))
        self._words = itertools.chain.from_iterable(
            words.random_raw(512).tolist() for _ in itertools.count())

    def between(self, low: int, high: int) -> int:
        """One of low..high, both included."""
        return low + (next(self._words) >> 20) % (high - low + 1)

    def chance(self, percent: int) -> bool:
        return self.between(0, 99) < percent

    def pick(self, items):
        return items[self.between(0, len(items) - 1)]

    def near(self, colour, spread: int = 10):
        """The colour, a little lighter or darker."""
        d = self.between(-spread, spread)
        return tuple(min(255, max(0, c + d)) for c in colour)


class Weather(NamedTuple):
    """What a kind of light does to the picture."""

    zenith: tuple
    skyline: tuple
    light: tuple  # percent of each channel that a surface gives back
    clear: int  # cm of air after which half of the colour is haze
    shadow: int  # percent of light that a cast shadow keeps; 100: none
    cloud: int  # percent of the sky under cloud
    lamps: bool = False
    wet: bool = False
    noise: int = 2


WEATHER = {
    "day": Weather((104, 146, 196), (196, 212, 222), (104, 102, 97), 30000, 58, 30),
    "overcast": Weather((164, 170, 178), (204, 206, 206), (88, 90, 92), 16000, 82, 80),
    "dusk": Weather((84, 92, 138), (238, 172, 120), (82, 68, 66), 14000, 72, 40, lamps=True),
    "night": Weather((20, 26, 48), (58, 60, 84), (46, 49, 64), 12000, 92, 20, True, noise=3),
    "fog": Weather((190, 194, 198), (202, 205, 207), (90, 92, 93), 1500, 90, 0),
    "rain": Weather((122, 130, 140), (168, 174, 180), (72, 75, 80), 6000, 88, 90, wet=True),
}


class Level(NamedTuple):
    """What makes a scene easy or hard."""

    weather: dict  # kind of light: weight
    people: tuple
    cars: tuple
    clutter: tuple
    smallest: dict  # kind: pixels (at size 128) that 170 cm must take where it is placed
    cover: int  # percent of scenes with something close to the camera that hides others
    noise: int  # percent


LEVELS = {
    "plain": Level({"day": 60, "overcast": 25, "dusk": 15}, (2, 6), (1, 2), (1, 3),
                   {PERSON: 32, CAR: 20, 0: 20}, 10, 60),
    "full": Level({"day": 30, "overcast": 16, "dusk": 15, "night": 15, "fog": 11, "rain": 13},
                  (1, 9), (1, 6), (3, 9), {PERSON: 9, CAR: 9, 0: 9}, 40, 100),
}


def mix(a, b, percent: int):
    """Colour a with `percent` of colour b."""
    return tuple((x * (100 - percent) + y * percent) // 100 for x, y in zip(a, b, strict=True))


@lru_cache(4096)
def shade(colour, percent: int):
    return tuple(min(255, c * percent // 100) for c in colour)


class View:
    """Camera and canvas: strokes in camera centimetres (x right, y up, z away) become pixels."""

    def __init__(self, size: int, weather: Weather, plan: "Plan"):
        self.side = size * ZOOM
        self.weather, self.at, self.height = weather, plan.at, plan.height
        self.turn = TURN[plan.turn % 64]
        self.focal = self.side * plan.zoom // 100
        self.sky = self.side * plan.horizon // 1000
        self.middle = self.side // 2
        self.image = np.zeros((self.side, self.side, 3), np.uint8)
        self.who = np.zeros((self.side, self.side), np.uint8)
        self.shadows = np.zeros((self.side, self.side), np.uint8)
        self.mode = "paint"  # or "shadow": flat on the ground; or "mirror": in wet ground
        self.number = None  # of the thing being painted; 0 background; None: labels stay
        self.raised = 0  # cm that everything is lifted, for a statue on its base
        self.haze = 0
        self.sun = (0, 0)
        self.glows = []  # (x, y, radius, colour) in sub-pixels

    def spot(self, s, t):
        """Where a point of the street stands in front of the camera: (x, z)."""
        c, n = self.turn
        s, t = s - self.at[0], t - self.at[1]
        return (s * c - t * n) >> 10, (s * n + t * c) >> 10

    def heading(self, turn):
        """A direction of the street, as the camera sees it, in 1024ths of (x, z)."""
        (c, n), (a, b) = self.turn, TURN[turn % 64]
        return (a * c - b * n) >> 10, (a * n + b * c) >> 10

    def pixel(self, x, y, z):
        return (self.middle + self.focal * x // z,
                self.sky + self.focal * (self.height - y) // z)

    def inside(self, x, z, margin=0):
        """Whether the ground point (x, z) lies between the left and right edge of the picture."""
        return z > NEAR and -margin < self.pixel(x, 0, z)[0] * 100 // self.side < 100 + margin

    def shows(self, s0, s1, t0, t1):
        """Whether any of a rectangle of the street can be inside the picture."""
        spots = [self.spot(s, t) for s in (s0, s1) for t in (t0, t1)]
        if min(z for _, z in spots) < NEAR:
            return max(z for _, z in spots) > NEAR
        across = [self.pixel(x, 0, z)[0] for x, z in spots]
        return max(across) > 0 and min(across) < self.side

    def ink(self, colour, lit=False):
        """What the camera sees of a colour: in this light, through this much haze."""
        far, (r, g, b), (a, c, d) = self.haze, colour, self.weather.skyline
        if lit:
            far = far * 60 // 100
        else:
            k, m, n = self.weather.light
            r, g, b = r * k // 100, g * m // 100, b * n // 100
        near = 100 - far
        return ((r * near + a * far) // 100, (g * near + c * far) // 100,
                (b * near + d * far) // 100)

    def set_distance(self, z):
        self.haze = max(0, 100 * z // (z + self.weather.clear))

    def corners(self, points):
        """Camera points as an int32 polygon, or None if one of them is behind the camera."""
        if self.raised:
            points = [(x, y + self.raised, z) for x, y, z in points]
        if self.mode == "shadow":
            a, b = self.sun
            points = [(x + (a * y >> 10), 0, z + (b * y >> 10)) for x, y, z in points]
        elif self.mode == "mirror":
            points = [(x, -y, z) for x, y, z in points]
        middle, sky, focal, height, flat = self.middle, self.sky, self.focal, self.height, []
        for x, y, z in points:
            if z < NEAR:
                return None
            flat.append((middle + focal * x // z, sky + focal * (height - y) // z))
        return np.array(flat, np.int32)

    def fill(self, points, colour, lit=False):
        """Fill a polygon of camera points, in the picture and in the map of who is where."""
        polygon = self.corners(points)
        if polygon is not None:
            self.stroke(polygon, colour, lit)

    def hull(self, points, colour):
        """Fill the convex hull of camera points."""
        polygon = self.corners(points)
        if polygon is not None:
            self.stroke(cv2.convexHull(polygon), colour)

    def stroke(self, polygon, colour, lit=False):
        if self.mode == "shadow":
            cv2.fillPoly(self.shadows, [polygon], 255)
            return
        cv2.fillPoly(self.image, [polygon], self.ink(colour, lit))
        if self.number is not None and self.mode == "paint":
            cv2.fillPoly(self.who, [polygon], self.number)

    def faces_us(self, points):
        """Whether the outside of a polygon looks at the camera; in a shadow every side counts."""
        if self.mode == "shadow":
            return True
        middle, sky, focal, height, flat = self.middle, self.sky, self.focal, self.height, []
        for x, y, z in points:
            if z < NEAR:
                return False
            flat.append((middle + focal * x // z, sky + focal * (height - y) // z))
        area, (x0, y0) = 0, flat[-1]
        for x, y in flat:
            area += x0 * y - x * y0
            x0, y0 = x, y
        return area < 0

    def ground(self, corners, colour, y=0):
        """Fill a polygon of street points (s, t); what lies behind the camera is cut off."""
        points = [self.spot(s, t) for s, t in corners]
        kept = []
        for (x0, z0), (x1, z1) in zip(points, points[1:] + points[:1], strict=True):
            if z0 >= NEAR:
                kept.append((x0, y, z0))
            if (z0 < NEAR) != (z1 < NEAR):
                kept.append((x0 + (x1 - x0) * (NEAR - z0) // (z1 - z0), y, NEAR))
        if len(kept) > 2:
            polygon = np.array([self.pixel(*p) for p in kept], np.int32)
            cv2.fillPoly(self.image, [polygon], self.ink(colour))

    def wall(self, s, t, layers):
        """Paint a wall along the street: layers of (rectangles, colour, lit), back to front.

        A rectangle is (left, bottom, right, top) in centimetres from the wall's corner (s, t).
        """
        layers = [layer for layer in layers if layer[0]]
        r = np.concatenate([np.array(layer[0], np.int64) for layer in layers])
        c, n = self.turn
        along, up = r[:, [0, 0, 2, 2]] + (s - self.at[0]), r[:, [1, 3, 3, 1]]
        x = (along * c - (t - self.at[1]) * n) >> 10
        z = (along * n + (t - self.at[1]) * c) >> 10
        ahead = np.maximum(z, NEAR)
        flat = np.empty((*z.shape, 2), np.int32)
        flat[..., 0] = self.middle + self.focal * x // ahead
        flat[..., 1] = self.sky + self.focal * (self.height - up) // ahead
        seen = ((z[:, 0] >= NEAR) & (z[:, 2] >= NEAR)).tolist()
        start = 0
        for rectangles, colour, lit in layers:
            ink = self.ink(colour, lit)
            for i in range(start, start + len(rectangles)):
                if seen[i]:
                    cv2.fillConvexPoly(self.image, flat[i], ink)
            start += len(rectangles)

    def glow(self, point, radius, colour):
        """Remember a light just painted at a camera point; it shines if nothing covers it."""
        if self.mode == "paint" and self.weather.lamps and point[2] > NEAR:
            x, y = self.pixel(*point)
            if 0 <= x < self.side and 0 <= y < self.side:
                self.glows.append((x, y, self.focal * radius // point[2], colour,
                                   self.image[y, x].copy()))


# --- shapes ------------------------------------------------------------------------------------

@lru_cache(8192)
def oval(u, v, ru, rv):
    """A ring of 16 points; shared between calls, so never changed by a caller."""
    return [(u + (ru * c >> 10), v + (rv * n >> 10)) for c, n in CIRCLE]


@lru_cache(8192)
def limb(a, b, wide, narrow):
    """A tapered strip from a to b, `wide` and `narrow` its whole widths at the two ends."""
    du, dv = b[0] - a[0], b[1] - a[1]
    length = max(1, math.isqrt(du * du + dv * dv))
    n = (-dv, du)
    p, q = [(n[0] * w // (2 * length), n[1] * w // (2 * length)) for w in (wide, narrow)]
    return [(a[0] + p[0], a[1] + p[1]), (b[0] + q[0], b[1] + q[1]),
            (b[0] - q[0], b[1] - q[1]), (a[0] - p[0], a[1] - p[1])]


def pane(quad, left, bottom, right, top):
    """A part of a quad (bottom left, top left, top right, bottom right), bounds in percent."""
    (ax, ay, az), (bx, by, bz), (cx, cy, cz), (dx, dy, dz) = quad

    def at(u, v):
        a, b, c, d = (100 - u) * (100 - v), (100 - u) * v, u * v, u * (100 - v)
        return ((ax * a + bx * b + cx * c + dx * d) // 10000,
                (ay * a + by * b + cy * c + dy * d) // 10000,
                (az * a + bz * b + cz * c + dz * d) // 10000)

    return [at(left, bottom), at(left, top), at(right, top), at(right, bottom)]


Paint = Callable[[View, int, int], None]


class Flat:
    """A pen for things drawn as a board that faces the camera, in centimetres from the foot."""

    def __init__(self, view: View, x, z, percent=100, flip=1):
        self.view, self.x, self.z, self.percent, self.flip = view, x, z, percent, flip

    def __call__(self, shape, colour, lit=False):
        k = self.percent
        self.view.fill([(self.x + self.flip * u * k // 100, v * k // 100, self.z)
                        for u, v in shape], colour, lit)

    def box(self, left, bottom, right, top, colour, lit=False):
        self([(left, bottom), (left, top), (right, top), (right, bottom)], colour, lit)

    def pixels(self, cm):
        """How many pixels of a 128-pixel picture `cm` centimetres take here."""
        return self.view.focal * cm * self.percent * 128 // (100 * self.z * self.view.side)


class Solid:
    """A pen for things with a length and a direction: points (along, y, aside)."""

    def __init__(self, view: View, x, z, turn):
        self.view, self.x, self.z, (self.c, self.n) = view, x, z, view.heading(turn)

    def point(self, along, y, aside):
        return (self.x + ((along * self.c - aside * self.n) >> 10), y,
                self.z + ((along * self.n + aside * self.c) >> 10))

    def prism(self, profile, colour, top=None, end=None):
        """An outline (along, y, half width), extruded to both sides; returns its visible faces."""
        one = [self.point(a, y, -w) for a, y, w in profile]
        two = [self.point(a, y, w) for a, y, w in profile]
        faces = {}
        for i in range(len(profile)):
            j = (i + 1) % len(profile)
            face = [one[i], one[j], two[j], two[i]]
            if self.view.faces_us(face):
                flat = abs(profile[j][0] - profile[i][0]) > abs(profile[j][1] - profile[i][1])
                self.view.fill(face, (top if flat else end) or colour)
                faces[i] = face
        for name, side in (("one", one[::-1]), ("two", two)):
            if self.view.faces_us(side):
                self.view.fill(side, colour)
                faces[name] = side
        return faces

    def box(self, length, height, width, colour, bottom=0, flare=0):
        a, w = length // 2, width // 2
        profile = [(-a, bottom, w), (-a - flare, height, w + flare),
                   (a + flare, height, w + flare), (a, bottom, w)]
        return self.prism(profile, colour, shade(colour, 116), shade(colour, 84))


# --- people ------------------------------------------------------------------------------------

def person(dice: Dice, seated=False, stone=None) -> Paint:
    """Somebody: child or adult, any side, pose and clothes. `stone`: a statue of that colour."""
    child = not seated and stone is None and dice.chance(22)
    size = dice.between(58, 82) if child else dice.between(92, 108)
    side = dice.chance(45)
    back = not side and dice.chance(35)
    pose = "sit" if seated else dice.pick(("stand", "stand", "walk", "walk", "walk", "wave"))
    cut = dice.pick(("jacket", "jacket", "shirt", "shirt", "coat", "dress", "skirt"))
    skin, hair, top = dice.pick(SKIN), dice.pick(HAIR), dice.near(dice.pick(CLOTH))
    legs = dice.near(dice.pick(LEGWEAR))
    shoes = dice.pick(((40, 38, 38), (96, 70, 52), (206, 202, 196)))
    hat = dice.pick((None, None, None, "cap", "beanie", "brim"))
    hat_colour = dice.pick(CLOTH)
    long_hair, bag = dice.chance(45), dice.pick((None, None, "hand", "pack", "shoulder"))
    bag_colour = dice.pick(CLOTH)
    if stone:
        skin = hair = top = legs = shoes = hat_colour = bag_colour = stone
    flip = dice.pick((-1, 1))
    head_size = 124 if child else 106
    if cut in ("dress", "skirt"):
        legs = shade(skin, 94)

    def paint(view, x, z):
        pen = Flat(view, x, z, size, flip)
        drop = -42 if pose == "sit" else 0
        far_arm, near_arm, far_leg, near_leg = skeleton(side, pose)
        sleeve = shade(top, 88)

        def bones(points, wide, narrow, colour, lift=0):
            a, b, c = [(u, v + lift) for u, v in points]
            pen(limb(a, b, wide, (wide + narrow) // 2), colour)
            pen(limb(b, c, (wide + narrow) // 2 + 1, narrow), colour)

        def foot(leg):
            u, v = leg[2]
            pen(oval(u + (5 if side else 0), v + 1, 12 if side else 8, 6), shoes)

        if view.mode == "shadow":
            for leg in (far_leg, near_leg):
                pen(limb(leg[0], leg[2], 20, 14), None)
            torso(pen, side, cut, top, drop, legs)
            pen(oval(0, 161 + drop, 12, 15), None)
            return
        fine = pen.pixels(100) > 9
        bones(far_arm, 12, 9, shade(sleeve, 86) if side else sleeve, drop)
        for leg, dark in ((far_leg, 84 if side else 100), (near_leg, 100)):
            bones(leg, 19, 12, shade(legs, dark))
            foot(leg)
        if bag == "pack" and side:
            pen(oval(-16, 124 + drop, 9, 18), bag_colour)
        torso(pen, side, cut, top, drop, legs)
        if bag == "pack" and back:
            pen(oval(0, 122 + drop, 15, 20), bag_colour)
        head(pen, side, back, drop, head_size, skin, hair, long_hair, stone)
        if hat:
            headgear(pen, side, back, 161 + drop, head_size, hat, hat_colour)
        bones(near_arm, 13, 9, sleeve, drop)
        if not fine:
            return
        for u, v in (near_arm[2], far_arm[2]):
            pen(oval(u, v + drop + (4 if v > 150 else -4), 5, 6), skin)
        u, v = near_arm[2]
        if bag == "hand" and pose in ("stand", "walk"):
            pen([(u - 3, v), (u - 11, v - 14), (u - 13, v - 38), (u + 13, v - 38),
                 (u + 11, v - 14)], bag_colour)
        elif bag == "shoulder" and not side:
            pen(limb((-16, 142 + drop), (14, 98 + drop), 4, 4), shade(bag_colour, 80))
            pen.box(10, 82 + drop, 28, 102 + drop, bag_colour)

    return paint


def skeleton(side, pose):
    """Far arm, near arm, far leg, near leg: three joints each, (u, v) from the foot."""
    if side:
        if pose == "sit":
            leg = [(-8, 50), (34, 49), (35, 4)]
            return ([(2, 138), (12, 114), (30, 104)], [(0, 138), (8, 112), (28, 100)], leg,
                    [(u + 3, v) for u, v in leg])
        if pose == "walk":
            return ([(2, 138), (17, 113), (30, 98)], [(0, 138), (-15, 112), (-20, 88)],
                    [(0, 92), (-4, 48), (-30, 12)], [(0, 92), (15, 50), (27, 4)])
        arm = [(0, 138), (20, 152), (30, 182)] if pose == "wave" else [(0, 138), (-3, 110), (3, 86)]
        return [(2, 138), (5, 110), (8, 86)], arm, [(4, 92), (5, 48), (4, 4)], [(-3, 92), (-2, 48),
                                                                             (-5, 4)]
    far, near = [(-20, 139), (-27, 111), (-26, 86)], [(20, 139), (27, 111), (26, 86)]
    if pose == "sit":
        return ([(-20, 139), (-27, 114), (-12, 100)], [(20, 139), (27, 114), (12, 100)],
                [(-9, 58), (-12, 44), (-11, 4)], [(9, 58), (12, 44), (11, 4)])
    if pose == "wave":
        near = [(20, 139), (34, 160), (30, 190)]
    if pose == "walk":
        return far, near, [(-8, 92), (-9, 50), (-8, 16)], [(8, 92), (10, 48), (10, 3)]
    return far, near, [(-9, 92), (-10, 48), (-12, 3)], [(9, 92), (10, 48), (12, 3)]


def torso(pen, side, cut, top, drop, skirt_colour):
    half, waist = (11, 11) if side else (21, 15)
    pen([(-half + 4, 146 + drop), (half - 4, 146 + drop), (half, 139 + drop), (waist, 106 + drop),
         (waist + 2, 86 + drop), (-waist - 2, 86 + drop), (-waist, 106 + drop),
         (-half, 139 + drop)], top)
    low = {"coat": 48, "dress": 54, "skirt": 58}.get(cut)
    if low and drop == 0:
        wide = waist + (5 if cut == "coat" else 11)
        pen([(-waist, 108), (waist, 108), (wide, low), (-wide, low)],
            shade(top, 70) if cut == "skirt" else top)
    if cut in ("jacket", "coat") and not side:
        pen(limb((0, 144 + drop), (0, 88 + drop), 3, 3), shade(top, 72))
    elif cut == "shirt":
        pen.box(-waist - 2, 84 + drop, waist + 2, 92 + drop, shade(top, 82))


def head(pen, side, back, drop, size, skin, hair, long_hair, stone):
    v = 161 + drop
    r, h = 11 * size // 100, 14 * size // 100
    pen.box(-5, v - h - 6, 5, v - 6, shade(skin, 88))
    if long_hair:
        pen(oval(-5 if side else 0, v - 5, r + 2, h + 4), hair)
    if back:
        pen(oval(0, v, r + 1, h + 1), hair)
        return
    pen(oval(0, v, r, h), skin)
    if side:
        pen(oval(r, v - 2, 3, 3), skin)
        pen([(r - 3, v + h // 2), (2, v + h // 3), (-2, v - h // 2), (-r, v - h // 2),
             (-r - 2, v + 3), (-r + 2, v + h), (2, v + h + 2), (r - 3, v + h - 2)], hair)
    else:
        pen([(-r - 1, v - 2), (-r, v + h // 2), (-r // 2, v + h), (0, v + h + 2), (r // 2, v + h),
             (r, v + h // 2), (r + 1, v - 2), (r - 3, v + h // 3), (-r + 3, v + h // 2)], hair)
    if pen.pixels(100) > 16 and not stone:
        for u in ((r // 2 + 2,) if side else (-4, 4)):
            pen(oval(u, v, 2, 2), (40, 32, 30))
        pen.box(r // 2 if side else -3, v - 8, r - 1 if side else 3, v - 6, (150, 84, 78))


def headgear(pen, side, back, v, size, hat, colour):
    r, h = 12 * size // 100, 14 * size // 100
    pen([(-r, v + 4), (-r + 1, v + h - 3), (-r // 2, v + h + 2), (r // 2, v + h + 2),
         (r - 1, v + h - 3), (r, v + 4)], colour)
    if hat == "brim":
        pen(oval(0, v + 5, r + 8, 3), shade(colour, 86))
    elif hat == "cap" and not back:
        pen.box(0 if side else -r, v + 3, r + 9 if side else r, v + 6, shade(colour, 80))
    elif hat == "beanie":
        pen.box(-r, v + 3, r, v + 7, shade(colour, 124))


# --- cars --------------------------------------------------------------------------------------

class Body(NamedTuple):
    """Side view of a kind of car in centimetres, from its middle; the front is at +half."""

    half: int
    belt: int
    roof: int
    cabin: tuple  # base rear, roof rear, roof front, base front
    panes: tuple  # percent along the cabin where the side windows begin and end
    weight: int


BODIES = {
    "hatchback": Body(196, 92, 148, (-186, -146, 28, 92), ((6, 46), (50, 94)), 4),
    "sedan": Body(226, 92, 144, (-158, -98, 36, 100), ((8, 48), (52, 93)), 4),
    "estate": Body(228, 92, 148, (-222, -182, 36, 98), ((5, 32), (35, 62), (65, 94)), 3),
    "suv": Body(222, 106, 172, (-216, -176, 48, 102), ((6, 30), (33, 62), (65, 94)), 3),
    "van": Body(246, 116, 206, (-244, -236, 120, 196), ((76, 95),), 2),
    "pickup": Body(250, 100, 166, (-30, -20, 60, 116), ((10, 88),), 1),
    "minibus": Body(276, 108, 232, (-274, -264, 214, 246), ((3, 20), (22, 40), (42, 60), (62, 80),
                                                            (82, 96)), 1),
}
GARAGE = [name for name, body in BODIES.items() for _ in range(body.weight)]


def car(dice: Dice, turn: int, kind=None) -> Paint:
    """A car that points in direction `turn` (64ths of a circle, 0: along the street)."""
    body = BODIES[kind or dice.pick(GARAGE)]
    colour = dice.near(dice.pick(PAINT))
    taxi = dice.chance(4)
    moving = dice.chance(60)

    def paint(view, x, z):
        pen = Solid(view, x, z, turn)
        half, belt = body.half, body.belt
        low = 30
        if view.mode == "shadow" and view.sun == (0, 0):
            view.fill([pen.point(u, 0, v) for u, v in ((-half, -88), (-half, 88), (half, 88),
                                                       (half, -88))], None)
            return
        wheels = [(along, aside) for along in (-half + 78, half - 76) for aside in (-80, 80)]
        radius = 33 if belt < 100 else 37
        pen.prism([(-half + 20, 16, 76), (-half + 20, 40, 76), (half - 20, 40, 76),
                   (half - 20, 16, 76)], (24, 24, 26))
        for along, aside in wheels if view.mode != "shadow" else ():
            ring = [(along + u, radius + v) for u, v in oval(0, 0, radius, radius)[::2]]
            inner = aside - 20 if aside > 0 else aside + 20
            view.hull([pen.point(a, max(0, v), w) for w in (aside, inner) for a, v in ring], TYRE)
        top, end = shade(colour, 112), shade(colour, 82)
        w = 87
        nose = belt - 18
        faces = pen.prism([(-half, low, w), (-half - 4, 62, w), (-half + 4, belt - 2, w),
                           (body.cabin[3], belt, w), (half - 14, nose + 4, w), (half, nose - 10, w),
                           (half + 2, low, w)], colour, top, end)
        a, b, c, d = body.cabin
        cabin = pen.prism([(a, belt - 2, w - 4), (b, body.roof, w - 18), (c, body.roof, w - 18),
                           (d, belt - 2, w - 4)], colour, shade(colour, 118), shade(colour, 90))
        if view.mode == "shadow":
            return
        lamps = view.weather.lamps
        glass = GLASS if not lamps else (46, 56, 68)
        if 2 in cabin:  # windscreen
            quad = [pen.point(d, belt, 83), pen.point(c, body.roof, 69),
                    pen.point(c, body.roof, -69), pen.point(d, belt, -83)]
            view.fill(pane(quad, 6, 8, 94, 90), glass)
            view.fill(pane(quad, 10, 50, 46, 88), shade(glass, 136))
        if 0 in cabin:
            quad = [pen.point(a, belt, -83), pen.point(b, body.roof, -69),
                    pen.point(b, body.roof, 69), pen.point(a, belt, 83)]
            view.fill(pane(quad, 10, 22, 90, 88), shade(glass, 90))
        for name, sign in (("one", -1), ("two", 1)):
            if name in faces:
                car_side(view, pen, body, sign, colour, glass, wheels, radius)
        if 5 in faces or 4 in faces:
            car_front(view, pen, half, nose, low, lamps and moving)
        if 0 in faces:
            car_rear(view, pen, half, belt, low, lamps and moving)
        if taxi:
            x0 = (b + c) // 2
            pen.prism([(x0 - 12, body.roof, 22), (x0 - 10, body.roof + 14, 20),
                       (x0 + 10, body.roof + 14, 20), (x0 + 12, body.roof, 22)], (232, 196, 90))

    return paint


def car_side(view, pen, body, sign, colour, glass, wheels, radius):
    a, b, c, d = body.cabin
    w = 87 * sign
    fine = view.focal * 100 * 128 // (pen.z * view.side) > 8
    quad = [pen.point(a, body.belt, 83 * sign), pen.point(b, body.roof, 69 * sign),
            pen.point(c, body.roof, 69 * sign), pen.point(d, body.belt, 83 * sign)]
    for left, right in body.panes:
        view.fill(pane(quad, left, 6, right, 86), glass)
        if fine:
            view.fill(pane(quad, left, 50, left + (right - left) // 2, 86), shade(glass, 124))
    sill = [pen.point(u, v, w) for u, v in ((-body.half + 4, 30), (-body.half + 4, 40),
                                            (body.half - 4, 40), (body.half - 4, 30))]
    view.fill(sill, shade(colour, 62))
    doors = ((a + d) // 2, d - 8) if len(body.panes) > 1 else (d - 20,)
    for along in doors if fine else ():
        line = [pen.point(u, v, w) for u, v in ((along - 1, 40), (along - 1, body.belt - 4),
                                                (along + 2, body.belt - 4), (along + 2, 40))]
        view.fill(line, shade(colour, 66))
    for along, aside in wheels:
        if aside * sign > 0:
            for r, paint in (((radius + 8, (26, 26, 28)), (radius, TYRE))[not fine:]
                             + ((radius * 6 // 10, STEEL), (radius // 4, (70, 72, 76)))[:1 + fine]):
                disc = [pen.point(along + u, max(0 if r <= radius else 30, radius + v), w + sign)
                        for u, v in oval(0, 0, r, r)]
                view.fill(disc, paint)


def car_front(view, pen, half, nose, low, on):
    def front(left, bottom, right, top, colour, lit=False):
        view.fill([pen.point(half + 2, bottom, left), pen.point(half + 2, top, left),
                   pen.point(half + 2, top, right), pen.point(half + 2, bottom, right)],
                  colour, lit)
    front(-84, low, 84, low + 12, (52, 52, 56))
    front(-46, nose - 28, 46, nose - 14, (44, 46, 50))
    front(-24, low + 8, 24, low + 18, (214, 214, 206))
    for side in (-66, 66):
        front(side - 17, nose - 30, side + 17, nose - 12, (250, 246, 224) if on
              else (214, 218, 220), on)
        if on:
            view.glow(pen.point(half + 2, nose - 20, side), 55, (255, 244, 206))


def car_rear(view, pen, half, belt, low, on):
    def rear(left, bottom, right, top, colour, lit=False):
        view.fill([pen.point(-half - 3, bottom, left), pen.point(-half - 1, top, left),
                   pen.point(-half - 1, top, right), pen.point(-half - 3, bottom, right)],
                  colour, lit)
    rear(-84, low, 84, low + 12, (52, 52, 56))
    rear(-24, low + 18, 24, low + 30, (214, 206, 170))
    for side in (-68, 68):
        rear(side - 14, belt - 34, side + 14, belt - 14, (214, 50, 40) if on else (140, 36, 34), on)
        if on:
            view.glow(pen.point(-half - 1, belt - 24, side), 30, (190, 30, 20))


# --- things in the street ----------------------------------------------------------------------

def tree(dice: Dice) -> Paint:
    height, wide = dice.between(420, 820), dice.between(120, 230)
    bark, leaf = dice.near((92, 76, 62)), dice.near(dice.pick(LEAVES))
    bare = dice.chance(12)
    crown = height * 62 // 100
    lobes = [(c * dice.between(50, 66) >> 10, n * dice.between(40, 56) >> 10, dice.between(36, 48))
             for c, n in TURN[5::9]] + [(0, 0, 64)]
    twigs = [(dice.between(-90, 90), dice.between(-40, 95)) for _ in range(11)]

    def paint(view, x, z):
        pen = Flat(view, x, z)
        pen(limb((0, 0), (0, crown), 30, 18), bark)
        if bare:
            for u, v in twigs:
                a = (0, crown - 90 + abs(v))
                pen(limb(a, (wide * u // 100, crown + (height - crown) * v // 100), 12, 3), bark)
            return
        up = height - crown
        for tone, shift, scale in ((70, 0, 100), (100, 12, 74), (122, 30, 36)):
            if shift and view.mode == "shadow":
                return
            for u, v, r in lobes if scale > 40 else lobes[1::2]:
                pen(oval(wide * (u * scale // 100 - shift) // 100,
                         crown + up * (v * scale // 100 + shift) // 100,
                         wide * r * scale // 10000, up * r * scale // 10000), shade(leaf, tone))

    return paint


def lamp(dice: Dice) -> Paint:
    height, iron = dice.between(380, 560), dice.pick(((52, 58, 60), (78, 84, 84), (48, 66, 58)))
    arm = dice.pick((0, 0, 60, -60))

    def paint(view, x, z):
        pen = Flat(view, x, z)
        on = view.weather.lamps
        pen.box(-9, 0, 9, 60, iron)
        pen.box(-5, 60, 5, height, iron)
        if arm:
            pen.box(min(0, arm), height - 8, max(0, arm), height, iron)
        bulb = (255, 232, 176) if on else (216, 214, 204)
        pen([(arm - 14, height - 6), (arm - 20, height - 36), (arm + 20, height - 36),
             (arm + 14, height - 6)] if arm else
            [(-14, height), (-20, height + 40), (20, height + 40), (14, height)], bulb, on)
        if not arm:
            pen([(-24, height + 40), (0, height + 58), (24, height + 40)], iron)
        bulb_at = height - 20 if arm else height + 20
        view.glow((x + arm, bulb_at, z), 170, (255, 206, 130))
        view.glow((x + arm, bulb_at, z), 620, (84, 62, 34))

    return paint


def bin_(dice: Dice) -> Paint:
    colour, kind = dice.near(dice.pick(CLOTH + PAINT)), dice.pick(("wheelie", "round", "round"))
    turn = dice.between(0, 63)

    def paint(view, x, z):
        if kind == "wheelie":
            pen = Solid(view, x, z, turn)
            pen.box(56, 96, 50, colour, 8, 4)
            pen.prism([(-34, 96, 30), (-30, 106, 30), (32, 104, 30), (34, 96, 30)],
                      shade(colour, 80))
            return
        pen = Flat(view, x, z)
        pen([(-22, 0), (-27, 84), (27, 84), (22, 0)], colour)
        pen.box(-30, 78, 30, 92, shade(colour, 72))
        pen.box(-14, 66, 14, 74, shade(colour, 50))

    return paint


def letter_box(dice: Dice) -> Paint:
    colour = dice.near(dice.pick(((176, 48, 44), (206, 164, 62), (54, 80, 120), (84, 104, 86))))
    tall = dice.chance(50)

    def paint(view, x, z):
        pen = Flat(view, x, z)
        if tall:  # a pillar box
            pen.box(-22, 0, 22, 132, colour)
            pen.box(-25, 0, 25, 12, shade(colour, 60))
            pen(oval(0, 134, 27, 14), shade(colour, 90))
            pen.box(-13, 108, 13, 113, (30, 28, 28))
            pen.box(-9, 84, 9, 98, (226, 222, 210))
            return
        pen.box(-6, 0, 6, 70, (70, 72, 74))
        pen.box(-26, 66, 26, 142, colour)
        pen.box(-26, 136, 26, 146, shade(colour, 120))
        pen.box(-18, 122, 18, 127, (30, 28, 28))
        pen.box(-14, 84, 14, 104, (228, 222, 206))

    return paint


def bollard(dice: Dice) -> Paint:
    """A post as tall and as wide as somebody, in colours of clothes."""
    low, high = dice.pick(CLOTH), dice.pick(CLOTH)
    height, half = dice.between(100, 165), dice.between(13, 20)

    def paint(view, x, z):
        pen = Flat(view, x, z)
        pen.box(-half, 0, half, height // 2, low)
        pen.box(-half, height // 2, half, height - 16, high)
        pen(oval(0, height - 12, half + 2, 15), dice_cap)

    dice_cap = dice.pick((low, shade(high, 80), (180, 150, 122)))
    return paint


def column(dice: Dice) -> Paint:
    """An advertising column with posters on it, faces among them."""
    posters = [(dice.pick(CLOTH), dice.pick(SKIN), dice.pick(HAIR), dice.chance(60))
               for _ in range(2)]
    roof = dice.pick(((70, 96, 88), (90, 88, 86), (110, 76, 62)))

    def paint(view, x, z):
        pen = Flat(view, x, z)
        pen(oval(0, 4, 62, 10), (160, 154, 144))
        pen.box(-62, 4, 62, 250, (196, 190, 178))
        pen.box(-62, 4, -40, 250, (166, 160, 150))
        pen.box(46, 4, 62, 250, (214, 208, 198))
        for (paper, skin, hair, face), left in zip(posters, (-54, 4), strict=True):
            pen.box(left, 74, left + 50, 196, paper)
            if face:
                pen(oval(left + 25, 142, 17, 22), hair)
                pen(oval(left + 25, 136, 13, 18), skin)
                pen([(left + 4, 76), (left + 14, 112), (left + 36, 112), (left + 46, 76)],
                    shade(paper, 60))
            else:
                pen.box(left + 8, 150, left + 42, 160, (236, 230, 214))
                pen.box(left + 8, 110, left + 42, 140, shade(paper, 60))
        pen.box(-70, 250, 70, 264, shade(roof, 80))
        pen([(-66, 264), (-20, 294), (20, 294), (66, 264)], roof)

    return paint


def bench(dice: Dice) -> Paint:
    wood, turn = dice.near((146, 104, 68)), dice.pick((0, 32))

    def paint(view, x, z):
        pen = Solid(view, x, z, turn)
        for along in (-70, 70):
            Flat(view, *[pen.point(along, 0, 0)[i] for i in (0, 2)]).box(-4, 0, 4, 44, (56, 58, 60))
        pen.box(172, 48, 44, wood, 42)
        back = [pen.point(u, v, 20) for u, v in ((-86, 62), (-86, 86), (86, 86), (86, 62))]
        view.fill(back, shade(wood, 92))

    return paint


def bicycle(dice: Dice) -> Paint:
    colour, flip = dice.pick(CLOTH), dice.pick((-1, 1))

    def paint(view, x, z):
        pen = Flat(view, x, z, 100, flip)
        for u in (-52, 52):
            rim, gap = oval(u, 35, 35, 35), oval(u, 35, 29, 29)
            pen([*rim, rim[0], gap[0], *gap[::-1]], (36, 36, 40))
            pen(oval(u, 35, 4, 4), STEEL)
        for a, b in (((-52, 34), (-4, 34)), ((-52, 34), (-20, 80)), ((-4, 34), (-22, 88)),
                     ((-4, 34), (38, 80)), ((-20, 80), (38, 80)), ((52, 34), (36, 96))):
            pen(limb(a, b, 6, 6), colour)
        pen.box(-34, 86, -10, 92, (50, 40, 34))
        pen.box(24, 94, 40, 99, (50, 48, 48))

    return paint


def skip(dice: Dice) -> Paint:
    """A container at the kerb: as long as a car, in colours of cars."""
    colour, turn = dice.near(dice.pick(PAINT)), dice.pick((0, 0, 16, 32, 2, 62))
    bank = dice.chance(45)
    fill = dice.near((120, 104, 84))

    def paint(view, x, z):
        pen = Solid(view, x, z, turn)
        if bank:  # bottle bank
            pen.box(300, 150, 150, colour, 6)
            pen.box(310, 166, 160, shade(colour, 70), 150)
            return
        pen.prism([(-120, 6, 84), (-190, 128, 88), (190, 128, 88), (120, 6, 84)], colour, fill,
                  shade(colour, 84))
        pen.prism([(-192, 118, 90), (-192, 130, 90), (192, 130, 90), (192, 118, 90)],
                  shade(colour, 76), fill)

    return paint


def kiosk(dice: Dice) -> Paint:
    colour, stripe = dice.near(dice.pick(PAINT)), dice.pick(CLOTH)
    turn = dice.pick((0, 32, 1, 63))

    def paint(view, x, z):
        pen = Solid(view, x, z, turn)
        faces = pen.box(260, 230, 180, colour)
        for name in ("one", "two"):
            if name in faces:
                lit = view.weather.lamps
                view.fill(pane(faces[name], 12, 42, 88, 78), (244, 208, 142) if lit
                          else (62, 60, 62), lit)
                view.fill(pane(faces[name], 8, 34, 92, 42), (150, 118, 86))
        for name in (0, 2):
            if name in faces:
                view.fill(pane(faces[name], 30, 4, 70, 84), shade(colour, 62))
        pen.prism([(-150, 228, 110), (-140, 252, 100), (140, 252, 100), (150, 228, 110)], stripe,
                  shade(stripe, 112), shade(stripe, 84))

    return paint


def hedge(dice: Dice) -> Paint:
    leaf = dice.near(dice.pick(LEAVES[:4]))
    long, height = dice.between(200, 420), dice.between(60, 110)
    tufts = [(dice.between(84, 102), dice.between(22, 36)) for _ in range(8)]

    def paint(view, x, z):
        pen = Solid(view, x, z, 0)
        pen.box(long, height, 70, leaf)
        for k, (v, r) in enumerate(tufts):
            cx, _, cz = pen.point(long * (2 * k - 7) // 16, 0, 0)
            for up, tone in ((0, 92), (10, 116)):
                Flat(view, cx, cz)(oval(0, height * v // 100 + up, r - up, r * 2 // 3 - up), shade(
                    leaf, tone))

    return paint


def statue(dice: Dice) -> Paint:
    stone = dice.pick(((122, 136, 124), (158, 156, 150), (116, 100, 84)))
    body = person(dice, stone=stone)
    base = dice.between(60, 130)

    def paint(view, x, z):
        Solid(view, x, z, 0).box(90, base, 90, (168, 164, 156))
        view.raised = base
        body(view, x, z)
        view.raised = 0

    return paint


def sign(dice: Dice) -> Paint:
    face = dice.pick(((58, 88, 140), (170, 52, 48), (214, 210, 200)))
    round_, height = dice.chance(60), dice.between(210, 260)

    def paint(view, x, z):
        pen = Flat(view, x, z)
        pen.box(-4, 0, 4, height, STEEL)
        if round_:
            pen(oval(0, height, 32, 32), face)
            pen(oval(0, height, 22, 22), (224, 220, 212))
        else:
            pen.box(-30, height - 30, 30, height + 30, face)
            pen([(0, height + 20), (-18, height - 18), (18, height - 18)], (226, 222, 212))

    return paint


CLUTTER = {bin_: 4, letter_box: 4, bollard: 5, column: 2, bench: 3, bicycle: 4, skip: 5, kiosk: 2,
           hedge: 2, statue: 2, sign: 2, tree: 4, lamp: 3}
SHELF = [thing for thing, weight in CLUTTER.items() for _ in range(weight)]


# --- the street itself -------------------------------------------------------------------------

class Plan(NamedTuple):
    """Where things are across the street, in centimetres of t; the camera looks along `turn`."""

    road: int  # half its width
    front: int  # t of the far row of houses; the near row stands at -front
    at: tuple
    turn: int
    height: int
    zoom: int  # focal length in percent of the picture's side
    horizon: int  # in 1000ths of the picture's height
    near_row: bool
    square: bool


def make_plan(dice: Dice, plain: bool) -> Plan:
    road, walk = dice.between(270, 360), dice.between(260, 420)
    front = road + walk
    kind = dice.pick(("across", "across", "along", "along", "oblique", "square"))
    height, horizon = dice.between(170, 330), dice.between(380, 480)
    if kind == "across":
        back = dice.between(330, 620) if plain else dice.between(380, 900)
        return Plan(road, front, (0, -road - back), dice.between(-2, 2), height,
                    dice.between(88, 112), horizon, False, False)
    if kind == "square":
        back = dice.between(700, 1100) if plain else dice.between(1100, 2000)
        return Plan(road, front, (0, -road - back), dice.between(-3, 3), height + 60,
                    dice.between(96, 125), horizon - 40, False, True)
    turn = dice.between(9, 13) if kind == "oblique" else dice.between(15, 17)
    t = dice.between(-front + 120, road // 2)
    return Plan(road, front, (0, t), turn * dice.pick((1, 1)), height, dice.between(80, 100),
                horizon, True, False)


def paint_sky(view: View, dice: Dice, rng):
    w = view.weather
    rows, cols = max(2, view.sky // ZOOM), view.side // ZOOM
    slope = np.linspace(0, 1, rows, dtype=np.float32)[:, None, None] ** 1.3
    sky = np.array(w.zenith, np.float32) * (1 - slope) + np.array(w.skyline, np.float32) * slope
    puffs = cv2.resize(rng.random((5, 5), np.float32), (cols, rows), interpolation=cv2.INTER_CUBIC)
    puffs += 0.35 * cv2.resize(rng.random((14, 10), np.float32), (cols, rows),
                               interpolation=cv2.INTER_CUBIC)
    cover = np.clip((puffs - 1.15 + w.cloud / 130) * 2.4, 0, 0.9)[..., None]
    cloud = np.array(mix(w.skyline, (250, 248, 244), 55 if not w.lamps else 12), np.float32)
    sky = sky * (1 - cover) + cloud * cover * (0.86 + 0.14 * (1 - slope))
    view.image[:view.sky] = cv2.resize(sky.astype(np.uint8), (view.side, view.sky))
    view.haze = 0
    if w.lamps and w.light[0] < 60:
        for _ in range(14):
            x, y = dice.between(0, view.side - 3), dice.between(0, view.sky - 3)
            view.image[y:y + 3, x:x + 3] = (170, 174, 190)
    for green, far, rise, step in (((96, 112, 96), 62, 14, 8), ((70, 92, 62), 34, 26, 24)):
        base = view.sky - view.side // 64
        ridge = [(x * view.side // step, base - dice.between(0, view.side // rise))
                 for x in range(step + 1)]
        ink = mix(shade(green, w.light[1]), w.skyline, min(96, far * 30000 // (w.clear + 9000)))
        cv2.fillPoly(view.image, [np.array([(0, view.sky + 2), *ridge, (view.side, view.sky + 2)],
                                           np.int32)], ink)


def paint_ground(view: View, plan: Plan, dice: Dice):
    far, road, front = 9000, plan.road, plan.front
    slab = dice.near(dice.pick(((168, 162, 152), (150, 148, 146), (176, 164, 146))))
    tar = dice.near((92, 92, 96), 14)
    paint = (206, 206, 200)
    view.haze = 0
    cv2.rectangle(view.image, (0, view.sky), (view.side, view.side), view.ink(slab), -1)
    if dice.chance(30):
        for side in (1,) if plan.square else (-1, 1):
            view.ground([(-far, side * front), (far, side * front), (far, side * 9000),
                         (-far, side * 9000)], (96, 116, 72))
    for k in range(-6, 8):  # joints of the paving
        for side in (-1, 1):
            a, b = side * (road + 24), side * front
            if plan.square and side < 0:
                b = -4000
            view.ground([(k * 250, a), (k * 250 + 5, a), (k * 250 + 5, b), (k * 250, b)],
                        shade(slab, 90))
    for row in range(1, 14 if plan.square else 3):
        t = -(road + 24 + row * 170)
        view.ground([(-far, t), (far, t), (far, t - 4), (-far, t - 4)], shade(slab, 90))
    view.ground([(-far, -road), (far, -road), (far, road), (-far, road)], tar)
    for side in (-1, 1):
        view.ground([(-far, side * road), (far, side * road), (far, side * (road + 22)),
                     (-far, side * (road + 22))], shade(slab, 118))
        view.ground([(-far, side * road), (far, side * road), (far, side * (road - 12)),
                     (-far, side * (road - 12))], shade(slab, 66))
    style = dice.between(0, 3)
    for k in range(-4, 12) if plan.near_row else range(-5, 6):
        s = k * 400 - 100
        if style:
            view.ground([(s, -7), (s + 200, -7), (s + 200, 7), (s, 7)], paint)
        if style == 3:
            view.ground([(s, road - 205), (s + 400, road - 205), (s + 400, road - 198),
                         (s, road - 198)], paint)
    if dice.chance(35):
        s0 = dice.between(-300, 500)
        for t in range(-road + 30, road - 60, 100):
            view.ground([(s0, t), (s0 + 280, t), (s0 + 280, t + 50), (s0, t + 50)], paint)
    for _ in range(dice.between(0, 4)):
        s, t = dice.between(-900, 1600), dice.between(-road + 60, road - 60)
        r = dice.between(25, 90)
        view.ground([(s + u, t + v // 2) for u, v in oval(0, 0, r, r)], shade(tar, 84))


def haze_ground(view: View):
    """Let the ground fade into the haze with its distance, row by row."""
    if view.weather.clear > 9000:
        return
    reach = view.focal * view.height * 12 // view.weather.clear
    rows = np.arange(view.sky + 1, min(view.side, view.sky + 3 + reach))
    z = view.focal * view.height // (rows - view.sky)
    part = (256 * z // (z + view.weather.clear)).astype(np.uint16)[:, None, None]
    band = view.image[view.sky + 1:view.sky + 1 + len(rows)]
    band[:] = band * (256 - part) + np.array(view.weather.skyline, np.uint16) * part >> 8


def house(dice: Dice, width: int):
    """A house front `width` cm wide: its paint(view, s, t, side) draws walls, roof and windows."""
    floors = dice.pick((1, 2, 2, 2, 3, 3))
    eaves = 60 + floors * 290 + dice.between(-20, 40)
    wall, roof = dice.near(dice.pick(WALLS)), dice.near(dice.pick(ROOFS))
    frame = dice.pick(((226, 222, 212), (216, 206, 190), (104, 82, 66), (96, 104, 104)))
    door = dice.near(dice.pick(CLOTH + PAINT))
    ridge = eaves + dice.between(160, 320) if dice.chance(75) else 0
    columns = max(1, (width - 60) // dice.between(190, 250))
    shop = dice.chance(35)
    awning = dice.pick(CLOTH)
    lit = [dice.chance(45) for _ in range(columns * floors)]
    door_at = dice.between(0, columns - 1)
    chimney, shutters = dice.chance(50), dice.chance(25)
    blind = dice.pick(CLOTH)

    def paint(view, s, t, side):
        x, z = view.spot(s + width // 2, t)
        view.set_distance(max(z, NEAR))
        depth = 900 * side
        for edge in [s] * (view.at[0] < s) + [s + width] * (view.at[0] > s + width):
            quad = [(edge, t), (edge, t + depth)]
            pts = [(*view.spot(*quad[0]), 0), (*view.spot(*quad[1]), 0)]
            (x0, z0, _), (x1, z1, _) = pts
            if min(z0, z1) > NEAR:
                gable = [(x0, 0, z0), (x0, eaves, z0), ((x0 + x1) // 2, ridge or eaves,
                         (z0 + z1) // 2), (x1, eaves, z1), (x1, 0, z1)]
                view.fill(gable, shade(wall, 78))
                side_wall = [gable[0], gable[1], gable[3], gable[4]]
                for f in range(floors):
                    low = 100 * (140 + 290 * f) // eaves
                    view.fill(pane(side_wall, 34, low, 48, low + 13000 // eaves), (84, 96, 108))
        ends = [view.spot(e, t + d) for e in (s - 12, s + width + 12) for d in (0, depth // 2)]
        if min(e[1] for e in ends) > NEAR and ridge:
            a, b, c, d = ends
            if chimney:
                x0, z0 = view.spot(s + width * 3 // 4, t + depth // 2)
                Flat(view, x0, z0).box(-35, ridge - 80, 35, ridge + 80, (140, 96, 80))
            view.fill([(a[0], eaves, a[1]), (b[0], ridge, b[1]), (d[0], ridge, d[1]),
                       (c[0], eaves, c[1])], roof)
        step = (width - 40) // columns
        bay = [(20 + step * k + step // 2, 60 + 290 * f) for f in range(floors)
               for k in range(columns)]
        windows = [b for i, b in enumerate(bay) if i >= columns or not (shop or i == door_at)]
        lamps = view.weather.lamps
        glow = [b for b, on in zip(bay, lit, strict=True) if on and lamps and b in windows]
        layers = [([(0, 0, width, eaves)], wall, False),
                  ([(0, eaves - 16, width, eaves)], shade(wall, 84), False),
                  ([(0, 0, width, 45)], shade(wall, 72), False)]
        if shutters:
            layers.append(([(u - 84, v + 84, u + 84, v + 216) for u, v in windows], blind, False))
        glass, shine = ((52, 60, 76), (62, 72, 90)) if lamps else ((84, 98, 112), (120, 134, 146))
        layers += [
            ([(u - 54, v + 78, u + 54, v + 222) for u, v in windows], frame, False),
            ([(u - 45, v + 88, u + 45, v + 213) for u, v in windows], glass, False),
            ([(u - 45, v + 150, u + 8, v + 213) for u, v in windows], shine, False),
            ([(u - 45, v + 88, u + 45, v + 213) for u, v in glow], (246, 208, 132), True),
            ([(u - 3, v + 88, u + 3, v + 213) for u, v in windows], frame, False)]
        layers += shop_front(width, door, awning, lamps) if shop else \
            front_door(bay[door_at][0], door, frame)
        view.wall(s, t, layers if z < 3000 else layers[:5])

    return paint


def shop_front(width, paint, awning, lamps):
    left, right = 40, width - 40
    return [([(left, 30, right, 240)], shade(paint, 70), False),
            ([(left + 14, 60, right - 140, 222), (right - 110, 30, right - 30, 222)],
             (250, 216, 150) if lamps else (104, 118, 128), lamps),
            ([(left - 10, 236, right + 10, 282)], awning, False),
            ([(u, 236, u + 20, 282) for u in range(left, right, 44)],
             mix(awning, (235, 230, 220), 70), False)]


def front_door(u, paint, frame):
    return [([(u - 58, 0, u + 58, 238)], frame, False), ([(u - 46, 0, u + 46, 228)], paint, False),
            ([(u - 32, 150, u + 32, 214)], (84, 92, 100), False)]


def paint_houses(view: View, plan: Plan, dice: Dice):
    rows = [(plan.front, 1)] + ([(-plan.front, -1)] if plan.near_row else [])
    for t, side in rows:
        s, lots = -3200 if abs(plan.turn) < 9 else -100, []
        while s < (3200 if abs(plan.turn) < 9 else 7000):
            width = dice.between(420, 1000)
            gap = dice.pick((0, 0, 0, 0, 150, 300))
            if dice.chance(92):
                lots.append((s, width, house(dice, width)))
            s += width + gap
        lots.sort(key=lambda lot: -view.spot(lot[0], t)[1])
        for s, width, draw_house in lots:
            if view.shows(s, s + width, t, t + 900 * side):
                draw_house(view, s, t, side)


class Thing(NamedTuple):
    x: int
    z: int
    kind: int  # 0, PERSON or CAR
    paint: Paint


class Crowd:
    """Finds room for things and keeps them apart."""

    def __init__(self, view: View, plan: Plan, dice: Dice, level: Level):
        self.view, self.plan, self.dice, self.level = view, plan, dice, level
        self.things, self.taken = [], []
        self.reach = {kind: view.focal * 170 * 128 // (pixels * view.side)
                      for kind, pixels in level.smallest.items()}

    def free(self, s, t, half_s, half_t):
        return all(abs(s - a) > half_s + b or abs(t - c) > half_t + d
                   for a, b, c, d in self.taken)

    def place(self, kind, paint, band, half_s=40, half_t=40, nearest=300, tries=14):
        """Put a thing somewhere with t in band = (low, high); returns its (s, t) or None."""
        for _ in range(tries):
            t = self.dice.between(*band)
            along = abs(self.plan.turn) > 8
            s = self.dice.between(150, 2600 if along else 1300)
            s = s * self.dice.between(10, 100) // 100 if along else s * self.dice.pick((-1, 1))
            x, z = self.view.spot(s, t)
            if nearest <= z <= self.reach[kind] and self.view.inside(x, z, 4) and \
                    self.free(s, t, half_s, half_t):
                self.put(kind, paint, s, t, half_s, half_t)
                return s, t
        return None

    def put(self, kind, paint, s, t, half_s=40, half_t=40):
        x, z = self.view.spot(s, t)
        if z > 150:
            self.taken.append((s, half_s, t, half_t))
            self.things.append(Thing(x, z, kind, paint))


def bands(plan: Plan):
    far = (plan.road + 50, plan.front - 60)
    near = (max(-plan.front + 60, -4000), -plan.road - 50)
    if not plan.near_row:
        near = (plan.at[1] + 250, -plan.road - 50)
        if near[0] > near[1]:
            near = far
    return far, near


def add_cars(crowd: Crowd, count: int):
    plan, dice = crowd.plan, crowd.dice
    for _ in range(count):
        where = dice.pick(("right", "left", "kerb", "kerb", "bay"))
        if where == "bay" and plan.square:
            turn = dice.pick((16, 48)) + dice.between(-2, 2)
            crowd.place(CAR, car(dice, turn), (plan.at[1] + 600, -plan.road - 330), 130, 270, 550)
            continue
        if where == "kerb":
            turn, t = dice.pick((0, 32)), dice.pick((1, -1)) * (plan.road - 100)
        else:
            turn, t = (0, -plan.road // 2) if where == "right" else (32, plan.road // 2)
            turn += dice.pick((0, 0, 0, 0, 1, -1, 3, -3))
        spot = crowd.place(CAR, car(dice, turn), (t, t), 270, 95, 520) or \
            crowd.place(CAR, car(dice, turn), (-t, -t), 270, 95, 480)
        if spot and where == "kerb" and dice.chance(40):  # another one, bumper to bumper
            crowd.put(CAR, car(dice, turn), spot[0] + dice.between(500, 560), t, 270, 95)


def add_people(crowd: Crowd, count: int):
    plan, dice = crowd.plan, crowd.dice
    far, near = bands(plan)
    while count > 0:
        band = dice.pick((far, near, near, (-plan.road, plan.road)))
        spot = crowd.place(PERSON, person(dice), band, 35, 35, 330) or \
            crowd.place(PERSON, person(dice), dice.pick((near, (-plan.road, 0))), 35, 35, 330)
        count -= 1
        while spot and count > 0 and dice.chance(35):  # company, close enough to touch
            spot = (spot[0] + dice.pick((-1, 1)) * dice.between(38, 62),
                    spot[1] + dice.between(-30, 30))
            crowd.put(PERSON, person(dice), *spot, 30, 30)
            count -= 1


def add_clutter(crowd: Crowd, count: int):
    plan, dice = crowd.plan, crowd.dice
    far, near = bands(plan)
    for _ in range(count):
        make = dice.pick(SHELF)
        band = (plan.road - 110, plan.road - 100) if make is skip and dice.chance(70) else \
            dice.pick((far, near))
        room = {skip: 210, kiosk: 170, hedge: 180, bench: 95, bicycle: 70}.get(make, 40)
        spot = crowd.place(0, make(dice), band, room, 60 if room < 100 else 95,
                           420 if room < 100 else 700)
        if spot and make is bench and dice.chance(45):
            crowd.put(PERSON, person(dice, seated=True), spot[0], spot[1] - 18, 20, 10)
    if dice.chance(crowd.level.cover):
        make = dice.pick((tree, lamp, bollard, bin_, sign, letter_box))
        crowd.place(0, make(dice), near, 30, 30, 230, 30)


def populate(view: View, plan: Plan, dice: Dice, level: Level) -> list[Thing]:
    crowd = Crowd(view, plan, dice, level)
    if dice.chance(89):
        add_cars(crowd, dice.between(*level.cars))
    if dice.chance(93):
        add_people(crowd, dice.between(*level.people))
    add_clutter(crowd, dice.between(*level.clutter))
    return crowd.things


# --- from the canvas to the picture --------------------------------------------------------------

def paint_things(view: View, things, dice: Dice):
    things = sorted(things, key=lambda thing: -thing.z)
    w = view.weather
    if w.shadow < 80:
        view.sun = (dice.pick((-1, 1)) * dice.between(300, 1100), dice.between(-500, 300))
    else:
        view.sun = (0, 0)
    view.mode = "shadow"
    for x, z, kind, paint in things:
        if kind != CAR and view.sun == (0, 0):
            view.fill([(x + u, 0, z + v) for u, v in oval(0, 0, 24, 18)], None)
        if kind == CAR or view.sun != (0, 0):
            paint(view, x, z)
    dark = cv2.convertScaleAbs(view.image[view.sky:], alpha=w.shadow / 100)
    cv2.copyTo(dark, view.shadows[view.sky:], view.image[view.sky:])
    if w.wet:
        mirror(view, things)
    view.mode = "paint"
    for number, thing in enumerate(things, 1):
        view.number = number if thing.kind else 0
        view.set_distance(thing.z)
        thing.paint(view, thing.x, thing.z)
    return things


def mirror(view: View, things):
    """Everything once more, upside down, faint and smeared, in the wet ground."""
    dry, view.mode = view.image.copy(), "mirror"
    for thing in things:
        view.set_distance(thing.z)
        thing.paint(view, thing.x, thing.z)
    smear = cv2.blur(view.image[view.sky:], (view.side // 80, view.side // 24))
    view.image[view.sky:] = cv2.addWeighted(dry[view.sky:], 0.62, smear, 0.38, 0)
    view.image[:view.sky] = dry[:view.sky]


def share(who, low, high):
    """How many of the 9 sub-pixels of each pixel belong to the things low..high.

    Returns the smallest window (two slices) that holds them all, and the counts in it.
    """
    part = cv2.inRange(who, low, high)
    x, y, w, h = cv2.boundingRect(part)
    x, y, right, low = x // ZOOM, y // ZOOM, -(-(x + w) // ZOOM), -(-(y + h) // ZOOM)
    window = slice(y, low), slice(x, right)
    if not w:
        return window, np.zeros((0, 0), np.uint8)
    part = cv2.resize(part[y * ZOOM:low * ZOOM, x * ZOOM:right * ZOOM], (right - x, low - y),
                      interpolation=cv2.INTER_AREA)
    return window, ((part.astype(np.uint16) * ZOOM**2 + 127) // 255).astype(np.uint8)


def label(view: View, things, size):
    """Mask and instances by the majority of the sub-pixels in each pixel."""
    best, owner = np.full((size, size), ZOOM * ZOOM, np.uint8), np.zeros((size, size), np.uint8)
    window, total = share(view.who, 1, 255)
    best[window] -= total
    for number, thing in enumerate(things, 1):
        if thing.kind:
            window, part = share(view.who, number, number)
            more = part > best[window]
            owner[window][more], best[window][more] = number, part[more]
    counts = np.bincount(owner.ravel(), minlength=len(things) + 1)
    names, void, seen = np.zeros(len(things) + 1, np.uint16), np.zeros(len(things) + 1, bool), {}
    for number, thing in enumerate(things, 1):
        if counts[number]:
            seen[thing.kind] = seen.get(thing.kind, 0) + 1
            names[number] = thing.kind * 1000 + seen[thing.kind]
            void[number] = counts[number] * 128 * 128 < SPECK * size * size
    instances = names[owner]
    mask = (instances // 1000).astype(np.uint8)
    mask[(best < CLEAR) | void[owner]] = IGNORE
    return mask, instances


def add_glow(picture, view: View, size):
    for x, y, radius, colour, bulb in view.glows:
        if (view.image[y, x] != bulb).any():
            continue
        r = max(2, radius // ZOOM)
        x, y = x // ZOOM, y // ZOOM
        x0, x1, y0, y1 = max(0, x - r), min(size, x + r + 1), max(0, y - r), min(size, y + r + 1)
        if x0 >= x1 or y0 >= y1:
            continue
        dx = (np.arange(x0, x1, dtype=np.float32) - x) / r
        dy = (np.arange(y0, y1, dtype=np.float32) - y) / r
        fall = np.clip(1 - (dx[None] ** 2 + dy[:, None] ** 2), 0, 1) ** 3
        picture[y0:y1, x0:x1] += fall[..., None] * np.array(colour, np.float32) * 0.8


def develop(view: View, size, noise, rng):
    """Reduce the canvas and give it what a camera gives: glow, rain, softness, noise."""
    picture = cv2.resize(view.image, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32)
    add_glow(picture, view, size)
    if view.weather.wet:
        streaks = (rng.random((size, size), np.float32) > 0.985).astype(np.float32)
        kernel = np.zeros((9, 9), np.float32)
        kernel[np.arange(9), 5 - np.arange(9) // 4] = 0.5
        picture += 44 * cv2.filter2D(streaks, -1, kernel)[..., None]
    picture = cv2.GaussianBlur(picture, (3, 3), 0.35 + 0.3 * rng.random())
    picture *= 0.94 + 0.09 * rng.random() + 0.025 * rng.random(3, np.float32)
    grain = rng.standard_normal((size, size, 1), np.float32)
    picture += view.weather.noise * noise / 100 * grain
    return np.clip(picture, 0, 255).astype(np.uint8)


def compose(seed: int, size: int, difficulty: str) -> tuple[Scene, str]:
    """The scene of a seed, and the name of its weather."""
    level, salt = LEVELS[difficulty], list(LEVELS).index(difficulty)
    dice, rng = Dice(seed, salt), np.random.default_rng((seed, salt, 1))
    light = dice.pick([name for name, weight in level.weather.items() for _ in range(weight)])
    plan = make_plan(dice, difficulty == "plain")
    view = View(size, WEATHER[light], plan)
    paint_sky(view, dice, rng)
    paint_ground(view, plan, dice)
    haze_ground(view)
    paint_houses(view, plan, dice)
    things = paint_things(view, populate(view, plan, dice, level), dice)
    mask, instances = label(view, things, size)
    return Scene(develop(view, size, level.noise, rng), mask, instances), light


def draw(seed: int, size: int = 128, difficulty: str = "full") -> Scene:
    """Draw the scene of a seed.

    seed: any integer from 0. size: pixels along each side, 32 to 1024; the same seed shows the
    same street at every size. difficulty: "plain" (larger objects, less clutter, good light) or
    "full". Mask and instances follow from the three on every machine. Raises ValueError for
    anything else, in one line.
    """
    if difficulty not in LEVELS:
        raise ValueError(f"difficulty is {difficulty!r}; it must be one of {', '.join(LEVELS)}")
    if operator.index(size) != size or not 32 <= size <= 1024:
        raise ValueError(f"size is {size}; it must be a whole number of pixels from 32 to 1024")
    if operator.index(seed) < 0:
        raise ValueError(f"seed is {seed}; it must be a whole number from 0")
    return compose(operator.index(seed), operator.index(size), difficulty)[0]


# --- many scenes ---------------------------------------------------------------------------------

STREAM = 1 << 40


def scene_seed(seed: int, index: int) -> int:
    """The seed for draw() of scene `index` of stream `seed`.

    Every pair has its own: (seed + 1) * 2**40 + index. Scenes below 2**40 are those of draw() by
    hand and of the folder, so no stream ever holds one of the folder's.
    """
    if seed < 0 or not 0 <= index < STREAM:
        raise ValueError(f"no scene {index} in stream {seed}; both must be whole numbers from 0")
    return (seed + 1) * STREAM + index


def generate(n: int | None, size: int = 128, difficulty: str = "full",
             seed: int = 0) -> Iterator[Scene]:
    """Yield n scenes (None: without end) of stream `seed`; never a scene of the folder."""
    for index in itertools.count() if n is None else range(n):
        yield draw(scene_seed(seed, index), size, difficulty)


COUNTS = {"train": 800, "val": 150, "test": 150}
FILES = ("stem", "split", "seed", "light", "people", "cars")
QUALITY = 82  # of the folder's JPEG images
MARK = "scenes.csv"  # tells that a folder was written here


def write_level(root: Path, difficulty: str, counts: dict, size: int, seed: int, quality: int):
    """Write one difficulty: images, masks, instances, one list a split, and scenes.csv."""
    from tqdm.auto import tqdm

    for name in ("images", "masks", "instances"):
        (root / name).mkdir(parents=True, exist_ok=True)
        for old in (root / name).glob("[0-9]*.*"):
            old.unlink()
    splits = [split for split, count in counts.items() for _ in range(count)]
    rows = []
    for number, split in enumerate(tqdm(splits, desc=difficulty, unit="scene")):
        stem, key = f"{number:04d}", seed * 100_000 + number
        scene, light = compose(key, size, difficulty)
        Image.fromarray(scene.image).save(root / "images" / f"{stem}.jpg", quality=quality,
                                          optimize=True)
        write_mask(root / "masks" / f"{stem}.png", scene.mask)
        write_mask(root / "instances" / f"{stem}.png", scene.instances)
        ids = np.unique(scene.instances) // 1000
        rows.append((stem, split, key, light, int((ids == PERSON).sum()), int((ids == CAR).sum())))
    for split in counts:
        stems = [row[0] for row in rows if row[1] == split]
        (root / f"{split}.txt").write_text("".join(f"{stem}\n" for stem in stems))
    with open(root / MARK, "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([FILES, *rows])


def sizes_of(mask, instances):
    """Visible pixels of each object of a scene: [(class id, pixels, is it void throughout)]."""
    found = []
    for value in np.unique(instances[instances > 0]):
        mine = instances == value
        found.append((int(value) // 1000, int(mine.sum()), bool((mask[mine] == IGNORE).all())))
    return found


def describe(root: Path) -> str:
    """The counts of a folder, as the Markdown tables that its data card shows."""
    return "\n\n".join(describe_level(folder) for folder in sorted(
        (path.parent for path in Path(root).glob(f"*/{MARK}")), reverse=True))


def describe_level(root: Path) -> str:
    with open(root / MARK, newline="") as file:
        rows = list(csv.DictReader(file))
    splits = list(dict.fromkeys(row["split"] for row in rows))
    lines = [f"**{root.name}**", "", "| | " + " | ".join(splits) + " | all |",
             "|---" * (len(splits) + 2) + "|"]

    def line(name, of):
        values = [sum(of(row) for row in rows if row["split"] == split) for split in splits]
        lines.append(f"| {name} | " + " | ".join(f"{v:,}" for v in [*values, sum(values)]) + " |")

    facts = {}
    for row in rows:
        mask = read_mask(root / "masks" / f"{row['stem']}.png")
        instances = read_mask(root / "instances" / f"{row['stem']}.png")
        facts[row["stem"]] = (np.bincount(mask.ravel(), minlength=256), sizes_of(mask, instances),
                              mask.size)
    line("scenes", lambda row: 1)
    for name, test in (("without a person", lambda r: r["people"] == "0"),
                       ("without a car", lambda r: r["cars"] == "0"),
                       ("with neither", lambda r: r["people"] == r["cars"] == "0")):
        line(name, lambda row, test=test: test(row))
    for light in WEATHER:
        if any(row["light"] == light for row in rows):
            line(f"light: {light}", lambda row, light=light: row["light"] == light)
    for kind in (PERSON, CAR):
        for name, low, high in (("small", 0, 3), ("medium", 3, 30), ("large", 30, 10**9)):
            line(f"{CLASSES[kind]}, {name}", lambda row, k=kind, a=low, b=high: sum(
                a * facts[row["stem"]][2] <= 1000 * pixels < b
                * facts[row["stem"]][2] for kk, pixels, _ in facts[row["stem"]][1] if kk == k))
    line("objects too small to name (void)", lambda row: sum(
        void for _, _, void in facts[row["stem"]][1]))
    share = []
    for kind, name in (*enumerate(CLASSES), (IGNORE, "void")):
        cells = []
        for group in (*[[s] for s in splits], splits):
            mine = [facts[row["stem"]] for row in rows if row["split"] in group]
            cells.append(f"{100 * sum(f[0][kind] for f in mine) / sum(f[2] for f in mine):.1f} %")
        share.append(f"| pixels: {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines + share)


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m segutils.street", description="Draw the street data set into a folder.")
    parser.add_argument("--out", type=Path, help="folder to write, such as data/street")
    parser.add_argument("--describe", type=Path, metavar="FOLDER", help="print a folder's counts")
    parser.add_argument("--size", type=int, default=128, help="pixels along each side")
    parser.add_argument("--seed", type=int, default=0, help="another seed, another data set")
    for split, count in COUNTS.items():
        parser.add_argument(f"--{split}", type=int, default=count, help=f"scenes (default {count})")
    parser.add_argument("--quality", type=int, default=QUALITY, help="of the JPEG images")
    parser.add_argument("--force", action="store_true", help="write into a folder of other files")
    given = parser.parse_args(arguments)
    if given.describe:
        print(describe(given.describe))
        return
    if not given.out:
        parser.error("say where to: --out data/street (or --describe data/street)")
    if given.out.exists() and any(given.out.iterdir()) and not given.force \
            and not any(given.out.glob(f"*/{MARK}")):
        parser.error(f"{given.out} holds other files; name an empty folder, or add --force")
    for difficulty in LEVELS:
        write_level(given.out / difficulty, difficulty,
                    {split: getattr(given, split) for split in COUNTS}, given.size, given.seed,
                    given.quality)


if __name__ == "__main__":
    main()
