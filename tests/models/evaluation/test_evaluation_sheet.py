import numpy as np
from PIL import Image

from models.evaluation.examples import choose_cases, draw_examples
from models.evaluation.sheet import GAP, HEAD, MARGIN, ROW_HEAD, Cell, Row, draw_sheet
from models.evaluation.tasks import INPAINT, MATTING, Case


def noise(side: int, channels: int = 3) -> np.ndarray:
    shape = (side, side, channels) if channels > 1 else (side, side)
    return np.random.default_rng(side).integers(0, 256, shape, dtype=np.uint8)


def case(name: str, *groups: str) -> Case:
    one = np.zeros((4, 4), np.uint8)
    return Case(name, groups, name, one, one, one)


def inner(sheet: Image.Image, column: int, side: int) -> np.ndarray:
    """A cell of the first row, without the line around it."""
    x, y = MARGIN + column * (side + GAP), HEAD + ROW_HEAD
    return np.asarray(sheet)[y + 1 : y + side - 1, x + 1 : x + side - 1]


def test_picture_of_a_cells_size_is_shown_pixel_by_pixel() -> None:
    picture = noise(64)
    row = Row("title", "note", [Cell(Image.fromarray(picture), "caption")] * 3)
    sheet = draw_sheet("a", "b", "c", [row, row], cell=(64, 64))
    assert (inner(sheet, 2, 64) == picture[1:-1, 1:-1]).all()
    assert sheet.width == 2 * MARGIN + 3 * 64 + 2 * GAP


def test_words_too_long_for_their_place_do_not_reach_the_next_picture() -> None:
    cells = [Cell(Image.new("RGB", (256, 256), "white"), "a rather long caption " * 2)] * 2
    rows = [Row("t", "", cells)]
    sheet = np.asarray(draw_sheet("a", "b", "c", rows, cell=(256, 256)))
    gap = sheet[HEAD + ROW_HEAD : HEAD + ROW_HEAD + 300, MARGIN + 256 : MARGIN + 256 + GAP]
    assert (gap == sheet[HEAD + 8, 0]).all()


def test_rows_take_turns_between_kinds_and_go_through_the_names() -> None:
    cases = [case(f"{n} {kind}", "all", kind) for n in range(9) for kind in ("x", "y")]
    names = [chosen.name for chosen in choose_cases(cases, 6)]
    assert names == ["0 x", "2 y", "3 x", "5 y", "6 x", "8 y"]
    assert choose_cases(cases, 6) == choose_cases(cases, 6)


def test_no_row_comes_twice() -> None:
    assert len(choose_cases([case("a", "x"), case("b", "y")], 9)) == 2


def test_inpainting_row_shows_what_was_given_all_methods_and_the_original() -> None:
    truth, hole = noise(32), np.zeros((32, 32), np.uint8)
    hole[4:9, 4:9] = 255
    given = np.where(hole[:, :, None] > 0, np.uint8(127), truth)
    one = Case("a", ("k",), "a", given, hole, truth)
    results = {"a": {"p": noise(32)[::-1], "q": noise(32)[:, ::-1]}}
    scores = {("a", "p"): 20.0, ("a", "q"): 21.0}
    sheet = draw_examples(INPAINT, "t", [one], results, scores, 32)
    shown = [given, results["a"]["p"], results["a"]["q"], truth]
    for column, picture in enumerate(shown):
        assert (inner(sheet, column, 32) == picture[1:-1, 1:-1]).all()


def test_large_matting_picture_is_shown_where_most_is_unknown() -> None:
    picture, alpha = noise(300), noise(300, 1)
    trimap = np.zeros((300, 300), np.uint8)
    trimap[290:, 290:] = 128
    one = Case("a", ("k",), "a", picture, trimap, alpha)
    sheet = draw_examples(MATTING, "t", [one], {"a": {"p": alpha}}, {("a", "p"): 1.0}, 300)
    assert (inner(sheet, 0, 256) == picture[45:-1, 45:-1]).all()
    assert (inner(sheet, 2, 256)[:, :, 0] == alpha[45:-1, 45:-1]).all()
