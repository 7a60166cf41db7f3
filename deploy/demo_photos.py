"""The demo's four photos, each with the mask or trimap that a retoucher would draw for it.

The photos ship with scikit-image. Coordinates are pixels, x before y; they run past the edge of the
photo where the subject does.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from PIL import Image, ImageDraw, ImageFilter
from skimage import data

Points = Sequence[tuple[int, int]]

# Masks and trimaps are drawn at this multiple and scaled down, so that a line may be 2.5 px wide.
_OVERSAMPLING = 4

# Side of the square that widens a mask, pixels; odd.
_MASK_MARGIN = 11

SPOON_BOWL = (
    (352, 246), (366, 238), (374, 226), (384, 224), (388, 238), (398, 252), (406, 267), (407, 284),
    (401, 302), (390, 315), (374, 324), (357, 326), (342, 320), (331, 307), (325, 289), (328, 270),
    (337, 256),
)  # fmt: skip
SPOON_HANDLE = (
    (374, 230), (379, 214), (387, 200), (399, 165), (406, 134), (406, 112), (402, 94), (397, 80),
    (399, 70), (408, 66), (418, 67), (425, 76), (423, 92), (416, 110), (411, 132), (403, 166),
    (393, 200), (386, 230),
)  # fmt: skip
SPOON_REFLECTION = (
    (316, 256), (319, 246), (332, 239), (352, 238), (357, 245), (348, 252), (331, 261),
)  # fmt: skip

MAST = (
    (197, 122), (206, 122), (203, 188), (204, 190), (204, 362), (222, 378), (222, 405), (206, 418),
    (158, 418), (167, 370), (178, 290), (190, 192), (193, 188),
)  # fmt: skip

CAT_HEAD = (
    (40, -40), (38, 25), (33, 75), (31, 105), (20, 121), (-40, 134), (-40, 340), (292, 340),
    (298, 284), (306, 262), (315, 244), (316, 226), (331, 208), (344, 190), (352, 170), (359, 152),
    (364, 126), (362, 104), (355, 84), (360, 66), (370, 48), (381, 26), (398, 2), (420, -40),
)  # fmt: skip
CAT_WHISKERS = (
    (312, 222), (352, 226), (384, 246), (400, 266), (385, 290), (372, 320), (285, 320), (300, 262),
)  # fmt: skip

ASTRONAUT = (
    (22, 420), (24, 345), (32, 310), (43, 274), (60, 250), (76, 234), (96, 219), (114, 207),
    (112, 188), (125, 172), (144, 155), (164, 149), (186, 150), (183, 136), (174, 129), (169, 118),
    (160, 107), (155, 92), (154, 72), (163, 53), (180, 42), (197, 32), (214, 20), (238, 16),
    (256, 22), (279, 36), (292, 50), (299, 68), (301, 88), (297, 107), (290, 121), (279, 133),
    (270, 138), (266, 152), (258, 168), (256, 174), (272, 186), (292, 206), (302, 226), (306, 240),
    (322, 246), (335, 259), (346, 277), (352, 294), (360, 320), (366, 350), (380, 420),
)  # fmt: skip
ASTRONAUT_HAIR = (
    (180, 132), (168, 119), (158, 106), (154, 90), (154, 70), (163, 53), (180, 42), (197, 32),
    (214, 20), (238, 16), (256, 22), (279, 36), (292, 50), (299, 68), (301, 88), (297, 107),
    (290, 121), (280, 132),
)  # fmt: skip

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Job:
    """A photo, its companion, where both are dropped and where the result is to appear."""

    title: str
    task: Literal["inpaint", "matting"]
    photo: Callable[[], Image.Image]
    companion: Callable[[], Image.Image]
    photo_path: str
    companion_path: str
    results: tuple[str, ...]
    detail: Box


def spoon_mask() -> Image.Image:
    """The spoon, its handle and its reflection in the cup: 255 where it is to vanish."""
    return _drawn(
        (600, 400), areas=((SPOON_BOWL, 255), (SPOON_HANDLE, 255), (SPOON_REFLECTION, 255))
    )


def mast_mask() -> Image.Image:
    """The left lightning mast with the lamp before it: 255 where it is to vanish."""
    return _drawn((640, 427), areas=((MAST, 255),))


def cat_trimap() -> Image.Image:
    """The cat: 255 for sure, 0 for sure not, 128 along the fur and among the whiskers."""
    return _trimap(
        (451, 300), outline=CAT_HEAD, band=14, soft=((CAT_HEAD[:5], 22),), unknown=(CAT_WHISKERS,)
    )


def astronaut_trimap() -> Image.Image:
    """The astronaut: a narrow unknown band along the suit, a wide one around the hair."""
    return _trimap((512, 341), outline=ASTRONAUT, band=9, soft=((ASTRONAUT_HAIR, 18),), unknown=())


def coffee() -> Image.Image:
    return Image.fromarray(data.coffee())


def rocket() -> Image.Image:
    return Image.fromarray(data.rocket())


def cat() -> Image.Image:
    return Image.fromarray(data.chelsea())


def astronaut() -> Image.Image:
    """Head and shoulders."""
    return Image.fromarray(data.astronaut()).crop((0, 0, 512, 341))


JOBS = (
    Job(
        title="Take the spoon away",
        task="inpaint",
        photo=coffee,
        companion=spoon_mask,
        photo_path="coffee.jpg",
        companion_path="coffee_mask.png",
        results=("coffee.png", "coffee.log"),
        detail=(300, 210, 450, 310),
    ),
    Job(
        title="Take the left mast down",
        task="inpaint",
        photo=rocket,
        companion=mast_mask,
        photo_path="launch pad/images/night/rocket.jpg",
        companion_path="launch pad/masks/night/rocket.png",
        results=("launch pad/images/night/rocket.png", "launch pad/images/night/rocket.log"),
        detail=(116, 100, 296, 220),
    ),
    Job(
        title="Cut the cat out",
        task="matting",
        photo=cat,
        companion=cat_trimap,
        photo_path="cat.png",
        companion_path="cat_trimap.png",
        results=("cat.alpha.png", "cat.cutout.png", "cat.log"),
        detail=(0, 0, 451, 300),
    ),
    Job(
        title="Cut the astronaut out",
        task="matting",
        photo=astronaut,
        companion=astronaut_trimap,
        photo_path="portraits/astronaut.tif",
        companion_path="portraits/astronaut.trimap.png",
        results=(
            "portraits/astronaut.alpha.png",
            "portraits/astronaut.cutout.png",
            "portraits/astronaut.log",
        ),
        detail=(0, 0, 512, 341),
    ),
)


def _drawn(size: tuple[int, int], areas: Sequence[tuple[Points, int]]) -> Image.Image:
    """Filled areas on black, a little wider than drawn, without grey edges: a mask is either or.

    What shines or blurs beyond an outline would otherwise be painted on into the hole.
    """
    picture = Image.new("L", size)
    draw = ImageDraw.Draw(picture)
    for points, value in areas:
        draw.polygon(list(points), fill=value)
    return picture.filter(ImageFilter.MaxFilter(_MASK_MARGIN))


def _trimap(
    size: tuple[int, int],
    outline: Points,
    band: int,
    soft: Sequence[tuple[Points, int]],
    unknown: Sequence[Points],
) -> Image.Image:
    """Foreground inside `outline`, unknown within `band` px around it, wider along `soft` lines.

    Only 0, 128 and 255 come out: grey edges between them would be no trimap.
    """
    large = Image.new("L", (size[0] * _OVERSAMPLING, size[1] * _OVERSAMPLING))
    draw = ImageDraw.Draw(large)
    draw.polygon(_scaled(outline), fill=255)
    for points in unknown:
        draw.polygon(_scaled(points), fill=128)
    for line, width in (((*outline, outline[0]), band), *soft):
        draw.line(_scaled(line), fill=128, width=width * _OVERSAMPLING, joint="curve")
        for x, y in _scaled(line)[1:-1]:  # round joints; `curve` leaves notches
            r = width * _OVERSAMPLING / 2
            draw.ellipse((x - r, y - r, x + r, y + r), fill=128)
    return large.resize(size, Image.Resampling.NEAREST)


def _scaled(points: Points) -> list[tuple[int, int]]:
    return [(x * _OVERSAMPLING, y * _OVERSAMPLING) for x, y in points]
