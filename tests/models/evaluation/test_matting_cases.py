import numpy as np
import pytest

from models.evaluation.matting_cases import matting_cases
from models.evaluation.methods import EvaluationError
from models.evaluation.tasks import Case
from models.training.pack import Cutout, Kind, Photo

SIZE = 96
BLUE, RED = (10, 20, 200), (220, 30, 10)


def photo() -> Photo:
    return Photo("sky", "sky", "test", "", "", np.full((70, 90, 3), BLUE, np.uint8))


def cutout(name: str, kind: Kind = "hard", opacity: float = 1.0) -> Cutout:
    """A red square with a clear margin, whose hidden colour is green."""
    pixels = np.zeros((50, 40, 4), np.uint8)
    pixels[:, :, 1] = 255
    pixels[5:45, 5:35] = (*RED, round(255 * opacity))
    return Cutout(name, f"subject of {name}", "test", "", "", kind, pixels)


def cases_of(*cutouts: Cutout, per_cutout: int = 1, procedural: int = 0) -> list[Case]:
    cases, _ = matting_cases(
        [photo()], cutouts, size=SIZE, per_cutout=per_cutout, procedural=procedural
    )
    return cases


def test_picture_is_the_truth_mixed_from_cutout_and_photo() -> None:
    (case,) = cases_of(cutout("a"))
    assert case.picture.shape == (SIZE, SIZE, 3)
    alpha = case.truth[:, :, None] / 255
    expected = alpha * RED + (1 - alpha) * BLUE
    assert np.abs(case.picture - expected).max() <= 3
    assert case.truth.max() == 255
    assert case.truth.min() == 0


def test_trimap_is_never_wrong_and_has_all_three_values() -> None:
    for case in cases_of(cutout("a"), cutout("b", "soft"), per_cutout=4, procedural=1):
        assert set(np.unique(case.guide)) == {0, 128, 255}
        assert (case.truth[case.guide == 0] == 0).all()
        assert (case.truth[case.guide == 255] == 255).all()


def test_kinds_are_reported_apart() -> None:
    cases = cases_of(cutout("b", "hard"), cutout("c", "soft"), cutout("a", "hard"), procedural=1)
    assert [(case.subject, *case.groups) for case in cases if "procedural" not in case.groups] == [
        ("subject of c", "real, soft"),
        ("subject of a", "real, hard-edged"),
        ("subject of b", "real, hard-edged"),
    ]
    assert [case.groups for case in cases[3:]] == [
        ("procedural", "hair"),
        ("procedural", "lace"),
        ("procedural", "smoke"),
    ]


def test_cutout_without_anything_opaque_is_left_out_and_named() -> None:
    cases, left_out = matting_cases(
        [photo()], [cutout("a"), cutout("veil", "soft", 0.5)], size=SIZE, per_cutout=1, procedural=0
    )
    assert [case.name for case in cases] == ["a, photo 1"]
    assert left_out == ["veil, photo 1"]


def test_a_cutouts_cases_are_the_same_whatever_else_is_evaluated() -> None:
    (alone,) = cases_of(cutout("b"))
    among = {case.name: case for case in cases_of(cutout("a"), cutout("b"), per_cutout=2)}
    assert (among[alone.name].picture == alone.picture).all()
    assert (among[alone.name].guide == alone.guide).all()
    assert (among["b, photo 2"].picture != alone.picture).any()


def test_what_is_no_evaluation_is_refused() -> None:
    with pytest.raises(EvaluationError, match="has to be at least 64 px"):
        matting_cases([photo()], [cutout("a")], size=63, per_cutout=1, procedural=0)
    with pytest.raises(EvaluationError, match="has no cut-outs"):
        matting_cases([photo()], [], size=SIZE, per_cutout=1, procedural=0)
