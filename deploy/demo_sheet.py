"""The demo's sheet: each photo before and after, on one light page to look at and to show."""

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
COLUMNS: Final = 4
MARGIN: Final = 72
GAP: Final = 24
ROW_HEAD: Final = 76
CAPTION: Final = 44
WIDTH: Final = 2 * MARGIN + COLUMNS * CELL[0] + (COLUMNS - 1) * GAP


@dataclass(frozen=True)
class Cell:
    """One picture and the words under it."""

    picture: Image.Image
    caption: str


@dataclass(frozen=True)
class Row:
    """One job: its title, its files, and at most four pictures."""

    title: str
    files: str
    cells: Sequence[Cell]


def draw_sheet(title: str, subtitle: str, notice: str, rows: Sequence[Row]) -> Image.Image:
    """Lay the rows out on a page as wide as four pictures."""
    head = 236
    row_height = ROW_HEAD + CELL[1] + CAPTION + 28
    page = Image.new("RGB", (WIDTH, head + len(rows) * row_height + MARGIN // 2), PAPER)
    draw = ImageDraw.Draw(page)
    _write(draw, (MARGIN, 52), title, 58, INK, bold=True)
    _write(draw, (MARGIN + _length(title, 58) + 28, 77), subtitle, 28, QUIET)
    draw.rounded_rectangle((MARGIN, 144, WIDTH - MARGIN, 204), radius=10, fill=NOTICE_PAPER)
    _write(draw, (MARGIN + 24, 160), notice, 25, NOTICE_INK)
    for i, row in enumerate(rows):
        _draw_row(page, draw, row, head + i * row_height)
    return page


def on_checkerboard(cutout: Image.Image, square: int = 12) -> Image.Image:
    """An RGBA picture on the checkerboard that stands for nothing."""
    board = Image.new("RGBA", cutout.size, (255, 255, 255, 255))
    draw = ImageDraw.Draw(board)
    for y in range(0, cutout.height, square):
        for x in range(y // square % 2 * square, cutout.width, 2 * square):
            draw.rectangle((x, y, x + square - 1, y + square - 1), fill=(214, 216, 220))
    return Image.alpha_composite(board, cutout.convert("RGBA")).convert("RGB")


def _draw_row(page: Image.Image, draw: ImageDraw.ImageDraw, row: Row, top: int) -> None:
    draw.line((MARGIN, top, WIDTH - MARGIN, top), fill=RULE, width=2)
    _write(draw, (MARGIN, top + 22), row.title, 32, INK, bold=True)
    left = WIDTH - MARGIN - _length(row.files, 22)
    _write(draw, (left, top + 31), row.files, 22, QUIET)
    for i, cell in enumerate(row.cells):
        x, y = MARGIN + i * (CELL[0] + GAP), top + ROW_HEAD
        picture = ImageOps.fit(cell.picture.convert("RGB"), CELL, Image.Resampling.LANCZOS)
        page.paste(picture, (x, y))
        draw.rectangle((x, y, x + CELL[0] - 1, y + CELL[1] - 1), outline=RULE)
        _write(draw, (x, y + CELL[1] + 12), cell.caption, 22, QUIET)


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
