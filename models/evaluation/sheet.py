"""A sheet: rows of pictures with words to them, on one light page to look at and to show."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from PIL import Image, ImageDraw, ImageFont, ImageOps

PAPER: Final = (250, 249, 246)
INK: Final = (32, 33, 36)
QUIET: Final = (104, 106, 112)
RULE: Final = (222, 219, 212)
NOTICE_PAPER: Final = (255, 243, 205)
NOTICE_INK: Final = (102, 70, 0)

CELL: Final = (480, 320)
MARGIN: Final = 72
GAP: Final = 24
HEAD: Final = 236
ROW_HEAD: Final = 76
CAPTION: Final = 44
ROW_FOOT: Final = 28

# Words that are too long for their place are written smaller, down to this.
SMALLEST_TEXT: Final = 11


@dataclass(frozen=True)
class Cell:
    """One picture and the words under it."""

    picture: Image.Image
    caption: str


@dataclass(frozen=True)
class Row:
    """What belongs together: a title, a note at the right, and pictures side by side."""

    title: str
    note: str
    cells: Sequence[Cell]


def draw_sheet(
    title: str,
    subtitle: str,
    notice: str,
    rows: Sequence[Row],
    cell: tuple[int, int] = CELL,
) -> Image.Image:
    """Lay the rows out on a page as wide as its longest row.

    A picture of the size of a cell, `(width, height)`, is shown pixel by pixel; others are scaled
    and cropped to it.
    """
    columns = max(len(row.cells) for row in rows)
    width = 2 * MARGIN + columns * cell[0] + (columns - 1) * GAP
    row_height = ROW_HEAD + cell[1] + CAPTION + ROW_FOOT
    page = Image.new("RGB", (width, HEAD + len(rows) * row_height + MARGIN // 2), PAPER)
    draw = ImageDraw.Draw(page)
    _write(draw, (MARGIN, 52), title, 58, INK, bold=True)
    left = MARGIN + _length(title, 58) + 28
    _write(draw, (left, 77), subtitle, _fitting(subtitle, 28, width - MARGIN - left), QUIET)
    draw.rounded_rectangle((MARGIN, 144, width - MARGIN, 204), radius=10, fill=NOTICE_PAPER)
    size = _fitting(notice, 25, width - 2 * MARGIN - 48)
    _write(draw, (MARGIN + 24, 160), notice, size, NOTICE_INK)
    for i, row in enumerate(rows):
        _draw_row(page, draw, row, HEAD + i * row_height, cell)
    return page


def on_checkerboard(cutout: Image.Image, square: int = 12) -> Image.Image:
    """An RGBA picture on the checkerboard that stands for nothing."""
    board = Image.new("RGBA", cutout.size, (255, 255, 255, 255))
    draw = ImageDraw.Draw(board)
    for y in range(0, cutout.height, square):
        for x in range(y // square % 2 * square, cutout.width, 2 * square):
            draw.rectangle((x, y, x + square - 1, y + square - 1), fill=(214, 216, 220))
    return Image.alpha_composite(board, cutout.convert("RGBA")).convert("RGB")


def _draw_row(
    page: Image.Image, draw: ImageDraw.ImageDraw, row: Row, top: int, cell: tuple[int, int]
) -> None:
    right = page.width - MARGIN
    draw.line((MARGIN, top, right, top), fill=RULE, width=2)
    left = right - _length(row.note, 22)
    _write(draw, (left, top + 31), row.note, 22, QUIET)
    size = _fitting(row.title, 32, left - GAP - MARGIN)
    _write(draw, (MARGIN, top + 22), row.title, size, INK, bold=True)
    for i, one in enumerate(row.cells):
        x, y = MARGIN + i * (cell[0] + GAP), top + ROW_HEAD
        picture = ImageOps.fit(one.picture.convert("RGB"), cell, Image.Resampling.LANCZOS)
        page.paste(picture, (x, y))
        draw.rectangle((x, y, x + cell[0] - 1, y + cell[1] - 1), outline=RULE)
        size = _fitting(one.caption, 22, cell[0])
        _write(draw, (x, y + cell[1] + 12), one.caption, size, QUIET)


def _fitting(text: str, size: int, width: float) -> int:
    """The largest size, not above `size`, at which the text is no wider than `width`."""
    while size > SMALLEST_TEXT and _length(text, size) > width:
        size -= 1
    return size


def _write(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    size: int,
    colour: tuple[int, int, int],
    bold: bool = False,
) -> None:
    draw.text(at, text, fill=colour, font=_font(size), stroke_width=size / 48 if bold else 0)


def _length(text: str, size: int) -> float:
    return _font(size).getlength(text)


def _font(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's own font, so that the sheet looks the same on every machine."""
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise RuntimeError("this Pillow was built without FreeType, and can't write on the sheet")
    return font
