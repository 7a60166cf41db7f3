import numpy as np
import pytest

from models.evaluation.inpaint_cases import ALL_IRREGULAR, BLANK, SMALLEST_SIZE_PX
from models.evaluation.inpaint_cases import inpaint_cases as cases_and_left_out
from models.evaluation.methods import EvaluationError
from models.evaluation.tasks import Case
from models.training.pack import Photo


def inpaint_cases(photos: list[Photo], size: int, per_photo: int) -> list[Case]:
    """The cases of photos of which none is left out."""
    cases, left_out = cases_and_left_out(photos, size, per_photo)
    assert left_out == []
    return cases


def photos(*names: str) -> list[Photo]:
    def pixels(name: str) -> np.ndarray:
        # Nowhere as grey as what is put in a hole.
        return np.random.default_rng(len(name)).integers(130, 256, (60, 80, 3), dtype=np.uint8)

    return [Photo(name, name, "test", "", "", pixels(name)) for name in names]


def test_truth_is_a_part_of_the_photo_and_the_hole_shows_none_of_it() -> None:
    for case in inpaint_cases(photos("a"), 40, 2):
        top, left = case.facts["top"], case.facts["left"]
        (photo,) = photos("a")
        assert (case.truth == photo.pixels[top : top + 40, left : left + 40]).all()
        assert (case.picture[case.guide > 0] == BLANK).all()
        assert (case.picture[case.guide == 0] == case.truth[case.guide == 0]).all()
        assert set(np.unique(case.guide)) == {0, 255}


def test_every_crop_is_given_every_kind_of_hole() -> None:
    cases = inpaint_cases(photos("a", "b"), 40, 3)
    assert len(cases) == len({case.name for case in cases}) == 2 * 3 * 5
    kinds = [case.groups[-1] for case in cases]
    assert {kinds.count(kind) for kind in kinds} == {6}
    assert sum(ALL_IRREGULAR in case.groups for case in cases) == 24
    first = cases[:5]
    assert len({case.truth.tobytes() for case in first}) == 1


@pytest.mark.parametrize("group", ["10-20 %", "20-30 %", "30-40 %", "40-50 %"])
def test_no_hole_leaves_the_ratios_of_its_group(group: str) -> None:
    cases = [c for c in inpaint_cases(photos(*"abcdef"), 40, 3) if c.groups[-1] == group]
    least, most = (int(part) / 100 for part in group.removesuffix(" %").split("-"))
    ratios = [float((case.guide > 0).mean()) for case in cases]
    assert least <= min(ratios) < max(ratios) <= most


def test_a_photos_cases_are_the_same_whatever_else_is_evaluated() -> None:
    alone = inpaint_cases(photos("bb"), 40, 1)
    among = [c for c in inpaint_cases(photos("a", "bb", "ccc"), 40, 2) if c.subject == "bb"]
    for one, other in zip(alone, among[:5], strict=True):
        assert one.name == other.name
        assert (one.picture == other.picture).all()
        assert (one.guide == other.guide).all()


def test_small_photo_is_left_out_and_named_and_the_others_stay() -> None:
    speck = Photo("a speck", "s", "test", "", "", np.zeros((1, 3, 3), np.uint8))
    cases, left_out = cases_and_left_out([*photos("b", "c"), speck], 40, 1)
    assert left_out == ["a speck (3 x 1 px)"]
    assert {case.subject for case in cases} == {"b", "c"}
    limited, _ = cases_and_left_out([*photos("b"), speck], 40, 1, limit=1)
    assert {case.subject for case in limited} == {"b"}


def test_size_that_no_photo_has_is_refused() -> None:
    with pytest.raises(EvaluationError, match=r"--size 61 asks for more .* a \(80 x 60 px\)"):
        inpaint_cases(photos("a"), 61, 1)


def test_least_size_has_every_hole_and_what_is_below_is_refused() -> None:
    assert len(inpaint_cases(photos("a", "bb"), SMALLEST_SIZE_PX, 3)) == 2 * 3 * 5
    for size in (SMALLEST_SIZE_PX - 1, 13, 11, 1):
        with pytest.raises(EvaluationError, match=f"--size {size}: has to be at least 16 px"):
            inpaint_cases(photos("a"), size, 1)
